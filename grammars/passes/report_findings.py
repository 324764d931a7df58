"""What is worth knowing about a grammar before it is used; made only when asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from grammars.cfg import Cfg, Symbol
from grammars.passes.find_ambiguity import find_ambiguous, find_cyclic
from grammars.passes.find_left_recursion import find_left_recursion
from grammars.passes.find_useless import find_unproductive, find_unreachable

SHOWN = 20  # findings of one kind
_MADE = re.compile(r"[*+]$|\{[0-9,]+\}$")  # nonterminals made for repetitions


@dataclass(frozen=True, slots=True)
class Finding:
    """`path`: the rule; `keyword`: "unproductive", "unreachable", "cyclic", "ambiguous", "left-recursive", "unused"."""

    path: str
    keyword: str
    status: str = "warning"
    note: str = ""


def report_findings(cfg: Cfg, start: Symbol) -> tuple[Finding, ...]:
    """Findings about the rules of `cfg`, at most `SHOWN` of a kind. O(size), plus the bounded search for ambiguity."""
    return tuple(_findings(cfg, start))


def _findings(cfg: Cfg, start: Symbol) -> Iterator[Finding]:
    unproductive, cyclic = find_unproductive(cfg), find_cyclic(cfg)
    yield from _named(cfg, unproductive, "unproductive", "every alternative leads back to itself: it derives no text")
    yield from _named(cfg, find_unreachable(cfg, start), "unreachable", "the start does not lead to it")
    yield from _named(cfg, cyclic, "cyclic", "it derives itself: infinitely many trees")
    known = {*unproductive, *cyclic}
    sentences: dict[str, tuple[Symbol, ...]] = {}
    for n, sentence in find_ambiguous(cfg):
        if n not in known:
            sentences.setdefault(_rule(cfg, n), sentence)
    for name, sentence in list(sentences.items())[:SHOWN]:
        shown = " ".join(cfg.terminals[s.index].name for s in sentence) or "the empty text"
        yield Finding(name, "ambiguous", note=f"two trees for: {shown}")
    own = dict.fromkeys(_rule(cfg, n) for n in find_left_recursion(cfg) if not _MADE.search(cfg.nonterminals[n]))
    for name in list(own)[:SHOWN]:
        yield Finding(name, "left-recursive", "information", "costs nothing here; not every tool reads it")


def _named(cfg: Cfg, which: list[int], keyword: str, note: str) -> Iterator[Finding]:
    names = dict.fromkeys(_rule(cfg, n) for n in which)
    for name in list(names)[:SHOWN]:
        yield Finding(name, keyword, note=note)


def _rule(cfg: Cfg, n: int) -> str:
    name = cfg.nonterminals[n]
    while _MADE.search(name):
        name = _MADE.sub("", name)
    return name
