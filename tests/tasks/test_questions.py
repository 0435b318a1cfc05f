"""How files write questions, windows that are one row, and answers read back as characters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import FILLER, question_rows, write_jsonl

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.modalities import TextEncoder
from tuneproof.prepare import prepare
from tuneproof.prepare.read import read
from tuneproof.prepare.schema import columns as facts
from tuneproof.records import Generation, Prediction, Schema, Table
from tuneproof.tasks import TASKS, questions
from tuneproof.tasks.question_answering import Asked, _best
from tuneproof.tasks.rows import REASONS, Unusable
from tuneproof.tasks.rules import told

ANSWERS = {name: row.answer for name, row in TASKS.items()}
ANSWER = TASKS["question-answering"].answer
CONTEXT = "Ann left Bonn for Rome. Rome was warm."
FIELDS = {"question": "question", "context": "context", "answers": "answers"}
SCHEMA = Schema("question-answering", "question+context+answers", FIELDS, (), None, ())


def canonical(answers: Any, schema: Schema = SCHEMA, **more: Any) -> dict[str, Any]:
    return questions.canonical({"question": "Where?", "context": CONTEXT, "answers": answers, **more}, schema)


@pytest.mark.parametrize(
    "answers",
    [
        {"text": ["Rome", "Rome"], "answer_start": [18, 24]},
        [{"text": "Rome", "answer_start": 18}, {"text": "Rome", "answer_start": 24, "extra": 1}],
        {"text": ["Rome", "Rome", "Rome"], "answer_start": [18, 24, 18]},
    ],
)
def test_several_answers_are_kept_each_once(answers: Any) -> None:
    row = canonical(answers)
    assert row["answers"] == [{"text": "Rome", "start": 18}, {"text": "Rome", "start": 24}]
    assert row["text"] == f"Where?\n{CONTEXT}" and questions.parts(row) == ("Where?", CONTEXT)


@pytest.mark.parametrize("answers", [{"text": [], "answer_start": []}, [], None, {"text": [""], "answer_start": [0]}])
def test_a_question_may_have_no_answer(answers: Any) -> None:
    assert canonical(answers)["answers"] == []


def test_answers_of_a_table_are_texts_with_starts() -> None:
    fields = {**FIELDS, "answers": "answer", "start": "answer_start", "impossible": "is_impossible"}
    schema = Schema("question-answering", "question+context+answers", fields, (), None, ())
    row = {"question": "Where?", "context": CONTEXT, "answer": "Rome", "answer_start": "18", "is_impossible": "false"}
    assert questions.canonical(row, schema)["answers"] == [{"text": "Rome", "start": 18}]


@pytest.mark.parametrize(
    ("answers", "more", "reason"),
    [
        ({"text": ["Rome"], "answer_start": [17]}, {}, "an answer that does not stand where it should"),
        ({"text": ["Oslo"], "answer_start": [18]}, {}, "an answer that does not stand where it should"),
        ({"text": ["Rome"], "answer_start": [-20]}, {}, "an answer that does not stand where it should"),
        ({"text": ["Rome"], "answer_start": []}, {}, "not one place for each answer"),
        ([{"text": "Rome"}], {}, "an answer without the place where it stands"),
        ({"text": ["Rome"], "answer_start": [18]}, {"context": " "}, "empty text"),
        ({"text": ["Rome"], "answer_start": [18]}, {"question": None}, "empty text"),
    ],
)
def test_answers_that_do_not_stand_there_are_named(answers: Any, more: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unusable) as caught:
        canonical(answers, **more)
    assert caught.value.reason == reason and reason in REASONS


def test_a_contradiction_about_having_an_answer_is_named() -> None:
    schema = Schema("question-answering", "", {**FIELDS, "impossible": "is_impossible"}, (), None, ())
    with pytest.raises(Unusable, match="said to have none"):
        canonical({"text": ["Rome"], "answer_start": [18]}, schema, is_impossible=True)


def test_a_file_with_too_many_of_those_is_refused_by_line(tmp_path: Path) -> None:
    rows = [{"question": f"Where {i}?", "context": CONTEXT, "answers": {"text": ["Rome"], "answer_start": [17 + (i < 5)]}} for i in range(20)]  # fmt: skip  # noqa: E501
    with pytest.raises(DataError) as caught:
        prepare(write_jsonl(tmp_path / "qa.jsonl", rows), Data(), ANSWERS)
    assert "qa.jsonl, line 6: 15 of 20 rows" in caught.value.message
    assert "an answer that does not stand where it should" in caught.value.message


NESTED = {
    "version": "v2.0",
    "data": [
        {
            "title": "A",
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [
                        {"id": "1", "question": "Where?", "answers": [{"text": "Rome", "answer_start": 18}]},
                        {"id": "2", "question": "When?", "answers": [], "is_impossible": True},
                    ],
                },
                {"context": 'It says "question": here.', "qas": [{"id": "3", "question": "What?", "answers": []}]},
            ],
        }
    ],
}


@pytest.mark.parametrize("indent", [None, 1])
def test_nested_squad_is_a_row_per_question(tmp_path: Path, indent: int | None) -> None:
    file = tmp_path / "squad.json"
    file.write_text(json.dumps(NESTED, indent=indent), encoding="utf-8")
    table = read(file)
    assert list(table.columns["id"]) == ["1", "2", "3"] and list(table.columns["title"]) == ["A"] * 3
    assert list(table.columns["answers"]) == [[{"text": "Rome", "answer_start": 18}], [], []]
    text = file.read_text(encoding="utf-8").split("\n")
    assert all('"question": "' in text[line - 1] for line in table.lines)
    guess = ANSWER.recognise(facts(table), Data())
    assert guess is not None and guess.group == "context" and guess.fields["impossible"] == "is_impossible"


def test_questions_about_one_text_stay_together(tmp_path: Path) -> None:
    rows = [
        {"question": f"{n} which word?", "context": row["context"], "answers": row["answers"]}
        for row in question_rows(40)
        for n in range(3)
    ]
    splits = prepare(write_jsonl(tmp_path / "qa.jsonl", rows), Data(), ANSWERS).splits
    sides = [{questions.parts(row)[1] for row in table.rows()} for _, table in splits.items()]
    assert all(sides) and not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


# -- windows


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 300), st.integers(1, 6))
def test_an_answer_is_found_again_wherever_it_stands(tiny_bert: Path, seed: int, words: int, length: int) -> None:
    """Windows cover the whole context, and the tokens of an answer are its characters again."""
    draw = np.random.default_rng(seed)
    text = [FILLER[int(i)] for i in draw.integers(len(FILLER), size=words)]
    first = int(draw.integers(words))
    last = min(words - 1, first + length - 1)
    context = " ".join(text)
    start = len(" ".join(text[:first])) + (first > 0)
    answer = " ".join(text[first : last + 1])
    encoder = encoders.setdefault(tiny_bert, TextEncoder(tiny_bert, 64))
    windows = encoder.windows("which word is great", context, 16)
    covered = {at for window in windows for a, b in window.offsets for at in range(a, b)}
    assert all(len(window.ids) <= 64 for window in windows)
    assert covered == {at for at, letter in enumerate(context) if letter != " "}
    spans = [window.span([{"text": answer, "start": start}]) for window in windows]
    assert any(span != (0, 0) for span in spans)
    for window, (a, b) in zip(windows, spans, strict=True):
        if (a, b) != (0, 0):
            offsets = window.offsets
            assert context[offsets[a - window.first][0] : offsets[b - window.first][1]] == answer
            logs = np.full((2, len(windows), 64), -50.0)
            logs[0, windows.index(window), a] = logs[1, windows.index(window), b] = 0.0
            best = _best(logs, Asked(context, windows, None))
            assert context[best.start : best.end] == answer and best.log > best.none


encoders: dict[Path, TextEncoder] = {}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_the_best_stretch_is_the_best_of_all(tiny_bert: Path, seed: int) -> None:
    encoder = encoders.setdefault(tiny_bert, TextEncoder(tiny_bert, 64))
    context = " ".join(FILLER * 6)
    windows = encoder.windows("which word is great", context, 16)
    logs = np.random.default_rng(seed).normal(size=(2, len(windows), 64)) - 5
    best = _best(logs, Asked(context, windows, None))
    every = [
        (logs[0, n, w.first + i] + logs[1, n, w.first + j], w.offsets[i][0], w.offsets[j][1])
        for n, w in enumerate(windows)
        for i in range(len(w.offsets))
        for j in range(i, len(w.offsets))
    ]
    assert (best.log, best.start, best.end) == pytest.approx(max(every))


def test_a_question_may_fill_the_window_no_further_than_its_context_needs(tiny_bert: Path) -> None:
    row = {"question": " ".join(FILLER * 9), "text": "", "context": "a b"}
    with pytest.raises(Unusable, match="leaves no room"):
        ANSWER.example(row, TextEncoder(tiny_bert, 64))


def test_the_loss_is_one_softmax_over_all_windows(tiny_bert: Path) -> None:
    """Summed over what each window alone would give, it would be another number."""
    encoder, model = TextEncoder(tiny_bert, 64), ANSWER.model(tiny_bert, SCHEMA, seed=0).eval()
    context = " ".join([*FILLER * 6, "great", *FILLER * 3])
    row = {"question": "which word", "context": context, "text": "", "answers": [{"text": "great", "start": context.index("great")}]}  # fmt: skip  # noqa: E501
    example = ANSWER.example(row, encoder)
    batch = encoder.collate([example])
    assert len(example.parts) > 1 and len(batch) == 1 and batch.units == 1
    with torch.no_grad():
        out = model(**batch.inputs)
        loss = float(ANSWER.loss(model, batch))
    total = 0.0
    for side, logits in enumerate((out.start_logits, out.end_logits)):
        everything, right = [], []
        for n, (part, window) in enumerate(zip(example.parts, example.about.windows, strict=True)):
            everything += [logits[n, 0], *logits[n, window.first : window.first + len(window.offsets)]]
            right += [logits[n, part.span[side]]] if part.span != (0, 0) else []
        total += float(torch.stack(everything).logsumexp(0) - torch.stack(right).logsumexp(0)) / 2
    assert loss == pytest.approx(total, abs=1e-5)


def said(margin: float, f1: float, truth: list[str]) -> Prediction:
    return Prediction("x", truth, scores={"margin": margin, "stretch_f1": f1, "token_f1": f1})


def test_when_no_answer_is_given_is_fitted_on_validation_rows() -> None:
    """Stretches that lead by less than 2 are wrong here, and their questions have no answer."""
    rows = [said(1.0, 0.0, [])] * 5 + [said(1.5, 0.0, [])] * 5 + [said(3.0, 1.0, ["a"])] * 10 + [said(-1.0, 0.0, [])]
    rule = ANSWER.settled(rows * 2)
    assert ANSWER.settled(rows) == {}, "21 rows are few"
    assert 1.5 < rule["threshold"] < 3.0 and rule["f1"] == 1.0 and rule["f1_before"] == pytest.approx(11 / 21)
    assert ANSWER.ruled(rule).margin == rule["threshold"] and ANSWER.ruled({}).margin == 0.0
    fine = [said(1.0, 1.0, ["a"])] * 5 + [said(-1.0, 0.0, [])] * 5
    assert ANSWER.settled(fine * 3)["threshold"] == 0.0, "what cannot be bettered is left"
    assert "times as likely as none" in told(rule)


def test_the_margin_moves_answers_to_none_and_back(tiny_bert: Path) -> None:
    encoder, model = TextEncoder(tiny_bert, 64), ANSWER.model(tiny_bert, SCHEMA, seed=0).eval()
    rows = [{"question": "which word", "context": row["context"]} for row in question_rows(12)]
    with torch.no_grad():
        always, never = (
            ANSWER.ruled({"threshold": margin}).respond(model, encoder, rows, Generation(0)) for margin in (-99.0, 99.0)
        )
    assert all(p.value and p.scores["margin"] > -99 for p in always)
    assert all(p.value == "" and ANSWER.show(p)["start"] is None for p in never)


def test_rows_without_a_context_are_refused_in_prediction() -> None:
    with pytest.raises(DataError, match="needs a context"):
        ANSWER.question("Where did Ann go?")
    assert ANSWER.question("Where?\nAnn left.") == {"text": "Where?\nAnn left.", "question": "Where?"}


def test_free_answers_are_no_stretches() -> None:
    table = Table({"question": ["a b?"] * 4, "context": [CONTEXT] * 4, "answer": ["it was so"] * 4}, [1, 2, 3, 4], "a")
    assert ANSWER.recognise(facts(table), Data()) is None
