"""The gate: random small schemas over a tiny vocabulary; liveness of every reachable prefix and every mask, cold and warm.

Liveness is checked from both sides without a bound on length. Sound: from every prefix reached, the canonical completion
is a text that the oracle accepts. Complete: every prefix of every small accepted text is viable and the text accepted.
A mask must equal the tokens whose bytes may follow one by one, whatever was computed before.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable

import numpy as np
import pytest
from oracles import TINY, compact, decimal_instance, instances, no_duplicate_keys, random_schema, valid

import constrain

SMALL = [(compact(x), x) for x in instances()]


def compiled(schema, vocabulary=TINY, **options):
    return constrain.compile(constrain.json_schema(schema, whitespace="compact", **options), vocabulary)


def spelled(text: str) -> bool:
    singles = {t for t in TINY.tokens if t and len(t) == 1}
    return all(bytes([b]) in singles for b in text.encode())


def check(schema, numbers: str, rng: random.Random) -> int:
    accepted = [t for t, x in SMALL if spelled(t) and valid(schema, x)]
    try:
        automaton = compiled(schema, numbers=numbers)
    except constrain.EmptyLanguage:
        assert not accepted, (schema, accepted[:3])
        return 0
    for text, x in SMALL:
        if spelled(text):
            assert automaton.accepts(text) == valid(schema, x), (schema, text)
            if valid(schema, x):
                assert automaton.viable(text) == len(text.encode())
    return walk(automaton, schema, rng)


def walk(automaton, schema, rng: random.Random) -> int:
    """Random walks over masks; each state is judged against stepping every token."""
    states = 0
    row = TINY.new_rows()[0]
    for _ in range(3):
        matcher = automaton.matcher()
        so_far = b""
        for _ in range(12):
            matcher.fill_mask(row)
            got = np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist()
            assert got == [t for t in range(len(TINY)) if matcher.allows(t)], (schema, so_far)
            text = (so_far + matcher.completion()).decode()
            assert valid(schema, decimal_instance(text)), (schema, so_far, text)
            assert no_duplicate_keys(text)
            states += 1
            token = rng.choice(got)
            distance = matcher.distance()
            if distance:
                assert any(lowers(matcher, t, distance) for t in got if t not in TINY.eos_token_ids), (schema, so_far)
            matcher.advance(token)
            if matcher.ended:
                assert valid(schema, decimal_instance(so_far.decode()))
                break
            so_far += TINY.tokens[token] or b""
    return states


def lowers(matcher, token: int, distance: int) -> bool:
    ahead = matcher.fork()
    return ahead.advance(token) and ahead.distance() < distance


def run(seeds: range) -> int:
    states = 0
    for seed in seeds:
        rng = random.Random(seed)
        schema = random_schema(rng)
        if seed % 50 == 0:
            TINY.clear()  # cold
        states += check(schema, rng.choice(["plain", "json"]), rng)
    return states


def test_small_schemas_cold_and_warm():
    assert run(range(250)) > 2000


def run_options(seeds: Iterable[int]) -> int:
    """Automata that differ in options as well share one vocabulary, and so an engine."""
    states = 0
    for seed in seeds:
        rng = random.Random(seed)
        schema = random_schema(rng)
        options = {
            "whitespace": rng.choice(["compact", "bounded", "free", 0, 1, 2]),
            "order": rng.choice(["any", "any", "schema"]),
            "numbers": rng.choice(["json", "plain"]),
        }
        try:
            automaton = constrain.compile(constrain.json_schema(schema, **options), TINY)
        except constrain.EmptyLanguage:
            continue
        states += walk(automaton, schema, rng)
    return states


def test_small_schemas_under_random_options():
    assert run_options(range(150)) > 1500


def test_names_in_order_leave_enough_for_a_least_number():
    schema = {"properties": {"ab": {}, "b": {}, "a": {}}, "additionalProperties": False, "minProperties": 2}
    automaton = constrain.compile(constrain.json_schema({"type": "object", **schema}, order="schema"), TINY)
    assert automaton.viable(b'{"a') == 3  # as the beginning of "ab"
    assert automaton.viable(b'{"a"') == 3
    assert automaton.accepts(b'{"b":1,"a":2}')
    assert run_options([1883, 3007]) > 0


def test_small_schemas_without_some_characters():
    """Intersections with all texts of some bytes: what is valid and has no other is accepted, and so are completions."""
    judged = 0
    for seed in range(60):
        rng = random.Random(seed)
        schema, missing = random_schema(rng), rng.sample('{[]:,"1ab', rng.randint(1, 2))
        regular = constrain.regex("[^" + "".join(map(re.escape, missing)) + "]*")
        accepted = {t for t, x in SMALL if spelled(t) and valid(schema, x) and not set(missing) & set(t)}
        try:
            automaton = constrain.compile(constrain.json_schema(schema, whitespace="compact") & regular, TINY)
        except constrain.EmptyLanguage:
            assert not accepted, (schema, missing)
            continue
        for text, _ in SMALL:
            if spelled(text):
                assert automaton.accepts(text) == (text in accepted), (schema, missing, text)
        for _ in range(3):
            matcher, text = automaton.matcher(), b""
            for _ in range(8):
                whole = (text + matcher.completion()).decode()
                assert valid(schema, decimal_instance(whole)), (schema, missing, whole)
                assert not set(missing) & set(whole), (schema, missing, whole)
                allowed = np.flatnonzero(matcher.mask()).tolist()
                assert allowed == [t for t in range(len(TINY)) if matcher.allows(t)], (schema, missing, text)
                token = rng.choice(allowed)
                matcher.advance(token)
                if matcher.ended:
                    break
                text += TINY.tokens[token] or b""
                judged += 1
    assert judged > 200


@pytest.mark.slow
def test_ten_thousand_small_schemas():
    assert run(range(10_000)) > 80_000
    assert run_options(range(5_000)) > 50_000


def test_masks_do_not_depend_on_what_was_computed_before():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "object"}}, "b": {"type": "string"}},
    }
    text = b'{"b":"ab","a":[{},{"a":[1,{}]}]}'
    masks = []
    for warm in (False, True, True):
        if not warm:
            TINY.clear()
        automaton = compiled(schema)
        matcher, row = automaton.matcher(), TINY.new_rows()[0]
        seen = []
        for b in text:
            matcher.fill_mask(row)
            seen.append(row.copy().tobytes())
            assert matcher.advance(TINY.tokens.index(bytes([b])))
        masks.append(seen)
    assert masks[0] == masks[1] == masks[2]


def test_limit_outcomes_do_not_depend_on_warmth():
    limits = constrain.Limits(compile_work=30)
    grammar = constrain.json_schema(
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a|b){9}$"}}}
    )
    for _ in range(2):
        TINY.clear()
        with pytest.raises(constrain.LimitExceeded):
            constrain.compile(grammar, TINY, limits)


def test_budget_masks_finish_in_time():
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "array"}}, "required": ["a"]}
    automaton = compiled(schema)
    rng = random.Random(3)
    row = TINY.new_rows()[0]
    for trial in range(40):
        matcher, text = automaton.matcher(), b""
        budget = matcher.distance() + trial % 6
        for left in range(budget, -1, -1):
            assert matcher.fill_mask(row, 0, left)
            token = rng.choice(np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist())
            assert matcher.advance(token)
            if matcher.ended:
                break
            text += TINY.tokens[token] or b""
        assert matcher.accepting
        assert valid(schema, json.loads(text))


def test_a_budget_below_the_distance_is_said():
    matcher = compiled({"const": "abab"}).matcher()
    row = TINY.new_rows()[0]
    assert matcher.fill_mask(row, 0, 1) is False
    assert row.any()
