"""Files mixed by weight: what is repeated and left out is counted, the same at every run, and never leaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import chat_rows, review_rows, write_csv, write_jsonl

import tuneproof as tp
from tuneproof.config import Data
from tuneproof.errors import ConfigError, DataError
from tuneproof.pipeline.judging import Again, score_again
from tuneproof.pipeline.view import Quiet
from tuneproof.prepare import Prepared, prepare
from tuneproof.prepare.mixed import mixed, once, weights
from tuneproof.run import Run

NAMES = ("one.jsonl", "other.jsonl")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """60 and 120 dialogues."""
    folder = tmp_path_factory.mktemp("mixed")
    other = [
        {"messages": [{**turn, "content": f"please, {turn['content']}"} for turn in row["messages"]]}
        for row in chat_rows(120, seed=2)
    ]
    return [write_jsonl(folder / NAMES[0], chat_rows(60)), write_jsonl(folder / NAMES[1], other)]


@pytest.fixture
def whole(files: list[Path], answers: Mapping[str, Any]) -> Prepared:
    return prepare(files, Data(), answers, NAMES)


def rows_of(prepared: Prepared) -> Counter[str]:
    train = prepared.splits.train
    return Counter(train.file(index) for index in range(len(train)))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0.05, 4), st.floats(0.05, 4))
def test_the_books_close_and_shares_are_near_the_weights(whole: Prepared, one: float, other: float) -> None:
    before, made = rows_of(whole), mixed(whole, dict(zip(NAMES, (one, other), strict=True)))
    assert made.ledger.closes()
    for name, weight in zip(NAMES, (one, other), strict=True):
        rows = before[name]
        assert int(weight) * rows <= rows_of(made)[name] <= (int(weight) + 1) * rows
        assert abs(rows_of(made)[name] - weight * rows) < 4 * (rows / 4) ** 0.5 + 1  # four deviations of so many coins
    left = sum(drop.rows for drop in made.ledger.dropped) - sum(drop.rows for drop in whole.ledger.dropped)
    assert len(made.splits.train) == len(whole.splits.train) + sum(made.ledger.repeated.values()) - left


def test_whole_weights_are_exact_and_named(whole: Prepared) -> None:
    before, made = rows_of(whole), mixed(whole, {NAMES[0]: 3.0, NAMES[1]: 1.0})
    assert rows_of(made) == {NAMES[0]: 3 * before[NAMES[0]], NAMES[1]: before[NAMES[1]]}
    assert made.ledger.repeated == {NAMES[0]: 2 * before[NAMES[0]]}
    assert len(set(made.splits.train.columns["id"])) == len(made.splits.train)
    assert made.manifest["parents"] == [whole.manifest["data_id"]] != [made.manifest["data_id"]]


def test_what_is_left_out_has_its_reason_and_lines(whole: Prepared) -> None:
    made = mixed(whole, {NAMES[0]: 1.0, NAMES[1]: 0.25})
    (drop,) = [drop for drop in made.ledger.dropped if "counts 0.25 times" in drop.reason]
    assert drop.source == NAMES[1] and drop.rows == rows_of(whole)[NAMES[1]] - rows_of(made)[NAMES[1]] and drop.lines


def test_the_same_rows_are_taken_in_any_order(files: list[Path], answers: Mapping[str, Any], whole: Prepared) -> None:
    by = {NAMES[0]: 1.5, NAMES[1]: 0.5}
    turned = prepare(files[::-1], Data(), answers, NAMES[::-1])
    ids = [sorted(mixed(one, by).splits.train.columns["id"]) for one in (whole, turned)]
    assert ids[0] == ids[1]
    more = mixed(whole, {**by, NAMES[1]: 0.75})  # a larger weight keeps what a smaller one took
    assert set(ids[0]) <= set(more.splits.train.columns["id"])


def test_no_copy_stands_on_another_side(whole: Prepared) -> None:
    made = mixed(whole, {NAMES[0]: 3.5, NAMES[1]: 2.0})
    taught = {str(messages) for messages in made.splits.train.columns["messages"]}
    for side in (made.splits.validation, made.splits.test):
        assert not taught & {str(messages) for messages in side.columns["messages"]}
    for name in ("validation", "test"):
        one, other = getattr(whole.splits, name), getattr(made.splits, name)
        assert list(one.columns["id"]) == list(other.columns["id"])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("2", "1 weight for 2 files"),
        ("2,1,1", "3 weights for 2 files"),
        ("2,-1", '"-1" for other.jsonl is no number above 0'),
        ("0,1", '"0" for one.jsonl'),
        ("2,often", '"often"'),
        ("2,1e9", '"1e9"'),
    ],
)
def test_weights_that_cannot_be_are_refused(asked: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        weights(asked, NAMES)


def test_one_file_has_no_weight() -> None:
    with pytest.raises(ConfigError, match="would have no effect: there is one file"):
        weights("2", NAMES[:1])
    assert weights("2, .5", NAMES) == {NAMES[0]: 2.0, NAMES[1]: 0.5}


def test_weights_that_leave_nothing_are_refused(whole: Prepared) -> None:
    with pytest.raises(DataError, match="leaves no train row"):
        mixed(whole, {NAMES[0]: 1e-9, NAMES[1]: 1e-9})


def test_a_run_trains_on_the_mixture_and_shows_it(
    files: list[Path], tiny_llama: Path, tmp_path: Path, one_thread: None
) -> None:
    options: dict[str, Any] = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32"}
    options |= {"train_epochs": 1, "evaluate_answers": 1, "evaluate_max_new_tokens": 2, "method_name": "full"}
    run = tp.tune(
        [str(file) for file in files], runs=tmp_path, model_name=str(tiny_llama), data_weights="2,0.5", **options
    ).run
    books = Run.open(run.path).ledger
    assert books.closes() and list(books.repeated) == [str(files[0])]
    assert books.used["train"] == len(run.splits.train)
    page = run.report.read_text()
    assert "copies from" in page and "left out, as the file counts 0.5 times" in page
    assert "do not add up" not in page and "copies by the files' weights" in page


# -- tasks without dialogues


def test_a_classifier_trains_on_the_mixture_and_its_baselines_on_each_row_once(
    tiny_bert: Path, tmp_path: Path, one_thread: None
) -> None:
    rows = review_rows(160)
    files = [write_csv(tmp_path / "one.csv", rows[:80]), write_csv(tmp_path / "other.csv", rows[80:])]
    options: dict[str, Any] = {"train_threads": 1, "model_precision": "fp32", "train_epochs": 1, "method_name": "full"}
    run = tp.tune(
        [str(file) for file in files], runs=tmp_path, model_name=str(tiny_bert), data_weights="3,1", **options
    ).run
    train, books = run.splits.train, Run.open(run.path).ledger
    assert books.closes() and books.repeated[str(files[0])] * 3 == 2 * Counter(train.files)[str(files[0])]
    assert run.read_json("data/tokens.json")["splits"]["train"]["rows"] == len(train)
    (majority,) = {line["baselines"]["always the most frequent label"]["pred"] for line in lines(run)}
    taken = [train.columns["label"][index] for index in once(train.columns["id"])]
    assert len(taken) == len(train) - sum(books.repeated.values())
    assert majority == max(sorted(set(taken)), key=taken.count)
    score_again(run.path, Again(), view=Quiet())
    assert len(lines(run)) == len(run.splits.test), "scored again on what was mixed"


def lines(run: Run) -> list[dict[str, Any]]:
    return run.read_lines("eval/test/predictions.jsonl")


def test_a_label_that_nobody_is_left_to_teach_is_refused(tmp_path: Path, answers: Mapping[str, Any]) -> None:
    files = [
        write_csv(tmp_path / "one.csv", review_rows(60)),
        write_csv(tmp_path / "other.csv", [{"text": f"row {n} of it", "label": "odd"} for n in range(20)]),
    ]
    whole = prepare(files, Data(), answers, ("one.csv", "other.csv"))
    with pytest.raises(DataError, match='leaves no train row with "odd"'):
        mixed(whole, {"one.csv": 1.0, "other.csv": 1e-6})


def test_a_type_of_entity_that_nobody_is_left_to_teach_is_refused(
    tagged: Path, tmp_path: Path, answers: Mapping[str, Any]
) -> None:
    other = write_jsonl(
        tmp_path / "other.jsonl", [{"tokens": [f"w{n}", "zinc"], "ner_tags": ["O", "B-METAL"]} for n in range(20)]
    )
    whole = prepare([tagged, other], Data(), answers, ("one", "other"))
    assert len(mixed(whole, {"one": 1.0, "other": 3.0}).splits.train) > len(whole.splits.train)
    with pytest.raises(DataError, match='leaves no train row with "METAL"'):
        mixed(whole, {"one": 1.0, "other": 1e-6})


def test_numbers_are_scaled_by_the_mixed_rows(tmp_path: Path, answers: Mapping[str, Any]) -> None:
    files = [
        write_csv(tmp_path / name, [{"text": f"{name} {n}", "score": base + n / 7} for n in range(40)])
        for name, base in (("low.csv", 0.0), ("high.csv", 100.0))
    ]
    whole = prepare(files, Data(), answers, ("low.csv", "high.csv"))
    made = mixed(whole, {"low.csv": 1.0, "high.csv": 4.0})
    numbers = list(made.splits.train.columns["target"])
    assert made.schema.scale is not None and whole.schema.scale is not None
    assert made.schema.scale[0] == pytest.approx(sum(numbers) / len(numbers))
    assert made.schema.scale[0] > whole.schema.scale[0]
    assert made.manifest["schema"]["scale"] == made.schema.scale
