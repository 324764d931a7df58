"""Masks of numbers under ranges and multiples, with every spelling and the limits on digits far away.

The gate (`test_gate.py`) enumerates short texts, where the limits on digits are always near. Here whatever a prefix reaches by
up to three digits and a small exponent has to be allowed, and what is allowed to have a completion whose value the schema takes.
Windows of large multiples hold few numbers: their plain spellings are listed, and every mask on the way to them is compared.
Distances are compared with a breadth-first search through the masks.
"""

import itertools
import json
import math
import random
import re
from fractions import Fraction

import pytest

import constrain

BYTES = b"+-.0123456789eE"
VOCABULARY = constrain.Vocabulary([bytes([b]) for b in BYTES] + [b"<e>"], eos_token_ids=[len(BYTES)])
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
DIGITS = ["".join(d) for n in range(4) for d in itertools.product("0123456789", repeat=n)]
EXPONENTS = ["", *(f"e{e}" for e in range(-9, 10))]


def literal(rng: random.Random):
    """A keyword with its test of a value."""
    bound = Fraction(rng.randint(-120, 120), rng.choice([1, 1, 10, 100])) * rng.choice([1, 1, 1, 10])
    factor = Fraction(rng.choice([1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 25]), rng.choice([1, 1, 1, 2, 10]))
    return rng.choice(
        [
            ({"minimum": float(bound)}, lambda x: x >= bound),
            ({"not": {"maximum": float(bound)}}, lambda x: x > bound),
            ({"maximum": float(bound)}, lambda x: x <= bound),
            ({"not": {"minimum": float(bound)}}, lambda x: x < bound),
            ({"enum": [float(bound), 100, -7]}, lambda x: x in (bound, 100, -7)),
            ({"multipleOf": float(factor)}, lambda x: (x / factor).denominator == 1),
            ({"multipleOf": float(factor)}, lambda x: (x / factor).denominator == 1),
        ]
    )


def formula(rng: random.Random, depth: int = 2):
    """A schema of numbers with its test of a value."""
    kind = rng.choice(["literal", "not", "anyOf", "allOf"] if depth else ["literal"])
    if kind == "literal":
        return literal(rng)
    parts = [formula(rng, depth - 1) for _ in range(1 if kind == "not" else 2)]
    schemas, tests = [p[0] for p in parts], [p[1] for p in parts]
    if kind == "not":
        return {"not": schemas[0]}, lambda x: not tests[0](x)
    if kind == "anyOf":
        return {"anyOf": schemas}, lambda x: any(t(x) for t in tests)
    return {"allOf": schemas}, lambda x: all(t(x) for t in tests)


def value(text: str) -> Fraction:
    mantissa, _, exponent = text.lower().partition("e")
    return Fraction(mantissa) * Fraction(10) ** int(exponent or 0)


def live_bytes(prefix: str, good) -> set[str]:
    """Bytes after which some completion of the kind enumerated is good; may lack others."""
    if "e" in prefix or "E" in prefix:
        mantissas, exponents = (
            [prefix],
            [*DIGITS[:1111], *("-" + d for d in DIGITS[:111]), *("+" + d for d in DIGITS[:111])],
        )
    else:
        points = [""] if "." in prefix else ["", "."]
        signs = [""] if prefix else ["", "-"]
        integers = [s + prefix + a for s in signs for a in DIGITS]
        fractions = [s + prefix + p + a for s in signs for p in points if p for a in DIGITS] if prefix else []
        mantissas = integers + fractions
        exponents = EXPONENTS
    out: set[str] = set()
    for mantissa in mantissas:
        for exponent in exponents:
            text = mantissa + exponent
            if len(text) > len(prefix) and text[len(prefix)] not in out and good(text):
                out |= {"e", "E"} if text[len(prefix)] == "e" else {text[len(prefix)]}
    return out


def judge(test, kind: str, draft: str):
    """Is a text a number that passes? An integer of draft 4 is told by its spelling, later ones by their value."""

    def good(text: str) -> bool:
        if not NUMBER.fullmatch(text):
            return False
        if kind == "integer" and (set(text) & set(".eE") if draft == "4" else value(text).denominator > 1):
            return False
        return test(value(text))

    return good


def check(number: int) -> int:
    rng = random.Random(f"numbers {number}")
    schema, test = formula(rng)
    kind, draft = rng.choice(["number", "number", "integer"]), rng.choice(["4", "2020-12"])
    good = judge(test, kind, draft)
    source = json.dumps({"type": kind, **schema})
    grammar = constrain.json_schema(source, draft=draft, numbers="json", whitespace="compact")
    try:
        automaton = constrain.compile(grammar, VOCABULARY)
    except constrain.EmptyLanguage:
        assert not live_bytes("", good), source
        return 0
    prefix, judged = "", 0
    matcher = automaton.matcher()
    for _ in range(4):
        allowed = {chr(b) for i, b in enumerate(BYTES) if matcher.allows(i)}
        expected = live_bytes(prefix, good)
        assert expected <= allowed, (source, draft, prefix, "lost", expected - allowed)
        for byte in sorted(allowed):
            fork = matcher.fork()
            fork.advance(BYTES.index(ord(byte)))
            text = (prefix + byte).encode() + fork.completion()
            assert automaton.accepts(text), (source, draft, prefix, byte, text)
            assert good(text.decode()), (source, draft, prefix, byte, text)
            judged += 1
        if not allowed:
            break
        byte = rng.choice(sorted(allowed))
        matcher.advance(BYTES.index(ord(byte)))
        prefix += byte
    return judged


def test_every_spelling_of_small_numbers():
    assert sum(check(n) for n in range(25)) > 500


@pytest.mark.slow
def test_every_spelling_of_small_numbers_at_length():
    assert sum(check(n) for n in range(25, 400)) > 6_000


def plain_spelling(x: Fraction) -> str:
    places = 0
    while (x * 10**places).denominator > 1:
        places += 1
    digits = str(abs(int(x * 10**places))).rjust(places + 1, "0")
    sign = "-" if x < 0 else ""
    return sign + digits if places == 0 else f"{sign}{digits[:-places]}.{digits[-places:]}"


def window(rng: random.Random) -> tuple[dict, list[str]]:
    """A range that holds few of the multiples asked for, with their plain spellings."""
    factor = rng.randint(2, 10 ** rng.randint(1, 16))
    scale = Fraction(10) ** rng.randint(-12, 2)
    others = [factor * rng.choice([2, 3, 5, 6, 10, 15]) for _ in range(rng.randint(0, 2))]
    second = rng.choice([1, 1, 1, 2, 5, 12, 101])
    step = factor * second // math.gcd(factor, second)
    first = rng.randint(0, 10 ** rng.randint(1, 9)) - rng.choice([0, 5])
    low, high = (first * step - rng.randint(0, step)), ((first + rng.randint(0, 12)) * step + rng.randint(0, step))

    def decimal(x: int) -> str:
        return plain_spelling(x * scale)

    schema = [f'"minimum": {decimal(low)}, "maximum": {decimal(high)}, "multipleOf": {decimal(factor)}']
    schema.append(f'"allOf": [{{"multipleOf": {decimal(second)}}}]')
    if others:
        refused = ", ".join(f'{{"multipleOf": {decimal(o)}}}' for o in others)
        schema.append(f'"not": {{"anyOf": [{refused}]}}')
    values = [x for x in range(-(-low // step) * step, high + 1, step) if all(x % o for o in others)]
    return "{" + ", ".join(schema) + "}", [decimal(x) for x in values]


def check_window(number: int) -> int:
    rng = random.Random(f"windows {number}")
    source, texts = window(rng)
    grammar = constrain.json_schema(source, numbers="plain", whitespace="compact")
    try:
        automaton = constrain.compile(grammar, VOCABULARY)
    except constrain.EmptyLanguage:
        assert not texts, source
        return 0
    judged = 0
    for text in rng.sample(texts, min(3, len(texts))):
        matcher = automaton.matcher()
        for at in range(len(text) + 1):
            rest = [t[at:] for t in texts if t.startswith(text[:at])]
            allowed = {chr(b) for i, b in enumerate(BYTES) if matcher.allows(i)}
            assert allowed == {r[0] for r in rest if r}, (source, text[:at])
            assert matcher.accepting == ("" in rest), (source, text[:at])
            assert matcher.distance() == min(map(len, rest)), (source, text[:at])
            judged += 1
            if at < len(text):
                matcher.advance(BYTES.index(ord(text[at])))
    return judged


def test_windows_of_large_multiples():
    assert sum(check_window(n) for n in range(150)) > 2_000


@pytest.mark.slow
def test_windows_of_large_multiples_at_length():
    assert sum(check_window(n) for n in range(150, 3_000)) > 40_000


def check_distance(number: int) -> int:
    rng = random.Random(f"distances {number}")
    schema, _ = formula(rng)
    kind, draft = rng.choice(["number", "number", "integer"]), rng.choice(["4", "2020-12"])
    spelling, kinds = rng.choice(["json", "plain"]), [{"type": kind}]
    if rng.random() < 0.2:
        kinds.append({"not": {"type": "integer"}})
    source = json.dumps({"allOf": kinds} if rng.random() < 0.2 else {"allOf": [*kinds, schema]})
    grammar = constrain.json_schema(source, draft=draft, numbers=spelling, whitespace="compact")
    try:
        automaton = constrain.compile(grammar, VOCABULARY)
    except constrain.EmptyLanguage:
        return 0
    met, layer, layers = {automaton.start}, [automaton.start], []
    while layer and len(met) < 400:
        layers.append(layer)
        steps = [n for s in layer for t in range(len(BYTES)) if (n := automaton.step(s, t)) is not None]
        layer = [s for s in dict.fromkeys(steps) if s not in met]
        met.update(layer)
    judged = 0
    for state in rng.sample([s for each in layers for s in each], min(12, sum(map(len, layers)))):
        distance = automaton.matcher(state).distance()
        near, seen, steps = [state], {state}, 0
        while steps < min(distance, 3) and not any(automaton.accepting(s) for s in near):
            steps += 1
            near = [n for s in near for t in range(len(BYTES)) if (n := automaton.step(s, t)) is not None]
            near = [s for s in dict.fromkeys(near) if s not in seen]
            seen.update(near)
        found = any(automaton.accepting(s) for s in near)
        assert found == (distance <= 3), (source, draft, spelling, distance)
        assert not found or steps == distance, (source, draft, spelling, distance, steps)
        judged += 1
    return judged


def test_distances_of_numbers():
    assert sum(check_distance(n) for n in range(40)) > 200


@pytest.mark.slow
def test_distances_of_numbers_at_length():
    assert sum(check_distance(n) for n in range(40, 600)) > 3_000
