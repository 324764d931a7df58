// The readings of a text under a context-free grammar, without regard to whether they can be finished.
//
// An *alternative* is (parser set, lexer state, phase, obligations, layout, embedded document): one reading of the text
// so far. Alternatives are interned. A byte makes of each: the lexeme in progress with one byte more, and, where the
// lexing discipline lets it have ended, a new lexeme begun after each way to end it. Memory: 24 bytes an alternative,
// until `collect`. Not thread-safe.
#pragma once
#include "document.hpp"
#include "layout.hpp"
#include "scanner.hpp"

namespace constrain {

class Readings {
 public:
  enum Phase : Id { kFresh = 0, kInside = 1, kLineStart = 2, kEmbedded = 3 };
  struct Alternative {
    Id set = 0, state = 0, phase = kFresh, obligations = 0, layout = 0, document = 0;
    bool operator==(const Alternative&) const = default;
  };
  struct Place {  // between two lexemes
    Id set, layout;
  };

  Rules g;

 protected:
  Residuals re_;
  Meter& meter_;

 public:
  Chart chart;
  Scanner scan;
  Layouts layouts;

  // `documents`: the reader of embedded JSON documents and, by terminal, what they are; `specials`: token ids by terminal.
  Readings(Rules rules, RegexStore& re, Meter& meter, Reader* documents, std::unordered_map<Id, Document> roots,
           std::unordered_map<std::int32_t, std::vector<Id>> specials)
      : g(std::move(rules)), re_(re, meter, g.captures), meter_(meter), chart(g, meter), scan(g, re_, chart, meter), layouts(g.layout),
        documents_(documents), roots_(std::move(roots)), specials_(std::move(specials)) {
    for (Terminal& t : g.terminals)
      if (t.capture != kNone) t.regex = re_.start(t.capture), t.outline = re_.outline_of(t.capture);
    starts_of_documents();
  }

  Residuals& regexes() { return re_; }
  bool has_specials() const { return !specials_.empty(); }
  const std::unordered_map<std::int32_t, std::vector<Id>>& specials() const { return specials_; }
  Id intern(const Alternative& a) { 
    Id x[] = {a.set, a.state, a.phase, a.obligations, a.layout, a.document};
    return alternatives_.add(x, 6);
  }
  Alternative fresh(Place p, Id obligations = 0) {
    Alternative a;
    a.set = p.set;
    a.layout = p.layout;
    a.obligations = obligations;
    a.state = scan.start(chart.allowed(p.set), layouts.inside(p.layout));
    return a;
  }
  // Where the parser may stand after a lexeme that is one of `terminals`. The reference holds until the next `trim`.
  const std::vector<Place>& after(Id set, Id layout, Id terminals, bool line_start = false) {
    std::array<Id, 4> key{set, layout, terminals, line_start};
    auto it = after_.find(key);
    if (it == after_.end()) {
      Meter::Apart apart(meter_);
      std::vector<Place> made;
      if (line_start) indent(set, layout, made);
      else made = find_after(set, layout, terminals);
      for (Place& p : made) p.set = with_interludes(p.set), p.layout = layouts.forget(p.layout);
      it = after_.emplace(key, After{std::move(made), apart.work()}).first;
    }
    meter_.charge(Meter::price(it->second.work));
    return it->second.places;
  }
  // One byte of one alternative; appends what it becomes, dead ones included.
  void step(const Alternative& a, int b, std::vector<Alternative>& out) {
    meter_.charge();
    Id obligations = scan.step_obligations(a.obligations, b);
    if (a.phase == kEmbedded) return step_document(a, b, obligations, out);
    Id next = scan.step(a.state, b);
    if (next && obligations != kNone) {
      Alternative on = a;
      on.state = next;
      on.phase = a.phase == kFresh ? static_cast<Id>(kInside) : a.phase;
      on.obligations = obligations;
      on.layout = in_newline(next, a.layout) ? layouts.column(a.layout, b, a.phase == kFresh) : a.layout;
      out.push_back(on);
    }
    if (a.phase != kFresh) end_and_step(a, next, b, out);
    else if (obligations != kNone) begin_documents(a, b, obligations, out);
  }
  // The readings of `a` in which the lexeme has ended here and the next begins with byte `b`; the lexeme itself would
  // go on to the lexer state `next` (0: it cannot).
  void end_and_step(const Alternative& a, Id next, int b, std::vector<Alternative>& out) {
    Id longer = 0;
    if (a.phase == kLineStart) {
      if (next && may_end_line(next)) return;
    } else if (g.longest && next && (longer = scan.no_longer_match(next)) == kNone) {
      return;
    }
    std::size_t before = out.size();
    each_end(a, [&](Id asked, const Place& p) { step(fresh(p, scan.join(a.obligations, asked)), b, out); });
    if (longer)
      for (std::size_t i = before; i < out.size(); ++i) out[i].obligations = scan.join(out[i].obligations, longer);
  }
  // Calls f(obligations, place) for each way in which the lexeme of `a` may end here.
  template <class F>
  void each_end(const Alternative& a, F&& f) {
    if (a.phase == kFresh) return f(Id{0}, Place{a.set, a.layout});
    if (a.phase == kEmbedded) {
      if (documents_->accepting(document(a).config))
        for (const Place& p : after(a.set, a.layout, chart.lists.add({document(a).terminal}))) f(Id{0}, p);
      return;
    }
    if (a.phase == kLineStart) {
      if (may_end_line(a.state))
        for (const Place& p : after(a.set, a.layout, 0, true)) f(Id{0}, p);
      return;
    }
    for (std::size_t i = 0; i < scan.ends(a.state).size(); ++i) {
      Scanner::End e = scan.ends(a.state)[i];
      for (const Place& p : after(a.set, a.layout, e.terminals)) f(e.obligations, p);
    }
  }
  bool accepting(const Alternative& a) {
    if (!scan.fulfilled(a.obligations)) return false;
    if (a.phase == kFresh) return ends_text({a.set, a.layout});
    if (a.phase == kLineStart) return may_end_line(a.state) && ends_text({a.set, layouts.forget(a.layout)});
    if (a.phase == kEmbedded) {
      bool any = false;
      each_end(a, [&](Id, const Place& p) { any = any || ends_text(p); });
      return any;
    }
    for (std::size_t i = 0; i < scan.ends(a.state).size(); ++i) {
      Scanner::End e = scan.ends(a.state)[i];
      if (!scan.fulfilled(e.obligations)) continue;
      if (g.layout.on && !layouts.inside(a.layout) && has_newline(e.terminals) &&
          ends_text({chart.go(a.set, chart.lists.add({g.layout.newline})), layouts.forget(a.layout)}))
        return true;
      for (const Place& p : after(a.set, a.layout, e.terminals))
        if (ends_text(p)) return true;
    }
    return false;
  }
  // The places at which the text stands if the lexeme ends here and asks for nothing.
  std::vector<Place> places(const Alternative& a) {
    std::vector<Place> out;
    if (!scan.fulfilled(a.obligations)) return out;
    each_end(a, [&](Id asked, const Place& p) {
      if (scan.fulfilled(asked)) out.push_back(p);
    });
    return out;
  }
  bool in_newline(Id state, Id layout) const {
    return g.layout.on && !layouts.inside(layout) && scan.residual(state, g.layout.newline) != RegexStore::kEmpty;
  }
  bool has_newline(Id terminals) const {
    return g.layout.on && std::binary_search(chart.lists.begin(terminals), chart.lists.end(terminals), g.layout.newline);
  }

  // ------------------------------------------------------------------ embedded documents
  struct Embedded {
    Config config;
    Id terminal;
  };
  const Embedded& document(const Alternative& a) const { return embedded_[a.document]; }
  // The reader of documents, set to the one that `a` is inside of: grammars hold documents with different white space.
  Reader& reading(const Alternative& a) {
    documents_->use(roots_.at(document(a).terminal));
    return *documents_;
  }
  bool has_documents() const { return !roots_.empty(); }
  // JSON terminals that may begin at `set`.
  bool begins_document(Id set, int b) {
    for (auto& [t, starts] : document_starts_)
      if (chart.allows(set, t) && has(starts, b)) return true;
    return false;
  }

  std::size_t bytes() const { return chart.bytes() + scan.bytes() + alternatives_.bytes() + layouts.bytes() + after_.size() * 80 + embedded_.size() * 200; }

  // What a collection keeps.
  struct Survivors {
    Chart::Numbers chart;
    Kept alternatives, configurations;
  };

 protected:
  // Forgets all alternatives but these and, of the chart, all that they do not lead to; see `Chart::collect` for `also`.
  // `lexers`: the lexer begins anew too.
  template <class F>
  Chart::Numbers collect(const Kept& kept, bool lexers, F&& also) {
    Kept states(scan.count()), obligations(scan.lists.count()), indentations(layouts.count()), documents(embedded_.size());
    std::vector<Id> sets;
    for (Kept* k : {&states, &obligations, &indentations}) k->mark(0);
    states.mark(Scanner::kUnsure);
    kept.each([&](Id id) {
      if (!id) return;  // the empty list
      Alternative a = alternative(id);
      sets.push_back(a.set);
      states.mark(a.state);
      obligations.mark(a.obligations);
      indentations.mark(a.layout);
      if (a.phase == kEmbedded) documents.mark(a.document);
    });
    for (Kept* k : {&states, &obligations, &indentations, &documents}) k->number();
    Chart::Numbers of_chart = chart.collect(sets, lexers, also);
    if (lexers) scan.collect(states, obligations);
    layouts.collect(indentations);
    collect_documents(documents);
    alternatives_ = copied(alternatives_, kept, [&](std::vector<Id>& a) {
      if (a.empty()) return;
      a[0] = of_chart.sets(a[0]);
      if (lexers) a[1] = states(a[1]), a[3] = obligations(a[3]);
      a[4] = indentations(a[4]);
      if (a[2] == kEmbedded) a[5] = documents(a[5]);
    });
    after_ = {};
    return of_chart;
  }
  void collect_documents(const Kept& kept) {
    std::deque<Embedded> before;
    before.swap(embedded_);
    embedded_ids_ = {};
    kept.each([&](Id id) { intern_document(std::move(before[static_cast<std::size_t>(id)].config), before[static_cast<std::size_t>(id)].terminal); });
  }
  Alternative alternative(Id id) const {
    const Id* x = alternatives_.begin(id);
    return {x[0], x[1], x[2], x[3], x[4], x[5]};
  }
  std::vector<Place> find_after(Id set, Id layout, Id terminals) {
    std::vector<Place> out;
    std::vector<Id> plain;
    bool stays = false, newline = false;
    int bracket = 0;
    for (const Id* p = chart.lists.begin(terminals); p < chart.lists.end(terminals); ++p) {
      const Id t = *p;
      const Terminal& x = g.terminals[t];
      stays = stays || x.ignored || (x.inside && layouts.inside(layout));
      if (g.layout.on && t == g.layout.newline) {
        newline = true;
        continue;
      }
      plain.push_back(t);
      if (g.layout.on) bracket += g.layout.bracket[t];
    }
    Id next = plain.empty() ? Chart::kDead : chart.go(set, newline ? chart.lists.add(plain) : terminals);
    if (!chart.dead(next)) out.push_back({next, layouts.nested(layout, bracket)});
    if (newline) indent(chart.go(set, chart.lists.add({g.layout.newline})), layout, out);
    if (stays) {
      Id same = layouts.forget(layout);
      if (out.size() == 1 && out[0].layout == same) out[0].set = chart.either(out[0].set, set);
      else out.push_back({set, same});
    }
    return out;
  }
  Id with_interludes(Id set) {
    Id out = set;
    for (Id x : g.ignored)
      if (!g.is_terminal(x) && !chart.dead(set)) out = chart.either(out, chart.interlude(set, x));
    return out;
  }

  // ------------------------------------------------------------------ layout
  // Ends a line at the width of `layout`: appends the place after the indent or the dedents that it asks for.
  void indent(Id set, Id layout, std::vector<Place>& out) {
    if (chart.dead(set)) return;
    Layouts::Change change = layouts.compare(layout);
    if (change.dedents < 0) return;
    if (change.indents) set = chart.go(set, chart.lists.add({g.layout.indent}));
    for (int k = 0; k < change.dedents && !chart.dead(set); ++k) set = chart.go(set, chart.lists.add({g.layout.dedent}));
    if (chart.dead(set)) return;
    // no indent and no dedent comes before the next line: something else must, or the end
    std::vector<Id> allowed(chart.lists.begin(chart.allowed(set)), chart.lists.end(chart.allowed(set)));
    bool enters = std::any_of(allowed.begin(), allowed.end(), [&](Id t) { return g.terminals[t].kind != TerminalKind::Layout; });
    if (enters || ends_text({set, change.after})) out.push_back({set, change.after});
  }
  // May the text end here? Open blocks are closed, and the last line is ended if the parser asks for that.
  bool ends_text(Place p) {
    if (g.end != kNone) return chart.allows(p.set, g.end);
    if (!g.layout.on) return chart.accepts(p.set);
    if (layouts.inside(p.layout)) return false;
    for (Id set : {p.set, chart.go(p.set, chart.lists.add({g.layout.newline}))}) {
      for (int k = layouts.blocks(p.layout); k > 0 && !chart.dead(set); --k) set = chart.go(set, chart.lists.add({g.layout.dedent}));
      if (chart.accepts(set)) return true;
    }
    return false;
  }
  // The state of a newline lexeme that began before the text.
  Id line_start_state() {
    Id list = chart.lists.add({g.layout.newline});
    Id s = scan.step(scan.start(list, false), '\n');
    if (!s) throw SourceError(0, "the newline terminal of a layout must match a line feed");
    return s;
  }
  bool may_end_line(Id state) { return re_.nullable(scan.residual(state, g.layout.newline)); }

  // ------------------------------------------------------------------ embedded documents
  void starts_of_documents() {
    for (auto& [t, root] : roots_) {
      ByteSet starts{};
      documents_->use(root);
      Config c = documents_->start(root);
      for (int b = 0; b < 256; ++b) {
        Config next = c;
        if (documents_->spells(b) && documents_->step(next, b)) put(starts, b);
      }
      document_starts_.emplace_back(t, starts);
      document_configs_.emplace(t, c);
    }
    std::sort(document_starts_.begin(), document_starts_.end(), [](auto& a, auto& b) { return a.first < b.first; });
  }
  void begin_documents(const Alternative& a, int b, Id obligations, std::vector<Alternative>& out) {
    for (auto& [t, starts] : document_starts_) {
      if (!has(starts, b) || !chart.allows(a.set, t)) continue;
      documents_->use(roots_.at(t));
      Config c = document_configs_.at(t);
      if (documents_->step(c, b)) out.push_back(embedded(a, std::move(c), t, obligations));
    }
  }
  Alternative embedded(const Alternative& a, Config c, Id terminal, Id obligations) {
    Alternative on = a;
    on.phase = kEmbedded;
    on.state = 0;
    on.obligations = obligations;
    on.document = intern_document(std::move(c), terminal);
    return on;
  }
  Id intern_document(Config c, Id terminal) {
    std::vector<Id>& bucket = embedded_ids_[mix(c.hash(), static_cast<std::uint64_t>(terminal))];
    for (Id id : bucket)
      if (embedded_[id].terminal == terminal && embedded_[id].config == c) return id;
    Id id = static_cast<Id>(embedded_.size());
    embedded_.push_back({std::move(c), terminal});
    bucket.push_back(id);
    return id;
  }
  void step_document(const Alternative& a, int b, Id obligations, std::vector<Alternative>& out) {
    Id terminal = document(a).terminal;
    Config c = document(a).config;
    if (obligations != kNone && documents_->spells(b) && reading(a).step(c, b)) out.push_back(embedded(a, std::move(c), terminal, obligations));
    each_end(a, [&](Id, const Place& p) { step(fresh(p, a.obligations), b, out); });
  }
  struct After {
    std::vector<Place> places;
    std::int64_t work;
  };
  struct KeyHash {
    std::size_t operator()(const std::array<Id, 4>& k) const {
      return mix(mix(static_cast<std::uint32_t>(k[0]), static_cast<std::uint32_t>(k[1])), mix(static_cast<std::uint32_t>(k[2]), static_cast<std::uint32_t>(k[3])));
    }
  };

  Reader* documents_;
  std::unordered_map<Id, Document> roots_;
  std::unordered_map<std::int32_t, std::vector<Id>> specials_;
  std::vector<std::pair<Id, ByteSet>> document_starts_;
  std::unordered_map<Id, Config> document_configs_;
  ListStore alternatives_;
  std::deque<Embedded> embedded_;
  std::unordered_map<std::uint64_t, std::vector<Id>> embedded_ids_;
  std::unordered_map<std::array<Id, 4>, After, KeyHash> after_;
};

}  // namespace constrain
