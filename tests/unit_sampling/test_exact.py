"""Rejection, CARS and sampling without replacement: exact laws by chi-square over independent runs; certificates.

Every gate stands beside a control that breaks the method in one place and must be seen.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import sampling_suites as suites
import sampling_truth as truth

from decoders.sampling import walks
from decoders.sampling.arithmetic import arithmetic
from decoders.sampling.awrs import awrs
from decoders.sampling.lookahead import lookahead
from decoders.sampling.markov import markov
from decoders.sampling.masked import asap, masked
from decoders.sampling.registry import run
from decoders.sampling.rejection import cars, distinct, rejection
from decoders.sampling.result import NO_MASS, SamplingError, student_quantile
from decoders.sampling.smc import smc
from decoders.sampling.target import Target
from decoders.sampling.trie import Node, lockstep, tilt
from decoders.sampling.values import LookAhead
from decoders.toy import TableAutomaton, TableModel

GATE = 3.3  # z-score; p > 1e-3 with room for several tests


def ith(sampler, target, at, runs, seed, **options):
    """Samples number `at` (from 1) of independent runs, each with a trie of its own."""
    rng = np.random.default_rng(seed)
    return [run(sampler, suites.fresh(target), max(at), rng, **options).sequences for _ in range(runs)]


@pytest.mark.parametrize("options", [{}, {"batch": 8}, {"frontier": 6}], ids=str)
def test_cars_is_exact_at_every_position(options):
    suite, target = suites.t1()
    for seed, runs in ((0, 1500), (1, 300), (2, 300)):
        found = ith(cars, target, (1, 2, 12), runs, seed, **options)
        for at in (1, 2, 12):
            assert truth.chi_square(suite.target, [row[at - 1] for row in found]) < GATE
        if runs < 1500:
            continue
        pairs = {(x, y): float(suite.target[x] * suite.target[y]) for x, y in itertools.product(suite.target, repeat=2)}
        assert truth.chi_square(pairs, [(row[0], row[1]) for row in found]) < GATE


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"batch": 8}], ids=str)
@pytest.mark.parametrize("seed", [10, 11, 12])
def test_the_first_fifth_and_twentieth_samples_are_exact(seed, options):
    """Of independent runs on T2a, where a run has learnt much between them; and a sample with the next one."""
    suite, target = suites.t2("a", most=5)
    found = ith(cars, target, (1, 5, 20), 1500, seed, **options)
    for at in (1, 5, 20):
        assert truth.chi_square(suite.target, [row[at - 1] for row in found]) < GATE
    by_length = {n: sum(p for x, p in suite.target.items() if len(x) == n) for n in range(2, 7)}
    pairs = {(a, b): by_length[a] * by_length[b] for a, b in itertools.product(by_length, repeat=2)}
    for at in (1, 5, 19):
        assert truth.chi_square(pairs, [(len(row[at - 1]), len(row[at])) for row in found]) < GATE


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
    """Controls: the first of 64 tries to finish instead of the first by index; a new mask applied within the try."""
    suite, target = suites.t2("a")
    rng = np.random.default_rng(2)
    lengths = {n: sum(p for x, p in suite.target.items() if len(x) == n) for n in range(2, 10)}
    honest = ith(cars, target, (1,), 250, 3, batch=32)
    assert truth.chi_square(lengths, [len(row[0]) for row in honest]) < GATE
    finished = []
    for _ in range(400):
        trie = suites.fresh(target)
        done: list[tuple[int, ...]] = []

        def timed(walk, done=done):
            d = yield from walk
            if d.tokens is not None:
                done.append(d.tokens)  # in the order of finishing: short texts first
            return d

        while not done:
            lockstep(trie, [timed(walks.adaptive(trie, True, rng)) for _ in range(64)])
            trie.settle()
        finished.append(done[0])
    assert truth.chi_square(lengths, [len(x) for x in finished]) > 5
    true = sum(len(x) * p for x, p in suite.target.items())
    assert np.mean([len(x) for x in finished]) < true - 0.3
    repaired = []
    for _ in range(1500):
        trie = suites.fresh(target)
        repaired += [
            d.tokens for d in walks.run_round(trie, [walks.guided(trie, lambda n: tilt(n.p, n.log_bound), rng)])
        ]
    assert truth.chi_square(suite.target, repaired) > 10


def test_acceptance_grows_and_prefixes_are_evaluated_once():
    suite, target = suites.t2("b")
    trie = suites.fresh(target)
    result = cars(trie, 1000, np.random.default_rng(3))
    bounds = [np.exp(step["log_bound"]) for step in result.trace]
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
    assert truth.chi_square(pairs, [(row[0], row[1]) for row in found]) < GATE
    named = distinct(suites.fresh(target), 3, np.random.default_rng(0))
    assert named.law == "exact without replacement"
    assert "not independent" in named.caution
    batched = ith(distinct, target, (2,), 2000, 4, batch=4)
    assert truth.chi_square(pairs, [(row[0], row[1]) for row in batched]) < GATE
    # control: reported as independent draws they fail
    full = ith(distinct, target, (12,), 300, 5)
    assert abs(truth.chi_square(suite.target, [x for row in full for x in row])) > GATE


def test_the_text_that_draws_without_replacement_stand_for_is_an_exact_draw():
    """It is the first. Control: one of them by weight, which the likelier texts win too often."""
    suite, target = suites.t2("a", most=4)
    rng = np.random.default_rng(6)
    found = [distinct(suites.fresh(target), 5, rng) for _ in range(1200)]
    assert truth.chi_square(suite.target, [r.sequences[r.choose(rng)] for r in found]) < GATE
    weighed = [r.sequences[int(rng.choice(5, p=r.weights))] for r in found]
    assert truth.chi_square(suite.target, weighed) > GATE


def test_the_bracket_always_holds_and_closes():
    suite, target = suites.t2("b")
    trie = suites.fresh(target)
    result = distinct(trie, 300, np.random.default_rng(1))
    for step in result.trace:
        assert step["log_lower"] <= np.log(suite.z) + 1e-12
        assert step["log_upper"] >= np.log(suite.z) - 1e-12
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
    assert trie.root.log_future == pytest.approx(np.log(suite.z), abs=1e-12)
    for node in reversed(trie.nodes):
        if node.parent is not None:
            node.parent.log_bound[node.index] = np.log(np.float16(np.exp(node.log_future)))
    assert abs(trie.root.log_future - np.log(suite.z)) > 1e-6


def test_plain_masks_change_the_work_and_not_the_law():
    suite, target = suites.t2("a", look_ahead=False)
    result = cars(suites.fresh(target), 2500, np.random.default_rng(8), max_tries=60_000)
    assert "rejected at the limit" in result.support
    assert truth.chi_square(suite.target, result.sequences) < GATE


def test_every_sampler_leaves_the_trie_fit_for_exact_ones():
    """What weighted samplers learnt must agree along every edge, dropped particles included."""
    suite, target = suites.t2("a", most=5)
    found = []
    for seed in range(250):
        rng, trie = np.random.default_rng(seed), suites.fresh(target)
        smc(trie, 6, rng, threshold=0.9)
        asap(trie, 2, rng)
        markov(trie, 2, rng, steps=2, cut="uniform")
        lookahead(trie, 2, rng)
        arithmetic(trie, 2, rng, shifts=1)
        for node in trie.nodes:
            if node.parent is not None:
                assert node.parent.log_bound[node.index] == pytest.approx(node.log_future, abs=1e-12)
        found += cars(trie, 4, rng).sequences[:4]
    assert truth.chi_square(suite.target, found) < GATE
    assert trie.root.log_future >= np.log(suite.z) - 1e-12


def test_bounds_taken_from_another_prefix_of_the_same_state_are_seen():
    """Control: pooling what is known of futures over prefixes that share an automaton state, and trusting it."""
    suite, target = suites.t2("b", most=5)
    found = []
    for seed in range(500):
        rng, trie = np.random.default_rng(seed), suites.fresh(target)
        trie.expand_frontier(60)
        pooled: dict[tuple[int, int], list[float]] = {}
        for node in trie.nodes:
            pooled.setdefault((node.state, node.remaining), []).append(node.log_future)
        for node in trie.nodes:
            for k, t in enumerate(node.tokens[: node.ends].tolist()):
                known = pooled.get((target.graph.step(node.state, t), node.remaining - 1))
                if known:
                    node.log_bound[k] = np.log(np.mean(np.exp(known)))
        found += cars(trie, 1, rng, max_tries=2000).sequences
    assert truth.chi_square(suite.target, found) > GATE


@pytest.mark.parametrize("seed", range(6))
def test_random_models_automata_and_lengths(seed):
    suite, target = suites.random_suite(seed)
    rng = np.random.default_rng(seed)
    result = cars(suites.fresh(target), 1500, rng, batch=4, max_tries=400_000)
    assert len(result) == 1500
    assert truth.chi_square(suite.target, result.sequences) < GATE
    for sampler, n, options in (
        (masked, 600, {"batch": 8}), (lookahead, 200, {"batch": 8}), (lookahead, 300, {"replacement": True}),
        (asap, 400, {}), (smc, 10, {"runs": 60}), (arithmetic, 600, {"shifts": 30}),
    ):  # fmt: skip
        result = sampler(suites.fresh(target), n, rng, **options)
        assert result.bracket[0] - 1e-9 <= np.log(suite.z) <= result.bracket[1] + 1e-9
        reach = result.stderr * student_quantile(1 - 5e-6, result.freedom or math.inf)  # few weights may make the error
        assert abs(np.expm1(np.log(suite.z) - result.log_z)) < reach + 1e-9
    trie = suites.fresh(target)
    trie.expand_frontier(10**6)
    assert trie.root.log_future == pytest.approx(np.log(suite.z), abs=1e-9)


def test_futures_below_the_range_of_floats_are_kept():
    """A text of 300 forced tokens of probability 1e-4 each: p is 1e-1200."""
    rule = lambda prefix: [1e-4, 0.9998, 1e-4]  # noqa: E731
    table = np.full((301, 3), -1)
    table[np.arange(300), 0] = np.arange(1, 301)
    target = Target(TableModel(3, rule), TableAutomaton(table, [300], [2]), 300)
    log_z = 301 * np.log(1e-4)
    for sampler in (masked, lookahead, asap):
        result = sampler(suites.fresh(target), 3, np.random.default_rng(0))
        assert result.log_z == pytest.approx(log_z)
        assert result.bracket == pytest.approx((log_z, log_z))
        assert result.covered == pytest.approx(1.0)
    twisted = smc(trie := suites.fresh(target), 4, np.random.default_rng(0), twist=LookAhead(trie).log_values)
    assert twisted.log_z == pytest.approx(log_z)
    short = cars(suites.fresh(target), 1, np.random.default_rng(0), max_tries=400)
    assert short.failure is None or "log Z is at most" in short.failure


def test_no_mass_is_a_certain_failure_and_has_its_name():
    rule = lambda prefix: [0.0, 1.0, 0.0]  # noqa: E731
    table = np.array([[1, -1, -1], [-1, -1, -1]])
    target = Target(TableModel(3, rule), TableAutomaton(table, [1], [2]), 3)
    for sampler in (masked, asap, cars, rejection, distinct, lookahead, markov, smc, awrs, arithmetic):
        result = sampler(suites.fresh(target), 3, np.random.default_rng(0))
        assert len(result) == 0
        assert result.failure == NO_MASS
        assert result.log_z is None
        assert result.bracket[1] == -np.inf
        with pytest.raises(SamplingError, match="no mass"):
            result.choose(np.random.default_rng(0))


def test_a_trie_that_forgets_keeps_the_law():
    suite, target = suites.t1()
    rng = np.random.default_rng(6)
    found = []
    for _ in range(400):
        trie = walks.PrefixTrie(target, max_bytes=4 * Node.size(2))
        found.append(cars(trie, 5, rng).sequences[4])
        assert trie.bytes <= 4 * Node.size(2)
    assert truth.chi_square(suite.target, found) < GATE
    # texts below forgotten nodes are not taken out, and must not be counted twice
    rng = np.random.default_rng(7)
    sums = np.array([[math.fsum(np.exp(forgetful(rng).log_weights))] for _ in range(400)])
    assert suites.worst(sums, np.array([float(suite.z)])) < 4


def forgetful(rng):
    return lookahead(walks.PrefixTrie(suites.t1()[1], max_bytes=4 * Node.size(2)), 12, rng)


def test_shortfalls_are_reported_and_never_filled_up():
    _, target = suites.t5()
    result = rejection(suites.fresh(target), 50, np.random.default_rng(0), max_tries=300)
    assert len(result) < 50
    assert "accepted in 300 tries" in result.failure
    assert "failure" in result.table()
    assert "log Z is at most" in cars(suites.fresh(target), 50, np.random.default_rng(0), max_tries=60).failure
