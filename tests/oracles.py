"""Slow, obvious oracles and the shared parts of tests. Imported by tests only."""

from __future__ import annotations

import decimal
import itertools
import json
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema

import constrain

SHARED = Path(__file__).resolve().parents[2] / "shared"
DATA = SHARED / "data"

BYTES = constrain.Vocabulary([*(bytes([b]) for b in range(256)), None], [256])
"""Every byte is a token: what texts mean does not depend on a vocabulary."""

TINY = constrain.Vocabulary(
    [
        *(bytes([b]) for b in b'{}[]",:-.0123abnulltrefs '),
        *(
            b'{"',
            b'"}',
            b'":',
            b'":"',
            b'","',
            b"],",
            b"}}",
            b"}]",
            b"[[",
            b"12",
            b"1,",
            b'a"',
            b'ab":',
            b"null",
            b"true",
            b"]}",
        ),
        None,
    ],
    [25 + 16],
)
"""Few bytes, and tokens that cross lexemes."""


def decimal_instance(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def valid(schema: Any, instance: Any, formats: bool = True) -> bool:
    """The verdict of jsonschema, formats of draft 2020-12 asserted under every draft."""
    schema = json.loads(json.dumps(schema), parse_float=Decimal)  # exact decimals on both sides
    cls = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER if formats else None
    with decimal.localcontext() as context:
        context.prec = 12_000  # remainders of numbers with large exponents
        return bool(cls(schema, format_checker=checker).is_valid(exact(instance)))


def exact(x: Any) -> Any:
    """Floats as the decimals they are written as, and whole numbers as ints however they are written."""
    if isinstance(x, float | Decimal):
        d = Decimal(repr(x)) if isinstance(x, float) else x
        return int(d) if d == d.to_integral_value() else d
    if isinstance(x, list):
        return [exact(v) for v in x]
    return {k: exact(v) for k, v in x.items()} if isinstance(x, dict) else x


def no_duplicate_keys(text: str) -> bool:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({k for k, _ in items}) != len(items):
            raise KeyError
        return dict(items)

    try:
        json.loads(text, object_pairs_hook=pairs)
    except KeyError:
        return False
    return True


# ---------------------------------------------------------------------- small schemas and small instances
NAMES = ("a", "b", "ab")


def random_schema(rng: random.Random, depth: int = 2) -> Any:
    """A small schema over every keyword that is enforced."""
    kind = rng.randrange(14 if depth else 7)
    if kind == 0:
        return rng.random() < 0.8
    if kind == 1:
        return {"type": rng.choice(["null", "boolean", "integer", "number", "string", "array", "object"])}
    if kind == 2:
        return {
            "enum": rng.sample([None, True, False, 0, 1, 2, "a", "b", "", [], {}, [1], {"a": 1}], rng.randint(1, 4))
        }
    if kind == 3:
        return numbers(rng)
    if kind == 4:
        return strings(rng)
    if kind in (5, 6):
        return {"const": rng.choice([1, "a", [], {"a": None}, None])}
    sub = lambda: random_schema(rng, depth - 1)  # noqa: E731
    if kind in (7, 8):
        return arrays(rng, sub)
    if kind in (9, 10, 11):
        return objects(rng, sub)
    return combined(rng, sub)


def numbers(rng: random.Random) -> dict[str, Any]:
    """Bounds and a multiple."""
    low = rng.randint(-2, 2)
    s: dict[str, Any] = {rng.choice(["minimum", "exclusiveMinimum"]): low}
    if rng.random() < 0.7:
        s[rng.choice(["maximum", "exclusiveMaximum"])] = low + rng.randint(0, 3)
    if rng.random() < 0.4:
        s["multipleOf"] = rng.choice([1, 2, 0.5])
    return {"type": "number", **s} if rng.random() < 0.7 else s


def strings(rng: random.Random) -> dict[str, Any]:
    """Lengths and a pattern."""
    s: dict[str, Any] = {"type": "string"} if rng.random() < 0.7 else {}
    if rng.random() < 0.5:
        s["minLength"] = rng.randint(0, 2)
    if rng.random() < 0.5:
        s["maxLength"] = rng.randint(0, 2)
    if rng.random() < 0.5:
        s["pattern"] = rng.choice(["^a", "b$", "^[ab]*$", "ab", "^a?b$"])
    return s


def arrays(rng: random.Random, sub: Callable[[], Any]) -> dict[str, Any]:
    """Every keyword on items."""
    s: dict[str, Any] = {"type": "array"} if rng.random() < 0.7 else {}
    if rng.random() < 0.5:
        s["prefixItems"] = [sub() for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.6:
        s["items"] = sub()
    if rng.random() < 0.4:
        s["minItems"] = rng.randint(0, 2)
    if rng.random() < 0.4:
        s["maxItems"] = rng.randint(0, 2)
    if rng.random() < 0.3:
        s["contains"] = sub()
        if rng.random() < 0.4:
            s["minContains"] = rng.randint(0, 2)
        if rng.random() < 0.4:
            s["maxContains"] = rng.randint(0, 2)
    if rng.random() < 0.3:
        s["uniqueItems"] = rng.random() < 0.8
    if rng.random() < 0.25:
        s |= applied(rng, sub)
        s["unevaluatedItems"] = sub()
    return s


def objects(rng: random.Random, sub: Callable[[], Any]) -> dict[str, Any]:
    """Every keyword on members."""
    s: dict[str, Any] = {"type": "object"} if rng.random() < 0.7 else {}
    if rng.random() < 0.7:
        s["properties"] = {k: sub() for k in rng.sample(NAMES, rng.randint(1, 2))}
    if rng.random() < 0.4:
        s["required"] = rng.sample(NAMES, rng.randint(1, 2))
    if rng.random() < 0.5:
        s["additionalProperties"] = sub()
    if rng.random() < 0.3:
        s["patternProperties"] = {rng.choice(["^a", "b$", "b"]): sub()}
    if rng.random() < 0.2:
        s["minProperties"] = rng.randint(0, 2)
    if rng.random() < 0.2:
        s["maxProperties"] = rng.randint(0, 2)
    if rng.random() < 0.15:
        s["dependentRequired"] = {"a": ["b"]}
    if rng.random() < 0.15:
        s["dependentSchemas"] = {rng.choice(NAMES): sub()}
    if rng.random() < 0.15:
        s["propertyNames"] = rng.choice(
            [{"pattern": "a"}, {"maxLength": 1}, {"enum": ["a", "ab"]}, {"not": {"const": "b"}}]
        )
    if rng.random() < 0.25:
        s |= applied(rng, sub)
        s["unevaluatedProperties"] = sub()
    return s


def combined(rng: random.Random, sub: Callable[[], Any]) -> dict[str, Any]:
    """A schema that applies others to the same value."""
    kind = rng.randrange(4)
    if kind < 2:
        return {rng.choice(["anyOf", "oneOf", "allOf"]): [sub() for _ in range(rng.randint(1, 3))]}
    if kind == 2:
        return {"not": sub()}
    s = {"if": sub()}
    for keyword in ("then", "else"):
        if rng.random() < 0.8:
            s[keyword] = sub()
    return s


def applied(rng: random.Random, sub: Callable[[], Any]) -> dict[str, Any]:
    """What unevaluated* looks into: most of it about the same members as the schemas beside it."""
    return combined(rng, sub) if rng.random() < 0.7 else {}


def instances() -> Iterator[Any]:
    """Small JSON values of every type, exhaustive over a little inventory."""
    scalars: list[Any] = [None, True, False, 0, 1, 2, -1, 0.5, 3, "", "a", "b", "ab", "ba"]
    yield from scalars
    few: list[Any] = [None, True, 0, 1, "a", "b", [], {}]
    arrays = [[x] for x in few] + [list(p) for p in itertools.product([0, 1, "a", None], repeat=2)] + [[1, 1, 1]]
    yield []
    yield from arrays
    yield {}
    for n in (1, 2, 3):
        for keys in itertools.permutations(NAMES, n):
            for values in itertools.product([0, "a"] if n > 1 else [*few, [1], {"a": 1}], repeat=n):
                yield dict(zip(keys, values, strict=True))


def compact(x: Any) -> str:
    return json.dumps(x, separators=(",", ":"), ensure_ascii=False)
