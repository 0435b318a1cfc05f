"""Prediction with weights laid out for their products and with torch's own, in turn: seconds, and how far logits move.

    python benchmarks/speed/products.py [--data DIR] [--rounds 5]

MiniLM-L6 with a head for banking77 on one row and on 512, and SmolLM2-135M-Instruct writing 24 tokens to one caller and
to eight, in fp32. Laying out is not in these seconds; what it takes is told beside them, as a server does it once and a
pass over a file once. SmolLM2 is larger than what is laid out otherwise. Results: ``benchmarks/results/products.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import subjects
import torch
from torch.nn import Module

from tuneproof.compute import laid_out, products
from tuneproof.device import settle
from tuneproof.predict import BATCH_TOKENS, by_length
from tuneproof.train.fit import Work, opened

RESULTS = subjects.RESULTS / "products.json"
WRITTEN = 24  # tokens of an answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=subjects.DATA)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if told := subjects.missing(asked.data, "banking77", "gsm8k"):
        print(told)
        return
    settle(subjects.machine().cores)
    products.MOST = 2**40
    found: dict[str, Any] = {}
    for make, counts in ((subjects.classes, (1, 512)), (subjects.chat, (1, 8))):
        work = make(asked.data, max(counts), {"model.precision": "fp32"})
        model = opened(work).model.eval()
        for count in counts:
            name = f"{model.config.model_type}, {count} {'row' if count == 1 else 'rows'}"
            found[name] = measured(model, passes(work, model, count), asked.rounds)
            print(name, found[name], flush=True)
    found["here"] = subjects.here()
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def passes(work: Work, model: Any, count: int) -> Callable[[], torch.Tensor]:
    """One prediction of ``count`` rows: logits of classes, or of the first token that is written."""
    rows = work.train[:count]
    if model.config.model_type == "bert":
        batches = [[rows[i] for i in at] for at in by_length([len(row) for row in rows], BATCH_TOKENS)]
        collated = [work.encoder.collate(batch) for batch in batches]
        return lambda: torch.cat([model(**batch.inputs).logits for batch in collated])
    batch = work.encoder.collate([rows[0]] * count)  # the same dialogue, so that none is padded

    def write() -> torch.Tensor:
        how = {"max_new_tokens": WRITTEN, "min_new_tokens": WRITTEN, "do_sample": False, "output_logits": True}
        out = model.generate(
            input_ids=batch.inputs["input_ids"], attention_mask=batch.mask, return_dict_in_generate=True, **how
        )
        return out.logits[0]

    return write


def measured(model: Module, one: Callable[[], torch.Tensor], rounds: int) -> dict[str, Any]:
    took: dict[str, list[float]] = {"torch": [], "laid out": [], "laying out": []}
    apart = 0.0
    with torch.inference_mode():
        for number in range(rounds + 1):
            seconds, plain = timed(one)
            began = time.perf_counter()
            with laid_out(model):
                took["laying out"].append(time.perf_counter() - began)
                one()  # kernels are made at the first call
                faster, laid = timed(one)
            apart = max(apart, float((plain - laid).abs().max()))
            if number:
                took["torch"].append(seconds)
                took["laid out"].append(faster)
    ratios = [a / b for a, b in zip(took["torch"], took["laid out"], strict=True)]
    told = {name: round(statistics.median(all_), 4) for name, all_ in took.items()}
    return {**told, "times faster": round(statistics.median(ratios), 2), "largest difference of a logit": apart}


def timed(one: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    began = time.perf_counter()
    said = one()
    return time.perf_counter() - began, said


if __name__ == "__main__":
    main()
