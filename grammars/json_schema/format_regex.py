"""The format ``regex``: patterns of ECMA-262 with the ``u`` flag, as a regular language.

ECMA-262 2020, section 21.2.1, is context-free (parentheses) and has early errors that no regular language holds (a
back-reference needs its group, group names differ). What is kept is a language *inside* the standard's, never beside it,
and the bounds are these (`BOUNDS`, also shown by reports): groups nest `DEPTH` deep, numbered back-references go to
``\\9`` and stand after their group, a pattern has at most one named group and no ``\\k``, in ``{n,m}`` numbers have
`DIGITS` digits and no leading zeros, and the ends of a class range are both characters, both ``\\xHH``, both
``\\uHHHH``, or an ASCII character or ``\\0`` below the other end.

The language is an intersection: one part holds the nesting, the others each one early error, read over a flat sequence of
tokens. All but two parts are free of Boolean operations, so that the kernel knows their distances without a search.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from grammars.ir import Table
from grammars.regex import charset, lower_regex, parse_regex

DEPTH = 12
REFERENCES = 9
DIGITS = 5
BOUNDS = (
    f"groups nest at most {DEPTH} deep; back-references to \\{REFERENCES}, after their group; one named group and no \\k; "
    f"at most {DIGITS} digits in {{n,m}}; the ends of a class range have one form"
)

_HEX = "[0-9A-Fa-f]"
_SYNTAX = r"\^$.*+?()\[\]{}|/\\"
_BINARY = (
    "ASCII ASCII_Hex_Digit AHex Alphabetic Alpha Any Assigned Bidi_Control Bidi_C Bidi_Mirrored Bidi_M Case_Ignorable CI "
    "Cased Changes_When_Casefolded CWCF Changes_When_Casemapped CWCM Changes_When_Lowercased CWL "
    "Changes_When_NFKC_Casefolded CWKCF Changes_When_Titlecased CWT Changes_When_Uppercased CWU Dash "
    "Default_Ignorable_Code_Point DI Deprecated Dep Diacritic Dia Emoji Emoji_Component EComp Emoji_Modifier EMod "
    "Emoji_Modifier_Base EBase Emoji_Presentation EPres Extended_Pictographic ExtPict Extender Ext Grapheme_Base Gr_Base "
    "Grapheme_Extend Gr_Ext Hex_Digit Hex IDS_Binary_Operator IDSB IDS_Trinary_Operator IDST ID_Continue IDC ID_Start IDS "
    "Ideographic Ideo Join_Control Join_C Logical_Order_Exception LOE Lowercase Lower Math Noncharacter_Code_Point NChar "
    "Pattern_Syntax Pat_Syn Pattern_White_Space Pat_WS Quotation_Mark QMark Radical Regional_Indicator RI "
    "Sentence_Terminal STerm Soft_Dotted SD Terminal_Punctuation Term Unified_Ideograph UIdeo Uppercase Upper "
    "Variation_Selector VS White_Space space XID_Continue XIDC XID_Start XIDS"
).split()
_SCRIPTS = (
    "Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo "
    "Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common "
    "Coptic Cuneiform Cypriot Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic "
    "Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya Hanunoo "
    "Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi "
    "Kannada Katakana Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A "
    "Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin "
    "Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean "
    "Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian Old_Italic "
    "Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Oriya Osage Osmanya Pahawh_Hmong "
    "Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham "
    "SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham "
    "Tai_Viet Takri Tamil Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Ugaritic Vai Wancho Warang_Citi Yezidi Yi "
    "Zanabazar_Square"
).split()


# a character below U+0080 up to an escape above it
_HIGH_ESCAPE = rf"\\u(?:[1-9A-Fa-f]{_HEX}{{3}}|0[1-9A-Fa-f]{_HEX}{{2}}|00[89A-Fa-f]{_HEX})"
_LOOSE = "|".join(
    [
        rf"\\0-(?:[^\\\]]|\\x{_HEX}{{2}}|\\u{_HEX}{{4}})",
        r"[^\x00-\x7f]-[^\x00-\x7f]",
        rf"\\x{_HEX}{{2}}-\\x{_HEX}{{2}}|\\u{_HEX}{{4}}-\\u{_HEX}{{4}}",
    ]
)
# lengths of UTF-8 and the bytes at each place
_UTF8 = (
    (range(0xC2, 0xE0), range(0x80, 0xC0)),
    (range(0xE0, 0xF0), range(0x80, 0xC0), range(0x80, 0xC0)),
    (range(0xF0, 0xF5), range(0x80, 0xC0), range(0x80, 0xC0), range(0x80, 0xC0)),
)
Symbols = Sequence[tuple[int, int]]  # (node, rank)


def lower(table: Table) -> int:
    """The node of the language in `table`."""
    return _Patterns(table).whole()


class _Patterns:
    def __init__(self, table: Table) -> None:
        self.table = table
        hexes = rf"c[A-Za-z]|x{_HEX}{{2}}|u{_HEX}{{4}}|u\{{0*(?:10{_HEX}{{4}}|{_HEX}{{1,5}})\}}"
        self.escape = self.either(self.read(rf"\\(?:[fnrtvdDsSwW{_SYNTAX}]|{hexes})"), self.property())
        self.hyphen = self.read("-")
        self.ascii = [self.ascii_range(lo) for lo in range(128) if chr(lo) not in "\\]-"]

    def whole(self) -> int:
        t = self.table
        loose, strict = self.char_class(self.read(_LOOSE)), self.char_class(self.strict_ranges())
        parts = (
            self.nested(loose),
            self.quantifiers(loose),
            self.ranges(strict),
            self.names(loose),
            self.backward(loose),
        )
        return t.conjunction(t.text(), *parts)

    # ------------------------------------------------------------------ pieces
    def read(self, pattern: str) -> int:
        return lower_regex(parse_regex(f"(?s:{pattern})", "python"), self.table)

    def either(self, *parts: int) -> int:
        return self.table.disjunction(*dict.fromkeys(parts))

    def maybe(self, part: int) -> int:
        return self.table.repeat(part, 0, 1)

    def star(self, *parts: int) -> int:
        return self.table.repeat(self.either(*parts), 0, None)

    def property(self) -> int:
        t = self.table
        categories = charset.general_categories()
        names = [*categories, *_BINARY]
        names += [f"{key}={c}" for key in ("General_Category", "gc") for c in categories]
        names += [f"{key}={s}" for key in ("Script", "sc", "Script_Extensions", "scx") for s in _SCRIPTS]
        return t.concat(self.read(r"\\[pP]\{"), t.strings(n.encode() for n in names), self.read(r"\}"))

    # ------------------------------------------------------------------ classes
    def char_class(self, other_ranges: int) -> int:
        """A class in brackets. A hyphen is a member where no range can begin or go on: first, after a range, or last."""
        t = self.table
        zeros = self.read(r"(?:\\0)+")  # no digit may follow
        single = self.either(
            self.read(r"[^\\\]\-]|\\[b\-]"),
            self.escape,
            t.concat(zeros, self.either(self.read(r"[^\\\]\-0-9]"), self.escape)),
        )
        plain_range = self.either(*self.ascii, other_ranges)
        any_range = self.either(plain_range, self.ascii_range(ord("-")))
        run = t.concat(self.either(self.hyphen, single), self.star(single))
        last = t.concat(self.maybe(zeros), self.maybe(self.hyphen))
        body = t.concat(self.star(any_range, t.concat(run, plain_range)), self.maybe(run), last)
        return t.concat(self.read(r"\[\^?"), body, self.read(r"\]"))

    def ascii_range(self, lo: int) -> int:
        """The ranges that begin with one ASCII character."""
        high = charset.normalise([(p, p) for p in range(lo, 128) if chr(p) not in "\\]"] + [(128, charset.MAX)])
        end = self.either(self.table.char_class(high), self.read(_HIGH_ESCAPE))
        return self.table.concat(self.table.char_class(((lo, lo),)), self.hyphen, end)

    def strict_ranges(self) -> int:
        """The ranges of `_LOOSE` whose ends are in order."""
        t = self.table
        hexes = [(self.read(f"[{d}{d.upper()}]"), int(d, 16)) for d in "0123456789abcdef"]
        ways = [self.read(r"\\0-(?:[^\\\]]|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4})")]
        for letter, digits in (("x", 2), ("u", 4)):
            mark = self.read(rf"\\{letter}")
            ways.append(self.ordered([hexes] * digits, mark, t.concat(self.hyphen, mark)))
        of_bytes = {b: (t.byte_set([b]), b) for b in range(0x80, 0x100)}
        for i, short in enumerate(_UTF8):
            places = [[of_bytes[b] for b in members] for members in short]
            ways.append(self.ordered(places, t.epsilon(), self.hyphen))
            for longer in _UTF8[i + 1 :]:
                ways.append(t.concat(self.any_of(short), self.hyphen, self.any_of(longer)))
        return t.conjunction(t.text(), self.either(*ways))

    def any_of(self, places: Sequence[Iterable[int]]) -> int:
        return self.table.concat(*(self.table.byte_set(members) for members in places))

    def ordered(self, places: Sequence[Symbols], before: int, between: int) -> int:
        """`before` x `between` y for words x <= y that take one symbol of each place: equal up to some place and less there."""
        t = self.table
        every = [self.either(*(node for node, _ in symbols)) for symbols in places]

        def at(i: int, left: int, right: int) -> int:
            x, y = list(every), list(every)
            x[i], y[i] = left, right
            return t.concat(before, *x, between, *y)

        equal = [self.either(*(at(i, node, node) for node, _ in symbols)) for i, symbols in enumerate(places)]
        ways = [t.conjunction(*equal)]
        for i, symbols in enumerate(places):
            less = [
                at(i, node, self.either(*(other for other, r in symbols if r > rank)))
                for node, rank in symbols
                if rank < max(r for _, r in symbols)
            ]
            ways.append(t.conjunction(*equal[:i], self.either(*less)))
        return self.either(*ways)

    # ------------------------------------------------------------------ the parts
    def nested(self, loose: int) -> int:
        """Well-formed patterns: ECMA-262, 21.2.1, with `Disjunction` unrolled to `DEPTH` groups."""
        t = self.table
        quantifier = self.read(r"(?:[*+?]|\{(?:[0-9]+,?|[0-9]+,[0-9]+)\})\??")
        atom = self.either(self.read(r"[^\^$\\.*+?()\[\]{}|0-9]|\."), self.escape, loose)
        digit, zero = self.read("[0-9]"), self.read(rf"\\(?:0|{'|'.join(map(str, range(1, REFERENCES + 1)))})")
        look, group = (
            self.read(r"\(\?<?[=!]"),
            self.read(r"\((?:\?:|\?<[A-Za-z_$][\w$]*>)?".replace(r"\w", "A-Za-z0-9_")),
        )
        fixed = self.read(r"[\^$]|\\[bB]")
        close = self.read(r"\)")
        made = t.epsilon()
        for depth in range(DEPTH + 1):
            groups = [t.concat(group, made, close)] if depth else []
            looks = [t.concat(look, made, close)] if depth else []
            several = t.concat(self.either(atom, *groups), self.maybe(quantifier))
            other = self.either(fixed, several, *looks, t.concat(zero, quantifier), self.read(r"\|"))
            any_term = self.either(other, t.concat(digit, self.maybe(quantifier)))
            zeros = t.repeat(zero, 1, None)  # no digit may follow
            made = t.concat(self.star(any_term, t.concat(zeros, other)), self.maybe(zeros))
        return made

    def flat(self, loose: int, *, braces: bool = True) -> list[int]:
        """Tokens of a pattern without captures and numbered references; a token takes the question marks after it."""
        marks = self.read(r"\?*")
        plain = self.read(r"[^\\\[(?{]|\(\?(?:[:=!]|<[=!])|\\[bB0]")
        parts = [plain, self.escape, loose, *([self.read(r"\{")] if braces else [])]
        return [self.table.concat(p, marks) for p in parts]

    def captures(self) -> int:
        return self.read(r"\((?:\?<[A-Za-z0-9_$]+>)?")

    def references(self, most: int = REFERENCES) -> int:
        """The back-references \1 to \most, none of them the beginning of a longer number (`nested` sees to that)."""
        return self.table.concat(self.table.strings(f"\\{n}".encode() for n in range(1, most + 1)), self.read(r"\?*"))

    def backward(self, loose: int) -> int:
        """\n only after n groups have begun (21.2.1.1 asks for them anywhere)."""
        t = self.table
        tokens = self.flat(loose)
        made = self.star(*tokens, self.captures(), self.references())
        for n in range(REFERENCES - 1, -1, -1):
            before = self.star(*tokens, self.references(n)) if n else self.star(*tokens)
            made = t.concat(before, self.maybe(t.concat(self.captures(), made)))
        return made

    def names(self, loose: int) -> int:
        """At most one group has a name."""
        t = self.table
        rest = self.star(*self.flat(loose), self.references(), self.read(r"\("))
        return t.concat(rest, self.maybe(t.concat(self.read(r"\(\?<[A-Za-z0-9_$]+>"), rest)))

    def quantifiers(self, loose: int) -> int:
        """In {n,m}, n is at most m (21.2.1.1)."""
        t = self.table
        digits = [(self.read(str(d)), d) for d in range(10)]
        numbers = [self.read(r"\{[0-9]+,?\}")]
        pairs = []
        for n in range(1, DIGITS + 1):
            first = digits if n == 1 else digits[1:]
            pairs.append(self.ordered([first, *[digits] * (n - 1)], t.epsilon(), self.read(",")))
            if n < DIGITS:
                least = "[0-9]" if n == 1 else f"[1-9][0-9]{{{n - 1}}}"
                pairs.append(self.read(rf"{least},[1-9][0-9]{{{n},{DIGITS - 1}}}"))
        numbers.append(t.concat(self.read(r"\{"), self.either(*pairs), self.read(r"\}")))
        good = t.concat(self.either(*numbers), self.read(r"\?*"))
        return self.star(*self.flat(loose, braces=False), self.captures(), self.references(), good)

    def ranges(self, strict: int) -> int:
        """The ends of ranges are in order (21.2.2.15.1)."""
        return self.star(*self.flat(strict), self.captures(), self.references())


@functools.lru_cache(maxsize=1)
def lowered() -> tuple[Table, int]:
    """A table of its own that holds the language, to be copied from."""
    table = Table()
    return table, lower(table)
