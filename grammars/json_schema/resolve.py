"""References: which schema a ``$ref`` means, and under which dialect it is read.

The common reference is a JSON pointer into the same resource and is followed directly. Everything else (anchors,
relative and absolute URIs, resources with an id of their own) goes through `referencing`, over the registry that the
caller supplied and the published meta-schemas; nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from grammars.errors import GrammarError

DRAFTS = {
    "http://json-schema.org/draft-04/schema": 4,
    "http://json-schema.org/draft-06/schema": 6,
    "http://json-schema.org/draft-07/schema": 7,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "https://json-schema.org/draft/2020-12/schema": 2020,
}
NAMES = {"4": 4, "6": 6, "7": 7, "2019-09": 2019, "2020-12": 2020}
URIS = {number: uri + ("#" if number < 2019 else "") for uri, number in DRAFTS.items()}


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a schema stands: the root of its resource, its dialect, and the resolver of its base URI (None: not needed)."""

    root: Any
    draft: int
    resolver: Any = None


def draft_of(schema: Any, default: int) -> int:
    """The dialect that ``$schema`` names, else `default` (an unknown meta-schema is read as `default`)."""
    uri = schema.get("$schema") if isinstance(schema, Mapping) else None
    return DRAFTS.get(uri.rstrip("#"), default) if isinstance(uri, str) else default


def id_of(schema: Mapping[str, Any], draft: int) -> str | None:
    found = schema.get("id" if draft == 4 else "$id")
    if not isinstance(found, str) or (draft <= 7 and "$ref" in schema):
        return None
    return None if draft <= 7 and found.startswith("#") else found


class References:
    """Follows references out of one root schema. Not shared between schemas."""

    def __init__(self, root: Any, draft: int, registry: Any) -> None:
        self._root, self._draft, self._registry = root, draft, registry
        self._resolver: Any = None

    def resolver(self) -> Any:
        """The resolver of the root resource, made when the first reference needs it."""
        if self._resolver is None:
            from jsonschema_specifications import REGISTRY
            from referencing import Registry, Resource
            from referencing.jsonschema import specification_with

            registry = Registry() if self._registry is None else self._registry
            resources = [(uri, _tolerant(registry[uri])) for uri in registry]
            base = (id_of(self._root, self._draft) if isinstance(self._root, Mapping) else None) or ""
            root = Resource(contents=self._root, specification=specification_with(URIS[self._draft]))
            registry = REGISTRY.with_resources([*resources, (base, _tolerant(root))])
            self._resolver = registry.resolver(base)
        return self._resolver

    def enter(self, schema: Mapping[str, Any], scope: Scope) -> Scope:
        """The scope inside a schema that has an id of its own."""
        from referencing import Resource
        from referencing.jsonschema import specification_with

        draft = draft_of(schema, scope.draft)
        if schema is self._root:
            return Scope(schema, draft, None)
        resolver = scope.resolver or self.resolver()
        inner = resolver.in_subresource(Resource(contents=schema, specification=specification_with(URIS[draft])))
        return Scope(schema, draft, inner)

    def follow(self, ref: str, scope: Scope) -> tuple[Any, Scope]:
        """The schema that `ref` means in `scope`, and its own scope. Raises GrammarError if there is none."""
        if ref == "#":
            return scope.root, scope
        if ref.startswith("#/"):
            found, inner = self._pointer(ref, scope)
            return found, inner
        from referencing.exceptions import Unresolvable

        try:
            resolved = (scope.resolver or self.resolver()).lookup(ref)
        except (Unresolvable, ValueError, KeyError) as e:
            raise GrammarError(f"the reference {ref!r} cannot be resolved; supply its resource in a registry") from e
        base = resolved.resolver.lookup("#").contents
        default = scope.draft
        if isinstance(base, Mapping):
            default = draft_of(base, default)
        return resolved.contents, Scope(base, draft_of(resolved.contents, default), resolved.resolver)

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
