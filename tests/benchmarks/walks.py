"""Random walks over the masks of real schemas: every document that is finished must be valid.

    python tests/benchmarks/walks.py [--tokenizer PATH] [--files N] [--walks K] [--seed S] [--out FILE]

For each schema of MaskBench (where the shared data stands beside the repository), K walks of each kind, each token drawn
uniformly from the mask. *Free*: up to 60 tokens, then the canonical completion. *Tight*: a budget of the distance at the
start and up to 4 tokens more, counted down in every mask, so that the text must be complete when it is spent; what is
farther than 150 tokens from its end is approached along the canonical completion. Documents are judged by `jsonschema`
with exact decimals and, for patterns, by an ECMA-262 engine (node); what is not valid, or not finished, is printed and
makes the exit status 1. With --out a line of JSON is kept for each schema, and what stands there is not done again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

import jsonschema  # noqa: E402
import numpy as np  # noqa: E402
from oracles import DATA, decimal_instance, no_duplicate_keys  # noqa: E402
from oracles_ecma import Ecma, Undecided  # noqa: E402

import constrain  # noqa: E402

FREE = 60  # tokens before the canonical completion
SLACK = 4
LONGEST = 150  # tokens of a tight walk that are drawn
PATIENCE = 20  # seconds for the oracle on one document


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
    ahead = automaton.vocabulary.encode(bytes(matcher.completion()))
    for token in ahead[: max(0, len(ahead) - rng.randint(LONGEST // 3, LONGEST))]:
        assert matcher.advance(token), "the canonical completion was refused"
        text += automaton.vocabulary.tokens[token] or b""
    for left in range(matcher.distance() + rng.randint(0, SLACK), -1, -1):
        assert matcher.fill_mask(row, 0, left), "the budget no longer suffices"
        token = draw(row.view(np.uint32), rng)
        assert matcher.advance(token), "a token of the mask was refused"
        if matcher.ended:
            return text
        text += automaton.vocabulary.tokens[token] or b""
    raise AssertionError("the budget is spent and the text has not ended")


# ---------------------------------------------------------------------- the verdict
@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """TimeoutError after `seconds`: the oracle has no limits of its own."""

    def stop(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def leaves(errors: Any) -> Iterator[Any]:
    for e in errors:
        if e.context:
            yield from leaves(e.context)
        else:
            yield e


class Judge:
    """What became of one walk."""

    def __init__(self, ecma: Ecma) -> None:
        self.ecma = ecma
        self.formats = jsonschema.Draft202012Validator.FORMAT_CHECKER

    def __call__(self, kind: Callable[..., bytes], automaton: Any, schema: Any, rng: random.Random) -> str:
        """ "valid", "beyond ..." with the reason, or "wrong: ..." with the text."""
        try:
            text = kind(automaton, rng).decode()
        except constrain.LimitExceeded as e:
            return f"beyond {e.where.split(':')[0] if hasattr(e, 'where') else 'a limit'}"
        except AssertionError as e:
            return f"wrong: {e}"
        try:
            with at_most(PATIENCE):
                if not no_duplicate_keys(text):
                    return f"wrong: a name twice: {text}"
                errors = list(self.ecma.errors(schema, decimal_instance(text), self.formats))
        except (RecursionError, TimeoutError, Undecided) as e:
            return f"beyond the oracle: {type(e).__name__}"
        if not errors:
            return "valid"
        found = sorted(
            {f"{e.validator} {e.validator_value if e.validator == 'format' else ''}" for e in leaves(errors)}
        )
        return f"wrong: {', '.join(found)}: {text}"


# ---------------------------------------------------------------------- the run
def walked(path: Path, vocabulary: Any, walks: int, seed: int, judge: Judge) -> dict[str, Any]:
    """One schema: {"file", "outcomes": [[kind, outcome], ...]}."""
    schema = json.loads(path.read_text())["schema"]
    began = time.monotonic()
    outcomes: list[tuple[str, str]] = []
    try:
        automaton = constrain.compile(constrain.json_schema(schema), vocabulary)
    except constrain.ConstrainError as e:
        outcomes.append(("compile", f"refused: {type(e).__name__}"))
    else:
        rng = random.Random(f"{seed} {path.name}")
        outcomes += [(k.__name__, judge(k, automaton, schema, rng)) for k in (free, tight) for _ in range(walks)]
    return {"file": path.name, "outcomes": outcomes, "seconds": round(time.monotonic() - began, 2)}


def summary(rows: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """(kind, outcome without its text) -> walks."""
    short = lambda o: re.sub(r"^(wrong: [^:]*):.*", r"\1", o, flags=re.DOTALL)  # noqa: E731
    return Counter((kind, short(outcome)) for row in rows for kind, outcome in row["outcomes"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", help="folder or name for transformers; default: the embedded model's")
    parser.add_argument("--files", type=int, help="a sample of this many schemas; default: all")
    parser.add_argument("--walks", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a file of JSON lines to keep and to go on from")
    args = parser.parse_args()
    if shutil.which("node") is None:
        print("needs node, for the patterns of ECMA-262", file=sys.stderr)
        return 2
    sys.set_int_max_str_digits(0)  # jsonschema writes instances into its messages
    from transformers import AutoTokenizer

    default = Path(constrain.__file__).parent / "models" / "default"
    vocabulary = constrain.Vocabulary.from_tokenizer(AutoTokenizer.from_pretrained(args.tokenizer or str(default)))
    files = sorted((DATA / "maskbench").glob("*.json"))
    if args.files:
        files = random.Random(args.seed).sample(files, args.files)
    rows = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out and args.out.exists() else []
    done = {row["file"] for row in rows}
    judge, began = Judge(Ecma()), time.monotonic()
    with args.out.open("a") if args.out else contextlib.nullcontext() as kept:
        for n, path in enumerate(f for f in files if f.name not in done):
            if n % 100 == 0:
                vocabulary.clear()
            rows.append(walked(path, vocabulary, args.walks, args.seed, judge))
            if kept:
                print(json.dumps(rows[-1]), file=kept, flush=True)
            for kind, outcome in rows[-1]["outcomes"]:
                if outcome.startswith("wrong"):
                    print(f"{path.name} {kind} {outcome[:400]}", flush=True)
    judge.ecma.close()
    print(f"{len(rows):,} schemas, {len(vocabulary):,} tokens, {time.monotonic() - began:.0f} s")
    for (kind, outcome), n in sorted(summary(rows).items()):
        print(f"{kind:8} {outcome:48} {n:7,}")
    return 1 if any(outcome.startswith("wrong") for _, outcome in summary(rows)) else 0


if __name__ == "__main__":
    sys.exit(main())
