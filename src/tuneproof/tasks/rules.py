"""How labels are decided from probabilities where the likeliest one is not what is wanted. Rules are plain JSON.

    rule = rare_rule(shares, truth, "1")       # {"kind": "rare", "label": "1", "threshold": 0.34, ...}
    decided(rule, shares, names)               # number of the label

A rule is fitted on validation rows that training has not looked at, after the temperature, and lies beside it in
``model/calibration.json``. Which label is rare, or stands for "none of these", is said by the schema. A task whose
answers are always the likeliest ones inherits ``Likeliest``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from tuneproof.modalities import Example
from tuneproof.records import Prediction, Row, Schema
from tuneproof.tasks import columns

Floats = NDArray[np.float64]
Rule = Mapping[str, Any]
NO_ANSWER = "no answer"  # kind of the rule by which a question is given none
RARE = 0.2  # share of the training rows up to which the smaller of two labels is rare
FEWEST = 10  # rows of the rare label, or of those outside, without which nothing can be fitted
INSIDE = 200  # rows within the scope on which a threshold can be fitted where there are hardly any outside
GIVEN = 0.015  # of the accuracy within the scope that may be given for what is rejected
OUTSIDE = frozenset(
    ("oos", "ood", "out_of_scope", "outofscope", "out_of_domain", "outofdomain", "none_of_these", "none_of_the_above")
)
ORDERED = frozenset(("rating", "stars", "score", "grade", "level", "severity", "priority", "difficulty"))
SCALES = (
    ("very negative", "negative", "neutral", "positive", "very positive"),
    ("very low", "low", "medium", "moderate", "high", "very high"),
    ("never", "rarely", "sometimes", "often", "always"),
    ("elementary", "beginner", "intermediate", "advanced", "expert"),
    ("strongly disagree", "disagree", "neutral", "agree", "strongly agree"),
    ("very poor", "poor", "fair", "good", "very good", "excellent"),
    ("very easy", "easy", "medium", "hard", "very hard"),
    ("small", "medium", "large"),
)  # words for steps, in their order


class Asks(Protocol):
    def without_truth(self, row: Row) -> dict[str, Any]: ...


class Likeliest:
    """What a task says that decides by no rule."""

    reads_batches: ClassVar[bool] = True

    def fitted(self, schema: Schema) -> Self:
        return self

    def rule(self, logits: Floats, examples: Sequence[Example], schema: Schema) -> Rule:
        return {}

    def settled(self, predictions: Sequence[Prediction]) -> Rule:
        return {}

    def ruled(self, rule: Rule) -> Self:
        return self

    def marked(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        return list(predictions)

    def weighing(self, how: str | None, train: Sequence[Example]) -> Self:
        return self

    def outside(self: Asks, row: Row) -> dict[str, Any]:
        return self.without_truth(row)


def rare_label(labels: Sequence[str]) -> str | None:
    """Of the labels of the training rows the rare one: the smaller of two, with a fifth of the rows at most."""
    counts = columns.counted(labels)
    if len(counts) != 2:
        return None
    label = min(counts, key=lambda name: (counts[name], name))
    return label if FEWEST <= counts[label] <= RARE * len(labels) else None


def outside_label(labels: Sequence[str]) -> str | None:
    """The label that stands for none of the others, by its name; None where there are fewer than two others."""
    found = [label for label in labels if label.lower().replace(" ", "_").replace("-", "_") in OUTSIDE]
    return found[0] if len(found) == 1 and len(labels) > 2 else None


def in_order(labels: Sequence[str], column: str) -> tuple[str, ...]:
    """The labels in the order that they have by their meaning; () where they have none.

    Whole numbers have one in a column that is called like a scale (numbers of classes have none); words of SCALES do.
    """
    name = column.lower().replace(" ", "_").rsplit("_", 1)[-1]
    if 3 <= len(labels) <= 11 and name in ORDERED and all(label.lstrip("+-").isdigit() for label in labels):
        return tuple(sorted(labels, key=int))
    said = {label.lower().replace("_", " ").replace("-", " "): label for label in labels}
    for scale in SCALES:
        if len(said) == len(labels) >= 3 and said.keys() <= set(scale):
            return tuple(said[word] for word in scale if word in said)
    return ()


def decided(rule: Rule, shares: Floats, names: Mapping[int, str]) -> int:
    """The number of the label that a row gets; ``shares`` (classes,)."""
    likeliest = int(shares.argmax())
    if not rule:
        return likeliest
    at = next((number for number, name in names.items() if name == rule["label"]), None)
    if at is None:
        return likeliest
    others = shares.copy()
    others[at] = -1.0
    other = int(others.argmax())
    if rule["kind"] == "rare":
        return at if shares[at] >= rule["threshold"] else other
    return at if likeliest == at or shares[other] < rule["threshold"] else likeliest


def sure(rule: Rule, shares: Floats, at: int) -> float:
    """How probable it is that label ``at``, which was decided, is right; ``shares`` (classes,).

    Of a row that is out of scope because no label within was likely enough: that the likeliest of these is wrong. Its
    own probability for such rows says little, as hardly any was in the training rows.
    """
    rejected = rule.get("kind") == "outside" and int(shares.argmax()) != at
    return 1.0 - float(shares.max()) if rejected else float(shares[at])


def rare_rule(shares: Floats, rare: NDArray[np.bool_], label: str) -> dict[str, Any]:
    """From which probability on a row gets the rare label: half of the best F1 there is.

    That is the threshold of the best F1 where probabilities are true (Lipton and others 2014, arXiv 1402.1892), and
    unlike the best of all thresholds it hardly depends on single rows. ``shares`` are those of the rare label.
    """
    plain = f1(shares >= 0.5, rare)
    found = {"kind": "rare", "label": label, "threshold": 0.5, "n": len(shares), "f1_before": plain, "f1_after": plain}
    if rare.sum() < FEWEST:
        return {**found, "reason": f"only {rare.sum()} rows with it to fit a threshold on; one of .5 is kept"}
    best = _best(shares, rare)
    threshold = round(best / 2, 4)
    after = f1(shares >= threshold, rare)
    if after < plain:
        return {**found, "reason": f"a threshold of {threshold:.2f} was worse on {len(shares):,} rows; .5 is kept"}
    reason = f"half of the best F1 on {len(shares):,} validation rows of its own, {best:.2f}"
    return {**found, "threshold": threshold, "f1_after": after, "reason": reason}


def outside_rule(shares: Floats, truth: NDArray[np.int64], at: int, label: str) -> dict[str, Any]:
    """Below which probability of the likeliest label a row is out of scope.

    The threshold with the best sum of accuracy within the scope and recall outside, among those that cost the first
    at most 1.5 points; the highest of these where too few rows are outside to tell the second. ``shares`` (n, classes),
    ``truth`` (n,), ``at`` the number of the label outside.
    """
    inside = truth != at
    others = shares.copy()
    others[:, at] = -1.0
    top, best = others.max(1), others.argmax(1)
    likeliest = np.where(shares[:, at] >= top, at, best)

    def scores(threshold: float) -> tuple[float, float]:
        right = np.where(top < threshold, at, likeliest) == truth
        return float(right[inside].mean()), float(right[~inside].mean()) if not inside.all() else 0.0

    few = int((~inside).sum()) < FEWEST // 2
    if not inside.any() or (few and inside.sum() < INSIDE):
        reason = f"only {int((~inside).sum())} rows out of scope to fit a threshold on; none is used"
        return {"kind": "outside", "label": label, "threshold": 0.0, "n": len(truth), "reason": reason}
    before = scores(0.0)
    tried = [0.0, *np.unique(np.round(top, 3)).tolist()]
    allowed = [t for t in tried if scores(t)[0] >= before[0] - GIVEN]
    if few:
        return _by_those_inside(label, max(allowed), before[0], scores(max(allowed))[0], inside)
    threshold = -max((sum(scores(t)), -t) for t in allowed)[1]
    after = scores(threshold)
    return {
        "kind": "outside",
        "label": label,
        "threshold": threshold,
        "n": len(truth),
        "in_scope_accuracy": [before[0], after[0]],
        "out_of_scope_recall": [before[1], after[1]],
        "reason": f"on {len(truth):,} validation rows of its own the best sum of accuracy within the scope and recall "
        f"outside, {100 * GIVEN:g} points of the first at most given for it",
    }


def _by_those_inside(
    label: str, threshold: float, before: float, after: float, inside: NDArray[np.bool_]
) -> dict[str, Any]:
    return {
        "kind": "outside",
        "label": label,
        "threshold": threshold,
        "n": len(inside),
        "in_scope_accuracy": [before, after],
        "reason": f"only {int((~inside).sum())} of {len(inside):,} validation rows are out of scope: the highest that "
        f"costs at most {100 * GIVEN:g} points of the accuracy within it",
    }


def each_rule(shares: Floats, truth: NDArray[np.bool_], labels: Sequence[str]) -> dict[str, Any]:
    """For each of several labels the probability from which on it is given: half of its best F1, as for a rare one.

    A label with fewer than ten rows has the threshold of all labels taken together. ``shares`` and ``truth`` are
    (n, labels).
    """
    before = f1(shares >= 0.5, truth)
    pooled = round(_best(shares.ravel(), truth.ravel()) / 2, 4)
    found = {
        label: round(_best(shares[:, at], truth[:, at]) / 2, 4) if truth[:, at].sum() >= FEWEST else pooled
        for at, label in enumerate(labels)
    }
    after = f1(shares >= np.array(list(found.values())), truth)
    told = f"on {len(shares):,} validation rows of its own"
    if after < before:
        found = dict.fromkeys(labels, 0.5)
        reason, after = f"thresholds by label were worse {told}; .5 is kept", before
    else:
        reason = f"half of each label's best F1 {told}"
    return {
        "kind": "each",
        "thresholds": found,
        "n": len(shares),
        "micro_f1_before": before,
        "micro_f1_after": after,
        "reason": reason,
    }


def threshold(rule: Rule, label: str) -> float:
    """From which probability on one of several labels is given."""
    return float(rule.get("thresholds", {}).get(label, 0.5))


def _best(shares: Floats, true: NDArray[np.bool_]) -> float:
    """The best F1 that a threshold reaches."""
    order = np.argsort(-shares, kind="stable")
    right = np.cumsum(true[order])
    scores = 2 * right / (np.arange(1, len(order) + 1) + max(1, int(true.sum())))
    last = np.append(np.diff(shares[order]) != 0, True)  # equal probabilities are given the label together
    return float(scores[last].max())


def f1(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Of one label; 0 where nothing was found."""
    right = int((said & true).sum())
    return 2 * right / max(1, int(said.sum() + true.sum()))


def told(rule: Rule) -> str:
    """One sentence of what the rule does; "" without one."""
    if not rule:
        return ""
    if rule["kind"] == "each":
        several = sorted(rule["thresholds"].values())
        return f"each label from a probability of its own on, {several[0]:g} to {several[-1]:g} (calibration.json)"
    if rule["kind"] == NO_ANSWER:
        times = f"{math.exp(min(700.0, rule['threshold'])):.3g}"
        return f"no answer where the best stretch is less than {times} times as likely as none"
    if rule["threshold"] in (0.0, 0.5):
        return ""
    if rule["kind"] == "rare":
        return f'the label "{rule["label"]}" from a probability of {rule["threshold"]:g} on'
    return f'the label "{rule["label"]}" where no other has a probability of {rule["threshold"]:g}'
