// Which terminals may come to compete with what a canonical completion reads.
//
// Two terminals that would merge do so only where the parser can take both. While a text goes on with *plain* terminals
// alone (those of canonical completions, and all others that begin nothing new), what may be taken at any time is bounded by
// the rules in progress: by what lies ahead in them behind plain terminals. The format specification of an f-string, which
// would swallow a colon, is exposed inside of an f-string alone, because the head of one is not plain.
//
// Only *rivals* are followed: terminals that extend a match of one that is not separable. The exposed rivals of a set are a
// union over its items and their return addresses, found once for each. An over-approximation, by dots and return addresses.
// Cost: one fixed point over the grammar, a walk of the new return addresses. Not thread-safe.
#pragma once
#include <deque>
#include <map>

#include "chart.hpp"
#include "separable.hpp"

namespace constrain {

class Exposure {
 public:
  using Bits = std::vector<std::uint64_t>;

  Exposure(const Rules& rules, Chart& chart, Separability& separability, Meter& meter) : g_(rules), chart_(chart), meter_(meter) {
    rivals_ = separability.rivals();
    if (rivals_.empty()) return;
    for (Id x : g_.ignored)
      if (!g_.is_terminal(x)) return;  // may begin anywhere, too
    on_ = true;
    find_plain(separability);
  }

  // May less than everything be exposed?
  bool on() const { return on_; }
  bool plain(Id terminal) const { return on_ && plain_[static_cast<std::size_t>(terminal)]; }
  // The rivals that may be taken at `set` or at any set to which plain terminals lead from it, or one plain terminal read
  // together with others: a number.
  Id of(Id set) {
    exposed_.assign(words(), 0);
    Id last = kNone;
    chart_.each_item(set, [&](Id dot, Id back) {
      join(exposed_, ahead_[static_cast<std::size_t>(dot)]);
      if (!passes_[static_cast<std::size_t>(dot) + 1] || back == Chart::kTop) return;
      Id more = behind(back);
      if (more != last) join(exposed_, bits(last = more));
    });
    return number(exposed_);
  }
  const Bits& bits(Id number) const { return contents_[static_cast<std::size_t>(number)]; }
  // After `Chart::collect`.
  void collect(const Chart::Numbers& kept) { kept.returns.move(behind_); }
  std::size_t bytes() const { return behind_.size() * 4 + numbers_.bytes() + ahead_.size() * (words() * 8 + 24); }

 private:
  static constexpr Id kUnknown = -1;
  std::size_t words() const { return (g_.terminals.size() + 63) / 64; }
  static bool has_bit(const Bits& bits, Id t) { return bits[static_cast<std::size_t>(t) >> 6] >> (t & 63) & 1; }
  static bool join(Bits& into, const Bits& from) {
    bool grew = false;
    for (std::size_t w = 0; w < into.size(); ++w) {
      std::uint64_t x = into[w] | from[w];
      grew |= x != into[w];
      into[w] = x;
    }
    return grew;
  }
  static bool within(const Bits& a, const Bits& b) {
    for (std::size_t w = 0; w < a.size(); ++w)
      if (a[w] & ~b[w]) return false;
    return true;
  }
  Id number(const Bits& bits) {
    flat_.clear();
    for (std::uint64_t w : bits) flat_.push_back(static_cast<Id>(w)), flat_.push_back(static_cast<Id>(w >> 32));
    Id made = numbers_.add(flat_);
    while (static_cast<Id>(contents_.size()) <= made) contents_.push_back(bits);
    return made;
  }

  // Plain are canonical terminals and those which expose no more than the start does; and with a terminal all that have a
  // match in common with it, because they are read together.
  void find_plain(Separability& separability) {
    std::size_t n = g_.terminals.size();
    plain_ = g_.canonical();
    for (std::size_t t = 0; t < n; ++t)
      if (g_.terminals[t].kind != TerminalKind::Regex || g_.terminals[t].ignored || g_.terminals[t].inside || g_.spaces[t]) plain_[t] = true;
    if (g_.layout.on) plain_[static_cast<std::size_t>(g_.layout.newline)] = true;
    add_relatives(separability);
    look_ahead();
    const std::vector<bool> least = plain_;
    const Bits top = ahead_[static_cast<std::size_t>(g_.start_dot)];
    std::vector<bool> opens(n, false);
    for (std::size_t d = 0; d < g_.symbol.size(); ++d)
      if (g_.is_terminal(g_.symbol[d]) && !within(ahead_[d + 1], top)) opens[static_cast<std::size_t>(g_.symbol[d])] = true;
    for (std::size_t t = 0; t < n; ++t) plain_[t] = plain_[t] || !opens[t];
    add_relatives(separability);
    look_ahead();
    if (within(ahead_[static_cast<std::size_t>(g_.start_dot)], top)) return;
    plain_ = least;
    look_ahead();
  }
  void add_relatives(Separability& separability) {
    std::vector<Id> open;
    for (std::size_t t = 0; t < plain_.size(); ++t)
      if (plain_[t]) open.push_back(static_cast<Id>(t));
    while (!open.empty()) {
      Id t = open.back();
      open.pop_back();
      for (std::size_t u = 0; u < plain_.size(); ++u)
        if (!plain_[u] && separability.meet(t, static_cast<Id>(u), false)) plain_[u] = true, open.push_back(static_cast<Id>(u));
    }
  }
  // By dot: the rivals that may be next after plain terminals (or nothing) from there to the end of the rule, and whether plain
  // terminals lead to that end.
  void look_ahead() {
    std::vector<Bits> next(g_.symbols(), Bits(words(), 0));  // the same for a symbol
    std::vector<bool> through(g_.symbols(), false);
    for (std::size_t t = 0; t < g_.terminals.size(); ++t) {
      through[t] = plain_[t];
      if (has_bit(rivals_, static_cast<Id>(t))) next[t][t >> 6] |= 1ull << (t & 63);
    }
    ahead_.assign(g_.symbol.size(), Bits(words(), 0));
    passes_.assign(g_.symbol.size(), false);
    for (bool grew = true; grew;) {
      grew = false;
      for (std::size_t d = g_.symbol.size(); d-- > 0;) {
        meter_.charge();
        if (g_.symbol[d] == Rules::kEnd) {
          passes_[d] = true;
          continue;
        }
        std::size_t s = static_cast<std::size_t>(g_.symbol[d]);
        bool over = through[s] || g_.nullable[s];
        grew |= join(ahead_[d], next[s]);
        if (over) grew |= join(ahead_[d], ahead_[d + 1]);
        if (over && passes_[d + 1] && !passes_[d]) passes_[d] = grew = true;
        if (d > 0 && g_.symbol[d - 1] != Rules::kEnd) continue;
        std::size_t h = static_cast<std::size_t>(g_.head[d]);
        grew |= join(next[h], ahead_[d]);
        if (passes_[d] && !through[h]) through[h] = grew = true;
      }
    }
  }
  // What a rule with return address `root` exposes once it has ended: a number. Addresses refer to each other in circles.
  Id behind(Id root) {
    if (known(root) != kUnknown) return known(root);
    std::vector<Id> open{root};
    std::map<Id, Bits> value{{root, Bits(words(), 0)}};
    for (std::size_t k = 0; k < open.size(); ++k) {
      Bits own(words(), 0);
      chart_.each_behind(open[k], [&](Id dot, Id back) {
        join(own, ahead_[static_cast<std::size_t>(dot)]);
        if (!passes_[static_cast<std::size_t>(dot)] || back == Chart::kTop) return;
        if (known(back) != kUnknown) join(own, bits(known(back)));
        else if (value.try_emplace(back, Bits(words(), 0)).second) open.push_back(back);
      });
      meter_.charge();
      value[open[k]] = own;
    }
    for (bool grew = open.size() > 1; grew;) {
      grew = false;
      for (std::size_t k = open.size(); k-- > 0;)
        chart_.each_behind(open[k], [&](Id dot, Id back) {
          if (passes_[static_cast<std::size_t>(dot)] && value.count(back)) grew |= join(value[open[k]], value[back]);
        });
      meter_.charge(static_cast<std::int64_t>(open.size()));
    }
    for (Id back : open) {
      if (back >= static_cast<Id>(behind_.size())) behind_.resize(static_cast<std::size_t>(back) + 64, kUnknown);
      behind_[static_cast<std::size_t>(back)] = number(value[back]);
    }
    return known(root);
  }
  Id known(Id back) const { return back < static_cast<Id>(behind_.size()) ? behind_[static_cast<std::size_t>(back)] : kUnknown; }

  const Rules& g_;
  Chart& chart_;
  Meter& meter_;
  bool on_ = false;
  Bits rivals_;
  std::vector<bool> plain_;   // by terminal
  std::vector<Bits> ahead_;   // by dot
  std::vector<bool> passes_;  // by dot
  std::vector<Id> behind_;    // by return address
  ListStore numbers_;         // bits, 32 terminals a word
  std::deque<Bits> contents_; // by number
  Bits exposed_;              // of one set at a time
  std::vector<Id> flat_;
};

}  // namespace constrain
