"""A finished run scored again: on another file, by the values of a column, and its cheap baseline kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import chat_rows, review_rows, write_csv, write_jsonl

from tuneproof import cli
from tuneproof.errors import CheckError, ConfigError, DataError, RunError
from tuneproof.evaluate import compare
from tuneproof.pipeline import Again, Quiet, keep_baseline, score_again
from tuneproof.run import Run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def copy(finished: Callable[[str, str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A finished run of the task, to be written into."""

    def make(task: str) -> Path:
        return Path(shutil.copytree(finished(task, "full"), tmp_path / "runs" / "done"))

    return make


def again(run: Path, **asked: Any) -> dict[str, Any]:
    return score_again(run, Again(**asked), view=Quiet())


@pytest.mark.parametrize("task", ["text-classification", "instruction"])
def test_its_own_rows_again_are_the_same_rows(copy, task: str) -> None:
    run = Run.open(copy(task))
    before = (run.evaluations / "test" / "predictions.jsonl").read_bytes()
    scores = run.scores["systems"]
    report = again(run.path)
    assert (run.evaluations / "test" / "predictions.jsonl").read_bytes() == before
    assert report["scores"]["systems"] == scores and report["evaluation"]["id"] == "test"


def test_another_file_is_scored_like_the_test_rows(copy, tmp_path: Path) -> None:
    run = Run.open(copy("text-classification"))
    data = write_csv(tmp_path / "New rows.csv", review_rows(40, seed=5))
    report = again(run.path, data=data)
    id = report["evaluation"]["id"]
    assert id.startswith("new-rows-") and report["evaluation"]["leaked"] == 0
    assert report["scores"]["n"] == 40 and len(report["scores"]["systems"]) == 4
    assert report["scores"]["systems"][0]["kind"] == "tuned"
    for name in ("predictions.jsonl", "report.json", "report.html"):
        assert (run.evaluations / id / name).is_file()
    lines = run.read_lines(f"eval/{id}/predictions.jsonl")
    assert [line["y"] for line in lines] == [row["label"] for row in review_rows(40, seed=5)]
    assert compare(["majority", str(run.path)], evaluation=id)["n"] == 40
    assert "NOT FAIR" not in report["headline"]


def test_columns_of_the_file_become_slices(copy, tmp_path: Path) -> None:
    run = copy("text-classification")
    rows = [{**row, "country": ("x", "y")[index % 3 == 0]} for index, row in enumerate(review_rows(120, seed=5))]
    report = again(run, data=write_csv(tmp_path / "new.csv", rows), slices=("country",), protected="country")
    parts = {(part["column"], part["value"]): part for part in report["slices"]["parts"]}
    assert parts["country", "x"]["n"] == 80 and parts["country", "y"]["n"] == 40
    assert {"label", "length"} <= {column for column, _ in parts}
    assert report["protected"]["groups"] == {"x": 80, "y": 40}
    with pytest.raises(DataError, match=r'no column "county".*"country"'):
        again(run, data=tmp_path / "new.csv", slices=("county",))


def test_slices_of_its_own_rows_come_from_its_file(tiny_bert: Path, tmp_path: Path) -> None:
    import tuneproof as tp

    rows = [{**row, "country": ("x", "y")[index % 2]} for index, row in enumerate(review_rows(60))]
    file = write_csv(tmp_path / "reviews.csv", rows)
    options = {"model_name": str(tiny_bert), "train_threads": 1, "train_epochs": 1}
    run = tp.tune(file, runs=tmp_path / "runs", **options).run
    again(run.path, slices=("country",))
    country = {row["text"]: row["country"] for row in rows}
    lines = {line["id"]: line for line in run.read_lines("eval/test/predictions.jsonl")}
    test = run.splits.test
    assert all(lines[row["id"]]["slices"]["country"] == country[row["text"]] for row in test.rows())
    file.write_text(file.read_text() + "a late lamp,positive,x\n")
    with pytest.raises(RunError, match=r"changed since"):
        again(run.path, slices=("country",))


def test_columns_named_when_tuning_are_kept_and_resumed(tiny_bert: Path, tmp_path: Path) -> None:
    import tuneproof as tp

    rows = [{**row, "country": ("x", "y")[index % 2]} for index, row in enumerate(review_rows(60))]
    file = write_csv(tmp_path / "reviews.csv", rows)
    options: dict[str, Any] = {"model_name": str(tiny_bert), "train_threads": 1, "train_epochs": 1}
    run = tp.tune(file, runs=tmp_path / "runs", evaluate_slices="country", **options).run
    plain = tp.tune(file, runs=tmp_path / "runs", **options).run
    assert set(run.splits.test.columns["slice:country"]) == {"x", "y"}
    assert run.splits.test.columns["id"] == plain.splits.test.columns["id"], "they are no part of a row's content"
    before = (run.evaluations / "test" / "predictions.jsonl").read_text()
    assert '"country": "x"' in before
    shutil.rmtree(run.evaluations)
    run.mark("trained")
    tp.resume(run.path)
    assert (run.evaluations / "test" / "predictions.jsonl").read_text() == before
    for name, words in (("evaluate_slices", "county"), ("evaluate_protected", "county")):
        with pytest.raises(DataError, match=words):
            tp.tune(file, runs=tmp_path / "runs", **{name: "county"}, **options)
    with pytest.raises(ConfigError, match=r"no column is protected"):
        tp.tune(file, runs=tmp_path / "runs", evaluate_favourable="positive", **options)


def test_rows_that_were_trained_on_are_refused(copy, tmp_path: Path) -> None:
    run = Run.open(copy("text-classification"))
    known = run.splits.train.row(0)
    rows = [*review_rows(39, seed=5), {"text": f"  {known['text'].upper()} ", "label": known["label"]}]
    data = write_csv(tmp_path / "new.csv", rows)
    with pytest.raises(CheckError, match=r"line 41: 1 row of 40 also stands, exactly or nearly, in rows .* tuned with"):
        again(run.path, data=data)
    report = again(run.path, data=data, allow_leak=True)
    assert report["evaluation"]["leaked"] == 1 and report["headline"].startswith("NOT FAIR, 1 of these rows")
    assert any("trained on" in limit for limit in report["limits"])
    near = max(run.splits.train.columns["text"], key=len) + "!"
    nearly = write_csv(tmp_path / "near.csv", [*review_rows(39, seed=5), {"text": near + " so", "label": "positive"}])
    with pytest.raises(CheckError, match=r"line 41: 1 row of 40"):
        again(run.path, data=nearly)


def test_files_of_another_task_or_with_other_labels(copy, tmp_path: Path) -> None:
    run = copy("text-classification")
    chats = write_jsonl(tmp_path / "chats.jsonl", chat_rows(30))
    with pytest.raises(DataError, match=r"chats.jsonl: .*the run is for text-classification"):
        again(run, data=chats)
    rows = [*review_rows(20, seed=5), {"text": "what a lamp", "label": "mixed"}]
    with pytest.raises(DataError, match=r'line 22: the label "mixed" is not among the 2'):
        again(run, data=write_csv(tmp_path / "new.csv", rows))
    empty = [*review_rows(20, seed=5), {"text": "what a lamp", "label": ""}]
    with pytest.raises(DataError, match=r"line 22: .*no label"):
        again(run, data=write_csv(tmp_path / "empty.csv", empty))
    with pytest.raises(DataError, match="no file"):
        again(run, data=tmp_path / "none.csv")
    long = [*review_rows(20, seed=5), {"text": "lovely " * 300, "label": "positive"}]
    with pytest.raises(DataError, match=r"longer than 64 tokens"):
        again(run, data=write_csv(tmp_path / "long.csv", long))


def test_a_run_without_a_model(copy) -> None:
    run = Run.open(copy("text-classification"))
    shutil.rmtree(run.model)
    run.mark("decided")
    with pytest.raises(RunError, match=r"no model yet: it is decided.* tuneproof resume"):
        again(run.path)


def test_the_baseline_that_is_kept_says_what_the_report_said(copy, tmp_path: Path) -> None:
    """Three ways to the same answers: in the report, by the kept files, and by the program in a folder elsewhere."""
    from tuneproof.evaluate.saved_tfidf import predict

    run = Run.open(copy("text-classification"))
    folder = keep_baseline(run.path, tmp_path / "cheap")
    texts = list(run.splits.test.columns["text"])
    lines = run.read_lines("eval/test/predictions.jsonl")
    expected = [line["baselines"]["TF-IDF words with a linear classifier"]["pred"] for line in lines]
    assert predict(texts, folder) == expected
    moved = shutil.move(folder, tmp_path / "elsewhere")
    ran = subprocess.run([sys.executable, f"{moved}/predict.py", *texts], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == expected
    assert not [file for file in Path(moved).rglob("*") if file.suffix in (".pkl", ".pickle", ".joblib")]
    with pytest.raises(ConfigError, match="not empty"):
        keep_baseline(run.path, Path(moved))


def test_a_chat_run_has_no_such_baseline(copy, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no TF-IDF baseline"):
        keep_baseline(copy("instruction"), tmp_path / "cheap")


def test_the_commands(copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    run = copy("text-classification")
    rows = [{**row, "country": "x"} for row in review_rows(40, seed=5)]
    data = write_csv(tmp_path / "new.csv", rows)

    def command(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tuneproof", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    code, said = command("eval", run, "--data", data, "--slice", "country")
    assert code == 0 and "Scores on 40 test rows" in said and "report.html" in said
    code, said = command("baseline", run, "--to", tmp_path / "kept")
    assert code == 0 and "predict.py" in said
    assert json.loads((tmp_path / "kept" / "labels.json").read_text()) == ["negative", "positive"]
    code, said = command("eval", run, "--favourable", "positive")
    assert code == 2 and "no column is protected" in said


def test_columns_of_several_files_are_matched_by_file_and_line(tiny_bert: Path, tmp_path: Path) -> None:
    import tuneproof as tp

    rows = [{**row, "country": ("x", "y")[index % 3 == 0]} for index, row in enumerate(review_rows(80))]
    files = [write_csv(tmp_path / "one.csv", rows[:40]), write_csv(tmp_path / "two.csv", rows[40:])]
    options: dict[str, Any] = {"model_name": str(tiny_bert), "train_threads": 1, "train_epochs": 1}
    run = tp.tune(files, runs=tmp_path / "runs", **options).run
    again(run.path, slices=("country",))
    country = {row["text"]: row["country"] for row in rows}
    lines = {line["id"]: line for line in run.read_lines("eval/test/predictions.jsonl")}
    assert all(lines[row["id"]]["slices"]["country"] == country[row["text"]] for row in run.splits.test.rows())
    assert {Path(line["file"]).name for line in lines.values()} == {"one.csv", "two.csv"}
