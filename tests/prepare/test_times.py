from __future__ import annotations

from typing import Any

import pytest

from tuneproof.errors import DataError
from tuneproof.prepare.times import instants
from tuneproof.records import Table


def read(*values: Any) -> list[str]:
    found = instants(Table({"when": list(values)}, range(2, len(values) + 2), "a.csv"), "when")
    return [time.removesuffix(".000000").removesuffix("T00:00:00") for time in found]


READ = [
    (("2024-01-31", " 2023-02-01 "), ["2024-01-31", "2023-02-01"]),
    (("2024-01-31T10:00:00", "2023-02-01T10:00:00.25"), ["2024-01-31T10:00:00", "2023-02-01T10:00:00.250000"]),
    (("2024-01-31T10:00:00Z", "2024-01-31 10:00:00+02:00"), ["2024-01-31T10:00:00", "2024-01-31T08:00:00"]),
    (("2024-01-31 10:00:00-0330", "2024-01-31 10:00:00+00"), ["2024-01-31T13:30:00", "2024-01-31T10:00:00"]),
    (("31/01/2024", "1/2/2024"), ["2024-01-31", "2024-02-01"]),
    (("1/31/2024", "1/2/2024"), ["2024-01-31", "2024-01-02"]),
    (("01/01/2024", "2/2/2024"), ["2024-01-01", "2024-02-02"]),  # either way the same
    (("1/31/24 10:30", "1/30/24 11:30"), ["2024-01-31T10:30:00", "2024-01-30T11:30:00"]),
    (("1/31/2024, 10:30 PM", "1/30/2024, 1:30 AM"), ["2024-01-31T22:30:00", "2024-01-30T01:30:00"]),
    (("31.12.2024", "01.11.2023"), ["2024-12-31", "2023-11-01"]),
    (("31-12-2024", "12-11-2023"), ["2024-12-31", "2023-11-12"]),
    (("Jan 31, 2024", "February 1, 2024"), ["2024-01-31", "2024-02-01"]),
    (("31 January 2024", "1 May 2024"), ["2024-01-31", "2024-05-01"]),
    (("31-Dec-24", "1-Jan-23"), ["2024-12-31", "2023-01-01"]),
    (
        ("Mon, 01 Jan 2024 10:00:00 +0000", "Tue, 02 Jan 2024 10:00:00 GMT"),
        ["2024-01-01T10:00:00", "2024-01-02T10:00:00"],
    ),
    (
        ("Wed Oct 10 20:19:24 +0000 2018", "Thu Oct 11 20:19:24 +0100 2018"),
        ["2018-10-10T20:19:24", "2018-10-11T19:19:24"],
    ),
    (("Wed Oct 10 20:19:24 2018",), ["2018-10-10T20:19:24"]),
    ((1700000000, 1600000000.5), ["2023-11-14T22:13:20", "2020-09-13T12:26:40.500000"]),
    (("1700000000000", "1600000000000"), ["2023-11-14T22:13:20", "2020-09-13T12:26:40"]),
    (("2021", 2022), ["2021-01-01", "2022-01-01"]),
    (("20240131", 20230201), ["2024-01-31", "2023-02-01"]),
]


@pytest.mark.parametrize(("values", "times"), READ, ids=lambda value: str(value[0]))
def test_usual_ways_to_write_a_time_are_read(values: tuple[Any, ...], times: list[str]) -> None:
    assert read(*values) == times


REFUSED = [
    (
        ("11/12/2024", "1/2/2024"),
        'line 2: "11/12/2024" in the column "when" is 2024-12-11 or 2024-11-12, and no row tells',
    ),
    (("31/01/24", "30/01/24"), 'line 2: "31/01/24" in the column "when" is 2024-01-31 or 2031-01-24'),
    (("31/01/2024", "1/31/2024"), 'line 3: "1/31/2024" in the column "when" is not written like "31/01/2024"'),
    (("2024-01-01", "soon", "x"), 'line 3: "soon" in the column "when" is not written like "2024-01-01" (1 more row'),
    (("soon", "later"), 'line 2: "soon" in the column "when" is no time'),
    (("2024-01-01", None, " "), 'line 3: there is no time in the column "when" (1 more row'),
    (("2024-01-01", True), 'line 3: there is no time in the column "when".'),
    (("2024-01-01", ["2024-01-01"]), "line 3: there is no time"),
    (
        ("2024-01-31T10:00:00Z", "2024-01-31T10:00:00"),
        'line 3: "2024-01-31T10:00:00" in the column "when" names no time zone',
    ),
    (("1700000000", "1700000000000"), 'line 2: "1700000000"'),  # seconds and milliseconds
    ((5, 6, 7), 'line 2: "5"'),
    (("2024-02-30", "2024-13-01"), 'line 2: "2024-02-30"'),
    (("0024-01-01",), 'line 2: "0024-01-01"'),
    (("٢٠٢٤",), 'line 2: "٢٠٢٤"'),
    (("9" * 400,), "9…"),
    ((1e300, -5.5), 'line 2: "1e+300"'),
]


@pytest.mark.parametrize(("values", "told"), REFUSED, ids=lambda value: str(value[0])[:30])
def test_what_is_no_time_or_two_is_refused_with_its_line(values: tuple[Any, ...], told: str) -> None:
    with pytest.raises(DataError) as caught:
        read(*values)
    assert told in caught.value.message and caught.value.message.startswith("a.csv, line ") and caught.value.hint


def test_a_late_row_decides_between_day_and_month() -> None:
    early = [f"{day}/{day % 12 + 1}/2024" for day in range(1, 13)] * 40
    assert read(*early, "13/1/2024")[-1] == "2024-01-13"
    assert read(*early, "1/13/2024")[-1] == "2024-01-13"
