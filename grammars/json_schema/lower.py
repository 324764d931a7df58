"""Schemas to value predicates.

One schema object becomes one record: its keywords each speak about values of one JSON type and are conjoined per type;
keywords that combine schemas (``anyOf``, ``not``, ``$ref`` ...) are conjoined with the record. A schema that a reference
leads to is lowered once; a reference met while its target is still being lowered becomes a reserved node, which is how
recursion is written. Whatever the front end refuses it refuses here; emptiness and work limits are the kernel's.

Cost: linear in the schema, some microseconds an object.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from grammars.errors import ConstrainError, GrammarError, LimitExceeded, UnsupportedFeature
from grammars.ir import Op, Table
from grammars.json_schema import formats as known_formats
from grammars.json_schema import report, unevaluated, values
from grammars.json_schema.named_grammars import check_grammars, check_used, lower_named
from grammars.json_schema.resolve import NAMES, DynamicReference, References, Scope, id_of
from grammars.json_schema.subset import check_openai
from grammars.limits import DEFAULT_LIMITS, Limits
from grammars.regex import charset, lower_regex, parse_regex

if TYPE_CHECKING:
    from grammars.grammar import Grammar

Formats = Literal["assert", "annotate"]
Subset = Literal["openai"]
SCHEMA_DEPTH = 200  # schema objects within schema objects that the recursive walk can carry
TYPES = {"null": 0, "boolean": 1, "number": 3, "integer": 3, "string": 4, "array": 5, "object": 6}
Path = tuple[Any, ...]
_ILL_FOUNDED = "a reference leads back to itself without entering an array or object"
_IN_PLACE = frozenset({Op.AND, Op.OR, Op.NOT, Op.ONE_OF, Op.RESERVED})  # value nodes that speak about the same value


@dataclass(frozen=True, slots=True)
class LoweredSchema:
    """`value`: the node of the predicate. `report`: one row a keyword, computed at each access. `part`: lowers a schema within
    this one, by itself, into another table. `grammars`: kinds of the grammars that formats name."""

    value: int
    schema: Any
    assert_formats: bool
    nullable: bool = False
    part: Callable[[Any, Table], int] = field(default=lambda sub, table: 0, repr=False, compare=False)
    grammars: Mapping[str, str] = field(default_factory=dict)

    @property
    def report(self) -> tuple[report.ReportRow, ...]:
        return report.rows(self.schema, self.assert_formats, self.nullable, self.grammars)


def lower_schema(
    schema: Any,
    table: Table,
    *,
    draft: str | None = None,
    registry: Any = None,
    formats: Formats = "assert",
    nullable: bool = False,
    subset: Subset | None = None,
    grammars: Mapping[str, Grammar] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> LoweredSchema:
    """Lower a schema (a mapping, a bool, or JSON text) into `table`.

    nullable: ``nullable: true`` adds null to the ``type`` beside it, as in OpenAPI 3.0.
    subset: refuse by name what is outside the strict subset of a service.
    grammars: by name, what formats of these names mean.
    Raises GrammarError with the JSON pointer of what is malformed, UnsupportedFeature for what is outside `subset`,
    LimitExceeded beyond `limits`.
    """
    if isinstance(schema, str | bytes):
        schema = parse_text(schema, limits)
    if draft is not None and draft not in NAMES:
        raise GrammarError(f"unknown draft {draft!r}; one of {', '.join(NAMES)}")
    if subset == "openai":
        check_openai(schema)

    named = check_grammars(grammars)
    used: set[str] = set()

    def lowered(sub: Any, table: Table) -> int:
        given = (schema, table, NAMES[draft or "2020-12"], registry, formats == "assert", limits, nullable, named, used)
        try:
            return Lowering(*given).root(sub)
        except DynamicReference:
            return Lowering(*given, dynamic=True).root(sub)

    value = lowered(schema, table)
    check_used(named, used)
    kinds = {name: grammar.kind for name, grammar in named.items()}
    return LoweredSchema(value, schema, formats == "assert", nullable, lowered, kinds)


def parse_text(text: str | bytes, limits: Limits) -> Any:
    """Read JSON text with exact decimals. Raises GrammarError, or LimitExceeded where it is too long or nests too deep."""
    if len(text) > limits.source_bytes:
        raise LimitExceeded(len(text), limits.source_bytes, "source_bytes of a schema")
    try:
        return json.loads(text, parse_float=Decimal)
    except RecursionError:
        raise LimitExceeded(limits.depth + 1, limits.depth, "depth of a schema") from None
    except UnicodeDecodeError as e:
        raise GrammarError(f"the schema is not valid UTF-8: {e.reason} at byte {e.start}") from None
    except ValueError as e:
        source = text if isinstance(text, str) else text.decode(errors="replace")
        at = getattr(e, "pos", 0)
        raise GrammarError(f"the schema is not JSON: {e}", source=source, span=(at, at + 1)) from None


class _Parts:
    """What the keywords of one schema object demand, by the type of value they speak about."""

    __slots__ = ("allowed", "arrays", "numbers", "objects", "others", "strings")

    def __init__(self) -> None:
        self.allowed: set[int] | None = None
        self.numbers: list[int] = []
        self.strings: list[int] = []
        self.arrays: list[int] = []
        self.objects: list[int] = []
        self.others: list[int] = []


Handler = Callable[["Lowering", Any, Mapping[str, Any], _Parts, Scope, Path], None]


class Lowering:
    """One schema on its way into a table: the parts that the keywords share."""

    def __init__(
        self, schema: Any, table: Table, draft: int, registry: Any, assert_formats: bool, limits: Limits,
        nullable: bool = False, grammars: Mapping[str, Grammar] | None = None, used: set[str] | None = None,
        dynamic: bool = False,
    ) -> None:  # fmt: skip
        self.table, self.limits, self.assert_formats, self.nullable = table, limits, assert_formats, nullable
        self.schema = schema
        self.references = References(schema, draft, registry, dynamic)
        self.scope = self.references.start()
        self.any, self.none = values.any_value(table), values.no_value(table)
        self.true, self.false, self.text, self.empty = table.true(), table.false(), table.text(), table.empty()
        self.targets: dict[
            tuple[int, tuple[Any, ...]], int | None
        ] = {}  # (id of the schema, scope) -> node; None: in progress
        self.reserved: dict[tuple[int, tuple[Any, ...]], int] = {}
        self.collecting: set[tuple[int, str]] = set()
        self.grammars, self.used = grammars or {}, set() if used is None else used  # `used`: formats met
        self.named: dict[str, int] = {}  # format that a grammar is given for -> node
        self.formats: dict[tuple[str, int], int] = {}  # (format, draft) -> node
        self.patterns: dict[str, int] = {}  # source -> node
        self.places: dict[int, Path] = {}  # reserved node -> where it was referred to
        self.depth = 0
        self.max_depth = min(limits.depth, SCHEMA_DEPTH)

    def root(self, schema: Any) -> int:
        made = self.target(schema, self.scope, ())
        self.check_founded()
        return made

    @contextmanager
    def entering(self, schema: Mapping[str, Any], path: Path) -> Iterator[None]:
        """While the branches of a schema are collected: meeting it again in place means that it refers to itself."""
        key = (id(schema), path[-1])
        if key in self.collecting:
            raise self.bad(path, _ILL_FOUNDED)
        self.collecting.add(key)
        yield
        self.collecting.discard(key)

    def check_founded(self) -> None:
        """Raise GrammarError for a reference that leads back to itself without entering an array or object. O(nodes)."""
        nodes = self.table.nodes
        done: set[int] = set()
        for start, path in self.places.items():
            stack: list[tuple[int, bool]] = [(start, False)]
            inside: set[int] = set()
            while stack:
                at, left = stack.pop()
                if left:
                    inside.discard(at)
                    done.add(at)
                elif at in inside:
                    raise self.bad(path, _ILL_FOUNDED)
                elif at not in done and nodes[at][0] in _IN_PLACE:
                    inside.add(at)
                    stack.append((at, True))
                    stack.extend((x, False) for x in nodes[at][1:])

    # ------------------------------------------------------------------ schemas
    def target(self, schema: Any, scope: Scope, path: Path) -> int:
        """A schema that references may lead to: lowered once, reserved while in progress."""
        if not isinstance(schema, Mapping):
            return self.lower(schema, scope, path)
        key = (id(schema), scope.key)
        if key in self.targets:
            done = self.targets[key]
            if done is not None:
                return done
            if key not in self.reserved:
                self.reserved[key] = self.table.reserve()
                self.places[self.reserved[key]] = path
            return self.reserved[key]
        self.targets[key] = None
        outside, self.collecting = self.collecting, set()
        made = self.lower(schema, scope, path)
        self.collecting = outside
        self.targets[key] = made
        if key in self.reserved:
            self.table.define(self.reserved[key], made)
        return made

    def lower(self, schema: Any, scope: Scope, path: Path) -> int:
        if schema is True:
            return self.any
        if schema is False:
            return self.none
        if not _is_mapping(schema):
            raise self.bad(path, f"a schema must be an object or a boolean, not {_kind(schema)}")
        self.depth += 1
        if self.depth > self.max_depth:
            raise LimitExceeded(self.depth, self.max_depth, "depth of a schema")
        if len(self.table.nodes) > self.limits.nodes:
            raise LimitExceeded(len(self.table.nodes), self.limits.nodes, "nodes of a schema")
        scope = self.scope_of(schema, scope)
        parts, unknown = _Parts(), scope.unknown
        ref_only = "$ref" in schema and scope.draft <= 7
        for keyword in ("$ref",) if ref_only else schema:
            handler = HANDLERS.get(keyword)
            if handler is not None and keyword not in unknown:
                handler(self, schema[keyword], schema, parts, scope, (*path, keyword))
        self.depth -= 1
        return self.assemble(parts)

    def scope_of(self, schema: Mapping[str, Any], scope: Scope) -> Scope:
        """The scope inside `schema`: another one if it has an id of its own."""
        if schema is not scope.root and id_of(schema, scope.draft):
            return self.references.enter(schema, scope)
        return scope

    def knows(self, keyword: str, scope: Scope) -> bool:
        """Is `keyword` one of the dialect at hand?"""
        return keyword not in scope.unknown

    def resolved(self, ref: Any, keyword: str, scope: Scope, path: Path) -> tuple[Any, Scope]:
        """The schema that a reference leads to, and its scope."""
        if not isinstance(ref, str):
            raise self.bad(path, f"{keyword} must be a string, not {_kind(ref)}")
        try:
            if keyword == "$ref":
                return self.references.follow(ref, scope)
            return self.references.follow_dynamic(ref, scope, recursive=keyword == "$recursiveRef")
        except GrammarError as e:
            raise self.bad(path, e.message) from None

    def has_property(self, key: str, path: Path) -> int:
        """Objects in which the name is present."""
        return values.only(self.table, values.OBJECT, self.table.node(Op.REQUIRED, self.name(key, path)))

    def assemble(self, parts: _Parts) -> int:
        t, allowed = self.table, parts.allowed
        words = [self.true if allowed is None or kind in allowed else self.false for kind in (0, 1)]
        components = []
        for kind, demands, free, never in (
            (3, parts.numbers, self.true, self.false),
            (4, parts.strings, self.text, self.empty),
            (5, parts.arrays, self.true, self.false),
            (6, parts.objects, self.true, self.false),
        ):
            if allowed is not None and kind not in allowed:
                components.append(never)
            else:
                components.append(t.conjunction(*dict.fromkeys(demands)) if demands else free)
        record = t.node(Op.VALUE, words[0], words[1], words[1], *components)
        if not parts.others:
            return record
        others = [x for x in dict.fromkeys(parts.others) if x != self.any]
        if record != self.any or not others:
            others.append(record)
        return t.conjunction(*others)

    def children(self, schemas: Sequence[Any], scope: Scope, path: Path) -> list[int]:
        return [self.lower(s, scope, (*path, i)) for i, s in enumerate(schemas)]

    # ------------------------------------------------------------------ messages and checks
    def bad(self, path: Path, message: str) -> GrammarError:
        return GrammarError(message, path=pointer(path))

    def number(self, x: Any, path: Path) -> Any:
        if not values.is_number(x):
            raise self.bad(path, f"{path[-1]} must be a number, not {_kind(x)}")
        return x

    def count(self, x: Any, path: Path) -> int:
        if not values.is_number(x) or x != int(x) or x < 0:
            raise self.bad(path, f"{path[-1]} must be a non-negative integer, not {x!r}")
        return int(x)

    def mapping(self, x: Any, path: Path) -> Mapping[str, Any]:
        if not _is_mapping(x):
            raise self.bad(path, f"{path[-1]} must be an object, not {_kind(x)}")
        return x

    def sequence(self, x: Any, path: Path) -> Sequence[Any]:
        if not isinstance(x, list) and (not isinstance(x, Sequence) or isinstance(x, (str, bytes))):
            raise self.bad(path, f"{path[-1]} must be an array, not {_kind(x)}")
        return x

    def name(self, x: Any, path: Path) -> int:
        if not isinstance(x, str):
            raise self.bad(path, f"a property name must be a string, not {_kind(x)}")
        try:
            return self.table.blob(x.encode())
        except UnicodeEncodeError:
            raise self.bad(path, "a lone surrogate in a property name cannot be written in JSON text") from None

    def named_grammar(self, name: str) -> int:
        """The strings that hold a text of the grammar that is given for a format."""
        if name not in self.named:
            self.named[name] = lower_named(self.grammars[name], self.table)
        return self.named[name]

    def pattern(self, x: Any, path: Path) -> int:
        if not isinstance(x, str):
            raise self.bad(path, f"a pattern must be a string, not {_kind(x)}")
        if x not in self.patterns:
            try:
                self.patterns[x] = lower_regex(parse_regex(x, "ecma", self.limits), self.table, search=True)
            except GrammarError as e:
                raise type(e)(e.message, source=e.source, span=e.span, path=pointer(path)) from None
        return self.patterns[x]

    def format(self, name: str, draft: int) -> int:
        if (name, draft) not in self.formats:
            self.formats[name, draft] = known_formats.lower_format(name, self.table, draft)
        return self.formats[name, draft]


def pointer(path: Path) -> str:
    """A path as a JSON pointer fragment."""
    return "#" + "".join("/" + report.escape(str(p)) for p in path)


def _is_mapping(x: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(x, (dict, Mapping))  # in this order: the second is slow, and the first nearly always the case


def _kind(x: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(x), "a number" if values.is_number(x) else type(x).__name__)


# ---------------------------------------------------------------------- keywords of any type
def _type(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    names = (x,) if isinstance(x, str) else lo.sequence(x, path)
    kinds: set[int] = set()
    for n in names:
        if not isinstance(n, str) or n not in TYPES:
            raise lo.bad(path, f"unknown type {n!r}; one of {', '.join(TYPES)}")
        kinds.add(TYPES[n])
    # since draft 6 an integer is any number without a fractional part, however it is written
    if "integer" in names and "number" not in names:
        parts.numbers.append(lo.table.node(Op.INTEGRAL) if scope.draft == 4 else values.multiple_of(lo.table, 1))
    if lo.nullable and schema.get("nullable") is True:
        kinds.add(TYPES["null"])
    parts.allowed = kinds


def _enum(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    parts.others.append(_equal(lo, lo.sequence(x, path), path))


def _const(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    if scope.draft >= 6:
        parts.others.append(_equal(lo, [x], path))


def _equal(lo: Lowering, xs: Sequence[Any], path: Path) -> int:
    try:
        return values.equal_to(lo.table, xs)
    except GrammarError as e:
        raise lo.bad(path, e.message) from None
    except RecursionError:
        raise LimitExceeded(lo.max_depth + 1, lo.max_depth, "depth of a value in a schema") from None


def _ref(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    found, inner = lo.resolved(x, path[-1], scope, path)
    parts.others.append(lo.target(found, inner, path))


def _unique(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    if x is not True and x is not False:
        raise lo.bad(path, f"uniqueItems must be a boolean, not {_kind(x)}")
    if x:
        parts.arrays.append(lo.table.node(Op.UNIQUE))


# ---------------------------------------------------------------------- combinations
def _all_of(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    parts.others.extend(lo.children(_some(lo, x, path), scope, path))


def _any_of(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    branches = lo.children(_some(lo, x, path), scope, path)
    parts.others.append(lo.any if lo.any in branches else lo.table.disjunction(*dict.fromkeys(branches)))


def _one_of(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    parts.others.append(lo.table.one_of(*lo.children(_some(lo, x, path), scope, path)))


def _some(lo: Lowering, x: Any, path: Path) -> Sequence[Any]:
    if not lo.sequence(x, path):
        raise lo.bad(path, f"{path[-1]} must not be empty")
    return x


def _not(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    parts.others.append(lo.table.negation(lo.lower(x, scope, path)))


def _if(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    if scope.draft < 7 or ("then" not in schema and "else" not in schema):
        return
    t = lo.table
    test = lo.lower(x, scope, path)
    for keyword, guard in (("then", t.negation(test)), ("else", test)):
        if keyword in schema:
            parts.others.append(t.disjunction(guard, lo.lower(schema[keyword], scope, (*path[:-1], keyword))))


# ---------------------------------------------------------------------- numbers
def _minimum(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    strict = scope.draft == 4 and schema.get("exclusiveMinimum") is True
    make = values.more_than if strict else values.at_least
    parts.numbers.append(make(lo.table, lo.number(x, path)))


def _maximum(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    strict = scope.draft == 4 and schema.get("exclusiveMaximum") is True
    make = values.at_least if strict else values.more_than
    parts.numbers.append(lo.table.negation(make(lo.table, lo.number(x, path))))


def _exclusive_minimum(
    lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path
) -> None:
    if scope.draft == 4 or isinstance(x, bool):
        return _boolean_bound(lo, x, scope, path)
    parts.numbers.append(values.more_than(lo.table, lo.number(x, path)))
    return None


def _exclusive_maximum(
    lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path
) -> None:
    if scope.draft == 4 or isinstance(x, bool):
        return _boolean_bound(lo, x, scope, path)
    parts.numbers.append(lo.table.negation(values.at_least(lo.table, lo.number(x, path))))
    return None


def _boolean_bound(lo: Lowering, x: Any, scope: Scope, path: Path) -> None:
    """Draft 4 has a flag beside the bound; later drafts have a number of its own."""
    if scope.draft != 4:
        raise lo.bad(path, f"{path[-1]} must be a number since draft 6; a boolean is draft 4")
    if not isinstance(x, bool):
        raise lo.bad(path, f"{path[-1]} must be a boolean in draft 4, not {_kind(x)}")


def _multiple_of(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    if lo.number(x, path) <= 0:
        raise lo.bad(path, "multipleOf must be greater than 0")
    parts.numbers.append(values.multiple_of(lo.table, x))


# ---------------------------------------------------------------------- strings
def _length(lo: Lowering, least: int, most: int | None) -> int:
    return lo.table.repeat(lo.table.char_class(charset.ANY), least, most)


def _min_length(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    n = lo.count(x, path)
    if n:
        parts.strings.append(_length(lo, n, None))


def _max_length(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    parts.strings.append(_length(lo, 0, lo.count(x, path)))


def _pattern(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    parts.strings.append(lo.pattern(x, path))


def _format(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    if not isinstance(x, str):
        raise lo.bad(path, f"format must be a string, not {_kind(x)}")
    lo.used.add(x)
    if x in lo.grammars:
        parts.strings.append(lo.named_grammar(x))
        return
    if not (lo.assert_formats or scope.dialect.asserts_formats) or x not in known_formats.NAMES:
        return
    parts.strings.append(lo.format(x, scope.draft))


# ---------------------------------------------------------------------- arrays
def _items(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    t = lo.table
    if isinstance(x, Sequence) and not isinstance(x, str):
        if scope.draft == 2020:
            raise lo.bad(path, "items must be a schema in draft 2020-12; an array of schemas is prefixItems")
        prefix = lo.children(x, scope, path)
        rest = lo.any
        if "additionalItems" in schema:
            rest = lo.lower(schema["additionalItems"], scope, (*path[:-1], "additionalItems"))
        parts.arrays.append(t.node(Op.ITEMS, len(prefix), *prefix, rest))
        return
    prefix = []
    if scope.draft == 2020 and "prefixItems" in schema:
        prefix = [lo.any] * len(lo.sequence(schema["prefixItems"], path))
    rest = lo.lower(x, scope, path)
    if rest != lo.any:
        parts.arrays.append(t.node(Op.ITEMS, len(prefix), *prefix, rest))


def _prefix_items(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    if scope.draft >= 2020:
        prefix = lo.children(lo.sequence(x, path), scope, path)
        parts.arrays.append(lo.table.node(Op.ITEMS, len(prefix), *prefix, lo.any))


def _min_items(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    n = lo.count(x, path)
    if n:
        parts.arrays.append(lo.table.node(Op.ITEM_COUNT, n, lo.any))


def _max_items(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    parts.arrays.append(lo.table.negation(lo.table.node(Op.ITEM_COUNT, lo.count(x, path) + 1, lo.any)))


def _contains(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    if scope.draft < 6:
        return
    t = lo.table
    body = lo.lower(x, scope, path)
    bounds = scope.draft >= 2019
    least = lo.count(schema["minContains"], (*path[:-1], "minContains")) if bounds and "minContains" in schema else 1
    if least:
        parts.arrays.append(t.node(Op.ITEM_COUNT, least, body))
    if bounds and "maxContains" in schema:
        most = lo.count(schema["maxContains"], (*path[:-1], "maxContains"))
        parts.arrays.append(t.negation(t.node(Op.ITEM_COUNT, most + 1, body)))


# ---------------------------------------------------------------------- objects
def _properties(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    """properties, patternProperties and additionalProperties together, at one of them that is present."""
    one = "properties" if "properties" in schema else "patternProperties" if "patternProperties" in schema else path[-1]
    if path[-1] != one:
        return
    base = path[:-1]
    literals: list[int] = []
    named = lo.mapping(schema.get("properties", {}), (*base, "properties"))
    for key, sub in named.items():
        place = (*base, "properties", key)
        literals += (lo.name(key, place), lo.lower(sub, scope, place))
    patterns: list[int] = []
    matched = lo.mapping(schema.get("patternProperties", {}), (*base, "patternProperties"))
    for key, sub in matched.items():
        place = (*base, "patternProperties", key)
        patterns += (lo.pattern(key, place), lo.lower(sub, scope, place))
    rest = lo.any
    if "additionalProperties" in schema:
        rest = lo.lower(schema["additionalProperties"], scope, (*base, "additionalProperties"))
    if literals or patterns or rest != lo.any:
        parts.objects.append(lo.table.node(Op.PROPERTIES, len(named), len(matched), *literals, *patterns, rest))


def _required(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    if isinstance(x, bool):
        if scope.draft == 4 or "$schema" not in (lo.schema if isinstance(lo.schema, Mapping) else {}):
            return  # draft 3 wrote it on the property itself; no later draft gives it a meaning
    names = [lo.name(n, path) for n in lo.sequence(x, path)]
    if names:
        parts.objects.append(lo.table.node(Op.REQUIRED, *sorted(set(names))))


def _min_properties(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    n = lo.count(x, path)
    if n:
        parts.objects.append(lo.table.node(Op.PROPERTY_COUNT, n, -1, lo.any))


def _max_properties(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    parts.objects.append(lo.table.negation(lo.table.node(Op.PROPERTY_COUNT, lo.count(x, path) + 1, -1, lo.any)))


def _property_names(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    """Names are strings, so the schema is lowered over an array of the string itself: only its strings matter."""
    if scope.draft < 6:
        return
    t = lo.table
    names = _string_part(lo, x, scope, path)
    parts.objects.append(t.node(Op.PROPERTIES, 0, 1, t.conjunction(t.text(), t.negation(names)), lo.none, lo.any))


def _string_part(lo: Lowering, x: Any, scope: Scope, path: Path) -> int:
    """The strings that satisfy a schema, as a regex node: its value's string components, combined as the value is."""
    return _strings_of(lo, lo.lower(x, scope, path), path)


def _strings_of(lo: Lowering, value: int, path: Path) -> int:
    t = lo.table
    op, *operands = t.nodes[value]
    if op == Op.VALUE:
        return operands[4]
    if op == Op.RESERVED:
        if operands[0] < 0:
            raise UnsupportedFeature("a recursive schema for property names is not enforced", path=pointer(path))
        return _strings_of(lo, operands[0], path)
    parts = [_strings_of(lo, o, path) for o in operands]
    if op == Op.NOT:
        return t.conjunction(t.text(), t.negation(parts[0]))
    return t.node(Op(op), *parts)


def _dependent_required(
    lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path
) -> None:
    if scope.draft >= 2019:
        for key, names in lo.mapping(x, path).items():
            _implies_names(lo, key, names, parts, (*path, key))


def _implies_names(lo: Lowering, key: str, names: Any, parts: _Parts, path: Path) -> None:
    t = lo.table
    wanted = [lo.name(n, path) for n in lo.sequence(names, path)]
    if wanted:
        present = t.node(Op.REQUIRED, lo.name(key, path))
        parts.objects.append(t.disjunction(t.negation(present), t.node(Op.REQUIRED, *sorted(set(wanted)))))


def _implies_schema(lo: Lowering, key: str, sub: Any, parts: _Parts, scope: Scope, path: Path) -> None:
    t = lo.table
    absent = t.negation(t.node(Op.REQUIRED, lo.name(key, path)))
    without = t.node(Op.VALUE, lo.true, lo.true, lo.true, lo.true, lo.text, lo.true, absent)
    parts.others.append(t.disjunction(without, lo.lower(sub, scope, path)))


def _dependent_schemas(
    lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path
) -> None:
    if scope.draft >= 2019:
        for key, sub in lo.mapping(x, path).items():
            _implies_schema(lo, key, sub, parts, scope, (*path, key))


def _dependencies(lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path) -> None:
    """Kept in every dialect, as the published validators keep it for compatibility."""
    for key, sub in lo.mapping(x, path).items():
        if isinstance(sub, Sequence) and not isinstance(sub, str):
            _implies_names(lo, key, sub, parts, (*path, key))
        else:
            _implies_schema(lo, key, sub, parts, scope, (*path, key))


def _unevaluated_items(
    lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path
) -> None:
    with lo.entering(schema, path):
        parts.arrays.append(unevaluated.items(lo, lo.lower(x, scope, path), schema, scope, path[:-1]))


def _unevaluated_properties(
    lo: Lowering, x: Any, schema: Mapping[str, Any], parts: _Parts, scope: Scope, path: Path
) -> None:
    with lo.entering(schema, path):
        parts.objects.append(unevaluated.properties(lo, lo.lower(x, scope, path), schema, scope, path[:-1]))


HANDLERS: dict[str, Handler] = {
    "type": _type, "enum": _enum, "const": _const, "$ref": _ref,
    "allOf": _all_of, "anyOf": _any_of, "oneOf": _one_of, "not": _not, "if": _if,
    "minimum": _minimum, "maximum": _maximum, "exclusiveMinimum": _exclusive_minimum,
    "exclusiveMaximum": _exclusive_maximum, "multipleOf": _multiple_of,
    "minLength": _min_length, "maxLength": _max_length, "pattern": _pattern, "format": _format,
    "items": _items, "prefixItems": _prefix_items, "minItems": _min_items, "maxItems": _max_items,
    "contains": _contains, "uniqueItems": _unique,
    "properties": _properties, "patternProperties": _properties, "additionalProperties": _properties,
    "required": _required, "minProperties": _min_properties, "maxProperties": _max_properties,
    "propertyNames": _property_names, "dependentRequired": _dependent_required,
    "dependentSchemas": _dependent_schemas, "dependencies": _dependencies,
    "unevaluatedItems": _unevaluated_items, "unevaluatedProperties": _unevaluated_properties,
    "$dynamicRef": _ref, "$recursiveRef": _ref,
}  # fmt: skip

__all__ = ["ConstrainError", "LoweredSchema", "lower_schema", "parse_text", "pointer"]
