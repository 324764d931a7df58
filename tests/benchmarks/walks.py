"""Random walks over the masks of real schemas: every document that is finished must be valid.

    python tests/benchmarks/walks.py [--tokenizer PATH] [--files N] [--walks K] [--seed S]

For each schema of MaskBench (where the shared data stands beside the repository), K walks of each kind, each token drawn
uniformly from the mask. *Free*: up to 60 tokens, then the canonical completion. *Tight*: a budget of the distance at the
start and up to 4 tokens more, counted down in every mask, so that the text must be complete when it is spent. Documents
are judged by `jsonschema` with exact decimals; what is not valid, or not finished, is printed and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

import numpy as np  # noqa: E402
from oracles import DATA, decimal_instance, no_duplicate_keys, valid  # noqa: E402

import constrain  # noqa: E402

FREE = 60
SLACK = 4


def draw(row: Any, rng: random.Random) -> int:
    """A token of the mask, uniformly."""
    words = np.flatnonzero(row)
    counts = np.bitwise_count(row[words]).astype(np.int64)
    at = rng.randrange(int(counts.sum()))
    i = int(np.searchsorted(np.cumsum(counts), at, side="right"))
    bits = np.flatnonzero(np.unpackbits(row[words[i] : words[i] + 1].view(np.uint8), bitorder="little"))
    return int(words[i]) * 32 + int(bits[at - int(counts[:i].sum())])


def free(automaton: Any, rng: random.Random) -> bytes:
    """A walk without a budget, then the canonical completion."""
    matcher, row, text = automaton.matcher(), automaton.vocabulary.new_rows()[0], b""
    for _ in range(FREE):
        matcher.fill_mask(row)
        token = draw(row.view(np.uint32), rng)
        assert matcher.advance(token), "a token of the mask was refused"
        if matcher.ended:
            return text
        text += automaton.vocabulary.tokens[token] or b""
    return text + bytes(matcher.completion())


def tight(automaton: Any, rng: random.Random) -> bytes:
    """A walk that its budget finishes."""
    matcher, row, text = automaton.matcher(), automaton.vocabulary.new_rows()[0], b""
    for left in range(matcher.distance() + rng.randint(0, SLACK), -1, -1):
        assert matcher.fill_mask(row, 0, left), "the budget no longer suffices"
        token = draw(row.view(np.uint32), rng)
        assert matcher.advance(token), "a token of the mask was refused"
        if matcher.ended:
            return text
        text += automaton.vocabulary.tokens[token] or b""
    raise AssertionError("the budget is spent and the text has not ended")


def judge(kind: Callable[..., bytes], automaton: Any, schema: Any, rng: random.Random) -> str:
    """What became of one walk: "valid", a limit, or what went wrong with the text."""
    try:
        text = kind(automaton, rng).decode()
    except constrain.LimitExceeded:
        return "limit"
    except AssertionError as e:
        return f"wrong: {e}"
    try:
        instance = decimal_instance(text)
        good = no_duplicate_keys(text) and valid(schema, instance)
    except RecursionError:
        return "beyond the oracle"
    if good:
        return "valid"
    # the dot and the end of a text are other things in Python's patterns where there are line ends (ECMA-262, 21.2.2)
    ends = any(c in json.dumps(instance, ensure_ascii=False, default=str) for c in ("\\n", "\\r", "\u2028", "\u2029"))
    return "beyond the oracle" if ends and ("attern" in json.dumps(schema)) else f"wrong: {text}"


def run(files: list[Path], vocabulary: Any, walks: int, seed: int, say: Callable[[str], None]) -> Counter[str]:
    """Counts of (kind, outcome), and of refused schemas."""
    found: Counter[str] = Counter()
    for n, path in enumerate(files):
        if n % 100 == 0:
            vocabulary.clear()
        schema = json.loads(path.read_text())["schema"]
        try:
            automaton = constrain.compile(constrain.json_schema(schema), vocabulary)
        except constrain.ConstrainError as e:
            found[f"refused: {type(e).__name__}"] += 1
            continue
        rng = random.Random(f"{seed} {path.name}")
        for kind in (free, tight):
            for _ in range(walks):
                outcome = judge(kind, automaton, schema, rng)
                found[f"{kind.__name__}: {outcome.split(':')[0]}"] += 1
                if outcome.startswith("wrong"):
                    say(f"{path.name} {kind.__name__} {outcome[:400]}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", help="folder or name for transformers; default: the embedded model's")
    parser.add_argument("--files", type=int, help="a sample of this many schemas; default: all")
    parser.add_argument("--walks", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    from transformers import AutoTokenizer

    default = Path(constrain.__file__).parent / "models" / "default"
    vocabulary = constrain.Vocabulary.from_tokenizer(AutoTokenizer.from_pretrained(args.tokenizer or str(default)))
    files = sorted((DATA / "maskbench").glob("*.json"))
    if args.files:
        files = random.Random(args.seed).sample(files, args.files)
    began = time.monotonic()
    found = run(files, vocabulary, args.walks, args.seed, lambda s: print(s, flush=True))
    print(f"{len(files):,} schemas, {len(vocabulary):,} tokens, {time.monotonic() - began:.0f} s")
    for outcome, n in sorted(found.items()):
        print(f"{outcome:28} {n:7,}")
    return 1 if any("wrong" in k for k in found) else 0


if __name__ == "__main__":
    sys.exit(main())
