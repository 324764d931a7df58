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
from typing import TYPE_CHECKING, Any, overload

from constrain import models, types
from decoders import autoregressive
from decoders.generation import Generation
from decoders.processing import Sampling
from grammars.errors import BudgetError, UnsupportedFeature, VocabularyError
from grammars.tokens.automaton import TokenAutomaton, compile_grammar
from grammars.tokens.vocabulary import Vocabulary

if TYPE_CHECKING:
    from decoders.sampling.registry import Sampler
    from decoders.sampling.result import Samples
    from decoders.sampling.texts import SampledTexts
    from decoders.sampling.trie import PrefixTrie

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

    def trie(
        self, prompt: Prompt, *, max_tokens: int = 256, check: Any = None, check_tokens: Any = None, stop: Any = (),
        max_bytes: int = 1 << 30, **sampling: Any,
    ) -> PrefixTrie:  # fmt: skip
        """What samplers share: pass it to `sample` again and again, and no prefix is evaluated twice.

        check(text, ended) or check_tokens(tokens, ended): a black box that every prefix of a text must pass.
        stop: strings, or a function of the tokens so far; a text ends where one fires and the automaton accepts.
        max_bytes: of memory; prefixes beyond it are forgotten, and evaluated again where they are needed.
        sampling: temperature, top_k, top_p, min_p, repetition_penalty; all of them before the constraint.
        """
        from decoders.sampling.model import ProcessedModel
        from decoders.sampling.target import Target
        from decoders.sampling.texts import stop_at, text_check
        from decoders.sampling.trie import PrefixTrie

        if not callable(stop):
            stop = stop_at(self.vocabulary, [stop] if isinstance(stop, str) else stop) if stop else None
        if check is not None:
            if check_tokens is not None:
                raise ValueError("check= and check_tokens=: one of them; it may call the other")
            check_tokens = text_check(self.vocabulary, check)
        target = Target(ProcessedModel(self.model, self.encode(prompt), Sampling(**sampling)), self.automaton, max_tokens,
                        check_tokens, stop)  # fmt: skip
        need = self.automaton.matcher().distance() if target.graph.distance is None else int(target.graph.distance[0])
        if need > max_tokens:
            raise BudgetError(f"the shortest text known needs {need} tokens, and max_tokens is {max_tokens}")
        return PrefixTrie(target, max_bytes)

    def sample(
        self, prompt: Prompt | PrefixTrie, sampler: Any = "cars", samples: int = 1, *, seed: int = 0,
        critic: Any = None, critic_tokens: Any = None, **options: Any,
    ) -> SampledTexts:  # fmt: skip
        """Samples of the model's own distribution given the constraint; see `decoders.sampling.registry` for the samplers.

        prompt: or a `trie` of this generator. options: those of `trie` (unless one is given), `look_ahead`, `frontier`,
        and the sampler's own. critic(text, ended) or critic_tokens(tokens, ended), such as an `Expert`: a log score, for "smc".
        Raises SamplingError if a check or a critic raises or returns what it must not, ZeroMassError if the processed model
        gives the constraint no mass; what a sampler could not draw is in the result's `failure`, never filled up.
        """
        import numpy as np

        from decoders.sampling.registry import run
        from decoders.sampling.texts import text_critic
        from decoders.sampling.trie import PrefixTrie

        if options.pop("listener", None) is not None:
            raise UnsupportedFeature("listener= with sampler=: samples are not certain before the sampler ends")
        trie = prompt if isinstance(prompt, PrefixTrie) else self.trie(prompt, **_take(options, _TRIE_OPTIONS))
        if trie.target.automaton is not self.automaton:
            raise ValueError("this trie belongs to another generator: a trie serves one constraint, prompt and setting")
        if trie is prompt and (given := _take(options, _TRIE_OPTIONS)):
            raise ValueError(
                f"{', '.join(given)}: settings of a trie are those it was made with; make another by `trie`"
            )
        if critic is not None and critic_tokens is not None:
            raise ValueError("critic= and critic_tokens=: one of them; it may call the other")
        if critic is not None:
            critic_tokens = text_critic(self.vocabulary, critic)
        if critic_tokens is not None:
            options["critic"] = critic_tokens
        rng = np.random.default_rng(seed)
        return self._texts(trie, run(sampler, trie, samples, rng, **options), rng)

    def _texts(self, trie: PrefixTrie, found: Samples, rng: Any) -> SampledTexts:
        from decoders.sampling.model import ProcessedModel
        from decoders.sampling.result import NO_MASS, ZeroMassError
        from decoders.sampling.texts import SampledTexts, decode

        if found.failure == NO_MASS:
            raise ZeroMassError(f"{found.sampler}: {NO_MASS}; a truncation (top_k, top_p, min_p) may have caused it")
        model = trie.target.model
        raw = found.log_prob.tolist()
        if isinstance(model, ProcessedModel) and model.how != Sampling():
            stop = trie.target.stop
            drawn = [x[:-1] if stop is not None and stop(x[:-1]) else x for x in found.sequences]
            raw = model.raw_log_probs(drawn)
        generations = tuple(
            Generation(
                decode(self.vocabulary, x).decode(errors="replace"), x[:-1], log_prob, tuple(m.tolist()), "stop",
                parser=self.target.parse,
            )
            for x, log_prob, m in zip(found.sequences, raw, found.masses, strict=True)
        )  # fmt: skip
        return SampledTexts(found, generations, found.choose(rng) if len(found) else None, trie, self.vocabulary)

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


@overload
def generate(
    model: Any, prompt: Prompt, T: Any, tokenizer: Any = None, *, sampler: None = None, decoder: Any = None,
    max_tokens: int = 256, seed: int = 0, **options: Any,
) -> Generation: ...  # fmt: skip


@overload
def generate(
    model: Any, prompt: Prompt, T: Any, tokenizer: Any = None, *, sampler: str | Sampler, decoder: Any = None,
    max_tokens: int = 256, seed: int = 0, **options: Any,
) -> SampledTexts: ...  # fmt: skip


def generate(
    model: Any,
    prompt: Prompt,
    T: Any,
    tokenizer: Any = None,
    *,
    sampler: str | Sampler | None = None,
    decoder: Any = None,
    max_tokens: int = 256,
    seed: int = 0,
    **options: Any,
) -> Generation | SampledTexts:
    """Generate one text of the language that `T` asks for.

    T: a type, a JSON Schema (mapping), a list of strings, a compiled pattern, or a `Grammar`.
    options: temperature (0 is greedy), top_k, top_p, min_p, repetition_penalty, stop. The output is complete within
    max_tokens, or BudgetError is raised before the model is called. `.parsed` of the result is the object.

    sampler: "cars", "lookahead", "smc" ... (see docs/sampling.md), with samples=N: the result is a `SampledTexts`, draws
    of the model's own distribution given the constraint with their weights, and one of them as `.text` and `.parsed`.
    Without it masking distorts the distribution, by the factor that `.log_mass` reports, and a `Generation` comes back.
    """
    if decoder is not None:
        raise UnsupportedFeature(f"decoder={decoder!r}: only plain masked autoregressive decoding is available")
    generator = Generator(model, T, tokenizer)
    if sampler is not None:
        return generator.sample(prompt, sampler, max_tokens=max_tokens, seed=seed, **options)
    return generator(prompt, max_tokens=max_tokens, seed=seed, **options)


_TRIE_OPTIONS = (
    "max_tokens", "max_bytes", "check", "check_tokens", "stop", "temperature", "top_k", "top_p", "min_p", "repetition_penalty",
)  # fmt: skip


def _take(options: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Move the named options out of `options`."""
    return {name: options.pop(name) for name in names if name in options}


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
