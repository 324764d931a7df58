"""Work limits: they count steps, nodes and bytes, never seconds, so that a verdict does not depend on the machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one compilation or one mask may cost. Every breach raises `LimitExceeded` naming the field.

    source_bytes: size of a source text or of the JSON text of a schema.
    depth: nesting of the source (groups of a regex, schema objects).
    nodes: nodes of the intermediate representation.
    compile_work: kernel steps of compilation: derivatives, search nodes and chart items, added up.
    mask_work: the same for one mask, advance or witness.
    number_digits: digits of a JSON number in all; exponent_digits: of its exponent.
    delimiter_bytes: of a delimiter that a text chooses, which a back-reference repeats; longer ones are not in the language.
    """

    source_bytes: int = 16 << 20
    depth: int = 2_000
    nodes: int = 1_000_000
    compile_work: int = 20_000_000
    mask_work: int = 20_000_000
    number_digits: int = 128
    exponent_digits: int = 4
    delimiter_bytes: int = 255


DEFAULT_LIMITS = Limits()
