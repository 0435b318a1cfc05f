"""Metrics by which two systems can be compared row by row. MEASURES is the table.

    d = MEASURES["macro_f1"].difference(pairs)       # B - A with interval and p
    MEASURES["macro_f1"].value(pairs.a, labels)      # 0.871, or None where it is undefined
    MEASURES[answer.primary].interval(items(predictions), labels, None)

A mean of items is compared by a paired test; a metric of the whole corpus by a paired bootstrap. Adding one is a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuneproof.evaluate import measure
from tuneproof.records import Prediction
from tuneproof.stats.bootstrap import Metric, corpus_difference, corpus_difference_unpaired, corpus_interval
from tuneproof.stats.interval import Interval
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


def items(predictions: Sequence[Prediction]) -> list[Item]:
    """Predictions as rows of a measure."""
    return [Item(p.truth, p.value, p.scores) for p in predictions]


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
    difference: Callable[..., Difference]  # of Pairs, and a seed
    interval: Callable[[Sequence[Item], tuple[str, ...], Sequence[Any] | None], Interval]  # items, labels, groups
    apart: Callable[..., Difference]  # of two sides about different rows: items, groups, items, groups, labels
    rows: Callable[[Sequence[Item]], list[float]] | None = None  # what each row adds, where the value is their mean
    called: str = ""  # "an entity F1": how a sentence names it; "" where it has a sentence of its own

    def units(self, items: Sequence[Item]) -> list[int]:
        """How much each row weighs: its answer tokens, where the metric is about tokens."""
        return [item.units if "tokens" in self.needs else 1 for item in items]

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
            else f"95% interval {scale * d.low:z.{digits}f} to {scale * d.high:z.{digits}f}"
        )
        return f"{scale * d.value:z.{digits}f} {unit} ({bounds}, p = {p})"


def _mean(name: str, needs: tuple[str, ...], *, higher: bool, share: bool, unit: str = "", called: str = "") -> Measure:
    """The mean of a score over units: rows, or answer tokens where the score is a sum over them."""

    def per_unit(items: Sequence[Item]) -> list[float]:
        return [item.scores[name] / max(n, 1) for item, n in zip(items, units(items), strict=True)]  # 0 units weigh 0

    def units(items: Sequence[Item]) -> list[int]:
        return [item.units if "tokens" in needs else 1 for item in items]

    def value(items: Sequence[Item], labels: tuple[str, ...]) -> float | None:
        total = sum(units(items))
        return sum(item.scores[name] for item in items) / total if total else None

    def gap(pairs: Pairs, seed: int = 0) -> Difference:
        return measure.paired(per_unit(pairs.a), per_unit(pairs.b), units(pairs.a), pairs.group, seed)

    def interval(items: Sequence[Item], labels: tuple[str, ...], group: Sequence[Any] | None) -> Interval:
        return measure.interval(per_unit(items), units(items), group)

    def apart(a: Sequence[Item], of_a: Any, b: Sequence[Item], of_b: Any, labels: tuple[str, ...]) -> Difference:
        sides = ((per_unit(side), units(side), group) for side, group in ((a, of_a), (b, of_b)))
        return measure.apart(*sides)

    return Measure(needs, higher, share, unit, value, gap, interval, apart, per_unit, called)


def _corpus(metric: Metric, whole: Callable[..., float | None], share: bool) -> Measure:
    """A metric of all rows together, from their confusion cells."""

    def value(items: Sequence[Item], labels: tuple[str, ...]) -> float | None:
        return whole([item.truth for item in items], [item.value for item in items], labels)

    def counts(items: Sequence[Item], labels: tuple[str, ...]) -> Any:
        return metrics.class_counts([item.truth for item in items], [item.value for item in items], labels)

    def gap(pairs: Pairs, seed: int = 0) -> Difference:
        first, second = (counts(side, pairs.labels) for side in (pairs.a, pairs.b))
        return corpus_difference(first, second, metric, pairs.group, seed=seed)

    def interval(items: Sequence[Item], labels: tuple[str, ...], group: Sequence[Any] | None) -> Interval:
        return corpus_interval(counts(items, labels), metric, group)

    def apart(a: Sequence[Item], of_a: Any, b: Sequence[Item], of_b: Any, labels: tuple[str, ...]) -> Difference:
        return corpus_difference_unpaired(counts(a, labels), counts(b, labels), metric, of_a, of_b)

    return Measure(("correct",), True, share, "", value, gap, interval, apart)


def _texts(metric: Metric, count: Callable[..., Any], unit: str) -> Measure:
    """BLEU or chrF of all written texts together, from the n-grams of each."""

    def counts(items: Sequence[Item]) -> Any:
        return count([item.value for item in items], [item.truth for item in items])

    def value(items: Sequence[Item], labels: tuple[str, ...]) -> float | None:
        found = float(metric(counts(items).sum(axis=0))) if items else float("nan")
        return None if np.isnan(found) else found

    def gap(pairs: Pairs, seed: int = 0) -> Difference:
        return corpus_difference(counts(pairs.a), counts(pairs.b), metric, pairs.group, seed=seed)

    def interval(items: Sequence[Item], labels: tuple[str, ...], group: Sequence[Any] | None) -> Interval:
        return corpus_interval(counts(items), metric, group)

    def apart(a: Sequence[Item], of_a: Any, b: Sequence[Item], of_b: Any, labels: tuple[str, ...]) -> Difference:
        return corpus_difference_unpaired(counts(a), counts(b), metric, of_a, of_b)

    return Measure(("rougeL",), True, False, unit, value, gap, interval, apart)


def _pooled(which: int, names: tuple[str, str, str], called: str) -> Measure:
    """Precision (0), recall (1) or F1 (2) over all rows together, from what each row has right, found and true."""

    def counts(items: Sequence[Item]) -> Any:
        return np.array([[item.scores[name] for name in names] for item in items], dtype=np.float64)

    def metric(sums: Any) -> Any:
        return metrics.precision_recall_f1_of(sums)[which][..., 0]

    def value(items: Sequence[Item], labels: tuple[str, ...]) -> float | None:
        found = float(metric(counts(items).sum(axis=0))) if items else float("nan")
        return None if np.isnan(found) else found

    def gap(pairs: Pairs, seed: int = 0) -> Difference:
        return corpus_difference(counts(pairs.a), counts(pairs.b), metric, pairs.group, seed=seed)

    def interval(items: Sequence[Item], labels: tuple[str, ...], group: Sequence[Any] | None) -> Interval:
        return corpus_interval(counts(items), metric, group)

    def apart(a: Sequence[Item], of_a: Any, b: Sequence[Item], of_b: Any, labels: tuple[str, ...]) -> Difference:
        return corpus_difference_unpaired(counts(a), counts(b), metric, of_a, of_b)

    return Measure(names, True, True, "", value, gap, interval, apart, called=called)


RARE = ("rare_right", "rare_found", "rare_true")
LABELS = ("labels_right", "labels_found", "labels_true")
ENTITIES = ("entities_right", "entities_found", "entities_true")  # scores of a row


MEASURES: dict[str, Measure] = {
    "accuracy": _mean("correct", ("correct",), higher=True, share=True),
    "macro_f1": _corpus(metrics.macro_f1_of, metrics.macro_f1, True),
    "weighted_f1": _corpus(metrics.weighted_f1_of, metrics.weighted_f1, True),
    "mcc": _corpus(metrics.mcc_of, metrics.mcc, False),
    "nll": _mean("nll", ("nll", "correct"), higher=False, share=False, unit="nats"),
    "brier": _mean("brier", ("brier",), higher=False, share=False),
    "loss_per_token": _mean("nll", ("nll", "tokens"), higher=False, share=False, unit="nats"),
    "next_token_accuracy": _mean("hits", ("hits", "tokens"), higher=True, share=True),
    "rare_f1": _pooled(2, RARE, "an F1 of the rare label"),
    "rare_precision": _pooled(0, RARE, "a precision of the rare label"),
    "rare_recall": _pooled(1, RARE, "a recall of the rare label"),
    "micro_f1": _pooled(2, LABELS, "a micro-F1"),
    "subset_accuracy": _mean("correct", ("correct",), higher=True, share=True, called="all labels right in"),
    "rougeL": _mean("rougeL", ("rougeL",), higher=True, share=True, called="a ROUGE-L"),
    "rouge1": _mean("rouge1", ("rouge1",), higher=True, share=True, called="a ROUGE-1"),
    "rouge2": _mean("rouge2", ("rouge2",), higher=True, share=True, called="a ROUGE-2"),
    "recall_at_1": _mean("recall_at_1", ("recall_at_1",), higher=True, share=True, called="a recall@1"),
    "recall_at_5": _mean("recall_at_5", ("recall_at_5",), higher=True, share=True, called="a recall@5"),
    "ndcg_at_10": _mean("ndcg_at_10", ("ndcg_at_10",), higher=True, share=True, called="an nDCG@10"),
    "bleu": _texts(metrics.bleu_of, metrics.bleu_counts, "BLEU"),
    "chrf": _texts(metrics.chrf_of, metrics.chrf_counts, "chrF"),
    "entity_f1": _pooled(2, ENTITIES, "an entity F1"),
    "entity_precision": _pooled(0, ENTITIES, "an entity precision"),
    "entity_recall": _pooled(1, ENTITIES, "an entity recall"),
    "token_f1": _mean("token_f1", ("token_f1",), higher=True, share=True, called="a token F1"),
    "mae": _mean("absolute_error", ("absolute_error",), higher=False, share=False, called="a mean error"),
    "exact_match": _mean("exact_match", ("exact_match",), higher=True, share=True, called="an exact match"),
}
