"""A small run of the differential fuzzer (`differ.py`); the whole one is a command."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("differ", Path(__file__).with_name("differ.py"))
differ = importlib.util.module_from_spec(_SPEC)
sys.modules["differ"] = differ
_SPEC.loader.exec_module(differ)


def check(found, pairs: int):
    assert not found.wrong, "\n".join(found.wrong[:5])
    assert found.pairs >= pairs
    assert 0.2 < found.valid / found.pairs < 0.9
    assert len(found.limits) <= found.schemas // 500


def test_our_verdicts_are_those_of_an_independent_validator():
    found = differ.run(15_000, seed=1)
    check(found, 15_000)
    decided = {k for k, verdict in found.decided if verdict}
    assert len(decided) >= 36, sorted(set(differ.BUILDERS) - decided)


@pytest.mark.parametrize("keyword", ["uniqueItems", "unevaluatedItems", "unevaluatedProperties", "dependentSchemas"])
def test_keywords_that_see_other_members(keyword):
    check(differ.run(1_500, seed=2, keywords=[keyword]), 1_500)


@pytest.mark.slow
def test_a_thousand_pairs_decided_by_every_keyword():
    found = differ.run(700_000, seed=3)
    check(found, 700_000)
    assert all(found.decided[k, verdict] >= 1_000 for k in differ.BUILDERS for verdict in (True, False))


def test_the_fuzzer_sees_a_wrong_verdict():
    """A negative control: an automaton of another schema disagrees."""
    outcome = differ.Outcome()
    text = '{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"integer"}'
    other = differ.constrain.compile(differ.constrain.json_schema({"type": "number"}), differ.BYTES)
    oracle = differ.ORACLES["2020-12"]({"type": "integer"})
    differ.judge(differ.Decimal("0.5"), other, oracle, text, differ.random.Random(0), outcome)
    assert len(outcome.wrong) == 1
