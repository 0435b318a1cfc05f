"""Which of several looks at validation rows decides: the latest one that cannot be told from the best.

    latest_best([0.905, 0.925, 0.923], [494, 494, 494], higher=True, share=True)      # 2

With few rows the best of many looks is luck: on banking77 (494 rows) the best of eight, .925 at three fifths of the
training, had .910 on the test rows, and the last, .915, had .931. Of looks within one standard error the latest counts
(the rule of Breiman et al. 1984, for the other end of the path): by then the learning rate has come down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def latest_best(values: Sequence[float | None], rows: Sequence[int], *, higher: bool, share: bool) -> int | None:
    """Index of the look that decides, None where no look has a score. ``rows`` is how many each look was at.

    ``share`` says that a value is a share of the rows, whose standard error is sqrt(p (1 - p) / n); without it the
    best alone counts, and of equal ones the latest.
    """
    best, found = -math.inf, None
    for index, (value, count) in enumerate(zip(values, rows, strict=True)):
        if value is None:
            continue
        signed = value if higher else -value
        best = max(best, signed)
        slack = math.sqrt(best * (1 - best) / count) if share and count else 0.0
        if signed >= best - slack:
            found = index
    return found
