"""Labels that look wrong: a classifier that has not seen the row is sure of another class.

    label_issues(subject).findings[0].suggest          # the label that fits better

Ranked by the margin between the best other class and the row's own; the cut is confident learning's (cleanlab): a row
is named when another class is likelier for it than for the rows that have that class on average. Nothing changes a
label here. How often it is right, on data with planted errors: docs/label_issues.md.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from tuneproof.prepare.check.guesses import Guesses, trust
from tuneproof.prepare.check.subject import KEPT, Checked, Subject
from tuneproof.records import Finding
from tuneproof.tasks.rows import counted

NAME = "label_issues"
DOUBTED = 1 / 3  # share of the labels from which doubting them says more about the classifier than about them

Flags = NDArray[np.bool_]


def label_issues(subject: Subject) -> Checked:
    """Train rows that confident learning flags, the least trustworthy label first; score 0 is the worst, 1 the best."""
    if subject.no_guesses:
        return Checked(0, 0, note=subject.no_guesses)
    guesses = subject.guesses
    judged = np.flatnonzero(guesses.judged)
    if len(set(guesses.numbers[judged].tolist())) < 2:
        return Checked(0, 0, note="Not enough rows: labels are judged where a class has five rows or more.")
    scores = trust(guesses.probabilities, guesses.numbers)
    flags = flagged(guesses)
    if flags.sum() > DOUBTED * len(judged):
        return _unable(subject, guesses, int(flags.sum()))
    worst = sorted(np.flatnonzero(flags).tolist(), key=lambda at: (scores[at], at))
    rows = subject.sample["train"]
    asked = subject.options.drop_label_issues
    return Checked(
        looked_at=len(judged),
        found=len(worst),
        findings=[_finding(subject, guesses, at, scores[at]) for at in worst[:KEPT]],
        leave={"train": [rows[at] for at in worst[:asked]]},
        figures={
            "flagged share": round(len(worst) / len(judged), 4),
            "histogram": _histogram(scores[judged]),
            "shares": _pairs(guesses, worst),
        },
        note=_note(subject, guesses, len(worst)),
    )


def _unable(subject: Subject, guesses: Guesses, doubted: int) -> Checked:
    """No findings: from these vectors the classes cannot be told apart, and a list of most rows helps nobody."""
    judged = guesses.judged
    right = float((guesses.said == guesses.numbers)[judged].mean())
    top = Counter(guesses.numbers[judged].tolist()).most_common(1)[0][1] / int(judged.sum())
    note = (
        f"Not judged: a classifier that has not seen the row says its label in {right:.0%} of the rows, always saying "
        f"the most frequent one is right in {top:.0%}. It doubts {doubted:,} labels, which says nothing about them."
    )
    told = f"{note} check.drop_label_issues takes no row." if subject.options.drop_label_issues else note
    return Checked(0, 0, figures={"flagged share": round(doubted / int(judged.sum()), 4)}, note=told)


def flagged(guesses: Guesses) -> Flags:
    """(n,) the judged rows whose label confident learning (cleanlab) calls wrong."""
    from cleanlab.filter import find_label_issues

    found = np.zeros(len(guesses.numbers), dtype=bool)
    judged = np.flatnonzero(guesses.judged)
    kept, numbers = np.unique(guesses.numbers[judged], return_inverse=True)
    probabilities = guesses.probabilities[np.ix_(judged, kept)].astype(np.float64)
    probabilities /= np.maximum(probabilities.sum(1, keepdims=True), 1e-12)
    found[judged] = find_label_issues(numbers, probabilities, filter_by="confident_learning", n_jobs=1)
    return found


def _finding(subject: Subject, guesses: Guesses, at: int, score: float) -> Finding:
    row = subject.sample["train"][at]
    own = guesses.numbers[at]
    others = guesses.probabilities[at].copy()
    others[own] = -1
    best = int(others.argmax())
    message = (
        f'Labelled "{guesses.classes[own]}"; a classifier that has not seen this row says '
        f'"{guesses.classes[best]}" ({others[best]:.0%} against {guesses.probabilities[at, own]:.0%}).'
    )
    text = subject.asked["train"][row]
    return subject.finding(
        NAME,
        "train",
        row,
        "warn",
        message,
        evidence=text,
        score=round(float(score), 4),
        suggest=guesses.classes[best],
    )


def _histogram(scores: NDArray[np.float64]) -> list[list[float]]:
    """[from, to, rows] of the scores, worst first."""
    counts, edges = np.histogram(scores, bins=20, range=(0, 1))
    return [
        [round(float(low), 2), round(float(high), 2), int(count)]
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def _pairs(guesses: Guesses, worst: list[int], most: int = 12) -> dict[str, int]:
    """The label that stands and the one that fits better, most frequent first."""
    said = guesses.said
    pairs = Counter(f"{guesses.classes[guesses.numbers[at]]} → {guesses.classes[said[at]]}" for at in worst)
    return dict(pairs.most_common(most))


def _note(subject: Subject, guesses: Guesses, found: int) -> str:
    told = [subject.sampled("train")]
    alone = int((~guesses.judged).sum())
    if alone:
        few = sorted({guesses.classes[number] for number in guesses.numbers[~guesses.judged]})
        rows, classes = counted(alone, "row"), counted(len(few), "class", "classes")
        told.append(f"Not judged: {rows} of {classes} with too few rows.")
    asked = subject.options.drop_label_issues
    if asked > found:
        told.append(f"check.drop_label_issues is {asked:,}, and {found:,} rows look wrong: no others leave.")
    return " ".join(one for one in told if one)
