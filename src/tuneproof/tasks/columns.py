"""Whole columns at once: what a loop over the rows would give, at the speed of polars.

    column = strings(["Good ", None, "bad"])      # a polars Series of text, or None where a value is something else
    folded(column)                                # "good", None, "bad"

Every function here equals its row by row meaning in plain Python; a test holds the two together. White space is what
``str.isspace`` says, which is more than what polars strips by itself. Nothing here knows a task.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import polars as pl

Values = Sequence[Any] | pl.Series  # one value per row
SPACES = "".join(chr(code) for code in range(sys.maxunicode) if chr(code).isspace())
ODD = r"[\t-\r\x1c-\x1f]"  # white space of ASCII other than the blank


def strings(values: Values) -> pl.Series | None:
    """``values`` as a Series of text with nulls; None when one of them is neither a text nor None."""
    if isinstance(values, pl.Series):
        return values if values.dtype == pl.String else None
    return pl.Series(values, dtype=pl.String) if set(map(type, values)) <= {str, type(None)} else None


def listed(values: Values) -> list[Any]:
    """``values`` as a list of Python's own values."""
    return values.to_list() if isinstance(values, pl.Series) else list(values)


def stripped(column: pl.Series) -> pl.Series:
    """``str.strip`` of every value."""
    return column.str.strip_chars(SPACES)


def blank(column: pl.Series) -> pl.Series:
    """Which values are null, empty or white space."""
    return (stripped(column) == "").fill_null(True)


def fold(text: str) -> str:
    """NFKC, case folded, white space collapsed: what makes two texts the same."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def folded(column: pl.Series) -> pl.Series:
    """``fold`` of every value; null stays null. ASCII without odd white space needs its capitals lowered only."""
    text = column.str
    odd = (
        (text.len_bytes() != text.len_chars())
        | text.contains(ODD)
        | text.contains("  ", literal=True)
        | text.starts_with(" ")
        | text.ends_with(" ")
    ).fill_null(False)
    lower = text.to_lowercase()
    where = odd.arg_true()
    if not len(where):
        return lower
    return lower.scatter(where, pl.Series([fold(value) for value in column.gather(where)], dtype=pl.String))


def repeated(column: pl.Series) -> pl.Series:
    """Which values may stand more than once: all that do, and hardly ever (one in 2^64 pairs) one that does not.

    Only these need comparing: a 64-bit hash is an eighth of the work of the texts themselves.
    """
    return column.hash().is_duplicated()


def is_first(column: pl.Series) -> pl.Series:
    """Which values are not the same as an earlier one, exactly."""
    again = repeated(column).arg_true()
    first = pl.repeat(True, len(column), dtype=pl.Boolean, eager=True)
    return first.scatter(again, column.gather(again).is_first_distinct()) if len(again) else first


def distinct(values: Values) -> list[Any]:
    """Each value once; lists and objects, which are not compared, are left out. 1, 1.0 and True are three values."""
    column = strings(values)
    if column is not None:
        return listed(column.unique(maintain_order=True))
    plain = ((type(value), value) for value in values if not isinstance(value, list | dict))
    return [value for _, value in dict.fromkeys(plain)]
