"""What became of each keyword: enforced, or annotation, with its path. A second walk, made only when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from grammars.json_schema import formats

Status = Literal["enforced", "annotation"]

SINGLE = frozenset(
    "additionalItems additionalProperties contains else if items not propertyNames then unevaluatedItems "
    "unevaluatedProperties".split()
)
LISTS = frozenset("allOf anyOf oneOf prefixItems items".split())
MAPS = frozenset("$defs definitions dependencies dependentSchemas patternProperties properties".split())
ENFORCED = (
    frozenset(
        "$ref const dependentRequired enum exclusiveMaximum exclusiveMinimum format maxContains maxItems maxLength "
        "maxProperties maximum minContains minItems minLength minProperties minimum multipleOf pattern required type "
        "uniqueItems".split()
    )
    | SINGLE
    | LISTS
    | (MAPS - {"$defs", "definitions"})
)


@dataclass(frozen=True, slots=True)
class ReportRow:
    """`path`: JSON pointer of the schema object that holds the keyword."""

    path: str
    keyword: str
    status: Status
    note: str = ""


def rows(
    schema: Any, assert_formats: bool, nullable: bool = False, grammars: Mapping[str, str] | None = None
) -> tuple[ReportRow, ...]:
    """One row for each keyword of each schema object, in document order. O(schema).

    nullable: OpenAPI's keyword of that name is in force. grammars: kinds of the grammars that formats name.
    """
    return tuple(
        _row(path, keyword, x, assert_formats, nullable and "type" in sub, grammars or {})
        for path, sub in schemas(schema)
        if isinstance(sub, Mapping)
        for keyword, x in sub.items()
    )


def schemas(root: Any) -> Iterator[tuple[str, Any]]:
    """Every schema in `root` with its JSON pointer, in document order."""
    stack: list[tuple[str, Any]] = [("#", root)]
    while stack:
        path, schema = stack.pop()
        yield path, schema
        if isinstance(schema, Mapping):
            below = [found for keyword, x in schema.items() for found in subschemas(path, keyword, x)]
            stack.extend(reversed(below))


def _row(
    path: str, keyword: str, x: Any, assert_formats: bool, nullable: bool, grammars: Mapping[str, str]
) -> ReportRow:
    if keyword == "nullable" and nullable:
        return ReportRow(path, keyword, "enforced", "null too, by option")
    if keyword == "format":
        if x in grammars:
            return ReportRow(
                path, keyword, "enforced", f"the decoded string is a text of grammars[{x!r}] ({grammars[x]})"
            )
        if not assert_formats:
            return ReportRow(path, keyword, "annotation", "formats are annotations by option")
        if x not in formats.NAMES:
            return ReportRow(path, keyword, "annotation", f"unknown format {x!r}")
        return ReportRow(path, keyword, "enforced", formats.NOTES.get(x, ""))
    return ReportRow(path, keyword, "enforced" if keyword in ENFORCED else "annotation")


def subschemas(path: str, keyword: str, x: Any) -> Iterator[tuple[str, Any]]:
    """The schemas that stand under one keyword, with their pointers."""
    place = f"{path}/{escape(keyword)}"
    if keyword in MAPS and isinstance(x, Mapping):
        for key, sub in x.items():
            yield f"{place}/{escape(key)}", sub
    elif keyword in LISTS and isinstance(x, Sequence) and not isinstance(x, str):
        for i, sub in enumerate(x):
            yield f"{place}/{i}", sub
    elif keyword in SINGLE:
        yield place, x


def escape(token: str) -> str:
    """A reference token of a JSON pointer (RFC 6901)."""
    return token.replace("~", "~0").replace("/", "~1")
