// Which terminals can be told apart from what follows them: the static half of liveness.
//
// Terminal t is *separable* if after any match of t every terminal u that may come next has a first byte that continues no
// match of any terminal begun at t, or if that holds for an ignored terminal that itself is separable from everything, and
// if no beginning of t leads only to matches that a terminal of higher priority takes. Then
// a shortest derivation can always be spelled out lexeme by lexeme (`RuleReader`). Under "any" only what a terminal forbids
// to follow it counts. False negatives cost time only.
//
// Cost: for each pair of terminals the product of their automata as far as both live; most pairs end at the first byte.
#pragma once
#include "rules.hpp"

namespace constrain {

class Separability {
 public:
  std::vector<bool> separable;  // by terminal
  bool all = false;             // every terminal that the parser reads

  // `starts`: first bytes of terminals that are no regexes.
  Separability(const Rules& rules, RegexStore& re, Meter& meter, const std::unordered_map<Id, ByteSet>& starts)
      : g_(rules), re_(re), meter_(meter) {
    std::size_t n = g_.terminals.size();
    separable.assign(n, false);
    std::vector<std::vector<std::uint64_t>> follow = g_.adjacency(meter);
    if (n && follow.empty()) return;
    for (std::size_t t = 0; t < n; ++t) first_.push_back(first_bytes(static_cast<Id>(t), starts));
    for (std::size_t t = 0; t < n; ++t) extending_.push_back(extending(static_cast<Id>(t)));
    std::vector<bool> spacer(n, false);  // ignored, and separable from everything
    for (std::size_t t = 0; t < n; ++t) {
      if (!regex(t) || !g_.terminals[t].ignored) continue;
      spacer[t] = prevails(t);
      for (std::size_t u = 0; u < n; ++u)
        if (g_.parsed[u] && g_.terminals[u].kind != TerminalKind::Layout) spacer[t] = spacer[t] && clean(t, u);
    }
    all = true;
    for (std::size_t t = 0; t < n; ++t) {
      separable[t] = is_separable(t, follow, spacer) && prevails(t);
      if (!separable[t] && g_.parsed[t]) all = false;
    }
  }

 private:
  bool regex(std::size_t t) const { return g_.terminals[t].kind == TerminalKind::Regex; }
  bool is_separable(std::size_t t, const std::vector<std::vector<std::uint64_t>>& follow, const std::vector<bool>& spacer) const {
    if (!regex(t) || spacer[t]) return true;
    for (std::size_t s = 0; s < g_.terminals.size(); ++s)
      if (spacer[s] && clean(t, s)) return true;
    bool anywhere = g_.terminals[t].ignored || g_.terminals[t].inside;
    for (std::size_t u = 0; u < g_.terminals.size(); ++u) {
      if (g_.terminals[u].kind == TerminalKind::Layout) continue;
      bool follows = anywhere ? static_cast<bool>(g_.parsed[u]) : follow[t][u >> 6] >> (u & 63) & 1;
      if (follows && !clean(t, u)) return false;
    }
    return true;
  }
  // Can every beginning of t be completed to a match that no terminal of higher priority matches too?
  bool prevails(std::size_t t) {
    if (!g_.longest || !regex(t)) return true;
    std::vector<Id> higher;
    for (std::size_t s = 0; s < g_.terminals.size(); ++s)
      if (regex(s) && g_.terminals[s].priority > g_.terminals[t].priority && overlap(first_[t], first_[s])) higher.push_back(g_.terminals[s].regex);
    if (higher.empty()) return true;
    Id all = g_.terminals[t].regex, own = re_.conj({all, re_.negate(re_.alt(higher))});
    std::unordered_set<std::uint64_t> seen;
    std::vector<std::pair<Id, Id>> open{{all, own}};
    while (!open.empty()) {
      auto [r, alone] = open.back();
      open.pop_back();
      if (r == alone) continue;
      if (!re_.live(alone)) return false;
      meter_.charge(4);
      for (int b = 0; b < 256; ++b) {
        if (!has(re_.alphabet(), b)) continue;
        std::pair<Id, Id> next{re_.live_step(r, b), re_.step(alone, b)};
        if (next.first == RegexStore::kEmpty) continue;
        if (seen.insert(static_cast<std::uint64_t>(next.first) << 32 | static_cast<std::uint32_t>(next.second)).second) open.push_back(next);
      }
    }
    return true;
  }
  // Has u a first byte that extends no match of t?
  bool clean(std::size_t t, std::size_t u) const {
    if (g_.terminals[u].kind == TerminalKind::Special) return true;
    for (int w = 0; w < 4; ++w)
      if (first_[u][w] & ~extending_[t][w]) return true;
    return false;
  }
  ByteSet alive(Id r) {
    ByteSet out{};
    for (int b = 0; b < 256; ++b)
      if (has(re_.alphabet(), b) && re_.live_step(r, b) != RegexStore::kEmpty) put(out, b);
    meter_.charge(16);
    return out;
  }
  ByteSet first_bytes(Id t, const std::unordered_map<Id, ByteSet>& starts) {
    if (regex(static_cast<std::size_t>(t))) return alive(g_.terminals[t].regex);
    auto it = starts.find(t);
    return it == starts.end() ? ByteSet{} : it->second;
  }
  // Bytes that may extend some match of t, as a longer match of any terminal or as a forbidden follower.
  ByteSet extending(Id t) {
    ByteSet out{};
    if (!regex(static_cast<std::size_t>(t))) return out;
    if (g_.terminals[t].unless != kNone) out = alive(g_.terminals[t].unless);
    if (!g_.longest) return out;
    std::unordered_set<std::uint64_t> seen;
    std::vector<std::pair<Id, Id>> open;
    auto meet = [&](Id r, Id s) {
      if (r == RegexStore::kEmpty || s == RegexStore::kEmpty) return;
      if (seen.insert(static_cast<std::uint64_t>(r) << 32 | static_cast<std::uint32_t>(s)).second) open.emplace_back(r, s);
    };
    for (std::size_t s = 0; s < g_.terminals.size(); ++s)
      if (regex(s) && overlap(first_[static_cast<std::size_t>(t)], first_[s])) meet(g_.terminals[t].regex, g_.terminals[s].regex);
    while (!open.empty()) {
      auto [r, s] = open.back();
      open.pop_back();
      meter_.charge(4);
      bool ends = re_.nullable(r);
      for (int b = 0; b < 256; ++b) {
        if (!has(re_.alphabet(), b)) continue;
        Id on = re_.live_step(s, b);
        if (on == RegexStore::kEmpty) continue;
        if (ends) put(out, b);
        meet(re_.live_step(r, b), on);
      }
    }
    return out;
  }
  static bool overlap(const ByteSet& a, const ByteSet& b) { return (a[0] & b[0]) | (a[1] & b[1]) | (a[2] & b[2]) | (a[3] & b[3]); }

  const Rules& g_;
  RegexStore& re_;
  Meter& meter_;
  std::vector<ByteSet> first_, extending_;
};

}  // namespace constrain
