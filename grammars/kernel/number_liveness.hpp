// Which numbers begin with the digits read and satisfy a formula of ranges and multiples? By arithmetic (a part of number.hpp).
//
// Let the digits read stand for the integer D and the last of them have the place value 10**w. What may follow is a fraction y of
// it: the value is (D + y) * 10**w with 0 <= y < 1, where y has finitely many digits and w is free while an exponent may follow,
// or as free as the point is without exponents. Only thresholds whose first digit has the same place, and which begin with
// the digits read, fall between; their other digits cut the y into points and open intervals. For other w no threshold falls
// between, and ranges of w between two such have the same truths.
//
// On an open interval ranges are decided, so the formula is one over multiples. It is split by one modulus at a time, and leaves
// ask for multiples of some (their least common multiple is c * 10**s: a residue class, by the Chinese remainder theorem from what
// is remembered of D) that are multiples of none of n others. A multiple of one of these is every t-th multiple of c * 10**s for some
// t > 1, all classes have zero in common, and no 2**n consecutive integers have each a divisor in common with a product of n primes
// (Kanold, 1967): the first 2**n multiples in the interval decide. Where an interval holds as many, its w decides for all greater ones.
// Every number found is judged by the whole formula, hence yes is right in any case; no rests on the argument above.
//
// Shortest completions are found by the same question, asked of one shape of text after the other (`Shape`): so many digits more before
// and after a point, an exponent of so many bytes. That no digit stands below a place 10**t asks for a multiple of 10**t as well.
// Where an exponent fixes how many digits follow but not their places, they repeat once 10**t has the factors 2 and 5 of all moduli.
//
// Cost: (places of thresholds + 1) * branches of the formula * digits of c, for few moduli 1 to 50 us; a shortest completion of n bytes
// asks up to n * n times. Charged: a unit a digit of a number tried and an operand of a formula. What depends on the order
// of a formula's operands is chosen by content.
#pragma once
#include <map>
#include <optional>
#include <tuple>

#include "number.hpp"

namespace constrain {

using Wide = unsigned __int128;

// The numbers M * 10**s with c | M, and what the digits read (without the zeros at their end) are modulo c. c = 0: all numbers.
struct Multiples {
  Wide c = 0;
  std::int64_t s = 0;
  Wide rest = 0;
};

inline Wide divisor(Wide a, Wide b) {
  while (b) a %= b, std::swap(a, b);
  return a;
}
// The inverse of a modulo n, which has no divisor in common with it.
inline std::uint64_t inverse(std::uint64_t a, std::uint64_t n) {
  __int128 x = 0, next = 1;
  std::uint64_t m = n;
  for (a %= n; a; std::swap(a, m)) {
    x -= next * (m / a), m %= a;
    std::swap(x, next);
  }
  return static_cast<std::uint64_t>((x % n + n) % n);
}
inline std::int64_t take_out(Wide& c, unsigned prime) {
  std::int64_t n = 0;
  for (; c % prime == 0; c /= prime) ++n;
  return n;
}
// What is a multiple of both. The digits read are known modulo a.c and c, hence modulo the least common multiple of these, which the
// new c divides: for each of the factors 2 and 5 the power of one of them less what both powers of ten have.
inline Multiples both(const Multiples& a, std::uint64_t c, std::int64_t s, std::uint64_t rest) {
  static constexpr Wide kMost = Wide{1} << 120;
  if (!a.c) return {c, s, rest};
  const std::uint64_t shared = static_cast<std::uint64_t>(divisor(a.c, c)), other = c / shared;
  if (a.c > kMost / other) throw LimitError(37, 36, "digits of the least common multiple of multipleOf");
  const std::uint64_t gap = static_cast<std::uint64_t>((rest + c - a.rest % c) % c / shared);
  const Wide steps = other == 1 ? 0 : Wide{gap % other} * inverse(static_cast<std::uint64_t>(a.c / shared % other), other) % other;
  const Wide whole = a.rest + a.c * steps;
  Wide one = a.c, two = c;
  const std::int64_t twos = std::max(take_out(one, 2) + a.s, take_out(two, 2) + s), fives = std::max(take_out(one, 5) + a.s, take_out(two, 5) + s);
  Multiples out{one / divisor(one, two) * two, std::min(twos, fives), 0};
  for (std::int64_t i = out.s; i < twos; ++i) out.c *= 2;
  for (std::int64_t i = out.s; i < fives; ++i) out.c *= 5;
  out.rest = whole % out.c;
  return out;
}

class NumberMachine::ValueSearch {
 public:
  // `s` before its exponent.
  ValueSearch(NumberMachine& machine, const State& s) : machine_(machine), s_(s), read_(digits_of(s)), begun_(s.nonzero || s.phase == Integer), first_(begun_ ? "" : "1") {
    for (Id m : s.moduli) least_ = std::min(least_, machine.moduli_[m].s), most_ = std::max(most_, machine.moduli_[m].s);
    before_ = !begun_ ? -1 : s.phase == Integer ? s.p : s.plain ? s.p + s.k : s.n + s.z - 1;
    if (!s.plain || s.phase <= Minus) return;
    if (s.phase == Integer) lo_ = 0;
    else hi_ = -s.k;
    if (s.phase != Integer && begun_) lo_ = hi_;
  }

  bool found() {
    if (zero(true) || zero(false)) return true;
    return each_sign([&] { return signed_found(); });
  }
  // Bytes of a shortest completion; one exists, all its digits and exponents are spelled and within the limits.
  std::int64_t shortest() {
    for (std::int64_t bytes = 1;; ++bytes) {
      if ((bytes == zero_bytes(true) && zero(true)) || (bytes == zero_bytes(false) && zero(false))) return bytes;
      if (each_sign([&] { return completes(bytes - (s_.phase == Start && negative_)); })) return bytes;
    }
  }

 private:
  static constexpr std::int64_t kFar = std::int64_t{1} << 40;
  // Texts that are asked for: where the digits read may stand, and those below.
  struct Shape {
    std::int64_t lo, hi;   // of w
    std::int64_t last;     // the least place of a digit, or how many follow those read
    bool relative, whole;  // is it the latter? Spelled as an integer?
    std::int64_t place(std::int64_t w) const { return relative ? w - last : last; }
  };
  using Bound = std::optional<std::string>;  // digits after those read; none: their end
  struct Branch {
    Id formula;
    Multiples multiples;
    int others = 0;  // moduli of which it must be no multiple
    bool whole = false;
  };

  template <class F>
  bool each_sign(F&& found) {
    for (int negative = 0; negative <= 1; ++negative) {
      if (s_.phase != Start && (negative != 0) != s_.negative) continue;
      negative_ = negative;
      if (found()) return true;
    }
    return false;
  }
  bool signed_found() {
    std::map<std::int64_t, std::vector<std::string>> turns;  // w -> the other digits of thresholds that begin with those read
    for (std::size_t i = 0; i < s_.cmp.size(); ++i) {
      const Threshold& t = machine_.thresholds_[s_.thresholds[i]];
      const std::int64_t w = t.p - before_;
      if (t.digits.empty() || w < lo_ || w > hi_) continue;
      std::vector<std::string>& rests = turns[w];
      if (s_.cmp[i] >= 0) rests.push_back(t.digits.substr(static_cast<std::size_t>(s_.cmp[i])));
    }
    for (auto& [w, rests] : turns) {
      rests.push_back(first_);
      unique(rests);
      for (const std::string& digits : rests)
        if (satisfies(w, digits)) return true;
    }
    std::int64_t above = hi_;
    for (auto it = turns.rbegin(); it != turns.rend(); ++it) {
      const auto& [w, rests] = *it;
      if (within(w + 1, above, first_, {})) return true;
      for (std::size_t k = 0; k < rests.size(); ++k)
        if (within(w, w, rests[k], k + 1 < rests.size() ? Bound(rests[k + 1]) : Bound())) return true;
      above = w - 1;
    }
    return within(lo_, above, first_, {});
  }
  // Zero, where no digit but zeros was read, spelled as an integer or not.
  bool zero(bool whole) {
    if (begun_ || (s_.plain && (s_.phase == Minus || s_.negative || !whole)) || (whole && s_.phase >= Point)) return false;
    return judged(s_, whole);
  }
  std::int64_t zero_bytes(bool whole) const {
    if (s_.phase <= Minus) return whole ? 1 : 3;
    return s_.phase == Zero ? (whole ? 0 : 2) : s_.phase == Point;
  }

  // ------------------------------------------------------------------ shapes
  // Is there a completion of so many bytes that is not zero?
  bool completes(std::int64_t bytes) {
    const bool integer = s_.phase <= Minus || s_.phase == Integer;
    const std::int64_t least = begun_ ? 0 : 1;  // digits that must follow
    if (integer && bytes >= least && has({bytes, bytes, 0, false, true})) return true;
    for (std::int64_t k = least; integer && k + 2 <= bytes; ++k)
      if (has({k, k, k + 1 - bytes, false, false})) return true;
    if (s_.phase <= Zero && has({-kFar, 0, (s_.phase == Zero ? 1 : 2) - bytes, false, false})) return true;
    if (s_.phase >= Point && bytes >= (s_.phase == Point) && has({begun_ ? written() : -kFar, written(), written() - bytes, false, false})) return true;
    return !s_.plain && completes_by_exponent(bytes - 1);
  }
  // The same with so many bytes after the letter and before it. A point in digits that an exponent moves is never shorter.
  bool completes_by_exponent(std::int64_t bytes) {
    const bool point = s_.phase == Zero, integer = s_.phase <= Minus || s_.phase == Integer;
    const std::int64_t least = begun_ && s_.phase != Point ? 0 : 1;
    std::int64_t lo = 0, hi = 9;  // exponents of so many digits
    for (std::int64_t digits = 1; digits <= machine_.exponent_limit_; ++digits, lo = hi + 1, hi = hi * 10 + 9)
      for (bool negative : {false, true}) {
        const std::int64_t more = bytes - digits - negative - point;
        if (more < least || (negative && hi < 1)) continue;
        const std::int64_t w = integer ? more : written();
        if (has({w + (negative ? -hi : lo), w + (negative ? -std::max<std::int64_t>(lo, 1) : hi), more, true, false})) return true;
      }
    return false;
  }
  // The place of the last digit read, or of one before the next, without an exponent.
  std::int64_t written() const {
    if (!begun_) return -s_.k;
    return s_.phase == Integer ? 0 : s_.thresholds.empty() ? -s_.k : s_.p - before_;
  }
  bool has(const Shape& shape) {
    if (!shape.relative && shape.hi < shape.last) return false;
    shape_ = &shape;
    const auto [lo, hi] = std::pair(lo_, hi_);
    lo_ = std::max(shape.lo, shape.relative ? -kFar : shape.last), hi_ = shape.hi;
    const bool yes = signed_found();
    lo_ = lo, hi_ = hi;
    shape_ = nullptr;
    return yes;
  }

  // ------------------------------------------------------------------ values

  // Is there one with w in [lo, hi] and y in (from, to), or at `from` if these are the first digits? No threshold lies between.
  bool within(std::int64_t lo, std::int64_t hi, const std::string& from, const Bound& to) {
    if (lo > hi) return false;
    const std::int64_t some = lo > -kFar ? lo : hi < kFar ? hi : 0;
    State inside = at(some, between(from, to, 0));
    if (shape_ && shape_->whole) inside.phase = Integer;
    auto open = [&](Id l) { return machine_.formulas_[l].atom == Atom::Multiple || (!shape_ && machine_.formulas_[l].atom == Atom::Integral); };
    auto decided = [&](Id l) { return machine_.decided(inside, l, true) != 0; };
    machine_.meter_.charge(1 + static_cast<std::int64_t>(s_.cmp.size()));
    if (!machine_.formulas_.holds(s_.goal, [&](Id l) { return open(l) || decided(l); })) return false;
    const Id formula = machine_.formulas_.map(s_.goal, [&](Id l) { return open(l) ? l : decided(l) ? FormulaStore::kTrue : FormulaStore::kFalse; });
    std::vector<Branch> branches{{formula, {}}};
    while (!branches.empty()) {
      const Branch b = branches.back();
      branches.pop_back();
      if (b.formula == FormulaStore::kTrue ? has_multiple(b, lo, hi, from, to) : b.formula != FormulaStore::kFalse && split(b, branches)) return true;
    }
    return false;
  }
  // One modulus of the formula holds or does not. What a formula asks for in one direction alone is left open in the other.
  bool split(const Branch& b, std::vector<Branch>& branches) {
    using Key = std::tuple<std::uint64_t, std::int64_t, Id>;  // c, s and the modulus; the integers' spelling is before all
    Key least{UINT64_MAX, INT64_MAX, kNone};
    std::int64_t operands = 0;
    auto key_of = [&](const FormulaStore::Node& n) {
      return n.atom == Atom::Integral ? Key{0, 0, kNone} : Key{machine_.moduli_[n.x].c, machine_.moduli_[n.x].s, n.x};
    };
    machine_.each_literal(b.formula, [&](const FormulaStore::Node& n) { least = std::min(least, key_of(n)), ++operands; });
    bool wanted = false, unwanted = false;
    machine_.each_literal(b.formula, [&](const FormulaStore::Node& n) {
      if (key_of(n) == least) (n.negated ? unwanted : wanted) = true;
    });
    machine_.meter_.charge(1 + operands);
    auto given = [&](bool truth) {
      return machine_.formulas_.map(b.formula, [&](Id l) {
        const FormulaStore::Node& n = machine_.formulas_[l];
        return key_of(n) != least ? l : truth != n.negated ? FormulaStore::kTrue : FormulaStore::kFalse;
      });
    };
    const auto [c, s, modulus] = least;
    Branch no = b, yes = b;
    no.formula = given(false), no.others += unwanted;
    yes.formula = given(true);
    if (wanted && modulus == kNone) yes.multiples = both(b.multiples, 1, 0, 0), yes.whole = true;
    if (wanted && modulus != kNone) yes.multiples = both(b.multiples, c, s, s_.rem[place(s_.moduli, modulus)]);
    branches.push_back(no), branches.push_back(yes);
    return false;
  }
  bool has_multiple(const Branch& b, std::int64_t lo, std::int64_t hi, const std::string& from, const Bound& to) {
    if (shape_) return has_shaped(b, lo, hi, from, to);
    if (!b.multiples.c) {  // some digit below the place of every modulus makes a multiple of none
      const std::int64_t w = lo > -kFar ? lo : hi < kFar ? hi : 0;
      return satisfies(w, between(from, to, s_.moduli.empty() ? 1 : w - least_));
    }
    if (b.whole && (s_.phase >= Point || s_.phase == Zero)) return false;
    if (b.whole) lo = std::max<std::int64_t>(lo, begun_ ? 0 : 1);
    lo = std::max(lo, b.multiples.s + (begun_ ? -s_.z : 1));
    std::int64_t enough = b.multiples.s + 2 + b.others / 3;
    for (Wide c = b.multiples.c; c; c /= 10) ++enough;
    if (lo > hi) return false;
    const std::int64_t best = std::clamp(enough, lo, hi);
    if (has_multiple(b, b.multiples, best, from, to)) return true;
    for (std::int64_t w = lo; w < best; ++w)
      if (has_multiple(b, b.multiples, w, from, to)) return true;
    return false;
  }
  // Where digits end at a given place. Below the places of all moduli, and above these and their factors 2 and 5, one w is as another.
  bool has_shaped(const Branch& b, std::int64_t lo, std::int64_t hi, const std::string& from, const Bound& to) {
    static constexpr std::int64_t kFactors = 61;  // of 2, in 18 digits
    if (b.multiples.c) lo = std::max(lo, b.multiples.s + (begun_ ? -s_.z : 1));
    else if (!s_.moduli.empty()) lo = std::max(lo, std::min(hi, least_ - 1 - (begun_ ? s_.z : 0)));
    if (lo > hi) return false;
    if (s_.moduli.empty()) hi = shape_->relative ? lo : hi;
    else if (shape_->relative) hi = std::min(hi, std::max(lo, most_ + shape_->last + kFactors));
    for (std::int64_t w = lo; w <= hi; ++w)
      if (has_multiple(b, both(b.multiples, 1, shape_->place(w), 0), w, from, to)) return true;
    return false;
  }
  bool has_multiple(const Branch& b, const Multiples& m, std::int64_t w, const std::string& from, const Bound& to) {
    if (from == first_ && satisfies(w, from)) return true;
    const std::int64_t width = w - m.s;
    if (width <= 0) return false;
    machine_.meter_.charge(width);
    std::string digits = from;
    digits.resize(static_cast<std::size_t>(width), '0');
    const Wide c = m.c;
    Wide rest = m.rest;
    if (begun_)
      for (Id i = 0; i < s_.z; ++i) rest = rest * 10 % c;
    for (char d : digits) rest = (rest * 10 + static_cast<unsigned>(d - '0')) % c;
    bool fits = add(digits, c - rest);
    for (int tries = 0; fits && tries < 1 << std::min(b.others + s_.plain, 20) && (!to || digits.compare(0, digits.find_last_not_of('0') + 1, *to) < 0); ++tries) {
      if (satisfies(w, digits)) return true;
      fits = add(digits, c);
    }
    return false;
  }
  // digits += x; false if there are too few of them.
  static bool add(std::string& digits, Wide x) {
    for (std::size_t i = digits.size(); i-- > 0 && x;) {
      x += static_cast<unsigned>(digits[i] - '0');
      digits[i] = static_cast<char>('0' + static_cast<int>(x % 10));
      x /= 10;
    }
    return x == 0;
  }
  // Digits between two bounds, the last of them at least `depth` after those read and not zero.
  std::string between(const std::string& from, const Bound& to, std::int64_t depth) {
    const std::int64_t size = std::max<std::int64_t>({static_cast<std::int64_t>(from.size()), to ? static_cast<std::int64_t>(to->size()) : 0, depth});
    machine_.meter_.charge(size);
    std::string out = from;
    out.resize(static_cast<std::size_t>(size), '0');
    return out + '1';
  }

  // The state of the number (D + 0.digits) * 10**w, spelled with a point.
  State at(std::int64_t w, const std::string& digits) {
    machine_.meter_.charge(2 + static_cast<std::int64_t>(digits.size() * (s_.rem.size() + 1)));
    Digits d = read_;
    for (char c : digits) d = machine_.append(s_, d, c - '0');
    State x = s_;
    x.nonzero = d.nonzero, x.cmp = d.cmp, x.rem = d.rem, x.phase = Fraction, x.k = 0, x.e = 0, x.negative = negative_;
    x.p = static_cast<Id>(before_ + w);
    x.z = static_cast<Id>(w - static_cast<std::int64_t>(digits.size()) + d.z);
    return x;
  }
  // Does it satisfy the goal, in some spelling?
  bool satisfies(std::int64_t w, const std::string& digits) {
    if (w < lo_ || w > hi_ || w <= -kFar || w >= kFar) return false;
    if (shape_ && w - static_cast<std::int64_t>(digits.find_last_not_of('0') + 1) < shape_->place(w)) return false;
    // no zero ends a plain fraction, and no point a number
    if (s_.plain && digits.empty() && s_.phase >= Point && (s_.phase == Point || s_.z > 0)) return false;
    const State x = at(w, digits);
    const bool whole = s_.phase < Point && s_.phase != Zero && x.z >= 0 && w >= (begun_ ? 0 : 1);
    if (whole && (!shape_ || shape_->whole) && judged(x, true)) return true;
    return !(whole && s_.plain) && !(shape_ && shape_->whole) && judged(x, false);
  }
  bool judged(State x, bool whole) {
    machine_.meter_.charge(1 + static_cast<std::int64_t>(s_.cmp.size() + s_.rem.size()) / 4);
    x.phase = whole ? Integer : Fraction;
    return machine_.evaluate(x, x.goal);
  }

  NumberMachine& machine_;
  const State& s_;
  const Digits read_;
  const bool begun_;  // was a digit read that is not zero? Where neither ranges nor multiples are left states do not tell
  const std::string first_;  // the least digits that may follow
  bool negative_ = false;
  std::int64_t lo_ = -kFar, hi_ = kFar;  // of w
  std::int64_t before_ = 0;              // the power of ten of the first digit is w more
  std::int64_t least_ = INT64_MAX, most_ = INT64_MIN;  // places of moduli
  const Shape* shape_ = nullptr;         // that is asked for, if any
};

inline bool NumberMachine::some_value(const State& s) { return ValueSearch(*this, s).found(); }
inline std::int64_t NumberMachine::shortest(const State& s) { return ValueSearch(*this, s).shortest(); }

}  // namespace constrain
