"""JSON: one object per line, or an array of objects; every object knows the line where it starts.

    read(b'{"text": "good", "label": "+"}\\n', "reviews.jsonl")

All lines are tried and the bad ones counted by kind; the error tells the first in full and where the others are. A key
that one object lacks is None there. An object with the same key twice, ``Infinity`` and half a surrogate pair are
refused; ``NaN`` (which pandas writes for a missing number) is None.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from tuneproof.errors import DataError
from tuneproof.prepare import squad
from tuneproof.prepare.faults import Faults
from tuneproof.records import Table

WIDEST = 10_000  # columns: beyond this the keys are data
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
BLANK = re.compile(r"[ \t\r\n]*")


def read(raw: bytes, source: str) -> Table:
    """The table in ``raw`` (UTF-8, starts with "[" or "{")."""
    if raw[:4096].lstrip().startswith(b"["):
        return _array(raw, source)
    return _questions(raw, source) or _lines(raw, source)


def _questions(raw: bytes, source: str) -> Table | None:
    """A file that is one object of articles with questions, as a row for each question."""
    if b'"paragraphs"' not in raw:
        return None
    try:
        rows = squad.unfolded(_decode(raw))
    except _Bad:
        return None
    return None if rows is None else _table(rows, squad.lines_of(raw, len(rows)), source)


def _lines(raw: bytes, source: str) -> Table:
    """One object per line; blank lines are not rows."""
    starts: list[int] = []
    rows: list[dict[str, Any]] = []
    faults = Faults(source, "line")
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if not line or line.isspace():
            continue
        try:
            value = _decode(line)
        except _Bad as error:
            faults.add(number, error.kind, str(error))
            continue
        starts.append(number)
        rows.append(value)
    if faults and not rows:
        _refuse_one_object(raw, source)
    faults.refuse(len(rows), "Correct that line, or remove it.")
    return _table(rows, starts, source)


def _array(raw: bytes, source: str) -> Table:
    """``[{...}, {...}]``, over as many lines as it likes."""
    text = raw.decode("utf-8")
    starts: list[int] = []
    rows: list[dict[str, Any]] = []
    faults = Faults(source, "element")
    at = _skip(text, text.index("[") + 1)
    line, counted_to = 1, 0
    closed = text[at : at + 1] == "]"
    while not closed:
        line, counted_to = line + text.count("\n", counted_to, at), at
        try:
            value, end = _raw_decode(text, at)
        except _Bad as error:
            faults.add(error.line or line, error.kind, str(error))
            next_at = None if faults.full else _resume(text, at)
            if next_at is None:
                break
            at = next_at
            continue
        try:
            rows.append(_object(value, SURROGATE.search(text[at:end].encode()) is not None))
            starts.append(line)
        except _Bad as error:
            faults.add(line, error.kind, str(error))
        at = _skip(text, end)
        closed = text[at : at + 1] == "]"
        if not closed and text[at : at + 1] != ",":
            faults.refuse(len(rows), "Correct that element of the array.")
            line += text.count("\n", counted_to, at)
            raise DataError(
                f'{source}, line {line}: not valid JSON: "," or "]" is expected after element {len(rows):,}.',
                "Correct that line; the file may have been cut short.",
            )
        at = at if closed else _skip(text, at + 1)
    faults.refuse(len(rows), "Correct that element of the array.")
    if text[at + 1 :].strip():
        line += text.count("\n", counted_to, _skip(text, at + 1))
        raise DataError(f"{source}, line {line}: there is something after the end of the array.", "Remove it.")
    return _table(rows, starts, source)


def _resume(text: str, at: int) -> int | None:
    """Where the element after a broken one begins: on a line of its own, as far to the right as the broken one."""
    start = text.rfind("\n", 0, at) + 1
    before = text[start:at]
    if before.strip(" \t[") or not start:
        return None
    found = text.find("\n" + before + "{", at)
    return found + 1 + len(before) if found >= 0 else None


class _Bad(Exception):
    """Why a value cannot be used; the caller knows file and line. ``kind`` is what such faults are counted by."""

    def __init__(self, kind: str, detail: str, line: int = 0) -> None:
        super().__init__(detail)
        self.kind = kind
        self.line = line  # of the text that was decoded, from 1; 0 where only the value is known


def _pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Bad("with a key twice", f'the key "{twice}" stands twice in one object')
    return value


def _constant(name: str) -> None:
    if name != "NaN":
        raise _Bad("with infinity", f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)


def _decode(line: bytes) -> dict[str, Any]:
    text = line.decode("utf-8").strip(" \t\r\n")
    value, end = _raw_decode(text, 0)
    if end != len(text):
        raise _Bad("not valid JSON", f"not valid JSON: something follows the object at column {end + 1}")
    return _object(value, SURROGATE.search(line) is not None)


def _raw_decode(text: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        told = f"not valid JSON: {error.msg} at column {error.colno}"
        raise _Bad("not valid JSON", told, error.lineno) from None
    except RecursionError:
        raise _Bad("nested too deeply", "lists or objects are nested too deeply") from None
    except ValueError:  # an integer of more than 4,300 digits
        raise _Bad("with too many digits", "a number has more digits than can be read") from None


def _object(value: Any, escaped: bool) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Bad("not an object", f"an object {{...}} is expected, this is {_kind(value)}")
    if escaped:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            told = "there is half of a surrogate pair (\\ud800 to \\udfff), which is no character"
            raise _Bad("with half a surrogate pair", told) from None
        except RecursionError:
            raise _Bad("nested too deeply", "lists or objects are nested too deeply") from None
    return value


def _kind(value: Any) -> str:
    kinds = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _skip(text: str, at: int) -> int:
    found = BLANK.match(text, at)
    return found.end() if found else at


def _refuse_one_object(raw: bytes, source: str) -> None:
    """DataError that says so where the whole file is a single object over many lines."""
    try:
        value = _decode(raw)
    except _Bad:
        return
    keys = ", ".join(f'"{key}"' for key in list(value)[:5])
    raise DataError(
        f"{source}, line 1: the file is one object (keys {keys}), not rows.",
        "Write one object per line, or an array of objects.",
    )


def _table(rows: list[dict[str, Any]], starts: list[int], source: str) -> Table:
    if not rows:
        raise DataError(f"{source} holds no rows.", "At least one object is needed.")
    names: dict[str, None] = {}
    for row, line in zip(rows, starts, strict=True):
        names.update(dict.fromkeys(row))
        if len(names) > WIDEST:
            raise DataError(
                f"{source}, line {line}: more than {WIDEST:,} different keys so far, so they are data and not columns.",
                "Write rows with the same keys.",
            )
    if not names:
        raise DataError(
            f"{source}, line {starts[0]}: the objects have no keys.", 'For example: {"text": "...", "label": "..."}'
        )
    return Table({name: [row.get(name) for row in rows] for name in names}, starts, source)
