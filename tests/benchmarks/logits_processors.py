"""Logits processors in every mode of transformers' `generate`: does the text that comes out belong to the schema?

    python tests/benchmarks/logits_processors.py [--model PATH] [--trials N]

Rows are modes, columns are processors: ours, and those of XGrammar and Outlines where they are installed. A cell says how
many of the texts are right, judged by decoding them and asking jsonschema, or which exception came out. Every processor
is made anew for each trial; in the rows about reuse one serves two calls, with nothing called in between.

All compact JSON in declared order, over keywords that all of them enforce, and the schema bounds every text well below
the token limit, so that only the processors differ. The assistant of assisted decoding is the model itself with noise on
its weights, so that many of its drafts are not legal.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jsonschema
import torch

import constrain
from constrain import models
from constrain.adapters.transformers import ConstrainLogitsProcessor

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Z][a-z]{2,9}$"},
        "age": {"enum": [21, 34, 58]},
        "city": {"enum": ["Rome", "Oslo", "San Francisco"]},
    },
    "required": ["name", "age", "city"],
    "additionalProperties": False,
}
PROMPTS = (
    "Extract the person: Maria is 34 years old and lives in Rome.",
    "Extract the person: Ben lives in San Francisco and is 21 years old.",
    "Extract the person: at the age of 58 Olga moved to Oslo.",
    "Say something else.",
)
MOST = 120  # tokens


@dataclass(frozen=True)
class Mode:
    """How `generate` is called: `prompts` rows at a time, `calls` times with one processor."""

    options: dict[str, Any]
    prompts: int = 1
    calls: int = 1
    assisted: bool = False


MODES = {
    "greedy": Mode({"do_sample": False}),
    "sampling": Mode({"do_sample": True}),
    "sampling, temperature 2": Mode({"do_sample": True, "temperature": 2.0}),
    "sampling, top-k 1": Mode({"do_sample": True, "top_k": 1}),
    "three samples of a prompt": Mode({"do_sample": True, "num_return_sequences": 3}),
    "four beams": Mode({"do_sample": False, "num_beams": 4, "num_return_sequences": 4}),
    "beam samples": Mode({"do_sample": True, "num_beams": 3, "num_return_sequences": 2}),
    "assisted": Mode({"do_sample": False}, assisted=True),
    "assisted, sampling": Mode({"do_sample": True}, assisted=True),
    "prompt lookup": Mode({"do_sample": False, "prompt_lookup_num_tokens": 3}),
    "rows that finish early": Mode({"do_sample": True, "temperature": 2.0}, prompts=4),
    "beams of two prompts": Mode({"do_sample": False, "num_beams": 3}, prompts=2),
    "reuse, the next prompt": Mode({"do_sample": False}, calls=2),
    "reuse, batches of two and one": Mode({"do_sample": True}, prompts=2, calls=2),
}


@dataclass
class Bench:
    model: Any
    tokenizer: Any
    assistant: Any

    def texts(self, mode: Mode, processor: Any, trial: int) -> list[str]:
        """The texts of all rows of all calls."""
        out: list[str] = []
        for call in range(mode.calls):
            count = max(1, mode.prompts - call)
            prompts = [PROMPTS[(trial + call + i) % len(PROMPTS)] for i in range(count)]
            batch = self.tokenizer(self.prepare(prompts), return_tensors="pt", padding=True, padding_side="left")
            options = dict(mode.options)
            if mode.assisted:
                options["assistant_model"] = self.assistant
            torch.manual_seed(1000 * trial + call)
            rows = self.model.generate(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=MOST,
                logits_processor=[processor], pad_token_id=self.end, **options,
            )  # fmt: skip
            out += [self.decode(r) for r in rows[:, batch["input_ids"].shape[1] :].tolist()]
        return out

    @property
    def end(self) -> int:
        return int(self.tokenizer.eos_token_id)

    def prepare(self, prompts: Sequence[str]) -> list[str]:
        if not self.tokenizer.chat_template:
            return list(prompts)
        turns = [[{"role": "user", "content": p}] for p in prompts]
        return [self.tokenizer.apply_chat_template(t, tokenize=False, add_generation_prompt=True) for t in turns]

    def decode(self, row: list[int]) -> str:
        """The text before the end token; what follows must be padding, or the text is marked wrong."""
        if self.end not in row:
            return self.tokenizer.decode(row) + " (no end)"
        at = row.index(self.end)
        text: str = self.tokenizer.decode(row[:at])
        return text if set(row[at:]) == {self.end} else text + " (tokens after the end)"


# ---------------------------------------------------------------------- processors
def ours(bench: Bench) -> Callable[[], Any]:
    grammar = constrain.json_schema(SCHEMA, whitespace="compact", order="schema", numbers="plain")
    size = bench.model.get_output_embeddings().weight.shape[0]
    automaton = constrain.compile(grammar, constrain.Vocabulary.from_tokenizer(bench.tokenizer, size=size))
    return lambda: ConstrainLogitsProcessor(automaton)


def xgrammar(bench: Bench) -> Callable[[], Any]:
    import xgrammar as xgr
    from xgrammar.contrib.hf import LogitsProcessor

    size = bench.model.get_output_embeddings().weight.shape[0]
    compiler = xgr.GrammarCompiler(xgr.TokenizerInfo.from_huggingface(bench.tokenizer, vocab_size=size))
    compiled = compiler.compile_json_schema(json.dumps(SCHEMA), any_whitespace=False, separators=(",", ":"))
    return lambda: LogitsProcessor(compiled)


def outlines(bench: Bench) -> Callable[[], Any]:
    import outlines as package
    from outlines.backends.outlines_core import OutlinesCoreBackend

    backend = OutlinesCoreBackend(package.from_transformers(bench.model, bench.tokenizer))
    return lambda: backend.get_json_schema_logits_processor(json.dumps(SCHEMA), whitespace_pattern="")


PROCESSORS = {"constrain": ours, "xgrammar": xgrammar, "outlines": outlines}


def available(bench: Bench) -> dict[str, Callable[[], Any] | str]:
    """For each column a maker of processors, or why there is none."""
    out: dict[str, Callable[[], Any] | str] = {}
    for name, make in PROCESSORS.items():
        try:
            out[name] = make(bench)
        except ImportError:
            out[name] = "absent"
        except Exception as e:
            out[name] = f"refuses: {type(e).__name__}"
    return out


# ---------------------------------------------------------------------- judging
def is_valid(text: str) -> bool:
    try:
        return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(json.loads(text)))
    except ValueError:
        return False


def cell(bench: Bench, mode: Mode, make: Callable[[], Any], trials: int, examples: list[str]) -> str:
    """What becomes of `trials` runs: how many texts are right, how many runs raise."""
    right = total = 0
    raised: dict[str, int] = {}
    for trial in range(trials):
        try:
            texts = bench.texts(mode, make(), trial)
        except Exception as e:
            raised[type(e).__name__] = raised.get(type(e).__name__, 0) + 1
            continue
        wrong = [t for t in texts if not is_valid(t)]
        examples += wrong[:1]
        total += len(texts)
        right += len(texts) - len(wrong)
    parts = [f"right {right}/{total}" if right == total else f"WRONG {total - right}/{total}"] if total else []
    parts += [f"{n}x {name}" for name, n in raised.items()]
    return ", ".join(parts)


def noisy(model: Any, amount: float) -> Any:
    """A copy with relative Gaussian noise on its weights."""
    generator = torch.Generator().manual_seed(5)
    other = copy.deepcopy(model).eval()
    with torch.no_grad():
        for p in other.parameters():
            p += amount * p.std() * torch.randn(p.shape, generator=generator)
    return other


def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Logits processors in every mode of generate.")
    parser.add_argument("--model", default="default")
    parser.add_argument("--trials", type=int, default=4)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    import transformers

    transformers.utils.logging.set_verbosity_error()
    model, tokenizer = models.load(options.model)
    bench = Bench(model.eval(), tokenizer, noisy(model, 0.3))
    versions = ", ".join(f"{p} {installed(p)}" for p in ("transformers", "torch", "xgrammar", "outlines"))
    print(f"{platform.machine()}, Python {platform.python_version()}, constrain {constrain.__version__}, {versions}")
    columns = available(bench)
    print(f"{'mode':<32}" + "".join(f"{name:<40}" for name in columns))
    begin = time.perf_counter()
    examples: dict[str, list[str]] = {name: [] for name in columns}
    for name, mode in MODES.items():
        cells = [
            made if isinstance(made, str) else cell(bench, mode, made, options.trials, examples[column])
            for column, made in columns.items()
        ]
        print(f"{name:<32}" + "".join(f"{c:<40}" for c in cells), flush=True)
    for column, wrong in examples.items():
        for text in sorted(set(wrong), key=len)[:3]:
            print(f"  {column} wrote {text[:100]!r}")
    print(f"{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
