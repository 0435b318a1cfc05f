"""The bootstrap of corpus metrics: right, reproducible, honest about what is undefined, and fast."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from tuneproof import stats
from tuneproof.errors import DataError
from tuneproof.stats.bootstrap import randomisation
from tuneproof.tasks import metrics

Floats = NDArray[np.float64]


def mean_of(sums: Floats) -> Floats:
    """Columns [total, items]."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def column(values: Floats) -> Floats:
    return np.column_stack([values, np.ones(len(values))])


def models(n: int, classes: int, seed: int = 0) -> tuple[list[int], list[int], list[int]]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, n)
    a = np.where(rng.random(n) < 0.85, truth, rng.integers(0, classes, n))
    b = np.where(rng.random(n) < 0.08, rng.integers(0, classes, n), a)
    return truth.tolist(), a.tolist(), b.tolist()


def test_of_a_mean_it_is_the_normal_interval() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(400), rng.random(400) + 0.02
    found, normal = stats.corpus_difference(column(a), column(b), mean_of), stats.difference(a, b)
    assert found.value == pytest.approx(normal.value)
    assert found.low == pytest.approx(normal.low, abs=0.006) and found.high == pytest.approx(normal.high, abs=0.006)
    assert found.p == pytest.approx(normal.p, abs=0.03)
    one = stats.corpus_interval(column(a), mean_of)
    assert one.low == pytest.approx(stats.mean_interval(a).low, abs=0.006)


def test_clusters_are_drawn_whole() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(40), 10)
    values = rng.standard_normal(40)[group] + 0.1 * rng.standard_normal(400)
    alone = stats.corpus_interval(column(values), mean_of)
    whole = stats.corpus_interval(column(values), mean_of, group.tolist())
    assert alone.high is not None and alone.low is not None and whole.high is not None and whole.low is not None
    assert 2.3 < (whole.high - whole.low) / (alone.high - alone.low) < 4.0  # sqrt(10) = 3.2


def test_macro_f1_replicates_equal_resampled_items() -> None:
    truth, a, _ = models(60, 3)
    seen: list[Floats] = []

    def spy(sums: Floats) -> Floats:
        seen.append(sums)
        return metrics.macro_f1_of(sums)

    stats.corpus_interval(metrics.class_counts(truth, a, range(3)), spy, replicates=20, seed=5)
    drawn = np.random.default_rng([5, 0]).integers(0, 60, size=(20, 60))
    again = [metrics.macro_f1([truth[i] for i in row], [a[i] for i in row], range(3)) for row in drawn]
    assert metrics.macro_f1_of(seen[-1]).tolist() == pytest.approx(again)


def test_the_swap_test_on_a_mean_is_the_sign_test() -> None:
    rng = np.random.default_rng(2)
    a, b = (rng.random(20) < 0.4) * 1.0, (rng.random(20) < 0.8) * 1.0
    found = stats.corpus_difference(column(a), column(b), mean_of)
    less, more = int((b < a).sum()), int((b > a).sum())
    exact = scipy_stats.binomtest(min(less, more), less + more).pvalue
    assert found.p == pytest.approx(exact, abs=0.015)


def test_identical_models() -> None:
    truth, a, _ = models(50, 4)
    counts = metrics.class_counts(truth, a, range(4))
    found = stats.corpus_difference(counts, counts, metrics.macro_f1_of)
    assert (found.value, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert stats.verdict(found) == "inconclusive"


def test_undefined_replicates_are_counted_and_withhold_the_interval() -> None:
    truth = ["a"] * 39 + ["b"]  # a third of the replicates have no "b"
    counts = metrics.class_counts(truth, ["a"] * 40, ["a", "b"])
    found = stats.corpus_interval(counts, metrics.macro_f1_of)
    assert found.value is not None and found.low is None and "withheld" in found.note
    assert 600 < found.undefined < 850  # (39/40)^40 = 36%
    pair = stats.corpus_difference(counts, counts, metrics.macro_f1_of)
    assert pair.low is None and pair.undefined == found.undefined and stats.verdict(pair) == "inconclusive"
    nothing = stats.corpus_difference(counts, counts, metrics.mcc_of)
    assert nothing.value is None and nothing.p is None and "undefined for A and B" in nothing.note


def test_few_undefined_replicates_keep_the_interval() -> None:
    truth = ["a"] * 35 + ["b"] * 5  # (7/8)^40 = .5% of the replicates
    counts = metrics.class_counts(truth, ["a", "b"] * 20, ["a", "b"])
    found = stats.corpus_interval(counts, metrics.macro_f1_of)
    assert 0 < found.undefined <= 20 and found.low is not None


def test_unpaired() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random(300), rng.random(500) + 0.1
    found = stats.corpus_difference_unpaired(column(a), column(b), mean_of)
    oracle = scipy_stats.ttest_ind(b, a, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=0.008)
    assert found.p is not None and found.p < 0.01 and found.n == 300


def test_seeds_add_their_noise() -> None:
    rng = np.random.default_rng(4)
    items = rng.random(500)
    a = items + rng.normal(0, 0.05, (5, 1)) + rng.normal(0, 0.1, (5, 500))
    b = items + rng.normal(0, 0.05, (5, 1)) + rng.normal(0, 0.1, (5, 500))
    found = stats.seeds_difference(a, b)
    between = np.hypot(a.mean(1).std(ddof=1), b.mean(1).std(ddof=1)) / np.sqrt(5)
    assert found.error == pytest.approx(between, rel=0.15) and not found.note
    single = stats.seeds_difference(a[:1], b[:1])
    assert single.error is not None and single.error < between / 3
    assert single.note == "training noise not measured for A and B"
    assert stats.seed_spread([0.8]) is None and stats.seed_spread([0.8, 0.9]) == pytest.approx(0.0707, abs=1e-4)


def test_bad_input() -> None:
    with pytest.raises(DataError, match="no items"):
        stats.corpus_interval(np.zeros((0, 2)), mean_of)
    with pytest.raises(DataError, match="item 1 are not finite"):
        stats.corpus_interval(np.array([[1.0, 1], [np.nan, 1]]), mean_of)
    with pytest.raises(DataError, match="A has 2 items"):
        stats.corpus_difference(np.ones((2, 2)), np.ones((3, 2)), mean_of)
    with pytest.raises(DataError, match="one row per seed"):
        stats.seeds_difference(np.ones((2, 3)), np.ones((2, 4)))


def test_randomisation_uses_only_items_that_differ() -> None:
    a = column(np.array([1.0, 0.0, 1.0, 1.0] * 30))
    b = a.copy()
    b[:8, 0] = 1 - b[:8, 0]
    found = stats.corpus_difference(a, b, mean_of)
    exact = scipy_stats.binomtest(2, 8).pvalue
    assert found.p == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("classes", [77, 150])
def test_acceptance_5_speed_and_identical_bits(classes: int) -> None:
    truth, a, b = models(10_000, classes)
    started = time.perf_counter()
    counts = [metrics.class_counts(truth, said, range(classes)) for said in (a, b)]
    first = stats.corpus_difference(*counts, metrics.macro_f1_of, seed=11)
    took = time.perf_counter() - started
    assert took < 9.0  # 0.5 s measured; the figure is 3 s, and this machine may be busy
    assert first == stats.corpus_difference(*counts, metrics.macro_f1_of, seed=11)
    assert first != stats.corpus_difference(*counts, metrics.macro_f1_of, seed=12)
    assert randomisation(*counts, metrics.macro_f1_of, seed=1) == randomisation(*counts, metrics.macro_f1_of, seed=1)
