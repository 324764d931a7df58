// Formulas over numbers in a normal form: which intervals satisfy them.
//
// The thresholds of a formula cut the numbers into points and the open intervals between them; on each of these every
// comparison has one truth. A formula over comparisons alone is therefore a union of intervals, and equal unions get equal
// formulas: conjunctions of many bounds, as `oneOf` and `not` make them, shrink to what they leave. Where multiples (or the
// spelling of integers) come in, each region keeps its formula over these, and a region that is one point is decided.
//
// The normal form of comparisons is never longer than the formula, up to a factor of two. Cost: O(n log n) in the size of
// the formula, as a graph; with multiples regions times size, done for few thresholds only. Memoised; not thread-safe.
#pragma once
#include "number.hpp"

namespace constrain {

class Intervals {
 public:
  Intervals(FormulaStore& formulas, NumberMachine& numbers, Meter& meter) : fs_(formulas), numbers_(numbers), meter_(meter) {}

  // A formula of the same numbers; equal for equal unions of intervals.
  Id normal(Id f) {
    const FormulaStore::Node& n = fs_[f];
    if (n.kind != Bool::And && n.kind != Bool::Or) return f;
    auto known = memo_.find(f);
    if (known == memo_.end()) {
      Id made = f;
      Meter::Cost cost = meter_.once([&] { made = find(f); });
      known = memo_.emplace(f, std::pair(made, cost)).first;
    }
    meter_.pay(known->second.second);
    return known->second.first;
  }

 private:
  // Regions in order: below the first threshold, the threshold, between it and the second, ... [first, second) of them.
  using Regions = std::vector<std::pair<Id, Id>>;
  struct Cut {
    Id threshold, sign;
  };
  static constexpr std::size_t kFewCuts = 12;
  static constexpr std::int64_t kFewParts = 400;

  Id find(Id f) {
    cuts_.clear();
    bool others = false;
    std::int64_t parts = 0;
    std::unordered_set<Id> done;
    collect(f, done, others, parts);
    std::sort(cuts_.begin(), cuts_.end(), [&](const Cut& a, const Cut& b) { return numbers_.compare(a.threshold, a.sign, b.threshold, b.sign) < 0; });
    cuts_.erase(std::unique(cuts_.begin(), cuts_.end(), [&](const Cut& a, const Cut& b) { return numbers_.compare(a.threshold, a.sign, b.threshold, b.sign) == 0; }), cuts_.end());
    end_ = static_cast<Id>(2 * cuts_.size() + 1);
    if (others) return cuts_.empty() || cuts_.size() > kFewCuts || parts > kFewParts ? f : mixed(f);
    std::unordered_map<Id, Regions> memo;
    std::vector<Id> ways;
    for (auto [lo, hi] : holds(f, memo)) ways.push_back(between(lo, hi));
    return fs_.disjunction(std::move(ways));
  }
  void collect(Id f, std::unordered_set<Id>& done, bool& others, std::int64_t& parts) {
    const FormulaStore::Node n = fs_[f];
    if (!done.insert(f).second) return;
    if (n.kind == Bool::Literal) {
      if (n.atom == Atom::AtLeast || n.atom == Atom::MoreThan) cuts_.push_back({n.x, n.y});
      else others = true;
    } else if (n.kind == Bool::And || n.kind == Bool::Or) {
      parts += static_cast<std::int64_t>(fs_.lists().size(n.list));
      meter_.charge();
      for (Id p : fs_.operands(f)) collect(p, done, others, parts);
    }
  }
  // The first region in which a comparison (not negated) is true.
  Id from(const FormulaStore::Node& n) const {
    auto at = std::lower_bound(cuts_.begin(), cuts_.end(), Cut{n.x, n.y}, [&](const Cut& a, const Cut& b) { return numbers_.compare(a.threshold, a.sign, b.threshold, b.sign) < 0; });
    return static_cast<Id>(2 * (at - cuts_.begin()) + (n.atom == Atom::AtLeast ? 1 : 2));
  }
  const Regions& holds(Id f, std::unordered_map<Id, Regions>& memo) {
    auto known = memo.find(f);
    if (known != memo.end()) return known->second;
    const FormulaStore::Node n = fs_[f];
    Regions out;
    if (n.kind == Bool::True) out = {{0, end_}};
    else if (n.kind == Bool::Literal) {
      Id at = from(n);
      out.push_back(n.negated ? std::pair<Id, Id>{0, at} : std::pair<Id, Id>{at, end_});
    } else if (n.kind != Bool::False) {
      std::vector<Id> parts = fs_.operands(f);
      std::vector<std::pair<Id, int>> turns;  // a region from which one part more, or less, holds
      for (Id p : parts)
        for (auto [lo, hi] : holds(p, memo)) turns.emplace_back(lo, 1), turns.emplace_back(hi, -1);
      meter_.charge(1 + static_cast<std::int64_t>(turns.size() / 16));
      std::sort(turns.begin(), turns.end());
      int count = 0, wanted = n.kind == Bool::And ? static_cast<int>(parts.size()) : 1;
      for (std::size_t i = 0; i < turns.size();) {
        Id at = turns[i].first;
        bool before = count >= wanted;
        for (; i < turns.size() && turns[i].first == at; ++i) count += turns[i].second;
        bool after = count >= wanted;
        if (after && !before) out.emplace_back(at, end_);
        if (before && !after) out.back().second = at;
      }
    }
    return memo[f] = std::move(out);
  }
  Id between(Id lo, Id hi) {
    std::vector<Id> bounds;
    auto bound = [&](Id at, bool negated) {  // regions from `at` on
      const Cut& c = cuts_[static_cast<std::size_t>((at - 1) / 2)];
      bounds.push_back(fs_.literal(at % 2 ? Atom::AtLeast : Atom::MoreThan, c.threshold, c.sign, negated));
    };
    if (lo > 0) bound(lo, false);
    if (hi < end_) bound(hi, true);
    return fs_.conjunction(std::move(bounds));
  }
  Id mixed(Id f) {
    std::vector<Id> left(static_cast<std::size_t>(end_)), ways;
    for (Id region = 0; region < end_; ++region)
      left[region] = fs_.map(f, [&](Id l) {
        const FormulaStore::Node n = fs_[l];
        if (n.atom != Atom::AtLeast && n.atom != Atom::MoreThan) return l;
        return (region >= from(n)) != n.negated ? FormulaStore::kTrue : FormulaStore::kFalse;
      });
    for (Id lo = 0, hi = 0; lo < end_; lo = hi) {
      for (hi = lo + 1; hi < end_ && left[hi] == left[lo];) ++hi;
      Id rest = left[lo];
      if (hi == lo + 1 && lo % 2) rest = at_point(rest, cuts_[static_cast<std::size_t>(lo / 2)]);
      ways.push_back(fs_.conjunction(between(lo, hi), rest));
    }
    return fs_.disjunction(std::move(ways));
  }
  Id at_point(Id f, const Cut& c) {
    return fs_.map(f, [&](Id l) {
      const FormulaStore::Node n = fs_[l];
      if (n.atom != Atom::Multiple) return l;
      return numbers_.is_multiple(c.threshold, n.x) != n.negated ? FormulaStore::kTrue : FormulaStore::kFalse;
    });
  }

  FormulaStore& fs_;
  NumberMachine& numbers_;
  Meter& meter_;
  std::vector<Cut> cuts_;
  Id end_ = 1;
  std::unordered_map<Id, std::pair<Id, Meter::Cost>> memo_;
};

}  // namespace constrain
