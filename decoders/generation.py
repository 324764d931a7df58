"""The record of one generated text: what was said, how likely it was, and what the constraint did to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Generation:
    """tokens: ids without the end token. log_prob: of these tokens (and the end token, if one was drawn) under the raw
    model at temperature 1. log_mass: one entry a step, the log of the mass that the mask kept; its sum is the log
    importance weight of plain masking up to truncation. finish_reason: "stop" when the text is complete.
    forced: tokens that were the only possible spelling. model_calls: forward passes after the prompt.
    """

    text: str
    tokens: tuple[int, ...]
    log_prob: float
    log_mass: tuple[float, ...]
    finish_reason: FinishReason
    forced: int = 0
    model_calls: int = 0
    parser: Callable[[str], Any] | None = field(default=None, repr=False, compare=False)

    @property
    def parsed(self) -> Any:
        """The object that the text denotes, of the type asked for; computed at each access.

        Raises what its validator raises (a pydantic ValidationError for types whose rules a schema cannot express);
        `text` stays available.
        """
        return self.text if self.parser is None else self.parser(self.text)
