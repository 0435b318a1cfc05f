"""Workbooks, and the ways in which a small archive could fill the memory."""

from __future__ import annotations

import datetime
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import xlsxwriter

from tuneproof.errors import DataError
from tuneproof.prepare import limits
from tuneproof.prepare.read import read


def book(path: Path, fill: Callable[[xlsxwriter.Workbook], None]) -> Path:
    made = xlsxwriter.Workbook(path)
    fill(made)
    made.close()
    return path


def plain(made: xlsxwriter.Workbook, name: str = "Data", rows: int = 3) -> None:
    sheet = made.add_worksheet(name)
    sheet.write_row(0, 0, ["text", "label"])
    for row in range(1, rows + 1):
        sheet.write_row(row, 0, [f"text {row}", "ab"[row % 2]])


def test_kinds_of_cells(tmp_path: Path) -> None:
    def fill(made: xlsxwriter.Workbook) -> None:
        sheet = made.add_worksheet("Data")
        day, moment = (made.add_format({"num_format": form}) for form in ("yyyy-mm-dd", "yyyy-mm-dd hh:mm"))
        sheet.write_row(0, 0, ["text", "n", "yes", "day", "moment", "mixed", "computed"])
        for row in (1, 2, 4):
            sheet.write_row(row, 0, [f"text {row}", row / 2, row > 1])
            sheet.write_datetime(row, 3, datetime.datetime(2020, 1, row), day)
            sheet.write_datetime(row, 4, datetime.datetime(2020, 1, row, 5, 6, 7), moment)
            sheet.write_formula(row, 6, "=1+1", None, 2)
        sheet.write(1, 5, "x")
        sheet.write_datetime(2, 5, datetime.datetime(2021, 2, 3, 4, 5), moment)
        sheet.write_datetime(4, 5, datetime.datetime(2021, 2, 3), day)
        sheet.write_formula(2, 6, "=1/0", None, "#DIV/0!")

    table = read(book(tmp_path / "a.xlsx", fill))
    assert list(table.lines) == [2, 3, 5]  # a row without any cell is not a row
    assert table.source.endswith("a.xlsx, sheet Data")
    assert table.row(0) == {
        "text": "text 1",
        "n": 0.5,
        "yes": False,
        "day": "2020-01-01",
        "moment": "2020-01-01T05:06:07",
        "mixed": "x",
        "computed": 2.0,
    }
    assert list(table.columns["mixed"]) == ["x", "2021-02-03T04:05:00", "2021-02-03"]
    assert table.columns["computed"] == [2.0, None, 2.0] and "1 cell with an error" in table.notes[0]


def test_titles_above_the_header_are_left_out_and_noted(tmp_path: Path) -> None:
    def fill(made: xlsxwriter.Workbook) -> None:
        sheet = made.add_worksheet("Report")
        sheet.write(0, 0, "Report of the year")
        sheet.write_row(2, 1, ["text", "label"])
        sheet.write_row(3, 1, ["good", "x"])

    table = read(book(tmp_path / "a.xlsx", fill))
    assert table.row(0)["text"] == "good" and list(table.lines) == [4]
    assert "a title above the header left out: line 1" in table.notes[0]


def test_merged_names_above_names_are_joined(tmp_path: Path) -> None:
    def fill(made: xlsxwriter.Workbook) -> None:
        sheet = made.add_worksheet()
        sheet.write(0, 0, "id")
        sheet.merge_range(0, 1, 0, 2, "Scores")
        sheet.write_row(1, 1, ["first", "second"])
        for row in range(2, 6):
            sheet.write_row(row, 0, [row, row / 2, row / 3])

    table = read(book(tmp_path / "a.xlsx", fill))
    assert list(table.columns) == ["id", "Scores / first", "Scores / second"] and list(table.lines) == [3, 4, 5, 6]


def test_the_one_sheet_with_cells_is_read_and_hidden_ones_are_noted(tmp_path: Path) -> None:
    def fill(made: xlsxwriter.Workbook) -> None:
        made.add_worksheet("Empty")
        plain(made)
        plain(made, "Secret")
        made.get_worksheet_by_name("Secret").hide()
        chart = made.add_chart({"type": "line"})
        chart.add_series({"values": "=Data!$A$1:$A$2"})
        made.add_chartsheet("Drawing").set_chart(chart)

    table = read(book(tmp_path / "a.xlsx", fill))
    assert table.source.endswith("sheet Data") and 'hidden sheets are not read: "Secret"' in table.notes[0]


def test_several_sheets_are_a_question(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", lambda made: (plain(made), plain(made, "More", rows=5))[0])
    with pytest.raises(DataError, match=r'2 sheets with cells: "Data", "More".*data.sheet=NAME'):
        read(path)
    table = read(path, sheet="More")
    assert len(table) == 5 and table.source.endswith("a.xlsx, sheet More")
    with pytest.raises(DataError, match=r'no sheet "Mor"; it has "Data", "More".*Did you mean "More"'):
        read(path, sheet="Mor")


def test_a_workbook_without_a_header_line(tmp_path: Path) -> None:
    def fill(made: xlsxwriter.Workbook) -> None:
        sheet = made.add_worksheet()
        for row in range(5):
            sheet.write_row(row, 0, [row, row * 2])

    path = book(tmp_path / "a.xlsx", fill)
    with pytest.raises(DataError, match="sheet Sheet1, line 1 looks like a row"):
        read(path)
    assert len(read(path, header="no")) == 5


def test_an_empty_workbook_and_a_header_only(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sheet has a cell"):
        read(book(tmp_path / "a.xlsx", lambda made: made.add_worksheet() and None))
    with pytest.raises(DataError, match="a header in line 1 and no rows"):
        read(book(tmp_path / "b.xlsx", lambda made: plain(made, rows=0)))


def repacked(path: Path, member: str, content: bytes) -> None:
    """The workbook with other content in one of its members."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    members[member] = content
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def sheet_of(*cells: str) -> bytes:
    return ("<worksheet><sheetData>" + "".join(cells) + "</sheetData></worksheet>").encode()


SHEET = "xl/worksheets/sheet1.xml"


def test_a_member_packed_like_no_workbook_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", plain)
    repacked(path, SHEET, b" " * 40_000_000)
    with pytest.raises(DataError, match=r"refused before it is unpacked: xl/worksheets/sheet1.xml unpacks to .* times"):
        read(path)


def test_a_declared_size_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch) -> None:
    path = book(tmp_path / "a.xlsx", plain)
    monkeypatch.setattr(limits, "UNPACKED", 1000)
    with pytest.raises(DataError, match="refused before it is unpacked: it unpacks to"):
        read(path)


def test_a_member_that_holds_more_than_it_declares_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", plain)
    repacked(path, SHEET, sheet_of(*(f'<row r="{row}"></row>' for row in range(1, 9999))))
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo(SHEET).file_size
    raw = path.read_bytes()
    assert raw.count(struct.pack("<I", size)) == 2  # the header of the member, and the directory
    path.write_bytes(raw.replace(struct.pack("<I", size), struct.pack("<I", 500)))
    with pytest.raises(DataError, match="unpacks to more than the 500 bytes that it declares"):
        read(path)


def test_two_cells_at_the_corners_of_a_sheet_are_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", plain)
    corner = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    repacked(path, SHEET, sheet_of('<row r="1"><c r="A1"><v>1</v></c></row>', corner))
    with pytest.raises(DataError, match="1,048,576 rows and 16,384 columns apart"):
        read(path)


def test_one_long_text_in_very_many_cells_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", plain)
    cells = (f'<row r="{row}"><c r="A{row}" t="s"><v>0</v></c></row>' for row in range(1, 100_001))
    repacked(path, SHEET, sheet_of(*cells))
    repacked(path, "xl/sharedStrings.xml", b"<sst><si><t>" + bytes(range(32, 60)) * 2000 + b"</t></si></sst>")
    with pytest.raises(DataError, match="the texts of its cells have more than 2 GiB"):
        read(path)


def test_another_archive_is_no_workbook(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("word/document.xml", "<x/>")
    path = tmp_path / "a.docx"
    path.write_bytes(content.getvalue())
    with pytest.raises(DataError, match="a zip archive and no workbook"):
        read(path)
