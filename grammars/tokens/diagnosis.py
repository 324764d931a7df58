"""What is wrong with a text: where it leaves a language, what stands there, and what could; for people and for programs.

An *explanation* is about a state, a *diagnosis* about a whole text. Both name what a grammar calls things: terminals of which a
lexeme has begun, terminals that may come next, rules of which a part has been read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from grammars.errors import GrammarError, marked_line

if TYPE_CHECKING:
    from grammars.grammar import Grammar

SHOWN = 12  # names of terminals in a message
INSIDE = 5  # names of rules in a message
EXAMPLE = 60  # bytes of a completion in a message
WINDOW = 400  # bytes of a line around its place
_JSON = re.compile(r'"(?:\\.|[^"\\])*"?|[{}\[\]:,]', re.DOTALL)
_MADE = re.compile(r"([*+]|\{[0-9,]+\})+$")  # of nonterminals made for repetitions


@dataclass(frozen=True, slots=True)
class Explanation:
    """What may follow here.

    so_far: the text read. expected: bytes. accepting: may the text end? completion: one way to finish. place: where this is, in
    words. reading, terminals, rules (of context-free grammars): terminals in progress that can go on, terminals that may come
    next, rules in progress.
    """

    so_far: bytes
    expected: bytes
    accepting: bool
    completion: bytes
    place: str
    reading: tuple[str, ...] = ()
    terminals: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = self.so_far[-60:].decode(errors="replace")
        place = f" {self.place}" if self.place else ""
        return (
            f"after {shown!r}{place}: expected {wanted(self.expected, self.reading, self.terminals, self.accepting)}; "
            f"for example {self.completion[:EXAMPLE].decode(errors='replace')!r}"
        )


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The verdict on a whole text, and for one that is not accepted its first place that no accepted text has in common with it.

    verdict: "accepted"; "refused": what stands at the place may not; "incomplete": the text ends too early.
    byte, character: offsets of the place (from 0; a character that is refused begins there). line, column: of characters, from 1.
    found: the character refused, "" at the end. expected: bytes that may stand there. completion: one way to finish from there,
    None if a limit was met. excerpt: the line, with a caret. path: JSON pointer of the place under a schema.
    reading, terminals, rules: see `Explanation`.
    """

    verdict: Literal["accepted", "refused", "incomplete"]
    byte: int
    character: int
    line: int
    column: int
    found: str = ""
    expected: bytes = b""
    completion: bytes | None = None
    excerpt: str = ""
    path: str | None = None
    reading: tuple[str, ...] = ()
    terminals: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        return self.verdict == "accepted"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; bytes that are no UTF-8 are replaced."""
        names = ("verdict", "byte", "character", "line", "column", "found", "path", "excerpt")
        lists = {name: list(getattr(self, name)) for name in ("reading", "terminals", "rules")}
        completion = None if self.completion is None else self.completion.decode(errors="replace")
        return {
            **{name: getattr(self, name) for name in names},
            "expected": "" if self.accepted else classes(self.expected),
            **lists,
            "completion": completion,
        }

    def __str__(self) -> str:
        if self.accepted:
            return "accepted"
        where = f"line {self.line}, column {self.column} (byte {self.byte})"
        refused = f"refused at {where}: {self.found!r}"
        lines = [
            refused if self.verdict == "refused" else f"incomplete: the text ends too early, at {where}",
            self.excerpt,
        ]
        inside = [f"at {self.path}"] if self.path else []
        inside += [f"in {_listed(self.rules, INSIDE)}"] if self.rules else []
        following = wanted(self.expected, self.reading, self.terminals, self.completion == b"")
        lines.append(f"{', '.join([*inside, 'expected'])} {following}")
        if self.completion:
            more = "..." if len(self.completion) > EXAMPLE else ""
            shown = self.completion[:EXAMPLE].decode(errors="replace") + more
            lines.append(f"for example, it could go on with {shown!r}")
        return "\n".join(lines)


def diagnose(grammar: Grammar, text: bytes | str, kernel: Any) -> Diagnosis:
    """See `TokenAutomaton.diagnose`."""
    if not isinstance(text, str | bytes):
        raise GrammarError(f"a text must be str or bytes, not {type(text).__name__}")
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    viable, byte, accepted, expected, completion, progress = kernel.diagnose(data)
    line_start = data.rfind(b"\n", 0, byte) + 1
    line, column = data.count(b"\n", 0, byte) + 1, _length(data[line_start:byte]) + 1
    if accepted:
        return Diagnosis("accepted", byte, _length(data[:byte]), line, column)
    refused = viable < len(data)
    return Diagnosis(
        "refused" if refused else "incomplete",
        byte,
        _length(data[:byte]),
        line,
        column,
        data[byte : byte + 4].decode(errors="replace")[:1] if refused else "",
        expected,
        completion,
        _excerpt(data, line_start, byte, line, column),
        json_path(data[:byte]) if grammar.kind == "json_schema" else None,
        **names_of(grammar, progress),
    )


def names_of(grammar: Grammar, progress: tuple[list[int], list[int], list[int]]) -> dict[str, tuple[str, ...]]:
    """The names of what the kernel knows by number."""
    if not grammar.is_cfg:
        return {}
    cfg = grammar.lowered.cfg
    reading, following, rules = progress
    return {
        "reading": tuple(dict.fromkeys(cfg.terminals[t].name for t in reading)),
        "terminals": tuple(dict.fromkeys(cfg.terminals[t].name for t in following)),
        "rules": tuple(dict.fromkeys(_MADE.sub("", cfg.nonterminals[n]) for n in rules)),
    }


# ---------------------------------------------------------------------- places
def _length(data: bytes) -> int:
    """Characters; a byte that is part of none counts as one."""
    return len(data.decode(errors="surrogateescape"))


def _excerpt(data: bytes, start: int, at: int, number: int, column: int) -> str:
    """The line of a place, or what is near it in a long one."""
    left = max(start, at - WINDOW)
    while left > start and data[left] & 0xC0 == 0x80 and left > at - WINDOW - 3:
        left -= 1
    end = data.find(b"\n", at, at + WINDOW)
    right = end if end >= 0 else min(len(data), at + WINDOW)
    before = data[left:at].decode(errors="replace")
    shown = before + data[at:right].decode(errors="replace")
    return marked_line(shown, len(before), len(before) + 1, number, column)


def json_path(text: bytes) -> str:
    """The JSON pointer (RFC 6901) of the value at the end of a JSON prefix, best effort, for people. O(length)."""
    stack: list[list[Any]] = []  # of open containers: the bracket, and the name or index of the member in progress
    key = ""
    for found in _JSON.finditer(text.decode(errors="replace")):
        c = found.group()
        if c[0] == '"':
            key = c[1:-1]
        elif c in "{[":
            stack.append([c, 0 if c == "[" else None])
        elif c in "}]" and stack:
            stack.pop()
        elif c == ":" and stack:
            stack[-1][1] = _decoded(key)
        elif c == "," and stack:
            stack[-1][1] = stack[-1][1] + 1 if stack[-1][0] == "[" else None
    return "#" + "".join(f"/{str(s[1]).replace('~', '~0').replace('/', '~1')}" for s in stack if s[1] is not None)


def _decoded(key: str) -> str:
    try:
        return str(json.loads(f'"{key}"', strict=False))
    except ValueError:
        return key


# ---------------------------------------------------------------------- messages
def wanted(expected: bytes, reading: tuple[str, ...], terminals: tuple[str, ...], ends: bool = False) -> str:
    """What may come, in words: by name where the grammar has names, else by character. `ends`: the text may end."""
    parts = ["the end of the text"] if ends else []
    parts += [f"more of {_listed(reading)}"] if reading else []
    parts += [_listed(terminals)] if terminals else []
    parts += [f"one of {classes(expected)}"] if expected and not reading and not terminals else []
    return ", or ".join(parts)


def _listed(names: tuple[str, ...], most: int = SHOWN) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def classes(expected: bytes) -> str:
    """Bytes as a short list: ranges of printable characters, the rest by number or, where they begin characters, in words."""
    beyond = [b for b in expected if b >= 0x80]
    words = bool(beyond) and all(0xC2 <= b <= 0xF4 for b in beyond)
    shown = bytes(b for b in expected if b < 0x80) if words else expected
    out: list[str] = []
    at = 0
    while at < len(shown):
        end = at
        while end + 1 < len(shown) and shown[end + 1] == shown[end] + 1:
            end += 1
        low, high = shown[at], shown[end]
        out.append(_byte(low) if low == high else f"{_byte(low)}-{_byte(high)}")
        at = end + 1
    if words:
        out.append("a character beyond ASCII")
    return " ".join(out) or "nothing"


def _byte(b: int) -> str:
    return repr(chr(b)) if 0x20 <= b < 0x7F else f"0x{b:02x}"
