"""GBNF in and out: against a recogniser that reads it character by character, and back through its own text."""

from __future__ import annotations

import random

import pytest
from oracles import BYTES
from oracles_cfg import Lexeme, Rules, texts

import constrain
from grammars.gbnf.parse import parse_gbnf
from grammars.gbnf.syntax import Chars, Choice, Repeat, Rule, Sequence, Text

JSON = r"""
# JSON as llama.cpp's users write it
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""


def by_characters(source: str) -> Rules:
    """The grammar read naively: one terminal for each character set, one nonterminal for each node."""
    g = parse_gbnf(source)
    terminals: list[Lexeme] = []
    rules = [(0, ((False, 1 + g.rules["root"]),))]

    def character(ranges) -> tuple[bool, int]:
        inside = "".join(c for c in "ab\n" if any(lo <= ord(c) <= hi for lo, hi in ranges))
        pattern = f"[{inside}]" if inside else "(?!)"
        if Lexeme(pattern) not in terminals:
            terminals.append(Lexeme(pattern))
        return True, terminals.index(Lexeme(pattern))

    for i, n in enumerate(g.nodes):
        me = 1 + i
        if isinstance(n, Text):
            rules.append((me, tuple(character(((ord(c), ord(c)),)) for c in n.text)))
        elif isinstance(n, Chars):
            rules.append((me, (character(n.ranges),)))
        elif isinstance(n, Rule):
            rules.append((me, ((False, 1 + g.rules[n.name]),)))
        elif isinstance(n, Sequence):
            rules.append((me, tuple((False, 1 + p) for p in n.parts)))
        elif isinstance(n, Choice):
            rules += [(me, ((False, 1 + b),)) for b in n.branches]
        else:
            assert isinstance(n, Repeat)
            most = n.least if n.most is None else n.most
            rules += [(me, ((False, 1 + n.body),) * k) for k in range(n.least, most + 1)]
            if n.most is None:
                rules.append((me, ((False, me), (False, 1 + n.body))))
    return Rules(terminals, rules)


def random_expression(rng: random.Random, depth: int) -> str:
    if depth == 0 or rng.random() < 0.2:
        return rng.choice(['"a"', '"b"', '"ab"', "[ab]", "[^a]", '""', "other", "root", "third"])
    kind = rng.randrange(5)
    if kind < 2:
        return f"{random_expression(rng, depth - 1)} {random_expression(rng, depth - 1)}"
    if kind == 2:
        return f"({random_expression(rng, depth - 1)} | {random_expression(rng, depth - 1)})"
    inner = random_expression(rng, depth - 1)
    return f"({inner}){rng.choice(['*', '+', '?', '{2}', '{1,3}', '{2,}', '{0,1}'])}"


def accepting(grammar, samples):
    try:
        automaton = constrain.compile(grammar, BYTES)
    except constrain.EmptyLanguage:
        return set()
    return {t for t in samples if automaton.accepts(t)}


def test_random_grammars_agree_with_reading_by_characters():
    rng = random.Random(5)
    short = list(texts("ab", 4))
    nonempty = written = 0
    for _ in range(150):
        ends = rng.choices(['"a"', '"b"'], k=2)
        rules = [
            f"{name} ::= {random_expression(rng, 3)} | {end}" for name, end in zip(("root", "other"), ends, strict=True)
        ]
        source = "\n".join([*rules, 'third ::= "a" | "b" third | other'])
        oracle = by_characters(source)
        grammar = constrain.gbnf(source)
        wanted = {t for t in short if oracle.accepts(t, longest=False)}
        assert accepting(grammar, short) == wanted, source
        nonempty += bool(wanted)
        try:
            again = grammar.to_gbnf()
        except constrain.UnsupportedFeature as e:
            assert "left recursion" in str(e)  # noqa: PT017
            continue
        written += 1
        assert accepting(constrain.gbnf(again), short) == wanted, (source, again)
    assert nonempty > 100
    assert written > 40


def test_json_as_users_write_it():
    automaton = constrain.compile(constrain.gbnf(JSON), BYTES)
    for text in ('{"a":1}', '{ "a": [true,null,{"b":"\\u00e9é"}] }', "{}", '{"a":-12.5e+3}'):
        assert automaton.accepts(text), text
    for text in ("[]", '{"a"\t:1}', '{"a":01}', "{", '{"a":"\x01"}', '{"\\x":1}'):
        assert not automaton.accepts(text), text


def test_what_is_regular_becomes_terminals():
    cfg = constrain.gbnf(JSON).lowered.cfg
    assert len(cfg.terminals) <= 12
    one = constrain.gbnf('root ::= a{3} b\na ::= "x" [0-9]+ | c?\nc ::= "y" "z"\nb ::= "!"').lowered.cfg
    assert len(one.terminals) == 1


@pytest.mark.parametrize(
    ("source", "accepted", "refused"),
    [
        (r'root ::= "\x41\u00e9\U0001F600\t\\\""', ['Aé\U0001f600\t\\"'], ["A"]),
        (r"root ::= [\]\[\-^a]+", ["]-[^a"], ["b"]),
        (r"root ::= [a-]+", ["a-a"], ["b"]),
        ("root ::= .", ["\n", "é", "\U0001f600"], ["", "ab"]),
        ('root ::= "ab"{2}', ["abab"], ["abb", "ab"]),
        ('root ::= "a"{2}*', ["", "aa", "aaaa"], ["a", "aaa"]),
        ('root ::= |\n "a"', ["", "a"], ["b"]),
        ('root ::= (\n "a" # comment\n "b"\n)', ["ab"], ["a"]),
        ('root ::= root "a" | "b"', ["b", "baa"], ["a"]),
        ('x-Y_1 ::= "a"\r\nroot ::= x-Y_1 x-Y_1\r\n\r\n', ["aa"], ["a"]),
    ],
)
def test_constructs(source, accepted, refused):
    automaton = constrain.compile(constrain.gbnf(source), BYTES)
    assert all(automaton.accepts(t) for t in accepted)
    assert not any(automaton.accepts(t) for t in refused)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('root ::= "a', "not closed"), ("root ::= [a", "not closed"), ("root ::= []", "at least one"),
        ("root ::= (", "not closed"),
        ("root ::= )", "no opening"), ("root ::= *", "nothing to repeat"), ('root ::= "a"{2,1}', "out of order"),
        ('root ::= "a"{x}', "bounds"), (r'root ::= "\q"', "unknown escape"), (r'root ::= "\x4"', "hexadecimal"),
        ("root ::= rot", "did you mean root"), ('a ::= "x"', "root"), ('root ::= "a"\nroot ::= "b"', "twice"),
        ("root = 1", "expected ::="), ('root ::= "a" ; "b"', "ends with its line"), ("root ::= [z-a]", "out of order"),
        ("root ::= !<x>", "exclusion"), (r'root ::= "\ud800"', "UTF-8"), ("::= 1", "name of a rule"),
    ],
)  # fmt: skip
def test_errors_point_into_the_text(source, message):
    with pytest.raises(constrain.GrammarError, match=message) as e:
        constrain.gbnf(source)
    if e.value.span is not None:
        assert "^" in str(e.value)


@pytest.mark.parametrize(
    "source",
    [
        "root ::= " + "(" * 100_000, "root ::= " + "(" * 1500 + '"a"' + ")" * 1500, 'root ::= ("a" root){0,1000000}',
        'root ::= "a"{999999999999}', "".join(f"r{i} ::= r{i + 1} r{i + 1}\n" for i in range(100)) + 'r100 ::= "a"\nroot ::= r0',
        "".join(f'r{i} ::= "a" r{i + 1}?\n' for i in range(20_000)) + 'r20000 ::= "a"\nroot ::= r0',
    ],
)  # fmt: skip
def test_hostile_grammars_end_in_a_result_or_a_clear_error(source):
    try:
        automaton = constrain.compile(constrain.gbnf(source), BYTES)
        assert isinstance(automaton.accepts("aaaa"), bool)
    except constrain.ConstrainError:
        return


def test_tokens_by_name_and_id():
    v = constrain.Vocabulary([b"a", None, None], [2], special_tokens={"<t>": 1})
    for source in ("root ::= <t> [a]*", "root ::= <[1]> [a]*"):
        matcher = constrain.compile(constrain.gbnf(source), v).matcher()
        assert matcher.mask().tolist() == [False, True, False]
        assert matcher.advance(1)
        assert matcher.mask().tolist() == [True, False, True]
        assert source.split()[2] in constrain.gbnf(source).to_gbnf()


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        (lambda: constrain.json_schema({}), "JSON"), (lambda: constrain.lark('start: "a"'), "longest"),
        (lambda: constrain.regex("(?!a).*"), "complement|intersection"),
        (lambda: constrain.lark("start: A\nA: /a(?!b)/", lexer="any"), "follow"),
        (lambda: constrain.lark('start: a "x" |\na: start "y"', lexer="any"), "left recursion"),
    ],
)  # fmt: skip
def test_what_gbnf_cannot_say_is_refused_by_name(grammar, message):
    with pytest.raises(constrain.UnsupportedFeature, match=message):
        grammar().to_gbnf()


def test_other_grammars_as_gbnf():
    lark = constrain.lark(
        'start: pair ("," pair)~1..3\npair: NAME "=" /[0-9]{1,2}/\nNAME: "k" | "kk"\n%ignore " "', lexer="any"
    )
    again = constrain.compile(constrain.gbnf(lark.to_gbnf()), BYTES)
    assert again.accepts(" k = 12,kk=3 ")
    assert not again.accepts("k=1")
    regex = constrain.regex(r'[^"\n]{2,}(x|yy)?|é\^')
    assert constrain.compile(constrain.gbnf(regex.to_gbnf()), BYTES).accepts("é^")
