"""Several tables of the same columns become one; each row keeps its file.

    joined([read(Path("a.csv")), read(Path("b.csv"))])

The order of the columns may differ, their names may not: which table has what is counted, and refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, cast

import polars as pl

from tuneproof.errors import DataError, nearest
from tuneproof.records import Table
from tuneproof.tasks.rows import counted, quoted

NAMED = 3  # files that the joined table is called by


def joined(tables: Sequence[Table]) -> Table:
    """Rows of all ``tables`` in their order; DataError where their columns are not the same."""
    _same_columns(tables)
    names = list(tables[0].columns)
    columns = {name: _together([table.columns[name] for table in tables]) for name in names}
    lines = list(chain.from_iterable(table.lines for table in tables))
    files = list(chain.from_iterable(table.files or [table.source] * len(table) for table in tables))
    notes = tuple(chain.from_iterable(table.notes for table in tables))
    return Table(columns, lines, _called([table.source for table in tables]), files, notes)


def _called(sources: Sequence[str]) -> str:
    if len(sources) <= NAMED:
        return " + ".join(sources)
    return f"{' + '.join(sources[: NAMED - 1])} + {len(sources) - NAMED + 1:,} more files"


def _same_columns(tables: Sequence[Table]) -> None:
    kinds: dict[frozenset[str], list[Table]] = {}
    for table in tables:
        kinds.setdefault(frozenset(table.columns), []).append(table)
    if len(kinds) == 1:
        return
    told = []
    for columns, alike in list(kinds.items())[:NAMED]:
        rows = sum(map(len, alike))
        files = quoted([table.source for table in alike], NAMED)
        told.append(f"{files} ({counted(rows, 'row')}) {_has(alike)} {quoted(sorted(columns), 8)}")
    more = f", and {len(kinds) - NAMED:,} more layouts" if len(kinds) > NAMED else ""
    only = sorted(frozenset.union(*kinds) - frozenset.intersection(*kinds))
    raise DataError(
        f"{tables[0].source}: the files have different columns: {'; '.join(told)}{more}.",
        nearest(only[0], only[1:]) or "Give files of one layout, or run them one by one.",
    )


def _has(tables: Sequence[Table]) -> str:
    return "has" if len(tables) == 1 else "have"


def _together(parts: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """One column; text stays a column of text."""
    series = [part for part in parts if isinstance(part, pl.Series)]
    if len(series) == len(parts):
        return cast("Sequence[Any]", pl.concat([pl.Series(values=one) for one in series]))
    return list(chain.from_iterable(parts))
