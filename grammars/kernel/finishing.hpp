// After which terminals a text can be finished from a parser set, found without moving the parser.
//
// A *clean* symbol is a terminal that is separable (`Separability`; none of kind Never) or a nonterminal whose canonical derivation holds clean
// terminals alone; a rest of a rule is clean if its symbols are. If terminal t can be taken at an item such that what is
// left of its rule is clean, and so are the rules that a left corner t of it opens, and the same holds of some item to
// which its return address leads, and so on to the end of the text, then a canonical continuation after t exists in which
// every terminal is apart from the next. A terminal that is skipped leaves the parser where it was. That is a matter of dots
// and return addresses: no set after t is made.
//
// More terminals are separable where fewer compete. What is clean is therefore a matter of the *view* that a set has of the
// terminals exposed to it (`Exposure`), for the terminals t that expose no more.
//
// A predicate that may be wrong in one direction: what is said to be finishable is; the rest is left to a closer look.
// Cost: bits by nonterminal and terminal once a view, then one pass over the items of a set. Not thread-safe.
#pragma once
#include <deque>

#include "exposure.hpp"

namespace constrain {

class Finishing {
 public:
  Finishing(const Rules& rules, Chart& chart, Separability& separability, Meter& meter)
      : g_(rules), chart_(chart), separability_(separability), meter_(meter), exposure_(rules, chart, separability, meter) {
    words_ = (g_.terminals.size() + 31) / 32;
    on_ = words_ * 32 * g_.symbols() <= Rules::kAdjacencyBits;
    if (!on_) return;
    view_of(separability_.separable);
    find_skipped();
    plain_.assign(words_, 0);
    for (std::size_t t = 0; t < g_.terminals.size(); ++t)
      if (exposure_.plain(static_cast<Id>(t))) plain_[t >> 5] |= static_cast<Id>(1u << (t & 31));
    separability_.trim();
  }

  // A number for the terminals after which a text is known to be finishable from `set`; equal numbers, equal terminals.
  Id known(Id set) {
    if (!on_) return 0;
    if (set >= static_cast<Id>(known_.size())) known_.resize(static_cast<std::size_t>(set) + 64, kNone);
    if (known_[static_cast<std::size_t>(set)] != kNone) return known_[static_cast<std::size_t>(set)];
    Meter::Apart apart(meter_);
    Bits bits = known_by(views_[0], set);
    if (View& view = view_from(set); &view != &views_[0]) {
      Bits more = known_by(view, set);
      for (std::size_t w = 0; w < words_; ++w) bits[w] |= more[w] & plain_[w];
    }
    if (set >= static_cast<Id>(known_.size())) known_.resize(static_cast<std::size_t>(set) + 64, kNone);
    return known_[static_cast<std::size_t>(set)] = sets_.add(bits);
  }
  bool holds(Id number, Id terminal) const {
    return sets_.size(number) && sets_.begin(number)[terminal >> 5] >> (terminal & 31) & 1;
  }
  // Can a text be finished from `set` by the shortest rest of a rule and clean ones after it? Its terminals are separable.
  bool goes_on(Id set) {
    auto [dot, back] = chart_.next_item(set);
    if (dot == kNone) return true;
    if (!on_) return false;
    View& view = view_from(set);
    return view.clean_rest[static_cast<std::size_t>(dot)] && returns_cleanly(view, back);
  }
  // After `Chart::collect`.
  void collect(const Chart::Numbers& kept) {
    kept.sets.move(known_);
    for (View& view : views_) kept.returns.move(view.returns);
    exposure_.collect(kept);
  }
  std::size_t bytes() const {
    std::size_t n = known_.size() * 4 + sets_.bytes() + exposure_.bytes();
    for (const View& view : views_) n += view.starts.size() * words_ * 4 + view.returns.size() + view.clean_rest.size() / 8;
    return n;
  }

 private:
  using Bits = std::vector<Id>;
  enum Answer : std::uint8_t { kUnknown, kNo, kYes };
  // What is clean if these terminals are separable.
  struct View {
    std::vector<bool> separable;
    std::vector<bool> clean_rest;  // by dot
    std::vector<Bits> starts;      // by symbol
    std::vector<Answer> returns;   // by return address
    Answer known(Id back) const { return back < static_cast<Id>(returns.size()) ? returns[static_cast<std::size_t>(back)] : kUnknown; }
    void know(Id back, Answer answer) {
      if (back >= static_cast<Id>(returns.size())) returns.resize(static_cast<std::size_t>(back) + 64, kUnknown);
      returns[static_cast<std::size_t>(back)] = answer;
    }
  };

  Bits known_by(View& view, Id set) {
    Bits bits(words_, 0);
    bool goes_on = chart_.accepts(set);  // without a move: what is skipped may be taken
    chart_.each_item(set, [&](Id dot, Id back) {
      if (!view.clean_rest[static_cast<std::size_t>(dot) + 1] || !returns_cleanly(view, back)) return;
      join(bits, view.starts[static_cast<std::size_t>(g_.symbol[dot])]);
      goes_on = goes_on || view.clean_rest[static_cast<std::size_t>(dot)];
    });
    if (goes_on) join(bits, skipped_);
    return bits;
  }
  // ------------------------------------------------------------------ views
  // The reference holds for good.
  View& view_from(Id set) {
    if (!exposure_.on()) return views_[0];
    Id exposed = exposure_.of(set);
    if (exposed >= static_cast<Id>(view_numbers_.size())) view_numbers_.resize(static_cast<std::size_t>(exposed) + 16, kNone);
    if (view_numbers_[static_cast<std::size_t>(exposed)] == kNone) {
      Meter::Apart apart(meter_);
      std::vector<std::uint64_t> among = exposure_.bits(exposed);
      std::vector<bool> separable(g_.terminals.size());
      for (std::size_t t = 0; t < separable.size(); ++t) separable[t] = separability_.separable_among(static_cast<Id>(t), among);
      separability_.trim();
      view_numbers_[static_cast<std::size_t>(exposed)] = view_of(separable);
    }
    return views_[static_cast<std::size_t>(view_numbers_[static_cast<std::size_t>(exposed)])];
  }
  Id view_of(const std::vector<bool>& separable) {
    for (std::size_t k = 0; k < views_.size(); ++k)
      if (views_[k].separable == separable) return static_cast<Id>(k);
    View& made = views_.emplace_back();
    made.separable = separable;
    find_clean(made);
    find_starts(made);
    return static_cast<Id>(views_.size()) - 1;
  }
  // Is there a way from return address `root` to the end of the text through clean rests? Found for all addresses on the way.
  bool returns_cleanly(View& view, Id root) {
    if (view.known(root) != kUnknown) return view.known(root) == kYes;
    std::vector<Id> open{root};
    std::unordered_map<Id, std::vector<Id>> callers;  // by address: those from which it is reached
    std::unordered_set<Id> seen{root};
    std::vector<Id> good;
    for (std::size_t k = 0; k < open.size(); ++k) {
      Id at = open[k];
      bool ends = at == Chart::kTop;
      meter_.charge();
      chart_.each_behind(at, [&](Id dot, Id back) {
        if (!view.clean_rest[static_cast<std::size_t>(dot)]) return;
        if (view.known(back) != kUnknown) {
          ends = ends || view.known(back) == kYes;
          return;
        }
        callers[back].push_back(at);
        if (seen.insert(back).second) open.push_back(back);
      });
      if (ends) good.push_back(at);
    }
    for (Id at : open) view.know(at, kNo);
    while (!good.empty()) {
      Id at = good.back();
      good.pop_back();
      if (view.known(at) == kYes) continue;
      view.know(at, kYes);
      for (Id caller : callers[at]) good.push_back(caller);
    }
    return view.known(root) == kYes;
  }
  static bool join(Bits& into, const Bits& from) {
    bool grew = false;
    for (std::size_t w = 0; w < into.size(); ++w) {
      Id x = into[w] | from[w];
      grew |= x != into[w];
      into[w] = x;
    }
    return grew;
  }
  void find_clean(View& view) {
    std::vector<bool> clean(g_.symbols(), false);
    std::vector<std::vector<Id>> uses(g_.symbols());  // nonterminals, by the symbols of their cheapest rules
    std::vector<std::int32_t> open(g_.symbols(), 0);
    std::vector<Id> ready;
    for (std::size_t t = 0; t < g_.terminals.size(); ++t)
      if (view.separable[t] && g_.cost[t] < Rules::kInfinite) ready.push_back(static_cast<Id>(t));
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
    view.clean_rest.assign(g_.symbol.size(), true);
    for (std::size_t d = g_.symbol.size(); d-- > 0;)
      if (g_.symbol[d] != Rules::kEnd) {
        Id u = g_.leftmost(g_.symbol[d]);  // separable terminals are apart from canonical ones alone
        view.clean_rest[d] = view.clean_rest[d + 1] && clean[static_cast<std::size_t>(g_.symbol[d])] && (u == kNone || separability_.canonical(u));
      }
  }
  void find_skipped() {
    skipped_.assign(words_, 0);
    for (std::size_t t = 0; t < g_.terminals.size(); ++t)
      if (g_.terminals[t].ignored || g_.terminals[t].inside) skipped_[t >> 5] |= static_cast<Id>(1u << (t & 31));
  }
  // By symbol, the terminals that begin a derivation of it of which everything else is clean.
  void find_starts(View& view) {
    view.starts.assign(g_.symbols(), Bits(words_, 0));
    for (std::size_t t = 0; t < g_.terminals.size(); ++t) view.starts[t][t >> 5] |= static_cast<Id>(1u << (t & 31));
    for (bool grew = true; grew;) {
      grew = false;
      for (std::size_t s = g_.terminals.size(); s < g_.symbols(); ++s) {
        for (Id d : g_.first_dots[s])
          if (view.clean_rest[static_cast<std::size_t>(d) + 1]) grew |= join(view.starts[s], view.starts[static_cast<std::size_t>(g_.symbol[d])]);
        meter_.charge(1 + static_cast<std::int64_t>(g_.first_dots[s].size() * words_) / 16);
      }
    }
  }
  const Rules& g_;
  Chart& chart_;
  Separability& separability_;
  Meter& meter_;
  Exposure exposure_;
  std::size_t words_ = 0;
  bool on_ = false;
  std::deque<View> views_;         // the first: with all rivals
  std::vector<Id> view_numbers_;   // by number of what is exposed
  Bits skipped_;                   // terminals after which the parser is where it was
  Bits plain_;                     // terminals that expose no more than the set shows
  std::vector<Id> known_;          // by set
  ListStore sets_;                 // bits, 32 terminals a word
};

}  // namespace constrain
