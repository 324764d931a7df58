"""Groups and repetitions to plain rules: equal groups share one nonterminal, and a bounded repetition of n takes O(log n).

A bounded repetition doubles: ``double[k]`` derives exactly 2**k copies, ``below[k]`` any number less than 2**k. Both read
from left to right without looking ahead further than the next copy, so that they stay LR(1) where the copies are.
"""

from __future__ import annotations

from collections.abc import Iterable

from grammars.cfg import Cfg, Symbol
from grammars.errors import LimitExceeded
from grammars.limits import Limits

Sentence = tuple[Symbol, ...]
Alternatives = tuple[Sentence, ...]
"""Each is one way to go on; `((),)` derives only the empty string."""

EMPTY: Alternatives = ((),)


class Expansion:
    """Adds rules for groups and repetitions to `cfg`, each different one once."""

    def __init__(self, cfg: Cfg, limits: Limits) -> None:
        self.cfg, self.limits = cfg, limits
        self.made: dict[tuple[object, ...], Symbol] = {}
        self.size = 0

    def rules(self, head: Symbol, alternatives: Iterable[Sentence]) -> None:
        for body in alternatives:
            self.charge(1 + len(body))
            self.cfg.rule(head, *body)

    def charge(self, symbols: int) -> None:
        """Count symbols of rules against `Limits.nodes`."""
        self.size += symbols
        if self.size > self.limits.nodes:
            raise LimitExceeded(self.size, self.limits.nodes, "nodes of a grammar (symbols of its rules)")

    def group(self, alternatives: Alternatives, name: str = "group") -> Sentence:
        """A sentence that derives what the alternatives do."""
        alternatives = tuple(dict.fromkeys(alternatives))
        if len(alternatives) == 1:
            return alternatives[0]
        return (self._named(("group", alternatives), name, alternatives),)

    def sequence(self, parts: Iterable[Alternatives], name: str = "group") -> Alternatives:
        out: list[Symbol] = []
        for part in parts:
            out.extend(self.group(part, name))
        return (tuple(out),)

    def repeat(self, body: Alternatives, least: int, most: int | None, name: str = "repeat") -> Alternatives:
        """`least` to `most` copies (None: any number). O(log) rules beside those of the body."""
        if most == 0 or body == EMPTY:
            return EMPTY
        if (least, most) == (0, 1):
            return tuple(dict.fromkeys((*body, ())))
        if (least, most) == (1, 1):
            return body
        if most is None:
            if least < 2:
                return ((self.plus(body, name) if least else self.star(body, name),),)
            return ((*self.exactly(self.unit(body, name), least, name), self.star(body, name)),)
        unit = self.unit(body, name)
        return ((*self.exactly(unit, least, name), *self.at_most(unit, most - least, name)),)

    def unit(self, body: Alternatives, name: str) -> Symbol:
        """One symbol that derives what `body` does."""
        if len(body) == 1 and len(body[0]) == 1:
            return body[0][0]
        return self._named(("group", body), name, body)

    def star(self, body: Alternatives, name: str) -> Symbol:
        key = ("star", body)
        if key not in self.made:
            self.made[key] = head = self.cfg.nonterminal(f"{name}*")
            self.rules(head, [(), *((head, *b) for b in body if b)])
        return self.made[key]

    def plus(self, body: Alternatives, name: str) -> Symbol:
        key = ("plus", body)
        if key not in self.made:
            self.made[key] = head = self.cfg.nonterminal(f"{name}+")
            self.rules(head, [*body, *((head, *b) for b in body if b)])
        return self.made[key]

    def skip(self, ignored: Iterable[Symbol]) -> Sentence:
        """What is ignored, any number of times; nothing if nothing is."""
        ways = tuple((s,) for s in ignored)
        if not ways:
            return ()
        star = self.star(ways, "ignored")
        spaces = frozenset(s for (s,) in ways if s.terminal)
        self.cfg.skips[star] = spaces, spaces
        return (star,)

    def exactly(self, unit: Symbol, n: int, name: str) -> Sentence:
        """n copies: the powers of two that add up to n, the largest first."""
        out: list[Symbol] = []
        for k in reversed(range(n.bit_length())):
            if n >> k & 1:
                out.append(self.double(unit, k, name))
        return tuple(out)

    def double(self, unit: Symbol, k: int, name: str) -> Symbol:
        """2**k copies."""
        for i in range(1, k + 1):
            unit = self._named(("double", unit), f"{name}{{{2**i}}}", ((unit, unit),))
        return unit

    def below(self, unit: Symbol, k: int, name: str) -> Sentence:
        """0 to 2**k - 1 copies."""
        found: Sentence = ()
        for i in range(k):
            block = self.double(unit, i, name)
            ways = (found, (block, *found))
            found = (self._named(("below", unit, i + 1), f"{name}{{0,{2 ** (i + 1) - 1}}}", ways),)
        return found

    def at_most(self, unit: Symbol, n: int, name: str) -> Sentence:
        """0 to n copies: fewer than the largest power of two in n, or that many and 0 to the rest more."""
        todo = [n]
        while todo[-1] & (todo[-1] + 1):  # n + 1 is no power of two
            todo.append(todo[-1] - (1 << todo[-1].bit_length() - 1))
        found = self.below(unit, todo.pop().bit_length(), name)
        while todo:
            n = todo.pop()
            k = n.bit_length() - 1
            ways = (self.below(unit, k, name), (self.double(unit, k, name), *found))
            found = (self._named(("at most", unit, n), f"{name}{{0,{n}}}", ways),)
        return found

    def _named(self, key: tuple[object, ...], name: str, alternatives: Alternatives) -> Symbol:
        if key not in self.made:
            self.made[key] = head = self.cfg.nonterminal(name)
            self.rules(head, alternatives)
        return self.made[key]
