"""Arithmetic sampling: n draws that spread evenly over the proposal instead of falling where they will.

Every text owns an interval of [0, 1) as long as its probability under the proposal. n code points at equal distances with
one common random shift pick n texts: each draw has the proposal's law, together they cover it evenly.

Law: each draw is properly weighted; the draws of one shift depend on each other, so standard errors come from independent
shifts only. Once 40 bits of a point are used up, it goes on with fresh random bits (its law stays, its evenness ends).
"""

from __future__ import annotations

import numpy as np

from decoders.sampling.masked import all_died
from decoders.sampling.result import Samples, log_mean
from decoders.sampling.target import log
from decoders.sampling.trie import PrefixTrie, Walk
from decoders.sampling.walks import Draw, Rule, begin, collect, run_round


def arithmetic(
    trie: PrefixTrie, n: int, rng: np.random.Generator, *, shifts: int = 4, rule: Rule | None = None
) -> Samples:
    """n draws (rounded up to a multiple of `shifts`), weights p/q.

    rule: proposal weights, not changed while it runs; default the masks, `LookAhead.rule` of a trie for its values as they
    are. shifts: independent random shifts, of which standard errors are made. Law: weighted; draws of one shift depend on each
    other. Cost: as `masked`, all walks in lockstep. Source: Vilnis et al., "Arithmetic sampling", 2023.
    """
    before = begin(trie, n, rng, shifts=shifts)
    rule = rule or (lambda node: node.p)
    each = -(-n // shifts)
    walks = []
    for _ in range(shifts):
        shift = rng.random()
        walks += [_coded(trie, rule, (i + shift) / each, rng) for i in range(each)]
    draws = run_round(trie, walks)
    logs = np.array([d.log_weight for d in draws]).reshape(shifts, each)
    return collect(
        "arithmetic", "weighted", trie, before, draws, z=log_mean(np.logaddexp.reduce(logs, axis=1) - log(each), shifts),
        failure=all_died(trie, draws),
    )  # fmt: skip


def _coded(trie: PrefixTrie, rule: Rule, u: float, rng: np.random.Generator) -> Walk[Draw]:
    node, out, width = trie.root, Draw(None, []), 1.0
    while True:
        heights = rule(node).cumsum()
        total = float(heights[-1]) if len(heights) else 0.0
        if total <= 0.0:
            out.path.append((node, len(heights)))
            return out
        k = int(np.searchsorted(heights, u * total, side="right"))
        if k >= len(heights):
            k = int(np.flatnonzero(rule(node))[-1])
        low = float(heights[k - 1]) if k else 0.0
        share = (float(heights[k]) - low) / total
        trie.counts.token_steps += 1
        out.path.append((node, k))
        out.log_p += float(np.log(node.p[k]))
        out.log_q += float(np.log(share))
        if not trie.passes(node, k):
            return out
        if k >= node.ends:
            out.tokens = (*node.prefix(), int(node.tokens[k]))
            return out
        width *= share
        u = min(max((u * total - low) / (share * total), 0.0), 1.0 - 2**-53)
        if width < 2**-40:
            u, width = rng.random(), 1.0
        child = node.children.get(k)
        node = child if child is not None else (yield node, k)
