"""The main job from file to page, on tiny models that can learn what is in the file."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import review_rows, write_csv
from torch.nn import Dropout

import tuneproof as tp
from tuneproof import pipeline
from tuneproof.config import load, names
from tuneproof.errors import Error
from tuneproof.pipeline import planning
from tuneproof.run import Run
from tuneproof.train.loop import Job, State, one_step

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def learnt(one_thread: None, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with enough rows and steps to learn which words are good."""
    folder = tmp_path_factory.mktemp("learnt")
    file = write_csv(folder / "reviews.csv", review_rows(300))
    options = {"train_lr": 3e-3, "train_head_lr_factor": 1, "train_batch_size": 8, "train_epochs": 10}
    return tp.tune(file, runs=folder / "runs", model_name=str(tiny_bert), train_threads=1, **options).run


def test_it_learns_what_is_in_the_file(learnt: Run) -> None:
    systems = {system["kind"] + system["name"]: system["values"] for system in learnt.scores["systems"]}
    assert systems["tunedthe tuned model"]["accuracy"] >= 0.95
    assert systems["baselinealways the most frequent label"]["accuracy"] <= 0.6


def test_every_artifact_is_there_and_the_ledger_closes(learnt: Run) -> None:
    for name in (
        "run.json",
        "plan.json",
        "metrics.jsonl",
        "data/train.parquet",
        "data/validation.parquet",
        "data/test.parquet",
        "data/ledger.json",
        "data/manifest.json",
        "model/config.json",
        "model/model.safetensors",
        "model/tokenizer.json",
        "model/README.md",
        "eval/test/predictions.jsonl",
        "eval/test/report.json",
        "eval/test/report.html",
    ):
        assert (learnt.path / name).is_file(), name
    assert not learnt.checkpoints.exists(), "checkpoints serve to resume; this run is finished"
    ledger = learnt.ledger
    assert ledger.closes() and sum(ledger.rows_in.values()) == 300
    assert {name: len(table) for name, table in learnt.splits.items()} == dict(ledger.used)
    assert learnt.asked["state"] == "scored"


def test_no_row_is_in_two_splits(learnt: Run) -> None:
    ids = [set(table.columns["id"]) for _, table in learnt.splits.items()]
    assert sum(map(len, ids)) == len(set().union(*ids)) == 300


def test_every_setting_has_a_reason(learnt: Run) -> None:
    plan = learnt.plan
    for name, setting in plan["settings"].items():
        assert name in names() and setting["reason"] and setting["by"] in ("you", "rule", "default", "measured")
    assert {name for name, setting in plan["settings"].items() if setting["by"] == "you"} == {
        "model.name",
        "train.threads",
        "train.lr",
        "train.head_lr_factor",
        "train.batch_size",
        "train.epochs",
    }


def test_the_checkpoint_that_the_page_names_is_the_result(learnt: Run) -> None:
    """The scores of the saved model on the validation rows are those that were logged for it."""
    from tuneproof.predict import Predictor, predict_examples

    logged = {line["step"]: line["validation"] for line in learnt.metrics() if "validation" in line}
    best = logged[json.loads((learnt.evaluations / "test" / "report.json").read_text())["curves"]["best_step"]]
    most = max(scores["accuracy"] for scores in logged.values())
    assert best["accuracy"] >= most - (most * (1 - most) / best["n"]) ** 0.5
    predictor = Predictor.open(learnt)
    rows = predictor.answer.labelled(list(learnt.splits.validation.rows()), learnt.schema)
    examples = [predictor.answer.example(row, predictor.encoder) for row in rows]
    held_out = examples[: learnt.config.evaluate.validation_rows]
    said = predict_examples(
        predictor.model, predictor.answer, predictor.encoder, held_out, learnt.config.model.precision
    )
    scores = predictor.answer.score(said).values
    assert scores["accuracy"] == best["accuracy"]
    assert scores["nll"] == pytest.approx(best["nll"], abs=1e-6)


def test_the_page_is_one_file_that_needs_nothing_else(learnt: Run) -> None:
    page = learnt.report.read_text(encoding="utf-8")
    loaded = re.findall(r"""<(?:script|link|img|iframe)[^>]*\s(?:src|href)\s*=\s*["']([^"']+)""", page)
    assert not [place for place in loaded if not place.startswith("data:")]
    assert "@import" not in page and "url(http" not in page
    assert learnt.id in page


def test_metrics_are_what_was_promised_to_whoever_tails_them(learnt: Run) -> None:
    lines = learnt.metrics()
    assert [line["step"] for line in lines] == sorted({line["step"] for line in lines})
    assert lines[-1]["step"] == learnt.plan["cost"]["steps"] or "validation" in lines[-1]
    for line in lines:
        assert {"stage", "step", "steps", "epoch", "loss", "lr", "rows", "tokens", "seconds"} <= line.keys()
    rows = learnt.plan["config"]["train"]["batch_size"]
    assert 0 < lines[0]["rows"] <= lines[0]["step"] * rows  # the last batch of an epoch may be smaller


def test_the_same_command_twice_is_the_same_model(reviews: Path, tiny_bert: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"model_name": str(tiny_bert), "train_threads": 1, "model_precision": "fp32"}
    runs = [tp.tune(reviews, runs=tmp_path / "runs", **options).run for _ in range(2)]
    sums = [hashlib.sha256((run.model / "model.safetensors").read_bytes()).hexdigest() for run in runs]
    losses = [[line["loss"] for line in run.metrics()] for run in runs]
    assert sums[0] == sums[1] and losses[0] == losses[1]
    other = tp.tune(reviews, runs=tmp_path / "runs", **options, train_seed=1).run
    assert hashlib.sha256((other.model / "model.safetensors").read_bytes()).hexdigest() != sums[0]


def test_an_own_test_file_is_used_as_it_is(reviews: Path, tiny_bert: Path, tmp_path: Path) -> None:
    test = write_csv(tmp_path / "test.csv", review_rows(30, seed=7))
    run = tp.tune(
        reviews, runs=tmp_path / "runs", model_name=str(tiny_bert), train_threads=1, data_test=str(test), train_epochs=1
    ).run
    table = run.splits.test
    assert len(table) == 30 and table.source == str(test)
    assert list(table.columns["text"]) == [row["text"] for row in review_rows(30, seed=7)]


# -- each stage is skipped when its artifact is complete: the run directory is the interface


CUTS = {
    "after preparing": ["plan.json", "metrics.jsonl", "ckpt", "model", "eval"],
    "after planning": ["metrics.jsonl", "ckpt", "model", "eval"],
    "after training": ["eval"],
    "in scoring": ["eval/test/report.json", "eval/test/report.html"],
    "in preparing": ["data/manifest.json", "plan.json", "metrics.jsonl", "ckpt", "model", "eval"],
}


@pytest.mark.parametrize("cut", list(CUTS))
@pytest.mark.parametrize("task", ["text-classification", "instruction"])
def test_resuming_from_any_stage_ends_as_the_whole_run(finished, tmp_path: Path, task: str, cut: str) -> None:
    whole = Run.open(finished(task, "full"))
    shutil.copytree(whole.path, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    for name in CUTS[cut]:
        path = run.path / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    run.mark("decided")
    pipeline.resume(run.path, view=pipeline.Quiet())
    assert (run.model / "model.safetensors").read_bytes() == (whole.model / "model.safetensors").read_bytes()
    assert [line["loss"] for line in run.metrics()] == [line["loss"] for line in whole.metrics()]
    both = [(r.evaluations / "test" / "predictions.jsonl").read_text() for r in (run, whole)]
    assert both[0] == both[1]
    values = [[(s["name"], s["values"]) for s in r.scores["systems"]] for r in (run, whole)]
    assert values[0] == values[1]


def test_the_answers_of_both_models_stand_side_by_side(finished) -> None:
    run = Run.open(finished("instruction", "full"))
    report = run.read_json("eval/test/report.json")
    assert len(report["answers"]) == 2
    for answer in report["answers"]:
        assert {"prompt", "truth", "base", "tuned", "base_stopped", "tuned_stopped"} <= answer.keys()
    assert report["written"]["n"] == 2 and "ROUGE-L" in (run.evaluations / "test" / "report.html").read_text()


def test_plan_leaves_nothing_behind(reviews: Path, tiny_bert: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = tp.plan(reviews, model_name=str(tiny_bert), train_threads=1)
    assert list(tmp_path.iterdir()) == []
    assert made["cost"]["steps"] > 0 and made["cost"]["memory_gib"] > 0 and made["power"]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_a_plan_measures_is_training(reviews: Path, tiny_bert: Path, method: str, monkeypatch) -> None:
    """Dropout takes memory and time: the steps that are measured have it, also after a prediction was measured."""
    steps = []

    def seen(state: State, job: Job, micros: list[list[int]]) -> None:
        drops = [module.training for module in state.model.modules() if isinstance(module, Dropout) and module.p]
        steps.append(sum(drops))
        one_step(state, job, micros)

    monkeypatch.setattr(planning, "one_step", seen)
    tp.plan(reviews, model_name=str(tiny_bert), method_name=method, train_threads=1)
    assert len(steps) >= 3 and steps[0] >= 4 and len(set(steps)) == 1  # adapters leave a frozen embedding without


def test_a_budget_of_minutes_means_fewer_steps(reviews: Path, tiny_bert: Path) -> None:
    made = tp.plan(reviews, model_name=str(tiny_bert), train_threads=1, train_epochs=900, train_minutes=0.02)
    setting = made["settings"]["train.epochs"]
    assert setting["by"] == "measured" and setting["value"] < 900 and "allow" in setting["reason"]
    assert made["cost"]["train_minutes"] <= 0.02


def test_errors_leave_the_file_and_earlier_runs_alone(reviews: Path, tiny_bert: Path, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    first = tp.tune(reviews, runs=root, model_name=str(tiny_bert), train_threads=1, train_epochs=1).run
    before = {path: path.read_bytes() for path in first.path.rglob("*") if path.is_file()}
    with pytest.raises(Error):
        pipeline.tune(str(reviews), load(None, {"data.label": "nope"}), runs=root, view=pipeline.Quiet())
    assert {path: path.read_bytes() for path in before} == before
