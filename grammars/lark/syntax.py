"""The syntax tree of a Lark grammar: frozen nodes with spans into their source, and an iterative fold over them.

Trees can be as deep as `Limits.depth` allows, which is more than Python's stack; hence everything that walks them is a
`fold`: children before parents, results on an explicit stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

Span = tuple[int, int]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A string; `ignore_case` is its flag ``i``."""

    text: str
    ignore_case: bool
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Regexp:
    """The pattern between the slashes, as written; `flags`: letters of ``imsxu``."""

    pattern: str
    flags: str
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class CharRange:
    low: str
    high: str
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Name:
    """A rule, a terminal or a template parameter; `arguments` (not None) makes it the use of a template."""

    name: str
    arguments: tuple[Node, ...] | None
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    parts: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    branches: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Both:
    """Intersection (terminals only)."""

    parts: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Not:
    """Complement within all texts (terminals only)."""

    body: Node
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Repeat:
    """`most` is None where there is no upper bound."""

    body: Node
    least: int
    most: int | None
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Special:
    """``<name>`` or ``<[ids]>``, without the angle brackets."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """``%json {...}`` or ``%regex {...}``: the JSON text and its place."""

    kind: str
    text: str
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Nested:
    """``%lark {...}``."""

    document: Document
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """``@name``: another grammar, given beside the text."""

    name: str
    span: Span


Node = (
    Literal
    | Regexp
    | CharRange
    | Name
    | Sequence
    | Choice
    | Both
    | Not
    | Repeat
    | Special
    | Embedded
    | Nested
    | Reference
)


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """One of ``name[lazy, suffix="x"]``; `value` is a node, a number, or None."""

    name: str
    value: Literal | Regexp | Name | float | None
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A rule or a terminal. `mode`: "define", "override" or "extend"; `priority` is None where none is written."""

    name: str
    parameters: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    priority: int | None
    body: Node
    mode: str
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Import:
    """``%import path.name -> alias`` or ``%import path (names)``: `names` are (name, alias, span)."""

    path: tuple[str, ...]
    relative: bool
    names: tuple[tuple[str, str, Span], ...]
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Ignore:
    body: Node
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Declare:
    names: tuple[tuple[str, Span], ...]
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class LayoutStatement:
    """``%layout[tab=8] NEWLINE INDENT DEDENT (opens) (closes) [inside]``."""

    newline: Name
    indent: Name
    dedent: Name
    opens: tuple[Node, ...]
    closes: tuple[Node, ...]
    inside: tuple[Node, ...]
    tab: int
    span: Span


Statement = Definition | Import | Ignore | Declare | LayoutStatement


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A text with the name it is known by: "" for the grammar itself, else the path of an import."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    source: Source
    statements: tuple[Statement, ...] = field(repr=False)


def is_terminal(name: str) -> bool:
    """Terminals are written in capitals."""
    return name.lstrip("_")[:1].isupper()


def children(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Sequence | Both):
        return node.parts
    if isinstance(node, Choice):
        return node.branches
    if isinstance(node, Repeat | Not):
        return (node.body,)
    if isinstance(node, Name):
        return node.arguments or ()
    return ()


def fold(root: Node, combine: Callable[[Node, list[Any]], Result], leaves: tuple[type, ...] = ()) -> Result:
    """``combine(node, results of its children)`` for every node, children first and from left to right. O(size).

    Nodes of the types `leaves` are combined without their children.
    """
    results: list[Any] = []
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, ready = stack.pop()
        below = () if isinstance(node, leaves) else children(node)
        if not ready and below:
            stack.append((node, True))
            stack.extend((c, False) for c in reversed(below))
            continue
        given = results[len(results) - len(below) :] if below else []
        if below:
            del results[len(results) - len(below) :]
        results.append(combine(node, given))
    return results[0]


def walk(root: Node) -> Iterator[Node]:
    """Every node, in no particular order."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(children(node))
