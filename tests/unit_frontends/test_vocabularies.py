"""Token bytes of real tokenizers: what the ids of a text spell is the text."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from oracles import DATA

import constrain

TEXTS = [
    "Hello, world!", "  two  spaces", "naïve café — 日本語 テキスト", "👩 emoji", 'def f(x):\n\treturn {"a": [1, 2.5e-3]}\r\n',
    "\x00\x01 control", "a", " ", "\n\n\n", "ΑΒΓ абв ١٢٣", "{'k': \"v\\n\"}",
]  # fmt: skip


def spells(vocabulary, encode, texts=TEXTS):
    for text in texts:
        ids = encode(text)
        assert b"".join(vocabulary.tokens[i] or b"" for i in ids) == text.encode(), text


def mistral_data() -> Path:
    mistral = pytest.importorskip("mistral_common")
    return Path(mistral.__file__).parent / "data"


def test_tekken_131k():
    tekken = pytest.importorskip("mistral_common.tokens.tokenizers.tekken")
    path = sorted(mistral_data().glob("tekken_*.json"))[0]
    tokenizer = tekken.Tekkenizer.from_file(path)
    v = constrain.Vocabulary.from_tokenizer(tokenizer)
    assert len(v) == tokenizer.n_words > 131_000
    spells(v, lambda t: tokenizer.encode(t, False, False))
    assert v.kernel.closed


def test_sentencepiece_32k_with_byte_fallback():
    sentencepiece = pytest.importorskip("sentencepiece")
    path = sorted(mistral_data().glob("tokenizer.model*"))[0]
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    v = constrain.Vocabulary.from_tokenizer(model)
    assert len(v) >= 32_000
    for text in TEXTS:
        if "\x00" in text:
            continue
        ids = model.encode(text)
        assert v.decode(ids) == text.encode() or v.decode(ids).strip() == text.strip().encode()
    assert v.tokens[model.piece_to_id("<0x0A>")] == b"\n"
    assert v.kernel.closed


def llama3_ranks() -> dict[bytes, int]:
    path = DATA / "tokenizers" / "llama3.tiktoken"
    if not path.exists():
        pytest.skip("needs the shared test data")
    lines = path.read_bytes().splitlines()
    return {base64.b64decode(a): int(b) for a, b in (line.split() for line in lines if line)}


def test_tiktoken_ranks():
    tiktoken = pytest.importorskip("tiktoken")
    ranks = llama3_ranks()
    encoding = tiktoken.Encoding(
        "llama3", pat_str=r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+", mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": len(ranks)},
    )  # fmt: skip
    v = constrain.Vocabulary.from_tokenizer(encoding)
    assert v.eos_token_ids == (len(ranks),)
    spells(v, lambda t: encoding.encode(t, disallowed_special=()))


def trained(model, trainer, pre=None, decoder=None, normalizer=None):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(model)
    if pre is not None:
        tokenizer.pre_tokenizer = pre
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator([*TEXTS, Path(__file__).read_text()], trainer)
    if decoder is not None:
        tokenizer.decoder = decoder
    return tokenizer


def test_byte_level_bpe_and_added_tokens():
    from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = trained(
        models.BPE(),
        trainers.BpeTrainer(vocab_size=500, special_tokens=["<eos>"], initial_alphabet=alphabet, show_progress=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    tokenizer.add_tokens([AddedToken("plain added é", special=False, normalized=False)])
    v = constrain.Vocabulary.from_tokenizer(tokenizer, size=520)
    assert len(v) == 520
    assert v.tokens[tokenizer.token_to_id("plain added é")] == "plain added é".encode()
    assert v.tokens[tokenizer.token_to_id("<eos>")] is None
    spells(v, lambda t: tokenizer.encode(t).ids)


def test_metaspace_and_wordpiece_say_what_the_first_token_spells():
    from tokenizers import decoders, models, pre_tokenizers, trainers

    meta = trained(
        models.BPE(unk_token="<unk>"),
        trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "</s>"], show_progress=False),
        pre_tokenizers.Metaspace(),
        decoders.Metaspace(),
    )
    v = constrain.Vocabulary.from_tokenizer(meta)
    ids = meta.encode("def return").ids
    assert v.decode(ids) == b"def return"
    word = trained(
        models.WordPiece(unk_token="[UNK]"),
        trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]", "[SEP]"], show_progress=False),
        pre_tokenizers.WhitespaceSplit(),
        decoders.WordPiece(),
    )
    v = constrain.Vocabulary.from_tokenizer(word)
    assert v.decode(word.encode("def return").ids) == b"def return"


def test_errors_and_fingerprints():
    with pytest.raises(constrain.VocabularyError, match="end token"):
        constrain.Vocabulary([b"a"], [])
    with pytest.raises(constrain.VocabularyError, match="out of range"):
        constrain.Vocabulary([b"a"], [1])
    with pytest.raises(constrain.VocabularyError, match="bytes"):
        constrain.Vocabulary(["a"], [0])  # type: ignore[list-item]
    with pytest.raises(constrain.VocabularyError, match="object"):
        constrain.Vocabulary.from_tokenizer(object())
    a, b = (constrain.Vocabulary([b"a", b"", None], [2]) for _ in range(2))
    assert a.fingerprint == b.fingerprint != constrain.Vocabulary([b"a", None, None], [2]).fingerprint


def test_equal_empty_and_padded_tokens():
    v = constrain.Vocabulary([b"a", b"a", b"", None, None], [3, 4])
    m = constrain.compile(constrain.regex("a?"), v).matcher()
    assert np.flatnonzero(m.mask()).tolist() == [0, 1, 3, 4]
