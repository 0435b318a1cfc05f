"""What an encoder with a decoder is asked of a general text, by what its tokenizer knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import WORDS, build_t5

from tuneproof.evaluate.forgetting import forgetting
from tuneproof.evaluate.gapped import gapped
from tuneproof.evaluate.retain import documents
from tuneproof.modalities import TextEncoder
from tuneproof.predict import Predictor
from tuneproof.run import Run

TEXT = " ".join((list(WORDS) * 9)[:40])


@pytest.fixture
def t5(tmp_path: Path) -> TextEncoder:
    return TextEncoder(build_t5(tmp_path / "t5"), 64)


def words(encoder: TextEncoder, ids) -> list[str]:
    return encoder.tokenizer.convert_ids_to_tokens(list(ids))


def test_a_t5_is_asked_for_what_its_sentinels_stand_for(t5: TextEncoder) -> None:
    t5.tokenizer.add_special_tokens({"extra_special_tokens": [f"<extra_id_{n}>" for n in range(100)]})
    found = gapped(t5, TEXT, 3)
    source, target = words(t5, found.ids), words(t5, found.target)
    assert source[-1] == target[-1] == "</s>" and source.count("<extra_id_0>") == source.count("<extra_id_1>") == 1
    assert target[0] == "<extra_id_0>" and target[-2] == "<extra_id_2>" and len(target) == 3 + 2 * 3 + 1
    gaps = {"<extra_id_0>": target[1:4], "<extra_id_1>": target[5:8]}
    assert [word for one in source[:-1] for word in gaps.get(one, [one])] == TEXT.split(), "put together it is the text"
    assert gapped(t5, TEXT, 3) == found != gapped(t5, TEXT, 4), "the number draws, nothing else"


def test_a_bart_is_asked_for_the_text_whose_stretches_are_masks(t5: TextEncoder) -> None:
    t5.tokenizer.add_special_tokens({"mask_token": "<mask>"})
    found = gapped(t5, TEXT, 3)
    assert words(t5, found.target) == [*TEXT.split(), "</s>"]
    assert words(t5, found.ids).count("<mask>") == 4 and len(found.ids) == 41 - 4 * (3 - 1)


def test_another_one_continues(t5: TextEncoder) -> None:
    found = gapped(t5, TEXT, 3)
    assert words(t5, found.ids) == [*TEXT.split()[:20], "</s>"]
    assert words(t5, found.target) == [*TEXT.split()[20:], "</s>"]


@pytest.mark.parametrize("length", [1, 2, 5, 39, 300])
@pytest.mark.parametrize("kind", ["sentinels", "mask", "neither"])
def test_any_length_has_something_to_be_asked_for(t5: TextEncoder, kind: str, length: int) -> None:
    if kind == "sentinels":
        t5.tokenizer.add_special_tokens({"extra_special_tokens": [f"<extra_id_{n}>" for n in range(100)]})
    if kind == "mask":
        t5.tokenizer.add_special_tokens({"mask_token": "<mask>"})
    for number in range(5):
        found = gapped(t5, " ".join(["great"] * length), number)
        assert 1 <= len(found.ids) <= 64 and found.target and len(found.target) <= 65


def test_a_finished_run_says_what_it_forgot(finished) -> None:
    run = Run.open(finished("seq2seq", "lora"))
    report = json.loads((run.evaluations / "test" / "report.json").read_text())
    (found,) = report["forgetting"]["sets"]
    assert found["measure"] == "loss" and found["unit"] == "nats per token" and found["lost"]["value"] != 0.0
    assert report["forgetting"]["kl"]["value"] > 0
    base = Predictor.open(run, base=True)
    (same,) = forgetting(base, base, run.plan["model"], [("texts", documents(30))], [])["sets"]
    assert same["lost"]["value"] == same["known"]["lost"] == 0 and same["verdict"] == "kept"
