"""One GPU: a step of LoRA on a model of 1.2 billion random weights, by peft's layers and by ours.

    python benchmarks/speed/gpu.py [--rounds 5]
    python benchmarks/speed/gpu.py --device cpu --tiny      # the same lines without a GPU, to see that they run

The program itself computes on the processor only, so this times the two parts of its engine that know no device: an
adapted layer as one function, and the loss a stretch of tokens at a time. It is no run against a peer on a GPU; that
waits for a training loop that goes there. Results: ``benchmarks/results/gpu.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import subjects
import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from tuneproof.compute import summed_loss
from tuneproof.compute.lora import as_peft_does
from tuneproof.config import build
from tuneproof.methods import METHODS

RESULTS = subjects.RESULTS / "gpu.json"
BILLION = {"hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8}
BILLION |= {"intermediate_size": 8192, "vocab_size": 128_256}
TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
TINY |= {"intermediate_size": 128, "vocab_size": 500}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        print("Skipped: torch sees no GPU here.")
        return
    rows, length = (2, 32) if asked.tiny else (8, 1024)
    config = build({}).replace({"method.name": "lora", "lora.rank": 16, "lora.alpha": 32})
    with torch.device(asked.device):
        torch.manual_seed(0)
        model = METHODS["lora"](config).apply(LlamaForCausalLM(LlamaConfig(**(TINY if asked.tiny else BILLION))))
        ids = torch.randint(500, (rows, length))
    for parameter in model.parameters():
        parameter.data = parameter.data if parameter.requires_grad else parameter.data.to(torch.bfloat16)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)
    step = stepping(model, ids, optimizer)
    found = {"here": subjects.here(), "device": asked.device, "tokens": ids.numel()}
    found["ours"] = rate(lambda: step(True), ids.numel(), asked.rounds)
    as_peft_does(model)
    found["peft"] = rate(lambda: step(False), ids.numel(), asked.rounds)
    print(json.dumps({key: found[key] for key in ("ours", "peft")}))
    if not asked.tiny:
        found["gpu"] = torch.cuda.get_device_name()
        found["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def stepping(model: torch.nn.Module, ids: torch.Tensor, optimizer: torch.optim.Optimizer) -> Callable[[bool], None]:
    causal = model.get_base_model()

    def step(ours: bool) -> None:
        with torch.autocast(ids.device.type, dtype=torch.bfloat16):
            states = causal.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
            head, right = causal.get_output_embeddings(), ids[:, 1:].flatten()
            loss = summed_loss(states, head, right) if ours else cross_entropy(head(states).float(), right)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def rate(step: Callable[[], None], tokens: int, rounds: int) -> float:
    """Tokens per second, the median of the rounds after two that warm up."""
    seconds = []
    for _ in range(rounds + 2):
        began = time.perf_counter()
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return round(tokens / statistics.median(seconds[2:]), 1)


if __name__ == "__main__":
    main()
