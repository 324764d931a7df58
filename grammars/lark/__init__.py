"""The Lark front end: grammars in the language of lark 1.3.1, and the dialect around it, to context-free grammars.

`parse` reads text into a syntax tree, `load` follows imports and applies overrides, `terminals` makes regular languages
of terminals, and `lower` makes a `Cfg` of the rules that the start reaches.
"""

from grammars.lark.lower import lower_lark

__all__ = ["lower_lark"]
