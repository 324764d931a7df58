// After which terminals a text can be finished from a parser set, found without moving the parser.
//
// A *clean* symbol is a terminal that is separable (`Separability`; none of kind Never) or a nonterminal whose canonical derivation holds clean
// terminals alone; a rest of a rule is clean if its symbols are. If terminal t can be taken at an item such that what is
// left of its rule is clean, and so are the rules that a left corner t of it opens, and the same holds of some item to
// which its return address leads, and so on to the end of the text, then a canonical continuation after t exists in which
// every terminal is apart from the next. A terminal that is skipped leaves the parser where it was. That is a matter of dots
// and return addresses: no set after t is made.
//
// A predicate that may be wrong in one direction: what is said to be finishable is; the rest is left to a closer look.
// Cost: bits by nonterminal and terminal once, then one pass over the items of a set. Not thread-safe.
#pragma once
#include "chart.hpp"
#include "separable.hpp"

namespace constrain {

class Finishing {
 public:
  Finishing(const Rules& rules, Chart& chart, const Separability& separability, Meter& meter) : g_(rules), chart_(chart), meter_(meter) {
    words_ = (g_.terminals.size() + 31) / 32;
    on_ = words_ * 32 * g_.symbols() <= Rules::kAdjacencyBits;
    if (!on_) return;
    find_clean(separability);
    find_starts();
    find_skipped();
  }

  // A number for the terminals after which a text is known to be finishable from `set`; equal numbers, equal terminals.
  Id known(Id set) {
    if (!on_) return 0;
    if (set >= static_cast<Id>(known_.size())) known_.resize(static_cast<std::size_t>(set) + 64, kNone);
    if (known_[static_cast<std::size_t>(set)] != kNone) return known_[static_cast<std::size_t>(set)];
    Meter::Apart apart(meter_);
    std::vector<Id> bits(words_, 0);
    bool goes_on = chart_.accepts(set);  // without a move: what is skipped may be taken
    chart_.each_item(set, [&](Id dot, Id back) {
      if (!clean_rest_[static_cast<std::size_t>(dot) + 1] || !returns_cleanly(back)) return;
      join(bits, starts_[static_cast<std::size_t>(g_.symbol[dot])]);
      goes_on = goes_on || clean_rest_[static_cast<std::size_t>(dot)];
    });
    if (goes_on) join(bits, skipped_);
    if (set >= static_cast<Id>(known_.size())) known_.resize(static_cast<std::size_t>(set) + 64, kNone);
    return known_[static_cast<std::size_t>(set)] = sets_.add(bits);
  }
  bool holds(Id number, Id terminal) const {
    return sets_.size(number) && sets_.begin(number)[terminal >> 5] >> (terminal & 31) & 1;
  }
  // After `Chart::collect`.
  void collect(const Chart::Numbers& kept) {
    kept.sets.move(known_);
    kept.returns.move(returns_);
  }
  std::size_t bytes() const { return known_.size() * 4 + sets_.bytes() + starts_.size() * words_ * 4 + returns_.size(); }

 private:
  using Bits = std::vector<Id>;
  static bool join(Bits& into, const Bits& from) {
    bool grew = false;
    for (std::size_t w = 0; w < into.size(); ++w) {
      Id x = into[w] | from[w];
      grew |= x != into[w];
      into[w] = x;
    }
    return grew;
  }
  void find_clean(const Separability& separability) {
    std::vector<bool> clean(g_.symbols(), false);
    std::vector<std::vector<Id>> uses(g_.symbols());  // nonterminals, by the symbols of their cheapest rules
    std::vector<std::int32_t> open(g_.symbols(), 0);
    std::vector<Id> ready;
    for (std::size_t t = 0; t < g_.terminals.size(); ++t)
      if (separability.separable[t] && g_.cost[t] < Rules::kInfinite) ready.push_back(static_cast<Id>(t));
    for (std::size_t s = g_.terminals.size(); s < g_.symbols(); ++s) {
      if (g_.cheapest[s] == kNone) continue;
      for (Id d = g_.cheapest[s]; g_.symbol[d] != Rules::kEnd; ++d) uses[static_cast<std::size_t>(g_.symbol[d])].push_back(static_cast<Id>(s)), ++open[s];
      if (!open[s]) ready.push_back(static_cast<Id>(s));
    }
    while (!ready.empty()) {
      Id s = ready.back();
      ready.pop_back();
      clean[static_cast<std::size_t>(s)] = true;
      meter_.charge(1 + static_cast<std::int64_t>(uses[static_cast<std::size_t>(s)].size()));
      for (Id user : uses[static_cast<std::size_t>(s)])
        if (--open[static_cast<std::size_t>(user)] == 0) ready.push_back(user);
    }
    clean_rest_.assign(g_.symbol.size(), true);
    for (std::size_t d = g_.symbol.size(); d-- > 0;)
      if (g_.symbol[d] != Rules::kEnd) clean_rest_[d] = clean_rest_[d + 1] && clean[static_cast<std::size_t>(g_.symbol[d])];
  }
  void find_skipped() {
    skipped_.assign(words_, 0);
    for (std::size_t t = 0; t < g_.terminals.size(); ++t)
      if (g_.terminals[t].ignored || g_.terminals[t].inside) skipped_[t >> 5] |= static_cast<Id>(1u << (t & 31));
  }
  // By symbol, the terminals that begin a derivation of it of which everything else is clean.
  void find_starts() {
    starts_.assign(g_.symbols(), Bits(words_, 0));
    for (std::size_t t = 0; t < g_.terminals.size(); ++t) starts_[t][t >> 5] |= static_cast<Id>(1u << (t & 31));
    for (bool grew = true; grew;) {
      grew = false;
      for (std::size_t s = g_.terminals.size(); s < g_.symbols(); ++s) {
        for (Id d : g_.first_dots[s])
          if (clean_rest_[static_cast<std::size_t>(d) + 1]) grew |= join(starts_[s], starts_[static_cast<std::size_t>(g_.symbol[d])]);
        meter_.charge(1 + static_cast<std::int64_t>(g_.first_dots[s].size() * words_) / 16);
      }
    }
  }
  // Is there a way from return address `root` to the end of the text through clean rests? Found for all addresses on the way.
  bool returns_cleanly(Id root) {
    if (known_return(root) != kUnknown) return known_return(root) == kYes;
    std::vector<Id> open{root};
    std::unordered_map<Id, std::vector<Id>> callers;  // by address: those from which it is reached
    std::unordered_set<Id> seen{root};
    std::vector<Id> good;
    for (std::size_t k = 0; k < open.size(); ++k) {
      Id at = open[k], content = chart_.content(at);
      bool ends = chart_.accepts(content);
      meter_.charge();
      chart_.each_item(content, [&](Id dot, Id back) {
        if (!clean_rest_[static_cast<std::size_t>(dot)]) return;
        if (known_return(back) != kUnknown) {
          ends = ends || known_return(back) == kYes;
          return;
        }
        callers[back].push_back(at);
        if (seen.insert(back).second) open.push_back(back);
      });
      if (ends) good.push_back(at);
    }
    for (Id at : open) {
      if (at >= static_cast<Id>(returns_.size())) returns_.resize(static_cast<std::size_t>(at) + 64, kUnknown);
      returns_[static_cast<std::size_t>(at)] = kNo;
    }
    while (!good.empty()) {
      Id at = good.back();
      good.pop_back();
      if (known_return(at) == kYes) continue;
      returns_[static_cast<std::size_t>(at)] = kYes;
      for (Id caller : callers[at]) good.push_back(caller);
    }
    return known_return(root) == kYes;
  }
  enum Answer : std::uint8_t { kUnknown, kNo, kYes };
  Answer known_return(Id back) const { return back < static_cast<Id>(returns_.size()) ? returns_[static_cast<std::size_t>(back)] : kUnknown; }

  const Rules& g_;
  Chart& chart_;
  Meter& meter_;
  std::size_t words_ = 0;
  bool on_ = false;
  std::vector<bool> clean_rest_;  // by dot
  std::vector<Bits> starts_;      // by symbol
  Bits skipped_;                  // terminals after which the parser is where it was
  std::vector<Id> known_;         // by set
  ListStore sets_;                // bits, 32 terminals a word
  std::vector<Answer> returns_;  // by return address
};

}  // namespace constrain
