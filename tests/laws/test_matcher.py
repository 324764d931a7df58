"""The contract of states and matchers: fork, rollback, replay, ends, rows, and what never raises."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from oracles import BYTES, TINY

import constrain

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


def automaton(vocabulary=BYTES):
    return constrain.compile(constrain.json_schema(SCHEMA), vocabulary)


def read(matcher, text: bytes) -> bool:
    return all(matcher.advance(b) for b in text)


def test_replay_fork_and_rollback_give_equal_states_and_masks():
    a = automaton()
    m = a.matcher()
    assert read(m, b'{"a": 1')
    f = m.fork()
    before = m.mask()
    assert read(m, b"23}")
    m.rollback(3)
    assert m.state == f.state
    assert hash(m.state) == hash(f.state)
    assert (m.mask() == before).all()
    again = a.matcher()
    read(again, b'{"a": 1')
    assert again.state == m.state
    assert a.matcher(m.state).state == m.state


def test_tokens_with_equal_bytes_lead_to_equal_states():
    a = automaton(TINY)
    one, two = a.matcher(), a.matcher()
    assert one.advance(TINY.tokens.index(b'{"'))
    assert two.advance(TINY.tokens.index(b"{"))
    assert two.advance(TINY.tokens.index(b'"'))
    assert one.state == two.state


def test_ends():
    m = automaton().matcher()
    assert not m.advance(256)
    assert read(m, b'{"a":1}')
    assert m.accepting
    assert m.finished
    assert not m.ended
    assert m.advance(256)
    assert m.ended
    assert m.accepting
    assert np.flatnonzero(m.mask()).tolist() == [256]
    assert m.advance(256)
    assert not m.advance(ord(" "))
    assert m.ended


def test_validate_counts_up_to_the_end_token():
    m = automaton().matcher()
    assert m.validate([*b'{"a":1}', 256, 65]) == 8
    assert m.validate([*b'{"b"']) == 2
    assert m.state == automaton().start or m.state is not None


def test_ids_out_of_range_are_refused_and_never_raise():
    m = automaton().matcher()
    for token in (-1, 257, 10**6):
        assert not m.allows(token)
        assert not m.advance(token)


def test_rollback_beyond_the_start_raises():
    m = automaton().matcher()
    read(m, b"{")
    with pytest.raises(ValueError, match="start"):
        m.rollback(2)
    m.rollback(1)
    m.reset()


def test_rows():
    m = automaton().matcher()
    long = np.full(20, -1, dtype=np.int32)
    m.fill_mask(long)
    assert not long[9:].any()
    with pytest.raises(constrain.VocabularyError):
        m.fill_mask(np.zeros(3, dtype=np.int32))
    with pytest.raises(constrain.VocabularyError):
        m.fill_mask(np.zeros(9, dtype=np.float32))
    block = np.zeros((2, 9), dtype=np.uint32)
    m.fill_mask(block, 1)
    assert not block[0].any()
    assert block[1].any()
    with pytest.raises(IndexError):
        m.fill_mask(block, 2)


def test_a_batch_equals_single_fills_and_runs_beside_other_threads():
    a = automaton()
    texts = [b"", b"{", b'{"a', b'{"a":', b'{"a": 12', b'{"a":1}']
    matchers = [a.matcher() for _ in texts]
    for m, t in zip(matchers, texts, strict=True):
        assert read(m, t)
    rows = BYTES.new_rows(len(texts))
    assert constrain.fill_masks(matchers, rows) == [True] * len(texts)
    for i, m in enumerate(matchers):
        single = BYTES.new_rows()[0]
        m.fill_mask(single)
        assert (single == rows[i]).all()
    wrong: list[int] = []

    def work() -> None:
        mine = a.matcher()
        row = BYTES.new_rows()[0]
        for _ in range(200):
            mine.reset()
            for b in b'{"a": 12}':
                mine.fill_mask(row)
                if not mine.advance(b):
                    wrong.append(b)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for _ in range(50):
        constrain.fill_masks(matchers, rows)
    for t in threads:
        t.join()
    assert not wrong


def test_forced_spans_and_explanations():
    m = automaton().matcher()
    read(m, b'{"')
    assert m.forced_bytes() == b""  # an escape may stand for the a
    assert m.explain(b'{"').expected == b"\\a"
    m = constrain.compile(constrain.choice(["alpha-one", "alpha-two"]), BYTES).matcher()
    assert m.forced_bytes() == b"alpha-"
    assert m.forced_tokens() == list(b"alpha-")
    assert m.distance() == len(b"alpha-one")


def test_composition_of_regexes():
    g = (constrain.regex("a+") | constrain.literal("b")) + constrain.choice(["x", "yy"])
    a = constrain.compile(g & constrain.regex(".{3}"), BYTES)
    assert [a.accepts(t) for t in ("aax", "ayy", "byy", "bx", "aaax")] == [True, True, True, False, False]
    b = constrain.compile(constrain.literal("x=") + constrain.json_schema({"type": "boolean"}), BYTES)
    assert [b.accepts(t) for t in ("x=true", "x=", "true", "x=1")] == [True, False, False, False]
    with pytest.raises(constrain.UnsupportedFeature):
        _ = g & constrain.json_schema(True)
    either = constrain.compile(constrain.json_schema({"const": 1}) | g, BYTES)
    assert [either.accepts(t) for t in ("1", "bx", "1bx")] == [True, True, False]
    with pytest.raises(constrain.UnsupportedFeature, match="a JSON Schema intersects"):
        constrain.json_schema({}) & g
