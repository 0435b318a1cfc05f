"""Rows are divided into train, validation and test by a hash of what is asked, so that a row never changes sides.

    splits, dropped = split(table, config.data, test=None, stratify=table.columns["label"])

A row's place is ``sha256(salt, group or normalised question)`` read as a number in [0, 1): below ``test_share`` it is
test, below that plus ``validation_share`` validation, else train. Adding or removing other rows does not move it, and
equal questions always land on the same side.

Stratified: each class is divided by the same thresholds, so its shares are right on average (within about
sqrt(share / rows of the class)), not exactly. Exact shares would need a count over all rows, and a row would then
change sides when others are added; stability was judged worth more. Two repairs are made, for small files only: a
class without a train row gets the question that is nearest to train, and an empty side gets the nearest train
question. Rows so moved are the only ones whose place can depend on others.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.prepare.clean import drop, normal
from tuneproof.records import Drop, Splits, Table
from tuneproof.tasks import rows

FEWEST = 20  # usable rows; fewer cannot be divided into three parts that say anything


def split(table: Table, data: Data, test: Table | None, stratify: Sequence[str] | None) -> tuple[Splits, list[Drop]]:
    """Three tables of canonical rows, and the rows that left train because they also stand on another side.

    ``stratify`` are the labels of ``table``'s rows, or None. ``test`` is used as it is. DataError when a side would be
    empty, when a class cannot be in train, or when the test rows have a label that train has not.
    """
    dropped: list[Drop] = []
    if test is not None:
        table, stratify, dropped = _without(table, stratify, test, "the test file")
    _enough(table, test, sum(one.rows for one in dropped))
    names = _names(table)
    places = {name: place(name, data.salt) for name in names}
    shares = (0.0 if test is not None else data.test_share, data.validation_share)
    sides = {name: _side(at, *shares) for name, at in places.items()}
    if stratify is not None:
        _every_class(names, stratify, places, sides)
    needed = ("validation",) if test is not None else ("test", "validation")
    _no_side_empty(table, names, stratify, places, sides, needed)
    parts = {
        side: table.take([index for index, name in enumerate(names) if sides[name] == side])
        for side in ("train", "validation", "test")
    }
    if test is not None:
        parts["test"] = test
    elif "group" in table.columns:  # without groups equal questions are on one side already
        dropped += _apart(parts, "validation", "test")
        dropped += _apart(parts, "train", "test")
    if "group" in table.columns:
        dropped += _apart(parts, "train", "validation")
    if stratify is not None:
        _labels_known(parts, dropped)
    return Splits(parts["train"], parts["validation"], parts["test"]), dropped


def place(name: str, salt: str) -> float:
    """Where a question or group stands, in [0, 1)."""
    digest = hashlib.sha256(f"{salt}\0{name}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def _side(at: float, test_share: float, validation_share: float) -> str:
    if at < test_share:
        return "test"
    return "validation" if at < test_share + validation_share else "train"


def _names(table: Table) -> list[str]:
    """What each row is divided by: its group, or its question."""
    groups = table.columns.get("group")
    questions = _questions(table)
    if groups is None:
        return [f"q:{question}" for question in questions]
    return [f"q:{q}" if group is None else f"g:{group}" for group, q in zip(groups, questions, strict=True)]


def _questions(table: Table) -> list[str]:
    return [normal(rows.question(row)) for row in table.rows()]


def _without(
    table: Table, stratify: Sequence[str] | None, test: Table, where: str
) -> tuple[Table, Sequence[str] | None, list[Drop]]:
    """``table`` without the rows whose question, or group, also stands in ``test``."""
    asked = set(_questions(test))
    groups = {group for group in test.columns.get("group", ()) if group is not None}
    leaked: list[int] = []
    related: list[int] = []
    kept: list[int] = []
    of_group = table.columns.get("group") or [None] * len(table)
    for index, question in enumerate(_questions(table)):
        if question in asked:
            leaked.append(table.lines[index])
        elif of_group[index] in groups:
            related.append(table.lines[index])
        else:
            kept.append(index)
    dropped = []
    if leaked:
        dropped.append(drop(f"also in {where}", leaked, table.source))
    if related:
        dropped.append(drop(f"group also in {where}", related, table.source))
    left = table.take(kept) if dropped else table
    labels = [stratify[index] for index in kept] if stratify is not None else None
    return left, labels, dropped


def _apart(parts: dict[str, Table], side: str, other: str) -> list[Drop]:
    """Take from ``side`` what stands in ``other`` too: possible only where groups share a question."""
    parts[side], _, dropped = _without(parts[side], None, parts[other], f"the {other} rows")
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


def _every_class(names: Sequence[str], labels: Sequence[str], places: dict[str, float], sides: dict[str, str]) -> None:
    """Move the question nearest to train into train, for every class that has none there."""
    taught = {label for name, label in zip(names, labels, strict=True) if sides[name] == "train"}
    nearest: dict[str, str] = {}
    for name, label in zip(names, labels, strict=True):
        if label not in taught and (label not in nearest or places[name] > places[nearest[label]]):
            nearest[label] = name
    for name in nearest.values():
        sides[name] = "train"


def _no_side_empty(
    table: Table,
    names: Sequence[str],
    labels: Sequence[str] | None,
    places: dict[str, float],
    sides: dict[str, str],
    needed: Sequence[str],
) -> None:
    """Give an empty side the train question nearest to it, if train can spare one."""
    for side in needed:
        if side in sides.values():
            continue
        taught = Counter(label for name, label in zip(names, labels or names, strict=True) if sides[name] == "train")
        of_name: dict[str, Counter[str]] = {}
        for name, label in zip(names, labels or names, strict=True):
            if sides[name] == "train":
                of_name.setdefault(name, Counter())[label] += 1
        spare = [
            name
            for name, counts in of_name.items()
            if labels is None or all(taught[label] > count for label, count in counts.items())
        ]
        if not spare or len(of_name) < 2:
            what = "groups" if "group" in table.columns else "different questions"
            raise DataError(
                f"{table.source}: the {len(names):,} usable rows are {len(set(names)):,} {what}, "
                f"too few for a {side} part.",
                "Add rows, or give test rows of their own: --test FILE",
            )
        sides[min(spare, key=lambda name: places[name])] = side


def _labels_known(parts: dict[str, Table], dropped: Sequence[Drop]) -> None:
    """Every label that is measured must have been taught."""
    known = set(parts["train"].columns["label"])
    for side in ("validation", "test"):
        table = parts[side]
        unknown: dict[str, int] = {}
        for label, line in zip(table.columns["label"], table.lines, strict=True):
            if label not in known:
                unknown.setdefault(label, line)
        if unknown:
            told = ", ".join(f'"{label}" (line {line})' for label, line in list(unknown.items())[:5])
            more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
            lost = sum(one.rows for one in dropped)
            after = f" after {lost:,} rows that also stand on another side left it" if lost else ""
            raise DataError(
                f"{table.source}: the {side} rows have labels that no train row has{after}: {told}{more}.",
                "Add train rows with them, or correct or remove these rows.",
            )
