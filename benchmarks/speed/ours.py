"""Our side: the training loop as it is, on the rows of the job, in turn with the peer's.

python benchmarks/speed/ours.py JOB.json
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import subjects
from channel import Channel, peak
from judge import judge
from torch.nn import Module

from tuneproof.compute import cast_once
from tuneproof.device import settle
from tuneproof.records import Scores
from tuneproof.train.fit import Work, assemble, job
from tuneproof.train.loop import fit


def main() -> None:
    channel = Channel()
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    settle(asked["threads"])
    work = subject(asked)
    state = assemble(work)
    steps = len(asked["rows"]) // asked["batch"]
    running = replace(job(work, steps), validate=lambda model: Scores("none", {"none": None}, 0, False))
    channel.tell(ready=True)
    channel.wait()
    began = time.perf_counter()
    for progress in fit(state, running):
        if progress.step % asked["steps_of_round"] == 0:
            channel.tell(seconds=time.perf_counter() - began, step=progress.step)
            channel.wait()
            began = time.perf_counter()
    high = peak()
    model: Module = state.model.eval()
    with cast_once(model, "fp32"):
        found = judge(model, asked["judged"])
    channel.tell(
        **found,
        peak=high,
        versions={name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft")},
        roofline=roofline(work, asked),
    )


def subject(asked: dict[str, Any]) -> Work:
    make = subjects.chat if asked["kind"] == "chat" else subjects.classes
    options = {"train.lr": asked["lr"], "train.batch_size": asked["batch"], "train.log_every": asked["steps_of_round"]}
    work = make(Path(asked["data"]), len(asked["rows"]), {**options, **asked["ours"]})
    assert [list(example.ids) for example in work.train] == [row["ids"] for row in asked["rows"]]
    return work


def roofline(work: Work, asked: dict[str, Any]) -> dict[str, float]:
    """GFLOP of matrix products that the rows need once, by arithmetic, and GFLOP/s of such products here and now."""
    model = assemble(work).model
    inner = {
        name: p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name and "lora_" not in name
    }
    weights = sum(p.numel() for p in inner.values())
    trained = sum(p.numel() for p in inner.values() if p.requires_grad)
    head = 0 if asked["kind"] == "classes" else model.get_output_embeddings().weight.numel()
    inside = weights - (head if any("lm_head" in name for name in inner) else 0)
    tokens, learnt = sum(len(e) for e in work.train), sum(e.units for e in work.train)
    flops = 2 * tokens * (2 * inside + trained) + (4 * learnt * head)
    kind = work.config.model.precision
    return {"gflop": flops / 1e9, **subjects.here()["gflops"], "precision": kind, "tokens": tokens}


if __name__ == "__main__":
    main()
