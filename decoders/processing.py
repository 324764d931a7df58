"""From raw logits to the distribution that is sampled: penalty, temperature, mask, then top-k, top-p, min-p.

The order is that of plain decoding (DESIGN, order of processing): the mask comes before truncation, so a truncation
never leaves a row without a token. `log_mass` is the log of the mass that the mask keeps, after temperature and before
truncation; 0 means that the constraint changed nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from decoders import masking


@dataclass(frozen=True, slots=True)
class Sampling:
    """temperature 0 is greedy. top_k 0, top_p 1 and min_p 0 truncate nothing; repetition_penalty 1 penalises nothing.

    Raises ValueError for values outside their range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf or self.top_k < 0 or not 0 < self.repetition_penalty < math.inf:
            raise ValueError("temperature and top_k must be >= 0 and repetition_penalty > 0, all of them finite")
        if not 0 < self.top_p <= 1 or not 0 <= self.min_p <= 1:
            raise ValueError("top_p must be in (0, 1] and min_p in [0, 1]")


@dataclass(frozen=True, slots=True)
class Processed:
    """logits: float32[n, V], -inf where not allowed or truncated; log_mass: float64[n]."""

    logits: torch.Tensor
    log_mass: torch.Tensor


def process(
    logits: torch.Tensor, rows: torch.Tensor | None, history: Sequence[Sequence[int]], how: Sampling
) -> Processed:
    """Process raw float32[n, V] logits. `rows`: int32 mask rows or None; `history`: tokens that the penalty sees."""
    scores = penalise(logits, history, how.repetition_penalty)
    if how.temperature > 0:
        scores = scores / how.temperature
    if rows is None:
        log_mass = torch.zeros(len(scores), dtype=torch.float64)
    else:
        total = torch.logsumexp(scores.double(), dim=1)
        scores = masking.apply(scores, rows)
        log_mass = (torch.logsumexp(scores.double(), dim=1) - total).cpu()
    return Processed(truncate(scores, how), log_mass)


def penalise(logits: torch.Tensor, history: Sequence[Sequence[int]], penalty: float) -> torch.Tensor:
    """Divide positive and multiply negative logits of tokens seen before by `penalty`."""
    if penalty == 1.0:
        return logits
    out = logits.clone()
    for i, tokens in enumerate(history):
        seen = torch.tensor(sorted(set(tokens)), dtype=torch.long, device=out.device)
        if len(seen):
            values = out[i, seen]
            out[i, seen] = torch.where(values > 0, values / penalty, values * penalty)
    return out


def truncate(scores: torch.Tensor, how: Sampling) -> torch.Tensor:
    """Top-k, then top-p, then min-p; each keeps at least the most likely token."""
    if how.top_k and how.top_k < scores.shape[1]:
        least = scores.topk(how.top_k, dim=1).values[:, -1:]
        scores = scores.masked_fill(scores < least, float("-inf"))
    if how.top_p < 1.0:
        ordered, index = scores.sort(dim=1, descending=True)
        before = ordered.softmax(dim=1).cumsum(dim=1) - ordered.softmax(dim=1)
        drop = torch.zeros_like(before, dtype=torch.bool).scatter(1, index, before >= how.top_p)
        scores = scores.masked_fill(drop, float("-inf"))
    if how.min_p > 0.0:
        probabilities = scores.softmax(dim=1)
        floor = how.min_p * probabilities.max(dim=1, keepdim=True).values
        scores = scores.masked_fill(probabilities < floor, float("-inf"))
    return scores


def choose(processed: torch.Tensor, how: Sampling, generators: Sequence[torch.Generator]) -> list[int]:
    """One token for each row: the most likely, or a draw with the row's own generator (independent of the batch)."""
    if how.temperature == 0:
        return [int(t) for t in processed.argmax(dim=1)]
    probabilities = processed.softmax(dim=1).cpu()
    return [int(torch.multinomial(p, 1, generator=g)) for p, g in zip(probabilities, generators, strict=True)]
