"""Lazy quantifiers where the longest match rules.

Laziness does not change a language, only where a match stops. A terminal whose last choices are lazy stops where it first
can: its words are those of which no proper prefix is a word. A greedy tail that may be empty goes on from there, as in
``/".*?"[a-z]*/``. Other mixtures have no such reading; their flags say `mixed`, and the terminal is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grammars.ir import Table
from grammars.regex import charset
from grammars.regex.syntax import Concat, Node, Repeat, Union
from grammars.regex.widths import widths


@dataclass(frozen=True, slots=True)
class Flags:
    """lazy, greedy: there are quantifiers of that kind that leave a choice. sealed: a lazy part is done, and nothing that
    has to match may follow. mixed: lazy and greedy quantifiers stand so that no simple language says where a match stops."""

    lazy: bool = False
    greedy: bool = False
    sealed: bool = False
    mixed: bool = False

    @staticmethod
    def in_a_row(parts: Sequence[tuple[Flags, bool]]) -> Flags:
        """Of a sequence; each part with whether it may be empty."""
        lazy = greedy = sealed = mixed = False
        for p, may_be_empty in parts:
            mixed = mixed or p.mixed or (lazy and (p.greedy or p.sealed)) or (sealed and (p.lazy or not may_be_empty))
            lazy, greedy, sealed = lazy or p.lazy, greedy or p.greedy, sealed or p.sealed
        return Flags(lazy, greedy, sealed, mixed)

    @staticmethod
    def either(branches: Sequence[Flags]) -> Flags:
        """Of alternatives: a lazy one stops early where a greedy one goes on."""
        mixed = any(b.mixed for b in branches)
        for b in branches:
            others = [o for o in branches if o is not b]
            mixed = mixed or (b.lazy and any((o.greedy and not o.lazy) or o.sealed for o in others))
        return Flags(
            any(b.lazy for b in branches), any(b.greedy for b in branches), any(b.sealed for b in branches), mixed
        )

    def repeated(self, varies: bool, lazily: bool = False) -> Flags:
        """Of a repetition; `varies`: the number of copies is open, and `lazily` as few as possible are taken."""
        mixed = self.mixed or self.sealed or (self.lazy and varies and not lazily)
        return Flags(self.lazy or (varies and lazily), self.greedy or (varies and not lazily), self.sealed, mixed)


PLAIN = Flags()
COPIES = 64  # that a greedy repetition after a lazy one may be obliged to


def quantifiers(node: Node) -> Flags:
    """The flags of a regex. Recursive in its groups."""
    if isinstance(node, Repeat):
        return quantifiers(node.body).repeated(node.least != node.most, node.lazy)
    if isinstance(node, Concat):
        return Flags.in_a_row([(quantifiers(p), False) for p in node.parts])
    if isinstance(node, Union):
        return Flags.either([quantifiers(b) for b in node.branches])
    return PLAIN


def split_lazy(node: Node, table: Table) -> tuple[Node, tuple[Node, ...]] | None:
    """(the part that ends where a lazy match stops, a greedy rest that may be empty), or None if it is not of that form."""
    if not isinstance(node, Concat):
        return None
    flags = [quantifiers(p) for p in node.parts]
    first = next((i for i, f in enumerate(flags) if f.lazy), None)
    if first is None:
        return None
    cut = next((i for i in range(first + 1, len(flags)) if flags[i].greedy), None)
    if cut is None or any(f.lazy for f in flags[cut:]) or any(f.mixed for f in flags):
        return None
    head, rest = list(node.parts[:cut]), list(node.parts[cut:])
    start = rest[0]
    if isinstance(start, Repeat) and 0 < start.least <= COPIES:  # the copies that there must be belong to the lazy part
        most = None if start.most is None else start.most - start.least
        head += [start.body] * start.least
        rest[0] = Repeat(start.body, 0, most, start.span)
    if widths(Concat(tuple(rest)), table)[0] > 0:
        return None
    return Concat(tuple(head)), tuple(rest)


def prefix_free(node: int, table: Table) -> int:
    """The words of `node` of which no proper prefix is one."""
    longer = table.concat(node, table.repeat(table.char_class(charset.ANY), 1, None))
    return table.conjunction(node, table.negation(longer))
