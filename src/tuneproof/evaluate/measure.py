"""The per-item score that decides, and how two systems' items are compared: always paired, clustered where rows are.

    paired(items(base), items(tuned), units(tuned), group=None, seed=0)      # tuned - base, with interval and p

A row weighs as much as it has units: 1 for a label, its answer tokens for a text. Which metric decides is the task's
business; here a row is right or wrong, or has a loss.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tuneproof.records import Prediction
from tuneproof.stats.gap import gap
from tuneproof.stats.interval import Interval, mean_interval, wilson
from tuneproof.stats.paired import Difference, difference

Side = tuple[Sequence[float], Sequence[int], Sequence[Any] | None]  # scores, units and groups of rows


def items(predictions: Sequence[Prediction]) -> list[float]:
    """The per-item score that differences are made of: rightness, or loss per answer token."""
    return [p.scores["correct"] if "correct" in p.scores else p.scores["nll"] / p.scores["tokens"] for p in predictions]


def units(predictions: Sequence[Prediction]) -> list[int]:
    """How much each item weighs in the score of the whole: its answer tokens, or 1."""
    return [int(p.scores.get("tokens", 1)) for p in predictions]


def paired(
    a: Sequence[float], b: Sequence[float], weight: Sequence[int], group: Sequence[Any] | None, seed: int
) -> Difference:
    """B - A of the score of the whole: a mean over units whose rows (or groups) are the clusters."""
    if set(weight) == {1}:
        return difference(a, b, group, seed=seed)
    wide = difference(np.repeat(a, weight), np.repeat(b, weight), owners(weight, group), seed=seed)
    return dataclasses.replace(wide, n=len(a))  # rows decide whether there are enough, not tokens


def interval(values: Sequence[float], weight: Sequence[int], group: Sequence[Any] | None) -> Interval:
    """The score of the whole with its 95% interval: Wilson for shares, t over clusters otherwise."""
    if set(weight) != {1}:
        wide = mean_interval(np.repeat(values, weight), owners(weight, group))
        return dataclasses.replace(wide, n=len(values))
    if group is None and set(values) <= {0.0, 1.0}:
        return wilson(int(sum(values)), len(values))
    return mean_interval(values, group)


def apart(a: Side, b: Side) -> Difference:
    """B - A of the score of the whole, where the two are about different rows."""
    first, second = (
        (np.repeat(values, weight), owners(weight, group)) if set(weight) != {1} else (values, group)
        for values, weight, group in (a, b)
    )
    return dataclasses.replace(gap(first[0], second[0], first[1], second[1]), n=min(len(a[0]), len(b[0])))


def as_json(d: Difference) -> dict[str, Any]:
    """What a report keeps of a difference."""
    return {"value": d.value, "low": d.low, "high": d.high, "p": d.p, "n": d.n, "method": d.method}


def owners(weight: Sequence[int], group: Sequence[Any] | None) -> list[Any]:
    """For each unit the row, or the group, that it belongs to."""
    names = group if group is not None else range(len(weight))
    return [name for name, count in zip(names, weight, strict=True) for _ in range(count)]
