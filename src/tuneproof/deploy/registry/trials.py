"""What a running server found out about a version beside its champion: one small file per trial, counts and no text.

    place = begun(folder, "canary", 9)          # models/reviews/trials/20261126T005124-canary-9-3f9a.json
    write(place, record)                        # whole, again and again while the trial runs
    told(folder)                                # the newest of them as lines a person can read

A trial is a shadow (the version answers a copy of some requests and nobody hears it) or a canary (it answers some
callers).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneproof.deploy.registry.home import private
from tuneproof.run import write_atomically

SHOWN = 3  # the newest that are told


def begun(folder: Path, kind: str, version: int) -> Path:
    """Where a trial that begins now is written down; ``folder`` is that of the name, which two servers may share."""
    return private(folder / "trials") / f"{time.strftime('%Y%m%dT%H%M%S')}-{kind}-{version}-{secrets.token_hex(2)}.json"


def write(place: Path, record: Mapping[str, Any]) -> None:
    write_atomically(place, json.dumps(record, sort_keys=True, indent=1).encode() + b"\n")


def told(folder: Path) -> list[list[str]]:
    """The newest trials, the oldest of them first: a sentence and a table of cells each."""
    files = sorted((folder / "trials").glob("*.json"))[-SHOWN:]
    return [_told(json.loads(file.read_text(encoding="utf-8"))) for file in files]


def _told(record: Mapping[str, Any]) -> list[str]:
    since, until = (record[end][:16].replace("T", " ") for end in ("since", "until"))
    head = (
        f"{record['kind']} of @{record['version']} beside @{record['champion']}, "
        f"{100 * record['share']:g}% of requests, {since} to {until}: {record['state']}"
    )
    rows = [("", "answers", *record["counts"], "p50", "p95"), *(_side(side) for side in record["sides"])]
    return [head, *aligned(rows), *(f"{name}: {text}" for name, text in record["notes"].items())]


def _side(side: Mapping[str, Any]) -> tuple[str, ...]:
    counts = tuple(f"{count:,}" + (f" ({count / of:.1%})" if of else "") for count, of in side["counts"])
    seconds = tuple("-" if value is None else f"{1000 * value:,.1f} ms" for value in (side["p50"], side["p95"]))
    return (side["name"], f"{side['answers']:,}", *counts, *seconds)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their longest entry."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def percentile(values: Sequence[float], part: float) -> float | None:
    """The value below which ``part`` of ``values`` lie, of those that occur; None of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else None
