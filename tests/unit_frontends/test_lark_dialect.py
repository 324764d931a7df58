"""What the Lark front end takes and means beyond lark: each construct, each error, and grammars that mean harm."""

from __future__ import annotations

import time

import pytest
from oracles import BYTES

import constrain


def compiled(text: str, **options):
    return constrain.compile(constrain.lark(text, **options), BYTES)


def check(text: str, accepted: list[str], refused: list[str], **options) -> None:
    automaton = compiled(text, **options)
    for t in accepted:
        assert automaton.accepts(t), t
    for t in refused:
        assert not automaton.accepts(t), t


# ---------------------------------------------------------------------- ignored rules
NESTED = 'comment: "(*" (TEXT | comment)* "*)"\nTEXT: /[^(*)]+|[(*)]/'
WORDS = 'start: WORD ("," WORD)*\nWORD: /[a-z]+/\n%ignore / +/\n'


@pytest.mark.parametrize("lexer", ["longest", "any"])
@pytest.mark.parametrize("how", ["written", "imported", "expression", "template"])
def test_ignored_rules(lexer, how):
    """Nested comments stand wherever blanks may; blanks and commas inside are content."""
    text, options = WORDS + NESTED + "\n%ignore comment", {}
    if how == "imported":
        text, options = WORDS + "%import c.comment -> note\n%ignore note", {"imports": {"c": NESTED}}
    if how == "expression":
        text = WORDS + NESTED + '\n%ignore comment | "#"'
    if how == "template":
        text = (
            WORDS + NESTED.replace("comment:", "n{a, z}: a (TEXT | n{a, z})* z\ncomment:") + '\n%ignore n{"(*", "*)"}'
        )
    accepted = ["a", "a,b", "(**)a(* , *) , (*(**)*)b (* (* x *) *)", "a(*x*)(*y*) ,b", "(* ( * ) (*) *) *)a"]
    refused = ["(* a", "a *)", "(**)", "ab(**)c", "a,(*,*)"]
    if lexer == "longest":  # under "any" the text may be "(" and "*" where a comment could begin
        refused += ["a(*(*x*),b", "a(*x*)*),b"]
    if how == "expression":
        accepted.append("#a#,(*#*)b")
    check(text, accepted, refused, lexer=lexer, **options)


def test_what_ignored_rules_share_with_others():
    """A rule is ignored as it stands, and skips what is ignored where it is used otherwise; it may be the start itself."""
    check(
        'start: "<" x ">"\nx: "a" "b"\n%ignore " "\n%ignore x',
        ["< a b >", "<ab>", "ab<a bab>ab", "<aabb>"],
        ["<a b a b>", "a b<ab>", "<>"],
    )
    check('start: "a" start? "b"\n%ignore start', ["ab", "abab", "aabb", "ababab"], ["ba", "aab", ""])
    check('start: "a" "b"\n%ignore nothing\nnothing: nothing "x"', ["ab"], ["axb"])
    check('start: "a" "b"\n%ignore gap\ngap: "x"*', ["ab", "xaxxbx"], ["a"])


def test_what_is_refused_of_ignored_rules():
    layout = 'start: (A NL)+\nA: "a"\nNL: /\\n[ ]*/\n%layout NL IN DE\n%ignore c\nc: "x" c?'
    with pytest.raises(constrain.UnsupportedFeature, match="%layout in a grammar that ignores a rule"):
        constrain.lark(layout)
    with pytest.raises(constrain.GrammarError, match="takes 1 argument, and 0 are given"):
        constrain.lark('start: "a"\n%ignore c\nc{x}: x "b"')
    with pytest.raises(constrain.GrammarError, match="did you mean comment"):
        constrain.lark('start: "a"\n%ignore coment\ncomment: "x"')
    with pytest.raises(constrain.UnsupportedFeature):
        constrain.lark(WORDS + NESTED + "\n%ignore comment").to_gbnf()


def test_ignored_rules_in_findings_and_gbnf():
    grammar = constrain.lark(WORDS + NESTED + "\n%ignore comment\nother: WORD", lexer="any")
    assert [(f.path, f.keyword) for f in grammar.report_rows() if f.keyword in ("unused", "unreachable")] == [
        ("other", "unused")
    ]
    again = constrain.compile(constrain.gbnf(grammar.to_gbnf()), BYTES)
    assert [again.accepts(t) for t in ("a (* (* x *) *), b", "a (* x, b")] == [True, False]


# ---------------------------------------------------------------------- constructs
@pytest.mark.parametrize(
    ("text", "accepted", "refused"),
    [
        ('start: "ab"i "Σ"i', ["abσ", "ABς", "aBΣ"], ["abs"]),
        ('start: "k"i', ["k", "K", "\u212a"], ["l"]),
        ("start: /[a-c]/i /./s", ["A\n"], ["a", "d\n"]),
        ("start: /a b  # comment\n c/x", ["abc"], ["a b c"]),
        ('start: "a".."c" "é".."ü"', ["aé", "cü"], ["dé", "aa"]),
        (
            'start: "a"~3 | "b"~2..3 | "c"{2} | "d"{1,} | "e"{,2} | "f"{2,3}',
            ["aaa", "bb", "cc", "dddd", "e", "ff", ""],
            ["aa", "b", "ccc", "f"],
        ),
        ('start: x\nx: "a" -> one\n | "b" -> two\n  // comment\n\n | "c"', ["a", "b", "c"], ["d"]),
        ('start: "a" \\\n "b"', ["ab"], ["a"]),
        ('start: (\n"a"\n|"b")', ["a", "b"], ["ab"]),
        ('start: "a" |\nother: "b"', ["a", ""], ["b"]),
        (
            'start: list{"x", ","} list{"y", sep}\nlist{i, s}: i (s i)*\nsep: ";" | "-"',
            ["x,x" + "y;y-y", "xy"],
            ["x,y", "x;x"],
        ),
        ('start: outer{"a"}\nouter{x}: inner{x, "b"} inner{x x, x}\ninner{p, q}: p q p', ["aba" + "aaaaa"], ["aba"]),
        ('start: A | B\nA: "x" B\nB: "b" | /c+/ "d"~2', ["xb", "xccdd", "b", "cdd"], ["x", "cd"]),
        ('start: "a"* "b"\n%ignore /[ ]+/\n%ignore C\nC: "#" /[^\\n]*/ "\\n"', [" a #x\n a b", "b #\n"], ["a#b"]),
        ('\ufeffstart: "a"\r\n  | "b"\r\n\r\n// c\r\nA: "x"\r\n', ["a", "b"], ["x"]),
        ('start: a-b-c x->y\na-b-c: "1"\nx: "2"', ["12"], ["1"]),
        ("start: /\\// /[/\\]]/".replace("[/", "[\\/"), ["//", "/]"], ["/"]),
        ("start: /\\x2b\\+/ /\\u00e9/", ["++é"], ["+é"]),
        ('start: IF\nIF.2: "if"\nNAME: /[a-z]+/', ["if"], ["ifx"]),
    ],
)
def test_constructs(text, accepted, refused):
    check(text, accepted, refused)


def test_imports():
    other = '%import common.INT\npair: key "=" value\nkey: NAME\nvalue: INT | list\nlist: "[" value* "]"\n'
    other += 'NAME: /[a-z]/\n%ignore " "'
    text = '%import my.pairs.pair\n%import my.pairs.NAME -> KEY\nstart: pair | KEY "!"'
    check(text, ["a=1", "b=[1[]]", "a!"], ["a = 1", "=1"], imports={"my.pairs": other})
    check('%import .pairs (pair)\nkey: "k"\nstart: pair key', ["a=1k"], ["a=1a"], imports={"pairs": other})


def test_override_and_extend_reach_into_what_is_imported():
    other = 'pair: key "=" key\nkey: "a" | "b"\nN: "0"\nnumber: N'
    check('%import o (pair, key)\n%override key: "c"\nstart: pair', ["c=c"], ["a=a"], imports={"o": other})
    check('%import o (pair, key)\n%extend key: "c"\nstart: pair', ["c=a"], ["d=a"], imports={"o": other})
    check('%import o.pair\nkey: "z"\nstart: pair key', ["a=bz"], ["z=zz"], imports={"o": other})
    check('%import o (number, N)\n%extend N: "1"~2\nstart: number', ["0", "11"], ["1"], imports={"o": other})


def test_relative_imports_of_imports():
    texts = {"pack.one": "%import .two.x\ny: x x", "pack.two": 'x: "x"'}
    check("%import pack.one.y\nstart: y", ["xx"], ["x"], imports=texts)


def test_algebra_of_terminals():
    check('start: A\nA: /[a-z]+/ & ~("if" | "else") & ~/.*q.*/', ["i", "ifx", "elsee"], ["if", "else", "aqa"])
    check('start: "(" (/[a-z]+/ & ~"no") ")"', ["(yes)"], ["(no)", "(1)"])
    check('start: X "!"\nX: ~/a+/ & /[ab]+/', ["b!", "aab!"], ["!", "aa!"])


def test_lazy_suffix_and_stop():
    check('start: head "x"\nhead[lazy]: /.*</', ["ab<x", "<x"], ["a<b<x", "ab<"])
    check('start: head /.+/?\nhead[suffix="<e>"]: /[a-z<]*/', ["a<e>", "<e>zz<e>", "<<e>"], ["a<e", "ab"])
    check(
        'start: head ("<e>" /[a-z]+/)?\nhead[stop="<e>"]: /[a-z<>]+/', ["a<e>b", "ab", "a<b", "a<e"], ["a<e>", "a<e>1"]
    )
    check('start: x "aa"?\nx[stop="aa"]: /[ab]+/', ["ab", "baa", "babaa", "aab", "aaa"], ["baab", "baaa"], lexer="any")
    check('start: x "aba" /[ab]+/?\nx[stop="aba"]: /[ab]+/', ["baba", "bbabab", "ababa"], ["bab", "aba"])
    check('start: T\nT[suffix=END]: /[^!]*/\nEND: "end" | "fin"', ["the end", "fin"], ["finend", "en"])


def test_lazy_quantifiers_under_longest():
    check(r"start: C X C" + '\nX: "x"\nC: /\\/\\*(.|\\n)*?\\*\\//', ["/*a*/x/**/"], ["/*a*/ */x/**/"])
    check('start: S ","? S\nS: /".*?"[a-z]*/', ['"a"b,"c"', '"a""b"q'], ['"a,"', '"a"b"c'])
    check('start: S\nS: "<" /.*?/ ">"', ["<a>"], ["<a>b>"])


@pytest.mark.parametrize(
    ("regex", "accepted", "refused"),
    [
        (r"a(?!b)", ["a!", "aa"], ["ab", "ab!"]),
        (r"if\b", ["if!", "if if"], ["ifx", "if1"]),
        (r'"(?!"")[^"]*"', ['""', '"a"', '"a"""', '"" '], ['"""']),
        (r"(?!(if|else)\b)[a-z]\w*", ["iff", "x", "els", "elsee!"], ["if", "else", "if!"]),
        (r"[a-z]+(?<!x)!", ["a!"], ["ax!"]),
        (r"\d+(?!\d)(?!\.)", ["12!", "1a"], ["12."]),
        (r"a(?=b)[a-z]", ["ab"], ["ac"]),
        (r"0(?![1-9])|[1-9]\d*", ["0", "10", "0a", "00"], ["01"]),
        (r"-\B!", ["-!"], []),
    ],
)
def test_lookaround_in_terminals(regex, accepted, refused):
    """Each text is the terminal and then anything, cut by longest matches."""
    check(f'start: T REST?\nT: /{regex}/\nREST: /[a-z0-9!". ]/ REST2?\nREST2: /(.|\\n)+/', accepted, refused)


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        (r"a(?=b)", "positive lookahead"),
        (r"^a", "anchor"),
        (r"a$", "anchor"),
        (r"\ba", "before the beginning"),
        (r"(?<!x)a", "before the beginning"),
        (r"(?!.*b)a+", "few short texts"),
        (r"[a!]\b", "at the end"),
        (r"(a(?!bb))*b", "repetition"),
        (r"(a*)\1", "back-reference"),
        (r"(?<=ab)c", "one character"),
        (r"a++", "possessive"),
        (r".*?a[bc]+[de]", "lazy"),
    ],
)
def test_what_terminals_cannot_ask_is_refused_by_name(regex, message):
    with pytest.raises(constrain.UnsupportedFeature, match=message) as e:
        constrain.lark(f"start: T\nT: /{regex}/")
    assert "^" in str(e.value)


def test_embedded_schemas_regexes_and_grammars():
    check(
        'start: "<" %json {"type": "object", "required": ["a"]} ">"',
        ['<{"a":1}>', '<{"b":"}>","a":[]}>'],
        ["<{}>", '<{"a":1}'],
    )
    check('start: W\nW: %regex {"substring_words": "one two, 3"}', ["one two", " ", "two, 3", ","], ["on", "one two 3"],
          lexer="any")  # fmt: skip
    check(
        'start: W "!"\nW: %regex {"substring_chunks": ["ab", "c", "", "d"]}',
        ["!", "ab!", "cd!"],
        ["abd!", "b!"],
        lexer="any",
    )
    check('start: %regex {"substring_chars": "aba"} ', ["", "ab", "aba"], ["aa"], lexer="any")
    inner = '%lark {\n start: "x" Y\n Y: "y"\n %ignore "-"\n}'
    check(f'start: "a" {inner} "b"\n%ignore " "', ["a x-yb", "axy- b"], ["a x yb", "a-xy -b"])
    grammars = {
        "n": constrain.json_schema({"type": "integer"}),
        "r": constrain.regex("[cd]+"),
        "g": constrain.lark('start: "z" start?\n%ignore "_"'),
    }
    check('start: @n "," @r "," @g\n%ignore " "', ["1, cd ,z_z", " 2 ,c,z"], ["1,c,z z", "1,c d,z"], grammars=grammars)


def test_special_tokens():
    vocabulary = constrain.Vocabulary([b"a", b"b", None, None, None], [4], special_tokens={"<think>": 2})
    for text in ('start: <think> "a" <[3]>', "start: <[2]> /a/ <[3-3]>"):
        matcher = constrain.compile(constrain.lark(text), vocabulary).matcher()
        for token in (2, 0, 3):
            assert matcher.mask().tolist() == [i == token for i in range(5)]
            assert matcher.advance(token)
        assert matcher.accepting


def test_layout():
    text = r"""
    start: _NL? stmt*
    stmt: NAME _NL | "if" NAME ":" _NL _IN stmt+ _DE | "f" "(" NAME* ")" _NL
    NAME: /[a-z]+\b/
    _NL: (/\r?\n[ \t]*/ | /#[^\n]*/)+
    %layout _NL _IN _DE ("(") (")") [/\n/]
    %ignore / +/
    """
    accepted = [
        "x\n",
        "x",
        "if x:\n  y\n  z\nx\n",
        "if x:\n  if y:\n   z\n  w\n",
        "if x:\n y\n\n\n# c\n y\nz",
        "f(a\nb\n)\n",
        "# c\nx",
    ]
    refused = ["if x:\ny\n", " x\n", "if x:\n  y\n z\n", "f(\n", "if x:\n", "x\n  y\n"]
    check(text, accepted, refused)


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ('"a" | "a" "," IN "a" NL DE', "follow something else"),
        ('"a" | "a" "," DE', "follow something else"),
        ('"a" | "a" NL IN IN "a" NL DE DE', "follow something else"),
        ('"a" | part IN "a" NL DE\npart: "a" NL?', "follow something else"),
        ('"a" | "a" NL DE "a" NL', "blocks"),
        ('"a" | "a" NL IN "a" NL', "blocks"),
        ('"a" | "a" NL part "a" NL DE "a"\npart: IN | ","', "blocks"),
        ('"a" | "(" NL ")" NL', "inside brackets"),
        ('"a" | "(" part ")" NL\npart: "a" NL?', "inside brackets"),
        ('"a" | "(" "(" ")"', "brackets"),
        ('"a" | ")" "a" "("', "brackets"),
        ('"a" | part NL\npart: ")" part "(" | "a"', "brackets"),
        ('"a" | part NL\npart: "(" part | "a"', "brackets"),
    ],
)
def test_layouts_whose_rules_ask_for_what_never_comes(rules, why):
    text = f'start: {rules}\nNL: /(\\n *)+/\n%layout NL IN DE ("(") (")") [/\\n/]'
    with pytest.raises(constrain.UnsupportedFeature, match=why):
        compiled(text)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("start: A <s> A\nA: /b(?!b)/", ([2], [0], [3])),
        ('start: (A | C) <s> "c"\nA: /b+(?!c)/\nC: /b+c/', ([0, 1, 2], [1], [1])),
        ('start: A+ <s>\nA: /b(?!b)/ | "c"', ([1, 2], [3], [3])),
    ],
)
def test_special_tokens_end_lexemes_under_obligations(text, after):
    """Whether a lexeme that must not be extended can be finished may depend on a special token that follows."""
    vocabulary = constrain.Vocabulary([b"b", b"c", None, None], [3], special_tokens={"<s>": 2})
    matcher = constrain.compile(constrain.lark(text), vocabulary).matcher()
    for token, allowed in zip((0, 2, 0), after, strict=True):
        matcher.advance(token)
        assert [t for t, bit in enumerate(matcher.mask()) if bit] == allowed
        matcher.completion()


def test_a_layout_in_which_one_text_is_a_bracket_and_something_else():
    text = 'start: ("(" "a" ")" | PUNCTUATION+ "a") NL\nPUNCTUATION: /[(.]/\nNL: /(\\n *)+/\n%layout NL IN DE ("(") (")") [/\\n/]'
    with pytest.raises(constrain.UnsupportedFeature, match="bracket and another terminal"):
        compiled(text)
    check(text.replace("[(.]", "[.]"), ["(\na)\n", "..a\n"], ["(a\n", "(.a\n"])


def test_a_layout_whose_brackets_are_ignored():
    with pytest.raises(constrain.UnsupportedFeature, match="brackets are ignored"):
        compiled('start: "a" NL\nNL: /(\\n *)+/\n%ignore "("\n%layout NL IN DE ("(") (")") [/\\n/]')


def test_a_layout_whose_brackets_are_closed_by_another_rule():
    text = """
    start: line*
    line: "a" rest NL | "(" rest NL | "a" NL IN line+ DE
    rest: "a" rest | ")"
    NL: /(\\n *)+/
    %layout NL IN DE ("(") (")") [/\\n/]
    """
    with pytest.raises(constrain.UnsupportedFeature, match="brackets"):
        compiled(text)
    check(text.replace('"a" rest NL | ', ""), ["(a\na)\n", "a\n (a)\n"], ["(a\na\n", "a)"])


def test_refinement():
    text = 'start: "select" NAME ("," NAME)*\nNAME: /[a-z]+/\n%ignore " "'
    check(text, ["select a,b", "select a"], ["select c", "select ab"], refine={"NAME": ["a", "b", "B1"]})
    with pytest.raises(constrain.GrammarError, match="did you mean NAME"):
        constrain.lark(text, refine={"NAM": ["a"]})
    with pytest.raises(constrain.EmptyLanguage):
        compiled(text, refine={"NAME": ["1"]})


def test_nullable_terminals():
    check("start: A B\nA: /a*/\nB: /b?/", ["", "a", "aab", "b"], ["ba"], lexer="any")
    with pytest.raises(constrain.GrammarError, match="matches the empty text"):
        constrain.lark("start: A\nA: /a*/")
    check('start: "a" "b"\n%ignore /[ ]*/', ["a  b"], ["ab c"])


def test_priorities_decide_between_matches_of_one_length():
    text = 'start: KEY "!" | NAME\nKEY.1: "if"\nNAME: /[a-z]+/'
    check(text, ["if!", "iff"], ["if"])
    check(text.replace(".1", ""), ["if!", "iff", "if"], ["iff!"])
    check(
        'start: "if" "!" | NAME\nKEY.1: "if"\nNAME: /[a-z]+/', ["if!", "iff"], ["if"]
    )  # a string is the terminal of its name


def test_terminals_that_only_endless_rules_ask_for_do_not_compete():
    check('start: "ab" | endless\nendless: AB endless\nAB.1: /(ab)+/', ["ab"], ["abab"])


# ---------------------------------------------------------------------- composition
def test_composition_of_any_kinds():
    number, word = constrain.json_schema({"type": "integer"}), constrain.regex("[a-z]*")
    grammar = constrain.gbnf('root ::= "(" root ")" | "x"')
    for g, accepted, refused in (
        (number | word, ["1", "ab", ""], ["1a"]),
        (number + word, ["1", "1ab"], ["ab"]),
        (grammar + number | word, ["((x))1", "q"], ["((x)", "1"]),
        (constrain.literal("=") + grammar + grammar, ["=x(x)"], ["=x"]),
    ):
        automaton = constrain.compile(g, BYTES)
        assert all(automaton.accepts(t) for t in accepted)
        assert not any(automaton.accepts(t) for t in refused)
        assert g.kind == "cfg"
    with pytest.raises(constrain.UnsupportedFeature, match="longest"):
        constrain.lark('start: "a"') | word
    with pytest.raises(constrain.UnsupportedFeature, match="undecidable"):
        grammar & grammar
    with pytest.raises(constrain.UnsupportedFeature, match="takes a regular grammar"):
        grammar & number


def test_embedding_copies_every_kind_of_schema_node():
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "array", "prefixItems": [{"const": 1}], "items": {"multipleOf": 3, "minimum": 2.5},
                  "uniqueItems": True},
            "b": {"$ref": "#/$defs/t"},
            "c": {"type": "array", "contains": {"type": "null"}, "maxContains": 2, "unevaluatedItems": False},
        },
        "required": ["a"], "minProperties": 2, "patternProperties": {"^z": {"pattern": "q$", "maxLength": 3}},
        "if": {"required": ["b"]}, "then": {"properties": {"d": True}}, "unevaluatedProperties": False,
        "$defs": {"t": {"anyOf": [{"type": "string", "format": "date"}, {"type": "array", "items": {"$ref": "#/$defs/t"}}]}},
    }  # fmt: skip
    alone = constrain.json_schema(schema, whitespace="compact")
    one, two = (constrain.compile(g, BYTES) for g in (alone, constrain.literal("!") + alone))
    texts = [
        '{"a":[1,3,6],"b":[["2020-01-01"]]}', '{"a":[1,3,3],"zz":"q"}', '{"a":[1],"d":0}', '{"a":[1],"b":[],"d":0}', '{"a":[1]}',
        '{"a":[1],"c":[null]}', '{"a":[1],"c":[null,0]}', '{"a":[1],"zz":"aq"}', '{"a":[1],"zz":"aaaq"}', '{"a":[2],"b":[]}',
    ]  # fmt: skip
    verdicts = [one.accepts(t) for t in texts]
    assert verdicts == [two.accepts("!" + t) for t in texts]
    assert len(set(verdicts)) == 2


# ---------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('start: rul\nrule: "a"', "rul, used in rule start, is not defined; did you mean rule"),
        ('start: A\nA: NUM\nNUMB: "1"', "did you mean NUMB"),
        ('start: A\nA: B\nB: "x" A', "circle: A -> B -> A"),
        ("start: A\nA: start", "cannot hold the rule start"),
        ('start: "a"\nstart: "b"', "more than once"),
        ("start: Ab\n", "mixes lower case"),
        ('Start: "a"', "mixes lower case"),
        ('__x: "a"', "reserved"),
        ("start: /a(/", "missing \\)"),
        ("start: /[z-a]/", "out of order"),
        ("start: /a/l", "locale"),
        ("start: /a\nb/", "flag x"),
        ('start: "a', "does not end"),
        ("start: 'a'", "double quotes"),
        ('start: ("a"', "not closed"),
        ('start: "a")', "no opening"),
        ('start: ["a")', "expected ]"),
        ("start: +", "misplaced"),
        ('start: "a"++', "misplaced"),
        ('start: "a": "b"', "unexpected colon"),
        ("start", "expected :"),
        ('"a": "b"', "expected a rule"),
        ('start: "a"~3..2', "out of order"),
        ('start: "ab".."c"', "single"),
        ('start: "c".."a"', "out of order"),
        ('start: "a" -> B', "lower case"),
        ('start: "a" -> b "c"', "ends its alternative"),
        ("%ignor x", "did you mean %ignore"),
        ("%import common", "nothing is imported"),
        ("%import common.NUMBR\nstart: NUMBR", "did you mean NUMBER"),
        ("%import nowhere.X", "no grammar nowhere"),
        ('%override x: "a"', "needs an earlier"),
        ('start: t{"a"}\nt: "a"', "takes 0"),
        ("start: t\nt{x}: x", "takes 1"),
        ('start: t{"a"}\nt{x, x}: x', "twice"),
        ('T{x}: "a"', "takes no parameters"),
        ("%declare X\nstart: X", "only declared"),
        ("start: @g", "no grammar is given"),
        ("start: x[", "not closed"),
        ('start: %json {"type": "objekt"}', "objekt"),
        ('start: %json {"a": }', "not JSON"),
        ("start: %json [1]", "expected {"),
        ('start: %json {"a": 1', "not closed"),
        ("A: %json {}\nstart: A", "JSON document"),
        ("A: <x>\nstart: A", "special token"),
        ('start: %lark { begin: "a" }', "start"),
        ('start: %regex {"substring_chunks": "x"}', "list of strings"),
        ('start: "\\xg1"', "hexadecimal"),
        ('start: "\\ud800"', "UTF-8"),
        ('start: a\na: "x" &', "operand of this &"),
        ("start: ~", "follows this"),
        ("%layout A B\nstart: A", "dedent terminal"),
        ('%layout A B C ("(")\nstart: A', "as many closing"),
        ('start: "a" ;', "unexpected character"),
        ("%import a.x\nstart: x", "circle"),
    ],
)
def test_errors_point_into_the_text(text, message):
    with pytest.raises(
        constrain.GrammarError, match=message.replace("(", "\\(") if "\\" not in message else message
    ) as e:
        constrain.lark(text, imports={"a": "%import b.x", "b": "%import a.x"})
    assert e.value.span is not None
    assert "^" in str(e.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start[max_tokens=3]: /a/", "max_tokens"),
        ("start: a\na[temperature=0.5]: /a/", "temperature"),
        ("start: a\na[whatever]: /a/", "whatever"),
        ("start::3: /a/", "parametric"),
        ("start: <[*]>", "exclusion"),
        ("start: <[^3]>", "exclusion"),
        ('%llguidance {"allow_x": 1}', "allow_x"),
        ('start: %regex {"type": "number"}', "substring"),
        ("start: a\na[stop=/x/]: /b/", "stop"),
        ('start: t{p}\nt{x}: x{"a"}\np: "b"', "arguments"),
    ],
)
def test_what_is_not_enforced_is_refused_by_name(text, message):
    with pytest.raises(constrain.UnsupportedFeature, match=message):
        constrain.lark(text)


def test_errors_of_arguments():
    with pytest.raises(constrain.UnsupportedFeature, match="lexer='longest'"):
        constrain.lark('start: "a" N\nN: /\\n */\n%layout N I D', lexer="any")
    with pytest.raises(constrain.GrammarError, match="no rule 'begin'"):
        constrain.lark('start: "a"', start="begin")
    with pytest.raises(constrain.GrammarError, match="unknown lexer"):
        constrain.lark('start: "a"', lexer="greedy")
    with pytest.raises(constrain.GrammarError, match="no bundled grammar"):
        constrain.lark(library="../errors")
    with pytest.raises(constrain.GrammarError, match="either"):
        constrain.lark()


# ---------------------------------------------------------------------- grammars that mean harm
HOSTILE = [
    "start: " + "(" * 100_000,
    "start: " + "(" * 1900 + '"a"' + ")" * 1900,
    "start: " + "[" * 1900 + '"a"' + "]" * 1900,
    "start: " + "~" * 5000 + '"a"',
    'start: "a"~0..1000000',
    'start: x~1000000\nx: "a" | "b" x',
    'start: "a"~99999999999',
    "start: A\nA: " + " | ".join(f'"{i}"' for i in range(50_000)),
    'start: p{"a"}\np{x}: p{q{x}}\nq{x}: x x',
    'start: t0{"a"}\n' + "".join(f"t{i}{{x}}: t{i + 1}{{x x}} t{i + 1}{{x}}\n" for i in range(100)) + "t100{x}: x",
    "start: A0\n" + "".join(f"A{i}: A{i + 1} A{i + 1}\n" for i in range(60)) + 'A60: "a"',
    "start: A0\n" + "".join(f'A{i}: "a" A{i + 1}?\n' for i in range(5_000)) + 'A5000: "a"',
    "start: r0\n" + "".join(f'r{i}: "a" r{i + 1}?\n' for i in range(5_000)) + 'r5000: "a"',
    "start: start | start start |",
    "start: start",
    "start: a\na: b\nb: a",
    'start: a* "x"\na: a* |',
    "start: /(a*)*b/",
    "start: /(" * 1,
    "start: " + "%lark { start: " * 200 + '"a"' + " }" * 200,
    "a{" * 5000,
    "start: " + "x{" * 3000,
    "start: " + "/a/ " * 20_000,
    "start: A\nA: " + "/a*/ " * 3_000 + "/b+?/",
    'start: "a" ' * 100_000,
    "\\\n" * 50_000 + 'start: "a"',
    "// c\n" * 50_000 + 'start: "a"',
    'start: W\nW: %regex {"substring_chars": "' + "ab" * 5000 + '"}',
    "start: %json " + '{"not":' * 5000 + "{}" + "}" * 5000,
    "start: A\nA: " + "/x(?!y)/ | " * 200 + '"a"',
    "start: A\nA: " + "(" * 500 + "/x(?!y)/" + ' "z")' * 500,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_grammars_end_in_a_result_or_a_clear_error(text):
    started = time.perf_counter()
    for lexer in ("longest", "any"):
        try:
            automaton = constrain.compile(constrain.lark(text, lexer=lexer), BYTES)
            assert isinstance(automaton.accepts("aaaa"), bool)
        except constrain.ConstrainError:
            pass
    assert time.perf_counter() - started < 60  # far above the usual second or two: this only catches a change of order


@pytest.mark.parametrize("n", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_many_rules(n):
    rules = "".join(f'r{i}: "{i}" | "(" r{i + 1} ")"\n' for i in range(n))
    automaton = compiled(f'start: r0\n{rules}r{n}: "x"')
    assert automaton.accepts("((2))")
    assert not automaton.accepts("((1))")


def test_bounded_repetitions_take_few_rules():
    cfg = constrain.lark('start: pair~3..1000000\npair: "a" "b"').lowered.cfg
    assert len(cfg.rules) < 150
    automaton = compiled('start: x~3..70\nx: "a" | "b" x', lexer="any")
    for n in (0, 2, 3, 4, 31, 32, 33, 63, 64, 65, 69, 70, 71):
        assert automaton.accepts("a" * n) == (3 <= n <= 70)


def test_tokens_that_end_as_they_began():
    g = r"""
start: (HERE | RAW | NAME)+
HERE: /<<(?P<d>EOF|END)\n(?s:.*?)\n(?P=d)\b/
RAW: /r(#{0,2})"(?s:.*?)"\1/
NAME: /[a-z]+/
%ignore /[ \n]+/
"""
    a = constrain.compile(constrain.lark(g), BYTES)
    for text in ("<<EOF\nx\nEND\nEOF", "<<END\n\nEND a", 'r#"a"b"# c', 'r"a" "b"'[:5], "<<EOF\nx\nEOFX\nEOF"):
        assert a.accepts(text), text
    for text in ("<<EOF\nx\nEND", 'r#"a"', "<<EOF\nx\nEOF EOF\nEOF", 'r##"a"#'):
        assert not a.accepts(text), text
    m = a.matcher()
    for byte in b"<<END\nfree text\nEN":
        assert m.advance(byte)
    assert m.allows(ord("D"))
    assert m.allows(ord("x"))


@pytest.mark.parametrize(
    ("grammar", "lexer"),
    [
        ('start: T T | T T start\nT: /(b|ba)(?!b)/\n%ignore "b"', "longest"),
        ('start: U b T | U U\nb: U T T\nT: /(ab)+(?!ab)/\nU: /(a|ab)(?!a)/\n%ignore "a"', "longest"),
        ('start: T a U | start a\na: T?\nT: /a[ab]*(?!ab)/\nU: "ab"\n%ignore U', "any"),
    ],
)
def test_what_an_ignored_terminal_ends_with_keeps_its_lookahead(grammar, lexer):
    with pytest.raises(constrain.EmptyLanguage):
        constrain.compile(constrain.lark(grammar, lexer=lexer), BYTES)
