"""Strings within items that must differ: one stands for many in their masks, so every mask is compared with stepping each token,
over a vocabulary in which the inside of a string is dense and tokens hold several strings."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from oracles import decimal_instance, valid

import constrain

BYTES = [bytes([b]) for b in dict.fromkeys(b'{}[]",:-.0123abxyz~nulltrefs ')]
WORDS = [
    b'","', b'",', b'"]', b'"}', b'":"', b'":', b'{"', b'["', b'"},{"', b'"],["', b'","a', b'","b"', b'a","a', b'a"]',
    b'b"},{"a":"', b'{"a":"', b'"a":', b'a":"b', b'b"}', b'"},', b'"]]', b"1,2", b'","",', b'",""', b"{}", b"ab", b"xy", b"~0",
    b"~1", b'"~0"', b'","~0"', b'a"},{"a":"a"', b"],[", b'],["a"', b'"a","a"', b'"b","a',
]  # fmt: skip
LETTERS = [bytes(p) for n in (2, 3) for p in itertools.product(b"abxyz~", repeat=n)]
TOKENS = list(dict.fromkeys([*BYTES, *WORDS, *LETTERS]))
VOCABULARY = constrain.Vocabulary([*TOKENS, None], [len(TOKENS)])

PATTERNS = ["^a", "b$", "^[ab]*$", "^[ab]{1,2}$", "x"]
CHOICES = [["a", "b"], ["a"], ["a", "ab", "~0"], ["x", 1], ["", "a"]]


def random_item(rng: random.Random, depth: int):
    kinds = ["free", "free", "pattern", "short", "enum", "types", "any"] + ["object", "object", "array"] * (depth > 0)
    kind = rng.choice(kinds)
    if kind == "pattern":
        return {"type": "string", "pattern": rng.choice(PATTERNS)}
    if kind == "short":
        return {"type": "string", "maxLength": rng.randint(1, 3)}
    if kind == "enum":
        return {"enum": rng.choice(CHOICES)}
    if kind == "types":
        return {"type": ["string", "integer"]}
    if kind == "object":
        return random_object(rng, depth)
    if kind == "array":
        return random_array(rng, depth - 1)
    return {"type": "string"} if kind == "free" else {}


def random_object(rng: random.Random, depth: int):
    members = {name: random_item(rng, depth - 1) for name in rng.sample(["a", "b"], rng.randint(1, 2))}
    schema = {"type": "object", "properties": members}
    if rng.random() < 0.6:
        schema["required"] = [name for name in members if rng.random() < 0.7]
    if rng.random() < 0.5:
        schema["additionalProperties"] = rng.choice([False, random_item(rng, 0)])
    return schema


def random_array(rng: random.Random, depth: int):
    schema = {"type": "array", "items": random_item(rng, depth)}
    extras = {
        "uniqueItems": lambda: True,
        "prefixItems": lambda: [random_item(rng, depth)],
        "maxItems": lambda: rng.randint(1, 3),
        "minItems": lambda: rng.randint(1, 3),
        "contains": lambda: random_item(rng, 0),
    }
    for keyword, chance in zip(extras, (0.7, 0.3, 0.3, 0.3, 0.15), strict=True):
        if rng.random() < chance:
            schema[keyword] = extras[keyword]()
    return schema


def random_case(rng: random.Random):
    schema = {**random_array(rng, 2), "uniqueItems": True}
    around = [
        lambda: schema,
        lambda: {"not": {"uniqueItems": True}, "type": "array", "items": random_item(rng, 1), "maxItems": 3},
        lambda: {"anyOf": [schema, random_array(rng, 1)]},
        lambda: {"allOf": [schema, {"items": random_item(rng, 1)}]},
        lambda: {"type": "object", "properties": {"a": schema}, "required": ["a"]},
        lambda: {"oneOf": [schema, {"type": "array", "minItems": 2, "items": random_item(rng, 1)}]},
    ]
    return rng.choices(around, (5, 1, 1, 1, 1, 1))[0]()


def allowed(row) -> list[int]:
    return np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist()


def walk(automaton, schema, rng: random.Random) -> int:
    """One walk that prefers structure to letters; masks by stepping, the completion by a validator."""
    matcher, text, row = automaton.matcher(), b"", VOCABULARY.new_rows()[0]
    steps = 0
    for _ in range(14):
        matcher.fill_mask(row)
        got = allowed(row)
        assert got == [t for t in range(len(VOCABULARY)) if matcher.allows(t)], (schema, text)
        steps += 1
        tokens = [t for t in got if t < len(TOKENS)]
        structure = [t for t in tokens if set(TOKENS[t]) & set(b'"[]{},')]
        if not tokens:
            break
        token = rng.choice(structure if structure and rng.random() < 0.65 else tokens)
        matcher.advance(token)
        text += TOKENS[token]
    whole = (text + matcher.completion()).decode()
    assert valid(schema, decimal_instance(whole)), (schema, text, whole)
    return steps


def run(seeds: range) -> int:
    steps = 0
    for seed in seeds:
        rng = random.Random(seed)
        schema = random_case(rng)
        try:
            automaton = constrain.compile(constrain.json_schema(schema, whitespace="compact"), VOCABULARY)
        except constrain.EmptyLanguage:
            continue
        steps += sum(walk(automaton, schema, rng) for _ in range(3))
    return steps


def test_masks_of_items_that_must_differ():
    assert run(range(60)) > 1000


@pytest.mark.slow
def test_masks_of_many_items_that_must_differ():
    assert run(range(3000)) > 50_000


def test_strings_that_items_to_come_need_are_refused():
    """A first string may be any but those without which the others cannot differ."""
    enum = {"enum": ["a", "b"]}
    named = {"type": "object", "properties": {"a": enum}, "required": ["a"], "additionalProperties": False}
    free = {**named, "properties": {"a": {"type": "string"}}}
    one = {"type": "array", "items": enum, "minItems": 1, "maxItems": 1}
    cases = [
        ({"prefixItems": [{"type": "string"}], "items": enum}, b'["', b'"'),
        ({"prefixItems": [free], "items": named}, b'[{"a":"', b'"'),
        ({"prefixItems": [{"items": {"type": "string"}}], "items": one}, b'[["', b'"]'),
    ]
    for schema, begun, end in cases:
        schema = {"type": "array", "minItems": 3, "uniqueItems": True, **schema}
        automaton = constrain.compile(constrain.json_schema(schema, whitespace="compact"), VOCABULARY)
        for word, may_end in ((b"ab", True), (b"a", False), (b"b", False), (b"~0", True)):
            text = begun + word + end
            assert (automaton.viable(text) == len(text)) == may_end, (schema, text)
