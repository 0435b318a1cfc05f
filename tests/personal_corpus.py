"""Generated e-mail addresses, cards, IBANs and keys in many forms, in sentences: what ``personal.find`` is measured on.

Check digits are computed here from their definitions and not by the code under test. All values are random.
"""

from __future__ import annotations

import base64
import json
import random
import string
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tuneproof.personal import find

ALNUM = string.ascii_letters + string.digits
BASE64 = ALNUM + "+/"
HEX = "0123456789abcdef"


@dataclass(frozen=True)
class Sample:
    """``text[start:end]`` is a value of ``kind``."""

    kind: str
    text: str
    start: int
    end: int


def corpus(each: int, seed: int) -> Iterator[Sample]:
    """``each`` samples of each of the four kinds."""
    draw = random.Random(seed)
    makers: dict[str, Callable[[random.Random], str]] = {"EMAIL": email, "CARD": card, "IBAN": iban, "API_KEY": api_key}
    for kind, make in makers.items():
        for _ in range(each):
            lead, value, tail = _parts(make(draw))
            before, after = draw.choice(SENTENCES)
            before, after = before + lead, tail + after
            yield Sample(kind, before + value + after, len(before), len(before) + len(value))


def _parts(made: str) -> tuple[str, str, str]:
    """What must stand in front of a value, the value, and what closes it, where bars divide them."""
    lead, value, tail = made.split("|") if "|" in made else ("", made, "")
    return lead, value, tail


def recall(samples: Iterator[Sample]) -> tuple[dict[str, float], list[Sample]]:
    """For each kind the share of values that are found whole and by their kind; and those that are not."""
    number: dict[str, int] = defaultdict(int)
    missed: list[Sample] = []
    for sample in samples:
        number[sample.kind] += 1
        places = [(m.start, m.end) for m in find(sample.text) if m.kind == sample.kind]
        if not any(start <= sample.start and sample.end <= end for start, end in places):
            missed.append(sample)
    return {kind: 1 - sum(one.kind == kind for one in missed) / n for kind, n in number.items()}, missed


SENTENCES = [
    ("", ""), ("please use ", " from now on"), ("It is ", "."), ("(", ")"), ('"', '"'), ("<", ">"), ("value=", ";x=1"),
    ('{"v": "', '"}'), ("hello,", ",thanks"), ("line one\n", "\nline three"), ("- ", ""), ("Grüße, ", " übrigens"),
    ("on 2024-01-15 10:30 I sent ", " to you"), ("order 12345: ", "!"), ("was it ", "?"), ("[", "]"), ("\t", "\t42"),
    ("my address/number is: ", "\r\n"), ("'", "'"), ("a|", "|b"),
]  # fmt: skip


def email(draw: random.Random) -> str:
    def name(least: int, most: int) -> str:
        return "".join(draw.choices(string.ascii_lowercase, k=draw.randint(least, most)))

    local = draw.choice([
        name(1, 12), f"{name(2, 8)}.{name(2, 9)}", f"{name(1, 1)}_{name(3, 9)}{draw.randint(0, 99)}",
        f"{name(3, 8)}+{name(2, 6)}", f"{name(3, 8)}-{name(3, 6)}", f"{draw.randint(1, 9999)}",
    ])  # fmt: skip
    domain = draw.choice([
        name(2, 12), f"{name(2, 8)}-{name(2, 8)}", f"mail.{name(3, 8)}", f"{name(2, 5)}.{name(3, 5)}.{name(2, 5)}",
    ])  # fmt: skip
    top = draw.choice(
        ["com", "org", "net", "de", "co.uk", "io", "museum", "com.br", "edu", "技術".encode("idna").decode()]
    )
    address = f"{local}@{domain}.{top}"
    return draw.choice([address, address, address, address.upper(), address.title()])


def card(draw: random.Random) -> str:
    start, length = draw.choice([
        ("4", 16), ("4", 13), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16), ("34", 15), ("37", 15),
        ("6011", 16), ("65", 16), ("3528", 16), ("36", 14), ("62", 19), ("5018", 16),
    ])  # fmt: skip
    body = start + "".join(draw.choices(string.digits, k=length - len(start) - 1))
    total = 0
    for place, digit in enumerate(reversed(body)):
        twice = int(digit) * (2 if place % 2 == 0 else 1)
        total += twice - 9 if twice > 9 else twice
    number = body + str(-total % 10)
    sizes = {13: [4, 4, 5], 14: [4, 6, 4], 15: [4, 6, 5], 16: [4, 4, 4, 4], 19: [4, 4, 4, 4, 3]}[length]
    return draw.choice([number, grouped(number, sizes, draw.choice([" ", "-", " ", "-", "\u00a0"]))])


def grouped(text: str, sizes: list[int], separator: str) -> str:
    parts, position = [], 0
    for size in sizes:
        parts.append(text[position : position + size])
        position += size
    return separator.join(part for part in [*parts, text[position:]] if part)


# country -> the form of its account numbers: n digits, a capital letters, c both (SWIFT IBAN registry)
BBAN = {
    "DE": "18n", "GB": "4a14n", "FR": "10n11c2n", "NL": "4a10n", "ES": "20n", "IT": "1a10n12c", "CH": "5n12c",
    "AT": "16n", "BE": "12n", "PL": "24n", "SE": "20n", "NO": "11n", "DK": "14n", "FI": "14n", "PT": "21n",
    "IE": "4a14n", "LU": "3n13c", "GR": "7n16c", "CZ": "20n", "RO": "4a16c", "TR": "6n16c", "MT": "4a5n18c",
    "SA": "2n18c", "AE": "19n", "BR": "23n1a1c",
}  # fmt: skip


def iban(draw: random.Random) -> str:
    country = draw.choice(list(BBAN))
    body, size = "", ""
    for sign in BBAN[country]:
        if sign.isdigit():
            size += sign
        else:
            letters = {"n": string.digits, "a": string.ascii_uppercase, "c": string.digits + string.ascii_uppercase}[
                sign
            ]
            body += "".join(draw.choices(letters, k=int(size)))
            size = ""
    remainder = 0
    for sign in body + country + "00":
        value = int(sign, 36)
        remainder = (remainder * (100 if value > 9 else 10) + value) % 97
    code = f"{country}{98 - remainder:02d}{body}"
    fours = grouped(code, [4] * 9, draw.choice([" ", " ", "-", "\u00a0"]))
    return draw.choice([code, fours, fours, code.lower()])


def api_key(draw: random.Random) -> str:
    def some(alphabet: str, length: int) -> str:
        return "".join(draw.choices(alphabet, k=length))

    upper, url = string.ascii_uppercase + string.digits, ALNUM + "-_"
    return draw.choice([
        lambda: "AKIA" + some("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
        lambda: draw.choice(["ghp_", "gho_", "ghs_"]) + some(ALNUM, 36),
        lambda: "github_pat_" + some(ALNUM, 22) + "_" + some(ALNUM, 59),
        lambda: "glpat-" + some(url, 20),
        lambda: f"xoxb-{some(string.digits, 12)}-{some(string.digits, 12)}-{some(ALNUM, 24)}",
        lambda: "sk_live_" + some(ALNUM, 24),
        lambda: "sk-proj-" + some(url, 120) + "A",
        lambda: "sk-" + some(ALNUM, 48),
        lambda: "sk-ant-api03-" + some(url, 93) + "AA",
        lambda: "AIza" + some(url, 34) + "Q",
        lambda: "hf_" + some(string.ascii_letters, 33) + "7",
        lambda: "npm_" + some(ALNUM, 36),
        lambda: f"SG.{some(ALNUM, 22)}.{some(ALNUM, 43)}",
        lambda: "key-" + some(HEX, 32),
        lambda: "SK" + some(HEX, 32),
        lambda: "dop_v1_" + some(HEX, 64),
        lambda: "shpat_" + some(HEX, 32),
        lambda: "dapi" + some(HEX, 32),
        lambda: "gsk_" + some(ALNUM, 52),
        lambda: f"{some('123456789', 9)}:AA{some(url, 32)}x",
        lambda: "NRAK-" + some(upper, 27),
        lambda: f"aws_secret_access_key = |{some(BASE64, 40)}|",
        lambda: f'api_key="|{some(ALNUM, 32)}|"',
        lambda: f"Authorization: Bearer |{some(url, 40)}0|",
    ])()  # fmt: skip


def jwt(draw: random.Random) -> str:
    def part(content: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    signature = base64.urlsafe_b64encode(draw.randbytes(32)).decode().rstrip("=")
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': draw.randint(1, 10**9), 'name': 'x'})}.{signature}"
