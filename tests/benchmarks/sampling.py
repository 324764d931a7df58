"""Faithful sampling in figures: how far each method is from the true distribution after how many model calls.

    python tests/benchmarks/sampling.py [curves] [laws] [learning] [intervals] [model] [awrs] [overhead]
                                        [--seeds N] [--suites T2a T2b T2k T4 "optional keys" ...]
                                        [--methods look-ahead ...] [--calls 300 ...]

curves    feature RMSE and |log(Z estimate / Z)| at 300, 1000 and 3000 distinct model calls on T2a, T2b, T2k and T4
laws      total variation and both divergences of exact and of drawn laws, with the null band of as many exact draws
learning  tries per sample, brackets of sampling without replacement, standard deviations of the Z estimate
intervals how often nominal 95% intervals of log Z hold, over many runs of few draws
model     the embedded transformer under JSON schemas and a code-like pattern: what masking does, how fast each mends it
awrs      checks and time per token, bias and variance, beside genlm-control where that is installed
overhead  the samplers' own time per model call, with a model that answers at once

Suites and baselines are those of the evaluation protocol: a *baseline* row is what a reference implementation of the same
method gave there, feature RMSE at 300 / 1000 / 3000 calls. Features: one-hot first token and one-hot length, 14 means.
Times are wall times of one thread, and nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sampling_suites as suites
import sampling_truth as truth

import constrain
from decoders.sampling import SAMPLERS, LookAhead, PrefixTrie
from decoders.sampling.awrs import geometric, gumbel_order, recursive
from decoders.sampling.markov import step
from decoders.sampling.result import student_quantile
from decoders.sampling.trie import draw as draw_index
from decoders.sampling.walks import guided, run_round

CALLS = (300, 1000, 3000)
BASELINE = {
    "asap, unweighted": (".269 / .263 / .254", ".232 / .214 / .167"),
    "markov (restart chain)": (".151 / .088 / .045", ".154 / .068 / .024"),
    "masked, weighted": (".127 / .049 / .022", ".116 / .050 / .014"),
    "cars": (".110 / .044 / .017", ".115 / .035 / .007"),
    "look-ahead, unigram": (".022 / .008 / .003", ".052 / .021 / .005"),
    "look-ahead": (".019 / .006 / .002", ".034 / .011 / .002"),
}
Drawn = tuple[list[tuple[int, ...]], list[float], float | None]
"""(texts, weights, log Z estimate) so far."""


# ---------------------------------------------------------------------- curves
def repeated(name: str, weighted: bool, **options: Any) -> Callable[[PrefixTrie, int], Iterator[Drawn]]:
    """A sampler called again and again on one trie; yields everything drawn so far after each call."""

    def go(trie: PrefixTrie, seed: int) -> Iterator[Drawn]:
        rng = np.random.default_rng(seed)
        texts: list[tuple[int, ...]] = []
        weights: list[float] = []
        draws, total = 0, 0.0
        while True:
            r = SAMPLERS[name](trie, 4, rng, **options)
            texts += r.sequences
            weights += np.exp(r.log_weights).tolist() if weighted else [1.0] * len(r)
            draws += r.draws
            total += float(np.exp(r.log_weights).sum()) if name != "cars" else 0.0
            yield texts, weights, math.log(total / draws) if total > 0 else None

    return go


def cars(trie: PrefixTrie, seed: int) -> Iterator[Drawn]:
    rng = np.random.default_rng(seed)
    texts: list[tuple[int, ...]] = []
    tries, total = 0, 0.0
    while True:
        bound = math.exp(trie.root.log_future)
        r = SAMPLERS["cars"](trie, 1, rng, max_tries=1)
        tries += 1
        total += bound * len(r)
        texts += r.sequences
        yield texts, [1.0] * len(texts), math.log(total / tries) if total > 0 else None


def chain(trie: PrefixTrie, seed: int) -> Iterator[Drawn]:
    rng = np.random.default_rng(seed)
    rule = lambda node: node.p  # noqa: E731
    state = run_round(trie, [guided(trie, rule, rng)])
    texts = []
    while True:
        assert state[0].tokens is not None
        texts.append(state[0].tokens)
        yield texts, [1.0] * len(texts), None
        state = step(trie, state, "restart", rng, rule)


METHODS: dict[str, Callable[[PrefixTrie, int], Iterator[Drawn]]] = {
    "asap, unweighted": repeated("asap", False),
    "asap, weighted": repeated("asap", True),
    "markov (restart chain)": chain,
    "masked, weighted": repeated("masked", True),
    "cars": cars,
}
AHEAD = {
    "look-ahead, unigram": {"kind": "unigram", "replacement": True},
    "look-ahead, with replacement": {"replacement": True},
    "look-ahead, bigram": {"kind": "bigram"},
    "look-ahead, hidden states": {"kind": "hmm"},
    "look-ahead": {},
}


def first_and_length(longest: int) -> Callable[[list[tuple[int, ...]], list[float]], np.ndarray]:
    return lambda texts, weights: truth.features(texts, weights, longest)


def visits(texts: list[tuple[int, ...]], weights: list[float]) -> np.ndarray:
    """T4: mean length / 30, and the mean shares of the ten first tokens among all tokens."""
    out = np.zeros(11)
    for x, w in zip(texts, weights, strict=True):
        out[0] += w * (len(x) - 1) / 30
        for t in x[:-1]:
            if t < 10:
                out[1 + t] += w / max(1, len(x) - 1)
    return out / (sum(weights) or 1.0)


def score(found: Drawn, wanted: np.ndarray, log_z: float, features: Any) -> tuple[float, float]:
    texts, weights, z = found
    rmse = float(np.sqrt(np.mean((features(texts, weights) - wanted) ** 2)))
    return rmse, abs(z - log_z) if z is not None else math.nan


def curves(seeds: int, only: Sequence[str], methods: Sequence[str] = (), budgets: Sequence[int] = CALLS) -> None:
    for which, target, features, wanted, log_z in worlds():
        if only and which not in only:
            continue
        target = dataclasses.replace(target, model=Remembered(target.model))
        print(
            f"\n## curves on {which}, {seeds} seeds: feature RMSE, then |log Z error|, at {tuple(budgets)} distinct model calls"
        )
        place = {"T2a": 0, "T2b": 1}.get(which)
        for name in [*METHODS, *AHEAD]:
            if ("bigram" in name and which == "T4") or (methods and name not in methods):
                continue
            rows = np.full((seeds, 2 * len(budgets)), np.nan)
            for seed in range(seeds):
                if name in AHEAD:
                    for i, calls in enumerate(budgets):
                        r = SAMPLERS["lookahead"](
                            suites.fresh(target),
                            10**6,
                            np.random.default_rng(seed),
                            max_model_calls=calls,
                            **AHEAD[name],
                        )
                        found = (list(r.sequences), r.weights.tolist(), r.log_z_in_bracket)
                        rows[seed, [i, i + len(budgets)]] = score(found, wanted, log_z, features)
                else:
                    trie, i = suites.fresh(target), 0
                    for found in METHODS[name](trie, seed):
                        while i < len(budgets) and trie.counts.model_calls >= budgets[i]:
                            rows[seed, [i, i + len(budgets)]] = score(found, wanted, log_z, features)
                            i += 1
                        if i == len(budgets):
                            break
            cells = [with_error(column[~np.isnan(column)]) for column in rows.T]
            text = " / ".join(cells[: len(budgets)]), " / ".join(cells[len(budgets) :])
            base = f"   baseline {BASELINE[name][place]}" if place is not None and name in BASELINE else ""
            print(f"{name:30} {text[0]}   {text[1]}{base}", flush=True)


def with_error(found: np.ndarray) -> str:
    """The mean and its standard error."""
    error = f" +- {found.std(ddof=1) / math.sqrt(len(found)):.4f}" if len(found) > 1 else ""
    return f"{found.mean():.4f}{error}" if len(found) else "  -   "


def worlds() -> Iterator[tuple[str, Any, Any, np.ndarray, float]]:
    for which in "abk":
        suite, target = suites.t2(which)
        features = first_and_length(8)
        wanted = features(list(suite.target), list(suite.target.values()))
        yield f"T2{which}", target, features, wanted, math.log(suite.z)
    hidden, target = suites.t4()
    exact = exact_draws(hidden, 20_000)
    yield "T4", target, visits, visits(exact, [1.0] * len(exact)), math.log(hidden.z())


def exact_draws(hidden: truth.Hidden, n: int) -> list[tuple[int, ...]]:
    """Draws from a hidden Markov model given its automaton, by backward dynamic programming."""
    b, rng, out = hidden.backward(), np.random.default_rng(0), []
    end = hidden.table.shape[1] - 1
    for _ in range(n):
        belief, q, x = hidden.start, 0, []
        while True:
            r = hidden.most - len(x)
            weights = np.zeros(end + 1)
            weights[end] = float(belief @ hidden.emit[:, end]) if q in hidden.accepting else 0.0
            if r > 0:
                ok = hidden.table[q, :end] >= 0
                moved = (belief[:, None] * hidden.emit[:, :end]).T @ hidden.move  # [V, H]
                weights[:end][ok] = (moved[ok] * b[r - 1][hidden.table[q, :end][ok]]).sum(axis=1)
            a = draw_index(weights, rng)
            x.append(a)
            if a == end:
                break
            belief = (belief * hidden.emit[:, a]) @ hidden.move
            belief, q = belief / belief.sum(), int(hidden.table[q, a])
        out.append(tuple(x))
    return out


# ---------------------------------------------------------------------- laws
def null_band(suite: truth.Suite, n: int, runs: int = 5) -> str:
    keys, p = list(suite.target), np.array([float(v) for v in suite.target.values()])
    rng = np.random.default_rng(0)
    found = []
    for _ in range(runs):
        counts = np.bincount(rng.choice(len(keys), n, p=p / p.sum()), minlength=len(keys)) / n
        found.append(0.5 * float(np.abs(counts - p).sum()))
    return f"{np.mean(found):.4f} +- {np.std(found):.4f}"


def laws(seeds: int, only: Sequence[str]) -> None:
    for which in "ab":
        suite, target = suites.t2(which)
        print(f"\n## laws on T2{which}: exact laws first (TV, KL(q || P*), KL(P* || q))")
        for name, law in [("masked", suite.masked), *((f"markov, restart, {k} texts", truth.restart_chain(suite, k - 1)) for k in (3, 10, 50))]:  # fmt: skip # noqa: E501
            kl, reverse = truth.divergence(law, suite.target), truth.divergence(suite.target, law)
            print(f"{name:34} {truth.total_variation(suite.target, law):.4f}  {kl:.4f}  {reverse:.4f}")
        n = 4000
        print(f"draws: TV of {n} draws; {n} exact draws have {null_band(suite, n)}")
        trie = suites.fresh(target)
        rng = np.random.default_rng(1)
        found = SAMPLERS["cars"](trie, n, rng, max_tries=10**6, batch=16).sequences
        show("cars", suite, found)
        ahead = suites.fresh(target)
        SAMPLERS["masked"](ahead, 60, rng)
        twist = LookAhead(ahead, "unigram").log_values
        for name, options in (
            ("smc, N=10, no resampling", {"threshold": 0.0}), ("smc, N=10, threshold .5", {}),
            ("smc, N=10, unigram twist", {"twist": twist}),
        ):  # fmt: skip
            picked = [(r := SAMPLERS["smc"](ahead, 10, rng, **options)).sequences[r.choose(rng)] for _ in range(n)]
            show(name + ", one by weight", suite, picked)


def show(name: str, suite: truth.Suite, drawn: Any) -> None:
    print(f"{name:40} {truth.total_variation(suite.target, truth.frequencies(drawn)):.4f}", flush=True)


# ---------------------------------------------------------------------- learning
def learning(seeds: int, only: Sequence[str]) -> None:
    published = {"a": "8.9 / 4.1 / 2.1, final .15 / .41 / .74", "b": "6.3 / 2.5 / 1.5, final .25 / .64 / .87"}
    for which in "ab":
        suite, target = suites.t2(which)
        trie, rng, tries, accepted, cells = suites.fresh(target), np.random.default_rng(0), 0, 0, []
        for n in (100, 1000, 5000):
            r = SAMPLERS["cars"](trie, n - accepted, rng, max_tries=10**6)
            tries, accepted = tries + r.draws, n
            cells.append(f"{tries / n:.2f} (acceptance {suite.z / math.exp(trie.root.log_future):.2f})")
        print(f"\n## learning on T2{which}\ncars, tries per sample over 100 / 1000 / 5000: {' / '.join(cells)}")
        print(f"  baseline: {published[which]}; rejection needs {1 / suite.z:.1f}")
        ahead = suites.fresh(target)
        run_round(ahead, [guided(ahead, lambda node: node.p, rng) for _ in range(60)])
        for name, twist in (
            ("plain", None),
            ("unigram twist", LookAhead(ahead, "unigram")),
            ("state twist", LookAhead(ahead)),
        ):
            if twist is not None:
                twist.refit()
            z = [SAMPLERS["smc"](ahead, 10, rng, twist=twist and twist.log_values).log_z for _ in range(400)]
            ratio = np.exp(np.array([-np.inf if v is None else v for v in z]) - math.log(suite.z))
            print(f"smc N=10, {name:14} mean Z estimate / Z {ratio.mean():.3f}, relative sd {ratio.std():.3f}")
        print("  baseline sd, plain -> unigram twist:", {"a": "1.06 -> .107", "b": "1.55 -> .73"}[which])
    suite, target = suites.t2("b")
    trie = suites.fresh(target)
    r = SAMPLERS["distinct"](trie, 1000, np.random.default_rng(0), max_tries=10**6)
    low, high = np.exp(r.bracket)
    print(f"distinct, 1000 texts of T2b: {trie.counts.model_calls} model calls, Z in [{low:.5f}, {high:.5f}] "
          f"(true {suite.z:.5f}), at least {100 * r.covered:.1f}% of the mass")  # fmt: skip
    print("  baseline: 7360 model calls, [.01659, .01695], 97.8%")
    for threes in (3, 11):
        hard, target = suites.t5(threes)
        z = hard.backward(lambda a: a, 4, lambda h: truth.BIGRAM[h].tolist())
        print(f"\n## T5, a rare event ({threes} threes): log Z = {math.log(z):.3f}")
        tries = {"max_tries": 2000}
        for name, options in (("rejection", tries), ("cars", tries), ("masked", {}), ("smc", {}), ("lookahead", {})):
            r = SAMPLERS[name](suites.fresh(target), 200, np.random.default_rng(0), **options)
            estimate = "none" if r.log_z is None else f"{r.log_z:.3f}"
            note = r.failure or r.caution or "no caution"
            print(f"{name:10} log Z {estimate}, {len(r)} samples, ESS {r.ess:.1f}; {note}")


# ---------------------------------------------------------------------- intervals
def intervals(seeds: int, only: Sequence[str]) -> None:
    """Over 10 x seeds runs: how often intervals hold, those of Student's for comparison, and what the guaranteed one costs."""
    for which, target, _, _, log_z in worlds():
        if only and which not in only:
            continue
        print(f"\n## 95% intervals on {which}, {10 * seeds} runs: share that holds, median width in nats; of Student's; "
              "guaranteed: share, its median distance below log Z (of the bracket's)")  # fmt: skip
        for name in ("masked", "lookahead", "lookahead, with replacement"):
            options = {"replacement": True} if "with" in name else {}
            for n in (10, 30, 100):
                found = [SAMPLERS[name.split(",")[0]](suites.fresh(target), n, np.random.default_rng(s), **options)
                         for s in range(10 * seeds)]  # fmt: skip
                ends, sure, certain = (
                    np.array(x) for x in zip(*((r.interval(), r.guaranteed(), r.bracket) for r in found), strict=True)
                )
                inside, likely, always = (
                    np.mean((x[:, 0] <= log_z + 1e-9) & (log_z <= x[:, 1] + 1e-9)) for x in (ends, sure, certain)
                )
                student = np.mean([
                    r.stderr is not None
                    and abs(math.expm1(log_z - r.log_z)) <= r.stderr * student_quantile(0.975, r.freedom or math.inf)
                    for r in found
                ])  # fmt: skip
                print(f"{name:28} {n:4} draws: {inside:.2f}, {np.median(ends[:, 1] - ends[:, 0]):.2f} nats; {student:.2f}; "
                      f"{likely:.3f}, {np.median(log_z - sure[:, 0]):.2f} ({np.median(log_z - certain[:, 0]):.2f})"
                      + ("" if always == 1 else " A BRACKET FAILED"), flush=True)  # fmt: skip


# ---------------------------------------------------------------------- the samplers' own time
def overhead(seeds: int, only: Sequence[str]) -> None:
    _, target = suites.t2("b")
    target = dataclasses.replace(target, model=Remembered(target.model))
    print("\n## overhead on T2b: the second of two equal runs, whose model answers at once")
    for name, n, options in (
        ("masked", 2000, {}), ("cars", 400, {}), ("distinct", 300, {}), ("smc", 10, {"runs": 60}),
        ("lookahead", 10**6, {"max_model_calls": 2000}),
    ):  # fmt: skip
        for _ in range(2):
            start = time.perf_counter()
            r = SAMPLERS[name](suites.fresh(target), n, np.random.default_rng(0), **options)
            seconds = time.perf_counter() - start
        print(f"{name:10} {1e6 * seconds / r.counts.model_calls:6.0f} us a model call, "
              f"{1e6 * seconds / r.counts.token_steps:5.0f} us a token step", flush=True)  # fmt: skip


# ---------------------------------------------------------------------- the embedded model
LITERALS = r"""
start: record
record: "{" KEY ": " value (", " KEY ": " value)* "}"
value: NUMBER | TEXT | record | "[" (value (", " value)*)? "]" | NAME "(" (value (", " value)*)? ")"
KEY: /"[a-z]{3,6}"/
NAME: /[A-Z][a-z]{1,5}/
NUMBER: /[0-9]{1,3}/
TEXT: /"[A-Z][a-z]{1,8}"/
"""
PERSON = "Extract the person: Maria Lopez is 34 years old and lives in Paris."
NAME, AGE = {"type": "string", "maxLength": 12}, {"type": "integer", "minimum": 0, "maximum": 150}
GRAMMARS: dict[str, tuple[Any, str, float]] = {
    "optional keys": ({"type": "object", "properties": {
        "name": NAME, "age": AGE, "city": {"enum": ["Paris", "London", "Rome"]}, "job": {"enum": ["pilot", "nurse"]}},
        "required": ["name"], "additionalProperties": False}, PERSON, 1.0),
    "short strings": ({"type": "object", "properties": {
        "name": {"type": "string", "maxLength": 5}, "age": AGE, "city": {"type": "string", "maxLength": 4}},
        "required": ["name"], "additionalProperties": False}, PERSON, 1.0),
    "choices": ({"type": "object", "properties": {
        "name": {"enum": ["Maria", "Maria Lopez", "M. Lopez", "Omar Lopez"]}, "age": {"enum": [3, 4, 34, 35, 43]}},
        "required": ["name"], "additionalProperties": False}, PERSON, 1.5),
    "dict literal": (
        r'\{"name": "[A-Z][a-z]{1,8}( [A-Z][a-z]{1,8})?"(, "(age|year)": [0-9]{1,3})?(, "city": "[A-Z][a-z]{2,8}")?\}',
        PERSON, 1.5),
    "nested literals": (partial(constrain.lark, LITERALS), PERSON, 1.0),
    "arithmetic": ("[a-z]{1,6} = [0-9]{1,3}( [+*] [0-9]{1,3}){0,3};", "Write the age of Ada, who is 36.", 1.5),
}  # fmt: skip


BUDGETS = (100, 300, 1000)
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "masked": ("masked", {"batch": 1}), "cars": ("cars", {"max_tries": 20}), "smc, N=10": ("smc", {}),
    "smc, N=10, look-ahead twist": ("smc", {}), "lookahead with replacement": ("lookahead", {"replacement": True}),
    "lookahead": ("lookahead", {}),
}  # fmt: skip


class Remembered:
    """A model whose rows are kept between runs: what is counted is the tries' own calls."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.vocabulary_size = inner, inner.vocabulary_size
        self.rows: dict[tuple[int, ...], np.ndarray] = {}

    def log_probs(self, prefixes: Sequence[tuple[int, ...]]) -> np.ndarray:
        missing = [x for x in dict.fromkeys(prefixes) if x not in self.rows]
        if missing:
            self.rows.update(zip(missing, self.inner.log_probs(missing), strict=True))
        return np.array([self.rows[x] for x in prefixes])


def model(seeds: int, only: Sequence[str]) -> None:
    from constrain.generator import Generator

    base: Any = None
    for name, (wanted, prompt, temperature) in GRAMMARS.items():
        if only and name not in only:
            continue
        wanted = constrain.regex(wanted) if isinstance(wanted, str) else wanted() if callable(wanted) else wanted
        generator = Generator(
            "default" if base is None else base.model.model, wanted, base and base.tokenizer, describe=False
        )
        base = base or generator
        start = time.perf_counter()
        plain = generator.trie(prompt, max_tokens=40, temperature=temperature).target
        target = dataclasses.replace(plain, model=Remembered(plain.model))
        reference = PrefixTrie(target)
        reference.expand_frontier(2000)
        long = SAMPLERS["lookahead"](reference, 10**6, np.random.default_rng(99), max_model_calls=8000, batch=16)
        print(f"\n## embedded model, {name}, temperature {temperature}: {target.support}")
        print(f"reference: log Z {long.log_z:.4f} +- {long.stderr:.4f}, in [{long.bracket[0]:.3f}, {long.bracket[1]:.3f}], "
              f"covers {100 * long.covered:.1f}%; {time.perf_counter() - start:.0f} s")  # fmt: skip
        features = text_features(generator, long)
        want = features(long)
        log_w, kept = long.log_mass, long.weights
        ess = math.exp(long.log_z - float(np.logaddexp.reduce(np.log(kept) + log_w)))
        print(
            f"masking: KL(P* || masked) = {float(kept @ log_w) - long.log_z:.3f} nats, ESS/N = {ess:.3g} (on the reference)"
        )
        for label, (sampler, extra) in RUNS.items():
            cells = np.full((seeds, 3, len(BUDGETS)), np.nan)
            for seed in range(seeds):
                trie, rng, parts = PrefixTrie(target), np.random.default_rng(seed), []
                ahead = LookAhead(trie)
                options = extra | ({"twist": ahead.log_values} if "twist" in label else {})
                for i, calls in enumerate(BUDGETS):
                    if sampler == "lookahead":
                        trie = PrefixTrie(target)
                        parts = [SAMPLERS[sampler](trie, 10**6, rng, max_model_calls=calls, **options)]
                    while trie.counts.model_calls < calls and sum(r.draws for r in parts) < 3000:
                        ahead.refit_if_due()
                        parts.append(SAMPLERS[sampler](trie, 10 if sampler == "smc" else 1, rng, **options))
                    cells[seed, :, i] = measured(sampler, parts, features, want, long.log_z)
            rows = cells if sampler == "masked" else cells[:, :2]
            text = [
                " / ".join(root_mean_square(rows[:, k, i]) for i in range(len(BUDGETS))) for k in range(rows.shape[1])
            ]
            unweighted = f"   unweighted: feature RMSE {text[2]}" if sampler == "masked" else ""
            print(f"{label:30} feature RMSE {text[0]}   |log Z error| {text[1]}{unweighted}", flush=True)
        print(f"({time.perf_counter() - start:.0f} s, at {BUDGETS} distinct model calls, {seeds} seeds)", flush=True)


def measured(
    sampler: str, parts: list[Any], features: Any, want: np.ndarray, log_z: float
) -> tuple[float, float, float]:
    """(feature RMSE, log Z error, feature RMSE without weights) of the results of calls one after another on one trie."""
    if not any(len(r) for r in parts):
        return math.nan, math.nan, math.nan
    if sampler == "lookahead":
        [r] = parts
        return rmse(features(r), want), r.log_z_in_bracket - log_z, math.nan
    log_weights = np.concatenate([r.log_weights for r in parts])
    estimate = float(np.logaddexp.reduce(log_weights)) - math.log(sum(r.draws for r in parts))
    kept = np.exp(log_weights - log_weights.max())
    vectors = np.array([features(r, i) for r, _, i in flat(parts, kept)])
    error = math.nan if sampler == "cars" else estimate - log_z
    return rmse(kept @ vectors / kept.sum(), want), error, rmse(vectors.mean(axis=0), want)


def flat(parts: list[Any], weights: np.ndarray) -> Iterator[tuple[Any, float, int]]:
    places = [(r, i) for r in parts for i in range(len(r))]
    for (r, i), w in zip(places, weights.tolist(), strict=True):
        yield r, w, i


def root_mean_square(column: np.ndarray) -> str:
    known = column[~np.isnan(column)]
    missing = f" ({len(column) - len(known)} of {len(column)} runs without)" if 0 < len(known) < len(column) else ""
    return f"{math.sqrt(np.mean(known**2)):.3g}{missing}" if len(known) else "  -   "


def rmse(found: np.ndarray, want: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - want) ** 2)))


def text_features(generator: Any, reference: Any) -> Callable[..., np.ndarray]:
    """One-hot text length in bytes (buckets of 8) and the presence of pieces that texts of the grammars may have."""
    from decoders.sampling.texts import decode

    pieces = [b'"name"', b'"city"', b'"job"', b'"vip"', b'"age"', b" + ", b" * ", b"  ", b'": "', b"3"]

    def one(x: tuple[int, ...]) -> np.ndarray:
        data = decode(generator.vocabulary, x)
        length = np.eye(12)[min(11, len(data) // 8)]
        return np.concatenate([length, [float(p in data) for p in pieces]])

    def features(r: Any, only: int | None = None) -> np.ndarray:
        if only is not None:
            return one(r.sequences[only])
        return np.sum([w * one(x) for x, w in zip(r.sequences, r.weights, strict=True)], axis=0)

    return features


# ---------------------------------------------------------------------- AWRS beside a peer
def awrs(seeds: int, only: Sequence[str]) -> None:
    peer = genlm()
    n = 1000
    print("\n## awrs: one token of 32,000 by a Zipf law, each accepted with probability alpha")
    for power, alpha in ((3.0, 0.9), (1.1, 0.99), (1.1, 0.9), (1.1, 0.5), (1.1, 0.1), (1.1, 0.01)):
        weights = 1.0 / np.arange(1, 32_001) ** power
        q = weights / weights.sum()
        accepted = np.random.default_rng(7).random(32_000) < alpha
        mass = float(q[accepted].sum())
        for name, one in (
            ("recursive", ours_recursive),
            ("geometric", ours_geometric),
            ("auto", ours_auto),
            ("genlm-control", peer),
        ):
            if one is None:
                continue
            found, checks, seconds = one(q, accepted, n)
            print(f"Zipf({power}), alpha {alpha:<5} (mass {mass:.4f}) {name:14} checks {checks:7.2f}  {1e3 * seconds:7.2f} ms  "
                  f"mean W / mass {with_error(found / mass)}, relative sd {found.std() / mass:.3f}", flush=True)  # fmt: skip
    texts, target = suites.t2_black_box("a", 6)
    z = sum(texts.values())
    print(f"\n## smc with a black-box check on T2a, at most 6 tokens, N=10, threshold .5, multinomial; Z = {z:.6f}")
    rng = np.random.default_rng(0)
    for estimator in ("auto", "recursive", "geometric"):
        run_smc(f"ours, {estimator}", z, partial(ours_smc, target, rng, estimator), 1000)
    shared = suites.fresh(target)
    run_smc("ours, one trie for all runs", z, partial(ours_smc, target, rng, "auto", shared), 1000)
    if peer is None:
        print("genlm-control is not installed here; `pip install genlm-control` puts its rows beside these")
    else:
        run_smc("genlm-control", z, peer_smc(target), 1000)


def ours_recursive(q: np.ndarray, accepted: np.ndarray, n: int) -> tuple[np.ndarray, float, float]:
    rng = np.random.default_rng(1)
    return timed(lambda accept: recursive(q, gumbel_order(q, rng), accept)[1], accepted, n)


def ours_geometric(q: np.ndarray, accepted: np.ndarray, n: int) -> tuple[np.ndarray, float, float]:
    rng = np.random.default_rng(1)
    return timed(lambda accept: geometric(q, rng, accept)[1], accepted, n)


def ours_auto(q: np.ndarray, accepted: np.ndarray, n: int) -> tuple[np.ndarray, float, float]:
    return ours_geometric(q, accepted, n) if q.max() >= 2 / 3 else ours_recursive(q, accepted, n)


def timed(
    one: Callable[[Callable[[int], bool]], float], accepted: np.ndarray, n: int
) -> tuple[np.ndarray, float, float]:
    checks = 0

    def accept(i: int) -> bool:
        nonlocal checks
        checks += 1
        return bool(accepted[i])

    start = time.perf_counter()
    found = np.array([float(one(accept)) for _ in range(n)])
    return found, checks / n, (time.perf_counter() - start) / n


def ours_smc(
    target: Any, rng: np.random.Generator, estimator: str, trie: PrefixTrie | None = None
) -> tuple[float, int, int]:
    trie = trie or suites.fresh(target)
    r = SAMPLERS["smc"](trie, 10, rng, estimator=estimator, scheme="multinomial")
    return math.exp(r.log_z) if r.log_z is not None else 0.0, r.counts.checks, r.counts.token_steps


def run_smc(name: str, z: float, one: Callable[[], tuple[float, int, int]], runs: int) -> None:
    start = time.perf_counter()
    rows = np.array([one() for _ in range(runs)], dtype=np.float64)
    seconds = time.perf_counter() - start
    ratio = rows[:, 0] / z
    tokens = rows[:, 2].sum()
    print(f"{name:30} checks per token {rows[:, 1].sum() / tokens:.2f}, {1e6 * seconds / tokens:.0f} us per token, "
          f"mean Z estimate / Z {ratio.mean():.3f} +- {ratio.std() / math.sqrt(runs):.3f}, relative sd {ratio.std():.2f}", flush=True)  # fmt: skip # noqa: E501


def genlm() -> Callable[..., tuple[np.ndarray, float, float]] | None:
    """One token by the peer's own dispatch between its two estimators, or None where it is not installed."""
    try:
        from genlm.control import AWRS, Potential
        from genlm.control.util import LazyWeights
    except ImportError:
        return None

    class Anything(Potential):
        async def complete(self, context: Any) -> float:
            return 0.0

        async def prefix(self, context: Any) -> float:
            return 0.0

    def one(q: np.ndarray, accepted: np.ndarray, n: int) -> tuple[np.ndarray, float, float]:
        world = Anything(list(range(len(q))))
        sampler = AWRS(world, world, seed=1, autobatch=False)
        rows = LazyWeights(np.append(np.log(q), -np.inf), world.lookup, world.vocab_eos)
        checks = 0

        async def accept(token: Any) -> bool:
            nonlocal checks
            checks += 1
            return bool(accepted[token])

        async def all_of_them() -> list[float]:
            return [float(np.exp((await sampler._run_rejection(rows, accept))[1])) for _ in range(n)]

        start = time.perf_counter()
        found = np.array(asyncio.run(all_of_them()))
        return found, checks / n, (time.perf_counter() - start) / n

    return one


def peer_smc(target: Any) -> Callable[[], tuple[float, int, int]]:
    """The peer's sampler on the same model rows, the same masks and the same predicate."""
    from genlm.control import AWRS, EOS, SMC, Potential
    from genlm.control.util import LazyWeights

    walks = suites.fresh(target)
    rows: dict[tuple[int, ...], Any] = {}
    counts = {"checks": 0, "tokens": 0}

    class Masked(Potential):
        """log p over the allowed tokens, unnormalised: what our mask leaves."""

        def row(self, context: tuple[int, ...]) -> Any:
            if context not in rows:
                node = walks.root
                for t in context:
                    node = walks.expand([(node, int(np.searchsorted(node.tokens[: node.ends], t)))])[0]
                out = np.full(5, -np.inf)
                out[node.tokens] = np.log(node.p)
                rows[context] = out
            return rows[context]

        async def prefix(self, context: Any) -> float:
            return float(sum(self.row(tuple(context[:i]))[t] for i, t in enumerate(context)))

        async def complete(self, context: Any) -> float:
            return await self.prefix(context) + float(self.row(tuple(context))[4])

        async def logw_next(self, context: Any) -> Any:
            return LazyWeights(self.row(tuple(context)), self.lookup, self.vocab_eos)

    class Checked(Potential):
        async def prefix(self, context: Any) -> float:
            counts["checks"] += 1
            return 0.0 if not context or target.check(tuple(context), False) else -np.inf

        async def complete(self, context: Any) -> float:
            counts["checks"] += 1
            return 0.0 if target.check((*context, 4), True) else -np.inf

    sampler = SMC(AWRS(Masked([0, 1, 2, 3]), Checked([0, 1, 2, 3]), autobatch=False))

    def one() -> tuple[float, int, int]:
        counts.update(checks=0, tokens=0)
        found = asyncio.run(sampler(n_particles=10, ess_threshold=0.5, max_tokens=target.max_tokens + 1))
        tokens = sum(len([t for t in c if t is not EOS]) + 1 for c in found.contexts)
        return math.exp(found.log_ml), counts["checks"], tokens

    return one


SECTIONS = {
    "curves": curves, "laws": laws, "learning": learning, "intervals": intervals, "model": model, "awrs": awrs,
    "overhead": overhead,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="default: all")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--suites", nargs="*", default=(), help="of curves, intervals and model; default: all")
    parser.add_argument("--calls", nargs="*", type=int, default=CALLS, help="model calls at which curves are measured")
    parser.add_argument("--methods", nargs="*", default=(), help="rows of curves, by their names; default: all")
    args = parser.parse_args()
    for name in args.sections or SECTIONS:
        start = time.perf_counter()
        given = {"methods": args.methods, "budgets": args.calls} if name == "curves" else {}
        SECTIONS[name](args.seeds, args.suites, **given)
        print(f"({name}: {time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
