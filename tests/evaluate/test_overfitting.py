"""Rows learnt by heart: the word follows from the gap, and a model tuned for too long is called what it is."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tiny import review_rows, write_csv

import tuneproof as tp
from tuneproof.evaluate import overfitting as of
from tuneproof.evaluate.curves import chosen, curves
from tuneproof.evaluate.measures import MEASURES
from tuneproof.records import Prediction
from tuneproof.tasks import task

CLASSIFY = task("text-classification").answer


def answered(right: int, of_: int) -> list[Prediction]:
    return [Prediction("a", "a", scores={"correct": float(i < right), "nll": 0.5}) for i in range(of_)]


def losses(per_token: float, count: int) -> list[Prediction]:
    return [Prediction(None, scores={"nll": 8 * (per_token + 0.1 * (i % 5 - 2)), "tokens": 8.0}) for i in range(count)]


@pytest.mark.parametrize(
    ("train", "test", "word"),
    [
        ((200, 200), (120, 200), "overfitted"),
        ((198, 200), (186, 200), "some"),  # an ordinary run on banking77: 6 points
        ((180, 200), (180, 200), "none"),
        ((64, 64), (32, 40), "cannot tell"),  # 20 points, but from 5 to 35
        ((20, 20), (2, 20), "cannot tell"),  # fewer than 30 rows never show anything
    ],
)
def test_the_word_follows_from_the_gap_of_a_share(train: Any, test: Any, word: str) -> None:
    sides = (answered(*train), None), (answered(*test), None)
    found = of.judged(*sides, MEASURES["accuracy"], ("a", "b"))
    assert found["verdict"] == word, found
    assert found["gap"]["value"] == pytest.approx(train[0] / train[1] - test[0] / test[1])
    assert found["gap"]["low"] <= found["gap"]["value"] <= found["gap"]["high"]


def test_no_gap_has_no_sign() -> None:
    sides = (answered(0, 23), None), (answered(0, 23), None)
    assert "-0.0" not in of.judged(*sides, MEASURES["accuracy"], ("a", "b"))["sentence"]


@pytest.mark.parametrize(("train", "word"), [(0.5, "overfitted"), (1.85, "some"), (2.0, "none")])
def test_a_loss_is_judged_by_its_share_of_the_loss_on_test_rows(train: float, word: str) -> None:
    sides = (losses(train, 100), None), (losses(2.0, 100), None)
    found = of.judged(*sides, MEASURES["loss_per_token"], ())
    assert found["verdict"] == word and found["limit"] == pytest.approx(0.5), found
    assert found["gap"]["value"] == pytest.approx(2.0 - train), "positive where the training rows are known better"


def test_a_metric_of_all_rows_together_has_a_gap_as_well() -> None:
    """Entity F1: its interval is a bootstrap of both sides."""

    def rows(right: int) -> list[Prediction]:
        counts = {"entities_right": 1.0, "entities_found": 1.0, "entities_true": 1.0}
        return [Prediction([], [], scores={**counts, "entities_right": float(i < right)}) for i in range(100)]

    found = of.judged((rows(100), None), (rows(50), None), MEASURES["entity_f1"], ())
    assert found["verdict"] == "overfitted" and found["gap"]["value"] == pytest.approx(0.5)
    assert of.judged((rows(97), None), (rows(95), None), MEASURES["entity_f1"], ())["verdict"] in ("none", "some")


def test_the_sample_of_training_rows_is_fixed_by_their_ids() -> None:
    ids = [str(i) for i in range(1000)]
    assert of.sampled(ids, 1000) == list(range(1000)) and of.sampled(ids, 100) == of.sampled(ids, 100)
    assert set(of.sampled(ids, 50)) < set(of.sampled(ids, 100)), "fewer rows are a part of more"
    assert of.sampled([*ids, *(f"{id}-2" for id in ids)], 2000) == list(range(1000)), "a copy tells nothing new"


def test_the_page_says_which_epoch_was_kept_and_that_the_loss_rose() -> None:
    records = [
        {"step": 10 * i, "epoch": i / 2, "validation": {"accuracy": value, "nll": nll, "n": 80}}
        for i, (value, nll) in enumerate([(0.7, 0.9), (0.9, 0.4), (0.85, 0.6), (0.84, 0.8)], start=1)
    ]
    points = [[r["step"], r["validation"]["nll"]] for r in records]
    said = chosen(records, records[1], points, CLASSIFY)
    assert "the one after 1 epoch (step 20, accuracy 90.0%) was best; 2 later ones were worse." in said
    assert "lowest at step 20 (0.400) and rose to 0.800" in said and "by heart" in said
    assert "by heart" not in chosen(records[:2], records[1], points[:2], CLASSIFY)
    later = chosen(records, records[2], points, CLASSIFY)
    assert (
        "was best; the one after 1.5 epochs (step 30, accuracy 85.0%) is not worse by more than a standard error and is"
        in later
    )
    assert "1 later one was worse." in later


def test_the_page_says_that_a_surer_look_was_kept_though_another_has_a_few_more_rows_right() -> None:
    records = [
        {"step": 10 * i, "epoch": i / 2, "validation": {"accuracy": value, "brier": brier, "n": 52}}
        for i, (value, brier) in enumerate([(0.58, 0.56), (0.65, 0.64), (0.62, 0.73), (0.63, 0.71)], start=1)
    ]
    found = curves(records, CLASSIFY, 40)
    assert found["best_step"] == 20 and "2 later ones were worse." in found["chosen"]
    found = curves(
        [*records, {**records[2], "step": 50, "validation": {"accuracy": 0.6, "brier": 0.5, "n": 52}}], CLASSIFY, 50
    )
    assert found["best_step"] == 50
    passed = [{**records[0], "validation": {"accuracy": 0.62, "brier": 0.56, "n": 52}}, *records[1:]]
    said = curves(passed, CLASSIFY, 40)["chosen"]
    assert "the one after 1 epoch (step 20, accuracy 65.0%) was best; the one after 0.5 epochs (step 10" in said
    assert "its probabilities are nearer to the truth (Brier score 0.560 against 0.640), and was kept" in said
    assert said.endswith("3 later ones were worse or less sure.")


def test_a_model_tuned_for_too_long_on_64_rows_is_called_overfitted(tiny_bert: Path, tmp_path: Path) -> None:
    """A third of the labels is wrong, so what 60 epochs learn by heart is no use on new rows; nobody stops it."""
    draw = random.Random(0)
    rows = review_rows(280)
    for row in rows[:72]:
        if draw.random() < 0.33:
            row["label"] = "positive" if row["label"] == "negative" else "negative"
    train, test = write_csv(tmp_path / "train.csv", rows[:72]), write_csv(tmp_path / "test.csv", rows[72:])
    options: dict[str, Any] = {"train_threads": 1, "train_lr": 3e-3, "train_epochs": 60, "train_validate_every": 10_000}
    run = tp.tune(
        train, runs=tmp_path / "runs", data_test=str(test), model_name=str(tiny_bert), check_effect=False, **options
    ).run
    report = json.loads((run.evaluations / "test" / "report.json").read_text())
    found = report["overfitting"]
    assert run.ledger.used["train"] in range(60, 69)
    assert found["verdict"] == "overfitted" and found["gap"]["low"] > 0.15, found["sentence"]
    assert "It is overfitted: " in report["headline"] and found["sentence"] in report["limits"]
    page = run.report.read_text()
    assert "Did it learn by heart?" in page and "knows its training rows by heart" in page
