"""The model when nobody named one, and what a folder says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneproof.choose import choose
from tuneproof.choose.facts import facts
from tuneproof.device import Machine
from tuneproof.errors import ModelError
from tuneproof.sources import CATALOG
from tuneproof.sources import model as source

LAPTOP = Machine(cores=2, memory=16 * 2**30, free=12 * 2**30, gpu=None)


def test_without_a_gpu_the_smallest_model_made_for_the_task_is_chosen() -> None:
    assert choose("text-classification", ("encoder",), LAPTOP)[0] == "minilm-l6"
    assert choose("instruction", ("decoder",), LAPTOP)[0] == "smollm2-135m-instruct"


def test_with_a_gpu_the_largest_that_trains_in_half_the_memory() -> None:
    big = Machine(
        cores=16, memory=16 * 2**30, free=8 * 2**30, gpu="some GPU", gpu_memory=128 * 2**30, gpu_free=120 * 2**30
    )
    name, reason = choose("instruction", ("decoder",), big)
    assert CATALOG[name].parameters > 10**9 and "largest" in reason and "half of the free memory of some GPU" in reason
    assert 16 * CATALOG[name].parameters <= big.gpu_free / 2


def test_a_language_model_without_a_chat_template_is_never_the_default() -> None:
    assert CATALOG[choose("instruction", ("decoder",), LAPTOP)[0]].chat


def test_nothing_fits_into_no_memory() -> None:
    tiny = Machine(cores=1, memory=2**28, free=2**27, gpu=None)
    with pytest.raises(ModelError, match=r"No model of the catalogue .* 0\.1 GiB"):
        choose("text-classification", ("encoder",), tiny)


def test_heads_count_where_attention_drops_weights(tiny_bert: Path, tiny_llama: Path) -> None:
    """Then something of each pair of tokens is kept, and memory grows with the square of a row."""
    assert facts(source(str(tiny_bert), say=lambda line: None)).dropping_heads == 2
    assert facts(source(str(tiny_llama), say=lambda line: None)).dropping_heads == 0
