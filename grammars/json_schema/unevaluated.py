"""``unevaluatedProperties`` and ``unevaluatedItems``: which branches evaluate which members, and under what condition.

A member is evaluated by an adjacent keyword (``properties``, ``prefixItems`` ...) of the schema itself or of any schema
that applies to the same value and accepts it. The branches are collected statically, each with the condition under which
it counts: a value predicate, conjoined along the way (``anyOf`` and ``oneOf``: the branch holds; ``then``: ``if`` holds;
``dependentSchemas``: the name is present). ``not`` evaluates nothing. Whether a condition holds is known only at the end
of the container; the kernel carries it in its state, so that no branch is ever enumerated against another.

Sources: JSON Schema 2019-09 and 2020-12 core, section 11; annotations are collected as section 7.7.1 says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grammars.ir import Op
from grammars.json_schema.resolve import Scope

if TYPE_CHECKING:
    from grammars.json_schema.lower import Lowering, Path


@dataclass(slots=True)
class Branch:
    """What one schema evaluates if `condition`, a value node, holds. `contains`: a value node, or -1."""

    condition: int
    everything: bool = False
    names: list[int] = field(default_factory=list)
    patterns: list[int] = field(default_factory=list)
    prefix: int = 0
    contains: int = -1

    @property
    def evaluates(self) -> bool:
        return bool(self.everything or self.names or self.patterns or self.prefix or self.contains >= 0)


def properties(lo: Lowering, value: int, schema: Mapping[str, Any], scope: Scope, path: Path) -> int:
    """The object predicate of ``unevaluatedProperties`` whose own schema was lowered to `value`."""
    operands: list[int] = []
    branches = [b for b in _branches(lo, schema, scope, path, lo.any, False, ()) if b.evaluates]
    for b in branches:
        operands += (b.condition, b.everything, len(b.names), len(b.patterns), *b.names, *b.patterns)
    return lo.table.node(Op.UNEVALUATED_PROPERTIES, value, len(branches), *operands)


def items(lo: Lowering, value: int, schema: Mapping[str, Any], scope: Scope, path: Path) -> int:
    """The array predicate of ``unevaluatedItems`` whose own schema was lowered to `value`."""
    operands: list[int] = []
    branches = [b for b in _branches(lo, schema, scope, path, lo.any, True, ()) if b.evaluates]
    for b in branches:
        operands += (b.condition, b.everything, b.prefix, b.contains)
    return lo.table.node(Op.UNEVALUATED_ITEMS, value, len(branches), *operands)


def _branches(
    lo: Lowering, schema: Any, scope: Scope, path: Path, condition: int, of_items: bool, inside: tuple[int, ...]
) -> Iterator[Branch]:
    """The branches that `schema` holds; `inside`: the schemas on the way, against references that lead back."""
    if not isinstance(schema, Mapping) or id(schema) in inside:
        return
    scope = lo.scope_of(schema, scope)
    own = Branch(condition)
    (_own_items if of_items else _own_properties)(lo, own, schema, scope, path)
    if inside and ("unevaluatedItems" if of_items else "unevaluatedProperties") in schema:
        own.everything = True
    yield own
    inside = (*inside, id(schema))
    for sub, sub_scope, when, where in _in_place(lo, schema, scope, path):
        both = condition if when == lo.any else when if condition == lo.any else lo.table.conjunction(condition, when)
        yield from _branches(lo, sub, sub_scope, where, both, of_items, inside)


def _in_place(
    lo: Lowering, schema: Mapping[str, Any], scope: Scope, path: Path
) -> Iterator[tuple[Any, Scope, int, Path]]:
    """The schemas that apply to the same value: (schema, scope, condition, path)."""
    for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
        if keyword in schema and lo.knows(keyword, scope):
            found, inner = lo.resolved(schema[keyword], keyword, scope, (*path, keyword))
            yield found, inner, lo.any, (*path, keyword)
    for i, sub in enumerate(schema.get("allOf", ())):
        yield sub, scope, lo.any, (*path, "allOf", i)
    for keyword in ("anyOf", "oneOf"):
        for i, sub in enumerate(schema.get(keyword, ())):
            where = (*path, keyword, i)
            yield sub, scope, lo.lower(sub, scope, where), where
    if "if" in schema:
        test = lo.lower(schema["if"], scope, (*path, "if"))
        yield schema["if"], scope, test, (*path, "if")
        if "then" in schema:
            yield schema["then"], scope, test, (*path, "then")
        if "else" in schema:
            yield schema["else"], scope, lo.table.negation(test), (*path, "else")
    for key, sub in schema.get("dependentSchemas", {}).items():
        where = (*path, "dependentSchemas", key)
        yield sub, scope, lo.has_property(key, where), where


def _own_properties(lo: Lowering, own: Branch, schema: Mapping[str, Any], scope: Scope, path: Path) -> None:
    own.everything = "additionalProperties" in schema
    own.names = [lo.name(k, (*path, "properties", k)) for k in schema.get("properties", {})]
    own.patterns = [lo.pattern(k, (*path, "patternProperties", k)) for k in schema.get("patternProperties", {})]


def _own_items(lo: Lowering, own: Branch, schema: Mapping[str, Any], scope: Scope, path: Path) -> None:
    listed = schema.get("items") if scope.draft == 2019 else schema.get("prefixItems")
    if isinstance(listed, Sequence) and not isinstance(listed, str):
        own.prefix = len(listed)
    elif scope.draft == 2019:
        own.everything = "items" in schema
    if scope.draft == 2019:
        own.everything = own.everything or (own.prefix > 0 and "additionalItems" in schema)
    else:
        own.everything = "items" in schema
        if "contains" in schema:
            own.contains = lo.lower(schema["contains"], scope, (*path, "contains"))
