"""A hidden Markov model of a language model's predictions, fitted to the predictions themselves.

    a prediction is a mixture of emissions,        p(. | x)   ~  b(x) E          b(x): the belief about the hidden state
    whose mixing weights move on with each token,  b(x a)     ~  normalised(b(x) * E[:, a]) T

E and the beliefs come from all predictions by maximum likelihood (non-negative factorisation under the Kullback-Leibler
divergence: Hofmann 1999, Lee and Seung 2001), T from the beliefs of prefixes and of their continuations. The belief after
a prefix is read off its own prediction and not filtered from its tokens: what the language model knows of its prefix, it says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decoders.sampling.graph import Floats, Ints

STEPS = 40
"""Of expectation-maximisation, for each of the parts."""
TINY = 1e-300


@dataclass(frozen=True, slots=True)
class HiddenMarkov:
    """emit: float64[H, V] and move: float64[H, H], rows of sum 1 and positive."""

    emit: Floats
    move: Floats

    def beliefs(self, rows: Floats, steps: int = STEPS) -> Floats:
        """float64[n, H]: mixing weights of the emissions that explain predictions float64[n, V] best. Rows of sum 1."""
        b = np.full((len(rows), len(self.emit)), 1.0 / len(self.emit))
        for _ in range(steps):
            b = b * (rows / np.maximum(b @ self.emit, TINY) @ self.emit.T)
            b /= b.sum(axis=1, keepdims=True)
        return b

    def after(self, belief: Floats, tokens: Ints) -> Floats:
        """float64[k, H]: beliefs after each of int64[k] tokens, from float64[H] or one belief a token, float64[k, H]."""
        return _heard(belief, self.emit, tokens) @ self.move

    def log_prob(self, belief: Floats, tokens: list[int]) -> float:
        """Log probability of these tokens from a belief float64[H] on."""
        total = 0.0
        for t in tokens:
            total += float(np.log(belief @ self.emit[:, t]))
            belief = self.after(belief, np.array([t]))[0]
        return total


def fitted(rows: Floats, parents: Ints, tokens: Ints, floor: float, most: int = 8) -> HiddenMarkov:
    """From predictions float64[n, V]; parents: int64[n], the row of the prefix before, -1 none; tokens: what came between.

    floor: share of a uniform distribution in each emission. At most `most` hidden states, fewer for few predictions.
    Deterministic. Cost: O(n V H) a step.
    """
    hidden = max(1, min(most, round(len(rows) ** 0.5 / 2)))
    emit = 0.9 * rows[_far_apart(rows, hidden)] + 0.1 * rows.mean(axis=0)
    b = np.full((len(rows), hidden), 1.0 / hidden)
    for _ in range(STEPS):
        ratio = rows / np.maximum(b @ emit, TINY)
        emit, b = emit * (b.T @ ratio) + 1e-12, b * (ratio @ emit.T) + 1e-12
        emit /= emit.sum(axis=1, keepdims=True)
        b /= b.sum(axis=1, keepdims=True)
    emit = (1.0 - floor) * emit + floor / rows.shape[1]
    return HiddenMarkov(emit, _moves(b, emit, parents, tokens))


def _moves(b: Floats, emit: Floats, parents: Ints, tokens: Ints) -> Floats:
    """float64[H, H] by expectation-maximisation; every hidden state also moved once like the average belief."""
    child = np.flatnonzero(parents >= 0)
    mean = b.mean(axis=0)
    move = np.tile(mean, (len(mean), 1))
    if len(child):
        heard, wanted = _heard(b[parents[child]], emit, tokens[child]), b[child]
        for _ in range(STEPS):
            move = move * (heard.T @ (wanted / np.maximum(heard @ move, TINY))) + mean
            move /= move.sum(axis=1, keepdims=True)
    return move


def _heard(belief: Floats, emit: Floats, tokens: Ints) -> Floats:
    """float64[k, H]: beliefs about the state that emitted the tokens."""
    out = belief * emit[:, tokens].T
    return out / np.maximum(out.sum(axis=1, keepdims=True), TINY)


def _far_apart(rows: Floats, count: int) -> list[int]:
    """Rows each of which is farthest from those before it, in Hellinger's distance; the first is farthest from the mean."""
    roots = np.sqrt(rows)
    nearest = ((roots - np.sqrt(rows.mean(axis=0))) ** 2).sum(axis=1)
    chosen = [int(nearest.argmax())]
    nearest = np.full(len(rows), np.inf)
    while len(chosen) < count:
        nearest = np.minimum(nearest, ((roots - roots[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(nearest.argmax()))
    return chosen
