// Masks of context-free grammars.
//
// The mask of an alternative is the union of
//   interior   tokens that stay inside the lexeme in progress: a constant of its lexer state;
//   exits      tokens that end it and go on: for each way to end it, the distinct tails, merged into a small trie that is
//              judged from the parser set that follows;
//   follow     if the lexeme may end before the first byte: the mask of what follows, cut to tokens whose first byte ends it.
// All exits together are judged by a decision tree over what they observe: the terminals that can be taken after each
// sequence of lexemes that their paths complete. Sets that differ deep in the stack share it; a hit costs one parser move
// for each question. Each trie of tails has a tree of its own too, so that what is new in one is not walked in the others.
// What depends on more than that (obligations, embedded documents, line ends inside a tail) is set aside as *rare* and
// stepped through afresh.
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
    kept_.clear();
    by_content_.clear();
    interiors_.clear();
    views_.clear();
    view_ids_.clear();
    nodes_.clear();
    results_.clear();
    view_results_.clear();
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
    Id line = 0;  // states within a newline: number of what was read of it since the state
    std::int32_t view = 0;
  };
  // Nodes at which a lexeme may have ended under an obligation, for one way to end it, and the bytes that lead to them.
  struct Fork {
    Id terminals = 0, line = 0, state = 0;  // state: of the lexer before the nodes
    int byte = 0;                           // of the nodes
    std::vector<std::int32_t> nodes;
  };
  // A trie of tails, and by node the byte groups below it (as `Trie::subtree_signature`).
  struct View {
    TrieView trie;
    std::vector<std::uint64_t> below;
  };
  // A subtree that is stepped through afresh: of a view, from the place number `slot`, or of the vocabulary (view -1).
  // `state`: for a lexeme that may have ended before the node under an obligation, its lexer state there; else kNone.
  struct Rare {
    std::int32_t view, node;
    Id slot, state = kNone, line = 0;
  };
  struct Interior {
    std::int32_t number = 0;
    Mask inside;
    std::vector<Id> ways;  // `RuleReader::ways` of the lexer states in which tokens of `inside` end
    std::vector<Exit> exits;
    std::vector<Fork> forks;
    std::map<Id, std::vector<std::int32_t>> unsure;  // by the lexer state they lead to: nodes live or not by what follows
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
  void densify(Mask& m) const {
    m.bits.assign(static_cast<std::size_t>(words_), 0);
    for (std::int32_t t : m.ids) set(m.bits.data(), t);
    m.ids = {};
  }
  // Masks are kept once for all alternatives that have them. The pointer holds until `clear`.
  const Mask* kept(Mask&& m) {
    std::uint64_t h = mix(m.bits.size(), m.ids.size());
    for (std::uint32_t w : m.bits) h = mix(h, w);
    for (std::int32_t t : m.ids) h = mix(h, static_cast<std::uint32_t>(t));
    for (const Mask* other : by_content_[h])
      if (other->bits == m.bits && other->ids == m.ids) return other;
    bytes_ += 100 + m.bits.size() * 4 + m.ids.size() * 4;
    kept_.push_back(std::move(m));
    by_content_[h].push_back(&kept_.back());
    return &kept_.back();
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
  // Adds the tokens of `m` whose first byte is in `s`, and those without bytes.
  void add_cut(const Mask& m, const ByteSet& s, std::uint32_t* row) {
    const std::vector<std::uint32_t>& allowed = cut(s);
    if (!m.bits.empty())
      for (std::int32_t w = 0; w < words_; ++w) row[w] |= m.bits[w] & allowed[w];
    for (std::int32_t t : m.ids)
      if (allowed[t >> 5] >> (t & 31) & 1) set(row, t);
  }
  void first_bytes_of_tokens() {
    roots_.assign(256, -1);
    for (std::int32_t i = 0; i < trie_.all.size(); i = trie_.all.end[i]) roots_[trie_.all.byte[i]] = i;
  }

  // ------------------------------------------------------------------ masks of alternatives
  const Mask& mask(const Alternative& a) {
    Id id = r_.intern(a);
    auto it = masks_.find(id);
    meter_.charge();
    if (it != masks_.end()) {
      ++stats.hits;
      return *it->second;
    }
    Meter::Apart apart(meter_);
    ++stats.judgements;
    bytes_ += 60;
    const bool fresh = a.phase == RuleReader::kFresh;
    const Interior* inside = a.phase != RuleReader::kEmbedded && !a.obligations && r_.plainly_live(a) ? &interior(a) : nullptr;
    if (inside && !finishes(*inside, a.set)) inside = nullptr;
    const Result* judged = inside ? &judge(a, *inside) : nullptr;
    bool whole = judged && judged->rare.empty() && inside->unsure.empty() && (fresh ? !r_.has_documents() && !r_.has_specials() : !may_end(a));
    if (whole) return *(masks_[id] = judged->mask);
    std::vector<std::uint32_t> row(static_cast<std::size_t>(words_), 0);
    if (inside) {
      add(*judged->mask, row.data());
      complete(a, *inside, *judged, row.data());
      add_unsure(a, *inside, row.data());
      if (fresh) at_boundary(a, row.data());
      else follow(a, row.data());
    } else {
      make(a, row.data());
    }
    return *(masks_[id] = kept(packed(row)));
  }
  // Can the lexeme be finished from wherever a token leaves it? If not, every token is stepped through.
  bool finishes(const Interior& inside, Id set) {
    if (!r_.needs_finishing()) return true;
    for (Id ways : inside.ways)
      if (!r_.finishable(set, ways)) return false;
    return true;
  }
  void add_unsure(const Alternative& a, const Interior& inside, std::uint32_t* row) {
    for (auto& [state, nodes] : inside.unsure) {
      Alternative next = a;
      next.state = state, next.phase = RuleReader::kInside;
      if (a.phase != RuleReader::kFresh || r_.live(next))
        for (std::int32_t node : nodes) walk_below(a, node, row);
    }
  }
  bool may_end(const Alternative& a) {
    bool any = false;
    r_.each_end(a, [&](Id, const Place&) { any = true; });
    return any;
  }
  // Alternatives whose masks are not made of interiors.
  void make(const Alternative& a, std::uint32_t* row) {
    if (a.phase == RuleReader::kEmbedded) make_document(a, row);
    else if (a.obligations) make_obliged(a, row);
    else walk_all(a, row);
  }
  // The tokens below a node before which the lexeme has ended under an obligation.
  void walk_ended(const Alternative& a, const Rare& rare, std::uint32_t* row) {
    Alternative at = a;
    at.state = rare.state, at.phase = RuleReader::kInside;
    at.layout = layout_after(a, rare.line);
    std::vector<Alternative> ended;
    int b = trie_.all.byte[rare.node];
    r_.end_and_step(at, r_.scan.step(rare.state, b), b, ended);
    visit_below(trie_.all, rare.node, r_.live_config(ended), row);
  }
  // The tokens at and below `node`, whose last byte has led to configuration `c` (0: nowhere).
  void visit_below(const TrieView& t, std::int32_t node, Id c, std::uint32_t* row) {
    if (!c) return;
    for (std::int32_t k = t.first[node]; k < t.first[node + 1]; ++k) set(row, t.tokens[k]);
    visit(t, node + 1, t.end[node], c, [&](std::int32_t token, Id) { set(row, token); });
  }
  Id run(Id c, const std::string& text) {
    for (std::size_t i = 0; i < text.size() && c; ++i) c = r_.step(c, static_cast<unsigned char>(text[i]));
    return c;
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
    add_specials(a, row);
  }
  void add_specials(const Alternative& a, std::uint32_t* row) {
    for (auto& [token, terminals] : r_.specials())
      if (r_.step_special(r_.config_of(a), token)) set(row, token);
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
      add_cut(mask(next), clear, row);
    });
    ByteSet possible{};
    if (!undecided.empty())
      r_.each_end(a, [&](Id, const Place& p) {
        for (int b : undecided)
          if (begins(p, b)) put(possible, b);
      });
    for (int b = 0; b < 256; ++b) {
      if (!has(possible, b) || roots_[b] < 0) continue;
      std::vector<Alternative> ended;
      r_.end_and_step(a, r_.scan.step(a.state, b), b, ended);
      visit_below(trie_.all, roots_[b], r_.live_config(ended), row);
    }
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
    add_cut(mask(free), open, row);
  }
  void walk_all(const Alternative& a, std::uint32_t* row) {
    visit(trie_.all, 0, trie_.all.size(), r_.config_of(a), [&](std::int32_t t, Id) { set(row, t); });
    add_specials(a, row);
  }
  // All tokens below a node of the vocabulary, stepped through one by one.
  void walk_below(const Alternative& a, std::int32_t node, std::uint32_t* row) {
    visit_below(trie_.all, node, run(r_.config_of(a), trie_.all.path(node)), row);
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
        if (r_.live(next)) add(mask(next), row);
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
    Meter::Apart apart(meter_);
    auto made = std::make_unique<Interior>();
    build(a, line, *made);
    made->number = ++interior_number_;
    return *(interiors_[key] = std::move(made));
  }
  // Groups of bytes on which a lexer state loops; see `Trie`.
  std::uint64_t loops_of(Id state) {
    if (state < static_cast<Id>(loops_.size()) && loops_[static_cast<std::size_t>(state)] != kUnknownLoops) return loops_[static_cast<std::size_t>(state)];
    Meter::Apart apart(meter_);
    std::uint64_t g = (1ull << groups::kBroken) - 1;
    for (int b = 0; b < 0x80; ++b)
      if (r_.scan.step(state, b) != state) g &= ~(1ull << groups::of_ascii(b));
    if (!groups::wide_loops(state, [&](Id at, int b) { return r_.scan.step(at, b); })) g &= ~(1ull << groups::kWide);
    if (state >= static_cast<Id>(loops_.size())) loops_.resize(static_cast<std::size_t>(state) + 64, kUnknownLoops);
    return loops_[static_cast<std::size_t>(state)] = g;
  }
  void build(const Alternative& a, bool line, Interior& out) {
    const TrieView& t = trie_.all;
    std::vector<std::uint32_t> bits(static_cast<std::size_t>(words_), 0);
    Groups exits, forks;
    std::unordered_set<Id> known_ways;
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
      Id ways = next && !(a.phase == RuleReader::kLineStart) ? r_.ways(next) : -1;
      if (ways > 0 && known_ways.insert(ways).second) out.ways.push_back(ways);
      if (!ways) {  // live or not by what follows: judged afresh
        out.unsure[next].push_back(i);
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
    for (auto& [key, nodes] : exits) out.exits.push_back({std::get<0>(key), line_number(std::get<1>(key)), view_of(nodes)});
    for (auto& [key, nodes] : forks) {
      out.forks.push_back({std::get<0>(key), line_number(std::get<1>(key)), std::get<2>(key), std::get<3>(key), nodes});
      bytes_ += 100 + nodes.size() * 4;
    }
    bytes_ += out.inside.bits.size() * 4 + out.inside.ids.size() * 4 + out.exits.size() * 48 + 100;
  }
  bool ends_at(const Alternative& a, Id state, bool line) {
    if (a.phase == RuleReader::kLineStart) return line;
    return !r_.scan.ends(state).empty();
  }
  Id line_number(const std::string& line) {
    if (line.empty()) return 0;
    auto [it, fresh] = line_numbers_.try_emplace(line, static_cast<Id>(lines_.size()));
    if (fresh) lines_.push_back(line);
    return it->second;
  }
  // By terminals, line and, of forks, the lexer state and the byte after it.
  using Groups = std::map<std::tuple<Id, std::string, Id, int>, std::vector<std::int32_t>>;
  // Byte b at node i follows a lexeme that may have ended in state `at`; with it the lexeme goes on to `next`, if at all.
  void exits_at(std::int32_t i, Id at, int b, Id next, const Alternative& a, bool line, Groups& exits, Groups& forks) {
    std::string read;
    if (line || r_.in_newline(at, a.layout)) {
      read = trie_.all.path(i);
      read.pop_back();
    }
    if (a.phase == RuleReader::kLineStart) {
      if (!next) exits[{0, read, 0, 0}].push_back(i);
      return;
    }
    bool forked = r_.g.longest && next;
    if (forked && r_.scan.no_longer_match(next, 0) == kNone) return;
    for (const Scanner::End& e : r_.scan.ends(at)) {
      const std::string indentation = r_.has_newline(e.terminals) ? read : std::string();
      bool looked = e.obligations && r_.scan.looks_at(e.obligations, b);
      if (looked && r_.scan.step_obligations(e.obligations, b) == kNone) continue;
      if (looked || forked) forks[{e.terminals, indentation, at, b}].push_back(i);
      else exits[{e.terminals, indentation, 0, 0}].push_back(i);
    }
  }
  // ------------------------------------------------------------------ views: tries of tails, shared by content
  std::int32_t view_of(const std::vector<std::int32_t>& nodes) {
    auto [it, fresh] = view_ids_.try_emplace(nodes, static_cast<std::int32_t>(views_.size()));
    if (!fresh) return it->second;
    views_.push_back(merge_nodes(trie_, nodes));
    bytes_ += views_.back().trie.bytes() + views_.back().below.size() * 8 + nodes.size() * 4 + 100;
    return it->second;
  }
  // The subtrees at `nodes`, each with its root, as one trie.
  static View merge_nodes(const Trie& source, const std::vector<std::int32_t>& nodes) {
    View out;
    using Children = std::vector<std::pair<std::uint8_t, std::int32_t>>;
    struct Merger {
      const Trie& source;
      View& view;
      void level(Children children, std::int32_t parent) {
        const TrieView& t = source.all;
        TrieView& out = view.trie;
        std::sort(children.begin(), children.end());
        for (std::size_t k = 0; k < children.size();) {
          std::uint8_t b = children[k].first;
          std::int32_t node = out.size();
          out.byte.push_back(b);
          out.end.push_back(0);
          out.parent.push_back(parent);
          out.first.push_back(static_cast<std::int32_t>(out.tokens.size()));
          view.below.push_back(0);
          Children under;
          for (; k < children.size() && children[k].first == b; ++k) {
            std::int32_t n = children[k].second;
            view.below[static_cast<std::size_t>(node)] |= source.subtree_signature[n];
            out.tokens.insert(out.tokens.end(), t.tokens.begin() + t.first[n], t.tokens.begin() + t.first[n + 1]);
            for (std::int32_t i = n + 1; i < t.end[n]; i = t.end[i]) under.emplace_back(t.byte[i], i);
          }
          level(std::move(under), node);
          out.end[node] = out.size();
        }
      }
    } merger{source, out};
    Children top;
    for (std::int32_t n : nodes) top.emplace_back(source.all.byte[n], n);
    merger.level(std::move(top), -1);
    out.trie.first.push_back(static_cast<std::int32_t>(out.trie.tokens.size()));
    return out;
  }

  // ------------------------------------------------------------------ judgements
  struct Result {
    const Mask* mask = nullptr;
    std::vector<Rare> rare;
  };
  // A question: where does the parser stand if, at place number `slot`, a lexeme of `terminals` ends? `line`: what it
  // reads of an indentation, as a number of `lines_`.
  struct Question {
    Id slot = kNone, terminals = 0, line = 0;
    auto operator<=>(const Question&) const = default;
  };
  static constexpr Id kConfirm = -1;
  static constexpr std::int32_t kViews = -(1 << 24);  // roots of the trees of views, below those of lexer states
  struct Node {
    Question question;
    std::int32_t result = -1;
  };
  using Slots = std::vector<Place>;  // places met so far, in the order of the questions

  // The mask of a plainly live alternative but for what its lexeme's end right here adds.
  const Result& judge(const Alternative& a, const Interior& inside) {
    slots_.assign(1, Place{a.set, a.layout});
    const std::int32_t root = child(-inside.number, observed(slots_[0]));
    for (std::int32_t at = root;;) {
      if (nodes_[at].result >= 0) return results_[static_cast<std::size_t>(nodes_[at].result)];
      if (nodes_[at].question.slot == kNone) return learn(a, inside, root);
      at = child(at, ask(a, slots_, nodes_[at].question));
    }
  }
  std::int32_t child(std::int32_t at, Id answer) {
    std::uint64_t key = static_cast<std::uint64_t>(static_cast<std::uint32_t>(at)) << 32 | static_cast<std::uint32_t>(answer);
    auto [it, fresh] = edges_.try_emplace(key, static_cast<std::int32_t>(nodes_.size()));
    if (fresh) nodes_.push_back({}), bytes_ += 70;
    return it->second;
  }
  // What tokens can see of a place: which terminals may be taken there.
  Id observed(const Place& p) { return r_.chart.allowed(p.set) << 1 | static_cast<Id>(r_.layouts.inside(p.layout)); }
  // Adds the places of the answer to `slots`; returns what is observed of them.
  Id ask(const Alternative& a, Slots& slots, const Question& q) {
    Place from = slots[static_cast<std::size_t>(q.slot)];
    if (q.line == kConfirm) return r_.finishable(from.set, q.terminals);
    if (q.line) from.layout = layout_after(a, q.line);
    const std::vector<Place>& next = r_.after(from.set, from.layout, q.terminals, q.slot == 0 && a.phase == RuleReader::kLineStart);
    slots.insert(slots.end(), next.begin(), next.end());
    return seen(slots, slots.size() - next.size(), slots.size());
  }
  Id seen(const Slots& slots, std::size_t first, std::size_t last) {
    if (last == first + 1) return observed(slots[first]);
    std::vector<Id> all;
    for (std::size_t k = first; k < last; ++k) all.push_back(observed(slots[k]));
    return -2 - observations_.add(all);
  }
  Id layout_after(const Alternative& a, Id line) {
    Id layout = a.layout;
    bool first = a.phase == RuleReader::kFresh;
    for (char c : lines_[static_cast<std::size_t>(line)])
      layout = r_.layouts.column(layout, static_cast<unsigned char>(c), first), first = false;
    return layout;
  }
  struct Reading {
    Id slot, state;
    bool inside;
    auto operator<=>(const Reading&) const = default;
  };
  struct Learning {
    const Alternative& a;
    Slots slots;
    std::map<Question, std::pair<std::size_t, std::size_t>> known;  // slots of the answer
    std::map<Question, bool> confirmed;
    std::int32_t at;
    std::vector<std::uint32_t> row;
    std::vector<Rare> rare;
  };
  // The judgement of one view, with questions and results of its own; its places are numbers of places of the whole.
  struct ViewResult {
    Mask mask;
    std::vector<std::int32_t> rare;  // nodes that are stepped through afresh
  };
  struct ViewLearning {
    Learning& whole;
    const View& view;
    std::vector<std::size_t> slots;
    std::map<Question, std::pair<std::size_t, std::size_t>> known;
    std::map<Question, bool> confirmed;
    std::int32_t at;
    ViewResult result;
  };
  const Result& learn(const Alternative& a, const Interior& inside, std::int32_t at) {
    Meter::Apart apart(meter_);
    Learning l{a, {Place{a.set, a.layout}}, {}, {}, at, std::vector<std::uint32_t>(static_cast<std::size_t>(words_), 0), {}};
    add(inside.inside, l.row.data());
    std::int64_t before = stats.nodes;
    for (const Exit& e : inside.exits) {
      auto [first, last] = answer({0, e.terminals, e.line}, l);
      for (std::size_t k = first; k < last; ++k) judge_view(e.view, k, l);
    }
    for (const Fork& f : inside.forks) {
      auto [first, last] = answer({0, f.terminals, f.line}, l);
      bool possible = false;
      for (std::size_t k = first; k < last; ++k)
        for (std::size_t i = 0; i < r_.scan.ends(f.state).size(); ++i) {
          Scanner::End e = r_.scan.ends(f.state)[i];
          possible = possible || (e.terminals == f.terminals && r_.may_follow(l.slots[k], f.state, e, f.byte));
        }
      if (possible)
        for (std::int32_t node : f.nodes) l.rare.push_back({-1, node, 0, f.state, f.line});
    }
    meter_.charge(stats.nodes - before);
    nodes_[l.at].result = static_cast<std::int32_t>(results_.size());
    results_.push_back({kept(packed(l.row)), std::move(l.rare)});
    const Result& x = results_.back();
    bytes_ += x.rare.size() * 20 + 80;
    return x;
  }
  Reading begin(const Place& p, Id slot) { return {slot, r_.fresh(p).state, false}; }
  // Adds the tokens of a view that may follow place number `slot`: by its own decision tree, so that what is new
  // elsewhere in the mask does not matter here.
  void judge_view(std::int32_t number, std::size_t slot, Learning& l) {
    const View& view = views_[static_cast<std::size_t>(number)];
    ViewLearning v{l, view, {slot}, {}, {}, child(kViews - number, observed(l.slots[slot])), {}};
    const std::int32_t root = v.at;
    while (nodes_[v.at].result < 0 && nodes_[v.at].question.slot != kNone) {
      Question q = nodes_[v.at].question;
      if (q.line == kConfirm) confirm(q, v);
      else answer(q, v);
    }
    if (nodes_[v.at].result < 0) {
      ViewLearning again{l, view, {slot}, {}, {}, root, {}};
      walk(0, view.trie.size(), {begin(l.slots[slot], 0)}, again, 0);
      nodes_[again.at].result = static_cast<std::int32_t>(view_results_.size());
      if (static_cast<std::int32_t>(again.result.mask.ids.size()) > words_) densify(again.result.mask);
      bytes_ += (again.result.mask.ids.size() + again.result.mask.bits.size() + again.result.rare.size()) * 4 + 80;
      view_results_.push_back(std::move(again.result));
      v.at = again.at;
    }
    const ViewResult& x = view_results_[static_cast<std::size_t>(nodes_[v.at].result)];
    add(x.mask, l.row.data());
    for (std::int32_t node : x.rare) l.rare.push_back({number, node, static_cast<Id>(slot), kNone, 0});
  }
  void walk(std::int32_t first, std::int32_t stop, const std::vector<Reading>& from, ViewLearning& l, std::size_t depth) {
    const TrieView& view = l.view.trie;
    if (depth >= levels_.size()) levels_.emplace_back();
    std::vector<Reading>& next = levels_[depth];  // one buffer a level: most nodes have one reading
    for (std::int32_t i = first; i < stop; i = view.end[i]) {
      ++stats.nodes;
      next.clear();
      bool rare = false;
      for (const Reading& x : from) step(x, view.byte[i], next, l, rare);
      if (rare) l.result.rare.push_back(i);
      if (next.empty()) continue;
      if (next.size() > 1) {
        std::sort(next.begin(), next.end());
        next.erase(std::unique(next.begin(), next.end()), next.end());
      }
      bool all = view.end[i] > i + 16 && !rare && next.size() == 1 && (l.view.below[static_cast<std::size_t>(i)] & ~loops_of(next[0].state)) == 0;
      for (std::int32_t k = view.first[i]; k < view.first[all ? view.end[i] : i + 1]; ++k) l.result.mask.ids.push_back(view.tokens[k]);
      if (!all && view.end[i] > i + 1) walk(i + 1, view.end[i], next, l, depth + 1);
    }
  }
  Place place(const ViewLearning& l, Id slot) const { return l.whole.slots[l.slots[static_cast<std::size_t>(slot)]]; }
  void step(const Reading& x, int b, std::vector<Reading>& out, ViewLearning& l, bool& rare) {
    Place p = place(l, x.slot);
    Id next = r_.scan.step(x.state, b);
    if (next) {
      Id ways = r_.ways(next);
      if (ways && (!r_.needs_finishing() || confirm({x.slot, ways, kConfirm}, l))) out.push_back({x.slot, next, true});
      else rare = true;
    }
    if (!x.inside) {
      if (r_.has_documents() && r_.begins_document(p.set, b)) rare = true;
      return;
    }
    if (r_.scan.ends(x.state).empty()) return;
    bool forked = r_.g.longest && next;
    if (forked && r_.scan.no_longer_match(next, 0) == kNone) return;
    const std::vector<Scanner::End>& ends = r_.scan.ends(x.state);
    for (const Scanner::End& e : ends) {
      bool looked = e.obligations && r_.scan.looks_at(e.obligations, b);
      if (looked && r_.scan.step_obligations(e.obligations, b) == kNone) continue;
      if (r_.has_newline(e.terminals) && !r_.layouts.inside(p.layout)) {
        rare = true;
        continue;
      }
      auto [first, last] = answer({x.slot, e.terminals, 0}, l);
      for (std::size_t k = first; k < last; ++k)
        if (looked || forked) rare = rare || r_.may_follow(place(l, static_cast<Id>(k)), x.state, e, b);
        else step(begin(place(l, static_cast<Id>(k)), static_cast<Id>(k)), b, out, l, rare);
    }
  }
  // A question whose answer is yes or no: may one of `ways` be finished at this place?
  bool confirm(const Question& q, Learning& l) {
    auto it = l.confirmed.find(q);
    if (it != l.confirmed.end()) return it->second;
    nodes_[l.at].question = q;
    bool yes = r_.finishable(l.slots[static_cast<std::size_t>(q.slot)].set, q.terminals);
    l.at = child(l.at, yes);
    return l.confirmed[q] = yes;
  }
  std::pair<std::size_t, std::size_t> answer(const Question& q, Learning& l) {
    auto [it, fresh] = l.known.try_emplace(q);
    if (!fresh) return it->second;
    std::size_t first = l.slots.size();
    nodes_[l.at].question = q;
    l.at = child(l.at, ask(l.a, l.slots, q));
    return l.known[q] = {first, l.slots.size()};
  }
  // The same for a view: asked of the whole as well, whose tree must know all that the mask depends on.
  bool confirm(const Question& q, ViewLearning& v) {
    auto it = v.confirmed.find(q);
    if (it != v.confirmed.end()) return it->second;
    bool yes = confirm({static_cast<Id>(v.slots[static_cast<std::size_t>(q.slot)]), q.terminals, kConfirm}, v.whole);
    nodes_[v.at].question = q;
    v.at = child(v.at, yes);
    return v.confirmed[q] = yes;
  }
  std::pair<std::size_t, std::size_t> answer(const Question& q, ViewLearning& v) {
    auto it = v.known.find(q);
    if (it != v.known.end()) return it->second;
    auto [first, last] = answer({static_cast<Id>(v.slots[static_cast<std::size_t>(q.slot)]), q.terminals, 0}, v.whole);
    std::size_t begin = v.slots.size();
    for (std::size_t k = first; k < last; ++k) v.slots.push_back(k);
    nodes_[v.at].question = q;
    v.at = child(v.at, seen(v.whole.slots, first, last));
    return v.known[q] = {begin, v.slots.size()};
  }
  void complete(const Alternative& a, const Interior& inside, const Result& x, std::uint32_t* row) {
    if (x.rare.empty()) return;
    Slots slots = slots_of(a, inside);
    for (const Rare& rare : x.rare) {
      if (rare.view < 0) {
        walk_ended(a, rare, row);
        continue;
      }
      const TrieView& t = views_[static_cast<std::size_t>(rare.view)].trie;
      Id c = r_.config_of(r_.fresh(slots[static_cast<std::size_t>(rare.slot)]));
      visit_below(t, rare.node, run(c, t.path(rare.node)), row);
    }
  }
  // The places of `a` along the path of questions that led to its result.
  Slots slots_of(const Alternative& a, const Interior& inside) {
    Slots slots{Place{a.set, a.layout}};
    std::int32_t at = child(-inside.number, observed(slots[0]));
    while (nodes_[at].result < 0) at = child(at, ask(a, slots, nodes_[at].question));
    return slots;
  }

  RuleReader& r_;
  MaskBuilder* documents_;
  const Trie& trie_;
  std::int32_t size_, words_;
  Meter& meter_;
  std::vector<std::int32_t> roots_;  // by byte: the node of it below the root of the vocabulary, or -1
  std::unordered_map<Id, const Mask*> masks_;  // by alternative
  std::deque<Mask> kept_;
  std::unordered_map<std::uint64_t, std::vector<const Mask*>> by_content_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Interior>> interiors_;
  static constexpr std::uint64_t kUnknownLoops = ~0ull;  // no set of groups: kBroken never loops
  std::vector<std::uint64_t> loops_;  // by lexer state
  std::map<ByteSet, std::vector<std::uint32_t>> cuts_;
  std::deque<View> views_;
  std::map<std::vector<std::int32_t>, std::int32_t> view_ids_;
  ListStore observations_;
  std::vector<Node> nodes_;
  std::unordered_map<std::uint64_t, std::int32_t> edges_;
  std::deque<Result> results_;
  std::deque<ViewResult> view_results_;
  std::deque<std::vector<Reading>> levels_;
  Slots slots_;
  std::vector<std::string> lines_{std::string()};
  std::map<std::string, Id> line_numbers_;
  std::int32_t interior_number_ = 0;
  std::size_t bytes_ = 0, budget_ = 64u << 20;
};

}  // namespace constrain
