"""The fast lane for CSV gives what the strict reader gives, or leaves the file to it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tuneproof.errors import DataError
from tuneproof.prepare.regular import regular
from tuneproof.prepare.separated import _any_length, _strictly

NAMES = ("first", "second", "third")
CELL = st.text(st.sampled_from("ab\",;\n\r \t'é日"), max_size=6)
ROWS = st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=6)
LEFT_ALONE = {
    "one column": ("x\ny\n", ("x",)),
    "a blank line": ("a,b\n1,2\n\n3,4\n", NAMES[:2]),
    "a row too short": ("a,b,c\n1,2,3\n1,2\n", NAMES),
    "a row too long": ("a,b\n1,2\n1,2,3\n", NAMES[:2]),
    "a short and a long row": ("a,b\n1\n1,2,3\n", NAMES[:2]),
    "a quote in the middle": ('a,b\nx "y" z,2\n', NAMES[:2]),
    "a quote that is never closed": ('a,b\n"x,2\n', NAMES[:2]),
    "text behind a quote": ('a,b\n"x"y,2\n', NAMES[:2]),
    "bare carriage returns": ("a,b\r1,2\r", NAMES[:2]),
    "no rows": ("a,b\n", NAMES[:2]),
}


def same(raw: bytes, names: tuple[str, ...], separator: str) -> bool:
    """Whether the fast lane took ``raw``; an AssertionError where it read something else than the strict reader."""
    fast = regular(raw, names, 1, separator)
    if fast is None:
        return False
    with _any_length():
        columns, lines = _strictly(raw, names, 1, separator, "a.csv")
    assert {name: list(column) for name, column in fast[0].items()} == {
        name: list(column) for name, column in columns.items()
    }
    assert list(fast[1]) == list(lines)
    return True


@settings(max_examples=300, deadline=None)
@given(ROWS, st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.integers(0, 1))
def test_what_the_csv_module_writes_is_read_alike(rows, separator, end, quoted, cut) -> None:
    out = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting).writerows([NAMES, *rows])
    text = out.getvalue().removesuffix(end) if cut else out.getvalue()
    taken = same(text.encode(), NAMES, separator)
    bare = any("\r" in cell.replace("\r\n", "") for row in rows for cell in row)
    assert taken or bare, text


@settings(max_examples=300, deadline=None)
@example(",\n\n,,")
@example("\n,,")
@given(st.text(st.sampled_from('ab,"\n\r'), max_size=40))
def test_of_any_text_both_read_the_same_or_the_fast_lane_is_closed(text: str) -> None:
    try:
        same(f"x,y\n{text}".encode(), ("x", "y"), ",")
    except DataError as error:
        pytest.fail(f"the fast lane read what the strict reader refuses: {error}")


@pytest.mark.parametrize("case", LEFT_ALONE)
def test_odd_files_are_left_to_the_strict_reader(case: str) -> None:
    text, names = LEFT_ALONE[case]
    assert regular(text.encode(), names, 1, ",") is None


def test_lines_are_counted_through_quoted_cells() -> None:
    found = regular(b'a,b\r\n"1\r\n2","3\n4"\r\n5,6\r\n"",\r\n7,8', NAMES[:2], 1, ",")
    assert found is not None
    assert list(found[1]) == [2, 5, 6, 7] and found[0]["first"].to_list() == ["1\r\n2", "5", None, "7"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_blank_line_is_seen_wherever_it_stands(monkeypatch, end: str) -> None:
    """Also where the pieces meet in which line ends are looked for."""
    rows = [f"{number},x" for number in range(9)]
    for size in (1, 2, 3, 7, 1000):
        monkeypatch.setattr("tuneproof.prepare.regular.PIECE", size)
        assert regular(end.join(["a,b", *rows, ""]).encode(), NAMES[:2], 1, ",") is not None
        for at in range(len(rows)):
            text = end.join(["a,b", *rows[:at], "", *rows[at:], ""])
            assert regular(text.encode(), NAMES[:2], 1, ",") is None
            assert regular(text.replace(f"{end}{end}", f'{end}"{end}{end}",y{end}').encode(), NAMES[:2], 1, ",")
