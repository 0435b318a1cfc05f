"""What a Parquet file says about its sizes, read from its footer and page headers without unpacking anything.

    declared(raw, "a.parquet")        # Declared(rows=6000, columns=21, unpacked=812_345)

Parquet keeps these in Thrift's compact protocol (a field is a byte of type and distance, numbers are zigzag varints);
only what is needed is understood here. Format: https://github.com/apache/parquet-format, ``parquet.thrift``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from tuneproof.errors import DataError

DEEPEST = 30  # structs and lists inside one another; the format needs 14
LONGEST = 10  # bytes of a varint


@dataclass(frozen=True, slots=True)
class Declared:
    """Sizes that the file declares."""

    rows: int
    columns: int  # leaves of the schema, as the first row group has them
    unpacked: int  # bytes: the larger of what the footer and what the page headers say


def declared(raw: bytes, source: str) -> Declared:
    """DataError where the footer or a page header cannot be read, or is not plausible."""
    try:
        if len(raw) < 12 or not raw.endswith(b"PAR1"):
            raise ValueError("it does not end as a Parquet file does")
        size = struct.unpack("<I", raw[-8:-4])[0]
        if size > len(raw) - 12:
            raise ValueError("its footer is longer than the file")
        footer, _ = _struct(raw, len(raw) - 8 - size, 0)
        groups = footer.get(4, [])
        chunks = [chunk[3] for group in groups for chunk in group[1]]
        told = sum(_size(chunk[6]) for chunk in chunks)
        pages = sum(_pages(raw, chunk) for chunk in chunks)
        rows = _size(footer[3])
        if rows != sum(_size(group[3]) for group in groups):
            raise ValueError("its row groups do not add up to its rows")
        return Declared(rows, len(groups[0][1]) if groups else 0, max(told, pages))
    except (IndexError, KeyError, TypeError, AttributeError, struct.error, ValueError) as error:
        why = str(error) if type(error) is ValueError else "its footer is damaged"
        raise DataError(f"{source} cannot be read as Parquet: {why}.", "Write it again.") from None


def _pages(raw: bytes, chunk: dict[int, Any]) -> int:
    """Bytes that the pages of a column chunk unpack to, by their own headers."""
    offsets = [_size(chunk[field]) for field in (9, 11) if chunk.get(field)]
    at = min(offsets)
    end = at + _size(chunk[7])
    if end > len(raw):
        raise ValueError("a column of it lies beyond the end of the file")
    total = 0
    while at < end:
        header, at = _struct(raw, at, 0)
        total += _size(header[2])
        at += _size(header[3])
    return total


def _size(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("it declares a size that is none")
    return value


def _struct(raw: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Field number -> value."""
    fields: dict[int, Any] = {}
    number = 0
    while True:
        kind, step = raw[at] & 15, raw[at] >> 4
        at += 1
        if not kind:
            return fields, at
        if step:
            number += step
        else:
            number, at = _number(raw, at)
        fields[number], at = (kind == 1, at) if kind < 3 else _value(raw, at, kind, depth)


def _value(raw: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if depth > DEEPEST:
        raise ValueError("its footer is nested too deeply")
    if kind < 3:  # a boolean in a list
        return raw[at] == 1, at + 1
    if kind == 3:
        return raw[at], at + 1
    if kind < 7:
        return _number(raw, at)
    if kind == 7:
        return None, at + 8
    if kind == 8:
        size, at = _varint(raw, at)
        if at + size > len(raw):
            raise IndexError
        return raw[at : at + size], at + size
    if kind in (9, 10):
        return _list(raw, at, depth)
    if kind == 12:
        return _struct(raw, at, depth + 1)
    raise ValueError("its footer holds a type that Parquet does not use")


def _list(raw: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    count, kind = raw[at] >> 4, raw[at] & 15
    at += 1
    if count == 15:
        count, at = _varint(raw, at)
    values: list[Any] = []
    for _ in range(count):  # each takes a byte at least, so a wrong count ends at the end of the file
        value, at = _value(raw, at, kind, depth + 1)
        values.append(value)
    return values, at


def _number(raw: bytes, at: int) -> tuple[int, int]:
    """A zigzag varint."""
    value, at = _varint(raw, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(LONGEST):
        byte = raw[at]
        at += 1
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            return value, at
    raise ValueError("a number in its footer has no end")
