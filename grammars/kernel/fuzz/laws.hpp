// What one case must satisfy, whatever the table says: the laws of automata, checked state by state on random walks.
//
// Any error but LimitError and SourceError breaks a law, and so does an outcome that depends on what was computed before,
// except for meeting a limit.
#pragma once
#include <functional>

#include "cases.hpp"

namespace fuzz {

struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};
inline void require(bool holds, const char* law) {
  if (!holds) throw Broken(law);
}

class Laws {
 public:
  explicit Laws(const Case& c) : c_(c), blobs_(c.blobs.begin(), c.blobs.end()) {}

  // Returns the number of states checked. Throws Broken.
  std::int64_t check() {
    auto warm = vocabulary();
    Made first = make(warm);
    Random r(c_.walk);
    for (int k = 0; first.automaton && k < 2; ++k) walk(*first.automaton, r);
    std::vector<std::string> read = texts(r);
    std::vector<Reading> before = first.automaton ? readings(*first.automaton, read) : std::vector<Reading>();
    Made again = make(warm), cold = make(vocabulary());
    require(same(first, again), "compiling twice gives two outcomes");
    require(same(first, cold), "compiling cold and warm give two outcomes");
    if (first.automaton && cold.automaton) {
      compare(*first.automaton, *cold.automaton);
      compare(before, readings(*cold.automaton, read));
    }
    if (first.automaton && first.automaton->rules()) collected(*first.automaton);
    return states_;
  }
  // Work limits met by one of two equal operations alone: what is remembered is not charged again, so these are counted
  // and break no law.
  std::int64_t warmth() const { return warmth_; }
  // Where the last walk stood.
  std::string place() const {
    std::string text;
    for (std::int32_t t : path_) text += c_.tokens[static_cast<std::size_t>(t)];
    return fuzz::quoted(text);
  }

 private:
  using Row = std::vector<std::uint32_t>;
  struct Made {
    std::unique_ptr<constrain::Automaton> automaton;
    std::string outcome;
  };

  std::shared_ptr<constrain::KernelVocabulary> vocabulary() const {
    std::string data;
    std::vector<std::int32_t> offsets = {0};
    std::vector<std::uint8_t> flags;
    for (const std::string& t : c_.tokens) {
      data += t;
      offsets.push_back(static_cast<std::int32_t>(data.size()));
      flags.push_back(!t.empty());
    }
    return std::make_shared<constrain::KernelVocabulary>(data, offsets.data(), flags.data(), static_cast<std::int32_t>(c_.tokens.size()), c_.ends);
  }
  constrain::Mode documents() const {  // of documents in a grammar
    constrain::Mode m = c_.mode;
    m.raw = false;
    return m;
  }
  Made make(const std::shared_ptr<constrain::KernelVocabulary>& v) const {
    Made m;
    try {
      m.automaton = std::make_unique<constrain::Automaton>(v, c_.mode, c_.words.data(), c_.words.size(), blobs_, c_.root, c_.compile_work, c_.mask_work, documents(), c_.specials);
      m.outcome = "made";
    } catch (const constrain::LimitError& e) {
      m.outcome = std::string("limit: ") + e.what();
    } catch (const constrain::SourceError& e) {
      m.outcome = std::string("refused: ") + e.what();
    }
    return m;
  }
  // Equal outcomes, but for a limit that one of them met.
  bool same(const Made& a, const Made& b) {
    if (a.outcome == b.outcome) return true;
    ++warmth_;
    return a.outcome.rfind("limit: ", 0) == 0 || b.outcome.rfind("limit: ", 0) == 0;
  }
  // Runs `f` in a turn; false if it met a limit, or a part of the table that is refused only where it is reached.
  template <class F>
  static bool within(const constrain::Automaton& a, F f) {
    constrain::Automaton::Turn turn(a);
    try {
      f();
      return true;
    } catch (const constrain::LimitError&) {
      return false;
    } catch (const constrain::SourceError&) {
      return false;
    }
  }
  static bool bit(const Row& row, std::int32_t t) { return row[static_cast<std::size_t>(t) >> 5] >> (t & 31) & 1; }
  Row blank() const { return Row((c_.tokens.size() + 31) / 32, 0xdeadbeefu); }

  void walk(const constrain::Automaton& a, Random& r) {
    constrain::Point here = a.start();
    path_.clear();
    for (int depth = 0; depth < 12; ++depth) {
      Row row = blank();
      if (!within(a, [&] { a.fill(here, row.data()); })) {
        warmth_ += within(a, [&] { a.fill(here, row.data()); });
        return;
      }
      ++states_;
      state(a, here, row, r);
      std::vector<std::int32_t> allowed;
      for (std::int32_t t = 0; t < size(); ++t)
        if (bit(row, t) && (!is_end(a, t) || r.chance(30))) allowed.push_back(t);
      if (allowed.empty()) break;
      std::int32_t token = r.pick(allowed);
      constrain::Point next = here;
      bool legal = false;
      if (!within(a, [&] { legal = a.step(next, token); })) return;
      here = next;
      path_.push_back(token);
      if (here.ended) break;
    }
    longest_ = std::max(longest_, path_, [](const auto& x, const auto& y) { return x.size() < y.size(); });
  }

  void state(const constrain::Automaton& a, const constrain::Point& here, const Row& row, Random& r) {
    Row again = blank();
    if (within(a, [&] { a.fill(here, again.data()); })) require(again == row, "two masks of one state differ");
    for (std::int32_t t = size(); t < static_cast<std::int32_t>(row.size()) * 32; ++t) require(!bit(row, t), "a bit beyond the vocabulary");
    bool any = false, other = false, accepting = here.ended;
    within(a, [&] { accepting = accepting || a.accepting(here); });
    for (std::int32_t t = 0; t < size(); ++t) {
      constrain::Point p = here;
      bool legal = false;
      if (within(a, [&] { legal = a.step(p, t); })) {
        require(legal || !bit(row, t), "a token of the mask does not step");
        require(!legal || bit(row, t), "a token steps that the mask refuses");
      }
      any = any || bit(row, t);
      other = other || (bit(row, t) && !is_end(a, t));
      if (is_end(a, t)) require(bit(row, t) == accepting, "end tokens are allowed where the text is not accepted, or not where it is");
    }
    require(any, "a live state with an empty mask");
    for (std::int32_t t : {-1, size(), INT32_MAX, INT32_MIN}) {
      constrain::Point p = here;
      within(a, [&] { require(!a.step(p, t), "an id out of range steps"); });
    }
    bool finished = false;
    if (within(a, [&] { finished = a.finished(here); })) require(finished == (accepting && (here.ended || !other)), "finished disagrees with the mask");
    completion(a, here, row, accepting, r);
  }

  void completion(const constrain::Automaton& a, const constrain::Point& here, const Row& row, bool accepting, Random& r) {
    std::string rest, forced;
    if (!within(a, [&] { rest = a.completion(here); })) return;
    require(!accepting || rest.empty(), "an accepted text has a completion that is not empty");
    constrain::Point p = a.between_tokens(here);
    const bool spelled = !a.rules() || !a.rules()->has_specials();  // special tokens are left out of completions
    if (spelled && within(a, [&] { require(a.run(p, rest), "the completion is refused"); }))
      within(a, [&] { require(p.ended || a.accepting(p), "the completion is not accepted"); });
    if (within(a, [&] { forced = a.forced(here, 12); }))
      require(rest.compare(0, forced.size(), forced) == 0, "the completion does not begin with the forced text");
    std::int64_t distance = -1;
    if (!within(a, [&] { distance = a.distance(here); })) return;
    require(distance >= 0, "no tokens spell the completion");
    std::vector<std::int64_t> after(c_.tokens.size(), -1);  // -1: not known
    bool lowers = false, all = true;
    for (std::int32_t t = 0; t < size(); ++t) {
      if (!bit(row, t) || is_end(a, t)) continue;
      constrain::Point next = here;
      bool known = within(a, [&] { require(a.step(next, t), "a token of the mask does not step"); });
      known = known && within(a, [&] { after[t] = a.distance(next); });
      all = all && known;
      lowers = lowers || (known && after[t] < distance);
    }
    require(lowers || !all || distance == 0, "no token lowers the distance");
    for (std::int64_t budget : {std::int64_t{0}, distance, distance + r.below(3), std::int64_t{-1}, INT64_MAX}) {
      Row close = blank();
      bool fits = false;
      if (!within(a, [&] { fits = a.fill_within(here, close.data(), budget); })) continue;
      require(here.ended || fits == (budget >= distance), "fill_within reports a budget wrongly");
      for (std::int32_t t = 0; t < size(); ++t) {
        require(!bit(close, t) || bit(row, t), "a budget mask allows what the mask refuses");
        if (is_end(a, t)) require(bit(close, t) == bit(row, t), "a budget mask differs on an end token");
        else if (bit(row, t) && after[t] >= 0)
          require(bit(close, t) == (after[t] <= std::max(budget, distance) - 1), "a budget mask disagrees with the distances");
      }
    }
  }

  // The longest path again, in an engine that computed nothing but what the path needs.
  void compare(const constrain::Automaton& warm, const constrain::Automaton& cold) {
    constrain::Point here = warm.start(), there = cold.start();
    for (std::size_t i = 0; i <= longest_.size(); ++i) {
      Row row = blank(), other = blank();
      bool made = within(warm, [&] { warm.fill(here, row.data()); }), made_cold = within(cold, [&] { cold.fill(there, other.data()); });
      warmth_ += made != made_cold;
      require(!made || !made_cold || row == other, "a cold and a warm mask differ");
      if (i == longest_.size()) break;
      bool one = false, two = false;
      if (!within(warm, [&] { one = warm.step(here, longest_[i]); }) || !within(cold, [&] { two = cold.step(there, longest_[i]); })) break;
      require(one == two, "a token is legal cold or warm alone");
    }
  }

  // Texts that need not be of the language: tokens and single bytes.
  std::vector<std::string> texts(Random& r) const {
    std::vector<std::string> out;
    for (int k = 0; k < 8; ++k) {
      std::string s;
      for (std::int64_t n = r.below(12); n-- > 0;) s += r.chance(90) ? r.pick(c_.tokens) : std::string(1, static_cast<char>(r.below(256)));
      out.push_back(std::move(s));
    }
    return out;
  }
  // Bytes that can be read, and whether the text so far is accepted; -1: a limit was met.
  using Reading = std::pair<std::int64_t, bool>;
  std::vector<Reading> readings(const constrain::Automaton& a, const std::vector<std::string>& texts) const {
    std::vector<Reading> out;
    for (const std::string& text : texts) {
      Reading found{0, false};
      constrain::Point p;
      bool goes_on = true, known = within(a, [&] { p = a.between_tokens(a.start()), found.second = a.accepting(p); });
      for (std::size_t i = 0; i < text.size() && goes_on && known; ++i)
        known = within(a, [&] {
          goes_on = a.run(p, std::string_view(text).substr(i, 1));
          if (goes_on) ++found.first, found.second = a.accepting(p);
        });
      out.push_back(known ? found : Reading{-1, false});
    }
    return out;
  }
  void compare(const std::vector<Reading>& warm, const std::vector<Reading>& cold) {
    for (std::size_t k = 0; k < warm.size() && k < cold.size(); ++k) {
      bool limited = warm[k].first < 0 || cold[k].first < 0;
      warmth_ += limited && warm[k] != cold[k];
      require(limited || warm[k] == cold[k], "a text is read differently cold and warm");
    }
  }
  // A collection in the middle of the longest path: the states that are held go on as they did.
  void collected(const constrain::Automaton& a) {
    constrain::Held<2> held(a);
    held.at[0] = held.at[1] = a.start();
    for (std::int32_t token : longest_) {
      Row row = blank(), after = blank();
      bool known = within(a, [&] { a.fill(held.at[0], row.data()); });
      held.at[1] = held.at[0];
      std::uint64_t hash = 0;
      within(a, [&] { hash = a.hash(held.at[0]); });
      a.clear();
      within(a, [&] { require(a.hash(held.at[0]) == hash && a.hash(held.at[1]) == hash, "a collection changes a state's hash"); });
      known = known && within(a, [&] { a.fill(held.at[1], after.data()); });
      require(!known || row == after, "a collection changes a mask");
      bool legal = false;
      if (!within(a, [&] { legal = a.step(held.at[0], token); })) return;
      require(legal, "a collection loses a token");
    }
  }

  std::int32_t size() const { return static_cast<std::int32_t>(c_.tokens.size()); }
  static bool is_end(const constrain::Automaton& a, std::int32_t t) { return a.vocabulary()->is_end(t); }

  const Case& c_;
  std::vector<std::string_view> blobs_;
  std::vector<std::int32_t> path_, longest_;
  std::int64_t states_ = 0, warmth_ = 0;
};

}  // namespace fuzz
