"""Several labels a row: found as lists or divided by a sign, thresholds by label, scored as sets."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import topic_rows, write_csv, write_jsonl
from tuneproof.config import Data, build
from tuneproof.errors import DataError
from tuneproof.prepare import prepare
from tuneproof.prepare.schema import infer
from tuneproof.records import Schema, Table
from tuneproof.tasks import TASKS, rules
from tuneproof.tasks.multi_label import prediction
from tuneproof.tasks.rows import Unusable
from tuneproof.tasks.several import canonical_labels

ANSWERS = {name: task.answer for name, task in TASKS.items()}
TASK = "multi-label-classification"
FREE = [f"some words of a longer text, number {i}" for i in range(60)]


def table(**values: Sequence[Any]) -> Table:
    full = {name: [value[i % len(value)] for i in range(60)] for name, value in values.items()}
    return Table(full, [*range(60)], "a")


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ({"text": FREE, "labels": [["a"], ["a", "b"], [], ["b"]]}, TASK),
        ({"text": FREE, "topics": ["a;b", "a", "b", "b;c", "c"]}, TASK),
        ({"text": FREE, "label": ["a|b", "a", "b", "b|c", "c|a"]}, TASK),
        ({"text": FREE, "category": ["a, b", "a", "b", "b, c", "c"]}, TASK),
        ({"sentence1": FREE, "sentence2": FREE, "labels": [["a"], ["a", "b"]]}, TASK),
        ({"text": FREE, "category": ["furniture, home", "toys", "food, drink"]}, "text-classification"),
        ({"text": FREE, "label": ["a", "b"]}, "text-classification"),
    ],
)
def test_several_labels_are_told_from_one(values: Any, task: str) -> None:
    assert infer(table(**values), ANSWERS, Data()).task == task


def test_one_label_can_be_asked_for() -> None:
    file = table(text=FREE, label=["a;b", "a", "b", "b;c", "c"])
    assert infer(file, ANSWERS, Data(task="text-classification")).labels == ("a", "a;b", "b", "b;c", "c")
    assert infer(file, ANSWERS, Data(label="label")).task == TASK


@pytest.mark.parametrize(
    ("layout", "value", "found"),
    [
        ("text+lists of labels", ["b", "a", "b", " "], ["a", "b"]),
        ("text+lists of labels", [], []),
        ("text+lists of labels", [1, 2.0], ["1", "2"]),
        ("text+labels divided by ;", "b; a;", ["a", "b"]),
        ("text+labels divided by |", "b;a", ["b;a"]),
        ("text+labels divided by ;", "", "no label"),
        ("text+lists of labels", None, "no label"),
        ("text+lists of labels", [["a"]], "label is a list or an object"),
    ],
)
def test_what_a_row_becomes(layout: str, value: Any, found: Any) -> None:
    schema = Schema(TASK, layout, {"text": "t", "labels": "l"}, (), None, ())
    if isinstance(found, str):
        with pytest.raises(Unusable, match=found):
            canonical_labels({"t": "a text", "l": value}, schema)
    else:
        assert canonical_labels({"t": "a text", "l": value}, schema) == {"text": "a text", "labels": found}


def test_labels_that_never_change_and_unknown_ones_are_refused_with_their_row(tmp_path: Path) -> None:
    same = [{"text": row["text"], "labels": ["a", "b"]} for row in topic_rows(60)]
    with pytest.raises(DataError, match=r"line 1: all 60 usable rows have the same labels"):
        prepare(write_jsonl(tmp_path / "a.jsonl", same), build({}).data, ANSWERS)
    test = topic_rows(90)[60:]
    test[2]["labels"] = "blame;prise"
    asked = build({"data": {"test": str(write_csv(tmp_path / "t.csv", test))}}).data
    with pytest.raises(DataError, match=r't\.csv, line 4: the label "prise" is not among the 3') as caught:
        prepare(write_csv(tmp_path / "b.csv", topic_rows(60)), asked, ANSWERS)
    assert "praise" in (caught.value.hint or "")


def test_thresholds_are_near_the_best_of_each_label() -> None:
    draw = np.random.default_rng(0)
    shares = draw.beta([0.3, 2, 1], [3, 2, 6], (4000, 3))
    truth = draw.random((4000, 3)) < shares
    rule = rules.each_rule(shares[:1000], truth[:1000], ("a", "b", "c"))
    for at, label in enumerate("abc"):
        best = max(rules.f1(shares[:, at] >= t, truth[:, at]) for t in np.linspace(0.02, 0.9, 89))
        assert rules.f1(shares[:, at] >= rules.threshold(rule, label), truth[:, at]) > best - 0.02
    assert rule["micro_f1_after"] >= rule["micro_f1_before"]
    few = rules.each_rule(shares[:100], truth[:100] & [True, True, False], ("a", "b", "c"))
    assert 0 < few["thresholds"]["c"] < 1, "one without rows has that of all together"
    assert rules.threshold({}, "a") == 0.5


def test_sets_are_scored_as_sets() -> None:
    truth = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]], dtype=bool)
    said = np.array([[1, 1, 1], [0, 0, 0], [0, 0, 0]], dtype=bool)
    found = [prediction("abc", s, t, np.full(3, 0.5)) for s, t in zip(said, truth, strict=True)]
    scores = TASKS[TASK].answer.score(found)
    assert scores.main == pytest.approx(2 * 2 / (3 + 3))
    assert scores.values["subset_accuracy"] == pytest.approx(1 / 3)
    assert scores.values["nll"] == pytest.approx(3 * np.log(2))
    assert [c.label for c in TASKS[TASK].answer.classes(found)] == ["a", "b", "c"]
    assert found[1].value == [] and found[1].scores["correct"] == 1.0


@pytest.fixture(scope="module")
def run(one_thread: None, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    import tuneproof as tp

    folder = tmp_path_factory.mktemp("several")
    file = write_csv(folder / "topics.csv", topic_rows(1000))
    options: dict[str, Any] = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32"}
    options |= {"data_validation_share": 0.25, "train_lr": 3e-3, "train_epochs": 20, "method_name": "full"}
    return tp.tune(file, runs=folder / "runs", model_name=str(tiny_bert), **options)


def test_from_file_to_page(run: Any) -> None:
    assert run.run.schema.several == ("blame", "praise", "thing")
    report = run.run.read_json("eval/test/report.json")
    assert report["scores"]["primary"] == "micro_f1" and "a micro-F1 of" in report["headline"]
    systems = {system["name"]: system["values"]["micro_f1"] for system in report["scores"]["systems"]}
    assert systems["the tuned model"] > systems["always the most frequent labels"] + 0.1
    assert [one["label"] for one in report["classes"]] == ["blame", "praise", "thing"]
    assert set(run.run.rule["thresholds"]) == {"blame", "praise", "thing"}
    assert run.report.is_file()


def test_predictions_agree_everywhere(run: Any, tmp_path: Path) -> None:
    from tuneproof.tuned import predict_file

    texts = list(run.run.splits.test.columns["text"])[:40]
    said = run.predict(texts)
    lines = [json.loads(line) for line in (run.run.evaluations / "test/predictions.jsonl").read_text().splitlines()]
    assert [one["labels"] for one in said] == [line["pred"] for line in lines][:40]
    rule = run.run.rule["thresholds"]
    for one in said:
        assert one["labels"] == sorted(name for name, p in one["probabilities"].items() if p >= rule[name])
    file = write_csv(tmp_path / "new.csv", [{"text": text} for text in texts])
    told = [json.loads(line) for line in predict_file(str(run.run.path), file, None)]
    assert [one["probabilities"] for one in told] == [one["probabilities"] for one in said]
    program = """
import json, sys
sys.modules["tuneproof"] = None
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, texts = json.load(sys.stdin)
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
with open(folder + "/calibration.json") as file:
    temperature = json.load(file)["temperature"]
for text in texts:
    with torch.inference_mode():
        shares = (model(**tokenizer(text, return_tensors="pt")).logits[0] / temperature).sigmoid()
    print(json.dumps({model.config.id2label[i]: float(p) for i, p in enumerate(shares)}))
"""
    asked = json.dumps([str(run.model), texts])
    done = subprocess.run([sys.executable, "-c", program], input=asked, capture_output=True, text=True, check=True)
    for one, line in zip(said, done.stdout.splitlines(), strict=True):
        assert one["probabilities"] == pytest.approx(json.loads(line), abs=1e-5)
