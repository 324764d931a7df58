"""A second model as a critic: products of experts p(x) p2(x)^power, and anything of the kind.

The critic of `smc` scores prefixes; a model scores a prefix by the log-probability of its tokens, so the score grows with
the text and guides the resampling on the way. The product's normaliser has no upper bound from the first model alone.
"""

from __future__ import annotations

from decoders.sampling.target import Predictor, Prefix


class Expert:
    """critic(tokens, ended) = power times log p2(tokens); a negative power repels. Keeps its scores by prefix.

    Cost: one call of the model for each prefix not seen before.
    """

    def __init__(self, model: Predictor, power: float = 1.0) -> None:
        self._model, self.power = model, power
        self._scores: dict[Prefix, float] = {(): 0.0}
        self.model_calls = 0

    def __call__(self, tokens: Prefix, ended: bool) -> float:
        return self.power * self._log_prob(tokens)

    def _log_prob(self, tokens: Prefix) -> float:
        known = len(tokens)
        while tokens[:known] not in self._scores:
            known -= 1
        for n in range(known, len(tokens)):
            row = self._model.log_probs([tokens[:n]])[0]
            self.model_calls += 1
            for t, value in enumerate(row.tolist()):
                self._scores[(*tokens[:n], t)] = self._scores[tokens[:n]] + value
        return self._scores[tokens]
