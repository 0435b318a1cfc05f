"""One idea after the other, each on top of those before it: tokens per second and memory of a step of LoRA.

    python benchmarks/speed/ablation.py [--data DIR] [--rounds 5] [--compile]

SmolLM2-135M-Instruct on gsm8k, rank 16 on all linear layers, 8 rows a step. All variants are held in one process and
take the same step in turn. With ``--compile`` the layers of the last variant are compiled by torch for this one shape
as well, padded, and the seconds of compiling are told. Results: ``benchmarks/results/ablation.json``.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import subjects
import torch
from torch.nn import Module
from torch.nn.functional import cross_entropy

from tuneproof.compute import attention_by_length, layout, prepared
from tuneproof.compute.lora import as_peft_does
from tuneproof.device import keep_memory, settle
from tuneproof.methods.parts import Parts
from tuneproof.tasks import instruction
from tuneproof.train.batches import epoch_steps
from tuneproof.train.fit import Work, job, opened
from tuneproof.train.loop import State, one_step, training_mode

RESULTS = subjects.RESULTS / "ablation.json"


@dataclass(frozen=True)
class Variant:
    """Which ideas are on."""

    name: str
    on: frozenset[str]


IDEAS = {
    "frozen": "+ everything frozen in bf16",
    "lora": "+ an adapted layer as one function",
    "attention": "+ attention by length",
    "fused": "+ AdamW fused",
    "loss": "+ the loss over a stretch of tokens at a time",
    "side": "+ rows side by side, what all begin with once",
    "memory": "+ memory that is freed used again",
}


def variants() -> list[Variant]:
    found = [Variant("bf16 by autocast, transformers' and peft's layers", frozenset())]
    for idea, name in IDEAS.items():
        found.append(Variant(name, found[-1].on | {idea}))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=subjects.DATA)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="all cores when not given")
    parser.add_argument("--compile", action="store_true")
    asked = parser.parse_args()
    if told := subjects.missing(asked.data, "gsm8k"):
        print(told)
        return
    settle(asked.threads or subjects.machine().cores)
    work = subjects.chat(asked.data, 400, {})
    order = epoch_steps([len(e) for e in work.train], batch_size=8, accumulate=1, seed=0, epoch=0)
    micros = sorted(order, key=lambda one: sum(len(work.train[row]) for row in one[0]))[len(order) // 2]
    tokens = sum(len(work.train[row]) for row in micros[0])
    sides: dict[str, Callable[[], None]] = {}
    states = {}
    for variant in variants():
        states[variant.name] = state = built(work, variant)
        sides[variant.name] = stepping(work, state, variant, micros)
    seconds = subjects.in_turn(sides, asked.rounds)
    found: dict[str, Any] = {"here": subjects.here(), "tokens": tokens, "variants": []}
    for name, each in seconds.items():
        gc.collect()
        found["variants"].append(
            {
                "name": name,
                "tokens_per_second": round(tokens / statistics.median(each), 1),
                "seconds": [round(one, 3) for one in each],
                "added_gib": subjects.added(sides[name]),
            }
        )
        print(found["variants"][-1], flush=True)
    found["profile"] = profile(sides[name])
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if asked.compile:
        found["compiled"] = compiled(work, micros, tokens, asked.rounds)
        print(found["compiled"], flush=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def built(work: Work, variant: Variant) -> State:
    state = opened(work)
    if "frozen" in variant.on:
        prepared(state.model, "bf16")
    else:
        attention_by_length(state.model)
    if "attention" not in variant.on:
        for module in state.model.modules():
            if isinstance(module, instruction.PreTrainedModel):
                module.set_attn_implementation("sdpa")
    if "lora" not in variant.on:
        as_peft_does(state.model)
    for group in state.optimizer.param_groups:
        group["fused"] = "fused" in variant.on
    training_mode(state.model)
    return state


def stepping(work: Work, state: State, variant: Variant, micros: list[list[int]]) -> Callable[[], None]:
    running = job(work, 1)

    def whole(states: torch.Tensor, head: Module, targets: torch.Tensor) -> torch.Tensor:
        return cross_entropy(head(states).float(), targets, reduction="sum")

    def step() -> None:
        keep_memory("memory" in variant.on)
        with ExitStack() as stack:
            if "loss" not in variant.on:
                stack.enter_context(patch.object(instruction, "summed_loss", whole))
            if "side" not in variant.on:
                stack.enter_context(patch.object(layout, "SAVES", 2.0))
            one_step(state, running, micros)

    return step


def compiled(work: Work, micros: list[list[int]], tokens: int, rounds: int) -> dict[str, Any]:
    """Every layer compiled for the one padded shape, beside the same step that is not."""
    variant = Variant("padded", variants()[-1].on - {"side"})
    plain, fast = built(work, variant), built(work, variant)
    for _, layer in Parts.of(fast.model).layers:
        layer.compile(dynamic=False)
    sides = {"not compiled": stepping(work, plain, variant, micros), "compiled": stepping(work, fast, variant, micros)}
    began = time.perf_counter()
    sides["compiled"]()
    first = time.perf_counter() - began
    seconds = subjects.in_turn(sides, rounds)
    middle = {name: statistics.median(each) for name, each in seconds.items()}
    return {
        "first_step": round(first, 1),
        "tokens_per_second": {name: round(tokens / each, 1) for name, each in middle.items()},
    }


def profile(step: Callable[[], None]) -> dict[str, float]:
    """Shares of the processor time of a step by operation, the ten largest."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        step()
    each = sorted(seen.key_averages(), key=lambda one: -one.self_cpu_time_total)
    total = sum(one.self_cpu_time_total for one in each)
    return {one.key: round(one.self_cpu_time_total / total, 3) for one in each[:10]}


if __name__ == "__main__":
    main()
