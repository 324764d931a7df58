"""The intermediate representation: one table of immutable, content-interned nodes that every front end lowers into.

A node is a tuple ``(Op, *operands)``; its id is its position in the table. Operands are plain integers, ids of
nodes, or indices into the list of byte strings (``blobs``). Equal nodes get equal ids, so that a repeated
sub-expression costs one dictionary look-up. Only *value* nodes may be referred to before they are defined
(`Table.reserve`, `Table.define`), which is how recursion is written; every other operand refers to an earlier node.

Four algebras share the table, and the Boolean operations are the same in each::

    regex    languages of byte strings           (text front ends intersect with TEXT, the valid UTF-8 strings)
    number   predicates on a decimal number
    array    predicates on a sequence of values
    object   predicates on a set of named values
    value    predicates on a JSON value: a record of one predicate for each JSON type

A value predicate is a *record* ``VALUE(null, true, false, number, string, array, object)`` and the Boolean
operations act on each component separately; hence ``anyOf``, ``not`` or ``if`` need no case distinction by type.
All keywords of JSON Schema on containers are Boolean combinations of these atoms:

    ITEMS(prefix..., rest)         every item satisfies the predicate at its position
    ITEM_COUNT(n, value)           at least n items satisfy `value`
    PROPERTIES(literal..., pattern..., additional)   every member satisfies all predicates that its name selects
    REQUIRED(names)                every name is present
    PROPERTY_COUNT(n, names, value)  at least n members with a name in `names` satisfy `value`
    UNIQUE                         no two items are equal
    UNEVALUATED_*(value, branch...)  a member satisfies `value` unless a branch whose condition holds evaluates it

The kernel reads the packed form (`Table.pack`): one array of 64-bit integers, ``op, operand count, operands...`` for
each node in order, and the list of byte strings.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from itertools import chain
from typing import Any

UNBOUNDED = -1


class Op(IntEnum):
    """Node kinds. The numbers are shared with ``kernel/ir.hpp``."""

    # regex algebra
    EMPTY = 0  # no string
    EPSILON = 1  # the empty string
    BYTES = 2  # w0 w1 w2 w3: a set of bytes, four 64-bit words, lowest byte first
    CLASS = 3  # lo hi lo hi ...: code points, encoded as UTF-8 (surrogates are left out)
    CONCAT = 4  # ids
    REPEAT = 5  # id min max   (max = UNBOUNDED: no upper bound)
    LITERAL = 6  # blob
    STRINGS = 7  # blobs: any one of these strings
    TEXT = 8  # every valid UTF-8 string
    AUTOMATON = 9  # blob (class of each byte), states, classes, the state after each (state, class); only for PATH
    PATH = 10  # automaton id, from, to: the strings that take the automaton from one state to another
    OUTSIDE = 11  # blob: the texts of a context-free grammar, packed with its table; stands in strings of values only
    CAPTURE = 12  # regex ids before, group, after; most bytes of the group's text, lazy; pieces: `lark/captures.py`; a terminal

    # Boolean operations, on operands of one algebra
    AND = 16  # ids; no operand: everything (needs a value operand to fix the algebra, so never empty)
    OR = 17  # ids
    NOT = 18  # id; of a regex: complement within all byte strings
    ONE_OF = 19  # ids: exactly one holds

    # constants of the number, array, object and value algebras
    TRUE = 24
    FALSE = 25

    # numbers; a decimal is (sign blob-of-digits exponent): sign * int(digits) * 10**exponent, sign in {-1, 1}
    AT_LEAST = 32  # sign digits exponent: x >= decimal
    MORE_THAN = 33  # sign digits exponent: x > decimal
    INTEGRAL = 35  # (no operand): written without fraction and exponent, which is what draft 4 calls an integer
    MULTIPLE_OF = 34  # digits exponent: x is an integer multiple of the (positive) decimal

    # arrays
    ITEMS = 40  # n, prefix value ids (n), rest value id
    ITEM_COUNT = 41  # n, value id
    UNIQUE = 42  # all items differ
    UNEVALUATED_ITEMS = 43  # value id, n, (condition value id, all, prefix length, contains value id or -1) * n

    # objects
    PROPERTIES = 48  # n, m, (name blob, value id) * n, (regex id, value id) * m, additional value id
    REQUIRED = 49  # name blobs
    PROPERTY_COUNT = 50  # n, regex id of names (-1: every name), value id
    UNEVALUATED_PROPERTIES = 51  # value id, n, (condition value id, all, k, m, name blob * k, regex id * m) * n

    # values
    VALUE = 56  # null true false number string array object: component ids (TRUE/FALSE/EMPTY/TEXT ... by algebra)
    RESERVED = 57  # placeholder of a forward reference; defined by Table.define

    # documents (roots)
    JSON = 64  # value id, whitespace mode, whitespace count, number spellings (0 json, 1 plain), property order (0 any, 1 schema)
    SEQUENCE = 65  # document or regex ids, one after the other
    CHOICE = 66  # document or regex ids
    GRAMMAR = 67  # a context-free grammar: see `cfg.Cfg.finish`


_ONLY_REFERENCES = frozenset({Op.CONCAT, Op.AND, Op.OR, Op.NOT, Op.ONE_OF})


class Whitespace(IntEnum):
    """Whitespace between the lexemes of a JSON text (DESIGN: JSON text)."""

    BOUNDED = 0
    COMPACT = 1
    PRETTY = 2
    FREE = 3
    COUNT = 4


class Table:
    """A growing list of interned nodes; front ends fill one and hand it over, and nothing changes it afterwards."""

    __slots__ = ("_blob_ids", "_ids", "_nullable", "blobs", "known", "nodes")

    def __init__(self) -> None:
        self.nodes: list[tuple[int, ...]] = []
        self.blobs: list[bytes] = []
        self._ids: dict[tuple[int, ...], int] = {}
        self._blob_ids: dict[bytes, int] = {}
        self._nullable: dict[int, bool] = {}
        self.known: dict[object, dict[int, Any]] = {}  # what analyses found out about regex nodes, by analysis

    # ------------------------------------------------------------------ primitives
    def node(self, op: Op, *operands: int) -> int:
        """Return the id of the node ``(op, *operands)``, adding it if it is new. O(operands)."""
        key = (int(op), *operands)
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self.nodes)
            self.nodes.append(key)
        return found

    def blob(self, data: bytes) -> int:
        """Return the index of a byte string, adding it if it is new."""
        found = self._blob_ids.get(data)
        if found is None:
            found = self._blob_ids[data] = len(self.blobs)
            self.blobs.append(data)
        return found

    def reserve(self) -> int:
        """Return a fresh value id, to be given its meaning by `define`; the way to write recursion."""
        self.nodes.append((int(Op.RESERVED), -1))
        return len(self.nodes) - 1

    def define(self, reserved: int, value: int) -> None:
        """Make `reserved` mean the value node `value`."""
        if self.nodes[reserved] != (int(Op.RESERVED), -1):
            raise AssertionError(f"node {reserved} is not an open reservation")
        self.nodes[reserved] = (int(Op.RESERVED), value)

    # ------------------------------------------------------------------ regexes
    def empty(self) -> int:
        return self.node(Op.EMPTY)

    def epsilon(self) -> int:
        return self.node(Op.EPSILON)

    def text(self) -> int:
        return self.node(Op.TEXT)

    def byte_set(self, members: Iterable[int]) -> int:
        """The one-byte strings whose byte is in `members`."""
        words = [0, 0, 0, 0]
        for b in members:
            words[b >> 6] |= 1 << (b & 63)
        # array('q') is signed: store the two's complement
        return self.node(Op.BYTES, *(w - (1 << 64) if w >> 63 else w for w in words))

    def char_class(self, ranges: Sequence[tuple[int, int]]) -> int:
        """The one-character strings, as UTF-8, whose code point lies in one of the inclusive, sorted, disjoint `ranges`."""
        return self.node(Op.CLASS, *chain.from_iterable(ranges))

    def concat(self, *parts: int) -> int:
        return parts[0] if len(parts) == 1 else self.node(Op.CONCAT, *parts) if parts else self.epsilon()

    def repeat(self, body: int, least: int, most: int | None) -> int:
        return self.node(Op.REPEAT, body, least, UNBOUNDED if most is None else most)

    def literal(self, data: bytes) -> int:
        return self.node(Op.LITERAL, self.blob(data))

    def strings(self, choices: Iterable[bytes]) -> int:
        """Any one of many strings; lowered to a shared trie, so 50,000 of them are fine."""
        return self.node(Op.STRINGS, *sorted({self.blob(c) for c in choices}))

    def automaton(self, classes: bytes, rows: Sequence[Sequence[int]]) -> int:
        """A complete deterministic automaton: the class of each byte, and by state the state after each class."""
        return self.node(Op.AUTOMATON, self.blob(classes), len(rows), len(rows[0]), *chain.from_iterable(rows))

    def path(self, automaton: int, start: int, end: int) -> int:
        """The strings that take `automaton` from state `start` to state `end`."""
        return self.node(Op.PATH, automaton, start, end)

    def outside(self, source: Table, root: int) -> int:
        """The texts of the grammar node `root` of another table, as the strings of a value. O(size of that table).

        The operand is that table packed, so that equal grammars are one language wherever they occur.
        """
        words, blobs = source.pack()
        head = array("q", [root, len(words), len(blobs), *map(len, blobs)])
        return self.node(Op.OUTSIDE, self.blob(b"".join((head.tobytes(), words, *blobs))))

    def nullable(self, node: int) -> bool:
        """Is the empty string in the language of the regex `node`? O(nodes below it), once for each node."""
        stack = [node]
        while stack:
            i = stack[-1]
            if i in self._nullable:
                stack.pop()
                continue
            below = self.operands(i)
            missing = [c for c in below if c not in self._nullable]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            self._nullable[i] = self._is_nullable(i, [self._nullable[c] for c in below])
        return self._nullable[node]

    def operands(self, node: int) -> tuple[int, ...]:
        """The regex nodes that a regex node refers to."""
        op, *x = self.nodes[node]
        if op in _ONLY_REFERENCES:
            return tuple(x)
        return (x[0],) if op == Op.REPEAT else ()

    def _is_nullable(self, node: int, below: list[bool]) -> bool:
        op, *x = self.nodes[node]
        if op in (Op.CONCAT, Op.AND):
            return all(below)
        if op == Op.OR:
            return any(below)
        if op == Op.NOT:
            return not below[0]
        if op == Op.ONE_OF:
            return sum(below) == 1
        if op == Op.REPEAT:
            return x[1] == 0 or below[0]
        if op == Op.PATH:
            return x[1] == x[2]
        if op in (Op.LITERAL, Op.STRINGS):
            return any(not self.blobs[b] for b in x)
        return op in (Op.EPSILON, Op.TEXT)

    # ------------------------------------------------------------------ Boolean operations (any algebra)
    def true(self) -> int:
        return self.node(Op.TRUE)

    def false(self) -> int:
        return self.node(Op.FALSE)

    def conjunction(self, *parts: int) -> int:
        return parts[0] if len(parts) == 1 else self.node(Op.AND, *parts)

    def disjunction(self, *parts: int) -> int:
        return parts[0] if len(parts) == 1 else self.node(Op.OR, *parts)

    def negation(self, part: int) -> int:
        return self.node(Op.NOT, part)

    def one_of(self, *parts: int) -> int:
        return parts[0] if len(parts) == 1 else self.node(Op.ONE_OF, *parts)

    # ------------------------------------------------------------------ nodes of another table
    def absorb(self, source: Table, root: int) -> int:
        """Copy the node `root` of another table, with all it refers to, into this one. One pass over the source."""
        return self.absorb_nodes(source)[root]

    def absorb_nodes(self, source: Table) -> list[int]:
        """Copy all nodes of another table but its grammars; return their ids here, by their ids there."""
        new: list[int] = []
        for op, *x in source.nodes:
            if op == Op.RESERVED:
                new.append(self.reserve())
            elif op == Op.GRAMMAR:
                new.append(-1)
            else:
                operands = _renumbered(Op(op), x, new, lambda b: self.blob(source.blobs[b]))
                new.append(self.node(Op(op), *operands))
        for i, (op, *x) in enumerate(source.nodes):
            if op == Op.RESERVED and x[0] >= 0:
                self.define(new[i], new[x[0]])
        return new

    # ------------------------------------------------------------------ the packed form
    def pack(self) -> tuple[bytes, list[bytes]]:
        """Return (int64 words as bytes, blobs) for the kernel. O(size)."""
        words = array("q")
        for n in self.nodes:
            words.append(n[0])
            words.append(len(n) - 1)
            words.extend(n[1:])
        return words.tobytes(), self.blobs


def _renumbered(op: Op, x: list[int], new: Sequence[int], blob: Callable[[int], int]) -> list[int]:
    """The operands of a node with its references to nodes and blobs replaced."""
    if op in _ONLY_REFERENCES or op in (Op.VALUE, Op.SEQUENCE, Op.CHOICE):
        return [new[c] for c in x]
    if op in (Op.LITERAL, Op.REQUIRED, Op.OUTSIDE):
        return [blob(b) for b in x]
    if op == Op.STRINGS:
        return sorted(blob(b) for b in x)
    if op in (Op.AT_LEAST, Op.MORE_THAN):
        return [x[0], blob(x[1]), x[2]]
    if op == Op.MULTIPLE_OF:
        return [blob(x[0]), x[1]]
    if op == Op.AUTOMATON:
        return [blob(x[0]), *x[1:]]
    if op in (Op.REPEAT, Op.JSON, Op.PATH):
        return [new[x[0]], *x[1:]]
    if op == Op.CAPTURE:
        return [*(new[c] for c in x[:3]), *x[3:5], *(new[c] for c in x[5:])]
    if op == Op.ITEMS:
        return [x[0], *(new[c] for c in x[1:])]
    if op == Op.ITEM_COUNT:
        return [x[0], new[x[1]]]
    if op == Op.PROPERTY_COUNT:
        return [x[0], x[1] if x[1] < 0 else new[x[1]], new[x[2]]]
    if op == Op.PROPERTIES:
        named = 2 + 2 * x[0]
        pairs = [y for i in range(2, named, 2) for y in (blob(x[i]), new[x[i + 1]])]
        return [*x[:2], *pairs, *(new[c] for c in x[named:])]
    if op == Op.UNEVALUATED_ITEMS:
        branches = [x[i : i + 4] for i in range(2, len(x), 4)]
        return [new[x[0]], x[1], *(y for c, a, n, k in branches for y in (new[c], a, n, k if k < 0 else new[k]))]
    if op == Op.UNEVALUATED_PROPERTIES:
        out, i = [new[x[0]], x[1]], 2
        for _ in range(x[1]):
            names, patterns = x[i + 2], x[i + 3]
            out += [new[x[i]], *x[i + 1 : i + 4]]
            i += 4
            out += [blob(b) for b in x[i : i + names]]
            out += [new[c] for c in x[i + names : i + names + patterns]]
            i += names + patterns
        return out
    return x
