"""Whether the classes can be taught and measured: too few rows, out of balance, hard to tell apart, absent.

    class_health(subject).figures["classes"]["card_arrival"]        # {"train": 121, "validation": 14, "test": 40}

Counted in classes, not in rows. A finding stands at the first train row of its class.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuneproof.prepare.check.guesses import Guesses
from tuneproof.prepare.check.linear import centred, unit
from tuneproof.prepare.check.subject import KEPT, Checked, Subject
from tuneproof.records import Finding
from tuneproof.tasks.columns import normal
from tuneproof.tasks.rows import counted

NAME = "class_health"
FEW = 8  # train rows
IMBALANCE = 20  # rows of the largest class for each of the smallest
NEAREST = 3  # classes whose centres are nearest to a class
CONFUSED = 0.15  # share of a class's rows that the classifier takes for the other, in both directions

Counts = Mapping[str, Mapping[str, int]]  # side -> class -> rows


def class_health(subject: Subject) -> Checked:
    """Findings by class. ``figures["classes"]`` has the rows of each class by side, the largest first."""
    if "label" not in subject.splits.train.columns:
        return Checked(0, 0, note="Rows of this task have no labels.")
    counts: Counts = {name: Counter(table.columns["label"]) for name, table in subject.splits.items()}
    train = counts["train"]
    first: dict[str, int] = {}
    for index, label in enumerate(subject.splits.train.columns["label"]):
        first.setdefault(label, index)
    said = [*_few(train), *_imbalance(train), *_absent(counts), *_spelling(train), *_alike(subject)]
    findings = [_finding(subject, first[label], severity, message) for label, severity, message in said]
    return Checked(
        looked_at=len(train),
        found=len({label for label, _, _ in said}),
        findings=findings[:KEPT],
        figures=_figures(counts),
        note="Counted in classes. "
        + (f"Classes that are hard to tell apart: {subject.no_guesses}" if subject.no_guesses else ""),
    )


Said = Iterator[tuple[str, str, str]]  # class, severity, message


def _few(train: Mapping[str, int]) -> Said:
    for label, rows in sorted(train.items(), key=lambda item: item[1]):
        if rows < FEW:
            yield (
                label,
                "warn",
                f'The class "{label}" has {counted(rows, "train row")}; below {FEW} it is hardly learnt.',
            )


def _imbalance(train: Mapping[str, int]) -> Said:
    most, least = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
    ratio = train[most] / train[least]
    if ratio >= IMBALANCE:
        yield (
            least,
            "info",
            f'"{most}" has {ratio:,.0f} times the train rows of "{least}" ({train[most]:,} and {train[least]:,}): '
            f"accuracy says little about the small one, look at macro-F1.",
        )


def _absent(counts: Counts) -> Said:
    """Classes that are taught and not measured."""
    for label in sorted(counts["train"]):
        sides = [side for side in ("validation", "test") if not counts[side].get(label)]
        if sides:
            yield (
                label,
                "warn" if "test" in sides else "info",
                f'The class "{label}" has no {" and no ".join(sides)} row.',
            )


def _spelling(train: Mapping[str, int]) -> Said:
    spellings: dict[str, list[str]] = {}
    for label in sorted(train):
        spellings.setdefault(normal(label), []).append(label)
    for several in spellings.values():
        if len(several) > 1:
            told = ", ".join(f'"{label}" ({counted(train[label], "row")})' for label in several)
            yield several[0], "warn", f"These labels differ in their spelling only: {told}."


def _alike(subject: Subject) -> Said:
    """Pairs of classes whose centres are near and whose rows are taken for each other's."""
    if subject.no_guesses:
        return
    guesses = subject.guesses
    near, confused = _near(subject, guesses), _confused(guesses)
    pairs = [
        (min(confused[one, other], confused[other, one]), one, other)
        for one in range(len(near))
        for other in range(one + 1, len(near))
        if near[one, other] and near[other, one]
    ]
    for both, one, other in sorted(pairs, reverse=True):
        if both >= CONFUSED:
            a, b = guesses.classes[one], guesses.classes[other]
            yield (
                a,
                "warn",
                f'"{a}" and "{b}" are hard to tell apart: a classifier takes {confused[one, other]:.0%} of the '
                f"first's rows for the second's, {confused[other, one]:.0%} the other way. Are they one class?",
            )


def _near(subject: Subject, guesses: Guesses) -> NDArray[np.bool_]:
    """(classes, classes): whether the second is among the NEAREST classes of the first, by cosine of their centres."""
    vectors = centred(subject.vectors)
    classes = len(guesses.classes)
    sums = np.zeros((classes, vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, guesses.numbers, vectors)
    centres = unit(sums)
    alike = centres @ centres.T
    np.fill_diagonal(alike, -np.inf)
    near = np.zeros((classes, classes), dtype=bool)
    order = np.argsort(-alike, axis=1)[:, : min(NEAREST, classes - 1)]
    near[np.arange(classes)[:, None], order] = True
    return near


def _confused(guesses: Guesses) -> NDArray[np.float64]:
    """(classes, classes): share of the judged rows of the first that are taken for the second."""
    classes = len(guesses.classes)
    found = np.zeros((classes, classes))
    judged = guesses.judged
    np.add.at(found, (guesses.numbers[judged], guesses.said[judged]), 1)
    return np.asarray(found / np.maximum(found.sum(1, keepdims=True), 1))


def _finding(subject: Subject, row: int, severity: str, message: str) -> Finding:
    return subject.finding(NAME, "train", row, severity, message)


def _figures(counts: Counts) -> dict[str, Any]:
    train = counts["train"]
    total = sum(train.values())
    entropy = -sum(rows / total * math.log2(rows / total) for rows in train.values())
    return {
        "largest class": max(train.values()),
        "smallest class": min(train.values()),
        "imbalance": round(max(train.values()) / min(train.values()), 2),
        # 1: all classes alike, as many as there are; 1 effective class: one has all rows.
        "label entropy (bits)": round(entropy, 3),
        "effective classes": round(2**entropy, 1),
        "classes": {
            label: {side: counts[side].get(label, 0) for side in counts}
            for label in sorted(train, key=lambda label: (-train[label], label))
        },
    }
