"""The regex front end: Python and ECMA-262 patterns to regular languages over UTF-8.

`parse_regex` turns a pattern into a syntax tree (`syntax`), `lower_regex` turns the tree into nodes of an `ir.Table`.
Supported in both dialects: literals, classes, Unicode categories, groups, alternation, greedy and lazy quantifiers with
bounds, ``^ $ \\b \\B`` anywhere outside a repetition, lookahead, lookbehind of one character, scoped flags,
back-references to groups that match few texts (`references`). Refused by name: other back-references, conditionals, atomic
groups, possessive quantifiers, longer lookbehind, Unicode scripts, and assertions inside a repetition.
"""

from grammars.regex.lower import lower_regex
from grammars.regex.parse import parse_regex

__all__ = ["lower_regex", "parse_regex"]
