"""Formats of the standard: host names against an independent IDNA 2008, patterns against their bounds."""

from __future__ import annotations

import json
import random
import unicodedata

import pytest
from oracles import BYTES

import constrain
from grammars.json_schema import format_idn

idna = pytest.importorskip("idna")


def automaton(name, **options):
    return constrain.compile(constrain.json_schema({"type": "string", "format": name}, **options), BYTES)


def accepted(automaton, text: str) -> bool:
    return automaton.accepts(json.dumps(text, ensure_ascii=False))


# ---------------------------------------------------------------------- internationalised host names
def conforms(name: str) -> bool:
    """IDNA 2008 on names without A-labels; every label by itself, and the Bidi rule over all of them."""
    labels = name
    for s in "\u3002\uff0e\uff61":
        labels = labels.replace(s, ".")
    parts = labels.split(".")
    bidi = any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in name)
    try:
        for label in parts:
            if label.isascii():
                idna.check_hyphen_ok(label)
                if not label or len(label) > 63 or not label.replace("-", "").isalnum():
                    return False
            else:
                idna.check_label(label)
                if len(idna.alabel(label)) > 63:
                    return False
            if bidi:
                idna.check_bidi(label, check_ltr=True)
    except idna.IDNAError:
        return False
    return len(labels) <= 253


def test_the_characters_of_labels_are_those_of_an_independent_table():
    from idna import idnadata

    classes = idnadata.codepoint_classes
    known = {p for kind in ("PVALID", "CONTEXTJ", "CONTEXTO") for pair in classes[kind] for p in range(*_span(pair))}
    assigned = {p for p in range(0x110000) if unicodedata.category(chr(p)) != "Cn"}
    assert {ord(c) for c in format_idn.label_characters()} == known & assigned


def _span(pair: int) -> tuple[int, int]:
    return pair >> 32, pair & 0xFFFFFFFF


ALPHABETS = [
    "ab-l\u00b7\u0301e",
    "\u0375\u03b1\u03b2a",
    "\u05d0\u05f3\u05f4\u05d1a0",
    "\u30fb\u3041\u30a1\u4e08a",
    "\u0628\u064a\u0660\u06f0\u200c0\u064b",
    "\u0915\u094d\u200d\u200c\u0937",
    "a\u0323\u0307\u0301\u00e9\u1e05",
    "\u05d0a0-\u0661\u05b4",
    "\u0627\u0628\u200c\u0629\u0640\u0670",
    "A\u00df\u03c2\u0f0b\u3007b",
]


@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_names_are_judged_as_an_independent_idna_judges_them(alphabet):
    found = automaton("idn-hostname")
    rng = random.Random(alphabet)
    seen = {True: 0, False: 0}
    for _ in range(250):
        name = ".".join("".join(rng.choices(alphabet, k=rng.randint(1, 4))) for _ in range(rng.choice([1, 1, 2])))
        want = conforms(name)
        assert accepted(found, name) == want, ascii(name)
        seen[want] += 1
    assert min(seen.values()) >= 5


def test_every_prefix_of_a_name_can_be_finished():
    found = automaton("idn-hostname")
    for name in (
        "\u0628\u064a\u200c\u0628\u064a",
        "\u05d0\u05f3\u05d1.\u05d0",
        "l\u00b7l",
        "\u30fb\u3041",
        "xn--9n2bp8q",
    ):
        matcher = found.matcher()
        for b in json.dumps(name, ensure_ascii=False).encode():
            assert found.accepts(json.dumps(name, ensure_ascii=False))
            assert matcher.advance(b)
        assert matcher.accepting


def test_hyphens_of_host_names_before_and_since_draft_7():
    for draft, verdict in (("4", True), ("6", True), ("7", False), ("2020-12", False)):
        assert accepted(automaton("hostname", draft=draft), "ab--cd.example") == verdict


# ---------------------------------------------------------------------- patterns
GOOD = [
    r"([abc])+\s+$", "a{2,3}", "x{2}y{3,}", "(?:a|b)*?", "(?=x)y", "(?<=a+)b", "[]", "[^]", r"\cA", "(?<name>x)", "[a-]",
    "[-a]", "[+--]", r"[^\]\\]", r"\u{1F600}", r"\uD83D\uDE00", r"\p{L}\P{Script=Greek}", r"(a)(b)\2\1", r"[\x00-\x1f]",
    r"[\u0041-\u005A]", "[\u0430-\u044f]", "[\u4e00-\u9fa5]", "[\u0430-\u9fa5]", r"[\0-\x20]", r"\0", r"[\d\w.]",
    "(((((a)))))", "a|b||", "()", r"[\b]", "a+?", "x{99,100}", "[a-b-c-d]", "", "[$-\u00ff]", r"[\0a]", r"((?:a)(b))\2",
]  # fmt: skip
BAD = [
    "a**", "{", "(", ")", "[", "]", "[z-a]", "[\u044f-\u0430]", "[\u9fa5-\u4e00]", r"[\x20-\x1f]", r"[\u00ff-\u00fe]",
    r"(a)\2", r"\8", r"\a", r"\Z", "(?P<n>x)", "(?#c)", "(?i)", r"[a-\d]", r"[\d-a]", "(?=a)*", "^*", "x{2,1}", "x{100,99}",
    "x{a}", r"\p{Foo}", r"\p", r"\x1", r"\u12", r"\u{110000}", r"\c1", "(?<n>a)(?<n>b)", "(?<1>a)", r"\k<n>", r"\00", r"[\01]",
    r"\-", "[a--]", "(?)", "(?<=a)+", r"(a)\10",
]  # fmt: skip


def test_patterns():
    found = automaton("regex")
    assert not [p for p in GOOD if not accepted(found, p)]
    assert not [p for p in BAD if accepted(found, p)]


def test_reports_say_what_a_format_leaves_out():
    schema = {"properties": {n: {"format": n} for n in ("regex", "idn-hostname", "hostname", "date", "colour")}}
    rows = constrain.compile(constrain.json_schema(schema), BYTES).report.rows
    notes = {r.path.rpartition("/")[2]: (r.status, r.note) for r in rows if r.keyword == "format"}
    assert notes["date"] == ("enforced", "")
    assert notes["colour"] == ("annotation", "unknown format 'colour'")
    assert all(
        status == "enforced" and note for name, (status, note) in notes.items() if name not in ("date", "colour")
    )
