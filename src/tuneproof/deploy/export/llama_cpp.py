"""The GGUF file in llama.cpp itself, where the package xllamacpp (llama.cpp as a wheel) is installed.

    asked(subject, Path("model.gguf"))       # "llama.cpp itself: 32 of 32 first tokens, log p within 2e-05", or ""

Reading a file back shows that it says what was written; only its own program shows that it means it: the order of the
rotary embedding's rows, the cut of the text, the type of each token.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tuneproof.deploy.export.subject import Floats, Subject
from tuneproof.errors import CheckError
from tuneproof.sources.gguf_header import read_header

ROWS = 32
EXACT = 1e-2  # of a log probability, where the weights are float32
NEAR = (0.9, 0.05)  # where they are packed: share of the same first tokens, median of the difference
WHOLE = 0  # general.file_type of float32


@dataclass(frozen=True, slots=True)
class Answered:
    """What llama.cpp said beside what the scored model says."""

    rows: int
    same: int
    largest: float
    median: float

    def __str__(self) -> str:
        return f"llama.cpp itself: {self.same} of {self.rows} first tokens, log p within {self.largest:.2g}"


def asked(subject: Subject, file: Path) -> str:
    """A sentence for the card, "" where llama.cpp is not installed; CheckError where it says something else."""
    if importlib.util.find_spec("xllamacpp") is None:
        return ""
    found = answered(subject, file)
    whole = read_header(file).settings.get("general.file_type") == WHOLE
    near = found.same >= NEAR[0] * found.rows and found.median <= NEAR[1]
    if (found.same < found.rows or found.largest > EXACT) if whole else not near:
        raise CheckError(
            f"llama.cpp answers otherwise: {found.same} of {found.rows} first tokens are those of the scored model, "
            f"and a log probability is off by {found.largest:.2g}.",
            "Nothing was published.",
        )
    return str(found)


def answered(subject: Subject, file: Path) -> Answered:
    """The first token of the answer to each of the first probes."""
    probes = subject.probes[:ROWS]
    prompts = [list(probe.ids[: probe.where[0] + 1]) for probe in probes if probe.where is not None]
    said = _said(file, prompts)
    same, gaps = 0, []
    for told, logits in zip(said, subject.reference, strict=False):
        logs = _logs(logits[0])
        same += told["id"] == int(logs.argmax())
        gaps.append(abs(told["logprob"] - float(logs[told["id"]])))
    return Answered(len(said), same, max(gaps), float(np.median(gaps)))


def _said(file: Path, prompts: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    context = max(512, max(map(len, prompts)) + 8)
    request = {"file": str(file), "prompts": prompts, "context": context, "threads": torch.get_num_threads()}
    ran = subprocess.run(
        [sys.executable, "-I", str(Path(__file__).with_name("outside_llama.py"))],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.removeprefix("SAID ") for line in ran.stdout.splitlines() if line.startswith("SAID ")]
    if len(lines) != len(prompts):
        last = (ran.stderr.strip().splitlines() or ["no word about it"])[-1]
        raise CheckError(
            f"llama.cpp answered {len(lines)} of {len(prompts)} prompts: {last}.", "Nothing was published."
        )
    return [json.loads(line) for line in lines]


def _logs(logits: Floats) -> Any:
    shifted = logits.astype(np.float64) - float(logits.max())
    return shifted - np.log(np.exp(shifted).sum())
