"""The suites of `sampling_truth` as targets that samplers run on. T2 and T5 go through the regex front end."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import sampling_truth as truth

import constrain
from decoders.sampling.result import Samples
from decoders.sampling.target import Target
from decoders.sampling.trie import PrefixTrie
from decoders.toy import TableAutomaton, TableModel

BITS = constrain.Vocabulary([b"0", b"1", None], [2])
DIGITS = constrain.Vocabulary([b"0", b"1", b"2", b"3", None], [4])
EVEN_ONES = "([023]*1[023]*1)*[023]*"
NO_DOUBLE_ZERO = "([123]|0[123])*0?"


@cache
def t1(length: int = 5) -> tuple[truth.Suite, Target]:
    suite = truth.t1(length=length)
    automaton = constrain.compile(constrain.regex(f"0{{{length}}}|1[01]{{{length - 1}}}"), BITS)
    return suite, Target(TableModel(3, suite.rule), automaton, length)


def t1_black_box() -> tuple[truth.Suite, Target]:
    """T1 with its language in a black-box check; the mask allows all bits."""
    suite, plain = t1()

    def check(tokens: truth.Prefix, ended: bool) -> bool:
        body = tokens[:-1] if ended else tokens
        return body[0] == 1 or 1 not in body

    return suite, Target(plain.model, constrain.compile(constrain.regex("[01]{5}"), BITS), 5, check)


def t2_automaton(extra: str = ".*2") -> constrain.TokenAutomaton:
    grammar = constrain.regex(NO_DOUBLE_ZERO) & constrain.regex(EVEN_ONES) & constrain.regex(".*2")
    return constrain.compile(grammar & constrain.regex(extra), DIGITS)


@cache
def t2(which: str = "a", look_ahead: bool = True, most: int = 8) -> tuple[truth.Suite, Target]:
    suite = truth.t2({"a": truth.t2a_rule, "b": truth.t2b_rule, "k": truth.t2k_rule}[which], most)
    return suite, Target(TableModel(5, suite.rule), t2_automaton(), most, look_ahead=look_ahead)


@cache
def t3(optional: bool = False) -> tuple[truth.Suite, Target]:
    """Through the JSON Schema front end."""
    suite = truth.t3(optional)
    vocabulary = constrain.Vocabulary([*(t.encode() for t in truth.t3_tokens(optional)), None], [suite.end])
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"enum": ["x", "yy", "z"]}},
              "required": ["a", "b"], "additionalProperties": False}  # fmt: skip
    if optional:
        schema["properties"]["c"] = {"enum": list(range(10))}
    grammar = constrain.json_schema(schema, order="schema", whitespace="compact", numbers="plain")
    return suite, Target(TableModel(suite.end + 1, suite.rule), constrain.compile(grammar, vocabulary), suite.most)


@cache
def t5(threes: int = 3) -> tuple[truth.Suite, Target]:
    suite = truth.t5(threes=threes)
    return suite, Target(TableModel(5, suite.rule), t2_automaton(f"([012]*3){{{threes}}}[012]*"), suite.most)


@cache
def t4(seed: int = 7) -> tuple[truth.Hidden, Target]:
    suite = truth.t4(seed)
    end = suite.table.shape[1] - 1
    return suite, Target(TableModel(end + 1, suite.rule), TableAutomaton(suite.table, suite.accepting, [end]), 30)


def t2_black_box(which: str = "b", most: int = 6) -> tuple[dict[truth.Prefix, float], Target]:
    """T2 where a check forbids 3 before 1, and exactly three 2s: invisible to the mask. The first part is p of texts."""

    def check(tokens: truth.Prefix, ended: bool) -> bool:
        return (3, 1) not in itertools.pairwise(tokens) and not (ended and tokens.count(2) == 3)

    suite, plain = t2(which, most=most)
    texts = {x: p for x, (p, _) in suite.texts.items() if check(x, True)}
    return texts, Target(plain.model, plain.automaton, most, check)


def random_suite(seed: int) -> tuple[truth.Suite, Target]:
    """A random bigram model under a random automaton with a random length."""
    rng = np.random.default_rng(seed)
    width, states, most = int(rng.integers(2, 5)), int(rng.integers(2, 5)), int(rng.integers(3, 6))
    rows = rng.dirichlet(np.full(width + 1, 0.7), size=width + 1)
    table = np.where(rng.random((states, width + 1)) < 0.7, rng.integers(0, states, (states, width + 1)), -1)
    table[np.arange(states), 0] = (np.arange(states) + 1) % states  # every state reaches every other
    final = int(rng.integers(0, states))

    def delta(state: int, a: int) -> int | None:
        return None if table[state, a] < 0 else int(table[state, a])

    def rule(prefix: truth.Prefix) -> list[float]:
        return rows[prefix[-1] if prefix else width].tolist()

    suite = truth.Suite(rule, 0, delta, lambda s: s == final, width, most + states)
    return suite, Target(TableModel(width + 1, rule), TableAutomaton(table, [final], [width]), most + states)


def worst(values: np.ndarray, wanted: np.ndarray) -> float:
    """How many standard errors the means of independent rows float64[n, F] are from what is wanted, at worst."""
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return float(np.max(np.abs(values.mean(axis=0) - wanted) / np.maximum(error, 1e-9 * np.abs(wanted) + 1e-15)))


def by_first(samples: Samples, width: int = 5) -> np.ndarray:
    """[estimate of Z, of Z times the law of the first token ...] from one result."""
    w = np.exp(samples.log_weights) / samples.draws
    firsts = np.bincount([x[0] for x in samples.sequences], weights=w, minlength=width) if len(w) else np.zeros(width)
    return np.concatenate([[w.sum()], firsts])


def wanted_by_first(masses: dict[truth.Prefix, float], width: int = 5) -> np.ndarray:
    out = np.zeros(width + 1)
    for x, p in masses.items():
        out[0] += float(p)
        out[1 + x[0]] += float(p)
    return out


def fresh(target: Target) -> PrefixTrie:
    return PrefixTrie(target)
