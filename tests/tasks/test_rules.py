"""Labels decided by a threshold: a rare label, and rows that are none of the others."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import special

from tests.tiny import BAD, FILLER, GOOD, THINGS, write_csv
from tuneproof.config import build
from tuneproof.modalities import Example
from tuneproof.predict import Predictor
from tuneproof.prepare import prepare
from tuneproof.records import Prediction, Schema
from tuneproof.run import Run
from tuneproof.tasks import TASKS, metrics, rules, task_of
from tuneproof.tasks.classification import balance, emphasis

ANSWERS = {name: task.answer for name, task in TASKS.items()}


def schema(*labels: str, rare: str | None = None, outside: str | None = None) -> Schema:
    return Schema("text-classification", "text+label", {}, labels, None, (), rare=rare, outside=outside)


@pytest.mark.parametrize(
    ("labels", "rare"),
    [
        (["0"] * 80 + ["1"] * 20, "1"),
        (["1"] * 80 + ["0"] * 20, "0"),
        (["0"] * 79 + ["1"] * 21, None),  # not rare
        (["0"] * 80 + ["1"] * 9, None),  # too few to fit anything on
        (["a"] * 80 + ["b"] * 10 + ["c"] * 10, None),  # not two
    ],
)
def test_which_label_is_rare(labels: list[str], rare: str | None) -> None:
    assert rules.rare_label(labels) == rare


@pytest.mark.parametrize(
    ("labels", "outside"),
    [
        (("a", "b", "oos"), "oos"),
        (("a", "b", "Out of scope"), "Out of scope"),
        (("a", "outofdomain", "z"), "outofdomain"),
        (("a", "oos"), None),  # nothing to choose from
        (("a", "b", "other"), None),  # may be a class of its own
    ],
)
def test_which_label_is_outside(labels: tuple[str, ...], outside: str | None) -> None:
    assert rules.outside_label(labels) == outside


def test_the_threshold_of_a_rare_label_is_near_the_best_where_probabilities_are_true() -> None:
    draw = np.random.default_rng(0)
    shares = draw.beta(0.4, 3, 20_000)
    rare = draw.random(20_000) < shares
    rule = rules.rare_rule(shares[:2000], rare[:2000], "1")
    best = max(rules.f1(shares >= t, rare) for t in np.linspace(0.02, 0.9, 89))
    assert rules.f1(shares >= rule["threshold"], rare) > best - 0.01
    assert rules.f1(shares >= 0.5, rare) < best - 0.1, "a half would have been far from it"


def test_too_few_rare_rows_keep_a_half() -> None:
    rule = rules.rare_rule(np.linspace(0, 1, 100), np.arange(100) > 91, "1")
    assert rule["threshold"] == 0.5 and "only 8 rows" in rule["reason"]


def test_rejection_gives_little_of_the_accuracy_within_the_scope() -> None:
    draw = np.random.default_rng(1)
    logits = draw.normal(0, 1, (1000, 6))
    truth = draw.integers(0, 6, 1000)
    logits[np.arange(1000), truth] += np.where(truth == 5, 0.5, 4.0)  # what is outside looks like nothing
    shares = special.softmax(logits, axis=1)
    rule = rules.outside_rule(shares, truth, 5, "oos")
    names = dict(enumerate("abcde")) | {5: "oos"}
    said = np.array([rules.decided(rule, row, names) for row in shares])
    inside = truth != 5
    plain = shares.argmax(1)
    assert (said == truth)[inside].mean() >= (plain == truth)[inside].mean() - rules.GIVEN - 1e-9
    assert (said == 5)[~inside].mean() > (plain == 5)[~inside].mean() + 0.05
    assert rule["out_of_scope_recall"][1] == pytest.approx((said == 5)[~inside].mean())
    few = np.flatnonzero(inside)[:150]
    assert "none is used" in rules.outside_rule(shares[few], truth[few], 5, "oos")["reason"]


def test_where_hardly_a_row_is_outside_the_threshold_is_the_highest_that_costs_little() -> None:
    """As in clinc150, with 3 such rows of 720 validation rows: .299 of those of the test were rejected without it."""
    draw = np.random.default_rng(1)
    logits = draw.normal(0, 1, (1400, 6))
    truth = draw.integers(0, 6, 1400)
    logits[np.arange(1400), truth] += np.where(truth == 5, 0.5, 4.0)
    shares = special.softmax(logits, axis=1)
    seen = np.arange(1400) < 700
    fitted = seen & ((truth != 5) | (np.cumsum(truth == 5) <= 3))
    rule = rules.outside_rule(shares[fitted], truth[fitted], 5, "oos")
    assert "only 3 of" in rule["reason"] and rule["threshold"] > 0
    before, after = rule["in_scope_accuracy"]
    assert before - rules.GIVEN <= after < before
    names = dict(enumerate("abcde")) | {5: "oos"}
    said = np.array([rules.decided(rule, row, names) for row in shares[~seen]])
    plain, new = shares[~seen].argmax(1), truth[~seen]
    assert (said == new)[new != 5].mean() > (plain == new)[new != 5].mean() - 0.04
    assert (said == 5)[new == 5].mean() > (plain == 5)[new == 5].mean() + 0.05


def test_the_rule_is_fitted_and_obeyed_by_the_answer() -> None:
    draw = np.random.default_rng(2)
    truth = (draw.random(400) < 0.15).astype(int)
    logits = np.stack([np.zeros(400), draw.normal(-2 + 2.5 * truth, 1)], axis=1)
    of = schema("0", "1", rare="1")
    answer = task_of(of).answer
    rule = answer.rule(logits, [Example([1], label=int(label)) for label in truth], of)
    assert 0 < rule["threshold"] < 0.5 and answer.primary == "rare_f1"
    shares = special.softmax(logits, axis=1)
    names = {0: "0", 1: "1"}
    said = [rules.decided(rule, row, names) for row in shares]
    assert said == (shares[:, 1] >= rule["threshold"]).astype(int).tolist()
    assert TASKS["text-classification"].answer.primary == "accuracy", "the table's own answer stays as it is"


def test_any_systems_predictions_are_scored_by_the_rare_label() -> None:
    answer = task_of(schema("0", "1", rare="1")).answer
    pairs = [("1", "1"), ("1", "0"), ("0", "1"), ("0", "1"), ("0", "0")]
    said = answer.marked(
        [Prediction(value, truth, scores={"correct": float(value == truth)}) for truth, value in pairs]
    )
    scores = answer.score(said)
    assert scores.main == pytest.approx(2 * 1 / (3 + 2))
    assert scores.values["rare_precision"] == pytest.approx(1 / 3) and scores.values["rare_recall"] == 0.5
    assert [p.scores["rare_found"] for p in said] == [1, 0, 1, 1, 0]
    nothing = answer.score(answer.marked([Prediction("0", "0", scores={"correct": 1.0})]))
    assert nothing.main is None and any("rare_f1" in note for note in nothing.notes)


# -- whole runs


def rare_rows(count: int) -> list[dict[str, str]]:
    """One row in seven complains; a twentieth of the labels is wrong, so that no threshold is perfect."""
    draw = random.Random(0)
    rows: list[dict[str, str]] = []
    while len(rows) < count:
        bad = draw.random() < 1 / 7
        words = [draw.choice(FILLER) for _ in range(draw.randint(3, 12))]
        words.insert(draw.randint(0, 3), draw.choice(BAD if bad != (draw.random() < 0.05) else GOOD))
        text = " ".join([*words, draw.choice(THINGS)])
        if all(row["text"] != text for row in rows):
            rows.append({"text": text, "label": "complaint" if bad else "fine"})
    return rows


def test_a_rare_label_from_file_to_page(one_thread: None, tiny_bert: Path, tmp_path: Path) -> None:
    import tuneproof as tp
    from tuneproof.evaluate.compare import compare

    file = write_csv(tmp_path / "a.csv", rare_rows(1000))
    options = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32", "train_lr": 5e-4}
    options |= {"data_validation_share": 0.25}
    run = tp.tune(
        file, runs=tmp_path / "runs", model_name=str(tiny_bert), method_name="full", train_epochs=20, **options
    )
    weighed = run.run.plan["settings"]["train.class_weights"]
    assert weighed["value"] == "none" and 'the label "complaint" is rare' in weighed["reason"]
    assert run.run.schema.rare == "complaint" and any("its F1 decides" in one for one in run.run.schema.reasons)
    rule = run.run.rule
    assert rule["kind"] == "rare" and 0 < rule["threshold"] <= 0.5 and rule["n"] > 50
    report = run.run.read_json("eval/test/report.json")
    assert report["scores"]["primary"] == "rare_f1" and "an F1 of the rare label" in report["headline"]
    assert report["scores"]["systems"][0]["values"]["rare_f1"] > 0.5
    assert report["scores"]["systems"][1]["values"]["rare_f1"] == 0.0, "always the most frequent label finds none"
    assert any("Decided by a threshold" in note for note in report["scores"]["notes"])
    lines = [json.loads(line) for line in (run.run.evaluations / "test/predictions.jsonl").read_text().splitlines()]
    said = run.predict([row["text"] for row in run.run.splits.test.rows()])
    assert [one["label"] for one in said] == [line["pred"] for line in lines]
    assert Predictor.open(run.run).rule == rule and Predictor.open(run.run, base=True).rule == {}
    shares = [one["probabilities"]["complaint"] for one in said]
    assert [one["label"] == "complaint" for one in said] == [share >= rule["threshold"] for share in shares]
    assert compare([str(run.run.path), "tfidf-linear"])["metric"] == "rare_f1"
    _baselines_have_rules_of_their_own(run.run, report, tmp_path / "cheap")


def _baselines_have_rules_of_their_own(run: Run, report: dict[str, Any], folder: Path) -> None:
    """In the report, in the report made again, and in the baseline that is kept."""
    from tuneproof.evaluate.saved_tfidf import predict
    from tuneproof.pipeline.judging import Again, keep_baseline, score_again
    from tuneproof.pipeline.view import Quiet

    again = score_again(run.path, Again(), view=Quiet())
    for one, other in zip(report["scores"]["systems"], again["scores"]["systems"], strict=True):
        assert one["name"] == other["name"] and one["values"]["rare_f1"] == pytest.approx(other["values"]["rare_f1"])
    lines = [json.loads(line) for line in (run.evaluations / "test/predictions.jsonl").read_text().splitlines()]
    kept = keep_baseline(run.path, folder)
    rule = json.loads((kept / "rule.json").read_text())
    assert rule["kind"] == "rare" and 0 < rule["threshold"] < 0.5 and rule["n"] == run.rule["n"]
    expected = [line["baselines"]["TF-IDF words with a linear classifier"]["pred"] for line in lines]
    texts = list(run.splits.test.columns["text"])
    assert predict(texts, kept) == expected
    (kept / "rule.json").write_text("{}")
    plain = predict(texts, kept)
    assert plain.count("complaint") < expected.count("complaint"), "a rare label is given more often by its threshold"


def test_a_rare_label_with_few_rows_to_measure_it_by_does_not_decide(tmp_path: Path) -> None:
    prepared = prepare(write_csv(tmp_path / "a.csv", rare_rows(150)), build({}).data, ANSWERS)
    assert rules.rare_label(prepared.splits.train.columns["label"]) == "complaint"
    assert prepared.schema.rare is None, "a validation of some two rows with it would choose the weights"


def test_what_is_out_of_scope_is_named_in_the_schema(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": f"{row['text']} {i}", "label": ("oos", "a", "b")[i % 3]} for i, row in enumerate(rare_rows(90))
    ]
    prepared = prepare(write_csv(tmp_path / "a.csv", rows), build({}).data, ANSWERS)
    assert prepared.schema.outside == "oos" and prepared.schema.rare is None
    answer = task_of(prepared.schema).answer
    scores = answer.score(
        [Prediction(v, t, scores={"correct": float(v == t)}) for t, v in (("oos", "a"), ("oos", "oos"), ("a", "a"))]
    )
    assert scores.values["out_of_scope_recall"] == 0.5 and scores.values["in_scope_accuracy"] == 1.0


@pytest.mark.parametrize(
    ("labels", "column", "order"),
    [
        (("1", "2", "3", "4", "5"), "stars", ("1", "2", "3", "4", "5")),
        (("10", "2", "3"), "review_score", ("2", "3", "10")),
        (("0", "1", "2"), "label", ()),  # numbers of classes
        (("Advanced", "Elementary", "Intermediate"), "label", ("Elementary", "Intermediate", "Advanced")),
        (("negative", "neutral", "positive"), "x", ("negative", "neutral", "positive")),
        (("high", "low"), "x", ()),
        (("high", "low", "other"), "x", ()),
    ],
)
def test_labels_that_are_steps_keep_their_order(labels: tuple[str, ...], column: str, order: tuple[str, ...]) -> None:
    assert rules.in_order(labels, column) == order


def test_steps_are_measured_by_how_far_off_they_are(tmp_path: Path) -> None:
    rows = [
        {"text": f"{row['text']} {i}", "level": ("high", "low", "medium")[i % 3]} for i, row in enumerate(rare_rows(90))
    ]
    of = prepare(write_csv(tmp_path / "a.csv", rows), build({}).data, ANSWERS).schema
    assert of.labels == ("low", "medium", "high") and of.ordinal
    answer = task_of(of).answer
    pairs = [("low", "low"), ("low", "high"), ("high", "medium"), ("medium", "medium")]
    scores = answer.score([Prediction(v, t, scores={"correct": float(v == t)}) for t, v in pairs])
    assert scores.primary == "accuracy" and scores.values["steps_off"] == pytest.approx(3 / 4)
    a, b = np.array([0, 0, 2, 1]), np.array([0, 2, 1, 1])
    expected = 1 - ((a - b) ** 2).sum() * 4 / ((a[:, None] - b[None]) ** 2).sum()
    assert scores.values["quadratic_kappa"] == pytest.approx(expected)


def test_class_weights_keep_the_mean_and_balance_the_classes() -> None:
    counts = [900, 90, 10]
    assert emphasis("none", counts) is None and emphasis(None, counts) is None
    for how, ratio in (("balanced", 90), ("root", 90**0.5)):
        found = emphasis(how, counts)
        assert found is not None
        assert sum(w * n for w, n in zip(found.weights, counts, strict=True)) == pytest.approx(sum(counts))
        assert found.weights[2] / found.weights[0] == pytest.approx(ratio)
    assert emphasis("balanced", [5, 0]).weights[1] == 0.0


@pytest.mark.parametrize(
    ("counts", "rare", "reason"),
    [
        ([90, 10], "yes", 'the label "yes" is rare, and its threshold is fitted afterwards'),
        ([50, 40], None, "the most frequent label has 1.2 times the rows of the rarest: they count alike"),
        ([90, 30, 2], None, "the most frequent label has 45.0 times the rows of the rarest, but accuracy decides"),
    ],
)
def test_the_reason_for_class_weights_is_the_imbalance(counts: list[int], rare: str | None, reason: str) -> None:
    how, why = balance(counts, rare)
    assert how == "none" and why.startswith(reason)
    uneven = max(counts) / min(counts) >= 3
    assert uneven == ("class weights and focal loss" in why), "what was not chosen"
    assert uneven == why.endswith("train.class_weights=root, balanced or focal switches them on"), "and how to have it"


def test_the_focal_loss_by_hand(make_work: Any) -> None:
    """Lin and others 2017, gamma 2: -(1 - p)^2 ln p. For p = .9 and p = .5: .01 * .1053605 + .25 * .6931472."""
    import torch

    class Fixed(torch.nn.Module):
        def forward(self, **inputs: Any) -> Any:
            return SimpleNamespace(logits=torch.tensor([[9.0, 1.0], [1.0, 1.0]]).log())

    work = make_work("text-classification", "full")
    two = [example for example in work.train if example.label == 0][:2]
    assert float(work.answer.weighing("none", work.train).loss(Fixed(), work.encoder.collate(two))) == pytest.approx(
        0.7985077, abs=1e-6
    )
    assert float(work.answer.weighing("focal", work.train).loss(Fixed(), work.encoder.collate(two))) == pytest.approx(
        0.1743404, abs=1e-6
    )


@pytest.mark.parametrize("how", ["root", "balanced", "focal"])
def test_class_weights_reach_the_loss(make_work: Any, how: str) -> None:
    import torch

    from tuneproof.predict import open_model

    work = make_work("text-classification", "full")
    model = open_model(work.answer, work.schema, work.config, work.base, None).eval()
    train = [example for example in work.train if example.label == 0][:2] + [e for e in work.train if e.label == 1][:6]
    answer = work.answer.weighing(how, train)
    batch = work.encoder.collate(train)
    with torch.no_grad():
        logs = work.answer.logits(model, batch).log_softmax(-1)
        own = -logs[torch.arange(8), batch.labels]
        factor = (1 - own.neg().exp()) ** 2 if how == "focal" else torch.tensor(answer.emphasis.weights)[batch.labels]
        assert float(answer.loss(model, batch)) == pytest.approx(float((own * factor).sum()), rel=1e-5)
        assert float(work.answer.loss(model, batch)) == pytest.approx(float(own.sum()), rel=1e-5)
    assert how == "focal" or answer.emphasis.weights[0] > answer.emphasis.weights[1]


def test_training_does_not_stop_before_the_rare_label_was_found_once() -> None:
    from tuneproof.records import Scores
    from tuneproof.train.drive import since_best

    like = Scores("rare_f1", {"rare_f1": 0.0}, 10)
    assert since_best([0.0, None, 0.0, 0.0], like) == 0
    assert since_best([0.0, 0.2, 0.1, 0.1], like) == 2
    assert since_best([0.4, 0.5, 0.6], Scores("mae", {"mae": 0.6}, 10, higher_is_better=False)) == 2


def test_a_test_without_the_rare_label_says_that_nothing_can_be_said() -> None:
    from types import SimpleNamespace

    from tuneproof.evaluate.headline import headline
    from tuneproof.evaluate.measures import MEASURES, Pairs, items
    from tuneproof.evaluate.outcome import System

    answer = task_of(schema("0", "1", rare="1")).answer
    said = answer.marked([Prediction("0", "0", scores={"correct": 1.0})] * 40)
    how = MEASURES["rare_f1"]
    gap = how.difference(Pairs(items(said), items(said), None, ("0", "1")))
    interval = how.interval(items(said), ("0", "1"), None)
    both = [System(name, "", "", said, answer.score(said), interval, gap) for name in ("the tuned model", "other")]
    told, word = headline(SimpleNamespace(systems=both), answer, "m")  # type: ignore[arg-type]
    assert word == "inconclusive" and "no row has the rare label" in told


def test_always_the_same_answer_has_a_kappa_of_nought() -> None:
    """In whole numbers: by means it was -6.7e-16 on a page."""
    truth = ["1"] * 309 + ["2"] * 150 + ["3"] * 230
    assert metrics.quadratic_kappa(truth, ["1"] * 689, ("1", "2", "3")) == 0.0


def test_how_sure_a_rejection_is() -> None:
    rule = {"kind": "outside", "label": "oos", "threshold": 0.6}
    names = {0: "a", 1: "b", 2: "oos"}
    doubtful, own, clear = np.array([0.5, 0.45, 0.05]), np.array([0.1, 0.2, 0.7]), np.array([0.9, 0.05, 0.05])
    decided = [rules.decided(rule, shares, names) for shares in (doubtful, own, clear)]
    assert decided == [2, 2, 0]
    assert [rules.sure(rule, shares, at) for shares, at in zip((doubtful, own, clear), decided, strict=True)] == (
        pytest.approx([0.5, 0.7, 0.9])
    )
    assert rules.sure({"kind": "rare", "label": "b", "threshold": 0.3}, doubtful, 1) == pytest.approx(0.45)
    assert rules.sure({}, clear, 0) == pytest.approx(0.9)
