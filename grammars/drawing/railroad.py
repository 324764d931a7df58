"""Railroad diagrams: one for each name, on one page of SVG, each box a link to the diagram of what it names.

The package ``railroad-diagrams`` (module ``railroad``) places and draws the tracks. It recurses once for each level of an
expression, so that expressions deeper than `DEEPEST` are drawn in parts that refer to each other, which is also how they can
be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grammars.drawing.page import Section, page
from grammars.drawing.text import TOOLTIP, clip, columns, visible
from grammars.drawing.tracks import Box, Diagram, Either, Loop, Series, Track, fold
from grammars.errors import ConstrainError, LimitExceeded

DEEPEST = 16  # levels of one diagram
WIDEST = 900  # pixels of a line of boxes
TALLEST = 20  # branches in a column
STYLE = """
path { stroke-width: 2; stroke: #444; fill: none; }
rect { stroke-width: 1.5; stroke: #446; fill: #eef6e8; }
.non-terminal rect { fill: #e8effa; } .special rect { fill: #fbe9d8; } .embedded rect { fill: #f3e8f7; }
text { font: 14px monospace; text-anchor: middle; fill: #222; } text.comment { font: italic 12px monospace; fill: #666; }
"""


def railroad_page(diagrams: list[Diagram], title: str, limit: int) -> str:
    """An SVG document. O(boxes), counted with those of repeated parts; raises LimitExceeded beyond `limit` of them."""
    drawing = _Drawing(diagrams, limit)
    return page(title, STYLE, [s for d in diagrams for s in drawing.sections(d)])


@dataclass(frozen=True, slots=True)
class _Placed:
    """An item of the library and the levels below it."""

    item: Any
    levels: int


class _Drawing:
    def __init__(self, diagrams: list[Diagram], limit: int) -> None:
        try:
            import railroad
        except ImportError:
            advice = "install it (pip install 'constrain[draw]'), or draw the automaton, which needs nothing"
            raise ConstrainError(f"railroad diagrams need the package railroad-diagrams; {advice}") from None
        self.lib: Any = railroad
        self.limit, self.boxes = limit, 0
        self.anchors = {d.key: f"d{n}" for n, d in enumerate(diagrams)}

    def section(self, key: str, name: str, *items: Any) -> Section:
        drawn = self.lib.Diagram(*items).format(10, 10, 10, 10)
        parts: list[str] = []
        drawn.writeSvg(parts.append)
        text = "".join(parts).replace("]]>", "]]&gt;")  # which XML does not allow in text, and the library leaves
        size = float(drawn.attrs["width"]), float(drawn.attrs["height"])
        return Section(self.anchors[key], name, text, *size)

    def sections(self, diagram: Diagram) -> list[Section]:
        """The expression of a diagram; its deep parts become sections of their own, which follow it."""
        found: list[Section] = []

        def combine(track: Track, below: list[_Placed]) -> _Placed:
            self.charge()
            item = self.combined(track, [p.item for p in below])
            levels = 1 + max((p.levels for p in below), default=0)
            if levels < DEEPEST:
                return _Placed(item, levels)
            name = f"{diagram.name}, part {len(found) + 2}"
            key = f"{diagram.key}, part {len(found) + 2}"
            self.anchors[key] = f"d{len(self.anchors)}"
            found.append(self.section(key, name, item))
            return _Placed(self.box(Box(name, "rule", key)), 1)

        item = fold(diagram.track, combine).item
        notes = [self.comment(n) for n in diagram.notes]
        return [self.section(diagram.key, diagram.name, *notes, item), *reversed(found)]

    def charge(self) -> None:
        self.boxes += 1
        if self.boxes > self.limit:
            raise LimitExceeded(self.boxes, self.limit, "boxes of a railroad diagram (limit of to_svg)")

    # ------------------------------------------------------------------ items
    def combined(self, track: Track, below: list[Any]) -> Any:
        if isinstance(track, Box):
            return self.box(track)
        if isinstance(track, Series):
            return self.series(below)
        if isinstance(track, Either):
            return self.choice(below)
        return self.loop(track, below[0])

    def box(self, box: Box) -> Any:
        shown = visible(box.text)
        href = f"#{self.anchors[box.target]}" if box.target in self.anchors else None
        title = clip(shown, TOOLTIP) if shown != clip(shown) else None
        make = self.lib.NonTerminal if box.kind == "rule" else self.lib.Terminal
        item = make(clip(shown), href=href, title=title, cls=box.kind)
        item.width = columns(clip(shown)) * self.lib.CHAR_WIDTH + 20  # the library counts characters
        return item

    def comment(self, text: str) -> Any:
        shown = clip(visible(text))
        item = self.lib.Comment(shown)
        item.width = columns(shown) * self.lib.COMMENT_CHAR_WIDTH + 10
        return item

    def series(self, items: list[Any]) -> Any:
        if len(items) < 2:
            return items[0] if items else self.lib.Skip()
        lines: list[list[Any]] = [[]]
        width = 0
        for item in items:
            if lines[-1] and width + item.width > WIDEST:
                lines.append([])
                width = 0
            lines[-1].append(item)
            width += item.width + 20
        made = [self.lib.Sequence(*line) for line in lines]
        return made[0] if len(made) == 1 else self.lib.Stack(*made)

    def choice(self, items: list[Any]) -> Any:
        if len(items) < 2:
            return items[0] if items else self.lib.Terminal("nothing", cls="embedded")
        if len(items) <= TALLEST:
            return self.lib.Choice(0, *items)
        count = -(-len(items) // TALLEST)
        size = -(-len(items) // count)
        columns_ = [items[i : i + size] for i in range(0, len(items), size)]
        return self.rows([self.choice(c) for c in columns_])

    def rows(self, columns_: list[Any]) -> Any:
        """Columns of a choice side by side, as many as fit, and rows of them below each other."""
        rows: list[list[Any]] = [[]]
        width = 0
        for column in columns_:
            if rows[-1] and width + column.width > WIDEST:
                rows.append([])
                width = 0
            rows[-1].append(column)
            width += column.width + 20
        made = [self.lib.HorizontalChoice(*row) for row in rows]
        return made[0] if len(made) == 1 else self.lib.Choice(0, *made)

    def loop(self, track: Loop, item: Any) -> Any:
        least, most = track.least, track.most
        if most == 0:
            return self.lib.Skip()
        if most != 1:
            item = self.lib.OneOrMore(item, self.times(least, most))
        return item if least else self.lib.Optional(item)

    def times(self, least: int, most: int | None) -> Any:
        if most is None:
            return self.comment(f"{least} times or more") if least > 1 else None
        return self.comment(f"{most} times" if least == most else f"{max(least, 1)} to {most} times")
