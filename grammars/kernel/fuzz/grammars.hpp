// Random context-free grammars for the fuzz driver: GRAMMAR nodes as `Cfg.finish` packs them (grammars/cfg.py).
//
// Both lexing disciplines; terminals that are regexes, with what may not follow them and priorities, captures, embedded
// documents, special tokens, and terminals that never match; ignored terminals and rules; layouts. Rules are drawn
// without regard to sense: left and right recursion, empty bodies, circles and symbols that derive nothing are common.
// Most layouts have rules that keep lines and blocks, because others are refused. `spacing` is left out: it states facts.
#pragma once
#include "tables.hpp"

namespace fuzz {

class GrammarTables : public Tables {
 public:
  using Tables::Tables;

  // `special`: the name of a special token there is.
  Id grammar_document(const std::string& special) {
    using namespace constrain;
    longest_ = r_.chance(60);
    bool layout = longest_ && r_.chance(25), orderly = r_.chance(85);
    Words terminals;
    for (std::int64_t n = 3 + r_.below(4); n-- > 0;) terminal(terminals, special);
    std::int64_t first = static_cast<std::int64_t>(terminals.size()) / 4;  // of the terminals of a layout
    if (layout) {
      Words line = {node(kOpLiteral, {blob("\n")}), node(kOpRepeat, {node(kOpLiteral, {blob(" ")}), 0, -1})};
      Words more = {node(kOpRepeat, {node(kOpConcat, line), 1, -1}), -1, 0};
      terminals.push_back(0);
      terminals.insert(terminals.end(), more.begin(), more.end());
      for (int k = 0; k < 2; ++k) terminals.insert(terminals.end(), {3, 0, -1, 0});
    }
    std::int64_t count = static_cast<std::int64_t>(terminals.size()) / 4, heads = 1 + r_.below(4);
    Words x = {longest_, count + (layout && orderly ? 0 : r_.below(heads)), count, heads, 0};
    x.insert(x.end(), terminals.begin(), terminals.end());
    auto rule = [&](std::int64_t head, const Words& body) {
      ++x[4];
      x.push_back(head);
      x.push_back(static_cast<std::int64_t>(body.size()));
      x.insert(x.end(), body.begin(), body.end());
    };
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t n = 1 + r_.below(3); n-- > 0;) {
        Words body;
        for (std::int64_t k = r_.below(5); k-- > 0;) body.push_back(r_.chance(65) ? r_.below(count) : count + r_.below(heads));
        if (layout && orderly) body = line(h, count, heads, first);
        rule(h, body);
      }
    std::int64_t ignored = r_.chance(40) ? 1 + r_.below(2) : 0;
    x.push_back(ignored);
    while (ignored-- > 0) x.push_back(!layout && r_.chance(20) ? count + r_.below(heads) : r_.below(layout ? first : count));
    x.push_back(layout);
    if (layout) {
      x.insert(x.end(), {first, first + 1, first + 2, 1 + r_.below(9)});
      for (int list = 0; list < 3; ++list) {
        std::int64_t n = r_.chance(40) ? 1 : 0;
        if (orderly && list < 2) {
          x.insert(x.end(), {1, list});
          continue;
        }
        x.push_back(n);
        while (n-- > 0) x.push_back(r_.below(first));
      }
    }
    x.push_back(0);
    return node(kOpGrammar, std::move(x));
  }

 private:
  // A body of a rule that keeps lines and blocks: nonterminal 0 is lines, the others are parts of one. Terminals 0 and 1 are
  // brackets.
  Words line(std::int64_t head, std::int64_t count, std::int64_t heads, std::int64_t first) {
    Words body;
    auto part = [&] {
      for (std::int64_t k = r_.below(3); k-- > 0;)
        body.push_back(heads > 1 && r_.chance(30) ? count + 1 + r_.below(heads - 1) : 2 + r_.below(std::max<std::int64_t>(1, first - 2)));
    };
    part();
    if (r_.chance(25)) {
      body.push_back(0);
      part();
      body.push_back(1);
    }
    if (head > 0) return body;
    if (r_.chance(30)) return {count, count};
    if (body.empty()) body.push_back(2);
    body.push_back(first);
    if (r_.chance(40)) body.insert(body.end(), {first + 1, count, first + 2});
    if (r_.chance(20)) body.push_back(count);
    return body;
  }
  // kind, node, unless, priority
  void terminal(Words& out, const std::string& special) {
    Id unless = longest_ && r_.chance(15) ? some() : -1;
    std::int64_t priority = r_.chance(15) ? r_.below(3) - 1 : 0, kind = r_.below(100);
    if (kind < 80) out.insert(out.end(), {0, some(), unless, priority});
    else if (kind < 86) out.insert(out.end(), {0, captured(), -1, priority});
    else if (kind < 91) out.insert(out.end(), {1, json_document(), -1, 0});
    else if (kind < 96) out.insert(out.end(), {2, blob(r_.chance(90) ? special : text()), -1, 0});
    else out.insert(out.end(), {longest_ ? 4 : 0, longest_ ? 0 : some(), -1, 0});
  }
  // A regex, most often one that is not empty and of letters that the vocabulary has.
  Id some() {
    using namespace constrain;
    if (r_.chance(15)) return regex(2);
    Id one = letter();
    switch (r_.below(5)) {
      case 0: return confuse(node(kOpRepeat, {one, 1, r_.chance(60) ? -1 : 3}));
      case 1: return confuse(node(kOpConcat, {one, node(kOpRepeat, {letter(), 0, r_.chance(50) ? -1 : 2}), letter()}));
      case 2: return confuse(node(kOpOr, {one, node(kOpConcat, {letter(), letter()})}));
      default: return one;
    }
  }
  Id letter() {
    using namespace constrain;
    static const std::vector<std::string> letters = {"a", "b", "ab", "ba", "0", "1", ",", ":", "[", "]", "{", "}", " ", "\n", "\"", "\xc3\xa9"};
    return r_.chance(20) ? node(kOpClass, {'a', r_.chance(50) ? 'b' : 0x10ffff}) : node(kOpLiteral, {blob(r_.pick(letters))});
  }
  // What stands before a group, the group, what comes after it, bytes of the group, laziness, and the pieces between which its
  // text stands again.
  Id captured() {
    using namespace constrain;
    auto piece = [&] { return r_.chance(40) ? node(kOpEpsilon, {}) : letter(); };
    Id before = piece(), group = node(kOpRepeat, {letter(), r_.chance(30) ? 0 : 1, r_.chance(70) ? -1 : 2}), after = piece();
    Words x = {before, group, after, 1 + r_.below(6), r_.chance(50)};
    for (std::int64_t n = 2 + r_.below(2); n-- > 0;) x.push_back(r_.chance(60) ? letter() : node(kOpRepeat, {letter(), 0, -1}));
    return confuse(node(kOpCapture, std::move(x)));
  }

  bool longest_ = true;
};

}  // namespace fuzz
