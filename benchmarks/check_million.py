"""How long prepare takes for a million rows of CSV, beside polars' own read of the same file.

    python benchmarks/check_million.py [--rows 125000 250000 500000 1000000] [--rounds 5]

The files are generated (seeded): texts of 60 to 100 characters, a tenth of them quoted, 20 classes. Both sides run
alternately: in one process, after one run of each that is not counted ("warm"), and each time in a process of its own,
so that both begin with cold memory ("cold"; it flatters us, as polars starts its threads then). No imports are counted.
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
from collections.abc import Mapping, Sequence
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
    cold: dict[str, list[dict[str, float]]] = {"polars": [], "prepare": []}
    for _ in range(rounds):
        for side, of_side in cold.items():
            of_side.append(_process(side, file))
    warm = _process("both", file)
    found: dict[str, Any] = {"megabytes": round(file.stat().st_size / 1e6, 1)}
    for kind, of_kind in (("cold", {side: _medians(of_side) for side, of_side in cold.items()}), ("warm", warm)):
        prepared, read = of_kind["prepare"], of_kind["polars"]
        found[kind] = {
            **{side: {name: round(value, 3) for name, value in of_kind[side].items()} for side in cold},
            "rows_per_second": round(rows / prepared["seconds"]),
            "times_polars": round(prepared["seconds"] / read["seconds"], 1),
            "times_polars_cpu": round(prepared["cpu"] / read["cpu"], 1),
        }
    return found


def _process(side: str, file: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--side", side, "--file", str(file)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return found


def _medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in runs) for name in runs[0]}


def alternately(file: Path, rounds: int = 5) -> dict[str, dict[str, float]]:
    """Medians of both sides in turns, in this process."""
    runs: dict[str, list[dict[str, float]]] = {"polars": [], "prepare": []}
    for _ in range(rounds + 1):
        for side, of_side in runs.items():
            of_side.append(SIDES[side](file))
    return {side: _medians(of_side[1:]) for side, of_side in runs.items()}


def by_polars(file: Path) -> dict[str, float]:
    """Seconds, and seconds of the processors."""
    import polars as pl

    began, used = time.perf_counter(), time.process_time()
    pl.read_csv(file)
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}


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


SIDES: dict[str, Any] = {"polars": by_polars, "prepare": by_prepare, "both": alternately}


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
    told = [f"{rows:>9,} rows, {found['megabytes']:5.1f} MB"]
    for kind in ("warm", "cold"):
        of_kind = found[kind]
        prepared, read = of_kind["prepare"], of_kind["polars"]
        told.append(
            f"{kind}: prepare {prepared['seconds']:.2f} s ({of_kind['rows_per_second']:,} rows/s, "
            f"peak {prepared['peak_gib']:.2f} GiB), polars {read['seconds']:.3f} s: "
            f"{of_kind['times_polars']:.1f} times (by processor time {of_kind['times_polars_cpu']:.1f} times)"
        )
    return "; ".join(told)


if __name__ == "__main__":
    main()
