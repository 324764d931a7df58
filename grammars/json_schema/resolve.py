"""References and dialects: which schema a reference means, and which keywords are in force there.

The common reference is a JSON pointer into the same resource and is followed directly. Everything else (anchors,
relative and absolute URIs, resources with an id of their own) goes through `referencing`, over the registry that the
caller supplied and the published meta-schemas; nothing is ever fetched.

``$dynamicRef`` and ``$recursiveRef`` depend on the resources through which evaluation came. Of that path only the
outermost resource matters that defines each dynamic anchor, so that is what a `Scope` holds; schemas without dynamic
references pay nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from grammars.errors import GrammarError, UnsupportedFeature

DRAFTS = {
    "http://json-schema.org/draft-04/schema": 4,
    "http://json-schema.org/draft-06/schema": 6,
    "http://json-schema.org/draft-07/schema": 7,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "https://json-schema.org/draft/2020-12/schema": 2020,
}
NAMES = {"4": 4, "6": 6, "7": 7, "2019-09": 2019, "2020-12": 2020}
URIS = {number: uri + ("#" if number < 2019 else "") for uri, number in DRAFTS.items()}

_UNEVALUATED = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_APPLICATOR = frozenset(
    "prefixItems items contains additionalProperties properties patternProperties dependentSchemas propertyNames if "
    "then else allOf anyOf oneOf not additionalItems".split()
)
_VALIDATION = frozenset(
    "type const enum multipleOf maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern maxItems "
    "minItems uniqueItems maxContains minContains maxProperties minProperties required dependentRequired".split()
)
VOCABULARIES = {
    2019: {"applicator": _APPLICATOR | _UNEVALUATED, "validation": _VALIDATION, "format": frozenset({"format"})},
    2020: {"applicator": _APPLICATOR, "unevaluated": _UNEVALUATED, "validation": _VALIDATION},
}
_SILENT = frozenset({"core", "meta-data", "content", "format", "format-annotation", "format-assertion"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """A draft, the keywords that its meta-schema's vocabularies leave out, and whether they assert formats."""

    draft: int
    unknown: frozenset[str] = frozenset()
    asserts_formats: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a schema stands: the root of its resource, its dialect, the resolver of its base URI (None: not needed), and
    for each dynamic anchor the outermost schema that defines it on the way here, with its scope."""

    root: Any
    dialect: Dialect
    resolver: Any = None
    dynamic: Mapping[str, tuple[Any, Scope]] = field(default_factory=dict)

    @property
    def draft(self) -> int:
        return self.dialect.draft

    @property
    def unknown(self) -> frozenset[str]:
        return self.dialect.unknown

    @property
    def key(self) -> tuple[Any, ...]:
        """What besides the schema itself decides its meaning."""
        return (self.dialect.draft, *sorted((name, id(found)) for name, (found, _) in self.dynamic.items()))


class DynamicReference(Exception):
    """Raised at the first dynamic reference, if dynamic anchors have not been followed so far."""


def id_of(schema: Mapping[str, Any], draft: int) -> str | None:
    found = schema.get("id" if draft == 4 else "$id")
    if not isinstance(found, str) or (draft <= 7 and "$ref" in schema):
        return None
    return None if draft <= 7 and found.startswith("#") else found


class References:
    """Follows references out of one root schema. Not shared between schemas.

    dynamic: keep account of dynamic anchors; without it `follow_dynamic` raises DynamicReference.
    """

    def __init__(self, root: Any, draft: int, registry: Any, dynamic: bool = False) -> None:
        self._root, self._registry, self._dynamic = root, registry, dynamic
        self._resolver: Any = None
        self._default = Dialect(draft)
        self._dialect = self.dialect_of(root, self._default)

    def start(self) -> Scope:
        """The scope of the root schema."""
        return self._entered(Scope(self._root, self._dialect))

    def dialect_of(self, schema: Any, default: Dialect) -> Dialect:
        """The dialect that ``$schema`` names, else `default` (also where the meta-schema is not to be had)."""
        uri = schema.get("$schema") if isinstance(schema, Mapping) else None
        if not isinstance(uri, str):
            return default
        if uri.rstrip("#") in DRAFTS:
            return Dialect(DRAFTS[uri.rstrip("#")])
        return self._custom(uri, default, 0)

    def _custom(self, uri: str, default: Dialect, depth: int) -> Dialect:
        """The dialect of a meta-schema out of the registry: its draft, without the vocabularies that it leaves out."""
        try:
            meta = self._registry[uri].contents if self._registry is not None else None
        except KeyError:
            return default
        if not isinstance(meta, Mapping) or depth > 8:
            return default
        parent = meta.get("$schema")
        if not isinstance(parent, str):
            return default
        known = DRAFTS.get(parent.rstrip("#"))
        base = Dialect(known) if known is not None else self._custom(parent, default, depth + 1)
        listed = meta.get("$vocabulary")
        if base.draft not in VOCABULARIES or not isinstance(listed, Mapping):
            return base
        given = {str(v).rpartition("/")[2]: bool(required) for v, required in listed.items()}
        for name, required in given.items():
            if required and name not in VOCABULARIES[base.draft] and name not in _SILENT:
                raise UnsupportedFeature(f"the meta-schema {uri!r} requires a vocabulary that is not known: {name!r}")
        unknown = [words for name, words in VOCABULARIES[base.draft].items() if name not in given]
        asserts = "format-assertion" in given or (base.draft == 2019 and given.get("format", False))
        return Dialect(base.draft, frozenset().union(*unknown), asserts)

    def resolver(self) -> Any:
        """The resolver of the root resource, made when the first reference needs it."""
        if self._resolver is None:
            from jsonschema_specifications import REGISTRY
            from referencing import Registry, Resource
            from referencing.jsonschema import specification_with

            registry = Registry() if self._registry is None else self._registry
            resources = [(uri, _tolerant(registry[uri])) for uri in registry]
            base = (id_of(self._root, self._dialect.draft) if isinstance(self._root, Mapping) else None) or ""
            root = Resource(contents=self._root, specification=specification_with(URIS[self._dialect.draft]))
            registry = REGISTRY.with_resources([*resources, (base, _tolerant(root))])
            self._resolver = registry.resolver(base)
        return self._resolver

    def enter(self, schema: Mapping[str, Any], scope: Scope) -> Scope:
        """The scope inside a schema that has an id of its own."""
        if schema is self._root:
            return replace(scope, root=schema, dialect=self._dialect, resolver=None)
        dialect = self.dialect_of(schema, scope.dialect)
        resolver = (scope.resolver or self.resolver()).in_subresource(_resource(schema, dialect.draft))
        return self._entered(Scope(schema, dialect, resolver, scope.dynamic))

    def follow(self, ref: str, scope: Scope) -> tuple[Any, Scope]:
        """The schema that `ref` means in `scope`, and its own scope. Raises GrammarError if there is none."""
        if ref == "#":
            return scope.root, scope
        if ref.startswith("#/"):
            return self._pointer(ref, scope)
        from referencing.exceptions import Unresolvable

        uri, _, fragment = ref.partition("#")
        anchor = unquote(fragment) if fragment and not fragment.startswith("/") else ""
        if anchor and not uri:
            return self._anchor(anchor, scope.root, scope, ref)
        try:
            resolved = (scope.resolver or self.resolver()).lookup(uri if anchor else ref)
        except (Unresolvable, ValueError, KeyError) as e:
            raise GrammarError(f"the reference {ref!r} cannot be resolved; supply its resource in a registry") from e
        base = resolved.resolver.lookup("#").contents
        dialect = self.dialect_of(base, scope.dialect if base is not self._root else self._dialect)
        inner = self._entered(Scope(base, dialect, resolved.resolver, scope.dynamic))
        if anchor:
            return self._anchor(anchor, base, inner, ref)
        return resolved.contents, replace(inner, dialect=self.dialect_of(resolved.contents, dialect))

    def follow_dynamic(self, ref: str, scope: Scope, recursive: bool) -> tuple[Any, Scope]:
        """As `follow`; where that leads to a dynamic anchor, the outermost one of its name on the way here."""
        if not self._dynamic:
            raise DynamicReference
        found, inner = self.follow(ref, scope)
        anchor = "" if recursive else unquote(ref.partition("#")[2])
        keyword, value = ("$recursiveAnchor", True) if recursive else ("$dynamicAnchor", anchor)
        if not isinstance(found, Mapping) or found.get(keyword) != value or anchor not in inner.dynamic:
            return found, inner
        outermost, where = inner.dynamic[anchor]
        return outermost, replace(where, dynamic=inner.dynamic)

    # ------------------------------------------------------------------ anchors
    def _entered(self, scope: Scope) -> Scope:
        """`scope` with the dynamic anchors of its resource, where no resource on the way has defined them."""
        if not self._dynamic or not isinstance(scope.root, Mapping):
            return scope
        fresh: dict[str, Any] = {}
        if scope.draft == 2019 and scope.root.get("$recursiveAnchor") is True:
            fresh[""] = scope.root
        if scope.draft >= 2020:
            for anchor in _anchors(scope.root, scope.draft):
                if anchor.resource.contents.get("$dynamicAnchor") == anchor.name:
                    fresh.setdefault(anchor.name, anchor.resource.contents)
        added = {name: (found, scope) for name, found in fresh.items() if name not in scope.dynamic}
        return replace(scope, dynamic={**scope.dynamic, **added}) if added else scope

    def _anchor(self, name: str, root: Any, scope: Scope, ref: str) -> tuple[Any, Scope]:
        for anchor in _anchors(root, scope.draft):
            if anchor.name == name:
                return anchor.resource.contents, scope
        raise GrammarError(f"the reference {ref!r} points at nothing: there is no anchor {name!r}")

    def _pointer(self, ref: str, scope: Scope) -> tuple[Any, Scope]:
        at: Any = scope.root
        for token in unquote(ref[2:]).split("/"):
            key = token.replace("~1", "/").replace("~0", "~")
            if isinstance(at, Mapping):
                if at is not scope.root and id_of(at, scope.draft):
                    scope = self.enter(at, scope)
                if key not in at:
                    raise GrammarError(f"the reference {ref!r} points at nothing: there is no {key!r}")
                at = at[key]
            elif isinstance(at, Sequence) and not isinstance(at, str):
                if not key.isdigit() or int(key) >= len(at):
                    raise GrammarError(f"the reference {ref!r} points at nothing: there is no item {key!r}")
                at = at[int(key)]
            else:
                raise GrammarError(f"the reference {ref!r} points into a value that is no schema")
        return at, scope


def _resource(contents: Any, draft: int) -> Any:
    from referencing import Resource
    from referencing.jsonschema import specification_with

    return _tolerant(Resource(contents=contents, specification=specification_with(URIS[draft])))


def _anchors(root: Any, draft: int) -> Iterator[Any]:
    """The anchors of one resource, in document order; resources inside it with an id of their own keep theirs."""
    stack = [_resource(root, draft)]
    while stack:
        at = stack.pop()
        if not isinstance(at.contents, Mapping):
            continue
        yield from at.anchors()
        stack.extend(s for s in reversed(list(at.subresources())) if s.id() is None)


def _tolerant(resource: Any) -> Any:
    """The same resource, except that the draft 4 rules for ids do not trip over boolean schemas inside it."""
    import attrs
    from referencing import Resource
    from referencing.jsonschema import DRAFT4

    if resource._specification is not DRAFT4:
        return resource

    def id_of_mapping(contents: Any) -> str | None:
        return DRAFT4.id_of(contents) if isinstance(contents, Mapping) else None

    def anchors_in_mapping(specification: Any, contents: Any) -> Any:
        return DRAFT4.anchors_in(contents) if isinstance(contents, Mapping) else ()

    def subresources_of_mapping(contents: Any) -> Any:
        return DRAFT4.subresources_of(contents) if isinstance(contents, Mapping) else ()

    tolerant = attrs.evolve(
        DRAFT4, id_of=id_of_mapping, anchors_in=anchors_in_mapping, subresources_of=subresources_of_mapping
    )
    return Resource(contents=resource.contents, specification=tolerant)
