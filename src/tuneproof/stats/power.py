"""What a test set can show at all, said before it is used.

    detectable(500, 0.08)              # 0.0354: the gain found in 80% of cases
    rows_needed(0.01, 0.08)            # 4944 rows to show "not worse by a point"
    power_line(500)                    # "n=500, disagreement unknown yet, 8.0% assumed: smallest gain ..."

Disagreement is the share of items that exactly one of the two models has right; it is known after the evaluation only.
"""

from __future__ import annotations

import math

from scipy import special

from tuneproof.errors import ConfigError

ASSUMED_DISAGREEMENT = 0.08  # of two good fine-tuned models; replaced by the measured one as soon as there is one


def detectable(
    n: int, disagreement: float = ASSUMED_DISAGREEMENT, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """Smallest true difference of two proportions that a paired two-sided test on ``n`` items finds with ``power``.

    ``(z_{1-alpha/2} + z_power) sqrt(q/n)`` with q the disagreement (the variance q - d^2 taken at d = 0, as is usual
    and slightly cautious). A difference cannot exceed the disagreement, so where it would, q is raised to d, which
    gives ``(z + z)^2/n``. None when even a difference of 1 would not be found (n <= 7). ConfigError out of range.
    """
    _check(n, alpha, power)
    if not 0 <= disagreement <= 1:
        raise ConfigError(f"The disagreement is {disagreement}.", "It is a share of the items: between 0 and 1.")
    z = _two_sided(alpha, power)
    gain = z * math.sqrt(disagreement / n)
    if gain >= disagreement:
        gain = z * z / n
    return gain if gain <= 1 else None


def detectable_mean(n: int, sd: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true difference of means found with ``power``; ``sd`` is that of the paired per-item differences."""
    _check(n, alpha, power)
    if not sd >= 0:
        raise ConfigError(f"The standard deviation is {sd}.", "Give that of the per-item differences B - A.")
    return _two_sided(alpha, power) * sd / math.sqrt(n)


def rows_needed(
    margin: float, disagreement: float = ASSUMED_DISAGREEMENT, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Items needed to show non-inferiority at ``margin`` when nothing has changed: ``6.18 q / m^2`` at the defaults."""
    _check(1, alpha, power)
    if not margin > 0:
        raise ConfigError(f"The margin is {margin}.", "Give it as a positive share: 0.01 is one point.")
    factor = round(float(special.ndtri(1 - alpha) + special.ndtri(power)) ** 2, 2)  # 6.18, as published in the design
    return math.ceil(round(factor * disagreement / margin**2, 6))


def power_line(n: int, disagreement: float | None = None, alpha: float = 0.05, power: float = 0.8) -> str:
    """The sentence that stands in every plan and report; ``disagreement`` None means "not measured yet"."""
    known = ASSUMED_DISAGREEMENT if disagreement is None else disagreement
    gain = detectable(n, known, alpha, power)
    told = f"disagreement {known:.1%}" if disagreement is not None else f"disagreement unknown yet, {known:.1%} assumed"
    if gain is None:
        return f"n={n}, {told}: too few rows to show any gain"
    return f"n={n}, {told}: smallest gain this test set can show is {100 * gain:.1f} points"


def power_line_mean(n: int, sd: float, unit: str = "", alpha: float = 0.05, power: float = 0.8) -> str:
    """The same for a real-valued metric; ``sd`` of the paired differences, ``unit`` such as "nats"."""
    gain = detectable_mean(n, sd, alpha, power)
    return f"n={n}, SD of the differences {sd:.3g}: smallest gain this test set can show is {gain:.3g} {unit}".rstrip()


def _two_sided(alpha: float, power: float) -> float:
    return float(special.ndtri(1 - alpha / 2) + special.ndtri(power))


def _check(n: int, alpha: float, power: float) -> None:
    if n < 1:
        raise ConfigError(f"A test set of {n} rows has no power.", "Give at least one row.")
    if not (0 < alpha < 1 and alpha < power < 1):
        raise ConfigError(f"alpha={alpha} and power={power} do not fit.", "Both are shares, and power exceeds alpha.")
