"""The bundled grammars beside the languages' own checkers: confusion matrices on corpora, on mutants, and on random walks.

    python tests/benchmarks/languages.py [LANGUAGE ...] [--texts N] [--mutants N] [--walks N] [--tokens N] [--advance N]
        [--seed S] [--show K] [--statements DIR]

Languages: python (the running interpreter's version), sqlite, postgres (needs pglast), json, c, javascript, python_regex,
dates, csv, arithmetic. Corpora are what the machine has and the grammars' author did not write: the standard library and the
string literals of its tests (Python, SQL, regexes, dates), JSON files, system headers after `gcc -E -P` (C), JavaScript files.
`--statements DIR` gives postgres the statements of all `*.sql` files and the string literals of all `*.py` files in a folder
instead: `tests` of sqlglot's source distribution, or `libpg_query/test/sql/postgres_regress` of pglast's, PostgreSQL's own
regression tests (`pip download --no-deps --no-binary :all: sqlglot`).

Verdicts of a checker: *valid*; *invalid*; *context*, wrong for a reason that the header of the grammar lists as one that no
grammar can see; None, no verdict (a checker that stops at the first semantic error does not see the rest of the text).
Right is: valid accepted, invalid refused. Context is shown and counts for neither side. A walk draws allowed tokens at random
(all bytes, each a token) and then finishes within a budget; its text must not be *invalid*.
`--tokens N` also reads N valid texts token by token in the Llama 3 vocabulary of the shared data, with a mask before each
token: is every token allowed, and what do masks cost on the first reading and on a second? `--advance N` reads N valid texts
in the 131,072 tokens of tekken, which mistral-common carries, each token by `advance` alone.
"""

from __future__ import annotations

import argparse
import ast
import base64
import csv
import importlib.util
import io
import itertools
import json
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import time
import tokenize
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from datetime import time as clock_time
from functools import partial
from pathlib import Path

import numpy as np

import constrain

LIB = Path(sysconfig.get_path("stdlib"))
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
BYTES = constrain.Vocabulary([*(bytes([b]) for b in range(256)), None], [256])
LONGEST = 200_000  # bytes of a corpus text
LIMITS = constrain.Limits(mask_work=10**12)  # of one call: here a whole file

Verdict = str | None


@dataclass(frozen=True)
class Language:
    """`corpus`: texts with their names; `judge`: verdicts of many texts at once; `words`: what mutants are made of."""

    grammar: str
    corpus: Callable[[int, random.Random], Iterator[tuple[str, str]]]
    judge: Callable[[Sequence[str]], list[Verdict]]
    words: str
    piece: Callable[[str, random.Random], str] = lambda text, rng: text[:4000]
    walks: bool = True  # not for C, where gcc knows which names are types and the grammar does not


# ---------------------------------------------------------------------- Python
PYTHON = f"python_3_{sys.version_info.minor}"
CONTEXT = re.compile(
    "|".join(
        (
            "outside",
            "'break'",
            "'continue'",
            "import \\* only",
            "duplicate argument",
            "keyword argument repeated",
            "used prior to",
            "is parameter and",
            "no binding for nonlocal",
            "nonlocal declaration not",
            "nonlocal binding not",
            "name '.*' is (nonlocal|parameter|assigned|used)",
            "assign to __debug__",
            "delete __debug__",
            "not a chance",
            "future feature",
            "__future__ imports must",
            "bind different names",
            "attribute name repeated",
            "multiple assignments to name",
            "annotated name",
            "comprehension iter",
            "cannot rebind",
            "assignment expression within a comp",
            "asynchronous comprehension",
            "'(return|yield)' (with value|inside)",
            "inside async function",
            "unexpected EOF while parsing",
            "unknown Unicode",
            "too many (nested|levels|statically)",
            "cannot be used within",
            "duplicate type parameter",
            "annotation scope within",
            "Exceeds the limit",
            "mapping pattern checks",
        )
    )
)


def python_verdict(text: str) -> Verdict:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "text", "exec", dont_inherit=True)
    except SyntaxError as e:
        return "context" if CONTEXT.search(str(e)) else "invalid"
    except (ValueError, OverflowError, RecursionError, MemoryError) as e:
        return "invalid" if isinstance(e, UnicodeError) else None
    return "valid"


def library_files() -> list[Path]:
    return sorted(p for p in LIB.rglob("*.py") if "site-packages" not in p.parts)


def python_corpus(n: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    files = library_files()
    rng.shuffle(files)
    for path in files[:n]:
        try:
            with tokenize.open(path) as f:
                yield str(path.relative_to(LIB)), f.read()
        except (SyntaxError, UnicodeDecodeError):
            continue


def python_piece(text: str, rng: random.Random) -> str:
    """Some top-level statements."""
    lines = text.split("\n")
    starts = [i for i, line in enumerate(lines) if line and line[0] not in " \t#)]}'\""] or [0]
    first = rng.choice(starts)
    last = next((i for i in starts if i > first + rng.randint(0, 25)), len(lines))
    return "\n".join(lines[first:last])[:4000] + "\n"


def literals(*patterns: str) -> list[str]:
    """The string literals of library files, tests of the interpreter for the most part."""
    return literals_of(itertools.chain.from_iterable(sorted(LIB.glob(p)) for p in patterns))


def literals_of(paths: Iterable[Path]) -> list[str]:
    found: dict[str, None] = {}
    for path in paths:
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isprintable():
                found[node.value] = None
    return list(found)


# ---------------------------------------------------------------------- SQL
_SQL = re.compile(
    r"\s*(select|insert|update|delete|create|drop|alter|with|values|pragma|begin|commit|rollback|savepoint|release|attach"
    r"|detach|vacuum|analyze|reindex|explain|replace|end)\b",
    re.IGNORECASE,
)


def sqlite_verdict(text: str) -> Verdict:
    """`EXPLAIN` parses without running. One statement at a time; a missing table may hide what comes after it."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"|--.*|/\*.*?(\*/|$)", "x", text, flags=re.DOTALL)
    if re.search(r"/\*(?!.*\*/)", text, re.DOTALL):
        return None  # a comment left open
    if not _SQL.match(text) or "\0" in text or (";" in bare.rstrip().rstrip(";") and "trigger" not in bare.lower()):
        return None
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(text if bare.lower().lstrip().startswith("explain") else "EXPLAIN " + text)
    except sqlite3.Warning:
        return None
    except sqlite3.Error as e:
        if isinstance(e, sqlite3.ProgrammingError):
            return None if "one statement" in str(e) else "valid"
        wrong = ("syntax error", "unrecognized token", "incomplete input", "unknown table option")
        return "invalid" if any(w in str(e) for w in wrong) else "context"
    finally:
        connection.close()
    return "valid"


def sql_corpus(n: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    texts = [t for t in literals("test/test_sqlite3/*.py", "sqlite3/*.py", "dbm/*.py") if _SQL.match(t)]
    yield from [(t[:40], t) for t in texts][:n]


_POSTGRES_CONTEXT = re.compile(
    "multiple .* clauses|must be in range|unrecognized (partitioning|hash)|must be DEFERRABLE|conflicting|cannot be used together"
    "|WITH TIES cannot|cannot include schema|too large|only string constants|duplicate|must be specified|not yet implemented"
)
_STATEMENT = re.compile(
    _SQL.pattern
    + r"|\s*(\(|(copy|grant|revoke|comment|merge|table|truncate|call|declare|set|reset|show|lock|listen|notify|prepare|"
    r"execute|deallocate|refresh|fetch|move|close|start|cluster|do)\b)",
    re.IGNORECASE,
)


def postgres_verdict(text: str) -> Verdict:
    """What libpg_query says, PostgreSQL's parser without a catalogue. It lets parameters stand for operators and names too."""
    from pglast.parser import ParseError, parse_sql_json

    if "\0" in text or re.search(r"\$[0-9]+[A-Za-z_]", text):
        return None
    try:
        parse_sql_json(text)
    except ParseError as e:
        escapes = "Unicode" in str(e) and "uescape" in text.lower()
        return "context" if escapes or _POSTGRES_CONTEXT.search(str(e)) else "invalid"
    except UnicodeEncodeError:
        return None
    values = re.sub(r"(?<![\w$])\$[0-9]+", " NULL ", re.sub(r"(?<![\w$])\$[0-9]+(?=[.\[])", "(NULL)", text))
    return "valid" if values == text or postgres_verdict(values) == "valid" else None


def statements_in(root: Path, n: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    """A statement of a file ends with a semicolon at the end of a line; a file without any holds one a line."""
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*.sql")):
        text = path.read_text(encoding="utf-8", errors="replace")
        for piece in re.split(r";[ \t]*\n", text) if re.search(r";[ \t]*\n", text) else text.split("\n"):
            found.setdefault(piece.strip(), path.name)
    for text in literals_of(sorted(root.rglob("*.py"))):
        if _STATEMENT.match(text):
            found.setdefault(text, text[:40])
    texts = [(name, text) for text, name in found.items() if text]
    rng.shuffle(texts)
    yield from texts[:n]


# ---------------------------------------------------------------------- JSON, regexes, dates, CSV, arithmetic
def json_verdict(text: str) -> Verdict:
    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return "invalid"
    except RecursionError:
        return None
    return "valid"


def json_corpus(n: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    files = sorted(
        itertools.chain(DATA.rglob("*.json"), Path(sys.prefix).rglob("*.json"), Path("/usr/share").rglob("*.json"))
    )
    rng.shuffle(files)
    yield from texts_of(files, n)


def texts_of(files: Sequence[Path], n: int) -> Iterator[tuple[str, str]]:
    count = 0
    for path in files:
        if count >= n:
            return
        try:
            if path.stat().st_size < LONGEST:
                text = path.read_text(encoding="utf-8")
                count += 1
                yield str(path), text
        except (OSError, UnicodeDecodeError):
            continue


_REGEX_CONTEXT = re.compile(
    "group reference|open group|redefinition|group name|min repeat|look-behind|turned on and off|repetition|unknown extension"
)


def regex_verdict(text: str) -> Verdict:
    if "\\N" in text or "(?x" in text:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text)
    except re.error as e:
        message = str(e)
        if "bad character range" in message:
            return "invalid" if re.search(r"\\[dDsSwW]", message.split("range")[1]) else "context"
        return "context" if _REGEX_CONTEXT.search(message) and "(?P=" not in message else "invalid"
    except OverflowError:
        return "context"
    return "valid"


def regex_corpus(n: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    texts = [
        t for t in literals("*.py", "test/re_tests.py", "test/test_re.py", "*/*.py") if re.search(r"[\\\[(*+?]", t)
    ]
    rng.shuffle(texts)
    yield from [(t[:40], t) for t in texts if len(t) < 400][:n]


def date_verdict(text: str) -> Verdict:
    """`fromisoformat`, where its forms are among the common ones: it takes any separator, mixes basic and extended form and
    knows no ordinal dates, durations, intervals, months, 60th second."""
    day, _, clock = text.partition("T")
    extended, uniform = "-" in day, ("-" in day) == (":" in clock)
    plain = re.sub(r"[+-]\d\d$", "", clock)
    mixed = bool(day and re.search(r"\d\d:?\d", clock)) and not uniform
    odd = not re.fullmatch(r"\d{4}-\d\d-\d\d|\d{8}|\d{4}-W\d\d(-\d)?|\d{4}W\d{2,3}|", day) or re.search(r"\d{7}", clock)
    if (odd and not re.search(r"[^\dTW:.+-]", text)) or re.search(r"[+-]\d\d:?\d\d:?\d\d", clock):
        return None
    if re.search(r"[^\dTWZ:.+-]|^\d{4}-?\d{2}$|^\d{4}-?\d{3}(T|$)|:60|24|\.\d{7}|^\d*$", text) or mixed:
        return None
    if (day and re.search(r"[:.+]", day)) or (
        re.search(r"[+-]", plain) and (":" in plain) != bool(re.search(r"[+-]\d\d:", plain))
    ):
        return None
    try:
        if day:
            datetime.fromisoformat(text) if clock else date.fromisoformat(text)
        else:
            clock_time.fromisoformat(text)
    except ValueError:
        return "invalid"
    complete = re.match(r"\d\d:?\d\d", clock) if "T" in text else True
    return "valid" if complete and (extended or not day.count("-")) else None


def date_corpus(n: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    texts = [t for t in literals("test/datetimetester.py", "test/test_calendar.py") if re.match(r"\d{4}-?(W|\d\d)", t)]
    yield from [(t, t) for t in texts][:n]


def csv_verdict(text: str) -> Verdict:
    """`csv` reads quotes inside unquoted fields and lone carriage returns, which RFC 4180 does not know."""
    if "\0" in text or re.search(r"\r(?!\n)", text):
        return None
    try:
        list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return "invalid"
    return None if re.search(r'[^,"\r\n]"', re.sub(r'(^|[,\n])"([^"]|"")*"', r"\1", text)) else "valid"


def csv_corpus(n: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    files = sorted(itertools.chain(Path(sys.prefix).rglob("*.csv"), Path("/usr/share").rglob("*.csv")))
    yield from texts_of(files, n)
    yield "quoted", 'name,quantity\r\n"a ""b"", c",3\r\n"two\nlines",\r\n'


_ARITHMETIC = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Call, ast.Name, ast.Constant, ast.Load, ast.UAdd, ast.USub)
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod, ast.Pow)


def arithmetic_verdict(text: str) -> Verdict:
    """Python's expressions, where nothing but arithmetic is in them. Names are taken as names, keyword or not."""
    renamed = re.sub(r"(?<![\w.])[A-Za-z_]\w*", lambda m: "v" + m[0], text.strip(" \t"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(renamed, mode="eval")
    except (SyntaxError, ValueError):
        return "invalid"
    other = any(
        not isinstance(x, (*_ARITHMETIC, *_OPERATORS))
        or (isinstance(x, ast.Call) and (x.keywords or not isinstance(x.func, ast.Name)))
        or (isinstance(x, ast.Constant) and not isinstance(x.value, int | float))
        for x in ast.walk(tree)
    )
    return None if other or re.search(r",\s*\)|\(\s*\w+\s*\)\s*\(|[#\n\\]|\b0[\dxXoObB_]|\d_", text) else "valid"


def arithmetic_corpus(n: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Expressions of the library's modules."""
    found: dict[str, None] = {}
    for path in sorted(LIB.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.BinOp):
                found[ast.unparse(node)] = None
    texts = [t for t in found if len(t) < 200]
    rng.shuffle(texts)
    yield from [(t[:40], t) for t in texts][:n]


# ---------------------------------------------------------------------- C
_C_INVALID = re.compile(
    r"expected (?!.*but argument)|stray |missing terminating|invalid suffix|empty character|too many decimal|exponent has no"
    r"|invalid digit|.else. without|hexadecimal floating"
)


def c_verdict(text: str) -> Verdict:
    """gcc's complaints about syntax; none where a name is no type and the text uses it as one."""
    command = ["gcc", "-std=gnu17", "-fsyntax-only", "-Werror=implicit-int", "-fmax-errors=20", "-x", "c", "-"]
    run = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    if run.returncode == 0:
        return "context" if b"empty declaration" in run.stderr else "valid"
    errors = [line for line in run.stderr.decode(errors="replace").split("\n") if " error:" in line]
    names = r"unknown type name|undeclared|incomplete type|before .[A-Za-z_]\w*.$"
    plain = list(itertools.takewhile(lambda e: not re.search(names, e), errors))  # what follows may be its consequence
    if any(_C_INVALID.search(e) for e in plain):
        return "invalid"
    return "context" if len(plain) == len(errors) else None


def c_corpus(n: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Headers of the system after preprocessing, and C files that need no header of their own."""
    headers = sorted(itertools.chain(Path("/usr/include").glob("*.h"), Path("/usr/include/sys").glob("*.h")))
    sources = sorted(itertools.chain(LIB.rglob("*.c"), Path(sys.prefix).rglob("*.c"), Path("/usr/share").rglob("*.c")))
    rng.shuffle(headers)
    count = 0
    for path in itertools.chain.from_iterable(itertools.zip_longest(headers, sources)):
        if path is None or count >= n:
            continue
        text = f'#include "{path}"\n' if path.suffix == ".h" else path.read_text(errors="replace")
        include = f"-I{sysconfig.get_path('include')}"
        run = subprocess.run(
            ["gcc", "-std=gnu17", "-E", "-P", include, "-x", "c", "-"], input=text.encode(), capture_output=True
        )
        if run.returncode == 0 and 0 < len(run.stdout) < LONGEST:
            count += 1
            yield str(path), run.stdout.decode(errors="replace")


def c_piece(text: str, rng: random.Random) -> str:
    """What stands up to a semicolon or brace at the left margin, in short texts the whole."""
    cuts = [m.end() for m in re.finditer(r"^.*[;}]\n", text[:20_000], re.MULTILINE)] or [len(text)]
    return text[: rng.choice(cuts)]


# ---------------------------------------------------------------------- JavaScript
_NODE = """
const vm = require('vm'), fs = require('fs');
const verdict = f => { try { f(); return '' } catch (e) { return e.message || 'error' } };
const out = JSON.parse(fs.readFileSync(0)).map(t => [verdict(() => new vm.Script(t)), verdict(() => new vm.SourceTextModule(t))]);
console.log(JSON.stringify(out));
"""
_JS_CONTEXT = re.compile(
    "already been declared|Illegal|await is only|yield|Undefined label|strict mode|Invalid regular expression|is not defined"
    "|must be declared|super|new.target|A class may only|Duplicate|Delete of an|Octal|does not match|Label|Invalid left-hand"
    "|reserved|Classes may not|can only be|Invalid destructuring|Missing initializer|without|Export|Unexpected (eval|strict)"
)


def javascript_verdicts(texts: Sequence[str]) -> list[Verdict]:
    command = ["node", "--no-warnings", "--experimental-vm-modules", "-e", _NODE]
    run = subprocess.run(command, input=json.dumps(list(texts)), capture_output=True, text=True, check=True)

    def verdict(messages: list[str]) -> Verdict:
        if "" in messages:
            return "valid"
        return "context" if any(_JS_CONTEXT.search(m) for m in messages) else "invalid"

    return [verdict(pair) for pair in json.loads(run.stdout)]


def javascript_corpus(n: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    roots = (Path(sys.prefix), LIB.parents[1], Path("/usr/share"), Path("/usr/lib"), Path("/opt"))
    files = sorted({p for root in roots for p in itertools.chain(root.rglob("*.js"), root.rglob("*.mjs"))})
    rng.shuffle(files)
    yield from texts_of(files, n)


# ---------------------------------------------------------------------- all of them
def each(verdict: Callable[[str], Verdict]) -> Callable[[Sequence[str]], list[Verdict]]:
    return lambda texts: [verdict(t) for t in texts]


LANGUAGES = {
    "python": Language(
        PYTHON,
        python_corpus,
        each(python_verdict),
        "False None True and as assert async await break class continue def del elif else except finally for from global if "
        "import in is lambda nonlocal not or pass raise return try while with yield match case type _ + - * / // % @ ** << "
        ">> & | ^ ~ < > <= >= == != = += -> := ( ) [ ] { } , : . ; ... ' \" ''' f' rb' # \\ 1 0x 1e \n \n····",
        python_piece,
    ),
    "sqlite": Language(
        "sqlite",
        sql_corpus,
        each(sqlite_verdict),
        "SELECT FROM WHERE AND OR NOT IN LIKE GLOB BETWEEN IS NULL ISNULL ORDER BY GROUP HAVING LIMIT OFFSET VALUES INTO SET "
        "ON AS JOIN LEFT UNION ALL CASE WHEN THEN ELSE END x 1 'a' \"b\" [c] ( ) , . * + - / % || < <= = == != <> -> ?1 :a "
        "x'ab' COLLATE ESCAPE EXISTS CAST 1.5e3 -- RETURNING REPLACE key",
    ),
    "postgres": Language(
        "postgres",
        sql_corpus,
        each(postgres_verdict),
        "SELECT FROM WHERE AND OR NOT IN LIKE BETWEEN IS NULL DISTINCT ORDER BY GROUP LIMIT OFFSET FETCH FOR VALUES INTO SET ON "
        "AS JOIN LEFT LATERAL UNION ALL ANY CASE WHEN THEN ELSE END WITH CAST DEFAULT COLLATE ESCAPE EXISTS ARRAY ROW INTERVAL "
        "x 1 'a' \"b\" e'\\n' $1 $$ :: := => ( ) [ ] , . : ; * + - / % ^ || < <= = <> @> 1.5e3 x'ab' -- /* */ filter over int "
        "json",
    ),
    "json": Language(
        "json", json_corpus, each(json_verdict), '{ } [ ] " : , - 0 1.5 1e9 true null \\ \\u00e9 \\x \t a'
    ),
    "c": Language(
        "c",
        c_corpus,
        each(c_verdict),
        "+ - * / % & | ^ ~ ! < > = == -> . , ; : ? ( ) [ ] { } ++ += ... int char if else for while return struct typedef "
        "const static x 1 'a' \"s\" sizeof case default",
        c_piece,
        walks=False,
    ),
    "javascript": Language(
        "javascript",
        javascript_corpus,
        javascript_verdicts,
        "+ - * / % & | ^ ~ ! < > = == === => ?. ?? . , ; : ? ( ) [ ] { } ++ += ... ** `a` `${ }` /x/g 1 'a' x const var "
        "function class return if else for of in new typeof async get static import export \n",
        lambda text, rng: text if len(text) < 8000 else "",
    ),
    "python_regex": Language(
        "python_regex",
        regex_corpus,
        each(regex_verdict),
        "( ) [ ] { } | ? * + ^ $ \\ - . : # = ! < > P a b 0 1 9 , d w (?: (?= {2} \\b [^",
    ),
    "dates": Language("dates", date_corpus, each(date_verdict), "0 1 2 5 9 - : T W Z + . 53 02-29"),
    "csv": Language("csv", csv_corpus, each(csv_verdict), 'a , " \n \r\n ""'),
    "arithmetic": Language(
        "arithmetic", arithmetic_corpus, each(arithmetic_verdict), "+ - * / % ** ( ) , . 1 2.5 .5 1e3 x f( 01"
    ),
}
TOKENS = re.compile(r"\w+|\n[ \t]*|[ \t]+|\"\"\"|'''|.", re.DOTALL)


def missing(name: str) -> str:
    """Why the language cannot be compared on this machine; empty if it can."""
    if name == "python":
        return "" if constrain_has(PYTHON) else "there is no grammar for the running interpreter"
    if name == "postgres":
        return "" if importlib.util.find_spec("pglast") else "its checker is libpg_query: pip install pglast"
    needed = {"c": "gcc", "javascript": "node"}.get(name)
    return "" if needed is None or shutil.which(needed) else f"its checker, {needed}, is not on this machine"


def available(name: str) -> bool:
    return not missing(name)


def constrain_has(grammar: str) -> bool:
    try:
        constrain.lark(library=grammar)
    except constrain.GrammarError:
        return False
    return True


def mutant(text: str, words: Sequence[str], rng: random.Random) -> str:
    """One or two tokens deleted, doubled, swapped, replaced or put in."""
    tokens = TOKENS.findall(text)
    for _ in range(rng.choice((1, 1, 1, 2))):
        if not tokens:
            break
        i, kind = rng.randrange(len(tokens)), rng.random()
        word = rng.choice(words)
        spaced = f" {word} " if word.isalnum() else word
        if kind < 0.2:
            del tokens[i]
        elif kind < 0.35:
            tokens.insert(i, tokens[i])
        elif kind < 0.5:
            j = rng.randrange(len(tokens))
            tokens[i], tokens[j] = tokens[j], tokens[i]
        elif kind < 0.75:
            tokens.insert(i, spaced)
        else:
            tokens[i] = spaced
    return "".join(tokens)


def words_of(language: Language) -> list[str]:
    return [w.replace("·", " ") for w in language.words.split(" ")]


def mutants(language: Language, n: int, rng: random.Random) -> list[str]:
    base = [text for _, text in language.corpus(400, rng)]
    words = words_of(language)
    pieces = (language.piece(rng.choice(base), rng) for _ in itertools.count())
    found = (mutant(p, words, rng) for p in pieces if p)
    return list(itertools.islice((m for m in found if "\0" not in m and "\ufeff" not in m), n))


def walk(automaton: constrain.TokenAutomaton, length: int, budget: int, rng: random.Random) -> bytes:
    """`length` random tokens, then the end within `budget` more, or within the shortest distance where that is longer."""
    matcher = automaton.matcher()
    row = automaton.vocabulary.new_rows()[0]
    out = bytearray()
    left = None
    for step in itertools.count():
        if step >= length:
            left = max(budget, matcher.distance()) if left is None else left - 1
        matcher.fill_mask(row, budget=left)
        allowed = np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")[: len(automaton.vocabulary)])
        choice = [int(t) for t in allowed if t < 256]
        if not choice or (matcher.accepting and (left is not None or rng.random() < 0.02)):
            break
        # Printable bytes are likelier, or most of a text is rare letters in names and strings.
        weights = [8.0 if chr(t).isalnum() else 4.0 if 32 <= t < 127 or t == 10 else 0.02 for t in choice]
        token = rng.choices(choice, weights)[0]
        assert matcher.advance(token)
        out.append(token)
    assert matcher.accepting, f"stuck after {bytes(out)!r}"
    return bytes(out)


@dataclass
class Table:
    """Counts by (verdict, accepted), what disagrees, and what it took."""

    counts: Counter[tuple[str, bool]]
    wrong: list[tuple[str, str, str]]
    refused: int = 0
    seconds: float = 0.0
    size: int = 0

    def row(self) -> str:
        c = self.counts
        cells = [
            c["valid", True],
            c["valid", False],
            c["invalid", False],
            c["invalid", True],
            c["context", True],
            c["context", False],
        ]
        return " ".join(f"{x:8d}" for x in cells) + f" {self.refused:7d} {self.size / 1e6:8.2f} {self.seconds:8.1f}"


HEAD = (
    " ".join(f"{x:>8}" for x in ("accepted", "rejected", "refused", "accepted", "accepted", "refused"))
    + "  limits       MB  seconds"
)


def compare(
    automaton: constrain.TokenAutomaton,
    judge: Callable[[Sequence[str]], list[Verdict]],
    texts: Sequence[tuple[str, str]],
) -> Table:
    table = Table(Counter(), [])
    for (name, text), verdict in zip(texts, judge([t for _, t in texts]), strict=True):
        if verdict is None:
            continue
        data = text.encode("utf-8", "surrogatepass")
        started = time.perf_counter()
        try:
            accepted = automaton.accepts(data)
        except constrain.LimitExceeded:
            table.refused += 1
            continue
        finally:
            table.seconds += time.perf_counter() - started
            table.size += len(data)
        table.counts[verdict, accepted] += 1
        if (verdict, accepted) in (("valid", False), ("invalid", True)):
            at = automaton.viable(data)
            near = (
                data[max(0, at - 40) : at].decode(errors="replace")
                + "<<>>"
                + data[at : at + 20].decode(errors="replace")
            )
            table.wrong.append((verdict, name, near if verdict == "valid" else text[:160]))
    return table


def llama() -> tuple[Callable[[str], list[int]], constrain.Vocabulary]:
    """The encoder and the vocabulary of 128,000 tokens."""
    import tiktoken

    lines = (DATA / "tokenizers" / "llama3.tiktoken").read_bytes().split(b"\n")
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
    split = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    encoding = tiktoken.Encoding("llama3", pat_str=split, mergeable_ranks=ranks, special_tokens={})
    tokens: list[bytes | None] = [*sorted(ranks, key=ranks.__getitem__), None]
    return encoding.encode_ordinary, constrain.Vocabulary(tokens, [len(ranks)])


def tekken() -> tuple[Callable[[str], list[int]], constrain.Vocabulary]:
    """The encoder and the vocabulary of 131,072 tokens."""
    import mistral_common
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer

    tokenizer = Tekkenizer.from_file(Path(mistral_common.__file__).parent / "data" / "tekken_240911.json")
    return lambda text: tokenizer.encode(text, bos=False, eos=False), constrain.Vocabulary.from_tokenizer(tokenizer)


def advance_by_tokens(
    automaton: constrain.TokenAutomaton, encode: Callable[[str], list[int]], named: Sequence[tuple[str, str]]
) -> tuple[list[str], int, float]:
    """(names of texts that are not read to an accepting end, tokens, seconds of all advances)."""
    failed, tokens, seconds = [], 0, 0.0
    for name, text in named:
        ids = encode(text)
        matcher = automaton.matcher()
        started = time.process_time()
        whole = all(matcher.advance(t) for t in ids)
        seconds += time.process_time() - started
        tokens += len(ids)
        if not (whole and matcher.accepting):
            failed.append(name)
    return failed, tokens, seconds


def read_by_tokens(
    automaton: constrain.TokenAutomaton, encode: Callable[[str], list[int]], texts: Sequence[str]
) -> tuple[int, int, list[float]]:
    """(texts read to their end, tokens, seconds of each mask). A token that its mask lacks ends the reading of its text."""
    row = automaton.vocabulary.new_rows()[0]
    whole, tokens, times = 0, 0, []
    for text in texts:
        matcher = automaton.matcher()
        for token in encode(text):
            started = time.perf_counter()
            matcher.fill_mask(row)
            times.append(time.perf_counter() - started)
            if not int(row[token >> 5]) >> (token & 31) & 1 or not matcher.advance(token):
                break
            tokens += 1
        else:
            whole += matcher.accepting
    return whole, tokens, times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE")
    for option, default in (
        ("texts", 300),
        ("mutants", 1000),
        ("walks", 200),
        ("tokens", 0),
        ("advance", 0),
        ("seed", 1),
        ("show", 5),
    ):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--statements", type=Path, metavar="DIR")
    options = parser.parse_args()
    print(f"{'':24}    valid    valid  invalid  invalid  context  context\n{'':24} {HEAD}")
    for name in options.languages or LANGUAGES:
        if missing(name):
            print(f"{name:24} skipped: {missing(name)}")
            continue
        language, rng = LANGUAGES[name], random.Random(options.seed)
        if name == "postgres" and options.statements:
            language = replace(language, corpus=partial(statements_in, options.statements))
        automaton = constrain.compile(constrain.lark(library=language.grammar), BYTES, limits=LIMITS)
        sets = {"corpus": list(language.corpus(options.texts, rng))}
        sets["mutants"] = [("mutant", t) for t in mutants(language, options.mutants, rng)]
        for _ in range(options.walks if language.walks else 0):
            sets.setdefault("walks", []).append(("walk", walk(automaton, rng.randint(0, 120), 60, rng).decode()))
        for kind, texts in sets.items():
            table = compare(automaton, language.judge, texts)
            print(f"{language.grammar + ' ' + kind:24} {table.row()}")
            for verdict, where, near in table.wrong[: options.show]:
                print(
                    f"    {verdict}, but not here: {where}: {near!r}"
                    if verdict == "valid"
                    else f"    {verdict}, but accepted: {where}: {near!r}"
                )
        corpus = sets["corpus"]
        verdicts = language.judge([t for _, t in corpus]) if options.tokens or options.advance else []
        named = [x for x, v in zip(corpus, verdicts, strict=False) if v == "valid"]
        if options.advance:
            encode, vocabulary = tekken()
            by_tokens = constrain.compile(constrain.lark(library=language.grammar), vocabulary, limits=LIMITS)
            failed, tokens, seconds = advance_by_tokens(by_tokens, encode, named[: options.advance])
            count = len(named[: options.advance])
            print(
                f"{language.grammar} tekken: {count - len(failed)} of {count} texts, {tokens:,} tokens, "
                f"{seconds / max(tokens, 1) * 1e6:.1f} us an advance, {by_tokens.kernel.rule_bytes >> 20} MiB; {failed[:9]}"
            )
        if options.tokens:
            valid = [t for _, t in named][: options.tokens]
            encode, vocabulary = llama()
            by_tokens = constrain.compile(constrain.lark(library=language.grammar), vocabulary, limits=LIMITS)
            for visit in ("first", "again"):
                whole, tokens, times = read_by_tokens(by_tokens, encode, valid)
                p50, p99 = np.percentile(times, (50, 99)) * 1e6
                read = f"{whole} of {len(valid)} texts, {tokens} tokens"
                cost = f"masks p50 {p50:.1f} us, p99 {p99:.0f} us, max {max(times) * 1e3:.1f} ms"
                print(f"{language.grammar} tokens, {visit}: {read}, {cost}")


if __name__ == "__main__":
    main()
