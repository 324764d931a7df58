"""Front ends, the intermediate representation, vocabularies, token automata and the kernel: from a source text to a mask."""
