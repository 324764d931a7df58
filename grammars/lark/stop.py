"""``stop="..."``: a terminal that ends before the first stop string.

Of the words of L those stay in which no stop string stands after a word of L, and a word may not be followed by what would
complete a stop string that begins inside it. The latter depends on the prefixes of the stop string that the word ends with,
hence one ending for each of them; prefixes that end in shorter prefixes are told apart by which of them count.
"""

from __future__ import annotations

from itertools import product

from grammars.errors import UnsupportedFeature
from grammars.ir import Table
from grammars.lark.lookahead import VARIANTS, Ending


def stopped(node: int, stop: str, table: Table) -> list[Ending]:
    """The endings of the words of the regex `node` before the first `stop` (not empty)."""
    t = table
    clean = t.conjunction(node, t.negation(t.concat(node, t.literal(stop.encode()), t.text())))
    partly = [t.concat(node, t.literal(stop[:n].encode())) for n in range(1, len(stop))]  # words that end in a prefix
    found = [Ending(_without(clean, partly, t))]
    for n in range(len(stop) - 1, 0, -1):
        borders = [k for k in range(1, n) if stop[:n].endswith(stop[:k])]
        if len(found) + 2 ** len(borders) > VARIANTS:
            raise UnsupportedFeature(
                f"a stop string that splits a terminal into more than {VARIANTS} is not supported; use suffix"
            )
        for counts in product((False, True), repeat=len(borders)):
            inside = [k for k, c in zip(borders, counts, strict=True) if c]
            outside = [partly[k - 1] for k, c in zip(borders, counts, strict=True) if not c] + partly[n:]
            words = t.conjunction(clean, *(partly[k - 1] for k in (*inside, n)))
            rests = [t.literal(stop[k:].encode()) for k in (*inside, n)]
            found.append(Ending(_without(words, outside, t), t.disjunction(*rests)))
    return found


def _without(node: int, others: list[int], t: Table) -> int:
    return t.conjunction(node, *(t.negation(o) for o in others))
