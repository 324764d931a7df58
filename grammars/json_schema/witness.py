"""Where an unsatisfiable schema fails: the deepest schema on the way down that every instance needs and none satisfies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from grammars.json_schema.report import escape

TRIES = 200  # schemas judged by themselves


def failing_path(schema: Any, empty: Callable[[Any], bool]) -> str:
    """The JSON pointer of that schema; `empty` says of a schema within `schema` whether nothing satisfies it alone.

    "#" if only the keywords of the root together have no instance. At most `TRIES` calls of `empty`.
    """
    path, left = "#", TRIES
    while True:
        for place, sub in _needed(schema):
            left -= 1
            if left < 0:
                return path
            if empty(sub):
                path, schema = f"{path}{place}", sub
                break
        else:
            return path


def _needed(schema: Any) -> Iterator[tuple[str, Any]]:
    """The schemas directly in `schema` that every instance has to satisfy, or has to hold a value for."""
    if not isinstance(schema, Mapping):
        return
    for i, sub in enumerate(_list(schema.get("allOf"))):
        yield f"/allOf/{i}", sub
    if schema.get("type") == "object":
        properties = schema.get("properties")
        for name in _list(schema.get("required")):
            if isinstance(properties, Mapping) and name in properties:
                yield f"/properties/{escape(name)}", properties[name]
    if schema.get("type") == "array":
        least = schema.get("minItems", 0)
        key = "prefixItems" if "prefixItems" in schema else "items"
        listed = _list(schema.get(key))
        for i, sub in enumerate(listed):
            if i < least:
                yield f"/{key}/{i}", sub
        if len(listed) < least and "items" in schema and not isinstance(schema["items"], list):
            yield "/items", schema["items"]


def _list(x: Any) -> Sequence[Any]:
    return x if isinstance(x, Sequence) and not isinstance(x, str) else ()
