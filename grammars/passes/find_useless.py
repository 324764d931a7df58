"""Rules that no text needs: nonterminals that derive none, and those that the start does not lead to."""

from __future__ import annotations

from grammars.cfg import Cfg, Symbol
from grammars.ir import Op


def find_unproductive(cfg: Cfg) -> list[int]:
    """The nonterminals that derive no text, because every way leads back to one of them. O(size).

    Terminals count as productive unless their language is written as empty; the kernel decides the others.
    """
    empty = {i for i, t in enumerate(cfg.terminals) if t.kind == "regex" and cfg.table.nodes[t.node][0] == Op.EMPTY}
    productive = [False] * len(cfg.nonterminals)
    waiting = [0] * len(cfg.rules)
    users: list[list[int]] = [[] for _ in cfg.nonterminals]
    ready: list[int] = []
    for r, (head, body) in enumerate(cfg.rules):
        below = [s for s in body if not s.terminal]
        waiting[r] = len(below) + sum(s.terminal and s.index in empty for s in body)
        for s in below:
            users[s.index].append(r)
        if not waiting[r]:
            ready.append(head)
    while ready:
        n = ready.pop()
        if productive[n]:
            continue
        productive[n] = True
        for r in users[n]:
            waiting[r] -= 1
            if not waiting[r]:
                ready.append(cfg.rules[r][0])
    return [n for n, p in enumerate(productive) if not p]


def find_unreachable(cfg: Cfg, start: Symbol) -> list[int]:
    """The nonterminals that no derivation from `start` or of what is ignored meets. O(size)."""
    ways: list[list[tuple[Symbol, ...]]] = [[] for _ in cfg.nonterminals]
    for head, body in cfg.rules:
        ways[head].append(body)
    todo = [s.index for s in (start, *cfg.ignored) if not s.terminal]
    met = set(todo)
    while todo:
        for body in ways[todo.pop()]:
            for s in body:
                if not s.terminal and s.index not in met:
                    met.add(s.index)
                    todo.append(s.index)
    return [n for n in range(len(cfg.nonterminals)) if n not in met]
