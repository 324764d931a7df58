// The vocabulary as a byte trie in depth-first order, and views of it.
//
// Layout: node i has byte byte[i], its subtree is [i, end[i]), its parent parent[i], and the tokens that end exactly
// at it are tokens[first[i] .. first[i + 1]); hence the tokens below a node are contiguous too. 13 bytes a node and 4 a
// token. A *view* is any trie in this layout: the whole vocabulary, or the merged tails of tokens after a lexeme ended.
//
// Signatures: the bytes of a token (and of everything below a node) as a set of byte groups, 64 at most. A lexer state
// that loops on some groups admits every token within them, which one pass over the signatures finds. Complete
// characters above ASCII are one group; a byte of an incomplete one is a group that never loops.
// Immutable after construction; shared freely between threads.
#pragma once
#include <algorithm>
#include <cstring>
#include <numeric>

#include "regex.hpp"

namespace constrain {

struct TrieView {
  std::vector<std::uint8_t> byte;
  std::vector<std::int32_t> end, parent, first, tokens;
  std::int32_t size() const { return static_cast<std::int32_t>(byte.size()); }
  bool empty() const { return byte.empty(); }
  // Bytes on the path to node i.
  std::string path(std::int32_t i) const {
    std::string s;
    for (; i >= 0; i = parent[i]) s.push_back(static_cast<char>(byte[i]));
    std::reverse(s.begin(), s.end());
    return s;
  }
  std::size_t bytes() const { return byte.size() * 13 + tokens.size() * 4; }
};

namespace groups {
// Group of an ASCII byte; bytes that end or escape a JSON string have groups of their own.
inline int of_ascii(int b) {
  if (b >= 'a' && b <= 'f') return 0;
  if (b >= 'g' && b <= 'z') return 1;
  if (b >= 'A' && b <= 'F') return 2;
  if (b >= 'G' && b <= 'Z') return 3;
  if (b == '0') return 4;
  if (b >= '1' && b <= '9') return 5;
  if (b == '\t') return 6;
  if (b == '\n') return 7;
  if (b == '\r') return 8;
  if (b < 0x20 || b == 0x7F) return 9;
  int next = 10;
  for (int c = 0x20; c < 0x7F; ++c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) continue;
    if (c == b) return next;
    ++next;
  }
  return 9;
}
// Does state q of an automaton (0: dead) return to itself after every character above ASCII?
template <class Step>
bool wide_loops(Id q, Step step) {
  static constexpr struct { int lead_lo, lead_hi, second_lo, second_hi, more; } forms[] = {
      {0xC2, 0xDF, 0x80, 0xBF, 0}, {0xE0, 0xE0, 0xA0, 0xBF, 1}, {0xE1, 0xEC, 0x80, 0xBF, 1}, {0xED, 0xED, 0x80, 0x9F, 1},
      {0xEE, 0xEF, 0x80, 0xBF, 1}, {0xF0, 0xF0, 0x90, 0xBF, 2}, {0xF1, 0xF3, 0x80, 0xBF, 2}, {0xF4, 0xF4, 0x80, 0x8F, 2}};
  for (auto& f : forms)
    for (int lead = f.lead_lo; lead <= f.lead_hi; ++lead) {
      Id a = step(q, lead);
      if (!a) return false;
      Id previous = kNone;
      for (int second = f.second_lo; second <= f.second_hi; ++second) {
        Id b = step(a, second);
        if (b == previous) continue;
        previous = b;
        for (int k = 0; k < f.more; ++k) {
          Id next = step(b, 0x80);
          for (int x = 0x81; x <= 0xBF; ++x)
            if (step(b, x) != next) return false;
          b = next;
        }
        if (b != q) return false;
      }
    }
  return true;
}
constexpr int kWide = 50, kBroken = 51;  // 10 + 33 punctuation marks = 43 groups below
}  // namespace groups

class Trie {
 public:
  TrieView all;
  std::vector<std::uint64_t> token_signature;    // by token id; kBroken alone for tokens without bytes
  std::vector<std::uint64_t> subtree_signature;  // by node: bytes below the node (not its own)
  std::vector<std::int32_t> subtree_characters;  // by node: most characters that a token has below the node
  std::int32_t longest = 0;                      // bytes of the longest token
  ByteSet spelled{};                             // bytes that occur in tokens
  bool closed = true;                            // every byte that occurs is a token by itself

  // The bytes of a token; empty if it has none.
  std::string_view text(std::int32_t token) const {
    return std::string_view(data_).substr(offsets_[token], offsets_[token + 1] - offsets_[token]);
  }

  // `offsets`: n + 1 positions into `data`; token i without bytes (special, unused or empty) when has_bytes[i] == 0.
  Trie(std::string_view data, const std::int32_t* offsets, const std::uint8_t* has_bytes, std::int32_t n) {
    data_ = data;
    offsets_.assign(offsets, offsets + n + 1);
    std::vector<std::int32_t> order;
    token_signature.assign(n, 1ull << groups::kBroken);
    for (std::int32_t t = 0; t < n; ++t)
      if (has_bytes[t] && offsets[t + 1] > offsets[t]) order.push_back(t);
    std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
      int c = text(a).compare(text(b));
      return c ? c < 0 : a < b;
    });
    std::vector<std::int32_t> open;  // nodes on the current path
    std::string_view before;
    std::array<bool, 256> single{};
    for (std::int32_t t : order) {
      std::string_view s = text(t);
      longest = std::max(longest, static_cast<std::int32_t>(s.size()));
      for (char c : s) put(spelled, static_cast<unsigned char>(c));
      if (s.size() == 1) single[static_cast<unsigned char>(s[0])] = true;
      std::size_t common = 0;
      while (common < before.size() && common < s.size() && before[common] == s[common]) ++common;
      while (open.size() > common) all.end[open.back()] = all.size(), open.pop_back();
      while (open.size() < s.size()) {
        std::int32_t node = all.size();
        all.byte.push_back(static_cast<unsigned char>(s[open.size()]));
        all.end.push_back(0);
        all.parent.push_back(open.empty() ? -1 : open.back());
        all.first.push_back(static_cast<std::int32_t>(all.tokens.size()));
        open.push_back(node);
      }
      all.tokens.push_back(t);
      before = s;
    }
    while (!open.empty()) all.end[open.back()] = all.size(), open.pop_back();
    all.first.push_back(static_cast<std::int32_t>(all.tokens.size()));
    for (int b = 0; b < 256; ++b)
      if (has(spelled, b) && !single[b]) closed = false;
    subtree_signature.assign(all.size(), 0);
    subtree_characters.assign(all.size(), 0);
    sign(order);
    sort_by_characters(std::move(order));
  }

  // Tokens that have bytes, those of most characters first.
  const std::vector<std::int32_t>& by_characters() const { return by_characters_; }

  // The child of `node` (-1: the root) by byte `b`, or -1.
  std::int32_t child(std::int32_t node, int b) const {
    std::int32_t i = node < 0 ? 0 : node + 1, stop = node < 0 ? all.size() : all.end[node];
    for (; i < stop; i = all.end[i])
      if (all.byte[i] == b) return i;
    return -1;
  }
  std::int32_t find(std::string_view s) const {
    std::int32_t node = -1;
    for (char c : s) {
      node = child(node, static_cast<unsigned char>(c));
      if (node < 0) return -1;
    }
    return node;
  }
  std::size_t bytes() const { return all.bytes() + token_signature.size() * 8 + subtree_signature.size() * 12 + by_characters_.size() * 4; }

 private:
  void sign(const std::vector<std::int32_t>& order) {
    std::array<std::uint64_t, 128> ascii;
    for (int b = 0; b < 128; ++b) ascii[b] = 1ull << groups::of_ascii(b);
    std::vector<std::uint64_t> suffix;
    std::size_t position = 0;
    for (std::int32_t node = 0; node < all.size(); ++node) {
      for (std::int32_t k = all.first[node]; k < all.first[node + 1]; ++k, ++position) {
        std::string_view s = text(order[position]);
        // suffix[i]: groups of s[i..); a position inside a character counts as broken
        suffix.assign(s.size() + 1, 0);
        std::vector<std::uint64_t> own = groups_of(s, ascii);
        for (std::size_t i = s.size(); i-- > 0;) suffix[i] = suffix[i + 1] | own[i];
        token_signature[order[position]] = suffix[0];
        std::int32_t at = node;
        std::int32_t characters = 0;
        for (std::size_t i = s.size(); i > 0 && at >= 0; --i, at = all.parent[at]) {
          bool inside = i < s.size() && (static_cast<unsigned char>(s[i]) & 0xC0) == 0x80;
          std::uint64_t below = inside ? ~0ull : suffix[i];
          subtree_signature[at] |= below;
          characters += i < s.size() && !inside;
          subtree_characters[at] = std::max(subtree_characters[at], characters);
        }
      }
    }
  }
  void sort_by_characters(std::vector<std::int32_t>&& tokens) {
    std::vector<std::vector<std::int32_t>> of(static_cast<std::size_t>(longest) + 1);
    for (std::int32_t t : tokens) of[static_cast<std::size_t>(utf8::characters(text(t)))].push_back(t);
    for (auto it = of.rbegin(); it != of.rend(); ++it) by_characters_.insert(by_characters_.end(), it->begin(), it->end());
  }
  std::string data_;
  std::vector<std::int32_t> offsets_, by_characters_;

  static std::vector<std::uint64_t> groups_of(std::string_view s, const std::array<std::uint64_t, 128>& ascii) {
    std::vector<std::uint64_t> out(s.size());
    for (std::size_t i = 0; i < s.size();) {
      int b = static_cast<unsigned char>(s[i]);
      if (b < 0x80) {
        out[i++] = ascii[b];
        continue;
      }
      std::size_t n = b >= 0xF0 && b <= 0xF4 ? 4 : b >= 0xE0 ? 3 : b >= 0xC2 ? 2 : 1;
      bool whole = n > 1 && b <= 0xF4 && i + n <= s.size();
      for (std::size_t k = 1; whole && k < n; ++k) whole = (static_cast<unsigned char>(s[i + k]) & 0xC0) == 0x80;
      if (whole && n > 2) {
        int second = static_cast<unsigned char>(s[i + 1]);
        if ((b == 0xE0 && second < 0xA0) || (b == 0xED && second > 0x9F) || (b == 0xF0 && second < 0x90) || (b == 0xF4 && second > 0x8F))
          whole = false;
      }
      if (!whole) n = 1;
      for (std::size_t k = 0; k < n; ++k) out[i + k] = 1ull << (whole ? groups::kWide : groups::kBroken);
      i += n;
    }
    return out;
  }
};

// Merges the subtrees below `roots` of `t` into one trie; tokens that end at a root itself go to `at_root`.
inline TrieView merge_tails(const TrieView& t, const std::vector<std::int32_t>& roots, std::vector<std::int32_t>& at_root) {
  TrieView out;
  struct Merger {
    const TrieView& t;
    TrieView& out;
    void below(const std::vector<std::int32_t>& nodes, std::int32_t parent) {
      std::vector<std::pair<std::uint8_t, std::int32_t>> children;
      for (std::int32_t n : nodes)
        for (std::int32_t i = n + 1; i < t.end[n]; i = t.end[i]) children.emplace_back(t.byte[i], i);
      std::sort(children.begin(), children.end());
      for (std::size_t k = 0; k < children.size();) {
        std::vector<std::int32_t> same;
        std::uint8_t b = children[k].first;
        for (; k < children.size() && children[k].first == b; ++k) same.push_back(children[k].second);
        std::int32_t node = out.size();
        out.byte.push_back(b);
        out.end.push_back(0);
        out.parent.push_back(parent);
        out.first.push_back(static_cast<std::int32_t>(out.tokens.size()));
        for (std::int32_t s : same) out.tokens.insert(out.tokens.end(), t.tokens.begin() + t.first[s], t.tokens.begin() + t.first[s + 1]);
        below(same, node);
        out.end[node] = out.size();
      }
    }
  } merger{t, out};
  for (std::int32_t r : roots) at_root.insert(at_root.end(), t.tokens.begin() + t.first[r], t.tokens.begin() + t.first[r + 1]);
  merger.below(roots, -1);
  out.first.push_back(static_cast<std::int32_t>(out.tokens.size()));
  return out;
}

}  // namespace constrain
