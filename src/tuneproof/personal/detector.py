"""A detector is a row of a table: what a value looks like, and what must be true of it.

    Detector("CARD", DIGITS, pattern, luhn_span)

``hints`` are plain regular expressions (no look-around, no back-references) that all match in every text in which the
detector can find anything: Python and the Rust engine of polars read them alike, so whole columns are sifted by them
before a detector runs. Every pattern is bounded, so that a hostile text costs time in proportion to its length.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Span = tuple[int, int]
Hints = tuple[str, ...]

# seven digits with at most three signs between each: no phone, card or national number of digits alone has fewer
DIGITS: Hints = (r"[0-9](?:[ .()/\u00a0\u2010-\u2013+-]{0,3}[0-9]){6}",)
SEPARATOR = r"[ .\u00a0\u2010-\u2013-]"  # what people put between groups of digits: space, dot, hyphens, en dash


def any_case(words: str) -> str:
    """A hint for texts that hold one of ``words`` (separated by bars): in small letters, capitals, or as in a title.

    Literals, because ``(?i:...)`` costs Python four times as much. A wORD written like this is not found.
    """
    several = words.split("|")
    written = {form for word in several for form in (word, word.upper(), word.capitalize(), word.title())}
    return "|".join(re.escape(form) for form in sorted(written))


def whole(match: re.Match[str]) -> Span | None:
    """All of the match, whatever it is."""
    return match.span()


def value(match: re.Match[str]) -> Span | None:
    """The group called ``value``: what stands before it is a word that says what it is."""
    return match.span("value")


@dataclass(frozen=True, slots=True)
class Detector:
    """``span`` gives the part of a match that is the value, or None when it only looks like one.

    ``explained`` says that the words around a value make it one: where it stands without them it is not found.
    """

    kind: str
    hints: Hints
    pattern: re.Pattern[str]
    span: Callable[[re.Match[str]], Span | None] = whole
    explained: bool = False

    def spans(self, text: str) -> Iterator[Span]:
        """Where values stand; after something that only looks like a value the search goes on within it."""
        position = 0
        while found := self.pattern.search(text, position):
            span = self.span(found)
            position = found.start() + 1 if span is None else max(span[1], found.start() + 1)
            if span is not None:
                yield span


def digits(text: str) -> str:
    """The ASCII digits in ``text``."""
    return re.sub(r"[^0-9]", "", text)


def entropy(text: str) -> float:
    """Bits per character, of the characters as they occur in ``text`` (Shannon 1948)."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
