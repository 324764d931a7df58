"""Indentation against a recogniser that counts spaces line by line: every short text, every live prefix, every mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from oracles_cfg import Rules, from_lowered, texts

import constrain

LINES = constrain.Vocabulary(
    [*(c.encode() for c in "a:\n ("), b")", b"#", b":\n", b"\n ", b"\n\n", b"  ", b"a\n a", b"a)", None], [13]
)

BLOCKS = r"""
start: stmt*
stmt: "a" NL | "a" ":" NL IN stmt+ DE
NL: (/\n */)+
%layout NL IN DE
"""
BRACKETS = r"""
start: stmt+
stmt: value+ NL | ":" NL IN stmt+ DE
value: "a" | "(" value* ")"
NL: (/\n */)+
%ignore " "
%layout NL IN DE ("(") (")") [/\n/]
"""
COMMENTS = r"""
start: (NL | stmt)*
stmt: "a" (":" "a")* NL | "a" ":" block
block: NL IN stmt+ DE | "a" NL
NL: (/\n */ | /#[^\n]*/)+
%ignore / +/
%layout NL IN DE
"""
IGNORED = r"""
start: stmt+
stmt: "a" NL | "a" ":" NL IN stmt+ DE
NL: (/\n */)+
%ignore /#+/
%layout NL IN DE
"""
PATTERNS = {'"a"': "a", '":"': ":", '"("': r"\(", '")"': r"\)", '" "': " ", "/\\n/": "\n"}
GRAMMARS = {
    "blocks": (BLOCKS, {"NL": r"(\n *)+"}, "a:\n "),
    "brackets": (BRACKETS, {"NL": r"(\n *)+", "%ignore": " "}, "a:\n ("),
    "ignored": (IGNORED, {"NL": r"(\n *)+", "%ignore": "#+"}, "a:\n #"),
    "comments": (COMMENTS, {"NL": r"(\n *|#[^\n]*)+", "%ignore": " +"}, "a:\n #"),
}


def accepted_texts(rules: Rules | Cut, alphabet: str, length: int) -> tuple[set[str], set[str]]:
    """The texts of at most `length` characters that the rules accept, and their prefixes."""
    accepted = {t for t in texts(alphabet, length) if rules.accepts(t, longest=True)}
    return accepted, {t[:n] for t in accepted for n in range(len(t) + 1)}


@pytest.mark.parametrize("name", GRAMMARS)
def test_short_texts_live_prefixes_and_masks(name):
    text, patterns, alphabet = GRAMMARS[name]
    grammar = constrain.lark(text)
    rules = from_lowered(grammar, {**PATTERNS, **patterns})
    automaton = constrain.compile(grammar, LINES)
    length = 7 if len(alphabet) == 4 else 6
    accepted, live = accepted_texts(rules, alphabet, length)
    for t in texts(alphabet, length):
        assert automaton.accepts(t) == (t in accepted), t
        viable = automaton.viable(t) == len(t)
        assert viable or t not in live, t
        if viable and (len(t) < 4 or t not in live):
            judge(automaton, rules, t)
    assert len(accepted) > 30


@dataclass
class Cut:
    """The texts of `rules` without a character."""

    rules: Rules
    missing: str

    def accepts(self, text: str, longest: bool) -> bool:
        return self.missing not in text and self.rules.accepts(text, longest)


@pytest.mark.parametrize(
    ("name", "missing"), [("blocks", ":"), ("brackets", "("), ("ignored", "#"), ("comments", ":"), ("comments", "#")]
)
def test_intersections_with_all_texts_of_some_characters(name, missing):
    text, patterns, alphabet = GRAMMARS[name]
    grammar = constrain.lark(text)
    rules = Cut(from_lowered(grammar, {**PATTERNS, **patterns}), missing)
    automaton = constrain.compile(grammar & constrain.regex(f"[^{missing}]*"), LINES)
    accepted, live = accepted_texts(rules, alphabet, 5)
    for t in texts(alphabet, 5):
        assert automaton.accepts(t) == (t in accepted), t
        viable = automaton.viable(t) == len(t)
        assert viable or t not in live, t
        assert not viable or missing not in t, t
        if viable:
            judge(automaton, rules, t)
    assert len(accepted) > 5


def judge(automaton, rules, text: str) -> None:
    matcher, row = automaton.matcher(), LINES.new_rows()[0]
    for c in text:
        assert matcher.advance(LINES.tokens.index(c.encode()))
    whole = text + matcher.completion().decode()
    assert rules.accepts(whole, longest=True), (text, whole)
    matcher.fill_mask(row)
    got = set(np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist())
    tokens = [t.decode() for t in LINES.tokens if t is not None]
    want = {i for i, t in enumerate(tokens) if automaton.viable(text + t) == len(text + t)}
    assert got == want | ({13} if rules.accepts(text, longest=True) else set()), text


@pytest.mark.parametrize("name", GRAMMARS)
def test_longer_texts(name):
    """Pieces put together at random, so that deep blocks and brackets are met."""
    text, patterns, _ = GRAMMARS[name]
    grammar = constrain.lark(text)
    rules = from_lowered(grammar, {**PATTERNS, **patterns})
    automaton = constrain.compile(grammar, LINES)
    rng = np.random.default_rng(4)
    pieces = [
        "a\n",
        "a:\n",
        " ",
        "  ",
        "a",
        "\n",
        ":\n",
        "(",
        ")",
        "#x\n".replace("x", "a"),
        "a:\n a\n",
        "a:\n  a:\n   a\n",
    ]
    if name != "comments":
        pieces = [p for p in pieces if "#" not in p]
    if name != "brackets":
        pieces = [p for p in pieces if p not in "()"]
    verdicts = [0, 0]
    for _ in range(1500):
        t = "".join(rng.choice(pieces, size=rng.integers(2, 8)))
        want = rules.accepts(t, longest=True)
        assert automaton.accepts(t) == want, t
        verdicts[want] += 1
    assert min(verdicts) > 30
