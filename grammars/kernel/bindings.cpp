// The Python module: buffers in, values out, errors translated. No policy here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unordered_map.h>
#include <nanobind/stl/vector.h>

#include "batch.hpp"
#include "crossings.hpp"
#include "diagnosis.hpp"

namespace nb = nanobind;
using namespace constrain;

namespace {

[[noreturn]] void raise_python(const char* type, nb::object argument) {
  nb::object error = nb::module_::import_("grammars.errors").attr(type);
  PyErr_SetObject(error.ptr(), argument.ptr());
  throw nb::python_error();
}

void translate(const std::exception_ptr& p, void*) {
  try {
    std::rethrow_exception(p);
  } catch (const LimitError& e) {
    nb::object type = nb::module_::import_("grammars.errors").attr("LimitExceeded");
    nb::object made = type(e.given, e.limit, std::string(e.what()));
    PyErr_SetObject(type.ptr(), made.ptr());
  } catch (const SourceError& e) {
    const char* names[] = {"GrammarError", "UnsupportedFeature", "EmptyLanguage"};
    nb::object type = nb::module_::import_("grammars.errors").attr(names[e.kind]);
    nb::object made = type(std::string(e.what()));
    PyErr_SetObject(type.ptr(), made.ptr());
  }
}

// Mask rows: one row or [n, words], 32-bit integers on the CPU. Resolved once and recognised by identity afterwards; the
// object is kept alive so that its identity cannot be taken over.
struct Rows {
  nb::object owner;
  std::uint32_t* data = nullptr;
  std::int64_t count = 0, width = 0, stride = 0;

  void resolve(nb::handle rows, std::int32_t words) {
    if (rows.ptr() == owner.ptr() && width >= words) return;
    nb::ndarray<nb::device::cpu> a;
    try {
      a = nb::cast<nb::ndarray<nb::device::cpu>>(rows);
    } catch (const nb::cast_error&) {
      raise_python("VocabularyError", nb::str("mask rows must be a writable int32 or uint32 array on the CPU"));
    }
    bool integer = a.dtype().bits == 32 && (a.dtype().code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::Int) ||
                                            a.dtype().code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::UInt));
    if (!integer || (a.ndim() != 1 && a.ndim() != 2) || a.stride(a.ndim() - 1) != 1)
      raise_python("VocabularyError", nb::str("mask rows must be one row or [n, words] of int32 or uint32, contiguous in a row"));
    std::int64_t wide = static_cast<std::int64_t>(a.shape(a.ndim() - 1));
    if (wide < words)
      raise_python("VocabularyError",
                   nb::str(("a mask row of " + std::to_string(wide) + " words is too short; this vocabulary needs " + std::to_string(words)).c_str()));
    data = static_cast<std::uint32_t*>(a.data());
    width = wide;
    count = a.ndim() == 1 ? 1 : static_cast<std::int64_t>(a.shape(0));
    stride = a.ndim() == 1 ? 0 : a.stride(0);
    owner = nb::borrow(rows);
  }
  std::uint32_t* row(std::int64_t index) const {
    if (index < 0 || index >= count) throw nb::index_error("the mask has no such row");
    return data + index * stride;
  }
  void clear_tail(std::uint32_t* row, std::int32_t words) const {
    if (width > words) std::memset(row + words, 0, static_cast<std::size_t>(width - words) * 4);
  }
};

struct PyVocabulary {
  std::shared_ptr<KernelVocabulary> kernel;
  Rows rows;
};

struct PyAutomaton;
struct PyState : Root {
  std::shared_ptr<PyAutomaton> automaton;
  Point point;
  std::span<Point> points() override { return {&point, 1}; }
  ~PyState() override;
};
struct PyAutomaton : std::enable_shared_from_this<PyAutomaton> {
  std::shared_ptr<PyVocabulary> vocabulary;
  std::unique_ptr<Automaton> a;
};
// Frames are counted without atomics: whoever drops one holds the engine's lock.
PyState::~PyState() {
  if (!automaton) return;
  Automaton::Guard guard(*automaton->a);
  detach();
  point = Point{};
}

struct PyMatcher : Root {
  std::shared_ptr<PyAutomaton> automaton;
  std::vector<Point> history;  // history.back() is where we are
  PyMatcher(std::shared_ptr<PyAutomaton> owner, const Point& start) : automaton(std::move(owner)) {
    Automaton::Guard guard(*automaton->a);
    history.push_back(start);
    attach(automaton->a->roots());
  }
  ~PyMatcher() override {
    Automaton::Guard guard(*automaton->a);
    detach();
    history.clear();
  }
  std::span<Point> points() override { return history; }
  const Automaton& a() const { return *automaton->a; }
  const Point& here() const { return history.back(); }
};

std::shared_ptr<PyState> make_state(const std::shared_ptr<PyAutomaton>& a, Point p) {  // needs a Turn
  auto s = std::make_shared<PyState>();
  s->automaton = a;
  s->point = std::move(p);
  s->attach(a->a->roots());
  return s;
}

bool fill_row(const Automaton& a, const Point& p, Rows& rows, std::int64_t index, nb::object budget) {
  std::int32_t words = a.vocabulary()->words();
  std::uint32_t* row = rows.row(index);
  bool fits = true;
  if (!budget.is_none()) {
    const std::int64_t most = nb::cast<std::int64_t>(budget);
    Automaton::Turn turn(a);
    fits = a.fill_within(p, row, most);
  } else if (!a.fill_published(p, row)) {
    Automaton::Turn turn(a);
    a.fill(p, row);
  }
  rows.clear_tail(row, words);
  return fits;
}

nb::tuple names_of(const Progress& p) { return nb::make_tuple(p.reading, p.next, p.rules); }

void check_same(const PyAutomaton& a, const PyState& s) {
  if (s.automaton.get() != &a) throw nb::value_error("the state belongs to another automaton");
}

}  // namespace

NB_MODULE(_kernel, m) {
  // What module-level variables hold is still alive when the interpreter ends; that is no leak.
  nb::set_leak_warnings(false);
  nb::register_exception_translator(translate);
  m.doc() = "Native kernel: vocabularies, token automata and matchers.";

  nb::class_<PyVocabulary>(m, "KernelVocabulary")
      .def("__init__",
           [](PyVocabulary* self, nb::bytes data, nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> offsets,
              nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> flags, std::vector<std::int32_t> ends, std::size_t shards) {
             if (offsets.shape(0) != flags.shape(0) + 1) throw nb::value_error("offsets must have one entry more than flags");
             const std::int32_t* o = offsets.data();
             for (std::size_t i = 0; i + 1 < offsets.shape(0); ++i)
               if (o[i] < 0 || o[i + 1] < o[i]) throw nb::value_error("offsets must not decrease");
             if (o[offsets.shape(0) - 1] > static_cast<std::int64_t>(data.size())) throw nb::value_error("offsets reach beyond the data");
             new (self) PyVocabulary{std::make_shared<KernelVocabulary>(std::string_view(data.c_str(), data.size()), o, flags.data(),
                                                                        static_cast<std::int32_t>(flags.shape(0)), std::move(ends), shards),
                                     {}};
           }, nb::arg("data"), nb::arg("offsets"), nb::arg("flags"), nb::arg("ends"), nb::arg("shards") = 1)
      .def_prop_ro("words", [](const PyVocabulary& v) { return v.kernel->words(); })
      .def_prop_ro("trie_nodes", [](const PyVocabulary& v) { return v.kernel->trie.all.size(); })
      .def_prop_ro("trie_bytes", [](const PyVocabulary& v) { return v.kernel->trie.bytes() + v.kernel->level.bytes(); })
      .def_prop_ro("engine_bytes", [](const PyVocabulary& v) { return v.kernel->engine_bytes(); })
      .def_prop_ro("closed", [](const PyVocabulary& v) { return v.kernel->trie.closed; })
      .def_prop_rw("engine_budget", [](const PyVocabulary& v) { return v.kernel->engine_budget; },
                   [](PyVocabulary& v, std::size_t bytes) { v.kernel->engine_budget = bytes; })
      .def_prop_ro("shards", [](const PyVocabulary& v) { return v.kernel->shards; })
      .def("clear", [](PyVocabulary& v) { v.kernel->clear(); })
      .def("stats",
           [](const PyVocabulary& v) {
             MaskStats s = v.kernel->stats();
             nb::dict d;
             d["fills"] = s.fills, d["judgements"] = s.judgements, d["judgement_hits"] = s.hits, d["trie_nodes_visited"] = s.nodes;
             d["interiors_built"] = s.interiors, d["interior_hits"] = s.interior_hits, d["memo_clears"] = s.clears;
             d["published_hits"] = s.published_hits;
             return d;
           })
      .def("spell", [](const PyVocabulary& v, nb::bytes text) { return v.kernel->spell(std::string_view(text.c_str(), text.size())); })
      .def("extends",
           [](const PyVocabulary& v, nb::bytes text) {
             std::int32_t node = v.kernel->trie.find(std::string_view(text.c_str(), text.size()));
             return node >= 0 && v.kernel->trie.all.end[node] > node + 1;
           })
      .def("longest_tokens",
           [](const PyVocabulary& v, nb::bytes text) {
             const Trie& t = v.kernel->trie;
             std::vector<std::int32_t> out;
             std::string_view s(text.c_str(), text.size());
             while (!s.empty()) {
               std::int32_t node = -1, token = -1;
               std::size_t used = 0;
               for (std::size_t i = 0; i < s.size(); ++i) {
                 node = t.child(node, static_cast<unsigned char>(s[i]));
                 if (node < 0) break;
                 if (t.all.first[node] < t.all.first[node + 1]) token = t.all.tokens[t.all.first[node]], used = i + 1;
               }
               if (token < 0) break;
               out.push_back(token);
               s.remove_prefix(used);
             }
             return out;
           });

  nb::class_<PyState>(m, "State")
      .def("__eq__", [](const PyState& s, const PyState& o) {
        if (s.automaton != o.automaton) return false;
        Automaton::Guard guard(*s.automaton->a);
        return s.point == o.point;
      }, nb::is_operator())
      .def("__hash__", [](const PyState& s) {
        Automaton::Guard guard(*s.automaton->a);
        return static_cast<Py_hash_t>(s.automaton->a->hash(s.point) >> 2);
      })
      .def_prop_ro("ended", [](const PyState& s) { return s.point.ended; });

  nb::class_<PyAutomaton>(m, "Automaton")
      .def_static("compile",
                  [](std::shared_ptr<PyVocabulary> v, nb::bytes words, std::vector<nb::bytes> blobs, int root, bool raw, bool plain, bool ordered,
                     int digits, int exponent_digits, std::int64_t compile_work, std::int64_t mask_work, const SpecialTokens& specials) {
                    std::vector<std::string_view> views;
                    for (const nb::bytes& b : blobs) views.emplace_back(b.c_str(), b.size());
                    auto made = std::make_shared<PyAutomaton>();
                    made->vocabulary = v;
                    made->a = std::make_unique<Automaton>(v->kernel, Mode{raw, plain, ordered, digits, exponent_digits},
                                                          reinterpret_cast<const std::int64_t*>(words.c_str()), words.size() / 8, views, root,
                                                          compile_work, mask_work, Mode{false, plain, ordered, digits, exponent_digits}, specials);
                    return made;
                  })
      .def_prop_ro("rule_bytes", [](const PyAutomaton& a) { return a.a->rule_bytes(); })
      .def_prop_ro("inseparable", [](const PyAutomaton& a) { return a.a->inseparable(); })
      .def("rule_stats",
           [](const PyAutomaton& a) {
             nb::dict d;
             if (const RuleMasks* m = a.a->rule_masks()) {
               MaskStats s = m->stats();
               d["fills"] = s.fills, d["hits"] = s.hits, d["misses"] = s.judgements;
               d["interiors_built"] = s.interiors, d["interior_hits"] = s.interior_hits;
               d["trie_nodes_visited"] = s.nodes, d["memo_clears"] = s.clears;
             }
             return d;
           })
      .def_prop_ro("compile_work", [](const PyAutomaton& a) { return a.a->compile_used(); })
      .def("start", [](std::shared_ptr<PyAutomaton> a) {
        Automaton::Turn turn(*a->a);
        return make_state(a, a->a->start());
      })
      .def("step", [](std::shared_ptr<PyAutomaton> a, const PyState& s, std::int32_t token) -> std::shared_ptr<PyState> {
        check_same(*a, s);
        Automaton::Turn turn(*a->a);
        Point p = s.point;
        if (!a->a->step(p, token)) return nullptr;
        return make_state(a, std::move(p));
      })
      .def("fill", [](PyAutomaton& a, const PyState& s, nb::handle rows, std::int64_t index, nb::object budget) {
        check_same(a, s);
        a.vocabulary->rows.resolve(rows, a.vocabulary->kernel->words());
        return fill_row(*a.a, s.point, a.vocabulary->rows, index, budget);
      }, nb::arg("state"), nb::arg("rows"), nb::arg("index") = 0, nb::arg("budget").none() = nb::none())
      .def("allows", [](PyAutomaton& a, const PyState& s, std::int32_t token) {
        check_same(a, s);
        Automaton::Turn turn(*a.a);
        Point p = s.point;
        return a.a->step(p, token);
      })
      .def("accepting", [](PyAutomaton& a, const PyState& s) {
        check_same(a, s);
        Automaton::Turn turn(*a.a);
        return a.a->accepting(s.point);
      })
      .def("memory", [](const PyAutomaton& a) {
        Automaton::Memory m = a.a->memory();
        nb::dict d;
        d["rules"] = m.rules, d["masks"] = m.masks, d["budget"] = m.budget, d["collections"] = m.collections;
        return d;
      })
      .def("set_budget", [](PyAutomaton& a, std::size_t bytes) { a.a->set_budget(bytes); })
      .def("clear", [](PyAutomaton& a) { a.a->clear(); })
      .def("read", [](PyAutomaton& a, nb::bytes text) {
        Automaton::Turn turn(*a.a);
        Held<1> held(*a.a);
        Point& p = held.at[0];
        p = a.a->between_tokens(a.a->start());
        std::int64_t n = 0;
        for (; n < static_cast<std::int64_t>(text.size()); ++n, turn.renew())
          if (!a.a->run(p, std::string_view(text.c_str() + n, 1))) return nb::make_tuple(n, false);
        return nb::make_tuple(n, a.a->accepting(p));
      })
      .def("diagnose", [](PyAutomaton& a, nb::bytes text) {
        Automaton::Turn turn(*a.a);
        Diagnosis d = diagnose(*a.a, std::string_view(text.c_str(), text.size()), [&] { turn.renew(); });
        nb::object completion = nb::none();
        if (d.completion) completion = nb::bytes(d.completion->data(), d.completion->size());
        return nb::make_tuple(d.viable, d.place, d.accepted, nb::bytes(d.expected.data(), d.expected.size()), completion, names_of(d.progress));
      });

  nb::class_<PyMatcher>(m, "KernelMatcher")
      .def("__init__", [](PyMatcher* self, std::shared_ptr<PyAutomaton> a, nb::object state) {
        if (state.is_none()) {
          new (self) PyMatcher(a, a->a->start());
        } else {
          const PyState& s = nb::cast<const PyState&>(state);
          check_same(*a, s);
          new (self) PyMatcher(a, s.point);
        }
      }, nb::arg("automaton"), nb::arg("state").none() = nb::none())
      .def("fill_mask", [](PyMatcher& self, nb::handle rows, std::int64_t index, nb::object budget) {
        Rows& r = self.automaton->vocabulary->rows;
        r.resolve(rows, self.automaton->vocabulary->kernel->words());
        return fill_row(self.a(), self.here(), r, index, budget);
      }, nb::arg("rows"), nb::arg("index") = 0, nb::arg("budget").none() = nb::none())
      .def("allows", [](PyMatcher& self, std::int32_t token) {
        Automaton::Turn turn(self.a());
        Point p = self.here();
        return self.a().step(p, token);
      })
      .def("advance", [](PyMatcher& self, std::int32_t token) {
        Automaton::Turn turn(self.a());
        Point p = self.here();
        if (!self.a().step(p, token)) return false;
        self.history.push_back(std::move(p));
        return true;
      })
      .def("validate", [](PyMatcher& self, const std::vector<std::int32_t>& tokens) {
        Automaton::Turn turn(self.a());
        Point p = self.here();
        std::int64_t n = 0;
        for (std::int32_t t : tokens) {
          if (!self.a().step(p, t)) break;
          ++n;
          if (p.ended) break;
        }
        return n;
      })
      .def("rollback", [](PyMatcher& self, std::int64_t n) {
        if (n < 0 || n >= static_cast<std::int64_t>(self.history.size())) throw nb::value_error("rollback goes beyond the start");
        Automaton::Guard guard(self.a());
        self.history.resize(self.history.size() - static_cast<std::size_t>(n));
      })
      .def("reset", [](PyMatcher& self) {
        Automaton::Guard guard(self.a());
        self.history.resize(1);
      })
      .def("fork", [](PyMatcher& self) {
        nb::object made = nb::type<PyMatcher>()(nb::cast(self.automaton), nb::none());
        PyMatcher& other = nb::cast<PyMatcher&>(made);
        Automaton::Guard guard(self.a());
        other.history = self.history;
        return made;
      })
      .def_prop_ro("state", [](PyMatcher& self) {
        Automaton::Turn turn(self.a());
        return make_state(self.automaton, self.here());
      })
      .def_prop_ro("length", [](PyMatcher& self) { return self.history.size() - 1; })
      .def_prop_ro("ended", [](PyMatcher& self) { return self.here().ended; })
      .def_prop_ro("accepting", [](PyMatcher& self) {
        Automaton::Turn turn(self.a());
        return self.here().ended || self.a().accepting(self.here());
      })
      .def_prop_ro("finished", [](PyMatcher& self) {
        Automaton::Turn turn(self.a());
        return self.a().finished(self.here());
      })
      .def("distance", [](PyMatcher& self) {
        Automaton::Turn turn(self.a());
        return self.a().distance(self.here());
      })
      .def("completion", [](PyMatcher& self) {
        Automaton::Turn turn(self.a());
        std::string s = self.a().completion(self.here());
        return nb::bytes(s.data(), s.size());
      })
      .def("forced_bytes", [](PyMatcher& self, std::size_t most) {
        Automaton::Turn turn(self.a());
        std::string s = self.a().forced(self.here(), most);
        return nb::bytes(s.data(), s.size());
      }, nb::arg("most") = 4096)
      .def("next_bytes", [](PyMatcher& self) {
        Automaton::Turn turn(self.a());
        std::string s = bytes_at(self.a(), self.a().between_tokens(self.here()));
        return nb::bytes(s.data(), s.size());
      })
      .def("progress", [](PyMatcher& self) {
        Automaton::Turn turn(self.a());
        const Point here = self.a().between_tokens(self.here());
        return names_of(progress_at(self.a(), here, bytes_at(self.a(), here)));
      });

  m.def("crossings", [](nb::bytes words, std::vector<nb::bytes> blobs, std::int64_t root, const std::vector<std::int64_t>& terminals,
                        std::size_t states, std::int64_t work) {
    std::vector<std::string_view> views;
    for (const nb::bytes& b : blobs) views.emplace_back(b.c_str(), b.size());
    const ByteSet every{~0ull, ~0ull, ~0ull, ~0ull};
    Meter meter;
    Values values(every, every, meter);
    meter.begin(work, "compile_work (an intersection with a regular grammar)");
    Loader loader(values, views);
    loader.load_nodes(reinterpret_cast<const std::int64_t*>(words.c_str()), words.size() / 8);
    Dfa dfa = minimal_automaton(values.re, loader.regex(root), states, meter);
    nb::list rows, accepting, crossed, firsts;
    for (std::size_t s = 0; s < dfa.states(); ++s) {
      auto first = dfa.next.begin() + static_cast<std::ptrdiff_t>(s * dfa.classes);
      rows.append(std::vector<Id>(first, first + static_cast<std::ptrdiff_t>(dfa.classes)));
      accepting.append(static_cast<bool>(dfa.accepting[s]));
    }
    for (std::int64_t t : terminals) {
      crossed.append(crossings(values.re, loader.regex(t), dfa, meter));
      firsts.append(first_classes(values.re, loader.regex(t), dfa));
    }
    nb::bytes classes(reinterpret_cast<const char*>(dfa.class_of.data()), 256);
    return nb::make_tuple(classes, rows, accepting, crossed, firsts);
  });

  m.def("fill_masks", [](const std::vector<nb::object>& matchers, nb::handle rows, nb::object budgets, std::optional<std::int64_t> threads) {
    if (threads && *threads < 1) throw nb::value_error("a batch needs at least one thread");
    std::vector<PyMatcher*> all;
    for (const nb::object& o : matchers) all.push_back(&nb::cast<PyMatcher&>(o));
    std::vector<std::optional<std::int64_t>> limits(budgets.is_none() ? all.size() : 0);
    if (!budgets.is_none())
      for (nb::handle b : budgets) limits.push_back(b.is_none() ? std::nullopt : std::optional(nb::cast<std::int64_t>(b)));
    if (limits.size() != all.size()) throw nb::value_error("one budget for each matcher, or none at all");
    if (all.empty()) return nb::list();
    Rows r;
    std::int32_t words = 0;
    for (PyMatcher* p : all) words = std::max(words, p->automaton->vocabulary->kernel->words());
    r.resolve(rows, words);
    std::vector<BatchRow> batch(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      batch[i].automaton = &all[i]->a(), batch[i].point = &all[i]->here(), batch[i].budget = limits[i];
      batch[i].row = r.row(static_cast<std::int64_t>(i));
    }
    unsigned most = static_cast<unsigned>(std::min<std::int64_t>(threads.value_or(0), 1024));
    if (std::abs(r.stride) < r.width) most = 1;  // rows that overlap are filled in their order
    {
      nb::gil_scoped_release release;
      for (const BatchRow& b : batch) r.clear_tail(b.row, b.automaton->vocabulary()->words());
      Batch::fill(batch, most);
    }
    nb::list out;
    for (const BatchRow& b : batch) out.append(b.fits);
    return out;
  }, nb::arg("matchers"), nb::arg("rows"), nb::arg("budgets").none() = nb::none(), nb::arg("threads").none() = nb::none());
}
