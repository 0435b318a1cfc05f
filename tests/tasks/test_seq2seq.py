"""A source and its target: what is recognised, what is refused, and that a saved folder writes what the report says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny import build_t5, pair_rows, write_csv, write_jsonl

import tuneproof as tp
from tuneproof.choose import facts
from tuneproof.config import Data
from tuneproof.errors import ConfigError, DataError, ModelError
from tuneproof.predict import Predictor
from tuneproof.prepare.read import read
from tuneproof.prepare.schema import infer
from tuneproof.run import Run
from tuneproof.sources import model as source_of
from tuneproof.tasks import TASKS
from tuneproof.tuned import predict_file

ANSWERS = {name: row.answer for name, row in TASKS.items()}


def understood(path: Path, **asked: str):
    return infer(read(path), ANSWERS, Data(**asked))


def texts(names: tuple[str, str], tmp_path: Path, count: int = 30) -> Path:
    rows = [{names[0]: row["en"], names[1]: row["de"]} for row in pair_rows(count)]
    return write_csv(tmp_path / "pairs.csv", rows)


@pytest.mark.parametrize("names", [("en", "de"), ("source", "target"), ("original", "simplified"), ("text", "summary")])
def test_two_columns_are_known_by_their_names(names: tuple[str, str], tmp_path: Path) -> None:
    schema = understood(texts(names, tmp_path))
    assert (schema.task, schema.fields) == ("seq2seq", {"text": names[0], "target": names[1]})


def test_a_document_with_its_summary_is_a_chat_models_unless_asked(tmp_path: Path) -> None:
    path = texts(("document", "summary"), tmp_path)
    assert understood(path).task == "instruction"
    assert understood(path, task="seq2seq").fields == {"text": "document", "target": "summary"}


def test_any_two_columns_can_be_named_and_either_way(tmp_path: Path) -> None:
    path = texts(("en", "de"), tmp_path)
    assert understood(path, task="seq2seq", text="de", label="en").fields == {"text": "de", "target": "en"}
    with pytest.raises(DataError, match=r'no column "fr" \(asked for with --label\)'):
        understood(path, task="seq2seq", text="de", label="fr")
    with pytest.raises(DataError, match="both source and target"):
        understood(path, task="seq2seq", text="de", label="de")


def test_an_empty_target_is_named_by_file_and_line(tmp_path: Path, tiny_t5: Path) -> None:
    rows = pair_rows(30)
    for row in rows[:10]:
        row["de"] = " "
    path = write_csv(tmp_path / "holes.csv", rows)
    with pytest.raises(DataError, match=r"holes.csv, line 2: 10 of 30 rows .* \(empty answer 10") as refused:
        tp.tune(path, runs=tmp_path / "runs", model_name=str(tiny_t5))
    assert refused.value.exit_code == 2


def test_a_model_without_a_decoder_is_refused(tmp_path: Path, tiny_bert: Path) -> None:
    with pytest.raises(ModelError, match="of the kind encoder; this task needs seq2seq") as refused:
        tp.tune(texts(("en", "de"), tmp_path), runs=tmp_path / "runs", model_name=str(tiny_bert))
    assert refused.value.exit_code == 2


def test_a_length_penalty_without_beams_would_do_nothing(tmp_path: Path, tiny_t5: Path) -> None:
    with pytest.raises(ConfigError, match="there is one beam"):
        tp.tune(
            texts(("en", "de"), tmp_path), runs=tmp_path, model_name=str(tiny_t5), evaluate_length_penalty=2, **QUICK
        )


QUICK = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32", "evaluate_retain_documents": 30}


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory, tiny_t5: Path, one_thread: None) -> Run:
    """A tiny T5 that learnt its 14 words from 400 lists."""
    folder = tmp_path_factory.mktemp("translated")
    path = write_csv(folder / "words.csv", pair_rows(400))
    options = {
        "train_epochs": 60,
        "train_lr": 5e-3,
        "train_batch_size": 16,
        "evaluate_beams": 2,
        "evaluate_length_penalty": 0.5,
    }
    return tp.tune(path, runs=folder / "runs", model_name=str(tiny_t5), **options, **QUICK).run


def test_a_tiny_model_learns_to_translate_and_copying_does_not(translated: Run) -> None:
    report = translated.read_json("eval/test/report.json")
    scores = {one["name"]: one["values"] for one in report["scores"]["systems"]}
    print(scores["the tuned model"])
    assert scores["the tuned model"]["rougeL"] > 0.4 and scores["the tuned model"]["bleu"] > 10
    assert scores["the source, copied"]["rougeL"] == 0 and scores["the untuned model"]["rougeL"] < 0.1
    assert report["verdict"] == "better" and "ROUGE-L" in report["headline"]
    assert "version:2" in report["scores"]["notes"][0]
    assert any("never trained before" in limit for limit in report["limits"])
    page = (translated.path / "eval" / "test" / "report.html").read_text()
    assert "Answers side by side" in page and "stopped by itself" in page


def test_a_saved_folder_writes_the_same_with_transformers_alone(translated: Run, tmp_path: Path) -> None:
    """Beams and penalty are those of its generation_config.json: nothing has to be said."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    rows = [row["en"] for row in pair_rows(12, seed=9)]
    ours = [one["text"] for one in tp.open(translated.path).predict(rows)]
    saved = json.loads((translated.model / "generation_config.json").read_text())
    assert saved["num_beams"] == 2 and saved["length_penalty"] == 0.5 and saved["decoder_start_token_id"] == 0
    tokenizer = AutoTokenizer.from_pretrained(translated.model)
    model = AutoModelForSeq2SeqLM.from_pretrained(translated.model)
    with torch.inference_mode():
        theirs = [model.generate(**tokenizer(text, return_tensors="pt", return_token_type_ids=False)) for text in rows]
    assert [tokenizer.decode(ids[0], skip_special_tokens=True).strip() for ids in theirs] == ours
    path = write_jsonl(tmp_path / "new.jsonl", [{"en": row} for row in rows])
    lines = [json.loads(line) for line in predict_file(str(translated.path), path, None)]
    assert [line["text"] for line in lines] == ours


def test_what_was_written_is_in_the_predictions(translated: Run) -> None:
    line = json.loads((translated.evaluations / "test" / "predictions.jsonl").read_text().splitlines()[0])
    assert isinstance(line["pred"], str) and line["y"] and line["out_tok"] > 0
    assert {"nll", "tokens", "hits", "stopped", "rouge1", "rouge2", "rougeL"} <= line["scores"].keys()
    assert {"rougeL"} <= line["baselines"]["the source, copied"].keys()


def test_norms_tell_an_untrained_model_from_a_trained_one(translated: Run, tmp_path: Path) -> None:
    fresh = build_t5(tmp_path / "fresh")
    assert not facts(source_of(str(fresh))).trained
    assert facts(source_of(str(translated.model))).trained
    assert translated.plan["settings"]["train.epochs"]["by"] == "you"


def test_a_target_is_read_with_its_end(tiny_t5: Path) -> None:
    from tuneproof.modalities import TextEncoder

    encoder = TextEncoder(tiny_t5, 64)
    assert encoder.target("gut lampe")[-1] == encoder.tokenizer.eos_token_id
    example = TASKS["seq2seq"].answer.example({"text": "great lamp", "target": "gut lampe"}, encoder)
    assert example.units == 3 and len(example) == 3


def test_rows_are_batched_without_changing_their_loss(translated: Run) -> None:
    """Padding on either side changes nothing: each row alone gives what it gives among others."""
    predictor = Predictor.open(translated)
    rows = [{"text": row["en"], "target": row["de"]} for row in pair_rows(8, seed=5)]
    examples = [predictor.answer.example(row, predictor.encoder) for row in rows]
    together = predictor.scored(examples, rows)
    for row, example, one in zip(rows, examples, together, strict=True):
        alone = predictor.scored([example], [row])[0]
        assert alone.value == one.value and alone.scores["nll"] == pytest.approx(one.scores["nll"], abs=1e-4)
