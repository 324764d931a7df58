"""From what the caller asks for to a grammar and a parser: one path, through `pydantic.TypeAdapter`.

Types (pydantic models, dataclasses, TypedDict, NamedTuple, Enum, Literal, unions, lists, int, datetime ...) give a JSON
schema and a validator; a callable gives the schema of its arguments, and parsing calls it. A mapping or JSON text is a
schema, a `Grammar` is itself, a compiled pattern a regex, a list of strings a choice.
"""

from __future__ import annotations

import functools
import json
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NotRequired

from typing_extensions import TypedDict

from grammars.errors import UnsupportedFeature
from grammars.grammar import Grammar, choice, json_schema, regex


@dataclass(frozen=True, slots=True)
class Target:
    """What to generate: the language, how to read it, and (for types and schemas) the schema itself."""

    grammar: Grammar
    parse: Callable[[str], Any] | None = None
    parse_partial: Callable[[str], Any] | None = None
    schema: Any = None


def target_of(wanted: Any) -> Target:
    """Resolve `wanted`. Types use numbers="plain" and order="schema" (see DESIGN: JSON text).

    Raises UnsupportedFeature for a compiled pattern with flags and for a type of which pydantic knows no schema, and
    whatever the front ends raise.
    """
    if isinstance(wanted, Grammar):
        return Target(wanted, json.loads if wanted.kind == "json_schema" else None)
    if isinstance(wanted, re.Pattern):
        if wanted.flags & ~re.UNICODE:
            raise UnsupportedFeature("flags of a compiled pattern are not read; write them inline, as in (?i)")
        return Target(regex(wanted.pattern))
    if isinstance(wanted, list | tuple) and wanted and all(isinstance(x, str | bytes) for x in wanted):
        return Target(choice(wanted))
    if isinstance(wanted, str | bytes):
        return Target(_grammar(wanted), json.loads, partial_json, json.loads(wanted))
    if isinstance(wanted, Mapping | bool):
        return Target(_grammar(wanted), json.loads, partial_json, wanted)
    return _of_type(wanted)


def _grammar(schema: Any) -> Grammar:
    return json_schema(schema, order="schema", numbers="plain")


def _of_type(wanted: Any) -> Target:
    from pydantic import PydanticUserError, TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(_readable(wanted))
        schema = adapter.json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError) as e:
        raise UnsupportedFeature(f"no JSON schema for {wanted!r}: {str(e).splitlines()[0]}") from e
    partial = functools.partial(adapter.validate_json, experimental_allow_partial=True)
    return Target(_grammar(schema), adapter.validate_json, partial, schema)


def partial_json(text: str) -> Any:
    """The data that a beginning of a JSON text holds. Raises ValueError where it holds none yet."""
    from pydantic_core import from_json

    return from_json(text, allow_partial="trailing-strings")


def _readable(wanted: Any) -> Any:
    """A `typing.TypedDict` as the one of typing_extensions, which pydantic asks for before Python 3.12."""
    if not typing.is_typeddict(wanted):
        return wanted
    fields = {
        name: NotRequired[hint] if name in wanted.__optional_keys__ else hint
        for name, hint in typing.get_type_hints(wanted).items()
    }
    make: Any = TypedDict  # called with fields that no checker can know
    return make(wanted.__name__, fields)


def describe(schema: Any) -> str:
    """A line that names the fields of an object schema, for prompts: ``Fields: name, age``; empty for other schemas."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return f"Fields: {', '.join(properties)}" if isinstance(properties, Mapping) and properties else ""
