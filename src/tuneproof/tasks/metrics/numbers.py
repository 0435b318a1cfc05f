"""Predicted numbers: mean and root mean squared error, R2 and Spearman's correlation of the ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tuneproof.errors import DataError
from tuneproof.tasks.metrics.summed import Floats


def regression_scores(truth: ArrayLike, predicted: ArrayLike) -> dict[str, float | None]:
    """mae and rmse in the unit of the target, r2 (at most 1), spearman (-1..1); DataError for a value not finite."""
    true, said = np.asarray(truth, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if true.shape != said.shape or true.ndim != 1:
        raise DataError(f"{true.shape} true values and {said.shape} predictions do not pair up.")
    broken = np.flatnonzero(~(np.isfinite(true) & np.isfinite(said)))
    if broken.size:
        raise DataError(f"Item {broken[0]} is not finite: true {true[broken[0]]}, predicted {said[broken[0]]}.")
    if not true.size:
        return {"mae": None, "rmse": None, "r2": None, "spearman": None}
    squares = float(((true - said) ** 2).sum())
    spread = float(((true - true.mean()) ** 2).sum()) if np.ptp(true) > 0 else 0.0
    return {
        "mae": float(np.abs(true - said).mean()),
        "rmse": float(np.sqrt(squares / true.size)),
        "r2": 1 - squares / spread if spread > 0 else None,
        "spearman": _correlation(_ranks(true), _ranks(said)),
    }


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, ties share their mean."""
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[inverse])


def _correlation(x: Floats, y: Floats) -> float | None:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1, 1))
