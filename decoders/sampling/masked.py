"""Masked sampling with its weights, and adaptive approximate sampling (ASAp), weighted correctly.

    masked:  q(a|x) = p(a|x) / alpha(x)                               weight  prod alpha(x)
    asap:    q(a|x) = p(a|x) bound(xa) / bound(x), bounds of all draws before
             weight  bound(root) prod over nodes first visited alpha(x)

Law: draws are properly weighted, E[weight | past] = Z, so the mean weight estimates Z without bias and weighted means are
consistent. Unweighted, masking is a different distribution, and ASAp's draws approach the target only in the limit.
"""

from __future__ import annotations

import numpy as np

from decoders.sampling.result import NO_MASS, Samples
from decoders.sampling.trie import PrefixTrie, tilt
from decoders.sampling.walks import Draw, Rule, batches, begin, collect, guided, run_round


def masked(trie: PrefixTrie, n: int, rng: np.random.Generator, *, batch: int = 16) -> Samples:
    """n independent masked draws with importance weights p/q.

    batch: walks that go in lockstep; changes no law. Law: weighted, E[weight] = Z. Cost: one model call for each prefix not
    seen before. Source: importance sampling with locally constrained decoding as the proposal.
    """
    return _weighted("masked", lambda node: node.p, trie, n, rng, batch)


def asap(trie: PrefixTrie, n: int, rng: np.random.Generator, *, batch: int = 1) -> Samples:
    """n draws whose proposals learn from the draws before them.

    batch: draws that share one state of knowledge (bounds change at the end of a round only). Law: weighted, E[weight | past]
    = Z; not independent. Cost: as `masked`. Source: Park, Wang, Berg-Kirkpatrick, Polikarpova and D'Antoni, "Grammar-aligned
    decoding", 2024, whose draws carry no weights.
    """
    return _weighted("asap", lambda node: tilt(node.p, node.log_bound), trie, n, rng, batch)


def _weighted(name: str, rule: Rule, trie: PrefixTrie, n: int, rng: np.random.Generator, batch: int) -> Samples:
    before = begin(trie, n, rng, batch=batch)
    draws: list[Draw] = []
    for size in batches(n, batch):
        draws += run_round(trie, [guided(trie, rule, rng) for _ in range(size)])
    return collect(name, "weighted", trie, before, draws, failure=all_died(trie, draws))


def all_died(trie: PrefixTrie, draws: list[Draw]) -> str | None:
    """What to report if no draw reached the end of a text."""
    if any(d.tokens is not None for d in draws):
        return None
    return NO_MASS if trie.root.log_future == -np.inf else f"all {len(draws)} draws died before the end of a text"
