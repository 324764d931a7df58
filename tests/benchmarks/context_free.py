"""Context-free grammars in figures: compile, mask and advance beside peers, bundled grammars on real texts, and growth.

    python tests/benchmarks/context_free.py [--tokenizer PATH] [--texts N] [--seconds S] [--engines NAMES] [--growth N,N]

*Side by side*: one grammar text in the Lark dialect that llguidance and XGrammar share, one list of texts and token ids for
all engines. Peers that are not installed are left out, and so are the texts that the first pass does not begin within S seconds.
*Library*: bundled grammars, ours alone, on files of the standard library and texts below.

Every text is read token by token: fill the mask, advance, look the token up in the mask; then the end-of-text token. A text is
read if all of its tokens were in their masks and taken. *Cold*: the first visit, directly after the compilation with nothing
else in our engine, over all valid texts in order. *Warm*: the same texts again in the same process with the same compiled
object. Wrong texts are read as well, and count in the verdicts alone. No text begins with something ignored, because the peers
take that after the first token only. *MiB*: what our automaton keeps for its rules after both passes; where its memos
outgrew their budget in the warm pass and were emptied, that is said.

*Growth*: one token a byte, so that a text of n brackets or elements has as many tokens, and what the automaton keeps for its
rules at the end of the text, with the matcher alive. Both should be constant per token. No text is forced by its grammar,
because where one is, a mask of llguidance holds the tokenizer's own token alone.

All times are processor time of the calling thread, because wall time on a shared machine measures its other users; peers are
kept to one thread. What reading that clock costs is printed and contained in every figure.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import json
import os
import platform
import random
import sysconfig
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import constrain

STDLIB = Path(sysconfig.get_path("stdlib"))
PYTHON_FILES = ("json/scanner.py", "bisect.py", "fnmatch.py", "json/decoder.py", "heapq.py", "textwrap.py")

JSON = r"""
start: value
value: object | array | STRING | NUMBER | "true" | "false" | "null"
object: "{" [member ("," member)*] "}"
member: STRING ":" value
array: "[" [value ("," value)*] "]"
STRING: /"([^"\\\x00-\x1f]|\\(["\\\/bfnrt]|u[0-9a-fA-F]{4}))*"/
NUMBER: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/
WS: /[ \t\n\r]+/
%ignore WS
"""

ARITHMETIC = r"""
start: sum
sum: product | sum ("+" | "-") product
product: sign | product ("*" | "/") sign
sign: power | "-" sign
power: atom | atom "^" sign
atom: NUMBER | NAME | NAME "(" [sum ("," sum)*] ")" | "(" sum ")"
NUMBER: /(0|[1-9][0-9]*)(\.[0-9]+)?/
NAME: /[a-z_][a-z_0-9]*/
WS: /[ \t]+/
%ignore WS
"""

SQL = r"""
start: select
select: "SELECT"i ["DISTINCT"i] columns "FROM"i source join* [where] [group] [order] [limit]
columns: "*" | column ("," column)*
column: sum ["AS"i NAME]
source: NAME ["AS"i NAME] | "(" select ")" "AS"i NAME
join: ["LEFT"i | "INNER"i] "JOIN"i source "ON"i condition
where: "WHERE"i condition
group: "GROUP"i "BY"i sum ("," sum)* ["HAVING"i condition]
order: "ORDER"i "BY"i sum ["ASC"i | "DESC"i] ("," sum ["ASC"i | "DESC"i])*
limit: "LIMIT"i INTEGER
condition: conjunction | condition "OR"i conjunction
conjunction: negation | conjunction "AND"i negation
negation: predicate | "NOT"i negation
predicate: sum COMPARISON sum | sum "IS"i ["NOT"i] "NULL"i | sum "LIKE"i STRING
    | sum "IN"i "(" (select | sum ("," sum)*) ")" | sum "BETWEEN"i sum "AND"i sum | "(" condition ")"
sum: product | sum ("+" | "-") product
product: atom | product ("*" | "/") atom
atom: NAME ["." NAME] | NAME "(" ("*" | [sum ("," sum)*]) ")" | INTEGER | STRING | "NULL"i | "(" sum ")"
COMPARISON: "=" | "<>" | "<=" | ">=" | "<" | ">"
NAME: /[A-Za-z_][A-Za-z_0-9]*/
INTEGER: /[0-9]+/
STRING: /'([^'\n]|'')*'/
WS: /[ \t\n]+/
%ignore WS
"""

C_LIKE = r"""
start: (function | declaration)*
function: TYPE NAME "(" [parameter ("," parameter)*] ")" block
parameter: TYPE "*"* NAME
block: "{" statement* "}"
statement: block | declaration | ";" | expression ";" | "return" [expression] ";" | "break" ";" | "continue" ";"
    | "if" "(" expression ")" statement ["else" statement]
    | "while" "(" expression ")" statement
    | "for" "(" [expression] ";" [expression] ";" [expression] ")" statement
declaration: TYPE declarator ("," declarator)* ";"
declarator: "*"* NAME ["[" expression "]"] ["=" assignment]
expression: assignment | expression "," assignment
assignment: ternary | unary ASSIGN assignment
ternary: logical_or | logical_or "?" expression ":" ternary
logical_or: logical_and | logical_or "||" logical_and
logical_and: comparison | logical_and "&&" comparison
comparison: additive | comparison COMPARE additive
additive: multiplicative | additive ("+" | "-") multiplicative
multiplicative: unary | multiplicative ("*" | "/" | "%") unary
unary: postfix | ("-" | "!" | "&" | "*" | "++" | "--") unary
postfix: primary | postfix "[" expression "]" | postfix "(" [assignment ("," assignment)*] ")" | postfix ("." | "->") NAME
    | postfix ("++" | "--")
primary: NAME | NUMBER | STRING | "(" expression ")"
TYPE: "int" | "char" | "double" | "void"
ASSIGN: "=" | "+=" | "-=" | "*=" | "/="
COMPARE: "==" | "!=" | "<=" | ">=" | "<" | ">"
NAME: /[A-Za-z_][A-Za-z_0-9]*/
NUMBER: /[0-9]+(\.[0-9]+)?/
STRING: /"([^"\\\n]|\\.)*"/
WS: /[ \t\n]+/
COMMENT: /\/\/[^\n]*/
%ignore WS
%ignore COMMENT
"""

JSON_WRONG = ['{"a": 1,}', "[1 2]", "{a: 1}", '{"a" 1}', "[01]", '"a', '["\\x"]', "[1, 2", "nul"]
ARITHMETIC_WRONG = ["1 + ", "(1", "1 2", "f(1,)", "2 ** 3", ")", "01", "1.", "a + * b"]
SQL_WRONG = [
    "SELECT FROM t WHERE",
    "SELECT a b FROM t",
    "SELECT a FROM t WHERE x",
    "SELECT a, FROM t AS u",
    "SELECT a FROM t GROUP a",
    "SELECT a FROM t WHERE x = 'open",
    "UPDATE t",
    "SELECT a FROM t LIMIT x",
]
C_WRONG = [
    "int main() { return 0 }",
    "int f( { }",
    "int x = ;",
    "int main() { if x { } }",
    "int main() { 1 = = 2; }",
    'char *s = "open;',
    "int main() { for (;;;) {} }",
    "int main() {",
    "x = 1;",
]
SQL_TEXTS = [
    "SELECT * FROM users",
    "select distinct u.name as who, count(*) as n\nfrom users as u\nleft join orders as o on o.user_id = u.id\n"
    "where u.age between 18 and 65 and (u.city = 'Oslo' or u.city like 'San%') and not o.state is null\n"
    "group by u.name having count(*) > 3 order by n desc, who limit 10",
    "Select a.id, (a.price - a.cost) * 100 / a.cost As margin From (Select * From goods Where stock > 0) As a "
    "Where a.kind In ('book', 'map', 'child''s game') Order By margin Desc",
    "SELECT id FROM t WHERE owner IN (SELECT id FROM people WHERE name <> 'x' OR name IS NULL) LIMIT 5",
]
C_TEXTS = [
    """int values[100], count = 0;  // sorted by insertion
void sort(int *values, int n) {
    for (i = 1; i < n; i++) {
        int key = values[i], j = i - 1;
        while (j >= 0 && values[j] > key) {
            values[j + 1] = values[j];
            j--;
        }
        values[j + 1] = key;  // in its place
    }
}
int main() {
    char *line = "a \\"line\\"\\n";
    double mean = 0.0;
    if (count == 0) return -1; else print(line, count);
    while (!done(&count)) { mean += values[count] / 2.5; if (mean > 100) break; }
    return mean > 10 ? 1 : list->next.size;
}
"""
]
SQLITE_TEXTS = [
    *SQL_TEXTS,
    """CREATE TABLE IF NOT EXISTS track (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL COLLATE NOCASE DEFAULT '',
    album INTEGER REFERENCES album (id) ON DELETE CASCADE,
    seconds REAL CHECK (seconds > 0),
    UNIQUE (title, album)
) WITHOUT ROWID;
CREATE INDEX by_album ON track (album, title DESC) WHERE seconds IS NOT NULL;
INSERT INTO track (title, album, seconds) VALUES ('One', 1, 201.5), ('It''s two', ?, :seconds)
    ON CONFLICT (title, album) DO UPDATE SET seconds = excluded.seconds RETURNING id;
""",
    """WITH RECURSIVE tree (id, depth, path) AS (
    SELECT id, 0, '/' || name FROM node WHERE parent ISNULL
    UNION ALL
    SELECT n.id, t.depth + 1, t.path || '/' || n.name FROM node n JOIN tree t ON n.parent = t.id WHERE t.depth < 20
)
SELECT path, sum(size) OVER (PARTITION BY depth ORDER BY path ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS running,
    CASE WHEN depth > 3 THEN 'deep' WHEN depth = 0 THEN 'root' ELSE CAST(depth AS TEXT) END AS kind
FROM tree LEFT JOIN file USING (id) WHERE path GLOB '/usr/*' AND size NOT BETWEEN 0 AND 0x1F ORDER BY 2 DESC LIMIT 9;
""",
    "BEGIN; UPDATE t SET a = b -> '$.x', c = NULL WHERE rowid IN (1, 2); DELETE FROM t WHERE a GLOB 'x*'; COMMIT;",
]
LIBRARY_C_TEXTS = [
    """typedef unsigned long size_t;
struct list { struct list *next; union { int i; double d; } value; unsigned flag : 1; };
static int (*compare)(const void *, const void *) = 0;
enum color { RED = 1, GREEN = RED << 1, BLUE };
extern int printf(const char *format, ...);

static struct list *push(struct list *head, int i) {
    struct list *node = (struct list *) malloc(sizeof *node);
    if (!node)
        goto failed;
    *node = (struct list){ .next = head, .value.i = i };
    return node;
failed:
    printf("%s:%d: no memory\\n", __FILE__, __LINE__);
    return 0;
}

int main(int argc, char **argv) {
    static const double table[3][2] = { { 1.5, 2e-3 }, [2] = { 0x1p4, .5f } };
    struct list *all = 0;
    size_t n = 0;
    for (int i = 0; i < argc; i++) {
        switch (argv[i][0]) {
        case '-': n += 2; break;
        case 'a' ... 'z': all = push(all, i); /* a name */ continue;
        default: do { n--; } while (n > 10 && ~n & 1);
        }
    }
    return n ? (int) table[n % 3][0] : compare(&n, all) <= 0;
}
"""
]
LIBRARY_WRONG = {
    "json": JSON_WRONG,
    "sqlite": ["SELECT FROM", "INSERT t VALUES (1)", "CREATE TABLE (a)", "SELECT 'a", "DELETE t;", "SELECT (1"],
    "c": ["int x", "int f(void) { return 0 }", "int a[3 = 1;", 'char *s = "a;', "struct { int }; x", "}"],
    "python_3_12": [
        "def f(:\n  pass\n",
        "if x:\npass\n",
        "x = (1\n",
        "x = 'a\n",
        "  x = 1\n",
        "for x y:\n  pass\n",
        "1 = x\n",
    ],
}


# ---------------------------------------------------------------------- work
@dataclass(frozen=True)
class Case:
    """A grammar and its texts. `valid` are in the language, `wrong` are not."""

    name: str
    make: Callable[[], constrain.Grammar]
    lark: str
    valid: list[str]
    wrong: list[str]


def json_value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(7 if depth else 5)
    if kind == 5:
        return [json_value(rng, depth - 1) for _ in range(rng.randrange(5))]
    if kind == 6:
        names = ("id", "name", "unit price", "tags", "geänderte Werte", "x\ty")
        return {name: json_value(rng, depth - 1) for name in rng.sample(names, rng.randrange(1, 5))}
    numbers = rng.choice((rng.randrange(1000), rng.uniform(-1, 1), rng.random() * 1e30))
    words = " ".join(
        rng.choices(("the", "quick", "brown", "Füchse", 'say "no"', "back\\slash", "\n"), k=rng.randrange(1, 9))
    )
    return (numbers, words, True, None, words)[kind]


def expression(rng: random.Random, depth: int, operators: Sequence[str]) -> str:
    if depth == 0:
        return rng.choice(("x", "total", "rate_2", "7", "314", "0", "a1"))
    left, right = expression(rng, depth - 1, operators), expression(rng, rng.randrange(depth), operators)
    forms = (
        f"{left} {rng.choice(operators)} {right}",
        f"({left})",
        f"f({left}, {right})",
        f"{left}{rng.choice(operators)}{right}",
    )
    return rng.choice(forms)


def query(rng: random.Random, depth: int) -> str:
    word = rng.choice((str.lower, str.upper, str.title))
    term = functools.partial(expression, rng, operators="+-*/")
    source = (
        f"({query(rng, depth - 1)}) {word('as')} part"
        if depth and rng.random() < 0.5
        else rng.choice(("orders", "staff"))
    )
    text = f"{word('select')} {term(2)}, {term(1)} {word('as')} value {word('from')} {source}"
    if rng.random() < 0.7:
        more = f"{word('or')} name {word('like')} 'a%'"
        text += f" {word('where')} {term(1)} {rng.choice(('=', '<', '>=', '<>'))} {term(2)} {more if rng.random() < 0.5 else ''}"
    return text + f" {word('order')} {word('by')} {term(1)} {word('desc')}" if rng.random() < 0.5 else text.rstrip()


def statement(rng: random.Random, depth: int, indent: str) -> str:
    term = functools.partial(expression, rng, operators=("+", "-", "*", "%", "==", "<", "&&"))
    kind = rng.randrange(6 if depth else 3)
    if kind >= 3:
        body = "".join(statement(rng, depth - 1, indent + "    ") for _ in range(rng.randrange(1, 4)))
        heads = (f"if ({term(2)})", f"while ({term(1)})", f"for (i = 0; i < {term(1)}; i++)")
        return f"{indent}{heads[kind - 3]} {{\n{body}{indent}}}\n"
    return indent + (f"x = {term(3)};", f'print("%d\\n", {term(2)});', f"int y = {term(2)};  // {term(1)}")[kind] + "\n"


def function(rng: random.Random) -> str:
    body = "".join(statement(rng, 2, "    ") for _ in range(4))
    return f"int f{rng.randrange(100)}(int x, char *name) {{\n{body}    return x;\n}}\n"


def json_texts(n: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    indents = (None, 2, None, 4)
    return [json.dumps(json_value(rng, 4), ensure_ascii=i % 3 == 0, indent=indents[i % 4]) for i in range(n)]


def side_by_side(n: int, seed: int) -> list[Case]:
    """The grammars that all engines read, each with `n` texts drawn by `seed` beside those written by hand."""
    rng = random.Random(seed)
    terms = [expression(rng, 1 + i % 6, "+-*/^") for i in range(n)]
    work = (
        ("JSON", JSON, json_texts(n, seed), JSON_WRONG),
        ("arithmetic", ARITHMETIC, ["-2^-(x + 1.5) * max(a, b, c())", *terms], ARITHMETIC_WRONG),
        ("SQL SELECT", SQL, [*SQL_TEXTS, *(query(rng, 2) for _ in range(n))], SQL_WRONG),
        ("C-like", C_LIKE, [*C_TEXTS, *(function(rng) for _ in range(max(1, n // 4)))], C_WRONG),
    )
    return [Case(name, functools.partial(constrain.lark, text), text, ok, bad) for name, text, ok, bad in work]


def library(n: int, seed: int) -> list[Case]:
    """Bundled grammars with real texts."""
    python = [(STDLIB / name).read_text() for name in PYTHON_FILES]
    work = (("json", json_texts(n, seed)), ("sqlite", SQLITE_TEXTS), ("c", LIBRARY_C_TEXTS), ("python_3_12", python))
    return [
        Case(name, functools.partial(constrain.lark, library=name), "", texts, LIBRARY_WRONG[name])
        for name, texts in work
    ]


# ---------------------------------------------------------------------- engines
@dataclass(frozen=True)
class Calls:
    """What reading a text needs: fill the mask, take a token, look a token up in the mask filled last."""

    fill: Callable[[], object]
    advance: Callable[[int], object]
    row: np.ndarray[Any, Any]


class Compiled(Protocol):
    def begin(self, spare: bool) -> Calls:
        """At the start of a text. `spare`: the text may be refused, which some engines do not come back from."""

    def memory(self) -> tuple[int, int]:
        """Bytes kept for the rules, and how often memos were emptied so far; zeros where an engine does not say."""


class Engine(Protocol):
    name: str

    def compile(self, case: Case) -> Compiled:
        """Raises what the engine raises on a grammar that it does not take."""


class Ours:
    name = "constrain"

    def __init__(self, tokenizer: Any, vocabulary: constrain.Vocabulary) -> None:
        self.vocabulary = vocabulary

    def compile(self, case: Case) -> OursCompiled:
        return OursCompiled(constrain.compile(case.make(), self.vocabulary))


class OursCompiled:
    def __init__(self, automaton: constrain.TokenAutomaton) -> None:
        self.automaton, self.row = automaton, automaton.vocabulary.new_rows()[0]

    def begin(self, spare: bool) -> Calls:
        matcher = self.automaton.matcher()
        return Calls(functools.partial(matcher.fill_mask, self.row), matcher.advance, self.row)

    def memory(self) -> tuple[int, int]:
        kernel = self.automaton.kernel
        return kernel.rule_bytes, kernel.rule_stats().get("memo_clears", 0)


class LLGuidance:
    name = "llguidance"

    def __init__(self, tokenizer: Any, vocabulary: constrain.Vocabulary) -> None:
        self.module = importlib.import_module("llguidance")
        hf = importlib.import_module("llguidance.hf")
        self.words, end = vocabulary.mask_words, vocabulary.eos_token_ids[0]
        self.tokenizer = hf.from_tokenizer(tokenizer, n_vocab=len(vocabulary), eos_token=end)

    def compile(self, case: Case) -> LLGuidanceCompiled:
        matcher = self.module.LLMatcher(self.tokenizer, self.module.LLMatcher.grammar_from_lark(case.lark), log_level=0)
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return LLGuidanceCompiled(matcher, self.words)


class LLGuidanceCompiled:
    """A matcher is compiled and read at once. `reset` keeps what its lexer has learnt; from a refusal it does not recover."""

    def __init__(self, matcher: Any, words: int) -> None:
        self.matcher, self.fresh = matcher, matcher.deep_copy()
        self.row = np.zeros(words, dtype=np.int32)

    def begin(self, spare: bool) -> Calls:
        if self.matcher.is_error() or not self.matcher.reset():
            self.matcher = self.fresh.deep_copy()
        matcher = self.matcher.deep_copy() if spare else self.matcher
        fill = functools.partial(matcher.unsafe_compute_mask_ptr, self.row.ctypes.data, self.row.nbytes)
        return Calls(fill, matcher.consume_token, self.row)

    def memory(self) -> tuple[int, int]:
        return 0, 0


class XGrammar:
    name = "XGrammar"

    def __init__(self, tokenizer: Any, vocabulary: constrain.Vocabulary) -> None:
        self.module = importlib.import_module("xgrammar")
        ends = list(vocabulary.eos_token_ids)
        info = self.module.TokenizerInfo.from_huggingface(tokenizer, vocab_size=len(vocabulary), stop_token_ids=ends)
        self.compiler = self.module.GrammarCompiler(info, max_threads=1, cache_enabled=False)
        self.row = np.zeros((1, vocabulary.mask_words), dtype=np.int32)

    def compile(self, case: Case) -> XGrammarCompiled:
        return XGrammarCompiled(self.module, self.compiler.compile_lark(case.lark), self.row)


class XGrammarCompiled:
    def __init__(self, module: Any, compiled: Any, rows: np.ndarray[Any, Any]) -> None:
        self.module, self.compiled, self.rows = module, compiled, rows

    def begin(self, spare: bool) -> Calls:
        matcher = self.module.GrammarMatcher(self.compiled)
        fill = functools.partial(matcher.fill_next_token_bitmask, self.rows)
        return Calls(fill, matcher.accept_token, self.rows[0])

    def memory(self) -> tuple[int, int]:
        return 0, 0


ENGINES: dict[str, Callable[[Any, constrain.Vocabulary], Engine]] = {
    "constrain": Ours,
    "llguidance": LLGuidance,
    "xgrammar": XGrammar,
}


def installed(names: Sequence[str], tokenizer: Any, vocabulary: constrain.Vocabulary) -> list[Engine]:
    return [ENGINES[name](tokenizer, vocabulary) for name in names if release(name) != "absent"]


def release(package: str) -> str:
    if package == "constrain":
        return constrain.__version__
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


# ---------------------------------------------------------------------- measuring
@dataclass
class Figures:
    """Nanoseconds of the thread, and verdicts: texts that went wrong stand under their reasons."""

    compile: int = 0
    cold: list[int] = field(default_factory=list)
    warm: list[int] = field(default_factory=list)
    read: int = 0  # valid texts begun before the time was spent
    bytes: int = 0  # kept for the rules; 0 where unknown
    cleared: int = 0  # how often memos were emptied in the warm pass
    accepted: int = 0
    refused: int = 0
    disagreements: int = 0
    wrong: list[str] = field(default_factory=list)


def read(calls: Calls, ids: Sequence[int], times: list[int]) -> tuple[int, int]:
    """Reads tokens as a decoder would: (tokens taken, places where mask and advance disagree)."""
    fill, advance, row, clock = calls.fill, calls.advance, calls.row, time.thread_time_ns
    disagreements = 0
    for i, token in enumerate(ids):
        begin = clock()
        fill()
        taken = advance(token)
        times.append(clock() - begin)
        allowed = bool(int(row[token >> 5]) >> (token & 31) & 1)
        disagreements += allowed != bool(taken)
        if not (taken and allowed):
            return i, disagreements
    return len(ids), disagreements


def measure(
    engine: Engine, case: Case, encode: Callable[[str], list[int]], vocabulary: constrain.Vocabulary, seconds: float
) -> Figures:
    """Compiles with our engine emptied, and reads twice the texts that it begins within `seconds`.

    Raises what `compile` raises.
    """
    figures = Figures()
    vocabulary.clear()
    gc.collect()
    gc.disable()
    try:
        begin = time.thread_time_ns()
        compiled = engine.compile(case)
        figures.compile = time.thread_time_ns() - begin
        for times in (figures.cold, figures.warm):
            figures.accepted = figures.refused = 0
            cleared = compiled.memory()[1]
            figures.wrong = []
            for text in case.valid if times is figures.cold else case.valid[: figures.read]:
                if times is figures.cold:
                    if sum(times) > seconds * 1e9:
                        break
                    figures.read += 1
                whole, where = judge(compiled, encode(text), text, times, figures, spare=False)
                figures.accepted += whole
                figures.wrong += [] if whole else [f"refuses valid text {where}"]
            figures.bytes, clears = compiled.memory()
            figures.cleared = clears - cleared
            for text in case.wrong:
                whole, _ = judge(compiled, encode(text), text, [], figures, spare=True)
                figures.refused += not whole
                figures.wrong += [f"accepts wrong text {text!r}"] if whole else []
    finally:
        gc.enable()
    return figures


def judge(
    compiled: Compiled, ids: list[int], text: str, times: list[int], figures: Figures, spare: bool
) -> tuple[bool, str]:
    """Whether a text with its end was read, and where it was not."""
    try:
        taken, disagreements = read(compiled.begin(spare), ids, times)
    except (constrain.ConstrainError, RuntimeError) as e:
        return False, f"{type(e).__name__}: {str(e)[:80]}"
    figures.disagreements += disagreements
    return taken == len(ids), f"at token {taken} of {len(ids)} of {text[:60]!r}"


# ---------------------------------------------------------------------- growth
GROWTH: dict[str, tuple[str, Callable[[int], str]]] = {
    "nested brackets": ('start: x\nx: "(" [x ("," x)*] ")"', lambda n: "(" * n + ")" * n),
    "list elements": ('start: "[" [x ("," x)*] "]"\nx: /[0-9]+/', lambda n: "[" + ",".join("7" * n) + "]"),
    "right recursion": ('start: x\nx: "a" x | "a"', lambda n: "a" * n),
    "left recursion": ('start: x\nx: x "a" | "a"', lambda n: "a" * n),
}


def growth_case(name: str, n: int) -> Case:
    grammar, text = GROWTH[name]
    return Case(name, functools.partial(constrain.lark, grammar), grammar, [text(n)], [])


def grow(
    engine: Engine, case: Case, vocabulary: constrain.Vocabulary, seconds: float
) -> tuple[list[int], int, int, str]:
    """Nanoseconds a token; bytes for the rules before and after the text (0 for peers); why the text was not finished."""
    single = {
        token: i for i, token in reversed(list(enumerate(vocabulary.tokens))) if token is not None and len(token) == 1
    }
    ids = [*(single[bytes([b])] for b in case.valid[0].encode()), vocabulary.eos_token_ids[0]]
    vocabulary.clear()
    gc.collect()
    compiled = engine.compile(case)
    calls, times, why = compiled.begin(spare=True), list[int](), ""
    before, _ = compiled.memory()
    for part in range(0, len(ids), 100):
        taken, _ = read(calls, ids[part : part + 100], times)
        if taken < len(ids[part : part + 100]):
            why = f"refused at token {part + taken}"
        elif sum(times) > seconds * 1e9 and len(times) < len(ids):
            why = f"stopped after {seconds:g} s"
        if why:
            break
    return times, before, compiled.memory()[0], why


# ---------------------------------------------------------------------- printing
def line(*cells: object) -> None:
    widths = (16, 12, 10, 10, 9, 7) + (8,) * 7
    text = "".join(
        f"{c!s:<{w}}" if i < 2 else f"{c!s:>{w}}" for i, (c, w) in enumerate(zip(cells, widths, strict=False))
    )
    print(text, flush=True)


def quantiles(nanoseconds: Sequence[int]) -> list[str]:
    values = np.asarray(nanoseconds) / 1e3
    cells = (np.quantile(values, 0.5), np.quantile(values, 0.99), values.max()) if len(values) else ()
    return [f"{x:.1f}" if x < 1000 else f"{x:,.0f}" for x in cells] or ["-"] * 3


def print_cases(
    engines: Sequence[Engine], cases: Sequence[Case], encode: Any, vocabulary: constrain.Vocabulary, seconds: float
) -> None:
    line("", "", "compile", "valid", "wrong", "", "cold", "", "", "warm")
    line("grammar", "engine", "ms", "accepted", "refused", "tokens", *("p50", "p99", "max") * 2, "MiB")
    for case in cases:
        for engine in engines:
            try:
                figures = measure(engine, case, encode, vocabulary, seconds)
            except Exception as e:  # a refusal to compile is a result, whatever a peer raises for it
                print(
                    f"{case.name:<16}{engine.name:<12}not compiled: {type(e).__name__}: {' '.join(str(e).split())[:150]}"
                )
                continue
            verdicts = f"{figures.accepted}/{figures.read}", f"{figures.refused}/{len(case.wrong)}"
            times = *quantiles(figures.cold), *quantiles(figures.warm)
            memory = f"{figures.bytes / 2**20:.1f}" if figures.bytes else "-"
            line(case.name, engine.name, f"{figures.compile / 1e6:.2f}", *verdicts, len(figures.cold), *times, memory)
            for what in figures.wrong[:3]:
                print(f"    {what}")
            if figures.read < len(case.valid):
                print(f"    {len(case.valid) - figures.read} valid texts left out: {seconds:g} s were spent")
            if figures.cleared:
                print(f"    memos cleared {figures.cleared} times in the warm pass")
            if figures.disagreements:
                print(f"    mask and advance disagree at {figures.disagreements} tokens")


def print_growth(
    engines: Sequence[Engine], sizes: Sequence[int], vocabulary: constrain.Vocabulary, seconds: float
) -> None:
    print("one token a byte; us a token, and bytes that the automaton keeps for its rules after the text\n")
    print(
        f"{'grammar':<18}{'engine':<12}{'n':>8}{'tokens':>8}{'mean':>9}{'p50':>8}{'p99':>8}{'max':>8}{'bytes':>12}{'a token':>9}"
    )
    for name in GROWTH:
        for engine in engines:
            for n in sizes:
                times, before, after, why = grow(engine, growth_case(name, n), vocabulary, seconds)
                cells = [f"{sum(times) / len(times) / 1e3:.2f}", *quantiles(times)]
                grown = f"{after:>12,}{(after - before) / len(times):>9.1f}" if after else f"{'-':>12}{'-':>9}"
                print(
                    f"{name:<18}{engine.name:<12}{n:>8,}{len(times):>8,}{cells[0]:>9}"
                    + "".join(f"{c:>8}" for c in cells[1:])
                    + grown
                    + (f"  {why}" if why else ""),
                    flush=True,
                )


def print_environment(vocabulary: constrain.Vocabulary, tokenizer: str | None) -> None:
    packages = ("constrain", "llguidance", "xgrammar", "numpy", "transformers")
    info = Path("/proc/cpuinfo")
    models = [x for x in info.read_text().splitlines() if x.startswith("model name")] if info.exists() else []
    processor = models[0].split(":", 1)[1].strip() if models else platform.processor() or "?"
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "?"
    system = f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()}, load {load}"
    print(f"machine      {platform.machine()}, {processor}, {system}")
    print(f"versions     Python {platform.python_version()}, {', '.join(f'{p} {release(p)}' for p in packages)}")
    name = Path(tokenizer).name if tokenizer else "embedded model"
    print(f"vocabulary   {name}: {len(vocabulary)} tokens, {vocabulary.kernel.trie_nodes} trie nodes")
    clock, empty = time.thread_time_ns, []
    for _ in range(2000):
        begin = clock()
        empty.append(clock() - begin)
    print(
        f"times        processor time of the thread, one thread; an empty interval reads {np.median(empty) / 1e3:.2f} us"
    )


def encoder(tokenizer: Any, vocabulary: constrain.Vocabulary) -> Callable[[str], list[int]]:
    """The tokenizer's own ids with the end, or the vocabulary's greedy ones where those do not spell the text."""

    @functools.cache
    def encode(text: str) -> list[int]:
        ids = list(tokenizer.encode(text, add_special_tokens=False))
        if vocabulary.decode(ids) != text.encode():
            ids = list(vocabulary.encode(text.encode()))
        return [*ids, vocabulary.eos_token_ids[0]]

    return encode


def main(arguments: Sequence[str] | None = None) -> None:
    from transformers import AutoTokenizer

    from constrain.models import DEFAULT

    parser = argparse.ArgumentParser(description="Context-free grammars in figures.")
    parser.add_argument("--tokenizer", help="folder or name for transformers; default: the embedded model's")
    parser.add_argument("--texts", type=int, default=40, help="drawn texts of a grammar")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--growth", default="100,1000,10000", help="sizes; empty for none")
    parser.add_argument("--seconds", type=float, default=10.0, help="processor time for one pass over the texts")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer or str(DEFAULT))
    vocabulary = constrain.Vocabulary.from_tokenizer(tokenizer)
    print_environment(vocabulary, options.tokenizer)
    engines, encode = installed(options.engines.split(","), tokenizer, vocabulary), encoder(tokenizer, vocabulary)
    for engine in engines:
        engine.compile(growth_case("list elements", 1))  # so that no figure contains imports
    print("\nside by side: mask + advance in us\n")
    print_cases(engines, side_by_side(options.texts, options.seed), encode, vocabulary, options.seconds)
    ours = [engine for engine in engines if isinstance(engine, Ours)]
    print("\nbundled grammars: mask + advance in us\n")
    print_cases(ours, library(options.texts, options.seed), encode, vocabulary, options.seconds)
    sizes = [int(n) for n in options.growth.split(",") if n]
    if sizes:
        print("\ngrowth:", end=" ")
        print_growth(engines, sizes, vocabulary, options.seconds)


if __name__ == "__main__":
    main()
