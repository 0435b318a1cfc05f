"""Every pair of sets that can be alike enough: an inverted index over the rarest members, with no false negatives.

    index = Index(found, left, right, 0.8)
    index.work                                     # pairs that it would look at
    for done, one, other in index.candidates(): ...

Prefix filter (Chaudhuri, Ganti, Kaushik 2006; Bayardo, Ma, Srikant 2007): with members in one fixed order, two sets of
Jaccard >= t share one of the first |x| - ceil(t |x|) + 1 of each. Their sizes differ by a factor of t at most, and from
the first member that they share the rest must suffice for ceil(t / (1 + t) (|x| + |y|)) (Xiao et al. 2008). The order
is from rare to common, so lists are short. What comes out still has to be measured (``shingles.jaccard``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tuneproof.prepare.check.shingles import Sets, Whole, blocks, spread

AT_ONCE = 2_000_000  # pairs looked at together: about 100 MB
SLACK = 1e-9  # 0.8 * 5 must not be rounded up to 5


@dataclass(frozen=True, slots=True)
class Heads:
    """The first members of some sets, flat."""

    row: Whole
    member: Whole
    place: Whole  # of the member in its set, 0 for the rarest


class Index:
    """Rows ``left`` looked up among rows ``right`` of ``found``; rows without a member are in no pair."""

    def __init__(self, found: Sets, left: Whole, right: Whole, least: float) -> None:
        self.sizes, self.least = found.sizes, least
        self.asked = _heads(found, left, least)
        held = _heads(found, right, least)
        span = int(found.sizes.max(initial=0)) + 1
        keys = held.member * span + found.sizes[held.row]
        order = np.argsort(keys, kind="stable")
        keys, self.row, self.place = keys[order], held.row[order], held.place[order]
        size = found.sizes[self.asked.row]
        lowest = np.ceil(least * size - SLACK).astype(np.int64)
        highest = np.minimum(np.floor(size / least + SLACK).astype(np.int64), span - 1)
        self.begin = np.searchsorted(keys, self.asked.member * span + lowest, side="left")
        self.count = np.searchsorted(keys, self.asked.member * span + highest, side="right") - self.begin

    @property
    def work(self) -> int:
        return int(self.count.sum())

    def candidates(self) -> Iterator[tuple[Whole, Whole]]:
        """(left rows, right rows) block by block, each pair once, ascending by left row where ``left`` is."""
        starts = np.flatnonzero(np.diff(self.asked.row, prepend=-1))  # all members of one row into one block
        if not len(starts):
            return
        ends = np.append(starts[1:], len(self.asked.row))
        for first, last in blocks(np.add.reduceat(self.count, starts), AT_ONCE):
            part = slice(int(starts[first]), int(ends[last - 1]))
            which, at = spread(self.begin[part], self.count[part])
            one, other = self.asked.row[part][which], self.row[at]
            left_over = np.minimum(self.sizes[one] - self.asked.place[part][which], self.sizes[other] - self.place[at])
            both = self.sizes[one] + self.sizes[other]
            enough = left_over >= np.ceil(self.least / (1 + self.least) * both - SLACK)
            yield unique_pairs(one[enough], other[enough])


def unique_pairs(one: Whole, other: Whole) -> tuple[Whole, Whole]:
    """Each pair once, ascending."""
    keys = np.unique(one << 32 | other)
    return keys >> 32, keys & (2**32 - 1)


def _heads(found: Sets, rows: Whole, least: float) -> Heads:
    size = found.sizes[rows]
    first = np.where(size > 0, size - np.ceil(least * size - SLACK).astype(np.int64) + 1, 0)
    which, at = spread(found.matrix.indptr[rows].astype(np.int64), first)
    return Heads(rows[which], found.matrix.indices[at].astype(np.int64), at - found.matrix.indptr[rows][which])
