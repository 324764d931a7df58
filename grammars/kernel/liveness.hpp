// Liveness: what a container in progress may go on with, and whether it can be finished.
//
// Containers are read member by member. `resolve` turns a derivative (values.hpp) into the demand on the member being
// read (its goal), and, only where the outcome of a sub-formula matters later, into a list of pending sub-values whose
// truth the child reports when it ends. A schema without alternatives has no pending values and its derivative is
// decided before the child begins.
//
// `satisfiable(value)` is exact: the least fixed point over the finite witnesses. It is charged; negative answers
// that rest on an unfinished ancestor are not memoised. What an answer cost is remembered with it, and paid for again by whoever
// asks. An answer that looked at an unfinished ancestor cost what it did because of that ancestor; it is forgotten when the ancestor
// is finished, so that every cost kept is a function of the question alone. Not thread-safe.
#pragma once
#include <deque>

#include "values.hpp"

namespace constrain {

// What a derivative demands: `goal` of the child; `rest` of the container afterwards, still with Child atoms when
// `pending` (a list of values to report on) is not the empty list 0. goal == kFalse: the member is impossible.
struct Demand {
  Id goal = FormulaStore::kFalse, rest = FormulaStore::kFalse, pending = 0;
};
// One way to satisfy a derivative: truth of some children, and what remains then.
struct Leaf {
  std::vector<std::pair<Id, bool>> outcome;
  Id value, rest;
};

class Liveness : public ValueStore {
 public:
  using ValueStore::ValueStore;
  virtual ~Liveness() = default;

  // ------------------------------------------------------------------ demands
  // `seen`: trie of the names used up (kNone: an array).
  Demand resolve(Id derivative, Id seen) {
    if (derivative == FormulaStore::kFalse) return {};
    std::uint64_t key = (static_cast<std::uint64_t>(derivative) << 32) | static_cast<std::uint32_t>(seen);
    return remembered(demands_, key, [&] { return resolve_new(derivative, seen); });
  }
  // Every way of satisfying `derivative`, most promising first.
  std::vector<Leaf> leaves(Id derivative, Id seen) {
    std::vector<Leaf> out;
    std::vector<std::pair<Id, bool>> path;
    gather(derivative, kAny, seen, path, out);
    return out;
  }

  // ------------------------------------------------------------------ satisfiability
  bool satisfiable(Id v) {
    if (v == kAny) return true;
    if (v == kNever) return false;
    return fixed_point(sat_, static_cast<std::uint64_t>(v), 3, [&] { return record_satisfiable(expand_id(v)); });
  }
  bool part_satisfiable(Id record, Part p) {
    Id x = records_[record][p];
    const ByteSet& a = spelled_;
    switch (p) {
      case kNull: return x && spell("null");
      case kTrueValue: return x && spell("true");
      case kFalseValue: return x && spell("false");
      case kNumber: {
        if (x == FormulaStore::kFalse) return false;
        Id s = numbers.start(x, {}, plain_numbers);
        return s != NumberMachine::kDead && numbers.alive(s);
      }
      case kString: return x != RegexStore::kEmpty && has(a, '"') && re.live(x);
      case kArray: return x != FormulaStore::kFalse && has(a, '[') && has(a, ']') && array_live(x);
      default:
        return x != FormulaStore::kFalse && has(a, '{') && has(a, '}') && object_live(x, RegexStore::kEmpty);
    }
  }
  Id record_id(Id v) { return v == kAny ? any_record_ : v == kNever ? no_record_ : expand_id(v); }

  bool array_live(Id f) {
    if (f == FormulaStore::kFalse) return false;
    if (ends(f)) return true;
    return container_live(f, kNone);
  }
  bool object_live(Id f, Id seen) {
    if (f == FormulaStore::kFalse) return false;
    if (f == FormulaStore::kTrue) return true;
    Simple s;
    if (simple(f, s)) return simple_live(s, seen);
    if (ends(f)) return true;
    return container_live(f, seen);
  }
  bool container_live_any(Id f, Id seen) { return seen == kNone ? array_live(f) : object_live(f, seen); }

  Id only_strings(Id words) {
    return value_of({0, 0, 0, FormulaStore::kFalse, words, FormulaStore::kFalse, FormulaStore::kFalse});
  }

  // ------------------------------------------------------------------ which names may come next
  // The names that may come next, whether used up already or not.
  Id allowed_names(Id f, Id seen) {
    if (!has(spelled_, '"') || !has(spelled_, ':')) return RegexStore::kEmpty;
    Simple s;
    if (simple(f, s)) return simple_names(f, s, seen);
    std::uint64_t key = (static_cast<std::uint64_t>(f) << 32) | static_cast<std::uint32_t>(seen);
    return remembered(names_memo_, key, [&] {
      std::vector<std::string_view> good;
      for (Id n : literal_names(f))
        if (!re.accepts(seen, name_text(n)) && member_possible(f, name_text(n), seen)) good.push_back(name_text(n));
      std::vector<Id> parts{re.strings(good)};
      for (Id region : regions(f)) {
        Id fresh = re.conj({region, re.negate(seen)});
        if (re.live(fresh) && member_possible(f, re.shortest(fresh), seen)) parts.push_back(region);
      }
      return re.alt(parts);
    });
  }
  // Is every name with this prefix allowed except known ones? Then `known` gets the declared and the used-up names with
  // the prefix, and `other` a name that is none of them. May say no wrongly (costs time), never yes wrongly.
  bool open_names(Id f, Id seen, const std::string& prefix, std::vector<std::string>& known, std::string& other) {
    Simple s;
    if (!has(spelled_, ',') || !simple(f, s) || static_cast<Id>(s.required.size()) >= s.most || (source_order && (!s.required.empty() || s.least > 1))) return false;
    if (re.run(re.text(), prefix) != re.text()) return false;
    std::vector<Id> all = regions(s.bundles);
    if (all.size() != 1 || !satisfiable(bundles_value(s.bundles, re.shortest(all[0]))) || has_patterns(s.bundles)) return false;
    std::unordered_set<std::string> found;
    for (Id n : literal_names(f))
      if (starts_with(name_text(n), prefix)) found.emplace(name_text(n));
    re.each_word(re.run(seen, prefix), prefix, [&](const std::string& word) { found.insert(word); });
    known.assign(found.begin(), found.end());
    int suffix = 0;
    do other = prefix + "~" + std::to_string(suffix++);
    while (found.count(other));
    return true;
  }
  // A partition of the names that are no literal of `f` by the patterns they match.
  std::vector<Id> regions(Id f) {
    return remembered(regions_, static_cast<std::uint64_t>(f), [&] { return find_regions(f); });
  }
  std::vector<Id> find_regions(Id f) {
    std::vector<Id> patterns;
    std::vector<std::string_view> literals;
    for (Id n : literal_names(f)) literals.push_back(name_text(n));
    visit(f, [&](const FormulaStore::Node& n) {
      if (n.atom == Atom::Properties)
        for (auto [names, value] : property_bundles_[n.x].patterns) patterns.push_back(names);
      if (n.atom == Atom::Unevaluated)
        for (const auto& branch : unevaluated_bundles_[n.x].branches) patterns.insert(patterns.end(), branch.patterns.begin(), branch.patterns.end());
      if (n.atom == Atom::PropertyCount && lists.begin(n.y)[0] != kNone) patterns.push_back(lists.begin(n.y)[0]);
    });
    re.sort(patterns);
    std::vector<Id> out{re.conj({re.text(), re.negate(re.strings(literals))})};
    for (Id p : patterns) {
      std::vector<Id> split;
      for (Id r : out)
        for (Id side : {re.conj({r, p}), re.conj({r, re.negate(p)})})
          if (re.live(side)) split.push_back(side);
      meter_.charge(static_cast<std::int64_t>(split.size()));
      out.swap(split);
    }
    if (patterns.empty() && !re.live(out[0])) out.clear();
    return out;
  }
  Id next_names(Id f, Id seen) {
    Id a = allowed_names(f, seen);
    return seen == RegexStore::kEmpty ? a : re.conj({a, re.negate(seen)});
  }
  // Names used up once `key` was read: itself, and under source order all declared before it.
  Id seen_after(Id f, Id seen, std::string_view key) {
    if (source_order) {
      std::vector<Id> order = literal_names(f);
      std::size_t at = order.size();
      for (std::size_t i = 0; i < order.size(); ++i)
        if (name_text(order[i]) == key) at = i;
      for (std::size_t i = 0; i < at; ++i)
        if (!re.accepts(seen, name_text(order[i]))) seen = re.insert_string(seen, name_text(order[i]));
    }
    return re.insert_string(seen, key);
  }
  Demand member_demand(Id f, Id seen_after_key, std::string_view key) {
    return resolve(settled(member_derivative(f, key), seen_after_key), seen_after_key);
  }
  std::size_t bytes() const {
    return ValueStore::bytes() + (sat_.size() + demands_.size() + names_memo_.size() + live_.size() + required_memo_.size() + possible_.size()) * 72;
  }

 protected:
  // ------------------------------------------------------------------ what is remembered, and what it cost
  static constexpr int kNothing = INT32_MAX;
  // An answer; `height`: levels of recursion that it took; `touched`: the topmost unfinished ancestor that was looked at.
  template <class T>
  struct Memo {
    T value{};
    Meter::Cost cost;
    std::int32_t height = 0;
    int touched = kNothing;
  };
  template <class T>
  using Memos = std::unordered_map<std::uint64_t, Memo<T>>;

  // Counts apart what is done while it is alive.
  class Unit {
   public:
    explicit Unit(Liveness& l)
        : l_(l), apart_(l.meter_), touched_(l.touched_), deepest_(l.deepest_), cut_(l.cut_), units_(l.units_) {
      l.touched_ = l.cut_ = kNothing;
      l.deepest_ = l.depth_;
      ++l.units_;
    }
    ~Unit() {
      l_.units_ = units_;
      l_.touched_ = std::min(l_.touched_, touched_);
      l_.deepest_ = std::max(l_.deepest_, deepest_);
      l_.cut_ = std::min(l_.cut_, cut_);
    }
    template <class T>
    Memo<T> memo(T value) const {
      return {std::move(value), apart_.cost(), l_.deepest_ - l_.depth_, l_.touched_};
    }

   private:
    Liveness& l_;
    Meter::Apart apart_;
    int touched_, deepest_, cut_, units_;
  };
  // Inside a search the price is the whole cost, or a search of exponentially many formulas would cost next to nothing; but of
  // values, which are only as many as the source and its combinations hold, the usual share. What was asked just before costs one.
  // `kept`: it need not be found again.
  template <class T>
  void pay(const Memos<T>& memos, std::uint64_t key, const Memo<T>& m, bool kept = true) {
    if (depth_ + m.height > Deeper::kMost) throw LimitError(depth_ + m.height, Deeper::kMost, "depth of the search for a witness");
    deepest_ = std::max(deepest_, depth_ + m.height);
    touched_ = std::min(touched_, m.touched);
    const bool again = kept && meter_.again(&memos, key), share = kept && (!units_ || static_cast<const void*>(&memos) == &sat_);
    meter_.pay(m.cost, again ? 1 : share ? Meter::price(m.cost.work) : (units_ > 0) + m.cost.work);
  }
  // The answer to a question, found once. `certain`: an answer that rests on nothing unfinished, whatever was looked at.
  template <class T, class F, class C>
  T remembered(Memos<T>& memos, std::uint64_t key, F&& find, C&& certain) {
    auto it = memos.find(key);
    if (it != memos.end()) return pay(memos, key, it->second), it->second.value;
    Memo<T> made;
    bool stable;
    {
      Unit unit(*this);
      T value = find();
      stable = cut_ == kNothing || certain(value);
      made = unit.memo(std::move(value));
    }
    pay(memos, key, made, stable);
    if (stable) keep(memos, key, made);
    return made.value;
  }
  template <class T, class F>
  T remembered(Memos<T>& memos, std::uint64_t key, F&& find) {
    return remembered(memos, key, std::forward<F>(find), [](const T&) { return false; });
  }
  // As `remembered`, for a question that may be met again on the way: then the least fixed point says no for now.
  template <class F>
  bool fixed_point(Memos<bool>& memos, std::uint64_t key, int levels, F&& find) {
    auto it = memos.find(key);
    if (it != memos.end()) return pay(memos, key, it->second), it->second.value;
    auto [busy, fresh] = busy_.try_emplace({&memos, key}, depth_ + 1);
    if (!fresh) {
      cut_ = std::min(cut_, busy->second);
      touched_ = std::min(touched_, busy->second);
      meter_.charge();
      return false;
    }
    Memo<bool> made;
    bool stable = false;
    std::size_t before = provisional_.size();
    try {
      Unit unit(*this);
      bool yes;
      {
        Deeper deeper(*this, levels);
        yes = find();
      }
      if (yes || cut_ > depth_) cut_ = kNothing, stable = true;  // rests on nothing above
      if (touched_ > depth_) touched_ = kNothing;
      made = unit.memo(yes);
    } catch (...) {
      busy_.erase({&memos, key});
      release(before, 0);
      throw;
    }
    busy_.erase({&memos, key});
    release(before, depth_ + 1);
    pay(memos, key, made, stable);
    if (stable) keep(memos, key, made);
    return made.value;
  }
  template <class T>
  void keep(Memos<T>& memos, std::uint64_t key, const Memo<T>& made) {
    memos.emplace(key, made);
    if (made.touched != kNothing) provisional_.push_back({made.touched, [&memos, key] { memos.erase(key); }});
  }
  // Forgets answers that looked at an ancestor of this depth, which is finished.
  void release(std::size_t first, int depth) {
    std::size_t kept = first;
    for (std::size_t i = first; i < provisional_.size(); ++i) {
      if (provisional_[i].touched >= depth) provisional_[i].forget();
      else if (kept++ != i) provisional_[kept - 1] = std::move(provisional_[i]);
    }
    provisional_.resize(kept);
  }

  // One level of a recursion, by the stack it takes.
  struct Deeper {
    static constexpr int kMost = 12000;
    int& depth;
    int weight;
    Deeper(Liveness& l, int weight_) : depth(l.depth_), weight(weight_) {
      if (depth + weight > kMost) throw LimitError(depth + weight, kMost, "depth of the search for a witness");
      depth += weight;
      l.deepest_ = std::max(l.deepest_, depth);
    }
    ~Deeper() { depth -= weight; }
    Deeper(const Deeper&) = delete;
  };

  bool record_satisfiable(Id record) {
    meter_.charge();
    for (Part p : {kNull, kTrueValue, kFalseValue, kNumber, kString, kArray, kObject})
      if (part_satisfiable(record, p)) return true;
    return false;
  }

  // ------------------------------------------------------------------ demands
  Demand resolve_new(Id p, Id seen) {
    meter_.charge();
    if (!fs[p].has_child()) return rest_live(p, kAny, seen) ? Demand{narrowed(p, kAny), p, 0} : Demand{};
    // the usual case: a conjunction whose Child atoms stand directly in it
    std::vector<Id> parts = fs[p].kind == Bool::And ? fs.operands(p) : std::vector<Id>{p};
    std::vector<Id> goals, rest;
    bool direct = true;
    for (Id x : parts) {
      const FormulaStore::Node& n = fs[x];
      if (!n.has_child()) rest.push_back(x);
      else if (n.kind == Bool::Literal && n.atom == Atom::Child) goals.push_back(n.negated ? value_not(n.x) : n.x);
      else direct = false;
    }
    if (direct) {
      Id goal = value_and(goals), left = fs.conjunction(rest);
      if (!satisfiable(goal) || !rest_live(left, goal, seen)) return {};
      return {narrowed(left, goal), left, 0};
    }
    std::vector<Leaf> found = leaves(p, seen);
    if (found.empty()) return {};
    bool same = true;
    for (const Leaf& l : found) same &= l.rest == found[0].rest;
    std::vector<Id> ways;
    for (const Leaf& l : found) ways.push_back(l.value);
    Id goal = value_or(ways);
    if (same) return {goal, found[0].rest, 0};
    return {goal, p, lists.add(children(p))};
  }
  // Shannon expansion over the Child atoms, cut where the path is unsatisfiable or the rest is dead.
  void gather(Id p, Id path_value, Id seen, std::vector<std::pair<Id, bool>>& path, std::vector<Leaf>& out) {
    if (p == FormulaStore::kFalse) return;
    meter_.charge();
    Deeper deeper(*this, 1);
    if (!fs[p].has_child()) {
      if (rest_live(p, path_value, seen)) out.push_back({path, narrowed(p, path_value), p});
      return;
    }
    Id v = first_child(p);
    for (bool truth : {true, false}) {
      Id narrowed = value_and({path_value, truth ? v : value_not(v)});
      if (!satisfiable(narrowed)) continue;
      std::size_t before = path.size();
      gather(decided(p, v, truth, narrowed, &path), narrowed, seen, path, out);
      path.resize(before);
    }
  }

  Id first_child(Id p) {
    Id v = kNone;
    visit(p, [&](const FormulaStore::Node& n) {
      if (n.atom == Atom::Child && (v == kNone || fs.before(n.x, v))) v = n.x;
    });
    return v;
  }
  // `p` with the truth of `v`, and of all other children that `path_value` decides: where there are many, one pass instead
  // of one for each. `path` receives what was decided.
  Id decided(Id p, Id v, bool truth, Id path_value, std::vector<std::pair<Id, bool>>* path) {
    std::vector<std::pair<Id, bool>> outcome{{v, truth}};
    std::vector<Id> all = children(p);
    if (all.size() > 3)
      for (Id other : all) {
        if (other == v) continue;
        bool can = satisfiable(value_and({path_value, other})), cannot = satisfiable(value_and({path_value, value_not(other)}));
        if (can != cannot) outcome.emplace_back(other, can);
      }
    if (path) path->insert(path->end(), outcome.begin(), outcome.end());
    return substitute(p, outcome);
  }
  // As `gather`, without asking what remains.
  void all_leaves(Id p, Id path_value, std::vector<std::pair<Id, bool>>& path, std::vector<Leaf>& out) {
    if (p == FormulaStore::kFalse) return;
    meter_.charge();
    Deeper deeper(*this, 1);
    if (!fs[p].has_child()) {
      out.push_back({path, path_value, p});
      return;
    }
    Id v = first_child(p);
    for (bool truth : {true, false}) {
      Id both = value_and({path_value, truth ? v : value_not(v)});
      if (!satisfiable(both)) continue;
      path.emplace_back(v, truth);
      all_leaves(substitute(p, {{v, truth}}), both, path, out);
      path.pop_back();
    }
  }

  // ------------------------------------------------------------------ liveness of a container in progress
  // Conjunctions of Properties, Required and total counts need no search.
  struct Simple {
    Id bundles = FormulaStore::kTrue;  // conjunction of Properties atoms
    std::vector<Id> required;
    Id least = 0, most = INT32_MAX;
  };
  bool simple(Id f, Simple& s) {
    const FormulaStore::Node& top = fs[f];
    std::vector<Id> bundles;
    auto take = [&](Id l) {
      const FormulaStore::Node& n = fs[l];
      if (n.kind != Bool::Literal) return false;
      if (n.atom == Atom::Properties && !n.negated) return bundles.push_back(l), true;
      if (n.atom == Atom::Required && !n.negated) {
        s.required.insert(s.required.end(), lists.begin(n.x), lists.end(n.x));
        return true;
      }
      if (n.atom != Atom::PropertyCount) return false;
      const Id* c = lists.begin(n.y);
      if (c[0] != kNone || c[1] != kAny) return false;
      if (n.negated) s.most = std::min(s.most, n.x - 1);
      else s.least = std::max(s.least, n.x);
      return true;
    };
    if (top.kind == Bool::True) return true;
    if (top.kind == Bool::Literal) {
      if (!take(f)) return false;
    } else if (top.kind == Bool::And) {
      for (const Id* p = fs.lists().begin(top.list); p != fs.lists().end(top.list); ++p)
        if (!take(*p)) return false;
    } else return false;
    s.bundles = bundles.empty() ? FormulaStore::kTrue : fs.conjunction(bundles);
    std::sort(s.required.begin(), s.required.end());
    s.required.erase(std::unique(s.required.begin(), s.required.end()), s.required.end());
    return true;
  }
  bool has_patterns(Id f) {
    bool found = false;
    visit(f, [&](const FormulaStore::Node& n) { found |= n.atom == Atom::Properties && !property_bundles_[n.x].patterns.empty(); });
    return found;
  }
  bool simple_live(const Simple& s, Id seen) {
    Id required = static_cast<Id>(s.required.size());
    if (required > s.most || s.least > s.most) return false;
    if ((!has(spelled_, '"') || !has(spelled_, ':')) && std::max(required, s.least) > 0) return false;
    if (!has(spelled_, ',') && std::max(required, s.least) > 1) return false;
    if (required && !required_possible(s)) return false;
    if (source_order && required)
      for (Id n : s.required)
        if (re.accepts(seen, name_text(n))) return false;
    if (s.least > required) {
      Id fresh = re.conj({bundle_names(s.bundles), re.negate(seen)});
      if (re.count_words(fresh, s.least) < s.least) return false;
    }
    return true;
  }
  bool required_possible(const Simple& s) {
    std::uint64_t key = (static_cast<std::uint64_t>(s.bundles) << 32) | static_cast<std::uint32_t>(lists.add(s.required));
    return remembered(required_memo_, key, [&] {
      bool ok = true;  // of all, whatever their order
      for (Id n : s.required) ok = spell_name(name_text(n)) && satisfiable(bundles_value(s.bundles, name_text(n))) && ok;
      return ok;
    }, [](bool ok) { return ok; });
  }
  bool spell_name(std::string_view s) {
    return has(spelled_, '"') && has(spelled_, ':') && re.accepts(re.text(), s);
  }
  Id bundles_value(Id bundles, std::string_view key) {
    if (bundles == FormulaStore::kTrue) return kAny;
    const FormulaStore::Node n = fs[bundles];
    if (n.kind == Bool::Literal) return member_value(n.x, key);
    std::vector<Id> parts;
    for (Id p : fs.operands(bundles)) parts.push_back(member_value(fs[p].x, key));
    return value_and(parts);
  }
  // The names whose member values are satisfiable under a conjunction of Properties atoms.
  Id bundle_names(Id bundles) {
    return remembered(bundle_names_, static_cast<std::uint64_t>(bundles), [&] { return find_bundle_names(bundles); });
  }
  Id find_bundle_names(Id bundles) {
    std::vector<std::string_view> good, bad;
    for (Id n : literal_names(bundles)) (satisfiable(bundles_value(bundles, name_text(n))) ? good : bad).push_back(name_text(n));
    std::vector<Id> all = regions(bundles), open;
    for (Id region : all)
      if (satisfiable(bundles_value(bundles, re.shortest(region)))) open.push_back(region);
    // every other name: said by what is left out
    if (open.size() == all.size()) return bad.empty() ? re.text() : re.conj({re.text(), re.negate(re.strings(bad))});
    open.push_back(re.strings(good));
    return re.alt(open);
  }
  Id simple_names(Id f, Simple s, Id seen) {
    if (!has(spelled_, ',')) s.most = std::min(s.most, seen == RegexStore::kEmpty ? 1 : 0);
    Id required = static_cast<Id>(s.required.size());
    if (s.most <= 0) return RegexStore::kEmpty;
    if (source_order && (required || s.least > 1)) return ordered_names(f, s, seen);
    if (required < s.most) return bundle_names(s.bundles);
    std::vector<std::string_view> texts;
    for (Id n : s.required) texts.push_back(name_text(n));
    return re.strings(texts);
  }
  // Under source order with names still required: the declared names up to the first required one.
  // In the order of the source a name uses up those before it: none that is required, and not so many that too few are left.
  Id ordered_names(Id f, const Simple& s, Id seen) {
    std::vector<std::string_view> texts;
    const bool tight = static_cast<Id>(s.required.size()) >= s.most;
    Id used = seen;
    auto left = [&](Id least) {
      return least <= 0 || re.count_words(re.conj({bundle_names(s.bundles), re.negate(used)}), least) >= least;
    };
    for (Id n : literal_names(f)) {
      const bool needed = std::binary_search(s.required.begin(), s.required.end(), n);
      if (re.accepts(used, name_text(n))) continue;
      used = re.insert_string(used, name_text(n));
      if (needed || (!tight && satisfiable(bundles_value(s.bundles, name_text(n)))))
        if (left(s.least - 1)) texts.push_back(name_text(n));
      if (needed) return re.strings(texts);
    }
    const Id others = re.conj({bundle_names(s.bundles), re.negate(used)});
    return left(s.least) ? re.alt({re.strings(texts), others}) : re.strings(texts);
  }
  bool member_possible(Id f, std::string_view key, Id seen) {
    if (!spell_name(key)) return false;
    Id after = seen_after(f, seen, key);
    return possible(settled(member_derivative(f, key), after), after);
  }
  // Has `derivative` a leaf? As `resolve`, without gathering all of them.
  bool possible(Id derivative, Id seen) {
    if (derivative == FormulaStore::kFalse) return false;
    std::uint64_t key = (static_cast<std::uint64_t>(derivative) << 32) | static_cast<std::uint32_t>(seen);
    return remembered(possible_, key, [&] { return some_leaf(derivative, kAny, seen); }, [](bool yes) { return yes; });
  }
  bool some_leaf(Id p, Id path_value, Id seen) {
    if (p == FormulaStore::kFalse) return false;
    meter_.charge();
    Deeper deeper(*this, 1);
    if (!fs[p].has_child()) return rest_live(p, path_value, seen);
    Id v = first_child(p);
    for (bool truth : {true, false}) {
      Id both = value_and({path_value, truth ? v : value_not(v)});
      if (satisfiable(both) && some_leaf(decided(p, v, truth, both, nullptr), both, seen)) return true;
    }
    return false;
  }
  // Depth-first over members that change the formula; each branch shrinks it, so the search ends.
  bool container_live(Id f, Id seen) {
    std::uint64_t key = (static_cast<std::uint64_t>(f) << 32) | static_cast<std::uint32_t>(seen);
    return fixed_point(live_, key, 2, [&] {
      if (seen != kNone) return search_members(f, seen);
      return fs[f].has_unique() ? distinct_live(f, kNone) : makes_progress(f, item_derivative(f), seen);
    });
  }
  bool makes_progress(Id before, Id derivative, Id seen) { return progress(before, derivative, kAny, seen); }
  // Is there a leaf that differs from `before` and is live?
  bool progress(Id before, Id p, Id path_value, Id seen) {
    if (p == FormulaStore::kFalse) return false;
    meter_.charge();
    Deeper deeper(*this, 1);
    if (!fs[p].has_child()) return p != before && rest_live(p, path_value, seen);
    Id v = first_child(p);
    for (bool truth : {true, false}) {
      Id narrowed = value_and({path_value, truth ? v : value_not(v)});
      if (satisfiable(narrowed) && progress(before, decided(p, v, truth, narrowed, nullptr), narrowed, seen)) return true;
    }
    return false;
  }
  bool search_members(Id f, Id seen) {
    std::vector<std::string> candidates;
    for (Id n : literal_names(f))
      if (!re.accepts(seen, name_text(n))) candidates.emplace_back(name_text(n));
    for (Id region : regions(f)) {
      Id fresh = re.conj({region, re.negate(seen)});
      if (re.live(fresh)) candidates.push_back(re.shortest(fresh));
    }
    for (const std::string& name : candidates) {
      if (!spell_name(name)) continue;
      meter_.charge();
      Id after = seen_after(f, seen, name);
      if (makes_progress(f, settled(member_derivative(f, name), after), after)) return true;
    }
    return false;
  }

  // ------------------------------------------------------------------ arrays whose items differ
  // `rest` after a member that satisfies `item`.
  bool rest_live(Id rest, Id item, Id seen) {
    if (!has(spelled_, ',')) return ends(rest);
    return fs[rest].has_next() ? distinct_live(rest, item) : container_live_any(rest, seen);
  }
  // Can an array with uniqueness in its formula be finished? `first`: the value of an item that has joined the others
  // but is not known yet, or kNone. Split over the truth of uniqueness; if true the items need distinct representatives
  // of the values along a path to the end (Hall), if false some two of them must be able to be equal.
  bool distinct_live(Id f, Id first) {
    std::vector<Id> sets;
    return distinct_path(f, first, sets) || duplicate_path(f, first, nullptr);
  }
  bool distinct_path(Id f, Id first, std::vector<Id>& sets) {
    Id others = value_not(equal_to_any(items_so_far(f)));
    Id g = assume_unique(f, true);
    if (g == FormulaStore::kFalse) return false;
    if (first != kNone) sets.push_back(value_and({first, others}));
    std::unordered_set<Id> visited;
    return distinct_from(g, others, sets, visited);
  }
  // A loop would only add items, which makes representatives harder to find: no formula is visited twice on a path.
  bool distinct_from(Id g, Id others, std::vector<Id>& sets, std::unordered_set<Id>& visited) {
    std::vector<Id> entered;
    std::size_t before = sets.size();
    bool found = false;
    for (;;) {  // a single way on needs no recursion
      meter_.charge();
      if (ends(g) && representable(sets)) found = true;
      if (found || !visited.insert(g).second) break;
      entered.push_back(g);
      std::vector<std::pair<Id, Id>> ways;
      for (const Leaf& leaf : leaves(item_derivative(g), kNone)) {
        Id value = value_and({leaf.value, others});
        if (!has(spelled_, ',') && !ends(leaf.rest)) continue;
        if (!visited.count(leaf.rest) && satisfiable(value)) ways.emplace_back(value, leaf.rest);
      }
      if (ways.size() == 1) {
        sets.push_back(ways[0].first);
        g = ways[0].second;
        continue;
      }
      Deeper deeper(*this, 2);
      for (auto [value, rest] : ways) {
        sets.push_back(value);
        found = distinct_from(rest, others, sets, visited);
        if (found) break;
        sets.pop_back();
      }
      break;
    }
    if (!found) {
      sets.resize(before);
      for (Id e : entered) visited.erase(e);
    }
    return found;
  }
  // Does a choice of different values exist, one from each set? `small`: receives the values of sets that others could exhaust.
  bool representable(const std::vector<Id>& sets, std::vector<Id>* small = nullptr) {
    std::vector<std::vector<Id>> wanted = exhaustible(sets, 0);
    if (small)
      for (const std::vector<Id>& all : wanted) small->insert(small->end(), all.begin(), all.end());
    return different(wanted, kNone);
  }
  // The values of those sets from `begin` on that have fewer values than there are sets: one entry a set.
  std::vector<std::vector<Id>> exhaustible(const std::vector<Id>& sets, std::size_t begin) {
    auto before = [&](Id x, Id y) { return fs.before(x, y); };
    std::map<Id, int, decltype(before)> times(before);
    for (std::size_t i = begin; i < sets.size(); ++i) ++times[sets[i]];
    std::int64_t n = static_cast<std::int64_t>(sets.size());
    std::vector<std::vector<Id>> wanted;
    for (auto [set, k] : times) {
      if (at_least_values(set, n)) continue;
      std::vector<Id> all = values_of(set, n);
      if (static_cast<std::int64_t>(all.size()) >= n) continue;
      wanted.insert(wanted.end(), static_cast<std::size_t>(k), all);
    }
    return wanted;
  }
  // Can each take a value of its own other than `except`? (Augmenting paths.)
  bool different(const std::vector<std::vector<Id>>& wanted, Id except) {
    std::unordered_map<Id, std::size_t> taken;  // value -> item
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      std::unordered_set<Id> tried{except};
      if (!assign(i, wanted, taken, tried)) return false;
    }
    return true;
  }
  bool assign(std::size_t i, const std::vector<std::vector<Id>>& wanted, std::unordered_map<Id, std::size_t>& taken, std::unordered_set<Id>& tried) {
    meter_.charge();
    for (Id value : wanted[i]) {
      if (!tried.insert(value).second) continue;
      auto it = taken.find(value);
      if (it == taken.end() || assign(it->second, wanted, taken, tried)) {
        taken[value] = i;
        return true;
      }
    }
    return false;
  }
  // Some two items must be equal. `partners`: receives the values with which `first` could be the earlier of the two.
  bool duplicate_path(Id f, Id first, std::vector<Id>* partners) {
    Id g = assume_unique(f, false);
    if (g == FormulaStore::kFalse || !has(spelled_, ',')) return false;  // equal items are two
    Id known = equal_to_any(items_so_far(f));
    std::vector<Id> earlier;
    if (first != kNone) earlier.push_back(first);
    std::unordered_map<Id, int> visits;
    return duplicate_from(g, known, earlier, first != kNone, visits, partners);
  }
  bool duplicate_from(Id g, Id known, std::vector<Id>& earlier, bool has_first, std::unordered_map<Id, int>& visits, std::vector<Id>* partners) {
    meter_.charge();
    if (visits[g] >= 2) return false;  // a pair of equal items needs no formula three times
    Deeper deeper(*this, 2);
    ++visits[g];
    bool found = false;
    for (const Leaf& leaf : leaves(item_derivative(g), kNone)) {
      if (!container_live_any(leaf.rest, kNone)) continue;
      found = found || satisfiable(value_and({leaf.value, known}));
      for (std::size_t i = 0; i < earlier.size(); ++i) {
        Id both = value_and({leaf.value, earlier[i]});
        if ((found && !partners) || !satisfiable(both)) continue;
        if (i == 0 && has_first && partners) partners->push_back(both);
        else found = true;
      }
      if (found && !partners) break;
      earlier.push_back(leaf.value);
      found = duplicate_from(leaf.rest, known, earlier, has_first, visits, partners) || found;
      earlier.pop_back();
      if (found && !partners) break;
    }
    --visits[g];
    return found || (partners && !partners->empty());
  }
  // The values of `item` after which `rest` is live: those that leave enough for the items to come.
  Id narrowed(Id rest, Id item) {
    if (!fs[rest].has_next()) return item;
    std::vector<Id> sets, small;
    if (distinct_path(rest, item, sets)) {
      representable(sets, &small);
      std::sort(small.begin(), small.end());
      small.erase(std::unique(small.begin(), small.end()), small.end());
      std::vector<Id> bad;
      std::vector<std::vector<Id>> others = exhaustible(sets, 1);
      for (Id c : small)
        if (!different(others, c) && satisfiable(value_and({item, equal_to(c)})) && !container_live_any(substitute_item(rest, c), kNone)) bad.push_back(c);
      return bad.empty() ? item : value_and({item, value_not(equal_to_any(lists.add(bad)))});
    }
    if (duplicate_path(rest, kNone, nullptr)) return item;
    std::vector<Id> partners;
    duplicate_path(rest, item, &partners);
    return value_and({item, value_or(partners)});
  }

  // Has `value` at least n elements, as far as is plain? And up to `most` of its elements, all if there are fewer (counting.hpp).
  virtual bool at_least_values(Id value, std::int64_t n) = 0;
  virtual std::vector<Id> values_of(Id value, std::int64_t most) = 0;

  // `cut_`: the topmost unfinished ancestor on which a no may rest; `touched_`: that was looked at.
  int cut_ = kNothing, touched_ = kNothing, depth_ = 0, deepest_ = 0;
  // Searches in progress, one inside the other.
  int units_ = 0;
  Memos<Demand> demands_;
  Memos<Id> names_memo_, bundle_names_;
  Memos<bool> sat_, live_, required_memo_, possible_;
  Memos<std::vector<Id>> regions_;
  std::map<std::pair<const void*, std::uint64_t>, int> busy_;
  struct Provisional {
    int touched = kNothing;
    std::function<void()> forget;
  };
  std::vector<Provisional> provisional_;
};

}  // namespace constrain
