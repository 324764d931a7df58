"""Resampling schemes: n ancestors for n weighted particles, each with E[number of copies of i] = n w_i.

multinomial: independent; residual: the whole parts for certain, the rest multinomial; stratified: one uniform in each of n
equal strata; systematic: one uniform shared by all strata (least noise, copies of a particle differ by at most one).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from decoders.sampling.graph import Floats, Ints

Scheme = Literal["multinomial", "residual", "stratified", "systematic"]
SCHEMES: tuple[str, ...] = get_args(Scheme)


def resample(weights: Floats, rng: np.random.Generator, scheme: Scheme = "systematic") -> Ints:
    """int64[n]: ancestors. weights: float64[n], sum 1. Zero weights are never chosen. Cost: O(n log n).

    Raises ValueError for an unknown scheme. Source: Douc, Cappe and Moulines, "Comparison of resampling schemes for particle
    filtering", 2005.
    """
    n = len(weights)
    if scheme == "multinomial":
        return _invert(weights, rng.random(n))
    if scheme == "stratified":
        return _invert(weights, (np.arange(n) + rng.random(n)) / n)
    if scheme == "systematic":
        return _invert(weights, (np.arange(n) + rng.random()) / n)
    if scheme != "residual":
        raise ValueError(f"unknown resampling scheme {scheme!r}")
    whole = np.floor(n * weights + 1e-12).astype(np.int64)
    certain = np.repeat(np.arange(n, dtype=np.int64), whole)
    rest = np.maximum(n * weights - whole, 0.0)
    missing = n - len(certain)
    if missing <= 0 or rest.sum() <= 0.0:
        return certain[:n] if len(certain) >= n else np.concatenate([certain, _invert(weights, rng.random(missing))])
    return np.concatenate([certain, _invert(rest / rest.sum(), rng.random(missing))])


def _invert(weights: Floats, u: Floats) -> Ints:
    heights = weights.cumsum()
    at = np.searchsorted(heights, u * heights[-1], side="right")
    return np.minimum(at, int(np.flatnonzero(weights)[-1])).astype(np.int64)
