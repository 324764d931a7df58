"""Value predicates: the records of the IR, and plain JSON values as predicates that hold for them alone.

A number is an exact decimal: an int, a Decimal, or the decimal that the shortest repr of a float denotes. Equality is
that of JSON Schema: 1, 1.0 and 1e0 are one number, booleans are no numbers, objects are equal whatever the order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from grammars.errors import GrammarError
from grammars.ir import Op, Table

NULL, TRUE, FALSE, NUMBER, STRING, ARRAY, OBJECT = range(7)


def any_value(table: Table) -> int:
    t = table.true()
    return table.node(Op.VALUE, t, t, t, t, table.text(), t, t)


def no_value(table: Table) -> int:
    f = table.false()
    return table.node(Op.VALUE, f, f, f, f, table.empty(), f, f)


def only(table: Table, part: int, predicate: int) -> int:
    """Values of one JSON type that satisfy `predicate`."""
    f = table.false()
    parts = [f, f, f, f, table.empty(), f, f]
    parts[part] = predicate
    return table.node(Op.VALUE, *parts)


def decimal_of(x: object) -> Decimal:
    """The exact value of a JSON number. Raises GrammarError for infinities and NaN."""
    if isinstance(x, float) and not math.isfinite(x):
        raise GrammarError(f"{x} is no JSON number")
    return x if isinstance(x, Decimal) else Decimal(repr(x)) if isinstance(x, float) else Decimal(x)  # type: ignore[arg-type]


def is_number(x: object) -> bool:
    return isinstance(x, (int, float, Decimal)) and not isinstance(x, bool)


def _digits(table: Table, x: object) -> tuple[int, int, int]:
    sign, digits, exponent = decimal_of(x).as_tuple()
    assert isinstance(exponent, int)
    return (-1 if sign else 1), table.blob("".join(map(str, digits)).encode()), exponent


def at_least(table: Table, x: object) -> int:
    return table.node(Op.AT_LEAST, *_digits(table, x))


def more_than(table: Table, x: object) -> int:
    return table.node(Op.MORE_THAN, *_digits(table, x))


def multiple_of(table: Table, x: object) -> int:
    _, digits, exponent = _digits(table, x)
    return table.node(Op.MULTIPLE_OF, digits, exponent)


def equal_number(table: Table, x: object) -> int:
    return table.conjunction(at_least(table, x), table.negation(more_than(table, x)))


def equal_to(table: Table, values: Sequence[Any]) -> int:
    """The JSON values equal to one of `values`. Arrays and objects nest at most as deep as Python lets us recurse."""
    f = table.false()
    flags = [f, f, f]
    texts: list[bytes] = []
    parts: dict[int, list[int]] = {NUMBER: [], ARRAY: [], OBJECT: []}
    for x in values:
        if x is None:
            flags[NULL] = table.true()
        elif x is True:
            flags[TRUE] = table.true()
        elif x is False:
            flags[FALSE] = table.true()
        elif isinstance(x, str):
            texts.append(_utf8(x))
        elif is_number(x):
            parts[NUMBER].append(equal_number(table, x))
        elif isinstance(x, Mapping):
            parts[OBJECT].append(_equal_object(table, x))
        elif isinstance(x, Sequence):
            parts[ARRAY].append(_equal_array(table, x))
        else:
            raise GrammarError(f"{type(x).__name__} is no JSON value")
    joined = [table.disjunction(*dict.fromkeys(p)) if p else f for p in parts.values()]
    string = table.strings(texts) if texts else table.empty()
    return table.node(Op.VALUE, *flags, joined[0], string, joined[1], joined[2])


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as e:
        raise GrammarError(
            f"a lone surrogate at character {e.start} of a string cannot be written in JSON text"
        ) from None


def _equal_array(table: Table, items: Sequence[Any]) -> int:
    prefix = [equal_to(table, [x]) for x in items]
    shape = table.node(Op.ITEMS, len(prefix), *prefix, no_value(table))
    return table.conjunction(shape, table.node(Op.ITEM_COUNT, len(prefix), any_value(table))) if prefix else shape


def _equal_object(table: Table, members: Mapping[str, Any]) -> int:
    operands: list[int] = []
    names = []
    for key, x in members.items():
        names.append(table.blob(_utf8(key)))
        operands += (names[-1], equal_to(table, [x]))
    shape = table.node(Op.PROPERTIES, len(names), 0, *operands, no_value(table))
    return table.conjunction(shape, table.node(Op.REQUIRED, *names)) if names else shape
