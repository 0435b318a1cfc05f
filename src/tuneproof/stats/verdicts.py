"""From a difference to a decision: better, worse, or not to be told from these rows.

    verdict(difference(a, b))                     # "better" | "worse" | "inconclusive"
    verdict(difference(a, b), margin=0.01)        # "better" means: shown to be at most one point worse
    holm([0.01, 0.04])                            # adjusted p of several primary metrics

"inconclusive" never means "equal": equality within a margin is what ``non_inferior`` shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import optimize, special

from tuneproof.errors import ConfigError
from tuneproof.stats.paired import Difference, score_z

Verdict = Literal["better", "worse", "inconclusive"]
FEWEST = 30  # items below which every verdict is "inconclusive", whatever the interval
ALPHA = 0.05  # of every verdict


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """Whether B was shown to be worse than A by less than ``margin`` (unit of the metric)."""

    holds: bool
    bound: float | None  # one-sided lower bound of B - A
    p: float | None  # one-sided, of "worse by the margin or more"
    margin: float
    n: int


def verdict(
    difference: Difference, margin: float | None = None, *, alpha: float = ALPHA, higher_is_better: bool = True
) -> Verdict:
    """What may be said of B against A.

    Without a margin: "better" ("worse") when p <= alpha and the whole interval is above (below) 0. Both are asked for,
    so that a p adjusted by ``holm`` (``dataclasses.replace(difference, p=...)``) counts and the two never contradict.
    With a margin: "better" when non-inferiority holds, "worse" when the one-sided upper bound is below ``-margin``.
    Fewer than 30 items, or a bound or p that could not be given, is "inconclusive". For losses pass
    ``higher_is_better=False``. Raises ConfigError for a negative margin.
    """
    seen = difference if higher_is_better else _negated(difference)
    if margin is not None:
        _checked(margin)
        lower, upper = _bounds(seen, alpha)
        if seen.n < FEWEST or lower is None or upper is None:
            return "inconclusive"
        return "better" if lower > -margin else "worse" if upper < -margin else "inconclusive"
    if seen.n < FEWEST or seen.p is None or seen.low is None or seen.high is None or seen.p > alpha:
        return "inconclusive"
    return "better" if seen.low > 0 else "worse" if seen.high < 0 else "inconclusive"


def non_inferior(
    difference: Difference, margin: float, *, alpha: float = ALPHA, higher_is_better: bool = True
) -> NonInferiority:
    """One-sided test of "B is worse than A by ``margin`` or more" at ``alpha``.

    0/1 scores: Tango's score test and the bound that inverts it. Others: ``(centre + margin)/error`` against the
    normal (bootstrap) or t with the difference's ``df``. Fewer than 30 items never hold. Raises ConfigError for a
    negative margin.
    """
    seen = difference if higher_is_better else _negated(difference)
    _checked(margin)
    lower, _ = _bounds(seen, alpha)
    if lower is None or seen.centre is None or seen.error is None:
        return NonInferiority(False, None, None, margin, seen.n)
    distance = seen.centre + margin
    if seen.discordant is not None:
        p = float(special.ndtr(-score_z(*seen.discordant, seen.n, margin)))
    elif seen.error > 0:
        p = _upper_tail(distance / seen.error, seen.df)
    else:
        p = 0.0 if distance > 0 else 1.0
    return NonInferiority(seen.n >= FEWEST and lower > -margin, lower, p, margin, seen.n)


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p values in the order given (Holm 1979): reject those <= alpha, and the family error is <= alpha."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1)))
    adjusted = np.empty_like(values)
    adjusted[order] = steps
    return [float(x) for x in adjusted]


def _bounds(difference: Difference, alpha: float) -> tuple[float | None, float | None]:
    """One-sided lower and upper bounds of B - A, each at 1 - alpha."""
    if difference.centre is None or difference.error is None:
        return None, None
    if difference.discordant is not None:
        only_a, only_b = difference.discordant
        return _score_bound(only_a, only_b, difference.n, alpha), -_score_bound(only_b, only_a, difference.n, alpha)
    quantile = float(special.ndtri(1 - alpha) if np.isinf(difference.df) else special.stdtrit(difference.df, 1 - alpha))
    return difference.centre - quantile * difference.error, difference.centre + quantile * difference.error


def _score_bound(only_a: int, only_b: int, n: int, alpha: float) -> float:
    """The lower bound of B - A: minus the smallest margin at which ``score_z`` rejects; -1 when none does."""
    quantile = float(special.ndtri(1 - alpha))

    def above(margin: float) -> float:
        return float(score_z(only_a, only_b, n, margin)) - quantile

    edge = 1 - 1e-9
    if above(edge) <= 0:
        return -1.0
    return -float(optimize.brentq(above, -edge, edge, xtol=1e-10)) if above(-edge) < 0 else 1.0


def _upper_tail(statistic: float, df: float) -> float:
    return float(special.ndtr(-statistic) if np.isinf(df) else special.stdtr(df, -statistic))


def _checked(margin: float) -> None:
    if not margin >= 0:
        raise ConfigError(f"The margin is {margin}.", "Give it as a positive share: 0.01 is one point.")


def _negated(difference: Difference) -> Difference:
    def minus(x: float | None) -> float | None:
        return None if x is None else -x

    return replace(
        difference,
        value=minus(difference.value),
        centre=minus(difference.centre),
        low=minus(difference.high),
        high=minus(difference.low),
        discordant=None if difference.discordant is None else (difference.discordant[1], difference.discordant[0]),
    )
