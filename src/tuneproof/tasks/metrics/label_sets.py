"""Several labels per item: F1 of all labels pooled, their mean F1, and whether the whole set is right."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from tuneproof.tasks.metrics.counts import Label, set_counts, thirds
from tuneproof.tasks.metrics.summed import Floats, mean, ratio, total, value_of


def multilabel_macro_f1_of(sums: Floats) -> Floats:
    """(..., 3K) -> (...): mean F1 of the labels that are true or predicted somewhere; NaN when there is none."""
    hits, predicted, true = thirds(sums)
    seen = predicted + true > 0
    total = np.where(seen, ratio(2 * hits, predicted + true), 0.0).sum(axis=-1)
    return ratio(total, seen.sum(axis=-1))


def micro_f1_of(sums: Floats) -> Floats:
    """(..., 3K) -> (...): F1 of all labels (or entity types) pooled; NaN when nothing is true or predicted."""
    hits, predicted, true = (part.sum(axis=-1) for part in thirds(sums))
    return ratio(2 * hits, predicted + true)


def multilabel_scores(
    truth: Sequence[Collection[Label]], predicted: Sequence[Collection[Label]], labels: Sequence[Label]
) -> dict[str, float | None]:
    """micro_f1, multilabel_macro_f1 and subset_accuracy (the whole set is right)."""
    sums = total(set_counts(truth, predicted, labels))
    return {
        "micro_f1": value_of(micro_f1_of(sums)),
        "multilabel_macro_f1": value_of(multilabel_macro_f1_of(sums)),
        "subset_accuracy": mean([set(t) == set(p) for t, p in zip(truth, predicted, strict=True)]),
    }
