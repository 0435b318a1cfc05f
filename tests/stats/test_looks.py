"""Which of several looks decides."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tuneproof.stats.looks import latest_best

SHARES = st.lists(st.none() | st.floats(0, 1), max_size=12)


def of(
    values: list[float | None],
    n: int = 494,
    *,
    higher: bool = True,
    share: bool = True,
    errors: list[float | None] | None = None,
) -> int | None:
    return latest_best(values, [n] * len(values), higher=higher, share=share, errors=errors)


def test_of_looks_that_are_alike_the_surer_one_decides() -> None:
    """pubmedqa with too many passes: 52 validation rows, and what it answers on new rows falls from .55 to .46."""
    seen: list[float | None] = [0.5577, 0.5769, 0.6538, 0.6154, 0.6346, 0.6346]
    brier: list[float | None] = [0.5611, 0.6142, 0.6384, 0.7318, 0.7113, 0.6925]
    assert of(seen, 52) == 5 and of(seen, 52, errors=brier) == 2
    assert of(seen, 5, errors=brier) == 0, "with fewer rows all are alike"
    assert of([0.9, 0.95], 15, errors=[0.1, 0.2]) == 0 and of([0.9, 0.95], 5200, errors=[0.1, 0.2]) == 1
    assert of([0.9, 0.9], 52, errors=[None, 0.2]) == 1 and of([0.9, 0.9], 52, errors=[0.1, None]) == 1


def test_the_latest_that_cannot_be_told_from_the_best() -> None:
    banking = [0.6883, 0.8583, 0.8725, 0.9028, 0.9251, 0.9109, 0.9251, 0.9150]
    assert of(banking) == 7  # one standard error is .0118
    assert of(banking, 5000) == 6  # .0037: the last is worse
    assert of([0.9, 0.95, 0.6, 0.6]) == 1  # overfitted, and it can be seen


def test_a_loss_goes_by_the_best_alone() -> None:
    assert of([2.0, 1.5, 1.6], higher=False, share=False) == 1
    assert of([2.0, 1.5, 1.5], higher=False, share=False) == 2


def test_without_a_score_nothing_decides() -> None:
    assert of([]) is None and of([None, None]) is None
    assert of([None, 0.2, None]) == 1


@given(SHARES, st.integers(1, 10_000))
def test_worse_by_at_most_a_standard_error_and_none_later_is_as_good(values: list[float | None], n: int) -> None:
    found = of(values, n)
    known = [value for value in values if value is not None]
    if not known:
        assert found is None
        return
    best = max(known)
    slack = (best * (1 - best) / n) ** 0.5
    assert found is not None and values[found] is not None
    assert values[found] >= best - slack - 1e-12
    assert all(value is None or value < best - slack for value in values[found + 1 :])


@given(SHARES, st.lists(st.none() | st.floats(0, 2), min_size=12, max_size=12), st.integers(1, 500))
def test_looking_on_never_brings_back_an_earlier_look(
    values: list[float | None], errors: list[float | None], n: int
) -> None:
    """What was passed over is gone from the disk: a later look may replace what is kept, never go behind it."""
    found = [of(values[: end + 1], n, errors=errors[: end + 1]) for end in range(len(values))]
    known = [index for index in found if index is not None]
    assert known == sorted(known)
    pairs = zip([None, *found], found, strict=False)
    assert all(index in (end, before) for end, (before, index) in enumerate(pairs))


def test_the_last_of_equal_models_costs_nothing_and_the_luckiest_is_worse_where_they_improve() -> None:
    """Eight looks at 200 rows of a model that rises to .93: the rule's mean true score is above that of the best."""
    draw = random.Random(0)
    truth = [0.70, 0.85, 0.88, 0.90, 0.91, 0.92, 0.925, 0.93]
    by_rule, by_luck = [], []
    for _ in range(2000):
        seen: list[float | None] = [sum(draw.random() < p for _ in range(200)) / 200 for p in truth]
        index = of(seen, 200)
        assert index is not None
        by_rule.append(truth[index])
        by_luck.append(truth[max(range(8), key=lambda at: (seen[at], -at))])
    assert sum(by_rule) / 2000 > sum(by_luck) / 2000 + 0.003
