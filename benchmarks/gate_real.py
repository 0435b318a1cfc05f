"""The gate over real runs: is a model of shuffled labels always rejected, and how often is an equal one promoted?

    python benchmarks/gate_real.py [--data DIR] [--pairs 20] [--rows 300]

MiniLM-L6, freeze, ``--rows`` training rows of banking77's ten commonest labels, and their test rows. In round k the run
of seed k is the champion of a name of its own; it meets a run on the same rows with their labels shuffled, and the run
of seed k + 1, which differs in the seed alone. Both are registered and promoted as ``tuneproof registry add`` and
``tuneproof promote`` do it, with the default policy. Two seeds make two models, which may differ in truth: beside the
verdict stands their difference on ``UNSEEN`` rows of the same labels that nobody else sees. Results go to
``benchmarks/results/gate_real.json`` after each round, and a second call goes on behind them.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import aa_runs
from aa_runs import commit, files, here

HERE = Path(__file__).parent
UNSEEN = 600
RESULTS = HERE / "results" / "gate_real.json"
OPTIONS: dict[str, Any] = {**aa_runs.OPTIONS, "model_name": "minilm-l6"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--runs", type=Path, default=Path("runs/gate"))
    asked = parser.parse_args()
    if not asked.data.is_dir():
        print(f"Skipped: there is no folder {asked.data}; name one with --data.")
        return
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    folder = asked.data / "banking77"
    train, test = files(folder, asked.runs, asked.rows)
    others = unseen(folder / "train.csv", train)
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"pairs": []}
    for number in range(len(found["pairs"]), asked.pairs):
        found["pairs"].append(pair(train, test, others, number, asked.runs))
        found |= {kind: dict(Counter(one[kind]["verdict"] for one in found["pairs"])) for kind in ("shuffled", "equal")}
        found |= {"commit": commit(), "rows": asked.rows, "options": OPTIONS, **here()}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        print(f"pair {number}: shuffled {found['shuffled']}, equal {found['equal']}", flush=True)


def pair(train: Path, test: Path, others: list[dict[str, str]], number: int, runs: Path) -> dict[str, Any]:
    """One champion, and what the gate said of the two that would replace it."""
    champion, equal = (tuned(train, test, seed, runs / f"seed-{seed}") for seed in (number, number + 1))
    mixed = tuned(shuffled(train, number), test, number, runs / "shuffled")
    os.environ["XDG_DATA_HOME"] = str((runs / "home").resolve())
    name = f"pair-{number}"
    promoted(champion, name)
    found = {"seed": number, "shuffled": promoted(mixed, name), "equal": promoted(equal, name)}
    found["equal"]["on unseen rows"] = apart(champion, equal, others)
    for gone in (runs / "home", runs / "shuffled", runs / f"seed-{number}"):
        shutil.rmtree(gone)
    return found


def tuned(train: Path, test: Path, seed: int, to: Path) -> Path:
    """The run of this seed, tuned where it is not there yet."""
    import tuneproof as tp

    made = [run.parent for run in to.glob("*/eval")]
    if made:
        return made[0]
    return tp.tune(train, runs=to, data_test=str(test), train_seed=seed, **OPTIONS).run.path


def shuffled(train: Path, seed: int) -> Path:
    """The same rows, their labels in another order."""
    with train.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    column = next(name for name in rows[0] if name != "text")
    labels = [row[column] for row in rows]
    random.Random(seed).shuffle(labels)
    file = train.with_name("shuffled.csv")
    with file.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, column: label} for row, label in zip(rows, labels, strict=True))
    return file


def promoted(run: Path, name: str) -> dict[str, Any]:
    """Registered under ``name`` and weighed against its champion; the verdict and the word of each rule."""
    from tuneproof.pipeline import Quiet, add
    from tuneproof.pipeline.promoting import Weighing, weigh

    version = add(run, name, view=Quiet())
    found = weigh(version.label, Weighing(), view=Quiet())
    told = {rule.id: {"word": rule.word, "told": rule.told} for rule in found.rules}
    return {"verdict": found.verdict, "rules": told}


def unseen(whole: Path, train: Path) -> list[dict[str, str]]:
    """Rows of the labels of ``train`` that are not in it, spread over the file."""
    sides = []
    for file in (whole, train):
        with file.open(encoding="utf-8", newline="") as handle:
            sides.append(list(csv.DictReader(handle)))
    known, labels = ({row[column] for row in sides[1]} for column in ("text", "label"))
    rows = [row for row in sides[0] if row["label"] in labels and row["text"] not in known]
    return [rows[index * len(rows) // UNSEEN] for index in range(UNSEEN)]


def apart(champion: Path, other: Path, rows: list[dict[str, str]]) -> dict[str, Any]:
    """By how much the two differ on rows that neither was tuned or weighed on."""
    from tuneproof.predict import Predictor
    from tuneproof.run import Run
    from tuneproof.stats.paired import difference

    right = [
        [
            float(said.value == row["label"])
            for said, row in zip(Predictor.open(Run.open(run))([row["text"] for row in rows]), rows, strict=True)
        ]
        for run in (champion, other)
    ]
    gap = difference(*right)
    return {"n": gap.n, "value": gap.value, "low": gap.low, "high": gap.high, "p": gap.p}


if __name__ == "__main__":
    main()
