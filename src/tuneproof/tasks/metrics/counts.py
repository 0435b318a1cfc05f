"""What one item adds to the metrics of labels and of entities: what is right, what was said, what is true.

    counts = set_counts([("a",)], [("b",)], ["a", "b"])     # sparse (n, 3K), columns [correct | predicted | true]
    class_scores(counts, ["a", "b"])                        # precision, recall and F1 of each

Summed rows give every metric of the kind, so that a bootstrap never scores again.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from tuneproof.errors import DataError
from tuneproof.tasks.metrics.summed import Floats, ratio, same_length, total, value_of

Label = Hashable


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: precision is None when it was never predicted, recall when never true, F1 when neither."""

    label: Label
    precision: float | None
    recall: float | None
    f1: float | None
    support: int  # items that truly have the label
    predicted: int


def set_counts(
    truth: Sequence[Collection[Label]], predicted: Sequence[Collection[Label]], labels: Sequence[Label]
) -> sparse.csr_array:
    """Sufficient statistics of label sets: sparse (n, 3K), columns [correct | predicted | true].

    Raises DataError for a true label outside ``labels``; a predicted one outside is ignored here.
    """
    same_length(truth, predicted)
    number = {label: i for i, label in enumerate(labels)}
    rows: list[int] = []
    columns: list[int] = []
    width = len(labels)
    for row, (true, found) in enumerate(zip(truth, predicted, strict=True)):
        are = {known(label, number, row) for label in true}
        said = {number[label] for label in found if label in number}
        for offset, codes in ((0, are & said), (width, said), (2 * width, are)):
            columns.extend(code + offset for code in codes)
            rows.extend([row] * len(codes))
    return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(truth), 3 * width))


def class_scores(counts: Any, labels: Sequence[Label]) -> list[ClassScore]:
    """The same from counts (n, 3K), for multi-label and entities too."""
    sums = total(counts)
    found = [[value_of(x) for x in column] for column in precision_recall_f1_of(sums)]
    _, predicted, true = thirds(sums)
    return [
        ClassScore(label, p, r, f, int(t), int(c))
        for label, p, r, f, t, c in zip(labels, *found, true, predicted, strict=True)
    ]


def precision_recall_f1_of(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """(..., 3K) -> three (..., K); NaN where the denominator is 0. F1 is ``2 tp / (predicted + true)``."""
    hits, predicted, true = thirds(sums)
    return ratio(hits, predicted), ratio(hits, true), ratio(2 * hits, predicted + true)


def label_set(*columns: Sequence[Label]) -> list[Label]:
    """Distinct labels, sorted where they can be compared, else in order of first appearance."""
    found = list(dict.fromkeys(label for column in columns for label in column))
    try:
        return sorted(found)  # type: ignore[type-var]
    except TypeError:
        return found


def thirds(sums: Floats) -> tuple[Floats, Floats, Floats]:
    width = sums.shape[-1] // 3
    return sums[..., :width], sums[..., width : 2 * width], sums[..., 2 * width :]


def known(label: Label, number: Mapping[Any, int], row: int) -> int:
    if label not in number:
        raise DataError(f"Item {row}: the true label {label!r} is not in the label set of {len(number)}.")
    return number[label]
