"""Where a person is reached: e-mail addresses, telephone numbers, addresses on the net.

    [detector.kind for detector in (*EMAIL, *NET, *PHONE)]

National telephone numbers are written in hundreds of ways; the forms here are those with a leading 0, those of North
America, and any number of seven digits or more behind a word such as "phone".
"""

from __future__ import annotations

import ipaddress
import re
from itertools import pairwise

from tuneproof.personal.detector import DIGITS, Detector, Span, any_case, digits

# -- e-mail

NOT_A_DOMAIN = frozenset(("png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "json"))  # photo@2x.png
LOCAL = r"(?P<local>(?<![\w.+%&-])\w[\w.+%&'-]{0,63})"
SPOKEN = r"[ ]?[\[({][ ]?(?i:at)[ ]?[\])}][ ]?"  # john [at] example [dot] org
DOT = r"(?:\.|[ ]?[\[({][ ]?(?i:dot)[ ]?[\])}][ ]?)"


def _email(match: re.Match[str]) -> Span | None:
    """Not git@github.com:owner/name, which is nobody's."""
    return None if match.group("local") == "git" or match.group("last").lower() in NOT_A_DOMAIN else match.span()


EMAIL = (
    Detector(
        "EMAIL",
        ("@",),
        re.compile(
            rf"{LOCAL}@(?:[\w-]{{1,63}}\.){{1,8}}(?P<last>[xX][nN]--[A-Za-z0-9-]{{2,59}}|[^\W\d_]{{2,24}})(?![\w-])"
        ),
        _email,
    ),
    Detector(
        "EMAIL",
        (r"[\[({] ?[aA][tT] ?[\])}]",),
        re.compile(rf"{LOCAL}{SPOKEN}(?:[\w-]{{1,63}}{DOT}){{1,8}}(?P<last>[^\W\d_]{{2,24}})(?![\w-])"),
        _email,
    ),
)

# -- telephone (ITU-T E.164: at most 15 digits, the country's first)

COUNTRY = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2[1-69][0-9]|3[578][0-9]|42[0-9]|5[09][0-9]"
    r"|6[789][0-9]|8[05789][0-9]|9[679][0-9]"
)
STEP = r"[ ./()\u00a0\u2010-\u2013-]"
DASH = r"\u2010-\u2013-"
EXTENSION = r"(?:[ ,]{0,2}(?i:ext|x)\.?[ ]?[0-9]{1,5})?"
NO_AMOUNT = r"(?<![\w$€£.,])"
CALLED = (
    r"\b(?i:phone|telephone|tel|mobile|cell|cellphone|whatsapp|fax|handy|telefon|telefono|teléfono|móvil|portable|tél"
    r"|(?:call|ring|text|reach|dial|contact)(?: (?:me|us|him|her|them))?)"
)
CALLED_HINT = any_case("phone|tel|mobile|cell|whatsapp|fax|handy|tél|móvil|portable|call|ring|text|reach|dial|contact")
BETWEEN = r"(?i:number|numbers|no|nr|num|is|at|on|me|us|my|the|to|it|its|this|here|yes|sure|ok|under|or)"


def _international(match: re.Match[str]) -> Span | None:
    """Behind 00 the country stands by itself: zeros in front of any number look like this otherwise."""
    first, number = match.group("first"), digits(match.group("number"))
    if match.group("sign") == "00" and not (COUNTRY.fullmatch(first) and match.group("number") != number):
        return None
    if number.startswith("1"):
        return match.span() if re.fullmatch(r"1[2-9][0-9]{2}[2-9][0-9]{6}", number) else None
    return match.span() if COUNTRY.match(number) and 8 <= len(number) <= 15 else None


def _american(match: re.Match[str]) -> Span | None:
    """Three, three and four digits; with mere spaces between, round numbers are amounts."""
    area, exchange = match.group("area") or match.group("enclosed"), match.group("exchange")
    spaced = not re.search(rf"[()./{DASH}]", match.group())
    return None if area[1:] == "11" or (spaced and area[-1] == exchange[-1] == "0") else match.span()


def _leading_zero(match: re.Match[str]) -> Span | None:
    """Nine to twelve digits, separators of one sort, no counting up (01 02 03 04 05), no ZIP code (07042-1234)."""
    text = match.group()
    if not 9 <= len(digits(text)) <= 12 or ("." in text and re.search(r"[ -]", text)):
        return None
    groups = re.findall(r"[0-9]+", text)
    steps = {int(after) - int(before) for before, after in pairwise(groups)}
    counted = len(groups) > 2 and len(steps) == 1
    return None if counted or re.fullmatch(r"[0-9]{5}-[0-9]{4}", text) else match.span()


def _called(match: re.Match[str]) -> Span | None:
    return match.span("value") if 7 <= len(digits(match.group("value"))) <= 15 else None


PHONE = (
    Detector(
        "PHONE",
        DIGITS,
        re.compile(
            r"(?<![\w+.-])(?P<sign>\+|00)(?P<number>[ (]{0,2}(?P<first>[1-9][0-9]{0,2})"
            rf"(?:{STEP}{{0,3}}[0-9]){{5,14}}){EXTENSION}(?![0-9])"
        ),
        _international,
    ),
    Detector(
        "PHONE",
        DIGITS,
        re.compile(
            rf"{NO_AMOUNT}(?<![0-9][-.])(?:1[ .-]?)?"
            rf"(?:\((?P<enclosed>[2-9][0-9]{{2}})\) ?|(?P<area>[2-9][0-9]{{2}})[ ./{DASH}])"
            rf"(?P<exchange>[2-9][0-9]{{2}})[ .{DASH}][0-9]{{4}}{EXTENSION}(?![\w])(?![-.][0-9])"
        ),
        _american,
    ),
    Detector(
        "PHONE",
        DIGITS,
        re.compile(
            rf"{NO_AMOUNT}(?<![0-9][-./ ])(?:\(0[1-9][0-9]{{0,4}}\)[ ./-]?[0-9]{{2,8}}(?:[ ./-][0-9]{{2,8}}){{0,5}}"
            r"|0[1-9][0-9]{0,4}(?:[ ./-][0-9]{2,8}){1,5})(?![\w])(?![ ./-][0-9])"
        ),
        _leading_zero,
    ),
    # mobile numbers in one piece: Britain, France and the Netherlands, Germany
    Detector("PHONE", DIGITS, re.compile(r"(?<![\w.,])(?:07[0-9]{9}|0[67][0-9]{8}|01[5-7][0-9]{8,9})(?!\w)")),
    Detector(
        "PHONE",
        (*DIGITS, CALLED_HINT),
        re.compile(
            rf"{CALLED}(?:[^\w]{{1,4}}{BETWEEN}\b){{0,5}}[^\w+(]{{1,4}}"
            rf"(?P<value>[+(]{{0,2}}[0-9](?:{STEP}{{0,2}}[0-9]){{6,14}})(?![\w])"
        ),
        _called,
        explained=True,
    ),
)

# -- addresses on the net

V4 = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
NOBODY = re.compile(r"0\.|127\.|255\.|224\.0\.")  # this host, netmasks, everybody
VERSION = r"(?P<version>\b(?i:v|ver|version|release|build)[ .:]{0,2})"
HOST = r"(?P<said>\b(?i:ip|ipv4|host|server|address)[ :=]{1,3}(?:is )?)"


def _v4(match: re.Match[str]) -> Span | None:
    """Not a version, and no section of a document: four numbers under 32, which one address in 4,000 has."""
    numbers = match.group("value").split(".")
    if NOBODY.match(match.group("value")) or match.group("version"):
        return None
    return match.span("value") if match.group("said") or max(map(int, numbers)) >= 32 else None


def _v6(match: re.Match[str]) -> Span | None:
    """As ``ipaddress`` reads it, with a global or local beginning: dead::beef is code, 10:30:00 a time."""
    text = match.group()
    if not re.match(r"(?:[23][0-9A-Fa-f]{3}|[Ff][CcDd][0-9A-Fa-f]{2}|[Ff][Ee]80):", text):
        return None
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return None
    return match.span()


NET = (
    Detector(
        "IP",
        (r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",),
        re.compile(rf"(?:{VERSION}|{HOST})?(?<![\w.])(?<!\b[vV])(?P<value>{V4}(?:\.{V4}){{3}})(?![\w])(?!\.[0-9])"),
        _v4,
    ),
    Detector(
        "IP",
        ("[0-9A-Fa-f]{4}:[0-9A-Fa-f]{0,4}:",),
        re.compile(r"(?<![\w:.])[0-9A-Fa-f]{4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.[0-9]{1,3}){0,3}(?![\w:])"),
        _v6,
    ),
)
