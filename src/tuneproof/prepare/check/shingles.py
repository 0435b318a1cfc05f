"""Texts as sets of their pieces of five characters, and how alike two such sets are.

    found = sets(["where is my card", "where is my cart"])
    jaccard(found, np.array([0]), np.array([1]))      # array([0.84615385])

A text of fewer than five characters is one piece, itself; an empty one is the empty set, which is like nothing. Pieces
are compared by a 64-bit hash: among ten million different ones two agree by chance once in 400,000 data sets.
Characters are compared as they stand: folding case and white space is the caller's business (``compared``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

Whole = np.ndarray[Any, np.dtype[np.int64]]
Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Reals = np.ndarray[Any, np.dtype[np.float64]]

WIDTH = 5
AT_ONCE = 1_000_000  # characters, or set members, worked on at once: about 60 MB
FACTORS = np.random.default_rng(WIDTH).integers(0, 2**63, WIDTH, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


@dataclass(frozen=True, slots=True)
class Sets:
    """One set per text. Columns are pieces, those in the fewest texts first, so that a row begins with its rarest."""

    matrix: csr_array  # texts x distinct pieces, int8 ones, indices sorted
    sizes: Whole  # members of each set


def sets(texts: Sequence[str]) -> Sets:
    """The sets of all ``texts``: about 49 bytes per character while they are made, 5 afterwards."""
    hashes, sizes = hashed(texts)
    _, numbers, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), np.int32)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts), dtype=np.int32)
    begins = np.concatenate(([0], np.cumsum(sizes)))
    shape = (len(texts), max(len(counts), 1))
    matrix = csr_array((np.ones(len(hashes), np.int8), rank[numbers], begins), shape=shape)
    matrix.sort_indices()
    return Sets(matrix, sizes)


def hashed(texts: Sequence[str]) -> tuple[Hashes, Whole]:
    """The distinct hashes of each text, one text after the other and ascending within it, and how many each has."""
    parts = [_hashed(texts[begin:end]) for begin, end in blocks(lengths(texts), AT_ONCE)]
    if not parts:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def jaccard(found: Sets, left: Whole, right: Whole) -> Reals:
    """Members in both sets by members in either, 0 to 1, for each pair of row numbers."""
    parts = [np.empty(0, np.float64)]
    for begin, end in blocks(found.sizes[left] + found.sizes[right], 8 * AT_ONCE):
        one, other = left[begin:end], right[begin:end]
        common = np.diff(found.matrix[one].multiply(found.matrix[other]).tocsr().indptr)
        parts.append(common / np.maximum(found.sizes[one] + found.sizes[other] - common, 1))
    return np.concatenate(parts)


def lengths(texts: Sequence[str]) -> Whole:
    """Characters of each text."""
    return np.fromiter(map(len, texts), np.int64, len(texts))


def blocks(sizes: Whole, most: int) -> Iterator[tuple[int, int]]:
    """Consecutive ranges whose sizes sum to at most ``most``; what is larger by itself stands alone."""
    ends = np.cumsum(sizes)
    begin = 0
    while begin < len(sizes):
        before = int(ends[begin - 1]) if begin else 0
        end = max(int(np.searchsorted(ends, before + most, side="right")), begin + 1)
        yield begin, end
        begin = end


def spread(begins: Whole, counts: Whole) -> tuple[Whole, Whole]:
    """The ranges ``begins[k]`` to ``begins[k] + counts[k]`` written out: for each number in them k, and the number."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts) + begins[which]


def _hashed(texts: Sequence[str]) -> tuple[Hashes, Whole]:
    padded = [text.ljust(WIDTH, "\0") if text else "" for text in texts]
    each = lengths(padded)
    windows = np.maximum(each - WIDTH + 1, 0)
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    rows, begins = spread(np.cumsum(each) - each, windows)
    sums = np.zeros(len(begins), np.uint64)
    for place, factor in enumerate(FACTORS):
        sums += codes[begins + place] * factor
    order = np.lexsort((sums, rows))
    rows, sums = rows[order], sums[order]
    new = np.ones(len(sums), np.bool_)
    new[1:] = (rows[1:] != rows[:-1]) | (sums[1:] != sums[:-1])
    return sums[new], np.bincount(rows[new], minlength=len(texts))
