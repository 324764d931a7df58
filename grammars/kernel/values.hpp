// Values: the algebra of JSON values, loaded from the packed table, and the derivatives of containers.
//
// A *value* is a formula over records and slots. A record holds one predicate for each JSON type
// (null, true, false as constants; numbers, arrays and objects as formulas; strings as a regular expression), so the
// Boolean operations act on components and nothing ever distinguishes cases by type. A slot stands for a value that
// is defined later: recursion. `expand` resolves a value to its record.
//
// Containers are read member by member: the *derivative* of a container formula by a member replaces each atom by
// what it demands of the remaining members and, through `Child` atoms, of the value being read (liveness.hpp decides
// them). Two atoms need more than the truths of children: `Unique` needs the value that was read, which the document
// records (constants.hpp); `Unevaluated` carries the formulas of the branches that may evaluate a member, as they stand.
// Memory: everything is interned and lives as long as the store. Not thread-safe.
#pragma once
#include <cstring>
#include <functional>
#include <map>

#include "constants.hpp"
#include "intervals.hpp"
#include "ir.hpp"

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

// What `unevaluatedItems` or `unevaluatedProperties` demands of the members that no valid branch evaluates.
struct UnevaluatedBundle {
  struct Branch {
    Id condition;                // value: the branch evaluates only if it holds
    bool all = false;            // it evaluates every member
    std::vector<Id> literals;    // objects: these names
    std::vector<Id> patterns;    // objects: names in these regexes
    Id prefix = 0;               // arrays: positions below
    Id contains = kNone;         // arrays: items that satisfy this value
  };
  bool items = false;
  Id value = FormulaStore::kTrue;
  std::vector<Branch> branches;
  Id prefix = 0;                 // beyond it all positions are alike
};

class ValueStore : AtomContents {
 public:
  static constexpr Id kAny = FormulaStore::kTrue, kNever = FormulaStore::kFalse;

  // `alphabet`: bytes that the texts of strings can hold once decoded; `spelled`: bytes that occur in tokens.
  ValueStore(const ByteSet& alphabet, const ByteSet& spelled, Meter& meter)
      : meter_(meter), re(alphabet, meter), fs(meter), numbers(fs, spelled, meter), intervals_(fs, numbers, meter), spelled_(spelled) {
    fs.atoms = this;
    any_record_ = add_record({1, 1, 1, FormulaStore::kTrue, re.text(), FormulaStore::kTrue, FormulaStore::kTrue});
    no_record_ = add_record({0, 0, 0, FormulaStore::kFalse, RegexStore::kEmpty, FormulaStore::kFalse, FormulaStore::kFalse});
  }

  Meter& meter_;
  RegexStore re;
  FormulaStore fs;
  NumberMachine numbers;
  ListStore lists;
  Constants constants;
  bool plain_numbers = false;   // set for the document at hand before any call
  bool source_order = false;

  // ------------------------------------------------------------------ values
  Id value_of(const Record& r) {
    Id id = add_record(r);
    if (id == any_record_) return kAny;
    if (id == no_record_) return kNever;
    return fs.literal(Atom::Record, id);
  }
  // `ordinal`: its number in the table at hand.
  Id new_slot(std::uint64_t ordinal) {
    slots_.push_back(kNone);
    slot_ordinals_.push_back(ordinal);
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
    name_hashes_.push_back(std::hash<std::string_view>()(s));
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
    meter_.charge(static_cast<std::int64_t>(key.size()) / 4);
    Id list = lists.add(key);
    auto [it, fresh] = property_bundle_ids_.try_emplace(list, static_cast<Id>(property_bundles_.size()));
    if (fresh) {
      std::vector<std::string_view> texts;
      for (std::size_t i = 0; i < b.literals.size(); ++i) {
        texts.push_back(name_text(b.literals[i].first));
        b.by_name.emplace(texts.back(), static_cast<Id>(i));
      }
      Meter::Quiet quiet(meter_);
      b.trie = re.strings(texts);
      std::uint64_t h = mix(1, fs.content(b.additional));
      for (auto [n, v] : b.literals) h = mix(mix(h, name_hashes_[n]), fs.content(v));
      for (auto [r, v] : b.patterns) h = mix(mix(h, re.content(r)), fs.content(v));
      property_contents_.push_back(h);
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
    if (fresh) {
      std::uint64_t h = 2;
      for (Id v : key) h = mix(h, fs.content(v));
      item_contents_.push_back(h);
      item_bundles_.push_back(std::move(b));
    }
    return it->second;
  }
  const PropertyBundle& properties(Id bundle) const { return property_bundles_[bundle]; }

  // ------------------------------------------------------------------ derivatives of containers
  // Truth if the container ended here.
  bool ends(Id f) {
    if (f == FormulaStore::kTrue) return true;
    if (f == FormulaStore::kFalse) return false;
    if (f < static_cast<Id>(ends_.size()) && ends_[f] >= 0) return ends_[f];
    Meter::Quiet quiet(meter_);
    bool e = fs.map(f, [&](Id l) {
      const FormulaStore::Node& n = fs[l];
      bool truth = n.atom == Atom::Items || n.atom == Atom::Properties || n.atom == Atom::Unevaluated ||
                   n.atom == Atom::Unique || n.atom == Atom::UniqueNext;
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
      } else if (n.atom == Atom::Unique) {
        made = fs.conjunction(fs.literal(Atom::UniqueNext, n.x), child(value_not(equal_to_any(n.x))));
      } else if (n.atom == Atom::Unevaluated) {
        made = unevaluated_item(n);
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
      } else if (n.atom == Atom::Unevaluated) {
        made = unevaluated_member(n, key);
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
  // Is there a disjunction directly in `f`?
  bool has_alternatives(Id f) {
    const FormulaStore::Node n = fs[f];
    if (n.kind != Bool::And) return n.kind == Bool::Or;
    for (const Id* p = fs.lists().begin(n.list); p != fs.lists().end(n.list); ++p)
      if (fs[*p].kind == Bool::Or) return true;
    return false;
  }
  // `f` without the Properties that can demand nothing more, because every other member is free and those they name have
  // been `seen`: an alternative is decided as soon as its own members have been read.
  Id settled(Id f, Id seen) {
    if (!has_alternatives(f)) return f;
    return fs.map(f, [&](Id l) {
      const FormulaStore::Node n = fs[l];
      if (n.atom != Atom::Properties || !exhausted(n.x, seen)) return l;
      return n.negated ? FormulaStore::kFalse : FormulaStore::kTrue;
    });
  }
  bool exhausted(Id bundle, Id seen) {
    const PropertyBundle& b = property_bundles_[bundle];
    if (b.additional != kAny || !b.patterns.empty()) return false;
    for (auto [name, value] : b.literals)
      if (!re.accepts(seen, name_text(name))) return false;
    return true;
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

  std::vector<Id> literal_names(Id f) {
    auto it = literal_memo_.find(f);
    if (it != literal_memo_.end()) return it->second;
    std::vector<Id> out, bundles;
    std::unordered_set<Id> found;
    visit(f, [&](const FormulaStore::Node& n) {
      if (n.atom == Atom::Properties) bundles.push_back(n.x);
    });
    if (source_order) std::sort(bundles.begin(), bundles.end());  // as they stand in the source
    for (Id b : bundles)
      for (auto [name, value] : property_bundles_[b].literals)
        if (found.insert(name).second) out.push_back(name);
    std::vector<Id> others;
    visit(f, [&](const FormulaStore::Node& n) {
      if (n.atom == Atom::Required)
        for (const Id* p = lists.begin(n.x); p != lists.end(n.x); ++p)
          if (found.insert(*p).second) others.push_back(*p);
      if (n.atom == Atom::Unevaluated)
        for (const auto& b : unevaluated_bundles_[n.x].branches)
          for (Id name : b.literals)
            if (found.insert(name).second) others.push_back(name);
    });
    // as named first, where their order matters to texts; else whatever the store held before
    std::sort(others.begin(), others.end(), [&](Id x, Id y) { return source_order ? x < y : name_store_[x] < name_store_[y]; });
    out.insert(out.end(), others.begin(), others.end());
    return literal_memo_[f] = out;
  }

  Id substitute(Id f, const std::vector<std::pair<Id, bool>>& outcome) {
    if (!fs[f].has_child()) return f;
    return replace(f, [&](Id l) {
      const FormulaStore::Node n = fs[l];
      if (n.atom != Atom::Child) return l;
      for (auto [v, truth] : outcome)
        if (v == n.x) return truth != n.negated ? FormulaStore::kTrue : FormulaStore::kFalse;
      return l;
    });
  }
  // The item being read has turned out to be `constant`.
  Id substitute_item(Id f, Id constant) {
    if (!fs[f].has_next()) return f;
    return replace(f, [&](Id l) {
      const FormulaStore::Node n = fs[l];
      if (n.atom != Atom::UniqueNext) return l;
      std::vector<Id> all(lists.begin(n.x), lists.end(n.x));
      auto at = std::lower_bound(all.begin(), all.end(), constant);
      if (at != all.end() && *at == constant) return n.negated ? FormulaStore::kTrue : FormulaStore::kFalse;
      all.insert(at, constant);
      Id joined = lists.add(all);
      Meter::Quiet quiet(meter_);
      if (!equal_memo_.count(joined)) equal_memo_.emplace(joined, value_or({equal_to_any(n.x), equal_to(constant)}));
      return fs.literal(Atom::Unique, joined, 0, n.negated);
    });
  }
  // The formula if the uniqueness of items, wherever it occurs, were true or false.
  Id assume_unique(Id f, bool truth) {
    if (!fs[f].has_unique()) return f;
    return replace(f, [&](Id l) {
      const FormulaStore::Node n = fs[l];
      if (n.atom != Atom::Unique && n.atom != Atom::UniqueNext) return l;
      return truth != n.negated ? FormulaStore::kTrue : FormulaStore::kFalse;
    });
  }
  // The constants that a Unique or UniqueNext atom of `f` holds; all of them hold the same.
  Id items_so_far(Id f) {
    Id list = 0;
    visit(f, [&](const FormulaStore::Node& n) {
      if (n.atom == Atom::Unique || n.atom == Atom::UniqueNext) list = n.x;
    });
    return list;
  }
  Id unevaluated_bundle(UnevaluatedBundle b) {
    for (const auto& branch : b.branches) b.prefix = std::max(b.prefix, branch.prefix);
    std::uint64_t h = mix(mix(3, fs.content(b.value)), b.items);
    for (const auto& branch : b.branches) {
      h = mix(mix(h, fs.content(branch.condition)), mix(static_cast<std::uint64_t>(branch.all) << 32 | static_cast<std::uint32_t>(branch.prefix), branch.contains == kNone ? 0 : fs.content(branch.contains)));
      for (Id n : branch.literals) h = mix(h, name_hashes_[n]);
      for (Id r : branch.patterns) h = mix(h, re.content(r));
    }
    unevaluated_contents_.push_back(h);
    unevaluated_bundles_.push_back(std::move(b));
    return static_cast<Id>(unevaluated_bundles_.size()) - 1;
  }
  // The values equal to a constant, and to any of a list of them.
  Id equal_to(Id c) {
    Record r{0, 0, 0, FormulaStore::kFalse, RegexStore::kEmpty, FormulaStore::kFalse, FormulaStore::kFalse};
    switch (constants.kind(c)) {
      case Constants::kNullValue: r[0] = 1; break;
      case Constants::kTrueWord: r[1] = 1; break;
      case Constants::kFalseWord: r[2] = 1; break;
      case Constants::kNumberValue: {
        Constants::Number n = constants.number_of(c);
        Id t = numbers.threshold(n.digits, n.exponent), sign = n.negative ? -1 : 1;
        r[kNumber] = fs.conjunction(fs.literal(Atom::AtLeast, t, sign), fs.literal(Atom::MoreThan, t, sign, true));
        break;
      }
      case Constants::kStringValue: r[kString] = re.insert_string(RegexStore::kEmpty, constants.text_of(c)); break;
      case Constants::kArrayValue: {
        ItemBundle b;
        for (std::size_t i = 0; i < constants.size(c); ++i) b.prefix.push_back(equal_to(constants.begin(c)[i]));
        b.rest = kNever;
        r[kArray] = fs.literal(Atom::Items, item_bundle(std::move(b)), 0);
        if (constants.size(c)) r[kArray] = fs.conjunction(r[kArray], fs.literal(Atom::ItemCount, static_cast<Id>(constants.size(c)), kAny));
        break;
      }
      case Constants::kObjectValue: {
        PropertyBundle b;
        std::vector<Id> names;
        for (std::size_t i = 0; i + 1 < constants.size(c); i += 2) {
          names.push_back(name(constants.name(constants.begin(c)[i])));
          b.literals.emplace_back(names.back(), equal_to(constants.begin(c)[i + 1]));
        }
        b.additional = kNever;
        r[kObject] = fs.conjunction(fs.literal(Atom::Properties, property_bundle(std::move(b))), required_atom(names));
      }
    }
    return value_of(r);
  }
  Id equal_to_any(Id list) {
    auto it = equal_memo_.find(list);
    if (it != equal_memo_.end()) return it->second;
    Meter::Quiet quiet(meter_);
    Id all = kNever;
    for (std::size_t i = 0; i < lists.size(list); ++i) all = value_or({all, equal_to(lists.begin(list)[i])});
    return equal_memo_[list] = all;
  }

  std::vector<Id> children(Id f) {
    std::vector<Id> out;
    visit(f, [&](const FormulaStore::Node& n) {
      if (n.atom == Atom::Child) out.push_back(n.x);
    });
    fs.sort(out);
    return out;
  }
  std::size_t bytes() const {
    return re.bytes() + fs.bytes() + numbers.bytes() + lists.bytes() + constants.bytes() + records_.size() * sizeof(Record) +
           name_store_.size() * 72;
  }
  // What the operands of an atom stand for.
  std::uint64_t content(Atom atom, Id x, Id y) const override {
    auto of_list = [&](Id list, auto one) {  // in no order
      std::uint64_t h = lists.size(list);
      for (const Id* p = lists.begin(list); p != lists.end(list); ++p) h += mix(5, one(*p));
      return h;
    };
    switch (atom) {
      case Atom::AtLeast:
      case Atom::MoreThan: return mix(numbers.content_of_threshold(x), static_cast<std::uint32_t>(y));
      case Atom::Multiple: return numbers.content_of_modulus(x);
      case Atom::Items: return mix(item_contents_[x], static_cast<std::uint32_t>(y));
      case Atom::ItemCount: return mix(static_cast<std::uint32_t>(x), fs.content(y));
      case Atom::Properties: return property_contents_[x];
      case Atom::Required: return of_list(x, [&](Id n) { return name_hashes_[n]; });
      case Atom::PropertyCount: {
        const Id* names_and_value = lists.begin(y);
        return mix(mix(static_cast<std::uint32_t>(x), names_and_value[0] == kNone ? 0 : re.content(names_and_value[0])), fs.content(names_and_value[1]));
      }
      case Atom::Record: return record_contents_[x];
      case Atom::Slot: return slot_ordinals_[x];
      case Atom::Unique:
      case Atom::UniqueNext: return of_list(x, [&](Id c) { return constants.content(c); });
      case Atom::Unevaluated: {
        std::uint64_t h = unevaluated_contents_[x];
        if (y) h = mix(h, static_cast<std::uint32_t>(lists.begin(y)[0]));
        for (std::size_t i = 1; y && i < lists.size(y); ++i) h = mix(h, fs.content(lists.begin(y)[i]));
        return h;
      }
      case Atom::Child: return fs.content(x);
      default: return mix(static_cast<std::uint32_t>(x), static_cast<std::uint32_t>(y));
    }
  }

  static bool starts_with(std::string_view s, std::string_view prefix) { return s.substr(0, prefix.size()) == prefix; }

 protected:
  // ------------------------------------------------------------------ records
  Id add_record(Record r) {
    r[kNumber] = intervals_.normal(r[kNumber]);
    Id list = lists.add(r.data(), r.size());
    auto [it, fresh] = record_ids_.try_emplace(list, static_cast<Id>(records_.size()));
    if (fresh) {
      std::uint64_t h = mix(r[0] + 2 * r[1] + 4 * r[2], re.content(r[kString]));
      for (Part p : {kNumber, kArray, kObject}) h = mix(h, fs.content(r[p]));
      record_contents_.push_back(h);
      records_.push_back(r);
    }
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
    Meter::Quiet quiet(meter_);
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
  // ------------------------------------------------------------------ what branches evaluate
  // The formulas of the branches as they stand; list y is (position, formula...), 0 before the first member.
  std::vector<Id> branches_of(const FormulaStore::Node& n) {
    if (n.y) return {lists.begin(n.y) + 1, lists.end(n.y)};
    std::vector<Id> out, conditions;
    for (const auto& b : unevaluated_bundles_[n.x].branches) conditions.push_back(b.condition);
    Part part = unevaluated_bundles_[n.x].items ? kArray : kObject;
    for (Id c : conditions) out.push_back(expand(c)[part]);
    return out;
  }
  Id with_branches(Id bundle, Id position, const std::vector<Id>& formulas, bool negated = false) {
    std::vector<Id> key{position};
    std::uint8_t inner = 0;
    for (Id f : formulas) key.push_back(f), inner |= fs[f].occurs;
    return fs.literal(Atom::Unevaluated, bundle, lists.add(key), negated, inner);
  }
  // A branch that leads back to its own bundle, at the same container, has no meaning.
  struct Entered {
    std::unordered_set<Id>& open;
    Id bundle;
    Entered(std::unordered_set<Id>& open_, Id bundle_) : open(open_), bundle(bundle_) {
      if (!open.insert(bundle).second) throw SourceError(0, "a reference leads back to itself without entering an array or object");
    }
    ~Entered() { open.erase(bundle); }
  };
  Id unevaluated_member(const FormulaStore::Node& n, std::string_view key) {
    Entered entered(entered_, n.x);
    std::vector<Id> branches = branches_of(n);
    for (Id& f : branches) f = member_derivative(f, key);
    const UnevaluatedBundle& b = unevaluated_bundles_[n.x];
    std::vector<Id> ways{child(b.value)};
    for (std::size_t i = 0; i < branches.size(); ++i) {
      const auto& branch = b.branches[i];
      bool covered = branch.all;
      for (Id name : branch.literals) covered = covered || name_text(name) == key;
      for (Id names : branch.patterns) covered = covered || re.accepts(names, key);
      if (covered) ways.push_back(branches[i]);
    }
    return fs.conjunction(with_branches(n.x, 0, branches), fs.disjunction(ways));
  }
  Id unevaluated_item(const FormulaStore::Node& n) {
    Entered entered(entered_, n.x);
    std::vector<Id> branches = branches_of(n);
    Id position = n.y ? lists.begin(n.y)[0] : 0;
    for (Id& f : branches) f = item_derivative(f);
    const UnevaluatedBundle& b = unevaluated_bundles_[n.x];
    std::vector<Id> ways{child(b.value)};
    for (std::size_t i = 0; i < branches.size(); ++i) {
      if (b.branches[i].all || position < b.branches[i].prefix) ways.push_back(branches[i]);
      else if (b.branches[i].contains != kNone) ways.push_back(fs.conjunction(branches[i], child(b.branches[i].contains)));
    }
    return fs.conjunction(with_branches(n.x, std::min(position + 1, b.prefix), branches), fs.disjunction(ways));
  }
  // `map`, which also reaches the formulas that Unevaluated atoms hold.
  template <class F>
  Id replace(Id f, F&& leaf) {
    return fs.map(f, [&](Id l) -> Id {
      const FormulaStore::Node n = fs[l];
      if (n.atom != Atom::Unevaluated || (!n.y && !n.occurs)) return leaf(l);
      std::vector<Id> branches = branches_of(n);
      for (Id& b : branches) b = replace_inner(b, leaf);
      return with_branches(n.x, n.y ? lists.begin(n.y)[0] : 0, branches, n.negated);
    });
  }
  template <class F>
  Id replace_inner(Id f, F& leaf) { return replace(f, leaf); }

  template <class F>
  void visit(Id f, F&& use) {
    std::vector<Id> stack{f};
    std::unordered_set<Id> done;
    while (!stack.empty()) {
      Id at = stack.back();
      stack.pop_back();
      if (!done.insert(at).second) continue;
      const FormulaStore::Node n = fs[at];
      if (n.kind == Bool::Literal) {
        use(n);
        if (n.atom == Atom::Unevaluated)
          for (Id inner : branches_of(n)) stack.push_back(inner);
      } else if (n.kind == Bool::And || n.kind == Bool::Or)
        for (Id p : fs.operands(at)) stack.push_back(p);
    }
  }

  static constexpr Id kBusy = -2;
  Intervals intervals_;
  ByteSet spelled_;
  std::vector<Record> records_;
  std::unordered_map<Id, Id> record_ids_, property_bundle_ids_, item_bundle_ids_;
  std::vector<Id> slots_, expanded_;
  std::vector<PropertyBundle> property_bundles_;
  std::vector<ItemBundle> item_bundles_;
  std::vector<std::uint64_t> record_contents_, slot_ordinals_, property_contents_, item_contents_, unevaluated_contents_, name_hashes_;
  std::deque<UnevaluatedBundle> unevaluated_bundles_;
  std::unordered_set<Id> entered_;  // bundles whose branches are being derived
  std::unordered_map<Id, Id> equal_memo_;
  std::deque<std::string> name_store_;
  std::unordered_map<std::string_view, Id> name_ids_;
  std::vector<std::int8_t> ends_;
  std::unordered_map<Id, std::vector<Id>> literal_memo_;
  Id any_record_ = 0, no_record_ = 0;
};

}  // namespace constrain
