"""Personal data and secrets in a text: found, masked for a report, or replaced by placeholders.

    find("write to jo@example.org")                 # [Match(kind="EMAIL", start=9, end=23, ...)]
    masked("write to jo@example.org")               # "write to jo…rg"
    redacted("write to jo@example.org", key)        # "write to [EMAIL-3fa91c]"

Patterns and check digits, standard library only: the data doctor uses it, and so does whatever writes requests to a
log. Dates of birth, villages, and names of persons that nothing announces have no pattern and are not found; nor is a
bare four-digit number whose meaning stands in another row.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tuneproof.personal.accounts import CARDS, EXPLAINED, IBANS
from tuneproof.personal.contacts import EMAIL, NET, PHONE
from tuneproof.personal.credentials import CREDENTIALS
from tuneproof.personal.detector import Detector
from tuneproof.personal.names import NAMES
from tuneproof.personal.national import NATIONAL
from tuneproof.personal.streets import STREETS

__all__ = [
    "FAMILIES",
    "GATE",
    "KINDS",
    "SECRETS",
    "Match",
    "find",
    "mask",
    "masked",
    "normal",
    "placeholders",
    "redacted",
]

KINDS = {
    "PRIVATE_KEY": "private key",
    "API_KEY": "key of a service",
    "JWT": "access token (JWT)",
    "URL_LOGIN": "login in an address",
    "PASSWORD": "password",
    "EMAIL": "e-mail address",
    "IBAN": "bank account (IBAN)",
    "CARD": "card number",
    "SSN": "social security number",
    "NATIONAL_ID": "national identity number",
    "ACCOUNT": "account number",
    "IP": "network address",
    "PHONE": "telephone number",
    "ADDRESS": "street address",
    "NAME": "name of a person",
}
SECRETS = frozenset(("PRIVATE_KEY", "API_KEY", "JWT", "URL_LOGIN", "PASSWORD"))

# the surest first: where two overlap, the earlier row has it
DETECTORS: tuple[Detector, ...] = (
    *CREDENTIALS, *EMAIL, *IBANS, *NET, *CARDS, *NATIONAL, *EXPLAINED, *PHONE, *STREETS,
    *NAMES,
)  # fmt: skip
# A text without a match of GATE, or of all hints of one family, holds nothing that is found: the doctor sifts columns
# with the same expressions.
GATE = (
    r"[0-9@]|[nN]ame|NAME"
    r"|-----BEGIN |[\[({] ?[aA][tT] ?[\])}]|[pP](?:[aA][sS][sS][wWpP]|[wW][dD])|[cC]ontraseña|[mM]ot de passe"
    r"|AKIA|ASIA|AIza|glpat-|sk_live_|ghp_|gho_|hf_|npm_"  # short keys that may have no digit
)
FAMILIES = tuple(dict.fromkeys(detector.hints for detector in DETECTORS))

_GATE = re.compile(GATE)
_FAMILIES = tuple(
    (tuple(re.compile(hint) for hint in hints), tuple(one for one in enumerate(DETECTORS) if one[1].hints == hints))
    for hints in FAMILIES
)
PLACEHOLDER = re.compile(rf"\[(?:{'|'.join(KINDS)})-[0-9a-f]{{6}}\]")
# what has the digits of a telephone or card number and is none: ids of things, dates and times
NO_NUMBER = re.compile(
    r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Fa-f])"
    r"|(?<![0-9])(?:(?:19|20)[0-9]{2}[-/.][01]?[0-9][-/.][0-3]?[0-9]|[0-3]?[0-9][-/.][0-3]?[0-9][-/.](?:19|20)[0-9]{2})"
    r"(?:[T ]{1,2}[0-2]?[0-9][:.][0-5][0-9](?:[:.][0-5][0-9](?:\.[0-9]{1,9})?)?)?(?![0-9])"
)
NUMBERS = frozenset(("CARD", "SSN", "NATIONAL_ID", "ACCOUNT", "IP", "PHONE"))


@dataclass(frozen=True, slots=True)
class Match:
    """A value of ``kind`` (a key of KINDS) at ``text[start:end]``, ``explained`` by words around it or by itself."""

    kind: str
    start: int
    end: int
    explained: bool = False


def find(text: str, also: Sequence[tuple[str, str]] = ()) -> list[Match]:
    """Every value, in the order of the text; no two overlap. Time grows with the length of the text, whatever it is.

    ``also`` are values that are known to be personal, as (kind, value): they are found wherever they stand alone.
    """
    found = [(len(DETECTORS), *span, kind, False) for kind, value in also for span in _standing_alone(value, text)]
    if not found and not _GATE.search(text):
        return []
    for hints, family in _FAMILIES:
        for hint in hints:  # a generator in all() would take longer than the searching
            if not hint.search(text):
                break
        else:
            for place, one in family:
                found += [(place, *span, one.kind, one.explained) for span in one.spans(text)]
    if not found:
        return []
    taken = [match.span() for match in PLACEHOLDER.finditer(text)]
    numbers = any(kind in NUMBERS for *_, kind, _ in found)
    no_numbers = [match.span() for match in NO_NUMBER.finditer(text)] if numbers else []
    matches: list[Match] = []
    for _, start, end, kind, explained in sorted(found):
        if not _meets(start, end, taken) and not (kind in NUMBERS and _meets(start, end, no_numbers)):
            insort(taken, (start, end))
            matches.append(Match(kind, start, end, explained))
    return sorted(matches, key=lambda match: match.start)


def _standing_alone(value: str, text: str) -> Iterator[tuple[int, int]]:
    start = text.find(value)
    while start >= 0:
        end = start + len(value)
        if not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()):
            yield start, end
        start = text.find(value, end)


def _meets(start: int, end: int, spans: list[tuple[int, int]]) -> bool:
    """Whether one of the sorted, disjoint ``spans`` has a character in common with this one."""
    place = bisect_left(spans, (end, 0))
    return place > 0 and spans[place - 1][1] > start


def masked(text: str, also: Sequence[tuple[str, str]] = ()) -> str:
    """``text`` for a report: of each value the first two and the last two characters, of a short one nothing."""
    return _replaced(text, lambda match, value: mask(value), also)


def mask(value: str) -> str:
    """A value as a report shows it: ``jo…rg``; of one under eight characters nothing is shown."""
    return f"{value[:2]}…{value[-2:]}" if len(value) >= 8 else "…"


def redacted(text: str, key: bytes, also: Sequence[tuple[str, str]] = ()) -> str:
    """``text`` with each value replaced by its kind and six digits of its HMAC-SHA256 under ``key``.

    One value has one placeholder wherever it stands and however it is written (``normal``). Six hexadecimal digits are
    24 bits: among 5,000 values of a kind one pair in two data sets shares a placeholder.
    """
    return _replaced(text, lambda match, value: _placeholder(match.kind, value, key), also)


def placeholders(text: str, key: bytes, also: Sequence[tuple[str, str]] = ()) -> list[tuple[int, int, str]]:
    """Where ``redacted`` replaces something in ``text``, first and last character (exclusive), and by what."""
    matches = find(text, also)
    return [(m.start, m.end, _placeholder(m.kind, text[m.start : m.end], key)) for m in matches]


def _placeholder(kind: str, value: str, key: bytes) -> str:
    said = f"{kind}:{normal(kind, value)}"
    return f"[{kind}-{hmac.new(key, said.encode(), hashlib.sha256).hexdigest()[:6]}]"


def normal(kind: str, value: str) -> str:
    """What two ways of writing one value have in common: no separators in numbers, no case in addresses."""
    if kind in SECRETS:
        return value
    folded = unicodedata.normalize("NFKC", value).casefold()
    if kind in ("EMAIL", "ADDRESS", "IP", "NAME"):
        return " ".join(folded.replace(",", " ").split())
    letters = "".join(character for character in folded if character.isalnum())
    return letters.removeprefix("00") if kind == "PHONE" else letters


def _replaced(text: str, replacement: Callable[[Match, str], str], also: Sequence[tuple[str, str]] = ()) -> str:
    pieces, position = [], 0
    for match in find(text, also):
        pieces += [text[position : match.start], replacement(match, text[match.start : match.end])]
        position = match.end
    return "".join((*pieces, text[position:]))
