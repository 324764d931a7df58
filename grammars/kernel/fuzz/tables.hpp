// Random vocabularies and packed tables of the intermediate representation for the fuzz driver, and what makes them a case.
//
// Three strengths of disorder. *Well-formed* tables obey grammars/ir.py. *Confused* ones now and then take an operand from
// anywhere in the table, so that kinds do not fit. *Broken* ones have words overwritten, cut off or inserted after packing.
// Everything follows from one seed; the generator is written out, so that cases are the same with every compiler.
#pragma once
#include <optional>
#include <sstream>

#include "automaton.hpp"

namespace fuzz {

using constrain::Id;
using Words = std::vector<std::int64_t>;

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {  // splitmix64
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(n)); }
  bool chance(int percent) { return below(100) < percent; }
  template <class T>
  const T& pick(const std::vector<T>& all) { return all[static_cast<std::size_t>(below(static_cast<std::int64_t>(all.size())))]; }

 private:
  std::uint64_t state_;
};

struct Case {
  std::vector<std::string> tokens;  // "" has no bytes
  std::vector<std::int32_t> ends;
  constrain::SpecialTokens specials;
  constrain::Mode mode;
  Words words;
  std::vector<std::string> blobs;
  Id root = 0;
  std::int64_t compile_work = 0, mask_work = 0;
  std::uint64_t walk = 0;  // seed of the walks
};

// One node of a table that is a table, for the shrinker.
struct Node {
  std::int64_t op;
  Words x;
};

inline std::optional<std::vector<Node>> split(const Words& words) {
  std::vector<Node> out;
  for (std::size_t i = 0; i < words.size();) {
    if (words.size() - i < 2 || words[i + 1] < 0 || static_cast<std::size_t>(words[i + 1]) > words.size() - i - 2) return std::nullopt;
    std::size_t n = static_cast<std::size_t>(words[i + 1]);
    out.push_back({words[i], Words(words.begin() + i + 2, words.begin() + i + 2 + n)});
    i += 2 + n;
  }
  return out;
}
inline Words join(const std::vector<Node>& nodes) {
  Words out;
  for (const Node& n : nodes) {
    out.push_back(n.op);
    out.push_back(static_cast<std::int64_t>(n.x.size()));
    out.insert(out.end(), n.x.begin(), n.x.end());
  }
  return out;
}

// Positions of the operands that are nodes.
inline std::vector<std::size_t> references(const Node& n) {
  using namespace constrain;
  std::vector<std::size_t> out;
  auto some = [&](std::size_t from, std::size_t to, std::size_t by = 1) {
    for (std::size_t k = from; k < std::min(to, n.x.size()); k += by) out.push_back(k);
  };
  auto at = [&](std::size_t k) { return k < n.x.size() ? static_cast<std::size_t>(std::clamp<std::int64_t>(n.x[k], 0, 1000)) : 0; };
  switch (n.op) {
    case kOpConcat: case kOpAnd: case kOpOr: case kOpNot: case kOpOneOf: case kOpValue: case kOpSequence: case kOpChoice:
      some(0, n.x.size());
      break;
    case kOpRepeat: case kOpReserved: case kOpJson: case kOpPath: some(0, 1); break;
    case kOpItems: some(1, n.x.size()); break;
    case kOpItemCount: some(1, 2); break;
    case kOpPropertyCount: some(1, 3); break;
    case kOpProperties: {
      std::size_t names = 2 + 2 * at(0);
      some(3, names, 2);
      some(names, n.x.size());
      break;
    }
    case kOpUnevaluatedItems:
      some(0, 1);
      some(2, n.x.size(), 4);
      some(5, n.x.size(), 4);
      break;
    case kOpUnevaluatedProperties:
      some(0, 1);
      for (std::size_t k = 2; k < n.x.size();) {
        std::size_t patterns = k + 4 + at(k + 2), next = patterns + at(k + 3);
        some(k, k + 1);
        some(patterns, next);
        k = next;
      }
      break;
    case kOpCapture:
      some(0, 3);
      some(5, n.x.size());
      break;
    case kOpGrammar:
      for (std::size_t k = 5; k < 5 + 4 * at(2); k += 4)
        if (k + 2 < n.x.size()) {
          if (n.x[k] == 0 || n.x[k] == 1) some(k + 1, k + 2);
          if (n.x[k + 2] >= 0) some(k + 2, k + 3);
        }
      break;
    default: break;
  }
  return out;
}

class Tables {
 public:
  Tables(Random& r, int confused) : r_(r), confused_(confused) {}
  std::vector<Node> nodes;
  std::vector<std::string> blobs;

  // A root: a regex, or a document with recursive definitions now and then.
  Id regex_document() { return regex(1 + static_cast<int>(r_.below(4))); }
  Id json_document() {
    for (std::int64_t n = r_.chance(40) ? 1 + r_.below(2) : 0; n-- > 0;) slots_.push_back(node(constrain::kOpReserved, {-1}));
    Id v = value(1 + static_cast<int>(r_.below(4)));
    for (Id s : slots_) {
      Id meaning = value(1 + static_cast<int>(r_.below(3)));
      nodes[s].x[0] = meaning;
    }
    return node(constrain::kOpJson, {v, r_.below(5), r_.below(4), r_.below(2), r_.below(2)});
  }

 protected:
  Id node(std::int64_t op, Words x) {
    nodes.push_back({op, std::move(x)});
    return static_cast<Id>(nodes.size()) - 1;
  }
  Id confuse(Id made) { return confused_ && r_.chance(confused_) ? static_cast<Id>(r_.below(static_cast<std::int64_t>(nodes.size()))) : made; }
  std::int64_t blob(std::string s) {
    blobs.push_back(std::move(s));
    return static_cast<std::int64_t>(blobs.size()) - 1;
  }
  std::string text() {
    static const std::vector<std::string> pieces = {"a", "b", "ab", "0", "1", "\"", "\\", "\n", "/", " ", "\xc3\xa9", "\xf0\x9f\x98\x80", "u"};
    std::string s;
    for (std::int64_t n = r_.below(4); n-- > 0;) s += r_.pick(pieces);
    if (r_.chance(2)) s += r_.chance(50) ? "\x80" : "\xed\xa0\x80";
    return s;
  }
  std::string digits() {
    std::string s(1, static_cast<char>('0' + r_.below(10)));
    for (std::int64_t n = r_.below(r_.chance(5) ? 40 : 3); n-- > 0;) s += static_cast<char>('0' + r_.below(10));
    return s;
  }
  std::int64_t exponent() { return r_.chance(4) ? r_.below(2000) - 1000 : r_.below(5) - 2; }
  std::int64_t code_point() {
    static const std::vector<std::int64_t> edges = {0, 0x1f, 0x20, '0', '9', 'a', 'b', 'z', 0x7f, 0x80, 0xe9, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdfff, 0xe000, 0xffff, 0x10000, 0x1f600, 0x10ffff};
    return r_.pick(edges);
  }
  template <class Make>
  Id boolean(Make make) {
    static const std::vector<std::int64_t> ops = {constrain::kOpAnd, constrain::kOpOr, constrain::kOpNot, constrain::kOpOneOf};
    std::int64_t op = r_.pick(ops);
    Words x;
    for (std::int64_t n = op == constrain::kOpNot ? 1 : 1 + r_.below(3); n-- > 0;) x.push_back(make());
    return node(op, std::move(x));
  }

  Id regex(int depth) {
    using namespace constrain;
    if (depth > 0 && r_.chance(70)) {
      auto part = [&] { return regex(depth - 1); };
      switch (r_.below(3)) {
        case 0: {
          Words x;
          for (std::int64_t n = 1 + r_.below(3); n-- > 0;) x.push_back(part());
          return confuse(node(kOpConcat, std::move(x)));
        }
        case 1: {
          std::int64_t least = r_.below(4), body = part();
          return confuse(node(kOpRepeat, {body, least, r_.chance(50) ? -1 : least + r_.below(r_.chance(10) ? 2000 : 4)}));
        }
        default: return confuse(boolean(part));
      }
    }
    switch (r_.below(8)) {
      case 0: return confuse(node(r_.chance(30) ? kOpEmpty : kOpEpsilon, {}));
      case 1: {
        Words x = {0, 0, 0, 0};
        for (std::int64_t n = 1 + r_.below(5); n-- > 0;) x[static_cast<std::size_t>(r_.below(4))] |= std::int64_t{1} << r_.below(63);
        if (r_.chance(20)) x = {-1, -1, -1, -1};
        return confuse(node(kOpBytes, std::move(x)));
      }
      case 2: {
        Words all;
        for (std::int64_t n = 2 * (1 + r_.below(2)); n-- > 0;) all.push_back(code_point());
        std::sort(all.begin(), all.end());
        all.erase(std::unique(all.begin(), all.end()), all.end());
        if (all.size() % 2) all.pop_back();
        return confuse(node(kOpClass, std::move(all)));
      }
      case 3: {
        Words x;
        for (std::int64_t n = 1 + r_.below(5); n-- > 0;) x.push_back(blob(text()));
        return confuse(node(kOpStrings, std::move(x)));
      }
      case 4: return confuse(node(kOpText, {}));
      default: return confuse(node(kOpLiteral, {blob(text())}));
    }
  }
  Id constant() { return node(r_.chance(70) ? constrain::kOpTrue : constrain::kOpFalse, {}); }
  Id number(int depth) {
    using namespace constrain;
    if (depth > 0 && r_.chance(40)) return confuse(boolean([&] { return number(depth - 1); }));
    switch (r_.below(5)) {
      case 0: return constant();
      case 1: return confuse(node(kOpAtLeast, {r_.chance(50) ? 1 : -1, blob(digits()), exponent()}));
      case 2: return confuse(node(kOpMoreThan, {r_.chance(50) ? 1 : -1, blob(digits()), exponent()}));
      case 3: return confuse(node(kOpIntegral, {}));
      default: {
        std::string d = digits();
        d[0] = static_cast<char>('1' + r_.below(9));
        return confuse(node(kOpMultipleOf, {blob(d), exponent()}));
      }
    }
  }
  Id array(int depth) {
    using namespace constrain;
    if (depth > 0 && r_.chance(40)) return confuse(boolean([&] { return array(depth - 1); }));
    switch (r_.below(6)) {
      case 0: return constant();
      case 1: return confuse(node(kOpItemCount, {r_.below(4), value(depth - 1)}));
      case 2: return confuse(node(kOpUnique, {}));
      case 3: {
        Words x = {value(depth - 1), r_.below(3)};
        for (std::int64_t n = x[1]; n-- > 0;) {
          Words branch = {value(depth - 1), r_.chance(15), r_.below(3), r_.chance(70) ? -1 : value(depth - 1)};
          x.insert(x.end(), branch.begin(), branch.end());
        }
        return confuse(node(kOpUnevaluatedItems, std::move(x)));
      }
      default: {
        Words x = {r_.below(3)};
        for (std::int64_t n = x[0] + 1; n-- > 0;) x.push_back(value(depth - 1));
        return confuse(node(kOpItems, std::move(x)));
      }
    }
  }
  Id object(int depth) {
    using namespace constrain;
    if (depth > 0 && r_.chance(40)) return confuse(boolean([&] { return object(depth - 1); }));
    switch (r_.below(6)) {
      case 0: return constant();
      case 3: {
        Words x = {value(depth - 1), r_.below(3)};
        for (std::int64_t n = x[1]; n-- > 0;) {
          std::int64_t names = r_.below(3), patterns = r_.below(2);
          Words branch = {value(depth - 1), r_.chance(15), names, patterns};
          while (names-- > 0) branch.push_back(blob(text()));
          while (patterns-- > 0) branch.push_back(regex(1));
          x.insert(x.end(), branch.begin(), branch.end());
        }
        return confuse(node(kOpUnevaluatedProperties, std::move(x)));
      }
      case 1: {
        Words x;
        for (std::int64_t n = r_.below(3); n-- > 0;) x.push_back(blob(text()));
        return confuse(node(kOpRequired, std::move(x)));
      }
      case 2: {
        std::int64_t names = r_.chance(50) ? -1 : regex(1), v = value(depth - 1);
        return confuse(node(kOpPropertyCount, {r_.below(4), names, v}));
      }
      default: {
        Words x = {r_.below(3), r_.below(2)};
        for (std::int64_t k = 0; k < x[0]; ++k) {
          x.push_back(blob(text()));
          x.push_back(value(depth - 1));
        }
        for (std::int64_t k = 0; k < x[1]; ++k) {
          x.push_back(regex(1));
          x.push_back(value(depth - 1));
        }
        x.push_back(value(depth - 1));
        return confuse(node(kOpProperties, std::move(x)));
      }
    }
  }
  Id value(int depth) {
    using namespace constrain;
    if (!slots_.empty() && r_.chance(25)) return r_.pick(slots_);
    if (depth <= 0) return r_.chance(50) ? constant() : confuse(scalar());
    if (r_.chance(35)) return confuse(boolean([&] { return value(depth - 1); }));
    Words x = {constant(), constant(), constant(), number(depth - 1), regex(depth - 1), array(depth - 1), object(depth - 1)};
    return confuse(node(kOpValue, std::move(x)));
  }
  Id scalar() {
    using namespace constrain;
    Id no = node(kOpFalse, {}), n = r_.chance(50) ? number(0) : no, s = r_.chance(50) ? regex(0) : no;
    return node(kOpValue, {constant(), constant(), constant(), n, s, no, no});
  }

  Random& r_;
  int confused_;

 private:
  std::vector<Id> slots_;
};

// Words overwritten, inserted, removed; the numbers that loaders trip over.
inline void break_words(Words& words, Random& r) {
  static const Words odd = {-1, 0, 1, 2, 3, -2, 7, 63, 64, 255, 1 << 20, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, std::int64_t{1} << 40};
  for (std::int64_t n = 1 + r.below(4); n-- > 0 && !words.empty();) {
    auto at = words.begin() + r.below(static_cast<std::int64_t>(words.size()));
    switch (r.below(5)) {
      case 0: words.erase(at, r.chance(30) ? words.end() : at + 1); break;
      case 1: words.insert(at, r.pick(odd)); break;
      case 2: *at ^= std::int64_t{1} << r.below(8); break;
      case 3: *at = r.pick(words); break;
      default: *at = r.pick(odd); break;
    }
  }
}

inline std::vector<std::string> vocabulary(Random& r) {
  std::vector<std::string> out;
  std::string alphabet = "{}[]:,\"\\ub0123456789abcdefABCDEFntrulsfE+-./ \n\xc3\xa9";
  std::int64_t kind = r.below(10);
  if (kind == 0) alphabet = "ab0\"\\[]{}:,tru fals", kind = 9;
  if (kind == 1)
    for (int b = 0; b < 256; ++b) alphabet.push_back(static_cast<char>(b));
  std::sort(alphabet.begin(), alphabet.end());
  alphabet.erase(std::unique(alphabet.begin(), alphabet.end()), alphabet.end());
  if (kind == 2) {  // some bytes are missing
    for (std::int64_t n = 1 + r.below(6); n-- > 0;) alphabet.erase(alphabet.begin() + r.below(static_cast<std::int64_t>(alphabet.size())));
  }
  for (char c : alphabet)
    if (kind != 3 || r.chance(60)) out.emplace_back(1, c);  // kind 3: bytes that are no tokens of their own
  static const std::vector<std::string> joints = {"\"a", "\":", "\",\"", "},{", "]]", "ab", "aba", "true", "null", "10", "0.", "e+", "\\u", "\\u00", "\\n", "\xc3\xa9", "\xf0\x9f", "\x98\x80", "  ", ",\n", "\"\"", "{\"", "[]", "1,2"};
  for (std::int64_t n = r.below(20); n-- > 0;) {
    std::string s;
    if (r.chance(60)) s = r.pick(joints);
    else for (std::int64_t k = 2 + r.below(4); k-- > 0;) s.push_back(alphabet[static_cast<std::size_t>(r.below(static_cast<std::int64_t>(alphabet.size())))]);
    bool spelled = kind == 3 || std::all_of(s.begin(), s.end(), [&](char c) { return alphabet.find(c) != std::string::npos; });
    if (spelled) out.push_back(s);
  }
  for (std::int64_t n = r.below(3); n-- > 0;) out.emplace_back();
  return out;
}

inline std::string quoted(const std::string& s) {
  std::ostringstream out;
  out << "b\"";
  for (unsigned char ch : s) {
    if (ch == '"' || ch == '\\') out << '\\' << ch;
    else if (ch >= 0x20 && ch < 0x7f) out << ch;
    else {
      static const char* hex = "0123456789abcdef";
      out << "\\x" << hex[ch >> 4] << hex[ch & 15];
    }
  }
  return out.str() + "\"";
}

// The case as Python literals, operands named by the numbers of grammars/ir.py.
inline std::string shown(const Case& c) {
  std::ostringstream out;
  out << "  tokens = [";
  for (const std::string& t : c.tokens) out << fuzz::quoted(t) << ", ";
  out << "]; ends = [";
  for (std::int32_t e : c.ends) out << e << ", ";
  out << "]; specials = {";
  for (auto& [name, ids] : c.specials) {
    out << quoted(name) << ": [";
    for (std::int32_t id : ids) out << id << ", ";
    out << "], ";
  }
  out << "}\n  raw=" << c.mode.raw << " plain=" << c.mode.plain << " ordered=" << c.mode.ordered << " digits=" << c.mode.number_digits
      << " exponent_digits=" << c.mode.exponent_digits << " compile_work=" << c.compile_work << " mask_work=" << c.mask_work << " root=" << c.root;
  out << "\n  " << c.blobs.size() << " blobs, empty but for {";
  for (std::size_t i = 0; i < c.blobs.size(); ++i)
    if (!c.blobs[i].empty()) out << i << ": " << quoted(c.blobs[i]) << ", ";
  out << "}\n";
  if (auto nodes = split(c.words)) {
    for (std::size_t i = 0; i < nodes->size(); ++i) {
      out << "  " << i << ": (" << (*nodes)[i].op;
      for (std::int64_t x : (*nodes)[i].x) out << ", " << x;
      out << ")\n";
    }
  } else {
    out << "  words = [";
    for (std::int64_t w : c.words) out << w << ", ";
    out << "]\n";
  }
  return out.str();
}

}  // namespace fuzz
