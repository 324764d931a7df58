// Indentation: the widths of the blocks that are open, the depth of brackets, and the width of the line in progress.
//
// Widths are pairs: columns with tab stops, and columns with tabs counted as one. As in Python's reference (Lexical
// analysis, Indentation) two widths compare only if both counts agree, so that no meaning depends on the tab size.
// A state is an interned list: (depth, column, other column, in the indentation?, widths...). Memory: 16 bytes and 8 a block.
#pragma once
#include "collection.hpp"
#include "rules.hpp"

namespace constrain {

class Layouts {
 public:
  struct Change {
    bool indents = false;
    int dedents = 0;  // -1: the width fits no block
    Id after = 0;
  };

  explicit Layouts(const LayoutRule& rule) : rule_(rule) {}

  // At the start of the first line. 0 without a layout.
  Id start() { return rule_.on ? lists_.add({0, 0, 0, 1, 0, 0}) : 0; }
  bool inside(Id s) const { return s && lists_.begin(s)[0] > 0; }
  bool in_indentation(Id s) const { return s && lists_.begin(s)[3]; }
  int column(Id s) const { return lists_.begin(s)[1]; }
  int blocks(Id s) const { return static_cast<int>((lists_.size(s) - 6) / 2); }
  // Columns of the k-th block that is open, the outermost being 0.
  int width(Id s, int k) const { return lists_.begin(s)[4 + 2 * k]; }
  Id nested(Id s, int change) {
    if (!s || !change) return s;
    std::vector<Id> x = copy(s);
    x[0] = std::max(0, x[0] + change);
    return lists_.add(x);
  }
  // One more byte of a newline lexeme. `first`: it begins with this byte, in the middle of a line.
  Id column(Id s, int b, bool first) {
    std::vector<Id> x = copy(s);
    if (first) x[1] = x[2] = x[3] = 0;
    if (b == '\n' || b == '\r') x[1] = x[2] = 0, x[3] = 1;
    else if (x[3] && b == ' ') ++x[1], ++x[2];
    else if (x[3] && b == '\t') x[1] = (x[1] / rule_.tab + 1) * rule_.tab, ++x[2];
    else if (x[3] && b == '\f') x[1] = x[2] = 0;
    else x[3] = 0;
    return lists_.add(x);
  }
  // The state between lexemes.
  Id forget(Id s) {
    if (!s) return s;
    std::vector<Id> x = copy(s);
    x[1] = x[2] = x[3] = 0;
    return lists_.add(x);
  }
  Change compare(Id s) {
    std::vector<Id> x = copy(s);
    Change c;
    if (!x[3]) return c.dedents = -1, c;
    Id column = x[1], other = x[2];
    x[1] = x[2] = x[3] = 0;
    if (column > x[x.size() - 2]) {
      if (other <= x.back()) return c.dedents = -1, c;
      c.indents = true;
      x.push_back(column);
      x.push_back(other);
    }
    while (column < x[x.size() - 2]) {
      x.resize(x.size() - 2);
      ++c.dedents;
    }
    if (x[x.size() - 2] != column || x.back() != other) return c.dedents = -1, c;
    c.after = lists_.add(x);
    return c;
  }

  std::size_t count() const { return lists_.count(); }
  std::size_t bytes() const { return lists_.bytes(); }
  void collect(const Kept& kept) { lists_ = copied(lists_, kept, [](std::vector<Id>&) {}); }

 private:
  std::vector<Id> copy(Id s) const { return {lists_.begin(s), lists_.end(s)}; }
  const LayoutRule& rule_;
  ListStore lists_;
};

}  // namespace constrain
