"""What a terminal asks of the text after it: a lookahead that sees past the end becomes `unless` of the terminal.

A lookahead that is decided inside the terminal is left to the regex front end. A negative one that may see past the end
is taken apart by how much of the terminal stands to its right: ``"(?!"")[^"]*"`` is the word ``""``, after which no ``"``
may follow, and all longer words, where the lookahead sees nothing outside. Each case is one *variant* of the terminal.
A positive lookahead past the end would ask for text that another terminal has to bring; it is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from grammars.errors import UnsupportedFeature
from grammars.ir import Table
from grammars.regex import charset, lower_regex
from grammars.regex.lower import asserts
from grammars.regex.syntax import (
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
    Union,
)  # fmt: skip
from grammars.regex.widths import Widths, last_characters, spellings, widths

VARIANTS = 64  # of one terminal
_ANY = Chars(charset.ANY)
Parts = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Ending:
    """A language, and a regex of which no match may follow it."""

    node: int
    unless: int | None = None


@dataclass(frozen=True, slots=True)
class _Variant:
    """What is settled of a terminal from the right: its parts, and what may not follow."""

    parts: Parts = ()
    ahead: Parts = ()


def variants(node: Node, table: Table, lexing: Literal["longest", "any"]) -> list[Ending]:
    """The terminal as languages with endings; together they are what `re` matches, whatever text goes on.

    Raises UnsupportedFeature for assertions that no ending expresses.
    """
    if isinstance(node, Lowered):
        return [Ending(node.node)]
    found: dict[Ending, None] = {}
    for flat in _branches(node):
        settled = [_Variant()]
        for i in reversed(range(len(flat))):
            settled = [v for old in settled for v in _settle(flat, i, old, table, lexing)]
            _bound(len(settled) + len(found))
        for v in settled:
            unless = [lower_regex(Pattern(a, "", "python"), table, part=True) for a in dict.fromkeys(v.ahead)]
            kept = lower_regex(Pattern(Concat(v.parts), "", "python"), table, part=True)
            if kept != table.empty():
                found[Ending(kept, table.disjunction(*unless) if unless else None)] = None
    return list(found)


def _bound(n: int) -> None:
    if n > VARIANTS:
        raise UnsupportedFeature(f"lookaheads that split a terminal into more than {VARIANTS} are not supported")


def _branches(node: Node) -> Iterator[Parts]:
    """The ways through alternatives that hold assertions, each a flat row of parts."""
    if isinstance(node, Union) and asserts(node):
        plain = [b for b in node.branches if not asserts(b)]
        if plain:
            yield (plain[0] if len(plain) == 1 else Union(tuple(plain)),)
        for b in node.branches:
            if asserts(b):
                yield from _branches(b)
    elif isinstance(node, Concat):
        rows: list[Parts] = [()]
        for part in node.parts:
            ways = list(_branches(part)) if asserts(part) else [(part,)]
            _bound(len(rows) * len(ways))
            rows = [(*r, *w) for r in rows for w in ways]
        yield from rows
    elif isinstance(node, Repeat) and asserts(node) and (node.least, node.most) == (0, 1):
        yield ()
        yield from _branches(node.body)
    else:
        yield (node,)


def _settle(flat: Parts, i: int, right: _Variant, table: Table, lexing: str) -> list[_Variant]:
    """Put part `i` before what is settled."""
    part = flat[i]
    kept = _Variant((part, *right.parts), right.ahead)
    if not asserts(part) or isinstance(part, Behind):
        return [kept]
    least, most = widths(Concat(right.parts), table)
    if isinstance(part, Boundary):
        return _boundary(part, flat[:i], right, (least, most), table)
    if isinstance(part, Repeat):
        if any(_sight(x, table) is None or (_sight(x, table) or 0) > least for x in _asserting(part.body)):
            raise UnsupportedFeature(
                "a lookahead in a repetition that may see past the terminal's end is not supported"
            )
        return [kept]
    assert isinstance(part, Lookahead)
    sight = _sight(part, table)
    if sight is not None and sight <= least:
        return [kept]
    if not part.negated:
        raise UnsupportedFeature(
            "a positive lookahead that may see past the end of the terminal is not supported; "
            "make what must follow part of the grammar"
        )
    if most == 0 and not asserts(part.body):
        return [_Variant(right.parts, (*right.ahead, part.body))]
    if lexing == "longest" and _closed(part.body, right.parts):
        return [_Variant((part, *right.parts), (*right.ahead, Chars(_trailing_word(part.body))))]
    return _apart(part, right, least, table)


def _asserting(node: Node) -> Iterator[Node]:
    stack = [node]
    while stack:
        n = stack.pop()
        if isinstance(n, Lookahead | Boundary):
            yield n
        elif isinstance(n, Concat):
            stack.extend(n.parts)
        elif isinstance(n, Union):
            stack.extend(n.branches)
        elif isinstance(n, Repeat):
            stack.append(n.body)


def _sight(node: Node, table: Table) -> int | None:
    """How many characters to its right decide an assertion; None: there is no bound."""
    if isinstance(node, Boundary):
        return 1
    body = node.body if isinstance(node, Lookahead) else node
    most = widths(body, table)[1]
    inner = [_sight(x, table) for x in _asserting(body)]
    if most is None or None in inner:
        return None
    return most + max((i for i in inner if i is not None), default=0)


def _boundary(part: Boundary, left: Parts, right: _Variant, wide: Widths, table: Table) -> list[_Variant]:
    """``\\b`` and ``\\B``; at the end of the terminal only where they say what must not follow."""
    least, most = wide
    if least > 0:
        return [_Variant((part, *right.parts), right.ahead)]
    found = []
    if most != 0:
        more = Lookahead(_ANY, negated=False)
        found.append(_Variant((part, more, *right.parts), right.ahead))
    # nothing follows in the terminal: after a word character \b says that none may come, after another \B does
    fine = charset.complement(part.word) if part.negated else part.word
    last = last_characters(Concat(left), table)[0]
    if charset.intersection(last, fine) != last:
        mark, kind = (r"\B", "no word character") if part.negated else (r"\b", "a word character")
        raise UnsupportedFeature(
            f"{mark} at the end of a terminal is supported after {kind}; elsewhere it would ask for what must follow"
        )
    done = Lookahead(End(), negated=False)
    found.append(_Variant((Behind(fine, negated=False), done, *right.parts), (*right.ahead, Chars(part.word))))
    return found


def _trailing_word(body: Node) -> Ranges:
    """The word characters of a ``\\b`` that ends every branch of `body`, or none."""
    ends = body.branches if isinstance(body, Union) else (body,)
    words = set()
    for end in ends:
        last = end.parts[-1] if isinstance(end, Concat) and end.parts else end
        words.add(last.word if isinstance(last, Boundary) and not last.negated else ())
    return words.pop() if len(words) == 1 else ()


def _closed(body: Node, rest: Parts) -> bool:
    """Is this ``(?!(if|else)\\b)`` before a run that takes every word character? Then the longest match is the whole run,
    and the lookahead asks whether that run is one of the words."""
    word = _trailing_word(body)
    last = rest[-1] if rest else None
    return (
        bool(word)
        and isinstance(last, Repeat)
        and last.most is None
        and isinstance(last.body, Chars)
        and charset.intersection(last.body.ranges, word) == word
    )


def _apart(part: Lookahead, right: _Variant, least: int, table: Table) -> list[_Variant]:
    """A negative lookahead for a few short texts, by how much of the terminal stands to its right."""
    rows = None if asserts(part.body) else spellings(part.body, table, 16)
    if rows is None:
        raise UnsupportedFeature(
            "a negative lookahead that may see past the end of the terminal is supported for a few short texts; "
            "write the terminal as A & ~B, or put the lookahead at its end"
        )
    found = [right]
    for row in rows:
        found = [v for old in found for v in _one_row(row, old, least)]
        _bound(len(found))
    return found


def _one_row(row: tuple[Ranges, ...], right: _Variant, least: int) -> Iterator[_Variant]:
    whole = Concat(tuple(map(Chars, row)))
    enough = Lookahead(Concat((_ANY,) * len(row)), negated=False)
    yield _Variant((enough, Lookahead(whole, negated=True), *right.parts), right.ahead)
    for n in range(least, len(row)):
        start = Concat((*map(Chars, row[:n]), End()))
        exactly = Concat(((_ANY,) * n) + (End(),))
        rest = Concat(tuple(map(Chars, row[n:])))
        yield _Variant((Lookahead(start, negated=False), *right.parts), (*right.ahead, rest))
        if n:
            other = (Lookahead(exactly, negated=False), Lookahead(start, negated=True))
            yield _Variant((*other, *right.parts), right.ahead)
