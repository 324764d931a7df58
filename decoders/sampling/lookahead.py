"""Look-ahead sampling: proposals that know the future, weights that do not trust them.

    V(x) = sum over allowed a of p(a|x) V(xa)      at the trie's nodes
    V(x) = psi(q, r)                               beyond them, from a surrogate keyed by automaton state and length
    draw a proportional to p(a|x) V(xa); the text's weight is p / q

The trie's values are exact sums of what was seen, so errors of the surrogate matter only beyond it, and with every draw
less. The surrogate is refitted as the trie grows; each draw's weight uses the values it was drawn with.

A share of the walks follows the plain masks instead, and weights are of the mixture: where V is badly too low, a weight
is still at most 1 / share times that of masking.

Law: properly weighted, E[weight | past] = Z, for any positive V: never exact, unbiased always.

Without replacement (the default) a found text's value becomes 0, so that no draw is spent twice, and draw t estimates
    mass of f on the texts found before  +  weight_t f(x_t)
whose expectation given the past is Z E*[f] as well. These are averaged with fixed coefficients proportional to t (later
draws know more); every text then has one weight, and when nothing is left Z and all expectations are exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from decoders.sampling.graph import Floats
from decoders.sampling.masked import all_died
from decoders.sampling.result import Samples
from decoders.sampling.surrogate import Surrogate
from decoders.sampling.target import Counts, Prefix, log
from decoders.sampling.trie import Node, Path, PrefixTrie, log_dot, tilt
from decoders.sampling.walks import Draw, collect, defended, run_round


@dataclass(slots=True)
class LookAhead:
    """Values of a trie's nodes; kept between calls on the same trie, it goes on learning.

    kind: of the surrogate. first, growth: the surrogate is fitted at `first` nodes, then whenever their number has
    grown by `growth`.
    """

    trie: PrefixTrie
    kind: str = "state"
    first: int = 24
    growth: float = 1.5
    surrogate: Surrogate | None = None
    _due: float = field(default=0.0)
    _found: dict[Prefix, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.refit()
        self._due = self.first

    def rule(self, node: Node) -> Floats:
        """p times V: the weights by which a walk chooses."""
        return tilt(node.p, self.log_values(node))

    def log_values(self, node: Node) -> Floats:
        """float64[k]: log V after each allowed token; a twist for `smc` while nothing is refitted."""
        if node.log_value is None:
            assert self.surrogate is not None
            node.log_value = self.surrogate.log_futures(node)
        return node.log_value

    def log_value(self, node: Node) -> float:
        """log V of the node's own prefix."""
        return log_dot(node.p, self.log_values(node))

    def refit_if_due(self) -> None:
        if self.trie.statistics.count >= self._due:
            self.refit()
            self._due = self.trie.statistics.count * self.growth

    def refit(self) -> None:
        """Fit the surrogate to what the trie holds and value all nodes afresh, children before parents."""
        graph = self.trie.target.graph
        for q in self.trie.statistics.by_state:
            if graph.edges < 2 * graph.max_edges:
                graph.explore_state(q)
        self.surrogate = Surrogate(self.trie, self.kind)
        for node in self.trie.nodes:
            node.log_value = self.surrogate.log_futures(node)
            if self.trie.target.check is not None:
                node.log_value[node.verdict == 0] = -np.inf
        for path in self._found.values():
            node, k = path[-1]
            self.log_values(node)[k] = -np.inf
        for node in reversed(self.trie.nodes):
            self._lift(node)

    def learn(self, path: Path) -> None:
        """Carry the values of a path's nodes to the root."""
        for node, _ in reversed(path):
            if self.trie.target.check is not None:
                self.log_values(node)[node.verdict == 0] = -np.inf
            self._lift(node)

    def _lift(self, node: Node) -> None:
        if node.parent is not None and node.held:
            self.log_values(node.parent)[node.index] = self.log_value(node)

    def remove(self, d: Draw) -> None:
        """Value a found text 0 from now on. A text below a node that is not held cannot be removed and may return."""
        assert d.tokens is not None
        node, k = d.path[-1]
        if node.held:
            self._found[d.tokens] = d.path
            self.log_values(node)[k] = -np.inf

    def restore(self) -> None:
        """Put all removed texts back."""
        for path in self._found.values():
            node, k = path[-1]
            self.log_values(node)[k] = 0.0
        paths = list(self._found.values())
        self._found.clear()
        for path in paths:
            self.learn(path)


def lookahead(
    trie: PrefixTrie, n: int, rng: np.random.Generator, *, replacement: bool = False, kind: str = "state",
    batch: int = 1, max_model_calls: int | None = None, defence: float = 0.05,
) -> Samples:  # fmt: skip
    """n draws (fewer once nothing is left, or at max_model_calls, which biases by stopping), properly weighted.

    batch: draws that share one state of knowledge. defence: share of walks that follow the plain masks instead of the
    values; every weight is of the mixture, and so at most 1 / defence times what masks would give it. In [0, 1).
    """
    before = trie.counts.copy()
    ahead = LookAhead(trie, kind)
    rounds: list[list[Draw]] = []
    trace: list[dict[str, float]] = []
    count, exhausted = 0, False
    limit = float("inf") if max_model_calls is None else before.model_calls + max_model_calls
    try:
        while count < n and trie.counts.model_calls < limit:
            ahead.refit_if_due()
            if ahead.log_value(trie.root) == -math.inf:
                exhausted = True
                break
            draws = run_round(trie, [defended(trie, ahead.rule, defence, rng) for _ in range(min(batch, n - count))])
            for d in draws:
                if d.tokens is not None and not replacement:
                    ahead.remove(d)
                ahead.learn(d.path)
            rounds.append(draws)
            count += len(draws)
            value = ahead.log_value(trie.root)
            trace.append({"draws": count, "log_value": value, "log_bound": trie.root.log_future})
    finally:
        ahead.restore()
    drawn = [d for draws in rounds for d in draws]
    if replacement:
        return collect("lookahead", "weighted", trie, before, drawn, failure=all_died(trie, drawn), trace=tuple(trace))
    return _without_replacement(trie, before, rounds, drawn, exhausted, tuple(trace))


def _without_replacement(
    trie: PrefixTrie, before: Counts, rounds: list[list[Draw]], drawn: list[Draw], exhausted: bool,
    trace: tuple[dict[str, float], ...],
) -> Samples:  # fmt: skip
    """Average the draws' estimates: coefficient proportional to the draw's round; see the module docstring.

    A text below a node that is not held was not removed: it counts for its own draws only, as often as it is drawn.
    """
    coefficient = np.array([float(t + 1) for t, draws in enumerate(rounds) for _ in draws])
    coefficient /= coefficient.sum() if len(coefficient) else 1.0
    weights: dict[Prefix, float] = {}  # logs, of the average's terms
    texts: dict[Prefix, Draw] = {}
    estimates = np.full(len(drawn), -np.inf)
    found, later, at = -math.inf, 1.0, 0  # log mass found before the round; coefficients of the draws after it
    for draws in rounds:
        own = coefficient[at : at + len(draws)]
        later = max(0.0, later - float(own.sum()))
        mass = found
        for d, c in zip(draws, own.tolist(), strict=True):
            estimates[at] = found
            at += 1
            if d.tokens is None:
                continue
            estimates[at - 1] = np.logaddexp(found, d.log_weight)
            terms = [weights.get(d.tokens, -math.inf), math.log(c) + d.log_weight]
            if d.tokens not in texts and d.path[-1][0].held:
                mass = float(np.logaddexp(mass, d.log_p))
                terms.append(log(later) + d.log_p)
            texts.setdefault(d.tokens, d)
            weights[d.tokens] = float(np.logaddexp.reduce(terms))
        found = mass
    if exhausted:
        weights = {x: d.log_p for x, d in texts.items()}
    log_weights = np.array([weights[x] for x in texts])
    return collect(
        "lookahead", "weighted", trie, before, list(texts.values()), count=len(drawn), log_weights=log_weights,
        z=_average(coefficient, estimates, log_weights, exhausted), failure=all_died(trie, drawn), trace=trace,
    )  # fmt: skip


def _average(
    coefficient: Floats, estimates: Floats, log_weights: Floats, exhausted: bool
) -> tuple[float | None, float | None]:
    """(log Z, standard error). The estimates are a martingale's steps: their squares add up."""
    if not len(log_weights):
        return None, None
    log_z = float(np.logaddexp.reduce(log_weights))
    if exhausted:
        return log_z, 0.0
    error = float(np.sqrt(coefficient**2 @ np.expm1(estimates - log_z) ** 2))
    return log_z, error if len(estimates) > 1 else None
