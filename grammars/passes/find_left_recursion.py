"""Nonterminals that may begin with themselves, directly, through others, or behind what may be empty."""

from __future__ import annotations

from collections.abc import Sequence

from grammars.cfg import Cfg
from grammars.passes.find_nullable import find_nullable


def find_left_recursion(cfg: Cfg) -> list[int]:
    """The left-recursive nonterminals, in order. O(size of the grammar)."""
    nullable = find_nullable(cfg)
    corners: list[set[int]] = [set() for _ in cfg.nonterminals]
    for head, body in cfg.rules:
        for s in body:
            if s.terminal:
                break
            corners[head].add(s.index)
            if not nullable[s.index]:
                break
    return sorted(n for group in components([sorted(c) for c in corners]) for n in group if _recurs(n, group, corners))


def _recurs(n: int, group: Sequence[int], corners: list[set[int]]) -> bool:
    return len(group) > 1 or n in corners[n]


def components(graph: list[list[int]]) -> list[list[int]]:
    """Strongly connected components, by Tarjan's algorithm with an explicit stack; those that others lead to come first."""
    index: list[int] = [-1] * len(graph)
    low = [0] * len(graph)
    on_stack = [False] * len(graph)
    stack: list[int] = []
    found: list[list[int]] = []
    count = 0
    for root in range(len(graph)):
        if index[root] >= 0:
            continue
        work = [(root, 0)]
        while work:
            node, at = work.pop()
            if at == 0:
                index[node] = low[node] = count
                count += 1
                stack.append(node)
                on_stack[node] = True
            elif on_stack[graph[node][at - 1]]:
                low[node] = min(low[node], low[graph[node][at - 1]])
            for i in range(at, len(graph[node])):
                child = graph[node][i]
                if index[child] < 0:
                    work += [(node, i + 1), (child, 0)]
                    break
                if on_stack[child]:
                    low[node] = min(low[node], index[child])
            else:
                if low[node] == index[node]:
                    cut = stack.index(node)
                    found.append(stack[cut:])
                    for n in found[-1]:
                        on_stack[n] = False
                    del stack[cut:]
    return found
