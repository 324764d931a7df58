"""Grammars as formats: a string whose format names one holds, decoded, a text of that grammar.

A regex or a choice becomes a part of the schema's table. A context-free grammar stays a table of its own, which the kernel
reads over the decoded characters of the string; a schema becomes the context-free grammar of one document. Whatever special
tokens a grammar asks for have no characters, so that no string can hold them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from grammars.cfg import Cfg
from grammars.errors import GrammarError, UnsupportedFeature
from grammars.ir import Table
from grammars.json_schema import formats

if TYPE_CHECKING:
    from grammars.grammar import Grammar


def check_grammars(grammars: Any) -> dict[str, Grammar]:
    """The grammars by name, if they may be formats. Raises GrammarError or UnsupportedFeature with the name."""
    from grammars.grammar import Grammar

    if grammars is None:
        return {}
    if not isinstance(grammars, Mapping):
        raise GrammarError(f"grammars must be a mapping from names of formats, not {type(grammars).__name__}")
    for name, grammar in grammars.items():
        if not isinstance(name, str):
            raise GrammarError(f"grammars are named by strings, not {name!r}")
        if name in formats.NAMES:
            raise GrammarError(f"{name!r} is a format of the standard and keeps its meaning; choose another name")
        if not isinstance(grammar, Grammar):
            raise GrammarError(f"grammars[{name!r}] must be a Grammar (lark, gbnf ...), not {type(grammar).__name__}")
        if grammar.specials:
            shown = ", ".join(grammar.specials)
            raise UnsupportedFeature(f"grammars[{name!r}] asks for special tokens ({shown}), which no string can hold")
    return dict(grammars)


def check_used(grammars: Mapping[str, Grammar], used: set[str]) -> None:
    """Raise GrammarError for a grammar that none of the formats `used` in a schema names."""
    for name in grammars:
        if name not in used:
            there = f"the formats there are {', '.join(map(repr, sorted(used)))}" if used else "there is no format"
            raise GrammarError(f"nothing in the schema has the format {name!r}, for which a grammar is given; {there}")


def lower_named(grammar: Grammar, table: Table) -> int:
    """The node of the strings that are texts of a grammar. O(size of the grammar)."""
    grammar.whole("an embedding")
    if grammar.kind == "regex":
        return table.absorb(grammar.table, grammar.root)
    if grammar.is_cfg:
        return table.outside(grammar.table, grammar.root)
    cfg = Cfg(Table())
    start = cfg.nonterminal("start")
    cfg.rule(start, cfg.json("document", cfg.table.absorb(grammar.table, grammar.root)))
    return table.outside(cfg.table, cfg.finish(start, "longest"))
