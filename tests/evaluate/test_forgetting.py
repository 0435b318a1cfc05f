"""What tuning cost of what was known: the documents, the three measures, and the words for them."""

from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import write_csv, write_jsonl
from torch.nn import Module, functional

from tuneproof.errors import DataError
from tuneproof.evaluate.forgetting import LIMIT, _judged, _of_readings, forgetting, known, plain
from tuneproof.evaluate.readings import Reading, divergence, readings
from tuneproof.evaluate.retain import Document, by_subject, documents, fingerprint, own, passages
from tuneproof.predict import Predictor
from tuneproof.prepare.read import read
from tuneproof.records import Table
from tuneproof.run import Run
from tuneproof.stats import difference

pytestmark = pytest.mark.usefixtures("one_thread")


# -- the documents


def test_five_hundred_documents_come_with_every_installation() -> None:
    found = documents()
    assert len(found) == len({one.text for one in found}) == 500
    assert all(60 <= len(one.text.split()) <= 120 and one.subject for one in found)
    assert documents() == found and documents(70) == found[:70], "the same ones each time, fewer are a part of more"
    assert fingerprint(found) != fingerprint(found[::-1])


def test_a_probe_gets_subjects_that_it_can_learn() -> None:
    for count, subjects in ((60, 3), (200, 10), (500, 20)):
        found = by_subject(count)
        sizes = Counter(one.subject for one in found)
        assert 0.9 * count <= len(found) <= count and len(sizes) == subjects and min(sizes.values()) >= 8, sizes


def test_passages_keep_every_word_up_to_their_limit() -> None:
    text = "Title\n=====\n\n" + "\n\n".join("word " * 40 for _ in range(4)) + "\n\nshort end"
    found = passages(text)
    assert [len(one.split()) for one in found] == [81, 80] and "=" not in found[0]
    assert len(passages("word " * 500)[0].split()) == 120


def test_own_texts(tmp_path: Path) -> None:
    rows = [{"text": f"a text about {i}", "label": "ab"[i % 2]} for i in range(40)]
    found = own(read(write_csv(tmp_path / "own.csv", rows)))
    assert len(found) == 40 and found[1] == Document("a text about 1", "b")
    with pytest.raises(DataError, match=r'no column "text".*"txt"'):
        own(read(write_csv(tmp_path / "bad.csv", [{"txt": "x"}] * 40)))
    with pytest.raises(DataError, match=r"few.csv: 20 texts .* 30 are needed"):
        own(read(write_csv(tmp_path / "few.csv", rows[:20])))


# -- the words


@pytest.mark.parametrize(
    ("shift", "noise", "word"),
    [(0.0, 0.0, "kept"), (-1.0, 0.1, "kept"), (0.02, 0.01, "slightly worse"), (0.3, 0.1, "forgot"), (0.0, 2.0, "?")],
)
def test_verdicts_follow_from_interval_and_limit(shift: float, noise: float, word: str) -> None:
    draw = np.random.default_rng(1)
    before = draw.normal(3, 1, 100)
    after = before + shift + noise * draw.normal(0, 1, 100)
    gap = difference(before, after)
    found = _judged("texts", "loss", "nats per token", list(before), list(after), gap)
    assert found["verdict"] == ("cannot tell" if word == "?" else word)
    assert found["within_limit"] == (found["lost"]["high"] <= LIMIT)
    assert found["sentence"].startswith("Forgetting on 100 documents of texts: ") and "limit 0.05" in found["sentence"]


def document(right: str, loss: float = 3.0) -> Reading:
    return Reading(loss, np.array([one == "1" for one in right]))


def test_tokens_lost_are_counted_of_those_that_were_known() -> None:
    before = [document("1100"), document("1111"), document("0000")]
    after = [document("1010"), document("1101"), document("0001")]
    found = known(before, after)
    assert (found["tokens"], found["lost"], found["gained"]) == (6, 2, 2) and found["share"] == pytest.approx(1 / 3)
    assert found["low"] == 0.0 < found["share"] < 2 * found["share"] < found["high"], "three documents tell little"
    assert known(before, before)["high"] == 0.0
    nothing = known([document("00"), document("0")], [document("01"), document("1")])
    assert nothing["tokens"] == 0 and nothing["gained"] == 2 and nothing["share"] is None


def test_the_interval_of_the_tokens_lost_covers_the_true_share_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        before, after = [], []
        for _ in range(200):
            size, rate = draw.integers(20, 96), draw.beta(1, 49)  # documents of several lengths lose 2% on average
            right = draw.random(size) < 0.4
            before.append(Reading(3.0, right))
            after.append(Reading(3.0, right & (draw.random(size) >= rate)))
        found = known(before, after)
        hits += found["low"] <= 0.02 <= found["high"]
    assert 0.92 <= hits / 400 <= 0.98, hits


def test_what_is_lost_shows_where_the_mean_loss_does_not() -> None:
    """One token of four is another one than before in every second document, and the loss is the same."""
    before = [document("1100") for _ in range(60)]
    after = [document("1100" if i % 2 else "1010") for i in range(60)]
    found = _of_readings("texts", before, after, "nats per token")
    assert not found["measurable"] and found["flagged"] and found["verdict"] == "changed" and found["within_limit"]
    assert found["sentence"].endswith(
        "no worse on the whole. Of 120 tokens that it named rightly before it misses 30 now (25.0%, 95% interval 18.5 "
        "to 31.5), and names 30 others rightly: more than 1% of what it knew is lost."
    )
    same = _of_readings("texts", before, before, "nats per token")
    assert not same["flagged"] and same["verdict"] == "kept"


# -- models that write


def noisy(model: Module, share: float, seed: int = 0) -> Module:
    """A copy whose weights are off by this share of each tensor's spread."""
    found = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter += share * parameter.std() * torch.randn(parameter.shape, generator=draw)
    return found


@pytest.fixture
def writer(finished) -> tuple[Run, Predictor]:
    run = Run.open(finished("instruction", "full"))
    return run, Predictor.open(run, base=True)


def with_model(predictor: Predictor, model: Module) -> Predictor:
    return Predictor(model.eval(), predictor.answer, predictor.encoder, predictor.schema, predictor.config)


def test_the_same_model_has_forgotten_nothing(writer) -> None:
    run, base = writer
    (found,) = forgetting(base, base, run.plan["model"], [("texts", documents(40))], [])["sets"]
    assert found["lost"]["value"] == found["lost"]["high"] == 0.0 and found["verdict"] == "kept"
    assert not found["flagged"] and found["measure"] == "loss" and found["n"] == 40
    assert found["known"]["lost"] == found["known"]["gained"] == 0


def test_loss_of_a_document_is_that_of_its_tokens(writer) -> None:
    _, base = writer
    (document,) = documents(1)
    (found,) = readings(base, [document])
    ids = base.encoder.tokenizer(document.text)["input_ids"][:96]
    with torch.inference_mode():
        logits = base.model(input_ids=torch.tensor([ids])).logits[0].float()
    assert found.loss == pytest.approx(float(functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]))), abs=1e-5)
    assert found.right.tolist() == [int(row.argmax()) == word for row, word in zip(logits[:-1], ids[1:], strict=True)]


def test_divergence_is_that_of_the_two_distributions(writer) -> None:
    run, base = writer
    other = with_model(base, noisy(base.model, 0.1))
    rows = [base.answer.example(row, base.encoder) for row in run.splits.test.rows()]
    found = divergence(other, base, rows)
    by_hand = []
    with torch.inference_mode():
        for row in rows:
            logs = [p.model(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1) for p in (base, other)]
            each = functional.kl_div(logs[1], logs[0], log_target=True, reduction="none").sum(-1)[:-1]
            by_hand.append(float(each[torch.tensor(row.loss[1:])].mean()))
    assert found is not None and found["value"] == pytest.approx(np.mean(by_hand), rel=1e-4) and found["value"] > 0
    same = divergence(base, base, rows)
    assert same is not None and same["value"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_finished_chat_run_says_what_it_forgot(finished, method: str) -> None:
    run = Run.open(finished("instruction", method))
    report = json.loads((run.evaluations / "test" / "report.json").read_text())
    (found,) = report["forgetting"]["sets"]
    assert found["n"] == 60 and found["sentence"] in report["limits"]
    assert found["sentence"] in (run.model / "README.md").read_text()
    assert report["forgetting"]["kl"]["value"] > 0
    assert run.read_json("eval/forgetting.json") == report["forgetting"]


# -- encoders


@pytest.mark.parametrize("method", ["full", "freeze", "lora"])
def test_an_encoder_without_its_head_is_probed(finished, method: str) -> None:
    run = Run.open(finished("text-classification", method))
    report = json.loads((run.evaluations / "test" / "report.json").read_text())
    (found,) = report["forgetting"]["sets"]
    assert found["measure"] == "linear probe" and found["n"] == 60 and found["sentence"] in report["limits"]
    assert report["forgetting"]["kl"] is None


def test_a_probe_sees_that_a_body_was_destroyed(finished) -> None:
    """Texts of two vocabularies are told apart by vectors that still tell words apart, and by random ones are not."""
    run = Run.open(finished("text-classification", "full"))
    base = Predictor.open(run, base=True)
    words = {"good": "great lovely sturdy perfect lamp", "bad": "awful broken flimsy useless kettle"}
    draw = np.random.default_rng(0)
    texts = [
        Document(" ".join(draw.choice(words[kind].split(), 6)), kind) for _ in range(60) for kind in ("good", "bad")
    ]
    (same,) = forgetting(base, base, run.plan["model"], [("texts", texts)], [])["sets"]
    assert same["base"] == same["tuned"] > 0.95 and same["verdict"] == "kept"
    broken = copy.deepcopy(base.model)
    with torch.no_grad():
        for parameter in broken.parameters():
            parameter.zero_()
    (found,) = forgetting(with_model(base, broken), base, run.plan["model"], [("texts", texts)], [])["sets"]
    assert found["verdict"] == "forgot" and found["tuned"] < 0.6 and "points" in found["sentence"]


def test_a_probe_without_subjects_is_not_measured(finished) -> None:
    run = Run.open(finished("text-classification", "full"))
    base = Predictor.open(run, base=True)
    texts = [Document(f"a text {i}", "") for i in range(40)]
    (found,) = forgetting(base, base, run.plan["model"], [("texts", texts)], [])["sets"]
    assert found["verdict"] == "not measured" and "nothing was measured" in found["sentence"]


@pytest.fixture(scope="module")
def headed(one_thread: None, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny BERT as it is pretrained: with its masked-language-model head."""
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("headed") / "bert"
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig.from_pretrained(tiny_bert)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("method", ["full", "lora"])
def test_an_encoder_with_its_head_is_asked_for_masked_words(headed: Path, reviews: Path, tmp_path, method) -> None:
    import tuneproof as tp

    options: dict[str, Any] = {"model_name": str(headed), "train_threads": 1, "method_name": method, "train_epochs": 1}
    run = tp.tune(reviews, runs=tmp_path, **options).run
    (found,) = json.loads((run.evaluations / "test" / "report.json").read_text())["forgetting"]["sets"]
    assert found["measure"] == "loss" and found["unit"] == "nats per masked token" and found["lost"]["value"] != 0.0
    base = Predictor.open(run, base=True)
    (same,) = forgetting(base, base, run.plan["model"], [("texts", documents(30))], [])["sets"]
    assert same["lost"]["value"] == 0.0 and same["base"] == same["tuned"] > 0


def test_adapters_are_merged_before_the_body_is_read(finished) -> None:
    tuned = Predictor.open(Run.open(finished("text-classification", "lora")))
    batch = tuned.encoder.collate([tuned.answer.example({"text": "a great lamp"}, tuned.encoder)])
    with torch.inference_mode():
        before = tuned.model(input_ids=batch.ids, attention_mask=batch.mask).logits
        after = plain(tuned.model)(input_ids=batch.ids, attention_mask=batch.mask).logits
    assert torch.allclose(before, after, atol=1e-5)


# -- one's own texts, through the whole program


def test_own_texts_are_measured_as_well(dialogues: Path, tiny_llama: Path, tmp_path: Path) -> None:
    import tuneproof as tp

    texts = write_jsonl(tmp_path / "own.jsonl", [{"text": f"number {i} is a number of mine"} for i in range(40)])
    options: dict[str, Any] = {"model_name": str(tiny_llama), "train_threads": 1, "train_epochs": 1}
    options |= {"evaluate_answers": 1, "evaluate_max_new_tokens": 2, "evaluate_retain_documents": 30}
    run = tp.tune(dialogues, runs=tmp_path / "runs", evaluate_retain=str(texts), **options).run
    general, mine = run.read_json("eval/forgetting.json")["sets"]
    assert (general["n"], mine["n"], mine["name"]) == (30, 40, "your own texts")
    with pytest.raises(DataError, match=r"none\.jsonl"):
        tp.tune(dialogues, runs=tmp_path / "other", evaluate_retain=str(tmp_path / "none.jsonl"), **options)
    assert not list((tmp_path / "other").glob("*/model")), "refused before anything was trained"


def test_tables_without_rows_of_text_are_counted() -> None:
    table = Table({"text": [None, " ", *[f"text {i}" for i in range(40)]]}, list(range(42)), "t.csv")
    assert len(own(table)) == 40
