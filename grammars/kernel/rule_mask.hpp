// Masks of context-free grammars.
//
// The mask of an alternative is the union of
//   interior   tokens that stay inside the lexeme in progress: a constant of its lexer state;
//   exits      tokens that end it and go on: for each way to end it, the distinct tails, merged into a small trie that is
//              judged from the parser set that follows;
//   follow     if the lexeme may end before the first byte: the mask of what follows, cut to tokens whose first byte ends it.
// A judgement of a trie is memoised as a decision tree over what it observed: the terminals that can be taken after each
// sequence of lexemes that its paths complete. Sets that differ deep in the stack share it; a hit costs one parser move
// for each question. What depends on more than that (obligations, embedded documents, line ends inside a tail) is set
// aside as *rare* and stepped through afresh.
//
// Finished masks are kept by alternative, as id lists or rows. All memos are bounded together and dropped together.
// Not thread-safe; masks are copied out.
#pragma once
#include "mask.hpp"
#include "rule_reader.hpp"

namespace constrain {

class RuleMasks {
 public:
  using Alternative = RuleReader::Alternative;
  using Place = RuleReader::Place;

  RuleMasks(RuleReader& reader, MaskBuilder* documents, const Trie& trie, std::int32_t vocabulary_size, Meter& meter)
      : r_(reader), documents_(documents), trie_(trie), size_(vocabulary_size), words_((vocabulary_size + 31) / 32), meter_(meter) {
    first_bytes_of_tokens();
  }

  MaskStats stats;

  // Writes the mask of configuration `c` without end tokens into row[0 .. words).
  void fill(Id c, std::uint32_t* row) {
    ++stats.fills;
    if (bytes_ > budget_) clear();
    std::vector<Alternative> all = r_.alternatives(c);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Mask& m = mask(all[i]);
      if (i == 0) copy(m, row);
      else add(m, row);
    }
    if (all.empty()) std::memset(row, 0, static_cast<std::size_t>(words_) * 4);
  }
  // Calls f(token, configuration after it) for every allowed token. The slow, general walk.
  template <class F>
  void each_allowed(Id c, F&& f) {
    visit(trie_.all, 0, trie_.all.size(), c, f);
    for (auto& [token, terminals] : r_.specials())
      if (Id after = r_.step_special(c, token)) f(token, after);
  }
  std::size_t bytes() const { return bytes_; }
  void clear() {
    masks_.clear();
    interiors_.clear();
    views_.clear();
    view_ids_.clear();
    nodes_.clear();
    results_.clear();
    edges_.clear();
    cuts_.clear();
    bytes_ = 0;
    ++stats.clears;
  }

 private:
  struct Mask {
    std::vector<std::uint32_t> bits;  // dense, or empty
    std::vector<std::int32_t> ids;
  };
  // Exits of a lexer state for one way to end the lexeme.
  struct Exit {
    Id terminals = 0;
    std::string line;  // states within a newline: what was read of it since the state
    std::int32_t view = 0;
  };
  // Nodes at which a lexeme may have ended under an obligation, for one way to end it, and the bytes that lead to them.
  struct Fork {
    Id terminals = 0;
    std::string line;
    std::vector<std::int32_t> nodes;
    ByteSet bytes{};
  };
  struct Interior {
    Mask inside;
    std::vector<Exit> exits;
    std::vector<Fork> forks;
    std::vector<std::int32_t> unsure;  // nodes that are live or not by what follows
  };
  // ------------------------------------------------------------------ rows
  static void set(std::uint32_t* row, std::int32_t t) { row[t >> 5] |= 1u << (t & 31); }
  void copy(const Mask& m, std::uint32_t* row) const {
    if (!m.bits.empty()) {
      std::memcpy(row, m.bits.data(), static_cast<std::size_t>(words_) * 4);
      return;
    }
    std::memset(row, 0, static_cast<std::size_t>(words_) * 4);
    for (std::int32_t t : m.ids) set(row, t);
  }
  void add(const Mask& m, std::uint32_t* row) const {
    if (!m.bits.empty())
      for (std::int32_t w = 0; w < words_; ++w) row[w] |= m.bits[w];
    for (std::int32_t t : m.ids) set(row, t);
  }
  Mask packed(const std::vector<std::uint32_t>& row) const {
    Mask m;
    std::int64_t count = 0;
    for (std::uint32_t w : row) count += __builtin_popcount(w);
    if (count > words_ / 2) m.bits = row;
    else
      for (std::int32_t w = 0; w < words_; ++w)
        for (std::uint32_t x = row[w]; x; x &= x - 1) m.ids.push_back(w * 32 + __builtin_ctz(x));
    return m;
  }
  // Tokens whose first byte is in `s`, and those without bytes.
  const std::vector<std::uint32_t>& cut(const ByteSet& s) {
    auto [it, fresh] = cuts_.try_emplace(s);
    if (!fresh) return it->second;
    it->second.assign(static_cast<std::size_t>(words_), 0);
    for (std::int32_t t = 0; t < size_; ++t) {
      std::string_view text = trie_.text(t);
      if (text.empty() || has(s, static_cast<unsigned char>(text[0]))) set(it->second.data(), t);
    }
    bytes_ += static_cast<std::size_t>(words_) * 4;
    return it->second;
  }
  void first_bytes_of_tokens() {
    roots_.assign(256, -1);
    for (std::int32_t i = 0; i < trie_.all.size(); i = trie_.all.end[i]) roots_[trie_.all.byte[i]] = i;
  }

  // ------------------------------------------------------------------ masks of alternatives
  const Mask& mask(const Alternative& a) {
    Id id = r_.intern(a);
    auto it = masks_.find(id);
    if (it != masks_.end()) {
      ++stats.hits;
      return it->second;
    }
    ++stats.judgements;
    std::vector<std::uint32_t> row(static_cast<std::size_t>(words_), 0);
    make(a, row.data());
    Mask& made = masks_[id] = packed(row);
    bytes_ += 80 + made.bits.size() * 4 + made.ids.size() * 4;
    return made;
  }
  void make(const Alternative& a, std::uint32_t* row) {
    if (a.phase == RuleReader::kEmbedded) return make_document(a, row);
    if (a.obligations) return make_obliged(a, row);
    if (!r_.plainly_live(a)) return walk_all(a, row);
    const Interior& inside = interior(a);
    add(inside.inside, row);
    for (const Exit& e : inside.exits)
      for (const Place& p : places_of(a, e.terminals, e.line)) add_judged(e.view, p, row);
    for (const Fork& f : inside.forks) walk_fork(a, f, row);
    for (std::int32_t node : inside.unsure) walk_below(a, node, row);
    if (a.phase == RuleReader::kFresh) return at_boundary(a, row);
    follow(a, row);
  }
  void walk_fork(const Alternative& a, const Fork& f, std::uint32_t* row) {
    ByteSet possible{};
    for (const Place& p : places_of(a, f.terminals, f.line))
      for (int b = 0; b < 256; ++b)
        if (has(f.bytes, b) && begins(p, b)) put(possible, b);
    for (std::int32_t node : f.nodes)
      if (has(possible, trie_.all.byte[node])) walk_below(a, node, row);
  }
  // Can anything begin with byte b at this place?
  bool begins(const Place& p, int b) {
    return r_.scan.step(r_.fresh(p).state, b) || (r_.has_documents() && r_.begins_document(p.set, b));
  }
  // What begins between lexemes and is no regex.
  void at_boundary(const Alternative& a, std::uint32_t* row) {
    if (r_.has_documents())
      for (int b = 0; b < 256; ++b)
        if (roots_[b] >= 0 && r_.begins_document(a.set, b)) walk_below(a, roots_[b], row);
    if (r_.has_specials()) {
      Id c = r_.config_of(a);
      for (auto& [token, terminals] : r_.specials())
        if (r_.step_special(c, token)) set(row, token);
    }
  }
  // The lexeme may end here: the masks of what follows, for tokens whose first byte shows that it did.
  void follow(const Alternative& a, std::uint32_t* row) {
    ByteSet ends{};
    std::vector<int> undecided;
    bool line = a.phase == RuleReader::kLineStart;
    for (int b = 0; b < 256; ++b) {
      Id next = r_.scan.step(a.state, b);
      if (!next || !r_.g.longest) put(ends, b);
      else if (!line && r_.scan.no_longer_match(next, 0) != kNone) undecided.push_back(b);
    }
    bool any = false;
    r_.each_end(a, [&](Id asked, const Place& p) {
      any = true;
      ByteSet clear = ends;
      if (asked)
        for (int b = 0; b < 256; ++b)
          if (has(ends, b) && r_.scan.looks_at(asked, b)) {
            clear[b >> 6] &= ~(1ull << (b & 63));
            if (r_.scan.step_obligations(asked, b) != kNone) undecided.push_back(b);
          }
      Alternative next = r_.fresh(p);
      if (!r_.live(next)) return;
      Mask m = mask(next);  // a copy: the memo may move
      const std::vector<std::uint32_t>& allowed = cut(clear);
      if (!m.bits.empty())
        for (std::int32_t w = 0; w < words_; ++w) row[w] |= m.bits[w] & allowed[w];
      for (std::int32_t t : m.ids)
        if (allowed[t >> 5] >> (t & 31) & 1) set(row, t);
    });
    if (any)
      for (int b : undecided)
        if (roots_[b] >= 0) walk_below(a, roots_[b], row);
  }
  // Obligations that a byte does not touch are void after it: everything but the bytes they look at is as without them.
  void make_obliged(const Alternative& a, std::uint32_t* row) {
    Alternative free = a;
    free.obligations = 0;
    ByteSet open{};
    for (int b = 0; b < 256; ++b)
      if (roots_[b] >= 0) {
        if (r_.scan.looks_at(a.obligations, b)) walk_below(a, roots_[b], row);
        else put(open, b);
      }
    if (!r_.live(free) || !r_.scan.fulfilled(a.obligations)) return;
    Mask m = mask(free);
    const std::vector<std::uint32_t>& allowed = cut(open);
    if (!m.bits.empty())
      for (std::int32_t w = 0; w < words_; ++w) row[w] |= m.bits[w] & allowed[w];
    for (std::int32_t t : m.ids)
      if (allowed[t >> 5] >> (t & 31) & 1) set(row, t);
  }
  void walk_all(const Alternative& a, std::uint32_t* row) {
    visit(trie_.all, 0, trie_.all.size(), r_.config_of(a), [&](std::int32_t t, Id) { set(row, t); });
    Id c = r_.config_of(a);
    for (auto& [token, terminals] : r_.specials())
      if (r_.step_special(c, token)) set(row, token);
  }
  // All tokens below a node of the vocabulary, stepped through one by one.
  void walk_below(const Alternative& a, std::int32_t node, std::uint32_t* row) {
    Id c = r_.config_of(a);
    for (char ch : trie_.all.path(node))
      if (!(c = r_.step(c, static_cast<unsigned char>(ch)))) return;
    for (std::int32_t k = trie_.all.first[node]; k < trie_.all.first[node + 1]; ++k) set(row, trie_.all.tokens[k]);
    visit(trie_.all, node + 1, trie_.all.end[node], c, [&](std::int32_t t, Id) { set(row, t); });
  }
  template <class F>
  void visit(const TrieView& view, std::int32_t first, std::int32_t stop, Id c, F&& f) {
    for (std::int32_t i = first; i < stop; i = view.end[i]) {
      ++stats.nodes;
      Id next = r_.step(c, view.byte[i]);
      if (!next) continue;
      for (std::int32_t k = view.first[i]; k < view.first[i + 1]; ++k) f(view.tokens[k], next);
      if (view.end[i] > i + 1) visit(view, i + 1, view.end[i], next, f);
    }
  }
  // A document: the tokens that stay inside it, and those that leave it.
  void make_document(const Alternative& a, std::uint32_t* row) {
    const Config& c = r_.document(a).config;
    std::vector<std::uint32_t> inside(static_cast<std::size_t>(words_), 0);
    documents_->fill(c, inside.data());
    if (!a.obligations)
      for (std::int32_t w = 0; w < words_; ++w) row[w] |= inside[w];
    if (r_.documents().accepting(c))
      r_.each_end(a, [&](Id, const Place& p) {
        Alternative next = r_.fresh(p, a.obligations);
        if (r_.live(next)) add(Mask(mask(next)), row);
      });
    if (a.obligations || documents_->may_finish(c)) leave_document(a, row);
  }
  // Tokens that end the document and go on: walks that are still inside it at their end add nothing new.
  void leave_document(const Alternative& a, std::uint32_t* row) {
    for (std::int32_t node : documents_->closers(r_.document(a).config)) walk_below(a, node, row);
  }

  // ------------------------------------------------------------------ interiors
  const Interior& interior(const Alternative& a) {
    bool line = a.phase == RuleReader::kLineStart || r_.in_newline(a.state, a.layout);
    std::uint64_t key = static_cast<std::uint64_t>(a.state) << 3 | static_cast<std::uint64_t>(a.phase) << 1 | line;
    auto it = interiors_.find(key);
    if (it != interiors_.end()) {
      ++stats.interior_hits;
      return *it->second;
    }
    ++stats.interiors;
    auto made = std::make_unique<Interior>();
    build(a, line, *made);
    return *(interiors_[key] = std::move(made));
  }
  // Groups of bytes on which a lexer state loops; see `Trie`.
  std::uint64_t loops_of(Id state) {
    auto [it, fresh] = loops_.try_emplace(state, 0);
    if (!fresh) return it->second;
    std::uint64_t g = (1ull << groups::kBroken) - 1;
    for (int b = 0; b < 0x80; ++b)
      if (r_.scan.step(state, b) != state) g &= ~(1ull << groups::of_ascii(b));
    if (!wide_loops(state)) g &= ~(1ull << groups::kWide);
    return loops_[state] = g;
  }
  bool wide_loops(Id q) {
    static constexpr struct { int lead_lo, lead_hi, second_lo, second_hi, more; } forms[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 0}, {0xE0, 0xE0, 0xA0, 0xBF, 1}, {0xE1, 0xEC, 0x80, 0xBF, 1}, {0xED, 0xED, 0x80, 0x9F, 1},
        {0xEE, 0xEF, 0x80, 0xBF, 1}, {0xF0, 0xF0, 0x90, 0xBF, 2}, {0xF1, 0xF3, 0x80, 0xBF, 2}, {0xF4, 0xF4, 0x80, 0x8F, 2}};
    for (auto& f : forms)
      for (int lead = f.lead_lo; lead <= f.lead_hi; ++lead) {
        Id a = r_.scan.step(q, lead);
        if (!a) return false;
        Id previous = kNone;
        for (int second = f.second_lo; second <= f.second_hi; ++second) {
          Id b = r_.scan.step(a, second);
          if (b == previous) continue;
          previous = b;
          for (int k = 0; k < f.more; ++k) {
            Id next = r_.scan.step(b, 0x80);
            for (int x = 0x81; x <= 0xBF; ++x)
              if (r_.scan.step(b, x) != next) return false;
            b = next;
          }
          if (b != q) return false;
        }
      }
    return true;
  }
  void build(const Alternative& a, bool line, Interior& out) {
    const TrieView& t = trie_.all;
    std::vector<std::uint32_t> bits(static_cast<std::size_t>(words_), 0);
    Groups exits, forks;
    struct Level { std::int32_t stop; Id state; };
    std::vector<Level> stack{{t.size(), a.state}};
    std::int64_t visited = 0;
    for (std::int32_t i = 0; i < t.size();) {
      while (i >= stack.back().stop) stack.pop_back();
      Id at = stack.back().state;
      ++visited;
      int b = t.byte[i];
      Id next = r_.scan.step(at, b);
      bool root = stack.size() == 1;
      if (!root && ends_at(a, at, line)) exits_at(i, at, b, next, a, line, exits, forks);
      if (next && !certain(next, a)) {  // live or not by what follows: judged afresh
        out.unsure.push_back(i);
        i = t.end[i];
        continue;
      }
      if (!next) {
        i = t.end[i];
        continue;
      }
      bool below = t.end[i] > i + 16 && (trie_.subtree_signature[i] & ~loops_of(next)) == 0;  // nothing below leaves `next`
      for (std::int32_t k = t.first[i]; k < t.first[below ? t.end[i] : i + 1]; ++k) set(bits.data(), t.tokens[k]);
      if (below) {
        i = t.end[i];
        continue;
      }
      if (t.end[i] > i + 1) stack.push_back({t.end[i], next});
      ++i;
    }
    stats.nodes += visited;
    meter_.charge(visited);
    out.inside = packed(bits);
    for (auto& [key, nodes] : exits) out.exits.push_back({key.first, key.second, view_of(nodes)});
    for (auto& [key, nodes] : forks) {
      out.forks.push_back({key.first, key.second, nodes, {}});
      for (std::int32_t n : nodes) put(out.forks.back().bytes, t.byte[n]);
      bytes_ += 100 + nodes.size() * 4;
    }
    bytes_ += out.inside.bits.size() * 4 + out.inside.ids.size() * 4 + out.exits.size() * 48 + 100;
  }
  // Is an alternative in this lexer state live whatever the parser set is?
  bool certain(Id state, const Alternative& a) {
    Alternative x = a;
    x.state = state;
    x.phase = a.phase == RuleReader::kFresh ? static_cast<Id>(RuleReader::kInside) : a.phase;
    x.obligations = 0;
    return r_.plainly_live(x);
  }
  bool ends_at(const Alternative& a, Id state, bool line) {
    if (a.phase == RuleReader::kLineStart) return line;
    return !r_.scan.ends(state).empty();
  }
  using Groups = std::map<std::pair<Id, std::string>, std::vector<std::int32_t>>;
  // Byte b at node i follows a lexeme that may have ended in state `at`; with it the lexeme goes on to `next`, if at all.
  void exits_at(std::int32_t i, Id at, int b, Id next, const Alternative& a, bool line, Groups& exits, Groups& forks) {
    std::string read;
    if (line || r_.in_newline(at, a.layout)) {
      read = trie_.all.path(i);
      read.pop_back();
    }
    if (a.phase == RuleReader::kLineStart) {
      if (!next) exits[{0, read}].push_back(i);
      return;
    }
    bool forked = r_.g.longest && next;
    if (forked && r_.scan.no_longer_match(next, 0) == kNone) return;
    for (const Scanner::End& e : r_.scan.ends(at)) {
      std::pair<Id, std::string> key{e.terminals, r_.has_newline(e.terminals) ? read : std::string()};
      if (e.obligations && r_.scan.looks_at(e.obligations, b)) {
        if (r_.scan.step_obligations(e.obligations, b) != kNone) forks[key].push_back(i);
      } else {
        (forked ? forks : exits)[key].push_back(i);
      }
    }
  }
  std::vector<Place> places_of(const Alternative& a, Id terminals, const std::string& line) {
    Id layout = a.layout;
    bool first = a.phase == RuleReader::kFresh;
    for (char c : line) layout = r_.layouts.column(layout, static_cast<unsigned char>(c), first), first = false;
    return r_.after(a.set, layout, terminals, a.phase == RuleReader::kLineStart);
  }

  // ------------------------------------------------------------------ views: tries of tails, shared by content
  std::int32_t view_of(const std::vector<std::int32_t>& nodes) {
    auto [it, fresh] = view_ids_.try_emplace(nodes, static_cast<std::int32_t>(views_.size()));
    if (!fresh) return it->second;
    views_.push_back(merge_nodes(trie_.all, nodes));
    bytes_ += views_.back().bytes() + nodes.size() * 4 + 100;
    return it->second;
  }
  // The subtrees at `nodes`, each with its root, as one trie.
  static TrieView merge_nodes(const TrieView& t, const std::vector<std::int32_t>& nodes) {
    TrieView out;
    struct Merger {
      const TrieView& t;
      TrieView& out;
      void level(std::vector<std::pair<std::uint8_t, std::int32_t>> children, std::int32_t parent) {
        std::sort(children.begin(), children.end());
        for (std::size_t k = 0; k < children.size();) {
          std::uint8_t b = children[k].first;
          std::int32_t node = out.size();
          out.byte.push_back(b);
          out.end.push_back(0);
          out.parent.push_back(parent);
          out.first.push_back(static_cast<std::int32_t>(out.tokens.size()));
          std::vector<std::pair<std::uint8_t, std::int32_t>> below;
          for (; k < children.size() && children[k].first == b; ++k) {
            std::int32_t n = children[k].second;
            out.tokens.insert(out.tokens.end(), t.tokens.begin() + t.first[n], t.tokens.begin() + t.first[n + 1]);
            for (std::int32_t i = n + 1; i < t.end[n]; i = t.end[i]) below.emplace_back(t.byte[i], i);
          }
          level(std::move(below), node);
          out.end[node] = out.size();
        }
      }
    } merger{t, out};
    std::vector<std::pair<std::uint8_t, std::int32_t>> top;
    for (std::int32_t n : nodes) top.emplace_back(t.byte[n], n);
    merger.level(std::move(top), -1);
    out.first.push_back(static_cast<std::int32_t>(out.tokens.size()));
    return out;
  }

  // ------------------------------------------------------------------ judgements
  struct Result {
    std::vector<std::int32_t> ids;
    std::vector<std::int32_t> rare;  // nodes of the view that are stepped through afresh
  };
  // A question: where does the parser stand if, at place number `slot`, one of `terminals` ends?
  struct Node {
    Id slot = kNone, terminals = 0;
    std::int32_t result = -1;
  };
  // Places met so far, numbered in the order of questions.
  using Slots = std::vector<Place>;

  Id observed(const Place& p) {
    Id x[] = {r_.chart.allowed(p.set), r_.layouts.inside(p.layout), r_.chart.accepts(p.set)};
    return observations_.add(x, 2);
  }
  void add_judged(std::int32_t view, const Place& p, std::uint32_t* row) {
    Slots slots{p};
    std::uint64_t key = mix(static_cast<std::uint64_t>(view) + 1, static_cast<std::uint64_t>(observed(p)));
    std::int32_t at = root_of(view, observed(p), key);
    while (nodes_[at].result < 0) {
      if (nodes_[at].slot == kNone) {
        learn(view, p, row, at);
        return;
      }
      at = descend(at, ask(slots, nodes_[at].slot, nodes_[at].terminals));
    }
    const Result& x = results_[nodes_[at].result];
    for (std::int32_t t : x.ids) set(row, t);
    complete(view, p, x, row);
  }
  std::int32_t root_of(std::int32_t view, Id seen, std::uint64_t) {
    return child(-1 - view, seen);
  }
  std::int32_t descend(std::int32_t at, Id answer) { return child(at, answer); }
  std::int32_t child(std::int32_t at, Id answer) {
    std::uint64_t key = static_cast<std::uint64_t>(static_cast<std::uint32_t>(at)) << 32 | static_cast<std::uint32_t>(answer);
    auto [it, fresh] = edges_.try_emplace(key, static_cast<std::int32_t>(nodes_.size()));
    if (fresh) nodes_.push_back({}), bytes_ += 60;
    return it->second;
  }
  // Adds the places after `terminals` to `slots`; returns what is observed of them.
  Id ask(Slots& slots, Id slot, Id terminals) {
    Place from = slots[static_cast<std::size_t>(slot)];
    std::vector<Place> next = r_.after(from.set, from.layout, terminals);
    std::vector<Id> seen;
    for (const Place& p : next) {
      seen.push_back(observed(p));
      slots.push_back(p);
    }
    return observations_.add(seen);
  }
  struct Learning {
    Slots slots;
    std::map<std::pair<Id, Id>, std::pair<std::size_t, std::size_t>> known;  // question -> slots of the answer
    std::int32_t at;
    Result result;
  };
  struct Reading {
    Id slot, state;
    bool inside;
    auto operator<=>(const Reading&) const = default;
  };
  void learn(std::int32_t view, const Place& p, std::uint32_t* row, std::int32_t at) {
    Learning l{{p}, {}, at, {}};
    std::int64_t before = stats.nodes;
    walk(views_[static_cast<std::size_t>(view)], 0, views_[static_cast<std::size_t>(view)].size(), {begin(p, 0)}, l);
    meter_.charge(stats.nodes - before);
    nodes_[l.at].result = static_cast<std::int32_t>(results_.size());
    bytes_ += l.result.ids.size() * 4 + l.result.rare.size() * 4 + 80;
    results_.push_back(std::move(l.result));
    const Result& x = results_.back();
    for (std::int32_t t : x.ids) set(row, t);
    complete(view, p, x, row);
  }
  Reading begin(const Place& p, Id slot) { return {slot, r_.fresh(p).state, false}; }
  void walk(const TrieView& view, std::int32_t first, std::int32_t stop, const std::vector<Reading>& from, Learning& l) {
    for (std::int32_t i = first; i < stop; i = view.end[i]) {
      ++stats.nodes;
      std::vector<Reading> next;
      bool rare = false;
      for (const Reading& x : from) step(x, view.byte[i], next, l, rare);
      if (rare) l.result.rare.push_back(i);
      if (next.empty()) continue;
      if (next.size() > 1) {
        std::sort(next.begin(), next.end());
        next.erase(std::unique(next.begin(), next.end()), next.end());
      }
      for (std::int32_t k = view.first[i]; k < view.first[i + 1]; ++k) l.result.ids.push_back(view.tokens[k]);
      if (view.end[i] > i + 1) walk(view, i + 1, view.end[i], next, l);
    }
  }
  void step(const Reading& x, int b, std::vector<Reading>& out, Learning& l, bool& rare) {
    Place p = l.slots[static_cast<std::size_t>(x.slot)];
    Id next = r_.scan.step(x.state, b);
    Alternative here;
    here.set = p.set, here.layout = p.layout, here.state = x.state, here.phase = RuleReader::kInside;
    if (next) {
      if (certain(next, here)) out.push_back({x.slot, next, true});
      else rare = true;
    }
    if (!x.inside) {
      if (r_.has_documents() && r_.begins_document(p.set, b)) rare = true;
      return;
    }
    if (r_.scan.ends(x.state).empty()) return;
    bool forked = r_.g.longest && next;
    if (forked && r_.scan.no_longer_match(next, 0) == kNone) return;
    std::vector<Scanner::End> ends = r_.scan.ends(x.state);
    for (const Scanner::End& e : ends) {
      bool looked = e.obligations && r_.scan.looks_at(e.obligations, b);
      if (looked && r_.scan.step_obligations(e.obligations, b) == kNone) continue;
      if (r_.has_newline(e.terminals) && !r_.layouts.inside(p.layout)) {
        rare = true;
        continue;
      }
      auto [first, last] = answer(x.slot, e.terminals, l);
      for (std::size_t k = first; k < last; ++k)
        if (looked || forked) rare = rare || begins(l.slots[k], b);
        else step(begin(l.slots[k], static_cast<Id>(k)), b, out, l, rare);
    }
  }
  std::pair<std::size_t, std::size_t> answer(Id slot, Id terminals, Learning& l) {
    auto [it, fresh] = l.known.try_emplace({slot, terminals});
    if (!fresh) return it->second;
    std::size_t first = l.slots.size();
    nodes_[l.at].slot = slot;
    nodes_[l.at].terminals = terminals;
    l.at = child(l.at, ask(l.slots, slot, terminals));
    return l.known[{slot, terminals}] = {first, l.slots.size()};
  }
  void complete(std::int32_t view, const Place& p, const Result& x, std::uint32_t* row) {
    if (x.rare.empty()) return;
    const TrieView& t = views_[static_cast<std::size_t>(view)];
    Id start = r_.config_of(r_.fresh(p));
    for (std::int32_t node : x.rare) {
      Id c = start;
      for (char b : t.path(node))
        if (!(c = r_.step(c, static_cast<unsigned char>(b)))) break;
      if (!c) continue;
      for (std::int32_t k = t.first[node]; k < t.first[node + 1]; ++k) set(row, t.tokens[k]);
      visit(t, node + 1, t.end[node], c, [&](std::int32_t token, Id) { set(row, token); });
    }
  }

  RuleReader& r_;
  MaskBuilder* documents_;
  const Trie& trie_;
  std::int32_t size_, words_;
  Meter& meter_;
  std::vector<std::int32_t> roots_;  // by byte: the node of it below the root of the vocabulary, or -1
  std::unordered_map<Id, Mask> masks_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Interior>> interiors_;
  std::unordered_map<Id, std::uint64_t> loops_;
  std::map<ByteSet, std::vector<std::uint32_t>> cuts_;
  std::deque<TrieView> views_;
  std::map<std::vector<std::int32_t>, std::int32_t> view_ids_;
  ListStore observations_;
  std::vector<Node> nodes_;
  std::unordered_map<std::uint64_t, std::int32_t> edges_;
  std::deque<Result> results_;
  std::size_t bytes_ = 0, budget_ = 64u << 20;
};

}  // namespace constrain
