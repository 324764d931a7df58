"""Embedded models in the standard format, one folder each, and how any model is found by name or path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from grammars.errors import ConstrainError

DEFAULT = Path(__file__).parent / "default"


def load(name: str) -> tuple[Any, Any]:
    """(model, tokenizer) of transformers for "default", a path, or a hub name. Raises ConstrainError if it is not to be had."""
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as e:
        raise ConstrainError(
            "loading a model needs transformers and torch: pip install 'constrain[transformers]'"
        ) from e
    place = str(DEFAULT) if name == "default" else name
    try:
        with _no_progress_bar() if name == "default" else nullcontext():
            tokenizer = AutoTokenizer.from_pretrained(place)
            model = AutoModelForCausalLM.from_pretrained(place)
    except (OSError, ValueError) as e:
        raise ConstrainError(f"no model at {name!r}: {e}") from e
    return model.float(), tokenizer


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """The embedded model loads in no time: a bar would only stand in the way of the answer."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
