// Reading a text by a context-free grammar: sets of alternatives, each a parser set with a lexeme in progress.
//
// An *alternative* is (parser set, lexer state, phase, obligations, layout, embedded document): one reading of the text
// so far. It and the configuration, a sorted list of alternatives, are interned, so a configuration is one id in
// `Config::a` (0: nothing is left) and equal configurations are equal ids.
//
// Liveness. Under "any", where no terminal forbids what follows, every alternative is live: whatever lexeme comes next may
// end where the parser needs it to. Under "longest" a lexeme may swallow what follows. At load each terminal t is tested for being *separable*: every terminal that
// can come after it has a first byte that extends no match of t, directly or after some ignored lexeme. An alternative
// without obligations in which a separable terminal is alive is then live by induction along a shortest derivation. All
// others are decided by a charged best-first search for a completion, exact or LimitError, and remembered.
//
// Completions: `next_byte` follows a shortest derivation of the parser, lexeme by lexeme, with an ignored lexeme between
// two that would merge; it is a function of the configuration alone. Not thread-safe.
#pragma once
#include "document.hpp"
#include "layout.hpp"
#include "scanner.hpp"
#include "separable.hpp"

namespace constrain {

class RuleReader {
 public:
  enum Phase : Id { kFresh = 0, kInside = 1, kLineStart = 2, kEmbedded = 3 };
  struct Alternative {
    Id set = 0, state = 0, phase = kFresh, obligations = 0, layout = 0, document = 0;
    bool operator==(const Alternative&) const = default;
  };
  struct Place {  // between two lexemes
    Id set, layout;
  };

  // `documents`: the reader of embedded JSON documents and, by terminal, what they are; `specials`: token ids by terminal.
  RuleReader(Rules rules, RegexStore& re, Meter& meter, Reader* documents, std::unordered_map<Id, Document> roots,
             std::unordered_map<std::int32_t, std::vector<Id>> specials)
      : g(std::move(rules)), re_(re), meter_(meter), chart(g, meter), scan(g, re, chart, meter), layouts(g.layout), documents_(documents),
        roots_(std::move(roots)), specials_(std::move(specials)), separability_(g, re, meter) {
    starts_of_documents();
    find_separable();
    Alternative a;
    a.set = with_interludes(chart.start());
    a.layout = layouts.start();
    a.phase = g.layout.on ? kLineStart : kFresh;
    a.state = g.layout.on ? line_start_state() : scan.start(chart.allowed(a.set), false);
    start_ = live_config({a});
    if (!start_) throw SourceError(2, "no text is accepted");
  }

  Rules g;

  Id start() const { return start_; }
  // Terminals for which liveness needs a search, because what follows may merge with them.
  std::vector<Id> inseparable() const {
    std::vector<Id> out;
    for (std::size_t t = 0; t < g.terminals.size(); ++t)
      if (!separable_terminal_[t] && (g.parsed[t] || g.terminals[t].ignored || g.terminals[t].inside)) out.push_back(static_cast<Id>(t));
    return out;
  }
  // The configuration after one more byte; 0 if no accepted text goes on so.
  Id step(Id c, int b) {
    std::uint64_t key = static_cast<std::uint64_t>(c) << 8 | static_cast<std::uint64_t>(b);
    auto it = steps_.find(key);
    if (it == steps_.end()) {
      Meter::Apart apart(meter_);
      std::vector<Alternative> next;
      for (std::size_t i = 0; i < configs_.size(c); ++i) step(alternative(configs_.begin(c)[i]), b, next);
      Id made = live_config(next);
      it = steps_.emplace(key, std::pair<Id, std::int64_t>{made, apart.work()}).first;
    }
    meter_.charge(Meter::price(it->second.second));
    return it->second.first;
  }
  // The configuration after a special token, which no lexeme reaches across.
  Id step_special(Id c, std::int32_t token) {
    auto it = specials_.find(token);
    if (it == specials_.end()) return 0;
    std::vector<Alternative> next;
    for (std::size_t i = 0; i < configs_.size(c); ++i)
      for (const Place& p : places(alternative(configs_.begin(c)[i])))
        for (Id t : it->second)
          if (chart.allows(p.set, t)) next.push_back(fresh({with_interludes(chart.go(p.set, chart.lists.add({t}))), p.layout}));
    return live_config(next);
  }
  bool has_specials() const { return !specials_.empty(); }
  const std::unordered_map<std::int32_t, std::vector<Id>>& specials() const { return specials_; }
  bool accepting(Id c) {
    for (std::size_t i = 0; i < configs_.size(c); ++i)
      if (accepting(alternative(configs_.begin(c)[i]))) return true;
    return false;
  }

  // ------------------------------------------------------------------ alternatives
  std::vector<Alternative> alternatives(Id c) const {
    std::vector<Alternative> out;
    for (std::size_t i = 0; i < configs_.size(c); ++i) out.push_back(alternative(configs_.begin(c)[i]));
    return out;
  }
  Id intern(const Alternative& a) { 
    Id x[] = {a.set, a.state, a.phase, a.obligations, a.layout, a.document};
    return alternatives_.add(x, 6);
  }
  Id config_of(const Alternative& a) { return config({intern(a)}); }
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
  // Drops memos that have grown too large; no references into them may be held.
  void trim() {
    if (steps_.size() > kSteps) steps_.clear();
    if (after_.size() > kSteps) after_.clear();
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
    } else if (g.longest && next && (longer = scan.no_longer_match(next, 0)) == kNone) {
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
  // Is `a` live by the induction of the file's comment? False negatives are searched for.
  bool plainly_live(const Alternative& a) {
    if (a.obligations) return false;
    if (a.phase == kEmbedded) return separable_ || good(chart.go(a.set, chart.lists.add({document(a).terminal})));
    if (a.phase == kFresh) return separable_ || good(a.set);
    if (a.phase == kLineStart) return separable_ || good(a.set);
    std::vector<Id> parts(scan.begin(a.state), scan.end(a.state));
    for (std::size_t i = 0; i < parts.size(); i += 2) {
      Id t = parts[i];
      if (separable_) {
        if (separable_terminal_[t]) return true;
        continue;
      }
      bool stays = g.terminals[t].ignored || g.terminals[t].inside;
      Id next = stays ? a.set : chart.go(a.set, chart.lists.add({t}));
      if (chart.dead(next) || !(separable_terminal_[t] || stands_apart(a.state, t, next))) continue;
      if (good(next)) return true;
    }
    return false;
  }
  // The terminals alive in `state` that are separable from whatever may follow them, cheapest first (a list of
  // `Chart::lists`). A lexeme in `state` at a set is live if one of them is `finishable` there.
  Id ways(Id state) {
    if (state < static_cast<Id>(ways_.size()) && ways_[static_cast<std::size_t>(state)] != kNone) return ways_[static_cast<std::size_t>(state)];
    Meter::Apart apart(meter_);
    std::vector<std::pair<std::int64_t, Id>> found;
    std::vector<Id> parts(scan.begin(state), scan.end(state)), ordered;
    for (std::size_t i = 0; i < parts.size(); i += 2)
      if (separable_terminal_[parts[i]] || (!separable_ && separability_.apart(parts[i], extending(state, parts[i]))))
        found.emplace_back(g.terminals[parts[i]].cost, parts[i]);
    std::sort(found.begin(), found.end());
    for (auto& f : found) ordered.push_back(f.second);
    if (state >= static_cast<Id>(ways_.size())) ways_.resize(static_cast<std::size_t>(state) + 64, kNone);
    return ways_[static_cast<std::size_t>(state)] = chart.lists.add(ordered);
  }
  // May what follows one of `ways` at `set` be finished? Exactly the first one asked for is true, mostly.
  bool finishable(Id set, Id ways) {
    if (separable_) return ways != 0;
    std::uint64_t key = static_cast<std::uint64_t>(set) << 32 | static_cast<std::uint32_t>(ways);
    auto it = finishable_.find(key);
    if (it != finishable_.end()) return it->second;
    Meter::Apart apart(meter_);
    bool any = false;
    std::vector<Id> order(chart.lists.begin(ways), chart.lists.end(ways));
    for (std::size_t i = 0; i < order.size() && !any; ++i) {
      const Terminal& t = g.terminals[order[i]];
      any = good(t.ignored || t.inside ? set : chart.go(set, chart.lists.add({order[i]})));
    }
    return finishable_[key] = any;
  }
  bool needs_finishing() const { return !separable_; }
  // A lexeme in `state` ends as `e` and byte `b` follows: may a lexeme that begins at `p` with that byte end in turn?
  bool may_follow(const Place& p, Id state, const Scanner::End& e, int b) {
    if (has_documents() && begins_document(p.set, b)) return true;
    Id next = g.longest ? scan.step(state, b) : 0, longer = next ? scan.no_longer_match(next, 0) : 0;
    if (longer == kNone) return false;
    Id asked = scan.step_obligations(e.obligations, b), begun = scan.step(fresh(p).state, b);
    return asked != kNone && begun && lexeme_can_end(begun, scan.join(asked, longer));
  }
  bool live(const Alternative& a) {
    if (a.phase == kFresh ? chart.dead(a.set) : a.phase != kEmbedded && !a.state) return false;
    if (plainly_live(a)) return true;
    if (a.obligations && a.phase == kInside && !lexeme_can_end(a.state, a.obligations)) return false;
    if (!a.obligations && a.phase == kInside && final_ends(a.state).only) {
      for (Id terminals : final_ends(a.state).terminals)
        for (const Place& p : after(a.set, a.layout, terminals))
          if (ends_text(p)) return true;
      return false;
    }
    Id id = intern(a);
    auto it = searched_.find(id);
    if (it == searched_.end()) {
      Meter::Apart apart(meter_);
      bool found = search(a, nullptr);
      it = searched_.emplace(id, Searched{found, apart.work()}).first;
    }
    meter_.charge(Meter::price(it->second.work));
    return it->second.live;
  }
  Id live_config(const std::vector<Alternative>& all) {
    std::vector<Alternative> kept;
    for (const Alternative& a : all)
      if (live(a)) kept.push_back(a);
    if (!g.longest) merge(kept);
    std::vector<Id> ids;
    for (const Alternative& a : kept) ids.push_back(intern(a));
    return config(ids);
  }

  // ------------------------------------------------------------------ completions
  // The canonical completion as bytes, and special tokens as 256 + token id. Throws LimitError beyond `most` symbols.
  std::vector<std::int32_t> completion(Id c, std::size_t most) {
    std::vector<std::int32_t> out;
    for (;;) {
      std::int32_t s = next_symbol(c);
      if (s < 0) return out;
      if (out.size() >= most) throw LimitError(static_cast<std::int64_t>(out.size()) + 1, static_cast<std::int64_t>(most), "bytes of a completion");
      out.push_back(s);
      c = s < 256 ? step(c, s) : step_special(c, s - 256);
      if (!c) throw std::logic_error("the canonical completion left the language");
    }
  }
  std::size_t bytes() const {
    return chart.bytes() + scan.bytes() + alternatives_.bytes() + configs_.bytes() + steps_.size() * 40 + searched_.size() * 40 + after_.size() * 80 +
           embedded_.size() * 200;
  }

 private:
  static constexpr std::size_t kSteps = 1u << 18;
  struct Embedded {
    Config config;
    Id terminal;
  };
  struct Searched {
    bool live;
    std::int64_t work;
  };
  struct After {
    std::vector<Place> places;
    std::int64_t work;
  };
  struct KeyHash {
    std::size_t operator()(const std::array<Id, 4>& k) const {
      return mix(mix(static_cast<std::uint32_t>(k[0]), static_cast<std::uint32_t>(k[1])), mix(static_cast<std::uint32_t>(k[2]), static_cast<std::uint32_t>(k[3])));
    }
  };

 public:
  const Embedded& document(const Alternative& a) const { return embedded_[a.document]; }
  Reader& documents() { return *documents_; }
  bool has_documents() const { return !roots_.empty(); }
  // JSON terminals that may begin at `set`.
  bool begins_document(Id set, int b) {
    for (auto& [t, starts] : document_starts_)
      if (chart.allows(set, t) && has(starts, b)) return true;
    return false;
  }

 private:
  RegexStore& re_;
  Meter& meter_;

 public:
  Chart chart;
  Scanner scan;
  Layouts layouts;

  bool in_newline(Id state, Id layout) const {
    return g.layout.on && !layouts.inside(layout) && scan.residual(state, g.layout.newline) != RegexStore::kEmpty;
  }
  bool has_newline(Id terminals) const {
    return g.layout.on && std::binary_search(chart.lists.begin(terminals), chart.lists.end(terminals), g.layout.newline);
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

 private:
  Alternative alternative(Id id) const {
    const Id* x = alternatives_.begin(id);
    return {x[0], x[1], x[2], x[3], x[4], x[5]};
  }
  Id config(std::vector<Id> ids) {
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return configs_.add(ids);
  }
  std::vector<Place> find_after(Id set, Id layout, Id terminals) {
    std::vector<Place> out;
    std::vector<Id> plain;
    bool stays = false, newline = false;
    int bracket = 0;
    std::vector<Id> all(chart.lists.begin(terminals), chart.lists.end(terminals));
    for (Id t : all) {
      const Terminal& x = g.terminals[t];
      stays = stays || x.ignored || (x.inside && layouts.inside(layout));
      if (g.layout.on && t == g.layout.newline) {
        newline = true;
        continue;
      }
      plain.push_back(t);
      if (g.layout.on) bracket += g.layout.bracket[t];
    }
    Id next = plain.empty() ? Chart::kDead : chart.go(set, chart.lists.add(plain));
    if (!chart.dead(next)) out.push_back({next, layouts.nested(layout, bracket)});
    if (newline) indent(chart.go(set, chart.lists.add({g.layout.newline})), layout, out);
    if (stays) {
      Id same = layouts.forget(layout);
      if (out.size() == 1 && out[0].layout == same) out[0].set = chart.either(out[0].set, set);
      else out.push_back({set, same});
    }
    return out;
  }
  // Under "any", readings that differ in the parser set alone are one.
  void merge(std::vector<Alternative>& all) {
    std::vector<Alternative> out;
    for (const Alternative& a : all) {
      bool placed = false;
      for (Alternative& o : out) {
        Alternative same = a;
        same.set = o.set;
        if (same == o && a.phase != kEmbedded) {
          o.set = chart.either(o.set, a.set);
          placed = true;
          break;
        }
      }
      if (!placed) out.push_back(a);
    }
    all.swap(out);
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
    if (!chart.dead(set)) out.push_back({set, change.after});
  }
  // May the text end here? Open blocks are closed, and the last line is ended if the parser asks for that.
  bool ends_text(Place p) {
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
    documents_->use(roots_.at(document(a).terminal));
    Id terminal = document(a).terminal;
    Config c = document(a).config;
    if (obligations != kNone && documents_->spells(b) && documents_->step(c, b)) out.push_back(embedded(a, std::move(c), terminal, obligations));
    each_end(a, [&](Id, const Place& p) { step(fresh(p, a.obligations), b, out); });
  }

  // ------------------------------------------------------------------ search
  // A lower bound of the bytes that finish `a`.
  std::int64_t bound(const Alternative& a) {
    if (a.phase == kFresh) return chart.cost(a.set);
    if (a.phase == kLineStart) return 0;
    if (a.phase == kEmbedded) return chart.cost(chart.go(a.set, chart.lists.add({document(a).terminal})));
    std::int64_t best = Rules::kInfinite;
    for (std::size_t i = 0, n = static_cast<std::size_t>(scan.end(a.state) - scan.begin(a.state)); i < n; i += 2) {
      Id t = scan.begin(a.state)[i], r = scan.begin(a.state)[i + 1];
      best = std::min(best, re_.distance(r) + cost_after(a.set, t));
    }
    return best;
  }
  std::int64_t cost_after(Id set, Id terminal) {
    std::int64_t best = g.terminals[terminal].ignored || g.terminals[terminal].inside ? chart.cost(set) : Rules::kInfinite;
    return std::min(best, chart.cost(chart.go(set, chart.lists.add({terminal}))));
  }
  // Best-first search for a completion of `from`; false if there is none. The first byte of the one found goes to `first`
  // (-1: none is needed). Stops at what is plainly live if only liveness is asked for.
  bool search(const Alternative& from, int* first) {
    struct Node {
      Id id;
      std::int64_t depth;
      int byte;
    };
    using Entry = std::pair<std::int64_t, std::size_t>;  // bound of the whole, node: ties go to the node found first
    std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> queue;
    std::vector<Node> nodes{{intern(from), 0, -1}};
    std::unordered_set<Id> seen{nodes[0].id};
    queue.emplace(0, 0);
    while (!queue.empty()) {
      std::size_t at = queue.top().second;
      queue.pop();
      Node node = nodes[at];
      Alternative a = alternative(node.id);
      meter_.charge(8);
      if (accepting(a) || (plainly_live(a) && (at > 0 || !first))) {
        if (first) *first = node.byte;
        return true;
      }
      for (int b = 0; b < 256; ++b) {
        if (!has(re_.alphabet(), b)) continue;
        std::vector<Alternative> next;
        step(a, b, next);
        for (const Alternative& x : next) {
          std::int64_t rest = x.phase == kFresh && chart.dead(x.set) ? Rules::kInfinite : bound(x);
          if (rest >= Rules::kInfinite || !seen.insert(intern(x)).second) continue;
          nodes.push_back({intern(x), node.depth + 1, node.byte < 0 ? b : node.byte});
          queue.emplace(node.depth + 1 + rest, nodes.size() - 1);
        }
      }
    }
    return false;
  }

  // ------------------------------------------------------------------ the canonical completion
  // Its next symbol; -1: the text may end here.
  std::int32_t next_symbol(Id c) {
    if (accepting(c)) return -1;
    std::vector<Alternative> all = alternatives(c);
    std::size_t best = 0;
    for (std::size_t i = 1; i < all.size(); ++i)
      if (std::pair(!plainly_live(all[i]), bound(all[i])) < std::pair(!plainly_live(all[best]), bound(all[best]))) best = i;
    const Alternative& a = all[best];
    if (plainly_live(a)) {
      std::int32_t s = planned(a);
      if (s >= 0) return s;
    }
    int first = -1;
    if (!search(a, &first) || first < 0) throw std::logic_error("a live configuration has no completion");
    return first;
  }
  // The next symbol along a shortest derivation; -1 if lexemes would merge whatever comes between.
  std::int32_t planned(const Alternative& a) {
    if (a.phase == kFresh) return first_symbol(a.set, nullptr, 0);
    if (a.phase == kEmbedded) return planned_document(a);
    if (a.phase == kLineStart) return planned_line(a);
    if (in_newline(a.state, a.layout)) {
      std::int32_t s = planned_line(a);
      if (s >= 0) return s;
    }
    std::int64_t best = Rules::kInfinite;
    Id terminal = kNone;
    for (const Id* p = scan.begin(a.state); p < scan.end(a.state); p += 2) {
      std::int64_t d = re_.distance(p[1]);
      if (d > 0 && d + cost_after(a.set, *p) < best) best = d + cost_after(a.set, *p), terminal = *p;
    }
    Place next{Chart::kDead, 0};
    Id asked = 0;
    each_end(a, [&](Id obligations, const Place& p) {
      if (!scan.fulfilled(obligations) || chart.cost(p.set) > best || (chart.cost(p.set) == best && !chart.dead(next.set))) return;
      best = chart.cost(p.set), next = p, asked = obligations, terminal = kNone;
    });
    if (terminal != kNone) return re_.first_byte(scan.residual(a.state, terminal));
    return chart.dead(next.set) ? -1 : first_symbol(next.set, &a, asked);
  }
  // The first symbol of a shortest completion from between lexemes. `before`: the lexeme in progress, which it must end.
  std::int32_t first_symbol(Id set, const Alternative* before, Id asked) {
    Id t = chart.next_terminal(set);
    if (t == kNone) return -1;
    const Terminal& x = g.terminals[t];
    if (x.kind == TerminalKind::Special) return special_of(t);
    auto ends = [&](int b) {
      return !before || ((!g.longest || scan.step(before->state, b) == Scanner::kDead) && !scan.looks_at(asked, b));
    };
    if (x.kind == TerminalKind::Json) {
      documents_->use(roots_.at(t));
      int b = documents_->next_byte(document_configs_.at(t));
      if (ends(b)) return b;
    } else if (x.kind == TerminalKind::Regex) {
      int b = re_.first_byte(x.regex);
      if (ends(b)) return b;
    }
    std::int64_t best = Rules::kInfinite;
    int byte = -1;
    auto offer = [&](Id u, std::int64_t rest) {
      if (g.terminals[u].kind != TerminalKind::Regex) return;
      for (int b = 0; b < 256; ++b) {
        if (!has(re_.alphabet(), b) || !ends(b)) continue;
        Id r = re_.live_step(g.terminals[u].regex, b);
        if (r != RegexStore::kEmpty && 1 + re_.distance(r) + rest < best) best = 1 + re_.distance(r) + rest, byte = b;
      }
    };
    for (Id u = 0; u < static_cast<Id>(g.terminals.size()); ++u)
      if (g.terminals[u].ignored && separable_terminal_[u]) offer(u, chart.cost(set));
    if (byte < 0) offer(t, chart.cost(chart.go(set, chart.lists.add({t}))));
    if (byte < 0) {
      std::vector<Id> allowed(chart.lists.begin(chart.allowed(set)), chart.lists.end(chart.allowed(set)));
      for (Id u : allowed) offer(u, cost_after(set, u));
    }
    return byte;
  }
  std::int32_t special_of(Id terminal) const {
    std::int32_t best = INT32_MAX;
    for (auto& [token, terminals] : specials_)
      if (std::find(terminals.begin(), terminals.end(), terminal) != terminals.end()) best = std::min(best, token);
    return 256 + best;
  }
  std::int32_t planned_document(const Alternative& a) {
    documents_->use(roots_.at(document(a).terminal));
    Config c = document(a).config;
    if (!documents_->accepting(c)) return documents_->next_byte(c);
    std::int32_t s = -1;
    each_end(a, [&](Id, const Place& p) { s = s < 0 ? first_symbol(p.set, nullptr, 0) : s; });
    return s;
  }
  // A newline lexeme: spaces up to the width of the cheapest continuation, then its first symbol.
  std::int32_t planned_line(const Alternative& a) {
    bool begun = a.phase == kLineStart;
    Id set = begun ? a.set : chart.go(a.set, chart.lists.add({g.layout.newline}));
    if (chart.dead(set)) return -1;
    int n = layouts.blocks(a.layout);
    std::int64_t best = Rules::kInfinite;
    int width = 0;
    Id target = Chart::kDead;
    auto offer = [&](Id s, int w) {
      if (chart.dead(s) || chart.cost(s) >= best || (chart.next_terminal(s) != kNone && g.terminals[chart.next_terminal(s)].kind == TerminalKind::Layout)) return;
      best = chart.cost(s), target = s, width = w;
    };
    offer(set, layouts.width(a.layout, n));
    Id deeper = chart.go(set, chart.lists.add({g.layout.indent}));
    if (!chart.dead(deeper)) offer(deeper, layouts.width(a.layout, n) + 1);
    Id s = set;
    for (int k = n; k-- > 0;) {
      s = chart.go(s, chart.lists.add({g.layout.dedent}));
      if (chart.dead(s)) break;
      offer(s, layouts.width(a.layout, k));
    }
    if (chart.dead(target)) return -1;
    if (!layouts.in_indentation(a.layout) || layouts.column(a.layout) > width) {
      Id rest = scan.residual(a.state, g.layout.newline);  // a comment may have to finish a code point first
      return re_.live_step(rest, '\n') != RegexStore::kEmpty ? '\n' : re_.first_byte(rest);
    }
    if (layouts.column(a.layout) < width) return ' ';
    return first_symbol(with_interludes(target), begun ? nullptr : &a, 0);
  }
  void find_separable() {
    bool forbids = g.longest;
    for (const Terminal& t : g.terminals) forbids = forbids || t.unless != kNone;
    if (!forbids) {
      separable_terminal_.assign(g.terminals.size(), true);
      separable_ = true;
      return;
    }
    separability_.find(std::unordered_map<Id, ByteSet>(document_starts_.begin(), document_starts_.end()));
    separable_terminal_ = separability_.separable;
    separable_ = separability_.all;
  }
  // Is there a way to end the lexeme in progress that breaks no obligation, whatever the parser wants?
  bool lexeme_can_end(Id state, Id obligations) {
    std::uint64_t key = static_cast<std::uint64_t>(state) << 32 | static_cast<std::uint32_t>(obligations);
    auto it = can_end_.find(key);
    if (it != can_end_.end()) return it->second;
    Meter::Apart apart(meter_);
    std::vector<std::pair<Id, Id>> open{{state, obligations}};
    std::unordered_set<std::uint64_t> seen{key};
    bool found = false;
    while (!open.empty() && !found) {
      auto [at, asked] = open.back();
      open.pop_back();
      found = !scan.ends(at).empty();
      meter_.charge(4);
      for (int b = 0; b < 256 && !found; ++b) {
        Id next = scan.step(at, b), still = next ? scan.step_obligations(asked, b) : kNone;
        if (still == kNone) continue;
        if (seen.insert(static_cast<std::uint64_t>(next) << 32 | static_cast<std::uint32_t>(still)).second) open.emplace_back(next, still);
      }
    }
    return can_end_[key] = found;
  }
  // The ends of a lexeme after which no character may follow; `only`: it has no others.
  struct Finals {
    bool only = true;
    std::vector<Id> terminals;
  };
  const Finals& final_ends(Id state) {
    auto it = finals_.find(state);
    if (it != finals_.end()) return it->second;
    Meter::Apart apart(meter_);
    Finals found;
    std::vector<Id> open{state};
    std::unordered_set<Id> seen{state};
    while (!open.empty() && found.only) {
      Id at = open.back();
      open.pop_back();
      meter_.charge(4);
      for (std::size_t i = 0; i < scan.ends(at).size() && found.only; ++i) {
        Scanner::End e = scan.ends(at)[i];
        found.only = false;
        for (const Id* p = scan.lists.begin(e.obligations); p < scan.lists.end(e.obligations); p += 3)
          if (p[0] == Scanner::kNever && p[2] == kNone && !re_.live(re_.conj({re_.any_char(), re_.negate(p[1])}))) found.only = true;
        if (std::find(found.terminals.begin(), found.terminals.end(), e.terminals) == found.terminals.end()) found.terminals.push_back(e.terminals);
      }
      for (int b = 0; b < 256; ++b)
        if (Id next = scan.step(at, b); next && seen.insert(next).second) open.push_back(next);
    }
    return finals_[state] = std::move(found);
  }
  // Bytes that may extend a match of `terminal` from `state` on, given the terminals that compete there.
  const ByteSet& extending(Id state, Id terminal) {
    std::uint64_t key = static_cast<std::uint64_t>(state) << 32 | static_cast<std::uint32_t>(terminal);
    auto it = extending_.find(key);
    if (it != extending_.end()) return it->second;
    Meter::Apart apart(meter_);
    ByteSet out{};
    Id unless = g.terminals[terminal].unless;
    if (unless != kNone) out = separability_.alive(unless);
    std::vector<Id> open{state};
    std::unordered_set<Id> seen{state};
    while (!open.empty()) {
      Id at = open.back();
      open.pop_back();
      bool ends = re_.nullable(scan.residual(at, terminal));
      meter_.charge(4);
      for (int b = 0; b < 256; ++b) {
        Id next = scan.step(at, b);
        if (!next) continue;
        if (ends && g.longest) put(out, b);
        if (scan.residual(next, terminal) != RegexStore::kEmpty && seen.insert(next).second) open.push_back(next);
      }
    }
    return extending_[key] = out;
  }
  // After a match of `terminal` from `state` on, may the canonical continuation of `next` follow?
  bool stands_apart(Id state, Id terminal, Id next) {
    if (!separability_.prevails(terminal)) return false;
    const ByteSet& more = extending(state, terminal);
    Id u = chart.next_terminal(next);
    while (u != kNone && g.terminals[u].kind == TerminalKind::Layout) next = chart.go(next, chart.lists.add({u})), u = chart.next_terminal(next);
    return u == kNone || separability_.goes_on(u, more, g.terminals[terminal].inside);
  }
  // Does the canonical continuation of `set` go on to the end, each terminal apart from the next?
  bool good(Id set) {
    Meter::Apart apart(meter_);
    std::vector<Id> path;
    bool result = true;
    for (Id s = set;;) {
      auto it = good_.find(s);
      if (it != good_.end()) {
        result = it->second;
        break;
      }
      meter_.charge();
      path.push_back(s);
      if (chart.dead(s)) {
        result = false;
        break;
      }
      Id u = chart.next_terminal(s);
      if (u == kNone) break;
      Id terminals = chart.lists.add({u});
      if (g.terminals[u].kind == TerminalKind::Regex) {
        Id state = scan.start(chart.allowed(s), false), end = state;
        if (!separable_terminal_[u] && !(stands_apart(state, u, chart.go(s, terminals)) &&
                                         (!g.layout.on || stands_apart(scan.start(chart.allowed(s), true), u, chart.go(s, terminals))))) {
          result = false;
          break;
        }
        for (char b : re_.shortest(g.terminals[u].regex)) end = scan.step(end, static_cast<unsigned char>(b));
        if (end && !scan.ends(end).empty()) terminals = scan.ends(end)[0].terminals;
      }
      s = with_interludes(chart.go(s, terminals));
    }
    for (Id s : path) good_[s] = result;
    return result;
  }

  Reader* documents_;
  std::unordered_map<Id, Document> roots_;
  std::unordered_map<std::int32_t, std::vector<Id>> specials_;
  std::vector<std::pair<Id, ByteSet>> document_starts_;
  std::unordered_map<Id, Config> document_configs_;
  Separability separability_;
  std::vector<bool> separable_terminal_;
  std::vector<Id> ways_;  // by lexer state
  std::unordered_map<Id, Finals> finals_;
  std::unordered_map<Id, bool> good_;
  std::unordered_map<std::uint64_t, bool> finishable_, can_end_;
  std::unordered_map<std::uint64_t, ByteSet> extending_;
  bool separable_ = false;
  ListStore alternatives_, configs_;
  std::deque<Embedded> embedded_;
  std::unordered_map<std::uint64_t, std::vector<Id>> embedded_ids_;
  std::unordered_map<Id, Searched> searched_;
  std::unordered_map<std::array<Id, 4>, After, KeyHash> after_;
  std::unordered_map<std::uint64_t, std::pair<Id, std::int64_t>> steps_;
  Id start_ = 0;
};

}  // namespace constrain
