"""Terminals that repeat a text of their own choice: here-documents, dollar quotes, raw strings with any number of marks.

``/<<(?P<d>[A-Z]+)\\n(?s:.*?)\\n(?P=d)/`` is no regular language: its group matches too many texts to write the pattern once for
each. It is a CAPTURE node: what stands before the group, the group, and the pieces between which its text stands again.
The kernel reads it as it reads a regex, with the text of the group beside the state.

What follows the group must begin with a character that no text of the group holds, so that the text itself says where the
delimiter ends. Under "longest" a pattern whose choices after the group are lazy stops where it first can, and greedy
quantifiers that may match nothing may follow, as in regular terminals (`lazy.py`). Negative lookaheads and ``\\b`` may stand at
the end. Everything else is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from grammars.errors import UnsupportedFeature
from grammars.ir import Op, Table
from grammars.lark.lazy import quantifiers, split_lazy
from grammars.lark.lookahead import Ending, variants
from grammars.limits import Limits
from grammars.regex import charset, lower_regex
from grammars.regex.lower import asserts
from grammars.regex.syntax import Concat, Group, Lowered, Node, Pattern, Reference, Repeat, Union
from grammars.regex.widths import alphabet, first_characters, widths

ROWS = 64  # ways through a pattern that differ in what stands before or after the group
_WHAT = "a back-reference to a group of many texts"

Parts = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    """One way through a pattern: its parts, of which `at` is the group and `marks` are the repetitions of its text, written as
    the regex of the group."""

    parts: Parts
    at: int
    marks: frozenset[int]  # by identity

    def is_mark(self, part: Node) -> bool:
        return id(part) in self.marks


def holds_capture(node: Node) -> bool:
    """Did `expand_references` leave a group in the tree?"""
    return isinstance(node, Group) or any(holds_capture(n) for n in _below(node))


def split_captures(node: Node) -> tuple[list[Parts], list[Node]]:
    """The ways through a pattern that hold a group, as sequences of parts, and the alternatives that hold none."""
    rows = [r if isinstance(r, tuple) else (r,) for r in _rows(node)]
    captured = [r for r in rows if any(isinstance(p, Group) for p in r)]
    return captured, [Concat(r) for r in rows if not any(isinstance(p, Group) for p in r)]


def capture(parts: Parts, table: Table, limits: Limits, longest: bool) -> Ending:
    """The CAPTURE node of one way through a pattern, and what must not follow it. Raises UnsupportedFeature."""
    row, unless = _without_lookahead(_row(parts, table), table, longest)
    if any(asserts(p) for p in row.parts):
        raise UnsupportedFeature(
            f"lookaround or an anchor beside {_WHAT} is supported at the end of the terminal, as what must not follow, only"
        )
    _check_separator(row, table)
    after: Parts = ()
    lazy = False
    if longest:
        row, after, lazy = _laziness(row, table, unless)
    before, rest = row.parts[: row.at], row.parts[row.at + 1 :]
    pieces: list[list[Node]] = [[]]
    for part in rest:
        if row.is_mark(part):
            pieces.append([])
        else:
            pieces[-1].append(part)
    regexes = [_lower(before, table), _lower((row.parts[row.at],), table), _lower(after, table)]
    node = table.node(
        Op.CAPTURE, *regexes, limits.delimiter_bytes, int(lazy), *(_lower(tuple(p), table) for p in pieces)
    )
    return Ending(node, unless)


def _row(parts: Parts, table: Table) -> _Row:
    """The parts with the group's regex in the place of the group and of the repetitions of its text."""
    groups = [(i, p) for i, p in enumerate(parts) if isinstance(p, Group)]
    if len(groups) > 1:
        raise UnsupportedFeature(f"{_WHAT}: a terminal may hold one such group on any way through it")
    at, group = groups[0]
    text = _lower((group.body,), table)
    marks: dict[int, Lowered] = {}
    for i, p in enumerate(parts):
        if isinstance(p, Reference):
            if p.ignore_case:
                raise UnsupportedFeature(f"{_WHAT}, with case ignored, is not supported; write it outside of (?i)")
            marks[i] = Lowered(text)
    found = tuple(marks.get(i, group.body if i == at else p) for i, p in enumerate(parts))
    return _Row(found, at, frozenset(map(id, marks.values())))


def _without_lookahead(row: _Row, table: Table, longest: bool) -> tuple[_Row, int | None]:
    """The row without the assertions at its end, and what they say must not follow."""
    unless: list[int] = []
    while asserts(row.parts[-1]):
        found = variants(Concat(row.parts), table, "longest" if longest else "any")
        if len(found) != 1 or found[0].unless is None:
            raise UnsupportedFeature(
                f"this lookaround at the end of a terminal with {_WHAT} is not supported; say what one character must not follow"
            )
        unless.append(found[0].unless)
        row = _Row(row.parts[:-1], row.at, row.marks)
    return row, table.disjunction(*dict.fromkeys(unless)) if unless else None


def _check_separator(row: _Row, table: Table) -> None:
    """What follows the group must begin with a character that is in no text of it."""
    first, empty = first_characters(Concat(row.parts[row.at + 1 :]), table)
    if row.is_mark(row.parts[row.at + 1]) or empty or charset.intersection(first, alphabet(row.parts[row.at], table)):
        raise UnsupportedFeature(
            f"{_WHAT} is supported where the next character after the group is in none of them; exclude it from the group, or "
            "put a separator between them"
        )


def _laziness(row: _Row, table: Table, unless: int | None) -> tuple[_Row, Parts, bool]:
    """What stops where it first can, the greedy rest that goes on from there, and whether there is laziness at all."""
    tree = Concat(row.parts)
    flags = quantifiers(tree, table)
    if not flags.mixed:
        if flags.lazy:
            _check_unless(unless, table)
        return row, (), flags.lazy
    cut = split_lazy(tree, table)
    if cut is None or unless is not None or any(row.is_mark(p) for p in cut[1]):
        raise UnsupportedFeature(
            f"a lazy quantifier among greedy ones, beside {_WHAT}, is not supported here; write the pattern with lazy "
            "quantifiers after the group, or without any"
        )
    first, after = cut
    assert isinstance(first, Concat)
    return _Row(first.parts, row.at, row.marks), after, True


def _check_unless(unless: int | None, table: Table) -> None:
    most = 0 if unless is None else widths(Lowered(unless), table)[1]
    if most is None or most > 1:
        raise UnsupportedFeature(
            f"a terminal with lazy quantifiers and {_WHAT} that looks ahead at more than one character is not supported"
        )


def _rows(node: Node) -> Iterator[Parts]:
    """The ways through sequences and alternatives that hold a group, each a flat row of parts."""
    if isinstance(node, Union) and holds_capture(node):
        for branch in node.branches:
            yield from _rows(branch)
    elif isinstance(node, Concat) and holds_capture(node):
        rows: list[Parts] = [()]
        for part in node.parts:
            ways = list(_rows(part))
            if len(rows) * len(ways) > ROWS:
                raise UnsupportedFeature(f"{_WHAT} in more than {ROWS} ways is not supported; write fewer alternatives")
            rows = [(*r, *w) for r in rows for w in ways]
        yield from rows
    elif isinstance(node, Concat):
        yield node.parts
    else:
        yield (node,)


def _below(node: Node) -> Parts:
    if isinstance(node, Concat):
        return node.parts
    if isinstance(node, Union):
        return node.branches
    return (node.body,) if isinstance(node, Repeat) else ()


def _lower(parts: Parts, table: Table) -> int:
    return lower_regex(Pattern(Concat(parts), "", "python"), table, part=True)
