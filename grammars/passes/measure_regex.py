"""How far a regex reaches when its shared parts are written out: what bounds the depth of its derivatives."""

from __future__ import annotations

from grammars.errors import LimitExceeded
from grammars.ir import Op, Table

REACH = 4_000
"""Most that one terminal may reach. Literals and sets of strings count as one, repetitions as one copy."""


class Reaches:
    """Reaches of the nodes of one table, each computed once."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.known: dict[int, int] = {}

    def __call__(self, node: int) -> int:
        """The longest path through `node`: sums over concatenations, the largest of alternatives. O(nodes below it)."""
        stack = [node]
        while stack:
            i = stack[-1]
            below = self.table.operands(i)
            missing = [c for c in below if c not in self.known]
            if i in self.known or not missing:
                stack.pop()
                reaches = [self.known[c] for c in below]
                joined = sum(reaches) if self.table.nodes[i][0] == Op.CONCAT else max(reaches, default=0)
                self.known.setdefault(i, 1 + joined)
            else:
                stack.extend(missing)
        return self.known[node]

    def check(self, node: int, what: str) -> None:
        """LimitExceeded if `node` reaches further than `REACH`."""
        if self(node) > REACH:
            raise LimitExceeded(self(node), REACH, f"length of {what}, its parts written out")
