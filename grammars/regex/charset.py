"""Sets of code points as sorted disjoint ranges, and the named classes of the two dialects."""

from __future__ import annotations

import bisect
import functools
import sys
import unicodedata
from collections.abc import Iterable

from grammars.regex.syntax import Ranges

MAX = sys.maxunicode
ANY: Ranges = ((0, MAX),)
DIGIT: Ranges = ((48, 57),)
WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
ECMA_SPACE: Ranges = (
    (9, 13), (32, 32), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F),
    (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF),
)  # fmt: skip
ASCII_SPACE: Ranges = ((9, 13), (32, 32))
ECMA_NEWLINES: Ranges = ((10, 10), (13, 13), (0x2028, 0x2029))


def normalise(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sort and merge. O(n log n)."""
    out: list[tuple[int, int]] = []
    for lo, hi in sorted(ranges):
        if out and lo <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], hi))
        else:
            out.append((lo, hi))
    return tuple(out)


@functools.lru_cache(maxsize=64)
def merged(ranges: tuple[tuple[int, int], ...]) -> Ranges:
    """`normalise`, remembered: the keywords of a grammar end with one and the same class of hundreds of ranges."""
    return normalise(ranges)


def complement(ranges: Ranges) -> Ranges:
    out, at = [], 0
    for lo, hi in ranges:
        if at < lo:
            out.append((at, lo - 1))
        at = hi + 1
    if at <= MAX:
        out.append((at, MAX))
    return tuple(out)


def intersection(a: Ranges, b: Ranges) -> Ranges:
    out, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        lo, hi = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if lo <= hi:
            out.append((lo, hi))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return tuple(out)


def contains(ranges: Ranges, point: int) -> bool:
    return any(lo <= point <= hi for lo, hi in ranges)


def _collect(points: Iterable[int]) -> Ranges:
    out: list[tuple[int, int]] = []
    for p in points:
        if out and out[-1][1] == p - 1:
            out[-1] = (out[-1][0], p)
        else:
            out.append((p, p))
    return tuple(out)


@functools.lru_cache(maxsize=8)
def unicode_class(name: str) -> Ranges:
    """Python's ``\\d``, ``\\w`` and ``\\s`` on str. About 0.1 s the first time."""
    test = {"d": str.isdecimal, "w": lambda c: c.isalnum() or c == "_", "s": str.isspace}[name]
    return _collect(p for p in range(MAX + 1) if test(chr(p)))


@functools.lru_cache(maxsize=1)
def _categories() -> dict[str, Ranges]:
    points: dict[str, list[tuple[int, int]]] = {}
    for p in range(MAX + 1):
        runs = points.setdefault(unicodedata.category(chr(p)), [])
        if runs and runs[-1][1] == p - 1:
            runs[-1] = (runs[-1][0], p)
        else:
            runs.append((p, p))
    return {k: tuple(v) for k, v in points.items()}


_LONG = {
    "Letter": "L", "Cased_Letter": "LC", "Uppercase_Letter": "Lu", "Lowercase_Letter": "Ll", "Titlecase_Letter": "Lt",
    "Modifier_Letter": "Lm", "Other_Letter": "Lo", "Mark": "M", "Combining_Mark": "M", "Nonspacing_Mark": "Mn",
    "Spacing_Mark": "Mc", "Enclosing_Mark": "Me", "Number": "N", "Decimal_Number": "Nd", "digit": "Nd",
    "Letter_Number": "Nl", "Other_Number": "No", "Punctuation": "P", "punct": "P", "Connector_Punctuation": "Pc",
    "Dash_Punctuation": "Pd", "Open_Punctuation": "Ps", "Close_Punctuation": "Pe", "Initial_Punctuation": "Pi",
    "Final_Punctuation": "Pf", "Other_Punctuation": "Po", "Symbol": "S", "Math_Symbol": "Sm", "Currency_Symbol": "Sc",
    "Modifier_Symbol": "Sk", "Other_Symbol": "So", "Separator": "Z", "Space_Separator": "Zs", "Line_Separator": "Zl",
    "Paragraph_Separator": "Zp", "Other": "C", "Control": "Cc", "cntrl": "Cc", "Format": "Cf", "Surrogate": "Cs",
    "Private_Use": "Co", "Unassigned": "Cn",
}  # fmt: skip


def general_categories() -> tuple[str, ...]:
    """The names of General_Category values, short and long."""
    return tuple(sorted({*_LONG, *_LONG.values()}))


@functools.lru_cache(maxsize=64)
def unicode_property(name: str) -> Ranges | None:
    """The code points of ``\\p{name}``: General_Category (short, long or with its key) and a few binary properties."""
    for key in ("General_Category=", "gc="):
        name = name.removeprefix(key)
    if name in ("Any", "ASCII", "ASCII_Hex_Digit", "AHex"):
        return {"Any": ANY, "ASCII": ((0, 127),)}.get(name, ((48, 57), (65, 70), (97, 102)))
    if name in ("White_Space", "space"):
        return normalise((*((p, p) for p in (0x85,)), *(r for r in ECMA_SPACE if r[0] != 0xFEFF)))
    short = _LONG.get(name, name)
    table = _categories()
    if short == "Assigned":
        return complement(table["Cn"])
    if short in ("LC", "L&"):
        return normalise((*table["Lu"], *table["Ll"], *table["Lt"]))
    if short in table:
        return table[short]
    members = [r for key, ranges in table.items() if len(short) == 1 and key.startswith(short) for r in ranges]
    return normalise(members) if members else None


@functools.lru_cache(maxsize=2)
def _case_table(ascii_only: bool) -> dict[int, tuple[int, ...]]:
    """Code points that match each other when case is ignored: equal under simple lower- or uppercase, transitively."""
    groups: dict[int, set[int]] = {}
    for p in range(128 if ascii_only else 0x1E944):
        c = chr(p)
        if 0xD800 <= p <= 0xDFFF:
            continue
        same = {p}
        for other in (c.lower(), c.upper()):
            if len(other) == 1 and (not ascii_only or ord(other) < 128):
                same.add(ord(other))
        if len(same) > 1:
            joined = same.union(*(groups.get(q, set()) for q in same))
            for q in joined:
                groups[q] = joined
    return {p: tuple(sorted(g)) for p, g in groups.items()}


@functools.lru_cache(maxsize=4096)
def ignore_case(ranges: Ranges, ascii_only: bool) -> Ranges:
    """Add every code point that differs only in case. O(min(points of `ranges`, characters with case))."""
    table, ranges = _case_table(ascii_only), normalise(ranges)
    if sum(hi - lo + 1 for lo, hi in ranges) < len(table):
        inside = [p for lo, hi in ranges for p in range(lo, hi + 1) if p in table]
    else:
        starts = [lo for lo, _ in ranges]
        inside = [p for p in table if (i := bisect.bisect_right(starts, p)) and p <= ranges[i - 1][1]]
    return normalise((*ranges, *((q, q) for p in inside for q in table[p])))
