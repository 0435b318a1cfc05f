"""Calibration error, proper scores and temperature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from tuneproof import stats
from tuneproof.errors import DataError


def overconfident(n: int, classes: int, factor: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits ``factor`` times those from which the truth was drawn: the right temperature is ``factor``."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, classes))
    shares = special.softmax(logits, axis=1)
    truth = (shares.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return factor * logits, truth


def test_error_of_two_known_bins() -> None:
    confidence, correct = np.repeat([0.6, 0.9], 50), np.r_[np.ones(20), np.zeros(30), np.ones(50)]
    found = stats.calibration_error(confidence, correct, bins=2)
    assert found.value == pytest.approx(0.5 * abs(0.4 - 0.6) + 0.5 * abs(1 - 0.9))
    assert found.low <= found.value <= found.high
    assert found.bins[0] == pytest.approx((0.6, 0.4, 50)) and found.bins[1] == pytest.approx((0.9, 1.0, 50))


def test_the_order_of_items_with_equal_confidence_is_irrelevant() -> None:
    rng = np.random.default_rng(1)
    confidence, correct = rng.choice([0.5, 0.99], 300), (rng.random(300) < 0.7) * 1.0
    order = rng.permutation(300)
    one, other = (
        stats.calibration_error(confidence, correct),
        stats.calibration_error(confidence[order], correct[order]),
    )
    assert one.value == pytest.approx(other.value) and len(one.bins) == 2


def test_bins_have_equal_mass() -> None:
    rng = np.random.default_rng(2)
    found = stats.calibration_error(rng.random(1500), rng.random(1500) < 0.5)
    assert [m for _, _, m in found.bins] == [100] * 15


def test_a_calibrated_model_is_not_called_miscalibrated() -> None:
    rng = np.random.default_rng(3)
    confidence = rng.random(600)
    excluded = sum(
        stats.calibration_error(confidence, rng.random(600) < confidence, seed=i, replicates=200).low > 0
        for i in range(60)
    )
    assert excluded <= 5  # 2.5% expected


def test_proper_scores() -> None:
    probabilities, truth = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]), [0, 1]
    assert stats.nll_items(probabilities, truth) == pytest.approx(-np.log([0.7, 0.1]))
    assert stats.brier_items(probabilities, truth) == pytest.approx([0.09 + 0.04 + 0.01, 0.01 + 0.81 + 0.64])
    assert np.isfinite(stats.nll_items(np.array([[1.0, 0.0]]), [1])).all()


def test_temperature_is_found_and_repairs() -> None:
    logits, truth = overconfident(4000, 10, factor=2.5)
    fitted = stats.fit_temperature(logits, truth)
    assert fitted.accepted and fitted.value == pytest.approx(2.5, rel=0.06) and fitted.nll_after < fitted.nll_before
    errors = []
    for temperature in (1.0, fitted.value):
        shares = stats.apply_temperature(logits, temperature)
        errors.append(stats.calibration_error(shares.max(1), shares.argmax(1) == truth).value)
    assert errors[0] > 0.1 and errors[1] <= 0.03  # the limit of acceptance figure 6


def test_temperature_from_log_probabilities_is_the_same() -> None:
    logits, truth = overconfident(500, 4, factor=2.0)
    other = stats.fit_temperature(special.log_softmax(logits, axis=1), truth)
    assert other.value == pytest.approx(stats.fit_temperature(logits, truth).value, rel=1e-4)


def test_temperature_of_independent_labels() -> None:
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 2, (3000, 3))
    truth = (rng.random((3000, 3)) < special.expit(logits)).astype(int)
    assert stats.fit_temperature(logits / 2, truth).value == pytest.approx(0.5, rel=0.08)
    assert stats.apply_temperature([[0.0, 2.0]], 2.0, independent=True)[0] == pytest.approx(special.expit([0.0, 1.0]))


def test_temperature_is_refused_when_nothing_is_wrong_or_everything_is() -> None:
    sure = np.eye(3)[[0, 1, 2] * 20] * 5
    faultless = stats.fit_temperature(sure, np.array([0, 1, 2] * 20))
    hopeless = stats.fit_temperature(sure, np.array([1, 2, 0] * 20))
    for fitted in (faultless, hopeless):
        assert not fitted.accepted and fitted.value == 1.0 and fitted.nll_after == fitted.nll_before
    assert "no mistake" in faultless.reason and "bound" in hopeless.reason


def test_bad_input() -> None:
    with pytest.raises(DataError, match="confidences between 0 and 1"):
        stats.calibration_error([1.2], [1])
    with pytest.raises(DataError, match=r"outside 0\.\.1"):
        stats.nll_items([[0.5, 0.5]], [2])
    with pytest.raises(DataError, match="Item 0 has a value"):
        stats.fit_temperature([[np.nan, 0.5]], [0])
    with pytest.raises(DataError, match="do not fit"):
        stats.fit_temperature([[0.1, 0.5]], [[1]])
