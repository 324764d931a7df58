// Languages that regular expressions refer to without being regular: grammars inside JSON strings.
//
// An expression may hold a *state* of such a language (regex.hpp: `ReKind::Outside`), which is read byte by byte like a
// derivative: only live states exist, so that a state by itself needs no search. What a state's canonical completion is, how
// long it is and which tokens may follow are the language's own business; it is implemented above the algebra
// (string_grammar.hpp), hence the interfaces.
#pragma once
#include "common.hpp"

namespace constrain {

class OutsideLanguage {
 public:
  virtual ~OutsideLanguage() = default;
  virtual Id step(Id state, int b) = 0;            // 0: no text goes on so
  virtual bool accepting(Id state) = 0;
  virtual int next_byte(Id state) = 0;             // of the canonical completion; -1: the text may end here
  virtual std::int64_t length(Id state) = 0;       // bytes of the canonical completion
  virtual std::int64_t characters(Id state) = 0;   // likewise, in characters
  virtual int padding(Id state) = 0;               // an ASCII byte that leads from the state to itself, or -1
  virtual bool paddable(Id state) = 0;             // has a state on the way of the canonical completion one?
  virtual std::int64_t bound(Id state) = 0;        // no completion has fewer characters
  // The tokens that may follow, as decoded (decoded.hpp), into a row of that vocabulary.
  virtual void fill(Id state, std::uint32_t* row) = 0;
  // Groups of bytes (trie.hpp) all of which lead from the state to itself; some of them.
  virtual std::uint64_t loops(Id state) = 0;
  virtual bool marks_end() const = 0;              // does `fill` judge the texts that end with `Decoded::kEnd`?
  virtual std::size_t bytes() const = 0;
};

// Where the languages of a table come from: the expression of a packed grammar (ir.py: `Table.outside`).
class OutsideSource {
 public:
  virtual ~OutsideSource() = default;
  virtual Id expression(std::string_view packed) = 0;
};

}  // namespace constrain
