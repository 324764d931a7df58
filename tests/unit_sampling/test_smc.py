"""Sequential Monte Carlo: E[Z estimate] = Z for every number of particles, scheme and threshold; proper weights; controls."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import sampling_suites as suites

from decoders.sampling import smc as module
from decoders.sampling.experts import Expert
from decoders.sampling.resampling import resample
from decoders.sampling.smc import smc
from decoders.toy import TableModel

SCHEMES = ["multinomial", "residual", "stratified", "systematic"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_resampling_keeps_expected_copies(scheme):
    rng = np.random.default_rng(4)
    w = np.array([0.5, 0.0, 0.31, 0.04, 0.15])
    copies = np.array([np.bincount(resample(w, rng, scheme), minlength=5) for _ in range(4000)])
    deviation = copies.std(axis=0) / math.sqrt(len(copies)) + 1e-12
    assert np.all(np.abs(copies.mean(axis=0) - 5 * w) <= 4 * deviation)
    assert copies.sum(axis=1).tolist() == [5] * 4000
    if scheme in ("residual", "systematic"):
        assert np.all(copies >= np.floor(5 * w))
    with pytest.raises(ValueError, match="scheme"):
        resample(w, rng, "other")


def gate(n, threshold, scheme, checked, seed, particles=10_000):
    """(standard errors from Z, standard error) of so many particles, twice as many with a check."""
    suite, target = suites.t1_black_box() if checked else suites.t1()
    runs = particles * (2 if checked else 1) // n
    result = smc(suites.fresh(target), n, np.random.default_rng(seed), runs=runs, scheme=scheme, threshold=threshold)
    return (math.exp(result.log_z) / float(suite.z) - 1) / result.stderr, result.stderr


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("checked", [False, True])
def test_the_estimate_of_z_is_unbiased(scheme, checked):
    off, stderr = gate(10, 0.9, scheme, checked, 5)
    assert stderr <= 0.015
    assert abs(off) < 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "threshold", "scheme", "checked"), itertools.product([1, 2, 10], [0.0, 0.5, 0.9], SCHEMES, [False, True])
)
def test_the_estimate_of_z_is_unbiased_everywhere(n, threshold, scheme, checked):
    off, stderr = gate(n, threshold, scheme, checked, 6, particles=20_000)
    assert stderr <= 0.01
    assert abs(off) < 4


def test_particles_are_proper_by_first_token():
    suite, target = suites.t2("a", most=4)
    trie, rng = suites.fresh(target), np.random.default_rng(8)
    masses = {x: p for x, (p, _) in suite.texts.items()}
    for scheme in SCHEMES:
        found = [suites.by_first(smc(trie, 10, rng, threshold=0.9, scheme=scheme, runs=4)) for _ in range(150)]
        assert suites.worst(np.array(found), suites.wanted_by_first(masses)) < 4


def test_without_resampling_it_is_importance_sampling():
    suite, target = suites.t2("a")
    result = smc(suites.fresh(target), 500, np.random.default_rng(6), threshold=0.0)
    assert result.log_weights == pytest.approx([math.log(suite.texts[x][1]) for x in result.sequences])
    assert not any(step["resampled"] for step in result.trace)


def test_resampling_that_forgets_the_mean_weight_is_seen(monkeypatch):
    """Control."""
    replace = module.replace
    monkeypatch.setattr(module, "replace", lambda p, **changes: replace(p, **{**changes, "log_weight": 0.0}))
    off, _ = gate(10, 0.9, "systematic", False, 5)
    assert abs(off) > 10


def test_critics_make_a_product_of_experts():
    suite, target = suites.t2("a", most=4)

    def critic(tokens, ended):
        return 0.7 * tokens.count(3) - 0.4 * tokens.count(1)

    masses = {x: p * math.exp(critic(x, True)) for x, (p, _) in suite.texts.items()}
    trie, rng = suites.fresh(target), np.random.default_rng(7)
    for threshold in (0.0, 0.5):
        found = [smc(trie, 10, rng, runs=5, critic=critic, threshold=threshold) for _ in range(120)]
        assert suites.worst(np.array([suites.by_first(r) for r in found]), suites.wanted_by_first(masses)) < 4
        # control: the weights of the model alone
        plain = np.array([suites.by_first(smc(trie, 10, rng, runs=5, threshold=threshold)) for _ in range(120)])
        assert suites.worst(plain, suites.wanted_by_first(masses)) > 4
        # the certified bounds are of the product, and nothing bounds it from above
        assert all(r.bracket[0] <= math.log(sum(masses.values())) + 1e-12 and r.bracket[1] == math.inf for r in found)


def test_a_second_model_is_an_expert():
    suite, target = suites.t2("a", most=4)
    other = suites.t2("b", most=4)[0]
    expert = Expert(TableModel(5, other.rule), power=0.5)
    masses = {x: p * math.sqrt(other.texts[x][0]) for x, (p, _) in suite.texts.items()}
    trie, rng = suites.fresh(target), np.random.default_rng(9)
    found = [suites.by_first(smc(trie, 10, rng, runs=5, critic=expert)) for _ in range(100)]
    assert suites.worst(np.array(found), suites.wanted_by_first(masses)) < 4
    assert expert.model_calls <= len({x[:i] for x in suite.texts for i in range(len(x))})
    # bounded memory: what was forgotten is computed again, and scores stay as they are
    small = Expert(TableModel(5, other.rule), power=0.5, max_bytes=200)
    for x in list(suite.texts)[:40]:
        assert small(x, True) == pytest.approx(expert(x, True))
        assert len(small._rows) <= 5
    with pytest.raises(ValueError, match="power"):
        Expert(TableModel(5, other.rule), power=math.nan)


def test_experts_score_all_particles_of_a_step_in_one_batch():
    suite, target = suites.t2("a", most=4)
    batches = []

    class Watched(TableModel):
        def log_probs(self, prefixes):
            batches.append(len(prefixes))
            return super().log_probs(prefixes)

    smc(suites.fresh(target), 20, np.random.default_rng(0), critic=Expert(Watched(5, suite.rule)))
    assert len(batches) <= 5  # one a step
    assert max(batches) > 3


def test_particles_of_one_ancestor_count_as_one():
    """After resampling at every step weights are even, and hardly two particles have grown from different ones."""
    _, target = suites.t2("a")
    result = smc(suites.fresh(target), 40, np.random.default_rng(0), threshold=1.0, scheme="multinomial")
    even = float(1.0 / (result.weights @ result.weights))
    assert result.ess < len(set(result.families.tolist())) + 1e-9 < 20 < even
    assert "effective sample size" in result.table() or result.caution == "one run has no standard error"
    runs = smc(suites.fresh(target), 5, np.random.default_rng(0), runs=6)
    assert len(set(runs.families.tolist())) > 6
    assert set(runs.families.tolist()) <= set(range(30))
    single = smc(suites.fresh(target), 40, np.random.default_rng(0), threshold=0.0)
    assert single.ess == pytest.approx(1.0 / (single.weights @ single.weights))
