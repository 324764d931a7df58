"""Batches: every row, verdict and error is that of a single fill, whatever the threads, the order and what was filled before.

The oracle is `Matcher.fill_mask` row by row, over a vocabulary of its own.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

import constrain

JOINTS = [b'{"', b'":', b'", "', b'"}', b"},", b"]]", b"12", b"null", b"true", b"ab", b"\n  ", b"(a", b'\\"', b"a+"]
SCHEMAS = [
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]},
    {"type": "array", "items": {"enum": ["a", "ab", 12, None, {"a": []}]}, "maxItems": 5},
    {"type": "string", "maxLength": 7, "pattern": "^[a-c]+1?"},
    {"type": "number", "minimum": -3, "exclusiveMaximum": 120, "multipleOf": 0.5},
    {
        "oneOf": [
            {"type": "string", "minLength": 2},
            {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        ]
    },
    {"type": "object", "patternProperties": {"^a": {"type": "null"}}, "additionalProperties": {"type": "boolean"}},
    {"type": "object", "properties": {"t": {"$ref": "#"}, "v": {"const": "ab"}}, "additionalProperties": False},
    {"type": "array", "contains": {"type": "integer", "minimum": 10}, "minItems": 2, "uniqueItems": True},
]
GRAMMARS = [
    'start: e\n?e: e "+" t | t\n?t: NAME | "(" e ")"\nNAME: /[ab]+/\n%ignore " "',
    'start: "{" (pair ("," pair)*)? "}"\npair: S ":" v\nv: S | N | start\nS: /"[^"]*"/\nN: /[0-9]+/',
    'start: "a" d+\nd: %json {"type": "object", "properties": {"b": {"type": "integer"}}, "additionalProperties": false}',
]


def vocabulary(shards: int = 1) -> constrain.Vocabulary:
    return constrain.Vocabulary([*(bytes([b]) for b in range(256)), *JOINTS, None], [256 + len(JOINTS)], shards=shards)


def sources() -> list[constrain.Grammar]:
    return [
        *(constrain.json_schema(s) for s in SCHEMAS),
        *(constrain.json_schema(s, order="schema", whitespace="pretty") for s in SCHEMAS[:3]),
        *(constrain.regex(p) for p in (r"(ab|a)*12?", r"[^\n]{3,9}", r"\d{1,3}(\.\d+)?")),
        *(constrain.lark(g) for g in GRAMMARS),
    ]


class Batch:
    """The same matchers over any vocabulary: at the ends of random walks, with budgets, some of them twice."""

    def __init__(self, seed: int, shards: int = 1, size: int = 48) -> None:
        rng, self.vocabulary = random.Random(seed), vocabulary(shards)
        automata = [constrain.compile(g, self.vocabulary) for g in sources()]
        self.matchers: list[constrain.Matcher] = []
        for _ in range(size):
            if self.matchers and rng.random() < 0.15:
                self.matchers.append(rng.choice(self.matchers))
                continue
            matcher = rng.choice(automata).matcher()
            walk(matcher, matcher.automaton.vocabulary.encode(matcher.completion()), rng)
            self.matchers.append(matcher)
        self.budgets = [rng.randrange(-2, 12) if rng.random() < 0.2 else None for _ in range(size)]

    def rows(self) -> np.ndarray:
        """Longer than a mask, all set."""
        return np.full((len(self.matchers), self.vocabulary.mask_words + 2), -1, dtype=np.int32)

    def single(self) -> tuple[np.ndarray, list[bool]]:
        rows = self.rows()
        return rows, [m.fill_mask(rows, i, b) for i, (m, b) in enumerate(zip(self.matchers, self.budgets, strict=True))]

    def filled(self, threads: int | None) -> tuple[np.ndarray, list[bool]]:
        rows = self.rows()
        return rows, constrain.fill_masks(self.matchers, rows, self.budgets, threads)


def walk(matcher: constrain.Matcher, canonical: Sequence[int], rng: random.Random) -> None:
    """Any allowed tokens for a while; now and then along the canonical text, which gets further."""
    if rng.random() < 0.5:
        for token in canonical[: rng.randrange(len(canonical) + 1)]:
            matcher.advance(token)
    for _ in range(rng.randrange(8)):
        allowed = np.flatnonzero(matcher.mask())
        matcher.advance(int(allowed[rng.randrange(len(allowed))]))


@pytest.mark.parametrize("seed", range(6))
def test_a_batch_equals_single_fills_cold_and_warm_on_any_threads(seed: int) -> None:
    expected, verdicts = Batch(seed).single()
    for shards in (1, 3):
        batch = Batch(seed, shards)
        for threads in (4, 1, 2, None):
            rows, fits = batch.filled(threads)
            assert fits == verdicts
            assert (rows == expected).all()
        assert batch.vocabulary.shards == shards


def test_masks_outlive_what_is_cleared() -> None:
    batch = Batch(11)
    expected, _ = batch.single()
    batch.vocabulary.clear()
    assert (batch.filled(2)[0] == expected).all()
    batch.vocabulary.kernel.engine_budget = 0  # every automaton begins an engine
    for grammar in sources():
        constrain.compile(grammar, batch.vocabulary).prepare()
    assert (batch.filled(2)[0] == expected).all()


def test_published_masks_are_counted_and_found() -> None:
    v = vocabulary()
    m = constrain.compile(constrain.json_schema(SCHEMAS[0]), v).matcher()
    row = v.new_rows()[0]
    for _ in range(3):
        m.fill_mask(row)
    before = v.stats()
    m.fill_mask(row)
    after = v.stats()
    assert after["published_hits"] == before["published_hits"] + 1
    assert after["fills"] == before["fills"] + 1
    assert after["judgements"] == before["judgements"]


def hostile(v: constrain.Vocabulary) -> list[constrain.Matcher]:
    """Matchers whose masks meet their limit, among others."""
    out = []
    for grammar in sources():
        for work in (2, 30, 150, 1_000_000):
            limits = constrain.Limits(compile_work=10**8, mask_work=work)
            out.append(constrain.compile(grammar, v, limits).matcher())
    return out


def test_rows_that_fail_are_zero_and_the_first_error_is_raised() -> None:
    def single(v: constrain.Vocabulary) -> tuple[np.ndarray, list[constrain.LimitExceeded | None]]:
        matchers, errors = hostile(v), []
        rows = v.new_rows(len(matchers))
        for i, m in enumerate(matchers):
            try:
                m.fill_mask(rows, i)
                errors.append(None)
            except constrain.LimitExceeded as e:
                errors.append(e)
                rows[i] = 0
        return rows, errors

    expected, errors = single(vocabulary())
    failed = [e for e in errors if e is not None]
    assert 3 <= len(failed) < len(errors)
    for shards in (1, 4):
        v = vocabulary(shards)
        matchers = hostile(v)
        for threads in (3, 1, None):
            rows = v.new_rows(len(matchers))
            rows[:] = -1
            with pytest.raises(constrain.LimitExceeded) as e:
                constrain.fill_masks(matchers, rows, threads=threads)
            assert e.value.limit == failed[0].limit
            assert (rows == expected).all()


def test_what_a_batch_refuses_and_odd_rows() -> None:
    v = vocabulary()
    m = constrain.compile(constrain.json_schema(SCHEMAS[0]), v).matcher()
    rows = v.new_rows(2)
    for threads in (0, -1):
        with pytest.raises(ValueError, match="at least one thread"):
            constrain.fill_masks([m], rows, threads=threads)
    with pytest.raises(ValueError, match="one budget"):
        constrain.fill_masks([m, m], rows, [3])
    with pytest.raises(IndexError):
        constrain.fill_masks([m, m, m], rows)
    with pytest.raises(constrain.VocabularyError, match="shards"):
        vocabulary(0)
    assert constrain.fill_masks([], rows) == []
    assert constrain.fill_masks([m, m], rows, [-1, None]) == [False, True]
    one = v.new_rows()[0]
    m.fill_mask(one)
    same = np.lib.stride_tricks.as_strided(v.new_rows()[0], (3, v.mask_words), (0, 4))
    constrain.fill_masks([m, m, m], same, threads=3)
    assert (same[0] == one).all()


def test_callers_beside_each_other_get_the_same_rows() -> None:
    expected, _ = Batch(5).single()
    batch, wrong = Batch(5, shards=2), []

    def fill() -> None:
        for _ in range(20):
            if not (batch.filled(2)[0] == expected).all():
                wrong.append(1)

    callers = [threading.Thread(target=fill) for _ in range(3)]
    for c in callers:
        c.start()
    for _ in range(20):  # compiles and asks while batches run
        constrain.compile(constrain.json_schema(SCHEMAS[1]), batch.vocabulary).prepare()
        assert batch.vocabulary.memory()["engine"] > 0
        assert batch.vocabulary.stats()["fills"] > 0
    for c in callers:
        c.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_after_a_batch_fills_batches() -> None:
    batch = Batch(7, shards=3)
    expected, _ = batch.filled(4)
    child = os.fork()
    if child == 0:
        os._exit(0 if (batch.filled(4)[0] == expected).all() else 1)
    for _ in range(300):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_refused_vocabulary_can_be_asked_for_its_memory() -> None:
    v = constrain.Vocabulary([*(bytes([b]) for b in b'"\\u012{}:,'), None], [10])
    with pytest.raises(constrain.UnsupportedFeature):
        constrain.compile(constrain.json_schema({"type": "string"}), v)
    assert v.memory()["engine"] == 0
    assert v.stats()["fills"] == 0
