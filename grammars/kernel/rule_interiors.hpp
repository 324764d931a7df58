// Which tokens stay inside a lexeme, and how the others leave it: constants of the lexer state.
//
// An *interior* is put together from *parts*, one for each first byte: after it few lexer states are left, so that most
// states share most parts (every state in the middle of a name goes on to the same one after any letter). Tokens that end
// the lexeme are grouped by how they do, and by the obligations that are left after the first byte of what follows; their
// tails become views. Not thread-safe.
#pragma once
#include <set>

#include "rule_views.hpp"

namespace constrain {

// Exits of a lexer state for one way to end the lexeme.
struct RuleExit {
  Id terminals = 0;
  Id line = 0;  // states within a newline: number of what was read of it since the state
  Id obligations = 0;  // after the first byte of the tails; if there are any, that is one byte
  std::int32_t view = 0;
};
// Nodes at which a lexeme may have ended under an obligation of a capture, for one way to end it, and the byte that leads to them.
struct RuleFork {
  Id terminals = 0, line = 0, state = 0;  // state: of the lexer before the nodes
  int byte = 0;
  std::vector<std::int32_t> nodes;
};
struct RuleInterior {
  const TokenSet* inside = nullptr;
  std::vector<Id> ways;  // `RuleReader::ways` of the lexer states in which tokens of `inside` end
  std::vector<std::pair<Id, TokenSet>> unsure;  // by the lexer state they lead to: tokens inside if that is live
  std::vector<std::pair<Id, std::vector<std::int32_t>>> doubtful;  // by abstract state in `unsure`: nodes to step through if it is not
  std::vector<std::int32_t> afresh;             // nodes to step through: what they do depends on a line's indentation or on a text
  std::vector<RuleExit> exits;
  std::vector<RuleFork> forks;
};

class RuleInteriors {
 public:
  using Alternative = RuleReader::Alternative;

  RuleInteriors(RuleReader& reader, MaskStore& store, RuleViews& views, const Trie& trie, Meter& meter)
      : r_(reader), store_(store), views_(views), trie_(trie), meter_(meter) {}

  std::int64_t built = 0, hits = 0, nodes_visited = 0;

  // Of an alternative without obligations that is in no document. The reference holds until `clear`.
  const RuleInterior& of(const Alternative& a) {
    const Id state = r_.scan.reduced(a.state);
    std::uint64_t key = key_of(state, a);
    auto it = interiors_.find(key);
    if (it != interiors_.end()) {
      ++hits;
      return *it->second;
    }
    ++built;
    Meter::Apart apart(meter_);
    auto made = std::make_unique<RuleInterior>();
    assemble(state, a, *made);
    return *(interiors_[key] = std::move(made));
  }
  // What was read of a newline lexeme, by its number.
  const std::string& line(Id number) const { return lines_[static_cast<std::size_t>(number)]; }
  std::size_t bytes() const { return bytes_; }
  void clear() {
    interiors_.clear();
    parts_.clear();
    bytes_ = 0;
  }

 private:
  // Terminals, line; the obligations after the next byte or, of forks, the lexer state before it; where that matters, the byte.
  using Ending = std::tuple<Id, Id, Id, int>;
  using Endings = std::map<Ending, std::vector<std::int32_t>>;
  // The tokens below one first byte.
  struct Part {
    TokenSet inside;
    std::vector<Id> ways;
    std::vector<std::pair<Id, TokenSet>> unsure;
    std::map<Id, std::vector<std::int32_t>> doubtful;
    std::vector<std::int32_t> afresh;
    Endings exits, forks;
  };
  struct Building {
    std::vector<std::int32_t> ids;
    std::set<Id> ways;
    std::map<Id, std::vector<std::int32_t>> unsure;
    Part part;
  };

  // Liveness and line ends look at the phase and at whether brackets are open.
  std::uint64_t key_of(Id state, const Alternative& a) const {
    return static_cast<std::uint64_t>(state) << 2 | static_cast<std::uint64_t>(a.phase == RuleReader::kLineStart) << 1 | r_.layouts.inside(a.layout);
  }
  void assemble(Id from, const Alternative& a, RuleInterior& out) {
    const TrieView& t = trie_.all;
    std::vector<std::uint32_t> row = store_.row();
    std::set<Id> ways;
    std::map<Id, std::vector<const TokenSet*>> unsure;
    std::map<Id, std::vector<std::int32_t>> doubtful;
    Endings exits, forks;
    for (std::int32_t i = 0; i < t.size(); i = t.end[i]) {
      Id next = r_.scan.reduced(r_.scan.step(from, t.byte[i]));
      if (!next) continue;
      if (next == Scanner::kUnsure) {
        out.afresh.push_back(i);
        continue;
      }
      const Part& p = part(i, next, a);
      store_.add(p.inside, row.data());
      ways.insert(p.ways.begin(), p.ways.end());
      for (auto& [state, tokens] : p.unsure) unsure[state].push_back(&tokens);
      for (auto& [state, nodes] : p.doubtful) append(doubtful[state], nodes);
      out.afresh.insert(out.afresh.end(), p.afresh.begin(), p.afresh.end());
      for (auto& [ending, nodes] : p.exits) append(exits[ending], nodes);
      for (auto& [ending, nodes] : p.forks) append(forks[ending], nodes);
    }
    meter_.charge(256);
    out.inside = store_.kept(store_.packed(row));
    out.ways.assign(ways.begin(), ways.end());
    for (auto& [state, sets] : unsure) out.unsure.emplace_back(state, united(sets));
    out.doubtful.assign(doubtful.begin(), doubtful.end());
    for (auto& [ending, nodes] : exits) out.exits.push_back({std::get<0>(ending), std::get<1>(ending), std::get<2>(ending), views_.view_of(nodes)});
    for (auto& [ending, nodes] : forks)
      out.forks.push_back({std::get<0>(ending), std::get<1>(ending), std::get<2>(ending), std::get<3>(ending), nodes});
    bytes_ += bytes_of(out) + 200;
  }
  static void append(std::vector<std::int32_t>& to, const std::vector<std::int32_t>& nodes) { to.insert(to.end(), nodes.begin(), nodes.end()); }
  TokenSet united(const std::vector<const TokenSet*>& sets) const {
    if (sets.size() == 1) return *sets[0];
    std::vector<std::uint32_t> row = store_.row();
    for (const TokenSet* s : sets) store_.add(*s, row.data());
    return store_.packed(row);
  }
  // The tokens at and below `root`, a child of the vocabulary's root, whose byte has led to lexer state `state`.
  const Part& part(std::int32_t root, Id state, const Alternative& a) {
    std::uint64_t key = key_of(state, a) << 8 | trie_.all.byte[root];
    auto it = parts_.find(key);
    if (it != parts_.end()) return *it->second;
    Building b;
    walk(root, state, a, b);
    Part& p = b.part;
    p.inside = store_.packed(std::move(b.ids));
    p.ways.assign(b.ways.begin(), b.ways.end());
    for (auto& [s, ids] : b.unsure)
      if (!ids.empty()) p.unsure.emplace_back(s, store_.packed(std::move(ids)));
    bytes_ += p.inside.bits.size() * 4 + p.inside.ids.size() * 4 + p.afresh.size() * 4 + p.ways.size() * 4 + 200;
    for (auto& [s, nodes] : p.doubtful) bytes_ += 60 + nodes.size() * 4;
    for (auto& [s, tokens] : p.unsure) bytes_ += (tokens.bits.size() + tokens.ids.size()) * 4 + 60;
    for (Endings* e : {&p.exits, &p.forks})
      for (auto& [ending, nodes] : *e) bytes_ += 100 + nodes.size() * 4;
    return *(parts_[key] = std::make_unique<Part>(std::move(p)));
  }
  void walk(std::int32_t root, Id state, const Alternative& a, Building& out) {
    const TrieView& t = trie_.all;
    struct Level {
      std::int32_t stop;
      Id state;
    };
    std::vector<Level> stack;
    std::int64_t visited = 0;
    for (std::int32_t i = root; i < t.end[root];) {
      while (!stack.empty() && i >= stack.back().stop) stack.pop_back();
      ++visited;
      Id next = state;
      if (i != root) {
        Id at = stack.back().state;
        next = r_.scan.reduced(r_.scan.step(at, t.byte[i]));
        if (r_.depends(at, next, true)) {
          out.part.afresh.push_back(i);
          next = 0;
        } else if (a.phase == RuleReader::kLineStart || !r_.scan.ends(at).empty()) {
          leave(i, at, next, a, out);
        }
      }
      if (!next || !stay(i, next, a, out)) {
        i = t.end[i];
        continue;
      }
      if (t.end[i] > i + 1) stack.push_back({t.end[i], next});
      ++i;
    }
    nodes_visited += visited;
    meter_.charge(visited);
  }
  // The lexeme goes on to `next` at node i: notes the tokens there. False if everything below is dealt with.
  bool stay(std::int32_t i, Id next, const Alternative& a, Building& out) {
    const TrieView& t = trie_.all;
    Id ways = a.phase == RuleReader::kLineStart ? -1 : r_.ways(next);
    if (!ways && r_.in_newline(next, a.layout)) {
      out.part.afresh.push_back(i);
      return false;
    }
    if (ways > 0) out.ways.insert(ways);
    if (!ways && r_.scan.abstract(next)) out.part.doubtful[next].push_back(i);
    std::vector<std::int32_t>& ids = ways ? out.ids : out.unsure[next];
    bool all = t.end[i] > i + kSmallSubtree && (trie_.subtree_signature[i] & ~views_.loops_of(next)) == 0;  // nothing below leaves `next`
    ids.insert(ids.end(), t.tokens.begin() + t.first[i], t.tokens.begin() + t.first[all ? t.end[i] : i + 1]);
    return !all;
  }
  // The byte of node i follows a lexeme that may have ended in state `at`; with it the lexeme goes on to `next`, if at all.
  void leave(std::int32_t i, Id at, Id next, const Alternative& a, Building& out) {
    int b = trie_.all.byte[i];
    Id read = 0;
    if (a.phase == RuleReader::kLineStart || r_.in_newline(at, a.layout)) {
      std::string text = trie_.all.path(i);
      text.pop_back();
      read = line_number(text);
    }
    if (a.phase == RuleReader::kLineStart) {
      if (!next) out.part.exits[{0, read, 0, 0}].push_back(i);
      return;
    }
    Id longer = r_.g.longest && next ? r_.scan.no_longer_match(next) : 0;
    if (longer == kNone) return;
    for (const Scanner::End& e : r_.scan.ends(at)) {
      Id indentation = r_.has_newline(e.terminals) ? read : 0;
      Id asked = r_.scan.step_obligations(e.obligations, b);
      if (asked == kNone) continue;
      asked = r_.scan.join(asked, longer);
      if (r_.scan.captured_list(asked)) out.part.forks[{e.terminals, indentation, at, b}].push_back(i);
      else out.part.exits[{e.terminals, indentation, asked, asked ? b : 0}].push_back(i);
    }
  }
  Id line_number(const std::string& line) {
    auto [it, fresh] = line_numbers_.try_emplace(line, static_cast<Id>(lines_.size()));
    if (fresh) lines_.push_back(line);
    return it->second;
  }
  static std::size_t bytes_of(const RuleInterior& x) {
    std::size_t n = x.ways.size() * 4 + x.afresh.size() * 4 + x.exits.size() * sizeof(RuleExit);
    for (auto& [state, tokens] : x.unsure) n += (tokens.bits.size() + tokens.ids.size()) * 4 + 60;
    for (auto& [state, nodes] : x.doubtful) n += 60 + nodes.size() * 4;
    for (const RuleFork& f : x.forks) n += sizeof(RuleFork) + f.nodes.size() * 4;
    return n;
  }
  static constexpr std::int32_t kSmallSubtree = 2;

  RuleReader& r_;
  MaskStore& store_;
  RuleViews& views_;
  const Trie& trie_;
  Meter& meter_;
  std::unordered_map<std::uint64_t, std::unique_ptr<RuleInterior>> interiors_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Part>> parts_;
  std::vector<std::string> lines_{std::string()};
  std::map<std::string, Id> line_numbers_;
  std::size_t bytes_ = 0;
};

}  // namespace constrain
