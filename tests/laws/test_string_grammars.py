"""Grammars inside JSON strings, against an obvious oracle: `json.loads`, and a brute-force recogniser of the decoded string.

Random small grammars under both lexing disciplines stand in small schemas, over vocabularies in which every character can be
written in several ways. Verdicts on every short text; liveness from both sides (every prefix of an accepted text is viable,
and the canonical completion of every viable prefix is accepted); masks token by token.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from oracles_cfg import Rules, from_lowered, random_rules, random_rules_with_documents, texts

import constrain

Languages = dict[str, Callable[[str], bool]]
# "/" is written "/" or "\/", and the quote as an escape alone
SLASHES = constrain.Vocabulary(
    [
        *(bytes([c]) for c in b'"/\\[],'),
        b'/"', b'"/', b'\\"', b"/\\", b"\\/\\", b"//", b'"]', b'","', b'/","', b'\\"\\"', b'\\"",', b'["', None,
    ],
    [18],
)  # fmt: skip
BYTES = constrain.Vocabulary(
    [
        *(bytes([b]) for b in range(256)),
        b"ab", b'a"', b'"]', b'a"]', b"\\u", b"\\u00", b"\\u0061", b"b\\", b"\\u006", b"061b", b"a\\u00", b"b\\b",
        b'b"', b'b","', b'1"', b'1]"', b"[1", b'ba"', "é".encode(), "é".encode()[1:] + b'"', b"\\ud83d", b'\\ude00"',
        "😀".encode()[:2], b"\\n", b"\\n ", b":\\n  ", b"a:\\n", b"n a", b'\\"', b'\\\\"', b'"\\', b'[\\"', b'\\"]', b"\\\\u00",
        None,
    ],
    [290],
)  # fmt: skip


def renamed(rules: Rules, letters: dict[str, str]) -> Rules:
    """The same grammar over other letters, which mean nothing in regexes."""

    def other(pattern: str | None) -> str | None:
        return None if pattern is None else "".join(letters.get(c, c) for c in pattern)

    terminals = [replace(t, pattern=other(t.pattern), unless=other(t.unless)) for t in rules.terminals]
    return Rules(terminals, rules.rules, rules.ignored)


# ---------------------------------------------------------------------- the meaning of the schemas in use
def holds(schema: Any, x: Any, languages: Languages) -> bool:
    """Is `x` valid? The keywords that occur below, word for word."""
    if isinstance(schema, bool):
        return schema
    return all(KEYWORDS[k](v, x, schema, languages) for k, v in schema.items())


def _unlike(x: Any, kind: type) -> bool:
    return not isinstance(x, kind) or isinstance(x, bool)


TYPES = {"string": str, "array": list, "object": dict, "null": type(None)}
KEYWORDS: dict[str, Callable[[Any, Any, Any, Languages], bool]] = {
    "type": lambda v, x, s, n: any(isinstance(x, TYPES[t]) for t in ([v] if isinstance(v, str) else v)),
    "format": lambda v, x, s, n: _unlike(x, str) or n[v](x),
    "minLength": lambda v, x, s, n: _unlike(x, str) or len(x) >= v,
    "maxLength": lambda v, x, s, n: _unlike(x, str) or len(x) <= v,
    "pattern": lambda v, x, s, n: _unlike(x, str) or re.search(v, x) is not None,
    "enum": lambda v, x, s, n: x in v,
    "not": lambda v, x, s, n: not holds(v, x, n),
    "anyOf": lambda v, x, s, n: any(holds(y, x, n) for y in v),
    "allOf": lambda v, x, s, n: all(holds(y, x, n) for y in v),
    "oneOf": lambda v, x, s, n: sum(holds(y, x, n) for y in v) == 1,
    "items": lambda v, x, s, n: _unlike(x, list) or all(holds(v, y, n) for y in x),
    "minItems": lambda v, x, s, n: _unlike(x, list) or len(x) >= v,
    "maxItems": lambda v, x, s, n: _unlike(x, list) or len(x) <= v,
    "uniqueItems": lambda v, x, s, n: _unlike(x, list) or not v or len({json.dumps(y) for y in x}) == len(x),
    "contains": lambda v, x, s, n: _unlike(x, list) or any(holds(v, y, n) for y in x),
}


def verdict(schema: Any, text: str, languages: Languages) -> bool:
    try:
        x = json.loads(text)
        json.dumps(x, ensure_ascii=False).encode()
    except ValueError:
        return False
    return holds(schema, x, languages)


# ---------------------------------------------------------------------- one schema
def judge(
    schema: Any,
    grammars: dict[str, constrain.Grammar],
    languages: Languages,
    short: list[str],
    vocabulary,
    length: int,
    cold: bool,
) -> int:
    """Judge `schema` on the texts `short`, which hold every prefix of each of them; returns the number of verdicts."""
    accepted = {t for t in short if verdict(schema, t, languages)}
    if cold:
        vocabulary.clear()
    grammar = constrain.json_schema(schema, grammars=grammars, whitespace="compact")
    try:
        automaton = constrain.compile(grammar, vocabulary)
    except constrain.EmptyLanguage:
        assert not accepted, (schema, sorted(accepted)[:3])
        return 1
    live = {t[:n] for t in accepted for n in range(len(t) + 1)}
    judged = 0
    for text in short:
        judged += 1
        assert automaton.accepts(text) == (text in accepted), (schema, text)
        viable = automaton.viable(text) == len(text.encode())
        assert viable or text not in live, (schema, text)
        if viable and (text not in live or len(text) < length):
            state(automaton, schema, languages, text.encode())
    return judged


def state(automaton, schema: Any, languages: Languages, before: bytes, alphabet: str | None = None) -> None:
    """One live prefix: its completion, its distance and its mask. `alphabet`: the characters that the oracle knows about."""
    vocabulary = automaton.vocabulary
    matcher, row = automaton.matcher(), vocabulary.new_rows()[0]
    for b in before:
        assert matcher.advance(vocabulary.tokens.index(bytes([b]))), (schema, before)
    completion = matcher.completion()
    whole = before + completion
    assert automaton.accepts(whole), (schema, before, completion)
    if alphabet is None or set(whole.decode()) <= set(alphabet):
        assert verdict(schema, whole.decode(), languages), (schema, before, completion)
    for n, b in enumerate(completion[:40]):
        assert matcher.completion() == completion[n:], (schema, before, completion)
        matcher.advance(vocabulary.tokens.index(bytes([b])))
    matcher.rollback(min(40, len(completion)))
    matcher.fill_mask(row)
    got = allowed(row)
    want = {
        i
        for i, t in enumerate(vocabulary.tokens)
        if t is not None and automaton.viable(before + t) == len(before) + len(t)
    }
    if automaton.accepts(before):
        want.update(vocabulary.eos_token_ids)
    assert got == want, (schema, before, got - want, want - got)
    assert matcher.fill_mask(row, 0, matcher.distance())
    assert allowed(row), (schema, before)
    assert allowed(row) <= got, (schema, before)


def allowed(row) -> set[int]:
    return set(np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist())


STRINGS: list[Any] = [
    {"type": "string", "format": "g"},
    {"type": "string", "format": "g", "maxLength": 3},
    {"type": "string", "format": "g", "minLength": 2, "maxLength": 4},
    {"type": "string", "not": {"format": "g"}, "maxLength": 2},
    {"anyOf": [{"type": "string", "format": "g"}, {"enum": ["/", "//", '"']}]},
    {"type": "string", "format": "g", "enum": ["/", "//", '"', '/"', '""/', ""]},
    {"type": "string", "format": "g", "pattern": "^/"},
    {"type": "string", "allOf": [{"format": "g"}, {"format": "h"}], "maxLength": 4},
    {"type": "string", "anyOf": [{"format": "g"}, {"format": "h"}]},
    {"type": "string", "oneOf": [{"format": "g"}, {"format": "h"}], "maxLength": 3},
    {"type": "string", "format": "g", "not": {"enum": ["/", '"']}},
]
G: dict[str, Any] = {"type": "string", "format": "g"}
H: dict[str, Any] = {"type": "string", "format": "h"}
SHORT: dict[str, Any] = {"type": "string", "maxLength": 1}
ARRAYS: list[Any] = [
    {"type": "array", "items": G, "minItems": 1, "maxItems": 2},
    {"type": "array", "items": G, "uniqueItems": True, "minItems": 2, "maxItems": 2},
    {"type": "array", "items": {**G, "maxLength": 1}, "uniqueItems": True, "minItems": 2, "maxItems": 3},
    {"type": "array", "contains": G, "items": SHORT, "minItems": 2, "maxItems": 2},
    {
        "anyOf": [
            {"type": "array", "items": G, "maxItems": 1},
            {"type": "array", "items": H, "minItems": 2, "maxItems": 2},
        ]
    },
]


def named(schema: Any, rules: dict[str, Rules], longest: bool) -> tuple[dict[str, constrain.Grammar], Languages]:
    """The grammars that a schema names, for the kernel and for the oracle."""
    there = {n: r for n, r in rules.items() if f'"format": "{n}"' in json.dumps(schema)}
    memo: dict[tuple[str, str], bool] = {}

    def language(name: str) -> Callable[[str], bool]:
        def accepts(x: str) -> bool:
            if (name, x) not in memo:
                memo[name, x] = rules[name].accepts(x, longest)
            return memo[name, x]

        return accepts

    return {n: r.grammar(longest) for n, r in there.items()}, {n: language(n) for n in there}


def run(seeds: range, schemas: list[Any], short: list[str], length: int) -> int:
    judged = undecided = 0
    for seed in seeds:
        rng = random.Random(seed)
        rules = {n: renamed(random_rules(rng), {"a": "/", "b": '"'}) for n in "gh"}
        schema, longest = rng.choice(schemas), rng.random() < 0.5
        try:
            judged += judge(schema, *named(schema, rules, longest), short, SLASHES, length, cold=seed % 10 == 0)
        except constrain.LimitExceeded:
            undecided += 1
    assert undecided <= 1 + len(seeds) // 10
    return judged


def spellings(x: Any) -> Iterator[str]:
    """Every way to write strings of "/" and quotes, and arrays of them, compactly."""
    if isinstance(x, str):
        for parts in itertools.product(*([c, "\\/"] if c == "/" else ['\\"'] for c in x)):
            yield f'"{"".join(parts)}"'
        return
    for items in itertools.product(*map(list, map(spellings, x))):
        yield f"[{','.join(items)}]"


def with_prefixes(whole: set[str]) -> list[str]:
    return sorted({t[:n] for t in whole for n in range(len(t) + 1)}, key=lambda t: (len(t), t))


def test_strings_of_small_grammars():
    short = list(texts('"/\\', 7))
    assert run(range(60), STRINGS, short, 6) > 120_000


def test_arrays_of_strings_of_small_grammars():
    words = list(texts('/"', 2))
    whole = {
        s
        for n in range(4)
        for x in itertools.product(words if n < 3 else words[:3], repeat=n)
        for s in spellings(list(x))
    }
    assert run(range(100, 125), ARRAYS, with_prefixes(whole), 20) > 5_000


# ---------------------------------------------------------------------- every spelling of every character
def spelled(x: str, rng: random.Random) -> str:
    """One way to write a string, character by character."""
    out = []
    for c in x:
        points = [ord(c)] if ord(c) < 0x10000 else [0xD7C0 + (ord(c) >> 10), 0xDC00 + (ord(c) & 0x3FF)]
        escape = "".join(rng.choice(["\\u{:04x}", "\\u{:04X}"]).format(p) for p in points)
        short = {"\n": "\\n", '"': '\\"', "\\": "\\\\", "/": "\\/"}.get(c)
        ways = [escape, *([short] if short else []), *([c] if c >= " " and c not in '"\\' else [])]
        out.append(rng.choice(ways))
    return f'"{"".join(out)}"'


def judge_spellings(
    grammar: constrain.Grammar,
    accepts: Callable[[str], bool],
    words: list[str],
    rng: random.Random,
    wrap: bool = False,
    alphabet: str | None = None,
) -> int:
    """Texts of `words` written at random, as strings or, with `wrap`, as strings of strings; their prefixes and masks."""
    schema = {"type": "string", "format": "g"}
    grammars = {"g": grammar}
    if wrap:
        grammars = {"g": constrain.json_schema(schema, grammars=grammars, whitespace="compact")}
    try:
        automaton = constrain.compile(constrain.json_schema(schema, grammars=grammars, whitespace="compact"), BYTES)
    except constrain.EmptyLanguage:
        assert not any(map(accepts, words))
        return 0

    def oracle(x: Any) -> bool:
        return isinstance(x, str) and (verdict(schema, x, {"g": accepts}) if wrap else accepts(x))

    judged = 0
    for x in words:
        text = spelled(spelled(x, rng), rng) if wrap else spelled(x, rng)
        good = accepts(x)
        assert automaton.accepts(text) == good, (grammar, text)
        judged += 1
        if not good:
            continue
        assert automaton.viable(text) == len(text.encode()), (grammar, text)
        data = text.encode()
        for cut in rng.sample(range(len(data) + 1), min(3, len(data))):
            state(automaton, schema, {"g": oracle}, data[:cut], alphabet)
            judged += 1
    return judged


@pytest.mark.parametrize("letters", ["ab", "aé", "😀é", "\\\n", '"\u2028'])
def test_every_spelling_of_every_character(letters):
    judged = 0
    for seed in range(8):
        rng = random.Random(f"{letters} {seed}")
        regex = {"\\": "\\\\"}  # as a pattern
        rules = renamed(random_rules(rng), {"a": regex.get(letters[0], letters[0]), "b": letters[1]})
        longest = seed % 2 == 0
        words = list(texts(letters, 3))
        try:
            judged += judge_spellings(rules.grammar(longest), lambda x, r=rules, d=longest: r.accepts(x, d), words, rng)
        except constrain.LimitExceeded:
            continue
    assert judged > 100


def test_strings_of_strings():
    """A schema in a string is the documents of that schema: here strings that hold texts of a grammar in turn."""
    judged = 0
    for seed in range(6):
        rng = random.Random(500 + seed)
        rules = random_rules(rng)
        try:
            judged += judge_spellings(
                rules.grammar(seed % 2 == 0),
                lambda x, r=rules, d=seed % 2 == 0: r.accepts(x, d),
                list(texts("ab", 3)),
                rng,
                wrap=True,
            )
        except constrain.LimitExceeded:
            continue
    assert judged > 80


def test_documents_inside_a_grammar_inside_a_string():
    judged = 0
    for seed in range(8):
        rng = random.Random(700 + seed)
        rules = random_rules_with_documents(rng)
        try:
            judged += judge_spellings(
                rules.grammar(seed % 2 == 0),
                lambda x, r=rules, d=seed % 2 == 0: r.accepts(x, d),
                list(texts("12,[]", 3)),
                rng,
                alphabet='12,[]"',
            )
        except constrain.LimitExceeded:
            continue
    assert judged > 800


LAYOUTS = {
    "blocks": (
        r"""start: stmt*
        stmt: "a" NL | "a" ":" NL IN stmt+ DE
        NL: (/\n */)+
        %layout NL IN DE""",
        {"NL": r"(\n *)+"},
    ),
    "brackets": (
        r"""start: stmt+
        stmt: value+ NL | ":" NL IN stmt+ DE
        value: "a" | "(" value* ")"
        NL: (/\n */)+
        %ignore " "
        %layout NL IN DE ("(") (")") [/\n/]""",
        {"NL": r"(\n *)+", "%ignore": " "},
    ),
}
LAYOUT_PATTERNS = {'"a"': "a", '":"': ":", '"("': r"\(", '")"': r"\)", '" "': " ", "/\\n/": "\n"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_indentation_inside_a_string(name):
    text, patterns = LAYOUTS[name]
    grammar = constrain.lark(text)
    rules = from_lowered(grammar, {**LAYOUT_PATTERNS, **patterns})
    words = [
        *texts("a:\n ", 4),
        "a:\n a\n",
        "a:\n  a\n a",
        "a:\n a\n  \n",
        ":\n  a",
        ":\n (\n) a\n\na",
        "a:\n a:\n  a\na\n  ",
    ]
    assert judge_spellings(grammar, lambda x: rules.accepts(x, True), words, random.Random(name)) > 400


def test_the_options_of_documents_inside_strings_are_their_own():
    """Numbers and the order of members of a schema inside a string are as that schema asks, not as the outer one does."""
    inner = {
        "type": "object",
        "properties": {"b": {"type": "number"}, "a": {"type": "null"}},
        "additionalProperties": False,
    }
    for numbers, order in itertools.product(("json", "plain"), ("any", "schema")):
        body = constrain.json_schema(inner, numbers=numbers, order=order, whitespace="compact")
        outer = constrain.json_schema(
            {"type": "string", "format": "body"}, grammars={"body": body}, whitespace="compact"
        )
        automaton = constrain.compile(outer, BYTES)
        for text, good in (
            ('{"b":1,"a":null}', True),
            ('{"a":null,"b":1}', order == "any"),
            ('{"b":1e1}', numbers == "json"),
        ):
            assert automaton.accepts(json.dumps(text)) == good, (numbers, order, text)


@pytest.mark.slow
def test_thousands_of_strings_of_small_grammars():
    short = list(texts('"/\\', 8))
    assert run(range(1000, 1300), STRINGS, short, 7) > 1_500_000
