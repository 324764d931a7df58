"""GBNF grammars as diagrams, one for each rule in the order of the text."""

from __future__ import annotations

from grammars.drawing.text import class_text, quoted
from grammars.drawing.tracks import EMPTY, Box, Diagram, Either, Loop, Series, Track
from grammars.gbnf.parse import parse_gbnf
from grammars.gbnf.syntax import Chars, Choice, Node, Repeat, Rule, Sequence, Text, Token, children
from grammars.limits import Limits


def gbnf_diagrams(text: str, limits: Limits) -> list[Diagram]:
    """The diagrams of a grammar; strings and classes with their escapes resolved. O(size)."""
    grammar = parse_gbnf(text, limits)
    tracks: list[Track] = []
    for node in grammar.nodes:  # each after those it refers to
        tracks.append(_track(node, [tracks[c] for c in children(node)]))
    return [Diagram(name, name, tracks[root]) for name, root in grammar.rules.items()]


def _track(node: Node, below: list[Track]) -> Track:
    if isinstance(node, Text):
        return Box(quoted(node.text.encode()), "terminal") if node.text else EMPTY
    if isinstance(node, Chars):
        return Box(class_text(node.ranges), "class")
    if isinstance(node, Rule):
        return Box(node.name, "rule", node.name)
    if isinstance(node, Token):
        return Box(f"<{node.name}>" if node.name.startswith("[") else node.name, "special")
    if isinstance(node, Sequence):
        return Series(tuple(below))
    if isinstance(node, Choice):
        return Either(tuple(below))
    assert isinstance(node, Repeat)
    return Loop(below[0], node.least, node.most)
