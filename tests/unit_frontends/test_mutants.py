"""Grammars with accidents: whatever becomes of a grammar text, it is read, or refused with an error of this project."""

from __future__ import annotations

import random
from importlib import resources

import pytest
from oracles import BYTES

import constrain

PIECES = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "|",
    "&",
    "~",
    "~2",
    "*",
    "+",
    "?",
    "->",
    "..",
    ":",
    "::=",
    "\n",
    "\\",
    '"',
    "/",
    "/i",
    "//",
    "#",
    "<a>",
    "<[1]>",
    "@x",
    "%",
    "%json {",
    "%lark {",
    "%ignore ",
    "%import ",
    "%layout ",
    "%extend ",
    "start",
    "A",
    "_",
    "{2,3}",
    "\\x4",
    "(?!",
    "(?<=",
    "\\b",
    "[lazy]",
    '[stop="a"]',
    ".5",
    "é",
    "\ud800",
    "\0",
    "0",
    "99999999999",
    " ",
]


def library() -> list[str]:
    files = [f for folder in ("grammars.lark", "grammars") for f in resources.files(folder).iterdir() if f.is_dir()]
    return [g.read_text() for f in files for g in f.iterdir() if g.name.endswith(".lark") and len(g.read_text()) < 6000]


def mutants(texts: list[str], n: int, seed: int):
    rng = random.Random(seed)
    for _ in range(n):
        text = rng.choice(texts)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(text) + 1)
            kind = rng.randrange(4)
            if kind == 0:
                text = text[:at] + rng.choice(PIECES) + text[at:]
            elif kind == 1:
                text = text[:at] + text[at + rng.randint(1, 5) :]
            elif kind == 2:
                other = rng.randrange(len(text) + 1)
                text = text[:at] + text[other : other + rng.randint(1, 30)] + text[at:]
            else:
                text = text[:at] + rng.choice(PIECES) + text[at + 1 :]
        yield text


@pytest.mark.parametrize("lexer", ["longest", "any"])
def test_mutants_of_lark_grammars(lexer):
    read = refused = 0
    for text in mutants(library(), 250, seed=len(lexer)):
        try:
            grammar = constrain.lark(text, lexer=lexer)
            read += 1
            constrain.compile(grammar, BYTES, constrain.Limits(compile_work=200_000, mask_work=200_000)).accepts("a")
        except constrain.ConstrainError:
            refused += 1
    assert read > 20
    assert refused > 50


def test_mutants_of_gbnf_grammars():
    base = [
        'root ::= "a" (b | [c-e]{2,3})* .\nb ::= "x"? root | <t> # comment\n',
        constrain.regex(r"(ab|[^c\n]{2,})+x?").to_gbnf(),
        constrain.lark('start: "(" start ")" | /[0-9]+/ "," "x"~2..7', lexer="any").to_gbnf(),
    ]
    read = refused = 0
    for text in mutants(base, 400, seed=1):
        try:
            grammar = constrain.gbnf(text)
            read += 1
            grammar.to_gbnf()
            constrain.compile(grammar, BYTES, constrain.Limits(compile_work=200_000, mask_work=200_000)).accepts("a")
        except constrain.ConstrainError:
            refused += 1
    assert read > 20
    assert refused > 50
