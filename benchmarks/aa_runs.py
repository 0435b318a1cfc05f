"""Pairs of real runs that differ in the seed alone: how often does ``compare`` see a difference that is none?

    python benchmarks/aa_runs.py [--data DIR] [--pairs 20] [--rows 600 | --rows 0] [--first-seed 0]

Each of 2 x ``--pairs`` runs is a whole ``tune`` with default settings: MiniLM-L6, freeze, ``--rows`` training rows of
banking77's ten commonest labels (0: all 1,769), and their test rows. Two seeds that follow each other are a pair. The
doctor's probe and the reading for forgetting are cut short, as they are not what is asked here. Results go to
``benchmarks/results/aa_runs.json`` under the number of rows and the first seed, after each pair, and a second call goes
on behind them.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "aa_runs.json"
LABELS = 10
OPTIONS: dict[str, Any] = {
    "method_name": "freeze",
    "check_effect": False,
    "evaluate_retain_documents": 30,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("runs/aa"))
    asked = parser.parse_args()
    if not asked.data.is_dir():
        print(f"Skipped: there is no folder {asked.data}; name one with --data.")
        return
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    train, test = files(asked.data / "banking77", asked.runs, asked.rows)
    every = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    name = str(asked.rows) if asked.rows else "all"
    name += f", seeds from {asked.first_seed}" if asked.first_seed else ""
    found = every.setdefault(name, {"pairs": []})
    for number in range(len(found["pairs"]), asked.pairs):
        found["pairs"].append(pair(train, test, asked.first_seed + 2 * number, asked.runs))
        verdicts = Counter(one["verdict"] for one in found["pairs"])
        found |= {"verdicts": dict(verdicts), "commit": commit(), "options": OPTIONS, **here()}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(every, indent=1) + "\n")
        print(f"pair {number}: {found['pairs'][-1]['headline']}  {dict(verdicts)}", flush=True)


def files(folder: Path, to: Path, rows: int) -> tuple[Path, Path]:
    """Rows of the ten most frequent labels: ``rows`` of train (0: all), all of test."""
    to.mkdir(parents=True, exist_ok=True)
    sides = {}
    for name in ("train", "test"):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as handle:
            sides[name] = list(csv.DictReader(handle))
    column = next(name for name in sides["train"][0] if name != "text")
    top = {label for label, _ in Counter(row[column] for row in sides["train"]).most_common(LABELS)}
    written = []
    for name, found in sides.items():
        kept = [row for row in found if row[column] in top]
        file = to / f"{name}.csv"
        with file.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, list(kept[0]))
            writer.writeheader()
            # spread over the whole file, which is sorted by label
            few = name == "train" and rows
            places = [index * len(kept) // rows for index in range(rows)] if few else range(len(kept))
            writer.writerows(kept[place] for place in places)
        written.append(file)
    return written[0], written[1]


def pair(train: Path, test: Path, seed: int, runs: Path) -> dict[str, Any]:
    import tuneproof as tp
    from tuneproof.evaluate import compare

    made = [
        tp.tune(train, runs=runs, data_test=str(test), model_name="minilm-l6", train_seed=one, **OPTIONS).run
        for one in (seed, seed + 1)
    ]
    found = compare([str(run.path) for run in made])
    scores = [run.scores["systems"][0]["values"]["accuracy"] for run in made]
    for run in made:
        shutil.rmtree(run.path)
    gap = found["difference"]
    return {
        "seeds": [seed, seed + 1],
        "accuracy": scores,
        "n": found["n"],
        "verdict": found["verdict"],
        "difference": {key: gap[key] for key in ("value", "low", "high", "p", "disagreement")},
        "headline": found["headline"].replace(f"{runs}/", ""),  # no path of a machine
    }


def here() -> dict[str, Any]:
    from importlib.metadata import version

    from tuneproof.device import machine

    return {
        "machine": machine().describe(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
    }


def commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, cwd=HERE, check=True).stdout.strip()


if __name__ == "__main__":
    main()
