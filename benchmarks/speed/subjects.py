"""Real rows and pretrained models as work for the training loop, and what machine and code a figure is from.

work = chat(data, rows=80, {"method.name": "lora"})       # SmolLM2-135M on gsm8k
here()                                                    # commit, versions, hardware
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tuneproof import sources
from tuneproof.config import build
from tuneproof.device import keep_memory, machine
from tuneproof.memory import Peak
from tuneproof.modalities import MODALITIES
from tuneproof.prepare import prepare
from tuneproof.prepare.tokens import encode
from tuneproof.tasks import TASKS, task_of
from tuneproof.train.fit import Work

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "benchmarks" / "results"
DECIDED: dict[str, Any] = {
    "model.max_length": 1024,
    "train.epochs": 1.0,
    "train.accumulate": 1,
    "train.head_lr_factor": 1.0,
    "train.schedule": "constant",
    "train.warmup": 0.0,
    "train.weight_decay": 0.0,
    "train.validate_every": 10_000,
    "train.log_every": 1,
    "evaluate.validation_rows": 8,
    "evaluate.precision": "fp32",
    "lora.rank": 16,
    "lora.alpha": 32,
}


def chat(data: Path, rows: int, options: Mapping[str, Any]) -> Work:
    """SmolLM2-135M-Instruct on worked answers of gsm8k, 8 rows a step."""
    decided = {"method.name": "lora", "train.lr": 1e-4, "train.batch_size": 8, "model.precision": "bf16"}
    return _work("smollm2-135m-instruct", data / "gsm8k" / "train.jsonl", rows, {**decided, **options})


def medical(data: Path, rows: int, options: Mapping[str, Any]) -> Work:
    """SmolLM2-135M-Instruct on answers to patients, 8 rows a step."""
    decided = {"method.name": "lora", "train.lr": 1e-4, "train.batch_size": 8, "model.precision": "bf16"}
    return _work("smollm2-135m-instruct", data / "medquad_instruct" / "train.jsonl", rows, {**decided, **options})


def classes(data: Path, rows: int, options: Mapping[str, Any]) -> Work:
    """MiniLM-L6 on questions to a bank, 77 classes, 16 rows a step."""
    decided = {"method.name": "full", "train.lr": 2e-4, "train.batch_size": 16, "model.precision": "bf16"}
    return _work("minilm-l6", data / "banking77" / "train.csv", rows, {**decided, **options})


def _work(model: str, file: Path, rows: int, options: Mapping[str, Any]) -> Work:
    folder = sources.model(model).path
    values = {**DECIDED, "model.name": model, **options}
    if values["method.name"] != "lora":
        values = {name: value for name, value in values.items() if not name.startswith("lora.")}
    config = build({}).replace(values)
    prepared = prepare(file, config.data, {name: task.answer for name, task in TASKS.items()})
    this = task_of(prepared.schema)
    encoder = MODALITIES[this.modality](folder, min(config.model.max_length, 512) if "minilm" in model else 1024)
    encoded = encode(prepared.splits, prepared.schema, this.answer, encoder, "drop")
    train, held_out = encoded.examples["train"][:rows], encoded.examples["validation"]
    return Work(this.answer, prepared.schema, config, folder, encoder, train, held_out)


def missing(data: Path, *names: str) -> str:
    """Why there is nothing to measure, or ""."""
    gone = [name for name in names if not (data / name).is_dir()]
    return f"Skipped: {data} has no folder {', '.join(gone)}; name another with --data." if gone else ""


def in_turn(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side in each round, one after the other and in turned order, after a round that warms up."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        order: Sequence[str] = list(sides) if number % 2 else list(sides)[::-1]
        for name in order:
            began = time.perf_counter()
            sides[name]()
            if number:
                found[name].append(time.perf_counter() - began)
    return found


def added(step: Callable[[], Any]) -> float:
    """GiB of resident memory that ``step`` adds at most to what is in use before it."""
    libc = ctypes.CDLL(None)
    if kept := keep_memory(False):
        libc.malloc_trim(0)  # what was freed and kept counts for nobody
    with open("/proc/self/status", encoding="ascii") as lines:
        before = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
    with Peak() as high:
        step()
    if kept:
        keep_memory()
    return round((high.bytes - before) / 2**30, 2)


def here() -> dict[str, Any]:
    """Commit, versions, hardware, date, and what the machine could do at that moment."""
    names = ("torch", "transformers", "peft")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT)
    return {
        "commit": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "versions": {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}},
        "machine": machine().describe(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "gflops": {str(kind).removeprefix("torch."): gemm(kind) for kind in (torch.float32, torch.bfloat16)},
        "copied_gb_per_second": copied(),
    }


def gemm(kind: torch.dtype, tokens: int = 1536, width: int = 576, out: int = 1536) -> float:
    """GFLOP/s of a product as it occurs in SmolLM2-135M, median of 15."""
    left, right = torch.randn(tokens, width).to(kind), torch.randn(out, width).to(kind)
    seconds = []
    for _ in range(20):
        began = time.perf_counter()
        torch.nn.functional.linear(left, right)
        seconds.append(time.perf_counter() - began)
    return round(2 * tokens * width * out / statistics.median(seconds[5:]) / 1e9, 1)


def copied() -> float:
    """GB/s read and written by a copy of 256 MB, median of 5."""
    source, target = torch.ones(2**26), torch.empty(2**26)
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        target.copy_(source)
        seconds.append(time.perf_counter() - began)
    return round(2 * 4 * 2**26 / statistics.median(seconds[2:]) / 1e9, 1)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="ascii") as lines:
            found = {line.split(":")[0].strip(): line.split(":")[1].strip() for line in lines if ":" in line}
    except OSError:
        return platform.processor()
    flags = set(found.get("flags", "").split())
    has = ", ".join(flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags)
    return f"{found.get('model name', '')} ({has})"
