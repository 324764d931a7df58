"""Train the embedded model from nothing: a byte-level BPE tokenizer and a small Llama on the data of `data.py`.

``python -m constrain.training.train --steps 6000 --out constrain/models/default`` is what made the weights in the
repository (the model card beside them gives the figures). One core suffices; the run is deterministic for a seed and a
number of threads. The loss covers the answer and, lightly, the prompt.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from constrain.training import data

USER, ASSISTANT, END = "<|user|>", "<|assistant|>", "<|end|>"
TEMPLATE = (
    "{% for m in messages %}{{ '<|assistant|>' if m['role'] == 'assistant' else '<|user|>' }}{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def text_of(sample: data.Sample) -> tuple[str, str]:
    """The prompt part and the answer part of a training text."""
    return f"{USER}{sample.prompt}{ASSISTANT}", f"{sample.answer}{END}"


def train_tokenizer(seed: int, size: int) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    rng = random.Random(seed)
    tokenizer = Tokenizer(models.BPE())
    # digits one by one, so that numbers are copied digit for digit
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(t, special=True) for t in (END, USER, ASSISTANT)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(("".join(text_of(data.draw(rng))) for _ in range(20_000)), trainer)
    return tokenizer


def batches(tokenizer: Any, seed: int, rows: int, width: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (ids, weights): int64[rows, width] and float32[rows, width], samples packed one after the other."""
    rng = random.Random(seed)
    ids: list[int] = []
    weights: list[float] = []
    while True:
        while len(ids) < rows * width:
            prompt, answer = (tokenizer.encode(t).ids for t in text_of(data.draw(rng)))
            ids += [*prompt, *answer]
            weights += [0.1] * len(prompt) + [1.0] * len(answer)
        n = rows * width
        yield torch.tensor(ids[:n]).view(rows, width), torch.tensor(weights[:n]).view(rows, width)
        del ids[:n], weights[:n]


def build_model(vocabulary: int, hidden: int, layers: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3 // 32 * 32,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 32,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    tokenizer = train_tokenizer(args.seed, args.vocabulary)
    model = build_model(tokenizer.get_vocab_size(), args.hidden, args.layers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=0.05, betas=(0.9, 0.98))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    start = time.monotonic()
    for step, (ids, weights) in enumerate(batches(tokenizer, args.seed + 1, args.rows, args.width)):
        if step == args.steps or time.monotonic() - start > args.minutes * 60:
            break
        progress = max(step / args.steps, (time.monotonic() - start) / (args.minutes * 60))
        rate = (
            args.rate * min(1.0, (step + 1) / 200) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        logits = model(input_ids=ids[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        mean = (loss * weights[:, 1:].flatten()).sum() / weights[:, 1:].sum()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(mean)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step} loss {mean.item():.4f} {time.monotonic() - start:.0f} s", flush=True)
        if step and step % 1000 == 0:
            save(model, tokenizer, args.out)
    save(model, tokenizer, args.out)
    print(json.dumps(evaluate(model, tokenizer, args.seed + 2, 100)), flush=True)


def save(model: Any, tokenizer: Any, out: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    out.mkdir(parents=True, exist_ok=True)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)
    fast.chat_template = TEMPLATE
    fast.save_pretrained(out)
    model.generation_config.eos_token_id = 0
    model.generation_config.pad_token_id = 0
    state = {k: v.to(torch.bfloat16) for k, v in model.state_dict().items()}
    copy = type(model)(model.config).to(torch.bfloat16)
    copy.load_state_dict(state)
    copy.save_pretrained(out)


@torch.no_grad()
def evaluate(model: Any, tokenizer: Any, seed: int, n: int) -> dict[str, float]:
    """Exact match of greedy, unconstrained answers on `n` fresh samples, by family, and the share that is JSON."""
    rng = random.Random(seed)
    right: dict[str, list[bool]] = {f: [] for f in data.FAMILIES}
    valid = 0
    model.eval()
    for _ in range(n):
        sample = data.draw(rng)
        prompt, _ = text_of(sample)
        ids = torch.tensor([tokenizer.encode(prompt).ids])
        out = model.generate(ids, max_new_tokens=120, do_sample=False, pad_token_id=0, eos_token_id=0)
        text = tokenizer.decode(out[0, ids.shape[1] :].tolist())
        try:
            valid += isinstance(json.loads(text), dict)
        except ValueError:
            text = ""
        right[sample.family].append(bool(text) and json.loads(text) == json.loads(sample.answer))
    return {"json": valid / n, **{f: sum(r) / max(1, len(r)) for f, r in right.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop, with the schedule run out, after this long")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--vocabulary", type=int, default=1024)
    parser.add_argument("--hidden", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
