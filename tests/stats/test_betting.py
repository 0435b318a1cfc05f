"""The bet on harm seldom wins where there is none, however often one looks, and soon where there is some."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy.stats import fisher_exact

from tuneproof.stats.betting import Harm, excess

LIMIT = math.log(20)


def steps(share: float, margin: float, old: float, new: float, most: int, seed: int) -> int | None:
    """After how many answers the bet first reaches 20; None where it never does."""
    draw = random.Random(seed)
    harm = Harm(share, margin)
    for count in range(1, most + 1):
        on_new = draw.random() < share
        harm.hear(on_new, float(draw.random() < (new if on_new else old)))
        if harm.log_e >= LIMIT:
            return count
    return None


@pytest.mark.parametrize(
    ("share", "margin", "old", "new"),
    [(0.05, 0.0, 0.1, 0.1), (0.5, 0.0, 0.3, 0.3), (0.2, 0.01, 0.05, 0.06), (0.05, 0.05, 0.0, 0.05)],
)
def test_at_most_one_in_twenty_alarms_when_asked_after_every_answer(
    share: float, margin: float, old: float, new: float
) -> None:
    """400 draws of 500 answers at the very edge of no harm; make proof draws more and longer."""
    alarms = sum(steps(share, margin, old, new, 500, seed) is not None for seed in range(400))
    assert alarms / 400 <= 0.05


@pytest.mark.proof
@pytest.mark.parametrize(("share", "margin", "rate"), [(0.05, 0.0, 0.05), (0.5, 0.0, 0.2), (0.1, 0.01, 0.02)])
def test_long_runs_alarm_no_more_often(share: float, margin: float, rate: float) -> None:
    alarms = sum(steps(share, margin, rate, rate + margin, 10_000, seed) is not None for seed in range(400))
    assert alarms / 400 <= 0.05


@pytest.mark.parametrize(
    ("share", "old", "new", "within"), [(0.05, 0.0, 1.0, 200), (0.05, 0.01, 0.2, 3000), (0.5, 0.1, 0.2, 1500)]
)
def test_harm_is_found(share: float, old: float, new: float, within: int) -> None:
    found = [steps(share, 0.01, old, new, within, seed) for seed in range(20)]
    assert sum(count is not None for count in found) >= 18, found


def test_a_share_that_grows_leaves_the_bound_as_it_is() -> None:
    """The share grows after every 100 answers, and the stake is carried on."""
    alarms = 0
    for seed in range(400):
        draw, harm = random.Random(seed), Harm(0.05, 0.01)
        for count in range(500):
            share = (0.05, 0.1, 0.25, 0.5, 0.9)[count // 100]
            if count % 100 == 0:
                harm.divide(share)
            on_new = draw.random() < share
            harm.hear(on_new, float(draw.random() < (0.06 if on_new else 0.05)))
            if harm.log_e >= LIMIT:
                alarms += 1
                break
    assert alarms / 400 <= 0.05


def test_good_answers_of_the_old_side_say_nothing_and_bad_ones_speak_against_harm() -> None:
    harm = Harm(0.1, 0.0)
    harm.hear(False, 0.0)
    assert harm.log_e == 0
    harm.hear(False, 1.0)
    assert harm.log_e < 0


def test_the_stake_is_worth_at_most_one_on_average() -> None:
    """The expected factor of one answer, exactly, where the new side is worse by just the margin."""
    for share, margin, old in [(0.02, 0.3, 0.1), (0.3, 0.0, 0.5), (0.9, 0.01, 0.0)]:
        worth = 0.0
        for on_new, rate in ((True, old + margin), (False, old)):
            for bad, chance in ((1.0, rate), (0.0, 1 - rate)):
                harm = Harm(share, margin)
                harm.hear(on_new, bad)
                worth += (share if on_new else 1 - share) * chance * math.exp(harm.log_e)
        assert worth <= 1 + 1e-12


def test_the_chance_of_an_excess_is_fishers() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        new, old = (int(n) for n in rng.integers(1, 60, 2))
        bad_new, bad_old = int(rng.integers(0, new + 1)), int(rng.integers(0, old + 1))
        table = [[bad_new, new - bad_new], [bad_old, old - bad_old]]
        assert excess(bad_new, new, bad_old, old) == pytest.approx(fisher_exact(table, "greater").pvalue, abs=1e-9)
