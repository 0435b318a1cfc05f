"""Baselines decide by rules of their own: a threshold is no gain of tuning."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from tuneproof.evaluate.deciding import deciding
from tuneproof.evaluate.tfidf import fit, logits
from tuneproof.modalities import Example
from tuneproof.records import Schema
from tuneproof.tasks import task_of


def schema(*labels: str, **more: str) -> Schema:
    return Schema("text-classification", "text+label", {"text": "text", "label": "label"}, labels, None, (), **more)


def scopes(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (rows, 4) of a model that is less sure of rows out of scope (label 3), and the truth."""
    draw = np.random.default_rng(seed)
    truth = np.where(draw.random(rows) < 0.2, 3, draw.integers(0, 3, rows))
    found = draw.normal(0, 1, (rows, 4))
    inside = truth < 3
    found[inside, truth[inside]] += 5
    found[:, 3] -= 2
    return found, truth


def test_rows_out_of_scope_are_found_by_a_threshold_of_its_own() -> None:
    of = schema("a", "b", "c", "oos", outside="oos")
    found, truth = scopes(600, 0)
    examples = [Example([], label=int(label)) for label in truth]
    decide = deciding(of, task_of(of).answer, examples, lambda: found)
    assert decide.rule["kind"] == "outside" and decide.rule["threshold"] > 0
    new, labels = scopes(2000, 1)
    said, plain = np.array(decide.labels(new)), new.argmax(1)
    out = labels == 3
    assert (said == 3)[out].mean() > (plain == 3)[out].mean() + 0.3
    assert (said == labels)[~out].mean() > (plain == labels)[~out].mean() - 0.04


def test_nothing_is_computed_where_the_likeliest_label_is_the_answer() -> None:
    of = schema("a", "b", "c")

    def never() -> np.ndarray:
        raise AssertionError("asked")

    found, truth = scopes(50, 0)
    examples = [Example([], label=int(label)) for label in truth]
    for rows in (examples, []):
        assert deciding(of, task_of(of).answer, rows, never).labels(found) == found.argmax(1).tolist()
    rare = schema("a", "b", rare="a")
    assert deciding(rare, task_of(rare).answer, [], never).labels(found[:, :2]) == found[:, :2].argmax(1).tolist()


def test_each_of_several_labels_has_its_own() -> None:
    of = Schema("multi-label-classification", "text+labels", {}, (), None, (), several=("x", "y"))
    draw = np.random.default_rng(0)
    truth = (draw.random((500, 2)) < (0.1, 0.5)).astype(float)
    found = draw.normal(0, 1, (500, 2)) + 3 * truth - 2.5
    examples = [Example([], values=tuple(row)) for row in truth.tolist()]
    decide = deciding(of, task_of(of).answer, examples, lambda: found)
    shares = special.expit(found / decide.temperature)
    from_ = [decide.rule["thresholds"][name] for name in ("x", "y")]
    assert (decide.each(found) == (shares >= from_)).all() and decide.rule["micro_f1_after"] > 0.8
    nothing = deciding(of, task_of(of).answer, [], lambda: found)
    assert (nothing.each(found) == (found >= 0)).all()


@pytest.mark.parametrize("labels", [2, 3])
def test_margins_of_the_tfidf_model_stand_in_the_order_of_the_labels(labels: int) -> None:
    texts = [f"{word} {other}" for word in ("good", "bad", "odd")[:labels] for other in "abcdefgh"]
    numbers = [number for number in range(labels) for _ in range(8)]
    machine = fit(texts, numbers, seed=0)
    found = logits(machine, texts, labels + 1)
    assert found.shape == (len(texts), labels + 1) and found.argmax(1).tolist() == machine.predict(texts).tolist()
    assert found[:, labels].max() < found[:, :labels].min(), "a label without a training row"
