"""Every sampler by its name, and look-ahead for those that take a proposal.

| name       | law                        | needs                                    |
|------------|----------------------------|------------------------------------------|
| masked     | weighted                   |                                          |
| asap       | weighted, learning         |                                          |
| rejection  | exact                      | Z not small                              |
| cars       | exact, learning            | branches that close                      |
| distinct   | exact without replacement  | the same; brackets Z                     |
| markov     | asymptotic                 | weights of bounded ratio                 |
| awrs       | weighted                   | a black-box check                        |
| smc        | weighted                   | critics, checks or a twist worth its use |
| lookahead  | weighted, learning         |                                          |
| arithmetic | weighted                   |                                          |
| controlled | weighted                   | a surrogate that is near the model       |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from decoders.sampling.arithmetic import arithmetic
from decoders.sampling.awrs import awrs
from decoders.sampling.control import controlled
from decoders.sampling.lookahead import lookahead
from decoders.sampling.markov import markov
from decoders.sampling.masked import asap, masked
from decoders.sampling.rejection import cars, distinct, rejection
from decoders.sampling.result import Samples
from decoders.sampling.smc import smc
from decoders.sampling.trie import PrefixTrie
from decoders.sampling.values import LookAhead
from grammars.errors import UnsupportedFeature

Sampler = Callable[..., Samples]
SAMPLERS: Mapping[str, Sampler] = MappingProxyType({
    f.__name__: f for f in (masked, asap, rejection, cars, distinct, markov, awrs, smc, lookahead, arithmetic, controlled)
})  # fmt: skip


def run(
    sampler: str | Sampler, trie: PrefixTrie, n: int, rng: np.random.Generator, *, look_ahead: bool = False,
    frontier: int = 0, **options: Any,
) -> Samples:  # fmt: skip
    """n samples from the sampler of that name, or from a function called like one.

    look_ahead: for smc a twist, for markov and arithmetic a proposal, from the trie's values and a surrogate of its
    statistics, frozen. frontier: unvisited prefixes of the largest mass to evaluate first. Raises UnsupportedFeature
    for an unknown name.
    """
    if isinstance(sampler, str) and sampler not in SAMPLERS:
        raise UnsupportedFeature(f"unknown sampler {sampler!r}; one of {', '.join(SAMPLERS)}")
    if n < 1:
        raise ValueError("at least one sample")
    draw = SAMPLERS[sampler] if isinstance(sampler, str) else sampler
    before = trie.counts.copy()
    if frontier:
        trie.expand_frontier(frontier)
    if look_ahead:
        ahead = LookAhead(trie)
        options |= {"twist": ahead.log_values} if draw is smc else {"rule": ahead.rule}
    result = draw(trie, n, rng, **options)
    return result.with_counts(trie.counts.since(before))
