"""GBNF text to a syntax tree: what llama.cpp's parser reads, with errors that point into the text.

Line ends separate rules; they may also stand inside parentheses, after ``::=`` and after ``|``. A quantifier applies to the
item before it, and again to what an earlier quantifier made of it. A rule defined twice is an error here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from grammars.errors import GrammarError, LimitExceeded, UnsupportedFeature
from grammars.gbnf.syntax import Chars, Choice, Grammar, Repeat, Rule, Sequence, Span, Text, Token
from grammars.limits import DEFAULT_LIMITS, Limits
from grammars.regex import charset
from grammars.regex.syntax import Ranges

_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_BOUNDS = re.compile(r"\{[ \t]*([0-9]+)[ \t]*(?:(,)[ \t]*([0-9]*)[ \t]*)?\}")
_TOKEN = re.compile(r"<(\[[0-9]+\]|[^<>\s\[][^<>\n]*)>")
_HEX = {"x": 2, "u": 4, "U": 8}
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}
_QUANTIFIERS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


@dataclass(slots=True)
class _Open:
    """An open group, or the body of a rule: the branches and parts read so far."""

    at: int
    branches: list[int] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)


def parse_gbnf(source: str, limits: Limits = DEFAULT_LIMITS) -> Grammar:
    """Parse a whole grammar. O(length).

    Raises GrammarError with a span where the text is malformed, UnsupportedFeature for tokens by exclusion, LimitExceeded
    beyond `limits`.
    """
    if len(source) > limits.source_bytes:
        raise LimitExceeded(len(source), limits.source_bytes, "source_bytes of a grammar")
    parser = _Parser(source, limits)
    parser.space(lines=True)
    while parser.at < len(source):
        parser.rule()
    return parser.grammar


class _Parser:
    def __init__(self, source: str, limits: Limits) -> None:
        self.source, self.limits, self.at = source, limits, 0
        self.grammar = Grammar(source)

    def error(self, message: str, span: Span | None = None) -> GrammarError:
        return GrammarError(message, source=self.source, span=span or (self.at, self.at + 1))

    def space(self, lines: bool) -> None:
        found = (_SPACE_AND_LINES if lines else _SPACE).match(self.source, self.at)
        assert found is not None
        self.at = found.end()

    def shown(self) -> str:
        c = self.source[self.at : self.at + 1]
        return "the end of the text" if not c else "the end of the line" if c in "\r\n" else repr(c)

    # ------------------------------------------------------------------ rules
    def rule(self) -> None:
        found = _NAME.match(self.source, self.at)
        if found is None:
            raise self.error(f"expected the name of a rule, found {self.shown()}")
        name, span = found.group(), found.span()
        if name in self.grammar.rules:
            raise self.error(f"the rule {name} is defined twice", span)
        self.at = found.end()
        self.space(lines=False)
        if not self.source.startswith("::=", self.at):
            raise self.error(f"expected ::= after {name}, found {self.shown()}")
        self.at += 3
        self.space(lines=True)
        body = self.expression()
        if self.at < len(self.source) and self.source[self.at] not in "\r\n":
            raise self.error(f"unexpected {self.shown()}; a rule ends with its line")
        self.grammar.rules[name], self.grammar.places[name] = body, span
        self.space(lines=True)

    def expression(self) -> int:
        """Everything to the end of the rule; groups are kept on a list, so that nesting needs no recursion."""
        open_ = [_Open(self.at)]
        while True:
            frame, c = open_[-1], self.source[self.at : self.at + 1]
            if c == "(":
                if len(open_) > self.limits.depth:
                    raise LimitExceeded(len(open_), self.limits.depth, "depth of groups in a grammar")
                open_.append(_Open(self.at))
                self.at += 1
                self.space(lines=True)
                continue
            if c == ")":
                if len(open_) == 1:
                    raise self.error("this ) has no opening parenthesis")
                open_.pop()
                open_[-1].parts.append(self.close(frame))
                self.at += 1
            elif c == "|":
                frame.branches.append(self.sequence(frame))
                self.at += 1
                self.space(lines=True)
                continue
            elif c in _QUANTIFIERS or c == "{":
                self.quantify(frame)
            elif c and (c in '"[<!.' or _NAME.match(c)):
                frame.parts.append(self.item(c))
            elif len(open_) > 1:
                raise self.error("this ( is not closed", (frame.at, frame.at + 1))
            else:
                return self.close(frame)
            self.space(lines=len(open_) > 1)

    def sequence(self, frame: _Open) -> int:
        parts, frame.parts = frame.parts, []
        return parts[0] if len(parts) == 1 else self.grammar.add(Sequence(tuple(parts)))

    def close(self, frame: _Open) -> int:
        frame.branches.append(self.sequence(frame))
        b = frame.branches
        return b[0] if len(b) == 1 else self.grammar.add(Choice(tuple(b)))

    def quantify(self, frame: _Open) -> None:
        start, c = self.at, self.source[self.at]
        least, most = _QUANTIFIERS.get(c, (0, 0))
        if c == "{":
            found = _BOUNDS.match(self.source, self.at)
            if found is None:
                raise self.error("bounds are written {m}, {m,} or {m,n}")
            low, comma, high = found.groups()
            if max(len(low), len(high or "")) > 9:
                raise LimitExceeded(int((low if len(low) > 9 else high)[:18]), 10**9, "bounds of a repetition")
            least = int(low)
            most = least if not comma else int(high) if high else None
            self.at = found.end()
        else:
            self.at += 1
        if not frame.parts:
            raise self.error("nothing to repeat: a quantifier follows an item", (start, self.at))
        if most is not None and most < least:
            raise self.error("the bounds of this repetition are out of order", (start, self.at))
        frame.parts.append(self.grammar.add(Repeat(frame.parts.pop(), least, most)))

    # ------------------------------------------------------------------ items
    def item(self, c: str) -> int:
        if c == '"':
            return self.grammar.add(Text(self.string()))
        if c == "[":
            return self.grammar.add(Chars(self.char_class()))
        if c == ".":
            self.at += 1
            return self.grammar.add(Chars(charset.ANY))
        if c in "<!":
            return self.grammar.add(Token(self.token()))
        found = _NAME.match(self.source, self.at)
        assert found is not None
        self.at = found.end()
        return self.grammar.add(Rule(found.group(), found.span()))

    def token(self) -> str:
        start = self.at
        if self.source[start] == "!":
            raise UnsupportedFeature(
                "a set of tokens by exclusion (!<...>) is not supported", source=self.source, span=(start, start + 1)
            )
        found = _TOKEN.match(self.source, start)
        if found is None:
            raise self.error("a token is written <[id]> or <name>")
        self.at = found.end()
        name = found.group(1)
        return name if name.startswith("[") else found.group()

    def string(self) -> str:
        start = self.at
        self.at += 1
        out: list[str] = []
        while True:
            if self.at >= len(self.source):
                raise self.error("this string is not closed", (start, start + 1))
            if self.source[self.at] == '"':
                self.at += 1
                return "".join(out)
            out.append(chr(self.character()))

    def char_class(self) -> Ranges:
        start = self.at
        self.at += 1
        negated = self.source.startswith("^", self.at)
        self.at += negated
        members: list[tuple[int, int]] = []
        while True:
            if self.at >= len(self.source):
                raise self.error("this class is not closed", (start, start + 1))
            if self.source[self.at] == "]":
                self.at += 1
                break
            at = self.at
            low = high = self.character()
            if self.source.startswith("-", self.at) and self.source[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.character()
                if high < low:
                    raise self.error("the ends of this range are out of order", (at, self.at))
            members.append((low, high))
        if not members:
            raise self.error("a class needs at least one character", (start, self.at))
        ranges = charset.normalise(members)
        return charset.complement(ranges) if negated else ranges

    def character(self) -> int:
        """One character of a string or class, escapes read."""
        start, c = self.at, self.source[self.at]
        self.at += 1
        if c != "\\":
            return self.writable(ord(c), start)
        kind = self.source[self.at : self.at + 1]
        self.at += 1
        if kind in _ESCAPES:
            return ord(_ESCAPES[kind])
        if kind not in _HEX:
            raise self.error(f"unknown escape \\{kind}", (start, self.at))
        digits = self.source[self.at : self.at + _HEX[kind]]
        self.at += _HEX[kind]
        if len(digits) < _HEX[kind] or any(d not in "0123456789abcdefABCDEF" for d in digits):
            raise self.error(f"\\{kind} takes {_HEX[kind]} hexadecimal digits", (start, self.at))
        return self.writable(int(digits, 16), start)

    def writable(self, point: int, start: int) -> int:
        if point > charset.MAX or 0xD800 <= point <= 0xDFFF:
            raise self.error("no such character in UTF-8", (start, self.at))
        return point
