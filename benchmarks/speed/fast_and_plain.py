"""Trainings by the fast loop and by the plain one, train/plain.py, over three seeds: do they end at the same score?

    python benchmarks/speed/fast_and_plain.py [--data DIR] [--only classes|chat]

MiniLM-L6 on banking77 (accuracy) and SmolLM2-135M with LoRA on medquad_instruct (loss per answer token), bf16. Told
are the scores of each seed, and the mean difference with three standard errors of it. Results:
``benchmarks/results/fast_and_plain.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import subjects
from torch.nn import Module

from tuneproof.device import settle
from tuneproof.predict import predict_examples
from tuneproof.records import Scores
from tuneproof.train.fit import Work, assemble, job
from tuneproof.train.loop import fit
from tuneproof.train.plain import plain

RESULTS = subjects.RESULTS / "fast_and_plain.json"
SEEDS = range(3)
NO_SCORE = Scores("none", {"none": None}, 0, higher_is_better=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=subjects.DATA)
    parser.add_argument("--only", choices=("classes", "chat"))
    parser.add_argument("--threads", type=int, default=0, help="all cores when not given")
    asked = parser.parse_args()
    if told := subjects.missing(asked.data, "banking77", "medquad_instruct"):
        print(told)
        return
    settle(asked.threads or subjects.machine().cores)
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for kind, updates, judged in (("classes", 60, 400), ("chat", 3, 12)):
        if asked.only in (None, kind):
            found[kind] = compare(kind, asked.data, updates, judged)
            found[kind]["here"] = subjects.here()
            RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(kind, found[kind], flush=True)


def compare(kind: str, data: Path, updates: int, judged: int) -> dict[str, Any]:
    make = subjects.classes if kind == "classes" else subjects.medical
    batch = 16 if kind == "classes" else 4
    scores: dict[str, list[float]] = {"fast": [], "plain": []}
    losses = []
    for seed in SEEDS:
        work = make(data, updates * batch, {"train.seed": seed, "train.batch_size": batch})
        held_out = replace(work, validation=work.validation[:judged])
        ends = {"fast": fast(held_out, updates), "plain": by_plain(held_out, updates)}
        for side, (model, _) in ends.items():
            said = predict_examples(model, work.answer, work.encoder, held_out.validation, "fp32")
            scores[side].append(float(work.answer.score(said).main or 0.0))
        losses.append(max(abs(a - b) / b for a, b in zip(ends["fast"][1], ends["plain"][1], strict=True)))
    apart = [one - other for one, other in zip(*scores.values(), strict=True)]
    error = statistics.stdev(apart) / math.sqrt(len(apart))
    return {
        "updates": updates,
        "judged": len(held_out.validation),
        "scores": scores,
        "difference": statistics.mean(apart),
        "three_errors": 3 * error,
        "largest_relative_difference_of_a_loss": max(losses),
    }


def fast(work: Work, updates: int) -> tuple[Module, list[float]]:
    state = assemble(work)
    running = replace(job(work, updates), validate=lambda model: NO_SCORE)
    return state.model, [progress.loss for progress in fit(state, running)]


def by_plain(work: Work, updates: int) -> tuple[Module, list[float]]:
    losses: list[float] = []

    def kept() -> Iterator[float]:
        model = yield from plain(work, updates)
        ends.append(model)

    ends: list[Module] = []
    losses.extend(kept())
    return ends[0], losses


if __name__ == "__main__":
    main()
