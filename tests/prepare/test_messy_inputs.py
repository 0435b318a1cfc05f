"""Each of the fourteen messy inputs is read rightly or refused in one sentence; docs/prepare.md has the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneproof.errors import DataError
from tuneproof.prepare.read import read

# rows, columns, the first of them, first and last line, what the notes say
READ = {
    "alpaca_identity_placeholders.json": (91, 3, "instruction", 2, 452, []),
    "alpaca_user_oriented.json": (252, 4, "instruction", 2, 1508, []),
    "cuad_label_report_dates.xlsx": (501, 11, "Filename", 2, 502, []),
    "cuad_label_report_governing_law.xlsx": (510, 2, "Filename", 2, 511, []),
    "employment_ma.parquet": (6000, 22, "id", 1, 6000, []),
    "mts_dialog_validation_raw.csv": (100, 4, "ID", 2, 809, []),
    "online_retail_2011-12-05_raw.csv": (5331, 8, "InvoiceNo", 2, 5332, []),
    "openai_messages_content_parts.jsonl": (150, 1, "messages", 1, 150, []),
    "sharegpt_toolcall.jsonl": (120, 2, "conversations", 1, 120, []),
    "sharegpt_vicuna_dummy.json": (200, 2, "id", 2, 4181, []),
    "sms_spam_cp1252_semicolon.csv": (
        2572,
        2,
        "label",
        2,
        2573,
        [
            "was read as cp1252 (274 bytes outside ASCII, surely)",
            "2 columns without a name and without a value left out",
        ],
    ),
}
REFUSED = {
    "avengers.csv": ["line 31: byte 5,764 (0xe6)", "cannot be told", "cp1252", "Mac Roman", "iconv -f CP1252"],
    "starwars_survey.csv": ["line 1: byte 641 (0x8c)", "cannot be told", "cp1252", "iconv -f CP1252"],
    "heart_three_hospitals_noheader.data": ['line 1 looks like a row and not like a header: "63.0"', "data.header=no"],
    "image_folder": ["33 images by class (Daisy 15, empty_class 0, tulips 18)", "image classification", "no task yet"],
}


@pytest.fixture
def messy(shared: Path) -> Path:
    return shared / "messy_inputs"


def test_every_entry_has_its_outcome_here(messy: Path) -> None:
    entries = {path.name for path in messy.iterdir()} - {"card.md"}
    assert entries == set(READ) | set(REFUSED)


@pytest.mark.parametrize("name", READ)
def test_it_is_read(name: str, messy: Path) -> None:
    rows, columns, first, begin, end, notes = READ[name]
    table = read(messy / name, [name])
    assert (len(table), len(table.columns), next(iter(table.columns))) == (rows, columns, first)
    assert (table.lines[0], table.lines[-1]) == (begin, end)
    assert len(table.notes) == len(notes)
    assert all(told in note for told, note in zip(notes, table.notes, strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_sentence(name: str, messy: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(messy / name, [name])
    assert caught.value.message.startswith(name) and caught.value.hint and "\n" not in str(caught.value)
    assert [told for told in REFUSED[name] if told not in str(caught.value)] == []


def test_after_the_command_that_the_refusal_names_the_survey_has_its_two_lines_of_names(
    messy: Path, tmp_path: Path
) -> None:
    path = tmp_path / "starwars_survey.utf8.csv"
    path.write_text((messy / "starwars_survey.csv").read_bytes().decode("cp1252"), encoding="utf-8")
    table = read(path)
    assert (len(table), len(table.columns)) == (1186, 38) and (table.lines[0], table.lines[-1]) == (3, 1188)
    films = [name for name in table.columns if name.startswith("Which of the following Star Wars films have you seen?")]
    assert len(films) == 6 and films[0].endswith(" / Star Wars: Episode I  The Phantom Menace")
    assert "lines 1 and 2 name the columns together" in table.notes[0]


def test_after_the_command_the_avengers_are_read_although_one_name_is_also_a_value(messy: Path, tmp_path: Path) -> None:
    path = tmp_path / "avengers.utf8.csv"
    path.write_text((messy / "avengers.csv").read_bytes().decode("cp1252"), encoding="utf-8")
    table = read(path)
    assert (len(table), len(table.columns)) == (173, 21) and list(table.columns["Honorary"]).count("Honorary") == 16


def test_after_the_option_that_the_refusal_names_the_hearts_are_read(messy: Path) -> None:
    table = read(messy / "heart_three_hospitals_noheader.data", header="no")
    assert (len(table), len(table.columns), table.lines[0]) == (626, 14, 1)
    assert table.columns["column_14"][0] == "0" and list(table.columns["column_11"])[-1] == "?"


def test_dates_of_the_workbook_are_iso_text(messy: Path) -> None:
    table = read(messy / "cuad_label_report_dates.xlsx")
    assert table.row(0)["Agreement Date-Answer"] == "2014-05-08"
    assert table.row(0)["Agreement Date"].startswith("May 8, 2014 (Page 1)")
