"""A file becomes a Table: columns as they stand in the file, and for every row the line where it starts.

    table = read(Path("reviews.csv"))        # CSV or TSV, JSON array, JSONL, Parquet: told apart by content
    table.columns["text"][0], table.lines[0]

Values are left as they are (text from CSV, JSON types from JSON); a missing value is None. Whatever cannot be read
as it stands is refused in one sentence that names the file, the line and the remedy: nothing is guessed, repaired
or skipped here. What the columns mean is decided in ``schema``.
"""

from __future__ import annotations

from pathlib import Path

from tuneproof.errors import DataError
from tuneproof.prepare import lines, parquet, separated
from tuneproof.records import Table

LIMIT = 2 * 2**30  # bytes: what still fits the memory of an ordinary laptop together with the model
FORMATS = "CSV, TSV, JSONL, JSON (an array of objects) and Parquet"

# First bytes of what is not a text file, and what to do about it.
MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a zip archive (a spreadsheet, or a saved model)", "Save a spreadsheet as CSV; unpack an archive."),
    (b"PK\x05\x06", "an empty zip archive", "Give the file that should be in it."),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "Save it as CSV."),
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

# Names of encodings as iconv knows them.
ICONV = {"mac_roman": "MACINTOSH", "latin_1": "ISO-8859-1", "utf_16": "UTF-16", "utf_32": "UTF-32"}
ENCODINGS = ["cp1252", "latin_1", "cp1250", "cp1251", "mac_roman", "shift_jis", "gb18030", "big5", "euc_kr", "euc_jp"]


def read(path: Path) -> Table:
    """The table in ``path``; DataError when there is none to be had."""
    raw = _bytes(path)
    source = str(path)
    if raw.startswith(b"PAR1"):
        return parquet.read(raw, source)
    for magic, what, remedy in MAGIC:
        if raw.startswith(magic):
            raise DataError(f"{source} is {what}; what can be read is {FORMATS}.", remedy.replace("FILE", source))
    raw = _utf8(raw, source)
    start = raw[:4096].lstrip()[:1]
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv") and start in (b"[", b"{"):
        return lines.read(raw, source)
    if suffix in (".json", ".jsonl", ".ndjson"):
        shown = raw[:4096].lstrip()[:20].decode("utf-8", "replace").splitlines()[0]
        raise DataError(
            f'{source}, line 1: JSON starts with "{{" or "[", this file starts with "{shown}".',
            "Rename it if it is a CSV file.",
        )
    return separated.read(raw, source, suffix)


def _bytes(path: Path) -> bytes:
    """The file's content, if it is an ordinary file of a size that can be read."""
    if path.is_dir():
        raise DataError(f"{path} is a folder; a file is needed ({FORMATS}).", "Name one file in it.")
    if not path.exists():
        raise DataError(f"There is no file {path}.", _neighbour(path))
    if not path.is_file():
        raise DataError(f"{path} is not an ordinary file.", f"Give a file: {FORMATS}.")
    size = path.stat().st_size
    if size > LIMIT:
        raise DataError(
            f"{path} has {size / 2**30:.1f} GiB; at most {LIMIT / 2**30:.0f} GiB are read.", "Give a part of it."
        )
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "Check the permissions of the file.") from None
    if not raw.removeprefix(b"\xef\xbb\xbf").strip():
        raise DataError(f"{path} is empty.", "A header line and at least one row are needed.")
    return raw


def _neighbour(path: Path) -> str:
    """The file beside ``path`` whose name is closest."""
    from tuneproof.errors import nearest

    folder = path.parent
    if not folder.is_dir():
        return f"There is no folder {folder} either."
    return nearest(path.name, [file.name for file in folder.iterdir() if file.is_file()]) or "Check the path."


def _utf8(raw: bytes, source: str) -> bytes:
    """``raw`` without its byte order mark, if it is UTF-8 without NUL bytes."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{source}, line 1: the file is UTF-16, not UTF-8.", _iconv("UTF-16", source))
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    nul = raw.find(b"\0")
    if nul >= 0:
        raise DataError(
            f"{source}, line {_line(raw, nul)}: there is a NUL byte (byte {nul:,}); text files have none.",
            f"Remove them: tr -d '\\000' < {source} > clean{Path(source).suffix}",
        )
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start
        encoding = _guess_encoding(raw, at)
        raise DataError(
            f"{source}, line {_line(raw, at)}: byte {at:,} (0x{raw[at]:02x}) is not UTF-8; "
            f"the file looks like {encoding}.",
            _iconv(encoding, source),
        ) from None
    return raw


def _guess_encoding(raw: bytes, at: int) -> str:
    """The likeliest encoding, judged by a stretch around the first byte that is not UTF-8."""
    from charset_normalizer import from_bytes

    matches = from_bytes(raw[max(0, at - 2**15) : at + 2**15], cp_isolation=ENCODINGS)
    best = matches.best()
    if best is None or any(match.encoding == "cp1252" and match.chaos <= best.chaos for match in matches):
        return "cp1252"  # by far the commonest, so it wins every tie
    return ICONV.get(best.encoding, best.encoding)


def _iconv(encoding: str, source: str) -> str:
    path = Path(source)
    return f"Convert it: iconv -f {encoding} -t utf-8 {source} > {path.with_suffix('.utf8' + path.suffix)}"


def _line(raw: bytes, at: int) -> int:
    return raw.count(b"\n", 0, at) + 1
