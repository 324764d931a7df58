"""Samplers through `generate`: the processed model, real transformers, texts, records, plots and the command line."""

from __future__ import annotations

import itertools
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import sampling_suites as suites
import sampling_truth as truth
import torch

import constrain
from constrain import cli
from constrain.generator import Generator
from decoders.processing import Sampling, penalise, truncate
from decoders.sampling import SAMPLERS, Expert, Target
from decoders.sampling.model import ProcessedModel
from decoders.sampling.texts import whole_text
from decoders.toy import bigram, uniform

VOCABULARY = constrain.Vocabulary([b"a", b"b", b"ab", b"1", None], [4])
LANGUAGE = constrain.regex("[ab]{1,3}1?")
PROMPT = "b"


def spellings(most: int = 4):
    """Every token sequence of the language with its end token."""
    body = {0: "a", 1: "b", 2: "ab", 3: "1"}
    for n in range(1, most + 1):
        for x in itertools.product(body, repeat=n):
            letters = "".join(body[t] for t in x)
            if letters.rstrip("1") and letters.count("1") == letters.endswith("1") and len(letters.rstrip("1")) <= 3:
                yield (*x, 4)


def masses(model, how: Sampling, most: int = 4) -> dict[tuple[int, ...], float]:
    """p of each text under the processed model, step by step."""
    out = {}
    for x in spellings(most):
        total = 0.0
        for n, t in enumerate(x):
            logits = model.evaluate((1, *x[:n]))[None]
            scores = truncate(penalise(logits, [[1, *x[:n]]], how.repetition_penalty) / how.temperature, how)
            total += float(torch.log_softmax(scores.double(), dim=1)[0, t])
        if total > -math.inf:
            out[x] = math.exp(total)
    return out


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.7, "top_k": 3}, {"top_p": 0.9}, {"repetition_penalty": 1.3}], ids=str
)
def test_the_target_is_the_processed_model(options):
    model = bigram(5, 3)
    found = constrain.generate(
        model, PROMPT, LANGUAGE, VOCABULARY, sampler="cars", samples=2500, max_tokens=4, seed=1, **options
    )
    wanted = masses(model, Sampling(**options))
    z = sum(wanted.values())
    law = {x: p / z for x, p in wanted.items()}
    assert truth.chi_square(law, found.samples.sequences) < 3.3
    assert found.samples.bracket[0] - 1e-6 <= math.log(z) <= found.samples.bracket[1] + 1e-6
    assert found.exact
    # the record's log_prob is of the raw model at temperature 1
    raw = masses(model, Sampling())
    for x, g in zip(found.samples.sequences[:20], found.generations, strict=False):
        assert g.log_prob == pytest.approx(math.log(raw[x]), abs=1e-4)
    marginal = found.marginal()
    assert sum(marginal.values()) == pytest.approx(1)
    assert len(marginal) <= len(set(found.samples.sequences)) - (not options)  # "ab" has two spellings


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_is_reached_by_its_name(name):
    model = bigram(5, 3)
    found = constrain.generate(model, PROMPT, LANGUAGE, VOCABULARY, sampler=name, samples=6, max_tokens=4, seed=2)
    assert found.failure is None
    assert set(found.samples.sequences) <= set(spellings())
    assert found.text in found.texts
    assert found.weights.sum() == pytest.approx(1)
    assert found.exact == (name in ("cars", "rejection", "distinct"))
    assert name in str(found)
    assert found.samples.counts.model_calls > 0
    again = constrain.generate(model, PROMPT, LANGUAGE, VOCABULARY, sampler=name, samples=6, max_tokens=4, seed=2)
    assert again.samples.sequences == found.samples.sequences
    # the choice by weight: an exact sampler's follows the target, and it is a valid text in any case
    assert found.generations[found.chosen].text == found.text


def test_a_trie_is_shared_between_calls_and_samplers():
    generator = Generator(bigram(5, 3), LANGUAGE, VOCABULARY)
    trie = generator.trie(PROMPT, max_tokens=4)
    generator.sample(trie, "smc", 20, seed=1, look_ahead=True, frontier=10)
    calls = trie.counts.model_calls
    for name in ("markov", "arithmetic", "lookahead", "cars"):
        options = {"look_ahead": True} if name in ("markov", "arithmetic") else {}
        assert len(generator.sample(trie, name, 5, seed=2, **options)) >= 1
    assert trie.counts.model_calls == len(trie.nodes) == len({n.prefix() for n in trie.nodes}) >= calls
    assert calls > 10


def test_a_trie_serves_one_constraint_and_setting():
    generator = Generator(bigram(5, 3), LANGUAGE, VOCABULARY)
    trie = generator.trie(PROMPT, max_tokens=4)
    with pytest.raises(ValueError, match="temperature"):
        generator.sample(trie, "cars", 2, temperature=0.5)
    other = Generator(bigram(5, 3), constrain.regex("[ab]{1,2}"), VOCABULARY)
    with pytest.raises(ValueError, match="another generator"):
        other.sample(trie, "cars", 2)


def test_failures_have_names():
    generator = Generator(uniform(5), LANGUAGE, VOCABULARY)
    certain = Generator(one_token(3), LANGUAGE, VOCABULARY)
    with pytest.raises(constrain.ZeroMassError, match="no mass"):
        certain.sample(PROMPT, "cars", 3, max_tokens=4, top_k=1)
    with pytest.raises(constrain.BudgetError):
        Generator(uniform(5), constrain.regex("[ab]{9}"), VOCABULARY).sample(PROMPT, "cars", max_tokens=4)
    with pytest.raises(constrain.UnsupportedFeature, match="listener"):
        generator.sample(PROMPT, "cars", listener=print)
    with pytest.raises(ValueError, match="unknown sampler"):
        generator.sample(PROMPT, "other")
    with pytest.raises(ValueError, match="temperature"):
        generator.sample(PROMPT, "cars", temperature=0)
    none = generator.sample(PROMPT, "rejection", 3, max_tries=5, max_tokens=4, check=lambda text, ended: not ended)
    assert len(none) == 0
    assert "0 of 3 samples accepted" in none.failure
    with pytest.raises(constrain.SamplingError, match="0 of 3"):
        _ = none.text


def one_token(token: int):
    from decoders.toy import FunctionModel

    logits = torch.zeros(5)
    logits[token] = 9.0
    return FunctionModel(5, lambda _: logits)


def test_checks_and_critics_read_texts():
    generator = Generator(bigram(5, 3), LANGUAGE, VOCABULARY)
    found = generator.sample(PROMPT, "cars", 300, max_tokens=4, check=lambda text, ended: "aa" not in text)
    assert all("aa" not in text for text in found.texts)
    assert found.samples.counts.checks > 0
    liked = generator.sample(
        PROMPT, "smc", 50, runs=20, max_tokens=4, critic=lambda text, ended: 2.0 * text.count("a"), seed=4
    )
    plain = generator.sample(PROMPT, "smc", 50, runs=20, max_tokens=4, seed=4)
    count = lambda r: sum(w * t.count("a") for t, w in r.marginal().items())  # noqa: E731
    assert count(liked) > count(plain) + 0.3
    expert = Expert(ProcessedModel(bigram(5, 8), [1]), power=2.0)
    product = generator.sample(PROMPT, "smc", 50, runs=4, max_tokens=4, critic_tokens=expert)
    assert expert.model_calls > 4
    again = [expert(x, True) for x in product.samples.sequences]
    assert product.samples.log_weights - product.samples.log_prob != pytest.approx(np.zeros(len(again)))
    assert product.samples.bracket[1] == math.inf  # the product's normaliser has no bound from one model
    assert whole_text("é".encode()[:1]) == ""
    assert whole_text("aé".encode()) == "aé"


@pytest.mark.parametrize("name", ["cars", "lookahead", "smc", "masked"])
def test_stop_rules_end_texts_for_certain(name):
    """The law of a stopped text is that of its prefix; resampling and learning do not change it."""
    model = bigram(5, 3)
    generator = Generator(model, LANGUAGE, VOCABULARY)

    def fires(tokens):
        text = b"".join(VOCABULARY.tokens[t] for t in tokens)
        return b"ab" in text or text == b"bb"

    wanted = {}

    def walk(prefix, p):
        text = b"".join(VOCABULARY.tokens[t] for t in prefix).decode()
        if not re.fullmatch("[ab]{0,3}|[ab]{1,3}1", text) or len(prefix) > 4:
            return
        row = torch.softmax(model.evaluate((1, *prefix)).double(), dim=0).tolist()
        if text:
            wanted[(*prefix, 4)] = p if fires(prefix) else p * row[4]
        if not fires(prefix):
            for t in range(4):
                walk((*prefix, t), p * row[t])

    walk((), 1.0)
    z = sum(wanted.values())
    options = {"runs": 40} if name == "smc" else {}
    n = 25 if name == "smc" else 1000
    found = generator.sample(PROMPT, name, n, max_tokens=4, seed=3, stop=fires, **options)
    assert set(found.samples.sequences) <= set(wanted)
    assert found.samples.log_z == pytest.approx(math.log(z), abs=max(4 * found.samples.stderr, 1e-6))
    if name == "cars":
        assert truth.chi_square({x: p / z for x, p in wanted.items()}, found.samples.sequences) < 3.3
    strings = generator.sample(PROMPT, name, 40, max_tokens=4, stop=["ab"], temperature=1.2)
    assert all("ab" not in t[:-1] for t in strings.texts)
    assert "stop rule" in strings.samples.support


def test_branches_share_the_cache_and_agree_with_whole_passes():
    transformers = pytest.importorskip("transformers")
    from constrain.adapters.transformers import TransformersModel

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=40, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, eos_token_id=39, bos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    raw = transformers.LlamaForCausalLM(config).eval()
    model = ProcessedModel(TransformersModel(raw), [1, 2, 3], columns=30)
    rng = np.random.default_rng(0)
    seen: list[tuple[int, ...]] = [()]
    for _ in range(25):
        batch = [(*seen[int(rng.integers(len(seen)))], int(rng.integers(39))) for _ in range(4)]
        rows = model.log_probs(batch)
        for prefix, row in zip(batch, rows, strict=True):
            with torch.no_grad():
                whole = torch.log_softmax(raw(torch.tensor([[1, 2, 3, *prefix]])).logits[0, -1].double(), dim=0)
            assert np.abs(row - whole.numpy()).max() < 1e-4
        seen += batch
    total = model.raw_log_probs([(5, 6, 39), (7, 39)])
    assert total[1] == pytest.approx(model.log_probs([()])[0][7] + model.log_probs([(7,)])[0][39], abs=1e-4)


def test_the_embedded_model_under_a_schema_and_a_pattern():
    pytest.importorskip("transformers")
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
              "required": ["name", "age"], "additionalProperties": False}  # fmt: skip
    text = "Extract the person: Maria Lopez is 34 years old and lives in Paris."
    generator = Generator("default", schema)
    trie = generator.trie(text, max_tokens=40)
    exact = generator.sample(trie, "cars", 30, seed=1)
    assert exact.failure is None
    assert all(set(g.parsed) == {"name", "age"} for g in exact.generations)
    ahead = generator.sample(trie, "lookahead", 30, seed=2)
    # both estimate one Z, and their certificates, which an estimate may miss by its error, agree on it
    assert ahead.samples.log_z == pytest.approx(exact.samples.log_z, abs=0.25)
    assert exact.samples.bracket[0] <= ahead.samples.bracket[1] <= exact.samples.bracket[1] + 1e-12
    assert ahead.samples.bracket[0] <= exact.samples.bracket[1]
    digits = Generator(generator.model.model, constrain.regex("(19|20)[0-9]{2}-[01][0-9]"), generator.tokenizer)
    for name in ("masked", "smc", "lookahead"):
        found = digits.sample("When?", name, 12, max_tokens=12, seed=3)
        assert all(len(t) == 7 for t in found.texts)
        assert "exact length look-ahead" in found.samples.support


def test_small_transformers_and_schemas_have_their_exact_law():
    suite, target = suites.t3()
    assert len(suite.texts) == 1960
    trie = suites.fresh(target)
    exact = SAMPLERS["cars"](trie, 60, np.random.default_rng(0), max_tries=200_000, batch=8)
    ahead = SAMPLERS["lookahead"](suites.fresh(target), 150, np.random.default_rng(1))
    assert abs(math.expm1(ahead.log_z - math.log(suite.z))) < 4 * ahead.stderr
    assert exact.bracket[0] - 1e-9 <= math.log(suite.z) <= exact.bracket[1] + 1e-9
    masked = SAMPLERS["masked"](suites.fresh(target), 400, np.random.default_rng(2))
    assert truth.chi_square(suite.masked, masked.sequences) < 3.3
    if exact.failure:  # rejection may not get there: it says so, and what it has is exact
        assert f"{len(exact)} of 60" in exact.failure


def test_plots_are_whole_documents(tmp_path):
    generator = Generator(bigram(5, 3), LANGUAGE, VOCABULARY)
    for name, options in (("smc", {"threshold": 0.9}), ("distinct", {}), ("lookahead", {}), ("cars", {})):
        found = generator.sample(PROMPT, name, 8, max_tokens=4, **options)
        found.plot(tmp_path / "run.html")
        page = (tmp_path / "run.html").read_text(encoding="utf-8")
        pictures = page.split("<svg")[1:]
        assert len(pictures) >= 2
        for picture in pictures:
            ElementTree.fromstring("<svg" + picture.split("</svg>")[0] + "</svg>")
        assert name in page
        assert ("ancestors" in page) == (name == "smc")
    empty = generator.sample(PROMPT, "rejection", 3, max_tries=5, max_tokens=4, check=lambda text, ended: not ended)
    assert "0 of 3 samples accepted" in empty.html()


def test_the_command_line_draws_samples(tmp_path, capsys):
    pytest.importorskip("transformers")
    arguments = ["generate", "--regex", "(yes|no)", "--prompt", "Is it?", "--max-tokens", "8", "--sampler"]
    assert cli.main([*arguments, "lookahead", "--samples", "5", "--plot", str(tmp_path / "p.html")]) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert {r["text"] for r in rows} <= {"yes", "no"}
    assert sum(r["weight"] for r in rows) == pytest.approx(1)
    assert "log Z" in err
    assert (tmp_path / "p.html").exists()
    assert cli.main([*arguments, "other"]) == 2


def test_the_examples_of_the_documentation_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("transformers")
    text = (Path(__file__).parents[2] / "docs" / "sampling.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 3
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "examples"}
    for example in examples:
        exec(compile(example, "docs/sampling.md", "exec", dont_inherit=True), names)
    assert "log Z" in capsys.readouterr().out
    assert (tmp_path / "run.html").exists()
    assert names["top"].covered > 0.9
    assert names["liked"].samples.log_z < names["found"].samples.log_z - 2  # every text has 30 bytes or more
    assert names["both"].failure is None


def test_targets_state_their_support():
    suite, target = suites.t2("a")
    assert "exact length look-ahead" in target.support
    assert "at most 8 tokens" in target.support
    checked = Target(target.model, target.automaton, 8, lambda tokens, ended: True, look_ahead=False)
    assert "pass the check" in checked.support
    assert "rejected at the limit" in checked.support
    assert suite.z > 0
