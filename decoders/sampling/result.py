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

from decoders.sampling.graph import Floats, Ints
from decoders.sampling.target import Counts, Prefix
from grammars.errors import ConstrainError

Law = Literal["exact", "exact without replacement", "weighted", "asymptotic", "biased"]


NO_MASS = "the constraint has no mass under the processed model (certain)"


class SamplingError(ConstrainError):
    """A sampler ended without a faithful sample; the message says what it met. Never a fallback to masking."""


class ZeroMassError(SamplingError):
    """The processed model gives the constraint no mass at all, with certainty (truncation may have caused it)."""


class Evidence(NamedTuple):
    """What each draw said of Z, in their order, in logs, float64[draws] each: E[excess | past] = Z - known, excess >= 0.

    known: the mass that was known before the draw (-inf: none). excess: what the draw adds (-inf: nothing).
    """

    excess: Floats
    known: Floats


class Estimate(NamedTuple):
    """Of log Z. stderr: of log_z. freedom: degrees of freedom of stderr. skewness: third central moment of the estimate over
    the cube of its standard error. evidence: of the draws, where each speaks for Z given the past. None: not known.
    """

    log_z: float | None = None
    stderr: float | None = None
    freedom: float | None = None
    skewness: float = 0.0
    evidence: Evidence | None = None


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
    make it (None: not known), and the estimate's `skewness`. bracket: logs; certified, lower <= log Z <= upper.
    evidence: what each draw said of Z (None: the draws depend on each other, or are no estimates of Z).
    log_z_unbiased: for means over runs of one n: the mean of its exponential is Z; -inf where the estimate is 0, None where
    there is no such estimate. Other than log_z only where look-ahead has met every text, and log_z is exact.
    families: int64[n]; samples of one number are copies of one draw or grew from one (None: they are draws of their own).
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
    skewness: float = 0.0
    evidence: Evidence | None = field(default=None, repr=False)
    log_z_unbiased: float | None = None
    families: Ints | None = field(default=None, repr=False)
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
        """Effective sample size (sum w)^2 / sum w^2, between 1 and n; 0 without samples. Each of the `families` is one."""
        w = self.weights if self.families is None else np.bincount(self.families, weights=self.weights)
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
        """Logs of a confidence interval of Z, cut to the certified bracket; the bracket itself where there is no error,
        or none to be seen because all weights are equal.

        Student's quantiles with the skewness of the estimate taken out by a cubic transformation (Hall 1992), the lower end
        on the scale of Z and the upper on that of log Z, each the wider of the two. Nominal: it holds as often as it says
        for many draws, and less often for few, because weights that were never seen are in no standard error;
        `guaranteed` holds always. Cost: O(1).
        """
        low, high = self.bracket
        if self.log_z is None or self.stderr is None or self.stderr < 1e-12:  # equal weights say nothing of their error
            return low, high
        below, above = skewed_quantiles(0.5 + level / 2, self.freedom or math.inf, self.skewness)
        reach = self.stderr * below
        ends = self.log_z + (math.log1p(-reach) if reach < 1.0 else -math.inf), self.log_z + self.stderr * above
        return (max(low, ends[0]), min(high, ends[1])) if ends[0] <= high and ends[1] >= low else (low, high)

    def guaranteed(self, level: float = 0.95) -> tuple[float, float]:
        """Logs (low, high): Z >= low with probability `level` at least, whatever the weights; Z <= high for certain.

        low: the greater of the bracket's and of a bound by betting (`betting_bound`), which holds for any number of draws and
        any rule of stopping, max_model_calls included. The bracket itself where there is no `evidence`. Cost: O(draws).
        """
        low, high = self.bracket
        if self.evidence is not None and len(self.evidence.excess):
            low = max(low, min(high, betting_bound(self.evidence, 1.0 - level)))
        return low, high

    def choose(self, rng: np.random.Generator) -> int:
        """One index drawn by weight; without replacement the first, which alone is a draw from the target.

        Raises SamplingError if there are no samples.
        """
        if not len(self):
            raise SamplingError(f"{self.sampler}: {self.failure or 'no sample'}")
        if self.law == "exact without replacement":
            return 0
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
        likely = self.guaranteed()[0]
        rows = [
            ("sampler", f"{self.sampler} ({self.law})"),
            ("support", self.support),
            ("samples", f"{len(self)} from {self.draws} draws, {len(set(self.sequences))} distinct, ESS {self.ess:.1f}"),
            ("log Z", f"{z}{error}"),
            ("certain", f"log Z in [{low:.4f}, {high:.4f}], and above {likely:.4f} with probability 95% at least"),
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
    missing = np.full(draws - len(w), -np.inf)
    evidence = Evidence(np.append(log_weights, missing), np.full(draws, -np.inf))
    if draws < 2:
        return Estimate(log_z, evidence=evidence)
    steps = np.append(w - mean, np.full(draws - len(w), -mean))
    stderr = float(np.sqrt((steps @ steps) / (draws - 1) / draws) / mean)
    return Estimate(log_z, stderr, degrees_of_freedom(steps) - 1, skewness(steps), evidence)


def skewness(steps: Floats) -> float:
    """Of the sum of independent steps, or of a martingale's: their third moments add up as their variances do."""
    second = float(steps @ steps)
    return float((steps**3).sum()) / second**1.5 if second > 0.0 else 0.0


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


def skewed_quantiles(p: float, freedom: float, skewness: float) -> tuple[float, float]:
    """(below, above), in standard errors: how far an interval of level 2p - 1 reaches from a skewed estimate; p > 1/2.

    Studentised, a mean T of skewness s is far from Student's distribution; g(T) = T + s T^2 / 3 + s^2 T^3 / 27 + s / 6 is
    nearer, and has an inverse (Hall, "On the removal of skewness by transformation", 1992).
    """
    t = student_quantile(p, freedom)
    if abs(skewness) < 1e-6:
        return t, t

    def inverse(y: float) -> float:
        return 3 / skewness * (math.cbrt(1 + skewness * (y - skewness / 6)) - 1)

    return max(0.0, inverse(t)), max(0.0, -inverse(-t))


def betting_bound(evidence: Evidence, risk: float) -> float:
    """A log that lies above log Z with probability at most `risk`, for non-negative draws of any law and any stopping.

    Whoever bets on every draw's excess over what Z = z would make of it has the capital

        product over draws of  1 + b (excess / (z - known) - 1),    0 <= b <= 1

    which is a non-negative martingale if z is Z, so that it ever reaches 1 / risk with probability at most `risk` (Ville);
    the same holds of a mixture of bets b = 2^(-k/2) with shares 1 / (k (k + 1)), of which those far below 1 / draws are left
    out. It falls with z: all z where it exceeds 1 / risk are refused. (Waudby-Smith and Ramdas, "Estimating means of bounded
    random variables by betting", 2024; here without an upper bound of the draws, hence on one side only.)
    """
    excess, known = evidence
    k = np.arange(1.0, 2 * math.ceil(math.log2(len(excess) + 1)) + 6)
    bets, shares = 2.0 ** (-k / 2), -np.log(k * (k + 1))
    wanted = -math.log(risk)

    def log_capital(log_z: float) -> float:
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            left = log_z + np.log1p(-np.exp(np.minimum(known - log_z, 0.0)))
            ratio = np.where(excess == -np.inf, 0.0, np.exp(np.minimum(excess - left, 700.0)))
        gains = np.array([np.log1p(b * (ratio - 1.0)).sum() for b in bets])
        return float(np.logaddexp.reduce(gains + shares))

    sure, high = float(known.max()), float(np.logaddexp(excess, known).max())
    low = max(sure, high - 1e3)
    if high == -math.inf or log_capital(low) < wanted:
        return sure
    for _ in range(45):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if log_capital(middle) >= wanted else (low, middle)
    return low


def certified(sequences: tuple[Prefix, ...], log_mass: Floats, log_upper: float) -> tuple[tuple[float, float], float]:
    """((log lower, log upper), covered): the mass of the distinct sequences bounds Z from below, the bound from above.

    log_mass: of each sequence, under the unnormalised target.
    """
    distinct = dict(zip(sequences, log_mass.tolist(), strict=True))
    lower = float(np.logaddexp.reduce(np.array(list(distinct.values()), dtype=np.float64))) if distinct else -np.inf
    upper = max(log_upper, lower)  # a rounding error apart at most
    return (lower, upper), (float(np.exp(lower - upper)) if upper > -np.inf else 0.0)
