// Opaque expressions: those that hold states of languages that are read elsewhere (the second half of regex.hpp).
//
// Whether an intersection or a complement with such a language has a string is undecidable in general. What is asked in
// practice is decided first: the canonical completion of a state is a string of all operands (`witness`), or becomes one with
// characters repeated at one place (`padded`), or has no room (`fits`). The rest is searched, exact or LimitError. What is canonical
// is a function of the expression alone: `find_plain` takes the nearest expressions of which the above is true.
//
// Here searches do learn about the expressions that they visit, or those without an end would be repeated for every place of a
// string: what is learnt so counts one, so that what an operation counts may depend on what was read before.
#pragma once
#include "regex.hpp"

namespace constrain {

inline bool RegexStore::begins_among(Id r, const std::vector<std::pair<std::uint32_t, std::uint32_t>>& ranges) {
  bool found = false;
  for (auto [lo, hi] : ranges)
    utf8::each_box(lo, hi, [&](const unsigned char* first, const unsigned char* last, int n) {
      found = found || begins_within(r, first, last, n);
    });
  return found;
}
inline bool RegexStore::begins_within(Id r, const unsigned char* first, const unsigned char* last, int n) {
  for (int b = *first; b <= *last; ++b) {
    Id next = live_step(r, b);
    if (next != kEmpty && (n == 1 || begins_within(next, first + 1, last + 1, n - 1))) return true;
  }
  return false;
}
inline Id RegexStore::witness(Id r) {
  if (!nodes_[r].opaque || nodes_[r].kind != ReKind::And) return kNone;
  opaque_once(r, kWitness, [&] { nodes_[r].witness = find_witness(r); });
  return nodes_[r].witness;
}
inline Id RegexStore::find_witness(Id r) {
  std::vector<Id> parts = conjuncts(r);
  Id best = kNone;
  std::string best_text;
  for (Id p : parts) {
    if (nodes_[p].kind != ReKind::Outside || (best != kNone && distance(p) > static_cast<std::int64_t>(best_text.size()))) continue;
    std::string text = shortest(p);
    bool all = true;
    for (Id q : parts) all = all && accepts(q, text);
    meter_.charge(static_cast<std::int64_t>(text.size()));
    if (all && (best == kNone || std::pair(text.size(), text) < std::pair(best_text.size(), best_text))) best = p, best_text = text;
  }
  return best;
}
inline RegexStore::Padded RegexStore::padded(Id r) {
  if (nodes_[r].kind != ReKind::And || lists_.size(nodes_[r].list) != 2) return {};
  std::vector<Id> two = conjuncts(r);
  if (nodes_[two[0]].kind != ReKind::Outside) std::swap(two[0], two[1]);
  if (nodes_[two[0]].kind != ReKind::Outside || !counts_text(two[1])) return {};
  OutsideLanguage& language = language_of(two[0]);
  std::int64_t missing = nodes_[two[1]].b - language.characters(nodes_[two[0]].b);
  if (missing <= 0 || !language.paddable(nodes_[two[0]].b)) return {};
  return {two[0], missing};
}
inline bool RegexStore::plainly_live(Id r) {
  const Node& n = nodes_[r];
  if (!n.opaque) return n.simple;
  return n.simple || n.nullable || witness(r) != kNone || n.kind == ReKind::Alt || padded(r).leaf != kNone;
}
inline bool RegexStore::fits(Id r) {
  std::int64_t least = 0, most = INT64_MAX;
  for (Id p : conjuncts(r)) {
    if (nodes_[p].kind == ReKind::Outside) least = std::max(least, bound(p));
    else if (counts_text(p) && nodes_[p].c >= 0) most = std::min<std::int64_t>(most, nodes_[p].c);
  }
  return least <= most;
}
inline bool RegexStore::opaque_live(Id root) {
  if (nodes_[root].lives) return nodes_[root].lives > 0;
  opaque_once(root, kLives, [&] {
    bool found = false;
    if (bound(root) < 0) found = false;
    else if (nodes_[root].kind == ReKind::Alt)
      for (Id p : alternatives(root)) found = found || live(p);
    else found = opaque_search(root);
    nodes_[root].lives = found ? 1 : -1;
  });
  return nodes_[root].lives > 0;
}
inline bool RegexStore::opaque_search(Id root) {
  using Open = std::tuple<std::int64_t, std::int64_t, std::size_t>;  // bound of the whole, then the deepest, then the first found
  std::priority_queue<Open, std::vector<Open>, std::greater<Open>> open;
  std::vector<std::pair<Id, std::int64_t>> order{{root, 0}};
  std::unordered_set<Id> seen{root};
  open.emplace(0, 0, 0);
  while (!open.empty()) {
    auto [r, depth] = order[std::get<2>(open.top())];
    open.pop();
    meter_.charge();
    const Node& n = nodes_[r];
    if (n.lives > 0 || plain(r)) return true;
    if (n.lives < 0 || !n.opaque || n.kind == ReKind::Alt) continue;
    each_class(r, [&](int b, int) {
      Id next = step(r, b);
      std::int64_t left = next == kEmpty ? -1 : bound(next);
      if (left < 0 || !seen.insert(next).second) return;
      order.emplace_back(next, depth + 1);
      open.emplace(saturate(depth + 1 + left), -depth, order.size() - 1);
    });
  }
  for (auto [r, depth] : order)
    if (nodes_[r].opaque) nodes_[r].lives = -1;
  return false;
}
inline std::int64_t RegexStore::opaque_distance(Id r) {
  if (nodes_[r].distance != kUnknown) return nodes_[r].distance;
  opaque_once(r, kDistance, [&] { nodes_[r].distance = find_opaque_distance(r); });
  return nodes_[r].distance;
}
inline Id RegexStore::opaque_step(Id r, int b) {
  if (!has(alphabet_, b)) return kEmpty;
  Id c = partitions_[nodes_[r].partition].cls[b];
  opaque_once(r, kStepOf + static_cast<std::uint64_t>(c), [&] {
    Id made = derive(r, b);
    rows_[static_cast<std::size_t>(nodes_[r].row) + static_cast<std::size_t>(c)] = made;
  });
  return rows_[static_cast<std::size_t>(nodes_[r].row) + static_cast<std::size_t>(c)];
}
inline std::int64_t RegexStore::find_opaque_distance(Id r) {
  const Node n = nodes_[r];
  std::int64_t d = -1;
  if (n.nullable) d = 0;
  else if (n.kind == ReKind::Outside) d = languages_[n.a]->length(n.b);
  else if (n.kind == ReKind::Alt) {
    for (Id p : alternatives(r)) {
      std::int64_t x = live(p) ? distance(p) : -1;
      if (x >= 0 && (d < 0 || x < d)) d = x;
    }
  } else if (Id w = witness(r); w != kNone) d = distance(w);
  else if (Padded p = padded(r); p.leaf != kNone) d = saturate(distance(p.leaf) + p.missing);
  else if (n.simple) return simple_distance(r);
  else return live(r) ? find_plain(r) : -1;
  return d;
}
inline std::int64_t RegexStore::find_plain(Id root) {
  struct Edge { Id from, to; std::int16_t byte; };
  std::vector<std::vector<Edge>> edges;
  std::vector<Id> layer{root};
  std::unordered_set<Id> seen{root};
  for (bool found = false; !found;) {
    std::unordered_set<Id> next;
    edges.emplace_back();
    for (Id r : layer) {
      meter_.charge();
      each_class(r, [&](int b, int) {
        Id to = step(r, b);
        if (to == kEmpty || nodes_[to].lives < 0 || bound(to) < 0 || (seen.count(to) && !next.count(to))) return;
        if (seen.insert(to).second) next.insert(to);
        found = found || plain(to);
        edges.back().push_back({r, to, static_cast<std::int16_t>(b)});
      });
    }
    layer.assign(next.begin(), next.end());
    std::sort(layer.begin(), layer.end());
    if (layer.empty()) throw std::logic_error("a live expression has no string");
  }
  std::unordered_map<Id, std::pair<std::int64_t, std::int16_t>> best;  // distance and first byte, of those on such ways
  for (std::size_t i = edges.size(); i-- > 0;)
    for (const Edge& e : edges[i]) {
      bool last = i + 1 == edges.size();
      if (last ? !plain(e.to) : !best.count(e.to)) continue;
      std::pair<std::int64_t, std::int16_t> way{saturate(1 + (last ? distance(e.to) : best[e.to].first)), e.byte};
      auto [it, fresh] = best.try_emplace(e.from, way);
      if (!fresh) it->second = std::min(it->second, way);
    }
  for (auto& [r, way] : best) nodes_[r].distance = way.first, nodes_[r].first = way.second;
  return nodes_[root].distance;
}
inline int RegexStore::opaque_first_byte(Id r, std::int64_t d) {
  const Node n = nodes_[r];
  if (n.kind == ReKind::Outside) return languages_[n.a]->next_byte(n.b);
  if (n.kind == ReKind::Alt) {
    int best = -1;
    for (Id p : alternatives(r))
      if (live(p) && distance(p) == d && (best < 0 || first_byte(p) < best)) best = first_byte(p);
    return best;
  }
  if (Id w = witness(r); w != kNone) return first_byte(w);
  if (Padded p = padded(r); p.leaf != kNone) {
    int b = language_of(p.leaf).padding(nodes_[p.leaf].b);
    return b >= 0 ? b : first_byte(p.leaf);
  }
  if (n.first >= 0) return n.first;
  for (int b = 0; b < 256; ++b) {
    Id next = has(alphabet_, b) ? step(r, b) : kEmpty;
    if (next != kEmpty && live(next) && distance(next) < d) return b;
  }
  return -1;
}
inline std::int64_t RegexStore::count_prefixes(Id root, std::int64_t cap) {
  std::int64_t found = 0, open = live(root);
  std::map<Id, std::int64_t> level{{root, open}};
  while (open && found + open < cap) {
    std::map<Id, std::int64_t> next;
    open = 0;
    for (auto [r, count] : level) {
      if (nodes_[r].nullable) found = std::min(cap, found + count);
      each_class(r, [&, r = r, count = count](int b, int width) {
        Id to = live_step(r, b);
        if (to == kEmpty) return;
        std::int64_t& total = next[to];
        total = std::min(cap, total + std::min(cap, count) * width);
      });
      meter_.charge();
    }
    for (auto [r, count] : next) open = std::min(cap, open + count);
    level.swap(next);
  }
  return std::min(cap, found + open);
}
inline Id RegexStore::outside(Id language, Id state, int left) {
  if (!state) return kEmpty;
  std::vector<Id>& known = leaves_[language];
  if (state >= static_cast<Id>(known.size())) {
    leaves_bytes_ += (static_cast<std::size_t>(state) + 64 - known.size()) * 4;
    known.resize(static_cast<std::size_t>(state) + 64, kNone);
  }
  if (known[state] == kNone) {
    Id made = intern(ReKind::Outside, languages_[language]->accepting(state), language, state, left, {});
    nodes_[made].opaque = true;
    nodes_[made].is_text = left == 0;
    leaves_[language][state] = made;
  }
  return leaves_[language][state];
}

}  // namespace constrain
