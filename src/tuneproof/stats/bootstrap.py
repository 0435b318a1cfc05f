"""Intervals and p values for metrics that are not a mean of items: macro-F1, MCC, entity F1, BLEU, chrF, calibration.

    counts_a = metrics.class_counts(truth, predicted_a, labels)      # (n, 3K) sparse, a few numbers per item
    corpus_difference(counts_a, counts_b, metrics.macro_f1_of)       # a Difference, as in ``paired``

A metric here is a function from summed statistics (replicates, k) to values (replicates,), NaN where it is undefined.
Resampling the items is then one matrix product ``W @ stats`` with multinomial weights, and no item is scored twice.
Same seed, same bits: the statistics are counts, whose sums are exact in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from tuneproof.errors import DataError
from tuneproof.stats.interval import Interval
from tuneproof.stats.items import Floats, clusters
from tuneproof.stats.paired import FLIPS, Difference

Metric = Callable[[Floats], Floats]
Statistics = NDArray[Any] | Any  # (n, k) array or scipy sparse array

REPLICATES = 2_000
MOST_UNDEFINED = 0.01  # share of replicates without a value above which the interval is withheld
CELLS = 4_000_000  # numbers held at once by a chunk of replicates: 32 MB


def corpus_interval(
    stats: Statistics,
    metric: Metric,
    group: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of one model's metric by the (cluster) bootstrap; stats (n, k), ``group`` (n,)."""
    summed, n = _by_cluster(stats, group)
    value = _value(metric, summed)
    drawn = np.concatenate([metric(sums) for sums in _resampled(summed, np.random.default_rng([seed, 0]), replicates)])
    low, high, _, undefined, note = _percentiles(drawn, level)
    method = f"{_kind(summed, n)}bootstrap (B={replicates})"
    if value is None:
        return Interval(None, None, None, n, method, level, undefined, "the metric is undefined on these items")
    return Interval(value, low, high, n, method, level, undefined, note)


def corpus_difference(
    a: Statistics,
    b: Statistics,
    metric: Metric,
    group: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
    flips: int = FLIPS,
    level: float = 0.95,
) -> Difference:
    """B - A of a corpus metric on the same items: paired (cluster) bootstrap, p by approximate randomisation.

    a, b are (n, k) with equal columns. Both models see the same resampled items (Efron & Tibshirani 1993, ch. 16;
    Koehn 2004 for BLEU); the p value swaps whole clusters between the models (Noreen 1989; Riezler & Maxwell 2005).
    """
    first, n = _by_cluster(a, group)
    second, other = _by_cluster(b, group)
    if n != other or first.shape[1] != second.shape[1]:
        raise DataError(f"A has {n} items of {first.shape[1]} statistics, B {other} of {second.shape[1]}.")
    k = first.shape[1]
    both = sparse.hstack([first, second], format="csr")
    rng = np.random.default_rng([seed, 0])
    drawn = np.concatenate([metric(s[:, k:]) - metric(s[:, :k]) for s in _resampled(both, rng, replicates)])
    method = f"{_kind(first, n)}paired bootstrap (B={replicates}), approximate randomisation (B={flips})"
    disagreement = float((abs(second - first).sum(axis=1) > 0).mean())
    p = randomisation(first, second, metric, seed=seed, flips=flips)
    values = _value(metric, first), _value(metric, second)
    return _difference(*values, drawn, p, n, first.shape[0], disagreement, method, level)


def corpus_difference_unpaired(
    a: Statistics,
    b: Statistics,
    metric: Metric,
    group_a: Sequence[Hashable] | None = None,
    group_b: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
    level: float = 0.95,
) -> Difference:
    """B - A where the two sets of items differ (two slices, two months): each is resampled alone.

    p is ``2 min(P(d* <= 0), P(d* >= 0))`` with one added to both counts; ``n`` is the smaller of the two sets.
    """
    first, n_a = _by_cluster(a, group_a)
    second, n_b = _by_cluster(b, group_b)
    draws = []
    for number, summed in enumerate((first, second)):
        rng = np.random.default_rng([seed, 3 + number])
        draws.append(np.concatenate([metric(sums) for sums in _resampled(summed, rng, replicates)]))
    drawn = draws[1] - draws[0]
    groups = min(first.shape[0], second.shape[0])
    method = f"{_kind(first, n_a)}unpaired bootstrap (B={replicates})"
    values = _value(metric, first), _value(metric, second)
    return _difference(*values, drawn, _tail_p(drawn), min(n_a, n_b), groups, None, method, level)


def randomisation(first: Any, second: Any, metric: Metric, *, seed: int = 0, flips: int = FLIPS) -> float | None:
    """Two-sided p of "A and B are exchangeable": ``(1 + #{|d*| >= |d|}) / (flips + 1)``; None if d is undefined.

    first, second: sparse (G, k). Only clusters in which the models differ are swapped: the others change nothing. A
    swap after which the metric is undefined counts as reaching d, which can only make p larger.
    """
    total_a, total_b = _total(first), _total(second)
    seen = float((metric(total_b) - metric(total_a))[0])
    if np.isnan(seen):
        return None
    gaps = (second - first).tocsr()
    gaps = gaps[np.flatnonzero(np.diff(gaps.indptr))]
    turned = gaps.T.tocsr()  # (k, m)
    rng = np.random.default_rng([seed, 1])
    reached, chunk = 0, max(1, CELLS // (max(gaps.shape) * 2 + 1))
    for start in range(0, flips, chunk):
        size = min(chunk, flips - start)
        moved = (turned @ rng.integers(0, 2, size=(gaps.shape[0], size)).astype(np.float64)).T
        swapped = metric(total_b - moved) - metric(total_a + moved)
        reached += int(np.count_nonzero(~(np.abs(swapped) < abs(seen) - 1e-12)))
    return (1 + reached) / (flips + 1)


def seeds_difference(
    a: ArrayLike,
    b: ArrayLike,
    group: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
    level: float = 0.95,
) -> Difference:
    """B - A of the mean score over training seeds and items: a (S_a, n), b (S_b, n), two-way bootstrap.

    Items (clusters) are resampled in common, seeds for each model on their own. With S seeds, S - 1 are drawn, so that
    the variance between seeds is unbiased (Rao & Wu 1988); drawing S of 2 would halve it. One seed is kept as it is,
    and ``note`` says that its training noise is not in the interval.
    """
    tables = [np.atleast_2d(np.asarray(x, dtype=np.float64)) for x in (a, b)]
    n = tables[0].shape[1]
    if tables[1].shape[1] != n or not n or not all(np.isfinite(t).all() for t in tables):
        raise DataError("Expected finite scores: one row per seed, one column per item, the same items for A and B.")
    codes, count = clusters(group, n)
    # One statistic per seed and cluster, and the cluster's size as the last column.
    totals = np.zeros((count, tables[0].shape[0] + tables[1].shape[0] + 1))
    np.add.at(totals, codes, np.vstack([*tables, np.ones((1, n))]).T)
    summed = sparse.csr_array(totals)
    rng = np.random.default_rng([seed, 0])
    sums = np.concatenate(list(_resampled(summed, rng, replicates)))
    split = tables[0].shape[0]
    means = (sums[:, :split] / sums[:, -1:], sums[:, split:-1] / sums[:, -1:])
    drawn = _over_seeds(means[1], rng) - _over_seeds(means[0], rng)
    values = float(tables[0].mean()), float(tables[1].mean())
    method = f"{_kind(summed, n)}two-way bootstrap (seeds x items, B={replicates})"
    alone = [name for name, t in zip("AB", tables, strict=True) if t.shape[0] == 1]
    note = f"training noise not measured for {' and '.join(alone)}" if alone else ""
    return _difference(*values, drawn, _tail_p(drawn), n, count, None, method, level, note)


def seed_spread(values: Sequence[float]) -> float | None:
    """Standard deviation between training seeds of a metric, None with fewer than two."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _over_seeds(means: Floats, rng: np.random.Generator) -> Floats:
    """(replicates, S) -> (replicates,): the mean of S - 1 seeds drawn with replacement; S = 1: that one."""
    replicates, count = means.shape
    if count == 1:
        return means[:, 0]
    chosen = rng.integers(0, count, size=(replicates, count - 1))
    return np.asarray(np.take_along_axis(means, chosen, axis=1).mean(axis=1))


def _by_cluster(stats: Statistics, group: Sequence[Hashable] | None) -> tuple[Any, int]:
    """Statistics summed within clusters, sparse (G, k), and the number of items n."""
    table = sparse.csr_array(stats, dtype=np.float64)
    n = int(table.shape[0])
    if not n:
        raise DataError("There are no items.", "A bootstrap needs at least one.")
    if not np.isfinite(table.data).all():
        row = int(np.searchsorted(table.indptr, np.flatnonzero(~np.isfinite(table.data))[0], side="right")) - 1
        raise DataError(f"The statistics of item {row} are not finite.", "Score failed items 0 and keep their rows.")
    if group is None:
        return table, n
    codes, count = clusters(group, n)
    return sparse.csr_array((np.ones(n), (codes, np.arange(n))), shape=(count, n)) @ table, n


def _resampled(summed: Any, rng: np.random.Generator, replicates: int) -> Iterator[Floats]:
    """Chunks (r, k) of ``W @ stats``, W multinomial: how often each of G clusters was drawn in G draws."""
    count, k = summed.shape
    turned = summed.T.tocsr()  # (k, G): sparse times dense runs along the rows of W transposed
    chunk = max(1, CELLS // max(count, k))
    for start in range(0, replicates, chunk):
        size = min(chunk, replicates - start)
        drawn = rng.integers(0, count, size=(size, count))
        drawn += count * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        yield (turned @ np.ascontiguousarray(weights.T, dtype=np.float64)).T


def _difference(
    value_a: float | None,
    value_b: float | None,
    drawn: Floats,
    p: float | None,
    n: int,
    groups: int,
    disagreement: float | None,
    method: str,
    level: float,
    note: str = "",
) -> Difference:
    low, high, error, undefined, why = _percentiles(drawn, level)
    if value_a is None or value_b is None:
        side = " and ".join(name for name, value in (("A", value_a), ("B", value_b)) if value is None)
        why, low, high, error, p = f"the metric is undefined for {side}", None, None, None, None
    value = None if value_a is None or value_b is None else value_b - value_a
    return Difference(
        value=value,
        low=low,
        high=high,
        p=p,
        n=n,
        method=method,
        centre=None if error is None else value,
        error=error,
        groups=groups,
        disagreement=disagreement,
        level=level,
        undefined=undefined,
        note="; ".join(part for part in (note, why) if part),
    )


def _percentiles(drawn: Floats, level: float) -> tuple[float | None, float | None, float | None, int, str]:
    """Low, high, standard error, undefined replicates, and why there is no interval where there is none."""
    defined = drawn[~np.isnan(drawn)]
    undefined = int(drawn.size - defined.size)
    if undefined > MOST_UNDEFINED * drawn.size or defined.size < 2:
        return None, None, None, undefined, f"interval withheld: undefined in {undefined} of {drawn.size} replicates"
    low, high = np.quantile(defined, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high), float(defined.std(ddof=1)), undefined, ""


def _tail_p(drawn: Floats) -> float | None:
    defined = drawn[~np.isnan(drawn)]
    if not defined.size:
        return None
    least = min(np.count_nonzero(defined <= 0), np.count_nonzero(defined >= 0))
    return float(min(1.0, 2 * (1 + least) / (defined.size + 1)))


def _total(summed: Any) -> Floats:
    return np.asarray(summed.sum(axis=0), dtype=np.float64).reshape(1, -1)


def _value(metric: Metric, summed: Any) -> float | None:
    value = float(metric(_total(summed))[0])
    return None if np.isnan(value) else value


def _kind(summed: Any, n: int) -> str:
    return "" if summed.shape[0] == n else f"cluster (G={summed.shape[0]}) "
