// Terminals that repeat a text of their own choice: a here-document ends with the word that it began with.
//
// A *capture* is `before`, a text of `group`, and *pieces* between every two of which that text stands again. No such language
// is regular, but what remains of one after some text is described by a few numbers:
//
//   before   a residual of `before`
//   group    a residual of `group`, and the text read of it
//   rest     the text, and places: (piece, residual of it) or (repetition, bytes read of it), the union of their languages
//
// The bytes decide where `before` and the group end (`check`), so there is one residual at a time. `Residuals` gives these
// numbers from `kFirst` up and passes on all others to the store of regular expressions: for lexers and all that asks about
// their states there is one kind of residual. A *lazy* capture ends where it first can, and `after`, which may be empty, goes
// on from there; what its terminal says must not follow (`unless`, one character) decides whether it can.
//
// Masks would need a lexer state for every text. So the text can be left out: of a group only the room that is left for it is
// kept, of the rest only its first byte (`reduced`). Such *abstract* residuals are derived like others, until the answer
// depends on the text: that is `kUnsure`. Static questions are asked about the *outline*, the regular language in which any
// text of the group may stand in each of its places.
//
// A text has at most `most` bytes. Memory: 60 bytes a text, 16 bytes and 8 a place for a residual, until `collect`. Regular
// expressions are made for the grammar alone and not for texts. Not thread-safe.
#pragma once
#include <map>

#include "collection.hpp"
#include "regex.hpp"

namespace constrain {

struct Capture {
  Id before = RegexStore::kEpsilon, group = RegexStore::kEmpty, after = RegexStore::kEpsilon;
  std::vector<Id> pieces;  // at least two
  std::int32_t most = 0;   // bytes of the text
  bool lazy = false;
  Id unless = kNone;       // of its terminal
};

class Residuals {
 public:
  static constexpr Id kFirst = 1 << 29, kUnsure = -2;

  Residuals(RegexStore& re, Meter& meter, std::vector<Capture> captures) : re_(re), meter_(meter), captures_(std::move(captures)) {
    texts_.emplace_back();
    text_ids_.emplace(std::string(), 0);
    for (const Capture& c : captures_) {
      endings_.push_back(find_ends(c.group));
      starts_.push_back(possible(c) ? make(static_cast<Id>(starts_.size()), kBefore, 0, kNone, {c.before}) : RegexStore::kEmpty);
    }
  }

  // ------------------------------------------------------------------ captures
  // Throws SourceError(1) if the bytes do not decide where `before` and the group of `c` end.
  static void check(RegexStore& re, Meter& meter, const Capture& c) {
    if (re.nullable(c.pieces[0])) throw SourceError(1, "a back-reference to a group after which nothing has to stand");
    ByteSet rest = first_bytes(re, c.pieces[0]), begins = first_bytes(re, c.group);
    if (re.nullable(c.group)) join(begins, rest);
    const char* what = nullptr;
    each_reachable(re, meter, c.group, [&](Id r) {
      if (re.nullable(r) && overlap(first_bytes(re, r), rest))
        what = "a back-reference to a group of many texts, one of which can go on with a byte that what follows the group begins with";
    });
    each_reachable(re, meter, c.before, [&](Id r) {
      if (re.nullable(r) && overlap(first_bytes(re, r), begins))
        what = "a back-reference to a group of many texts, before which stands what can go on with a byte that the group begins with";
    });
    if (what) throw SourceError(1, what);
  }
  const Capture& capture(Id k) const { return captures_[static_cast<std::size_t>(k)]; }
  // All of capture k, before any text; kEmpty if it has no text.
  Id start(Id k) const { return starts_[static_cast<std::size_t>(k)]; }
  // A regular language that holds all texts of capture k.
  Id outline_of(Id k) { return outline(start(k)); }

  // ------------------------------------------------------------------ as of regular expressions
  RegexStore& store() { return re_; }
  const ByteSet& alphabet() const { return re_.alphabet(); }
  std::int64_t weight(int b) const { return re_.weight(b); }
  Id any_char() const { return re_.any_char(); }
  Id conj(std::vector<Id> parts) { return re_.conj(std::move(parts)); }
  Id alt(std::vector<Id> parts) { return re_.alt(std::move(parts)); }
  Id negate(Id r) { return re_.negate(r); }

  bool nullable(Id r) const { return r < kFirst ? re_.nullable(r) : accepts(view(r)); }
  bool live(Id r) {
    if (r < kFirst) return re_.live(r);
    Entry e = view(r);
    return e.asked == kNone || asked_byte(r) >= 0;
  }
  Id step(Id r, int b) {
    if (r < kFirst) return re_.step(r, b);
    meter_.charge(2);
    return has(re_.alphabet(), b) ? derive(view(r), b) : RegexStore::kEmpty;
  }
  // kUnsure: the answer depends on what is left out of an abstract residual.
  Id live_step(Id r, int b) {
    if (r < kFirst) return re_.live_step(r, b);
    Id next = step(r, b);
    if (next == kUnsure || next == RegexStore::kEmpty || live(next)) return next;
    return abstract(next) ? static_cast<Id>(kUnsure) : static_cast<Id>(RegexStore::kEmpty);
  }
  template <class F>
  void each_class(Id r, F&& f) {
    if (r < kFirst) return re_.each_class(r, f);
    for (int b = 0; b < 256; ++b)
      if (has(re_.alphabet(), b)) f(b, 1);
  }
  // Of a residual that is not abstract. `first_byte` lowers it.
  std::int64_t distance(Id r) {
    if (r < kFirst) return re_.distance(r);
    Entry e = view(r);
    if (e.phase == kRest && e.asked != kNone) {
      int b = asked_byte(r);
      return b < 0 ? -1 : re_.weight(b) + distance(step(r, b));
    }
    if (e.phase == kRest) return places_distance(e);
    const Capture& c = captures_[static_cast<std::size_t>(e.capture)];
    std::int64_t text = e.phase == kGroup ? weight_of(texts_[static_cast<std::size_t>(e.text)], 0) : 0;
    std::int64_t rest = e.phase == kBefore ? ends_.at(c.group).weight : ends_.at(e.x[0]).weight, all = rest;
    if (e.phase == kBefore) all += re_.distance(e.x[0]);
    for (std::size_t k = 0; k < c.pieces.size(); ++k) all += re_.distance(c.pieces[k]) + (k ? text + rest : 0);
    return all;
  }
  int first_byte(Id r) {
    if (r < kFirst) return re_.first_byte(r);
    Entry e = view(r);
    const Capture& c = captures_[static_cast<std::size_t>(e.capture)];
    if (e.phase == kRest) return e.asked == kNone ? places_byte(e) : asked_byte(r);
    if (e.phase == kBefore && !re_.nullable(e.x[0])) return re_.first_byte(e.x[0]);
    const GroupEnd& end = ends_.at(e.phase == kBefore ? c.group : e.x[0]);
    return end.bytes ? end.byte : re_.first_byte(c.pieces[0]);
  }
  std::string shortest(Id r) {
    std::string out;
    for (int b = -1; r >= kFirst && (b = first_byte(r)) >= 0;) out.push_back(static_cast<char>(b)), r = step(r, b);
    return r < kFirst ? out + re_.shortest(r) : out;
  }

  // ------------------------------------------------------------------ residuals without their texts
  // Bytes that are read at most from a reduced residual before another one is taken.
  std::int32_t reach = INT32_MAX / 2;

  bool captured(Id r) const { return r >= kFirst; }
  bool abstract(Id r) const { return r >= kFirst && view(r).phase >= kAnyGroup; }
  // Does it depend on a text, so that there is no end of such residuals?
  bool textual(Id r) const {
    if (r < kFirst) return false;
    Entry e = view(r);
    return e.phase == kGroup || (e.phase == kRest && e.text);
  }
  // Is the text still to be chosen, or not known?
  bool open(Id r) const { return r >= kFirst && view(r).phase != kRest; }
  // The residual without its text, where that says as much about the next `reach` bytes or says kUnsure.
  Id reduced(Id r) {
    if (!textual(r)) return r;
    Entry e = view(r);
    const Capture& c = captures_[static_cast<std::size_t>(e.capture)];
    const std::string& text = texts_[static_cast<std::size_t>(e.text)];
    if (e.phase == kGroup) {
      std::int64_t room = c.most - static_cast<std::int64_t>(text.size()), plenty = static_cast<std::int64_t>(reach) + farthest_;
      return make(e.capture, kAnyGroup, room >= plenty ? kPlenty : static_cast<Id>(room), kNone, e.x);
    }
    for (std::size_t i = 0; i < e.x.size(); i += 2)
      if (e.x[i] % 2 && e.x[i + 1]) return r;
    return make(e.capture, kAnyRest, static_cast<unsigned char>(text[0]), e.asked, e.x);
  }
  // A regular language that holds that of the residual.
  Id outline(Id r) {
    if (r < kFirst) return r;
    Entry e = view(r);
    const Capture& c = captures_[static_cast<std::size_t>(e.capture)];
    if (e.phase == kBefore) return re_.cat(e.x[0], re_.cat(c.group, outline_from(c, 0)));
    if (e.phase == kGroup || e.phase == kAnyGroup) return re_.cat(e.x[0], outline_from(c, 0));
    std::vector<Id> ways;
    for (std::size_t i = 0; i < e.x.size(); i += 2) {
      std::size_t k = static_cast<std::size_t>(e.x[i]) / 2;
      if (e.x[i] % 2) ways.push_back(re_.cat(e.x[i + 1] ? endings_[static_cast<std::size_t>(e.capture)] : c.group, outline_from(c, k + 1)));
      else ways.push_back(re_.cat(e.x[i + 1], outline_after(c, k)));
    }
    return re_.alt(std::move(ways));
  }
  // Does it stop at its first match, with nothing to follow there?
  bool stops(Id k) const { return captures_[static_cast<std::size_t>(k)].lazy && captures_[static_cast<std::size_t>(k)].after == RegexStore::kEpsilon; }

  // ------------------------------------------------------------------ memory
  std::size_t bytes() const { return entries_.bytes() + text_bytes_ + texts_.size() * 64; }
  std::size_t count() const { return entries_.count(); }
  // Forgets all residuals but those that `kept` marks (by number from 0) and the first ones, and numbers them afresh.
  void collect(Kept& kept) {
    kept.mark(0);
    for (Id s : starts_)
      if (s >= kFirst) kept.mark(s - kFirst);
    kept.number();
    Kept texts(texts_.size());
    texts.mark(0);
    kept.each([&](Id id) {
      if (id && holds_text(entries_.begin(id)[1])) texts.mark(entries_.begin(id)[2]);
    });
    texts.number();
    entries_ = copied(entries_, kept, [&](std::vector<Id>& e) {
      if (!e.empty() && holds_text(e[1])) e[2] = texts(e[2]);
    });
    for (Id& s : starts_)
      if (s >= kFirst) s = kFirst + kept(s - kFirst);
    std::vector<std::string> before;
    before.swap(texts_);
    text_ids_ = {};
    text_bytes_ = 0;
    texts.each([&](Id id) { text_of(before[static_cast<std::size_t>(id)]); });
  }

 private:
  enum Phase : Id { kBefore, kGroup, kRest, kAnyGroup, kAnyRest };
  static constexpr Id kPlenty = INT32_MAX;  // room
  static constexpr std::size_t kEndings = 32;
  static constexpr Id kAnyByte = 256;       // of which a text may begin
  // `text`: its number; of kAnyGroup the room for more of it, of kAnyRest its first byte. `asked`: a language that what
  // follows must begin with (kNone: any). `x`: the residual of `before` or of the group, or places (part, where) in order,
  // of which part 2k is piece k and 2k + 1 the repetition after it.
  struct Entry {
    Id capture, phase, text, asked;
    std::vector<Id> x;
  };
  using Places = std::vector<Id>;
  // The way to the nearest end of a group.
  struct GroupEnd {
    std::int32_t bytes = 0;
    int byte = -1;
    std::int64_t weight = 0;
  };

  Entry view(Id r) const {
    const Id* e = entries_.begin(r - kFirst);
    return {e[0], e[1], e[2], e[3], {e + 4, entries_.end(r - kFirst)}};
  }
  Id make(Id capture, Id phase, Id text, Id asked, const std::vector<Id>& x) {
    std::vector<Id> e{capture, phase, text, asked};
    e.insert(e.end(), x.begin(), x.end());
    return kFirst + entries_.add(e);
  }
  static bool holds_text(Id phase) { return phase == kGroup || phase == kRest; }
  Id text_of(const std::string& text) {
    auto [it, fresh] = text_ids_.try_emplace(text, static_cast<Id>(texts_.size()));
    if (fresh) texts_.push_back(text), text_bytes_ += 2 * text.size();
    return it->second;
  }

  // ------------------------------------------------------------------ derivatives
  Id derive(const Entry& e, int b) {
    const Capture& c = captures_[static_cast<std::size_t>(e.capture)];
    if (e.phase == kRest || e.phase == kAnyRest) return derive_rest(e, b);
    Id group = e.x[0];
    if (e.phase == kBefore) {
      Id on = re_.live_step(group, b);
      if (on != RegexStore::kEmpty) return make(e.capture, kBefore, 0, kNone, {on});
      if (!re_.nullable(group)) return RegexStore::kEmpty;
      group = c.group;
    }
    Id on = re_.live_step(group, b);
    if (on != RegexStore::kEmpty) {
      std::int32_t needed = ends_.at(on).bytes;
      if (e.phase == kAnyGroup) {
        if (e.text == kPlenty) return make(e.capture, kAnyGroup, kPlenty, kNone, {on});
        return 1 + needed > e.text ? RegexStore::kEmpty : make(e.capture, kAnyGroup, e.text - 1, kNone, {on});
      }
      std::string text = texts_[static_cast<std::size_t>(e.text)];
      text.push_back(static_cast<char>(b));
      if (static_cast<std::int64_t>(text.size()) + needed > c.most) return RegexStore::kEmpty;
      return make(e.capture, kGroup, text_of(text), kNone, {on});
    }
    if (!re_.nullable(group)) return RegexStore::kEmpty;
    Entry rest{e.capture, e.phase == kAnyGroup ? kAnyRest : kRest, e.phase == kAnyGroup ? kAnyByte : e.text, kNone, {0, c.pieces[0]}};
    return derive_rest(rest, b);
  }
  Id derive_rest(const Entry& e, int b) {
    const Capture& c = captures_[static_cast<std::size_t>(e.capture)];
    Id asked = e.asked;
    if (c.lazy && c.unless != kNone && accepts(e)) asked = both(asked, re_.cat(c.unless, RegexStore::kAll));
    if (asked != kNone) {
      asked = re_.live_step(asked, b);
      if (asked == RegexStore::kEmpty) return RegexStore::kEmpty;
      if (asked == RegexStore::kAll) asked = kNone;
    }
    Entry next{e.capture, e.phase, e.text, asked, {}};
    for (std::size_t i = 0; i < e.x.size(); i += 2) {
      Id part = e.x[i], at = e.x[i + 1];
      if (part % 2 == 0) {
        Id on = re_.live_step(at, b);
        if (on != RegexStore::kEmpty) reach_place(next, part, on);
      } else if (e.phase == kAnyRest) {
        if (e.text == kAnyByte || e.text == b) return kUnsure;
      } else {
        const std::string& text = texts_[static_cast<std::size_t>(e.text)];
        if (static_cast<unsigned char>(text[static_cast<std::size_t>(at)]) == b) reach_place(next, part, at + 1);
      }
    }
    return finished(next);
  }
  Id both(Id asked, Id more) { return asked == kNone ? more : re_.conj({asked, more}); }
  // Adds a place, and what begins where it is at an end.
  void reach_place(Entry& e, Id part, Id at) {
    const Capture& c = captures_[static_cast<std::size_t>(e.capture)];
    Id last = static_cast<Id>(2 * c.pieces.size()) - 2;
    for (;;) {
      bool at_end;
      if (part % 2) {
        at_end = e.phase == kRest && at == static_cast<Id>(texts_[static_cast<std::size_t>(e.text)].size());
        if (!at_end) return e.x.push_back(part), e.x.push_back(at);
      } else {
        e.x.push_back(part), e.x.push_back(at);
        at_end = re_.nullable(at) && part < last;
        if (!at_end) return;
      }
      ++part;
      at = part % 2 ? 0 : c.pieces[static_cast<std::size_t>(part) / 2];
    }
  }
  // The residual of these places, in order, each piece once; without its text where no repetition is to come.
  Id finished(Entry& e) {
    if (e.x.empty()) return RegexStore::kEmpty;
    const Capture& c = captures_[static_cast<std::size_t>(e.capture)];
    std::map<Id, std::vector<Id>> by_piece;
    std::vector<std::pair<Id, Id>> places;
    for (std::size_t i = 0; i < e.x.size(); i += 2)
      if (e.x[i] % 2) places.emplace_back(e.x[i], e.x[i + 1]);
      else by_piece[e.x[i]].push_back(e.x[i + 1]);
    for (auto& [part, residuals] : by_piece) places.emplace_back(part, residuals.size() == 1 ? residuals[0] : re_.alt(residuals));
    std::sort(places.begin(), places.end());
    places.erase(std::unique(places.begin(), places.end()), places.end());
    e.x.clear();
    for (auto [part, at] : places) e.x.push_back(part), e.x.push_back(at);
    if (c.lazy && c.unless == kNone && accepts(e)) return c.after;
    if (e.x[0] == static_cast<Id>(2 * c.pieces.size()) - 2) {
      if (!c.lazy) return e.x[1];
      e.phase = kRest, e.text = 0;
    }
    return make(e.capture, e.phase, e.text, e.asked, e.x);
  }
  bool accepts(const Entry& e) const {
    if (e.phase != kRest && e.phase != kAnyRest) return false;
    std::size_t n = e.x.size();
    return e.asked == kNone && e.x[n - 2] == static_cast<Id>(2 * captures_[static_cast<std::size_t>(e.capture)].pieces.size()) - 2 && re_.nullable(e.x[n - 1]);
  }

  // ------------------------------------------------------------------ distances of the rest
  std::int64_t weight_of(const std::string& text, std::size_t from) const {
    std::int64_t n = 0;
    for (std::size_t i = from; i < text.size(); ++i) n += re_.weight(static_cast<unsigned char>(text[i]));
    return n;
  }
  std::int64_t place_distance(const Entry& e, std::size_t i) {
    const Capture& c = captures_[static_cast<std::size_t>(e.capture)];
    const std::string& text = texts_[static_cast<std::size_t>(e.text)];
    std::size_t k = static_cast<std::size_t>(e.x[i]) / 2;
    bool repeats = e.x[i] % 2;
    std::int64_t n = repeats ? weight_of(text, static_cast<std::size_t>(e.x[i + 1])) : re_.distance(e.x[i + 1]), whole = weight_of(text, 0);
    for (std::size_t j = k + 1; j < c.pieces.size(); ++j) n += re_.distance(c.pieces[j]) + (repeats && j == k + 1 ? 0 : whole);
    return n;
  }
  std::int64_t places_distance(const Entry& e) {
    std::int64_t least = INT64_MAX;
    for (std::size_t i = 0; i < e.x.size(); i += 2) least = std::min(least, place_distance(e, i));
    return least;
  }
  int places_byte(const Entry& e) {
    std::int64_t least = places_distance(e);
    int best = -1;
    for (std::size_t i = 0; i < e.x.size() && least > 0; i += 2) {
      if (place_distance(e, i) != least) continue;
      int b = e.x[i] % 2 ? static_cast<unsigned char>(texts_[static_cast<std::size_t>(e.text)][static_cast<std::size_t>(e.x[i + 1])]) : re_.first_byte(e.x[i + 1]);
      if (b >= 0 && (best < 0 || b < best)) best = b;
    }
    return best;
  }
  // Where the next character is restricted, by trying its bytes: the least one after which there is a way on; -1 if there is none.
  // A way on has at most the rest of that character before it.
  int asked_byte(Id r) {
    for (int b = 0; b < 256; ++b) {
      Id next = step(r, b);
      if (next == RegexStore::kEmpty || next == kUnsure) continue;
      if (next < kFirst || view(next).asked == kNone || asked_byte(next) >= 0) return b;
    }
    return -1;
  }

  // ------------------------------------------------------------------ what is known of a capture
  static ByteSet first_bytes(RegexStore& re, Id r) {
    ByteSet out{};
    for (int b = 0; b < 256; ++b)
      if (has(re.alphabet(), b) && re.live_step(r, b) != RegexStore::kEmpty) put(out, b);
    return out;
  }
  static void join(ByteSet& into, const ByteSet& from) {
    for (int w = 0; w < 4; ++w) into[w] |= from[w];
  }
  static bool overlap(const ByteSet& a, const ByteSet& b) { return (a[0] & b[0]) | (a[1] & b[1]) | (a[2] & b[2]) | (a[3] & b[3]); }
  template <class F>
  static void each_reachable(RegexStore& re, Meter& meter, Id root, F&& f) {
    if (!re.live(root)) return;
    std::vector<Id> open{root};
    std::unordered_set<Id> seen{root};
    for (std::size_t k = 0; k < open.size(); ++k) {
      Id r = open[k];
      f(r);
      meter.charge(16);
      re.each_class(r, [&](int b, int) {
        Id next = re.live_step(r, b);
        if (next != RegexStore::kEmpty && seen.insert(next).second) open.push_back(next);
      });
    }
  }
  // For every residual of a group, the way to its nearest end: breadth first from the ends. Returns a language that holds all
  // that texts of the group end with.
  Id find_ends(Id group) {
    std::vector<Id> all, open;
    std::unordered_map<Id, std::vector<Id>> before;
    each_reachable(re_, meter_, group, [&](Id r) {
      all.push_back(r);
      if (re_.nullable(r)) open.push_back(r), ends_[r] = GroupEnd();
    });
    for (Id r : all)
      re_.each_class(r, [&](int b, int) {
        Id next = re_.live_step(r, b);
        if (next != RegexStore::kEmpty) before[next].push_back(r);
      });
    std::unordered_set<Id> done(open.begin(), open.end());
    for (std::size_t k = 0; k < open.size(); ++k) {
      GroupEnd here = ends_.at(open[k]);
      farthest_ = std::max<std::int64_t>(farthest_, here.bytes);
      for (Id r : before[open[k]])
        if (done.insert(r).second) open.push_back(r), ends_[r].bytes = here.bytes + 1;
    }
    for (Id r : open) {
      GroupEnd& end = ends_.at(r);
      for (int b = 0; b < 256 && end.bytes && end.byte < 0; ++b) {
        Id next = has(re_.alphabet(), b) ? re_.live_step(r, b) : RegexStore::kEmpty;
        if (next != RegexStore::kEmpty && ends_.at(next).bytes + 1 == end.bytes) end.byte = b, end.weight = re_.weight(b) + ends_.at(next).weight;
      }
    }
    return all.size() > kEndings ? static_cast<Id>(RegexStore::kAll) : re_.alt(all);
  }
  // Has it a text?
  bool possible(const Capture& c) {
    bool live = re_.live(c.before) && ends_.count(c.group) && ends_.at(c.group).bytes <= c.most;
    for (Id p : c.pieces) live = live && re_.live(p);
    return live;
  }
  // What follows the group from piece k on, with any text of the group for the repetitions.
  Id outline_from(const Capture& c, std::size_t k) { return re_.cat(c.pieces[k], outline_after(c, k)); }
  Id outline_after(const Capture& c, std::size_t k) {
    Id rest = c.after;
    for (std::size_t j = c.pieces.size(); --j > k;) rest = re_.cat(c.group, re_.cat(c.pieces[j], rest));
    return rest;
  }

  RegexStore& re_;
  Meter& meter_;
  std::vector<Capture> captures_;
  std::vector<Id> starts_, endings_;  // by capture
  std::unordered_map<Id, GroupEnd> ends_;  // by residual of a group
  std::int64_t farthest_ = 0;              // bytes to an end, the most of any
  ListStore entries_;
  std::vector<std::string> texts_;
  std::unordered_map<std::string, Id> text_ids_;
  std::size_t text_bytes_ = 0;
};

}  // namespace constrain
