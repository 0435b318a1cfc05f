"""How fast personal data is looked for: rows per second of the check, and what a text costs that must be read closely.

    python benchmarks/personal_data.py [--rows 1000000]

Rows are made up, of 60 characters on average: none, one in a hundred, or all of them with a value; "numbers" have long
numbers and no value. The best of two runs; results go to ``benchmarks/results/personal_data.json`` with versions
and hardware, and a table is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from tuneproof.config import Check as Options
from tuneproof.prepare.check import Subject
from tuneproof.prepare.check.personal import personal_data
from tuneproof.records import Schema, Splits, Table

RESULTS = Path(__file__).parent / "results" / "personal_data.json"
WORDS = "please tell me where my order is because i have been waiting since monday and nobody answers the phone"
CLEAN = {number: " ".join(WORDS.split()[number:][:12]) for number in range(7)}
ROWS: dict[str, Callable[[int], str]] = {
    "no value": lambda row: CLEAN[row % 7],
    "1 in 100 with an e-mail address": lambda row: CLEAN[row % 7] + f" bird{row}@example.org" * (row % 100 == 0),
    "all with an e-mail address": lambda row: CLEAN[row % 7][:40] + f" bird{row}@example.org",
    "all with a telephone number": lambda row: CLEAN[row % 7][:40] + f" +44 20 {7000 + row % 1000} {1000 + row % 997}",
    "all with a number that a word explains": lambda row: (
        f"hello there my account number is {10**9 + row * 7919} thanks"
    ),
    "all with numbers and no value": lambda row: f"order {10**9 + row} of {row % 400} pieces, invoice {row * 7919}",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    found = {}
    for name, make in ROWS.items():
        subject = one([make(row) for row in range(rows)])
        seconds, hits = min(timed(subject) for _ in range(2))
        found[name] = {
            "rows": rows,
            "seconds": round(seconds, 2),
            "rows_per_second": round(rows / seconds),
            "hits": hits,
        }
        print(f"| {name} | {rows:,} | {hits:,} | {seconds:.1f} | {rows / seconds:,.0f} |", flush=True)
    machine = {"cpu": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine | {"polars": pl.__version__}, "runs": found}, indent=1) + "\n")


def one(texts: list[str]) -> Subject:
    """A Subject with all rows in train."""

    def table(rows: list[str]) -> Table:
        columns = {"id": range(len(rows)), "text": rows, "label": ["a"] * len(rows)}
        return Table(columns, range(len(rows)), "rows.csv")

    schema = Schema("text-classification", "", {}, ("a",), None, ())
    splits = Splits(table(texts), table([]), table([]))
    return Subject(splits, schema, lambda row: (row["text"], row["label"]), Options(), 0)


def timed(subject: Subject) -> tuple[float, int]:
    start = time.perf_counter()
    found = personal_data(subject).found
    return time.perf_counter() - start, found


if __name__ == "__main__":
    main()
