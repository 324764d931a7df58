"""Grammars to GBNF text.

GBNF tries every split, knows no intersection, complement or lookahead, and its reader refuses left recursion. Grammars that
need these are refused by name, but direct left recursion is written as a repetition: ``a: b | a c`` is ``a ::= b c*``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grammars.cfg import Cfg, LoweredCfg, Symbol
from grammars.errors import UnsupportedFeature
from grammars.ir import UNBOUNDED, Op, Table
from grammars.passes.find_left_recursion import find_left_recursion
from grammars.regex import charset
from grammars.regex.syntax import Ranges

if TYPE_CHECKING:
    from grammars.grammar import Grammar

ATOM, SEQUENCE, CHOICE = range(3)
Written = tuple[str, int]
"""Text, and how tightly it binds."""
WIDTH = 60  # of an expression that is written where it is used


def write_gbnf(grammar: Grammar) -> str:
    """The text of `grammar` in GBNF, from the rule ``root``. O(size).

    Raises UnsupportedFeature, by name, for what GBNF cannot say.
    """
    if grammar.kind == "regex":
        writer = _Writer(grammar.table)
        return writer.text([("root", writer.regex(grammar.root)[0])])
    if not grammar.is_cfg:
        raise UnsupportedFeature("a JSON Schema has no exact form in GBNF")
    lowered: LoweredCfg = grammar.lowered
    if lowered.lexing == "longest":
        raise UnsupportedFeature(
            "GBNF has no longest match; compile the grammar with lexer='any' if its language is meant"
        )
    writer = _Writer(grammar.table)
    return writer.text(_Rules(lowered, writer).written())


class _Writer:
    """Regexes of one table as expressions; large or repeated ones become rules of their own."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.done: dict[int, Written] = {}
        self.rules: list[tuple[str, str]] = []
        self.uses = [0] * len(table.nodes)
        for i in range(len(table.nodes)):
            for c in table.operands(i):
                self.uses[c] += 1

    def text(self, rules: list[tuple[str, str]]) -> str:
        return "".join(f"{name} ::= {body}\n" for name, body in [*rules, *self.rules])

    def regex(self, root: int) -> Written:
        stack = [root]
        while stack:
            i = stack[-1]
            missing = [c for c in self.table.operands(i) if c not in self.done]
            if i in self.done or not missing:
                stack.pop()
                if i not in self.done:
                    self.done[i] = self.named(i, self.node(i))
            else:
                stack.extend(missing)
        return self.done[root]

    def named(self, i: int, found: Written) -> Written:
        if found[1] == ATOM or (self.uses[i] < 2 and len(found[0]) <= WIDTH):
            return found
        name = f"text-{i}"
        self.rules.append((name, found[0]))
        return name, ATOM

    def node(self, i: int) -> Written:
        op, *x = self.table.nodes[i]
        if op == Op.LITERAL:
            return _string(self.table.blobs[x[0]]), ATOM
        if op == Op.STRINGS:
            return choice([(_string(self.table.blobs[b]), ATOM) for b in x])
        if op == Op.CLASS:
            return _char_class(tuple(zip(x[::2], x[1::2], strict=True))), ATOM
        if op == Op.TEXT:
            return ".*", ATOM
        if op == Op.EPSILON:
            return '""', ATOM
        if op == Op.CONCAT:
            return sequence([self.done[c] for c in x])
        if op == Op.OR:
            return choice([self.done[c] for c in x])
        if op == Op.REPEAT:
            return repeat(self.done[x[0]], x[1], None if x[2] == UNBOUNDED else x[2])
        names = {
            Op.AND: "an intersection",
            Op.PATH: "an intersection",
            Op.NOT: "a complement",
            Op.EMPTY: "a language without words",
            Op.BYTES: "a byte set",
        }
        raise UnsupportedFeature(f"GBNF cannot say {names.get(Op(op), Op(op).name)}")


class _Rules:
    """The rules of a context-free grammar, one for each nonterminal."""

    def __init__(self, lowered: LoweredCfg, writer: _Writer) -> None:
        self.cfg, self.start, self.writer = lowered.cfg, lowered.start, writer
        self.names = _unique_names(self.cfg)
        if self.cfg.layout is not None:
            raise UnsupportedFeature("GBNF has no indentation (%layout)")
        for t in self.cfg.terminals:
            if t.unless is not None:
                raise UnsupportedFeature(f"GBNF cannot say what may not follow the terminal {t.name}")
            if t.kind == "captured":
                raise UnsupportedFeature(f"GBNF cannot repeat a text that the terminal {t.name} chose")
            if t.kind == "json":
                raise UnsupportedFeature("a JSON Schema has no exact form in GBNF")
        self.skip = ""
        if self.cfg.ignored:
            self.skip = "ignored"
            body = choice([self.symbol(s) for s in self.cfg.ignored])
            self.skip_rule = (self.skip, repeat(body, 0, None)[0])

    def written(self) -> list[tuple[str, str]]:
        ways: dict[int, list[tuple[Symbol, ...]]] = {}
        for head, body in self.cfg.rules:
            ways.setdefault(head, []).append(body)
        rest = Cfg(self.cfg.table, self.cfg.terminals, self.cfg.nonterminals)
        rest.rules = [(h, b[1:] if b and b[0] == Symbol(False, h) else b) for h, b in self.cfg.rules]
        recursive = find_left_recursion(rest)
        if recursive:
            names = ", ".join(self.cfg.nonterminals[n] for n in recursive[:5])
            raise UnsupportedFeature(f"GBNF has no left recursion through several rules or behind empty ones: {names}")
        start = sequence([self.space(), self.symbol(self.start)])
        rules = [("root", start[0])]
        rules += [(self.names[n], self.body(n, ways[n])) for n in sorted(ways)]
        return rules + ([self.skip_rule] if self.skip else [])

    def body(self, n: int, ways: list[tuple[Symbol, ...]]) -> str:
        me = Symbol(False, n)
        tails = [w[1:] for w in ways if w[:1] == (me,)]
        bases = [w for w in ways if w[:1] != (me,)]
        base = choice([self.sentence(w) for w in bases])
        if not tails:
            return base[0]
        return sequence([base, repeat(choice([self.sentence(w) for w in tails if w] or [('""', ATOM)]), 0, None)])[0]

    def sentence(self, symbols: tuple[Symbol, ...]) -> Written:
        parts: list[Written] = []
        for s in symbols:
            parts.append(self.symbol(s))
            if s.terminal:
                parts.append(self.space())
        return sequence(parts)

    def space(self) -> Written:
        return (self.skip, ATOM) if self.skip else ('""', ATOM)

    def symbol(self, s: Symbol) -> Written:
        if not s.terminal:
            return self.names[s.index], ATOM
        t = self.cfg.terminals[s.index]
        if t.kind == "special":
            name = self.cfg.table.blobs[t.node].decode()
            return (f"<{name}>" if name.startswith("[") else name), ATOM
        return self.writer.regex(t.node)


def sequence(parts: list[Written]) -> Written:
    kept = [p for p in parts if p[0] != '""']
    if len(kept) < 2:
        return kept[0] if kept else ('""', ATOM)
    return " ".join(f"({t})" if kind == CHOICE else t for t, kind in kept), SEQUENCE


def choice(branches: list[Written]) -> Written:
    kept = list(dict.fromkeys(branches))
    if not kept:
        raise UnsupportedFeature("GBNF cannot say a rule without alternatives")
    return kept[0] if len(kept) == 1 else (" | ".join(t for t, _ in kept), CHOICE)


def repeat(body: Written, least: int, most: int | None) -> Written:
    text = body[0] if body[1] == ATOM else f"({body[0]})"
    if body[0] == '""' or most == 0:
        return '""', ATOM
    if text[-1] in "*+?}":  # a second quantifier would read as one of both
        text = f"({text})"
    marks = {(0, None): "*", (1, None): "+", (0, 1): "?", (1, 1): ""}
    bounds = f"{{{least}}}" if least == most else f"{{{least},{'' if most is None else most}}}"
    return text + marks.get((least, most), bounds), ATOM


def _unique_names(cfg: Cfg) -> list[str]:
    taken = {"root", "ignored"}
    names = []
    for name in cfg.nonterminals:
        base = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "rule"
        base = f"rule-{base}" if base.startswith("text-") else base
        found, n = base, 2
        while found in taken:
            found, n = f"{base}-{n}", n + 1
        taken.add(found)
        names.append(found)
    return names


def _string(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UnsupportedFeature("GBNF has characters and no bytes; a literal here is not UTF-8") from None
    return '"' + "".join(_character(c, '"\\') for c in text) + '"'


def _char_class(ranges: Ranges) -> str:
    if ranges == charset.ANY:
        return "."
    outside = charset.complement(ranges)
    negated = len(outside) < len(ranges)
    parts = []
    for low, high in outside if negated else ranges:
        ends = [_character(chr(p), "]\\^-[") for p in (low, high)]
        parts.append(ends[0] if low == high else "-".join(ends))
    return f"[{'^' if negated else ''}{''.join(parts)}]"


_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _character(c: str, special: str) -> str:
    if c in _SHORT:
        return _SHORT[c]
    if c in special:
        return f"\\x{ord(c):02X}" if c == "^" else "\\" + c
    if c.isascii() and c.isprintable():
        return c
    point = ord(c)
    return f"\\x{point:02X}" if point < 256 else f"\\u{point:04X}" if point < 0x10000 else f"\\U{point:08X}"
