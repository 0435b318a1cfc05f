"""Entities by a chat model: lines and their places, what can be written, and that rows stay those of an encoder."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import MakeWork, tagged_rows, write_jsonl
from tokenizers import Tokenizer, decoders, models

import tuneproof as tp
from tuneproof.errors import ConfigError, DataError
from tuneproof.evaluate.compare import compare
from tuneproof.modalities import ChatEncoder
from tuneproof.predict import predict_examples
from tuneproof.records import Prediction, Schema
from tuneproof.run import Run
from tuneproof.tasks import TASKS, entities, suited
from tuneproof.tasks.entity_lines import END, Lines, places, read, told
from tuneproof.tasks.spelling import spelling
from tuneproof.tasks.wording import ENTITIES, NAMED, UNNAMED, entity_wording
from tuneproof.train.fit import assemble

NAME = "instructed-extraction"
TYPES = ("LOC", "PER", "PER: X")  # the last begins as another does
WORDS = st.lists(
    st.sampled_from(["Ann", "an", "Lee", "Bonn", ".", "Köln", "東京", "none", "a b", "-"]), min_size=1, max_size=8
)


def tagged(words: list[str], draw: random.Random) -> list[str]:
    """Tags that make entities, at random."""
    tags: list[str] = []
    for _ in words:
        before = tags[-1] if tags else "O"
        choices = ["O", *(f"B-{kind}" for kind in TYPES), *([f"I-{before[2:]}"] if before != "O" else [])]
        tags.append(draw.choice(choices))
    return tags


def schema(*types: str, **more: Any) -> Schema:
    fields = {"words": "tokens", "tags": "ner_tags"}
    return Schema(NAME, "words+tags", fields, (), None, (), tags=entities.tag_set(types), **more)


# -- lines


@given(WORDS, st.sampled_from([" ", "", "\n", " \t "]), st.randoms(use_true_random=False))
def test_lines_read_back_are_the_same_entities(words: list[str], between: str, draw: random.Random) -> None:
    """All but those before which equal words stand that are none, and those are found with their words and types."""
    text = between.join(words)
    truth = entities.found(text, words, tagged(words, draw))
    back = read(told(truth), places(text, words), TYPES)
    assert back is not None and len(back) == len(truth)
    for one, other in zip(back, truth, strict=True):
        assert one["label"] == other["label"] and one["text"].split() == other["text"].split()
        assert one["text"] == text[one["start"] : one["end"]] and one["start"] <= other["start"]


def test_an_answer_is_lines_in_the_order_of_the_text() -> None:
    where = places("Ann  Lee left\nBonn", ["Ann", "Lee", "left", "Bonn"])
    found = [
        {"text": "Ann  Lee", "start": 0, "end": 8, "label": "PER"},
        {"text": "Bonn", "start": 14, "end": 18, "label": "LOC"},
    ]
    assert told(found) == "PER: Ann Lee\nLOC: Bonn" and read(told(found), where, TYPES) == found
    assert told([]) == "none" and read("none", where, TYPES) == []


@pytest.mark.parametrize(
    "answer",
    ["", "LOC", "LOC: ", "ORG: Bonn", "LOC: Bon", "LOC: onn", "LOC: Rome", "LOC: Bonn\nPER: Ann", "PER: Ann\n", "Ann"],
)
def test_what_is_no_answer_is_not_read(answer: str) -> None:
    assert read(answer, places("Ann left Bonn", ["Ann", "left", "Bonn"]), TYPES) is None


# -- what can be written


@given(WORDS, st.sampled_from([" ", "", "\n"]), st.randoms(use_true_random=False))
def test_right_answers_can_be_written_and_whatever_is_written_can_be_read(
    words: list[str], between: str, draw: random.Random
) -> None:
    text = between.join(words)
    where = places(text, words)
    lines = Lines(where, TYPES, lead=b" ", tail=b"\n")
    right = told(entities.found(text, words, tagged(words, draw)))
    assert END in lines.through(lines.begin(), f" {right}\n".encode())
    states, said = lines.begin(), b""
    while not (END in states and (draw.random() < 0.3 or not lines.moves(states))):
        moves = lines.moves(states)
        assert moves, f"{said!r} can neither go on nor end"
        byte = draw.choice(sorted(moves))
        states, said = moves[byte], said + bytes([byte])
    assert read(said.decode()[1:-1], where, TYPES) is not None


def test_tokens_spell_bytes(tiny_llama: Path) -> None:
    tokenizer = ChatEncoder(tiny_llama, 256).tokenizer
    spelt, tree = spelling(tokenizer)
    for text in ("Ann left Köln.\nPER: 東京 ", "😀 none"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert b"".join(spelt[id] for id in ids) == text.encode()
    assert not set(spelt) & set(tokenizer.all_special_ids)
    where = places("Köln", ["Köln"])
    lines = Lines(where, ("LOC",))
    found = {spelt[id] for id in tree.after(lines.begin(), lines)}
    assert {b"L", b"n"} <= found and all(
        b"LOC: K\xc3\xb6ln".startswith(one) or b"none".startswith(one) for one in found
    )


def test_tokens_of_sentencepiece_spell_bytes() -> None:
    vocabulary = {"<s>": 0, "<0xC3>": 1, "<0xB6>": 2, "\u2581K": 3, "l": 4, "n": 5, "\u2581": 6, "K": 7}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[("\u2581", "K")], byte_fallback=True))
    inner.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    from transformers import PreTrainedTokenizerFast

    spelt, _ = spelling(PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>"))
    assert b"".join(spelt[id] for id in (3, 1, 2, 4, 5)) == " Köln".encode() and 0 not in spelt


@pytest.mark.parametrize("method", ["full", "prompt"])
def test_an_untuned_model_says_nothing_but_entities_of_the_row(make_work: MakeWork, method: str) -> None:
    """Random weights, and tokens of an adapter before the text."""
    work = make_work(NAME, method, {"model.max_length": 200}, rows=12)
    model = assemble(work).model
    said = predict_examples(model, work.answer, work.encoder, work.train, "fp32")
    types = set(entities.types([work.schema.tags]))
    found = [(one, example.about) for p, example in zip(said, work.train, strict=True) for one in p.value]
    assert found, "nothing was said, so nothing was tried"
    for one, about in found:
        words = entities.located(about.text, about.words)
        assert one["label"] in types and one["text"] == about.text[one["start"] : one["end"]]
        assert one["start"] in {start for start, _ in words} and one["end"] in {stop for _, stop in words}
    with torch.inference_mode():
        alone = [work.answer.predict(model, work.encoder.collate([one]))[0].value for one in work.train]
    assert [p.value for p in said] == alone, "what else is in the batch changes nothing"


# -- answers that fail


def test_an_answer_without_an_end_keeps_its_whole_lines_and_is_counted(tiny_llama: Path) -> None:
    answer, encoder = TASKS[NAME].answer.fitted(schema("PER")), ChatEncoder(tiny_llama, 256)
    words = ["Ann", "met", "Bob", "and", "Kay"]
    row = {"text": " ".join(words), "words": words, "tags": ["B-PER", "O", "B-PER", "O", "B-PER"]}
    about, stop = answer.example(row, encoder).about, encoder.stops[:1]

    def said(text: str, end: list[int], room: int = 200) -> Prediction:
        return answer._one(about, [*encoder.tokenizer(text, add_special_tokens=False)["input_ids"], *end], room, {})

    ended, cut, full = said("PER: Ann\nPER: Bob", stop), said("PER: Ann\nPER: Bo", stop), said("PER: Ann", stop, 1)
    long = said("PER: Ann\nPER: Bob\nPER: Kay and so on", [], 1)
    assert [[one["text"] for one in p.value] for p in (ended, cut, full, long)] == [
        ["Ann", "Bob"], ["Ann"], ["Ann"], ["Ann", "Bob"]
    ]  # fmt: skip
    assert [p.scores["answers_failed"] for p in (ended, cut, full, long)] == [0, 1, 0, 1]
    scores = answer.score([ended, cut])
    assert scores.values["answers_failed"] == 0.5 and "1 of 2 answers did not end" in " ".join(scores.notes)
    assert scores.primary == "entity_f1" and scores.n == 2 and scores.values["entity_recall"] == 0.5


def test_entities_that_the_answer_cannot_say_are_counted(tiny_llama: Path) -> None:
    answer, encoder = TASKS[NAME].answer.fitted(schema("PER")), ChatEncoder(tiny_llama, 256)
    row = {"text": "Ann met Ann", "words": ["Ann", "met", "Ann"], "tags": ["O", "O", "B-PER"]}
    about = answer.example(row, encoder).about
    ids = [*encoder.tokenizer("PER: Ann", add_special_tokens=False)["input_ids"], encoder.stops[0]]
    said = answer._one(about, ids, 9, {})
    assert said.scores["entities_hidden"] == 1 and said.scores["entities_right"] == 0
    assert "1 of 1 entities cannot be said" in " ".join(answer.score([said]).notes)


# -- rows that are too long


def test_a_row_that_is_cut_keeps_the_entities_before_the_cut(tiny_llama: Path) -> None:
    answer, encoder = TASKS[NAME].answer.fitted(schema("PER")), ChatEncoder(tiny_llama, 230)
    words = [f"word{n}" for n in range(60)]
    tags = ["B-PER" if n % 6 == 0 else "I-PER" if n % 6 < 3 else "O" for n in range(60)]
    row = {"text": " ".join(words), "words": words, "tags": tags}
    whole = answer.example(row, encoder)
    cut = encoder.cut(whole)
    assert whole.longest > 230 >= cut.longest
    read_words = len(cut.about.where.starts)
    assert 0 < read_words < 60 and len(cut.about.words) == 60, "what was cut off is still measured"
    learnt = encoder.tokenizer.decode([id for id, on in zip(cut.ids, cut.loss or [], strict=True) if on])
    lines = learnt.removesuffix("<|im_end|>").split("\n")
    assert lines == [f"PER: word{n} word{n + 1} word{n + 2}" for n in range(0, 60, 6) if n + 3 <= read_words]
    shown = answer.view(row, encoder)
    assert [id for piece in shown for id in piece.ids] == list(cut.ids), "the view is not what is trained on"


def test_a_row_without_room_for_an_answer_is_too_long(tiny_llama: Path) -> None:
    answer, encoder = TASKS[NAME].answer.fitted(schema("PER")), ChatEncoder(tiny_llama, 256)
    plain = answer.question("Ann")
    assert answer.length(plain, encoder) == len(encoder.prompt(answer.outside(plain)["messages"]).ids) + 32


# -- what is asked, and of whom


def test_few_types_are_named_and_many_are_not() -> None:
    many = schema(*(f"kind {n:02}" for n in range(NAMED + 1)))
    assert entity_wording(schema("LOC", "PER"), None) == (ENTITIES, "a plain question that names the 2 types")
    assert entity_wording(many, None)[0] == UNNAMED and "{labels}" not in UNNAMED
    with pytest.raises(ConfigError, match=r"has no {text}"):
        entity_wording(many, "Entities?")


def test_the_kind_of_model_decides() -> None:
    assert (
        suited(TASKS["token-classification"], "decoder").name == NAME and TASKS[NAME].judged == "token-classification"
    )


RUN = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32", "train_epochs": 1}


@pytest.fixture(scope="module")
def both(
    one_thread: None, tiny_bert: Path, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Run, Run]:
    """An encoder's run and a chat model's on one file; nobody names the task."""
    root = tmp_path_factory.mktemp("both")
    file = write_jsonl(root / "things.jsonl", tagged_rows(80))
    runs = [
        tp.tune(file, runs=root / "runs", model_name=str(model), method_name="full", **RUN).run
        for model in (tiny_bert, tiny_llama)
    ]
    return runs[0], runs[1]


def test_both_kinds_of_model_are_compared_on_the_same_rows(both: tuple[Run, Run]) -> None:
    reader, writer = both
    assert [run.schema.task for run in both] == ["token-classification", NAME]
    assert reader.manifest["data_id"] == writer.manifest["data_id"]
    for (_, one), (_, other) in zip(reader.splits.items(), writer.splits.items(), strict=True):
        assert list(one.columns["id"]) == list(other.columns["id"])
    found = compare([str(run.path) for run in both])
    assert found["n"] == len(reader.splits.test) and found["value_a"] is not None and found["value_b"] is not None
    truths = [[line["y"] for line in run.read_lines("eval/test/predictions.jsonl")] for run in both]
    assert truths[0] == truths[1]
    with pytest.raises(DataError, match="no score tokens"):
        compare([str(run.path) for run in both], metric="loss_per_token")


def test_the_page_has_its_baselines_and_failed_answers(both: tuple[Run, Run]) -> None:
    run = both[1]
    report = run.read_json("eval/test/report.json")
    assert {system["name"] for system in report["scores"]["systems"]} >= {"never an entity", "the untuned model"}
    assert 0 <= report["scores"]["systems"][0]["values"]["answers_failed"] <= 1
    assert "failed answers" in run.report.read_text()
    assert run.plan["settings"]["data.instruction"]["by"] == "rule" and run.schema.outputs == 0


def test_the_card_says_what_to_ask_and_how_to_read(both: tuple[Run, Run]) -> None:
    card = (both[1].model / "README.md").read_text()
    assert f"asked = {ENTITIES!r}" in card and "a line for each entity" in card and "num_labels" not in card


def test_predictions_of_plain_texts(both: tuple[Run, Run]) -> None:
    text = "the kettle is great"
    (said,) = tp.open(both[1].path).predict([text])
    assert said.keys() == {"entities"}
    assert all(text[one["start"] : one["end"]] == one["text"] for one in said["entities"])


def test_the_loss_is_that_of_the_answers_tokens(make_work: MakeWork) -> None:
    work = make_work(NAME, "full", rows=4)
    model = assemble(work).model.eval()
    batch = work.encoder.collate(work.train)
    with torch.inference_mode():
        said, whole = work.answer.predict(model, batch), float(work.answer.loss(model, batch))
    assert sum(p.scores["nll"] for p in said) == pytest.approx(whole, rel=1e-5)
