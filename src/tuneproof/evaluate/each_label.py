"""What several labels a row cost to predict without tuning: always the same ones, and a linear model for each label.

    frequent(rows), tfidf_each(rows), frozen_each(rows)

Each takes the rows of ``rows.Rows`` and gives one prediction per test row, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from tuneproof.evaluate import tfidf, tfidf_pairs
from tuneproof.evaluate.deciding import deciding
from tuneproof.evaluate.linear_head import chosen_strength, fitted
from tuneproof.evaluate.rows import Rows
from tuneproof.evaluate.tfidf_pairs import Pair
from tuneproof.evaluate.vectors import LINEAR_ROWS, vectors
from tuneproof.modalities import Example
from tuneproof.records import Prediction
from tuneproof.tasks.multi_label import prediction

ALWAYS = 20.0  # logit of a label that all training rows have, or none
LEAST = 1e-9  # probability that a label is given at least
Truth = np.ndarray[Any, np.dtype[np.bool_]]


def frequent(rows: Rows) -> list[Prediction]:
    """Always the labels that half of the training rows have; the most frequent one where there is none."""
    share = _truth(rows.train).mean(axis=0)
    said = share >= 0.5 if (share >= 0.5).any() else share == share.max()
    return [prediction(rows.labels, said, truth) for truth in _truth(rows.test)]


def tfidf_each(rows: Rows) -> list[Prediction]:
    """A linear support vector machine for each label, on words and pieces of words weighted by TF-IDF."""
    from sklearn.svm import LinearSVC

    if rows.train_pairs:
        features = tfidf_pairs.Pairs(rows.train_pairs)
        train, test = features(rows.train_pairs), features(rows.test_pairs)
        spared = partial(features, rows.spared_pairs)
    else:
        words = tfidf.features(pieces=sum(map(len, rows.train_texts)) <= tfidf.MOST)
        train, test = words.fit_transform(rows.train_texts), words.transform(rows.test_texts)
        spared = partial(words.transform, rows.spared_texts)
    truth = _truth(rows.train)
    machines = {at: LinearSVC(random_state=rows.seed).fit(train, truth[:, at]) for at in _varying(truth)}

    def margins(features: Any, count: int) -> Any:
        found = np.tile(np.where(truth.mean(axis=0) > 0.5, ALWAYS, -ALWAYS), (count, 1))
        for at, machine in machines.items():
            found[:, at] = machine.decision_function(features)
        return found

    decide = deciding(rows.base.schema, rows.base.answer, rows.spared, lambda: margins(spared(), len(rows.spared)))
    said = decide.each(margins(test, len(rows.test)))
    return [prediction(rows.labels, one, true) for one, true in zip(said, _truth(rows.test), strict=True)]


def frozen_each(rows: Rows) -> list[Prediction]:
    """Logistic regression for each label on the mean of the untouched model's last states."""
    chosen = np.random.default_rng(rows.seed).permutation(len(rows.train))[:LINEAR_ROWS]
    pairs = [rows.train_pairs[index] for index in chosen] if rows.train_pairs else ()
    train = vectors(rows.base, rows.known, [rows.train[index] for index in chosen], pairs)
    truth = _truth(rows.train)[chosen]
    varying = _varying(truth)
    if varying:  # chosen once, on the label that tells most
        halved = min(varying, key=lambda at: abs(truth[:, at].mean() - 0.5))
        strength = chosen_strength(train, truth[:, halved], rows.seed)
    heads = {at: fitted(train, truth[:, at], strength) for at in varying}

    def logits(examples: Sequence[Example], own: Sequence[Pair]) -> Any:
        found = np.tile(np.where(truth.mean(axis=0) > 0.5, ALWAYS, -ALWAYS), (len(examples), 1))
        seen = vectors(rows.base, rows.known, examples, own) if heads else None
        for at, head in heads.items():
            found[:, at] = special.logit(np.clip(head.predict_proba(seen)[:, 1], LEAST, 1 - LEAST))
        return found

    test = logits(rows.test, rows.test_pairs)
    decide = deciding(rows.base.schema, rows.base.answer, rows.spared, lambda: logits(rows.spared, rows.spared_pairs))
    each = zip(decide.each(test), special.expit(test), _truth(rows.test), strict=True)
    return [prediction(rows.labels, given, true, shares) for given, shares, true in each]


def _truth(examples: Any) -> Truth:
    """(rows, labels)"""
    several: list[Example] = list(examples)
    return np.array([example.values for example in several], dtype=np.float64) > 0


def _varying(truth: Truth) -> list[int]:
    """Labels that some training rows have and others have not."""
    share = truth.mean(axis=0)
    return np.flatnonzero((share > 0) & (share < 1)).tolist()
