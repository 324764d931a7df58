// Residuals of JSON numbers: what must be remembered of the digits read so far to decide ranges and multiples exactly.
//
// A number text is mantissa digits, an optional fraction and an optional exponent. Its value is M' * 10**(z - k + e)
// with z trailing zeros split off the mantissa M, k digits after the point and the exponent e; the residual keeps
//   p        the power of ten of the first non-zero digit,
//   cmp[i]   how the digits compare with those of threshold i: less, greater, or the number of digits matched,
//   rem[j]   M' modulo the integer part c of modulus j (= c * 10**s), and z, k,
// and a Boolean formula over the thresholds and moduli. Whatever is decided for every completion is substituted into
// the formula, and what the formula no longer needs is forgotten, so that a number without constraints has a handful
// of residuals. M' is no multiple of 10, hence x is a multiple of c * 10**s iff z - k + e - s >= 0 and c divides
// M' * 10**(z - k + e - s).
//
// Spellings: "json" (every spelling of RFC 8259) or "plain" (no exponent, no trailing fraction zero, no "-0").
// Exact within the limits on digits. Cost: O(thresholds + moduli) a step, memoised; liveness and shortest completions by arithmetic
// (number_liveness.hpp), but for vocabularies that lack a digit and near the limits on digits: there residuals are searched breadth
// first. Charged. Not thread-safe.
#pragma once
#include <array>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "formula.hpp"
#include "regex.hpp"

namespace constrain {

class NumberMachine {
 public:
  static constexpr Id kDead = -1;

  NumberMachine(FormulaStore& formulas, const ByteSet& alphabet, Meter& meter) : formulas_(formulas), alphabet_(alphabet), meter_(meter) {}

  void set_limits(int digits, int exponent_digits) {
    digit_limit_ = digits;
    exponent_limit_ = exponent_digits;
  }

  // |decimal| = digits * 10**exponent; equal values get equal ids.
  Id threshold(std::string digits, std::int64_t exponent) {
    strip(digits, exponent);
    if (digits.find_first_not_of("0123456789") != std::string::npos) throw SourceError(0, "a number that is not written in digits");
    std::int64_t p = digits.empty() ? 0 : exponent + static_cast<std::int64_t>(digits.size()) - 1;
    auto [it, fresh] = threshold_ids_.try_emplace(digits + "e" + std::to_string(p), static_cast<Id>(thresholds_.size()));
    if (fresh) thresholds_.push_back({digits, p});
    return it->second;
  }
  Id modulus(std::string digits, std::int64_t exponent) {
    strip(digits, exponent);
    if (digits.find_first_not_of("0123456789") != std::string::npos) throw SourceError(0, "a number that is not written in digits");
    if (digits.empty()) throw SourceError(0, "multipleOf must be greater than 0");
    if (digits.size() > 18) throw LimitError(static_cast<std::int64_t>(digits.size()), 18, "significant digits of multipleOf");
    auto [it, fresh] = modulus_ids_.try_emplace(digits + "e" + std::to_string(exponent), static_cast<Id>(moduli_.size()));
    if (fresh) moduli_.push_back({std::stoull(digits), exponent});
    return it->second;
  }

  // Order of sign * threshold: negative, 0 or positive.
  int compare(Id a, Id sign_a, Id b, Id sign_b) const {
    const Threshold &x = thresholds_[a], &y = thresholds_[b];
    Id one = x.digits.empty() ? 0 : sign_a, two = y.digits.empty() ? 0 : sign_b;
    if (one != two || one == 0) return one - two;
    int magnitude = x.p != y.p ? (x.p < y.p ? -1 : 1) : x.digits.compare(y.digits);
    return one > 0 ? magnitude : -magnitude;
  }
  // Hashes of what thresholds and moduli are, whatever their ids.
  std::uint64_t content_of_threshold(Id t) const {
    return mix(std::hash<std::string>()(thresholds_[t].digits), static_cast<std::uint64_t>(thresholds_[t].p));
  }
  std::uint64_t content_of_modulus(Id m) const { return mix(moduli_[m].c, static_cast<std::uint64_t>(moduli_[m].s)); }
  // Is a threshold a multiple of a modulus?
  bool is_multiple(Id threshold, Id modulus) const {
    const Threshold& t = thresholds_[threshold];
    const Modulus& m = moduli_[modulus];
    std::int64_t shift = t.p + 1 - static_cast<std::int64_t>(t.digits.size()) - m.s;
    if (t.digits.empty()) return true;
    if (shift < 0) return false;
    unsigned __int128 rest = 0;
    for (char d : t.digits) rest = (rest * 10 + static_cast<unsigned>(d - '0')) % m.c;
    return times_power(static_cast<std::uint64_t>(rest), shift, m.c) == 0;
  }

  // The residual before the first byte; `tracked`: formulas whose truth is wanted at the end. kDead if unsatisfiable.
  Id start(Id goal, const std::vector<Id>& tracked, bool plain) {
    State s;
    s.goal = goal;
    s.tracked = tracked;
    s.plain = plain;
    return settle(std::move(s));
  }

  Id step(Id id, int b) {
    int column = column_of(b);
    if (column < 0 || !has(alphabet_, b)) return kDead;
    meter_.charge();
    Id cell = rows_[id][column];
    if (cell != kNotYet) return cell;
    Meter::Quiet quiet(meter_);
    State s = unpack(id);
    Id made = advance(s, b) ? settle(std::move(s)) : kDead;
    rows_[id][column] = made;
    return made;
  }
  Id live_step(Id id, int b) {
    Id next = step(id, b);
    return next != kDead && alive(next) ? next : kDead;
  }
  // Has it a completion? As `distance(id) >= 0`, without looking for the shortest one where spelling is free.
  bool alive(Id id) {
    if (alive_[id] < 0) {
      bool yes = false;
      alive_costs_[id] = meter_.once([&] { yes = accepts(id) || (spells_values(id) ? lives(id) : distance(id) >= 0); });
      alive_[id] = yes;
    }
    meter_.pay(alive_costs_[id]);
    return alive_[id];
  }

  bool accepts(Id id) {
    if (accepts_[id] < 0) {
      Meter::Quiet quiet(meter_);
      State s = unpack(id);
      bool ends = s.phase == Zero || s.phase == Integer || s.phase == Fraction || s.phase == ExponentDigits;
      if (s.plain && s.phase == Fraction && (s.z > 0 || !s.nonzero)) ends = false;
      if (s.plain && s.phase == Zero && s.negative) ends = false;
      accepts_[id] = ends && evaluate(s, s.goal);
    }
    return accepts_[id];
  }
  // Truth of each tracked formula if the number ended here.
  std::vector<bool> outcomes(Id id) {
    State s = unpack(id);
    std::vector<bool> out;
    for (Id f : s.tracked) out.push_back(evaluate(s, f));
    return out;
  }
  // The residual whose goal also asks for the given truths of tracked formulas.
  Id narrowed(Id id, const std::vector<std::pair<std::size_t, bool>>& wanted) {
    State s = unpack(id);
    std::vector<Id> parts{s.goal};
    for (auto [i, truth] : wanted) parts.push_back(truth ? s.tracked[i] : formulas_.negate(s.tracked[i]));
    s.goal = formulas_.conjunction(parts);
    return settle(std::move(s));
  }
  // Bytes of a shortest completion, -1 if there is none.
  std::int64_t distance(Id id) {
    if (distances_[id] == kUnknown) {
      costs_[id] = meter_.once([&] { search(id); });
    }
    meter_.pay(costs_[id]);
    return distances_[id];
  }
  int first_byte(Id id) {
    std::int64_t d = distance(id);
    if (d <= 0) return -1;
    for (char c : std::string_view("+-.0123456789Ee")) {
      Id next = step(id, c);
      if (next != kDead && distance(next) == d - 1) return c;
    }
    return -1;
  }
  // A residual with the same masks for tokens of at most `longest` bytes.
  Id mask_key(Id id, int longest) {
    State s = unpack(id);
    std::int64_t need = longest + 8;
    for (Id t : s.thresholds) need += std::abs(thresholds_[t].p) + static_cast<std::int64_t>(thresholds_[t].digits.size());
    for (Id m : s.moduli) need += std::abs(moduli_[m].s) + 40;
    if (s.digits <= 1 || digit_limit_ - s.digits < need) return id;
    s.digits = 1;
    return settle(std::move(s));
  }
  std::size_t count() const { return rows_.size(); }
  std::size_t bytes() const { return states_.bytes() + rows_.size() * (sizeof(rows_[0]) + 40); }

 private:
  static constexpr Id kNotYet = -2;
  static constexpr std::int64_t kUnknown = -3;
  static constexpr Id kLess = -1, kGreater = -2;
  enum Phase { Start, Minus, Zero, Integer, Point, Fraction, Exponent, ExponentSign, ExponentDigits };
  struct Threshold {
    std::string digits;
    std::int64_t p;
  };
  struct Modulus {
    std::uint64_t c;
    std::int64_t s;
  };
  struct State {
    Id goal = FormulaStore::kTrue;
    std::vector<Id> tracked;
    bool plain = false, negative = false, nonzero = false, exponent_negative = false;
    int phase = Start, digits = 0;
    Id p = 0, k = 0, z = 0, e = 0, exponent_digits = 0;
    Id n = 0;  // digits from the first to the last non-zero one
    std::vector<Id> thresholds, cmp, moduli;
    std::vector<std::uint64_t> rem;
  };

  static void strip(std::string& digits, std::int64_t& exponent) {
    std::size_t lead = digits.find_first_not_of('0');
    digits.erase(0, lead == std::string::npos ? digits.size() : lead);
    while (!digits.empty() && digits.back() == '0') digits.pop_back(), ++exponent;
  }
  static int column_of(int b) {
    if (b >= '0' && b <= '9') return b - '0';
    switch (b) {
      case '-': return 10;
      case '+': return 11;
      case '.': return 12;
      case 'e': return 13;
      case 'E': return 14;
      default: return -1;
    }
  }

  // ------------------------------------------------------------------ one byte
  bool advance(State& s, int b) {
    bool digit = b >= '0' && b <= '9';
    switch (s.phase) {
      case Start:
        if (b == '-') return s.negative = true, s.phase = Minus, true;
        [[fallthrough]];
      case Minus:
        if (!digit) return false;
        s.phase = b == '0' ? Zero : Integer;
        return take_digit(s, b - '0');
      case Zero:
      case Integer:
        if (digit) return s.phase == Integer && take_digit(s, b - '0');
        if (b == '.') return s.phase = Point, true;
        return take_e(s, b);
      case Point:
      case Fraction:
        if (digit) {
          s.phase = Fraction;
          ++s.k;
          return take_digit(s, b - '0');
        }
        return s.phase == Fraction && take_e(s, b);
      case Exponent:
        if (b == '+' || b == '-') return s.exponent_negative = b == '-', s.phase = ExponentSign, true;
        [[fallthrough]];
      case ExponentSign:
      case ExponentDigits:
        if (!digit || s.exponent_digits >= exponent_limit_) return false;
        s.phase = ExponentDigits;
        s.e = s.e * 10 + (b - '0');
        ++s.exponent_digits;
        return true;
    }
    return false;
  }
  static bool take_e(State& s, int b) {
    if (s.plain || (b != 'e' && b != 'E')) return false;
    s.phase = Exponent;
    return true;
  }
  bool take_digit(State& s, int d) {
    if (++s.digits > digit_limit_) return false;
    bool integer = s.phase == Integer;
    if (!s.nonzero && d == 0) return true;
    if (!s.nonzero) s.nonzero = true, s.p = integer ? 0 : -s.k;
    else if (integer) ++s.p;
    for (std::size_t i = 0; i < s.cmp.size(); ++i) {
      if (s.cmp[i] < 0) continue;
      const std::string& t = thresholds_[s.thresholds[i]].digits;
      int digit = s.cmp[i] < static_cast<Id>(t.size()) ? t[s.cmp[i]] - '0' : 0;
      if (d != digit) s.cmp[i] = d < digit ? kLess : kGreater;
      else if (s.cmp[i] < static_cast<Id>(t.size())) ++s.cmp[i];
    }
    if (d == 0) return ++s.z, true;
    s.n += s.z + 1;
    for (std::size_t j = 0; j < s.rem.size(); ++j) {
      std::uint64_t c = moduli_[s.moduli[j]].c;
      s.rem[j] = (times_power(s.rem[j], s.z + 1, c) + d) % c;
    }
    s.z = 0;
    return true;
  }
  static std::uint64_t times_power(std::uint64_t x, std::int64_t power, std::uint64_t c) {
    unsigned __int128 r = x % c, base = 10 % c;
    for (; power > 0; power >>= 1) {
      if (power & 1) r = r * base % c;
      base = base * base % c;
    }
    return static_cast<std::uint64_t>(r);
  }

  // ------------------------------------------------------------------ what is decided for every completion
  struct Range {
    std::int64_t lo, hi;
  };
  Range exponent_range(const State& s) const {
    std::int64_t top = 1;
    for (int i = s.exponent_digits; i < exponent_limit_; ++i) top *= 10;
    std::int64_t most = s.e * top + top - 1;
    if (s.phase < Exponent) return {0, 0};
    if (s.phase == Exponent) return {-most, most};
    std::int64_t least = s.exponent_digits ? s.e : 0;
    return s.exponent_negative ? Range{-most, -least} : Range{least, most};
  }
  // Range of the comparison of |x| with |threshold| (both non-zero), over all completions; `final`: no more bytes.
  Range magnitude(const State& s, std::size_t i, bool final) const {
    const Threshold& t = thresholds_[s.thresholds[i]];
    Id c = s.cmp[i];
    std::int64_t now = c == kLess ? -1 : c == kGreater ? 1 : c < static_cast<Id>(t.digits.size()) ? -1 : 0;
    Range any{-1, 1};
    if (final || s.phase >= Exponent) {
      Range e = exponent_range(s);
      if (final) e = {s.exponent_negative ? -s.e : s.e, s.exponent_negative ? -s.e : s.e};
      if (s.p + e.lo > t.p) return {1, 1};
      if (s.p + e.hi < t.p) return {-1, -1};
      return e.lo == e.hi ? Range{now, now} : any;
    }
    if (!s.plain) return any;
    if (s.phase == Zero) return t.p >= 0 ? Range{-1, -1} : any;
    if (s.phase == Integer) return s.p > t.p || (s.p == t.p && c == kGreater) ? Range{1, 1} : any;
    if (s.phase < Point) return any;
    if (!s.nonzero) return t.p >= -s.k ? Range{-1, -1} : any;
    if (s.p != t.p) return s.p > t.p ? Range{1, 1} : Range{-1, -1};
    if (c < 0) return {now, now};
    return now == 0 ? Range{0, 1} : any;
  }
  // Range of the comparison of x with sign * threshold.
  Range comparison(const State& s, Id threshold, Id sign, bool final) const {
    std::size_t i = place(s.thresholds, threshold);
    int target = thresholds_[threshold].digits.empty() ? 0 : sign;
    bool done = final || s.phase >= Exponent;
    bool zero = !s.nonzero, nonzero = s.nonzero || !done;
    Range out{1, -1};
    auto join = [&](std::int64_t lo, std::int64_t hi) { out.lo = std::min(out.lo, lo), out.hi = std::max(out.hi, hi); };
    for (int x = -1; x <= 1; ++x) {
      if (x == 0 ? !zero : !nonzero) continue;
      if (x != 0 && s.phase != Start && (x < 0) != s.negative) continue;
      if (x != target) join(x < target ? -1 : 1, x < target ? -1 : 1);
      else if (x == 0) join(0, 0);
      else {
        Range m = magnitude(s, i, final);
        if (x > 0) join(m.lo, m.hi);
        else join(-m.hi, -m.lo);
      }
    }
    return out;
  }
  // 1 true, 0 false, -1 open
  int multiple(const State& s, Id modulus, bool final) const {
    std::size_t j = place(s.moduli, modulus);
    const Modulus& m = moduli_[modulus];
    std::int64_t base = static_cast<std::int64_t>(s.z) - s.k - m.s;
    if (final || s.phase >= Exponent) {
      if (!s.nonzero) return 1;
      Range e = exponent_range(s);
      if (final) e = {s.exponent_negative ? -s.e : s.e, s.exponent_negative ? -s.e : s.e};
      if (base + e.hi < 0) return 0;
      bool least = base + e.lo >= 0 && times_power(s.rem[j], base + e.lo, m.c) == 0;
      if (least) return 1;
      if (s.rem[j] % reduced(m.c, 64) != 0) return 0;  // no power of ten makes up for the other factors
      return e.lo == e.hi ? 0 : -1;
    }
    if (s.plain && s.phase >= Point) {
      std::int64_t k = std::max<std::int64_t>(1, s.k + (s.z > 0 || !s.nonzero || s.phase == Point ? 1 : 0));
      if (-k - m.s < 0) return 0;
    }
    return -1;
  }
  int decided(const State& s, Id literal, bool final) const {
    const FormulaStore::Node& n = formulas_[literal];
    int truth;
    if (n.atom == Atom::Integral) truth = s.phase >= Point ? 0 : final ? 1 : -1;
    else if (n.atom == Atom::Multiple) truth = multiple(s, n.x, final);
    else {
      Range r = comparison(s, n.x, n.y, final);
      bool strict = n.atom == Atom::MoreThan;
      truth = r.lo >= (strict ? 1 : 0) ? 1 : r.hi < (strict ? 1 : 0) ? 0 : -1;
    }
    return truth < 0 || !n.negated ? truth : 1 - truth;
  }
  bool evaluate(const State& s, Id f) {
    return formulas_.holds(f, [&](Id l) { return decided(s, l, true) != 0; });
  }
  Id substitute(const State& s, Id f) {
    if (f == FormulaStore::kTrue || f == FormulaStore::kFalse) return f;
    return formulas_.map(f, [&](Id l) {
      int d = decided(s, l, false);
      return d < 0 ? l : d ? FormulaStore::kTrue : FormulaStore::kFalse;
    });
  }

  // ------------------------------------------------------------------ canonical residuals
  template <class F>
  void each_literal(Id root, F&& use) const {
    std::vector<Id> stack{root};
    std::unordered_set<Id> met;
    while (!stack.empty()) {
      const Id f = stack.back();
      const FormulaStore::Node& n = formulas_[f];
      stack.pop_back();
      if (n.kind == Bool::Literal) use(n);
      else if ((n.kind == Bool::And || n.kind == Bool::Or) && met.insert(f).second)
        stack.insert(stack.end(), formulas_.lists().begin(n.list), formulas_.lists().end(n.list));
    }
  }
  void collect(Id f, std::vector<Id>& thresholds, std::vector<Id>& moduli) const {
    each_literal(f, [&](const FormulaStore::Node& n) {
      if (n.atom != Atom::Integral) (n.atom == Atom::Multiple ? moduli : thresholds).push_back(n.x);
    });
  }
  // Does the goal ask how a number is spelled?
  bool asks_spelling(Id f) const {
    bool found = false;
    each_literal(f, [&](const FormulaStore::Node& n) { found = found || n.atom == Atom::Integral; });
    return found;
  }
  static std::size_t place(const std::vector<Id>& sorted, Id x) {
    return static_cast<std::size_t>(std::lower_bound(sorted.begin(), sorted.end(), x) - sorted.begin());
  }
  template <class T>
  static void unique(std::vector<T>& v) {
    std::sort(v.begin(), v.end());
    v.erase(std::unique(v.begin(), v.end()), v.end());
  }
  Id settle(State s) {
    std::vector<Id> thresholds, moduli;
    if (s.phase == Start) {
      collect_all(s, thresholds, moduli);
      s.thresholds = thresholds, s.moduli = moduli;
      s.cmp.assign(thresholds.size(), 0);
      s.rem.assign(moduli.size(), 0);
    }
    s.goal = substitute(s, s.goal);
    if (s.goal == FormulaStore::kFalse) return kDead;
    for (Id& f : s.tracked) f = substitute(s, f);
    if (!(s.thresholds.empty() && s.moduli.empty())) {
      thresholds.clear(), moduli.clear();
      collect_all(s, thresholds, moduli);
      project(s, thresholds, moduli);
    }
    forget(s);
    return intern(s);
  }
  void collect_all(const State& s, std::vector<Id>& thresholds, std::vector<Id>& moduli) const {
    collect(s.goal, thresholds, moduli);
    for (Id f : s.tracked) collect(f, thresholds, moduli);
    unique(thresholds), unique(moduli);
  }
  static void project(State& s, const std::vector<Id>& thresholds, const std::vector<Id>& moduli) {
    std::vector<Id> cmp;
    for (Id t : thresholds) cmp.push_back(s.cmp[place(s.thresholds, t)]);
    std::vector<std::uint64_t> rem;
    for (Id m : moduli) rem.push_back(s.rem[place(s.moduli, m)]);
    s.thresholds = thresholds, s.cmp = cmp, s.moduli = moduli, s.rem = rem;
  }
  static void forget(State& s) {
    bool ranges = !s.thresholds.empty(), multiples = !s.moduli.empty();
    if (!ranges) s.p = 0;
    if (!ranges && !(s.plain && (s.phase == Minus || s.phase == Zero))) s.negative = false;
    if (!multiples) {
      s.z = s.plain && s.z > 0 ? 1 : (s.plain && !s.nonzero && s.phase == Fraction ? 1 : 0);
      if (!ranges) s.nonzero = s.plain && s.nonzero, s.k = 0, s.e = 0, s.exponent_negative = false;
      else if (s.nonzero) s.k = 0;
    }
    if (s.plain || !ranges || !multiples || s.phase >= Exponent) s.n = 0;
    if (s.phase >= Exponent) {
      Id w = s.z - s.k;
      s.z = std::max(w, 0), s.k = std::max(-w, 0);
      s.digits = 0;
    }
  }

  Id intern(const State& s) {
    std::vector<Id> v{s.goal, static_cast<Id>(s.tracked.size())};
    v.insert(v.end(), s.tracked.begin(), s.tracked.end());
    v.insert(v.end(), {s.plain + 2 * s.negative + 4 * s.nonzero + 8 * s.exponent_negative, s.phase, s.digits, s.p, s.k, s.z, s.e,
                       s.exponent_digits, s.n, static_cast<Id>(s.thresholds.size())});
    v.insert(v.end(), s.thresholds.begin(), s.thresholds.end());
    v.insert(v.end(), s.cmp.begin(), s.cmp.end());
    v.push_back(static_cast<Id>(s.moduli.size()));
    v.insert(v.end(), s.moduli.begin(), s.moduli.end());
    for (std::uint64_t r : s.rem) v.push_back(static_cast<Id>(r)), v.push_back(static_cast<Id>(r >> 32));
    Id id = states_.add(v) - 1;  // list 0 is the empty list
    if (id == static_cast<Id>(rows_.size())) {
      std::array<Id, 15> row;
      row.fill(kNotYet);
      rows_.push_back(row);
      distances_.push_back(kUnknown);
      costs_.emplace_back();
      lives_.emplace_back();
      lives_known_.push_back(-1);
      phases_.push_back(static_cast<std::int8_t>(s.phase));
      accepts_.push_back(-1);
      alive_.push_back(-1);
      alive_costs_.emplace_back();
    }
    return id;
  }
  State unpack(Id id) const {
    const Id* v = states_.begin(id + 1);
    State s;
    s.goal = *v++;
    Id n = *v++;
    s.tracked.assign(v, v + n), v += n;
    s.plain = *v & 1, s.negative = *v & 2, s.nonzero = *v & 4, s.exponent_negative = *v & 8, ++v;
    s.phase = *v++, s.digits = *v++, s.p = *v++, s.k = *v++, s.z = *v++, s.e = *v++, s.exponent_digits = *v++, s.n = *v++;
    n = *v++;
    s.thresholds.assign(v, v + n), v += n;
    s.cmp.assign(v, v + n), v += n;
    n = *v++;
    s.moduli.assign(v, v + n), v += n;
    for (Id j = 0; j < n; ++j, v += 2)
      s.rem.push_back(static_cast<std::uint32_t>(v[0]) | static_cast<std::uint64_t>(static_cast<std::uint32_t>(v[1])) << 32);
    return s;
  }

  // ------------------------------------------------------------------ liveness before the exponent
  // While an exponent may still come, where the point stands does not matter, but to a goal that asks for an integer's spelling:
  // the text can go on iff some number whose digits begin with those read satisfies the goal (number_liveness.hpp).
  class ValueSearch;
  bool some_value(const State& s);
  std::int64_t shortest(const State& s);
  struct Digits {
    bool nonzero;
    Id n, z;
    std::vector<Id> cmp;
    std::vector<std::uint64_t> rem;
  };
  bool value_live(const State& s) {
    if (s.goal == FormulaStore::kTrue) return true;
    if (s.phase >= Exponent) return some_exponent(s);
    if (s.plain) return some_value(s);
    std::vector<Id> memo_key{s.goal, s.n, s.z, s.nonzero + 2 * s.negative + 4 * (s.phase == Start)};
    if (asks_spelling(s.goal)) memo_key.insert(memo_key.end(), {s.phase, s.p});
    memo_key.insert(memo_key.end(), s.cmp.begin(), s.cmp.end());
    for (std::uint64_t r : s.rem) memo_key.push_back(static_cast<Id>(r)), memo_key.push_back(static_cast<Id>(r >> 32));
    Id key = value_keys_.add(memo_key);
    auto memo = value_live_.find(key);
    if (memo == value_live_.end()) {
      bool live = false;
      Meter::Cost cost = meter_.once([&] { live = some_value(s); });
      memo = value_live_.emplace(key, std::pair(live, cost)).first;
    }
    meter_.pay(memo->second.second);
    return memo->second.first;
  }
  // With the exponent begun only its value is open: tried at the places where a comparison or a multiple may turn, and at the
  // ends of each range that so many more digits reach.
  bool some_exponent(const State& s) { return exponent_bytes(s) >= 0; }
  // The fewest bytes that complete an exponent begun, -1 if none do.
  int exponent_bytes(const State& s) {
    std::vector<std::int64_t> turns;
    for (Id t : s.thresholds)
      for (int d : {-1, 0, 1}) turns.push_back(thresholds_[t].p - s.p + d);
    for (Id m : s.moduli)
      for (std::int64_t d = -1; d <= tens(moduli_[m].c); ++d) turns.push_back(moduli_[m].s - (s.z - s.k) + d);
    unique(turns);
    State x = s;
    x.phase = ExponentDigits;
    auto satisfies = [&](std::int64_t e) {
      meter_.charge();
      x.exponent_negative = e < 0, x.e = static_cast<Id>(std::abs(e));
      return evaluate(x, x.goal);
    };
    auto some = [&](int sign, std::int64_t width) {
      if (s.phase != Exponent && (sign < 0) != s.exponent_negative) return false;
      std::int64_t lo = sign * s.e * width, hi = sign * (s.e * width + width - 1);
      if (lo > hi) std::swap(lo, hi);
      return satisfies(lo) || satisfies(hi) || std::any_of(turns.begin(), turns.end(), [&](std::int64_t e) { return e > lo && e < hi && satisfies(e); });
    };
    std::int64_t width = 1;
    bool negative = false;  // with one digit less
    for (int more = 0; s.exponent_digits + more <= exponent_limit_; ++more, width *= 10) {
      if (negative) return more;
      if (s.exponent_digits + more == 0) continue;
      if (some(1, width)) return more;
      negative = some(-1, width);
      if (negative && s.phase != Exponent) return more;
    }
    return negative ? exponent_limit_ + 1 : -1;
  }
  Digits append(const State& s, const Digits& d, int digit) const {
    Digits next = d;
    next.nonzero = true;
    for (std::size_t i = 0; i < next.cmp.size(); ++i) {
      if (next.cmp[i] < 0) continue;
      const std::string& t = thresholds_[s.thresholds[i]].digits;
      int want = next.cmp[i] < static_cast<Id>(t.size()) ? t[next.cmp[i]] - '0' : 0;
      if (digit != want) next.cmp[i] = digit < want ? kLess : kGreater;
      else if (next.cmp[i] < static_cast<Id>(t.size())) ++next.cmp[i];
    }
    if (digit == 0) return ++next.z, next;
    for (std::size_t j = 0; j < next.rem.size(); ++j) {
      std::uint64_t c = moduli_[s.moduli[j]].c;
      next.rem[j] = (times_power(next.rem[j], next.z + 1, c) + digit) % c;
    }
    next.n += next.z + 1;
    next.z = 0;
    return next;
  }
  // A power of ten beyond which more of it makes no difference to divisibility by c.
  static std::int64_t tens(std::uint64_t c) {
    std::int64_t twos = 0, fives = 0;
    for (; c % 2 == 0; c /= 2) ++twos;
    for (; c % 5 == 0; c /= 5) ++fives;
    return std::max(twos, fives) + 1;
  }
  static Digits digits_of(const State& s) { return {s.nonzero, s.n, s.nonzero ? s.z : 0, s.cmp, s.rem}; }
  // c without what it shares with 10**j.
  static std::uint64_t reduced(std::uint64_t c, std::int64_t j) {
    for (; j > 0; --j) {
      std::uint64_t g = (c % 2 ? 1 : 2) * (c % 5 ? 1 : 5);
      if (g == 1) break;
      c /= g;
    }
    return c;
  }
  void search(Id root) {
    std::int64_t found = -1;
    if (accepts(root)) found = 0;
    else if (direct(root)) found = exponent_bytes(unpack(root));
    else if (lives(root)) found = spells_values(root) ? shortest(unpack(root)) : nearest(root);
    distances_[root] = found;
  }
  // Bytes to the nearest accepting residual, breadth first: each residual on the way is met and paid for once, however many
  // ways lead to it, and what the memory of a new one costs is in the price. Where some digits are not spelled or the limits are near.
  std::int64_t nearest(Id root) {
    const std::string_view bytes = has(alphabet_, 'e') ? "+-.0123456789e" : "+-.0123456789E";
    std::vector<std::pair<Id, std::int64_t>> order{{root, 0}};
    std::unordered_set<Id> met{root};
    std::int64_t best = INT64_MAX;
    for (std::size_t i = 0; i < order.size() && order[i].second < best; ++i) {
      const auto [id, depth] = order[i];
      meter_.charge(40);
      if (accepts(id) || direct(id)) {
        if (std::int64_t left = distance(id); left >= 0) best = std::min(best, depth + left);
        continue;
      }
      for (char c : bytes) {
        Id next = step(id, c);
        if (next != kDead && met.insert(next).second && lives(next)) order.emplace_back(next, depth + 1);
      }
    }
    return best == INT64_MAX ? -1 : best;
  }
  // Can every value whose digits begin with those read be spelled from here: with any exponent, or plainly, and within the limits on digits?
  // Then `lives` is exact. May say no where the limits are near.
  bool spells_values(Id id) {
    if (phases_[id] >= Exponent) return false;
    for (char c : std::string_view("-.0123456789"))
      if (!has(alphabet_, c)) return false;
    const State s = unpack(id);
    if (!s.plain && !has(alphabet_, 'e') && !has(alphabet_, 'E')) return false;
    std::int64_t places = 0, digits = s.digits + 16 + static_cast<std::int64_t>(s.moduli.size());
    for (Id t : s.thresholds) places = std::max(places, std::abs(thresholds_[t].p) + static_cast<std::int64_t>(thresholds_[t].digits.size()));
    for (Id m : s.moduli) digits += static_cast<std::int64_t>(std::to_string(moduli_[m].c).size());
    digits += places;
    for (places = 0; Id m : s.moduli) places = std::max(places, std::abs(moduli_[m].s));
    digits += 2 * places;
    std::int64_t most = 1;
    for (int i = 0; i < exponent_limit_; ++i) most *= 10;
    return digits <= digit_limit_ && digits < most;
  }
  // Is the exponent begun, and is every exponent spelled?
  bool direct(Id id) const {
    if (phases_[id] < Exponent) return false;
    for (char c : std::string_view("-0123456789"))
      if (!has(alphabet_, c)) return false;
    return true;
  }
  bool lives(Id id) {
    if (lives_known_[id] < 0) {
      bool yes = false;
      lives_[id] = meter_.once([&] { yes = value_live(unpack(id)); });
      lives_known_[id] = yes;
    }
    meter_.pay(lives_[id]);
    return lives_known_[id];
  }

  FormulaStore& formulas_;
  ByteSet alphabet_;
  Meter& meter_;
  int digit_limit_ = 128, exponent_limit_ = 4;
  std::vector<Threshold> thresholds_;
  std::vector<Modulus> moduli_;
  std::unordered_map<std::string, Id> threshold_ids_, modulus_ids_;
  ListStore states_;
  std::vector<std::array<Id, 15>> rows_;
  std::vector<std::int64_t> distances_;
  std::vector<Meter::Cost> costs_, lives_;  // of a distance; of liveness before the exponent
  std::vector<std::int8_t> lives_known_, phases_;
  std::vector<std::int8_t> accepts_, alive_;  // -1: not known
  std::vector<Meter::Cost> alive_costs_;
  ListStore value_keys_;
  std::unordered_map<Id, std::pair<bool, Meter::Cost>> value_live_;
};

}  // namespace constrain

#include "number_liveness.hpp"
