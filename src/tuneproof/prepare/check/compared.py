"""What of the rows is compared when near copies are looked for, and which pairs of rows are alike.

    compared = Compared.of(splits)
    for pairs in compared.pairs("train", "test", 0.8):
        pairs.left, pairs.right, pairs.score       # row numbers within their sides, Jaccard

Compared is what is asked (``tasks.rows.question``: the text, or a conversation up to its last answer), folded (NFKC,
case, white space) and without the marks of a sentence, so that "Where's my card" is "wheres my card?". What many rows
have in common by construction does not count: a system message that one row in twenty carries word for word, and the
leading text that more than half of the rows share. The measure is the Jaccard index of the sets of five-character
pieces (``shingles``). This module decides nothing about rows.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from tuneproof.prepare.check import exact, minhash
from tuneproof.prepare.check.shingles import AT_ONCE, Hashes, Reals, Sets, Whole, blocks, jaccard, lengths, sets
from tuneproof.records import Splits
from tuneproof.tasks import columns
from tuneproof.tasks.rows import question

EXACT_ROWS = 50_000  # and more: MinHash
EXACT_CHARACTERS = 12_000_000  # the exact index holds 49 bytes for each while it is made: 600 MB
EXACT_WORK = 100_000_000  # pairs that the exact index may look at; 43,500 real questions need 1.4 million of them
OFTEN = 0.05  # share of the rows from which on a system message is boilerplate
MOST_SHARED = 0.5  # share of the rows above which a leading text is
SHORTEST_PREFIX = 20  # characters; "how do i " is a question, not boilerplate
# What a sentence is written with, and not what it says: marks, a hyphen between letters, a symbol left over at an end.
# Points and commas between digits stay, and so do signs that compute: 3.5 is not 35, and 3 - 4 is not 3 + 4.
MARKS = re.compile(
    "[!?;:'\"`()\\[\\]\u2018\u2019\u201c\u201d\u00ab\u00bb\u00bf\u00a1\u3001\u3002]"
    r"|(?<!\d)[.,]|[.,](?!\d)|(?<=[^\W\d_])-(?=[^\W\d_])|[<>=+*/\\|~^#@&_-]+$|^[<>=+*/\\|~^#@&_-]+"
)
MISSES = "rows were looked up with MinHash, which finds 95% of the pairs with Jaccard .80 and 99% of those with .85"

Say = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows that are alike, with their Jaccard index; numbers within their own sides."""

    left: Whole
    right: Whole
    score: Reals


@dataclass
class Compared:
    """The rows of all sides, one after the other."""

    texts: list[str]
    begins: Mapping[str, int]  # side -> its first row
    counts: Mapping[str, int]
    progress: Say = lambda what, done, total: None
    inexact: set[str] = field(default_factory=set)  # sides that were looked up with MinHash

    @classmethod
    def of(cls, splits: Splits, progress: Say = lambda what, done, total: None) -> Compared:
        sides = {side: list(table.rows()) for side, table in splits.items()}
        texts = without_prefix(asked([row for rows in sides.values() for row in rows]))
        counts = {side: len(rows) for side, rows in sides.items()}
        before = np.cumsum([0, *counts.values()]).tolist()
        return cls(texts, dict(zip(counts, before, strict=False)), counts, progress)

    def side(self, side: str) -> Sequence[str]:
        return self.texts[self.begins[side] : self.begins[side] + self.counts[side]]

    @cached_property
    def sets(self) -> Sets:
        return sets(self.texts)

    @cached_property
    def bands(self) -> Hashes:
        total = len(self.texts)
        return minhash.signatures(self.texts, lambda done: self.progress("Near copies: reading texts", done, total))

    @cached_property
    def small(self) -> bool:
        return len(self.texts) < EXACT_ROWS and int(lengths(self.texts).sum()) <= EXACT_CHARACTERS

    def pairs(self, left: str, right: str, least: float, differ: Whole | None = None) -> Iterator[Pairs]:
        """Pairs of a row of ``left`` and one of ``right`` with Jaccard >= ``least``, block by block, each pair once.

        Within one side the left row is the earlier one. ``differ`` (a number per row of that side) leaves only pairs
        whose numbers differ. All pairs where the rows are few; ``MISSES`` where they are many (``inexact`` tells).
        """
        rows = {side: np.arange(self.counts[side]) + self.begins[side] for side in (left, right)}
        for one, other in self._candidates(rows[left], rows[right], least, left):
            if left == right:  # each asks for earlier ones: of a crowd MinHash gives the first 16
                one, other = other[other < one], one[other < one]
            if differ is not None:
                keep = differ[one - self.begins[left]] != differ[other - self.begins[right]]
                one, other = one[keep], other[keep]
            score = self._measured(one, other)
            alike = score >= least
            yield Pairs(one[alike] - self.begins[left], other[alike] - self.begins[right], score[alike])

    def _candidates(self, left: Whole, right: Whole, least: float, side: str) -> Iterator[tuple[Whole, Whole]]:
        index = exact.Index(self.sets, left, right, least) if self.small else None
        if index is not None and index.work <= EXACT_WORK:
            found = index.candidates()
        else:
            self.inexact.add(side)
            full = np.array([bool(text) for text in self.texts], np.bool_)
            found = minhash.candidates(self.bands, left[full[left]], right[full[right]])
        for one, other in found:
            yield one, other
            done = int(one[-1] - left[0]) + 1 if len(one) else 0
            self.progress("Near copies: comparing rows", done, len(left))

    def _measured(self, one: Whole, other: Whole) -> Reals:
        if self.small:
            return jaccard(self.sets, one, other)
        return measured(self.texts, one, other)


def measured(texts: Sequence[str], one: Whole, other: Whole) -> Reals:
    """Jaccard of pairs of texts whose sets are made for it and forgotten, a million characters at a time."""
    size = lengths(texts)
    parts = [np.empty(0, np.float64)]
    for begin, end in blocks(size[one] + size[other], 4 * AT_ONCE):
        rows, places = np.unique(np.concatenate((one[begin:end], other[begin:end])), return_inverse=True)
        found = sets([texts[row] for row in rows])
        parts.append(jaccard(found, *np.split(places, 2)))
    return np.concatenate(parts)


def asked(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is asked in each row, folded and plain; system messages that one row in twenty carries are left out."""
    seen: Counter[str] = Counter(text for row in rows for text in set(_system(row)))
    often = {text for text, count in seen.items() if count > max(1, OFTEN * len(rows))}
    found = columns.folded(pl.Series([question(_without(row, often)) for row in rows], dtype=pl.String))
    return [plain(text) for text in found]


def plain(text: str) -> str:
    """A folded text without the marks of its sentences; the text itself where it is nothing but marks."""
    return " ".join(MARKS.sub("", text).split()) or text


def without_prefix(texts: list[str]) -> list[str]:
    """The texts without the longest leading text (20 characters or more) that more than half of them share.

    Sorted, the texts that share one stand side by side, so the text in the middle has it.
    """
    ordered = sorted(texts)
    middle = ordered[len(ordered) // 2] if ordered else ""

    def rare(length: int) -> bool:
        head = middle[:length]
        first = bisect_left(ordered, head, key=lambda text: text[:length])
        last = bisect_right(ordered, head, key=lambda text: text[:length])
        return last - first <= MOST_SHARED * len(ordered)

    length = bisect_left(range(1, len(middle) + 1), True, key=rare)
    if length < SHORTEST_PREFIX:
        return texts
    return [text[length:] if text.startswith(middle[:length]) else text for text in texts]


def codes(values: Iterable[str]) -> Whole:
    """A number per value, the same for equal ones."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], np.int64)


@dataclass
class Best:
    """For each row the partner that it is most like: the first of them where several are equally so."""

    partner: Whole  # -1: none
    score: Reals

    @classmethod
    def none(cls, rows: int) -> Best:
        return cls(np.full(rows, -1), np.zeros(rows))

    def add(self, rows: Whole, partners: Whole, scores: Reals) -> None:
        better = scores > self.score[rows]
        rows, partners, scores = rows[better], partners[better], scores[better]
        order = np.lexsort((-partners, scores))  # where a row stands several times, the last one written stays
        self.partner[rows[order]], self.score[rows[order]] = partners[order], scores[order]

    @property
    def rows(self) -> Whole:
        """Rows that have a partner, the most alike first."""
        found = np.flatnonzero(self.partner >= 0)
        return found[np.argsort(-self.score[found], kind="stable")]


def histogram(scores: Reals, least: float) -> list[list[float]]:
    """[from, to, how many], in steps of .05; the last holds 1 too."""
    edges = np.round(np.arange(least, 1.0001, 0.05), 2)
    counts, _ = np.histogram(scores, edges)
    return [[float(low), float(high), int(n)] for low, high, n in zip(edges, edges[1:], counts, strict=False)]


def _system(row: Mapping[str, Any]) -> list[str]:
    return [str(message["content"]) for message in row.get("messages", ()) if message["role"] == "system"]


def _without(row: Mapping[str, Any], often: set[str]) -> Mapping[str, Any]:
    if not often or "messages" not in row:
        return row
    kept = [m for m in row["messages"] if m["role"] != "system" or str(m["content"]) not in often]
    return {**row, "messages": kept}
