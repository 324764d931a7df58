"""Markov chains over texts: proposals by brute force, exact laws after any number of steps; controls."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import sampling_suites as suites
import sampling_truth as truth

from decoders.sampling import markov as module
from decoders.sampling.markov import cuts, log_proposal, markov
from decoders.sampling.values import LookAhead
from decoders.sampling.walks import guided, run_round

CUTS = ["restart", "uniform", "priority"]


def raw(node):
    return node.p


def places(suite, cut):
    """cut(text) -> the probability of each place, from the ground truth alone."""

    def entropy(prefix):
        after = {}
        for x, q in suite.masked.items():
            if x[: len(prefix)] == prefix:
                after[x[len(prefix)]] = after.get(x[len(prefix)], 0.0) + float(q)
        p = np.array(list(after.values())) / sum(after.values())
        return float(-(p * np.log(p)).sum())

    def shares(text):
        if cut == "restart":
            return np.eye(len(text))[0]
        if cut == "uniform":
            return np.full(len(text), 1 / len(text))
        w = np.array([math.expm1(entropy(text[:i])) for i in range(len(text))])
        return w / w.sum()

    return shares


@pytest.mark.parametrize("cut", CUTS)
def test_proposals_sum_over_all_cuts(cut):
    suite, target = suites.t1()
    trie, rng = suites.fresh(target), np.random.default_rng(0)
    found = {d.tokens: d for d in run_round(trie, [guided(trie, raw, rng) for _ in range(600)])}
    assert len(found) == 17
    for w in found.values():
        want = dict.fromkeys(found, 0.0)
        assert cuts(w, cut, raw) == pytest.approx(places(suite, cut)(w.tokens))
        for i, share in enumerate(cuts(w, cut, raw)):
            same = {x: float(m) for x, m in suite.masked.items() if x[:i] == w.tokens[:i]}
            for x, m in same.items():
                want[x] += share * m / sum(same.values())
        assert {x: math.exp(log_proposal(w, d, cut, raw)) for x, d in found.items()} == pytest.approx(want)


@pytest.mark.parametrize("cut", CUTS)
def test_chains_have_their_exact_law_after_any_number_of_steps(cut):
    for suite, target, steps in ((*suites.t1(), 3), (*suites.t2("b", most=4), 2), (*suites.t2("b", most=4), 6)):
        law = truth.cut_chain(suite, places(suite, cut), steps)
        result = markov(suites.fresh(target), 2500, np.random.default_rng(12), steps=steps, cut=cut)
        assert truth.chi_square(law, result.sequences) < 3.3
        assert truth.chi_square(suite.target, result.sequences) > 3.3  # so few steps are not enough
        assert result.law == "asymptotic"
        assert not result.exact
    limit = truth.cut_chain(suite, places(suite, cut), 5000)
    assert truth.total_variation(suite.target, limit) < 1e-3


def test_acceptance_by_one_cut_alone_is_seen(monkeypatch):
    """Control: the exact law of the wrong chain has another limit, and the gate sees its draws."""
    suite, target = suites.t2("b", most=4)
    wrong = truth.cut_chain(suite, places(suite, "uniform"), 5000, one_cut=True)
    assert truth.total_variation(suite.target, wrong) > 0.02

    sides = itertools.cycle(["back", "forth"])
    summed = module.log_proposal

    def one(w, other, cut, rule):
        if next(sides) == "back":
            return summed(w, other, cut, rule)
        differ = [i for i, (a, b) in enumerate(zip(w.tokens, other.tokens, strict=False)) if a != b]
        at = differ[0] if differ else len(w.tokens) - 1
        steps = [math.log(node.p[k] / node.alpha) for node, k in other.path]
        return math.log(cuts(w, cut, rule)[at]) + sum(steps[at:])

    right = truth.cut_chain(suite, places(suite, "uniform"), 15)
    good = markov(suites.fresh(target), 2500, np.random.default_rng(14), steps=15, cut="uniform")
    assert truth.chi_square(right, good.sequences) < 3.3
    monkeypatch.setattr(module, "log_proposal", one)
    bad = markov(suites.fresh(target), 2500, np.random.default_rng(14), steps=15, cut="uniform")
    assert truth.chi_square(right, bad.sequences) > 3.3


def test_look_ahead_proposals_mix_faster():
    suite, target = suites.t2("a", most=6)
    trie = suites.fresh(target)
    trie.expand_frontier(60)
    ahead = LookAhead(trie, "bigram")
    rng = np.random.default_rng(1)
    fast = markov(trie, 1500, rng, steps=3, rule=ahead.rule)
    slow = markov(trie, 1500, rng, steps=3)
    assert truth.chi_square(suite.target, fast.sequences) < 3.3 < truth.chi_square(suite.target, slow.sequences)


def test_one_chain_gives_its_states_in_order():
    suite, target = suites.t1()
    result = markov(suites.fresh(target), 3000, np.random.default_rng(2), chain=True)
    assert len(result) == 3000
    assert result.ess < 0.9 * len(result)  # a state that stays is one, however often it is counted
    zeros = sum(x[0] == 0 for x in result.sequences) / 3000
    assert zeros == pytest.approx(float(suite.target[0, 0, 0, 0, 0, 2]), abs=0.03)
    with pytest.raises(ValueError, match="cut"):
        markov(suites.fresh(target), 2, np.random.default_rng(2), cut="other")
