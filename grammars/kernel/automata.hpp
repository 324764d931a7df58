// Deterministic automata as tables, for languages that are given by their paths (`RegexStore::path`).
//
// An automaton is complete and interned by content. Memory: a word for each state and byte class, and for each state that
// paths are asked to lead to, a word for each state.
#pragma once
#include <array>
#include <unordered_map>
#include <vector>

#include "partitions.hpp"

namespace constrain {

class Automata {
 public:
  // States, byte classes, the class of each byte, and the state after each (state, class). Throws SourceError for no automaton.
  Id add(std::size_t states, std::size_t classes, const std::uint8_t* class_of, const std::vector<Id>& next, Meter& meter) {
    if (next.size() != states * classes) throw SourceError(0, "an automaton whose table has the wrong size");
    std::vector<Id> flat{static_cast<Id>(states), static_cast<Id>(classes)};
    for (int b = 0; b < 256; ++b) {
      if (class_of[b] >= classes) throw SourceError(0, "an automaton with a byte of an unknown class");
      flat.push_back(class_of[b]);
    }
    for (Id s : next) {
      if (s < 0 || s >= static_cast<Id>(states)) throw SourceError(0, "an automaton that goes to an unknown state");
      flat.push_back(s);
    }
    meter.charge(static_cast<std::int64_t>(flat.size()) / 8 + 1);
    Id id = tables_.add(flat);
    if (id < static_cast<Id>(contents_.size())) return id;
    std::uint64_t h = 1;
    for (Id x : flat) h = mix(h, static_cast<std::uint32_t>(x));
    contents_.resize(static_cast<std::size_t>(id) + 1, h);
    return id;
  }
  std::uint64_t content(Id automaton) const { return contents_[static_cast<std::size_t>(automaton)]; }
  Id next(Id automaton, Id state, int b) const {
    const Id* x = tables_.begin(automaton);
    return x[kHead + state * x[1] + x[2 + b]];
  }
  std::array<int, 256> row(Id automaton, Id state) const {
    std::array<int, 256> out;
    for (int b = 0; b < 256; ++b) out[static_cast<std::size_t>(b)] = next(automaton, state, b);
    return out;
  }
  // Does every byte of `alphabet` lead from `state` to itself?
  bool stays(Id automaton, Id state, const ByteSet& alphabet) const {
    for (int b = 0; b < 256; ++b)
      if (has(alphabet, b) && next(automaton, state, b) != state) return false;
    return true;
  }
  // Bytes of a shortest string over `alphabet` that leads from one state to another; -1: none does. The alphabet must
  // always be the same. O(size of the automaton) once for each `to`.
  std::int64_t distance(Id automaton, Id from, Id to, const ByteSet& alphabet, Meter& meter) {
    Id states = tables_.begin(automaton)[0];
    if (from < 0 || to < 0 || from >= states || to >= states) throw SourceError(0, "a path between unknown states of an automaton");
    auto [it, fresh] = distances_.try_emplace(static_cast<std::uint64_t>(automaton) << 32 | static_cast<std::uint32_t>(to));
    if (fresh) {
      Meter::Apart apart(meter);
      it->second = distances_to(automaton, to, alphabet, meter);
      bytes_ += it->second.size() * sizeof(std::int64_t) + 64;
    }
    meter.charge();
    return it->second[static_cast<std::size_t>(from)];
  }
  std::size_t bytes() const { return tables_.bytes() + bytes_; }

 private:
  static constexpr Id kHead = 258;

  // By state; found backwards.
  std::vector<std::int64_t> distances_to(Id automaton, Id to, const ByteSet& alphabet, Meter& meter) const {
    const Id* x = tables_.begin(automaton);
    const Id states = x[0], classes = x[1];
    std::vector<bool> spelled(static_cast<std::size_t>(classes), false);
    for (int b = 0; b < 256; ++b)
      if (has(alphabet, b)) spelled[static_cast<std::size_t>(x[2 + b])] = true;
    std::vector<std::vector<Id>> before(static_cast<std::size_t>(states));
    for (Id s = 0; s < states; ++s)
      for (Id c = 0; c < classes; ++c)
        if (spelled[static_cast<std::size_t>(c)]) before[static_cast<std::size_t>(x[kHead + s * classes + c])].push_back(s);
    std::vector<std::int64_t> found(static_cast<std::size_t>(states), -1);
    found[static_cast<std::size_t>(to)] = 0;
    std::vector<Id> open{to};
    for (std::size_t k = 0; k < open.size(); ++k)
      for (Id s : before[static_cast<std::size_t>(open[k])])
        if (found[static_cast<std::size_t>(s)] < 0) found[static_cast<std::size_t>(s)] = found[static_cast<std::size_t>(open[k])] + 1, open.push_back(s);
    meter.charge(1 + static_cast<std::int64_t>(states) * classes / 8);
    return found;
  }

  ListStore tables_;
  std::vector<std::uint64_t> contents_;
  std::unordered_map<std::uint64_t, std::vector<std::int64_t>> distances_;  // by automaton and state
  std::size_t bytes_ = 0;
};

}  // namespace constrain
