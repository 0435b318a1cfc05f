"""Rows of a file become the parts that the task works on; what cannot be used is dropped by name, and counted.

    table, dropped = clean(table, answer, schema, max_missing=0.2)
    table.columns        # id, group (when asked for), and the parts: text and label, or messages

Unusable rows and exact duplicates leave; contradictions stay and are told (``notes``). No value is repaired.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from tuneproof.errors import DataError
from tuneproof.prepare.schema import Recogniser
from tuneproof.records import Drop, Schema, Table
from tuneproof.tasks import rows

SHOWN = 20  # lines that a Drop names
DUPLICATE = "exact duplicate"


def clean(
    table: Table, answer: Recogniser, schema: Schema, max_missing: float, *, duplicates: bool = False
) -> tuple[Table, list[Drop]]:
    """Canonical rows with their ids, and the drops. DataError when more than ``max_missing`` of the rows are unusable.

    A later row with the same content (compatibility forms, case and white space aside) as an earlier one is dropped;
    with ``duplicates`` (a test file, which is used as it is) it stays. Ids are sha256 of the content; a copy that
    stays has its number appended, so that ids are unique within a table.
    """
    parts: dict[str, list[Any]] = {}
    ids: list[str] = []
    lines: list[int] = []
    groups: list[str | None] = []
    dropped: dict[str, list[int]] = {}
    seen: Counter[str] = Counter()
    copies: Counter[str] = Counter()
    grouped = table.columns.get(schema.group) if schema.group is not None else None
    for index, row in enumerate(table.rows()):
        line = table.lines[index]
        try:
            content = answer.canonical(row, schema)
        except rows.Unusable as error:
            dropped.setdefault(error.reason, []).append(line)
            continue
        key = digest(normal(content))
        seen[key] += 1
        if seen[key] > 1 and not duplicates:
            dropped.setdefault(DUPLICATE, []).append(line)
            continue
        id = digest(content)
        copies[id] += 1
        ids.append(id if copies[id] == 1 else f"{id}-{copies[id]}")
        lines.append(line)
        for name, value in content.items():
            parts.setdefault(name, []).append(value)
        if schema.group is not None:
            groups.append(_group(grouped[index]) if grouped is not None else None)
    drops = [drop(reason, where, table.source) for reason, where in dropped.items()]
    _enough(table, schema, drops, max_missing)
    group = {"group": groups} if schema.group is not None else {}
    return Table({"id": ids, **group, **parts}, lines, table.source), drops


def drop(reason: str, lines: list[int], source: str) -> Drop:
    return Drop(reason, len(lines), tuple(lines[:SHOWN]), source)


def normal(value: Any) -> Any:
    """NFKC, case folded, white space collapsed, in every string of ``value``: what makes two rows the same."""
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFKC", value).casefold().split())
    if isinstance(value, Mapping):
        return {key: normal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [normal(item) for item in value]
    return value


def digest(value: Any) -> str:
    """sha256 of ``value`` as JSON with sorted keys, in hexadecimal."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8")).hexdigest()


def notes(table: Table) -> list[str]:
    """What is odd in the canonical rows and stays: contradicting labels, labels that differ in their spelling only."""
    told = [f"{table.source}: {remark}" for remark in rows.remarks(table)]
    if "label" not in table.columns:
        return told
    labels: dict[str, set[str]] = {}
    lines: dict[str, int] = {}
    for text, label, line in zip(table.columns["text"], table.columns["label"], table.lines, strict=True):
        key = normal(text)
        labels.setdefault(key, set()).add(label)
        lines.setdefault(key, line)
    conflicts = [lines[key] for key, several in labels.items() if len(several) > 1]
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


def _lines(lines: Iterable[int]) -> str:
    several = sorted(lines)
    more = ", ..." if len(several) > 5 else ""
    return f"{'line' if len(several) == 1 else 'lines'} {', '.join(str(line) for line in several[:5])}{more}"


def _group(value: Any) -> str | None:
    """The group's name; a row without one stands for itself."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _enough(table: Table, schema: Schema, drops: list[Drop], max_missing: float) -> None:
    """Refuse a file of which too little is usable; duplicates are no loss."""
    unusable = sorted((one for one in drops if one.reason != DUPLICATE), key=lambda one: -one.rows)
    lost = sum(one.rows for one in unusable)
    share = lost / len(table)
    if lost < len(table) and share <= max_missing:
        return
    reasons = ", ".join(f"{one.reason} {one.rows:,}" for one in unusable)
    columns = rows.quoted(list(dict.fromkeys(schema.fields.values())))
    if lost == len(table):
        raise DataError(
            f"{table.source}, line {unusable[0].lines[0]}: none of the {len(table):,} rows is usable for "
            f"{schema.task} ({reasons}; columns {columns}).",
            "Correct the rows, or name other columns.",
        )
    raise DataError(
        f"{table.source}, line {unusable[0].lines[0]}: {lost:,} of {len(table):,} rows ({share:.0%}) are unusable "
        f"({reasons}; columns {columns}); {max_missing:.0%} are accepted.",
        f"Correct them, or go on without them: --set data.max_missing={math.ceil(share * 100) / 100:.2f}",
    )
