"""A sheet of an Excel workbook (.xlsx): the line of a row is its number in the sheet.

    read(Path("book.xlsx").read_bytes(), "book.xlsx", sheet=None, asked="auto")

The one sheet with cells is read, or the one asked for. Dates become ISO text, numbers and booleans stay what they are,
formulas are their saved values. Rows without any cell are not rows; lines above the header that fill one cell only are
titles and are noted. Colours, comments, merged cells and formats say nothing here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from tuneproof.errors import DataError, nearest
from tuneproof.prepare import archive
from tuneproof.prepare.header import header, refuse_repeated, without_empty
from tuneproof.records import Table
from tuneproof.tasks.rows import counted, quoted

if TYPE_CHECKING:
    from fastexcel import ExcelReader

# It says for each empty column that it takes it for text, which is what an empty column is here.
logging.getLogger("fastexcel.types.dtype").setLevel(logging.ERROR)
LOOKED_AT = 200  # rows that the header is judged by
MOMENT = r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)$"  # how a date in a column of mixed cells is written


def read(raw: bytes, source: str, sheet: str | None, asked: str) -> Table:
    """The table in one sheet of the workbook ``raw``; ``asked``: what data.header says."""
    import fastexcel

    errors = archive.check(raw, source)
    try:
        book = fastexcel.read_excel(raw)
        name, notes = _chosen(book, sheet, source)
        place = f"{source}, sheet {name}"
        table = _table(book, name, place, asked)
    except fastexcel.FastExcelError as error:
        told = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{source} cannot be read as a workbook: {told}.", "Save it again, or as CSV.") from None
    if errors:
        notes.append(f"{source}: {counted(errors, 'cell')} with an error such as #N/A, read as empty")
    return Table(table.columns, table.lines, place, notes=(*notes, *table.notes))


def _chosen(book: ExcelReader, asked: str | None, source: str) -> tuple[str, list[str]]:
    """The sheet to read, and what to note; DataError where several could be meant."""
    names = book.sheet_names
    if asked is not None:
        if asked not in names:
            hint = nearest(asked, names) or "Name one of them: --set data.sheet=NAME"
            raise DataError(f'{source} has no sheet "{asked}"; it has {quoted(names)}.', hint)
        return asked, []
    sheets = [book.load_sheet(name, header_row=None, skip_rows=0, n_rows=1) for name in names]
    filled = [sheet for sheet in sheets if sheet.width]
    shown = [sheet.name for sheet in filled if sheet.visible == "visible"]
    hidden = [sheet.name for sheet in filled if sheet.visible != "visible"]
    if not filled:
        raise DataError(f"{source} is empty: no sheet has a cell.", "A header line and at least one row are needed.")
    if len(shown) != 1:
        what = "sheets with cells" if shown else "hidden sheets only"
        raise DataError(
            f"{source} has {len(shown or hidden):,} {what}: {quoted(shown or hidden)}.",
            "Say which one is meant: --set data.sheet=NAME",
        )
    return shown[0], [f"{source}: hidden sheets are not read: {quoted(hidden)}"] if hidden else []


def _table(book: ExcelReader, name: str, place: str, asked: str) -> Table:
    start = book.load_sheet(name, header_row=None, skip_rows=0, n_rows=LOOKED_AT, dtypes="string").to_polars()
    head = [[cell or "" for cell in row] for row in start.rows()]
    filled = [index for index, row in enumerate(head) if any(cell.strip() for cell in row)]
    titles = _titles(head, filled)
    body = filled[len(titles) :]
    if not body:
        raise DataError(f"{place} has no rows in its first {LOOKED_AT:,} lines.", "Put the header into line 1.")
    names = header([head[index] for index in body], [index + 1 for index in body], asked, place)
    if len(body) == names.records:
        raise DataError(f"{place} has a header in line {body[0] + 1} and no rows.", "Add rows below it.")
    begin = body[names.records]
    frame = book.load_sheet(name, header_row=None, skip_rows=begin, schema_sample_rows=None).to_polars()
    frame = _plain(frame.rename(dict(zip(frame.columns, names.names, strict=True))))
    rows = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    lines = (rows.arg_true() + begin + 1).to_list()
    columns, notes = without_empty({column.name: column for column in frame.filter(rows)}, names.unnamed, place)
    if not names.sure:
        texts = {column: values.cast(pl.String) for column, values in columns.items()}
        refuse_repeated(tuple(columns), texts, body[0] + 1, place)
    above = [f"{place}: a title above the header left out: line {index + 1}" for index in titles]
    given: dict[str, Sequence[Any]] = {column: _values(values) for column, values in columns.items()}
    return Table(given, lines, place, notes=(*above, *names.notes, *notes))


def _titles(head: list[list[str]], filled: list[int]) -> list[int]:
    """The first filled rows, as long as they fill one cell only, if others fill more."""
    counts = [sum(bool(cell.strip()) for cell in head[index]) for index in filled]
    wide = next((at for at, count in enumerate(counts) if count > 1), 0)
    return filled[:wide]


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Dates and times as ISO text, empty texts as missing."""
    text = pl.col(pl.String)
    frame = frame.with_columns(pl.when(text != "").then(text.str.replace(MOMENT, "${1}T${2}")))
    times = [name for name, kind in frame.schema.items() if kind.is_temporal()]
    frame = frame.with_columns(_iso(frame[name]) for name in times)
    return frame.with_columns(pl.col(pl.String).str.strip_suffix("T00:00:00"))


def _iso(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Duration:
        return column.dt.to_string("iso")
    return (
        column.dt.strftime("%Y-%m-%dT%H:%M:%S%.f") if isinstance(column.dtype, pl.Datetime) else column.cast(pl.String)
    )


def _values(column: pl.Series) -> Sequence[Any]:
    """Texts as they are; numbers and booleans as Python's own."""
    if column.dtype == pl.String:
        return cast("Sequence[Any]", column)
    return column.to_list() if column.dtype != pl.Null else [None] * len(column)
