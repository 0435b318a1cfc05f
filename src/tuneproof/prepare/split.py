"""Rows are divided into train, validation and test by a hash of what is asked, so that a row never changes sides.

    splits, dropped = split(table, config.data, test=None, stratify=table.columns["label"])

A row's place is ``sha256(salt, group or normalised question)`` read as a number in [0, 1): below ``test_share`` it is
test, below that plus ``validation_share`` validation, else train. Adding or removing other rows does not move it, and
equal questions always land on the same side.

Stratified: each class is divided by the same thresholds, so its shares are right on average (within about
sqrt(share / rows of the class)), not exactly. Nothing better exists for rows that never move: a side that stays the
same whatever is added is the side that the row has alone, so it cannot depend on any other row, and shares can only be
right on average. Two repairs are made, for small files only: a class without a train row gets the question that is
nearest to train, and an empty side gets the nearest train question. Rows so moved are the only ones whose place can
depend on others.

With a time column (``data.time``) the newest rows are the test and those before them the validation (``by_time``), and
new rows do move the boundary: that is what is asked for. ``folds`` divides for cross-validation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import polars as pl

from tuneproof.config import Data
from tuneproof.errors import ConfigError, DataError
from tuneproof.prepare.clean import drops, folded_print
from tuneproof.prepare.fingerprint import fingerprints, seeded
from tuneproof.prepare.newest import by_time
from tuneproof.records import Drop, Splits, Table
from tuneproof.tasks import columns, tables

FEWEST = 20  # usable rows; fewer cannot be divided into three parts that say anything
SIDES = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
Places = np.ndarray[Any, np.dtype[np.float64]]
Sides = np.ndarray[Any, np.dtype[np.int8]]  # per row a number of SIDES


def split(table: Table, data: Data, test: Table | None, stratify: Sequence[str] | None) -> tuple[Splits, list[Drop]]:
    """Three tables of canonical rows, and the rows that left train because they also stand on another side.

    ``stratify`` are the labels of ``table``'s rows, or None. ``test`` is used as it is. DataError when a side would be
    empty, when a class cannot be in train, or when the test rows have a label that train has not.
    """
    dropped: list[Drop] = []
    if test is not None:
        kept, dropped = _without(table, test, "the test file")
        table = table.take(kept) if dropped else table
        stratify = table.columns["label"] if stratify is not None else None
    _enough(table, test, sum(one.rows for one in dropped))
    _folds_have_effect(data, test)
    shares = (0.0 if test is not None else data.test_share, data.validation_share)
    if data.folds:
        sides = _by_fold(table, data, stratify)
    elif data.time is None:
        sides = _by_hash(table, data.salt, shares, stratify)
    else:
        sides = np.array([SIDES.index(side) for side in by_time(table, names(table), *shares)], dtype=np.int8)
    rows_of = {side: cast("Sequence[int]", np.flatnonzero(sides == number)) for number, side in enumerate(SIDES)}
    parts = {side: table.take(rows) for side, rows in rows_of.items()}
    if test is not None:
        parts["test"] = test
    elif "group" in table.columns:  # without groups equal questions are on one side already
        dropped += _apart(parts, "validation", "test")
        dropped += _apart(parts, "train", "test")
    if "group" in table.columns:
        dropped += _apart(parts, "train", "validation")
    if stratify is not None:
        _labels_known(parts, dropped, data.time)
    return Splits(parts["train"], parts["validation"], parts["test"]), dropped


def folds(names: Sequence[str], labels: Sequence[str] | None, k: int, salt: str) -> list[int]:
    """A number from 0 to k - 1 for every row; all rows of one name are in one fold.

    Names are dealt out one by one, the largest first and then class by class in the order of their hash: each to the
    fold that has least of its classes, then to the one with fewest rows. Where every name is one row, the rows of a
    class in two folds, and the rows of two folds, differ by one at most. The order of the rows does not matter; other
    rows may move them, unlike the sides of ``split``, and this is why folds can be even. DataError for fewer names
    than folds.
    """
    assert k >= 2, "one fold is no division"
    rows_of: dict[str, Counter[str]] = {}
    for name, label in zip(names, labels if labels is not None else [""] * len(names), strict=True):
        rows_of.setdefault(name, Counter())[label] += 1
    if len(rows_of) < k:
        raise DataError(f"{len(rows_of):,} groups or questions cannot be divided into {k} folds.", "Add rows.")
    prints = pl.Series(fingerprints(pl.Series(list(rows_of), dtype=pl.String)).high)
    at = dict(zip(rows_of, places(prints, salt).tolist(), strict=True))
    of_class: list[Counter[str]] = [Counter() for _ in range(k)]
    sizes = [0] * k
    fold_of: dict[str, int] = {}
    for name in sorted(rows_of, key=lambda name: (-rows_of[name].total(), min(rows_of[name]), at[name], name)):
        counts = rows_of[name]
        load = [sum(held[label] * rows for label, rows in counts.items()) for held in of_class]
        fold = min(range(k), key=lambda number: (load[number], sizes[number], number))
        fold_of[name] = fold
        of_class[fold].update(counts)
        sizes[fold] += counts.total()
    return [fold_of[name] for name in names]


def names(table: Table) -> pl.Series:
    """What each row is divided by: the fingerprint of its group, or else of its folded question."""
    asked = folded_print(tables.questions(table))
    if "group" not in table.columns:
        return pl.Series(asked)
    group = pl.Series(table.columns["group"], dtype=pl.String)
    return pl.Series(np.where(group.is_null(), asked, seeded(fingerprints(group).high, "group")))


def questions(table: Table) -> pl.Series:
    """What each row asks, case, white space and compatibility forms aside."""
    asked = columns.strings(tables.questions(table))
    assert asked is not None, "a question is a text"
    return columns.folded(asked)


def place(name: int, salt: str) -> float:
    """Where a question or group stands, in [0, 1)."""
    return float(places(pl.Series([name], dtype=pl.UInt64), salt)[0])


def places(of: pl.Series, salt: str) -> Places:
    """(rows,): where each name stands, in [0, 1): 53 bits of its fingerprint mixed with the salt."""
    return (seeded(of.to_numpy(), salt) >> np.uint64(11)).astype(np.float64) / 2**53


def _folds_have_effect(data: Data, test: Table | None) -> None:
    if not data.folds:
        if data.fold:
            raise ConfigError("data.fold has no effect without data.folds.", "Add --set data.folds=5, or leave it out.")
        return
    if test is not None or data.time is not None:
        which = "a test file" if test is not None else "data.time"
        raise ConfigError(f"data.folds has no effect with {which}.", "Leave one of them out.")
    if data.folds < 2 or data.fold >= data.folds:
        last = max(2, data.folds) - 1
        raise ConfigError(
            f"There is no fold {data.fold} of {data.folds}.", f"data.folds is 2 or more, data.fold 0 to {last}."
        )


def _by_fold(table: Table, data: Data, labels: Sequence[str] | None) -> Sides:
    """The rows of one fold are the test; the others are divided by hash, and no repair touches the fold."""
    numbers = np.array(folds([str(name) for name in names(table)], labels, data.folds, data.salt))
    rest = np.flatnonzero(numbers != data.fold)
    others = table.take(rest.tolist())
    sides = np.full(len(table), TEST, dtype=np.int8)
    stratify = others.columns["label"] if labels is not None else None
    sides[rest] = _by_hash(others, data.salt, (0.0, data.validation_share), stratify)
    return sides


def _by_hash(table: Table, salt: str, shares: tuple[float, float], labels: Sequence[str] | None) -> Sides:
    """The side of every row; ``shares`` of the test and the validation."""
    of = names(table)
    at = places(of, salt)
    test_share, validation_share = shares
    sides = np.select([at < test_share, at < test_share + validation_share], [TEST, VALIDATION], TRAIN).astype(np.int8)
    if labels is not None:
        _every_class(of, labels, at, sides)
    _no_side_empty(table, of, labels, at, sides, (TEST, VALIDATION) if test_share else (VALIDATION,))
    return sides


def _every_class(of: pl.Series, labels: Sequence[str], at: Places, sides: Sides) -> None:
    """Move the question nearest to train into train, for every class that has none there."""
    label = columns.strings(labels)
    assert label is not None, "a label is a text"
    absent = set(label.unique()) - set(label.filter(sides == TRAIN).unique())
    if not absent:
        return
    frame = pl.DataFrame({"label": label, "name": of, "at": at}).filter(pl.col("label").is_in(absent))
    nearest = frame.sort("at", descending=True, maintain_order=True).unique("label", keep="first", maintain_order=True)
    sides[of.is_in(nearest["name"].to_list()).to_numpy()] = TRAIN


def _no_side_empty(
    table: Table, of: pl.Series, labels: Sequence[str] | None, at: Places, sides: Sides, needed: Sequence[int]
) -> None:
    """Give an empty side the train question nearest to it, if train can spare one."""
    for side in needed:
        if (sides == side).any():
            continue
        train = np.flatnonzero(sides == TRAIN).tolist()
        name_of: list[int] = of.to_list()
        kinds: Sequence[Any] = labels if labels is not None else name_of
        taught = Counter(kinds[row] for row in train)
        of_name: dict[int, Counter[Any]] = {}
        nearness: dict[int, float] = {}
        for row in train:
            of_name.setdefault(name_of[row], Counter())[kinds[row]] += 1
            nearness[name_of[row]] = at[row]
        spare = [
            name
            for name, counts in of_name.items()
            if labels is None or all(taught[label] > count for label, count in counts.items())
        ]
        if not spare or len(of_name) < 2:
            what = "groups" if "group" in table.columns else "different questions"
            raise DataError(
                f"{table.source}: the {len(of):,} usable rows are {of.n_unique():,} {what}, "
                f"too few for a {SIDES[side]} part.",
                "Add rows, or give test rows of their own: --test FILE",
            )
        sides[(of == min(spare, key=lambda name: nearness[name])).to_numpy()] = side


def _without(table: Table, other: Table, where: str) -> tuple[list[int], list[Drop]]:
    """The rows of ``table`` whose question and group do not stand in ``other``, and the others as drops."""
    leaked = questions(table).is_in(questions(other).unique().implode()).to_numpy()
    related = np.zeros(len(table), dtype=bool)
    if "group" in table.columns:
        groups = {group for group in other.columns.get("group", ()) if group is not None}
        related = np.array([group in groups for group in table.columns["group"]], dtype=bool) & ~leaked
    dropped = drops(f"also in {where}", table, np.flatnonzero(leaked).tolist())
    dropped += drops(f"group also in {where}", table, np.flatnonzero(related).tolist())
    return np.flatnonzero(~(leaked | related)).tolist(), dropped


def _apart(parts: dict[str, Table], side: str, other: str) -> list[Drop]:
    """Take from ``side`` what stands in ``other`` too: possible only where groups share a question."""
    kept, dropped = _without(parts[side], parts[other], f"the {other} rows")
    if dropped:
        parts[side] = parts[side].take(kept)
    return dropped


def _enough(table: Table, test: Table | None, leaked: int) -> None:
    fewest = FEWEST if test is None else FEWEST // 2
    if len(table) >= fewest:
        return
    after = f" after {leaked:,} rows that are also in the test file were dropped" if leaked else ""
    parts = "train, validation and test" if test is None else "train and validation"
    raise DataError(
        f"{table.source}: {len(table):,} usable rows are left{after}; dividing them into {parts} needs {fewest}.",
        "Add rows."
        if test is not None or len(table) < FEWEST // 2
        else "Add rows, or give test rows of their own: --test FILE",
    )


def _labels_known(parts: dict[str, Table], dropped: Sequence[Drop], time: str | None) -> None:
    """Every label that is measured must have been taught."""
    known = columns.kinds(parts["train"].columns["label"])
    for side in ("validation", "test"):
        table = parts[side]
        if known.issuperset(columns.kinds(table.columns["label"])):
            continue
        unknown: dict[str, int] = {}
        for label, line in zip(table.columns["label"], table.lines, strict=True):
            if label not in known:
                unknown.setdefault(label, line)
        if unknown:
            told = ", ".join(f'"{label}" (line {line})' for label, line in list(unknown.items())[:5])
            more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
            lost = sum(one.rows for one in dropped)
            after = f" after {lost:,} rows that also stand on another side left it" if lost else ""
            later = f' (divided by the times in "{time}")' if time is not None else ""
            raise DataError(
                f"{table.source}: the {side} rows have labels that no train row has{after}{later}: {told}{more}.",
                "Add train rows with them, or correct or remove these rows.",
            )
