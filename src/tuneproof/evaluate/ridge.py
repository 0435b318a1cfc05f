"""What a number costs to predict without tuning: always the same one, and two linear models.

    mean(rows)[0].value, tfidf_ridge(rows)[0].value

Each takes the rows of ``rows.Rows`` and gives one prediction per test row, in order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tuneproof.evaluate import tfidf, tfidf_pairs
from tuneproof.evaluate.rows import Rows
from tuneproof.evaluate.vectors import LINEAR_ROWS, vectors
from tuneproof.records import Prediction
from tuneproof.tasks.regression import prediction

Numbers = np.ndarray[Any, np.dtype[np.float64]]
TFIDF_ALPHAS = (0.1, 0.3, 1.0, 3.0, 10.0)  # the best on a tenth of the training rows is taken
FROZEN_ALPHAS = (10.0, 100.0, 1_000.0, 10_000.0)  # by leave-one-out


def mean(rows: Rows) -> list[Prediction]:
    """Always the mean of the training rows: what the squared error is smallest with."""
    return _said(rows, np.full(len(rows.test), _numbers(rows).mean()))


def median(rows: Rows) -> list[Prediction]:
    """Always the median of the training rows: what the mean error is smallest with."""
    return _said(rows, np.full(len(rows.test), np.median(_numbers(rows))))


def tfidf_ridge(rows: Rows) -> list[Prediction]:
    """Ridge regression on words and pairs of words, weighted by TF-IDF."""
    from sklearn.linear_model import Ridge

    if rows.train_pairs:
        features = tfidf_pairs.Pairs(rows.train_pairs)
        train, test = features(rows.train_pairs), features(rows.test_pairs)
    else:
        words = tfidf.features(pieces=False)
        train, test = words.fit_transform(rows.train_texts), words.transform(rows.test_texts)
    numbers = _numbers(rows)
    order = np.random.default_rng(rows.seed).permutation(len(numbers))
    held, kept = order[: max(1, len(order) // 10)], order[max(1, len(order) // 10) :]

    def error(alpha: float) -> float:
        said = Ridge(alpha=alpha).fit(train[kept], numbers[kept]).predict(train[held])
        return float(np.abs(said - numbers[held]).mean())

    best = min(TFIDF_ALPHAS, key=error)
    return _said(rows, Ridge(alpha=best).fit(train, numbers).predict(test))


def frozen_ridge(rows: Rows) -> list[Prediction]:
    """Ridge regression on the mean of the untouched model's last states: what the model knew already."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    chosen = np.random.default_rng(rows.seed).permutation(len(rows.train))[:LINEAR_ROWS]
    train = [rows.train[index] for index in chosen]
    pairs = [rows.train_pairs[index] for index in chosen] if rows.train_pairs else ()
    head = make_pipeline(StandardScaler(), RidgeCV(alphas=FROZEN_ALPHAS))
    head.fit(vectors(rows.base, rows.known, train, pairs), _numbers(rows)[chosen])
    return _said(rows, head.predict(vectors(rows.base, rows.known, rows.test, rows.test_pairs)))


def _numbers(rows: Rows) -> Numbers:
    return np.array([example.values[0] for example in rows.train if example.values is not None], dtype=np.float64)


def _said(rows: Rows, numbers: Numbers) -> list[Prediction]:
    truths = [example.values[0] for example in rows.test if example.values is not None]
    return [prediction(float(number), truth) for number, truth in zip(numbers, truths, strict=True)]
