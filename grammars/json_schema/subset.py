"""The subset of JSON Schema that OpenAI's structured outputs take in strict mode, as a check on schemas.

A schema that passes here means the same to us as to that service; one that does not is refused with the place and the
rule, although all of it could be enforced. Rules as published for structured outputs, section "Supported schemas", in
February 2026.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from grammars.errors import UnsupportedFeature
from grammars.json_schema import report

KEYWORDS = frozenset(
    "type enum const anyOf $ref properties required additionalProperties items pattern format multipleOf maximum "
    "exclusiveMaximum minimum exclusiveMinimum minItems maxItems".split()
)
FORMATS = frozenset("date-time time date duration email hostname ipv4 ipv6 uuid".split())
PROPERTIES, NESTING, CHARACTERS, VALUES = 5_000, 10, 120_000, 1_000
LONG_ENUM, LONG_ENUM_CHARACTERS = 250, 15_000


def check_openai(schema: Any) -> None:
    """Raise UnsupportedFeature at the first rule that `schema` breaks. O(schema)."""
    if not isinstance(schema, Mapping) or schema.get("type") != "object" or "anyOf" in schema:
        raise _broken("#", "the root must be an object schema without anyOf")
    properties = characters = chosen = 0
    for path, sub in report.schemas(schema):
        if sub is False and path.endswith("/additionalProperties"):
            continue
        if not isinstance(sub, Mapping):
            raise _broken(path, "a schema must be an object")
        _keywords(path, sub)
        if sub.get("type") == "object" or "properties" in sub:
            _object(path, sub)
        properties += len(sub.get("properties", ()))
        listed = [*sub.get("enum", ()), *([sub["const"]] if "const" in sub else [])]
        texts = [x for x in listed if isinstance(x, str)]
        if len(texts) > LONG_ENUM and sum(map(len, texts)) > LONG_ENUM_CHARACTERS:
            raise _broken(
                path, f"the texts of an enum of more than {LONG_ENUM} exceed {LONG_ENUM_CHARACTERS} characters"
            )
        chosen += len(sub.get("enum", ()))
        names = [n for k in ("properties", "$defs", "definitions") for n in sub.get(k, ())]
        characters += sum(map(len, (*texts, *names)))
    for what, given, limit in (("object properties", properties, PROPERTIES), ("enum values", chosen, VALUES),
                               ("characters of names and enum texts", characters, CHARACTERS)):  # fmt: skip
        if given > limit:
            raise _broken("#", f"{given} {what} exceed {limit}")
    deep = max(_nesting(schema, 0))
    if deep > NESTING:
        raise _broken("#", f"{deep} levels of nested objects exceed {NESTING}")


def _keywords(path: str, schema: Mapping[str, Any]) -> None:
    for keyword in schema:
        if keyword in report.ENFORCED and keyword not in KEYWORDS:
            raise _broken(f"{path}/{report.escape(keyword)}", f"{keyword} is not supported")
    name = schema.get("format")
    if name is not None and name not in FORMATS:
        raise _broken(f"{path}/format", f"the format {name!r} is not supported; one of {', '.join(sorted(FORMATS))}")


def _object(path: str, schema: Mapping[str, Any]) -> None:
    if schema.get("additionalProperties") is not False:
        raise _broken(path, "additionalProperties must be false")
    required = schema.get("required", ())
    missing = [p for p in schema.get("properties", ()) if p not in required]
    if missing:
        raise _broken(path, f"every property must be required; {missing[0]!r} is not")


def _nesting(schema: Any, depth: int) -> Iterator[int]:
    """Levels of objects on the way to each schema; definitions count where they stand."""
    stack = [(schema, depth)]
    while stack:
        at, level = stack.pop()
        yield level
        if isinstance(at, Mapping):
            level += at.get("type") == "object"
            for keyword, x in at.items():
                stack.extend((sub, level) for _, sub in report.subschemas("", keyword, x))
        elif isinstance(at, Sequence) and not isinstance(at, str):
            stack.extend((sub, level) for sub in at)


def _broken(path: str, rule: str) -> UnsupportedFeature:
    return UnsupportedFeature(f"outside the strict subset of OpenAI: {rule}", path=path)
