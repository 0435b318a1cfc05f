"""What a model that writes says, and what its folder tells others about how it was made to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from transformers import GenerationConfig

from tuneproof.errors import ModelError
from tuneproof.modalities import ChatEncoder
from tuneproof.records import Generation, Schema
from tuneproof.run import Run
from tuneproof.tasks import TASKS, Writer
from tuneproof.tasks.pretrained import load_pretrained

ANSWER = TASKS["instruction"].answer
NOTHING = Schema("instruction", "messages", {"messages": "messages"}, (), None, ())


@pytest.mark.parametrize("how", [Generation(40, 2.0), Generation(40, 1.0, 2)])
def test_an_answer_is_kept_from_running_in_circles(tiny_llama: Path, how: Generation) -> None:
    model = ANSWER.model(tiny_llama, NOTHING, seed=0).eval()
    encoder = ChatEncoder(tiny_llama, 256)
    rows = [{"messages": [{"role": "user", "content": "one two three"}]}]
    free, held = (ANSWER.respond(model, encoder, rows, one)[0] for one in (Generation(40), how))
    assert len(set(held.value)) > len(set(free.value)), "an untrained model repeats itself under greedy decoding"


def test_the_folder_says_how_answers_are_made(finished) -> None:  # type: ignore[no-untyped-def]
    run = Run.open(finished("instruction", "lora"))
    kept = json.loads((run.model / "generation_config.json").read_text(encoding="utf-8"))
    assert kept["repetition_penalty"] == run.config.evaluate.repetition_penalty
    assert kept["max_new_tokens"] == run.config.evaluate.max_new_tokens
    assert kept["eos_token_id"] == ChatEncoder(run.model, 256).stops
    assert GenerationConfig.from_pretrained(run.model).do_sample is False
    assert "GenerationConfig" in (run.model / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("auto", ["AutoModelForCausalLM", "AutoModelForTokenClassification"])
def test_an_architecture_that_cannot_do_the_task_is_refused(tiny_t5: Path, tiny_llama: Path, auto: str) -> None:
    """transformers' own tables say which can."""
    folder = tiny_t5 if auto == "AutoModelForCausalLM" else tiny_llama / "nothing"
    with pytest.raises(ModelError, match=f"cannot be opened as {auto.removeprefix('AutoModelFor')}") as refused:
        load_pretrained(auto, folder, seed=0)
    assert refused.value.exit_code == 2


def test_draws_are_the_rows_own(tiny_llama: Path, one_thread: None) -> None:
    """Neither who uses torch's generator meanwhile nor who stands beside it in a batch changes what a seed draws."""
    model, writer = ANSWER.model(tiny_llama, NOTHING, seed=0).eval(), cast(Writer, ANSWER)
    encoder = ChatEncoder(tiny_llama, 64)
    rows, how = [ANSWER.question("colour of snow")], Generation(8, temperature=1.5, top_p=0.9, seed=3)

    def meddle(written: Sequence[Sequence[int]]) -> list[bool]:
        torch.manual_seed(0)
        return [False] * len(written)

    alone, other = (writer.write(model, encoder, rows, replace(how, seed=seed)) for seed in (3, 4))
    assert alone != other
    assert writer.write(model, encoder, rows, how, meddle) == alone
    assert writer.write(model, encoder, rows * 3, how, None, (4, 3, 4)) == [*other, *alone, *other]
