"""Dialects: which draft a resource is written in, and which of its keywords have a meaning there.

``$schema`` names the dialect. The published meta-schemas are known by their URIs; another URI is looked up in the registry
that the caller supplied, and its ``$vocabulary`` says which groups of keywords count (2019-09, section 8.1). A meta-schema
that nobody supplied is read as the default dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grammars.errors import UnsupportedFeature

DRAFTS = {
    "http://json-schema.org/draft-04/schema": 4,
    "http://json-schema.org/draft-06/schema": 6,
    "http://json-schema.org/draft-07/schema": 7,
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "https://json-schema.org/draft/2020-12/schema": 2020,
}
NAMES = {"4": 4, "6": 6, "7": 7, "2019-09": 2019, "2020-12": 2020}
URIS = {number: uri + ("#" if number < 2019 else "") for uri, number in DRAFTS.items()}

_PREFIXES = {2019: "https://json-schema.org/draft/2019-09/vocab/", 2020: "https://json-schema.org/draft/2020-12/vocab/"}
_UNEVALUATED = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_APPLICATOR = frozenset(
    "additionalItems additionalProperties allOf anyOf contains dependencies dependentSchemas if items not oneOf "
    "patternProperties prefixItems properties propertyNames".split()
)
_VALIDATION = frozenset(
    "const dependentRequired enum exclusiveMaximum exclusiveMinimum maxContains maxItems maxLength maxProperties maximum "
    "minContains minItems minLength minProperties minimum multipleOf pattern required type uniqueItems".split()
)
_VOCABULARIES = {
    2019: {"applicator": _APPLICATOR | _UNEVALUATED, "validation": _VALIDATION},
    2020: {"applicator": _APPLICATOR, "unevaluated": _UNEVALUATED, "validation": _VALIDATION},
}
_WITHOUT_ASSERTIONS = frozenset({"core", "meta-data", "content", "format", "format-annotation", "format-assertion"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """`ignored`: keywords of the draft that mean nothing here. `asserts_formats`: the vocabulary says so."""

    draft: int
    ignored: frozenset[str] = frozenset()
    asserts_formats: bool = False


DIALECTS = {draft: Dialect(draft) for draft in NAMES.values()}


def dialect_of(schema: Any, default: Dialect, registry: Any) -> Dialect:
    """The dialect that ``$schema`` names, else `default`. Raises UnsupportedFeature for an unknown required vocabulary."""
    uri = schema.get("$schema") if isinstance(schema, Mapping) else None
    if not isinstance(uri, str):
        return default
    draft = DRAFTS.get(uri.rstrip("#"))
    if draft is not None:
        return DIALECTS[draft]
    resource = None if registry is None else registry.get(uri.rstrip("#"))
    meta = None if resource is None else resource.contents
    return _custom(meta, default) if isinstance(meta, Mapping) else default


def _custom(meta: Mapping[str, Any], default: Dialect) -> Dialect:
    draft = DRAFTS.get(str(meta.get("$schema")).rstrip("#"), default.draft)
    declared = meta.get("$vocabulary")
    if draft < 2019 or not isinstance(declared, Mapping):
        return DIALECTS[draft]
    known = _VOCABULARIES[draft]
    present = {uri.removeprefix(_PREFIXES[draft]): required for uri, required in declared.items()}
    for name, required in present.items():
        if required is True and name not in known and name not in _WITHOUT_ASSERTIONS:
            raise UnsupportedFeature(f"the vocabulary {name!r} is required and not known", path="#/$schema")
    ignored = frozenset[str]().union(*(words for name, words in known.items() if name not in present))
    return Dialect(draft, ignored, "format-assertion" in present or present.get("format") is True)
