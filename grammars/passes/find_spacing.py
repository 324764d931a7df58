"""What may always stand after a terminal, where what is ignored is written out as an optional repetition after it.

Under "longest" a word must not run into the next: a completion needs something ignored between them. What the kernel ignores
by itself it knows to be possible everywhere; of what the rules spell out it is told here.
"""

from __future__ import annotations

from grammars.cfg import Cfg, Symbol


def find_spacing(cfg: Cfg) -> list[tuple[Symbol, Symbol]]:
    """The pairs (t, s) of terminals such that s may follow t, wherever the rules have it, and then whatever may follow t.

    Found from `cfg.skips`. O(size of the rules).
    """
    if not cfg.skips:
        return []
    after: dict[Symbol, frozenset[Symbol]] = {}
    for head, body in cfg.rules:
        for i, t in enumerate(body):
            if t.terminal:  # at the end of a repetition of ignored things comes the next round of it
                last = i + 1 == len(body)
                found = cfg.skips.get(Symbol(False, head) if last else body[i + 1], (frozenset(), frozenset()))[last]
                after[t] = after[t] & found if t in after else found
    return [(t, s) for t in sorted(after, key=_index) for s in sorted(after[t], key=_index)]


def _index(s: Symbol) -> int:
    return s.index
