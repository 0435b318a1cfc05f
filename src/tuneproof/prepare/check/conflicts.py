"""The check "conflicts": one text with two labels, which cannot both be right.

    checked = conflicts(subject)
    checked.findings[0].message        # 'The same text is labelled "spam" here and "ham" in mail.csv, line 9.'

An error where the texts are the same (compatibility forms, case and white space aside), on whichever side they stand; a
warning where two train texts have a Jaccard index of .9 or more. Only train rows of the first kind leave when the
policy is drop, all of them, for nobody knows which label is right. Written answers are not looked at: a question may
have several good ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from tuneproof.prepare.check.compared import MISSES, Best, codes, histogram
from tuneproof.prepare.check.shingles import Whole
from tuneproof.prepare.check.subject import KEPT, Checked, Subject
from tuneproof.records import Finding
from tuneproof.tasks import columns

LEAST = 0.9  # Jaccard index of texts that are nearly the same
SIDES = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Conflict:
    """A row, and the row of the same side that has its text and another label."""

    side: str
    row: int
    partner: int
    score: float
    same: bool  # the very text, and not only a score of 1


def conflicts(subject: Subject) -> Checked:
    """Rows of one text with different labels, and train rows of nearly one text with different labels."""
    rows = sum(len(table) for _, table in subject.splits.items())
    if not subject.schema.labels:
        return Checked(0, 0, note="Looked for among labels only: a question may have several good answers.")
    texts = {side: codes(columns.folded(pl.Series(subject.asked[side], dtype=pl.String))) for side in SIDES}
    same = [one for side in SIDES for one in _same(subject, side, texts[side])]
    known = {one.row for one in same if one.side == "train"}
    near = [one for one in _near(subject, texts["train"]) if one.row not in known]
    figures = {
        f"{side} rows of one text with different labels": sum(one.side == side for one in same) for side in SIDES
    }
    figures["train rows of nearly one text with different labels"] = len(near)
    scores = np.array([one.score for one in near])
    return Checked(
        looked_at=rows,
        found=len(same) + len(near),
        findings=[_finding(subject, one) for one in [*same, *near][:KEPT]],
        leave={"train": sorted(known)} if known else {},
        figures={**figures, "near rows by Jaccard index": histogram(scores, LEAST)} if near else figures,
        note=f"Of large files {MISSES}." if "train" in subject.compared.inexact else "",
    )


def _same(subject: Subject, side: str, texts: Whole) -> list[Conflict]:
    labels = subject.table(side).columns["label"]
    groups: dict[int, list[int]] = {}
    for row, text in enumerate(texts.tolist()):
        groups.setdefault(text, []).append(row)
    found = []
    for rows in groups.values():
        for row in rows if len(rows) > 1 else ():
            other = next((one for one in rows if labels[one] != labels[row]), None)
            if other is not None:
                found.append(Conflict(side, row, other, 1.0, True))
    return found


def _near(subject: Subject, texts: Whole) -> list[Conflict]:
    best = Best.none(len(texts))
    for pairs in subject.compared.pairs("train", "train", LEAST, differ=codes(subject.splits.train.columns["label"])):
        other = texts[pairs.left] != texts[pairs.right]
        left, right, score = pairs.left[other], pairs.right[other], pairs.score[other]
        best.add(left, right, score)
        best.add(right, left, score)
    return [Conflict("train", row, int(best.partner[row]), float(best.score[row]), False) for row in best.rows.tolist()]


def _finding(subject: Subject, one: Conflict) -> Finding:
    labels = subject.table(one.side).columns["label"]
    where = subject.where(one.side, one.partner)
    what = "The same text" if one.same else f"Nearly the same text (Jaccard {one.score:.2f})"
    message = f'{what} is labelled "{labels[one.row]}" here and "{labels[one.partner]}" in {where}.'
    severity = "error" if one.same else "warn"
    evidence = subject.asked[one.side][one.row]
    more = {"evidence": evidence, "score": round(one.score, 4), "partner": where}
    return subject.finding("conflicts", one.side, one.row, severity, message, **more)
