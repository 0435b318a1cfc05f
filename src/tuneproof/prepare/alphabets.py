"""How likely a text is as somebody's writing: what tells one old encoding from another.

    readings(b"caf\\xe9 cr\\xe8me")        # [Reading("cp1252", 0.99, 0.0, "French"), ...], likeliest first

The bytes are decoded in each of ENCODINGS and every character beyond ASCII is weighed by how often languages write it
(ALPHABETS) and by its neighbours: a small letter is not followed by a capital, a Greek letter does not stand in a Latin
word. Of single signs the weights are rough; only their orders of magnitude matter. Knows nothing of files.
"""

# ruff: noqa: RUF001  (signs that look like others are what this module is about)

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

# Python's codec -> its name for iconv, and how common it is among files that are not UTF-8 (a rough guess; it decides
# only where a file has hardly any letters beyond ASCII).
ENCODINGS: Mapping[str, tuple[str, float]] = {
    "cp1252": ("CP1252", 0.75),
    "latin_1": ("ISO-8859-1", 0.03),
    "mac_roman": ("MACINTOSH", 0.03),
    "cp1250": ("CP1250", 0.03),
    "iso8859_2": ("ISO-8859-2", 0.01),
    "cp1251": ("CP1251", 0.03),
    "koi8_r": ("KOI8-R", 0.005),
    "cp866": ("CP866", 0.003),
    "cp850": ("CP850", 0.005),
    "cp1253": ("CP1253", 0.01),
    "cp1254": ("CP1254", 0.02),
    "cp1255": ("CP1255", 0.005),
    "cp1256": ("CP1256", 0.005),
    "cp932": ("CP932", 0.02),
    "euc_jp": ("EUC-JP", 0.005),
    "gb18030": ("GB18030", 0.03),
    "cp950": ("BIG5", 0.01),
    "cp949": ("CP949", 0.02),
}

# Letters beyond ASCII, in hundredths of a percent of all letters of a text: rounded from published tables of letter
# frequencies; for Greek, Hebrew and Arabic rougher still.
ALPHABETS: Mapping[str, str] = {
    "English": "é1",
    "French": "à49 â5 œ2 ç9 è27 é150 ê22 ë1 î5 ï1 ô2 ù6 û6 æ0.1",
    "German": "ä58 ö44 ß31 ü100 é0.1",
    "Spanish": "á50 é43 í73 ñ31 ó83 ú17 ü1",
    "Portuguese": "à7 â56 ã73 á12 ç53 é34 ê45 í13 ó30 ô64 õ4 ú21 ü0.3",
    "Italian": "à64 è26 é5 ì3 ò20 ù17",
    "Swedish": "å134 ä180 ö131 é2",
    "Danish": "å119 æ87 ø94 é2",
    "Icelandic": "á180 æ87 ð439 é65 í157 ö78 ó99 þ146 ú61 ý23",
    "Finnish": "å0.3 ä358 ö44",
    "Polish": "ą70 ć74 ę104 ł211 ń36 ó114 ś81 ź8 ż71",
    "Czech": "á87 č46 ď2 é63 ě122 í164 ň1 ó2 ř38 š69 ť1 ů20 ú5 ý100 ž72",
    "Slovak": "á170 ä10 č95 ď15 é80 í100 ĺ1 ľ40 ň15 ó15 ô20 ŕ1 š80 ť60 ú90 ý105 ž90",
    "Croatian": "č100 ć70 đ25 š95 ž60",
    "Hungarian": "á337 é351 í56 ö82 ó110 ő88 ü62 ú27 ű14",
    "Romanian": "ă230 â50 î100 ș90 ț100 ş90 ţ100",
    "Turkish": "ç116 ğ113 ı511 ö78 ş178 ü185 â2 î1",
    "Russian": "о1097 е845 а801 и735 н670 т626 с547 р473 в454 л440 к349 м321 д298 п281 у262 я201 ы190 ь174 г170 з165 "
    "б159 ч144 й121 х97 ж94 ш73 ю64 ц48 щ36 э32 ф26 ъ4 ё4",
    "Ukrainian": "о942 а807 н681 и626 і575 в560 р542 т535 е495 с438 к410 л370 д338 у336 м303 п290 з230 я218 ь183 "
    "г166 ч141 б177 х119 ц83 ю83 ж93 й138 ї84 є61 ф28 ш71 щ36 ґ1",
    "Greek": "α840 ο950 ι780 ε720 τ800 ν640 σ490 ς400 η400 ρ420 υ410 κ420 π420 μ330 λ280 ά220 ί260 ό190 έ180 ή160 "
    "ω180 γ170 δ170 θ130 χ120 φ80 ύ100 ώ70 β70 ξ40 ζ35 ψ15 ϊ5",
    "Hebrew": "י1100 ו1000 ה900 ל700 א630 ר560 מ550 ת540 ב470 ש440 ע320 ם300 נ290 ד250 ח250 כ240 ק210 פ170 ס150 ן140 "
    "ז130 ט120 ג120 צ120 ך80 ף30 ץ20",
    "Arabic": "ا1250 ل1130 ي980 م800 ن670 و590 ه500 ر470 ت440 ع390 د390 ب360 س310 ف250 ك250 ق210 أ200 ة200 ح150 ج120 "
    "ش120 ص120 ى100 خ80 إ80 ط80 ذ70 ث60 ز50 ض50 غ40 ئ40 ء40 آ20 ظ20 ؤ10",
    "Japanese": "",
    "Chinese": "",
    "traditional Chinese": "",
    "Korean": "",
}

SIGNS = frozenset("’‘“”–—…•£€°©®™´«»§½¼¾²³±×·¡¿\xa0")
FULL = frozenset("、。，．・：；？！「」『』（）【】《》“”‘’…—～\u3000")
CLOSING = "?!;:%)]}"  # a word does not begin right behind these
ODD = math.log(1e-3)  # what a letter or sign in a place where nobody writes it costs; an ideograph three times that
STRANGE = math.log(1e-6)  # a letter that the language does not use
SIGN, RARE_SIGN, NEVER = math.log(3e-4), math.log(1e-7), math.log(1e-9)
LATIN_INSIDE = math.log(0.995)  # an ASCII letter in an Eastern text: mild, for there is much of it in some
EASTERN = ("Japanese", "Chinese", "traditional Chinese", "Korean")
BEYOND = re.compile(r"[^\x00-\x7f]")
ASCII_LETTER = re.compile(r"[A-Za-z]")

Signs = Counter[tuple[str, bool]]  # small form of a character, whether its place is a usual one -> how often


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the bytes."""

    encoding: str  # Python's codec
    sureness: float  # 0..1, of all ways that give this text
    odd: float  # share of the characters beyond ASCII that stand where nobody writes them
    language: str
    text: str


def readings(sample: bytes, encodings: Sequence[str] = tuple(ENCODINGS)) -> list[Reading]:
    """Every text that ``sample`` can be, likeliest first; equal texts of two encodings count as one."""
    found: dict[str, tuple[float, str, float, str]] = {}
    for encoding in encodings:
        text, share = sample.decode(encoding, errors="replace"), ENCODINGS[encoding][1]
        signs = _signs(text)
        language, weight = _likeliest(signs, len(ASCII_LETTER.findall(text)))
        odd = sum(count for (_, usual), count in signs.items() if not usual) / max(1, sum(signs.values()))
        weight += math.log(share)
        before = found.get(text)
        if before is None:
            found[text] = (weight, encoding, odd, language)
        else:
            both = max(weight, before[0]) + math.log1p(math.exp(-abs(weight - before[0])))
            found[text] = (both, *before[1:])
    most = max(weight for weight, *_ in found.values())
    total = sum(math.exp(weight - most) for weight, *_ in found.values())
    ordered = sorted(found.items(), key=lambda item: -item[1][0])
    return [
        Reading(encoding, math.exp(weight - most) / total, odd, language, text)
        for text, (weight, encoding, odd, language) in ordered
    ]


def _likeliest(signs: Signs, ascii_letters: int) -> tuple[str, float]:
    """The language in which the characters are likeliest, and the logarithm of how likely."""
    weights = {}
    for language in ALPHABETS:
        letters, rest = _alphabet(language)
        weight = ascii_letters * (LATIN_INSIDE if language in EASTERN else rest)
        for (sign, usual), count in signs.items():
            cost = 0.0 if usual else ODD * (3 if sign >= "\u2e80" else 1)
            weight += count * (_weight(sign, language, letters) + cost)
        weights[language] = weight
    best = max(weights, key=lambda language: weights[language])
    return best, weights[best]


@cache
def _alphabet(language: str) -> tuple[dict[str, float], float]:
    """The logarithm of each letter's share, and of the share of ASCII letters."""
    shares = {entry[0]: float(entry[1:]) / 10_000 for entry in ALPHABETS[language].split()}
    rest = math.log(max(1e-4, 1 - sum(shares.values())))
    return {letter: math.log(share) for letter, share in shares.items()}, rest


def _weight(sign: str, language: str, letters: Mapping[str, float]) -> float:
    if sign in letters:
        return letters[sign]
    if language in EASTERN:
        return _eastern(sign, language)
    category = unicodedata.category(sign)
    if category[0] == "L":
        return STRANGE + (math.log(10) if "LATIN" in unicodedata.name(sign, "") and ord(sign) < 0x100 else 0)
    if category[0] == "C" or sign == "\ufffd":
        return NEVER
    return SIGN if sign in SIGNS else RARE_SIGN


@cache
def _eastern(sign: str, language: str) -> float:
    """Characters of the first level of each language's standard are the common ones."""
    if sign in FULL:
        return math.log(1e-2)
    if "\u3041" <= sign <= "\u30fe":
        return math.log(1 / 150) if language == "Japanese" else STRANGE
    codec, first, last, share = {
        "Japanese": ("euc_jp", 0xB0, 0xCF, 1 / 3000),
        "Chinese": ("gb2312", 0xB0, 0xD7, 1 / 4000),
        "traditional Chinese": ("big5", 0xA4, 0xC6, 1 / 5000),
        "Korean": ("euc_kr", 0xB0, 0xC8, 1 / 1500),
    }[language]
    try:
        lead = sign.encode(codec)[0]
    except UnicodeEncodeError:
        return NEVER if unicodedata.category(sign)[0] == "C" else RARE_SIGN
    return math.log(share) if first <= lead <= last else RARE_SIGN + math.log(10)


def _signs(text: str) -> Signs:
    """The characters beyond ASCII, and whether each stands in a usual place."""
    counts: Signs = Counter()
    for found in BEYOND.finditer(text):
        at = found.start()
        sign, before, after = found.group(), text[at - 1 : at], text[at + 1 : at + 2]
        counts[sign.lower()[:1], _usual(sign, before, after)] += 1
    return counts


def _usual(sign: str, before: str, after: str) -> bool:
    """Whether somebody would write ``sign`` between these two characters."""
    if not sign.isalpha():
        between = before.isalpha() and after.isalpha()
        return not between or sign in "’‘´·–—…" or sign in FULL
    script = _script(sign)
    if script == "east":  # hardly ever alone; as 5 and 3 in a date
        return any(one.isdigit() or one >= "\u2e80" or one in FULL for one in (before, after) if one)
    if before in CLOSING and before:
        return False
    if before.isalpha() and (_script(before) != script or (before.islower() and sign.isupper())):
        return False
    if after.isalpha():
        return _script(after) == script and not (sign.islower() and after.isupper())
    return not after.isdigit()


@cache
def _script(letter: str) -> str:
    """ "LATIN", "CYRILLIC", ...; "east" for those that mix with any other."""
    if ord(letter) >= 0x2E80:
        return "east"
    return unicodedata.name(letter, "?").split()[0]
