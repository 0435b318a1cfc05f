"""The books of prepare: every row accounted for, and the name of this version of the data.

ledger(inputs, splits, drops, notes)      # asserts that it closes
version(splits)                           # the same rows in another order have the same version
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneproof.records import Drop, Ledger, Schema, Splits, Table


def ledger(inputs: Sequence[Table], splits: Splits, drops: Sequence[Drop], notes: Sequence[str]) -> Ledger:
    """Rows in, rows used, rows dropped; it is our fault if they do not add up."""
    rows_in = {table.source: len(table) for table in inputs}
    used = {name: len(table) for name, table in splits.items()}
    books = Ledger(rows_in, used, tuple(drops), tuple(notes))
    assert len(rows_in) == len(inputs), "two inputs of one name"
    assert books.closes(), f"the ledger does not close: {books}"
    return books


def version(splits: Splits) -> str:
    """sha256 of the sorted ids of all rows: which side they stand on is in the manifest beside it."""
    ids = sorted(id for _, table in splits.items() for id in table.columns["id"])
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def manifest(paths: Mapping[str, Path], splits: Splits, schema: Schema, salt: str) -> dict[str, Any]:
    """What identifies the data of a run; ``files`` lets a resumed run see that a file has changed."""
    files = {str(path.absolute()): file_record(path) for path in paths.values()}
    return {
        "rows": sum(len(table) for _, table in splits.items()),
        "bytes": sum(record["bytes"] for record in files.values()),
        "data_id": version(splits),
        "files": files,
        "schema": dataclasses.asdict(schema),
        "splits": {name: len(table) for name, table in splits.items()},
        "salt": salt,
    }


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
