"""The same updates from the same rows: tuneproof beside trl and transformers' Trainer, in turn, in one process tree.

    make bench-peers        # makes .venv-peers with the peers once, then runs this
    python benchmarks/speed/peers.py [--only lora|encoder] [--rows 80] [--rounds 5] [--data DIR]

Each side is a process that works a few updates when it is told to and waits while the other works; what is reported are
the rows and tokens of all updates by the median of the rounds. Sides count as equal only with the same number of
updates from the same tokens and masks, and where the loss on the same rows after the last update is within 1% of ours;
the script says where it is not, and ends with 1 where no peer is equal. Results: ``benchmarks/results/peers.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import subjects

FOLDER = Path(__file__).parent
PEERS = subjects.ROOT / ".venv-peers" / "bin" / "python"
RESULTS = subjects.RESULTS / "peers.json"
WITHIN = 0.01  # of our loss
BEST = {"bf16": True, "gradient_checkpointing": False, "train_sampling_strategy": "group_by_length"}


def sides(kind: str) -> dict[str, dict[str, Any]]:
    """Name -> how the peer is configured; ours has no name of a peer."""
    if kind == "classes":
        return {
            "Trainer, its defaults": {},
            "Trainer, bf16, grouped by length": {k: BEST[k] for k in BEST if k[0] != "g"},
        }
    half = {"model_init_kwargs": {"dtype": "bfloat16"}}
    return {
        "trl, its defaults (bf16, checkpointing)": {},
        "trl, bf16 weights, no checkpointing, grouped by length": {**BEST, **half},
        "trl, fp32, no checkpointing, grouped by length": {**BEST, "bf16": False},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=subjects.DATA)
    parser.add_argument("--only", choices=("lora", "encoder"))
    parser.add_argument("--rows", type=int, help="of the decoder; twenty times as many of the encoder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="all cores when not given")
    asked = parser.parse_args()
    if told := subjects.missing(asked.data, "gsm8k", "banking77"):
        print(told)
        return
    if not PEERS.is_file():
        print("Skipped: the peers are not installed; run make bench-peers.")
        return
    threads = asked.threads or subjects.machine().cores
    rows = asked.rows or 80
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    equal = True
    for name, kind, count, batch in (("lora", "chat", rows, 8), ("encoder", "classes", 20 * rows, 16)):
        if asked.only in (None, name):
            found[name] = compare(kind, asked.data, count, batch, asked.rounds, threads)
            equal &= any(side["equal"] for other, side in found[name]["sides"].items() if other != "tuneproof")
            RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(table(name, found[name]), flush=True)
    sys.exit(0 if equal else 1)


def compare(kind: str, data: Path, rows: int, batch: int, rounds: int, threads: int) -> dict[str, Any]:
    options = {"train.lr": 2e-4 if kind == "classes" else 1e-4, "train.batch_size": batch}
    make = subjects.chat if kind == "chat" else subjects.classes
    work = make(data, rows, options)
    judged = work.validation[: min(rows, 12) if kind == "chat" else 300]
    job = {
        "kind": kind,
        "data": str(data),
        "model": str(work.base),
        "labels": len(work.schema.labels),
        "batch": batch,
        "steps_of_round": rows // batch // rounds,
        "lr": options["train.lr"],
        "rank": 16,
        "alpha": 32,
        "threads": threads,
        "rows": [as_json(example) for example in work.train],
        "judged": [as_json(example) for example in judged],
        "ours": {},
    }
    made = {"tuneproof": None, **sides(kind)}
    with tempfile.TemporaryDirectory() as scratch:
        running = {
            name: Side(name, {**job, "peer": peer, "scratch": f"{scratch}/{at}"}, Path(scratch) / f"{at}.json")
            for at, (name, peer) in enumerate(made.items())
        }
        try:
            for number in range(rounds):
                for name in list(running) if number % 2 else list(running)[::-1]:
                    running[name].go()
            ends = {name: side.end() for name, side in running.items()}
        finally:
            for side in running.values():
                side.process.kill()
    tokens = sum(len(row["ids"]) for row in job["rows"])
    found = {name: summary(running[name].seconds, ends[name], ends["tuneproof"], rows, tokens) for name in running}
    return {"here": subjects.here(), "rows": rows, "tokens": tokens, "updates": rows // batch, "sides": found}


def as_json(example: Any) -> dict[str, Any]:
    if example.label is not None:
        return {"ids": list(example.ids), "label": example.label}
    return {"ids": list(example.ids), "loss": [bool(on) for on in example.loss]}


class Side:
    """A process of one side, ready and waiting once it is made."""

    def __init__(self, name: str, job: dict[str, Any], file: Path) -> None:
        self.name = name
        file.write_text(json.dumps(job), encoding="utf-8")
        ours = name == "tuneproof"
        command = [
            sys.executable if ours else str(PEERS),
            str(FOLDER / ("ours.py" if ours else "theirs.py")),
            str(file),
        ]
        self.log = file.with_suffix(".log")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8"
            )
        self.seconds: list[float] = []
        self.said = ""
        self._hear()

    def go(self) -> None:
        """One round."""
        self._say()
        self.seconds.append(self._hear()["seconds"])

    def end(self) -> dict[str, Any]:
        self._say()
        return self._hear()

    def _say(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended:\n{self.log.read_text()[-3000:]}")
        found: dict[str, Any] = json.loads(line)
        return found


def summary(
    seconds: Sequence[float], end: dict[str, Any], ours: dict[str, Any], rows: int, tokens: int
) -> dict[str, Any]:
    middle = statistics.median(seconds) * len(seconds)
    found = {
        "seconds": [round(one, 3) for one in seconds],
        "rows_per_second": round(rows / middle, 2),
        "tokens_per_second": round(tokens / middle, 1),
        "peak_gib": round(end["peak"] / 2**30, 3),
        "loss": end["loss"],
        "right": end["right"],
        "equal": abs(end["loss"] - ours["loss"]) <= WITHIN * ours["loss"],
        "versions": end["versions"],
    }
    if "roofline" in end:
        line = end["roofline"]
        found["gflops"] = round(line["gflop"] / middle, 1)
        kind = "bfloat16" if line["precision"] == "bf16" else "float32"
        found["share_of_gemm"] = round(found["gflops"] / line[kind], 3)
    return found


def table(name: str, found: dict[str, Any]) -> str:
    lines = [f"{name}: {found['rows']} rows, {found['tokens']:,} tokens, {found['updates']} updates"]
    ours = found["sides"]["tuneproof"]
    for side, one in found["sides"].items():
        times = ours["tokens_per_second"] / one["tokens_per_second"]
        memory = ours["peak_gib"] / one["peak_gib"]
        equal = "" if one["equal"] else "  NOT EQUAL WORK"
        lines.append(
            f"  {side:56} {one['tokens_per_second']:7.1f} tokens/s {one['rows_per_second']:7.2f} rows/s "
            f"{one['peak_gib']:6.2f} GiB  loss {one['loss']:.4f}  ours is {times:.2f} times as fast, "
            f"{memory:.2f} of the memory{equal}"
        )
    if "share_of_gemm" in ours:
        lines.append(f"  share of the GEMM rate: {ours['share_of_gemm']:.0%} ({ours['gflops']} GFLOP/s)")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
