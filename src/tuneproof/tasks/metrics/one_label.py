"""One label per item: accuracy, F1, MCC, the confusion table, and scores of probabilities.

macro_f1(["a", "b"], ["a", "a"])                # 0.333...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from tuneproof.stats import brier_items, calibration_error, nll_items
from tuneproof.tasks.metrics.counts import (
    ClassScore,
    Label,
    class_scores,
    known,
    label_set,
    set_counts,
    thirds,
)
from tuneproof.tasks.metrics.label_sets import multilabel_macro_f1_of
from tuneproof.tasks.metrics.summed import Floats, mean, ratio, same_length, total, value_of


def correct(truth: Sequence[Label], predicted: Sequence[Label]) -> Floats:
    """1.0 where the prediction is the truth, (n,); DataError when the lengths differ."""
    same_length(truth, predicted)
    return np.fromiter((t == p for t, p in zip(truth, predicted, strict=True)), dtype=np.float64, count=len(truth))


def accuracy(truth: Sequence[Label], predicted: Sequence[Label]) -> float | None:
    """Share of items whose prediction is the truth."""
    return mean(correct(truth, predicted))


def class_counts(truth: Sequence[Label], predicted: Sequence[Label], labels: Sequence[Label]) -> sparse.csr_array:
    """Sufficient statistics of one-label classification: sparse (n, 3K), columns [correct | predicted | true].

    A prediction outside ``labels`` (a failed generation) is a miss of the true class and a false alarm of none. Raises
    DataError for a true label outside ``labels``.
    """
    same_length(truth, predicted)
    return set_counts([(t,) for t in truth], [(p,) for p in predicted], labels)


def confusion(truth: Sequence[Label], predicted: Sequence[Label], labels: Sequence[Label]) -> NDArray[np.int64]:
    """Counts (K, K + 1): row true, column predicted; the last column is "none of the labels"."""
    same_length(truth, predicted)
    number = {label: i for i, label in enumerate(labels)}
    rows = [known(label, number, i) for i, label in enumerate(truth)]
    columns = [number.get(label, len(labels)) for label in predicted]
    table = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)
    np.add.at(table, (rows, columns), 1)
    return table


def per_class(
    truth: Sequence[Label], predicted: Sequence[Label], labels: Sequence[Label] | None = None
) -> list[ClassScore]:
    """Precision, recall, F1 and support of each label (of each label that occurs, when ``labels`` is None)."""
    names = list(labels) if labels is not None else label_set(truth, predicted)
    return class_scores(class_counts(truth, predicted, names), names)


def macro_f1(truth: Sequence[Label], predicted: Sequence[Label], labels: Sequence[Label] | None = None) -> float | None:
    """Mean F1 of the classes that are true or predicted somewhere; None when the truth has fewer than two."""
    return _single(macro_f1_of, truth, predicted, labels)


def weighted_f1(
    truth: Sequence[Label], predicted: Sequence[Label], labels: Sequence[Label] | None = None
) -> float | None:
    """Mean F1 weighted by how often a class is true; None when the truth has fewer than two classes."""
    return _single(weighted_f1_of, truth, predicted, labels)


def mcc(truth: Sequence[Label], predicted: Sequence[Label], labels: Sequence[Label] | None = None) -> float | None:
    """Matthews correlation for K classes (Gorodkin 2004), -1..1; None when either side has one class only."""
    return _single(mcc_of, truth, predicted, labels)


def macro_f1_of(sums: Floats) -> Floats:
    """(..., 3K) -> (...): macro-F1 of one-label items, NaN when fewer than two classes are true."""
    return np.where(_classes_true(sums) < 2, np.nan, multilabel_macro_f1_of(sums))


def weighted_f1_of(sums: Floats) -> Floats:
    """(..., 3K) -> (...): F1 weighted by support, NaN when fewer than two classes are true."""
    hits, predicted, true = thirds(sums)
    weighted = np.where(true > 0, ratio(2 * hits, predicted + true) * true, 0.0).sum(axis=-1)
    return np.where(_classes_true(sums) < 2, np.nan, ratio(weighted, true.sum(axis=-1)))


def accuracy_of(sums: Floats) -> Floats:
    """(..., 3K) -> (...): share of one-label items that are correct."""
    hits, _, true = thirds(sums)
    return ratio(hits.sum(axis=-1), true.sum(axis=-1))


def mcc_of(sums: Floats) -> Floats:
    """(..., 3K) -> (...): ``(c s - t.p) / sqrt((s^2 - p.p)(s^2 - t.t))`` with c hits, s items, t true, p predicted."""
    hits, predicted, true = thirds(sums)
    items = true.sum(axis=-1)
    outside = items - predicted.sum(axis=-1)  # predictions that are none of the labels count as a class of their own
    spread_p = items**2 - (predicted**2).sum(axis=-1) - outside**2
    spread_t = items**2 - (true**2).sum(axis=-1)
    covariance = hits.sum(axis=-1) * items - (true * predicted).sum(axis=-1)
    return ratio(covariance, np.sqrt(spread_p) * np.sqrt(spread_t))


def probability_scores(probabilities: ArrayLike, truth: ArrayLike, seed: int = 0) -> dict[str, float | None]:
    """nll (nats), brier (0..2) and 15-bin equal-mass ece from probabilities (n, K) and class numbers (n,)."""
    table, codes = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    if not codes.size:
        return {"nll": None, "brier": None, "ece": None}
    ece = calibration_error(table.max(axis=1), table.argmax(axis=1) == codes, seed=seed).value
    return {"nll": mean(nll_items(table, codes)), "brier": mean(brier_items(table, codes)), "ece": ece}


def _single(
    metric: Callable[[Floats], Floats],
    truth: Sequence[Label],
    predicted: Sequence[Label],
    labels: Sequence[Label] | None,
) -> float | None:
    names = list(labels) if labels is not None else label_set(truth, predicted)
    return value_of(metric(total(class_counts(truth, predicted, names))))


def _classes_true(sums: Floats) -> NDArray[np.int64]:
    return np.asarray(np.count_nonzero(thirds(sums)[2], axis=-1))
