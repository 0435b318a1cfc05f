"""What an evaluation found, before it is told: each contender on the test rows, and what was measured beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuneproof.records import Prediction, Scores, Table
from tuneproof.stats.interval import Interval
from tuneproof.stats.paired import Difference


@dataclass(frozen=True, slots=True)
class System:
    """One contender on the test rows."""

    name: str
    what: str
    kind: str  # "tuned" or "baseline"
    predictions: Sequence[Prediction]
    scores: Scores
    interval: Interval
    difference: Difference | None = None  # tuned minus this one, oriented as measured
    blind: bool = False  # whether it says the same of every row
    beyond: Difference | None = None  # this one minus the best blind one, where there is one
    save: str = ""  # command that keeps it for use, where there is one
    calibration: Mapping[str, Any] | None = None  # calibration error with interval, where there are confidences


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that the report is made of."""

    systems: Sequence[System]
    table: Table  # the scored test rows
    answers: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    seconds: float = 0.0
    joules: float | None = None  # of the processors, where they tell
    peak_bytes: int = 0
    slices: Mapping[str, Sequence[str]] = field(default_factory=dict)  # way to divide the rows -> part of each row
    calibration: Mapping[str, Any] | None = None  # the temperature, as it was fitted
    forgetting: Mapping[str, Any] | None = None
    overfitting: Mapping[str, Any] | None = None  # how much better the training rows are known
    prompted: Mapping[str, Any] | None = None  # what a chat model does that is only asked
    about: Mapping[str, Any] = field(default_factory=dict)  # which rows, read how, used how often
