# Two commands do all the set-up: `make demo` and `make test`. Needs Python 3.11+ and a C++ compiler.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test slow lint bench differential walks fuzz fuzz-threads sanitize clean

demo: $(STAMP)
	$(BIN)/constrain generate --schema docs/examples/person.json \
	  --prompt "Extract the person: Maria Lopez is 34 years old and lives in Paris."

test: $(STAMP)
	$(BIN)/python -m pytest -q -n auto -m "not slow"

slow: $(STAMP)
	$(BIN)/python -m pytest -q -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python tests/benchmarks/masks.py
	$(BIN)/python tests/benchmarks/batches.py
	$(BIN)/python tests/benchmarks/scaling.py
	$(BIN)/python tests/benchmarks/context_free.py

differential: $(STAMP)
	$(BIN)/python tests/differential/differ.py --pairs 700000

walks: $(STAMP)
	$(BIN)/python tests/benchmarks/walks.py

fuzz: $(STAMP)
	cmake -S grammars/kernel -B build/fuzz -DCONSTRAIN_FUZZ=ON -DCONSTRAIN_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
	cmake --build build/fuzz --target fuzz_kernel
	build/fuzz/fuzz_kernel $(or $(SECONDS_TO_RUN),600)

fuzz-threads: $(STAMP)
	cmake -S grammars/kernel -B build/threads -DCONSTRAIN_FUZZ=ON -DCONSTRAIN_SANITIZE_THREADS=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
	cmake --build build/threads --target fuzz_batch
	build/threads/fuzz_batch $(or $(SECONDS_TO_RUN),300)

sanitize: $(STAMP)
	CMAKE_ARGS="-DCONSTRAIN_SANITIZE=ON" $(BIN)/python -m pip install -q --no-deps -C build-dir=build/sanitize -e .
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
	  $(BIN)/python -m pytest -q -m "not slow" tests/unit_frontends tests/laws
	$(BIN)/python -m pip install -q --no-deps -e .

$(STAMP): pyproject.toml constraints.txt grammars/kernel/CMakeLists.txt $(wildcard grammars/kernel/*.cpp grammars/kernel/*.hpp)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@for c in "$$CXX" c++ g++ clang++; do command -v $$c >/dev/null 2>&1 && exit 0; done; \
	  echo "A C++ compiler is needed to build the kernel: install g++ or clang++, or set CXX."; exit 1
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[transformers,cli,test,dev]"
	@touch $(STAMP)

clean:
	rm -rf build $(VENV)
