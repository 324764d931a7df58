"""The exact bytes of tokens, read out of the tokenizers that people have.

Each family writes bytes in its own way: byte-level BPE maps the 256 bytes to printable characters, SentencePiece writes
a space as ``▁`` and other bytes as ``<0xNN>``, WordPiece marks continuations with ``##``, tiktoken keeps plain bytes.
For `tokenizers` the decoder part of its JSON says which rules apply; a decoder that is not known is refused by name.
Nothing here imports a tokenizer library: everything is recognised by what it offers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from grammars.errors import VocabularyError

SPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True, slots=True)
class Extracted:
    tokens: list[bytes | None]
    eos_token_ids: list[int]
    special_tokens: dict[str, int] = field(default_factory=dict)
    first_bytes: dict[int, bytes] = field(default_factory=dict)
    encoder: Callable[[str], Iterable[int]] | None = None


def extract(tokenizer: Any) -> Extracted:
    """Read any known tokenizer. Raises VocabularyError naming what is not known."""
    inner = getattr(tokenizer, "instruct_tokenizer", None)  # mistral-common: MistralTokenizer
    if inner is not None:
        return extract(inner.tokenizer)
    if hasattr(tokenizer, "to_str") and hasattr(tokenizer, "get_vocab"):
        return _from_tokenizers(tokenizer, [])
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and hasattr(backend, "to_str"):
        return _from_tokenizers(backend, _ends(tokenizer))
    if hasattr(tokenizer, "token_byte_values") or hasattr(tokenizer, "decode_single_token_bytes"):
        return _from_tiktoken(tokenizer)
    if hasattr(tokenizer, "id_to_byte_piece") and hasattr(tokenizer, "n_words"):
        return _from_mistral(tokenizer)
    if hasattr(tokenizer, "id_to_piece") and hasattr(tokenizer, "is_control"):
        return _from_sentencepiece(tokenizer)
    model = getattr(tokenizer, "sp_model", None) or getattr(tokenizer, "_model", None)
    if model is not None and hasattr(model, "is_control"):
        return _from_sentencepiece(model)
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is not None and inner is not tokenizer:
        found = extract(inner)
        ends = _ends(tokenizer) or found.eos_token_ids
        return Extracted(found.tokens, ends, found.special_tokens, found.first_bytes, found.encoder)
    raise VocabularyError(
        f"no rule reads the bytes of a {type(tokenizer).__name__}; pass Vocabulary(tokens=[...], eos_token_ids=[...])"
    )


def _ends(tokenizer: Any) -> list[int]:
    end = getattr(tokenizer, "eos_token_id", None)
    if end is None:
        return []
    return list(end) if isinstance(end, list | tuple) else [int(end)]


def byte_alphabet() -> dict[str, int]:
    """The printable character that byte-level BPE writes for each byte: itself where it is visible, else U+0100 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in set(visible)]
    return {**{chr(b): b for b in visible}, **{chr(256 + i): b for i, b in enumerate(hidden)}}


# ---------------------------------------------------------------------- tokenizers (and transformers on top of it)
@dataclass(slots=True)
class _Decoder:
    """The rules that the decoder of a `tokenizers` JSON adds up to."""

    byte_level: bool = False
    byte_fallback: bool = False
    replace: list[tuple[str, str]] = field(default_factory=list)
    strip_first: int = 0  # characters cut from the start of a text
    strip_content: str = " "
    word_prefix: str | None = None
    suffix: str | None = None


def _read_decoder(spec: dict[str, Any] | None, out: _Decoder) -> None:
    if spec is None:
        return
    kind = spec["type"]
    if kind == "Sequence":
        for part in spec["decoders"]:
            _read_decoder(part, out)
    elif kind == "ByteLevel":
        out.byte_level = True
    elif kind == "ByteFallback":
        out.byte_fallback = True
    elif kind == "Fuse":
        pass
    elif kind == "Replace":
        pattern = spec["pattern"].get("String")
        if pattern is None:
            raise VocabularyError("a decoder that replaces by a regex has no byte rule; pass the tokens as bytes")
        out.replace.append((pattern, spec["content"]))
    elif kind == "Strip":
        out.strip_first, out.strip_content = spec["start"], spec["content"]
    elif kind == "Metaspace":
        out.replace.append((spec.get("replacement", SPACE), " "))
        if spec.get("prepend_scheme", "always") != "never":
            out.strip_first = 1
    elif kind == "WordPiece":
        out.word_prefix = spec["prefix"]
    elif kind == "BPEDecoder":
        out.suffix = spec["suffix"]
    else:
        raise VocabularyError(f"no rule reads a decoder of type {kind!r}; pass the tokens as bytes")


def _from_tokenizers(tokenizer: Any, ends: list[int]) -> Extracted:
    # Only two parts of the tokenizer's JSON are read: the rest, vocabulary and merges, takes longer than everything else here.
    part = tokenizer.decoder
    decoder = _Decoder()
    _read_decoder(None if part is None else json.loads(part.__getstate__()), decoder)
    vocab: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    tokens: list[bytes | None] = [None] * (max(vocab.values(), default=-1) + 1)
    added = tokenizer.get_added_tokens_decoder()
    specials = {t.content: i for i, t in added.items() if t.special}
    first: dict[int, bytes] = {}
    alphabet = byte_alphabet()
    table = {ord(c): chr(b) for c, b in alphabet.items()}
    for text, i in vocab.items():
        if i in added:
            tokens[i] = None if added[i].special else added[i].content.encode()
        elif decoder.byte_level:
            tokens[i] = _byte_level(text, table)
        else:
            tokens[i] = _plain(text, decoder)
            if decoder.word_prefix is not None or decoder.strip_first:
                _first(i, tokens[i], decoder, text, first)
    if not ends:
        ends = [i for name, i in specials.items() if name in _END_NAMES][:1]

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    plain = not decoder.strip_first and decoder.word_prefix is None
    return Extracted(tokens, ends, specials, first, encode if plain else None)


_END_NAMES = (
    "</s>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|im_end|>",
    "<eos>",
    "<|end|>",
    "[SEP]",
    "[EOS]",
)


def _byte_level(text: str, table: dict[int, str]) -> bytes:
    mapped = text.translate(table)
    try:
        return mapped.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()  # a token outside the byte alphabet stands for itself


def _plain(text: str, decoder: _Decoder) -> bytes:
    if decoder.byte_fallback:
        found = _BYTE.fullmatch(text)
        if found:
            return bytes([int(found[1], 16)])
    for old, new in decoder.replace:
        text = text.replace(old, new)
    if decoder.word_prefix is not None:
        text = text[len(decoder.word_prefix) :] if text.startswith(decoder.word_prefix) else " " + text
    if decoder.suffix:
        text = text.replace(decoder.suffix, " ")
    return text.encode()


def _first(i: int, piece: bytes | None, decoder: _Decoder, text: str, first: dict[int, bytes]) -> None:
    if piece is None:
        return
    if decoder.word_prefix is not None:
        if not text.startswith(decoder.word_prefix):
            first[i] = piece[1:]
        return
    content = decoder.strip_content.encode()
    cut = piece
    for _ in range(decoder.strip_first):
        cut = cut.removeprefix(content)
    if cut != piece:
        first[i] = cut


# ---------------------------------------------------------------------- the others
def _from_tiktoken(tokenizer: Any) -> Extracted:
    size = tokenizer.n_vocab
    specials: dict[str, int] = dict(getattr(tokenizer, "_special_tokens", {}))
    special_ids = set(specials.values())
    tokens: list[bytes | None] = [None] * size
    for i in range(size):
        if i in special_ids:
            continue
        try:
            tokens[i] = tokenizer.decode_single_token_bytes(i)
        except KeyError:
            continue
    end = getattr(tokenizer, "eot_token", None)
    return Extracted(
        tokens,
        [] if end is None else [end],
        specials,
        {},
        lambda text: tokenizer.encode(text, disallowed_special=()),
    )


def _from_sentencepiece(model: Any) -> Extracted:
    size = model.get_piece_size() if hasattr(model, "get_piece_size") else model.vocab_size()
    tokens: list[bytes | None] = []
    specials: dict[str, int] = {}
    first: dict[int, bytes] = {}
    for i in range(size):
        piece = model.id_to_piece(i)
        if model.is_control(i) or model.is_unknown(i) or model.is_unused(i):
            specials[piece] = i
            tokens.append(None)
        elif model.is_byte(i):
            tokens.append(bytes([int(piece[3:5], 16)]))
        else:
            tokens.append(piece.replace(SPACE, " ").encode())
            if piece.startswith(SPACE):
                first[i] = piece[1:].replace(SPACE, " ").encode()
    end = model.eos_id()
    return Extracted(tokens, [end] if end >= 0 else [], specials, first)


def _from_mistral(tokenizer: Any) -> Extracted:
    """mistral-common: Tekkenizer keeps bytes; its SentencePieceTokenizer wraps a model."""
    model = getattr(tokenizer, "_model", None)
    if model is not None and hasattr(model, "is_control"):
        return _from_sentencepiece(model)
    tokens: list[bytes | None] = []
    specials: dict[str, int] = {}
    special_count = getattr(tokenizer, "num_special_tokens", 0)
    for i in range(tokenizer.n_words):
        if i < special_count:
            specials[tokenizer.id_to_piece(i)] = i
            tokens.append(None)
        else:
            tokens.append(tokenizer.id_to_byte_piece(i))
    encode = getattr(tokenizer, "encode", None)
    encoder = (lambda text: encode(text, False, False)) if encode is not None else None
    return Extracted(tokens, [tokenizer.eos_id], specials, {}, encoder)
