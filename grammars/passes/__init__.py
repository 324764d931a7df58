"""Passes over context-free grammars, one in each file."""
