"""Syntax trees to regular languages over UTF-8.

Sub-trees without assertions lower bottom-up. The rest lowers right to left in continuation-passing style:
``lower(node, context, rest)`` is the language of everything from here to the end of the text, where `rest(context)` is
the language of what follows the node and a *context* says all that an assertion may ask about the left: the text has not
begun, or the last character was in this or that class (those that the assertions tell apart). Then ``$`` is an intersection
of what follows with the empty string, a lookahead an intersection with its own language, ``^`` and a lookbehind a test of
the context, and ``\\b`` both. A node without assertions is split by the context it leads to only where something asks.
"""

from __future__ import annotations

from collections.abc import Callable

from grammars.errors import UnsupportedFeature
from grammars.ir import Table
from grammars.regex import charset
from grammars.regex.syntax import (
    EPSILON,
    Behind,
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

_ASSERTIONS = (Start, End, Boundary, Behind, Lookahead)
UNROLL = 64  # repetitions that hold assertions are written out up to this bound


START = -1
"""The context at the beginning of the text; all others are numbers of character classes."""

Context = int
Rest = Callable[[Context], int]


def lower_regex(pattern: Pattern, table: Table, *, search: bool = False, part: bool = False) -> int:
    """Return the node of the language of `pattern`: whole strings that match, or (`search`) that contain a match.

    part: the string is a part of a longer text, and asking what stands before it is unsupported.
    All strings are valid UTF-8. Raises UnsupportedFeature for assertions inside an unbounded repetition.
    """
    node = pattern.node
    lowering = _Lowering(table, pattern, part, asserts(node))
    if not lowering.asserting:
        body = lowering.plain(node)
        return table.concat(table.text(), body, table.text()) if search else body
    anything = Repeat(Chars(charset.ANY), 0, None, (0, 0))
    if search:
        node = Concat((anything, node, anything))
    return lowering.lower(node, START, lambda _: table.epsilon())


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below."""
    if isinstance(node, Concat):
        return node.parts
    if isinstance(node, Union):
        return node.branches
    return (node.body,) if isinstance(node, (Repeat, Lookahead)) else ()


def asserts(node: Node) -> bool:
    """Does the node hold an assertion?"""
    stack = [node]
    while stack:
        n = stack.pop()
        if isinstance(n, _ASSERTIONS):
            return True
        stack.extend(c for c in children(n) if type(c) is not Chars)
    return False


NEWLINE: Ranges = ((10, 10),)


def _asks(node: Node) -> tuple[bool, list[Ranges]]:
    """What the assertions ask of the left: whether it is the start, and sets of characters."""
    start = False
    sets: dict[Ranges, None] = {}
    stack = [node]
    while stack:
        n = stack.pop()
        if isinstance(n, Start):
            start = True
            if n.line:
                sets[NEWLINE] = None
        if isinstance(n, Boundary):
            sets[n.word] = None
        if isinstance(n, Behind):
            sets[n.ranges] = None
        stack.extend(c for c in children(n) if type(c) is not Chars)
    return start, list(sets)


def _partition(sets: list[Ranges]) -> list[Ranges]:
    """The classes of characters that `sets` tell apart; together they are all characters."""
    classes: list[Ranges] = [charset.ANY]
    for s in sets:
        outside = charset.complement(s)
        split = [charset.intersection(c, side) for c in classes for side in (s, outside)]
        classes = [c for c in split if c]
    return classes


def _zero_width(node: Node) -> bool:
    """Does the node match nothing but the empty string, wherever it matches?"""
    if isinstance(node, Concat | Union):
        return all(map(_zero_width, children(node)))
    return isinstance(node, _ASSERTIONS)


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
    def __init__(self, table: Table, pattern: Pattern, part: bool, asserting: bool) -> None:
        self.table, self.pattern, self.part, self.asserting = table, pattern, part, asserting
        start, sets = _asks(pattern.node) if asserting else (False, [])
        self.asked = start or bool(sets)
        self.classes = _partition(sets)
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
        literal = ""
        for part in node.parts:
            single = _single(part)
            if single is not None:
                literal += single
                continue
            if literal:
                parts.append(t.literal(literal.encode()))
                literal = ""
            parts.append(self.plain(part))
        if literal:
            parts.append(t.literal(literal.encode()))
        return t.concat(*parts)

    def chars(self, ranges: Ranges) -> int:
        if not ranges:
            return self.table.empty()
        return self.table.char_class(ranges)

    # ------------------------------------------------------------------ with assertions
    def lower(self, node: Node, context: Context, rest: Rest) -> int:
        t = self.table
        if not asserts(node):
            return self.split(node, context, rest)
        if isinstance(node, Concat):
            cut = next(i for i, p in enumerate(node.parts) if asserts(p)) or 1  # what comes first without assertions
            head, tail = node.parts[:cut], Concat(node.parts[cut:])
            first = head[0] if cut == 1 else Concat(head)
            known: dict[Context, int] = {}

            def following(c: Context) -> int:
                if c not in known:
                    known[c] = self.lower(tail, c, rest)
                return known[c]

            return self.lower(first, context, following if tail.parts else rest)
        if isinstance(node, Union):
            return self.union([self.lower(b, context, rest) for b in node.branches])
        if isinstance(node, Start):
            here = context == START or (node.line and self.after(context, NEWLINE))
            return rest(context) if here else t.empty()
        if isinstance(node, Behind):
            return rest(context) if self.after(context, node.ranges) != node.negated else t.empty()
        if isinstance(node, End):
            return self.meet(rest(context), self.end(node))
        if isinstance(node, Boundary):
            return self.meet(rest(context), self.boundary(node, context))
        if isinstance(node, Lookahead):
            ahead = self.lower(node.body, context, lambda _: self.text)
            return self.meet(rest(context), t.negation(ahead) if node.negated else ahead)
        assert isinstance(node, Repeat)
        return self.repeat(node, context, rest)

    def repeat(self, node: Repeat, context: Context, rest: Rest) -> int:
        if _zero_width(node.body):
            node = Repeat(node.body, min(node.least, 1), 1, node.span)
        if node.most is None or node.most > UNROLL:
            raise UnsupportedFeature(
                "an assertion inside a repetition is not supported; write the repetition without it",
                source=self.pattern.source,
                span=node.span,
            )
        ways: list[Node] = [Concat((node.body,) * n) if n else EPSILON for n in range(node.least, node.most + 1)]
        return self.union([self.lower(w, context, rest) for w in ways])

    def split(self, node: Node, context: Context, rest: Rest) -> int:
        """A node without assertions, split by the context that its last character makes."""
        t = self.table
        if node == EPSILON:
            return rest(context)
        body = self.plain(node)
        if not self.asked:
            return t.concat(body, rest(0))
        ways = [rest(context)] if _nullable(node, t) else []
        for after, ranges in enumerate(self.classes):
            following = rest(after)
            if following == t.empty():
                continue
            ending = t.concat(self.text, t.char_class(ranges)) if ranges != charset.ANY else self.nonempty()
            ways.append(t.concat(self.meet(body, ending), following))
        return self.union(ways)

    def after(self, context: Context, ranges: Ranges) -> bool:
        """Is the last character in the set (one of those that the assertions ask about)?"""
        if context == START:
            if self.part:
                raise UnsupportedFeature("an assertion that looks before the beginning is not supported; remove it")
            return False
        return charset.contains(ranges, self.classes[context][0][0])

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
        return word_next if self.after(context, node.word) == node.negated else other_next

    def union(self, ways: list[int]) -> int:
        kept = [w for w in dict.fromkeys(ways) if w != self.table.empty()]
        return self.table.disjunction(*kept) if kept else self.table.empty()

    def meet(self, a: int, b: int) -> int:
        if a == self.table.empty():
            return a
        return a if a == b else self.table.conjunction(a, b)


def _single(node: Node) -> str | None:
    """The character of a node that is exactly one, else None."""
    if type(node) is not Chars or len(node.ranges) != 1:
        return None
    first, last = node.ranges[0]
    return chr(first) if first == last and not 0xD800 <= first <= 0xDFFF else None


def _word(node: Node) -> bytes | None:
    """The UTF-8 of a node that is one fixed string, else None."""
    word = ""
    for part in node.parts if isinstance(node, Concat) else (node,):
        single = _single(part)
        if single is None:
            return None
        word += single
    return word.encode()
