"""Token automata: a grammar compiled against a vocabulary, its states, and the matcher that walks it.

Laws. *Sound*: an allowed token has a completion with this vocabulary. *Complete*: every token of every spelling of every
accepted text is allowed where it occurs. *State*: a mask depends on the state alone, never on caches, threads or order
of calls. When the text so far is accepted every end token is allowed; after an end token exactly these are.
Nothing raises on a finished text, and token ids out of range are refused, not raised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from grammars.errors import ConstrainError, EmptyLanguage, GrammarError, VocabularyError
from grammars.grammar import Grammar
from grammars.json_schema.witness import failing_path
from grammars.kernel import native
from grammars.limits import DEFAULT_LIMITS, Limits
from grammars.tokens.diagnosis import Diagnosis, Explanation, diagnose, json_path, names_of
from grammars.tokens.vocabulary import Vocabulary

State = native.State


@dataclass(frozen=True, slots=True)
class Report:
    """What was compiled: the options in force, one row for each keyword of a schema, and what `distance` means here."""

    kind: str
    options: dict[str, Any]
    rows: tuple[Any, ...]
    distance: str = "an upper bound with a witness: the canonical completion in the fewest tokens"
    compile_work: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: one row a keyword, `path` a JSON pointer."""
        rows = [{"path": r.path, "keyword": r.keyword, "status": r.status, "note": r.note} for r in self.rows]
        return {"kind": self.kind, "options": self.options, "distance": self.distance, "keywords": rows}


class TokenAutomaton:
    """The immutable product of a grammar and a vocabulary; shareable between threads. Made by `compile_grammar`."""

    def __init__(self, grammar: Grammar, vocabulary: Vocabulary, kernel: Any, limits: Limits) -> None:
        self.grammar, self.vocabulary, self.limits = grammar, vocabulary, limits
        self.kernel = kernel

    @property
    def report(self) -> Report:
        return Report(
            self.grammar.kind,
            dict(self.grammar.options),
            self.grammar.report_rows(),
            compile_work=self.kernel.compile_work,
        )

    # ------------------------------------------------------------------ memory
    def memory(self) -> dict[str, int]:
        """What a context-free grammar keeps, in bytes: `rules` (parser sets, readings, lexer states) and their `masks`,
        the `budget` of the rules (masks have half as much beside it), and how many `collections` there were.

        Beyond the budget the rules are collected: what no state or matcher needs is forgotten. States and matchers, which
        keep their histories, may hold more than that; then the next collection comes at twice what they hold. No result
        depends on the budget. All zero but the budget for other grammars, whose memory is that of the vocabulary's
        engine (`Vocabulary.memory`)."""
        return dict(self.kernel.memory())

    @property
    def memory_budget(self) -> int:
        """Bytes kept for rules before what is no longer needed is forgotten: 256 MiB unless set."""
        return self.memory()["budget"]

    @memory_budget.setter
    def memory_budget(self, budget: int) -> None:
        if budget < 0:
            raise ValueError(f"a budget of {budget} bytes; it must not be negative")
        self.kernel.set_budget(budget)

    def clear(self) -> None:
        """Forget what no state or matcher needs, and all masks, now."""
        self.kernel.clear()

    # ------------------------------------------------------------------ states
    @property
    def start(self) -> State:
        return self.kernel.start()

    def step(self, state: State, token: int) -> State | None:
        """The state after `token`, or None if it is not allowed. O(bytes of the token)."""
        return self.kernel.step(state, token)

    def fill(self, state: State, row: Any, budget: int | None = None) -> bool:
        """Write the mask of `state` into `row` (int32/uint32[>= mask_words], bit ``i & 31`` of word ``i >> 5``).

        budget: tokens left before the end token; False is returned if it is below the distance, and the row is then
        filled as for the distance. Raises VocabularyError for rows that are too short or of another type.
        """
        return bool(self.kernel.fill(state, row, 0, budget))

    def allows(self, state: State, token: int) -> bool:
        return bool(self.kernel.allows(state, token))

    def accepting(self, state: State) -> bool:
        return bool(self.kernel.accepting(state))

    def accepts(self, text: bytes | str) -> bool:
        """Is the whole text in the language?"""
        return bool(self.kernel.read(text.encode() if isinstance(text, str) else text)[1])

    def viable(self, text: bytes | str) -> int:
        """Bytes of the longest prefix of `text` that some accepted text begins with."""
        return int(self.kernel.read(text.encode() if isinstance(text, str) else text)[0])

    def diagnose(self, text: bytes | str) -> Diagnosis:
        """Where `text` leaves the language, what stands there and what could, or where it ends too early.

        One pass over the text up to that place; then what is expected is found out (256 steps, one completion)."""
        return diagnose(self.grammar, text, self.kernel)

    def matcher(self, state: State | None = None) -> Matcher:
        return Matcher(self, state)

    def prepare(self) -> None:
        """Build the masks that the start and a canonical text visit, so that the first request finds them made."""
        matcher = self.matcher()
        row = self.vocabulary.new_rows()[0]
        for token in self.vocabulary.encode(matcher.completion()):
            matcher.fill_mask(row)
            matcher.advance(token)
        matcher.fill_mask(row)


class Matcher:
    """A state plus the history that led to it; belongs to one thread at a time. Forks share their history."""

    __slots__ = ("_kernel", "_tokens", "advance", "allows", "automaton", "fill_mask")

    def __init__(self, automaton: TokenAutomaton, state: State | None = None, kernel: Any = None) -> None:
        self.automaton = automaton
        self._kernel = kernel if kernel is not None else native.KernelMatcher(automaton.kernel, state)
        # The hot calls go straight to the kernel.
        #: fill_mask(rows, index=0, budget=None) -> bool: the mask into row `index`; see `TokenAutomaton.fill`.
        self.fill_mask = self._kernel.fill_mask
        #: allows(token) -> bool.
        self.allows = self._kernel.allows
        #: advance(token) -> bool: consume a token; False (and no change) if it is not allowed.
        self.advance = self._kernel.advance

    def mask(self) -> npt.NDArray[np.bool_]:
        """The mask as bool[V]; for reading, not for speed."""
        row = self.automaton.vocabulary.new_rows()[0]
        self.fill_mask(row)
        bits = np.unpackbits(row.view(np.uint8), bitorder="little")
        return bits[: len(self.automaton.vocabulary)].astype(np.bool_)

    def validate(self, tokens: Iterable[int]) -> int:
        """How many of `tokens` may follow, up to and including the first end token; the matcher stays where it is."""
        return int(self._kernel.validate(list(tokens)))

    def rollback(self, n: int) -> None:
        """Undo the last `n` tokens. Raises ValueError beyond the start."""
        self._kernel.rollback(n)

    def reset(self) -> None:
        self._kernel.reset()

    def fork(self) -> Matcher:
        """An independent matcher with the same state and history. O(tokens)."""
        return Matcher(self.automaton, kernel=self._kernel.fork())

    @property
    def state(self) -> State:
        return self._kernel.state

    @property
    def accepting(self) -> bool:
        """Are the bytes so far in the language? Stays true after the end token."""
        return bool(self._kernel.accepting)

    @property
    def ended(self) -> bool:
        """Was an end token consumed?"""
        return bool(self._kernel.ended)

    @property
    def finished(self) -> bool:
        """Ended, or accepting with nothing but an end token allowed."""
        return bool(self._kernel.finished)

    def completion(self) -> bytes:
        """The canonical completion: bytes that finish the text from here."""
        return bytes(self._kernel.completion())

    def distance(self) -> int:
        """Tokens before the end token that suffice to finish: an upper bound with a witness.

        Some allowed token lowers it by at least one. O(length of the completion)."""
        return int(self._kernel.distance())

    def forced_bytes(self) -> bytes:
        """The bytes that every completion goes on with, at most 4,096."""
        return bytes(self._kernel.forced_bytes())

    def forced_tokens(self) -> list[int]:
        """Canonical tokens of `forced_bytes`, without those at the end that a longer token could still absorb."""
        vocabulary = self.automaton.vocabulary
        forced = self.forced_bytes()
        if not forced:
            return []
        ids = vocabulary.encode(forced)
        at, kept = 0, []
        for i in ids:
            if vocabulary.kernel.extends(forced[at:]):
                break
            kept.append(i)
            at += len(vocabulary.tokens[i] or b"")
        while kept and self.validate(kept) < len(kept):
            kept.pop()
        return kept

    def explain(self, so_far: bytes = b"") -> Explanation:
        """What may follow here and one way to finish; `so_far` is shown as the text read.

        Under a grammar with the names of terminals and rules; under a schema with the JSON path."""
        grammar = self.automaton.grammar
        place = f"at {json_path(so_far)}" if grammar.kind == "json_schema" else ""
        names = names_of(grammar, self._kernel.progress()) if grammar.is_cfg else {}
        return Explanation(so_far, bytes(self._kernel.next_bytes()), self.accepting, self.completion(), place, **names)


def compile_grammar(grammar: Grammar, vocabulary: Vocabulary, limits: Limits | None = None) -> TokenAutomaton:
    """Compile; proves by one witness that some text is accepted.

    Raises EmptyLanguage if none is, GrammarError or UnsupportedFeature for what the kernel cannot take, LimitExceeded
    beyond `limits`. Cost: linear in the grammar for schemas without alternatives on containers; the rest is lazy.
    """
    if not isinstance(grammar, Grammar):
        raise GrammarError(f"compile takes a Grammar (regex, choice, json_schema ...), not {type(grammar).__name__}")
    if not isinstance(vocabulary, Vocabulary):
        raise VocabularyError(f"compile takes a Vocabulary, not {type(vocabulary).__name__}")
    limits = limits or grammar.limits or DEFAULT_LIMITS
    try:
        kernel = _compiled(grammar, vocabulary, limits)
    except EmptyLanguage as e:
        path = _failing_path(grammar, vocabulary, limits)
        raise EmptyLanguage(f"{e.message}: the {grammar.kind} accepts nothing", path=path) from None
    return TokenAutomaton(grammar, vocabulary, kernel, limits)


def _compiled(grammar: Grammar, vocabulary: Vocabulary, limits: Limits) -> Any:
    words, blobs = grammar.packed()
    o = grammar.options
    return native.Automaton.compile(
        vocabulary.kernel if grammar.alphabet is None else vocabulary.spelling(grammar.alphabet),
        words,
        blobs,
        grammar.root,
        grammar.kind != "json_schema",
        o.get("numbers") == "plain",
        o.get("order") == "schema",
        limits.number_digits,
        limits.exponent_digits,
        limits.compile_work,
        limits.mask_work,
        {name: vocabulary.special_ids(name) for name in grammar.specials},
    )


def _failing_path(grammar: Grammar, vocabulary: Vocabulary, limits: Limits) -> str:
    """The part of a schema that has no witness; the root of everything else."""
    if grammar.kind != "json_schema":
        return "#"

    def empty(sub: Any) -> bool:
        try:
            _compiled(grammar.part(sub), vocabulary, limits)
        except EmptyLanguage:
            return True
        except ConstrainError:
            pass
        return False

    return failing_path(grammar.lowered.schema, empty)


def fill_masks(
    matchers: Sequence[Matcher],
    rows: Any,
    budgets: Sequence[int | None] | None = None,
    threads: int | None = None,
) -> list[bool]:
    """Fill row i of `rows` (int32/uint32[n, >= mask_words]) for matcher i, in one call without the interpreter lock.

    Returns what `Matcher.fill_mask` would for each. budgets: one for each matcher, None where there is none. threads: at most
    so many fill rows side by side, the calling one among them; None is the number of cores. Others start only where there
    is enough work, and end with the call. No mask, error or limit depends on it. A matcher may stand in a batch twice.

    If rows fail (LimitExceeded), all others are filled, those that failed are all zero, and the error of the first is raised.
    Cost: masks that were made before are copied, a fraction of a microsecond each. New ones are made side by side where
    their automata do not share an engine: see `Vocabulary.shards`.
    """
    return list(native.fill_masks([m._kernel for m in matchers], rows, budgets, threads))
