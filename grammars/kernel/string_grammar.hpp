// A context-free grammar as the language of a JSON string: a rule reader over the decoded vocabulary.
//
// The decoded text of the string is read as any text of the grammar is, and its masks are those of the grammar over the texts
// that tokens decode to (decoded.hpp); the string around it, its escapes and its end are the document's. Documents inside
// the grammar are read by an engine of that vocabulary. Memory: a rule reader and its masks, 16 bytes a state visited.
// Not thread-safe.
#pragma once
#include "decoded.hpp"
#include "rule_mask.hpp"

namespace constrain {

class StringGrammar : public OutsideLanguage {
 public:
  StringGrammar(Rules rules, RegexStore& re, Meter& meter, Reader* documents, MaskBuilder* document_masks,
                std::unordered_map<Id, Document> roots, const Decoded& view)
      : meter_(meter), rules_(std::move(rules), re, meter, documents, std::move(roots), {}),
        masks_(rules_, document_masks, *view.trie, view.size, meter) {}

  Id start() const { return rules_.start(); }
  Id step(Id state, int b) override { return b == Rules::kEndByte ? 0 : rules_.step(state, b); }
  bool accepting(Id state) override { return rules_.accepting(state); }
  int next_byte(Id state) override { return plan(state).byte; }
  std::int64_t length(Id state) override { return plan(state).length; }
  std::int64_t characters(Id state) override { return plan(state).characters; }
  bool paddable(Id state) override { return plan(state).paddable; }
  int padding(Id state) override {
    std::uint64_t g = loops(state);
    for (int b = 0x20; b < 0x7F; ++b)
      if (g >> groups::of_ascii(b) & 1) return b;
    return -1;
  }
  std::int64_t bound(Id state) override { return (rules_.least(state) + RegexStore::kCharacter - 1) / RegexStore::kCharacter; }
  void fill(Id state, std::uint32_t* row) override { masks_.fill(state, row); }
  std::uint64_t loops(Id state) override {
    std::vector<RuleReader::Alternative> all = rules_.alternatives(state);
    if (all.size() != 1 || all[0].phase != RuleReader::kInside || all[0].obligations || rules_.in_newline(all[0].state, all[0].layout)) return 0;
    auto [it, fresh] = loops_.try_emplace(all[0].state, 0);
    if (fresh) it->second = find_loops(all[0].state);
    return it->second;
  }
  bool marks_end() const override { return rules_.g.end != kNone; }
  std::size_t bytes() const override { return rules_.bytes() + masks_.bytes() + plans_.size() * 40; }
  void trim() { rules_.trim(); }

 private:
  static constexpr std::size_t kLongest = 1u << 22;  // bytes of a completion
  struct Plan {
    std::int32_t byte = -1;
    std::int32_t length = 0, characters = 0;
    bool paddable = false;
  };
  // The canonical completion of a state, one byte and what remains: known for all states on the way.
  Plan plan(Id state) {
    std::vector<Id> path;
    std::vector<int> bytes;
    for (auto it = plans_.find(state); it == plans_.end(); it = plans_.find(state)) {
      meter_.charge();
      int b = rules_.next_byte(state);
      path.push_back(state);
      bytes.push_back(b);
      if (path.size() > kLongest) throw LimitError(static_cast<std::int64_t>(path.size()), kLongest, "bytes of a completion");
      if (b < 0) break;
      if (b >= Rules::kEndByte || !(state = rules_.step(state, b))) throw std::logic_error("the canonical completion left the language");
    }
    for (std::size_t i = path.size(); i-- > 0;) {
      Plan p;
      p.byte = bytes[i];
      if (p.byte >= 0) {
        const Plan& next = plans_.at(rules_.step(path[i], p.byte));
        p.length = 1 + next.length, p.characters = next.characters + ((p.byte & 0xC0) != 0x80), p.paddable = next.paddable;
      }
      p.paddable = p.paddable || padding(path[i]) >= 0;
      plans_[path[i]] = p;
    }
    return plans_.at(path.empty() ? state : path[0]);
  }

  // Loops of a lexer state in which no lexeme can have ended before the last byte.
  std::uint64_t find_loops(Id lexer) {
    Scanner& scan = rules_.scan;
    if (!scan.ends(lexer).empty() && (!rules_.g.longest || scan.no_longer_match(lexer) != kNone)) return 0;
    std::uint64_t g = (1ull << groups::kBroken) - 1;
    for (int b = 0; b < 0x80; ++b)
      if (scan.step(lexer, b) != lexer) g &= ~(1ull << groups::of_ascii(b));
    if (!groups::wide_loops(lexer, [&](Id at, int b) { return scan.step(at, b); })) g &= ~(1ull << groups::kWide);
    return g;
  }

  Meter& meter_;
  RuleReader rules_;
  RuleMasks masks_;
  std::unordered_map<Id, Plan> plans_;
  std::unordered_map<Id, std::uint64_t> loops_;  // by lexer state
};

}  // namespace constrain
