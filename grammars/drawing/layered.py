"""A layered drawing of a graph: start to the left, edges in lanes of their own between the columns.

Sugiyama, Tagawa and Toda's method (IEEE SMC 1981): nodes into layers, edges over several layers into chains of items, one a
layer, items of a layer into the order of the mean of their neighbours, and heights close to these means. Labels of edges
are items too (Gansner et al., IEEE TSE 1993), and so lie on nothing else.

Edges that close a circle in a depth-first search from node 0 go back: they are placed like their reverse.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from grammars.errors import LimitExceeded

SWEEPS = 12
GAP = 14.0  # between items of a layer
AISLE = 26.0  # between layers


@dataclass(slots=True)
class Item:
    """A node, the label of an edge, or a place where an edge passes. up, down: how far it reaches from its height `y`."""

    layer: int
    width: float = 0.0
    up: float = 0.0
    down: float = 0.0
    x: float = 0.0
    y: float = 0.0
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Extent:
    width: float
    up: float
    down: float


@dataclass(slots=True)
class Layout:
    """items: nodes first. chains: for each edge its items from left to right; the second is the label. back: edges that run
    from right to left."""

    items: list[Item]
    chains: dict[tuple[int, int], list[int]]
    back: set[tuple[int, int]]
    width: float = 0.0
    height: float = 0.0


def place(nodes: list[Extent], labels: Mapping[tuple[int, int], Extent], limit: int) -> Layout:
    """Coordinates for nodes and for labelled edges between different nodes. O(items * log items), of which there are at
    most `limit` (LimitExceeded beyond): up to edges * layers."""
    layers, back = _layers(len(nodes), labels)
    layout = Layout([Item(2 * k, *_sizes(e)) for k, e in zip(layers, nodes, strict=True)], {}, back)
    for edge, extent in labels.items():
        low, high = edge[::-1] if edge in back else edge
        count = len(layout.items) + 2 * (layers[high] - layers[low]) - 1
        if count > limit:
            raise LimitExceeded(count, limit, "edges of an automaton to draw (limit of to_svg), over all columns")
        layout.chains[edge] = _chain(layout.items, low, high, extent)
    columns: list[list[int]] = [[] for _ in range(2 * max(layers) + 1)]
    for i, item in enumerate(layout.items):
        columns[item.layer].append(i)
    _order(layout.items, columns)
    _heights(layout.items, columns)
    _widths(layout, columns, len(nodes))
    return layout


def _layers(count: int, edges: Iterable[tuple[int, int]]) -> tuple[list[int], set[tuple[int, int]]]:
    """The layer of each node, one after the last of those that lead to it, and the edges that are turned round for that."""
    after: list[list[int]] = [[] for _ in range(count)]
    for i, j in edges:
        after[i].append(j)
    back: set[tuple[int, int]] = set()
    state = [0] * count  # 1: on the path of the search, 2: done
    done: list[int] = []  # each node after those that it leads to
    for root in range(count):
        path = [] if state[root] else [(root, iter(after[root]))]
        while path:
            node, rest = path[-1]
            state[node] = 1
            following = next(rest, None)
            if following is None:
                state[node] = 2
                done.append(node)
                path.pop()
            elif state[following] == 1:
                back.add((node, following))
            elif state[following] == 0:
                path.append((following, iter(after[following])))
    layers = [0] * count
    for i in reversed(done):
        for j in after[i]:
            if (i, j) not in back:
                layers[j] = max(layers[j], layers[i] + 1)
    return layers, back


def _sizes(e: Extent) -> tuple[float, float, float]:
    return e.width, e.up, e.down


def _chain(items: list[Item], low: int, high: int, label: Extent) -> list[int]:
    chain = [low]
    for layer in range(items[low].layer + 1, items[high].layer):
        items.append(Item(layer, *_sizes(label)) if len(chain) == 1 else Item(layer))
        chain.append(len(items) - 1)
    chain.append(high)
    for a, b in itertools.pairwise(chain):
        items[a].right.append(b)
        items[b].left.append(a)
    return chain


def _order(items: list[Item], columns: list[list[int]]) -> None:
    """Sorts each column by the mean place of what it is joined to, to the left and to the right in turn."""
    at = {i: float(k) for column in columns for k, i in enumerate(column)}
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            means = {i: _mean(items[i].left if sweep % 2 == 0 else items[i].right, at, at[i]) for i in column}
            column.sort(key=lambda i: (means[i], at[i]))
            for k, i in enumerate(column):
                at[i] = float(k)


def _mean(joined: list[int], at: Mapping[int, float], otherwise: float) -> float:
    return sum(at[j] for j in joined) / len(joined) if joined else otherwise


def _heights(items: list[Item], columns: list[list[int]]) -> None:
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wanted = []
            for i in column:
                sides = items[i].left if sweep % 2 == 0 else items[i].right
                if sweep > SWEEPS - 3:  # in the end, what looks well from both sides
                    sides = items[i].left + items[i].right
                wanted.append(_mean(sides, {j: items[j].y for j in sides}, items[i].y))
            for i, y in zip(column, _apart(wanted, _offsets(items, column)), strict=True):
                items[i].y = y
    top = min(item.y - item.up for item in items)
    for item in items:
        item.y -= top


def _offsets(items: list[Item], column: list[int]) -> list[float]:
    """How far below the first of a column each of its items has to be at least."""
    found = [0.0]
    for a, b in itertools.pairwise(column):
        found.append(found[-1] + items[a].down + GAP + items[b].up)
    return found[: len(column)]


def _apart(wanted: list[float], offsets: list[float]) -> list[float]:
    """The heights nearest to those wanted, in the mean square, that keep the offsets: pool adjacent violators."""
    pools: list[tuple[float, int]] = []  # mean, and how many
    for w, offset in zip(wanted, offsets, strict=True):
        mean, count = w - offset, 1
        while pools and pools[-1][0] >= mean:
            other, n = pools.pop()
            mean, count = (mean * count + other * n) / (count + n), count + n
        pools.append((mean, count))
    flat = [mean for mean, count in pools for _ in range(count)]
    return [m + o for m, o in zip(flat, offsets, strict=True)]


def _widths(layout: Layout, columns: list[list[int]], nodes: int) -> None:
    """Columns as wide as their widest item. Edges pass them level, from side to side, and so cross no label."""
    x = 0.0
    for column in columns:
        width = max((layout.items[i].width for i in column), default=0.0)
        for i in column:
            layout.items[i].x = x + width / 2
            if i >= nodes:
                layout.items[i].width = width
        x += width + AISLE
    layout.width = x - AISLE
    layout.height = max(item.y + item.down for item in layout.items)
