"""Tiny exact models for laws that are tested by enumeration: any function of the tokens so far is a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

Rule = Callable[[tuple[int, ...]], torch.Tensor]


class FunctionModel:
    """A model given by a function from a token prefix (prompt included) to float32[V] logits. Counts its calls."""

    def __init__(self, vocabulary_size: int, rule: Rule) -> None:
        self._size, self._rule = vocabulary_size, rule
        self.calls = 0

    @property
    def vocabulary_size(self) -> int:
        return self._size

    def start(self, prompts: Sequence[Sequence[int]]) -> FunctionSession:
        return FunctionSession(self, [tuple(p) for p in prompts])

    def evaluate(self, prefix: tuple[int, ...]) -> torch.Tensor:
        self.calls += 1
        return self._rule(prefix).float()


class FunctionSession:
    def __init__(self, model: FunctionModel, rows: list[tuple[int, ...]]) -> None:
        self._model, self._rows = model, rows
        self.logits = torch.stack([model.evaluate(r) for r in rows])

    def extend(self, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        out = []
        for i, tokens in enumerate(rows):
            steps = []
            for t in tokens:
                self._rows[i] = (*self._rows[i], t)
                steps.append(self._model.evaluate(self._rows[i]))
            out.append(torch.stack(steps) if steps else torch.empty(0, self._model.vocabulary_size))
            if steps:
                self.logits[i] = steps[-1]
        return out

    def select(self, rows: Sequence[int]) -> None:
        self._rows = [self._rows[i] for i in rows]
        self.logits = self.logits[list(rows)]


def uniform(vocabulary_size: int) -> FunctionModel:
    return FunctionModel(vocabulary_size, lambda _: torch.zeros(vocabulary_size))


def bigram(vocabulary_size: int, seed: int, scale: float = 1.5) -> FunctionModel:
    """Random logits that depend on the last token alone."""
    table = scale * torch.randn(vocabulary_size, vocabulary_size, generator=torch.Generator().manual_seed(seed))
    return FunctionModel(vocabulary_size, lambda prefix: table[prefix[-1]])


class TableModel:
    """A processed model in float64 numpy: `rule` gives the probabilities of the next token after a prefix (no prompt).

    For laws of samplers that are checked by enumeration; see `decoders.sampling.target.Predictor`. Remembers its rows.
    """

    def __init__(self, vocabulary_size: int, rule: Callable[[tuple[int, ...]], Sequence[float]]) -> None:
        self._size, self._rule = vocabulary_size, rule
        self._known: dict[tuple[int, ...], npt.NDArray[np.float64]] = {}

    @property
    def vocabulary_size(self) -> int:
        return self._size

    def log_probs(self, prefixes: Sequence[tuple[int, ...]]) -> npt.NDArray[np.float64]:
        for prefix in prefixes:
            if prefix not in self._known:
                with np.errstate(divide="ignore"):
                    self._known[prefix] = np.log(np.asarray(self._rule(prefix), dtype=np.float64))
        return np.stack([self._known[p] for p in prefixes])


class TableAutomaton:
    """A deterministic automaton over tokens from a table, with the methods of a `TokenAutomaton` that samplers use.

    table: int[S, V], the state after a token or -1; state 0 is the start. accepting: states that may end. Every state of
    the table must be able to reach an accepting one. ends: ids that end a text; their columns are not read.
    """

    def __init__(self, table: npt.NDArray[np.int64], accepting: Sequence[int], ends: Sequence[int]) -> None:
        self._table, self._accepting = table, frozenset(accepting)
        self.vocabulary = _Width(table.shape[1], tuple(ends))
        self.start = 0

    def step(self, state: int, token: int) -> int | None:
        after = int(self._table[state, token])
        return None if after < 0 else after

    def fill(self, state: int, row: npt.NDArray[np.int32], budget: int | None = None) -> bool:
        allowed = self._table[state] >= 0
        allowed[list(self.vocabulary.eos_token_ids)] = state in self._accepting
        bits = np.zeros(32 * len(row), dtype=np.uint8)
        bits[: len(allowed)] = allowed
        row[:] = np.packbits(bits, bitorder="little").view(np.int32)
        return True

    def accepting(self, state: int) -> bool:
        return state in self._accepting


class _Width:
    def __init__(self, size: int, ends: tuple[int, ...]) -> None:
        self._size, self.eos_token_ids = size, ends

    def __len__(self) -> int:
        return self._size
