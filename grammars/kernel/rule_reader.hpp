// Reading a text by a context-free grammar, and the canonical way to finish it.
//
// A configuration is a sorted list of live alternatives (`Readings`), interned: one id in `Config::a`, 0 when nothing is
// left, equal ids for equal configurations.
//
// `next_symbol` follows a shortest derivation of the parser, lexeme by lexeme, with an ignored lexeme between two that
// would merge; it is a function of the configuration alone. Not thread-safe.
#pragma once
#include "rule_liveness.hpp"

namespace constrain {

class RuleReader : public RuleLiveness {
 public:
  using RuleLiveness::accepting;
  using RuleLiveness::step;

  RuleReader(Rules rules, RegexStore& re, Meter& meter, Reader* documents, std::unordered_map<Id, Document> roots,
             std::unordered_map<std::int32_t, std::vector<Id>> specials)
      : RuleLiveness(std::move(rules), re, meter, documents, std::move(roots), std::move(specials)) {
    Alternative a;
    a.set = with_interludes(chart.start());
    a.layout = layouts.start();
    a.phase = g.layout.on ? kLineStart : kFresh;
    a.state = g.layout.on ? line_start_state() : scan.start(chart.allowed(a.set), false);
    start_ = live_config({a});
    if (!start_) throw SourceError(2, "no text is accepted");
  }

  Id start() const { return start_; }
  // The configuration after one more byte; 0 if no accepted text goes on so.
  Id step(Id c, int b) {
    std::uint64_t key = static_cast<std::uint64_t>(c) << 8 | static_cast<std::uint64_t>(b);
    const Priced* known = steps_.find(key);
    if (!known) {
      Meter::Apart apart(meter_);
      std::vector<Alternative> next;
      for (std::size_t i = 0; i < configs_.size(c); ++i) step(alternative(configs_.begin(c)[i]), b, next);
      Id made = live_config(next);
      known = &steps_.put(key, Priced(made, apart.work()));
    }
    meter_.charge(known->price);
    return known->found;
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
  bool accepting(Id c) {
    for (std::size_t i = 0; i < configs_.size(c); ++i)
      if (accepting(alternative(configs_.begin(c)[i]))) return true;
    return false;
  }
  std::vector<Alternative> alternatives(Id c) const {
    std::vector<Alternative> out;
    for (std::size_t i = 0; i < configs_.size(c); ++i) out.push_back(alternative(configs_.begin(c)[i]));
    return out;
  }
  Id config_of(const Alternative& a) { return config({intern(a)}); }
  Id live_config(const std::vector<Alternative>& all) {
    std::vector<Alternative> kept;
    for (const Alternative& a : all)
      if (live(a)) kept.push_back(a);
    if (!g.longest) merge(kept);
    std::vector<Id> ids;
    for (const Alternative& a : kept) ids.push_back(intern(a));
    return config(ids);
  }
  // Drops memos that have grown too large; no references into them may be held.
  void trim() {
    if (steps_.size() > kSteps) steps_.clear();
    if (after_.size() > kSteps) after_.clear();
    scan.trim();
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
  // The next byte of the canonical completion of a grammar without special tokens; -1: the text may end here.
  int next_byte(Id c) { return next_symbol(c); }
  // No completion of `c` has a smaller distance. The end that a grammar inside a string marks is no part of the text, and the
  // last line of a layout may go without its end.
  std::int64_t least(Id c) {
    std::int64_t best = Rules::kInfinite;
    for (const Alternative& a : alternatives(c)) best = std::min(best, bound(a));
    std::int64_t free = g.end != kNone ? g.terminals[g.end].cost : g.layout.on ? g.terminals[g.layout.newline].cost : 0;
    return std::max<std::int64_t>(0, best - free);
  }
  std::size_t bytes() const { return RuleLiveness::bytes() + configs_.bytes() + serials_.size() * 8 + steps_.bytes(); }

  // Of what depends on lexer states alone, and not on what the parser has read.
  std::size_t lexer_bytes() const { return scan.bytes() + chart.lists.bytes(); }

  // ------------------------------------------------------------------ collection
  // A number that a configuration keeps for as long as a collection finds it: what its hash is made of.
  std::uint64_t serial(Id c) {
    while (serials_.size() < configs_.count()) serials_.push_back(next_serial_++);
    return serials_[static_cast<std::size_t>(c)];
  }
  // Forgets what the configurations `live` (and the start) do not need; all numbers change. `lexers`: lexer states too.
  // What is kept of a memo is a matter of speed alone. Cost: linear in what is there.
  Survivors collect(const std::vector<Id>& live, bool lexers) {
    Kept configurations(configs_.count()), alternatives(alternatives_.count());
    configurations.mark(0);
    configurations.mark(start_);
    for (Id c : live) configurations.mark(c);
    configurations.number();
    alternatives.mark(0);
    configurations.each([&](Id c) {
      for (std::size_t i = 0; i < configs_.size(c); ++i) alternatives.mark(configs_.begin(c)[i]);
    });
    alternatives.number();
    Chart::Numbers of_chart = Readings::collect(alternatives, lexers, [&](Id set, auto& need) { each_continuation(set, need); });
    Survivors kept{std::move(of_chart), std::move(alternatives), std::move(configurations)};
    RuleLiveness::collect(kept, lexers);
    serial(0);
    configs_ = copied(configs_, kept.configurations, [&](std::vector<Id>& config) {
      for (Id& a : config) a = kept.alternatives(a);
    });
    kept.configurations.move(serials_);
    start_ = kept.configurations(start_);
    steps_.clear();
    return kept;
  }

 private:
  static constexpr std::size_t kSteps = 1u << 18;
  Id config(std::vector<Id> ids) {
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return configs_.add(ids);
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

  // ------------------------------------------------------------------ the canonical completion
  // Its next symbol; -1: the text may end here.
  std::int32_t next_symbol(Id c) {
    if (accepting(c)) return -1;
    std::vector<Alternative> best;
    std::pair<bool, std::int64_t> least{true, INT64_MAX};
    for (const Alternative& a : alternatives(c)) {
      bool plain = plainly_live(a, Way::Canonical);
      std::pair<bool, std::int64_t> here{!plain, plain ? planned_bytes(a) : bound(a)};
      if (here < least) least = here, best.clear();
      if (here == least) best.push_back(a);
    }
    // among equals the least symbol, because the order of alternatives is that of memos
    std::int32_t chosen = INT32_MAX;
    if (!least.first)
      for (const Alternative& a : best) {
        std::int32_t s = planned(a);
        if (s >= 0 && s < chosen && (s >= 256 || step(c, s))) chosen = s;
      }
    if (chosen != INT32_MAX) return chosen;
    for (const Alternative& a : best) {
      int first = -1;
      if (!search(a, &first) || first < 0) throw std::logic_error("a live configuration has no completion");
      chosen = std::min(chosen, first);
    }
    return chosen;
  }
  // Bytes that follow the shortest match of `t` from `a` on.
  std::int64_t bytes_after(const Alternative& a, Id t) { return std::min(cost_after(a.set, t), chart.cost(set_after_shortest(a.set, a.state, t))); }
  // Bytes along the way that `planned` goes, but for what is ignored: every symbol that it returns lowers them.
  std::int64_t planned_bytes(const Alternative& a) {
    if (a.phase != kInside || in_newline(a.state, a.layout)) return bound(a);
    std::int64_t least = Rules::kInfinite;
    std::vector<Id> parts(scan.begin(a.state), scan.end(a.state));
    for (std::size_t i = 0; i < parts.size(); i += 2)
      if (plainly_ends(a, parts[i], Way::Canonical)) least = std::min(least, re_.distance(parts[i + 1]) + bytes_after(a, parts[i]));
    return least;
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
    bool may_stop = false;
    std::vector<Id> parts(scan.begin(a.state), scan.end(a.state));
    for (std::size_t i = 0; i < parts.size(); i += 2) {
      std::int64_t d = re_.distance(parts[i + 1]);
      may_stop = may_stop || (d == 0 && plainly_ends(a, parts[i], Way::Canonical));
      if (d > 0 && d + bytes_after(a, parts[i]) < best && plainly_ends(a, parts[i], Way::Canonical)) best = d + bytes_after(a, parts[i]), terminal = parts[i];
    }
    Place next{Chart::kDead, 0};
    Id asked = 0;
    each_end(a, [&](Id obligations, const Place& p) {
      if (!may_stop || !scan.fulfilled(obligations) || !goes_on(p.set, Way::Canonical) || chart.cost(p.set) > best || (chart.cost(p.set) == best && !chart.dead(next.set))) return;
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
    if (before && ends_space(*before)) offer(t, chart.cost(chart.go(set, chart.lists.add({t}))));
    const bool found = byte >= 0;
    for (Id u = 0; u < static_cast<Id>(g.terminals.size()) && !found; ++u)
      if (g.terminals[u].ignored && is_separable(u)) offer(u, chart.cost(set));
      else if (g.spaces[u] && chart.allows(set, u)) offer(u, cost_after(set, u));
    if (byte < 0) offer(t, chart.cost(chart.go(set, chart.lists.add({t}))));
    if (byte < 0) {
      std::vector<Id> allowed(chart.lists.begin(chart.allowed(set)), chart.lists.end(chart.allowed(set)));
      for (Id u : allowed) offer(u, cost_after(set, u));
    }
    return byte;
  }
  // Is the lexeme that may end here something ignored? Another one is then no help.
  bool ends_space(const Alternative& a) {
    for (const Id* p = scan.begin(a.state); p < scan.end(a.state); p += 2)
      if (re_.nullable(p[1]) && (g.terminals[*p].ignored || g.spaces[*p])) return true;
    return false;
  }
  std::int32_t special_of(Id terminal) const {
    std::int32_t best = INT32_MAX;
    for (auto& [token, terminals] : specials_)
      if (std::find(terminals.begin(), terminals.end(), terminal) != terminals.end()) best = std::min(best, token);
    return 256 + best;
  }
  std::int32_t planned_document(const Alternative& a) {
    Config c = document(a).config;
    if (!reading(a).accepting(c)) return reading(a).next_byte(c);
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

  ListStore configs_;
  std::vector<std::uint64_t> serials_;  // by configuration
  std::uint64_t next_serial_ = 0;
  WordTable<Priced> steps_;
  Id start_ = 0;
};

}  // namespace constrain
