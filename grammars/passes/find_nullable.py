"""Which nonterminals derive the empty text."""

from __future__ import annotations

from grammars.cfg import Cfg


def find_nullable(cfg: Cfg) -> list[bool]:
    """By nonterminal. Terminals never match the empty text, those of a layout among them. O(size)."""
    nullable = [False] * len(cfg.nonterminals)
    waiting = [len(body) for _, body in cfg.rules]
    users: list[list[int]] = [[] for _ in cfg.nonterminals]
    for r, (_, body) in enumerate(cfg.rules):
        for s in body:
            if not s.terminal:
                users[s.index].append(r)
    ready = [head for head, body in cfg.rules if not body]
    while ready:
        n = ready.pop()
        if nullable[n]:
            continue
        nullable[n] = True
        for r in users[n]:
            waiting[r] -= 1
            if not waiting[r]:
                ready.append(cfg.rules[r][0])
    return nullable
