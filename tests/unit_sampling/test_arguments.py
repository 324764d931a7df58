"""Arguments that make no sense end in an error that says so, before any work; judges that fail leave the trie as it was."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sampling_suites as suites
import sampling_truth as truth

import constrain
from constrain.generator import Generator
from decoders.sampling import SAMPLERS, PrefixTrie, SamplingError, Target, run
from decoders.sampling.awrs import awrs
from decoders.sampling.graph import Recent, StateGraph
from decoders.sampling.lookahead import lookahead
from decoders.sampling.rejection import cars, distinct
from decoders.sampling.smc import smc
from decoders.sampling.target import Counts
from decoders.sampling.texts import stop_at_once
from decoders.toy import TableModel, bigram

VOCABULARY = constrain.Vocabulary([b"a", b"b", b"ab", b"1", None], [4])
LANGUAGE = constrain.regex("[ab]{1,3}1?")


@pytest.fixture
def generator():
    return Generator(bigram(5, 3), LANGUAGE, VOCABULARY)


@pytest.mark.parametrize("name", SAMPLERS)
def test_numbers_of_samples_and_generators_of_randomness_are_checked(name):
    trie, rng = suites.fresh(suites.t1()[1]), np.random.default_rng(0)
    before = trie.counts.copy()
    for n in (0, -1, 2.5, "3", None, True):
        with pytest.raises(ValueError, match="number of samples"):
            SAMPLERS[name](trie, n, rng)
    for wrong in (None, 7, np.random.RandomState(0)):
        with pytest.raises(ValueError, match="rng must be"):
            SAMPLERS[name](trie, 3, wrong)
    with pytest.raises(ValueError, match="PrefixTrie"):
        SAMPLERS[name](trie.target, 3, rng)
    assert trie.counts == before
    assert len(SAMPLERS[name](trie, np.int64(2), rng)) >= 1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("masked", {"batch": 0}, "batch"), ("asap", {"batch": -1}, "batch"), ("cars", {"batch": 0}, "batch"),
        ("rejection", {"max_tries": 0}, "max_tries"), ("distinct", {"batch": 0}, "batch"),
        ("lookahead", {"batch": 0}, "batch"), ("lookahead", {"max_model_calls": 0}, "max_model_calls"),
        ("lookahead", {"defence": 0.5}, "least share"), ("lookahead", {"kind": "other"}, "surrogate"),
        ("smc", {"runs": 0}, "runs"), ("smc", {"threshold": math.nan}, "threshold"), ("smc", {"threshold": 1.5}, "threshold"),
        ("smc", {"scheme": "other"}, "scheme"), ("smc", {"estimator": "other"}, "estimator"),
        ("awrs", {"max_rejects": 0}, "max_rejects"), ("awrs", {"estimator": "other"}, "estimator"),
        ("arithmetic", {"shifts": 0}, "shifts"), ("markov", {"steps": 0}, "steps"), ("markov", {"cut": "other"}, "cut"),
        ("controlled", {"pilot": 0}, "pilot"), ("controlled", {"kind": "state"}, "surrogate"),
        ("cars", {"frontier": -1}, "frontier"), ("cars", {"look_ahead": True}, "look_ahead"),
        ("cars", {"steps": 3}, "no option steps; its own are batch, max_tries"), ("masked", {"critic": len}, "critic"),
        ("smc", {"look_ahead": True, "twist": len}, "one of them"),
    ],
    ids=str,
)  # fmt: skip
def test_options_out_of_range_and_of_other_samplers_are_refused(name, options, message):
    trie = suites.fresh(suites.t1()[1])
    with pytest.raises(ValueError, match=message):
        run(name, trie, 3, np.random.default_rng(0), **options)


def test_settings_of_the_target_are_checked(generator):
    for wrong in ({"temperature": -1.0}, {"temperature": 0}, {"temperature": math.nan}, {"temperature": math.inf},
                  {"top_p": 0.0}, {"top_k": -2}, {"min_p": 2.0}, {"repetition_penalty": math.nan}):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(wrong))):
            generator.sample("b", "cars", max_tokens=4, **wrong)
    for wrong in (-1, 2.5, None, "4"):
        with pytest.raises(ValueError, match="max_tokens"):
            generator.sample("b", "cars", max_tokens=wrong)
    with pytest.raises(constrain.BudgetError, match="needs 1 tokens, and max_tokens is 0"):
        generator.sample("b", "cars", max_tokens=0)
    with pytest.raises(constrain.EmptyLanguage):
        Generator(bigram(5, 3), constrain.regex("a") & constrain.regex("b"), VOCABULARY)
    for wrong in ({"check": 3}, {"check_tokens": "abc"}, {"check": len, "check_tokens": len}):
        with pytest.raises((ValueError, constrain.ConstrainError), match="check"):
            generator.sample("b", "cars", 3, max_tokens=4, **wrong)
    with pytest.raises(ValueError, match="critic"):
        generator.sample("b", "smc", 3, max_tokens=4, critic=len, critic_tokens=len)
    with pytest.raises(constrain.UnsupportedFeature, match="sampler"):
        generator.sample("b", 3)


# ---------------------------------------------------------------------- judges that fail
def raises(text, ended):
    if "ab" in text:
        raise KeyError("no such thing")
    return True


@pytest.mark.parametrize("name", [n for n in SAMPLERS if n != "controlled"])
@pytest.mark.parametrize("bad", [raises, lambda text, ended: None, lambda text, ended: 1, lambda text, ended: text])
def test_a_check_that_raises_or_returns_no_bool_has_its_name(generator, name, bad):
    with pytest.raises(
        constrain.SamplingError, match=r"the check (raised KeyError|must return True or False)"
    ) as found:
        generator.sample("b", name, 300, max_tokens=4, check=bad, seed=1)
    assert isinstance(found.value.__cause__, KeyError) == (bad is raises)


def test_stop_rules_and_critics_that_fail_have_their_names(generator):
    with pytest.raises(constrain.SamplingError, match="the stop rule must return"):
        generator.sample("b", "masked", 5, max_tokens=4, stop=lambda tokens: len(tokens))
    with pytest.raises(constrain.SamplingError, match="the critic raised ZeroDivisionError"):
        generator.sample("b", "smc", 5, max_tokens=4, critic=lambda text, ended: 1 / 0)
    for score in (math.nan, math.inf):
        with pytest.raises(constrain.SamplingError, match="log score below infinity"):
            generator.sample("b", "smc", 5, max_tokens=4, critic=lambda text, ended, score=score: score)
    none = generator.sample("b", "smc", 5, max_tokens=4, critic=lambda text, ended: -math.inf)
    assert "all 5 particles died" in none.failure


@pytest.mark.parametrize("sampler", [cars, distinct, lookahead, smc, awrs])
def test_a_trie_goes_on_exactly_after_a_judge_has_failed(sampler):
    """The check fails at a random moment of another sampler's work, again and again; what follows is the target."""
    suite, plain = suites.t1()
    found = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        left = int(rng.integers(1, 30))

        def check(tokens, ended):
            nonlocal left
            left -= 1
            if left == 0:
                raise RuntimeError("now")
            body = tokens[:-1] if ended else tokens
            return body[0] == 1 or 1 not in body

        trie = PrefixTrie(Target(plain.model, suites.t1_black_box()[1].automaton, 5, check))
        with pytest.raises(SamplingError, match="RuntimeError"):
            sampler(trie, 60, rng)
        found.append(cars(trie, 1, rng).sequences[0])
        assert trie.root.log_future >= math.log(suite.z) - 1e-12
    assert truth.chi_square(suite.target, found) < 3.3


# ---------------------------------------------------------------------- memory
def test_everything_a_trie_keeps_is_bounded():
    suite, plain = suites.t2("b")
    trie = PrefixTrie(plain, max_bytes=60_000)
    result = cars(trie, 200, np.random.default_rng(0), max_tries=40_000)
    assert len(result) == 200
    assert trie.bytes <= 60_000
    assert 10 < len(trie.nodes) < 60
    assert trie.statistics.bytes <= 15_000 + 400
    assert result.counts.model_calls > len(trie.nodes)  # the others are evaluated again
    assert truth.chi_square({k: v for k, v in _lengths(suite).items() if v}, [len(x) for x in result.sequences]) < 3.3


def _lengths(suite):
    return {n: sum(p for x, p in suite.target.items() if len(x) == n) for n in range(2, 10)}


def test_masks_of_states_are_forgotten_and_read_again():
    _, target = suites.t2("a", look_ahead=False)
    graph = StateGraph(target.automaton, max_bytes=500)
    whole = StateGraph(target.automaton)
    states = [graph.step(0, t) for t in range(4)]
    assert [whole.step(0, t) for t in range(4)] == states
    for _ in range(3):
        for q in states:
            assert graph.tokens(q).tolist() == whole.tokens(q).tolist()
            assert graph.in_time(q, 3).tolist() == whole.in_time(q, 3).tolist()
    assert graph._masks.bytes <= 500
    recent: Recent[int, np.ndarray] = Recent(1000)
    for i in range(50):
        recent.put(i, np.zeros(4))
        assert recent.get(i) is not None
        assert recent.bytes <= 1000
    assert recent.get(0) is None


def test_predictions_that_are_no_distribution_are_refused():
    """Not a language without mass: nothing is known of it."""
    _, plain = suites.t1()
    for row in ([math.nan, 0.0, 0.0], [0.5, 0.1, 0.1], [0.0, 0.0, 0.0]):
        target = Target(TableModel(3, lambda prefix, row=row: row), plain.automaton, 5)
        with pytest.raises(SamplingError, match="no distribution"):
            PrefixTrie(target)


def test_stop_rules_come_in_three_forms(generator):
    for stop in ("ab", ["ab", "bb"], lambda tokens: len(tokens) == 2, stop_at_once):
        found = generator.sample("b", "cars", 30, max_tokens=4, stop=stop)
        assert found.failure is None
        assert "stop rule" in found.samples.support
    assert all(len(x) == 2 for x in found.samples.sequences)  # the first accepted text: one token and the end
    assert isinstance(found.samples.counts, Counts)
