"""A context-free grammar and a regular language, both: the construction of Bar-Hillel, Perles and Shamir (1961).

The regular language is read by its minimal automaton. For states p and q the nonterminal A_{p,q} derives the texts of A that
take the automaton from p to q, and the terminal t_{p,q} matches those of t. First, from the start on, what each symbol and each
rest of a rule can lead to from the states in which it is met is tabulated (the reachable part of the relation); then rules are
written for the pairs that a text of both languages can need, so that a grammar that the automaton hardly divides hardly grows:

- a terminal that leads from p to one state alone is itself, and terminals of one language are one symbol;
- a rule is followed as long as one state alone can come next; where it branches, the rest gets a nonterminal of its own.

Under "any" states count only if the automaton can accept from them. Under "longest" all count, and texts that end in a wrong
state are read too and never accepted: which terminals compete, and so how a text is cut, must be what it is in the grammar
alone. There A_{p,q} over all q are together the texts of A, and an item of the parser stands for one of the grammar's own.

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

STATES = 4_000
"""Most states of the regular language's automaton, before it is made minimal."""

JSON_BLANKS = ((0x09, 0x0A), (0x0D, 0x0D))
"""What JSON documents are made of, beside what follows the space. One begins with one of `JSON_FIRST`, or a blank."""
JSON_FIRST = tuple((ord(c), ord(c)) for c in sorted(' "-0123456789[fnt{'))

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
            "a grammar with a %layout intersects (&) with all texts of some bytes ([^\\t]*) and with finitely many texts, and "
            "with no other regular grammar; check the text instead"
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
        rest = self.table.repeat(self.table.char_class((*JSON_BLANKS, (0x20, 0x10FFFF))), 0, None)
        self.json = self.table.concat(self.table.char_class((*JSON_BLANKS, *JSON_FIRST)), rest)
        for t in source.terminals:
            if t.kind == "captured":
                raise UnsupportedFeature(
                    f"the terminal {t.name}, which repeats a text that it chose, does not intersect (&) with a regular grammar; "
                    "list its delimiters"
                )
        regexes = [*dict.fromkeys([t.node for t in source.terminals if t.kind == "regex"] + [self.json])]
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
        self.useful = (1 << len(self.rows)) - 1 if lowered.lexing == "longest" else self.live_states()
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
        never = (self.expansion.cfg.never(),) if self.lowered.lexing == "longest" else ()
        for q in _members(self.ends[goal]):
            if self.accepting[q] or never:
                self.expansion.rules(both, [self.rest((start,), 0, q) + (() if self.accepting[q] else never)])
        while self.unwritten:
            sentence, p, q = key = self.unwritten.pop()
            ways = [sentence] if len(sentence) > 1 else self.ways[sentence[0].index]
            bodies = [b for way in ways if self.ends[self.goal(way, p)] >> q & 1 for b in self.bodies(way, p, q)]
            self.expansion.rules(self.named[key], dict.fromkeys(bodies))
        self.skips()
        return LoweredCfg(self.expansion.cfg, both, self.lowered.lexing, self.lowered.embedded)

    def live_states(self) -> int:
        """Those from which the automaton can accept."""
        live = sum(1 << s for s, accepts in enumerate(self.accepting) if accepts)
        while True:
            more = live | sum(1 << s for s, row in enumerate(self.rows) if any(live >> q & 1 for q in row))
            if more == live:
                return live
            live = more

    def skips(self) -> None:
        """A space between two words is one still where the automaton stays in its state."""
        for (sentence, p, q), symbol in self.named.items():
            if len(sentence) == 1 and sentence[0] in self.source.skips:
                first, last = self.source.skips[sentence[0]]
                self.expansion.cfg.skips[symbol] = self.staying(first, p), self.staying(last, q)

    def staying(self, spaces: frozenset[Symbol], p: int) -> frozenset[Symbol]:
        kept = (s for s in spaces if self.ends.get(self.goal((s,), p), 0) >> p & 1)
        return frozenset(self.terminal(s.index, p, p) for s in kept)

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
            return self.useful & sum(1 << q for q in self.crossed[t.node][p])
        if t.kind != "json":
            return 1 << p
        if len(self.crossed[self.json][p]) > 1:
            raise UnsupportedFeature(
                f"the embedded JSON document {t.name} does not intersect (&) with a regular grammar that can tell apart what "
                "stands inside it; say what must hold there in the schema"
            )
        return self.useful & 1 << self.crossed[self.json][p][0]

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
        if t.kind == "regex" and self.crossed[t.node][goal[1]] != [q]:
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
