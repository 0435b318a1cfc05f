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

from tuneproof.prepare.clean import PAIRS
from tuneproof.prepare.fingerprint import ordered, read
from tuneproof.records import Drop, Ledger, Schema, Splits, Table
from tuneproof.tasks.columns import Cells, strings


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
    """sha256 of the sorted ids of all rows, 16 bytes each, copies as often as they are there.

    Which side the rows stand on is in the manifest beside it.
    """
    pairs = np.concatenate([_pairs(table.columns["id"]) for _, table in splits.items()])
    return hashlib.sha256(ordered(pairs)).hexdigest()


def _pairs(ids: Sequence[str]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    if isinstance(ids, Cells) and PAIRS in ids.known:
        return ids.known[PAIRS]
    column = strings(ids)
    assert column is not None, "an id is a text"
    return read(column)


def manifest(
    splits: Splits,
    schema: Schema,
    salt: str,
    files: Mapping[str, Mapping[str, Any]],
    *,
    parents: Sequence[str] = (),
    checks: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """What identifies the data of a run; ``files`` (``file_records``) let a resumed run see that a file has changed.

    ``parents`` are the data_ids of the versions that this one was made from, ``checks`` how many rows each check of the
    doctor named (empty: nothing was checked).
    """
    return {
        "rows": sum(len(table) for _, table in splits.items()),
        "bytes": sum(record["bytes"] for record in files.values()),
        "data_id": version(splits),
        "files": dict(files),
        "schema": dataclasses.asdict(schema),
        "splits": {name: len(table) for name, table in splits.items()},
        "salt": salt,
        "parents": list(parents),
        "checks": dict(checks or {}),
    }


def file_records(paths: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file."""
    return {str(file.absolute()): file_record(file) for path in paths for file in _files(path)}


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
