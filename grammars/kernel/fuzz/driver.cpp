// The fuzz driver of the kernel: fuzz_kernel SECONDS [SEED [CASE]], from the number of a case on if one is given. Meant to be built with AddressSanitizer and UndefinedBehaviorSanitizer.
//
// Cases are numbered from the seed, and each follows from its number alone. A child process works through a batch, so that a
// crash costs one case; the parent knows the case, shrinks it with one child for each candidate, and prints what remains.
// Findings are told apart by the law that broke or by the place of the crash; each is shown once and counted afterwards.
// Exit status: 0 if nothing was found, 1 otherwise.
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "laws.hpp"

extern "C" const char* __asan_default_options() { return "detect_leaks=0:hard_rss_limit_mb=3000:allocator_may_return_null=0"; }
extern "C" const char* __ubsan_default_options() { return "halt_on_error=1:print_stacktrace=1"; }

namespace {

constexpr std::uint64_t kBatch = 200;
constexpr int kTries = 300;  // of the shrinker, for one finding
constexpr unsigned kCaseSeconds = 60;  // of processor time, far beyond what the work limits of a case allow

struct Shared {  // written by the child
  std::uint64_t at;
  std::int64_t states, warmth;
};
Shared* shared = nullptr;
std::string log_path;

[[noreturn]] void give_up(const std::string& law) {
  std::fprintf(stderr, "LAW: %s\n", law.c_str());
  std::fflush(stderr);
  _exit(2);
}

std::int64_t check(const fuzz::Case& c) {
  itimerval limit{{0, 0}, {kCaseSeconds, 0}};
  setitimer(ITIMER_PROF, &limit, nullptr);
  fuzz::Laws laws(c);
  try {
    std::int64_t states = laws.check();
    shared->warmth += laws.warmth();
    return states;
  } catch (const std::exception& e) {
    give_up(e.what() + (" | after " + laws.place()));
  }
}

// Runs `work` in a child. Returns "" if it went well, else what the finding is called.
template <class F>
std::string in_child(F work) {
  std::fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    if (!std::freopen(log_path.c_str(), "w", stderr)) _exit(3);
    rlimit none{0, 0};
    setrlimit(RLIMIT_CORE, &none);
    work();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF) return "a case that does not end in " + std::to_string(kCaseSeconds) + " s";
  std::ifstream log(log_path);
  std::string line, error, frame;
  while (std::getline(log, line)) {
    if (line.rfind("LAW: ", 0) == 0) return line;
    std::size_t at = line.find("runtime error: ");
    if (at != std::string::npos && error.empty()) {
      std::size_t slash = line.rfind('/', at);
      error = line.substr(slash == std::string::npos ? 0 : slash + 1);
    }
    if (line.rfind("SUMMARY: ", 0) == 0 && error.empty()) error = line;
    at = line.find(" in constrain::");
    if (at != std::string::npos && frame.empty()) frame = line.substr(at + 4, line.find('(', at) - at - 4);
  }
  return "crash: " + (error.empty() ? "status " + std::to_string(status) : error) + " in " + frame;
}

// Numbers in a name (addresses, values) and the place of a walk do not tell findings apart.
std::string key(const std::string& name) {
  std::string out;
  for (char ch : name.substr(0, name.find(" | ")))
    if (ch < '0' || ch > '9') out.push_back(ch);
  return out;
}

class Shrinker {
 public:
  Shrinker(fuzz::Case c, std::string key_) : best_(std::move(c)), key_(std::move(key_)) {}

  fuzz::Case run() {
    for (bool smaller = true; smaller && tries_ < kTries;) {
      smaller = false;
      smaller |= tokens();
      smaller |= nodes();
      smaller |= plain_words();
    }
    return best_;
  }

 private:
  bool attempt(const fuzz::Case& c) {
    if (++tries_ > kTries) return false;
    if (key(in_child([&] { check(c); })) != key_) return false;
    best_ = c;
    return true;
  }
  bool tokens() {
    bool smaller = false;
    for (std::size_t step = best_.tokens.size() / 2 + 1; step > 0; step /= 2) {
      for (std::size_t i = 0; i < best_.tokens.size();) {
        fuzz::Case c = best_;
        std::size_t n = std::min(step, c.tokens.size() - i);
        if (std::any_of(c.ends.begin(), c.ends.end(), [&](std::int32_t e) { return static_cast<std::size_t>(e) >= i && static_cast<std::size_t>(e) < i + n; })) {
          i += step;
          continue;
        }
        c.tokens.erase(c.tokens.begin() + static_cast<std::ptrdiff_t>(i), c.tokens.begin() + static_cast<std::ptrdiff_t>(i + n));
        for (auto& [name, ids] : c.specials) {
          std::erase_if(ids, [&](std::int32_t id) { return static_cast<std::size_t>(id) >= i && static_cast<std::size_t>(id) < i + n; });
          for (std::int32_t& id : ids)
            if (static_cast<std::size_t>(id) >= i + n) id -= static_cast<std::int32_t>(n);
        }
        for (std::int32_t& e : c.ends)
          if (static_cast<std::size_t>(e) > i) e -= static_cast<std::int32_t>(n);
        if (attempt(c)) smaller = true;
        else i += step;
      }
    }
    return smaller;
  }
  bool nodes() {
    bool smaller = false;
    auto parsed = fuzz::split(best_.words);
    if (!parsed) return false;
    for (std::size_t i = parsed->size(); i-- > 0;) {
      for (std::int64_t op : {constrain::kOpTrue, constrain::kOpFalse, constrain::kOpEmpty, constrain::kOpEpsilon}) {
        auto now = *fuzz::split(best_.words);
        if (i >= now.size() || now[i].x.empty()) break;
        now[i] = {op, {}};
        if (replace(now)) {
          smaller = true;
          break;
        }
      }
      auto now = *fuzz::split(best_.words);
      if (i >= now.size()) continue;
      bool list = now[i].op == constrain::kOpConcat || now[i].op == constrain::kOpStrings || (now[i].op >= constrain::kOpAnd && now[i].op <= constrain::kOpOneOf);
      for (std::size_t k = 0; list && k < now[i].x.size() && now[i].x.size() > 1;) {
        auto less = now;
        less[i].x.erase(less[i].x.begin() + static_cast<std::ptrdiff_t>(k));
        if (replace(less)) now = less, smaller = true;
        else ++k;
      }
      smaller |= remove(i);
    }
    return smaller;
  }
  bool replace(const std::vector<fuzz::Node>& nodes) {
    fuzz::Case c = best_;
    c.words = fuzz::join(nodes);
    return attempt(c);
  }
  // Takes out node i; later ones move down, and what referred to it refers to its first operand.
  bool remove(std::size_t i) {
    auto now = *fuzz::split(best_.words);
    if (i >= now.size() || now.size() < 2) return false;
    std::int64_t gone = static_cast<std::int64_t>(i), instead = 0;
    auto own = fuzz::references(now[i]);
    if (!own.empty()) instead = now[i].x[own[0]];
    now.erase(now.begin() + gone);
    auto moved = [&](std::int64_t x) {
      if (x == gone) x = instead;
      return x > gone ? x - 1 : x;
    };
    for (fuzz::Node& n : now)
      for (std::size_t k : fuzz::references(n)) n.x[k] = moved(n.x[k]);
    fuzz::Case c = best_;
    c.words = fuzz::join(now);
    c.root = static_cast<constrain::Id>(moved(c.root));
    return attempt(c);
  }
  bool plain_words() {
    bool smaller = false;
    if (!fuzz::split(best_.words))
      for (std::size_t i = best_.words.size(); i-- > 0;) {
        fuzz::Case c = best_;
        c.words.erase(c.words.begin() + static_cast<std::ptrdiff_t>(i));
        smaller |= attempt(c);
      }
    for (std::size_t i = 0; i < best_.blobs.size(); ++i)
      for (std::size_t k = best_.blobs[i].size(); k-- > 0;) {
        fuzz::Case c = best_;
        c.blobs[i].erase(k, 1);
        smaller |= attempt(c);
      }
    for (int k = 0; k < 4; ++k) {
      fuzz::Case c = best_;
      if (k == 0 && c.mode.plain) c.mode.plain = false;
      else if (k == 1 && c.mode.ordered) c.mode.ordered = false;
      else if (k == 2 && c.mask_work < 4'000) c.mask_work = 4'000;
      else if (k == 3 && c.compile_work != 50'000) c.compile_work = 50'000;
      else continue;
      smaller |= attempt(c);
    }
    return smaller;
  }

  fuzz::Case best_;
  std::string key_;
  int tries_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s SECONDS [SEED [CASE]]\n", argv[0]);
    return 2;
  }
  double seconds = std::atof(argv[1]);
  std::uint64_t first = argc > 2 ? std::strtoull(argv[2], nullptr, 0) << 32 : 0;
  if (argc > 3) first = std::strtoull(argv[3], nullptr, 0);
  std::uint64_t at = first;
  shared = static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (shared == MAP_FAILED) return 2;
  *shared = {};
  std::string name = (std::filesystem::temp_directory_path() / "fuzz_kernel_XXXXXX").string();
  int file = mkstemp(name.data());
  if (file < 0) return 2;
  close(file);
  log_path = name;
  std::map<std::string, std::int64_t> found;
  auto begin = std::chrono::steady_clock::now();
  auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  while (elapsed() < seconds) {
    std::string what = in_child([&] {
      for (std::uint64_t i = at; i < at + kBatch; ++i) {
        shared->at = i;
        shared->states += check(fuzz::random_case(i));
      }
    });
    if (what.empty()) {
      at += kBatch;
      continue;
    }
    at = shared->at + 1;
    if (found[key(what)]++) continue;
    std::uint64_t number = shared->at;
    fuzz::Case small = Shrinker(fuzz::random_case(number), key(what)).run();
    what = in_child([&] { check(small); });
    std::printf("FOUND %s\n  (case %llu)\n%s\n", what.c_str(), static_cast<unsigned long long>(number), fuzz::shown(small).c_str());
    std::fflush(stdout);
  }
  unlink(name.c_str());
  std::printf("%llu cases, %lld states checked in %.0f s; %zu findings\n", static_cast<unsigned long long>(at - first), static_cast<long long>(shared->states), elapsed(), found.size());
  std::printf("%lld operations met a work limit cold and not warm, or the other way round\n", static_cast<long long>(shared->warmth));
  for (auto& [k, n] : found) std::printf("  %lld x %s\n", static_cast<long long>(n), k.c_str());
  return found.empty() ? 0 : 1;
}
