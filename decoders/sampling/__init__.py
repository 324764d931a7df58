"""Faithful sampling: exact, weighted and certified draws from a language model given a constraint.

trie = PrefixTrie(Target(model, automaton, max_tokens))      one for each prompt, constraint and setting
result = cars(trie, 100, np.random.default_rng(0))           or any other sampler, on the same trie
"""

from decoders.sampling.arithmetic import arithmetic
from decoders.sampling.awrs import awrs
from decoders.sampling.experts import Expert
from decoders.sampling.lookahead import LookAhead, lookahead
from decoders.sampling.markov import markov
from decoders.sampling.masked import asap, masked
from decoders.sampling.rejection import cars, distinct, rejection
from decoders.sampling.result import Samples, SamplingError, ZeroMassError
from decoders.sampling.run import SAMPLERS, run
from decoders.sampling.smc import smc
from decoders.sampling.target import Counts, Target
from decoders.sampling.trie import PrefixTrie

__all__ = [
    "SAMPLERS", "Counts", "Expert", "LookAhead", "PrefixTrie", "Samples", "SamplingError", "Target", "ZeroMassError",
    "arithmetic", "asap", "awrs", "cars", "distinct", "lookahead", "markov", "masked", "rejection", "run", "smc",
]  # fmt: skip
