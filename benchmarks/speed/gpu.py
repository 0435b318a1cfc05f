"""One GPU: tokens a second of the training loop, models of 1.2 and 8 billion random weights, beside torch's own parts.

    python benchmarks/speed/gpu.py [--model 1b 8b] [--method lora full] [--rounds 5]
    python benchmarks/speed/gpu.py --device cpu --model tiny      # the same lines without a GPU, to see that they run

Both sides in one process, one after the other: two models of 8 billion weights are not there at once. "ours" is
``one_step`` of the program's loop (rows side by side in one call of torch's kernel for rows of various length, the loss
a stretch of tokens at a time, LoRA as one function), "plain" pads, has all logits at once and peft's own layers, as a
careful loop of one's own would. Rows of 200 to 1,000 tokens, half of them learnt; the same rows, and as many updates,
on both sides, whose losses have to agree within 1%. Trained weights are fp32 under autocast, frozen ones bf16. The rate
of a large bf16 product, measured in the same process, says what share of it was used. It is no run against a peer: TRL
with Liger needs an environment of its own (peers.py).
Results: ``benchmarks/results/gpu.json``.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import subjects
import torch
from torch.nn import Module
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from tuneproof.compute import prepared
from tuneproof.compute.lora import as_peft_does
from tuneproof.config import Config, build
from tuneproof.device import arithmetic
from tuneproof.methods import METHODS
from tuneproof.methods.parts import Parts
from tuneproof.modalities import Batch, Example
from tuneproof.modalities.encoding import collate
from tuneproof.place import finish, forget_peak, peak_on
from tuneproof.records import Scores
from tuneproof.tasks import TASKS
from tuneproof.train import optim
from tuneproof.train.loop import Job, State, one_step

RESULTS = subjects.RESULTS / "gpu.json"
SIZES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128},
    "1b": {"hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32, "intermediate_size": 8192},
    "8b": {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 14_336},
}
WORDS = {"tiny": 500, "1b": 128_256, "8b": 128_256}
ROWS, MICROS = 16, 2  # of a step
SAME = 0.01  # losses of both sides differ by so much at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--model", nargs="*", choices=tuple(SIZES), default=["1b"])
    parser.add_argument("--method", nargs="*", choices=("lora", "full"), default=["lora", "full"])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("Skipped: torch sees no GPU here.")
        return
    device = torch.device(asked.device)
    found: dict[str, Any] = {"here": subjects.here(), "tflops": gemm(device), "rows": {}}
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name()
    for size in asked.model:
        for method in asked.method:
            one = compared(size, method, device, asked.rounds)
            one["share_of_gemm"] = round(one["arithmetic"] * one["ours"] / (found["tflops"] * 1e12), 3)
            found["rows"][f"{size} {method}"] = one
            print(f"{size} {method}: {json.dumps(one)}", flush=True)
    if device.type == "cuda":
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def compared(size: str, method: str, device: torch.device, rounds: int) -> dict[str, Any]:
    """Tokens a second of both sides, medians; their losses in the first step; memory of ours."""
    config = settings(method)
    examples = rows(WORDS[size], longest=64 if size == "tiny" else 1000)
    tokens = sum(len(one) for one in examples)
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    losses, peak, trained, weights = {}, 0, 0, 0
    for name in seconds:  # one after the other: two models of 8 billion weights are not there at once
        state = begun(size, config, device)
        step = ours(state, config, examples) if name == "ours" else plain(state, config, examples)
        forget_peak(device)
        for number in range(rounds + 2):
            finish(device)
            began = time.perf_counter()
            loss = step()
            finish(device)
            if number == 0:
                losses[name] = float(loss) / sum(one.units for one in examples)
            if number > 1:
                seconds[name].append(time.perf_counter() - began)
        if name == "ours":
            peak = peak_on(device)
            trained = sum(one.numel() for one in state.model.parameters() if one.requires_grad)
            weights = sum(one.numel() for one in state.model.parameters())
        del state, step
    if abs(losses["ours"] - losses["plain"]) > SAME * losses["plain"]:
        raise SystemExit(f"{size} {method}: the losses differ, so this is not the same work: {losses}")
    rates = {name: round(tokens / statistics.median(times), 1) for name, times in seconds.items()}
    arithmetic_ = (6 if method == "full" else 4) * weights  # forward 2, gradients of states 2, of weights 2
    return {
        **rates,
        "seconds": seconds,
        "losses": losses,
        "trained": trained,
        "peak_gib": round(peak / 2**30, 2),
        "arithmetic": arithmetic_,
    }


def settings(method: str) -> Config:
    lora = {"lora.rank": 16, "lora.alpha": 32} if method == "lora" else {}
    return build({}).replace({"method.name": method, "train.lr": 1e-5, "train.head_lr_factor": 1.0, **lora})


def rows(words: int, longest: int) -> list[Example]:
    """Rows of made-up tokens, the second half of each learnt."""
    draw = random.Random(0)
    found = []
    for _ in range(ROWS):
        length = draw.randint(longest // 5, longest)
        ids = [draw.randrange(3, words) for _ in range(length)]
        found.append(Example(ids, loss=[at >= length // 2 for at in range(length)]))
    return sorted(found, key=len)


def begun(size: str, config: Config, device: torch.device) -> State:
    """A model with the method applied, prepared as the program does, and its optimizer."""
    with device:
        torch.manual_seed(0)
        shape = LlamaConfig(**SIZES[size], num_key_value_heads=2 if size == "tiny" else 8, vocab_size=WORDS[size])
        model: Module = LlamaForCausalLM(shape)
    parts = Parts.of(model)
    method = METHODS[config.method.name](config)
    model = prepared(method.apply(model), "bf16").train()
    optimizer = optim.build(model, parts, method.pace(model), config.train)
    optim.set_lr(optimizer, 1.0)
    return State(model, optimizer)


class Collates:
    """As much of an encoder as the loop needs."""

    def collate(self, examples: list[Example]) -> Batch:
        return collate(examples, 0)


def ours(state: State, config: Config, examples: list[Example]) -> Callable[[], Any]:
    """A step of the program's loop; its summed loss."""
    job = Job(TASKS["instruction"].answer, Collates(), examples, config.train, 1, "bf16", _unscored)
    each = len(examples) // MICROS
    micros = [list(range(start, start + each)) for start in range(0, len(examples), each)]

    def step() -> Any:
        state.loss = torch.zeros((), dtype=torch.float64)
        one_step(state, job, micros)
        return state.loss

    return step


def _unscored(model: Module) -> Scores:
    raise AssertionError("a single step validates nothing")


def plain(state: State, config: Config, examples: list[Example]) -> Callable[[], Any]:
    """The same rows padded, with all logits, by torch's and peft's own parts; the summed loss."""
    model = as_peft_does(state.model)
    causal = model.get_base_model() if config.method.name == "lora" else model
    causal.set_attn_implementation("sdpa")
    trained = [one for one in model.parameters() if one.requires_grad]
    each, units = len(examples) // MICROS, sum(one.units for one in examples)
    device = next(model.parameters()).device

    def step() -> Any:
        total = torch.zeros((), device=device)
        for start in range(0, len(examples), each):
            batch = collate(examples[start : start + each], 0).beside(model)
            with arithmetic("bf16", device.type):
                logits = model(**batch.inputs, use_cache=False).logits[:, :-1].flatten(0, 1).float()
            right = batch.ids[:, 1:].masked_fill(~batch.targets[:, 1:], -100).flatten()
            loss = cross_entropy(logits, right, reduction="sum")
            (loss / units).backward()
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(trained, config.train.clip)
        state.optimizer.step()
        state.optimizer.zero_grad()
        return total

    return step


def gemm(device: torch.device) -> float:
    """TFLOP/s of a bf16 product of 4,096 by 4,096 numbers (512 on a processor), median of 15."""
    size = 4096 if device.type == "cuda" else 512
    left, right = (torch.randn(size, size, device=device).to(torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(20):
        finish(device)
        began = time.perf_counter()
        left @ right
        finish(device)
        seconds.append(time.perf_counter() - began)
    return round(2 * size**3 / statistics.median(seconds[5:]) / 1e12, 3)


if __name__ == "__main__":
    main()
