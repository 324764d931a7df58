"""One token at a time, left to right, over a batch of texts with a matcher each.

    until every row is done:
        forced span?  append it whole      (one forward pass, every token scored)
        mask within the budget             (what is left of max_tokens can still finish the text)
        penalty, temperature, mask, truncation; draw with the row's own generator
        append, stream, stop

Laws: every finished row is accepted by its matcher (finish_reason "stop") or has no matcher; nothing is ever rolled
back; a row's tokens do not depend on the other rows, beyond the arithmetic of the model's own batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from decoders.generation import Generation
from decoders.model import LanguageModel
from decoders.processing import Sampling, choose, process
from grammars.errors import BudgetError
from grammars.tokens.automaton import Matcher
from grammars.tokens.vocabulary import Vocabulary

Listener = Callable[[int, str], None]
"""Called with (row, new text) as text becomes certain; whole characters only."""


@dataclass(slots=True)
class _Row:
    matcher: Matcher | None
    prompt: Sequence[int]
    generator: torch.Generator
    tokens: list[int] = field(default_factory=list)
    text: bytes = b""
    streamed: int = 0
    log_prob: float = 0.0
    log_mass: list[float] = field(default_factory=list)
    forced: int = 0
    calls: int = 0
    finish: Any = None


def generate(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    matchers: Sequence[Matcher | None],
    vocabulary: Vocabulary,
    *,
    sampling: Sampling | None = None,
    max_tokens: int = 256,
    seeds: Sequence[int] | None = None,
    stop: Sequence[str] = (),
    listener: Listener | None = None,
) -> list[Generation]:
    """Generate one text for each prompt.

    prompts: token ids, one or more each. matchers: at the point where generation begins; advanced in place; None leaves
    a row unconstrained. max_tokens: tokens without the end token. seeds: one a row (default: its index). stop: a row
    ends where one of these strings appears, provided that its matcher accepts the text there.
    Raises BudgetError before the first model call if max_tokens cannot hold some row's shortest known text.
    Cost: one forward pass for each free token or forced span of the slowest row.
    """
    sampling = sampling or Sampling()
    seeds = list(range(len(prompts))) if seeds is None else list(seeds)
    rows = [_Row(m, p, torch.Generator().manual_seed(s)) for m, p, s in zip(matchers, prompts, seeds, strict=True)]
    for i, row in enumerate(rows):
        need = 0 if row.matcher is None else row.matcher.distance()
        if need > max_tokens:
            raise BudgetError(f"row {i} needs {need} tokens to complete any text, and max_tokens is {max_tokens}")
    run = _Run(model, rows, vocabulary, sampling, max_tokens, [s.encode() for s in stop if s], listener)
    with torch.no_grad():
        run.loop()
    return [run.result(r) for r in rows]


class _Run:
    def __init__(
        self, model: LanguageModel, rows: list[_Row], vocabulary: Vocabulary, sampling: Sampling, max_tokens: int,
        stop: list[bytes], listener: Listener | None,
    ) -> None:  # fmt: skip
        self.session = model.start([r.prompt for r in rows])
        self.rows, self.vocabulary, self.sampling = rows, vocabulary, sampling
        self.max_tokens, self.stop, self.listener = max_tokens, stop, listener
        self.masks = vocabulary.new_rows(len(rows))

    def loop(self) -> None:
        for i, row in enumerate(self.rows):
            self.check_finished(i, row)
        while any(r.finish is None for r in self.rows):
            spans = [self.forced(r) if r.finish is None else [] for r in self.rows]
            free = [i for i, r in enumerate(self.rows) if r.finish is None and not spans[i]]
            for i, token in zip(free, self.draw(free), strict=True):
                spans[i] = self.accept(i, self.rows[i], token)
            if any(spans):
                self.extend(spans)

    # ------------------------------------------------------------------ one step
    def forced(self, row: _Row) -> list[int]:
        """Tokens that are forced here, if they fit the budget; they are consumed."""
        if row.matcher is None:
            return []
        span = row.matcher.forced_tokens()
        if len(row.tokens) + len(span) > self.max_tokens or len(span) < 2:
            return []
        ahead = row.matcher.fork()
        if not all(map(ahead.advance, span)) or ahead.distance() > self.max_tokens - len(row.tokens) - len(span):
            return []  # only a shorter spelling of the same bytes fits: leave it to the mask
        row.matcher = ahead
        row.forced += len(span)
        return span

    def draw(self, free: list[int]) -> list[int]:
        if not free:
            return []
        constrained = [(k, self.rows[i]) for k, i in enumerate(free) if self.rows[i].matcher is not None]
        masks = self.masks[: len(free)]
        masks[:] = -1
        for k, row in constrained:
            assert row.matcher is not None
            row.matcher.fill_mask(masks, k, self.max_tokens - len(row.tokens))
        logits = self.session.logits[free]
        history = [[*self.rows[i].prompt, *self.rows[i].tokens] for i in free]
        done = process(logits, torch.from_numpy(masks) if constrained else None, history, self.sampling)
        tokens = choose(done.logits, self.sampling, [self.rows[i].generator for i in free])
        raw = torch.log_softmax(logits.double(), dim=1)
        for k, (i, token) in enumerate(zip(free, tokens, strict=True)):
            row = self.rows[i]
            row.log_prob += float(raw[k, token])
            row.log_mass.append(min(0.0, float(done.log_mass[k])))
        return tokens

    def accept(self, i: int, row: _Row, token: int) -> list[int]:
        """Consume a drawn token; returns what the model must read."""
        if token in self.vocabulary.eos_token_ids:
            row.finish = "stop"
            if row.matcher is not None:
                row.matcher.advance(token)
            self.stream(i, row, last=True)
            return []
        if row.matcher is not None and not row.matcher.advance(token):
            raise AssertionError("a token in the mask was refused")
        return [token]

    def extend(self, spans: list[list[int]]) -> None:
        before = self.session.logits.clone()
        steps = self.session.extend(spans)
        for i, (row, span) in enumerate(zip(self.rows, spans, strict=True)):
            if not span:
                continue
            row.calls += 1
            if len(span) > 1:  # only forced spans are longer than one token
                self.score_forced(row, span, torch.cat([before[i : i + 1], steps[i][:-1]]))
            for token in span:
                row.text += self.vocabulary.tokens[token] or b""
            row.tokens.extend(span)
            self.check_finished(i, row)
            self.stream(i, row, last=row.finish is not None)

    def score_forced(self, row: _Row, span: list[int], logits: torch.Tensor) -> None:
        """Forced tokens are scored too: each kept only its own mass."""
        raw = torch.log_softmax(logits.double(), dim=1)
        warm = torch.log_softmax(logits.double() / (self.sampling.temperature or 1.0), dim=1)
        for k, token in enumerate(span):
            row.log_prob += float(raw[k, token])
            row.log_mass.append(float(warm[k, token]))

    def check_finished(self, i: int, row: _Row) -> None:
        if (row.matcher is not None and row.matcher.finished) or self.at_stop(row):
            row.finish = "stop"
        elif len(row.tokens) >= self.max_tokens:
            complete = row.matcher is not None and row.matcher.accepting
            row.finish = "stop" if complete else "length"

    def at_stop(self, row: _Row) -> bool:
        if not any(row.text.endswith(s) or s in row.text[-len(s) - 64 :] for s in self.stop):
            return False
        return row.matcher is None or row.matcher.accepting

    def stream(self, i: int, row: _Row, last: bool) -> None:
        """Pass on what is certain: whole characters, and nothing that a stop string may still cut."""
        if self.listener is None:
            return
        end = len(row.text) if last else _whole_characters(row.text)
        if end > row.streamed:
            self.listener(i, row.text[row.streamed : end].decode(errors="replace"))
            row.streamed = end

    def result(self, row: _Row) -> Generation:
        return Generation(
            row.text.decode(errors="replace"), tuple(row.tokens), row.log_prob, tuple(row.log_mass), row.finish, row.forced,
            row.calls,
        )  # fmt: skip


def _whole_characters(text: bytes) -> int:
    """Length of the longest prefix that does not end inside a UTF-8 character."""
    for back in range(1, min(4, len(text)) + 1):
        b = text[-back]
        if b < 0x80:
            return len(text)
        if b >= 0xC0:
            width = 2 if b < 0xE0 else 3 if b < 0xF0 else 4
            return len(text) if back >= width else len(text) - back
    return len(text)


__all__ = ["Listener", "Sampling", "generate"]
