"""Ground truth of the sampling suites: enumeration and backward dynamic programming. Knows nothing of the samplers.

A suite is a next-token rule over the tokens so far, a language as a plain predicate with its own small automaton, and a
length. The suites' numbers were derived independently of this project's samplers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

Prefix = tuple[int, ...]
Rule = Callable[[Prefix], Sequence[float]]


@dataclass
class Suite:
    """rule: probabilities after a prefix. delta(state, token) -> state or None; final(state). The end token is `end`."""

    rule: Rule
    start: Any
    delta: Callable[[Any, int], Any]
    final: Callable[[Any], bool]
    tokens: int
    most: int

    @property
    def end(self) -> int:
        return self.tokens

    def _reaches(self, state: Any, r: int) -> bool:
        key = (state, r)
        if key not in self._reach:
            self._reach[key] = self.final(state) or (
                r > 0
                and any((s := self.delta(state, a)) is not None and self._reaches(s, r - 1) for a in range(self.tokens))
            )
        return self._reach[key]

    @cached_property
    def _reach(self) -> dict[tuple[Any, int], bool]:
        return {}

    @cached_property
    def texts(self) -> dict[Prefix, tuple[float, float]]:
        """Every text with its end token -> (p, product of the mass kept by length-aware masks)."""
        out: dict[Prefix, tuple[float, float]] = {}
        self.prefixes = 0

        def walk(prefix: Prefix, state: Any, p: float, kept: float) -> None:
            self.prefixes += 1
            r = self.most - len(prefix)
            row = self.rule(prefix)
            after = [
                (a, s)
                for a in range(self.tokens)
                if r > 0 and (s := self.delta(state, a)) is not None and self._reaches(s, r - 1)
            ]
            alpha = sum(row[a] for a, _ in after) + (row[self.end] if self.final(state) else 0)
            if self.final(state):
                out[(*prefix, self.end)] = (p * row[self.end], kept * alpha)
            for a, s in after:
                walk((*prefix, a), s, p * row[a], kept * alpha)

        walk((), self.start, 1, 1)
        return out

    @cached_property
    def z(self) -> float:
        return sum(p for p, _ in self.texts.values())

    @cached_property
    def plainly_masked(self) -> dict[Prefix, float]:
        """What masks that know nothing of the length give each text in time; the rest is lost at the limit."""
        out: dict[Prefix, float] = {}

        def walk(prefix: Prefix, state: Any, q: float) -> None:
            row = self.rule(prefix)
            after = [(a, s) for a in range(self.tokens) if (s := self.delta(state, a)) is not None]
            alpha = sum(row[a] for a, _ in after) + (row[self.end] if self.final(state) else 0)
            if self.final(state):
                out[(*prefix, self.end)] = q * row[self.end] / alpha
            for a, s in after:
                if len(prefix) < self.most:
                    walk((*prefix, a), s, q * row[a] / alpha)

        walk((), self.start, 1)
        return out

    @cached_property
    def target(self) -> dict[Prefix, float]:
        return {x: p / self.z for x, (p, _) in self.texts.items()}

    @cached_property
    def masked(self) -> dict[Prefix, float]:
        """The law of masked sampling."""
        return {x: p / kept for x, (p, kept) in self.texts.items()}

    def backward(self, context: Callable[[int], Any], first: Any, row: Callable[[Any], Sequence[float]]) -> float:
        """Z by dynamic programming for a rule that depends on a context, itself a function of the last token."""
        memo: dict[tuple[Any, Any, int], float] = {}

        def b(h: Any, q: Any, r: int) -> float:
            if (h, q, r) not in memo:
                p = row(h)
                total = p[self.end] if self.final(q) else 0.0
                if r > 0:
                    for a in range(self.tokens):
                        s = self.delta(q, a)
                        if s is not None:
                            total += p[a] * b(context(a), s, r - 1)
                memo[h, q, r] = total
            return memo[h, q, r]

        return b(first, self.start, self.most)


# ---------------------------------------------------------------------- T1: fair bits
def t1(lone: str = "0", length: int = 5) -> Suite:
    """`lone` repeated, and any bits after the other bit, under fair bits with a forced end after `length` tokens."""
    half = Fraction(1, 2)

    def rule(prefix: Prefix) -> list[Any]:
        return [half, half, Fraction(0)] if len(prefix) < length else [Fraction(0), Fraction(0), Fraction(1)]

    def delta(state: str, a: int) -> str | None:
        after = state + str(a)
        if len(after) > length or (after[0] == lone and set(after) != {lone}):
            return None
        return after

    return Suite(rule, "", delta, lambda s: len(s) == length, 2, length)


# ---------------------------------------------------------------------- T2: five tokens, four words
W = np.array([[((7 * i + 3 * j + i * j) % 11) + 1 for j in range(5)] for i in range(5)], dtype=np.float64)
BIGRAM = W / W.sum(axis=1, keepdims=True)


def t2a_rule(prefix: Prefix) -> list[float]:
    return BIGRAM[prefix[-1] if prefix else 4].tolist()


def t2b_rule(prefix: Prefix) -> list[float]:
    h = hashlib.sha256(repr(tuple(prefix)).encode()).digest()
    u = np.array([(256 * h[2 * k] + h[2 * k + 1] + 0.5) / 65536 for k in range(5)])
    logits = np.log(W[prefix[-1] if prefix else 4]) + 0.8 * np.log(u / (1 - u))
    e = np.exp(logits - logits.max())
    return (e / e.sum()).tolist()


def t2k_rule(prefix: Prefix) -> list[float]:
    """T2b sharpened, for a model that knows the language: what leaves it keeps 1/200 of its odds."""
    state: tuple[int, int] = (-1, 0)
    for a in prefix:
        state = t2_delta(state, a) or (a, 0)
    leaves = [t2_delta(state, a) is None for a in range(4)] + [state != (2, 0)]
    p = np.array(t2b_rule(prefix)) ** 2 * np.where(leaves, 0.005, 1.0)
    return (p / p.sum()).tolist()


def t2_delta(state: tuple[int, int], a: int) -> tuple[int, int] | None:
    """(last token, parity of 1s); no 00."""
    last, odd = state
    return None if last == 0 and a == 0 else (a, odd ^ (a == 1))


def t2(rule: Rule, most: int = 8) -> Suite:
    return Suite(rule, (-1, 0), t2_delta, lambda s: s == (2, 0), 4, most)


def t5(most: int = 24, threes: int = 3) -> Suite:
    """T2a with exactly so many 3s."""

    def delta(state: tuple[int, int, int], a: int) -> tuple[int, int, int] | None:
        after = t2_delta(state[:2], a)
        count = state[2] + (a == 3)
        return None if after is None or count > threes else (*after, count)

    return Suite(t2a_rule, (-1, 0, 0), delta, lambda s: s == (2, 0, threes), 4, most)


# ---------------------------------------------------------------------- T3: JSON under a small transformer
T3_LONGER = ['{"', '":', "true", "fals", "se", "al", '"}', ',"', '"a"', '":"', "yy", '"b":']


def t3_tokens(optional: bool = False) -> list[str]:
    """Every character of the language, and some longer pieces."""
    return [*sorted({c for text in t3_texts(optional) for c in text}), *T3_LONGER]


def t3_texts(optional: bool = False) -> list[str]:
    tail = ["", *(f',"c":{d}' for d in range(10))] if optional else [""]
    return [f'{{"a":{a},"b":"{b}"{c}}}' for a in ("true", "false") for b in ("x", "yy", "z") for c in tail]


class Transformer:
    """Next-token probabilities of a two-layer causal transformer with random weights, float64; the last id ends."""

    def __init__(self, width: int, seed: int = 0, d: int = 32, heads: int = 4, longest: int = 40) -> None:
        rng = np.random.default_rng(seed)
        scale = 1 / math.sqrt(d)
        self.heads = heads
        self.embed = rng.normal(size=(width + 1, d))  # the last row begins a text
        self.place = rng.normal(size=(longest, d)) * 0.5
        self.layers = [
            [rng.normal(size=shape) * scale for shape in ((d, d), (d, d), (d, d), (d, d), (d, 4 * d), (4 * d, d))]
            for _ in range(2)
        ]
        self.out = rng.normal(size=(d, width)) * scale * 1.5

    def rule(self, prefix: Prefix) -> np.ndarray:
        x = self.embed[[-1, *prefix]] + self.place[: len(prefix) + 1]
        n, d = x.shape
        hidden = np.triu(np.full((n, n), -np.inf), 1)
        for wq, wk, wv, wo, up, down in self.layers:
            h = _norm(x)
            q, k, v = ((h @ w).reshape(n, self.heads, -1).transpose(1, 0, 2) for w in (wq, wk, wv))
            x = (
                x
                + (_soft(q @ k.transpose(0, 2, 1) / math.sqrt(d / self.heads) + hidden) @ v)
                .transpose(1, 0, 2)
                .reshape(n, d)
                @ wo
            )
            x = x + np.maximum(_norm(x) @ up, 0) @ down
        return _soft(_norm(x)[-1] @ self.out)


def _norm(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)


def _soft(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def t3(optional: bool = False, seed: int = 0) -> Suite:
    """States are the texts so far; every spelling of a text in tokens is a sequence of its own."""
    tokens, texts = t3_tokens(optional), t3_texts(optional)
    model = Transformer(len(tokens) + 1, seed)
    begins = {t[:i] for t in texts for i in range(len(t) + 1)}
    known: dict[Prefix, np.ndarray] = {}

    def rule(prefix: Prefix) -> np.ndarray:
        if prefix not in known:
            known[prefix] = model.rule(prefix)
        return known[prefix]

    def delta(state: str, a: int) -> str | None:
        after = state + tokens[a]
        return after if after in begins else None

    return Suite(rule, "", delta, lambda s: s in texts, len(tokens), max(map(len, texts)))


# ---------------------------------------------------------------------- T4: a hidden Markov model and a random automaton
@dataclass
class Hidden:
    """A hidden Markov model with an end token (the last) and an automaton table[S, V] (-1: none), N tokens at most."""

    start: np.ndarray
    move: np.ndarray
    emit: np.ndarray
    table: np.ndarray
    accepting: list[int]
    most: int

    def rule(self, prefix: Prefix) -> np.ndarray:
        belief = self.start
        for a in prefix:
            belief = (belief * self.emit[:, a]) @ self.move
            belief = belief / belief.sum()
        return belief @ self.emit

    def z(self) -> float:
        return float(self.start @ self.backward()[-1][0])

    def backward(self) -> list[np.ndarray]:
        """[r]: float64[Q, H], the probability of a text in at most r tokens, by dynamic programming."""
        states, width = self.table.shape
        end = width - 1
        final = np.zeros(states)
        final[self.accepting] = 1.0
        b = final[:, None] * self.emit[:, end][None, :]  # [Q, H]
        base = b.copy()
        layers = [b]
        for _ in range(self.most):
            moved = b @ self.move.T  # [Q, H]: after emitting, move
            new = base.copy()
            for q in range(states):
                for a in range(end):
                    if self.table[q, a] >= 0:
                        new[q] += self.emit[:, a] * moved[self.table[q, a]]
            b = new
            layers.append(b)
        return layers


def t4(seed: int = 7, hidden: int = 8, width: int = 51, states: int = 20, most: int = 30) -> Hidden:
    rng = np.random.default_rng(seed)
    emit = rng.dirichlet(np.full(width, 0.3), size=hidden)
    emit[:, -1] = 0.06
    emit /= emit.sum(axis=1, keepdims=True)
    table = np.where(rng.random((states, width)) < 0.5, rng.integers(0, states, (states, width)), -1)
    table[np.arange(states), 0] = (np.arange(states) + 1) % states  # every state reaches every other
    return Hidden(
        rng.dirichlet(np.ones(hidden)), rng.dirichlet(np.full(hidden, 0.5), size=hidden), emit, table, [3, 11], most
    )


# ---------------------------------------------------------------------- exact laws of Markov chains
def restart_chain(suite: Suite, steps: int) -> dict[Prefix, float]:
    """The law after `steps` Metropolis-Hastings steps with masked texts as proposals, from a masked text."""
    texts = sorted(suite.texts, key=lambda x: suite.texts[x][1])
    w = np.array([float(suite.texts[x][1]) for x in texts])
    q = np.array([float(suite.masked[x]) for x in texts])
    law = q
    for _ in range(steps):
        # accept with min(1, w_new / w_old): texts are sorted by w, so both sides of the minimum are running sums
        below = np.concatenate([[0.0], (q * w).cumsum()])[:-1]
        above = q[::-1].cumsum()[::-1] - q
        arrive = q * (law.cumsum() - law) + q * w * ((law / w)[::-1].cumsum()[::-1] - law / w)
        law = law * (1 - above - below / w) + arrive
    return dict(zip(texts, law.tolist(), strict=True))


def cut_chain(
    suite: Suite, cut: Callable[[Prefix], np.ndarray], steps: int, one_cut: bool = False
) -> dict[Prefix, float]:
    """The same for chains that cut a text at a place drawn from cut(text) and finish it by masked sampling.

    one_cut: a wrong chain, which takes the way there by the place of the first difference alone, the way back by all.
    """
    texts = list(suite.texts)
    p = np.array([float(suite.texts[x][0]) for x in texts])
    q = np.array([float(suite.masked[x]) for x in texts])
    n = len(texts)
    propose, single = np.zeros((n, n)), np.zeros((n, n))
    for i, x in enumerate(texts):
        for at, share in enumerate(cut(x)):
            same = np.array([y[:at] == x[:at] for y in texts])
            part = share * np.where(same, q, 0.0) / q[same].sum()
            propose[i] += part
            last = np.array([y[:at] == x[:at] and (y == x or y[: at + 1] != x[: at + 1]) for y in texts])
            single[i] += np.where(last, part, 0.0)
    forth = single if one_cut else propose
    with np.errstate(divide="ignore", invalid="ignore"):
        accept = np.nan_to_num(np.minimum(1.0, (p[None, :] * propose.T) / (p[:, None] * forth)), nan=0.0)
    kernel = propose * accept
    np.fill_diagonal(kernel, 0.0)
    np.fill_diagonal(kernel, 1.0 - kernel.sum(axis=1))
    law = q @ np.linalg.matrix_power(kernel, steps)
    return dict(zip(texts, law.tolist(), strict=True))


# ---------------------------------------------------------------------- comparisons
def total_variation(p: dict[Any, float], q: dict[Any, float]) -> float:
    return 0.5 * sum(abs(float(p.get(k, 0)) - float(q.get(k, 0))) for k in {*p, *q})


def divergence(p: dict[Any, float], q: dict[Any, float]) -> float:
    """KL(p || q) in nats."""
    return sum(float(v) * math.log(float(v) / float(q[k])) for k, v in p.items() if v)


def frequencies(xs: Sequence[Any]) -> dict[Any, float]:
    out: dict[Any, float] = {}
    for x in xs:
        out[x] = out.get(x, 0.0) + 1.0 / len(xs)
    return out


def chi_square(p: dict[Any, float], xs: Sequence[Any], least: float = 5.0) -> float:
    """z-score (Wilson-Hilferty) of Pearson's statistic of independent draws xs, cells below `least` expected pooled.

    A draw outside the support of p counts as infinitely unlikely.
    """
    if any(x not in p for x in xs):
        return math.inf
    n = len(xs)
    counts: dict[Any, int] = {}
    for x in xs:
        counts[x] = counts.get(x, 0) + 1
    cells: list[tuple[float, int]] = []
    pool, seen = 0.0, 0
    for x, v in p.items():
        if n * float(v) >= least:
            cells.append((n * float(v), counts.get(x, 0)))
        else:
            pool += n * float(v)
            seen += counts.get(x, 0)
    if pool > 0:
        cells.append((pool, seen))
    df = len(cells) - 1
    assert df >= 1
    statistic = sum((o - e) ** 2 / e for e, o in cells)
    return ((statistic / df) ** (1 / 3) - (1 - 2 / (9 * df))) / math.sqrt(2 / (9 * df))


def features(texts: Sequence[Prefix], weights: Sequence[float], longest: int = 8) -> np.ndarray:
    """Weighted means of one-hot first token (0-3, none) and one-hot length: float64[5 + longest + 1]."""
    out = np.zeros(5 + longest + 1)
    for x, w in zip(texts, weights, strict=True):
        body = x[:-1]
        out[body[0] if body else 4] += w
        out[5 + len(body)] += w
    return out / (sum(weights) or 1.0)
