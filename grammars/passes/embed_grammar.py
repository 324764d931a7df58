"""A finished grammar as a part of another: as a terminal where it is a regex or a schema, else by its rules.

What an embedded context-free grammar ignores is ignored inside it alone: it is written out as an optional repetition after
each of its terminals and before its first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grammars.cfg import Cfg, Lexing, LoweredCfg, Symbol
from grammars.errors import UnsupportedFeature
from grammars.passes.drop_empty import drop_empty
from grammars.passes.expand_repetition import Alternatives, Expansion, Sentence

if TYPE_CHECKING:
    from grammars.grammar import Grammar


def embed_grammar(grammar: Grammar, into: Expansion, lexing: Lexing, name: str, grouped: bool = False) -> Alternatives:
    """The ways in which `into` derives what `grammar` does, under the discipline `lexing`. O(size of the grammar).

    grouped: a terminal and what is ignored after it are one nonterminal, which keeps rules as short as they were.

    Raises UnsupportedFeature for grammars whose lexing is another one, or that have a layout.
    """
    table = into.cfg.table
    if not grouped:
        grammar.whole("an embedding")
    new = table.absorb_nodes(grammar.table)
    if grammar.kind == "regex":
        node = new[grammar.root]
        if not table.nullable(node):
            return ((into.cfg.terminal(name, node),),)
        return (), (into.cfg.terminal(name, drop_empty(node, table)),)
    if not grammar.is_cfg:
        return ((into.cfg.json(name, new[grammar.root]),),)
    lowered: LoweredCfg = grammar.lowered
    if lowered.lexing != lexing:
        raise UnsupportedFeature(
            f"{name} is read with lexer={lowered.lexing!r} and cannot be a part of one with lexer={lexing!r}"
        )
    if lowered.cfg.layout is not None:
        raise UnsupportedFeature(f"{name} has a %layout and cannot be a part of another grammar")
    return (_rules(lowered, into, new, grouped),)


def _rules(lowered: LoweredCfg, into: Expansion, new: list[int], grouped: bool) -> Sentence:
    old, cfg = lowered.cfg, into.cfg
    terminals = [_terminal(old, i, into, new) for i in range(len(old.terminals))]
    nonterminals = [cfg.nonterminal(n) for n in old.nonterminals]
    skip: Sentence = ()

    def copy(s: Symbol) -> Sentence:
        if not s.terminal:
            return (nonterminals[s.index],)
        read = (terminals[s.index], *skip)
        return (into.unit((read,), old.terminals[s.index].name),) if grouped else read

    skip = into.skip([x for s in old.ignored for x in copy(s)])
    for star, (first, last) in old.skips.items():
        renamed = (frozenset(terminals[s.index] for s in spaces) for spaces in (first, last))
        cfg.skips[nonterminals[star.index]] = next(renamed), next(renamed)
    for head, body in old.rules:
        into.rules(nonterminals[head], [tuple(x for s in body for x in copy(s))])
    return (*skip, *copy(lowered.start))


def _terminal(old: Cfg, i: int, into: Expansion, new: list[int]) -> Symbol:
    t, cfg = old.terminals[i], into.cfg
    if t.kind == "json":
        return cfg.json(t.name, new[t.node])
    if t.kind == "special":
        return cfg.special(old.table.blobs[t.node].decode())
    if t.kind == "never":
        return cfg.never()
    return cfg.terminal(t.name, new[t.node], None if t.unless is None else new[t.unless], t.priority)
