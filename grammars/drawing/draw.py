"""A grammar as one SVG document: which diagrams it has, and how they are drawn."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Literal, TypeVar

from grammars.drawing.automata import Automaton, expression_automaton, regular_automaton
from grammars.drawing.figure import ARROW, STYLE, Line, draw_automaton
from grammars.drawing.gbnf_tracks import gbnf_diagrams
from grammars.drawing.lark_tracks import lark_diagrams
from grammars.drawing.lowered_tracks import cfg_diagrams, regex_diagrams
from grammars.drawing.page import Section, page
from grammars.drawing.railroad import railroad_page
from grammars.drawing.text import bytes_text, class_text
from grammars.drawing.tracks import Box, Diagram
from grammars.errors import GrammarError, UnsupportedFeature
from grammars.ir import Table

if TYPE_CHECKING:
    from grammars.grammar import Grammar

Letter = TypeVar("Letter", bound=Hashable)
Picture = Literal["railroad", "automaton"]
BOXES = 50_000
STATES = 200
BORDER = 44.0  # around an automaton, for the arrow at its start


def draw_grammar(
    grammar: Grammar, kind: Picture = "railroad", name: str | None = None, limit: int | None = None
) -> str:
    """See `Grammar.to_svg`."""
    if kind not in ("railroad", "automaton"):
        raise GrammarError(f"unknown kind {kind!r} of a drawing; 'railroad' or 'automaton'")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise GrammarError(f"the limit of a drawing must be a whole number from 1 on, not {limit!r}")
    title = f"{grammar.options.get('library') or grammar.kind}: {kind}"
    if kind == "automaton" and name is None and grammar.kind == "regex":
        return page(title, STYLE, [_regular("pattern", grammar, limit or STATES)])
    if kind == "automaton" and name is not None and (terminal := _terminal(grammar, name)) is not None:
        return page(title, STYLE, [_regular(name, terminal, limit or STATES)])
    diagrams = grammar_diagrams(grammar, BOXES if limit is None or kind == "automaton" else limit)
    if name is not None:
        diagrams = _named(diagrams, name)
    if kind == "railroad":
        return railroad_page(diagrams, title, limit or BOXES)
    return page(title, STYLE, _network(diagrams, limit or STATES))


def grammar_diagrams(grammar: Grammar, limit: int = BOXES) -> list[Diagram]:
    """The diagrams of a grammar: of its source where it has one. Raises UnsupportedFeature for JSON Schemas."""
    if grammar.kind == "lark" and grammar.texts:
        return lark_diagrams(grammar.texts, grammar.limits)
    if grammar.kind == "gbnf" and grammar.texts:
        return gbnf_diagrams(grammar.texts[""], grammar.limits)
    if grammar.kind == "regex":
        return regex_diagrams(grammar.table, grammar.root, "pattern")
    if grammar.is_cfg:
        return cfg_diagrams(grammar.lowered, limit)
    raise UnsupportedFeature(
        "a JSON Schema is no grammar of rules, and has no railroad diagram or automaton of readable size: members come in any "
        "order and numbers have bounds; `constrain check --schema FILE` lists what is enforced, place by place"
    )


def _named(diagrams: list[Diagram], name: str) -> list[Diagram]:
    found = [d for d in diagrams if d.name.partition("{")[0] == name]
    if not found:
        near = difflib.get_close_matches(name, [d.name for d in diagrams][:10_000], 1)
        advice = f"; did you mean {near[0]}?" if near else ""
        raise GrammarError(f"there is no rule {name!r} to draw{advice}")
    return found


# ---------------------------------------------------------------------- automata
def _terminal(grammar: Grammar, name: str) -> Grammar | None:
    """The regular language of the terminal `name` of a context-free grammar, if it has such a one."""
    if not grammar.is_cfg:
        return None
    cfg = grammar.lowered.cfg
    nodes = list(dict.fromkeys(t.node for t in cfg.terminals if t.name == name and t.kind == "regex"))
    if not nodes:
        return None
    from grammars.grammar import Grammar

    table = Table()
    new = table.absorb_nodes(cfg.table)
    return Grammar("regex", table, table.disjunction(*(new[n] for n in nodes)), {}, grammar.limits)


def _network(diagrams: list[Diagram], limit: int) -> list[Section]:
    """The recursive transition network: an automaton for each rule. Terminals are drawn when they are asked for by name."""
    rules = diagrams if len(diagrams) == 1 else [d for d in diagrams if not d.terminal]
    anchors = {d.key: f"d{n}" for n, d in enumerate(rules)}

    def lines(boxes: list[Box]) -> list[Line]:
        return [Line(b.text, f"#{anchors[b.target]}" if b.target in anchors else None) for b in boxes]

    return [_section(anchors[d.key], d.name, expression_automaton(d.track, limit), lines, limit) for d in rules]


def _regular(name: str, grammar: Grammar, limit: int) -> Section:
    found = regular_automaton(grammar, limit)
    if found.unit == "bytes":
        return _section("d0", f"{name}, by bytes", found.automaton, lambda read: [Line(bytes_text(read))], limit)
    return _section("d0", name, found.automaton, lambda read: [Line(class_text(tuple(read)))], limit)


def _section(
    anchor: str, name: str, a: Automaton[Letter], lines: Callable[[list[Letter]], list[Line]], limit: int
) -> Section:
    drawn, width, height = draw_automaton(a, lines, limit)
    width, height = width + 2 * BORDER, height + 2 * BORDER / 4
    size = f'width="{width:.0f}" height="{height:.0f}"'
    inside = f'<g transform="translate({BORDER:.0f} {BORDER / 4:.0f})">\n{drawn}\n</g>'
    return Section(anchor, name, f"<svg {size}>{ARROW}\n{inside}\n</svg>", width, height)
