"""Automata as figures: circles, a second ring where a word may end, edges with what they read above them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

from grammars.drawing.automata import Automaton
from grammars.drawing.layered import AISLE, Extent, Layout, place
from grammars.drawing.text import TOOLTIP, clip, columns, escape

Letter = TypeVar("Letter", bound=Hashable)
RADIUS = 15.0
LOOP = 30.0  # height of an edge from a state to itself
LINE = 14.0
CHARACTER = 7.3  # width of a column of a label
MOST = 10  # lines of a label; the rest is in its tooltip
EDGES = 200  # items of edges, for each state of the limit
STYLE = """
path { stroke-width: 1.3; stroke: #667; fill: none; } circle { stroke-width: 1.5; stroke: #446; fill: #f4f6fa; }
circle.ring { fill: none; } text { font: 12px monospace; text-anchor: middle; fill: #222; }
text.state { fill: #777; font-size: 11px; } a text { fill: #1f5f9f; }
"""
ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0.5 L8 4 L0 7.5 z" style="fill: #667; stroke: none"/></marker></defs>'
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a label, and where it leads."""

    text: str
    href: str | None = None


def draw_automaton(
    a: Automaton[Letter], lines: Callable[[list[Letter]], list[Line]], limit: int
) -> tuple[str, float, float]:
    """The inside of an SVG picture with its width and height. `lines`: the label of an edge that reads these letters."""
    letters: dict[tuple[int, int], list[Letter]] = {}
    for i, row in enumerate(a.moves):
        for letter, j in row.items():
            letters.setdefault((i, j), []).append(letter)
    labels = {edge: lines(read) for edge, read in letters.items()}
    nodes = []
    for i in range(len(a.moves)):
        own = _extent(labels.get((i, i), []))
        above = LOOP + own.up if own.up else 0.0
        nodes.append(Extent(max(2 * RADIUS, own.width), RADIUS + above, RADIUS))
    apart = {edge: _extent(label) for edge, label in labels.items() if edge[0] != edge[1]}
    layout = place(nodes, apart, EDGES * limit)
    start = layout.items[0]
    out = [_path(f"M {start.x - RADIUS - 28:.1f} {start.y:.1f} h 27", arrow=True)]
    out += [_edge(layout, edge) for edge in apart]
    out += [_label(layout.items[layout.chains[e][1]].x, layout.items[layout.chains[e][1]].y, labels[e]) for e in apart]
    for i in range(len(a.moves)):
        out.append(_state(layout, i, i in a.accepting, labels.get((i, i), [])))
    return "\n".join(out), layout.width, layout.height


def _extent(label: list[Line]) -> Extent:
    if not label:
        return Extent(0.0, 0.0, 0.0)
    widest = max(columns(clip(line.text)) for line in label[:MOST])
    return Extent(CHARACTER * widest + 8, LINE * min(len(label), MOST + 1) + 4, 4.0)


def _state(layout: Layout, i: int, accepting: bool, loop: list[Line]) -> str:
    s = layout.items[i]
    out = [f'<circle cx="{s.x:.1f}" cy="{s.y:.1f}" r="{RADIUS}"/>']
    if accepting:
        out.append(f'<circle class="ring" cx="{s.x:.1f}" cy="{s.y:.1f}" r="{RADIUS - 3.5}"/>')
    out.append(f'<text class="state" x="{s.x:.1f}" y="{s.y + 4:.1f}">{i}</text>')
    if loop:
        x, y = 0.6 * RADIUS, s.y - 0.8 * RADIUS
        high = s.y - RADIUS - LOOP
        out.append(
            _path(
                f"M {s.x - x:.1f} {y:.1f} C {s.x - 24:.1f} {high:.1f} {s.x + 24:.1f} {high:.1f} {s.x + x:.1f} {y:.1f}",
                True,
            )
        )
        out.append(_label(s.x, s.y - RADIUS - LOOP + 8, loop))
    return "\n".join(out)


def _edge(layout: Layout, edge: tuple[int, int]) -> str:
    """A curve through the items of the edge, level at each; an edge that goes back is drawn from its end."""
    chain = [layout.items[i] for i in layout.chains[edge]]
    points = [(chain[0].x, chain[0].y)]
    for item in chain[1:-1]:
        points += [(item.x - item.width / 2, item.y), (item.x + item.width / 2, item.y)]
    points.append((chain[-1].x, chain[-1].y))
    points[0] = _rim(points[0], points[1], 1)
    points[-1] = _rim(points[-1], points[-2], -1)
    if edge in layout.back:
        points.reverse()
    d = [f"M {points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x, y), (u, v) in itertools.pairwise(points):
        middle = (x + u) / 2
        d.append(f"C {middle:.1f} {y:.1f} {middle:.1f} {v:.1f} {u:.1f} {v:.1f}" if y != v else f"H {u:.1f}")
    return _path(" ".join(d), arrow=True)


def _rim(centre: tuple[float, float], towards: tuple[float, float], side: int) -> tuple[float, float]:
    """Where an edge meets the circle: on the side it comes from, and a little up or down."""
    slope = math.atan2(towards[1] - centre[1], abs(towards[0] - centre[0]) + AISLE)
    angle = max(-0.9, min(0.9, slope))
    return centre[0] + side * RADIUS * math.cos(angle), centre[1] + RADIUS * math.sin(angle)


def _path(d: str, arrow: bool = False) -> str:
    return f'<path d="{d}"{" marker-end=" + chr(34) + "url(#arrow)" + chr(34) if arrow else ""}/>'


def _label(x: float, y: float, label: list[Line]) -> str:
    """Lines above the height `y`; those beyond `MOST` are counted, and all are in the tooltip."""
    shown = list(label[:MOST])
    if len(label) > MOST:
        shown.append(Line(f"and {len(label) - MOST} more"))
    out = []
    for k, line in enumerate(reversed(shown)):
        text = f'<text x="{x:.1f}" y="{y - 5 - LINE * k:.1f}">{escape(clip(line.text))}</text>'
        out.append(f'<a xlink:href="{line.href}">{text}</a>' if line.href else text)
    whole = clip("  ".join(line.text for line in label), TOOLTIP)
    return f"<g>{''.join(out)}<title>{escape(whole)}</title></g>"
