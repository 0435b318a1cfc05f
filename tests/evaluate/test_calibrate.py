"""Confidence that can be believed: a temperature fitted on rows of its own, kept with the model and always applied."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import review_rows, write_csv

import tuneproof as tp
from tuneproof.evaluate import divided
from tuneproof.evaluate.calibrate import FEWEST, calibrate, calibration_rows, expected_error, logits
from tuneproof.predict import Predictor, predict_examples
from tuneproof.records import Prediction
from tuneproof.run import Run

pytestmark = pytest.mark.usefixtures("one_thread")

NOISE = 0.3  # share of labels that are wrong: a model that learns them by heart is too sure


@pytest.fixture(scope="module")
def sure(one_thread: None, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with enough validation rows, far too sure: labels are noise in part, and only its end is looked at."""
    folder = tmp_path_factory.mktemp("sure")
    rows = review_rows(900)
    draw = np.random.default_rng(0)
    for row in rows:
        if draw.random() < NOISE:
            row["label"] = "negative" if row["label"] == "positive" else "positive"
    options: dict[str, Any] = {"train_lr": 5e-3, "train_head_lr_factor": 1, "train_batch_size": 16, "train_epochs": 12}
    options |= {"data_validation_share": 0.4, "train_validate_every": 100_000, "check_effect": False}
    file = write_csv(folder / "reviews.csv", rows)
    return tp.tune(file, runs=folder / "runs", model_name=str(tiny_bert), train_threads=1, **options).run


def test_half_of_enough_rows_by_hash() -> None:
    ids = [f"row-{i}" for i in range(1000)]
    rows = calibration_rows(ids)
    assert 420 < len(rows) < 580 and calibration_rows(ids) == rows
    shuffled = ids[::-1]
    assert {shuffled[i] for i in calibration_rows(shuffled)} == {ids[i] for i in rows}, "whatever the order"
    assert calibration_rows(ids[: FEWEST - 1]) == []


def test_training_does_not_see_them() -> None:
    ids: list[str] = [f"row-{i}" for i in range(400)]
    seen, spared = divided(ids, list(range(400)), ("a", "b"))  # type: ignore[arg-type]
    assert sorted([*seen, *spared]) == list(range(400)) and spared == calibration_rows(ids)  # type: ignore[type-var]
    assert divided(ids, list(range(400)), ()) == (list(range(400)), [])  # type: ignore[arg-type]


def test_it_is_fitted_on_spared_validation_rows_and_kept(sure: Run) -> None:
    kept = sure.calibration
    assert kept is not None and kept["accepted"] and kept["nll_after"] < kept["nll_before"], kept
    assert kept["n"] == len(calibration_rows(sure.splits.validation.columns["id"]))
    assert sure.temperature == kept["temperature"] > 1.05, "too sure, so it is cooled"


def test_it_improves_confidence_on_rows_it_never_saw(sure: Run) -> None:
    report = json.loads((sure.evaluations / "test" / "report.json").read_text())
    found = report["calibration"]
    assert found["test"]["ece"] < found["before"]["ece"]
    tuned = report["scores"]["systems"][0]["values"]
    assert tuned["nll"] < found["nll_before"] and tuned["ece"] == found["test"]["ece"]
    assert found["test"]["low"] <= found["test"]["ece"] <= found["test"]["high"]
    assert f"{sure.temperature:.6g}" in report["use"][-1]["code"] and "temperature" not in report["headline"]


def test_prediction_applies_it_and_changes_no_label(sure: Run) -> None:
    predictor = Predictor.open(sure)
    raw = dataclasses.replace(predictor, answer=predictor.answer.at_temperature(1.0))
    texts = list(sure.splits.test.columns["text"])[:40]
    warm, cold = raw(texts), predictor(texts)
    assert [p.value for p in warm] == [p.value for p in cold]
    rows = predictor.answer.labelled(list(sure.splits.test.rows())[:40], sure.schema)
    examples = [predictor.answer.example(row, predictor.encoder) for row in rows]
    plain = torch.tensor(logits(predictor, examples))
    for share, expected in ((1.0, warm), (sure.temperature, cold)):
        likely = torch.softmax(plain / share, -1).max(-1).values
        assert [p.confidence for p in expected] == pytest.approx(likely.tolist(), abs=1e-6)


def test_the_records_hold_both_and_equal_a_later_prediction(sure: Run) -> None:
    predictor = Predictor.open(sure)
    rows = predictor.answer.labelled(list(sure.splits.test.rows()), sure.schema)
    examples = [predictor.answer.example(row, predictor.encoder) for row in rows]
    again = predict_examples(predictor.model, predictor.answer, predictor.encoder, examples, "fp32")
    lines = sure.read_lines("eval/test/predictions.jsonl")
    for line, p in zip(lines, again, strict=True):
        assert line["conf"] == pytest.approx(p.confidence, abs=1e-6)
        assert line["scores"]["raw_confidence"] > line["conf"] - 1e-9
        assert dict(p.scores) == pytest.approx(line["scores"], abs=1e-6)


def test_plain_transformers_still_open_the_folder(sure: Run) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    AutoTokenizer.from_pretrained(sure.model)
    model = AutoModelForSequenceClassification.from_pretrained(sure.model).eval()
    assert not any("temperature" in name for name in model.config.to_dict())
    assert (sure.model / "calibration.json").is_file()


def test_it_is_fitted_once(sure: Run, tmp_path: Path) -> None:
    """Another scoring takes the one that is there, and the test rows never decide it."""
    run = Run.open(shutil.copytree(sure.path, tmp_path / "run"))
    run.write_calibration({**(run.calibration or {}), "temperature": 3.0})
    assert calibrate(run, Predictor.open(run), [], lambda line: None).answer.temperature == 3.0  # type: ignore[attr-defined]


def test_too_few_rows_leave_confidences_as_they_are(finished) -> None:
    run = Run.open(finished("text-classification", "full"))
    kept = run.calibration
    assert kept is not None and run.temperature == 1.0 and not kept["accepted"] and "fewer than 200" in kept["reason"]
    report = json.loads((run.evaluations / "test" / "report.json").read_text())
    assert (
        report["calibration"]["before"] is None
        and "raw_confidence" not in (run.read_lines("eval/test/predictions.jsonl")[0]["scores"])
    )
    assert Run.open(finished("instruction", "full")).calibration is None


def test_systems_without_confidence_have_no_calibration_error() -> None:
    silent = [Prediction("a", "a", scores={"correct": 1.0})] * 40
    assert expected_error(silent) is None
    spoken = [Prediction("a", "a" if i % 5 else "b", 0.8, scores={"correct": float(i % 5 > 0)}) for i in range(100)]
    found = expected_error(spoken)
    assert found is not None and found["ece"] == pytest.approx(0.0, abs=1e-9) and found["n"] == 100


def test_brier_of_the_report_is_that_of_the_probabilities(finished) -> None:
    run = Run.open(finished("text-classification", "full"))
    for line in run.read_lines("eval/test/predictions.jsonl"):
        shares = dict(line["p"])
        expected = sum((share - (label == line["y"])) ** 2 for label, share in shares.items())
        assert line["scores"]["brier"] == pytest.approx(expected, abs=1e-5)
