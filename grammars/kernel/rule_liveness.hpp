// Which readings can be finished.
//
// Under "any", where no terminal forbids what follows, all: whatever lexeme comes next may end where the parser needs it
// to. Under "longest" a lexeme may swallow what follows. An alternative without obligations is live if a terminal alive in
// it is *separable* (`Separability`), by induction along the canonical derivation: finish the lexeme, begin the next one
// with a byte that does not extend it. Where all terminals of the grammar are separable that needs no look at the parser.
// Otherwise the derivation is followed, set by set, with the terminals that compete at each (`good`), each set once. What
// remains, obligations above all, is decided by a charged best-first search for a completion, exact or LimitError. Every
// answer is remembered. Not thread-safe.
#pragma once
#include "finishing.hpp"
#include "readings.hpp"

namespace constrain {

class RuleLiveness : public Readings {
 public:
  RuleLiveness(Rules rules, RegexStore& re, Meter& meter, Reader* documents, std::unordered_map<Id, Document> roots,
               std::unordered_map<std::int32_t, std::vector<Id>> specials)
      : Readings(std::move(rules), re, meter, documents, std::move(roots), std::move(specials)), separability_(g, re_, meter) {
    separability_.find(std::unordered_map<Id, ByteSet>(document_starts_.begin(), document_starts_.end()));
    if (!separability_.all) finishing_ = std::make_unique<Finishing>(g, chart, separability_, meter);
  }

  // Terminals for which liveness needs a search, because what follows may merge with them.
  std::vector<Id> inseparable() const {
    std::vector<Id> out;
    for (std::size_t t = 0; t < g.terminals.size(); ++t)
      if (!separability_.separable[t] && (g.parsed[t] || g.terminals[t].ignored || g.terminals[t].inside)) out.push_back(static_cast<Id>(t));
    return out;
  }
  // How a completion is to go on.
  enum class Way {
    Canonical,  // by the canonical derivation, to the end
    Clean,      // by the canonical derivation up to where clean rests lead to the end (`Finishing`), which says yes more often
  };
  // Is `a` live by the induction of the file's comment? False negatives are searched for.
  bool plainly_live(const Alternative& a, Way way = Way::Clean) {
    if (a.obligations) return false;
    if (a.phase == kEmbedded) return goes_on(chart.go(a.set, chart.lists.add({document(a).terminal})), way);
    if (a.phase == kFresh || a.phase == kLineStart) return goes_on(a.set, way);
    if (way == Way::Clean && !separability_.all && surely_finishable(known_finishable(a.set), ways(a.state))) return true;
    std::vector<Id> parts(scan.begin(a.state), scan.end(a.state));
    for (std::size_t i = 0; i < parts.size(); i += 2)
      if (plainly_ends(a, parts[i], way)) return true;
    return false;
  }
  bool live(const Alternative& a) {
    if (a.phase == kFresh ? chart.dead(a.set) : a.phase != kEmbedded && !a.state) return false;
    if (plainly_live(a)) return true;
    if (a.obligations && freed(a)) return true;
    if (a.obligations && !g.captures.empty() && ends_in_time(a)) return true;
    if (a.obligations && a.phase == kInside && !lexeme_can_end(a.state, a.obligations)) return false;
    if (a.phase == kInside && final_ends(a.state).only) {
      bool ends = false;
      for (Id terminals : final_ends(a.state).terminals)
        for (const Place& p : after(a.set, a.layout, terminals)) ends = ends || ends_text(p);
      if (!ends || !a.obligations) return ends;
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
  // The terminals alive in `state` that are separable from whatever may follow them, cheapest first, each with the list of
  // what ends where its shortest match does (a list of `Chart::lists`). A lexeme in `state` at a set is live if one of them
  // is `finishable` there.
  Id ways(Id state) {
    if (state < static_cast<Id>(ways_.size()) && ways_[static_cast<std::size_t>(state)] != kNone) return ways_[static_cast<std::size_t>(state)];
    Meter::Apart apart(meter_);
    std::vector<std::pair<std::int64_t, Id>> found;
    std::vector<Id> parts(scan.begin(state), scan.end(state)), ordered;
    for (std::size_t i = 0; i < parts.size(); i += 2)
      if (separability_.all ? separability_.separable[parts[i]] : ends_apart(state, parts[i])) found.emplace_back(g.terminals[parts[i]].cost, parts[i]);
    std::sort(found.begin(), found.end());
    for (auto& f : found) ordered.push_back(f.second), ordered.push_back(separability_.all ? 0 : terminals_at_shortest(state, f.second));
    if (state >= static_cast<Id>(ways_.size())) ways_.resize(static_cast<std::size_t>(state) + 64, kNone);
    return ways_[static_cast<std::size_t>(state)] = chart.lists.add(ordered);
  }
  // May what follows one of `ways` at `set` be finished?
  bool finishable(Id set, Id ways) {
    if (separability_.all) return ways != 0;
    if (surely_finishable(known_finishable(set), ways)) return true;
    std::uint64_t key = static_cast<std::uint64_t>(set) << 32 | static_cast<std::uint32_t>(ways);
    if (const bool* known = finishable_.find(key)) return *known;
    Meter::Apart apart(meter_);
    bool any = false;
    std::vector<Id> order(chart.lists.begin(ways), chart.lists.end(ways));
    for (std::size_t i = 0; i < order.size() && !any; i += 2) any = goes_on(set_after_lexeme(set, order[i], order[i + 1]), Way::Clean);
    return finishable_.put(key, any);
  }
  bool needs_finishing() const { return !separability_.all; }
  // What is known of `finishable` at a set without a look at what follows: a number, 0 if nothing needs finishing.
  Id known_finishable(Id set) { return separability_.all ? 0 : finishing_->known(set); }
  // Does `known_finishable` say that one of `ways` is?
  bool surely_finishable(Id known, Id ways) const {
    for (const Id* t = chart.lists.begin(ways); t < chart.lists.end(ways); t += 2)
      if (finishing_->holds(known, *t)) return true;
    return false;
  }
  // Does it depend on a text what a step from lexer state `at` to `next`, both reduced, means? Whether the lexeme has ended or
  // goes on is a matter of obligations, which a text belongs to. `begun`: something of the lexeme was read before.
  bool depends(Id at, Id next, bool begun) {
    if (next == Scanner::kUnsure) return true;
    return next && begun && g.longest && scan.abstract(next) && !scan.ends(at).empty() && scan.no_longer_match(next) != kNone;
  }
  // A lexeme in `state` ends as `e` and byte `b` follows: may a lexeme that begins at `p` with that byte end in turn?
  bool may_follow(const Place& p, Id state, const Scanner::End& e, int b) {
    if (has_documents() && begins_document(p.set, b)) return true;
    Id next = g.longest ? scan.step(state, b) : 0, longer = next ? scan.no_longer_match(next) : 0;
    if (longer == kNone) return false;
    Id begun = scan.step(fresh(p).state, b), asked = begun ? scan.step_obligations(e.obligations, b) : kNone;
    return asked != kNone && lexeme_can_end(begun, scan.join(asked, longer));
  }

  std::size_t bytes() const { return Readings::bytes() + (finishing_ ? finishing_->bytes() : 0) + searched_.size() * 40 + can_end_.bytes() + good_.bytes() + ends_cleanly_.bytes() + finishable_.bytes() + extending_.size() * 64 + ways_.size() * 4; }

 protected:
  // Keeps what is known of the sets that are kept, and the sets that this leads to.
  template <class F>
  void each_continuation(Id set, F&& f) const {
    const Good* known = good_.find(static_cast<std::uint64_t>(set));
    if (known && known->next != kNone) f(known->next);
  }
  void collect(const Survivors& kept, bool lexers) {
    WordTable<Good> good;
    good_.each([&](std::uint64_t set, const Good& known) {
      Id id = kept.chart.sets(static_cast<Id>(set));
      if (id != kNone) good.put(static_cast<std::uint64_t>(id), {known.holds, kept.chart.sets(known.next)});
    });
    std::swap(good_, good);
    WordTable<bool> ends_cleanly;
    ends_cleanly_.each([&](std::uint64_t set, bool known) {
      Id id = kept.chart.sets(static_cast<Id>(set));
      if (id != kNone) ends_cleanly.put(static_cast<std::uint64_t>(id), known);
    });
    std::swap(ends_cleanly_, ends_cleanly);
    renumber(searched_, kept.alternatives);
    if (finishing_) finishing_->collect(kept.chart);
    WordTable<bool> finishable;
    if (!lexers)
      finishable_.each([&](std::uint64_t key, bool known) {
        Id set = kept.chart.sets(static_cast<Id>(key >> 32));
        if (set != kNone) finishable.put(static_cast<std::uint64_t>(set) << 32 | (key & 0xFFFFFFFF), known);
      });
    std::swap(finishable_, finishable);
    if (!lexers) return;
    ways_ = {};
    finals_ = {};
    can_end_ = {};
    extending_ = {};
  }
  // Is `a`, a lexeme in progress without obligations, live by way of a match of `t`?
  bool plainly_ends(const Alternative& a, Id t, Way way) {
    if (separability_.all) return separability_.separable[t];
    Id together = terminals_at_shortest(a.state, t);
    if (together == kNone) return false;
    Id next = set_after_lexeme(a.set, t, together);
    return !chart.dead(next) && apart_from(a.set, a.state, t, next) && goes_on(next, way);
  }
  // A set that the parser is in after the shortest match of `t` from `state` on, with whatever else ends there.
  Id set_after_shortest(Id set, Id state, Id t) { return set_after_lexeme(set, t, terminals_at_shortest(state, t)); }
  // The same for a match of `t` where `terminals` end.
  Id set_after_lexeme(Id set, Id t, Id terminals) {
    Id next = chart.go(set, terminals);
    bool stays = g.terminals[t].ignored || g.terminals[t].inside;
    return chart.dead(next) && stays ? set : next;
  }
  bool goes_on(Id set, Way way) {
    if (separability_.all) return true;
    return way == Way::Clean ? ends_cleanly(set) : good(set);
  }
  bool is_separable(Id terminal) const { return separability_.separable[terminal]; }

  // Is a reading without obligations that is plainly live one byte behind a shortest match of a terminal in progress?
  bool freed(const Alternative& a) {
    if (a.phase == kFresh) return freed_behind(a);
    if (a.phase != kInside || in_newline(a.state, a.layout)) return false;
    Alternative at = a;
    std::vector<Id> parts(scan.begin(a.state), scan.end(a.state));
    for (std::size_t i = 1; i < parts.size(); i += 2) {
      if (re_.abstract(parts[i])) continue;
      at.state = a.state, at.obligations = a.obligations;
      for (char b : re_.shortest(parts[i])) {
        at.state = scan.step(at.state, static_cast<unsigned char>(b));
        if ((at.obligations = scan.step_obligations(at.obligations, static_cast<unsigned char>(b))) == kNone) break;
      }
      if (at.obligations != kNone && at.state && at.state != Scanner::kUnsure && freed_behind(at)) return true;
    }
    return false;
  }
  // The same if the lexeme ends here.
  bool freed_behind(const Alternative& at) {
    bool found = false;
    each_end(at, [&](Id ask, const Place& p) {
      const Id asked = scan.join(at.obligations, ask);
      Alternative begun = fresh(p);
      const Id start = begun.state;
      begun.phase = kInside;
      for (int b = 0; b < 256 && !found; ++b) {
        if (!(begun.state = scan.step(start, b)) || scan.step_obligations(asked, b) != 0 || in_newline(begun.state, begun.layout)) continue;
        const Id longer = at.phase == kInside && g.longest ? scan.step(at.state, b) : 0;
        found = (!longer || scan.no_longer_match(longer) == 0) && plainly_live(begun);
      }
    });
    return found;
  }
  // Is there a completion that finishes the lexeme as its canonical one does and is then too short for any obligation to be
  // broken? It has the bytes of a shortest derivation, and between two lexemes at most one that is ignored.
  bool ends_in_time(const Alternative& a) {
    if (g.layout.on || !scan.fulfilled(a.obligations) || (a.phase != kFresh && a.phase != kInside)) return false;
    Alternative free = a;
    free.obligations = 0;
    if (a.phase == kFresh) return plainly_live(free, Way::Canonical) && in_time(a.set, a.obligations);
    std::vector<Id> parts(scan.begin(a.state), scan.end(a.state));
    for (std::size_t i = 0; i < parts.size(); i += 2) {
      if (!plainly_ends(free, parts[i], Way::Canonical)) continue;
      Id asked = a.obligations;
      for (char b : re_.shortest(parts[i + 1]))
        if (asked != kNone) asked = scan.step_obligations(asked, static_cast<unsigned char>(b));
      if (asked != kNone && scan.fulfilled(asked) && in_time(set_after_shortest(a.set, a.state, parts[i]), asked)) return true;
    }
    return false;
  }
  // Is the shortest completion of `set`, each lexeme apart from the next, shorter than all that obligations forbid?
  bool in_time(Id set, Id obligations) {
    std::int64_t bytes = chart.cost(set), space = 0;
    if (!bytes || !obligations) return true;
    for (std::size_t t = 0; t < g.terminals.size(); ++t)
      if ((g.terminals[t].ignored || g.terminals[t].inside || g.spaces[t]) && g.terminals[t].cost < Rules::kInfinite) space = std::max(space, g.terminals[t].cost);
    return bytes < Rules::kInfinite && scan.farther(obligations, (bytes + re_.weight('a')) * (1 + space));
  }

  // ------------------------------------------------------------------ search
  // The least special token of each terminal that has some.
  std::map<Id, std::int32_t> least_specials() const {
    std::map<Id, std::int32_t> out;
    for (auto& [token, terminals] : specials())
      for (Id t : terminals) {
        auto [it, made] = out.emplace(t, token);
        if (!made) it->second = std::min(it->second, token);
      }
    return out;
  }
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
  // A set that the parser may be in after `terminal`: itself, if it can take it; else where it was, for ignored ones.
  Id set_after(Id set, Id terminal) {
    Id next = chart.go(set, chart.lists.add({terminal}));
    bool stays = g.terminals[terminal].ignored || g.terminals[terminal].inside;
    return chart.dead(next) && stays ? set : next;
  }
  std::int64_t cost_after(Id set, Id terminal) {
    std::int64_t best = g.terminals[terminal].ignored || g.terminals[terminal].inside ? chart.cost(set) : Rules::kInfinite;
    return std::min(best, chart.cost(chart.go(set, chart.lists.add({terminal}))));
  }
  // Best-first search for a completion of `from`; false if there is none. The first byte of the one found, or 256 + the special
  // token, goes to `first` (-1: none is needed). Stops at what is plainly live if only liveness is asked for.
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
    auto offer = [&](const Alternative& x, const Node& node, std::int64_t weight, int symbol) {
      std::int64_t rest = x.phase == kFresh && chart.dead(x.set) ? Rules::kInfinite : bound(x);
      if (rest >= Rules::kInfinite || !seen.insert(intern(x)).second) return;
      nodes.push_back({intern(x), node.depth + weight, node.byte < 0 ? symbol : node.byte});
      queue.emplace(node.depth + weight + rest, nodes.size() - 1);
    };
    while (!queue.empty()) {
      std::size_t at = queue.top().second;
      queue.pop();
      Node node = nodes[at];
      Alternative a = alternative(node.id);
      meter_.charge(8);
      if (accepting(a) || ((at > 0 || !first) && plainly_live(a, first ? Way::Canonical : Way::Clean))) {
        if (first) *first = node.byte;
        return true;
      }
      for (int b = 0; b < 256; ++b) {
        if (!has(re_.alphabet(), b)) continue;
        std::vector<Alternative> next;
        step(a, b, next);
        for (const Alternative& x : next) offer(x, node, re_.weight(b), b);
      }
      if (has_specials())
        for (const Place& p : places(a))
          for (auto& [terminal, token] : least_specials())
            if (chart.allows(p.set, terminal))
              offer(fresh({with_interludes(chart.go(p.set, chart.lists.add({terminal}))), p.layout}), node, g.terminals[terminal].cost, 256 + token);
    }
    return false;
  }

 private:
  // ------------------------------------------------------------------ canonical derivations
  // Does the canonical continuation of `set` go on to the end, each terminal apart from the next?
  bool good(Id set) {
    Meter::Apart apart(meter_);
    std::vector<Id> path;
    bool result = true;
    for (Id s = set;;) {
      if (const Good* known = good_.find(static_cast<std::uint64_t>(s))) {
        result = known->holds;
        path.push_back(s);
        break;
      }
      meter_.charge();
      path.push_back(s);
      result = !chart.dead(s);
      Id u = result ? chart.next_terminal(s) : kNone;
      if (u == kNone) break;
      s = after_canonical(s, u);
      if (s == kNone) {
        result = false;
        break;
      }
    }
    for (std::size_t i = 0; i < path.size(); ++i)
      if (i + 1 < path.size() || !good_.find(static_cast<std::uint64_t>(path[i])))
        good_.put(static_cast<std::uint64_t>(path[i]), Good{result, i + 1 < path.size() ? path[i + 1] : kNone});
    return result;
  }
  // The set after terminal `u`, with which the canonical continuation of `s` begins; kNone if what follows may merge with it.
  Id after_canonical(Id s, Id u) {
    Id terminals = chart.lists.add({u});
    if (g.terminals[u].kind == TerminalKind::Regex) {
      Id state = scan.start(chart.allowed(s), false), next = set_after_shortest(s, state, u);
      if (!apart_from(s, state, u, next)) return kNone;
      if (g.layout.on && !apart_from(s, scan.start(chart.allowed(s), true), u, next)) return kNone;
      terminals = terminals_at_shortest(state, u);
    }
    return with_interludes(chart.go(s, terminals));
  }
  // Does the canonical continuation of `set` lead, each terminal apart from the next, to where clean rests end the text?
  bool ends_cleanly(Id set) {
    Meter::Apart apart(meter_);
    std::vector<Id> path;
    bool result = false;
    for (Id s = set; s != kNone;) {
      if (const bool* known = ends_cleanly_.find(static_cast<std::uint64_t>(s))) {
        result = *known;
        break;
      }
      meter_.charge();
      path.push_back(s);
      if (chart.dead(s)) break;
      if ((result = finishing_->goes_on(s))) break;
      Id u = chart.next_terminal(s);
      if ((result = u == kNone)) break;
      s = after_canonical(s, u);
    }
    for (Id s : path) ends_cleanly_.put(static_cast<std::uint64_t>(s), result);
    return result;
  }
  // After the shortest match of `t` from `state` on, may whatever follows it or a terminal that ends with it come next?
  bool ends_apart(Id state, Id t) {
    Id together = terminals_at_shortest(state, t);
    if (together == kNone) return false;
    std::vector<Id> all(chart.lists.begin(together), chart.lists.end(together));
    if (!std::binary_search(all.begin(), all.end(), t)) return false;  // others have a higher priority
    if (all.size() == 1 && separability_.separable[t]) return true;
    for (Id x : all)
      if (!separability_.apart(x, extending(state, t))) return false;
    return true;
  }
  // What ends together with the shortest match of `t` from `state` on.
  // Of an abstract state: kNone if that depends on a text.
  Id terminals_at_shortest(Id state, Id t) {
    if (re_.captured(scan.residual(state, t)) && ends_alone(state, t)) return chart.lists.add({t});
    if (re_.abstract(scan.residual(state, t))) return kNone;
    Id end = state;
    for (char b : re_.shortest(scan.residual(state, t))) end = scan.step(end, static_cast<unsigned char>(b));
    if (end == Scanner::kUnsure) return kNone;
    return end && !scan.ends(end).empty() ? scan.ends(end)[0].terminals : chart.lists.add({t});
  }
  // Does no other terminal in `state` match what `t` matches?
  bool ends_alone(Id state, Id t) {
    std::vector<Id> parts(scan.begin(state), scan.end(state));
    if (parts.size() == 2) return true;
    Id own = re_.outline(scan.residual(state, t));
    for (std::size_t i = 0; i < parts.size(); i += 2)
      if (parts[i] != t && re_.live(re_.conj({own, re_.outline(parts[i + 1])}))) return false;
    return true;
  }
  // May the canonical continuation of `next` follow that match? If `t` ended alone, the static answer will do.
  bool apart_from(Id set, Id state, Id t, Id next) {
    if (separability_.separable[t] && (separability_.all || next == set || next == set_after(set, t))) return true;
    return stands_apart(state, t, next);
  }
  // After a match of `terminal` from `state` on, may the canonical continuation of `next` follow?
  bool stands_apart(Id state, Id terminal, Id next) {
    if (!separability_.prevails(terminal)) return false;
    const ByteSet& more = extending(state, terminal);
    Id u = chart.next_terminal(next);
    while (u != kNone && g.terminals[u].kind == TerminalKind::Layout) next = chart.go(next, chart.lists.add({u})), u = chart.next_terminal(next);
    return u == kNone || separability_.goes_on(u, more, terminal);
  }
  // Bytes that may extend a match of `terminal` from `state` on, given the terminals that compete there, and those that
  // what ends with it asks about: after any other byte all of that is taken.
  const ByteSet& extending(Id state, Id terminal) {
    const bool stops = re_.captured(scan.residual(state, terminal)) && re_.stops(g.terminals[terminal].capture);
    const bool alone = stops && scan.end(state) - scan.begin(state) == 2;  // then only what it forbids to follow counts
    const Id from = alone ? Scanner::kDead : scan.captured(state) ? scan.outlined(state) : state;
    std::uint64_t key = static_cast<std::uint64_t>(from) << 32 | static_cast<std::uint32_t>(2 * terminal + stops);
    auto it = extending_.find(key);
    if (it != extending_.end()) return it->second;
    Meter::Apart apart(meter_);
    auto goes_on = [&](Id next) {  // but for what its outline says of a capture that has stopped
      return !stops || scan.residual(next, terminal) == RegexStore::kEmpty || scan.end(next) - scan.begin(next) > 2;
    };
    const Id unless = g.terminals[terminal].unless;
    const ByteSet forbidden = unless != kNone ? separability_.alive(unless) : ByteSet{};
    std::vector<Id> states{from};  // all to which the terminal leads: found together, because one leads to the next
    std::vector<ByteSet> found{forbidden};
    std::vector<std::vector<std::size_t>> before{{}};
    std::unordered_map<Id, std::size_t> number{{from, 0}};
    for (std::size_t k = 0; k < states.size(); ++k) {
      const Id at = states[k];
      const bool ends = re_.nullable(scan.residual(at, terminal));
      if (ends)  // the other ends ask for what a byte at which the first asks for nothing refutes
        for (int b = 0; b < 256; ++b)
          if (scan.looks_at(scan.ends(at)[0].obligations, b)) put(found[k], b);
      meter_.charge(4);
      Id last = Scanner::kDead;
      for (int b = 0; b < 256; ++b) {
        const Id next = scan.step(at, b);
        if (!next) continue;
        if (ends && g.longest && goes_on(next)) put(found[k], b);
        if (next == last || scan.residual(next, terminal) == RegexStore::kEmpty) continue;
        last = next;
        auto [place, fresh] = number.try_emplace(next, states.size());
        if (fresh) states.push_back(next), found.push_back(forbidden), before.emplace_back();
        before[place->second].push_back(k);
      }
    }
    std::vector<std::size_t> open(states.size());
    std::iota(open.begin(), open.end(), std::size_t{0});
    while (!open.empty()) {
      const std::size_t k = open.back();
      open.pop_back();
      for (std::size_t p : before[k]) {
        bool grew = false;
        for (int w = 0; w < 4; ++w) grew = grew || (found[k][w] & ~found[p][w]), found[p][w] |= found[k][w];
        if (grew) open.push_back(p);
      }
    }
    for (std::size_t k = 0; k < states.size(); ++k) extending_[static_cast<std::uint64_t>(states[k]) << 32 | (key & 0xFFFFFFFF)] = found[k];
    return extending_[key];
  }

  // ------------------------------------------------------------------ lexemes under obligations
  // Is there a way to end the lexeme in progress that breaks no obligation, whatever the parser wants? If nothing may follow
  // it, none may be left open.
  bool lexeme_can_end(Id state, Id obligations) {
    if (!g.captures.empty()) state = scan.outlined(state), obligations = scan.without_captures(obligations);  // no more than they can
    std::uint64_t key = static_cast<std::uint64_t>(state) << 32 | static_cast<std::uint32_t>(obligations);
    if (const bool* known = can_end_.find(key)) return *known;
    Meter::Apart apart(meter_);
    std::vector<std::pair<Id, Id>> open{{state, obligations}};
    std::unordered_set<std::uint64_t> seen{key};
    bool found = false;
    const bool last = final_ends(state).only;
    while (!open.empty() && !found) {
      auto [at, asked] = open.back();
      open.pop_back();
      found = !scan.ends(at).empty() && (!last || scan.fulfilled(asked));
      meter_.charge(4);
      for (int b = 0; b < 256 && !found; ++b) {
        Id next = scan.step(at, b), still = next ? scan.step_obligations(asked, b) : kNone;
        if (still == kNone) continue;
        if (seen.insert(static_cast<std::uint64_t>(next) << 32 | static_cast<std::uint32_t>(still)).second) open.emplace_back(next, still);
      }
    }
    return can_end_.put(key, found);
  }
  // The ends of a lexeme after which no character may follow; `only`: it has no others.
  struct Finals {
    bool only = true;
    std::vector<Id> terminals;
  };
  const Finals& final_ends(Id state) {
    if (scan.captured(state)) return not_only_;  // its states have no end
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
  struct Searched {
    bool live;
    std::int64_t work;
  };
  struct Good {
    bool holds = false;
    Id next = kNone;  // set to which the canonical continuation goes on; kNone: it ends here
  };

  Separability separability_;
  std::unique_ptr<Finishing> finishing_;  // where not all terminals are separable
  std::vector<Id> ways_;  // by lexer state
  std::unordered_map<Id, Finals> finals_;
  Finals not_only_{false, {}};
  WordTable<Good> good_;  // by set
  WordTable<bool> ends_cleanly_;  // by set
  WordTable<bool> finishable_;
  WordTable<bool> can_end_;
  std::unordered_map<std::uint64_t, ByteSet> extending_;
  std::unordered_map<Id, Searched> searched_;
};

}  // namespace constrain
