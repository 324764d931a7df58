"""The bundled grammars against the languages' own checkers: samples here, whole corpora in tests/benchmarks/languages.py."""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

import pytest
from benchmarks.languages import (
    BYTES,
    LANGUAGES,
    LIMITS,
    PYTHON,
    available,
    compare,
    literals,
    mutants,
    python_verdict,
    walk,
)

import constrain
import grammars

LIBRARY = Path(grammars.__file__).parent / "library"
START = re.compile(r"^(%override )?start:", re.MULTILINE)
NAMES = sorted(p.stem for p in LIBRARY.glob("*.lark"))
WHOLE = [
    n for n in NAMES if START.search((LIBRARY / f"{n}.lark").read_text()) or n in ("python_3_13", "sqlite", "postgres")
]
has_checker = pytest.mark.parametrize("name", [n for n in LANGUAGES if available(n)])


@pytest.fixture(scope="module")
def automata():
    made: dict[str, constrain.TokenAutomaton] = {}

    def get(grammar: str) -> constrain.TokenAutomaton:
        if grammar not in made:
            made[grammar] = constrain.compile(constrain.lark(library=grammar), BYTES, limits=LIMITS)
        return made[grammar]

    return get


def header(name: str) -> list[str]:
    """The comment that a file begins with, without the slashes."""
    text = (LIBRARY / f"{name}.lark").read_text()
    lines = text.split("\n")
    end = next(i for i, line in enumerate(lines) if not line.startswith("//"))
    return [line[2:] for line in lines[:end]]


def samples(name: str) -> list[str]:
    """The sample lines of a header: from `Samples` to `Corpus`."""
    lines = header(name)
    first = next(i for i, line in enumerate(lines) if line.startswith(" Samples"))
    last = next(i for i, line in enumerate(lines) if line.startswith(" Corpus"))
    return [line[len(" Samples  ") :] for line in lines[first:last]]


@pytest.mark.parametrize("name", NAMES)
def test_headers_say_what_is_covered_and_what_is_not(name):
    starts = [line.split()[0] for line in header(name) if re.match(r" [A-Z][a-z]+ {2}", line)]
    assert [w for w in starts if w != "Context"] == ["Covers", "Leaves", "Samples", "Corpus"]


@pytest.mark.parametrize("name", [n for n in WHOLE if n not in ("identifiers", "python_core")])
def test_samples_are_accepted(name, automata):
    """As one text where the lines belong together, otherwise line by line."""
    automaton = automata(name)
    lines = samples(name)
    texts = (
        ["\n".join(lines)]
        if name in ("python_3_11", "python_3_12", "python_3_13", "javascript", "c", "csv", "jsonl")
        else lines
    )
    for text in texts:
        assert automaton.accepts(text) or name in ("san", "json"), text[: automaton.viable(text)]


@has_checker
def test_agrees_with_the_checker(name, automata):
    """No valid text of the corpus is rejected; no text, mutant or not, that the checker calls invalid is accepted."""
    language, rng = LANGUAGES[name], random.Random(7)
    automaton = automata(language.grammar)
    small = [(n, t) for n, t in language.corpus(25, rng) if len(t) < 20_000]
    for texts in (small, [("mutant", m) for m in mutants(language, 150, rng)]):
        table = compare(automaton, language.judge, texts)
        assert not table.wrong
        assert table.counts
        assert not table.refused


@pytest.mark.parametrize("name", [n for n in LANGUAGES if available(n) and LANGUAGES[n].walks])
def test_random_walks_are_texts_of_the_language(name, automata):
    """Random tokens, then the end within a budget of 60, or within the shortest distance: never stuck, never invalid."""
    language, rng = LANGUAGES[name], random.Random(11)
    automaton = automata(language.grammar)
    texts = [walk(automaton, rng.choice((0, 5, 40)), 60, rng).decode() for _ in range(25)]
    assert "invalid" not in language.judge(texts)


@pytest.mark.parametrize("name", ["smiles", "san", "jsonl", "postgres", "sql"])
def test_random_walks_end(name, automata):
    rng = random.Random(13)
    for _ in range(10):
        assert automata(name).accepts(walk(automata(name), 40, 80, rng))


@pytest.mark.skipif(not available("python"), reason="no grammar for this interpreter")
def test_python_literals_of_the_interpreters_own_tests(automata):
    """What test_syntax, test_grammar and the like feed to the compiler, valid and not."""
    texts = literals(
        "test/test_syntax.py",
        "test/test_fstring.py",
        "test/test_patma.py",
        "test/test_named_expressions.py",
        "test/test_grammar.py",
    )
    table = compare(automata(PYTHON), LANGUAGES["python"].judge, [(t[:40], t) for t in texts])
    assert not table.wrong
    assert table.counts["valid", True] > 100
    assert table.counts["invalid", False] > 100


CONTEXT = [
    "return 1",
    "def f(a, a): pass",
    "break",
    "await x",
    "from __future__ import nonsense",
    "def f():\n    nonlocal x",
    "f(a=1, a=2)",
]


@pytest.mark.skipif(not available("python"), reason="no grammar for this interpreter")
@pytest.mark.parametrize("text", CONTEXT)
def test_context_conditions_are_those_that_are_listed(text, automata):
    """The checker refuses them for a reason that needs more than a grammar; the grammar accepts them, as its header says."""
    assert python_verdict(text) == "context"
    assert automata(PYTHON).accepts(text)


PYTHON_CASES = [
    ("f() = 1", False), ("(a) = 1", True), ("*a = b", False), ("*a, = b", True), ("a, *b, *c = d", False),
    ("del f()", False),
    ("x += 1 = 2", False), ("(a, b) += 1", False), ("f(**a, *b)", False), ("f(a=1, b)", False),
    ("f(x for x in y, 1)", False),
    ("def f(a=1, b): pass", False), ("def f(*, **k): pass", False), ("def f(a, /, b, *, c): pass", True),
    ("x = 07", False), ("x = 0_0", True), ("1if x else y", True), ("1_", False), ("'\\x1'", False), ("'\\d'", True),
    ("b'é'", False), ("'a' b'b'", False), ("u'a' r'b'", True), ("ur'a'", False), ("'''a'''", True),
    ("''''a'''", True), ("'''a''''", False),
    ("if x:\npass", False), ("if x:\n  y\n z", False), ("if x:\n  y\nelse: z", True), ("x = (1,\n  2)", True),
    ("  x", False),
    ("x\n  # comment\ny", True), ("x \\\n  + y", True), ("if x:\n\ty\n        z", False), ("\n\n  \nx", True),
    ("class A: x; y;", True),
    ("match = 1; case = 2; type = _ = 3", True), ("match x:\n  case _: y\n  case 1: z", False),
    ("match x:\n  case 1 | _: z", True),
    ("match (x)", True), ("print 1", False), ("try: x\nexcept: y\nexcept z: w", False),
    ("try: x\nexcept* y: z", True), ("a <> b", False),
    ("lambda *, a: a", True), ("with (a as b, c): d", True), ("x[a:=1, *b]", True), ("x := 1", False), ("(x := 1)", True),
    ("f'{x!r:>{w}}'", True), ("f'{x!q}'", False), ("f'{}'", False), ("f'{{}}'", True), ("f'}'", False),
    ("f'{lambda x: 1}'", False),
    ("ifx = notx = 1", True), ("x = 1.e5j + .5 + 0xFF_FF", True), ("ſ = ℘ = 1", True), ("@a.b[c](d)\ndef f(): pass", True),
    ("import a.b as c, d", True), ("from .. import (a as b,)", True), ("from a import *, b", False), ("global x, y", True),
]  # fmt: skip


@pytest.mark.parametrize("version", [11, 12, 13])
def test_python_cases(version, automata):
    automaton = automata(f"python_3_{version}")
    wrong = [text for text, valid in PYTHON_CASES if automaton.accepts(text) != valid]
    assert not wrong
    if version == sys.version_info.minor:
        assert not [t for t, valid in PYTHON_CASES if (python_verdict(t) == "valid") != valid]


VERSIONS = [
    ("f'{f'{x}'}'", 12), ("f'{a\n}'", 12), ("f'{\"\\n\"}'", 12), ("f'{a # b\n}'", 12), ("type X[T] = int", 12),
    ("def f[*T, **P](): x", 12),
    ("class A[T: (int, str)]: pass", 12), ("f'{a:{b:{c}}}'", 12), ("type X[T = int] = T", 13),
    ("def f[*Ts = *tuple[int]](): x", 13),
]  # fmt: skip


@pytest.mark.parametrize("version", [11, 12, 13])
def test_python_versions(version, automata):
    automaton = automata(f"python_3_{version}")
    assert not [text for text, since in VERSIONS if automaton.accepts(text) != (version >= since)]


CASES = {
    "postgres": {
        "SELECT DISTINCT ON (a) a, b::int[] FROM t WHERE c @> ARRAY[1, 2] FOR UPDATE SKIP LOCKED": True,
        "SELECT a FROM t LIMIT 1 OFFSET 2;": True, "SELECT end": False, "SELECT $$it's$$, E'\\n', $1": True,
        "SELECT $Tag_1$ $$ $tag_1$ '$Tag_1$, $é$é$é$": True, "SELECT $a$ $b$": False, "SELECT $1a$b$1a$": False,
        "CREATE FUNCTION f() RETURNS int AS $body$ SELECT $q$x$q$ $body$ LANGUAGE sql": True,
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING RETURNING *": True, "SELECT a FROM": False, "SELECT a -- c\n": True,
        "CREATE TABLE t (a int PRIMARY KEY, b text NOT NULL DEFAULT 'x', CHECK (a > 0))": True,
        "CREATE TABLE t (a int(4))": False,
        "SELECT a < b < c": False, "SELECT a < b IS NULL < c": True, "SELECT a LIKE b LIKE c": False,
        "SELECT a = ANY (b) = c": True, "SELECT a < b = ANY (c)": False, "SELECT a < NOT b < c, d = - e = f": False,
        "SELECT a < NOT b < c": True, "SELECT a LIKE b || '%' ESCAPE '!' AND NOT c IN (d) IN (e)": True,
        "SELECT a IS DISTINCT FROM b IS NULL": False, "SELECT a BETWEEN b < c AND d": True, "SELECT 'a' 'b'": False,
        "SELECT 'a' -- c\n 'b'": True, "SELECT E'\\ud83d\\ude00'": True, "SELECT E'\\ud83d'": False, "SELECT 1 filter": False,
        "SELECT 1 is, a*/b": True, "SELECT a*/*b*/c": True, "UPDATE t SET a =@ b": False, "UPDATE t SET a =-b": True,
        "COPY t (a) FROM STDIN WITH (FORMAT csv, HEADER)": True, "GRANT r TO CURRENT_USER WITH ADMIN OPTION": True,
        "SELECT json_object('a' : 1 ABSENT ON NULL), xmlelement(name a, xmlattributes(b))": True,
        "SELECT /* a /* b */ -- */ 1": True, "/**/ SELECT /* a /* b */ */ 1 /*/ */ ;": True, "SELECT /* a /* b */ 1": False,
        "SELECT 1 /* a */ */": False, "SELECT 2 /**/ / /***/ 3": True, "SELECT a/*b*/c, d--*/\n/e": True,
    },
    "sql": {
        "SELECT a FROM t FETCH FIRST 3 ROWS ONLY": True, "SELECT a, FROM t": False, "SELECT select FROM t": False,
        "SELECT \"select\" FROM t": True, "select A from T where X between 1 and 2 and Y": True,
        "MERGE INTO t USING u ON a = b": False,
        "SELECT DATE '2024-01-01', INTERVAL '1' DAY, count(*) OVER (ORDER BY a ROWS 1 PRECEDING)": True,
        "SELECT 1 ſROM t": False,
    },
    "javascript": {
        "a\nb": True, "a b": False, "a\n(b)": True, "let x = 1\n/re/.test(a)": False, "x = a / b / c": True,
        "x = /[/]/g": True,
        "return_ = `a${`b${c}`}d`": True, "if (a) b; else c": True, "if (a) b else c": False,
        "for (const x of y);": True, "({a = 1})": False,
        "({a = 1} = b)": True, "[a, ...b] = c": True, "a ?? b || c": False, "-a ** b": False, "{}": True,
        "class A { #x; static { } }": True,
        "a?.b?.[c]?.(d)": True, "1.toString()": False, "1..toString()": True, "import a, {b as c} from 'd'": True,
        "throw\na": False,
    },
    "c": {
        "int x;": True, "int (*f)(int, ...);": True, "int f(void) { return 0 }": False,
        "struct s { int a : 3; } x = { .a = 1 };": True,
        "int x = sizeof(int) * 2;": True, "int f() { for (int i = 0;;) if (i) break; else continue; }": True,
        "char *s = \"a\" L\"b\";": True,
        "return int;": False, "int x = 08;": False, "int a[] = { [1 ... 3] = 2 };": True,
        "typedef int T; T f(T t) { return (T) t; }": True,
    },
    "smiles": {
        "CC(=O)Oc1ccccc1C(=O)O": True, "C[C@H](N)C(=O)[O-].[Na+]": True, "[13CH4]": True, "C(": False,
        "C((C))": False, "[Xx]": False,
        "F/C=C/F": True, "C%12CC%12": True, "=C": False, "": False,
    },
    "san": {
        "1. e4 e5 2. Nf3 Nc6 3. Bb5 a6 {Ruy Lopez} 4. O-O 1/2-1/2": True, "1. e4 e4": True, "1. e9": False,
        "1. e4 e5 2. exd6": True,
        "1. e4 exd1=Q#": True, "1. e8": False, "1. e8=Q": True, "Nbd2": True, "Nbd": False, "1... e5 2. axc3": False,
    },
    "jsonl": {'{"a": 1}\n[2]\n': True, '{"a":\n1}': False, "": True, "1\r\n2": True},
    "dates": {
        "2024-02-29": True, "2023-02-29": False, "1900-02-29": False, "2000-366": True, "2020-W53-7": True,
        "2021-W53-1": False, "P1Y2M": True,
        "P": False, "PT": False, "2016-12-31T23:59:60Z": True, "2024-04-31": False, "20240229T101500+0200": True,
        "P1D/2024-01-01": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_cases(name, automata):
    automaton = automata(name)
    assert not [text for text, valid in CASES[name].items() if automaton.accepts(text) != valid]
