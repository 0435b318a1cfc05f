"""How a score grows with the number of training rows: a power law through a few measured sizes, and its uncertainty.

    found = growth([1000, 2500, 5000, 10000], errors, ahead=2)      # errors (sizes, items), 0 is perfect
    found.gain, found.low, found.high                                # what twice the rows would take off the error

``error(n) = a + b (n / N)^-c`` with a, b >= 0 and .05 <= c <= 2 (Hestness et al. 2017, arXiv 1712.00409; the floor as
in Figueroa et al. 2012). Four sizes and three numbers leave little to check the law with: what is said about rows that
nobody has is an extrapolation, and it holds for rows of the same kind only.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tuneproof.errors import DataError
from tuneproof.stats.items import Floats, clusters

REPLICATES = 1_000
POWERS = np.linspace(0.05, 2.0, 40)  # c
FEWEST = 3  # sizes


@dataclass(frozen=True, slots=True)
class Growth:
    """The fitted curve, and the error at ``ahead`` times the largest size; bounds are bootstrap percentiles."""

    floor: float  # a
    scale: float  # b, at the largest size
    power: float  # c
    expected: float  # error at ``ahead`` times the rows
    expected_low: float
    expected_high: float
    gain: float  # error at all rows minus ``expected``, both on the curve
    low: float
    high: float

    def at(self, share: float) -> float:
        """Error on the curve at ``share`` of the largest size."""
        return float(self.floor + self.scale * share**-self.power)


def growth(
    rows: Sequence[int],
    errors: ArrayLike,
    group: Sequence[Hashable] | None = None,
    *,
    ahead: float = 2.0,
    noise: float = 0.0,
    seed: int = 0,
    replicates: int = REPLICATES,
    level: float = 0.95,
) -> Growth:
    """Fits the law to the mean errors of ``rows`` training rows each; errors (sizes, n), the same n items each time.

    Items (clusters) are resampled in common for all sizes. ``noise``: standard deviation of one training's error, added
    to each size on its own; 0 leaves the noise of training out. DataError for fewer than three sizes.
    """
    table = np.asarray(errors, dtype=np.float64)
    sizes = np.asarray(rows, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != sizes.size or sizes.size < FEWEST or not table.shape[1]:
        raise DataError(f"A curve needs {FEWEST} sizes with the same items; got {table.shape} errors of {sizes.size}.")
    codes, count = clusters(group, table.shape[1])
    totals = np.zeros((count, table.shape[0] + 1))
    np.add.at(totals, codes, np.vstack([table, np.ones((1, table.shape[1]))]).T)
    rng = np.random.default_rng([seed, 5])
    weights = rng.multinomial(count, np.full(count, 1 / count), size=replicates)
    sums = weights @ totals
    drawn = sums[:, :-1] / sums[:, -1:] + noise * rng.standard_normal((replicates, sizes.size))
    shares = sizes / sizes.max()
    fitted = _fit(shares, table.mean(axis=1)[None, :])[0]
    many = _fit(shares, drawn)
    later, gains = _ahead(many, ahead)
    tails = [0.5 - level / 2, 0.5 + level / 2]
    (expected,), (gain,) = _ahead(fitted[None, :], ahead)
    floor, scale, power = (float(x) for x in fitted)
    expected_low, expected_high = (float(x) for x in np.quantile(later, tails))
    low, high = (float(x) for x in np.quantile(gains, tails))
    return Growth(floor, scale, power, float(expected), expected_low, expected_high, float(gain), low, high)


def _ahead(fitted: Floats, ahead: float) -> tuple[Floats, Floats]:
    floor, scale, power = fitted.T
    later = floor + scale * ahead**-power
    return later, floor + scale - later


def _fit(shares: Floats, errors: Floats) -> Floats:
    """(r, 3): a, b, c of each row of ``errors`` (r, sizes) by least squares with a, b >= 0, c by search."""
    best = np.full(len(errors), np.inf)
    found = np.zeros((len(errors), 3))
    for power in POWERS:
        x = shares**-power
        spread = x - x.mean()
        b = errors @ spread / (spread @ spread)
        a = errors.mean(axis=1) - b * x.mean()
        b = np.where(a < 0, errors @ x / (x @ x), b)
        a = np.maximum(a, 0.0)
        flat = b < 0
        a, b = np.where(flat, errors.mean(axis=1), a), np.where(flat, 0.0, b)
        off = ((a[:, None] + b[:, None] * x - errors) ** 2).sum(axis=1)
        better = off < best - 1e-15
        found[better] = np.column_stack([a, b, np.full(len(a), power)])[better]
        best = np.where(better, off, best)
    return found
