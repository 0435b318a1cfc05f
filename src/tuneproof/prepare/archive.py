"""A workbook is a zip archive: what it would unpack to is looked at before anything unpacks it.

    check(raw, "book.xlsx")        # DataError for a bomb or a damaged archive; else the count of cells with an error

Four ways to fill the memory from a small file are refused: declared sizes, members that hold more than they declare,
two cells at opposite corners of a sheet (all between them are laid out), and one long text that a million cells share.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator

from tuneproof.errors import DataError
from tuneproof.prepare import limits

PIECE = 2**20
SHEETS, TEXTS = "xl/worksheets/", "xl/sharedStrings.xml"
PLACE = re.compile(rb'\br="([A-Z]{0,3})(\d{1,7})"')
TEXT_CELL = re.compile(rb't="s"[^>]*>\s*<v>(\d{1,9})</v>')
LONGEST = 16 * 2**20  # bytes of one shared text with its markup; Excel ends a cell at 32,767 characters
OVERLAP = 400  # bytes kept from piece to piece, longer than the pattern of a cell
DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, NotImplementedError, EOFError, OSError, IndexError)


def members(raw: bytes, source: str) -> list[zipfile.ZipInfo]:
    """The archive's directory; DataError where it is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return archive.infolist()
    except DAMAGED:
        raise DataError(f"{source} is a damaged zip archive: its directory cannot be read.", "Save it again.") from None


def check(raw: bytes, source: str) -> int:
    """DataError where unpacking the workbook would fill the memory; the number of cells that hold an error."""
    files = members(raw, source)
    size = sum(one.file_size for one in files)
    if size > limits.UNPACKED:
        _refuse(source, f"it unpacks to {size / 2**30:,.1f} GiB; at most {limits.UNPACKED / 2**30:.0f} GiB are read")
    for one in files:
        if one.file_size > max(2**20, limits.EXPANSION * one.compress_size):
            times = one.file_size // max(1, one.compress_size)
            _refuse(source, f"{one.filename} unpacks to {times:,} times its size")
    longest = max((len(text) for one in files if one.filename == TEXTS for text in _texts(raw, one, source)), default=0)
    errors = texts = 0
    for one in files:
        if one.filename.startswith(SHEETS):
            errors_here, texts_here = _sheet(raw, one, source)
            errors, texts = errors + errors_here, texts + texts_here
        elif one.filename != TEXTS:
            for _ in _unpacked(raw, one, source):
                pass
    if texts * longest > limits.UNPACKED:
        _count_text(raw, files, source)
    return errors


def _unpacked(raw: bytes, file: zipfile.ZipInfo, source: str) -> Iterator[bytes]:
    """The member's content in pieces; DataError as soon as it is more than its directory entry says."""
    try:
        name, extra = struct.unpack("<HH", raw[file.header_offset + 26 : file.header_offset + 30])
        begin = file.header_offset + 30 + name + extra
        packed = memoryview(raw)[begin : begin + file.compress_size]
        if file.compress_type == zipfile.ZIP_STORED:
            if len(packed) != file.file_size:
                raise zipfile.BadZipFile
            yield from (bytes(packed[at : at + PIECE]) for at in range(0, len(packed), PIECE))
            return
        if file.compress_type != zipfile.ZIP_DEFLATED:
            raise zipfile.BadZipFile
        unpacker, left = zlib.decompressobj(-15), file.file_size
        waiting: bytes | memoryview = packed
        while not unpacker.eof:
            piece = unpacker.decompress(waiting, PIECE)
            waiting = unpacker.unconsumed_tail
            left -= len(piece)
            if left < 0:
                _refuse(source, f"{file.filename} unpacks to more than the {file.file_size:,} bytes that it declares")
            if not piece and not unpacker.eof:
                raise EOFError
            yield piece
    except DataError:
        raise
    except DAMAGED:
        raise DataError(f"{source} is damaged: {file.filename} in it cannot be unpacked.", "Save it again.") from None


def _sheet(raw: bytes, file: zipfile.ZipInfo, source: str) -> tuple[int, int]:
    """Cells with an error and cells with a shared text; DataError where the cells are too far apart."""
    errors = texts = 0
    rest = b""
    columns: set[bytes] = set()
    first, last = 2**20, 0
    for piece in _unpacked(raw, file, source):
        text = rest + piece
        end = max(text.rfind(b">"), len(text) - OVERLAP)  # whole tags only
        text, rest = text[:end], text[end:]
        errors += text.count(b't="e"')
        texts += text.count(b't="s"')
        places = PLACE.findall(text)
        columns.update(column for column, _ in places)
        rows = {int(row) for _, row in places}
        if rows:
            first, last = min(first, min(rows)), max(last, max(rows))
    wide = [_position(column) for column in columns if column]
    if wide and (last - first + 1) * (max(wide) - min(wide) + 1) > limits.CELLS:
        _refuse(
            source, f"the cells of {file.filename} are up to {last - first + 1:,} rows and {max(wide):,} columns apart"
        )
    return errors, texts


def _position(column: bytes) -> int:
    """``A`` is 1, ``AA`` is 27."""
    place = 0
    for letter in column:
        place = place * 26 + letter - 64
    return place


def _texts(raw: bytes, file: zipfile.ZipInfo, source: str) -> Iterator[bytes]:
    """The shared texts with their markup, in their order."""
    rest = b""
    for piece in _unpacked(raw, file, source):
        *whole, rest = (rest + piece).split(b"</si>")
        yield from whole
        if len(rest) > LONGEST:
            _refuse(source, f"one text of it has more than {LONGEST:,} bytes")


def _count_text(raw: bytes, files: list[zipfile.ZipInfo], source: str) -> None:
    """DataError where the texts of all cells together are too much, each counted as often as cells show it."""
    lengths = [len(text) for one in files if one.filename == TEXTS for text in _texts(raw, one, source)]
    total = 0
    for one in files:
        if not one.filename.startswith(SHEETS):
            continue
        rest = b""
        for piece in _unpacked(raw, one, source):
            text, done = rest + piece, 0
            for found in TEXT_CELL.finditer(text):
                number, done = int(found.group(1)), found.end()
                total += lengths[number] if number < len(lengths) else 0
            rest = text[max(done, len(text) - OVERLAP) :]
            if total > limits.UNPACKED:
                _refuse(source, f"the texts of its cells have more than {limits.UNPACKED / 2**30:.0f} GiB")


def _refuse(source: str, why: str) -> None:
    raise DataError(f"{source} is refused before it is unpacked: {why}.", "Save the sheet as CSV and give that.")
