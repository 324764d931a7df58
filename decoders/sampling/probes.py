"""Probes: single model calls where much of what is left is believed to lie, instead of whole walks that may go elsewhere.

    follow the largest weight of a rule from the root, as long as the path holds a tenth of the rule's mass;
    evaluate the first prefix on it that the trie does not know

Rules take turns: bounds (1 beyond the trie) ask about what the raw model would write, values about what they believe to
end in the language. A text that a sharp model all but spells out is then known after as many calls as it has tokens, and
not only once a walk has hit it; under a flat model no prefix holds so much, and probes stop by themselves.

Law: a probe is a function of the trie and draws nothing, so that walks drawn after it are as properly weighted as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decoders.sampling.trie import Path, PrefixTrie
from decoders.sampling.walks import Rule


@dataclass(slots=True)
class Probes:
    """Probes of one trie by rules in turns. least: the share of a rule's mass that a prefix must hold to be worth a call.

    made: how many there were. full: the trie holds no more nodes, and nothing is probed again.
    """

    trie: PrefixTrie
    rules: Sequence[Rule]
    least: float = 0.1
    made: int = 0
    full: bool = False
    _turn: int = 0

    def step(self) -> Path | None:
        """Evaluate one prefix (one model call) and settle the trie; the path to it, ended by its node, for what learns.

        None if no rule has a prefix that is worth it. Where a black-box check refuses the token it is asked instead, and
        nothing is evaluated. Cost: one descent for each rule asked.
        """
        for _ in self.rules if not self.full else ():
            self._turn = (self._turn + 1) % len(self.rules)
            path = self._largest(self.rules[self._turn])
            if path is not None:
                self.made += 1
                node, k = path[-1]
                if self.trie.passes(node, k):
                    [child] = self.trie.expand([(node, k)])
                    self.full = not child.held
                    path.append((child, 0))
                self.trie.settle()
                return path
        return None

    def _largest(self, rule: Rule) -> Path | None:
        """The path of largest weights down to the first token whose prefix is not known."""
        path: Path = []
        node, share = self.trie.root, 1.0
        while True:
            weights = np.where(node.log_bound > -np.inf, rule(node), 0.0)
            total = float(weights.sum())
            if total <= 0.0:
                return None
            k = int(weights.argmax())
            share *= float(weights[k]) / total
            if k >= node.ends or share < self.least:
                return None
            path.append((node, k))
            child = node.children.get(k)
            if child is None:
                return path
            node = child
