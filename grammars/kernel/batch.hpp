// A batch of masks: what is published is copied at once, engines make the rest side by side.
//
// An engine serves one caller at a time. Rows whose masks are published need none (published.hpp); the caller copies them in a
// fraction of a microsecond each, as fast as memory takes them, which more threads do not change. The others are grouped by their
// engines, and threads take whole groups, the largest first. Threads live as long as the call, so that
// there is nothing to own, to stop or to lose in a fork. Starting one costs some ten microseconds: a thread starts another when it
// has worked for five times as long and there is work left, so that what is soon done is done by the caller alone. Which thread
// filled a row, and when, shows in nothing: masks depend on states alone, and every row has a meter of its own.
#pragma once
#include <atomic>
#include <chrono>
#include <deque>
#include <exception>
#include <functional>
#include <optional>
#include <thread>

#include "automaton.hpp"

namespace constrain {

struct BatchRow {
  const Automaton* automaton = nullptr;
  const Point* point = nullptr;
  std::uint32_t* row = nullptr;
  std::optional<std::int64_t> budget{};
  bool fits = true;
  std::exception_ptr error{};
};

class Batch {
 public:
  // Fills all rows with at most `threads` threads, the caller among them (0: as many as there are cores). A row that fails is
  // all zero; the error of the first one is thrown after all were filled.
  static void fill(std::vector<BatchRow>& rows, unsigned threads = 0) {
    Batch(rows, threads).run();
    for (const BatchRow& r : rows)
      if (r.error) std::rethrow_exception(r.error);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::microseconds kWorthThread{50};
  static constexpr std::size_t kNew = 4;  // so many rows that are not published, and no grammar's, are worth a thread on the average

  Batch(std::vector<BatchRow>& rows, unsigned threads) : rows_(rows), most_(threads) {}

  void run() {
    std::unordered_map<const Engine*, std::size_t> place;
    std::vector<std::vector<std::size_t>> groups;
    std::size_t fresh = 0;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (attempt(rows_[i], copy)) continue;
      auto [it, first] = place.try_emplace(&rows_[i].automaton->engine(), groups.size());
      if (first) groups.emplace_back();
      groups[it->second].push_back(i);
      fresh += !rows_[i].automaton->rules();
    }
    std::stable_sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
    std::function<void(bool)> turn = [&](bool eager) {
      Clock::time_point since = Clock::now();
      auto pause = [&] {
        if (most_ == 1 || next_ >= groups.size() || (!eager && Clock::now() - since < kWorthThread)) return;
        eager = false;
        start([&turn] { turn(false); });
        since = Clock::now();
      };
      if (eager && groups.size() > 1) pause();
      for (std::size_t g = next_++; g < groups.size(); g = next_++)
        for (std::size_t i : groups[g]) attempt(rows_[i], make), pause();
    };
    turn(fresh >= kNew);
    join();
  }
  static bool copy(BatchRow& r) { return !r.budget && r.automaton->fill_published(*r.point, r.row); }
  static bool make(BatchRow& r) {
    Automaton::Turn turn(*r.automaton);
    if (r.budget) r.fits = r.automaton->fill_within(*r.point, r.row, *r.budget);
    else r.automaton->fill(*r.point, r.row);
    return true;
  }
  template <class F>
  static bool attempt(BatchRow& r, F&& f) {
    try {
      return f(r);
    } catch (...) {
      r.error = std::current_exception();
      std::memset(r.row, 0, static_cast<std::size_t>(r.automaton->vocabulary()->words()) * 4);
      return true;
    }
  }

  template <class F>
  void start(F&& f) {
    std::lock_guard<std::mutex> guard(lock_);
    if (!most_) most_ = std::max(1u, std::thread::hardware_concurrency());  // takes microseconds to find out
    if (others_.size() + 1 >= most_) return;
    try {
      others_.emplace_back(std::forward<F>(f));
    } catch (const std::exception&) {  // no more threads to be had: those there are do the rest
    }
  }
  // The caller has found no more work, so that whoever runs now is in the list, or started by who is.
  void join() {
    for (std::size_t i = 0;; ++i) {
      std::unique_lock<std::mutex> guard(lock_);
      if (i == others_.size()) break;
      std::thread& other = others_[i];
      guard.unlock();
      other.join();
    }
  }

  std::vector<BatchRow>& rows_;
  std::atomic<std::size_t> most_;  // 0: not known yet
  std::atomic<std::size_t> next_{0};
  std::mutex lock_;
  std::deque<std::thread> others_;  // of which references hold while it grows
};

}  // namespace constrain
