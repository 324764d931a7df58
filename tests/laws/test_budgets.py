"""Masks within a budget: a token is allowed exactly if what it leads to can finish in what is left.

The fast mask judges one configuration of each kind; here every token is taken and asked for its distance. Objects whose
names decide about branches, patterns and counts are where kinds differ. What meets a limit of work is left out.
"""

import json
import random

import numpy as np
import pytest

import constrain

PIECES = """
    {" " ": "} } { : , ," a b c ab ba ca aa abc x 1 10 0 [ ] tr a": b":1 ab":" true null {"a": {"b
""".split()
TEXTS = sorted({*PIECES, *(chr(b) for b in range(0x20, 0x7F))})
VOCABULARY = constrain.Vocabulary([t.encode() for t in TEXTS] + [None], eos_token_ids=[len(TEXTS)])
NAMES = ["a", "b", "ab", "ba", "abc"]


def value(rng: random.Random, depth: int) -> dict:
    kinds = [
        {"type": "integer", "minimum": 9, "maximum": 11},
        {"const": "x"},
        {"enum": ["a", 1]},
        {"type": "string"},
        {"type": "null"},
    ]
    return obj(rng, depth - 1) if depth and rng.random() < 0.3 else rng.choice(kinds)


def obj(rng: random.Random, depth: int) -> dict:
    """An object whose names decide something."""
    out: dict = {"type": "object"}
    names = rng.sample(NAMES, rng.randint(0, 3))
    if names:
        out["properties"] = {n: value(rng, depth) for n in names}
        out["required"] = rng.sample(names, rng.randint(0, len(names)))
    if rng.random() < 0.4:
        out["patternProperties"] = {rng.choice(["^a", "b$", "c", "^.{2}$"]): value(rng, depth)}
    if rng.random() < 0.5:
        out["additionalProperties"] = rng.choice([False, value(rng, depth)])
    if rng.random() < 0.3:
        out["minProperties"] = rng.randint(1, 3)
    if rng.random() < 0.2:
        out["propertyNames"] = {"pattern": rng.choice(["^[ab]", "^.{0,3}$"])}
    if depth and rng.random() < 0.5:
        out[rng.choice(["oneOf", "anyOf"])] = [obj(rng, depth - 1) for _ in range(rng.randint(2, 4))]
    if depth and rng.random() < 0.2:
        out["not"] = obj(rng, 0)
    return out


def check(number: int) -> int:
    try:
        return compared(random.Random(f"budgets {number}"))
    except constrain.LimitExceeded:
        return 0


def compared(rng: random.Random) -> int:
    """Masks compared."""
    schema = obj(rng, 2)
    if rng.random() < 0.2:
        schema = {"type": "array", "items": schema, "minItems": 2, "uniqueItems": True}
    try:
        automaton = constrain.compile(constrain.json_schema(schema, whitespace="compact", numbers="plain"), VOCABULARY)
    except constrain.EmptyLanguage:
        return 0
    matcher, row, judged = automaton.matcher(), VOCABULARY.new_rows()[0], 0
    for _ in range(8):
        matcher.fill_mask(row)
        allowed = [t for t in range(len(TEXTS)) if row.view(np.uint32)[t >> 5] >> (t & 31) & 1]
        here = matcher.distance()
        ahead: dict[int, int] = {}
        for t in allowed:
            fork = matcher.fork()
            assert fork.advance(t)
            ahead[t] = fork.distance()
        for left in (here - 1, here, here + rng.randint(1, 3)):
            assert matcher.fill_mask(row, budget=max(left, 0)) == (max(left, 0) >= here)
            within = max(left, here) - 1
            fits = [t for t in range(len(TEXTS)) if row.view(np.uint32)[t >> 5] >> (t & 31) & 1]
            assert fits == [t for t in allowed if ahead[t] <= within], (json.dumps(schema), matcher.tokens, left)
            judged += 1
        if not allowed:
            break
        matcher.advance(rng.choice([t for t in allowed if ahead[t] <= here + 6] or allowed))
    return judged


def test_a_budget_mask_holds_what_can_finish():
    assert sum(check(n) for n in range(40)) > 500


@pytest.mark.slow
def test_a_budget_mask_holds_what_can_finish_at_length():
    assert sum(check(n) for n in range(40, 1_000)) > 10_000
