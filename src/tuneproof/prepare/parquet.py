"""Parquet: the row number (from 1) stands where text files have a line number.

    read(Path("reviews.parquet").read_bytes(), "reviews.parquet")

The sizes that the file's own footer declares are checked before anything is unpacked, so a small file cannot fill the
memory. Columns that are not text, numbers, booleans, dates, lists or structs are refused by name.
"""

from __future__ import annotations

import io

from tuneproof.errors import DataError
from tuneproof.records import Table

LARGEST = 4 * 2**30  # bytes once unpacked, estimated from the rows and the width of their types
ROWS = 50_000_000


def read(raw: bytes, source: str) -> Table:
    """The table in ``raw``; DataError for a damaged file."""
    import polars as pl
    from polars.exceptions import PolarsError

    try:
        lazy = pl.scan_parquet(io.BytesIO(raw))
        rows = lazy.select(pl.len()).collect().item()
        schema = lazy.collect_schema()
        if rows > ROWS or rows * max(1, len(schema)) * 8 > LARGEST:
            raise DataError(
                f"{source} declares {rows:,} rows of {len(schema):,} columns, too many to unpack.", "Give a part of it."
            )
        frame = lazy.collect()
    except (PolarsError, OSError) as error:
        raise DataError(
            f"{source} cannot be read as Parquet: {str(error).splitlines()[0]}.", "Write it again."
        ) from None
    if not rows:
        raise DataError(f"{source} has columns and no rows.", "Add rows.")
    for name, kind in schema.items():
        if kind in (pl.Binary, pl.Object):
            raise DataError(f'{source}: the column "{name}" holds {kind}, not text or numbers.', "Leave it out.")
    frame = frame.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
    times = [name for name, kind in schema.items() if kind.is_temporal() or kind.is_decimal()]
    frame = frame.with_columns(pl.col(name).cast(pl.String) for name in times)
    return Table({name: frame[name].to_list() for name in frame.columns}, list(range(1, rows + 1)), source)
