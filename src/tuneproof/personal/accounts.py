"""Cards and bank accounts: by their form and check digits, or by the words around a number.

    [detector.kind for detector in (*IBANS, *CARDS, *EXPLAINED)]

A card number is 13 to 19 digits of a known issuer that pass Luhn. Four groups of four digits are one without that
(people mistype them), and so is a long number near the word "card". The last four digits of a card, an account or a
social security number count when the text says what they are.
"""

from __future__ import annotations

import re

from tuneproof.personal.checksums import luhn, mod_97
from tuneproof.personal.detector import DIGITS, SEPARATOR, Detector, Span, any_case, digits

# -- cards

ISSUER = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"  # Mastercard
    r"|220[0-4][0-9]{12,15}"  # Mir
    r"|3[47][0-9]{13}|3(?:0[0-5]|[689][0-9])[0-9]{11,16}|35(?:2[89]|[3-8][0-9])[0-9]{12,15}"  # Amex, Diners, JCB
    r"|6[0-9]{12,18}|5[0678][0-9]{11,17}"  # Discover, UnionPay, Maestro, RuPay
)
FREE_BEFORE = r"(?<![\w+])(?<![0-9][.,])"
FREE_AFTER = r"(?![\w])(?!\.[0-9])"


def _card(match: re.Match[str]) -> Span | None:
    number = digits(match.group())
    return match.span() if ISSUER.fullmatch(number) and luhn(number) else None


def _fours(match: re.Match[str]) -> Span | None:
    """Of four or five groups of four digits the four that pass Luhn; else all, if nothing says that they are a list."""
    text, start = match.string, match.start()
    places = [(start + one.start(), start + one.end()) for one in re.finditer("[0-9]{4}", match.group())]
    groups = [text[slice(*place)] for place in places]
    for first in range(len(groups) - 3):
        number = "".join(groups[first : first + 4])
        if ISSUER.fullmatch(number) and luhn(number):
            return places[first][0], places[first + 3][1]
    amounts = sum(group.endswith("00") for group in groups) > 1 or all(group[:2] in ("19", "20") for group in groups)
    around = text[max(0, start - 4) : start], text[match.end() : match.end() + 4]
    listed = re.search(r"[0-9][^\w]{1,3}$", around[0]) or re.match(r"[^\w]{1,3}[0-9]", around[1])
    return None if amounts or listed or "0000" in groups else match.span()  # 0000 begins an ORCID, and no card


# American Express and Diners; four groups and three digits; groups of other sizes
AMERICAN = rf"[0-9]{{4}}{SEPARATOR}{{1,3}}[0-9]{{6}}{SEPARATOR}{{1,3}}[0-9]{{4,5}}"
NINETEEN = rf"(?:[0-9]{{4}}{SEPARATOR}?){{4}}[0-9]{{3}}"
OTHERS = "|".join(rf"[0-9]{{3,8}}(?:{sign}[0-9]{{3,8}}){{1,5}}" for sign in (" ", "-", "\u00a0"))

CARDS = (
    Detector("CARD", DIGITS, re.compile(rf"{FREE_BEFORE}[0-9]{{13,19}}{FREE_AFTER}"), _card),
    Detector(
        "CARD",
        DIGITS,
        re.compile(rf"{FREE_BEFORE}(?:{AMERICAN}|{NINETEEN}|{OTHERS}){FREE_AFTER}"),
        _card,
    ),
    Detector(
        "CARD",
        DIGITS,
        re.compile(rf"{FREE_BEFORE}[0-9]{{4}}(?:{SEPARATOR}{{1,3}}[0-9]{{4}}){{3,4}}{FREE_AFTER}"),
        _fours,
    ),
)

# -- accounts

# characters of an IBAN by country (ISO 13616 registry)
IBAN_LENGTH = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip


def _iban(match: re.Match[str]) -> Span | None:
    """As many characters as the country's have; what follows after a gap is the next word."""
    text = match.group()
    length = IBAN_LENGTH.get(text[:2].upper())
    places = [place for place, character in enumerate(text) if character.isalnum()]
    if length is None or len(places) < length:
        return None
    end = places[length - 1] + 1
    after = match.string[match.start() + end : match.start() + end + 1]
    code = "".join(text[place] for place in places[:length]).upper()
    return (match.start(), match.start() + end) if not after.isalnum() and mod_97(code) else None


IBANS = (
    Detector(
        "IBAN",
        ("[A-Za-z]{2}[0-9]{2}[ .\u00a0-]?[A-Za-z0-9]{4}",),
        re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ .\u00a0-]?[A-Za-z0-9]){11,32}"),
        _iban,
    ),
)

# -- numbers that a word next to them explains

FILLER = (
    r"(?i:is|are|was|as|it|its|it's|my|the|this|that|here|last|four|4|digits?|of|ending|ends?|in|number|numbers|no|num|nr"
    r"|card|account|credit|debit|savings?|checking|bank|id|code|yes|yeah|sure|ok|okay|please|sir|and|also|sorry|actually|with)"
)
BETWEEN = rf"(?:[^\w]{{1,4}}{FILLER}\b){{0,8}}[^\w]{{1,4}}"
STRONG = r"(?i:number|numbers|no|num|nr|#|ending|ends?|digits?)"
NUMBERED = rf"(?:[^\w]{{1,4}}{FILLER}\b){{0,4}}[^\w]{{0,4}}{STRONG}\b{BETWEEN}"
TURNED = r"(?:[^\w]{1,3}(?i:this|that|it|is|was|are|be|as|my|the|last|four|4|digits?|of|our|his|her)\b){1,6}[^\w]{1,3}"
AMOUNT = r"(?! ?(?i:dollars?|usd|eur|euros?|pounds?|gbp|rupees|rs|bucks|cents|€|£|\$|%|days?|years?|times))"
SHORT = rf"(?P<value>[0-9]{{4,11}})(?![\w])(?![.,/-][0-9]){AMOUNT}"
LONG = r"(?P<value>[0-9]{3,19}(?:[ .-][0-9]{3,8}){0,5})(?![\w])"
CARD, ACCOUNT = r"(?i:cards?|visa|mastercard|amex|credit|debit)", r"(?i:account|acct|a/c)"
SSN = r"\b(?i:ssn|social security)"
SSN_DIGITS = (
    r"(?P<value>[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4}|[0-9]{3}[ -][0-9]{2}[ -][0-9]{3,4}|[0-9]{4}|[0-9]{8})(?![\w])"
)
HINTS = (
    "[0-9][0-9 .-]{2}[0-9]",
    any_case(
        "ssn|social security|account|acct|acc |acc.|ac |a/c|card|visa|amex|credit|debit|mastercard|routing|sort code"
    ),
)


def _not_a_year(match: re.Match[str]) -> Span | None:
    """The value, unless it is a year: "opened my account in 2019"."""
    start, end = match.span("value")
    year = re.fullmatch(r"(?:19|20)[0-9]{2}", match.group("value"))
    said = re.search(r"(?i:\b(?:in|of|since|from|and|the|was))[ ]$", match.string[max(0, start - 8) : start])
    return None if year and said else (start, end)


def _long(match: re.Match[str]) -> Span | None:
    return match.span("value") if 12 <= len(digits(match.group("value"))) <= 19 else None


def _near(kind: str, before: str, number: str, after: str = "") -> Detector:
    return Detector(kind, HINTS, re.compile(before + number + after), _not_a_year, True)


EXPLAINED = (
    Detector("CARD", HINTS, re.compile(rf"{CARD}[^0-9\n/?&]{{1,40}}{LONG}"), _long, True),
    Detector("CARD", HINTS, re.compile(rf"{FREE_BEFORE}{LONG}[^0-9\n/?&]{{1,30}}{CARD}"), _long, True),
    _near("SSN", SSN + BETWEEN, SSN_DIGITS),
    _near("SSN", FREE_BEFORE, r"(?P<value>[0-9]{4}|[0-9]{8,9})", rf"{TURNED}{SSN}\b"),
    _near("CARD", rf"(?:{CARD}{NUMBERED}|\b(?i:credit|debit) (?i:card)[^\w]{{1,3}})", SHORT),
    _near("CARD", FREE_BEFORE, r"(?P<value>[0-9]{4,11})", rf"{TURNED}(?i:credit |debit )?{CARD}\b"),
    _near(
        "ACCOUNT",
        rf"(?:{ACCOUNT}|\b(?i:acc?){NUMBERED}){BETWEEN}?",
        r"(?P<value>[0-9](?:[ -]?[0-9]){5,17})(?![\w])" + AMOUNT,
    ),
    _near("ACCOUNT", rf"(?:{ACCOUNT}(?:{NUMBERED}|[^\w]{{1,3}})|\b(?i:acc?){NUMBERED})", SHORT),
    _near("ACCOUNT", FREE_BEFORE, r"(?P<value>[0-9]{4,18})", rf"{TURNED}(?i:savings? |bank |checking )?{ACCOUNT}\b"),
    _near("ACCOUNT", rf"{ACCOUNT}[^0-9\n/?&]{{1,40}}", r"(?P<value>[0-9]{9,18})(?![\w])" + AMOUNT),
    _near("ACCOUNT", rf"\b(?i:routing){BETWEEN}", r"(?P<value>[0-9]{9})(?![\w])"),
    _near("ACCOUNT", rf"\b(?i:sort code){BETWEEN}", r"(?P<value>[0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{2})(?![\w])"),
)
