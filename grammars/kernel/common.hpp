// Shared vocabulary of the kernel: ids, hashing, the work meter and the two errors that leave it.
//
// Work is counted in abstract steps (a derivative, a node visited, a candidate tried), never in time, so that
// whether a limit is met does not depend on the machine; nor on what memos hold: what is remembered was counted apart when
// it was found, and who asks for it pays the same price whether it had to be found or not (`Meter::Cost`).
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace constrain {

using Id = std::int32_t;
constexpr Id kNone = -1;

// A work limit was met. The operation that met it left everything but memo tables as it was.
struct LimitError : std::runtime_error {
  std::int64_t given, limit;
  LimitError(std::int64_t given_, std::int64_t limit_, const std::string& where)
      : std::runtime_error(where), given(given_), limit(limit_) {}
};

// The table handed over is not a table, or asks for what is not enforced. `kind`: 0 grammar, 1 unsupported, 2 empty.
struct SourceError : std::runtime_error {
  int kind;
  SourceError(int kind_, const std::string& what) : std::runtime_error(what), kind(kind_) {}
};

inline std::uint64_t mix(std::uint64_t h, std::uint64_t x) {
  h ^= x + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2);
  h *= 0xff51afd7ed558ccdull;
  return h ^ (h >> 32);
}

// Counts work against a limit; throws LimitError when it is exceeded. Not thread-safe: one meter per call.
class Meter {
 public:
  void begin(std::int64_t limit, const char* where) {
    used_ = 0;
    peak_ = 0;
    limit_ = limit;
    where_ = where;
    asked_.clear();
    asked_from_ = 0;
  }
  void charge(std::int64_t amount = 1) {
    used_ += amount;
    if (used_ > limit_) throw LimitError(used_, limit_, where_);
  }
  std::int64_t used() const { return used_; }

  // What a remembered computation counted: `work` by itself, `peak` the most of it and of all that it used. It is a function
  // of what was computed as long as memos inside are paid for too.
  struct Cost {
    std::int32_t work = 0, peak = 0;
  };
  // While alive, work is counted afresh against the same limit: for what is computed once and remembered. `work` is
  // what has been done; who uses the result, now or later, is charged `price` of it, so that warmth changes no verdict.
  class Apart {
   public:
    explicit Apart(Meter& m) : meter_(m), outer_(m.used_), peak_(m.peak_), asked_from_(m.asked_from_) {
      m.used_ = m.peak_ = 0;
      m.asked_from_ = m.asked_.size();
    }
    ~Apart() {
      meter_.asked_.resize(meter_.asked_from_);
      meter_.asked_from_ = asked_from_;
      meter_.peak_ = std::max(peak_, std::max(meter_.peak_, meter_.used_));
      meter_.used_ = outer_;
    }
    Apart(const Apart&) = delete;
    std::int64_t work() const { return meter_.used_; }
    Cost cost() const { return {clipped(meter_.used_), clipped(std::max(meter_.used_, meter_.peak_))}; }

   private:
    static std::int32_t clipped(std::int64_t x) { return static_cast<std::int32_t>(std::min<std::int64_t>(x, INT32_MAX)); }
    Meter& meter_;
    std::int64_t outer_, peak_;
    std::size_t asked_from_;
  };
  // While alive, nothing is counted but what is counted apart: for small work that only a miss of a memo does, and for what
  // the key of a memo does not determine.
  class Quiet {
   public:
    explicit Quiet(Meter& m) : meter_(m), outer_(m.used_) { m.used_ = INT64_MIN / 2; }
    ~Quiet() { meter_.used_ = outer_; }
    Quiet(const Quiet&) = delete;

   private:
    Meter& meter_;
    std::int64_t outer_;
  };
  static std::int64_t price(std::int64_t work) { return 1 + work / 32; }
  // Counts `compute` apart.
  template <class F>
  Cost once(F&& compute) {
    Apart apart(*this);
    compute();
    return apart.cost();
  }
  // What `pay(c, c.work)` does on a meter that was begun afresh, without one.
  static void afford(const Cost& c, std::int64_t limit, const char* where) {
    if (std::max(c.peak, c.work) > limit) throw LimitError(std::max(c.peak, c.work), limit, where);
  }
  // For the use of a result that cost `c`: fails where finding it would fail.
  void pay(const Cost& c) { pay(c, price(c.work)); }
  void pay(const Cost& c, std::int64_t price) {
    if (c.peak > limit_) throw LimitError(c.peak, limit_, where_);
    peak_ = std::max<std::int64_t>(peak_, c.peak);
    charge(price);
  }
  // Was a remembered question among the last that were asked within the same count? Then asking again costs next to nothing, whether
  // it was answered then or before.
  bool again(const void* memos, std::uint64_t key) {
    const std::pair<const void*, std::uint64_t> question{memos, key};
    const auto of_count = asked_.begin() + static_cast<std::ptrdiff_t>(asked_from_);
    const auto first = asked_.end() - of_count > kRecent ? asked_.end() - kRecent : of_count;
    if (std::find(first, asked_.end(), question) != asked_.end()) return true;
    if (asked_.end() - of_count > 4 * kRecent) asked_.erase(of_count, first);
    asked_.push_back(question);
    return false;
  }

 private:
  static constexpr std::ptrdiff_t kRecent = 16;
  std::vector<std::pair<const void*, std::uint64_t>> asked_;  // of this count from `asked_from_` on, and of those around it
  std::size_t asked_from_ = 0;
  std::int64_t used_ = 0, peak_ = 0, limit_ = INT64_MAX;
  const char* where_ = "work";
};

// A growing sequence whose elements stay where they are, in blocks of a power of two: an index is a shift and a mask, where
// std::deque divides.
template <class T, std::size_t kBlock = 256>
class Blocks {
 public:
  T& operator[](std::size_t i) { return blocks_[i / kBlock][i % kBlock]; }
  const T& operator[](std::size_t i) const { return blocks_[i / kBlock][i % kBlock]; }
  std::size_t size() const { return size_; }
  void push_back(T x) {
    if (size_ % kBlock == 0) blocks_.push_back(std::make_unique<T[]>(kBlock));
    (*this)[size_++] = std::move(x);
  }
  T& emplace_back() {
    push_back(T());
    return (*this)[size_ - 1];
  }

 private:
  std::vector<std::unique_ptr<T[]>> blocks_;
  std::size_t size_ = 0;
};

// Interns short integer vectors: equal contents get equal ids. O(length) per look-up; 1 + length words per entry.
class ListStore {
 public:
  ListStore() { add(nullptr, 0); }
  Id add(const Id* data, std::size_t n) {
    if (table_.empty()) table_.assign(64, kNone);
    std::uint64_t h = mix(0x1234, n);
    for (std::size_t i = 0; i < n; ++i) h = mix(h, static_cast<std::uint32_t>(data[i]));
    if (2 * (start_.size() + 1) > table_.size()) grow();
    std::size_t slot = h & (table_.size() - 1);
    while (table_[slot] != kNone) {
      Id found = table_[slot];
      if (hash_[found] == h && size(found) == n && std::equal(data, data + n, begin(found))) return found;
      slot = (slot + 1) & (table_.size() - 1);
    }
    Id id = static_cast<Id>(start_.size());
    start_.push_back(pool_.size());
    count_.push_back(static_cast<std::uint32_t>(n));
    hash_.push_back(h);
    pool_.insert(pool_.end(), data, data + n);
    table_[slot] = id;
    return id;
  }
  Id add(const std::vector<Id>& v) { return add(v.data(), v.size()); }
  const Id* begin(Id id) const { return pool_.data() + start_[id]; }
  const Id* end(Id id) const { return begin(id) + count_[id]; }
  std::size_t size(Id id) const { return count_[id]; }
  std::size_t count() const { return start_.size(); }
  std::size_t bytes() const { return pool_.size() * 4 + start_.size() * 20 + table_.size() * 4; }

 private:
  void grow() {
    std::vector<Id> bigger(table_.size() * 2, kNone);
    for (Id id = 0; id < static_cast<Id>(start_.size()); ++id) {
      std::size_t slot = hash_[id] & (bigger.size() - 1);
      while (bigger[slot] != kNone) slot = (slot + 1) & (bigger.size() - 1);
      bigger[slot] = id;
    }
    table_.swap(bigger);
  }
  std::vector<Id> pool_, table_;
  std::vector<std::size_t> start_;
  std::vector<std::uint32_t> count_;
  std::vector<std::uint64_t> hash_;
};

// A table from 64-bit keys (not all ones) to small values, in one array: no allocation for an entry, dropped in one step.
template <class Value>
class WordTable {
 public:
  // Null if there is none. Holds until the next `put`.
  Value* find(std::uint64_t key) {
    if (slots_.empty()) return nullptr;
    Slot& s = slot(key);
    return s.key == key ? &s.value : nullptr;
  }
  const Value* find(std::uint64_t key) const { return const_cast<WordTable*>(this)->find(key); }
  const Value& put(std::uint64_t key, Value value) {
    if (4 * (used_ + 1) > 3 * slots_.size()) grow();
    Slot& s = slot(key);
    used_ += s.key == kFree;
    s = {key, value};
    return s.value;
  }
  // The value of `key`, which becomes `otherwise` if it is new.
  Value find_or_add(std::uint64_t key, Value otherwise) {
    if (4 * (used_ + 1) > 3 * slots_.size()) grow();
    Slot& s = slot(key);
    if (s.key == key) return s.value;
    s = {key, otherwise};
    ++used_;
    return otherwise;
  }
  // Calls f(key, value) for every entry, in no order that means anything.
  template <class F>
  void each(F&& f) const {
    for (const Slot& s : slots_)
      if (s.key != kFree) f(s.key, s.value);
  }
  void clear() { slots_ = {}, used_ = 0; }
  std::size_t size() const { return used_; }
  std::size_t bytes() const { return slots_.size() * sizeof(Slot); }

 private:
  static constexpr std::uint64_t kFree = ~0ull;
  struct Slot {
    std::uint64_t key = kFree;
    Value value{};
  };
  Slot& slot(std::uint64_t key) {
    std::size_t i = mix(0, key) & (slots_.size() - 1);
    while (slots_[i].key != key && slots_[i].key != kFree) i = (i + 1) & (slots_.size() - 1);
    return slots_[i];
  }
  void grow() {
    std::vector<Slot> before(slots_.empty() ? 64 : slots_.size() * 2);
    before.swap(slots_);
    for (const Slot& s : before)
      if (s.key != kFree) slot(s.key) = s;
  }
  std::vector<Slot> slots_;
  std::size_t used_ = 0;
};

// What was found, and what every use of it is charged (`Meter::price`, cut to four bytes).
struct Priced {
  Id found = 0;
  std::uint32_t price = 0;
  Priced() = default;
  Priced(Id found_, std::int64_t work) : found(found_), price(static_cast<std::uint32_t>(std::min<std::int64_t>(Meter::price(work), UINT32_MAX))) {}
};

}  // namespace constrain
