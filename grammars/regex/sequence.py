"""Sequences of regex nodes, with what is true of them at once."""

from __future__ import annotations

from collections.abc import Iterable

from grammars.regex import charset
from grammars.regex.syntax import Chars, Concat, Lookahead, Node, Ranges


def sequence(parts: Iterable[Node]) -> Node:
    """The parts after one another, where a lookahead at one character is a condition on the character that follows it."""
    made: list[Node] = []
    for part in parts:
        while made and isinstance(part, Chars):
            look = made[-1]
            seen = _character(look.body) if isinstance(look, Lookahead) else None
            if seen is None or not isinstance(look, Lookahead):
                break
            part = Chars(charset.intersection(part.ranges, charset.complement(seen) if look.negated else seen))
            made.pop()
        made.append(part)
    return made[0] if len(made) == 1 else Concat(tuple(made))


def _character(node: Node) -> Ranges | None:
    """The characters of a node that is one character."""
    while isinstance(node, Concat) and len(node.parts) == 1:
        node = node.parts[0]
    return node.ranges if isinstance(node, Chars) else None
