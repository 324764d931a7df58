"""What is found about grammars before they are used: each kind, on grammars where it is plain to see."""

from __future__ import annotations

import random

import pytest
from oracles_cfg import random_rules

import constrain
from constrain.cli import main
from grammars.passes.find_ambiguity import find_ambiguous, find_cyclic
from grammars.passes.find_left_recursion import find_left_recursion
from grammars.passes.find_nullable import find_nullable
from grammars.passes.find_useless import find_unproductive


def findings(text: str, **options) -> set[tuple[str, str]]:
    return {(f.path, f.keyword) for f in constrain.lark(text, **options).report_rows()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('start: a "x"\na: "y"', set()),
        ('start: "x" | a\na: "y" a', {("a", "unproductive")}),
        (
            'start: "x" | a\na: b | "z"\nb: a',
            {("a", "cyclic"), ("b", "cyclic"), ("a", "left-recursive"), ("b", "left-recursive")},
        ),
        ('start: start "+" start | "1"', {("start", "ambiguous"), ("start", "left-recursive")}),
        ('start: s\ns: "if" s | "if" s "else" s | "x"', {("s", "ambiguous")}),
        ('start: "a"? "a"?', {("start", "ambiguous")}),
        ('start: ("a"*)*', {("start", "cyclic")}),
        (
            'start: start "," X | X\nX: "x"\nY: "y"\nZ: Y',
            {("start", "left-recursive"), ("Y", "unused"), ("Z", "unused")},
        ),
        ('start: list\nlist: item ("," item)*\nitem: "a"~2..5 | "(" list ")"\nother: "q"', {("other", "unused")}),
        ('start: "x"\n%ignore W\nW: V+\nV: " "', set()),
    ],
)
def test_each_kind_is_found(text, expected):
    assert findings(text) == expected


def test_the_rules_of_the_bundled_grammar_are_clean():
    assert {f.keyword for f in constrain.lark(library="lark").report_rows()} <= {"ambiguous"}


def trees(cfg, n: int, sentence: tuple) -> int:
    """The number of trees of a nonterminal over a sentence, without those that repeat a nonterminal on one span; slowly."""

    def of(symbols, i, j, open_):
        if not symbols:
            return i == j
        first, rest = symbols[0], symbols[1:]
        if first.terminal:
            return i < j and sentence[i] == first and of(rest, i + 1, j, open_)
        total = 0
        for k in range(i, j + 1):
            if (first.index, i, k) not in open_:
                ways = [b for h, b in cfg.rules if h == first.index]
                inside = {*open_, (first.index, i, k)}
                here = sum(of(b, i, k, inside) for b in dict.fromkeys(ways))
                total += here * of(rest, k, j, open_) if here else 0
        return total

    return sum(
        of(b, 0, len(sentence), {(n, 0, len(sentence))}) for b in dict.fromkeys(b for h, b in cfg.rules if h == n)
    )


def test_ambiguous_sentences_have_two_trees():
    judged = 0
    for seed in range(120):
        rules = random_rules(random.Random(seed))
        rules.rules = list(dict.fromkeys(rules.rules))
        cfg = rules.grammar(longest=False).lowered.cfg
        cyclic = set(find_cyclic(cfg))
        for n, sentence in find_ambiguous(cfg, work=20_000):
            if cyclic or len(sentence) > 6:
                continue
            assert trees(cfg, n, sentence) >= 2, (rules, n, sentence)
            judged += 1
    assert judged > 10


def test_nullable_unproductive_and_left_recursive_by_definition():
    for seed in range(60):
        cfg = random_rules(random.Random(seed)).grammar(longest=False).lowered.cfg
        count = range(len(cfg.nonterminals))
        nullable, productive, corner = set(), set(), {(h, h) for h in ()}
        for _ in range(10):
            nullable |= {h for h, b in cfg.rules if all(not s.terminal and s.index in nullable for s in b)}
            productive |= {h for h, b in cfg.rules if all(s.terminal or s.index in productive for s in b)}
        for h, b in cfg.rules:
            for s in b:
                if s.terminal:
                    break
                corner.add((h, s.index))
                if s.index not in nullable:
                    break
        for _ in range(5):
            corner |= {(a, d) for a, b in corner for c, d in corner if b == c}
        assert [n in nullable for n in count] == find_nullable(cfg)
        assert [n for n in count if n not in productive] == find_unproductive(cfg)
        assert [n for n in count if (n, n) in corner] == find_left_recursion(cfg)


def test_check_on_the_command_line(tmp_path, capsys):
    file = tmp_path / "g.lark"
    file.write_text('start: s\ns: "if" s | "if" s "else" s | "x"\ny: "z"\n')
    assert main(["check", "--lark", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "y/unused" in shown
    assert 's/ambiguous: warning (two trees for: "if" "if"' in shown
    file.write_text("start: r\n")
    assert main(["check", "--lark", str(file)]) == 2
    assert "line 1, column 8" in capsys.readouterr().err
    file.write_text('root ::= "a"*')
    assert main(["check", "--gbnf", str(file)]) == 0
    assert main(["check", "--library", "lark"]) == 0
