"""Bytes of a text file become UTF-8: the encoding is told by its marks or by what it makes of the bytes.

    utf8(b"caf\\xe9,good\\n" * 9, "a.csv")      # (b"caf\\xc3\\xa9,good..." , "a.csv was read as cp1252 (9 bytes ...)")

What cannot be told is refused with the two likeliest readings and the command that converts the file. A file that is
UTF-8 but for a few bytes is refused with the first of them: those bytes are damage, not another encoding.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from tuneproof.errors import DataError
from tuneproof.prepare.alphabets import ENCODINGS, Reading, readings

MARKS = (
    (b"\xff\xfe\0\0", "utf_32_le", "UTF-32"),
    (b"\0\0\xfe\xff", "utf_32_be", "UTF-32"),
    (b"\xff\xfe", "utf_16_le", "UTF-16"),
    (b"\xfe\xff", "utf_16_be", "UTF-16"),
)
PIECE = 2**20  # bytes decoded at a time
SAMPLE = 30_000  # bytes of lines that are not UTF-8, by which an encoding is told
SURE = 0.99  # below this an encoding is not told
ODDEST = 0.1  # more characters than this in odd places: no reading makes sense
# Where a character of UTF-8 is three odd signs in a row, so that three of them are no accident.
LATIN = ("cp1252", "latin_1", "mac_roman", "cp1250", "iso8859_2", "cp1254", "cp850")
HIGH_BYTES = bytes(range(128, 256))
HIGH = re.compile(rb"[\x80-\xff]")


def utf8(raw: bytes, source: str) -> tuple[bytes, str]:
    """``raw`` as UTF-8 without a byte order mark, and a note for the ledger ("" where it was UTF-8)."""
    wide = _wide(raw)
    if wide is not None:
        codec, name, mark = wide
        text = _strictly(raw, codec, name, mark, source)
        _no_nul(text.encode("utf-8"), source)
        return text.encode("utf-8"), f"{source} was read as {name}"
    raw = raw.removeprefix(codecs.BOM_UTF8)
    _no_nul(raw, source)
    if raw.isascii():
        return raw, ""
    at = _first_not_utf8(raw)
    if at is None:
        return raw, ""
    return _told(raw, at, source)


def recognised(raw: bytes) -> str | None:
    """Python's codec of bytes that are not UTF-8, or None where it cannot be told."""
    found = _readings(raw)
    return found[0].encoding if found and _is_sure(found[0]) else None


def _is_sure(reading: Reading) -> bool:
    return reading.sureness >= SURE and reading.odd <= ODDEST


def _wide(raw: bytes) -> tuple[str, str, int] | None:
    """Codec, name and length of the mark, where the file has two or four bytes for each character."""
    for mark, codec, name in MARKS:
        if raw.startswith(mark) and (name != "UTF-32" or len(raw) % 4 == 0):
            return codec, name, len(mark)
    start = raw[: 2**16]
    zeros = [start[lane::4].count(0) for lane in range(4)]
    total = sum(zeros)
    if total * 20 <= len(start):  # ASCII letters, digits and separators have zeros: at least one byte in twenty
        return None
    if len(raw) % 4 == 0 and total * 5 >= len(start) * 2:
        return ("utf_32_le" if zeros[0] < zeros[3] else "utf_32_be"), "UTF-32", 0
    if len(raw) % 2 == 0 and max(zeros[0] + zeros[2], zeros[1] + zeros[3]) * 20 >= total * 19:
        return ("utf_16_le" if zeros[1] + zeros[3] > zeros[0] + zeros[2] else "utf_16_be"), "UTF-16", 0
    return None


def _strictly(raw: bytes, codec: str, name: str, mark: int, source: str) -> str:
    try:
        return raw[mark:].decode(codec)
    except UnicodeDecodeError as error:
        line = raw[mark : mark + error.start].decode(codec, errors="replace").count("\n") + 1
        raise DataError(
            f"{source}, line {line}: the file is {name}, and byte {mark + error.start:,} is damaged or cut off.",
            "Save the file again, as UTF-8.",
        ) from None


def _no_nul(raw: bytes, source: str) -> None:
    nul = raw.find(b"\0")
    if nul >= 0:
        raise DataError(
            f"{source}, line {line_of(raw, nul)}: there is a NUL byte (byte {nul:,}); text files have none.",
            f"Remove them: tr -d '\\000' < {source} > clean{Path(source).suffix}",
        )


def _first_not_utf8(raw: bytes) -> int | None:
    """Where ``raw`` stops being UTF-8; decoded in pieces, which is faster and needs no copy of the file."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(raw)
    for begin in range(0, len(raw), PIECE):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(view[begin : begin + PIECE], final=begin + PIECE >= len(raw))
        except UnicodeDecodeError as error:
            return begin - pending + error.start
    return None


def _told(raw: bytes, at: int, source: str) -> tuple[bytes, str]:
    """``raw`` in the encoding that its bytes speak for; DataError where they speak for none, or for damaged UTF-8."""
    valid, broken = _utf8_share(raw)
    place = f"{source}, line {line_of(raw, at)}: byte {at:,} (0x{raw[at]:02x})"
    if valid > broken:
        bad = f"{broken:,} bytes are" if broken > 1 else "one byte is"
        raise DataError(f"{place} is not UTF-8; the rest of the file is, {bad} broken.", "Correct that line.")
    found = _readings(raw)
    if not found or not _is_sure(found[0]):
        raise DataError(f"{place} is not UTF-8, {_doubt(found, raw, at)}.", _iconv(found, source))
    best = found[0]
    if best.encoding in LATIN and valid >= 3 and valid * 50 >= broken:
        raise DataError(
            f"{place} is not UTF-8; the file mixes {name_of(best.encoding)} with UTF-8.",
            "Convert its parts one by one, before they are joined.",
        )
    count = len(raw) - len(raw.translate(None, HIGH_BYTES))
    sureness = "surely" if best.sureness > 0.9999 else f"{best.sureness:.2%} sure"
    bytes_ = "1 byte" if count == 1 else f"{count:,} bytes"
    note = f"{source} was read as {name_of(best.encoding)} ({bytes_} outside ASCII, {sureness})"
    return raw.decode(best.encoding).encode("utf-8"), note


def _utf8_share(raw: bytes) -> tuple[int, int]:
    """Characters beyond ASCII that are UTF-8, and bytes that are not."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
    valid = broken = 0
    for begin in range(0, len(raw), PIECE):
        text = decoder.decode(raw[begin : begin + PIECE], final=begin + PIECE >= len(raw))
        if text.isascii():
            continue
        whole = text.encode("utf-8", errors="ignore").decode("utf-8")
        broken += len(text) - len(whole)
        valid += len(whole) - len(whole.encode("ascii", errors="ignore"))
    return valid, broken


def _sample(raw: bytes) -> bytes:
    """Lines that are not UTF-8, of very long ones the part around the first byte that is not ASCII."""
    lines: list[bytes] = []
    size = end = 0
    while size < SAMPLE and (found := HIGH.search(raw, end)) is not None:
        at = found.start()
        begin = max(raw.rfind(b"\n", end, at) + 1, at - 1000, end)
        end = raw.find(b"\n", at)
        end = min(len(raw) if end < 0 else end, begin + SAMPLE)
        line = raw[begin:end]
        if is_utf8(line):
            continue
        lines.append(line)
        size += len(line)
    return b"\n".join(lines)


def _readings(raw: bytes) -> list[Reading]:
    """The readings of a sample, those left out in which the whole file cannot be read."""
    sample, candidates = _sample(raw), list(ENCODINGS)
    while candidates:
        found = readings(sample, candidates)
        wrong = [one.encoding for one in found[:2] if not _decodes(raw, one.encoding)]
        if not wrong:
            return found
        candidates = [encoding for encoding in candidates if encoding not in wrong]
    return []


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def is_utf8(raw: bytes) -> bool:
    return _first_not_utf8(raw) is None


def _doubt(found: list[Reading], raw: bytes, at: int) -> str:
    if not found:
        return "and it is text in no known encoding"
    around = raw[max(0, at - 8) : at + 8].replace(b"\n", b" ").replace(b"\r", b" ")
    shown = [f'{name_of(one.encoding)} ("{around.decode(one.encoding, errors="replace")}")' for one in found[:2]]
    return f"and its encoding cannot be told: {' or '.join(shown)} are the likeliest"


def _iconv(found: list[Reading], source: str) -> str:
    if not found:
        return "Save it again as UTF-8, or give the file that it was made from."
    path = Path(source)
    names = [ENCODINGS[one.encoding][0] for one in found[:2]]
    other = f", or -f {names[1]}" if len(names) > 1 else ""
    return f"Convert it: iconv -f {names[0]} -t UTF-8 {source} > {path.with_suffix('.utf8' + path.suffix)}{other}"


def name_of(encoding: str) -> str:
    """The encoding as people call it."""
    return {"latin_1": "latin-1", "mac_roman": "Mac Roman", "cp932": "Shift JIS", "cp950": "Big5"}.get(
        encoding, encoding.replace("_", "-")
    )


def line_of(raw: bytes, at: int) -> int:
    """The line (from 1) in which byte ``at`` stands."""
    return raw.count(b"\n", 0, at) + 1
