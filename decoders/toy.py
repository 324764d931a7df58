"""Tiny exact models for laws that are tested by enumeration: any function of the tokens so far is a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
