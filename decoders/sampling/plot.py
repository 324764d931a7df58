"""A run as a page of plain HTML and SVG: what was drawn, how it went, and where the mass of the trie lies.

Nothing is fetched and no script runs; colours follow the reader's light or dark scheme.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from decoders.sampling.trie import Node, PrefixTrie
from grammars.tokens.vocabulary import Vocabulary

if TYPE_CHECKING:
    from decoders.sampling.texts import SampledTexts

WIDTH = 900
STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#222, #ddd); --faint: light-dark(#bbb, #555);
  --blue: light-dark(#2f6fab, #7fb2e5); --orange: light-dark(#c05621, #f0a060); }
body { font: 14px/1.45 system-ui, sans-serif; max-width: 960px; margin: 2em auto; color: var(--ink); }
pre, code { font: 13px/1.4 ui-monospace, monospace; } pre { overflow-x: auto; }
svg { width: 100%; height: auto; } svg text { font: 11px ui-monospace, monospace; fill: var(--ink); }
h2 { font-size: 1.05em; margin: 1.6em 0 .4em; } p { margin: .3em 0; }
"""


def page(found: SampledTexts) -> str:
    """The whole run as one HTML document."""
    samples = found.samples
    parts = [f"<h1>{html.escape(samples.sampler)}</h1>", f"<pre>{html.escape(samples.table())}</pre>"]
    marginal = found.marginal()
    if marginal:
        parts += ["<h2>Texts by weight</h2>", bars(list(marginal.items())[:20])]
    particles = [step for step in samples.trace if "weights" in step and step["run"] == 0]
    if particles:
        parts += ["<h2>Particles of the first run</h2>", "<p>Area: share of the weight. Lines: ancestors.</p>"]
        parts.append(particle_steps(particles))
    curves = [
        name for name in ("log_bound", "log_value", "log_lower", "log_upper") if name in (samples.trace or ({},))[0]
    ]
    if curves:
        parts += ["<h2>What the trie knew of log Z</h2>", lines(samples.trace, curves)]
    parts += ["<h2>Mass of the trie</h2>"]
    parts += [
        "<p>Width: share of the bound of Z below a prefix; grey: not visited yet.</p>",
        mass(found.trie, found.vocabulary),
    ]
    title = f"{samples.sampler}, {len(samples)} samples"
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'  # noqa: E501


def bars(rows: Sequence[tuple[str, float]]) -> str:
    """Texts with bars as long as their weights."""
    top = max(w for _, w in rows) or 1.0
    out = []
    for i, (text, w) in enumerate(rows):
        y = 20 * i
        out.append(f'<rect x="0" y="{y + 3}" width="{220 * w / top:.1f}" height="13" fill="var(--blue)"/>')
        out.append(_text(228, y + 14, f"{100 * w:5.2f}%  {_clip(text, 88)}"))
    return _svg(20 * len(rows) + 4, out)


def particle_steps(steps: Sequence[dict[str, Any]], most: int = 60) -> str:
    """One column a step, one row a particle; lines lead from ancestors where there was a resampling."""
    steps = steps[:most]
    n = len(steps[0]["weights"])
    dx, dy = (WIDTH - 40) / max(1, len(steps)), min(18.0, 360.0 / n)
    out = []
    for t, step in enumerate(steps):
        x = 30 + t * dx
        for i, parent in enumerate(step.get("ancestors", range(n))):
            if t + 1 < len(steps):
                colour = "var(--orange)" if step["resampled"] else "var(--faint)"
                y0, y1 = 12 + parent * dy, 12 + i * dy
                out.append(f'<line x1="{x:.1f}" y1="{y0:.1f}" x2="{x + dx:.1f}" y2="{y1:.1f}" stroke="{colour}"/>')
        for i, w in enumerate(step["weights"]):
            radius = math.sqrt(w) * min(dx, 3 * dy) * 0.48
            label = f"step {t + 1}, particle {i}: {100 * w:.1f}%, ESS {step['ess']:.1f}"
            out.append(
                f'<circle cx="{x:.1f}" cy="{12 + i * dy:.1f}" r="{max(0.6, radius):.1f}" fill="var(--blue)">'
                f"<title>{label}</title></circle>"
            )
    return _svg(n * dy + 16, out)


def lines(trace: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """The named columns of a trace as curves over its rounds."""
    series = {name: [float(step[name]) for step in trace] for name in names}
    known = [v for values in series.values() for v in values if math.isfinite(v)]
    if not known:
        return _svg(20, [_text(0, 14, "nothing known yet")])
    low, high = min(known), max(known)
    span, height = (high - low) or 1.0, 180
    out = [_text(0, 12, f"{high:.3f}"), _text(0, height, f"{low:.3f}")]
    for name, colour in zip(names, ("var(--blue)", "var(--orange)", "var(--ink)"), strict=False):
        points = [
            f"{70 + (WIDTH - 200) * i / max(1, len(trace) - 1):.1f},{8 + (height - 16) * (high - v) / span:.1f}"
            for i, v in enumerate(series[name])
            if math.isfinite(v)
        ]
        out.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        y = 8 + (height - 16) * (high - next((v for v in reversed(series[name]) if math.isfinite(v)), high)) / span
        out.append(_text(WIDTH - 120, y + 4, name.replace("_", " ")))
    return _svg(height + 8, out)


def mass(trie: PrefixTrie, vocabulary: Vocabulary, deepest: int = 16, least: float = 0.004) -> str:
    """The trie from its root down: each prefix as wide as its share of the bound of Z."""
    out: list[str] = []
    rows = 0

    def draw(node: Node, x: float, width: float, depth: int) -> None:
        nonlocal rows
        rows = max(rows, depth + 1)
        shares = node.p * np.exp(node.log_bound - max(node.log_future, -700.0))
        for k in np.argsort(-shares).tolist():
            w = width * float(shares[k])
            if w < least * WIDTH:
                break
            child = node.children.get(k)
            seen = child is not None or k >= node.ends
            name = (
                "end"
                if k >= node.ends
                else _clip((vocabulary.tokens[node.tokens[k]] or b"").decode(errors="replace"), 40)
            )
            out.append(
                f'<rect x="{x:.1f}" y="{19 * depth}" width="{w:.1f}" height="18" fill="var(--{"blue" if seen else "faint"})" '
                f'fill-opacity=".45" stroke="var(--ink)" stroke-opacity=".25"><title>{html.escape(name)}: '
                f"{100 * w / WIDTH:.2f}% of the bound</title></rect>"
            )
            if w > 7 * len(name) + 4:
                out.append(_text(x + 3, 19 * depth + 13, name))
            if child is not None and depth + 1 < deepest:
                draw(child, x, w, depth + 1)
            x += w

    if trie.root.log_future > -math.inf:
        draw(trie.root, 0.0, float(WIDTH), 0)
    return _svg(19 * rows + 2, out)


def _svg(height: float, parts: Sequence[str]) -> str:
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {max(1, math.ceil(height))}">\n{inside}\n</svg>'
    )


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" xml:space="preserve">{html.escape(text)}</text>'


def _clip(text: str, most: int) -> str:
    shown = "".join(c if c.isprintable() else "\u00b7" for c in text)
    return shown if len(shown) <= most else shown[: most - 1] + "\u2026"
