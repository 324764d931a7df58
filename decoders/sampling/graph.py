"""The states of an automaton, numbered as they are met, with the tokens that lead from one to the next.

If the whole graph fits the limits, every state knows the exact number of tokens to the nearest text, so that masks
look ahead: a token is allowed only if what is left of the budget can finish the text. Otherwise masks are plain, and a
text that reaches the budget unfinished is rejected. Either way the language is the same: texts of the automaton in at
most so many tokens; only the number of dead ends differs.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
K = TypeVar("K")
A = TypeVar("A", bound=npt.NDArray[Any])


class Automaton(Protocol):
    """The part of `TokenAutomaton` that samplers use; states are hashable, and equal states have equal futures."""

    @property
    def vocabulary(self) -> Any: ...

    @property
    def start(self) -> Any: ...

    def step(self, state: Any, token: int) -> Any: ...

    def fill(self, state: Any, row: Any, budget: int | None = None) -> bool: ...

    def accepting(self, state: Any) -> bool: ...


class Recent(Generic[K, A]):
    """Arrays by key, forgotten all at once when they come to more than max_bytes."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self._held: dict[K, A] = {}

    def get(self, key: K) -> A | None:
        return self._held.get(key)

    def put(self, key: K, array: A) -> None:
        size = 200 + array.nbytes
        if self.bytes + size > self.max_bytes:
            self._held.clear()
            self.bytes = 0
        self._held[key] = array
        self.bytes += size


class StateGraph:
    """States by number; 0 is the start. Grows as states are met; not for several threads at once.

    max_states, max_edges: limits of `explore`. max_bytes: of the masks kept for states that are not explored, which are read
    again once forgotten. Cost: one mask and one step for each allowed token of a state.
    """

    def __init__(
        self, automaton: Automaton, *, max_states: int = 20_000, max_edges: int = 500_000, max_bytes: int = 1 << 26
    ) -> None:
        self.automaton = automaton
        self.ends: Ints = np.array(automaton.vocabulary.eos_token_ids, dtype=np.int64)
        self.max_states, self.max_edges = max_states, max_edges
        self._states: list[Any] = []
        self._numbers: dict[Any, int] = {}
        self._tokens: list[Ints | None] = []  # of explored states
        self._targets: list[Ints | None] = []
        self._accepting: list[bool] = []
        self._masks: Recent[int, Ints] = Recent(max_bytes)
        self._in_time: Recent[tuple[int, int], npt.NDArray[np.bool_]] = Recent(max_bytes)
        self._edges: tuple[Ints, Ints, Ints] | None = None
        self._pairs: tuple[int, Ints, Ints, Ints] | None = None
        self._row = np.zeros((len(automaton.vocabulary) + 31) // 32, dtype=np.int32)
        self.edges = 0
        self.complete = False
        self.distance: Ints | None = None
        self.number(automaton.start)

    def __len__(self) -> int:
        return len(self._states)

    def number(self, state: Any) -> int:
        """The number of a state; new states are added."""
        known = self._numbers.get(state)
        if known is None:
            known = self._numbers[state] = len(self._states)
            self._states.append(state)
            self._tokens.append(None)
            self._targets.append(None)
            self._accepting.append(bool(self.automaton.accepting(state)))
        return known

    def accepting(self, q: int) -> bool:
        """May a text end in state q?"""
        return self._accepting[q]

    def tokens(self, q: int) -> Ints:
        """int64[k]: tokens that the plain mask of state q allows, without end tokens, ascending."""
        found = self._tokens[q]
        if found is None:
            found = self._masks.get(q)
        if found is None:
            self.automaton.fill(self._states[q], self._row)
            bits = np.unpackbits(self._row.view(np.uint8), bitorder="little")
            bits = bits[: len(self.automaton.vocabulary)]
            bits[self.ends] = 0
            found = np.flatnonzero(bits).astype(np.int64)
            self._masks.put(q, found)
        return found

    def step(self, q: int, token: int) -> int:
        """The state after an allowed token that ends nothing."""
        return self.number(self.automaton.step(self._states[q], token))

    def targets(self, q: int) -> Ints | None:
        """int64[k]: the states after each of `tokens(q)`, or None while q is unexplored."""
        return self._targets[q]

    def explore_state(self, q: int) -> Ints:
        """int64[k]: the states after each of `tokens(q)`. Cost: one step for each token, once."""
        found = self._targets[q]
        if found is None:
            state, step = self._states[q], self.automaton.step
            tokens = self.tokens(q)
            found = np.array([self.number(step(state, t)) for t in tokens.tolist()], dtype=np.int64)
            self._targets[q], self._tokens[q] = found, tokens
            self.edges += len(tokens)
            self._edges = self._pairs = None
        return found

    def explore(self, first: list[int] | None = None) -> bool:
        """Explore breadth first, the states of `first` before all others, until done or a limit is met."""
        for q in first or []:
            if self.edges < self.max_edges:
                self.explore_state(q)
        q = 0
        while q < len(self) and len(self) <= self.max_states and self.edges <= self.max_edges:
            self.explore_state(q)
            q += 1
        self.complete = q == len(self)
        if self.complete and self.distance is None:
            self.distance = self._distances()
        return self.complete

    def edge_list(self) -> tuple[Ints, Ints, Ints]:
        """(source, token, target) of every explored edge, int64[E] each, ordered by source. Kept until more is explored."""
        if self._edges is None:
            self._edges = self._all_edges()
        return self._edges

    def pairs(self, width: int) -> tuple[Ints, Ints, Ints]:
        """(source, target, which): int64[P] twice, the distinct pairs of states that edges of tokens below `width` join, and
        int64[E'], the pair of each of these edges in their order. Ordered by source; kept until more is explored.
        """
        if self._pairs is None or self._pairs[0] != width:
            source, token, target = self.edge_list()
            inside = token < width
            pairs, which = np.unique(source[inside] * len(self) + target[inside], return_inverse=True)
            self._pairs = width, pairs // len(self), pairs % len(self), which
        return self._pairs[1:]

    def _all_edges(self) -> tuple[Ints, Ints, Ints]:
        known = [q for q in range(len(self)) if self._targets[q] is not None]
        sources = [np.full(len(self.tokens(q)), q, dtype=np.int64) for q in known]
        empty = np.empty(0, dtype=np.int64)
        return (
            np.concatenate([empty, *sources]),
            np.concatenate([empty, *(self.tokens(q) for q in known)]),
            np.concatenate([empty, *(self.explore_state(q) for q in known)]),
        )

    def allowed(self, q: int, remaining: int) -> Ints:
        """int64[k]: tokens allowed with `remaining` tokens left before the end token; end tokens come last."""
        tokens = self.tokens(q)
        if remaining <= 0:
            tokens = tokens[:0]
        elif self.distance is not None:
            tokens = tokens[self.distance[self.explore_state(q)] <= remaining - 1]
        return np.concatenate([tokens, self.ends]) if self._accepting[q] else tokens

    def in_time(self, q: int, remaining: int) -> npt.NDArray[np.bool_]:
        """bool[k]: for which of `tokens(q)` the automaton knows a text that ends within `remaining` tokens.

        A hint for proposals, never a mask: where distances are only bounds, other tokens may end in time as well.
        """
        found = self._in_time.get((q, remaining))
        if found is None:
            self.automaton.fill(self._states[q], self._row, remaining)
            bits = np.unpackbits(self._row.view(np.uint8), bitorder="little")
            found = bits[self.tokens(q)].astype(bool)
            self._in_time.put((q, remaining), found)
        return found

    def _distances(self) -> Ints:
        source, _, target = self.edge_list()
        far = np.iinfo(np.int64).max // 2
        distance = np.where(self._accepting, 0, far).astype(np.int64)
        pairs = np.unique(source * len(self) + target)
        source, target = np.divmod(pairs, len(self))
        while True:
            after = distance.copy()
            np.minimum.at(after, source, distance[target] + 1)
            if np.array_equal(after, distance):
                return distance
            distance = after
