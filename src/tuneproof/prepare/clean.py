"""Rows of a file become the parts that the task works on; what cannot be used is dropped by name, and counted.

    table, dropped = clean(table, answer, schema, max_missing=0.2)
    table.columns        # id, group and time (when asked for), and the parts: text and label, or messages

Unusable rows and exact duplicates leave; contradictions stay and are told (``notes``). No value is repaired. Whole
columns are worked on at once, so that a million rows take seconds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import Any

import polars as pl

from tuneproof.errors import DataError
from tuneproof.prepare.schema import Recogniser
from tuneproof.prepare.times import instants
from tuneproof.records import Drop, Schema, Table
from tuneproof.tasks import columns, kept, rows, tables

SHOWN = 20  # lines that a Drop names
DUPLICATE = "exact duplicate"
BESIDE = ("id", "group", "time")  # columns of a canonical table that are no part of the content
LONGEST_NAME = 200  # characters of a group's name; a longer one, such as the text that questions are about, is hashed
PIECE = 65_536  # rows hashed at a time, so that their encodings are never all in memory


def clean(
    table: Table, answer: Recogniser, schema: Schema, max_missing: float, *, duplicates: bool = False
) -> tuple[Table, list[Drop]]:
    """Canonical rows with their ids, and the drops. DataError when more than ``max_missing`` of the rows are unusable.

    A later row with the same content (compatibility forms, case and white space aside) as an earlier one is dropped.
    With ``duplicates`` (a test file, which is used as it is) it stays, and a copy's number is appended to its id, so
    that ids are unique within a table; nor are times looked at, as such a file is not divided.
    """
    found = answer.canonical_columns(table, schema)
    _enough(table, schema, found.unusable, max_missing)
    dropped = [one for reason, where in found.unusable.items() for one in drops(reason, table, where)]
    parts, indices = dict(found.parts), found.indices
    if not duplicates:
        first = columns.is_first(_encoded({name: _normal_column(values) for name, values in parts.items()}))
        dropped += drops(DUPLICATE, table, [indices[row] for row in (~first).arg_true()])
        if not first.all():
            stays = first.to_list()
            indices = list(compress(indices, stays))
            parts = {name: list(compress(columns.listed(values), stays)) for name, values in parts.items()}
    used = _beside(table, schema, indices)
    more: dict[str, Sequence[Any]] = {"id": identify(parts)}
    if schema.group is not None:
        more["group"] = [_group(value) for value in used.columns.get(schema.group, [None] * len(used))]
    if schema.time is not None and not duplicates:
        more["time"] = instants(used, schema.time)
    more |= {name: columns.listed(values) for name, values in parts.items()}
    return dataclasses.replace(used, columns=more), dropped


def is_content(name: str) -> bool:
    """Whether a column of a canonical table is a part of the task: those alone make a row's id."""
    return name not in BESIDE and not kept.is_kept(name)


def drops(reason: str, table: Table, indices: Sequence[int]) -> list[Drop]:
    """The rows ``indices`` of ``table`` as one Drop for each file that they stand in."""
    lines: dict[str, list[int]] = {}
    for index in indices:
        lines.setdefault(table.file(index), []).append(table.lines[index])
    return [drop(reason, where, file) for file, where in lines.items()]


def drop(reason: str, lines: list[int], source: str) -> Drop:
    return Drop(reason, len(lines), tuple(lines[:SHOWN]), source, rows.REASONS.get(reason, ""))


def normal(value: Any) -> Any:
    """NFKC, case folded, white space collapsed, in every string of ``value``: what makes two rows the same."""
    if isinstance(value, str):
        return columns.fold(value)
    if isinstance(value, Mapping):
        return {key: normal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    return value


def digest(content: Mapping[str, Any]) -> str:
    """The id of a row: sha256, in hexadecimal, of its parts in the order of their names.

    Of each part its name, a NUL, the number of its bytes, a NUL and the bytes: the text in UTF-8, or what is no text as
    JSON with sorted keys. Lengths make two different contents two different encodings.
    """
    parts = ((name.encode("utf-8"), _text(content[name]).encode("utf-8")) for name in sorted(content))
    return hashlib.sha256(b"".join(b"%b\0%d\0%b" % (name, len(text), text) for name, text in parts)).hexdigest()


def identify(parts: Mapping[str, columns.Values]) -> list[str]:
    """``digest`` of every row, of which ``parts`` are the columns; the second copy of a row gets ``-2`` behind it."""
    encoded = _encoded({name: _text_column(values) for name, values in parts.items()})
    ids: list[str] = []
    for piece in encoded.cast(pl.Binary).to_frame().iter_slices(PIECE):
        ids += [hashlib.sha256(content).hexdigest() for content in piece.to_series().to_list()]
    if not columns.repeated(encoded).any():
        return ids
    copies: Counter[str] = Counter()
    for row, id in enumerate(ids):
        copies[id] += 1
        if copies[id] > 1:
            ids[row] = f"{id}-{copies[id]}"
    return ids


def notes(table: Table) -> list[str]:
    """What is odd in the canonical rows and stays: contradicting labels, labels that differ in their spelling only."""
    told = [f"{table.source}: {remark}" for remark in rows.remarks(table)]
    if "label" not in table.columns:
        return told
    conflicts = _conflicts(table)
    if conflicts:
        told.append(
            f"{table.source}: {rows.counted(len(conflicts), 'text')} with different labels ({_lines(conflicts)})"
        )
    spellings: dict[str, set[str]] = {}
    for label in set(table.columns["label"]):
        spellings.setdefault(normal(label), set()).add(label)
    for several in spellings.values():
        if len(several) > 1:
            told.append(f"{table.source}: the labels {rows.quoted(sorted(several))} differ in their spelling only")
    return told


def _conflicts(table: Table) -> list[int]:
    """For each text that has several labels, the line where it stands first."""
    text = _normal_column(tables.questions(table))
    line = pl.Series(table.lines, dtype=pl.Int64)
    frame = pl.DataFrame({"text": text, "label": table.columns["label"], "line": line}).filter(columns.repeated(text))
    several = frame.group_by("text").agg(pl.col("label").n_unique(), pl.col("line").first())
    lines: list[int] = several.filter(pl.col("label") > 1)["line"].to_list()
    return lines


def _lines(lines: Iterable[int]) -> str:
    several = sorted(lines)
    more = ", ..." if len(several) > 5 else ""
    return f"{'line' if len(several) == 1 else 'lines'} {', '.join(str(line) for line in several[:5])}{more}"


def _group(value: Any) -> str | None:
    """The group's name; a row without one stands for itself."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    name = value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return name if len(name) <= LONGEST_NAME else hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _beside(table: Table, schema: Schema, indices: Sequence[int]) -> Table:
    """Where the rows ``indices`` stand, with their groups and times as the file has them."""
    wanted = [name for name in (schema.group, schema.time) if name is not None and name in table.columns]
    named = {name: columns.listed(table.columns[name]) for name in wanted}
    return Table(named, table.lines, table.source, table.files).take(indices)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _text_column(values: columns.Values) -> pl.Series:
    """``_text`` of every value."""
    column = columns.strings(values)
    return column if column is not None else pl.Series([_text(value) for value in values], dtype=pl.String)


def _normal_column(values: columns.Values) -> pl.Series:
    """``_text(normal(value))`` of every value."""
    column = columns.strings(values)
    if column is not None:
        return columns.folded(column)
    return pl.Series([_text(normal(value)) for value in values], dtype=pl.String)


def _encoded(parts: Mapping[str, pl.Series]) -> pl.Series:
    """What ``digest`` takes the hash of, for every row."""
    pieces: list[pl.Expr] = []
    for name in sorted(parts):
        pieces += [pl.lit(f"{name}\0"), pl.col(name).str.len_bytes(), pl.lit("\0"), pl.col(name)]
    return pl.DataFrame(dict(parts)).select(pl.concat_str(pieces).alias("content")).to_series()


def _enough(table: Table, schema: Schema, unusable: Mapping[str, Sequence[int]], max_missing: float) -> None:
    """Refuse a file of which too little is usable; duplicates are no loss."""
    ordered = sorted(unusable.items(), key=lambda one: -len(one[1]))
    lost = sum(len(where) for _, where in ordered)
    share = lost / len(table)
    if lost < len(table) and share <= max_missing:
        return
    reasons = ", ".join(f"{reason} {len(where):,}" for reason, where in ordered)
    named = rows.quoted(list(dict.fromkeys(schema.fields.values())))
    first = ordered[0][1][0]
    place = f"{table.file(first)}, line {table.lines[first]}"
    if lost == len(table):
        raise DataError(
            f"{place}: none of the {len(table):,} rows is usable for {schema.task} ({reasons}; columns {named}).",
            "Correct the rows, or name other columns.",
        )
    raise DataError(
        f"{place}: {lost:,} of {len(table):,} rows ({share:.0%}) are unusable ({reasons}; columns {named}); "
        f"{max_missing:.0%} are accepted.",
        f"Correct them, or go on without them: --set data.max_missing={math.ceil(share * 100) / 100:.2f}",
    )
