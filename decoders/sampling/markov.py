"""Markov chains over complete texts: cut a text somewhere, let a proposal finish it, accept or stay.

    propose:  i ~ cut(w);  w' = w[:i] + completion by q
    accept with probability  min(1, p(w') Q(w | w') / (p(w) Q(w' | w)))
    Q(w' | w) = sum over i <= length of the common prefix of  cut_w(i) q(w'[i:] | w[:i])

q is masked sampling, or any other rule of choice, such as the look-ahead's values of a trie.

The sum runs over every cut that could have led from w to w', in both directions; one cut alone on one side of the ratio
and the sum on the other give a chain with another limit. Cuts: "restart" (at the start: independence sampling),
"uniform", "priority" (by exp(entropy) - 1 of the proposal, which never cuts where one token is forced).
Law: the target in the limit of many steps, and nothing exact before it. Texts that few masked draws reach mix slowly.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from decoders.sampling.graph import Floats
from decoders.sampling.masked import all_died
from decoders.sampling.result import Samples, log_mean
from decoders.sampling.trie import Node, PrefixTrie, draw
from decoders.sampling.walks import Draw, Rule, begin, collect, from_node, guided, run_round

Cut = Literal["restart", "uniform", "priority"]


def markov(
    trie: PrefixTrie, n: int, rng: np.random.Generator, *, steps: int = 10, cut: Cut = "restart", chain: bool = False,
    rule: Rule | None = None,
) -> Samples:  # fmt: skip
    """The states of n independent chains after `steps` steps; with chain=True the n successive states of one chain.

    cut: see the module docstring. rule: weights of the proposal, positive for every text and not changed while it runs;
    default the masks. log_z is estimated from the draws that begin the chains. Law: asymptotic, the target in the limit of
    steps. Cost: one completion a step and chain. Raises ValueError for an unknown cut. Source: Gonzalez et al., "Constrained
    sampling for language models should be easy: an MCMC perspective", 2025; the ratio sums over all cuts.
    """
    if cut not in ("restart", "uniform", "priority"):
        raise ValueError(f"unknown cut {cut!r}; 'restart', 'uniform' or 'priority'")
    before = begin(trie, n, rng, steps=steps)
    rule = rule or _masked
    first = run_round(trie, [guided(trie, rule, rng) for _ in range(1 if chain else n)])
    alive = [d for d in first if d.tokens is not None]
    z = log_mean(np.array([d.log_weight for d in alive]), len(first))
    out = alive
    if chain:
        out = list(alive)
        while alive and len(out) < n:
            alive = step(trie, alive, cut, rng, rule)
            out += alive
    else:
        for _ in range(steps):
            out = step(trie, out, cut, rng, rule)
    given = {"families": np.cumsum([a is not b for a, b in zip(out, [None, *out], strict=False)])} if chain else {}
    missing = (1 if chain else n) - len([d for d in first if d.tokens is not None])
    return collect(
        "markov", "asymptotic", trie, before, out, log_weights=np.zeros(len(out)), z=z,
        failure=all_died(trie, first) or (f"{missing} of {n} chains found no text to begin with" if missing else None), **given,
    )  # fmt: skip


def step(trie: PrefixTrie, states: list[Draw], cut: Cut, rng: np.random.Generator, rule: Rule) -> list[Draw]:
    """One step of every chain."""
    walks = []
    for w in states:
        at = draw(cuts(w, cut, rule), rng)
        walks.append(from_node(trie, w.path[at][0], w.path[:at], rule, rng))
    proposed = run_round(trie, walks)
    out = []
    for old, new in zip(states, proposed, strict=True):
        if new.tokens is None:
            out.append(old)
            continue
        new = _whole(new)
        ratio = new.log_p + log_proposal(new, old, cut, rule) - old.log_p - log_proposal(old, new, cut, rule)
        out.append(new if math.log(1.0 - rng.random()) < ratio else old)
    return out


def cuts(w: Draw, cut: Cut, rule: Rule) -> Floats:
    """float64[len(w)]: the probability of cutting before each token."""
    n = len(w.path)
    if cut == "uniform":
        return np.full(n, 1.0 / n)
    weights = np.zeros(n)
    if cut == "priority":
        weights = np.array([math.expm1(_entropy(rule(node))) for node, _ in w.path])
    if weights.sum() <= 0.0:
        weights[0] = 1.0
    return weights / weights.sum()


def log_proposal(w: Draw, other: Draw, cut: Cut, rule: Rule) -> float:
    """log Q(other | w)."""
    common = 0
    assert w.tokens is not None
    assert other.tokens is not None
    while common < min(len(w.tokens), len(other.tokens)) - 1 and w.tokens[common] == other.tokens[common]:
        common += 1
    steps = np.array([_log_share(rule(node), k) for node, k in other.path])
    suffix = steps[::-1].cumsum()[::-1][: common + 1]  # log q(other[i:])
    with np.errstate(divide="ignore"):
        return float(np.logaddexp.reduce(np.log(cuts(w, cut, rule)[: common + 1]) + suffix))


def _log_share(weights: Floats, k: int) -> float:
    return float(np.log(weights[k] / weights.sum()))


def _masked(node: Node) -> Floats:
    return node.p


def _entropy(weights: Floats) -> float:
    q = weights[weights > 0] / weights.sum()
    return max(0.0, float(-(q * np.log(q)).sum()))


def _whole(d: Draw) -> Draw:
    """Sums over the whole path instead of the part that was regenerated."""
    p = sum(float(np.log(node.p[k])) for node, k in d.path)
    return Draw(d.tokens, d.path, p)
