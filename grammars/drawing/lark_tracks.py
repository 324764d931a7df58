"""Lark grammars as diagrams: one for each rule and terminal, in the order of the text, then those that it imports.

Names are looked up where they are written, as the front end does, so that a box leads to the definition that counts:
overridden, extended or imported under another name. Intersections, complements and regexes are boxes with their text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from grammars.drawing.text import visible
from grammars.drawing.tracks import Box, Diagram, Either, Kind, Loop, Series, Track
from grammars.lark import syntax as lark
from grammars.lark.load import Body, Loader, Namespace, Slot, as_choice
from grammars.lark.parse import parse_lark
from grammars.limits import Limits

_KINDS: dict[type, Kind] = {
    lark.Literal: "terminal", lark.Regexp: "terminal", lark.CharRange: "terminal", lark.Both: "terminal",
    lark.Not: "terminal", lark.Special: "special", lark.Embedded: "embedded", lark.Nested: "embedded",
    lark.Reference: "embedded",
}  # fmt: skip


def lark_diagrams(texts: Mapping[str, str], limits: Limits) -> list[Diagram]:
    """The diagrams of the grammar ``texts[""]``; the other texts are those of imports, by path. O(size).

    Raises what reading the grammar raises.
    """
    imports = {name: text for name, text in texts.items() if name}
    loader = Loader(imports, limits)
    space = loader.load(parse_lark(lark.Source("", texts[""]), limits))
    return list(_Drawing(loader).diagrams(space))


class _Drawing:
    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.keys: dict[int, str] = {}
        self.todo: list[Slot] = []
        self.spaces: list[Namespace] = []  # of nested grammars, and the outermost
        self.nested: dict[int, str | None] = {}

    def diagrams(self, outermost: Namespace) -> Iterator[Diagram]:
        self.spaces.append(outermost)
        at = 0
        for space in self.spaces:  # grows as nested grammars are met
            for slot in sorted((s for s in space.slots.values() if s.home is space), key=lambda s: s.span):
                self.key(slot)
            while at < len(self.todo):
                at += 1
                yield self.diagram(self.todo[at - 1])
            yield from self.statements(space)

    def key(self, slot: Slot) -> str:
        """The key of the diagram of `slot`, which is drawn in its turn."""
        found = self.keys.get(id(slot))
        if found is None:
            found = self.keys[id(slot)] = f"{len(self.keys)}"
            self.todo.append(slot)
        return found

    def diagram(self, slot: Slot) -> Diagram:
        name = slot.name + (f"{{{', '.join(slot.parameters)}}}" if slot.parameters else "")
        branches = tuple(self.track(b, slot.parameters) for b in as_choice(slot.bodies))
        track = branches[0] if len(branches) == 1 else Either(branches) if branches else Series(())
        return Diagram(self.keys[id(slot)], name, track, tuple(self.notes(slot)), slot.terminal)

    def notes(self, slot: Slot) -> Iterator[str]:
        if slot.home.source.name:
            yield f"of {slot.home.source.name}"
        for a in slot.attributes:
            yield visible(slot.home.source.text[a.span[0] : a.span[1]])
        if slot.priority is not None:
            yield f"priority {slot.priority}"
        if not slot.bodies:
            yield "declared: it has no text of its own"

    def statements(self, space: Namespace) -> Iterator[Diagram]:
        ignored = tuple(self.track(Body(s.body, space), ()) for s in space.ignored)
        if ignored:
            note = "may stand between any two terminals"
            track = ignored[0] if len(ignored) == 1 else Either(ignored)
            yield Diagram(f"ignore {id(space)}", "%ignore", track, (note,), True)
        y = space.layout
        if y is not None:
            parts = (y.newline, y.indent, y.dedent, *y.opens, *y.closes, *y.inside)
            boxes = tuple(self.track(Body(p, space), ()) for p in parts)
            yield Diagram(f"layout {id(space)}", "%layout", Series(boxes), ("indentation counts",), True)

    # ------------------------------------------------------------------ expressions
    def track(self, body: Body, parameters: tuple[str, ...]) -> Track:
        def combine(n: lark.Node, given: list[Track]) -> Track:
            if isinstance(n, lark.Sequence):
                return Series(tuple(given))
            if isinstance(n, lark.Choice):
                return Either(tuple(given))
            if isinstance(n, lark.Repeat):
                return Loop(given[0], n.least, n.most)
            return self.box(n, body.home, parameters)

        leaves = (lark.Name, lark.Both, lark.Not)
        return lark.fold(body.node, combine, leaves)

    def box(self, n: lark.Node, home: Namespace, parameters: tuple[str, ...]) -> Track:
        if isinstance(n, lark.Literal) and not n.text:
            return Series(())
        for inner in lark.walk(n):
            if isinstance(inner, lark.Name) and inner.name not in parameters and inner.name in home.slots:
                self.key(home.slots[inner.name])
        written = visible(re.sub(r"\s+", " ", home.source.text[n.span[0] : n.span[1]]))
        if isinstance(n, lark.Embedded):  # its place is that of the JSON text
            written = f"%{n.kind} {written}"
        if isinstance(n, lark.Nested):
            return Box(written, "embedded", self.start_of(n))
        if not isinstance(n, lark.Name):
            return Box(written, _KINDS[type(n)])
        slot = None if n.name in parameters else home.slots.get(n.name)
        kind: Kind = "terminal" if lark.is_terminal(n.name) else "rule"
        return Box(written, kind, self.key(slot) if slot else None)

    def start_of(self, n: lark.Nested) -> str | None:
        """The key of the start of a nested grammar, whose rules are drawn after those around it."""
        if id(n) not in self.nested:
            space = self.loader.load(n.document)
            self.spaces.append(space)
            self.nested[id(n)] = self.key(space.slots["start"]) if "start" in space.slots else None
        return self.nested[id(n)]
