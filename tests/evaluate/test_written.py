"""ROUGE of the answers that a chat run shows."""

from __future__ import annotations

import pytest
from page_reports import chat

from tuneproof.evaluate.page import render
from tuneproof.evaluate.written import written
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
