// Documents: the pushdown that reads a text byte by byte, and the canonical way to finish it.
//
// A *configuration* is the lexer state at the top and a persistent stack of container frames below it:
//
//     Config { lexer, frame } -> Frame (object or array in progress) -> Frame -> ... -> nothing
//
// Lexers: Gap (whitespace up to the next structural byte), String, Key, Number, Word (null, true, false), Raw (a regular
// language that is the whole document) and Rules (a context-free grammar; `a` is a configuration of `RuleReader`). Every configuration that `step` returns is live: some completion
// spelled by bytes of the vocabulary is accepted. Frames are immutable once shared; equal content gives equal hashes.
//
// `next_byte` is the canonical completion: a function of the configuration alone, hence the completion of a prefix of
// a canonical completion is its remainder. It bounds distances, closes budgets and proves liveness to the tests.
// Not thread-safe: one engine, one caller at a time.
#pragma once
#include <memory>

#include "loader.hpp"

namespace constrain {

enum class Lexer : std::uint8_t { Gap, String, Key, Number, Word, Raw, Rules };
enum class Phase : std::uint8_t { ValueStart, ArrayStart, ObjectStart, NameStart, Colon, AfterValue, End };

struct Frame {
  const Frame* parent = nullptr;
  mutable std::uint32_t references = 0;
  bool array = false;
  Id goal = 0;     // what the rest of the container must satisfy (with Child atoms while a pending child is read)
  Id tracked = 0;  // list of formulas whose truth the parent waits for
  Id pending = 0;  // list of values whose truth the child reports
  Id seen = kNone; // object: trie of the names used up; array: kNone
  Id record = kNone;  // recorded value in progress: list of constants, or of names and constants in turn; else kNone
  bool recording = false;  // are the members' values wanted, here (Unique) or above?
  std::uint32_t depth = 1;
  std::uint64_t hash = 0;
};

// An owning pointer to a frame; releasing the last one releases the chain iteratively.
class FrameRef {
 public:
  FrameRef() = default;
  explicit FrameRef(const Frame* f) : f_(f) { if (f_) ++f_->references; }
  FrameRef(const FrameRef& o) : FrameRef(o.f_) {}
  FrameRef(FrameRef&& o) noexcept : f_(o.f_) { o.f_ = nullptr; }
  FrameRef& operator=(FrameRef o) noexcept { std::swap(f_, o.f_); return *this; }
  ~FrameRef() { release(f_); }
  const Frame* get() const { return f_; }
  const Frame* operator->() const { return f_; }
  explicit operator bool() const { return f_; }

 private:
  static void release(const Frame* f) {
    while (f && --f->references == 0) {
      const Frame* up = f->parent;
      delete f;
      f = up;
    }
  }
  const Frame* f_ = nullptr;
};

inline bool same_stack(const Frame* a, const Frame* b) {
  for (; a != b; a = a->parent, b = b->parent) {
    if (!a || !b || a->hash != b->hash || a->array != b->array || a->goal != b->goal || a->tracked != b->tracked ||
        a->pending != b->pending || a->seen != b->seen || a->record != b->record || a->depth != b->depth)
      return false;
  }
  return true;
}

struct Config {
  Lexer lexer = Lexer::Gap;
  Phase phase = Phase::ValueStart;
  std::uint8_t escape = 0;   // String, Key: position inside an escape
  std::uint32_t code = 0;    // String, Key: the escape's digits so far, high surrogate above bit 16
  Id a = 0;                  // Gap: goal of the value to come; String, Key, Raw: regex; Number: residual; Word: which
  Id b = 0;                  // Gap: whitespace before a closing bracket; String, Word: tracked list; Word: see `c`
  Id c = 0;                  // Gap: whitespace before anything else; Word: position
  FrameRef frame;
  std::string key;           // Key: the name so far, decoded; String, Number: likewise what was read, if it is recorded

  bool operator==(const Config& o) const {
    return lexer == o.lexer && phase == o.phase && escape == o.escape && code == o.code && a == o.a && b == o.b && c == o.c &&
           key == o.key && same_stack(frame.get(), o.frame.get());
  }
  std::uint64_t hash() const {
    std::uint64_t h = mix(static_cast<std::uint64_t>(lexer) | static_cast<std::uint64_t>(phase) << 8 |
                              static_cast<std::uint64_t>(escape) << 16 | static_cast<std::uint64_t>(code) << 24,
                          frame ? frame->hash : 7);
    h = mix(h, static_cast<std::uint32_t>(a) | static_cast<std::uint64_t>(static_cast<std::uint32_t>(b)) << 32);
    h = mix(h, static_cast<std::uint32_t>(c));
    for (char ch : key) h = mix(h, static_cast<unsigned char>(ch));
    return h;
  }
};

class Reader {
 public:
  // Escapes: 0 none, 1 after the backslash, 2..5 with 0..3 hex digits read, 6 and 7 before the backslash and the u of a
  // low surrogate, 8..11 with 0..3 of its digits read.
  enum : std::uint8_t { kPlain = 0, kBackslash = 1, kHex = 2, kLowBackslash = 6, kLowU = 7, kLowHex = 8 };

  Reader(Values& values, const ByteSet& spelled) : v(values), spelled_(spelled) {
    blank_ = v.re.byte_set(bytes(" \t"));
    Id spaces = v.re.repeat(blank_, 0, 64);
    Id line = v.re.cat(v.re.alt({v.re.literal("\r\n"), v.re.literal("\n")}), spaces);
    bounded_ = v.re.cat(spaces, v.re.alt({line, RegexStore::kEpsilon}));
    any_blank_ = v.re.byte_set(bytes(" \t\r\n"));
    lead_ = v.re.repeat(v.re.byte_set(bytes(" ")), 0, 1);
  }

  Values& v;

  // The configuration before the first byte. Throws SourceError(2) if nothing is accepted.
  Config start(const Document& d) {
    document_ = d;
    Config c;
    if (d.kind == Document::kRegex) {
      if (!v.re.live(d.root)) throw SourceError(2, "no text matches");
      c.lexer = Lexer::Raw;
      c.a = d.root;
      return c;
    }
    if (!v.satisfiable(d.root)) throw SourceError(2, "no value satisfies the schema");
    c.a = d.root;
    open_gap(c, Phase::ValueStart, false, true);
    return c;
  }
  void use(const Document& d) { document_ = d; }

  // The texts that sequences of tokens spell, where not every byte is a token by itself; else kNone. A regular document is
  // read without regard to them, and meets them where a token ends: the state then does not depend on the tokens before.
  Id concatenations = kNone;
  bool at_boundary(const Config& c) {
    return concatenations == kNone || c.lexer != Lexer::Raw || v.re.live(v.re.conj({c.a, concatenations}));
  }
  void close_over_tokens(Config& c) {
    if (concatenations != kNone && c.lexer == Lexer::Raw) c.a = v.re.conj({c.a, concatenations});
  }

  // Consumes one byte; false (and `c` unspecified) if no accepted text goes on with it.
  bool step(Config& c, int b) {
    v.meter_.charge();
    switch (c.lexer) {
      case Lexer::Raw:
        c.a = v.re.live_step(c.a, b);
        return c.a != RegexStore::kEmpty;
      case Lexer::Gap: return step_gap(c, b);
      case Lexer::String:
      case Lexer::Key: return step_text(c, b);
      case Lexer::Number: {
        Id next = v.numbers.live_step(c.a, b);
        if (next != NumberMachine::kDead) {
          if (recorded(c)) c.key.push_back(static_cast<char>(b));
          return c.a = next, true;
        }
        return finish_number(c) && c.lexer == Lexer::Gap && step_gap(c, b);
      }
      case Lexer::Word: {
        const char* w = word(c.a);
        if (b != w[c.c]) return false;
        ++c.c;
        if (!w[c.c]) {
          std::vector<bool> truth;
          for (const Id* p = v.lists.begin(c.b); p != v.lists.end(c.b); ++p) truth.push_back(*p);
          child_done(c, truth, recorded(c) ? v.constants.word(static_cast<Constants::Kind>(c.a)) : kNone);
        }
        return true;
      }
      case Lexer::Rules: break;
    }
    return false;
  }
  bool accepting(const Config& c) {
    if (c.lexer == Lexer::Raw) return v.re.nullable(c.a);
    if (c.frame) return false;
    return c.lexer == Lexer::Gap ? c.phase == Phase::End : c.lexer == Lexer::Number && v.numbers.accepts(c.a);
  }
  // Ends a number where it stands; false if it may not end here.
  bool finish_number(Config& c) {
    if (!v.numbers.accepts(c.a)) return false;
    child_done(c, v.numbers.outcomes(c.a), recorded(c) ? v.constants.number(c.key) : kNone);
    return true;
  }
  bool close_text(Config& c) {
    if (c.escape != kPlain || !v.re.nullable(c.a)) return false;
    if (c.lexer == Lexer::String) {
      std::vector<bool> truth;
      for (const Id* p = v.lists.begin(c.b); p != v.lists.end(c.b); ++p) truth.push_back(v.re.nullable(*p));
      child_done(c, truth, recorded(c) ? v.constants.string(c.key) : kNone);
      return true;
    }
    return name_done(c);
  }

  // The next byte of the canonical completion; -1 when the text may end here.
  int next_byte(const Config& c) {
    if (accepting(c)) return -1;
    switch (c.lexer) {
      case Lexer::Raw: return v.re.first_byte(c.a);
      case Lexer::Word: return word(c.a)[c.c];
      case Lexer::Gap: return next_in_gap(c);
      case Lexer::Key: return next_in_text(c, name_target(c));
      case Lexer::String: return next_in_text(c, string_target(c));
      case Lexer::Number: {
        Id target = number_target(c);
        int b = v.numbers.accepts(target) ? -1 : v.numbers.first_byte(target);
        if (b >= 0) return b;
        Config after = c;
        if (!finish_number(after)) return -1;
        return next_byte(after);
      }
      case Lexer::Rules: break;
    }
    return -1;
  }
  // Something equal only for configurations of one distance: of a name so far that no declared name and none used up begins with
  // counts alone which names of each kind go on with it. For what is remembered within one operation; no configuration to go on from.
  Config kind_of(Config c) {
    if (c.lexer != Lexer::Key || c.escape != kPlain || c.key.empty() || c.frame->recording || v.re.live(v.re.run(c.frame->seen, c.key))) return c;
    std::string kind = "\xff";  // begins no name
    auto note = [&](Id formula) {
      for (Id n : v.literal_names(formula))
        if (v.name_text(n).substr(0, c.key.size()) == c.key) return false;
      for (Id region : v.regions(formula)) kind += std::to_string(v.re.run(region, c.key)) + ' ';
      return true;
    };
    bool other = note(c.frame->goal);
    for (const Id* t = v.lists.begin(c.frame->tracked); t != v.lists.end(c.frame->tracked); ++t) other = other && note(*t);
    if (other) c.key = std::move(kind);
    return c;
  }
  // The canonical completion. Throws LimitError beyond the meter or `most` bytes.
  std::string completion(Config c, std::size_t most) {
    std::string out;
    for (int b = next_byte(c); b >= 0; b = next_byte(c)) {
      if (out.size() >= most) throw LimitError(static_cast<std::int64_t>(out.size()) + 1, static_cast<std::int64_t>(most), "bytes of a completion");
      out.push_back(static_cast<char>(b));
      if (!step(c, b)) throw std::logic_error("the canonical completion left the language");
    }
    if (!accepting(c)) throw std::logic_error("the canonical completion stopped short");
    return out;
  }

  // ------------------------------------------------------------------ what a mask may observe of a frame
  bool may_close(const Frame* f) { return v.ends(f->goal); }
  bool may_continue(const Frame* f) {
    if (f->array) return spells(',') && v.resolve(v.item_derivative(f->goal), kNone).goal != Values::kNever;
    return spells(',') && v.re.live(v.next_names(f->goal, f->seen));
  }
  bool spells(int b) const { return has(spelled_, b); }
  const Document& document() const { return document_; }
  Config after_child(const Config& c, Id constant = kNone) {  // a scalar with nothing pending has ended
    Config out = c;
    child_done(out, {}, constant);
    return out;
  }
  static bool recorded(const Config& c) { return c.frame && c.frame->recording; }
  // May the escape that `escape` and `code` describe (`Config`) be finished where the text is in state `text`?
  bool escape_live(Id text, std::uint8_t escape, std::uint32_t code) {
    Config c;
    c.a = text, c.escape = escape, c.code = code;
    return escape_live(c);
  }

 private:
  static ByteSet bytes(std::string_view s) {
    ByteSet out{};
    for (char c : s) put(out, static_cast<unsigned char>(c));
    return out;
  }
  static const char* word(Id which) { return which == kNull ? "null" : which == kTrueValue ? "true" : "false"; }

  // ------------------------------------------------------------------ frames
  FrameRef make_frame(Frame f) {
    std::uint64_t h = mix(f.parent ? f.parent->hash : 3, f.array + 2 * f.depth);
    h = mix(h, static_cast<std::uint32_t>(f.goal) | static_cast<std::uint64_t>(static_cast<std::uint32_t>(f.seen)) << 32);
    h = mix(h, static_cast<std::uint32_t>(f.tracked) | static_cast<std::uint64_t>(static_cast<std::uint32_t>(f.pending)) << 32);
    f.hash = mix(h, static_cast<std::uint32_t>(f.record));
    f.references = 0;
    f.recording = f.record != kNone || v.fs[f.goal].has_next();
    for (const Id* p = v.lists.begin(f.tracked); p != v.lists.end(f.tracked); ++p) f.recording |= v.fs[*p].has_next();
    if (f.parent) ++f.parent->references;
    return FrameRef(new Frame(f));
  }
  // The frame while a member with derivatives of `goal` and the tracked formulas is read.
  template <class D>
  FrameRef descend(const Frame* f, const Demand& demand, Id seen, D derivative) {
    Frame next = *f;
    next.goal = demand.rest;
    next.seen = seen;
    next.pending = demand.pending;
    if (f->tracked) {
      std::vector<Id> tracked, pending(v.lists.begin(demand.pending), v.lists.end(demand.pending));
      std::vector<Id> before(v.lists.begin(f->tracked), v.lists.end(f->tracked));
      for (Id t : before) {
        tracked.push_back(derivative(t));
        for (Id child : v.children(tracked.back())) pending.push_back(child);
      }
      std::sort(pending.begin(), pending.end());
      pending.erase(std::unique(pending.begin(), pending.end()), pending.end());
      next.tracked = v.lists.add(tracked);
      next.pending = v.lists.add(pending);
    }
    return make_frame(next);
  }
  // The value below `c.frame` has ended with the given truths of the pending values; `constant`: what it was, if recorded.
  void child_done(Config& c, const std::vector<bool>& truth, Id constant) {
    c.key.clear();
    c.escape = 0, c.code = 0;
    if (!c.frame) return open_gap(c, Phase::End, false, false);
    if (c.frame->pending || c.frame->recording) {
      std::vector<std::pair<Id, bool>> outcome;
      const Id* p = v.lists.begin(c.frame->pending);
      for (bool t : truth) outcome.emplace_back(*p++, t);
      Frame next = *c.frame.get();
      next.pending = 0;
      next.goal = v.substitute_item(v.substitute(next.goal, outcome), constant);
      std::vector<Id> tracked(v.lists.begin(next.tracked), v.lists.end(next.tracked));
      for (Id& t : tracked) t = v.substitute_item(v.substitute(t, outcome), constant);
      next.tracked = v.lists.add(tracked);
      if (next.record != kNone) next.record = appended(next.record, constant);
      c.frame = make_frame(next);
    }
    Meter::Quiet quiet(v.meter_);  // what masks observe of a frame is not told by what it cost
    open_gap(c, Phase::AfterValue, may_close(c.frame.get()), may_continue(c.frame.get()));
  }

  Id appended(Id list, Id item) {
    std::vector<Id> longer(v.lists.begin(list), v.lists.end(list));
    longer.push_back(item);
    return v.lists.add(longer);
  }

  // ------------------------------------------------------------------ gaps
  Id indent(std::uint32_t depth) { return v.re.literal("\n" + std::string(2 * depth, ' ')); }
  Id whitespace(const Config& c, Phase phase, bool closing) {
    switch (document_.whitespace) {
      case 0: return c.frame ? bounded_ : lead_;
      case 1: return RegexStore::kEpsilon;
      case 3: return v.re.repeat(any_blank_, 0, RegexStore::kUnbounded);
      case 4: return v.re.repeat(any_blank_, 0, document_.whitespace_count);
      default: break;
    }
    if (!c.frame) return RegexStore::kEpsilon;
    std::uint32_t depth = c.frame->depth;
    switch (phase) {
      case Phase::ArrayStart:
      case Phase::ObjectStart: return closing ? RegexStore::kEpsilon : indent(depth);
      case Phase::NameStart: return indent(depth);
      case Phase::ValueStart: return c.frame->array ? indent(depth) : v.re.literal(" ");
      case Phase::AfterValue: return closing ? indent(depth - 1) : RegexStore::kEpsilon;
      default: return RegexStore::kEpsilon;
    }
  }
  void open_gap(Config& c, Phase phase, bool may_close, bool may_go_on) {
    if (phase != Phase::ValueStart && phase != Phase::Colon) c.a = 0;
    c.lexer = Lexer::Gap;
    c.phase = phase;
    c.b = may_close ? whitespace(c, phase, true) : RegexStore::kEmpty;
    c.c = may_go_on ? whitespace(c, phase, false) : RegexStore::kEmpty;
  }
  bool step_gap(Config& c, int b) {
    if (b == ' ' || b == '\t' || b == '\n' || b == '\r') {
      c.b = v.re.step(c.b, b);
      c.c = v.re.step(c.c, b);
      return c.b != RegexStore::kEmpty || c.c != RegexStore::kEmpty;
    }
    bool close = v.re.nullable(c.b), go_on = v.re.nullable(c.c);
    switch (c.phase) {
      case Phase::End: return false;
      case Phase::ValueStart: return go_on && begin_value(c, b);
      case Phase::Colon:
        if (b != ':' || !go_on) return false;
        open_gap(c, Phase::ValueStart, false, true);
        return true;
      case Phase::ArrayStart:
        if (b == ']') return close && end_container(c);
        return go_on && begin_item(c) && begin_value(c, b);
      case Phase::ObjectStart:
      case Phase::NameStart:
        if (b == '}') return close && end_container(c);
        return b == '"' && go_on && begin_name(c);
      case Phase::AfterValue:
        if (b == (c.frame->array ? ']' : '}')) return close && end_container(c);
        if (b != ',' || !go_on) return false;
        if (!c.frame->array) return open_gap(c, Phase::NameStart, false, true), true;
        if (!begin_item(c)) return false;
        open_gap(c, Phase::ValueStart, false, true);
        return true;
    }
    return false;
  }
  bool begin_item(Config& c) {
    Id goal = c.frame->goal;
    Demand d = v.resolve(v.item_derivative(goal), kNone);
    if (d.goal == Values::kNever) return false;
    c.frame = descend(c.frame.get(), d, kNone, [&](Id t) { return v.item_derivative(t); });
    c.a = d.goal;
    return true;
  }
  bool begin_name(Config& c) {
    Meter::Quiet quiet(v.meter_);  // as in `child_done`
    c.lexer = Lexer::Key;
    c.a = v.next_names(c.frame->goal, c.frame->seen);
    c.b = c.c = 0;
    c.escape = 0;
    c.key.clear();
    return true;
  }
  bool name_done(Config& c) {
    const Frame* f = c.frame.get();
    Id seen = v.seen_after(f->goal, f->seen, c.key);
    Demand d = v.member_demand(f->goal, seen, c.key);
    if (d.goal == Values::kNever) return false;
    std::string key;
    key.swap(c.key);
    FrameRef named;
    if (f->record != kNone) {
      Frame next = *f;
      next.record = appended(f->record, v.constants.text(key));
      named = make_frame(next);
      f = named.get();
    }
    c.frame = descend(f, d, seen, [&](Id t) { return v.member_derivative(t, key); });
    c.a = d.goal;
    open_gap(c, Phase::Colon, false, true);
    return true;
  }
  bool end_container(Config& c) {
    std::vector<bool> truth;
    for (const Id* p = v.lists.begin(c.frame->tracked); p != v.lists.end(c.frame->tracked); ++p) truth.push_back(v.ends(*p));
    Id constant = kNone;
    if (c.frame->record != kNone) {
      const Id* items = v.lists.begin(c.frame->record);
      std::size_t n = v.lists.size(c.frame->record);
      constant = c.frame->array ? v.constants.array(items, n) : v.constants.object(items, n);
    }
    c.frame = FrameRef(c.frame->parent);
    child_done(c, truth, constant);
    return true;
  }
  static Part part_of(int b) {
    switch (b) {
      case '"': return kString;
      case '[': return kArray;
      case '{': return kObject;
      case 'n': return kNull;
      case 't': return kTrueValue;
      case 'f': return kFalseValue;
      default: return b == '-' || (b >= '0' && b <= '9') ? kNumber : kParts;
    }
  }
  bool begin_value(Config& c, int b) {
    Part part = part_of(b);
    if (part == kParts) return false;
    Id record = v.record_id(c.a);
    if (!v.part_satisfiable(record, part)) return false;
    Id x = v.expand(c.a)[part];
    std::vector<Id> tracked;
    if (c.frame && c.frame->pending) {
      std::vector<Id> pending(v.lists.begin(c.frame->pending), v.lists.end(c.frame->pending));
      for (Id p : pending) tracked.push_back(v.expand(p)[part]);
    }
    c.a = c.b = c.c = 0;
    c.key.clear();
    switch (part) {
      case kString:
        c.lexer = Lexer::String;
        c.a = x;
        c.b = v.lists.add(tracked);
        c.escape = 0;
        return true;
      case kNumber:
        c.lexer = Lexer::Number;
        c.a = v.numbers.live_step(v.numbers.start(x, tracked, v.plain_numbers), b);
        if (recorded(c)) c.key.push_back(static_cast<char>(b));
        return c.a != NumberMachine::kDead;
      case kArray:
      case kObject: {
        Frame f;
        f.parent = c.frame.get();
        f.array = part == kArray;
        f.goal = x;
        f.tracked = v.lists.add(tracked);
        f.seen = f.array ? kNone : RegexStore::kEmpty;
        f.record = recorded(c) ? 0 : kNone;
        f.depth = f.parent ? f.parent->depth + 1 : 1;
        if (f.depth > 100000) throw LimitError(f.depth, 100000, "depth of the document");
        c.frame = make_frame(f);
        bool more = f.array ? v.resolve(v.item_derivative(x), kNone).goal != Values::kNever
                            : v.re.live(v.next_names(x, f.seen));
        open_gap(c, f.array ? Phase::ArrayStart : Phase::ObjectStart, v.ends(x), more);
        return true;
      }
      default:
        c.lexer = Lexer::Word;
        c.a = part;
        c.b = v.lists.add(tracked);
        c.c = 1;
        return true;
    }
  }

  // ------------------------------------------------------------------ strings and names
  bool step_text(Config& c, int b) {
    switch (c.escape) {
      case kPlain:
        if (b == '"') return close_text(c);
        if (b == '\\') return c.escape = kBackslash, c.code = 0, escape_live(c);
        if (b < 0x20) return false;
        return consume(c, b);
      case kBackslash: {
        if (b == 'u') return c.escape = kHex, escape_live(c);
        int plain = unescaped(b);
        c.escape = kPlain;
        return plain >= 0 && consume(c, plain);
      }
      case kLowBackslash:
        c.escape = kLowU;
        return b == '\\';
      case kLowU:
        c.escape = kLowHex;
        return b == 'u';
      default: return step_hex(c, b);
    }
  }
  static int unescaped(int b) {
    switch (b) {
      case '"': case '\\': case '/': return b;
      case 'b': return '\b';
      case 'f': return '\f';
      case 'n': return '\n';
      case 'r': return '\r';
      case 't': return '\t';
      default: return -1;
    }
  }
  static int hex(int b) {
    if (b >= '0' && b <= '9') return b - '0';
    if (b >= 'a' && b <= 'f') return b - 'a' + 10;
    if (b >= 'A' && b <= 'F') return b - 'A' + 10;
    return -1;
  }
  bool step_hex(Config& c, int b) {
    int digit = hex(b);
    if (digit < 0) return false;
    bool low = c.escape >= kLowHex;
    std::uint32_t value = ((c.code & 0xFFFF) << 4) | static_cast<std::uint32_t>(digit);
    c.code = (c.code & 0xFFFF0000u) | (value & 0xFFFF);
    if (++c.escape != (low ? kLowHex + 4 : kHex + 4)) return escape_live(c);
    if (!low && value >= 0xD800 && value < 0xDC00) {
      c.code = (value - 0xD800) << 16;
      c.escape = kLowBackslash;
      return escape_live(c);
    }
    if (low ? value < 0xDC00 || value > 0xDFFF : value >= 0xDC00 && value <= 0xDFFF) return false;
    std::uint32_t point = low ? 0x10000 + ((c.code >> 16) << 10) + (value - 0xDC00) : value;
    c.escape = kPlain;
    c.code = 0;
    unsigned char encoded[4];
    int n = utf8::encode(point, encoded);
    for (int i = 0; i < n; ++i)
      if (!consume(c, encoded[i])) return false;
    return true;
  }
  bool consume(Config& c, int b) {
    c.a = v.re.live_step(c.a, b);
    if (c.a == RegexStore::kEmpty) return false;
    if (c.lexer == Lexer::Key || recorded(c)) c.key.push_back(static_cast<char>(b));
    if (c.lexer == Lexer::String && c.b) {
      std::vector<Id> tracked(v.lists.begin(c.b), v.lists.end(c.b));
      for (Id& t : tracked) t = v.re.step(t, b);
      c.b = v.lists.add(tracked);
    }
    return true;
  }
  // Code points that the escape in progress can still denote.
  static void escape_range(const Config& c, std::vector<std::pair<std::uint32_t, std::uint32_t>>& out) {
    if (c.escape >= kLowBackslash) {
      std::uint32_t high = 0x10000 + ((c.code >> 16) << 10), lo = 0xDC00, hi = 0xDFFF;
      if (c.escape >= kLowHex) {
        int left = 4 * (kLowHex + 4 - c.escape);
        std::uint32_t from = (c.code & 0xFFFF) << left, to = from + (1u << left) - 1;
        lo = std::max(lo, from), hi = std::min(hi, to);
      }
      if (lo <= hi) out.emplace_back(high + lo - 0xDC00, high + hi - 0xDC00);
      return;
    }
    int left = c.escape == kBackslash ? 16 : 4 * (kHex + 4 - c.escape);
    std::uint32_t from = c.escape == kBackslash ? 0 : (c.code & 0xFFFF) << left, to = from + (1u << left) - 1;
    if (from < 0xD800) out.emplace_back(from, std::min(to, 0xD7FFu));
    if (to > 0xDFFF) out.emplace_back(std::max(from, 0xE000u), to);
    std::uint32_t lo = std::max(from, 0xD800u), hi = std::min(to, 0xDBFFu);
    if (lo <= hi) out.emplace_back(0x10000 + ((lo - 0xD800) << 10), 0x10000 + ((hi - 0xD800) << 10) + 0x3FF);
  }
  bool escape_live(const Config& c) {
    if (c.escape == kBackslash)
      for (char b : std::string_view("\"\\/bfnrt"))
        if (spells(b) && v.re.live_step(c.a, unescaped(b)) != RegexStore::kEmpty) return true;
    if (!spells('u') && c.escape == kBackslash) return false;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;
    escape_range(c, ranges);
    if (ranges.empty()) return false;
    if (c.a == v.re.text()) return true;
    if (v.re.opaque(c.a)) return v.re.begins_among(c.a, ranges);
    return v.re.live(v.re.conj({c.a, v.re.cat(v.re.char_class(ranges), v.re.text())}));
  }

  // ------------------------------------------------------------------ canonical completion
  std::vector<Leaf> ways(const Frame* f) { return v.ways(aim(f), f->seen); }
  // The formula that `f` should reach so that everything above it is satisfied by the canonical completion.
  Id aim(const Frame* f) {
    if (!f->parent || !f->parent->pending) return f->goal;
    std::vector<Id> pending(v.lists.begin(f->parent->pending), v.lists.end(f->parent->pending));
    for (const Leaf& leaf : ways(f->parent)) {
      std::vector<Id> parts{f->goal};
      for (auto [value, truth] : leaf.outcome) {
        std::size_t i = std::find(pending.begin(), pending.end(), value) - pending.begin();
        if (i == pending.size()) continue;
        Id t = v.lists.begin(f->tracked)[i];
        parts.push_back(truth ? t : v.fs.negate(t));
      }
      Id wanted = v.fs.conjunction(parts);
      if (wanted == FormulaStore::kFalse) continue;
      if (!v.fs[wanted].has_child() ? v.container_live_any(wanted, f->seen) : !v.leaves(wanted, f->seen).empty()) return wanted;
    }
    return f->goal;
  }
  bool pending_above(const Config& c) const { return c.frame && c.frame->pending; }
  int next_in_gap(const Config& c) {
    const Frame* f = c.frame.get();
    bool close = false;
    char bracket = f ? (f->array ? ']' : '}') : 0;
    if (c.phase == Phase::ArrayStart || c.phase == Phase::ObjectStart || c.phase == Phase::AfterValue)
      close = c.b != RegexStore::kEmpty && (c.c == RegexStore::kEmpty || v.ends(aim(f)));
    Id blank = close ? c.b : c.c;
    if (!v.re.nullable(blank)) return v.re.first_byte(blank);
    if (close) return bracket;
    switch (c.phase) {
      case Phase::Colon: return ':';
      case Phase::AfterValue: return ',';
      case Phase::NameStart:
      case Phase::ObjectStart: return '"';
      case Phase::ArrayStart: {
        Config inner = c;
        if (!begin_item(inner)) return -1;
        return first_of_value(inner);
      }
      default: return first_of_value(c);
    }
  }
  Id aimed_value(const Config& c) {
    if (!pending_above(c)) return c.a;
    for (const Leaf& leaf : ways(c.frame.get())) {
      Id narrowed = v.value_and({c.a, leaf.value});
      if (v.satisfiable(narrowed)) return narrowed;
    }
    return c.a;
  }
  int first_of_value(const Config& c) {
    Id value = aimed_value(c), record = v.record_id(value);
    Record r = v.expand(value);
    std::int64_t best = INT64_MAX;
    int byte = -1;
    auto offer = [&](std::int64_t cost, int b) { if (cost < best) best = cost, byte = b; };
    if (v.part_satisfiable(record, kString)) offer(v.re.distance(r[kString]) + 2, '"');
    if (v.part_satisfiable(record, kNumber)) {
      Id s = v.numbers.start(r[kNumber], {}, v.plain_numbers);
      offer(v.numbers.distance(s), v.numbers.first_byte(s));
    }
    if (v.part_satisfiable(record, kArray) && v.ends(r[kArray])) offer(2, '[');
    if (v.part_satisfiable(record, kObject) && v.ends(r[kObject])) offer(2, '{');
    if (v.part_satisfiable(record, kNull)) offer(4, 'n');
    if (v.part_satisfiable(record, kTrueValue)) offer(4, 't');
    if (v.part_satisfiable(record, kFalseValue)) offer(5, 'f');
    if (byte >= 0) return byte;
    bool array = v.part_satisfiable(record, kArray), object = v.part_satisfiable(record, kObject);
    return array && (!object || v.array_first(record)) ? '[' : '{';
  }
  // The strings to aim for: those of the goal that also give the pending values the chosen truths.
  Id string_target(const Config& c) {
    if (!pending_above(c)) return c.a;
    std::vector<Id> pending(v.lists.begin(c.frame->pending), v.lists.end(c.frame->pending));
    Id here = c.escape == kPlain ? c.a : v.re.conj({c.a, v.re.cat(escape_class(c), v.re.text())});
    for (const Leaf& leaf : ways(c.frame.get())) {
      std::vector<Id> parts{here};
      for (auto [value, truth] : leaf.outcome) {
        std::size_t i = std::find(pending.begin(), pending.end(), value) - pending.begin();
        Id t = v.lists.begin(c.b)[i];
        parts.push_back(truth ? t : v.re.negate(t));
      }
      Id wanted = v.re.conj(parts);
      if (c.escape == kPlain ? v.re.live(wanted) : escape_live(wanted, c.escape, c.code)) return wanted;
    }
    return c.a;
  }
  Id number_target(const Config& c) {
    if (!pending_above(c)) return c.a;
    for (const Leaf& leaf : ways(c.frame.get())) {
      std::vector<std::pair<std::size_t, bool>> wanted;
      std::vector<Id> pending(v.lists.begin(c.frame->pending), v.lists.end(c.frame->pending));
      for (auto [value, truth] : leaf.outcome)
        wanted.emplace_back(std::find(pending.begin(), pending.end(), value) - pending.begin(), truth);
      Id s = v.numbers.narrowed(c.a, wanted);
      if (s != NumberMachine::kDead && v.numbers.alive(s)) return s;
    }
    return c.a;
  }
  Id name_target(const Config& c) {
    Id names = c.escape == kPlain ? c.a : v.re.conj({c.a, v.re.cat(escape_class(c), v.re.text())});
    std::string name;
    if (!v.plan_name(aim(c.frame.get()), c.frame->seen, c.key, name)) return names;
    Id wanted = v.re.conj({names, v.re.literal(std::string_view(name).substr(c.key.size()))});
    return v.re.live(wanted) ? wanted : names;
  }
  // The characters that the escape in progress can still denote.
  Id escape_class(const Config& c) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;
    if (c.escape == kBackslash && !spells('u')) {
      for (char e : std::string_view("\"\\/bfnrt"))
        if (spells(e)) ranges.emplace_back(unescaped(e), unescaped(e));
    } else {
      escape_range(c, ranges);
    }
    return v.re.char_class(ranges);
  }
  // Does a string hold this byte as an escape only? Not so for -1, its end.
  bool escaped(int b) const { return b >= 0 && (b == '"' || b == '\\' || b < 0x20 || !spells(b)); }
  int next_in_text(const Config& c, Id target) {
    switch (c.escape) {
      case kPlain: {
        if (v.re.nullable(target)) return '"';
        int b = v.re.first_byte(target);
        return escaped(b) ? '\\' : b;
      }
      case kBackslash: {
        std::int64_t best = INT64_MAX;
        int byte = 'u';
        for (char e : std::string_view("\"\\/bfnrt")) {
          Id next = v.re.live_step(target, unescaped(e));
          if (spells(e) && next != RegexStore::kEmpty && v.re.distance(next) < best) best = v.re.distance(next), byte = e;
        }
        // without progress a letter only where the canonical string goes on without escapes
        if (best < v.re.distance(target) || (best == v.re.distance(target) && !escaped(v.re.first_byte(target)))) return byte;
        return spells('u') ? 'u' : byte;
      }
      case kLowBackslash: return '\\';
      case kLowU: return 'u';
      default: return best_hex(c, target);
    }
  }
  // The digit that leads to the code point whose consumption leaves least to do (exact below U+0100, then the least live one).
  int best_hex(const Config& c, Id target) {
    int best_byte = -1;
    std::int64_t best = INT64_MAX;
    for (char d : std::string_view("0123456789abcdefABCDEF")) {
      if (!spells(d)) continue;
      Config next = c;
      next.a = target;
      next.b = 0;
      if (!step_hex(next, d)) continue;
      std::int64_t cost = next.escape == kPlain ? v.re.distance(next.a) : escape_cost(next);
      if (cost >= 0 && cost < best) best = cost, best_byte = d;
    }
    return best_byte;
  }
  std::int64_t escape_cost(const Config& c) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;
    escape_range(c, ranges);
    return v.re.distance(v.re.conj({c.a, v.re.cat(v.re.char_class(ranges), v.re.text())}));
  }

  ByteSet spelled_;
  Document document_;
  Id blank_, bounded_, any_blank_, lead_;
};

}  // namespace constrain
