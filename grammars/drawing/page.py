"""One SVG document of several pictures below each other, each under its name. Nothing is fetched and no script runs."""

from __future__ import annotations

from dataclasses import dataclass

from grammars.drawing.text import clip, columns, escape, visible

MARGIN, HEADING = 16, 28
STYLE = """
svg { background: #fff; } a { cursor: pointer; }
text { unicode-bidi: isolate; direction: ltr; white-space: pre; }
text.heading { font: bold 16px monospace; text-anchor: start; fill: #222; }
"""
HEADING_COLUMN = 10  # pixels


@dataclass(frozen=True, slots=True)
class Section:
    """A picture: the text of an svg element that is `width` by `height` pixels; links lead to `anchor`."""

    anchor: str
    name: str
    svg: str
    width: float
    height: float


def page(title: str, style: str, sections: list[Section]) -> str:
    """The document. `style`: CSS beside that of pages. O(size)."""
    parts = []
    y = float(MARGIN)
    width = 0.0
    for s in sections:
        heading = clip(visible(s.name), 120)
        parts.append(
            f'<g id="{s.anchor}" transform="translate({MARGIN} {y:.1f})">\n'
            f'<text class="heading" x="0" y="18">{escape(heading)}</text>\n'
            f'<g transform="translate(0 {HEADING})">\n{s.svg}\n</g></g>'
        )
        y += HEADING + s.height + MARGIN
        width = max(width, s.width, HEADING_COLUMN * columns(heading))
    size = f'width="{width + 2 * MARGIN:.0f}" height="{y:.0f}"'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" xml:space="preserve" '
        f'{size} viewBox="0 0 {width + 2 * MARGIN:.0f} {y:.0f}">\n<title>{escape(title)}</title>\n'
        f'<style>{STYLE}{style}</style>\n<rect width="100%" height="100%" style="fill: #fff; stroke: none"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
