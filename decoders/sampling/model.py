"""A `LanguageModel` and a prompt as the processed model of a target: logits to float64 log-probabilities.

The torch boundary of the samplers. One session serves all branches: row 0 is the bare prompt, the others are the prefixes
evaluated last. A prefix is evaluated by forking the row of its longest prefix among them, so a walk that leaves the trie
computes its own tokens once and then one a step; the prompt is never computed again, and rows not asked for cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from decoders.model import LanguageModel, Session
from decoders.processing import Sampling, penalise, truncate
from decoders.sampling.graph import Floats
from decoders.sampling.target import Prefix


class ProcessedModel:
    """p of a target: penalty, temperature, truncation; no mask.

    columns: tokens appended before the session is begun afresh, which bounds the holes that rows of unequal progress leave
    in a cache. Raises ValueError for temperature 0, which has no distribution.
    """

    def __init__(
        self, model: LanguageModel, prompt: Sequence[int], how: Sampling | None = None, *, columns: int = 512
    ) -> None:
        self.how = how or Sampling()
        if self.how.temperature <= 0:
            raise ValueError("faithful sampling needs a temperature above 0; greedy decoding is the plain decoder's")
        if not len(prompt):
            raise ValueError("the prompt needs at least one token")
        self._model, self._prompt = model, tuple(prompt)
        self._columns = columns
        self._session: Session | None = None
        self._held: list[Prefix] = []
        self._used = 0

    @property
    def vocabulary_size(self) -> int:
        return self._model.vocabulary_size

    def log_probs(self, prefixes: Sequence[Prefix]) -> Floats:
        """float64[n, V]; n forward rows in one pass."""
        with torch.no_grad():
            logits = self._logits(list(prefixes))
            history = [[*self._prompt, *p] for p in prefixes]
            scores = penalise(logits, history, self.how.repetition_penalty) / self.how.temperature
            scores = truncate(scores, self.how)
            out: Floats = torch.log_softmax(scores.double(), dim=1).cpu().numpy()
        return out

    def raw_log_probs(self, sequences: Sequence[Prefix]) -> list[float]:
        """log p of sequences of one token or more under the raw model at temperature 1. Cost: one pass over all of them."""
        if not sequences:
            return []
        with torch.no_grad():
            session = self._model.start([self._prompt] * len(sequences))
            first = session.logits.clone()
            spans = [list(x[:-1]) for x in sequences]
            steps = session.extend(spans) if any(spans) else [first[:0]] * len(spans)
            out = []
            for i, (x, step) in enumerate(zip(sequences, steps, strict=True)):
                rows = torch.log_softmax(torch.cat([first[i : i + 1], step]).double(), dim=1)
                out.append(
                    float(rows[torch.arange(len(x)), torch.tensor(x, dtype=torch.long, device=rows.device)].sum())
                )
        return out

    def _logits(self, prefixes: list[Prefix]) -> torch.Tensor:
        if self._session is None or self._used > self._columns:
            self._session, self._held, self._used = self._model.start([self._prompt]), [()], 0
        known = {p: i for i, p in enumerate(self._held)}
        parents = [next(known[p[:n]] for n in range(len(p), -1, -1) if p[:n] in known) for p in prefixes]
        spans = [list(p[len(self._held[i]) :]) for p, i in zip(prefixes, parents, strict=True)]
        self._session.select([0, *parents])
        if any(spans):
            self._session.extend([[], *spans])
        self._used += max(map(len, spans))
        self._held = [(), *prefixes]
        return self._session.logits[1:].clone()
