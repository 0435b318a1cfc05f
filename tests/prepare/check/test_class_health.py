"""Every thing that can be the matter with a class is told once, at a row of it; the chart has every class and side."""

from __future__ import annotations

import pytest
from label_subjects import labelled, sentences, talks

from tuneproof.prepare.check import Checked
from tuneproof.prepare.check.classes import class_health


def told(checked: Checked, part: str) -> list[str]:
    return [finding.message for finding in checked.findings if part in finding.message]


def test_healthy_classes_are_clean_and_counted() -> None:
    checked = class_health(labelled(sentences(120), sentences(40, seed=5), sentences(20, seed=6)))
    assert checked.findings == [] and checked.found == 0 and checked.looked_at == 4
    assert checked.figures["classes"]["card"] == {"train": 30, "validation": 5, "test": 10}
    assert checked.figures["imbalance"] == 1 and checked.figures["effective classes"] == 4
    assert checked.figures["label entropy (bits)"] == pytest.approx(2)


def test_few_rows_imbalance_and_absence() -> None:
    train = [*sentences(100, ["card"]), *sentences(50, ["loan"]), *sentences(4, ["tax"])]
    checked = class_health(labelled(train, sentences(8, ["card", "loan"]), sentences(9, ["card", "loan", "tax"])))
    assert told(checked, "4 train rows") == ['The class "tax" has 4 train rows; below 8 it is hardly learnt.']
    assert len(told(checked, '"card" has 25 times the train rows of "tax" (100 and 4)')) == 1
    assert told(checked, "no test row") == ['The class "tax" has no test row.']
    assert checked.found == 1 and {finding.line - 2 for finding in checked.findings} == {150}
    assert list(checked.figures["classes"]) == ["card", "loan", "tax"]


def test_spellings() -> None:
    rows = [
        (text, "Card" if label == "card" and at % 3 == 0 else label) for at, (text, label) in enumerate(sentences(96))
    ]
    checked = class_health(labelled(rows, encoder=False))
    assert told(checked, "spelling") == [
        'These labels differ in their spelling only: "Card" (8 rows), "card" (16 rows).'
    ]
    assert "hard to tell apart: There is no encoder." in checked.note


def test_two_names_for_one_class() -> None:
    """Rows of one topic under two names drawn by lot; the other classes are told apart."""
    rows = [
        (text, ("plastic", "debit card")[at // 4 % 2] if label == "card" else label)
        for at, (text, label) in enumerate(sentences(240))
    ]
    found = told(class_health(labelled(rows)), "hard to tell apart")
    assert len(found) == 1 and found[0].startswith('"debit card" and "plastic"') and "Are they one class?" in found[0]


def test_rows_without_labels() -> None:
    assert "no labels" in class_health(talks([("hi", "hello")])).note
