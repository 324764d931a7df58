"""Ambiguous nonterminals: those that derive themselves, and those for which a short sentence with two trees is found.

The first are found exactly. For the second, short random sentences of each nonterminal are parsed by Earley's algorithm
(CACM 1970); a sentence has two trees iff an item of one of its trees was reached in two ways. What is reported is
ambiguous; what is not reported may be. Lexical ambiguity (a text that two terminals match) is not looked at.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product

from grammars.cfg import Cfg, Symbol
from grammars.passes.find_left_recursion import components
from grammars.passes.find_nullable import find_nullable

WORK = 200_000  # chart items in all
LENGTHS = (4, 6, 9)  # terminals of a sentence, the short ones first
TRIES = 8  # sentences of each nonterminal and length
Item = tuple[int, int, int]
"""(rule, dot, column in which it began)."""
Place = tuple[int, int, int]
"""A nonterminal and the ends of what it derives."""
Reason = tuple[Item, int, int]
"""How an item was reached: its predecessor, the column where that ends, the rule of the child (-1: a terminal)."""


def find_cyclic(cfg: Cfg) -> list[int]:
    """The nonterminals that derive themselves, alone or beside what derives nothing; they have infinitely many trees."""
    nullable = find_nullable(cfg)
    edges: list[set[int]] = [set() for _ in cfg.nonterminals]
    for head, body in cfg.rules:
        solid = [i for i, s in enumerate(body) if s.terminal or not nullable[s.index]]
        if not solid:
            edges[head].update(s.index for s in body)
        elif len(solid) == 1 and not body[solid[0]].terminal:
            edges[head].add(body[solid[0]].index)
    groups = components([sorted(e) for e in edges])
    return sorted(n for group in groups for n in group if len(group) > 1 or n in edges[n])


def find_ambiguous(cfg: Cfg, seed: int = 0, work: int = WORK) -> list[tuple[int, tuple[Symbol, ...]]]:
    """(nonterminal, a sentence of terminals for which it has two trees), within `work` chart items."""
    search = _Search(cfg, work)
    rng = random.Random(seed)
    found: dict[int, tuple[Symbol, ...]] = {}
    for most, n in product((m for m in LENGTHS for _ in range(TRIES)), range(len(cfg.nonterminals))):
        if search.left <= 0:
            break
        if n not in found and search.least[n] <= most:
            sentence = search.sentence(n, rng, most)
            place = search.ambiguous(n, sentence) if sentence is not None else None
            if place is not None and sentence is not None:
                found.setdefault(place[0], sentence[place[1] : place[2]])
    return sorted(found.items())


class _Search:
    def __init__(self, cfg: Cfg, work: int) -> None:
        self.cfg, self.left = cfg, work
        self.ways: list[list[int]] = [[] for _ in cfg.nonterminals]
        for r, (head, _) in enumerate(cfg.rules):
            self.ways[head].append(r)
        self.least = self._least()

    def _least(self) -> list[int]:
        """The fewest terminals that each nonterminal derives (a large number: none)."""
        none = 1 << 40
        least = [none] * len(self.cfg.nonterminals)
        for _ in range(len(least) + 1):
            before = list(least)
            for head, body in self.cfg.rules:
                least[head] = min(least[head], sum(1 if s.terminal else least[s.index] for s in body))
            self.left -= len(self.cfg.rules)
            if least == before or self.left <= 0:
                break
        return least

    def sentence(self, n: int, rng: random.Random, most: int) -> tuple[Symbol, ...] | None:
        """A random sentence of at most `most` terminals, by leftmost derivation; None if it took too long."""
        out: list[Symbol] = []
        stack, steps = [Symbol(False, n)], 0
        owed = self.least[n]  # terminals that what is on the stack derives at least
        while stack:
            s = stack.pop()
            steps += 1
            if s.terminal:
                out.append(s)
                owed -= 1
                continue
            spare = most - len(out) - owed
            costs = {r: self._cost(r) - self.least[s.index] for r in self.ways[s.index]}
            fitting = [r for r, c in costs.items() if c <= (spare if steps < 40 else 0)]
            if not fitting or steps > 200:
                return None
            rule = rng.choice(fitting)
            owed += costs[rule]
            stack.extend(reversed(self.cfg.rules[rule][1]))
        self.left -= steps
        return tuple(out) if len(out) <= most else None

    def _cost(self, rule: int) -> int:
        return sum(1 if s.terminal else self.least[s.index] for s in self.cfg.rules[rule][1])

    def ambiguous(self, n: int, sentence: Sequence[Symbol]) -> Place | None:
        """Where in a tree of `n` over `sentence` there is a choice. O(length**3 * items)."""
        rules = self.cfg.rules
        columns: list[dict[Item, set[Reason]]] = [{} for _ in range(len(sentence) + 1)]
        for r in self.ways[n]:
            columns[0][r, 0, 0] = set()
        for k, column in enumerate(columns):
            todo = list(column)
            while todo:
                item = todo.pop()
                self.left -= 1
                rule, dot, origin = item
                head, body = rules[rule]
                reached: list[tuple[int, Item, Reason | None]] = []
                if dot == len(body):
                    for waiting in list(columns[origin]):
                        r, d, o = waiting
                        if d < len(rules[r][1]) and rules[r][1][d] == Symbol(False, head):
                            reached.append((k, (r, d + 1, o), (waiting, origin, rule)))
                elif body[dot].terminal:
                    if k < len(sentence) and sentence[k] == body[dot]:
                        reached.append((k + 1, (rule, dot + 1, origin), (item, k, -1)))
                else:
                    reached += [(k, (r, 0, k), None) for r in self.ways[body[dot].index]]
                    # what ended here before this item asked for it
                    for r, d, o in list(column):
                        if o == k and d == len(rules[r][1]) and rules[r][0] == body[dot].index:
                            reached.append((k, (rule, dot + 1, origin), (item, k, r)))
                for at, new, why in reached:
                    if new not in columns[at]:
                        columns[at][new] = set()
                        if at == k:
                            todo.append(new)
                    if why is not None:
                        columns[at][new].add(why)
            if self.left <= 0:
                return None
        return self._two_ways(n, columns)

    def _two_ways(self, n: int, columns: list[dict[Item, set[Reason]]]) -> Place | None:
        rules, last = self.cfg.rules, len(columns) - 1
        roots = [i for i in columns[last] if i[2] == 0 and rules[i[0]][0] == n and i[1] == len(rules[i[0]][1])]
        whole = (n, 0, last)
        if len(roots) > 1:
            return whole
        todo: list[tuple[int, Item, Place]] = [(last, i, whole) for i in roots]
        seen = {(last, i) for i in roots}
        while todo:
            k, item, owner = todo.pop()
            reasons = columns[k][item]
            if len({(before, at) for before, at, _ in reasons}) > 1:
                return owner
            for before, at, child in reasons:
                below: list[tuple[int, Item, Place]] = [(at, before, owner)]
                if child >= 0:
                    inner = (rules[child][0], at, k)
                    if len(reasons) > 1:
                        return inner
                    below.append((k, (child, len(rules[child][1]), at), inner))
                for entry in below:
                    if entry[:2] not in seen:
                        seen.add(entry[:2])
                        todo.append(entry)
        return None
