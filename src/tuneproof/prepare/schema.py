"""What the columns of a file hold, and which task they are for.

    schema = infer(table, {"text-classification": answer, ...}, config.data)
    schema.task, schema.fields, schema.reasons

Facts are counted over all rows. Every task is asked whether it recognises itself; the surest wins, two that are nearly
as sure are a question to the user. Nothing here knows a task: the answers are handed in.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import polars as pl

from tuneproof.config import Data
from tuneproof.errors import ConfigError, DataError, nearest
from tuneproof.records import Column, Guess, Schema, Table
from tuneproof.tasks import layouts
from tuneproof.tasks.columns import SPACES, begins_between, blank, counted, distinct, repeated, strings, stripped
from tuneproof.tasks.tables import Canonical

NUMBER_BEGINS = f"^[{re.escape(SPACES)}]*[-+.0-9]"  # the others are looked at no longer
VALUES = 1000  # distinct values kept per column
NEAR = 0.05  # two tasks within this are equally sure
SURE = 0.75  # below this, a doubt of another task counts more than the guess
KNOWN_LAYOUTS = (
    "a text, or two, with a label; messages; prompt and response; instruction, input and output; question and answer"
)


class Recogniser(Protocol):
    """The part of an Answer that prepare needs."""

    def recognise(self, columns: Sequence[Column], asked: Data) -> Guess | None: ...

    def canonical_columns(self, table: Table, schema: Schema) -> Canonical: ...

    def check(self, table: Table, schema: Schema) -> None: ...


def columns(table: Table) -> list[Column]:
    """Facts about every column, over all of its rows. Columns of text go to the cores of the machine."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as cores:
        return list(cores.map(_column, table.columns, table.columns.values()))


def infer(table: Table, answers: Mapping[str, Recogniser], asked: Data) -> Schema:
    """The surest task and its columns. DataError when none fits or two fit equally; ``asked`` decides first."""
    found = columns(table)
    try:
        if asked.group is not None:
            layouts.column_named(found, asked.group, "group")
        if asked.time is not None:
            layouts.column_named(found, asked.time, "time")
        name, guess = _forced(found, answers, asked) if asked.task else _surest(found, answers, asked)
        if "label" not in guess.fields:
            layouts.one_layout(table, found)
    except DataError as error:
        raise DataError(f"{table.source}: {error.message}", error.hint) from None
    by_name = {column.name: column for column in found}
    reasons = [guess.reason]
    reasons += [
        f'column "{column}": {layouts.facts(by_name[column])}' for column in dict.fromkeys(guess.fields.values())
    ]
    if asked.group is not None:
        reasons.append(f'column "{asked.group}": its rows stay together, {by_name[asked.group].distinct:,} groups')
    if asked.time is not None:
        reasons.append(f'column "{asked.time}": the newest rows are the test, those before them the validation')
    label = guess.fields.get("label")
    labels = layouts.label_set(distinct(table.columns[label])) if label else ()
    group = asked.group or (guess.group if asked.time is None else None)
    return Schema(name, guess.layout, dict(guess.fields), labels, group, tuple(reasons), asked.time)


def _forced(found: Sequence[Column], answers: Mapping[str, Recogniser], asked: Data) -> tuple[str, Guess]:
    """The task that was asked for, if the columns can serve it."""
    if asked.task not in answers:
        known = list(answers)
        raise ConfigError(
            f'There is no task "{asked.task}".', nearest(asked.task, known) or f"Known: {layouts.quoted(known)}."
        )
    guess = answers[asked.task].recognise(found, asked)
    if guess is None and (asked.text or asked.label) and _fits_otherwise(found, answers[asked.task], asked):
        raise ConfigError(
            f"--text and --label have no effect on the task {asked.task}.", "Leave them out, or ask for another task."
        )
    if guess is None:
        raise DataError(
            f"no columns for the task {asked.task}; the file has {_told(found)}.", f"Known layouts: {KNOWN_LAYOUTS}."
        )
    return asked.task, guess


def _fits_otherwise(found: Sequence[Column], answer: Recogniser, asked: Data) -> bool:
    """Whether the task would recognise itself without the columns that were asked for."""
    return answer.recognise(found, asked.model_copy(update={"text": None, "second": None, "label": None})) is not None


def _surest(found: Sequence[Column], answers: Mapping[str, Recogniser], asked: Data) -> tuple[str, Guess]:
    guesses: list[tuple[str | None, Guess]] = []
    doubts: list[DataError] = []
    for name, answer in answers.items():
        try:
            guess = answer.recognise(found, asked)
        except DataError as error:
            doubts.append(error)
            continue
        if guess is not None:
            guesses.append((name, guess))
    foreign = None if asked.text or asked.label else layouts.other(found)
    if foreign is not None:
        guesses.append((None, foreign))
    guesses.sort(key=lambda one: one[1].sureness, reverse=True)
    if doubts and (not guesses or guesses[0][1].sureness < SURE):
        raise doubts[0]
    if not guesses and not (asked.text or asked.label) and all(layouts.is_short(column) for column in found):
        raise DataError(
            f"it is a table of numbers and short entries, for which there is no task yet: {_told(found)}.",
            "A column of texts is needed. If one of these is it, say so: --text NAME --label NAME",
        )
    if not guesses:
        name = "" if asked.text or asked.label else " Or say which columns: --text NAME --label NAME"
        raise DataError(
            f"no task fits its columns, which are {_told(found)}.", f"Known layouts: {KNOWN_LAYOUTS}.{name}"
        )
    task, best = guesses[0]
    if task is None:
        raise DataError(
            f"{best.reason} look like {best.layout}, for which there is no task yet.",
            f"To use the file for something else: --task NAME ({', '.join(answers)}).",
        )
    rivals = [name for name, guess in guesses[1:] if name and best.sureness - guess.sureness < NEAR]
    if rivals:
        raise DataError(
            f"its columns fit {task} ({best.reason}) and {rivals[0]} ({guesses[1][1].reason}) equally well.",
            f"Say which: --task {task} or --task {rivals[0]}",
        )
    return task, best


def _told(found: Sequence[Column], most: int = 6) -> str:
    """``"a" (numbers, ...), "b" (...)``: the columns as a person is told about them."""
    told = "; ".join(f'"{column.name}" ({layouts.facts(column)})' for column in found[:most])
    return f"{told}; and {len(found) - most:,} more" if len(found) > most else told


def _column(name: str, values: Sequence[Any]) -> Column:
    """Facts about one column: at once where it holds nothing but text, else value by value."""
    column = strings(values)
    return _mixed_column(name, values) if column is None else _text_column(name, column)


def _text_column(name: str, column: pl.Series) -> Column:
    """What ``_mixed_column`` says of the same values."""
    if column.head(VALUES).n_unique() * 2 < VALUES:
        found = counted(column)
        if len(found) * 4 < len(column):
            return _facts(name, len(column), {(str, value): rows for value, rows in found.items()}, {}, {})
    missing = blank(column)
    present = column.filter(~missing) if missing.any() else column
    maybe = present.filter(~begins_between(present, ":", "~"))  # a letter, mostly
    maybe = maybe.filter(maybe.str.contains(NUMBER_BEGINS))
    number = maybe.filter(stripped(maybe).str.contains(f"^(?:{layouts.NUMBER.pattern})$"))
    numbers = len(number)
    texts = len(present) - numbers
    kinds = {kind: rows for kind, rows in (("text", texts), ("number", numbers)) if rows}
    characters = int(present.str.len_chars().sum()) - int(number.str.len_chars().sum())
    different, common = _commonest(present)
    return Column(name, len(column), len(column) - len(present), kinds, different, characters / max(1, texts), common)


def _commonest(present: pl.Series) -> tuple[int, tuple[str, ...]]:
    """How many different values there are, and the most frequent of them; of equally frequent ones the earlier."""
    if present.hash().n_unique() == len(present):
        return len(present), tuple(present.head(VALUES))
    again = repeated(present)
    several = pl.DataFrame({"value": present, "at": pl.int_range(len(present), eager=True)}).filter(again)
    counts = several.group_by("value").agg(pl.len().alias("rows"), pl.col("at").first())
    first = counts.top_k(VALUES, by=["rows", "at"], reverse=[False, True])
    once = present.filter(~again)
    ordered = first.sort(["rows", "at"], descending=[True, False])["value"].to_list()
    return len(counts) + len(once), (*ordered, *once.head(VALUES - len(ordered)).to_list())


def _mixed_column(name: str, values: Sequence[Any]) -> Column:
    """Distinct values are looked at once each, weighted by how often they occur; lists and objects one by one."""
    kinds: Counter[str] = Counter()
    keys: Counter[str] = Counter()
    simple: Counter[Any] = Counter()
    for value in values:
        if isinstance(value, list):
            kinds["list"] += 1
            for item in value:
                if isinstance(item, list):
                    keys["[]"] += 1
                elif isinstance(item, dict):
                    keys.update(item.keys())
                    keys.update(f"{key}[]" for key, part in item.items() if isinstance(part, list))
        elif isinstance(value, dict):
            kinds["object"] += 1
            keys.update(value.keys())
        else:
            simple[(type(value), value)] += 1
    return _facts(name, len(values), simple, kinds, dict(keys.most_common(50)))


def _facts(
    name: str, rows: int, simple: Mapping[tuple[type, Any], int], nested: Mapping[str, int], keys: Mapping[str, int]
) -> Column:
    """``simple``: how often each plain value stands there; ``nested``: how many lists and objects."""
    kinds: Counter[str] = Counter(nested)
    missing = characters = 0
    common: list[str] = []
    distinct = kinds["list"] + kinds["object"]  # each counted as different from all others
    for (_, value), count in Counter(simple).most_common():
        if value is None or (isinstance(value, str) and (not value or value.isspace())):
            missing += count
            continue
        distinct += 1
        kind = _kind(value)
        kinds[kind] += count
        if kind == "text":
            characters += count * len(str(value))
        if len(common) < VALUES:
            common.append(str(value))
    mean = characters / kinds["text"] if kinds["text"] else 0.0
    told = {kind: count for kind, count in kinds.items() if count}
    return Column(name, rows, missing, told, distinct, mean, tuple(common), keys)


def _kind(value: Any) -> str:
    """Digits in a text file are a number; true and false are a text (a label with two values)."""
    if isinstance(value, bool):
        return "text"
    if isinstance(value, float):
        return "number" if math.isfinite(value) else "text"
    if isinstance(value, int):
        return "number"
    return "number" if layouts.is_number(value) else "text"
