// The packed table of the intermediate representation: node kinds (shared with grammars/ir.py) and a bounds-checked reader.
#pragma once
#include "common.hpp"

namespace constrain {

enum Op : std::int64_t {
  kOpEmpty = 0, kOpEpsilon = 1, kOpBytes = 2, kOpClass = 3, kOpConcat = 4, kOpRepeat = 5, kOpLiteral = 6, kOpStrings = 7, kOpText = 8,
  kOpAutomaton = 9, kOpPath = 10, kOpOutside = 11, kOpCapture = 12,
  kOpAnd = 16, kOpOr = 17, kOpNot = 18, kOpOneOf = 19, kOpTrue = 24, kOpFalse = 25,
  kOpAtLeast = 32, kOpMoreThan = 33, kOpMultipleOf = 34, kOpIntegral = 35,
  kOpItems = 40, kOpItemCount = 41, kOpUnique = 42, kOpUnevaluatedItems = 43,
  kOpProperties = 48, kOpRequired = 49, kOpPropertyCount = 50, kOpUnevaluatedProperties = 51,
  kOpValue = 56, kOpReserved = 57,
  kOpJson = 64, kOpSequence = 65, kOpChoice = 66, kOpGrammar = 67
};

struct PackedNode {
  std::int64_t op;
  const std::int64_t* operands;
  std::size_t count;
};

// Splits the packed words into nodes. Throws SourceError if they are not a table. O(words).
inline std::vector<PackedNode> unpack(const std::int64_t* words, std::size_t n) {
  std::vector<PackedNode> out;
  for (std::size_t i = 0; i < n;) {
    if (n - i < 2 || words[i + 1] < 0 || static_cast<std::size_t>(words[i + 1]) > n - i - 2)
      throw SourceError(0, "the packed table is cut short");
    out.push_back({words[i], words + i + 2, static_cast<std::size_t>(words[i + 1])});
    i += 2 + static_cast<std::size_t>(words[i + 1]);
  }
  return out;
}

}  // namespace constrain
