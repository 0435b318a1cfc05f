"""Vectors of the untouched model are computed once per run, by whoever asks first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import review_rows, write_csv

from tuneproof import pipeline
from tuneproof.config import load
from tuneproof.modalities import TextEncoder
from tuneproof.pipeline import Quiet
from tuneproof.predict import Known, embed
from tuneproof.records import Schema
from tuneproof.run import Run
from tuneproof.tasks import TASKS

pytestmark = pytest.mark.usefixtures("one_thread")
TEXTS = ["a lovely thing", "it broke", "a lovely thing", "not what I asked for, and late as well"]


def never() -> Any:
    raise AssertionError("the model was opened")


def test_what_is_known_is_looked_up(tiny_bert: Path, tmp_path: Path) -> None:
    encoder = TextEncoder(tiny_bert, 64)
    model = TASKS["text-classification"].answer.model(
        tiny_bert, Schema("text-classification", "", {}, ("a", "b"), None, ()), seed=0
    )
    examples = [encoder.encode(text) for text in TEXTS]
    alone = embed(model.eval(), encoder, examples, "fp32")
    known, counted = Known(), list[int]()
    found = known.embed(lambda: model, encoder, examples, counted.append)
    assert found.shape == alone.shape and np.abs(found - alone).max() < 1e-6
    assert counted[-1] == 3, "a text that stands there twice is computed once"
    known.write(tmp_path / "kept")
    again = Known.read(tmp_path / "kept")
    assert np.array_equal(again.embed(never, encoder, examples[::-1]), found[::-1])
    with pytest.raises(AssertionError, match="opened"):
        again.embed(never, encoder, [encoder.encode("another text")])
    assert Known.read(tmp_path).found == {}


class Watching(Quiet):
    """Looks at what lies in the run when its plan is made: after prepare, before training."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.kept: dict[bytes, Any] = {}

    def planned(self, plan: Mapping[str, Any]) -> None:
        (path,) = self.runs.iterdir()
        self.kept = Known.read(Run.open(path).checkpoints).found


def tuned(tmp_path: Path, tiny_bert: Path, options: dict[str, Any]) -> tuple[Run, dict[bytes, Any]]:
    file = write_csv(tmp_path / "reviews.csv", review_rows(80))
    asked = load(None, {"model.name": str(tiny_bert), "train.threads": 1, "train.epochs": 1, **options})
    view = Watching(tmp_path / "runs")
    return pipeline.tune(str(file), asked, runs=tmp_path / "runs", view=view), view.kept


def test_a_run_keeps_them_from_prepare_to_its_end(tmp_path: Path, tiny_bert: Path) -> None:
    run, kept = tuned(tmp_path, tiny_bert, {})
    assert len(kept) >= len(set(run.splits.train.columns["text"])), "the doctor looks at the training rows at least"
    assert not list(run.path.rglob(Known.FILE))


def test_redacted_texts_leave_no_vectors(tmp_path: Path, tiny_bert: Path) -> None:
    _, kept = tuned(tmp_path, tiny_bert, {"check.personal_data": "fix"})
    assert kept == {}
