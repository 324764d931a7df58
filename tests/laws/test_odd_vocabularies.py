"""Vocabularies that spell little: every allowed token can be followed to an accepted text by tokens, or compile refuses.

The cases come from the fuzz driver: bytes that occur inside tokens alone, parts of UTF-8 beside escapes that spell all of
it, no comma, no line feed. The tokens reach every state by breadth-first search, so the law is checked and not sampled.
"""

from __future__ import annotations

from collections import deque

import pytest

import constrain
from grammars.grammar import Grammar
from grammars.ir import Table

MOST_STATES = 300


def vocabulary(*tokens: bytes) -> constrain.Vocabulary:
    return constrain.Vocabulary([*tokens, None], [len(tokens)])


def single(text: str) -> tuple[bytes, ...]:
    return tuple(c.encode() for c in text)


CASES = [
    (constrain.regex(".*"), vocabulary(b"\xc3", b"\xc3\xa9", b"a"), 1),
    (constrain.regex("aé?b*"), vocabulary(b"\xa9", b"a", b"\xc3\xa9b", b"ab"), 1),
    (constrain.regex(".*[\x00-\x1f]"), vocabulary(b",", b",\n"), 1),
    (constrain.regex("(abc|ab|b|ca)+"), vocabulary(b"ab", b"c", b"abc", b"bab"), 1),
    (constrain.json_schema({"type": "array"}), vocabulary(*single("[]")), 1),
    (constrain.json_schema({"type": "array", "minItems": 1, "uniqueItems": True}), vocabulary(*single("[]1")), 1),
    (constrain.json_schema({"items": {"type": ["boolean", "null"]}, "uniqueItems": True}), vocabulary(*single("[],false")), 1),
    (constrain.json_schema({"required": ["a"], "type": "object"}), vocabulary(*single('{}":a1'), b'{"a'), 1),
    (constrain.json_schema({"type": "string"}), vocabulary(*single('"abé'), b"\xc3", b"\xa9"), 0),
    (constrain.json_schema({"maxItems": 2, "type": "array"}, whitespace="pretty"), vocabulary(*single("[],1 "), b"\n"), 0),
]  # fmt: skip


def test_pretty_documents_in_a_grammar_need_line_feeds_too():
    document = constrain.json_schema({"minProperties": 1, "type": "object"}, whitespace="pretty")
    grammar = constrain.lark('start: @d? "a"', grammars={"d": document})
    with pytest.raises(constrain.UnsupportedFeature, match="pretty"):
        constrain.compile(grammar, vocabulary(*single('a{}":,')))
    assert constrain.compile(grammar, vocabulary(*single('a{}":, \n\\n'))).accepts('{\n  "a": ""\n}a')


@pytest.mark.parametrize(("grammar", "vocab", "compiles"), CASES)
def test_every_reachable_state_can_be_finished_with_tokens(grammar, vocab, compiles):
    try:
        automaton = constrain.compile(grammar, vocab)
    except constrain.UnsupportedFeature:
        assert not compiles
        return
    after: dict[constrain.State, set[constrain.State]] = {automaton.start: set()}
    queue = deque([automaton.start])
    while queue and len(after) < MOST_STATES:
        state = queue.popleft()
        mask = automaton.matcher(state).mask()
        assert mask.any()
        for token in range(len(vocab)):
            follow = automaton.step(state, token)
            assert mask[token] == (follow is not None), (state, token)
            if follow is not None and token not in vocab.eos_token_ids:
                after[state].add(follow)
                if follow not in after:
                    after[follow] = set()
                    queue.append(follow)
    good = {s for s in after if automaton.accepting(s) or s in queue}
    while more := {s for s in after if s not in good and after[s] & good}:
        good |= more
    assert good == set(after)
    for state in list(after)[:50]:
        matcher = automaton.matcher(state)
        for token in vocab.encode(matcher.completion()):
            assert matcher.advance(token)
        assert matcher.accepting


@pytest.mark.parametrize(
    ("schema", "tokens"),
    [
        ({"type": "array", "minItems": 2}, single("[]1")),
        ({"type": "object", "required": ["a", "b"]}, single('{}":ab1')),
    ],
)
def test_two_members_need_a_comma(schema, tokens):
    with pytest.raises(constrain.EmptyLanguage):
        constrain.compile(constrain.json_schema(schema), vocabulary(*tokens))


def test_pretty_printing_needs_a_line_feed():
    with pytest.raises(constrain.UnsupportedFeature, match="pretty"):
        constrain.compile(constrain.json_schema({}, whitespace="pretty"), vocabulary(*single("[],1 ")))


def test_escapes_that_spell_everything_need_whole_characters():
    tokens = (*single('"0123456789abcdefu\\'), b"\xc3", b"\xa9")
    with pytest.raises(constrain.UnsupportedFeature, match="UTF-8"):
        constrain.compile(constrain.json_schema({"type": "string"}), vocabulary(*tokens))


@pytest.mark.parametrize("tokens", ["{},", '{},"', "{},:"])
def test_members_need_quotes_and_colons(tokens):
    with pytest.raises(constrain.EmptyLanguage):
        constrain.compile(constrain.json_schema({"minProperties": 3, "type": "object"}), vocabulary(*single(tokens)))


def test_equal_items_need_a_comma():
    with pytest.raises(constrain.EmptyLanguage):
        constrain.compile(
            constrain.json_schema({"type": "array", "not": {"uniqueItems": True}}), vocabulary(*single("[]1"))
        )


def test_what_ends_in_anything_is_completed():
    table = Table()
    anything = table.disjunction(table.text(), table.negation(table.text()))
    root = table.concat(table.char_class(((122, 2047),)), anything)
    automaton = constrain.compile(Grammar("regex", table, root, {}), vocabulary(b"\xa9", b"\xc3"))
    assert automaton.matcher().completion() == b"\xc3\xa9"
