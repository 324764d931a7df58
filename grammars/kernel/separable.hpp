// Which terminals can be told apart from what follows them: the static half of liveness.
//
// Terminal t is *separable* if after a match of t every terminal u that a canonical completion may go on with has a first
// byte that continues no match of any terminal begun at t, or may follow an ignored terminal of which that is true, and
// if no beginning of t leads only to matches that a terminal of higher priority takes. Then
// a shortest derivation can always be spelled out lexeme by lexeme (`RuleReader`). Under "any" only what a terminal forbids
// to follow it counts. False negatives cost time only.
//
// Cost: for each pair of terminals the product of their automata as far as both live; most pairs end at the first byte.
#pragma once
#include <map>

#include "rules.hpp"

namespace constrain {

class Separability {
 public:
  std::vector<bool> separable;  // by terminal
  bool all = false;             // every terminal that the parser reads

  Separability(const Rules& rules, Residuals& re, Meter& meter) : g_(rules), re_(re), meter_(meter) {}

  // `starts`: first bytes of terminals that are no regexes.
  void find(const std::unordered_map<Id, ByteSet>& starts) {
    std::size_t n = g_.terminals.size();
    bool forbids = g_.longest;
    for (const Terminal& t : g_.terminals) forbids = forbids || t.unless != kNone;
    separable.assign(n, !forbids);
    if ((all = !forbids)) return;
    for (std::size_t t = 0; t < n; ++t) first_.push_back(first_bytes(static_cast<Id>(t), starts));
    follow_ = g_.adjacency(meter_);
    if (n && follow_.empty()) return;
    for (std::size_t t = 0; t < n; ++t) extending_.push_back(extending(static_cast<Id>(t)));
    canonical_ = g_.canonical();
    all = !g_.refuses;
    for (std::size_t t = 0; t < n; ++t) {
      separable[t] = apart(static_cast<Id>(t), extending_[t]) || apart_at_some_end(static_cast<Id>(t));
      if (!separable[t] && g_.parsed[t]) all = false;
    }
  }
  // The terminals that extend a match of one that is canonical and not separable, as bits.
  std::vector<std::uint64_t> rivals() {
    std::vector<std::uint64_t> out;
    if (follow_.empty()) return out;
    out.assign(follow_[0].size(), 0);
    for (Id t = 0; t < static_cast<Id>(separable.size()); ++t)
      for (Id s = 0; s < static_cast<Id>(separable.size()) && canonical_[t] && !separable[t]; ++s)
        if (meet(t, s, true)) out[static_cast<std::size_t>(s) >> 6] |= 1ull << (s & 63);
    return out;
  }
  // Have t and s a match in common? `longer`: or, rather, does s go on after a match of t?
  bool meet(Id t, Id s, bool longer) {
    if (!regex(static_cast<std::size_t>(t)) || !regex(static_cast<std::size_t>(s)) || !overlap(first_[t], first_[s])) return false;
    std::unordered_set<std::uint64_t> seen;
    std::vector<std::pair<Id, Id>> open{{g_.terminals[t].regex, g_.terminals[s].regex}};
    while (!open.empty()) {
      auto [r, q] = open.back();
      open.pop_back();
      meter_.charge(4);
      if (re_.nullable(r) && (longer ? !moves(q).empty() : re_.nullable(q))) return true;
      const std::vector<Move>&here = moves(r), &there = moves(q);
      for (const Move& m : here)
        for (const Move& n : there)
          if (overlap(m.bytes, n.bytes) && seen.insert(static_cast<std::uint64_t>(m.to) << 32 | static_cast<std::uint32_t>(n.to)).second)
            open.emplace_back(m.to, n.to);
    }
    return false;
  }
  // Is t separable where, of its rivals, it competes with `among` alone?
  bool separable_among(Id t, const std::vector<std::uint64_t>& among) {
    return separable[t] || (!follow_.empty() && (apart(t, extending(t, nullptr, &among)) || apart_at_some_end(t, &among)));
  }
  // May a canonical completion go on with terminal u?
  bool canonical(Id u) const { return canonical_.empty() || canonical_[static_cast<std::size_t>(u)]; }
  // Forgets what only more of these questions would need.
  void trim() { moves_.clear(); }
  // Is terminal t apart from all that may follow it, if the bytes `more` extend it?
  bool apart(Id t, const ByteSet& more) {
    if (!regex(static_cast<std::size_t>(t))) return true;
    if (follow_.empty() || !prevails(t)) return false;
    bool anywhere = g_.terminals[t].ignored || g_.terminals[t].inside;
    for (Id u = 0; u < static_cast<Id>(g_.terminals.size()); ++u) {
      if (!canonical_[u] || g_.terminals[u].kind == TerminalKind::Layout) continue;
      bool follows = anywhere ? static_cast<bool>(g_.parsed[u]) : follow_[t][u >> 6] >> (u & 63) & 1;
      if (follows && !goes_on(u, more, t)) return false;
    }
    return true;
  }
  // May u come next where the bytes `more` would extend the lexeme t before it, at once or after an ignored lexeme?
  bool goes_on(Id u, const ByteSet& more, Id t) {
    if (begins_outside(u, more)) return true;
    auto between = [&](Id s, const ByteSet& longer) { return begins_outside(s, more) && begins_outside(u, longer) && prevails(s); };
    for (Id s = 0; s < static_cast<Id>(extending_.size()); ++s)
      if ((g_.terminals[s].ignored || (g_.terminals[t].inside && g_.terminals[s].inside)) && between(s, extending_[s])) return true;
    for (Id s : g_.spacing[t])
      if (between(s, extending_after(s, t))) return true;
    return false;
  }
  // Has u a first byte outside `more`?
  bool begins_outside(Id u, const ByteSet& more) const {
    if (g_.terminals[u].kind == TerminalKind::Special) return true;
    for (int w = 0; w < 4; ++w)
      if (first_[u][w] & ~more[w]) return true;
    return false;
  }
  // Can every beginning of t be completed to a match that no terminal of higher priority matches too?
  bool prevails(Id t) {
    if (!g_.longest || !regex(static_cast<std::size_t>(t))) return true;
    auto it = prevails_.find(t);
    return it != prevails_.end() ? it->second : prevails_[t] = find_prevails(static_cast<std::size_t>(t));
  }
  ByteSet alive(Id r) {
    ByteSet out{};
    for (int b = 0; b < 256; ++b)
      if (has(re_.alphabet(), b) && re_.live_step(r, b) != RegexStore::kEmpty) put(out, b);
    meter_.charge(16);
    return out;
  }

 private:
  bool regex(std::size_t t) const { return g_.terminals[t].kind == TerminalKind::Regex; }
  bool find_prevails(std::size_t t) {
    std::vector<Id> higher;
    for (std::size_t s = 0; s < g_.terminals.size(); ++s)
      if (regex(s) && g_.terminals[s].priority > g_.terminals[t].priority && overlap(first_[t], first_[s])) higher.push_back(g_.terminals[s].outline);
    if (higher.empty()) return true;
    if (g_.terminals[t].capture != kNone) return !re_.live(re_.conj({g_.terminals[t].outline, re_.alt(higher)}));
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
  ByteSet first_bytes(Id t, const std::unordered_map<Id, ByteSet>& starts) {
    if (regex(static_cast<std::size_t>(t))) return alive(g_.terminals[t].regex);
    auto it = starts.find(t);
    return it == starts.end() ? ByteSet{} : it->second;
  }
  // Bytes that may extend some match of t, as a longer match of any terminal or as a forbidden follower; for each residual
  // of t in which a match may end, its own go to `by_end` if that is given.
  // `among`: the terminals with which t competes, as bits; none: all.
  ByteSet extending(Id t, std::unordered_map<Id, ByteSet>* by_end = nullptr, const std::vector<std::uint64_t>* among = nullptr) {
    ByteSet out{}, forbidden{};
    if (!regex(static_cast<std::size_t>(t))) return out;
    if (g_.terminals[t].unless != kNone) out = forbidden = alive(g_.terminals[t].unless);
    if (!g_.longest) return out;
    std::unordered_set<std::uint64_t> seen;
    std::vector<std::pair<Id, Id>> open;
    auto meet = [&](Id r, Id s) {
      if (seen.insert(static_cast<std::uint64_t>(r) << 32 | static_cast<std::uint32_t>(s)).second) open.emplace_back(r, s);
    };
    auto competes = [&](std::size_t s) {
      return !among || g_.terminals[s].ignored || g_.terminals[s].inside || (*among)[s >> 6] >> (s & 63) & 1;
    };
    for (std::size_t s = 0; s < g_.terminals.size(); ++s)
      if (regex(s) && competes(s) && overlap(first_[static_cast<std::size_t>(t)], first_[s]) && !(s == static_cast<std::size_t>(t) && stops(t)))
        meet(g_.terminals[t].outline, g_.terminals[s].outline);
    while (!open.empty()) {
      auto [r, s] = open.back();
      open.pop_back();
      meter_.charge(4);
      const std::vector<Move>& there = moves(s);
      if (re_.nullable(r)) {
        for (const Move& m : there) join(out, m.bytes);
        if (by_end) {
          ByteSet& own = by_end->try_emplace(r, forbidden).first->second;
          for (const Move& m : there) join(own, m.bytes);
        }
      }
      if (r == s) {
        for (const Move& m : there) meet(m.to, m.to);
        continue;
      }
      const std::vector<Move>& here = moves(r);
      for (const Move& m : here)
        for (const Move& n : there)
          if (overlap(m.bytes, n.bytes)) meet(m.to, n.to);
    }
    return out;
  }
  // Bytes that may extend a match of s where it comes after t: of the terminals that may come there.
  const ByteSet& extending_after(Id s, Id t) {
    auto [it, fresh] = extending_after_.try_emplace({s, follow_[static_cast<std::size_t>(t)]});
    if (fresh) {
      Meter::Apart apart(meter_);
      it->second = extending(s, nullptr, &it->first.second);
    }
    return it->second;
  }
  // Has t no match that goes on where another one ends, but after what it forbids to follow?
  bool stops(Id t) const { return g_.terminals[t].capture != kNone && re_.stops(g_.terminals[t].capture); }
  // Can every beginning of t be completed to a match after which t is apart from what follows? Of captures: false.
  bool apart_at_some_end(Id t, const std::vector<std::uint64_t>* among = nullptr) {
    if (g_.terminals[t].capture != kNone) return false;
    std::unordered_map<Id, ByteSet> ends;
    extending(t, &ends, among);
    std::unordered_map<Id, std::vector<Id>> before;
    std::vector<Id> all{g_.terminals[t].regex}, good;
    std::unordered_set<Id> seen{all[0]}, reached;
    for (std::size_t k = 0; k < all.size(); ++k) {
      Id r = all[k];
      for (const Move& m : moves(r)) {
        before[m.to].push_back(r);
        if (seen.insert(m.to).second) all.push_back(m.to);
      }
      auto it = ends.find(r);
      if (it != ends.end() && apart(t, it->second) && reached.insert(r).second) good.push_back(r);
    }
    for (std::size_t k = 0; k < good.size(); ++k)
      for (Id r : before[good[k]])
        if (reached.insert(r).second) good.push_back(r);
    return reached.size() == all.size();
  }
  static void join(ByteSet& into, const ByteSet& from) {
    for (int w = 0; w < 4; ++w) into[w] |= from[w];
  }
  // The live derivatives of a regex, each with the bytes that lead to it. The reference holds for good.
  struct Move {
    ByteSet bytes;
    Id to;
  };
  const std::vector<Move>& moves(Id r) {
    auto it = moves_.find(r);
    if (it != moves_.end()) return it->second;
    std::vector<Move> made;
    std::unordered_map<Id, std::size_t> at;
    for (int b = 0; b < 256; ++b) {
      Id next = has(re_.alphabet(), b) ? re_.live_step(r, b) : RegexStore::kEmpty;
      if (next == RegexStore::kEmpty) continue;
      auto [place, added] = at.try_emplace(next, made.size());
      if (added) made.push_back({ByteSet{}, next});
      put(made[place->second].bytes, b);
    }
    meter_.charge(16);
    return moves_[r] = std::move(made);
  }
  static bool overlap(const ByteSet& a, const ByteSet& b) { return (a[0] & b[0]) | (a[1] & b[1]) | (a[2] & b[2]) | (a[3] & b[3]); }

  const Rules& g_;
  Residuals& re_;
  Meter& meter_;
  std::vector<ByteSet> first_, extending_;
  std::vector<std::vector<std::uint64_t>> follow_;
  std::vector<bool> canonical_;
  std::unordered_map<Id, bool> prevails_;
  std::map<std::pair<Id, std::vector<std::uint64_t>>, ByteSet> extending_after_;
  std::unordered_map<Id, std::vector<Move>> moves_;  // elements stay where they are
};

}  // namespace constrain
