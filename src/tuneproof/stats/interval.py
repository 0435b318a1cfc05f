"""How well one number is known: a proportion, a bound when nothing was seen, a mean of items in clusters.

    wilson(87, 100)                    # Interval(value=0.87, low=0.790..., high=0.922..., n=100, method="Wilson")
    rule_of_three(500)                 # 0.006: no error in 500 rows still allows a rate of .6%

Differences of two models are in ``paired`` and ``bootstrap``: two intervals that overlap say little about a difference.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from tuneproof.errors import DataError
from tuneproof.stats.items import clusters, scores


@dataclass(frozen=True, slots=True)
class Interval:
    """A value in its own unit with a two-sided interval; ``low`` and ``high`` are None where none can be given."""

    value: float | None
    low: float | None
    high: float | None
    n: int  # items
    method: str
    level: float = 0.95
    undefined: int = 0  # bootstrap replicates in which the metric had no value
    note: str = ""  # why something above is None


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson 1927); DataError unless 0 <= successes <= n and n >= 1."""
    if n < 1 or not 0 <= successes <= n:
        raise DataError(f"{successes} successes in {n} trials is not a proportion.")
    z2 = float(special.ndtri(0.5 + level / 2)) ** 2
    share = successes / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # With 0 or n successes the bound is exactly 0 or 1; rounding would leave it 1e-17 beside.
    low = 0.0 if successes == 0 else float(centre - half)
    high = 1.0 if successes == n else float(centre + half)
    return Interval(share, low, high, n, "Wilson", level)


def rule_of_three(n: int) -> float:
    """Upper 95% bound ``3/n`` of a rate of which no case was seen in ``n`` items (at most 1)."""
    if n < 1:
        raise DataError("The rule of three needs at least one item.")
    return min(1.0, 3.0 / n)


def mean_error(values: ArrayLike, group: Sequence[Hashable] | None = None) -> tuple[float, float | None, int]:
    """Mean of (n,) values, its cluster-robust standard error, and the number of clusters G.

    The error is ``sqrt(G/(G-1) * sum_g (sum_{i in g} (x_i - mean))^2) / n`` (Liang & Zeger 1986 with the usual small
    sample factor; with one item per cluster it is the textbook ``s/sqrt(n)``). None when there is only one cluster.
    """
    vector = scores(values, "values")
    codes, count = clusters(group, vector.size)
    mean = float(vector.mean())
    if count < 2:
        return mean, None, count
    residuals = np.bincount(codes, weights=vector - mean, minlength=count)
    error = float(np.sqrt(count / (count - 1) * (residuals @ residuals)) / vector.size)
    # Equal values leave rounding dust of 1e-17 in the residuals, which would look like a tiny but real spread.
    return mean, (error if error > 1e-13 * max(abs(mean), 1e-300) else 0.0), count


def mean_interval(values: ArrayLike, group: Sequence[Hashable] | None = None, level: float = 0.95) -> Interval:
    """t-interval with G-1 degrees of freedom of the mean of (n,) values; ``group`` names each item's cluster."""
    mean, error, count = mean_error(values, group)
    n = np.asarray(values).size
    if error is None:
        return Interval(mean, None, None, n, "t", level, note="one cluster only: its spread cannot be estimated")
    half = float(special.stdtrit(count - 1, 0.5 + level / 2)) * error
    return Interval(mean, mean - half, mean + half, n, "t" if count == n else f"cluster t (G={count})", level)
