"""Train rows that are like no other: far from their nearest neighbours in the encoder's vectors.

    outliers(subject).findings[0].score        # mean cosine distance to the 5 nearest other rows

Distance is about content: a row in another language, a broken cell, a pasted log. Lengths, languages and beginnings
have checks of their own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuneproof.prepare.check.linear import Floats, unit
from tuneproof.prepare.check.subject import KEPT, Checked, Subject

NAME = "outliers"
NEIGHBOURS = 5
CUT = 3.0  # robust standard deviations above the median
APART = 0.7  # of the mean distance between two rows: where nearly all rows are alike, slightly unlike is no outlier
FEWEST = 50  # rows; among fewer "usual" means nothing
BLOCK = 2048  # rows whose distances to all others are in memory at once


def outliers(subject: Subject) -> Checked:
    """Rows of the train sample beyond the cut, the farthest first."""
    if subject.embed is None:
        return Checked(0, 0, note=subject.no_embed)
    rows = subject.sample["train"]
    if len(rows) < FEWEST:
        return Checked(0, 0, note=f"Looked for among {FEWEST} train rows or more.")
    far = distances(subject.vectors)
    limit = cut(far, subject.vectors)
    worst = sorted(np.flatnonzero(far > limit).tolist(), key=lambda at: (-far[at], at))
    findings = [
        subject.finding(
            NAME,
            "train",
            rows[at],
            "info",
            f"Far from all others: {far[at]:.2f} on average to the {NEIGHBOURS} nearest; up to {limit:.2f} is usual.",
            evidence=subject.asked["train"][rows[at]],
            score=round(float(far[at]), 4),
        )
        for at in worst[:KEPT]
    ]
    counts, edges = np.histogram(far, bins=20)
    return Checked(
        looked_at=len(rows),
        found=len(worst),
        findings=findings,
        leave={"train": [rows[at] for at in worst]},
        figures={
            "median distance": round(float(np.median(far)), 4),
            "cut": round(limit, 4),
            "histogram": [
                [round(float(low), 3), round(float(high), 3), int(count)]
                for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
            ],
        },
        note=subject.sampled("train"),
    )


def distances(vectors: Floats) -> NDArray[np.float32]:
    """(n,): mean cosine distance of each row of (n, width) to its NEIGHBOURS nearest others."""
    rows = unit(vectors)
    found = np.empty(len(rows), dtype=np.float32)
    for at in range(0, len(rows), BLOCK):
        alike = rows[at : at + BLOCK] @ rows.T
        alike[np.arange(len(alike)), np.arange(at, at + len(alike))] = -np.inf
        nearest = np.partition(alike, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:]
        found[at : at + BLOCK] = 1 - nearest.mean(1)
    return found


def cut(far: NDArray[np.float32], vectors: Floats) -> float:
    """The distance beyond which a row is an outlier: ``median + 3 x 1.4826 x MAD`` of ``far``.

    At least .7 of the mean cosine distance between two rows, ``1 - |mean unit vector|^2``.
    """
    middle = float(np.median(far))
    spread = 1.4826 * float(np.median(np.abs(far - middle)))
    between = 1 - float((unit(vectors).mean(0) ** 2).sum())
    return max(middle + CUT * spread, APART * between)
