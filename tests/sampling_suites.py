"""The suites of `sampling_truth` as targets that samplers run on. T2 and T5 go through the regex front end."""

from __future__ import annotations

from functools import cache

import sampling_truth as truth

import constrain
from decoders.sampling.target import Target
from decoders.sampling.trie import PrefixTrie
from decoders.toy import TableAutomaton, TableModel

BITS = constrain.Vocabulary([b"0", b"1", None], [2])
DIGITS = constrain.Vocabulary([b"0", b"1", b"2", b"3", None], [4])
EVEN_ONES = "([023]*1[023]*1)*[023]*"
NO_DOUBLE_ZERO = "([123]|0[123])*0?"


@cache
def t1() -> tuple[truth.Suite, Target]:
    suite = truth.t1()
    automaton = constrain.compile(constrain.regex("00000|1[01]{4}"), BITS)
    return suite, Target(TableModel(3, suite.rule), automaton, 5)


def t2_automaton(extra: str = ".*2") -> constrain.TokenAutomaton:
    grammar = constrain.regex(NO_DOUBLE_ZERO) & constrain.regex(EVEN_ONES) & constrain.regex(".*2")
    return constrain.compile(grammar & constrain.regex(extra), DIGITS)


@cache
def t2(which: str = "a", look_ahead: bool = True, most: int = 8) -> tuple[truth.Suite, Target]:
    suite = truth.t2(truth.t2a_rule if which == "a" else truth.t2b_rule, most)
    return suite, Target(TableModel(5, suite.rule), t2_automaton(), most, look_ahead=look_ahead)


@cache
def t5() -> tuple[truth.Suite, Target]:
    suite = truth.t5()
    return suite, Target(TableModel(5, suite.rule), t2_automaton("[012]*3[012]*3[012]*3[012]*"), suite.most)


@cache
def t4(seed: int = 7) -> tuple[truth.Hidden, Target]:
    suite = truth.t4(seed)
    end = suite.table.shape[1] - 1
    return suite, Target(TableModel(end + 1, suite.rule), TableAutomaton(suite.table, suite.accepting, [end]), 30)


def fresh(target: Target) -> PrefixTrie:
    return PrefixTrie(target)
