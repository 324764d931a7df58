"""Control variates: an estimate of Z with the noise of a surrogate, whose own normaliser is known, taken out of it.

    Z  =  mean of  w(x) - beta (c(x) - C)      w = p / q,  c = u / q,  C = E_q[c] by backward dynamic programming

u is the surrogate's probability of the text. beta is the regression of w on c in the *other* half of the draws, so that the
estimate is unbiased for any u; fitted on the same half it would be consistent only. Gains what the surrogate explains of
the weights: everything for a model that is the surrogate, little for one that is far from it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from decoders.sampling.graph import Floats
from decoders.sampling.masked import all_died
from decoders.sampling.result import Estimate, Samples, degrees_of_freedom, skewness
from decoders.sampling.surrogate import Surrogate
from decoders.sampling.trie import PrefixTrie, log_dot
from decoders.sampling.walks import Rule, begin, collect, guided, run_round
from grammars.errors import UnsupportedFeature


def controlled(
    trie: PrefixTrie, n: int, rng: np.random.Generator, *, rule: Rule | None = None, kind: str = "unigram", pilot: int = 20
) -> Samples:  # fmt: skip
    """n masked draws (or by `rule`, frozen), their weights as they are, and log Z with the surrogate's noise taken out.

    kind: "unigram", "bigram" or "hmm", fitted to what the trie knows after `pilot` masked draws that are not counted. Law:
    weighted. Cost: as `masked`, and one backward pass of the surrogate. Raises UnsupportedFeature where C is not known: under a
    truncation, a check, or a graph beyond its limits; ValueError for another kind. Source: control variates with an
    independent coefficient (Glynn and Szechtman 2002).
    """
    before = begin(trie, n, rng, pilot=pilot)
    target = trie.target
    if target.graph.distance is None or target.check is not None:
        raise UnsupportedFeature("control variates need the whole state graph, and no black-box check")
    if kind not in ("unigram", "bigram", "hmm"):
        raise ValueError(f"unknown surrogate {kind!r}; 'unigram', 'bigram' or 'hmm'")
    rule = rule or (lambda node: node.p)
    run_round(trie, [guided(trie, lambda node: node.p, rng) for _ in range(pilot)])
    surrogate = Surrogate(trie, kind)
    draws = run_round(trie, [guided(trie, rule, rng) for _ in range(n)])
    if any(
        len(node.tokens) < len(target.graph.allowed(node.state, node.remaining)) for d in draws for node, _ in d.path
    ):
        raise UnsupportedFeature("control variates need a model without truncation: its support is the surrogate's")
    result = collect("controlled", "weighted", trie, before, draws, failure=all_died(trie, draws))
    if len(result) < 4:
        return result
    log_c = np.array([surrogate.log_prob(d.path) - d.log_q if d.tokens is not None else -np.inf for d in draws])
    log_w = np.array([d.log_weight for d in draws])
    log_mean_c = log_dot(surrogate.at_root(trie.root), surrogate.log_futures(trie.root))
    z = _crossed(log_w, log_c, log_mean_c, rng)
    return replace(result, **z._asdict(), log_z_unbiased=z.log_z)


def _crossed(log_w: Floats, log_c: Floats, log_mean_c: float, rng: np.random.Generator) -> Estimate:
    """Each half with the coefficient of the other."""
    top, scale = float(log_w.max()), float(max(log_c.max(), log_mean_c))
    w, c, mean_c = np.exp(log_w - top), np.exp(log_c - scale), float(np.exp(log_mean_c - scale))
    order = rng.permutation(len(w))
    halves = order[: len(w) // 2], order[len(w) // 2 :]
    values = np.empty(len(w))
    for own, other in (halves, halves[::-1]):
        spread = float(c[other].var())
        beta = (
            float(((w[other] - w[other].mean()) * (c[other] - c[other].mean())).mean()) / spread if spread > 0 else 0.0
        )
        values[own] = w[own] - beta * (c[own] - mean_c)
    mean = float(values.mean())
    if mean <= 0.0:
        return Estimate()  # too few draws for the correction they got
    stderr = float(values.std(ddof=1) / np.sqrt(len(values)) / mean)
    steps = values - mean
    return Estimate(top + float(np.log(mean)), stderr, degrees_of_freedom(steps) - 1, skewness(steps))
