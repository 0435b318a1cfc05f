"""Labels in an order, such as one to five stars: a label beside the right one is a smaller mistake than a far one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuneproof.tasks.metrics.counts import Label
from tuneproof.tasks.metrics.summed import same_length


def steps_off(truth: Sequence[Label], predicted: Sequence[Label], order: Sequence[Label]) -> float | None:
    """How many steps of ``order`` lie between answer and truth on average; None without items."""
    a, b = _places(truth, order), _places(predicted, order)
    same_length(truth, predicted)
    return float(np.abs(a - b).mean()) if len(a) else None


def quadratic_kappa(truth: Sequence[Label], predicted: Sequence[Label], order: Sequence[Label]) -> float | None:
    """Cohen's kappa with squared distances as weights: 1 is perfect, 0 is chance; None where nothing varies."""
    same_length(truth, predicted)
    a, b = _places(truth, order), _places(predicted, order)
    if not len(a):
        return None
    observed = len(a) * int(((a - b) ** 2).sum())  # whole numbers: always the same answer is 0 and not nearly 0
    chance = len(a) * int((a**2).sum() + (b**2).sum()) - 2 * int(a.sum()) * int(b.sum())  # of independent answers
    return 1 - observed / chance if chance > 0 else None


def _places(labels: Sequence[Label], order: Sequence[Label]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    at = {label: place for place, label in enumerate(order)}
    return np.array([at[label] for label in labels], dtype=np.int64)
