"""A number per text or pair: told apart from classes, standardised inside, measured in the unit of the file."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import scored_rows, write_csv
from tuneproof.config import Data, build
from tuneproof.errors import DataError, Error
from tuneproof.prepare import prepare
from tuneproof.prepare.schema import infer
from tuneproof.records import Table
from tuneproof.tasks import TASKS

ANSWERS = {name: task.answer for name, task in TASKS.items()}
FREE = [f"some words of a longer text, number {i}" for i in range(200)]
FRACTIONS = [round(i * 0.37 % 5, 2) for i in range(200)]


def table(**values: Sequence[Any]) -> Table:
    return Table(
        {name: [value[i % len(value)] for i in range(200)] for name, value in values.items()}, [*range(200)], "a"
    )


@pytest.mark.parametrize(
    ("values", "task", "told"),
    [
        ({"text": FREE, "score": FRACTIONS}, "text-regression", "is a number to predict"),
        ({"text": FREE, "label": FRACTIONS}, "text-regression", "as classes: --task text-classification"),
        ({"text": FREE, "rating": [0.5, 1, 1.5, 2]}, "text-regression", "4 distinct values"),
        ({"text": FREE, "score": range(101)}, "text-regression", "101 distinct"),
        ({"text": FREE, "stars": [1, 2, 3, 4, 5]}, "text-classification", "the label"),
        ({"text": FREE, "label": range(30)}, "text-classification", "the label"),  # numbers of classes
        ({"text": FREE, "label": ["a", "b"], "score": FRACTIONS}, "text-classification", "the label"),
        ({"sentence1": FREE, "sentence2": FREE, "score": FRACTIONS}, "text-regression", '"sentence1" and "sentence2"'),
        ({"sentence1": FREE, "sentence2": FREE, "label": FRACTIONS}, "text-regression", "to predict"),
        ({"sentence1": FREE, "sentence2": FREE, "label": [0, 1, 2]}, "text-classification", "pair"),
    ],
)
def test_numbers_and_classes_are_told_apart_with_a_reason(values: Any, task: str, told: str) -> None:
    schema = infer(table(**values), ANSWERS, Data())
    assert schema.task == task and told in schema.reasons[0]
    assert bool(schema.labels) == (task == "text-classification")


@pytest.mark.parametrize(
    ("asked", "task"),
    [
        ({"label": "price"}, "text-regression"),
        ({"label": "age"}, "text-regression"),
        ({"label": "kind"}, "text-classification"),
        ({"label": "price", "task": "text-classification"}, "text-classification"),
        ({"label": "kind", "task": "text-regression"}, "text-regression"),
    ],
)
def test_what_was_asked_for_decides(asked: dict[str, str], task: str) -> None:
    file = table(text=FREE, price=FRACTIONS, age=range(18, 80), kind=[0, 1, 2])
    assert infer(file, ANSWERS, Data(**asked)).task == task


def test_a_price_that_nobody_asked_for_is_not_predicted() -> None:
    with pytest.raises(DataError, match="no task fits"):
        infer(table(text=FREE, price=FRACTIONS), ANSWERS, Data())


def test_words_cannot_be_a_number() -> None:
    with pytest.raises(Error, match="no columns for the task text-regression"):
        infer(table(text=FREE, kind=["a", "b"]), ANSWERS, Data(label="kind", task="text-regression"))


@pytest.mark.parametrize(
    ("value", "reason"), [("", "no number"), ("n/a", "not a number"), ("3,5", "not a number"), ("nan", "not a number")]
)
def test_rows_without_a_number_are_dropped_by_name_and_refused_when_many(
    value: str, reason: str, tmp_path: Path
) -> None:
    rows = scored_rows(80)
    rows[3]["score"] = value
    prepared = prepare(write_csv(tmp_path / "a.csv", rows), build({}).data, ANSWERS)
    assert [(drop.reason, drop.lines) for drop in prepared.ledger.dropped] == [(reason, (5,))]
    for row in rows[10:40]:
        row["score"] = value
    with pytest.raises(DataError, match=rf"b\.csv, line 5: 31 of 80 rows .*{reason} 31"):
        prepare(write_csv(tmp_path / "b.csv", rows), build({"data": {"task": "text-regression"}}).data, ANSWERS)


def test_a_number_that_is_not_finite_and_one_number_alone(tmp_path: Path) -> None:
    asked = build({"data": {"task": "text-regression", "label": "score"}}).data
    rows = scored_rows(80)
    rows[0]["score"] = "1e999"
    dropped = prepare(write_csv(tmp_path / "a.csv", rows), asked, ANSWERS).ledger.dropped
    assert [(drop.reason, drop.lines) for drop in dropped] == [("number that is not finite", (2,))]
    same = [{**row, "score": "2.5"} for row in scored_rows(80)]
    with pytest.raises(DataError, match=r"line 2: all 80 usable rows have the number 2\.5"):
        prepare(write_csv(tmp_path / "b.csv", same), asked, ANSWERS)


def test_the_scale_is_that_of_the_training_rows(tmp_path: Path) -> None:
    prepared = prepare(write_csv(tmp_path / "a.csv", scored_rows(80)), build({}).data, ANSWERS)
    numbers = np.array(prepared.splits.train.columns["target"])
    assert prepared.schema.scale == pytest.approx((numbers.mean(), numbers.std()))
    assert prepared.schema.outputs == 1


# -- a whole run


@pytest.fixture(scope="module")
def run(one_thread: None, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    import tuneproof as tp

    folder = tmp_path_factory.mktemp("numbers")
    file = write_csv(
        folder / "scored.csv", [{**row, "score": str(1000 * float(row["score"]))} for row in scored_rows(240)]
    )
    options = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32"}
    return tp.tune(file, runs=folder / "runs", model_name=str(tiny_bert), train_lr=1e-3, train_epochs=30, **options)


def test_it_learns_numbers_far_from_zero_and_says_how_far_off_it_is(run: Any) -> None:
    report = run.run.read_json("eval/test/report.json")
    systems = {system["name"]: system["values"] for system in report["scores"]["systems"]}
    assert systems["the tuned model"]["mae"] < 0.5 * systems["always the median"]["mae"]
    assert systems["always the mean"]["r2"] <= 0.0 < systems["the tuned model"]["r2"]
    assert "has a mean error of" in report["headline"] and "%" not in report["headline"].split("(")[0]
    assert [one["name"] for one in report["slices"]["parts"] if one.get("column") == "label"] == []
    page = run.report.read_text(encoding="utf-8")
    assert "Mae" in page or "mae" in page


def test_baselines_are_what_they_are_called(run: Any) -> None:
    train, test = (np.array(run.run.splits.__getattribute__(side).columns["target"]) for side in ("train", "test"))
    lines = [json.loads(line) for line in (run.run.evaluations / "test/predictions.jsonl").read_text().splitlines()]
    assert lines[0]["baselines"]["always the mean"]["pred"] == pytest.approx(train.mean())
    assert lines[0]["baselines"]["always the median"]["pred"] == pytest.approx(np.median(train))
    assert [line["y"] for line in lines] == pytest.approx(test.tolist())
    off = [line["scores"]["absolute_error"] for line in lines]
    assert off == pytest.approx([abs(line["pred"] - line["y"]) for line in lines])


def test_the_plain_model_gives_the_same_numbers_with_the_scale_in_its_configuration(run: Any) -> None:
    program = """
import json, sys
sys.modules["tuneproof"] = None
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, texts = json.load(sys.stdin)
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
for text in texts:
    with torch.inference_mode():
        said = float(model(**tokenizer(text, return_tensors="pt")).logits)
    print(said * model.config.target_scale + model.config.target_mean)
"""
    texts = run.run.splits.test.columns["text"][:8]
    asked = json.dumps([str(run.model), texts])
    done = subprocess.run([sys.executable, "-c", program], input=asked, capture_output=True, text=True, check=True)
    ours = [one["number"] for one in run.predict(texts)]
    assert ours == pytest.approx([float(line) for line in done.stdout.split()], rel=1e-5)
    assert "target_scale" in json.loads((run.model / "config.json").read_text())
    card = (run.model / "README.md").read_text(encoding="utf-8")
    assert "# the number: model(**inputs).logits * " in card


def test_compare_and_eval_take_runs_of_numbers(run: Any) -> None:
    from tuneproof.evaluate.compare import compare

    found = compare([str(run.run.path), "median"])
    assert found["metric"] == "mae"


def test_a_pair_with_a_similarity(one_thread: None, tiny_bert: Path, tmp_path: Path) -> None:
    import tuneproof as tp

    draw = random.Random(0)
    rows = []
    for first, second in zip(scored_rows(90), scored_rows(90, seed=1), strict=True):
        near = float(first["score"]) - float(second["score"]) + draw.random() / 10
        rows.append({"sentence1": first["text"], "sentence2": second["text"], "similarity": f"{near:.3f}"})
    options = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32", "train_epochs": 1}
    run = tp.tune(write_csv(tmp_path / "a.csv", rows), runs=tmp_path / "runs", model_name=str(tiny_bert), **options)
    assert run.run.schema.layout == "pair+number"
    assert isinstance(run.predict([{"text": "a lamp", "second": "the lamp"}])[0]["number"], float)
