"""The official JSON Schema suite and labelled MaskBench instances; skipped where the shared data is absent."""

from __future__ import annotations

import json
import random

import pytest
from oracles import BYTES, DATA

import constrain

SUITE = DATA / "JSON-Schema-Test-Suite"
DRAFTS = {"4": "draft4", "6": "draft6", "7": "draft7", "2019-09": "draft2019-09", "2020-12": "draft2020-12"}
needs_data = pytest.mark.skipif(not DATA.exists(), reason="needs the shared test data")


def remotes(draft: str):
    from jsonschema_specifications import REGISTRY
    from referencing import Resource
    from referencing.jsonschema import specification_with

    from grammars.json_schema.resolve import NAMES, URIS

    default = specification_with(URIS[NAMES[draft]])
    root = SUITE / "remotes"
    pairs = [
        (
            "http://localhost:1234/" + p.relative_to(root).as_posix(),
            Resource.from_contents(json.loads(p.read_text()), default),
        )
        for p in sorted(root.rglob("*.json"))
    ]
    return REGISTRY.with_resources(pairs)


@needs_data
@pytest.mark.parametrize("draft", DRAFTS)
def test_official_suite(draft):
    """Every required case of every draft is right and none is refused, custom vocabularies and remote references included."""
    registry = remotes(draft)
    right = 0
    wrong = []
    for path in sorted((SUITE / "tests" / DRAFTS[draft]).glob("*.json")):
        for group in json.loads(path.read_text()):
            tests = group["tests"]
            try:
                grammar = constrain.json_schema(group["schema"], draft=draft, registry=registry, formats="annotate")
                automaton = constrain.compile(grammar, BYTES)
            except constrain.EmptyLanguage:
                assert not any(t["valid"] for t in tests), (path.stem, group["description"])
                right += len(tests)
                continue
            for t in tests:
                verdict = automaton.accepts(json.dumps(t["data"]))
                right += verdict == t["valid"]
                if verdict != t["valid"]:
                    wrong.append((path.stem, group["description"], t["description"]))
    assert not wrong
    assert right >= 600


@needs_data
def test_maskbench_labels():
    names = sorted((DATA / "maskbench").glob("*.json"))
    agree = refused = 0
    for path in random.Random(7).sample(names, 250):
        case = json.loads(path.read_text())
        try:
            automaton = constrain.compile(constrain.json_schema(case["schema"]), BYTES)
        except constrain.ConstrainError:
            refused += 1
            continue
        for t in case["tests"]:
            assert automaton.accepts(json.dumps(t["data"], ensure_ascii=False)) == t["valid"], path.name
            agree += 1
    assert agree > 600
    assert refused < 12


@needs_data
def test_walks_over_masks_of_real_schemas_end_in_valid_documents():
    from oracles import decimal_instance, valid

    rng = random.Random(11)
    finished = 0
    for path in rng.sample(sorted((DATA / "maskbench").glob("*.json")), 60):
        schema = json.loads(path.read_text())["schema"]
        try:
            automaton = constrain.compile(constrain.json_schema(schema), BYTES)
        except constrain.ConstrainError:
            continue
        matcher, text = automaton.matcher(), b""
        try:
            for _ in range(60):
                options = [b for b in matcher._kernel.next_bytes() if b < 0x80]
                if not options:
                    break
                token = rng.choice(options)
                assert matcher.advance(token)
                text += bytes([token])
            text += matcher.completion()
        except constrain.LimitExceeded:
            continue
        assert valid(schema, decimal_instance(text.decode())), (path.name, text)
        finished += 1
    assert finished > 50
