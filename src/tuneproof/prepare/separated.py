"""CSV and TSV: the separator is sniffed, quoted cells may hold line breaks, every record knows its first line.

    read(b"text;label\\ngood;+\\n", "reviews.csv", ".csv")

Strict: a record with too few or too many fields, or a quote that is never closed, is refused with its line.
Blank lines are not rows. Cells are not stripped; an empty cell is None.
"""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from tuneproof.errors import DataError
from tuneproof.records import Table
from tuneproof.tasks import layouts, rows

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SNIFFED = 200  # records that the separator is judged by
WIDEST = 10_000  # columns: beyond this the file is not a table
ADD_HEADER = "Add a first line with the names of the columns, such as text,label"


def read(raw: bytes, source: str, suffix: str) -> Table:
    """The table in ``raw`` (UTF-8, no byte order mark)."""
    with _any_length():
        separator = _sniff(raw, suffix)
        if separator is None:
            raise DataError(
                f"{source}, line 1: no separator was found (comma, semicolon, tab or bar).",
                "Name the file .csv if it has one column, or give CSV, TSV, JSONL or JSON.",
            )
        starts, records = _records(raw, separator, source)
    header = _header(records[0], starts[0], source)
    del records[0], starts[0]
    if not records:
        raise DataError(f"{source} has a header in line 1 and no rows.", "Add rows below it.")
    _rectangular(header, records, starts, separator, source)
    cells = zip(*records, strict=True)
    columns = {name: [cell or None for cell in column] for name, column in zip(header, cells, strict=True)}
    _not_data(header, columns, source)
    return Table(columns, starts, source)


@contextmanager
def _any_length() -> Iterator[None]:
    """Cells may be longer than the csv module's 131,072 characters; a contract is."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _open(raw: bytes) -> io.TextIOWrapper:
    # Lines end where editors and grep end them; a file of bare carriage returns (old Mac) is the exception.
    return io.TextIOWrapper(io.BytesIO(raw), "utf-8", newline="\n" if b"\n" in raw else "")


def _sniff(raw: bytes, suffix: str) -> str | None:
    """The separator that gives most of the first records as many fields as the header, and at least two."""
    best: tuple[float, int, str] | None = None
    for separator in SEPARATORS:
        widths: list[int] = []
        reader = csv.reader(_open(raw), delimiter=separator)
        try:
            widths = [len(record) for record in islice(reader, SNIFFED) if record]
        except csv.Error:
            continue
        if not widths or widths[0] < 2:
            continue
        share = Counter(widths)[widths[0]] / len(widths)
        if suffix == ".tsv" and separator == "\t":
            return separator
        if best is None or (share, widths[0]) > best[:2]:
            best = (share, widths[0], separator)
    if best is not None:
        return best[2]
    return {".csv": ",", ".tsv": "\t"}.get(suffix)


def _records(raw: bytes, separator: str, source: str) -> tuple[list[int], list[list[str]]]:
    """All records and the line on which each starts."""
    starts: list[int] = []
    records: list[list[str]] = []
    reader = csv.reader(_open(raw), delimiter=separator, strict=True)
    before = 0
    try:
        for record in reader:
            if record:
                starts.append(before + 1)
                records.append(record)
            before = reader.line_num
    except csv.Error as error:
        what, remedy = _explain(str(error))
        raise DataError(f"{source}, line {before + 1}: {what}.", remedy) from None
    if not records:
        raise DataError(f"{source} is empty.", "A header line and at least one row are needed.")
    return starts, records


def _explain(error: str) -> tuple[str, str]:
    """The csv module's complaints in the words of the file."""
    double = 'Write a quote inside a quoted cell twice ("").'
    if "unexpected end of data" in error:
        return (
            "the record opens a quote that is never closed",
            "Close it, or write a literal quote twice inside quotes.",
        )
    if "expected after" in error:
        return "a quoted cell goes on after its closing quote", double
    if "new-line character" in error:
        return "there is a carriage return in a cell without quotes", "Put the cell in quotes."
    return error, double


def _header(record: list[str], line: int, source: str) -> list[str]:
    """Column names, stripped; a column without a name is called by its position."""
    named = [name.strip() for name in record if name.strip()]
    if named and all(layouts.is_number(name) for name in named):
        raise DataError(f'{_no_header(source, line)}: "{named[0]}" is a number.', ADD_HEADER)
    names = [name.strip() or f"column_{position}" for position, name in enumerate(record, start=1)]
    if len(names) > WIDEST:
        raise DataError(f"{source}, line {line}: {len(names):,} columns; at most {WIDEST:,} are read.", "Give a table.")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        where = " and ".join(str(position) for position, name in enumerate(names, start=1) if name == twice[0])
        raise DataError(
            f'{source}, line {line}: the header names "{twice[0]}" twice (columns {where}).', "Rename one of them."
        )
    return names


def _rectangular(header: list[str], records: list[list[str]], starts: list[int], separator: str, source: str) -> None:
    width = len(header)
    ragged = [index for index, record in enumerate(records) if len(record) != width]
    if not ragged:
        return
    first, others = ragged[0], len(ragged) - 1
    more = f" ({rows.counted(others, 'more row')} like that)" if others else ""
    raise DataError(
        f"{source}, line {starts[first]}: {len(records[first])} fields where the header has {width}{more}.",
        f"Put cells that hold a {SEPARATORS[separator]} in quotes, or complete the row.",
    )


def _not_data(header: list[str], columns: dict[str, list[str | None]], source: str) -> None:
    """Refuse a file without a header: its first row would become the names of the columns, and be lost."""
    if any(layouts.is_known_name(name) for name in header):
        return
    for name in header:
        again = sum(value == name for value in columns[name])
        if again >= 2:
            where = _no_header(source, 1)
            raise DataError(f'{where}: "{name}" is also a value of {again:,} rows of that column.', ADD_HEADER)


def _no_header(source: str, line: int) -> str:
    return f"{source}, line {line} looks like a row and not like a header"
