"""A folder with a folder of text files for each class."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.prepare import prepare
from tuneproof.prepare.read import read


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """30 texts of two classes, and what else lies in such folders."""
    root = tmp_path / "reviews"
    for label in ("good", "bad"):
        (root / label).mkdir(parents=True)
        for number in range(15):
            (root / label / f"{number:02}.txt").write_text(f"a {label} review, number {number}\nof two lines")
    return root


def test_each_file_is_a_row_and_its_folder_the_label(reviews: Path) -> None:
    table = read(reviews, ["reviews"])
    assert len(table) == 30 and set(table.lines) == {1} and table.source == "reviews"
    assert table.row(0) == {"text": "a bad review, number 0\nof two lines", "label": "bad"}
    assert table.file(29) == "reviews/good/14.txt" and table.notes == ()


def test_the_whole_stage_takes_it(reviews: Path, answers) -> None:
    prepared = prepare(reviews, Data(), answers)
    assert prepared.schema.task == "text-classification" and prepared.schema.labels == ("bad", "good")
    assert sum(prepared.ledger.used.values()) == 30 and len(prepared.manifest["files"]) == 30


def test_what_is_not_read_is_counted_and_named(reviews: Path) -> None:
    (reviews / "empty_class").mkdir()
    (reviews / "README.pdf").write_bytes(b"%PDF")
    (reviews / "good" / "scan.pdf").write_bytes(b"%PDF")
    (reviews / "good" / ".DS_Store").write_bytes(b"x")
    (reviews / "good" / "15.txt").write_text("")
    table = read(reviews, ["reviews"])
    assert len(table) == 31 and list(table.columns["text"]).count(None) == 1
    assert table.notes == (
        'reviews: 2 other files not read: "README.pdf", "good/scan.pdf"',
        "reviews: 1 hidden file not read",
        'reviews: 1 folder without a text: "empty_class"',
    )


def test_old_encodings_are_judged_over_all_files(reviews: Path) -> None:
    for number in range(15):
        (reviews / "good" / f"{number:02}.txt").write_bytes("très élégant, à goûter".encode("cp1252"))
    (reviews / "good" / "00.txt").write_bytes("ñ".encode("cp1252"))  # alone it could be anything
    table = read(reviews, ["reviews"])
    assert table.columns["text"][15] == "ñ" and table.columns["text"][16] == "très élégant, à goûter"
    assert "reviews: 15 files read as cp1252" in table.notes


def test_a_file_that_cannot_be_told_is_named(reviews: Path) -> None:
    (reviews / "good" / "00.txt").write_bytes(b"the\xe6M'Kraan")
    with pytest.raises(DataError, match=r"reviews/good/00.txt, line 1: byte 3 .* cannot be told"):
        read(reviews, ["reviews"])


def test_a_link_out_of_the_folder_is_refused(reviews: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (reviews / "good" / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(DataError, match=r"good/link.txt is a link that leads out of the folder"):
        read(reviews, ["reviews"])


def test_a_link_inside_of_the_folder_is_a_file(reviews: Path) -> None:
    (reviews / "good" / "again.txt").symlink_to(reviews / "good" / "00.txt")
    assert len(read(reviews)) == 31


def test_images_by_class_are_named_as_what_they_are(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        (tmp_path / "pets" / label / "1.JPG").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match=r"2 images by class \(cat 1, dog 1\): image classification, .* no task yet"):
        read(tmp_path / "pets")


def test_a_folder_of_tables_and_one_of_parts_are_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "a.csv").write_text("text,label\nx,y\n")
    with pytest.raises(DataError, match=r"a folder of 1 data file, such as a.csv.*tables/a.csv"):
        read(tmp_path / "tables", ["tables"])
    (tmp_path / "parts" / "train" / "good").mkdir(parents=True)
    with pytest.raises(DataError, match=r"the class folder train holds a folder, good.*parts/train"):
        read(tmp_path / "parts", ["parts"])
