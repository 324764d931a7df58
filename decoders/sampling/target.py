"""What is sampled: a language model after processing, given a constraint and a length.

    P*(x) = p(x) [x in L] [x has at most max_tokens tokens before its end token] / Z

p is the processed model: penalty, temperature, truncation, in this order, all before the constraint. x is a token
sequence closed by one end token; spellings of the same text are different sequences, and so are different end tokens.
L is the language of the automaton and, where a `check` is given, of all sequences whose every prefix passes it.
Where a `stop` is given, a text also ends, for certain, at the first prefix that the automaton accepts and at which the
rule fires: its probability is that of the prefix, whatever the model would have gone on with. (In a sequence such a text
is closed by the first end token, which nobody drew.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Protocol

import numpy as np

from decoders.sampling.graph import Automaton, Floats, StateGraph

Prefix = tuple[int, ...]
Check = Callable[[Prefix, bool], bool]
"""check(tokens so far, ended?) -> may the text begin (or, when ended, be) like this? The end token is among the tokens."""


Stop = Callable[[Prefix], bool]
"""stop(tokens so far): does the text end here, if the automaton accepts it? Deterministic."""


class Predictor(Protocol):
    """The processed model: a deterministic function of the prefix (without the prompt)."""

    @property
    def vocabulary_size(self) -> int: ...

    def log_probs(self, prefixes: Sequence[Prefix]) -> Floats:
        """float64[n, V]: natural log-probabilities of the next token; -inf where truncated."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """The distribution P* of the module docstring. `graph` is explored once, within its limits.

    look_ahead: masks see the length limit where the graph is complete; False gives plain masks (for comparison).
    """

    model: Predictor
    automaton: Automaton
    max_tokens: int
    check: Check | None = None
    stop: Stop | None = None
    look_ahead: bool = True
    graph: StateGraph = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.max_tokens, bool) or not isinstance(self.max_tokens, Integral) or self.max_tokens < 0:
            raise ValueError(f"max_tokens must be a whole number of at least 0, not {self.max_tokens!r}")
        for name, judge in {"check": self.check, "stop": self.stop}.items():
            if judge is not None and not callable(judge):
                raise ValueError(f"{name} must be a function, not {judge!r}")
        graph = StateGraph(self.automaton)
        if self.look_ahead:
            graph.explore()
        object.__setattr__(self, "graph", graph)

    @property
    def support(self) -> str:
        """The support of P* in words, and what the masks know of the length."""
        masks = "exact length look-ahead" if self.graph.distance is not None else "plain masks, rejected at the limit"
        check = " whose prefixes pass the check" if self.check is not None else ""
        stop = ", ended by the stop rule" if self.stop is not None else ""
        return f"token sequences of the automaton{check}{stop} with at most {self.max_tokens} tokens before the end ({masks})"


@dataclass(slots=True)
class Counts:
    """Work of one call. model_calls: prefixes evaluated by the model (each once while the trie holds it).

    token_steps: tokens drawn. mask_calls: masks read. checks: calls of the black-box check.
    """

    model_calls: int = 0
    token_steps: int = 0
    mask_calls: int = 0
    checks: int = 0

    def copy(self) -> Counts:
        return Counts(self.model_calls, self.token_steps, self.mask_calls, self.checks)

    def since(self, before: Counts) -> Counts:
        return Counts(
            self.model_calls - before.model_calls,
            self.token_steps - before.token_steps,
            self.mask_calls - before.mask_calls,
            self.checks - before.checks,
        )


def log(x: float) -> float:
    """Natural log with log 0 = -inf."""
    return float(np.log(x)) if x > 0 else float("-inf")
