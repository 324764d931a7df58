"""Sequential Monte Carlo: particles that grow by one token, are weighted, and are resampled when few of them matter.

    propose a ~ q(.|x), q proportional to p(a|x) v(xa)
    w *= p(a|x) psi(xa) phi(xa) / (q(a|x) psi(x) phi(x))
    if ESS < threshold n:  resample, all weights become their mean

v = psi is the twist (1 for plain masks: w *= alpha; look-ahead estimates otherwise), 1 at the end of a text. phi is the
critic: any positive score of a prefix, whose value at the end of a text multiplies the target (a product of experts);
on the way it only guides the resampling. A black-box check is met by the estimators of `awrs`.

Law: E[mean weight] = Z for every number of particles, scheme and threshold; particles are properly weighted; one draw by
weight has a bias of O(1/n). Finished particles keep their weight and take part in resampling. Plain masks know nothing of
the future, and then resampling cannot help.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from decoders.sampling.awrs import Estimator, checked_token, known_estimator
from decoders.sampling.experts import Expert
from decoders.sampling.graph import Floats
from decoders.sampling.resampling import SCHEMES, Scheme, resample
from decoders.sampling.result import NO_MASS, Samples, SamplingError, log_mean
from decoders.sampling.target import Prefix, log
from decoders.sampling.trie import Node, Path, PrefixTrie, tilt
from decoders.sampling.walks import Draw, begin, collect
from grammars.errors import ConstrainError

Twist = Callable[[Node], Floats]
"""twist(node): float64[k], logs of estimates of the futures of the allowed tokens; 0 at end tokens. -inf kills."""
Critic = Callable[[Prefix, bool], float]
"""critic(tokens so far, ended?) -> log score; -inf removes the particle."""


@dataclass(slots=True)
class Particle:
    """eve: the number of the particle of the first step that it descends from."""

    node: Node
    path: Path
    log_weight: float = 0.0
    log_p: float = 0.0
    log_twist: float = 0.0
    log_score: float = 0.0
    tokens: Prefix | None = None
    eve: int = 0

    @property
    def moving(self) -> bool:
        return self.tokens is None and self.log_weight > float("-inf")


def smc(
    trie: PrefixTrie, n: int, rng: np.random.Generator, *, runs: int = 1, twist: Twist | None = None,
    critic: Critic | None = None, threshold: float = 0.5, scheme: Scheme = "systematic",
    estimator: Estimator = "auto", max_rejects: int | None = None,
) -> Samples:  # fmt: skip
    """`runs` independent runs of n particles. threshold: resample where the effective number is below this share of n; 0 never.

    twist, critic: see their types; estimator, max_rejects: of `awrs`. The standard error of log_z comes from independent
    runs only (none for one run). With a critic, Z and log_weights are of the product; log_prob stays the model's.
    Law: weighted, E[mean weight] = Z. Cost: one model call for each prefix not seen before, of all particles of a step in one
    batch. Raises ValueError for an unknown scheme or estimator. Source: Del Moral, Doucet and Jasra 2006; for language
    models Lew, Zhi-Xuan, Grand and Mansinghka 2023, Loula et al. 2025; twists: Zhao, Brekelmans, Makhzani and Grosse 2024.
    """
    before = begin(trie, n, rng, runs=runs, max_rejects=max_rejects)
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"threshold must be a share of the particles, in [0, 1], not {threshold}")
    if scheme not in SCHEMES:
        raise ValueError(f"unknown resampling scheme {scheme!r}; one of {', '.join(SCHEMES)}")
    known_estimator(estimator)
    particles: list[Particle] = []
    estimates: list[float] = []
    trace: list[dict[str, Any]] = []
    for run in range(runs):
        done = _Run(trie, n, rng, twist, critic, threshold, scheme, estimator, max_rejects, trace, run).loop()
        particles += done
        estimates.append(_log_mean(done))
    alive = [p for p in particles if _alive(p)]
    draws = [Draw(p.tokens, p.path, p.log_p) for p in alive]
    trie.settle()
    given: dict[str, Any] = {"families": np.array([p.eve for p in alive], dtype=np.int64)}
    if critic is not None:
        given |= {"log_upper": float("inf"), "log_scores": [p.log_score for p in alive]}
    return collect(
        "smc", "weighted", trie, before, draws, log_weights=np.array([p.log_weight for p in alive]),
        count=runs * n, z=log_mean(np.array(estimates), runs), trace=tuple(trace),
        failure=None if draws else _all_died(trie, runs * n), **given,
    )  # fmt: skip


class _Run:
    def __init__(
        self, trie: PrefixTrie, n: int, rng: np.random.Generator, twist: Twist | None, critic: Critic | None,
        threshold: float, scheme: Scheme, estimator: Estimator, max_rejects: int | None, trace: list[dict[str, Any]],
        number: int,
    ) -> None:  # fmt: skip
        self.trie, self.n, self.rng, self.twist, self.critic = trie, n, rng, twist, critic
        self.threshold, self.scheme, self.estimator, self.max_rejects = threshold, scheme, estimator, max_rejects
        self.trace, self.number = trace, number
        self.particles = [Particle(trie.root, [], eve=number * n + i) for i in range(n)]

    def loop(self) -> list[Particle]:
        while any(p.moving for p in self.particles):
            moving = [p for p in self.particles if p.moving]
            for p in moving:
                self.extend(p)
            if self.critic is not None:
                self.criticise([p for p in moving if p.log_weight > float("-inf")])
            going = [p for p in moving if p.moving]
            for p, node in zip(going, self.trie.expand([p.path[-1] for p in going]), strict=True):
                p.node = node
            self.maybe_resample()
        return self.particles

    def extend(self, p: Particle) -> None:
        node = p.node
        value = np.zeros(len(node.p)) if self.twist is None else self.twist(node)
        weights = tilt(node.p, value)
        total = float(weights.sum())
        if total <= 0.0:
            p.log_weight = float("-inf")
            return
        log_total = log(total) + float(value.max())
        k, w = checked_token(self.trie, node, weights / total, self.rng, self.estimator, self.max_rejects)
        self.trie.counts.token_steps += 1
        if k is None or w <= 0.0:
            p.log_weight = float("-inf")
            return
        p.path.append((node, k))
        p.log_p += float(np.log(node.p[k]))
        # p psi(xa) / (q psi(x)) with q = p psi(xa) / total
        p.log_weight += log_total - p.log_twist + log(w)
        p.log_twist = float(value[k])
        if k >= node.ends:
            p.tokens = (*node.prefix(), int(node.tokens[k]))

    def criticise(self, particles: list[Particle]) -> None:
        """Take the critic's scores of what the particles have become into their weights."""
        assert self.critic is not None
        before = [node.prefix() for node, _ in (p.path[-1] for p in particles)]
        if isinstance(self.critic, Expert):
            self.critic.prepare(before)
        for p, prefix in zip(particles, before, strict=True):
            node, k = p.path[-1]
            score = scored(self.critic, (*prefix, int(node.tokens[k])), p.tokens is not None)
            p.log_weight += score - p.log_score
            p.log_score = score

    def maybe_resample(self) -> None:
        logs = np.array([p.log_weight for p in self.particles])
        top = logs.max()
        if not np.isfinite(top):
            return
        w = np.exp(logs - top)
        ess = float(w.sum() ** 2 / (w @ w))
        now = ess < self.threshold * self.n and any(p.moving for p in self.particles)
        mean = float(top + np.log(w.mean()))
        step = {"run": self.number, "ess": ess, "resampled": now, "log_z": mean, "weights": (w / w.sum()).tolist()}
        self.trace.append(step)
        if now:
            chosen = resample(w / w.sum(), self.rng, self.scheme)
            step["ancestors"] = chosen.tolist()
            self.particles = [
                replace(self.particles[i], path=list(self.particles[i].path), log_weight=mean) for i in chosen
            ]


def scored(critic: Critic, tokens: Prefix, ended: bool) -> float:
    """The critic's score. Raises SamplingError where it raises, or where its score is no number below infinity."""
    try:
        score = float(critic(tokens, ended))
    except ConstrainError:
        raise
    except Exception as e:
        raise SamplingError(f"the critic raised {type(e).__name__} on {tokens}, ended={ended}: {e}") from e
    if not score < float("inf"):
        raise SamplingError(f"the critic must return a log score below infinity, and returned {score} on {tokens}")
    return score


def _all_died(trie: PrefixTrie, n: int) -> str:
    return NO_MASS if trie.root.log_future == -np.inf else f"all {n} particles died before the end of a text"


def _alive(p: Particle) -> bool:
    return p.tokens is not None and p.log_weight > float("-inf")


def _log_mean(particles: list[Particle]) -> float:
    logs = np.array([p.log_weight for p in particles if _alive(p)])
    return float(np.logaddexp.reduce(logs) - np.log(len(particles))) if len(logs) else float("-inf")
