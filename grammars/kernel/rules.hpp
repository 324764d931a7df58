// A context-free grammar as tables: rules cut into dots, and what is known of every symbol before any text is read.
//
// Symbols are integers: terminals first, then nonterminals. A *dot* is a position in a rule; the dots of a rule are
// consecutive and the last one has symbol kEnd. Rules that derive no text (with the vocabulary's bytes) are removed at
// load, hence every dot that remains lies on some derivation that ends. But a terminal of kind Never counts as a text there
// and is none: what leads to it alone is read, and competes, and has infinite cost.
//
// Memory: 20 bytes a dot, a few words a symbol. Everything is built in time linear in the grammar except the adjacency of
// terminals, whose bit sets take terminals * symbols bits and are skipped beyond `kAdjacencyBits`. Immutable after load.
#pragma once
#include <map>
#include <queue>

#include "captures.hpp"
#include "loader.hpp"

namespace constrain {

enum class TerminalKind : std::uint8_t { Regex, Json, Special, Layout, Never };

struct Terminal {
  TerminalKind kind = TerminalKind::Regex;
  Id regex = 0;         // Regex: its language
  Id capture = kNone;   // Regex: the capture that it is
  Id outline = 0;       // Regex: a regular language that holds it
  Id unless = kNone;    // Regex: no match of it may follow
  std::int32_t priority = 0;
  std::int64_t root = 0;  // Json: node of the table; Special: blob with the name
  bool ignored = false, inside = false;  // may stand anywhere; anywhere inside brackets
  std::int64_t cost = 1;  // bytes of a shortest match
};

struct LayoutRule {
  bool on = false;
  Id newline = kNone, indent = kNone, dedent = kNone;
  std::int32_t tab = 8;
  std::vector<char> bracket;  // by terminal: +1 opens, -1 closes
};

class Rules {
 public:
  static constexpr Id kEnd = -1;
  static constexpr unsigned char kEndByte = 0xFF;  // in no text of UTF-8
  static constexpr std::int64_t kInfinite = std::int64_t{1} << 50;
  static constexpr std::size_t kAdjacencyBits = std::size_t{1} << 28;

  std::vector<Terminal> terminals;
  std::vector<Capture> captures;
  bool longest = true;
  bool refuses = false;  // is there a terminal of kind Never?
  Id end = kNone;         // terminal of kEndByte, if the grammar marks the end of its texts; for grammars inside strings
  Id start_dot = 0;  // of the rule S' -> start
  std::vector<Id> symbol;            // by dot
  std::vector<Id> head;              // by dot: nonterminal symbol of its rule
  std::vector<std::int64_t> rest;    // by dot: bytes of a shortest text of what follows it
  std::vector<std::vector<Id>> waiters;    // by symbol: dots before it with a nullable (or no) prefix
  std::vector<std::vector<Id>> first_dots; // by nonterminal: dots with a nullable (or no) prefix, not at an end
  std::vector<bool> nullable;        // by symbol
  std::vector<std::int64_t> cost;    // by symbol
  std::vector<Id> cheapest;          // by symbol: first dot of the rule of a shortest text
  std::vector<Id> ignored;           // ignored symbols
  std::vector<std::vector<Id>> spacing;  // by terminal: terminals that may always come after it and leave what may follow
  std::vector<bool> spaces;          // by terminal: is it in `spacing`?
  std::vector<bool> parsed;          // by terminal: does a rule hold it?
  LayoutRule layout;

  bool is_terminal(Id s) const { return s >= 0 && s < static_cast<Id>(terminals.size()); }
  std::size_t symbols() const { return nullable.size(); }

  // Finishes the tables of `productions` (nonterminal, symbols). Throws SourceError(2) if nothing is derived.
  void build(Id start, std::size_t nonterminals, const std::vector<std::pair<Id, std::vector<Id>>>& productions, Meter& meter) {
    std::size_t count = terminals.size() + nonterminals + 1;
    Id top = static_cast<Id>(count - 1);
    std::vector<std::pair<Id, std::vector<Id>>> all = productions;
    all.emplace_back(top, std::vector<Id>{start});
    find_costs(all, count, meter);
    if (cost[top] >= kInfinite) throw SourceError(2, "the start rule derives no text");
    first_dots.resize(count);
    parsed.assign(terminals.size(), false);
    spacing.resize(terminals.size());
    spaces.resize(terminals.size(), false);
    waiters.resize(count);
    for (auto& [h, body] : all) {
      if (h == top) start_dot = static_cast<Id>(symbol.size());
      add_rule(h, body);
      meter.charge(static_cast<std::int64_t>(body.size()) + 1);
    }
  }

  // The first terminal of the cheapest derivation of `s`; kNone if that is empty.
  Id leftmost(Id s) const {
    while (s != kNone && !is_terminal(s)) {
      Id d = cheapest[s];
      if (d == kNone) return kNone;
      while (symbol[d] != kEnd && nullable[symbol[d]] && cost[symbol[d]] == 0) ++d;
      s = symbol[d];
    }
    return s;
  }
  // The terminals with which a canonical completion may go on: those that begin the cheapest way on from some dot at
  // which items stand (predictions are not among them). Rules of one nonterminal that begin alike are at their dots together,
  // so that the one with the shortest rest is taken.
  std::vector<bool> canonical() const {
    std::map<std::pair<std::int64_t, Id>, std::int64_t> prefixes;  // what was read of a rule, by what was read before the last symbol
    std::vector<std::int64_t> shortest(symbols(), kInfinite), prefix(symbol.size());  // by prefix, nonterminals first; by dot
    for (std::size_t d = 0; d < symbol.size(); ++d) {
      bool first = d == 0 || symbol[d - 1] == kEnd;
      prefix[d] = first ? head[d] : prefixes.try_emplace({prefix[d - 1], symbol[d - 1]}, static_cast<std::int64_t>(shortest.size())).first->second;
      if (prefix[d] == static_cast<std::int64_t>(shortest.size())) shortest.push_back(kInfinite);
      std::int64_t& least = shortest[static_cast<std::size_t>(prefix[d])];
      least = std::min(least, rest[d]);
    }
    std::vector<bool> out(terminals.size(), false);
    auto take = [&](Id s) {
      if (s >= 0 && cost[s] < kInfinite && (s = leftmost(s)) != kNone) out[s] = true;
    };
    for (std::size_t d = 1; d < symbol.size(); ++d)
      if (symbol[d - 1] != kEnd && rest[d] < kInfinite && rest[d] == shortest[static_cast<std::size_t>(prefix[d])]) take(symbol[d]);
    take(symbol[start_dot]);
    for (Id x : ignored)
      if (!is_terminal(x))
        for (Id d : first_dots[x]) take(symbol[d]);
    return out;
  }

  // For each terminal, the terminals that may come next in some text (as bit sets, layout terminals looked through), or
  // nothing if that would take too much memory.
  std::vector<std::vector<std::uint64_t>> adjacency(Meter& meter) const {
    std::size_t words = (terminals.size() + 63) / 64, n = symbols();
    if (words * 64 * n > kAdjacencyBits) return {};
    using Bits = std::vector<std::uint64_t>;
    std::vector<Bits> first(n, Bits(words, 0)), follow(n, Bits(words, 0));
    auto join = [&](Bits& into, const Bits& from) {
      bool grew = false;
      for (std::size_t w = 0; w < words; ++w) {
        std::uint64_t x = into[w] | from[w];
        grew |= x != into[w];
        into[w] = x;
      }
      meter.charge(1 + static_cast<std::int64_t>(words) / 8);
      return grew;
    };
    auto silent = [&](Id s) { return nullable[s] || (is_terminal(s) && terminals[s].kind == TerminalKind::Layout); };
    for (std::size_t t = 0; t < terminals.size(); ++t)
      if (terminals[t].kind != TerminalKind::Layout) first[t][t >> 6] |= 1ull << (t & 63);
    for (bool grew = true; grew;) {
      grew = false;
      for (std::size_t d = 0; d < symbol.size(); ++d) {  // every rule from its first dot
        if (d > 0 && symbol[d - 1] != kEnd) continue;
        for (std::size_t k = d; symbol[k] != kEnd; ++k) {
          grew |= join(first[head[d]], first[symbol[k]]);
          if (!silent(symbol[k])) break;
        }
      }
    }
    for (bool grew = true; grew;) {
      grew = false;
      for (std::size_t d = symbol.size(); d-- > 0;) {
        if (symbol[d] == kEnd) continue;
        std::size_t k = d + 1;
        for (; symbol[k] != kEnd; ++k) {
          grew |= join(follow[symbol[d]], first[symbol[k]]);
          if (!silent(symbol[k])) break;
        }
        if (symbol[k] == kEnd) grew |= join(follow[symbol[d]], follow[head[d]]);
      }
    }
    follow.resize(terminals.size());
    return follow;
  }

 private:
  // Shortest texts of all symbols at once: Knuth's generalisation of Dijkstra's algorithm (IPL 1977).
  void find_costs(const std::vector<std::pair<Id, std::vector<Id>>>& all, std::size_t count, Meter& meter) {
    cost.assign(count, kInfinite);
    nullable.assign(count, false);
    cheapest_rule_.assign(count, -1);
    std::vector<std::vector<std::int32_t>> uses(count);
    std::vector<std::int64_t> sum(all.size(), 0);
    std::vector<std::size_t> open(all.size());
    using Entry = std::tuple<std::int64_t, Id, std::int32_t>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> queue;
    for (std::size_t r = 0; r < all.size(); ++r) {
      open[r] = all[r].second.size();
      for (Id s : all[r].second) uses[s].push_back(static_cast<std::int32_t>(r));
      if (!open[r]) queue.emplace(0, all[r].first, static_cast<std::int32_t>(r));
      meter.charge(1 + static_cast<std::int64_t>(open[r]));
    }
    for (std::size_t t = 0; t < terminals.size(); ++t)
      if (terminals[t].cost < kInfinite) queue.emplace(terminals[t].cost, static_cast<Id>(t), -1);
    while (!queue.empty()) {
      auto [c, s, rule] = queue.top();
      queue.pop();
      if (cost[s] < kInfinite) continue;
      cost[s] = c;
      cheapest_rule_[s] = rule;
      for (std::int32_t r : uses[s]) {
        sum[r] = std::min(sum[r] + c, kInfinite - 1);
        if (--open[r] == 0) queue.emplace(sum[r], all[r].first, r);
      }
      meter.charge(1 + static_cast<std::int64_t>(uses[s].size()));
    }
    // nullable: derives the empty string, whatever layout terminals cost
    derive(all, uses, {}, nullable);
    std::vector<Id> readable;
    for (std::size_t t = 0; t < terminals.size(); ++t)
      if (terminals[t].cost < kInfinite || terminals[t].kind == TerminalKind::Never) readable.push_back(static_cast<Id>(t));
    derives_.assign(count, false);
    derive(all, uses, std::move(readable), derives_);
    cheapest.assign(count, kNone);
    rule_number_ = 0;
  }
  // Marks in `found` the symbols of `ready` and those that derive a string of them.
  static void derive(const std::vector<std::pair<Id, std::vector<Id>>>& all, const std::vector<std::vector<std::int32_t>>& uses,
                     std::vector<Id> ready, std::vector<bool>& found) {
    std::vector<std::size_t> left(all.size());
    for (std::size_t r = 0; r < all.size(); ++r)
      if (!(left[r] = all[r].second.size())) ready.push_back(all[r].first);
    while (!ready.empty()) {
      Id s = ready.back();
      ready.pop_back();
      if (found[s]) continue;
      found[s] = true;
      for (std::int32_t r : uses[s])
        if (--left[r] == 0) ready.push_back(all[r].first);
    }
  }
  void add_rule(Id h, const std::vector<Id>& body) {
    std::int32_t number = rule_number_++;
    for (Id s : body)
      if (!derives_[s]) return;
    std::vector<std::int64_t> left(body.size() + 1, 0);
    for (std::size_t k = body.size(); k-- > 0;) left[k] = std::min(left[k + 1] + cost[body[k]], kInfinite);
    Id d = static_cast<Id>(symbol.size());
    if (cheapest_rule_[h] == number) cheapest[h] = d;
    bool initial = true;
    for (std::size_t k = 0; k < body.size(); ++k) {
      Id s = body[k];
      symbol.push_back(s);
      if (is_terminal(s)) parsed[s] = true;
      head.push_back(h);
      rest.push_back(left[k]);
      if (initial) {
        waiters[s].push_back(d);
        first_dots[h].push_back(d);
      }
      initial = initial && nullable[s];
      ++d;
    }
    symbol.push_back(kEnd);
    head.push_back(h);
    rest.push_back(0);
  }
  std::vector<std::int32_t> cheapest_rule_;
  std::vector<bool> derives_;
  std::int32_t rule_number_ = 0;
};

}  // namespace constrain
