"""Values of a trie's prefixes: estimates of their futures that are exact sums where the trie has been.

    V(x) = sum over allowed a of p(a|x) V(xa)      at the trie's nodes
    V(x) = psi(q, r) ^ power                       beyond them, from a surrogate keyed by automaton state and length
    V(x) = 0                                       where the trie's bound is 0: known to fail, or taken out

So errors of the surrogate matter only beyond the trie, and with every node less. It is refitted as the trie grows, and where
asked for, the power with it: a surrogate that promised futures which the nodes' own values then did not keep is trusted less.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from decoders.sampling.graph import Floats
from decoders.sampling.surrogate import Surrogate
from decoders.sampling.trie import Node, Path, PrefixTrie, log_dot, tilt


@dataclass(slots=True)
class LookAhead:
    """Values of a trie's nodes; kept between calls on the same trie, it goes on learning.

    kind: of the surrogate. calibrate: fit the power of psi, by which it agrees best with the nodes' values; for mixtures,
    not for twists: it parts what was visited from what was not, and without other rules that makes heavy weights. first,
    growth: the surrogate is fitted at `first` nodes, then whenever their number has grown by `growth`.
    """

    trie: PrefixTrie
    kind: str = "state"
    calibrate: bool = False
    first: int = 24
    growth: float = 1.5
    surrogate: Surrogate = field(init=False)
    power: float = field(init=False, default=1.0)
    _due: float = field(init=False)

    def __post_init__(self) -> None:
        self.refit()
        self._due = self.first

    def rule(self, node: Node) -> Floats:
        """p times V: the weights by which a walk chooses."""
        return tilt(node.p, self.log_values(node))

    def log_values(self, node: Node) -> Floats:
        """float64[k]: log V after each allowed token; a twist for `smc` while nothing is refitted."""
        if node.log_value is None:
            node.log_value = self.power * self.surrogate.log_futures(node)
        return node.log_value

    def log_value(self, node: Node) -> float:
        """log V of the node's own prefix."""
        return log_dot(node.p, self.log_values(node))

    def refit_if_due(self) -> None:
        """`refit` if the trie has grown by as much as `first` and `growth` say."""
        if self.trie.statistics.count >= self._due:
            self.refit()
            self._due = self.trie.statistics.count * self.growth

    def refit(self) -> None:
        """Fit the surrogate to what the trie holds and value all nodes afresh."""
        graph = self.trie.target.graph
        for q in self.trie.statistics.by_state:
            if graph.edges < 2 * graph.max_edges:
                graph.explore_state(q)
        self.surrogate = Surrogate(self.trie, self.kind)
        psi = {id(node): self.surrogate.log_futures(node) for node in self.trie.nodes}
        self.power = self._fitted_power(psi) if self.calibrate else 1.0
        self._value(psi)

    def revalue(self) -> None:
        """Value all nodes afresh. Cost: O(token probabilities held)."""
        self._value({id(node): self.surrogate.log_futures(node) for node in self.trie.nodes})

    def _value(self, psi: dict[int, Floats]) -> None:
        """Children come after their parents among the nodes, and are valued before them."""
        for node in self.trie.nodes:
            node.log_value = self.power * psi[id(node)]
        for node in reversed(self.trie.nodes):
            self._learn_at(node)

    def _fitted_power(self, psi: dict[int, Floats]) -> float:
        """Least squares of the nodes' own log V, at power 1 beyond them, on log psi, and one average node that says 1.

        The nodes' values depend on the power themselves. One step towards their agreement, from the side of too much
        promise, is meant: values that are too low cost heavy weights, values that are too high cost only model calls.
        """
        value = {key: logs.copy() for key, logs in psi.items()}
        promised, kept = [], []
        for node in reversed(self.trie.nodes):
            logs = value[id(node)]
            logs[node.verdict == 0] = -np.inf
            future = log_dot(node.p, logs)
            if node.parent is not None and future > -np.inf:
                value[id(node.parent)][node.index] = future
                promised.append(float(psi[id(node.parent)][node.index]))
                kept.append(future)
        x, y = np.array(promised), np.array(kept)
        one = float(np.mean(x**2)) if promised else 0.0
        return float(x @ y + one) / float(x @ x + one) if one > 0.0 else 1.0

    def learn(self, path: Path) -> None:
        """Carry what the bounds and the values know at a path's nodes to the root."""
        for node, _ in reversed(path):
            self._learn_at(node)

    def learn_above(self, node: Node | None) -> None:
        """The same for a node and all above it."""
        while node is not None:
            self._learn_at(node)
            node = node.parent

    def _learn_at(self, node: Node) -> None:
        self.log_values(node)[node.log_bound == -np.inf] = -np.inf
        if node.parent is not None and node.held:
            self.log_values(node.parent)[node.index] = self.log_value(node)
