"""Near copies: what the checks find and cost, on banking77 and on 100,000 generated rows.

    python benchmarks/near_duplicates.py             # prints the tables of docs/prepare.md, under two minutes
    python benchmarks/near_duplicates.py --large     # only seconds and memory of the checks on 100,000 rows, as JSON

``tests/proof/test_near_proof.py`` calls the same functions with the limits of ACCEPTANCE figure 9. Generated rows are
sentences of made-up words, common ones often; one row in ten is an earlier one with one to three words changed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tuneproof.config import Check as Options
from tuneproof.prepare.check import CHECKS, Subject, exact, minhash
from tuneproof.prepare.check.compared import measured, plain
from tuneproof.prepare.check.shingles import jaccard, sets
from tuneproof.records import Schema, Splits, Table
from tuneproof.tasks.columns import fold

HERE = Path(__file__).resolve().parent
ROWS = 100_000
STEPS = (0.8, 0.85, 0.9)
SIDES = ("train", "validation", "test")


def generated(rows: int, seed: int = 0) -> list[str]:
    """Texts of about 110 characters, one in ten nearly a copy of an earlier one."""
    rng = np.random.default_rng(seed)
    parts = [a + b for a in "bcdfghjklmnprstvwz" for b in "aeiou"]
    words = ["".join(parts[at] for at in rng.integers(0, len(parts), n)) for n in rng.integers(1, 5, 20_000)]
    weight = 1 / np.arange(10, len(words) + 10)
    drawn = rng.choice(len(words), size=(rows, 30), p=weight / weight.sum())
    texts: list[str] = []
    for row, length in enumerate(rng.integers(10, 31, rows).tolist()):
        copied = row > 0 and rng.random() < 0.1
        own = [words[at] for at in drawn[row, :length]]
        texts.append(changed(texts[int(rng.integers(row))], words, rng) if copied else " ".join(own))
    return texts


def changed(text: str, words: Sequence[str], rng: np.random.Generator) -> str:
    """One to three words replaced, left out or misspelt."""
    found = text.split()
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(found)))
        new = (words[int(rng.integers(len(words)))], "", found[at] + "x", found[at][::-1])
        found[at] = new[int(rng.integers(4))]
    return " ".join(found)


def subject(texts: Sequence[str]) -> Subject:
    """Eight tenths train, one tenth each validation and test."""
    cuts = [0, len(texts) * 8 // 10, len(texts) * 9 // 10, len(texts)]
    return divided({side: list(texts[a:b]) for side, a, b in zip(SIDES, cuts, cuts[1:], strict=False)})


def divided(texts: dict[str, list[str]]) -> Subject:
    """What the checks are handed, with two labels in turn."""
    tables = []
    for side in SIDES:
        own = texts[side]
        labels = [("a", "b")[row % 2] for row in range(len(own))]
        ids = [f"{side}-{row}" for row in range(len(own))]
        tables.append(Table({"id": ids, "text": own, "label": labels}, range(2, len(own) + 2), f"{side}.csv"))
    schema = Schema("text-classification", "text+label", {"text": "text", "label": "label"}, ("a", "b"), None, ())
    return Subject(Splits(*tables), schema, lambda row: (row["text"], row["label"]), Options(), 0)


def large(rows: int) -> dict[str, Any]:
    """Seconds of each check, and the most memory that this process ever held, before and after, in MiB."""
    one = subject(generated(rows))
    before = resident()
    seconds = {}
    found = {}
    for name in ("leakage", "near_duplicates", "conflicts"):
        began = time.perf_counter()
        found[name] = CHECKS[name].look(one).found
        seconds[name] = round(time.perf_counter() - began, 1)
    return {"rows": rows, "seconds": seconds, "found": found, "mib_before": before, "mib": resident()}


def resident() -> int:
    """The most this process ever held, in MiB. Not getrusage: there a child begins with what its parent held."""
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) // 1024


def recall(rows: int) -> dict[str, Any]:
    """Pairs of MinHash beside all pairs (exact index), and those it names that are none."""
    texts = generated(rows, seed=1)
    everyone = np.arange(rows)
    blocks = [keys(one, other) for one, other in minhash.candidates(minhash.signatures(texts), everyone, everyone)]
    looked = np.unique(np.concatenate(blocks))
    one, other = looked >> 32, looked & (2**32 - 1)
    named = looked[measured(texts, one, other) >= STEPS[0]]
    found = sets(texts)
    every, scores = [], []
    for left, right in exact.Index(found, everyone, everyone, STEPS[0]).candidates():
        earlier = right < left
        score = jaccard(found, left[earlier], right[earlier])
        every.append(keys(left, right)[score >= STEPS[0]])
        scores.append(score[score >= STEPS[0]])
    pairs, score = np.concatenate(every), np.concatenate(scores)
    hit = np.isin(pairs, named)
    return {
        "looked at": len(looked),
        "false": sum(apart(texts, int(key)) < STEPS[0] for key in named),
        "pairs": {f"{least:.2f}": int((score >= least).sum()) for least in STEPS},
        "recall": {f"{least:.2f}": round(float(hit[score >= least].mean()), 4) for least in STEPS},
    }


def keys(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    kept = other < one
    return (other[kept] << 32) | one[kept]


def apart(texts: Sequence[str], key: int) -> float:
    """Jaccard of a pair by Python's own sets."""
    one, other = (pieces(texts[at]) for at in (key >> 32, key & (2**32 - 1)))
    return len(one & other) / len(one | other)


def pieces(text: str) -> frozenset[str]:
    return frozenset(text[at : at + 5] for at in range(max(len(text) - 4, 1)))


def ours(text: str) -> str:
    return plain(fold(text))


def letters(text: str) -> str:
    """What DATA.md's figures of banking77 (133 rows at .8, 364 at .7) are counted with."""
    return re.sub("[^a-z0-9 ]", "", text.lower())


def brute(one: Sequence[str], other: Sequence[str], as_text: Callable[[str], str]) -> NDArray[np.float64]:
    """(one, other): Jaccard of all pairs, by counting; what the fast ways are held against."""
    holders: dict[str, list[int]] = defaultdict(list)
    sets_ = [pieces(as_text(text)) for text in one]
    for row, own in enumerate(sets_):
        for piece in own:
            holders[piece].append(row)
    arrays = {piece: np.array(rows) for piece, rows in holders.items()}
    sizes = np.array([len(own) for own in sets_])
    found = np.zeros((len(one), len(other)))
    for column, text in enumerate(other):
        own = pieces(as_text(text))
        common = np.zeros(len(one))
        for piece in own & arrays.keys():
            common[arrays[piece]] += 1
        found[:, column] = common / (sizes + len(own) - common)
    return found


def banking(folder: Path) -> tuple[list[str], list[str]]:
    return tuple(pl.read_csv(folder / f"{side}.csv")["text"].to_list() for side in ("train", "test"))  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data" / "banking77")
    parser.add_argument("--large", action="store_true")
    asked = parser.parse_args()
    if asked.large:
        print(json.dumps(large(ROWS)))
        return
    if asked.data.is_dir():
        print_banking(*banking(asked.data))
    else:
        print(f"Left out: there is no folder {asked.data}; name one with --data.\n")
    at = recall(ROWS)
    print("| Jaccard at least | pairs | found by MinHash |", "|--|--|--|", sep="\n")
    for least in at["pairs"]:
        print(f"| {least} | {at['pairs'][least]:,} | {at['recall'][least]:.1%} |")
    print(f"\n{at['looked at']:,} pairs were measured, {at['false']} pairs named that are none.\n")
    ran = subprocess.run([sys.executable, __file__, "--large"], check=True, capture_output=True, text=True)
    cost = json.loads(ran.stdout)
    print(f"{cost['rows']:,} rows: {cost['seconds']} s, {cost['mib']} MiB ({cost['mib_before']} before the checks)")


def print_banking(train: list[str], test: list[str]) -> None:
    print("| compared | test rows with a train row at .7 | at .8 | equal |", "|--|--|--|--|", sep="\n")
    for name, as_text in (("folded", fold), ("letters, digits, blanks", letters), ("folded, without marks", ours)):
        most = brute(train, test, as_text).max(axis=0)
        print(f"| {name} | {(most >= 0.7).sum()} | {(most >= 0.8).sum()} | {(most == 1).sum()} |")
    began = time.perf_counter()
    checked = CHECKS["leakage"].look(divided({"train": train, "validation": ["never asked"], "test": test}))
    print(f"\nThe check: {time.perf_counter() - began:.2f} s, {dict(checked.figures)}\n")


if __name__ == "__main__":
    main()
