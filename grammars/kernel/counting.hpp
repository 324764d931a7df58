// Counting: how many values a value has, and which they are, as far as arrays whose items differ need to know.
//
// Whether items can be told apart is a matter of distinct representatives (liveness.hpp), and only values with few elements
// constrain them. Elements are enumerated by growing size, so that recursion through arrays and objects ends; that there
// are infinitely many is mostly plain from a loop, without enumeration. Charged; results that rest on an unfinished
// ancestor are not memoised. Not thread-safe.
#pragma once
#include <set>

#include "heights.hpp"

namespace constrain {

class Values : public Heights {
 public:
  using Heights::Heights;

  // Has `value` at least n elements, as far as its words, strings and loops show?
  bool at_least_values(Id value, std::int64_t n) override {
    if (value == kAny) return true;
    const Record r = expand(value);
    std::int64_t words = 0;
    for (Part p : {kNull, kTrueValue, kFalseValue}) words += part_satisfiable(record_id(value), p);
    if (words >= n) return true;
    if (r[kString] != RegexStore::kEmpty && has(spelled_, '"') && re.count_words(r[kString], n - words) >= n - words) return true;
    return unbounded(value, record_id(value), r) || member_varies(value, record_id(value), r, n);
  }
  // Up to `most` different values, all of them if there are fewer. Values of growing size (every member counts one), so
  // that recursion through arrays and objects ends.
  std::vector<Id> values_of(Id value, std::int64_t most) override {
    std::uint64_t key = (static_cast<std::uint64_t>(value) << 32) | static_cast<std::uint32_t>(most);
    return remembered(values_memo_, key, [&] {
      std::vector<Id> out;
      bool cut = true;
      for (std::int64_t size = 1; cut && static_cast<std::int64_t>(out.size()) < most; size *= 2) {
        if (size > (1 << 20)) throw LimitError(size, 1 << 20, "size of the values to tell apart");
        out.clear();
        cut = false;
        values_within(value, most, size, cut, out);
      }
      return out;
    });
  }

  // What tells a string from others where values are recorded: in `words` those of the items so far of the
  // arrays that `formulas` speak of, and all of each set that their items may use up. Any two other strings can stand for each
  // other, unless one of the items to come is equal to one. False where that is not plain: if items must be alike.
  bool words_recorded(const std::vector<Id>& formulas, std::set<std::string>& words) {
    std::vector<Id> values;
    std::int64_t positions = 2, items = 0;
    bool plain = true;
    for (Id f : formulas)
      visit(f, [&](const FormulaStore::Node& n) {
        plain = plain && n.atom != Atom::Unevaluated;
        if (n.atom == Atom::Unique || n.atom == Atom::UniqueNext) {
          plain = plain && !n.negated;
          items += static_cast<std::int64_t>(lists.size(n.x));
          for (const Id* c = lists.begin(n.x); c != lists.end(n.x); ++c) strings_of(*c, words);
        }
        if (n.atom == Atom::ItemCount) positions = std::max<std::int64_t>(positions, n.x + 2);
        if (n.atom == Atom::Items) positions = std::max(positions, static_cast<std::int64_t>(item_bundles_[n.x].prefix.size()) - n.y + 2);
        members_of(n, values);
      });
    positions = std::min<std::int64_t>(positions, 1000) + items;
    std::unordered_set<Id> met;
    while (plain && !values.empty()) {
      const Id value = values.back();
      values.pop_back();
      if (!met.insert(value).second) continue;
      if (met.size() > kFewValues) return false;
      const Record r = expand(value);
      if (r[kString] != RegexStore::kEmpty && !loops(r[kString]) && re.count_words(r[kString], positions) < positions)
        for (Id c : values_of(only_strings(r[kString]), positions)) words.emplace(constants.text_of(c));
      for (Part p : {kArray, kObject})
        visit(r[p], [&](const FormulaStore::Node& n) {
          plain = plain && n.atom != Atom::Unevaluated;
          members_of(n, values);
        });
    }
    return plain;
  }

 private:
  static constexpr std::size_t kFewValues = 256;
  // The strings within a constant.
  void strings_of(Id constant, std::set<std::string>& out) {
    std::vector<Id> open{constant};
    while (!open.empty()) {
      const Id c = open.back();
      open.pop_back();
      const Constants::Kind kind = constants.kind(c);
      if (kind == Constants::kStringValue) out.emplace(constants.text_of(c));
      if (kind != Constants::kArrayValue && kind != Constants::kObjectValue) continue;
      for (std::size_t i = kind == Constants::kObjectValue; i < constants.size(c); i += 1 + (kind == Constants::kObjectValue))
        open.push_back(constants.begin(c)[i]);
    }
  }
  // The values that an atom of an array or object asks of members.
  void members_of(const FormulaStore::Node& n, std::vector<Id>& out) {
    if (n.atom == Atom::ItemCount) out.push_back(n.y);
    if (n.atom == Atom::PropertyCount) out.push_back(lists.begin(n.y)[1]);
    if (n.atom == Atom::Items) {
      const ItemBundle& b = item_bundles_[n.x];
      out.insert(out.end(), b.prefix.begin() + std::min<std::ptrdiff_t>(n.y, static_cast<std::ptrdiff_t>(b.prefix.size())), b.prefix.end());
      out.push_back(b.rest);
    }
    if (n.atom == Atom::Properties) {
      const PropertyBundle& b = property_bundles_[n.x];
      for (auto& [name, value] : b.literals) out.push_back(value);
      for (auto& [names, value] : b.patterns) out.push_back(value);
      out.push_back(b.additional);
    }
  }
  // Is it plain that arrays or objects of `value` have no bound? If an item may be added that changes nothing; or if a name
  // is possible that may be exchanged for infinitely many others.
  bool unbounded(Id value, Id record, const Record& r) {
    return remembered(unbounded_, static_cast<std::uint64_t>(value), [&] {
      bool yes = false;
      if (!fs[r[kArray]].has_unique() && part_satisfiable(record, kArray))
        for (const Leaf& leaf : leaves(item_derivative(r[kArray]), kNone)) yes |= leaf.rest == r[kArray];
      if (!yes && part_satisfiable(record, kObject))
        for (Id region : regions(r[kObject]))
          if (loops(region) && member_possible(r[kObject], re.shortest(region), RegexStore::kEmpty)) yes = true;
      return yes;
    });
  }
  // Has an object of `value` a declared member that may take n values, whatever the others are?
  bool member_varies(Id value, Id record, const Record& r, std::int64_t n) {
    Simple s;
    if (r[kObject] == FormulaStore::kFalse || !simple(r[kObject], s) || !part_satisfiable(record, kObject)) return false;
    auto [busy, fresh] = varying_.try_emplace(value, depth_ + 1);
    if (!fresh) {
      touched_ = std::min(touched_, busy->second);
      return false;
    }
    Deeper deeper(*this, 4);
    bool yes = false;
    try {
      for (Id name : literal_names(r[kObject]))
        yes = yes || (member_possible(r[kObject], name_text(name), RegexStore::kEmpty) && at_least_values(bundles_value(s.bundles, name_text(name)), n));
    } catch (...) {
      varying_.erase(value);
      throw;
    }
    varying_.erase(value);
    return yes;
  }
  // Is the language plainly infinite: does a live expression near `r` return to itself?
  bool loops(Id r) {
    std::vector<Id> order{r};
    for (std::size_t i = 0; i < order.size() && order.size() < 64; ++i) {
      bool found = false;
      Id at = order[i];
      re.each_class(at, [&](int b, int) {
        Id next = re.live_step(at, b);
        if (next == RegexStore::kEmpty) return;
        found |= next == at;
        if (std::find(order.begin(), order.end(), next) == order.end()) order.push_back(next);
      });
      if (found) return true;
    }
    return false;
  }

  void values_within(Id value, std::int64_t most, std::int64_t size, bool& cut, std::vector<Id>& out) {
    if (size < 1) {
      cut = true;
      return;
    }
    Id record = record_id(value);
    const Record r = records_[record];
    auto enough = [&] { return static_cast<std::int64_t>(out.size()) >= most; };
    for (Part p : {kNull, kTrueValue, kFalseValue})
      if (part_satisfiable(record, p)) out.push_back(constants.word(static_cast<Constants::Kind>(p)));
    if (!enough() && part_satisfiable(record, kNumber)) numbers_of(r[kNumber], most, out);
    if (!enough() && part_satisfiable(record, kString)) {
      for (Id taken = RegexStore::kEmpty, left = r[kString]; !enough() && re.live(left);) {
        std::string word = re.shortest(left);
        out.push_back(constants.string(word));
        taken = re.insert_string(taken, word);
        left = re.conj({r[kString], re.negate(taken)});
      }
    }
    std::unordered_set<Id> found;
    std::int64_t more = most - static_cast<std::int64_t>(out.size());
    std::vector<Id> parts;
    if (!enough() && part_satisfiable(record, kArray)) arrays_within(r[kArray], more, size - 1, cut, parts, found);
    if (!enough() && part_satisfiable(record, kObject))
      objects_within(r[kObject], RegexStore::kEmpty, more, size - 1, cut, parts, found);
    out.insert(out.end(), found.begin(), found.end());
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    if (static_cast<std::int64_t>(out.size()) > most) out.resize(static_cast<std::size_t>(most));
  }
  std::int64_t size_of(Id constant) {
    std::int64_t size = 1;
    Constants::Kind kind = constants.kind(constant);
    if (kind != Constants::kArrayValue && kind != Constants::kObjectValue) return size;
    for (std::size_t i = kind == Constants::kObjectValue; i < constants.size(constant); i += 1 + (kind == Constants::kObjectValue))
      size += size_of(constants.begin(constant)[i]);
    return size;
  }
  // Plain spellings are one to a number; shortest first.
  void numbers_of(Id formula, std::int64_t most, std::vector<Id>& out) {
    std::unordered_set<Id> found;
    for (bool plain : {true, false}) {
      std::vector<std::pair<Id, std::string>> queue{{numbers.start(formula, {}, plain), ""}};
      if (queue[0].first == NumberMachine::kDead) continue;
      for (std::size_t i = 0; i < queue.size() && static_cast<std::int64_t>(found.size()) < most; ++i) {
        meter_.charge();
        auto [state, text] = queue[i];
        if (numbers.accepts(state)) found.insert(constants.number(text));
        for (char c : std::string_view("-.0123456789")) {
          Id next = numbers.live_step(state, c);
          if (next != NumberMachine::kDead) queue.emplace_back(next, text + c);
        }
      }
      if (!found.empty()) break;  // else: numbers too long to be written plainly
      if (!plain) {
        Id state = numbers.start(formula, {}, false);
        std::string text;
        while (!numbers.accepts(state)) {
          int b = numbers.first_byte(state);
          text.push_back(static_cast<char>(b));
          state = numbers.live_step(state, b);
        }
        found.insert(constants.number(text));
        break;
      }
    }
    out.insert(out.end(), found.begin(), found.end());
  }
  // A lower bound of the members that `f` still asks for: without it the search would spend its room on free names.
  std::int64_t members_needed(Id f) {
    const FormulaStore::Node n = fs[f];
    if (n.kind == Bool::Literal) {
      if (n.negated) return 0;
      if (n.atom == Atom::Required) return static_cast<std::int64_t>(lists.size(n.x));
      return n.atom == Atom::ItemCount || n.atom == Atom::PropertyCount ? n.x : 0;
    }
    if (n.kind != Bool::And && n.kind != Bool::Or) return 0;
    auto it = needed_.find(f);
    if (it != needed_.end()) return it->second;
    bool all = n.kind == Bool::And;
    std::int64_t needed = all ? 0 : INT64_MAX;
    for (Id p : fs.operands(f)) needed = all ? std::max(needed, members_needed(p)) : std::min(needed, members_needed(p));
    return needed_[f] = needed;
  }
  // Depth first: what is live ends if there is room.
  void arrays_within(Id at, std::int64_t most, std::int64_t room, bool& cut, std::vector<Id>& items, std::unordered_set<Id>& found) {
    meter_.charge();
    if (members_needed(at) > room) return void(cut = true);
    Deeper deeper(*this, 6);
    if (ends(at)) found.insert(constants.array(items.data(), items.size()));
    if (static_cast<std::int64_t>(found.size()) >= most) return;
    // whether an array whose items differ can go on is what values are counted for: it is not asked here
    bool asks = !fs[at].has_unique();
    std::vector<Leaf> ways;
    std::vector<std::pair<Id, bool>> path;
    if (asks) ways = leaves(item_derivative(at), kNone);
    else all_leaves(item_derivative(at), kAny, path, ways);
    for (const Leaf& leaf : ways) {
      std::vector<Id> values;
      values_within(leaf.value, most, room, cut, values);
      for (Id value : values) {
        Id rest = substitute_item(leaf.rest, value);
        if (rest == FormulaStore::kFalse || (asks && !container_live_any(rest, kNone))) continue;
        items.push_back(value);
        arrays_within(rest, most, room - size_of(value), cut, items, found);
        items.pop_back();
        if (static_cast<std::int64_t>(found.size()) >= most) return;
      }
    }
  }
  void objects_within(Id at, Id seen, std::int64_t most, std::int64_t room, bool& cut, std::vector<Id>& members, std::unordered_set<Id>& found) {
    meter_.charge();
    if (members_needed(at) > room) return void(cut = true);
    Deeper deeper(*this, 6);
    if (ends(at)) found.insert(constants.object(members.data(), members.size()));
    Id names = next_names(at, seen), taken = RegexStore::kEmpty;
    auto enough = [&] { return static_cast<std::int64_t>(found.size()) >= most; };
    auto with = [&](const std::string& name) {
      taken = re.insert_string(taken, name);
      Id after = seen_after(at, seen, name);
      for (const Leaf& leaf : leaves(member_derivative(at, name), after)) {
        std::vector<Id> values;
        values_within(leaf.value, most, room, cut, values);
        for (Id value : values) {
          members.push_back(constants.text(name));
          members.push_back(value);
          objects_within(leaf.rest, after, most, room - size_of(value), cut, members, found);
          members.resize(members.size() - 2);
          if (enough()) return;
        }
      }
    };
    if (enough() || !re.live(names)) return;
    if (room < 1) return void(cut = true);
    // what is asked for by name comes first: there may be no end of other names
    for (Id n : literal_names(at))
      if (!enough() && re.accepts(names, name_text(n))) with(std::string(name_text(n)));
    for (std::int64_t k = 0; k < most && !enough(); ++k) {
      Id left = re.conj({names, re.negate(taken)});
      if (!re.live(left)) return;
      with(re.shortest(left));
    }
  }

  std::unordered_map<Id, int> varying_;  // values whose members are being counted, and the depth there
  Memos<bool> unbounded_;
  std::unordered_map<Id, std::int64_t> needed_;
  Memos<std::vector<Id>> values_memo_;
};

}  // namespace constrain
