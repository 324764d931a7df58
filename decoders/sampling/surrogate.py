"""A cheap model of the future, learnt from the predictions already paid for, and its exact look-ahead.

    psi(h, q, r) = u(end | h, q) [q accepts] + sum over a of u(a | h, q) psi(a, q.a, r - 1)

is the probability under the surrogate u that a text at automaton state q, after last token h, with r tokens left, ends in
the language: backward dynamic programming over the state graph. u is a mean of the model's predictions at the nodes of
the trie, by context and shrunk towards the wider context by how much predictions vary within and between contexts
(empirical Bayes): all nodes, then by last token (small vocabularies only), then by automaton state.

The model's future depends on the whole prefix, so psi is never a bound and never used without weights. It is positive
wherever the future may be: every token keeps a floor of mass.
"""

from __future__ import annotations

import numpy as np

from decoders.sampling.graph import Floats, Ints, StateGraph
from decoders.sampling.trie import Group, Node, PrefixTrie, Statistics


class Surrogate:
    """psi for one target, from the statistics of a trie at one time; immutable afterwards.

    floor: share of a uniform distribution mixed into u. kind: "unigram", "state" (by automaton state), or "bigram" (by
    last token; small vocabularies). Cost: max_tokens passes over the distinct edges of the explored graph, times the
    vocabulary for "bigram".
    """

    def __init__(self, trie: PrefixTrie, kind: str = "state", floor: float = 1e-3) -> None:
        graph, statistics = trie.target.graph, trie.statistics
        if kind not in ("unigram", "state", "bigram"):
            raise ValueError(f"unknown surrogate {kind!r}; 'unigram', 'state' or 'bigram'")
        if kind == "bigram" and statistics.by_last is None:
            raise ValueError(f"a bigram surrogate needs a vocabulary of at most {Statistics.small} tokens")
        self.kind, self.graph = kind, graph
        self.width = trie.target.model.vocabulary_size
        self.states = len(graph)
        source, token, target = graph.edge_list()
        inside = token < self.width
        self._source, self._token, self._target = source[inside], token[inside], target[inside]
        self._ends = graph.ends[graph.ends < self.width]
        self.psi = self._solve(self._contexts(statistics, floor), trie.target.max_tokens)

    def log_futures(self, node: Node) -> Floats:
        """float64[k] > -inf: log psi after each allowed token of the node; 0 at end tokens."""
        out = np.zeros(len(node.tokens))
        if node.ends:
            r = min(max(node.remaining - 1, 0), len(self.psi) - 1)
            tokens = node.tokens[: node.ends]
            layer = self.psi[r]
            reach = self.graph.targets(node.state)
            if reach is None or node.state >= self.states:
                out[: node.ends] = self._unknown[r]
            else:
                after = reach[np.searchsorted(self.graph.tokens(node.state), tokens)]
                known = after < self.states
                h = tokens if len(layer) > 1 else np.zeros_like(tokens)
                out[: node.ends] = np.where(known, layer[h, np.where(known, after, 0)], self._unknown[r])
        return out

    # ------------------------------------------------------------------ the surrogate's predictions
    def _contexts(self, statistics: Statistics, floor: float) -> tuple[Floats, Floats]:
        """(u of each edge: float64[H, E], mass of the end tokens: float64[H, S]); H = V for bigrams, else 1."""
        base = statistics.total / statistics.count
        rows = base[None, :]
        if self.kind == "bigram" and statistics.by_last is not None:
            rows = np.tile(base, (self.width, 1))
            kappa = shrinkage(list(statistics.by_last.values()), base)
            for h, group in statistics.by_last.items():
                if h >= 0:
                    rows[h] = _shrunk(group, base, kappa)
        rows = (1 - floor) * rows + floor / self.width
        edges = rows[:, self._token]
        ends = np.tile(rows[:, self._ends].sum(axis=1)[:, None], (1, self.states))
        if self.kind == "state":
            self._by_state(statistics, floor, edges[0], ends[0])
        accepting = np.array([self.graph.accepting(q) for q in range(self.states)])
        return edges, ends * accepting

    def _by_state(self, statistics: Statistics, floor: float, edges: Floats, ends: Floats) -> None:
        base = (1 - floor) * statistics.total / statistics.count + floor / self.width
        within = between = 0.0
        means: dict[int, tuple[Group, Floats]] = {}
        for q, group in statistics.by_state.items():
            tokens = np.concatenate([self.graph.tokens(q), self.graph.ends])
            parent = base[tokens[tokens < self.width]]
            means[q] = (group, parent)
            w, b = _spread(group, parent)
            within, between = within + w, between + b
        kappa = within / between if between > 0 else float("inf")
        starts = np.searchsorted(self._source, np.arange(self.states + 1))
        for q, (group, parent) in means.items():
            if q < self.states and starts[q + 1] > starts[q]:
                u = (1 - floor) * _shrunk(group, parent, kappa) + floor / self.width
                n = starts[q + 1] - starts[q]
                edges[starts[q] : starts[q + 1]] = u[:n]
                ends[q] = u[len(u) - len(self._ends) :].sum()
            elif q < self.states:
                ends[q] = _shrunk(group, parent, kappa)[len(parent) - len(self._ends) :].sum() + floor / self.width

    # ------------------------------------------------------------------ backward
    def _solve(self, contexts: tuple[Floats, Floats], longest: int) -> list[Floats]:
        """log psi[r]: float64[H, S]. Edges to states never explored stand for the mean of the explored ones."""
        edges, ends = contexts
        mass: Floats
        self._unknown: list[float] = []  # log of the mean
        if len(edges) == 1:
            pairs, where = np.unique(self._source * self.states + self._target, return_inverse=True)
            mass = np.bincount(where, weights=edges[0], minlength=len(pairs)).astype(np.float64)[None, :]
            source, target = pairs // max(1, self.states), pairs % max(1, self.states)
            token: Ints = np.zeros(len(target), dtype=np.int64)
        else:
            mass, source, target, token = edges, self._source, self._target, self._token
        explored = np.array([self.graph.targets(q) is not None for q in range(self.states)])
        with np.errstate(divide="ignore"):
            log_mass, log_ends = np.log(mass), np.log(ends)
        layers: list[Floats] = []
        for r in range(longest + 1):
            psi = log_ends
            if r > 0:
                psi = np.logaddexp(psi, _by_source(log_mass + layers[-1][token, target], source, self.states))
            mean = _log_mean(psi[:, explored])
            # where the graph is not complete the mask may allow what cannot end in time: keep such futures positive
            psi = np.maximum(psi, mean + np.log(1e-12))
            psi[:, ~explored] = mean
            self._unknown.append(mean)
            layers.append(psi)
        return layers


def shrinkage(groups: list[Group], base: Floats) -> float:
    """How many observations the wider context is worth: variance within groups over variance between their means."""
    spreads = [_spread(g, base) for g in groups]
    within, between = sum(w for w, _ in spreads), sum(b for _, b in spreads)
    return within / between if between > 0 else float("inf")


def _spread(group: Group, base: Floats) -> tuple[float, float]:
    """(variance within, variance between), each times the number of observations less one."""
    if group.count < 2:
        return 0.0, 0.0
    mean = group.total / group.count
    within = max(0.0, group.squares - group.count * float(mean @ mean)) / (group.count - 1)
    if within < 1e-12 * group.squares:
        within = 0.0  # rounding
    between = max(0.0, float(((mean - base) ** 2).sum()) - within / group.count)
    return within * (group.count - 1), between * (group.count - 1)


def _shrunk(group: Group, base: Floats, kappa: float) -> Floats:
    if not np.isfinite(kappa):
        return base
    return (group.total + kappa * base) / (group.count + kappa)


def _by_source(logs: Floats, source: Ints, states: int) -> Floats:
    """Logs, float64[H, E], of what is summed over the edges of each source: logs, float64[H, S]. `source` ascends."""
    out = np.full((len(logs), states), -np.inf)
    if logs.shape[1]:
        first = np.flatnonzero(np.diff(source, prepend=-1))
        top = np.maximum.reduceat(logs, first, axis=1)
        top[top == -np.inf] = 0.0
        spread = np.repeat(top, np.diff(first, append=logs.shape[1]), axis=1)
        with np.errstate(divide="ignore"):
            out[:, source[first]] = top + np.log(np.add.reduceat(np.exp(logs - spread), first, axis=1))
    return out


def _log_mean(logs: Floats) -> float:
    """Log of the mean; 0 where there is nothing to go by."""
    total = float(np.logaddexp.reduce(logs, axis=None)) if logs.size else -np.inf
    return total - float(np.log(logs.size)) if total > -np.inf else 0.0


__all__ = ["StateGraph", "Surrogate"]
