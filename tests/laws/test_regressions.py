"""Rows of `tests/data/regressions.toml`: texts whose verdict is easy to get wrong.

The rows are checked twice: an independent oracle must agree with what a row says, and the automaton must, read as bytes and
as tokens that cross lexemes.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import BYTES, decimal_instance, no_duplicate_keys, valid

import constrain

FILE = Path(__file__).resolve().parents[1] / "data" / "regressions.toml"
ROWS: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["row"]
COMPILED = [r for r in ROWS if "raises" not in r]
PIECES = [
    '{"',
    '"}',
    '":',
    '","',
    '":"',
    "],[",
    "}}",
    "[]",
    '"a":',
    "1.",
    ".0",
    "e-",
    "\\u00",
    "ab",
    "aab",
    "null",
    "\n  ",
]
WIDE = constrain.Vocabulary(
    [*(bytes([b]) for b in range(256)), *(p.encode() for p in PIECES), None], [256 + len(PIECES)]
)


def named(rows):
    return pytest.mark.parametrize("row", rows, ids=[r["name"] for r in rows])


def compiled(row, vocabulary=BYTES):
    if "regex" in row:
        return constrain.compile(constrain.regex(row["regex"]), vocabulary)
    options = {"whitespace": "compact", **row.get("options", {})}
    return constrain.compile(constrain.json_schema(row["schema"], **options), vocabulary)


def accepted(row):
    return [*row.get("accepts", []), *row.get("only_here_accepts", [])]


def refused(row):
    return [*row.get("refuses", []), *row.get("only_here_refuses", [])]


def verdict(row, text: str) -> bool:
    """What the oracle says."""
    if "regex" in row:
        return re.fullmatch(row["regex"], text) is not None
    try:
        instance = decimal_instance(text)
    except ValueError:
        return False
    return no_duplicate_keys(text) and valid(json.loads(row["schema"]), instance)


def read(automaton, text: str) -> bool:
    """Longest tokens first; each must be in the mask exactly if it may be consumed, and the end token at the end."""
    matcher, row = automaton.matcher(), automaton.vocabulary.new_rows()[0]
    for token in (*automaton.vocabulary.kernel.longest_tokens(text.encode()), automaton.vocabulary.eos_token_ids[0]):
        matcher.fill_mask(row)
        allowed = bool(np.unpackbits(row.view(np.uint8), bitorder="little")[token])
        assert matcher.advance(token) == allowed
        if not allowed:
            return False
    return True


def test_names_are_unique_and_rows_say_something():
    assert len({r["name"] for r in ROWS}) == len(ROWS)
    assert all("raises" in r or (accepted(r) and refused(r)) for r in ROWS)
    assert all("why" in r for r in ROWS if "only_here_accepts" in r or "only_here_refuses" in r)


@named(COMPILED)
def test_the_oracle_agrees_with_the_row(row):
    wrong = [t for t in row.get("accepts", []) if not verdict(row, t)] + [
        t for t in row.get("refuses", []) if verdict(row, t)
    ]
    assert not wrong
    assert all(verdict(row, t) for t in row.get("only_here_refuses", []))
    assert not any(verdict(row, t) for t in row.get("only_here_accepts", []))


@named(COMPILED)
@pytest.mark.parametrize("vocabulary", [BYTES, WIDE], ids=["bytes", "tokens"])
def test_the_automaton_agrees_with_the_row(row, vocabulary):
    automaton = compiled(row, vocabulary)
    for text in accepted(row):
        assert automaton.accepts(text), text
        assert automaton.viable(text) == len(text.encode())
        assert read(automaton, text), text
    for text in refused(row):
        assert not automaton.accepts(text), text
        assert not read(automaton, text), text


@named(COMPILED)
def test_every_prefix_of_an_accepted_text_can_be_finished(row):
    automaton = compiled(row)
    for text in accepted(row):
        matcher = automaton.matcher()
        data = text.encode()
        for i, token in enumerate(data):
            finished = (data[:i] + matcher.completion()).decode()
            assert automaton.accepts(finished), (text, finished)
            assert verdict(row, finished), (text, finished)
            assert matcher.advance(token)


@named([r for r in ROWS if "raises" in r])
def test_what_is_not_to_be_compiled_is_refused_by_name(row):
    with pytest.raises(getattr(constrain, row["raises"])):
        compiled(row)
