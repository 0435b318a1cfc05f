"""What the first lines of a table are: the names of its columns, two lines of names, or rows already.

    header([["text", "label"], ["good", "+"]], [1, 2], "auto", "a.csv")      # names, 1 line, no notes

A first line that looks like a row is refused unless ``data.header`` says what it is; names that stand twice are refused
always. Two lines of names, as survey tools write them, become one. Nothing here reads a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from tuneproof.errors import DataError
from tuneproof.tasks import layouts
from tuneproof.tasks.rows import counted, quoted

WIDEST = 10_000  # columns: beyond this it is not a table
MOSTLY = 0.9  # of a column's cells are numbers: a column of numbers
MISSING = ("", "?", "-", "na", "n/a", "nan", "null", "none")  # how a missing number is written; judges headers only
SAY_SO = (
    "Add a first line with the names of the columns, such as text,label, or say that there is none: "
    "--set data.header=no (columns column_1, column_2, ...); if it does name them: --set data.header=yes"
)


@dataclass(frozen=True, slots=True)
class Header:
    """The names of the columns, and how many of the first records they took."""

    names: tuple[str, ...]
    records: int
    unnamed: tuple[str, ...] = ()  # those of ``names`` that are positions only
    notes: tuple[str, ...] = ()
    sure: bool = False  # somebody said so, or a name stands above numbers


def header(records: Sequence[Sequence[str]], lines: Sequence[int], asked: str, source: str) -> Header:
    """Names from the first of ``records`` (some 200 are enough), which start on ``lines``.

    ``asked`` is "auto", "yes" (the first record names the columns) or "no" (columns are called column_1, ...).
    """
    first = records[0]
    if len(first) > WIDEST:
        raise DataError(
            f"{source}, line {lines[0]}: {len(first):,} columns; at most {WIDEST:,} are read.", "Give a table."
        )
    if asked == "no":
        return Header(tuple(f"column_{position}" for position in range(1, len(first) + 1)), 0, sure=True)
    rest = [record for record in records[1:] if len(record) == len(first)]
    if asked == "auto":
        _refuse_row(first, rest, lines[0], source)
    if asked == "auto" and rest and _goes_on(first, rest):
        names, taken = _joined(first, records[1]), 2
        notes: tuple[str, ...] = (f"{source}: lines {lines[0]} and {lines[1]} name the columns together",)
    else:
        names, taken, notes = [cell.strip() for cell in first], 1, ()
    unnamed = tuple(f"column_{position}" for position, name in enumerate(names, start=1) if not name)
    names = [name or f"column_{position}" for position, name in enumerate(names, start=1)]
    _unique(names, lines[0], source)
    return Header(tuple(names), taken, unnamed, notes, asked == "yes" or _stands_out(first, rest))


def refuse_repeated(names: Sequence[str], columns: Mapping[str, pl.Series], line: int, source: str) -> None:
    """DataError where a name is also a value of its column, twice or more: a row would be lost as the header."""
    if any(layouts.is_known_name(name) for name in names):
        return
    for name in names:
        again = int((columns[name] == name).sum())
        if again >= 2:
            raise DataError(f'{_row(source, line)}: "{name}" is also a value of {again:,} rows of that column.', SAY_SO)


def without_empty(
    columns: Mapping[str, pl.Series], unnamed: Sequence[str], source: str
) -> tuple[dict[str, pl.Series], list[str]]:
    """The columns without those that have neither a name nor a value, and what to note about them."""
    empty = [name for name in unnamed if columns[name].null_count() == len(columns[name])]
    kept = {name: column for name, column in columns.items() if name not in empty}
    notes = []
    if empty:
        notes.append(f"{source}: {counted(len(empty), 'column')} without a name and without a value left out")
    called = [name for name in unnamed if name not in empty]
    if called:
        notes.append(f"{source}: columns without a name are called by their position: {quoted(called, 5)}")
    return kept, notes


def _refuse_row(first: Sequence[str], rest: Sequence[Sequence[str]], line: int, source: str) -> None:
    """DataError where the first record has numbers wherever the others have them."""
    named = [cell.strip() for cell in first if cell.strip()]
    if not named or any(layouts.is_known_name(name) for name in named):
        return
    if all(layouts.is_number(name) for name in named):
        raise DataError(f'{_row(source, line)}: "{named[0]}" is a number.', SAY_SO)
    numbers = _number_columns(rest)
    cells = {index: first[index].strip() for index in numbers if not _missing(first[index])}
    if cells and all(map(layouts.is_number, cells.values())):
        index, cell = next(iter(cells.items()))
        raise DataError(
            f'{_row(source, line)}: "{cell}" is a number, as in the rows below it (column {index + 1}).', SAY_SO
        )


def _stands_out(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether a cell of the first record is a word, and the cells below it are numbers."""
    return any(not layouts.is_number(first[i]) and not _missing(first[i]) for i in _number_columns(rest))


def _number_columns(records: Sequence[Sequence[str]]) -> list[int]:
    """Positions of the columns that hold numbers, judged by at least three cells."""
    found = []
    for index, column in enumerate(zip(*records, strict=True)):
        cells = [cell for cell in column if not _missing(cell)]
        if len(cells) >= 3 and sum(map(layouts.is_number, cells)) >= MOSTLY * len(cells):
            found.append(index)
    return found


def _missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING


def _goes_on(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether the second record goes on naming: it names what the first left open, and has no number among numbers."""
    second = rest[0]
    opened = [index for index, cell in enumerate(first) if not cell.strip()]
    if not opened or not all(second[index].strip() for index in opened):
        return False
    numbers = _number_columns(rest[1:])
    return bool(numbers) and not any(layouts.is_number(second[index]) for index in range(len(second)))


def _joined(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """``question / answer``; a name of the first line holds until the next one."""
    names, above = [], ""
    for upper, lower in zip(first, second, strict=True):
        above = upper.strip() or above
        names.append(" / ".join(part for part in (above, lower.strip()) if part))
    return names


def _unique(names: Sequence[str], line: int, source: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if not twice:
        return
    where = " and ".join(str(position) for position, name in enumerate(names, start=1) if name == twice[0])
    more = f", and {quoted(twice[1:], 5)} as well" if len(twice) > 1 else ""
    often = _times(names.count(twice[0]))
    raise DataError(
        f'{source}, line {line}: the header names "{twice[0]}" {often} (columns {where}){more}.',
        "Rename them so that every column has a name of its own.",
    )


def _times(count: int) -> str:
    return "twice" if count == 2 else f"{count:,} times"


def _row(source: str, line: int) -> str:
    return f"{source}, line {line} looks like a row and not like a header"
