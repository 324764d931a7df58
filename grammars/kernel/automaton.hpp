// What Python sees: a vocabulary, the engine behind it, automata and matchers.
//
// One engine (stores, memos, masks) serves everything compiled against a vocabulary in one mode, so that equal parts of
// different sources are shared; or `shards` engines do, if masks of different sources are to be made side by side (batch.hpp):
// equal sources then share one. When an engine outgrows its budget the vocabulary begins a new one; the old one lives
// as long as automata that were compiled in it. Every public operation takes the engine's lock and a fresh meter, works
// on copies and commits at the end, so that an error leaves the caller's object as it was.
//
// What an automaton keeps for the rules of a context-free grammar grows with every new stack. When it outgrows its budget
// it is collected at the beginning of the next operation: what the points of its `Root`s lead to is kept, the rest forgotten.
// All points are renumbered at once, so that equal points stay equal, and a point keeps its hash. The next collection comes
// at twice what was kept, if that is more than the budget, so that its cost is a constant share of the work.
//
// Thread-safety: automata and states may be shared; a matcher belongs to one thread at a time.
#pragma once
#include <memory>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <span>

#include "rule_loader.hpp"
#include "string_grammar.hpp"

namespace constrain {

struct Mode {
  bool raw = false, plain = false, ordered = false;
  int number_digits = 128, exponent_digits = 4;
  auto operator<=>(const Mode&) const = default;
};

// `m` with the options of the documents of a grammar, which they must share.
inline Mode mode_of_documents(Mode m, const Loader& loader, const LoadedRules& loaded) {
  m.raw = false;
  bool first = true;
  for (auto& [terminal, node] : loaded.documents) {
    if (loader.document(node).kind != Document::kJson) throw SourceError(0, "a terminal of a grammar is no document");
    const PackedNode& n = loader.node(static_cast<Id>(node));
    bool plain = n.operands[3] != 0, ordered = n.operands[4] != 0;
    if (!first && (plain != m.plain || ordered != m.ordered))
      throw SourceError(1, "documents with different options for numbers or order in one grammar");
    m.plain = plain, m.ordered = ordered, first = false;
  }
  return m;
}

struct Engine : OutsideSource {
 private:
  std::unique_ptr<Meter> own_;

 public:
  std::mutex lock;
  Meter& meter;
  Level& level;
  Values values;
  Reader reader;
  MaskBuilder masks;
  Mode mode;

  // `shared`: the meter of the engine that this one works for, inside its strings and under its lock.
  Engine(Level& level_, const Mode& m, Meter* shared = nullptr)
      : own_(shared ? nullptr : std::make_unique<Meter>()), meter(shared ? *shared : *own_), level(level_),
        values(alphabet(level.trie, m), level.trie.spelled, meter), reader(values, level.trie.spelled), masks(reader, level), mode(m) {
    values.plain_numbers = m.plain;
    values.source_order = m.ordered;
    values.numbers.set_limits(m.number_digits, m.exponent_digits);
    if (!m.raw) values.re.source = this;
  }
  std::size_t bytes() const {
    std::size_t n = values.bytes() + masks.bytes();
    for (auto& [packed, start] : grammars_) n += packed.size() + 100;
    for (auto& language : languages_) n += language->bytes();
    for (auto& [m, e] : inside_) n += e->bytes();
    return n;
  }
  // Drops memos that have grown too large.
  void trim() {
    for (auto& language : languages_) language->trim();
    for (auto& [m, e] : inside_) e->trim();
  }

  // ------------------------------------------------------------------ grammars inside strings
  // The strings that are texts of a packed grammar (ir.py: `Table.outside`): one language for equal tables.
  Id expression(std::string_view packed) override {
    auto it = grammars_.find(packed);
    if (it == grammars_.end()) it = grammars_.emplace(std::string(packed), load_grammar(packed)).first;
    return it->second;
  }

  // The bytes that regexes are built over: of the text itself, or, inside JSON strings, of the decoded text.
  static ByteSet alphabet(const Trie& trie, const Mode& m) {
    if (m.raw) return trie.spelled;
    const ByteSet& s = trie.spelled;
    ByteSet out = s;
    bool hex = has(s, '\\') && has(s, 'u');
    for (char c : std::string_view("0123456789")) hex = hex && has(s, c);
    for (int i = 0; i < 6; ++i) hex = hex && (has(s, 'a' + i) || has(s, 'A' + i));
    if (hex) {
      // Escapes spell every character, so liveness is that of characters; a character begun by its first byte then
      // has to be completed by bytes.
      bool first = (s[3] >> 2) != 0, rest = s[2] == ~0ull;
      if (first && !rest) throw SourceError(1, "a vocabulary with hexadecimal escapes that spells only some of the bytes of UTF-8");
      return ByteSet{~0ull, ~0ull, ~0ull, ~0ull};
    }
    if (has(s, '\\') && has(s, 'u'))
      throw SourceError(1, "a vocabulary that spells \\u but not all hexadecimal digits");
    for (int b = 0; b < 0x20; ++b) out[0] &= ~(1ull << b);
    out['"' >> 6] &= ~(1ull << ('"' & 63));
    out['\\' >> 6] &= ~(1ull << ('\\' & 63));
    if (has(s, '\\')) {
      const std::pair<char, char> escapes[] = {{'"', '"'}, {'\\', '\\'}, {'/', '/'}, {'b', '\b'}, {'f', '\f'}, {'n', '\n'}, {'r', '\r'}, {'t', '\t'}};
      for (auto [letter, meaning] : escapes)
        if (has(s, letter)) put(out, static_cast<unsigned char>(meaning));
    }
    return out;
  }

 private:
  // Little-endian words: root, bytes of the table, number of byte strings, their lengths; then the table, then the strings.
  Id load_grammar(std::string_view packed) {
    std::size_t at = 0;
    auto words = [&](std::size_t n) {
      if (n > (packed.size() - at) / 8) throw SourceError(0, "a packed grammar is cut short");
      std::vector<std::int64_t> out(n);
      std::memcpy(out.data(), packed.data() + at, n * 8);
      at += n * 8;
      return out;
    };
    std::vector<std::int64_t> head = words(3);
    std::vector<std::int64_t> lengths = words(static_cast<std::size_t>(head[2]));
    std::vector<std::int64_t> table = words(static_cast<std::size_t>(head[1]) / 8);
    std::vector<std::string_view> blobs;
    for (std::int64_t n : lengths) {
      if (n < 0 || static_cast<std::size_t>(n) > packed.size() - at) throw SourceError(0, "a packed grammar is cut short");
      blobs.push_back(packed.substr(at, static_cast<std::size_t>(n)));
      at += static_cast<std::size_t>(n);
    }
    try {
      languages_.push_back(read_grammar(table, blobs, static_cast<Id>(head[0])));
    } catch (const SourceError& e) {
      if (e.kind != 2) throw;
      return RegexStore::kEmpty;  // no text
    }
    StringGrammar& made = *languages_.back();
    return values.re.outside(values.re.add_language(made), made.start());
  }
  std::unique_ptr<StringGrammar> read_grammar(const std::vector<std::int64_t>& table, const std::vector<std::string_view>& blobs, Id root) {
    const Decoded& view = level.decoded(reader);
    Mode raw = mode;
    raw.raw = true;
    Engine& outer = inside(raw);
    Loader loader(outer.values, blobs);
    if (loader.load(table.data(), table.size(), root).kind != Document::kGrammar) throw SourceError(0, "a packed grammar is none");
    LoadedRules loaded = RuleLoader(loader, outer.values.re, meter).load(root, {}, true);
    if (loaded.documents.empty())
      return std::make_unique<StringGrammar>(std::move(loaded.rules), outer.values.re, meter, nullptr, nullptr, std::unordered_map<Id, Document>(), view);
    Engine& inner = inside(mode_of_documents(mode, loader, loaded));
    Loader other(inner.values, blobs);
    other.load_nodes(table.data(), table.size());
    std::unordered_map<Id, Document> roots;
    for (auto& [terminal, node] : loaded.documents) roots.emplace(terminal, other.document(node));
    return std::make_unique<StringGrammar>(std::move(loaded.rules), outer.values.re, meter, &inner.reader, &inner.masks, std::move(roots), view);
  }
  // The engine of a mode for what strings hold.
  Engine& inside(const Mode& m) {
    std::unique_ptr<Engine>& e = inside_[m];
    if (!e) {
      e = std::make_unique<Engine>(level.inside(reader), m, &meter);
      if (m.raw) e->values.re.count_characters();
    }
    return *e;
  }
  std::map<Mode, std::unique_ptr<Engine>> inside_;  // outlives the languages
  std::deque<std::unique_ptr<StringGrammar>> languages_;
  std::map<std::string, Id, std::less<>> grammars_;  // expressions by packed tables
};

class KernelVocabulary : public std::enable_shared_from_this<KernelVocabulary> {
 public:
  Trie trie;
  std::int32_t size;
  std::vector<std::int32_t> end_tokens;
  std::size_t engine_budget = 64u << 20;  // of all engines of a mode
  const std::size_t shards;               // engines of a mode
  Level level;

  KernelVocabulary(std::string_view data, const std::int32_t* offsets, const std::uint8_t* flags, std::int32_t n,
                   std::vector<std::int32_t> ends, std::size_t shards_ = 1)
      : trie(data, offsets, flags, n), size(n), end_tokens(std::move(ends)), shards(std::max<std::size_t>(1, shards_)), level(trie, n) {}

  // `source`: a hash of what is compiled.
  std::shared_ptr<Engine> engine(const Mode& m, std::uint64_t source) {
    auto made = [&] { return std::shared_ptr<Engine>(new Engine(level, m), [home = weak_from_this()](Engine* old) { release(old, home.lock()); }); };
    if (m.ordered) return made();  // where the order of a source matters, what was read before must not be in it
    std::shared_ptr<Engine> known;
    {
      std::lock_guard<std::mutex> guard(lock_);
      std::shared_ptr<Engine>& e = engines_[{m, source % shards}];
      if (!e) e = made();
      known = e;
    }
    {
      std::lock_guard<std::mutex> guard(known->lock);
      if (known->bytes() <= engine_budget / shards) return known;
    }
    std::lock_guard<std::mutex> guard(lock_);
    std::shared_ptr<Engine>& e = engines_[{m, source % shards}];
    if (e == known) e = made();
    return e;
  }
  void clear() {
    std::lock_guard<std::mutex> guard(lock_);
    engines_.clear();
  }
  std::size_t engine_bytes() {
    std::size_t n = 0;
    for (auto& e : engines()) {
      std::lock_guard<std::mutex> guard(e->lock);
      n += e->bytes();
    }
    return n;
  }
  MaskStats stats() {
    MaskStats sum;
    for (auto& e : engines()) {
      std::lock_guard<std::mutex> guard(e->lock);
      const MaskStats s = e->masks.counted();
      sum.fills += s.fills, sum.judgements += s.judgements, sum.hits += s.hits, sum.nodes += s.nodes;
      sum.interiors += s.interiors, sum.interior_hits += s.interior_hits, sum.clears += s.clears, sum.published_hits += s.published_hits;
    }
    return sum;
  }
  bool is_end(std::int32_t t) const { return std::find(end_tokens.begin(), end_tokens.end(), t) != end_tokens.end(); }
  std::int32_t words() const { return (size + 31) / 32; }

  // Fewest tokens that spell `text`, -1 if none do. `first`: the first token of one such spelling.
  std::int64_t spell(std::string_view text, std::int32_t* first = nullptr) const {
    std::vector<std::int64_t> best(text.size() + 1, -1);
    std::vector<std::int32_t> by(text.size() + 1, -1);
    best[text.size()] = 0;
    for (std::size_t i = text.size(); i-- > 0;) {
      std::int32_t node = -1;
      for (std::size_t j = i; j < text.size(); ++j) {
        node = trie.child(node, static_cast<unsigned char>(text[j]));
        if (node < 0) break;
        if (trie.all.first[node] == trie.all.first[node + 1] || best[j + 1] < 0) continue;
        if (best[i] < 0 || best[j + 1] + 1 < best[i]) best[i] = best[j + 1] + 1, by[i] = trie.all.tokens[trie.all.first[node]];
      }
    }
    if (first) *first = by[0];
    return best[0];
  }

 private:
  // A large engine is half a million small blocks, 30 to 50 ms of work for whoever drops it last: a thread takes it apart, which
  // keeps the vocabulary alive and touches nothing else.
  static void release(Engine* old, std::shared_ptr<KernelVocabulary> home) {
    std::unique_ptr<Engine> engine(old);
    if (!home || engine->bytes() < kLarge) return;
    try {
      std::thread([engine = std::move(engine), home = std::move(home)]() mutable { engine.reset(); }).detach();
    } catch (const std::system_error&) {
    }
  }
  static constexpr std::size_t kLarge = 8u << 20;
  // Each to be locked before it is asked anything; never while `lock_` is held, which compiling takes under an engine's lock.
  std::vector<std::shared_ptr<Engine>> engines() {
    std::lock_guard<std::mutex> guard(lock_);
    std::vector<std::shared_ptr<Engine>> out;
    for (auto& [key, e] : engines_)
      if (e) out.push_back(e);  // null where the vocabulary was refused
    return out;
  }
  std::mutex lock_;
  std::map<std::pair<Mode, std::size_t>, std::shared_ptr<Engine>> engines_;
};

// A point in a text: everything later depends on it alone. `ended`: an end token was consumed.
struct Point {
  Config config;
  bool ended = false;
  bool operator==(const Point& o) const { return ended == o.ended && config == o.config; }
};

// Points that outlive an operation, or the turns of one. Those of an automaton are in one list, under its lock.
class Root {
 public:
  Root() = default;
  Root(const Root&) = delete;
  virtual ~Root() = default;
  virtual std::span<Point> points() = 0;
  void attach(Root& list) {
    previous_ = &list, next_ = list.next_;
    if (next_) next_->previous_ = this;
    list.next_ = this;
  }
  void detach() {
    if (!previous_) return;
    previous_->next_ = next_;
    if (next_) next_->previous_ = previous_;
    previous_ = next_ = nullptr;
  }
  Root* next() const { return next_; }

 private:
  Root *previous_ = nullptr, *next_ = nullptr;
};

using SpecialTokens = std::unordered_map<std::string, std::vector<std::int32_t>>;

class Automaton {
 public:
  static constexpr std::size_t kBudget = 256u << 20;
  static constexpr const char* kMaskWork = "mask_work";

  // `documents`: the mode of embedded JSON documents; `specials`: ids of special tokens by name.
  Automaton(std::shared_ptr<KernelVocabulary> vocabulary, const Mode& mode, const std::int64_t* words, std::size_t n,
            const std::vector<std::string_view>& blobs, Id root, std::int64_t compile_work, std::int64_t mask_work, const Mode& documents,
            const SpecialTokens& specials)
      : vocabulary_(std::move(vocabulary)), source_(hash_of(words, n, blobs)), engine_(vocabulary_->engine(mode, source_)), mask_work_(mask_work) {
    std::lock_guard<std::mutex> guard(engine_->lock);
    engine_->meter.begin(compile_work, "compile_work");
    Loader loader(engine_->values, blobs);
    document_ = loader.load(words, n, root);
    if (!mode.raw && document_.kind != Document::kJson) throw SourceError(0, "an engine for JSON documents takes nothing else");
    if (document_.kind == Document::kGrammar) {
      start_rules(loader, words, n, blobs, root, compile_work, documents, specials);
    } else {
      if (!vocabulary_->trie.closed) close_over_tokens();
      check_indentation(*engine_, document_);
      start_.config = engine_->reader.start(document_);
    }
    compile_used_ = engine_->meter.used();
  }
  ~Automaton() {
    Guard guard(*this);
    start_ = Point{};
    masks_.reset();
    rules_.reset();
  }

  // The locks of the engines, always in this order.
  struct Guard {
    explicit Guard(const Automaton& a) : own(a.engine_->lock) {
      if (a.documents_) inner = std::unique_lock<std::mutex>(a.documents_->lock);
    }
    std::unique_lock<std::mutex> own, inner;
  };
  // Holds the locks and fresh meters while alive.
  struct Turn {
    explicit Turn(const Automaton& a) : guard(a), a_(a) {
      renew();
      a.engine_->reader.use(a.document_);
    }
    // A fresh meter: for operations on whole texts, where the limit is one for each byte.
    void renew() {
      if (a_.rules_) a_.bound_memory();
      a_.engine_->trim();
      if (a_.documents_) a_.documents_->trim();
      a_.engine_->meter.begin(a_.mask_work_, kMaskWork);
      if (a_.documents_) a_.documents_->meter.begin(a_.mask_work_, kMaskWork);
    }
    Guard guard;

   private:
    const Automaton& a_;
  };

  // Fills `row` as `fill` does if the mask was published; false, and nothing is written, if not. Needs no Turn, so that any
  // number of threads may do so at a time; what the rules of a grammar keep is theirs alone (points are renumbered).
  bool fill_published(const Point& p, std::uint32_t* row) const {
    if (rules_) return false;
    if (p.ended) return clear_to_ends(row), true;
    std::shared_ptr<const PublishedMask> known = engine_->masks.published(p.config, document_.spacing());
    if (!known) return false;
    Meter::afford(known->cost, mask_work_, kMaskWork);
    known->copy(row, static_cast<std::size_t>(vocabulary_->words()));
    if (known->accepting) add_ends(row);
    return true;
  }

  const Point& start() const { return start_; }
  const std::shared_ptr<KernelVocabulary>& vocabulary() const { return vocabulary_; }
  Engine& engine() const { return *engine_; }
  const RuleMasks* rule_masks() const { return masks_.get(); }
  RuleReader* rules() const { return rules_.get(); }
  std::vector<Id> inseparable() const { return rules_ ? rules_->inseparable() : std::vector<Id>(); }
  // What is kept for the rules of a context-free grammar.
  struct Memory {
    std::size_t rules = 0, masks = 0, budget = 0, collections = 0;
  };
  Memory memory() const {
    Guard guard(*this);
    return {rules_ ? rules_->bytes() : 0, masks_ ? masks_->bytes() : 0, budget_, collections_};
  }
  std::size_t rule_bytes() const { return rules_ ? rules_->bytes() + masks_->bytes() : 0; }
  // Of the rules; their masks have half as much beside it.
  void set_budget(std::size_t bytes) const {
    Guard guard(*this);
    budget_ = bytes;
    kept_ = 0;
    if (masks_) masks_->budget = bytes / 2;
  }
  // Forgets what no point needs, and all masks.
  void clear() const {
    Guard guard(*this);
    if (!rules_) return;
    masks_->clear();
    collect(true);
  }
  Root& roots() const { return roots_; }
  // The same for equal points, before and after collections. Needs a Guard.
  std::uint64_t hash(const Point& p) const { return mix(rules_ ? rules_->serial(p.config.a) : p.config.hash(), p.ended); }
  std::int64_t compile_used() const { return compile_used_; }

  // All of the following need a Turn.
  bool accepting(const Point& p) const { return rules_ ? rules_->accepting(p.config.a) : engine_->reader.accepting(p.config); }
  bool step(Point& p, std::int32_t token) const {
    if (token < 0 || token >= vocabulary_->size) return false;
    if (vocabulary_->is_end(token)) return p.ended || (accepting(p) && (p.ended = true));
    if (p.ended) return false;
    std::string_view bytes = vocabulary_->trie.text(token);
    if (bytes.empty()) return rules_ && (p.config.a = rules_->step_special(p.config.a, token)) != 0;
    return run(p, bytes) && engine_->reader.at_boundary(p.config);
  }
  bool run(Point& p, std::string_view text) const {
    for (char b : text)
      if (!engine_->reader.spells(static_cast<unsigned char>(b)) || !step_byte(p.config, static_cast<unsigned char>(b))) return false;
    return true;
  }
  // The point as a start for single bytes: only what tokens spell from here on is left. The same point where every byte
  // is a token.
  Point between_tokens(const Point& p) const {
    Point out = p;
    if (!rules_) engine_->reader.close_over_tokens(out.config);
    return out;
  }
  void fill(const Point& p, std::uint32_t* row) const {
    if (p.ended) return clear_to_ends(row);
    if (rules_) masks_->fill(p.config.a, row);
    else engine_->masks.fill(p.config, row);
    if (accepting(p)) add_ends(row);
  }
  // False if `budget` is below the distance; then the row is filled as for the distance.
  bool fill_within(const Point& p, std::uint32_t* row, std::int64_t budget) const {
    if (p.ended) return fill(p, row), true;
    std::memset(row, 0, static_cast<std::size_t>(vocabulary_->words()) * 4);
    std::int64_t here = distance(p), most = std::max(budget, here);
    if (rules_) {
      std::unordered_map<Id, bool> known;
      masks_->each_allowed(p.config.a, [&](std::int32_t token, Id after) {
        auto [it, fresh] = known.try_emplace(after, false);
        if (fresh) it->second = tokens_left(after) <= most - 1;
        if (it->second) row[token >> 5] |= 1u << (token & 31);
      });
      if (accepting(p)) add_ends(row);
      return budget >= here;
    }
    std::unordered_map<std::uint64_t, std::vector<std::pair<Config, bool>>> memo;
    engine_->masks.each_allowed(p.config, [&](std::int32_t token, const Config& exact) {
      if (!engine_->reader.at_boundary(exact)) return;
      Config kind = engine_->reader.kind_of(exact);
      auto& bucket = memo[kind.hash()];
      for (auto& [other, fits] : bucket)
        if (other == kind) {
          if (fits) row[token >> 5] |= 1u << (token & 31);
          return;
        }
      bool fits = distance(Point{exact, false}) <= most - 1;
      bucket.emplace_back(std::move(kind), fits);
      if (fits) row[token >> 5] |= 1u << (token & 31);
    });
    if (accepting(p)) add_ends(row);
    return budget >= here;
  }
  // Special tokens of a completion have no bytes and are left out here.
  std::string completion(const Point& p) const {
    if (p.ended) return std::string();
    return completion_between_bytes(between_tokens(p));
  }
  std::string completion_between_bytes(const Point& p) const {
    if (!rules_) return engine_->reader.completion(p.config, 1u << 22);
    std::string out;
    for (std::int32_t s : rules_->completion(p.config.a, 1u << 22))
      if (s < 256) out.push_back(static_cast<char>(s));
    return out;
  }
  std::int64_t distance(const Point& p) const {
    return rules_ && !p.ended ? tokens_left(p.config.a) : vocabulary_->spell(completion(p));
  }
  bool finished(const Point& p) const {
    if (p.ended) return true;
    if (!accepting(p) || takes_special(p)) return false;
    const Config here = between_tokens(p).config;
    for (int b = 0; b < 256; ++b) {
      Config c = here;
      if (engine_->reader.spells(b) && step_byte(c, b)) return false;
    }
    return true;
  }
  // The longest text that every completion begins with, at most `most` bytes.
  std::string forced(Point p, std::size_t most) const {
    std::string out;
    p = between_tokens(p);
    while (out.size() < most && !p.ended && !accepting(p) && !takes_special(p)) {
      int only = -1;
      Config next;
      for (int b = 0; b < 256 && only >= -1; ++b) {
        Config c = p.config;
        if (!engine_->reader.spells(b) || !step_byte(c, b)) continue;
        only = only < 0 && only == -1 ? b : -2;
        next = c;
      }
      if (only < 0) break;
      out.push_back(static_cast<char>(only));
      p.config = next;
    }
    return out;
  }

 private:
  // ------------------------------------------------------------------ collection
  struct Roots : Root {
    std::span<Point> points() override { return {}; }
  };
  void bound_memory() const {
    rules_->trim();
    std::size_t bytes = rules_->bytes();
    if (bytes > budget_ && bytes > 2 * kept_) collect(rules_->lexer_bytes() > budget_ / 4);
  }
  void collect(bool lexers) const {
    std::vector<Id> live;
    for (Root* r = roots_.next(); r; r = r->next())
      for (const Point& p : r->points()) live.push_back(p.config.a);
    RuleReader::Survivors kept = rules_->collect(live, lexers);
    for (Root* r = roots_.next(); r; r = r->next())
      for (Point& p : r->points()) p.config.a = kept.configurations(p.config.a);
    start_.config.a = rules_->start();
    masks_->collect(kept.alternatives, lexers);
    kept_ = rules_->bytes();
    ++collections_;
  }

  bool step_byte(Config& c, int b) const {
    if (!rules_) return engine_->reader.step(c, b);
    return (c.a = rules_->step(c.a, b)) != 0;
  }
  bool takes_special(const Point& p) const {
    if (!rules_) return false;
    for (auto& [token, terminals] : rules_->specials())
      if (rules_->step_special(p.config.a, token)) return true;
    return false;
  }
  // Tokens that spell the canonical completion of a configuration of the rules.
  std::int64_t tokens_left(Id c) const {
    std::int64_t n = 0;
    std::string text;
    auto spelled = [&] { n += vocabulary_->spell(text), text.clear(); };
    for (std::int32_t s : rules_->completion(c, 1u << 22)) {
      if (s < 256) text.push_back(static_cast<char>(s));
      else spelled(), ++n;
    }
    spelled();
    return n;
  }
  void start_rules(const Loader& loader, const std::int64_t* words, std::size_t n, const std::vector<std::string_view>& blobs, Id root,
                   std::int64_t compile_work, const Mode& documents, const SpecialTokens& specials) {
    if (!vocabulary_->trie.closed)
      throw SourceError(1, "a context-free grammar over a vocabulary in which some byte occurs inside tokens but is no token itself");
    LoadedRules loaded = RuleLoader(loader, engine_->values.re, engine_->meter).load(root, specials);
    std::unordered_map<Id, Document> roots;
    std::unique_lock<std::mutex> inner;
    if (!loaded.documents.empty()) {
      documents_ = vocabulary_->engine(mode_of_documents(documents, loader, loaded), source_);
      inner = std::unique_lock<std::mutex>(documents_->lock);
      documents_->meter.begin(compile_work, "compile_work");
      Loader other(documents_->values, blobs);
      other.load_nodes(words, n);
      for (auto& [terminal, node] : loaded.documents) check_indentation(*documents_, roots.emplace(terminal, other.document(node)).first->second);
    }
    std::unordered_map<std::int32_t, std::vector<Id>> by_token;
    for (auto& [terminal, name] : loaded.specials)
      for (std::int32_t token : specials.at(name)) by_token[token].push_back(terminal);
    rules_ = std::make_unique<RuleReader>(std::move(loaded.rules), engine_->values.re, engine_->meter,
                                          documents_ ? &documents_->reader : nullptr, std::move(roots), std::move(by_token));
    masks_ = std::make_unique<RuleMasks>(*rules_, documents_ ? &documents_->masks : nullptr, vocabulary_->trie, vocabulary_->size, engine_->meter);
    start_.config.lexer = Lexer::Rules;
    start_.config.a = rules_->start();
  }
  void clear_to_ends(std::uint32_t* row) const {
    std::memset(row, 0, static_cast<std::size_t>(vocabulary_->words()) * 4);
    add_ends(row);
  }
  // Pretty printing needs line feeds and spaces.
  static void check_indentation(Engine& engine, const Document& document) {
    if (document.kind != Document::kJson || document.whitespace != 2) return;
    for (int b : {'\n', ' '})
      if (!has(engine.values.re.alphabet(), b) || !engine.reader.spells(b))
        throw SourceError(1, "whitespace='pretty' over a vocabulary without line feeds, spaces or escapes");
  }
  void add_ends(std::uint32_t* row) const {
    for (std::int32_t t : vocabulary_->end_tokens) row[t >> 5] |= 1u << (t & 31);
  }
  // A vocabulary whose tokens do not include every single byte they are made of spells only concatenations of tokens:
  // a regular language, with which a regular document is intersected wherever a token has ended.
  void close_over_tokens() {
    if (document_.kind != Document::kRegex)
      throw SourceError(1, "JSON over a vocabulary in which some byte occurs inside tokens but is no token itself");
    std::vector<std::string_view> tokens;
    for (std::int32_t t = 0; t < vocabulary_->size; ++t)
      if (!vocabulary_->is_end(t) && !vocabulary_->trie.text(t).empty()) tokens.push_back(vocabulary_->trie.text(t));
    RegexStore& re = engine_->values.re;
    engine_->reader.concatenations = re.repeat(re.strings(tokens), 0, RegexStore::kUnbounded);
    Config c;
    c.lexer = Lexer::Raw;
    c.a = document_.root;
    if (!engine_->reader.at_boundary(c)) throw SourceError(2, "no text matches that the tokens spell");
  }

  static std::uint64_t hash_of(const std::int64_t* words, std::size_t n, const std::vector<std::string_view>& blobs) {
    std::uint64_t h = n;
    for (std::size_t i = 0; i < n; ++i) h = mix(h, static_cast<std::uint64_t>(words[i]));
    for (std::string_view b : blobs) h = mix(h, std::hash<std::string_view>()(b));
    return h;
  }

  std::shared_ptr<KernelVocabulary> vocabulary_;
  std::uint64_t source_;
  std::shared_ptr<Engine> engine_, documents_;  // documents_: of embedded JSON, if there is any
  std::unique_ptr<RuleReader> rules_;           // of a context-free grammar
  std::unique_ptr<RuleMasks> masks_;
  Document document_;
  mutable Point start_;
  std::int64_t mask_work_, compile_used_ = 0;
  mutable Roots roots_;
  mutable std::size_t budget_ = kBudget, kept_ = 0, collections_ = 0;
};

// The points of an operation on a whole text, which stay valid when its turn is renewed. Made and dropped under the lock.
template <std::size_t n>
struct Held : Root {
  std::array<Point, n> at;
  explicit Held(const Automaton& a) { attach(a.roots()); }
  ~Held() override { detach(); }
  std::span<Point> points() override { return at; }
};

}  // namespace constrain
