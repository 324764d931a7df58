"""What a decoder needs of a language model.

A model starts a *session* on a batch of prompts and extends its rows by tokens; it keeps whatever cache it likes, so that
no prefix is computed twice. Rows may be extended by different numbers of tokens in one call (forced spans, finished
rows). Logits are raw: float32, natural log, unnormalised, before temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch


class Session(Protocol):
    """A batch of texts in progress. Belongs to one thread."""

    logits: torch.Tensor
    """float32[B, V]: after the last token of each row."""

    def extend(self, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Append ``rows[i]`` (possibly nothing) to row i in one forward pass.

        Returns float32[len(rows[i]), V] for each row: the logits after each of its new tokens. Updates `logits`.
        """
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Keep the given rows, in this order; a row may be taken more than once (forks)."""
        ...


class LanguageModel(Protocol):
    """Token ids in, raw logits out."""

    @property
    def vocabulary_size(self) -> int:
        """V: width of the logits."""
        ...

    def start(self, prompts: Sequence[Sequence[int]]) -> Session:
        """Open a session on prompts of one token or more each."""
        ...
