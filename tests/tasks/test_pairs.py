"""Pairs of texts: found in files, shown to the model as one sequence, cut fairly, tuned and used again."""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import BAD, FILLER, GOOD, THINGS, write_csv
from tuneproof.config import Data, build
from tuneproof.errors import ConfigError, DataError
from tuneproof.evaluate import tfidf_pairs
from tuneproof.modalities import Example, TextEncoder
from tuneproof.modalities.encoding import shortened_pair
from tuneproof.prepare.schema import columns
from tuneproof.records import Schema, Table
from tuneproof.tasks import TASKS, pairs
from tuneproof.tasks.rows import Unusable, canonical_text, question

ANSWER = TASKS["text-classification"].answer


def products(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Two descriptions of things; the label says whether they praise or blame alike."""
    draw = random.Random(seed)
    rows: list[dict[str, str]] = []
    while len(rows) < count:
        same = len(rows) % 2
        kinds = draw.choice(((GOOD, GOOD), (BAD, BAD)) if same else ((GOOD, BAD), (BAD, GOOD)))
        halves = [
            " ".join([*(draw.choice(FILLER) for _ in range(draw.randint(2, 6))), draw.choice(kind)]) for kind in kinds
        ]
        row = {"left_title": halves[0], "left_name": draw.choice(THINGS), "right_title": halves[1], "right_name": ""}
        if all(row["left_title"] != other["left_title"] for other in rows):
            rows.append({**row, "label": str(same)})
    return rows


def facts(**values: list[Any]) -> Any:
    full = {name: [value[i % len(value)] for i in range(60)] for name, value in values.items()}
    return columns(Table(full, list(range(60)), "a.csv"))


FREE = [f"some words of a longer text, number {i}" for i in range(60)]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"sentence1": FREE, "sentence2": FREE, "label": [0, 1]}, {"text": "sentence1", "second": "sentence2"}),
        ({"Premise": FREE, "Hypothesis": FREE, "gold_label": ["a", "b"]}, {"text": "Premise", "second": "Hypothesis"}),
        (
            {"left_a": FREE, "right_a": FREE, "left_b": ["x", "y"], "right_b": ["z"], "label": [0, 1]},
            {"text": "left_a", "text 2": "left_b", "second": "right_a", "second 2": "right_b"},
        ),
        ({"name_1": FREE, "name_2": FREE, "match": [0, 1]}, {"text": "name_1", "second": "name_2"}),
        ({"question1": FREE, "question2": FREE}, None),  # nothing to learn
        ({"left_id": [1, 2, 3], "right_id": [4, 5, 6], "label": [0, 1]}, None),  # no text
        ({"text": FREE, "label": [0, 1]}, None),
    ],
)
def test_pairs_are_found_by_the_names_of_their_columns(values: dict[str, Any], found: dict[str, str] | None) -> None:
    guess = pairs.pair_and_label(facts(**values), Data())
    assert (None if guess is None else {k: v for k, v in guess.fields.items() if k != "label"}) == found


def test_what_was_asked_for_decides() -> None:
    file = facts(sentence1=FREE, sentence2=FREE, third=FREE, label=[0, 1])
    both = pairs.pair_and_label(file, Data(text="third", second="sentence1"))
    assert both is not None and (both.fields["text"], both.fields["second"]) == ("third", "sentence1")
    assert pairs.pair_and_label(file, Data(text="sentence1")) is None, "one text alone"
    with pytest.raises(ConfigError, match="the first is missing"):
        pairs.pair_and_label(file, Data(second="sentence1"))
    with pytest.raises(DataError, match='no column "forth"'):
        pairs.pair_and_label(file, Data(text="third", second="forth"))


SCHEMA = Schema(
    "text-classification",
    "pair+label",
    {"text": "a", "text 2": "price", "second": "b", "label": "y"},
    ("0", "1"),
    None,
    (),
)


def test_a_row_becomes_both_texts() -> None:
    row = canonical_text({"a": "lamp", "price": 3.0, "b": "red lamp", "y": 1}, SCHEMA)
    assert row == {"text": "lamp; 3", "second": "red lamp", "label": "1"}
    assert question(row) == "lamp; 3\nred lamp", "both sides are the question: one text may stand in many pairs"
    with pytest.raises(Unusable, match="empty second text"):
        canonical_text({"a": "lamp", "price": 3.0, "b": " ", "y": 1}, SCHEMA)
    with pytest.raises(Unusable, match="empty text"):
        canonical_text({"a": None, "price": "", "b": "x", "y": 1}, SCHEMA)


def test_a_pair_is_one_sequence_with_token_types(tiny_bert: Path) -> None:
    encoder = TextEncoder(tiny_bert, 64)
    example = encoder.encode("a lamp", "the red lamp")
    theirs = encoder.tokenizer("a lamp", "the red lamp")
    assert list(example.ids) == theirs["input_ids"] and list(example.types or ()) == theirs["token_type_ids"]
    assert example.halves is not None
    (a, a_end), (b, b_end) = example.halves
    assert encoder.tokenizer.decode(example.ids[a:a_end]) == "a lamp"
    assert encoder.tokenizer.decode(example.ids[b:b_end]) == "the red lamp"
    batch = encoder.collate([example, encoder.encode("a", "b")])
    assert batch.inputs["token_type_ids"].shape == batch.ids.shape
    assert "token_type_ids" not in encoder.collate([encoder.encode("a lamp")]).inputs, "as one text was always read"


def test_cutting_a_pair_equals_the_tokenizers_longest_first(tiny_bert: Path) -> None:
    encoder = TextEncoder(tiny_bert, 12)
    for first, second in (("lamp " * 20, "a lamp"), ("a lamp", "lamp " * 20), ("a " * 20, "lamp " * 21)):
        cut = encoder.cut(encoder.encode(first, second))
        theirs = encoder.tokenizer(first, second, truncation="longest_first", max_length=12)
        assert (list(cut.ids), list(cut.types or ())) == (theirs["input_ids"], theirs["token_type_ids"])


@given(st.integers(0, 30), st.integers(0, 30), st.integers(8, 40))
def test_a_cut_pair_keeps_its_special_tokens_and_most_of_the_shorter_half(a: int, b: int, keep: int) -> None:
    ids = [-1, *[1] * a, -2, *[2] * b, -3]
    example = Example(ids, types=[0] * (a + 2) + [1] * (b + 1), halves=((1, 1 + a), (2 + a, 2 + a + b)))
    if len(ids) <= keep:
        return
    cut = shortened_pair(example, keep)
    ones, twos = list(cut.ids).count(1), list(cut.ids).count(2)
    assert len(cut.ids) == keep == len(cut.types or ()) and [id for id in cut.ids if id < 0] == [-1, -2, -3]
    assert ones >= min(a, (keep - 3) // 2) and twos >= min(b, (keep - 3) // 2)
    assert cut.halves == ((1, 1 + ones), (2 + ones, 2 + ones + twos))


def test_the_cheap_model_of_pairs_sees_their_overlap() -> None:
    draw = random.Random(1)
    words = [f"word{i}" for i in range(400)]
    rows = []
    for i in range(200):
        first = draw.sample(words, 5)
        second = draw.sample(first, 5) if i % 2 else draw.sample(words, 5)
        rows.append(((" ".join(first), " ".join(second)), i % 2))
    machine = tfidf_pairs.fit([pair for pair, _ in rows[:150]], [label for _, label in rows[:150]], 0)
    right = machine.predict([pair for pair, _ in rows[150:]]) == [label for _, label in rows[150:]]
    assert right.mean() > 0.95


# -- a whole run


@pytest.fixture(scope="module")
def run(one_thread: None, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    import tuneproof as tp

    folder = tmp_path_factory.mktemp("pairs")
    file = write_csv(folder / "products.csv", products(90))
    options = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32", "train_epochs": 2}
    return tp.tune(file, runs=folder / "runs", model_name=str(tiny_bert), method_name="full", **options)


def test_the_run_knows_its_columns_and_beats_are_reported(run: Any) -> None:
    assert run.run.schema.layout == "pair+label"
    report = run.run.read_json("eval/test/report.json")
    names = [system["name"] for system in report["scores"]["systems"]]
    assert len(names) == 4 and "TF-IDF words with a linear classifier" in names
    assert "\n" in report["rows"]["best"][0]["text"], "both texts are shown"


def test_predictions_agree_from_python_the_command_line_and_transformers_alone(run: Any, tmp_path: Path) -> None:
    table = run.run.splits.test
    rows = [{"text": row["text"], "second": row["second"]} for row in table.rows()]
    said = run.predict(rows)
    lines = [json.loads(line) for line in (run.run.evaluations / "test/predictions.jsonl").read_text().splitlines()]
    assert [one["label"] for one in said] == [line["pred"] for line in lines]
    file = tmp_path / "new.csv"
    out = io.StringIO()
    writer = csv.DictWriter(out, ["left_title", "left_name", "right_title", "right_name"])
    writer.writeheader()
    writer.writerows({"left_title": row["text"], "right_title": row["second"]} for row in rows)
    file.write_text(out.getvalue(), encoding="utf-8")
    from tuneproof.tuned import predict_file

    told = [json.loads(line) for line in predict_file(str(run.run.path), file, None)]
    assert [one["probabilities"] for one in told] == [one["probabilities"] for one in said]
    program = """
import json, sys
sys.modules["tuneproof"] = None
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, pairs = json.load(sys.stdin)
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
for first, second in pairs:
    with torch.inference_mode():
        shares = model(**tokenizer(first, second, return_tensors="pt")).logits[0].softmax(-1)
    print(json.dumps({model.config.id2label[i]: float(p) for i, p in enumerate(shares)}))
"""
    asked = json.dumps([str(run.model), [[row["text"], row["second"]] for row in rows]])
    done = subprocess.run([sys.executable, "-c", program], input=asked, capture_output=True, text=True, check=True)
    alone = [json.loads(line) for line in done.stdout.splitlines()]
    for one, other in zip(said, alone, strict=True):
        assert one["probabilities"] == pytest.approx(other, abs=1e-5)


@pytest.mark.parametrize("row", ["one text", {"text": "a lamp"}, {"text": "a lamp", "second": "  "}])
def test_one_text_of_a_pair_is_refused_at_prediction(run: Any, row: Any) -> None:
    with pytest.raises(DataError, match='Row 2 has no "second"'):
        run.predict([{"text": "a lamp", "second": "a chair"}, row])


def test_too_many_empty_second_texts_are_refused_with_their_row(tiny_bert: Path, tmp_path: Path) -> None:
    from tuneproof.prepare import prepare

    rows = [{**row, "right_title": "", "right_name": ""} if i % 3 == 1 else row for i, row in enumerate(products(60))]
    file = write_csv(tmp_path / "a.csv", rows)
    with pytest.raises(DataError, match=r"a\.csv, line 3: .*\(.*empty second text 20"):
        prepare(file, build({}).data, {name: one.answer for name, one in TASKS.items()})
