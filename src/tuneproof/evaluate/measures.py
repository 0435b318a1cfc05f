"""Metrics by which two systems can be compared row by row. MEASURES is the table.

    d = MEASURES["macro_f1"].difference(pairs)       # B - A with interval and p
    MEASURES["macro_f1"].value(pairs.a, labels)      # 0.871, or None where it is undefined

A mean of items is compared by a paired test; a metric of the whole corpus by a paired bootstrap. Adding one is a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneproof.evaluate.measure import paired
from tuneproof.stats.bootstrap import Metric, corpus_difference
from tuneproof.stats.paired import Difference
from tuneproof.tasks import metrics


@dataclass(frozen=True, slots=True)
class Item:
    """One row as one system answered it."""

    truth: Any
    value: Any
    scores: Mapping[str, float]

    @property
    def units(self) -> int:
        return int(self.scores.get("tokens", 1))


@dataclass(frozen=True, slots=True)
class Pairs:
    """The same rows, in the same order, by two systems."""

    a: Sequence[Item]
    b: Sequence[Item]
    group: Sequence[Any] | None  # cluster of each row, None where every row stands for itself
    labels: tuple[str, ...]

    def take(self, indices: Sequence[int]) -> Pairs:
        group = None if self.group is None else [self.group[i] for i in indices]
        return Pairs([self.a[i] for i in indices], [self.b[i] for i in indices], group, self.labels)


@dataclass(frozen=True, slots=True)
class Measure:
    """A row of the table."""

    needs: tuple[str, ...]  # scores that every item must have
    higher_is_better: bool
    share: bool  # between 0 and 1, told in percent; otherwise in ``unit``
    unit: str
    value: Callable[[Sequence[Item], tuple[str, ...]], float | None]
    difference: Callable[[Pairs], Difference]

    def written(self, value: float) -> str:
        return f"{100 * value:.1f}%" if self.share else f"{value:.4f} {self.unit}".rstrip()

    def gap(self, d: Difference) -> str:
        """``0.7 points (95% interval -0.1 to 1.5, p = 0.08)``."""
        assert d.value is not None
        scale, unit, digits = (100, "points", 1) if self.share else (1, self.unit, 4)
        p = "not given" if d.p is None else f"{d.p:.2g}"
        bounds = (
            "interval not given"
            if d.low is None or d.high is None
            else f"95% interval {scale * d.low:.{digits}f} to {scale * d.high:.{digits}f}"
        )
        return f"{scale * d.value:.{digits}f} {unit} ({bounds}, p = {p})"


def _mean(name: str, needs: tuple[str, ...], *, higher: bool, share: bool, unit: str = "") -> Measure:
    """The mean of a score over units: rows, or answer tokens where the score is a sum over them."""

    def per_unit(items: Sequence[Item]) -> list[float]:
        return [item.scores[name] / item.units for item in items]

    def value(items: Sequence[Item], labels: tuple[str, ...]) -> float | None:
        total = sum(item.units for item in items)
        return sum(item.scores[name] for item in items) / total if total else None

    def gap(pairs: Pairs) -> Difference:
        return paired(per_unit(pairs.a), per_unit(pairs.b), [item.units for item in pairs.a], pairs.group, 0)

    return Measure(needs, higher, share, unit, value, gap)


def _corpus(metric: Metric, whole: Callable[..., float | None], share: bool) -> Measure:
    """A metric of all rows together, from their confusion cells."""

    def value(items: Sequence[Item], labels: tuple[str, ...]) -> float | None:
        return whole([item.truth for item in items], [item.value for item in items], labels)

    def gap(pairs: Pairs) -> Difference:
        counts = [
            metrics.class_counts([item.truth for item in side], [item.value for item in side], pairs.labels)
            for side in (pairs.a, pairs.b)
        ]
        return corpus_difference(counts[0], counts[1], metric, pairs.group)

    return Measure(("correct",), True, share, "", value, gap)


MEASURES: dict[str, Measure] = {
    "accuracy": _mean("correct", ("correct",), higher=True, share=True),
    "macro_f1": _corpus(metrics.macro_f1_of, metrics.macro_f1, True),
    "weighted_f1": _corpus(metrics.weighted_f1_of, metrics.weighted_f1, True),
    "mcc": _corpus(metrics.mcc_of, metrics.mcc, False),
    "nll": _mean("nll", ("nll", "correct"), higher=False, share=False, unit="nats"),
    "brier": _mean("brier", ("brier",), higher=False, share=False),
    "loss_per_token": _mean("nll", ("nll", "tokens"), higher=False, share=False, unit="nats"),
    "next_token_accuracy": _mean("hits", ("hits", "tokens"), higher=True, share=True),
}
