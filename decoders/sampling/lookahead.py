"""Look-ahead sampling: proposals that know the future, weights that do not trust them.

    draw a proportional to p(a|x) times  V(xa) (see `values`),  or 1,  or bound(xa);  the text's weight is p / q

Three rules, mixed (`mixture`), with shares that are learnt: values look ahead and may be wrong; masks are hard to beat
where they distort little, because their walks stay where the trie has been; bounds (1 beyond the trie) keep every weight
below bound(root) / share.

Law: properly weighted, E[weight | past] = Z, for any positive V: never exact, unbiased always.

Without replacement (the default) no model call is spent on what is known already. Every text that ends at a node of the
trie has a known probability, drawn or not: it leaves bounds and values, and draw t estimates

    mass of f on the texts known before  +  weight_t f(x_t)

whose expectation given the past is Z E*[f] as well, and which lies within [known, known + bound(root) / share]. These are
averaged with fixed coefficients that grow with t (later draws know more); every text then has one weight. When nothing is
left, Z and all expectations are exact, and replace the average. No estimate can be exact then and have the mean Z over all
runs: a run that has not met the only text of a language knows nothing of its probability, so that nothing it says can make
up for what the others say. Means over runs are of `log_z_unbiased`, which goes on averaging: the draws that were not needed
would have estimated Z without error.
Up to half of the model calls go to `probes` between the walks: what is found there needs no draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from decoders.sampling.graph import Floats
from decoders.sampling.masked import all_died
from decoders.sampling.mixture import Shares, mixed
from decoders.sampling.probes import Probes
from decoders.sampling.result import Estimate, Evidence, Samples, degrees_of_freedom, skewness
from decoders.sampling.target import Counts, Prefix, log
from decoders.sampling.trie import Node, PrefixTrie, tilt
from decoders.sampling.values import LookAhead
from decoders.sampling.walks import Draw, Rule, begin, collect, run_round

PRIOR = (0.9, 0.05, 0.05)
"""Shares of values, masks and bounds before any draw."""
GROWTH = 1.5
"""Coefficients of the draws grow with this power of the round: later draws know more."""


def lookahead(
    trie: PrefixTrie, n: int, rng: np.random.Generator, *, replacement: bool = False, kind: str = "state",
    batch: int = 1, max_model_calls: int | None = None, defence: float = 0.03,
) -> Samples:  # fmt: skip
    """n draws (fewer once nothing is left, or at max_model_calls, which biases by stopping).

    kind: of the `Surrogate`. batch: draws that share one state of knowledge. defence: least share of walks by each of the
    three rules, in (0, 1/3]; no weight is more than 1 / defence times that of masks, or than bound(root) / defence.
    Without replacement the result lists every text whose probability became known, with one weight each, so that it may
    have more texts than draws; those that became known in the last round and were not drawn weigh nothing, and count in the
    certificate. Law: weighted, E[estimate | past] = Z for each draw; exact once nothing is left. Cost: one model call for each
    prefix not seen before, half of them probes at most, and a refit of the surrogate whenever the trie has grown by half.
    Raises ValueError for an unknown kind or a defence out of range. Source: this project; its parts are named in `mixture`,
    `surrogate` and `values`.
    """
    before = begin(trie, n, rng, batch=batch, max_model_calls=max_model_calls)
    trie.settle()
    ahead, known, shares = LookAhead(trie, kind, calibrate=True), _Known(trie), Shares(np.array(PRIOR), defence)
    rules: tuple[Rule, ...] = (ahead.rule, lambda node: node.p, lambda node: tilt(node.p, node.log_bound))
    probes = Probes(trie, (rules[2], rules[0]))
    rounds: list[_Round] = []
    draws: list[Draw] = []
    trace: list[dict[str, float]] = []
    limit = math.inf if max_model_calls is None else before.model_calls + max_model_calls
    try:
        while len(draws) < n and trie.counts.model_calls < limit:
            ahead.refit_if_due()
            if not replacement:
                known.take_out(ahead, rounds)
                while (
                    probes.made < 0.5 * (trie.counts.model_calls - before.model_calls)
                    and trie.counts.model_calls < limit
                ):
                    path = probes.step()
                    if path is None:
                        break
                    ahead.learn(path)
                    known.take_out(ahead, rounds)
            if trie.root.log_future == -math.inf:
                break
            size = min(batch, n - len(draws))
            log_known = known.log_mass
            found = run_round(trie, [mixed(trie, rules, shares.now, rng) for _ in range(size)])
            rounds.append(_Round(found, log_known))
            draws += found
            for d in found:
                ahead.learn(d.path)
            shares.learn(found, trie.round - 1)
            trace.append(_step(trie, ahead, len(draws), log_known, float(shares.now[0])))
        if not replacement:
            known.take_out(ahead, rounds)
        rest = trie.root.log_future
    finally:
        known.put_back()
        ahead.revalue()
    if replacement:
        return collect("lookahead", "weighted", trie, before, draws, failure=all_died(trie, draws), trace=tuple(trace))
    return _without_replacement(trie, before, rounds, known, rest, -(-n // batch), tuple(trace))


def _step(trie: PrefixTrie, ahead: LookAhead, draws: int, log_known: float, share: float) -> dict[str, float]:
    """For plots: bounds of log Z, its value, and the share of walks that follow the values."""
    upper, value = np.logaddexp(log_known, [trie.root.log_future, ahead.log_value(trie.root)]).tolist()
    return {"draws": draws, "log_lower": log_known, "log_upper": upper, "log_value": value, "share": share}


@dataclass(slots=True)
class _Round:
    """Draws of one state of knowledge, and the log of the mass of the texts known before them."""

    draws: list[Draw]
    log_known: float


@dataclass(slots=True)
class _Known:
    """The texts whose probability the trie knows, each with the number of rounds before it was known."""

    trie: PrefixTrie
    texts: dict[Prefix, tuple[Draw, int]] = field(default_factory=dict)
    log_mass: float = -math.inf
    _seen: int = 0

    def take_out(self, ahead: LookAhead, rounds: list[_Round]) -> None:
        """Take the texts that end at nodes made since the last time out of bounds and values.

        With a black-box check only those it was asked about. Texts below nodes that are not held stay in.
        """
        nodes = self.trie.nodes[self._seen :]
        if self.trie.target.check is not None and rounds:
            nodes += {id(n): n for d in rounds[-1].draws if (n := d.path[-1][0]).held}.values()
        changed = []
        for node in nodes:
            ends = [k for k in range(node.ends, len(node.p)) if self._may_go(node, k)]
            for k in ends:
                d = _text_at(node, k)
                assert d.tokens is not None
                self.texts[d.tokens] = d, len(rounds)
                self.log_mass = float(np.logaddexp(self.log_mass, d.log_p))
                self.trie.set_end(node, k, -math.inf)
            if ends:
                changed.append(node)
        self._seen = len(self.trie.nodes)
        self.trie.settle()
        for node in changed:
            ahead.learn_above(node)

    def _may_go(self, node: Node, k: int) -> bool:
        asked = self.trie.target.check is None or node.verdict[k] == 1
        return asked and node.log_bound[k] > -math.inf

    def put_back(self) -> None:
        for d, _ in self.texts.values():
            self.trie.set_end(*d.path[-1], 0.0)
        self.trie.settle()


def _text_at(node: Node, k: int) -> Draw:
    """The text that ends with token k of the node, as a draw of log q = log p (it is certain)."""
    path = [(node, k)]
    while (above := path[-1][0]).parent is not None:
        path.append((above.parent, above.index))
    path.reverse()
    log_p = float(sum(np.log(at.p[i]) for at, i in path))
    return Draw((*node.prefix(), int(node.tokens[k])), path, log_p, log_p)


def _without_replacement(
    trie: PrefixTrie, before: Counts, rounds: list[_Round], known: _Known, rest: float, wanted: int,
    trace: tuple[dict[str, float], ...],
) -> Samples:  # fmt: skip
    """Average the draws' estimates (see the module docstring).

    rest: log bound of what is not known in the end. wanted: rounds that there would have been if texts had been left.
    """
    sizes = np.array([len(r.draws) for r in rounds], dtype=np.int64)
    each = np.repeat(np.arange(1.0, len(rounds) + 1) ** GROWTH, sizes)  # of each draw, growing with its round
    total = float(each.sum())
    each /= total or 1.0
    ends = np.concatenate([[0.0], each.cumsum()])[np.concatenate([[0], sizes.cumsum()])]  # coefficients up to a round
    exhausted = rest == -math.inf
    texts = {x: d for x, (d, _) in known.texts.items()}
    terms = {x: [d.log_p + (0.0 if exhausted else log(1.0 - float(ends[t])))] for x, (d, t) in known.texts.items()}
    draws = [d for r in rounds for d in r.draws]
    for d, c in zip(draws, each.tolist(), strict=True):
        if d.tokens is not None and not exhausted:
            texts.setdefault(d.tokens, d)
            terms.setdefault(d.tokens, []).append(math.log(c) + d.log_weight)
    log_weights = np.array([float(np.logaddexp.reduce(terms[x])) for x in texts])
    evidence = Evidence(np.array([d.log_weight for d in draws]), np.repeat([r.log_known for r in rounds], sizes))
    z = _average(each, evidence, log_weights, exhausted)
    given = {}
    if exhausted and z.log_z is not None and len(draws):
        size = len(rounds[0].draws)
        planned = each * (total / (total + size * _later(len(rounds), wanted)))
        given["log_z_unbiased"] = _averaged(planned, evidence, z.log_z)
    return collect(
        "lookahead", "weighted", trie, before, list(texts.values()), count=len(draws), log_weights=log_weights, z=z,
        failure=None if texts else all_died(trie, draws), **given,
        log_upper=float(np.logaddexp(known.log_mass, rest)), trace=trace,
    )  # fmt: skip


def _later(done: int, wanted: int) -> float:
    """Sum of the coefficients of the rounds after `done`, up to `wanted`; beyond a million rounds by the midpoint rule."""
    summed = min(wanted, done + 1_000_000)
    power = GROWTH + 1
    rest = ((wanted + 0.5) ** power - (summed + 0.5) ** power) / power
    return float((np.arange(done + 1.0, summed + 1) ** GROWTH).sum()) + rest


def _averaged(each: Floats, evidence: Evidence, log_z: float) -> float:
    """Log of the draws' mean estimate by coefficients that sum to 1 with those of the draws after them, which say log_z."""
    after = log_z + log(max(0.0, 1.0 - float(each.sum())))
    return float(np.logaddexp.reduce(np.append(np.log(each) + np.logaddexp(*evidence), after)))


def _average(each: Floats, evidence: Evidence, log_weights: Floats, exhausted: bool) -> Estimate:
    """log Z and its error. The estimates are a martingale's steps: their squares add up."""
    if not len(log_weights):
        return Estimate()
    log_z = float(np.logaddexp.reduce(log_weights))
    if exhausted:
        return Estimate(log_z, 0.0, evidence=evidence)
    if log_z == -math.inf:  # nothing but texts of the last round, which no draw has met
        return Estimate(evidence=evidence)
    steps = each * np.expm1(np.logaddexp(evidence.excess, evidence.known) - log_z)
    if len(steps) < 2:
        return Estimate(log_z, evidence=evidence)
    return Estimate(log_z, float(np.sqrt(steps @ steps)), degrees_of_freedom(steps), skewness(steps), evidence)
