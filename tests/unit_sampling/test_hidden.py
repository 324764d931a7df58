"""Hidden Markov surrogates: fitted to predictions, exact where they are the model, unbiased where they are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sampling_suites as suites
import sampling_truth as truth

from decoders.sampling.control import controlled
from decoders.sampling.hidden import HiddenMarkov, fitted
from decoders.sampling.lookahead import lookahead
from decoders.sampling.masked import masked
from decoders.sampling.smc import smc
from decoders.sampling.surrogate import Surrogate
from decoders.sampling.target import Target
from decoders.sampling.values import LookAhead
from decoders.sampling.walks import guided, run_round
from decoders.toy import TableAutomaton, TableModel


def hidden_world(seed: int = 1):
    """Three hidden states, six tokens and the end, a random automaton: (ground truth, target)."""
    suite = truth.t4(seed, hidden=3, width=7, states=4, most=8)
    suite.accepting = [1, 3]
    return suite, Target(TableModel(7, suite.rule), TableAutomaton(suite.table, suite.accepting, [6]), 8)


def test_the_true_hidden_markov_model_as_surrogate_has_no_variance():
    suite, target = hidden_world()
    trie = suites.fresh(target)
    trie.expand_frontier(30)
    ahead = LookAhead(trie, "hmm")
    surrogate = ahead.surrogate
    surrogate.hidden = HiddenMarkov(suite.emit, suite.move)
    rows = np.array([node.row for node in trie.nodes])
    beliefs = surrogate.hidden.beliefs(rows, 3000)
    assert np.abs(beliefs @ suite.emit - rows).max() < 1e-5  # the belief is read off the prediction
    surrogate._beliefs = {id(node): b for node, b in zip(trie.nodes, beliefs, strict=True)}
    surrogate.psi = surrogate._solve(surrogate._contexts(trie.statistics, 0.0), target.max_tokens)
    ahead.revalue()
    assert ahead.log_value(trie.root) == pytest.approx(math.log(suite.z()), abs=1e-3)
    draws = run_round(trie, [guided(trie, ahead.rule, np.random.default_rng(0)) for _ in range(300)])
    w = np.exp([d.log_weight for d in draws])
    plain = np.exp(masked(suites.fresh(target), 300, np.random.default_rng(0)).log_weights)
    assert w.mean() == pytest.approx(suite.z(), rel=0.01)
    assert w.std() / w.mean() < 0.05 < 0.3 < plain.std() / plain.mean()


def test_fits_find_the_emissions_and_moves_that_made_the_predictions():
    rng = np.random.default_rng(0)
    emit = np.array([[0.8, 0.1, 0.05, 0.05], [0.05, 0.05, 0.1, 0.8]])
    move = np.array([[0.9, 0.1], [0.2, 0.8]])
    true = HiddenMarkov(emit, move)
    rows, parents, tokens = [], [], []
    for _ in range(120):
        belief, parent = np.array([0.5, 0.5]), -1
        for _ in range(4):
            token = int(rng.choice(4, p=belief @ emit)) if parent >= 0 else 0
            if parent >= 0:
                belief = true.after(belief, np.array([token]))[0]
            rows.append(belief @ emit)
            parents.append(parent)
            tokens.append(token)
            parent = len(rows) - 1
    found = fitted(np.array(rows), np.array(parents), np.array(tokens), 1e-6, most=2)
    assert found.emit.sum(axis=1) == pytest.approx([1, 1])
    assert found.move.sum(axis=1) == pytest.approx([1, 1])
    assert found.move.min() > 0
    explained = found.beliefs(np.array(rows))
    assert np.abs(explained @ found.emit - np.array(rows)).max() < 0.02
    child = np.array([i for i, p in enumerate(parents) if p >= 0])
    ahead = np.array([found.after(explained[parents[i]], np.array([tokens[i]]))[0] for i in child]) @ found.emit
    still = np.abs(np.array(rows)[[parents[i] for i in child]] - np.array(rows)[child]).mean()
    assert np.abs(ahead - np.array(rows)[child]).mean() < 0.5 * still  # control: predictions that do not move


@pytest.mark.parametrize("seed", [1, 2])
def test_weights_twists_and_control_variates_of_hidden_states_are_unbiased(seed):
    suite, target = hidden_world(seed)
    z, rng = suite.z(), np.random.default_rng(seed)
    ahead = [lookahead(suites.fresh(target), 12, rng, kind="hmm") for _ in range(150)]
    values = np.array([[math.exp(r.log_z_unbiased)] for r in ahead])
    assert suites.worst(values, np.array([z])) < 4
    controls = [controlled(suites.fresh(target), 30, rng, kind="hmm") for _ in range(150)]
    means = np.array([[math.exp(r.log_z_unbiased)] for r in controls])
    assert suites.worst(means, np.array([z])) < 4
    plain = np.array([math.exp(masked(suites.fresh(target), 30, rng).log_z) for _ in range(150)])
    assert means.std() < plain.std()
    trie = suites.fresh(target)
    masked(trie, 20, rng)
    twisted = smc(trie, 10, rng, runs=200, twist=LookAhead(trie, "hmm").log_values)
    assert abs(math.exp(twisted.log_z) / z - 1) < 4 * twisted.stderr < 0.2


def test_large_vocabularies_have_no_hidden_states():
    rule = lambda prefix: [1 / 70] * 70  # noqa: E731
    target = Target(TableModel(70, rule), TableAutomaton(np.zeros((1, 70), dtype=int), [0], [69]), 3)
    trie = suites.fresh(target)
    assert trie.root.row is None
    for kind in ("hmm", "bigram"):
        with pytest.raises(ValueError, match="at most 64 tokens"):
            Surrogate(trie, kind)
