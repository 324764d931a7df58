// Token masks as id lists or rows, each content kept once.
//
// A mask is stored as a list of token ids, or as a row of one bit a token where that is smaller. Pointers to kept masks
// hold until `clear`. Memory is counted in `bytes`. Not thread-safe.
#pragma once
#include <deque>
#include <map>

#include "trie.hpp"

namespace constrain {

struct TokenSet {
  std::vector<std::uint32_t> bits;  // a row, or empty
  std::vector<std::int32_t> ids;
  bool empty() const { return bits.empty() && ids.empty(); }
};

class MaskStore {
 public:
  MaskStore(const Trie& trie, std::int32_t vocabulary_size)
      : trie_(trie), size_(vocabulary_size), words_((vocabulary_size + 31) / 32), bytesless_(static_cast<std::size_t>(words_), 0) {
    for (std::int32_t t = 0; t < size_; ++t)
      if (trie_.text(t).empty()) set(bytesless_.data(), t);
  }

  std::size_t bytes = 0;

  std::int32_t words() const { return words_; }
  std::vector<std::uint32_t> row() const { return std::vector<std::uint32_t>(static_cast<std::size_t>(words_), 0); }
  static void set(std::uint32_t* row, std::int32_t t) { row[t >> 5] |= 1u << (t & 31); }
  void zero(std::uint32_t* row) const { std::memset(row, 0, static_cast<std::size_t>(words_) * 4); }
  void copy(const TokenSet& m, std::uint32_t* row) const {
    if (!m.bits.empty()) {
      std::memcpy(row, m.bits.data(), static_cast<std::size_t>(words_) * 4);
      return;
    }
    zero(row);
    for (std::int32_t t : m.ids) set(row, t);
  }
  void add(const TokenSet& m, std::uint32_t* row) const {
    if (!m.bits.empty())
      for (std::int32_t w = 0; w < words_; ++w) row[w] |= m.bits[w];
    for (std::int32_t t : m.ids) set(row, t);
  }
  // Adds the tokens of `m` whose first byte is in `s`, and those without bytes.
  void add_cut(const TokenSet& m, const ByteSet& s, std::uint32_t* row) {
    const std::vector<std::uint32_t>& allowed = cut(s);
    if (!m.bits.empty())
      for (std::int32_t w = 0; w < words_; ++w) row[w] |= m.bits[w] & allowed[w];
    for (std::int32_t t : m.ids)
      if (allowed[t >> 5] >> (t & 31) & 1) set(row, t);
  }
  TokenSet packed(const std::vector<std::uint32_t>& row) const {
    TokenSet m;
    std::int64_t count = 0;
    for (std::uint32_t w : row) count += __builtin_popcount(w);
    if (count > words_) m.bits = row;
    else
      for (std::int32_t w = 0; w < words_; ++w)
        for (std::uint32_t x = row[w]; x; x &= x - 1) m.ids.push_back(w * 32 + __builtin_ctz(x));
    return m;
  }
  // The same as ids, in any order.
  TokenSet packed(std::vector<std::int32_t> ids) const {
    TokenSet m;
    if (static_cast<std::int64_t>(ids.size()) <= words_) {
      m.ids = std::move(ids);
      return m;
    }
    m.bits = row();
    for (std::int32_t t : ids) set(m.bits.data(), t);
    return m;
  }
  const TokenSet* kept(TokenSet&& m) {
    const std::uint64_t h = hash(m.bits, hash(m.ids, mix(m.bits.size(), m.ids.size())));
    for (const TokenSet* other : by_content_[h])
      if (other->bits == m.bits && other->ids == m.ids) return other;
    bytes += 160 + m.bits.size() * 4 + m.ids.size() * 4;
    kept_.push_back(std::move(m));
    by_content_[h].push_back(&kept_.back());
    return &kept_.back();
  }
  void clear() {
    kept_.clear();
    by_content_.clear();
    cuts_.clear();
    bytes = 0;
  }

 private:
  // In four lanes, of which none waits for another.
  template <class Word>
  static std::uint64_t hash(const std::vector<Word>& words, std::uint64_t seed) {
    std::uint64_t lane[4] = {seed, seed + 1, seed + 2, seed + 3};
    std::size_t i = 0;
    for (; i + 4 <= words.size(); i += 4)
      for (std::size_t k = 0; k < 4; ++k) lane[k] = (lane[k] ^ static_cast<std::uint32_t>(words[i + k])) * 0xff51afd7ed558ccdull, lane[k] ^= lane[k] >> 29;
    for (; i < words.size(); ++i) lane[0] = mix(lane[0], static_cast<std::uint32_t>(words[i]));
    return mix(mix(lane[0], lane[1]), mix(lane[2], lane[3]));
  }
  // Tokens whose first byte is in `s`, and those without bytes.
  const std::vector<std::uint32_t>& cut(const ByteSet& s) {
    auto [it, fresh] = cuts_.try_emplace(s);
    if (!fresh) return it->second;
    it->second = bytesless_;
    const TrieView& t = trie_.all;
    for (std::int32_t i = 0; i < t.size(); i = t.end[i])
      if (has(s, t.byte[i]))
        for (std::int32_t k = t.first[i]; k < t.first[t.end[i]]; ++k) set(it->second.data(), t.tokens[k]);
    bytes += static_cast<std::size_t>(words_) * 4 + 100;
    return it->second;
  }

  const Trie& trie_;
  std::int32_t size_, words_;
  std::vector<std::uint32_t> bytesless_;
  std::deque<TokenSet> kept_;
  std::unordered_map<std::uint64_t, std::vector<const TokenSet*>> by_content_;
  std::map<ByteSet, std::vector<std::uint32_t>> cuts_;
};

}  // namespace constrain
