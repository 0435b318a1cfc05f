"""How many labels the list of a hold saves: labels until the gate decides, by the list and by random choice.

    python benchmarks/label_saving.py [--data DIR] [--draws 2000]

Three MiniLM-L6 classifiers, tuned by freeze on 800, 1,600 and 3,200 rows of banking77, are three pairs of champion and
challenger. Both answer a pool of rows that none was tuned on. Then, in each of ``--draws`` random orders of the pool,
the gate looks at more and more rows of it. Whoever labels at random labels all of them; the list asks only for those
that the two answer differently, as the others add nothing to the difference. Beside it stands the same with equal
models: right and wrong of the two are swapped at random, row by row. Results: ``benchmarks/results/label_saving.json``.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "label_saving.json"
SIZES, TESTED = (800, 1600, 3200), 300
OPTIONS: dict[str, Any] = {
    "method_name": "freeze",
    "model_name": "minilm-l6",
    "check_effect": False,
    "evaluate_retain_documents": 30,
}
LOOKS = np.unique(np.geomspace(100, 8000, 40).round().astype(int))  # rows of the pool at which the gate looks
Counts = np.ndarray[Any, np.dtype[np.int64]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--runs", type=Path, default=Path("runs/label_saving"))
    asked = parser.parse_args()
    if not asked.data.is_dir():
        print(f"Skipped: there is no folder {asked.data}; name one with --data.")
        return
    said = [answers(asked.data / "banking77", asked.runs, size) for size in SIZES]
    agrees()
    pairs = [pair(said[old], said[new], asked.draws) for old, new in combinations(range(len(SIZES)), 2)]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=True
    )
    found = {"draws": asked.draws, "sizes": SIZES, "options": OPTIONS, "commit": commit.stdout.strip(), "pairs": pairs}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    for one in pairs:
        print({name: value for name, value in one.items() if name != "looks"})


# -- real answers


def answers(folder: Path, runs: Path, size: int) -> dict[str, Any]:
    """What the model tuned on so many rows says of the pool, and the truth; kept in ``runs`` for a second call."""
    kept = runs / f"said-{size}.json"
    if not kept.is_file():
        import tuneproof as tp
        from tuneproof.predict import Predictor

        train, test, pool = files(folder, runs, size)
        run = tp.tune(train, runs=runs, data_test=str(test), **OPTIONS).run
        said = Predictor.open(run)([row["text"] for row in pool])
        truths = [row["label"] for row in pool]
        told = {"rows": size, "said": [p.value for p in said], "sure": [p.confidence for p in said], "truth": truths}
        kept.write_text(json.dumps(told))
        right = np.mean(np.array(told["said"]) == np.array(truths))
        print(f"{size:,} rows: accuracy {right:.3f}", flush=True)
    found: dict[str, Any] = json.loads(kept.read_text())
    return found


def files(folder: Path, to: Path, size: int) -> tuple[Path, Path, list[dict[str, str]]]:
    """``size`` rows to tune on, each size holding the smaller ones; rows to test on; the pool, the same for all."""
    to.mkdir(parents=True, exist_ok=True)
    sides = []
    for name in ("train", "test"):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as handle:
            rows = [{"text": row["text"], "label": row["label"]} for row in csv.DictReader(handle)]
        random.Random(name).shuffle(rows)
        sides.append(rows)
    train, test = sides
    pool = train[max(SIZES) :] + test[TESTED:]
    for name, rows in ((f"train-{size}", train[:size]), ("test", test[:TESTED])):
        with (to / f"{name}.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, ["text", "label"])
            writer.writeheader()
            writer.writerows(rows)
    return to / f"train-{size}.csv", to / "test.csv", pool


# -- the gate, over many orders of the pool


def pair(old: dict[str, Any], new: dict[str, Any], draws: int) -> dict[str, Any]:
    """Champion and challenger over the pool."""
    truth = np.array(old["truth"])
    said = np.array(old["said"]), np.array(new["said"])
    right = np.stack([each == truth for each in said])
    differ = said[0] != said[1]
    looks = LOOKS[: np.searchsorted(LOOKS, len(truth), side="right")]
    rng = np.random.default_rng(0)
    kept: dict[str, list[Any]] = {name: [] for name in ("words", "labels", "equal", "loop", "equal loop", "halves")}
    for _ in range(draws):
        order = rng.permutation(len(truth))
        swapped = np.where(rng.random(len(truth)) < 0.5, right, right[::-1])
        for side, words, loop in ((right, "words", "loop"), (swapped, "equal", "equal loop")):
            only = counts(side[:, order])
            kept[words].append(word(only[0][looks - 1], only[1][looks - 1], looks))
            kept[loop].append(until_decided(only, np.cumsum(differ[order])))
        kept["labels"].append(np.cumsum(differ[order])[looks - 1])
        kept["halves"].append(half_of_the_list(order[:2000], right, differ, np.array(old["sure"]) + new["sure"]))
    words, equal = np.array(kept["words"]), np.array(kept["equal"])
    labels = np.mean(kept["labels"], axis=0)
    decided = (words != 0).mean(axis=0)
    needed = {
        "random": at(0.8, decided, looks.astype(float)),
        "list": at(0.8, decided, labels),
    }
    rounds = np.array([one for one in kept["loop"] if one[2]])
    return {
        "rows": [old["rows"], new["rows"]],
        "accuracy": [float(side.mean()) for side in right],
        "pool": len(truth),
        "answered differently": float(differ.mean()),
        "labels for a verdict in 80% of draws": needed,
        "share of labels": None if needed["random"] is None else needed["list"] / needed["random"],
        "as the gate asks": summary(rounds, draws),
        "equal models, one look": {
            "better": float((equal == 1).mean(axis=0).max()),
            "worse": float((equal == -1).mean(axis=0).max()),
        },
        "equal models, as the gate asks": loops(kept["equal loop"]),
        "difference seen with half of the list": halves(kept["halves"], float(right[1].mean() - right[0].mean())),
        "looks": [
            {"rows": int(n), "labels of the list": float(listed), "decided": float(d), "better": float(b)}
            for n, listed, d, b in zip(looks, labels, decided, (words == 1).mean(axis=0), strict=True)
        ],
    }


def counts(right: Any) -> tuple[Counts, Counts]:
    """How many of the first n rows only the champion, and only the challenger, has right."""
    old, new = right
    return np.cumsum(old & ~new), np.cumsum(new & ~old)


def word(only_old: Any, only_new: Any, n: Any) -> Any:
    """1 where the gate says better, -1 worse, 0 where it cannot tell: ``gate.primary`` over many counts at once."""
    from tuneproof.stats.paired import agresti_min, mcnemar

    centre, error = agresti_min(only_old, only_new, n)
    sure = mcnemar(only_old, only_new) <= 0.05
    return np.where(sure & (centre > 1.959964 * error), 1, np.where(sure & (centre < -1.959964 * error), -1, 0))


def agrees() -> None:
    """``word`` is what the gate says, in 300 random cases."""
    from tuneproof.deploy.gate import Policy, primary
    from tuneproof.stats.paired import difference

    rng = np.random.default_rng(1)
    for _ in range(300):
        right = rng.random((2, 150)) < rng.uniform(0.6, 0.95, (2, 1))
        gap = difference(*right.astype(float))
        rule = primary("G3", "fresh test", gap, Policy(), higher_is_better=True, told="")
        only = counts(right)
        assert {"pass": 1, "fail": -1, "hold": 0}[rule.word] == word(only[0][-1], only[1][-1], 150)


def until_decided(only: tuple[Counts, Counts], labels: Counts) -> tuple[int, int, int]:
    """Rows, labels of the list, and the word, where after each hold so many rows are taken as the gate asks for."""
    from tuneproof.deploy.gate import Policy, rows_to_label
    from tuneproof.stats.paired import difference

    n = 100
    while True:
        old, new = int(only[0][n - 1]), int(only[1][n - 1])
        said = int(word(old, new, n))
        if said or n == len(labels):
            return n, int(labels[n - 1]), said
        right = np.zeros((2, n))
        right[0, :old], right[1, old : old + new] = 1, 1
        n = min(len(labels), rows_to_label(difference(*right), Policy()) or len(labels))


def half_of_the_list(rows: Any, right: Any, differ: Any, sure: Any) -> tuple[float, float]:
    """The difference as it looks if only half of the list is labelled: the surer half, and a random one."""
    listed = rows[differ[rows]]
    surest = listed[np.argsort(-sure[listed], kind="stable")]
    gaps = right[1].astype(float) - right[0]
    half = len(listed) // 2
    share = len(listed) / len(rows)
    return float(gaps[surest[:half]].mean() * share), float(gaps[listed[:half]].mean() * share)


def at(power: float, decided: Any, labels: Any) -> float | None:
    """Labels at which so large a share of the draws is decided, between two looks by a straight line."""
    rising = np.maximum.accumulate(decided)
    return None if rising[-1] < power else float(np.interp(power, rising, labels))


def summary(rounds: Any, draws: int) -> dict[str, Any]:
    """Of the draws that came to a verdict: medians of rows and labels, and of their ratio."""
    rows, labels, said = rounds.T
    return {
        "decided": len(rounds) / draws,
        "better": float((said == 1).sum() / draws),
        "worse": float((said == -1).sum() / draws),
        "labels at random": float(np.median(rows)),
        "labels of the list": float(np.median(labels)),
        "share of labels, median": float(np.median(labels / rows)),
        "share of labels, 95th percentile": float(np.quantile(labels / rows, 0.95)),
    }


def loops(found: list[Any]) -> dict[str, float]:
    said = np.array([one[2] for one in found])
    return {"better": float((said == 1).mean()), "worse": float((said == -1).mean())}


def halves(found: list[Any], true: float) -> dict[str, float]:
    surest, drawn = np.mean(found, axis=0)
    return {"in the pool": true, "the surer half": float(surest), "a random half": float(drawn)}


if __name__ == "__main__":
    main()
