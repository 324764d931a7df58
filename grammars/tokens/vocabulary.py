"""A vocabulary: the exact bytes of every token, the tokens that end a text, and a fingerprint of it all.

The bytes are those of a token in the middle of a text; where the first token of a text spells something else (a leading
space that the tokenizer's decoder strips) `first_bytes` says what. Tokens without bytes (special, unused, or empty) are
None: they are never allowed, apart from the end tokens.

Everything compiled against one vocabulary in one mode shares one kernel engine: parsed sub-expressions, lexer states and
masks. An engine makes masks for one caller at a time (masks that were made before are read by any number); with `shards`,
sources are spread over several engines, whose masks are made side by side.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from grammars.errors import VocabularyError
from grammars.kernel import native
from grammars.tokens import token_bytes

SPELLINGS = 4
"""How many alphabets' vocabularies are kept (`Vocabulary.spelling`)."""


class Vocabulary:
    """An immutable list of token byte strings.

    tokens: list[bytes | None], index = token id; None marks special or unused ids.
    eos_token_ids: ids that end a text; at least one; all within the list.
    special_tokens: names of special ids. first_bytes: id -> bytes at the start of a text, where they differ.
    shards: engines of a mode, at most 1,024. Equal sources share one, equal parts of different sources do only by chance: each
    engine makes the masks of common parts (free text, names) once more. No mask and no limit depends on it.
    Raises VocabularyError for ids out of range or tokens that are not bytes. O(total bytes); about 0.2 s for 131k tokens.
    """

    def __init__(
        self,
        tokens: Sequence[bytes | None],
        eos_token_ids: Iterable[int],
        *,
        special_tokens: Mapping[str, int] | None = None,
        first_bytes: Mapping[int, bytes] | None = None,
        encoder: Any = None,
        shards: int = 1,
    ) -> None:
        self.tokens: tuple[bytes | None, ...] = tuple(tokens)
        self.eos_token_ids: tuple[int, ...] = tuple(sorted(set(eos_token_ids)))
        self.special_tokens: dict[str, int] = dict(special_tokens or {})
        self.first_bytes: dict[int, bytes] = dict(first_bytes or {})
        self._encoder = encoder
        self._check()
        self.fingerprint: str = self._fingerprint()
        if not 1 <= shards <= 1024:
            raise VocabularyError(f"{shards} shards; give at least one and at most 1,024")
        self.shards: int = shards  # engines of a mode, over which sources are spread
        self.kernel = self._kernel(lambda token: True)
        self._spelling: dict[frozenset[int], Any] = {}

    @classmethod
    def single_bytes(cls, specials: Iterable[str] = ()) -> Vocabulary:
        """One token for each byte, one for each name of `specials`, and an end token: for questions about texts, whose
        meaning does not depend on a vocabulary."""
        names = list(dict.fromkeys(specials))
        tokens: list[bytes | None] = [bytes([b]) for b in range(256)]
        ids = {name: 256 + n for n, name in enumerate(names)}
        return cls([*tokens, *(None for _ in names), None], [256 + len(names)], special_tokens=ids)

    @classmethod
    def from_tokenizer(
        cls,
        tokenizer: Any,
        eos_token_ids: Iterable[int] | int | None = None,
        size: int | None = None,
        *,
        shards: int = 1,
    ) -> Vocabulary:
        """Build from a tokenizer of transformers, tokenizers, tiktoken, sentencepiece or mistral-common.

        eos_token_ids: overrides what the tokenizer names. size: width of the model's output where it is padded beyond
        the tokenizer. shards: as above. Raises VocabularyError if the kind of tokenizer or its decoder is unknown, or no
        end token is named.
        """
        found = token_bytes.extract(tokenizer)
        tokens = list(found.tokens)
        if size is not None:
            if size < len(tokens):
                tokens = tokens[:size]
            tokens.extend([None] * (size - len(tokens)))
        if eos_token_ids is None:
            ends: Iterable[int] = found.eos_token_ids
        else:
            ends = [eos_token_ids] if isinstance(eos_token_ids, int) else eos_token_ids
        ends = list(ends)
        if not ends:
            raise VocabularyError("the tokenizer names no end token; pass eos_token_ids=[...]")
        return cls(
            tokens,
            ends,
            special_tokens=found.special_tokens,
            first_bytes=found.first_bytes,
            encoder=found.encoder,
            shards=shards,
        )

    # ------------------------------------------------------------------ sizes
    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def mask_words(self) -> int:
        """32-bit words of a mask row: ceil(V / 32)."""
        return (len(self.tokens) + 31) // 32

    def new_rows(self, n: int = 1) -> npt.NDArray[np.int32]:
        """A fresh block of mask rows: int32[n, mask_words], all zero."""
        return np.zeros((n, self.mask_words), dtype=np.int32)

    def special_ids(self, name: str) -> list[int]:
        """The ids of the special token `name`, or of "[7]" and "[5-9,12]" by number. Raises VocabularyError for unknown ones."""
        if name in self.special_tokens:
            return [self.special_tokens[name]]
        if re.fullmatch(r"\[[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*\]", name):
            bounds = [[int(x) for x in part.split("-")] for part in name[1:-1].split(",")]
            ids = [i for b in bounds for i in range(b[0], min(b[-1], len(self.tokens)) + 1)]
            if ids and all(i < len(self.tokens) and self.tokens[i] is None for i in ids):
                return ids
            raise VocabularyError(
                f"{name} names ids that are ordinary tokens or out of range; give ids of special tokens"
            )
        raise VocabularyError(f"the vocabulary has no special token {name!r}")

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens, eos {list(self.eos_token_ids)}, {self.fingerprint[:12]})"

    # ------------------------------------------------------------------ bytes
    def decode(self, ids: Iterable[int]) -> bytes:
        """The bytes that `ids` spell; tokens without bytes spell nothing. Raises VocabularyError for ids out of range."""
        parts: list[bytes] = []
        for n, i in enumerate(ids):
            if not 0 <= i < len(self.tokens):
                raise VocabularyError(f"token id {i} is out of range; the vocabulary has {len(self.tokens)} tokens")
            piece = self.first_bytes.get(i) if n == 0 else None
            parts.append(piece if piece is not None else self.tokens[i] or b"")
        return b"".join(parts)

    def encode(self, text: bytes) -> list[int]:
        """Token ids that spell `text`: as the tokenizer does where it is known and its answer spells exactly `text`,
        else the longest token at each point. Raises VocabularyError if no tokens spell it."""
        if self._encoder is not None:
            try:
                ids = list(self._encoder(text.decode()))
            except UnicodeDecodeError:
                ids = []
            if ids and b"".join(self.tokens[i] or b"" for i in ids) == text:
                return ids
        ids = list(self.kernel.longest_tokens(text))
        if b"".join(self.tokens[i] or b"" for i in ids) != text:
            raise VocabularyError(f"no tokens spell {text[:40]!r}")
        return ids

    # ------------------------------------------------------------------ the shared engines
    def memory(self) -> dict[str, int]:
        """Bytes held: `trie` (immutable) and `engine` (about `engine_budget` for each mode, dropped by `clear`)."""
        return {
            "trie": self.kernel.trie_bytes,
            "engine": self.kernel.engine_bytes,
            "engine_budget": self.kernel.engine_budget,
        }

    def stats(self) -> dict[str, int]:
        """Counters of the current engines: fills, those whose mask was published, memo hits, trie nodes visited."""
        return dict(self.kernel.stats())

    def clear(self) -> None:
        """Forget the shared engines; automata compiled before keep theirs."""
        self.kernel.clear()
        self._spelling.clear()

    def spelling(self, alphabet: frozenset[int]) -> Any:
        """The kernel's vocabulary of the tokens that are made of these bytes alone, under the same ids, with engines of its own.

        As much work and memory as a vocabulary; the last `SPELLINGS` alphabets are kept."""
        if alphabet not in self._spelling:
            rest = bytes(sorted(set(range(256)) - alphabet))
            made = self._kernel(lambda token: len(token.translate(None, rest)) == len(token))
            self._spelling = dict([*self._spelling.items(), (alphabet, made)][-SPELLINGS:])
        return self._spelling[alphabet]

    # ------------------------------------------------------------------ construction
    def _check(self) -> None:
        n = len(self.tokens)
        for i, t in enumerate(self.tokens):
            if t is not None and not isinstance(t, bytes):
                raise VocabularyError(f"token {i} is {type(t).__name__}, not bytes or None")
        if not self.eos_token_ids:
            raise VocabularyError("a vocabulary needs at least one end token; pass eos_token_ids=[...]")
        for i in (*self.eos_token_ids, *self.special_tokens.values()):
            if not 0 <= i < n:
                raise VocabularyError(f"token id {i} is out of range; the vocabulary has {n} tokens")

    def _kernel(self, kept: Callable[[bytes], bool]) -> Any:
        data, offsets, flags = self._packed(kept)
        return native.KernelVocabulary(data, offsets, flags, list(self.eos_token_ids), self.shards)

    def _packed(self, kept: Callable[[bytes], bool]) -> tuple[bytes, npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
        ends = set(self.eos_token_ids)
        pieces = [b"" if t is None or i in ends or not kept(t) else t for i, t in enumerate(self.tokens)]
        lengths = np.fromiter(map(len, pieces), dtype=np.int32, count=len(pieces))
        offsets = np.zeros(len(pieces) + 1, dtype=np.int32)
        np.cumsum(lengths, out=offsets[1:])
        return b"".join(pieces), offsets, (lengths > 0).astype(np.uint8)

    def _fingerprint(self) -> str:
        h = hashlib.sha256()
        lengths = np.fromiter(
            (-1 if t is None else len(t) for t in self.tokens), dtype=np.int32, count=len(self.tokens)
        )
        h.update(lengths.tobytes())
        h.update(b"".join(t for t in self.tokens if t))
        h.update(
            repr((self.eos_token_ids, sorted(self.special_tokens.items()), sorted(self.first_bytes.items()))).encode()
        )
        return h.hexdigest()
