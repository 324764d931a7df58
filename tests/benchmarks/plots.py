"""Small multiples as SVG: lines over two logarithmic axes that all panels share the vertical one of. No dependencies."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

COLOURS = ("#1b6ca8", "#d1495b", "#66a182", "#8d6a9f")
WIDTH, HEIGHT, MARGIN, COLUMNS = 230, 150, 46, 3
Points = list[tuple[float, float]]


@dataclass
class Panel:
    """`lines`: name -> (x, y) points, both positive; every panel of a figure has the same names in the same order."""

    title: str
    lines: dict[str, Points] = field(default_factory=dict)


def svg(panels: list[Panel], unit: str) -> str:
    """The figure. `unit`: of the vertical axes."""
    ys = [y for p in panels for points in p.lines.values() for _, y in points]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * (WIDTH + MARGIN) + MARGIN, rows * (HEIGHT + 2 * MARGIN) + 24
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for i, name in enumerate(panels[0].lines):
        x = MARGIN + i * 150
        out.append(f'<line x1="{x}" y1="14" x2="{x + 20}" y2="14" stroke="{COLOURS[i]}" stroke-width="2"/>')
        out.append(f'<text x="{x + 26}" y="18">{name} ({unit})</text>')
    for i, panel in enumerate(panels):
        left, top = MARGIN + i % COLUMNS * (WIDTH + MARGIN), 24 + MARGIN // 2 + i // COLUMNS * (HEIGHT + 2 * MARGIN)
        out += _panel(panel, left, top + MARGIN // 2, low, high)
    return "\n".join([*out, "</svg>", ""])


def _panel(panel: Panel, left: int, top: int, low: int, high: int) -> list[str]:
    sizes = sorted({x for points in panel.lines.values() for x, _ in points})
    out = [f'<text x="{left}" y="{top - 8}" font-weight="bold">{panel.title}</text>']
    if not sizes:
        return out
    span = math.log10(sizes[-1] / sizes[0]) or 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        across = math.log10(x / sizes[0]) / span
        return left + across * WIDTH, top + HEIGHT * (1 - (math.log10(y) - low) / (high - low))

    for power in range(low, high + 1):
        y = at(sizes[0], 10.0**power)[1]
        out.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + WIDTH}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 4}" y="{y + 4:.1f}" text-anchor="end">{_power(power)}</text>')
    for x in sizes:
        out.append(f'<text x="{at(x, 1)[0]:.1f}" y="{top + HEIGHT + 15}" text-anchor="middle">{x:,.0f}</text>')
    for colour, points in zip(COLOURS, panel.lines.values(), strict=False):
        places = [at(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in places]
    return out


def _power(n: int) -> str:
    return f"{10**n:,}" if n >= 0 else f"{10.0**n:g}"
