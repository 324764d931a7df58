"""How compile and mask times grow with one bound of a schema: no cliffs.

    python tests/benchmarks/scaling.py [--tokenizer PATH] [--svg FILE]

For each family (values of an enum, properties, maxLength, maxItems, overlapping oneOf branches, levels of nesting,
members that must differ) and each size: compile to the first mask, then an instance read token by token, fill and advance
timed together from Python, in processor time. `growth` compares the median step with that of the size before, per factor
of size: 1 would be linear, 0 independent of the size. Nothing is asserted about time; a refusal stands in the table under
its name. --svg draws the figures, a panel for each family, both axes logarithmic.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[i]) for i in (0, 2)]

from plots import Panel, svg  # noqa: E402

import constrain  # noqa: E402

Family = Callable[[int], tuple[Any, Any]]  # size -> schema, and an instance or its JSON text as bytes


def _enum(n: int) -> tuple[Any, Any]:
    return {"enum": [f"value {i * 7919 % n} of {i}" for i in range(n)]}, f"value {(n - 1) * 7919 % n} of {n - 1}"


def _properties(n: int) -> tuple[Any, Any]:
    schema = {
        "type": "object",
        "properties": {f"property_{i}": {"type": ["integer", "null"]} for i in range(n)},
        "required": [f"property_{i}" for i in range(0, n, 10)],
        "additionalProperties": False,
    }
    return schema, {f"property_{i}": i for i in range(0, n, 5)}


def _length(n: int) -> tuple[Any, Any]:
    return {"type": "string", "minLength": n // 2, "maxLength": n}, "word " * (n // 5)


def _items(n: int) -> tuple[Any, Any]:
    schema = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": n}, "maxItems": n, "minItems": 2}
    return schema, list(range(min(n, 2000)))


def _one_of(n: int) -> tuple[Any, Any]:
    branch = lambda i: {  # noqa: E731
        "properties": {"kind": {"enum": [f"k{i}", f"k{(i + 1) % n}", "any"]}, f"p{i}": {"type": "integer"}},
        "required": ["kind", f"p{i}"],
    }
    return {"type": "object", "oneOf": [branch(i) for i in range(n)]}, {
        "kind": f"k{n - 1}",
        f"p{n - 1}": 1,
        "x": "more",
    }


def _one_of_arrays(n: int) -> tuple[Any, Any]:
    branches = [{"type": "array", "minItems": 1, "items": {"minimum": i, "maximum": i + 2}} for i in range(n)]
    return {"oneOf": branches}, [n + 1, n + 1, n]


def _one_of_strings(n: int) -> tuple[Any, Any]:
    branches = [{"type": "string", "pattern": f"^({i}|{(i + 1) % n})x", "maxLength": 40 + i} for i in range(n)]
    return {"oneOf": branches}, f"{n - 1}x".ljust(39 + n, "w")  # longer than the other branch that matches allows


def _nested(n: int) -> tuple[Any, Any]:
    schema = {"properties": {"a": {"type": "array", "items": {"$ref": "#"}}}, "additionalProperties": False}
    return schema, b'{"a": [' * n + b"1" + b"]}" * n


def _unique(n: int) -> tuple[Any, Any]:
    schema = {
        "type": "array",
        "items": {"type": "integer", "minimum": 1, "maximum": 2 * n},
        "uniqueItems": True,
        "minItems": n,
    }
    return schema, list(range(1, n + 1))


FAMILIES: dict[str, tuple[Family, list[int]]] = {
    "enum: values": (_enum, [50, 500, 5_000]),
    "object: properties": (_properties, [50, 500, 2_000]),
    "string: maxLength": (_length, [100, 10_000, 100_000]),
    "array: maxItems": (_items, [100, 1_000, 10_000]),
    "oneOf: overlapping strings": (_one_of_strings, [5, 50, 100]),
    "oneOf: overlapping objects": (_one_of, [5, 50, 100]),
    "oneOf: overlapping arrays": (_one_of_arrays, [5, 50, 100]),
    "nesting: levels": (_nested, [10, 100, 1_000]),
    "uniqueItems: items": (_unique, [5, 10, 20]),
}


def measure(schema: Any, value: Any, vocabulary: Any) -> dict[str, Any]:
    vocabulary.clear()
    row = vocabulary.new_rows()[0]
    began = time.thread_time()
    matcher = constrain.compile(constrain.json_schema(json.dumps(schema)), vocabulary).matcher()
    matcher.fill_mask(row)
    first = time.thread_time() - began
    steps = []
    for token in vocabulary.encode(value if isinstance(value, bytes) else json.dumps(value).encode()):
        began = time.thread_time()
        matcher.fill_mask(row)
        if not matcher.advance(token):
            raise AssertionError("an instance was refused")
        steps.append(time.thread_time() - began)
    assert matcher.accepting
    steps.sort()
    return {
        "first": first,
        "p50": steps[len(steps) // 2],
        "p99": steps[int(len(steps) * 0.99)],
        "max": steps[-1],
        "tokens": len(steps),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", help="folder or name for transformers; default: the embedded model's")
    parser.add_argument("--families", help="only these, by the word before the colon")
    parser.add_argument("--svg", type=Path, help="a file for the plot")
    args = parser.parse_args()
    vocabulary = _vocabulary(args.tokenizer)
    print(f"{len(vocabulary):,} tokens; microseconds, but for the first mask (milliseconds)")
    print(f"{'family':28} {'size':>7} {'first':>9} {'p50':>8} {'p99':>8} {'max':>9} {'tokens':>7} {'growth':>7}")
    panels: list[Panel] = []
    for name, (family, sizes) in FAMILIES.items():
        if args.families and name.split(":")[0] not in args.families.split(","):
            continue
        before: tuple[int, float] | None = None
        panels.append(Panel(name, {"first mask": [], "median step": [], "99th percentile": []}))
        for size in sizes:
            try:
                m = measure(*family(size), vocabulary)
            except constrain.ConstrainError as e:
                print(f"{name:28} {size:7,} {type(e).__name__}: {str(e)[:80]}", flush=True)
                continue
            growth = math.log(m["p50"] / before[1]) / math.log(size / before[0]) if before else math.nan
            before = size, m["p50"]
            for line, key in zip(panels[-1].lines.values(), ("first", "p50", "p99"), strict=True):
                line.append((size, m[key] * 1e6))
            print(
                f"{name:28} {size:7,} {m['first'] * 1e3:9.2f} {m['p50'] * 1e6:8.1f} {m['p99'] * 1e6:8.1f} "
                f"{m['max'] * 1e6:9.1f} {m['tokens']:7,} {growth:7.2f}",
                flush=True,
            )
    if args.svg:
        args.svg.write_text(svg(panels, "microseconds"))
    return 0


def _vocabulary(path: str | None) -> Any:
    from transformers import AutoTokenizer

    default = Path(constrain.__file__).parent / "models" / "default"
    return constrain.Vocabulary.from_tokenizer(AutoTokenizer.from_pretrained(path or str(default)))


if __name__ == "__main__":
    sys.exit(main())
