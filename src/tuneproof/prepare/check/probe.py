"""A cheap stand-in for the tuned model: softmax regression on the encoder's vectors, scored on the test rows.

    probe = Probe.of(train_vectors, train_labels, test_vectors, test_labels)
    probe.correct(probe.everything)          # (test rows,) 1.0 where it is right

It answers in a second what a training run answers in minutes: which way a change of the train rows moves the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tuneproof.prepare.check.linear import Floats, Integers, fit, unit

BLOCK = 2048  # rows whose similarities to all others are in memory at once

Scores = NDArray[np.float64]


@dataclass
class Probe:
    """Vectors (rows, width) of train and test, and their class numbers; -1 for a class that no train row has."""

    train: Floats
    numbers: Integers
    classes: int
    test: Floats
    test_numbers: Integers

    @classmethod
    def of(cls, train: Floats, labels: Sequence[str], test: Floats, test_labels: Sequence[str]) -> Probe:
        """From vectors as they come: both are shifted and scaled alike."""
        names, numbers = np.unique(np.asarray(labels), return_inverse=True)
        known = {name: number for number, name in enumerate(names.tolist())}
        theirs = np.array([known.get(label, -1) for label in test_labels], dtype=np.int64)
        rows, others = unit(train), unit(test)
        centre = rows.mean(0)
        length = np.float32(max(float(np.sqrt(((rows - centre) ** 2).sum(1).mean())), 1e-12))
        return cls((rows - centre) / length, numbers, len(names), (others - centre) / length, theirs)

    @property
    def everything(self) -> Integers:
        return np.arange(len(self.train))

    def correct(self, kept: Integers) -> Scores:
        """(test rows,) 1.0 where the probe that has learnt the train rows ``kept`` is right, else 0.0."""
        model = fit(self.train[kept], self.numbers[kept], self.classes)
        return np.asarray(model.probabilities(self.test).argmax(1) == self.test_numbers, dtype=np.float64)

    @cached_property
    def before(self) -> Scores:
        """With every train row."""
        return self.correct(self.everything)

    @cached_property
    def nearest(self) -> Integers:
        """(test rows,) the train row that is nearest to each by cosine."""
        rows, others = unit(self.train), unit(self.test)
        return np.concatenate(
            [(others[at : at + BLOCK] @ rows.T).argmax(1) for at in range(0, len(others), BLOCK)] or [np.zeros(0, int)]
        )
