"""Rejection, CARS and sampling without replacement: exact laws by chi-square over independent runs; certificates.

Every gate stands beside a control that breaks the method in one place and must be seen.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sampling_suites as suites
import sampling_truth as truth

from decoders.sampling import walks
from decoders.sampling.rejection import cars, distinct, rejection
from decoders.sampling.trie import lockstep

GATE = 3.3  # z-score; p > 1e-3 with room for several tests


def ith(sampler, target, at, runs, seed, **options):
    """Samples number `at` (from 1) of independent runs, each with a trie of its own."""
    rng = np.random.default_rng(seed)
    return [sampler(suites.fresh(target), max(at), rng, **options).sequences for _ in range(runs)]


@pytest.mark.parametrize("options", [{}, {"batch": 8}, {"frontier": 6}], ids=str)
def test_cars_is_exact_at_every_position(options):
    suite, target = suites.t1()
    for seed, runs in ((0, 1500), (1, 300), (2, 300)):
        found = ith(cars, target, (1, 2, 12), runs, seed, **options)
        for at in (1, 2, 12):
            assert truth.chi_square(suite.target, [run[at - 1] for run in found]) < GATE
        if runs < 1500:
            continue
        pairs = {(x, y): float(suite.target[x] * suite.target[y]) for x, y in itertools.product(suite.target, repeat=2)}
        assert truth.chi_square(pairs, [(run[0], run[1]) for run in found]) < GATE


def test_cars_and_rejection_are_exact_on_t2():
    suite, target = suites.t2("a")
    for sampler, n in ((cars, 4000), (rejection, 800)):
        result = sampler(suites.fresh(target), n, np.random.default_rng(5), max_tries=60_000)
        assert result.exact
        assert len(result) == n
        assert truth.chi_square(suite.target, result.sequences) < GATE
        assert abs(result.log_z - np.log(suite.z)) < 4 * result.stderr
        assert result.bracket[0] <= np.log(suite.z) <= result.bracket[1]


def test_first_finishers_and_repaired_tries_are_seen():
    """Controls: the first of eight tries to finish instead of the first by index; a new mask applied within the try."""
    suite, target = suites.t2("a")
    rng = np.random.default_rng(2)
    finished = []
    for _ in range(1500):
        trie = suites.fresh(target)
        done: list[tuple[int, ...]] = []

        def timed(walk, done=done):
            d = yield from walk
            if d.tokens is not None:
                done.append(d.tokens)  # in the order of finishing: short texts first
            return d

        while not done:
            trie.round += 1
            for d in lockstep(trie, [timed(walks.adaptive(trie, True, rng)) for _ in range(8)]):
                trie.back_up(d.path)
        finished.append(done[0])
    assert truth.chi_square(suite.target, finished) > GATE
    true = sum(len(x) * p for x, p in suite.target.items())
    assert np.mean([len(x) for x in finished]) < true - 0.3
    repaired = []
    for _ in range(1500):
        trie = suites.fresh(target)
        repaired += [d.tokens for d in walks.run_round(trie, [walks.guided(trie, lambda n: n.p * n.bound, rng)])]
    assert truth.chi_square(suite.target, repaired) > 10


def test_acceptance_grows_and_prefixes_are_evaluated_once():
    suite, target = suites.t2("b")
    trie = suites.fresh(target)
    result = cars(trie, 1000, np.random.default_rng(3))
    bounds = [step["bound"] for step in result.trace]
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(bounds))
    assert bounds[-1] >= suite.z
    assert result.draws / len(result) < 4.0  # plain rejection: 59.9
    assert trie.counts.model_calls == len(trie.nodes) == len({n.prefix() for n in trie.nodes})


def test_without_replacement_is_exact_in_order_and_not_independent():
    suite, target = suites.t1()
    pairs = {
        (x, y): float(p * q / (1 - p))
        for (x, p), (y, q) in itertools.product(suite.target.items(), repeat=2)
        if x != y
    }  # fmt: skip
    found = ith(distinct, target, (2,), 3000, 4)
    assert truth.chi_square(pairs, [(run[0], run[1]) for run in found]) < GATE
    batched = ith(distinct, target, (2,), 2000, 4, batch=4)
    assert truth.chi_square(pairs, [(run[0], run[1]) for run in batched]) < GATE
    # control: reported as independent draws they fail
    full = ith(distinct, target, (12,), 300, 5)
    assert abs(truth.chi_square(suite.target, [x for run in full for x in run])) > GATE


def test_the_bracket_always_holds_and_closes():
    suite, target = suites.t2("b")
    trie = suites.fresh(target)
    result = distinct(trie, 300, np.random.default_rng(1))
    for step in result.trace:
        assert step["lower"] <= suite.z * (1 + 1e-12)
        assert step["upper"] >= suite.z * (1 - 1e-12)
    assert result.covered <= sum(suite.target[x] for x in result.sequences) <= 1
    # the texts are put back: the trie serves exact independent draws afterwards
    again = cars(trie, 1500, np.random.default_rng(2))
    assert truth.chi_square(suite.target, again.sequences) < GATE
    small, target = suites.t1()
    everything = distinct(suites.fresh(target), 100, np.random.default_rng(0))
    assert len(everything) == 17
    assert everything.failure is None
    assert np.exp(everything.log_z) == pytest.approx(float(small.z), rel=1e-12)
    assert everything.covered == pytest.approx(1.0)


def test_bounds_in_half_precision_are_seen():
    """Control: futures stored with 11 bits lose the certificate that float64 gives."""
    suite, target = suites.t2("a")
    trie = suites.fresh(target)
    trie.expand_frontier(20_000)
    assert trie.root.future == pytest.approx(suite.z, rel=1e-12)
    for node in reversed(trie.nodes):
        if node.parent is not None:
            node.parent.bound[node.index] = np.float16(node.future)
    assert abs(trie.root.future / suite.z - 1) > 1e-6


def test_plain_masks_change_the_work_and_not_the_law():
    suite, target = suites.t2("a", look_ahead=False)
    result = cars(suites.fresh(target), 2500, np.random.default_rng(8), max_tries=60_000)
    assert "rejected at the limit" in result.support
    assert truth.chi_square(suite.target, result.sequences) < GATE


def test_a_trie_that_forgets_keeps_the_law():
    suite, target = suites.t1()
    rng = np.random.default_rng(6)
    found = []
    for _ in range(400):
        trie = walks.PrefixTrie(target, max_entries=8)
        found.append(cars(trie, 5, rng).sequences[4])
        assert trie.entries <= 8
    assert truth.chi_square(suite.target, found) < GATE


def test_shortfalls_are_reported_and_never_filled_up():
    _, target = suites.t5()
    result = rejection(suites.fresh(target), 50, np.random.default_rng(0), max_tries=300)
    assert len(result) < 50
    assert "accepted in 300 tries" in result.failure
    assert "failure" in result.table()
