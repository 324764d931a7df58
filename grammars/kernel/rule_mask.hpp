// Masks of context-free grammars.
//
// The mask of an alternative is the union of
//   interior   tokens that stay inside the lexeme in progress: a constant of its lexer state (`RuleInteriors`);
//   exits      tokens that end it and go on: for each way to end it, the tails judged at what follows (`RuleViews`);
//   follow     if the lexeme may end before the first byte: the mask of what follows, cut to tokens whose first byte ends it.
// Under obligations the tokens that begin with a byte at which these look are judged like tails, read from within the lexeme;
// to all others they mean nothing. What depends on more than that (obligations of captures, embedded documents, line ends
// inside a tail) is stepped through afresh.
//
// Finished masks are kept by alternative, as id lists or rows. All memos are bounded together and dropped together.
// Not thread-safe; masks are copied out.
#pragma once
#include "mask.hpp"
#include "rule_interiors.hpp"

namespace constrain {

class RuleMasks {
 public:
  using Alternative = RuleReader::Alternative;
  using Place = RuleReader::Place;

  RuleMasks(RuleReader& reader, MaskBuilder* documents, const Trie& trie, std::int32_t vocabulary_size, Meter& meter)
      : r_(reader), documents_(documents), trie_(trie), meter_(meter), store_(trie, vocabulary_size), views_(reader, store_, trie, meter),
        interiors_(reader, store_, views_, trie, meter) {
    roots_.assign(256, -1);
    r_.regexes().reach = trie.longest;
    for (std::int32_t i = 0; i < trie_.all.size(); i = trie_.all.end[i]) roots_[trie_.all.byte[i]] = i;
  }

  std::size_t budget = 64u << 20;  // bytes

  // Writes the mask of configuration `c` without end tokens into row[0 .. words).
  void fill(Id c, std::uint32_t* row) {
    ++stats_.fills;
    if (bytes() > budget) clear();
    std::vector<Alternative> all = r_.alternatives(c);
    if (all.size() > 1 && !r_.g.captures.empty() && std::any_of(all.begin(), all.end(), [](const Alternative& a) { return a.obligations != 0; })) {
      store_.copy(together(c, all), row);
      return;
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
      const TokenSet& m = mask(all[i]);
      if (i == 0) store_.copy(m, row);
      else store_.add(m, row);
    }
    if (all.empty()) store_.zero(row);
  }
  // Calls f(token, configuration after it) for every allowed token. The slow, general walk.
  template <class F>
  void each_allowed(Id c, F&& f) {
    visit(trie_.all, 0, trie_.all.size(), c, f);
    for (auto& [token, terminals] : r_.specials())
      if (Id after = r_.step_special(c, token)) f(token, after);
  }
  MaskStats stats() const {
    MaskStats s = stats_;
    s.interiors = interiors_.built, s.interior_hits = interiors_.hits;
    s.nodes += interiors_.nodes_visited + views_.nodes_visited;
    return s;
  }
  std::size_t bytes() const { return (masks_.size() + together_.size()) * 60 + store_.bytes + views_.bytes() + interiors_.bytes(); }
  // After a collection of the reader: masks of the alternatives that are kept stay, unless lexer states have new numbers too.
  void collect(const Kept& alternatives, bool lexers) {
    if (lexers) return clear();
    renumber(masks_, alternatives);
    together_.clear();
    views_.forget_sets();
  }
  void clear() {
    masks_.clear();
    together_.clear();
    interiors_.clear();
    views_.clear();
    store_.clear();
    ++stats_.clears;
  }

 private:
  // ------------------------------------------------------------------ masks of alternatives
  const TokenSet& mask(const Alternative& a) {
    Id id = r_.intern(a);
    auto it = masks_.find(id);
    meter_.charge();
    if (it != masks_.end()) {
      ++stats_.hits;
      return *it->second;
    }
    Meter::Apart apart(meter_);
    ++stats_.judgements;
    std::vector<std::uint32_t> row = store_.row();
    Aside aside(missing_);
    make(a, row.data());
    return *(masks_[id] = store_.kept(store_.packed(row)));
  }
  // The mask of a configuration whose alternatives are read together, because some are under obligations that captures
  // brought: of those only the tokens that no other alternative allows are stepped through.
  const TokenSet& together(Id c, const std::vector<Alternative>& all) {
    meter_.charge();
    auto it = together_.find(c);
    if (it != together_.end()) return *it->second;
    Meter::Apart apart(meter_);
    std::vector<std::uint32_t> row = store_.row();
    for (const Alternative& a : all)
      if (!a.obligations) store_.add(mask(a), row.data());
    for (const Alternative& a : all) {
      Aside aside(missing_);
      if (a.obligations) make(a, row.data());
    }
    return *(together_[c] = store_.kept(store_.packed(row)));
  }
  // While alive, what is missing is that of another row.
  struct Aside {
    explicit Aside(std::vector<std::int32_t>& missing) : missing_(missing) { outer_.swap(missing); }
    ~Aside() { missing_.swap(outer_); }
    std::vector<std::int32_t>& missing_;
    std::vector<std::int32_t> outer_;
  };
  // Notes which tokens of `most` are not in `row`, so that subtrees without any are not visited.
  void find_missing(const std::uint32_t* row, const std::uint32_t* most) {
    const std::vector<std::int32_t>& tokens = trie_.all.tokens;
    missing_.assign(tokens.size() + 1, 0);
    for (std::size_t k = 0; k < tokens.size(); ++k) missing_[k + 1] = missing_[k] + static_cast<std::int32_t>((most[tokens[k] >> 5] & ~row[tokens[k] >> 5]) >> (tokens[k] & 31) & 1);
  }
  bool misses(const TrieView& view, std::int32_t i) const {
    return missing_.empty() || &view != &trie_.all || missing_[static_cast<std::size_t>(view.first[view.end[i]])] > missing_[static_cast<std::size_t>(view.first[i])];
  }
  void make(const Alternative& a, std::uint32_t* row) {
    if (a.obligations) return make_obliged(a, row);
    if (a.phase == RuleReader::kEmbedded) return make_document(a, row);
    if (!r_.plainly_live(a)) return walk_all(a, row);
    const RuleInterior& inside = interiors_.of(a);
    if (!finishes(inside, a.set)) return walk_all(a, row);
    store_.add(*inside.inside, row);
    add_unsure(a, inside, row);
    for (const RuleExit& e : inside.exits) leave(a, e, row);
    for (const RuleFork& f : inside.forks) end_in_doubt(a, f, row);
    if (a.phase == RuleReader::kFresh) at_boundary(a, row);
    else follow(a, row);
  }
  // Can the lexeme be finished from wherever a token leaves it? If not, every token is stepped through.
  bool finishes(const RuleInterior& inside, Id set) {
    if (!r_.needs_finishing()) return true;
    for (Id ways : inside.ways)
      if (!r_.finishable(set, ways)) return false;
    return true;
  }
  // Tokens that stay inside the lexeme where that is live by what follows.
  void add_unsure(const Alternative& a, const RuleInterior& inside, std::uint32_t* row) {
    Alternative on = a;
    on.phase = RuleReader::kInside;
    for (auto& [state, tokens] : inside.unsure) {
      on.state = state;
      if (r_.scan.abstract(state) ? r_.plainly_live(on) : r_.live(on)) store_.add(tokens, row);
    }
    for (auto& [state, nodes] : inside.doubtful) {
      on.state = state;
      if (!r_.plainly_live(on))
        for (std::int32_t node : nodes) walk_below(a, node, row);
    }
    for (std::int32_t node : inside.afresh) walk_below(a, node, row);
  }
  // Tokens that end the lexeme and go on.
  void leave(const Alternative& a, const RuleExit& e, std::uint32_t* row) {
    const std::vector<Place>& next = r_.after(a.set, layout_after(a, e.line), e.terminals, a.phase == RuleReader::kLineStart);
    for (std::size_t k = 0; k < next.size(); ++k) {
      Place p = next[k];
      views_.judge(e.view, p, e.obligations, row, [&](std::int32_t node) {
        const TrieView& t = views_.trie(e.view);
        visit_below(t, node, begin(p, e.obligations, t.path(node)), row);
      });
    }
  }
  Id layout_after(const Alternative& a, Id line) {
    Id layout = a.layout;
    bool first = a.phase == RuleReader::kFresh;
    for (char c : interiors_.line(line)) layout = r_.layouts.column(layout, static_cast<unsigned char>(c), first), first = false;
    return layout;
  }
  // The configuration after `text` is read from `p` on; `obligations`: those after its first byte.
  Id begin(const Place& p, Id obligations, const std::string& text) {
    std::vector<Alternative> begun;
    r_.step(r_.fresh(p), static_cast<unsigned char>(text[0]), begun);
    for (Alternative& a : begun) a.obligations = r_.scan.join(a.obligations, obligations);
    return run(r_.live_config(begun), text.substr(1));
  }
  // The tokens below nodes before which the lexeme may have ended under an obligation of a capture.
  void end_in_doubt(const Alternative& a, const RuleFork& f, std::uint32_t* row) {
    Alternative at = a;
    at.state = f.state, at.phase = RuleReader::kInside;
    at.layout = layout_after(a, f.line);
    bool possible = false;
    for (std::size_t i = 0; i < r_.scan.ends(f.state).size(); ++i) {
      Scanner::End e = r_.scan.ends(f.state)[i];
      if (e.terminals != f.terminals) continue;
      for (const Place& p : r_.after(a.set, at.layout, f.terminals)) possible = possible || r_.may_follow(p, f.state, e, f.byte);
    }
    if (!possible) return;
    std::vector<Alternative> ended;
    r_.end_and_step(at, r_.scan.step(f.state, f.byte), f.byte, ended);
    Id c = r_.live_config(ended);
    for (std::int32_t node : f.nodes) visit_below(trie_.all, node, c, row);
  }
  // What begins between lexemes and is no regex.
  void at_boundary(const Alternative& a, std::uint32_t* row) {
    if (r_.has_documents())
      for (int b = 0; b < 256; ++b)
        if (roots_[b] >= 0 && r_.begins_document(a.set, b)) walk_below(a, roots_[b], row);
    add_specials(a, row);
  }
  void add_specials(const Alternative& a, std::uint32_t* row) {
    for (auto& [token, terminals] : r_.specials())
      if (r_.step_special(r_.config_of(a), token)) MaskStore::set(row, token);
  }
  // Can anything begin with byte b at this place?
  bool begins(const Place& p, int b) {
    return r_.scan.step(r_.fresh(p).state, b) || (r_.has_documents() && r_.begins_document(p.set, b));
  }
  // The lexeme may end here: the masks of what follows, for tokens whose first byte shows that it did.
  void follow(const Alternative& a, std::uint32_t* row) {
    ByteSet ends{};
    std::vector<int> undecided;
    bool line = a.phase == RuleReader::kLineStart;
    for (int b = 0; b < 256; ++b) {
      Id next = r_.scan.step(a.state, b);
      if (!next || !r_.g.longest) put(ends, b);
      else if (!line && r_.scan.no_longer_match(next) != kNone) undecided.push_back(b);
    }
    r_.each_end(a, [&](Id asked, const Place& p) {
      ByteSet clear = ends;
      if (asked)
        for (int b = 0; b < 256; ++b)
          if (has(ends, b) && r_.scan.looks_at(asked, b)) {
            clear[b >> 6] &= ~(1ull << (b & 63));
            if (r_.scan.step_obligations(asked, b) != kNone) undecided.push_back(b);
          }
      Alternative next = r_.fresh(p);
      if (!r_.live(next)) return;
      store_.add_cut(mask(next), clear, row);
    });
    if (undecided.empty()) return;
    if (!line && r_.g.captures.empty()) return end_under(a, undecided, row);
    ByteSet possible{};
    r_.each_end(a, [&](Id, const Place& p) {
      for (int b : undecided)
        if (begins(p, b)) put(possible, b);
    });
    if (!r_.g.captures.empty()) {
      std::vector<std::uint32_t> most = store_.row();
      r_.each_end(a, [&](Id, const Place& p) {
        Alternative next = r_.fresh(p);
        if (r_.live(next)) store_.add(mask(next), most.data());
      });
      find_missing(row, most.data());
    }
    for (int b = 0; b < 256; ++b) {
      if (!has(possible, b) || roots_[b] < 0) continue;
      std::vector<Alternative> ended;
      r_.end_and_step(a, r_.scan.step(a.state, b), b, ended);
      visit_below(trie_.all, roots_[b], r_.live_config(ended), row);
    }
  }
  // The lexeme of `a` may have ended here, but only if what follows these bytes meets an obligation.
  void end_under(const Alternative& a, const std::vector<int>& bytes, std::uint32_t* row) {
    for (int b : bytes) {
      Id next = r_.scan.step(a.state, b), longer = r_.g.longest && next ? r_.scan.no_longer_match(next) : 0;
      if (longer == kNone) continue;
      r_.each_end(a, [&](Id asked, const Place& p) {
        Id owed = r_.scan.step_obligations(asked, b);
        if (owed == kNone) return;
        owed = r_.scan.join(owed, longer);
        views_.judge_tokens(b, p, owed, row, [&](std::int32_t node) { visit_below(trie_.all, node, begin(p, owed, trie_.all.path(node)), row); });
      });
    }
  }
  // Obligations that a byte does not touch are void after it: everything but the bytes they look at is as without them.
  void make_obliged(const Alternative& a, std::uint32_t* row) {
    Alternative free = a;
    free.obligations = 0;
    ByteSet open{};
    if (!r_.g.captures.empty()) {
      if (!r_.live(free)) return;
      std::vector<std::uint32_t> most = store_.row();
      store_.add(mask(free), most.data());
      find_missing(row, most.data());
    }
    for (int b = 0; b < 256; ++b)
      if (roots_[b] >= 0) {
        if (!r_.scan.looks_at(a.obligations, b)) put(open, b);
        else if (a.phase == RuleReader::kLineStart || a.phase == RuleReader::kEmbedded || r_.scan.captured_list(a.obligations))
          walk_below(a, roots_[b], row);
        else views_.judge_tokens(b, a, row, [&](std::int32_t node) { walk_below(a, node, row); });
      }
    if (!r_.live(free) || !r_.scan.fulfilled(a.obligations)) return;
    store_.add_cut(mask(free), open, row);
  }
  void walk_all(const Alternative& a, std::uint32_t* row) {
    visit(trie_.all, 0, trie_.all.size(), r_.config_of(a), [&](std::int32_t t, Id) { MaskStore::set(row, t); });
    add_specials(a, row);
  }
  // All tokens below a node of the vocabulary, stepped through one by one.
  void walk_below(const Alternative& a, std::int32_t node, std::uint32_t* row) {
    visit_below(trie_.all, node, run(r_.config_of(a), trie_.all.path(node)), row);
  }
  template <class F>
  void visit(const TrieView& view, std::int32_t first, std::int32_t stop, Id c, F&& f) {
    for (std::int32_t i = first; i < stop; i = view.end[i]) {
      if (!misses(view, i)) continue;
      ++stats_.nodes;
      Id next = r_.step(c, view.byte[i]);
      if (!next) continue;
      for (std::int32_t k = view.first[i]; k < view.first[i + 1]; ++k) f(view.tokens[k], next);
      if (view.end[i] > i + 1) visit(view, i + 1, view.end[i], next, f);
    }
  }
  // A document without obligations: the tokens that stay inside it, and those that leave it.
  void make_document(const Alternative& a, std::uint32_t* row) {
    const Config& c = r_.document(a).config;
    std::vector<std::uint32_t> inside = store_.row();
    const bool accepting = r_.reading(a).accepting(c);
    documents_->fill(c, inside.data());
    for (std::int32_t w = 0; w < store_.words(); ++w) row[w] |= inside[w];
    if (accepting)
      r_.each_end(a, [&](Id, const Place& p) {
        Alternative next = r_.fresh(p, 0);
        if (r_.live(next)) store_.add(mask(next), row);
      });
    if (documents_->may_finish(c)) leave_document(a, row);
  }
  // Tokens that end the document and go on: walks that are still inside it at their end add nothing new.
  void leave_document(const Alternative& a, std::uint32_t* row) {
    for (std::int32_t node : documents_->closers(r_.document(a).config)) walk_below(a, node, row);
  }

  // The tokens at and below `node`, whose last byte has led to configuration `c` (0: nowhere).
  void visit_below(const TrieView& t, std::int32_t node, Id c, std::uint32_t* row) {
    if (!c || !misses(t, node)) return;
    for (std::int32_t k = t.first[node]; k < t.first[node + 1]; ++k) MaskStore::set(row, t.tokens[k]);
    visit(t, node + 1, t.end[node], c, [&](std::int32_t token, Id) { MaskStore::set(row, token); });
  }
  Id run(Id c, const std::string& text) {
    for (std::size_t i = 0; i < text.size() && c; ++i) c = r_.step(c, static_cast<unsigned char>(text[i]));
    return c;
  }

  RuleReader& r_;
  MaskBuilder* documents_;
  const Trie& trie_;
  Meter& meter_;
  MaskStore store_;
  RuleViews views_;
  RuleInteriors interiors_;
  MaskStats stats_;
  std::vector<std::int32_t> roots_;  // by byte: the node of it below the root of the vocabulary, or -1
  std::unordered_map<Id, const TokenSet*> masks_;  // by alternative
  std::unordered_map<Id, const TokenSet*> together_;  // by configuration
  std::vector<std::int32_t> missing_;  // tokens that are not in the row in the making, before each one in the order of the trie
};

}  // namespace constrain
