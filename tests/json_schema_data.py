"""The JSON Schema test data that stands beside the repository: the official suite and MaskBench, read with exact decimals.

Everything here returns nothing where the data is absent, so that tests can skip.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import referencing
from referencing.jsonschema import specification_with

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SUITE = DATA / "JSON-Schema-Test-Suite"
MASKBENCH = DATA / "maskbench"
DRAFTS = {"4": "draft4", "6": "draft6", "7": "draft7", "2019-09": "draft2019-09", "2020-12": "draft2020-12"}
_URIS = {
    "4": "http://json-schema.org/draft-04/schema#",
    "6": "http://json-schema.org/draft-06/schema#",
    "7": "http://json-schema.org/draft-07/schema#",
    "2019-09": "https://json-schema.org/draft/2019-09/schema",
    "2020-12": "https://json-schema.org/draft/2020-12/schema",
}


@dataclass(frozen=True)
class Group:
    """One schema and its instances with their verdicts."""

    name: str
    schema: Any
    tests: tuple[tuple[str, Any, bool], ...]


def read(path: Path) -> Any:
    return json.loads(path.read_text(), parse_float=Decimal)


def suite(draft: str, folder: str = "") -> Iterator[Group]:
    """The groups of one draft: the required files, or those directly in `folder` ("optional", "optional/format")."""
    for path in sorted((SUITE / "tests" / DRAFTS[draft] / folder).glob("*.json")):
        for g in read(path):
            tests = tuple((t["description"], t["data"], t["valid"]) for t in g["tests"])
            yield Group(f"{path.stem}: {g['description']}", g["schema"], tests)


def registry(draft: str) -> referencing.Registry[Any]:
    """The remote documents of the suite, as read under `draft`."""
    resources = []
    for path in sorted((SUITE / "remotes").rglob("*.json")):
        relative = path.relative_to(SUITE / "remotes").as_posix()
        contents = read(path)
        resource = referencing.Resource.from_contents(contents, specification_with(_URIS[draft]))
        resources.append((f"http://localhost:1234/{relative}", resource))
    return referencing.Registry().with_resources(resources)


def maskbench(every: int = 1) -> Iterator[Group]:
    """Every `every`-th file of MaskBench, in the order of names."""
    for path in sorted(MASKBENCH.glob("*.json"))[::every]:
        case = read(path)
        tests = tuple((str(i), t["data"], t["valid"]) for i, t in enumerate(case["tests"]))
        yield Group(path.stem, case["schema"], tests)
