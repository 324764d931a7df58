"""Patterns to syntax trees: one recursive-descent parser, with the differences of the two dialects in one place each.

ECMA-262 patterns are read with the ``u`` flag (code points, ``\\p``, ``\\u{...}``) and, where that would be an error,
as its Annex B reads them: identity escapes, and braces and brackets that stand for themselves. Python patterns are read
as `re` reads str patterns; inline flags are honoured. Positions in messages point into the pattern.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from typing import Literal

from grammars.errors import GrammarError, LimitExceeded, UnsupportedFeature
from grammars.limits import DEFAULT_LIMITS, Limits
from grammars.regex import charset
from grammars.regex.references import expand_references
from grammars.regex.sequence import sequence
from grammars.regex.syntax import (
    Behind,
    Boundary,
    Chars,
    End,
    Group,
    Lookahead,
    Node,
    Pattern,
    Ranges,
    Reference,
    Repeat,
    Start,
    Union,
)  # fmt: skip

Dialect = Literal["python", "ecma"]
GROUP_DEPTH = 150  # groups within groups that the recursive parser and lowering can carry
_HEX = frozenset("0123456789abcdefABCDEF")
_REFERENCE = re.compile(r"\\[1-9]|\(\?P=|\\k<")
_PLAIN = re.compile(r"[^\\^$.*+?()\[\]{}|]+(?![*+?{])")  # characters that stand for themselves and are not repeated
_SIMPLE = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11}


@dataclass(frozen=True, slots=True)
class _Flags:
    ignore_case: bool = False
    multiline: bool = False
    dotall: bool = False
    verbose: bool = False
    ascii: bool = False


def parse_regex(
    pattern: str, dialect: Dialect = "python", limits: Limits = DEFAULT_LIMITS, flags: str = "", captures: bool = False
) -> Pattern:
    """Parse `pattern`, with the letters `flags` (of ``aimsux``) in force. O(length).

    captures: groups that match many texts stay in the tree with the references to them, as `expand_references` says.

    Raises GrammarError with a span where the pattern is malformed, UnsupportedFeature where it names something that is
    not a regular language or not supported, LimitExceeded beyond `limits`.
    """
    if len(pattern) > limits.source_bytes:
        raise LimitExceeded(len(pattern), limits.source_bytes, "source_bytes of a regex")
    parser = _Parser(pattern, dialect, min(limits.depth, GROUP_DEPTH), limits.nodes)
    node = parser.alternation(parser.apply_flags(_Flags(), flags, "", 0), 0)
    if parser.at < len(pattern):
        raise parser.error("unbalanced parenthesis", 1)
    if parser.referring:
        node = expand_references(node, pattern, limits.nodes, captures)
    return Pattern(node, pattern, dialect)


@functools.lru_cache(maxsize=1024)
def _character(c: str) -> Chars:
    return Chars(((ord(c), ord(c)),))


class _Parser:
    def __init__(self, source: str, dialect: str, depth: int, nodes: int) -> None:
        self.source, self.python, self.depth = source, dialect == "python", depth
        self.at = self.nodes = 0
        self.most_nodes = nodes
        self.referring = _REFERENCE.search(source) is not None  # groups are kept in the tree
        self.opened = 0
        self.closed: set[int] = set()
        self.names: dict[str, int] = {}

    # ------------------------------------------------------------------ helpers
    def error(self, message: str, width: int = 1, at: int | None = None) -> GrammarError:
        start = self.at if at is None else at
        return GrammarError(message, source=self.source, span=(start, start + width))

    def unsupported(self, what: str, at: int) -> UnsupportedFeature:
        return UnsupportedFeature(f"{what} is not supported", source=self.source, span=(at, max(self.at, at + 1)))

    def peek(self, text: str) -> bool:
        return self.source.startswith(text, self.at)

    def take(self, text: str) -> bool:
        if self.peek(text):
            self.at += len(text)
            return True
        return False

    # ------------------------------------------------------------------ structure
    def alternation(self, flags: _Flags, depth: int) -> Node:
        if depth > self.depth:
            raise LimitExceeded(depth, self.depth, "depth of groups in a regex")
        branches: list[Node] = []
        parts: list[Node] = []
        while True:
            if self.at >= len(self.source) or self.peek(")"):
                branches.append(sequence(parts))
                return branches[0] if len(branches) == 1 else Union(tuple(branches))
            if self.take("|"):
                branches.append(sequence(parts))
                parts = []
                continue
            changed = self.global_flags(flags) if self.python else None
            if changed is not None:
                flags = changed
                continue
            if flags.verbose and self.skip_verbose():
                continue
            if self.plain_run(flags, parts):
                continue
            start = self.at
            atom = self.atom(flags, depth)
            if atom is not None:
                parts.append(self.quantified(atom, start, flags))

    def plain_run(self, flags: _Flags, parts: list[Node]) -> bool:
        """Read plain characters up to the next that is not, all at once: most of most patterns."""
        if flags.verbose or flags.ignore_case:
            return False
        run = _PLAIN.match(self.source, self.at)
        if run is None:
            return False
        self.at = run.end()
        self.count(len(run[0]))
        parts.extend(map(_character, run[0]))
        return True

    def skip_verbose(self) -> bool:
        c = self.source[self.at]
        if c == "#":
            end = self.source.find("\n", self.at)
            self.at = len(self.source) if end < 0 else end + 1
            return True
        if c in " \t\n\r\f\v":
            self.at += 1
            return True
        return False

    def global_flags(self, flags: _Flags) -> _Flags | None:
        """``(?ims)``: only at the very start, as Python has it."""
        if not self.peek("(?"):
            return None
        end = self.at + 2
        while end < len(self.source) and self.source[end] in "aiLmsux":
            end += 1
        if end == self.at + 2 or self.source[end : end + 1] != ")":
            return None
        if self.at != 0:
            raise self.error("global flags must stand at the start of the pattern", end - self.at + 1)
        letters = self.source[self.at + 2 : end]
        self.at = end + 1
        return self.apply_flags(flags, letters, "", 0)

    def apply_flags(self, flags: _Flags, on: str, off: str, at: int) -> _Flags:
        names = {"i": "ignore_case", "m": "multiline", "s": "dotall", "x": "verbose", "a": "ascii"}
        if "L" in on:
            raise self.unsupported("the locale flag", at)
        for letter in on:
            flags = replace(flags, ascii=False) if letter == "u" else replace(flags, **{names[letter]: True})
        for letter in off:
            flags = replace(flags, **{names[letter]: False})
        return flags

    def quantified(self, atom: Node, start: int, flags: _Flags) -> Node:
        while self.at < len(self.source):
            if flags.verbose and self.skip_verbose():
                continue
            at = self.at
            bounds = self.bounds()
            if bounds is None:
                return atom
            least, most = bounds
            if most is not None and most < least:
                raise self.error("the bounds of this repetition are out of order", self.at - at, at)
            if isinstance(atom, Repeat) and atom.span[1] == at:
                raise self.error("a quantifier follows a quantifier; add a group", self.at - at, at)
            if isinstance(atom, Start | End | Boundary) and self.source[start] != "(":
                raise self.error("nothing to repeat: an assertion takes no quantifier", self.at - at, at)
            if self.take("+"):
                if self.python:
                    raise self.unsupported("a possessive quantifier", at)
                raise self.error("nothing to repeat", 1, self.at - 1)
            lazy = self.take("?")  # the same language; it matters to those who look for a match in a longer text
            atom = Repeat(atom, least, most, (start, self.at), lazy)
        return atom

    def bounds(self) -> tuple[int, int | None] | None:
        c = self.source[self.at]
        if c in "*+?":
            self.at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[c]
        if c != "{":
            return None
        end = self.source.find("}", self.at)
        body = self.source[self.at + 1 : end] if end > 0 else ""
        low, comma, high = body.partition(",")
        if not all(x == "" or (x.isascii() and x.isdigit()) for x in (low, high)) or not (
            low or (comma and self.python)
        ):
            return None
        if body == "" or (body == "," and not self.python):
            return None
        if len(low) > 9 or len(high) > 9:
            raise LimitExceeded(int((low if len(low) > 9 else high)[:18]), 10**9, "bounds of a repetition")
        self.at = end + 1
        least = int(low) if low else 0
        return (least, least) if not comma else (least, int(high) if high else None)

    # ------------------------------------------------------------------ atoms
    def count(self, atoms: int) -> None:
        self.nodes += atoms
        if self.nodes > self.most_nodes:
            raise LimitExceeded(self.nodes, self.most_nodes, "nodes of a regex")

    def atom(self, flags: _Flags, depth: int) -> Node | None:
        self.count(1)
        c = self.source[self.at]
        if c == "(":
            return self.group(flags, depth)
        if c == "[":
            return self.chars(self.char_class(flags), flags)
        if c in "*+?":
            raise self.error("nothing to repeat")
        self.at += 1
        if c == ".":
            newlines: Ranges = ((10, 10),) if self.python else charset.ECMA_NEWLINES
            return Chars(charset.ANY if flags.dotall else charset.complement(newlines))
        if c == "^":
            return Start(line=flags.multiline)
        if c == "$":
            return End(newline=self.python and not flags.multiline, line=flags.multiline)
        if c == "\\":
            return self.escape(flags)
        return self.chars(_character(c).ranges, flags)

    def chars(self, ranges: Ranges, flags: _Flags) -> Chars:
        return Chars(charset.ignore_case(ranges, flags.ascii) if flags.ignore_case else ranges)

    def group(self, flags: _Flags, depth: int) -> Node | None:
        start = self.at
        self.at += 1
        look: bool | None = None
        captures, name = True, None
        if self.take("?"):
            captures = False
            if self.take("#") and self.python:
                end = self.source.find(")", self.at)
                if end < 0:
                    raise self.error("missing ) of this comment", 3, start)
                self.at = end + 1
                return None
            if self.take(":"):
                pass
            elif self.take("="):
                look = False
            elif self.take("!"):
                look = True
            elif self.take("<=") or self.take("<!"):
                return self.lookbehind(flags, depth, start)
            elif self.python and self.take("P="):
                return self.reference(self.group_name(")", start), flags, start)
            elif self.take("("):
                raise self.unsupported("a conditional", start)
            elif self.take("P<" if self.python else "<"):
                captures, name = True, self.group_name(">", start)
            elif self.take(">"):
                raise self.unsupported("an atomic group", start)
            else:
                flags = self.scoped_flags(flags, start)
        number = self.open_group(name, start) if captures else 0
        body = self.alternation(flags, depth + 1)
        if not self.take(")"):
            raise self.error("missing ) of this group", 1, start)
        if not captures:
            return body if look is None else Lookahead(body, look)
        self.closed.add(number)
        return Group(number, body, (start, self.at)) if self.referring else body

    def group_name(self, closing: str, start: int) -> str:
        end = self.source.find(closing, self.at)
        name = self.source[self.at : end]
        if end < 0 or not name.replace("$", "_").isidentifier():
            raise self.error("bad group name", 3, start)
        self.at = end + 1
        return name

    def open_group(self, name: str | None, start: int) -> int:
        self.opened += 1
        if name in self.names and self.python:
            raise self.error(f"a second group named {name!r}", self.at - start, start)
        if name is not None:
            self.names[name] = self.opened
        return self.opened

    def reference(self, group: str | int, flags: _Flags, start: int) -> Reference:
        """A back-reference to a group by name or number; the position is after it."""
        number = self.names.get(group, 0) if isinstance(group, str) else group
        if number not in self.closed:
            if self.python:
                raise self.error(f"no group {group!r} ends before this back-reference", self.at - start, start)
            raise self.unsupported("a back-reference to a group that does not end before it", start)
        return Reference(number, flags.ignore_case, flags.ascii, (start, self.at))

    def lookbehind(self, flags: _Flags, depth: int, start: int) -> Node:
        negated = self.source[self.at - 1] == "!"
        body = self.alternation(flags, depth + 1)
        if not self.take(")"):
            raise self.error("missing ) of this group", 1, start)
        branches = body.branches if isinstance(body, Union) else (body,)
        if not all(isinstance(b, Chars) for b in branches):
            raise self.unsupported("lookbehind of anything but one character", start)
        ranges = charset.normalise(r for b in branches if isinstance(b, Chars) for r in b.ranges)
        return Behind(ranges, negated)

    def scoped_flags(self, flags: _Flags, start: int) -> _Flags:
        end = self.source.find(":", self.at)
        on, _, off = self.source[self.at : end if end > 0 else self.at].partition("-")
        legal = "aiLmsux" if self.python else "ims"
        if end < 0 or not (on or off) or any(x not in legal for x in on + off):
            raise self.error("unknown extension of a group", self.at - start + 1, start)
        self.at = end + 1
        return self.apply_flags(flags, on, off, start)

    # ------------------------------------------------------------------ escapes
    def escape(self, flags: _Flags) -> Node:
        start = self.at - 1
        if self.at >= len(self.source):
            raise self.error("a backslash at the end", 1, start)
        c = self.source[self.at]
        if c in "bB":
            self.at += 1
            word = charset.WORD if not self.python or flags.ascii else charset.unicode_class("w")
            return Boundary(word, c == "B")
        if self.python and c in "AZ":
            self.at += 1
            return Start() if c == "A" else End()
        if c in "123456789" and not (self.python and self.octal_ahead()):
            return self.reference(self.group_number(), flags, start)
        if c == "k" and not self.python and "(?<" in self.source:
            self.at += 1
            if not self.take("<"):
                raise self.error("bad group name", 2, start)
            return self.reference(self.group_name(">", start), flags, start)
        named = self.named_class(flags)
        if named is not None:
            return self.chars(named, flags) if c in "pP" else Chars(named)
        point = self.character_escape(start, in_class=False)
        return self.chars(((point, point),), flags)

    def group_number(self) -> int:
        """The digits of a numbered back-reference: two at most in Python."""
        end = self.at + 1
        while self.source[end : end + 1] in tuple("0123456789") and end - self.at < (2 if self.python else 9):
            end += 1
        number = int(self.source[self.at : end])
        self.at = end
        return number

    def octal_ahead(self) -> bool:
        text = self.source[self.at : self.at + 3]
        return len(text) == 3 and all(x in "01234567" for x in text) and text[0] in "0123"

    def named_class(self, flags: _Flags) -> Ranges | None:
        """``\\d \\w \\s \\p{...}`` and their complements at the position after the backslash; None if it is none of these."""
        start, c = self.at - 1, self.source[self.at]
        lower = c.lower()
        if lower in "dws":
            self.at += 1
            if self.python and not flags.ascii:
                ranges = charset.unicode_class(lower)
            else:
                space = charset.ASCII_SPACE if self.python else charset.ECMA_SPACE
                ranges = {"d": charset.DIGIT, "w": charset.WORD, "s": space}[lower]
            return charset.complement(ranges) if c.isupper() else ranges
        if lower != "p" or self.source[self.at + 1 : self.at + 2] != "{":
            return None
        end = self.source.find("}", self.at)
        if end < 0:
            raise self.error("missing } of this property", 2, start)
        name = self.source[self.at + 2 : end]
        self.at = end + 1
        found = charset.unicode_property(name)
        if found is None:
            raise self.unsupported(f"the Unicode property {name!r}", start)
        return charset.complement(found) if c == "P" else found

    def character_escape(self, start: int, in_class: bool) -> int:
        """One code point; the position is after the backslash."""
        c = self.source[self.at]
        self.at += 1
        if c in _SIMPLE:
            return _SIMPLE[c]
        if c == "x":
            return self.hex_digits(2, start)
        if c == "u":
            return self.unicode_escape(start)
        if c == "b" and in_class:
            return 8
        if self.python:
            return self.python_escape(c, start)
        if c == "c" and self.source[self.at : self.at + 1].isalpha() and self.source[self.at].isascii():
            self.at += 1
            return ord(self.source[self.at - 1]) % 32
        if c == "0" and not self.source[self.at : self.at + 1].isdigit():
            return 0
        return ord(c)

    def python_escape(self, c: str, start: int) -> int:
        if c == "a":
            return 7
        if c == "U":
            point = self.hex_digits(8, start)
            if point > charset.MAX:
                raise self.error("no such code point", self.at - start, start)
            return point
        if c in "01234567":
            digits = c
            while len(digits) < 3 and self.at < len(self.source) and self.source[self.at] in "01234567":
                digits += self.source[self.at]
                self.at += 1
            return int(digits, 8)
        if c == "N":
            raise self.unsupported("a character by name", start)
        if c.isascii() and c.isalnum():
            raise self.error(f"bad escape \\{c}", 2, start)
        return ord(c)

    def hex_digits(self, n: int, start: int) -> int:
        text = self.source[self.at : self.at + n]
        if len(text) < n or any(x not in _HEX for x in text):
            if self.python:
                raise self.error("incomplete escape", 2, start)
            return ord(self.source[self.at - 1])  # Annex B: the letter itself
        self.at += n
        return int(text, 16)

    def unicode_escape(self, start: int) -> int:
        if not self.python and self.peek("{"):
            end = self.source.find("}", self.at)
            text = self.source[self.at + 1 : end] if end > 0 else ""
            if not text or any(x not in _HEX for x in text) or int(text, 16) > charset.MAX:
                raise self.error("bad code point escape", 3, start)
            self.at = end + 1
            return int(text, 16)
        first = self.hex_digits(4, start)
        low = self.source[self.at + 2 : self.at + 6]
        if not self.python and 0xD800 <= first < 0xDC00 and self.peek("\\u") and len(low) == 4 and set(low) <= _HEX:
            second = int(low, 16)
            if 0xDC00 <= second <= 0xDFFF:
                self.at += 6
                return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
        return first

    # ------------------------------------------------------------------ classes
    def char_class(self, flags: _Flags) -> Ranges:
        start = self.at
        self.at += 1
        negated = self.take("^")
        members: list[tuple[int, int]] = []
        first = True
        while True:
            if self.at >= len(self.source):
                raise self.error("missing ] of this class", 1, start)
            if self.peek("]") and not (first and self.python):
                self.at += 1
                break
            first = False
            at = self.at
            low = self.class_member(flags)
            if self.peek("-") and self.source[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.class_member(flags)
                if isinstance(low, int) and isinstance(high, int):
                    if high < low:
                        raise self.error("the ends of this range are out of order", self.at - at, at)
                    members.append((low, high))
                    continue
                if self.python:
                    raise self.error("a class cannot end a range", self.at - at, at)
                for part in (low, ord("-"), high):
                    members.extend(((part, part),) if isinstance(part, int) else part)
                continue
            members.extend(((low, low),) if isinstance(low, int) else low)
        ranges = charset.merged(tuple(members))
        if flags.ignore_case:
            ranges = charset.ignore_case(ranges, flags.ascii)
        return charset.complement(ranges) if negated else ranges

    def class_member(self, flags: _Flags) -> int | Ranges:
        c = self.source[self.at]
        self.at += 1
        if c != "\\":
            return ord(c)
        if self.at >= len(self.source):
            raise self.error("a backslash at the end", 1, self.at - 1)
        named = self.named_class(flags)
        return named if named is not None else self.character_escape(self.at - 1, in_class=True)
