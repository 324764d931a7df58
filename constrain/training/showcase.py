"""What the embedded model says for schemas drawn after training: all of them, as a Markdown table."""

from __future__ import annotations

import argparse
import json
import random

from constrain.generator import Generator
from constrain.training import data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("-n", type=int, default=20)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    print("| prompt | fields | answer | as stated |\n|:--|:--|:--|:-:|")
    model, tokenizer = None, None
    for _ in range(args.n):
        sample = data.draw(rng)
        generator = Generator("default" if model is None else model, sample.schema, tokenizer, describe=True)
        model, tokenizer = generator.model, generator.tokenizer
        found = generator(sample.prompt, temperature=0.0)
        right = "yes" if json.loads(found.text) == json.loads(sample.answer) else "no"
        prompt = sample.prompt.replace("\n", "<br>")
        print(f"| {prompt} | {', '.join(sample.schema['properties'])} | `{found.text}` | {right} |")


if __name__ == "__main__":
    main()
