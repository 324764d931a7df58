// Lexer states of a context-free grammar: which terminals the lexeme in progress can still become.
//
// A state is an interned list of (terminal, residual); a start state holds the terminals that the parser can take. What
// happens where a lexeme may end is the *lexing discipline*:
//
//   any       it may end wherever some terminal accepts.
//   longest   it ends at its longest match only. While the lexeme could go on without accepting, both readings are kept:
//             it goes on; or it has ended, with the *obligation* that no longer match exists. Obligations are languages
//             of which no word may come next (`Never`), or one word must (`Must`, from lookaheads of lookaheads).
//
// A match of a terminal counts only where no match of its `unless` follows, so that an `end` of a state is a set of
// terminals together with what they ask of the text that follows. Of the valid ones those of highest priority are taken.
//
// Memory: 1 KiB a visited state, until `collect`. Not thread-safe.
#pragma once
#include "chart.hpp"

namespace constrain {

class Scanner {
 public:
  static constexpr Id kDead = 0;
  static constexpr Id kUnsure = 1;  // which state it is depends on a text that an abstract one lacks (`Residuals`)
  enum Kind : Id { kNever = 0, kMust = 1 };

  struct End {
    Id terminals;    // list id, in `Chart::lists`
    Id obligations;  // list id, in `lists`
  };

  Scanner(const Rules& rules, Residuals& re, Chart& chart, Meter& meter) : g_(rules), re_(re), chart_(chart), meter_(meter) {
    state_of({});
    state_of({kNone, kNone});
  }

  ListStore lists;  // of obligations: (kind, language, unless) in turn, sorted; 0: none

  // The state before a lexeme, where the terminals of `allowed` (a list of `Chart::lists`) can be taken.
  Id start(Id allowed, bool inside_brackets) {
    std::uint64_t key = static_cast<std::uint64_t>(allowed) << 1 | inside_brackets;
    auto it = starts_.find(key);
    if (it != starts_.end()) return it->second;
    Meter::Apart apart(meter_);
    std::vector<Id> flat;
    const Id *a = chart_.lists.begin(allowed), *z = chart_.lists.end(allowed);
    for (Id t = 0; t < static_cast<Id>(g_.terminals.size()); ++t) {
      const Terminal& x = g_.terminals[t];
      if (x.kind != TerminalKind::Regex) continue;
      while (a < z && *a < t) ++a;
      bool taken = (a < z && *a == t && !(inside_brackets && t == g_.layout.newline)) || x.ignored || (inside_brackets && x.inside);
      if (taken && inside_brackets && ends_text(t)) continue;  // no text ends with open brackets
      if (taken && re_.live(x.regex)) flat.push_back(t), flat.push_back(x.regex);
    }
    return starts_[key] = state_of(flat);
  }
  Id step(Id state, int b) {
    meter_.charge();
    if (!rows_[static_cast<std::size_t>(state)]) return textual_step(state, b);
    Id known = (*rows_[static_cast<std::size_t>(state)])[static_cast<std::size_t>(b)];
    if (known != kUnknown) return known;
    Id made = find_step_of(state, b);
    return (*rows_[static_cast<std::size_t>(state)])[static_cast<std::size_t>(b)] = made;
  }
  // The state without the texts of captures, where that says enough (`Residuals::reduced`).
  Id reduced(Id state) {
    return rows_[static_cast<std::size_t>(state)] ? state : replaced(state, [&](Id r) { return re_.reduced(r); });
  }
  // The state with regular languages for captures.
  Id outlined(Id state) {
    return replaced(state, [&](Id r) { return re_.outline(r); });
  }
  // Is it without a text that decides what it can become?
  bool abstract(Id state) const {
    return any_part(state, [&](Id r) { return re_.abstract(r); });
  }
  bool captured(Id state) const {
    return any_part(state, [&](Id r) { return re_.captured(r); });
  }
  // Is any of these obligations of a capture?
  bool captured_list(Id list) const {
    if (g_.captures.empty()) return false;
    for (const Id* p = lists.begin(list); p < lists.end(list); p += 3)
      if (re_.captured(p[1])) return true;
    return false;
  }
  // `list` without what captures ask for.
  Id without_captures(Id list) {
    std::vector<std::array<Id, 3>> kept;
    for (auto& e : entries(list))
      if (!re_.captured(e[1])) kept.push_back(e);
    return pack(std::move(kept));
  }
  // (terminal, residual) in turn.
  const Id* begin(Id state) const { return parts_.begin(state); }
  const Id* end(Id state) const { return parts_.end(state); }
  Id residual(Id state, Id terminal) const {
    for (const Id* p = begin(state); p < end(state); p += 2)
      if (*p == terminal) return p[1];
    return RegexStore::kEmpty;
  }

  // The ways in which a lexeme in this state may end here; the state has read at least one byte.
  const std::vector<End>& ends(Id state) {
    if (state < static_cast<Id>(ends_.size()) && ends_known_[state]) return ends_[state];
    Meter::Apart apart(meter_);
    std::vector<End> made = find_ends(state);
    while (state >= static_cast<Id>(ends_.size())) ends_.emplace_back();
    ends_known_.resize(rows_.size(), false);
    ends_[state] = std::move(made);
    ends_known_[state] = true;
    return ends_[state];
  }
  // What a lexeme that ended before now asks for, its other reading having come to `state`: no match here or later.
  // kNone if that is refuted already. Meaningful under "longest" only.
  Id no_longer_match(Id state) {
    if (state >= static_cast<Id>(no_longer_.size())) no_longer_.resize(rows_.size(), kUnknown);
    meter_.charge();
    if (no_longer_[state] != kUnknown) return no_longer_[state];
    Meter::Apart apart(meter_);
    Id made = find_no_longer_match(state);
    return no_longer_[state] = made;
  }
  // The obligations after one more byte; kNone if one is broken.
  Id step_obligations(Id list, int b) {
    if (!list) return 0;
    std::uint64_t key = static_cast<std::uint64_t>(list) << 8 | static_cast<std::uint64_t>(b);
    const Priced* known = obligation_steps_.find(key);
    if (!known) {
      Meter::Apart apart(meter_);
      Id made = find_step(list, b);
      known = &obligation_steps_.put(key, Priced(made, apart.work()));
    }
    meter_.charge(known->price);
    return known->found;
  }
  // May the text end under these obligations?
  bool fulfilled(Id list) const {
    for (const Id* p = lists.begin(list); p < lists.end(list); p += 3)
      if (*p == kMust) return false;
    return true;
  }
  Id join(Id a, Id b) {
    if (!a || a == b) return b;
    if (!b) return a;
    std::uint64_t key = static_cast<std::uint64_t>(std::min(a, b)) << 32 | static_cast<std::uint32_t>(std::max(a, b));
    if (const Id* known = joined_.find(key)) return *known;
    std::vector<std::array<Id, 3>> all = entries(a), more = entries(b);
    all.insert(all.end(), more.begin(), more.end());
    return joined_.put(key, pack(std::move(all)));
  }
  // Bytes that obligations look at, at this point: every other byte leaves them fulfilled for good.
  bool looks_at(Id list, int b) {
    if (!list) return false;
    auto looks = [&](const Id* p, int x) { return *p == kMust || re_.live_step(p[1], x) != RegexStore::kEmpty; };
    if (captured_list(list)) {  // of which there is no end
      for (const Id* p = lists.begin(list); p < lists.end(list); p += 3)
        if (looks(p, b)) return true;
      return false;
    }
    if (list >= static_cast<Id>(looks_.size())) looks_.resize(lists.count());
    Looks& known = looks_[static_cast<std::size_t>(list)];
    if (!known.found) {
      known.found = true;
      for (std::size_t i = 0; i < lists.size(list); i += 3)
        for (int x = 0; x < 256; ++x)
          if (looks(lists.begin(list) + i, x)) put(known.at, x);
    }
    return has(known.at, b);
  }
  // Do all words that obligations forbid have a distance greater than this?
  bool farther(Id list, std::int64_t distance) {
    for (const Id* p = lists.begin(list); p < lists.end(list); p += 3)
      if (*p == kMust || re_.distance(p[1]) <= distance) return false;
    return true;
  }
  // Drops memos that have grown too large.
  void trim() {
    if (obligation_steps_.size() > kSteps) obligation_steps_.clear();
    if (textual_steps_.size() > kSteps) textual_steps_.clear();
    if (joined_.size() > kSteps) joined_.clear();
  }
  std::size_t bytes() const {
    return row_count_ * sizeof(Row) + rows_.size() * 52 + parts_.bytes() + lists.bytes() + joined_.bytes() + obligation_steps_.bytes() + textual_steps_.bytes() + looks_.size() * sizeof(Looks) + re_.bytes();
  }
  std::size_t count() const { return rows_.size(); }
  // Forgets all states and obligations but these, and numbers them afresh. For when `Chart::lists` begins anew.
  void collect(const Kept& states, const Kept& obligations) {
    Kept residuals(re_.count());
    auto need = [&](Id r) {
      if (re_.captured(r)) residuals.mark(r - Residuals::kFirst);
    };
    states.each([&](Id s) { std::for_each(begin(s), end(s), need); });
    obligations.each([&](Id list) { std::for_each(lists.begin(list), lists.end(list), need); });
    re_.collect(residuals);
    auto rename = [&](std::vector<Id>& list) {
      for (Id& r : list)
        if (re_.captured(r)) r = Residuals::kFirst + residuals(r - Residuals::kFirst);
    };
    parts_ = copied(parts_, states, rename);
    lists = copied(lists, obligations, rename);
    rows_.clear();
    row_count_ = 0;
    open_rows();
    textual_steps_.clear();
    ends_ = {};
    ends_known_ = {};
    starts_ = {};
    goes_on_ = {};
    no_longer_ = {};
    obligation_steps_ = {};
    joined_ = {};
    looks_ = {};
  }

 private:
  static constexpr Id kUnknown = -2;
  static constexpr std::size_t kSteps = 1u << 18;
  using Row = std::array<Id, 256>;

  Id find_step_of(Id state, int b) {
    Meter::Apart apart(meter_);
    std::vector<Id> flat;
    for (std::size_t i = 0; i < parts_.size(state); i += 2) {
      Id next = re_.live_step(parts_.begin(state)[i + 1], b);
      if (next == Residuals::kUnsure) return kUnsure;
      if (next != RegexStore::kEmpty) flat.push_back(parts_.begin(state)[i]), flat.push_back(next);
    }
    meter_.charge(1 + static_cast<std::int64_t>(parts_.size(state)) / 2);
    return state_of(flat);
  }
  // Of a state that a text belongs to, of which there is no end: without a row.
  Id textual_step(Id state, int b) {
    meter_.charge(8);
    std::uint64_t key = static_cast<std::uint64_t>(state) << 8 | static_cast<std::uint64_t>(b);
    if (const Id* known = textual_steps_.find(key)) return *known;
    Id made = find_step_of(state, b);
    return textual_steps_.put(key, made);
  }
  template <class F>
  Id replaced(Id state, F&& f) {
    std::vector<Id> flat(begin(state), end(state));
    for (std::size_t i = 1; i < flat.size(); i += 2) flat[i] = f(flat[i]);
    return state_of(flat);
  }
  template <class F>
  bool any_part(Id state, F&& f) const {
    if (!g_.captures.empty())
      for (const Id* p = begin(state); p < end(state); p += 2)
        if (f(p[1])) return true;
    return false;
  }
  // Rows for the states that are new.
  void open_rows() {
    for (Id s = static_cast<Id>(rows_.size()); s < static_cast<Id>(parts_.count()); ++s) {
      rows_.emplace_back();
      if (any_part(s, [&](Id r) { return re_.textual(r); })) continue;
      rows_.back() = std::make_unique<Row>();
      rows_.back()->fill(s == kUnsure ? static_cast<Id>(kUnsure) : kUnknown);
      ++row_count_;
    }
  }
  Id find_no_longer_match(Id state) {
    std::vector<std::array<Id, 3>> all;
    for (const Id* p = begin(state); p < end(state); p += 2) {
      Id unless = g_.terminals[*p].unless;
      if (re_.nullable(p[1])) {
        if (unless == kNone) return kNone;
        all.push_back({kMust, unless, kNone});
      }
      all.push_back({kNever, p[1], unless});
    }
    return pack(std::move(all));
  }
  Id find_step(Id list, int b) {
    std::vector<std::array<Id, 3>> out;
    for (auto [kind, language, unless] : entries(list)) {
      Id next = re_.live_step(language, b);
      meter_.charge();
      if (kind == kMust) {
        if (next == RegexStore::kEmpty) return kNone;
        if (!re_.nullable(next)) out.push_back({kMust, next, kNone});
        continue;
      }
      if (next == RegexStore::kEmpty) continue;
      if (re_.nullable(next)) {
        if (unless == kNone) return kNone;
        out.push_back({kMust, unless, kNone});
      }
      out.push_back({kNever, next, unless});
    }
    for (auto& e : out)  // what must come and must not
      if (e[0] == kMust && std::find(out.begin(), out.end(), std::array<Id, 3>{kNever, e[1], kNone}) != out.end()) return kNone;
    return pack(std::move(out));
  }
  Id state_of(const std::vector<Id>& flat) {
    Id id = parts_.add(flat);
    if (static_cast<Id>(rows_.size()) <= id) open_rows();
    return id;
  }
  std::vector<std::array<Id, 3>> entries(Id list) const {
    std::vector<std::array<Id, 3>> out;
    for (const Id* p = lists.begin(list); p < lists.end(list); p += 3) out.push_back({p[0], p[1], p[2]});
    return out;
  }
  // Can a match of `terminal` only be the last of a text, because no character may follow it?
  bool ends_text(Id terminal) {
    Id unless = g_.terminals[terminal].unless;
    return unless != kNone && !re_.live(re_.conj({re_.any_char(), re_.negate(unless)}));
  }
  // A `Never` whose words all have at least one byte to come; those that cannot match any more are left out.
  Id pack(std::vector<std::array<Id, 3>> all) {
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    std::vector<Id> flat;
    for (auto& e : all) {
      if (e[0] == kNever && !goes_on(e[1])) continue;
      flat.insert(flat.end(), e.begin(), e.end());
    }
    return lists.add(flat);
  }
  bool goes_on(Id r) {
    auto it = goes_on_.find(r);
    if (it != goes_on_.end()) return it->second;
    Meter::Apart apart(meter_);
    bool any = false;
    re_.each_class(r, [&](int b, int) { any = any || re_.live_step(r, b) != RegexStore::kEmpty; });
    return goes_on_[r] = any;
  }
  std::vector<End> find_ends(Id state) {
    std::vector<std::pair<Id, Id>> accepted;  // terminal, unless
    std::vector<Id> vetoes;
    for (const Id* p = begin(state); p < end(state); p += 2)
      if (re_.nullable(p[1])) {
        Id unless = g_.terminals[*p].unless;
        accepted.emplace_back(*p, unless);
        if (unless != kNone) vetoes.push_back(unless);
      }
    if (accepted.empty()) return {};
    std::sort(vetoes.begin(), vetoes.end());
    vetoes.erase(std::unique(vetoes.begin(), vetoes.end()), vetoes.end());
    if (vetoes.size() > 10) throw LimitError(static_cast<std::int64_t>(vetoes.size()), 10, "lookaheads of terminals that end at one place");
    std::vector<End> out;
    for (std::uint32_t vetoed = 0; vetoed < (1u << vetoes.size()); ++vetoed) {
      std::vector<std::array<Id, 3>> asked;
      for (std::size_t k = 0; k < vetoes.size(); ++k)
        asked.push_back(vetoed >> k & 1 ? std::array<Id, 3>{kMust, vetoes[k], kNone} : std::array<Id, 3>{kNever, vetoes[k], kNone});
      std::vector<Id> terminals;
      std::int32_t highest = INT32_MIN;
      auto valid = [&](Id unless) {
        if (unless == kNone) return true;
        std::size_t k = std::lower_bound(vetoes.begin(), vetoes.end(), unless) - vetoes.begin();
        return !(vetoed >> k & 1);
      };
      for (auto [t, unless] : accepted)
        if (valid(unless)) highest = std::max(highest, g_.terminals[t].priority);
      for (auto [t, unless] : accepted)
        if (valid(unless) && (!g_.longest || g_.terminals[t].priority == highest)) terminals.push_back(t);
      if (!terminals.empty()) out.push_back({chart_.lists.add(terminals), pack(std::move(asked))});
    }
    return out;
  }

  const Rules& g_;
  Residuals& re_;
  Chart& chart_;
  Meter& meter_;
  ListStore parts_;
  std::vector<std::unique_ptr<Row>> rows_;  // none for states that a text belongs to
  std::size_t row_count_ = 0;
  WordTable<Id> textual_steps_;
  Blocks<std::vector<End>> ends_;
  WordTable<Id> joined_;  // by two lists
  std::vector<bool> ends_known_;
  std::unordered_map<std::uint64_t, Id> starts_;
  std::unordered_map<Id, bool> goes_on_;
  std::vector<Id> no_longer_;  // by state
  struct Looks {
    bool found = false;
    ByteSet at{};
  };
  std::vector<Looks> looks_;  // by list of obligations
  WordTable<Priced> obligation_steps_;
};

}  // namespace constrain
