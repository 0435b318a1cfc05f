"""Whether a confidence of 80% is right in 80% of cases, and the one number that repairs it.

    calibration_error(confidence, correct)                     # Calibration(value=0.117, low=..., high=..., chance=...)
    fitted = fit_temperature(logits, truth)                    # on a calibration split, never on the test split
    probabilities = apply_temperature(logits, fitted.value)    # the server calls the same function

Logits or log probabilities (any shift per row) serve alike. Two-dimensional 0/1 truth: independent labels (sigmoid).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, sparse, special

from tuneproof.errors import DataError
from tuneproof.stats.bootstrap import REPLICATES, corpus_interval
from tuneproof.stats.items import Floats, Integers, scores

BINS = 15
LOWEST, HIGHEST = 0.05, 20.0  # temperatures searched; an optimum at either end is not one
TINY = 1e-15  # probabilities are cut here, so that a certain mistake costs 34.5 nats and not infinity


@dataclass(frozen=True, slots=True)
class Calibration:
    """Expected calibration error (0..1). ``chance``: what a perfectly calibrated model would show on as many items."""

    value: float
    low: float
    high: float
    chance: float
    n: int
    bins: tuple[tuple[float, float, int], ...]  # mean confidence, accuracy, items: the reliability diagram
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class Temperature:
    """``value`` divides the logits; 1.0 where the search did not help, and ``reason`` says so."""

    value: float
    accepted: bool
    nll_before: float  # nats per item at T = 1
    nll_after: float  # at ``value``
    n: int
    reason: str


def calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    group: Sequence[Hashable] | None = None,
    *,
    bins: int = BINS,
    seed: int = 0,
    replicates: int = REPLICATES,
    level: float = 0.95,
) -> Calibration:
    """Equal-mass ECE ``sum_b n_b/n |accuracy_b - confidence_b|`` (Nixon et al. 2019) with a bootstrap interval.

    confidence (n,) in 0..1, correct (n,) 0 or 1. Items of equal confidence share a bin, so their order is irrelevant.
    The error is biased upwards by noise and its bootstrap replicates twice over, hence the reflected ("basic") interval
    ``2 value - quantile``, cut at 0 and never excluding the value. ``low`` is 0 when 2.5% of the draws of a perfectly
    calibrated model reach ``value``; ``chance`` is the mean of those draws.
    """
    sure, right = scores(confidence, "confidence"), scores(correct, "correct")
    if sure.size != right.size or sure.min() < 0 or sure.max() > 1 or not np.isin(right, (0.0, 1.0)).all():
        raise DataError("Expected confidences between 0 and 1 and as many 0/1 marks of being correct.")
    n, bin_of = sure.size, _equal_mass(sure, bins)
    rows = np.arange(n)
    gaps = sparse.csr_array((sure - right, (rows, bin_of)), shape=(n, bins))

    def error(sums: Floats) -> Floats:  # (replicates, bins + 1), the last column counts items
        return np.asarray(np.abs(sums[:, :-1]).sum(axis=1) / sums[:, -1])

    stats = sparse.hstack([gaps, sparse.csr_array(np.ones((n, 1)))], format="csr")
    drawn = corpus_interval(stats, error, group, seed=seed, replicates=replicates, level=level)
    assert drawn.value is not None and drawn.low is not None and drawn.high is not None, "bounded for any items"
    value = drawn.value
    by_chance = _chance_errors(sure, bin_of, bins, seed)
    low, high = max(0.0, 2 * value - drawn.high), max(0.0, 2 * value - drawn.low)
    if value <= np.quantile(by_chance, 0.5 + level / 2):
        low = 0.0
    count = np.bincount(bin_of, minlength=bins)
    shown = np.flatnonzero(count)
    means = [np.bincount(bin_of, weights=x, minlength=bins)[shown] / count[shown] for x in (sure, right)]
    diagram = tuple((float(c), float(r), int(m)) for c, r, m in zip(*means, count[shown], strict=True))
    return Calibration(value, min(low, value), max(high, value), float(by_chance.mean()), n, diagram, level)


def nll_items(probabilities: ArrayLike, truth: ArrayLike) -> Floats:
    """Negative log likelihood per item in nats, (n,): ``-log p_truth``; probabilities (n, K), truth (n,) in 0..K-1."""
    table, codes = _checked(probabilities, truth)
    return -np.log(np.clip(table[np.arange(codes.size), codes], TINY, 1.0))


def brier_items(probabilities: ArrayLike, truth: ArrayLike) -> Floats:
    """Brier score per item, (n,): ``sum_k (p_k - y_k)^2``, 0 to 2 (Brier 1950; half of it for the binary form)."""
    table, codes = _checked(probabilities, truth)
    return np.asarray(1.0 - 2.0 * table[np.arange(codes.size), codes] + (table**2).sum(axis=1))


def apply_temperature(logits: ArrayLike, temperature: float, independent: bool = False) -> Floats:
    """Probabilities (n, K) from logits (n, K) at ``temperature``: softmax, or sigmoid for ``independent`` labels."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    return np.asarray(special.expit(scaled) if independent else special.softmax(scaled, axis=-1))


def fit_temperature(logits: ArrayLike, truth: ArrayLike) -> Temperature:
    """The temperature with the least NLL (Guo et al. 2017), by bounded search over log T in [log .05, log 20].

    logits (n, K), truth (n,) class numbers or (n, K) 0/1. NLL is convex in 1/T, so the one minimum is the global one.
    Kept only if NLL improves and the minimum lies inside the bounds. A split without a single mistake has no minimum
    (ever more confidence is ever better) and is refused.
    """
    table = np.asarray(logits, dtype=np.float64)
    target = np.asarray(truth)
    if target.ndim == 1:
        _checked(table, target)
    elif target.shape != table.shape or not table.size or not np.isfinite(table).all():
        raise DataError(f"Logits of shape {table.shape} do not fit truth of shape {target.shape}.")

    if not _mistaken(table, target):
        nll = _mean_nll(table, target)
        return Temperature(1.0, False, nll, nll, len(table), "the split holds no mistake to learn from")

    def loss(log_temperature: float) -> float:
        return _mean_nll(table / np.exp(log_temperature), target)

    before = loss(0.0)
    found = optimize.minimize_scalar(
        loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-6}
    )
    value, after = float(np.exp(found.x)), float(found.fun)
    if not LOWEST * 1.001 < value < HIGHEST / 1.001:
        return Temperature(1.0, False, before, before, len(table), f"the search ended at its bound ({value:.3g})")
    if not after < before:
        return Temperature(1.0, False, before, before, len(table), "NLL did not improve")
    return Temperature(value, True, before, after, len(table), f"NLL fell from {before:.4f} to {after:.4f} nats")


def _mean_nll(logits: Floats, target: Integers) -> float:
    if target.ndim == 2:  # -log sigmoid(z) for 1, -log(1 - sigmoid(z)) for 0, summed over labels
        return float(np.logaddexp(0.0, np.where(target > 0, -logits, logits)).sum(axis=1).mean())
    chosen = logits[np.arange(target.size), target]
    return float((special.logsumexp(logits, axis=1) - chosen).mean())


def _mistaken(logits: Floats, target: Integers) -> bool:
    if target.ndim == 2:
        return bool(((logits > 0) != (target > 0)).any())
    return bool((logits.max(axis=1) > logits[np.arange(target.size), target]).any())


def _checked(table: ArrayLike, truth: ArrayLike) -> tuple[Floats, Integers]:
    values, codes = np.asarray(table, dtype=np.float64), np.asarray(truth)
    if values.ndim != 2 or codes.shape != values.shape[:1] or not values.size:
        raise DataError(f"Expected (items, classes) and one class per item, got {values.shape} and {codes.shape}.")
    if not np.isfinite(values).all():
        raise DataError(f"Item {np.flatnonzero(~np.isfinite(values).all(axis=1))[0]} has a value that is not finite.")
    if not np.issubdtype(codes.dtype, np.integer) or codes.min() < 0 or codes.max() >= values.shape[1]:
        raise DataError(f"A class number lies outside 0..{values.shape[1] - 1}.", "Map labels to columns first.")
    return values, codes


def _equal_mass(values: Floats, bins: int) -> Integers:
    """Bin of each item by the middle rank of its value: bins of n/bins items, ties never split."""
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - count / 2
    return np.minimum(bins - 1, (middle * bins / values.size).astype(np.int64))[inverse]


def _chance_errors(sure: Floats, bin_of: Integers, bins: int, seed: int, draws: int = 400) -> Floats:
    """ECE in ``draws`` data sets whose items are correct with exactly their stated probability."""
    rng = np.random.default_rng([seed, 5])
    found = np.empty(draws)
    for i in range(draws):
        gaps = sure - (rng.random(sure.size) < sure)
        found[i] = np.abs(np.bincount(bin_of, weights=gaps, minlength=bins)).sum() / sure.size
    return found
