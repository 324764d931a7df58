"""Structured and constrained generation: grammars in, valid text and honest probabilities out.

Importing this package is quick and needs no torch; names are resolved when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from constrain.adapters.transformers import ConstrainLogitsProcessor as ConstrainLogitsProcessor
    from constrain.generator import Generator as Generator
    from constrain.generator import generate as generate
    from decoders.generation import Generation as Generation
    from decoders.sampling.result import Samples as Samples
    from decoders.sampling.result import SamplingError as SamplingError
    from decoders.sampling.result import ZeroMassError as ZeroMassError
    from decoders.sampling.texts import SampledTexts as SampledTexts
    from grammars.errors import BudgetError as BudgetError
    from grammars.errors import ConstrainError as ConstrainError
    from grammars.errors import EmptyLanguage as EmptyLanguage
    from grammars.errors import GrammarError as GrammarError
    from grammars.errors import LimitExceeded as LimitExceeded
    from grammars.errors import UnsupportedFeature as UnsupportedFeature
    from grammars.errors import VocabularyError as VocabularyError
    from grammars.grammar import Grammar as Grammar
    from grammars.grammar import choice as choice
    from grammars.grammar import gbnf as gbnf
    from grammars.grammar import json_schema as json_schema
    from grammars.grammar import lark as lark
    from grammars.grammar import literal as literal
    from grammars.grammar import regex as regex
    from grammars.limits import Limits as Limits
    from grammars.tokens.automaton import Matcher as Matcher
    from grammars.tokens.automaton import State as State
    from grammars.tokens.automaton import TokenAutomaton as TokenAutomaton
    from grammars.tokens.automaton import compile_grammar as compile
    from grammars.tokens.automaton import fill_masks as fill_masks
    from grammars.tokens.diagnosis import Diagnosis as Diagnosis
    from grammars.tokens.vocabulary import Vocabulary as Vocabulary

__version__ = "0.1.0"

_HOMES = {
    "constrain.adapters.transformers": ("ConstrainLogitsProcessor",),
    "constrain.generator": ("Generator", "generate"),
    "decoders.generation": ("Generation",),
    "decoders.sampling.result": ("Samples", "SamplingError", "ZeroMassError"),
    "decoders.sampling.texts": ("SampledTexts",),
    "grammars.errors": (
        "BudgetError", "ConstrainError", "EmptyLanguage", "GrammarError", "LimitExceeded", "UnsupportedFeature",
        "VocabularyError",
    ),
    "grammars.grammar": ("Grammar", "choice", "gbnf", "json_schema", "lark", "literal", "regex"),
    "grammars.limits": ("Limits",),
    "grammars.tokens.automaton": ("Matcher", "State", "TokenAutomaton", "compile", "fill_masks"),
    "grammars.tokens.diagnosis": ("Diagnosis",),
    "grammars.tokens.vocabulary": ("Vocabulary",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "BudgetError", "ConstrainError", "ConstrainLogitsProcessor", "Diagnosis", "EmptyLanguage", "Generation", "Generator",
    "Grammar", "GrammarError", "LimitExceeded", "Limits", "Matcher", "SampledTexts", "Samples", "SamplingError", "State",
    "TokenAutomaton", "UnsupportedFeature", "Vocabulary", "VocabularyError", "ZeroMassError", "choice", "compile",
    "fill_masks", "gbnf", "generate", "json_schema", "lark", "literal", "regex",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'constrain' has no attribute {name!r}")
    found = getattr(importlib.import_module(home), "compile_grammar" if name == "compile" else name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
