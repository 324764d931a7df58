"""A regex without the empty string: terminals must match something, and what may be empty becomes optional around them."""

from __future__ import annotations

from grammars.ir import UNBOUNDED, Op, Table


def drop_empty(node: int, table: Table) -> int:
    """The node of the language of the regex `node` less the empty string. O(nodes below it).

    Structural wherever it can be; a complement is written only for intersections and complements.
    """
    known: dict[int, int] = {}
    stack = [node]
    while stack:
        i = stack[-1]
        if i in known or not table.nullable(i):
            known.setdefault(i, i)
            stack.pop()
            continue
        op = table.nodes[i][0]
        below = table.operands(i) if op in (Op.CONCAT, Op.OR, Op.REPEAT) else ()
        missing = [c for c in below if c not in known]
        if missing:
            stack.extend(missing)
            continue
        known[i] = _without(i, table, known)
        stack.pop()
    return known[node]


def _without(i: int, table: Table, known: dict[int, int]) -> int:
    op, *x = table.nodes[i]
    if op in (Op.EPSILON, Op.LITERAL):
        return table.empty()
    if op == Op.STRINGS:
        return table.strings(table.blobs[b] for b in x if table.blobs[b])
    if op == Op.OR:
        kept = [k for k in dict.fromkeys(known[c] for c in x) if k != table.empty()]
        return table.disjunction(*kept) if kept else table.empty()
    if op == Op.REPEAT:
        most = None if x[2] == UNBOUNDED else x[2]
        if known[x[0]] == table.empty() or most == 0:
            return table.empty()
        return table.repeat(known[x[0]], max(x[1] if not table.nullable(x[0]) else 1, 1), most)
    if op == Op.CONCAT:  # every part may be empty: the first that is not, then the rest
        ways: list[int] = []
        rest = table.epsilon()
        for part in reversed(x):
            if known[part] != table.empty():
                ways.append(known[part] if rest == table.epsilon() else table.concat(known[part], rest))
                rest = part if rest == table.epsilon() else table.concat(part, rest)
        return table.disjunction(*ways) if ways else table.empty()
    return table.conjunction(i, table.negation(table.epsilon()))
