// Batches against single rows: fuzz_batch SECONDS [SEED]. Meant to be built with ThreadSanitizer.
//
// Each case is a vocabulary, a few random tables that the kernel takes (documents and regexes, two modes, work limits from hostile
// to ample) and a batch of rows at the ends of random walks, with and without budgets, some of them twice. The batch is filled in
// one thread over an engine of its own; then, over fresh engines, by several threads: cold, warm, and by two callers at once who
// take steps between. Rows, verdicts and errors must be the same bit by bit, whatever was computed before and by whom.
// Exit status: 0 if nothing was found, 1 otherwise; data races are reported by the sanitizer.
#include <cstdio>
#include <cstdlib>

#include "batch.hpp"
#include "tables.hpp"

namespace {

using namespace constrain;
using fuzz::Case;
using fuzz::Random;

struct Outcome {
  std::vector<std::uint32_t> bits;
  std::vector<char> fits;
  std::vector<std::string> errors;  // "" for none
  bool operator==(const Outcome&) const = default;
};

// Cases over one vocabulary, compiled in one, and matchers on them.
class World {
 public:
  World(const std::vector<Case>& cases, std::size_t shards) {
    const Case& first = cases[0];
    std::string data;
    std::vector<std::int32_t> offsets = {0};
    std::vector<std::uint8_t> flags;
    for (const std::string& t : first.tokens) {
      data += t;
      offsets.push_back(static_cast<std::int32_t>(data.size()));
      flags.push_back(!t.empty());
    }
    vocabulary_ = std::make_shared<KernelVocabulary>(data, offsets.data(), flags.data(), static_cast<std::int32_t>(first.tokens.size()), first.ends, shards);
    for (const Case& c : cases) {
      std::vector<std::string_view> blobs(c.blobs.begin(), c.blobs.end());
      try {
        automata_.push_back(std::make_unique<Automaton>(vocabulary_, c.mode, c.words.data(), c.words.size(), blobs, c.root, c.compile_work, c.mask_work, c.mode, SpecialTokens{}));
      } catch (const LimitError&) {
      } catch (const SourceError&) {
      }
    }
  }
  ~World() { drop(); }
  bool empty() const { return automata_.empty(); }
  std::int32_t words() const { return vocabulary_->words(); }

  // `n` points at the ends of walks over any tokens that step.
  void place(std::size_t n, Random r) {
    drop();
    for (std::size_t i = 0; i < n; ++i) {
      owner_.push_back(i % automata_.size());
      points_.push_back(i && r.chance(20) && owner_[i - 1] == owner_[i] ? points_[i - 1] : walk(*automata_[owner_[i]], r));
      budgets_.push_back(r.chance(25) ? std::optional<std::int64_t>(r.below(12) - 2) : std::nullopt);
    }
  }
  Outcome fill(unsigned threads) {
    Outcome out;
    const std::size_t words = static_cast<std::size_t>(vocabulary_->words());
    out.bits.assign(points_.size() * words, 0xdeadbeefu);
    std::vector<BatchRow> rows(points_.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i].automaton = automata_[owner_[i]].get(), rows[i].point = &points_[i];
      rows[i].row = out.bits.data() + i * words, rows[i].budget = budgets_[i];
    }
    try {
      Batch::fill(rows, threads);
    } catch (const LimitError&) {
    } catch (const SourceError&) {
    }
    for (const BatchRow& r : rows) {
      out.fits.push_back(r.fits);
      out.errors.push_back(name(r.error));
    }
    return out;
  }
  // Single steps of another caller, over automata of the same engines.
  void walk_about(std::uint64_t seed) {
    Random r(seed);
    for (int k = 0; k < 20; ++k) {
      const Automaton& a = *automata_[static_cast<std::size_t>(r.below(static_cast<std::int64_t>(automata_.size())))];
      Point p = walk(a, r);
      {
        Automaton::Guard guard(a);
        p = Point{};
      }
      vocabulary_->stats();
      vocabulary_->engine_bytes();
    }
  }

 private:
  static std::string name(const std::exception_ptr& error) {
    if (!error) return "";
    try {
      std::rethrow_exception(error);
    } catch (const LimitError&) {
      return "limit";
    } catch (const std::exception& e) {
      return e.what();
    }
  }
  Point walk(const Automaton& a, Random& r) {
    Automaton::Turn turn(a);
    Point here = a.start();
    for (std::int64_t left = r.below(40); left > 0; --left) {
      Point next = here;
      bool legal = false;
      turn.renew();
      try {
        legal = a.step(next, static_cast<std::int32_t>(r.below(vocabulary_->size)));
      } catch (const LimitError&) {
      } catch (const SourceError&) {
      }
      if (legal) here = next;
    }
    return here;
  }
  void drop() {
    for (std::size_t i = 0; i < points_.size(); ++i) {
      Automaton::Guard guard(*automata_[owner_[i]]);
      points_[i] = Point{};
    }
    points_.clear(), owner_.clear(), budgets_.clear();
  }

  std::shared_ptr<KernelVocabulary> vocabulary_;
  std::vector<std::unique_ptr<Automaton>> automata_;
  std::vector<std::size_t> owner_;
  std::vector<Point> points_;
  std::vector<std::optional<std::int64_t>> budgets_;
};

int found = 0;
void require(bool holds, const char* law, std::uint64_t number) {
  if (holds) return;
  ++found;
  std::printf("FOUND %s (case %llu)\n", law, static_cast<unsigned long long>(number));
  std::fflush(stdout);
}

std::int64_t check(std::uint64_t number) {
  Random r(number);
  std::vector<Case> cases = {fuzz::random_case(r.next())};
  for (std::int64_t n = 1 + r.below(6); n-- > 0;) {
    Case c = fuzz::random_case(r.next());
    c.tokens = cases[0].tokens, c.ends = cases[0].ends;
    cases.push_back(std::move(c));
  }
  const std::size_t shards = static_cast<std::size_t>(1 + r.below(3)), n = static_cast<std::size_t>(1 + r.below(40));
  const Random walks(r.next());
  World alone(cases, shards);
  if (alone.empty()) return 0;
  alone.place(n, walks);
  const Outcome expected = alone.fill(1);
  require(alone.fill(1) == expected, "a row depends on what was filled before", number);
  World together(cases, shards);
  together.place(n, walks);
  require(together.fill(4) == expected, "a cold batch depends on its threads", number);
  require(together.fill(3) == expected, "a warm batch depends on its threads", number);
  World beside(cases, shards);
  beside.place(n, walks);
  Outcome other;
  std::thread caller([&] { other = beside.fill(2); });
  std::thread walker([&] { beside.walk_about(number); });
  require(beside.fill(2) == expected, "a batch depends on other callers", number);
  caller.join(), walker.join();
  require(other == expected, "a batch depends on the caller beside it", number);
  return static_cast<std::int64_t>(n);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s SECONDS [SEED]\n", argv[0]);
    return 2;
  }
  const double seconds = std::atof(argv[1]);
  const std::uint64_t first = argc > 2 ? std::strtoull(argv[2], nullptr, 0) << 32 : 0;
  std::uint64_t at = first;
  std::int64_t rows = 0;
  auto begin = std::chrono::steady_clock::now();
  while (std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < seconds) rows += check(at++);
  std::printf("%llu cases, %lld rows; %d findings\n", static_cast<unsigned long long>(at - first), static_cast<long long>(rows), found);
  return found ? 1 : 0;
}
