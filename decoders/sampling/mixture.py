"""Walks by several rules at once, with the weight of their mixture, and how large a share each rule deserves.

    choose rule j with probability a_j, walk by it;      q(x) = sum over j of  a_j q_j(x),   weight p(x) / q(x)

Every rule's probability of the text counts, whichever rule drew it (the balance heuristic: Veach and Guibas 1995), so no
weight is more than 1 / a_j times that under rule j alone (defensive mixtures: Hesterberg 1995). Shares are fitted to the
draws of the past by expectation-maximisation of their weighted log-likelihood under the mixture, which lowers
KL(target || q) (Cappe, Douc, Guillin, Marin and Robert 2008); given the past they are fixed, so that weights stay proper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from decoders.sampling.graph import Floats
from decoders.sampling.trie import PrefixTrie, Walk, draw
from decoders.sampling.walks import Draw, Rule


def mixed(trie: PrefixTrie, rules: Sequence[Rule], shares: Floats, rng: np.random.Generator) -> Walk[Draw]:
    """A walk by one of the rules, drawn by its share; log_q is of the mixture, log_qs: float64[rules], of each rule alone.

    Rules weigh only tokens whose future may have mass (log_bound > -inf); where a rule weighs none of these, its
    probability of the text is 0.
    """
    node, out = trie.root, Draw(None, [])
    chosen = out.rule = draw(shares, rng)
    logs = out.log_qs = np.zeros(len(rules))
    with np.errstate(divide="ignore"):
        while True:
            alive = node.log_bound > -np.inf
            weights = [np.where(alive, rule(node), 0.0) for rule in rules]
            if not weights[chosen].any():
                out.path.append((node, len(alive)))
                return out
            k = draw(weights[chosen], rng)
            trie.counts.token_steps += 1
            out.path.append((node, k))
            out.log_p += float(np.log(node.p[k]))
            logs += np.log([w[k] / w.sum() if w[k] > 0.0 else 0.0 for w in weights])
            if not trie.passes(node, k):
                return out
            if k >= node.ends:
                out.tokens = (*node.prefix(), int(node.tokens[k]))
                out.log_q = float(np.logaddexp.reduce(logs + np.log(shares)))
                return out
            child = node.children.get(k)
            node = child if child is not None else (yield node, k)


@dataclass(slots=True)
class Shares:
    """How often each rule walks, learnt from its draws. prior: before any draw. least: no share falls below it.

    now: float64[rules], sum 1. The fit says which share of the target each rule explains; a rule then gets model calls in
    that proportion, so that one whose walks are cheap walks more often.
    """

    prior: Floats
    least: float
    now: Floats = field(init=False)
    _draws: list[Draw] = field(default_factory=list)
    _walks: Floats = field(init=False)
    _calls: Floats = field(init=False)
    _due: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.least <= 1.0 / len(self.prior):
            raise ValueError(f"the least share of {len(self.prior)} rules must be above 0 and at most "
                             f"1/{len(self.prior)}, not {self.least}")  # fmt: skip
        self._walks, self._calls = np.zeros(len(self.prior)), np.zeros(len(self.prior))
        self.now = self._bounded(self.prior)

    def learn(self, draws: Sequence[Draw], born: int) -> None:
        """Take in the draws of the round `born` of a trie. Fits again when their number has grown by a tenth."""
        for d in draws:
            self._walks[d.rule] += 1.0
            self._calls[d.rule] += sum(node.born == born for node, _ in d.path)
        self._draws += draws
        if len(self._draws) >= self._due:
            self._due = 1.1 * len(self._draws)
            # the later half: values have learnt since
            part = fitted(self._draws[len(self._draws) // 2 :], self.prior)
            mean = max(1.0, float(self._calls.sum())) / float(self._walks.sum())
            part /= (self._calls + mean) / (self._walks + 1.0)
            self.now = self._bounded(part / part.sum())

    def _bounded(self, shares: Floats) -> Floats:
        return self.least + (1.0 - self.least * len(shares)) * shares


def fitted(draws: Sequence[Draw], prior: Floats, worth: float = 2.0) -> Floats:
    """float64[rules], sum 1: the mixture nearest to the target that the draws argue for.

    prior: as good as so many draws. Draws count by the square roots of their weights: the weights themselves may leave the
    word to one draw. Cost: O(draws x rules).
    """
    known = [d for d in draws if d.tokens is not None]
    shares = prior
    if known:
        logs = np.array([d.log_qs for d in known])
        likely = np.exp(logs - logs.max(axis=1, keepdims=True))
        log_w = np.array([d.log_weight for d in known])
        w = np.exp(0.5 * (log_w - log_w.max()))
        w *= w.sum() / (w @ w)  # together worth their effective number
        for _ in range(30):
            part = likely * shares
            shares = w @ (part / part.sum(axis=1, keepdims=True)) + worth * prior
            shares = shares / shares.sum()
    return shares
