// Masks: which tokens may follow a configuration.
//
// For a text lexer (String, Key) in regex state q the vocabulary splits into the *interior* tokens, which stay inside
// the lexeme and depend on q alone (interiors.hpp), and those that end it: their distinct tails are merged into one small
// trie that is judged against the configuration after the lexeme. Everything else (gaps, numbers, words) walks the vocabulary trie
// from the configuration; rejected bytes cut whole subtrees, so these walks are short.
//
// A judgement of a trie view from a configuration is memoised by what it *observed*: the local part of the
// configuration, then, frame by frame as far up as the walk went, what a frame can show to a tail (may it close, may it
// go on; for an array its formula). Tails that would read a name inside a frame already open are set aside as *rare*
// and judged afresh each time, because they see the names used up; the vocabulary has next to none of them. The memo
// is therefore exact and far coarser than state identity.
//
// All memos are dropped together when they exceed their budget. Not thread-safe but for whole masks that were published.
#pragma once
#include "interiors.hpp"
#include "published.hpp"

namespace constrain {

class MaskBuilder : public Interiors {
 public:
  using Interiors::Interiors;

  // Writes the mask of `c` without end tokens into row[0 .. words()).
  void fill(const Config& c, std::uint32_t* row) {
    if (bytes() > budget_) clear();
    const std::uint64_t h = published_hash(c, r_.document().spacing());
    const std::size_t words = static_cast<std::size_t>(words_);
    if (auto known = published_.find(c, h)) {
      v_.meter_.pay(known->cost, known->cost.work);
      return known->copy(row, words);
    }
    ++stats.fills;
    const std::int64_t nodes = stats.nodes, interiors = stats.interiors;
    copied_.reset();
    const Meter::Cost cost = v_.meter_.once([&] { make(c, row); });
    v_.meter_.pay(cost, cost.work);
    if (published_.bytes() > budget_ / 4) published_.clear();
    PublishedMasks::Base near;
    if (copied_ && !copied_->bits.empty()) near = PublishedMasks::Base(copied_, &copied_->bits);
    published_.offer(c, h, row, words, std::move(near), cost, r_.accepting(c), stats.nodes > nodes + kCostly || stats.interiors > interiors);
  }
  // The mask of `c` in a document that writes white space in the way of `spacing`, if it was made before. Needs no lock.
  std::shared_ptr<const PublishedMask> published(const Config& c, std::uint32_t spacing) const {
    return published_.find(c, published_hash(c, spacing));
  }
  std::size_t bytes() const { return bytes_ + published_.bytes(); }
  // What was counted, with the masks that were found published among the fills.
  MaskStats counted() const {
    MaskStats out = stats;
    out.published_hits = published_.hits();
    out.fills += out.published_hits;
    return out;
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
  void clear() {
    clear_interiors();
    outcomes_.clear();
    keys_ = ListStore();
    nodes_.clear();
    results_.clear();
    published_.clear();
    known_ = Known();
    ++stats.clears;
  }
  // Calls f(token, configuration after it) for every allowed token that has bytes. The slow, general walk.
  template <class F>
  void each_allowed(const Config& c, F&& f) {
    visit(trie_.all, 0, trie_.all.size(), c, f);
  }

 private:
  // Exits after which the frame learns the same truths.
  struct Outcome {
    std::string text;  // of one of them
    TrieView tails;
    std::int32_t view = 0;
  };
  struct Result {
    std::vector<std::int32_t> ids;
    std::vector<std::uint32_t> bits;
    std::vector<std::int32_t> rare;  // nodes of the view whose subtrees must be judged afresh
    Meter::Cost cost;                // a function of what was observed
  };

  static std::uint64_t published_hash(const Config& c, std::uint32_t spacing) { return mix(c.hash(), spacing); }

  void add(const Result& x, std::uint32_t* row) const {
    if (!x.bits.empty())
      for (std::int32_t w = 0; w < words_; ++w) row[w] |= x.bits[w];
    for (std::int32_t t : x.ids) set(row, t);
  }

  void make(const Config& c, std::uint32_t* row) {
    if (c.lexer == Lexer::Raw) return copy(interior(c.a, true), row);
    if (c.lexer == Lexer::String && c.escape == Reader::kPlain) {
      if (Reader::recorded(c) ? fill_recorded(c, row) : c.b ? fill_tracked(c, row) : fill_string(c, row)) return;
    }
    if (c.lexer == Lexer::Key && c.escape == Reader::kPlain) {
      if (!fill_open_key(c, row)) fill_key(c, row);
      return;
    }
    clear_row(row);
    add(judged(trie_.all, 0, c), row);
  }
  bool fill_string(const Config& c, std::uint32_t* row) {
    if (c.frame && c.frame->pending) return false;  // the outcome differs from tail to tail
    const Interior& in = interior(c.a, false);
    Ends& inside = *in.ends;
    copy(in, row);
    for (std::int32_t t : inside.closing) set(row, t);
    if (!inside.tails.empty()) add(judged(inside.tails, inside.view, r_.after_child(c)), row);
    return true;
  }

  // A string whose frame waits for the truths of `c.b`: the exits fall into few classes by these truths.
  bool fill_tracked(const Config& c, std::uint32_t* row) {
    const Interior& in = interior(c.a, false);
    Ends& inside = *in.ends;
    copy(in, row);
    for (std::int32_t t : inside.closing) set(row, t);
    for (const Outcome& o : outcomes_of(inside, c.b)) {
      Config after = c;
      if (run_text(after, o.text) && r_.close_text(after)) add(judged(o.tails, o.view, after), row);
    }
    return true;
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

  // A string within items that must differ, if many are allowed: one that equals nothing stands for all that have the same
  // truths, whatever was read of it, so that their tails are judged once; then the strings that matter, one by one. Tails that
  // begin another recorded string may repeat this one and are rare. False if it is not known which strings matter.
  bool fill_recorded(const Config& c, std::uint32_t* row) {
    const Interior& in = interior(c.a, false);
    if (in.row->bits.empty() || !know(c.frame).plain) return false;
    Ends& inside = *in.ends;
    copy(in, row);
    for (std::int32_t t : inside.closing) set(row, t);
    const std::vector<Id> tracked(v_.lists.begin(c.b), v_.lists.end(c.b));
    for (const Outcome& o : outcomes_of(inside, c.b)) {
      std::vector<Id> truths;
      for (Id t : tracked) truths.push_back(v_.re.accepts(t, o.text) ? RegexStore::kEpsilon : RegexStore::kEmpty);
      Config after = c;
      after.key = known_.other, after.a = RegexStore::kEpsilon, after.b = v_.lists.add(truths);
      if (!r_.close_text(after)) continue;
      const Result& tails = judge(o.tails, o.view, after, true);
      add(tails, row);
      for (std::int32_t node : tails.rare)
        for (std::int32_t k = o.tails.first[node + 1]; k < o.tails.first[o.tails.end[node]]; ++k)
          if (allows(c, o.tails.tokens[k])) set(row, o.tails.tokens[k]);
    }
    for (const std::string& word : known_.words)
      if (Values::starts_with(word, c.key)) correct_string(c, word, inside, row);
    return true;
  }
  // The strings that matter where values are recorded in `frame`, and one that does not.
  struct Known {
    FrameRef frame;
    bool plain = false;
    std::set<std::string> words;
    std::string other;
    Meter::Cost cost;
  };
  const Known& know(const FrameRef& frame) {
    if (!known_.frame || known_.frame->hash != frame->hash || !same_stack(known_.frame.get(), frame.get())) learn_words(frame);
    v_.meter_.pay(known_.cost);
    return known_;
  }
  void learn_words(const FrameRef& frame) {
    std::vector<Id> formulas;
    for (const Frame* f = frame.get(); f && f->recording; f = f->parent) {
      formulas.push_back(f->goal);
      formulas.insert(formulas.end(), v_.lists.begin(f->tracked), v_.lists.end(f->tracked));
    }
    Known made;
    made.cost = v_.meter_.once([&] { made.plain = v_.words_recorded(formulas, made.words); });
    for (int suffix = 0; made.other.empty() || made.words.count(made.other); ++suffix) made.other = "~" + std::to_string(suffix);
    made.frame = frame;
    known_ = std::move(made);
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
  // Any other name: the interior of its regex, then the names that no pattern tells apart at once, and the declared ones and
  // those whose text is recorded each on its own.
  void fill_key(const Config& c, std::uint32_t* row) {
    const Interior& in = interior(c.a, false);
    Ends& inside = *in.ends;
    copy(in, row);
    for (std::int32_t t : inside.closing) set(row, t);
    const Frame& f = *c.frame.get();
    if (f.recording || f.record != kNone || v_.regions(f.goal).size() > kFewRegions) {
      for (const Exit& e : exits_of(inside)) judge_name(c, e, row);
      return;
    }
    for (Id n : v_.literal_names(f.goal))
      if (Values::starts_with(v_.name_text(n), c.key))
        for (const Exit& e : exits_of(inside, std::string(v_.name_text(n).substr(c.key.size())))) judge_name(c, e, row);
    fill_regions(c, inside, row);
  }
  void judge_name(const Config& c, const Exit& e, std::uint32_t* row) {
    if (trie_.all.end[e.node] > e.node + 1) judge_exit(c, e, row);
  }
  // Names that are not declared: those of one region are followed alike, but for the names that are used up, which only rare
  // tails see. One name stands for all of a region, whatever was read of it, so that its tails are judged once.
  void fill_regions(const Config& c, Ends& inside, std::uint32_t* row) {
    const std::vector<Id> regions = v_.regions(c.frame->goal);
    std::vector<Id> rest;
    for (Id r : regions) rest.push_back(v_.re.run(r, c.key));
    for (const Outcome& o : outcomes_of(inside, v_.lists.add(rest))) {
      std::size_t i = 0;
      while (i < rest.size() && !v_.re.accepts(rest[i], o.text)) ++i;
      if (i == rest.size()) continue;
      Config after = c;
      after.key = v_.re.shortest(v_.re.conj({regions[i], v_.re.negate(c.frame->seen)}));
      after.a = RegexStore::kEpsilon;
      if (!r_.close_text(after)) continue;
      const Result& tails = judge(o.tails, o.view, after);
      add(tails, row);
      for (std::int32_t node : tails.rare)
        for (std::int32_t k = o.tails.first[node + 1]; k < o.tails.first[o.tails.end[node]]; ++k)
          if (allows(c, o.tails.tokens[k])) set(row, o.tails.tokens[k]);
    }
  }
  void judge_exit(const Config& c, const Exit& e, std::uint32_t* row) {
    Config at = c;
    at.key += e.text;
    at.a = v_.re.run(c.a, e.text);
    if (!r_.close_text(at)) return;
    for (std::int32_t k = trie_.all.first[e.node]; k < trie_.all.first[e.node + 1]; ++k) set(row, trie_.all.tokens[k]);
    visit(trie_.all, e.node + 1, trie_.all.end[e.node], at, [&](std::int32_t t, const Config&) { set(row, t); });
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
  // `apart`: recorded strings that begin may equal one before them and are left rare.
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
    // automata of one engine may write white space in different ways, and the gaps that a tail goes on to are not here yet
    key.push_back(static_cast<Id>(r_.document().spacing()));
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
      bool begins = w.apart && c.lexer == Lexer::Gap && next.lexer == Lexer::String && Reader::recorded(next);
      if (begins || (next.lexer == Lexer::Key && depth <= w.depth && !(exact && depth == w.depth))) {
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
  static constexpr std::size_t kFewRegions = 64;
  static constexpr std::int64_t kCostly = 256;  // nodes visited
  std::unordered_map<std::uint64_t, std::vector<Outcome>> outcomes_;  // by view of the interior and tracked list
  PublishedMasks published_;
  Known known_;
  ListStore keys_;
  std::vector<Id> nodes_, key_;
  std::deque<Result> results_;
  Result scratch_;
  std::size_t budget_ = 48u << 20;
};

}  // namespace constrain
