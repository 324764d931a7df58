"""Vocabularies, token automata and matchers: where bytes become tokens and grammars become masks."""
