"""Back-references to groups that match few texts.

A back-reference makes a pattern irregular, unless its group can match finitely many texts: then the pattern is the union of
its copies with each of these texts in the place of the group and of the references to it. That covers quotes
(``(["']).*?\\1``), brackets with a bounded number of marks (``r(#{0,8})".*?"\\1``) and delimiters out of a list
(``<<(EOF|END)\\n...``). The copies differ after the group alone, so that what stands before it is shared.

Terminals of context-free grammars may repeat a text of more than these: `captures` leaves such a group in the tree.

A group and its references must stand in one sequence (the references anywhere inside later parts of it), where the group
takes part whenever they do; everything else is refused by name: what a group matched last inside a repetition, in a branch
that was not taken, or inside a lookahead. Both dialects agree on what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from grammars.errors import LimitExceeded, UnsupportedFeature
from grammars.regex import charset
from grammars.regex.sequence import sequence
from grammars.regex.syntax import (
    Behind,
    Boundary,
    Chars,
    Concat,
    End,
    Group,
    Lookahead,
    Node,
    Reference,
    Repeat,
    Start,
    Union,
)

TEXTS = 256  # that a group with references may match
DEPTH = 20  # such groups after one another, each of which matches several texts

_MANY = f"a back-reference to a group that may match more than {TEXTS} texts"

Word = tuple[int, ...]
"""A text as code points."""


def expand_references(node: Node, source: str, nodes: int, captures: bool = False) -> Node:
    """The same language without groups and references. O(copies), at most `nodes` nodes.

    captures: a group that matches many texts stays, as a part of a sequence outside of repetitions, with the references to it,
    which are later parts of that sequence; one group on any way through the pattern.

    Raises UnsupportedFeature for groups that match more than `TEXTS` texts and for references outside the sequence of
    their group, LimitExceeded beyond `nodes`.
    """
    return _Expansion(node, source, nodes, captures).resolve(node, {})


class _Expansion:
    def __init__(self, node: Node, source: str, nodes: int, captures: bool) -> None:
        self.source, self.limit, self.made, self.captures = source, nodes, 0, captures
        self.kept: set[int] = set()  # groups that stay in the tree
        self.referenced = {n.number for n in _below(node) if isinstance(n, Reference)}

    def unsupported(self, what: str, node: Group | Reference) -> UnsupportedFeature:
        return UnsupportedFeature(what, source=self.source, span=node.span)

    def resolve(self, node: Node, texts: Mapping[int, Word]) -> Node:
        """`node` with the groups in `texts` known. Recursive in groups within groups, which the parser bounds."""
        self.made += 1
        if self.made > self.limit:
            raise LimitExceeded(self.made, self.limit, "nodes of a regex, written once for each text of its groups")
        if isinstance(node, Reference):
            if node.number not in texts:
                message = "a back-reference is supported in the sequence in which its group stands, after it, only"
                if node.number in self.kept:
                    message = (
                        f"{_MANY} is supported in the sequence of the group itself, not in a repetition or alternative"
                    )
                raise self.unsupported(message, node)
            return _text(texts[node.number], node)
        if isinstance(node, Group):
            return self.resolve(node.body, texts)
        if isinstance(node, Concat):
            return self.sequence(list(self.flat(node)), texts)
        if isinstance(node, Union):
            return Union(tuple(self.resolve(b, texts) for b in node.branches))
        if isinstance(node, Repeat | Lookahead):
            body = self.resolve(node.body, texts)
            kept = next((n for n in _below(body) if isinstance(n, Group)), None)
            if kept is not None:
                raise self.unsupported(f"{_MANY} is supported outside of repetitions and lookaheads only", kept)
            return replace(node, body=body)
        return node

    def flat(self, node: Concat) -> Iterator[Node]:
        """The parts of a sequence, those of sequences in it and of groups without references among them."""
        for part in node.parts:
            inner = part.body if isinstance(part, Group) and part.number not in self.referenced else part
            if isinstance(inner, Concat):
                yield from self.flat(inner)
            else:
                yield inner

    def sequence(self, parts: list[Node], texts: Mapping[int, Word], depth: int = 0, kept: int = 0) -> Node:
        done: list[Node] = []
        for i, part in enumerate(parts):
            if not isinstance(part, Group) or part.number not in self.referenced:
                own = isinstance(part, Reference) and part.number == kept
                done.append(part if own else self.resolve(part, texts))
                continue
            body = self.resolve(part.body, texts)
            if self.captures and not kept and not _asserts(body) and _words(body) is None:
                done.append(replace(part, body=body))
                self.kept.add(kept := part.number)
                continue
            words = self.words(part, body)
            if len(words) == 1:
                done += _characters(words[0])
                texts = {**texts, part.number: words[0]}
                continue
            if depth == DEPTH:  # 2 ** DEPTH copies at least
                raise LimitExceeded(depth + 1, DEPTH, "groups with back-references in a row")
            rest = [self.sequence(parts[i + 1 :], {**texts, part.number: w}, depth + 1, kept) for w in words]
            copies = (sequence((*_characters(w), r)) for w, r in zip(words, rest, strict=True))
            return sequence((*done, Union(tuple(copies))))
        return sequence(done)

    def words(self, group: Group, body: Node) -> list[Word]:
        found = _words(body)
        if found is None:
            advice = "a terminal may hold one such group" if self.captures else "make it a terminal of a Lark grammar"
            message = (
                f"{_MANY}, or that holds an assertion, is not supported here, because no regular language says it; list the "
                f"texts, or bound what the group matches; {advice}"
            )
            raise self.unsupported(message, group)
        return found


def _words(node: Node) -> list[Word] | None:
    """All texts of a node, or None if they are too many or there is an assertion in it."""
    if isinstance(node, Chars):
        points = [p for lo, hi in node.ranges for p in range(lo, min(hi, lo + TEXTS) + 1) if not 0xD800 <= p <= 0xDFFF]
        return [(p,) for p in points] if len(points) <= TEXTS else None
    if isinstance(node, Union):
        return _either(_words(b) for b in node.branches)
    if isinstance(node, Concat):
        return _product(_words(p) for p in node.parts)
    if isinstance(node, Repeat) and node.most is not None and node.most <= TEXTS:
        body = _words(node.body)
        return _either(_product([body] * n) for n in range(node.least, node.most + 1))
    return None


def _either(ways: Iterable[list[Word] | None]) -> list[Word] | None:
    found: dict[Word, None] = {}
    for words in ways:
        found.update(dict.fromkeys(words or ()))
        if words is None or len(found) > TEXTS:
            return None
    return list(found)


def _product(factors: Iterable[list[Word] | None]) -> list[Word] | None:
    found: list[Word] = [()]
    for words in factors:
        if words is None:
            return None
        found = list(dict.fromkeys(a + b for a in found for b in words))
        if len(found) > TEXTS:
            return None
    return found


def _characters(word: Word) -> Iterator[Node]:
    return (Chars(((p, p),)) for p in word)


def _text(word: Word, reference: Reference) -> Node:
    """What a reference matches: the text, or (`ignore_case`) the texts that differ from it in case alone."""
    if not reference.ignore_case:
        return Concat(tuple(_characters(word)))
    return Concat(tuple(Chars(charset.ignore_case(((p, p),), reference.ascii)) for p in word))


def _asserts(node: Node) -> bool:
    return any(isinstance(n, Start | End | Boundary | Behind | Lookahead) for n in _below(node))


def _below(node: Node) -> Iterator[Node]:
    stack = [node]
    while stack:
        n = stack.pop()
        yield n
        if isinstance(n, Concat):
            stack.extend(n.parts)
        elif isinstance(n, Union):
            stack.extend(n.branches)
        elif isinstance(n, Repeat | Lookahead | Group):
            stack.append(n.body)
