"""The check "near_duplicates": train rows that nearly repeat another train row.

    checked = near_duplicates(subject)
    checked.leave                      # {"train": [...]}: all but the first row of each cluster

Rows whose questions are alike, directly or through others, are one cluster. It is taken for one row said several times
only when all of it has the same truth: one label, or answers that are alike themselves. Otherwise nothing of it
leaves, for it may be a contradiction ("conflicts") or a question with several good answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tuneproof.prepare.check.compared import MISSES, Best, codes, histogram, measured
from tuneproof.prepare.check.shingles import Reals, Whole
from tuneproof.prepare.check.subject import KEPT, Checked, Subject, shown
from tuneproof.records import Finding
from tuneproof.tasks import columns

LEAST = 0.8  # Jaccard index
EXAMPLES = 10  # of the largest clusters

Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which train rows are alike, and whether they say the same."""

    first: Whole  # of each row, the first row of its cluster; itself where it is alone
    size: Whole  # of each row, rows in its cluster
    one_truth: Flags  # of each row, whether its whole cluster has one
    partner: Whole  # of each row that repeats another, that one
    score: Reals  # and the Jaccard index of the two

    @property
    def repeats(self) -> Whole:
        """Rows other than the first of their cluster, the most alike first."""
        later = np.flatnonzero(self.first != np.arange(len(self.first)))
        return later[np.argsort(-self.score[later], kind="stable")]


def near_duplicates(subject: Subject) -> Checked:
    """Train rows that nearly repeat another one, in clusters."""
    clusters = _clusters(subject)
    repeats = clusters.repeats
    leave = np.sort(repeats[clusters.one_truth[repeats]]).tolist()
    return Checked(
        looked_at=len(subject.splits.train),
        found=len(repeats),
        findings=[_finding(subject, clusters, row) for row in repeats[:KEPT].tolist()],
        leave={"train": leave} if leave else {},
        figures=_figures(subject, clusters),
        note=f"Of large files {MISSES}." if "train" in subject.compared.inexact else "",
    )


def _clusters(subject: Subject) -> Clusters:
    rows = len(subject.splits.train)
    earlier, later = Best.none(rows), Best.none(rows)
    of: Whole = np.arange(rows)
    for pairs in subject.compared.pairs("train", "train", LEAST):
        earlier.add(pairs.right, pairs.left, pairs.score)
        later.add(pairs.left, pairs.right, pairs.score)
        edges = (np.ones(len(pairs.left), np.bool_), (of[pairs.left], of[pairs.right]))
        _, joined = connected_components(coo_array(edges, shape=(rows, rows)), directed=False)
        of = joined[of].astype(np.int64)
    _, of, size = np.unique(of, return_inverse=True, return_counts=True)
    first = np.full(len(size), rows)
    np.minimum.at(first, of, np.arange(rows))
    alone = earlier.partner < 0  # joined by a later row only
    partner = np.where(alone, later.partner, earlier.partner)
    score = np.where(alone, later.score, earlier.score)
    mixed = np.zeros(len(size), np.bool_)
    mixed[of[_different(subject, first[of])]] = True
    return Clusters(first[of], size[of], ~mixed[of], partner, score)


def _different(subject: Subject, first: Whole) -> Flags:
    """Of each row, whether its truth is another than that of the first row of its cluster."""
    truths = columns.folded(pl.Series([subject.texts(row)[1] for row in subject.splits.train.rows()])).to_list()
    numbers = codes(truths)
    other: Flags = numbers != numbers[first]
    if not subject.schema.labels:
        rows = np.flatnonzero(other)
        other[rows] = measured(truths, rows, first[rows]) < LEAST
    return other


def _figures(subject: Subject, clusters: Clusters) -> dict[str, Any]:
    repeats = clusters.repeats
    if not len(repeats):
        return {}
    firsts, size = np.unique(clusters.first[repeats], return_counts=True)
    largest = firsts[np.argsort(-size, kind="stable")][:EXAMPLES].tolist()
    return {
        "clusters": len(firsts),
        "rows that repeat another": len(repeats),
        "of these, in clusters whose answers differ": int((~clusters.one_truth[repeats]).sum()),
        "rows by Jaccard index": histogram(clusters.score[repeats], LEAST),
        "largest clusters": [
            {
                "rows": int(clusters.size[row]),
                "first": subject.where("train", row),
                "example": shown(subject.asked["train"][row], also=subject.known.get(("train", row), ())),
                "one answer": bool(clusters.one_truth[row]),
            }
            for row in largest
        ],
    }


def _finding(subject: Subject, clusters: Clusters, row: int) -> Finding:
    score = float(clusters.score[row])
    where = subject.where("train", int(clusters.partner[row]))
    message = f"Nearly repeats {where} (Jaccard {score:.2f})"
    if not clusters.one_truth[row]:
        kind = "labels" if subject.schema.labels else "answers"
        message += f", in a group of {clusters.size[row]:,} rows whose {kind} differ: it stays"
    evidence = subject.asked["train"][row]
    more = {"evidence": evidence, "score": round(score, 4), "partner": where}
    return subject.finding("near_duplicates", "train", row, "warn", f"{message}.", **more)
