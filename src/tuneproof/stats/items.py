"""Per-item scores on their way into a statistic: checked once, and the groups that tie some of them together.

    scores(["0.5", 1], "A")            # array([0.5, 1. ])
    clusters(["doc1", "doc2", "doc1"], 3)   # (array([0, 1, 0]), 2)

A score that is NaN is refused here, with its row, and never reaches a mean.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tuneproof.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def scores(values: ArrayLike, name: str) -> Floats:
    """``values`` as a float vector of shape (n,), n >= 1.

    Raises DataError when there is no value, or when one is NaN or infinite (the message names ``name`` and the row).
    """
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or not vector.size:
        raise DataError(f"{name}: expected a list of at least one score, got shape {vector.shape}.")
    broken = np.flatnonzero(~np.isfinite(vector))
    if broken.size:
        raise DataError(
            f"{name}: the score of item {broken[0]} is {vector[broken[0]]} ({broken.size} such in {vector.size}).",
            "Score failed items 0 and keep their rows; a NaN would make every aggregate NaN.",
        )
    return vector


def pairs(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    """Two score vectors of the same items in the same order, each (n,); DataError when the lengths differ."""
    first, second = scores(a, "A"), scores(b, "B")
    if first.size != second.size:
        raise DataError(
            f"A has {first.size} items and B has {second.size}.",
            "A paired comparison needs the same items, matched by id.",
        )
    return first, second


def clusters(group: Sequence[Hashable] | None, n: int) -> tuple[Integers, int]:
    """Cluster number of each item, (n,) in order of first appearance, and how many clusters; None: each its own."""
    if group is None:
        return np.arange(n), n
    if len(group) != n:
        raise DataError(f"{len(group)} groups were given for {n} items.", "Give one group per item, or none.")
    number: dict[Hashable, int] = {}
    codes = np.fromiter((number.setdefault(name, len(number)) for name in group), dtype=np.int64, count=n)
    return codes, len(number)
