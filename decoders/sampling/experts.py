"""A second model as a critic: products of experts p(x) p2(x)^power, and anything of the kind.

The critic of `smc` scores prefixes; a model scores a prefix by the log-probability of its tokens, so the score grows with
the text and guides the resampling on the way. The product's normaliser has no upper bound from the first model alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from decoders.sampling.graph import Floats
from decoders.sampling.target import Predictor, Prefix


class Expert:
    """critic(tokens, ended) = power times log p2(tokens); a negative power repels.

    model: a processed model of the same tokens (`ProcessedModel`, with a prompt of its own). max_bytes: of its predictions
    that are kept; beyond it they are forgotten and computed again. Cost: one call of the model for each prefix that is not
    kept, all of a `prepare` in one batch. Raises ValueError for a power that is not finite.
    """

    def __init__(self, model: Predictor, power: float = 1.0, *, max_bytes: int = 1 << 28) -> None:
        if not -1e300 < power < 1e300:
            raise ValueError(f"the power of an expert must be finite, not {power}")
        self._model, self.power, self.max_bytes = model, power, max_bytes
        self._rows: dict[Prefix, tuple[float, Floats]] = {}  # log p2 of the prefix, and of what follows it
        self._bytes = 0
        self.model_calls = 0

    def __call__(self, tokens: Prefix, ended: bool) -> float:
        return self.power * self._log_prob(tokens) if self.power else 0.0

    def prepare(self, prefixes: Sequence[Prefix]) -> None:
        """Evaluate the prefixes that are not known, in one batch; their parents should be."""
        missing = [x for x in dict.fromkeys(prefixes) if x not in self._rows]
        if not missing:
            return
        totals = [self._log_prob(x) for x in missing]
        rows = self._model.log_probs(missing)
        self.model_calls += len(missing)
        if self._bytes + rows.nbytes > self.max_bytes:
            self._rows.clear()
            self._bytes = 0
        self._bytes += rows.nbytes
        self._rows.update(zip(missing, zip(totals, rows, strict=True), strict=True))

    def _log_prob(self, tokens: Prefix) -> float:
        if not tokens:
            return 0.0
        known = len(tokens) - 1
        while known and tokens[:known] not in self._rows:
            known -= 1
        for n in range(known, len(tokens)):
            self.prepare([tokens[:n]])
        total, row = self._rows[tokens[:-1]]
        return total + float(row[tokens[-1]])
