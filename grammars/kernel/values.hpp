// Values: the algebra of JSON values, loaded from the packed table, with satisfiability.
//
// A *value* is a formula over records and slots. A record holds one predicate for each JSON type
// (null, true, false as constants; numbers, arrays and objects as formulas; strings as a regular expression), so the
// Boolean operations act on components and nothing ever distinguishes cases by type. A slot stands for a value that
// is defined later: recursion. `expand` resolves a value to its record.
//
// Containers are read member by member: the *derivative* of a container formula by a member replaces each atom by
// what it demands of the remaining members and, through `Child` atoms, of the value being read. `resolve` turns such
// a derivative into the demand on the child (its goal), and, only where the outcome of a sub-formula matters later,
// into a list of pending sub-values whose truth the child reports when it ends. A schema without alternatives has no
// pending values and its derivative is decided before the child begins.
//
// `satisfiable(value)` is exact: the least fixed point over the finite witnesses. It is charged; negative answers
// that rest on an unfinished ancestor are not memoised.
#pragma once
#include <cstring>
#include <functional>
#include <map>

#include "ir.hpp"
#include "number.hpp"

namespace constrain {

enum Part { kNull, kTrueValue, kFalseValue, kNumber, kString, kArray, kObject, kParts };
using Record = std::array<Id, kParts>;

struct PropertyBundle {
  std::vector<std::pair<Id, Id>> literals;  // name, value: in the order of the source
  std::vector<std::pair<Id, Id>> patterns;  // names (regex), value
  Id additional = FormulaStore::kTrue;
  std::unordered_map<std::string_view, Id> by_name;  // -> index in literals
  Id trie = RegexStore::kEmpty;                       // the literal names
};
struct ItemBundle {
  std::vector<Id> prefix;
  Id rest = FormulaStore::kTrue;
};

// What a derivative demands: `goal` of the child; `rest` of the container afterwards, still with Child atoms when
// `pending` (a list of values to report on) is not the empty list 0. goal == kFalse: the member is impossible.
struct Demand {
  Id goal = FormulaStore::kFalse, rest = FormulaStore::kFalse, pending = 0;
};
// One way to satisfy a derivative: truth of some children, and what remains then.
struct Leaf {
  std::vector<std::pair<Id, bool>> outcome;
  Id value, rest;
};

class Values {
 public:
  static constexpr Id kAny = FormulaStore::kTrue, kNever = FormulaStore::kFalse;

  // `alphabet`: bytes that the texts of strings can hold once decoded; `spelled`: bytes that occur in tokens.
  Values(const ByteSet& alphabet, const ByteSet& spelled, Meter& meter)
      : meter_(meter), re(alphabet, meter), fs(meter), numbers(fs, spelled, meter), spelled_(spelled) {
    any_record_ = add_record({1, 1, 1, FormulaStore::kTrue, re.text(), FormulaStore::kTrue, FormulaStore::kTrue});
    no_record_ = add_record({0, 0, 0, FormulaStore::kFalse, RegexStore::kEmpty, FormulaStore::kFalse, FormulaStore::kFalse});
  }

  Meter& meter_;
  RegexStore re;
  FormulaStore fs;
  NumberMachine numbers;
  ListStore lists;
  bool plain_numbers = false;   // set for the document at hand before any call
  bool source_order = false;

  // ------------------------------------------------------------------ values
  Id value_of(const Record& r) {
    Id id = add_record(r);
    if (id == any_record_) return kAny;
    if (id == no_record_) return kNever;
    return fs.literal(Atom::Record, id);
  }
  Id new_slot() {
    slots_.push_back(kNone);
    return static_cast<Id>(slots_.size()) - 1;
  }
  void define_slot(Id slot, Id value) { slots_[slot] = value; }
  Id value_not(Id v) {
    return fs.map(fs.negate(v), [&](Id l) {
      const FormulaStore::Node n = fs[l];
      return n.atom == Atom::Record && n.negated ? value_of(negated(records_[n.x])) : l;
    });
  }
  Id value_and(const std::vector<Id>& parts) { return value_combine(Bool::And, parts); }
  Id value_or(const std::vector<Id>& parts) { return value_combine(Bool::Or, parts); }

  const Record& expand(Id v) {
    if (v == kAny) return records_[any_record_];
    if (v == kNever) return records_[no_record_];
    return records_[expand_id(v)];
  }

  // ------------------------------------------------------------------ names and bundles
  Id name(std::string_view s) {
    auto it = name_ids_.find(s);
    if (it != name_ids_.end()) return it->second;
    name_store_.push_back(std::string(s));
    Id id = static_cast<Id>(name_store_.size()) - 1;
    name_ids_.emplace(name_store_.back(), id);
    return id;
  }
  std::string_view name_text(Id id) const { return name_store_[id]; }
  Id property_bundle(PropertyBundle b) {
    std::vector<Id> key{static_cast<Id>(b.literals.size()), static_cast<Id>(b.patterns.size())};
    for (auto [n, v] : b.literals) key.push_back(n), key.push_back(v);
    for (auto [r, v] : b.patterns) key.push_back(r), key.push_back(v);
    key.push_back(b.additional);
    Id list = lists.add(key);
    auto [it, fresh] = property_bundle_ids_.try_emplace(list, static_cast<Id>(property_bundles_.size()));
    if (fresh) {
      std::vector<std::string_view> texts;
      for (std::size_t i = 0; i < b.literals.size(); ++i) {
        texts.push_back(name_text(b.literals[i].first));
        b.by_name.emplace(texts.back(), static_cast<Id>(i));
      }
      b.trie = re.strings(texts);
      property_bundles_.push_back(std::move(b));
    }
    return it->second;
  }
  Id item_bundle(ItemBundle b) {
    while (!b.prefix.empty() && b.prefix.back() == b.rest) b.prefix.pop_back();
    std::vector<Id> key = b.prefix;
    key.push_back(b.rest);
    Id list = lists.add(key);
    auto [it, fresh] = item_bundle_ids_.try_emplace(list, static_cast<Id>(item_bundles_.size()));
    if (fresh) item_bundles_.push_back(std::move(b));
    return it->second;
  }
  const PropertyBundle& properties(Id bundle) const { return property_bundles_[bundle]; }

  // ------------------------------------------------------------------ derivatives of containers
  // Truth if the container ended here.
  bool ends(Id f) {
    if (f == FormulaStore::kTrue) return true;
    if (f == FormulaStore::kFalse) return false;
    if (f < static_cast<Id>(ends_.size()) && ends_[f] >= 0) return ends_[f];
    bool e = fs.map(f, [&](Id l) {
      const FormulaStore::Node& n = fs[l];
      bool truth = n.atom == Atom::Items || n.atom == Atom::Properties;
      return truth != n.negated ? FormulaStore::kTrue : FormulaStore::kFalse;
    }) == FormulaStore::kTrue;
    if (f >= static_cast<Id>(ends_.size())) ends_.resize(f + 64, -1);
    ends_[f] = e;
    return e;
  }

  Id item_derivative(Id f) {
    return fs.map(f, [&](Id l) {
      const FormulaStore::Node n = fs[l];
      Id made;
      if (n.atom == Atom::Items) {
        const ItemBundle& b = item_bundles_[n.x];
        Id size = static_cast<Id>(b.prefix.size());
        Id value = n.y < size ? b.prefix[n.y] : b.rest;
        made = fs.conjunction(fs.literal(Atom::Items, n.x, std::min(n.y + 1, size)), child(value));
      } else {
        made = counted(child(n.y), n.x <= 1 ? FormulaStore::kTrue : fs.literal(Atom::ItemCount, n.x - 1, n.y), l, n.negated);
      }
      return n.negated ? fs.negate(made) : made;
    });
  }

  Id member_derivative(Id f, std::string_view key) {
    return fs.map(f, [&](Id l) {
      const FormulaStore::Node n = fs[l];
      Id made;
      if (n.atom == Atom::Properties) {
        made = fs.conjunction(fs.literal(Atom::Properties, n.x), child(member_value(n.x, key)));
      } else if (n.atom == Atom::Required) {
        made = without(n.x, key);
      } else {
        Id count = n.x, names = lists.begin(n.y)[0], value = lists.begin(n.y)[1];
        if (names != kNone && !re.accepts(names, key)) return l;
        made = counted(child(value), count <= 1 ? FormulaStore::kTrue : count_atom(count - 1, names, value), l, n.negated);
      }
      return n.negated ? fs.negate(made) : made;
    });
  }
  Id count_atom(Id n, Id names, Id value) {
    Id key[2] = {names, value};
    return fs.literal(Atom::PropertyCount, n, lists.add(key, 2));
  }
  Id required_atom(std::vector<Id> names) {
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names.empty() ? FormulaStore::kTrue : fs.literal(Atom::Required, lists.add(names));
  }
  // What a bundle demands of the member `key`.
  Id member_value(Id bundle, std::string_view key) {
    const PropertyBundle& b = property_bundles_[bundle];
    std::vector<Id> parts;
    auto it = b.by_name.find(key);
    bool selected = it != b.by_name.end();
    if (selected) parts.push_back(b.literals[it->second].second);
    for (std::size_t i = 0; i < b.patterns.size(); ++i)
      if (re.accepts(b.patterns[i].first, key)) {
        selected = true;
        parts.push_back(property_bundles_[bundle].patterns[i].second);
      }
    if (!selected) return property_bundles_[bundle].additional;
    return parts.size() == 1 ? parts[0] : value_and(parts);
  }

  // ------------------------------------------------------------------ demands
  // `seen`: trie of the names used up (kNone: an array).
  Demand resolve(Id derivative, Id seen) {
    if (derivative == FormulaStore::kFalse) return {};
    std::uint64_t key = (static_cast<std::uint64_t>(derivative) << 32) | static_cast<std::uint32_t>(seen);
    auto it = demands_.find(key);
    if (it != demands_.end()) return it->second;
    int cut_before = cut_;
    cut_ = INT32_MAX;
    Demand d = resolve_new(derivative, seen);
    bool stable = cut_ == INT32_MAX;
    cut_ = std::min(cut_, cut_before);
    if (stable) demands_.emplace(key, d);
    return d;
  }
  // Every way of satisfying `derivative`, most promising first.
  std::vector<Leaf> leaves(Id derivative, Id seen) {
    std::vector<Leaf> out;
    std::vector<std::pair<Id, bool>> path;
    gather(derivative, kAny, seen, path, out);
    return out;
  }

  // ------------------------------------------------------------------ satisfiability
  bool satisfiable(Id v) {
    if (v == kAny) return true;
    if (v == kNever) return false;
    if (v >= static_cast<Id>(sat_.size())) sat_.resize(v + 64, 0);
    if (sat_[v] == 1) return true;
    if (sat_[v] == 2) return false;
    if (sat_[v] >= 8) {  // in progress: the least fixed point says no for now
      cut_ = std::min(cut_, static_cast<int>(sat_[v]) - 8);
      return false;
    }
    if (++depth_ > 4000) throw LimitError(depth_, 4000, "depth of the search for a witness");
    sat_[v] = 8 + depth_;
    int cut_before = cut_;
    cut_ = INT32_MAX;
    bool yes = false;
    try {
      yes = record_satisfiable(expand_id(v));
    } catch (...) {
      sat_[v] = 0;
      --depth_;
      throw;
    }
    --depth_;
    if (yes) sat_[v] = 1, cut_ = cut_before;
    else {
      bool own = cut_ > depth_;  // rests on nothing above
      sat_[v] = own ? 2 : 0;
      cut_ = own ? cut_before : std::min(cut_, cut_before);
    }
    return yes;
  }
  bool part_satisfiable(Id record, Part p) {
    Id x = records_[record][p];
    const ByteSet& a = spelled_;
    switch (p) {
      case kNull: return x && spell("null");
      case kTrueValue: return x && spell("true");
      case kFalseValue: return x && spell("false");
      case kNumber: {
        if (x == FormulaStore::kFalse) return false;
        Id s = numbers.start(x, {}, plain_numbers);
        return s != NumberMachine::kDead && numbers.distance(s) >= 0;
      }
      case kString: return x != RegexStore::kEmpty && has(a, '"') && re.live(x);
      case kArray: return x != FormulaStore::kFalse && has(a, '[') && has(a, ']') && array_live(x);
      default:
        return x != FormulaStore::kFalse && has(a, '{') && has(a, '}') && object_live(x, RegexStore::kEmpty);
    }
  }
  Id record_id(Id v) { return v == kAny ? any_record_ : v == kNever ? no_record_ : expand_id(v); }

  bool array_live(Id f) {
    if (f == FormulaStore::kFalse) return false;
    if (ends(f)) return true;
    return container_live(f, kNone);
  }
  bool object_live(Id f, Id seen) {
    if (f == FormulaStore::kFalse) return false;
    if (f == FormulaStore::kTrue) return true;
    Simple s;
    if (simple(f, s)) return simple_live(s, seen);
    if (ends(f)) return true;
    return container_live(f, seen);
  }
  bool container_live_any(Id f, Id seen) { return seen == kNone ? array_live(f) : object_live(f, seen); }

  // ------------------------------------------------------------------ which names may come next
  // The names that may come next, whether used up already or not.
  Id allowed_names(Id f, Id seen) {
    if (!has(spelled_, '"') || !has(spelled_, ':')) return RegexStore::kEmpty;
    Simple s;
    if (simple(f, s)) return simple_names(s, seen);
    std::uint64_t key = (static_cast<std::uint64_t>(f) << 32) | static_cast<std::uint32_t>(seen);
    auto it = names_memo_.find(key);
    if (it != names_memo_.end()) return it->second;
    std::vector<std::string_view> good;
    for (Id n : literal_names(f))
      if (!re.accepts(seen, name_text(n)) && member_possible(f, name_text(n), seen)) good.push_back(name_text(n));
    std::vector<Id> parts{re.strings(good)};
    for (Id region : regions(f)) {
      Id fresh = re.conj({region, re.negate(seen)});
      if (re.live(fresh) && member_possible(f, re.shortest(fresh), seen)) parts.push_back(region);
    }
    Id made = re.alt(parts);
    names_memo_.emplace(key, made);
    return made;
  }
  // Is every name with this prefix allowed except known ones? Then `known` gets the declared and the used-up names with
  // the prefix, and `other` a name that is none of them. May say no wrongly (costs time), never yes wrongly.
  bool open_names(Id f, Id seen, const std::string& prefix, std::vector<std::string>& known, std::string& other) {
    Simple s;
    if (!simple(f, s) || static_cast<Id>(s.required.size()) >= s.most || (source_order && !s.required.empty())) return false;
    if (re.run(re.text(), prefix) != re.text()) return false;
    std::vector<Id> all = regions(s.bundles);
    if (all.size() != 1 || !satisfiable(bundles_value(s.bundles, re.shortest(all[0]))) || has_patterns(s.bundles)) return false;
    std::unordered_set<std::string> found;
    for (Id n : literal_names(f))
      if (starts_with(name_text(n), prefix)) found.emplace(name_text(n));
    re.each_word(re.run(seen, prefix), prefix, [&](const std::string& word) { found.insert(word); });
    known.assign(found.begin(), found.end());
    int suffix = 0;
    do other = prefix + "~" + std::to_string(suffix++);
    while (found.count(other));
    return true;
  }
  Id next_names(Id f, Id seen) {
    Id a = allowed_names(f, seen);
    return seen == RegexStore::kEmpty ? a : re.conj({a, re.negate(seen)});
  }
  // Names used up once `key` was read: itself, and under source order all declared before it.
  Id seen_after(Id f, Id seen, std::string_view key) {
    if (source_order) {
      std::vector<Id> order = literal_names(f);
      std::size_t at = order.size();
      for (std::size_t i = 0; i < order.size(); ++i)
        if (name_text(order[i]) == key) at = i;
      for (std::size_t i = 0; i < at; ++i)
        if (!re.accepts(seen, name_text(order[i]))) seen = re.insert_string(seen, name_text(order[i]));
    }
    return re.insert_string(seen, key);
  }
  Demand member_demand(Id f, Id seen_after_key, std::string_view key) {
    return resolve(member_derivative(f, key), seen_after_key);
  }
  // A name to go on with, chosen so that repeating the choice ends; empty optional if none is needed or possible.
  bool plan_name(Id f, Id seen, std::string_view prefix, std::string& out) {
    Simple s;
    if (simple(f, s)) {
      std::vector<Id> order = source_order ? literal_names(f) : std::vector<Id>(s.required.begin(), s.required.end());
      for (Id n : order) {
        if (source_order && !std::binary_search(s.required.begin(), s.required.end(), n)) continue;
        if (starts_with(name_text(n), prefix)) return out = std::string(name_text(n)), true;
      }
    } else {
      container_live(f, seen);
      auto it = plans_.find((static_cast<std::uint64_t>(f) << 32) | static_cast<std::uint32_t>(seen));
      if (it != plans_.end() && starts_with(it->second, prefix)) return out = it->second, true;
      for (Id n : literal_names(f))
        if (starts_with(name_text(n), prefix) && !re.accepts(seen, name_text(n)) && member_possible(f, name_text(n), seen))
          return out = std::string(name_text(n)), true;
    }
    Id names = re.run(next_names(f, seen), prefix);
    if (!re.live(names)) return false;
    out = std::string(prefix) + re.shortest(names);
    return true;
  }
  std::vector<Id> literal_names(Id f) {
    auto it = literal_memo_.find(f);
    if (it != literal_memo_.end()) return it->second;
    std::vector<Id> out;
    std::unordered_set<Id> found;
    visit(f, [&](const FormulaStore::Node& n) {
      if (n.atom == Atom::Properties)
        for (auto [name, value] : property_bundles_[n.x].literals)
          if (found.insert(name).second) out.push_back(name);
    });
    visit(f, [&](const FormulaStore::Node& n) {
      if (n.atom == Atom::Required)
        for (const Id* p = lists.begin(n.x); p != lists.end(n.x); ++p)
          if (found.insert(*p).second) out.push_back(*p);
    });
    return literal_memo_[f] = out;
  }

  Id substitute(Id f, const std::vector<std::pair<Id, bool>>& outcome) {
    if (!fs[f].has_child) return f;
    return fs.map(f, [&](Id l) {
      const FormulaStore::Node n = fs[l];
      if (n.atom != Atom::Child) return l;
      for (auto [v, truth] : outcome)
        if (v == n.x) return truth != n.negated ? FormulaStore::kTrue : FormulaStore::kFalse;
      return l;
    });
  }
  std::vector<Id> children(Id f) {
    std::vector<Id> out;
    visit(f, [&](const FormulaStore::Node& n) {
      if (n.atom == Atom::Child) out.push_back(n.x);
    });
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }
  std::size_t bytes() const {
    return re.bytes() + fs.bytes() + numbers.bytes() + lists.bytes() + records_.size() * sizeof(Record) + demands_.size() * 40 +
           names_memo_.size() * 32 + name_store_.size() * 64;
  }

  static bool starts_with(std::string_view s, std::string_view prefix) { return s.substr(0, prefix.size()) == prefix; }

 private:
  // ------------------------------------------------------------------ records
  Id add_record(const Record& r) {
    Id list = lists.add(r.data(), r.size());
    auto [it, fresh] = record_ids_.try_emplace(list, static_cast<Id>(records_.size()));
    if (fresh) records_.push_back(r);
    return it->second;
  }
  Record negated(const Record& r) {
    return {!r[0], !r[1], !r[2], fs.negate(r[kNumber]), re.conj({re.text(), re.negate(r[kString])}), fs.negate(r[kArray]),
            fs.negate(r[kObject])};
  }
  Record combined(Bool kind, const Record& a, const Record& b) {
    bool both = kind == Bool::And;
    Record out;
    for (int i = 0; i < 3; ++i) out[i] = both ? a[i] && b[i] : a[i] || b[i];
    for (Part p : {kNumber, kArray, kObject}) out[p] = both ? fs.conjunction(a[p], b[p]) : fs.disjunction(a[p], b[p]);
    out[kString] = both ? re.conj({a[kString], b[kString]}) : re.alt({a[kString], b[kString]});
    return out;
  }
  Id value_combine(Bool kind, const std::vector<Id>& parts) {
    Id flat = kind == Bool::And ? fs.conjunction(parts) : fs.disjunction(parts);
    if (fs[flat].kind != kind) return flat;
    std::vector<Id> rest;
    Record joined{};
    int records = 0;
    for (Id p : fs.operands(flat)) {
      const FormulaStore::Node n = fs[p];
      if (n.kind != Bool::Literal || n.atom != Atom::Record) {
        rest.push_back(p);
        continue;
      }
      const Record one = records_[n.x];
      joined = records++ ? combined(kind, joined, one) : one;
    }
    if (records < 2) return flat;
    rest.push_back(value_of(joined));
    return kind == Bool::And ? fs.conjunction(rest) : fs.disjunction(rest);
  }
  Id expand_id(Id v) {
    if (v == kAny) return any_record_;
    if (v == kNever) return no_record_;
    const FormulaStore::Node n = fs[v];
    if (n.kind == Bool::Literal && n.atom == Atom::Record) return n.x;
    if (v >= static_cast<Id>(expanded_.size())) expanded_.resize(v + 64, kNone);
    if (expanded_[v] >= 0) return expanded_[v];
    if (expanded_[v] == kBusy) throw SourceError(0, "a reference leads back to itself without entering an array or object");
    expanded_[v] = kBusy;
    Id made;
    try {
      if (n.kind == Bool::Literal) {
        if (slots_[n.x] == kNone) throw SourceError(0, "a reserved value was never defined");
        made = expand_id(slots_[n.x]);
        if (n.negated) made = add_record(negated(records_[made]));
      } else {
        std::vector<Id> parts = fs.operands(v);
        made = expand_id(parts[0]);
        for (std::size_t i = 1; i < parts.size(); ++i) {
          Id other = expand_id(parts[i]);
          Record a = records_[made], b = records_[other];
          made = add_record(combined(n.kind, a, b));
        }
      }
    } catch (...) {
      expanded_[v] = kNone;
      throw;
    }
    expanded_[v] = made;
    return made;
  }
  bool spell(std::string_view s) const {
    for (char c : s)
      if (!has(spelled_, static_cast<unsigned char>(c))) return false;
    return true;
  }
  bool record_satisfiable(Id record) {
    meter_.charge();
    for (Part p : {kNull, kTrueValue, kFalseValue, kNumber, kString, kArray, kObject})
      if (part_satisfiable(record, p)) return true;
    return false;
  }

  // ------------------------------------------------------------------ derivatives
  Id child(Id value) {
    return value == kAny ? FormulaStore::kTrue : value == kNever ? FormulaStore::kFalse : fs.literal(Atom::Child, value);
  }
  // at least n: the child counts and n - 1 remain, or n remain. (`self` is the literal as it stands.)
  Id counted(Id child_atom, Id fewer, Id self, bool self_negated) {
    Id same = self_negated ? fs.negate(self) : self;
    if (child_atom == FormulaStore::kTrue) return fewer;
    if (child_atom == FormulaStore::kFalse) return same;
    return fs.disjunction(fs.conjunction(child_atom, fewer), same);
  }
  Id without(Id set, std::string_view key) {
    std::vector<Id> left;
    for (const Id* p = lists.begin(set); p != lists.end(set); ++p)
      if (name_text(*p) != key) left.push_back(*p);
    return required_atom(std::move(left));
  }
  template <class F>
  void visit(Id f, F&& use) {
    std::vector<Id> stack{f};
    std::unordered_set<Id> done;
    while (!stack.empty()) {
      Id at = stack.back();
      stack.pop_back();
      if (!done.insert(at).second) continue;
      const FormulaStore::Node& n = fs[at];
      if (n.kind == Bool::Literal) use(n);
      else if (n.kind == Bool::And || n.kind == Bool::Or)
        for (Id p : fs.operands(at)) stack.push_back(p);
    }
  }

  // ------------------------------------------------------------------ demands
  Demand resolve_new(Id p, Id seen) {
    meter_.charge();
    if (!fs[p].has_child) return container_live_any(p, seen) ? Demand{kAny, p, 0} : Demand{};
    // the usual case: a conjunction whose Child atoms stand directly in it
    std::vector<Id> parts = fs[p].kind == Bool::And ? fs.operands(p) : std::vector<Id>{p};
    std::vector<Id> goals, rest;
    bool direct = true;
    for (Id x : parts) {
      const FormulaStore::Node& n = fs[x];
      if (!n.has_child) rest.push_back(x);
      else if (n.kind == Bool::Literal) goals.push_back(n.negated ? value_not(n.x) : n.x);
      else direct = false;
    }
    if (direct) {
      Id goal = value_and(goals), left = fs.conjunction(rest);
      if (!satisfiable(goal) || !container_live_any(left, seen)) return {};
      return {goal, left, 0};
    }
    std::vector<Leaf> found = leaves(p, seen);
    if (found.empty()) return {};
    bool same = true;
    for (const Leaf& l : found) same &= l.rest == found[0].rest;
    std::vector<Id> ways;
    for (const Leaf& l : found) ways.push_back(l.value);
    Id goal = value_or(ways);
    if (same) return {goal, found[0].rest, 0};
    return {goal, p, lists.add(children(p))};
  }
  // Shannon expansion over the Child atoms, cut where the path is unsatisfiable or the rest is dead.
  void gather(Id p, Id path_value, Id seen, std::vector<std::pair<Id, bool>>& path, std::vector<Leaf>& out) {
    if (p == FormulaStore::kFalse) return;
    meter_.charge();
    if (!fs[p].has_child) {
      if (container_live_any(p, seen)) out.push_back({path, path_value, p});
      return;
    }
    Id v = kNone;
    visit(p, [&](const FormulaStore::Node& n) {
      if (n.atom == Atom::Child && (v == kNone || n.x < v)) v = n.x;
    });
    for (bool truth : {true, false}) {
      Id narrowed = value_and({path_value, truth ? v : value_not(v)});
      if (!satisfiable(narrowed)) continue;
      path.emplace_back(v, truth);
      gather(substitute(p, {{v, truth}}), narrowed, seen, path, out);
      path.pop_back();
    }
  }

  // ------------------------------------------------------------------ liveness of a container in progress
  // Conjunctions of Properties, Required and total counts need no search.
  struct Simple {
    Id bundles = FormulaStore::kTrue;  // conjunction of Properties atoms
    std::vector<Id> required;
    Id least = 0, most = INT32_MAX;
  };
  bool simple(Id f, Simple& s) {
    const FormulaStore::Node& top = fs[f];
    std::vector<Id> bundles;
    auto take = [&](Id l) {
      const FormulaStore::Node& n = fs[l];
      if (n.kind != Bool::Literal) return false;
      if (n.atom == Atom::Properties && !n.negated) return bundles.push_back(l), true;
      if (n.atom == Atom::Required && !n.negated) {
        s.required.insert(s.required.end(), lists.begin(n.x), lists.end(n.x));
        return true;
      }
      if (n.atom != Atom::PropertyCount) return false;
      const Id* c = lists.begin(n.y);
      if (c[0] != kNone || c[1] != kAny) return false;
      if (n.negated) s.most = std::min(s.most, n.x - 1);
      else s.least = std::max(s.least, n.x);
      return true;
    };
    if (top.kind == Bool::True) return true;
    if (top.kind == Bool::Literal) {
      if (!take(f)) return false;
    } else if (top.kind == Bool::And) {
      for (const Id* p = fs.lists().begin(top.list); p != fs.lists().end(top.list); ++p)
        if (!take(*p)) return false;
    } else return false;
    s.bundles = bundles.empty() ? FormulaStore::kTrue : fs.conjunction(bundles);
    std::sort(s.required.begin(), s.required.end());
    s.required.erase(std::unique(s.required.begin(), s.required.end()), s.required.end());
    return true;
  }
  bool has_patterns(Id f) {
    bool found = false;
    visit(f, [&](const FormulaStore::Node& n) { found |= n.atom == Atom::Properties && !property_bundles_[n.x].patterns.empty(); });
    return found;
  }
  bool simple_live(const Simple& s, Id seen) {
    Id required = static_cast<Id>(s.required.size());
    if (required > s.most || s.least > s.most) return false;
    if (required && !required_possible(s)) return false;
    if (source_order && required)
      for (Id n : s.required)
        if (re.accepts(seen, name_text(n))) return false;
    if (s.least > required) {
      Id fresh = re.conj({bundle_names(s.bundles), re.negate(seen)});
      if (re.count_words(fresh, s.least) < s.least) return false;
    }
    return true;
  }
  bool required_possible(const Simple& s) {
    std::uint64_t key = (static_cast<std::uint64_t>(s.bundles) << 32) | static_cast<std::uint32_t>(lists.add(s.required));
    auto it = required_memo_.find(key);
    if (it != required_memo_.end()) return it->second;
    bool ok = true;
    int cut_before = cut_;
    cut_ = INT32_MAX;
    for (Id n : s.required)
      if (!spell_name(name_text(n)) || !satisfiable(bundles_value(s.bundles, name_text(n)))) {
        ok = false;
        break;
      }
    bool stable = ok || cut_ == INT32_MAX;
    cut_ = std::min(cut_, cut_before);
    if (stable) required_memo_.emplace(key, ok);
    return ok;
  }
  bool spell_name(std::string_view s) {
    return has(spelled_, '"') && has(spelled_, ':') && re.accepts(re.text(), s);
  }
  Id bundles_value(Id bundles, std::string_view key) {
    if (bundles == FormulaStore::kTrue) return kAny;
    const FormulaStore::Node n = fs[bundles];
    if (n.kind == Bool::Literal) return member_value(n.x, key);
    std::vector<Id> parts;
    for (Id p : fs.operands(bundles)) parts.push_back(member_value(fs[p].x, key));
    return value_and(parts);
  }
  // The names whose member values are satisfiable under a conjunction of Properties atoms.
  Id bundle_names(Id bundles) {
    auto it = bundle_names_.find(bundles);
    if (it != bundle_names_.end()) return it->second;
    int cut_before = cut_;
    cut_ = INT32_MAX;
    std::vector<std::string_view> good, bad;
    for (Id n : literal_names(bundles)) (satisfiable(bundles_value(bundles, name_text(n))) ? good : bad).push_back(name_text(n));
    std::vector<Id> all = regions(bundles), open;
    for (Id region : all)
      if (satisfiable(bundles_value(bundles, re.shortest(region)))) open.push_back(region);
    Id made;
    if (open.size() == all.size()) {  // every other name: said by what is left out
      made = bad.empty() ? re.text() : re.conj({re.text(), re.negate(re.strings(bad))});
    } else {
      open.push_back(re.strings(good));
      made = re.alt(open);
    }
    bool stable = cut_ == INT32_MAX;
    cut_ = std::min(cut_, cut_before);
    if (stable) bundle_names_.emplace(bundles, made);
    return made;
  }
  Id simple_names(const Simple& s, Id seen) {
    Id required = static_cast<Id>(s.required.size());
    if (s.most <= 0) return RegexStore::kEmpty;
    if (source_order && required) return ordered_names(s, seen);
    if (required < s.most) return bundle_names(s.bundles);
    std::vector<std::string_view> texts;
    for (Id n : s.required) texts.push_back(name_text(n));
    return re.strings(texts);
  }
  // Under source order with names still required: the declared names up to the first required one.
  Id ordered_names(const Simple& s, Id seen) {
    std::vector<std::string_view> texts;
    bool tight = static_cast<Id>(s.required.size()) >= s.most;
    for (Id n : literal_names(fs.conjunction(s.bundles, required_atom(s.required)))) {
      bool needed = std::binary_search(s.required.begin(), s.required.end(), n);
      if (re.accepts(seen, name_text(n))) continue;
      if (needed || (!tight && satisfiable(bundles_value(s.bundles, name_text(n))))) texts.push_back(name_text(n));
      if (needed) break;
    }
    return re.strings(texts);
  }
  // A partition of the names that are no literal of `f` by the patterns they match.
  std::vector<Id> regions(Id f) {
    auto it = regions_.find(f);
    if (it != regions_.end()) return it->second;
    std::vector<Id> patterns;
    std::vector<std::string_view> literals;
    for (Id n : literal_names(f)) literals.push_back(name_text(n));
    visit(f, [&](const FormulaStore::Node& n) {
      if (n.atom == Atom::Properties)
        for (auto [names, value] : property_bundles_[n.x].patterns) patterns.push_back(names);
      if (n.atom == Atom::PropertyCount && lists.begin(n.y)[0] != kNone) patterns.push_back(lists.begin(n.y)[0]);
    });
    std::sort(patterns.begin(), patterns.end());
    patterns.erase(std::unique(patterns.begin(), patterns.end()), patterns.end());
    std::vector<Id> out{re.conj({re.text(), re.negate(re.strings(literals))})};
    for (Id p : patterns) {
      std::vector<Id> split;
      for (Id r : out)
        for (Id side : {re.conj({r, p}), re.conj({r, re.negate(p)})})
          if (re.live(side)) split.push_back(side);
      meter_.charge(static_cast<std::int64_t>(split.size()));
      out.swap(split);
    }
    if (patterns.empty() && !re.live(out[0])) out.clear();
    return regions_[f] = out;
  }
  bool member_possible(Id f, std::string_view key, Id seen) {
    if (!spell_name(key)) return false;
    return member_demand(f, seen_after(f, seen, key), key).goal != kNever;
  }
  // Depth-first over members that change the formula; each branch shrinks it, so the search ends.
  bool container_live(Id f, Id seen) {
    std::uint64_t key = (static_cast<std::uint64_t>(f) << 32) | static_cast<std::uint32_t>(seen);
    auto it = live_.find(key);
    if (it != live_.end()) return it->second;
    auto [at, fresh] = busy_.try_emplace(key, depth_ + 1);
    if (!fresh) {  // reached from itself, through a nested value: the least fixed point says no for now
      cut_ = std::min(cut_, at->second);
      return false;
    }
    if (++depth_ > 4000) throw LimitError(depth_, 4000, "depth of the search for a witness");
    int cut_before = cut_;
    cut_ = INT32_MAX;
    bool yes = false;
    try {
      yes = seen == kNone ? makes_progress(f, item_derivative(f), seen) : search_members(f, seen, key);
    } catch (...) {
      busy_.erase(key);
      --depth_;
      throw;
    }
    busy_.erase(key);
    --depth_;
    bool stable = yes || cut_ > depth_;  // rests on nothing above
    cut_ = stable ? cut_before : std::min(cut_, cut_before);
    if (stable) live_.emplace(key, yes);
    return yes;
  }
  bool makes_progress(Id before, Id derivative, Id seen) { return progress(before, derivative, kAny, seen); }
  // Is there a leaf that differs from `before` and is live?
  bool progress(Id before, Id p, Id path_value, Id seen) {
    if (p == FormulaStore::kFalse) return false;
    meter_.charge();
    if (!fs[p].has_child) return p != before && container_live_any(p, seen);
    Id v = kNone;
    visit(p, [&](const FormulaStore::Node& n) {
      if (n.atom == Atom::Child && (v == kNone || n.x < v)) v = n.x;
    });
    for (bool truth : {true, false}) {
      Id narrowed = value_and({path_value, truth ? v : value_not(v)});
      if (satisfiable(narrowed) && progress(before, substitute(p, {{v, truth}}), narrowed, seen)) return true;
    }
    return false;
  }
  bool search_members(Id f, Id seen, std::uint64_t key) {
    std::vector<std::string> candidates;
    for (Id n : literal_names(f))
      if (!re.accepts(seen, name_text(n))) candidates.emplace_back(name_text(n));
    for (Id region : regions(f)) {
      Id fresh = re.conj({region, re.negate(seen)});
      if (re.live(fresh)) candidates.push_back(re.shortest(fresh));
    }
    for (const std::string& name : candidates) {
      if (!spell_name(name)) continue;
      meter_.charge();
      if (makes_progress(f, member_derivative(f, name), seen_after(f, seen, name))) {
        plans_[key] = name;
        return true;
      }
    }
    return false;
  }

  static constexpr Id kBusy = -2;
  ByteSet spelled_;
  std::vector<Record> records_;
  std::unordered_map<Id, Id> record_ids_, property_bundle_ids_, item_bundle_ids_;
  std::vector<Id> slots_, expanded_;
  std::vector<PropertyBundle> property_bundles_;
  std::vector<ItemBundle> item_bundles_;
  std::deque<std::string> name_store_;
  std::unordered_map<std::string_view, Id> name_ids_;
  std::vector<std::int8_t> ends_;
  std::vector<std::int32_t> sat_;
  int cut_ = INT32_MAX, depth_ = 0;
  std::unordered_map<std::uint64_t, Demand> demands_;
  std::unordered_map<std::uint64_t, Id> names_memo_;
  std::unordered_map<std::uint64_t, bool> live_, required_memo_;
  std::unordered_map<std::uint64_t, std::string> plans_;
  std::unordered_map<std::uint64_t, int> busy_;
  std::unordered_map<Id, std::vector<Id>> literal_memo_, regions_;
  std::unordered_map<Id, Id> bundle_names_;
  Id any_record_ = 0, no_record_ = 0;
};

}  // namespace constrain
