"""National identity numbers, each by its form and its check digit.

    [detector for detector in NATIONAL if detector.pattern.search("DNI 12345678Z")]

A number whose form is common and whose check lets one in ten pass is looked for only behind its own name (``named``).
Passports, driving licences and numbers without a check digit are found only behind their name, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tuneproof.personal.checksums import iso_11_10, luhn, verhoeff, weighted
from tuneproof.personal.detector import DIGITS, Detector, Hints, Span, any_case, digits

BEFORE = r"(?<![A-Za-z0-9_])(?<![0-9][.,/-])"
AFTER = r"(?![A-Za-z0-9_])(?![.,/-][0-9])"
KIND = "NATIONAL_ID"
LETTERED = ("[A-Z]{2} ?[0-9]{2}", "[0-9]{2} ?[A-Z]")
NAMED = (
    "[0-9]{3}",
    any_case("nhs|bsn|burgerservice|sofinummer|pesel|cpf|aadhaar|aadhar|uidai|tfn|tax file|passport|social insurance")
    + r"|\b[sS][iI][nN]\b",
)
DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (
    1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10,
    22, 25, 24, 23), strict=True))  # fmt: skip
CURP = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"


def _ssn(number: str) -> bool:
    """United States: area not 000 or 666, group not 00, serial not 0000 (9xx are taxpayer numbers)."""
    return number[:3] not in ("000", "666") and number[3:5] != "00" and number[5:] != "0000"


def _german_tax(number: str) -> bool:
    """One digit of the first ten stands there twice or three times, all others at most once."""
    counts = sorted(number[:10].count(digit) for digit in set(number[:10]))
    return counts[-1] in (2, 3) and counts[-2] == 1 and iso_11_10(number)


def _french(number: str) -> bool:
    body = number[:-2].replace("2A", "19", 1) if number[5:7] == "2A" else number[:-2].replace("2B", "18", 1)
    return 97 - int(body) % 97 == int(number[-2:])


def _belgian(number: str) -> bool:
    """The part before the key, with a 2 in front for those born from 2000 on."""
    return _month_and_day(number[2:6]) and int(number[9:]) in (
        97 - int(number[:9]) % 97,
        97 - int("2" + number[:9]) % 97,
    )


def _swedish(number: str) -> bool:
    return _month_and_day(number[-8:-4]) and luhn(number[-10:])


def _finnish(number: str) -> bool:
    code = number[:6] + number[7:]
    return _month_and_day(code[2:4] + code[:2]) and "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(code[:9]) % 31] == code[9]


def _month_and_day(text: str) -> bool:
    return 1 <= int(text[:2]) <= 12 and 1 <= int(text[2:]) <= 31


def _cpf(number: str) -> bool:
    """Brazil: two check digits, mod 11; eleven equal digits pass the sums and are nobody's."""
    for length in (9, 10):
        if weighted(number, range(length + 1, 1, -1)) * 10 % 11 % 10 != int(number[length]):
            return False
    return len(set(number)) > 1


def _chinese(number: str) -> bool:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[weighted(number, weights) % 11] == number[17].upper()


def _spanish(code: str) -> bool:
    number = code[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return DNI_LETTERS[int(number) % 23] == code[-1]


def _singapore(code: str) -> bool:
    total = weighted(code[1:8], (2, 7, 6, 5, 4, 3, 2)) + (4 if code[0] in "TG" else 0)
    return ("JZIHGFEDCBA" if code[0] in "ST" else "XWUTRQPNMLK")[total % 11] == code[8]


def _chilean(code: str) -> bool:
    total = weighted(code[-2::-1], (2, 3, 4, 5, 6, 7, 2, 3))
    return "0K987654321"[total % 11] == code[-1].upper()


def _british(code: str) -> bool:
    return code[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


def _italian(code: str) -> bool:
    even = sum(int(one) if one.isdigit() else ord(one) - 65 for one in code[1:15:2])
    return chr(65 + (even + sum(ODD[one] for one in code[:15:2])) % 26) == code[15]


def _mexican(code: str) -> bool:
    total = sum(CURP.index(one) * (18 - place) for place, one in enumerate(code[:17]))
    return str(-total % 10) == code[17]


def _indian_tax(code: str) -> bool:
    return code[5:9] != "0000"


def _nhs(number: str) -> bool:
    return -weighted(number, range(10, 1, -1)) % 11 == int(number[9])


def _dutch(number: str) -> bool:
    return weighted(number, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _polish(number: str) -> bool:
    return -weighted(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10 == int(number[10])


def _australian(number: str) -> bool:
    return weighted(number, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def _any(code: str) -> bool:
    return True


def _form(form: str, check: Callable[[str], bool], *, kind: str = KIND, hints: Hints = DIGITS) -> Detector:
    """A number that is known by its form; ``check`` gets its letters and digits without separators."""

    def span(match: re.Match[str]) -> Span | None:
        code = re.sub(r"[^A-Za-z0-9+-]" if check is _finnish else r"[^A-Za-z0-9]", "", match.group())
        return match.span() if check(code) else None

    return Detector(kind, hints, re.compile(BEFORE + f"(?:{form})" + AFTER), span)


def _named(name: str, form: str, check: Callable[[str], bool]) -> Detector:
    """A number that is looked for behind its name only."""

    def span(match: re.Match[str]) -> Span | None:
        code = match.group("value")
        return match.span("value") if check(code if check is _any else digits(code)) else None

    between = r"(?:[^A-Za-z0-9]{1,4}(?i:number|no|nr|num|is|my|the|code|id)\b){0,4}[^A-Za-z0-9]{1,4}"
    words = rf"\b(?i:{name})"
    pattern = re.compile(rf"{words}{between}(?P<value>{form}){AFTER}")
    return Detector(KIND, NAMED, pattern, span, explained=True)


NATIONAL = (
    _form(r"[0-9]{3}([ .\u2010-\u2013-])[0-9]{2}\1[0-9]{4}", lambda code: _ssn(digits(code)), kind="SSN"),
    _form(r"[1-9][0-9](?: ?[0-9]{3}){3}", _german_tax),
    _form(
        r"[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]|[2-9][0-9]) ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
        _french,
    ),
    _form(
        r"[0-9]{2}\.[01][0-9]\.[0-3][0-9]-[0-9]{3}[.-][0-9]{2}|[0-9]{2}[01][0-9][0-3][0-9](?:[0-9]{5}|-[0-9]{3}[.-][0-9]{2})",
        _belgian,
    ),
    _form(r"(?:19|20)?[0-9]{6}[+-][0-9]{4}", lambda code: _swedish(digits(code))),
    _form(r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", _cpf),
    _form(r"(?<![0-9] )[2-9][0-9]{3} [0-9]{4} [0-9]{4}(?! [0-9])", verhoeff),
    _form(r"[1-9][0-9]{5}(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:[0-2][0-9]|3[01])[0-9]{3}[0-9Xx]", _chinese),
    _form(r"[0-9]{8}-?[A-Z]|[XYZ]-?[0-9]{7}-?[A-Z]", _spanish),
    _form(r"[STFG][0-9]{7}[A-Z]", _singapore),
    _form(r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]", _chilean),
    _form(r"[0-9]{6}[A+-][0-9]{3}[0-9A-Z]", _finnish, hints=("[0-9]{6}[A+-][0-9]{3}[0-9A-Z]",)),
    _form(
        r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]",
        _british,
        hints=LETTERED,
    ),
    _form(
        r"[A-Z]{6}[0-9]{2}[ABCDEHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]",
        _italian,
        hints=LETTERED,
    ),
    _form(
        r"[A-Z]{4}[0-9]{6}[HMX][A-Z]{5}[0-9A-Z][0-9]",
        _mexican,
        hints=LETTERED,
    ),
    _form(r"[A-Z]{3}[ABCFGHLJPT][A-Z][0-9]{4}[A-Z]", _indian_tax, hints=LETTERED),
    _named("nhs", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}", _nhs),
    _named("bsn|burgerservicenummer|sofinummer", r"[0-9]{9}", _dutch),
    _named("pesel", r"[0-9]{11}", _polish),
    _named("cpf", r"[0-9]{11}", _cpf),
    _named("aadhaar|aadhar|uidai", r"[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}", verhoeff),
    _named("sin|social insurance", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}", luhn),
    _named("tfn|tax file", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}", _australian),
    _named("passport", r"[A-Za-z]{0,2}[0-9]{6,9}", _any),
)
