"""Syntax trees to regular languages over UTF-8.

Sub-trees without assertions lower bottom-up. The rest lowers right to left in continuation-passing style:
``lower(node, context, rest)`` is the language of everything from here to the end of the text, where `rest(context)` is
the language of what follows the node and a *context* says all that an assertion may ask about the left: the text has not
begun, the last character was a word character, a newline, or something else. Then ``$`` is an intersection of what follows
with the empty string, a lookahead an intersection with its own language, ``^`` a test of the context, and ``\\b`` both.
A node without assertions is split by the context it leads to only where something after it asks.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from grammars.errors import UnsupportedFeature
from grammars.ir import Table
from grammars.regex import charset
from grammars.regex.syntax import (
    EPSILON,
    Boundary,
    Chars,
    Concat,
    End,
    Lookahead,
    Lowered,
    Node,
    Pattern,
    Ranges,
    Repeat,
    Start,
    Union,
)  # fmt: skip

UNROLL = 64  # repetitions that hold assertions are written out up to this bound


class Context(Enum):
    """What stands to the left of a position."""

    START = 0
    WORD = 1
    NEWLINE = 2
    OTHER = 3


Rest = Callable[[Context], int]


def lower_regex(pattern: Pattern, table: Table, *, search: bool = False) -> int:
    """Return the node of the language of `pattern`: whole strings that match, or (`search`) that contain a match.

    All strings are valid UTF-8. Raises UnsupportedFeature for assertions inside an unbounded repetition.
    """
    lowering = _Lowering(table, pattern)
    node = pattern.node
    if not asserts(node):
        body = lowering.plain(node)
        return table.concat(table.text(), body, table.text()) if search else body
    anything = Repeat(Chars(charset.ANY), 0, None, (0, 0))
    if search:
        node = Concat((anything, node, anything))
    return lowering.lower(node, Context.START, lambda _: table.epsilon(), _asks(node))


def _children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Concat):
        return node.parts
    if isinstance(node, Union):
        return node.branches
    if isinstance(node, Repeat | Lookahead):
        return (node.body,)
    return ()


def asserts(node: Node) -> bool:
    """Does the node hold an assertion?"""
    stack = [node]
    while stack:
        n = stack.pop()
        if isinstance(n, Start | End | Boundary | Lookahead):
            return True
        stack.extend(_children(n))
    return False


def _asks(node: Node) -> tuple[bool, Ranges | None, bool]:
    """What the assertions ask of the left: the start, a set of word characters, a newline."""
    start = line = False
    word: Ranges | None = None
    stack = [node]
    while stack:
        n = stack.pop()
        if isinstance(n, Start):
            start, line = True, line or n.line
        if isinstance(n, Boundary):
            word = n.word
        stack.extend(_children(n))
    return start, word, line


def _zero_width(node: Node) -> bool:
    """Does the node match nothing but the empty string, wherever it matches?"""
    if isinstance(node, Concat | Union):
        return all(map(_zero_width, _children(node)))
    return isinstance(node, Start | End | Boundary | Lookahead)


def _nullable(node: Node, table: Table) -> bool:
    """Does a node without assertions match the empty string?"""
    if isinstance(node, Concat):
        return all(_nullable(p, table) for p in node.parts)
    if isinstance(node, Union):
        return any(_nullable(b, table) for b in node.branches)
    if isinstance(node, Repeat):
        return node.least == 0 or _nullable(node.body, table)
    return isinstance(node, Lowered) and table.nullable(node.node)


class _Lowering:
    def __init__(self, table: Table, pattern: Pattern) -> None:
        self.table, self.pattern = table, pattern
        self.text = table.text()
        self.any_char = table.char_class(charset.ANY)

    # ------------------------------------------------------------------ without assertions
    def plain(self, node: Node) -> int:
        t = self.table
        if isinstance(node, Lowered):
            return node.node
        if isinstance(node, Chars):
            return self.chars(node.ranges)
        if isinstance(node, Repeat):
            return t.repeat(self.plain(node.body), node.least, node.most)
        if isinstance(node, Union):
            words = [_word(b) for b in node.branches]
            if all(w is not None for w in words):
                return t.strings(w for w in words if w is not None)
            return t.disjunction(*dict.fromkeys(self.plain(b) for b in node.branches))
        assert isinstance(node, Concat)
        parts: list[int] = []
        literal = bytearray()
        for part in node.parts:
            single = _single(part)
            if single is not None:
                literal += single
                continue
            if literal:
                parts.append(t.literal(bytes(literal)))
                literal.clear()
            parts.append(self.plain(part))
        if literal:
            parts.append(t.literal(bytes(literal)))
        return t.concat(*parts)

    def chars(self, ranges: Ranges) -> int:
        if not ranges:
            return self.table.empty()
        return self.table.char_class(ranges)

    # ------------------------------------------------------------------ with assertions
    def lower(self, node: Node, context: Context, rest: Rest, asks: tuple[bool, Ranges | None, bool]) -> int:
        t = self.table
        if isinstance(node, Concat):
            if not node.parts:
                return rest(context)
            head, tail = node.parts[0], Concat(node.parts[1:])
            if not node.parts[1:]:
                return self.lower(head, context, rest, asks)
            return self.lower(head, context, lambda c: self.lower(tail, c, rest, asks), asks)
        if not asserts(node):
            return self.split(node, context, rest, asks)
        if isinstance(node, Union):
            return self.union([self.lower(b, context, rest, asks) for b in node.branches])
        if isinstance(node, Start):
            here = context is Context.START or (node.line and context is Context.NEWLINE)
            return rest(context) if here else t.empty()
        if isinstance(node, End):
            return self.meet(rest(context), self.end(node))
        if isinstance(node, Boundary):
            return self.meet(rest(context), self.boundary(node, context))
        if isinstance(node, Lookahead):
            ahead = self.lower(node.body, context, lambda _: self.text, asks)
            return self.meet(rest(context), t.negation(ahead) if node.negated else ahead)
        assert isinstance(node, Repeat)
        return self.repeat(node, context, rest, asks)

    def repeat(self, node: Repeat, context: Context, rest: Rest, asks: tuple[bool, Ranges | None, bool]) -> int:
        if _zero_width(node.body):
            node = Repeat(node.body, min(node.least, 1), 1, node.span)
        if node.most is None or node.most > UNROLL:
            raise UnsupportedFeature(
                "an assertion inside a repetition is not supported; write the repetition without it",
                source=self.pattern.source,
                span=node.span,
            )
        ways: list[Node] = [Concat((node.body,) * n) if n else EPSILON for n in range(node.least, node.most + 1)]
        return self.union([self.lower(w, context, rest, asks) for w in ways])

    def split(self, node: Node, context: Context, rest: Rest, asks: tuple[bool, Ranges | None, bool]) -> int:
        """A node without assertions, split by the context that its last character makes."""
        t = self.table
        start, word, line = asks
        body = self.plain(node)
        if not start and word is None:
            return t.concat(body, rest(Context.OTHER))
        ways = [rest(context)] if _nullable(node, t) else []
        newline = ((10, 10),) if line else ()
        last: dict[Context, Ranges] = {
            Context.WORD: word or (),
            Context.NEWLINE: newline,
            Context.OTHER: charset.complement(charset.normalise((*(word or ()), *newline))),
        }
        for after, ranges in last.items():
            if not ranges:
                continue
            following = rest(after)
            if following == t.empty():
                continue
            ending = t.concat(self.text, t.char_class(ranges)) if ranges != charset.ANY else self.nonempty()
            ways.append(t.concat(self.meet(body, ending), following))
        return self.union(ways)

    def nonempty(self) -> int:
        return self.table.repeat(self.any_char, 1, None)

    def end(self, node: End) -> int:
        t = self.table
        ways = [t.epsilon()]
        if node.newline:
            ways.append(t.literal(b"\n"))
        if node.line:
            newlines = ((10, 10),) if self.pattern.dialect == "python" else charset.ECMA_NEWLINES
            ways.append(t.concat(t.char_class(newlines), self.text))
        return self.union(ways)

    def boundary(self, node: Boundary, context: Context) -> int:
        t = self.table
        word_next = t.concat(t.char_class(node.word), self.text)
        other_next = self.union([t.epsilon(), t.concat(t.char_class(charset.complement(node.word)), self.text)])
        return word_next if (context is Context.WORD) == node.negated else other_next

    def union(self, ways: list[int]) -> int:
        kept = [w for w in dict.fromkeys(ways) if w != self.table.empty()]
        return self.table.disjunction(*kept) if kept else self.table.empty()

    def meet(self, a: int, b: int) -> int:
        if a == self.table.empty():
            return a
        return a if a == b else self.table.conjunction(a, b)


def _single(node: Node) -> bytes | None:
    """The UTF-8 of a node that is exactly one character, else None."""
    if isinstance(node, Chars) and len(node.ranges) == 1 and node.ranges[0][0] == node.ranges[0][1]:
        point = node.ranges[0][0]
        return None if 0xD800 <= point <= 0xDFFF else chr(point).encode()
    return None


def _word(node: Node) -> bytes | None:
    """The UTF-8 of a node that is one fixed string, else None."""
    parts = node.parts if isinstance(node, Concat) else (node,)
    singles = [_single(p) for p in parts]
    return b"".join(s for s in singles if s is not None) if all(s is not None for s in singles) else None
