// Whether the rules of a grammar with a layout keep blocks and brackets as the layout makes them.
//
// A layout puts an indent right after a newline terminal, dedents after that or one another, and closes in the end every block
// that it opened; it takes no newline terminal inside brackets, and no text ends inside of them. What rules ask for beyond that
// never comes, and whether the rest of a rule can still be read would be a question of two stacks. So the rules must say the same:
//
// - before an indent stands a newline terminal, before a dedent a newline terminal or a dedent, whatever the derivation;
// - all texts of a symbol open as many blocks, and as many brackets, more than they close; those of the start none, and nothing is
//   closed before it is opened;
// - no derivation holds a newline terminal inside brackets;
// - brackets are not ignored, and have no match in common with what is no such bracket.
//
// Fixed points over the symbols, linear in the rules for each of the few values there are; depths are followed up to `kDeepest`.
#pragma once
#include "rules.hpp"

namespace constrain {

class BlockRules {
 public:
  BlockRules(const Rules& g, RegexStore& re, Meter& meter) : g_(g), re_(re), meter_(meter), last_(g.symbols(), 0), before_(g.symbols(), 0) {}

  // What is wrong with the rules; nullptr if nothing is.
  const char* wrong() {
    if (!in_order()) return "a layout whose indents and dedents may follow something else than its newline terminal";
    std::vector<int> blocks(g_.terminals.size(), 0), brackets(g_.terminals.size(), 0);
    blocks[static_cast<std::size_t>(g_.layout.indent)] = 1;
    blocks[static_cast<std::size_t>(g_.layout.dedent)] = -1;
    for (std::size_t t = 0; t < brackets.size(); ++t) {
      brackets[t] = g_.layout.bracket[t];
      if (brackets[t] && (g_.terminals[t].ignored || g_.terminals[t].inside)) return "a layout whose brackets are ignored";
    }
    if (!balanced(blocks)) return "a layout whose rules do not close the blocks that they open, or close others";
    if (!balanced(brackets)) return "a layout whose rules do not close the brackets that they open, or close others";
    if (shared_brackets()) return "a layout in which one text may be a bracket and another terminal";
    if (breaks_inside()) return "a layout whose newline terminal is asked for inside brackets, where it is not taken";
    return nullptr;
  }

 private:
  static constexpr int kDeepest = 100, kNone_ = -2 * kDeepest;
  enum : unsigned char { kNewline = 1, kDedent = 2, kOther = 4 };

  bool first(std::size_t d) const { return d == 0 || g_.symbol[d - 1] == Rules::kEnd; }
  std::size_t start() const { return static_cast<std::size_t>(g_.head[static_cast<std::size_t>(g_.start_dot)]); }

  // ------------------------------------------------------------------ what stands before
  bool in_order() {
    for (Id t = 0; t < static_cast<Id>(g_.terminals.size()); ++t)
      last_[static_cast<std::size_t>(t)] = t == g_.layout.newline ? kNewline : t == g_.layout.dedent ? kDedent : kOther;
    before_[start()] = kNewline;  // the text begins as a line does
    while (ends()) {}
    while (begins()) {}
    for (std::size_t d = 0; d < g_.symbol.size(); ++d) {
      if (g_.symbol[d] == g_.layout.indent && (before(d) & ~kNewline)) return false;
      if (g_.symbol[d] == g_.layout.dedent && (before(d) & ~(kNewline | kDedent))) return false;
    }
    return true;
  }
  // The last terminals of what stands before dot d.
  unsigned char before(std::size_t d) const {
    unsigned char found = 0;
    while (!first(d)) {
      const std::size_t s = static_cast<std::size_t>(g_.symbol[--d]);
      found |= last_[s];
      if (!g_.nullable[s]) return found;
    }
    return found | before_[static_cast<std::size_t>(g_.head[d])];
  }
  bool ends() {
    bool grew = false;
    for (std::size_t d = 0; d < g_.symbol.size(); ++d) {
      meter_.charge();
      if (g_.symbol[d] != Rules::kEnd) continue;
      unsigned char& known = last_[static_cast<std::size_t>(g_.head[d])];
      unsigned char found = known;
      for (std::size_t k = d; !first(k);) {
        const std::size_t s = static_cast<std::size_t>(g_.symbol[--k]);
        found |= last_[s];
        if (!g_.nullable[s]) break;
      }
      grew = grew || found != known;
      known = found;
    }
    return grew;
  }
  bool begins() {
    bool grew = false;
    for (std::size_t d = 0; d < g_.symbol.size(); ++d) {
      meter_.charge();
      const Id s = g_.symbol[d];
      if (s == Rules::kEnd || g_.is_terminal(s)) continue;
      unsigned char& known = before_[static_cast<std::size_t>(s)];
      const unsigned char found = static_cast<unsigned char>(known | before(d));
      grew = grew || found != known;
      known = found;
    }
    return grew;
  }

  // ------------------------------------------------------------------ how deep
  // Finds what each symbol opens more than it closes; are all derivations of one mind, and the start closed?
  bool balanced(const std::vector<int>& of_terminals) {
    net_.assign(g_.symbols(), kNone_);
    std::copy(of_terminals.begin(), of_terminals.end(), net_.begin());
    std::vector<int> lowest(g_.symbols(), 0);  // before any of it is read, or below
    for (std::size_t t = 0; t < of_terminals.size(); ++t) lowest[t] = std::min(0, of_terminals[t]);
    for (bool grew = true; grew;) {
      grew = false;
      for (std::size_t d = 0; d < g_.symbol.size();) {
        const std::size_t head = static_cast<std::size_t>(g_.head[d]);
        int sum = 0, low = 0;
        bool known = true;
        for (; g_.symbol[d] != Rules::kEnd; ++d) {
          meter_.charge();
          const std::size_t s = static_cast<std::size_t>(g_.symbol[d]);
          known = known && net_[s] != kNone_;
          if (!known) continue;
          low = std::min(low, sum + lowest[s]);
          sum += net_[s];
        }
        ++d;
        if (!known) continue;
        if (low < -kDeepest || sum < -kDeepest || sum > kDeepest || (net_[head] != kNone_ && net_[head] != sum)) return false;
        grew = grew || net_[head] == kNone_ || low < lowest[head];
        net_[head] = sum;
        lowest[head] = std::min(lowest[head], low);
      }
    }
    return net_[start()] == 0 && lowest[start()] == 0;
  }
  // Have a bracket and a terminal that opens more or less a match in common? A lexeme would be both.
  bool shared_brackets() const {
    for (std::size_t t = 0; t < g_.terminals.size(); ++t)
      for (std::size_t s = 0; g_.layout.bracket[t] && s < g_.terminals.size(); ++s)
        if (g_.terminals[s].kind == TerminalKind::Regex && g_.layout.bracket[s] != g_.layout.bracket[t] &&
            re_.live(re_.conj({g_.terminals[t].outline, g_.terminals[s].outline})))
          return true;
    return false;
  }
  // Does a derivation hold a newline terminal inside brackets, of which `net_` is?
  bool breaks_inside() {
    std::vector<int> deepest(g_.symbols(), kNone_);  // of its newline terminals, from where it begins
    deepest[static_cast<std::size_t>(g_.layout.newline)] = 0;
    for (bool grew = true; grew;) {
      grew = false;
      for (std::size_t d = 0; d < g_.symbol.size(); ++d) {
        const std::size_t head = static_cast<std::size_t>(g_.head[d]);
        for (int sum = 0; g_.symbol[d] != Rules::kEnd; ++d) {
          meter_.charge();
          const std::size_t s = static_cast<std::size_t>(g_.symbol[d]);
          if (deepest[s] != kNone_ && sum + deepest[s] > deepest[head]) {
            if (sum + deepest[s] > kDeepest) return true;
            deepest[head] = sum + deepest[s];
            grew = true;
          }
          sum += net_[s];
        }
      }
    }
    return deepest[start()] > 0;
  }

  const Rules& g_;
  RegexStore& re_;
  Meter& meter_;
  std::vector<unsigned char> last_, before_;  // by symbol: the last terminals of its texts, and what may stand before them
  std::vector<int> net_;                      // by symbol: what its texts open more than they close
};

}  // namespace constrain
