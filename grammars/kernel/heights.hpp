// Heights: how deep the shallowest witness nests.
//
// A canonical completion must not follow a way on which every step is possible and none leads to an end: `not` of an array
// type that holds itself can be finished by an item that is of that kind again, for ever. So where there is a choice the
// completion takes what needs least nesting (document.hpp): the height of what remains falls with every container entered,
// hence the descent ends. Scalars have height 0, empty containers 1.
//
// `within(value, h)` descends h levels at most; inside a container it is reachability in the graph of formulas, so that a
// search that fails has judged every formula it met. Distinctness of items is left out of account (a height may come out too
// small there). Charged; memoised for each height. Not thread-safe.
#pragma once
#include "liveness.hpp"

namespace constrain {

class Heights : public Liveness {
 public:
  using Liveness::Liveness;

  // Has `value` a witness that nests at most `height` deep?
  bool within(Id value, Id height) {
    if (value == kAny) return true;
    if (!satisfiable(value)) return false;
    return remembered(values_within_, key_of(value, height), [&] {
      Id record = expand_id(value);
      return height > 0 ? part_within(record, kArray, height) || part_within(record, kObject, height) || scalar(record) : scalar(record);
    });
  }
  // Can the container be finished with members that nest at most `height` deep?
  bool container_within(Id f, Id seen, Id height) {
    if (f == FormulaStore::kFalse) return false;
    if (ends(f)) return true;
    Id question[3] = {f, seen, height};
    return remembered(containers_within_, static_cast<std::uint64_t>(lists.add(question, 3)), [&] {
      std::unordered_set<std::uint64_t> visited;
      return explore(f, seen, height, visited);
    });
  }
  // Can a way on be taken and the container be finished with members that nest at most `height` deep?
  bool leaf_within(const Leaf& leaf, Id seen, Id height) {
    return within(leaf.value, height) && (has(spelled_, ',') ? container_within(leaf.rest, seen, height) : ends(leaf.rest));
  }
  // The ways to satisfy a derivative, those first that need least nesting: among these what ends, what changes something, what leaves
  // least.
  std::vector<Leaf> ways(Id derivative, Id seen) {
    return remembered(ways_, key_of(derivative, seen), [&] {
      std::vector<Leaf> out = leaves(derivative, seen);
      if (out.size() < 2) return out;
      std::vector<std::pair<std::array<std::int64_t, 4>, std::size_t>> order;
      const Id height = least_height(out, seen);
      for (std::size_t i = 0; i < out.size(); ++i)
        order.push_back({{!leaf_within(out[i], seen, height), !ends(out[i].rest), out[i].rest == derivative, weight(out[i].rest)}, i});
      std::sort(order.begin(), order.end());
      std::vector<Leaf> sorted;
      for (auto& o : order) sorted.push_back(out[o.second]);
      for (const Leaf& leaf : sorted) ways_bytes_ += sizeof(Leaf) + leaf.outcome.size() * sizeof(leaf.outcome[0]);
      return sorted;
    });
  }
  // The least height with which one of these ways, of which there is one, can be taken.
  Id least_height(const std::vector<Leaf>& ways, Id seen) {
    return least([&](Id h) { return std::any_of(ways.begin(), ways.end(), [&](const Leaf& way) { return leaf_within(way, seen, h); }); });
  }
  // Does an array of this record nest no deeper than an object of it? Both must be satisfiable.
  bool array_first(Id record) {
    Id h = least([&](Id k) { return part_within(record, kArray, k) || part_within(record, kObject, k); });
    return part_within(record, kArray, h);
  }
  // A name to go on with that begins with `prefix`, chosen so that repeating the choice ends; false if none is possible.
  bool plan_name(Id f, Id seen, std::string_view prefix, std::string& out) {
    Simple s;
    if (simple(f, s)) {
      for (Id n : literal_names(f))
        if (std::binary_search(s.required.begin(), s.required.end(), n) && starts_with(name_text(n), prefix))
          return out = std::string(name_text(n)), true;
      Id names = re.run(next_names(f, seen), prefix);
      if (!re.live(names)) return false;
      out = std::string(prefix) + re.shortest(names);
      return within(bundles_value(s.bundles, out), 0) || lowest(candidates(f, seen, prefix), f, seen, out);
    }
    const std::string plan = remembered(plans_, key_of(f, seen), [&] { return lowest(candidates(f, seen, ""), f, seen, out) ? "=" + out : std::string(); });
    if (!plan.empty() && starts_with(std::string_view(plan).substr(1), prefix)) return out = plan.substr(1), true;
    if (lowest(candidates(f, seen, prefix), f, seen, out)) return true;
    Id names = re.run(next_names(f, seen), prefix);
    if (!re.live(names)) return false;
    out = std::string(prefix) + re.shortest(names);
    return true;
  }
  std::size_t bytes() const { return Liveness::bytes() + (values_within_.size() + containers_within_.size() + names_within_.size() + scalar_names_.size() + plans_.size() + ways_.size()) * 72 + ways_bytes_; }

 private:
  static constexpr int kGlance = 1000;  // nodes of a formula

  static std::uint64_t key_of(Id f, Id seen) { return (static_cast<std::uint64_t>(f) << 32) | static_cast<std::uint32_t>(seen); }
  template <class F>
  Id least(F&& possible) {
    for (Id h = 0;; ++h) {
      meter_.charge();
      if (possible(h)) return h;
      if (h >= 1000) throw LimitError(h, 1000, "depth of the search for a witness");
    }
  }
  // What a formula asks for, roughly.
  std::int64_t weight(Id f) {
    const FormulaStore::Node n = fs[f];
    if (n.kind == Bool::Literal) {
      if (n.atom == Atom::ItemCount || n.atom == Atom::PropertyCount) return 1 + n.x;
      if (n.atom == Atom::Required) return 1 + static_cast<std::int64_t>(lists.size(n.x));
      return 1;
    }
    std::int64_t w = 0;
    if (n.kind == Bool::And || n.kind == Bool::Or)
      for (Id p : fs.operands(f)) w += weight(p);
    return w;
  }
  bool scalar(Id record) {
    for (Part p : {kNull, kTrueValue, kFalseValue, kNumber, kString})
      if (part_satisfiable(record, p)) return true;
    return false;
  }
  bool part_within(Id record, Part p, Id height) {
    if (height < 1 || !part_satisfiable(record, p)) return false;
    return container_within(records_[record][p], p == kArray ? kNone : RegexStore::kEmpty, height - 1);
  }
  bool explore(Id f, Id seen, Id height, std::unordered_set<std::uint64_t>& visited) {
    if (f == FormulaStore::kFalse) return false;
    if (ends(f)) return true;
    if (!visited.insert(key_of(f, seen)).second) return false;
    Deeper deeper(*this, 3);
    if (!container_live_any(f, seen)) return false;
    if (seen == kNone) return items_within(f, height, visited);
    int left = kGlance;
    return may_finish(f, seen, height, {}, left) && members_within(f, seen, height, visited);
  }
  // Does every conjunction of the formula have an alternative whose names can be taken within `height`? Of conditions only those of
  // `simple` are looked at, so that yes may be wrong, and no is found without trying names in every order.
  bool may_finish(Id f, Id seen, Id height, std::vector<Id> known, int& left) {
    if (f == FormulaStore::kFalse) return false;
    if (--left < 0) return true;
    meter_.charge();
    Deeper deeper(*this, 1);
    std::vector<Id> alternatives;
    for (Id x : fs[f].kind == Bool::And ? fs.operands(f) : std::vector<Id>{f}) {
      Simple s;
      if (fs[x].kind == Bool::Or) alternatives.push_back(x);
      else if (simple(x, s)) known.push_back(x);
    }
    Simple s;
    const Id all = fs.conjunction(known);
    if (all == FormulaStore::kFalse || (simple(all, s) && !simple_within(s, all, seen, height))) return false;
    return std::all_of(alternatives.begin(), alternatives.end(), [&](Id x) {
      const std::vector<Id> ways = fs.operands(x);
      return std::any_of(ways.begin(), ways.end(), [&](Id way) { return may_finish(way, seen, height, known, left); });
    });
  }
  bool items_within(Id f, Id height, std::unordered_set<std::uint64_t>& visited) {
    if (!fs[f].has_unique()) return step_within(f, item_derivative(f), values_within(height), kNone, height, visited);
    return explore(assume_unique(f, true), kNone, height, visited) || explore(assume_unique(f, false), kNone, height, visited);
  }
  bool members_within(Id f, Id seen, Id height, std::unordered_set<std::uint64_t>& visited) {
    Simple s;
    if (simple(f, s)) return simple_within(s, f, seen, height);
    for (const Candidate& c : candidates(f, seen, "")) {
      Id after = seen_after(f, seen, c.name);
      if (step_within(f, settled(member_derivative(f, c.name), after), values_within(height), after, height, visited)) return true;
    }
    return false;
  }
  bool simple_within(const Simple& s, Id f, Id seen, Id height) {
    bool all = true;  // of all, whatever their order
    for (Id n : s.required) all = within(bundles_value(s.bundles, name_text(n)), height) && all;
    if (!all) return false;
    std::int64_t more = s.least - static_cast<std::int64_t>(s.required.size());
    if (more <= 0) return true;
    for (Id n : literal_names(f))
      if (!re.accepts(seen, name_text(n)) && !std::binary_search(s.required.begin(), s.required.end(), n) &&
          within(bundles_value(s.bundles, name_text(n)), height))
        --more;
    for (Id region : regions(f)) {
      Id fresh = re.conj({region, re.negate(seen)});
      if (more > 0 && re.live(fresh) && within(bundles_value(s.bundles, re.shortest(fresh)), height)) more -= re.count_words(fresh, more);
    }
    return more <= 0;
  }
  // What holds all values of a height: all, or the scalars, which decide at once what asks for containers.
  Id values_within(Id height) {
    return height > 0 ? kAny : value_of({1, 1, 1, FormulaStore::kTrue, re.text(), FormulaStore::kFalse, FormulaStore::kFalse});
  }
  // Is there a leaf that differs from `before` and from which the container can be finished?
  bool step_within(Id before, Id p, Id path_value, Id seen, Id height, std::unordered_set<std::uint64_t>& visited) {
    if (p == FormulaStore::kFalse) return false;
    meter_.charge();
    Deeper deeper(*this, 1);
    if (!fs[p].has_child()) return p != before && (has(spelled_, ',') ? explore(p, seen, height, visited) : ends(p));
    Id v = first_child(p);
    for (bool truth : {true, false}) {
      Id narrowed = value_and({path_value, truth ? v : value_not(v)});
      if (within(narrowed, height) && step_within(before, decided(p, v, truth, narrowed, nullptr), narrowed, seen, height, visited)) return true;
    }
    return false;
  }

  // A name to go on with. `kind`: the name declared, or ~r for any of the region r, of which one is as good as another.
  struct Candidate {
    std::string name;
    Id kind;
  };
  // Names to try: those declared and one of each other kind, as far as they are new and begin with `prefix`. First those whose values
  // are scalars in every branch: they tell branches apart, where containers would be compared one with the other.
  std::vector<Candidate> candidates(Id f, Id seen, std::string_view prefix) {
    std::vector<Candidate> out;
    for (Id n : literal_names(f))
      if (starts_with(name_text(n), prefix) && spell_name(name_text(n)) && !re.accepts(seen, name_text(n))) out.push_back({std::string(name_text(n)), n});
    for (Id region : regions(f)) {
      Id fresh = re.run(re.conj({region, re.negate(seen)}), prefix);
      if (re.live(fresh)) out.push_back({std::string(prefix) + re.shortest(fresh), ~region});
    }
    if (out.size() > 1) std::stable_partition(out.begin(), out.end(), [&](const Candidate& c) { return takes_scalars(f, seen, c); });
    return out;
  }
  bool takes_scalars(Id f, Id seen, const Candidate& c) {
    const Id question[3] = {f, seen, c.kind};
    return remembered(scalar_names_, static_cast<std::uint64_t>(lists.add(question, 3)), [&] {
      const std::vector<Id> values = children(settled(member_derivative(f, c.name), seen_after(f, seen, c.name)));
      return std::none_of(values.begin(), values.end(), [&](Id v) { return holds_containers(expand(v)); });
    });
  }
  static bool holds_containers(const Record& r) { return r[kArray] != FormulaStore::kFalse || r[kObject] != FormulaStore::kFalse; }
  // Can the name be taken, so that `before` becomes another formula, and the container be finished within `height`?
  bool name_within(Id before, Id f, Id seen, const Candidate& c, Id height) {
    const Id question[5] = {before, f, seen, c.kind, height};
    return remembered(names_within_, static_cast<std::uint64_t>(lists.add(question, 5)), [&] {
      std::unordered_set<std::uint64_t> visited;
      Id after = seen_after(f, seen, c.name);
      return step_within(before, settled(member_derivative(f, c.name), after), values_within(height), after, height, visited);
    });
  }
  // The name after which least nesting finishes the container, and which changes something if that is possible.
  bool lowest(const std::vector<Candidate>& names, Id f, Id seen, std::string& out) {
    auto choose = [&](Id h) {
      for (Id before : {f, kNone})
        for (const Candidate& c : names)
          if (name_within(before, f, seen, c, h)) return out = c.name, true;
      return false;
    };
    if (choose(0)) return true;
    if (std::none_of(names.begin(), names.end(), [&](const Candidate& c) { return member_possible(f, c.name, seen); })) return false;
    least(choose);
    return true;
  }

  Memos<bool> values_within_, containers_within_, names_within_, scalar_names_;
  Memos<std::vector<Leaf>> ways_;
  std::size_t ways_bytes_ = 0;
  Memos<std::string> plans_;  // "=" and the name, or "" where there is none
};

}  // namespace constrain
