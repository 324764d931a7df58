// Whole masks of configurations of documents that come again, published: found and copied without the lock of the engine.
//
// Putting a mask together from interior and tails takes ten times as long as copying it, and needs the engine; a published
// mask is immutable, so that rows of a batch, or callers of several threads, copy masks side by side. A mask is published when
// making it took long, or at the second miss in a row of its slot for the same configuration, so that configurations
// which never come again (strings that count, names) cost one comparison of hashes. Copying it is charged what making it was.
//
// A mask is held as the words in which it differs from a base: nothing at all, the interior that it was made from, or another mask of
// late. The table is direct-mapped, in pages of a lock each. Configurations own frames, whose counts are no atomics: they are put into
// the table and dropped under the engine's lock, and compared under the page's; masks may outlive their slot.
//
// Memory: about 500 bytes a mask, V / 8 where it is neither small nor near another; `bytes`.
#pragma once
#include <array>
#include <mutex>

#include "document.hpp"

namespace constrain {

struct PublishedMask {
  using Base = std::shared_ptr<const std::vector<std::uint32_t>>;
  Base base;  // null: no token
  std::vector<std::pair<std::uint32_t, std::uint32_t>> words;  // index and content, where it differs from the base
  Meter::Cost cost;
  bool accepting = false;  // of the configuration: end tokens, which are not in the mask, are allowed

  void copy(std::uint32_t* row, std::size_t size) const {
    if (base) std::memcpy(row, base->data(), size * 4);
    else std::memset(row, 0, size * 4);
    for (auto [at, word] : words) row[at] = word;
  }
  std::size_t bytes() const { return 160 + words.size() * 8; }
};

class PublishedMasks {
 public:
  using Base = PublishedMask::Base;

  // The mask of `c`, or null. Needs no lock. `h`: a hash of `c` and of whatever else the mask depends on.
  std::shared_ptr<const PublishedMask> find(const Config& c, std::uint64_t h) const {
    if (!small(c)) return nullptr;
    const Page& page = pages_[h / kSlots % kPages];
    std::lock_guard<std::mutex> guard(page.lock);
    if (!page.slots) return nullptr;
    const Slot& s = page.slots[h % kSlots];
    if (s.hash != h || !s.entry || !(s.entry->config == c)) return nullptr;
    ++page.hits;
    return s.entry->mask;
  }
  // All else needs the engine's lock.

  // The mask of `c`, `size` words at `row`, was made at `cost` from `near`, if that is not null. `costly`: did that take long?
  void offer(const Config& c, std::uint64_t h, const std::uint32_t* row, std::size_t size, Base near, const Meter::Cost& cost, bool accepting,
             bool costly) {
    if (!small(c)) return;
    Page& page = pages_[h / kSlots % kPages];
    if (!page.slots) {  // read without a lock by none but the engine
      std::lock_guard<std::mutex> guard(page.lock);
      page.slots = std::make_unique<Slot[]>(kSlots);
      bytes_ += kSlots * sizeof(Slot);
    }
    Slot& s = page.slots[h % kSlots];
    if (!costly && s.missed != h) {
      s.missed = h;
      return;
    }
    auto made = std::make_unique<Entry>();
    made->config = c;
    made->mask = packed(row, size, std::move(near), cost, accepting);
    bytes_ += made->bytes();
    if (s.entry) bytes_ -= s.entry->bytes();
    std::lock_guard<std::mutex> guard(page.lock);
    s.hash = s.missed = h;
    s.entry.swap(made);
  }
  std::size_t bytes() const { return bytes_; }
  std::int64_t hits() const {
    std::int64_t n = 0;
    for (const Page& page : pages_) {
      std::lock_guard<std::mutex> guard(page.lock);
      n += page.hits;
    }
    return n;
  }
  void clear() {
    for (Page& page : pages_) {
      std::lock_guard<std::mutex> guard(page.lock);
      page.slots.reset();
    }
    bases_.clear();
    bytes_ = 0;
  }

 private:
  static constexpr std::size_t kPages = 64, kSlots = 64;  // of a page
  static constexpr std::size_t kDepth = 64, kText = 256;
  static constexpr std::size_t kFew = 64, kFar = 256;     // words
  static constexpr std::size_t kBases = 16, kBlock = 16;
  struct Entry {
    Config config;
    std::shared_ptr<const PublishedMask> mask;
    // As if no frame were shared.
    std::size_t bytes() const { return mask->bytes() + sizeof(Entry) + config.key.size() + (config.frame ? config.frame->depth * sizeof(Frame) : 0); }
  };
  struct Slot {
    std::uint64_t hash = 0, missed = 0;  // of what is published; of the last miss, for the engine alone
    std::unique_ptr<Entry> entry;
  };
  struct Page {
    mutable std::mutex lock;
    mutable std::int64_t hits = 0;
    std::unique_ptr<Slot[]> slots;
  };

  // Others are not published: comparing and holding a configuration takes what it has of frames and text.
  static bool small(const Config& c) { return (!c.frame || c.frame->depth <= kDepth) && c.key.size() <= kText; }

  std::shared_ptr<const PublishedMask> packed(const std::uint32_t* row, std::size_t size, Base near, const Meter::Cost& cost, bool accepting) {
    auto made = std::make_shared<PublishedMask>();
    made->cost = cost, made->accepting = accepting;
    const std::size_t filled = differing(row, nullptr, size);
    if (filled > kFew) made->base = near && differing(row, near->data(), size) <= kFar ? std::move(near) : base_of(row, size, filled);
    const std::uint32_t* base = made->base ? made->base->data() : nullptr;
    words_.clear();
    for (std::size_t w = 0; w < size; w += kBlock) {
      const std::size_t end = std::min(size, w + kBlock);
      if (base ? !std::memcmp(row + w, base + w, (end - w) * 4) : !differing(row + w, nullptr, end - w)) continue;
      for (std::size_t k = w; k < end; ++k)
        if (row[k] != (base ? base[k] : 0)) words_.emplace_back(static_cast<std::uint32_t>(k), row[k]);
    }
    made->words.assign(words_.begin(), words_.end());
    return made;
  }
  // One of the rows used last that is near, or else the row itself.
  Base base_of(const std::uint32_t* row, std::size_t size, std::size_t filled) {
    std::size_t i = 0;
    for (; i < bases_.size(); ++i) {
      const std::size_t other = bases_[i].first;
      if (std::max(other, filled) - std::min(other, filled) <= kFar && differing(row, bases_[i].second->data(), size) <= kFar) break;
    }
    if (i == bases_.size()) {
      if (i == kBases) bases_.pop_back(), --i;
      bases_.emplace_back(filled, std::make_shared<const std::vector<std::uint32_t>>(row, row + size));
      bytes_ += size * 4;
    }
    std::rotate(bases_.begin(), bases_.begin() + static_cast<std::ptrdiff_t>(i), bases_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    return bases_[0].second;
  }
  // How many words differ; null is all zero.
  static std::size_t differing(const std::uint32_t* a, const std::uint32_t* b, std::size_t size) {
    std::uint32_t n = 0;
    if (b)
      for (std::size_t w = 0; w < size; ++w) n += a[w] != b[w];
    else
      for (std::size_t w = 0; w < size; ++w) n += a[w] != 0;
    return n;
  }

  std::array<Page, kPages> pages_;
  std::vector<std::pair<std::size_t, Base>> bases_;  // with their words that are not zero; the last one used first
  std::vector<std::pair<std::uint32_t, std::uint32_t>> words_;  // of the mask in the making
  std::size_t bytes_ = 0;
};

}  // namespace constrain
