"""How far apart are the scores of one model on two different sets of items, such as train and test rows?

    gap([1, 1, 1, 0], [1, 0, 1, 0])        # a Difference, second minus first, with its interval

Different items cannot be paired, so both sets bring their own noise. Two models on the same items are in ``paired``.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from tuneproof.stats.interval import mean_error, wilson
from tuneproof.stats.items import Floats, scores
from tuneproof.stats.paired import Difference


def gap(
    a: ArrayLike,
    b: ArrayLike,
    group_a: Sequence[Hashable] | None = None,
    group_b: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Difference:
    """Mean of b (m,) minus mean of a (n,), the items of each its own; ``n`` is the smaller number of items.

    0/1 scores without clusters: Newcombe's hybrid of two Wilson intervals (1998, method 10), which still holds where
    one set is all right. Otherwise Welch's t over clusters. No p: the interval is what is asked for.
    """
    first, second = scores(a, "A"), scores(b, "B")
    n = min(first.size, second.size)
    binary = bool(np.isin(first, (0.0, 1.0)).all() and np.isin(second, (0.0, 1.0)).all())
    if binary and group_a is None and group_b is None:
        return _newcombe(first, second, n, level)
    (mean_a, error_a, count_a), (mean_b, error_b, count_b) = mean_error(first, group_a), mean_error(second, group_b)
    value = mean_b - mean_a
    if error_a is None or error_b is None:
        why = "one cluster only: its spread cannot be estimated"
        return Difference(value, None, None, None, n, "Welch t", level=level, note=why)
    error = math.hypot(error_a, error_b)
    below = error_a**4 / (count_a - 1) + error_b**4 / (count_b - 1)
    df = error**4 / below if below else float("inf")
    half = float(special.stdtrit(df, 0.5 + level / 2)) * error if error else 0.0
    return Difference(
        value, value - half, value + half, None, n, "Welch t", value, error, df, min(count_a, count_b), level=level
    )


def _newcombe(first: Floats, second: Floats, n: int, level: float) -> Difference:
    one, other = (wilson(int(x.sum()), x.size, level) for x in (first, second))
    assert None not in (one.value, one.low, one.high, other.value, other.low, other.high)
    value = other.value - one.value  # type: ignore[operator]
    low = value - math.hypot(other.value - other.low, one.high - one.value)  # type: ignore[operator]
    high = value + math.hypot(other.high - other.value, one.value - one.low)  # type: ignore[operator]
    return Difference(value, low, high, None, n, "Newcombe", value, groups=n, level=level)
