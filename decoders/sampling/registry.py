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

import inspect
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
from decoders.sampling.walks import begin
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

    look_ahead: for smc a twist, for awrs, markov, arithmetic and controlled a proposal, from the trie's values and a surrogate of
    its statistics, frozen. frontier: unvisited prefixes of the largest mass to evaluate first. Raises UnsupportedFeature
    for an unknown name and for options that the sampler has not, ValueError for values out of their range.
    """
    if isinstance(sampler, str) and sampler not in SAMPLERS:
        raise UnsupportedFeature(f"unknown sampler {sampler!r}; one of {', '.join(SAMPLERS)}")
    draw = SAMPLERS[sampler] if isinstance(sampler, str) else sampler
    if not callable(draw):
        raise UnsupportedFeature(f"a sampler is a name or a function called like one, not {sampler!r}")
    before = begin(trie, n, rng, frontier=frontier or 1)
    if draw in SAMPLERS.values():
        _refuse_unknown(draw, options, look_ahead)
    if frontier:
        trie.expand_frontier(frontier)
    if look_ahead:
        ahead = LookAhead(trie)
        options |= {"twist": ahead.log_values} if draw is smc else {"rule": ahead.rule}
    result = draw(trie, n, rng, **options)
    return result.with_counts(trie.counts.since(before))


def _refuse_unknown(draw: Sampler, options: Mapping[str, Any], look_ahead: bool) -> None:
    own = [p.name for p in inspect.signature(draw).parameters.values() if p.kind is p.KEYWORD_ONLY]
    unknown = [name for name in options if name not in own]
    if unknown:
        raise UnsupportedFeature(f"{draw.__name__} has no option {', '.join(unknown)}; its own are {', '.join(own)}")
    if look_ahead and not {"twist", "rule"} & {*own}:
        raise UnsupportedFeature(
            f"{draw.__name__} takes no look_ahead=; smc, awrs, markov, arithmetic and controlled do"
        )
    if look_ahead and {"twist", "rule"} & {*options}:
        raise ValueError("look_ahead= and a twist= or rule= of one's own: one of them")
