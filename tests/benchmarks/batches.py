"""Batches in figures: one call for many masks, by threads and by engines.

    python tests/benchmarks/batches.py [--tokenizer PATH] [--repeat N] [--rows N] [--threads N ...]

Work: a batch of rows at random places of valid MaskBench instances, over one schema or sixteen. *Empty*: nothing was compiled or
masked before. *New*: 64 other schemas were, in the same engines. *Warm*: the same batch again. Wall time of `fill_masks` from
Python, the least of N runs of each batch, then the median over four batches: on a shared machine more threads meet
more of what else it does. *own engines*: `order="schema"`, where every automaton has an engine of its own.

Rows are compared with those of single fills, every time.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence

from masks import Case, load_vocabulary, maskbench

import constrain

SIZES = (1, 16)
BATCHES = 4
BEFORE = 64


def usable(cases: Sequence[Case], vocabulary: constrain.Vocabulary, count: int) -> list[tuple[object, list[int]]]:
    """Schemas with the token ids of a valid instance of some length."""
    out: list[tuple[object, list[int]]] = []
    for case in cases:
        texts = [t for t, valid in case.texts if valid and len(t) > 60]
        try:
            if texts:
                ids = vocabulary.encode(texts[0].encode())
                constrain.compile(constrain.json_schema(case.schema, order="schema"), vocabulary)
                automaton = constrain.compile(constrain.json_schema(case.schema), vocabulary)
                if automaton.matcher().validate(ids) == len(ids):
                    out.append((case.schema, ids))
        except constrain.ConstrainError:
            continue
        if len(out) == count:
            break
    return out


def place(
    work: Sequence[tuple[object, list[int]]], vocabulary: constrain.Vocabulary, rows: int, order: str, seed: int
) -> list[constrain.Matcher]:
    rng, out = random.Random(seed), []
    automata = [constrain.compile(constrain.json_schema(s, order=order), vocabulary) for s, _ in work]
    for i in range(rows):
        matcher, ids = automata[i % len(work)].matcher(), work[i % len(work)][1]
        for token in ids[: rng.randrange(len(ids))]:
            if not matcher.advance(token):
                break
        out.append(matcher)
    return out


def timed(matchers: Sequence[constrain.Matcher], rows: object, threads: int) -> float:
    begin = time.perf_counter()
    constrain.fill_masks(matchers, rows, threads=threads)
    return time.perf_counter() - begin


def measure(
    vocabulary: constrain.Vocabulary, work: Sequence[tuple[object, list[int]]], order: str, options: argparse.Namespace
) -> dict[tuple[int, str, int], float]:
    """Seconds by (schemas, what, threads)."""
    least: dict[tuple[int, str, int, int], float] = defaultdict(lambda: float("inf"))
    before, rest = work[:BEFORE], work[BEFORE:]
    for _ in range(options.repeat):
        for size in SIZES:
            for k in range(BATCHES):
                chosen = rest[k * size : (k + 1) * size]
                for threads in options.threads:
                    for what in ("empty", "new"):
                        vocabulary.clear()
                        gc.collect()
                        kept = place(before, vocabulary, BEFORE, order, k) if what == "new" else []
                        if kept:
                            constrain.fill_masks(kept, vocabulary.new_rows(BEFORE))
                        matchers, rows = (
                            place(chosen, vocabulary, options.rows, order, k),
                            vocabulary.new_rows(options.rows),
                        )
                        rows[:] = -1  # its pages are there
                        key = (size, what, threads, k)
                        least[key] = min(least[key], timed(matchers, rows, threads))
                    key = (size, "warm", threads, k)
                    least[key] = min(least[key], *(timed(matchers, rows, threads) for _ in range(50)))
                    check(matchers, rows, vocabulary)
    by_place = defaultdict(list)
    for (size, what, threads, _), seconds in least.items():
        by_place[size, what, threads].append(seconds)
    return {key: statistics.median(x) for key, x in by_place.items()}


def check(matchers: Sequence[constrain.Matcher], rows: object, vocabulary: constrain.Vocabulary) -> None:
    single = vocabulary.new_rows(len(matchers))
    for i, matcher in enumerate(matchers):
        matcher.fill_mask(single, i)
    if not (single == rows).all():
        raise AssertionError("a batch differs from single fills")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", help="path of a tokenizer of transformers; default: that of the embedded model")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--shards", type=int, nargs="*", default=[1, 2, 8])
    options = parser.parse_args()
    base = load_vocabulary(options.tokenizer)
    work = usable(maskbench(1000, 99), base, BEFORE + BATCHES * max(SIZES))
    if len(work) < BEFORE + BATCHES * max(SIZES):
        raise SystemExit("MaskBench is absent: there is nothing to measure")
    print(
        f"{'a batch of ' + str(options.rows):<32}"
        + "".join(f"{what + ', ms':>12}" for what in ("empty", "new", "warm"))
    )
    for shards, order in [*((s, "any") for s in options.shards), (1, "schema")]:
        vocabulary = load_vocabulary(options.tokenizer, shards)
        found = measure(vocabulary, work, order, options)
        name = "own engines" if order == "schema" else f"shards {shards}"
        for size in SIZES:
            for threads in options.threads:
                cells = (found[size, what, threads] * 1e3 for what in ("empty", "new", "warm"))
                print(
                    f"{name}, schemas {size:>2}, threads {threads:<3}".ljust(32) + "".join(f"{c:>12.3f}" for c in cells)
                )


if __name__ == "__main__":
    main()
