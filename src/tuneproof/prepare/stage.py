"""The stage prepare from file to splits: read, infer, clean, split, and the books.

prepared = prepare(Path("reviews.csv"), config.data, {name: task.answer for name, task in TASKS.items()})
prepared.splits.train, prepared.schema, prepared.ledger, prepared.manifest
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneproof.config import Data
from tuneproof.errors import DataError, nearest
from tuneproof.prepare import clean as cleaning
from tuneproof.prepare.ledger import ledger, manifest
from tuneproof.prepare.read import read
from tuneproof.prepare.schema import Recogniser, infer
from tuneproof.prepare.split import split
from tuneproof.records import Drop, Ledger, Schema, Splits, Table
from tuneproof.tasks import rows


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the stage hands over: ``Run.write_data`` takes the four in this order."""

    splits: Splits
    schema: Schema
    ledger: Ledger
    manifest: dict[str, Any]


def prepare(file: Path, asked: Data, answers: Mapping[str, Recogniser], name: str | None = None) -> Prepared:
    """Read ``file`` (and ``asked.test``), understand it, and divide it; ``name`` is what the user calls the file.

    Refusals are DataErrors.
    """
    raw = read(file)
    if name is not None:
        raw = dataclasses.replace(raw, source=name)
    paths = {raw.source: file}
    schema = infer(raw, answers, asked)
    answer = answers[schema.task]
    table, drops = cleaning.clean(raw, answer, schema, asked.max_missing)
    answer.check(table, schema)
    inputs = [raw]
    notes = cleaning.notes(table)
    test = None
    if asked.test is not None:
        raw_test = _read_test(file, Path(asked.test), schema)
        inputs.append(raw_test)
        paths[raw_test.source] = Path(asked.test)
        test, test_drops = cleaning.clean(raw_test, answer, schema, asked.max_missing, duplicates=True)
        drops += test_drops
        notes += cleaning.notes(test)
    labels = table.columns.get("label")
    splits, leaked = split(table, asked, test, labels)
    drops += leaked
    if labels is not None:
        taught = set(splits.train.columns["label"])
        schema = dataclasses.replace(schema, labels=tuple(label for label in schema.labels if label in taught))
        notes += _not_measured(splits)
    books = ledger(inputs, splits, _merged(drops), notes)
    return Prepared(splits, schema, books, manifest(paths, splits, schema, asked.salt))


def _read_test(file: Path, path: Path, schema: Schema) -> Table:
    """The test file, with the columns that the schema names."""
    if path.exists() and file.exists() and path.samefile(file):
        raise DataError(
            f"{path}: the test file is the training file itself.", "Give another file, or leave --test out."
        )
    table = read(path)
    optional = ("input", "system", "tools", "history")
    for part, column in schema.fields.items():
        if column not in table.columns and part not in optional:
            names = list(table.columns)
            raise DataError(
                f'{path}: there is no column "{column}" (the {part} in {file}); the file has {rows.quoted(names)}.',
                nearest(column, names) or f'Rename the column with the {part} to "{column}".',
            )
    return table


def _not_measured(splits: Splits) -> list[str]:
    """Classes that are taught and have no test row: their recall will not be known."""
    absent = sorted(set(splits.train.columns["label"]) - set(splits.test.columns["label"]))
    return (
        [f"{rows.counted(len(absent), 'class', 'classes')} without a test row: {rows.quoted(absent, 5)}"]
        if absent
        else []
    )


def _merged(drops: list[Drop]) -> list[Drop]:
    """One entry per reason and file, most rows first."""
    merged: dict[tuple[str, str], Drop] = {}
    for one in drops:
        before = merged.get((one.source, one.reason))
        if before is not None:
            lines = sorted((*before.lines, *one.lines))[: cleaning.SHOWN]
            one = dataclasses.replace(one, rows=before.rows + one.rows, lines=tuple(lines))
        merged[(one.source, one.reason)] = one
    return sorted(merged.values(), key=lambda one: (one.source, -one.rows))
