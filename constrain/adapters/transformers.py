"""transformers: a `LanguageModel` over its causal models, and a logits processor for its own `generate`.

The processor keys matcher states by the generated prefix of a row, never by the row's position: beams reorder rows,
assisted decoding goes back to shorter prefixes and asks about drafts that may be illegal, finished rows go on being
called with padding. A prefix is forked from the longest one known, so a step costs one `advance`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch

from decoders import masking
from grammars.tokens.automaton import TokenAutomaton


class TransformersModel:
    """A causal model of transformers as a `LanguageModel`, with its key-value cache.

    Rows of different lengths are left-padded; spans of different lengths leave masked holes in the cache, which
    attention masks and position ids make invisible. Exact for models whose attention honours both (decoder-only models
    with full attention).
    """

    def __init__(self, model: Any) -> None:
        self.model = model.eval()

    @property
    def vocabulary_size(self) -> int:
        return int(self.model.get_output_embeddings().weight.shape[0])

    def start(self, prompts: Sequence[Sequence[int]]) -> TransformersSession:
        return TransformersSession(self.model, prompts)


class TransformersSession:
    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        if not all(len(p) for p in prompts):
            raise ValueError("every prompt needs at least one token")
        from transformers import DynamicCache

        self._model = model
        self._device = model.get_input_embeddings().weight.device
        self._cache = DynamicCache(config=model.config)
        self._mask = torch.zeros(len(prompts), 0, dtype=torch.long, device=self._device)
        width = max(map(len, prompts))
        self.logits = self._forward(
            [[0] * (width - len(p)) + list(p) for p in prompts], [len(p) for p in prompts], left=True
        )[:, -1]

    def extend(self, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        width = max(map(len, rows))
        lengths = [len(r) for r in rows]
        logits = self._forward([[*r, *[0] * (width - len(r))] for r in rows], lengths, left=False)
        out = [logits[i, :n] for i, n in enumerate(lengths)]
        for i, n in enumerate(lengths):
            if n:
                self.logits[i] = logits[i, n - 1]
        return out

    def select(self, rows: Sequence[int]) -> None:
        index = torch.tensor(list(rows), device=self._device)
        self._cache.batch_select_indices(index)
        self._mask = self._mask[index]
        self.logits = self.logits[index]

    def _forward(self, padded: list[list[int]], lengths: list[int], left: bool) -> torch.Tensor:
        ids = torch.tensor(padded, device=self._device)
        width = ids.shape[1]
        columns = torch.arange(width, device=self._device)
        count = torch.tensor(lengths, device=self._device).unsqueeze(1)
        new = ((columns >= width - count) if left else (columns < count)).long()
        seen = self._mask.sum(dim=1, keepdim=True)
        positions = (seen + new.cumsum(dim=1) - 1).clamp(min=0)
        self._mask = torch.cat([self._mask, new], dim=1)
        with torch.no_grad():
            out = self._model(
                input_ids=ids,
                attention_mask=self._mask,
                position_ids=positions,
                past_key_values=self._cache,
                use_cache=True,
            )
        return out.logits.float()


class ConstrainLogitsProcessor:
    """A logits processor for ``model.generate(..., logits_processor=[...])``: every mode, any number of rows, reusable.

    automata: one for all rows, or one for each prompt of the batch (rows of one prompt share it, as `generate` lays
    out beams and samples). Rows that left the language (illegal drafts) or are finished get a mask of the end tokens
    alone; nothing raises. memory: prefixes whose states are kept, least recently used dropped first.
    A new call of `generate` is recognised by a prompt that differs from the one before, or by a shorter text.
    """

    supports_continuous_batching = False

    def __init__(self, automata: TokenAutomaton | Sequence[TokenAutomaton], memory: int = 4096) -> None:
        self.automata = [automata] if isinstance(automata, TokenAutomaton) else list(automata)
        self._memory = memory
        self._states: OrderedDict[tuple[int, tuple[int, ...]], Any] = OrderedDict()
        self._prompts: torch.Tensor | None = None
        self._length = 0

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        self._recognise(input_ids)
        vocabulary = self.automata[0].vocabulary
        rows = vocabulary.new_rows(len(input_ids))
        per_prompt = max(1, len(input_ids) // len(self.automata))
        for i, row in enumerate(input_ids[:, self._length :].tolist()):
            which = min(i // per_prompt, len(self.automata) - 1)
            state = self._state(which, tuple(row))
            if state is None:
                for end in vocabulary.eos_token_ids:
                    rows[i, end >> 5] |= _signed(1 << (end & 31))
            else:
                self.automata[which].kernel.fill(state, rows, i)
        return masking.apply(scores, torch.from_numpy(rows))  # type: ignore[return-value]

    def reset(self) -> None:
        """Forget everything about the texts seen."""
        self._states.clear()
        self._prompts, self._length = None, 0

    def _recognise(self, input_ids: torch.Tensor) -> None:
        if self._prompts is not None and input_ids.shape[1] >= self._length:
            prompts = input_ids[:, : self._length]
            known = {tuple(p) for p in self._prompts.tolist()}
            # rows may be reordered and repeated, but each still begins with one of the prompts
            if input_ids.shape[1] > self._length and all(tuple(p) in known for p in prompts.tolist()):
                return
        self._states.clear()
        self._prompts, self._length = input_ids.clone(), input_ids.shape[1]

    def _state(self, which: int, generated: tuple[int, ...]) -> Any:
        """The state after `generated`, or None if it left the language."""
        automaton = self.automata[which]
        known, state = len(generated), None
        while known > 0 and (which, generated[:known]) not in self._states:
            known -= 1
        if known:
            self._states.move_to_end((which, generated[:known]))
            state = self._states[which, generated[:known]]
        else:
            state = automaton.start
        for n in range(known, len(generated)):
            state = None if state is None else automaton.step(state, generated[n])
            self._states[which, generated[: n + 1]] = state
        while len(self._states) > self._memory:
            self._states.popitem(last=False)
        return state


def _signed(bits: int) -> int:
    return bits - (1 << 32) if bits >> 31 else bits
