"""A slow, obvious meaning for the nodes of `grammars.ir`: predicates on Python values, and languages of byte strings.

`holds(table, node, instance)` evaluates a value predicate on an instance as `json.loads(..., parse_float=Decimal)` makes
it; `accepts_regex(table, node, data)` says whether a byte string is in a regular language. Both follow the comments of
`ir.Op` line by line and share nothing with the front ends or the kernel. Numbers are exact (`Fraction`); a Python float
means the decimal of its shortest repr. Recursion follows the instance and the table: meant for tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from grammars.ir import UNBOUNDED, Op, Table


class IllFounded(Exception):
    """A value predicate refers to itself on the same instance, so that it has no meaning."""


def holds(table: Table, node: int, instance: object) -> bool:
    """Does `instance` satisfy the value predicate `node`? Raises IllFounded for a predicate without meaning."""
    return _Evaluator(table).value(node, instance)


def accepts_regex(table: Table, node: int, data: bytes) -> bool:
    """Is `data` in the language of the regex `node`?"""
    return bool(_Ends(table, data).of(node, 0) >> len(data) & 1)


# ---------------------------------------------------------------------- values
def fraction(x: Any) -> Fraction:
    return Fraction(repr(x)) if isinstance(x, float) else Fraction(x)


def same(x: Any, y: Any) -> bool:
    """Equality of JSON values: numbers by value, booleans are no numbers, members in any order."""
    return bool(canonical(x) == canonical(y))


def canonical(x: Any) -> Any:
    if x is None or isinstance(x, bool | str):
        return (type(x).__name__, x)
    if isinstance(x, Mapping):
        return ("object", frozenset((k, canonical(v)) for k, v in x.items()))
    if isinstance(x, list):
        return ("array", tuple(canonical(v) for v in x))
    return ("number", fraction(x))


class _Evaluator:
    def __init__(self, table: Table) -> None:
        self.table = table
        self.memo: dict[tuple[int, int], bool | None] = {}
        self.words: dict[str, _Ends] = {}
        self.alive: list[object] = []  # keeps the ids in `memo` from being used again

    def value(self, node: int, x: Any) -> bool:
        key = (node, id(x))
        if key in self.memo:
            known = self.memo[key]
            if known is None:
                raise IllFounded(f"node {node} depends on itself")
            return known
        self.memo[key] = None
        self.alive.append(x)
        found = self.memo[key] = self._value(node, x)
        return found

    def _value(self, node: int, x: Any) -> bool:
        op, *operands = self.table.nodes[node]
        if op == Op.RESERVED:
            return self.value(operands[0], x)
        if op == Op.VALUE:
            return self._component(operands, x)
        return _boolean(op, operands, lambda n: self.value(n, x))

    def _component(self, parts: list[int], x: Any) -> bool:
        if x is None:
            return self._constant(parts[0])
        if isinstance(x, bool):
            return self._constant(parts[1] if x else parts[2])
        if isinstance(x, str):
            return self.string(parts[4], x)
        if isinstance(x, list):
            return self.array(parts[5], x)
        if isinstance(x, Mapping):
            return self.object(parts[6], x)
        return self.number(parts[3], x)

    def _constant(self, node: int) -> bool:
        op, *operands = self.table.nodes[node]
        return _boolean(op, operands, self._constant)

    # ------------------------------------------------------------------ strings
    def string(self, node: int, x: str) -> bool:
        try:
            data = x.encode()
        except UnicodeEncodeError:
            return False  # a lone surrogate is no text
        ends = self.words.setdefault(x, _Ends(self.table, data))
        return bool(ends.of(node, 0) >> len(data) & 1)

    # ------------------------------------------------------------------ numbers
    def number(self, node: int, x: Any) -> bool:
        op, *operands = self.table.nodes[node]
        if op == Op.AT_LEAST:
            return fraction(x) >= self._decimal(*operands)
        if op == Op.MORE_THAN:
            return fraction(x) > self._decimal(*operands)
        if op == Op.MULTIPLE_OF:
            return (fraction(x) / self._decimal(1, *operands)).denominator == 1
        if op == Op.INTEGRAL:
            return isinstance(x, int)
        return _boolean(op, operands, lambda n: self.number(n, x))

    def _decimal(self, sign: int, digits: int, exponent: int) -> Fraction:
        return sign * int(self.table.blobs[digits]) * Fraction(10) ** exponent

    # ------------------------------------------------------------------ arrays
    def array(self, node: int, x: list[Any]) -> bool:
        op, *operands = self.table.nodes[node]
        if op == Op.ITEMS:
            n, *ids = operands
            return all(self.value(ids[min(i, n)], item) for i, item in enumerate(x))
        if op == Op.ITEM_COUNT:
            return sum(self.value(operands[1], item) for item in x) >= operands[0]
        if op == Op.UNIQUE:
            return not any(same(x[i], x[j]) for i in range(len(x)) for j in range(i))
        return _boolean(op, operands, lambda n: self.array(n, x))

    # ------------------------------------------------------------------ objects
    def object(self, node: int, x: Mapping[str, Any]) -> bool:
        op, *operands = self.table.nodes[node]
        if op == Op.PROPERTIES:
            return all(all(self.value(v, member) for v in self._selected(operands, k)) for k, member in x.items())
        if op == Op.REQUIRED:
            return all(self.table.blobs[b].decode() in x for b in operands)
        if op == Op.PROPERTY_COUNT:
            least, names, value = operands
            chosen = [m for k, m in x.items() if names == UNBOUNDED or self.string(names, k)]
            return sum(self.value(value, m) for m in chosen) >= least
        return _boolean(op, operands, lambda n: self.object(n, x))

    def _selected(self, operands: list[int], name: str) -> Iterator[int]:
        """The value predicates that PROPERTIES demands of the member `name`."""
        n, m = operands[:2]
        pairs = [(operands[i], operands[i + 1]) for i in range(2, 2 + 2 * (n + m), 2)]
        chosen = [v for blob, v in pairs[:n] if self.table.blobs[blob].decode() == name]
        chosen += [v for regex, v in pairs[n:] if self.string(regex, name)]
        yield from chosen or [operands[-1]]


def _boolean(op: int, operands: list[int], judge: Any) -> bool:
    if op == Op.TRUE:
        return True
    if op == Op.FALSE:
        return False
    if op == Op.AND:
        return all(judge(n) for n in operands)
    if op == Op.OR:
        return any(judge(n) for n in operands)
    if op == Op.NOT:
        return not judge(operands[0])
    if op == Op.ONE_OF:
        return sum(judge(n) for n in operands) == 1
    raise AssertionError(f"{Op(op).name} does not belong to this algebra")


# ---------------------------------------------------------------------- regexes
class _Ends:
    """For a node and a start, the set of ends of the matches in one byte string, as the bits of an integer."""

    def __init__(self, table: Table, data: bytes) -> None:
        self.table, self.data = table, data
        self.memo: dict[tuple[int, int], int] = {}
        self.characters = [_character(data, i) for i in range(len(data))]
        self.texts = [1 << len(data)] * (len(data) + 1)
        for i in reversed(range(len(data))):
            found = self.characters[i]
            self.texts[i] = 1 << i | (self.texts[i + found[1]] if found else 0)

    def of(self, node: int, start: int) -> int:
        key = (node, start)
        if key not in self.memo:
            self.memo[key] = self._of(node, start)
        return self.memo[key]

    def after(self, node: int, starts: int) -> int:
        """The ends of `node` from any of `starts`."""
        found = 0
        while starts:
            low = starts & -starts
            found |= self.of(node, low.bit_length() - 1)
            starts ^= low
        return found

    def _of(self, node: int, i: int) -> int:
        op, *x = self.table.nodes[node]
        data = self.data
        if op == Op.EPSILON:
            return 1 << i
        if op == Op.EMPTY:
            return 0
        if op == Op.BYTES:
            hit = i < len(data) and x[data[i] >> 6] >> (data[i] & 63) & 1
            return 2 << i if hit else 0
        if op == Op.CLASS:
            return self._class(x, i)
        if op == Op.TEXT:
            return self.texts[i]
        if op in (Op.LITERAL, Op.STRINGS):
            words = [self.table.blobs[b] for b in x]
            return sum({1 << i + len(w) for w in words if data.startswith(w, i)})
        if op == Op.CONCAT:
            here = 1 << i
            for part in x:
                here = self.after(part, here)
            return here
        if op == Op.REPEAT:
            return self._repeat(x[0], x[1], x[2], i)
        return self._boolean(op, x, i)

    def _boolean(self, op: int, x: list[int], i: int) -> int:
        everything = (2 << len(self.data)) - (1 << i)
        found = [self.of(n, i) for n in x]
        if op == Op.NOT:
            return everything & ~found[0]
        once = twice = 0
        for f in found:
            twice |= once & f
            once |= f
            everything &= f
        if op == Op.AND:
            return everything
        if op == Op.ONE_OF:
            return once & ~twice
        assert op == Op.OR, f"{Op(op).name} is no regex"
        return once

    def _class(self, ranges: list[int], i: int) -> int:
        found = self.characters[i] if i < len(self.data) else None
        if found is None:
            return 0
        point, length = found
        inside = any(ranges[k] <= point <= ranges[k + 1] for k in range(0, len(ranges), 2))
        return 1 << i + length if inside else 0

    def _repeat(self, body: int, least: int, most: int, i: int) -> int:
        """Ends after k rounds, for every k in range. Ends never move left, so that the rounds die out or stand still."""
        here, k, found = 1 << i, 0, 0
        while here and (most == UNBOUNDED or k <= most):
            if k >= least:
                found |= here
            ahead = self.after(body, here)
            if ahead == here and k >= least:
                break
            if ahead == here:
                return here
            here, k = ahead, k + 1
        return found


def _character(data: bytes, i: int) -> tuple[int, int] | None:
    """The code point that starts at `i` and the length of its encoding; None where no valid UTF-8 starts."""
    for length in range(1, 5):
        try:
            return ord(data[i : i + length].decode()), length
        except (UnicodeDecodeError, TypeError):
            continue
    return None
