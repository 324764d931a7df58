"""Context-free grammars as the kernel takes them: terminals, nonterminals and plain rules (BNF).

Front ends (Lark, GBNF) reduce everything they have to this: repetitions become recursion, groups become nonterminals,
embedded schemas become terminals of their own kind. Symbols are handles of one `Cfg`; nothing in it depends on a vocabulary.

Terminals
    captured a text that repeats one which it chose itself: before, a text of the group, and that text again after each piece
    regex    a regular language, not nullable under "longest"; `unless`: a regex of which no match may follow the terminal
             (a trailing negative lookahead); `priority`: of the terminals that match longest, only those of the highest
             priority go to the parser ("longest" only)
    json     a JSON document: root node of kind JSON (embedded schemas)
    special  one special token of the vocabulary, by name or by ids
    never    matches nothing, and yet what rules that hold it read before competes: for texts that are read and not accepted

Lexing (DESIGN §3)
    longest  at each point, among the terminals that the parser can take there, the longest match; all terminals of that
             length go to the parser
    any      every split that parses

Rules that derive no text do not count: a terminal that only they ask for is not one that the parser can take.

A json terminal is a document and no lexeme: it competes with no other terminal, and ends wherever the parse can go on.

`ignore` names symbols that may stand between any two terminals, before the first and after the last. `Layout` describes
languages where indentation counts: a lexeme of its newline terminal, outside brackets, is followed by one `indent` or by
as many `dedent` as the width of the line that it ends with asks for.

`skips` states facts about the rules, which change no language and spare searches: nonterminals that what is ignored is written
out as, and of each the terminals that may always stand at its beginning, and at its end, and leave what may follow as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from grammars.ir import Op, Table

Lexing = Literal["longest", "any"]


@dataclass(frozen=True, slots=True)
class Symbol:
    """A handle: `terminal` or nonterminal number `index`."""

    terminal: bool
    index: int


@dataclass(frozen=True, slots=True)
class Terminal:
    """`node`: of the table (regex, JSON; captured: a CAPTURE node), or the index of the blob with the name (special)."""

    name: str
    kind: Literal["regex", "captured", "json", "special", "layout", "never"]
    node: int
    unless: int | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """Indentation. newline: the terminal that ends lines and holds the next line's indentation; its last line is what counts.

    indent, dedent: terminals of kind "layout", which match nothing by themselves. opens, closes: terminals of brackets;
    inside them `inside` (regex terminals, usually line breaks) is ignored as well and the newline terminal is not taken.
    tab: columns of a tab stop. The end of the text closes all blocks, and ends the last line if that has not happened.
    """

    newline: Symbol
    indent: Symbol
    dedent: Symbol
    opens: tuple[Symbol, ...] = ()
    closes: tuple[Symbol, ...] = ()
    inside: tuple[Symbol, ...] = ()
    tab: int = 8


@dataclass(frozen=True, slots=True)
class LoweredCfg:
    """A grammar with what composition and reports need. `embedded`: report rows of embedded schemas; `unused`: names that
    are defined and that the start does not need."""

    cfg: Cfg
    start: Symbol
    lexing: Lexing
    embedded: tuple[Any, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def report(self) -> tuple[Any, ...]:
        """Findings about the rules, then the rows of embedded schemas; computed at each access."""
        from grammars.passes.report_findings import Finding, report_findings

        unused = tuple(Finding(n, "unused", note="defined, and the start does not need it") for n in self.unused)
        return (*unused, *report_findings(self.cfg, self.start), *self.embedded)


@dataclass(slots=True)
class Cfg:
    """A grammar under construction over `table`; `finish` adds it to the table and returns its root node."""

    table: Table
    terminals: list[Terminal] = field(default_factory=list)
    nonterminals: list[str] = field(default_factory=list)
    rules: list[tuple[int, tuple[Symbol, ...]]] = field(default_factory=list)
    ignored: list[Symbol] = field(default_factory=list)
    layout: Layout | None = None
    skips: dict[Symbol, tuple[frozenset[Symbol], frozenset[Symbol]]] = field(default_factory=dict)

    def terminal(self, name: str, regex: int, unless: int | None = None, priority: int = 0) -> Symbol:
        """A terminal that matches the regex node `regex` (or a CAPTURE node), where no match of `unless` follows."""
        captured = self.table.nodes[regex][0] == Op.CAPTURE
        return self.add(Terminal(name, "captured" if captured else "regex", regex, unless, priority))

    def json(self, name: str, root: int) -> Symbol:
        """A terminal that matches the JSON documents of the node `root` (of kind JSON)."""
        return self.add(Terminal(name, "json", root))

    def special(self, name: str) -> Symbol:
        """A terminal that matches the special token `name` (or one of "[7]", "[5-9,12]" by id), which has no bytes."""
        return self.add(Terminal(name, "special", self.table.blob(name.encode())))

    def virtual(self, name: str) -> Symbol:
        """A terminal that only `Layout` produces."""
        return self.add(Terminal(name, "layout", 0))

    def never(self) -> Symbol:
        return self.add(Terminal("never", "never", 0))

    def nonterminal(self, name: str) -> Symbol:
        self.nonterminals.append(name)
        return Symbol(False, len(self.nonterminals) - 1)

    def rule(self, head: Symbol, *body: Symbol) -> None:
        """head -> body; an empty body derives the empty string."""
        self.rules.append((head.index, body))

    def ignore(self, symbol: Symbol) -> None:
        self.ignored.append(symbol)

    def finish(self, start: Symbol, lexing: Lexing, spacing: Sequence[tuple[Symbol, Symbol]] = ()) -> int:
        """Return the id of the GRAMMAR node. O(size). `spacing`: see `passes/find_spacing.py`."""
        kinds = {"regex": 0, "captured": 0, "json": 1, "special": 2, "layout": 3, "never": 4}
        x: list[int] = [
            int(lexing == "longest"),
            self._code(start),
            len(self.terminals),
            len(self.nonterminals),
            len(self.rules),
        ]
        for t in self.terminals:
            x += [kinds[t.kind], t.node, -1 if t.unless is None else t.unless, t.priority]
        for head, body in self.rules:
            x += [head, len(body), *map(self._code, body)]
        x += [len(self.ignored), *map(self._code, self.ignored)]
        x += self._layout()
        x += [len(spacing), *(s.index for pair in spacing for s in pair)]
        return self.table.node(Op.GRAMMAR, *x)

    def _layout(self) -> list[int]:
        if self.layout is None:
            return [0]
        y = self.layout
        groups: Sequence[Sequence[Symbol]] = (y.opens, y.closes, y.inside)
        lists = [v for group in groups for v in (len(group), *(s.index for s in group))]
        return [1, y.newline.index, y.indent.index, y.dedent.index, y.tab, *lists]

    def add(self, t: Terminal) -> Symbol:
        self.terminals.append(t)
        return Symbol(True, len(self.terminals) - 1)

    def _code(self, s: Symbol) -> int:
        """Terminals come first, then nonterminals."""
        return s.index if s.terminal else len(self.terminals) + s.index
