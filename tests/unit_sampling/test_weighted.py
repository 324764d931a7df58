"""Weighted samplers: E[weight] = Z and proper weighting against enumeration, every scheme and threshold; controls."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sampling_suites as suites
import sampling_truth as truth

import constrain
from decoders.sampling.arithmetic import arithmetic
from decoders.sampling.control import _crossed, controlled
from decoders.sampling.lookahead import lookahead
from decoders.sampling.masked import asap, masked
from decoders.sampling.mixture import Shares, fitted, mixed
from decoders.sampling.rejection import cars
from decoders.sampling.smc import smc
from decoders.sampling.surrogate import Surrogate
from decoders.sampling.target import Target
from decoders.sampling.trie import tilt
from decoders.sampling.values import LookAhead
from decoders.sampling.walks import Draw, guided, run_round
from decoders.toy import TableAutomaton, TableModel


def error(result, suite) -> float:
    """RMSE of the features."""
    want = truth.features(list(suite.target), list(suite.target.values()))
    return float(np.sqrt(np.mean((truth.features(result.sequences, result.weights) - want) ** 2)))


def test_masked_draws_have_their_law_and_weights_mend_it():
    for which in "ab":
        suite, target = suites.t2(which)
        result = masked(suites.fresh(target), 6000, np.random.default_rng(1))
        assert truth.chi_square(suite.masked, result.sequences) < 3.3
        assert abs(math.exp(result.log_z) / suite.z - 1) < 4 * result.stderr < 0.5
        assert result.log_mass == pytest.approx([math.log(suite.texts[x][1]) for x in result.sequences])
        assert error(result, suite) < 0.03
        # control: unweighted
        assert truth.chi_square(suite.target, result.sequences) > 10
        unweighted = truth.features(result.sequences, np.ones(len(result)) / len(result))
        want = truth.features(list(suite.target), list(suite.target.values()))
        assert np.sqrt(np.mean((unweighted - want) ** 2)) > 0.1
        assert not result.exact


def test_masks_without_length_look_ahead_die():
    suite, target = suites.t2("a", look_ahead=False)
    result = masked(suites.fresh(target), 2000, np.random.default_rng(2))
    assert 1 - sum(suite.plainly_masked.values()) == pytest.approx(0.923, abs=5e-4)
    # here the limit itself forces the end where it may end: those texts are kept, with the weight of that step
    finished = sum(q / (1 if len(x) < 9 else suite.rule(x[:-1])[4] / (suite.rule(x[:-1])[4] + sum(
        suite.rule(x[:-1])[a] for a in range(4)))) for x, q in suite.plainly_masked.items())  # fmt: skip
    assert len(result) / result.draws == pytest.approx(finished, abs=0.03)
    assert abs(math.exp(result.log_z) / suite.z - 1) < 4 * result.stderr
    # control: the survivors without their weights
    assert truth.chi_square(suite.target, result.sequences) > 10


def test_asap_is_unbiased_at_its_twentieth_draw_and_wrong_without_weights():
    suite, target = suites.t2("b")
    rng = np.random.default_rng(3)
    values, draws = [], []
    for _ in range(600):
        result = asap(suites.fresh(target), 20, rng)
        values.append(math.exp(result.log_weights[-1]))
        draws.append(result.sequences[-1])
    assert abs(np.mean(values) / suite.z - 1) < 4 * np.std(values) / math.sqrt(len(values)) / suite.z
    assert truth.chi_square(suite.target, draws) > 10


# ---------------------------------------------------------------------- look-ahead
def test_the_true_bigram_as_surrogate_has_no_variance():
    suite, target = suites.t2("a")
    trie = suites.fresh(target)
    trie.expand_frontier(40)  # every last token is seen
    ahead = LookAhead(trie, "bigram", calibrate=True)
    assert ahead.power == pytest.approx(1.0, abs=0.02)  # fitted: nothing to correct
    ahead.surrogate, ahead.power = Surrogate(trie, "bigram", floor=0.0), 1.0
    ahead.revalue()
    rng = np.random.default_rng(8)
    draws = run_round(trie, [guided(trie, ahead.rule, rng) for _ in range(1500)])
    assert [math.exp(d.log_weight) for d in draws] == pytest.approx([suite.z] * 1500, rel=1e-9)
    assert truth.chi_square(suite.target, [d.tokens for d in draws]) < 3.3
    twisted = smc(trie, 10, np.random.default_rng(9), twist=ahead.log_values)
    assert twisted.log_z == pytest.approx(math.log(suite.z), rel=1e-9)


@pytest.mark.parametrize("kind", ["unigram", "state", "bigram", "hmm"])
@pytest.mark.parametrize("replacement", [True, False])
def test_look_ahead_is_unbiased(kind, replacement):
    suite, target = suites.t2("b")
    rng = np.random.default_rng(10)
    found = []
    for _ in range(100):
        result = lookahead(suites.fresh(target), 30, rng, kind=kind, replacement=replacement)
        found.append(suites.by_first(result) * (1 if replacement else result.draws))
    masses = {x: p for x, (p, _) in suite.texts.items()}
    assert suites.worst(np.array(found), suites.wanted_by_first(masses)) < 4


def test_a_share_of_masked_walks_bounds_the_weights_of_a_wrong_rule():
    suite, target = suites.t2("a", most=5)
    trie, rng = suites.fresh(target), np.random.default_rng(4)

    def wrong(node):
        """Nearly never the most likely token."""
        weights = node.p.copy()
        weights[int(weights.argmax())] *= 1e-9
        return weights

    defence = 0.1
    rules = (wrong, lambda node: node.p)
    draws = run_round(trie, [mixed(trie, rules, np.array([1 - defence, defence]), rng) for _ in range(6000)])
    w = np.exp([d.log_weight for d in draws])
    assert abs(w.mean() / suite.z - 1) < 4 * w.std() / math.sqrt(len(w)) / suite.z
    for d in draws[:500]:
        if d.tokens is not None:
            assert d.log_weight <= math.log(suite.texts[d.tokens][1] / defence) + 1e-9
    # control: without them the estimate misses what the rule avoids
    bare = run_round(trie, [mixed(trie, (wrong,), np.ones(1), rng) for _ in range(6000)])
    assert np.exp([d.log_weight for d in bare]).mean() < 0.5 * suite.z


def test_no_weight_exceeds_what_the_bounds_and_the_shares_allow():
    """So that every draw's estimate lies in [known, known + bound(root) / share], however wrong the values are."""
    suite, target = suites.t2("a", most=5)
    trie, rng = suites.fresh(target), np.random.default_rng(5)
    trie.settle()
    rules = (lambda node: node.p * np.arange(1, 1 + len(node.p)) ** 9.0, lambda node: tilt(node.p, node.log_bound))
    total = 0.0
    for _ in range(1500):
        bound = trie.root.log_future
        [d] = run_round(trie, [mixed(trie, rules, np.array([0.9, 0.1]), rng)])
        assert d.log_weight <= bound - math.log(0.1) + 1e-9
        total += math.exp(d.log_weight)
    assert total / 1500 == pytest.approx(suite.z, rel=0.15)


def test_shares_follow_what_the_rules_explain_and_what_they_cost():
    prior = np.array([0.5, 0.5])
    good = [Draw((1,), [], log_p=-3.0, log_q=-3.5, rule=i % 2, log_qs=np.array([-3.0, -8.0])) for i in range(20)]
    assert fitted(good, prior)[0] > 0.9
    assert fitted((), prior).tolist() == [0.5, 0.5]
    alike = [Draw((1,), [], log_p=-3.0, log_q=-3.0, rule=i % 2, log_qs=np.array([-3.0, -3.0])) for i in range(20)]
    assert fitted(alike, prior) == pytest.approx(prior)
    _, target = suites.t2("a")
    node = suites.fresh(target).root
    for d in alike[1::2]:
        d.path[:] = [(node, 0)] * 9  # nodes of this round: the second rule costs nine calls a walk, the first none
    shares = Shares(prior, 0.05)
    shares.learn(alike, node.born)
    assert shares.now[0] > 0.8
    shares.learn(good[:1] * 400, node.born + 1)
    assert shares.now.min() == pytest.approx(0.05, abs=0.02)
    with pytest.raises(ValueError, match="least share"):
        Shares(prior, 0.6)


def test_values_that_promise_too_much_are_trusted_less():
    """A model of two habits: it nearly always keeps to the language, but hardly ever ends a text of this length."""

    def rule(prefix):
        if len(prefix) < 6:
            return [0.5, 0.499, 0.001]
        return [0.9999, 0.0, 0.0001]

    table = np.full((7, 3), -1)
    table[np.arange(6), 0] = table[np.arange(6), 1] = np.arange(1, 7)
    target = Target(TableModel(3, rule), TableAutomaton(table, [6], [2]), 6)
    trie = suites.fresh(target)
    trie.expand_frontier(3)
    assert LookAhead(trie, calibrate=True).power == pytest.approx(1.0, abs=0.5)
    masked(trie, 4, np.random.default_rng(0))
    ahead = LookAhead(trie, calibrate=True)
    assert ahead.log_value(trie.root) == pytest.approx(math.log(1e-4), abs=1.0)
    assert LookAhead(trie).power == 1.0
    assert lookahead(trie, 20, np.random.default_rng(0)).log_z == pytest.approx(math.log(0.999**6 * 1e-4), abs=0.05)


@pytest.mark.parametrize("calls", [100, 300, 1000])
def test_look_ahead_is_ahead_of_masking_for_a_model_that_knows_the_language(calls):
    """Most of the model's mass is in the language, and masked draws of a known text cost no call."""
    suite, target = suites.t2("k")
    ours, plain = [], []
    for seed in range(6):
        r = lookahead(suites.fresh(target), 10**6, np.random.default_rng(seed), max_model_calls=calls)
        ours.append(r.log_z_in_bracket - math.log(suite.z))
        trie, rng, weights, n = suites.fresh(target), np.random.default_rng(seed), [], 0
        while trie.counts.model_calls < calls:
            weights += masked(trie, 1, rng).log_weights.tolist()
            n += 1
        plain.append(float(np.logaddexp.reduce(weights)) - math.log(n * suite.z))
    assert np.sqrt(np.mean(np.square(ours))) < 0.7 * np.sqrt(np.mean(np.square(plain)))


def test_look_ahead_weights_are_needed():
    """Control: the proposal itself, unweighted, is another distribution."""
    suite, target = suites.t2("b")
    draws = []
    for seed in range(250):
        draws += lookahead(suites.fresh(target), 8, np.random.default_rng(seed), replacement=True).sequences
    assert truth.chi_square(suite.target, draws) > 3.3


def test_look_ahead_exhausts_small_languages_and_puts_texts_back():
    suite, target = suites.t1()
    trie = suites.fresh(target)
    result = lookahead(trie, 100, np.random.default_rng(0))
    assert len(result) == 17
    assert np.exp(result.log_z) == pytest.approx(float(suite.z))
    assert result.stderr == 0.0
    assert result.weights == pytest.approx([float(suite.target[x]) for x in result.sequences])
    # the trie knows them all: nothing is left to draw
    again = lookahead(trie, 5, np.random.default_rng(1))
    assert (len(again), again.draws, again.counts.model_calls) == (17, 0, 0)
    assert again.log_z == pytest.approx(math.log(suite.z))
    # and they are back in for all others
    assert len(cars(trie, 5, np.random.default_rng(1))) == 5
    assert trie.root.log_future == pytest.approx(math.log(suite.z))


def test_look_ahead_is_ahead_at_equal_model_calls():
    for which in "ab":
        suite, target = suites.t2(which)
        ours, plain = [], []
        for seed in range(4):
            ahead = lookahead(suites.fresh(target), 5000, np.random.default_rng(seed), max_model_calls=1000)
            ours.append(error(ahead, suite))
            plain.append(error(masked(suites.fresh(target), 400, np.random.default_rng(seed)), suite))
            assert ahead.bracket[0] <= math.log(suite.z) <= ahead.bracket[1]
        assert np.mean(ours) < 0.015
        assert np.mean(ours) < 0.4 * np.mean(plain)


def test_look_ahead_on_a_hidden_markov_model():
    suite, target = suites.t4()
    result = lookahead(suites.fresh(target), 200, np.random.default_rng(1), batch=4)
    assert abs(math.exp(result.log_z) / suite.z() - 1) < 4 * result.stderr
    plain = masked(suites.fresh(target), 200, np.random.default_rng(1))
    assert result.stderr < 0.5 * plain.stderr


@pytest.mark.parametrize("threes", [3, 11])
def test_rare_events_are_found_or_reported(threes):
    suite, target = suites.t5(threes)
    z = suite.backward(lambda a: a, 4, lambda h: truth.BIGRAM[h].tolist())
    assert (z < 1e-3) == (threes == 11)
    ahead = lookahead(suites.fresh(target), 150, np.random.default_rng(2))
    assert abs(math.exp(ahead.log_z) / z - 1) < max(4 * ahead.stderr, 0.02)
    plain = masked(suites.fresh(target), 150, np.random.default_rng(2))
    assert not plain.exact
    assert plain.ess < 0.2 * len(plain)
    refused = cars(suites.fresh(target), 150, np.random.default_rng(2), max_tries=400)
    assert "of 150 samples accepted in 400 tries" in refused.failure
    assert len(refused) < 30


# ---------------------------------------------------------------------- arithmetic
def test_arithmetic_draws_are_even_and_proper():
    suite, target = suites.t2("a")
    trie = suites.fresh(target)
    result = arithmetic(trie, 2000, np.random.default_rng(11), shifts=4)
    assert abs(math.exp(result.log_z) / suite.z - 1) < 5 * result.stderr
    firsts = np.bincount([x[0] for x in result.sequences], minlength=5) / len(result)
    want = np.array([sum(p for x, p in suite.masked.items() if x[0] == a) for a in range(5)])
    assert np.abs(firsts - want).max() <= 5 / len(result)  # independent draws: about 1 / sqrt(n)
    single = [arithmetic(trie, 1, np.random.default_rng(s), shifts=1).sequences[0] for s in range(1500)]
    assert truth.chi_square(suite.masked, single) < 3.3
    # control: they do not stand for independent draws of their law
    assert truth.chi_square({a: want[a] for a in range(5) if want[a]}, [x[0] for x in result.sequences]) < -2


# ---------------------------------------------------------------------- control variates
def test_control_variates_are_unbiased_and_exact_for_a_true_surrogate():
    suite, target = suites.t2("a")
    trie = suites.fresh(target)
    trie.expand_frontier(40)
    exact = controlled(trie, 200, np.random.default_rng(1), kind="bigram", pilot=5)
    plain = masked(trie, 200, np.random.default_rng(1))
    assert exact.log_z == pytest.approx(math.log(suite.z), abs=0.02)
    assert exact.stderr < 0.02 < 0.1 < plain.stderr
    suite, target = suites.t1()
    for kind in ("unigram", "bigram"):
        rng = np.random.default_rng(2)
        found = [controlled(suites.fresh(target), 30, rng, kind=kind, pilot=10) for _ in range(400)]
        values = np.array([[math.exp(r.log_z)] for r in found])
        assert suites.worst(values, np.array([float(suite.z)])) < 4
        plain_values = [math.exp(masked(suites.fresh(target), 30, rng).log_z) for _ in range(200)]
        assert values.std() < 1.2 * np.std(plain_values)
    _, checked = suites.t1_black_box()
    with pytest.raises(constrain.UnsupportedFeature, match="check"):
        controlled(suites.fresh(checked), 10, rng)


def test_the_coefficient_of_a_control_variate_comes_from_the_other_half():
    """Six draws of w = 9 + x^2 with c = x, x exponential: fitted on the same draws the correction eats a part of w."""
    rng = np.random.default_rng(3)

    def same(w, c):
        beta = ((w - w.mean()) * (c - c.mean())).mean() / c.var()
        return float((w - beta * (c - 1.0)).mean())

    crossed, fitted_on_itself = [], []
    for _ in range(6000):
        x = rng.standard_exponential(6)
        w = 9.0 + x**2
        crossed.append([math.exp(_crossed(np.log(w), np.log(x), 0.0, rng).log_z)])
        fitted_on_itself.append([same(w, x)])
    assert suites.worst(np.array(crossed), np.array([11.0])) < 4
    assert suites.worst(np.array(fitted_on_itself), np.array([11.0])) > 6  # control
