"""The command line: ``constrain generate | check | explain | draw``.

Exit codes: 0 everything fine; 1 some rows failed, or the text is refused; 2 wrong usage, or a schema, pattern or model
that cannot be used; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import constrain
from grammars.errors import ConstrainError, GrammarError
from grammars.grammar import Grammar, choice, gbnf, json_schema, lark, regex


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ConstrainError, OSError) as e:
        print(f"constrain: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("constrain: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="constrain", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"constrain {constrain.__version__}")
    sub = parser.add_subparsers(dest="command", required=True)
    g = sub.add_parser("generate", help="generate text of a language from a prompt, or from JSON Lines of prompts")
    _add_source(g)
    g.add_argument("--prompt", help="the prompt; '-' or none reads standard input")
    g.add_argument("--model", default="default", help='"default" (embedded), a path, or a hub name')
    g.add_argument("--max-tokens", type=_count, default=256)
    g.add_argument("--seed", type=int, default=0)
    g.add_argument("--temperature", type=_temperature, help="default 0, which is greedy; 1 with --sampler")
    g.add_argument(
        "--sampler", help="draw faithfully: cars, lookahead, smc, rejection, distinct, masked ... (JSON Lines)"
    )
    g.add_argument("--samples", type=_count, default=10, help="how many samples with --sampler")
    g.add_argument("--plot", type=Path, help="with --sampler: write the run as an HTML page")
    g.add_argument(
        "-n", type=_count, default=1, help="texts for the prompt, one a line, with seeds seed, seed + 1, ..."
    )
    g.add_argument(
        "--input",
        type=Path,
        help='JSON Lines of {"prompt": ..., "key": ..., "seed": ...}; key and seed default to the line number from 0',
    )
    g.add_argument(
        "--output", type=Path, help="JSON Lines of results; keys that succeeded are not done again, failed ones are"
    )
    g.set_defaults(run=_generate)
    c = sub.add_parser("check", help="compile a schema, pattern or grammar; report what is enforced, and what is odd")
    _add_source(c)
    _add_reading(c)
    c.add_argument("--json", action="store_true", help="the report as JSON, of a refusal too")
    c.set_defaults(run=_check)
    e = sub.add_parser("explain", help="say where and why a text is refused, and what was allowed there")
    _add_source(e)
    _add_reading(e)
    e.add_argument("--json", action="store_true", help="the verdict as JSON")
    e.add_argument("text", nargs="?", default="-", help="file with the text; '-' or none reads standard input")
    e.set_defaults(run=_explain)
    d = sub.add_parser("draw", help="a grammar as SVG: railroad diagrams of its rules, or its automaton")
    _add_source(d)
    _add_reading(d)
    d.add_argument(
        "--automaton", action="store_true", help="the automaton of a regex, the transition network of a grammar"
    )
    d.add_argument("--rule", metavar="NAME", help="this rule or terminal alone")
    d.add_argument("--limit", type=_count, help="most boxes of the diagrams (50,000), or states of an automaton (200)")
    d.add_argument("-o", "--output", type=Path, help="the SVG file; default standard output")
    d.set_defaults(run=_draw)
    return parser


def _add_source(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--schema", help="file with a JSON Schema; '-' reads standard input")
    source.add_argument("--regex", help="a pattern (Python dialect)")
    source.add_argument("--lark", help="file with a grammar in the Lark language; '-' reads standard input")
    source.add_argument("--gbnf", help="file with a grammar in GBNF; '-' reads standard input")
    source.add_argument("--library", help="name of a bundled grammar")
    source.add_argument("--choice", help="comma-separated texts")
    source.add_argument("--type", help="module:Name of a Python type")


def _add_reading(parser: argparse.ArgumentParser) -> None:
    """How a schema is read: the options of `constrain.json_schema` that change what it means."""
    parser.add_argument("--draft", help="dialect of schemas without $schema: 4, 6, 7, 2019-09 or 2020-12 (default)")
    parser.add_argument("--formats", choices=["assert", "annotate"], default="assert")
    parser.add_argument("--nullable", action="store_true", help="OpenAPI's nullable adds null to the type beside it")
    parser.add_argument("--subset", choices=["openai"], help="refuse what the strict subset of a service leaves out")


def _count(text: str) -> int:
    if (n := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return n


def _temperature(text: str) -> float:
    if not 0 <= (t := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError("must be a number from 0 on")
    return t


def _bytes(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        raise GrammarError(f"{what} is not valid UTF-8: {e.reason} at byte {e.start}") from None


def _read(name: str) -> str:
    return _text(_bytes(name), "the grammar")


def _wanted(args: argparse.Namespace) -> Any:
    """What `constrain.generate` takes as its type."""
    if args.schema:
        from grammars.json_schema.lower import parse_text
        from grammars.limits import DEFAULT_LIMITS

        return parse_text(_text(_bytes(args.schema), "the schema"), DEFAULT_LIMITS)
    if args.type:
        module, _, name = args.type.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as e:
            raise ConstrainError(f"no type at {args.type!r} (module:Name): {e}") from e
    if args.lark or args.library:
        return lark(_read(args.lark) if args.lark else None, args.library)
    if args.gbnf:
        return gbnf(_read(args.gbnf))
    return regex(args.regex) if args.regex is not None else choice(args.choice.split(","))


def _grammar(args: argparse.Namespace) -> Grammar:
    wanted = _wanted(args)
    if args.schema:
        return json_schema(wanted, draft=args.draft, formats=args.formats, nullable=args.nullable, subset=args.subset)
    if isinstance(wanted, Grammar):
        return wanted
    from constrain.types import target_of

    return target_of(wanted).grammar


# ---------------------------------------------------------------------- generate
def _generate(args: argparse.Namespace) -> int:
    from constrain.generator import Generator

    reads_prompt = not args.input and args.prompt in (None, "-")
    if reads_prompt and "-" in (args.schema, args.lark, args.gbnf):
        raise ConstrainError("standard input cannot be both the grammar and the prompt; give one of them another way")
    generator = Generator(args.model, _wanted(args))
    options = {"max_tokens": args.max_tokens, "temperature": args.temperature or 0.0}
    if args.input:
        if args.sampler:
            raise ConstrainError("--sampler takes one prompt, not --input")
        return _batch(args, generator, options)
    prompt = _text(_bytes("-"), "the prompt") if reads_prompt else args.prompt
    if args.sampler:
        return _sample(args, generator, prompt)
    for found in generator.batch([prompt] * args.n, seed=args.seed, **options):
        print(found.text)
    return 0


def _sample(args: argparse.Namespace, generator: Any, prompt: str) -> int:
    """Samples as JSON Lines on standard output, the record of the run on standard error."""
    temperature = 1.0 if args.temperature is None else args.temperature
    try:
        found = generator.sample(
            prompt, args.sampler, args.samples, seed=args.seed, max_tokens=args.max_tokens, temperature=temperature
        )
    except ValueError as e:
        raise ConstrainError(str(e)) from e
    for g, w in zip(found.generations, found.weights.tolist(), strict=True):
        print(json.dumps({"text": g.text, "weight": w, "log_prob": g.log_prob}, ensure_ascii=False))
    print(found.samples.table(), file=sys.stderr)
    if args.plot:
        found.plot(args.plot)
    return 1 if found.failure else 0


def _batch(args: argparse.Namespace, generator: Any, options: dict[str, Any]) -> int:
    done = set(_keys(args.output)) if args.output and args.output.exists() else set()
    rows = [(n, k, r) for n, k, r in _rows(args.input) if k not in done]
    failed = 0
    out: IO[str] = args.output.open("a", encoding="utf-8") if args.output else sys.stdout
    try:
        for n, key, row in _progress(rows):
            result = _one(generator, key, row, args.seed + n, options)
            failed += result["error"] is not None
            out.write(json.dumps(result, ensure_ascii=False) + "\n")
            out.flush()
    finally:
        if out is not sys.stdout:
            out.close()
    return 1 if failed else 0


def _one(generator: Any, key: str, row: Any, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """One result; what goes wrong with a row goes into its error column."""
    result: dict[str, Any] = {"key": key, "text": None, "log_prob": None, "log_mass": None, "error": None}
    try:
        if not isinstance(row, dict) or "prompt" not in row:
            raise ValueError('a row needs a "prompt"')
        found = generator(row["prompt"], seed=row.get("seed", seed), **options)
        result.update(text=found.text, log_prob=found.log_prob, log_mass=sum(found.log_mass))
        if found.finish_reason == "length":
            result["error"] = "max_tokens ended the text"
    except Exception as e:
        result["error"] = f"{type(e).__name__}: {e}"
    return result


def _rows(path: Path) -> Iterator[tuple[int, str, Any]]:
    """(line number, key, row); what is no JSON is a row that will fail."""
    for n, line in enumerate(path.read_bytes().split(b"\n")):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        yield n, str(row["key"] if isinstance(row, dict) and "key" in row else n), row


def _keys(path: Path) -> Iterator[str]:
    """Keys of the finished rows; a line cut short by a crash is done again."""
    for line in path.read_bytes().split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.get("error") is None:
            yield str(row.get("key"))


def _progress(rows: list[Any]) -> Iterable[Any]:
    try:
        from tqdm import tqdm
    except ImportError:
        return rows
    return tqdm(rows, disable=None, unit="row")


# ---------------------------------------------------------------------- check and explain
def _bytes_automaton(grammar: Grammar) -> Any:
    """The grammar over single bytes: what texts mean does not depend on a vocabulary."""
    from grammars.tokens.automaton import compile_grammar
    from grammars.tokens.vocabulary import Vocabulary

    return compile_grammar(grammar, Vocabulary.single_bytes(grammar.specials))


def _check(args: argparse.Namespace) -> int:
    try:
        automaton = _bytes_automaton(_grammar(args))
    except ConstrainError as e:
        if not args.json:
            raise
        refused = {"error": type(e).__name__, "message": str(e), "path": getattr(e, "path", None)}
        print(json.dumps({"refused": refused}, indent=2))
        return 2
    report = automaton.report
    shortest = automaton.matcher().completion().decode(errors="replace")
    if args.json:
        print(json.dumps({**report.as_dict(), "example": shortest}, indent=2))
        return 0
    print(f"{report.kind}: compiles ({report.compile_work:,} steps of work)")
    for name, value in report.options.items():
        print(f"  {name}: {value}")
    for row in report.rows:
        print(f"  {row.path}/{row.keyword}: {row.status}{f' ({row.note})' if row.note else ''}")
    print(f"  for example: {shortest}")
    return 0


def _explain(args: argparse.Namespace) -> int:
    if "-" in (args.schema, args.lark, args.gbnf) and args.text == "-":
        raise ConstrainError("standard input cannot be both the grammar and the text; name a file for one of them")
    automaton = _bytes_automaton(_grammar(args))
    text = _bytes(args.text)
    found = automaton.diagnose(text)
    bare = text.removesuffix(b"\n").removesuffix(b"\r")
    if not found.accepted and found.byte >= len(bare):  # the end of the last line is no part of the text
        found = automaton.diagnose(bare)
    print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False) if args.json else found)
    return 0 if found.accepted else 1


# ---------------------------------------------------------------------- draw
def _draw(args: argparse.Namespace) -> int:
    svg = _grammar(args).to_svg("automaton" if args.automaton else "railroad", args.rule, args.limit)
    if args.output:
        args.output.write_text(svg, encoding="utf-8")
    else:
        sys.stdout.buffer.write(svg.encode())
    return 0
