"""Samples as texts: what `constrain.generate(..., sampler=...)` returns, and checks and critics that read texts.

A target lives on token sequences. Spellings of one text are different samples; `marginal` adds them up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from decoders.generation import Generation
from decoders.sampling.result import Samples, SamplingError
from decoders.sampling.target import Check, Prefix, Stop
from decoders.sampling.trie import PrefixTrie
from grammars.tokens.vocabulary import Vocabulary

TextCheck = Callable[[str, bool], bool]
"""check(text so far, ended?); the text so far ends at a whole character."""
TextCritic = Callable[[str, bool], float]


@dataclass(frozen=True, slots=True)
class SampledTexts:
    """A sampler's result with its texts. `samples` has the weights, the normaliser, the certificates and the counts.

    generations: one a sample, in the samples' order. chosen: index of one of them, drawn by weight with the call's seed
    (None if there is no sample); text, tokens, parsed, log_prob and log_mass are its. An exact sampler's choice follows
    the target; a weighted one's does so only as the number of samples grows.
    """

    samples: Samples
    generations: tuple[Generation, ...]
    chosen: int | None
    trie: PrefixTrie = field(repr=False, compare=False)
    vocabulary: Vocabulary = field(repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.generations)

    @property
    def generation(self) -> Generation:
        """The chosen one. Raises SamplingError with the reason if the sampler has none."""
        if self.chosen is None:
            raise SamplingError(f"{self.samples.sampler}: {self.samples.failure or 'no sample'}")
        return self.generations[self.chosen]

    @property
    def text(self) -> str:
        return self.generation.text

    @property
    def tokens(self) -> Prefix:
        return self.generation.tokens

    @property
    def parsed(self) -> Any:
        return self.generation.parsed

    @property
    def log_prob(self) -> float:
        return self.generation.log_prob

    @property
    def log_mass(self) -> tuple[float, ...]:
        return self.generation.log_mass

    @property
    def exact(self) -> bool:
        return self.samples.exact

    @property
    def failure(self) -> str | None:
        return self.samples.failure

    @property
    def texts(self) -> list[str]:
        return [g.text for g in self.generations]

    @property
    def weights(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """float64[n]: normalised to sum 1, as `texts` are ordered."""
        return self.samples.weights

    def marginal(self) -> dict[str, float]:
        """Weight of each distinct text, its spellings added up; largest first."""
        out: dict[str, float] = {}
        for text, w in zip(self.texts, self.weights.tolist(), strict=True):
            out[text] = out.get(text, 0.0) + w
        return dict(sorted(out.items(), key=lambda item: -item[1]))

    def __str__(self) -> str:
        best = [f"{100 * w:6.2f}%  {text}" for text, w in list(self.marginal().items())[:10]]
        return "\n".join([self.samples.table(), "", *best]) if best else self.samples.table()

    def html(self) -> str:
        """A page with the table, the run as it went, and where the trie's mass lies."""
        from decoders.sampling.plot import page

        return page(self)

    def plot(self, path: str | Path) -> None:
        """Write `html` to a file."""
        Path(path).write_text(self.html(), encoding="utf-8")

    def _repr_html_(self) -> str:
        return self.html()


def decode(vocabulary: Vocabulary, tokens: Prefix) -> bytes:
    """The bytes of tokens; end tokens have none."""
    ends = set(vocabulary.eos_token_ids)
    return b"".join(vocabulary.tokens[t] or b"" for t in tokens if t not in ends)


def text_check(vocabulary: Vocabulary, check: TextCheck) -> Check:
    """A check of tokens from one of texts."""

    def judge(tokens: Prefix, ended: bool) -> bool:
        return check(whole_text(decode(vocabulary, tokens)), ended)

    return judge


def stop_at(vocabulary: Vocabulary, strings: Sequence[str]) -> Stop:
    """Stop once one of the strings stands in the text."""
    wanted = [s.encode() for s in strings]
    return lambda tokens: any(s in decode(vocabulary, tokens) for s in wanted)


def stop_at_once(tokens: Prefix) -> bool:
    """Stop at the first text that is accepted: the shortest on the way."""
    return True


def text_critic(vocabulary: Vocabulary, critic: TextCritic) -> Callable[[Prefix, bool], float]:
    """A critic of tokens from one of texts: log scores, whose value at the end multiplies the target."""

    def judge(tokens: Prefix, ended: bool) -> float:
        return float(critic(whole_text(decode(vocabulary, tokens)), ended))

    return judge


def whole_text(data: bytes) -> str:
    """Text up to the last whole character."""
    for back in range(1, min(4, len(data)) + 1):
        b = data[-back]
        if b < 0x80:
            break
        if b >= 0xC0:
            width = 2 if b < 0xE0 else 3 if b < 0xF0 else 4
            data = data if back >= width else data[:-back]
            break
    return data.decode(errors="replace")
