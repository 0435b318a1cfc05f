"""Scores on parts of the rows: who is in which part, what is suppressed, what may be said, and unequal treatment."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from tuneproof.errors import ConfigError, DataError
from tuneproof.evaluate.fairness import fairness
from tuneproof.evaluate.measures import MEASURES, Item, Pairs
from tuneproof.evaluate.slices import gate, report_slices, script, slice_names
from tuneproof.records import Prediction, Table
from tuneproof.stats import wilson
from tuneproof.tasks import kept


def said(right: list[int], tokens: list[int] | None = None) -> list[Prediction]:
    lengths = tokens or [7] * len(right)
    return [
        Prediction("a" if hit else "b", "a", 0.9, {}, {"correct": float(hit)}, tokens_in=n)
        for hit, n in zip(right, lengths, strict=True)
    ]


def rows(n: int, **columns: list[str]) -> Table:
    return Table({"id": [str(i) for i in range(n)], **columns}, list(range(n)), "t.csv")


# -- ways to divide the rows


def test_lengths_are_thirds_and_equal_lengths_stay_together() -> None:
    lengths = [5] * 30 + [10] * 30 + list(range(20, 50))
    names = slice_names(rows(90), said([1] * 90, lengths), ["x"] * 90, False)["length"]
    expected = ["short (up to 5 tokens)", "medium (6 to 10 tokens)", "long (over 10 tokens)"]
    assert names == [name for name in expected for _ in range(30)]
    tied = slice_names(rows(90), said([1] * 90, [5] * 50 + [9] * 40), ["x"] * 90, False)["length"]
    assert len(set(tied[:50])) == 1 and len(set(tied[50:])) == 1 and tied[0] != tied[50]
    assert "length" not in slice_names(rows(9), said([1] * 9), ["x"] * 9, False), "one part is no division"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Arrived broken", "latin"), ("Пришло сломанным", "cyrillic"), ("到货时坏了", "cjk"), ("وصل مكسورا", "arabic"),
        ("टूटा हुआ आया", "devanagari"), ("x Пришло сломанным", "cyrillic"), ("12 + 3 !", "none"), ("", "none"),
    ],
)  # fmt: skip
def test_script_is_that_of_most_letters(text: str, name: str) -> None:
    assert script(text) == name


def test_columns_files_times_and_labels_divide_as_well() -> None:
    table = Table(
        {
            "id": [str(i) for i in range(90)],
            "slice:country": ["x", "y"] * 45,
            "time": [f"2024-{1 + i // 30:02d}-{1 + i % 30:02d}T00:00:00.000000" for i in range(90)],
        },
        list(range(90)),
        "t.csv",
        ["one.csv"] * 40 + ["two.csv"] * 50,
    )
    found = slice_names(table, said([1, 0] * 45), ["x"] * 90, True)
    assert found["country"] == ["x", "y"] * 45 and found["file"][39:41] == ["one.csv", "two.csv"]
    assert len(set(found["time"])) == 3 and found["time"][0].startswith("2024-01-01 to ")
    assert "label" not in found, "all truths are a"


def test_kept_columns_are_matched_by_file_and_line() -> None:
    raw = Table({"text": ["p", "q", "r"], "c": [" 1", None, "3 "]}, [2, 3, 2], "both", ["a.csv", "a.csv", "b.csv"])
    used = Table({"id": ["z", "y"]}, [2, 3], "both", ["b.csv", "a.csv"])
    assert kept.attach(used, raw, ["c"]).columns["slice:c"] == ["3", "(empty)"]
    assert kept.attach(used, raw, []) is used
    with pytest.raises(DataError, match=r'no column "d".*"text", "c"'):
        kept.attach(used, raw, ["d"])


# -- what is told of a part


def test_parts_by_size() -> None:
    """29 rows are suppressed, 99 cannot tell, 100 can."""
    names = {"c": ["a"] * 29 + ["b"] * 99 + ["c"] * 100}
    found = report_slices(names, said([1] * 228), said([0] * 228), None, MEASURES["accuracy"])
    parts = {part["value"]: part for part in found["parts"]}
    assert found["suppressed"] == 1 and parts.keys() == {"b", "c"}
    assert parts["b"]["verdict"] == "cannot tell" and parts["b"]["p_holm"] is None
    assert parts["c"]["verdict"] == "better" and parts["c"]["p_holm"] <= 0.05
    assert parts["b"]["score"] == 1.0 and parts["b"]["interval"] == [wilson(99, 99).low, 1.0]


def test_a_part_where_the_model_is_worse_is_found_among_many() -> None:
    draw = random.Random(0)
    names = {"c": [f"part {i // 200}" for i in range(2000)]}
    base = [int(draw.random() < 0.8) for _ in range(2000)]
    tuned = [int(draw.random() < (0.5 if i < 200 else 0.8)) for i in range(2000)]
    found = report_slices(names, said(tuned), said(base), None, MEASURES["accuracy"])
    verdicts = {part["value"]: part["verdict"] for part in found["parts"]}
    assert verdicts.pop("part 0") == "worse" and set(verdicts.values()) == {"inconclusive"}


def test_holm_keeps_twenty_equal_parts_quiet() -> None:
    """Over 40 files of 20 parts without any difference, hardly one has a verdict in any part."""
    claims = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        both = rng.random((2, 2000)) < 0.8
        names = {"c": [str(i // 100) for i in range(2000)]}
        found = report_slices(
            names, said(list(both[0].astype(int))), said(list(both[1].astype(int))), None, MEASURES["accuracy"]
        )
        claims += any(part["verdict"] != "inconclusive" for part in found["parts"])
    assert claims <= 5  # 2 expected at a family error of 5%


# -- what the gate asks of each part


def gated(rng: np.random.Generator, parts: int, rows: int, worse: float = 0.0) -> list[dict[str, Any]]:
    """Parts of two models that differ on 14% of the rows; the first part of the second is worse by so much."""
    sides: tuple[list[Item], list[Item]] = ([], [])
    for part in range(parts):
        only_b = (0.14 - (worse if part == 0 else 0.0)) / 2
        kind = rng.choice(4, size=rows, p=[0.7, 0.14 - only_b, only_b, 0.16])
        for side, right in zip(sides, ((kind < 2), (kind == 0) | (kind == 2)), strict=True):
            side += [Item("", "", {"correct": float(one)}) for one in right]
    names = [{"c": str(index // rows)} for index in range(parts * rows)]
    return gate(Pairs(*sides, None, ()), names, MEASURES["accuracy"])


@pytest.mark.parametrize(("parts", "draws"), [(3, 600), (10, 200)])
def test_equal_models_seldom_fail_in_any_part(parts: int, draws: int) -> None:
    """At most 3 of 100 (and the noise of so many draws); each part by itself failed in 7 and in 21 of 100."""
    rng = np.random.default_rng(parts)
    found = [gated(rng, parts, 130) for _ in range(draws)]
    rejected = sum(any(part["fails"] for part in one) for one in found)
    alone = sum(
        any(not p["holds"] and p["difference"]["p"] <= 0.05 and p["difference"]["high"] < 0 for p in one)
        for one in found
    )
    assert rejected <= 0.03 * draws + 2 * (0.03 * 0.97 * draws) ** 0.5, rejected
    assert alone >= 0.05 * draws, alone


def test_a_part_that_is_worse_fails_among_others_and_never_holds() -> None:
    """Ten points in one part of three with 130 rows: found in about 79 of 100 cases, and in the others not told."""
    rng = np.random.default_rng(5)
    first = [gated(rng, 3, 130, worse=0.10)[0] for _ in range(200)]
    assert sum(part["fails"] for part in first) >= 130
    assert sum(part["holds"] for part in first) <= 2
    failed = next(part for part in first if part["fails"])
    assert failed["p_holm_worse"] >= failed["difference"]["p"] and "by Holm p = " in failed["sentence"]


def test_one_part_needs_no_correction() -> None:
    (part,) = gated(np.random.default_rng(6), 1, 130, worse=0.13)
    assert part["fails"] and part["p_holm_worse"] == part["difference"]["p"] and "Holm" not in part["sentence"]


# -- groups of people


def decisions(per_group: dict[str, tuple[int, int, int, int]]) -> tuple[list[str], list[Prediction]]:
    """For each group: right yes, missed yes, wrong yes, right no."""
    groups, found = [], []
    for group, counts in per_group.items():
        for n, (truth, value) in zip(counts, (("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no")), strict=True):
            groups += [group] * n
            found += [Prediction(value, truth) for _ in range(n)]
    return groups, found


def test_rates_are_those_of_the_table() -> None:
    groups, found = decisions({"x": (40, 10, 10, 40), "y": (20, 30, 5, 45)})
    report = fairness(groups, found, "yes", 0)
    (label,) = report["labels"]
    x, y = label["groups"]
    assert (x["selection_rate"]["value"], y["selection_rate"]["value"]) == (0.5, 0.25)
    assert (x["true_positive_rate"]["value"], y["true_positive_rate"]["value"]) == (0.8, 0.4)
    assert (x["false_positive_rate"]["value"], y["false_positive_rate"]["value"]) == (0.2, 0.1)
    between = label["between"]
    for name, gap, ratio in (("selection_rate", 0.25, 0.5), ("true_positive_rate", 0.4, 0.5)):
        assert between[name]["difference"]["value"] == pytest.approx(gap)
        assert between[name]["ratio"]["value"] == pytest.approx(ratio)
        low, high = between[name]["difference"]["low"], between[name]["difference"]["high"]
        assert low < gap < high and between[name]["p"] <= 0.01
    assert 0 < between["selection_rate"]["chance"] < 0.25


def test_equal_treatment_is_not_called_unequal() -> None:
    """The largest difference of groups is never 0; what chance gives stands beside it."""
    low = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        groups = [str(g) for g in rng.integers(0, 4, 600)]
        found = [Prediction("yes" if v else "no", "yes" if t else "no") for v, t in rng.random((600, 2)) < 0.5]
        rate = fairness(groups, found, "yes", seed)["labels"][0]["between"]["selection_rate"]
        assert rate["difference"]["value"] > 0 and rate["chance"] > 0
        low += rate["p"] <= 0.05
    assert low <= 4


def test_small_groups_and_unknown_labels() -> None:
    groups, found = decisions({"x": (40, 10, 10, 40), "y": (20, 20, 0, 20), "z": (5, 5, 5, 5)})
    report = fairness(groups, found, None, 0)
    assert report["suppressed"] == 1 and report["groups"] == {"x": 100, "y": 60}
    assert "60 rows" in report["note"] and {label["label"] for label in report["labels"]} == {"yes", "no"}
    with pytest.raises(ConfigError, match=r'"yess".*"yes"'):
        fairness(groups, found, "yess", 0)
    alone = fairness(groups[:100], found[:100], "yes", 0)
    assert alone["labels"] == [] and "nothing can be compared" in alone["note"]


def test_a_rate_of_nobody_is_null() -> None:
    groups, found = decisions({"x": (20, 20, 0, 0), "y": (10, 10, 10, 10)})
    label = fairness(groups, found, "yes", 0)["labels"][0]
    assert label["groups"][0]["false_positive_rate"] is None
    assert label["between"]["false_positive_rate"]["difference"]["value"] is None
