// Interiors: which tokens stay inside a lexeme of text (String, Key, Raw), and where the others leave it.
//
// Both depend on the regex state alone. The interior of a dense state is one pass over token signatures (all tokens within
// the state's self-loops) plus a walk of the subtrees that leave them. Tokens that leave are kept by the trie nodes of the
// closing quotes, and what they hold after it as one small trie.
//
// A string that is a text of a grammar has the interior that the grammar's masks give over the decoded vocabulary
// (decoded.hpp); only tokens that leave the string or stop inside an escape are looked at here, by what they decode to before
// that. Rows and tails that are the same for many states of a grammar are kept once.
//
// Memory: 16 KB (V / 8) a dense interior. Not thread-safe.
#pragma once
#include <optional>

#include "decoded.hpp"

namespace constrain {

struct MaskStats {
  std::int64_t fills = 0, judgements = 0, hits = 0, nodes = 0, interiors = 0, interior_hits = 0, clears = 0, published_hits = 0;
};

class Interiors {
 public:
  Interiors(Reader& reader, Level& level)
      : r_(reader), v_(reader.v), level_(level), trie_(level.trie), size_(level.size), words_((level.size + 31) / 32) {}

  std::int32_t words() const { return words_; }
  std::size_t bytes() const { return bytes_; }
  MaskStats stats;

 protected:
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
  struct Region {
    std::uint64_t groups;
    std::int32_t characters;
  };

  void clear_row(std::uint32_t* row) const { std::memset(row, 0, static_cast<std::size_t>(words_) * 4); }
  static void set(std::uint32_t* row, std::int32_t t) { row[t >> 5] |= 1u << (t & 31); }
  static void unset(std::uint32_t* row, std::int32_t t) { row[t >> 5] &= ~(1u << (t & 31)); }
  void copy(const Interior& i, std::uint32_t* row) {
    copied_ = i.row;
    if (!i.row->bits.empty()) {
      std::memcpy(row, i.row->bits.data(), static_cast<std::size_t>(words_) * 4);
      return;
    }
    clear_row(row);
    for (std::int32_t t : i.row->ids) set(row, t);
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
      std::vector<std::int32_t> exits;
      build_interior(q, raw, row, exits);
      made.row = kept(std::move(row));
      made.ends = kept(std::move(exits));
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
        const std::int64_t n = rest + utf8::characters(decoded.text(t.tokens[k]));
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
      std::int64_t characters = stack.back().characters + utf8::begins(static_cast<char>(b)), rest = v_.re.distance(next);
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
    const Region out = counted_region(q, star_of(q), raw);
    std::vector<Id> parts = v_.re.conjuncts(q);
    if (out.groups || parts.size() == 1 || !v_.re.nullable(q)) return out;
    Region all{~0ull, INT32_MAX};  // in which every part stays able to end
    for (Id part : parts) {
      Region r = counted_region(part, part, raw);
      all = {all.groups & r.groups, std::min(all.characters, r.characters)};
      if (!all.groups) break;
    }
    return all;
  }
  // `loop`: an expression that loops where q stays live.
  Region counted_region(Id q, Id loop, bool raw) {
    if (auto one = v_.re.counter(q))
      return {loop_groups(v_.re.repeat(one->body, 0, RegexStore::kUnbounded), raw), one->most < 0 ? INT32_MAX : one->most};
    return {loop_groups(loop, raw), INT32_MAX};
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
  // Of the exits of `base`, which is live where q is, those at which q ends: by their texts, side by side where they begin alike.
  void select_exits(Id q, const Interior& base, std::vector<std::int32_t>& exits) {
    std::vector<Id> states{q};
    std::string before;
    std::int64_t steps = 0;
    for (const Exit& e : exits_of(*base.ends)) {
      std::size_t common = 0;
      while (common + 1 < states.size() && common < e.text.size() && e.text[common] == before[common]) ++common;
      states.resize(common + 1);
      before = e.text;
      for (std::size_t k = common; states.size() <= e.text.size(); ++k, ++steps) {
        if (v_.re.distance(states[k]) > static_cast<std::int64_t>(e.text.size() - k)) break;
        states.push_back(v_.re.step(states[k], static_cast<unsigned char>(e.text[k])));
      }
      if (states.size() > e.text.size() && v_.re.nullable(states[e.text.size()])) exits.push_back(e.node);
    }
    stats.nodes += steps;
    v_.meter_.charge(steps);
  }
  // Of a counter of characters: what its loose form allows, but for the tokens that hold more of them.
  void cut_longer(Id q, bool raw, const RegexStore::Loose& loose, Row& out, std::vector<std::int32_t>& exits) {
    const Interior& base = interior(loose.base, raw);
    auto fits = [&](std::string_view text) { return utf8::characters(text) <= loose.characters; };
    // an escape is one character, whatever it looks like
    auto stays = [&](std::string_view text) {
      if (fits(text)) return true;
      if (raw || text.find('\\') == text.npos) return false;
      Config c;
      c.lexer = Lexer::String;
      c.phase = Phase::AfterValue;
      c.a = q;
      return std::all_of(text.begin(), text.end(), [&](char b) { return r_.step(c, static_cast<unsigned char>(b)); });
    };
    std::int64_t tried = 0;
    out.bits = base.row->bits;
    if (!out.bits.empty())
      for (std::int32_t t : trie_.by_characters()) {
        if (fits(trie_.text(t))) break;
        ++tried;
        if ((out.bits[t >> 5] >> (t & 31) & 1) && !stays(trie_.text(t))) unset(out.bits.data(), t);
      }
    for (std::int32_t t : base.row->ids)
      if (++tried, stays(trie_.text(t))) out.ids.push_back(t);
    if (!base.ends->exits.empty())
      for (const Exit& e : exits_of(*base.ends))
        if (++tried, fits(e.text)) exits.push_back(e.node);
    v_.meter_.charge(tried);
  }
  // Where q can plainly go on by one repeated class whatever comes after: its repeat, else q.
  Id star_of(Id q) {
    Id star = v_.re.leading_star(q);
    return star == kNone ? q : star;
  }
  void build_interior(Id q, bool raw, Row& out, std::vector<std::int32_t>& exits) {
    if (raw && r_.concatenations != kNone) return build_bounded(q, out);
    if (Id wide = raw ? kNone : v_.re.live_as(q); wide != kNone && wide != q) {
      const Interior& base = interior(wide, raw);
      out = *base.row;
      if (!base.ends->exits.empty()) select_exits(q, base, exits);
      return;
    }
    const TrieView& t = trie_.all;
    const std::optional<RegexStore::Loose> loose = v_.re.loosened(q, kLoose);
    if (loose && loose->counter) return cut_longer(q, raw, *loose, out, exits);
    std::vector<std::uint32_t> bits(static_cast<std::size_t>(words_), 0);
    std::uint64_t loops = v_.re.opaque(q) ? 0 : loop_groups(star_of(q), raw);
    bool dense = __builtin_popcountll(loops & ((1ull << groups::kBroken) - 1)) >= 3;
    const Interior* base = loose ? &interior(loose->base, raw) : base_of(q, raw);
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
    auto as_base = [&](std::int32_t i) {
      const std::vector<std::int32_t>& all = base->ends->exits;
      exits.insert(exits.end(), std::lower_bound(all.begin(), all.end(), i), std::lower_bound(all.begin(), all.end(), t.end[i]));
    };
    struct Level { std::int32_t stop; Id q, base; std::int32_t characters; };
    std::vector<Level> stack{{t.size(), q, loose ? loose->base : base ? v_.re.text() : RegexStore::kEmpty, 0}};
    std::int64_t visited = 0;
    for (std::int32_t i = 0; i < t.size();) {
      while (i >= stack.back().stop) stack.pop_back();
      Id at = stack.back().q;
      ++visited;
      int b = t.byte[i];
      const std::int32_t characters = stack.back().characters + utf8::begins(static_cast<char>(b));
      if (loose && characters + trie_.subtree_characters[i] <= loose->characters) {
        as_base(i);
        i = t.end[i];
        continue;
      }
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
        if (base && next != RegexStore::kEmpty && like == Likeness::kSame) as_base(i);
        i = t.end[i];
        continue;
      }
      if (next == RegexStore::kEmpty) {
        clear_below(i);
        i = t.end[i];
        continue;
      }
      bool below = t.end[i] - i > (loose ? 8 : 1) * kWorthwhile && stays(i, region(next, raw));
      for (std::int32_t k = t.first[i]; k < t.first[below ? t.end[i] : i + 1]; ++k) set(bits.data(), t.tokens[k]);
      if (below) {
        i = t.end[i];
        continue;
      }
      if (t.end[i] > i + 1) stack.push_back({t.end[i], next, base_next, characters});
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
  void clear_interiors() {
    interiors_.clear();
    raw_interiors_.clear();
    needs_.clear();
    rows_.clear();
    ends_.clear();
    loops_.clear();
    view_ids_ = 1;
    bytes_ = 0;
  }

  static constexpr std::int32_t kLoose = 6;            // counters from here on are left out of what is walked
  static constexpr std::int32_t kFewCharacters = 48;
  static constexpr std::int32_t kWorthwhile = 8;  // nodes below which a walk is cheaper than asking for a region
  Reader& r_;
  Values& v_;
  Level& level_;
  const Trie& trie_;
  std::int32_t size_, words_;
  std::unordered_map<Id, std::unique_ptr<Interior>> interiors_, raw_interiors_;
  std::unordered_map<std::uint64_t, std::vector<std::shared_ptr<const Row>>> rows_;
  std::map<std::vector<std::int32_t>, std::shared_ptr<Ends>> ends_;
  std::vector<std::uint32_t> decoded_row_;
  std::unordered_map<Id, Needs> needs_;  // by state of a grammar
  std::unordered_map<std::uint64_t, std::uint64_t> loops_;
  std::shared_ptr<const Row> copied_;  // the last one
  std::int32_t view_ids_ = 1;
  std::size_t bytes_ = 0;
};

}  // namespace constrain
