"""How long the matches of a regex are, and what they end with: bounds found from its syntax."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import TypeVar

from grammars.ir import UNBOUNDED, Op, Table
from grammars.regex import charset
from grammars.regex.syntax import (
    Behind,
    Boundary,
    Chars,
    Concat,
    End,
    Lookahead,
    Lowered,
    Node,
    Ranges,
    Repeat,
    Start,
    Union,
)

T = TypeVar("T")

Widths = tuple[int, int | None]
"""Least and most characters; None: no bound is known."""

Spelling = tuple[Ranges, ...]
"""One set of characters for each position."""


def widths(node: Node, table: Table) -> Widths:
    """Bounds on the length of the matches, in characters; assertions count nothing. O(size)."""
    if isinstance(node, Chars):
        return 1, 1
    if isinstance(node, Concat):
        return _in_a_row([widths(p, table) for p in node.parts])
    if isinstance(node, Union):
        return _either([widths(b, table) for b in node.branches])
    if isinstance(node, Repeat):
        return _times(widths(node.body, table), node.least, node.most)
    return _node_widths(node.node, table) if isinstance(node, Lowered) else (0, 0)


def _in_a_row(parts: list[Widths]) -> Widths:
    most = [p[1] for p in parts]
    return sum(p[0] for p in parts), None if None in most else sum(m for m in most if m is not None)


def _either(parts: list[Widths]) -> Widths:
    most = [p[1] for p in parts]
    return min(p[0] for p in parts), None if None in most else max(m for m in most if m is not None)


def _times(body: Widths, least: int, most: int | None) -> Widths:
    if most is None:
        return body[0] * least, 0 if body[1] == 0 else None
    return body[0] * least, None if body[1] is None else body[1] * most


def _node_widths(root: int, table: Table) -> Widths:
    return _bottom_up(root, table, _one_node)


def _one_node(i: int, table: Table, known: dict[int, Widths]) -> Widths:
    op, *x = table.nodes[i]
    if op == Op.CLASS:
        return 1, 1
    if op in (Op.LITERAL, Op.STRINGS):
        return _either([(n, n) for n in (len(table.blobs[b].decode(errors="replace")) for b in x)] or [(0, 0)])
    if op == Op.CONCAT:
        return _in_a_row([known[c] for c in x])
    if op == Op.OR and x:
        return _either([known[c] for c in x])
    if op == Op.AND:
        most = [known[c][1] for c in x if known[c][1] is not None]
        return max((known[c][0] for c in x), default=0), min((m for m in most if m is not None), default=None)
    if op == Op.REPEAT:
        return _times(known[x[0]], x[1], None if x[2] == UNBOUNDED else x[2])
    return (0, 0) if op in (Op.EPSILON, Op.EMPTY) else (0, None)


def spellings(node: Node, table: Table, limit: int) -> list[Spelling] | None:
    """The matches as at most `limit` rows of character sets; None if there are more, or if they cannot be written so."""
    if isinstance(node, Chars):
        return [(node.ranges,)]
    if isinstance(node, Union):
        found = [spellings(b, table, limit) for b in node.branches]
        return None if None in found else _few([s for f in found if f is not None for s in f], limit)
    if isinstance(node, Concat):
        return _joined([spellings(p, table, limit) for p in node.parts], limit)
    if isinstance(node, Repeat):
        if node.most is None or node.most > limit:
            return None
        body = spellings(node.body, table, limit)
        runs = [_joined([body] * n, limit) for n in range(node.least, node.most + 1)]
        return None if None in runs else _few([s for r in runs if r is not None for s in r], limit)
    return _node_spellings(node.node, table, limit) if isinstance(node, Lowered) else None


def _node_spellings(i: int, table: Table, limit: int) -> list[Spelling] | None:
    op, *x = table.nodes[i]
    if op == Op.CLASS:
        return [(tuple(zip(x[::2], x[1::2], strict=True)),)]
    if op in (Op.LITERAL, Op.STRINGS) and len(x) <= limit:
        words = [table.blobs[b].decode(errors="replace") for b in x]
        return [tuple(((ord(c), ord(c)),) for c in w) for w in words]
    if op == Op.CONCAT and len(x) <= limit:
        return _joined([_node_spellings(c, table, limit) for c in x], limit)
    return [()] if op == Op.EPSILON else None


def _joined(parts: list[list[Spelling] | None], limit: int) -> list[Spelling] | None:
    out: list[Spelling] = [()]
    for part in parts:
        if part is None or len(out) * len(part) > limit:
            return None
        out = [(*a, *b) for a, b in product(out, part)]
    return out


def _few(found: list[Spelling], limit: int) -> list[Spelling] | None:
    unique = list(dict.fromkeys(found))
    return unique if len(unique) <= limit else None


def alphabet(node: Node, table: Table) -> Ranges:
    """A set that holds every character of every match."""
    if isinstance(node, Chars):
        return node.ranges
    if isinstance(node, Concat | Union):
        below = node.parts if isinstance(node, Concat) else node.branches
        return charset.normalise(r for b in below for r in alphabet(b, table))
    if isinstance(node, Repeat):
        return alphabet(node.body, table)
    return _bottom_up(node.node, table, _one_alphabet) if isinstance(node, Lowered) else ()


def first_characters(node: Node, table: Table) -> tuple[Ranges, bool]:
    """(a set that holds the first character of every match, may the match be empty)."""
    if isinstance(node, Chars):
        return node.ranges, False
    if isinstance(node, Concat):
        found: Ranges = ()
        for part in node.parts:
            ranges, empty = first_characters(part, table)
            found = charset.normalise((*found, *ranges))
            if not empty:
                return found, False
        return found, True
    if isinstance(node, Union):
        starts = [first_characters(b, table) for b in node.branches]
        return charset.normalise(r for e in starts for r in e[0]), any(e[1] for e in starts)
    if isinstance(node, Repeat):
        ranges, empty = first_characters(node.body, table)
        return ranges, empty or node.least == 0
    if isinstance(node, Lowered):
        return _bottom_up(node.node, table, _one_first), table.nullable(node.node)
    return (), True


def last_characters(node: Node, table: Table) -> tuple[Ranges, bool]:
    """(a set that holds the last character of every match, may the match be empty)."""
    if isinstance(node, Chars):
        return node.ranges, False
    if isinstance(node, Concat):
        found: Ranges = ()
        for part in reversed(node.parts):
            ranges, empty = last_characters(part, table)
            found = charset.normalise((*found, *ranges))
            if not empty:
                return found, False
        return found, True
    if isinstance(node, Union):
        ends = [last_characters(b, table) for b in node.branches]
        return charset.normalise(r for e in ends for r in e[0]), any(e[1] for e in ends)
    if isinstance(node, Repeat):
        ranges, empty = last_characters(node.body, table)
        return ranges, empty or node.least == 0
    if isinstance(node, Lowered):
        return _bottom_up(node.node, table, _one_last), table.nullable(node.node)
    assert isinstance(node, Start | End | Boundary | Behind | Lookahead)
    return (), True


def _bottom_up(root: int, table: Table, one: Callable[[int, Table, dict[int, T]], T]) -> T:
    """A property of a regex node, computed for those below it first, and once for each."""
    known: dict[int, T] = table.known.setdefault(one, {})
    stack = [root]
    while stack:
        i = stack[-1]
        missing = [c for c in table.operands(i) if c not in known]
        if i in known or not missing:
            stack.pop()
            known.setdefault(i, one(i, table, known))
        else:
            stack.extend(missing)
    return known[root]


def _one_alphabet(i: int, table: Table, known: dict[int, Ranges]) -> Ranges:
    op, *x = table.nodes[i]
    if op in (Op.LITERAL, Op.STRINGS):
        return charset.normalise((ord(c), ord(c)) for b in x for c in table.blobs[b].decode(errors="replace"))
    if op == Op.CONCAT:
        return charset.normalise(r for c in x for r in known[c])
    return _shared(i, table, known)


def _one_first(i: int, table: Table, known: dict[int, Ranges]) -> Ranges:
    op, *x = table.nodes[i]
    if op in (Op.LITERAL, Op.STRINGS):
        words = [table.blobs[b].decode(errors="replace") for b in x]
        return charset.normalise((ord(w[0]), ord(w[0])) for w in words if w)
    return _in_order(x, table, known) if op == Op.CONCAT else _shared(i, table, known)


def _in_order(row: Iterable[int], table: Table, known: dict[int, Ranges]) -> Ranges:
    found: Ranges = ()
    for c in row:
        found = charset.normalise((*found, *known[c]))
        if not table.nullable(c):
            break
    return found


def _one_last(i: int, table: Table, known: dict[int, Ranges]) -> Ranges:
    op, *x = table.nodes[i]
    if op in (Op.LITERAL, Op.STRINGS):
        words = [table.blobs[b].decode(errors="replace") for b in x]
        return charset.normalise((ord(w[-1]), ord(w[-1])) for w in words if w)
    return _in_order(reversed(x), table, known) if op == Op.CONCAT else _shared(i, table, known)


def _shared(i: int, table: Table, known: dict[int, Ranges]) -> Ranges:
    """What alphabets, first and last characters have in common."""
    op, *x = table.nodes[i]
    if op == Op.CLASS:
        return tuple(zip(x[::2], x[1::2], strict=True))
    if op == Op.OR:
        return charset.normalise(r for c in x for r in known[c])
    if op == Op.REPEAT:
        return known[x[0]]
    if op == Op.AND:
        found: Ranges = charset.ANY
        for c in x:
            found = charset.intersection(found, known[c])
        return found
    return () if op in (Op.EPSILON, Op.EMPTY) else charset.ANY
