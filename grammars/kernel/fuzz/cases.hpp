// Random cases for the fuzz driver: a vocabulary, a table, a mode and limits.
#pragma once
#include "grammars.hpp"

namespace fuzz {

// Few letters, so that random texts are read far into a grammar.
inline std::vector<std::string> few_letters(Random& r) {
  std::vector<std::string> out;
  for (char c : std::string("ab01,:[]{}\" \n")) out.emplace_back(1, c);
  static const std::vector<std::string> joints = {"ab", "ba", "aab", "bab", "a:", ":\n", "\n ", "\n\n", "  ", "[]", "}]", "1,", "\"a", "\n a\n", "\xc3\xa9", "\xc3", "\xa9"};
  for (std::int64_t n = 3 + r.below(12); n-- > 0;) out.push_back(r.pick(joints));
  out.emplace_back();
  return out;
}

inline Case random_case(std::uint64_t seed) {
  Random r(seed);
  Case c;
  bool grammar = r.chance(35);
  c.tokens = grammar && r.chance(70) ? few_letters(r) : vocabulary(r);
  for (std::size_t t = 0; t < c.tokens.size(); ++t)
    if (c.tokens[t].empty()) c.specials["<s>"].push_back(static_cast<std::int32_t>(t));
  for (std::int64_t n = 1 + r.chance(20); n-- > 0;) {
    c.ends.push_back(static_cast<std::int32_t>(c.tokens.size()));
    c.tokens.emplace_back();
  }
  std::int64_t disorder = r.below(10);
  GrammarTables t(r, disorder == 7 ? 10 : 0);
  c.mode.raw = grammar || r.chance(35);
  c.root = grammar ? t.grammar_document("<s>") : c.mode.raw ? t.regex_document() : t.json_document();
  c.mode.plain = r.chance(40);
  c.mode.ordered = r.chance(30);
  c.mode.number_digits = r.chance(70) ? 128 : 1 + static_cast<int>(r.below(6));
  c.mode.exponent_digits = r.chance(70) ? 4 : static_cast<int>(r.below(3));
  c.words = join(t.nodes);
  c.blobs = t.blobs;
  if (disorder >= 8) break_words(c.words, r);
  if (disorder >= 8 && r.chance(10) && !c.blobs.empty()) c.blobs.pop_back();
  c.compile_work = r.chance(20) ? 1 + r.below(300) : 50'000;
  c.mask_work = r.chance(20) ? 1 + r.below(300) : r.chance(10) ? 50'000 : 4'000;
  c.walk = r.next();
  return c;
}

}  // namespace fuzz
