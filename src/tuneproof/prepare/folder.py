"""A folder of text files, one folder per class: the name of the folder is the label, each file is a row.

    read(Path("reviews"), "reviews")        # reviews/good/1.txt, reviews/bad/2.txt, ... -> columns text and label

Every file counts: texts are rows, others are counted and named in a note, hidden ones are counted. A folder of images
by class is recognised and refused by that name. Links that lead out of the folder are refused.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from tuneproof.errors import DataError
from tuneproof.prepare import limits
from tuneproof.prepare.encodings import is_utf8, name_of, recognised, utf8
from tuneproof.records import Table
from tuneproof.tasks.rows import counted, quoted

TEXTS = (".txt", ".text", ".md", ".rst", "")
IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".xlsx")
ONE_PER_CLASS = "Give a table, or a folder that holds one folder of .txt files for each class."


@dataclass(slots=True)
class Found:
    """What lies in the folder."""

    texts: dict[str, list[Path]] = field(default_factory=dict)  # class -> its text files, by name
    images: dict[str, int] = field(default_factory=dict)  # class -> how many
    others: list[Path] = field(default_factory=list)
    hidden: int = 0
    size: int = 0  # bytes of the texts


def read(path: Path, name: str) -> Table:
    """The rows of the folder ``path``, which the user calls ``name``; the line of each is 1."""
    found = _found(path, name)
    _refuse(found, path, name)
    files = [(label, file) for label, texts in found.texts.items() for file in texts]
    called = [str(Path(name) / file.relative_to(path)) for _, file in files]
    texts, notes = _texts([file for _, file in files], called, name)
    columns = {"text": texts, "label": [label for label, _ in files]}
    return Table(columns, [1] * len(files), name, called, (*notes, *_notes(found, path, name)))


def _found(path: Path, name: str) -> Found:
    """Everything in the folder and in the folders of its classes."""
    found = Found()
    for entry in _entries(path, path, name, found):
        if not entry.is_dir():
            found.others.append(entry)
            continue
        found.texts[entry.name], found.images[entry.name] = [], 0
        for file in _entries(entry, path, name, found):
            if file.is_dir():
                raise DataError(
                    f"{name}: the class folder {entry.name} holds a folder, {file.name}.",
                    f"Give one folder per class; if {entry.name} is a part of the data: {name}/{entry.name}",
                )
            if file.suffix.lower() in IMAGES:
                found.images[entry.name] += 1
            if file.suffix.lower() not in TEXTS:
                found.others.append(file)
                continue
            found.texts[entry.name].append(file)
            found.size += file.stat().st_size
    return found


def _entries(folder: Path, root: Path, name: str, found: Found) -> list[Path]:
    """Files and folders by name, hidden ones only counted; DataError for a link that leads out of ``root``."""
    try:
        entries = sorted(Path(entry.path) for entry in os.scandir(folder))
    except OSError as error:
        raise DataError(f"{name}: {folder.name} cannot be read: {error.strerror}.", "Check its permissions.") from None
    shown = [entry for entry in entries if not entry.name.startswith(".")]
    found.hidden += len(entries) - len(shown)
    inside = root.resolve()
    for entry in shown:
        if entry.is_symlink() and not (entry.exists() and entry.resolve().is_relative_to(inside)):
            raise DataError(
                f"{name}: {entry.relative_to(root)} is a link that leads out of the folder.", "Copy the file there."
            )
        if not entry.is_dir() and not entry.is_file():
            raise DataError(f"{name}: {entry.relative_to(root)} is not an ordinary file.", "Remove it.")
    return shown


def _refuse(found: Found, path: Path, name: str) -> None:
    """DataError where the folder is not one of texts by class, or too big."""
    texts = sum(map(len, found.texts.values()))
    images = sum(found.images.values())
    if images and images >= texts:
        classes = ", ".join(f"{label} {count:,}" for label, count in list(found.images.items())[:12])
        raise DataError(
            f"{name} is a folder of {images:,} images by class ({classes}): image classification, for which there is "
            "no task yet.",
            "Give texts: a table, or a folder that holds one folder of .txt files for each class.",
        )
    tables = [file for file in found.others if file.suffix.lower() in TABLES]
    if not texts and tables:
        raise DataError(
            f"{name} is a folder of {counted(len(tables), 'data file')}, such as {tables[0].relative_to(path)}.",
            f"Name the files that are meant: {name}/{tables[0].relative_to(path)}",
        )
    if not texts:
        raise DataError(f"{name} is a folder without text files in folders, one per class.", ONE_PER_CLASS)
    if found.size > limits.FILE or texts > limits.FILES:
        raise DataError(
            f"{name} holds {texts:,} texts of {found.size / 2**30:.1f} GiB; at most {limits.FILES:,} of "
            f"{limits.FILE / 2**30:.0f} GiB are read.",
            "Give a part of it.",
        )


def _texts(files: Sequence[Path], called: Sequence[str], name: str) -> tuple[Sequence[str | None], list[str]]:
    """The texts (None for an empty file) and what to note about their encoding.

    Files that are not UTF-8 are judged together: one alone is often too short to tell.
    """
    texts: list[str | None] = []
    foreign: dict[int, bytes] = {}
    notes: list[str] = []
    for index, (file, source) in enumerate(zip(files, called, strict=True)):
        raw = _bytes(file, source)
        if raw.isascii() or b"\0" in raw or raw.startswith((b"\xff\xfe", b"\xfe\xff")) or is_utf8(raw):
            plain, note = utf8(raw, source)
            texts.append(plain.decode("utf-8") if plain.strip() else None)
            notes += [note] if note else []
        else:
            foreign[index] = raw
            texts.append(None)
    if foreign:
        encoding = recognised(b"\n".join(foreign.values()))
        if encoding is None:
            first = next(iter(foreign))
            utf8(foreign[first], called[first])
            raise DataError(
                f"{called[first]} is not UTF-8, and the encoding of the {len(foreign):,} files like it cannot be told.",
                "Convert them: iconv -f CP1252 -t UTF-8 FILE",
            )
        for index, raw in foreign.items():
            texts[index] = raw.decode(encoding)
        notes.append(f"{name}: {counted(len(foreign), 'file')} read as {name_of(encoding)}")
    return pl.Series(texts, dtype=pl.String).to_list(), notes


def _bytes(file: Path, source: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}.", "Check the permissions of the file.") from None


def _notes(found: Found, path: Path, name: str) -> list[str]:
    notes = []
    if found.others:
        shown = quoted([str(file.relative_to(path)) for file in found.others], 5)
        notes.append(f"{name}: {counted(len(found.others), 'other file')} not read: {shown}")
    if found.hidden:
        notes.append(f"{name}: {counted(found.hidden, 'hidden file')} not read")
    empty = [label for label, texts in found.texts.items() if not texts]
    if empty:
        notes.append(f"{name}: {counted(len(empty), 'folder')} without a text: {quoted(empty, 5)}")
    return notes
