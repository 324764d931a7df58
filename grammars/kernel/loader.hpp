// From the packed table to the stores: one pass over the nodes in order, each turned into what its algebra stores.
//
// Nodes are typed by what they are made of: a constant (TRUE, FALSE) takes the type of its context. The pass is
// O(table) apart from the constructors of the stores, and interns by content, so that a schema met before costs
// look-ups only.
#pragma once
#include "counting.hpp"

namespace constrain {

struct Document {
  enum Kind { kRegex, kJson, kGrammar } kind = kRegex;
  Id root = 0;  // regex or value
  int whitespace = 0, whitespace_count = 0;
  // The way in which white space is written between lexemes, as one number.
  std::uint32_t spacing() const { return static_cast<std::uint32_t>(whitespace_count) << 3 | static_cast<std::uint32_t>(whitespace); }
};

class Loader {
 public:
  Loader(Values& values, const std::vector<std::string_view>& blobs) : v_(values), blobs_(blobs) {}

  Document load(const std::int64_t* words, std::size_t n, Id root) {
    load_nodes(words, n);
    if (root < 0 || root >= static_cast<Id>(nodes_.size())) throw SourceError(0, "the root is not a node");
    return document(root);
  }
  void load_nodes(const std::int64_t* words, std::size_t n) {
    nodes_ = unpack(words, n);
    types_.resize(nodes_.size());
    ids_.resize(nodes_.size());
    for (std::size_t i = 0; i < nodes_.size(); ++i)
      if (nodes_[i].op == kOpReserved) types_[i] = kValueType, ids_[i] = v_.fs.literal(Atom::Slot, slot_of_[i] = v_.new_slot(i));
    for (at_ = 0; at_ < static_cast<Id>(nodes_.size()); ++at_) add(at_);
    for (auto [node, slot] : slot_of_) v_.define_slot(slot, value(nodes_[node].operands[0]));
  }
  Document document(std::int64_t root) const {
    Document d;
    const PackedNode& r = nodes_[check(root)];
    if (r.op == kOpGrammar) {
      d.kind = Document::kGrammar;
      d.root = static_cast<Id>(root);
    } else if (r.op == kOpJson) {
      need(r, 5);
      d.kind = Document::kJson;
      d.root = value(r.operands[0]);
      d.whitespace = static_cast<int>(r.operands[1]);
      d.whitespace_count = static_cast<int>(r.operands[2]);
    } else {
      d.root = regex(root);
    }
    return d;
  }
  const PackedNode& node(Id i) const { return nodes_[i]; }
  bool is(std::int64_t node, Op op) const { return node >= 0 && node < static_cast<std::int64_t>(nodes_.size()) && nodes_[static_cast<std::size_t>(node)].op == op; }
  Id regex(std::int64_t operand) const {
    Id i = check(operand);
    if (types_[i] == kConstant) return ids_[i] == FormulaStore::kTrue ? v_.re.text() : RegexStore::kEmpty;
    if (types_[i] != kRegexType) bad("a regex was expected");
    return ids_[i];
  }
  std::string_view blob(std::int64_t index) const {
    if (index < 0 || index >= static_cast<std::int64_t>(blobs_.size())) bad("a byte string is missing");
    return blobs_[index];
  }

 private:
  enum Type : std::uint8_t { kConstant, kRegexType, kNumberType, kArrayType, kObjectType, kValueType, kRoot };

  [[noreturn]] static void bad(const char* what) { throw SourceError(0, what); }
  static void need(const PackedNode& n, std::size_t count) {
    if (n.count < count) bad("a node of the table lacks operands");
  }
  Id name(std::int64_t index) const {
    const std::string_view text = blob(index);
    if (!utf8::valid(text)) bad("a name is not UTF-8");
    return v_.name(text);
  }
  Id check(std::int64_t operand) const {
    if (operand < 0 || operand >= static_cast<std::int64_t>(nodes_.size())) bad("an operand is not a node");
    if (operand >= at_ && nodes_[operand].op != kOpReserved && at_ < static_cast<Id>(nodes_.size()))
      bad("an operand refers to a later node");
    return static_cast<Id>(operand);
  }
  std::string digits(std::int64_t index) const {
    std::string_view s = blob(index);
    if (!std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; })) bad("the digits of a number were expected");
    return std::string(s);
  }
  static std::int64_t exponent(std::int64_t x) {
    constexpr std::int64_t most = std::int64_t{1} << 52;  // sums of exponents and lengths stay within 64 bits
    if (x < -most || x > most) throw LimitError(x < 0 ? -(x + 1) : x, most, "exponent of a number");
    return x;
  }
  // A predicate of the algebra `type`, or a constant.
  Id formula(std::int64_t operand, Type type) const {
    Id i = check(operand);
    if (types_[i] != type && types_[i] != kConstant) bad("a predicate on a number, array or object was expected");
    return ids_[i];
  }
  Id value(std::int64_t operand) const {
    Id i = check(operand);
    if (types_[i] != kValueType && types_[i] != kConstant) bad("a value was expected");
    return ids_[i];
  }
  void set(Type t, Id id) { types_[at_] = t, ids_[at_] = id; }

  void add(Id i) {
    v_.meter_.charge();
    const PackedNode& n = nodes_[i];
    const std::int64_t* x = n.operands;
    switch (n.op) {
      case kOpEmpty: return set(kRegexType, RegexStore::kEmpty);
      case kOpEpsilon: return set(kRegexType, RegexStore::kEpsilon);
      case kOpText: return set(kRegexType, v_.re.text());
      case kOpTrue: return set(kConstant, FormulaStore::kTrue);
      case kOpFalse: return set(kConstant, FormulaStore::kFalse);
      case kOpBytes: {
        need(n, 4);
        ByteSet s{};
        for (int k = 0; k < 4; ++k) s[k] = static_cast<std::uint64_t>(x[k]);
        return set(kRegexType, v_.re.byte_set(s));
      }
      case kOpClass: {
        std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;
        for (std::size_t k = 0; k + 1 < n.count; k += 2)
          ranges.emplace_back(static_cast<std::uint32_t>(x[k]), static_cast<std::uint32_t>(std::min<std::int64_t>(x[k + 1], 0x10FFFF)));
        return set(kRegexType, v_.re.char_class(ranges));
      }
      case kOpConcat: return set(kRegexType, concat(n));
      case kOpRepeat:
        need(n, 3);
        if (x[2] >= 0 && x[1] > x[2]) bad("a repetition whose least count exceeds its greatest");
        return set(kRegexType, v_.re.repeat(regex(x[0]), bound(x[1]), x[2] < 0 ? RegexStore::kUnbounded : bound(x[2])));
      case kOpLiteral: need(n, 1); return set(kRegexType, v_.re.literal(blob(x[0])));
      case kOpStrings: {
        std::vector<std::string_view> all;
        for (std::size_t k = 0; k < n.count; ++k) all.push_back(blob(x[k]));
        return set(kRegexType, v_.re.strings(std::move(all)));
      }
      case kOpAutomaton: return set(kRoot, automaton(n));
      case kOpPath: {
        need(n, 3);
        Id i = check(x[0]);
        if (nodes_[i].op != kOpAutomaton) bad("a path of what is no automaton");
        return set(kRegexType, v_.re.path(ids_[i], bound(x[1]), bound(x[2])));
      }
      case kOpOutside: need(n, 1); return set(kRegexType, v_.re.source ? v_.re.source->expression(blob(x[0])) : v_.re.text());
      case kOpAnd: case kOpOr: case kOpNot: case kOpOneOf: return boolean(n);
      case kOpAtLeast: case kOpMoreThan:
        need(n, 3);
        return set(kNumberType, v_.fs.literal(n.op == kOpAtLeast ? Atom::AtLeast : Atom::MoreThan,
                                           v_.numbers.threshold(digits(x[1]), exponent(x[2])), x[0] < 0 ? -1 : 1));
      case kOpMultipleOf:
        need(n, 2);
        return set(kNumberType, v_.fs.literal(Atom::Multiple, v_.numbers.modulus(digits(x[0]), exponent(x[1]))));
      case kOpIntegral: return set(kNumberType, v_.fs.literal(Atom::Integral, 0));
      case kOpItems: {
        need(n, 2);
        if (x[0] < 0) bad("a node of the table lacks operands");
        need(n, 2 + static_cast<std::size_t>(x[0]));
        ItemBundle b;
        for (std::int64_t k = 0; k < x[0]; ++k) b.prefix.push_back(value(x[1 + k]));
        b.rest = value(x[1 + x[0]]);
        if (b.prefix.empty() && b.rest == Values::kAny) return set(kArrayType, FormulaStore::kTrue);
        return set(kArrayType, v_.fs.literal(Atom::Items, v_.item_bundle(std::move(b)), 0));
      }
      case kOpItemCount:
        need(n, 2);
        return set(kArrayType, x[0] <= 0 ? FormulaStore::kTrue : v_.fs.literal(Atom::ItemCount, bound(x[0]), value(x[1])));
      case kOpUnique: return set(kArrayType, v_.fs.literal(Atom::Unique, 0));
      case kOpUnevaluatedItems: return set(kArrayType, unevaluated(n));
      case kOpUnevaluatedProperties: return set(kObjectType, unevaluated(n));
      case kOpProperties: return set(kObjectType, properties(n));
      case kOpRequired: {
        std::vector<Id> names;
        for (std::size_t k = 0; k < n.count; ++k) names.push_back(name(x[k]));
        return set(kObjectType, v_.required_atom(std::move(names)));
      }
      case kOpPropertyCount:
        need(n, 3);
        return set(kObjectType, x[0] <= 0 ? FormulaStore::kTrue : v_.count_atom(bound(x[0]), x[1] < 0 ? kNone : regex(x[1]), value(x[2])));
      case kOpValue: return set(kValueType, record(n));
      case kOpReserved: return;
      case kOpJson: case kOpGrammar: case kOpCapture: return set(kRoot, 0);
      case kOpSequence: case kOpChoice: throw SourceError(1, "sequences and choices of documents");
      default: bad("an unknown node kind");
    }
  }
  static Id bound(std::int64_t x) {
    if (x > INT32_MAX / 2) return INT32_MAX / 2;
    return static_cast<Id>(std::max<std::int64_t>(x, 0));
  }
  // From right to left, so that literals become chains that end in what follows.
  Id concat(const PackedNode& n) {
    Id rest = RegexStore::kEpsilon;
    for (std::size_t k = n.count; k-- > 0;) {
      Id part = check(n.operands[k]);
      if (nodes_[part].op == kOpLiteral) rest = v_.re.literal(blob(nodes_[part].operands[0]), rest);
      else rest = v_.re.cat(regex(part), rest);
    }
    return rest;
  }
  Id automaton(const PackedNode& n) {
    need(n, 3);
    std::string_view classes = blob(n.operands[0]);
    if (classes.size() != 256) bad("an automaton must class every byte");
    std::vector<Id> next;
    for (std::size_t k = 3; k < n.count; ++k) next.push_back(bound(n.operands[k]));
    return v_.re.automata.add(static_cast<std::size_t>(bound(n.operands[1])), static_cast<std::size_t>(bound(n.operands[2])),
                              reinterpret_cast<const std::uint8_t*>(classes.data()), next, v_.meter_);
  }
  Id properties(const PackedNode& n) {
    need(n, 3);
    const std::int64_t* x = n.operands;
    if (x[0] < 0 || x[1] < 0) bad("a node of the table lacks operands");
    std::size_t literals = static_cast<std::size_t>(x[0]), patterns = static_cast<std::size_t>(x[1]);
    if (literals > n.count || patterns > n.count) bad("a node of the table lacks operands");
    need(n, 3 + 2 * (literals + patterns));
    PropertyBundle b;
    std::size_t k = 2;
    for (std::size_t i = 0; i < literals; ++i, k += 2) b.literals.emplace_back(name(x[k]), value(x[k + 1]));
    for (std::size_t i = 0; i < patterns; ++i, k += 2) b.patterns.emplace_back(regex(x[k]), value(x[k + 1]));
    b.additional = value(x[k]);
    return v_.fs.literal(Atom::Properties, v_.property_bundle(std::move(b)));
  }
  Id unevaluated(const PackedNode& n) {
    need(n, 2);
    const std::int64_t* x = n.operands;
    UnevaluatedBundle b;
    b.items = n.op == kOpUnevaluatedItems;
    b.value = value(x[0]);
    std::size_t k = 2;
    for (std::int64_t i = 0; i < x[1]; ++i) {
      need(n, k + 4);
      UnevaluatedBundle::Branch branch;
      branch.condition = value(x[k]);
      branch.all = x[k + 1] != 0;
      if (b.items) {
        branch.prefix = bound(x[k + 2]);
        branch.contains = x[k + 3] < 0 ? kNone : value(x[k + 3]);
        k += 4;
      } else {
        if (x[k + 2] < 0 || x[k + 3] < 0) bad("a node of the table lacks operands");
        std::size_t literals = static_cast<std::size_t>(x[k + 2]), patterns = static_cast<std::size_t>(x[k + 3]);
        if (literals > n.count || patterns > n.count) bad("a node of the table lacks operands");
        k += 4;
        need(n, k + literals + patterns);
        for (std::size_t j = 0; j < literals; ++j) branch.literals.push_back(name(x[k++]));
        for (std::size_t j = 0; j < patterns; ++j) branch.patterns.push_back(regex(x[k++]));
      }
      b.branches.push_back(std::move(branch));
    }
    if (b.value == Values::kAny) return FormulaStore::kTrue;
    return v_.fs.literal(Atom::Unevaluated, v_.unevaluated_bundle(std::move(b)), 0);
  }
  Id record(const PackedNode& n) {
    need(n, kParts);
    Record r;
    for (int p = 0; p < 3; ++p) r[p] = formula(n.operands[p], kConstant) == FormulaStore::kTrue;
    r[kNumber] = formula(n.operands[kNumber], kNumberType);
    r[kArray] = formula(n.operands[kArray], kArrayType);
    r[kObject] = formula(n.operands[kObject], kObjectType);
    r[kString] = regex(n.operands[kString]);
    if (r[kString] != RegexStore::kEmpty) r[kString] = v_.re.conj({v_.re.text(), r[kString]});
    return v_.value_of(r);
  }
  void boolean(const PackedNode& n) {
    need(n, 1);
    Type t = kConstant;
    for (std::size_t k = 0; k < n.count; ++k) {
      Type here = types_[check(n.operands[k])];
      if (here == kRoot || (here != kConstant && t != kConstant && here != t)) bad("operands of one Boolean node differ in kind");
      if (here != kConstant) t = here;
    }
    std::vector<Id> parts;
    for (std::size_t k = 0; k < n.count; ++k)
      parts.push_back(t == kRegexType ? regex(n.operands[k]) : t == kValueType ? value(n.operands[k]) : formula(n.operands[k], t));
    if (t == kRegexType) return set(t, regex_boolean(n.op, parts));
    if (t == kValueType) return set(t, value_boolean(n.op, parts));
    switch (n.op) {
      case kOpAnd: return set(t, v_.fs.conjunction(parts));
      case kOpOr: return set(t, v_.fs.disjunction(parts));
      case kOpNot: return set(t, v_.fs.negate(parts[0]));
      default: return set(t, v_.fs.exactly_one(parts));
    }
  }
  Id regex_boolean(std::int64_t op, const std::vector<Id>& parts) {
    RegexStore& re = v_.re;
    if (op == kOpAnd) return re.conj(parts);
    if (op == kOpOr) return re.alt(parts);
    if (op == kOpNot) return re.negate(parts[0]);
    Id none = RegexStore::kAll, one = RegexStore::kEmpty;
    for (Id p : parts) {
      Id other = re.negate(p);
      one = re.alt({re.conj({one, other}), re.conj({none, p})});
      none = re.conj({none, other});
    }
    return one;
  }
  Id value_boolean(std::int64_t op, const std::vector<Id>& parts) {
    if (op == kOpAnd) return v_.value_and(parts);
    if (op == kOpOr) return v_.value_or(parts);
    if (op == kOpNot) return v_.value_not(parts[0]);
    Id none = Values::kAny, one = Values::kNever;
    for (Id p : parts) {
      Id other = v_.value_not(p);
      one = v_.value_or({v_.value_and({one, other}), v_.value_and({none, p})});
      none = v_.value_and({none, other});
    }
    return one;
  }

  Values& v_;
  const std::vector<std::string_view>& blobs_;
  std::vector<PackedNode> nodes_;
  std::vector<Type> types_;
  std::vector<Id> ids_;
  std::map<std::size_t, Id> slot_of_;
  Id at_ = 0;
};

}  // namespace constrain
