"""Automata that write white space in different ways share an engine, and a grammar may hold documents of several such ways:
no mask may depend on which others there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import constrain
from constrain import Vocabulary

WORDS = [
    b"1 ", b"1, ", b", ", b",  ", b" ]", b'"]', b'", "', b'": ', b'":', b",\n", b"]\n", b"[1, 2]", b'", ', b" ,", b"1 ,",
    b"true, ", b"e, ", b"e ,", b"}, {", b'}, "', b",\n ", b",\n  ", b"],\n  ", b";[", b"];", b"] ;", b"\n]",
]  # fmt: skip
TOKENS = [bytes([b]) for b in range(256)] + WORDS
SPACINGS = ["compact", "bounded", "pretty", "free", 0, 1, 2, 3]
ANY_ARRAY = {"type": "array", "items": {"type": ["integer", "string", "array", "object"]}}


def vocabulary() -> Vocabulary:
    return Vocabulary([*TOKENS, None], [len(TOKENS)])


def matchers(automata, text: bytes):
    """A matcher of each automaton behind `text`, or None where one of them refuses it."""
    made = [a.matcher() for a in automata]
    return made if all(m.advance(b) for m in made for b in text) else None


@pytest.mark.parametrize("schema", [{"type": "array", "items": {"type": "integer"}}, ANY_ARRAY, {}], ids=str)
def test_masks_of_automata_that_share_an_engine(schema):
    shared, visited = vocabulary(), 0
    for spacing in (*SPACINGS, *reversed(SPACINGS)):
        grammar = constrain.json_schema(schema, whitespace=spacing)
        both = [constrain.compile(grammar, shared), constrain.compile(grammar, vocabulary())]
        for text in (b"[1", b'["a', b"[tru", b'{"a":1', b"[[1", b'[{"a":[1', b'{"a":"b', b'{"a', b"", b"[", b"1"):
            found = matchers(both, text)
            if found:
                assert (found[0].mask() == found[1].mask()).all(), (spacing, text)
                visited += 1
    assert visited > 2 * len(SPACINGS)


@pytest.mark.parametrize("lexer", ["any", "longest"])
def test_masks_of_a_grammar_with_documents_of_two_ways(lexer):
    shared = vocabulary()
    for first, second in itertools.permutations(("compact", "pretty", "free", 1), 2):
        parts = {
            "a": constrain.json_schema(ANY_ARRAY, whitespace=first),
            "b": constrain.json_schema(ANY_ARRAY, whitespace=second),
        }
        grammar = constrain.lark('start: @a | ";" @b | ";" @a ";" @b', grammars=parts, lexer=lexer)
        automaton = constrain.compile(grammar, shared)
        for text in (b"[1", b";[1", b";[1];[1", b";[[1", b';["a', b';[{"a":"b', b"[[],1", b"[\n 1"):
            found = matchers([automaton], text)
            if found:
                stepped = np.array([automaton.allows(found[0].state, t) for t in range(len(TOKENS) + 1)])
                assert (found[0].mask() == stepped).all(), (first, second, text)
