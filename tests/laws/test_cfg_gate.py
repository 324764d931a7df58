"""The gate for context-free grammars: random small ones, both lexing disciplines, against a brute-force recogniser.

Verdicts on every short text. Liveness from both sides without a bound on length: every prefix of every short accepted text
is viable, and the canonical completion of every viable short prefix is a text that the recogniser accepts. A mask must hold
the tokens whose bytes may follow, cold and warm.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import numpy as np
import pytest
from oracles_cfg import (
    Interrupted,
    Rules,
    next_tokens,
    random_fields,
    random_interrupted,
    random_pattern,
    random_rules,
    random_rules_with_documents,
    texts,
)

import constrain

LETTERS = constrain.Vocabulary([b"a", b"b", b"ab", b"ba", b"aa", b"bab", b"abab", b"aabb", b"bbb", None], [9])
DIGITS = constrain.Vocabulary([*(bytes([c]) for c in b"12,[]"), b"12", b"[1", b"1]", b"],", b"11,", b"]1[", None], [11])


BRACES = constrain.Vocabulary(
    [*(bytes([c]) for c in b"a:{}"), b"a:", b"a{", b"}:", b":}", b"}}", b"{a", b"a}}", None], [11]
)


@dataclass
class Both:
    """A grammar, cut down to the texts that match a pattern: what the recogniser and Python's `re` both take."""

    rules: Rules
    pattern: str

    def accepts(self, text: str, longest: bool) -> bool:
        return re.fullmatch(self.pattern, text) is not None and self.rules.accepts(text, longest)

    def grammar(self, longest: bool) -> constrain.Grammar:
        free, regular = self.rules.grammar(longest), constrain.regex(self.pattern)
        return free & regular if len(self.pattern) % 2 else regular & free


def random_intersection(rng: random.Random) -> Both:
    return Both(random_rules(rng), random_pattern(rng))


def check(rules: Rules | Both | Interrupted, longest: bool, cold: bool, vocabulary=LETTERS, length: int = 6) -> int:
    """Judge one grammar; returns the number of texts judged."""
    alphabet = "".join(t.decode() for t in vocabulary.tokens if t is not None and len(t) == 1)
    short = list(texts(alphabet, length))
    accepted = {t for t in short if rules.accepts(t, longest)}
    if cold:
        vocabulary.clear()
    try:
        automaton = constrain.compile(rules.grammar(longest), vocabulary)
    except constrain.EmptyLanguage:
        assert not accepted, (rules, longest, sorted(accepted)[:3])
        return 1
    live = {t[:n] for t in accepted for n in range(len(t) + 1)}
    judged = 0
    for text in short:
        judged += 1
        assert automaton.accepts(text) == (text in accepted), (rules, longest, text)
        viable = automaton.viable(text) == len(text)
        assert viable or text not in live, (rules, longest, text)
        if viable and (text not in live or len(text) < length - 2):
            judged += state(automaton, rules, longest, text)
    return judged


def state(automaton, rules: Rules | Both | Interrupted, longest: bool, text: str) -> int:
    """One live prefix: its completion and its mask."""
    vocabulary = automaton.vocabulary
    matcher, row = automaton.matcher(), vocabulary.new_rows()[0]
    for c in text:
        assert matcher.advance(vocabulary.tokens.index(c.encode()))
    whole = text + matcher.completion().decode()
    assert rules.accepts(whole, longest), (rules, longest, text, whole)
    matcher.fill_mask(row)
    got = set(np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist())
    want = next_tokens(automaton, text.encode())
    if rules.accepts(text, longest):
        want.update(vocabulary.eos_token_ids)
    assert got == want, (rules, longest, text, got, want)
    assert got == {t for t in range(len(vocabulary)) if matcher.allows(t)}, (rules, longest, text)
    return 1


def run(seeds: range, grammar=random_rules, disciplines=(True, False), rare=10, **options) -> int:
    """Judge the grammars of these seeds. Where it is undecided within the limits whether anything can follow, that must be
    said; it is rare."""
    judged = undecided = 0
    for seed in seeds:
        rng = random.Random(seed)
        rules = grammar(rng)
        for longest in disciplines:
            try:
                judged += check(rules, longest, cold=seed % 20 == 0, **options)
            except constrain.LimitExceeded:
                undecided += 1
    assert undecided <= len(seeds) // rare
    return judged


def test_small_grammars_cold_and_warm():
    assert run(range(120)) > 20_000


def test_fields_whose_ends_rival_with_what_stands_in_them():
    """What may be extended inside of a field alone: liveness looks at the terminals that are exposed."""
    assert run(range(40), random_fields, (True,), rare=5, vocabulary=BRACES, length=5) > 30_000


def test_documents_among_lexemes():
    """An embedded document competes with no lexeme, and ends wherever the parse can go on."""
    options = {"grammar": random_rules_with_documents, "vocabulary": DIGITS, "length": 4}
    assert run(range(40), **options) > 30_000


@pytest.mark.slow
def test_thousands_of_small_grammars():
    assert run(range(10_000, 13_000)) > 500_000


def test_small_intersections_with_regexes():
    assert run(range(250), random_intersection) > 15_000


@pytest.mark.slow
def test_thousands_of_small_intersections_with_regexes():
    assert run(range(10_000, 13_000), random_intersection) > 200_000


def test_small_grammars_with_ignored_rules():
    assert run(range(80), random_interrupted) > 8_000


@pytest.mark.slow
def test_thousands_of_small_grammars_with_ignored_rules():
    assert run(range(10_000, 12_000), random_interrupted) > 200_000
