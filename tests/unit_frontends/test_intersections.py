"""Context-free grammars & regular ones: what composes, what is refused, and how large it grows. See `laws/test_cfg_gate.py`
for random ones."""

from __future__ import annotations

import itertools
import re

import pytest
from oracles import BYTES

import constrain

BALANCED = 'root ::= "(" root ")" root | ""'
CODE = """
start: statement+
statement: NAME "=" sum ";"
sum: sum "+" NAME | NAME
NAME: /[a-z]+/
%ignore / +/
%ignore comment
comment: "{" (TEXT | comment)* "}"
TEXT: /[^{}]+/
"""


def accepted(grammar: constrain.Grammar, texts: list[str]) -> list[str]:
    automaton = constrain.compile(grammar, BYTES)
    return [t for t in texts if automaton.accepts(t)]


def test_every_short_text_of_a_dyck_language():
    texts = ["".join(t) for n in range(11) for t in itertools.product("()", repeat=n)]
    balanced = [
        t
        for t in texts
        if t.count("(") == t.count(")") and all(t[:i].count("(") >= t[:i].count(")") for i in range(len(t)))
    ]
    even = constrain.regex("(..)*")
    cases = [
        (constrain.regex("[(]{3}.*"), lambda t: t.startswith("(((")),
        (constrain.regex("(?!.*[(]{3}).*"), lambda t: "(((" not in t),
        (constrain.choice(["(())", "()", ")(", "()()()()"]), lambda t: t in ("(())", "()", "()()()()")),
        (constrain.literal("(()())"), lambda t: t == "(()())"),
        (constrain.regex(".{0,6}") & even, lambda t: len(t) <= 6),
        (constrain.regex("(....)*"), lambda t: len(t) % 4 == 0),
    ]
    for regular, wanted in cases:
        for grammar in (constrain.gbnf(BALANCED) & regular, regular & constrain.gbnf(BALANCED)):
            assert accepted(grammar, texts) == [t for t in balanced if wanted(t)]
    twice = constrain.gbnf(BALANCED) & constrain.regex("[(]{2}.*") & constrain.regex(".*[)]{3}")
    assert accepted(twice, texts) == [t for t in balanced if t.startswith("((") and t.endswith(")))")]


@pytest.mark.parametrize("lexer", ["any", "longest"])
def test_a_language_with_nested_comments(lexer):
    grammar = constrain.lark(CODE, lexer=lexer)
    texts = [
        "a=b;",
        "a = b + c ; d=e;",
        "a={x{y}}b; {d=e;}",
        "a=b+b; {;{;};} c=d; ",
        "{+}ab=c;",
        "a=b",
        "a=b;;",
        "{a=b;",
    ]
    good = accepted(grammar, texts)
    assert good == texts[:5]
    for pattern, wanted in (
        ("(?s)[^+]*", lambda t: "+" not in t),
        ("(?s).*[+].*", lambda t: "+" in t),
        ("(?s)(([^;]*;){2})*[^;]*", lambda t: t.count(";") % 2 == 0),
        ("(?s).{0,10}", lambda t: len(t) <= 10),
    ):
        assert accepted(grammar & constrain.regex(pattern), texts) == [t for t in good if wanted(t)], pattern


def test_longest_matches_stay_what_they_are():
    """That the longer match leads nowhere does not make the shorter one a lexeme."""
    grammar = constrain.lark("start: A B? C\nA: /a|ab/\nB: /b/\nC: /c/")
    assert accepted(grammar, ["ac", "abc", "abbc"]) == ["ac", "abc", "abbc"]
    once = grammar & constrain.regex("a(?!b).*|abbc|ab")
    assert accepted(once, ["ac", "abc", "abbc", "ab"]) == ["ac", "abbc"]
    split = constrain.lark(
        "start: A+ C\nA: /x|xx+y/\nC: /yz/"
    )  # in xxyz the longest match is xxy, after which nothing fits
    assert accepted(split, ["xyz", "xxyz"]) == ["xyz"]
    assert accepted(split & constrain.regex("(?!xxy).*|xxyz"), ["xyz", "xxyz"]) == ["xyz"]


def test_what_has_no_bytes_and_what_looks_ahead():
    vocabulary = constrain.Vocabulary(
        [*(bytes([b]) for b in range(256)), None, None], [256], special_tokens={"<call>": 257}
    )
    grammar = constrain.gbnf('root ::= "a"+ <call> "b"+') & constrain.regex("aab+|a{3}b")
    matcher = constrain.compile(grammar, vocabulary).matcher()
    assert [matcher.advance(t) for t in (97, 257)] == [True, False]
    assert [matcher.advance(t) for t in (97, 257, 98, 98, 256)] == [True] * 5
    words = constrain.lark("start: (A | B)+\nA: /a(?!c)/\nB: /[bc]/") & constrain.regex("a?[bc]{2}")
    assert accepted(words, ["abc", "acb", "bc", "ab", "cc"]) == ["abc", "bc", "cc"]


def test_embedded_documents():
    grammar = constrain.lark('start: "x"* %json {"type": "integer"} "y"*', lexer="any")
    with pytest.raises(constrain.UnsupportedFeature, match="the embedded JSON document"):
        grammar & constrain.regex("x*[0-9]y*")
    found = grammar & constrain.regex("(xx)*[^x](?s:.)*")
    assert accepted(found, ["1", "xx1", "xxxx22y"]) == ["1", "xx1", "xxxx22y"]


def test_what_follows_an_intersection():
    grammar = constrain.gbnf(BALANCED) & constrain.regex(".{4}")
    either = grammar | constrain.literal("x")
    assert accepted(either + constrain.choice(["!", "?"]), ["(())!", "x?", "()!", "(())"]) == ["(())!", "x?"]
    inside = constrain.lark('start: @g "," @g', lexer="any", grammars={"g": grammar})
    assert accepted(inside, ["()(),(())", "(),(())"]) == ["()(),(())"]
    longest = constrain.lark(CODE) & constrain.regex("(?s).{4}")
    embedded = constrain.lark('start: "<" @g ">"', grammars={"g": longest})
    assert accepted(embedded, ["<a=b;>", "<a=bc;>", "<a=b;"]) == ["<a=b;>"]
    again = constrain.gbnf(grammar.to_gbnf())
    assert accepted(again, ["(())", "()()", "()", "((()))"]) == ["(())", "()()"]
    with pytest.raises(constrain.UnsupportedFeature, match="an intersection"):
        (constrain.gbnf('root ::= [a-z]+ | "(" root ")"') & constrain.regex(".*ab.*")).to_gbnf()


def test_all_texts_of_some_bytes():
    """Exact for any grammar: a vocabulary that spells no other bytes says the same."""
    python = constrain.lark(library="python_3_12") & constrain.regex(r"[^\t;]*")
    texts = ["if x:\n    y\n", "if x:\n\ty\n", "x = 'é'\n", "x; y\n", "x = '\\t'\n", "x ="]
    assert accepted(python, texts) == [texts[0], texts[2], texts[4]]
    schema = constrain.json_schema({"items": {"type": ["string", "integer"]}})
    texts = ['["a", 1]', '["é"]', '["\\u00e9"]', "[1,\n2]", "[null]"]
    assert accepted(schema & constrain.regex("[ -~]*"), texts) == [texts[0], texts[2]]
    assert accepted(constrain.regex(r"[^\n\r]*") & schema, texts) == texts[:3]
    both = schema & constrain.regex("[ -~]*") & constrain.regex('[^"]*')
    assert accepted(both, ["[1]", '["a"]', "[1,\n2]"]) == ["[1]"]
    assert constrain.compile(both, BYTES).report.options["without"].endswith("and what is not ASCII")
    diagnosis = constrain.compile(both, BYTES).diagnose('["a"]')
    assert (diagnosis.verdict, diagnosis.byte, b'"' in diagnosis.expected) == ("refused", 1, False)
    with pytest.raises(constrain.EmptyLanguage):
        constrain.compile(constrain.json_schema({"type": "string"}) & constrain.regex("[0-9]*"), BYTES)
    vocabulary = constrain.Vocabulary([b"a", b"a\t", b"\t", b"\n", b" ", b" a", None], [6])
    layout = constrain.lark('start: (A NL)+\nA: "a"\nNL: /(\\n[ ]*)+/\n%layout NL IN DE\n%ignore /[ \\t]/')
    matcher = constrain.compile(layout & constrain.regex(r"[^\t]*"), vocabulary).matcher()
    matcher.advance(0)
    assert matcher.mask().tolist() == [False, False, False, True, True, False, True]


def test_finitely_many_texts_are_asked_one_by_one():
    python = constrain.lark(library="python_3_12") & constrain.regex("x( =|=)? ?[1y]?\n")
    texts = [f"x{a}{b}{c}\n" for a in ("", " =", "=") for b in ("", " ") for c in ("", "1", "y")]
    assert accepted(python, texts) == [t for t in texts if re.fullmatch("x[1y]?\n|x ?= ?[1y]\n|x \n", t)]
    schema = constrain.json_schema({"type": "object", "required": ["a"]}) & constrain.choice(
        ["{}", '{"a": 1}', '{"a":']
    )
    assert accepted(schema, ["{}", '{"a": 1}', '{"a":', '{"a":1}']) == ['{"a": 1}']
    with pytest.raises(constrain.EmptyLanguage):
        constrain.compile(schema & constrain.literal("{}"), BYTES)


def test_what_is_refused():
    layout = constrain.lark('start: (A NL)+\nA: "a"\nNL: /\\n[ ]*/\n%layout NL IN DE')
    with pytest.raises(constrain.UnsupportedFeature, match="%layout"):
        layout & constrain.regex("a(\n|a)*")
    with pytest.raises(constrain.UnsupportedFeature, match="undecidable"):
        constrain.gbnf(BALANCED) & constrain.gbnf(BALANCED)
    with pytest.raises(constrain.UnsupportedFeature, match="schema"):
        constrain.json_schema({}) & constrain.gbnf(BALANCED)
    with pytest.raises(constrain.UnsupportedFeature, match="schema"):
        constrain.json_schema({}) & constrain.regex("(..)*")
    with pytest.raises(constrain.UnsupportedFeature, match="line feeds"):
        layout & constrain.regex("[ a]*")
    with pytest.raises(constrain.LimitExceeded, match="finite"):
        layout & constrain.regex("(?s).{0,9}")
    cut = constrain.json_schema({}) & constrain.regex("[ -~]*")
    for use in (lambda: cut | cut, lambda: cut + constrain.literal("x"), cut.to_gbnf, cut.to_svg,
                lambda: constrain.lark("start: @a", grammars={"a": cut}),
                lambda: constrain.json_schema({"format": "a"}, grammars={"a": cut})):  # fmt: skip
        with pytest.raises(constrain.UnsupportedFeature, match="cut down to some bytes"):
            use()
    with pytest.raises(constrain.EmptyLanguage):
        constrain.compile(constrain.gbnf(BALANCED) & constrain.regex("[(]+"), BYTES)
    with pytest.raises(constrain.EmptyLanguage):
        constrain.compile(constrain.lark(CODE) & constrain.regex("[a-z]+"), BYTES)
    with pytest.raises(constrain.LimitExceeded, match="symbols of its rules"):
        constrain.lark(library="json") & constrain.regex("(?s).{0,200}")
    with pytest.raises(constrain.LimitExceeded, match="states of the automaton"):
        constrain.gbnf(BALANCED) & constrain.regex("(.*a.{14})?")


def test_simple_cases_stay_small():
    grammar = constrain.lark(library="sqlite")
    rules = len(grammar.lowered.cfg.rules)
    begins = grammar & constrain.regex("(?s)SELECT.*")
    assert len(begins.lowered.cfg.rules) < 5 * rules
    assert len((grammar & constrain.regex("(?s).*")).lowered.cfg.rules) < 2 * rules
    some = ["SELECT 1", "select 1", "DELETE FROM t", "SELECT a FROM b LIMIT 5"]
    assert accepted(begins, some) == ["SELECT 1", "SELECT a FROM b LIMIT 5"]
