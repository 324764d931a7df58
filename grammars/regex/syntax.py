"""The syntax tree of a pattern: frozen nodes, with character sets already resolved to ranges of code points."""

from __future__ import annotations

from dataclasses import dataclass

Ranges = tuple[tuple[int, int], ...]
"""Sorted, disjoint, inclusive ranges of code points."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Concat:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Union:
    branches: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    body: Node
    least: int
    most: int | None
    span: tuple[int, int]
    lazy: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """The position before the first character (of a line, if `line`)."""

    line: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """The position after the last character; `newline`: also before a final newline; `line`: the end of any line."""

    newline: bool = False
    line: bool = False


@dataclass(frozen=True, slots=True)
class Boundary:
    """A position between a word character and something else, or (`negated`) any other position."""

    word: Ranges
    negated: bool


@dataclass(frozen=True, slots=True)
class Behind:
    """A position after a character of the set, or (`negated`) any other position."""

    ranges: Ranges
    negated: bool


@dataclass(frozen=True, slots=True)
class Lookahead:
    body: Node
    negated: bool


@dataclass(frozen=True, slots=True)
class Lowered:
    """A regex that is a node of the table already."""

    node: int


@dataclass(frozen=True, slots=True)
class Group:
    """A group that a back-reference may refer to. Parsing replaces these and references (`references.py`)."""

    number: int
    body: Node
    span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Reference:
    """What group `number` has matched, or (`ignore_case`) what differs from it in case alone."""

    number: int
    ignore_case: bool
    ascii: bool
    span: tuple[int, int]


Node = Chars | Concat | Union | Repeat | Start | End | Boundary | Behind | Lookahead | Lowered | Group | Reference
EPSILON = Concat(())


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed pattern with its source, for messages."""

    node: Node
    source: str
    dialect: str
