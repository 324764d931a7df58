"""Exact samples by rejection, plain and learning (constrained adaptive rejection sampling, CARS).

    rejection:  draw a ~ p(.|x) token by token; give the try up at the first token that is not allowed
    cars:       at nodes known from earlier rounds draw a ~ p(a|x) bound(xa), elsewhere as above;
                after every round, accepted or not, teach the bounds all that was seen

Law: a try yields the text x with probability p(x) / bound(root), so the accepted texts are independent draws from the
target whatever was learnt. That holds because the accepted are taken in the order of the tries (never of their finish),
bounds are frozen during a round, and a mask met for the first time rejects the try and does not repair it.
Failure: long texts over many branches keep bound(root) near 1, and acceptance Z / bound(root) low; the result says so.

distinct: the same with each accepted text removed from the bounds: draws without replacement, exact in their order, and
after each of them  mass found <= Z <= mass found + bound(root).
"""

from __future__ import annotations

import math

import numpy as np

from decoders.sampling.graph import Floats
from decoders.sampling.result import Samples
from decoders.sampling.trie import PrefixTrie
from decoders.sampling.walks import Draw, adaptive, collect, run_round


def rejection(
    trie: PrefixTrie, n: int, rng: np.random.Generator, *, batch: int = 16, max_tries: int = 10_000
) -> Samples:  # fmt: skip
    """Up to n independent exact samples; at most max_tries tries. Expected tries per sample: 1 / Z."""
    return _reject("rejection", False, trie, n, rng, batch, max_tries)


def cars(
    trie: PrefixTrie, n: int, rng: np.random.Generator, *, batch: int = 1, max_tries: int = 10_000, frontier: int = 0
) -> Samples:  # fmt: skip
    """Up to n independent exact samples from a trie that learns; expected tries for the next one: bound(root) / Z.

    batch: tries that share one state of knowledge. frontier: unvisited prefixes of the largest mass to expand first.
    """
    if frontier:
        trie.expand_frontier(frontier)
    return _reject("cars", True, trie, n, rng, batch, max_tries)


def _reject(
    name: str, learning: bool, trie: PrefixTrie, n: int, rng: np.random.Generator, batch: int, max_tries: int
) -> Samples:  # fmt: skip
    before = trie.counts.copy()
    trie.round += 1  # what the trie knows already may be used from the first try on
    accepted: list[Draw] = []
    estimates: list[float] = []  # of Z, one a try: bound(root) where it was accepted
    trace: list[dict[str, float]] = []
    while len(accepted) < n and len(estimates) < max_tries:
        bound = trie.root.future if learning else 1.0
        if bound <= 0.0:
            break
        size = min(batch, max_tries - len(estimates))
        for d in run_round(trie, [adaptive(trie, learning, rng) for _ in range(size)]):
            if len(accepted) < n:
                estimates.append(bound if d.tokens is not None else 0.0)
                if d.tokens is not None:
                    accepted.append(d)
        trace.append({"tries": len(estimates), "accepted": len(accepted), "bound": bound})
    return collect(
        name, "exact", trie, before, accepted, log_weights=np.zeros(len(accepted)), count=len(estimates),
        z=_estimate(np.array(estimates), len(accepted) == n), failure=_shortfall(accepted, n, estimates, trie),
        trace=tuple(trace),
    )  # fmt: skip


def _estimate(tries: Floats, stopped_at_accept: bool) -> tuple[float | None, float | None]:
    """(log Z, standard error). Without its last try a run that stops at an acceptance is free of the stopping's bias."""
    if stopped_at_accept:
        tries = tries[:-1]
    if len(tries) < 2 or not tries.any():
        return None, None
    mean = float(tries.mean())
    return math.log(mean), float(tries.std(ddof=1) / math.sqrt(len(tries)) / mean)


def _shortfall(accepted: list[Draw], n: int, tries: list[float], trie: PrefixTrie) -> str | None:
    if len(accepted) >= n:
        return None
    if trie.root.future <= 0.0:
        return "the constraint has no mass under the processed model (certain)"
    return f"{len(accepted)} of {n} samples accepted in {len(tries)} tries; Z is at most {trie.root.future:.3g}"


def distinct(
    trie: PrefixTrie, n: int, rng: np.random.Generator, *, batch: int = 1, max_tries: int = 100_000, frontier: int = 0
) -> Samples:  # fmt: skip
    """Up to n distinct texts, the i-th an exact draw from the target without the i-1 before it; not independent.

    log_weights are log p: the bracket and `covered` are certificates, weighted means are over the texts found.
    Ends early if the whole language was found; Z is then exact.
    """
    before = trie.counts.copy()
    if frontier:
        trie.expand_frontier(frontier)
    trie.round += 1
    found: dict[tuple[int, ...], Draw] = {}
    trace: list[dict[str, float]] = []
    tries, mass = 0, 0.0
    while len(found) < n and tries < max_tries and trie.root.future > 0.0:
        size = min(batch, max_tries - tries)
        tries += size
        for d in run_round(trie, [adaptive(trie, True, rng) for _ in range(size)]):
            # a text found earlier in the same round is refused, which leaves the law of the next one as it should be
            if d.tokens is not None and d.tokens not in found and len(found) < n:
                found[d.tokens] = d
                mass += math.exp(d.log_p)
                _set_end(trie, d, 0.0)
        trace.append({"tries": tries, "found": len(found), "lower": mass, "upper": mass + trie.root.future})
    rest = trie.root.future
    for d in found.values():
        _set_end(trie, d, 1.0)
    draws = list(found.values())
    short = None if len(draws) == n or (draws and rest <= 0.0) else _missing(draws, n, tries, rest)
    return collect(
        "distinct", "exact without replacement", trie, before, draws, log_weights=np.array([d.log_p for d in draws]),
        count=tries, z=_middle(mass, rest), upper=mass + rest, failure=short, trace=tuple(trace),
    )  # fmt: skip


def _set_end(trie: PrefixTrie, d: Draw, bound: float) -> None:
    """Remove a found text from the bounds, or put it back. A text whose nodes are not held stays in."""
    node, k = d.path[-1]
    node.bound[k] = bound
    trie.back_up(d.path)


def _middle(mass: float, rest: float) -> tuple[float | None, float | None]:
    """Z itself once nothing is left; otherwise only the bracket is known."""
    return (math.log(mass), 0.0) if mass > 0.0 and rest <= mass * 1e-15 else (None, None)


def _missing(draws: list[Draw], n: int, tries: int, rest: float) -> str:
    if rest <= 0.0:
        return "the constraint has no mass under the processed model (certain)"
    return f"{len(draws)} of {n} distinct texts found in {tries} tries; the mass not found is at most {rest:.3g}"
