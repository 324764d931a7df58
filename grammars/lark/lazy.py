"""Lazy quantifiers where the longest match rules.

Laziness does not change a language, only where a match stops. A terminal whose last choices are lazy stops where it first
can: its words are those of which no proper prefix is a word. A greedy tail that may be empty goes on from there, as in
``/".*?"[a-z]*/``. Other mixtures have no such reading; their flags say `mixed`, and the terminal is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grammars.ir import Table
from grammars.lark.lookahead import Ending
from grammars.regex import charset
from grammars.regex.syntax import Concat, Lowered, Node, Ranges, Repeat, Union
from grammars.regex.widths import alphabet, first_characters, widths


@dataclass(frozen=True, slots=True)
class Flags:
    """lazy, greedy: there are quantifiers of that kind that leave a choice. open: a greedy one whose end what follows it
    does not tell. sealed: a lazy part is done, and nothing that has to match may follow. mixed: lazy and greedy quantifiers
    stand so that no simple language says where a match stops."""

    lazy: bool = False
    greedy: bool = False
    open: bool = False
    sealed: bool = False
    mixed: bool = False

    @staticmethod
    def in_a_row(parts: Sequence[tuple[Flags, Node]], table: Table) -> Flags:
        """Of a sequence. A greedy part before a lazy one is fine if what follows it begins with a character that it lacks:
        then there is but one place where it can end."""
        if not any(p.lazy or p.greedy or p.sealed for p, _ in parts):
            return PLAIN
        lazy = greedy = open_ = sealed = mixed = False
        for (p, node), (first, empty) in zip(parts, _continuations([n for _, n in parts], table), strict=True):
            must_match = widths(node, table)[0] > 0
            mixed = mixed or p.mixed or (lazy and (p.greedy or p.sealed)) or (sealed and (p.lazy or must_match))
            mixed = mixed or (open_ and (p.lazy or p.sealed))
            lazy, greedy, sealed = lazy or p.lazy, greedy or p.greedy, sealed or p.sealed
            told = not empty and not charset.intersection(first, alphabet(node, table)) if p.open else True
            open_ = open_ or not told
        return Flags(lazy, greedy, open_, sealed, mixed)

    @staticmethod
    def either(branches: Sequence[Flags]) -> Flags:
        """Of alternatives: a lazy one stops early where a greedy one goes on."""
        lazy, goes_on = sum(b.lazy for b in branches), [(b.greedy and not b.lazy) or b.sealed for b in branches]
        clash = any(b.lazy and others > g for others in [sum(goes_on)] for b, g in zip(branches, goes_on, strict=True))
        return Flags(
            lazy > 0,
            any(b.greedy for b in branches),
            any(b.open for b in branches),
            any(b.sealed for b in branches),
            clash or any(b.mixed for b in branches),
        )

    def repeated(self, varies: bool, lazily: bool = False) -> Flags:
        """Of a repetition; `varies`: the number of copies is open, and `lazily` as few as possible are taken."""
        mixed = self.mixed or self.sealed or (self.lazy and varies and not lazily) or (self.open and varies and lazily)
        greedily = varies and not lazily
        return Flags(
            self.lazy or (varies and lazily), self.greedy or greedily, self.open or greedily, self.sealed, mixed
        )


PLAIN = Flags()
COPIES = 64  # that a greedy repetition after a lazy one may be obliged to


def _continuations(parts: list[Node], table: Table) -> list[tuple[Ranges, bool]]:
    """For each part: characters that what follows it may begin with, and whether that may be empty. O(parts)."""
    found: list[tuple[Ranges, bool]] = []
    rest: tuple[Ranges, bool] = ((), True)
    for part in reversed(parts):
        found.append(rest)
        first, empty = first_characters(part, table)
        rest = (charset.normalise((*first, *rest[0])), rest[1]) if empty else (first, False)
    return found[::-1]


def quantifiers(node: Node, table: Table) -> Flags:
    """The flags of a regex. Recursive in its groups."""
    if isinstance(node, Repeat):
        return quantifiers(node.body, table).repeated(node.least != node.most, node.lazy)
    if isinstance(node, Concat):
        return Flags.in_a_row([(quantifiers(p, table), p) for p in node.parts], table)
    if isinstance(node, Union):
        return Flags.either([quantifiers(b, table) for b in node.branches])
    return PLAIN


def split_lazy(node: Node, table: Table) -> tuple[Node, tuple[Node, ...]] | None:
    """(the part that ends where a lazy match stops, a greedy rest that may be empty), or None if it is not of that form."""
    if not isinstance(node, Concat):
        return None
    flags = [quantifiers(p, table) for p in node.parts]
    first = next((i for i, f in enumerate(flags) if f.lazy), None)
    if first is None:
        return None
    cut = next((i for i in range(first + 1, len(flags)) if flags[i].greedy), None)
    if cut is None or any(f.lazy for f in flags[cut:]) or any(f.mixed for f in flags):
        return None
    if quantifiers(Concat(node.parts[:cut]), table).mixed:
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


def first_stops(found: Sequence[Ending], table: Table) -> list[Ending] | None:
    """The endings of a lazy terminal: the words of which no proper prefix is one. A prefix is no word where a match of its
    `unless` follows; None if such a match may be longer than one character, since it may reach beyond the longer word."""
    some = table.repeat(table.char_class(charset.ANY), 1, None)
    longer = []
    for e in found:
        if e.unless is None:
            longer.append(table.concat(e.node, some))
            continue
        least, most = widths(Lowered(e.unless), table)
        if most is None or most > 1:
            return None
        if least:
            follows = table.conjunction(some, table.negation(table.concat(e.unless, table.text())))
            longer.append(table.concat(e.node, follows))
    return [Ending(table.conjunction(e.node, *map(table.negation, longer)), e.unless) for e in found]
