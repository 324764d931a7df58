"""The syntax tree of a GBNF grammar, in one list: a node refers to earlier ones by number, so that nothing recurses."""

from __future__ import annotations

from dataclasses import dataclass, field

from grammars.regex.syntax import Ranges

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Text:
    """A string; it may be empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Rule:
    """A reference to a rule."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the vocabulary: "[id]", or its text with the angle brackets."""

    name: str


@dataclass(frozen=True, slots=True)
class Sequence:
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    branches: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    body: int
    least: int
    most: int | None


Node = Text | Chars | Rule | Token | Sequence | Choice | Repeat


@dataclass(slots=True)
class Grammar:
    """`nodes` in the order of their ends; `rules`: the node of each rule's body; `places`: where its name stands."""

    source: str
    nodes: list[Node] = field(default_factory=list)
    rules: dict[str, int] = field(default_factory=dict)
    places: dict[str, Span] = field(default_factory=dict)

    def add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1


def children(node: Node) -> tuple[int, ...]:
    if isinstance(node, Sequence):
        return node.parts
    if isinstance(node, Choice):
        return node.branches
    return (node.body,) if isinstance(node, Repeat) else ()
