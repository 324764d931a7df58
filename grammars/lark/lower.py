"""Namespaces to a `Cfg`: rules reachable from the start, templates instantiated, groups and repetitions expanded.

Work is a list of (rule, arguments) still to be lowered, so neither deep nor mutually recursive rules need Python's stack.
An instance of a template is known by its arguments' symbols; equal ones are one nonterminal.

%ignore of terminals in a grammar without nested ones is the grammar's. Where rules are ignored, and where grammars are nested,
which keep each its own, it is written out as an optional repetition after each terminal and before the first; inside an
ignored rule nothing is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grammars.cfg import Cfg, Layout, Lexing, LoweredCfg, Symbol
from grammars.errors import GrammarError, LimitExceeded, UnsupportedFeature
from grammars.ir import Op, Table, Whitespace
from grammars.lark import syntax as lark
from grammars.lark.load import Loader, Namespace, Slot, check_names, nearest
from grammars.lark.lookahead import Ending
from grammars.lark.parse import parse_lark
from grammars.lark.terminals import Terminals, unenforced
from grammars.limits import DEFAULT_LIMITS, Limits
from grammars.passes.drop_empty import drop_empty
from grammars.passes.embed_grammar import embed_grammar
from grammars.passes.expand_repetition import Alternatives, Expansion, Sentence
from grammars.passes.measure_regex import Reaches

if TYPE_CHECKING:
    from grammars.grammar import Grammar

_IDS = re.compile(r"\[\s*\d+(\s*-\s*\d+)?(\s*,\s*\d+(\s*-\s*\d+)?)*\s*\]")
_REGULAR = frozenset({"lazy", "suffix", "stop"})


@dataclass(frozen=True, slots=True)
class Scope:
    """One grammar of those nested in each other: the symbols it ignores, and their repetition if that is written out."""

    space: Namespace
    skip: Sentence = ()


def lower_lark(
    text: str,
    table: Table,
    *,
    start: str = "start",
    lexer: Lexing = "longest",
    refine: Mapping[str, Sequence[str]] | None = None,
    imports: Mapping[str, str] | None = None,
    grammars: Mapping[str, Grammar] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> LoweredCfg:
    """Lower the grammar `text` into `table`. O(size of what is reachable), templates and repetitions expanded.

    Raises GrammarError with a span, UnsupportedFeature for what is not enforced, LimitExceeded beyond `limits`.
    """
    loader = Loader(imports or {}, limits)
    space = loader.load(parse_lark(lark.Source("", text), limits))
    return _Lowering(space, loader, table, lexer, refine or {}, grammars or {}).grammar(start)


class _Lowering:
    def __init__(
        self,
        space: Namespace,
        loader: Loader,
        table: Table,
        lexer: Lexing,
        refine: Mapping[str, Sequence[str]],
        grammars: Mapping[str, Grammar],
    ) -> None:
        self.space, self.loader, self.table, self.lexer = space, loader, table, lexer
        self.grammars = grammars
        self.limits = limits = loader.limits
        self.cfg = Cfg(table)
        self.expansion = Expansion(self.cfg, limits)
        self.terminals = Terminals(table, limits, _refinements(space, refine), lexer == "longest")
        self.endings: dict[tuple[int, int | None, int], Symbol] = {}
        self.priorities: dict[tuple[int, int | None], int] = {}  # of languages that have a name
        self.written: dict[tuple[object, ...], Alternatives] = {}  # strings and regexes in rules
        self.named: dict[
            tuple[int, Sentence], Alternatives
        ] = {}  # terminals by identity of the slot, and what is skipped
        self.shown = {id(slot): name for name, slot in space.slots.items()}
        self.virtual: dict[int, Symbol] = {}
        self.instances: dict[tuple[int, Sentence, Sentence], Symbol] = {}
        self.todo: list[tuple[Slot, dict[str, Sentence], Symbol, Scope, int]] = []
        self.reaches = Reaches(table)
        self.nested: dict[int, Sentence] = {}  # by identity of the node
        self.embedded: dict[str, Alternatives] = {}
        self.report: list[Any] = []

    # ------------------------------------------------------------------ the whole
    def grammar(self, start: str) -> LoweredCfg:
        space = self.space
        slot = space.slots.get(start)
        if slot is None or slot.terminal or slot.parameters:
            rules = [n for n, s in space.slots.items() if not s.terminal and not s.parameters]
            raise GrammarError(f"there is no rule {start!r} to start from{nearest(start, rules)}")
        check_names(space)
        self.layout_terminals(space)
        self.validate(space)
        scope = Scope(space)
        before: Sentence = ()
        ignores_rules = any(self.is_rule(i.body, space) for i in space.ignored)
        if ignores_rules or self.holds_grammars(space):
            if space.layout is not None:
                what = "ignores a rule" if ignores_rules else "holds other grammars"
                raise self.unsupported(space, f"%layout in a grammar that {what}", space.layout.span)
            before = self.written_out(space)
            scope = Scope(space, before)
        else:
            for symbol in self.ignored(space):
                self.cfg.ignore(symbol)
        symbol = self.instance(slot, (), scope, 0)
        self.finish()
        self.layout(space)
        if before:
            inner, symbol = symbol, self.cfg.nonterminal(start)
            self.expansion.rules(symbol, [(*before, inner)])
        return LoweredCfg(self.cfg, symbol, self.lexer, tuple(self.report), self.unused())

    def unused(self) -> tuple[str, ...]:
        """Names defined in the text itself, not imported, that were never used."""
        named = self.terminals.used(slot for slot, _ in self.named)
        used = {key[0] for key in self.instances} | self.virtual.keys() | named
        own = (s for s in self.space.slots.values() if s.bodies and s.home is self.space)
        return tuple(s.name for s in own if id(s) not in used and not s.name.startswith("_"))

    def holds_grammars(self, space: Namespace) -> bool:
        """Is there a ``%lark`` or the name of a context-free grammar in what the names of `space` lead to?"""
        seen, todo = {id(space)}, [space]
        while todo:
            for slot in todo.pop().slots.values():
                for body in slot.bodies:
                    if id(body.home) not in seen:
                        seen.add(id(body.home))
                        todo.append(body.home)
                    for n in lark.walk(body.node):
                        if isinstance(n, lark.Nested) or (
                            isinstance(n, lark.Reference) and self.grammar_named(n, body.home).is_cfg
                        ):
                            return True
        return False

    def written_out(self, space: Namespace) -> Sentence:
        """What `space` ignores as an optional repetition."""
        return self.expansion.skip(self.ignored(space))

    def finish(self) -> None:
        while self.todo:
            slot, arguments, head, scope, depth = self.todo.pop()
            ways: list[Sentence] = []
            for body in slot.bodies:
                ways += self.expression(body.node, body.home, arguments, scope, depth, slot.name)
            self.expansion.rules(head, dict.fromkeys(ways))

    def validate(self, space: Namespace) -> None:
        """Lower the terminals that have names here, used or not: their errors are told, and their priorities known."""
        for slot in space.slots.values():
            if slot.terminal and slot.bodies:
                for e in self.terminals.named(slot, space):
                    self.priorities.setdefault((e.node, e.unless), slot.priority or 0)

    # ------------------------------------------------------------------ expressions
    def expression(
        self, node: lark.Node, home: Namespace, arguments: dict[str, Sentence], scope: Scope, depth: int, name: str
    ) -> Alternatives:
        def combine(n: lark.Node, given: list[Alternatives]) -> Alternatives:
            if arguments:  # the body of a template is expanded again for each instance
                self.expansion.charge(1)
            if isinstance(n, lark.Sequence):
                return self.expansion.sequence(given, name)
            if isinstance(n, lark.Choice):
                return tuple(dict.fromkeys(way for ways in given for way in ways))
            if isinstance(n, lark.Repeat):
                return self.expansion.repeat(given[0], n.least, n.most, name)
            if isinstance(n, lark.Name):
                return self.use(n, given, home, arguments, scope, depth)
            return self.atom(n, home, scope)

        return lark.fold(node, combine, leaves=(lark.Both, lark.Not))

    def use(
        self,
        n: lark.Name,
        given: list[Alternatives],
        home: Namespace,
        arguments: dict[str, Sentence],
        scope: Scope,
        depth: int,
    ) -> Alternatives:
        """A parameter, a terminal, a rule, or an instance of a template."""
        if n.name in arguments:
            if n.arguments is not None:
                raise self.unsupported(home, f"the parameter {n.name} cannot itself take arguments", n.span)
            return (arguments[n.name],)
        slot = home.find(n.name, n.span)
        if slot.terminal:
            return self.named_terminal(slot, scope)
        if any(a.name in _REGULAR for a in slot.attributes):
            return self.named_terminal(slot, scope)
        if not slot.bodies:
            raise home.error(f"the rule {n.name} is only declared: it has no definition", n.span)
        values = tuple(self.argument(g) for g in given)
        return ((self.instance(slot, values, scope, depth + bool(values)),),)

    def argument(self, ways: Alternatives) -> Sentence:
        """One symbol for an argument (none if it derives nothing but the empty string), so that instances compare fast."""
        found = self.expansion.group(ways, "argument")
        return found if len(found) < 2 else (self.expansion.unit((found,), "argument"),)

    def instance(self, slot: Slot, values: tuple[Sentence, ...], scope: Scope, depth: int) -> Symbol:
        for a in slot.attributes:
            if a.name not in ("capture", "stop_capture"):
                raise unenforced(a, slot.home)
        # an empty argument is marked, so that (x, nothing) and (nothing, x) differ
        key = (id(slot), tuple(s for v in values for s in (v or (_NOTHING,))), scope.skip)
        found = self.instances.get(key)
        if found is None:
            if depth > self.limits.depth:
                raise LimitExceeded(depth, self.limits.depth, f"depth of template instances (at {slot.name})")
            self.expansion.charge(1)
            found = self.instances[key] = self.cfg.nonterminal(slot.name)
            self.todo.append((slot, dict(zip(slot.parameters, values, strict=True)), found, scope, depth))
        return found

    # ------------------------------------------------------------------ atoms
    def atom(self, n: lark.Node, home: Namespace, scope: Scope) -> Alternatives:
        if isinstance(n, lark.Literal) and not n.text:
            return ((),)
        if isinstance(n, lark.Literal | lark.Regexp):
            text, flags = (n.text, n.ignore_case) if isinstance(n, lark.Literal) else (n.pattern, n.flags)
            key = (type(n), text, flags, scope.skip)
            if key not in self.written:
                endings = self.terminals.anonymous(n, home)
                self.written[key] = self.terminal(endings, _shown(n, home), 0, home, n.span, scope)
            return self.written[key]
        if isinstance(n, lark.CharRange | lark.Both | lark.Not):
            return self.terminal(self.terminals.anonymous(n, home), _shown(n, home), 0, home, n.span, scope)
        if isinstance(n, lark.Special):
            return self.special(n, home, scope)
        if isinstance(n, lark.Embedded) and n.kind == "json":
            return (self.skipping(self.json(n, home), scope),)
        if isinstance(n, lark.Embedded):
            return self.terminal(self.terminals.anonymous(n, home), "%regex", 0, home, n.span, scope)
        if isinstance(n, lark.Nested):
            return (self.nested_grammar(n, home, scope),)
        assert isinstance(n, lark.Reference)
        return self.reference(n, home, scope)

    def nested_grammar(self, n: lark.Nested, home: Namespace, scope: Scope) -> Sentence:
        """``%lark {...}``: lowered once for each place in the text."""
        if id(n) not in self.nested:
            space = self.loader.load(n.document)
            if space.layout is not None:
                raise self.unsupported(home, "%layout in a nested grammar", space.layout.span)
            slot = space.slots.get("start")
            if slot is None or slot.parameters:
                raise home.error("a nested grammar begins with its rule start, and this one has none", n.span)
            check_names(space)
            before = self.written_out(space)
            self.nested[id(n)] = (*before, self.instance(slot, (), Scope(space, before), 0))
        return (*self.nested[id(n)], *scope.skip)

    def grammar_named(self, n: lark.Reference, home: Namespace) -> Grammar:
        found = self.grammars.get(n.name)
        if found is None:
            near = nearest(n.name, self.grammars)
            raise home.error(f"no grammar is given for @{n.name}; give it in grammars={{name: grammar}}{near}", n.span)
        return found

    def reference(self, n: lark.Reference, home: Namespace, scope: Scope) -> Alternatives:
        """``@name``: a regex is a terminal, a schema a JSON document, a context-free grammar a grammar of its own."""
        grammar = self.grammar_named(n, home)
        if n.name not in self.embedded:
            try:
                self.embedded[n.name] = embed_grammar(grammar, self.expansion, self.lexer, f"@{n.name}")
            except UnsupportedFeature as e:
                raise self.unsupported(home, e.message, n.span) from None
            self.report.extend(grammar.lowered.embedded if grammar.is_cfg else grammar.report_rows())
        ways = self.embedded[n.name]
        if self.lexer == "longest" and grammar.kind == "regex" and () in ways:
            raise home.error(f"@{n.name} matches the empty text; let it match at least one character", n.span)
        return tuple((*w, *scope.skip) if w else w for w in ways)

    def named_terminal(self, slot: Slot, scope: Scope) -> Alternatives:
        if id(slot) in self.virtual:
            return ((self.virtual[id(slot)],),)
        key = (id(slot), scope.skip)
        if key not in self.named:
            if not slot.bodies:
                advice = "%declare gives no text; define it, or have %layout produce it"
                raise slot.home.error(f"the terminal {slot.name} is used and only declared; {advice}", slot.span)
            endings = self.terminals.named(slot, self.space)
            name = self.shown.get(id(slot), slot.name)
            self.named[key] = self.terminal(endings, name, slot.priority, slot.home, slot.span, scope)
        return self.named[key]

    def terminal(
        self, endings: list[Ending], name: str, priority: int | None, home: Namespace, span: lark.Span, scope: Scope
    ) -> Alternatives:
        """One alternative for each ending; a nullable terminal is refused, or optional where every split is tried."""
        ways: list[Sentence] = []
        for e in endings:
            node = e.node
            if self.table.nullable(node):
                if self.lexer == "longest":
                    advice = "let it match at least one character (+ for *), and make its use optional (?)"
                    raise home.error(f"the terminal {name} matches the empty text; {advice}", span)
                if e.unless is not None:
                    raise self.unsupported(home, f"{name} matches the empty text and looks ahead", span)
                node = drop_empty(node, self.table)
                ways.append(())
            ways.append(self.skipping(self.symbol(name, node, e.unless, priority), scope))
        return tuple(dict.fromkeys(ways))

    def symbol(self, name: str, node: int, unless: int | None, priority: int | None) -> Symbol:
        """The terminal of a language; one that has no name takes the priority of a named one with the same language."""
        if not priority:
            priority = self.priorities.get((node, unless), 0)
        key = (node, unless, priority)
        if key not in self.endings:
            self.reaches.check(node, f"the terminal {name}")
            self.endings[key] = self.cfg.terminal(name, node, unless, priority)
        return self.endings[key]

    def skipping(self, symbol: Symbol, scope: Scope) -> Sentence:
        return (symbol, *scope.skip)

    def special(self, n: lark.Special, home: Namespace, scope: Scope) -> Alternatives:
        if not n.text.startswith("["):
            return (self.skipping(self.special_symbol(f"<{n.text}>"), scope),)
        if not _IDS.fullmatch(n.text):
            what = "a set of tokens by exclusion" if n.text[1:2] in ("^", "*") else "this form of token ids"
            raise self.unsupported(
                home, f"{what} is not supported; write <[id]>, <[low-high]> or a list of these", n.span
            )
        return (self.skipping(self.special_symbol(re.sub(r"\s", "", n.text)), scope),)

    def special_symbol(self, name: str) -> Symbol:
        blob = -1 - self.table.blob(name.encode())
        key = (blob, None, 0)
        if key not in self.endings:
            self.endings[key] = self.cfg.special(name)
        return self.endings[key]

    def json(self, n: lark.Embedded, home: Namespace) -> Symbol:
        from grammars.json_schema import lower_schema

        try:
            lowered = lower_schema(n.text, self.table, limits=self.limits)
        except GrammarError as e:
            inside = e.path is None and e.span is not None
            span = (n.span[0] + e.span[0], n.span[0] + e.span[1]) if inside and e.span else n.span
            place = f" at {e.path or '#'}" if e.path is not None else ""
            raise type(e)(f"in %json{place}: {e.message}", source=home.source.text, span=span) from None
        self.report.extend(lowered.report)
        root = self.table.node(Op.JSON, lowered.value, int(Whitespace.BOUNDED), 0, 0, 0)
        return self.cfg.json("%json", root)

    # ------------------------------------------------------------------ ignoring and layout
    def is_rule(self, body: lark.Node, space: Namespace) -> bool:
        """Does what is ignored hold the name of a rule?"""
        return any(
            isinstance(n, lark.Name) and not space.find(n.name, n.span, "%ignore").terminal for n in lark.walk(body)
        )

    def ignored(self, space: Namespace) -> list[Symbol]:
        found: list[Symbol] = []
        for statement in space.ignored:
            body = statement.body
            if self.is_rule(body, space):
                ways = tuple(w for w in self.expression(body, space, {}, Scope(space), 0, "%ignore") if w)
                found += [self.expansion.unit(ways, "%ignore")] if ways else []
                continue
            slot = space.slots.get(body.name) if isinstance(body, lark.Name) else None
            if slot is not None and id(slot) in self.virtual:
                raise space.error(f"{slot.name} is produced by %layout and cannot be ignored", statement.span)
            named = slot is not None and slot.terminal and slot.bodies
            if slot is not None:
                self.terminals.wanted.add(id(slot))
            endings = self.terminals.named(slot, space) if named and slot else self.terminals.anonymous(body, space)
            for e in endings:
                node = drop_empty(e.node, self.table)
                name = self.shown.get(id(slot), slot.name) if slot else "%ignore"
                found.append(self.symbol(name, node, e.unless, slot.priority if slot else None))
        return list(dict.fromkeys(found))

    def layout_terminals(self, space: Namespace) -> None:
        y = space.layout
        if y is not None and self.lexer != "longest":
            raise self.unsupported(space, "%layout needs lexer='longest'", y.span)
        for name in (y.indent, y.dedent) if y else ():
            slot = space.find(name.name, name.span)
            self.virtual[id(slot)] = self.cfg.virtual(name.name)

    def layout(self, space: Namespace) -> None:
        y = space.layout
        if y is None:
            return
        scope = Scope(space)

        def one(node: lark.Node) -> Symbol:
            ways = lark.fold(
                node,
                lambda n, _: (
                    self.use(n, [], space, {}, scope, 0) if isinstance(n, lark.Name) else self.atom(n, space, scope)
                ),
            )
            if len(ways) != 1 or len(ways[0]) != 1:
                raise space.error(
                    "%layout needs terminals that are one terminal each, without lookahead choices", node.span
                )
            return ways[0][0]

        self.cfg.layout = Layout(
            one(y.newline), one(y.indent), one(y.dedent),
            tuple(map(one, y.opens)), tuple(map(one, y.closes)), tuple(map(one, y.inside)), y.tab,
        )  # fmt: skip

    def unsupported(self, home: Namespace, message: str, span: lark.Span) -> UnsupportedFeature:
        where = f" (in {home.source.name})" if home.source.name else ""
        return UnsupportedFeature(message + where, source=home.source.text, span=span)


_NOTHING = Symbol(False, -1)


def _shown(n: lark.Node, home: Namespace) -> str:
    return home.source.text[n.span[0] : n.span[1]][:60]


def _refinements(space: Namespace, refine: Mapping[str, Sequence[str]]) -> dict[str, list[bytes]]:
    """The strings of each refined terminal, checked."""
    found: dict[str, list[bytes]] = {}
    for name, strings in refine.items():
        slot = space.slots.get(name)
        if slot is None or not slot.terminal:
            known = [n for n, s in space.slots.items() if s.terminal]
            raise GrammarError(f"refine names {name!r}, which is no terminal of the grammar{nearest(name, known)}")
        if isinstance(strings, str) or not all(isinstance(s, str) for s in strings):
            raise GrammarError(f"refine gives a list of strings for each terminal; {name} has {type(strings).__name__}")
        found[name] = [s.encode() for s in strings]
    return found
