from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneproof.config import Data
from tuneproof.errors import ConfigError, DataError
from tuneproof.prepare.split import folds, names, place, places, split
from tuneproof.records import Splits, Table


def table(rows: list[dict[str, str | None]]) -> Table:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return Table({"id": [str(at) for at in range(len(rows))], **columns}, range(2, len(rows) + 2), "a.csv")


def sides(splits: Splits) -> dict[int, str]:
    return {line: side for side, part in splits.items() for line in part.lines}


def test_a_place_depends_on_the_folded_question_or_the_group_and_on_the_salt() -> None:
    rows = table(
        [
            {"text": "A  Text", "group": None},
            {"text": "a text", "group": None},
            {"text": "a text", "group": "g"},
            {"text": "x", "group": "g"},
            {"text": "g", "group": None},
        ]
    )
    one, same, group, again, other = names(rows)
    assert one == same and group == again and len({one, group, other}) == 3
    assert place(one, "salt") == 0.7984295955851674 and place(one, "another") == 0.6683292002382054


def test_places_are_even_whatever_the_questions_look_like() -> None:
    """Counted in 20 bins: chi-square with 19 degrees of freedom is below 43.8 in all but one of a thousand draws."""
    kinds = (
        [f"question {number}" for number in range(20_000)],
        ["x" * length for length in range(1, 20_001)],
        [f"{number}" for number in range(20_000)],
        [f"the same beginning and {number:06d} the same end" for number in range(20_000)],
    )
    for texts in kinds:
        of = names(table([{"text": text} for text in texts]))
        assert of.n_unique() == len(texts)
        for salt in ("tuneproof", "a", "b"):
            counts, _ = np.histogram(places(of, salt), bins=20, range=(0, 1))
            assert ((counts - 1000) ** 2 / 1000).sum() < 43.8


# -- by time


def dated(days: list[int], **more: list[str | None]) -> Table:
    rows = [
        {
            "time": f"2024-{1 + day // 28:02d}-{1 + day % 28:02d}T00:00:00.000000",
            "text": f"text {at}",
            "label": f"x{at % 2}",
        }
        for at, day in enumerate(days)
    ]
    return table([{**row, **{name: values[at] for name, values in more.items()}} for at, row in enumerate(rows)])


def test_the_newest_rows_are_the_test_and_those_before_them_the_validation() -> None:
    days = [(at * 37) % 100 for at in range(100)]  # every day once, in no order
    found = sides(split(dated(days), Data(time="when"), None, None)[0])
    expected = {at + 2: "test" if day >= 80 else "validation" if day >= 70 else "train" for at, day in enumerate(days)}
    assert found == expected


def test_with_a_test_file_the_newest_rows_are_the_validation() -> None:
    test = table([{"text": "another", "label": "x0"}, {"text": "more", "label": "x1"}])
    splits, _ = split(dated(list(range(100))), Data(time="when"), test, None)
    assert splits.test is test and splits.validation.lines == list(range(92, 102))


DAYS = st.lists(st.tuples(st.integers(0, 30), st.none() | st.sampled_from("abcdefgh")), min_size=20, max_size=80)


@given(DAYS, st.booleans())
def test_ties_groups_and_questions_never_straddle_and_train_is_oldest(
    drawn: list[tuple[int, str | None]], grouped: bool
) -> None:
    rows = dated([day for day, _ in drawn], **({"group": [group for _, group in drawn]} if grouped else {}))
    try:
        splits, dropped = split(rows, Data(time="when"), None, None)
    except DataError as error:
        assert "different times" in error.message and error.hint
        return
    assert dropped == [] and all(len(part) for _, part in splits.items())
    newest: dict[str, str] = {}
    for name, time in zip(names(rows), rows.columns["time"], strict=True):
        newest[name] = max(time, newest.get(name, ""))
    times = {side: {newest[name] for name in names(part)} for side, part in splits.items()}
    assert max(times["train"]) < min(times["validation"]) and max(times["validation"]) < min(times["test"])


def test_a_class_that_is_only_new_is_refused() -> None:
    rows = dated(list(range(40)))
    rows.columns["label"][-1] = "late"  # type: ignore[index]
    with pytest.raises(
        DataError, match=r'labels that no train row has \(divided by the times in "when"\): "late" \(line 41\)'
    ):
        split(rows, Data(time="when"), None, rows.columns["label"])


# -- folds

NAMED = st.lists(st.tuples(st.integers(0, 40), st.sampled_from("xyz")), min_size=12, max_size=120)


@given(NAMED, st.integers(2, 6), st.randoms(use_true_random=False))
def test_folds_keep_names_together_whatever_the_order(drawn, k: int, random) -> None:
    labels = {f"n{number}": label for number, label in drawn}
    rows = [f"n{number}" for number, _ in drawn]
    if len(labels) < k:
        with pytest.raises(DataError, match="cannot be divided"):
            folds(rows, None, k, "s")
        return
    found = dict(zip(rows, folds(rows, [labels[name] for name in rows], k, "s"), strict=True))
    assert set(found.values()) == set(range(k))
    shuffled = random.sample(rows, len(rows))
    again = folds(shuffled, [labels[name] for name in shuffled], k, "s")
    assert again == [found[name] for name in shuffled]


@given(st.lists(st.sampled_from("wxyz"), min_size=5, max_size=150), st.integers(2, 5))
def test_folds_of_single_rows_are_even_and_so_are_their_classes(labels: list[str], k: int) -> None:
    found = folds([f"n{at}" for at in range(len(labels))], labels, k, "s")
    sizes = Counter(found)
    assert max(sizes.values()) - min(sizes[fold] for fold in range(k)) <= 1
    for label in set(labels):
        of_class = Counter(fold for fold, other in zip(found, labels, strict=True) if other == label)
        assert max(of_class.values()) - min(of_class[fold] for fold in range(k)) <= 1


def test_folds_follow_the_salt_and_mixed_groups_are_shared_out() -> None:
    rows = [f"g{at // 10}" for at in range(400)]
    labels = [f"x{(at // 10 + at) % 4}" for at in range(400)]
    found = folds(rows, labels, 5, "s")
    assert set(Counter(found).values()) == {80}
    assert folds(rows, labels, 5, "another salt") != found


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.none() | st.integers(0, 9), st.integers(0, 2)), min_size=20, max_size=80)
)
def test_rows_that_leave_a_side_are_those_that_stand_on_another(drawn) -> None:
    rows = table(
        [
            {"text": f"t{text}", "group": None if group is None else f"g{group}", "label": f"x{label}"}
            for text, group, label in drawn
        ]
    )
    try:
        splits, dropped = split(rows, Data(group="who"), None, None)
    except DataError as error:
        assert error.hint
        return
    found = sides(splits)
    assert len(found) + sum(drop.rows for drop in dropped) == len(rows)
    for name in ("text", "group"):
        held = {side: {value for value in part.columns[name] if value is not None} for side, part in splits.items()}
        assert not held["train"] & held["test"] and not held["train"] & held["validation"]
        assert not held["validation"] & held["test"]


def test_the_folds_of_several_runs_test_every_row_once_and_evenly() -> None:
    rows = table([{"text": f"text {at}", "label": f"x{at % 3}"} for at in range(60)])
    tested: Counter[int] = Counter()
    for fold in range(5):
        splits, dropped = split(rows, Data(folds=5, fold=fold), None, rows.columns["label"])
        found = sides(splits)
        assert dropped == [] and len(found) == 60 and "validation" in found.values()
        assert Counter(splits.test.columns["label"]) == {"x0": 4, "x1": 4, "x2": 4}
        tested.update(splits.test.lines)
    assert tested == dict.fromkeys(range(2, 62), 1)


def test_folds_without_effect_are_refused() -> None:
    rows = table([{"text": f"text {at}", "label": f"x{at % 3}"} for at in range(60)])
    for asked, test in (
        (Data(fold=1), None),
        (Data(folds=5, fold=5), None),
        (Data(folds=1), None),
        (Data(folds=5), rows.take([0])),
        (Data(folds=5, time="when"), None),
    ):
        with pytest.raises(ConfigError):
            split(rows, asked, test, rows.columns["label"])
