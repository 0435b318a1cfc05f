"""Layer freezing with and without the outputs of the frozen part kept: seconds of the same steps, in turn.

    python benchmarks/speed/frozen.py [--data DIR] [--rounds 5]

MiniLM-L6 on banking77 with the top two of six layers, and SmolLM2-135M on gsm8k with the top two of thirty; each round
is the same steps of a later epoch. Losses of the first epoch have to be equal to the bit, or the script ends with an
error; those of later ones are compared. Results: ``benchmarks/results/frozen.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import subjects

from tuneproof.device import settle
from tuneproof.train.batches import epoch_steps, steps_per_epoch
from tuneproof.train.fit import Work, assemble, job, remembered
from tuneproof.train.loop import fit, one_step, training_mode
from tuneproof.train.optim import set_lr

RESULTS = subjects.RESULTS / "frozen.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=subjects.DATA)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="all cores when not given")
    parser.add_argument("--rows", type=int, nargs=2, default=(640, 32), help="of banking77 and of gsm8k")
    asked = parser.parse_args()
    if told := subjects.missing(asked.data, "gsm8k", "banking77"):
        print(told)
        return
    settle(asked.threads or subjects.machine().cores)
    options = {"method.name": "freeze", "freeze.top_layers": 2, "train.epochs": 3.0}
    bank = subjects.classes(asked.data, asked.rows[0], {**options, "train.batch_size": 32})
    subject = {
        "MiniLM-L6, 2 of 6 layers": (bank, 10, ("bf16", "fp32")),
        "SmolLM2-135M, 2 of 30 layers": (subjects.chat(asked.data, asked.rows[1], options), 2, ("bf16",)),
    }
    found: dict[str, Any] = {"here": subjects.here()}
    for name, (work, steps, precisions) in subject.items():
        found[name] = measure(work, steps, precisions, asked.rounds)
        print(name, json.dumps({key: found[name][key] for key in ("seconds", "gain", "kept_mib", "once")}), flush=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measure(work: Work, steps: int, precisions: Sequence[str], rounds: int) -> dict[str, Any]:
    lengths = [len(example) for example in work.train]
    order = epoch_steps(lengths, batch_size=work.config.train.batch_size, accumulate=1, seed=0, epoch=1)[:steps]
    per_epoch = steps_per_epoch(len(lengths), work.config.train.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        states = {"anew": assemble(work), "kept": assemble(work)}
        began = time.perf_counter()
        kept = remembered(states["kept"], work, 3 * per_epoch, Path(folder), lambda line: None)
        once = time.perf_counter() - began
        assert kept is not None
        jobs = {side: job(work, 3 * per_epoch, kept=kept if side == "kept" else None) for side in states}

        def round_of(side: str) -> None:
            training_mode(states[side].model)
            set_lr(states[side].optimizer, 0.0)  # the same weights in every round
            for micros in order:
                one_step(states[side], jobs[side], micros)

        seconds = subjects.in_turn({side: lambda side=side: round_of(side) for side in states}, rounds)
        losses = same(work, per_epoch, Path(folder), precisions)
    middle = {side: statistics.median(each) / steps for side, each in seconds.items()}
    return {
        "rows": len(lengths),
        "seconds": {side: round(each, 4) for side, each in middle.items()},
        "rounds": seconds,
        "gain": round(middle["anew"] / middle["kept"], 2),
        "once": round(once, 2),
        "kept_mib": round(kept.train.states.numel() * kept.train.states.element_size() / 2**20, 1),
        "losses": losses,
    }


def same(work: Work, per_epoch: int, folder: Path, precisions: Sequence[str]) -> dict[str, dict[str, float]]:
    """Largest relative difference of a step's loss in the first epoch, which has to be 0, and in the second."""
    steps, found = 2 * per_epoch, {}
    for precision in precisions:
        one = replace(work, config=work.config.replace({"model.precision": precision}))
        runs = []
        for keep in (True, False):
            state = assemble(one)
            memory = remembered(state, one, steps, folder, lambda line: None) if keep else None
            running = replace(job(one, steps + 1, kept=memory), validate=lambda model: None)
            runs.append([progress.loss for progress, _ in zip(fit(state, running), range(steps), strict=False)])
        apart = [abs(ours - other) / other for ours, other in zip(*runs, strict=True)]
        assert max(apart[:per_epoch]) == 0, apart
        found[precision] = {"first epoch": 0.0, "second epoch": max(apart[per_epoch:])}
    return found


if __name__ == "__main__":
    main()
