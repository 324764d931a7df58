// What a collection keeps of a table, and the new numbers of it.
//
// Copying collection (Cheney, CACM 1970) over tables of numbered entries: mark what is needed, number it afresh in the old
// order, copy. Because the order stays, what was sorted by number is sorted still.
#pragma once
#include "common.hpp"

namespace constrain {

class Kept {
 public:
  explicit Kept(std::size_t entries) : to_(entries, kNone) {}
  // Notes that entry `id` is needed; false if that was known.
  bool mark(Id id) {
    Id& x = to_[static_cast<std::size_t>(id)];
    if (x != kNone) return false;
    x = 0;
    return true;
  }
  // After all marks: gives the numbers 0, 1, ... to what is kept.
  void number() {
    Id next = 0;
    for (Id& x : to_)
      if (x != kNone) x = next++;
    count_ = static_cast<std::size_t>(next);
  }
  bool holds(Id id) const { return id >= 0 && id < static_cast<Id>(to_.size()) && to_[static_cast<std::size_t>(id)] != kNone; }
  // The new number; kNone if the entry is dropped.
  Id operator()(Id id) const { return holds(id) ? to_[static_cast<std::size_t>(id)] : kNone; }
  std::size_t count() const { return count_; }

  // Moves the entries of a vector by number, which may be shorter than the table.
  template <class T>
  void move(std::vector<T>& by_number) const {
    std::size_t end = 0;
    for (std::size_t id = 0; id < by_number.size() && id < to_.size(); ++id)
      if (to_[id] != kNone) end = static_cast<std::size_t>(to_[id]), by_number[end++] = by_number[id];
    by_number.resize(end);
    by_number.shrink_to_fit();
  }
  // Calls f(old number) for what is kept, in order.
  template <class F>
  void each(F&& f) const {
    for (std::size_t id = 0; id < to_.size(); ++id)
      if (to_[id] != kNone) f(static_cast<Id>(id));
  }

 private:
  std::vector<Id> to_;
  std::size_t count_ = 0;
};

// The lists of `from` that are kept (the empty one, number 0, among them), each changed by f(list).
template <class F>
ListStore copied(const ListStore& from, const Kept& kept, F&& f) {
  ListStore out;
  std::vector<Id> list;
  kept.each([&](Id id) {
    list.assign(from.begin(id), from.end(id));
    f(list);
    if (out.add(list) != kept(id)) throw std::logic_error("a collection made two lists one");
  });
  return out;
}

// The entries of a map by number that are kept, under their new numbers.
template <class Map>
void renumber(Map& map, const Kept& kept) {
  Map out;
  for (auto& [id, value] : map)
    if (kept.holds(id)) out.emplace(kept(id), std::move(value));
  map.swap(out);
}

}  // namespace constrain
