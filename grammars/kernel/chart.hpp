// The parser: interned sets of items, and the stack as interned return addresses.
//
// A *set* is what Earley's algorithm (CACM 1970) keeps for one position of the text, written so that it depends on its
// future alone: items (dot, return address), closed under completion and under advancing over nullable symbols (Aycock
// and Horspool, 2002), without predictions, which are a function of the items. Where Earley stores the position at which
// an item began, an item here holds the *return address* of its nonterminal B there: the items that wait for B, each moved
// behind it, with their own return addresses. Predicted ones among them refer to the return addresses of their heads, and B may
// refer to itself; where nonterminals predict each other in turn, an address names the place and the other nonterminal instead.
// Addresses are interned; one that only hands on to another is that other. What a completed B adds to a set, its *content*, is
// what lies behind the address and behind all to which it hands on, found when a rule first ends there: most rules in progress
// never do. What asks about the stack alone (costs, liveness) looks behind addresses without making sets (`each_behind`).
//
// Consequences, each of which Earley's algorithm needs extra machinery for:
//   - sets are hash-consed, so equal futures are (nearly always) one id, and states of a parser compare in O(1);
//   - left recursion returns to a set met before: constant memory, no work;
//   - right recursion too, because a rule that ends with B hands on its own return address (what Leo, TCS 1991, does per item);
//   - nothing refers to positions: sets are persistent, shared by all texts, and forking is free.
// Deterministic grammars cost O(1) set operations a terminal; ambiguous ones at most what Earley's algorithm costs.
//
// Memory: 8 bytes an item. Sets live until `collect` forgets what is no longer needed. Not thread-safe.
#pragma once
#include "collection.hpp"
#include "rules.hpp"

namespace constrain {

class Chart {
 public:
  static constexpr Id kDead = 0;
  static constexpr Id kTop = 0;  // return address of the start rule: the text is complete

  // What a set can read next: sorted terminals, and the nonterminals that it predicts.
  struct Shape {
    Id allowed = 0;  // list id, in `lists`
    std::vector<std::uint64_t> predicted;
  };

  Chart(const Rules& rules, Meter& meter) : g_(rules), meter_(meter) {
    sets_.add({0});
    returns_.push_back({sets_.add({1}), 0});
    while (g_.symbol[static_cast<std::size_t>(end_dot_)] != Rules::kEnd) ++end_dot_;
    find_circles();
    Building out;
    add(g_.start_dot, kTop, out);
    start_ = intern(out);
  }

  ListStore lists;  // of terminals

  Id start() const { return start_; }
  bool accepts(Id set) const { return *sets_.begin(set) != 0; }
  // Does no text lead on from here to the end?
  bool dead(Id set) { return empty(set) || (g_.refuses && cost(set) >= Rules::kInfinite); }
  const Shape& shape(Id set) { return shapes_[shape_of(set)]; }
  Id allowed(Id set) { return shape(set).allowed; }
  bool allows(Id set, Id terminal) {
    Id list = allowed(set);
    return std::binary_search(lists.begin(list), lists.end(list), terminal);
  }

  // Calls f(nonterminal) for the rules of which a part has been read, each item once.
  template <class F>
  void each_head(Id set, F&& f) const {
    for (std::size_t i = 1, n = sets_.size(set); i < n; i += 2) {
      Id d = sets_.begin(set)[i];
      if (d > 0 && g_.symbol[d - 1] != Rules::kEnd && d != g_.start_dot) f(g_.head[d]);
    }
  }

  // The set after any one of the terminals of the list `terminals`; dead if none can be read.
  Id go(Id set, Id terminals) {
    std::uint64_t key = static_cast<std::uint64_t>(set) << 32 | static_cast<std::uint32_t>(terminals);
    const Priced* known = moves_.find(key);
    if (!known) {
      Meter::Apart apart(meter_);
      Id made = find_move(set, terminals);
      known = &moves_.put(key, Priced(made, apart.work()));
    }
    meter_.charge(known->price);
    return known->found;
  }
  // The set from which either of two sets goes on.
  Id either(Id a, Id b) {
    if (a == b || empty(b)) return a;
    if (empty(a)) return b;
    Building out;
    for (Id s : {a, b}) take(s, out);
    return intern(out);
  }
  // The set in which `symbol` is read first, and then everything that follows `set`: for ignored nonterminals.
  Id interlude(Id set, Id symbol) {
    std::uint64_t key = static_cast<std::uint64_t>(set) << 32 | static_cast<std::uint32_t>(symbol);
    if (const Id* known = interludes_.find(key)) return *known;
    Meter::Apart apart(meter_);
    std::vector<Id> list(sets_.begin(set) + 1, sets_.begin(set) + sets_.size(set));
    if (accepts(set)) list.insert(list.end(), {end_dot_, kTop});
    Id back = address_of(std::move(list));
    Building out;
    for (Id d : g_.first_dots[symbol]) out.items.push_back({d, back});
    return interludes_.put(key, intern(out));
  }

  // Bytes of a shortest completion (lexemes side by side).
  std::int64_t cost(Id set) {
    if (set >= static_cast<Id>(costs_.size())) costs_.resize(set + 1, -1);
    if (costs_[set] >= 0) return costs_[set];
    std::int64_t best = accepts(set) ? 0 : Rules::kInfinite;
    for (std::size_t i = 1, n = sets_.size(set); i < n; i += 2)
      best = std::min(best, g_.rest[sets_.begin(set)[i]] + return_cost(sets_.begin(set)[i + 1]));
    if (set >= static_cast<Id>(costs_.size())) costs_.resize(set + 1, -1);
    return costs_[set] = best;
  }
  // The item (dot, return address) by which a shortest completion goes on; dot kNone if the text is best ended here.
  std::pair<Id, Id> next_item(Id set) {
    std::pair<Id, Id> chosen{kNone, kNone};
    if (accepts(set)) return chosen;
    std::int64_t best = Rules::kInfinite;
    for (std::size_t i = 1, n = sets_.size(set); i < n; i += 2) {
      Id d = sets_.begin(set)[i], back = sets_.begin(set)[i + 1];
      std::int64_t c = g_.rest[d] + return_cost(back);
      bool follows = c == best && chosen.first != kNone && g_.cost[g_.symbol[chosen.first]] == 0;
      if (c < best || follows) best = c, chosen = {d, back};
    }
    return chosen;
  }
  // The next terminal of a shortest completion; kNone if the text is best ended here.
  Id next_terminal(Id set) {
    Id dot = next_item(set).first;
    return dot == kNone ? kNone : g_.leftmost(g_.symbol[dot]);
  }
  // Calls f(dot, return address) for each item of a set; f may make sets.
  template <class F>
  void each_item(Id set, F&& f) {
    for (std::size_t i = 1, n = sets_.size(set); i < n; i += 2) f(sets_.begin(set)[i], sets_.begin(set)[i + 1]);
  }
  // The same for what lies behind return address `back`; what is at its end hands on to the return address. Nothing lies
  // behind kTop. f may make sets and return addresses.
  template <class F>
  void each_behind(Id back, F&& f) {
    if (is_reference(back)) return f(end_dot_, return_address(behind_.begin(back)[0], behind_.begin(back)[1]));
    for (std::size_t i = 0, n = behind_.size(back); i < n; i += 2) {
      Id to = behind_.begin(back)[i + 1];
      for (Id d = behind_.begin(back)[i];; ++d) {
        f(d, to == kSelf ? back : to);
        if (g_.symbol[d] == Rules::kEnd || !g_.nullable[g_.symbol[d]]) break;
      }
    }
  }
  std::size_t bytes() const {
    return sets_.bytes() + lists.bytes() + returns_.size() * sizeof(Return) + behind_.bytes() + (waiting_.size() + shape_ids_.size()) * 4 +
           costs_.size() * 8 + moves_.bytes() + return_ids_.bytes() + interludes_.bytes() + shapes_.size() * (96 + g_.symbols() / 8) + corner_ids_.bytes() + corners_.size() * 200;
  }

  // ------------------------------------------------------------------ collection
  struct Numbers {
    Kept sets, returns;
  };
  // Forgets all but the sets `roots`, what they lead to, and the sets for which also(set, f) calls f, and numbers them
  // afresh. Reading a text again leads to the return addresses that are kept, because they are interned by what lies behind
  // them. `lists_too`: `lists` begins anew; what refers to it must be forgotten.
  template <class F>
  Numbers collect(const std::vector<Id>& roots, bool lists_too, F&& also) {
    Numbers kept{Kept(sets_.count()), Kept(returns_.size())};
    std::vector<Id> open, open_returns;
    auto need = [&](Id set) {
      if (kept.sets.mark(set)) open.push_back(set);
    };
    auto need_return = [&](Id back) {
      if (kept.returns.mark(back)) open_returns.push_back(back);
    };
    for (Id set : {Id{0}, Id{1}, start_}) need(set);  // 0 and 1: the empty list, and the set of no items
    need_return(kTop);
    for (Id set : roots) need(set);
    while (!open.empty() || !open_returns.empty()) {
      if (!open.empty()) {
        Id set = open.back();
        open.pop_back();
        for (std::size_t i = 2, n = sets_.size(set); i < n; i += 2) need_return(sets_.begin(set)[i]);
        also(set, need);
      } else {
        const Id back = open_returns.back();
        open_returns.pop_back();
        if (is_reference(back)) need(behind_.begin(back)[0]);
        else
          for (std::size_t i = 1, n = behind_.size(back); i < n; i += 2)
            if (Id to = behind_.begin(back)[i]; to != kSelf) need_return(to);
        if (returns_[back].content != kNone) need(returns_[back].content);
      }
    }
    kept.sets.number();
    kept.returns.number();
    copy(kept);
    if (lists_too) {
      lists = ListStore();
      shapes_.clear();
      shapes_by_next_.clear();
      corners_.clear();
      corner_ids_.clear();
      shape_ids_.clear();
    }
    return kept;
  }
  std::size_t count() const { return sets_.count(); }

 private:
  struct Item {
    Id dot, back;
    auto operator<=>(const Item&) const = default;
  };
  struct Building {
    bool accept = false;
    std::vector<Item> items;
    std::vector<Id> merged;  // return addresses whose content is in
  };
  // A set to build, of which the memory is used again. Sets are built while others are.
  struct Borrowed {
    explicit Borrowed(Chart& c) : chart(c), building(c.borrow()) {}
    ~Borrowed() { --chart.borrowed_; }
    Borrowed(const Borrowed&) = delete;
    Chart& chart;
    Building& building;
  };
  Building& borrow() {
    if (borrowed_ == buildings_.size()) buildings_.emplace_back();
    Building& b = buildings_[borrowed_++];
    b.accept = false;
    b.items.clear();
    b.merged.clear();
    return b;
  }
  // What predictions become after a symbol.
  struct Corners {
    std::vector<std::pair<Id, Id>> items;  // dot, head
    std::vector<Id> completed;             // predicted nonterminals that have ended with it
    std::int64_t work = 0;
  };
  struct Return {
    Id content = kNone;  // set that a completion adds; kNone: not found yet
    std::int64_t cost = -1;
  };
  static constexpr Id kSelf = -2;  // in `behind_`: the address itself
  static constexpr Id kReference = -3;
  bool empty(Id set) const { return sets_.size(set) <= 1 && !accepts(set); }
  void copy(const Numbers& kept) {
    sets_ = copied(sets_, kept.sets, [&](std::vector<Id>& set) {
      for (std::size_t i = 2; i < set.size(); i += 2) set[i] = kept.returns(set[i]);
    });
    start_ = kept.sets(start_);
    kept.sets.move(shape_ids_);
    kept.sets.move(costs_);
    waiting_ = {};
    moves_.clear();
    interludes_.clear();
    kept.returns.move(returns_);
    for (Return& r : returns_)
      if (r.content != kNone) r.content = kept.sets(r.content);
    behind_ = copied(behind_, kept.returns, [&](std::vector<Id>& list) {
      if (list.size() % 2) list[0] = kept.sets(list[0]);
      else
        for (std::size_t i = 1; i < list.size(); i += 2)
          if (list[i] != kSelf) list[i] = kept.returns(list[i]);
    });
    WordTable<Id> before;
    std::swap(before, return_ids_);
    before.each([&](std::uint64_t key, Id back) {
      Id place = kept.sets(static_cast<Id>(key >> 32));
      if (place != kNone && kept.returns.holds(back)) return_ids_.put(static_cast<std::uint64_t>(place) << 32 | (key & 0xFFFFFFFF), kept.returns(back));
    });
  }
  Id find_move(Id set, Id terminals) {
    Borrowed borrowed(*this);
    Building& out = borrowed.building;
    const Id shape = shape_of(set), place = waiting(set);
    std::vector<Id> symbols(lists.begin(terminals), lists.end(terminals));
    for (Id t : symbols) read(set, place, shape, t, out);
    return intern(out);
  }
  // Adds what the items of `set` and its predictions become after `symbol`; `place`: its items that wait for nonterminals.
  void read(Id set, Id place, Id shape, Id symbol, Building& out) {
    const Corners& corners = corners_of(shape, symbol);
    meter_.charge(corners.work);
    advance(set, symbol, out);
    for (auto [d, head] : corners.items) out.items.push_back({d, return_address(place, head)});
    for (Id head : corners.completed) advance(place, head, out);
  }
  void advance(Id set, Id symbol, Building& out) {
    for (std::size_t i = 1, n = sets_.size(set); i < n; i += 2)
      if (Id d = sets_.begin(set)[i]; g_.symbol[d] == symbol) add(d + 1, sets_.begin(set)[i + 1], out);
  }
  Id intern(Building& b) {
    std::sort(b.items.begin(), b.items.end());
    b.items.erase(std::unique(b.items.begin(), b.items.end()), b.items.end());
    meter_.charge(static_cast<std::int64_t>(b.items.size()));
    flat_.assign(1, b.accept);
    for (const Item& i : b.items) flat_.push_back(i.dot), flat_.push_back(i.back);
    return sets_.add(flat_);
  }
  void take(Id set, Building& out) {
    out.accept |= accepts(set);
    for (std::size_t i = 1, n = sets_.size(set); i < n; i += 2) out.items.push_back({sets_.begin(set)[i], sets_.begin(set)[i + 1]});
    meter_.charge(static_cast<std::int64_t>(sets_.size(set)));
  }
  void merge(Id back, Building& out) {
    if (std::find(out.merged.begin(), out.merged.end(), back) != out.merged.end()) return;
    out.merged.push_back(back);
    take(content(back), out);
  }
  // Adds an item that has moved to dot `d`, and what follows from it.
  void add(Id d, Id back, Building& out) {
    for (;; ++d) {
      if (g_.symbol[d] == Rules::kEnd) return merge(back, out);
      out.items.push_back({d, back});
      if (!g_.nullable[g_.symbol[d]]) return;
    }
  }
  // The predictions of a shape after `symbol`, their left corner.
  const Corners& corners_of(Id shape, Id symbol) {
    std::uint64_t key = static_cast<std::uint64_t>(shape) << 32 | static_cast<std::uint32_t>(symbol);
    if (const Id* known = corner_ids_.find(key)) return corners_[static_cast<std::size_t>(*known)];
    Meter::Apart apart(meter_);
    const std::vector<std::uint64_t>& predicted = shapes_[static_cast<std::size_t>(shape)].predicted;
    Corners made;
    for (std::size_t k = 0; k <= made.completed.size(); ++k)
      for (Id w : g_.waiters[k ? made.completed[k - 1] : symbol]) {
        Id head = g_.head[w];
        if (!(predicted[static_cast<std::size_t>(head) >> 6] >> (head & 63) & 1)) continue;
        ++made.work;
        for (Id d = w + 1;; ++d) {
          if (g_.symbol[d] == Rules::kEnd) {
            if (std::find(made.completed.begin(), made.completed.end(), head) == made.completed.end()) made.completed.push_back(head);
            break;
          }
          made.items.emplace_back(d, head);
          if (!g_.nullable[g_.symbol[d]]) break;
        }
      }
    meter_.charge(made.work);
    corner_ids_.put(key, static_cast<Id>(corners_.size()));
    return corners_.emplace_back(std::move(made));
  }
  // The items of a set that wait for nonterminals, as a set.
  Id waiting(Id set) {
    if (set >= static_cast<Id>(waiting_.size())) waiting_.resize(set + 1, kNone);
    if (waiting_[set] != kNone) return waiting_[set];
    flat_.assign(1, 0);
    for (std::size_t i = 1, n = sets_.size(set); i < n; i += 2) {
      Id d = sets_.begin(set)[i];
      if (g_.is_terminal(g_.symbol[d])) continue;
      flat_.push_back(d);
      flat_.push_back(sets_.begin(set)[i + 1]);
    }
    return waiting_[set] = sets_.add(flat_);
  }
  // The return address of `symbol` for what waits for it at `place`: items of that, and predictions.
  Id return_address(Id place, Id symbol) {
    auto key = [&](Id s) { return static_cast<std::uint64_t>(place) << 32 | static_cast<std::uint32_t>(s); };
    if (const Id* known = return_ids_.find(key(symbol))) return *known;
    const Id shape = shape_of(place);
    const std::vector<std::uint64_t>& predicted = shapes_[static_cast<std::size_t>(shape)].predicted;
    std::vector<Id> open{symbol}, list;
    while (!open.empty()) {
      const Id s = open.back();
      const std::size_t before = open.size();
      list.clear();
      for (Id w : g_.waiters[s]) {
        const Id head = g_.head[w];
        if (!(predicted[static_cast<std::size_t>(head) >> 6] >> (head & 63) & 1)) continue;
        Id to = kSelf;
        if (head != s && circle_[static_cast<std::size_t>(head)] == circle_[static_cast<std::size_t>(s)]) to = address_of({place, head, kReference});
        else if (head != s) {
          const Id* known = return_ids_.find(key(head));
          if (!known) open.push_back(head);
          else to = *known;
        }
        list.insert(list.end(), {w + 1, to});
      }
      if (open.size() > before) continue;
      for (std::size_t i = 1, n = sets_.size(place); i < n; i += 2)
        if (Id d = sets_.begin(place)[i]; g_.symbol[d] == s) list.insert(list.end(), {d + 1, sets_.begin(place)[i + 1]});
      return_ids_.put(key(s), address_of(std::move(list)));
      open.pop_back();
    }
    return *return_ids_.find(key(symbol));
  }
  // The return address before these pairs of dot and return address; or before three numbers: place, symbol, kReference.
  Id address_of(std::vector<Id> list) {
    if (list.size() % 2 == 0) {
      pairs_.clear();
      for (std::size_t i = 0; i < list.size(); i += 2) {
        const bool ended = g_.symbol[list[i]] == Rules::kEnd;
        if (!ended || list[i + 1] != kSelf) pairs_.emplace_back(ended ? end_dot_ : list[i], list[i + 1]);
      }
      std::sort(pairs_.begin(), pairs_.end());
      pairs_.erase(std::unique(pairs_.begin(), pairs_.end()), pairs_.end());
      if (pairs_.size() == 1 && pairs_[0].first == end_dot_) return pairs_[0].second;
      list.clear();
      for (auto& [d, to] : pairs_) list.insert(list.end(), {d, to});
    }
    meter_.charge(1 + static_cast<std::int64_t>(list.size()) / 2);
    Id id = behind_.add(list);
    if (id >= static_cast<Id>(returns_.size())) returns_.resize(static_cast<std::size_t>(id) + 1);
    return id;
  }
  bool is_reference(Id back) const { return behind_.size(back) % 2; }
  // The set that the completion of a rule with return address `back` adds.
  Id content(Id back) {
    if (returns_[back].content != kNone) return returns_[back].content;
    Meter::Apart apart(meter_);
    Borrowed borrowed(*this);
    Building& out = borrowed.building;
    std::vector<Id> open{back};
    std::unordered_set<Id> seen{back};
    for (std::size_t k = 0; k < open.size(); ++k)
      each_behind(open[k], [&](Id d, Id to) {
        if (g_.symbol[d] != Rules::kEnd) return out.items.push_back({d, to});
        if (!seen.insert(to).second) return;
        if (returns_[to].content != kNone) take(returns_[to].content, out);
        else open.push_back(to);
      });
    Id made = intern(out);
    return returns_[back].content = made;
  }
  // By symbol: a number that those have in common which predict each other in turn (Tarjan, SIAM J. Comput. 1972).
  void find_circles() {
    const std::size_t n = g_.symbols();
    circle_.assign(n, kNone);
    std::vector<Id> low(n), order(n, kNone), stack;
    struct Visit {
      Id symbol;
      std::size_t next;
    };
    Id count = 0;
    for (std::size_t root = g_.terminals.size(); root < n; ++root) {
      if (order[root] != kNone) continue;
      std::vector<Visit> path{{static_cast<Id>(root), 0}};
      while (!path.empty()) {
        auto [s, next] = path.back();
        if (next == 0) low[s] = order[s] = count++, stack.push_back(s);
        if (next < g_.waiters[s].size()) {
          ++path.back().next;
          const Id head = g_.head[g_.waiters[s][next]];
          if (order[head] == kNone) path.push_back({head, 0});
          else if (circle_[head] == kNone) low[s] = std::min(low[s], order[head]);
          continue;
        }
        path.pop_back();
        if (!path.empty()) low[path.back().symbol] = std::min(low[path.back().symbol], low[s]);
        if (low[s] != order[s]) continue;
        for (Id x = kNone; x != s;) x = stack.back(), stack.pop_back(), circle_[x] = s;
      }
    }
    meter_.charge(static_cast<std::int64_t>(g_.symbol.size()));
  }

  // ------------------------------------------------------------------ shapes
  Id shape_of(Id set) {
    if (set >= static_cast<Id>(shape_ids_.size())) shape_ids_.resize(set + 1, kNone);
    if (shape_ids_[set] != kNone) return shape_ids_[set];
    std::vector<Id> next;
    for (std::size_t i = 1, n = sets_.size(set); i < n; i += 2) next.push_back(g_.symbol[sets_.begin(set)[i]]);
    std::sort(next.begin(), next.end());
    next.erase(std::unique(next.begin(), next.end()), next.end());
    Id key = lists.add(next);
    auto it = shapes_by_next_.find(key);
    if (it == shapes_by_next_.end()) {
      Meter::Apart apart(meter_);
      shapes_.push_back(make_shape(next));
      it = shapes_by_next_.emplace(key, static_cast<Id>(shapes_.size()) - 1).first;
    }
    return shape_ids_[set] = it->second;
  }
  Shape make_shape(std::vector<Id> symbols) {
    Shape s;
    s.predicted.assign((g_.symbols() + 63) / 64, 0);
    meter_.charge(static_cast<std::int64_t>(s.predicted.size()) / 8 + 1);
    std::vector<Id> allowed, queue;
    std::unordered_set<Id> seen;
    auto meet = [&](Id x) {
      if (g_.is_terminal(x)) {
        if (seen.insert(x).second) allowed.push_back(x);
      } else if (!(s.predicted[x >> 6] >> (x & 63) & 1)) {
        s.predicted[x >> 6] |= 1ull << (x & 63);
        queue.push_back(x);
      }
    };
    for (Id x : symbols) meet(x);
    while (!queue.empty()) {
      Id x = queue.back();
      queue.pop_back();
      for (Id d : g_.first_dots[x]) meet(g_.symbol[d]);
      meter_.charge(1 + static_cast<std::int64_t>(g_.first_dots[x].size()));
    }
    std::sort(allowed.begin(), allowed.end());
    s.allowed = lists.add(allowed);
    return s;
  }

  // ------------------------------------------------------------------ costs
  // Return addresses refer to each other in circles (left recursion), so their costs are a least fixed point.
  std::int64_t return_cost(Id root) {
    if (returns_[root].cost >= 0) return returns_[root].cost;
    Meter::Apart apart(meter_);
    std::vector<Id> open{root};
    std::unordered_map<Id, std::int64_t> value{{root, Rules::kInfinite}};
    for (std::size_t k = 0; k < open.size(); ++k) {
      each_behind(open[k], [&](Id, Id back) {
        if (returns_[back].cost < 0 && value.emplace(back, Rules::kInfinite).second) open.push_back(back);
      });
    }
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t k = open.size(); k-- > 0;) {
        std::int64_t best = Rules::kInfinite;
        each_behind(open[k], [&](Id d, Id back) {
          std::int64_t known = returns_[back].cost >= 0 ? returns_[back].cost : value[back];
          best = std::min(best, std::min(g_.rest[d] + known, Rules::kInfinite));
          meter_.charge(2);
        });
        std::int64_t& v = value[open[k]];
        if (best < v) v = best, changed = true;
      }
    }
    for (Id r : open) returns_[r].cost = value[r];
    return value[root];
  }

  const Rules& g_;
  Meter& meter_;
  ListStore sets_;
  std::vector<Id> flat_;  // for one set at a time
  std::deque<Building> buildings_;
  std::size_t borrowed_ = 0;
  Id start_ = 0;
  ListStore behind_;  // by return address: pairs of dot and return address, sorted
  std::vector<Return> returns_;
  std::vector<std::pair<Id, Id>> pairs_;  // for one at a time
  std::vector<Id> circle_;                // by symbol
  Id end_dot_ = 0;                        // stands for all dots at the end of a rule
  std::vector<Id> waiting_, shape_ids_;   // by set
  std::vector<std::int64_t> costs_;
  std::deque<Shape> shapes_;
  std::unordered_map<Id, Id> shapes_by_next_;
  WordTable<Id> return_ids_, interludes_;
  WordTable<Priced> moves_;
  std::deque<Corners> corners_;
  WordTable<Id> corner_ids_;  // by shape and symbol
};

}  // namespace constrain
