"""Faithful sampling: exact, weighted and certified draws from a language model given a constraint.

    trie = PrefixTrie(Target(model, automaton, max_tokens))      one for each prompt, constraint and setting
    result = run("cars", trie, 100, np.random.default_rng(0))    or the function of that name, from its module

Each sampler is a plain function (trie, n, rng, ...) -> Samples in a module with its algorithm; `registry` lists them. What
holds for all of them: the target is P* of the trie's `Target` (with a critic, its product) and the support is what
`Target.support` says; costs are counted in `Counts`, and a prefix that the trie holds is never evaluated again; what could
not be drawn is in `Samples.failure`, and only arguments out of range raise. Each docstring adds its law, cost and source.
"""

from decoders.sampling.experts import Expert
from decoders.sampling.registry import SAMPLERS, run
from decoders.sampling.result import Samples, SamplingError, ZeroMassError
from decoders.sampling.target import Counts, Target
from decoders.sampling.trie import PrefixTrie
from decoders.sampling.values import LookAhead

__all__ = [
    "SAMPLERS", "Counts", "Expert", "LookAhead", "PrefixTrie", "Samples", "SamplingError", "Target", "ZeroMassError",
    "run",
]  # fmt: skip
