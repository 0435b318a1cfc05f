"""Parquet: the row number (from 1) stands where text files have a line number.

    read(Path("reviews.parquet").read_bytes(), "reviews.parquet")

The sizes that the file's own footer and page headers declare are checked before anything is unpacked, so a small file
cannot fill the memory. Columns that are not text, numbers, booleans, dates, lists or structs are refused by name.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, cast

import polars as pl
from polars.exceptions import PolarsError

from tuneproof.errors import DataError
from tuneproof.prepare import limits
from tuneproof.prepare.footer import declared
from tuneproof.records import Table

CELL = 8  # bytes that a cell takes at least


def read(raw: bytes, source: str) -> Table:
    """The table in ``raw``; DataError for a damaged file."""
    sizes = declared(raw, source)
    if sizes.rows > limits.ROWS or max(sizes.unpacked, sizes.rows * sizes.columns * CELL) > limits.UNPACKED:
        raise DataError(
            f"{source} is refused before it is unpacked: it declares {sizes.rows:,} rows of {sizes.columns:,} columns "
            f"and {sizes.unpacked:,} bytes.",
            "Give a part of it.",
        )
    try:
        frame = pl.read_parquet(io.BytesIO(raw))
    except (PolarsError, OSError) as error:
        told = str(error).splitlines()[0].rstrip(".") if str(error) else "it is damaged"
        raise DataError(f"{source} cannot be read as Parquet: {told}.", "Write it again.") from None
    if not len(frame):
        raise DataError(f"{source} has columns and no rows.", "Add rows.")
    _refuse_size(frame, source)
    for name, kind in frame.schema.items():
        if kind in (pl.Binary, pl.Object):
            raise DataError(f'{source}: the column "{name}" holds {kind}, not text or numbers.', "Leave it out.")
    frame = frame.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
    texts = [name for name, kind in frame.schema.items() if kind.is_temporal() or kind.is_decimal() or _is_enum(kind)]
    frame = frame.with_columns(pl.col(name).cast(pl.String) for name in texts)
    columns = {name: _values(frame[name]) for name in frame.columns}
    return Table(columns, range(1, len(frame) + 1), source)


def _refuse_size(frame: pl.DataFrame, source: str) -> None:
    """One long value that a million rows share is a few bytes in the file, and in polars; elsewhere it is not."""
    texts = frame.select(pl.sum_horizontal(pl.lit(0), pl.col(pl.String).str.len_bytes().sum())).item()
    size = int(texts) + sum(int(column.estimated_size()) for column in frame if column.dtype != pl.String)
    if size > limits.UNPACKED:
        raise DataError(
            f"{source} holds {size / 2**30:,.1f} GiB of values; at most {limits.UNPACKED / 2**30:.0f} GiB are read.",
            "Give a part of it.",
        )


def _is_enum(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.Categorical | pl.Enum)


def _values(column: pl.Series) -> Sequence[Any]:
    """Texts as they are; everything else as Python's own values."""
    return cast("Sequence[Any]", column) if column.dtype == pl.String else column.to_list()
