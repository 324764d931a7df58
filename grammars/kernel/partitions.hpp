// Sets of bytes, and partitions of the bytes into classes that an expression cannot tell apart.
//
// Partitions are interned by content, so that the many expressions with the same classes share one table of 256 entries;
// the coarsest common refinement of two partitions is remembered. Not thread-safe.
#pragma once
#include <array>
#include <string>
#include <unordered_map>

#include "common.hpp"

namespace constrain {

using ByteSet = std::array<std::uint64_t, 4>;
inline bool has(const ByteSet& s, int b) { return (s[b >> 6] >> (b & 63)) & 1; }
inline void put(ByteSet& s, int b) { s[b >> 6] |= 1ull << (b & 63); }

class Partitions {
 public:
  struct Classes {
    std::array<std::uint8_t, 256> cls{};
    std::vector<std::uint8_t> representative;
  };

  // Partition 0 has one class.
  Partitions() { add({}); }
  const Classes& operator[](Id p) const { return all_[p]; }
  std::size_t bytes() const { return all_.size() * sizeof(Classes); }

  // Bytes with equal keys form a class.
  Id add(const std::array<int, 256>& key) {
    Classes p;
    std::unordered_map<int, int> names;
    for (int b = 0; b < 256; ++b) {
      auto [it, fresh] = names.try_emplace(key[b], static_cast<int>(names.size()));
      p.cls[b] = static_cast<std::uint8_t>(it->second);
      if (fresh) p.representative.push_back(static_cast<std::uint8_t>(b));
    }
    std::string content(reinterpret_cast<const char*>(p.cls.data()), 256);
    auto [it, fresh] = ids_.try_emplace(content, static_cast<Id>(all_.size()));
    if (fresh) all_.push_back(std::move(p));
    return it->second;
  }
  // The coarsest partition that refines both.
  Id join(Id a, Id b) {
    if (a == b || b == 0) return a;
    if (a == 0) return b;
    if (a > b) std::swap(a, b);
    std::uint64_t key = (static_cast<std::uint64_t>(a) << 32) | static_cast<std::uint32_t>(b);
    auto found = joins_.find(key);
    if (found != joins_.end()) return found->second;
    std::array<int, 256> both;
    for (int i = 0; i < 256; ++i) both[i] = all_[a].cls[i] * 256 + all_[b].cls[i];
    return joins_[key] = add(both);
  }
  // The least byte of `alphabet` in the class of `representative`, or -1.
  int first(Id p, int representative, const ByteSet& alphabet) const {
    int c = all_[p].cls[representative];
    for (int b = 0; b < 256; ++b)
      if (all_[p].cls[b] == c && has(alphabet, b)) return b;
    return -1;
  }

 private:
  std::vector<Classes> all_;
  std::unordered_map<std::string, Id> ids_;
  std::unordered_map<std::uint64_t, Id> joins_;
};

}  // namespace constrain
