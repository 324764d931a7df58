"""The GBNF front end: llama.cpp's grammar format in (`lower_gbnf`) and out (`write_gbnf`)."""

from grammars.gbnf.lower import lower_gbnf
from grammars.gbnf.write import write_gbnf

__all__ = ["lower_gbnf", "write_gbnf"]
