"""Grammars: immutable descriptions of a language, and the constructors that front ends stand behind.

A `Grammar` holds one finished table of the intermediate representation and the id of its root. Grammars compose with
``|`` (either) and ``+`` (one after the other), and with a regular one by ``&`` (both). What is read by longest matches does not
compose by the first two and is embedded in Lark text instead; that is said by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from grammars.cfg import Cfg, LoweredCfg
from grammars.errors import GrammarError, UnsupportedFeature
from grammars.ir import Op, Table, Whitespace
from grammars.limits import DEFAULT_LIMITS, Limits
from grammars.regex import lower_regex, parse_regex

Numbers = Literal["json", "plain"]
Order = Literal["any", "schema"]


@dataclass(frozen=True, slots=True)
class Grammar:
    """kind: "regex", "json_schema", "lark" or "gbnf"; options: those that define the language, by name.

    specials: names of the special tokens that a context-free grammar asks the vocabulary for.
    texts: the source by the path it is imported by, the grammar itself under ""; empty where there is none.
    alphabet: the bytes that its texts are made of, where an intersection leaves out some that the rules or the schema have.
    """

    kind: str
    table: Table = field(repr=False, compare=False)
    root: int = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = DEFAULT_LIMITS
    lowered: Any = field(default=None, repr=False, compare=False)
    specials: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    alphabet: frozenset[int] | None = None

    def packed(self) -> tuple[bytes, list[bytes]]:
        return self.table.pack()

    def part(self, schema: Any) -> Grammar:
        """The grammar of a schema that stands within this one's, under the same options."""
        table = Table()
        _, _, *options = self.table.nodes[self.root]
        root = table.node(Op.JSON, self.lowered.part(schema, table), *options)
        return Grammar(self.kind, table, root, self.options, self.limits, self.lowered, alphabet=self.alphabet)

    def whole(self, what: str) -> Grammar:
        """Itself. Raises UnsupportedFeature if its alphabet was cut down, which `what` would not know."""
        if self.alphabet is not None:
            raise UnsupportedFeature(
                f"{what} of a grammar that an intersection (&) has cut down to some bytes is not supported"
            )
        return self

    def report_rows(self) -> tuple[Any, ...]:
        """One row for each keyword of a schema; empty for regexes, which are enforced whole or refused."""
        return self.lowered.report if self.lowered is not None else ()

    def __or__(self, other: Grammar) -> Grammar:
        return self._compose(other, Op.OR)

    def __add__(self, other: Grammar) -> Grammar:
        return self._compose(other, Op.CONCAT)

    def __and__(self, other: Grammar) -> Grammar:
        return self._compose(other, Op.AND)

    def to_gbnf(self) -> str:
        """The grammar as GBNF text. Raises UnsupportedFeature, by name, for what GBNF cannot say."""
        from grammars.gbnf import write_gbnf

        return write_gbnf(self.whole("GBNF"))

    def to_svg(
        self, kind: Literal["railroad", "automaton"] = "railroad", name: str | None = None, limit: int | None = None
    ) -> str:
        """The grammar as one SVG document that stands alone (`docs/grammars.md`, Pictures).

        kind: "railroad" for one diagram a rule, as the author wrote it (needs the package railroad-diagrams); "automaton" for
            the minimal deterministic automaton of a regular language, or of a terminal of a grammar by its `name`, and
            for the recursive transition network of a context-free grammar, one automaton a rule.
        name: this rule or terminal alone. limit: most boxes of all diagrams (50,000), or states of an automaton (200).
        Raises LimitExceeded beyond it, UnsupportedFeature for JSON Schemas, GrammarError for a name that is not there.
        """
        from grammars.drawing import draw_grammar

        return draw_grammar(self.whole("a picture"), kind, name, limit)

    @property
    def is_cfg(self) -> bool:
        """Is it a context-free grammar (Lark, GBNF, or composed)? Then `lowered` is a `LoweredCfg`."""
        return isinstance(self.lowered, LoweredCfg)

    def _compose(self, other: Grammar, op: Op) -> Grammar:
        if not isinstance(other, Grammar):
            raise TypeError(f"a grammar composes with a grammar, not with {type(other).__name__}")
        table = Table()
        if self.kind == other.kind == "regex":
            roots = [table.absorb(g.table, g.root) for g in (self, other)]
            return Grammar("regex", table, table.node(op, *roots), {}, self.limits)
        if op == Op.AND:
            return _both(self, other)
        return _composed(self, other, op, table)


def _both(a: Grammar, b: Grammar) -> Grammar:
    """The texts of a grammar that a regular one holds too: by a product with its rules, or by `restrict_bytes`."""
    from grammars.passes.intersect_regular import intersect_regular
    from grammars.passes.restrict_bytes import restrict_bytes

    free, regular = (a, b) if b.kind == "regex" else (b, a)
    if regular.kind != "regex":
        if a.is_cfg and b.is_cfg:
            why = "the texts of two context-free grammars are no context-free language, and whether there is one is undecidable"
        else:
            why = "what holds inside of JSON texts is said in the schema (allOf, pattern)"
        raise UnsupportedFeature(
            f"{a.kind} & {b.kind} is not supported: & takes a regular grammar (regex, choice, literal) and any other; {why}"
        )
    try:
        if not free.is_cfg:
            raise UnsupportedFeature(
                f"a JSON Schema intersects (&) with all texts of some bytes ([ -~]*) and with finitely many texts; {free.kind} & "
                f"{regular.kind} is neither. What holds inside of JSON texts is said in the schema (allOf, pattern)"
            )
        lowered = intersect_regular(free, regular, a.limits)
    except UnsupportedFeature:
        restricted = restrict_bytes(free, regular)
        if restricted is None:
            raise
        return restricted
    return replace(_from_cfg("cfg", lowered, {"lexer": lowered.lexing}, a.limits), alphabet=free.alphabet)


def _composed(a: Grammar, b: Grammar, op: Op, table: Table) -> Grammar:
    """Either grammar, or one after the other: as the parts of one in which any split counts, which is exact."""
    from grammars.passes.embed_grammar import embed_grammar
    from grammars.passes.expand_repetition import Expansion

    for g in (a, b):
        g.whole("a composition")
        if g.is_cfg and g.lowered.lexing == "longest":
            raise UnsupportedFeature(
                "a grammar read by longest matches does not compose with | or +, because what follows a text changes how "
                "it is cut; embed it (start: @a | @b with grammars={...}), or compile it with lexer='any'"
            )
    expansion = Expansion(Cfg(table), a.limits)
    parts = [embed_grammar(g, expansion, "any", name) for g, name in ((a, "left"), (b, "right"))]
    start = expansion.cfg.nonterminal("start")
    expansion.rules(start, expansion.sequence(parts) if op == Op.CONCAT else (*parts[0], *parts[1]))
    rows = tuple(r for g in (a, b) for r in (g.lowered.embedded if g.is_cfg else g.report_rows()))
    lowered = LoweredCfg(expansion.cfg, start, "any", rows)
    return _from_cfg("cfg", lowered, {"lexer": "any"}, a.limits)


def _from_cfg(
    kind: str, lowered: LoweredCfg, options: dict[str, Any], limits: Limits, texts: Mapping[str, str] | None = None
) -> Grammar:
    from grammars.passes.find_spacing import find_spacing

    cfg = lowered.cfg
    root = cfg.finish(lowered.start, lowered.lexing, find_spacing(cfg) if lowered.lexing == "longest" else ())
    specials = (cfg.table.blobs[t.node].decode() for t in cfg.terminals if t.kind == "special")
    return Grammar(kind, cfg.table, root, options, limits, lowered, tuple(dict.fromkeys(specials)), texts or {})


def regex(pattern: str, dialect: Literal["python", "ecma"] = "python", limits: Limits = DEFAULT_LIMITS) -> Grammar:
    """The strings that match `pattern` as a whole. See `grammars.regex` for the dialects and what is refused."""
    if not isinstance(pattern, str):
        raise GrammarError(f"a pattern must be a string, not {type(pattern).__name__}")
    if dialect not in ("python", "ecma"):
        raise GrammarError(f"unknown dialect {dialect!r}; one of 'python', 'ecma'")
    table = Table()
    root = lower_regex(parse_regex(pattern, dialect, limits), table)
    return Grammar("regex", table, root, {"dialect": dialect}, limits)


def choice(options: Iterable[str | bytes], limits: Limits = DEFAULT_LIMITS) -> Grammar:
    """Exactly one of the given texts. Linear in their total size."""
    if isinstance(options, str | bytes) or not isinstance(options, Iterable):
        raise GrammarError(f"a choice takes several texts, not {type(options).__name__}")
    texts = [_bytes(o) for o in options]
    if not texts:
        raise GrammarError("a choice needs at least one option")
    table = Table()
    return Grammar("regex", table, table.strings(texts), {}, limits)


def literal(text: str | bytes, limits: Limits = DEFAULT_LIMITS) -> Grammar:
    """Exactly this text, or these bytes."""
    table = Table()
    return Grammar("regex", table, table.literal(_bytes(text)), {}, limits)


def _bytes(text: str | bytes) -> bytes:
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise GrammarError(f"a text must be str or bytes, not {type(text).__name__}")
    try:
        return text.encode()
    except UnicodeEncodeError as e:
        raise GrammarError(f"a lone surrogate at character {e.start} cannot be written as UTF-8") from None


def json_schema(
    schema: Any,
    draft: str | None = None,
    registry: Any = None,
    formats: Literal["assert", "annotate"] = "assert",
    order: Order = "any",
    whitespace: Literal["bounded", "compact", "pretty", "free"] | int = "bounded",
    numbers: Numbers = "json",
    nullable: bool = False,
    subset: Literal["openai"] | None = None,
    grammars: Mapping[str, Grammar] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Grammar:
    """The JSON texts of the valid instances of `schema` (mapping, bool, or JSON text), without duplicate keys.

    draft: dialect of schemas without ``$schema`` ("4", "6", "7", "2019-09", "2020-12"; default 2020-12).
    registry: a `referencing.Registry` of remote resources; nothing is fetched.
    formats: "assert" every known format, or take them as annotations.
    order: "any", or "schema": declared properties in the order of their declaration, then others.
    whitespace: "bounded" (DESIGN: JSON text), "compact", "pretty" (two spaces), "free", or at most n characters a gap.
    numbers: "json" (all spellings) or "plain" (no exponent, no superfluous zeros).
    nullable: ``nullable: true`` adds null to the ``type`` beside it, as in OpenAPI 3.0.
    subset: "openai" refuses by name what OpenAI's strict mode does not take.
    grammars: by name, grammars that are formats: ``{"type": "string", "format": "sql"}`` is then a string that, decoded, is a
        text of ``grammars["sql"]``, whatever `formats` says. Names of standard formats are taken, and none may go unused.
    """
    from grammars.json_schema import lower_schema

    mode, count = _whitespace(whitespace)
    for name, given, known in (("order", order, ("any", "schema")), ("numbers", numbers, ("json", "plain"))):
        if given not in known:
            raise GrammarError(f"unknown {name} {given!r}; one of {known}")
    if formats not in ("assert", "annotate"):
        raise GrammarError(f"unknown formats {formats!r}; one of ('assert', 'annotate')")
    if subset not in (None, "openai"):
        raise GrammarError(f"unknown subset {subset!r}; None or 'openai'")
    table = Table()
    lowered = lower_schema(
        schema, table, draft=draft, registry=registry, formats=formats, nullable=nullable, subset=subset,
        grammars=grammars, limits=limits,
    )  # fmt: skip
    root = table.node(Op.JSON, lowered.value, mode, count, int(numbers == "plain"), int(order == "schema"))
    options = {
        "draft": draft or "2020-12",
        "formats": formats,
        "order": order,
        "whitespace": whitespace,
        "numbers": numbers,
        "nullable": nullable,
        "subset": subset,
    } | ({"grammars": tuple(lowered.grammars)} if grammars else {})
    return Grammar("json_schema", table, root, options, limits, lowered)


def lark(
    text: str | None = None,
    library: str | None = None,
    start: str = "start",
    lexer: Literal["longest", "any"] = "longest",
    refine: Mapping[str, Sequence[str]] | None = None,
    imports: Mapping[str, str] | None = None,
    grammars: Mapping[str, Grammar] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Grammar:
    """The texts of a grammar in the Lark language (`docs/grammars.md`): of `text`, or of the bundled grammar `library`.

    lexer: "longest": at each point, among the terminals that the parser can take there, the longest match; or "any":
        every split that parses (DESIGN: CFG lexing).
    refine: for the name of a terminal, the strings that it is cut down to (names of tables and columns, say).
    imports: texts of grammars that ``%import path.name`` finds, by path.
    grammars: other grammars that ``@name`` stands for.
    """
    from grammars.lark import lower_lark
    from grammars.lark.load import library_text

    if (text is None) == (library is None):
        raise GrammarError("lark takes either the text of a grammar or the name of a bundled one (library=)")
    if lexer not in ("longest", "any"):
        raise GrammarError(f"unknown lexer {lexer!r}; one of ('longest', 'any')")
    if library is not None:
        text = library_text(library)
        if text is None:
            raise GrammarError(f"there is no bundled grammar {library!r}")
    if not isinstance(text, str):
        raise GrammarError(f"a grammar must be a string, not {type(text).__name__}")
    table = Table()
    lowered = lower_lark(
        text, table, start=start, lexer=lexer, refine=refine, imports=imports, grammars=grammars, limits=limits
    )
    options = {"start": start, "lexer": lexer} | ({"library": library} if library else {})
    return _from_cfg("lark", lowered, options, limits, {**(imports or {}), "": text})


def gbnf(text: str, limits: Limits = DEFAULT_LIMITS) -> Grammar:
    """The texts of a grammar in llama.cpp's GBNF, from its rule ``root``; every split that parses counts."""
    from grammars.gbnf import lower_gbnf

    if not isinstance(text, str):
        raise GrammarError(f"a grammar must be a string, not {type(text).__name__}")
    return _from_cfg("gbnf", lower_gbnf(text, Table(), limits), {"lexer": "any"}, limits, {"": text})


def _whitespace(option: Any) -> tuple[int, int]:
    if isinstance(option, bool) or not isinstance(option, int | str):
        raise GrammarError(f"whitespace must be a name or a count, not {option!r}")
    if isinstance(option, int):
        if not 0 <= option <= 1_000_000:
            raise GrammarError(f"whitespace must be between 0 and 1,000,000 characters a gap, not {option}")
        return int(Whitespace.COUNT), option
    try:
        return int(Whitespace[option.upper()]), 0
    except KeyError:
        raise GrammarError(
            f"unknown whitespace {option!r}; 'bounded', 'compact', 'pretty', 'free' or a count"
        ) from None
