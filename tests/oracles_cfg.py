"""A slow, obvious recogniser for context-free grammars under both lexing disciplines, and random small grammars.

Terminals are Python `re` patterns over a tiny alphabet. A grammar is judged on whole texts by a naive Earley recogniser,
whose columns are closed by trying everything until nothing changes, and lexed by trying every length of every terminal.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import constrain
from grammars.cfg import Cfg, LoweredCfg, Symbol
from grammars.grammar import Grammar
from grammars.ir import Table
from grammars.limits import DEFAULT_LIMITS
from grammars.regex import lower_regex, parse_regex

Item = tuple[int, int, int]
"""(rule, dot, column in which the rule began)."""


@dataclass(frozen=True)
class Lexeme:
    """A terminal: what it matches, what may not follow it, and its priority."""

    pattern: str
    unless: str | None = None
    priority: int = 0


@dataclass
class Rules:
    """Symbols are (True, terminal) or (False, nonterminal); the start is nonterminal 0."""

    terminals: list[Lexeme]
    rules: list[tuple[int, tuple[tuple[bool, int], ...]]]
    ignored: list[int] = field(default_factory=list)

    # ------------------------------------------------------------------ whole texts
    def accepts(self, text: str, longest: bool) -> bool:
        return self._longest(text) if longest else self._any(text)

    def lengths(self, terminal: int, text: str, at: int) -> set[int]:
        """Every length of a match that stands at a place of a text, given what follows it there."""
        t = self.terminals[terminal]
        found = set()
        for n in range(1, len(text) - at + 1):
            if full_match(t.pattern, text[at : at + n]):
                after = text[at + n :]
                if t.unless is None or not any(full_match(t.unless, after[:k]) for k in range(len(after) + 1)):
                    found.add(n)
        return found

    def _longest(self, text: str) -> bool:
        """At each place the longest match among the terminals that some parse of what came before can take."""
        columns: list[set[Item]] = [self._start()]
        self._close(columns)
        at = 0
        while at < len(text):
            candidates = self._wanted(columns[-1]) | set(self.ignored)
            lengths = {t: self.lengths(t, text, at) for t in candidates}
            length = max((n for found in lengths.values() for n in found), default=0)
            if not length:
                return False
            chosen = {t for t, found in lengths.items() if length in found}
            top = max(self.terminals[t].priority for t in chosen)
            chosen = {t for t in chosen if self.terminals[t].priority == top}
            column = self._scan(columns[-1], chosen)
            if chosen & set(self.ignored):
                column |= columns[-1]
            columns.append(column)
            self._close(columns)
            at += length
        return self._complete(columns[-1])

    def _any(self, text: str) -> bool:
        """Any way of cutting the text; one column for each place in it."""
        columns: list[set[Item]] = [set() for _ in range(len(text) + 1)]
        columns[0] = self._start()
        for at in range(len(text) + 1):
            self._close(columns[: at + 1])
            for t in range(len(self.terminals)):
                for n in self.lengths(t, text, at):
                    columns[at + n] |= self._scan(columns[at], {t})
                    if t in self.ignored:
                        columns[at + n] |= columns[at]
        return self._complete(columns[-1])

    # ------------------------------------------------------------------ Earley's columns
    def _start(self) -> set[Item]:
        return {(r, 0, 0) for r, (head, _) in enumerate(self.rules) if head == 0}

    def _close(self, columns: list[set[Item]]) -> None:
        """Predict and complete in the last column until nothing is new."""
        here, column = len(columns) - 1, columns[-1]
        while True:
            before = len(column)
            for rule, dot, origin in list(column):
                head, body = self.rules[rule]
                if dot < len(body):
                    terminal, symbol = body[dot]
                    if not terminal:
                        column |= {(r, 0, here) for r, (h, _) in enumerate(self.rules) if h == symbol}
                    continue
                for r, d, o in list(columns[origin]):
                    wanted = self.rules[r][1]
                    if d < len(wanted) and wanted[d] == (False, head):
                        column.add((r, d + 1, o))
            if len(column) == before:
                return

    def _wanted(self, column: set[Item]) -> set[int]:
        return {b[d][1] for r, d, _ in column for b in [self.rules[r][1]] if d < len(b) and b[d][0]}

    def _scan(self, column: set[Item], chosen: Iterable[int]) -> set[Item]:
        symbols = {(True, t) for t in chosen}
        return {(r, d + 1, o) for r, d, o in column for b in [self.rules[r][1]] if d < len(b) and b[d] in symbols}

    def _complete(self, column: set[Item]) -> bool:
        return any(o == 0 and self.rules[r][0] == 0 and d == len(self.rules[r][1]) for r, d, o in column)

    # ------------------------------------------------------------------ the same grammar for the kernel
    def grammar(self, longest: bool) -> Grammar:
        table = Table()
        cfg = Cfg(table)

        def regex(pattern: str) -> int:
            return lower_regex(parse_regex(pattern), table)

        terminals = [
            cfg.terminal(t.pattern, regex(t.pattern), None if t.unless is None else regex(t.unless), t.priority)
            for t in self.terminals
        ]
        count = 1 + max([h for h, _ in self.rules] + [s for _, b in self.rules for is_t, s in b if not is_t])
        heads = [cfg.nonterminal(f"n{i}") for i in range(count)]
        for head, body in self.rules:
            cfg.rule(heads[head], *(terminals[s] if is_t else heads[s] for is_t, s in body))
        for t in self.ignored:
            cfg.ignore(terminals[t])
        return finished(cfg, heads[0], longest)


def finished(cfg: Cfg, start: Symbol, longest: bool) -> Grammar:
    lexing = "longest" if longest else "any"
    return Grammar("cfg", cfg.table, cfg.finish(start, lexing), {}, DEFAULT_LIMITS, LoweredCfg(cfg, start, lexing))


def from_lowered(grammar: constrain.Grammar, patterns: dict[str, str]) -> Rules:
    """The rules of a lowered grammar, its terminals by their names as patterns; the start becomes nonterminal 0."""
    cfg, start = grammar.lowered.cfg, grammar.lowered.start
    assert not start.terminal
    swap = {start.index: 0, 0: start.index}

    def code(s: Symbol) -> tuple[bool, int]:
        return (True, s.index) if s.terminal else (False, swap.get(s.index, s.index))

    rules = [(swap.get(h, h), tuple(map(code, body))) for h, body in cfg.rules]
    return Rules([Lexeme(patterns[t.name]) for t in cfg.terminals], rules, [s.index for s in cfg.ignored])


@lru_cache(maxsize=1 << 20)
def full_match(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None


def texts(alphabet: str, most: int) -> Iterator[str]:
    """Every text of at most `most` characters, the shortest first."""
    for n in range(most + 1):
        for letters in itertools.product(alphabet, repeat=n):
            yield "".join(letters)


PATTERNS = [
    "a", "b", "ab", "ba", "aa", "a+", "b+", "a|ab", "[ab]", "(ab)+", "b?a", "a*b", "aba?", "[ab]b", "(aa)+", "bb?",
]  # fmt: skip
UNLESS = ["a", "b", "ab", "b+a", "aa|b"]


def random_rules(rng: random.Random) -> Rules:
    """Two or three terminals over "ab", one to three nonterminals: nullable, recursive anyhow, cyclic, ambiguous."""
    terminals = [
        Lexeme(
            rng.choice(PATTERNS),
            rng.choice(UNLESS) if rng.random() < 0.15 else None,
            rng.choice([0, 0, 1]) if rng.random() < 0.3 else 0,
        )
        for _ in range(rng.randint(2, 3))
    ]
    nonterminals = rng.randint(1, 3)
    rules = []
    for head in range(nonterminals):
        for _ in range(rng.randint(1, 3)):
            body = [
                (True, rng.randrange(len(terminals))) if rng.random() < 0.6 else (False, rng.randrange(nonterminals))
                for _ in range(rng.choice([0, 1, 1, 2, 2, 3]))
            ]
            rules.append((head, tuple(body)))
    ignored = [rng.randrange(len(terminals))] if rng.random() < 0.25 else []
    return Rules(terminals, rules, ignored)
