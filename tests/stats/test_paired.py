"""Paired differences, decisions and power against published figures, other people's code and exact enumeration."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import special
from scipy import stats as scipy_stats

from tuneproof import stats
from tuneproof.errors import ConfigError, DataError
from tuneproof.stats.interval import mean_error
from tuneproof.stats.paired import agresti_min, mcnemar, score_z, sign_flip


def vectors(only_a: int, only_b: int, both: int, neither: int) -> tuple[list[int], list[int]]:
    a = [1] * only_a + [0] * only_b + [1] * both + [0] * neither
    b = [0] * only_a + [1] * only_b + [1] * both + [0] * neither
    return a, b


def test_mcnemar_equals_statsmodels() -> None:
    oracle = pytest.importorskip(
        "statsmodels.stats.contingency_tables", reason="statsmodels is an oracle of the dev group"
    )
    rng = np.random.default_rng(0)
    cases = [(0, 0), (0, 1), (5, 5), (0, 40), (300, 310), *(map(int, pair) for pair in rng.integers(0, 60, (1000, 2)))]
    for only_a, only_b in cases:
        exact = float(oracle.mcnemar([[10, only_a], [only_b, 10]], exact=True).pvalue) if only_a + only_b else 1.0
        # statsmodels has the exact test only; mid-p is that less P(X = min), by definition (once where b = c).
        at = float(scipy_stats.binom.pmf(min(only_a, only_b), only_a + only_b, 0.5))
        middle = 1.0 if only_a == only_b else exact - at
        assert abs(float(mcnemar(only_a, only_b, mid=False)) - exact) <= 1e-9
        assert abs(float(mcnemar(only_a, only_b)) - middle) <= 1e-9


def test_agresti_min_is_the_formula_of_the_design() -> None:
    n, b, c = 200 + 2, 9.5, 20.5
    centre, error = agresti_min(9, 20, 200)
    assert math.isclose(float(centre), (c - b) / n)
    assert math.isclose(float(error), math.sqrt(((b + c) / n - ((c - b) / n) ** 2) / n))
    found = stats.difference(*vectors(9, 20, 150, 21))
    assert found.value == pytest.approx(11 / 200) and found.method.startswith("Agresti-Min")
    assert found.low == pytest.approx(float(centre - special.ndtri(0.975) * error))
    assert found.disagreement == pytest.approx(29 / 200)


def test_a_difference_changes_sign_with_the_order_of_the_models() -> None:
    a, b = vectors(9, 20, 150, 21)
    one, other = stats.difference(a, b), stats.difference(b, a)
    assert one.value == -other.value and one.p == other.p
    assert one.low == pytest.approx(-other.high) and one.high == pytest.approx(-other.low)


def test_real_scores_give_the_textbook_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(80), rng.random(80)
    found, oracle = stats.difference(a, b), scipy_stats.ttest_rel(b, a)
    interval = oracle.confidence_interval()
    assert found.p == pytest.approx(oracle.pvalue, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_clusters_widen_the_interval_as_statsmodels_says() -> None:
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is an oracle of the dev group")
    rng = np.random.default_rng(2)
    group = rng.integers(0, 40, 300)
    gaps = rng.standard_normal(40)[group] + rng.standard_normal(300)
    fit = api.OLS(gaps, np.ones(300)).fit(cov_type="cluster", cov_kwds={"groups": group}, use_t=True)
    mean, error, count = mean_error(gaps, group.tolist())
    # statsmodels also multiplies by (n-1)/(n-k), which is 1 for a mean.
    assert count == 40 and mean == pytest.approx(fit.params[0])
    assert error == pytest.approx(fit.bse[0], rel=1e-9)
    found = stats.difference(np.zeros(300), gaps, group.tolist())
    assert found.p == pytest.approx(fit.pvalues[0], rel=1e-6) and found.groups == 40 and found.n == 300


def test_few_clusters_use_sign_flips() -> None:
    sums = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert sign_flip(sums, seed=3) == pytest.approx(2 / 32, abs=0.01)  # all 32 sign patterns, two of them as extreme
    found = stats.difference(np.zeros(50), np.repeat(sums, 10), np.repeat(np.arange(5), 10).tolist())
    assert "sign flips" in found.method and found.p == sign_flip(sums * 10, seed=0)
    assert stats.verdict(found) == "inconclusive"  # five clusters cannot show anything at 5%


def test_same_seed_same_bits() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.random(25), rng.random(25)
    assert stats.difference(a, b, seed=7) == stats.difference(a, b, seed=7)


def test_one_cluster_has_no_interval() -> None:
    found = stats.difference([0.1, 0.2], [0.3, 0.9], ["x", "x"])
    assert found.low is None and found.p is None and "one cluster" in found.note
    assert stats.verdict(found) == "inconclusive"


def test_equal_models_are_inconclusive_and_not_worse() -> None:
    a = np.random.default_rng(5).random(100)
    found = stats.difference(a, a)
    assert found.value == 0 and found.p == 1 and stats.verdict(found) == "inconclusive"
    assert stats.non_inferior(found, 0.01).holds
    assert stats.verdict(stats.difference(a, a + 0.5)) == "better"  # the same gain on every item, no spread at all


@pytest.mark.parametrize(
    ("a", "b", "group", "says"),
    [
        ([], [], None, "at least one score"),
        ([1, 0], [1], None, "A has 2 items and B has 1"),
        ([1, float("nan")], [1, 0], None, "A: the score of item 1 is nan"),
        ([1, 0], [1, float("inf")], None, "B: the score of item 1"),
        ([1, 0], [1, 0], ["g"], "1 groups were given for 2 items"),
    ],
)
def test_bad_scores_are_refused(a: list[float], b: list[float], group: list[str] | None, says: str) -> None:
    with pytest.raises(DataError, match=says):
        stats.difference(a, b, group)


def test_verdicts() -> None:
    clear = stats.difference(*vectors(5, 40, 400, 55))
    assert stats.verdict(clear) == "better"
    assert stats.verdict(clear, higher_is_better=False) == "worse"
    assert stats.verdict(replace(clear, p=0.2)) == "inconclusive"  # as Holm may make it
    assert stats.verdict(stats.difference(*vectors(20, 24, 400, 56))) == "inconclusive"
    assert stats.verdict(stats.difference(*vectors(20, 24, 400, 56)), margin=0.03) == "better"
    assert stats.verdict(stats.difference(*vectors(60, 5, 400, 35)), margin=0.01) == "worse"
    assert stats.verdict(stats.difference(*vectors(0, 29, 0, 0))) == "inconclusive"  # n < 30
    assert stats.verdict(stats.difference(*vectors(0, 29, 0, 0)), margin=0.01) == "inconclusive"
    assert not stats.non_inferior(stats.difference(*vectors(0, 29, 0, 0)), 0.01).holds
    with pytest.raises(ConfigError, match="margin"):
        stats.verdict(clear, margin=-0.01)


def test_the_non_inferiority_bound_inverts_its_test() -> None:
    rng = np.random.default_rng(6)
    for only_a, only_b in rng.integers(0, 25, (50, 2)):
        found = stats.difference(*vectors(int(only_a), int(only_b), 150, 20))
        bound = stats.non_inferior(found, 0.0).bound
        assert bound is not None
        assert float(special.ndtr(-score_z(only_a, only_b, found.n, -bound))) == pytest.approx(0.05, abs=1e-6)
        mirrored = stats.non_inferior(stats.difference(*vectors(int(only_b), int(only_a), 150, 20)), 0.0)
        turned = stats.non_inferior(found, 0.0, higher_is_better=False)
        assert turned.bound == pytest.approx(mirrored.bound) and turned.p == pytest.approx(mirrored.p)


def test_score_z_at_no_margin_is_mcnemars_z() -> None:
    assert float(score_z(5, 14, 300, 0.0)) == pytest.approx(9 / math.sqrt(19))
    assert float(score_z(0, 0, 300, 0.0)) == 0


def test_holm() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is an oracle of the dev group")
    rng = np.random.default_rng(7)
    for size in (1, 2, 5, 20):
        p = (rng.random(size) ** 3).tolist()
        assert stats.holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1].tolist())
    assert stats.holm([]) == []
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_power_matches_the_design() -> None:
    assert [round(100 * (stats.detectable(n) or 0), 1) for n in (100, 500, 1000)] == [7.9, 3.5, 2.5]
    rows = [[stats.rows_needed(m, q) for m in (0.01, 0.02, 0.05)] for q in (0.04, 0.08, 0.15)]
    assert rows == [[2472, 618, 99], [4944, 1236, 198], [9270, 2318, 371]]
    assert stats.power_line(500, 0.08) == (
        "n=500, disagreement 8.0%: smallest gain this test set can show is 3.5 points"
    )
    assert "unknown yet, 8.0% assumed" in stats.power_line(500)
    assert stats.power_line(5).endswith("too few rows to show any gain")


def test_no_gain_exceeds_the_disagreement() -> None:
    gain = stats.detectable(50, 0.08)
    assert gain == pytest.approx(7.849 / 50, rel=1e-3)  # 2.8 sqrt(.08/50) = 11.2 points cannot come of 8% disagreement
    assert stats.detectable(50, 0.0) == gain and stats.detectable(7) is None


def test_power_of_a_mean() -> None:
    assert stats.detectable_mean(400, 0.2) == pytest.approx(2.8016 * 0.2 / 20, rel=1e-4)
    assert stats.power_line_mean(400, 0.2, "nats").endswith("0.028 nats")
    for wrong in ({"n": 0}, {"n": 10, "disagreement": 1.2}, {"n": 10, "alpha": 0.0}):
        with pytest.raises(ConfigError):
            stats.detectable(**wrong)  # type: ignore[arg-type]


def test_wilson_and_the_rule_of_three() -> None:
    for successes, n in ((0, 10), (10, 10), (3, 7), (87, 100)):
        oracle = scipy_stats.binomtest(successes, n).proportion_ci(method="wilson")
        found = stats.wilson(successes, n)
        assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)
    assert stats.rule_of_three(500) == 0.006 and stats.rule_of_three(2) == 1.0
    for wrong in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(DataError):
            stats.wilson(*wrong)


def test_mean_interval() -> None:
    values = np.random.default_rng(8).random(30)
    oracle = scipy_stats.ttest_1samp(values, 0).confidence_interval()
    found = stats.mean_interval(values)
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high))
    assert stats.mean_interval([0.5]).low is None
