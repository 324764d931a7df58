"""Diagrams of what has no source text: regexes as nodes of a table, and compositions as plain rules."""

from __future__ import annotations

from grammars.cfg import LoweredCfg, Symbol
from grammars.drawing.text import bytes_text, class_text, quoted
from grammars.drawing.tracks import EMPTY, Box, Diagram, Either, Loop, Series, Track
from grammars.errors import LimitExceeded
from grammars.ir import UNBOUNDED, Op, Table

_SIGNS = {Op.AND: "all of", Op.NOT: "any text but", Op.ONE_OF: "exactly one of"}


def regex_diagrams(table: Table, root: int, name: str) -> list[Diagram]:
    """A regex as a diagram; intersections and complements are boxes that lead to diagrams of their operands. O(nodes)."""
    drawing = _Regexes(table)
    found = [Diagram(name, name, drawing.track(root))]
    while drawing.todo:
        operand = drawing.todo.pop()
        found.append(Diagram(f"text {operand}", f"text {operand}", drawing.track(operand)))
    return found


class _Regexes:
    def __init__(self, table: Table) -> None:
        self.table = table
        self.done: dict[int, Track] = {}
        self.seen: set[int] = set()
        self.todo: list[int] = []

    def track(self, root: int) -> Track:
        stack = [root]
        while stack:
            i = stack[-1]
            missing = [c for c in self.below(i) if c not in self.done]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            self.done[i] = self.node(i)
        return self.done[root]

    def below(self, i: int) -> tuple[int, ...]:
        return () if self.table.nodes[i][0] in _SIGNS else self.table.operands(i)

    def node(self, i: int) -> Track:
        op, *x = self.table.nodes[i]
        if op in _SIGNS:
            return self.combination(Op(op), x)
        parts = tuple(self.done[c] for c in self.below(i))
        if op == Op.CONCAT:
            return Series(parts)
        if op == Op.OR:
            return Either(parts)
        if op == Op.REPEAT:
            return Loop(parts[0], x[1], None if x[2] == UNBOUNDED else x[2])
        if op == Op.EPSILON:
            return EMPTY
        if op == Op.EMPTY:
            return Either(())
        if op in (Op.LITERAL, Op.STRINGS):
            texts = tuple(self.text(b) for b in x)
            return texts[0] if len(texts) == 1 else Either(texts)
        return Box(self.shown(Op(op), x), "class")

    def text(self, blob: int) -> Track:
        data = self.table.blobs[blob]
        return Box(quoted(data), "terminal") if data else EMPTY

    def shown(self, op: Op, x: list[int]) -> str:
        if op == Op.TEXT:
            return "any text"
        if op == Op.CLASS:
            return class_text(tuple(zip(x[::2], x[1::2], strict=True)))
        return bytes_text((b, b) for b in range(256) if x[b // 64] >> b % 64 & 1)

    def combination(self, op: Op, operands: list[int]) -> Track:
        """An intersection or complement as a box for each operand, behind one that says what is done with them."""
        for operand in operands:
            if operand not in self.seen:
                self.seen.add(operand)
                self.todo.append(operand)
        names = tuple(Box(f"text {o}", "rule", f"text {o}") for o in operands)
        return Series((Box(f"{_SIGNS[op]}:", "embedded"), *names))


def cfg_diagrams(lowered: LoweredCfg, limit: int) -> list[Diagram]:
    """A context-free grammar as its plain rules, one diagram a nonterminal. O(size)."""
    cfg = lowered.cfg
    if len(cfg.nonterminals) > limit:
        raise LimitExceeded(len(cfg.nonterminals), limit, "rules of a drawing (limit of to_svg)")
    ways: dict[int, list[Track]] = {}

    def box(s: Symbol) -> Box:
        if not s.terminal:
            return Box(cfg.nonterminals[s.index], "rule", f"{s.index}")
        t = cfg.terminals[s.index]
        return Box(t.name, "special" if t.kind == "special" else "embedded" if t.kind == "json" else "terminal")

    for head, body in cfg.rules:
        ways.setdefault(head, []).append(Series(tuple(map(box, body))))
    order = sorted(ways, key=lambda n: (n != lowered.start.index, n))
    return [Diagram(f"{n}", cfg.nonterminals[n], Either(tuple(ways[n]))) for n in order]
