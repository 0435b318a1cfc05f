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
from typing import Any

import numpy as np
import polars as pl

from tuneproof.errors import DataError
from tuneproof.prepare.fingerprint import (
    Fingerprints,
    Words,
    joined,
    joined_folded,
    of_values,
    repeated,
    text_of,
    written,
)
from tuneproof.prepare.schema import Recogniser
from tuneproof.prepare.times import instants
from tuneproof.records import Drop, Schema, Table
from tuneproof.tasks import columns, kept, rows, tables

SHOWN = 20  # lines that a Drop names
DUPLICATE = "exact duplicate"
BESIDE = ("id", "group", "time")  # columns of a canonical table that are no part of the content
LONGEST_NAME = 200  # characters of a group's name; a longer one, such as the text that questions are about, is hashed
Flags = np.ndarray[Any, np.dtype[np.bool_]]
# What Cells.known calls fingerprints of folded texts, which of those may stand there twice, and the numbers of ids.
FOLDED, AGAIN, PAIRS = "folded", "again", "pairs"


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
    parts, indices = {name: columns.held(values) for name, values in found.parts.items()}, found.indices
    prints = {name: of_values(values) for name, values in parts.items()}
    again = {name: repeated(of.folded) for name, of in prints.items()}
    for name, values in parts.items():
        if isinstance(values, columns.Cells):
            values.known |= {FOLDED: prints[name].folded, AGAIN: again[name]}
    if not duplicates:
        first = _is_first(parts, prints, again)
        if not first.all():
            dropped += drops(DUPLICATE, table, [indices[row] for row in np.flatnonzero(~first).tolist()])
            stays = np.flatnonzero(first)
            indices = columns.taken(indices, stays)
            parts = {name: columns.taken(values, stays) for name, values in parts.items()}
            prints = {name: of.take(stays) for name, of in prints.items()}
    used = _beside(table, schema, indices)
    more: dict[str, Sequence[Any]] = {"id": _ids(prints, duplicates)}
    if schema.group is not None:
        more["group"] = [_group(value) for value in used.columns.get(schema.group, [None] * len(used))]
    if schema.time is not None and not duplicates:
        more["time"] = instants(used, schema.time)
    more |= parts
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


def identify(parts: Mapping[str, columns.Values]) -> list[str]:
    """``fingerprint.digest`` of every row, of which ``parts`` are the columns; a second copy gets ``-2`` behind it."""
    return _ids({name: of_values(of) for name, of in parts.items()}).values


def folded_print(values: columns.Values) -> Words:
    """``Fingerprints.folded`` of every value; ``clean`` has left it with the columns that it made."""
    if isinstance(values, columns.Cells) and FOLDED in values.known:
        return values.known[FOLDED]
    return of_values(values).folded


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
    for label in sorted(columns.kinds(table.columns["label"])):
        spellings.setdefault(columns.normal(label), set()).add(label)
    for several in spellings.values():
        if len(several) > 1:
            told.append(f"{table.source}: the labels {rows.quoted(sorted(several))} differ in their spelling only")
    return told


def _conflicts(table: Table) -> list[int]:
    """For each text that has several labels, the line where it stands first."""
    text = tables.questions(table)
    known = text.known if isinstance(text, columns.Cells) else {}
    again = np.flatnonzero(known[AGAIN] if AGAIN in known else repeated(folded_print(text)))
    if not len(again):
        return []
    some = table.take(again.tolist())
    frame = pl.DataFrame(
        {
            "text": _normal_column(tables.questions(some)),
            "label": columns.listed(some.columns["label"]),
            "line": list(some.lines),
        }
    )
    several = frame.group_by("text").agg(pl.col("label").n_unique(), pl.col("line").first())
    lines: list[int] = several.filter(pl.col("label") > 1)["line"].to_list()
    return lines


def _is_first(
    parts: Mapping[str, Sequence[Any]], prints: Mapping[str, Fingerprints], again: Mapping[str, Flags]
) -> Flags:
    """Which rows are not the same as an earlier one, exactly: only what has one fingerprint is compared."""
    first = np.ones(len(next(iter(parts.values()))), dtype=bool)
    if not all(again[name].any() for name in again):
        return first  # no two rows have the same value there
    alike = np.flatnonzero(repeated(joined_folded(prints)))
    if len(alike):
        some = {name: _normal_column(columns.taken(values, alike)) for name, values in parts.items()}
        first[alike] = _encoded(some).is_first_distinct().to_numpy()
    return first


def _ids(prints: Mapping[str, Fingerprints], copies: bool = True) -> columns.Cells:
    """The second of ``copies`` gets ``-2`` behind its id, the third ``-3``."""
    high, low = joined(prints)
    ids = written(high, low)
    if copies and (where := np.flatnonzero(repeated(high))).size:
        seen: Counter[str] = Counter()
        numbered = []
        for id in ids.gather(where):
            seen[id] += 1
            numbered.append(id if seen[id] == 1 else f"{id}-{seen[id]}")
        ids = ids.scatter(where, pl.Series(numbered, dtype=pl.String))
    return columns.Cells(ids, {PAIRS: np.stack([high, low], axis=1)})


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
    used = Table(
        {name: table.columns[name] for name in wanted}, columns.numbers(table.lines), table.source, table.files
    )
    return used if len(indices) == len(table) else used.take(indices)


def _normal_column(values: columns.Values) -> pl.Series:
    """``text_of(columns.normal(value))`` of every value."""
    column = columns.strings(values)
    if column is not None:
        return columns.folded(column)
    return pl.Series([text_of(columns.normal(value)) for value in values], dtype=pl.String)


def _encoded(parts: Mapping[str, pl.Series]) -> pl.Series:
    """All parts of a row as one text: two rows have the same one where all their parts are the same."""
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
