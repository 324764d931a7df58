"""Diagnoses of texts: places against slow ones, names against what the grammar says, messages that can be read."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from oracles import BYTES

import constrain
from constrain import cli
from grammars.errors import caret_excerpt
from grammars.limits import Limits
from grammars.tokens.diagnosis import classes, json_path

ROOT = Path(__file__).resolve().parents[2]
SPECIAL = constrain.Vocabulary.single_bytes(["<think>", "[300]"])


def automaton(grammar):
    return constrain.compile(grammar, constrain.Vocabulary.single_bytes(grammar.specials))


SCHEMA = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}, "required": ["a"]}
LAYOUT = """
start: line+
line: NAME "=" value _NEWLINE | "if" NAME ":" _NEWLINE _INDENT line+ _DEDENT
value: NAME | "(" value ")"
NAME: /[a-hj-zé][a-zé]*/
%layout _NEWLINE _INDENT _DEDENT ("(") (")") [/\\n/]
_NEWLINE: /(\\n[ ]*)+/
%ignore " "
"""
GRAMMARS = {
    "lark": constrain.lark('start: word ("," word)* "."\nword: A | "é" word\nA: /[a-c]+/\n%ignore " "'),
    "gbnf": constrain.gbnf('root ::= "[" (item ("," item)*)? "]"\nitem ::= [0-9]+ | "é" | root'),
    "schema": constrain.json_schema(SCHEMA),
    "regex": constrain.regex("a+(é|\u4e2d)?b{2,3}"),
    "choice": constrain.choice(["ab", "abé", b"\xff\n\xe4"]),
    "layout": constrain.lark(LAYOUT),
    "embedded": constrain.lark('start: "a" %json {"type": "array"} <think>? "c"'),
}
PIECES = {
    "lark": "abc, .éx\n", "gbnf": "[]12,é\u4e2d", "schema": '{}[]:,"a12 \n\u4e2d', "regex": "ab\u4e2déc", "choice": "abé\n\xff",
    "layout": "aé=()\n :if", "embedded": "a[]1,c \n",
}  # fmt: skip


@pytest.mark.parametrize("name", GRAMMARS)
def test_places_are_those_of_a_slow_reader(name):
    a, rng = automaton(GRAMMARS[name]), random.Random(name)
    seen = set()
    for _ in range(400):
        text = a.matcher().completion()[: rng.randrange(6)] if rng.random() < 0.5 else b""
        text += "".join(rng.choice(PIECES[name]) for _ in range(rng.randrange(6))).encode()
        found = a.diagnose(text)
        seen.add(found.verdict)
        viable = max(n for n in range(len(text) + 1) if n == 0 or a.viable(text[:n]) == n)
        assert found.accepted == a.accepts(text)
        if found.accepted or viable == len(text):
            assert found.verdict == ("accepted" if found.accepted else "incomplete")
            assert found.byte == len(text)
        else:
            starts = [i for i in range(viable + 1) if text[i] & 0xC0 != 0x80]
            assert found.byte == starts[-1]
            assert found.found == text[found.byte :].decode(errors="replace")[0]
        before = text[: found.byte].decode(errors="surrogateescape")
        assert found.character == len(before)
        assert (found.line, found.column) == (before.count("\n") + 1, len(before) - before.rfind("\n"))
        if not found.accepted:
            follow = {b for b in range(256) if a.viable(text[: found.byte] + bytes([b])) == found.byte + 1}
            assert set(found.expected) == follow
            assert found.completion is not None
            if name != "embedded":  # its completions may need a special token
                assert a.accepts(text[: found.byte] + found.completion)
            assert set(found.excerpt.splitlines()[1].strip()) == {"^"}
            assert str(found)
        json.dumps(found.as_dict())
    assert seen >= {"refused", "incomplete"}


def test_names_of_terminals_and_rules():
    a = automaton(constrain.lark('start: item ("," item)* END\nitem: NAME "=" (NUMBER | list)\nlist: "[" item* "]"\n'
                                 'NAME: /[a-z]+/\nNUMBER: /[0-9]+/\nEND: "."\n%ignore " "'))  # fmt: skip
    found = a.diagnose("ab = ;")
    assert (found.verdict, found.found, found.column) == ("refused", ";", 6)
    assert found.terminals == ("NUMBER", '"["')
    assert found.rules == ("item",)
    assert not found.reading
    found = a.diagnose("ab = 12;")
    assert found.reading == ("NUMBER",)
    assert set(found.terminals) == {'","', "END"}
    assert {"item", "start"} >= set(found.rules) > set()
    assert a.diagnose("").terminals == ("NAME",)
    assert a.diagnose("").verdict == "incomplete"
    assert "more of NUMBER" in str(found)
    said = str(a.matcher().explain())
    assert "expected NAME" in said
    assert "#" not in said
    m = a.matcher()
    for b in b"ab = [":
        assert m.advance(b)
    e = m.explain(b"ab = [")
    assert e.terminals == ("NAME", '"]"')
    assert "list" in e.rules


def test_names_agree_with_bytes():
    """Every expected byte begins or continues a named terminal, and every named one is begun by some expected byte."""
    patterns = {"A": "a+b", "B": "ab*", "C": "c", '"d"': "d", "E": "[^a-d]+"}
    text = 'start: (A | B C | "d" start)+ E?\nA: /a+b/\nB: /ab*/\nC: "c"\nE: /[^a-d]+/'
    a = automaton(constrain.lark(text))
    firsts = {
        n: {b for b in range(256) if automaton(constrain.regex(p)).viable(bytes([b]))} for n, p in patterns.items()
    }
    rng = random.Random(1)
    for _ in range(200):
        found = a.diagnose("".join(rng.choice("abcdx") for _ in range(rng.randrange(8))))
        if found.accepted:
            continue
        assert all(set(found.expected) & firsts[n] for n in found.terminals)
        if not found.reading:
            assert set(found.expected) <= set().union(*(firsts[n] for n in found.terminals))


def test_the_grammars_of_the_library_say_where():
    python = automaton(constrain.lark(library="python_3_13"))
    found = python.diagnose("def f(x):\n    return (x +\n    )\n")
    assert (found.line, found.column, found.found) == (3, 5, ")")
    assert "NAME" in found.terminals
    found = python.diagnose("x = 'abc")
    assert (found.verdict, found.reading) == ("incomplete", ("STRING",))
    assert python.accepts("x = 'abc" + found.completion.decode())
    assert python.diagnose("if x:\n    y\n  z\n").line == 3
    sql = automaton(constrain.lark(library="sqlite"))
    found = sql.diagnose("SELECT a\nFROM t WHERE ORDER")
    assert found.verdict == "incomplete"
    assert sql.diagnose("SELECT a\nFROM t WHERE )").found == ")"
    assert sql.diagnose("SELECT a\nFROM t WHERE )").rules == ("where",)


def test_special_tokens_and_documents_are_named():
    a = automaton(GRAMMARS["embedded"])
    assert a.diagnose("a[1 2]").reading == ("%json",)
    assert set(a.diagnose("a[1]x").terminals) == {"<think>", '"c"'}
    by_id = constrain.lark('start: "a" <[300]>')
    assert automaton(by_id).diagnose("ab").terminals == ("[300]",)
    assert automaton(by_id).diagnose("a").expected == b""


def test_paths_of_json():
    a = automaton(GRAMMARS["schema"])
    assert a.diagnose('{"a": [1, "x"]}').path == "#/a/1"
    assert a.diagnose('{"b/~": {"c": nil').path == "#/b~1~0/c"
    assert json_path(b'{"a": [1], "b": {"c": 1}, "d') == "#"
    assert json_path(b'{"\\u0061\\n": [[], {}, [0, ') == "#/a\n/2/1"
    assert json_path(b'[{"x": "}],:", "y": "') == "#/0/y"
    assert json_path(b'}]"\\ud800": ') == "#"
    assert automaton(GRAMMARS["regex"]).diagnose("x").path is None


def test_places_of_texts_that_are_odd():
    a = automaton(constrain.regex("[^x]*"))
    long = "\u4e2d" * 3000 + "x" + "é" * 3000
    found = a.diagnose(long)
    assert (found.character, found.column, found.byte) == (3000, 3001, 9000)
    line, caret = found.excerpt.split("\n")
    assert len(line) < 120
    assert "\u4e2dx" in line
    shown = line.index("x")
    width = sum(2 if c == "\u4e2d" else 1 for c in line[:shown])
    assert caret.index("^") == width
    found = automaton(constrain.regex("a")).diagnose("\ud800")
    assert (found.verdict, found.byte) == ("refused", 0)
    found = a.diagnose(b"ab\xff\xfe")
    assert (found.byte, found.found) == (2, "\ufffd")
    found = a.diagnose("a\u202e\x00\nb\x1b[31mx")
    assert found.excerpt.isascii() or "\u202e" not in found.excerpt
    assert "\x1b" not in str(found)
    assert "the end of the text" in str(automaton(constrain.regex("a")).diagnose("ab"))
    assert caret_excerpt("\u4e2d\u4e2d!", (2, 3)).endswith(" " * 4 + "^")
    with pytest.raises(constrain.GrammarError):
        a.diagnose(5)
    assert classes(b"ab\xc3") == "'a'-'b' a character beyond ASCII"
    assert classes(b"\x80\xff") == "0x80 0xff"


def test_a_completion_beyond_a_limit_leaves_the_place():
    a = constrain.compile(constrain.regex("a{5000}"), BYTES, Limits(mask_work=2_000))
    found = a.diagnose("aax")
    assert (found.verdict, found.column, found.expected, found.completion) == ("refused", 3, b"a", None)
    assert "go on" not in str(found)


def test_on_the_command_line(tmp_path, capsys):
    text = tmp_path / "t.py"
    text.write_text("def f(x):\n    return (x +\n    )\n")
    assert cli.main(["explain", "--library", "python_3_13", str(text)]) == 1
    said = capsys.readouterr().out
    assert "refused at line 3, column 5" in said
    assert said.splitlines()[2].index("^") == said.splitlines()[1].index(")")
    assert "in sum" in said
    assert cli.main(["explain", "--library", "python_3_13", "--json", str(text)]) == 1
    assert json.loads(capsys.readouterr().out)["line"] == 3
    text.write_text("x = (1,\n")
    assert cli.main(["explain", "--library", "python_3_13", str(text)]) == 1
    assert "ends too early" in capsys.readouterr().out
    lines = tmp_path / "l.lark"
    lines.write_text('start: ("a" "\\n")+ <think>?')
    text.write_text("a\na\n")  # the last line break belongs to the text
    assert cli.main(["explain", "--lark", str(lines), str(text)]) == 0
    lines.write_text('start: "a" "b"')
    text.write_text("a\n")  # and here it does not
    assert cli.main(["explain", "--lark", str(lines), str(text)]) == 1
    assert "line 1, column 2" in capsys.readouterr().out
    assert cli.main(["draw", "--regex", "a|b", "--automaton", "-o", str(tmp_path / "x.svg")]) == 0
    assert (tmp_path / "x.svg").read_text().startswith("<svg")
    assert cli.main(["draw", "--schema", str(ROOT / "docs" / "examples" / "person.json")]) == 2
    assert "JSON Schema" in capsys.readouterr().err
    done = subprocess.run(
        [sys.executable, "-m", "constrain", "draw", "--regex", "é", "--automaton"], capture_output=True, cwd=ROOT
    )
    assert "é" in done.stdout.decode()
