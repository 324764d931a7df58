"""A cheap model of the future, learnt from the predictions already paid for, and its exact look-ahead.

    psi(h, q, r) = u(end | h, q) [q accepts] + sum over a of u(a | h, q) psi(a, q.a, r - 1)

is the probability under the surrogate u that a text at automaton state q, after last token h, with r tokens left, ends in
the language: backward dynamic programming over the state graph. u is a mean of the model's predictions at the nodes of
the trie, by context and shrunk towards the wider context by how much predictions vary within and between contexts
(empirical Bayes): all nodes, then by last token (small vocabularies) or by automaton state. A model that was trained on
the language hardly ever leaves it, whatever the mean of its predictions says of a state never seen: so the allowed mass
of a state is scaled by how well the model was found to know the language (`_acquaintance`).

The model's future depends on the whole prefix, so psi is never a bound and never used without weights. It is positive
wherever the future may be: every token keeps a floor of mass.
"""

from __future__ import annotations

import numpy as np

from decoders.sampling.graph import Floats, Ints, StateGraph
from decoders.sampling.hidden import HiddenMarkov, fitted
from decoders.sampling.trie import Group, Node, Path, PrefixTrie, Statistics

KINDS = ("unigram", "state", "bigram", "hmm")
LATE = float(np.log(1e-4))
"""Log of the factor for futures of which no end within the length is known."""


class Surrogate:
    """psi for one target, from the statistics of a trie at one time; immutable afterwards.

    floor: share of a uniform distribution mixed into u. kind: "unigram", "state" (by automaton state), "bigram" (by last
    token) or "hmm" (by a hidden state, see `hidden`), the last two for small vocabularies. Cost: max_tokens passes over the
    distinct edges of the explored graph, times the vocabulary for "bigram" and the hidden states for "hmm".
    """

    def __init__(self, trie: PrefixTrie, kind: str = "state", floor: float = 1e-3) -> None:
        graph, statistics = trie.target.graph, trie.statistics
        if kind not in KINDS:
            raise ValueError(f"unknown surrogate {kind!r}; one of {', '.join(KINDS)}")
        if kind in ("bigram", "hmm") and statistics.by_last is None:
            raise ValueError(f"a surrogate {kind!r} needs a vocabulary of at most {Statistics.small} tokens")
        self.kind, self.graph = kind, graph
        self.width = trie.target.model.vocabulary_size
        self.states = len(graph)
        source, token, target = graph.edge_list()
        inside = token < self.width
        self._source, self._token, self._target = source[inside], token[inside], target[inside]
        self._ends = graph.ends[graph.ends < self.width]
        self.hidden: HiddenMarkov | None = None
        self._beliefs: dict[int, Floats] = {}  # of the trie's nodes by id; they live as long as the trie
        if kind == "hmm":
            self._fit_hidden(trie, floor)
        self._seen = np.array(
            [q for q in statistics.by_state if q < self.states and graph.targets(q) is not None], dtype=int
        )
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
                after = np.where(known, after, 0)
                if self.hidden is not None:
                    with np.errstate(divide="ignore"):
                        belief = np.log(self.hidden.after(self._belief(node), tokens))
                    futures = np.logaddexp.reduce(belief + layer[:, after].T, axis=1)
                else:
                    futures = layer[tokens if len(layer) > 1 else np.zeros_like(tokens), after]
                out[: node.ends] = np.where(known, futures, self._unknown[r])
            if self.graph.distance is None:  # masks do not see the length: late is possible, but hardly worth a draw
                hint = self.graph.in_time(node.state, node.remaining)
                out[: node.ends] += np.where(hint[np.searchsorted(self.graph.tokens(node.state), tokens)], 0.0, LATE)
        return out

    def at_root(self, root: Node) -> Floats:
        """float64[k]: u of the root's allowed tokens, after no token at all."""
        if self.hidden is not None:
            return self._belief(root) @ self.hidden.emit[:, root.tokens]
        return self._base[root.tokens] * (self._scale[root.state] if self.kind != "bigram" else 1.0)

    def log_prob(self, path: Path) -> float:
        """log u of a whole text, for the kinds "unigram", "bigram" and "hmm". Its states must be explored."""
        if self.hidden is not None:
            return self.hidden.log_prob(self._belief(path[0][0]), [int(node.tokens[k]) for node, k in path])
        total, last = 0.0, -1
        for node, k in path:
            token = int(node.tokens[k])
            row = self._base if last < 0 or self.kind != "bigram" else self._rows[last]
            scale = 1.0 if self.kind == "bigram" else float(self._scale[node.state])
            total += float(np.log(row[token] * scale))
            last = token
        return total

    # ------------------------------------------------------------------ hidden states
    def _fit_hidden(self, trie: PrefixTrie, floor: float, most: int = 1000) -> None:
        """To at most so many nodes, evenly spaced over the trie's."""
        nodes = [node for node in trie.nodes if node.row is not None]
        place = {id(node): i for i, node in enumerate(nodes)}
        rows = np.array([node.row for node in nodes])
        parents = np.array([-1 if node.parent is None else place.get(id(node.parent), -1) for node in nodes])
        tokens = np.array([0 if node.parent is None else int(node.parent.tokens[node.index]) for node in nodes])
        chosen = np.unique(np.linspace(0, len(nodes) - 1, min(len(nodes), most)).astype(np.int64))
        kept = np.full(len(nodes) + 1, -1)  # the last place answers for -1
        kept[chosen] = np.arange(len(chosen))
        self.hidden = fitted(rows[chosen], kept[parents[chosen]], tokens[chosen], floor)
        beliefs = self.hidden.beliefs(rows)
        self._beliefs = {id(node): belief for node, belief in zip(nodes, beliefs, strict=True)}

    def _belief(self, node: Node) -> Floats:
        """float64[H] after the node's prefix."""
        assert self.hidden is not None
        found = self._beliefs.get(id(node))
        if found is None:
            row = (
                node.row if node.row is not None else np.zeros(self.width)
            )  # a stop rule's node: its future is certain
            found = self.hidden.beliefs(row[None, :])[0] if row.any() else self.hidden.move.mean(axis=0)
            if node.held:
                self._beliefs[id(node)] = found
        return found

    # ------------------------------------------------------------------ the surrogate's predictions
    def _contexts(self, statistics: Statistics, floor: float) -> tuple[Floats, Floats]:
        """(u of each edge: float64[H, E], mass of the end tokens: float64[H, S]); H = V for bigrams, hidden states, or 1."""
        base = (1 - floor) * statistics.total / statistics.count + floor / self.width
        accepting = np.array([self.graph.accepting(q) for q in range(self.states)])
        self._rows = base[None, :]
        if self.hidden is not None:
            emit = self.hidden.emit
            return emit[:, self._token], emit[:, self._ends].sum(axis=1)[:, None] * accepting
        if self.kind == "bigram" and statistics.by_last is not None:
            rows = np.tile(base, (self.width, 1))
            kappa = shrinkage(list(statistics.by_last.values()), base)
            for h, group in statistics.by_last.items():
                if h >= 0:
                    rows[h] = (1 - floor) * _shrunk(group, base, kappa) + floor / self.width
            first = statistics.by_last.get(-1)
            self._rows = rows
            self._base = base if first is None else (1 - floor) * _shrunk(first, base, kappa) + floor / self.width
            return rows[:, self._token], rows[:, self._ends].sum(axis=1)[:, None] * accepting
        edges, ends = base[self._token], float(base[self._ends].sum()) * accepting
        scale = self._scale = self._acquaintance(statistics, edges, ends)
        self._base = base
        edges, ends = edges * scale[self._source], ends * scale
        if self.kind == "state":
            self._by_state(statistics, floor, edges, ends)
        return edges[None, :], ends[None, :]

    def _acquaintance(self, statistics: Statistics, edges: Floats, ends: Floats) -> Floats:
        """float64[S]: what to multiply u with at each state, so that its allowed mass is what it is where it was seen.

        log of the allowed mass = theta times the log of what the bare mean of the other states' nodes gives: theta is 1
        for a model that knows nothing of the language, 0 for one that never leaves it, and fitted by least squares over
        the states seen, with one average observation that says 1/2.
        """
        bare = np.bincount(self._source, weights=edges, minlength=self.states) + ends
        x, y, n = [], [], []
        for q, group in statistics.by_state.items():
            alpha, share = float(group.total.sum()) / group.count, group.count / statistics.count
            if share == 1.0 or alpha <= 0.0 or q >= self.states or self.graph.targets(q) is None:
                continue
            others = max(1e-3 / self.width, (bare[q] - share * alpha) / (1.0 - share))
            x.append(float(np.log(others)))
            y.append(float(np.log(min(alpha, 1.0))))
            n.append(group.count)
        theta = 0.5
        if x:
            below, seen, weight = np.array(x), np.array(y), np.array(n, dtype=np.float64)
            one = float(np.mean(below**2))
            theta = float(weight @ (below * seen) + 0.5 * one) / max(1e-300, float(weight @ below**2) + one)
        return np.where(bare > 0, np.maximum(bare, 1e-300) ** (min(1.0, max(0.0, theta)) - 1.0), 1.0)

    def _by_state(self, statistics: Statistics, floor: float, edges: Floats, ends: Floats) -> None:
        """Shrink what each state's nodes were seen to predict towards the wider context, in place."""
        starts = np.searchsorted(self._source, np.arange(self.states + 1))
        within = between = 0.0
        seen: list[tuple[int, Group, Floats]] = []
        for q, group in statistics.by_state.items():
            if q >= self.states or self.graph.targets(q) is None:
                continue
            wide = np.append(edges[starts[q] : starts[q + 1]], ends[q])
            seen.append((q, group, wide))
            w, b = _spread(group, wide)
            within, between = within + w, between + b
        kappa = within / between if between > 0 else float("inf")
        for q, group, wide in seen:
            u = (1 - floor) * _shrunk(group, wide, kappa) + floor / self.width
            edges[starts[q] : starts[q + 1]] = u[:-1]
            if self.graph.accepting(q):
                ends[q] = u[-1]

    # ------------------------------------------------------------------ backward
    def _solve(self, contexts: tuple[Floats, Floats], longest: int) -> list[Floats]:
        """log psi[r]: float64[H, S]. Edges to states never explored stand for the mean of those where texts were seen to go."""
        edges, ends = contexts
        mass: Floats
        self._unknown: list[float] = []  # log of the mean
        if self.kind == "bigram":
            mass, source, target, after = edges, self._source, self._target, self._token[None, :]
        else:
            source, target, which = self.graph.pairs(self.width)
            mass = np.array([np.bincount(which, weights=row, minlength=len(source)) for row in edges])
            after = np.arange(len(edges))[:, None]
        explored = np.array([self.graph.targets(q) is not None for q in range(self.states)])
        with np.errstate(divide="ignore"):
            log_mass, log_ends = np.log(mass), np.log(ends)
        layers: list[Floats] = []
        for r in range(longest + 1):
            psi = log_ends
            if r > 0:
                ahead = layers[-1] if self.hidden is None else _log_mix(self.hidden.move, layers[-1])
                psi = np.logaddexp(psi, _by_source(log_mass + ahead[after, target], source, self.states))
            mean = _log_mean(psi[:, self._seen] if len(self._seen) else psi[:, explored])
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


def _log_mix(p: Floats, logs: Floats) -> Floats:
    """log(p @ exp(logs)) of float64[n, H] and float64[H, m], without leaving the range of floats."""
    top = logs.max(axis=0)
    top[top == -np.inf] = 0.0
    with np.errstate(divide="ignore"):
        out: Floats = np.log(p @ np.exp(logs - top)) + top
    return out


def _log_mean(logs: Floats) -> float:
    """Log of the mean; 0 where there is nothing to go by."""
    total = float(np.logaddexp.reduce(logs, axis=None)) if logs.size else -np.inf
    return total - float(np.log(logs.size)) if total > -np.inf else 0.0


__all__ = ["StateGraph", "Surrogate"]
