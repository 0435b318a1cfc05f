"""Texts that are far shorter or far longer than the others: an empty form, a whole document in one cell.

    lengths(subject).figures["median characters"]        # 47

In characters, over every row of every side; for conversations the first question with the last answer.
"""

from __future__ import annotations

import numpy as np

from tuneproof.prepare.check.subject import KEPT, Checked, Subject

NAME = "lengths"
CUT = 5.0  # robust standard deviations of the logarithm
LEAST_SPREAD = 0.2  # of the logarithm: among texts of nearly one length twice as long is no outlier


def lengths(subject: Subject) -> Checked:
    """Rows beyond ``exp(median ± 5 x 1.4826 x MAD)`` of the logarithms, the most extreme first."""
    places = [(side, index) for side, texts in subject.read.items() for index in range(len(texts))]
    sizes = np.array([len(text) for texts in subject.read.values() for text in texts], dtype=np.float64)
    logs = np.log(np.maximum(sizes, 1))
    middle = float(np.median(logs))
    spread = max(1.4826 * float(np.median(np.abs(logs - middle))), LEAST_SPREAD)
    away = np.abs(logs - middle) / spread
    low, high = np.exp(middle - CUT * spread), np.exp(middle + CUT * spread)
    worst = sorted(np.flatnonzero(away > CUT).tolist(), key=lambda at: (-away[at], at))
    findings = []
    for at in worst[:KEPT]:
        side, index = places[at]
        which = "short" if logs[at] < middle else "long"
        message = f"Unusually {which}: {sizes[at]:,.0f} characters; {max(low, 1):,.0f} to {high:,.0f} are usual."
        text = subject.read[side][index]
        findings.append(
            subject.finding(NAME, side, index, "info", message, evidence=text, score=round(float(away[at]), 2))
        )
    counts, edges = np.histogram(logs, bins=20)
    return Checked(
        looked_at=len(sizes),
        found=len(worst),
        findings=findings,
        figures={
            "shortest": int(sizes.min()),
            "median characters": int(np.median(sizes)),
            "95% are shorter than": int(np.quantile(sizes, 0.95)),
            "longest": int(sizes.max()),
            "histogram": [
                [round(float(np.exp(start))), round(float(np.exp(end))), int(count)]
                for start, end, count in zip(edges[:-1], edges[1:], counts, strict=True)
            ],
        },
    )
