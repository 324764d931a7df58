"""Probes of the look-ahead: what they find, what they cost, and that they draw nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sampling_suites as suites

from decoders.sampling.lookahead import lookahead
from decoders.sampling.probes import Probes
from decoders.sampling.target import Target
from decoders.sampling.trie import Node, PrefixTrie, tilt
from decoders.toy import TableAutomaton, TableModel

END = 3


def sharp(check=None, confident: float = 0.9) -> Target:
    """All but spells out 0 1 2 0 1 2; every text of at most six tokens is allowed."""

    def rule(prefix: tuple[int, ...]) -> list[float]:
        row = np.full(4, (1 - confident) / 3)
        row[END if len(prefix) == 6 else len(prefix) % 3] = confident
        return row.tolist()

    return Target(TableModel(4, rule), TableAutomaton(np.zeros((1, 4), dtype=int), [0], [END]), 6, check)


def bounds(node):
    return tilt(node.p, node.log_bound)


def masks(node):
    return node.p


def test_a_text_that_the_model_spells_out_is_known_after_its_length_in_calls():
    trie = PrefixTrie(sharp())
    probes = Probes(trie, (masks, masks))
    paths = [probes.step() for _ in range(6)]
    assert [len(p) for p in paths] == [2, 3, 4, 5, 6, 7]
    assert paths[-1][-1][0].prefix() == (0, 1, 2, 0, 1, 2)
    assert trie.counts.model_calls == 7  # the root's, and one each
    assert trie.counts.token_steps == 0
    assert probes.step() is None  # the largest path is known to its end
    assert probes.made == 6


def test_no_probe_where_no_prefix_holds_a_share_of_the_mass():
    trie = PrefixTrie(sharp(confident=0.25))
    probes = Probes(trie, (masks,))
    assert probes.step() is not None  # a quarter
    assert probes.step() is None  # a sixteenth
    assert Probes(trie, (masks,), least=0.05).step() is not None


def test_a_check_is_asked_in_place_of_the_model():
    trie = PrefixTrie(sharp(check=lambda tokens, ended: tokens[0] != 0))
    probes = Probes(trie, (bounds,))
    assert [node.prefix() for node, _ in probes.step()] == [()]
    assert (trie.counts.model_calls, trie.counts.checks) == (1, 1)
    assert trie.root.log_bound[0] == -math.inf
    assert probes.step()[-1][0].prefix() != (0,)
    assert trie.counts.model_calls == 2


def test_a_full_trie_is_probed_once():
    trie = PrefixTrie(sharp(), max_bytes=Node.size(4))
    probes = Probes(trie, (masks,))
    probes.step()
    assert probes.full
    assert probes.step() is None
    assert trie.counts.model_calls == 2


@pytest.mark.parametrize("check", [None, lambda tokens, ended: tokens.count(1) < 2])
def test_what_probes_find_leaves_the_law_alone(check):
    """E[mass of the texts by first token] against enumeration, where probes make up a good part of the calls."""
    target = sharp(check, confident=0.6)
    wanted = np.zeros(5)
    texts = [((), 1.0)]
    while texts:
        prefix, p = texts.pop()
        row = target.model.log_probs([prefix])[0]
        for a in range(4 if len(prefix) < 6 else 0):
            if a < END and (check is None or check((*prefix, a), False)):
                texts.append(((*prefix, a), p * math.exp(row[a])))
        if check is None or check((*prefix, END), True):
            wanted[[0, 1 + (prefix[0] if prefix else END)]] += p * math.exp(row[END])
    rows = []
    for seed in range(500):
        result = lookahead(PrefixTrie(target), 8, np.random.default_rng(seed))
        w = np.exp(result.log_weights)
        rows.append(np.append(w.sum(), np.bincount([x[0] for x in result.sequences], weights=w, minlength=4)))
    assert suites.worst(np.array(rows), wanted) < 4
    assert suites.worst(np.array(rows), wanted[[0, 2, 1, 3, 4]]) > 10  # control: the right total on the wrong tokens
