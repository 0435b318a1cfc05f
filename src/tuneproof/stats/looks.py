"""Which of several looks at validation rows decides.

    latest_best([0.905, 0.925, 0.923], [494, 494, 494], higher=True, share=True)      # 2

With few rows the best of many looks is luck: on banking77 (494 rows) the best of eight, .925 at three fifths of the
training, had .910 on the test rows, and the last, .915, had .931. So looks within one standard error of the best are
alike (Breiman et al. 1984), and of these the latest counts: by then the learning rate has come down. Unless it is less
sure of the right answers: a model that learns its rows by heart keeps its share of right answers for long, while the
squared error of its probabilities grows from the first epoch of it (docs/train.md has the trial).
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def latest_best(
    values: Sequence[float | None],
    rows: Sequence[int],
    *,
    higher: bool,
    share: bool,
    errors: Sequence[float | None] | None = None,
) -> int | None:
    """Index of the look that decides, None where no look has a score. ``rows`` is how many each look was at.

    ``share`` says that a value is a share of the rows, whose standard error is sqrt(p (1 - p) / n); without it the
    best alone counts, and of equal ones the latest. ``errors`` are the looks' Brier scores (Brier 1950): of two looks
    that are alike the one with the smaller counts. What was passed over never comes back.
    """
    best, found = -math.inf, None
    kept = -math.inf
    for index, (value, count) in enumerate(zip(values, rows, strict=True)):
        if value is None:
            continue
        signed = value if higher else -value
        best = max(best, signed)
        slack = math.sqrt(best * (1 - best) / count) if share and count else 0.0
        if signed < best - slack:
            continue
        if kept >= best - slack and _surer(errors, found, index):
            continue
        kept, found = signed, index
    return found


def _surer(errors: Sequence[float | None] | None, earlier: int | None, later: int) -> bool:
    """Whether the earlier of two looks that are alike has the smaller error."""
    if errors is None or earlier is None:
        return False
    first, second = errors[earlier], errors[later]
    return first is not None and second is not None and first < second
