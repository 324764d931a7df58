"""The text of a Lark grammar to tokens, one at a time: the parser decides where JSON or a nested grammar begins."""

from __future__ import annotations

import re
from typing import NamedTuple

from grammars.errors import GrammarError, UnsupportedFeature
from grammars.lark.syntax import Source, Span

_TOKENS = re.compile(
    r"""
    (?P<skip>    [ \t\f]+ | //[^\n]* | \#[^\n]* | \\[ \t]*\r?\n )
  | (?P<newline> (?:\r?\n)+ )
  | (?P<string>  "(?:\\.|[^"\\\n])*"i? )
  | (?P<regexp>  /(?:\\.|[^/\\])+/[imslux]* )
  | (?P<name>    [A-Za-z_][A-Za-z0-9_]*(?:-(?!>)[A-Za-z0-9_]+)* )
  | (?P<number>  [+-]?[0-9]+(?:\.(?!\.)[0-9]+)? )
  | (?P<directive> %[A-Za-z_]+ )
  | (?P<special> <(?:\[[^\]<>\n]*\]|[^<>\s]+)> )
  | (?P<reference> @[A-Za-z_][A-Za-z0-9_\-]* )
  | (?P<symbol>  -> | \.\. | :: | [:|&~()\[\]{}*+?!.,=] )
    """,
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """`kind`: newline, string, regexp, name, number, directive, special, reference, end; of a symbol: the symbol."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def span(self) -> Span:
        return self.start, self.end


class Scanner:
    """Tokens of `source` from `at` on, with one token of look-ahead that can be given up (`jump`)."""

    def __init__(self, source: Source) -> None:
        self.source, self.text = source, source.text
        self.at = 0  # after the token that `peek` returned
        self.token = self._scan()

    def error(self, message: str, span: Span) -> GrammarError:
        where = f" (in {self.source.name})" if self.source.name else ""
        return GrammarError(message + where, source=self.text, span=span)

    def unsupported(self, message: str, span: Span) -> GrammarError:
        where = f" (in {self.source.name})" if self.source.name else ""
        return UnsupportedFeature(message + where, source=self.text, span=span)

    def next(self) -> Token:
        token = self.token
        self.token = self._scan()
        return token

    def jump(self, at: int) -> None:
        """Go on at another place in the text."""
        self.at = at
        self.token = self._scan()

    def after_newlines(self) -> str:
        """The kind of the first token after the newlines that come next, which are not consumed. O(their length)."""
        at, token = self.at, self.token
        while self.token.kind == "newline":
            self.token = self._scan()
        kind = self.token.kind
        self.at, self.token = at, token
        return kind

    def _scan(self) -> Token:
        while self.at < len(self.text):
            start = self.at
            found = _TOKENS.match(self.text, start)
            if found is None:
                raise self._stray(start)
            self.at = found.end()
            kind = found.lastgroup or ""
            if kind == "skip":
                continue
            text = found.group()
            return Token(text if kind == "symbol" else kind, text, start, self.at)
        return Token("end", "", len(self.text), len(self.text))

    def _stray(self, at: int) -> GrammarError:
        c = self.text[at]
        line_end = self.text.find("\n", at)
        rest = (at, line_end if line_end >= 0 else len(self.text))
        if c == '"':
            return self.error('this string does not end on its line; close it with "', rest)
        if c == "'":
            return self.error('strings are written with "double quotes"', (at, at + 1))
        if c == "/":
            return self.error("this regex does not end; close it with / and write \\/ for a slash inside it", rest)
        if c == "<":
            return self.error("a special token is written <name> or <[id]>; a text is written in quotes", (at, at + 1))
        return self.error(f"unexpected character {c!r}", (at, at + 1))


def string_text(raw: str, scanner: Scanner, start: int) -> str:
    """The text of a string without its quotes, escapes read as Lark reads them: unknown ones keep their backslash."""
    return _SLASHES.sub("\\\\", _unescape(raw, scanner, start))


_SLASHES = re.compile(r"\\\\")
_ESCAPES = {"n": "\n", "f": "\f", "t": "\t", "r": "\r", '"': '"', "\\": "\\\\"}
_WIDTHS = {"x": 2, "u": 4, "U": 8}


def _unescape(raw: str, scanner: Scanner, start: int) -> str:
    out: list[str] = []
    at = 0
    while True:
        slash = raw.find("\\", at)
        if slash < 0 or slash + 1 >= len(raw):
            out.append(raw[at:])
            return "".join(out)
        out.append(raw[at:slash])
        c = raw[slash + 1]
        at = slash + 2
        if c in _WIDTHS:
            digits = raw[at : at + _WIDTHS[c]]
            at += _WIDTHS[c]
            span = (start + slash, start + at)
            if len(digits) < _WIDTHS[c] or not all(d in "0123456789abcdefABCDEF" for d in digits):
                raise scanner.error(f"\\{c} takes {_WIDTHS[c]} hexadecimal digits", span)
            if int(digits, 16) > 0x10FFFF or 0xD800 <= int(digits, 16) <= 0xDFFF:
                raise scanner.error("no such character in UTF-8", span)
            out.append(chr(int(digits, 16)))
        else:
            out.append(_ESCAPES.get(c, "\\" + c))
