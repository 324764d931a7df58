"""Strings under counters: masks that leave counters out are compared with stepping every token.

The vocabulary holds runs up to three times as long as the counters, escapes that count one character and look like several, and
parts of characters; texts are walked up to the end of each counter, where a token may be one character too long.
"""

import random

import numpy as np
import pytest

import constrain

SINGLE = [bytes([b]) for b in range(256)]
RUNS = [
    c * n
    for c in (b"a", b"b", b" ", b"0", "é".encode(), b"ab", b"a ", b"\\u0061", b"\\n")
    for n in (2, 3, 5, 7, 8, 9, 12, 16, 24)
]
PARTS = [
    "é".encode()[:1],
    "é".encode()[1:],
    "€".encode()[:2],
    "€".encode()[2:],
    b"a" + "é".encode()[:1],
    b"\\u",
    b"\\u00",
    b"aaaaaaa\\",
    b"61",
    b"\\u0061b",
]
ENDS = [
    b'a"',
    b'aaaaaaaa"',
    b'ab","b',
    b'",',
    b'"}',
    b'a"}',
    b'0000000"}',
    b' "',
    "é".encode() + b'"',
    b'b"]',
    b'a a a a"',
]
TOKENS = list(dict.fromkeys([*SINGLE, *RUNS, *PARTS, *ENDS]))
VOCABULARY = constrain.Vocabulary([*TOKENS, None], eos_token_ids=[len(TOKENS)])


def pattern(rng: random.Random) -> str:
    most = rng.choice([6, 7, 8, 10, 15])
    least = rng.choice([0, 0, 1, 3, 6])
    piece = rng.choice(["[ab]", "[a-z ]", "\\S+\\s", "\\S+\\s+", "(a|bb)", "[^b]", ".", "(?:a{0,9} )", "é?[ab]", "\\w"])
    body = f"(?:{piece}){{{least},{most}}}"
    shapes = [
        "{0}",
        "{0}[ab]+",
        "a*{0}",
        "{0}0",
        "({0}|b*)",
        "({0}0)+",
        "{0}-{0}",
        "(|[ab]*0)",
        "([a-z ]*0|{0})?",
        "[ab]*(0|{0})",
    ]
    text = rng.choice(shapes).format(body)
    return rng.choice(["^{0}$", "^{0}$", "^{0}", "{0}$", "{0}"]).format(text)


def schema(rng: random.Random):
    out: dict[str, object] = {"type": "string"}
    if rng.random() < 0.8:
        out["pattern"] = pattern(rng)
    if rng.random() < 0.7:
        out["maxLength"] = rng.choice([6, 8, 9, 13, 17, 30])
    if rng.random() < 0.3:
        out["minLength"] = rng.choice([1, 2, 5, 6])
    if rng.random() < 0.3:
        return {
            "type": "object",
            "patternProperties": {out.get("pattern", "a"): {"type": "string"}},
            "maxProperties": 2,
        }
    return out


def check(number: int) -> int:
    rng = random.Random(f"counters {number}")
    try:
        automaton = constrain.compile(constrain.json_schema(schema(rng), whitespace="compact"), VOCABULARY)
    except constrain.EmptyLanguage:
        return 0
    row, masks = np.zeros((len(TOKENS) + 32) // 32, dtype=np.uint32), 0
    for _ in range(2):
        matcher = automaton.matcher()
        for _ in range(14):
            matcher.fill_mask(row)
            bits = [t for t in range(len(TOKENS)) if row[t >> 5] >> (t & 31) & 1]
            assert bits == [t for t in range(len(TOKENS)) if matcher.allows(t)], (number, matcher.forced_bytes())
            masks += 1
            inside = [t for t in bits if b'"' not in TOKENS[t]]
            if not bits:
                break
            matcher.advance(rng.choice(inside if inside and rng.random() < 0.9 else bits))
    return masks


def test_masks_are_what_stepping_allows():
    assert sum(check(n) for n in range(150)) > 1500


@pytest.mark.slow
def test_masks_are_what_stepping_allows_at_length():
    assert sum(check(n) for n in range(150, 3000)) > 30_000
