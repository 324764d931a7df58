"""Intervals of Z: quantiles, coverage, and the bound that holds for any weights and any stopping."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import sampling_suites as suites

from decoders.sampling.lookahead import lookahead
from decoders.sampling.masked import masked
from decoders.sampling.registry import run
from decoders.sampling.result import (
    Evidence,
    betting_bound,
    degrees_of_freedom,
    log_mean,
    skewed_quantiles,
    skewness,
    student_quantile,
)
from decoders.sampling.target import Target
from decoders.toy import TableAutomaton, TableModel

NONE = -math.inf


def test_intervals_hold_as_often_as_they_say():
    """Nominal 95% intervals over 150 runs of few draws; and the certified bracket, always."""
    for which, n in (("a", 25), ("b", 40), ("k", 25)):
        suite, target = suites.t2(which)
        log_z = math.log(suite.z)
        found = [lookahead(suites.fresh(target), n, np.random.default_rng(seed)) for seed in range(150)]
        inside = np.mean([low <= log_z <= high for low, high in (r.interval() for r in found)])
        assert inside > 0.87
        assert all(r.bracket[0] <= log_z <= r.bracket[1] for r in found)
        assert all(abs(r.log_z_in_bracket - log_z) <= abs(r.log_z - log_z) for r in found)
        guaranteed = [r.guaranteed() for r in found]
        assert np.mean([low <= log_z <= high for low, high in guaranteed]) >= 0.95
        assert all(low >= r.bracket[0] for (low, _), r in zip(guaranteed, found, strict=True))
        gains = [low - r.bracket[0] for (low, _), r in zip(guaranteed, found, strict=True)]
        assert np.mean(gains) > (0.05 if which in "ab" else 0.0)  # the bracket is narrow on T2k
        # control: normal quantiles and three times less error
        assert np.mean([abs(math.expm1(log_z - r.log_z)) < 1.96 * r.stderr / 3 for r in found]) < 0.8


def test_ten_masked_draws_are_covered_more_often_than_by_student():
    suite, target = suites.t2("b")
    log_z = math.log(suite.z)
    found = [masked(suites.fresh(target), 10, np.random.default_rng(seed)) for seed in range(150)]
    inside = np.mean([low <= log_z <= high for low, high in (r.interval() for r in found)])
    reach = [r.stderr * student_quantile(0.975, r.freedom) for r in found]
    student = np.mean([abs(math.expm1(log_z - r.log_z)) <= x for r, x in zip(found, reach, strict=True)])
    assert inside > 0.78
    assert student < inside - 0.2


def test_equal_weights_say_nothing_of_their_error():
    """A share of 1e-3 of the target that no draw has met is in no standard error: the bracket is what is known."""
    rule = lambda prefix: [0.999, 0.001, 0.0] if not prefix else [0.0, 0.0, 1.0]  # noqa: E731
    table = np.array([[1, 2, -1], [-1, -1, -1], [-1, -1, -1]])
    target = Target(TableModel(3, rule), TableAutomaton(table, [1, 2], [2]), 1)
    result = masked(suites.fresh(target), 20, np.random.default_rng(0))
    assert result.stderr < 1e-12
    assert result.interval() == result.bracket
    assert result.bracket[0] <= 0.0 <= result.bracket[1]
    result = run("smc", suites.fresh(target), 5, np.random.default_rng(0), runs=3)
    assert result.interval() == result.bracket


def test_quantiles_and_degrees_of_freedom():
    table = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 30: 2.042, math.inf: 1.960}
    for freedom, t in table.items():
        assert student_quantile(0.975, freedom) == pytest.approx(t, rel=0.01)
    rng = np.random.default_rng(0)
    assert degrees_of_freedom(rng.normal(size=4000)) == pytest.approx(4000, rel=0.15)
    assert degrees_of_freedom(np.array([1e-3] * 50 + [1.0])) == pytest.approx(2.0, abs=0.1)
    assert degrees_of_freedom(np.zeros(3)) == 3


@pytest.mark.parametrize("skew", [-0.7, 0.0, 0.2, 1.0])
def test_skewed_quantiles_invert_the_transformation(skew):
    for freedom in (2.0, 8.0, math.inf):
        below, above = skewed_quantiles(0.975, freedom, skew)
        t = student_quantile(0.975, freedom)
        for x, wanted in ((below, t), (-above, -t)):
            assert x + skew * x**2 / 3 + skew**2 * x**3 / 27 + skew / 6 == pytest.approx(wanted)
        assert (above > below) == (skew > 0)


def test_skewness_of_a_mean():
    assert skewness(np.array([-1.0, 1.0])) == 0.0
    assert skewness(np.zeros(4)) == 0.0
    draws = np.random.default_rng(1).exponential(size=(20_000, 9))  # a mean of n has skewness 2 / sqrt(n)
    means = draws.mean(axis=1) - 1.0
    assert np.mean(means**3) / np.mean(means**2) ** 1.5 == pytest.approx(2 / 3, abs=0.1)
    many = np.random.default_rng(2).exponential(size=90_000)
    assert skewness(many - 1.0) == pytest.approx(2 / 300, rel=0.1)


# ---------------------------------------------------------------------- betting
def capital(evidence: list[tuple[Fraction, Fraction]], z: Fraction) -> float:
    """By the definition, one bet and one draw after another."""
    total = 0.0
    for k in range(1, 60):
        own = 1.0
        for excess, known in evidence:
            own *= 1.0 + 2.0 ** (-k / 2) * (float(excess / (z - known)) - 1.0)
        total += own / (k * (k + 1))
    return total


def log(x: Fraction | float) -> float:
    return math.log(x) if x else NONE


def test_the_bound_is_where_the_capital_meets_the_risk():
    rng = np.random.default_rng(3)
    for _ in range(20):
        known, evidence = Fraction(0), []
        for _ in range(int(rng.integers(1, 30))):
            evidence.append((Fraction(int(rng.integers(0, 40)), 100), known))
            known += Fraction(int(rng.integers(0, 3)), 1000)
        logs = Evidence(*(np.array([log(pair[i]) for pair in evidence]) for i in (0, 1)))
        bound = betting_bound(logs, 0.05)
        if bound > log(evidence[-1][1]) + 1e-9:
            z = Fraction(math.exp(bound))
            assert capital(evidence, z * Fraction(9, 10)) > 20 or z * Fraction(9, 10) <= known
            assert capital(evidence, z * Fraction(21, 20)) < 20 * 1.2
            assert capital(evidence, 2 * z) < 20


def test_nothing_but_what_is_known_bounds_z_where_nothing_was_drawn():
    assert betting_bound(Evidence(np.full(5, NONE), np.full(5, NONE)), 0.05) == NONE
    assert betting_bound(Evidence(np.full(5, NONE), np.full(5, -3.0)), 0.05) == -3.0


def test_one_draw_is_bounded_as_by_markov():
    bound = betting_bound(Evidence(np.zeros(1), np.full(1, NONE)), 0.05)
    assert -math.log(80) < bound < -math.log(20)


def test_the_bound_holds_whenever_one_stops():
    """Heavy-tailed weights, stopped at the worst moment of 200 draws: at most risk; a greedy mean is above Z in half."""
    rng = np.random.default_rng(4)
    above = greedy = 0
    for _ in range(150):
        w = rng.pareto(1.5, size=200) * 0.5  # mean 1
        logs = np.log(w)
        worst = max(
            betting_bound(Evidence(logs[:n], np.full(n, NONE)), 0.1) for n in (1, 2, 3, 5, 8, 12, 20, 35, 60, 110, 200)
        )
        above += worst > 0.0
        greedy += max(np.cumsum(w) / np.arange(1, 201)) > 1.0
    assert above <= 0.1 * 150
    assert greedy > 0.3 * 150


def test_the_bound_closes_in_on_the_mean():
    w = np.log(np.random.default_rng(5).uniform(0.5, 1.5, size=4000))
    assert -0.05 < betting_bound(log_mean(w, 4000).evidence, 0.05) < 0.0
    assert betting_bound(log_mean(w[:2000], 4000).evidence, 0.05) == pytest.approx(-math.log(2), abs=0.1)


@pytest.mark.parametrize("sampler", ["masked", "asap", "rejection", "cars", "smc", "lookahead", "arithmetic", "awrs"])
def test_every_sampler_guarantees_a_part_of_z(sampler):
    suite, target = suites.t2("a")
    options = {"smc": {"runs": 5}}.get(sampler, {})
    held = []
    for seed in range(25):
        result = run(sampler, suites.fresh(target), 20, np.random.default_rng(seed), **options)
        low, high = result.guaranteed(0.9)
        held.append(low <= math.log(suite.z) <= high)
        assert "probability 95% at least" in str(result)
    assert np.mean(held) >= 0.9
    # control: the same evidence for half the mass
    evidence = result.evidence
    assert betting_bound(Evidence(evidence.excess + 5, evidence.known), 0.1) > math.log(suite.z)
