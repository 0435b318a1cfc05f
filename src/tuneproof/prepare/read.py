"""Files become a Table: columns as they stand in the file, and for every row its file and the line where it starts.

    table = read(Path("reviews.csv"))        # CSV or TSV, JSON array, JSONL, Parquet, XLSX: told apart by content
    table = read([Path("a.csv"), Path("b.csv")])
    table.columns["text"][0], table.file(0), table.lines[0]

Values are left as they are (text from CSV, JSON types from JSON); a missing value is None. Columns of text are polars
Series, others are lists. Whatever cannot be read as it stands is refused in one sentence that names the file, the line
and the remedy: nothing is repaired or skipped here, and what was decided (an encoding, a sheet) is in ``notes``. What
the columns mean is decided in ``schema``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tuneproof.errors import ConfigError, DataError, nearest
from tuneproof.prepare import archive, encodings, folder, limits, lines, parquet, separated, sheet
from tuneproof.prepare.several import joined
from tuneproof.records import Table

FORMATS = "CSV, TSV, JSONL, JSON (an array of objects), Parquet, XLSX and a folder of text files by class"

# First bytes of what is not a text file, and what to do about it.
MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a zip archive and no workbook", "Save a document or spreadsheet as CSV; unpack an archive."),
    (b"PK\x05\x06", "an empty zip archive", "Give the file that should be in it."),
    (
        b"\xd0\xcf\x11\xe0",
        "an old Excel or Word file, or one with a password",
        "Save it as XLSX or CSV, without password.",
    ),
    (b"\x1f\x8b", "compressed with gzip", "Unpack it: gunzip -k FILE"),
    (b"BZh", "compressed with bzip2", "Unpack it: bunzip2 -k FILE"),
    (b"\xfd7zXZ", "compressed with xz", "Unpack it: unxz -k FILE"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "Unpack it: unzstd FILE"),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it."),
    (b"\x80\x02", "a Python pickle, which can run code when it is opened", "Save the data as CSV or JSONL."),
    (b"\x80\x03", "a Python pickle, which can run code when it is opened", "Save the data as CSV or JSONL."),
    (b"\x80\x04", "a Python pickle, which can run code when it is opened", "Save the data as CSV or JSONL."),
    (b"\x80\x05", "a Python pickle, which can run code when it is opened", "Save the data as CSV or JSONL."),
    (b"ARROW1", "an Arrow file", "Save the data as Parquet, CSV or JSONL."),
    (b"\x89HDF", "an HDF5 file", "Save the data as CSV or JSONL."),
    (b"SQLite format 3", "an SQLite database", "Export the table as CSV."),
    (b"%PDF", "a PDF document", "Give a table: one row per text, as CSV or JSONL."),
    (b"\x89PNG", "an image", "Give a table, as CSV or JSONL."),
    (b"\xff\xd8\xff", "an image", "Give a table, as CSV or JSONL."),
)


def read(
    paths: Path | Sequence[Path],
    names: Sequence[str] = (),
    *,
    sheet: str | None = None,
    header: str = "auto",
    own: bool = True,
) -> Table:
    """The table in ``paths`` (one file or folder, or several of the same columns); DataError when there is none.

    ``names`` is what the user calls them; ``sheet`` and ``header`` are the options data.sheet and data.header. They are
    the files' ``own``, so that ConfigError says where one has no effect; or else they were given for other files, as a
    test file or rows to predict may have another format, and count where they can.
    """
    several = (paths,) if isinstance(paths, Path) else tuple(paths)
    called = tuple(names) or tuple(map(str, several))
    _refuse_twice(several, called)
    read_so = [_one(path, name, sheet, header) for path, name in zip(several, called, strict=True)]
    kinds = {kind for kind, _ in read_so}
    if own and sheet is not None and "sheet" not in kinds:
        raise ConfigError(f"data.sheet has no effect: {called[0]} is no workbook.", "Leave it out.")
    if own and header != "auto" and not kinds & {"sheet", "separated"}:
        raise ConfigError(f"data.header has no effect: {called[0]} names its columns itself.", "Leave it out.")
    return read_so[0][1] if len(read_so) == 1 else joined([table for _, table in read_so])


def _refuse_twice(paths: Sequence[Path], names: Sequence[str]) -> None:
    if not paths:
        raise DataError("There is no file to read.", f"Name one: {FORMATS}.")
    seen: dict[Path, str] = {}
    for path, name in zip(paths, names, strict=True):
        before = seen.setdefault(path.resolve(), name)
        if before is not name or names.count(name) > 1:
            raise DataError(f"{name} is named twice (first as {before}).", "Name each file once.")


def _one(path: Path, name: str, wanted: str | None, header: str) -> tuple[str, Table]:
    """How the file was read ("separated", "lines", "parquet", "sheet" or "folder"), and its table."""
    if path.is_dir():
        return "folder", folder.read(path, name)
    raw = _bytes(path, name)
    if raw.startswith(b"PAR1"):
        return "parquet", parquet.read(raw, name)
    if raw.startswith(b"PK\x03\x04") and _is_workbook(raw, name):
        return "sheet", sheet.read(raw, name, wanted, header)
    for magic, what, remedy in MAGIC:
        if raw.startswith(magic):
            raise DataError(f"{name} is {what}; what can be read is {FORMATS}.", remedy.replace("FILE", name))
    raw, note = encodings.utf8(raw, name)
    if not raw or raw.isspace():
        raise DataError(f"{name} is empty.", "A header line and at least one row are needed.")
    kind, table = _text(raw, name, path.suffix.lower(), header)
    notes = (note, *table.notes) if note else table.notes
    return kind, Table(table.columns, table.lines, table.source, table.files, notes)


def _text(raw: bytes, name: str, suffix: str, header: str) -> tuple[str, Table]:
    start = raw[:4096].lstrip()[:1]
    if suffix not in (".csv", ".tsv") and start in (b"[", b"{"):
        return "lines", lines.read(raw, name)
    if suffix in (".json", ".jsonl", ".ndjson"):
        shown = raw[:4096].lstrip()[:20].decode("utf-8", "replace").splitlines()
        raise DataError(
            f'{name}, line 1: JSON starts with "{{" or "[", this file starts with "{shown[0] if shown else ""}".',
            "Rename it if it is a CSV file.",
        )
    return "separated", separated.read(raw, name, suffix, header)


def _is_workbook(raw: bytes, name: str) -> bool:
    return any(member.filename == "xl/workbook.xml" for member in archive.members(raw, name))


def _bytes(path: Path, name: str) -> bytes:
    """The file's content, if it is an ordinary file of a size that can be read."""
    if not path.exists():
        raise DataError(f"There is no file {name}.", _neighbour(path))
    if not path.is_file():
        raise DataError(f"{name} is not an ordinary file.", f"Give a file: {FORMATS}.")
    size = path.stat().st_size
    if size > limits.FILE:
        raise DataError(
            f"{name} has {size / 2**30:.1f} GiB; at most {limits.FILE / 2**30:.0f} GiB are read.", "Give a part of it."
        )
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}.", "Check the permissions of the file.") from None
    if not raw:
        raise DataError(f"{name} is empty.", "A header line and at least one row are needed.")
    return raw


def _neighbour(path: Path) -> str:
    """The file beside ``path`` whose name is closest."""
    beside = path.parent
    if not beside.is_dir():
        return f"There is no folder {beside} either."
    return nearest(path.name, [file.name for file in beside.iterdir() if file.is_file()]) or "Check the path."
