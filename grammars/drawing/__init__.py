"""Grammars as pictures: railroad diagrams of their rules, and automata, as SVG that stands alone.

Every grammar becomes *diagrams* (`tracks`): named expressions of boxes in sequence, choice and repetition. What has a source
text is drawn as its author wrote it (`lark_tracks`, `gbnf_tracks`); what has none (regexes, choices, compositions) as it was
lowered (`lowered_tracks`). `railroad` draws diagrams as they are; `automata` makes automata of them, or of a regular
language, which `layered` places and `figure` draws.
"""

from grammars.drawing.draw import draw_grammar

__all__ = ["draw_grammar"]
