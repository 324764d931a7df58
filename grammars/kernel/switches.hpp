// Switches and tries: byte ranges to expressions, and sets of strings with shared suffixes (a part of regex.hpp).
#pragma once
#include "regex.hpp"

namespace constrain {

inline Id RegexStore::strings(std::vector<std::string_view> strings) {
  std::sort(strings.begin(), strings.end());
  struct Open {
    bool accepts;
    std::vector<Id> edges;  // lo, hi, child
  };
  std::vector<Open> open(1);
  std::string_view before;
  auto close_to = [&](std::size_t depth) {
    while (open.size() > depth + 1) {
      Open last = std::move(open.back());
      open.pop_back();
      Id child = switch_node(last.accepts, last.edges);
      int b = static_cast<unsigned char>(before[open.size() - 1]);
      if (child != kEmpty && has(alphabet_, b)) {
        open.back().edges.insert(open.back().edges.end(), {b, b, child});
      }
    }
  };
  for (std::string_view s : strings) {
    meter_.charge(static_cast<std::int64_t>(s.size()) + 1);
    std::size_t common = 0;
    while (common < before.size() && common < s.size() && before[common] == s[common]) ++common;
    close_to(common);
    while (open.size() <= s.size()) open.push_back(Open{false, {}});
    open.back().accepts = true;
    before = s;
  }
  close_to(0);
  return switch_node(open[0].accepts, open[0].edges);
}
inline Id RegexStore::insert_string(Id trie, std::string_view s) {
  std::vector<Id> path{trie};
  for (char c : s) {
    Id at = path.back(), next = kEmpty;
    if (at != kEmpty && nodes_[at].kind == ReKind::Switch) next = child(at, static_cast<unsigned char>(c));
    path.push_back(next);
  }
  Id built = switch_node(true, edges_of(path.back()));
  for (std::size_t i = s.size(); i-- > 0;) {
    int b = static_cast<unsigned char>(s[i]);
    std::vector<Id> edges = edges_of(path[i]), out;
    bool placed = false;
    for (std::size_t k = 0; k < edges.size(); k += 3) {
      Id lo = edges[k], hi = edges[k + 1], target = edges[k + 2];
      if (!placed && b < lo) out.insert(out.end(), {b, b, built}), placed = true;
      if (b < lo || b > hi) {
        out.insert(out.end(), {lo, hi, target});
        continue;
      }
      if (lo < b) out.insert(out.end(), {lo, b - 1, target});
      out.insert(out.end(), {b, b, built});
      if (b < hi) out.insert(out.end(), {b + 1, hi, target});
      placed = true;
    }
    if (!placed) out.insert(out.end(), {b, b, built});
    built = switch_node(path[i] != kEmpty && nodes_[path[i]].nullable, out);
  }
  return built;
}
template <class F>
void RegexStore::each_word(Id trie, std::string word, F&& f) {
  struct Level { Id node; std::size_t edge; int byte; };
  std::vector<Level> stack{{trie, 0, -1}};
  if (trie != kEmpty && nodes_[trie].nullable) f(word);
  while (!stack.empty()) {
    Level& top = stack.back();
    std::vector<Id> edges = edges_of(top.node);
    if (top.edge < edges.size() && top.byte >= edges[top.edge + 1]) top.edge += 3, top.byte = -1;
    if (top.edge >= edges.size()) {
      stack.pop_back();
      if (!stack.empty()) word.pop_back();
      continue;
    }
    top.byte = top.byte < 0 ? edges[top.edge] : top.byte + 1;
    Id child = edges[top.edge + 2];
    word.push_back(static_cast<char>(top.byte));
    if (nodes_[child].nullable) f(word);
    stack.push_back({child, 0, -1});
    meter_.charge();
  }
}
inline Id RegexStore::merge_switches(std::vector<Id> parts) {
  parts.erase(std::remove(parts.begin(), parts.end(), kEmpty), parts.end());
  if (parts.empty()) return kEmpty;
  if (parts.size() == 1) return parts[0];
  std::vector<int> cuts;
  bool nul = false;
  for (Id p : parts) {
    if (p == kEpsilon) {
      nul = true;
      continue;
    }
    nul |= nodes_[p].nullable;
    for (const Id* e = lists_.begin(nodes_[p].list); e != lists_.end(nodes_[p].list); e += 3) {
      cuts.push_back(e[0]);
      cuts.push_back(e[1] + 1);
    }
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  std::vector<Id> edges;
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    std::vector<Id> under;
    for (Id p : parts) {
      if (p == kEpsilon) continue;
      Id c = child(p, cuts[i]);
      if (c != kEmpty) under.push_back(c);
    }
    if (under.empty()) continue;
    std::sort(under.begin(), under.end());
    under.erase(std::unique(under.begin(), under.end()), under.end());
    bool all_switches = true;
    for (Id u : under) all_switches &= nodes_[u].kind == ReKind::Switch || u == kEpsilon;
    Id target = under.size() == 1 ? under[0] : all_switches ? merge_switches(under) : alt(under);
    edges.insert(edges.end(), {cuts[i], cuts[i + 1] - 1, target});
  }
  return switch_node(nul, edges);
}
inline void RegexStore::add_utf8(std::vector<Id>& out, std::uint32_t lo, std::uint32_t hi) {
  utf8::each_box(lo, hi, [&](const unsigned char* first, const unsigned char* last, int n) {
    Id rest = kEpsilon;
    for (int i = n - 1; i >= 0; --i) {
      ByteSet s{};
      for (int x = first[i]; x <= last[i]; ++x)
        if (has(alphabet_, x)) put(s, x);
      rest = switch_on(s, rest);
    }
    if (rest != kEmpty) out.push_back(rest);
  });
}

}  // namespace constrain
