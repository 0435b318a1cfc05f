"""The books of prepare: every row accounted for, and the name of this version of the data.

ledger(inputs, splits, drops, notes)      # asserts that it closes
version(splits)                           # the same rows in another order have the same version
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tuneproof.records import Drop, Ledger, Schema, Splits, Table

WIDTH = 64  # characters of an id that is no copy


def ledger(inputs: Sequence[Table], splits: Splits, drops: Sequence[Drop], notes: Sequence[str]) -> Ledger:
    """Rows in, rows used, rows dropped; it is our fault if they do not add up."""
    assert len({table.source for table in inputs}) == len(inputs), "two inputs of one name"
    rows_in: Counter[str] = Counter()
    for table in inputs:
        rows_in.update(Counter(table.files) if table.files else {table.source: len(table)})
    used = {name: len(table) for name, table in splits.items()}
    books = Ledger(dict(rows_in), used, tuple(drops), tuple(notes))
    assert books.closes(), f"the ledger does not close: {books}"
    return books


def version(splits: Splits) -> str:
    """sha256 of the sorted ids of all rows: which side they stand on is in the manifest beside it."""
    ids = [id for _, table in splits.items() for id in table.columns["id"]]
    joined = "".join(ids).encode("ascii")
    if len(joined) != WIDTH * len(ids):  # copies, which have a number behind their id
        return hashlib.sha256("\n".join(sorted(ids)).encode("ascii")).hexdigest()
    lines = np.full((len(ids), WIDTH + 1), ord("\n"), dtype=np.uint8)
    lines[:, :WIDTH] = np.sort(np.frombuffer(joined, dtype=f"S{WIDTH}")).view(np.uint8).reshape(len(ids), WIDTH)
    return hashlib.sha256(lines.reshape(-1)[:-1].data).hexdigest()


def manifest(
    paths: Sequence[Path],
    splits: Splits,
    schema: Schema,
    salt: str,
    *,
    parents: Sequence[str] = (),
    checks: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """What identifies the data of a run; ``files`` lets a resumed run see that a file has changed.

    ``parents`` are the data_ids of the versions that this one was made from, ``checks`` how many rows each check of the
    doctor named (empty: nothing was checked).
    """
    files = {str(file.absolute()): file_record(file) for path in paths for file in _files(path)}
    return {
        "rows": sum(len(table) for _, table in splits.items()),
        "bytes": sum(record["bytes"] for record in files.values()),
        "data_id": version(splits),
        "files": files,
        "schema": dataclasses.asdict(schema),
        "splits": {name: len(table) for name, table in splits.items()},
        "salt": salt,
        "parents": list(parents),
        "checks": dict(checks or {}),
    }


def _files(path: Path) -> list[Path]:
    """The file itself; of a folder every file in it."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def file_record(path: Path) -> dict[str, Any]:
    """Size and sha256 of a file, read in pieces."""
    with path.open("rb") as content:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(content, "sha256").hexdigest()}


def changed(record: Mapping[str, Any]) -> list[str]:
    """Of the files in a manifest, those that are gone or no longer have the content they had."""
    return [
        name
        for name, before in record["files"].items()
        if not Path(name).is_file() or file_record(Path(name)) != dict(before)
    ]
