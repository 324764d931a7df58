"""`constrain.generate` with types, the embedded model, streaming, and the command line."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import subprocess
import sys
import typing
from pathlib import Path
from typing import Literal

import pydantic
import pytest
import typing_extensions
from typing_extensions import TypedDict

import constrain
from constrain import cli, models
from constrain.generator import Generator
from constrain.types import target_of

ROOT = Path(__file__).resolve().parents[2]


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Person(pydantic.BaseModel):
    name: str
    age: int


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Movie(TypedDict):
    title: str
    year: int


def add(a: int, b: int) -> int:
    return a + b


@pytest.fixture(scope="module")
def loaded():
    return models.load("default")


PROMPT = "Extract the data: Maria Lopez is the name, aged 34, the city is Paris."


def test_the_embedded_model_is_small_and_answers():
    assert sum(p.stat().st_size for p in models.DEFAULT.iterdir()) < 20_000_000
    person = constrain.generate("default", PROMPT, Person, temperature=0.0)
    assert person.parsed == Person(name="Maria Lopez", age=34)
    assert person.log_prob < 0
    assert all(m <= 0 for m in person.log_mass)


@pytest.mark.parametrize(
    ("wanted", "check"),
    [
        (Person, lambda x: isinstance(x, Person)),
        (Point, lambda x: isinstance(x, Point)),
        (Movie, lambda x: set(x) == {"title", "year"}),
        (Colour, lambda x: isinstance(x, Colour)),
        (Literal["yes", "no"], lambda x: x in ("yes", "no")),
        (int | None, lambda x: x is None or isinstance(x, int)),
        (list[bool], lambda x: isinstance(x, list)),
        (tuple[int, str], lambda x: isinstance(x, tuple)),
        (datetime.date, lambda x: isinstance(x, datetime.date)),
        (dict[str, int], lambda x: isinstance(x, dict)),
        (add, lambda x: isinstance(x, int)),
        ({"type": "object", "required": ["a"], "properties": {"a": {"enum": [1, 2]}}}, lambda x: x["a"] in (1, 2)),
        (["red", "green"], lambda x: x in ("red", "green")),
        (constrain.regex("[0-9]{3}-[0-9]{4}"), lambda x: len(x) == 8),
    ],
)
def test_types(wanted, check, loaded):
    model, tokenizer = loaded
    for seed in (1, 2):
        found = Generator(model, wanted, tokenizer)("Say something.", max_tokens=60, seed=seed)
        assert found.finish_reason == "stop"
        assert check(found.parsed), found.text


def test_a_rule_that_no_schema_expresses_fails_in_parsed_and_keeps_the_text(loaded):
    class Even(pydantic.BaseModel):
        n: int

        @pydantic.field_validator("n")
        @classmethod
        def never(cls, v: int) -> int:
            raise ValueError("never valid")

    found = Generator(loaded[0], Even, loaded[1])("x", max_tokens=30)
    assert json.loads(found.text)
    with pytest.raises(pydantic.ValidationError):
        _ = found.parsed


def test_streams_give_the_text_and_partial_objects(loaded):
    generator = Generator(loaded[0], Person, loaded[1])
    pieces = list(generator.stream(PROMPT, temperature=0.0))
    whole = generator(PROMPT, temperature=0.0)
    assert "".join(p.text for p in pieces) == whole.text
    assert pieces[-1].partial == whole.parsed
    seen = [p.data for p in pieces if p.data is not None]
    assert seen[-1] == json.loads(whole.text)
    assert {"name": "Maria Lopez"} in seen  # before the model has the fields that it requires
    assert all(p.partial is None for p in pieces if p.data == {"name": "Maria Lopez"})
    with pytest.raises(constrain.BudgetError):
        list(generator.stream(PROMPT, max_tokens=2))


def test_batches_messages_and_seeds(loaded):
    generator = Generator(loaded[0], Person, loaded[1])
    both = generator.batch([PROMPT, [{"role": "user", "content": PROMPT}]], temperature=0.0)
    assert both[0].text == both[1].text
    assert generator(PROMPT, seed=5).text == generator(PROMPT, seed=5).text


def test_unknown_samplers_are_refused_by_name(loaded):
    with pytest.raises(constrain.UnsupportedFeature, match="sampler"):
        constrain.generate(loaded[0], "x", int, loaded[1], sampler="other")


def test_wrong_types_are_named_errors(loaded):
    model, tokenizer = loaded
    with pytest.raises(constrain.UnsupportedFeature, match="no JSON schema"):
        Generator(model, object(), tokenizer)
    with pytest.raises(TypeError, match="a prompt is a text"):
        Generator(model, ["a", "b"], tokenizer)(5)
    assert Generator(model, ["a", "b"], tokenizer).batch([]) == []
    for wrong in (
        lambda: constrain.choice("abc"),
        lambda: constrain.choice(None),
        lambda: constrain.compile("a", None),
    ):
        with pytest.raises(constrain.GrammarError):
            wrong()


def test_typed_dicts_of_the_standard_library():
    wanted = typing.TypedDict("Wanted", {"a": int, "b": typing_extensions.NotRequired[str]})  # noqa: UP013
    target = target_of(wanted)
    assert target.schema["required"] == ["a"]
    assert target.parse is not None
    assert target.parse('{"a": 1}') == {"a": 1}


def test_json_text_is_a_schema():
    target = target_of('{"type": "number", "multipleOf": 0.1}')
    assert target.parse is not None
    assert target.parse("0.3") == 0.3
    assert target_of(b'{"enum": [1]}').schema == {"enum": [1]}


def test_targets_keep_the_declared_order():
    assert target_of(Person).grammar.options["order"] == "schema"


# ---------------------------------------------------------------------- command line
def run(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "constrain", *args], input=stdin, capture_output=True, text=True, cwd=ROOT
    )


def test_generate_and_batches_with_resume(tmp_path, capsys):
    schema = str(ROOT / "docs" / "examples" / "person.json")
    assert cli.main(["generate", "--schema", schema, "--prompt", PROMPT]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "Maria Lopez", "age": 34, "city": "Paris"}
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"prompt": "Ada is the name, aged 5, from the city of Rome.", "key": "k"}\nnonsense\n')
    args = ["generate", "--schema", schema, "--input", str(source), "--output", str(out)]
    assert cli.main(args) == 1
    first = [json.loads(line) for line in out.read_text().splitlines()]
    assert [r["key"] for r in first] == ["k", "1"]
    assert first[0]["error"] is None
    assert first[1]["error"]
    source.write_text('{"prompt": "x", "key": "k"}\n')
    assert cli.main(args) == 0
    assert len(out.read_text().splitlines()) == 2


def test_rows_that_cannot_be_done_fill_the_error_column_and_keep_their_seeds(tmp_path):
    schema = str(ROOT / "docs" / "examples" / "person.json")
    source, out, again = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "again.jsonl"
    rows = [b'{"prompt": 5}', b'\xff{"prompt": "x"}', b'{"prompt": "Ada lives in Rome."}', b"[" * 100_000, b'{"no": 1}']
    source.write_bytes(b"\n".join(rows))
    args = ["generate", "--schema", schema, "--temperature", "1", "--input", str(source), "--output"]
    assert cli.main([*args, str(out)]) == 1
    first = {r["key"]: r for r in map(json.loads, out.read_text().splitlines())}
    assert [k for k, r in first.items() if r["error"] is None] == ["2"]
    assert "a prompt is a text" in first["0"]["error"]
    source.write_bytes(b"\n\n" + rows[2])
    assert cli.main([*args, str(again)]) == 0
    assert json.loads(again.read_text())["text"] == first["2"]["text"]


@pytest.mark.parametrize(
    ("args", "stdin", "says"),
    [
        (["check", "--schema", "-"], b"\xff\xfe", "not valid UTF-8"),
        (["check", "--type", "json:JSONDecodeError"], b"", "no JSON schema"),
        (["check", "--type", "no_module:X"], b"", "no type at"),
        (["generate", "--schema", "-"], b"{}", "standard input cannot be both"),
        (["explain", "--schema", "-"], b"{}", "standard input cannot be both"),
        (["generate", "--choice", "a,b", "--prompt", "x", "-n", "0"], b"", "at least 1"),
        (["generate", "--choice", "a,b", "--prompt", "x", "--temperature", "-1"], b"", "from 0 on"),
        (["check", "--lark", "-"], b"start: (", "line 1"),
    ],
)
def test_wrong_usage_is_one_clear_message_and_exit_code_2(args, stdin, says):
    done = subprocess.run([sys.executable, "-m", "constrain", *args], input=stdin, capture_output=True, cwd=ROOT)
    assert done.returncode == 2
    said = done.stderr.decode()
    assert says in said
    assert "Traceback" not in said


def test_check_and_explain(tmp_path, capsys):
    schema = tmp_path / "s.json"
    schema.write_text('{"type": "object", "properties": {"a": {"type": "integer"}}, "title": "t"}')
    assert cli.main(["check", "--schema", str(schema), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {r["keyword"]: r["status"] for r in report["keywords"]}["title"] == "annotation"
    assert cli.main(["check", "--schema", str(schema), "--json", "--subset", "openai"]) == 2
    refused = json.loads(capsys.readouterr().out)["refused"]
    assert refused["error"] == "UnsupportedFeature"
    assert refused["path"] == "#"
    text = tmp_path / "t.json"
    text.write_text('{"a": "x"}\n')
    assert cli.main(["explain", "--schema", str(schema), str(text)]) == 1
    said = capsys.readouterr().out
    assert "column 7" in said
    assert "#/a" in said
    text.write_text('{"a": 12}')
    assert cli.main(["explain", "--schema", str(schema), str(text)]) == 0
    assert cli.main(["check", "--regex", "("]) == 2
    assert cli.main(["check", "--schema", str(tmp_path / "none.json")]) == 2


def test_the_module_runs_as_a_program():
    done = run("explain", "--regex", "[0-9]{3}", stdin="12x")
    assert done.returncode == 1
    assert "byte 2" in done.stdout


def test_import_is_quick_and_needs_no_torch():
    code = "import sys, constrain; constrain.regex('a'); assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
