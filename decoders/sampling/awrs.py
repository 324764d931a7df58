"""Adaptive weighted rejection: a token that passes a black-box check, and an unbiased estimate of how many would.

Given proposal probabilities q and a check, draw (a, W) from few checks such that it is *properly weighted*,

    E[W f(a)] = sum over a that pass of  q(a) f(a)        for every f

recursive:  draw without replacement; each rejected token multiplies M by 1 - q_i (q_i renormalised to what is left);
            at the first accepted x check one token more: W = M if it passes, else M q_x
geometric:  the law of drawing with replacement until max_accepts pass or max_rejects fail, where rejected tokens are not
            checked again but counted by a geometric variable: W = min(max_accepts - 1, a) / (a + r - 1)

Rejections beyond the limit give weight 0; both stay unbiased, and the variance grows. The check is for what masks cannot
see: the exact mass under a mask costs one sum, so masks come first and the check judges what they leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, get_args

import numpy as np

from decoders.sampling.graph import Floats
from decoders.sampling.masked import all_died
from decoders.sampling.result import Samples
from decoders.sampling.target import log
from decoders.sampling.trie import Node, PrefixTrie, Walk, draw
from decoders.sampling.walks import Draw, Rule, batches, begin, collect, run_round

Accept = Callable[[int], bool]
Estimator = Literal["auto", "recursive", "geometric"]
"""auto: geometric where one token has 2/3 of the mass or more (below two checks there), recursive elsewhere."""


def recursive(q: Any, order: Iterable[int], accept: Accept, max_rejects: int | None = None) -> tuple[int | None, Any]:
    """(index, W); (None, 0) if nothing passed within max_rejects rejections.

    q: probabilities that sum to 1, of any numeric type (exact fractions stay exact). order: indices in the order of
    drawing without replacement. With one rejection left to spare the first accepted token needs no further check.
    """
    weight: Any = 1
    left: Any = 1
    draws = iter(order)
    for rejects, i in enumerate(draws):
        share = q[i] / left if q[i] < left else q[i] / q[i]
        if accept(i):
            if max_rejects is not None and rejects + 1 >= max_rejects:
                return i, weight
            following = next(draws, None)
            return i, weight if following is None or accept(following) else weight * share
        weight = weight * (1 - share)
        left = left - q[i]
        if max_rejects is not None and rejects + 1 >= max_rejects:
            break
    return None, 0


def geometric(
    q: Floats, rng: np.random.Generator, accept: Accept, max_accepts: int = 2, max_rejects: int | None = None
) -> tuple[int | None, float]:  # fmt: skip
    """(index, W); the index is the first accepted, None if none was (W = 0). Each token is checked at most once.

    q: probabilities. max_accepts: at least 2, else ValueError; more of them lower the variance of W. max_rejects: None or at
    least 1. Unbiased given q for every limit.
    """
    if max_accepts < 2:
        raise ValueError("the geometric estimator needs max_accepts >= 2")
    rest, known = q.copy(), np.zeros(len(q), dtype=bool)
    total = left = float(q.sum())
    first, accepts, rejects = None, 0, 0
    while accepts < max_accepts and (max_rejects is None or rejects < max_rejects):
        # drawing with replacement, seen from the tokens that are not known to fail: begun anew after each accepted one
        for i in gumbel_order(rest, rng):
            rejects += int(rng.geometric(min(1.0, max(left, 1e-300) / total))) - 1
            if max_rejects is not None and rejects >= max_rejects:
                rejects = max_rejects
                break
            if known[i] or accept(i):
                known[i] = True
                accepts += 1
                first = i if first is None else first
                break
            rest[i] = 0.0
            left -= float(q[i])
            rejects += 1
            if max_rejects is not None and rejects >= max_rejects:
                break
        else:
            return None, 0.0  # nothing passes
    return (first, 0.0) if first is None else (first, min(max_accepts - 1, accepts) / (accepts + rejects - 1))


def gumbel_order(q: Floats, rng: np.random.Generator, head: int = 64) -> Iterator[int]:
    """Indices in the order of drawing without replacement from q; only as many are sorted as are asked for.

    The order of independent exponential times with rates q, which is that of Gumbel keys.
    """
    positive = np.flatnonzero(q)
    times = rng.standard_exponential(len(positive)) / q[positive]
    if len(positive) > head:
        top = np.argpartition(times, head)
        for part in (top[:head], top[head:]):
            yield from positive[part[np.argsort(times[part])]].tolist()
    else:
        yield from positive[np.argsort(times)].tolist()


def known_estimator(estimator: Estimator) -> None:
    """Raises ValueError for another name."""
    if estimator not in get_args(Estimator):
        raise ValueError(f"unknown estimator {estimator!r}; one of {', '.join(get_args(Estimator))}")


def checked_token(
    trie: PrefixTrie, node: Node, q: Floats, rng: np.random.Generator, estimator: Estimator, max_rejects: int | None
) -> tuple[int | None, float]:
    """An index of the node's tokens that passes the target's check, drawn from q (sums to 1), and its W."""
    if trie.target.check is None:
        return draw(q, rng), 1.0
    if estimator == "recursive" or (estimator == "auto" and q.max() < 2 / 3):
        k, w = recursive(q, gumbel_order(q, rng), lambda i: trie.passes(node, i), max_rejects)
        return k, float(w)
    return geometric(q, rng, lambda i: trie.passes(node, i), 2, max_rejects)


def checked_walk(
    trie: PrefixTrie, rule: Rule, rng: np.random.Generator, estimator: Estimator, max_rejects: int | None
) -> Walk[Draw]:
    """A walk by the rule's weights whose every token passes the check; log_q takes in the estimates W."""
    node, out = trie.root, Draw(None, [])
    while True:
        weights = rule(node)
        total = float(weights.sum())
        if total <= 0.0:
            out.path.append((node, len(weights)))
            return out
        k, w = checked_token(trie, node, weights / total, rng, estimator, max_rejects)
        trie.counts.token_steps += 1
        out.path.append((node, len(weights) if k is None else k))
        if k is None or w <= 0.0:
            return out
        out.log_p += float(np.log(node.p[k]))
        out.log_q += float(np.log(weights[k] / total)) - log(w)
        if k >= node.ends:
            out.tokens = (*node.prefix(), int(node.tokens[k]))
            return out
        child = node.children.get(k)
        node = child if child is not None else (yield node, k)


def awrs(
    trie: PrefixTrie, n: int, rng: np.random.Generator, *, estimator: Estimator = "auto",
    max_rejects: int | None = None, batch: int = 16, rule: Rule | None = None,
) -> Samples:  # fmt: skip
    """n independent walks under mask and check. Noise of W multiplies along a text; `smc` keeps it down by resampling.

    max_rejects: rejections of one token after which the walk fails with weight 0 (None: no limit); at least 1. covered and
    bracket know nothing of what fails the check until it was met. rule: weights of the proposal that the check judges, not
    changed while it runs; default the masks. Law: weighted, E[weight] = Z. Cost: as `masked`, and some 1 /
    (mass that passes) checks a token, each place asked once per trie. Raises ValueError for an unknown estimator. Source:
    Lipkin et al., "Fast controlled generation from language models with adaptive weighted rejection sampling", 2025.
    """
    before = begin(trie, n, rng, batch=batch, max_rejects=max_rejects)
    known_estimator(estimator)
    draws: list[Draw] = []
    for size in batches(n, batch):
        walks = [checked_walk(trie, rule or (lambda node: node.p), rng, estimator, max_rejects) for _ in range(size)]
        draws += run_round(trie, walks)
    return collect("awrs", "weighted", trie, before, draws, failure=all_died(trie, draws))
