"""A differential fuzzer: random schemas and instances, our verdict on the text against that of `jsonschema` on the value.

    python tests/differential/differ.py [--pairs 700000] [--seed S]

Every schema is made around one keyword of one draft; its instances come from the schema, from the canonical completion of
the automaton, from chance, and from mutations of those found valid, and are written in random spellings. A keyword
*decides* a valid and an invalid pair when one mutation leads from one to the other and each error of the invalid one
passes through the keyword: without it the verdict would be the same. The counts of these are printed, with every
disagreement, and the exit status says whether there was one.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

import jsonschema  # noqa: E402
from oracles import BYTES, exact  # noqa: E402
from oracles_json import same  # noqa: E402

import constrain  # noqa: E402

DRAFTS = {
    "4": jsonschema.Draft4Validator,
    "6": jsonschema.Draft6Validator,
    "7": jsonschema.Draft7Validator,
    "2019-09": jsonschema.Draft201909Validator,
    "2020-12": jsonschema.Draft202012Validator,
}
ORDER = list(DRAFTS)
CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER
NAMES = ("a", "b", "ab", "ba", "c")
PATTERNS = ("^a", "b$", "ab", "^[ab]*$", "^a?b$", "a.b", "^(a|bb)+$")
TEXTS = ("", "a", "b", "ab", "ba", "aab", "abb", "bb", "\u00e9", "a\U0001f600", "c\n", '"')
FORMATS = {
    "date": ("2024-02-29", "2023-02-29", "2023-13-01", "1999-12-31", "2023-1-1", "x"),
    "ipv4": ("127.0.0.1", "256.1.1.1", "1.2.3", "0.0.0.0", "01.2.3.4", "x"),
    "uuid": ("2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08aa9811eab4aa73b441d16380", "x"),
    "ipv6": ("::1", "1::2::3", "::ffff:1.2.3.4", "12345::", "1:2:3:4:5:6:7:8", "x"),
}
ALL_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


def enum_of_values(validator: Any, choices: Any, instance: Any, schema: Any) -> Any:
    """jsonschema compares members of enum within arrays as Python does, where true is 1; the standard (2020-12 core, 4.2.2)
    does not."""
    if not any(same(c, instance) for c in choices):
        yield jsonschema.ValidationError(f"{instance!r} is not one of {choices!r}")


def const_of_value(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
    if not same(value, instance):
        yield jsonschema.ValidationError(f"{value!r} was expected")


def unique_values(validator: Any, wanted: Any, instance: Any, schema: Any) -> Any:
    if wanted and isinstance(instance, list) and any(same(x, y) for i, x in enumerate(instance) for y in instance[:i]):
        yield jsonschema.ValidationError(f"{instance!r} has non-unique elements")


def additional_items(validator: Any, sub: Any, instance: Any, schema: Any) -> Any:
    """jsonschema takes the length of `items` though it be a boolean; only beside a list does the keyword say anything
    (2019-09 core, 9.3.1.2)."""
    listed = schema.get("items")
    if isinstance(instance, list) and isinstance(listed, list):
        for i, x in enumerate(instance[len(listed) :], start=len(listed)):
            yield from validator.descend(x, sub, path=i)


def unevaluated_properties(validator: Any, sub: Any, instance: Any, schema: Any) -> Any:
    """jsonschema takes no account of additionalProperties with a schema beside it (2019-09 core, 9.3.2.4)."""
    if isinstance(instance, dict):
        known = Evaluated(validator).properties(schema, instance, outermost=True)
        for k in instance:
            if k not in known:
                yield from validator.descend(instance[k], sub, path=k)


def unevaluated_items(validator: Any, sub: Any, instance: Any, schema: Any) -> Any:
    if isinstance(instance, list):
        known = Evaluated(validator).items(schema, instance, outermost=True)
        for i, x in enumerate(instance):
            if i not in known:
                yield from validator.descend(x, sub, path=i)


class Evaluated:
    """What the annotations of 2019-09 and 2020-12 say is evaluated, keyword by keyword."""

    def __init__(self, validator: Any) -> None:
        self.validator = validator
        self.old = "2019-09" in validator.META_SCHEMA["$schema"]

    def holds(self, sub: Any, instance: Any) -> bool:
        return bool(self.validator.evolve(schema=sub).is_valid(instance))

    def in_place(self, s: dict[str, Any], instance: Any) -> Any:
        """The schemas applied to the same instance that hold."""
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            if keyword in s:
                target = self.validator._resolver.lookup(s[keyword]).contents
                if self.holds({keyword: s[keyword]}, instance):
                    yield target
        for keyword in ("allOf", "anyOf", "oneOf"):
            yield from (sub for sub in s.get(keyword, ()) if self.holds(sub, instance))
        if "if" in s:
            test = self.holds(s["if"], instance)
            for sub in ([s["if"]] if test else []) + [s[k] for k in ["then" if test else "else"] if k in s]:
                if self.holds(sub, instance):
                    yield sub
        if isinstance(instance, dict):
            for k, sub in s.get("dependentSchemas", {}).items():
                if k in instance and self.holds(sub, instance):
                    yield sub

    def properties(self, s: Any, instance: dict[str, Any], outermost: bool = False) -> set[str]:
        if not isinstance(s, dict):
            return set()
        found = {k for k in instance if k in s.get("properties", {})}
        found |= {k for k in instance if any(re.search(p, k) for p in s.get("patternProperties", {}))}
        if "additionalProperties" in s or ("unevaluatedProperties" in s and not outermost):
            return set(instance)
        return found.union(*(self.properties(sub, instance) for sub in self.in_place(s, instance)))

    def items(self, s: Any, instance: list[Any], outermost: bool = False) -> set[int]:
        if not isinstance(s, dict):
            return set()
        everything = set(range(len(instance)))
        if "unevaluatedItems" in s and not outermost:
            return everything
        listed = s.get("items" if self.old else "prefixItems")
        listed = listed if isinstance(listed, list) else []
        if "items" in s and not (self.old and listed):
            return everything
        if self.old and listed and "additionalItems" in s:
            return everything
        found = set(range(min(len(listed), len(instance))))
        if "contains" in s and not self.old:
            found |= {i for i, x in enumerate(instance) if self.holds(s["contains"], x)}
        return found.union(*(self.items(sub, instance) for sub in self.in_place(s, instance)))


def oracle_class(name: str) -> Any:
    known = {"enum": enum_of_values, "uniqueItems": unique_values}
    if name != "4":
        known["const"] = const_of_value
    if name != "2020-12":
        known["additionalItems"] = additional_items
    if name in ("2019-09", "2020-12"):
        known |= {"unevaluatedProperties": unevaluated_properties, "unevaluatedItems": unevaluated_items}
    return jsonschema.validators.extend(DRAFTS[name], known)


ORACLES = {name: oracle_class(name) for name in DRAFTS}


# ---------------------------------------------------------------------- schemas
@dataclass
class Maker:
    """Random schemas of one draft. `depth` is what is left for schemas within."""

    rng: random.Random
    draft: str
    depth: int = 2
    focus: str = ""

    def since(self, draft: str) -> bool:
        return ORDER.index(self.draft) >= ORDER.index(draft)

    def pick(self, *options: Any) -> Any:
        return self.rng.choice(options)

    def sub(self) -> Any:
        """A schema within."""
        inner = Maker(self.rng, self.draft, self.depth - 1)
        if self.depth <= 0 or self.rng.random() < 0.35:
            return inner.leaf()
        return inner.schema(self.rng.choice(inner.known()))

    def leaf(self) -> Any:
        if self.since("6") and self.rng.random() < 0.12:
            return self.rng.random() < 0.7
        keyword = self.rng.choice(
            ["type", "type", "enum", "minimum", "maximum", "maxLength", "minLength", "pattern", "multipleOf"]
        )
        return BUILDERS[keyword](self)

    def known(self) -> list[str]:
        here = [k for k, draft in SINCE.items() if self.since(draft) and self.draft not in GONE.get(k, ())]
        return [k for k in here if k not in ("$dynamicRef", "$recursiveRef")]  # their anchors belong to the root

    def schema(self, focus: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for _ in range(self.pick(0, 0, 1, 1, 2)):
            made |= BUILDERS[self.rng.choice(self.known())](self)
        made |= BUILDERS[focus](self)
        if "type" not in made and self.rng.random() < 0.5 and focus in KIND:
            made["type"] = KIND[focus]
        if "$ref" in made and not self.since("2019-09"):
            made = {k: v for k, v in made.items() if k in ("$ref", "definitions")}
        return made

    def value(self, depth: int = 1) -> Any:
        """A value to compare with, or to try."""
        kind = self.rng.randrange(7 if depth else 5)
        if kind == 0:
            return self.pick(None, True, False)
        if kind < 3:
            return self.number()
        if kind < 5:
            return self.rng.choice(TEXTS)
        if kind == 5:
            return [self.value(depth - 1) for _ in range(self.pick(0, 1, 2, 2, 3))]
        return {k: self.value(depth - 1) for k in self.rng.sample(NAMES, self.pick(0, 1, 2))}

    def number(self) -> Any:
        return self.pick(0, 1, 2, 3, -1, Decimal("0.5"), Decimal("1.5"), 10, Decimal("2.01"), -3, 12345678901234567890)

    def small(self) -> int:
        return int(self.pick(0, 1, 1, 2, 2, 3))


def _bounds(low: str, high: str, draft4: bool = False) -> Callable[[Maker], dict[str, Any]]:
    def build(m: Maker) -> dict[str, Any]:
        x = m.pick(-2, -1, 0, 1, 2, 3, Decimal("0.5"), Decimal("1.25"))
        other = {high: x + m.pick(0, 1, 2, Decimal("0.5"))} if m.rng.random() < 0.4 else {}
        return {low: x} | other

    return build


def _strict(flag: str, bound: str, other: str) -> Callable[[Maker], dict[str, Any]]:
    def build(m: Maker) -> dict[str, Any]:
        x = m.pick(-1, 0, 1, 2, Decimal("0.5"))
        return {flag: x} if m.since("6") else {flag: True, bound: x}

    return build


def _items(m: Maker) -> dict[str, Any]:
    if m.draft != "2020-12" and m.rng.random() < 0.5:
        return {"items": [m.sub() for _ in range(m.pick(1, 2))]}
    return {"items": m.sub()}


def _contains(m: Maker) -> dict[str, Any]:
    made = {"contains": m.sub()}
    if m.since("2019-09"):
        if m.rng.random() < 0.4:
            made["minContains"] = m.small()
        if m.rng.random() < 0.4:
            made["maxContains"] = m.small()
    return made


def _applied(m: Maker, beside: dict[str, Any]) -> dict[str, Any]:
    kind = m.pick("anyOf", "allOf", "oneOf", "if", "$ref", "none", "none")
    if kind == "if":
        return beside | {"if": m.sub(), "then": m.sub(), "else": m.sub()}
    if kind == "$ref":
        return beside | {"$ref": "#/$defs/x", "$defs": {"x": m.sub()}}
    return beside if kind == "none" else beside | {kind: [m.sub(), m.sub()]}


def _reference(m: Maker) -> dict[str, Any]:
    place = "$defs" if m.since("2019-09") else "definitions"
    if m.rng.random() < 0.4:  # a recursive one
        inner: dict[str, Any] = {"properties": {"a": {"$ref": f"#/{place}/x"}}, "required": [m.pick("a", "b", "c")]}
        if inner["required"] == ["a"]:
            inner = {"items": {"$ref": f"#/{place}/x"}, "maxItems": 2}
        return {"$ref": f"#/{place}/x", place: {"x": inner}}
    return {"$ref": f"#/{place}/x", place: {"x": m.sub()}}


def _dynamic(keyword: str) -> Callable[[Maker], dict[str, Any]]:
    def build(m: Maker) -> dict[str, Any]:
        anchor = {"$dynamicAnchor": "node"} if keyword == "$dynamicRef" else {"$recursiveAnchor": True}
        target = "#node" if keyword == "$dynamicRef" else "#"
        sub = m.leaf() if m.rng.random() < 0.5 else {"type": m.pick("object", "array", "null")}
        beside = {"additionalProperties": sub} if m.rng.random() < 0.5 else {"required": [m.pick("a", "b")]}
        return {"$root": True, **anchor, "properties": {"c": {keyword: target}, "ab": m.leaf()}, **beside}

    return build


def _conditional(m: Maker) -> dict[str, Any]:
    made = {"if": m.sub()}
    for keyword in ("then", "else"):
        if m.rng.random() < 0.85:
            made[keyword] = m.sub()
    return made


def _named(m: Maker) -> dict[str, Any]:
    return {k: m.sub() for k in m.rng.sample(NAMES, m.pick(1, 2, 2))}


def _dependencies(m: Maker) -> dict[str, Any]:
    sub: Any = [m.rng.choice(NAMES)] if m.rng.random() < 0.5 else m.sub()
    return {"dependencies": {m.rng.choice(NAMES): sub}}


BUILDERS: dict[str, Callable[[Maker], dict[str, Any]]] = {
    "type": lambda m: {"type": m.rng.choice(ALL_TYPES) if m.rng.random() < 0.7 else m.rng.sample(ALL_TYPES, 2)},
    "enum": lambda m: {"enum": [m.value() for _ in range(m.pick(1, 2, 3))]},
    "const": lambda m: {"const": m.value()},
    "multipleOf": lambda m: {"multipleOf": m.pick(1, 2, 3, Decimal("0.5"), Decimal("0.01"), Decimal("1.5"), 7)},
    "minimum": _bounds("minimum", "maximum"),
    "maximum": _bounds("maximum", "exclusiveMaximum_"),
    "exclusiveMinimum": _strict("exclusiveMinimum", "minimum", "maximum"),
    "exclusiveMaximum": _strict("exclusiveMaximum", "maximum", "minimum"),
    "minLength": lambda m: {"minLength": m.small()},
    "maxLength": lambda m: {"maxLength": m.small()},
    "pattern": lambda m: {"pattern": m.rng.choice(PATTERNS)},
    "format": lambda m: {"format": m.rng.choice(list(FORMATS))},
    "items": _items,
    "prefixItems": lambda m: {"prefixItems": [m.sub() for _ in range(m.pick(1, 2))]},
    "additionalItems": lambda m: {"items": [m.sub() for _ in range(m.pick(1, 2))], "additionalItems": m.sub()},
    "minItems": lambda m: {"minItems": m.small()},
    "maxItems": lambda m: {"maxItems": m.small()},
    "uniqueItems": lambda m: {"uniqueItems": m.rng.random() < 0.9},
    "contains": _contains,
    "minContains": lambda m: {"contains": m.sub(), "minContains": m.small()},
    "maxContains": lambda m: {"contains": m.sub(), "maxContains": m.small()},
    "unevaluatedItems": lambda m: _applied(m, {"unevaluatedItems": m.leaf()} | m.pick({}, _contains(m), _items(m))),
    "properties": lambda m: {"properties": _named(m)},
    "patternProperties": lambda m: {"patternProperties": {m.rng.choice(PATTERNS): m.sub() for _ in range(m.pick(1, 2))}},
    "additionalProperties": lambda m: {"additionalProperties": m.sub()} | m.pick({}, {"properties": _named(m)}),
    "required": lambda m: {"required": m.rng.sample(NAMES, m.pick(1, 2))},
    "minProperties": lambda m: {"minProperties": m.small()},
    "maxProperties": lambda m: {"maxProperties": m.small()},
    "propertyNames": lambda m: {"propertyNames": m.pick(BUILDERS["pattern"], BUILDERS["maxLength"], BUILDERS["enum"])(m)},
    "dependentRequired": lambda m: {"dependentRequired": {m.rng.choice(NAMES): [m.rng.choice(NAMES)]}},
    "dependentSchemas": lambda m: {"dependentSchemas": {m.rng.choice(NAMES): m.sub()}},
    "dependencies": _dependencies,
    "unevaluatedProperties": lambda m: _applied(m, {"unevaluatedProperties": m.leaf()} | m.pick({}, {"properties": _named(m)})),
    "allOf": lambda m: {"allOf": [m.sub() for _ in range(m.pick(1, 2, 3))]},
    "anyOf": lambda m: {"anyOf": [m.sub() for _ in range(m.pick(1, 2, 3))]},
    "oneOf": lambda m: {"oneOf": [m.sub() for _ in range(m.pick(1, 2, 3))]},
    "not": lambda m: {"not": m.sub()},
    "if": _conditional,
    "then": _conditional,
    "else": _conditional,
    "$ref": _reference,
    "$dynamicRef": _dynamic("$dynamicRef"),
    "$recursiveRef": _dynamic("$recursiveRef"),
}  # fmt: skip
SINCE = dict.fromkeys(BUILDERS, "4") | {
    "const": "6", "contains": "6", "propertyNames": "6", "if": "7", "then": "7", "else": "7", "minContains": "2019-09",
    "maxContains": "2019-09", "unevaluatedItems": "2019-09", "unevaluatedProperties": "2019-09", "$recursiveRef": "2019-09",
    "dependentRequired": "2019-09", "dependentSchemas": "2019-09", "prefixItems": "2020-12", "$dynamicRef": "2020-12",
}  # fmt: skip
GONE = {"additionalItems": ("2020-12",), "dependencies": ("2019-09", "2020-12"), "$recursiveRef": ("2020-12",)}
KIND = {
    k: kind
    for kind, words in {
        "array": "items prefixItems additionalItems minItems maxItems uniqueItems contains minContains maxContains "
        "unevaluatedItems",
        "object": "properties patternProperties additionalProperties required minProperties maxProperties propertyNames "
        "dependentRequired dependentSchemas dependencies unevaluatedProperties $dynamicRef $recursiveRef",
        "string": "minLength maxLength pattern format",
        "number": "multipleOf minimum maximum exclusiveMinimum exclusiveMaximum",
    }.items()
    for k in words.split()
}
KEYWORDS = frozenset(BUILDERS)
NESTED_ONLY = ("$ref", "$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties")


def random_case(rng: random.Random, keyword: str) -> tuple[str, dict[str, Any]]:
    """A draft and a schema of it around `keyword`."""
    drafts = [d for d in ORDER if ORDER.index(d) >= ORDER.index(SINCE[keyword]) and d not in GONE.get(keyword, ())]
    draft = rng.choice(drafts)
    schema = _definitions_up(Maker(rng, draft).schema(keyword))
    schema.pop("$root", None)
    return draft, {"$schema": DRAFTS[draft].META_SCHEMA["$schema" if draft != "4" else "id"], **schema}


def _definitions_up(schema: dict[str, Any]) -> dict[str, Any]:
    """Definitions at the root, where references look for them; those of inner schemas get names of their own."""
    found: dict[str, Any] = {}
    place = ""

    def move(x: Any) -> Any:
        nonlocal place
        if isinstance(x, list):
            return [move(v) for v in x]
        if not isinstance(x, dict):
            return x
        own = next((k for k in ("$defs", "definitions") if isinstance(x.get(k), dict) and "x" in x[k]), None)
        if own is None:
            return {k: move(v) for k, v in x.items() if k not in ("$root", "exclusiveMaximum_")}
        place = own
        name = f"x{len(found)}"
        found[name] = None
        x = json.loads(_dump(x).replace(f'"#/{own}/x"', f'"#/{own}/{name}"'), parse_float=Decimal)
        found[name] = move(x.pop(own)["x"])
        return move(x)

    made: dict[str, Any] = move(schema)
    return made | ({place: found} if found else {})


def _dump(x: Any) -> str:
    return write(x, None)


# ---------------------------------------------------------------------- instances
def write(x: Any, rng: random.Random | None) -> str:
    """JSON text of a value, in random spellings where `rng` is given."""
    if isinstance(x, str):
        text = json.dumps(x, ensure_ascii=rng is not None and rng.random() < 0.3)
        if rng and x and rng.random() < 0.1 and ord(x[0]) < 128:
            text = f'"\\u{ord(x[0]):04x}' + json.dumps(x[1:])[1:]
        return text
    if x is None or isinstance(x, bool):
        return json.dumps(x)
    gap = rng.choice(("", "", " ", "\n")) if rng else ""
    if isinstance(x, list):
        return f"[{gap}" + f",{gap}".join(write(v, rng) for v in x) + "]" if x else "[]"
    if isinstance(x, dict):
        members = list(x.items())
        if rng:
            rng.shuffle(members)
        return f"{{{gap}" + f",{gap}".join(f"{write(k, rng)}:{write(v, rng)}" for k, v in members) + "}" if x else "{}"
    d = Decimal(x)
    if rng is None or rng.random() < 0.6:
        return str(x) if isinstance(x, int) else f"{d:f}"
    return rng.choice(
        [f"{d:f}", f"{d * 10:f}e-1", f"{d / 10:f}E1", f"{d:f}e0", f"{d:f}" + ("0" if "." in f"{d:f}" else ".0")]
    )


class Instances:
    """Values made for a schema, and mutations of values."""

    def __init__(self, rng: random.Random, root: Any) -> None:
        self.rng, self.root = rng, root
        self.maker = Maker(rng, "2020-12")

    def for_schema(self, s: Any, depth: int = 4) -> Any:
        """A value that follows `s` loosely."""
        rng = self.rng
        if not isinstance(s, dict) or depth == 0 or rng.random() < 0.04:
            return self.maker.value(min(depth, 1))
        if "$ref" in s and rng.random() < 0.8:
            target = self.root
            for part in s["$ref"].split("/")[1:]:
                target = target[part]
            return self.for_schema(target, depth - 1)
        for keyword in ("const", "enum"):
            if keyword in s and rng.random() < 0.85:
                return copy.deepcopy(
                    s[keyword] if keyword == "const" else rng.choice(s[keyword]) if s["enum"] else None
                )
        nested = [x for k in ("allOf", "anyOf", "oneOf") for x in s.get(k, ())] + [
            s[k] for k in ("then", "else", "if") if k in s
        ]
        if nested and rng.random() < 0.5:
            return self.for_schema(rng.choice(nested), depth - 1)
        wanted = s.get("type")
        kind = wanted if isinstance(wanted, str) else rng.choice(wanted) if wanted else self.kind_of(s)
        return getattr(self, f"_{kind}")(s, depth)

    def kind_of(self, s: Any) -> str:
        kinds = [KIND[k] for k in s if k in KIND]
        return self.rng.choice(kinds) if kinds else self.rng.choice(ALL_TYPES)

    def _null(self, s: Any, depth: int) -> Any:
        return None

    def _boolean(self, s: Any, depth: int) -> Any:
        return self.rng.random() < 0.5

    def _number(self, s: Any, depth: int) -> Any:
        bounds = [s[k] for k in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") if k in s]
        base = self.rng.choice([b for b in bounds if not isinstance(b, bool)] or [0])
        step = s.get("multipleOf", self.rng.choice([1, Decimal("0.5")]))
        x = Decimal(base) + self.rng.randint(-2, 3) * Decimal(step)
        if "multipleOf" in s and self.rng.random() < 0.7:
            x = x // Decimal(step) * Decimal(step)
        return exact(x)

    def _integer(self, s: Any, depth: int) -> Any:
        return int(self._number(s, depth))

    def _string(self, s: Any, depth: int) -> Any:
        if "format" in s:
            return self.rng.choice(FORMATS[s["format"]])
        return (
            self.rng.choice(TEXTS)
            if self.rng.random() < 0.6
            else "".join(self.rng.choices("ab", k=self.rng.randint(0, 4)))
        )

    def _array(self, s: Any, depth: int) -> Any:
        listed = next((s[k] for k in ("prefixItems", "items") if isinstance(s.get(k), list)), [])
        rest = next(
            (s[k] for k in ("items", "additionalItems", "contains", "unevaluatedItems") if isinstance(s.get(k), dict)),
            {},
        )
        n = self.rng.randint(0, 3) + (s.get("minItems", 0) if self.rng.random() < 0.5 else 0)
        more = [rest, s.get("contains", rest)]
        return [self.for_schema(listed[i] if i < len(listed) else self.rng.choice(more), depth - 1) for i in range(n)]

    def _object(self, s: Any, depth: int) -> Any:
        names = [*s.get("required", ()), *s.get("properties", ()), *self.rng.sample(NAMES, 2)]
        chosen = [
            n for i, n in enumerate(names) if self.rng.random() < (0.9 if i < len(s.get("required", ())) else 0.5)
        ]
        rest = next((s[k] for k in ("additionalProperties", "unevaluatedProperties") if isinstance(s.get(k), dict)), {})
        by_pattern = list(s.get("patternProperties", {}).values())
        made = {}
        for n in chosen:
            sub = s.get("properties", {}).get(n, self.rng.choice([rest, *by_pattern]))
            made[n] = self.for_schema(sub, depth - 1)
        return made

    def mutated(self, x: Any) -> Any:
        """`x` with one thing changed."""
        x = copy.deepcopy(x)
        places: list[tuple[Any, Any]] = [(None, None)]

        def collect(at: Any) -> None:
            for k, v in at.items() if isinstance(at, dict) else enumerate(at) if isinstance(at, list) else ():
                places.append((at, k))
                collect(v)

        collect(x)
        holder, key = self.rng.choice(places)
        value = x if holder is None else holder[key]
        new = self.changed(value)
        if holder is None:
            return new
        if self.rng.random() < 0.2:
            if isinstance(holder, dict) and self.rng.random() < 0.5:
                holder[self.rng.choice(NAMES)] = holder.pop(key)
            else:
                del holder[key]
        else:
            holder[key] = new
        return x

    def changed(self, x: Any) -> Any:
        rng = self.rng
        if rng.random() < 0.2:
            return self.maker.value()
        if isinstance(x, bool) or x is None:
            return self.maker.value(0)
        if isinstance(x, str):
            return rng.choice([x + "a", x[:-1], "b" + x, x[1:], rng.choice(TEXTS)])
        if isinstance(x, list):
            if x and rng.random() < 0.6:
                i = rng.randrange(len(x))
                return rng.choice([x[:i] + x[i + 1 :], [*x, copy.deepcopy(x[i])], x[::-1]])
            return [*x, self.maker.value()]
        if isinstance(x, dict):
            if x and rng.random() < 0.5:
                gone = rng.choice(list(x))
                return {k: v for k, v in x.items() if k != gone}
            return x | {rng.choice(NAMES): self.maker.value()}
        return exact(Decimal(x) + rng.choice([1, -1, 2, -2, Decimal("0.5"), Decimal("-0.01"), Decimal("0.01")]))


# ---------------------------------------------------------------------- the comparison
@dataclass
class Outcome:
    """pairs: judged by both. decided: (keyword, verdict) -> pairs. limits: schemas that met a work limit."""

    pairs: int = 0
    valid: int = 0
    schemas: int = 0
    empty: int = 0
    limits: list[str] = field(default_factory=list)
    ill_founded: int = 0
    decided: Counter[tuple[str, bool]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def compare(seed: int, keyword: str, outcome: Outcome, instances: int = 40) -> None:
    """One schema around `keyword` and its instances."""
    rng = random.Random(seed)
    draft, schema = random_case(rng, keyword)
    text = _dump(schema)
    # the end of a text is \Z in Python, where $ may stand before a newline
    for_oracle = json.loads(text.replace('$"', '\\\\Z"'), parse_float=Decimal)
    del for_oracle["$schema"]  # jsonschema would take the class that it names
    oracle = ORACLES[draft](for_oracle, format_checker=CHECKER)
    outcome.schemas += 1
    automaton = None
    try:
        automaton = constrain.compile(constrain.json_schema(text), BYTES)
    except constrain.EmptyLanguage:
        outcome.empty += 1
    except constrain.LimitExceeded:
        outcome.limits.append(text)
        return
    except constrain.GrammarError as e:
        outcome.ill_founded += 1
        if "leads back to itself" not in str(e):
            outcome.wrong.append(f"{e}\n    {text}")
        return
    source = Instances(rng, schema)
    good: list[Any] = []
    if automaton is not None:
        try:
            done = exact(json.loads(automaton.matcher().completion(), parse_float=Decimal))
        except constrain.LimitExceeded:
            outcome.limits.append(text)
        else:
            judge(done, automaton, oracle, text, rng, outcome)
            good.append(done)
    for _ in range(instances if automaton is not None else 8):
        before = rng.choice(good) if good and rng.random() < 0.6 else None
        x = source.mutated(before) if good and before is not None else source.for_schema(schema)
        verdict = judge(x, automaton, oracle, text, rng, outcome)
        if verdict and len(good) < 12:
            good.append(x)
        if verdict is False and before is not None:
            for k in decisive(oracle, x):
                outcome.decided[k, True] += 1
                outcome.decided[k, False] += 1


def judge(x: Any, automaton: Any, oracle: Any, schema: str, rng: random.Random, outcome: Outcome) -> bool | None:
    """The oracle's verdict, with ours compared; None where ours met a limit. Draft 4 integers are a matter of spelling."""
    text = write(x, None if "draft-04" in schema else rng)
    try:
        want = oracle.is_valid(x)
    except RecursionError:  # a reference to itself that another branch makes irrelevant
        outcome.ill_founded += 1
        return None
    try:
        got = automaton is not None and automaton.accepts(text)
    except constrain.LimitExceeded:
        outcome.limits.append(schema)
        return None
    outcome.pairs += 1
    outcome.valid += want
    if got != want:
        outcome.wrong.append(f"{'accepted' if got else 'refused'}: {text}\n    {schema}")
    return bool(want)


def decisive(oracle: Any, x: Any) -> frozenset[str]:
    """The keywords that every error passes through; references and conditions leave no trace in errors, and are left out."""
    found: frozenset[str] | None = None
    for error in all_errors(oracle, x):
        passed = KEYWORDS.intersection(p for p in (*error.schema_path, error.validator) if isinstance(p, str))
        found = passed if found is None else found & passed
    untraced = {
        k
        for k in ("$ref", "if")
        if k in oracle.schema and holds(oracle, {n: s for n, s in oracle.schema.items() if n != k}, x)
    }
    return (found or frozenset()) | untraced


def all_errors(oracle: Any, x: Any) -> list[Any]:
    try:
        return list(oracle.iter_errors(x))
    except RecursionError:  # beyond the first error a schema may refer to itself
        return []


def holds(oracle: Any, schema: Any, x: Any) -> bool:
    """Is `x` valid under `schema` (and can that be said: without its root a schema may refer to itself)?"""
    try:
        return bool(oracle.evolve(schema=schema).is_valid(x))
    except RecursionError:
        return False


def run(pairs: int, seed: int, keywords: list[str] | None = None, say: Callable[[str], None] | None = None) -> Outcome:
    """Schemas around each keyword until `pairs` were judged."""
    outcome, at, began = Outcome(), 0, time.monotonic()
    words = keywords or list(BUILDERS)
    while outcome.pairs < pairs:
        # most schemas are around the keyword that has decided least so far
        word = min(words, key=lambda k: (outcome.decided[k, False], k)) if at % 6 else words[at // 6 % len(words)]
        compare(seed * 10_000_000 + at, word, outcome)
        at += 1
        if at % 2000 == 0:
            BYTES.clear()
            if say:
                say(f"{outcome.pairs:,} pairs, {len(outcome.wrong)} wrong, {time.monotonic() - began:.0f} s")
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=700_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keywords", help="only schemas around these, comma-separated")
    args = parser.parse_args()
    began = time.monotonic()
    found = run(
        args.pairs,
        args.seed,
        args.keywords and args.keywords.split(","),
        lambda s: print(s, file=sys.stderr, flush=True),
    )
    print(
        f"{found.pairs:,} pairs of {found.schemas:,} schemas in {time.monotonic() - began:.0f} s: {found.valid:,} valid"
    )
    print(
        f"{found.empty:,} schemas without instances, {found.ill_founded:,} ill-founded, "
        f"{len(found.limits):,} beyond the limits, {len(found.wrong)} disagreements"
    )
    print(f"{'keyword':24} {'valid':>8} {'invalid':>8}")
    for k in BUILDERS:
        print(f"{k:24} {found.decided[k, True]:8,} {found.decided[k, False]:8,}")
    for line in found.wrong[:20] + [f"beyond the limits: {s}" for s in found.limits[:10]]:
        print(line)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
