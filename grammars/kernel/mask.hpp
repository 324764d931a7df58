// Masks: which tokens may follow a configuration.
//
// For a text lexer (String, Key) in regex state q the vocabulary splits into the *interior* tokens, which stay inside
// the lexeme and depend on q alone, and those that end it: their distinct tails are merged into one small trie that is
// judged against the configuration after the lexeme. Everything else (gaps, numbers, words) walks the vocabulary trie
// from the configuration; rejected bytes cut whole subtrees, so these walks are short.
//
// A judgement of a trie view from a configuration is memoised by what it *observed*: the local part of the
// configuration, then, frame by frame as far up as the walk went, what a frame can show to a tail (may it close, may it
// go on; for an array its formula). Tails that would read a name inside a frame already open are set aside as *rare*
// and judged afresh each time, because they see the names used up; the vocabulary has next to none of them. The memo
// is therefore exact and far coarser than state identity.
//
// A string that is a text of a grammar has the interior that the grammar's masks give over the decoded vocabulary
// (decoded.hpp); only tokens that leave the string or stop inside an escape are looked at here, by what they decode to before
// that. Rows and tails that are the same for many states of a grammar are kept once.
//
// The interior of a dense state is one pass over token signatures (all tokens within the state's self-loops) plus a
// walk of the subtrees that leave them. Memory: 16 KB (V / 8) a dense interior; all memos are dropped together when
// they exceed their budget. Not thread-safe; published masks are copied out.
#pragma once
#include <optional>

#include "decoded.hpp"

namespace constrain {

struct MaskStats {
  std::int64_t fills = 0, judgements = 0, hits = 0, nodes = 0, interiors = 0, interior_hits = 0, clears = 0;
};

class MaskBuilder {
 public:
  MaskBuilder(Reader& reader, Level& level)
      : r_(reader), v_(reader.v), level_(level), trie_(level.trie), size_(level.size), words_((level.size + 31) / 32) {}

  std::int32_t words() const { return words_; }
  MaskStats stats;

  // Writes the mask of `c` without end tokens into row[0 .. words()).
  void fill(const Config& c, std::uint32_t* row) {
    ++stats.fills;
    if (bytes_ > budget_) clear();
    if (c.lexer == Lexer::Raw) return copy(interior(c.a, true), row);
    if (c.lexer == Lexer::String && c.escape == Reader::kPlain && !c.b) return fill_string(c, row);
    if (c.lexer == Lexer::String && c.escape == Reader::kPlain && !Reader::recorded(c)) return fill_tracked(c, row);
    if (c.lexer == Lexer::Key && c.escape == Reader::kPlain) {
      if (!fill_open_key(c, row)) fill_key(c, row);
      return;
    }
    clear_row(row);
    add(judged(trie_.all, 0, c), row);
  }
  bool allows(Config c, std::int32_t token) {
    for (char b : trie_.text(token))
      if (!r_.step(c, static_cast<unsigned char>(b))) return false;
    return true;
  }
  // Could a token end the whole document? Nodes of the vocabulary below which such tokens lie are its `closers`.
  bool may_finish(const Config& c) const { return !c.frame || c.frame->depth <= static_cast<std::uint32_t>(trie_.longest); }
  std::vector<std::int32_t> closers(const Config& c) {
    if ((c.lexer == Lexer::String || c.lexer == Lexer::Key) && c.escape == Reader::kPlain) return interior(c.a, false).ends->exits;
    std::vector<std::int32_t> out;
    for (std::int32_t i = 0; i < trie_.all.size(); i = trie_.all.end[i]) out.push_back(i);
    return out;
  }
  void set_budget(std::size_t bytes) { budget_ = bytes; }
  std::size_t bytes() const { return bytes_; }
  void clear() {
    interiors_.clear();
    raw_interiors_.clear();
    needs_.clear();
    rows_.clear();
    ends_.clear();
    outcomes_.clear();
    loops_.clear();
    keys_ = ListStore();
    nodes_.clear();
    results_.clear();
    view_ids_ = 1;
    bytes_ = 0;
    ++stats.clears;
  }
  // Calls f(token, configuration after it) for every allowed token that has bytes. The slow, general walk.
  template <class F>
  void each_allowed(const Config& c, F&& f) {
    visit(trie_.all, 0, trie_.all.size(), c, f);
  }

 private:
  struct Exit {
    std::int32_t node;  // of the closing quote
    std::string text;   // decoded bytes before it
  };
  // Tokens that stay inside.
  struct Row {
    std::vector<std::uint32_t> bits;  // dense, or empty
    std::vector<std::int32_t> ids;    // sparse
    bool operator==(const Row&) const = default;
  };
  // Tokens that leave.
  struct Ends {
    std::vector<std::int32_t> closing;  // tokens that end exactly with the lexeme
    std::vector<std::int32_t> exits;    // nodes of the closing quotes
    TrieView tails;                     // what tokens hold after them, merged
    std::int32_t view = 0;
    std::vector<Exit> decoded;          // exits with the text before them; filled when a name asks for them
    std::unordered_map<std::string, std::vector<std::size_t>> by_text;
  };
  struct Interior {
    std::shared_ptr<const Row> row;
    std::shared_ptr<Ends> ends;
    Meter::Cost cost;
  };
  // Exits after which the frame learns the same truths.
  struct Outcome {
    std::string text;  // of one of them
    TrieView tails;
    std::int32_t view = 0;
  };
  struct Region {
    std::uint64_t groups;
    std::int32_t characters;
  };
  struct Result {
    std::vector<std::int32_t> ids;
    std::vector<std::uint32_t> bits;
    std::vector<std::int32_t> rare;  // nodes of the view whose subtrees must be judged afresh
    Meter::Cost cost;                // a function of what was observed
  };

  void clear_row(std::uint32_t* row) const { std::memset(row, 0, static_cast<std::size_t>(words_) * 4); }
  static void set(std::uint32_t* row, std::int32_t t) { row[t >> 5] |= 1u << (t & 31); }
  static void unset(std::uint32_t* row, std::int32_t t) { row[t >> 5] &= ~(1u << (t & 31)); }
  void copy(const Interior& i, std::uint32_t* row) const {
    if (!i.row->bits.empty()) {
      std::memcpy(row, i.row->bits.data(), static_cast<std::size_t>(words_) * 4);
      return;
    }
    clear_row(row);
    for (std::int32_t t : i.row->ids) set(row, t);
  }
  void add(const Result& x, std::uint32_t* row) const {
    if (!x.bits.empty())
      for (std::int32_t w = 0; w < words_; ++w) row[w] |= x.bits[w];
    for (std::int32_t t : x.ids) set(row, t);
  }

  void fill_string(const Config& c, std::uint32_t* row) {
    const Interior& in = interior(c.a, false);
    Ends& inside = *in.ends;
    copy(in, row);
    if (inside.closing.empty() && inside.tails.empty()) return;
    for (std::int32_t t : inside.closing) set(row, t);
    if (inside.tails.empty()) return;
    if (Reader::recorded(c) && !c.frame->pending && c.frame->record == kNone && !in.row->bits.empty()) return fill_recorded(c, inside, row);
    if (c.frame && (c.frame->pending || c.frame->recording)) {  // the outcome differs from tail to tail
      clear_row(row);
      return add(judged(trie_.all, 0, c), row);
    }
    add(judged(inside.tails, inside.view, r_.after_child(c)), row);
  }

  // A string whose frame waits for the truths of `c.b`: the exits fall into few classes by these truths.
  void fill_tracked(const Config& c, std::uint32_t* row) {
    const Interior& in = interior(c.a, false);
    Ends& inside = *in.ends;
    copy(in, row);
    for (std::int32_t t : inside.closing) set(row, t);
    for (const Outcome& o : outcomes_of(inside, c.b)) {
      Config after = c;
      if (run_text(after, o.text) && r_.close_text(after)) add(judged(o.tails, o.view, after), row);
    }
  }
  bool run_text(Config& c, const std::string& decoded) {
    c.a = v_.re.run(c.a, decoded);
    std::vector<Id> tracked(v_.lists.begin(c.b), v_.lists.end(c.b));
    for (Id& t : tracked) t = v_.re.run(t, decoded);
    c.b = v_.lists.add(tracked);
    return c.a != RegexStore::kEmpty;
  }
  const std::vector<Outcome>& outcomes_of(Ends& inside, Id tracked) {
    std::uint64_t key = static_cast<std::uint64_t>(inside.view) << 32 | static_cast<std::uint32_t>(tracked);
    v_.meter_.charge(static_cast<std::int64_t>(inside.exits.size()));
    auto it = outcomes_.find(key);
    if (it != outcomes_.end()) return it->second;
    Meter::Quiet quiet(v_.meter_);
    exits_of(inside);
    std::map<std::vector<bool>, std::pair<std::string, std::vector<std::int32_t>>> classes;
    std::vector<Id> formulas(v_.lists.begin(tracked), v_.lists.end(tracked));
    for (const auto& [text, exits] : inside.by_text) {
      std::vector<bool> truth;
      for (Id f : formulas) truth.push_back(v_.re.accepts(f, text));
      auto& [example, nodes] = classes[truth];
      example = text;
      for (std::size_t i : exits)
        if (trie_.all.end[inside.decoded[i].node] > inside.decoded[i].node + 1) nodes.push_back(inside.decoded[i].node);
    }
    std::vector<Outcome> made;
    std::vector<std::int32_t> closing;
    for (auto& [truth, exits] : classes) {
      if (exits.second.empty()) continue;
      std::sort(exits.second.begin(), exits.second.end());
      made.push_back({exits.first, merge_tails(trie_.all, exits.second, closing), view_ids_++});
      bytes_ += made.back().tails.bytes() + 200;
    }
    return outcomes_[key] = std::move(made);
  }

  // An item of an array whose items must differ, if many strings are allowed: the tails of a string that equals nothing
  // at once, then the strings that items to come could miss, one by one. Tails that begin another value are rare.
  void fill_recorded(const Config& c, Ends& inside, std::uint32_t* row) {
    std::vector<std::string> known;
    Id other = v_.string_apart(c.frame->goal, known);
    Config after = r_.after_child(c, other);
    const Result& tails = judge(inside.tails, inside.view, after, true);
    add(tails, row);
    for (std::int32_t node : tails.rare)
      for (std::int32_t k = inside.tails.first[node + 1]; k < inside.tails.first[inside.tails.end[node]]; ++k)
        if (allows(c, inside.tails.tokens[k])) set(row, inside.tails.tokens[k]);
    for (const std::string& word : known)
      if (Values::starts_with(word, c.key)) correct_string(c, word, inside, row);
  }
  void correct_string(const Config& c, const std::string& word, Ends& inside, std::uint32_t* row) {
    for (const Exit& e : exits_of(inside, word.substr(c.key.size())))
      for (std::int32_t k = trie_.all.first[e.node]; k < trie_.all.first[trie_.all.end[e.node]]; ++k) {
        std::int32_t t = trie_.all.tokens[k];
        if (allows(c, t)) set(row, t);
        else unset(row, t);
      }
  }

  // A name in an object that takes every name but some known ones: the interior of free text, the tails of any other
  // name at once, and then the known names one by one. False if the object is not of this kind.
  bool fill_open_key(const Config& c, std::uint32_t* row) {
    std::vector<std::string> known;
    std::string other;
    Config after = c;
    if (!v_.open_names(c.frame->goal, c.frame->seen, c.key, known, other)) return false;
    after.key = other;
    after.a = RegexStore::kEpsilon;
    if (!r_.close_text(after)) return false;
    const Interior& in = interior(v_.re.text(), false);
    Ends& inside = *in.ends;
    copy(in, row);
    for (std::int32_t t : inside.closing) set(row, t);
    if (!inside.tails.empty()) {
      const Result& tails = judge(inside.tails, inside.view, after);
      add(tails, row);
      for (std::int32_t node : tails.rare)  // would read a second name: the first one matters
        for (std::int32_t k = inside.tails.first[node + 1]; k < inside.tails.first[inside.tails.end[node]]; ++k)
          if (allows(c, inside.tails.tokens[k])) set(row, inside.tails.tokens[k]);
    }
    for (const std::string& name : known) correct_known(c, name, inside, row);
    return true;
  }
  // Judges afresh the tokens that spell exactly the rest of one known name and its closing quote.
  void correct_known(const Config& c, const std::string& name, Ends& inside, std::uint32_t* row) {
    std::string rest = name.substr(c.key.size());
    for (const Exit& e : exits_of(inside, rest)) {
      for (std::int32_t k = trie_.all.first[e.node]; k < trie_.all.first[trie_.all.end[e.node]]; ++k) unset(row, trie_.all.tokens[k]);
      judge_exit(c, e, row);
    }
  }
  // Any other name: the interior of its regex, and each way of closing it on its own.
  void fill_key(const Config& c, std::uint32_t* row) {
    const Interior& in = interior(c.a, false);
    Ends& inside = *in.ends;
    copy(in, row);
    for (std::int32_t t : inside.closing) set(row, t);
    for (const Exit& e : exits_of(inside))
      if (trie_.all.end[e.node] > e.node + 1) judge_exit(c, e, row);
  }
  void judge_exit(const Config& c, const Exit& e, std::uint32_t* row) {
    Config at = c;
    at.key += e.text;
    at.a = v_.re.run(c.a, e.text);
    if (!r_.close_text(at)) return;
    for (std::int32_t k = trie_.all.first[e.node]; k < trie_.all.first[e.node + 1]; ++k) set(row, trie_.all.tokens[k]);
    visit(trie_.all, e.node + 1, trie_.all.end[e.node], at, [&](std::int32_t t, const Config&) { set(row, t); });
  }
  static void take(const TrieView& t, std::int32_t node, std::vector<std::int32_t>& out) {
    out.insert(out.end(), t.tokens.begin() + t.first[node], t.tokens.begin() + t.first[node + 1]);
  }

  // ------------------------------------------------------------------ interiors
  const Interior& interior(Id q, bool raw) {
    q = v_.re.mask_key(q, trie_.longest + 1);
    auto& memo = raw ? raw_interiors_ : interiors_;
    auto it = memo.find(q);
    if (it != memo.end()) {
      ++stats.interior_hits;
      v_.meter_.pay(it->second->cost);
      return *it->second;
    }
    ++stats.interiors;
    Interior made;
    Meter::Cost cost = v_.meter_.once([&] {
      if (!raw && v_.re.opaque(q)) {
        made = opaque_interior(q);
        bytes_ += 80;
        return;
      }
      Row row;
      made.ends = std::make_shared<Ends>();
      build_interior(q, raw, row, made.ends->exits);
      bytes_ += row.bits.size() * 4 + row.ids.size() * 4 + 200;
      made.row = std::make_shared<const Row>(std::move(row));
      finish(*made.ends);
    });
    made.cost = cost;
    v_.meter_.pay(cost);
    return *(memo[q] = std::make_unique<Interior>(std::move(made)));
  }
  void finish(Ends& e) {
    e.tails = merge_tails(trie_.all, e.exits, e.closing);
    e.view = view_ids_++;
    bytes_ += e.tails.bytes();
  }

  // ------------------------------------------------------------------ strings of grammars
  Interior opaque_interior(Id q) {
    std::vector<std::uint32_t> bits(static_cast<std::size_t>(words_), 0);
    std::vector<std::int32_t> exits;
    if (v_.re.is_outside(q)) {
      outside_interior(q, bits, exits);
    } else if (std::vector<Id> parts = v_.re.alternatives(q); parts.size() > 1) {  // a union, read side by side
      for (Id part : parts) {
        const Interior& in = interior(part, false);
        for (std::size_t w = 0; w < in.row->bits.size(); ++w) bits[w] |= in.row->bits[w];
        for (std::int32_t t : in.row->ids) set(bits.data(), t);
        exits.insert(exits.end(), in.ends->exits.begin(), in.ends->exits.end());
      }
    } else if (Id leaf = counted_state(q); leaf != kNone) {
      const Interior& in = interior(leaf, false);
      if (counted_interior(q, leaf, bits, exits)) return in;
    } else {
      Row row;
      build_interior(q, false, row, exits);
      return {kept(std::move(row)), kept(std::move(exits)), {}};
    }
    std::sort(exits.begin(), exits.end());
    exits.erase(std::unique(exits.begin(), exits.end()), exits.end());
    return {kept(packed(bits)), kept(std::move(exits)), {}};
  }
  // A state of a grammar: its mask over the decoded vocabulary, and prefix by prefix the tokens that have no text there.
  void outside_interior(Id q, std::vector<std::uint32_t>& bits, std::vector<std::int32_t>& exits) {
    const Decoded& d = level_.decoded(r_);
    OutsideLanguage& language = v_.re.language_of(q);
    decoded_row_.assign(static_cast<std::size_t>(d.words()), 0);
    language.fill(v_.re.state_of(q), decoded_row_.data());
    auto allowed = [&](std::int32_t t) { return decoded_row_[t >> 5] >> (t & 31) & 1; };
    std::copy(decoded_row_.begin(), decoded_row_.begin() + words_, bits.begin());
    if (size_ & 31) bits.back() &= (1u << (size_ & 31)) - 1;
    for (const Decoded::Prefix& p : d.prefixes) {
      if (!p.text.empty() && !allowed(p.token)) continue;
      Id at = p.text.empty() ? q : kNone;
      if (at == kNone && !language.marks_end()) at = v_.re.run(q, p.text);
      bool ends = at == kNone ? allowed(p.ending) : v_.re.nullable(at);
      if (ends) exits.insert(exits.end(), p.quotes.begin(), p.quotes.end());
      for (const Decoded::Partial& x : p.partials) {
        // after a backslash any character may come, and if the text cannot end between two characters another has to
        bool between = p.text.empty() ? v_.re.is_text(q) : static_cast<unsigned char>(p.text.back()) < 0x80;
        bool any = x.escape == Reader::kBackslash && r_.spells('u') && between && !ends;
        if (!any && at == kNone) at = v_.re.run(q, p.text);
        if (any || r_.escape_live(at, x.escape, x.code))
          for (std::int32_t t : x.tokens) set(bits.data(), t);
      }
      v_.meter_.charge();
    }
  }
  // A state of a grammar, and as many characters as are left to it: the state, if these are not very few.
  Id counted_state(Id q) {
    std::vector<Id> parts = v_.re.conjuncts(q);
    if (parts.size() != 2) return kNone;
    for (int k = 0; k < 2; ++k)
      if (v_.re.is_outside(parts[k]) && v_.re.counts_text(parts[1 - k]) && v_.re.bounds(parts[1 - k]).first == 0 &&
          v_.re.bounds(parts[1 - k]).second >= kFewCharacters)
        return parts[k];
    return kNone;
  }
  // Of the tokens that the state allows, those go that leave too little room; true if none does. Whether a token leaves enough
  // for the canonical completion is known of all (`Needs`); the others are tried one by one.
  bool counted_interior(Id q, Id leaf, std::vector<std::uint32_t>& bits, std::vector<std::int32_t>& exits) {
    const Decoded& d = level_.decoded(r_);
    const Interior& in = interior(leaf, false);
    const Needs& x = needs(leaf);
    const std::int64_t room = v_.re.bounds(v_.re.conjuncts(q)[v_.re.conjuncts(q)[0] == leaf]).second;
    bool same = true;
    copy(in, bits.data());
    for (auto [need, token] : x.large)
      if (need > room && token < size_ && !v_.re.live(v_.re.run(q, d.trie->text(token)))) unset(bits.data(), token), same = false;
    for (const Decoded::Prefix& p : d.prefixes) {
      bool there = false;
      for (std::int32_t node : p.quotes) there = there || std::binary_search(in.ends->exits.begin(), in.ends->exits.end(), node);
      for (const Decoded::Partial& y : p.partials) there = there || (bits[y.tokens[0] >> 5] >> (y.tokens[0] & 31) & 1);
      if (!there) continue;
      Id at = v_.re.run(q, p.text);
      if (v_.re.nullable(at)) exits.insert(exits.end(), p.quotes.begin(), p.quotes.end());
      for (const Decoded::Partial& y : p.partials) {
        if (!(bits[y.tokens[0] >> 5] >> (y.tokens[0] & 31) & 1) || r_.escape_live(at, y.escape, y.code)) continue;
        for (std::int32_t t : y.tokens) unset(bits.data(), t);
        same = false;
      }
    }
    std::sort(exits.begin(), exits.end());
    return same && exits == in.ends->exits;
  }
  // Of the texts that a state allows: the characters of each, and of the canonical completion after it. Those that are large.
  struct Needs {
    std::vector<std::pair<std::int64_t, std::int32_t>> large;  // with the token
    Meter::Cost cost;
  };
  const Needs& needs(Id leaf) {
    auto it = needs_.find(leaf);
    if (it == needs_.end()) {
      Needs made;
      made.cost = v_.meter_.once([&] { find_needs(leaf, made); });
      it = needs_.emplace(leaf, std::move(made)).first;
    }
    v_.meter_.pay(it->second.cost);
    return it->second;
  }
  void find_needs(Id leaf, Needs& out) {
    const Trie& decoded = *level_.decoded(r_).trie;
    const TrieView& t = decoded.all;
    auto offer = [&](std::int32_t first, std::int32_t last, std::int64_t rest) {
      for (std::int32_t k = first; k < last; ++k) {
        std::int64_t n = rest;
        for (char b : decoded.text(t.tokens[k])) n += (static_cast<unsigned char>(b) & 0xC0) != 0x80;
        if (n > kFewCharacters) out.large.emplace_back(n, t.tokens[k]);
      }
    };
    struct Level { std::int32_t stop; Id q; std::int64_t characters; };
    std::vector<Level> stack{{t.size(), leaf, 0}};
    std::int64_t visited = 0;
    for (std::int32_t i = 0; i < t.size();) {
      while (i >= stack.back().stop) stack.pop_back();
      ++visited;
      int b = t.byte[i];
      Id next = v_.re.live_step(stack.back().q, b);
      if (next == RegexStore::kEmpty) {
        i = t.end[i];
        continue;
      }
      std::int64_t characters = stack.back().characters + ((b & 0xC0) != 0x80), rest = v_.re.distance(next);
      bool below = t.end[i] - i > kWorthwhile && (decoded.subtree_signature[i] & ~v_.re.language_of(next).loops(v_.re.state_of(next))) == 0;
      std::int64_t most = characters + rest + (below ? decoded.subtree_characters[i] : 0);
      if (most > kFewCharacters) offer(t.first[i], t.first[below ? t.end[i] : i + 1], rest);
      if (!below && t.end[i] > i + 1) stack.push_back({t.end[i], next, characters});
      i = below ? t.end[i] : i + 1;
    }
    stats.nodes += visited;
    v_.meter_.charge(visited);
    bytes_ += out.large.size() * 16 + 60;
  }
  Row packed(const std::vector<std::uint32_t>& bits) const {
    Row out;
    std::int64_t count = 0;
    for (std::uint32_t w : bits) count += __builtin_popcount(w);
    if (count > words_ / 4) out.bits = bits;
    else
      for (std::int32_t w = 0; w < words_; ++w)
        for (std::uint32_t x = bits[w]; x; x &= x - 1) out.ids.push_back(w * 32 + __builtin_ctz(x));
    return out;
  }
  // Equal rows, and equal ends, are one.
  std::shared_ptr<const Row> kept(Row&& row) {
    std::uint64_t h = mix(row.bits.size(), row.ids.size());
    for (std::uint32_t w : row.bits) h = mix(h, w);
    for (std::int32_t t : row.ids) h = mix(h, static_cast<std::uint32_t>(t));
    for (const std::shared_ptr<const Row>& known : rows_[h])
      if (*known == row) return known;
    bytes_ += row.bits.size() * 4 + row.ids.size() * 4 + 150;
    return rows_[h].emplace_back(std::make_shared<const Row>(std::move(row)));
  }
  std::shared_ptr<Ends> kept(std::vector<std::int32_t>&& exits) {
    std::shared_ptr<Ends>& known = ends_[exits];
    if (!known) {
      known = std::make_shared<Ends>();
      bytes_ += exits.size() * 8 + 300;
      known->exits = std::move(exits);
      finish(*known);
    }
    return known;
  }
  const std::vector<Exit>& exits_of(Ends& inside) {
    if (inside.decoded.size() == inside.exits.size()) return inside.decoded;
    Meter::Quiet quiet(v_.meter_);
    for (std::int32_t node : inside.exits) {
      Config c;
      c.lexer = Lexer::Key;
      c.a = v_.re.text();
      std::string path = trie_.all.path(node);
      path.pop_back();
      for (char b : path) r_.step(c, static_cast<unsigned char>(b));
      inside.by_text[c.key].push_back(inside.decoded.size());
      inside.decoded.push_back({node, c.key});
    }
    bytes_ += inside.decoded.size() * 120;
    return inside.decoded;
  }
  std::vector<Exit> exits_of(Ends& inside, const std::string& text) {
    exits_of(inside);
    std::vector<Exit> out;
    auto it = inside.by_text.find(text);
    if (it != inside.by_text.end())
      for (std::size_t i : it->second) out.push_back(inside.decoded[i]);
    return out;
  }
  // Tokens within `groups` and of at most `characters` characters lead from q to live states: they loop, or they read on
  // in counters that have enough left.
  Region region(Id q, bool raw) {
    if (v_.re.opaque(q)) return opaque_region(q);
    if (auto one = v_.re.counter(q))
      return {loop_groups(v_.re.repeat(one->body, 0, RegexStore::kUnbounded), raw), one->most < 0 ? INT32_MAX : one->most};
    Region out{loop_groups(q, raw), INT32_MAX};
    std::vector<Id> parts = v_.re.conjuncts(q);
    if (out.groups || parts.size() == 1 || !v_.re.nullable(q)) return out;
    out.groups = ~0ull;
    for (Id part : parts) {
      Region r = region(part, raw);
      out = {out.groups & r.groups, std::min(out.characters, r.characters)};
      if (!out.groups) break;
    }
    return out;
  }
  // A state of a grammar on whose loops characters are counted, with room for them and the canonical completion.
  Region opaque_region(Id q) {
    Region out{0, 0};
    if (v_.re.is_outside(q)) return {loops_inside(q), INT32_MAX};
    Id leaf = kNone;
    std::int64_t room = INT32_MAX;
    for (Id part : v_.re.conjuncts(q)) {
      if (leaf == kNone && v_.re.is_outside(part)) leaf = part;
      else if (v_.re.counts_text(part) && v_.re.bounds(part).first == 0) room = std::min<std::int64_t>(room, v_.re.bounds(part).second);
      else return out;
    }
    if (leaf == kNone || room < v_.re.distance(leaf)) return out;
    return {loops_inside(leaf), static_cast<std::int32_t>(room - v_.re.distance(leaf))};
  }
  // Loops of a state of a grammar on bytes that a string holds as they are.
  std::uint64_t loops_inside(Id leaf) {
    std::uint64_t g = v_.re.language_of(leaf).loops(v_.re.state_of(leaf));
    for (int b : {'"', '\\'}) g &= ~(1ull << groups::of_ascii(b));
    for (int b = 0; b < 0x20; ++b) g &= ~(1ull << groups::of_ascii(b));
    return g;
  }
  std::uint64_t loop_groups(Id q, bool raw) {
    std::uint64_t key = static_cast<std::uint64_t>(q) * 2 + raw;
    auto it = loops_.find(key);
    if (it != loops_.end()) return it->second;
    bytes_ += 32;
    Meter::Quiet quiet(v_.meter_);
    return loops_[key] = find_loop_groups(q, raw);
  }
  // Groups on whose bytes q loops; ends and escapes of a JSON string never do.
  std::uint64_t find_loop_groups(Id q, bool raw) {
    ByteSet loops = v_.re.self_loops(q);
    std::uint64_t g = ~0ull;
    for (int b = 0; b < 0x80; ++b)
      if (!has(loops, b) || (!raw && (b == '"' || b == '\\' || b < 0x20))) {
        if (has(v_.re.alphabet(), b) || !raw) g &= ~(1ull << groups::of_ascii(b));
      }
    g &= (1ull << groups::kBroken) - 1;
    if (g && !groups::wide_loops(q, [&](Id at, int b) { return v_.re.step(at, b); })) g &= ~(1ull << groups::kWide);
    return g;
  }
  // Where q soon becomes free text ("any string but ...") or counts its characters, the interior of free text, walked only
  // where the two differ.
  const Interior* base_of(Id q, bool raw) {
    Id text = v_.re.text();
    bool soon = q != text && v_.re.counts_text(q);
    if (q != text && !soon) v_.re.each_class(q, [&](int b, int) {
        Id next = v_.re.step(q, b);
        soon = soon || next == text || v_.re.counts_text(next);
      });
    return soon ? &interior(text, raw) : nullptr;
  }
  // Where tokens do not spell every byte: the tokens after which others can finish the text.
  void build_bounded(Id q, Row& out) {
    const TrieView& t = trie_.all;
    struct Level { std::int32_t stop; Id q; };
    std::vector<Level> stack{{t.size(), q}};
    std::unordered_map<Id, bool> known;
    for (std::int32_t i = 0; i < t.size();) {
      while (i >= stack.back().stop) stack.pop_back();
      Config c;
      c.lexer = Lexer::Raw;
      c.a = stack.back().q;
      ++stats.nodes;
      v_.meter_.charge();
      if (!r_.step(c, t.byte[i])) {
        i = t.end[i];
        continue;
      }
      if (t.first[i] < t.first[i + 1]) {
        auto [it, fresh] = known.try_emplace(c.a, false);
        if (fresh) it->second = r_.at_boundary(c);
        if (it->second) take(t, i, out.ids);
      }
      if (t.end[i] > i + 1) stack.push_back({t.end[i], c.a});
      ++i;
    }
  }
  void build_interior(Id q, bool raw, Row& out, std::vector<std::int32_t>& exits) {
    if (raw && r_.concatenations != kNone) return build_bounded(q, out);
    const TrieView& t = trie_.all;
    std::vector<std::uint32_t> bits(static_cast<std::size_t>(words_), 0);
    std::uint64_t loops = v_.re.opaque(q) ? 0 : loop_groups(q, raw);
    bool dense = __builtin_popcountll(loops & ((1ull << groups::kBroken) - 1)) >= 3;
    const Interior* base = base_of(q, raw);
    if (base) {
      if (!base->row->bits.empty()) bits = base->row->bits;
      else for (std::int32_t token : base->row->ids) set(bits.data(), token);
    } else if (dense) {
      const std::uint64_t outside = ~loops;
      for (std::int32_t token = 0; token < size_; ++token)
        bits[token >> 5] |= static_cast<std::uint32_t>((trie_.token_signature[token] & outside) == 0) << (token & 31);
    }
    auto clear_below = [&](std::int32_t i) {
      for (std::int32_t k = t.first[i]; k < t.first[t.end[i]]; ++k) unset(bits.data(), t.tokens[k]);
    };
    struct Level { std::int32_t stop; Id q, base; };
    std::vector<Level> stack{{t.size(), q, base ? v_.re.text() : RegexStore::kEmpty}};
    std::int64_t visited = 0;
    for (std::int32_t i = 0; i < t.size();) {
      while (i >= stack.back().stop) stack.pop_back();
      Id at = stack.back().q;
      ++visited;
      int b = t.byte[i];
      if (!raw && b == '"') {
        if (v_.re.nullable(at)) exits.push_back(i);
        i = t.end[i];
        continue;
      }
      if (!raw && b == '\\') {
        if (base) clear_below(i);
        escaped(i, at, bits, exits);
        i = t.end[i];
        continue;
      }
      bool none = !raw && b < 0x20;
      Id next = none ? RegexStore::kEmpty : v_.re.live_step(at, b);
      Id base_next = none || stack.back().base == RegexStore::kEmpty ? RegexStore::kEmpty : v_.re.live_step(stack.back().base, b);
      Likeness like = likeness(next, base_next, i);
      if (like != Likeness::kNo) {
        if (base && next != RegexStore::kEmpty && like == Likeness::kSame)
          exits.insert(exits.end(), std::lower_bound(base->ends->exits.begin(), base->ends->exits.end(), i), std::lower_bound(base->ends->exits.begin(), base->ends->exits.end(), t.end[i]));
        i = t.end[i];
        continue;
      }
      if (next == RegexStore::kEmpty) {
        clear_below(i);
        i = t.end[i];
        continue;
      }
      bool below = t.end[i] - i > kWorthwhile && stays(i, region(next, raw));
      for (std::int32_t k = t.first[i]; k < t.first[below ? t.end[i] : i + 1]; ++k) set(bits.data(), t.tokens[k]);
      if (below) {
        i = t.end[i];
        continue;
      }
      if (t.end[i] > i + 1) stack.push_back({t.end[i], next, base_next});
      ++i;
    }
    stats.nodes += visited;
    v_.meter_.charge(visited);
    out = packed(bits);
  }
  // Do the tokens below the node fare alike in both states? A counter that holds all their characters is like free text;
  // if it has to read more of them than there are, nothing ends.
  enum class Likeness { kNo, kSame, kSameWithoutExits };
  Likeness likeness(Id q, Id base, std::int32_t node) const {
    if (q == base) return Likeness::kSame;
    if (base != v_.re.text() || !v_.re.counts_text(q)) return Likeness::kNo;
    auto [least, most] = v_.re.bounds(q);
    if (trie_.subtree_characters[node] > most && most >= 0) return Likeness::kNo;
    return least == 0 ? Likeness::kSame : least > trie_.subtree_characters[node] ? Likeness::kSameWithoutExits : Likeness::kNo;
  }
  // Do all tokens below the node stay within the region?
  bool stays(std::int32_t node, const Region& r) const {
    return (trie_.subtree_signature[node] & ~r.groups) == 0 && trie_.subtree_characters[node] <= r.characters;
  }
  // The subtree of a backslash inside a text whose regex state before it is `q`.
  void escaped(std::int32_t node, Id q, std::vector<std::uint32_t>& bits, std::vector<std::int32_t>& exits) {
    Config c;
    c.lexer = Lexer::String;
    c.phase = Phase::AfterValue;
    c.a = q;
    if (r_.step(c, '\\')) escaped_below(node, c, bits, exits);
  }
  void escaped_below(std::int32_t node, const Config& c, std::vector<std::uint32_t>& bits, std::vector<std::int32_t>& exits) {
    const TrieView& t = trie_.all;
    for (std::int32_t k = t.first[node]; k < t.first[node + 1]; ++k) set(bits.data(), t.tokens[k]);
    for (std::int32_t i = node + 1; i < t.end[node]; i = t.end[i]) {
      ++stats.nodes;
      if (c.escape == Reader::kPlain && t.byte[i] == '"') {
        if (v_.re.nullable(c.a)) exits.push_back(i);
        continue;
      }
      Config next = c;
      if (r_.step(next, t.byte[i])) escaped_below(i, next, bits, exits);
    }
  }

  // ------------------------------------------------------------------ judgements
  struct Walk {
    std::uint32_t depth;       // frames open when the walk began
    std::uint32_t reached;     // the least depth of a frame that was looked at
    bool apart = false;
    Result result;
  };

  const Result& judged(const TrieView& view, std::int32_t view_id, const Config& c) {
    return complete(view, c, judge(view, view_id, c));
  }
  // What the memo holds for `c`: tokens allowed whatever names are used up, and rare nodes still to be judged.
  // `apart`: values that begin in the frame of `c` see the items before them and are left rare.
  const Result& judge(const TrieView& view, std::int32_t view_id, const Config& c, bool apart = false) {
    ++stats.judgements;
    key_.assign({apart ? -2 - view_id : view_id});
    local_key(c, key_);
    Id at = keys_.add(key_);
    for (const Frame* f = first_observed(c);; f = f->parent) {
      room(at);
      if (nodes_[at] >= 0) {
        ++stats.hits;
        const Result& known = results_[nodes_[at]];
        v_.meter_.pay(known.cost);
        return known;
      }
      if (nodes_[at] == kUnknown || !f) return learn(view, view_id, c, apart);
      key_.assign({at});
      frame_key(f, key_);
      at = keys_.add(key_);
    }
  }
  // Gaps inside a container carry in themselves what they observe of the top frame.
  static bool carries_frame(const Config& c) {
    return c.frame && (c.lexer == Lexer::Key || (c.lexer == Lexer::Gap && c.phase != Phase::ValueStart && c.phase != Phase::Colon));
  }
  // Does the local key hold the names used up in the top frame?
  static bool names_exact(const Config& c) {
    return c.frame && (c.lexer == Lexer::Key || (c.lexer == Lexer::Gap && (c.phase == Phase::ObjectStart || c.phase == Phase::NameStart)));
  }
  static const Frame* first_observed(const Config& c) {
    return carries_frame(c) ? c.frame->parent : c.frame.get();
  }
  void local_key(const Config& c, std::vector<Id>& key) {
    Id a = c.a;
    if (c.lexer == Lexer::Number) a = v_.numbers.mask_key(a, trie_.longest + 1);
    if (c.lexer == Lexer::String) a = v_.re.mask_key(a, trie_.longest + 1);
    key.insert(key.end(), {static_cast<Id>(c.lexer) * 8 + static_cast<Id>(c.phase), c.escape, static_cast<Id>(c.code), a, c.b, c.c,
                           c.frame ? 1 + c.frame->array : 0, first_observed(c) ? 1 : 0});
    if (Reader::recorded(c) && c.lexer != Lexer::Key && c.lexer != Lexer::Gap)
      for (char b : c.key) key.push_back(b);
    if (carries_frame(c) && (names_exact(c) || c.frame->array || c.frame->tracked || c.frame->record != kNone)) {
      const Frame* f = c.frame.get();
      key.insert(key.end(), {f->goal, f->tracked, f->pending, f->seen, f->record});
      for (char b : c.key) key.push_back(b);
    }
    if (r_.document().whitespace == 2 && c.frame) key.push_back(static_cast<Id>(c.frame->depth));
  }
  void frame_key(const Frame* f, std::vector<Id>& key) {
    if (f->array || f->pending || f->tracked || f->record != kNone)
      key.insert(key.end(), {f->array, f->goal, f->tracked, f->pending, f->seen, f->record});
    else if (Meter::Quiet quiet(v_.meter_); true) key.push_back(8 + r_.may_close(f) + 2 * r_.may_continue(f));
    key.push_back(f->parent ? -6 : -7);
  }

  const Result& learn(const TrieView& view, std::int32_t view_id, const Config& c, bool apart) {
    Walk w;
    w.apart = apart;
    w.depth = c.frame ? c.frame->depth : 0;
    w.reached = w.depth + 1;
    std::int64_t before = stats.nodes;
    Meter::Cost cost = v_.meter_.once([&] {
      walk(view, 0, view.size(), c, w, names_exact(c));
      v_.meter_.charge(stats.nodes - before);
    });
    v_.meter_.pay(cost);
    Result& x = w.result;
    x.cost = cost;
    if (static_cast<std::int32_t>(x.ids.size()) > words_) {
      x.bits.assign(static_cast<std::size_t>(words_), 0);
      for (std::int32_t t : x.ids) set(x.bits.data(), t);
      x.ids.clear();
    }
    bytes_ += x.ids.size() * 4 + x.bits.size() * 4 + x.rare.size() * 4 + 120;
    // the path of observations: as many frames as were looked at
    key_.assign({apart ? -2 - view_id : view_id});
    local_key(c, key_);
    Id at = keys_.add(key_);
    for (const Frame* f = first_observed(c); f && f->depth >= w.reached; f = f->parent) {
      room(at);
      nodes_[at] = kInner;
      key_.assign({at});
      frame_key(f, key_);
      at = keys_.add(key_);
    }
    room(at);
    nodes_[at] = static_cast<Id>(results_.size());
    results_.push_back(std::move(x));
    return results_.back();
  }
  void room(Id at) {
    if (at >= static_cast<Id>(nodes_.size())) nodes_.resize(at + 1, kUnknown);
  }
  // The remembered result, completed by the subtrees that must be judged afresh.
  const Result& complete(const TrieView& view, const Config& c, const Result& x) {
    if (x.rare.empty()) return x;
    scratch_ = x;
    for (std::int32_t node : x.rare) {
      Config at = c;
      bool alive = true;
      for (char b : view.path(node)) alive = alive && r_.step(at, static_cast<unsigned char>(b));
      if (alive) visit(view, node + 1, view.end[node], at, [&](std::int32_t t, const Config&) { scratch_.ids.push_back(t); });
    }
    return scratch_;
  }

  // `exact`: the top frame's names are part of the key.
  void walk(const TrieView& view, std::int32_t first, std::int32_t stop, const Config& c, Walk& w, bool exact) {
    for (std::int32_t i = first; i < stop; i = view.end[i]) {
      ++stats.nodes;
      Config next = c;
      if (!r_.step(next, view.byte[i])) {
        observe_refusal(c, w);
        continue;
      }
      std::uint32_t depth = next.frame ? next.frame->depth : 0;
      // a value that ended looked at the frame it stands in; one that only began did not
      if (next.lexer == Lexer::Gap && (next.phase == Phase::AfterValue || next.phase == Phase::End)) w.reached = std::min(w.reached, depth);
      if (c.lexer == Lexer::Number && next.lexer == Lexer::Gap && c.frame) w.reached = std::min(w.reached, c.frame->depth);
      take(view, i, w.result.ids);
      if (view.end[i] == i + 1) continue;
      bool begins = w.apart && c.lexer == Lexer::Gap && next.lexer != Lexer::Gap && depth <= w.depth;
      bool opens = w.apart && c.lexer == Lexer::Gap && depth > (c.frame ? c.frame->depth : 0) && depth <= w.depth + 1;
      if (begins || opens || (next.lexer == Lexer::Key && depth <= w.depth && !(exact && depth == w.depth))) {
        w.result.rare.push_back(i);
        continue;
      }
      walk(view, i + 1, view.end[i], next, w, exact);
    }
  }
  // A number that could end here looked at its frame even if the byte was refused.
  void observe_refusal(const Config& c, Walk& w) {
    if (c.lexer == Lexer::Number && v_.numbers.accepts(c.a)) w.reached = std::min(w.reached, c.frame ? c.frame->depth : w.reached);
  }

  template <class F>
  void visit(const TrieView& view, std::int32_t first, std::int32_t stop, const Config& c, F&& f) {
    for (std::int32_t i = first; i < stop; i = view.end[i]) {
      ++stats.nodes;
      Config next = c;
      if (!r_.step(next, view.byte[i])) continue;
      for (std::int32_t k = view.first[i]; k < view.first[i + 1]; ++k) f(view.tokens[k], next);
      if (view.end[i] > i + 1) visit(view, i + 1, view.end[i], next, f);
    }
  }

  static constexpr Id kUnknown = -1, kInner = -2;
  static constexpr std::int32_t kFewCharacters = 48;
  static constexpr std::int32_t kWorthwhile = 8;  // nodes below which a walk is cheaper than asking for a region
  Reader& r_;
  Values& v_;
  Level& level_;
  const Trie& trie_;
  std::int32_t size_, words_;
  std::unordered_map<Id, std::unique_ptr<Interior>> interiors_, raw_interiors_;
  std::unordered_map<std::uint64_t, std::vector<std::shared_ptr<const Row>>> rows_;  // of strings of grammars
  std::map<std::vector<std::int32_t>, std::shared_ptr<Ends>> ends_;
  std::vector<std::uint32_t> decoded_row_;
  std::unordered_map<Id, Needs> needs_;  // by state of a grammar
  std::unordered_map<std::uint64_t, std::vector<Outcome>> outcomes_;  // by view of the interior and tracked list
  std::unordered_map<std::uint64_t, std::uint64_t> loops_;
  ListStore keys_;
  std::vector<Id> nodes_, key_;
  std::deque<Result> results_;
  Result scratch_;
  std::int32_t view_ids_ = 1;
  std::size_t bytes_ = 0, budget_ = 48u << 20;
};

}  // namespace constrain
