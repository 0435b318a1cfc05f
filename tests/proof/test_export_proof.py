"""Ten broken exports of each kind, of tiny models, are refused; benchmarks/broken_exports.py does it to real ones."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tiny import chat_rows, write_jsonl

import tuneproof as tp
from tuneproof.deploy.export import EXPORTS, export
from tuneproof.deploy.export.subject import Subject
from tuneproof.errors import CheckError
from tuneproof.run import Run

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import broken_exports

pytestmark = [pytest.mark.proof, pytest.mark.usefixtures("one_thread")]


@pytest.mark.parametrize(
    ("task", "method"), [("instruction", "full"), ("instruction", "lora"), ("text-classification", "full")]
)
def test_ten_of_ten_are_refused(finished: Callable[[str, str], Path], task: str, method: str) -> None:
    run = Run.open(finished(task, method))
    for kind in broken_exports.kinds_for(run):
        said = [broken_exports.refused(run, kind, seed) for seed in range(10)]
        print(f"{task}, {method}, {kind}: {sum(map(bool, said))} of 10")
        assert all("is not the model that was scored" in one for one in said), said


def test_a_transposed_weight_in_half_precision_is_worse(tmp_path: Path, tiny_llama: Path) -> None:
    """The answers tell, and the layer is named that rounding does not explain."""
    file = write_jsonl(tmp_path / "chat.jsonl", chat_rows(240))
    options: dict[str, Any] = {"train_threads": 1, "model_precision": "fp32", "train_epochs": 1, "train_lr": 3e-3}
    options |= {"evaluate_answers": 1, "evaluate_max_new_tokens": 4, "evaluate_precision": "fp32"}
    run = tp.tune(file, runs=tmp_path / "runs", model_name=str(tiny_llama), method_name="full", **options).run

    def build(subject: Subject, folder: Path, precision: str) -> None:
        EXPORTS["merged"].build(subject, folder, precision)
        weights = load_file(folder / "model.safetensors")
        name = next(n for n, w in weights.items() if w.ndim == 2 and w.shape[0] == w.shape[1])
        weights[name] = weights[name].T.contiguous()
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    worse = dataclasses.replace(EXPORTS["merged"], build=build)
    for precision in ("bf16", "fp16"):
        with pytest.raises(CheckError, match=r"not shown to be worse by less than 0\.01.*layer 1 of 2"):
            export(Run.open(run.path), run.id, worse, tmp_path / precision, precision, lambda line: None)
