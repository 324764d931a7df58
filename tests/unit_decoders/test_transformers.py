"""The transformers adapter and the logits processor, on a tiny random Llama: every mode of `generate`."""

from __future__ import annotations

import re

import pytest
import torch

import constrain
from constrain.adapters.transformers import ConstrainLogitsProcessor, TransformersModel

transformers = pytest.importorskip("transformers")
PATTERN = "(true|false){3}-[0-9]{4}x"
END = 256


@pytest.fixture(scope="module")
def vocabulary():
    return constrain.Vocabulary([*(bytes([b]) for b in range(256)), None, b"true", b"fa", b"lse-", b"12"], [END])


@pytest.fixture(scope="module")
def model(vocabulary):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, eos_token_id=END, bos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


def test_the_session_equals_a_plain_forward_pass(model):
    prompts = [[1, 2, 3], [4, 5, 6, 7, 8]]
    session = TransformersModel(model).start(prompts)
    texts = [list(p) for p in prompts]

    def check():
        for i, t in enumerate(texts):
            with torch.no_grad():
                expected = model(torch.tensor([t])).logits[0, -1]
            assert torch.allclose(session.logits[i], expected, atol=1e-4)

    check()
    for spans in ([[9], [10]], [[11, 12, 13], [14]], [[], [15, 16]], [[17], []]):
        steps = session.extend(spans)
        for t, s, out in zip(texts, spans, steps, strict=True):
            t.extend(s)
            assert len(out) == len(s)
        check()
    session.select([1, 1, 0])
    texts = [list(texts[1]), list(texts[1]), list(texts[0])]
    session.extend([[1], [2], [3]])
    for t, x in zip(texts, (1, 2, 3), strict=True):
        t.append(x)
    check()


MODES = {
    "greedy": {"do_sample": False},
    "sampling": {"do_sample": True},
    "three samples": {"do_sample": True, "num_return_sequences": 3},
    "beams": {"num_beams": 3, "do_sample": False},
    "beam samples": {"num_beams": 3, "do_sample": True, "num_return_sequences": 2},
    "prompt lookup": {"prompt_lookup_num_tokens": 3, "do_sample": False},
    "assisted": {"do_sample": False},
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_generate_stays_in_the_language_and_the_processor_is_reusable(mode, model, vocabulary):
    processor = ConstrainLogitsProcessor(constrain.compile(constrain.regex(PATTERN), vocabulary))
    options = dict(MODES[mode])
    if mode == "assisted":
        torch.manual_seed(1)
        options["assistant_model"] = transformers.LlamaForCausalLM(model.config).eval()
    for prompt in ([1, 2, 3], [4, 5], [4, 5]):
        torch.manual_seed(len(prompt))
        ids = torch.tensor([prompt])
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, logits_processor=[processor], pad_token_id=0,
            **options,
        )  # fmt: skip
        for row in out[:, len(prompt) :].tolist():
            text = vocabulary.decode([t for t in row[: row.index(END)] if t != END]).decode()
            assert re.fullmatch(PATTERN, text)


def test_assisted_and_plain_greedy_agree(model, vocabulary):
    a = constrain.compile(constrain.regex(PATTERN), vocabulary)
    ids = torch.tensor([[1, 2, 3]])
    common = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "max_new_tokens": 40,
        "do_sample": False,
        "pad_token_id": 0,
    }
    plain = model.generate(**common, logits_processor=[ConstrainLogitsProcessor(a)])
    lookup = model.generate(**common, logits_processor=[ConstrainLogitsProcessor(a)], prompt_lookup_num_tokens=3)
    assert plain.tolist() == lookup.tolist()


def test_a_batch_with_left_padding_finished_rows_and_a_grammar_for_each_prompt(model, vocabulary):
    automata = [constrain.compile(constrain.regex(p), vocabulary) for p in ("a{2}", "[0-9]{9}")]
    ids = torch.tensor([[0, 0, 1], [2, 3, 4]])
    out = model.generate(
        input_ids=ids, attention_mask=(ids > 0).long(), max_new_tokens=20, do_sample=False,
        logits_processor=[ConstrainLogitsProcessor(automata)], pad_token_id=0,
    )  # fmt: skip
    texts = [vocabulary.decode([t for t in row if 0 < t < END]).decode() for row in out[:, 3:].tolist()]
    assert texts[0] == "aa"
    assert re.fullmatch("[0-9]{9}", texts[1])


def test_generate_matches_the_processor_under_greedy(model, vocabulary):
    grammar = constrain.regex("(cat|dog){1,3}[0-9]")
    ours = constrain.generate(model, "hi", grammar, vocabulary, temperature=0.0)
    ids = torch.tensor([list(b"hi")])
    a = constrain.compile(grammar, vocabulary)
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False, pad_token_id=0,
        logits_processor=[ConstrainLogitsProcessor(a)],
    )  # fmt: skip
    row = out[0, 2:].tolist()
    assert ours.text == vocabulary.decode(row[: row.index(END)] if END in row else row).decode()
