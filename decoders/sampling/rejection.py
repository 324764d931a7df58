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
from decoders.sampling.result import NO_MASS, Estimate, Samples, log_mean
from decoders.sampling.trie import PrefixTrie, lockstep
from decoders.sampling.walks import Draw, adaptive, begin, collect, run_round


def rejection(
    trie: PrefixTrie, n: int, rng: np.random.Generator, *, batch: int = 16, max_tries: int = 10_000
) -> Samples:  # fmt: skip
    """Up to n samples by trying and giving up; at most max_tries tries, `batch` of them in lockstep.

    Law: exact, independent. Cost: 1 / Z tries per sample in expectation, each a model call for every prefix not seen before.
    Source: von Neumann's rejection, stopped at the first token that is not allowed.
    """
    return _reject("rejection", False, trie, n, rng, batch, max_tries)


def cars(
    trie: PrefixTrie, n: int, rng: np.random.Generator, *, batch: int = 1, max_tries: int = 10_000
) -> Samples:  # fmt: skip
    """Up to n samples from a trie that learns; at most max_tries tries.

    batch: tries that share one state of knowledge. `PrefixTrie.expand_frontier` beforehand lowers the bound fastest.
    Law: exact, independent, whatever was learnt. Cost: bound(root) / Z tries for the next sample in expectation. Source:
    constrained adaptive rejection sampling (Parys et al., 2026).
    """
    return _reject("cars", True, trie, n, rng, batch, max_tries)


def _reject(
    name: str, learning: bool, trie: PrefixTrie, n: int, rng: np.random.Generator, batch: int, max_tries: int
) -> Samples:  # fmt: skip
    before = begin(trie, n, rng, batch=batch, max_tries=max_tries)
    trie.settle()  # what the trie knows already may be used from the first try on
    accepted: list[Draw] = []
    estimates: list[float] = []  # of log Z, one a try: log bound(root) where it was accepted
    trace: list[dict[str, float]] = []
    while len(accepted) < n and len(estimates) < max_tries:
        bound = trie.root.log_future if learning else 0.0
        if trie.root.log_future == -math.inf:
            break
        size = min(batch, max_tries - len(estimates))
        for d in run_round(trie, [adaptive(trie, learning, rng) for _ in range(size)]):
            if len(accepted) < n:
                estimates.append(bound if d.tokens is not None else -math.inf)
                if d.tokens is not None:
                    accepted.append(d)
        trace.append({"tries": len(estimates), "accepted": len(accepted), "log_bound": bound})
    return collect(
        name, "exact", trie, before, accepted, log_weights=np.zeros(len(accepted)), count=len(estimates),
        z=_estimate(np.array(estimates), len(accepted) == n), failure=_shortfall(accepted, n, estimates, trie),
        trace=tuple(trace),
    )  # fmt: skip


def _estimate(tries: Floats, stopped_at_accept: bool) -> Estimate:
    """Of log Z. Without its last try a run that stops at an acceptance is free of the stopping's bias."""
    if stopped_at_accept:
        tries = tries[:-1]
    return log_mean(tries[np.isfinite(tries)], len(tries)) if len(tries) > 1 else Estimate()


def _shortfall(accepted: list[Draw], n: int, tries: list[float], trie: PrefixTrie) -> str | None:
    if len(accepted) >= n:
        return None
    if trie.root.log_future == -math.inf:
        return NO_MASS
    return f"{len(accepted)} of {n} samples accepted in {len(tries)} tries; log Z is at most {trie.root.log_future:.4g}"


def distinct(
    trie: PrefixTrie, n: int, rng: np.random.Generator, *, batch: int = 1, max_tries: int = 100_000
) -> Samples:  # fmt: skip
    """Up to n distinct texts, the i-th an exact draw from the target without the i-1 before it; not independent.

    log_weights are log p: the bracket and `covered` are certificates, weighted means are over the texts found.
    Ends early if the whole language was found; Z is then exact. Law: exact without replacement. Cost: as `cars`, with the
    texts found out of the way; at most max_tries tries. Source: as `cars`, each text removed from the bounds once found.
    """
    before = begin(trie, n, rng, batch=batch, max_tries=max_tries)
    trie.settle()
    found: dict[tuple[int, ...], Draw] = {}
    trace: list[dict[str, float]] = []
    tries, mass = 0, -math.inf
    try:
        while len(found) < n and tries < max_tries and trie.root.log_future > -math.inf:
            size = min(batch, max_tries - tries)
            tries += size
            for d in lockstep(trie, [adaptive(trie, True, rng) for _ in range(size)]):
                # a text found earlier in the same round is refused: that leaves the law of the next one as it should be
                if d.tokens is not None and d.tokens not in found and len(found) < n:
                    found[d.tokens] = d
                    mass = float(np.logaddexp(mass, d.log_p))
                    trie.set_end(*d.path[-1], -math.inf)  # below a node that is not held the text stays in
            trie.settle()
            upper = float(np.logaddexp(mass, trie.root.log_future))
            trace.append({"tries": tries, "found": len(found), "log_lower": mass, "log_upper": upper})
    finally:
        rest = trie.root.log_future
        for d in found.values():
            trie.set_end(*d.path[-1], 0.0)
        trie.settle()
    draws = list(found.values())
    short = None if len(draws) == n or (draws and rest == -math.inf) else _missing(draws, n, tries, rest)
    return collect(
        "distinct", "exact without replacement", trie, before, draws, log_weights=np.array([d.log_p for d in draws]),
        count=tries, z=Estimate(mass, 0.0) if draws and rest == -math.inf else Estimate(),  # otherwise the bracket is all
        log_upper=float(np.logaddexp(mass, rest)), failure=short, trace=tuple(trace),
    )  # fmt: skip


def _missing(draws: list[Draw], n: int, tries: int, rest: float) -> str:
    if rest == -math.inf:
        return NO_MASS
    return f"{len(draws)} of {n} distinct texts found in {tries} tries; log of the mass not found is at most {rest:.4g}"
