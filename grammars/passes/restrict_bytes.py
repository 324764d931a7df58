"""A grammar of any kind and a regular language of one of two shapes, both: where no product of rules and states is made.

*All texts of some bytes* (`[^\\t]*`, `[ -~\\s]*`): a vocabulary that spells no other bytes says the same, since what is live is
what can be finished with the vocabulary's bytes. The grammar carries its alphabet, and is compiled against the tokens that are
made of it; nothing else about it changes, indentation and schemas included.

*Finitely many texts*: each is asked, and the grammar becomes the choice of those that it accepts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from grammars.errors import LimitExceeded, UnsupportedFeature
from grammars.ir import Op, Table
from grammars.kernel import native
from grammars.limits import Limits
from grammars.passes.intersect_regular import STATES

if TYPE_CHECKING:
    from grammars.grammar import Grammar

WORDS = 10_000
"""Most texts that are asked one by one."""
BEYOND_ASCII = frozenset(range(128, 256))
BLANKS = frozenset(b"\n ")
"""What lines and the blocks of a layout are made of."""


def restrict_bytes(grammar: Grammar, regular: Grammar) -> Grammar | None:
    """The texts of `grammar` that the regular grammar holds too; None if that has neither of the two shapes.

    O(states times classes of bytes of the minimal automaton), and for a finite language the time to read its texts.
    Raises UnsupportedFeature for a layout without line feeds or spaces, and for grammars of texts that are no UTF-8.
    """
    from grammars.grammar import choice
    from grammars.tokens.automaton import compile_grammar
    from grammars.tokens.vocabulary import Vocabulary

    automaton = _Automaton(regular, grammar.limits)
    order = automaton.finite()
    if order is not None:
        words = automaton.words(order)
        judge = compile_grammar(grammar, Vocabulary.single_bytes(grammar.specials))
        kept = [w for w in words if judge.accepts(w)]
        return choice(kept, grammar.limits) if kept else _nothing(grammar.limits)
    alphabet = automaton.alphabet()
    if alphabet is None:
        return None
    if grammar.is_cfg and grammar.lowered.cfg.layout is not None and not alphabet >= BLANKS:
        raise UnsupportedFeature(
            "a grammar with a %layout needs line feeds and spaces; allow both in what it is intersected with"
        )
    if alphabet & BEYOND_ASCII and not _is_text(grammar):
        raise UnsupportedFeature(
            "a grammar with texts that are no UTF-8 does not intersect (&) with characters; give bytes as a choice"
        )
    if grammar.alphabet is not None:
        alphabet &= grammar.alphabet
    return replace(grammar, alphabet=alphabet, options={**grammar.options, "without": _described(alphabet)})


class _Automaton:
    """The minimal automaton of a regular grammar, cut down to the states on the way from its start to acceptance."""

    def __init__(self, regular: Grammar, limits: Limits) -> None:
        self.classes, self.rows, self.accepting = _minimal(regular.table, regular.root, limits)
        self.live = {s for s, accepts in enumerate(self.accepting) if accepts}
        before: list[set[int]] = [set() for _ in self.rows]
        for s, row in enumerate(self.rows):
            for q in row:
                before[q].add(s)
        todo = list(self.live)
        while todo:
            new = before[todo.pop()] - self.live
            self.live |= new
            todo += new

    def steps(self, s: int) -> list[tuple[int, int]]:
        """(byte, state) for each byte with which an accepted text may go on."""
        row = self.rows[s]
        return [(b, row[c]) for b, c in enumerate(self.classes) if row[c] in self.live]

    def finite(self) -> list[int] | None:
        """The live states, each after those that it leads to, if there is no circle among them; else None."""
        leading = dict.fromkeys(self.live, 0)  # how many of the states that each leads to are not in the order yet
        before: dict[int, list[int]] = {s: [] for s in self.live}
        for s in self.live:
            for q in {q for _, q in self.steps(s)}:
                leading[s] += 1
                before[q].append(s)
        order: list[int] = []
        todo = [s for s, n in leading.items() if not n]
        while todo:
            order.append(q := todo.pop())
            for s in before[q]:
                leading[s] -= 1
                if not leading[s]:
                    todo.append(s)
        return order if len(order) == len(self.live) else None

    def words(self, order: list[int]) -> list[bytes]:
        """All texts of a finite language, counted first. Raises LimitExceeded beyond `WORDS`."""
        count: dict[int, int] = {}
        for s in order:
            count[s] = self.accepting[s] + sum(count[q] for _, q in self.steps(s))
            if count[s] > WORDS and s == 0:
                raise LimitExceeded(count[s], WORDS, "texts of a finite language, each of which is asked")
        found, todo = [], [(0, b"")] if 0 in count else []
        while todo:
            s, word = todo.pop()
            if self.accepting[s]:
                found.append(word)
            todo += [(q, word + bytes([b])) for b, q in self.steps(s)]
        return found

    def alphabet(self) -> frozenset[int] | None:
        """The bytes of its texts, if it holds every text (of UTF-8) that is made of them."""
        used = frozenset(b for s in self.live for b, _ in self.steps(s))
        table = Table()
        ranges = [(b, b) for b in sorted(used - BEYOND_ASCII)] + ([(0x80, 0x10FFFF)] if used & BEYOND_ASCII else [])
        root = table.repeat(table.char_class(ranges), 0, None)
        return used if ranges and self.equals(*_minimal(table, root, Limits())) else None

    def equals(self, classes: bytes, rows: list[list[int]], accepting: list[bool]) -> bool:
        """Do both automata accept the same texts? All pairs of states that one text leads to."""
        seen, todo = {(0, 0)}, [(0, 0)]
        while todo:
            s, t = todo.pop()
            if self.accepting[s] != accepting[t]:
                return False
            new = {(self.rows[s][c], rows[t][d]) for c, d in zip(self.classes, classes, strict=True)} - seen
            seen |= new
            todo += new
        return True


def _minimal(table: Table, root: int, limits: Limits) -> tuple[bytes, list[list[int]], list[bool]]:
    words, blobs = table.pack()
    classes, rows, accepting, _, _ = native.crossings(words, blobs, root, [], STATES, limits.compile_work)
    return classes, rows, accepting


def _is_text(grammar: Grammar) -> bool:
    """Is every terminal a language of UTF-8? Then it leads the automaton of that from its start to its start alone."""
    if not grammar.is_cfg:
        return True
    table = Table()
    new = table.absorb_nodes(grammar.table)
    nodes: list[int] = []
    for t in grammar.lowered.cfg.terminals:
        if t.kind == "regex":
            nodes.append(new[t.node])
        elif t.kind == "captured":
            _, *x = grammar.table.nodes[t.node]
            nodes += [new[c] for c in (*x[:3], *x[5:])]
    words, blobs = table.pack()
    _, _, _, crossed, _ = native.crossings(words, blobs, table.text(), nodes, STATES, grammar.limits.compile_work)
    return all(c[0] in ([], [0]) for c in crossed)


def _nothing(limits: Limits) -> Grammar:
    from grammars.grammar import Grammar

    table = Table()
    return Grammar("regex", table, table.node(Op.EMPTY), {}, limits)


def _described(alphabet: frozenset[int]) -> str:
    """What may not occur, for the report."""
    missing = "".join(map(chr, sorted(set(range(128)) - alphabet)))
    return ascii(missing)[1:-1] + ("" if alphabet & BEYOND_ASCII else " and what is not ASCII")
