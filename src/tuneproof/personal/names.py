"""Names of persons, where a text says that what follows is one: "my name is ...", "last name: ...".

    [detector.kind for detector in NAMES]

A name without such words looks like any other word, most of all in small letters, and is not found. What follows "my
name is" need not be one ("my name is spelled wrong"): words of ordinary sentences end a name, or are none.
"""

from __future__ import annotations

import re

from tuneproof.personal.detector import Detector, Span, any_case

MOST = 3  # words of a name
# What follows "name is" in a sentence that tells no name, and what follows a name.
ORDINARY_WORDS = """
    a an the and or but so because as if then that this these those it its my your his her our their i you he she we
    they me us them who which what where when how in on at to for from by with of off out up is are was were be been
    being am do does did has have had not no never also already still now just only very too yet again always here
    there please thanks thank hi hello sir madam mam ok okay yes yeah wrong right incorrect correct spelled spelt
    misspelled misspelt written printed listed shown showing registered different same new old missing changed changing
    updated used using linked associated mine ours correctly incorrectly mentioned required needed needs need wants want
    would will can could should may might must says said saying account number card ssn credit debit last first middle
    full name names phone email mail address date birth dob calling called looking trying going getting having
    saved stored basis mr mrs ms common unique short long unknown private confidential hidden secret visible valid
    invalid
"""
ORDINARY = frozenset(ORDINARY_WORDS.split())
PIECE = re.compile(r"[^\W\d_][^\W\d_'\u2019.-]*(?:['\u2019.-][^\W\d_]+)*\.?")
INITIAL = re.compile(r"[A-Z]\.")
WHOSE = r"(?:my|his|her|our|your|the|customer|client|patient|student|person|account holder|cardholder)(?:['\u2019]s)? "
WHICH = r"(?:full |first |last |middle |family |given |maiden |sur)"
TOLD = rf"(?i:(?:\b{WHOSE}|(?<![\w][ _])\b){WHICH}?name(?:['\u2019]?s? is|['\u2019]s| ?[:=])|\b{WHICH}name\b)"


def _name(match: re.Match[str]) -> Span | None:
    """Up to three words behind it that may be a name."""
    text, end = match.string, match.end()
    start = stop = -1
    for _ in range(MOST):
        gap = 1 if text[end : end + 1] == " " else 0
        piece = PIECE.match(text, end + gap)
        if piece is None or (start >= 0 and not gap):
            break
        if piece.group().strip(".").lower() in ORDINARY and not INITIAL.fullmatch(piece.group()):
            break
        start, stop = (piece.start() if start < 0 else start), piece.end()
        end = stop
        if text[stop - 1] == "." and stop - piece.start() > 2:  # the end of a sentence, and no initial
            stop -= 1
            break
    return (start, stop) if stop - start > 1 else None


NAMES = (Detector("NAME", (any_case("name"),), re.compile(TOLD), _name, explained=True),)
