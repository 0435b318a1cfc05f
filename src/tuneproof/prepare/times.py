"""When rows came to be: a column of times, in whichever of the usual ways it is written.

    instants(table, "date")        # ["2024-01-31T00:00:00.000000", ...]: text that sorts as time does

ISO dates and times, years, seconds (or milli-, micro- and nanoseconds) since 1970, and the common written forms. One
form has to fit every row; where two fit and disagree (01/02/2024), or none does, the file is refused with the line.
Nothing is guessed from the first rows, and a row without a time has no place in a file that is divided by time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import polars as pl

from tuneproof.errors import DataError
from tuneproof.records import Table
from tuneproof.tasks.columns import blank
from tuneproof.tasks.rows import counted

# Where the order of day, month and year is open every order is here: a file is read only if one of them fits alone.
DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d",
    *(order.replace(" ", mark) for order, mark in product(
        ("%d %m %Y", "%m %d %Y", "%d %m %y", "%m %d %y", "%y %m %d"), "/.-")),
    "%d %B %Y", "%B %d, %Y", "%B %d %Y", "%d-%B-%Y", "%d-%B-%y", "%A, %d %B %Y", "%A, %B %d, %Y", "%A %B %d %Y",
)  # fmt: skip
CLOCKS = ("%H:%M", "%H:%M:%S%.f", "%I:%M %p", "%I:%M:%S %p")
AFTER = ("", *(f"{mark} {clock}" for mark in ("", ",") for clock in CLOCKS))
FORMS = (*(date + after for date in DATES for after in AFTER), "%A %B %d %H:%M:%S %Y")
LOOKED_AT = 200  # rows by which the forms are chosen that are then tried on all
ZONED = r"^(.*:[0-9]{2}(?:\.[0-9]+)?(?: [AaPp][Mm])?) ?(Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)$"
SERVICE = r"^(\w{3}) (\w{3}) ([0-9]+) ([0-9:]+) ([+-][0-9]{4}) ([0-9]{4})$"  # Wed Oct 10 20:19:24 +0000 2018
# Whole numbers: from, below, and how many of them a second has. 100,000,000 s is March 1973.
EPOCHS = ((10**8, 10**10, 1), (10**11, 10**13, 10**3), (10**14, 10**16, 10**6), (10**17, 9 * 10**18, 10**9))
WRITTEN = "%Y-%m-%dT%H:%M:%S%.6f"
REMEDY = "Write all of them in one way, best as 2024-01-31 or 2024-01-31T18:30:00."


def instants(table: Table, name: str) -> list[str]:
    """The column ``name`` as ISO text of one width, in UTC where the file names time zones.

    DataError naming the first row without a time, the first that is not written like most, or one that two forms, both
    of which fit every row, read differently.
    """
    column = pl.Series([_plain(value) for value in table.columns[name]], dtype=pl.String)
    missing = blank(column).arg_true()
    if len(missing):
        more = f" ({counted(len(missing) - 1, 'more row')} like that)" if len(missing) > 1 else ""
        raise DataError(
            f'{_where(table, missing[0])}: there is no time in the column "{name}"{more}.',
            "Complete the rows, or divide the file without times.",
        )
    times = _numbers(column) if column.str.contains(r"^[0-9]+(?:\.[0-9]+)?$").all() else None
    if times is None:
        times = _read(*_zones(column, table, name), table, name)
    written: list[str] = times.dt.strftime(WRITTEN).to_list()
    return written


def _plain(value: Any) -> str | None:
    """A value of the file as text: JSON has numbers; true, a list or an object is no time."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _where(table: Table, row: int) -> str:
    return f"{table.file(row)}, line {table.lines[row]}"


def _numbers(column: pl.Series) -> pl.Series | None:
    """Years, or counts since 1970 in the one unit that fits all; None where no unit does."""
    amounts = column.cast(pl.Float64)
    low, high = float(amounts.min()), float(amounts.max())  # type: ignore[arg-type]
    if column.str.contains(r"^[12][0-9]{3}$").all():
        return (column + "-01-01").str.to_datetime("%Y-%m-%d", time_unit="us")
    for least, beyond, per_second in EPOCHS:
        if least <= low and high < beyond:
            return (amounts * (10**6 / per_second)).round().cast(pl.Int64).cast(pl.Datetime("us"))
    return None


def _zones(column: pl.Series, table: Table, name: str) -> tuple[pl.Series, pl.Series | None]:
    """The times as they are written without their zones, and the minutes that each is ahead of UTC."""
    column = column.str.replace(SERVICE, "$1, $3 $2 $6 $4 $5").str.replace(r"^([0-9-]{8,10})[Tt]([0-9])", "$1 $2")
    parts = column.str.extract_groups(ZONED).struct.unnest()
    clock, zone = parts.to_series(0), parts.to_series(1)
    if zone.is_null().all():
        return column, None
    if zone.is_null().any():
        bare = zone.is_null().arg_true()[0]
        raise DataError(
            f"{_told(table, name, bare)} names no time zone, and other rows do.",
            REMEDY,
        )
    digits = zone.str.replace_all(r"\D", "").str.pad_end(4, "0").str.slice(0, 4)
    minutes = digits.str.slice(0, 2).cast(pl.Int64) * 60 + digits.str.slice(2, 2).cast(pl.Int64)
    return clock, minutes * pl.select(pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)).to_series()


def _read(column: pl.Series, ahead: pl.Series | None, table: Table, name: str) -> pl.Series:
    """The times, by the one form that fits all rows."""
    head = column.head(LOOKED_AT)
    tried = [_parsed(column, form) for form in FORMS if _parsed(head, form).is_not_null().any()]
    fitting = [times for times in tried if not times.null_count()]
    if not fitting:
        raise _unfit(tried, table, name)
    times = fitting[0]
    for other in fitting[1:]:
        if (times != other).any():
            row = (times != other).arg_true()[0]
            raise DataError(
                f"{_told(table, name, row)} is {times[row]:%Y-%m-%d} or {other[row]:%Y-%m-%d}, and no row tells which.",
                REMEDY,
            )
    return times if ahead is None else times - (ahead * 60_000_000).cast(pl.Duration("us"))


def _parsed(column: pl.Series, form: str) -> pl.Series:
    """Null where ``form`` does not fit; a year of fewer than four digits is one of two, and written so in the form."""
    times = column.str.to_datetime(form, strict=False, time_unit="us")
    return times.set(times.dt.year() < 1000, None)


def _unfit(tried: Sequence[pl.Series], table: Table, name: str) -> DataError:
    """The first row that is not written like most."""
    if not tried:
        return DataError(f"{_told(table, name, 0)} is no time that can be read.", REMEDY)
    times = min(tried, key=lambda one: one.null_count())
    others = times.is_null().arg_true()
    more = f" ({counted(len(others) - 1, 'more row')} like that)" if len(others) > 1 else ""
    usual = table.columns[name][times.is_not_null().arg_true()[0]]
    return DataError(f'{_told(table, name, others[0])} is not written like "{usual}"{more}.', REMEDY)


def _told(table: Table, name: str, row: int) -> str:
    """``reviews.csv, line 12: "yesterday" in the column "date"``, cut at 60 characters."""
    value = str(table.columns[name][row])
    shown = value if len(value) <= 60 else value[:59] + "…"
    return f'{_where(table, row)}: "{shown}" in the column "{name}"'
