"""Terminals that look around themselves, against `re` asked for every length at which a match can end in a longer text."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from oracles import BYTES
from oracles_cfg import texts

import constrain
from grammars.grammar import Grammar
from grammars.ir import Table
from grammars.lark.lookahead import variants
from grammars.regex import lower_regex, parse_regex
from grammars.regex.syntax import Lowered, Pattern

TEXTS = [t for t in texts("ab!", 4) if t]


def language(table: Table, node: int) -> set[str]:
    """The words of a node among all short texts, the empty one too."""
    try:
        automaton = constrain.compile(Grammar("regex", table, node), BYTES)
    except constrain.EmptyLanguage:
        return set()
    return {t for t in ("", *TEXTS) if automaton.accepts(t)}


def lengths_by_variants(pattern: str) -> dict[str, set[int]]:
    """By text, the lengths of the matches that the endings of a terminal allow there."""
    table = Table()
    tree = parse_regex(pattern).node
    found = variants(tree, table, "any")
    endings = [(language(table, e.node), language(table, e.unless) if e.unless is not None else set()) for e in found]
    return {
        t: {
            n
            for n in range(1, len(t) + 1)
            for words, unless in endings
            if t[:n] in words and not any(t[n:][:k] in unless for k in range(len(t) - n + 1))
        }
        for t in TEXTS
    }


def lengths_by_re(pattern: str) -> dict[str, set[int]]:
    return {
        t: {n for n in range(1, len(t) + 1) if re.match(f"(?:{pattern})(?={re.escape(t[n:])}\\Z)", t)} for t in TEXTS
    }


PATTERNS = [
    "a(?!b)", "a+(?!b)", "[ab]+(?!!)", "(?!ab)[ab]+", "(?!ab!)[ab]", "a(?!bb)b?", "a(?!b|!a)[ab]*", r"a\b", r"[ab]+\b",
    r"!\B", "(?!a)[ab]", "a(?!b)(?!!)", "a(?!a)|b(?!b)|!", "((a(?!b))|b)a?", "(?!aa)a(?!ba)b?", "a(?<!b)b?", "b(?<=b)(?!a)",
    "(?!a{2})[ab]{1,3}", "a(?!b)?", "a(b(?!a))?", "(?!(ab|ba))[ab]{1,3}", "a(?=b)b", "(?=a)[ab]", "a(?!.)", "a(?!a*b)",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_endings_of_a_terminal_are_those_of_re(pattern):
    assert lengths_by_variants(pattern) == lengths_by_re(pattern)


def random_pattern(rng: random.Random, depth: int) -> str:
    if depth == 0:
        return rng.choice(["a", "b", "[ab]", "!", "a!", "[^a]", "a+", "b*"])
    kind = rng.randrange(8)
    inner = random_pattern(rng, depth - 1)
    if kind < 2:
        return inner + random_pattern(rng, depth - 1)
    if kind == 2:
        return f"(?:{inner}|{random_pattern(rng, depth - 1)})"
    if kind == 3:
        return f"(?:{inner}){rng.choice(['*', '?', '{1,2}'])}"
    look = rng.choice(["(?!a)", "(?!ab)", "(?!a|b!)", "(?!b)", r"\b", r"\B", "(?<!a)", "(?<=b)", "(?=a)", "(?![ab]b)"])
    return inner + look + random_pattern(rng, depth - 1) if kind < 6 else inner + look


def test_random_terminals():
    rng = random.Random(11)
    judged = refused = 0
    while judged < 150:
        pattern = random_pattern(rng, 2)
        if not re.search(r"\(\?[!=<]|\\[bB]", pattern):
            continue
        try:
            got = lengths_by_variants(pattern)
        except constrain.UnsupportedFeature:
            refused += 1
            continue
        judged += 1
        assert got == lengths_by_re(pattern), pattern
    assert refused < 300


@pytest.mark.parametrize("pattern", [r"(?!(a|ab)\b)[ab]\w*", r"(?!ab\b)\w+", r"(?!(a|ba)\b)(a|b)\w*"])
def test_words_that_are_not_keywords_by_longest_match(pattern):
    """Under "longest" only the longest length counts, and whether there is one."""
    table = Table()
    found = variants(parse_regex(pattern).node, table, "longest")
    endings = [(language(table, e.node), language(table, e.unless) if e.unless is not None else set()) for e in found]
    for t in TEXTS:
        lengths = {
            n
            for n in range(1, len(t) + 1)
            for words, unless in endings
            if t[:n] in words and not any(t[n:][:k] in unless for k in range(len(t) - n + 1))
        }
        want = re.match(pattern, t)
        assert max(lengths, default=0) == (want.end() if want else 0), t
    with pytest.raises(constrain.UnsupportedFeature):
        variants(parse_regex(pattern).node, table, "any")


def test_plain_regexes_have_one_ending():
    table = Table()
    node = lower_regex(Pattern(parse_regex("a+").node, "a+", "python"), table)
    (ending,) = variants(Lowered(node), table, "longest")
    assert ending.node == node
    assert ending.unless is None


def random_lazy_pattern(rng: random.Random, depth: int) -> str:
    if depth == 0:
        return rng.choice(["a", "b", "!", "[ab]", "ab", "[^!]"])
    inner = random_lazy_pattern(rng, depth - 1)
    if rng.random() < 0.6:
        return inner + random_lazy_pattern(rng, depth - 1)
    return f"(?:{inner}){rng.choice(['*?', '+?', '??', '*?', '{1,2}?', '*', '+', '?'])}"


def test_lazy_quantifiers_stop_where_those_of_re_stop():
    """Whatever is not refused by name: the longest match of the terminal is the match that `re` prefers. (Alternatives, of
    which `re` prefers the first, are left out: a terminal is a language.)"""
    rng = random.Random(2)
    judged = refused = 0
    while judged < 150:
        pattern = random_lazy_pattern(rng, 3)
        if "?" not in pattern.replace("(?:", "").replace(")?", "") and "*?" not in pattern and "+?" not in pattern:
            continue
        try:
            cfg = constrain.lark(f"start: T\nT: /{pattern}/").lowered.cfg
        except constrain.GrammarError:  # mixed with greedy ones, or empty
            refused += 1
            continue
        judged += 1
        words = [language(cfg.table, t.node) for t in cfg.terminals]
        for t in TEXTS:
            longest = max((n for n in range(1, len(t) + 1) for own in words if t[:n] in own), default=0)
            want = re.match(pattern, t)
            assert longest == (want.end() if want else 0), (pattern, t)
    assert refused < 600


def test_a_document_under_a_lookahead_has_every_token_in_its_mask():
    vocabulary = constrain.Vocabulary([b"0", b"}", b'"', b"1", b" ", None], eos_token_ids=[5])
    grammar = constrain.lark("start: BRACE value\nBRACE: /\\}(?!(.|\\n)*0)/\nvalue: %json {}", lexer="longest")
    matcher = constrain.compile(grammar, vocabulary).matcher()
    for token, allowed in ((1, [2, 3, 4]), (2, [1, 2, 3, 4]), (3, [1, 2, 3, 4])):
        assert matcher.advance(token)
        assert [t for t in range(5) if matcher.allows(t)] == allowed
        assert np.flatnonzero(matcher.mask()).tolist() == allowed
