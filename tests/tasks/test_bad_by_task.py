"""Bad input of each task, by the command line: one sentence, exit 2; or a row, dropped and counted by its reason.

What a file of any task can have wrong is in test_cli.py and prepare/test_bad_input.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import Command, assert_one_sentence
from tiny import (
    chat_rows,
    matching_rows,
    pair_rows,
    question_rows,
    review_rows,
    scored_rows,
    tagged_rows,
    topic_rows,
    write_jsonl,
)

from tuneproof.config import Data
from tuneproof.methods import METHODS, refusal
from tuneproof.prepare import prepare
from tuneproof.tasks import TASKS

pytestmark = pytest.mark.usefixtures("one_thread")

Rows = list[dict[str, Any]]
KINDS = {"tiny_bert": "encoder", "tiny_llama": "decoder", "tiny_t5": "seq2seq"}


def spanned_rows(count: int) -> Rows:
    """Reviews with the place of their thing."""
    found = []
    for row in review_rows(count):
        last = row["text"].rsplit(" ", 1)[1]
        end = len(row["text"])
        found.append({"text": row["text"], "entities": [{"start": end - len(last), "end": end, "label": "thing"}]})
    return found


ROWS: dict[str, Callable[[int], Rows]] = {
    "text-classification": review_rows,
    "instructed-classification": review_rows,
    "multi-label-classification": lambda count: [{**r, "labels": r["labels"].split(";")} for r in topic_rows(count)],
    "text-regression": lambda count: [{**row, "score": float(row["score"])} for row in scored_rows(count)],
    "token-classification": tagged_rows,
    "instructed-extraction": tagged_rows,
    "question-answering": question_rows,
    "instruction": chat_rows,
    "seq2seq": pair_rows,
    "embeddings": matching_rows,
}


@dataclass(frozen=True)
class Bad:
    """What is wrong with a row of a task, and the reason by which such a row is dropped."""

    task: str
    changes: Mapping[str, Any]
    reason: str
    rows: Callable[[int], Rows] | None = None
    many: tuple[str, ...] = ()  # what is said of a file with many of them, if not their line and reason


def said(*messages: tuple[str, str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text, "weight": weight} for role, text, weight in messages]}


SPAN = {"start": 0, "end": 4000, "label": "thing"}
NEGATIVE = said(("user", "hello", None), ("assistant", "you", -0.5))
BAD = {
    "no label": Bad("text-classification", {"label": None}, "no label"),
    "no label for a chat model": Bad("instructed-classification", {"label": " "}, "no label"),
    "labels within labels": Bad("multi-label-classification", {"labels": [["praise"]]}, "label is a list or an object"),
    "a word for a number": Bad(
        "text-regression", {"score": "many"}, "not a number", None, ("no columns for the task", '"score"')
    ),
    "no number": Bad("text-regression", {"score": None}, "no number"),
    "a span outside of the text": Bad(
        "token-classification", {"entities": [SPAN]}, "an entity outside of the text", spanned_rows
    ),
    "a span outside of the text, for a chat model": Bad(
        "instructed-extraction", {"entities": [SPAN]}, "an entity outside of the text", spanned_rows
    ),
    "a tag without a start": Bad(
        "token-classification", {"tokens": ["a", "lamp"], "ner_tags": ["O", "I-thing"]}, "a tag without its start"
    ),
    "a tag without a start, for a chat model": Bad(
        "instructed-extraction", {"tokens": ["a", "lamp"], "ner_tags": ["O", "I-thing"]}, "a tag without its start"
    ),
    "an answer that is not in the context": Bad(
        "question-answering",
        {"answers": [{"text": "nowhere", "answer_start": 0}]},
        "an answer that does not stand where it should",
    ),
    "an answer beyond the context": Bad(
        "question-answering",
        {"answers": [{"text": "great", "answer_start": 9000}]},
        "an answer that does not stand where it should",
    ),
    "a negative weight": Bad("instruction", NEGATIVE, "message weight that is negative or no number"),
    "a weight that is no number": Bad(
        "instruction",
        said(("user", "hello", None), ("assistant", "you", "much")),
        "message weight that is negative or no number",
    ),
    "no target": Bad("seq2seq", {"de": " "}, "empty answer"),
    "no partner": Bad("embeddings", {"positive": None}, "empty text"),
}


def file_of(bad: Bad, folder: Path, worse: int, of: int = 60) -> Path:
    rows = (bad.rows or ROWS[bad.task])(of)
    for index in range(10, 10 + worse):
        rows[index] = {**rows[index], **bad.changes}
    return write_jsonl(folder / "rows.jsonl", rows)


@pytest.mark.parametrize("case", list(BAD))
def test_many_bad_rows_are_refused_in_a_sentence(
    case: str, command: Command, bases: Mapping[str, Path], tmp_path: Path
) -> None:
    bad = BAD[case]
    file = file_of(bad, tmp_path, 30)
    said = command("tune", file, "--task", bad.task, "--model", bases[bad.task])
    words = bad.many or ("rows.jsonl, line 11", "30 of 60", bad.reason, "data.max_missing=0.50")
    assert_one_sentence(said, *words)


@pytest.mark.parametrize("case", list(BAD))
def test_a_bad_row_is_dropped_and_counted(case: str, tmp_path: Path) -> None:
    bad = BAD[case]
    answers = {name: task.answer for name, task in TASKS.items()}
    found = prepare(file_of(bad, tmp_path, 1), Data(task=bad.task), answers)
    assert [(one.reason, one.rows, one.lines) for one in found.ledger.dropped] == [(bad.reason, 1, (11,))]


@pytest.mark.parametrize(
    ("task", "changes", "name"),
    [
        ("text-classification", {"label": "wonderful"}, "wonderful"),
        ("instructed-classification", {"label": "wonderful"}, "wonderful"),
        ("multi-label-classification", {"labels": ["praise", "prise"]}, "prise"),
    ],
)
def test_a_label_that_is_not_in_the_set(
    task: str, changes: dict[str, Any], name: str, command: Command, bases: Mapping[str, Path], tmp_path: Path
) -> None:
    file = write_jsonl(tmp_path / "rows.jsonl", ROWS[task](60))
    test = ROWS[task](90)[60:]
    test[4] |= changes
    other = write_jsonl(tmp_path / "test.jsonl", test)
    said = command("tune", file, "--test", other, "--task", task, "--model", bases[task])
    assert_one_sentence(said, "test.jsonl", "line 5", f'"{name}"')


@pytest.mark.parametrize("task", ["token-classification", "instructed-extraction"])
def test_a_type_of_entity_that_is_not_in_the_set_is_told_and_missed(
    task: str, command: Command, bases: Mapping[str, Path], tmp_path: Path
) -> None:
    """It is no mistake of the row: what one cannot learn is asked of the model nevertheless, and counts as missed."""
    file = write_jsonl(tmp_path / "rows.jsonl", tagged_rows(60))
    unknown = {"tokens": ["Bonn", "lamp"], "ner_tags": ["B-place", "I-place"]}
    other = write_jsonl(tmp_path / "test.jsonl", [*tagged_rows(80)[60:], unknown])
    asked = ("--task", task, "--model", bases[task], "--epochs", 1, "--runs", tmp_path / "runs")
    said = command("tune", file, "--test", other, *asked)
    assert said.code == 0, said.err
    assert '1 type without a train row: "place"' in " ".join((said.out + said.err).split())
    (place,) = (tmp_path / "runs").glob("rows-*/eval/test")
    report = json.loads((place / "report.json").read_text())
    (one,) = [one for one in report["classes"] if one["label"] == "place"]
    assert (one["n"], one["recall"]) == (1, 0.0)
    if task == "token-classification":
        worst = report["rows"]["worst"][0]
        assert (worst["line"], worst["loss"]) == (21, None)


@pytest.mark.parametrize("weight", ["-1", "0", "much"])
def test_a_file_cannot_weigh_less_than_nothing(weight: str, command: Command, tiny_bert: Path, tmp_path: Path) -> None:
    rows = review_rows(80)
    files = [write_jsonl(tmp_path / f"{name}.jsonl", part) for name, part in (("a", rows[:40]), ("b", rows[40:]))]
    said = command("tune", *files, "--model", tiny_bert, "--set", f"data.weights=1,{weight}")
    assert_one_sentence(said, "data.weights", f'"{weight}"', "b.jsonl")


# -- models and methods


@pytest.mark.parametrize("task", list(TASKS))
def test_an_option_that_peft_does_not_know(
    task: str, command: Command, bases: Mapping[str, Path], files: Mapping[str, Path]
) -> None:
    asked = ("--method", "vera", "--set", "peft.options=d_inital = 0.2")
    said = command("tune", files[task], "--task", task, "--model", bases[task], *asked)
    assert_one_sentence(said, '"d_inital"', "vera", 'Did you mean "d_initial"?')


@pytest.mark.parametrize(
    ("task", "model"),
    [(task, name) for task in TASKS for name, kind in KINDS.items() if kind not in TASKS[task].answer.kinds],
)
def test_a_model_that_the_task_cannot_use(
    task: str,
    model: str,
    command: Command,
    files: Mapping[str, Path],
    request: pytest.FixtureRequest,
) -> None:
    folder = request.getfixturevalue(model)
    said = command("tune", files[task], "--task", task, "--model", folder)
    assert_one_sentence(said, f"of the kind {KINDS[model]}; this task needs", "models list")


@pytest.mark.parametrize("task", [task for task in TASKS if refusal("prompt", TASKS[task].answer.auto)])
def test_a_method_that_makes_no_sense(
    task: str, command: Command, bases: Mapping[str, Path], files: Mapping[str, Path]
) -> None:
    said = command("tune", files[task], "--task", task, "--model", bases[task], "--method", "prompt")
    assert "prompt" in METHODS
    assert_one_sentence(said, "method prompt cannot do this task", "puts tokens before the text", "tuneproof methods")
