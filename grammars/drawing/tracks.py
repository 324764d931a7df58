"""What is drawn, whatever language it was written in: boxes in sequence, choice and repetition, under names.

Tracks can be as deep as sources are, which is more than Python's stack; everything that walks them is a `fold`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Kind = Literal["terminal", "rule", "special", "embedded", "class"]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Box:
    """One symbol as it is written. `target`: the key of the diagram that says what it is, if there is one."""

    text: str
    kind: Kind
    target: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One after the other; without parts: the empty text."""

    parts: tuple[Track, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Either:
    """One of the branches; without branches: nothing at all, not even the empty text."""

    branches: tuple[Track, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """`least` to `most` times; `most` is None where there is no upper bound."""

    body: Track
    least: int
    most: int | None


Track = Box | Series | Either | Loop
EMPTY = Series(())


@dataclass(frozen=True, slots=True, eq=False)
class Diagram:
    """A named track. `key` is what boxes refer to; `notes`: what the source says beside the expression; `terminal`: it is no
    rule of the grammar."""

    key: str
    name: str
    track: Track
    notes: tuple[str, ...] = ()
    terminal: bool = False


def children(track: Track) -> tuple[Track, ...]:
    if isinstance(track, Series):
        return track.parts
    if isinstance(track, Either):
        return track.branches
    return (track.body,) if isinstance(track, Loop) else ()


def fold(
    root: Track,
    combine: Callable[[Track, list[Any]], Result],
    below: Callable[[Track], tuple[Track, ...]] = children,
) -> Result:
    """``combine(track, results of what is below it)``, children first and from left to right. O(size)."""
    results: list[Any] = []
    stack: list[tuple[Track, int]] = [(root, -1)]
    while stack:
        track, count = stack.pop()
        if count >= 0:
            given = results[len(results) - count :]
            del results[len(results) - count :]
            results.append(combine(track, given))
            continue
        parts = below(track)
        stack.append((track, len(parts)))
        stack.extend((p, -1) for p in reversed(parts))
    return results[0]
