// Whole masks of configurations that come again: within free text the configuration is the same after nearly every token,
// and copying its mask costs a third of putting it together from interior and tails.
//
// A direct-mapped table of few slots. A mask is kept at the second miss in a row of its slot for the same configuration, so
// that configurations which never come again (strings that count, names) cost one comparison of hashes. A hit costs what
// making the mask did. Memory: V / 8 bytes for each slot in use. Not thread-safe.
#pragma once
#include "document.hpp"

namespace constrain {

class KeptRows {
 public:
  static constexpr std::size_t kSlots = 64;

  // The mask of `c`, if it is kept; `words` of it are copied into `row` and its cost is paid. `h`: a hash of `c` and of
  // whatever else the mask depends on.
  bool copy(const Config& c, std::uint64_t h, std::uint32_t* row, std::size_t words, Meter& meter) {
    const Slot& s = slots_[h % kSlots];
    if (s.hash != h || s.bits.empty() || !(s.config == c)) return false;
    std::memcpy(row, s.bits.data(), words * 4);
    meter.pay(s.cost, s.cost.work);
    return true;
  }
  // The mask of `c` was made at `cost`. Returns the bytes that are kept for it in addition.
  std::size_t offer(const Config& c, std::uint64_t h, const std::uint32_t* row, std::size_t words, const Meter::Cost& cost) {
    Slot& s = slots_[h % kSlots];
    if (s.missed != h) return s.missed = h, 0;
    std::size_t before = s.bits.size();
    s.hash = h, s.config = c, s.cost = cost;
    s.bits.assign(row, row + words);
    return (words - before) * 4;
  }
  void clear() {
    for (Slot& s : slots_) s = Slot();
  }

 private:
  struct Slot {
    std::uint64_t hash = 0, missed = 0;  // of what is kept; of the last miss
    Config config;
    Meter::Cost cost;
    std::vector<std::uint32_t> bits;
  };
  std::vector<Slot> slots_ = std::vector<Slot>(kSlots);
};

}  // namespace constrain
