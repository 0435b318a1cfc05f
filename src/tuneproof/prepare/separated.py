"""CSV and TSV: the separator is sniffed, quoted cells may hold line breaks, every record knows its first line.

    read(b"text;label\\ngood;+\\n", "reviews.csv", ".csv", "auto")

Strict: a record with too few or too many fields, or a quote that is never closed, is refused with its line. Blank lines
are not rows. Cells are not stripped; an empty cell is None. A regular file goes through ``regular``, which is faster
and gives the same; the reader here is what "the same" means.
"""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, cast

import polars as pl

from tuneproof.errors import DataError
from tuneproof.prepare.faults import Faults
from tuneproof.prepare.header import header, refuse_repeated, without_empty
from tuneproof.prepare.regular import regular
from tuneproof.records import Table

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SNIFFED = 200  # records that the separator and the header are judged by


def read(raw: bytes, source: str, suffix: str, asked: str) -> Table:
    """The table in ``raw`` (UTF-8, no byte order mark); ``asked``: what data.header says."""
    if raw.endswith((b"\n\n", b"\n\r\n")):
        raw = raw.rstrip(b"\r\n")
    with _any_length():
        separator = _sniff(raw, suffix)
        if separator is None:
            raise DataError(
                f"{source}, line 1: no separator was found (comma, semicolon, tab or bar).",
                "Name the file .csv if it has one column, or give CSV, TSV, JSONL or JSON.",
            )
        starts, records = _records(raw, separator, source, most=SNIFFED)
        head = header(records, starts, asked, source)
        begin = _begin(starts, records, head.records, source)
        columns, lines = regular(raw, head.names, begin - 1, separator) or _strictly(
            raw, head.names, head.records, separator, source
        )
    if not head.sure:
        refuse_repeated(head.names, columns, starts[0], source)
    kept, notes = without_empty(columns, head.unnamed, source)
    return Table(cast("dict[str, Sequence[Any]]", kept), lines, source, notes=(*head.notes, *notes))


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


def _records(raw: bytes, separator: str, source: str, most: int | None = None) -> tuple[list[int], list[list[str]]]:
    """The first ``most`` records (all when None) and the line on which each starts."""
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
            if len(records) == most:
                break
    except csv.Error as error:
        what, remedy = _explain(str(error))
        raise DataError(f"{source}, line {before + 1}: {what}.", remedy) from None
    if not records:
        raise DataError(f"{source} is empty.", "A header line and at least one row are needed.")
    return starts, records


def _begin(starts: list[int], records: list[list[str]], taken: int, source: str) -> int:
    """The line where the rows begin."""
    if len(records) == taken:
        raise DataError(f"{source} has a header in line {starts[0]} and no rows.", "Add rows below it.")
    return starts[taken]


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


def _strictly(
    raw: bytes, names: Sequence[str], taken: int, separator: str, source: str
) -> tuple[dict[str, pl.Series], Sequence[int]]:
    """Columns and lines, record by record; DataError that counts every record of another width."""
    starts, records = _records(raw, separator, source)
    del starts[:taken], records[:taken]
    faults = Faults(source, "record")
    width = len(names)
    for line, record in zip(starts, records, strict=True):
        if len(record) != width:
            fields = f"{len(record)} field{'' if len(record) == 1 else 's'}"
            faults.add(line, f"with {fields}", f"{fields} where the header has {width}")
    faults.refuse(
        len(records) - sum(faults.kinds.values()),
        f"Put cells that hold a {SEPARATORS[separator]} in quotes, or complete the row.",
    )
    cells = zip(*records, strict=True)
    return {
        name: pl.Series(name, [cell or None for cell in column], dtype=pl.String)
        for name, column in zip(names, cells, strict=True)
    }, starts
