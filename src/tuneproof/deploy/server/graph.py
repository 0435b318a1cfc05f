"""A model that reads, computed by onnxruntime: the ONNX export of a run in place of torch's layers.

    predictor, why = by_graph(predictor, run, "reviews@7", say)      # why it stays with torch, or ""

Of a few short texts torch lays the weights out anew for each product, and starts every operation from Python;
onnxruntime lays them out once, when the graph is opened. The graph is that of ``tuneproof export --to onnx``: it is
kept only if it answers as the model that was scored, and made once for a model, whatever runs and versions have it.
Tokens, temperature, thresholds and what an answer looks like are the predictor's own.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module, Parameter

from tuneproof.deploy.export import EXPORTS
from tuneproof.deploy.export.subject import Subject
from tuneproof.deploy.registry.home import home, private
from tuneproof.errors import CheckError
from tuneproof.optional import need
from tuneproof.place import device_of
from tuneproof.predict import Predictor
from tuneproof.run import Run

TARGET = "onnx"
WRITERS: set[subprocess.Popen[str]] = set()  # processes that write a graph now
TIDY = 64  # batches after which onnxruntime gives back the memory that it holds for others
Say = Callable[[str], None]


class Graph(Module):
    """Called as the model whose export it is, from several threads at once; the logits are all that it gives."""

    def __init__(self, folder: Path, config: Any, threads: int = 1) -> None:
        super().__init__()
        self.config = config  # the model's
        runtime = need("onnxruntime", extra="onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the other threads have work to do
        options.enable_mem_pattern = False  # batches are of ever other sizes
        as_asked = {"arena_extend_strategy": "kSameAsRequested"}  # and not twice as much as before
        self._session = runtime.InferenceSession(
            str(folder / "model.onnx"), options, providers=[("CPUExecutionProvider", as_asked)]
        )
        self._tidy = runtime.RunOptions()
        self._tidy.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._runs = itertools.count(1)
        self._asks = {one.name for one in self._session.get_inputs()}
        self.place = Parameter(torch.empty(0), requires_grad=False)  # by which one sees where it computes

    def forward(self, *, input_ids: Tensor, **more: Tensor) -> SimpleNamespace:
        """``input_ids``, and ``attention_mask`` and ``token_type_ids`` where there are any, (B, T) each."""
        given = {"input_ids": input_ids, **more}
        if unknown := set(given) - self._asks:
            raise ValueError(f"the graph has no input {', '.join(sorted(unknown))}")
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in given.items()}
        for name in self._asks - set(arrays):
            fill = np.ones_like if name == "attention_mask" else np.zeros_like
            arrays[name] = fill(arrays["input_ids"])
        how = None if next(self._runs) % TIDY else self._tidy
        return SimpleNamespace(logits=torch.from_numpy(self._session.run(["logits"], arrays, how)[0]))


def has_graph(predictor: Predictor, run: Run, label: str) -> bool:
    """Whether ``--onnx`` would change by what this is computed."""
    return device_of(predictor.model).type == "cpu" and not EXPORTS[TARGET].refuses(Subject(run, label, predictor))


def by_graph(predictor: Predictor, run: Run, label: str, threads: int, say: Say) -> tuple[Predictor, str]:
    """The same predictor over a graph, and ""; or as it was, and why there is no graph of it.

    DependencyError without the packages; CheckError where the graph is not the model that was scored, or was changed.
    """
    why = EXPORTS[TARGET].refuses(Subject(run, label, predictor))
    if why:
        return predictor, why
    folder = private(home() / "graphs") / sum_of(run.model, run.plan["model"]["revision"])
    if not folder.is_dir():
        _written(run, label, folder, say)
    _unchanged(folder)
    return replace(predictor, model=Graph(folder, predictor.model.config, threads).eval()), ""


def _written(run: Run, label: str, folder: Path, say: Say) -> None:
    """By a process of its own: callers do not wait for its Python, and the server can end before it."""
    say(f"Writing the graph of {label} for onnxruntime, once")
    command = [sys.executable, "-m", "tuneproof.cli", "export", str(run.path), "--to", TARGET, "--output", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as writer:
        WRITERS.add(writer)
        told = writer.communicate()[0]
        WRITERS.discard(writer)
    if writer.returncode and not folder.is_dir():  # or another server was as far a moment before
        raise CheckError(f"The graph of {label} was not written. {told.rpartition('tuneproof: ')[2].strip()}")


def end_writers() -> None:
    """Whoever waits for a graph gets an error in place of it."""
    for writer in list(WRITERS):
        writer.kill()


def sum_of(model: Path, base: str) -> str:
    """The same for models with the same files over the same revision of a pretrained one, which an adapter needs."""
    told = hashlib.sha256(f"{base}\n".encode())
    for file in sorted(path for path in model.rglob("*") if path.is_file()):
        told.update(f"{file.relative_to(model)} {_sha256(file)}\n".encode())
    return told.hexdigest()[:32]


def _unchanged(folder: Path) -> None:
    told = folder / "export.json"
    files = json.loads(told.read_text(encoding="utf-8"))["files"] if told.is_file() else {"export.json": ""}
    for name, sha256 in files.items():
        if not (folder / name).is_file() or _sha256(folder / name) != sha256:
            raise CheckError(f"{folder / name} is not what was written.", f"Remove {folder}: it is made anew.")


def _sha256(file: Path) -> str:
    with file.open("rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()
