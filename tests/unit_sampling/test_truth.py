"""The ground truth against the golden numbers of the suites, and against itself by two ways of computing."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import sampling_truth as truth


def test_t1():
    suite = truth.t1()
    assert suite.z == Fraction(17, 32)
    zeros = (0, 0, 0, 0, 0, 2)
    assert suite.masked[zeros] == Fraction(1, 2)
    assert suite.target[zeros] == Fraction(1, 17)
    assert truth.divergence(suite.masked, suite.target) == pytest.approx(0.753772, abs=1e-6)
    assert truth.divergence(suite.target, suite.masked) == pytest.approx(0.469429, abs=1e-6)
    assert truth.total_variation(suite.target, suite.masked) == pytest.approx(0.441176, abs=1e-6)


def test_the_other_toys():
    assert truth.t1("1").z == Fraction(17, 32)
    assert truth.t1("1").masked[(1, 1, 1, 1, 1, 2)] == Fraction(1, 2)
    assert truth.t1(length=3).z == Fraction(5, 8)


def test_restart_chains_have_the_golden_laws():
    suite = truth.t2(truth.t2a_rule)
    golden = {1: (0.8430, 2.7692), 2: (0.7626, 2.0850), 3: (0.7045, 1.7017), 5: (0.6016, 1.2092), 10: (0.4058, 0.5701),
              20: (0.1925, 0.1390), 50: (0.0219, 0.0019)}  # fmt: skip
    for texts, (tv, kl) in golden.items():  # the first text of a chain is a masked one
        law = truth.restart_chain(suite, texts - 1)
        assert truth.total_variation(suite.target, law) == pytest.approx(tv, abs=6e-5)
        assert truth.divergence(law, suite.target) == pytest.approx(kl, abs=6e-5)
    small = truth.t2(truth.t2a_rule, 4)
    start = lambda x: np.eye(len(x))[0]  # noqa: E731
    assert truth.cut_chain(small, start, 3) == pytest.approx(truth.restart_chain(small, 3))


@pytest.mark.parametrize(
    ("rule", "z", "kl", "reverse", "tv", "ess"),
    [
        (truth.t2a_rule, 0.060341499483, 2.769159, 2.222970, 0.843004, 0.080513),
        (truth.t2b_rule, 0.016688149, 3.600785, 2.604369, 0.838341, 0.041860),
    ],
)
def test_t2(rule, z, kl, reverse, tv, ess):
    suite = truth.t2(rule)
    assert len(suite.texts) == 8038
    assert suite.prefixes == 16023
    assert suite.z == pytest.approx(z, rel=1e-7)
    assert truth.divergence(suite.masked, suite.target) == pytest.approx(kl, abs=2e-6)
    assert truth.divergence(suite.target, suite.masked) == pytest.approx(reverse, abs=2e-6)
    assert truth.total_variation(suite.target, suite.masked) == pytest.approx(tv, abs=2e-6)
    assert suite.z**2 / sum(p * kept for p, kept in suite.texts.values()) == pytest.approx(ess, abs=2e-6)


def test_t3_has_as_many_spellings_as_it_should():
    for optional, counts in ((False, (6, 1960, 4929)), (True, (66, 41160, 94109))):
        suite = truth.t3(optional)
        suite.rule = lambda _: [0.01] * 99
        assert len(truth.t3_texts(optional)) == counts[0]
        assert suite.tokens == (40 if optional else 29)
        assert (len(suite.texts), suite.prefixes) == counts[1:]


def test_dynamic_programming_agrees_with_enumeration():
    suite = truth.t2(truth.t2a_rule)
    assert suite.backward(lambda a: a, 4, lambda h: truth.BIGRAM[h].tolist()) == pytest.approx(suite.z, rel=1e-12)
    hidden = truth.t4(most=4)
    end = hidden.table.shape[1] - 1

    def total(prefix: tuple[int, ...], q: int) -> float:
        row = hidden.rule(prefix)
        out = row[end] if q in hidden.accepting else 0.0
        if len(prefix) < 2:
            out += sum(row[a] * total((*prefix, a), int(s)) for a, s in enumerate(hidden.table[q][:end]) if s >= 0)
        return out

    hidden.most = 2
    assert hidden.z() == pytest.approx(total((), 0), rel=1e-10)


def test_the_chi_square_sees_a_wrong_law_and_passes_the_right_one():
    suite = truth.t1()
    keys = list(suite.target)
    rng = np.random.default_rng(0)

    def sample(law):
        p = np.array([float(law[k]) for k in keys])
        return [keys[i] for i in rng.choice(len(keys), 2000, p=p)]

    assert abs(truth.chi_square(suite.target, sample(suite.target))) < 3.3
    assert truth.chi_square(suite.target, sample(suite.masked)) > 10
    assert truth.chi_square(suite.target, [(9,)]) == math.inf
