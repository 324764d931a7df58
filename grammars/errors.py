"""The exception tree. Every message says what happened, where, and what to do.

::

    ConstrainError
    |-- GrammarError(ValueError)        the source is wrong: span and caret excerpt, or schema path
    |   |-- UnsupportedFeature          the source is right, and names something that is not enforced
    |   |-- EmptyLanguage               nothing satisfies it: the path that has no witness
    |-- LimitExceeded                   a work limit was met: given, limit, where
    |-- BudgetError                     max_tokens cannot hold any output
    |-- VocabularyError(ValueError)     token bytes, ids or mask rows that do not fit
"""

from __future__ import annotations

import unicodedata


class ConstrainError(Exception):
    """Root of everything this project raises on purpose."""


class GrammarError(ConstrainError, ValueError):
    """A source text or schema that cannot be compiled.

    `source` and `span` (start, end offsets in it) give the place in a text; `path` is a JSON pointer into a schema.
    """

    def __init__(
        self,
        message: str,
        *,
        source: str | None = None,
        span: tuple[int, int] | None = None,
        path: str | None = None,
    ) -> None:
        self.message = message
        self.source = source
        self.span = span
        self.path = path
        super().__init__(self._render())

    def _render(self) -> str:
        text = self.message
        if self.path is not None:
            text = f"at {self.path or '#'}: {text}"
        if self.source is not None and self.span is not None:
            text = f"{text}\n{caret_excerpt(self.source, self.span)}"
        return text


class UnsupportedFeature(GrammarError):
    """A construct that is recognised and not enforced; the message names it and the nearest supported form."""


class EmptyLanguage(GrammarError):
    """No text satisfies the grammar; `path` points at what has no witness where that is known."""


class LimitExceeded(ConstrainError):
    """A limit on work or size was met. `given` may be a lower bound of what would have been needed."""

    def __init__(self, given: int, limit: int, where: str) -> None:
        self.given, self.limit, self.where = given, limit, where
        super().__init__(f"{where}: {given} exceeds the limit of {limit}; raise it in Limits or simplify the grammar")


class BudgetError(ConstrainError):
    """The token budget cannot hold any output of the grammar."""


class VocabularyError(ConstrainError, ValueError):
    """A vocabulary or a mask row that does not fit what it is used for."""


def caret_excerpt(source: str, span: tuple[int, int], width: int = 72) -> str:
    """Return the line that holds ``span`` with a line of carets under it, cut to `width` characters around the start."""
    start, end = span
    line_start = source.rfind("\n", 0, start) + 1
    line_end = source.find("\n", start)
    line_end = len(source) if line_end < 0 else line_end
    number = source.count("\n", 0, start) + 1
    line = source[line_start:line_end]
    return marked_line(line, start - line_start, end - line_start, number, start - line_start + 1, width)


def marked_line(line: str, start: int, end: int, number: int, column: int, width: int = 72) -> str:
    """`line`, cut to `width` characters around `start`, with carets under ``line[start:end]``; where it stands before it."""
    left = max(0, start - width // 2)
    right = min(len(line), left + width)
    head = f"line {number}, column {column}: "
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line[left:right])
    indent = len(head) + _columns(shown[: start - left])
    marks = max(1, _columns(shown[start - left : min(end, right) - left]))
    return f"  {head}{shown}\n  {' ' * indent}{'^' * marks}"


def _columns(text: str) -> int:
    """Columns on a terminal: two for wide characters of East Asia, none for combining ones."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
