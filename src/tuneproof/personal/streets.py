"""Street addresses: the number of a house and the name of a street, in English, German and French.

    [detector.kind for detector in STREETS]

What stands between a count and the word "street" in ordinary sentences is no address. A village, a building or a
street without a number is not found.
"""

from __future__ import annotations

import re

from tuneproof.personal.detector import Detector, Span, any_case, value

SURE = r"street|avenue|ave|boulevard|blvd|road|rd|highway|hwy"  # a house number and a name before them: an address
PERHAPS = r"st|drive|dr|lane|ln|court|ct|place|pl|way|terrace|square|circle|crescent|close|parkway|pkwy|trail"
# "5 people in the street", "a 10 minute drive", "12 dead following road"
ORDINARY_WORDS = """
    a an the of in on at to for from by with and or but is are was were be been this that these those it its my your
    his her our their i you he she we they who which what where when how if then than so as into onto off out over
    under across along down up near between after before around per each every all any some more most many much few
    minute minutes min mins hour hours day days week weeks month months year years mile miles mi km kms meter meters
    metre metres feet foot ft inch inches yard yards block blocks lane lanes star stars people men women kids children
    students cars car trucks houses house trees lights signs am pm percent dollars dollar cents euros pounds usd times
    time way ways other long short wide new old different busy major dead injured killed hurt following during
    one two three four five six seven eight nine ten
"""
ORDINARY = frozenset(ORDINARY_WORDS.split())
SAINTS = r"(?!\.? (?:Louis|Paul|Petersburg|Patrick|Mary|Andrews|Lucia|Kitts|James|Augustine|Albans|Thomas|Croix)\b)"
ROOM = r"(?:,? (?i:(?:apt|apartment|unit|suite|ste|flat)\b\.? ?#?|#)(?:[0-9]{1,5} ?[A-Za-z]?|[A-Za-z])(?![\w]))?"
ZIP = r"(?:,? ?[A-Za-z][\w.'-]{0,20}){1,5},? [0-9]{5,6}(?:-[0-9]{4})?(?![\w])"
TOWN = r", ?(?:[A-Z][\w.'-]{1,20} ?){1,3},? ?[A-Z]{2}(?: [0-9]{5}(?:-[0-9]{4})?)?(?![\w])"
POSTCODE = r"(?:,? ?[A-Za-z][\w.'-]{0,20}){0,4},? [A-Z]{1,2}[0-9][A-Z0-9]? [0-9][A-Z]{2}(?![\w])"
FRENCH = r"(?:rue|avenue|boulevard|place|chemin|impasse|allée|quai)"
GERMAN = r"(?:stra(?:ß|ss)e|str\.|weg|gasse|platz|allee)"


def _street(match: re.Match[str]) -> Span | None:
    """Names and the word for street with capitals; without them a town behind it, nothing around it, or two names.

    The full stop of a sentence is no part of it.
    """
    names, kind, number = match.group("names").split(), match.group("type"), match.group("number")
    year = match.group("comma") and re.fullmatch("1[0-9]{3}|20[0-9]{2}", number)  # "in 1886, Robert Lane"
    shouted = len(number) == 1 and kind.isupper() and len(kind) > 1  # "2 GO MY WAY"
    if year or shouted or any(name.lower().strip(".,'") in ORDINARY for name in names):
        return None
    span = match.start(), match.end() - match.group().endswith(".")
    if match.group("rest") or _alone(match):
        return span
    if all(name[0].isupper() or name[0].isdigit() for name in names) and kind[0].isupper():
        return span
    sure = re.fullmatch(SURE, kind, re.IGNORECASE)
    return span if sure and len(names) <= 2 and len(number) > 1 else None


def _alone(match: re.Match[str]) -> bool:
    """Whether nothing else stands on the line, or in the message, but a sign or two."""
    before, after = match.string[max(0, match.start() - 3) : match.start()], match.string[match.end() : match.end() + 3]
    first = match.start() <= 2 or re.search(r"[\n\0]", before)
    last = match.end() >= len(match.string) - 2 or re.search(r"[\n\0]", after)
    return bool(first and last)


STREETS = (
    Detector(
        "ADDRESS",
        (
            "[0-9][A-Za-z]?,? [A-Za-z0-9]",
            any_case(
                "street|avenue|boulevard|blvd|road|highway|drive|lane|court|place|terrace|square|circle|crescent|close"
                "|parkway|trail"
            )
            + f"| (?:{any_case('ave|rd|hwy|st|dr|ln|ct|pl|way|pkwy')})(?:[^A-Za-z]|$)",
        ),
        re.compile(
            r"(?<![\w.,$€£/-])(?:(?i:no|nr|house|flat)\.? )?(?P<number>[0-9]{1,5})[A-Za-z]?(?P<comma>,?) "
            rf"(?P<names>(?:[^\W_][\w.'-]{{0,20}} ){{1,4}}?)(?P<type>(?i:{SURE}|{PERHAPS}))(?![\w]){SAINTS}\.?"
            rf"{ROOM}(?P<rest>{ZIP}|{TOWN}|{POSTCODE})?"
        ),
        _street,
        explained=True,
    ),
    Detector(
        "ADDRESS",
        (f"{GERMAN} [0-9]",),
        re.compile(
            rf"(?<![\w])[A-ZÄÖÜ][\wäöüß-]{{1,40}}{GERMAN} [0-9]{{1,4}}(?: ?[a-z](?![\w]))?(?![0-9])"
            r"(?:,? [0-9]{5} [A-ZÄÖÜ][\wäöüß-]{1,30})?"
        ),
    ),
    Detector(
        "ADDRESS",
        (f"[0-9](?: (?:bis|ter))?,? {FRENCH} ",),
        re.compile(
            rf"(?<![\w.,])[0-9]{{1,4}}(?: (?:bis|ter))?,? {FRENCH} (?:de la |de l'|de |du |des |d'|la |le )?"
            r"[A-ZÉÈÀÂÎÔ][\w'-]{1,30}(?: [A-ZÉÈÀ][\w'-]{1,30}){0,3}(?:,? [0-9]{5} [A-Z][\w-]{1,30})?"
        ),
    ),
    Detector(
        "ADDRESS",
        ("[bB][oO][xX] [0-9]",),
        re.compile(r"\b(?P<value>(?i:p\.? ?o\.? box) [0-9]{1,6})(?![\w])"),
        value,
    ),
)
