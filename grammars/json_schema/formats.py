"""The formats of the standard as regular languages, each with the document that defines it.

Most formats are a Python-dialect pattern for the whole string; host names and patterns have modules of their own. Each is
lowered once and copied into tables that use it. Every name outside `NAMES` is unknown and therefore annotation.
"""

from __future__ import annotations

import functools

from grammars.ir import Table
from grammars.json_schema import format_idn, format_regex
from grammars.regex import lower_regex, parse_regex

# RFC 3339, section 5.6, with the calendar of its appendix C; years from 0001 on (ISO 8601 has earlier ones by agreement only)
_DATE = (
    r"(?:(?!0000)[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)"
)
_HOUR = r"(?:[01][0-9]|2[0-3])"
_FRACTION = r"(?:\.[0-9]+)?"


def _leap_seconds() -> str:
    """Second 60 exists only at 23:59 UTC: the local time is fixed by the offset. Hours and minutes are separate conditions
    (a lookahead and what follows it), so that 48 offsets of each suffice."""
    tail = f":60{_FRACTION}"
    ways = [f"23:59{tail}[Zz]"]
    ways += [rf"{(h + 23) % 24:02}:59{tail}\+{h:02}:00" for h in range(24)]
    hours = "|".join(rf"{h:02}:..{tail}\+{h:02}" for h in range(24))
    minutes = "|".join(rf"{m - 1:02}{tail}\+[0-9]{{2}}:{m:02}" for m in range(1, 60))
    ways.append(rf"(?=(?:{hours}):)[0-9]{{2}}:(?:{minutes})")
    hours = "|".join(rf"{23 - h:02}:..{tail}-{h:02}" for h in range(24))
    minutes = "|".join(rf"{59 - m:02}{tail}-[0-9]{{2}}:{m:02}" for m in range(60))
    ways.append(rf"(?=(?:{hours}):)[0-9]{{2}}:(?:{minutes})")
    return "|".join(ways)


_TIME = rf"{_HOUR}:[0-5][0-9]:[0-5][0-9]{_FRACTION}(?:[Zz]|[+-]{_HOUR}:[0-5][0-9])"

# RFC 3986, appendix A; IRI: RFC 3987, section 2.2
_H16 = "[0-9A-Fa-f]{1,4}"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_LS32 = rf"(?:{_H16}:{_H16}|{_IPV4})"
_IPV6 = (
    rf"(?:(?:{_H16}:){{6}}{_LS32}|::(?:{_H16}:){{5}}{_LS32}|(?:{_H16})?::(?:{_H16}:){{4}}{_LS32}"
    rf"|(?:(?:{_H16}:){{0,1}}{_H16})?::(?:{_H16}:){{3}}{_LS32}|(?:(?:{_H16}:){{0,2}}{_H16})?::(?:{_H16}:){{2}}{_LS32}"
    rf"|(?:(?:{_H16}:){{0,3}}{_H16})?::{_H16}:{_LS32}|(?:(?:{_H16}:){{0,4}}{_H16})?::{_LS32}"
    rf"|(?:(?:{_H16}:){{0,5}}{_H16})?::{_H16}|(?:(?:{_H16}:){{0,6}}{_H16})?::)"
)
_UCS = (
    "\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef"
    + "".join(f"{chr(p << 16)}-{chr((p << 16) + 0xFFFD)}" for p in range(1, 0xE))
    + "\U000e1000-\U000efffd"
)
_PRIVATE = "\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"


def _uri(extra: str, private: str, relative: bool) -> str:
    pct = "%[0-9A-Fa-f]{2}"
    unreserved = rf"A-Za-z0-9\-._~{extra}"
    sub = r"!$&'()*+,;="
    pchar = rf"(?:[{unreserved}{sub}:@]|{pct})"
    segment_nc = rf"(?:[{unreserved}{sub}@]|{pct})+"
    reg_name = rf"(?:[{unreserved}{sub}]|{pct})*"
    literal = rf"\[(?:{_IPV6}|[vV][0-9A-Fa-f]+\.[A-Za-z0-9\-._~{sub}:]+)\]"
    authority = rf"(?:(?:[{unreserved}{sub}:]|{pct})*@)?(?:{literal}|{reg_name})(?::[0-9]*)?"
    rest = rf"(?:\?(?:{pchar}|[/?{private}])*)?(?:#(?:{pchar}|[/?])*)?"
    abempty, absolute = rf"(?:/{pchar}*)*", rf"/(?:{pchar}+(?:/{pchar}*)*)?"
    full = rf"[A-Za-z][A-Za-z0-9+\-.]*:(?://{authority}{abempty}|{absolute}|{pchar}+(?:/{pchar}*)*|){rest}"
    if not relative:
        return full
    return rf"{full}|(?://{authority}{abempty}|{absolute}|{segment_nc}(?:/{pchar}*)*|){rest}"


def _mailbox(extra: str) -> str:
    """RFC 5321, section 4.1.2; with RFC 6531, section 3.3, for `extra` characters."""
    atom = rf"[A-Za-z0-9!#$%&'*+\-/=?^_`{{|}}~{extra}]+"
    quoted = rf'"(?:[ !#-\[\]-~{extra}]|\\[ -~])*"'
    label = rf"[A-Za-z0-9{extra}](?:[A-Za-z0-9\-{extra}]*[A-Za-z0-9{extra}])?"
    literal = rf"\[(?:{_IPV4}|[Ii][Pp][Vv]6:{_IPV6})\]"
    return rf"(?:{atom}(?:\.{atom})*|{quoted})@(?:{label}(?:\.{label})*|{literal})"


# RFC 3339, appendix A (ISO 8601 durations)
_DURATION_TIME = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_DURATION = rf"P(?:[0-9]+W|{_DURATION_TIME}|(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)(?:{_DURATION_TIME})?)"
_POINTER = r"(?:/(?:[^~/]|~[01])*)*"  # RFC 6901, section 3


def _uri_template() -> str:
    """RFC 6570, section 2."""
    pct = "%[0-9A-Fa-f]{2}"
    literal = rf"[!#$&-;=?-\[\]_a-z~{_UCS}{_PRIVATE}]|{pct}"
    varchar = rf"(?:[A-Za-z0-9_]|{pct})"
    name = rf"{varchar}(?:\.?{varchar})*"
    spec = rf"{name}(?::[1-9][0-9]{{0,3}}|\*)?"
    return rf"(?:{literal}|\{{[+#./;?&=,!@|]?{spec}(?:,{spec})*\}})*"


def _patterns() -> dict[str, str]:
    return {
        "date": _DATE,
        "time": f"{_TIME}|{_leap_seconds()}",
        "date-time": f"{_DATE}[Tt]",  # before a time
        "duration": _DURATION,
        "email": _mailbox(""),
        "idn-email": _mailbox("\u0080-\U0010ffff"),
        "ipv4": _IPV4,
        "ipv6": _IPV6,
        "uri": _uri("", "", relative=False),
        "uri-reference": _uri("", "", relative=True),
        "iri": _uri(_UCS, _PRIVATE, relative=False),
        "iri-reference": _uri(_UCS, _PRIVATE, relative=True),
        "uri-template": _uri_template(),
        "uuid": "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
        "json-pointer": f"(?s:{_POINTER})",
        "relative-json-pointer": f"(?s:(?:0|[1-9][0-9]*)(?:#|{_POINTER}))",
    }


NAMES = frozenset(_patterns()) | {"hostname", "idn-hostname", "regex"}
# What a format leaves out or narrows, for reports.
NOTES = {
    "hostname": format_idn.A_LABELS,
    "idn-hostname": format_idn.BOUNDS,
    "regex": format_regex.BOUNDS,
}


@functools.lru_cache(maxsize=len(NAMES) + 1)
def _lowered(name: str, draft: int) -> tuple[Table, int]:
    if name == "regex":
        return format_regex.lowered()
    if name in ("hostname", "idn-hostname"):
        return format_idn.lowered(name, dashes=draft < 7)
    table = Table()
    whole = lower_regex(parse_regex(_patterns()[name], "python"), table)
    if name == "date-time":
        whole = table.concat(whole, lower_format("time", table))
    return table, whole


def lower_format(name: str, table: Table, draft: int = 2020) -> int:
    """The node of the strings that conform to the format `name`, one of `NAMES`.

    draft: hyphens at the third and fourth place of host names are free before draft 7, which refers to IDNA.
    """
    return table.absorb(*_lowered(name, min(draft, 7) if name == "hostname" else 2020))
