"""The check "leakage": rows that stand, nearly, on a side that measures what they teach.

    checked = leakage(subject)
    checked.leave                      # {"train": [...], "validation": [...]}

A train row leaves when it is nearly a row of test or validation; a validation row when it is nearly a test row, as the
epoch is chosen by it. A test row never leaves. Every row is judged against the rows as they are, so a train row also
leaves for a validation row that leaves itself. Exact copies, and groups that stand on two sides, left in ``split``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuneproof.prepare.check.compared import MISSES, Best, histogram
from tuneproof.prepare.check.shingles import Reals
from tuneproof.prepare.check.subject import KEPT, Checked, Subject
from tuneproof.records import Finding

LEAST = 0.8  # Jaccard index
PAIRS = (("train", "test"), ("train", "validation"), ("validation", "test"))


@dataclass(frozen=True, slots=True)
class Leak:
    """What of ``side`` nearly stands on ``other``."""

    side: str
    other: str
    best: Best
    touched: int  # rows of ``other``


def leakage(subject: Subject) -> Checked:
    """Rows of train and validation whose question nearly stands on a side that they must not know."""
    leaks = [_leak(subject, side, other) for side, other in PAIRS]
    of_row: dict[tuple[str, int], Leak] = {}
    for leak in leaks:  # a row that leaks into two sides is told of once, with the test first
        for row in leak.best.rows.tolist():
            of_row.setdefault((leak.side, row), leak)
    worst = sorted(of_row, key=lambda key: (-of_row[key].best.score[key[1]], key[0] != "train", key[1]))
    scores: Reals = np.array([leak.best.score[row] for (_, row), leak in of_row.items()], np.float64)
    leave = {side: sorted(row for at, row in of_row if at == side) for side in ("train", "validation")}
    return Checked(
        looked_at=len(subject.splits.train) + len(subject.splits.validation),
        found=len(of_row),
        findings=[_finding(subject, of_row[key], key[1]) for key in worst[:KEPT]],
        leave={side: rows for side, rows in leave.items() if rows},
        figures=_figures(leaks, scores),
        note=f"Of large files {MISSES}." if subject.compared.inexact & {"train", "validation"} else "",
    )


def _leak(subject: Subject, side: str, other: str) -> Leak:
    best = Best.none(subject.compared.counts[side])
    touched = np.zeros(subject.compared.counts[other], np.bool_)
    for pairs in subject.compared.pairs(side, other, LEAST):
        best.add(pairs.left, pairs.right, pairs.score)
        touched[pairs.right] = True
    return Leak(side, other, best, int(touched.sum()))


def _figures(leaks: list[Leak], scores: Reals) -> dict[str, object]:
    figures: dict[str, object] = {}
    for leak in leaks:
        figures[f"{leak.side} rows near a {leak.other} row"] = len(leak.best.rows)
        figures[f"{leak.other} rows near a {leak.side} row"] = leak.touched
    if len(scores):
        figures["rows by Jaccard index"] = histogram(scores, LEAST)
    return figures


def _finding(subject: Subject, leak: Leak, row: int) -> Finding:
    partner = int(leak.best.partner[row])
    score = float(leak.best.score[row])
    where = subject.where(leak.other, partner)
    message = f"Nearly the same as {where}, a {leak.other} row (Jaccard {score:.2f})"
    if subject.schema.labels:
        labels = [subject.table(at).columns["label"][i] for at, i in ((leak.side, row), (leak.other, partner))]
        message += f', where the label is "{labels[1]}", not "{labels[0]}"' if labels[0] != labels[1] else ""
    evidence = subject.asked[leak.side][row]
    return subject.finding(
        "leakage", leak.side, row, "error", f"{message}.", evidence=evidence, score=round(score, 4), partner=where
    )
