"""What a sampler returns: the samples, what each stands for, and what is known of the normaliser.

Everything is in natural logs and float64. A result never hides a failure: a sampler that could not draw what was asked
for returns what it has and says why in `failure`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np

from decoders.sampling.graph import Floats
from decoders.sampling.target import Counts, Prefix
from grammars.errors import ConstrainError

Law = Literal["exact", "exact without replacement", "weighted", "asymptotic", "biased"]


NO_MASS = "the constraint has no mass under the processed model (certain)"


class SamplingError(ConstrainError):
    """A sampler ended without a faithful sample; the message says what it met. Never a fallback to masking."""


class ZeroMassError(SamplingError):
    """The processed model gives the constraint no mass at all, with certainty (truncation may have caused it)."""


class Estimate(NamedTuple):
    """Of log Z. stderr: of log_z. freedom: degrees of freedom of stderr. None: not known."""

    log_z: float | None = None
    stderr: float | None = None
    freedom: float | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """The result of one call of a sampler.

    law: "exact": independent draws from the target. "exact without replacement": each a draw from the target without
    those before it. "weighted": properly weighted, E[sum of weights f] / draws = Z E*[f]; one draw alone follows another
    law. "asymptotic": the target in the limit of steps. "biased": a proposal's own law.
    sequences: with their end tokens; draws that failed are not listed. log_weights: one each. log_prob: under the
    processed model. masses: float64[tokens] each, the log of the mass that the mask kept at each step.
    draws: how many draws the weights are averaged over, failed ones included.
    log_z: estimate, unbiased before the log. stderr: of log_z, with `freedom` degrees of freedom, fewer where few weights
    make it (None: not known). bracket: logs; certified, lower <= log Z <= upper.
    covered: certified lower bound of the target's mass on the distinct sequences.
    trace: one record a step or round, for plots.
    """

    sampler: str
    law: Law
    support: str
    sequences: tuple[Prefix, ...]
    log_weights: Floats
    log_prob: Floats
    masses: tuple[Floats, ...]
    draws: int
    log_z: float | None
    stderr: float | None
    bracket: tuple[float, float]
    covered: float
    counts: Counts
    freedom: float | None = None
    failure: str | None = None
    trace: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def exact(self) -> bool:
        return self.law in ("exact", "exact without replacement")

    @property
    def log_mass(self) -> Floats:
        """float64[n]: the sum of `masses`; the log importance weight of a masked draw."""
        return np.array([float(m.sum()) for m in self.masses])

    @property
    def weights(self) -> Floats:
        """float64[n]: normalised to sum 1; empty if there are no samples."""
        if not len(self):
            return np.zeros(0)
        w: Floats = np.exp(self.log_weights - self.log_weights.max())
        return w / w.sum()

    @property
    def ess(self) -> float:
        """Effective sample size (sum w)^2 / sum w^2, between 1 and n; 0 without samples."""
        w = self.weights
        return float(1.0 / (w @ w)) if len(w) else 0.0

    @property
    def distortion(self) -> float:
        """What plain masking would do to these texts: the weighted mean of -log_mass, in nats. 0 means nothing."""
        return float(-(self.weights @ self.log_mass)) if len(self) else 0.0

    @property
    def log_z_in_bracket(self) -> float | None:
        """log_z, or the end of the certified bracket that is nearer to it: never farther from the truth, not unbiased."""
        return None if self.log_z is None else min(max(self.log_z, self.bracket[0]), self.bracket[1])

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Logs of a confidence interval of Z: Student's around the estimate, cut to the certified bracket.

        The bracket itself where there is no standard error, or where the two do not meet. Nominal: weights that were never
        seen are in no standard error.
        """
        low, high = self.bracket
        if self.log_z is None or self.stderr is None:
            return low, high
        reach = self.stderr * student_quantile(0.5 + level / 2, self.freedom or math.inf)
        ends = self.log_z + (math.log1p(-reach) if reach < 1.0 else -math.inf), self.log_z + math.log1p(reach)
        return (max(low, ends[0]), min(high, ends[1])) if ends[0] <= high and ends[1] >= low else (low, high)

    def choose(self, rng: np.random.Generator) -> int:
        """One index drawn by weight. Raises SamplingError if there are no samples."""
        if not len(self):
            raise SamplingError(f"{self.sampler}: {self.failure or 'no sample'}")
        heights = self.weights.cumsum()
        return min(int(np.searchsorted(heights, rng.random() * heights[-1], side="right")), len(self) - 1)

    @property
    def caution(self) -> str | None:
        """What to know before the samples are used, if anything: too few that matter, or another law than it seems."""
        if self.law == "weighted" and self.covered < 0.5 and len(self):
            if len(self) < self.draws / 10:
                return f"only {len(self)} of {self.draws} draws reached the end of a text"
            if self.stderr is None and len(self) > 1:
                return "one run has no standard error"
            if self.stderr is not None and self.stderr > 0.5:
                return f"log Z is uncertain by {self.stderr:.1f}: a few weights may hide most of the target"
            if (self.stderr is None or self.stderr > 0.1) and self.ess < max(2.0, 0.1 * len(self)):
                return f"low effective sample size: {len(self)} weighted samples are worth {self.ess:.1f}"
        if self.law == "asymptotic":
            return "the target only in the limit of steps; nothing measures how far this run is from it"
        if self.law == "exact without replacement":
            return "not independent draws: no text comes twice"
        return None

    def with_counts(self, counts: Counts) -> Samples:
        """The same result with the work that led up to it."""
        return replace(self, counts=counts)

    def __str__(self) -> str:
        return self.table()

    def table(self) -> str:
        """The result as lines of text for people."""
        low, high = self.bracket
        z = "unknown" if self.log_z is None else f"{self.log_z:.4f}"
        error = (
            "" if self.stderr is None else " +- {:.4f}, 95% in [{:.4f}, {:.4f}]".format(self.stderr, *self.interval())
        )
        rows = [
            ("sampler", f"{self.sampler} ({self.law})"),
            ("support", self.support),
            ("samples", f"{len(self)} from {self.draws} draws, {len(set(self.sequences))} distinct, ESS {self.ess:.1f}"),
            ("log Z", f"{z}{error}, certified in [{low:.4f}, {high:.4f}]"),
            ("covered", f"at least {100 * self.covered:.2f}% of the target"),
            ("masking", f"would distort these texts by {self.distortion:.3f} nats"),
            ("work", f"{self.counts.model_calls} model calls, {self.counts.token_steps} token steps, "
                     f"{self.counts.mask_calls} masks, {self.counts.checks} checks"),
            ("caution", self.caution or "none"),
            ("failure", self.failure or "none"),
        ]  # fmt: skip
        return "\n".join(f"{name:<8} {value}" for name, value in rows)


def log_mean(log_weights: Floats, draws: int) -> Estimate:
    """Log of the mean weight over `draws` independent ones; draws without a weight count as 0."""
    if draws == 0 or not len(log_weights) or not np.isfinite(log_weights).any():
        return Estimate()
    top = log_weights.max()
    w = np.exp(log_weights - top)
    mean = w.sum() / draws
    log_z = float(top + np.log(mean))
    if draws < 2:
        return Estimate(log_z)
    steps = np.append(w - mean, np.full(draws - len(w), -mean))
    return Estimate(log_z, float(np.sqrt((steps @ steps) / (draws - 1) / draws) / mean), degrees_of_freedom(steps) - 1)


def degrees_of_freedom(steps: Floats) -> float:
    """Of the variance estimate `steps @ steps`, by its own variance (Satterthwaite 1946): the number of normal steps that
    would know it as well; 2 where one step makes all of it."""
    second, fourth = float(steps @ steps), float((steps**2) @ (steps**2))
    spread = fourth - second**2 / len(steps)
    return max(2.0, min(float(len(steps)), 2 * second**2 / spread)) if spread > 0 else float(len(steps))


def student_quantile(p: float, freedom: float) -> float:
    """Quantile of Student's distribution, p above 1/2: exact for 1 and 2 degrees of freedom, else Hill's expansion."""
    freedom = max(1.0, freedom)
    if freedom < 1.5:
        return math.tan(math.pi * (p - 0.5))
    if freedom < 2.5:
        return (2 * p - 1) / math.sqrt(2 * p * (1 - p))
    z, v = NormalDist().inv_cdf(p), freedom
    terms = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + sum(term / v ** (i + 1) for i, term in enumerate(terms))


def certified(sequences: tuple[Prefix, ...], log_mass: Floats, log_upper: float) -> tuple[tuple[float, float], float]:
    """((log lower, log upper), covered): the mass of the distinct sequences bounds Z from below, the bound from above.

    log_mass: of each sequence, under the unnormalised target.
    """
    distinct = dict(zip(sequences, log_mass.tolist(), strict=True))
    lower = float(np.logaddexp.reduce(np.array(list(distinct.values()), dtype=np.float64))) if distinct else -np.inf
    upper = max(log_upper, lower)  # a rounding error apart at most
    return (lower, upper), (float(np.exp(lower - upper)) if upper > -np.inf else 0.0)
