"""`generate` and its reusable form: a model, a prompt, and the type of what should come back.

    person = constrain.generate("default", "Ada is 36 and lives in London.", Person, seed=1).parsed

`model` is "default" (embedded), a path or hub name, a transformers model (with its tokenizer), or any `LanguageModel`
(with a `Vocabulary` or tokenizer). A prompt is a text or a list of chat messages; texts go through the tokenizer's chat
template when it has one. A `Generator` keeps the loaded model and the compiled automaton between calls.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from constrain import models, types
from decoders import autoregressive
from decoders.generation import Generation
from decoders.processing import Sampling
from grammars.errors import UnsupportedFeature, VocabularyError
from grammars.tokens.automaton import TokenAutomaton, compile_grammar
from grammars.tokens.vocabulary import Vocabulary

Prompt = str | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a stream: the new text and all text so far.

    partial: the object so far, where the text already denotes one (a model with required fields needs them all).
    data: the JSON data so far, strings in progress included; None while there is none, and for other languages.
    """

    text: str
    so_far: str
    partial: Any
    data: Any = None


class Generator:
    """A model and a target, compiled once; see `generate` for the arguments. Calls may come from several threads."""

    def __init__(self, model: Any, T: Any, tokenizer: Any = None, *, describe: bool | None = None) -> None:
        if isinstance(model, str):
            describe = model == "default" if describe is None else describe
            model, loaded = models.load(model)
            tokenizer = tokenizer or loaded
        self.model, self.tokenizer, self.vocabulary = _resolve(model, tokenizer)
        self.target = types.target_of(T)
        self.hint = types.describe(self.target.schema) if describe else ""
        self.automaton: TokenAutomaton = compile_grammar(self.target.grammar, self.vocabulary)

    def __call__(self, prompt: Prompt, **options: Any) -> Generation:
        return self.batch([prompt], **options)[0]

    def batch(
        self, prompts: Sequence[Prompt], *, max_tokens: int = 256, seed: int = 0, seeds: Sequence[int] | None = None,
        stop: Sequence[str] = (), listener: autoregressive.Listener | None = None, **sampling: Any,
    ) -> list[Generation]:  # fmt: skip
        """One text for each prompt; row i draws with ``seeds[i]``, or ``seed + i``."""
        if not prompts:
            return []
        found = autoregressive.generate(
            self.model,
            [self.encode(p) for p in prompts],
            [self.automaton.matcher() for _ in prompts],
            self.vocabulary,
            sampling=Sampling(**sampling),
            max_tokens=max_tokens,
            seeds=seeds or [seed + i for i in range(len(prompts))],
            stop=stop,
            listener=listener,
        )
        return [replace(g, parser=self.target.parse) for g in found]

    def stream(self, prompt: Prompt, **options: Any) -> Iterator[Piece]:
        """Pieces of one text as they become certain. The text is generated in a thread of its own."""
        pieces: queue.Queue[str | BaseException | None] = queue.Queue()

        def work() -> None:
            try:
                self.batch([prompt], listener=lambda _, text: pieces.put(text), **options)
                pieces.put(None)
            except BaseException as e:
                pieces.put(e)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        so_far = ""
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            so_far += piece
            yield Piece(piece, so_far, self._partial(so_far), self._data(so_far))
        thread.join()

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt: chat messages and, where the tokenizer has a chat template, texts go through it."""
        if not isinstance(prompt, str) and not (
            isinstance(prompt, Sequence) and all(isinstance(m, Mapping) for m in prompt)
        ):
            raise TypeError(f"a prompt is a text or a list of chat messages, not {type(prompt).__name__}")
        if isinstance(prompt, str) and self.hint and "Fields:" not in prompt:
            prompt = f"{prompt}\n{self.hint}"
        template = getattr(self.tokenizer, "chat_template", None)
        if template:
            messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            return list(self.tokenizer.encode(text, add_special_tokens=False))
        if not isinstance(prompt, str):
            raise UnsupportedFeature("chat messages need a tokenizer with a chat template")
        if self.tokenizer is None:
            return self.vocabulary.encode(prompt.encode())
        return list(self.tokenizer.encode(prompt))

    def _data(self, text: str) -> Any:
        if self.target.parse_partial is None:
            return None
        try:
            return types.partial_json(text)
        except ValueError:
            return None

    def _partial(self, text: str) -> Any:
        if self.target.parse_partial is None:
            return None
        try:
            return self.target.parse_partial(text)
        except ValueError:
            return None


def generate(
    model: Any,
    prompt: Prompt,
    T: Any,
    tokenizer: Any = None,
    *,
    sampler: Any = None,
    decoder: Any = None,
    max_tokens: int = 256,
    seed: int = 0,
    **options: Any,
) -> Generation:
    """Generate one text of the language that `T` asks for.

    T: a type, a JSON Schema (mapping), a list of strings, a compiled pattern, or a `Grammar`.
    options: temperature (0 is greedy), top_k, top_p, min_p, repetition_penalty, stop. The output is complete within
    max_tokens, or BudgetError is raised before the model is called. `.parsed` of the result is the object.
    """
    for name, given in (("sampler", sampler), ("decoder", decoder)):
        if given is not None:
            raise UnsupportedFeature(f"{name}={given!r}: only plain masked autoregressive decoding is available")
    return Generator(model, T, tokenizer)(prompt, max_tokens=max_tokens, seed=seed, **options)


def _resolve(model: Any, tokenizer: Any) -> tuple[Any, Any, Vocabulary]:
    """(LanguageModel, tokenizer or None, Vocabulary)."""
    wrapped = model
    if not hasattr(model, "start") and hasattr(model, "get_output_embeddings"):
        from constrain.adapters.transformers import TransformersModel

        wrapped = TransformersModel(model)
    if isinstance(tokenizer, Vocabulary):
        return wrapped, None, tokenizer
    if tokenizer is None:
        raise VocabularyError("pass tokenizer=..., the tokenizer or Vocabulary that belongs to the model")
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return wrapped, tokenizer, Vocabulary.from_tokenizer(tokenizer, eos_token_ids=ends, size=wrapped.vocabulary_size)
