"""Trainings by the fast loop and by the plain one, train/plain.py, over three seeds: do they end at the same score?

    python benchmarks/speed/fast_and_plain.py [--data DIR] [--only classes|chat] [--threads 2]

MiniLM-L6 on banking77 (1,250 updates over 7,000 rows, accuracy) and SmolLM2-135M with LoRA on medquad_instruct (160
rows once, loss per answer token), bf16, a rate that warms up and falls to zero. Told are the scores of each seed, and
the mean difference with three standard errors of it. Results go to ``benchmarks/results/fast_and_plain.json`` after
each seed, and a second call goes on behind them.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
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
SEEDS = 3
WHOLE = {  # rows, updates, rows judged, and what differs from the other scripts of this folder
    "classes": (7_000, 1250, 1000, {"train.batch_size": 16}),
    "chat": (160, 40, 36, {"train.batch_size": 4}),
}
FALLING = {"train.schedule": "linear", "train.warmup": 0.1}
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
    for kind in WHOLE:
        if asked.only in (None, kind):
            done = found.setdefault(kind, {"seeds": []})
            for seed in range(len(done["seeds"]), SEEDS):
                done["seeds"].append(both(kind, asked.data, seed))
                done |= told_of(done["seeds"]) | {"here": subjects.here()}
                RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
                print(kind, done["seeds"][-1], flush=True)


def both(kind: str, data: Path, seed: int) -> dict[str, Any]:
    """The score of one seed by each loop, and how far apart the loss of one step was at most."""
    rows, updates, judged, options = WHOLE[kind]
    make = subjects.classes if kind == "classes" else subjects.medical
    work = make(data, rows, {**options, **FALLING, "train.seed": seed})
    held_out = replace(work, validation=work.validation[:judged])
    scores, losses = {}, []
    for side, training in (("fast", fast), ("plain", by_plain)):
        began = time.perf_counter()
        model, found = training(held_out, updates)
        said = predict_examples(model, work.answer, work.encoder, held_out.validation, "fp32")
        scores[side] = float(work.answer.score(said).main or 0.0)
        losses.append(found)
        print(f"{kind}, seed {seed}, {side}: {scores[side]:.4f}, {time.perf_counter() - began:.0f} s", flush=True)
    return {
        "seed": seed,
        "rows": len(work.train),
        "updates": updates,
        "judged": len(held_out.validation),
        **scores,
        "largest_relative_difference_of_a_loss": max(abs(a - b) / b for a, b in zip(*losses, strict=True)),
        "relative_difference_of_the_mean_loss": abs(sum(losses[0]) / sum(losses[1]) - 1),
    }


def told_of(seeds: list[dict[str, Any]]) -> dict[str, float | None]:
    """The mean difference of the scores, and three standard errors of it."""
    apart = [one["fast"] - one["plain"] for one in seeds]
    error = 3 * statistics.stdev(apart) / math.sqrt(len(apart)) if len(apart) > 1 else None
    return {"difference": statistics.mean(apart), "three_errors": error}


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
