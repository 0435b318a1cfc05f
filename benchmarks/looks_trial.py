"""Which look at few validation rows finds the best weights: four rules on the same trainings.

    python benchmarks/looks_trial.py [--data DIR] [--draws 16] [--sets pubmedqa amazon_counterfactual_en]

A small network (one hidden layer) learns from MiniLM-L6's mean vectors of some rows of a set, for as many passes as
named, with a rate that falls to zero; an eighth of the rows is looked at eight times. A rule picks a look. What it
costs is the share of test rows that the best of the eight looks answers rightly minus that of the picked one, in points
(mean over ``--draws`` draws of rows and seeds). Real trainings go the same way but take a thousand times as long.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tuneproof import sources
from tuneproof.stats.looks import latest_best

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "looks_trial.json"
ROWS, PASSES, LOOKS, BATCH, RATE = (150, 400), (4, 12, 40), 8, 16, 3e-3
Look = tuple[float, float, float]  # share right of validation rows, their Brier score, share right of test rows
RULES: dict[str, Callable[[list[Look], int], int | None]] = {
    "the last": lambda looks, n: len(looks) - 1,
    "the best": lambda looks, n: max(range(len(looks)), key=lambda at: looks[at][0]),
    "the latest within one standard error": lambda looks, n: latest_best(*_shares(looks, n), higher=True, share=True),
    "and no less sure (ours)": lambda looks, n: latest_best(
        *_shares(looks, n), higher=True, share=True, errors=[brier for _, brier, _ in looks]
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--sets", nargs="*", default=["pubmedqa", "amazon_counterfactual_en"])
    asked = parser.parse_args()
    if not asked.data.is_dir():
        print(f"Skipped: there is no folder {asked.data}; name one with --data.")
        return
    torch.set_num_threads(1)
    found = []
    for name in asked.sets:
        train, test = (vectors(asked.data / name / f"{side}.jsonl") for side in ("train", "test"))
        for rows in ROWS:
            for passes in PASSES:
                costs = trial(train, test, rows, passes, asked.draws)
                found.append({"set": name, "rows": rows, "passes": passes, "points lost": costs})
                print(json.dumps(found[-1]), flush=True)
    RESULTS.write_text(json.dumps({"draws": asked.draws, "trials": found}, indent=1) + "\n")


def vectors(file: Path, most: int = 1000) -> tuple[Tensor, Tensor]:
    """Mean vectors (n, width) of at most ``most`` rows, and the numbers of their labels in alphabetical order."""
    from transformers import AutoModel, AutoTokenizer

    folder = sources.model("minilm-l6", say=print).path
    reader, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").strip("\n").split("\n")]
    labels = sorted({row["label"] for row in rows})
    rows = random.Random(0).sample(rows, min(most, len(rows)))
    texts = [row.get("text") or row["question"] for row in rows]
    means = []
    with torch.inference_mode():
        for start in range(0, len(texts), 32):
            part = reader(texts[start : start + 32], padding=True, truncation=True, max_length=160, return_tensors="pt")
            seen = part["attention_mask"][..., None]
            means.append((model(**part).last_hidden_state * seen).sum(1) / seen.sum(1))
    return torch.cat(means).clone(), torch.tensor([labels.index(row["label"]) for row in rows])


def trial(train: Any, test: Any, rows: int, passes: int, draws: int) -> dict[str, float]:
    costs: dict[str, list[float]] = {rule: [] for rule in RULES}
    for seed in range(draws):
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(train[0]))[:rows])
        spared, learnt = order[: rows // 8], order[rows // 8 :]
        looks = training(*([part[at] for part in train] for at in (learnt, spared)), test, passes, seed)
        for rule, pick in RULES.items():
            at = pick(looks, len(spared))
            assert at is not None
            costs[rule].append(max(right for _, _, right in looks) - looks[at][2])
    return {rule: round(100 * sum(lost) / len(lost), 2) for rule, lost in costs.items()}


def training(learnt: Any, spared: Any, test: Any, passes: int, seed: int) -> list[Look]:
    torch.manual_seed(seed)
    classes = int(max(learnt[1].max(), spared[1].max(), test[1].max())) + 1
    width = learnt[0].shape[1]
    net = torch.nn.Sequential(
        torch.nn.Linear(width, 128), torch.nn.GELU(), torch.nn.Dropout(0.1), torch.nn.Linear(128, classes)
    )
    optimizer = torch.optim.AdamW(net.parameters())
    steps = [part for _ in range(passes) for part in torch.randperm(len(learnt[0])).split(BATCH)]
    at = {round(len(steps) * (look + 1) / LOOKS) for look in range(LOOKS)}
    looks = []
    for number, part in enumerate(steps, start=1):
        optimizer.param_groups[0]["lr"] = RATE * (1 - (number - 1) / len(steps))
        optimizer.zero_grad()
        F.cross_entropy(net(learnt[0][part]), learnt[1][part]).backward()
        optimizer.step()
        if number in at:
            net.eval()
            with torch.no_grad():
                looks.append((*seen(net(spared[0]), spared[1]), seen(net(test[0]), test[1])[0]))
            net.train()
    return looks


def seen(logits: Tensor, truth: Tensor) -> tuple[float, float]:
    """Share of rows answered rightly, and the Brier score; of logits (n, classes)."""
    error = (logits.softmax(1) - F.one_hot(truth, logits.shape[1])).square().sum(1).mean()
    return float((logits.argmax(1) == truth).float().mean()), float(error)


def _shares(looks: list[Look], n: int) -> tuple[list[float], list[int]]:
    return [share for share, _, _ in looks], [n] * len(looks)


if __name__ == "__main__":
    main()
