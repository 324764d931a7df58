"""A context-free grammar and a regular language, both: the construction of Bar-Hillel, Perles and Shamir (1961).

The regular language is read by its minimal automaton. For states p and q the nonterminal A_{p,q} derives the texts of A that
take the automaton from p to q, and the terminal t_{p,q} matches those of t. First, from the start on, what each symbol and each
rest of a rule can lead to from the states in which it is met is tabulated (the reachable part of the relation); then rules are
written for the pairs that a text of both languages can need, so that a grammar that the automaton hardly divides hardly grows:

- a terminal that leads from p to one state alone is itself, and terminals of one language are one symbol;
- a rule is followed as long as one state alone can come next; where it branches, the rest gets a nonterminal of its own.

What the grammar ignores is written out first, because it moves the automaton too. Special tokens have no bytes and move nothing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from grammars.cfg import Cfg, LoweredCfg, Symbol
from grammars.errors import UnsupportedFeature
from grammars.ir import Table
from grammars.kernel import native
from grammars.limits import Limits
from grammars.passes.embed_grammar import embed_grammar
from grammars.passes.expand_repetition import Expansion, Sentence
from grammars.passes.find_nullable import find_nullable

if TYPE_CHECKING:
    from grammars.grammar import Grammar

STATES = 1_000
"""Most states of the regular language's automaton, before it is made minimal."""

JSON_BYTES = (0x09, 0x0A, 0x0D, *range(0x20, 0x100))
"""Bytes that JSON documents are made of."""

Goal = tuple[Sentence, int]
"""What is to be read, and the state in which it begins."""


def intersect_regular(grammar: Grammar, regular: Grammar, limits: Limits) -> LoweredCfg:
    """The texts of the context-free `grammar` that the regular grammar holds too.

    O(pairs of states that symbols meet, times the states between) steps, counted against `Limits.nodes` with the symbols of the
    rules; the automaton and what terminals do to it against `Limits.compile_work`.
    Raises UnsupportedFeature for a layout, and for embedded JSON documents inside of which the automaton moves.
    """
    lowered: LoweredCfg = grammar.lowered
    if lowered.cfg.layout is not None:
        raise UnsupportedFeature(
            "a grammar with a %layout does not intersect (&) with a regular one; check the text instead"
        )
    if lowered.lexing == "longest":
        raise UnsupportedFeature(
            "a grammar read by longest matches does not intersect (&) with a regular one; compile it with lexer='any'"
        )
    table = Table()
    source = Expansion(Cfg(table), limits)
    start = source.cfg.nonterminal("start")
    source.rules(start, embed_grammar(grammar, source, lowered.lexing, "the grammar", grouped=True))
    return _Product(source.cfg, table.absorb(regular.table, regular.root), lowered, limits).grammar(start)


class _Product:
    def __init__(self, source: Cfg, root: int, lowered: LoweredCfg, limits: Limits) -> None:
        self.source, self.table, self.lowered, self.limits = source, source.table, lowered, limits
        self.expansion = Expansion(Cfg(self.table), limits)
        regexes = [t.node for t in source.terminals if t.kind == "regex"]
        words, blobs = self.table.pack()
        self.classes, self.rows, self.accepting, crossed, firsts = native.crossings(
            words, blobs, root, regexes, STATES, limits.compile_work
        )
        self.automaton = self.table.automaton(self.classes, self.rows)
        self.crossed = dict(zip(regexes, crossed, strict=True))
        self.ways: dict[int, list[Sentence]] = defaultdict(list)
        for head, body in dict.fromkeys(source.rules):
            self.ways[head].append(body)
        self.alike = _Alike(source, self.rows, dict(zip(regexes, firsts, strict=True)))
        self.ends: dict[Goal, int] = {}  # sets of states, as bits
        self.users: dict[Goal, list[tuple[Goal, Sentence]]] = {}  # who asked, and what comes next there
        self.fresh: list[Goal] = []
        self.grown: list[tuple[Goal, int]] = []  # goals and the states that they newly lead to
        self.named: dict[tuple[Sentence, int, int], Symbol] = {}
        self.unwritten: list[tuple[Sentence, int, int]] = []
        self.shared: dict[tuple[object, ...], Symbol] = {}  # terminals by what they match

    def grammar(self, start: Symbol) -> LoweredCfg:
        goal = self.goal((start,), 0)
        self.tabulate(goal)
        both = self.expansion.cfg.nonterminal(self.source.nonterminals[start.index])
        ends = [q for q in _members(self.ends[goal]) if self.accepting[q]]
        self.expansion.rules(both, [self.rest((start,), 0, q) for q in ends])
        while self.unwritten:
            sentence, p, q = key = self.unwritten.pop()
            ways = [sentence] if len(sentence) > 1 else self.ways[sentence[0].index]
            bodies = [b for way in ways if self.ends[self.goal(way, p)] >> q & 1 for b in self.bodies(way, p, q)]
            self.expansion.rules(self.named[key], dict.fromkeys(bodies))
        return LoweredCfg(self.expansion.cfg, both, self.lowered.lexing, self.lowered.embedded)

    # ------------------------------------------------------------------ where sentences lead to
    def goal(self, sentence: Sentence, p: int) -> Goal:
        return sentence, self.alike.first(sentence, p)

    def tabulate(self, goal: Goal) -> None:
        """Find `ends` of `goal` and of all that it asks for: the least sets that the rules allow."""
        self.demand(goal)
        while self.fresh or self.grown:
            if self.fresh:
                self.open(self.fresh.pop())
                continue
            goal, states = self.grown.pop()
            for user, rest in list(self.users[goal]):
                self.go_on(states, user, rest)

    def demand(self, goal: Goal) -> None:
        if goal not in self.ends:
            self.expansion.charge(1)
            self.ends[goal], self.users[goal] = 0, []
            self.fresh.append(goal)

    def open(self, goal: Goal) -> None:
        sentence, p = goal
        if not sentence:
            self.lead(goal, 1 << p)
        elif len(sentence) > 1:
            self.use(self.goal(sentence[:1], p), goal, sentence[1:])
        elif sentence[0].terminal:
            self.lead(goal, self.across(sentence[0].index, p))
        else:
            for body in self.ways[sentence[0].index]:
                self.use(self.goal(body, p), goal, ())

    def use(self, goal: Goal, user: Goal, rest: Sentence) -> None:
        """Wherever `goal` leads to, `user` goes on with `rest`."""
        self.demand(goal)
        self.users[goal].append((user, rest))
        self.go_on(self.ends[goal], user, rest)

    def go_on(self, states: int, user: Goal, rest: Sentence) -> None:
        self.expansion.charge(1)
        if not rest:
            self.lead(user, states)
            return
        for s in _members(states):
            self.use(self.goal(rest, s), user, ())

    def lead(self, goal: Goal, states: int) -> None:
        new = states & ~self.ends[goal]
        if new:
            self.ends[goal] |= new
            self.grown.append((goal, new))

    def across(self, terminal: int, p: int) -> int:
        """The states that a terminal leads to from p."""
        t = self.source.terminals[terminal]
        if t.kind == "regex":
            return sum(1 << q for q in self.crossed[t.node][p])
        if t.kind == "json" and any(self.rows[p][self.classes[b]] != p for b in JSON_BYTES):
            raise UnsupportedFeature(
                f"the embedded JSON document {t.name} does not intersect (&) with a regular grammar that can tell apart what "
                "stands inside it; say what must hold there in the schema"
            )
        return 1 << p

    # ------------------------------------------------------------------ rules
    def bodies(self, sentence: Sentence, p: int, q: int) -> list[Sentence]:
        """The ways to read `sentence` from state p to state q, cut where more than one state can come between."""
        done, p, states = self.straight(sentence, p, q)
        read = len(done)
        if read == len(sentence):
            return [done]
        first, rest = sentence[read : read + 1], sentence[read + 1 :]
        return [(*done, *self.rest(first, p, s), *self.rest(rest, s, q)) for s in states]

    def straight(self, sentence: Sentence, p: int, q: int) -> tuple[Sentence, int, list[int]]:
        """Symbols of `sentence` up to where several states can come next; the state there, and those."""
        done: list[Symbol] = []
        for i in range(len(sentence)):
            first, rest = sentence[i : i + 1], sentence[i + 1 :]
            p = self.goal(sentence[i:], p)[1]
            between = _members(self.ends[self.goal(first, p)])
            states = [s for s in between if (self.ends[self.goal(rest, s)] >> q & 1 if rest else s == q)]
            if len(states) != 1:
                return tuple(done), p, states
            done += self.one(sentence[i], p, states[0])
            p = states[0]
        return tuple(done), p, []

    def rest(self, sentence: Sentence, p: int, q: int) -> Sentence:
        """`sentence` from p to q as symbols: itself where nothing branches, else a nonterminal."""
        if len(sentence) == 1:
            return self.one(sentence[0], p, q)
        done, _, _ = self.straight(sentence, p, q)
        return done if len(done) == len(sentence) else (self.nonterminal(sentence, p, q),)

    def one(self, s: Symbol, p: int, q: int) -> Sentence:
        return (self.terminal(s.index, p, q) if s.terminal else self.nonterminal((s,), p, q),)

    def nonterminal(self, sentence: Sentence, p: int, q: int) -> Symbol:
        key = (*self.goal(sentence, p), q)
        if key not in self.named:
            heads = [s.index for s in sentence if not s.terminal]
            name = self.source.nonterminals[heads[0]] if heads else "group"
            self.named[key] = self.expansion.cfg.nonterminal(name)
            self.unwritten.append(key)
        return self.named[key]

    def terminal(self, terminal: int, p: int, q: int) -> Symbol:
        t, cfg = self.source.terminals[terminal], self.expansion.cfg
        node, goal = t.node, self.goal((Symbol(True, terminal),), p)
        if t.kind == "regex" and self.ends[goal] != 1 << q:
            node = self.table.conjunction(node, self.table.path(self.automaton, goal[1], q))
        key = (t.kind, node, t.unless, t.priority)
        if key not in self.shared:
            self.shared[key] = cfg.add(replace(t, node=node))
        return self.shared[key]


class _Alike:
    """States from which a sentence derives the same texts to the same ends, because its first byte leads to the same state."""

    def __init__(self, source: Cfg, rows: list[list[int]], firsts: dict[int, list[int]]) -> None:
        self.rows = rows
        self.own = 1 << len(rows[0])  # something may be read that begins with no byte: each state is like itself alone
        self.terminals = [
            sum(1 << c for c in firsts[t.node]) if t.kind == "regex" else self.own for t in source.terminals
        ]
        self.nullable = find_nullable(source)
        self.nonterminals = [0] * len(source.nonterminals)
        self.known: dict[Sentence, int] = {}
        self.classes: dict[int, list[int]] = {}
        users: list[list[int]] = [[] for _ in source.nonterminals]
        for r, (_, body) in enumerate(source.rules):
            for s in body:
                if not s.terminal:
                    users[s.index].append(r)
        todo = list(range(len(source.rules)))
        while todo:
            head, body = source.rules[todo.pop()]
            found = self.nonterminals[head] | self.begins(body)
            if found != self.nonterminals[head]:
                self.nonterminals[head] = found
                todo += users[head]

    def begins(self, sentence: Sentence) -> int:
        """The classes of bytes with which its texts begin, as bits."""
        found = 0
        for s in sentence:
            found |= self.terminals[s.index] if s.terminal else self.nonterminals[s.index] & ~self.own
            if s.terminal or not self.nullable[s.index]:
                return found | (0 if s.terminal else self.nonterminals[s.index] & self.own)
        return found | self.own

    def first(self, sentence: Sentence, p: int) -> int:
        """The first of the states that are like p for `sentence`."""
        found = self.known.get(sentence)
        if found is None:
            found = self.known[sentence] = self.begins(sentence)
        if found & self.own:
            return p
        if found not in self.classes:
            seen: dict[tuple[int, ...], int] = {}
            classes = _members(found)
            self.classes[found] = [
                seen.setdefault(tuple(row[c] for c in classes), s) for s, row in enumerate(self.rows)
            ]
        return self.classes[found][p]


def _members(states: int) -> list[int]:
    found = []
    while states:
        low = states & -states
        found.append(low.bit_length() - 1)
        states ^= low
    return found
