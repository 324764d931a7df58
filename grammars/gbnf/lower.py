"""GBNF to a `Cfg` in which every split counts, with all that is regular fused into terminals.

A rule is regular if it names only regular rules and no tokens; such rules become parts of regexes, unless these grow too
large. In the others each longest run of regular items becomes one terminal, and so does each regular branch or repetition:
the language is the same, because every split of the text is tried, and the masks are those of regexes.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from grammars.cfg import Cfg, LoweredCfg, Symbol
from grammars.errors import GrammarError
from grammars.gbnf.parse import parse_gbnf
from grammars.gbnf.syntax import Chars, Choice, Grammar, Node, Repeat, Rule, Sequence, Text, Token, children
from grammars.ir import Table
from grammars.limits import DEFAULT_LIMITS, Limits
from grammars.passes.drop_empty import drop_empty
from grammars.passes.expand_repetition import Alternatives, Expansion
from grammars.passes.measure_regex import Reaches

FUSED = 500
"""Largest reach of a rule that becomes a part of a regex."""


def lower_gbnf(text: str, table: Table, limits: Limits = DEFAULT_LIMITS) -> LoweredCfg:
    """Lower a grammar into `table`; it starts from its rule ``root``. O(size). Raises as `parse_gbnf` does."""
    grammar = parse_gbnf(text, limits)
    _check_names(grammar)
    return _Lowering(grammar, table, limits).grammar_node()


def _check_names(g: Grammar) -> None:
    for node in g.nodes:
        if isinstance(node, Rule) and node.name not in g.rules:
            near = difflib.get_close_matches(node.name, list(g.rules)[:10_000], 1)
            advice = f"; did you mean {near[0]}?" if near else ""
            raise GrammarError(f"the rule {node.name} is not defined{advice}", source=g.source, span=node.span)
    if "root" not in g.rules:
        raise GrammarError("a grammar starts from its rule root, and there is none")


@dataclass(frozen=True, slots=True)
class _Part:
    """What a node became: a regex node, or alternatives of symbols."""

    regex: int | None
    ways: Alternatives = ()


class _Lowering:
    def __init__(self, grammar: Grammar, table: Table, limits: Limits) -> None:
        self.g, self.table = grammar, table
        self.cfg = Cfg(table)
        self.expansion = Expansion(self.cfg, limits)
        self.regexes: dict[str, int] = {}
        self.heads: dict[str, Symbol] = {}
        self.terminals: dict[int, Symbol] = {}
        self.reaches = Reaches(table)
        self.specials: dict[str, Symbol] = {}

    def grammar_node(self) -> LoweredCfg:
        for name in _regular_rules(self.g):  # those that a rule names come before it
            found = self.body(name).regex
            if found is not None and self.reaches(found) <= FUSED:
                self.regexes[name] = found
        start = self.head("root")
        for name in self.reachable():
            self.expansion.rules(self.head(name), self.alternatives(self.body(name), name))
        return LoweredCfg(self.cfg, start, "any")

    def reachable(self) -> list[str]:
        """The rules that are not parts of regexes and that the root needs, itself the first."""
        found, todo = {"root": None}, ["root"]
        while todo:
            for name in _names(self.g, todo.pop()):
                if name not in self.regexes and name not in found:
                    found[name] = None
                    todo.append(name)
        return list(found)

    def head(self, name: str) -> Symbol:
        if name not in self.heads:
            self.heads[name] = self.cfg.nonterminal(name)
        return self.heads[name]

    def body(self, name: str) -> _Part:
        """The body of a rule; its nodes in the order in which they stand, children first."""
        known: dict[int, _Part] = {}
        for i in _subtree(self.g, self.g.rules[name]):
            node = self.g.nodes[i]
            known[i] = self.part(node, [known[c] for c in children(node)], name)
        return known[self.g.rules[name]]

    # ------------------------------------------------------------------ nodes
    def part(self, node: Node, below: list[_Part], name: str) -> _Part:
        t = self.table
        self.expansion.charge(1)
        if isinstance(node, Text):
            return _Part(t.literal(node.text.encode()) if node.text else t.epsilon())
        if isinstance(node, Chars):
            return _Part(t.char_class(node.ranges))
        if isinstance(node, Token):
            return _Part(None, ((self.special(node.name),),))
        if isinstance(node, Rule):
            if node.name in self.regexes:
                return _Part(self.regexes[node.name])
            return _Part(None, ((self.head(node.name),),))
        if isinstance(node, Sequence):
            return self.sequence(below, name)
        if isinstance(node, Choice):
            return self.choice(below, name)
        assert isinstance(node, Repeat)
        if below[0].regex is not None:
            return _Part(t.repeat(below[0].regex, node.least, node.most))
        return _Part(None, self.expansion.repeat(below[0].ways, node.least, node.most, name))

    def sequence(self, below: list[_Part], name: str) -> _Part:
        runs: list[list[int] | Alternatives] = []
        for part in below:
            if part.regex is None:
                runs.append(part.ways)
            elif runs and isinstance(runs[-1], list):
                runs[-1].append(part.regex)
            else:
                runs.append([part.regex])
        joined = [self.table.concat(*r) if isinstance(r, list) else r for r in runs]
        if len(joined) == 1 and isinstance(joined[0], int):
            return _Part(joined[0])
        if not joined:
            return _Part(self.table.epsilon())
        parts = [self.alternatives(_Part(j), name) if isinstance(j, int) else j for j in joined]
        return _Part(None, self.expansion.sequence(parts, name))

    def choice(self, below: list[_Part], name: str) -> _Part:
        regexes = list(dict.fromkeys(b.regex for b in below if b.regex is not None))
        together = self.table.disjunction(*regexes) if regexes else None
        if together is not None and all(b.regex is not None for b in below):
            return _Part(together)
        ways = self.alternatives(_Part(together), name) if together is not None else ()
        return _Part(None, tuple(dict.fromkeys((*ways, *(w for b in below if b.regex is None for w in b.ways)))))

    def alternatives(self, part: _Part, name: str) -> Alternatives:
        """A part as alternatives of symbols: a regex that may be empty is optional."""
        if part.regex is None:
            return part.ways
        if not self.table.nullable(part.regex):
            return ((self.terminal(part.regex, name),),)
        self.reaches.check(part.regex, f"the texts of {name}")
        rest = drop_empty(part.regex, self.table)
        return ((),) if rest == self.table.empty() else ((), (self.terminal(rest, name),))

    def terminal(self, node: int, name: str) -> Symbol:
        if node not in self.terminals:
            self.reaches.check(node, f"the texts of {name}")
            self.terminals[node] = self.cfg.terminal(f"text in {name}", node)
        return self.terminals[node]

    def special(self, name: str) -> Symbol:
        if name not in self.specials:
            self.specials[name] = self.cfg.special(name)
        return self.specials[name]


def _subtree(g: Grammar, root: int) -> list[int]:
    """The nodes of a tree, children first. Trees do not share nodes."""
    found, stack = [], [root]
    while stack:
        found.append(stack.pop())
        stack.extend(children(g.nodes[found[-1]]))
    return sorted(found)


def _names(g: Grammar, rule: str) -> list[str]:
    nodes = (g.nodes[i] for i in _subtree(g, g.rules[rule]))
    return [n.name for n in nodes if isinstance(n, Rule)]


def _regular_rules(g: Grammar) -> dict[str, None]:
    """Rules that name only regular rules and hold no tokens, each after those that it names. O(size)."""
    waiting: dict[str, int] = {}
    users: dict[str, list[str]] = {}
    ready: list[str] = []
    for name, root in g.rules.items():
        nodes = [g.nodes[i] for i in _subtree(g, root)]
        used = {n.name for n in nodes if isinstance(n, Rule)}
        waiting[name] = len(used) + any(isinstance(n, Token) for n in nodes)
        for u in used:
            users.setdefault(u, []).append(name)
        if not waiting[name]:
            ready.append(name)
    found: dict[str, None] = {}
    while ready:
        name = ready.pop()
        found[name] = None
        for user in users.get(name, ()):
            waiting[user] -= 1
            if not waiting[user]:
                ready.append(user)
    return found
