"""What the metrics share: the mean of per-item scores, sums of statistics, quotients that may be undefined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tuneproof.errors import DataError

Floats = NDArray[np.float64]


def mean(values: ArrayLike) -> float | None:
    """Mean of per-item scores (n,), None without items."""
    vector = np.asarray(values, dtype=np.float64)
    return float(vector.mean()) if vector.size else None


def same_length(truth: Sequence[Any], predicted: Sequence[Any]) -> None:
    if len(truth) != len(predicted):
        raise DataError(f"{len(truth)} truths and {len(predicted)} predictions do not pair up.")


def total(counts: Any) -> Floats:
    return np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()


def ratio(above: Any, below: Any) -> Floats:
    """above / below, NaN where below is 0."""
    below = np.asarray(below, dtype=np.float64)
    return np.asarray(np.where(below != 0, above / np.where(below != 0, below, 1.0), np.nan))


def value_of(x: Any) -> float | None:
    return None if np.isnan(x) else float(x)
