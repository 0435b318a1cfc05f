"""Finished runs of tiny models, made by the whole program once per test process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tuneproof.config import build
from tuneproof.pipeline import Quiet, tune
from tuneproof.run import Run

OPTIONS: dict[str, Any] = {
    "model": {"precision": "fp32"},
    "train": {"threads": 1, "log_every": 5, "epochs": 4, "lr": 3e-3},
    "evaluate": {"retain_documents": 30},
}


@pytest.fixture(scope="session")
def review_run(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, reviews: Path, one_thread: None) -> Run:
    """A classifier of review sentences."""
    asked = {**OPTIONS, "model": {**OPTIONS["model"], "name": str(tiny_bert)}}
    return tune(str(reviews), build(asked), runs=tmp_path_factory.mktemp("runs"), view=Quiet())


@pytest.fixture(scope="session")
def chat_run(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, dialogues: Path, one_thread: None) -> Run:
    """A model that has heard a few facts."""
    asked = {
        **OPTIONS,
        "model": {**OPTIONS["model"], "name": str(tiny_llama)},
        "evaluate": {**OPTIONS["evaluate"], "max_new_tokens": 16},
    }
    return tune(str(dialogues), build(asked), runs=tmp_path_factory.mktemp("runs"), view=Quiet())
