"""Statistics of an evaluation: pure functions of numbers and a seed, numpy and scipy only.

    from tuneproof.stats import difference, power_line, verdict
    d = difference(scores_a, scores_b, group=documents)     # B - A with interval and p, paired by item
    verdict(d), power_line(d.n, d.disagreement)

``items`` checks scores and groups; ``interval`` one number; ``paired`` two models on the same items; ``bootstrap``
metrics of a whole corpus; ``gap`` one model on two sets of items; ``verdicts`` better, worse, inconclusive,
non-inferiority, Holm; ``power`` what a test set can show; ``calibration`` confidences. It knows no task, file or model:
metrics are handed in (``tasks/metrics``).
"""

from __future__ import annotations

from tuneproof.stats.bootstrap import (
    corpus_difference,
    corpus_difference_unpaired,
    corpus_interval,
    seed_spread,
    seeds_difference,
)
from tuneproof.stats.calibration import (
    Calibration,
    Temperature,
    apply_temperature,
    brier_items,
    calibration_error,
    fit_temperature,
    nll_items,
)
from tuneproof.stats.gap import gap
from tuneproof.stats.interval import Interval, mean_interval, rule_of_three, wilson
from tuneproof.stats.paired import Difference, difference, difference_of_means, difference_of_proportions
from tuneproof.stats.power import detectable, detectable_mean, power_line, power_line_mean, rows_needed
from tuneproof.stats.verdicts import NonInferiority, Verdict, holm, non_inferior, verdict

__all__ = [
    "Calibration",
    "Difference",
    "Interval",
    "NonInferiority",
    "Temperature",
    "Verdict",
    "apply_temperature",
    "brier_items",
    "calibration_error",
    "corpus_difference",
    "corpus_difference_unpaired",
    "corpus_interval",
    "detectable",
    "detectable_mean",
    "difference",
    "difference_of_means",
    "difference_of_proportions",
    "fit_temperature",
    "gap",
    "holm",
    "mean_interval",
    "nll_items",
    "non_inferior",
    "power_line",
    "power_line_mean",
    "rows_needed",
    "rule_of_three",
    "seed_spread",
    "seeds_difference",
    "verdict",
    "wilson",
]
