"""How long prepare takes for a million rows of CSV, beside polars' own read of the same file.

    python benchmarks/check_million.py [--rows 125000 250000 500000 1000000] [--rounds 5]

The files are generated (seeded): texts of 60 to 100 characters, a tenth of them quoted, 20 classes. Both sides run
alternately, each time in a process of its own, so that both begin with cold memory; imports are not counted.
``prepare`` is everything from the file to the splits with their ledger and version: read, infer, clean, exact
duplicates, notes, split, books. The doctor's checks are measured elsewhere. The time of the processors is given as
well: on a machine that others use it is the steadier of the two. Medians go to
``benchmarks/results/check_million.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "check_million.json"
SIZES = (125_000, 250_000, 500_000, 1_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=SIZES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=list(SIDES), help="measure one side on FILE, in this process")
    parser.add_argument("--file", type=Path)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(SIDES[asked.side](asked.file)))
        return
    found = {"rows": {}, **circumstances()}
    with tempfile.TemporaryDirectory() as folder:
        for rows in asked.rows:
            file = Path(folder) / f"{rows}.csv"
            generate(file, rows)
            found["rows"][str(rows)] = measured = both(file, rows, asked.rounds)
            file.unlink()
            print(line(rows, measured), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def generate(file: Path, rows: int, seed: int = 0) -> None:
    """Rows that are all different: a text of words that do not exist, and one of 20 classes."""
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(3, 9))) for _ in range(5000)]
    with file.open("w", encoding="utf-8") as out:
        out.write("text,label\n")
        for _ in range(rows):
            length, text = draw.randint(60, 92), ""
            while len(text) < length:
                text += f" {words[int(draw.random() * 5000)]}"
            text = f"{text[1:].capitalize()}."
            if draw.random() < 0.1:
                text = f'"{text.replace(" ", ", ", 1)}"'
            out.write(f"{text},class_{draw.randrange(20):02d}\n")


def both(file: Path, rows: int, rounds: int) -> dict[str, Any]:
    """Medians over the rounds, the sides one after the other in each."""
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side, of_side in runs.items():
            command = [sys.executable, __file__, "--side", side, "--file", str(file)]
            of_side.append(json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout))
    medians = {
        side: {name: statistics.median(one[name] for one in of_side) for name in of_side[0]}
        for side, of_side in runs.items()
    }
    prepared, read = medians["prepare"], medians["polars"]
    return {
        "megabytes": round(file.stat().st_size / 1e6, 1),
        **{side: {name: round(value, 3) for name, value in of_side.items()} for side, of_side in medians.items()},
        "rows_per_second": round(rows / prepared["seconds"]),
        "times_polars": round(prepared["seconds"] / read["seconds"], 1),
        "times_polars_cpu": round(prepared["cpu"] / read["cpu"], 1),
    }


def by_polars(file: Path) -> dict[str, float]:
    """Seconds, and seconds of the processors, of the first read in a process; and the best of five that follow."""
    import polars as pl

    times = []
    for _ in range(6):
        began, used = time.perf_counter(), time.process_time()
        pl.read_csv(file)
        times.append((time.perf_counter() - began, time.process_time() - used))
    return {"seconds": times[0][0], "cpu": times[0][1], "again": min(times[1:])[0]}


def by_prepare(file: Path) -> dict[str, float]:
    """Seconds of ``prepare`` and of the processors, and the most memory the process held, in GiB (torch alone: 0.4)."""
    from tuneproof.config import Data
    from tuneproof.memory import peak
    from tuneproof.prepare.stage import prepare
    from tuneproof.tasks import TASKS

    answers = {name: task.answer for name, task in TASKS.items()}
    began, used = time.perf_counter(), time.process_time()
    prepared = prepare(file, Data(), answers)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    assert prepared.ledger.closes() and prepared.schema.task == "text-classification"
    return {"seconds": seconds, "cpu": cpu, "peak_gib": peak() / 2**30}


SIDES = {"polars": by_polars, "prepare": by_prepare}


def circumstances() -> dict[str, Any]:
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, cwd=HERE, check=True).stdout.strip()
    return {
        "commit": commit,
        "python": platform.python_version(),
        "polars": version("polars"),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def line(rows: int, found: dict[str, Any]) -> str:
    prepared, read = found["prepare"], found["polars"]
    return (
        f"{rows:>9,} rows, {found['megabytes']:5.1f} MB: prepare {prepared['seconds']:6.2f} s "
        f"({found['rows_per_second']:,} rows/s, peak {prepared['peak_gib']:.2f} GiB); polars {read['seconds']:.3f} s "
        f"(again {read['again']:.3f} s): {found['times_polars']:.1f} times, "
        f"by processor time {prepared['cpu']:.2f} s and {read['cpu']:.3f} s: {found['times_polars_cpu']:.1f} times"
    )


if __name__ == "__main__":
    main()
