"""Terminals to regular languages.

A terminal is folded bottom-up into a `Piece`: a node of the table where it holds no assertion, a syntax tree of the regex
front end where it does, so that a lookahead in one piece sees the pieces after it, as in one long regex. What follows the
terminal itself is out of its language's sight; `lookahead.variants` turns a trailing negative lookahead into `unless`.

Lazy quantifiers do not change a language. A terminal that holds one is read as ``[lazy]`` under "longest": of its words
those of which no proper prefix is a word, which is where a lazy match stops.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from grammars.errors import GrammarError, LimitExceeded, UnsupportedFeature
from grammars.ir import Op, Table
from grammars.lark.captures import capture, holds_capture, split_captures
from grammars.lark.lazy import PLAIN, Flags, first_stops, prefix_free, quantifiers, split_lazy
from grammars.lark.load import Body, Namespace, Slot
from grammars.lark.lookahead import Ending, variants
from grammars.lark.stop import stopped
from grammars.lark.syntax import (
    Attribute,
    Both,
    CharRange,
    Choice,
    Embedded,
    Literal,
    Name,
    Nested,
    Node,
    Not,
    Reference,
    Regexp,
    Repeat,
    Sequence,
    Span,
    Special,
    fold,
    walk,
)  # fmt: skip
from grammars.limits import Limits
from grammars.regex import charset, lower_regex, parse_regex
from grammars.regex import syntax as rx
from grammars.regex.lower import asserts, children

ASSERTION_DEPTH = 60  # nesting of pieces with assertions that the recursive lowering can carry
_SUBSTRINGS = ("substring_chunks", "substring_words", "substring_chars")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a terminal, what its quantifiers are like, and how deep its tree is; beside it the alternatives that repeat a
    text of their own choice (`captures.py`)."""

    node: rx.Node
    flags: Flags = PLAIN
    depth: int = 0
    captured: tuple[Ending, ...] = ()

    @property
    def lowered(self) -> int | None:
        return self.node.node if isinstance(self.node, rx.Lowered) else None


class Terminals:
    """Lowers terminals into one table; each named terminal once."""

    def __init__(self, table: Table, limits: Limits, refine: Mapping[str, list[bytes]], longest: bool) -> None:
        self.table, self.limits, self.refine, self.longest = table, limits, refine, longest
        self.pieces: dict[int, Piece] = {}  # by identity of the slot
        self.below: dict[int, set[int]] = {}  # the terminals that one refers to, by identity
        self.wanted: set[int] = set()  # those that rules and %ignore refer to
        self.text = table.text()

    # ------------------------------------------------------------------ from definitions
    def named(self, slot: Slot, top: Namespace) -> list[Ending]:
        """The languages of a terminal, each with what may not follow it."""
        piece = self._resolve(slot)
        if any(a.name in ("lazy", "suffix", "stop") for a in slot.attributes):
            self._regular([piece], "an attribute", slot.home, slot.span)
            piece = Piece(piece.node, depth=piece.depth)  # the attribute says how it matches
        found = self._endings(piece, slot.home, slot.span)
        if slot.attributes:
            found = self.with_attributes(found, slot.attributes, slot.home)
        strings = self.refine.get(slot.name) if top.slots.get(slot.name) is slot else None
        if strings is not None:
            self._regular([piece], "refine=", slot.home, slot.span)
            kept = self.table.strings(strings)
            found = [Ending(self.table.conjunction(e.node, kept), e.unless) for e in found]
        return found

    def anonymous(self, node: Node, home: Namespace) -> list[Ending]:
        """The languages of an expression of terminals that stands in a rule."""
        self._require(node, home, "an expression of terminals")
        self.wanted.update(id(home.find(n.name, n.span)) for n in walk(node) if isinstance(n, Name))
        return self._endings(self._fold(node, home), home, node.span)

    def used(self, slots: Iterable[int]) -> set[int]:
        """Of terminals, by identity: these, the wanted ones, and all that they refer to."""
        found = {*slots, *self.wanted}
        todo = list(found)
        while todo:
            new = self.below.get(todo.pop(), set()) - found
            found |= new
            todo.extend(new)
        return found

    def _endings(self, piece: Piece, home: Namespace, span: Span) -> list[Ending]:
        try:
            found = variants(piece.node, self.table, "longest" if self.longest else "any")
        except GrammarError as e:
            raise _placed(e, home, span) from None
        if piece.captured:
            found = [*(e for e in found if e.node != self.table.empty()), *piece.captured]
        if not self.longest:
            return found
        if piece.flags.mixed:
            advice = "write the terminal without lazy quantifiers (/[^x]*x/ for /.*?x/), or mark it [lazy]"
            raise _unsupported(home, f"a lazy quantifier among greedy ones is not supported here; {advice}", span)
        if not piece.flags.lazy:
            return found
        self._regular([piece], "an alternative with lazy quantifiers", home, span)
        stops = first_stops(found, self.table)
        if stops is None:
            what = "a terminal with lazy quantifiers that looks ahead at more than one character"
            raise _unsupported(home, f"{what} is not supported; write it without them, or mark it [lazy]", span)
        return stops

    def _resolve(self, slot: Slot) -> Piece:
        """The piece of a named terminal, those it refers to first. Raises GrammarError where they go in a circle."""
        stack, active = [slot], dict[int, Slot]()
        while stack:
            top = stack[-1]
            if id(top) in self.pieces:
                stack.pop()
                continue
            if id(top) in active:  # everything below is done
                self.pieces[id(top)] = self._combine_bodies(top)
                del active[id(top)]
                stack.pop()
                continue
            active[id(top)] = top
            for body in top.bodies:
                for target, span in self._references(top, body):
                    self.below.setdefault(id(top), set()).add(id(target))
                    if id(target) in active:
                        names = [s.name for s in active.values()]
                        circle = [*names[names.index(target.name) :], target.name]
                        raise body.home.error(
                            f"terminals refer to each other in a circle: {' -> '.join(circle)}; only rules may recurse",
                            span,
                        )
                    if id(target) not in self.pieces:
                        stack.append(target)
        return self.pieces[id(slot)]

    def _references(self, slot: Slot, body: Body) -> list[tuple[Slot, Span]]:
        self._require(body.node, body.home, f"the terminal {slot.name}")
        names = (n for n in walk(body.node) if isinstance(n, Name))
        return [(body.home.find(n.name, n.span, slot.what), n.span) for n in names]

    def _require(self, node: Node, home: Namespace, what: str) -> None:
        """Only regular things stand in a terminal."""
        for n in walk(node):
            if isinstance(n, Name) and not home.find(n.name, n.span, what).terminal:
                raise home.error(
                    f"{what} cannot hold the rule {n.name}; write it in lower case to make it a rule", n.span
                )
            if isinstance(n, Special | Nested) or (isinstance(n, Embedded) and n.kind == "json"):
                found = {Special: "a special token", Nested: "a grammar", Embedded: "a JSON document"}[type(n)]
                raise home.error(f"{what} cannot hold {found}; use it in a rule (lower case)", n.span)
            if isinstance(n, Reference):
                raise home.error(f"{what} cannot hold the grammar @{n.name}; use it in a rule (lower case)", n.span)

    def _combine_bodies(self, slot: Slot) -> Piece:
        if not slot.bodies:
            raise slot.home.error(f"{slot.name} is only declared: it has no text to stand for", slot.span)
        return self._choice([self._fold(b.node, b.home) for b in slot.bodies])

    # ------------------------------------------------------------------ the fold
    def _fold(self, node: Node, home: Namespace) -> Piece:
        return fold(node, lambda n, given: self._combine(n, given, home))

    def _combine(self, node: Node, given: list[Piece], home: Namespace) -> Piece:
        t = self.table
        if isinstance(node, Literal):
            return Piece(rx.Lowered(self.literal(node, home)))
        if isinstance(node, Regexp):
            return self._regexp(node, home)
        if isinstance(node, CharRange):
            return Piece(rx.Lowered(t.char_class([(ord(node.low), ord(node.high))])))
        if isinstance(node, Name):
            return self._resolve(home.find(node.name, node.span))
        if isinstance(node, Sequence):
            self._regular(given, "a sequence", home, node.span)
            return self._sequence(given)
        if isinstance(node, Choice):
            return self._choice(given)
        if isinstance(node, Repeat):
            self._regular(given, "a repetition", home, node.span)
            return self._repeat(given[0], node)
        if isinstance(node, Embedded):
            return Piece(rx.Lowered(self.substring(node, home)))
        assert isinstance(node, Both | Not)
        self._regular(given, "& or ~", home, node.span)
        below = [p.lowered for p in given]
        plain = [b for b in below if b is not None]
        if len(plain) < len(below):
            raise _unsupported(home, "& and ~ of a regex with lookaround or anchors is not supported", node.span)
        if isinstance(node, Both):
            return Piece(rx.Lowered(t.conjunction(*plain)))
        return Piece(rx.Lowered(t.conjunction(self.text, t.negation(plain[0]))))

    def literal(self, node: Literal, home: Namespace) -> int:
        try:
            data = node.text.encode()
        except UnicodeEncodeError:
            raise home.error("a lone surrogate cannot be written as UTF-8", node.span) from None
        if not node.ignore_case or node.text.lower() == node.text.upper():
            return self.table.literal(data) if data else self.table.epsilon()
        chars = (charset.ignore_case(((ord(c), ord(c)),), False) for c in node.text)
        return self.table.concat(*(self.table.char_class(c) for c in chars))

    def _regexp(self, node: Regexp, home: Namespace) -> Piece:
        try:
            pattern = parse_regex(node.pattern, "python", self.limits, node.flags, captures=True)
            _reject_anchors(pattern.node)
            if holds_capture(pattern.node):
                return self._captured(pattern.node)
            tree, flags = self._sealed(pattern.node)
            if not asserts(tree):
                tree = rx.Lowered(lower_regex(rx.Pattern(tree, pattern.source, "python"), self.table))
        except GrammarError as e:
            raise _placed(e, home, node.span, offset=node.span[0] + 1) from None
        return Piece(tree, flags)

    def _captured(self, tree: rx.Node) -> Piece:
        """A regex that repeats a text of its own choice; its other alternatives are regular."""
        rows, others = split_captures(tree)
        found = tuple(capture(row, self.table, self.limits, self.longest) for row in rows)
        flags = [quantifiers(o, self.table) for o in others]
        node = rx.Union(tuple(others)) if others else rx.Lowered(self.table.empty())
        return Piece(node, Flags.either([*flags, Flags(sealed=True)]), captured=found)

    def _regular(self, given: Iterable[Piece], where: str, home: Namespace, span: Span) -> None:
        if any(p.captured for p in given):
            what = f"a back-reference to a group of many texts is not supported in {where}"
            raise _unsupported(home, f"{what} of terminals; write one regex for the whole", span)

    def _sealed(self, tree: rx.Node) -> tuple[rx.Node, Flags]:
        """Under "longest": a regex whose lazy part ends before a greedy one that may be empty, with that part made lazy."""
        cut = split_lazy(tree, self.table) if self.longest else None
        if cut is None:
            return tree, quantifiers(tree, self.table)
        first, rest = cut
        ends = variants(first, self.table, "longest")
        if len(ends) != 1 or ends[0].unless is not None:
            return tree, quantifiers(tree, self.table)
        sealed = rx.Lowered(prefix_free(ends[0].node, self.table))
        return rx.Concat((sealed, *rest)), Flags(greedy=True, open=True, sealed=True)

    def _sequence(self, given: list[Piece]) -> Piece:
        flags = Flags.in_a_row([(p.flags, p.node) for p in given], self.table)
        plain = [p.lowered for p in given if p.lowered is not None]
        if len(plain) == len(given):
            return Piece(rx.Lowered(self.table.concat(*plain)), flags)
        return Piece(rx.Concat(tuple(p.node for p in given)), flags, self._deeper(given))

    def _choice(self, given: list[Piece]) -> Piece:
        if len(given) == 1:
            return given[0]
        t = self.table
        flags = Flags.either([p.flags for p in given])
        captured = tuple(dict.fromkeys(e for p in given for e in p.captured))
        plain = [p.lowered for p in given if p.lowered is not None]
        words = [t.nodes[i][1] for i in plain if t.nodes[i][0] == Op.LITERAL]
        merged: list[int] = []
        if len(words) > 1:
            merged.append(t.strings(t.blobs[w] for w in words))
            plain = [i for i in plain if t.nodes[i][0] != Op.LITERAL]
        merged += dict.fromkeys(plain)
        branches = [p.node for p in given if p.lowered is None]
        if merged:
            branches.append(rx.Lowered(t.disjunction(*merged)))
        if len(branches) == 1:
            return Piece(branches[0], flags, captured=captured)
        return Piece(rx.Union(tuple(branches)), flags, self._deeper(given), captured)

    def _repeat(self, body: Piece, node: Repeat) -> Piece:
        flags = body.flags.repeated(varies=node.least != node.most)
        if body.lowered is not None:
            return Piece(rx.Lowered(self.table.repeat(body.lowered, node.least, node.most)), flags)
        tree = rx.Repeat(body.node, node.least, node.most, (0, 0))
        return Piece(tree, flags, self._deeper([body]))

    def _deeper(self, given: list[Piece]) -> int:
        depth = 1 + max(p.depth for p in given)
        if depth > ASSERTION_DEPTH:
            raise LimitExceeded(depth, ASSERTION_DEPTH, "depth of a terminal around lookarounds or anchors")
        return depth

    # ------------------------------------------------------------------ attributes and structured regexes
    def with_attributes(self, found: list[Ending], attributes: tuple[Attribute, ...], home: Namespace) -> list[Ending]:
        """``lazy``, ``suffix=`` and ``stop=``; ``capture`` says nothing about the language."""
        t = self.table
        for a in attributes:
            if a.name in ("capture", "stop_capture"):
                continue
            if a.name not in ("lazy", "suffix", "stop"):
                raise unenforced(a, home)
            if len(found) != 1 or found[0].unless is not None:
                raise _unsupported(home, f"{a.name} of a terminal with lookahead is not supported", a.span)
            node = found[0].node
            if a.name == "lazy":
                found = [Ending(prefix_free(node, t))]
                continue
            if a.value is None or isinstance(a.value, float):
                raise home.error(f'{a.name} takes a string, a regex or a terminal: {a.name}="..."', a.span)
            if a.name == "suffix":
                ends = self.anonymous(a.value, home)
                if len(ends) != 1 or ends[0].unless is not None or t.nullable(ends[0].node):
                    raise _unsupported(home, "a suffix that is empty or looks ahead is not supported", a.span)
                found = [Ending(prefix_free(t.concat(node, ends[0].node), t))]
            else:
                if not isinstance(a.value, Literal) or a.value.ignore_case or not a.value.text:
                    raise _unsupported(
                        home, "stop is supported for strings that are not empty; else use suffix", a.span
                    )
                found = stopped(node, a.value.text, t)
        return found

    def substring(self, node: Embedded, home: Namespace) -> int:
        """``%regex {"substring_...": ...}``: any run of consecutive chunks, or nothing. O(chunks)."""
        try:
            given = json.loads(node.text)
        except (ValueError, RecursionError) as e:
            raise home.error(f"the braces of %regex hold a JSON object: {e}", node.span) from None
        if len(given) != 1 or next(iter(given)) not in _SUBSTRINGS:
            raise _unsupported(home, f"%regex knows {', '.join(_SUBSTRINGS)}, one of them", node.span)
        ((kind, value),) = given.items()
        if kind == "substring_chunks":
            chunks = value
        else:
            text = value if isinstance(value, str) else None
            chunks = None if text is None else list(text) if kind == "substring_chars" else _WORDS.findall(text)
        if not isinstance(chunks, list) or not all(isinstance(c, str) for c in chunks):
            wanted = "a list of strings" if kind == "substring_chunks" else "a string"
            raise home.error(f"{kind} takes {wanted}", node.span)
        return self.runs([self.literal(Literal(c, False, node.span), home) for c in chunks if c])

    def runs(self, chunks: list[int]) -> int:
        """Any run of consecutive chunks: within either half, or from the one into the other. O(chunks * log chunks)."""
        t = self.table
        level = [_Runs(c, t.repeat(c, 0, 1), t.repeat(c, 0, 1), t.repeat(c, 0, 1)) for c in chunks]
        while len(level) > 1:
            pairs = [_Runs.joined(a, b, t) for a, b in zip(level[::2], level[1::2], strict=False)]
            level = pairs + ([level[-1]] if len(level) % 2 else [])
        return level[0].any if level else t.epsilon()


@dataclass(frozen=True, slots=True)
class _Runs:
    """A row of chunks: all of them, those it begins with, those it ends with, and any run of them; or nothing."""

    all: int
    first: int
    last: int
    any: int

    @staticmethod
    def joined(a: _Runs, b: _Runs, t: Table) -> _Runs:
        return _Runs(
            _written_together(a.all, b.all, t),
            t.disjunction(a.first, t.concat(a.all, b.first)),
            t.disjunction(b.last, t.concat(a.last, b.all)),
            t.disjunction(a.any, b.any, t.concat(a.last, b.first)),
        )


def _written_together(a: int, b: int, t: Table) -> int:
    """Two literals as one."""
    return t.literal(t.blobs[t.nodes[a][1]] + t.blobs[t.nodes[b][1]])


_WORDS = re.compile(r"\w+|\W", re.DOTALL)


def unenforced(a: Attribute, home: Namespace) -> GrammarError:
    if a.name in ("max_tokens", "temperature"):
        return _unsupported(
            home, f"the attribute {a.name} is not supported: a grammar does not count tokens or sample", a.span
        )
    return _unsupported(
        home, f"the attribute {a.name!r} is not known; known are lazy, suffix, stop and capture", a.span
    )


def _unsupported(home: Namespace, message: str, span: Span) -> GrammarError:
    where = f" (in {home.source.name})" if home.source.name else ""
    return UnsupportedFeature(message + where, source=home.source.text, span=span)


def _placed(e: GrammarError, home: Namespace, span: Span, offset: int | None = None) -> GrammarError:
    """The error of a regex, pointing into the source of the grammar."""
    if offset is not None and e.span is not None:
        span = (offset + e.span[0], offset + e.span[1])
    where = f" (in {home.source.name})" if home.source.name else ""
    return type(e)(e.message + where, source=home.source.text, span=span)


def _reject_anchors(node: rx.Node) -> None:
    stack = [node]
    while stack:
        n = stack.pop()
        if isinstance(n, rx.Start | rx.End):
            mark = "^" if isinstance(n, rx.Start) else "$"
            raise UnsupportedFeature(
                f"the anchor {mark} in a terminal is not supported: a terminal may begin and end anywhere; remove it"
            )
        stack.extend(children(n))
