"""Deterministic automata: of a regular language by derivatives, and of an expression over symbols by positions.

A context-free grammar has no finite automaton. What shows it as automata is its *recursive transition network* (Woods, CACM
1970): one automaton for each rule, whose edges read a terminal or, by a visit to that rule's automaton, a nonterminal. Item
sets (LR, Earley) are what the parser is in, but a few rules already make hundreds of them, and none is a place in the text of
the grammar that its author would know.

Automata here are minimal: states that the same words lead from are one (Moore, 1956). Every state leads to an accepting one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from grammars.drawing.tracks import Box, Either, Loop, Track, children, fold
from grammars.errors import EmptyLanguage, LimitExceeded
from grammars.regex import charset

if TYPE_CHECKING:
    from grammars.grammar import Grammar
    from grammars.tokens.automaton import State, TokenAutomaton

Letter = TypeVar("Letter", bound=Hashable)
Range = tuple[int, int]
Step = tuple[int, int, "State"]
"""First and last letter of a range, and the state after any one of them."""
ROWS = 100  # derivatives by single bytes, for each state of the limit
POSITIONS = 20  # of an expression, for each state of the limit
WORK = 2_000  # pairs of positions, for each state of the limit


@dataclass(frozen=True, slots=True)
class Automaton(Generic[Letter]):
    """`moves`: of each state, where letters lead; 0 is the start. Without accepting states: no words at all."""

    moves: tuple[Mapping[Letter, int], ...]
    accepting: frozenset[int]

    def accepts(self, word: Iterable[Any], reads: Callable[[Letter, Any], bool] = operator.eq) -> bool:
        """Is the word in the language? ``reads(letter, x)``: does an edge with this letter read x?"""
        state: int | None = 0
        for x in word:
            if state is None:
                return False
            state = next((after for letter, after in self.moves[state].items() if reads(letter, x)), None)
        return state in self.accepting


@dataclass(frozen=True, slots=True)
class Regular:
    """letters: inclusive ranges of code points, or of bytes where some word is no UTF-8 (`unit`)."""

    automaton: Automaton[Range]
    unit: Literal["characters", "bytes"]

    def accepts(self, text: bytes) -> bool:
        try:
            word: Iterable[int] = text if self.unit == "bytes" else map(ord, text.decode())
        except UnicodeDecodeError:
            return False
        return self.automaton.accepts(word, lambda letter, x: letter[0] <= x <= letter[1])


def regular_automaton(grammar: Grammar, limit: int) -> Regular:
    """The minimal automaton of a regex, choice or literal. O(256 * derivatives); raises LimitExceeded beyond `limit` states,
    counted before those of equal languages are joined."""
    from grammars.tokens.automaton import compile_grammar
    from grammars.tokens.vocabulary import Vocabulary

    try:
        derivatives = _Derivatives(compile_grammar(grammar, Vocabulary.single_bytes()), limit)
    except EmptyLanguage:
        return Regular(Automaton(({},), frozenset()), "characters")
    try:
        return Regular(derivatives.automaton(derivatives.characters), "characters")
    except _NotText:
        return Regular(derivatives.automaton(derivatives.bytes), "bytes")


class _NotText(Exception):
    """Some word is no UTF-8."""


class _Derivatives:
    """The derivatives of a language (Brzozowski, JACM 1964), which are the states of the kernel."""

    def __init__(self, kernel: TokenAutomaton, limit: int) -> None:
        self.kernel, self.limit = kernel, limit
        self.rows: dict[State, list[Step]] = {}
        self.tails: dict[tuple[State, int], list[Step]] = {}

    def automaton(self, steps: Callable[[State], list[Step]]) -> Automaton[Range]:
        known = {self.kernel.start: 0}
        states = [self.kernel.start]
        moves: list[dict[Range, int]] = []
        for state in states:  # grows
            row: dict[Range, int] = {}
            for low, high, after in steps(state):
                if after not in known:
                    _check(len(states) + 1, self.limit)
                    known[after] = len(states)
                    states.append(after)
                row[low, high] = known[after]
            moves.append(row)
        accepting = frozenset(i for i, s in enumerate(states) if self.kernel.accepting(s))
        return minimal(Automaton(tuple(moves), accepting), _join)

    def bytes(self, state: State) -> list[Step]:
        if state not in self.rows:
            if len(self.rows) >= ROWS * self.limit:
                raise LimitExceeded(
                    len(self.rows) + 1,
                    ROWS * self.limit,
                    "derivatives by bytes of an automaton to draw (limit of to_svg)",
                )
            found = []
            for b in range(256):
                after = self.kernel.step(state, b)
                if after is not None:
                    found.append((b, b, after))
            self.rows[state] = _merged(found)
        return self.rows[state]

    def characters(self, state: State) -> list[Step]:
        """Steps by code points: those of UTF-8 (RFC 3629) put together."""
        found: list[Step] = []
        for low, high, after in self.bytes(state):
            if low < 0x80:
                found.append((low, min(high, 0x7F), after))
            for b in range(max(low, 0x80), high + 1):
                count = 1 if 0xC2 <= b < 0xE0 else 2 if 0xE0 <= b < 0xF0 else 3 if 0xF0 <= b < 0xF5 else 0
                base = (b & (0x3F >> count)) << 6 * count
                steps = [(base + x, base + y, s) for x, y, s in self.tail(after, count)] if count else []
                if not steps or steps[0][0] < (0x80, 0x800, 0x10000)[count - 1] or steps[-1][1] > charset.MAX:
                    raise _NotText
                found += steps
        if any(x <= 0xDFFF and y >= 0xD800 for x, y, _ in found):
            raise _NotText
        return _merged(found)

    def tail(self, state: State, count: int) -> list[Step]:
        """Steps by the values of `count` continuation bytes, six bits each."""
        if count == 0:
            return [(0, 0, state)]
        if (state, count) not in self.tails:
            if self.kernel.accepting(state):
                raise _NotText
            found: list[Step] = []
            for low, high, after in self.bytes(state):
                if low < 0x80 or high > 0xBF:
                    raise _NotText
                for b in range(low, high + 1):
                    base = (b & 0x3F) << 6 * (count - 1)
                    found += [(base + x, base + y, s) for x, y, s in self.tail(after, count - 1)]
            self.tails[state, count] = _merged(found)
        return self.tails[state, count]


def _merged(steps: list[Step]) -> list[Step]:
    """Ascending steps with neighbours that lead to one state joined."""
    found: list[Step] = []
    for low, high, after in steps:
        if found and found[-1][1] == low - 1 and found[-1][2] == after:
            found[-1] = (found[-1][0], high, after)
        else:
            found.append((low, high, after))
    return found


def _join(letters: list[Range]) -> tuple[Range, ...]:
    return charset.normalise(letters)


def _check(states: int, limit: int) -> None:
    if states > limit:
        raise LimitExceeded(states, limit, "states of an automaton to draw (limit of to_svg)")


# ---------------------------------------------------------------------- expressions
@dataclass(slots=True)
class _Fragment:
    """The positions at which the words of an expression begin and end, and whether one of them is empty."""

    nullable: bool
    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)


class _Positions:
    """The automaton of positions (Glushkov, 1961): position 0 is the start, the others are boxes of the expression."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.boxes: list[Box | None] = [None]
        self.follow: list[set[int]] = [set()]
        self.work = self.visits = 0

    def combine(self, track: Track, below: list[_Fragment]) -> _Fragment:
        if isinstance(track, Box):
            self.boxes.append(track)
            self.follow.append(set())
            return _Fragment(False, [len(self.boxes) - 1], [len(self.boxes) - 1])
        if isinstance(track, Either):
            firsts = [p for f in below for p in f.first]
            return _Fragment(any(f.nullable for f in below), firsts, [p for f in below for p in f.last])
        if isinstance(track, Loop):
            return self.repeated(track, below)
        return self.series(below)

    def series(self, parts: list[_Fragment]) -> _Fragment:
        out = _Fragment(True)
        for f in parts:
            self.connect(out.last, f.first)
            if out.nullable:
                out.first += f.first
            out.last = [*out.last, *f.last] if f.nullable else f.last
            out.nullable = out.nullable and f.nullable
        return out

    def repeated(self, track: Loop, copies: list[_Fragment]) -> _Fragment:
        """Copies one after the other, of which those after the first `least` may be left out; see `copies`."""
        if track.most is None:
            self.connect(copies[-1].last, copies[-1].first)
        for f in copies[track.least :]:
            f.nullable = True
        return self.series(copies)

    def connect(self, ends: list[int], starts: list[int]) -> None:
        self.work += len(ends) * len(starts)
        if self.work > WORK * self.limit:
            raise LimitExceeded(self.work, WORK * self.limit, "work on an automaton that is drawn (pairs of positions)")
        for p in ends:
            self.follow[p].update(starts)

    def copies(self, track: Track) -> tuple[Track, ...]:
        """What is below a track, as often as it is repeated."""
        count = 1
        if isinstance(track, Loop):
            count = max(track.least, 1) if track.most is None else track.most
        below = children(track)
        self.visits += 1 + count * len(below)
        if self.visits > POSITIONS * self.limit:
            raise LimitExceeded(
                self.visits, POSITIONS * self.limit, "positions of an automaton to draw (limit of to_svg)"
            )
        return below * count


def expression_automaton(track: Track, limit: int) -> Automaton[Box]:
    """The minimal automaton of an expression over its boxes; at most `limit` states before equal ones are joined."""
    positions = _Positions(limit)
    whole = fold(track, positions.combine, positions.copies)
    positions.follow[0].update(whole.first)
    ends = {*whole.last, *([0] if whole.nullable else [])}
    start = frozenset([0])
    known, states = {start: 0}, [start]
    moves: list[dict[Box, int]] = []
    for state in states:  # grows
        row: dict[Box, set[int]] = {}
        for p in sorted(state):
            for q in sorted(positions.follow[p]):
                box = positions.boxes[q]
                assert box is not None
                row.setdefault(box, set()).add(q)
        made: dict[Box, int] = {}
        for box, reached in row.items():
            after = frozenset(reached)
            if after not in known:
                _check(len(states) + 1, limit)
                known[after] = len(states)
                states.append(after)
            made[box] = known[after]
        moves.append(made)
    return minimal(Automaton(tuple(moves), frozenset(i for i, s in enumerate(states) if s & ends)))


# ---------------------------------------------------------------------- minimal automata
def minimal(a: Automaton[Letter], join: Callable[[list[Letter]], Iterable[Letter]] = list) -> Automaton[Letter]:
    """The automaton with states of equal languages joined, numbered as a walk from the start meets them.

    Every state must lead to an accepting one. `join`: letters that lead to one state in their one form. O(states * moves)
    at worst.
    """
    block = [int(i in a.accepting) for i in range(len(a.moves))]
    count = len(set(block))
    while True:
        views = [(block[i], frozenset(_by_block(row, block, join))) for i, row in enumerate(a.moves)]
        numbers = {view: n for n, view in enumerate(dict.fromkeys(views))}
        block = [numbers[v] for v in views]
        if len(numbers) == count:
            break
        count = len(numbers)
    first: dict[int, int] = {}
    for i, b in enumerate(block):
        first.setdefault(b, i)
    order, queue = {block[0]: 0}, [block[0]]
    moves: list[Mapping[Letter, int]] = []
    for b in queue:  # grows
        row: dict[Letter, int] = {}
        for letter, after in _by_block(a.moves[first[b]], block, join):
            if after not in order:
                order[after] = len(queue)
                queue.append(after)
            row[letter] = order[after]
        moves.append(row)
    return Automaton(tuple(moves), frozenset(order[b] for b in queue if first[b] in a.accepting))


def _by_block(
    row: Mapping[Letter, int], block: list[int], join: Callable[[list[Letter]], Iterable[Letter]]
) -> list[tuple[Letter, int]]:
    together: dict[int, list[Letter]] = {}
    for letter, i in row.items():
        together.setdefault(block[i], []).append(letter)
    return [(letter, b) for b, letters in together.items() for letter in join(letters)]
