"""The linear head that tuning has to beat is held back as much as the rows ask for."""

from __future__ import annotations

import numpy as np
import pytest

from tuneproof.evaluate.linear_head import STRENGTHS, fitted, linear_head


def rows(count: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of width 60 in which one direction of three tells the label, more or less."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 3, count)
    vectors = draw.normal(size=(count, 60)).astype(np.float32)
    vectors[np.arange(count), labels] += 1 / noise
    return vectors, labels


@pytest.mark.parametrize(("noise", "count"), [(0.2, 200), (0.2, 3_000), (1.5, 200), (1.5, 3_000)])
def test_as_good_as_the_best_strength(noise: float, count: int) -> None:
    vectors, labels = rows(count, noise, 0)
    unseen, truth = rows(2_000, noise, 1)
    best = max(fitted(vectors, labels, strength).score(unseen, truth) for strength in STRENGTHS)
    assert linear_head(vectors, labels, seed=0).score(unseen, truth) >= best - 0.02


def test_few_noisy_rows_are_held_back() -> None:
    vectors, labels = rows(150, 4.0, 0)
    unseen, truth = rows(2_000, 4.0, 1)
    chosen = linear_head(vectors, labels, seed=0)[-1].C
    assert chosen < 0.1
    assert fitted(vectors, labels, chosen).score(unseen, truth) > fitted(vectors, labels, 1.0).score(unseen, truth)


def test_a_label_of_one_row_and_a_label_that_never_varies_in_a_fold() -> None:
    vectors, labels = rows(40, 0.5, 0)
    labels[0] = 7
    assert linear_head(vectors, labels, seed=0).classes_.tolist() == [0, 1, 2, 7]
    rare = np.arange(40) == 3
    assert linear_head(vectors, rare, seed=0).predict_proba(vectors).shape == (40, 2)


def test_the_same_rows_give_the_same_head() -> None:
    vectors, labels = rows(100, 1.0, 0)
    one, two = (linear_head(vectors, labels.tolist(), seed=3).predict_proba(vectors) for _ in range(2))
    assert np.array_equal(one, two)
