"""What a change of the train rows does to a score, in one sentence with an interval.

    effect(subject, [4, 17, ...], "nearly also in the test")
    # Dropping 133 train rows (...) changes the measured accuracy by -0.9 points (95%: -1.6 to -0.3), from 91.2% ...

The probe is softmax regression on the frozen encoder's vectors, fitted with and without the rows and scored on the
same test rows. It says which way the measured score moves, not by how much that of a tuned model would.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tuneproof.prepare.check.subject import Subject
from tuneproof.stats.paired import Difference, difference


def effect(subject: Subject, gone: Sequence[int], why: str, falls: str = "") -> str:
    """The sentence for the train rows ``gone``, which left for the reason ``why``.

    ``falls`` is what a fall of the score means here, said where there is one (the whole interval is below 0).
    "Not measured: ..." where the rows have no labels, no encoder is at hand, or none of the rows was looked at.
    """
    if "label" not in subject.splits.train.columns:
        return "Not measured: the probe needs labels, and rows of this task have none."
    if subject.embed is None:
        return f"Not measured: {subject.no_embed.rstrip('.')}."
    away = np.isin(subject.sample["train"], np.asarray(gone, dtype=np.int64))
    if not away.any():
        return f"Not measured: none of these rows is among the {len(away):,} train rows that were looked at."
    if away.all():
        return "Not measured: no train row would be left."
    probe = subject.probe
    after = probe.correct(np.flatnonzero(~away))
    test = subject.splits.test
    chosen = subject.sample["test"]
    names = test.columns.get("group")
    groups = None if names is None else [names[index] or f"\0{index}" for index in chosen]
    found = difference(probe.before, after, groups)
    told = [_sentence(found, probe.before, int(away.sum()), len(gone), why)]
    told += _where(away[probe.nearest], probe.before, after)
    if falls and found.high is not None and found.high < 0:
        told.append(falls)
    return " ".join(told)


def _sentence(found: Difference, before: NDArray[np.float64], away: int, gone: int, why: str) -> str:
    was, value = float(before.mean()), found.value or 0.0
    rows = f"{gone:,} train rows" if away == gone else f"{away:,} of {gone:,} train rows"
    between = (
        "" if found.low is None or found.high is None else f" (95%: {_points(found.low)} to {_points(found.high)})"
    )
    seen = "" if found.low is None or found.high is None or found.low * found.high > 0 else "; no change can be told"
    return (
        f"Dropping {rows} ({why}) changes the measured accuracy by {_points(value)} points{between}, "
        f"from {was:.1%} to {was + value:.1%} on {found.n:,} test rows{seen}."
    )


def _where(touched: NDArray[np.bool_], before: NDArray[np.float64], after: NDArray[np.float64]) -> list[str]:
    """The same for the test rows that have lost their nearest train row, and for the others."""
    if not touched.any() or touched.all():
        return []
    (was, now), (was_else, now_else) = [(before[rows].mean(), after[rows].mean()) for rows in (touched, ~touched)]
    return [
        f"On the {int(touched.sum()):,} test rows whose nearest train row left it goes from {was:.1%} to {now:.1%}, "
        f"on the others from {was_else:.1%} to {now_else:.1%}."
    ]


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-0.0", "0.0").replace("+0.0", "0.0")
