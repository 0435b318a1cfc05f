"""Runs that hold out one fold each are shown together on the page of the last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import review_rows, write_csv

import tuneproof as tp
from tuneproof.run import Run

OPTIONS: dict[str, Any] = {"train_threads": 1, "train_lr": 3e-3, "train_epochs": 1, "check_effect": False}


@pytest.fixture(scope="module")
def runs(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Fold 2, fold 0, fold 0 with another seed, fold 0 of another file and fold 0 again, in this order."""
    folder = tmp_path_factory.mktemp("folds")
    file = write_csv(folder / "reviews.csv", review_rows(120))
    other = write_csv(folder / "more.csv", review_rows(90))

    def tuned(path: Path, fold: int, **more: Any) -> Run:
        options = {**OPTIONS, "data_folds": 3, "data_fold": fold, **more}
        return tp.tune(path, runs=folder / "runs", model_name=str(tiny_bert), **options).run

    return [tuned(file, 2), tuned(file, 0), tuned(file, 0, train_seed=1), tuned(other, 0), tuned(file, 0)]


def report(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.evaluations / "test" / "report.json").read_text())
    return found


def test_the_folds_of_one_file_and_one_plan_are_shown_together(runs: list[Run]) -> None:
    first, second, seed, other, last = runs
    assert report(first)["folds"] is report(seed)["folds"] is report(other)["folds"] is None
    assert [one["run"] for one in report(second)["folds"]["runs"]] == [second.id, first.id]
    found = report(last)["folds"]
    assert [(one["fold"], one["run"]) for one in found["runs"]] == [(0, last.id), (2, first.id)]
    values = [run.scores["systems"][0]["values"]["accuracy"] for run in (last, first)]
    assert [one["value"] for one in found["runs"]] == values and found["mean"] == pytest.approx(np.mean(values))
    assert found["spread"] == pytest.approx(np.std(values, ddof=1))
    assert found["sentence"].startswith("2 of 3 folds") and found["sentence"].endswith("fold 1 (--set data.fold=1).")
    page = last.report.read_text()
    assert "Fold by fold" in page and "fold 0 (this run)" in page and first.id in page


def test_together_the_folds_test_every_row_once(runs: list[Run]) -> None:
    tested = [set(run.splits.test.columns["text"]) for run in runs[:2]]
    assert not tested[0] & tested[1] and sum(map(len, tested)) == pytest.approx(80, abs=2)
