"""Texts as vectors: losses against their definitions, searches against a loop, and a folder that others open."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import matching_rows, review_rows, write_csv, write_jsonl
from torch.nn import functional

import tuneproof as tp
from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.prepare.read import read
from tuneproof.prepare.schema import infer
from tuneproof.run import Run
from tuneproof.tasks import TASKS, metrics
from tuneproof.tasks.embeddings import SCALE, labelled_loss, pair_loss
from tuneproof.tuned import predict_file

ANSWERS = {name: row.answer for name, row in TASKS.items()}
QUICK = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32", "evaluate_retain_documents": 30}


def understood(path: Path, **asked: str):
    return infer(read(path), ANSWERS, Data(**asked))


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


# -- recognising


def test_pairs_and_triplets_are_known_by_their_names(tmp_path: Path) -> None:
    rows = matching_rows(30)
    schema = understood(write_csv(tmp_path / "pairs.csv", rows))
    assert (schema.task, schema.layout) == ("embeddings", "pairs")
    triplets = [{**row, "negative": other["positive"]} for row, other in zip(rows, rows[1:] + rows[:1], strict=True)]
    schema = understood(write_csv(tmp_path / "triplets.csv", triplets))
    assert schema.layout == "triplets" and schema.fields["negative"] == "negative"


def test_a_text_with_a_label_is_a_classifiers_unless_asked(reviews: Path) -> None:
    assert understood(reviews).task == "text-classification"
    schema = understood(reviews, task="embeddings")
    assert schema.fields == {"text": "text", "alike": "label"} and schema.labels == ()


def test_labels_that_no_two_rows_share_are_refused(tmp_path: Path, tiny_bert: Path) -> None:
    rows = [{"text": row["text"], "label": f"number {n}"} for n, row in enumerate(review_rows(30))]
    path = write_csv(tmp_path / "alone.csv", rows)
    with pytest.raises(DataError, match="30 different values in 30 rows"):
        tp.tune(
            path, runs=tmp_path, model_name=str(tiny_bert), data_task="embeddings", data_text="text", data_label="label"
        )


# -- losses


def test_the_loss_of_pairs_is_the_softmax_over_the_batch() -> None:
    vectors = unit(6, 8)
    first = torch.tensor([True, False] * 3)
    expected = 0.0
    for row in range(3):
        scores = [SCALE * float(vectors[2 * row] @ vectors[2 * other + 1]) for other in range(3)]
        expected += math.log(sum(map(math.exp, scores))) - scores[row]
    assert float(pair_loss(vectors, first, list("abcdef"))) == pytest.approx(expected, rel=1e-5)


def test_a_text_equal_to_the_right_answer_is_no_wrong_one() -> None:
    vectors, first = unit(4, 8), torch.tensor([True, False] * 2)
    vectors = torch.stack([vectors[0], vectors[1], vectors[2], vectors[1]])
    same = float(pair_loss(vectors, first, ["a", "x", "b", "x"]))
    assert same == pytest.approx(0.0, abs=1e-6), "each has its own answer only"
    assert float(pair_loss(vectors, first, ["a", "x", "b", "y"])) == pytest.approx(2 * math.log(2), rel=1e-5)


def test_a_triplets_negative_is_one_wrong_answer_more() -> None:
    vectors = unit(3, 8)
    loss = float(pair_loss(vectors, torch.tensor([True, False, False]), ["a", "p", "n"]))
    right, wrong = (SCALE * float(vectors[0] @ vectors[n]) for n in (1, 2))
    assert loss == pytest.approx(math.log1p(math.exp(wrong - right)), rel=1e-4)


def test_the_loss_of_labelled_texts_is_that_of_its_paper() -> None:
    vectors, labels = unit(5, 8, seed=1), ["a", "a", "b", "a", "c"]
    expected = 0.0
    for i, label in enumerate(labels):
        others = [j for j in range(5) if j != i]
        positives = [j for j in others if labels[j] == label]
        whole = math.log(sum(math.exp(SCALE * float(vectors[i] @ vectors[j])) for j in others))
        if positives:
            expected += sum(whole - SCALE * float(vectors[i] @ vectors[j]) for j in positives) / len(positives)
    assert float(labelled_loss(vectors, labels)) == pytest.approx(expected, rel=1e-4)


# -- searching


def test_searches_equal_a_plain_loop_dense_and_sparse() -> None:
    from scipy import sparse

    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(700, 12))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = draw.integers(0, 9, 700)
    relevant = [frozenset(np.flatnonzero(labels == label).tolist()) - {i} for i, label in enumerate(labels)]
    found = metrics.neighbours(vectors, vectors, relevant, list(range(700)))
    for i in (0, 1, 511, 512, 699):
        order = [j for j in np.argsort(-(vectors @ vectors[i]), kind="stable") if j != i][:10]
        hits = [labels[j] == labels[i] for j in order]
        ideal = sum(1 / math.log2(n + 2) for n in range(10))
        assert found[i].nearest == order[0]
        assert found[i].scores["recall_at_1"] == float(hits[0]) and found[i].scores["recall_at_5"] == float(
            any(hits[:5])
        )
        gain = sum(1 / math.log2(n + 2) for n, hit in enumerate(hits) if hit)
        assert found[i].scores["ndcg_at_10"] == pytest.approx(gain / ideal)
    table = sparse.csr_array(vectors)
    assert [f.nearest for f in metrics.neighbours(table, table, relevant, list(range(700)))] == [
        f.nearest for f in found
    ]


def test_ndcg_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import ndcg_score

    draw = np.random.default_rng(1)
    for _ in range(20):
        scores, truth = draw.normal(size=30), draw.random(30) < 0.2
        truth[0] = True
        ranked = np.argsort(-scores, kind="stable").tolist()
        ours = metrics.retrieval_scores(ranked, frozenset(np.flatnonzero(truth).tolist()))["ndcg_at_10"]
        assert ours == pytest.approx(ndcg_score([truth.astype(int)], [scores], k=10))


def test_what_nothing_is_like_scores_nothing() -> None:
    assert metrics.retrieval_scores([1, 2], frozenset()) == {"recall_at_1": 0.0, "recall_at_5": 0.0, "ndcg_at_10": 0.0}


# -- a whole run


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, one_thread: None) -> Run:
    """Sentences with a good or a bad word, tuned to lie with their like."""
    folder = tmp_path_factory.mktemp("alike")
    path = write_csv(folder / "reviews.csv", review_rows(300))
    options = {"data_task": "embeddings", "train_epochs": 30, "train_lr": 1e-3, "train_batch_size": 32}
    return tp.tune(path, runs=folder / "runs", model_name=str(tiny_bert), **options, **QUICK).run


def test_tuning_brings_together_what_is_alike(alike: Run) -> None:
    report = alike.read_json("eval/test/report.json")
    values = {one["name"]: one["values"]["recall_at_1"] for one in report["scores"]["systems"]}
    assert values["the tuned model"] > 0.9 and values["the untuned model"] < 0.85, values
    assert report["verdict"] == "better" and "a recall@1 of" in report["headline"]
    line = json.loads((alike.evaluations / "test" / "predictions.jsonl").read_text().splitlines()[0])
    assert line["y"] in ("positive", "negative") and isinstance(line["pred"], str), "the nearest text, not its vector"
    assert "pooler" not in "".join(json.loads((alike.model / "config.json").read_text()).get("architectures", []))


def test_vectors_are_the_same_from_python_the_command_and_transformers_alone(alike: Run, tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    texts = [row["text"] for row in review_rows(7, seed=3)]
    ours = [one["vector"] for one in tp.open(alike.path).predict(texts)]
    path = write_jsonl(tmp_path / "new.jsonl", [{"text": text} for text in texts])
    assert [json.loads(line)["vector"] for line in predict_file(str(alike.path), path, None)] == ours
    code = alike.read_json("eval/test/report.json")["use"][-1]["code"]
    assert "the mean state, then of length 1" in code
    tokenizer, model = AutoTokenizer.from_pretrained(alike.model), AutoModel.from_pretrained(alike.model)
    with torch.inference_mode():
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        states, mask = model(**batch).last_hidden_state, batch.attention_mask[..., None]
    vectors = functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    assert float((vectors - torch.tensor(ours)).abs().max()) < 1e-6


def test_the_folder_says_how_its_vectors_are_made(alike: Run) -> None:
    modules = json.loads((alike.model / "modules.json").read_text())
    assert [one["path"] for one in modules] == ["", "1_Pooling", "2_Normalize"]
    pooling = json.loads((alike.model / "1_Pooling" / "config.json").read_text())
    assert pooling["pooling_mode_mean_tokens"] and pooling["word_embedding_dimension"] == 32
