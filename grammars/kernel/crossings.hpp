// Automata of regexes as tables, for passes that intersect a context-free grammar with a regular language: the minimal
// deterministic automaton of a regex, and which of its states the words of other regexes lead to from each.
//
// Bytes are all 256, whatever vocabulary is met later. Cost: derivatives of the regex times byte classes, then at most that
// many rounds of Moore's refinement; for each terminal its derivatives times the states, with a bit set for each pair.
#pragma once
#include <set>

#include "loader.hpp"

namespace constrain {

struct Dfa {
  std::array<std::uint8_t, 256> class_of{};
  std::size_t classes = 0;
  std::vector<Id> next;  // by state * classes + class; state 0 is the first
  std::vector<bool> accepting;
  std::size_t states() const { return accepting.size(); }
};

// The minimal complete automaton of `root`, states in breadth-first order. LimitError beyond `most` derivatives.
inline Dfa minimal_automaton(RegexStore& re, Id root, std::size_t most, Meter& meter) {
  std::vector<Id> found{root};
  std::unordered_map<Id, Id> number{{root, 0}};
  std::vector<std::array<Id, 256>> rows;
  for (std::size_t k = 0; k < found.size(); ++k) {
    std::array<Id, 256> row;
    for (int b = 0; b < 256; ++b) {
      auto [it, fresh] = number.try_emplace(re.live_step(found[k], b), static_cast<Id>(found.size()));
      if (fresh) found.push_back(it->first);
      row[static_cast<std::size_t>(b)] = it->second;
    }
    if (found.size() > most) throw LimitError(static_cast<std::int64_t>(found.size()), static_cast<std::int64_t>(most), "states of the automaton of a regular grammar");
    rows.push_back(row);
    meter.charge(64);
  }
  // bytes that all states treat alike
  Dfa out;
  std::vector<int> sample;
  std::map<std::vector<Id>, std::uint8_t> columns;
  for (int b = 0; b < 256; ++b) {
    std::vector<Id> column;
    for (auto& row : rows) column.push_back(row[static_cast<std::size_t>(b)]);
    auto [it, fresh] = columns.try_emplace(std::move(column), static_cast<std::uint8_t>(columns.size()));
    if (fresh) sample.push_back(b);
    out.class_of[static_cast<std::size_t>(b)] = it->second;
    meter.charge(static_cast<std::int64_t>(rows.size()) / 8 + 1);
  }
  out.classes = sample.size();
  // Moore: states that no word has told apart yet share a block
  std::vector<Id> block(found.size());
  for (std::size_t s = 0; s < found.size(); ++s) block[s] = re.nullable(found[s]);
  for (std::size_t blocks = 0;;) {
    std::map<std::vector<Id>, Id> seen;
    std::vector<Id> refined(found.size());
    for (std::size_t s = 0; s < found.size(); ++s) {
      std::vector<Id> key{block[s]};
      for (int b : sample) key.push_back(block[static_cast<std::size_t>(rows[s][static_cast<std::size_t>(b)])]);
      refined[s] = seen.try_emplace(std::move(key), static_cast<Id>(seen.size())).first->second;
      meter.charge(static_cast<std::int64_t>(sample.size()) / 4 + 1);
    }
    block.swap(refined);
    if (seen.size() == blocks) break;
    blocks = seen.size();
  }
  std::vector<Id> state(found.size(), kNone), order{0};  // block -> state; state -> a member
  state[static_cast<std::size_t>(block[0])] = 0;
  for (std::size_t k = 0; k < order.size(); ++k) {
    out.accepting.push_back(re.nullable(found[static_cast<std::size_t>(order[k])]));
    for (int b : sample) {
      Id to = rows[static_cast<std::size_t>(order[k])][static_cast<std::size_t>(b)];
      Id& named = state[static_cast<std::size_t>(block[static_cast<std::size_t>(to)])];
      if (named == kNone) named = static_cast<Id>(order.size()), order.push_back(to);
      out.next.push_back(named);
    }
  }
  return out;
}

// The classes of bytes with which the words of the regex `root` begin, in order.
inline std::vector<Id> first_classes(RegexStore& re, Id root, const Dfa& dfa) {
  std::set<Id> found;
  for (int b = 0; b < 256; ++b)
    if (re.live_step(root, b) != RegexStore::kEmpty) found.insert(dfa.class_of[static_cast<std::size_t>(b)]);
  return {found.begin(), found.end()};
}

// By state p of `dfa`, the states to which it goes from p by some word of the regex `root`, in order.
inline std::vector<std::vector<Id>> crossings(RegexStore& re, Id root, const Dfa& dfa, Meter& meter) {
  const std::size_t n = dfa.states(), words = (n + 63) / 64;
  std::vector<Id> found{root};
  std::unordered_map<Id, Id> number{{root, 0}};
  std::vector<std::vector<std::pair<Id, Id>>> moves;  // by derivative: (class, derivative after it)
  for (std::size_t k = 0; k < found.size(); ++k) {
    std::vector<std::pair<Id, Id>> here;
    for (int b = 0; b < 256; ++b) {
      Id next = re.live_step(found[k], b);
      if (next == RegexStore::kEmpty) continue;
      auto [it, fresh] = number.try_emplace(next, static_cast<Id>(found.size()));
      if (fresh) found.push_back(next);
      here.emplace_back(dfa.class_of[static_cast<std::size_t>(b)], it->second);
    }
    std::sort(here.begin(), here.end());
    here.erase(std::unique(here.begin(), here.end()), here.end());
    meter.charge(static_cast<std::int64_t>(64 + n * (1 + here.size() + words)));
    moves.push_back(std::move(here));
  }
  std::vector<std::vector<std::size_t>> before(found.size() * n);
  std::vector<std::uint64_t> ends(found.size() * n * words, 0);
  std::vector<std::size_t> open;
  for (std::size_t r = 0; r < found.size(); ++r)
    for (std::size_t p = 0; p < n; ++p) {
      for (auto [c, to] : moves[r]) before[static_cast<std::size_t>(to) * n + static_cast<std::size_t>(dfa.next[p * dfa.classes + static_cast<std::size_t>(c)])].push_back(r * n + p);
      if (!re.nullable(found[r])) continue;
      ends[(r * n + p) * words + p / 64] |= 1ull << (p % 64);
      open.push_back(r * n + p);
    }
  while (!open.empty()) {
    std::size_t at = open.back();
    open.pop_back();
    for (std::size_t from : before[at]) {
      bool grew = false;
      for (std::size_t w = 0; w < words; ++w) {
        std::uint64_t joined = ends[from * words + w] | ends[at * words + w];
        grew |= joined != ends[from * words + w];
        ends[from * words + w] = joined;
      }
      meter.charge(1 + static_cast<std::int64_t>(words) / 8);
      if (grew) open.push_back(from);
    }
  }
  std::vector<std::vector<Id>> out(n);
  for (std::size_t p = 0; p < n; ++p)
    for (std::size_t q = 0; q < n; ++q)
      if (ends[p * words + q / 64] >> (q % 64) & 1) out[p].push_back(static_cast<Id>(q));
  return out;
}

}  // namespace constrain
