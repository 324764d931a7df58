"""What a terminal asks of the text after it: trailing negative lookaheads become `unless` of the terminal.

A lookahead that is decided inside the terminal is left to the regex front end. One that may see past the end is taken
apart by how much of the terminal follows it, so that each variant of the terminal knows what may not come next.
"""

from __future__ import annotations

from dataclasses import dataclass

from grammars.errors import UnsupportedFeature
from grammars.ir import Table
from grammars.regex import lower_regex
from grammars.regex import syntax as rx
from grammars.regex.lower import asserts

VARIANTS = 64  # of one terminal


@dataclass(frozen=True, slots=True)
class Ending:
    """A language, and a regex of which no match may follow it."""

    node: int
    unless: int | None = None


def variants(node: rx.Node, table: Table, longest: bool) -> list[Ending]:
    """The terminal as languages with endings; together they are what `re` matches where a text goes on anyhow."""
    if isinstance(node, rx.Lowered):
        return [Ending(node.node)]
    found: list[Ending] = []
    for body, ahead in _trailing(node):
        unless = [lower_regex(rx.Pattern(a, "", "python"), table) for a in ahead]
        kept = lower_regex(rx.Pattern(body, "", "python"), table)
        found.append(Ending(kept, table.disjunction(*unless) if unless else None))
    return found


def _trailing(node: rx.Node) -> list[tuple[rx.Node, tuple[rx.Node, ...]]]:
    """(what remains, bodies of the negative lookaheads taken off its end) for each branch that ends differently."""
    if isinstance(node, rx.Lookahead) and node.negated and not asserts(node.body):
        return [(rx.EPSILON, (node.body,))]
    if isinstance(node, rx.Union) and asserts(node):
        found = [x for b in node.branches for x in _trailing(b)]
        if len(found) > VARIANTS:
            raise UnsupportedFeature(f"more than {VARIANTS} lookaheads at the end of one terminal are not supported")
        return found
    if isinstance(node, rx.Concat) and node.parts and asserts(node.parts[-1]):
        head = node.parts[:-1]
        found = []
        for last, ahead in _trailing(node.parts[-1]):
            if last == rx.EPSILON and ahead:
                found += [(body, (*more, *ahead)) for body, more in _trailing(rx.Concat(head))]
            else:
                found.append((rx.Concat((*head, last)), ahead))
        return found
    return [(node, ())]
