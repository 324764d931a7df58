"""Limits are a matter of the grammar, the text and the limit: never of what an engine did before.

Each operation along some texts is run in an engine that knows nothing, then again, and after other grammars; what it returns,
or that it meets its limit, must be the same each time, and so must the work that compiling counts.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from oracles import TINY, compact, instances, random_schema

import constrain

WORK = (30, 150, 600, 3_000, 20_000_000)
PATTERNS = (
    "(a|b)*a(a|b){3}",
    "(?=.*1)[a-b0-9]{2,12}",
    "(?!.*aa)[ab]{3,40}",
    "([ab]{1,3}-)*[01]{2}",
    "(ab|ba){2,5}|[0-3]+",
    "(?=[ab]*1)(?=.{4,9}$)[ab1]+",
)
ENDS = (
    {"type": "string", "pattern": "^[ab]+$", "minLength": 2, "maxLength": 5},
    {"type": "string", "allOf": [{"pattern": "a.*b"}, {"pattern": "b.*a"}], "not": {"pattern": "bb"}},
    {"type": "number", "multipleOf": 3, "exclusiveMinimum": 10, "maximum": 300},
    {"type": "array", "uniqueItems": True, "items": {"enum": [1, 2, None, "a"]}, "minItems": 3},
    {"anyOf": [{"type": "array", "items": {"$ref": "#"}, "minItems": 1}, {"type": "null"}]},
    {
        "type": "object",
        "patternProperties": {"^a": {"type": "integer"}, "b$": {"type": "null"}},
        "additionalProperties": False,
        "minProperties": 2,
    },
    {"oneOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {"type": "null"}}}]},
)


def outcome(operation: Callable[[], Any]) -> Any:
    try:
        found = operation()
    except constrain.LimitExceeded as e:
        return "limit", e.where
    except constrain.GrammarError as e:
        return type(e).__name__
    return found.tobytes() if hasattr(found, "tobytes") else found


def story(grammar: Any, limits: constrain.Limits, texts: list[bytes], fresh: Callable[[], None]) -> list[Any]:
    """The outcomes of all operations along `texts`; `fresh` is called before each grammar is compiled and each text is read."""
    told: list[Any] = []
    for text in texts:
        fresh()
        found: list[Any] = []

        def compiled(found: list[Any] = found) -> Any:
            found.append(constrain.compile(grammar, TINY, limits))
            return found[0].report.compile_work

        told.append(outcome(compiled))
        if not found:
            return told
        matcher = found[0].matcher()
        for byte in text:
            told.append(outcome(matcher.mask))
            told.append(outcome(matcher.distance))
            told.append(outcome(matcher.forced_bytes))
            told.append(outcome(lambda m=matcher: m.finished))
            row = TINY.new_rows()[0]
            told.append(outcome(lambda m=matcher, r=row: (m.fill_mask(r, budget=6), r.tobytes())))
            token = TINY.tokens.index(bytes([byte])) if bytes([byte]) in TINY.tokens else None
            told.append(outcome(lambda m=matcher, t=token: t is not None and m.advance(t)))
            if told[-1] is not True:
                break
        else:
            told.append(outcome(matcher.completion))
    return told


def cases(number: int) -> list[tuple[Any, list[bytes]]]:
    rng = random.Random(f"limits {number}")
    texts = [compact(x).encode() for x in rng.sample(list(instances()), 6)]
    texts += [b'{"a":1,"b":null', b'"ab', b"12", b"[1,2,", b'[["a"']
    if number % 4 == 3:
        pattern = PATTERNS[rng.randrange(len(PATTERNS))] + rng.choice(["", "a?", "|b{2}"])
        return [(constrain.regex(pattern), [b"abab1", b"aab", b"0011", b"b"])]
    schema = (
        random_schema(rng) if rng.random() < 0.6 else {"allOf": [ENDS[rng.randrange(len(ENDS))], random_schema(rng)]}
    )
    return [
        (
            constrain.json_schema(json.dumps(schema), whitespace="compact", numbers=rng.choice(["json", "plain"])),
            rng.sample(texts, 3),
        )
    ]


@pytest.mark.parametrize("start", range(0, 200, 20))
def test_a_limit_is_met_cold_and_warm_alike(start):
    check(range(start, start + 20))


@pytest.mark.slow
def test_a_limit_is_met_cold_and_warm_alike_at_length():
    check(range(200, 3000))


def check(numbers: range) -> None:
    others = [constrain.json_schema(schema, whitespace="compact") for schema in ENDS]
    for number in numbers:
        rng = random.Random(number)
        for grammar, texts in cases(number):
            limits = constrain.Limits(compile_work=rng.choice(WORK), mask_work=rng.choice(WORK))
            cold = story(grammar, limits, texts, TINY.clear)
            assert cold == story(grammar, limits, texts, lambda: None), (number, "warm")
            TINY.clear()
            for other in rng.sample(others, 3):
                matcher = constrain.compile(other, TINY).matcher()
                matcher.mask()
                matcher.completion()
            assert cold == story(grammar, limits, texts, lambda: None), (number, "after others")
            assert cold == story(grammar, limits, texts, lambda: None), (number, "once more")
