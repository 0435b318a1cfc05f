"""How many planted label errors the doctor finds, and what that costs, on three real data sets.

    python benchmarks/label_issues.py [--data DIR] [--only banking77 ...]      # measures, writes docs/label_issues.md
    python benchmarks/label_issues.py --table                                  # only writes the page from the results

``DIR`` holds one folder per data set with a train file (banking77, clinc150, cuad_clauses). Up to 8,000 of its rows are
taken, a share of their labels is replaced, either by any other class or by the class whose centre is nearest to that of
the right one, and the label check looks for them on one thread. Errors that the data had before count as false alarms.
``tests/proof/test_label_proof.py`` calls ``measure`` with the limits of ACCEPTANCE figure 8.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuneproof.prepare.check.guesses import FOLDS, Guesses, guess, trust
from tuneproof.prepare.check.labels import flagged
from tuneproof.prepare.check.linear import Floats, Integers, unit
from tuneproof.prepare.split import folds

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "label_issues.json"
PAGE = HERE.parent / "docs" / "label_issues.md"
SETS = {"banking77": "train.csv", "clinc150": "train.jsonl", "cuad_clauses": "train.jsonl"}
ROWS = 8_000
TOKENS = 128
KINDS = ("uniform", "nearest class")
SHARES = (0.05, 0.1)
SEEDS = (11, 12, 13)

Embed = Callable[[list[str]], Floats]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--only", nargs="*", default=list(SETS))
    parser.add_argument("--table", action="store_true", help="only write the page from the results")
    asked = parser.parse_args()
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    if asked.table:
        PAGE.write_text(page(found), encoding="utf-8")
        return
    if not asked.data.is_dir():
        print(f"Skipped: there is no folder {asked.data}; name one with --data.")
        return
    embed = encoder()
    for name in asked.only:
        found[name] = one(asked.data / name / SETS[name], embed)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(name, json.dumps(found[name], indent=1), flush=True)
    PAGE.write_text(page(found), encoding="utf-8")


def encoder() -> Embed:
    """The sentence vectors of MiniLM-L6, on one thread."""
    import torch
    from transformers import AutoModel

    from tuneproof import sources
    from tuneproof.modalities import MODALITIES
    from tuneproof.predict import embed

    torch.set_num_threads(1)
    folder = sources.model("minilm-l6").path
    model = AutoModel.from_pretrained(folder).eval()
    text = MODALITIES["text"](folder, TOKENS)
    return lambda texts: embed(model, text, [text.cut(text.encode(one)) for one in texts], "fp32")


def one(file: Path, embed: Embed) -> dict[str, Any]:
    """A data set as it is, with the seconds of each step, and with errors planted."""
    texts, labels = sample(file)
    watch = Watch()
    vectors = embed(texts)
    embedding = watch.lap()
    guesses = judged(texts, labels, vectors)
    flags = flagged(guesses)
    judging = watch.lap()
    cases = [
        {"kind": kind, "share": share, **measure(texts, labels, vectors, kind, share)} for kind, share in all_cases()
    ]
    return {
        "rows": len(texts),
        "classes": len(guesses.classes),
        "accuracy": round(float((guesses.said == guesses.numbers).mean()), 4),
        "flagged as it is": int(flags.sum()),
        "embedding seconds": embedding,
        "judging seconds": judging,
        "cases": cases,
    }


class Watch:
    """Seconds of one thread's work since the last lap: what the processor worked, not what others made it wait."""

    def __init__(self) -> None:
        self.began = time.process_time()

    def lap(self) -> float:
        before, self.began = self.began, time.process_time()
        return round(self.began - before, 1)


def sample(file: Path) -> tuple[list[str], list[str]]:
    """At most ROWS texts and labels, drawn with a fixed seed."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines)) if file.suffix == ".csv" else [json.loads(line) for line in lines]
    chosen = np.random.default_rng(0).permutation(len(rows))[:ROWS]
    return [rows[at]["text"] for at in chosen], [rows[at]["label"] for at in chosen]


def judged(texts: list[str], labels: list[str], vectors: Floats) -> Guesses:
    return guess(texts, labels, vectors, folds(texts, labels, FOLDS, "benchmark"), seed=0)


def all_cases() -> Iterator[tuple[str, float]]:
    return ((kind, share) for kind in KINDS for share in SHARES)


def measure(
    texts: list[str],
    labels: list[str],
    vectors: Floats,
    kind: str,
    share: float,
    seeds: tuple[int, ...] = SEEDS,
) -> dict[str, float]:
    """Means over seeds: AUROC of each ranking, precision of its first n (n errors planted), and the cut's figures."""
    scores: dict[str, list[float]] = {}
    for seed in seeds:
        noisy, planted = plant(labels, vectors, kind, share, seed)
        guesses = judged(texts, noisy, vectors)
        for name, value in figures(guesses, planted).items():
            scores.setdefault(name, []).append(value)
    return {name: round(float(np.mean(values)), 4) for name, values in scores.items()}


def plant(
    labels: list[str], vectors: Floats, kind: str, share: float, seed: int
) -> tuple[list[str], NDArray[np.bool_]]:
    """The labels with ``share`` of them replaced, and which (n,)."""
    names, numbers = np.unique(np.asarray(labels), return_inverse=True)
    draw = np.random.default_rng(seed)
    rows = draw.choice(len(labels), round(share * len(labels)), replace=False)
    changed = numbers.copy()
    if kind == "uniform":
        changed[rows] = (numbers[rows] + draw.integers(1, len(names), len(rows))) % len(names)
    else:
        changed[rows] = nearest_class(numbers, vectors)[numbers[rows]]
    planted = np.zeros(len(labels), dtype=bool)
    planted[rows] = True
    return names[changed].tolist(), planted


def nearest_class(numbers: Integers, vectors: Floats) -> Integers:
    """(classes,): for each class the one whose centre is nearest by cosine."""
    rows = unit(vectors)
    centres = unit(np.stack([rows[numbers == number].mean(0) for number in range(numbers.max() + 1)]))
    alike = centres @ centres.T
    np.fill_diagonal(alike, -1)
    return np.asarray(alike.argmax(1))


def figures(guesses: Guesses, planted: NDArray[np.bool_]) -> dict[str, float]:
    from cleanlab.rank import get_label_quality_scores
    from sklearn.metrics import roc_auc_score

    probabilities = guesses.probabilities.astype(np.float64)
    rankings = {
        "margin": get_label_quality_scores(guesses.numbers, probabilities, method="normalized_margin"),
        "own probability": get_label_quality_scores(guesses.numbers, probabilities, method="self_confidence"),
        "score": trust(probabilities, guesses.numbers),
    }
    flags = flagged(guesses)
    found = {"cut precision": float(planted[flags].mean()), "cut recall": float(flags[planted].mean())}
    for name, ranking in rankings.items():
        first = np.argsort(ranking, kind="stable")[: planted.sum()]
        found[f"{name} precision"] = float(planted[first].mean())
        found[f"{name} AUROC"] = float(roc_auc_score(planted, -ranking))
    return found


def page(found: dict[str, Any]) -> str:
    """The results as docs/label_issues.md."""
    lines = [
        "# Label errors that were planted, and how many are found",
        "",
        "Made by `benchmarks/label_issues.py`: real data, some labels replaced, MiniLM-L6 vectors at 128 tokens, one "
        f"thread; means over {len(SEEDS)} seeds.",
        '"uniform" replaces a label by any other, "nearest class" by the class whose centre is nearest to its own.',
        "Precision is that of the first n rows of a ranking, n being the number of errors planted. Errors that the "
        "data had before count as false alarms, so no ranking can reach 1.",
        "",
        "The doctor ranks by `score` (`prepare/check/labels.py`): the margin between the best other class and the "
        "row's own, with the logarithm of the row's own probability.",
        "`margin` and `own probability` are cleanlab's rankings of the same probabilities. The cut is cleanlab's "
        "confident learning.",
        "",
        "| data | errors | score: precision, AUROC | margin: precision, AUROC | own probability: precision, AUROC | "
        "cut: precision, recall |",
        "|---|---|---|---|---|---|",
    ]
    for name, one_set in found.items():
        for case in one_set["cases"]:
            ranked = " | ".join(
                f"{case[f'{ranking} precision']:.2f}, {case[f'{ranking} AUROC']:.3f}"
                for ranking in ("score", "margin", "own probability")
            )
            lines.append(
                f"| {name} | {case['share']:.0%} {case['kind']} | {ranked} | {case['cut precision']:.2f}, "
                f"{case['cut recall']:.2f} |"
            )
    lines += [
        "",
        "| data | rows | classes | accuracy out of fold | named in the data as it is | seconds: vectors | "
        "seconds: fits, ranking, cut |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one_set in found.items():
        lines.append(
            f"| {name} | {one_set['rows']:,} | {one_set['classes']} | {one_set['accuracy']:.3f} | "
            f"{one_set['flagged as it is']} | {one_set['embedding seconds']} | {one_set['judging seconds']} |"
        )
    lines += ["", "Seconds are of one core's work, on a machine that was shared.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
