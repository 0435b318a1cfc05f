"""Some rows instead of all, the same ones each time.

sample(splits, 50_000)
"""

from __future__ import annotations

import hashlib

from tuneproof.records import Splits, Table


def sample(splits: Splits, rows: int) -> Splits:
    """At most ``rows`` rows, chosen by the hash of their ids, each side in its proportion; in file order."""
    whole = sum(len(table) for _, table in splits.items())
    if whole <= rows:
        return splits
    return Splits(*(_some(table, max(1, round(rows * len(table) / whole))) for _, table in splits.items()))


def _some(table: Table, rows: int) -> Table:
    ids = table.columns["id"]
    ranked = sorted(range(len(table)), key=lambda index: hashlib.sha256(f"sample {ids[index]}".encode()).digest())
    return table.take(sorted(ranked[:rows]))
