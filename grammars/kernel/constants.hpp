// Constants: JSON values as data, interned, so that equal values have equal ids.
//
// Equality is that of JSON Schema: numbers by value whatever their spelling, objects whatever their order. A document
// records the values it reads only inside arrays whose items must differ (document.hpp).
// Memory: one list a value, one copy a text; nothing is released before the store. Cost: O(length) a value, after a
// sort for objects. Not thread-safe.
#pragma once
#include <deque>
#include <unordered_map>

#include "common.hpp"

namespace constrain {

class Constants {
 public:
  enum Kind : Id { kNullValue, kTrueWord, kFalseWord, kNumberValue, kStringValue, kArrayValue, kObjectValue };
  struct Number {
    bool negative = false;
    std::string digits;  // no zero at either end; "0" for zero
    std::int64_t exponent = 0;
  };

  // A hash of the value, whatever its id.
  std::uint64_t content(Id c) const { return contents_[c]; }

  Id word(Kind kind) { return add({kind}); }
  Id string(std::string_view s) { return add({kStringValue, text(s)}); }
  // `spelling`: a JSON number.
  Id number(std::string_view spelling) {
    Number n = parse(spelling);
    return add({kNumberValue, text((n.negative ? "-" : "") + n.digits + "e" + std::to_string(n.exponent))});
  }
  Id array(const Id* items, std::size_t n) {
    std::vector<Id> key{kArrayValue};
    key.insert(key.end(), items, items + n);
    return add(std::move(key));
  }
  // `members`: name text id, value id, name, value ...
  Id object(const Id* members, std::size_t n) {
    std::vector<std::pair<Id, Id>> pairs;
    for (std::size_t i = 0; i + 1 < n; i += 2) pairs.emplace_back(members[i], members[i + 1]);
    std::sort(pairs.begin(), pairs.end());
    std::vector<Id> key{kObjectValue};
    for (auto [name, value] : pairs) key.push_back(name), key.push_back(value);
    return add(std::move(key));
  }
  Id text(std::string_view s) {
    auto it = text_ids_.find(s);
    if (it != text_ids_.end()) return it->second;
    texts_.emplace_back(s);
    bytes_ += s.size() + 96;
    return text_ids_[texts_.back()] = static_cast<Id>(texts_.size()) - 1;
  }

  Kind kind(Id c) const { return static_cast<Kind>(lists_.begin(c)[0]); }
  std::string_view text_of(Id c) const { return texts_[lists_.begin(c)[1]]; }  // of a string
  std::string_view name(Id text) const { return texts_[text]; }
  Number number_of(Id c) const { return parse(text_of(c)); }
  const Id* begin(Id c) const { return lists_.begin(c) + 1; }  // of an array or object
  std::size_t size(Id c) const { return lists_.size(c) - 1; }
  std::size_t bytes() const { return bytes_ + lists_.bytes(); }

  static Number parse(std::string_view s) {
    Number n;
    std::size_t i = 0;
    if (i < s.size() && s[i] == '-') n.negative = true, ++i;
    bool point = false;
    for (; i < s.size() && s[i] != 'e' && s[i] != 'E'; ++i) {
      if (s[i] == '.') point = true;
      else n.digits.push_back(s[i]), n.exponent -= point;
    }
    if (i < s.size()) n.exponent += std::stoll(std::string(s.substr(i + 1 + (s[i + 1] == '+'))));
    while (!n.digits.empty() && n.digits.back() == '0') n.digits.pop_back(), ++n.exponent;
    n.digits.erase(0, std::min(n.digits.find_first_not_of('0'), n.digits.size()));
    if (n.digits.empty()) return Number{false, "0", 0};
    return n;
  }

 private:
  Id add(std::vector<Id> key) {
    Id c = lists_.add(key);
    if (c >= static_cast<Id>(contents_.size())) contents_.resize(c + 1, 0), contents_[c] = hash_of(c);
    return c;
  }
  std::uint64_t hash_of(Id c) const {
    std::hash<std::string_view> text;
    if (kind(c) == kNumberValue || kind(c) == kStringValue) return mix(static_cast<std::uint64_t>(kind(c)), text(text_of(c)));
    std::uint64_t h = mix(static_cast<std::uint64_t>(kind(c)), size(c));
    for (const Id* p = begin(c); p < begin(c) + size(c); ++p) {
      if (kind(c) == kArrayValue) h = mix(h, contents_[*p]);
      else h += mix(text(texts_[*p]), contents_[p[1]]), ++p;
    }
    return h;
  }
  ListStore lists_;
  std::vector<std::uint64_t> contents_;
  std::deque<std::string> texts_;
  std::unordered_map<std::string_view, Id> text_ids_;
  std::size_t bytes_ = 0;
};

}  // namespace constrain
