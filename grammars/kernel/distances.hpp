// Distances: bytes of a shortest string of an expression (a part of regex.hpp).
//
// What holds no Boolean operation is known by its structure. Else a lower bound is, and most expressions keep it (`tight`): one
// way down is followed, and what lies on it is known for the next. The others are searched, each on its own: a search that took
// what others found would cost more or less by what was read before.
#pragma once
#include "regex.hpp"

namespace constrain {

inline std::int64_t RegexStore::simple_distance(Id r) {
  const Node n = nodes_[r];
  std::int64_t d = -1;
  switch (n.kind) {
    case ReKind::Empty: d = -1; break;
    case ReKind::Epsilon: d = 0; break;
    case ReKind::Cat: d = saturate(distance(n.a) + distance(n.b)); break;
    case ReKind::Repeat: {
      std::int64_t one = distance(n.a);
      d = n.b == 0 ? 0 : one > (INT64_MAX / 4) / n.b ? INT64_MAX / 4 : one * n.b;
      break;
    }
    case ReKind::Alt:
      for (const Id* p = lists_.begin(n.list); p != lists_.end(n.list); ++p) {
        std::int64_t x = distance(*p);
        if (d < 0 || x < d) d = x;
      }
      break;
    case ReKind::Switch: d = n.nullable ? 0 : switch_distance(r); break;
    default: break;
  }
  nodes_[r].distance = d;
  return d;
}
// A chain of switches may be as long as a literal: an explicit stack instead of recursion.
inline std::int64_t RegexStore::switch_distance(Id root) {
  std::vector<Id> stack{root};
  while (!stack.empty()) {
    Id r = stack.back();
    if (nodes_[r].distance != kUnknown) {
      stack.pop_back();
      continue;
    }
    bool ready = true;
    std::int64_t d = nodes_[r].nullable ? 0 : -1;
    std::vector<Id> edges = edges_of(r);
    for (std::size_t k = 2; k < edges.size(); k += 3) {
      Id c = edges[k];
      if (nodes_[c].distance == kUnknown) {
        if (nodes_[c].kind == ReKind::Switch) {
          stack.push_back(c);
          ready = false;
          continue;
        }
        distance(c);
      }
      std::int64_t x = nodes_[c].distance < 0 ? -1 : saturate(nodes_[c].distance + weight(edges[k - 2]));
      if (x > 0 && (d < 0 || x < d)) d = x;
    }
    if (ready) nodes_[r].distance = d;
  }
  return nodes_[root].distance;
}
inline std::int64_t RegexStore::find_bound(Id r) {
  const Node n = nodes_[r];
  std::int64_t d = 0;
  if (n.nullable) d = 0;
  else if (n.simple && !n.opaque) d = distance(r);
  else if (n.kind == ReKind::Outside) d = languages_[n.a]->bound(n.b);
  else if (n.kind == ReKind::Cat) d = add(bound(n.a), bound(n.b));
  else if (n.kind == ReKind::Repeat) d = n.b == 0 ? 0 : add(bound(n.a), n.b - 1);
  else if (n.kind == ReKind::Switch) d = by_characters_ ? 3 : 1;
  else if (n.kind == ReKind::Alt) {
    d = -1;
    for (std::size_t i = 0; i < lists_.size(n.list); ++i) {
      std::int64_t x = bound(lists_.begin(n.list)[i]);
      if (x >= 0 && (d < 0 || x < d)) d = x;
    }
  } else if (n.kind == ReKind::And) {
    for (std::size_t i = 0; i < lists_.size(n.list) && d >= 0; ++i) {
      std::int64_t x = bound(lists_.begin(n.list)[i]);
      d = x < 0 ? -1 : std::max(d, x);
    }
    if (n.opaque && !fits(r)) d = -1;
  }
  return d;
}

// Is the distance of `root` plainly its bound? So it is if it ends, or if the first byte that leads to a bound smaller by that
// byte leads to an expression of which that is true: most intersections are, and each expression on the way is asked once.
inline bool RegexStore::tight(Id root) {
  std::vector<std::pair<Id, std::int64_t>> path;  // with what its own step counted
  int found = 0;
  std::int64_t after = 0;  // work of the rest of the way, the last expression known already
  for (Id r = root; !found;) {
    const Node& n = nodes_[r];
    if (bound(r) < 0) found = -1;
    else if (n.nullable || n.simple || n.kind == ReKind::Path) found = 1;
    else if (n.search != kNone && searches_[n.search].tight) found = searches_[n.search].tight, after = searches_[n.search].way;
    if (found) break;
    Meter::Apart apart(meter_);
    meter_.charge();
    Id next = kEmpty;
    std::int64_t d = bound(r);
    each_class(r, [&](int b, int) {
      if (next != kEmpty) return;
      Id to = step(r, b);
      if (to != kEmpty && bound(to) >= 0 && bound(to) + weight(b) == d) next = to;
    });
    path.emplace_back(r, apart.work());
    if (static_cast<std::int64_t>(path.size()) > kLongWay) meter_.pay({static_cast<std::int32_t>(path.size()), static_cast<std::int32_t>(path.size())}, 0);
    r = next;
    if (next == kEmpty) found = -1;
  }
  while (!path.empty()) {
    auto [r, work] = path.back();
    path.pop_back();
    after += work;
    Search& s = search_of(r);
    s.tight = found > 0 ? 1 : -1, s.way = after;
  }
  std::int32_t work = static_cast<std::int32_t>(std::min<std::int64_t>(after, INT32_MAX));
  meter_.pay({work, work}, 1 + work / kSharedWay);
  return found > 0;
}

// A* over derivatives with `bound` (Hart, Nilsson and Raphael 1968), deepest first among equals.
inline std::int64_t RegexStore::search_distance(Id root) {
  struct Seen {
    Id node;
    std::int64_t depth;
  };
  struct Open {
    std::int64_t total, depth;
    Id at;
    bool operator<(const Open& o) const {
      return total != o.total ? total > o.total : depth != o.depth ? depth < o.depth : at > o.at;
    }
  };
  std::vector<Seen> order;
  std::unordered_map<Id, Id> place;  // node -> its entry in `order`
  std::priority_queue<Open> open;
  auto offer = [&](Id node, std::int64_t depth) {
    std::int64_t left = bound(node);
    if (left < 0) return;
    auto [it, fresh] = place.try_emplace(node, static_cast<Id>(order.size()));
    if (fresh) order.push_back({node, depth});
    else if (depth < order[it->second].depth) order[it->second].depth = depth;
    else return;
    open.push({saturate(depth + left), depth, it->second});
  };
  offer(root, 0);
  std::int64_t best = INT64_MAX;
  while (!open.empty() && open.top().total < best) {
    Open top = open.top();
    open.pop();
    Seen here = order[top.at];
    if (top.depth > here.depth) continue;
    meter_.charge();
    const Node& n = nodes_[here.node];
    std::int64_t left = n.nullable ? 0 : n.simple ? distance(here.node) : n.kind == ReKind::Path ? n.distance : kUnknown;
    if (left == -1) continue;
    if (left >= 0) {
      best = std::min(best, saturate(here.depth + left));
      continue;
    }
    each_class(here.node, [&](int b, int) {
      Id next = step(here.node, b);
      if (next != kEmpty) offer(next, here.depth + weight(b));
    });
  }
  return best == INT64_MAX ? -1 : best;
}

}  // namespace constrain
