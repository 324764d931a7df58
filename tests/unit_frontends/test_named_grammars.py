"""Grammars as formats: what is enforced, what is refused, what reports say, real languages inside tool calls, generation."""

from __future__ import annotations

import ast
import json
import random
import sqlite3

import numpy as np
import pytest

import constrain

BYTES = constrain.Vocabulary([*(bytes([b]) for b in range(256)), None], [256])
SUM = constrain.lark('start: NUMBER ("+" NUMBER)*\nNUMBER: /[0-9]+/\n%ignore " "')
CALL = {
    "type": "object",
    "properties": {"name": {"const": "run"}, "query": {"type": "string", "format": "sql"}},
    "required": ["name", "query"],
    "additionalProperties": False,
}


def string_of(grammar, **keywords) -> constrain.Grammar:
    return constrain.json_schema({"type": "string", "format": "g", **keywords}, grammars={"g": grammar})


# ---------------------------------------------------------------------- what a format may name
@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        (SUM, ["1", "1 + 22", " 3+4 "], ["", "+", "1+", "a"]),
        (constrain.lark("start: A B\nA: /a+/\nB: /[ab]/", lexer="any"), ["aa", "aab"], ["a", "ba"]),
        (constrain.gbnf('root ::= "(" root ")" | "é"'), ["é", "((é))"], ["", "(é", "e"]),
        (constrain.regex("a{2,3}\n?"), ["aa", "aaa\n"], ["a", "aa\n\n"]),
        (constrain.choice(['"', "\\", "\U0001f600"]), ['"', "\\", "\U0001f600"], ["", "\\\\", "a"]),
        (constrain.regex("a*") | constrain.gbnf('root ::= "b" root "b" | "c"'), ["", "aa", "bcb"], ["bc", "ac"]),
        (constrain.json_schema({"type": "integer"}), ["1", "-20"], ["1.5", '"1"', "", "[1]"]),
    ],
    ids=["longest", "any", "gbnf", "regex", "choice", "composed", "schema"],
)
def test_any_grammar_may_be_a_format(grammar, good, bad):
    automaton = constrain.compile(string_of(grammar), BYTES)
    for text in good:
        escaped = '"' + "".join(f"\\u{ord(c):04x}" for c in text if ord(c) < 0x10000) + '"'
        for written in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
            assert automaton.accepts(written), written
        assert len(text.encode("utf-16")) != 2 + 2 * len(text) or automaton.accepts(escaped), text
    for text in bad:
        assert not automaton.accepts(json.dumps(text)), text
    assert json.loads(automaton.matcher().completion()) is not None


def test_what_is_refused_by_name():
    special = constrain.lark('start: "a" <think>')
    many = [
        ({"date": SUM}, "standard"),
        ({"g": special}, "special tokens (<think>)"),
        ({"g": "start: A"}, "must be a Grammar"),
        ({1: SUM}, "named by strings"),
        ([SUM], "must be a mapping"),
        ({"h": SUM}, "has the format 'h'"),
        ({"g": SUM, "h": SUM}, "the formats there are 'g'"),
    ]
    for grammars, message in many:
        with pytest.raises(constrain.GrammarError, match=message.replace("(", r"\(").replace(")", r"\)")):
            constrain.json_schema({"type": "string", "format": "g"}, grammars=grammars)
    with pytest.raises(constrain.UnsupportedFeature, match="whole characters"):
        constrain.compile(string_of(constrain.literal(b"\xc3") + constrain.gbnf('root ::= "a" root | "b"')), BYTES)
    schema = {"type": "object", "properties": {"a": {"type": "string", "format": "g"}}, "required": ["a"]}
    with pytest.raises(constrain.UnsupportedFeature, match="the format 'g' is not supported"):
        constrain.json_schema({**schema, "additionalProperties": False}, grammars={"g": SUM}, subset="openai")


def test_a_grammar_means_its_format_whatever_else_formats_are():
    for formats in ("assert", "annotate"):
        grammar = constrain.json_schema({"format": "g"}, grammars={"g": SUM}, formats=formats)
        automaton = constrain.compile(grammar, BYTES)
        assert automaton.accepts('"1+1"')
        assert not automaton.accepts('"x"')
        assert automaton.accepts("[]")
        (row,) = automaton.report.rows
        assert (row.path, row.keyword, row.status) == ("#", "format", "enforced")
        assert "lark" in row.note
        assert automaton.report.options["grammars"] == ("g",)
        json.dumps(automaton.report.as_dict())


def test_an_empty_grammar_names_the_place():
    nothing = constrain.lark('start: "a" start')
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string", "format": "g"}}}
    automaton = constrain.compile(constrain.json_schema(schema, grammars={"g": nothing}), BYTES)
    assert automaton.accepts('{"a": ""}')
    assert not automaton.accepts('{"b": "a"}')
    with pytest.raises(constrain.EmptyLanguage) as e:
        constrain.compile(constrain.json_schema({**schema, "required": ["b"]}, grammars={"g": nothing}), BYTES)
    assert e.value.path == "#/properties/b"
    longer = {"type": "string", "format": "g", "maxLength": 1}
    both = constrain.lark('start: "a" "b" start | "ab"')
    with pytest.raises(constrain.EmptyLanguage):
        constrain.compile(constrain.json_schema(longer, grammars={"g": both}), BYTES)


# ---------------------------------------------------------------------- the matcher inside
def test_everything_of_a_matcher_works_inside():
    grammar = constrain.lark('start: "SELECT" NAME ("," NAME)* "FROM" NAME\nNAME: /[a-z]+/\n%ignore /[ \\n]+/')
    schema = {"type": "object", "properties": {"q": {"type": "string", "format": "g"}}, "required": ["q"]}
    automaton = constrain.compile(constrain.json_schema(schema, grammars={"g": grammar}, whitespace="compact"), BYTES)
    matcher = automaton.matcher()
    for b in b'{"q":"':
        assert matcher.advance(b)
    assert set(matcher.explain(b'{"q":"').expected) == set(b" \\S")
    assert matcher.explain(b'{"q":"').place == "at #/q"
    for b in b"SE":
        assert matcher.advance(b)
    assert matcher.forced_bytes() == b""  # an escape would do as well
    assert matcher.completion() == b'LECTaFROMa"}'
    assert matcher.distance() == len(matcher.completion())
    fork, state, before = matcher.fork(), matcher.state, matcher.mask()
    for b in b"LECT a\\n,b":
        assert matcher.advance(b)
    assert fork.state == state
    assert not fork.advance(ord("x"))
    assert matcher.state != state
    matcher.rollback(len(b"LECT a\\n,b"))
    assert matcher.state == state
    assert (matcher.mask() == before).all()
    row = BYTES.new_rows()[0]
    assert matcher.fill_mask(row, 0, 12)
    assert not matcher.fill_mask(row, 0, 11)
    assert matcher.validate(list(b'LECT a FROM t"}')) == 15
    assert matcher.validate(list(b'LECT FROM"}')) < 11
    for b in matcher.completion():
        assert matcher.advance(b)
    assert matcher.accepting


def test_limits_are_met_by_name_and_change_nothing():
    limits = constrain.Limits(mask_work=300)
    automaton = constrain.compile(string_of(constrain.lark(library="sqlite")), BYTES, limits)
    matcher = automaton.matcher()
    assert matcher.advance(ord('"'))
    state = matcher.state
    with pytest.raises(constrain.LimitExceeded):
        matcher.mask()
    assert matcher.state == state
    with pytest.raises(constrain.LimitExceeded):
        constrain.compile(
            string_of(constrain.lark(library="c")),
            constrain.Vocabulary(BYTES.tokens, [256]),
            constrain.Limits(compile_work=1_000),
        )


def test_a_vocabulary_without_hexadecimal_escapes():
    """What the decoded text cannot hold the grammar cannot ask for: here a line feed only by its own escape, é not at all."""
    some = constrain.Vocabulary([*(bytes([b]) for b in b'"\\ab[],'), b"n", None], [8])
    good = constrain.compile(string_of(constrain.gbnf('root ::= "a" root | "\\n" | "é" root')), some)
    assert good.accepts(b'"a\\n"')
    assert not good.accepts('"é\\n"')
    assert good.matcher().completion() == b'"\\n"'
    with pytest.raises(constrain.EmptyLanguage):
        constrain.compile(string_of(constrain.gbnf('root ::= "a" root | "é"')), some)


# ---------------------------------------------------------------------- a greatest length
PAIRS = constrain.Vocabulary(
    [*(bytes([b]) for b in b'()a"\\nu'), *(f"{d:x}".encode() for d in range(16) if d != 10), b"A", b"B", b"C", b"D", b"E", b"F",
     b"((((((((", b"((((", b"aaaaaaaaaaaa", b"))))", b')"', b'))))"', b"\\n\\n\\n\\n", b"(\\", b'a))))))))"', None],
    [37],
)  # fmt: skip


def test_masks_near_a_greatest_length():
    """Where there is room for all completions a mask is the grammar's own; near the end tokens are judged one by one."""
    assert PAIRS.tokens[37] is None
    assert len(PAIRS) == 38
    text = 'start: "(" start ")" | WORD | "\\n" start\nWORD: /a+|é/'
    for most in (48, 49, 53, 60, 75):
        grammar = constrain.lark(text, lexer="any")
        automaton = constrain.compile(string_of(grammar, maxLength=most), PAIRS)
        rng = random.Random(most)
        for _ in range(30):
            prefix = "".join(rng.choice(["(", "((((", "\\n"]) for _ in range(rng.randint(0, 30)))
            if rng.random() < 0.5:
                prefix += "a" * rng.randint(1, 60)
            decoded = prefix.replace("\\n", "\n")
            lives = len(decoded) + decoded.count("(") + (not decoded.endswith("a")) <= most
            assert (automaton.viable(f'"{prefix}') == len(prefix) + 1) == lives, (most, prefix)
            if not lives:
                continue
            matcher = automaton.matcher()
            for b in f'"{prefix}'.encode():
                assert matcher.advance(PAIRS.tokens.index(bytes([b])))
            want = {
                i
                for i, t in enumerate(PAIRS.tokens)
                if t and automaton.viable(f'"{prefix}'.encode() + t) == len(prefix) + 1 + len(t)
            }
            assert set(np.flatnonzero(matcher.mask()).tolist()) == want, (most, prefix)
            assert len(json.loads(f'"{prefix}'.encode() + matcher.completion())) <= most


# ---------------------------------------------------------------------- real languages
SQL = [
    "SELECT name, COUNT(*) AS n FROM users JOIN orders ON users.id = orders.user_id\n\tWHERE city = 'Zürich' GROUP BY name;",
    "INSERT INTO t (a, b) VALUES (1, 'it''s \"quoted\"'), (2.5, NULL)",
    "WITH q AS (SELECT 1 AS a) SELECT * FROM q WHERE a BETWEEN 1 AND 2 -- \\ and / and \U0001f600",
    "UPDATE t SET a = a + 1 WHERE b IN (SELECT c FROM d)",
]
PYTHON = [
    'def f(x):\n    """Says "hi"."""\n    return [y for y in range(x) if y % 2]\n\nclass A:\n\tpass\n',
    "for i, c in enumerate('\\n\"'):\n    if i:\n        print(f'{c!r}', i)\n    else: continue",
    "x = {'a': 1, **y}\nwhile True:\n  (1,\n2)\n  break\n",
]
BROKEN = ["SELECT FROM", "SELECT a FROM b WHERE", "INSERT t", "SELECT 'a"]


def call(query: str, ascii_only: bool) -> str:
    return json.dumps({"name": "run", "query": query}, ensure_ascii=ascii_only)


@pytest.mark.parametrize("ascii_only", [True, False])
def test_sql_and_python_in_tool_calls(ascii_only):
    sql = constrain.compile(constrain.json_schema(CALL, grammars={"sql": constrain.lark(library="sqlite")}), BYTES)
    for text in SQL:
        assert sql.accepts(call(text, ascii_only)), text
        assert "no such table" in complaint(text.replace("FROM q", "FROM t"))  # it parses
    for text in BROKEN:
        assert not sql.accepts(call(text, ascii_only)), text
    python = constrain.compile(
        constrain.json_schema(CALL, grammars={"sql": constrain.lark(library="python_3_12")}), BYTES
    )
    for text in PYTHON:
        ast.parse(text)
        assert python.accepts(call(text, ascii_only)), text
        assert not python.accepts(call(text + "\n  )", ascii_only)), text


def test_masks_of_sql_in_a_tool_call_against_single_bytes():
    """Every token of the embedded vocabulary at places of real calls: allowed iff its bytes may follow."""
    from constrain import models

    vocabulary = constrain.Vocabulary.from_tokenizer(models.load("default")[1])
    automaton = constrain.compile(
        constrain.json_schema(CALL, grammars={"sql": constrain.lark(library="sqlite")}), vocabulary
    )
    text = call(SQL[0], False).encode()
    matcher, row, at = automaton.matcher(), vocabulary.new_rows()[0], 0
    for n, token in enumerate(vocabulary.encode(text)):
        if n % 7 == 3:
            matcher.fill_mask(row)
            got = set(np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist())
            want = {i for i in range(len(vocabulary)) if matcher.allows(i)}
            assert got == want, (text[:at], got ^ want)
        assert matcher.advance(token)
        at += len(vocabulary.tokens[token])
    assert matcher.accepting


def test_a_grammar_in_a_schema_in_a_grammar():
    sql = constrain.json_schema(CALL, grammars={"sql": SUM}, whitespace="compact")
    grammar = constrain.lark('start: "<call>" @args "</call>"', grammars={"args": sql})
    automaton = constrain.compile(grammar, BYTES)
    for query, good in (("1 + 2", True), ("1 +", False)):
        text = json.dumps({"name": "run", "query": query}, separators=(",", ":"))
        assert automaton.accepts(f"<call>{text}</call>") == good
    assert automaton.accepts(automaton.matcher().completion())
    outer = constrain.json_schema({"type": "string", "format": "call"}, grammars={"call": grammar})
    nested = constrain.compile(outer, BYTES)
    assert nested.accepts(json.dumps(f"<call>{text}</call>".replace("1 +", "1")))


def test_options_of_schemas_embedded_in_a_grammar_are_kept():
    plain = constrain.json_schema({"type": "number"}, numbers="plain")
    automaton = constrain.compile(constrain.lark("start: @n", grammars={"n": plain}), BYTES)
    assert automaton.accepts("100")
    assert not automaton.accepts("1e2")
    mixed = constrain.lark('start: @n | "x" @m', grammars={"n": plain, "m": constrain.json_schema({"type": "number"})})
    with pytest.raises(constrain.UnsupportedFeature, match="different options"):
        constrain.compile(mixed, BYTES)


def test_generation_gives_an_object_whose_string_parses():
    query = {"type": "string", "format": "sql", "minLength": 8, "maxLength": 80}
    schema = {**CALL, "properties": {**CALL["properties"], "query": query}}
    sql = constrain.lark(library="sqlite")
    grammar = constrain.json_schema(schema, grammars={"sql": sql}, whitespace="compact", order="schema")
    for seed in range(3):
        found = constrain.generate("default", "List the users. SQL: ", grammar, max_tokens=60, seed=seed)
        text = found.parsed["query"]
        assert 8 <= len(text) <= 80
        assert not any(w in complaint(text) for w in ("syntax", "incomplete", "token")), text


def complaint(sql: str) -> str:
    """What SQLite says about a statement; "" if it runs."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(sql)
    except sqlite3.Error as e:
        return str(e)
    finally:
        connection.close()
    return ""
