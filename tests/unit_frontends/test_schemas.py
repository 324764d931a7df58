"""Schemas: messages with paths, hostile input, options, and the report."""

from __future__ import annotations

import itertools
import json

import pytest
from oracles import BYTES

import constrain


def compiled(schema, **options):
    return constrain.compile(constrain.json_schema(schema, **options), BYTES)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"properties": {"a": {"type": "strin"}}}, "#/properties/a/type"),
        ({"minLength": "x"}, "#/minLength"),
        ({"items": 3}, "#/items"),
        ({"required": ["a", 1]}, "#/required"),
        ({"pattern": "("}, "#/pattern"),
        ({"$ref": "#/nowhere"}, "#/$ref"),
        ({"$ref": "http://example.com/x"}, "#/$ref"),
        ({"multipleOf": 0}, "#/multipleOf"),
        ({"anyOf": []}, "#/anyOf"),
        ({"minimum": float("nan")}, ""),
    ],
)
def test_malformed_schemas_name_the_place(schema, path):
    with pytest.raises(constrain.GrammarError) as e:
        compiled(schema)
    assert path in str(e.value)


@pytest.mark.parametrize("schema", [False, {"type": "string", "minLength": 2, "maxLength": 1}, {"enum": []}, {"not": {}},
    {"type": "integer", "minimum": 1, "exclusiveMaximum": 2, "multipleOf": 2},
    {"properties": {"a": {"$ref": "#"}}, "required": ["a"], "type": "object"},
    {"minProperties": 3, "propertyNames": {"enum": ["a", "b"]}, "type": "object"}])  # fmt: skip
def test_unsatisfiable_schemas_are_refused(schema):
    with pytest.raises(constrain.EmptyLanguage):
        compiled(schema)


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"not": {"$ref": "#"}}, {"allOf": [{"$ref": "#"}]}])
def test_ill_founded_references_are_errors(schema):
    with pytest.raises(constrain.GrammarError):
        compiled(schema)


HOSTILE = {
    "deep text": '{"items":' * 100_000 + "{}" + "}" * 100_000,
    "deep object": None,
    "not json": "{",
    "invalid utf-8": b"\xff\xfe{}",
    "nul": '{"const": "\\u0000"}',
    "huge enum": json.dumps({"enum": [f"value {i}" for i in range(20_000)]}),
    "wide object": json.dumps({"properties": {f"p{i}": {"type": "integer"} for i in range(5_000)}}),
    "ten megabytes": json.dumps({"description": "x" * 10_000_000}),
    "too large": json.dumps({"description": "x" * 17_000_000}),
    "long counts": {"type": "string", "minLength": 10**9, "maxLength": 10**9 + 1},
    "many alternatives": {"oneOf": [{"properties": {"a": {"minimum": i}}} for i in range(12)]},
    "wrong type": 3,
    "cyclic object": {},
    "cyclic": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "lone surrogate": {"const": "\ud800"},
    "big number": {"minimum": 10**400},
    "many digits": '{"minimum": ' + "9" * 100_000 + "}",
    "big exponent": '{"minimum": 1e999999999}',
    "many numbers": {"enum": list(range(30_000))},
    "one long text": {"enum": ["x" * 1_000_000]},
    "no number": {"minimum": float("nan")},
    "a set": {"enum": {1, 2}},
    "bytes in a value": {"const": b"x"},
    "an unresolvable reference": {"$ref": "file:///etc/hosts"},
    "references that double": {
        "$defs": {
            **{
                f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"items": {"$ref": f"#/$defs/d{i + 1}"}}]}
                for i in range(30)
            },
            "d30": {"type": "null"},
        },
        "$ref": "#/$defs/d0",
    },
    "alternatives that multiply": {
        "allOf": [{"oneOf": [{"required": [f"a{i}"]}, {"required": [f"b{i}"]}]} for i in range(40)]
    },
    "many different items": {"type": "array", "uniqueItems": True, "minItems": 10**6},
    "a long chain of references": {
        "$defs": {**{f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(3000)}, "d3000": True},
        "$ref": "#/$defs/d0",
    },
    "conditions in a row": {
        "allOf": [{"if": {"required": [f"k{i}"]}, "then": {"properties": {f"p{i}": True}}} for i in range(30)],
        "unevaluatedProperties": False,
    },
}
TIGHT = constrain.Limits(compile_work=2_000_000, mask_work=2_000_000)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_schemas_end_in_a_result_or_a_clear_error(name):
    schema = HOSTILE[name]
    if name == "deep object":
        schema = {}
        for _ in range(100_000):
            schema = {"not": schema}
    if name == "cyclic object":
        schema["items"] = schema
    try:
        automaton = constrain.compile(constrain.json_schema(schema), BYTES, TIGHT)
        mask = automaton.matcher().mask()
    except constrain.ConstrainError as e:
        error = e
    else:
        assert mask.any()
        return
    assert not isinstance(error, constrain.LimitExceeded) or error.given > error.limit
    assert str(error)


def test_exact_numbers():
    a = compiled(
        '{"type": "number", "multipleOf": 0.01, "minimum": 19.99, "maximum": 123456789012345678901234567890.01}'
    )
    for text, verdict in (("19.99", True), ("19.98", False), ("20.001", False), ("123456789012345678901234567890.01", True),
                          ("123456789012345678901234567890.02", False), ("1999e-2", True), ("0.1999E+2", True)):  # fmt: skip
        assert a.accepts(text) is verdict, text


@pytest.mark.parametrize(("whitespace", "good", "bad"), [
    ("compact", ['{"a":[1,2]}'], ['{"a": 1}', " {}"]),
    ("bounded", ['{"a": [1,\n  2]}', " {}", '{\r\n\t"a":1}'], ["  {}", "{\n\n}", "{} "]),
    ("pretty", ['{\n  "a": [\n    1,\n    2\n  ]\n}', "{}", '{\n  "a": []\n}'], ['{"a":1}', "{ }"]),
    ("free", ["{ \n\n }", ' \n{"a" :1}'], []),
    (1, ['{ "a" : 1 }'], ['{  "a":1}']),
])  # fmt: skip
def test_whitespace(whitespace, good, bad):
    a = compiled({"type": "object"}, whitespace=whitespace)
    assert all(a.accepts(t) for t in good)
    assert not any(a.accepts(t) for t in bad)


def test_order_and_number_spellings():
    schema = {"properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["b"], "type": "object"}
    ordered = compiled(schema, order="schema", numbers="plain")
    assert ordered.accepts('{"a":1,"b":2,"z":0}')
    assert ordered.accepts('{"b":2}')
    for text in ('{"b":1,"a":2}', '{"z":0,"b":1}', '{"b":1e2}', '{"b":1.0}', '{"b":-0}'):
        assert not ordered.accepts(text), text
    assert compiled(schema).accepts('{"b":1e2,"z":[],"a":-0.0}')


def test_keys_are_compared_decoded():
    a = compiled({"properties": {"ab": {"type": "integer"}}, "type": "object"})
    assert a.accepts('{"\\u0061b":1}')
    assert not a.accepts('{"\\u0061b":""}')
    assert not a.accepts('{"ab":1,"a\\u0062":2}')


def test_the_report_has_a_row_for_each_keyword():
    schema = {"title": "t", "properties": {"a": {"format": "date"}, "b": {"format": "nonsense"}}}
    rows = {(r.path, r.keyword): r for r in compiled(schema).report.rows}
    assert rows["#", "title"].status == "annotation"
    assert rows["#/properties/a", "format"].status == "enforced"
    assert "unknown" in rows["#/properties/b", "format"].note


def test_scaling_has_no_cliffs():
    many = {f"p{i}": {"type": "integer"} for i in range(500)}
    a = compiled({"type": "object", "properties": many, "required": list(many)})
    assert a.accepts(json.dumps(dict.fromkeys(reversed(list(many)), 1)))
    assert not a.accepts(json.dumps(dict.fromkeys(list(many)[1:], 1)))
    a = compiled({"type": "string", "maxLength": 100_000, "minLength": 10})
    assert a.accepts('"' + "x" * 100_000 + '"')
    assert not a.accepts('"' + "x" * 100_001 + '"')
    a = compiled({"type": "array", "maxItems": 10_000})
    assert a.accepts("[" + "1," * 9_999 + "1]")
    assert not a.accepts("[" + "1," * 10_000 + "1]")


def test_nullable_is_an_option():
    schema = {"type": "string", "nullable": True}
    assert not compiled(schema).accepts("null")
    assert compiled(schema, nullable=True).accepts("null")
    assert not compiled({"type": "string", "nullable": False}, nullable=True).accepts("null")
    listed = compiled({"type": "string", "nullable": True, "enum": ["a"]}, nullable=True)
    assert listed.accepts('"a"')
    assert not listed.accepts("null")  # enum says which values there are
    row = next(r for r in compiled(schema, nullable=True).report.rows if r.keyword == "nullable")
    assert row.status == "enforced"
    assert next(r for r in compiled(schema).report.rows if r.keyword == "nullable").status == "annotation"


STRICT = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}},
    "required": ["a", "b"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("change", "path", "rule"),
    [
        ({"additionalProperties": True}, "#", "additionalProperties must be false"),
        ({"required": ["a"]}, "#", "'b' is not"),
        ({"type": "array", "items": {}}, "#", "root must be an object"),
        ({"anyOf": [{"type": "object"}]}, "#", "root must be an object"),
        ({"properties": {"a": {"oneOf": [{}]}}, "required": ["a"]}, "#/properties/a/oneOf", "oneOf is not supported"),
        ({"properties": {"a": {"minLength": 1}}, "required": ["a"]}, "#/properties/a/minLength", "minLength"),
        ({"properties": {"a": {"format": "uri"}}, "required": ["a"]}, "#/properties/a/format", "'uri'"),
        ({"$defs": {"x": {"type": "object"}}}, "#/$defs/x", "additionalProperties"),
        ({"properties": {"a": {"enum": list(range(1001))}}, "required": ["a"]}, "#", "1001 enum values"),
        ({"properties": {"a": {"enum": ["x" * 70 + str(i) for i in range(251)]}}, "required": ["a"]}, "#/properties/a", "15000"),
    ],
)  # fmt: skip
def test_the_strict_subset_of_openai(change, path, rule):
    assert compiled(STRICT, subset="openai").accepts('{"a":1,"b":null}')
    with pytest.raises(constrain.UnsupportedFeature, match=rule) as e:
        compiled({**STRICT, **change}, subset="openai")
    assert e.value.path == path


def test_eleven_levels_are_one_too_many_for_openai():
    schema = {"type": "string"}
    for levels in range(1, 12):
        schema = {**STRICT, "properties": {"a": schema}, "required": ["a"]}
        if levels <= 10:
            compiled(schema, subset="openai")
    with pytest.raises(constrain.UnsupportedFeature, match="11 levels"):
        compiled(schema, subset="openai")


@pytest.mark.parametrize(("schema", "path"), [
    ({"type": "object", "properties": {"a": {"type": "array", "items": {"enum": []}, "minItems": 1}}, "required": ["a"]},
     "#/properties/a/items"),
    ({"allOf": [{}, {"type": "integer", "minimum": 2, "maximum": 1}]}, "#/allOf/1"),
    ({"type": "integer", "allOf": [{"minimum": 2}, {"maximum": 1}]}, "#"),
    ({"$defs": {"x/y": {"not": {}}}, "type": "object", "properties": {"~": {"$ref": "#/$defs/x~1y"}}, "required": ["~"]},
     "#/properties/~0"),
])  # fmt: skip
def test_unsatisfiable_schemas_name_the_part_without_a_witness(schema, path):
    with pytest.raises(constrain.EmptyLanguage) as e:
        compiled(schema)
    assert e.value.path == path


def test_integers_of_draft_4_are_a_matter_of_spelling():
    """Draft 4, section 3.5: a number without a fraction or an exponent. The oracle of the regressions reads values."""
    others = compiled({"minimum": 0, "exclusiveMinimum": True, "type": "number", "not": {"type": "integer"}}, draft="4")
    assert all(others.accepts(t) for t in ("2.01", "0.5", "25e-1", "10.25", "2.0", "2e0"))
    assert not any(others.accepts(t) for t in ("2", "0", "0.0", "-0.5", "10"))
    one = compiled({"oneOf": [{"minimum": 1.25, "maximum": 2.25}, {"type": "integer"}], "type": "number"}, draft="4")
    assert all(one.accepts(t) for t in ("3", "1.5", "2.25", "-4", "2.0"))
    assert not any(one.accepts(t) for t in ("2", "2.5", "1.24", "3.25", "3.0"))


def branch(name):
    return {"properties": {name: {}}, "required": [name]}


OWN = {"properties": {"b": {}, "a": {}}, "required": ["a", "b"]}


@pytest.mark.parametrize(
    ("parts", "order"),
    [
        ({"allOf": [branch("a"), branch("b")]}, "ab"),
        ({"allOf": [branch("b"), branch("a")]}, "ba"),
        ({**OWN, "allOf": [branch("c")]}, "bac"),
        ({"allOf": [branch("c")], **OWN}, "cba"),
    ],
    ids=str,
)
def test_order_of_the_source_over_several_branches(parts, order):
    """Whatever other schemas the vocabulary has seen."""
    for earlier in ({"properties": {n: {} for n in "cab"}}, {"properties": {n: {} for n in "bca"}}, parts):
        constrain.compile(constrain.json_schema(earlier, order="schema"), BYTES)
        schema = {"type": "object", **parts}
        automaton = constrain.compile(constrain.json_schema(schema, order="schema", whitespace="compact"), BYTES)
        taken = [
            "".join(names)
            for names in itertools.permutations(order)
            if automaton.accepts("{" + ",".join(f'"{n}":1' for n in names) + "}")
        ]
        assert taken == [order]
