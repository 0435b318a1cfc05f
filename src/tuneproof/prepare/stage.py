"""The stage prepare from file to splits: read, infer, clean, split, and the books.

prepared = prepare(Path("reviews.csv"), config.data, {name: task.answer for name, task in TASKS.items()})
prepared.splits.train, prepared.schema, prepared.ledger, prepared.manifest
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneproof.config import Data
from tuneproof.errors import DataError, nearest
from tuneproof.prepare import clean as cleaning
from tuneproof.prepare.ledger import file_records, ledger, manifest
from tuneproof.prepare.read import read
from tuneproof.prepare.review import apply, read_review
from tuneproof.prepare.schema import Recogniser, infer
from tuneproof.prepare.split import split
from tuneproof.records import Drop, Ledger, Schema, Splits, Table
from tuneproof.tasks import columns, entities, kept, quantities, rows, rules, several


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the stage hands over: ``Run.write_data`` takes the four in this order."""

    splits: Splits
    schema: Schema
    ledger: Ledger
    manifest: dict[str, Any]


def prepare(
    files: Path | Sequence[Path],
    asked: Data,
    answers: Mapping[str, Recogniser],
    names: Sequence[str] = (),
    review: str | None = None,
    keep: Sequence[str] = (),
) -> Prepared:
    """Read ``files`` (and ``asked.test``), understand them and divide their rows; ``names``: what the user calls them.

    ``review`` is a CSV of decisions that a person took (``review.write_review``); ``keep`` are columns that stay
    beside the rows for slices. Refusals are DataErrors.
    """
    paths = (files,) if isinstance(files, Path) else tuple(files)
    raw = read(paths, names or tuple(map(str, paths)), sheet=asked.sheet, header=asked.header)
    whole = paths if asked.test is None else (*paths, Path(asked.test))
    with ThreadPoolExecutor(1) as beside:  # their sha256 takes as long as reading them, and another core has time
        files_as_read = beside.submit(file_records, whole)
        splits, schema, books = _divided(raw, paths, asked, answers, review, keep)
        return Prepared(splits, schema, books, manifest(splits, schema, asked.salt, files_as_read.result()))


def _divided(
    raw: Table,
    paths: Sequence[Path],
    asked: Data,
    answers: Mapping[str, Recogniser],
    review: str | None,
    keep: Sequence[str],
) -> tuple[Splits, Schema, Ledger]:
    """What ``prepare`` makes of the table ``raw`` that it read from ``paths``."""
    schema = infer(raw, answers, asked)
    answer = answers[schema.task]
    table, drops = cleaning.clean(raw, answer, schema, asked.max_missing)
    table = kept.attach(table, raw, keep)
    answer.check(table, schema)
    inputs = [raw]
    notes = [*raw.notes, *cleaning.notes(table)]
    test = None
    if asked.test is not None:
        raw_test = _read_test(paths, Path(asked.test), schema, asked)
        inputs.append(raw_test)
        test, test_drops = cleaning.clean(raw_test, answer, schema, asked.max_missing, duplicates=True)
        test = kept.attach(test, raw_test, keep)
        drops += test_drops
        notes += [*raw_test.notes, *cleaning.notes(test)]
    splits, leaked = split(table, asked, test, table.columns.get("label"))
    drops += leaked
    if review is not None:
        splits, reviewed, told = apply(splits, read_review(Path(review), splits, schema))
        drops += reviewed
        notes += told
    if "label" in table.columns:
        taught = columns.kinds(splits.train.columns["label"])
        schema = dataclasses.replace(schema, labels=_label_set(schema.labels, taught))
        schema = _singled_out(schema, splits)
        notes += _not_measured(splits)
    schema = dataclasses.replace(schema, scale=quantities.scale(splits.train), several=several.label_names(table))
    several.check_known(splits.test, schema.several)
    if "answers" in table.columns:
        schema = dataclasses.replace(schema, unanswered=not all(splits.train.columns["answers"]))
    if "tags" in table.columns:
        schema = dataclasses.replace(schema, tags=entities.tag_set(entities.types(splits.train.columns["tags"])))
        notes += _not_taught(splits)
    return splits, schema, ledger(inputs, splits, merged(drops), notes)


def _read_test(files: Sequence[Path], path: Path, schema: Schema, asked: Data) -> Table:
    """The test file, with the columns that the schema names."""
    if path.exists() and any(file.exists() and path.samefile(file) for file in files):
        raise DataError(
            f"{path}: the test file is the training file itself.", "Give another file, or leave --test out."
        )
    table = read(path, sheet=asked.sheet, header=asked.header, own=False)
    optional = ("input", "system", "tools", "history")
    for part, column in schema.fields.items():
        if column not in table.columns and part not in optional:
            names = list(table.columns)
            raise DataError(
                f'{path}: there is no column "{column}" (the {part} in {files[0]}); the file has {rows.quoted(names)}.',
                nearest(column, names) or f'Rename the column with the {part} to "{column}".',
            )
    return table


def _singled_out(schema: Schema, splits: Splits) -> Schema:
    """The label that is rare, or stands for none of the others, with the reason."""
    labels = splits.train.columns["label"]
    steps = rules.in_order(schema.labels, schema.fields["label"])
    rare, outside = rules.rare_label(labels), rules.outside_label(schema.labels)
    if rare is not None and list(splits.validation.columns["label"]).count(rare) < rules.FEWEST:
        rare = None  # its F1 on so few rows would choose the weights by chance
    reasons = list(schema.reasons)
    if rare is not None:
        share = sum(label == rare for label in labels) / len(labels)
        reasons.append(f'the label "{rare}" is rare ({share:.0%} of the training rows): its F1 decides, not accuracy')
    if outside is not None:
        reasons.append(f'the label "{outside}" stands for none of the others: a threshold for it is fitted')
    if steps:
        reasons.append(f"the labels are steps in an order: {', '.join(steps)}")
    return dataclasses.replace(
        schema,
        labels=steps or schema.labels,
        rare=rare,
        outside=outside,
        ordinal=bool(steps),
        reasons=tuple(reasons),
    )


def _label_set(before: Sequence[str], taught: set[str]) -> tuple[str, ...]:
    """The labels of the file that are taught, in their order, and then those that a review brought."""
    return (*(label for label in before if label in taught), *sorted(taught.difference(before)))


def _not_measured(splits: Splits) -> list[str]:
    """Classes that are taught and have no test row: their recall will not be known."""
    taught, measured = (columns.kinds(table.columns["label"]) for table in (splits.train, splits.test))
    absent = sorted(taught - measured)
    return (
        [f"{rows.counted(len(absent), 'class', 'classes')} without a test row: {rows.quoted(absent, 5)}"]
        if absent
        else []
    )


def _not_taught(splits: Splits) -> list[str]:
    """Types of entities that are measured and have no train row: they will all be missed."""
    taught, measured = (set(entities.types(table.columns["tags"])) for table in (splits.train, splits.test))
    absent = sorted(measured - taught)
    return [f"{rows.counted(len(absent), 'type')} without a train row: {rows.quoted(absent, 5)}"] if absent else []


def merged(drops: list[Drop]) -> list[Drop]:
    """One entry per reason and file, most rows first."""
    merged: dict[tuple[str, str], Drop] = {}
    for one in drops:
        before = merged.get((one.source, one.reason))
        if before is not None:
            lines = sorted((*before.lines, *one.lines))[: cleaning.SHOWN]
            one = dataclasses.replace(one, rows=before.rows + one.rows, lines=tuple(lines))
        merged[(one.source, one.reason)] = one
    return sorted(merged.values(), key=lambda one: (one.source, -one.rows))
