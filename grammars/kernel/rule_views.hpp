// Tails of tokens judged at a place of the parser, by decision trees.
//
// Tokens that end a lexeme and go on have *tails*; those of one way to end it are merged into a trie, a *view*, shared by
// content. Which of its tokens may follow a place depends on what the parser takes after each sequence of lexemes that
// their paths complete. The view is cut into *units*, one for each first byte (small views are one unit), because after
// the first byte few lexer states are left: `s` begins the same names and keywords nearly everywhere. A unit and the lexer
// state after its first byte are the root of a tree whose inner nodes are questions and whose leaves are judgements:
//
//   kAfter       if a lexeme ends here as one of these terminals, which terminals may be taken next?
//   kFinishable  may what follows one of these terminals be finished?
//   kLive        is a lexeme in this state live, of which that depends on more?
//
// So sets that differ deep in the stack share judgements, and what is new is walked in the units that see it alone. A
// reading in a walk is a place, a lexer state and the obligations that the text still has to meet there; the last are part of
// kLive, and of the root where the tails begin under some. The vocabulary itself is a view too, for tokens that are read
// from within a lexeme. What depends on more than these questions (obligations of captures, embedded documents, line ends
// inside a tail) is left to the caller as nodes to step through. All memos are dropped together. Not thread-safe.
#pragma once
#include "mask_store.hpp"
#include "rule_reader.hpp"

namespace constrain {

class RuleViews {
 public:
  using Place = RuleReader::Place;

  RuleViews(RuleReader& reader, MaskStore& store, const Trie& trie, Meter& meter) : r_(reader), store_(store), trie_(trie), meter_(meter) {
    open_whole();
  }

  std::int64_t nodes_visited = 0;

  const TrieView& trie(std::int32_t view) const { return views_[static_cast<std::size_t>(view)].trie(); }
  // The subtrees of the vocabulary at `nodes`, each with its root, as one trie: its number.
  std::int32_t view_of(const std::vector<std::int32_t>& nodes) {
    auto [it, fresh] = view_ids_.try_emplace(nodes, static_cast<std::int32_t>(views_.size()));
    if (!fresh) return it->second;
    views_.push_back(merge_nodes(trie_, nodes));
    cut_into_units(views_.back());
    const View& v = views_.back();
    bytes_ += v.own.bytes() + v.below.size() * 8 + v.units.size() * sizeof(Unit) + nodes.size() * 4 + 150;
    return it->second;
  }
  // Adds to `row` the tokens of `view` that may follow `place`; calls f(node) for nodes to step through afresh.
  // `obligations`: what is left of some after the first byte, which is the same of all tails then.
  template <class F>
  void judge(std::int32_t view, const Place& place, Id obligations, std::uint32_t* row, F&& f) {
    const View& v = views_[static_cast<std::size_t>(view)];
    for (const Unit& u : v.units) judge_unit(v, u, place, obligations, row, f);
  }
  // The same for the tokens that begin with byte `b`.
  template <class F>
  void judge_tokens(int b, const Place& place, Id obligations, std::uint32_t* row, F&& f) {
    if (const Unit* u = whole_units_[static_cast<std::size_t>(b)]) judge_unit(views_[0], *u, place, obligations, row, f);
  }
  // The tokens that begin with byte `b` and may be read by the alternative `a`, in or before a lexeme.
  template <class F>
  void judge_tokens(int b, const RuleReader::Alternative& a, std::uint32_t* row, F&& f) {
    const Unit* u = whole_units_[static_cast<std::size_t>(b)];
    if (!u) return;
    const bool inside = a.phase != RuleReader::kFresh;
    Id from[] = {a.state, static_cast<Id>(r_.layouts.inside(a.layout)), a.obligations, inside, r_.has_documents() ? r_.chart.allowed(a.set) : 0};
    take(judgement(views_[0], *u, {0, a.state, a.obligations, inside}, 0, observations_.add(from, 5), {a.set, a.layout}), row, f);
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
  // The same for a lexer state under obligations, of which none changes.
  std::uint64_t loops_of(Id state, Id obligations) {
    if (!obligations) return loops_of(state);
    const std::uint64_t key = static_cast<std::uint64_t>(state) << 32 | static_cast<std::uint32_t>(obligations);
    if (const std::uint64_t* known = obliged_loops_.find(key)) return *known;
    Meter::Apart apart(meter_);
    std::uint64_t g = loops_of(state);
    for (int b = 0; b < 0x80; ++b)
      if (r_.scan.step_obligations(obligations, b) != obligations) g &= ~(1ull << groups::of_ascii(b));
    auto step = [&](Id at, int b) { return at == kNone ? kNone : r_.scan.step_obligations(at, b); };
    if (g >> groups::kWide & 1 && !groups::wide_loops(obligations, step)) g &= ~(1ull << groups::kWide);
    return obliged_loops_.put(key, g);
  }
  std::size_t bytes() const { return bytes_ + nodes_.size() * sizeof(Node) + edges_.bytes() + obliged_loops_.bytes(); }
  // The sets of the parser have new numbers.
  void forget_sets() {
    for (std::vector<Id>& known : observed_) known.clear();
    recent_.assign(kRecent, {});
  }
  void clear() {
    forget_sets();
    loops_.clear();
    obliged_loops_.clear();
    views_.clear();
    view_ids_.clear();
    units_ = 0;
    nodes_.clear();
    judgements_.clear();
    edges_.clear();
    bytes_ = 0;
    open_whole();
  }

 private:
  // The top-level nodes [first, stop) of a view; `byte`: of the only one, or -1.
  struct Unit {
    std::int32_t number, first, stop;
    int byte;
  };
  // `below`: by node the byte groups below it (as `Trie::subtree_signature`).
  struct View {
    TrieView own;
    std::vector<std::uint64_t> below;
    std::vector<Unit> units;
    const Trie* whole = nullptr;  // of which it is all
    const TrieView& trie() const { return whole ? whole->all : own; }
    std::uint64_t groups_below(std::int32_t i) const { return (whole ? whole->subtree_signature : below)[static_cast<std::size_t>(i)]; }
  };
  enum Kind : Id { kAfter, kFinishable, kLive };
  // `slot`: a place, by its number along the path of answers; `what`: terminals, ways or a lexer state, under `obligations`.
  struct Question {
    Id kind = kAfter, slot = kNone, what = 0, obligations = 0;
    auto operator<=>(const Question&) const = default;
  };
  // An answer to kAfter that is one place. The units of a view ask the same of a place one after the other.
  struct Asked {
    Place from{kNone, 0};
    Id terminals = 0;
    Place next{};
    Id answer = 0;
    std::int64_t price = 0;
  };
  struct Judgement {
    const TokenSet* mask = nullptr;
    std::vector<std::int32_t> afresh;
  };
  struct Node {
    Question question;
    std::int32_t judgement = -1;
  };
  struct Reading {
    Id slot, state, obligations;
    bool inside;
    auto operator<=>(const Reading&) const = default;
  };
  // The walk of one unit that finds a judgement, and the answers so far: places of kAfter as numbers, truths otherwise.
  struct Learning {
    const View& view;
    std::vector<Place> slots;
    std::map<Question, std::pair<std::size_t, std::size_t>> known;
    std::int32_t at;
    std::vector<std::int32_t> ids, afresh;
  };
  static constexpr std::uint64_t kUnknownLoops = ~0ull;  // no set of groups: kBroken never loops
  static constexpr std::size_t kRecent = 1024;
  static constexpr std::int32_t kSmallView = 48, kSmallSubtree = 2;

  // ------------------------------------------------------------------ tries of tails
  static View merge_nodes(const Trie& source, const std::vector<std::int32_t>& nodes) {
    View out;
    using Children = std::vector<std::pair<std::uint8_t, std::int32_t>>;
    struct Merger {
      const Trie& source;
      View& view;
      void level(Children children, std::int32_t parent) {
        const TrieView& t = source.all;
        TrieView& out = view.own;
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
    out.own.first.push_back(static_cast<std::int32_t>(out.own.tokens.size()));
    return out;
  }
  void cut_into_units(View& v) {
    const TrieView& t = v.trie();
    if (&v != &views_[0] && t.size() <= kSmallView && t.end[0] < t.size()) {
      v.units.push_back({++units_, 0, t.size(), -1});
      return;
    }
    for (std::int32_t i = 0; i < t.size(); i = t.end[i]) v.units.push_back({++units_, i, t.end[i], t.byte[i]});
  }

  void open_whole() {
    View& v = views_.emplace_back();
    v.whole = &trie_;
    cut_into_units(v);
    whole_units_.fill(nullptr);
    for (const Unit& u : v.units)
      if (u.byte >= 0) whole_units_[static_cast<std::size_t>(u.byte)] = &u;
  }

  // ------------------------------------------------------------------ decision trees
  template <class F>
  void judge_unit(const View& v, const Unit& u, const Place& place, Id obligations, std::uint32_t* row, F&& f) {
    const Id start = r_.fresh(place).state;
    Id root = start;
    if (r_.has_documents()) root = r_.chart.allowed(place.set);  // which documents may begin is no part of a lexer state
    else if (u.byte >= 0 && !(root = r_.scan.step(start, u.byte))) return;
    Id from[] = {root, static_cast<Id>(r_.layouts.inside(place.layout)), obligations};
    take(judgement(v, u, {0, start, 0, false}, obligations, observations_.add(from, 3), place), row, f);
  }
  template <class F>
  void take(const Judgement& x, std::uint32_t* row, F&& f) {
    store_.add(*x.mask, row);
    for (std::int32_t node : x.afresh) f(node);
  }
  // Of a unit that is read from `begin` on; `obligations` are added after its first byte. `known`: what is observed at once.
  const Judgement& judgement(const View& v, const Unit& u, const Reading& begin, Id obligations, Id known, const Place& place) {
    const std::int32_t root = child(-u.number, known);
    slots_.assign(1, place);
    for (std::int32_t at = root;;) {
      const Node& node = nodes_[static_cast<std::size_t>(at)];
      if (node.judgement >= 0) return judgements_[static_cast<std::size_t>(node.judgement)];
      if (node.question.slot == kNone) return learn(v, u, begin, obligations, place, root);
      at = child(at, ask(node.question, slots_));
    }
  }
  std::int32_t child(std::int32_t at, Id answer) {
    std::uint64_t key = static_cast<std::uint64_t>(static_cast<std::uint32_t>(at)) << 32 | static_cast<std::uint32_t>(answer);
    Id fresh = static_cast<Id>(nodes_.size()), found = edges_.find_or_add(key, fresh);
    if (found == fresh) nodes_.push_back({});
    return found;
  }
  // What tokens can see of a place: which terminals may be taken there, which are known to be finishable, and whether
  // brackets are open.
  Id observed(const Place& p) {
    bool inside = r_.layouts.inside(p.layout);
    std::vector<Id>& known = observed_[inside];
    if (p.set >= static_cast<Id>(known.size())) known.resize(static_cast<std::size_t>(p.set) + 256, kNone);
    Id& number = known[static_cast<std::size_t>(p.set)];
    if (number != kNone) return number;
    Id x[] = {r_.chart.allowed(p.set), inside};
    return number = observations_.add(x, 2);
  }
  // The answer to a question, as a number. Those of kAfter add their places to `slots`.
  Id ask(const Question& q, std::vector<Place>& slots) {
    Place from = slots[static_cast<std::size_t>(q.slot)];
    if (q.kind == kFinishable) return r_.finishable(from.set, q.what);
    if (q.kind == kLive) return live(from, q.what, q.obligations);
    Asked& recent = recent_[mix(mix(static_cast<std::uint64_t>(from.set), static_cast<std::uint64_t>(from.layout)), static_cast<std::uint64_t>(q.what)) % kRecent];
    if (recent.from.set == from.set && recent.from.layout == from.layout && recent.terminals == q.what) {
      meter_.charge(recent.price);
      slots.push_back(recent.next);
      return recent.answer;
    }
    const std::int64_t before = meter_.used();
    const std::vector<Place>& next = r_.after(from.set, from.layout, q.what);
    const std::int64_t price = meter_.used() - before;
    slots.insert(slots.end(), next.begin(), next.end());
    if (next.size() == 1) {
      recent = {from, q.what, next[0], observed(next[0]), price};
      return recent.answer;
    }
    std::vector<Id> all;
    for (std::size_t k = slots.size() - next.size(); k < slots.size(); ++k) all.push_back(observed(slots[k]));
    return -2 - answers_.add(all);
  }
  bool live(const Place& p, Id state, Id obligations) {
    RuleReader::Alternative a = r_.fresh(p, obligations);
    a.state = state;
    a.phase = RuleReader::kInside;
    return r_.scan.abstract(state) ? r_.plainly_live(a) : r_.live(a);
  }
  const Judgement& learn(const View& v, const Unit& u, const Reading& begin, Id obligations, const Place& place, std::int32_t root) {
    Meter::Apart apart(meter_);
    Learning l{v, {place}, {}, root, {}, {}};
    std::int64_t before = nodes_visited;
    walk(u.first, u.stop, {begin}, l, 0, obligations);
    meter_.charge(nodes_visited - before);
    const TokenSet* mask = store_.kept(store_.packed(std::move(l.ids)));
    bytes_ += l.afresh.size() * 4 + 60;
    nodes_[static_cast<std::size_t>(l.at)].judgement = static_cast<std::int32_t>(judgements_.size());
    judgements_.push_back({mask, std::move(l.afresh)});
    return judgements_.back();
  }
  // The answer of kAfter as a range of places, of the others as (truth, truth).
  std::pair<std::size_t, std::size_t> answer(const Question& q, Learning& l) {
    auto it = l.known.find(q);
    if (it != l.known.end()) return it->second;
    nodes_[static_cast<std::size_t>(l.at)].question = q;
    std::size_t first = l.slots.size();
    Id found = ask(q, l.slots);
    l.at = child(l.at, found);
    std::size_t truth = static_cast<std::size_t>(found);
    return l.known[q] = q.kind == kAfter ? std::pair(first, l.slots.size()) : std::pair(truth, truth);
  }
  bool holds(const Question& q, Learning& l) { return answer(q, l).first; }
  bool finishable(Id slot, Id ways, Learning& l) {
    if (!r_.needs_finishing()) return true;
    return holds({kFinishable, slot, ways}, l);
  }

  // ------------------------------------------------------------------ walks
  // `longer`: obligations after the first byte.
  void walk(std::int32_t first, std::int32_t stop, const std::vector<Reading>& from, Learning& l, std::size_t depth, Id longer = 0) {
    const TrieView& t = l.view.trie();
    if (depth >= levels_.size()) levels_.emplace_back();
    std::vector<Reading>& next = levels_[depth];  // one buffer a level: most nodes have one reading
    for (std::int32_t i = first; i < stop; i = t.end[i]) {
      ++nodes_visited;
      next.clear();
      bool afresh = false;
      for (const Reading& x : from) step(x, t.byte[i], longer, next, l, afresh);
      if (afresh) l.afresh.push_back(i);
      if (next.empty()) continue;
      if (next.size() > 1) {
        std::sort(next.begin(), next.end());
        next.erase(std::unique(next.begin(), next.end()), next.end());
      }
      bool all = t.end[i] > i + kSmallSubtree && !afresh && next.size() == 1 && (l.view.groups_below(i) & ~loops_of(next[0].state, next[0].obligations)) == 0;
      l.ids.insert(l.ids.end(), t.tokens.begin() + t.first[i], t.tokens.begin() + t.first[all ? t.end[i] : i + 1]);
      if (!all && t.end[i] > i + 1) walk(i + 1, t.end[i], next, l, depth + 1);
    }
  }
  void step(const Reading& x, int b, Id longer, std::vector<Reading>& out, Learning& l, bool& afresh) {
    Id next = r_.scan.reduced(r_.scan.step(x.state, b));
    if (r_.depends(x.state, next, x.inside)) {
      afresh = true;  // depends on a text
      return;
    }
    Id asked = x.obligations ? r_.scan.step_obligations(x.obligations, b) : 0;
    if (asked == kNone) return;
    asked = r_.scan.join(asked, longer);
    if (next) {
      Id ways = asked ? 0 : r_.ways(next);
      if (ways && finishable(x.slot, ways, l)) out.push_back({x.slot, next, asked, true});
      else if (r_.in_newline(next, l.slots[static_cast<std::size_t>(x.slot)].layout)) afresh = true;  // depends on what it has read
      else if (holds({kLive, x.slot, next, asked}, l)) out.push_back({x.slot, next, asked, true});
      else if (r_.scan.abstract(next)) afresh = true;
    }
    if (!x.inside) {
      if (r_.has_documents() && r_.begins_document(l.slots[static_cast<std::size_t>(x.slot)].set, b)) afresh = true;
      return;
    }
    if (!r_.scan.ends(x.state).empty()) end(x, b, next, longer, out, l, afresh);
  }
  // The readings in which the lexeme ends before byte b; it would go on to `next`.
  void end(const Reading& x, int b, Id next, Id longer, std::vector<Reading>& out, Learning& l, bool& afresh) {
    bool forked = r_.g.longest && next;
    Id owed = forked ? r_.scan.no_longer_match(next) : 0;
    if (owed == kNone) return;
    for (const Scanner::End& e : r_.scan.ends(x.state)) {
      bool looked = e.obligations && r_.scan.looks_at(e.obligations, b);
      if (looked && r_.scan.step_obligations(e.obligations, b) == kNone) continue;
      if (r_.has_newline(e.terminals) && !r_.layouts.inside(l.slots[static_cast<std::size_t>(x.slot)].layout)) {
        afresh = true;
        continue;
      }
      Id asked = looked ? r_.scan.join(x.obligations, e.obligations) : x.obligations;
      auto [first, last] = answer({kAfter, x.slot, e.terminals}, l);
      for (std::size_t k = first; k < last; ++k) {
        Place p = l.slots[k];
        if (r_.scan.captured_list(asked) || r_.scan.captured_list(owed)) afresh = afresh || r_.may_follow(p, x.state, e, b);
        else step({static_cast<Id>(k), r_.fresh(p).state, asked, false}, b, r_.scan.join(owed, longer), out, l, afresh);
      }
    }
  }

  RuleReader& r_;
  MaskStore& store_;
  const Trie& trie_;
  Meter& meter_;
  std::vector<std::uint64_t> loops_;  // by lexer state
  WordTable<std::uint64_t> obliged_loops_;  // by lexer state and obligations
  std::deque<View> views_;  // the first: the vocabulary
  std::array<const Unit*, 256> whole_units_;  // of it
  std::map<std::vector<std::int32_t>, std::int32_t> view_ids_;
  std::int32_t units_ = 0;
  ListStore observations_, answers_;
  std::vector<Asked> recent_{kRecent};
  std::array<std::vector<Id>, 2> observed_;  // by parser set, outside and inside brackets
  std::deque<Node> nodes_;
  WordTable<Id> edges_;
  std::deque<Judgement> judgements_;
  std::deque<std::vector<Reading>> levels_;
  std::vector<Place> slots_;
  std::size_t bytes_ = 0;
};

}  // namespace constrain
