"""Adaptive weighted rejection: proper weighting token by token, in exact rationals and by simulation; controls."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import sampling_suites as suites
import sampling_truth as truth

from decoders.sampling.awrs import awrs, geometric, gumbel_order, recursive
from decoders.sampling.registry import run
from decoders.sampling.rejection import cars
from decoders.sampling.smc import smc

P = [Fraction(n, 100) for n in (40, 25, 15, 12, 8)]


def orders():
    """Every order of drawing without replacement, with its probability."""
    for order in itertools.permutations(range(5)):
        p, left = Fraction(1), Fraction(1)
        for i in order:
            p, left = p * P[i] / left, left - P[i]
        yield order, p


def moments(accepted, max_rejects, estimator=recursive):
    """(E[W 1[token]] for each token, relative variance of W, E[checks]), exactly."""
    per_token = [Fraction(0)] * 5
    second = checks = Fraction(0)
    for order, probability in orders():
        asked: list[int] = []

        def accept(i, asked=asked):
            asked.append(i)
            return i in accepted

        k, w = estimator(P, order, accept, max_rejects)
        if k is not None:
            per_token[k] += probability * w
        second += probability * w * w
        checks += probability * len(asked)
    z = sum(P[i] for i in accepted)
    return per_token, second / z**2 - 1, checks


@pytest.mark.parametrize("accepted", [{1, 3}, {0}, {4}, {0, 1, 2, 3, 4}, {2, 3, 4}])
@pytest.mark.parametrize("max_rejects", [None, 1, 2, 3])
def test_the_recursive_estimator_is_proper_for_every_token(accepted, max_rejects):
    per_token, _, _ = moments(accepted, max_rejects)
    assert per_token == [P[i] if i in accepted else 0 for i in range(5)]


def test_golden_variances_and_checks():
    for max_rejects, variance, checks in ((None, 0.43202, 2.98572), (2, 0.83828, 2.0), (3, 0.50337, 2.63)):
        _, v, c = moments({1, 3}, max_rejects)
        assert float(v) == pytest.approx(variance, abs=6e-6)
        assert float(c) == pytest.approx(checks, abs=6e-6)


def test_an_estimator_with_the_right_total_and_the_wrong_tokens_is_seen():
    """Control: the second accepted token, reported with the first one's weight, keeps the total and loses the tokens."""

    def swapped(q, order, accept, max_rejects):
        order = list(order)
        k, w = recursive(q, order, accept, max_rejects)
        passing = [i for i in order if i in (1, 3)]
        return (None if k is None else passing[-1]), w

    per_token, _, _ = moments({1, 3}, None, swapped)
    assert sum(per_token) == P[1] + P[3]
    assert per_token[1] != P[1]


@pytest.mark.parametrize(("max_accepts", "max_rejects", "variance"), [(2, None, 0.587), (5, None, 0.166), (3, 4, None)])
def test_the_geometric_estimator_is_proper_for_every_token(max_accepts, max_rejects, variance):
    rng, n = np.random.default_rng(1), 40_000
    q = np.array([float(p) for p in P])
    values = np.zeros((n, 5))
    for row in values:
        k, w = geometric(q, rng, lambda i: i in (1, 3), max_accepts, max_rejects)
        if k is not None:
            row[k] = w
    error = values.std(axis=0) / math.sqrt(n) + 1e-12
    truth_ = np.array([0, 0.25, 0, 0.12, 0])
    assert np.all(np.abs(values.mean(axis=0) - truth_) < 4 * error)
    if variance is not None:
        assert values.sum(axis=1).var() / 0.37**2 == pytest.approx(variance, rel=0.06)


@pytest.mark.slow
@pytest.mark.parametrize(("max_accepts", "max_rejects"), [(2, None), (2, 3), (5, None)])
def test_a_million_draws_of_the_geometric_estimator_are_proper_for_every_token(max_accepts, max_rejects):
    rng, n = np.random.default_rng(2), 1_000_000
    q = np.array([float(p) for p in P])
    first, second = np.zeros(5), np.zeros(5)
    for _ in range(n):
        k, w = geometric(q, rng, lambda i: i in (1, 3), max_accepts, max_rejects)
        if k is not None:
            first[k] += w
            second[k] += w * w
    mean = first / n
    error = np.sqrt((second / n - mean**2) / n) + 1e-12
    assert np.all(np.abs(mean - np.array([0, 0.25, 0, 0.12, 0])) < 4 * error)
    assert error.max() < 0.001


def test_gumbel_order_continues_beyond_its_head():
    rng = np.random.default_rng(0)
    q = rng.dirichlet(np.ones(200))
    q[7] = 0.0
    order = list(gumbel_order(q, rng, head=16))
    assert sorted(order) == [i for i in range(200) if i != 7]
    small = np.array([0.6, 0.3, 0.1])
    seconds = [tuple(gumbel_order(small, rng, head=1))[:2] for _ in range(4000)]
    law = {(i, j): small[i] * small[j] / (1 - small[i]) for i in range(3) for j in range(3) if i != j}
    assert truth.chi_square(law, seconds) < 3.3


@pytest.mark.parametrize(
    "options",
    [{}, {"max_rejects": 1}, {"estimator": "geometric"}, {"estimator": "geometric", "max_rejects": 3}],
    ids=str,
)
def test_walks_under_a_black_box_check_are_proper_by_first_token(options):
    texts, target = suites.t2_black_box("a", 4)
    trie, rng = suites.fresh(target), np.random.default_rng(3)
    found = [awrs(trie, 100, rng, batch=100, **options) for _ in range(80)]
    assert all(set(r.sequences) <= set(texts) for r in found)
    assert suites.worst(np.array([suites.by_first(r) for r in found]), suites.wanted_by_first(texts)) < 4
    assert sum(r.counts.checks for r in found) > 0


@pytest.mark.parametrize("options", [{}, {"max_rejects": 1}, {"estimator": "geometric"}], ids=str)
def test_a_language_hidden_in_a_black_box_has_its_z_within_a_percent(options):
    suite, target = suites.t1_black_box()
    result = awrs(suites.fresh(target), 16_000, np.random.default_rng(5), batch=500, **options)
    assert result.stderr < 0.02
    assert abs(result.log_z - math.log(suite.z)) < 4 * result.stderr
    if options.get("max_rejects") != 1:  # which is rejection, and needs no weights
        # control: draws without their weights
        assert truth.chi_square(suite.target, result.sequences[:2000]) > 10


def test_checks_judge_what_look_ahead_proposes():
    """The product of both weights is proper, and less of it is noise."""
    texts, target = suites.t2_black_box("a", 4)
    rng = np.random.default_rng(7)
    trie = suites.fresh(target)
    trie.expand_frontier(40)
    found = [run("awrs", trie, 50, rng, look_ahead=True) for _ in range(80)]
    assert suites.worst(np.array([suites.by_first(r) for r in found]), suites.wanted_by_first(texts)) < 4
    plain = [awrs(trie, 50, rng) for _ in range(80)]
    assert np.mean([r.ess for r in found]) > 1.5 * np.mean([r.ess for r in plain])


def test_rejection_learns_the_black_box_exactly():
    texts, target = suites.t2_black_box()
    law = {x: p / sum(texts.values()) for x, p in texts.items()}
    result = cars(suites.fresh(target), 2000, np.random.default_rng(4), batch=4)
    assert truth.chi_square(law, result.sequences) < 3.3


def test_weights_of_particles_with_checks_are_proper():
    texts, target = suites.t2_black_box("a", 4)
    trie, rng = suites.fresh(target), np.random.default_rng(6)
    for options in ({}, {"estimator": "geometric"}):
        found = [smc(trie, 10, rng, threshold=0.9, runs=5, **options) for _ in range(120)]
        assert suites.worst(np.array([suites.by_first(r) for r in found]), suites.wanted_by_first(texts)) < 4
