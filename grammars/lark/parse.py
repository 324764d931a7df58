"""Lark grammars to syntax trees: statements one after the other, expansions on an explicit stack of open brackets.

Reads what lark 1.3.1 reads, and the dialect that OpenAI custom tools, llguidance and XGrammar share (see
`docs/grammars.md`). A newline ends a statement unless ``|`` follows it or a bracket is open.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field

from grammars.errors import LimitExceeded
from grammars.lark.scan import Scanner, Token, string_text
from grammars.lark.syntax import (
    Attribute,
    Both,
    CharRange,
    Choice,
    Declare,
    Definition,
    Document,
    Embedded,
    Ignore,
    Import,
    LayoutStatement,
    Literal,
    Name,
    Nested,
    Node,
    Not,
    Reference,
    Regexp,
    Repeat,
    Sequence,
    Source,
    Span,
    Special,
    Statement,
    is_terminal,
)  # fmt: skip
from grammars.limits import DEFAULT_LIMITS, Limits

NESTED = 50  # grammars within grammars that the recursive part of the parser can carry
_DIRECTIVES = ("%ignore", "%import", "%declare", "%override", "%extend", "%layout", "%llguidance")
_EMBEDDINGS = ("%json", "%regex", "%lark")
_QUANTIFIERS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_ANNOTATIONS = frozenset({"no_forcing"})  # options of %llguidance that do not change the language


def parse_lark(source: Source, limits: Limits = DEFAULT_LIMITS) -> Document:
    """Parse a whole grammar. O(length).

    Raises GrammarError with a span where the text is malformed, UnsupportedFeature where it names something that is not
    enforced, LimitExceeded beyond `limits`.
    """
    if len(source.text) > limits.source_bytes:
        raise LimitExceeded(len(source.text), limits.source_bytes, "source_bytes of a grammar")
    return _Parser(Scanner(source), limits).document(closing="end")


@dataclass(slots=True)
class _Open:
    """An open bracket, or the whole expansion (kind ""): the branches, conjuncts and parts read so far."""

    kind: str
    span: Span
    head: Token | None = None  # the name before the braces of a template use
    branches: list[Node] = field(default_factory=list)
    conjuncts: list[Node] = field(default_factory=list)
    parts: list[Node] = field(default_factory=list)
    negations: list[Span] = field(default_factory=list)
    arguments: list[Node] = field(default_factory=list)
    start: int = 0  # of the parts


class _Parser:
    def __init__(self, scanner: Scanner, limits: Limits) -> None:
        self.s, self.limits, self.nested = scanner, limits, 0

    # ------------------------------------------------------------------ statements
    def document(self, closing: str) -> Document:
        statements: list[Statement] = []
        while True:
            token = self.s.token
            if token.kind == "newline":
                self.s.next()
            elif token.kind == closing:
                return Document(self.s.source, tuple(statements))
            elif token.kind == "directive":
                statements.extend(self.directive())
            else:
                statements.append(self.definition("define"))

    def directive(self) -> list[Statement]:
        token = self.s.next()
        word = token.text
        if word in ("%override", "%extend"):
            return [self.definition(word[1:])]
        if word == "%ignore":
            body = self.expansions()
            return [Ignore(body, (token.start, body.span[1]))]
        if word == "%import":
            return [self.import_(token)]
        if word == "%declare":
            return [self.declare(token)]
        if word == "%layout":
            return [self.layout(token)]
        if word == "%llguidance":
            self.options(token)
            return []
        if word in _EMBEDDINGS:
            raise self.s.error(f"{word} stands inside a rule or terminal: name: {word} {{...}}", token.span)
        near = difflib.get_close_matches(word, _DIRECTIVES, 1)
        advice = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(_DIRECTIVES)}"
        raise self.s.error(f"unknown directive {word}{advice}", token.span)

    def definition(self, mode: str) -> Definition:
        while self.s.token.kind in "!?":  # tree shaping: no effect on the language
            self.s.next()
        head = self.s.token
        if head.kind != "name":
            what = "a rule or terminal definition (name: ...) or a directive"
            raise self.s.error(f"expected {what}, found {_shown(head)}", head.span)
        name = self.name()
        parameters = self.parameters() if self.s.token.kind == "{" else ()
        attributes = self.attributes() if self.s.token.kind == "[" else ()
        priority = None
        if self.s.token.kind == ".":
            self.s.next()
            priority = self.integer("a priority")
        if self.s.token.kind == "::":
            raise self.s.unsupported("a parametric rule (::) is not supported; use a template", self.s.token.span)
        if self.s.token.kind != ":":
            raise self.s.error(f"expected : after {name}, found {_shown(self.s.token)}", self.s.token.span)
        if parameters and is_terminal(name):
            raise self.s.error("a terminal takes no parameters; templates are rules (lower case)", head.span)
        self.s.next()
        body = self.expansions()
        return Definition(name, parameters, attributes, priority, body, mode, head.span)

    def name(self) -> str:
        token = self.s.next()
        if token.kind != "name":
            raise self.s.error(f"expected a name, found {_shown(token)}", token.span)
        return self.checked(token)

    def checked(self, token: Token) -> str:
        letters = token.text.lstrip("_")
        advice = "rules are written in lower case, terminals in capitals"
        if not letters[:1].isalpha():
            raise self.s.error(f"the name {token.text} does not begin with a letter; {advice}", token.span)
        if letters != letters.lower() and letters != letters.upper():
            raise self.s.error(f"the name {token.text} mixes lower case and capitals; {advice}", token.span)
        return token.text

    def parameters(self) -> tuple[str, ...]:
        self.s.next()
        names: list[str] = []
        while True:
            token = self.s.token
            name = self.name()
            if is_terminal(name):
                raise self.s.error("a template parameter is written in lower case", token.span)
            if name in names:
                raise self.s.error(f"the parameter {name} is named twice", token.span)
            names.append(name)
            if self.s.token.kind == ",":
                self.s.next()
                continue
            self.expect("}", "after the parameters")
            return tuple(names)

    def attributes(self) -> tuple[Attribute, ...]:
        self.s.next()
        found: list[Attribute] = []
        while self.s.token.kind != "]":
            token = self.s.next()
            if token.kind != "name":
                raise self.s.error(f"expected the name of an attribute, found {_shown(token)}", token.span)
            value: Literal | Regexp | Name | float | None = None
            end = token.end
            if self.s.token.kind == "=":
                self.s.next()
                end = self.s.token.end
                value = self.attribute_value()
            found.append(Attribute(token.text, value, (token.start, end)))
            if self.s.token.kind == ",":
                self.s.next()
            elif self.s.token.kind != "]":
                raise self.s.error(f"expected , or ] here, found {_shown(self.s.token)}", self.s.token.span)
        self.s.next()
        return tuple(found)

    def attribute_value(self) -> Literal | Regexp | Name | float:
        token = self.s.next()
        if token.kind == "number":
            return float(token.text)
        if token.kind == "string":
            return self.string(token)
        if token.kind == "regexp":
            return self.regexp(token)
        if token.kind == "name":
            return Name(self.checked(token), None, token.span)
        raise self.s.error(f"expected a string, a regex, a terminal or a number, found {_shown(token)}", token.span)

    def import_(self, head: Token) -> Import:
        relative = self.s.token.kind == "."
        if relative:
            self.s.next()
        path, last = [self.path_part()], self.s.token
        while self.s.token.kind == ".":
            self.s.next()
            last = self.s.token
            path.append(self.path_part())
        names: list[tuple[str, str, Span]] = []
        end = last.end
        if self.s.token.kind == "(":
            self.s.next()
            while True:
                self.newlines()
                token = self.s.token
                name = self.name()
                names.append((name, name, token.span))
                self.newlines()
                end = self.s.token.end
                if self.s.token.kind == ",":
                    self.s.next()
                    continue
                self.expect(")", "after the imported names")
                break
        else:
            name = path.pop()
            if not path:
                raise self.s.error(f"nothing is imported from {name}; write %import {name}.NAME", last.span)
            alias = name
            if self.s.token.kind == "->":
                self.s.next()
                end = self.s.token.end
                alias = self.name()
            names.append((name, alias, (last.start, end)))
            for _, to, span in names:
                if is_terminal(name) != is_terminal(to):
                    raise self.s.error("an alias keeps the kind: rules in lower case, terminals in capitals", span)
        self.end_of_line()
        return Import(tuple(path), relative, tuple(names), (head.start, end))

    def path_part(self) -> str:
        token = self.s.next()
        if token.kind != "name":
            raise self.s.error(f"%import expects a path of names, found {_shown(token)}", token.span)
        return token.text

    def declare(self, head: Token) -> Declare:
        names: list[tuple[str, Span]] = []
        while self.s.token.kind == "name":
            span = self.s.token.span
            names.append((self.name(), span))
        if not names:
            raise self.s.error("%declare expects names", head.span)
        self.end_of_line()
        return Declare(tuple(names), (head.start, names[-1][1][1]))

    def layout(self, head: Token) -> LayoutStatement:
        tab = 8
        if self.s.token.kind == "[":
            for a in self.attributes():
                if a.name != "tab" or not isinstance(a.value, float) or not 1 <= a.value <= 1000 or a.value % 1:
                    raise self.s.error("%layout takes one attribute, [tab=n] with n columns (1 to 1000)", a.span)
                tab = int(a.value)
        names: list[Name] = []
        for what in ("newline", "indent", "dedent"):
            token = self.s.token
            if token.kind != "name" or not is_terminal(token.text):
                raise self.s.error(f"%layout expects the {what} terminal, found {_shown(token)}", token.span)
            names.append(Name(self.name(), None, token.span))
        groups = [self.layout_group(*pair) for pair in ("()", "()", "[]")]
        if len(groups[0]) != len(groups[1]):
            raise self.s.error("%layout needs as many closing brackets as opening ones", head.span)
        self.end_of_line()
        return LayoutStatement(names[0], names[1], names[2], groups[0], groups[1], groups[2], tab, head.span)

    def layout_group(self, opening: str, closing: str) -> tuple[Node, ...]:
        if self.s.token.kind != opening:
            return ()
        self.s.next()
        found: list[Node] = []
        while self.s.token.kind != closing:
            token = self.s.next()
            if token.kind == "string":
                found.append(self.string(token))
            elif token.kind == "regexp":
                found.append(self.regexp(token))
            elif token.kind == "name" and is_terminal(token.text):
                found.append(Name(self.checked(token), None, token.span))
            else:
                raise self.s.error(f"expected a terminal or {closing}, found {_shown(token)}", token.span)
        self.s.next()
        return tuple(found)

    def options(self, head: Token) -> None:
        """``%llguidance {...}``: options that change the language are refused by name."""
        from grammars.json_schema.lower import parse_text

        body = self.json_text(head)
        options = parse_text(body.text, self.limits)
        for name in options if isinstance(options, dict) else ():
            if name not in _ANNOTATIONS:
                raise self.s.unsupported(f"the option {name!r} of %llguidance is not supported", body.span)

    def end_of_line(self) -> None:
        if self.s.token.kind not in ("newline", "end", "}"):
            raise self.s.error(f"expected the end of the line, found {_shown(self.s.token)}", self.s.token.span)

    def newlines(self) -> None:
        while self.s.token.kind == "newline":
            self.s.next()

    def expect(self, kind: str, where: str) -> Token:
        token = self.s.token
        if token.kind != kind:
            raise self.s.error(f"expected {kind} {where}, found {_shown(token)}", token.span)
        return self.s.next()

    def integer(self, what: str) -> int:
        token = self.s.next()
        if token.kind != "number" or "." in token.text:
            raise self.s.error(f"expected {what} (a whole number), found {_shown(token)}", token.span)
        if len(token.text) > 9:
            raise LimitExceeded(int(token.text[:18]), 10**9, what)
        return int(token.text)

    # ------------------------------------------------------------------ expansions
    def expansions(self) -> Node:
        """Everything to the end of the statement. Brackets are kept on a list, so that nesting needs no recursion."""
        open_: list[_Open] = [_Open("", self.s.token.span, start=self.s.token.start)]
        while True:
            token = self.s.token
            frame = open_[-1]
            kind = token.kind
            if kind == "|":
                self.s.next()
                self.end_branch(frame, token)
                frame.start = self.s.token.start
            elif kind == "&":
                self.s.next()
                self.newlines()
                self.end_parts(frame, token)
                frame.start = self.s.token.start
            elif kind in ("(", "["):
                self.s.next()
                self.push(open_, _Open(kind, token.span))
            elif kind in (")", "]", "}", ","):
                if len(open_) == 1:
                    if kind == "}" and self.nested:
                        return self.end_frame(frame, token)
                    raise self.s.error(f"this {kind} has no opening bracket", token.span)
                self.close(open_, token)
            elif kind == "newline" and len(open_) > 1:
                self.s.next()
            elif kind == "newline":
                if self.s.after_newlines() not in "|&":
                    return self.end_frame(frame, token)
                self.newlines()
            elif kind == "end":
                if len(open_) > 1:
                    raise self.s.error(f"this {frame.kind} is not closed", frame.span)
                return self.end_frame(frame, token)
            elif kind == "->":
                self.alias(frame)
            elif kind == "~":
                self.s.next()
                frame.negations.append(token.span)
            else:
                self.atom(open_, token)

    def push(self, open_: list[_Open], frame: _Open) -> None:
        if len(open_) > self.limits.depth:
            raise LimitExceeded(len(open_), self.limits.depth, "depth of brackets in a grammar")
        frame.start = self.s.token.start
        open_.append(frame)

    def close(self, open_: list[_Open], token: Token) -> None:
        frame = open_[-1]
        wanted = {"(": ")", "[": "]", "{": "}"}[frame.kind]
        if token.kind == "," and frame.kind == "{":
            self.s.next()
            frame.arguments.append(self.end_frame(frame, token))
            frame.start = self.s.token.start
            return
        if token.kind != wanted:
            raise self.s.error(f"expected {wanted} to close the {frame.kind}, found {token.kind}", token.span)
        self.s.next()
        open_.pop()
        body = self.end_frame(frame, token)
        span = (frame.span[0], token.end)
        if frame.kind == "[":
            body = Repeat(body, 0, 1, span)
        elif frame.kind == "{":
            assert frame.head is not None
            body = Name(frame.head.text, (*frame.arguments, body), span)
        self.add(open_[-1], body)

    def end_parts(self, frame: _Open, token: Token) -> None:
        if frame.negations:
            raise self.s.error("nothing follows this ~", frame.negations[-1])
        parts = frame.parts
        end = parts[-1].span[1] if parts else frame.start
        frame.conjuncts.append(parts[0] if len(parts) == 1 else Sequence(tuple(parts), (frame.start, end)))
        frame.parts = []

    def end_branch(self, frame: _Open, token: Token) -> None:
        self.end_parts(frame, token)
        c = frame.conjuncts
        frame.branches.append(c[0] if len(c) == 1 else Both(tuple(c), (c[0].span[0], c[-1].span[1])))
        frame.conjuncts = []

    def end_frame(self, frame: _Open, token: Token) -> Node:
        self.end_branch(frame, token)
        b = frame.branches
        frame.branches = []
        return b[0] if len(b) == 1 else Choice(tuple(b), (b[0].span[0], b[-1].span[1]))

    def alias(self, frame: _Open) -> None:
        """``-> name`` shapes trees only; it ends its branch."""
        arrow = self.s.next()
        token = self.s.token
        name = self.name()
        if is_terminal(name):
            raise self.s.error("an alias is written in lower case", token.span)
        if self.s.token.kind not in ("|", "newline", ")", "]", "end", "}"):
            raise self.s.error("an alias ends its alternative; | or a new line follows", (arrow.start, token.end))

    def atom(self, open_: list[_Open], token: Token) -> None:
        kind = token.kind
        self.s.next()
        if kind == "name":
            self.checked(token)
            if self.s.token.kind == "{" and not self.bounds_follow():
                brace = self.s.next()
                self.push(open_, _Open("{", (token.start, brace.end), head=token))
                return
            self.add(open_[-1], Name(token.text, None, token.span))
        elif kind == "string":
            self.add(open_[-1], self.range(token) if self.s.token.kind == ".." else self.string(token))
        elif kind == "regexp":
            self.add(open_[-1], self.regexp(token))
        elif kind == "special":
            self.add(open_[-1], Special(token.text[1:-1], token.span))
        elif kind == "reference":
            self.add(open_[-1], Reference(token.text[1:], token.span))
        elif kind == "directive" and token.text in _EMBEDDINGS:
            self.add(open_[-1], self.embedded(token))
        elif kind in _QUANTIFIERS:
            raise self.s.error(f"misplaced {kind}: it follows what it repeats, once", token.span)
        elif kind == ":":
            raise self.s.error("unexpected colon; a definition begins on a line of its own", token.span)
        else:
            raise self.s.error(f"unexpected {_shown(token)}", token.span)

    def add(self, frame: _Open, node: Node) -> None:
        """A finished atom: ``~`` before it binds first, then the quantifier after it."""
        for span in reversed(frame.negations):
            node = Not(node, (span[0], node.span[1]))
        frame.negations = []
        token = self.s.token
        if token.kind in _QUANTIFIERS:
            self.s.next()
            least, most = _QUANTIFIERS[token.kind]
            node = Repeat(node, least, most, (node.span[0], token.end))
        elif token.kind == "~" and self.number_follows():
            self.s.next()
            node = self.tilde(node)
        elif token.kind == "{" and self.bounds_follow():
            self.s.next()
            node = self.braces(node)
        frame.parts.append(node)

    # ------------------------------------------------------------------ repetition
    def number_follows(self) -> bool:
        return _NUMBER_AHEAD.match(self.s.text, self.s.token.end) is not None

    def bounds_follow(self) -> bool:
        return _BOUNDS_AHEAD.match(self.s.text, self.s.token.end) is not None

    def tilde(self, node: Node) -> Node:
        start = self.s.token.start
        least = most = self.integer("a number of repetitions")
        if self.s.token.kind == "..":
            self.s.next()
            end = self.s.token.end
            most = self.integer("a number of repetitions")
        else:
            end = self.s.at
        return self.repeat(node, least, most, (start, end))

    def braces(self, node: Node) -> Node:
        start = self.s.token.start
        least = self.integer("a number of repetitions") if self.s.token.kind == "number" else 0
        most: int | None = least
        if self.s.token.kind == ",":
            self.s.next()
            most = self.integer("a number of repetitions") if self.s.token.kind == "number" else None
        end = self.expect("}", "after the bounds").end
        return self.repeat(node, least, most, (start, end))

    def repeat(self, node: Node, least: int, most: int | None, span: Span) -> Node:
        if least < 0 or (most is not None and most < least):
            raise self.s.error("the bounds of this repetition are out of order", span)
        return Repeat(node, least, most, (node.span[0], span[1]))

    # ------------------------------------------------------------------ atoms
    def string(self, token: Token) -> Literal:
        ignore_case = token.text.endswith("i")
        raw = token.text[1 : -2 if ignore_case else -1]
        return Literal(string_text(raw, self.s, token.start + 1), ignore_case, token.span)

    def regexp(self, token: Token) -> Regexp:
        end = token.text.rindex("/")
        pattern, flags = token.text[1:end], token.text[end + 1 :]
        if "\n" in pattern and "x" not in flags:
            raise self.s.error("a regex over several lines needs the flag x; is a / missing?", token.span)
        if "l" in flags:
            raise self.s.unsupported("the locale flag of a regex is not supported", token.span)
        return Regexp(pattern, flags, token.span)

    def range(self, low: Token) -> CharRange:
        self.s.next()
        high = self.s.next()
        if high.kind != "string":
            raise self.s.error(f"expected a string after .., found {_shown(high)}", high.span)
        ends = [self.string(low), self.string(high)]
        for end in ends:
            if len(end.text) != 1 or end.ignore_case:
                raise self.s.error("the ends of a range are single characters without flags", end.span)
        if ends[0].text > ends[1].text:
            raise self.s.error("the ends of this range are out of order", (low.start, high.end))
        return CharRange(ends[0].text, ends[1].text, (low.start, high.end))

    def embedded(self, token: Token) -> Node:
        if token.text != "%lark":
            return self.json_text(token)
        if self.nested == NESTED:
            raise LimitExceeded(self.nested + 1, NESTED, "depth of grammars within a grammar")
        self.expect("{", "after %lark")
        self.nested += 1
        document = self.document(closing="}")
        self.nested -= 1
        end = self.s.next().end
        return Nested(document, (token.start, end))

    def json_text(self, token: Token) -> Embedded:
        """The JSON object after `token`, found by its brackets; it is read by whoever uses it."""
        if self.s.token.kind != "{":
            raise self.s.error(f"expected {{ after {token.text}, found {_shown(self.s.token)}", self.s.token.span)
        start = self.s.token.start
        depth = 0
        for found in _JSON_BRACKETS.finditer(self.s.text, start):
            c = found.group()
            depth += (c in "{[") - (c in "}]")
            if depth == 0:
                self.s.jump(found.end())
                return Embedded(token.text[1:], self.s.text[start : found.end()], (start, found.end()))
        raise self.s.error(f"this {{ of {token.text} is not closed", (start, start + 1))


_NUMBER_AHEAD = re.compile(r"[ \t]*[+-]?[0-9]")
_BOUNDS_AHEAD = re.compile(r"[ \t]*(?:[0-9]+[ \t]*(?:,[ \t]*[0-9]*[ \t]*)?|,[ \t]*[0-9]+[ \t]*)\}")
_JSON_BRACKETS = re.compile(r'"(?:\\.|[^"\\])*"|[{}\[\]]', re.DOTALL)


def _shown(token: Token) -> str:
    if token.kind == "end":
        return "the end of the text"
    return "the end of the line" if token.kind == "newline" else repr(token.text[:40])
