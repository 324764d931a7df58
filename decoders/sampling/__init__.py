"""Faithful sampling: exact, weighted and certified draws from a language model given a constraint."""
