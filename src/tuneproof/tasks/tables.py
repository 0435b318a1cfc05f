"""A whole table of a file becomes the parts that a task works on, column by column.

    canonical_rows(table, schema, canonical_messages).parts     # {"messages": [...]}
    canonical_texts(table, schema).unusable                     # {"no label": [17, 230]}

What a row becomes is said once, in ``rows``; this is the same for a million of them. Nothing here drops or counts
anything: which rows are usable is told, and why the others are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from tuneproof.records import Row, Schema, Table
from tuneproof.tasks import columns, rows


@dataclass(frozen=True, slots=True)
class Canonical:
    """The usable rows of a table, and why the others are not."""

    parts: Mapping[str, columns.Values]  # one value per usable row
    indices: Sequence[int]  # which rows those are, ascending
    unusable: Mapping[str, Sequence[int]]  # reason -> rows


def canonical_rows(table: Table, schema: Schema, canonical: Callable[[Row, Schema], dict[str, Any]]) -> Canonical:
    """``canonical`` of every row of the table."""
    parts: dict[str, list[Any]] = {}
    indices: list[int] = []
    unusable: dict[str, list[int]] = {}
    for index, row in enumerate(table.rows()):
        try:
            content = canonical(row, schema)
        except rows.Unusable as error:
            unusable.setdefault(error.reason, []).append(index)
            continue
        indices.append(index)
        for name, value in content.items():
            parts.setdefault(name, []).append(value)
    return Canonical(parts, indices, unusable)


def canonical_texts(table: Table, schema: Schema) -> Canonical:
    """``rows.canonical_text`` of every row, whole columns at once where they hold plain values and texts are text."""
    if "second" in schema.fields:
        return canonical_rows(table, schema, rows.canonical_text)
    text = columns.strings(table.columns.get(schema.fields["text"], ()))
    label = _labels(table.columns.get(schema.fields["label"], ()), schema)
    if text is None or label is None or not len(text) == len(label) == len(table):
        return canonical_rows(table, schema, rows.canonical_text)
    unlabelled = label.is_null()
    empty = columns.blank(text) & ~unlabelled
    usable = ~(unlabelled | empty)
    if usable.all():
        return Canonical({"text": text, "label": label}, range(len(table)), {})
    found = {"no label": unlabelled.arg_true().to_list(), "empty text": empty.arg_true().to_list()}
    parts = {"text": text.filter(usable), "label": label.filter(usable)}
    return Canonical(parts, usable.arg_true().to_list(), {why: where for why, where in found.items() if where})


def questions(table: Table) -> Sequence[str]:
    """``rows.question`` of every canonical row: what the model is asked."""
    if not {"messages", "second"} & table.columns.keys():
        return table.columns["text"]
    return [rows.question(row) for row in table.rows()]


def pairs(table: Table) -> Sequence[tuple[str, str]]:
    """The two texts of every canonical row; () where rows have one."""
    if "second" not in table.columns:
        return ()
    return list(zip(table.columns["text"], table.columns["second"], strict=True))


def _labels(values: columns.Values, schema: Schema) -> pl.Series | None:
    """The label of every row, null where there is none; each distinct value is looked at once. None: not plain."""
    column = columns.strings(values)
    if column is not None:
        found = column.drop_nulls().unique()
        new = pl.Series([_label(value, schema) for value in found], dtype=pl.String)
        return column if new.equals(found) else new.gather(columns.codes(column, found))
    if any(isinstance(value, list | dict) for value in values):
        return None
    written = {(type(value), value): _label(value, schema) for value in columns.distinct(values)}
    return pl.Series([written[type(value), value] for value in values], dtype=pl.String)


def _label(value: Any, schema: Schema) -> str | None:
    """What ``canonical_text`` makes of this value as the label of a row."""
    try:
        row = rows.canonical_text({schema.fields["text"]: "-", schema.fields["label"]: value}, schema)
    except rows.Unusable:
        return None
    label: str = row["label"]
    return label
