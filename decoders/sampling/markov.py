"""Markov chains over complete texts: cut a text somewhere, let masked sampling finish it, accept or stay.

    propose:  i ~ cut(w);  w' = w[:i] + masked completion
    accept with probability  min(1, p(w') Q(w | w') / (p(w) Q(w' | w)))
    Q(w' | w) = sum over i <= length of the common prefix of  cut_w(i) masked(w'[i:] | w[:i])

The sum runs over every cut that could have led from w to w'; with the cut that was drawn alone the chain has another
limit. Cuts: "restart" (at the start: independence sampling), "uniform", "priority" (by exp(entropy) - 1 of the masked
distribution, which never cuts where one token is forced).
Law: the target in the limit of many steps, and nothing exact before it. Texts that few masked draws reach mix slowly.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from decoders.sampling.graph import Floats
from decoders.sampling.result import Samples, log_mean
from decoders.sampling.trie import Node, PrefixTrie
from decoders.sampling.walks import Draw, collect, from_node, guided, run_round

Cut = Literal["restart", "uniform", "priority"]


def markov(
    trie: PrefixTrie, n: int, rng: np.random.Generator, *, steps: int = 10, cut: Cut = "restart", chain: bool = False
) -> Samples:  # fmt: skip
    """The states of n independent chains after `steps` steps; with chain=True the n successive states of one chain.

    log_z is estimated from the masked draws that begin the chains. Cost: one masked completion a step and chain.
    """
    before = trie.counts.copy()
    first = run_round(trie, [guided(trie, _masked, rng) for _ in range(1 if chain else n)])
    alive = [d for d in first if d.tokens is not None]
    z = log_mean(np.array([d.log_weight for d in alive]), len(first))
    out = alive
    if chain:
        out = list(alive)
        while alive and len(out) < n:
            alive = step(trie, alive, cut, rng)
            out += alive
    else:
        for _ in range(steps):
            out = step(trie, out, cut, rng)
    missing = (1 if chain else n) - len([d for d in first if d.tokens is not None])
    return collect(
        "markov", "asymptotic", trie, before, out, log_weights=np.zeros(len(out)), z=z if z[0] is not None else None,
        failure=f"{missing} chains found no text to begin with" if missing else None,
    )  # fmt: skip


def step(trie: PrefixTrie, states: list[Draw], cut: Cut, rng: np.random.Generator) -> list[Draw]:
    """One step of every chain."""
    walks = []
    for w in states:
        at = int(rng.choice(len(w.path), p=cuts(w, cut)))
        walks.append(from_node(trie, w.path[at][0], w.path[:at], _masked, rng))
    proposed = run_round(trie, walks)
    out = []
    for old, new in zip(states, proposed, strict=True):
        if new.tokens is None:
            out.append(old)
            continue
        new = _whole(new)
        ratio = new.log_p + log_proposal(new, old, cut) - old.log_p - log_proposal(old, new, cut)
        out.append(new if math.log(1.0 - rng.random()) < ratio else old)
    return out


def cuts(w: Draw, cut: Cut) -> Floats:
    """float64[len(w)]: the probability of cutting before each token."""
    n = len(w.path)
    if cut == "uniform":
        return np.full(n, 1.0 / n)
    weights = np.zeros(n)
    if cut == "priority":
        weights = np.array([math.expm1(_entropy(node)) for node, _ in w.path])
    if weights.sum() <= 0.0:
        weights[0] = 1.0
    return weights / weights.sum()


def log_proposal(w: Draw, other: Draw, cut: Cut) -> float:
    """log Q(other | w)."""
    common = 0
    assert w.tokens is not None
    assert other.tokens is not None
    while common < min(len(w.tokens), len(other.tokens)) - 1 and w.tokens[common] == other.tokens[common]:
        common += 1
    steps = np.array([np.log(node.p[k] / node.alpha) for node, k in other.path])
    suffix = steps[::-1].cumsum()[::-1][: common + 1]  # log masked(other[i:])
    weights = cuts(w, cut)[: common + 1]
    return float(np.logaddexp.reduce(np.where(weights > 0, np.log(np.maximum(weights, 1e-300)) + suffix, -np.inf)))


def _masked(node: Node) -> Floats:
    return node.p


def _entropy(node: Node) -> float:
    q = node.p / node.alpha
    return max(0.0, float(-(q * np.log(q)).sum()))


def _whole(d: Draw) -> Draw:
    """Sums over the whole path instead of the part that was regenerated."""
    p = sum(float(np.log(node.p[k])) for node, k in d.path)
    mass = sum(float(np.log(node.alpha)) for node, _ in d.path)
    return Draw(d.tokens, d.path, p, p - mass, mass)
