"""Several trainings on the same prepared data: other seeds, parts of the rows, and going on after a stop."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import review_rows, write_csv

import tuneproof as tp
from tuneproof.config import build
from tuneproof.errors import ConfigError
from tuneproof.evaluate import compare
from tuneproof.evaluate.headline import with_noise
from tuneproof.evaluate.measures import MEASURES, Item
from tuneproof.evaluate.repeated import two_way
from tuneproof.pipeline.repeats import SHARES
from tuneproof.run import Run


@pytest.fixture(scope="module")
def repeated(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("repeated")
    file = write_csv(folder / "reviews.csv", review_rows(240))
    options: dict[str, Any] = {"train_threads": 1, "train_lr": 3e-3, "train_epochs": 2, "check_effect": False}
    options |= {"train_seeds": 3, "evaluate_learning_curve": True}
    return tp.tune(file, runs=folder / "runs", model_name=str(tiny_bert), **options).run


def report(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.evaluations / "test" / "report.json").read_text())
    return found


def test_every_training_leaves_its_scores_on_the_same_rows(repeated: Run) -> None:
    names = ["rows-10", "rows-25", "rows-50", "seed-1", "seed-2"]
    assert sorted(folder.name for folder in (repeated.path / "again").iterdir()) == names
    results = {name: repeated.read_json(f"again/{name}/result.json") for name in names}
    ids = [line["id"] for line in repeated.read_lines("eval/test/predictions.jsonl")]
    for one in results.values():
        assert one["ids"] == ids and len(one["items"]) == len(ids)
    every = repeated.ledger.used["train"]
    assert [results[f"rows-{share}"]["rows"] for share in SHARES] == [every * share // 100 for share in SHARES]
    assert results["seed-1"]["rows"] == every and results["seed-2"]["seed"] == 2
    assert not list(repeated.path.glob("again/*/model")) and not list(repeated.path.glob("again/*/ckpt"))


def test_the_noise_of_training_is_shown_and_is_in_the_interval(repeated: Run) -> None:
    found = report(repeated)
    noise, tuned = found["seeds"], found["scores"]["systems"][0]
    assert [one["seed"] for one in noise["runs"]] == [0, 1, 2]
    assert noise["runs"][0]["value"] == pytest.approx(tuned["values"]["accuracy"])
    assert noise["spread"] == pytest.approx(np.std([one["value"] for one in noise["runs"]], ddof=1))
    assert "two-way bootstrap" in noise["difference"]["method"] and noise["sentence"] in found["limits"]
    assert "Training noise was not measured" not in " ".join(found["limits"])
    page = repeated.report.read_text()
    assert "The noise of training" in page and "Would more data help?" in page


def test_the_learning_curve_answers_the_question(repeated: Run) -> None:
    curve = report(repeated)["learning_curve"]
    assert [point["rows"] for point in curve["points"]][-1] == repeated.ledger.used["train"]
    assert len(curve["points"]) == 4 and len(curve["fitted"]) > 10
    assert curve["law"]["low"] <= curve["law"]["gain"] <= curve["law"]["high"]
    assert re.search(r"With twice as many rows \([\d,]+\) the fitted curve expects .*: .*more rows", curve["sentence"])
    assert curve["verdict"] in ("would help", "would hardly help", "cannot tell")


def test_a_stopped_run_goes_on_where_it_was(repeated: Run, tmp_path: Path) -> None:
    """Two results are gone: resuming trains those two again, to the same scores, and no other."""
    run = Run(shutil.copytree(repeated.path, tmp_path / repeated.id))
    before = {name: run.read_json(f"again/{name}/result.json") for name in ("seed-2", "rows-10", "seed-1")}
    for name in ("seed-2", "rows-10"):
        shutil.rmtree(run.path / "again" / name)
    kept = (run.path / "again/seed-1/result.json").stat().st_mtime_ns
    run.mark("trained")
    tp.resume(run.path)
    after = {name: run.read_json(f"again/{name}/result.json") for name in before}
    assert after == before and (run.path / "again/seed-1/result.json").stat().st_mtime_ns == kept
    assert report(run)["seeds"] == report(repeated)["seeds"]


def test_compare_takes_the_noise_of_training_in(repeated: Run) -> None:
    found = compare(["majority", str(repeated.path)])
    assert "two-way bootstrap" in found["difference"]["method"]
    assert any("3 seeds" in note for note in found["notes"]) and found["verdict"] in ("better", "inconclusive")
    whole = compare(["majority", str(repeated.path)], metric="macro_f1")
    assert "two-way" not in whole["difference"]["method"], "a metric of all rows together has no two-way form"
    assert any("training noise not measured" in note for note in whole["notes"])


def test_a_gain_that_the_noise_explains_is_taken_back() -> None:
    assert with_noise("A gain.", "better", None) == ("A gain.", "better")
    assert with_noise("A gain.", "better", {"verdict": "better"}) == ("A gain.", "better")
    said, word = with_noise("A gain.", "better", {"verdict": "inconclusive"})
    assert word == "inconclusive" and "not worth deploying yet" in said


def test_two_way_interval_is_wider_than_that_of_one_seed() -> None:

    def rows(right: np.ndarray) -> list[Item]:
        return [Item("a", "a", {"correct": float(x)}) for x in right]

    rng = np.random.default_rng(0)
    base = (rng.random(400) < 0.7).astype(float)
    seeds = [(rng.random(400) < share).astype(float) for share in (0.72, 0.8, 0.76)]
    one, three = (
        two_way([rows(base)], [rows(each) for each in tuned], MEASURES["accuracy"], None)
        for tuned in (seeds[:1], seeds)
    )
    assert three.high - three.low > one.high - one.low and three.n == 400


@pytest.mark.parametrize("value", ["0", "21", "x"])
def test_a_number_of_seeds_that_makes_no_sense_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.seeds"):
        build({"train": {"seeds": value}})
