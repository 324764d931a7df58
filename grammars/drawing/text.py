"""Texts as people can read them in a picture: every character visible, long ones cut, sets of characters as classes."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable

from grammars.regex import charset
from grammars.regex.syntax import Ranges

LONGEST = 60  # columns of a label; the rest is in its tooltip
TOOLTIP = 2_000
FEW = 8  # ranges beyond ASCII that a class names one by one
SURROGATES = (0xD800, 0xDFFF)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str, special: str = "") -> str:
    """`text` with an escape for what cannot be seen or would change how the rest is shown (control characters, direction
    marks, lone surrogates), and a backslash before the characters of `special`."""
    return "".join(_visible(c, special) for c in text)


def _visible(c: str, special: str) -> str:
    if c in _NAMED:
        return _NAMED[c]
    if c in special:
        return "\\" + c
    if c.isprintable() and not unicodedata.combining(c):
        return c
    return numbered(ord(c))


def numbered(point: int) -> str:
    return f"\\x{point:02x}" if point < 256 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def quoted(data: bytes) -> str:
    """Bytes as a string literal; those that are no UTF-8 by their numbers."""
    text = data.decode(errors="surrogateescape")
    shown = (f"\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else visible(c, '"\\') for c in text)
    return f'"{"".join(shown)}"'


def class_text(ranges: Ranges) -> str:
    """A set of characters: one as it is, several as a class, negated if that is shorter; large ones by name or in words."""
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1] and chr(ranges[0][0]) not in " .[^":
        return visible(chr(ranges[0][0]))
    whole = charset.normalise((*ranges, SURROGATES)) if _around_surrogates(ranges) else ranges
    if whole == charset.ANY:
        return "any character"
    outside = charset.complement(whole)
    for name in "dws" if min(len(whole), len(outside)) > FEW else "":
        if charset.unicode_class(name) in (whole, outside):
            return f"\\{name if charset.unicode_class(name) == whole else name.upper()}"
    return f"[^{_inside(outside)}]" if len(outside) < len(whole) else f"[{_inside(whole)}]"


def _around_surrogates(ranges: Ranges) -> bool:
    """Are the characters next to the surrogates, which are none, both in the set?"""
    return charset.contains(ranges, SURROGATES[0] - 1) and charset.contains(ranges, SURROGATES[1] + 1)


def _inside(ranges: Ranges) -> str:
    parts = [_range(low, high) for low, high in ranges if low < 0x80]
    beyond = [_range(low, high) for low, high in ranges if low >= 0x80]
    if len(beyond) > FEW:
        return f"{''.join(parts)}, {len(beyond)} ranges from {beyond[0].split('-')[0]} on"
    return "".join(parts + beyond)


def _range(low: int, high: int) -> str:
    """A range of characters; those written from right to left by number, because they would change the order."""
    ends = []
    for p in (low, high):
        turns = unicodedata.bidirectional(chr(p)) in ("R", "AL", "AN")
        ends.append(numbered(p) if turns else visible(chr(p), "]\\^-["))
    return ends[0] if low == high else "".join(ends) if high == low + 1 else "-".join(ends)


def bytes_text(ranges: Iterable[tuple[int, int]]) -> str:
    """A set of bytes as a class: characters of ASCII as they are, other bytes by number."""
    parts = []
    for low, high in charset.normalise(ranges):
        ends = [visible(chr(b), "]\\^-[") if b < 0x80 else f"\\x{b:02x}" for b in (low, high)]
        parts.append(ends[0] if low == high else "-".join(ends))
    return f"[{''.join(parts)}]"


def clip(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def columns(text: str) -> int:
    """Columns of a fixed-width font; East Asian wide characters take two (Unicode Standard Annex 11)."""
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def escape(text: str) -> str:
    """Text for the inside of an element or of an attribute."""
    return html.escape(visible(text))
