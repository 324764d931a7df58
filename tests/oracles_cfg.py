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
from grammars.ir import Op, Table, Whitespace
from grammars.json_schema import lower_schema
from grammars.limits import DEFAULT_LIMITS
from grammars.regex import lower_regex, parse_regex

Item = tuple[int, int, int]
"""(rule, dot, column in which the rule began)."""


@dataclass(frozen=True)
class Lexeme:
    """A terminal: what it matches, what may not follow it, and its priority. `schema`: it is the JSON documents of a schema,
    whose texts over the alphabet in use `pattern` describes."""

    pattern: str
    unless: str | None = None
    priority: int = 0
    schema: str | None = None


@dataclass(frozen=True)
class Lines:
    """Terminals of a layout; indent and dedent match no text."""

    newline: int
    indent: int
    dedent: int
    opens: frozenset[int] = frozenset()
    closes: frozenset[int] = frozenset()
    inside: frozenset[int] = frozenset()


@dataclass
class Rules:
    """Symbols are (True, terminal) or (False, nonterminal); the start is nonterminal 0."""

    terminals: list[Lexeme]
    rules: list[tuple[int, tuple[tuple[bool, int], ...]]]
    ignored: list[int] = field(default_factory=list)
    lines: Lines | None = None

    def __post_init__(self) -> None:
        """Rules that derive no text do not count: a terminal that only they ask for cannot be taken."""
        ending: set[int] = set()
        for _ in self.rules:
            ending |= {h for h, body in self.rules if self._ends(body, ending)}
        self.useful = [(h, body) for h, body in self.rules if self._ends(body, ending)]

    def _ends(self, body: tuple[tuple[bool, int], ...], ending: set[int]) -> bool:
        return all(self.terminals[s].pattern != "(?!)" or self._virtual_one(s) if t else s in ending for t, s in body)

    def _virtual_one(self, terminal: int) -> bool:
        return self.lines is not None and terminal in (self.lines.indent, self.lines.dedent)

    # ------------------------------------------------------------------ whole texts
    def accepts(self, text: str, longest: bool) -> bool:
        if longest and any(t.schema for t in self.terminals):
            columns = [self._start()]
            self._close(columns)
            return self._among_documents(text, columns, 0)
        return self._longest(text) if longest else self._any(text)

    def _among_documents(self, text: str, columns: list[set[Item]], at: int) -> bool:
        """Longest matches among the lexemes; embedded documents compete with none and end wherever they may."""
        if at == len(text):
            return self._complete(columns[-1])
        wanted = self._wanted(columns[-1]) | set(self.ignored)
        documents = {t for t in wanted if self.terminals[t].schema}
        lengths = {t: self.lengths(t, text, at) for t in wanted}
        length = max((n for t in wanted - documents for n in lengths[t]), default=0)
        chosen = {t for t in wanted - documents if length in lengths[t]}
        top = max((self.terminals[t].priority for t in chosen), default=0)
        chosen = {t for t in chosen if self.terminals[t].priority == top}
        steps = [(length, chosen)] if chosen else []
        steps += [(n, {t}) for t in documents for n in lengths[t]]
        for n, terminals in steps:
            column = self._scan(columns[-1], terminals)
            if terminals & set(self.ignored):
                column |= columns[-1]
            more = [*columns, column]
            self._close(more)
            if self._among_documents(text, more, at + n):
                return True
        return False

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
        at, depth, blocks, y = 0, 0, [0], self.lines
        if y is not None:  # as if a line had ended before the text
            at = max(self.lengths(y.newline, "\n" + text, 0)) - 1
            if at < len(text) and not self._indent("\n" + text[:at], columns, blocks):
                return False
        while at < len(text):
            candidates = self._wanted(columns[-1]) | set(self.ignored)
            if y is not None and depth:
                candidates = candidates - {y.newline} | y.inside
            lengths = {t: self.lengths(t, text, at) for t in candidates}
            length = max((n for found in lengths.values() for n in found), default=0)
            if not length:
                return False
            chosen = {t for t, found in lengths.items() if length in found}
            top = max(self.terminals[t].priority for t in chosen)
            chosen = {t for t in chosen if self.terminals[t].priority == top}
            column = self._scan(columns[-1], chosen)
            if chosen & set(self.ignored) or (y is not None and depth and chosen & y.inside):
                column |= columns[-1]
            columns.append(column)
            self._close(columns)
            lexeme, at = text[at : at + length], at + length
            if y is None:
                continue
            depth = max(0, depth + bool(chosen & y.opens) - bool(chosen & y.closes))
            if chosen == {y.newline} and at < len(text) and not self._indent(lexeme, columns, blocks):
                return False
        return self._complete(columns[-1]) if y is None else not depth and self._closed(columns, blocks)

    def _indent(self, lexeme: str, columns: list[set[Item]], blocks: list[int]) -> bool:
        """Compare the indentation that a newline lexeme ends with to the open blocks; False if it fits none."""
        line = lexeme.rpartition("\n")[2]
        if line.strip(" ") or self.lines is None:
            return False
        if len(line) > blocks[-1]:
            blocks.append(len(line))
            self._virtual(columns, self.lines.indent)
        while len(line) < blocks[-1]:
            blocks.pop()
            self._virtual(columns, self.lines.dedent)
        return len(line) == blocks[-1]

    def _virtual(self, columns: list[set[Item]], terminal: int) -> None:
        columns.append(self._scan(columns[-1], {terminal}))
        self._close(columns)

    def _closed(self, columns: list[set[Item]], blocks: list[int]) -> bool:
        """At the end of the text all blocks end, and the last line too if the rules ask for that."""
        assert self.lines is not None
        for ends_line in (False, True):
            more = list(columns)
            if ends_line:
                self._virtual(more, self.lines.newline)
            for _ in blocks[1:]:
                self._virtual(more, self.lines.dedent)
            if self._complete(more[-1]):
                return True
        return False

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
        return {(r, 0, 0) for r, (head, _) in enumerate(self.useful) if head == 0}

    def _close(self, columns: list[set[Item]]) -> None:
        """Predict and complete in the last column until nothing is new."""
        here, column = len(columns) - 1, columns[-1]
        while True:
            before = len(column)
            for rule, dot, origin in list(column):
                head, body = self.useful[rule]
                if dot < len(body):
                    terminal, symbol = body[dot]
                    if not terminal:
                        column |= {(r, 0, here) for r, (h, _) in enumerate(self.useful) if h == symbol}
                    continue
                for r, d, o in list(columns[origin]):
                    wanted = self.useful[r][1]
                    if d < len(wanted) and wanted[d] == (False, head):
                        column.add((r, d + 1, o))
            if len(column) == before:
                return

    def _wanted(self, column: set[Item]) -> set[int]:
        return {b[d][1] for r, d, _ in column for b in [self.useful[r][1]] if d < len(b) and b[d][0]}

    def _scan(self, column: set[Item], chosen: Iterable[int]) -> set[Item]:
        symbols = {(True, t) for t in chosen}
        return {(r, d + 1, o) for r, d, o in column for b in [self.useful[r][1]] if d < len(b) and b[d] in symbols}

    def _complete(self, column: set[Item]) -> bool:
        return any(o == 0 and self.useful[r][0] == 0 and d == len(self.useful[r][1]) for r, d, o in column)

    # ------------------------------------------------------------------ the same grammar for the kernel
    def grammar(self, longest: bool) -> Grammar:
        table = Table()
        cfg = Cfg(table)

        def regex(pattern: str) -> int:
            return lower_regex(parse_regex(pattern), table)

        def terminal(t: Lexeme) -> Symbol:
            if t.schema is not None:
                value = lower_schema(t.schema, table).value
                return cfg.json(t.pattern, table.node(Op.JSON, value, int(Whitespace.COMPACT), 0, 0, 0))
            return cfg.terminal(t.pattern, regex(t.pattern), None if t.unless is None else regex(t.unless), t.priority)

        terminals = [terminal(t) for t in self.terminals]
        count = 1 + max([0] + [h for h, _ in self.rules] + [s for _, b in self.rules for is_t, s in b if not is_t])
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
    """The rules of a lowered grammar, with a pattern for each name of a terminal; the start becomes nonterminal 0."""
    cfg, start = grammar.lowered.cfg, grammar.lowered.start
    assert not start.terminal
    swap = {start.index: 0, 0: start.index}

    def code(s: Symbol) -> tuple[bool, int]:
        return (True, s.index) if s.terminal else (False, swap.get(s.index, s.index))

    rules = [(swap.get(h, h), tuple(map(code, body))) for h, body in cfg.rules]
    lexemes = [Lexeme(patterns.get(t.name, "(?!)") if t.kind == "layout" else patterns[t.name]) for t in cfg.terminals]
    y, lines = cfg.layout, None
    if y is not None:
        opens, closes, inside = (frozenset(s.index for s in group) for group in (y.opens, y.closes, y.inside))
        lines = Lines(y.newline.index, y.indent.index, y.dedent.index, opens, closes, inside)
    return Rules(lexemes, rules, [s.index for s in cfg.ignored], lines)


@lru_cache(maxsize=1 << 20)
def full_match(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None


def next_tokens(automaton: constrain.TokenAutomaton, text: bytes) -> set[int]:
    """The tokens after which `text` is viable still, each found by reading the whole from the start."""
    tokens = enumerate(automaton.vocabulary.tokens)
    return {i for i, t in tokens if t is not None and automaton.viable(text + t) == len(text) + len(t)}


def texts(alphabet: str, most: int) -> Iterator[str]:
    """Every text of at most `most` characters, the shortest first."""
    for n in range(most + 1):
        for letters in itertools.product(alphabet, repeat=n):
            yield "".join(letters)


PATTERNS = [
    "a", "b", "ab", "ba", "aa", "a+", "b+", "a|ab", "[ab]", "(ab)+", "b?a", "a*b", "aba?", "[ab]b", "(aa)+", "bb?",
]  # fmt: skip
UNLESS = ["a", "b", "ab", "b+a", "aa|b"]


DOCUMENTS = [
    Lexeme("1|12", schema='{"enum": [1, 12]}'), Lexeme("12?1?", schema='{"enum": [1, 11, 121, 12]}'),
    Lexeme(r"\[(1(,1)*)?\]", schema='{"type": "array", "items": {"const": 1}}'), Lexeme("[12]+", schema='{"type": "integer"}'),
    Lexeme(r"\[1*\]|1", schema='{"anyOf": [{"const": 1}, {"items": {"enum": [1, 11, 111]}, "maxItems": 1, "type": "array"}]}'),
    Lexeme("1"), Lexeme("2|12"), Lexeme("1+"), Lexeme(","), Lexeme(r"\[1?"), Lexeme(r"\]"), Lexeme("[12]1"), Lexeme(r"2?\[\]"),
]  # fmt: skip


def random_rules_with_documents(rng: random.Random) -> Rules:
    """Like `random_rules`, over "12,[]", with embedded schemas among the terminals."""
    rules = random_rules(rng)
    rules.terminals = [rng.choice(DOCUMENTS[:5]), *rng.sample(DOCUMENTS, len(rules.terminals) - 1)]
    rules.ignored = [i for i in rules.ignored if rules.terminals[i].schema is None]
    return rules


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


def random_fields(rng: random.Random) -> Rules:
    """Over "a:{}": items among which colons and braces stand, and, begun by a terminal of their own, fields whose ends are
    terminals that a colon or a brace goes on to."""
    item, fields, name, colon, opening, closing, head, middle, tail = (
        (False, 0),
        (False, 1),
        *((True, t) for t in range(7)),
    )
    terminals = [
        Lexeme("a"),
        Lexeme(":"),
        Lexeme(r"\{"),
        Lexeme(r"\}"),
        Lexeme(rng.choice([r"a\{", r"\{\{", r"a:*\{"])),
        Lexeme(rng.choice([r":a*\{", r"(:a*)?\}\{", r":+"])),
        Lexeme(rng.choice([r":a*\}", r"(:a*)?\}a*\}", r"\}\}?", r":?\}"])),
    ]
    bodies = [
        (item, (name,)),
        (fields, (item, tail)),
        (fields, (item, middle, fields)),
        (item, (head, fields)),
    ]
    more = [
        (item, (name, colon, item)),
        (item, (item, colon)),
        (item, (opening, item, closing)),
        (item, (opening, item, colon, item, closing)),
        (item, (item, opening, item, closing)),
    ]
    rules = [(h, body) for (_, h), body in [*bodies, *rng.sample(more, rng.randint(1, 3))]]
    rng.shuffle(rules)
    return Rules(terminals, rules, [0] if rng.random() < 0.1 else [])


@dataclass
class Interrupted:
    """Rules between whose terminals texts of one nonterminal may stand too; inside those nothing may.

    Judged without rewriting the rules. Under "any" a text of the nonterminal leads from one column to another with nothing
    changed. Under "longest" every reading is either between two lexemes of the rules or in a text of the nonterminal that has
    begun, with its own columns; all readings share their lexemes.
    """

    rules: Rules
    ignored: int

    def __post_init__(self) -> None:
        swap = {self.ignored: 0, 0: self.ignored}

        def code(terminal: bool, s: int) -> tuple[bool, int]:
            return (terminal, s if terminal else swap.get(s, s))

        rules = [(swap.get(h, h), tuple(code(*x) for x in body)) for h, body in self.rules.rules]
        self.inner = Rules(self.rules.terminals, rules)

    def accepts(self, text: str, longest: bool) -> bool:
        return self._longest(text) if longest else self._any(text)

    def _any(self, text: str) -> bool:
        outer = self.rules
        columns: list[set[Item]] = [set() for _ in range(len(text) + 1)]
        columns[0] = outer._start()
        for at in range(len(text) + 1):
            outer._close(columns[: at + 1])
            for n in range(1, len(text) - at + 1):
                chosen = {t for t in range(len(outer.terminals)) if n in outer.lengths(t, text, at)}
                columns[at + n] |= outer._scan(columns[at], chosen)
                if chosen & set(outer.ignored) or self.inner.accepts(text[at : at + n], False):
                    columns[at + n] |= columns[at]
        return outer._complete(columns[-1])

    def _longest(self, text: str) -> bool:
        outer, inner = self.rules, self.inner
        begin: list[set[Item]] = [inner._start()]
        inner._close(begin)
        columns: list[set[Item]] = [outer._start()]
        outer._close(columns)
        readings: list[tuple[list[set[Item]], list[set[Item]]]] = [(columns, [])]
        at = 0
        while at < len(text) and readings:
            wanted: set[int] = set()
            for columns, inside in readings:
                between = outer._wanted(columns[-1]) | set(outer.ignored) | inner._wanted(begin[-1])
                wanted |= inner._wanted(inside[-1]) if inside else between
            lengths = {t: outer.lengths(t, text, at) for t in wanted}
            length = max((n for found in lengths.values() for n in found), default=0)
            if not length:
                return False
            chosen = {t for t, found in lengths.items() if length in found}
            top = max(outer.terminals[t].priority for t in chosen)
            chosen = {t for t in chosen if outer.terminals[t].priority == top}
            after = []
            for columns, inside in readings:
                if not inside:
                    column = outer._scan(columns[-1], chosen)
                    if chosen & set(outer.ignored):
                        column |= columns[-1]
                    after.append(([*columns, column], []))
                    outer._close(after[-1][0])
                after.append((columns, [*(inside or begin), inner._scan((inside or begin)[-1], chosen)]))
                inner._close(after[-1][1])
                if inner._complete(after[-1][1][-1]):
                    after.append((columns, []))
            readings = [(columns, inside) for columns, inside in after if (inside or columns)[-1]]
            at += length
        return any(not inside and outer._complete(columns[-1]) for columns, inside in readings)

    def grammar(self, longest: bool) -> Grammar:
        lines = [f"T{i}.{t.priority}: /{t.pattern}/" for i, t in enumerate(self.rules.terminals)]
        for head in sorted({h for h, _ in self.rules.rules}):
            bodies = [b for h, b in self.rules.rules if h == head]
            ways = [" ".join(f"T{s}" if t else f"n{s}" for t, s in b) or '""' for b in bodies]
            lines.append(f"n{head}: {' | '.join(ways)}")
        lines += [f"%ignore T{i}" for i in self.rules.ignored] + [f"%ignore n{self.ignored}"]
        return constrain.lark("\n".join(lines), start="n0", lexer="longest" if longest else "any")


def random_interrupted(rng: random.Random) -> Interrupted:
    rules = random_rules(rng)
    rules.terminals = [Lexeme(t.pattern, priority=t.priority) for t in rules.terminals]
    return Interrupted(rules, rng.choice([h for h, _ in rules.rules]))


def random_pattern(rng: random.Random, depth: int = 3) -> str:
    """A regex over "ab" for Python's `re`: unions, concatenations, repetitions."""
    kind = rng.choice("cccurrsss") if depth else "c"
    if kind == "c":
        return rng.choice(["a", "b", "ab", "ba", "[ab]", "[ab]*", "a*", "b+"])
    parts = [random_pattern(rng, depth - 1) for _ in range(rng.choice([2, 2, 3]) if kind != "r" else 1)]
    if kind == "u":
        return f"({'|'.join(parts)})"
    if kind == "s":
        return "".join(parts)
    return f"({parts[0]}){rng.choice(['*', '+', '?', '{2}', '{1,3}', '{2,}'])}"
