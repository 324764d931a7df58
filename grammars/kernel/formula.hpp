// Hash-consed Boolean formulas, and the atoms that the value algebras put into them.
//
// Formulas are kept in negation normal form (negation stands only before an atom), flattened, sorted and without
// duplicates, so that conjunctions and disjunctions are sets; complementary literals collapse. One store serves all
// algebras (numbers, arrays, objects, values); operands of one node always belong to one algebra.
//
// Operands are in the order of a hash of their content, not of their ids: what a search meets first, and so what it costs, does not
// depend on what the store held before.
// Cost: O(operands log operands) a node. Not thread-safe.
#pragma once
#include "common.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace constrain {

enum class Atom : std::uint8_t {
  AtLeast,        // number: x >= sign y of threshold x
  MoreThan,       // number: x > sign y of threshold x
  Multiple,       // number: a multiple of modulus x
  Integral,       // number: written without fraction and exponent
  Items,          // array: items from position y on satisfy bundle x
  ItemCount,      // array: at least x items satisfy value y
  Properties,     // object: members satisfy bundle x
  Required,       // object: all names of set x are still to come
  PropertyCount,  // object: at least x members as list y = (names, value) says
  Record,         // value: record x
  Slot,           // value: what slot x was defined as
  Unique,         // array: the items to come differ from each other and from the constants of list x
  UniqueNext,     // inside a derivative: Unique, once the item being read has joined list x
  Unevaluated,    // array, object: members satisfy bundle x unless a branch that holds evaluates them; list y: its branches
  Child           // inside a derivative: the member being read satisfies value x
};

// What occurs below a formula.
enum Occurs : std::uint8_t { kHasChild = 1, kHasUnique = 2, kHasNext = 4 };

enum class Bool : std::uint8_t { False, True, Literal, And, Or };

// A hash of what the operands of an atom stand for, whatever their ids are.
class AtomContents {
 public:
  virtual ~AtomContents() = default;
  virtual std::uint64_t content(Atom atom, Id x, Id y) const = 0;
};

class FormulaStore {
 public:
  const AtomContents* atoms = nullptr;  // before the first literal

  static constexpr Id kFalse = 0, kTrue = 1;
  struct Node {
    Bool kind;
    Atom atom{};
    bool negated = false;
    std::uint8_t occurs = 0;
    Id x = 0, y = 0;  // atom operands
    Id list = 0;      // operands of And, Or
    std::uint64_t hash = 0;
    bool has_child() const { return occurs & kHasChild; }
    bool has_unique() const { return occurs & (kHasUnique | kHasNext); }
    bool has_next() const { return occurs & kHasNext; }
  };

  explicit FormulaStore(Meter& meter) : meter_(meter) {
    table_.assign(256, kNone);
    intern(Node{Bool::False});
    intern(Node{Bool::True});
  }

  const Node& operator[](Id f) const { return nodes_[f]; }
  const ListStore& lists() const { return lists_; }
  std::vector<Id> operands(Id f) const {
    const Node& n = nodes_[f];
    return {lists_.begin(n.list), lists_.end(n.list)};
  }
  std::size_t count() const { return nodes_.size(); }
  std::size_t bytes() const { return nodes_.size() * (sizeof(Node) + 8) + lists_.bytes() + table_.size() * 4; }
  std::uint64_t content(Id f) const { return contents_[f]; }
  // Is `f` before `g` in the order of contents?
  bool before(Id f, Id g) const { return contents_[f] != contents_[g] ? contents_[f] < contents_[g] : f < g; }
  // Sorts and drops duplicates.
  void sort(std::vector<Id>& parts) const {
    std::sort(parts.begin(), parts.end(), [&](Id f, Id g) { return before(f, g); });
    parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
  }

  // `inner`: what occurs in formulas that the atom's operands hold.
  Id literal(Atom atom, Id x, Id y = 0, bool negated = false, std::uint8_t inner = 0) {
    Node n{Bool::Literal};
    n.atom = atom, n.x = x, n.y = y, n.negated = negated, n.occurs = inner;
    if (atom == Atom::Child) n.occurs |= kHasChild;
    if (atom == Atom::Unique) n.occurs |= kHasUnique;
    if (atom == Atom::UniqueNext) n.occurs |= kHasNext;
    return intern(n);
  }
  Id negate(Id f) {
    const Node n = nodes_[f];
    switch (n.kind) {
      case Bool::False: return kTrue;
      case Bool::True: return kFalse;
      case Bool::Literal: return literal(n.atom, n.x, n.y, !n.negated, n.occurs);
      default: break;
    }
    if (f < static_cast<Id>(negations_.size()) && negations_[f] != kNone) return negations_[f];
    std::vector<Id> parts = operands(f);
    for (Id& p : parts) p = negate(p);
    Id made = n.kind == Bool::And ? disjunction(parts) : conjunction(parts);
    remember_negation(f, made);
    remember_negation(made, f);
    return made;
  }
  Id conjunction(std::vector<Id> parts) { return combine(Bool::And, std::move(parts)); }
  Id disjunction(std::vector<Id> parts) { return combine(Bool::Or, std::move(parts)); }
  Id conjunction(Id a, Id b) { return combine(Bool::And, {a, b}); }
  Id disjunction(Id a, Id b) { return combine(Bool::Or, {a, b}); }
  // Exactly one of `parts` holds: a chain of (none so far, one so far), linear in their number.
  Id exactly_one(const std::vector<Id>& parts) {
    Id none = kTrue, one = kFalse;
    for (Id p : parts) {
      Id other = negate(p);
      one = disjunction(conjunction(one, other), conjunction(none, p));
      none = conjunction(none, other);
    }
    return one;
  }

  // Rebuilds `f` with each literal replaced by `replace(literal id)`; shared parts are visited once.
  template <class F>
  Id map(Id f, F&& replace) {
    std::unordered_map<Id, Id> memo;
    return map_memo(f, replace, memo);
  }
  // The truth of `f` where every literal has one: as `map`, without making anything while the formula is small.
  template <class F>
  bool holds(Id f, F&& truth) {
    int left = 64;
    if (std::optional<bool> known = holds_within(f, truth, left)) return *known;
    return map(f, [&](Id l) { return truth(l) ? kTrue : kFalse; }) == kTrue;
  }

 private:
  template <class F>
  std::optional<bool> holds_within(Id f, F& truth, int& left) {
    const Node& n = nodes_[f];
    if (n.kind == Bool::False || n.kind == Bool::True) return n.kind == Bool::True;
    if (n.kind == Bool::Literal) return truth(f);
    meter_.charge(1 + static_cast<std::int64_t>(lists_.size(n.list) / 4));
    for (const Id* part = lists_.begin(n.list); part != lists_.end(n.list); ++part) {
      if (--left < 0) return std::nullopt;
      const std::optional<bool> known = holds_within(*part, truth, left);
      if (!known || *known != (n.kind == Bool::And)) return known;
    }
    return n.kind == Bool::And;
  }
  template <class F>
  Id map_memo(Id f, F& replace, std::unordered_map<Id, Id>& memo) {
    const Node n = nodes_[f];
    if (n.kind == Bool::False || n.kind == Bool::True) return f;
    if (n.kind == Bool::Literal) return replace(f);
    auto it = memo.find(f);
    if (it != memo.end()) return it->second;
    std::vector<Id> parts = operands(f);
    meter_.charge(1 + static_cast<std::int64_t>(parts.size() / 4));
    Id stop = n.kind == Bool::And ? kFalse : kTrue;
    for (Id& p : parts) {
      p = map_memo(p, replace, memo);
      if (p == stop) return memo[f] = stop;
    }
    return memo[f] = combine(n.kind, std::move(parts));
  }

  Id combine(Bool kind, std::vector<Id> parts) {
    Id unit = kind == Bool::And ? kTrue : kFalse, zero = kind == Bool::And ? kFalse : kTrue;
    for (std::size_t i = 0; i < parts.size(); ++i)
      if (nodes_[parts[i]].kind == kind) {
        std::vector<Id> inner = operands(parts[i]);
        parts[i] = inner[0];
        parts.insert(parts.end(), inner.begin() + 1, inner.end());
      }
    sort(parts);
    parts.erase(std::remove(parts.begin(), parts.end(), unit), parts.end());
    if (!parts.empty() && parts[0] == zero) return zero;
    if (absorb_counts(kind, parts)) return combine(kind, std::move(parts));
    if (parts.empty()) return unit;
    if (parts.size() == 1) return parts[0];
    for (Id p : parts) {
      const Node& n = nodes_[p];
      if (n.kind != Bool::Literal || !n.negated) continue;
      Id positive = find(n.atom, n.x, n.y);
      if (positive != kNone && std::binary_search(parts.begin(), parts.end(), positive, [&](Id f, Id g) { return before(f, g); })) return zero;
    }
    Node n{kind};
    n.list = lists_.add(parts);
    for (Id p : parts) n.occurs |= nodes_[p].occurs;
    return intern(n);
  }

  static bool counts(const Node& n) {
    return n.kind == Bool::Literal && (n.atom == Atom::ItemCount || n.atom == Atom::PropertyCount);
  }
  // Among counts of the same things one bound a side decides; bounds that exclude each other decide the whole.
  // Without this the derivatives of a count would pile up all the bounds below it. True if `parts` changed.
  bool absorb_counts(Bool kind, std::vector<Id>& parts) const {
    if (std::count_if(parts.begin(), parts.end(), [&](Id p) { return counts(nodes_[p]); }) < 2) return false;
    bool changed = false, all = kind == Bool::And;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const Node& a = nodes_[parts[i]];
      if (!counts(a)) continue;
      for (std::size_t j = i + 1; j < parts.size(); ++j) {
        const Node& b = nodes_[parts[j]];
        if (!counts(b) || a.atom != b.atom || a.y != b.y) continue;
        if (a.negated == b.negated) {
          bool keep_larger = all != a.negated;  // at least m and n: the larger; fewer than m and n: the smaller
          parts[i] = (a.x > b.x) == keep_larger ? parts[i] : parts[j];
        } else {
          Id least = a.negated ? b.x : a.x, below = a.negated ? a.x : b.x;  // at least `least`, fewer than `below`
          if (all ? least < below : least > below) continue;
          parts.assign(1, all ? kFalse : kTrue);
          return true;
        }
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(j));
        changed = true;
        --i;  // compare the one kept with the others
        break;
      }
    }
    return changed;
  }

  static std::uint64_t hash_of(const Node& n) {
    return mix(mix(static_cast<std::uint64_t>(n.kind) * 64 + static_cast<std::uint64_t>(n.atom) * 2 + n.negated,
                   static_cast<std::uint32_t>(n.x)),
               mix(static_cast<std::uint32_t>(n.y), static_cast<std::uint32_t>(n.list)));
  }
  bool same(const Node& a, const Node& b) const {
    return a.kind == b.kind && a.atom == b.atom && a.negated == b.negated && a.x == b.x && a.y == b.y && a.list == b.list;
  }
  Id find(Atom atom, Id x, Id y) const {
    Node n{Bool::Literal};
    n.atom = atom, n.x = x, n.y = y;
    std::uint64_t h = hash_of(n);
    for (std::size_t slot = h & (table_.size() - 1); table_[slot] != kNone; slot = (slot + 1) & (table_.size() - 1))
      if (same(nodes_[table_[slot]], n)) return table_[slot];
    return kNone;
  }
  Id intern(Node n) {
    n.hash = hash_of(n);
    if (2 * (nodes_.size() + 1) > table_.size()) {
      std::vector<Id> bigger(table_.size() * 2, kNone);
      for (Id id = 0; id < static_cast<Id>(nodes_.size()); ++id) {
        std::size_t slot = nodes_[id].hash & (bigger.size() - 1);
        while (bigger[slot] != kNone) slot = (slot + 1) & (bigger.size() - 1);
        bigger[slot] = id;
      }
      table_.swap(bigger);
    }
    std::size_t slot = n.hash & (table_.size() - 1);
    while (table_[slot] != kNone) {
      if (same(nodes_[table_[slot]], n)) return table_[slot];
      slot = (slot + 1) & (table_.size() - 1);
    }
    Id id = static_cast<Id>(nodes_.size());
    nodes_.push_back(n);
    contents_.push_back(content_of(n));
    table_[slot] = id;
    return id;
  }
  // False and true come first, then what is defined later, in the order of the source: its searches tend to end where they began.
  std::uint64_t content_of(const Node& n) const {
    if (n.kind == Bool::False || n.kind == Bool::True) return n.kind == Bool::True;
    if (n.kind == Bool::Literal && n.atom == Atom::Slot && atoms) return 2 + 2 * atoms->content(n.atom, n.x, n.y) + n.negated;
    std::uint64_t h = mix(static_cast<std::uint64_t>(n.kind) * 64 + static_cast<std::uint64_t>(n.atom), n.negated);
    if (n.kind == Bool::Literal) h = mix(h, atoms ? atoms->content(n.atom, n.x, n.y) : mix(static_cast<std::uint64_t>(n.x), static_cast<std::uint64_t>(n.y)));
    else
      for (const Id* p = lists_.begin(n.list); p != lists_.end(n.list); ++p) h = mix(h, contents_[*p]);
    return h | 1ull << 63;
  }
  void remember_negation(Id f, Id g) {
    if (f >= static_cast<Id>(negations_.size())) negations_.resize(f + 1, kNone);
    negations_[f] = g;
  }

  Meter& meter_;
  std::vector<Node> nodes_;
  std::vector<std::uint64_t> contents_;
  std::vector<Id> table_, negations_;
  ListStore lists_;
};

}  // namespace constrain
