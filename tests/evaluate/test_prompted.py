"""A chat model that is only asked: how its answers are read, which examples it sees, and how it compares."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import review_rows

import tuneproof as tp
from tuneproof.choose import facts
from tuneproof.errors import ConfigError, ModelError
from tuneproof.evaluate.prompted import (
    ROWS,
    SHOTS,
    WORDINGS,
    Asking,
    ask,
    chat_model,
    examples,
    headline,
    prompted,
    read_label,
)
from tuneproof.records import Prediction
from tuneproof.sources import model as source

pytestmark = pytest.mark.usefixtures("one_thread")
LABELS = ("card_arrival", "card", "yes", "no")


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("card_arrival", "card_arrival"), ("Card arrival.", "card_arrival"), (' "CARD"\n', "card"),
        ("The label is: card_arrival", "card_arrival"), ("card, not card arrival", "card"),
        ("It is the card arrival one", "card_arrival"), ("Yes, I think so; no doubt", "yes"),
        ("nothing of that", None), ("notes on cards", None), ("", None), ("знаю", None),
    ],
)  # fmt: skip
def test_an_answer_is_a_label_when_it_says_one(answer: str, label: str | None) -> None:
    assert read_label(answer, LABELS) == label


def asking(n: int = 60) -> Asking:
    rows = [(row["text"], row["label"]) for row in review_rows(n)]
    ids = [f"row-{i}" for i in range(n)]
    return Asking(("negative", "positive"), rows, rows[:8], rows, ids)


def test_examples_are_of_all_labels_and_come_from_training() -> None:
    found = asking()
    shown = examples(found)
    assert len(shown) == SHOTS and set(shown) <= set(found.train) and len(set(shown)) == SHOTS
    assert Counter(label for _, label in shown) == {"negative": 4, "positive": 4}
    assert examples(Asking(found.labels, found.train[::-1], (), (), ())) == shown, "whatever the order of the file"
    many = [(f"text {i}", f"label {i % 20}") for i in range(100)]
    assert len({label for _, label in examples(Asking(tuple({y for _, y in many}), many, (), (), ()))}) == SHOTS


@pytest.fixture(scope="module")
def chat(one_thread: None, tiny_llama: Path) -> Any:
    return chat_model(facts(source(str(tiny_llama), say=lambda line: None)), seed=0, device=torch.device("cpu"))


def test_every_row_gets_an_answer_in_its_place(chat) -> None:
    rows = asking(12).test
    said = ask(chat, WORDINGS[0], ("negative", "positive"), [], rows)
    assert [p.truth for p in said] == [label for _, label in rows]
    assert all(p.scores["correct"] == 0.0 and p.error for p in said if p.value is None), "a failed answer keeps its row"
    alone = ask(chat, WORDINGS[0], ("negative", "positive"), [], rows[3:4])
    assert alone[0] == said[3], "batches do not change an answer"


def test_both_ways_are_compared_on_the_same_rows(chat) -> None:
    found = asking(40)
    tuned = [Prediction(truth, truth, scores={"correct": 1.0}) for _, truth in found.test]
    told = prompted(chat, found, tuned, lambda line: None)
    assert told["rows"] == told["of"] == 40 and told["cut"] == 0
    without, with_ = told["ways"]
    assert without["name"] == "without examples" and without["n"] == 40 and without["wording"] in WORDINGS
    assert len(without["tried"]) == 3 and without["difference"]["n"] == 40
    assert without["difference"]["value"] == pytest.approx(1 - without["score"])
    assert without["verdict"] == "better" and headline(told) == ""
    assert with_["n"] == 0 and "longer than the model can read" in with_["note"], "256 tokens are too few for examples"


def test_no_more_rows_than_two_hundred_are_asked(chat) -> None:
    found = asking(20)
    ids = [f"row-{i}" for i in range(ROWS + 40)]
    many = Asking(found.labels, found.train, found.validation[:1], [("a lamp", "positive")] * len(ids), ids)
    told = prompted(chat, many, [Prediction("x", "y", scores={"correct": 0.0})] * len(ids), lambda line: None)
    assert (told["rows"], told["of"]) == (ROWS, ROWS + 40) and told["ways"][0]["n"] == ROWS


def test_the_headline_says_when_asking_is_better() -> None:
    way = {"name": "with examples", "n": 200, "score": 0.9, "verdict": "worse"}
    told = {"model": "smol", "ways": [{"name": "without examples", "n": 0, "note": "too long"}, way]}
    assert headline(told) == "Asking smol with examples does better: 90.0% of 200 rows."


def test_through_the_whole_program(reviews: Path, tiny_bert: Path, tiny_llama: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"model_name": str(tiny_bert), "train_threads": 1, "train_epochs": 1}
    run = tp.tune(reviews, runs=tmp_path, evaluate_prompted=str(tiny_llama), **options).run
    told = run.read_json("eval/test/report.json")["prompted"]
    assert told["model"] == str(tiny_llama) and told["rows"] == len(run.splits.test)
    with pytest.raises(ModelError, match=r"kind encoder, which cannot be asked"):
        tp.tune(reviews, runs=tmp_path, evaluate_prompted=str(tiny_bert), **options)


def test_a_chat_run_cannot_be_asked_for_labels(dialogues: Path, tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"evaluate.prompted would have no effect"):
        tp.plan(dialogues, model_name=str(tiny_llama), train_threads=1, evaluate_prompted=str(tiny_llama))
