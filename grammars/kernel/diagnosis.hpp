// Where a text leaves a language, and what may stand there: for people, so exactness is worth more than speed here.
//
// Of a grammar the *progress* is named: terminals of which a lexeme has begun and can go on, terminals that may come next, and
// rules of which a part has been read. A terminal is named only if some live reading takes it by one of the next bytes, so
// that names and bytes agree. One step for each byte value at one place of the text. Not thread-safe.
#pragma once
#include "automaton.hpp"

namespace constrain {

struct Progress {
  std::vector<Id> reading, next;  // terminals
  std::vector<Id> rules;          // nonterminals, by number
};

struct Diagnosis {
  std::int64_t viable = 0;  // bytes of the longest prefix that some accepted text begins with
  std::int64_t place = 0;   // where the character begins that is refused; `viable` between characters
  bool accepted = false;
  std::string expected;                   // bytes that may come at `place`
  std::optional<std::string> completion;  // from `place`; nothing if a limit was met
  Progress progress;                      // at `place`
};

namespace detail {

// The terminals of lexemes in progress in a configuration, by whether a byte began them or went on with them.
inline void take_terminals(RuleReader& r, Id before, Id after, int b, std::vector<bool>& reading, std::vector<bool>& next) {
  Residuals& re = r.regexes();
  std::vector<bool> taken(r.g.terminals.size(), false);
  for (const Readings::Alternative& a : r.alternatives(after)) {
    if (a.phase == Readings::kEmbedded) taken[r.document(a).terminal] = true;
    else
      for (const Id* p = r.scan.begin(a.state); p < r.scan.end(a.state); p += 2) taken[*p] = true;
  }
  for (const Readings::Alternative& a : r.alternatives(before)) {
    if (a.phase == Readings::kEmbedded && taken[r.document(a).terminal]) reading[r.document(a).terminal] = true;
    if (a.phase == Readings::kInside)
      for (const Id* p = r.scan.begin(a.state); p < r.scan.end(a.state); p += 2)
        if (taken[*p] && re.live_step(p[1], b) != RegexStore::kEmpty) reading[*p] = true;
    r.each_end(a, [&](Id, const Readings::Place& p) {
      for (Id t = 0; t < static_cast<Id>(taken.size()); ++t) {
        const Terminal& x = r.g.terminals[t];
        if (!taken[t] || !(r.chart.allows(p.set, t) || x.ignored)) continue;
        if (x.kind == TerminalKind::Json || (x.kind == TerminalKind::Regex && re.live_step(x.regex, b) != RegexStore::kEmpty)) next[t] = true;
      }
    });
  }
}

}  // namespace detail

// Needs a Turn.
inline Progress progress_at(const Automaton& a, const Point& p, const std::string& expected) {
  Progress out;
  RuleReader* r = a.rules();
  if (!r || p.ended) return out;
  std::size_t count = r->g.terminals.size();
  std::vector<bool> reading(count, false), next(count, false);
  for (char c : expected) {
    int b = static_cast<unsigned char>(c);
    detail::take_terminals(*r, p.config.a, r->step(p.config.a, b), b, reading, next);
  }
  for (auto& [token, terminals] : r->specials())
    if (r->step_special(p.config.a, token))
      for (const Readings::Alternative& x : r->alternatives(p.config.a))
        for (const Readings::Place& place : r->places(x))
          for (Id t : terminals)
            if (r->chart.allows(place.set, t)) next[t] = true;
  bool wanted = false;  // beside what may stand anywhere
  for (std::size_t t = 0; t < count; ++t) wanted = wanted || (next[t] && !r->g.terminals[t].ignored);
  for (std::size_t t = 0; t < count; ++t) {
    if (reading[t]) out.reading.push_back(static_cast<Id>(t));
    if (next[t] && (!wanted || !r->g.terminals[t].ignored)) out.next.push_back(static_cast<Id>(t));
  }
  std::vector<std::vector<Id>> heads;  // by reading, sorted: their order is that of no memo
  auto take = [&](Id set) {
    heads.emplace_back();
    r->chart.each_head(set, [&](Id head) { heads.back().push_back(head - static_cast<Id>(count)); });
  };
  for (const Readings::Alternative& x : r->alternatives(p.config.a)) {
    take(x.set);
    if (!out.reading.empty() || x.phase == Readings::kFresh) continue;
    r->each_end(x, [&](Id, const Readings::Place& place) { take(place.set); });
  }
  std::sort(heads.begin(), heads.end());
  for (const std::vector<Id>& some : heads)
    for (Id n : some)
      if (std::find(out.rules.begin(), out.rules.end(), n) == out.rules.end()) out.rules.push_back(n);
  return out;
}

// The bytes that may come at a point between bytes.
inline std::string bytes_at(const Automaton& a, const Point& p) {
  std::string out;
  for (int b = 0; b < 256; ++b) {
    Point q = p;
    char c = static_cast<char>(b);
    if (!p.ended && a.engine().reader.spells(b) && a.run(q, std::string_view(&c, 1))) out.push_back(c);
  }
  return out;
}

// Reads `text` from the start, once. Needs a Turn; `renew` is called for each byte.
template <class F>
Diagnosis diagnose(const Automaton& a, std::string_view text, F&& renew) {
  Diagnosis out;
  Held<3> held(a);
  auto& [p, character, before] = held.at;
  p = character = a.between_tokens(a.start());
  for (; out.viable < static_cast<std::int64_t>(text.size()); ++out.viable, renew()) {
    std::string_view byte = text.substr(static_cast<std::size_t>(out.viable), 1);
    bool begins = (byte[0] & 0xC0) != 0x80;
    before = p;
    if (begins) out.place = out.viable;
    if (begins && (byte[0] & 0x80)) character = p;
    if (a.run(p, byte)) continue;
    p = begins ? before : character;
    break;
  }
  if (out.viable == static_cast<std::int64_t>(text.size())) {
    out.place = out.viable;
    out.accepted = a.accepting(p);
  }
  if (out.accepted) return out;
  renew();
  out.expected = bytes_at(a, p);
  renew();
  out.progress = progress_at(a, p, out.expected);
  renew();
  try {
    out.completion = a.completion_between_bytes(p);
  } catch (const LimitError&) {
  }
  return out;
}

}  // namespace constrain
