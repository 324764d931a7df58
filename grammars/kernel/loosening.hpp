// What tokens see of an expression: which others have the same masks, or the same but for tokens that are long.
//
// Counters first: the same expression without them, and how long a token may be to see no difference. Let every counter r{a,b}
// with b >= L become r{a,}, where each r holds whole characters. For a text t of at most L characters the two expressions are live alike after t, and accept t alike: of a reading of t and a continuation in the loose one, the
// iterations that touch t are at most L, each taking a character of it, and those after t can be cut to the least number; so there is
// a reading in the strict one with a shorter continuation, and the same one where there is no continuation. This holds without
// complements and intersections only. An intersection with at most m characters of text is lost to a token as long as what it leaves
// can be completed within the rest, for which a bound follows from the structure of the expression (`farthest`).
//
// O(nodes of the expression), at most kLooseNodes; a function of the expression alone. Included by regex.hpp.
#pragma once

namespace constrain {

class Loosening {
 public:
  Loosening(RegexStore& re, std::int32_t few) : re_(re), few_(few) {}

  std::optional<RegexStore::Loose> of(Id q) {
    const auto& n = re_.nodes_[q];
    if (n.kind == ReKind::Repeat && re_.nodes_[n.a].is_char && n.c > 0)
      return RegexStore::Loose{re_.repeat(n.a, n.b, RegexStore::kUnbounded), n.c, true};
    if (n.kind == ReKind::And) return without_length(q);
    if (!n.simple || n.opaque || !collect(q)) return std::nullopt;
    const Id base = rewritten(q);
    if (base == q) return std::nullopt;
    return RegexStore::Loose{base, limit_, false};
  }

 private:
  static constexpr std::size_t kLooseNodes = 256;

  // An expression and at most so many characters: the expression.
  std::optional<RegexStore::Loose> without_length(Id q) {
    std::vector<Id> two = re_.conjuncts(q);
    if (two.size() != 2) return std::nullopt;
    if (re_.counts_text(two[0])) std::swap(two[0], two[1]);
    const auto [least, most] = re_.bounds(two[1]);
    const auto& n = re_.nodes_[two[0]];
    if (!re_.counts_text(two[1]) || least > 0 || most < few_ || !n.simple || n.opaque || !collect(two[0])) return std::nullopt;
    const std::int64_t left = most - farthest(two[0]);
    if (left < few_) return std::nullopt;
    return RegexStore::Loose{two[0], static_cast<std::int32_t>(left), false};
  }

  std::vector<Id> parts(Id r) const {
    const auto& n = re_.nodes_[r];
    switch (n.kind) {
      case ReKind::Cat: return {n.a, n.b};
      case ReKind::Repeat: return {n.a};
      case ReKind::Alt: return {re_.lists_.begin(n.list), re_.lists_.end(n.list)};
      case ReKind::Switch: {
        std::vector<Id> out;
        for (const Id* e = re_.lists_.begin(n.list); e != re_.lists_.end(n.list); e += 3) out.push_back(e[2]);
        return out;
      }
      default: return {};
    }
  }
  // All that `root` is made of, parts before wholes; false if that is too much.
  bool collect(Id root) {
    std::vector<std::pair<Id, bool>> stack{{root, false}};
    std::unordered_set<Id> met;
    while (!stack.empty()) {
      auto [r, done] = stack.back();
      stack.pop_back();
      if (done) {
        order_.push_back(r);
        continue;
      }
      if (!met.insert(r).second) continue;
      if (met.size() > kLooseNodes) return false;
      stack.emplace_back(r, true);
      for (Id part : parts(r)) stack.emplace_back(part, false);
    }
    return true;
  }
  // Without the counters; lowers `limit_` to the least of their bounds.
  Id rewritten(Id root) {
    std::unordered_map<Id, Id> made;
    for (Id r : order_) {
      const auto n = re_.nodes_[r];
      Id out = r;
      if (n.kind == ReKind::Cat) out = re_.cat(made[n.a], made[n.b]);
      else if (n.kind == ReKind::Repeat) {
        const bool loose = n.c >= few_ && re_.is_text(n.a);
        if (loose) limit_ = std::min(limit_, n.c);
        out = re_.repeat(made[n.a], n.b, loose ? RegexStore::kUnbounded : n.c);
      } else if (n.kind == ReKind::Alt) {
        std::vector<Id> all = parts(r);
        for (Id& part : all) part = made[part];
        out = re_.alt(std::move(all));
      } else if (n.kind == ReKind::Switch) {
        std::vector<Id> edges = re_.edges_of(r);
        for (std::size_t k = 2; k < edges.size(); k += 3) edges[k] = made[edges[k]];
        out = re_.switch_node(n.nullable, edges);
      }
      made[r] = out;
    }
    return made[root];
  }
  // Is every remainder of the expression, after whatever text, as short as this? In bytes, hence in characters too.
  std::int64_t farthest(Id root) {
    std::unordered_map<Id, std::int64_t> most;
    for (Id r : order_) {
      const auto n = re_.nodes_[r];
      std::int64_t out = re_.distance(r);
      if (n.kind == ReKind::Cat) out = std::max(most[n.a] + re_.distance(n.b), most[n.b]);
      else if (n.kind == ReKind::Repeat) out = std::max(out, most[n.a] + std::max<std::int64_t>(n.b - 1, 0) * re_.distance(n.a));
      else
        for (Id part : parts(r)) out = std::max(out, most[part]);
      most[r] = std::min<std::int64_t>(out, INT32_MAX);
    }
    return most[root];
  }

  RegexStore& re_;
  std::int32_t few_, limit_ = INT32_MAX;
  std::vector<Id> order_;
};

inline std::optional<RegexStore::Loose> RegexStore::loosened(Id q, std::int32_t few) {
  Meter::Quiet quiet(meter_);
  return Loosening(*this, few).of(q);
}

inline Id RegexStore::live_as(Id r) {
  const Node& n = nodes_[r];
  if (n.opaque || !n.simple) return kNone;
  if (n.kind == ReKind::Repeat && n.c < 0 && nodes_[n.a].is_char) return n.b ? repeat(n.a, 0, kUnbounded) : r;
  return goes_on(r) ? text_ : kNone;
}
inline bool RegexStore::goes_on(Id r) const {
  const Node& n = nodes_[r];
  if (r == text_) return true;
  if (n.kind == ReKind::Cat) return n.a == text_ && n.is_text;
  if (n.kind != ReKind::Alt || !n.is_text) return false;
  return std::any_of(lists_.begin(n.list), lists_.end(n.list), [&](Id part) { return goes_on(part); });
}
inline Id RegexStore::leading_star(Id r) const {
  const Node& n = nodes_[r];
  if (!n.simple || n.opaque) return kNone;
  if (n.kind == ReKind::Repeat) return n.c < 0 && nodes_[n.a].is_char ? r : kNone;
  if (n.kind == ReKind::Cat) return leading_star(n.a);
  Id found = kNone;
  if (n.kind == ReKind::Alt)
    for (const Id* p = lists_.begin(n.list); p != lists_.end(n.list) && found == kNone; ++p) found = leading_star(*p);
  return found;
}
inline Id RegexStore::mask_key(Id r, std::int32_t longest) {
  const Node n = nodes_[r];
  if (n.kind == ReKind::Repeat && nodes_[n.a].is_char) {
    std::int32_t lo = std::min(n.b, longest), hi = n.c < 0 ? n.c : std::min(n.c, longest);
    if (n.c > longest && hi < lo) hi = lo;
    return repeat(n.a, lo, hi);
  }
  if (n.kind == ReKind::Cat) {
    Id head = mask_key(n.a, longest);
    Id tail = mask_key(n.b, longest);
    if (head != n.a || tail != n.b) return cat(head, tail);
  }
  return r;
}

}  // namespace constrain
