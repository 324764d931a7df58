"""Collections change nothing: an automaton that forgets at every turn beside one that never does.

Both take the same random walk of advances, rollbacks, forks and replays. At every step masks, verdicts, distances,
completions, forced bytes and explanations are equal, and their states fall into the same classes as keys of a dictionary.
Under a limit so small that it is met, what one of them refuses the other may have remembered (docs/architecture.md, Limits):
then they need not agree.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from oracles import BYTES
from oracles_cfg import random_interrupted, random_rules, random_rules_with_documents

import constrain

LETTERS = constrain.Vocabulary([b"a", b"b", b"ab", b"ba", b"aa", b"bab", b"abab", b"aabb", b"bbb", None], [9])
DIGITS = constrain.Vocabulary([*(bytes([c]) for c in b"12,[]"), b"12", b"[1", b"1]", b"],", b"11,", b"]1[", None], [11])


LIMIT = "limit"


def outcome(f: Callable[[], Any]) -> Any:
    try:
        return f()
    except constrain.LimitExceeded:
        return LIMIT


def seen(m: constrain.Matcher) -> list[Any]:
    calls: list[Callable[[], Any]] = [
        lambda: m.mask().tobytes(),
        lambda: (m.accepting, m.finished, m.ended),
        lambda: (m.distance(), m.completion(), m.forced_tokens()),
        lambda: str(m.explain()),
    ]
    return [outcome(f) for f in calls]


def agree(one: list[Any], other: list[Any]) -> bool:
    """Equal, but for what only one of them refuses."""
    return all(x == y or LIMIT in (x, y) for x, y in zip(one, other, strict=True))


@dataclass
class Side:
    """One of the two automata, its matchers, and the token sequences by the state that they led to."""

    automaton: constrain.TokenAutomaton
    matchers: list[constrain.Matcher] = field(default_factory=list)
    reached: dict[Any, set[tuple[int, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.matchers.append(self.automaton.matcher())

    def replay(self, tokens: list[int]) -> constrain.Matcher:
        m = self.automaton.matcher()
        assert all(m.advance(t) for t in tokens)
        return m


def compare(
    grammar: constrain.Grammar,
    vocabulary: constrain.Vocabulary,
    rng: random.Random,
    limits: constrain.Limits | None = None,
    steps: int = 25,
    text: list[int] | None = None,
    often: float = 0.5,
) -> int:
    """One walk; `text`: tokens that it follows in the main. Returns the number of states compared."""
    try:
        never, always = (Side(constrain.compile(grammar, vocabulary, limits)) for _ in range(2))
    except (constrain.EmptyLanguage, constrain.LimitExceeded):
        return 0
    always.automaton.memory_budget = 0
    histories: list[list[int]] = [[]]
    for _ in range(steps):
        if rng.random() < often:
            always.automaton.clear()
        i = rng.randrange(len(histories))
        sides = [(s, s.matchers[i]) for s in (never, always)]
        first, second = (seen(m) for _, m in sides)
        assert agree(first, second), (histories[i], first, second)
        for s, m in sides:
            s.reached.setdefault(m.state, set()).add(tuple(histories[i]))
        classes = [{frozenset(x) for x in s.reached.values()} for s in (never, always)]
        assert classes[0] == classes[1], (histories[i], classes)
        step = rng.random()
        if step < 0.6:
            tokens = [t for t in range(len(vocabulary)) if outcome(partial(sides[0][1].allows, t)) is True]
            token = rng.choice([*tokens, rng.randrange(len(vocabulary))])
            if text and len(histories[i]) < len(text) and rng.random() < 0.95:
                token = text[len(histories[i])]
            taken = [outcome(partial(m.advance, token)) for _, m in sides]
            assert agree(taken[:1], taken[1:])
            if taken[0] is taken[1] is True:
                histories[i] = [*histories[i], token]
                continue
            for (_, m), advanced in zip(sides, taken, strict=True):
                m.rollback(1 if advanced is True else 0)
        elif step < 0.7:
            k = rng.randint(0, min(5, len(histories[i])))
            for _, m in sides:
                m.rollback(k)
            histories[i] = histories[i][: len(histories[i]) - k]
        elif step < 0.8 and len(histories) < 4:
            for s, m in sides:
                s.matchers.append(m.fork())
            histories.append(histories[i])
        elif step < 0.9:
            for s, m in sides:
                again = s.replay(histories[i])
                assert again.state == m.state, histories[i]
                assert hash(again.state) == hash(m.state), histories[i]
        else:
            so_far = vocabulary.decode([t for t in histories[i] if vocabulary.tokens[t] is not None])
            wrong = so_far + bytes(rng.choice(b"ab12,[]:\n") for _ in range(3))
            assert agree(*([outcome(partial(s.automaton.diagnose, wrong))] for s, _ in sides)), wrong
    assert never.automaton.memory()["collections"] == 0 < always.automaton.memory()["collections"]
    return steps


@pytest.mark.parametrize(
    ("draw", "vocabulary", "seeds"),
    [(random_rules, LETTERS, 100), (random_rules_with_documents, DIGITS, 100), (random_interrupted, LETTERS, 60)],
)
def test_random_grammars(draw, vocabulary, seeds):
    judged = 0
    for seed in range(seeds):
        work = 3000 if seed % 3 == 0 else 200_000
        for longest in (True, False):
            rng = random.Random(seed)
            grammar = draw(rng).grammar(longest)
            try:
                judged += compare(grammar, vocabulary, rng, constrain.Limits(compile_work=work, mask_work=work))
            except constrain.LimitExceeded:
                judged += 1
    assert judged > 15 * seeds


PROGRAM = b"""def f(a, *b, c=[1, (2)]):
    if a and not b:
        x = {'k': f"{a!r:>{c}}", **d}  # note
        for i in range(3): yield i
    else:
\tpass
    return [y for y in x if y]


class C(f(1)):
    @f
    async def g(self) -> 'C':
        return lambda: (
    1)
"""


def byte_tokens(text: bytes) -> list[int]:
    return [BYTES.tokens.index(bytes([b])) for b in text]


def test_a_layout():
    grammar = constrain.lark(library="python_3_12")
    program = PROGRAM.replace(b"\tpass", b"        pass")
    compare(grammar, BYTES, random.Random(2), steps=450, text=byte_tokens(program), often=0.02)
    a = constrain.compile(grammar, BYTES)
    a.memory_budget = 1 << 16
    assert a.accepts(program)
    assert not a.accepts(PROGRAM)
    assert a.memory()["collections"] > 10
    assert a.diagnose(PROGRAM) == constrain.compile(grammar, BYTES).diagnose(PROGRAM)


def test_documents_that_hold_grammars():
    inner = constrain.lark('start: sum\nsum: N | sum "+" N | "(" sum ")"\nN: /[0-9]+/')
    schema = {"type": "object", "properties": {"x": {"type": "string", "format": "sum"}}, "required": ["x"]}
    record = constrain.json_schema(schema, grammars={"sum": inner})
    grammar = constrain.lark('start: ("call" @record ";")+', grammars={"record": record})
    text = byte_tokens(b'call{"x":"(1+(22))","y":[1,{"z":null}]};call{"x":"7"};')
    compare(grammar, BYTES, random.Random(3), steps=150, text=text, often=0.3)


def test_memory_is_bounded_while_texts_come_and_go():
    grammar = constrain.lark('start: x\nx: "(" [x ("," x)*] ")" | NAME "=" x\nNAME: /[a-z]+/')
    a = constrain.compile(grammar, BYTES)
    a.memory_budget = budget = 1 << 18
    rng, most = random.Random(4), 0

    def text(depth: int) -> bytes:
        if depth == 0 or rng.random() < 0.1:
            return b"()"
        parts = [text(depth - 1) for _ in range(rng.randint(1, 3))]
        return b"(" + b",".join(parts) + b")" if rng.random() < 0.7 else b"ab=" + parts[0]

    kept = a.matcher()
    for b in byte_tokens(b"(ab=("):
        kept.advance(b)
    state, before = kept.state, (hash(kept.state), seen(kept))
    for _ in range(100):
        m = a.matcher()
        for t in byte_tokens(text(8)):
            assert m.advance(t)
        assert m.accepting
        most = max(most, a.memory()["rules"])
        del m
    assert a.memory()["collections"] > 2
    assert most < 3 * budget, most
    assert (hash(state), seen(kept)) == before
    assert state == kept.state
    assert state in {kept.state}
    a.clear()
    gc.collect()
    assert a.memory()["rules"] < 60_000, a.memory()


def test_what_is_visible_of_it():
    a = constrain.compile(constrain.lark('start: "a" start "b" | "c"'), LETTERS_AND_C)
    assert a.memory_budget == 256 << 20
    m = a.matcher()
    m.mask()
    memory = a.memory()
    assert memory["rules"] > 0 < memory["masks"]
    assert memory["collections"] == 0
    a.clear()
    assert a.memory()["collections"] == 1
    assert a.memory()["masks"] < memory["masks"]
    with pytest.raises(ValueError, match="negative"):
        a.memory_budget = -1
    other = constrain.compile(constrain.regex("[ab]*"), LETTERS)
    other.clear()
    assert other.memory() == {"rules": 0, "masks": 0, "budget": 256 << 20, "collections": 0}


LETTERS_AND_C = constrain.Vocabulary([b"a", b"b", b"c", b"aa", b"ab", b"cb", None], [6])
