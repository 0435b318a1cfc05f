from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.prepare import prepare
from tuneproof.prepare.ledger import changed, version
from tuneproof.prepare.split import names, place, split
from tuneproof.records import Table
from tuneproof.run import Run


def sides(prepared) -> dict[str, str]:
    """text -> the side it is on."""
    return {text: side for side, table in prepared.splits.items() for text in table.columns["text"]}


def test_the_journey_of_a_file(reviews_csv: Path, answers, tmp_path: Path) -> None:
    prepared = prepare(reviews_csv, Data(), answers)
    assert prepared.schema.task == "text-classification" and prepared.schema.labels == ("bad", "good")
    assert prepared.ledger.closes() and sum(prepared.ledger.used.values()) == 60
    assert list(prepared.splits.train.columns) == ["id", "text", "label"]
    assert prepared.manifest["rows"] == 60 and prepared.manifest["data_id"] == version(prepared.splits)
    run = Run.create(tmp_path / "runs", "reviews", {})
    run.write_data(prepared.splits, prepared.schema, prepared.ledger, prepared.manifest)
    assert run.splits.train.columns == prepared.splits.train.columns and run.schema == prepared.schema


def test_a_changed_file_is_noticed(reviews_csv: Path, answers) -> None:
    manifest = prepare(reviews_csv, Data(), answers).manifest
    assert changed(manifest) == []
    reviews_csv.write_text(reviews_csv.read_text() + "one more,good\n")
    assert changed(manifest) == [str(reviews_csv)]
    reviews_csv.unlink()
    assert changed(manifest) == [str(reviews_csv)]


def test_the_same_rows_in_another_order_are_the_same_version(reviews_csv: Path, write, answers) -> None:
    header, *rows = reviews_csv.read_text().splitlines()
    other = write("other.csv", "\n".join([header, *reversed(rows)]) + "\n")
    assert (
        prepare(reviews_csv, Data(), answers).manifest["data_id"] == prepare(other, Data(), answers).manifest["data_id"]
    )


def test_duplicates_leave_and_contradictions_are_told(write, reviews_csv: Path, answers) -> None:
    text = reviews_csv.read_text()
    twice = "This is  the REVIEW number 1 of a product"
    prepared = prepare(write("a.csv", f"{text}{twice},good\n{twice},bad\n"), Data(), answers)
    (drop,) = prepared.ledger.dropped
    assert (drop.reason, drop.rows, drop.lines) == ("exact duplicate", 1, (62,))
    assert any("1 text with different labels (line 3)" in note for note in prepared.ledger.notes)
    assert prepared.ledger.closes()


def test_a_test_file_is_used_as_it_is_and_train_gives_way(write, reviews_csv: Path, answers) -> None:
    shown = "this is the review number 1 of a product,good\n"
    test = write("test.csv", f"text,label\n{shown}{shown}something else entirely,bad\n")
    prepared = prepare(reviews_csv, Data(test=str(test)), answers)
    assert prepared.splits.test.columns["label"] == ["good", "good", "bad"]
    assert len(set(prepared.splits.test.columns["id"])) == 3
    assert [(drop.reason, drop.rows) for drop in prepared.ledger.dropped] == [("also in the test file", 1)]
    assert prepared.ledger.rows_in == {str(reviews_csv): 60, str(test): 3} and prepared.ledger.closes()


def test_whole_numbers_are_one_label_in_both_files(write, answers) -> None:
    train = write("a.jsonl", [{"text": f"some text here {i}", "label": float(i % 2)} for i in range(40)])
    test = write("t.csv", "text,label\nother text,1\nmore text,0.0\n")
    prepared = prepare(train, Data(test=str(test)), answers)
    assert prepared.schema.labels == ("0", "1") and prepared.splits.test.columns["label"] == ["1", "0"]


def test_labels_that_only_look_like_numbers_stay(write, answers) -> None:
    rows = [{"text": f"some text here {i}", "label": ("007", "7.0", "x")[i % 3]} for i in range(60)]
    assert prepare(write("a.jsonl", rows), Data(), answers).schema.labels == ("007", "7.0", "x")


def test_groups_stay_together_and_share_no_text(write, answers) -> None:
    rows = [{"text": f"text number {i % 150} of all", "label": f"x{i % 2}", "who": f"w{i % 31}"} for i in range(300)]
    prepared = prepare(write("a.jsonl", rows), Data(group="who"), answers)
    seen = {side: set(table.columns["group"]) for side, table in prepared.splits.items()}
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["validation"]
    texts = {side: set(table.columns["text"]) for side, table in prepared.splits.items()}
    assert not texts["train"] & texts["test"] and not texts["validation"] & texts["test"]
    assert prepared.ledger.closes()


def test_every_class_is_in_train(write, answers) -> None:
    rows = [{"text": f"a text that is number {i}", "label": f"class {i // 2}"} for i in range(80)]
    prepared = prepare(write("a.jsonl", rows), Data(), answers)
    assert set(prepared.splits.train.columns["label"]) == {f"class {i}" for i in range(40)}


@pytest.mark.parametrize("salt", [f"salt {i}" for i in range(30)])
def test_no_side_is_empty_in_a_small_file(write, answers, salt: str) -> None:
    rows = [{"text": f"a text that is number {i}", "label": f"x{i % 2}"} for i in range(20)]
    prepared = prepare(write("a.jsonl", rows), Data(salt=salt), answers)
    assert min(prepared.ledger.used.values()) >= 1


def test_equal_prompts_are_on_one_side(write, answers) -> None:
    rows = [{"prompt": f"question {i % 50}", "response": f"answer {i}"} for i in range(200)]
    prepared = prepare(write("a.jsonl", rows), Data(), answers)
    asked = {
        side: {messages[0]["content"] for messages in table.columns["messages"]}
        for side, table in prepared.splits.items()
    }
    assert not asked["train"] & asked["test"] and not asked["train"] & asked["validation"]
    assert sum(len(questions) for questions in asked.values()) == 50


def test_shares_are_right_on_average(write, answers) -> None:
    rows = [{"text": f"a text that is number {i}", "label": f"x{i % 4}"} for i in range(4000)]
    prepared = prepare(write("a.jsonl", rows), Data(), answers)
    for label in prepared.schema.labels:
        share = prepared.splits.test.columns["label"].count(label) / 1000
        assert abs(share - 0.2) < 4 * (0.2 * 0.8 / 1000) ** 0.5


def test_places_are_in_the_unit_interval_and_follow_the_salt() -> None:
    assert 0 <= place(7, "a") < 1 and place(7, "a") != place(7, "b")


WORDS = st.sampled_from(["", " ", "a text", "A  text", "another one", "third of them", "\ufb01ne", "fine", "x"])
LABELS = st.sampled_from(["", "yes", "no", " yes ", "?"])
FILES = st.lists(st.tuples(WORDS, LABELS, st.integers(0, 40)), max_size=120)
SETTINGS = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows_of(drawn) -> list[dict[str, str]]:
    return [{"text": f"{word} {n}" if word.strip() else word, "label": label} for word, label, n in drawn]


@SETTINGS
@given(FILES, FILES)
def test_the_ledger_closes_on_every_file(write, answers, train, test) -> None:
    path, other = write("train.jsonl", rows_of(train)), write("test.jsonl", rows_of(test))
    for asked in (Data(max_missing=1.0), Data(max_missing=1.0, test=str(other))):
        try:
            ledger = prepare(path, asked, answers).ledger
        except DataError as error:
            assert ".jsonl" in error.message and error.hint
            continue
        assert ledger.closes() and ledger.rows_in[str(path)] == len(train)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content"]), inner),
    max_leaves=4,
)
KEYS = st.sampled_from(["text", "label", "messages", "prompt", "response", "system", "who"])


@SETTINGS
@given(
    st.lists(st.dictionaries(KEYS, JSON, min_size=1), min_size=1, max_size=6), st.sampled_from([{}, {"group": "who"}])
)
def test_any_types_end_in_a_result_or_a_sentence(write, answers, drawn, group: dict[str, str]) -> None:
    good = [{"text": f"some text {i}", "label": f"x{i % 2}", "who": i} for i in range(40)]
    talk = [
        {"messages": [{"role": "user", "content": f"{i}"}, {"role": "assistant", "content": "y"}]} for i in range(40)
    ]
    for rows in ([*good, *drawn], [*talk, *drawn], drawn):
        try:
            prepared = prepare(write("a.jsonl", rows), Data(max_missing=1.0, **group), answers)
        except DataError as error:
            assert "a.jsonl" in error.message and error.hint
        else:
            assert prepared.ledger.closes()


def table(numbers: list[int]) -> Table:
    return Table(
        {
            "id": [str(n) for n in numbers],
            "text": [f"row {n}" for n in numbers],
            "label": [("a", "b", "c")[n % 3] for n in numbers],
        },
        list(range(len(numbers))),
        "a.csv",
    )


@SETTINGS
@given(st.sets(st.integers(0, 10_000), min_size=60, max_size=90), st.sets(st.integers(0, 10_000), max_size=90))
def test_a_row_never_changes_sides_when_data_is_added(before, added) -> None:
    def divided(numbers) -> dict[str, str]:
        rows = table(sorted(numbers))
        splits, dropped = split(rows, Data(), None, rows.columns["label"])
        assert dropped == []
        return {text: side for side, part in splits.items() for text in part.columns["text"]}

    old, new = divided(before), divided(before | added)
    repaired = {text for text, side in old.items() if side != plain(text)}
    assert {text for text in old if old[text] != new[text]} <= repaired and len(repaired) <= 2


def named(text: str) -> int:
    name: int = names(Table({"text": [text]}, [2], "a.csv"))[0]
    return name


def plain(text: str) -> str:
    """Where the hash alone puts a text, without the repairs for small files."""
    at, data = place(named(text), Data().salt), Data()
    if at < data.test_share:
        return "test"
    return "validation" if at < data.test_share + data.validation_share else "train"


def test_prepared_is_frozen(reviews_csv: Path, answers) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        prepare(reviews_csv, Data(), answers).schema = None  # type: ignore[misc,assignment]
