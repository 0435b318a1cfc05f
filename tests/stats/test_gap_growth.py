"""Scores on two sets of items, and how a score grows with rows: against known answers, and how often they err."""

from __future__ import annotations

import numpy as np
import pytest

from tuneproof.errors import DataError
from tuneproof.stats import gap
from tuneproof.stats.growth import growth


def test_gap_equals_newcombes_published_example() -> None:
    # Newcombe 1998 (Statistics in Medicine 17, 873), method 10: 56/70 - 48/80 is .2000, .0524 to .3339.
    found = gap([1.0] * 48 + [0.0] * 32, [1.0] * 56 + [0.0] * 14)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    # 10/10 - 0/10: .6075 is below, and the upper end is 1.
    found = gap([0.0] * 10, [1.0] * 10)
    assert found.low == pytest.approx(0.6075, abs=5e-5) and found.high == pytest.approx(1.0)


def test_gap_of_real_scores_is_welchs() -> None:
    from scipy import stats as scipy_stats

    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 40), rng.normal(2, 3, 70)
    found, theirs = gap(a, b), scipy_stats.ttest_ind(b, a, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_gap_over_groups_is_wider_and_one_group_has_no_interval() -> None:
    rng = np.random.default_rng(1)
    a, b = (np.repeat(rng.normal(m, 1, 30), 5) for m in (0, 0))
    groups = [i // 5 for i in range(150)]
    alone, grouped = gap(a, b), gap(a, b, groups, groups)
    assert grouped.high - grouped.low > 1.8 * (alone.high - alone.low)
    assert gap([0.5, 0.6], [0.1, 0.2], ["x", "x"], ["y", "z"]).low is None
    with pytest.raises(DataError):
        gap([], [1.0])


@pytest.mark.parametrize("share", [True, False])
def test_gap_covers_the_truth(share: bool) -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(400):
        a, b = (rng.random(120) < p for p in (0.95, 0.7)) if share else (rng.normal(m, 1, 120) for m in (0.95, 0.7))
        found = gap(a.astype(float), b.astype(float))
        inside += found.low <= -0.25 <= found.high
    assert 0.92 <= inside / 400 <= 0.985


SIZES = [1000, 2500, 5000, 10000]


def law(floor: float, scale: float, power: float) -> list[float]:
    return [floor + scale * (n / 10000) ** -power for n in SIZES]


def test_growth_finds_the_law_that_made_the_errors() -> None:
    found = growth(SIZES, [[e] * 3 for e in law(0.05, 0.1, 0.5)])
    assert (found.floor, found.scale, found.power) == pytest.approx((0.05, 0.1, 0.5))
    assert found.gain == pytest.approx(0.1 * (1 - 2**-0.5)) and found.low == pytest.approx(found.high)
    assert found.at(0.1) == pytest.approx(law(0.05, 0.1, 0.5)[0])


def test_growth_of_errors_that_do_not_fall_promises_nothing() -> None:
    found = growth(SIZES, [[e] * 3 for e in (0.2, 0.2, 0.21, 0.21)])
    assert found.scale == 0.0 and found.gain == 0.0


def test_growth_is_unsure_where_items_are_few_or_training_is_noisy() -> None:
    rng = np.random.default_rng(3)
    wide = {}
    for n, noise in ((100, 0.0), (4000, 0.0), (4000, 0.02)):
        errors = [(rng.random(n) < e).astype(float) for e in law(0.05, 0.1, 0.5)]
        found = growth(SIZES, errors, noise=noise)
        wide[n, noise] = found.high - found.low
        assert growth(SIZES, errors, noise=noise) == found, "same seed, same bits"
    assert wide[100, 0.0] > wide[4000, 0.0] and wide[4000, 0.02] > wide[4000, 0.0]


def test_growth_holds_what_twice_the_rows_do() -> None:
    """200 draws from a known law, 1,500 test rows each: the interval of the gain holds it."""
    rng = np.random.default_rng(4)
    truth = 0.1 * (1 - 2**-0.5)
    inside = 0
    for _ in range(200):
        base = rng.random(1500)  # one difficulty per row, so that sizes agree as real models do
        found = growth(SIZES, [(base < e).astype(float) for e in law(0.05, 0.1, 0.5)], replicates=200)
        inside += found.low <= truth <= found.high
    assert inside >= 0.85 * 200, inside


def test_growth_needs_three_sizes() -> None:
    with pytest.raises(DataError, match="3 sizes"):
        growth([10, 20], [[0.1], [0.2]])
