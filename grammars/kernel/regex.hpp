// Hash-consed regular expressions over bytes with Boolean operations and counters, explored by derivatives.
//
// A language is an id; equal ids are equal languages (the converse holds only up to the rewrites below). The
// derivative of `r` by a byte is again an id, so the ids reachable from one expression *are* its lazily built
// automaton (Brzozowski 1964; the treatment of byte classes and the weak canonical forms follow Owens, Reppy and
// Turon, "Regular-expression derivatives re-examined", JFP 2009, sec. 4). Departures: a repeat keeps its bounds as
// two counters and is never unrolled; a set of strings is a trie of `Switch` nodes with shared suffixes, so that the
// difference of two sets of strings collapses by identity of ids; and the paths between two states of a given automaton.
//
// Alphabet: bytes that no token contains are removed when an expression is built and are never tried afterwards,
// so "live" always means: completed by bytes that the vocabulary can spell.
//
// A leaf may stand for a state of a language that is not regular (outside.hpp). An expression that holds one is *opaque*: it
// is derived like any other, live by construction where no intersection or complement is involved, and otherwise searched,
// after the canonical completion of a leaf was tried. Its `distance` is that of a witness and not always the shortest.
//
// Cost: one derivative is O(size of the top of the expression); each is computed once for each class of bytes and
// stored in the row of its expression. Memory: 140 bytes a node plus 4 bytes for each byte class of a visited row.
//
// What an operation counts depends on the languages alone (common.hpp): operands are in the order of a hash of their content and
// not of their ids; a derivative counts by the size of the expression, not by what had to be built; the search for a
// string is counted once for each expression asked about, and learns nothing about others.
// Not thread-safe.
#pragma once
#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "automata.hpp"
#include "outside.hpp"
#include "utf8.hpp"

namespace constrain {

enum class ReKind : std::uint8_t { Empty, Epsilon, Cat, Alt, And, Not, Repeat, Switch, Path, Outside };

class RegexStore {
  friend class Loosening;

 public:
  static constexpr Id kEmpty = 0, kEpsilon = 1, kAll = 2;  // no string; the empty string; every byte string
  static constexpr std::int32_t kUnbounded = -1;

  RegexStore(const ByteSet& alphabet, Meter& meter) : alphabet_(alphabet), meter_(meter) {
    table_.assign(1024, kNone);
    intern(ReKind::Empty, false, 0, 0, 0, {});
    intern(ReKind::Epsilon, true, 0, 0, 0, {});
    intern(ReKind::Not, true, kEmpty, 0, 0, {});
    nodes_[kAll].distance = 0;  // simple, though a complement
    any_char_ = char_class({{0, 0xD7FF}, {0xE000, 0x10FFFF}});
    text_ = repeat(any_char_, 0, kUnbounded);
  }

  Automata automata;
  Id any_char() const { return any_char_; }
  Id text() const { return text_; }
  bool nullable(Id r) const { return nodes_[r].nullable; }
  ReKind kind(Id r) const { return nodes_[r].kind; }
  std::size_t count() const { return nodes_.size(); }
  std::size_t bytes() const {
    return nodes_.size() * sizeof(Node) + lists_.bytes() + table_.size() * 4 + rows_.size() * 4 +
           partitions_.bytes() + automata.bytes() + leaves_bytes_ + nodes_.size() * 8 + searches_.size() * sizeof(Search) + opaque_known_.size() * 32;
  }
  // Is `p` before `q` in the order of contents?
  bool before(Id p, Id q) const { return contents_[p] != contents_[q] ? contents_[p] < contents_[q] : p < q; }
  std::uint64_t content(Id r) const { return contents_[r]; }
  // Sorts and drops duplicates.
  void sort(std::vector<Id>& parts) const {
    std::sort(parts.begin(), parts.end(), [&](Id p, Id q) { return before(p, q); });
    parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
  }
  const ByteSet& alphabet() const { return alphabet_; }

  // Distances in twelfths of characters instead of bytes, for languages of UTF-8 texts; before the first distance.
  static constexpr std::int64_t kCharacter = 12;
  void count_characters() { by_characters_ = true; }
  // What a byte adds to a distance: a character of n bytes has one of kCharacter - 3 (n - 1), and n - 1 of 3.
  std::int64_t weight(int b) const {
    if (!by_characters_) return 1;
    return b < 0x80 ? kCharacter : b < 0xC0 || b >= 0xF0 ? 3 : b < 0xE0 ? kCharacter - 3 : kCharacter - 6;
  }

  // ------------------------------------------------------------------ constructors
  Id byte_set(ByteSet s) {
    for (int i = 0; i < 4; ++i) s[i] &= alphabet_[i];
    return switch_on(s, kEpsilon);
  }

  Id literal(std::string_view data, Id rest = kEpsilon) {
    for (std::size_t i = data.size(); i-- > 0 && rest != kEmpty;) {
      int b = static_cast<unsigned char>(data[i]);
      rest = has(alphabet_, b) ? switch_node(false, {b, b, rest}) : kEmpty;
      meter_.charge();
    }
    return rest;
  }

  // Any one of `strings`: a trie with shared suffixes, built in one pass over the sorted strings. O(total bytes).
  Id strings(std::vector<std::string_view> strings);

  // UTF-8 encodings of the code points in sorted, disjoint ranges; surrogates are left out.
  Id char_class(const std::vector<std::pair<std::uint32_t, std::uint32_t>>& ranges) {
    std::vector<Id> parts;
    meter_.charge(static_cast<std::int64_t>(ranges.size()));
    for (auto [lo, hi] : ranges) {
      add_utf8(parts, lo, std::min<std::uint32_t>(hi, 0xD7FF));
      add_utf8(parts, std::max<std::uint32_t>(lo, 0xE000), hi);
    }
    return merge_switches(parts);
  }

  Id cat(Id a, Id b) {
    if (a == kEmpty || b == kEmpty) return kEmpty;
    if (a == kEpsilon) return b;
    if (b == kEpsilon) return a;
    if (nodes_[a].kind == ReKind::Cat) return cat(nodes_[a].a, cat(nodes_[a].b, b));
    if (nodes_[a].kind == ReKind::Switch && !nodes_[a].nullable && only_epsilon(a)) return retarget(a, b);
    // r r* and r{m,n} r: one counter
    Id body = a;
    std::int32_t lo = 1, hi = 1;
    if (nodes_[a].kind == ReKind::Repeat) body = nodes_[a].a, lo = nodes_[a].b, hi = nodes_[a].c;
    if (nodes_[b].kind == ReKind::Repeat && nodes_[b].a == body) {
      std::int32_t high = (hi < 0 || nodes_[b].c < 0) ? kUnbounded : hi + nodes_[b].c;
      return repeat(body, lo + nodes_[b].b, high);
    }
    Id made = intern(ReKind::Cat, nodes_[a].nullable && nodes_[b].nullable, a, b, 0, {});
    nodes_[made].is_text = nodes_[a].is_text && nodes_[b].is_text;
    nodes_[made].simple = nodes_[a].simple && nodes_[b].simple;
    nodes_[made].opaque = nodes_[a].opaque || nodes_[b].opaque;
    return made;
  }

  Id alt(std::vector<Id> parts) {
    flatten(parts, ReKind::Alt);
    std::vector<Id> kept;
    std::vector<Id> switches;
    bool nullable_part = false;
    for (Id p : parts) {
      if (p == kEmpty) continue;
      if (p == kAll) return kAll;
      if (p != kEpsilon && nodes_[p].nullable) nullable_part = true;
      if (nodes_[p].kind == ReKind::Switch && only_epsilon(p)) switches.push_back(p);
      else kept.push_back(p);
    }
    if (switches.size() == 1) kept.push_back(switches[0]);
    if (switches.size() > 1) kept.push_back(merge_switches(switches));
    sort(kept);
    if (nullable_part) kept.erase(std::remove(kept.begin(), kept.end(), kEpsilon), kept.end());
    for (Id p : kept)
      if (nodes_[p].kind == ReKind::Not && among(kept, nodes_[p].a)) return kAll;
    if (complements_in_text(kept)) return alt(std::move(kept));
    if (kept.empty()) return kEmpty;
    if (kept.size() == 1) return kept[0];
    meter_.charge(static_cast<std::int64_t>(kept.size()));
    bool nul = false, text = true, simple = true, opaque = false;
    for (Id p : kept) {
      nul |= nodes_[p].nullable;
      text &= nodes_[p].is_text;
      simple &= nodes_[p].simple;
      opaque |= nodes_[p].opaque;
    }
    Id made = intern(ReKind::Alt, nul, 0, 0, 0, kept);
    nodes_[made].is_text = text;
    nodes_[made].simple = simple;
    nodes_[made].opaque = opaque;
    return made;
  }

  Id conj(std::vector<Id> parts) {
    flatten(parts, ReKind::And);
    parts.erase(std::remove(parts.begin(), parts.end(), kAll), parts.end());
    if (parts.empty()) return kAll;
    if (parts[0] == kEmpty) return kEmpty;
    if (undoes_complement(parts)) return conj(std::move(parts));
    if (parts[0] == kEpsilon) {
      for (Id p : parts)
        if (!nodes_[p].nullable) return kEmpty;
      return kEpsilon;
    }
    bool text = false;
    for (Id p : parts) text |= nodes_[p].is_text && p != text_;
    if (among(parts, text_) || text)
      for (Id p : parts)
        if (nodes_[p].kind == ReKind::Not && holds_text(nodes_[p].a)) return kEmpty;
    if (text) parts.erase(std::remove(parts.begin(), parts.end(), text_), parts.end());
    merge_counters(parts);
    if (parts.size() == 1) return parts[0];
    if (parts[0] == kEmpty) return kEmpty;
    for (Id p : parts)
      if (nodes_[p].kind == ReKind::Not && among(parts, nodes_[p].a)) return kEmpty;
    meter_.charge(static_cast<std::int64_t>(parts.size()));
    bool nul = true, opaque = false;
    text = false;
    for (Id p : parts) {
      nul &= nodes_[p].nullable;
      text |= nodes_[p].is_text;
      opaque |= nodes_[p].opaque;
    }
    Id made = intern(ReKind::And, nul, 0, 0, 0, parts);
    nodes_[made].is_text = text;
    nodes_[made].simple = false;
    nodes_[made].opaque = opaque;
    return made;
  }

  Id negate(Id a) {
    if (nodes_[a].kind == ReKind::Not) return nodes_[a].a;
    Id made = intern(ReKind::Not, !nodes_[a].nullable, a, 0, 0, {});
    nodes_[made].simple = false;
    nodes_[made].opaque = nodes_[a].opaque;
    return made;
  }

  Id repeat(Id a, std::int32_t lo, std::int32_t hi) {
    if (hi == 0 || a == kEpsilon) return kEpsilon;
    if (a == kEmpty) return lo == 0 ? kEpsilon : kEmpty;
    if (nodes_[a].nullable) lo = 0;
    if (lo == 1 && hi == 1) return a;
    if (nodes_[a].kind == ReKind::Repeat) {
      const Node& n = nodes_[a];
      if (n.c < 0 && n.b <= 1) {  // (r*){m,n} = r*;  (r+){m,n} = r{m,}
        return repeat(n.a, n.b == 0 ? 0 : lo, kUnbounded);
      }
    }
    if (nodes_[a].nullable && lo == 0 && hi == 1) return a;
    Id made = intern(ReKind::Repeat, lo == 0, a, lo, hi, {});
    nodes_[made].is_text = nodes_[a].is_text;
    nodes_[made].simple = nodes_[a].simple;
    nodes_[made].opaque = nodes_[a].opaque;
    return made;
  }

  // The strings that take an automaton of `automata` from state `from` to state `to`.
  Id path(Id automaton, Id from, Id to) {
    std::int64_t d = automata.distance(automaton, from, to, alphabet_, meter_);
    if (d < 0) return kEmpty;
    if (from == to && automata.stays(automaton, from, alphabet_)) return kAll;
    Id made = intern(ReKind::Path, from == to, automaton, from, to, {});
    nodes_[made].simple = false, nodes_[made].distance = nodes_[made].bound = d;
    return made;
  }

  // ------------------------------------------------------------------ languages that are read elsewhere
  OutsideSource* source = nullptr;  // of the languages that tables refer to; none: where strings are not decoded

  Id add_language(OutsideLanguage& language) {
    languages_.push_back(&language);
    leaves_.emplace_back();
    return static_cast<Id>(languages_.size()) - 1;
  }
  // A state of a language of UTF-8 texts; kEmpty for state 0. `left`: bytes that the character in progress still has, which
  // the state determines.
  Id outside(Id language, Id state, int left = 0);
  bool opaque(Id r) const { return nodes_[r].opaque; }
  bool is_outside(Id r) const { return nodes_[r].kind == ReKind::Outside; }
  bool is_text(Id r) const { return nodes_[r].is_text; }
  OutsideLanguage& language_of(Id leaf) { return *languages_[nodes_[leaf].a]; }
  Id state_of(Id leaf) const { return nodes_[leaf].b; }
  // Is some word begun by the code point in one of the ranges?
  bool begins_among(Id r, const std::vector<std::pair<std::uint32_t, std::uint32_t>>& ranges);
  // The operands of a union; else the expression itself.
  std::vector<Id> alternatives(Id r) const {
    if (nodes_[r].kind != ReKind::Alt) return {r};
    return {lists_.begin(nodes_[r].list), lists_.end(nodes_[r].list)};
  }

  // The union of a trie with one more string: the canonical trie of the larger set. O(length * fan-out).
  Id insert_string(Id trie, std::string_view s);

  // Calls f(prefix + word) for each word of a finite trie (no repeats below it).
  template <class F>
  void each_word(Id trie, std::string word, F&& f);

  // ------------------------------------------------------------------ the automaton
  // The derivative of `r` by byte `b`.
  Id step(Id r, int b) {
    if (nodes_[r].kind == ReKind::Outside) return has(alphabet_, b) ? derive(r, b) : kEmpty;
    if (nodes_[r].row == kNone) open_row(r);
    const Node& n = nodes_[r];
    if (n.weight >= kHeavy) meter_.charge(n.weight / kHeavy);
    if (n.opaque) return opaque_step(r, b);
    std::int32_t& cell = rows_[static_cast<std::size_t>(n.row) + partitions_[n.partition].cls[b]];
    if (cell == kNotYet) {
      if (!has(alphabet_, b)) return kEmpty;  // the class may hold spellable bytes too: nothing is stored
      Meter::Quiet quiet(meter_);
      Id made = derive(r, b);
      const Node& again = nodes_[r];  // rows_ and nodes_ may have moved
      rows_[static_cast<std::size_t>(again.row) + partitions_[again.partition].cls[b]] = made;
      return made;
    }
    if (!has(alphabet_, b)) return kEmpty;
    return cell;
  }

  // The derivative if some string of it exists, else kEmpty.
  Id live_step(Id r, int b) {
    Id next = step(r, b);
    return live(next) ? next : kEmpty;
  }

  Id run(Id r, std::string_view s) {
    for (char c : s) {
      r = step(r, static_cast<unsigned char>(c));
      if (r == kEmpty) break;
    }
    return r;
  }
  bool accepts(Id r, std::string_view s) { return nodes_[run(r, s)].nullable; }

  // True iff the language is not empty. Exact; charged; memoised.
  bool live(Id r) {
    if (r == kEmpty) return false;
    const Node& n = nodes_[r];
    if (n.simple) return true;
    if (n.opaque) return opaque_live(r);
    return distance(r) >= 0;
  }

  // Bytes of a shortest string, or -1 if there is none. Exact shortest distances, so that one byte of a shortest
  // string always leads to an expression whose distance is smaller by one. Of opaque expressions: of a string that is a
  // function of the expression, and `first_byte` leads to a smaller distance.
  std::int64_t distance(Id r) {
    const Node& n = nodes_[r];
    if (n.opaque) return opaque_distance(r);
    if (n.simple) return n.distance != kUnknown ? n.distance : simple_distance(r);
    if (n.distance != kUnknown) {
      if (n.search != kNone) meter_.pay(searches_[n.search].distance);
      return n.distance;
    }
    std::int64_t found = kUnknown;
    Meter::Cost cost = meter_.once([&] { found = tight(r) ? bound(r) : search_distance(r); });
    nodes_[r].distance = found;
    search_of(r).distance = cost;
    meter_.pay(cost);
    return found;
  }

  // The first byte of the canonical shortest string (the least byte that lowers the distance); -1 if `r` is at its end or dead.
  int first_byte(Id r) {
    std::int64_t d = distance(r);
    if (d <= 0) return -1;
    if (nodes_[r].opaque) return opaque_first_byte(r, d);
    if (nodes_[r].row == kNone) open_row(r);
    const Partitions::Classes& p = partitions_[nodes_[r].partition];
    std::vector<std::uint8_t> reps = p.representative;
    int best = -1;
    for (std::uint8_t rep : reps) {
      int b = partitions_.first(nodes_[r].partition, rep, alphabet_);
      if (b < 0) continue;
      Id next = step(r, b);
      if (next == kEmpty || (best >= 0 && b > best) || bound(next) > d - weight(b)) continue;
      std::int64_t rest = distance(next);
      if (rest >= 0 && rest <= d - weight(b)) best = b;
    }
    return best;
  }

  // The canonical shortest string. O(its length).
  std::string shortest(Id r) {
    std::string out;
    for (int b = first_byte(r); b >= 0; b = first_byte(r)) {
      out.push_back(static_cast<char>(b));
      r = step(r, b);
      meter_.charge();
    }
    return out;
  }

  // min(cap, number of strings): takes shortest strings away one by one. Charged.
  std::int64_t count_words(Id r, std::int64_t cap) {
    if (nodes_[r].opaque) return count_prefixes(r, cap);
    std::int64_t found = 0;
    for (Id taken = kEmpty, left = r; found < cap && live(left); ++found) {
      taken = insert_string(taken, shortest(left));
      left = conj({r, negate(taken)});
    }
    return found;
  }

  // Calls f(byte, width) for one byte of each class of spellable bytes; `width` is the size of the class.
  template <class F>
  void each_class(Id r, F f) {
    Id partition = this->partition(r);
    int n = static_cast<int>(partitions_[partition].representative.size());
    std::array<int, 256> first, width;
    first.fill(-1);
    width.fill(0);
    for (int b = 0; b < 256; ++b) {
      if (!has(alphabet_, b)) continue;
      int c = partitions_[partition].cls[b];
      if (first[c] < 0) first[c] = b;
      ++width[c];
    }
    for (int c = 0; c < n; ++c)
      if (first[c] >= 0) f(first[c], width[c]);
  }

  // Bytes b with step(r, b) == r.
  ByteSet self_loops(Id r) {
    if (nodes_[r].row == kNone) open_row(r);
    ByteSet out{};
    each_class(r, [&](int b, int) {
      if (step(r, b) != r) return;
      int c = partitions_[nodes_[r].partition].cls[b];
      for (int x = 0; x < 256; ++x)
        if (partitions_[nodes_[r].partition].cls[x] == c && has(alphabet_, x)) put(out, x);
    });
    return out;
  }

  // If `r` is, or has to begin with, a repeat of one character class: the class, and how many of its characters can be
  // read before anything else matters (most < 0: any number).
  struct Counter {
    Id body;
    std::int32_t most;
  };
  std::optional<Counter> counter(Id r) const {
    const Node& n = nodes_[r];
    if (n.kind == ReKind::Repeat && nodes_[n.a].is_char) return Counter{n.a, n.c};
    if (n.kind != ReKind::Cat || nodes_[n.a].kind != ReKind::Repeat || !nodes_[nodes_[n.a].a].is_char || nodes_[n.a].b < 1) return std::nullopt;
    return Counter{nodes_[n.a].a, nodes_[n.a].b};
  }
  // Is `r` a counter of any characters? Then `bounds` are its least and most.
  bool counts_text(Id r) const { return nodes_[r].kind == ReKind::Repeat && nodes_[r].a == any_char_; }
  std::pair<std::int32_t, std::int32_t> bounds(Id r) const { return {nodes_[r].b, nodes_[r].c}; }
  std::vector<Id> conjuncts(Id r) const {
    if (nodes_[r].kind != ReKind::And) return {r};
    return {lists_.begin(nodes_[r].list), lists_.end(nodes_[r].list)};
  }

  // ------------------------------------------------------------------ what tokens see of an expression (loosening.hpp)
  // An expression that is live after the same texts, where that is plain: free text, where `r` begins with any text; the same without its
  // lower bound, for a repeat of one character class. kNone if it is not.
  Id live_as(Id r);
  // The unbounded repeat of one character class with which the simple expression `r`, or an alternative of it, begins: while only that
  // class is read, `r` is live. kNone if there is none.
  Id leading_star(Id r) const;
  // A copy of `r` in which counters beyond `longest` are cut to it: the same masks for tokens of at most `longest`
  // characters. Only repeats of one character class are cut, where the cut cannot change what is live.
  Id mask_key(Id r, std::int32_t longest);
  // The same without counters from `few` on, for tokens of at most so many characters: they are live alike after each of them, and
  // accept them alike. None if there are no such counters (loosening.hpp).
  struct Loose {
    Id base;
    std::int32_t characters;
    bool counter;  // longer ones are dead
  };
  std::optional<Loose> loosened(Id r, std::int32_t few);

 private:
  static constexpr std::int32_t kNotYet = -2;
  static constexpr std::uint16_t kHeavy = 16;  // a derivative of so many parts counts one
  static constexpr std::int64_t kUnknown = -3;
  static constexpr Id kUnsought = -2;

  struct Node {
    ReKind kind = ReKind::Empty;
    bool nullable = false;
    bool is_char = false;  // exactly one code point
    bool is_text = false;  // only whole, valid UTF-8
    bool simple = true;    // no And, no Not: live unless Empty
    bool opaque = false;   // holds a state of a language that is read elsewhere
    std::int8_t lives = 0;   // opaque: 1 live, -1 not; 0: not known yet
    std::int8_t text_tail = 0, char_tail = 0;  // bytes of a character begun before a text, before its end; 0: not only such
    std::uint16_t weight = 0;  // parts that a derivative is made of, each with a row of its own
    Id a = 0, b = 0, c = 0;  // Cat: a b; Not: a; Repeat: a, least b, most c;
                             // Path: automaton a from b to c; Outside: language a, state b, bytes left c
    Id list = 0;             // Alt, And: operands; Switch: lo hi child ...
    Id partition = kNone, row = kNone;
    std::uint64_t hash = 0;
    Id witness = kUnsought;  // opaque And: the operand whose canonical completion is a string of all, or kNone
    std::int16_t first = -1;  // opaque: the first byte of the canonical string, if it was searched for
    std::int64_t distance = kUnknown, bound = kUnknown;
    Id search = kNone;  // what was found out about an expression that is not simple, and what it cost
  };
  struct Search {
    Meter::Cost distance;
    std::int64_t way = 0;   // work of finding `tight`
    std::int8_t tight = 0;  // 1, -1; 0: not known yet
  };
  Search& search_of(Id r) {
    if (nodes_[r].search == kNone) nodes_[r].search = static_cast<Id>(searches_.size()), searches_.emplace_back();
    return searches_[nodes_[r].search];
  }
  // Is x among the sorted `parts`?
  bool among(const std::vector<Id>& parts, Id x) const {
    return std::binary_search(parts.begin(), parts.end(), x, [&](Id p, Id q) { return before(p, q); });
  }
  Id intern(ReKind kind, bool nullable, Id a, Id b, Id c, const std::vector<Id>& list) {
    Id l = list.empty() ? 0 : lists_.add(list);
    std::uint64_t h = mix(mix(mix(static_cast<std::uint64_t>(kind) * 2 + nullable, static_cast<std::uint32_t>(a)),
                              static_cast<std::uint32_t>(b)),
                          mix(static_cast<std::uint32_t>(c), static_cast<std::uint32_t>(l)));
    if (2 * (nodes_.size() + 1) > table_.size()) grow();
    std::size_t slot = h & (table_.size() - 1);
    while (table_[slot] != kNone) {
      const Node& n = nodes_[table_[slot]];
      if (n.hash == h && n.kind == kind && n.nullable == nullable && n.a == a && n.b == b && n.c == c && n.list == l)
        return table_[slot];
      slot = (slot + 1) & (table_.size() - 1);
    }
    Id id = static_cast<Id>(nodes_.size());
    Node made;
    made.kind = kind, made.nullable = nullable, made.a = a, made.b = b, made.c = c, made.list = l, made.hash = h;
    made.weight = static_cast<std::uint16_t>(std::min<std::size_t>(weight_of(made), UINT16_MAX));
    nodes_.push_back(made);
    contents_.push_back(id <= kAll ? static_cast<std::uint64_t>(id) : std::max<std::uint64_t>(content_of(made), kAll + 1));
    table_[slot] = id;
    if (kind == ReKind::Epsilon) nodes_[id].is_text = true;
    return id;
  }
  std::size_t weight_of(const Node& n) const {
    if (n.kind == ReKind::Cat || n.kind == ReKind::Not || n.kind == ReKind::Repeat) return nodes_[n.a].weight;
    return n.kind == ReKind::Alt || n.kind == ReKind::And ? lists_.size(n.list) : 0;
  }
  // Of Outside: the language and the state by number, which depend on what was read before.
  std::uint64_t content_of(const Node& n) const {
    std::uint64_t h = mix(static_cast<std::uint64_t>(n.kind), n.nullable);
    switch (n.kind) {
      case ReKind::Cat: return mix(mix(h, contents_[n.a]), contents_[n.b]);
      case ReKind::Not: return mix(h, contents_[n.a]);
      case ReKind::Repeat: return mix(mix(h, contents_[n.a]), static_cast<std::uint32_t>(n.b) | static_cast<std::uint64_t>(static_cast<std::uint32_t>(n.c)) << 32);
      case ReKind::Path: return mix(mix(h, automata.content(n.a)), static_cast<std::uint32_t>(n.b) | static_cast<std::uint64_t>(static_cast<std::uint32_t>(n.c)) << 32);
      case ReKind::Outside: return mix(mix(h, static_cast<std::uint32_t>(n.a)), static_cast<std::uint32_t>(n.b));
      case ReKind::Switch:
        for (const Id* e = lists_.begin(n.list); e != lists_.end(n.list); e += 3) h = mix(mix(h, static_cast<std::uint64_t>(e[0]) * 256 + static_cast<std::uint64_t>(e[1])), contents_[e[2]]);
        return h;
      default:
        for (const Id* p = lists_.begin(n.list); p != lists_.end(n.list); ++p) h = mix(h, contents_[*p]);
        return h;
    }
  }
  void grow() {
    std::vector<Id> bigger(table_.size() * 2, kNone);
    for (Id id = 0; id < static_cast<Id>(nodes_.size()); ++id) {
      std::size_t slot = nodes_[id].hash & (bigger.size() - 1);
      while (bigger[slot] != kNone) slot = (slot + 1) & (bigger.size() - 1);
      bigger[slot] = id;
    }
    table_.swap(bigger);
  }

  // ------------------------------------------------------------------ switches: byte ranges to expressions
  Id switch_node(bool nullable, const std::vector<Id>& edges) {
    if (edges.empty()) return nullable ? kEpsilon : kEmpty;
    std::vector<Id> merged;
    for (std::size_t k = 0; k < edges.size(); k += 3) {
      if (!merged.empty() && merged[merged.size() - 1] == edges[k + 2] && merged[merged.size() - 2] + 1 == edges[k])
        merged[merged.size() - 2] = edges[k + 1];
      else merged.insert(merged.end(), {edges[k], edges[k + 1], edges[k + 2]});
    }
    Id made = intern(ReKind::Switch, nullable, 0, 0, 0, merged);
    bool simple = true, opaque = false;
    for (std::size_t k = 0; k < merged.size(); k += 3) {
      simple &= nodes_[merged[k + 2]].simple;
      opaque |= nodes_[merged[k + 2]].opaque;
    }
    nodes_[made].simple = simple;
    nodes_[made].opaque = opaque;
    classify(nodes_[made], merged);
    return made;
  }
  // Whether a switch holds whole characters only is told by its edges, however it was built.
  void classify(Node& n, const std::vector<Id>& edges) const {
    bool inside = !n.nullable, text = true, character = !n.nullable;
    int text_tail = -1, char_tail = -1;
    for (std::size_t k = 0; k < edges.size(); k += 3) {
      int lo = edges[k], hi = edges[k + 1];
      const Node& to = nodes_[edges[k + 2]];
      bool ends = edges[k + 2] == kEpsilon;
      inside = inside && lo >= 0x80 && hi < 0xC0;
      int after = to.is_text ? 0 : to.text_tail ? to.text_tail : 9, after_char = ends ? 0 : to.char_tail ? to.char_tail : 9;
      text_tail = text_tail < 0 || text_tail == after + 1 ? after + 1 : 9;
      char_tail = char_tail < 0 || char_tail == after_char + 1 ? after_char + 1 : 9;
      if (hi < 0x80) {
        text = text && to.is_text, character = character && ends;
        continue;
      }
      int more = lo < 0xE0 ? 1 : lo < 0xF0 ? 2 : 3;
      bool lead = lo >= 0xC2 && hi <= 0xF4 && (hi < 0xE0 ? 1 : hi < 0xF0 ? 2 : 3) == more && to.kind == ReKind::Switch && to.list;
      if (lead) {
        int first = *lists_.begin(to.list), last = *(lists_.end(to.list) - 2);
        auto holds = [&](int b) { return lo <= b && b <= hi; };
        lead = !(holds(0xE0) && first < 0xA0) && !(holds(0xED) && last > 0x9F) && !(holds(0xF0) && first < 0x90) && !(holds(0xF4) && last > 0x8F);
      }
      text = text && lead && to.text_tail == more;
      character = character && lead && to.char_tail == more;
    }
    n.is_text = text, n.is_char = character;
    n.text_tail = static_cast<std::int8_t>(inside && text_tail <= 3 ? text_tail : 0);
    n.char_tail = static_cast<std::int8_t>(inside && char_tail <= 3 ? char_tail : 0);
  }
  Id switch_on(const ByteSet& s, Id child) {
    if (child == kEmpty) return kEmpty;
    std::vector<Id> edges;
    for (int b = 0; b < 256; ++b)
      if (has(s, b)) {
        int hi = b;
        while (hi < 255 && has(s, hi + 1)) ++hi;
        edges.insert(edges.end(), {b, hi, child});
        b = hi;
      }
    return switch_node(false, edges);
  }
  std::vector<Id> edges_of(Id r) const {
    if (r == kEmpty || nodes_[r].kind != ReKind::Switch) return {};
    return {lists_.begin(nodes_[r].list), lists_.end(nodes_[r].list)};
  }
  Id child(Id r, int b) const {
    const Id* e = lists_.begin(nodes_[r].list);
    std::size_t lo = 0, hi = lists_.size(nodes_[r].list) / 3;
    while (lo < hi) {
      std::size_t mid = (lo + hi) / 2;
      if (e[3 * mid + 1] < b) lo = mid + 1;
      else hi = mid;
    }
    if (lo < lists_.size(nodes_[r].list) / 3 && e[3 * lo] <= b && b <= e[3 * lo + 1]) return e[3 * lo + 2];
    return kEmpty;
  }
  // Every path of switches ends at once in Epsilon: a set of single bytes.
  bool only_epsilon(Id r) const {
    const Id* e = lists_.begin(nodes_[r].list);
    for (std::size_t k = 2; k < lists_.size(nodes_[r].list); k += 3)
      if (e[k] != kEpsilon) return false;
    return !nodes_[r].nullable;
  }
  Id retarget(Id r, Id target) {
    std::vector<Id> edges = edges_of(r);
    for (std::size_t k = 2; k < edges.size(); k += 3) edges[k] = target;
    return switch_node(false, edges);
  }
  // The union of switches, edge by edge; children of overlapping edges are united too.
  Id merge_switches(std::vector<Id> parts);

  // ------------------------------------------------------------------ UTF-8
  void add_utf8(std::vector<Id>& out, std::uint32_t lo, std::uint32_t hi);

  // ------------------------------------------------------------------ Boolean rewrites
  void flatten(std::vector<Id>& parts, ReKind kind) {
    for (std::size_t i = 0; i < parts.size(); ++i)
      if (nodes_[parts[i]].kind == kind) {
        std::vector<Id> inner(lists_.begin(nodes_[parts[i]].list), lists_.end(nodes_[parts[i]].list));
        parts[i] = inner[0];
        parts.insert(parts.end(), inner.begin() + 1, inner.end());
      }
    sort(parts);
  }
  // Can the simple expression `r` plainly go on after every text, and is it one of texts?
  bool goes_on(Id r) const;
  // Does `r` plainly contain every text?
  bool holds_text(Id r) const {
    if (r == text_) return true;
    const Node& n = nodes_[r];
    return n.kind == ReKind::Alt && std::find(lists_.begin(n.list), lists_.end(n.list), text_) != lists_.end(n.list);
  }
  // x | (text & ~x) = text for a language x of texts, and text absorbs such languages. True if `parts` (sorted) changed.
  bool complements_in_text(std::vector<Id>& parts) const {
    bool all = among(parts, text_), found = false;
    for (std::size_t i = 0; i < parts.size() && !all && !found; ++i) {
      const Node& n = nodes_[parts[i]];
      if (n.kind != ReKind::And || lists_.size(n.list) != 2) continue;
      const Id* two = lists_.begin(n.list);
      Id other = two[0] == text_ ? two[1] : two[1] == text_ ? two[0] : kEmpty;
      found = nodes_[other].kind == ReKind::Not && nodes_[nodes_[other].a].is_text && among(parts, nodes_[other].a);
    }
    if (!all && !found) return false;
    std::size_t before = parts.size();
    parts.erase(std::remove_if(parts.begin(), parts.end(), [&](Id p) { return p != text_ && nodes_[p].is_text; }), parts.end());
    if (found) parts.push_back(text_);
    return found || parts.size() != before;
  }
  // text & ~(text & ~x) = text & x for an opaque x, whose complement would have to be searched. True if `parts` changed.
  bool undoes_complement(std::vector<Id>& parts) const {
    if (!among(parts, text_)) return false;
    for (Id& p : parts) {
      if (!nodes_[p].opaque || nodes_[p].kind != ReKind::Not) continue;
      std::vector<Id> two = conjuncts(nodes_[p].a);
      if (two.size() != 2) continue;
      Id other = two[0] == text_ ? two[1] : two[1] == text_ ? two[0] : kEmpty;
      if (nodes_[other].kind == ReKind::Not) return p = nodes_[other].a, true;
    }
    return false;
  }
  // x{a,b} & any{c,d} = x{max, min} for a character class x: length bounds cost no product.
  void merge_counters(std::vector<Id>& parts) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const Node n = nodes_[parts[i]];
      if (n.kind != ReKind::Repeat || n.a != any_char_) continue;
      for (std::size_t j = 0; j < parts.size(); ++j) {
        if (i == j) continue;
        const Node m = nodes_[parts[j]];
        Id body = m.kind == ReKind::Repeat ? m.a : parts[j];
        if (!nodes_[body].is_char) continue;
        std::int32_t mlo = m.kind == ReKind::Repeat ? m.b : 1, mhi = m.kind == ReKind::Repeat ? m.c : 1;
        std::int32_t lo = std::max(n.b, mlo);
        std::int32_t hi = n.c < 0 ? mhi : mhi < 0 ? n.c : std::min(n.c, mhi);
        Id joined = hi >= 0 && lo > hi ? kEmpty : repeat(body, lo, hi);
        parts.erase(parts.begin() + std::max(i, j));
        parts.erase(parts.begin() + std::min(i, j));
        parts.push_back(joined);
        sort(parts);
        return merge_counters(parts);
      }
    }
  }

  // ------------------------------------------------------------------ byte classes
  Id partition(Id r) {
    if (nodes_[r].partition != kNone) return nodes_[r].partition;
    const Node n = nodes_[r];
    Id made = 0;
    switch (n.kind) {
      case ReKind::Empty:
      case ReKind::Epsilon: break;
      case ReKind::Cat:
        made = partition(n.a);
        if (nodes_[n.a].nullable) made = partitions_.join(made, partition(n.b));
        break;
      case ReKind::Alt:
      case ReKind::And:
        for (std::size_t i = 0; i < lists_.size(n.list); ++i) {
          Id part = lists_.begin(n.list)[i];
          made = partitions_.join(made, partition(part));
        }
        break;
      case ReKind::Not:
      case ReKind::Repeat: made = partition(n.a); break;
      case ReKind::Switch: {
        std::array<int, 256> key;
        key.fill(0);
        const Id* e = lists_.begin(n.list);
        for (std::size_t k = 0; k < lists_.size(n.list); k += 3)
          for (int b = e[k]; b <= e[k + 1]; ++b) key[b] = e[k + 2] + 1;
        made = partitions_.add(key);
        break;
      }
      case ReKind::Path: made = partitions_.add(automata.row(n.a, n.b)); break;
      case ReKind::Outside: {
        std::array<int, 256> key;
        for (int b = 0; b < 256; ++b) key[b] = b;
        made = partitions_.add(key);
        break;
      }
    }
    nodes_[r].partition = made;
    return made;
  }
  void open_row(Id r) {
    Id p = partition(r);
    nodes_[r].row = static_cast<Id>(rows_.size());
    rows_.resize(rows_.size() + partitions_[p].representative.size(), kNotYet);
  }
  // ------------------------------------------------------------------ derivatives
  Id derive(Id r, int b) {
    meter_.charge();
    const Node n = nodes_[r];
    switch (n.kind) {
      case ReKind::Empty:
      case ReKind::Epsilon: return kEmpty;
      case ReKind::Switch: return child(r, b);
      case ReKind::Not: return negate(step(n.a, b));
      case ReKind::Path: return path(n.a, automata.next(n.a, n.b, b), n.c);
      case ReKind::Outside: {
        int left = b < 0x80 ? 0 : b < 0xC0 ? n.c - 1 : b < 0xE0 ? 1 : b < 0xF0 ? 2 : 3;
        return outside(n.a, languages_[n.a]->step(n.b, b), left);
      }
      case ReKind::Cat: {
        Id first = cat(step(n.a, b), n.b);
        if (!nodes_[n.a].nullable) return first;
        return alt({first, step(n.b, b)});
      }
      case ReKind::Repeat: {
        Id rest = repeat(n.a, n.b > 0 ? n.b - 1 : 0, n.c < 0 ? n.c : n.c - 1);
        return cat(step(n.a, b), rest);
      }
      case ReKind::Alt:
      case ReKind::And: {
        std::vector<Id> parts;
        parts.reserve(lists_.size(n.list));
        for (std::size_t i = 0; i < lists_.size(n.list); ++i) {
          Id part = lists_.begin(n.list)[i];
          Id d = step(part, b);
          if (n.kind == ReKind::And && d == kEmpty) return kEmpty;
          parts.push_back(d);
        }
        return n.kind == ReKind::Alt ? alt(std::move(parts)) : conj(std::move(parts));
      }
    }
    return kEmpty;
  }

  // ------------------------------------------------------------------ distances
  static std::int64_t saturate(std::int64_t x) { return std::min<std::int64_t>(x, INT64_MAX / 4); }
  std::int64_t simple_distance(Id r);
  std::int64_t switch_distance(Id root);
  // A lower bound of the distance that needs no search, or -1 if the language is plainly empty: exact for what holds no
  // Boolean operation, and an intersection is as far as its farthest part.
  std::int64_t bound(Id r) {
    if (nodes_[r].opaque) opaque_once(r, kBound, [&] { nodes_[r].bound = find_bound(r); });
    else if (nodes_[r].bound == kUnknown) nodes_[r].bound = find_bound(r);
    return nodes_[r].bound;
  }
  std::int64_t find_bound(Id r);
  static std::int64_t add(std::int64_t x, std::int64_t y) { return x < 0 || y < 0 ? -1 : saturate(x + y); }

  bool tight(Id root);
  static constexpr std::int64_t kLongWay = 1000, kSharedWay = 128;
  std::int64_t search_distance(Id root);

  // ------------------------------------------------------------------ opaque expressions
  // What is asked about opaque expressions is counted when it is found, and counts one afterwards (opaque.hpp).
  enum Question : std::uint64_t { kStepOf = 0, kLives = 256, kDistance, kWitness, kBound };
  template <class F>
  void opaque_once(Id r, std::uint64_t question, F&& compute) {
    std::uint64_t key = static_cast<std::uint64_t>(r) << 16 | question;
    meter_.charge();
    if (opaque_known_.count(key)) return;
    compute();
    opaque_known_.insert(key);
  }
  Id opaque_step(Id r, int b);
  bool begins_within(Id r, const unsigned char* first, const unsigned char* last, int n);
  // The state among the operands of an intersection whose canonical completion all others accept: the shortest, kNone if
  // there is none. O(operands * bytes of the completions).
  Id witness(Id r);
  // If `r` is a state and a number of characters that its canonical completion falls short of, and there is a place on the way
  // at which a character may be repeated: the state. Then that is done at the first such place.
  struct Padded {
    Id leaf = kNone;
    std::int64_t missing = 0;  // characters
  };
  Padded padded(Id r);
  // Has `r` a string without a search?
  bool plainly_live(Id r);
  // Is there room for the states of an intersection in the numbers of characters that it allows?
  bool fits(Id r);
  bool opaque_live(Id root);
  // Best-first search for a string; what is found to be dead is remembered for every expression visited.
  bool opaque_search(Id root);
  std::int64_t opaque_distance(Id r);
  std::int64_t find_opaque_distance(Id r);
  Id find_witness(Id r);
  // The distance of what is not plainly live: by the fewest bytes to what is, and of these ways the one of least distance. Both
  // are functions of the expression, which a search for the shortest string would be too, at a price. Layer by layer.
  std::int64_t find_plain(Id root);
  bool plain(Id r) { return nodes_[r].opaque && nodes_[r].kind != ReKind::Alt ? plainly_live(r) : live(r); }
  int opaque_first_byte(Id r, std::int64_t d);
  // min(cap, number of strings) by prefixes: distinct live prefixes of one length begin distinct strings.
  std::int64_t count_prefixes(Id root, std::int64_t cap);

  ByteSet alphabet_;
  Meter& meter_;
  std::vector<OutsideLanguage*> languages_;
  std::vector<std::vector<Id>> leaves_;  // by language and state: its expression
  std::size_t leaves_bytes_ = 0;
  bool by_characters_ = false;
  Blocks<Node> nodes_;
  std::vector<std::uint64_t> contents_;
  Blocks<Search> searches_;
  std::unordered_set<std::uint64_t> opaque_known_;
  ListStore lists_;
  std::vector<Id> table_;
  std::vector<std::int32_t> rows_;
  Partitions partitions_;
  Id any_char_ = kEmpty, text_ = kEmpty;
};

}  // namespace constrain

#include "distances.hpp"
#include "loosening.hpp"
#include "opaque.hpp"
#include "switches.hpp"
