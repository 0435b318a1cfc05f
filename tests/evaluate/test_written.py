"""ROUGE of the answers that a chat run shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from page_reports import chat
from tiny import review_rows, write_jsonl

import tuneproof as tp
from tuneproof.evaluate.page import render
from tuneproof.evaluate.written import leads, written
from tuneproof.tasks.metrics import rouge

ANSWERS = [
    {"truth": "the cat sat on the mat", "tuned": "the cat sat on a mat", "base": "dogs run"},
    {"truth": "it is green", "tuned": "it is green", "base": "it is blue"},
    {"truth": "it is white", "tuned": "snow", "base": ""},
]


def test_means_and_their_difference_are_those_of_the_answers() -> None:
    found = written(ANSWERS, None)
    assert found is not None and found["n"] == 3
    for side in ("tuned", "base"):
        each = [rouge(one[side], one["truth"])["rougeL"] for one in ANSWERS]
        assert found[side]["rougeL"] == pytest.approx(sum(each) / 3)
    assert found["difference"]["value"] == pytest.approx(found["tuned"]["rougeL"] - found["base"]["rougeL"])
    assert found["difference"]["n"] == 3 and found["difference"]["low"] < found["difference"]["value"]


def test_rows_of_one_group_are_one_cluster() -> None:
    found = written(ANSWERS, ["a", "a", "b"])
    alone = written(ANSWERS, None)
    assert found is not None and alone is not None
    assert found["difference"]["low"] != alone["difference"]["low"]


def test_one_answer_has_no_interval_and_none_has_no_figure() -> None:
    assert written([], None) is None
    found = written(ANSWERS[:1], None)
    assert found is not None and found["n"] == 1 and found["difference"]["low"] is None


def test_the_page_says_of_how_many_answers_it_is() -> None:
    page = " ".join(render(chat()).split())
    assert "of these 5 answers against the file's: 34.4% by the tuned model, 18.1% by the untouched one" in page
    assert "It decides nothing" in page
    assert "against the file's" not in render({**chat(), "written": None})


def test_a_summary_has_the_first_sentences_of_its_document_to_beat() -> None:
    asked = [{"role": "system", "content": "Sum up."}, {"role": "user", "content": "It rains. Ann left! Why? Bob."}]
    answers = [{"truth": "it rains", "tuned": "snow", "base": "", "prompt": asked}]
    first, three = leads(answers, "document+summary").values()
    assert (first, three) == (["It rains."], ["It rains. Ann left! Why?"])
    assert leads(answers, "prompt+response") == {}
    found = written(answers * 3, None, leads(answers * 3, "dialogue+summary"))
    assert found is not None
    assert [one["rougeL"] for one in found["beside"]] == [1.0, pytest.approx(2 * (2 / 5) / (1 + 2 / 5))]
    assert found["beside"][0]["difference"]["value"] == -1.0


def test_the_page_says_where_the_first_sentences_are_nearer() -> None:
    report = chat()
    gap = {"value": -0.1, "low": -0.15, "high": -0.05, "p": 0.01, "n": 5, "method": "t"}
    lead = {"name": "the first sentence of the source", "rougeL": 0.444, "difference": gap}
    page = " ".join(render({**report, "written": {**report["written"], "beside": [lead]}}).split())
    assert "The first sentence of the source, nothing else: ROUGE-L 44.4%; the tuned model <strong>is worse" in page
    assert "nothing else: ROUGE-L" not in render(report)


def test_a_run_on_summaries_is_compared_with_the_first_sentences(one_thread: None, tiny_llama, tmp_path: Path) -> None:
    texts = [row["text"] for row in review_rows(80)]
    rows = [
        {"document": f"{a}. {b}.", "summary": " ".join(a.split()[:4])}
        for a, b in zip(texts[::2], texts[1::2], strict=True)
    ]
    file = write_jsonl(tmp_path / "summaries.jsonl", rows)
    options = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32", "train_epochs": 1}
    options |= {"evaluate_answers": 2, "evaluate_max_new_tokens": 4}
    done = tp.tune(file, runs=tmp_path / "runs", model_name=str(tiny_llama), method_name="full", **options)
    report = json.loads((done.run.path / "eval/test/report.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in report["written"]["beside"]] == [
        "the first sentence of the source",
        "the first three sentences of the source",
    ]
    assert "The first sentence of the source, nothing else" in done.report.read_text(encoding="utf-8")
