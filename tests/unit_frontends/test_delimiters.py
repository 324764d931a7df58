"""Terminals that repeat a text of their own choice, as languages have them; what is refused, and what memory they take."""

from __future__ import annotations

import base64
import random
import re

import pytest
from oracles import DATA

import constrain

BYTES = constrain.Vocabulary(
    [
        *(bytes([b]) for b in range(256)),
        b"EO",
        b"F\n",
        b"\nEOF",
        b"$a",
        b"$$",
        b"a$",
        b" <<",
        b'"#',
        b"]==]",
        b"word",
        None,
    ],
    [266],
)
HEREDOC = r"<<(?P<d>[A-Za-z_]\w*)\n(?s:.*?)\n(?P=d)(?![^\n])"
LANGUAGES = {  # a terminal, the same for Python's re (what may not follow included), pieces of texts
    "here-document": (HEREDOC, HEREDOC, ["<<", "EOF", "EO", "F", "\n", "x", "é", "$", " "]),
    "dollar quotes": (
        r"\$(?P<d>([A-Za-z_]\w*)?)\$(?s:.*?)\$(?P=d)\$", r"\$(?P<d>([A-Za-z_]\w*)?)\$(?s:.*?)\$(?P=d)\$",
        ["$", "$$", "a", "ab", "b", "1", "é", " ", "'"],
    ),
    "raw strings of Rust": (r'r(#+)"(?s:.*?)"\1', r'r(#+)"(?s:.*?)"\1', ["r", "#", "##", '"', '"#', "x"]),
    "raw strings of C++": (
        r'R"(?P<d>[^ ()\\\s"]{0,16})\((?s:.*?)\)(?P=d)"', r'R"(?P<d>[^ ()\\\s"]{0,16})\((?s:.*?)\)(?P=d)"',
        ['R"', "(", ")", '"', "x", "xy", ")x", "0123456789", "\n"],
    ),
    "long brackets of Lua": (r"\[(=*)\[(?s:.*?)\]\1\]", r"\[(=*)\[(?s:.*?)\]\1\]", ["[", "]", "=", "==", "]=", "x", "\n"]),
    "fences of Markdown": (
        r"(?P<f>`{3,})(?P<info>[^`\n]*)\n(?s:.*?)\n(?P=f)`*", r"(?P<f>`{3,})(?P<info>[^`\n]*)\n(?s:.*?)\n(?P=f)`*",
        ["`", "```", "````", "\n", "py", "x"],
    ),
}  # fmt: skip


def compiled(text: str, **options) -> constrain.TokenAutomaton:
    return constrain.compile(constrain.lark(text, **options), BYTES)


def first_match(pattern: str, text: str) -> bool:
    """Is the whole text what `re` matches at its beginning?"""
    found = re.match(pattern, text)
    return found is not None and found.end() == len(text)


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_first_match_of_re_is_what_is_accepted(name):
    terminal, pattern, pieces = LANGUAGES[name]
    automaton = compiled(f"start: T\nT: /{terminal}/")
    rng = random.Random(name)
    accepted = 0
    for _ in range(400):
        text = automaton.matcher().completion().decode() if rng.random() < 0.1 else ""
        while len(text) < 25 and rng.random() < 0.95:
            text += rng.choice(pieces)
        assert automaton.accepts(text) == first_match(pattern, text), text
        viable = automaton.viable(text)
        if viable == len(text):  # some way on is accepted; followed by tokens
            matcher = automaton.matcher()
            assert matcher.validate([BYTES.tokens.index(bytes([b])) for b in text.encode()]) == len(text.encode())
            for b in text.encode():
                assert matcher.advance(b)
            whole = text.encode() + matcher.completion()
            assert first_match(pattern, whole.decode()), whole
            accepted += 1
    assert accepted > 20


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_match_is_accepted_where_every_split_counts(name):
    terminal, pattern, pieces = LANGUAGES[name]
    automaton = compiled(f"start: T\nT: /{terminal}/", lexer="any")
    rng = random.Random(name)
    for _ in range(200):
        text = "".join(rng.choice(pieces) for _ in range(rng.randint(3, 12)))
        assert automaton.accepts(text) == (re.fullmatch(pattern, text) is not None), text


def test_other_terminals_that_begin_alike():
    sql = compiled(
        r"""
        start: item*
        item: STRING | PARAMETER | NAME | "<<" | HERE | NUMBER
        STRING: /'[^']*'|\$(?P<tag>([a-z_][a-z_0-9]*)?)\$(?s:.*?)\$(?P=tag)\$/
        HERE: /<<(?P<d>[A-Z]+)\n(?s:.*?)\n(?P=d)\b/
        PARAMETER: /\$[0-9]+/
        NAME: /[A-Za-z_][A-Za-z_0-9$]*/
        NUMBER: /[0-9]+/
        %ignore /[ \n]+/
        """
    )
    for text, valid in {
        "$1 $$x$$ $a$ $1 $b$ $a$ $2": True, "$a$ $b$": False, "$a$b$a$": True, "a$b$ c": True, "'$a$' $a$'$a$": True,
        "1 << 2": True, "a <<EOF\nx\nEOF b": True, "a <<EOF\nx\nEOFb": True, "a <<EOF\n3": True, "a <<EOF\n%\nEOF": True,
        "a <<EOF\n%": False, "<<A\n<<B\nB\nA": True, "<<A\n%\nA <<B\n%\nB": True, "$1$$ $2$$": True, "$1a": True,
    }.items():  # fmt: skip
        assert sql.accepts(text) == valid, text


def test_masks_and_forced_spans_know_the_text():
    matcher = compiled("start: T\nT: /<<(?P<d>[A-Z]+)\\n(?s:.*?)\\n(?P=d);/").matcher()
    for b in b"<<EOF\nsome text\nEOF":
        assert matcher.advance(b)
    assert b";" in [BYTES.tokens[t] for t in range(266) if matcher.mask()[t]]
    other = compiled(r"start: T" "\n" r"T: /\[(=*)\[[a-z]*\]\1\]/").matcher()
    for b in b"[==[abc]":
        assert other.advance(b)
    assert other.forced_bytes() == b"==]"
    assert other.distance() == 3
    assert other.mask().nonzero()[0].tolist() == [ord("=")]


def test_the_length_of_a_delimiter_is_limited_by_name():
    grammar = constrain.lark("start: T\nT: /(a+)b.*?b\\1/", limits=constrain.Limits(delimiter_bytes=3))
    automaton = constrain.compile(grammar, BYTES)
    assert automaton.accepts("aaabbaaa")
    assert automaton.viable("aaaa") == 3
    matcher = automaton.matcher()
    assert all(matcher.advance(ord("a")) for _ in range(3))
    assert matcher.mask().nonzero()[0].tolist() == [ord("b")]
    assert compiled("start: T\nT: /(a+)b.*?b\\1/").viable("a" * 300) == constrain.Limits().delimiter_bytes


def test_states_survive_collections_and_memory_is_bounded():
    automaton = compiled(r"start: (T | /[a-z ]+/)*" "\n" r"T: /\$(?P<t>[a-z]*)\$(?s:.*?)\$(?P=t)\$/")
    automaton.memory_budget = 400_000
    rng = random.Random(1)
    kept = []
    for _ in range(300):
        tag = "".join(rng.choice("abcdefg") for _ in range(rng.randint(1, 30)))
        text = f"x ${tag}$ $ {tag} ${tag[:-1]}"
        matcher = automaton.matcher()
        for b in text.encode():
            assert matcher.advance(b)
        if rng.random() < 0.1:
            kept.append((tag, text, matcher, matcher.mask()))
    assert automaton.memory()["collections"] > 3
    for tag, text, matcher, mask in kept:
        again = automaton.matcher()
        for b in text.encode():
            assert again.advance(b)
        assert again.state == matcher.state
        assert (matcher.mask() == mask).all()
        assert matcher.completion().decode() == tag[-1:] + "$"
        assert automaton.accepts(text.encode() + matcher.completion())


def test_inside_json_strings():
    grammar = constrain.lark("start: T\nT: /<<(?P<d>[A-Zé]+)\\n(?s:.*?)\\n(?P=d)/")
    schema = constrain.json_schema({"type": "string", "format": "doc"}, grammars={"doc": grammar})
    automaton = constrain.compile(schema, BYTES)
    assert automaton.accepts(r'"<<AB\nx\u00e9\nAB"')
    assert not automaton.accepts(r'"<<AB\nx\nA"')
    assert automaton.accepts('"<<é\\n\\n\\u00e9"')
    matcher = automaton.matcher()
    for b in b'"<<QX\\n':
        assert matcher.advance(b)
    assert matcher.completion() == b'\\nQX"'


@pytest.mark.parametrize(
    ("terminal", "what"),
    [
        (r"/(a*)\1/", "next character after the group"),
        (r"/(a+)a.*?\1/", "next character after the group"),
        (r"/(a+)(b?)\1/", "next character after the group"),
        (r"/(?i)(a+)b.*?\1/", "case ignored"),
        (r"/(a+)b(c\1)*d/", "repetition or alternative"),
        (r"/(a+)b(?:(c+)d\2|e)\1/", "one such group"),
        (r"/((a+)b\2)*c/", "outside of repetitions"),
        (r"/(a+)b(c+)d\1\2/", "may hold one such group"),
        (r"/(a+)b.*?b*c\1/", "lazy quantifier among greedy ones"),
        (r"/(a+)b.*?\1(?!bc)/", "more than one character"),
        (r"/(a+)(?=bc|bd)b.*?\1/", "at the end of the terminal"),
        (r"/(a+)b.*?\1/ \"c\"", "a sequence"),
        (r"/(a+)b.*?\1/ | /c.*?d/", "lazy quantifier"),
        (r"/(a+)b.*?\1/+", "a repetition"),
        (r"/(a+)b.*?\1/ & /a.*/", "& or ~"),
        (r"~/(a+)b.*?\1/", "& or ~"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_name(terminal, what):
    with pytest.raises(constrain.UnsupportedFeature, match=what) as e:
        constrain.lark(f"start: T\nT: {terminal}".replace('\\"', '"'))
    assert e.value.span is not None


def test_what_stands_before_the_group_must_not_hide_where_it_begins():
    with pytest.raises(constrain.UnsupportedFeature, match="before which"):
        compiled(r"start: T" "\n" r"T: /a*(a+)b[^b]*b\1/", lexer="any")


def test_other_forms_of_a_grammar_refuse_captures_by_name():
    grammar = constrain.lark("start: T\nT: /(a+)b.*?b\\1/", lexer="any")
    with pytest.raises(constrain.UnsupportedFeature, match="repeat"):
        grammar.to_gbnf()
    with pytest.raises(constrain.UnsupportedFeature, match="repeats a text"):
        grammar & constrain.regex("[ab]*b")
    letters = constrain.compile(grammar & constrain.regex("[ab]*"), BYTES)
    assert [letters.accepts(t) for t in ("abba", "abcba", "aabbaa")] == [True, False, True]
    with pytest.raises(constrain.UnsupportedFeature, match="refine"):
        constrain.lark("start: T\nT: /(a+)b.*?b\\1/", refine={"T": ["abba"]})
    with pytest.raises(constrain.UnsupportedFeature, match="attribute"):
        constrain.lark("start: t\nt[lazy]: /(a+)b.*?b\\1/")
    with pytest.raises(constrain.UnsupportedFeature, match="make it a terminal"):
        constrain.regex(r"(a+)b.*?b\1")
    composed = constrain.compile(grammar + constrain.regex("c"), BYTES)
    assert composed.accepts("aabbaac")
    assert not composed.accepts("aabbac")
    assert "<svg" in grammar.to_svg("automaton")


RANKS = DATA / "tokenizers" / "llama3.tiktoken"


@pytest.mark.skipif(not RANKS.exists(), reason="no vocabulary")
def test_real_vocabulary_round_trips():
    """Any cut of a text into tokens is allowed token by token."""
    tokens = [base64.b64decode(line.split()[0]) for line in RANKS.read_bytes().splitlines() if line]
    vocabulary = constrain.Vocabulary([*tokens, None], [len(tokens)])
    ids = {t: i for i, t in enumerate(tokens)}
    automaton = constrain.compile(constrain.lark(library="postgres"), vocabulary)
    rng = random.Random(3)
    for _ in range(10):
        tag = "".join(rng.choice("abcXYZ_09é") for _ in range(rng.randint(0, 12))).lstrip("09")
        rest = f"SELECT $1, ${tag}$ it's $q$ {rng.choice(['$1', '$x $', 'end;'])} ${tag}$ FROM t".encode()
        matcher = automaton.matcher()
        while rest:
            cuts = [n for n in range(1, min(len(rest), 12) + 1) if rest[:n] in ids]
            n = rng.choice(cuts[-3:])
            assert matcher.mask()[ids[rest[:n]]], rest
            assert matcher.advance(ids[rest[:n]])
            rest = rest[n:]
        assert matcher.accepting
