"""The formats ``hostname`` and ``idn-hostname``: RFC 1123, section 2.1, and the IDNA 2008 documents (RFC 5890 to 5893).

A name is a sequence of labels; every rule of IDNA on code points, on their context and on direction is regular, so the
language is an intersection with one part for each rule, most of them written over the whole name. Which code points are
allowed is computed as RFC 5892, section 3, says, from the character data of the running Python; only Joining_Type is not
in there and stands below as ranges (ArabicShaping.txt of Unicode 14).

Not regular in practice, hence not enforced, and said in reports (`BOUNDS`): what an A-label decodes to, and the length of
a U-label's A-label beyond the 59 code points that always exceed it.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Iterable

from grammars.ir import Table
from grammars.regex import charset, lower_regex, parse_regex
from grammars.regex.syntax import Ranges

A_LABELS = "labels that begin with xn-- are checked as letters, digits and hyphens, not decoded (RFC 5891, section 5.4)"
BOUNDS = f"{A_LABELS}; other labels have at most 59 characters (their A-label at most 63, RFC 5890, section 2.3.2.1)"

_DUAL = (
    "620 626 628 62A-62E 633-63F 641-647 649-64A 66E-66F 678-687 69A-6BF 6C1-6C2 6CC 6CE 6D0-6D1 6FA-6FC 6FF 712-714 "
    "71A-71D 71F-727 729 72B 72D-72E 74E-758 75C-76A 76D-770 772 775-777 77A-77F 7CA-7EA 841-845 848 84A-853 855 860 "
    "862-865 868 886 889-88D 8A0-8A9 8AF-8B0 8B3-8B8 8BA-8C8 1807 1820-1878 1887-18A8 18AA A840-A871 10AC0-10AC4 "
    "10AD3-10AD6 10AD8-10ADC 10ADE-10AE0 10AEB-10AEE 10B80 10B82 10B86-10B88 10B8A-10B8B 10B8D 10B90 10BAD-10BAE "
    "10D01-10D21 10D23 10F30-10F32 10F34-10F44 10F51-10F53 10F70-10F73 10F76-10F81 10FB0 10FB2-10FB3 10FB8 10FBB-10FBC "
    "10FBE-10FBF 10FC1 10FC4 10FCA 1E900-1E943"
)
_RIGHT = (
    "622-625 627 629 62F-632 648 671-673 675-677 688-699 6C0 6C3-6CB 6CD 6CF 6D2-6D3 6D5 6EE-6EF 710 715-719 71E 728 72A "
    "72C 72F 74D 759-75B 76B-76C 771 773-774 778-779 840 846-847 849 854 856-858 867 869-86A 870-882 88E 8AA-8AC 8AE "
    "8B1-8B2 8B9 10AC5 10AC7 10AC9-10ACA 10ACE-10AD2 10ADD 10AE1 10AE4 10AEF 10B81 10B83-10B85 10B89 10B8C 10B8E-10B8F "
    "10B91 10BA9-10BAC 10D22 10F33 10F54 10F74-10F75 10FB4-10FB6 10FB9-10FBA 10FBD 10FC2-10FC3 10FC9"
)
_LEFT = "A872 10ACD 10AD7 10D00 10FCB"

SEPARATORS = ".\u3002\uff0e\uff61"
ZWNJ, ZWJ, MIDDLE_DOT, KERAIA, GERESH, KATAKANA_DOT = "\u200c", "\u200d", "\u00b7", "\u0375", "\u05f3\u05f4", "\u30fb"
_CONTEXT = ZWNJ + ZWJ + MIDDLE_DOT + KERAIA + GERESH + KATAKANA_DOT
# RFC 5892, section 2.6
_VALID = "\u00df\u03c2\u06fd\u06fe\u0f0b\u3007"
_NEVER = "\u0640\u07fa\u302e\u302f\u3031\u3032\u3033\u3034\u3035\u303b"
# Default_Ignorable_Code_Point among letters, marks and digits (section 2.3); two blocks of symbols that combine and the
# two of musical notation (2.4); conjoining jamo (2.9)
_IGNORABLE = "34F 115F-1160 17B4-17B5 180B-180D 180F 3164 FE00-FE0F FFA0 E0100-E01EF"
_BLOCKS = "20D0-20FF 1D100-1D1FF 1D200-1D24F"
_JAMO = "1100-11FF A960-A97C D7B0-D7C6 D7CB-D7FB"


def _ranges(text: str) -> Ranges:
    pairs = [p.split("-") for p in text.split()]
    return charset.normalise([(int(p[0], 16), int(p[-1], 16)) for p in pairs])


def _points(text: str) -> frozenset[int]:
    return frozenset(p for lo, hi in _ranges(text) for p in range(lo, hi + 1))


@functools.lru_cache(maxsize=1)
def label_characters() -> str:
    """The characters that U-labels may hold, those with contextual rules included. About 0.6 s the first time."""
    never = _points(_IGNORABLE) | _points(_BLOCKS) | _points(_JAMO) | {ord(c) for c in _NEVER}
    kinds = {"Ll", "Lu", "Lo", "Nd", "Lm", "Mn", "Mc"}
    points = [
        c
        for c in map(chr, range(0x80, 0x110000))
        if unicodedata.category(c) in kinds and ord(c) not in never and _stable(c)
    ]
    return "".join(sorted({*points, *_VALID, *_CONTEXT, *"abcdefghijklmnopqrstuvwxyz0123456789-"}))


def _stable(c: str) -> bool:
    normal = unicodedata.normalize("NFKC", c)
    return normal == c and unicodedata.normalize("NFKC", normal.casefold()) == c


def lower_hostname(table: Table, dashes: bool) -> int:
    """RFC 1123 names. `dashes`: a third and fourth hyphen in any label, as before IDNA reserved them."""
    return _Names(table).ascii(dashes)


def lower_idn_hostname(table: Table) -> int:
    """Internationalised names, as U-labels, A-labels or both."""
    return _Names(table).international()


class _Names:
    def __init__(self, table: Table) -> None:
        self.table = table

    # ------------------------------------------------------------------ pieces
    def read(self, pattern: str) -> int:
        return lower_regex(parse_regex(pattern, "python"), self.table)

    def chars(self, members: Iterable[str]) -> int:
        ranges = charset.normalise([(ord(c), ord(c)) for c in members])
        return self.table.char_class(ranges) if ranges else self.table.empty()

    def but(self, members: Iterable[str]) -> int:
        """Any character outside `members`."""
        return self.table.char_class(charset.complement(charset.normalise([(ord(c), ord(c)) for c in members])))

    def either(self, *parts: int) -> int:
        return self.table.disjunction(*dict.fromkeys(parts))

    def star(self, *parts: int) -> int:
        return self.table.repeat(self.either(*parts), 0, None)

    def maybe(self, part: int) -> int:
        return self.table.repeat(part, 0, 1)

    def up_to(self, part: int, most: int) -> int:
        return self.table.repeat(part, 0, most)

    def labels(self, label: int, separators: str) -> int:
        t = self.table
        return t.concat(label, self.star(t.concat(self.chars(separators), label)))

    def length(self) -> int:
        return self.table.repeat(self.table.char_class(charset.ANY), 1, 253)

    # ------------------------------------------------------------------ ASCII
    def ascii(self, dashes: bool) -> int:
        t = self.table
        label = self.read("[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
        parts = [self.length(), self.labels(label, ".")]
        if not dashes:
            parts.append(self.labels(self.hyphens("A-Za-z0-9"), "."))
        return t.conjunction(t.text(), *parts)

    def hyphens(self, members: str) -> int:
        """Hyphens at the third and fourth place begin A-labels only (RFC 5891, section 4.2.3.1)."""
        x, any_ = f"[{members}]", f"[{members}-]"
        free = f"{any_}{{0,2}}|{any_}{{2}}{x}{any_}*|{any_}{{2}}-(?:{x}{any_}*)?"
        return self.read(rf"{free}|[Xx][Nn]--[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")

    # ------------------------------------------------------------------ internationalised
    def international(self) -> int:
        t = self.table
        self.allowed = label_characters()
        wide = [c for c in self.allowed if c > "\x7f"]
        upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        marks = [c for c in wide if unicodedata.category(c)[0] == "M"]
        every = self.chars(self.allowed)
        rules = [
            self.shape([*self.allowed, *upper], marks),
            self.kinds(every, wide),
            self.dashes(),
            self.middle_dot(),
            self.keraia(),
            self.geresh(),
            self.katakana_dot(every),
            self.arabic_digits(),
            self.joiner(),
            self.non_joiner(),
            self.directions(),
            self.composed(),
            self.length(),
        ]
        return t.conjunction(t.text(), *rules)

    def of_labels(self, label: int) -> int:
        return self.labels(label, SEPARATORS)

    def script(self, *prefixes: str, but: str = "", more: str = "") -> list[str]:
        """The label characters whose name begins with one of `prefixes`."""
        named = [c for c in self.allowed if unicodedata.name(c, "").startswith(prefixes) and c not in but]
        return named + list(more)

    def shape(self, members: list[str], marks: list[str]) -> int:
        """No hyphen at either end, no combining mark first, at most 63 characters (RFC 5891, sections 4.2.3.1 and 2)."""
        t = self.table
        first, last, inner = (self.chars(set(members) - {*s}) for s in ({"-", *marks}, {"-"}, set[str]()))
        return self.of_labels(t.concat(first, self.maybe(t.concat(self.up_to(inner, 61), last))))

    def kinds(self, every: int, wide: list[str]) -> int:
        """A label is ASCII, of any case, or a U-label: lower case, something beyond ASCII, at most 59 characters."""
        t = self.table
        ascii_label = self.read("[A-Za-z0-9-]+")
        some = t.concat(self.read("[a-z0-9-]*"), self.chars(wide), self.star(every))
        return t.conjunction(
            self.of_labels(self.either(ascii_label, some)),
            self.of_labels(self.either(ascii_label, self.up_to(every, 59))),
        )

    def dashes(self) -> int:
        t = self.table
        any_, x = self.but(SEPARATORS), self.but(SEPARATORS + "-")
        two, dash = t.repeat(any_, 2, 2), self.read("-")
        rest = self.maybe(t.concat(x, self.star(any_)))
        free = self.either(self.up_to(any_, 2), t.concat(two, x, self.star(any_)), t.concat(two, dash, rest))
        a_label = self.read("[Xx][Nn]--[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
        return self.of_labels(self.either(free, a_label))

    def after(self, rule: str, before: Iterable[str], repeats: bool) -> int:
        """Characters of `rule` only after one of `before`, or (`repeats`) after each other."""
        t = self.table
        before = set(before) - set(rule)
        follow = self.chars(rule)
        follow = self.star(follow) if repeats else self.maybe(follow)
        return self.star(self.but({*rule, *before}), t.concat(self.chars(before), follow))

    def middle_dot(self) -> int:  # RFC 5892, appendix A.3
        return self.star(self.but(MIDDLE_DOT + "l"), self.read(f"l(?:{MIDDLE_DOT}l)*"))

    def keraia(self) -> int:  # A.4
        t = self.table
        greek = self.chars(set(self.script("GREEK", but="\u0374")) - {KERAIA})
        return self.star(self.but(KERAIA), t.concat(t.repeat(self.chars(KERAIA), 1, None), greek))

    def geresh(self) -> int:  # A.5, A.6
        return self.after(GERESH, self.script("HEBREW"), repeats=True)

    def katakana_dot(self, every: int) -> int:  # A.7
        t = self.table
        members = self.script("HIRAGANA", "HENTAIGANA", "KATAKANA", but=KATAKANA_DOT + "\u30fc")
        members += self.script("CJK UNIFIED", more="\u3005\u3007\U00016fe3\U00016ff0\U00016ff1")
        without = self.star(self.but(SEPARATORS + KATAKANA_DOT))
        return self.of_labels(self.either(without, t.concat(self.star(every), self.chars(members), self.star(every))))

    def arabic_digits(self) -> int:  # A.8, A.9
        one, other = (self.star(self.but([*SEPARATORS, *map(chr, range(z, z + 10))])) for z in (0x660, 0x6F0))
        return self.of_labels(self.either(one, other))

    def viramas(self) -> list[str]:
        return [c for c in self.allowed if unicodedata.combining(c) == 9]

    def joiner(self) -> int:  # A.2
        return self.after(ZWJ, self.viramas(), repeats=False)

    def non_joiner(self) -> int:  # A.1
        t = self.table
        dual, right, left = (_ranges(x) for x in (_DUAL, _RIGHT, _LEFT))
        transparent = self.star(self.chars(c for c in self.allowed if unicodedata.category(c) in ("Mn", "Me")))
        joins_left = t.concat(t.char_class(charset.normalise([*dual, *left])), transparent)
        joins_right = t.concat(transparent, t.char_class(charset.normalise([*dual, *right])))
        text, mark = t.text(), self.chars(ZWNJ)

        def lacks(pattern: int) -> int:
            return t.conjunction(text, t.negation(pattern))

        after_virama = t.concat(text, self.chars(self.viramas()))
        unjoined = lacks(self.either(after_virama, t.concat(text, joins_left)))
        bad = self.either(
            t.concat(unjoined, mark, text), t.concat(lacks(after_virama), mark, lacks(t.concat(joins_right, text)))
        )
        return lacks(bad)

    def directions(self) -> int:
        """RFC 5893, section 2: in a name with right-to-left characters every label obeys the Bidi rule."""
        t = self.table
        classes: dict[str, list[str]] = {}
        for c in {*self.allowed, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"}:
            classes.setdefault(unicodedata.bidirectional(c), []).append(c)

        def of(names: str, but: str = "") -> int:
            return self.chars(c for n in names.split() for c in classes.get(n, ()) if c not in but)

        trail = self.star(of("NSM"))
        # these need left-to-right characters in their label: said at once, that is no dead end to search for
        needy = MIDDLE_DOT + KERAIA + KATAKANA_DOT

        def right_to_left(digits: str, others: str) -> int:
            middle = self.star(of(f"R AL ES CS ET ON BN NSM {others}", but=needy))
            return t.concat(of("R AL"), self.maybe(t.concat(middle, of(f"R AL {digits}"))), trail)

        neutral = self.star(of("L EN ES CS ET ON BN NSM"))
        left_to_right = t.concat(of("L"), self.maybe(t.concat(neutral, of("L EN"))), trail)
        rule = self.either(right_to_left("EN", "EN"), right_to_left("AN", "AN"), left_to_right)
        plain = self.star(self.but(c for n in ("R", "AL", "AN") for c in classes.get(n, ())))
        return self.either(plain, self.of_labels(rule))

    def composed(self) -> int:
        """Normalisation form C (RFC 5891, section 4.1): marks in canonical order, and none that would compose."""
        t = self.table
        of_class: dict[int, list[str]] = {}
        for c in self.allowed:
            if unicodedata.combining(c):
                of_class.setdefault(unicodedata.combining(c), []).append(c)

        def below(k: int) -> int:
            return self.chars(c for other, members in of_class.items() if other < k for c in members)

        bad = [t.concat(self.chars(members), below(k)) for k, members in of_class.items() if k > min(of_class)]
        for second, firsts in self.compositions().items():
            k = unicodedata.combining(second)
            between = self.star(below(k)) if k > min(of_class) else t.epsilon()
            bad.append(t.concat(self.chars(firsts), between, self.chars(second)))
        return t.conjunction(t.text(), t.negation(t.concat(t.text(), self.either(*bad), t.text())))

    def compositions(self) -> dict[str, list[str]]:
        """Characters that cannot follow others in form C, with those others: they compose, perhaps by taking the place of a
        mark that the other was composed with."""
        allowed = set(self.allowed)
        firsts: set[str] = set()
        seconds: set[str] = set()
        for p in range(0xC0, 0x20000):
            parts = unicodedata.decomposition(chr(p)).split()
            if len(parts) == 2 and not parts[0].startswith("<"):
                first, second = (chr(int(x, 16)) for x in parts)
                firsts.update((first, chr(p)))
                seconds.add(second)
        normal = unicodedata.normalize
        return {
            c: found
            for c in sorted(seconds & allowed)
            if (found := [x for x in sorted(firsts & allowed) if normal("NFC", x + c) != x + c])
        }


@functools.lru_cache(maxsize=3)
def lowered(name: str, dashes: bool = False) -> tuple[Table, int]:
    """A table of its own that holds the language of ``hostname`` or ``idn-hostname``, to be copied from."""
    table = Table()
    make: Callable[[Table], int] = lower_idn_hostname if name == "idn-hostname" else lambda t: lower_hostname(t, dashes)
    return table, make(table)
