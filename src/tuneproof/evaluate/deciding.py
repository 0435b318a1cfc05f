"""How a baseline decides where the task has a rule: by one of its own, fitted on the rows that the tuned model's was.

    decide = deciding(schema, answer, spared, lambda: logits_of_spared_rows)
    decide.labels(logits)        # (rows,) numbers of labels
    decide.each(logits)          # (rows, labels) which are given, where a row has several

Otherwise a threshold, which any model with probabilities can have, would be counted as a gain of tuning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special

from tuneproof.modalities import Example
from tuneproof.records import Schema
from tuneproof.stats.calibration import fit_temperature
from tuneproof.tasks import Answer, rules

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Deciding:
    """A temperature, by which logits become probabilities that are true, and the rule that reads these."""

    names: tuple[str, ...]
    temperature: float = 1.0
    rule: Mapping[str, Any] = field(default_factory=dict)

    def labels(self, logits: Floats) -> list[int]:
        """The number of each row's label; ``logits`` (rows, labels)."""
        if not self.rule:
            return [int(at) for at in logits.argmax(1)]
        names = dict(enumerate(self.names))
        return [rules.decided(self.rule, shares, names) for shares in special.softmax(logits / self.temperature, 1)]

    def sure(self, logits: Floats, value: int) -> float:
        """How probable it is that ``value``, a label that ``labels`` gave, is right; ``logits`` (labels,)."""
        return rules.sure(self.rule, special.softmax(logits / self.temperature), value)

    def each(self, logits: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which of several labels each row is given; ``logits`` (rows, labels)."""
        from_ = np.array([rules.threshold(self.rule, name) for name in self.names])
        return np.asarray(special.expit(logits / self.temperature) >= from_)


def by_rule(schema: Schema) -> bool:
    """Whether labels are decided by a rule that is fitted, and not by the likeliest one alone."""
    return bool(schema.several) or schema.rare is not None or schema.outside is not None


def deciding(schema: Schema, answer: Answer, spared: Sequence[Example], logits: Callable[[], Floats]) -> Deciding:
    """Fitted on ``spared`` rows, whose ``logits`` (rows, labels) are asked for only where there is a rule to fit."""
    names = schema.choices
    if not spared or not by_rule(schema):
        return Deciding(names)
    several = bool(schema.several)
    truth = np.array([example.values if several else example.label for example in spared])
    found = logits()
    temperature = fit_temperature(found, truth).value
    return Deciding(names, temperature, answer.rule(found / temperature, spared, schema))
