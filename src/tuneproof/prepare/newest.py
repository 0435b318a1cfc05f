"""The division by time: the newest rows are the test, those before them the validation, the oldest are trained on.

    by_time(table, names, test_share=0.2, validation_share=0.1)      # ["train", "train", "validation", "test"]

What has one name (a group, or a question) stays together and counts as the time of its newest row, so that nothing that
is trained on is asked again later. Names of one time stay together too. Nothing is moved for the sake of a class.
"""

from __future__ import annotations

import polars as pl

from tuneproof.errors import DataError
from tuneproof.records import Table


def by_time(table: Table, names: pl.Series, test_share: float, validation_share: float) -> list[str]:
    """The side of every row of ``table``, whose column "time" sorts as time does; no test where its share is 0.

    The boundaries lie between two times, where the shares come closest to what is asked. DataError for fewer different
    times than sides.
    """
    rows = pl.DataFrame({"name": names, "time": table.columns["time"]})
    newest = rows.select(pl.col("time").max().over("name"))
    counts = newest.group_by("time").len().sort("time", descending=True)
    wanted = [share for share in (test_share, validation_share) if share]
    if len(counts) < len(wanted) + 1:
        parts = "train, validation and test" if test_share else "train and validation"
        raise DataError(
            f"{table.source}: the rows stand at {len(counts):,} different times once groups and equal questions are "
            f"kept together, too few for {parts}.",
            "Name a column with finer times, or divide the file without times.",
        )
    sizes: list[int] = counts["len"].to_list()
    boundaries: list[str] = []
    taken = 0
    for later, share in zip(range(len(wanted), 0, -1), wanted, strict=True):  # times that must be left for what follows
        steps = _closest(sizes[taken : len(sizes) - later], share * len(table))
        taken += steps
        boundaries.append(counts["time"][taken - 1])
    time = pl.col("time")
    side = pl.when(time >= boundaries[-1]).then(pl.lit("validation")).otherwise(pl.lit("train"))
    if test_share:
        side = pl.when(time >= boundaries[0]).then(pl.lit("test")).otherwise(side)
    found: list[str] = newest.select(side.alias("side"))["side"].to_list()
    return found


def _closest(sizes: list[int], rows: float) -> int:
    """How many of the first ``sizes``, at least one, come closest to ``rows`` together."""
    best, together, nearest = 1, 0, float("inf")
    for number, size in enumerate(sizes, start=1):
        together += size
        if abs(together - rows) < nearest:
            best, nearest = number, abs(together - rows)
        if together > rows:
            break
    return best
