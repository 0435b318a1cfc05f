"""Several files mixed by weight: the train rows of one count twice, those of another by half.

    mixed(prepared, weights("2, 0.5", ["chat.jsonl", "math.jsonl"]))

A weight of 2.5 is every row twice and half of the rows once more; which half is said by a hash of each row's id, so
that it does not depend on the order of the rows or on a seed. Rows are divided before: a copy never stands on another
side than its row, and validation and test hold every row once. Whoever needs rows that were left out, as a baseline
that chooses its strength by them does, takes each row ``once``.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tuneproof.errors import ConfigError, DataError
from tuneproof.prepare.clean import drops
from tuneproof.prepare.ledger import version
from tuneproof.prepare.stage import Prepared, merged
from tuneproof.records import Table
from tuneproof.tasks import entities, quantities
from tuneproof.tasks.layouts import is_number
from tuneproof.tasks.rows import counted

MOST = 100.0  # times that a row may count


def weights(asked: str, files: Sequence[str]) -> dict[str, float]:
    """File -> weight; ConfigError where there is not one number above 0 for each of several files."""
    parts = [part.strip() for part in asked.split(",")]
    if len(files) < 2:
        raise ConfigError(
            "data.weights would have no effect: there is one file.", "Leave it out, or give several files."
        )
    if len(parts) != len(files):
        raise ConfigError(
            f"data.weights names {counted(len(parts), 'weight')} for {counted(len(files), 'file')}.",
            "Give one for each file, in their order: --set data.weights=2,0.5",
        )
    for file, part in zip(files, parts, strict=True):
        if not is_number(part) or not 0 < float(part) <= MOST:
            raise ConfigError(
                f'data.weights: "{part}" for {file} is no number above 0 and up to {MOST:g}.',
                "A file that is to count for nothing is left out.",
            )
    return dict(zip(files, map(float, parts), strict=True))


def mixed(prepared: Prepared, weights: Mapping[str, float]) -> Prepared:
    """The same with the train rows of each file as often as it weighs; the books follow.

    DataError where no train row is left, or none with one of the labels.
    """
    train = prepared.splits.train
    of = [_weight(train.file(index), weights) for index in range(len(train))]
    times = [_times(id, weight) for id, weight in zip(train.columns["id"], of, strict=True)]
    where = [index for index, often in enumerate(times) for _ in range(often)]
    if not where:
        raise DataError("data.weights leaves no train row.", "Give larger weights.")
    taken = train.take(where)
    ids = [_copied(id, copy) for id, often in zip(train.columns["id"], times, strict=True) for copy in range(often)]
    train_rows = dataclasses.replace(taken, columns={**taken.columns, "id": ids})
    _still_taught(train, train_rows)
    splits = dataclasses.replace(prepared.splits, train=train_rows)
    schema = dataclasses.replace(prepared.schema, scale=quantities.scale(train_rows))
    left = list(prepared.ledger.dropped)
    for weight in sorted(set(of)):
        gone = [index for index, often in enumerate(times) if not often and of[index] == weight]
        left += drops(f"left out, as the file counts {weight:g} times", train, gone)
    repeated: Counter[str] = Counter()
    for index, often in enumerate(times):
        if often > 1:
            repeated[train.file(index)] += often - 1
    used = {**prepared.ledger.used, "train": len(where)}
    ledger = dataclasses.replace(prepared.ledger, used=used, dropped=tuple(merged(left)), repeated=dict(repeated))
    assert ledger.closes(), "rows in, and copies = rows used + rows dropped"
    manifest = {
        **prepared.manifest,
        "rows": sum(used.values()),
        "data_id": version(splits),
        "parents": [prepared.manifest["data_id"]],
        "splits": used,
        "schema": dataclasses.asdict(schema),
    }
    return Prepared(splits, schema, ledger, manifest)


def once(ids: Sequence[str]) -> list[int]:
    """Numbers of the rows that are no copies (id-2, id-3) of another."""
    known = set(ids)
    return [index for index, id in enumerate(ids) if id.rpartition("-")[0] not in known]


def _still_taught(before: Table, after: Table) -> None:
    """A label, or a type of entity, that no row is left to teach is refused: the run would never give it."""
    lost = sorted(set(_labels(before)).difference(_labels(after)))
    if lost:
        more = f" (and none with {counted(len(lost) - 1, 'other')})" if len(lost) > 1 else ""
        raise DataError(f'data.weights leaves no train row with "{lost[0]}"{more}.', "Give its file a larger weight.")


def _labels(table: Table) -> Iterator[str]:
    yield from table.columns.get("label", ())
    for several in table.columns.get("labels", ()):
        yield from several
    yield from entities.types(table.columns.get("tags", ()))


def _weight(file: str, weights: Mapping[str, float]) -> float:
    """Of the file as it was named: a row of a workbook names its sheet as well."""
    named = [name for name in weights if file == name or file.startswith(f"{name}, sheet ")]
    return weights[max(named, key=len)]


def _copied(id: str, copy: int) -> str:
    return id if copy == 0 else f"{id}-{copy + 1}"


def _times(id: str, weight: float) -> int:
    whole = int(weight)
    place = int.from_bytes(hashlib.sha256(f"weight {id}".encode()).digest()[:8], "big") / 2**64  # in [0, 1)
    return whole + (place < weight - whole)
