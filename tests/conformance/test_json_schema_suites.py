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


# What is judged otherwise than in the optional files, with the clause that allows it. Nothing in the required ones.
A_LABELS = "RFC 1123, section 2.1: a name of letters, digits and hyphens is a host name whatever its A-labels decode to"
CONTENT = "draft 7 validation, section 8.2: implementations may treat content keywords as annotations"
NAMED = "ECMA-262, 21.2.1.1: that a named back-reference has its group is not regular; see format_regex.BOUNDS"


def exception(file: str, group: str, test) -> str | None:
    text = test["data"]
    if file in ("hostname", "idn-hostname") and isinstance(text, str) and text.lower().startswith("xn--"):
        return A_LABELS
    if file == "content" and group.startswith("validation of"):
        return CONTENT
    return NAMED if file == "ecmascript-regex" and isinstance(text, str) and r"\k<" in text else None


def judge(draft: str, part: str, formats: str):
    """(right, [(file, group, test)] of the wrong ones) of one part of the suite."""
    registry = remotes(draft)
    right, wrong = 0, []
    for path in sorted((SUITE / "tests" / DRAFTS[draft] / part).glob("*.json")):
        for group in json.loads(path.read_text()):
            tests = group["tests"]
            try:
                grammar = constrain.json_schema(group["schema"], draft=draft, registry=registry, formats=formats)
                automaton = constrain.compile(grammar, BYTES)
            except constrain.EmptyLanguage:
                assert not any(t["valid"] for t in tests), (path.stem, group["description"])
                right += len(tests)
                continue
            for t in tests:
                if automaton.accepts(json.dumps(t["data"])) == t["valid"]:
                    right += 1
                else:
                    wrong.append((path.stem, group["description"], t))
    return right, wrong


@needs_data
@pytest.mark.parametrize("draft", DRAFTS)
def test_official_suite(draft):
    """Every required case of every draft is right and none is refused, custom vocabularies and remote references included."""
    right, wrong = judge(draft, "", "annotate")
    assert not wrong
    assert right >= 600


@needs_data
@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize(("part", "formats"), [("optional", "annotate"), ("optional/format", "assert")])
def test_optional_parts(draft, part, formats):
    """All right but for the listed exceptions, and these only accept too much or name what they leave out."""
    right, wrong = judge(draft, part, formats)
    assert not [(f, g, t["description"]) for f, g, t in wrong if exception(f, g, t) is None]
    assert right >= 100
    assert len(wrong) <= 30


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
