"""Masks in figures: what a mask and an advance cost, cold and warm, and whether they were right, in one table.

    python tests/benchmarks/masks.py [--tokenizer PATH] [--files N] [--seed S]

Work: the bundled examples with their instances, and N files of MaskBench where the shared data stands beside the
repository. Every instance is read token by token: fill the mask, look the token up, advance. *First visit*: nothing of
the text was read before in this process, though other schemas were (the engine is shared). *Warm*: the same texts again.
*Cold*: a few schemas with the engine emptied before each. Times are of calls from Python in one thread: the smaller of wall
time and processor time, so that what else the machine does counts little.

Correctness stands in the same table: valid instances read to their end, invalid ones refused, and refusals to compile.
Nothing is asserted about time.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import platform
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import constrain

ROOT = Path(__file__).resolve().parents[2]
MASKBENCH = ROOT.parent / "shared" / "data" / "maskbench"
ORDER_OF_KEYS = {
    "type": "object",
    "properties": {"reasoning": {"type": "string"}, "answer": {"enum": ["yes", "no"]}, "score": {"type": "number"}},
    "required": ["reasoning", "answer"],
    "additionalProperties": False,
}
NESTED = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 40}, "children": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["name"],
}
CHOICES = {
    "type": "object",
    "anyOf": [
        {"properties": {"kind": {"const": "circle"}, "r": {"type": "number", "minimum": 0}}, "required": ["kind", "r"]},
        {"properties": {"kind": {"const": "box"}, "w": {"type": "integer"}}, "required": ["kind", "w"]},
    ]
}  # fmt: skip


@dataclass
class Case:
    """A schema and its instances: (text, is it valid)."""

    name: str
    schema: Any
    texts: list[tuple[str, bool]]


@dataclass
class Figures:
    """Times in seconds and counts over all cases."""

    compile: list[float] = field(default_factory=list)
    to_first_mask: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    cold_to_first: list[float] = field(default_factory=list)
    accepted: int = 0
    wrongly_refused: list[str] = field(default_factory=list)
    refused: int = 0
    wrongly_accepted: list[str] = field(default_factory=list)
    uncompiled: dict[str, int] = field(default_factory=dict)
    over_limit: int = 0
    slowest: list[tuple[float, str, str]] = field(default_factory=list)  # (seconds, case, text before it)
    statistics: Counter[str] = field(default_factory=Counter)


# ---------------------------------------------------------------------- work
def bundled() -> list[Case]:
    """The schemas of docs/examples and a few small ones, with instances written by hand."""
    person = json.loads((ROOT / "docs" / "examples" / "person.json").read_text())
    people = [({"name": "Maria Lopez", "age": 34, "city": "Paris"}, None), ({"name": 1}, False), ([], False)]
    tree = {"name": "a", "children": [{"name": "b", "children": []}, {"name": "c"}]}
    return [
        Case("person", person, [(json.dumps(x), _verdict(person, x) if v is None else v) for x, v in people]),
        Case(
            "order of keys",
            ORDER_OF_KEYS,
            [(json.dumps({"reasoning": "two and two is four", "answer": "yes", "score": 0.5}), True), ("{}", False)],
        ),
        Case("nested", NESTED, [(json.dumps(tree), True), (json.dumps({"name": "x" * 41}), False)]),
        Case(
            "choices",
            CHOICES,
            [('{"kind": "circle", "r": 2.5}', True), ('{"w": 3, "kind": "box"}', True), ('{"kind": "box", "r": 1}', False)],
        ),
    ]  # fmt: skip


def _verdict(schema: Any, instance: Any) -> bool:
    import jsonschema

    return bool(jsonschema.Draft202012Validator(schema).is_valid(instance))


def maskbench(files: int, seed: int) -> list[Case]:
    """`files` files drawn by `seed`; none where the data is absent."""
    paths = sorted(MASKBENCH.glob("*.json"))
    out = []
    for path in random.Random(seed).sample(paths, min(files, len(paths))):
        raw = json.loads(path.read_text())
        texts = [(json.dumps(t["data"], ensure_ascii=False), bool(t["valid"])) for t in raw["tests"]]
        out.append(Case(path.stem, raw["schema"], texts))
    return out


def load_vocabulary(path: str | None, shards: int = 1) -> constrain.Vocabulary:
    from transformers import AutoTokenizer

    from constrain.models import DEFAULT

    tokenizer = AutoTokenizer.from_pretrained(path or str(DEFAULT))
    return constrain.Vocabulary.from_tokenizer(tokenizer, shards=shards)


# ---------------------------------------------------------------------- measuring
def run(cases: Sequence[Case], vocabulary: constrain.Vocabulary) -> tuple[Figures, list[constrain.TokenAutomaton]]:
    figures, automata = Figures(), []
    row = vocabulary.new_rows()[0]
    seen = Counter(vocabulary.stats())
    for case in cases:
        seen = count(figures, seen, vocabulary)
        try:
            begin = time.perf_counter()
            automaton = constrain.compile(constrain.json_schema(case.schema), vocabulary)
            figures.compile.append(time.perf_counter() - begin)
            automaton.matcher().fill_mask(row)
            figures.to_first_mask.append(time.perf_counter() - begin)
        except constrain.EmptyLanguage:
            # the verdict "nothing is valid" is right or wrong like any other
            figures.refused += sum(not valid for _, valid in case.texts)
            figures.wrongly_refused += [case.name for _, valid in case.texts if valid]
            continue
        except constrain.ConstrainError as e:
            figures.uncompiled[type(e).__name__] = figures.uncompiled.get(type(e).__name__, 0) + 1
            continue
        automata.append(automaton)
        del automata[:-64]  # an automaton keeps its engine: what is resident afterwards is what a server would hold
        read_all(case, automaton, figures)
    count(figures, seen, vocabulary)
    return figures, automata


def count(figures: Figures, seen: Counter[str], vocabulary: constrain.Vocabulary) -> Counter[str]:
    """Adds what the kernel counted since `seen`; its counters begin anew with every engine."""
    now = Counter(vocabulary.stats())
    begun = now["fills"] < seen["fills"]
    figures.statistics.update(now if begun else {k: n - seen[k] for k, n in now.items()})
    return now


def read_all(case: Case, automaton: constrain.TokenAutomaton, figures: Figures) -> None:
    for text, valid in case.texts:
        ids = automaton.vocabulary.encode(text.encode())
        before = len(figures.first)
        try:
            whole = read(automaton, ids, figures.first)
            note_slowest(figures, case, automaton.vocabulary, ids, before)
            if read(automaton, ids, figures.warm) != whole:
                raise AssertionError(f"{case.name}: a warm mask differs from a cold one")
        except constrain.LimitExceeded:
            figures.over_limit += 1
            continue
        if whole and valid:
            figures.accepted += 1
        elif whole:
            figures.wrongly_accepted.append(case.name)
        elif valid:
            figures.wrongly_refused.append(case.name)
        else:
            figures.refused += 1


def note_slowest(
    figures: Figures, case: Case, vocabulary: constrain.Vocabulary, ids: Sequence[int], before: int
) -> None:
    times = figures.first[before:]
    worst = int(np.argmax(times))
    text = vocabulary.decode(ids[:worst]).decode(errors="replace")
    figures.slowest = sorted([*figures.slowest, (times[worst], case.name, text[-40:])], reverse=True)[:3]


def read(automaton: constrain.TokenAutomaton, ids: Sequence[int], times: list[float]) -> bool:
    """Reads a text as a decoder would; one time a token in seconds. True if it is accepted to its end."""
    matcher, row = automaton.matcher(), automaton.vocabulary.new_rows()[0]
    fill, advance, clock, busy = matcher.fill_mask, matcher.advance, time.perf_counter, time.thread_time
    end = automaton.vocabulary.eos_token_ids[0]
    for token in (*ids, end):
        used, begin = busy(), clock()
        fill(row)
        between = clock()
        used = busy() - used
        allowed = bool(int(row[token >> 5]) >> (token & 31) & 1)
        more, again = busy(), clock()
        stepped = advance(token)
        stop = clock()
        times.append(min(between - begin, used) + min(stop - again, busy() - more))
        if stepped != allowed:
            raise AssertionError(f"the mask and advance disagree on token {token}")
        if not stepped:
            return False
    return True


def run_cold(cases: Sequence[Case], vocabulary: constrain.Vocabulary, figures: Figures) -> None:
    """A few cases with the shared engine emptied before each."""
    row = vocabulary.new_rows()[0]
    for case in cases:
        vocabulary.clear()
        gc.collect()
        begin = time.perf_counter()
        try:
            automaton = constrain.compile(constrain.json_schema(case.schema), vocabulary)
            automaton.matcher().fill_mask(row)
            figures.cold_to_first.append(time.perf_counter() - begin)
            for text, _ in case.texts[:1]:
                read(automaton, vocabulary.encode(text.encode()), figures.cold)
        except constrain.ConstrainError:
            continue


def batch(
    automata: Sequence[constrain.TokenAutomaton], vocabulary: constrain.Vocabulary, seed: int
) -> tuple[float, float, bool]:
    """Seconds for 64 matchers at random places: one call, 64 calls; and whether the masks are equal. Best of 20, warm."""
    rng, matchers = random.Random(seed), []
    turns = itertools.cycle(automata)
    while len(matchers) < 64:
        matcher = next(turns).matcher()
        try:
            ids = vocabulary.encode(matcher.completion())
        except constrain.LimitExceeded:
            continue
        for token in ids[: rng.randrange(len(ids) + 1)]:
            if not matcher.advance(token):
                break
        matchers.append(matcher)
    rows, singles = vocabulary.new_rows(64), vocabulary.new_rows(64)
    together, apart = [], []
    for _ in range(20):
        begin = time.perf_counter()
        constrain.fill_masks(matchers, rows)
        together.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        for i, matcher in enumerate(matchers):
            matcher.fill_mask(singles, i)
        apart.append(time.perf_counter() - begin)
    return min(together), min(apart), bool((rows == singles).all())


# ---------------------------------------------------------------------- printing
def row(name: str, *cells: object) -> None:
    print(f"{name:<34}" + "".join(f"{c!s:>12}" for c in cells))


def quantiles(name: str, seconds: Sequence[float], unit: float = 1e6, digits: int = 1) -> None:
    if not seconds:
        return row(name, *["-"] * 6)
    values = np.asarray(seconds) * unit
    cells = [f"{np.quantile(values, q):.{digits}f}" for q in (0.5, 0.9, 0.99, 0.999)]
    return row(name, *cells, f"{values.max():.{digits}f}", len(values))


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def print_environment(vocabulary: constrain.Vocabulary, tokenizer: str | None, cases: int) -> None:
    versions = []
    for package in ("numpy", "transformers", "tokenizers"):
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} absent")
    print(
        f"machine      {platform.machine()}, {_processor()}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}"
    )
    print(f"versions     constrain {constrain.__version__}, Python {platform.python_version()}, {', '.join(versions)}")
    name = Path(tokenizer).name if tokenizer else "embedded model"
    sizes = f"{len(vocabulary)} tokens, {vocabulary.kernel.trie_nodes} trie nodes, {vocabulary.mask_words} words a row"
    print(f"vocabulary   {name}: {sizes}")
    print(f"work         {cases} schemas" + ("" if MASKBENCH.exists() else " (MaskBench is absent)"))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), platform.processor() or "?")


def resident() -> int:
    """Resident bytes now; the peak where the system does not say."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (0 if sys.platform == "darwin" else 10)


def print_table(figures: Figures, memory: dict[str, int], before: int, after: int) -> None:
    print()
    row("", "p50", "p90", "p99", "p99.9", "max", "count")
    quantiles("mask + advance, first visit, us", figures.first)
    quantiles("mask + advance, warm, us", figures.warm)
    quantiles("mask + advance, cold engine, us", figures.cold)
    for seconds, name, text in figures.slowest:
        print(f"  slowest first visits: {seconds * 1e3:.2f} ms in {name} after {text!r}")
    quantiles("compile, ms", figures.compile, 1e3, 2)
    quantiles("compile to first mask, ms", figures.to_first_mask, 1e3, 2)
    quantiles("the same, cold engine, ms", figures.cold_to_first, 1e3, 2)
    print()
    row("correctness", "right", "wrong")
    row("valid instances accepted", figures.accepted, len(figures.wrongly_refused))
    row("invalid instances refused", figures.refused, len(figures.wrongly_accepted))
    names = ", ".join(f"{k} {n}" for k, n in figures.uncompiled.items())
    row("schemas not compiled", sum(figures.uncompiled.values()), "" if not names else f"  ({names})")
    row("instances over a work limit", figures.over_limit)
    for name in (*figures.wrongly_refused[:5], *figures.wrongly_accepted[:5]):
        print(f"  wrong: {name}")
    print()
    statistics = figures.statistics
    misses = statistics["judgements"] - statistics["judgement_hits"] + statistics["interiors_built"]
    interiors = statistics["interiors_built"] + statistics["interior_hits"]
    row("masks filled", statistics["fills"])
    row("of which published before", share(statistics["published_hits"], statistics["fills"]))
    row(
        "judgements found in the memo",
        share(statistics["judgement_hits"], statistics["judgements"]),
        statistics["judgements"],
    )
    row("interiors found in the memo", share(statistics["interior_hits"], interiors), interiors)
    row("trie nodes visited per miss", f"{statistics['trie_nodes_visited'] / misses:.1f}" if misses else "-", misses)
    row("memos cleared", statistics["memo_clears"])
    row("trie, MiB", f"{memory['trie'] / 2**20:.1f}")
    row("engine, MiB (of at most)", f"{memory['engine'] / 2**20:.1f}", f"{memory['engine_budget'] / 2**20:.0f}")
    row("resident, MiB: before, after", f"{before / 2**20:.0f}", f"{after / 2**20:.0f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Masks in figures.")
    parser.add_argument("--tokenizer", help="folder or name for transformers; default: the embedded model's")
    parser.add_argument("--files", type=int, default=300, help="files of MaskBench")
    parser.add_argument("--cold", type=int, default=30, help="schemas measured with an emptied engine")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    vocabulary = load_vocabulary(options.tokenizer)
    cases = [*bundled(), *maskbench(options.files, options.seed)]
    print_environment(vocabulary, options.tokenizer, len(cases))
    before = resident()
    figures, automata = run(cases, vocabulary)
    memory, after = vocabulary.memory(), resident()
    together, apart, equal = batch(automata, vocabulary, options.seed)
    run_cold(cases[: options.cold], vocabulary, figures)
    print_table(figures, memory, before, after)
    row(
        "64 masks: one call, 64 calls, us",
        f"{together * 1e6:.1f}",
        f"{apart * 1e6:.1f}",
        "equal" if equal else "DIFFERENT",
    )


if __name__ == "__main__":
    main()
