"""The walks that samplers are made of, and the draws they return.

A walk goes from the root of the trie to an end token, choosing a token at each node by a *rule*, and keeps two sums:
log p of what it took under the processed model and log q, the probability with which it took it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from decoders.sampling.graph import Floats
from decoders.sampling.result import Estimate, Law, Samples, certified, log_mean
from decoders.sampling.target import Counts, Prefix
from decoders.sampling.trie import Node, Path, PrefixTrie, Request, Walk, draw, lockstep, pick, tilt


def begin(trie: PrefixTrie, n: int, rng: np.random.Generator, **counts: int | None) -> Counts:
    """The counts before a sampler's work, once its arguments are what they should be; else ValueError, and nothing was done.

    counts: other whole numbers of the sampler by name; at least 1 each, and max_rejects and max_model_calls may be None.
    """
    if not isinstance(trie, PrefixTrie):
        raise ValueError(f"samplers draw from a PrefixTrie, not from {type(trie).__name__}: PrefixTrie(Target(...))")
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a numpy.random.Generator, not {type(rng).__name__}: np.random.default_rng(seed)")
    for name, value in {"the number of samples": n, **counts}.items():
        if value is None and name in ("max_rejects", "max_model_calls"):
            continue
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
    return trie.counts.copy()


Rule = Callable[[Node], Floats]
"""rule(node): float64[k] weights by which the walk chooses, 0 only where the text is known not to go on."""


@dataclass(slots=True)
class Draw:
    """One walk. tokens: None if it failed. path: (node, index) from the root. log_p, log_q: sums along it.

    Of a mixture of rules: rule, the one that was followed, log_qs, log q of each, and log_q, that of the mixture.
    """

    tokens: Prefix | None
    path: Path
    log_p: float = 0.0
    log_q: float = 0.0
    rule: int = 0
    log_qs: Floats | None = None

    @property
    def log_weight(self) -> float:
        return self.log_p - self.log_q if self.tokens is not None else float("-inf")


def guided(trie: PrefixTrie, rule: Rule, rng: np.random.Generator) -> Walk[Draw]:
    """Choose by the rule's weights at every node; fails where they are all 0 or the check refuses the token."""
    return from_node(trie, trie.root, [], rule, rng)


def from_node(trie: PrefixTrie, node: Node, path: Path, rule: Rule, rng: np.random.Generator) -> Walk[Draw]:
    """`guided` from a node on; `path` leads to it, and the sums count only what is new."""
    out = Draw(None, list(path))
    while True:
        weights = rule(node)
        total = float(weights.sum())
        if total <= 0.0:
            out.path.append((node, len(weights)))
            return out
        k = draw(weights, rng)
        trie.counts.token_steps += 1
        out.path.append((node, k))
        out.log_p += float(np.log(node.p[k]))
        out.log_q += float(np.log(weights[k] / total))
        if not trie.passes(node, k):
            return out
        if k >= node.ends:
            out.tokens = (*node.prefix(), int(node.tokens[k]))
            return out
        child = node.children.get(k)
        node = child if child is not None else (yield node, k)


def adaptive(trie: PrefixTrie, learning: bool, rng: np.random.Generator) -> Walk[Draw]:
    """One try of rejection: raw p at nodes made in this round (or always, without learning), p times bound at others.

    With bounds frozen during the round, a text x comes out with probability p(x) / bound(root).
    """
    node, out = trie.root, Draw(None, [])
    while True:
        known = learning and node.born < trie.round
        weights = tilt(node.p, node.log_bound) if known else node.p
        total = float(weights.sum()) if known else 1.0
        k = pick(weights, rng.random() * total)
        trie.counts.token_steps += 1
        if known and k == len(weights) and total > 0.0:
            k = int(np.flatnonzero(weights)[-1])  # the product was rounded up to the top of the stack
        out.path.append((node, k))
        if k == len(weights) or not trie.passes(node, k):
            return out
        out.log_p += float(np.log(node.p[k]))
        if k >= node.ends:
            out.tokens = (*node.prefix(), int(node.tokens[k]))
            return out
        child = node.children.get(k)
        node = child if child is not None else (yield node, k)


def run_round(trie: PrefixTrie, walks: Sequence[Walk[Draw]]) -> list[Draw]:
    """Run walks over bounds that stay as they are, then teach the trie what they saw. In the order of the walks."""
    draws = lockstep(trie, walks)
    trie.settle()
    return draws


def collect(
    sampler: str, law: Law, trie: PrefixTrie, before: Counts, draws: Sequence[Draw], **given: Any
) -> Samples:  # fmt: skip
    """The record of a list of draws. Weights are p/q unless `log_weights` (of the draws that succeeded) is given."""
    done = [d for d in draws if d.tokens is not None]
    sequences = tuple(d.tokens for d in done if d.tokens is not None)
    log_prob = np.array([d.log_p for d in done])
    weights = given.pop("log_weights", None)
    weights = np.array([d.log_weight for d in done]) if weights is None else weights
    count = given.pop("count", len(draws))
    given_z = given.pop("z", None)
    z: Estimate = log_mean(weights, count) if given_z is None else given_z
    scores = np.array(given.pop("log_scores", np.zeros(len(done))))  # of a critic, a factor of the target
    unbiased = given.pop("log_z_unbiased", None)
    if unbiased is None and law == "weighted":
        unbiased = float("-inf") if z.log_z is None else z.log_z
    bracket, covered = certified(sequences, log_prob + scores, given.pop("log_upper", trie.root.log_future))
    return Samples(
        sampler, law, trie.target.support, sequences, weights, log_prob, tuple(_masses(d) for d in done), count,
        z.log_z, z.stderr, bracket, covered, trie.counts.since(before), z.freedom, z.skewness, z.evidence,
        log_z_unbiased=unbiased, **given,
    )  # fmt: skip


def _masses(d: Draw) -> Floats:
    return np.log(np.array([node.alpha for node, _ in d.path]))


def batches(n: int, size: int) -> list[int]:
    """n split into batches of `size` and a rest."""
    return [min(size, n - at) for at in range(0, n, size)]


__all__ = ["Draw", "Request", "Rule", "adaptive", "batches", "begin", "collect", "from_node", "guided", "run_round"]
