"""Plain decoding against full enumeration on tiny models, with controls that must fail."""

from __future__ import annotations

import collections
import itertools
import math

import pytest
import torch

import constrain
from decoders import autoregressive, masking
from decoders.processing import Sampling, process
from decoders.toy import bigram

V = constrain.Vocabulary([b"a", b"b", b"ab", b"c", None], [4])
PROMPT = [0]


def automaton(pattern: str = "a{1,2}b?c|bc"):
    return constrain.compile(constrain.regex(pattern), V)


def exact(model, a, temperature: float = 1.0) -> dict[tuple[int, ...], float]:
    """Probability of every token sequence under masked sampling, by enumeration."""
    out: dict[tuple[int, ...], float] = {}

    def walk(state, tokens, p):
        row = V.new_rows()[0]
        a.fill(state, row)
        logits = model.evaluate((*PROMPT, *tokens)).unsqueeze(0)
        q = process(logits, torch.from_numpy(row).unsqueeze(0), [[]], Sampling(temperature)).logits.softmax(dim=1)[0]
        for t in range(len(V)):
            if q[t] > 0:
                following = a.step(state, t)
                if t in V.eos_token_ids or a.matcher(following).finished:
                    done = tokens if t in V.eos_token_ids else (*tokens, t)
                    out[done] = out.get(done, 0.0) + p * float(q[t])
                else:
                    walk(following, (*tokens, t), p * float(q[t]))

    walk(a.start, (), 1.0)
    return out


def total_variation(p: dict, n: collections.Counter) -> float:
    total = sum(n.values())
    return 0.5 * sum(abs(p.get(k, 0.0) - n[k] / total) for k in {*p, *n})


def test_sampling_has_the_enumerated_distribution_and_a_wrong_one_is_seen():
    model, a = bigram(len(V), 3), automaton()
    p = exact(model, a)
    assert math.isclose(sum(p.values()), 1.0, rel_tol=1e-6)
    n = 3000
    found = autoregressive.generate(model, [PROMPT] * n, [a.matcher() for _ in range(n)], V, max_tokens=9)
    counts = collections.Counter(g.tokens for g in found)
    assert set(counts) <= set(p)
    bound = 3 * math.sqrt(len(p) / n)
    assert total_variation(p, counts) < bound
    wrong = exact(model, a, temperature=4.0)
    assert total_variation(wrong, counts) > bound


def test_greedy_takes_the_most_likely_allowed_token():
    model, a = bigram(len(V), 5), automaton()
    g = autoregressive.generate(model, [PROMPT], [a.matcher()], V, sampling=Sampling(0.0))[0]
    matcher, prefix = a.matcher(), tuple(PROMPT)
    for t in g.tokens:
        scores = model.evaluate(prefix).masked_fill(torch.from_numpy(~matcher.mask()), -math.inf)
        assert matcher.forced_tokens() or t == int(scores.argmax())
        matcher.advance(t)
        prefix += (t,)
    assert a.accepts(g.text)


def test_log_prob_and_log_mass_are_exact():
    model, a = bigram(len(V), 7), automaton()
    for g in autoregressive.generate(model, [PROMPT] * 20, [a.matcher() for _ in range(20)], V):
        prefix, log_prob, masses, matcher = tuple(PROMPT), 0.0, [], a.matcher()
        ended = not matcher_finished_after(a, g.tokens)
        for t in [*g.tokens, *([V.eos_token_ids[0]] if ended else [])]:
            log = torch.log_softmax(model.evaluate(prefix).double(), dim=0)
            log_prob += float(log[t])
            masses.append(float(torch.logsumexp(log[torch.from_numpy(matcher.mask())], dim=0)))
            matcher.advance(t)
            prefix += (t,)
        assert g.log_prob == pytest.approx(log_prob, abs=1e-5)
        if not g.forced:
            assert g.log_mass == pytest.approx(masses, abs=1e-5)


def matcher_finished_after(a, tokens) -> bool:
    m = a.matcher()
    for t in tokens:
        m.advance(t)
    return m.finished


def test_rows_do_not_depend_on_the_batch():
    model, a = bigram(len(V), 9), automaton("[abc]{1,6}")
    together = autoregressive.generate(model, [PROMPT] * 5, [a.matcher() for _ in range(5)], V, seeds=[1, 2, 3, 4, 5])
    for seed, g in zip([1, 2, 3, 4, 5], together, strict=True):
        alone = autoregressive.generate(model, [PROMPT], [a.matcher()], V, seeds=[seed])[0]
        assert alone.tokens == g.tokens


def test_every_output_is_complete_within_max_tokens_without_rollback(monkeypatch):
    monkeypatch.setattr(constrain.Matcher, "rollback", lambda *_: pytest.fail("generate rolled back"))
    model, a = bigram(len(V), 11), automaton("(ab|b)*c")
    for most in range(1, 8):
        for seed in range(20):
            g = autoregressive.generate(model, [PROMPT], [a.matcher()], V, max_tokens=most, seeds=[seed])[0]
            assert a.accepts(g.text)
            assert len(g.tokens) <= most
            assert g.finish_reason == "stop"


def test_a_budget_that_holds_no_text_is_an_error_before_any_call():
    model = bigram(len(V), 1)
    with pytest.raises(constrain.BudgetError):
        autoregressive.generate(model, [PROMPT], [automaton("a{5}").matcher()], V, max_tokens=4)
    assert model.calls == 0


def test_unconstrained_rows_and_stop_strings():
    model = bigram(len(V), 2)
    g = autoregressive.generate(model, [PROMPT], [None], V, max_tokens=30, stop=["ab"], seeds=[4])[0]
    assert g.text.endswith("ab") or g.finish_reason == "length" or len(g.tokens) < 30
    streamed: list[str] = []
    g = autoregressive.generate(model, [PROMPT], [automaton().matcher()], V, listener=lambda _, t: streamed.append(t))[
        0
    ]
    assert "".join(streamed) == g.text


def test_truncation_keeps_the_most_likely_tokens():
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0, -1.0]])
    rows = torch.tensor([[0b01110]], dtype=torch.int32)
    for how, kept in (
        (Sampling(top_k=1), [1]),
        (Sampling(top_k=2), [1, 2]),
        (Sampling(top_p=0.5), [1]),
        (Sampling(top_p=0.7), [1, 2]),
        (Sampling(min_p=0.3), [1, 2]),
    ):
        out = process(logits, rows, [[]], how)
        assert torch.isfinite(out.logits[0]).nonzero().flatten().tolist() == kept
        assert float(out.log_mass[0]) == pytest.approx(
            float(torch.logsumexp(logits[0, 1:4], 0) - torch.logsumexp(logits[0], 0))
        )
    with pytest.raises(ValueError, match="top_p"):
        Sampling(top_p=0.0)


def test_rows_unpack_to_any_width():
    rows = torch.tensor([[-1, 1]], dtype=torch.int32)
    for width, n in itertools.product((3, 32, 33, 40, 64, 90), (1,)):
        assert int(masking.allowed(rows[:n], width).sum()) == min(width, 33)
