"""Pictures of grammars: valid XML in which everything is named, and automata that read what their grammars do."""

from __future__ import annotations

import itertools
import random
import re
import sys
import xml.etree.ElementTree as ET

import pytest
from oracles import BYTES

import constrain
from grammars.drawing.automata import Automaton, expression_automaton, regular_automaton
from grammars.drawing.draw import grammar_diagrams
from grammars.drawing.lark_tracks import lark_diagrams
from grammars.drawing.layered import Extent, place
from grammars.drawing.railroad import railroad_page
from grammars.drawing.text import bytes_text, class_text, columns, visible
from grammars.drawing.tracks import Box, Either, Loop, Series
from grammars.lark.load import library_text
from grammars.limits import DEFAULT_LIMITS, Limits
from grammars.regex import charset

LIBRARY = [
    "arithmetic", "c", "csv", "dates", "identifiers", "javascript", "json", "jsonl", "postgres", "python_3_11",
    "python_3_12", "python_3_13", "python_core", "python_regex", "san", "smiles", "sql", "sqlite",
]  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"


def read(svg: str) -> tuple[list[str], set[str], set[str]]:
    """Texts, targets of links and anchors of a document, which must be well-formed."""
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    texts = [e.text or "" for e in root.iter(f"{SVG}text")] + [e.text or "" for e in root.iter(f"{SVG}title")]
    links = {e.get("{http://www.w3.org/1999/xlink}href", "") for e in root.iter(f"{SVG}a")}
    return texts, links, {f"#{e.get('id')}" for e in root.iter() if e.get("id")}


EVERYTHING = r"""
start: "SELECT"i column ("," column)* [where] ";"? %lark { start: inner+
inner: "in" } @other
column.3: NAME | "*" -> all | call{NAME, ","} | ("a"|"b")~2..5 | "" | x{2,}
where: "WHERE" <think> %json {"type": "object"} | %regex {"substring_words": "one two"}
call{x, sep}: x "(" x (sep x)* ")"
x: DIGIT "]]>" & "<&'>"
NAME: /[a-z_]\w*/ & ~"if" | "0".."9" DIGIT
TEXT[suffix="</t>"]: /.*/
NUMBER.2: /[0-9]+/
%import common.DIGIT
%import common.WS -> SPACE
%ignore SPACE
%declare _LATER
"""


def test_everything_a_lark_grammar_says_is_in_its_diagrams():
    pytest.importorskip("railroad")
    texts, links, anchors = read(railroad_page(lark_diagrams({"": EVERYTHING}, DEFAULT_LIMITS), "t", 1000))
    shown = " ".join(texts)
    for name in "start column where call{x, sep} x NAME TEXT NUMBER DIGIT WS SPACE inner _LATER %ignore".split():
        assert name in shown
    for written in (
        '"SELECT"i', '","', "in", "@other", 'call{NAME, ","}', "2 to 5 times", "2 times or more", "<think>", "%json {",
        "%regex {", '"]]>" & "<&\'>"', '/[a-z_]\\w*/ & ~"if"', '"0".."9"', 'suffix="</t>"', "priority 3", "priority 2",
        "of common.lark", "declared: it has no text of its own", "may stand between any two terminals",
    ):  # fmt: skip
        assert written in shown, written
    assert links <= anchors
    assert len(links) >= 8


@pytest.mark.parametrize("name", LIBRARY)
def test_every_library_grammar_draws(name):
    pytest.importorskip("railroad")
    text = library_text(name)
    diagrams = lark_diagrams({"": text}, DEFAULT_LIMITS)
    texts, links, anchors = read(railroad_page(diagrams, name, 50_000))
    assert links <= anchors
    shown = set(texts)
    for line in re.findall(r"^[?!]*(\w[\w-]*)(?:\.\d+|\{[^}]*\}|\[[^\]]*\])*:", text, re.MULTILINE):
        assert any(t == line or t.startswith(line + "{") for t in shown), line
    for d in diagrams:  # the network has at least the start and an end, and every edge reads a box of the rule
        if not d.terminal:
            assert expression_automaton(d.track, 200).accepting


@pytest.mark.parametrize("kind", ["railroad", "automaton"])
def test_grammars_of_all_kinds_draw(kind):
    pytest.importorskip("railroad")
    regex = constrain.regex("a|b+(c|d){2,3}")
    gbnf = constrain.gbnf('root ::= "x" (item | [^a-z\\n] | .)* <[7]>\nitem ::= "<\\"" item? | "é"{2}')
    for g in (regex, constrain.choice(["a<b", "a&b"]), constrain.literal("]]>"), gbnf, regex | gbnf, regex & regex):
        read(g.to_svg(kind))
    shown = " ".join(read(gbnf.to_svg(kind))[0])
    for text in ("root", "item", "[^\\na-z]", "<[7]>", '"<\\""', '"é"'):
        assert text in shown
    with pytest.raises(constrain.UnsupportedFeature, match="constrain check"):
        constrain.json_schema({"type": "object"}).to_svg(kind)


def test_one_rule_or_terminal_by_its_name():
    pytest.importorskip("railroad")
    g = constrain.lark('start: A word{A}\nword{x}: x x\nA: /[a-c]+/ "d"')
    assert "start" not in " ".join(read(g.to_svg(name="word"))[0])
    assert "[a-c]" in read(g.to_svg("automaton", "A"))[0]
    with pytest.raises(constrain.GrammarError, match="did you mean start"):
        g.to_svg(name="strat")
    for kind, name, limit in (("tree", None, None), ("automaton", None, 0), ("automaton", None, True)):
        with pytest.raises(constrain.GrammarError):
            g.to_svg(kind, name, limit)


def test_without_the_package_the_automaton_still_draws(monkeypatch):
    monkeypatch.setitem(sys.modules, "railroad", None)
    with pytest.raises(constrain.ConstrainError, match=r"constrain\[draw\]"):
        constrain.regex("a").to_svg()
    read(constrain.regex("a").to_svg("automaton"))


# ---------------------------------------------------------------------- hostile texts
HOSTILE = "<script>&amp;'\"]]>\x00\x1b[31m\u202e\u2066\u200b\ufeff\ufffe\u0301\U000e0001\n\t\\"


def test_hostile_texts_are_shown_and_harmless():
    pytest.importorskip("railroad")
    shown = visible(HOSTILE)
    assert shown.isprintable()
    assert "\u202e" not in shown
    for track in (Box(HOSTILE, "terminal"), Box(HOSTILE * 50, "rule")):
        for svg in (
            railroad_page([d := grammar_diagrams(constrain.literal(HOSTILE))[0]], HOSTILE, 9),
            constrain.literal(HOSTILE).to_svg("automaton"),
        ):
            root = ET.fromstring(svg)
            assert not [e for e in root.iter() if e.tag.endswith("script")]
        assert d.track
        a = expression_automaton(track, 5)
        assert a.accepts([track])
    assert columns("ab\u4e2d") == 4
    surrogate = constrain.gbnf('root ::= "\\U0001F600" [\\u202E\\u0000-\\u0003]').to_svg()
    assert "\\u202e" in surrogate
    assert "\u202e" not in surrogate


def test_deep_nesting_is_drawn_in_parts():
    pytest.importorskip("railroad")
    n, m, limits = 10_000, 3_000, Limits(depth=30_000)
    lark = constrain.lark("start: " + "(" * n + '"a"' + ' "b")?' * n, limits=limits)
    gbnf = constrain.gbnf("root ::= " + "(" * m + '"a" root?' + ' "b")*' * m, limits=limits)
    for g, name, count in ((lark, "start", n), (gbnf, "root", m)):
        texts, links, anchors = read(g.to_svg())
        assert f"{name}, part 2" in texts
        assert links <= anchors
        assert texts.count('"b"') == count
        with pytest.raises(constrain.LimitExceeded):
            g.to_svg("automaton", limit=5)


def test_limits_count_boxes_and_states():
    pytest.importorskip("railroad")
    with pytest.raises(constrain.LimitExceeded, match="boxes"):
        constrain.regex("abc|def").to_svg(limit=2)
    with pytest.raises(constrain.LimitExceeded, match="states"):
        constrain.regex("(a|b)*a(a|b){12}").to_svg("automaton")
    with pytest.raises(constrain.LimitExceeded, match="boxes"):  # one node of the table, used twice at every level
        constrain.regex("(" * 30 + "ab" + "){2}" * 30 + "|" + "(?:" * 30 + "a" + "){2,3}" * 30).to_svg(limit=10)
    for text in ("start: x~999999999\nx: A\nA: /a/", "start: (((((A~9)~9)~9)~9)~9)~9\nA: /a/"):
        g = lark_diagrams({"": text}, DEFAULT_LIMITS)
        with pytest.raises(constrain.LimitExceeded):
            expression_automaton(g[0].track, 200)


# ---------------------------------------------------------------------- languages
PATTERNS = [
    "a*b", "(a|b)*abb", "a{2,4}b?", "[^ab]c|b", "(ab|a)(c|bc)", "", "é+|\u4e2d[a-\u00ff]", "a(?!b).", "\\w", "(?=a).*b",
    "[\U0001f600-\U0001f64f]a*", ".", "a(b(c)?)?", "(?i:k)",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_automaton_of_a_regex_reads_its_language(pattern):
    g = constrain.regex(pattern)
    a, found = constrain.compile(g, BYTES), regular_automaton(g, 300)
    assert found.unit == "characters"
    letters = ["a", "b", "c", "k", "K", "\u212a", "é", "\u4e2d", "\U0001f600", "\n"]
    words = ["".join(w) for n in range(4) for w in itertools.product(letters, repeat=n)]
    assert [w for w in words if a.accepts(w)] == [w for w in words if found.accepts(w.encode())]
    rng = random.Random(pattern)
    for _ in range(300):
        word = bytes(rng.choice(b"abc\xc3\xa9\xe4\xb8\xad\xff") for _ in range(rng.randrange(6)))
        assert a.accepts(word) == found.accepts(word)
    for row in found.automaton.moves:  # deterministic: ranges of a state do not meet
        ends = sorted(row)
        assert all(x[1] < y[0] for x, y in itertools.pairwise(ends))


def test_the_automaton_of_bytes_that_are_no_text():
    g = constrain.choice([b"\xff\x00", b"\xc3a", b"ab", "é".encode()])
    found, a = regular_automaton(g, 50), constrain.compile(g, BYTES)
    assert found.unit == "bytes"
    for word in itertools.product(b"\xff\x00\xc3a\xa9b", repeat=2):
        assert found.accepts(bytes(word)) == a.accepts(bytes(word))
    assert "\\xff" in " ".join(read(g.to_svg("automaton"))[0])
    assert not regular_automaton(constrain.regex("a") & constrain.regex("b"), 5).automaton.accepting


def random_track(rng: random.Random, depth: int):
    if depth == 0 or rng.random() < 0.25:
        return rng.choice([Box(c, "terminal") for c in "abc"] + [Series(())])
    below = [random_track(rng, depth - 1) for _ in range(rng.randrange(1, 4))]
    kind = rng.randrange(3)
    if kind == 0:
        return Series(tuple(below))
    if kind == 1:
        return Either(tuple(below))
    return Loop(below[0], *rng.choice([(0, 1), (0, None), (1, None), (2, 3), (2, None), (0, 0), (1, 1), (0, 2)]))


def pattern_of(track) -> str:
    if isinstance(track, Box):
        return track.text
    if isinstance(track, Series):
        return "".join(f"(?:{pattern_of(p)})" for p in track.parts)
    if isinstance(track, Either):
        return "|".join(f"(?:{pattern_of(p)})" for p in track.branches)
    return f"(?:{pattern_of(track.body)}){{{track.least},{'' if track.most is None else track.most}}}"


def test_the_automaton_of_an_expression_reads_its_language_and_is_minimal():
    rng = random.Random(5)
    words = ["".join(w) for n in range(6) for w in itertools.product("abc", repeat=n)]
    for _ in range(150):
        track = random_track(rng, 3)
        a, pattern = expression_automaton(track, 400), pattern_of(track)
        boxes = {w: [Box(c, "terminal") for c in w] for w in words}
        assert [w for w in words if re.fullmatch(pattern, w)] == [w for w in words if a.accepts(boxes[w])], pattern
        assert len({future(a, i) for i in range(len(a.moves))}) == len(a.moves)


def future(a: Automaton, state: int) -> frozenset[str]:
    """The words of at most as many letters as there are states that lead from `state` to acceptance: enough to tell states
    of small automata apart."""
    found, layer = set(), {"": state}
    for _ in range(min(len(a.moves), 7) + 1):
        found |= {w for w, s in layer.items() if s in a.accepting}
        layer = {w + box.text: after for w, s in layer.items() for box, after in a.moves[s].items()}
    return frozenset(found)


# ---------------------------------------------------------------------- layout
def test_nothing_lies_on_anything_else():
    rng = random.Random(3)
    for _ in range(30):
        n = rng.randrange(1, 14)
        edges = {(rng.randrange(i), i) for i in range(1, n)}  # every node is reached
        edges |= {(a, b) for a, b in itertools.product(range(n), repeat=2) if a != b and rng.random() < 0.15}
        labels = {e: Extent(rng.uniform(8, 90), 14.0 * rng.randrange(1, 4), 4) for e in edges}
        layout = place([Extent(30, 15, 15)] * n, labels, 10_000)
        for (a, b), chain in layout.chains.items():
            ends = [layout.items[i] for i in (chain[0], chain[-1])]
            assert ends == [layout.items[i] for i in ((b, a) if (a, b) in layout.back else (a, b))]
            assert [layout.items[i].layer for i in chain] == list(range(ends[0].layer, ends[1].layer + 1))
        by_column: dict[int, list] = {}
        for item in layout.items:
            by_column.setdefault(item.layer, []).append(item)
        for column in by_column.values():
            column.sort(key=lambda item: item.y)
            assert all(a.y + a.down <= b.y - b.up + 1e-6 for a, b in itertools.pairwise(column))
        xs = [max(i.x + i.width / 2 for i in by_column[k]) for k in sorted(by_column)]
        starts = [min(i.x - i.width / 2 for i in by_column[k]) for k in sorted(by_column)]
        assert all(end < start for end, start in zip(xs, starts[1:], strict=False))


def test_only_edges_of_circles_go_back():
    rng = random.Random(8)
    for _ in range(50):
        names = rng.sample(range(12), 12)
        labels = {
            (names[i], names[j]): Extent(9, 9, 4) for i in range(12) for j in range(i + 1, 12) if rng.random() < 0.3
        }
        assert not place([Extent(30, 15, 15)] * 12, labels, 10_000).back
    assert place([Extent(30, 15, 15)] * 2, {(0, 1): Extent(9, 9, 4), (1, 0): Extent(9, 9, 4)}, 99).back == {(1, 0)}
    with pytest.raises(constrain.LimitExceeded, match="columns"):
        place([Extent(30, 15, 15)] * 9, {(i, i + 1): Extent(9, 9, 4) for i in range(8)} | {(0, 8): Extent(9, 9, 4)}, 30)
    assert "<circle" in constrain.regex("").to_svg("automaton")


def test_classes_are_short_and_exact():
    assert [class_text(charset.unicode_class(n)) for n in "dws"] == ["\\d", "\\w", "\\s"]
    assert class_text(charset.complement(charset.unicode_class("w"))) == "\\W"
    assert class_text(((0x5D0, 0x5EA), (97, 98))).isascii()
    assert "ranges from" in class_text(charset.unicode_property("Lu"))
    assert class_text(((97, 97),)) == "a"
    assert class_text(((48, 57), (95, 95), (97, 122))) == "[0-9_a-z]"
    assert class_text(((0, 9), (11, 0xD7FF), (0xE000, 0x10FFFF))) == "[^\\n]"
    assert class_text(((32, 32),)) == "[ ]"
    assert class_text(((0, 0x10FFFF),)) == "any character"
    assert bytes_text([(97, 97), (98, 98), (0x80, 0xFF)]) == "[a-b\\x80-\\xff]"
