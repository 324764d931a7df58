"""One trie of prefixes for one target, shared by every sampler that runs on it.

A node keeps what the model and the automaton say after a prefix: the allowed tokens, their probabilities under the
processed model, and for each an upper bound of its *future*, the probability that the text goes on into the language:

    bound(x) = sum over allowed a of p(a|x) bound(xa),   1 for what was not visited, 0 for what is known to fail

so Z <= bound(root), whoever visited the nodes. Bounds are kept as logs: futures of long texts leave the range of floats.
Samplers are *walks*: generators that ask for nodes they miss; `lockstep` runs many of them and evaluates what they ask
for in one batch. No prefix is evaluated twice while it is held. `settle` ends a round: every sampler calls it before it
returns, so that bounds agree along every edge, which the laws of the exact samplers rest on.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

import numpy as np

from decoders.sampling.graph import Floats, Ints
from decoders.sampling.result import SamplingError
from decoders.sampling.target import Counts, Prefix, Target
from grammars.errors import ConstrainError

R = TypeVar("R")
Request = tuple["Node", int]
Walk = Generator[Request, "Node", R]
Path = list[Request]


class Node:
    """After one prefix. tokens: int64[k] allowed, end tokens last, from index `ends`; p: float64[k] > 0.

    log_bound: float64[k], logs of the bounds. alpha: sum of p. log_value: float64[k], the look-ahead's estimates of the
    futures. verdict: int8[k] of the check, -1 unknown. born: the round of the trie in which the node was made. held: the
    trie will find it again. row: float64[V], the whole prediction, for vocabularies of at most `Statistics.small` tokens.
    """

    __slots__ = (
        "alpha", "born", "children", "ends", "held", "index", "log_bound", "log_value", "p", "parent", "remaining",
        "row", "state", "tokens", "verdict",
    )  # fmt: skip

    def __init__(
        self, parent: Node | None, index: int, state: int, remaining: int, tokens: Ints, ends: int, p: Floats, born: int
    ) -> None:
        self.parent, self.index, self.state, self.remaining = parent, index, state, remaining
        self.tokens, self.ends, self.p, self.born = tokens, ends, p, born
        self.log_bound: Floats = np.zeros(len(tokens))
        self.alpha = float(p.sum())
        self.children: dict[int, Node] = {}
        self.log_value: Floats | None = None
        self.verdict = np.full(len(tokens), -1, dtype=np.int8)
        self.held = True
        self.row: Floats | None = None

    @staticmethod
    def size(tokens: int) -> int:
        """Bytes of a node of so many tokens: its arrays with their heads, and its places in the trie."""
        return 1800 + 33 * tokens

    @property
    def log_future(self) -> float:
        """Log of the upper bound of the probability of the language after this prefix; at most 0."""
        return min(0.0, log_dot(self.p, self.log_bound))

    def prefix(self) -> Prefix:
        """The tokens from the root to here. Cost: O(length)."""
        out: list[int] = []
        node = self
        while node.parent is not None:
            out.append(int(node.parent.tokens[node.index]))
            node = node.parent
        return tuple(reversed(out))


class PrefixTrie:
    """The trie of one target; belongs to one thread. max_bytes: memory for nodes, and a quarter as much for statistics.

    Beyond max_bytes new nodes serve their walk and are forgotten; every law holds, prefixes are then evaluated again.
    """

    def __init__(self, target: Target, max_bytes: int = 1 << 30) -> None:
        self.target, self.max_bytes = target, max_bytes
        self.counts = Counts()
        self.round = 0
        self.bytes = 0
        self.nodes: list[Node] = []
        self._stale: dict[int, Node] = {}
        self.statistics = Statistics(target, max_bytes // 4)
        self._end = target.graph.ends[:1]
        if self._stops((), 0):
            self.root = self._hold(Node(None, 0, 0, target.max_tokens, self._end, 0, np.ones(1), 0))
        else:
            self.root = self._make(None, 0, 0, self._log_probs([()])[0])

    # ------------------------------------------------------------------ growing
    def expand(self, wanted: Sequence[Request]) -> list[Node]:
        """The children (node, index) asked for; those that are missing are evaluated in one batch."""
        # `wanted` keeps its nodes alive, so that ids are unique here
        missing = {(id(n), k): (n, k) for n, k in wanted if k not in n.children}
        made: dict[tuple[int, int], Node] = {}
        asked = []
        for key, (n, k) in missing.items():
            prefix = (*n.prefix(), int(n.tokens[k]))
            state = self.target.graph.step(n.state, prefix[-1])
            if self._stops(prefix, state):
                made[key] = self._hold(Node(n, k, state, n.remaining - 1, self._end, 0, np.ones(1), self.round))
            else:
                asked.append((key, n, k, state, prefix))
        rows = self._log_probs([prefix for *_, prefix in asked]) if asked else ()
        for (key, n, k, state, _), row in zip(asked, rows, strict=True):
            made[key] = self._make(n, k, state, row)
        return [n.children[k] if k in n.children else made[id(n), k] for n, k in wanted]

    def _stops(self, prefix: Prefix, state: int) -> bool:
        """Does the text end here for certain, without an end token of the model?"""
        stop = self.target.stop
        return stop is not None and self.target.graph.accepting(state) and judged("stop rule", stop, prefix)

    def _log_probs(self, prefixes: list[Prefix]) -> Floats:
        self.counts.model_calls += len(prefixes)
        return self.target.model.log_probs(prefixes)

    def _make(self, parent: Node | None, index: int, state: int, row: Floats) -> Node:
        graph = self.target.graph
        remaining = self.target.max_tokens if parent is None else parent.remaining - 1
        self.counts.mask_calls += 1
        p = np.exp(row)
        if not abs(float(p.sum()) - 1.0) < 1e-3:
            raise SamplingError(
                f"the model's probabilities sum to {p.sum()} after some prefix: they are no distribution"
            )
        allowed = graph.allowed(state, remaining)
        allowed = allowed[allowed < len(p)]
        chosen = p[allowed]
        possible = chosen > 0
        tokens = allowed if possible.all() else allowed[possible]
        ends = len(tokens) - (int(np.isin(tokens, graph.ends).sum()) if graph.accepting(state) else 0)
        self.statistics.observe(state, -1 if parent is None else int(parent.tokens[index]), p)
        node = Node(parent, index, state, remaining, tokens, ends, chosen[possible], self.round)
        if len(p) <= Statistics.small:
            node.row = p
        return self._hold(node)

    def _hold(self, node: Node) -> Node:
        """Keep the node if it fits; a node below one that is not held is not held."""
        parent, size = node.parent, Node.size(len(node.tokens))
        node.held = (parent is None or parent.held) and self.bytes + size <= self.max_bytes
        if node.held:
            self.bytes += size
            self.nodes.append(node)
            self._stale[id(node)] = node
            if parent is not None:
                parent.children[node.index] = node
        return node

    # ------------------------------------------------------------------ knowledge
    def passes(self, node: Node, k: int) -> bool:
        """The verdict of the check on taking token k here; asked once for each place. Bounds learn of it in `settle`."""
        check = self.target.check
        if check is None:
            return True
        if node.verdict[k] < 0:
            self.counts.checks += 1
            node.verdict[k] = judged("check", check, (*node.prefix(), int(node.tokens[k])), k >= node.ends)
            self._touch(node)
        return bool(node.verdict[k])

    def _touch(self, node: Node) -> None:
        if node.held:
            self._stale[id(node)] = node

    def set_end(self, node: Node, k: int, log_bound: float) -> None:
        """Take the text that ends with token k here out of the bounds (-inf), or put it back (0), at the next `settle`."""
        node.log_bound[k] = log_bound
        self._touch(node)

    def settle(self) -> None:
        """End a round: carry what was learnt since the last one to the root. Cost: each node above a change, once."""
        levels: dict[int, dict[int, Node]] = {}
        for key, node in self._stale.items():
            levels.setdefault(node.remaining, {})[key] = node
        self._stale = {}
        deepest = min(levels, default=self.target.max_tokens + 1)
        for remaining in range(deepest, self.target.max_tokens + 1):
            for node in levels.pop(remaining, {}).values():
                if self.target.check is not None:
                    node.log_bound[node.verdict == 0] = -np.inf
                if node.parent is not None:
                    node.parent.log_bound[node.index] = node.log_future
                    levels.setdefault(remaining + 1, {})[id(node.parent)] = node.parent
        self.round += 1

    def expand_frontier(self, count: int, batch: int = 16) -> int:
        """Evaluate up to `count` unvisited prefixes of the largest unresolved mass; returns how many there were.

        Lowers the bound of Z fastest for its cost; changes no law.
        """
        heap: list[tuple[float, int, Node, int]] = []
        ticket = 0

        def push(node: Node, log_mass: float) -> None:
            nonlocal ticket
            costs = -(log_mass + np.log(node.p[: node.ends]))
            for k, cost in enumerate(costs.tolist()):
                if k not in node.children and node.log_bound[k] > -np.inf:
                    ticket += 1
                    heapq.heappush(heap, (cost, ticket, node, k))

        mass = {id(self.root): 0.0}
        for node in self.nodes:
            if node.parent is not None:
                mass[id(node)] = mass[id(node.parent)] + float(np.log(node.parent.p[node.index]))
            push(node, mass[id(node)])
        done = 0
        while heap and done < count:
            best = [heapq.heappop(heap) for _ in range(min(batch, count - done, len(heap)))]
            for (cost, *_), child in zip(best, self.expand([(n, k) for *_, n, k in best]), strict=True):
                done += 1
                if child.held:
                    push(child, -cost)
        self.settle()
        return done


def judged(what: str, judge: Callable[..., bool], *given: object) -> bool:
    """judge(*given). Raises SamplingError where it raises (with its exception as the cause) or returns no bool.

    The trie is then as it was: what had been learnt stays, and the next call goes on from there.
    """
    try:
        found = judge(*given)
    except ConstrainError:
        raise
    except Exception as e:
        raise SamplingError(f"the {what} raised {type(e).__name__} on {given}: {e}") from e
    if not isinstance(found, (bool, np.bool_)):
        raise SamplingError(f"the {what} must return True or False, and returned {found!r} on {given}")
    return bool(found)


class Statistics:
    """Sums of the model's predictions over the nodes made, by automaton state and by last token: for surrogates.

    by_last is kept for vocabularies of at most 64 tokens; by_state holds the tokens of a state's plain mask and, last, the
    mass of the end where the state accepts (else 0). Beyond max_bytes no state is added.
    """

    small = 64

    def __init__(self, target: Target, max_bytes: int) -> None:
        self._graph = target.graph
        self.max_bytes, self.bytes = max_bytes, 0
        size = target.model.vocabulary_size
        self.count = 0
        self.total: Floats = np.zeros(size)
        self.squares = 0.0
        self.by_state: dict[int, Group] = {}
        self.by_last: dict[int, Group] | None = {} if size <= self.small else None

    def observe(self, state: int, last: int, p: Floats) -> None:
        """Take in the prediction p, float64[V], made at an automaton state after the token `last` (-1: none)."""
        self.count += 1
        self.total += p
        self.squares += float(p @ p)
        if self.by_last is not None:
            self.by_last.setdefault(last, Group()).add(p)
        group = self.by_state.get(state)
        if group is None and self.bytes > self.max_bytes:
            return
        tokens = self._graph.tokens(state)
        end = float(p[self._graph.ends[self._graph.ends < len(p)]].sum()) if self._graph.accepting(state) else 0.0
        seen = np.append(p[tokens[tokens < len(p)]], end)
        if group is None:
            group = self.by_state[state] = Group()
            self.bytes += 300 + seen.nbytes
        group.add(seen)


class Group:
    """Predictions of one context: their number, sum, and sum of squares."""

    __slots__ = ("count", "squares", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total: Floats = np.zeros(0)
        self.squares = 0.0

    def add(self, p: Floats) -> None:
        self.total = p.copy() if self.count == 0 else self.total + p
        self.count += 1
        self.squares += float(p @ p)


def lockstep(trie: PrefixTrie, walks: Sequence[Walk[R]]) -> list[R]:
    """Run the walks to their ends, evaluating what they ask for together; results in the order of the walks."""
    results: dict[int, R] = {}
    asked: dict[int, Request] = {}

    def resume(i: int, node: Node | None) -> None:
        try:
            asked[i] = next(walks[i]) if node is None else walks[i].send(node)
        except StopIteration as stop:
            asked.pop(i, None)
            results[i] = stop.value

    for i in range(len(walks)):
        resume(i, None)
    while asked:
        pending = list(asked.items())
        for (i, _), node in zip(pending, trie.expand([r for _, r in pending]), strict=True):
            resume(i, node)
    return [results[i] for i in range(len(walks))]


def log_dot(p: Floats, logs: Floats) -> float:
    """log(p @ exp(logs)) without leaving the range of floats; -inf if empty or all 0."""
    top = float(logs.max()) if len(logs) else -np.inf
    if top == -np.inf:
        return -np.inf
    return top + float(np.log(p @ np.exp(logs - top)))


def tilt(p: Floats, logs: Floats) -> Floats:
    """p exp(logs), scaled to be in the range of floats; all 0 where that is so."""
    top = float(logs.max()) if len(logs) else -np.inf
    return np.zeros(len(p)) if top == -np.inf else p * np.exp(logs - top)


def pick(weights: Floats, u: float) -> int:
    """The index at height u of the stacked weights; len(weights) if u lies above them all. Zero weights are never hit."""
    return int(np.searchsorted(weights.cumsum(), u, side="right"))


def draw(weights: Floats, rng: np.random.Generator) -> int:
    """An index with probability proportional to its weight (inverse CDF in float64). Some weight must be positive."""
    heights = weights.cumsum()
    k = int(np.searchsorted(heights, rng.random() * heights[-1], side="right"))
    return k if k < len(weights) else int(np.flatnonzero(weights)[-1])
