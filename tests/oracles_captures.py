"""Grammars with terminals that repeat a text of their own choice, judged by the recogniser of `oracles_cfg` and Python's `re`.

Python's `re` says what such a terminal matches in full; where a lazy one stops is the first of these matches, and what may follow
greedily is matched apart.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache

from oracles_cfg import Lexeme, Rules

import constrain


@dataclass(frozen=True)
class Delimited(Lexeme):
    """`pattern` has a group named d; `most`: bytes of its text. `lazy`: under "longest" a match ends at the first place where
    one can, and `tail`, which may be empty, goes on from there."""

    lazy: bool = True
    tail: str = ""
    most: int = 255


class DelimitedRules(Rules):
    """`longest` is set before a text is judged."""

    longest = True

    def lengths(self, terminal: int, text: str, at: int) -> set[int]:
        t = self.terminals[terminal]
        if not isinstance(t, Delimited):
            return super().lengths(terminal, text, at)
        lazy = t.lazy and self.longest
        pattern = t.pattern if lazy else t.pattern + t.tail
        found = {
            n
            for n in range(1, len(text) - at + 1)
            if matches(pattern, t.most, text[at : at + n]) and self.may_end(t, text[at + n :])
        }
        if lazy and found:
            least = min(found)
            rest = text[at + least :]
            found = {least + k for k in range(len(rest) + 1) if re.fullmatch(t.tail, rest[:k])}
        return found

    def may_end(self, t: Lexeme, after: str) -> bool:
        return t.unless is None or not re.match(t.unless, after)

    def accepts(self, text: str, longest: bool) -> bool:
        self.longest = longest
        return super().accepts(text, longest)

    def grammar(self, longest: bool) -> constrain.Grammar:
        """The same as Lark text."""
        names = [f"T{i}.{t.priority}" if t.priority else f"T{i}" for i, t in enumerate(self.terminals)]
        heads = sorted({0} | {h for h, _ in self.rules} | {s for _, b in self.rules for is_t, s in b if not is_t})
        lines = []
        for h in heads:
            ways = [
                " ".join(f"T{s}" if is_t else f"n{s}" for is_t, s in b) or '""' for head, b in self.rules if head == h
            ]
            lines.append(f"n{h}: " + " | ".join(ways or ["n0 NOTHING"]))
        for name, t in zip(names, self.terminals, strict=True):
            tail = t.tail if isinstance(t, Delimited) else ""
            lines.append(f"{name}: /{t.pattern}{tail}" + (f"(?!{t.unless})" if t.unless else "") + "/")
        lines += ["NOTHING: /[^\\s\\S]/", *(f"%ignore T{i}" for i in self.ignored)]
        most = [t.most for t in self.terminals if isinstance(t, Delimited)]
        limits = constrain.Limits(delimiter_bytes=min(most, default=255), mask_work=500_000)
        return constrain.lark("\n".join(lines), start="n0", lexer="longest" if longest else "any", limits=limits)


@lru_cache(maxsize=1 << 20)
def matches(pattern: str, most: int, text: str) -> bool:
    found = re.fullmatch(pattern, text)
    return found is not None and len(found["d"]) <= most


# Over "ab", and over "abx". The group has no end of texts in each.
PAIRS = [
    r"(?P<d>a+)b[ab]*?b(?P=d)", r"b(?P<d>a*)b[ab]*?b(?P=d)", r"(?P<d>a+)b[ab]*?(?P=d)", r"b(?P<d>a*)b[ab]*?b(?P=d)b",
    r"(?P<d>a+)b(?P=d)b[ab]*?(?P=d)", r"(?P<d>a+)ba*?(?P=d)b", r"(?P<d>(aa)+)b[ab]*?b(?P=d)", r"bb?(?P<d>a+)b[ab]*?b(?P=d)",
]  # fmt: skip
TRIPLES = [
    r"(?P<d>[ab]+)x[abx]*?x(?P=d)", r"x(?P<d>[ab]*)x[abx]*?x(?P=d)", r"x(?P<d>[ab]+)x[abx]*?(?P=d)x",
    r"(?P<d>b[ab]*)x[ab]*?(?P=d)", r"a?x(?P<d>(ab|b)+)x[abx]*?b(?P=d)",
    r"x(?P<d>[ab]+)x(?P=d)[abx]*?(?P=d)", r"x(?P<d>a*)[bx][abx]*?x(?P=d)x",
]  # fmt: skip
GREEDY = [r"x(?P<d>[ab]+)x[ab]*x(?P=d)", r"x(?P<d>[ab]+)x[abx]*x(?P=d)", r"(?P<d>a+)b+(?P=d)"]
PLAIN = ["a", "b", "ab", "a+", "[ab]", "b?a", "a*b", "bb?", "ba", "(ab)+"]
PLAIN_TRIPLES = [*PLAIN, "x", "x+", "[abx]", "xa", "x[ab]x", "ax"]


def random_delimited(rng: random.Random, triples: bool) -> DelimitedRules:
    """One or two captures and one or two other terminals in small random rules."""
    most = rng.choice([1, 2, 3]) if rng.random() < 0.3 else 255
    terminals: list[Lexeme] = []
    for _ in range(rng.choice([1, 1, 2])):
        greedy = triples and rng.random() < 0.15
        pattern = rng.choice(GREEDY if greedy else TRIPLES if triples else PAIRS)
        unless = rng.choice(["a", "b"]) if rng.random() < 0.15 else None
        tail = rng.choice(["a*", "b?", "(ab)*"]) if not greedy and unless is None and rng.random() < 0.15 else ""
        priority = 1 if rng.random() < 0.15 else 0
        terminals.append(Delimited(pattern, unless, priority, lazy=not greedy, tail=tail, most=most))
    plain = [*terminals]
    for pattern in rng.sample(PLAIN_TRIPLES if triples else PLAIN, rng.randint(1, 2)):
        unless = rng.choice(["a", "b", "ab"]) if rng.random() < 0.1 else None
        plain.append(Lexeme(pattern, unless, rng.choice([0, 0, 1]) if rng.random() < 0.2 else 0))
    nonterminals = rng.randint(1, 2)
    rules = []
    for head in range(nonterminals):
        for _ in range(rng.randint(1, 3)):
            body = [
                (True, rng.randrange(len(plain))) if rng.random() < 0.75 else (False, rng.randrange(nonterminals))
                for _ in range(rng.choice([1, 1, 2, 2, 3]))
            ]
            rules.append((head, tuple(body)))
    rules.append((0, ((True, 0),)))
    ignored = [len(plain) - 1] if rng.random() < 0.25 else []
    return DelimitedRules(plain, rules, ignored)
