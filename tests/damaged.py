"""Small good files of every format, and the ways in which hypothesis damages them."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import xlsxwriter
from hypothesis import strategies as st

from tuneproof.config import Data
from tuneproof.errors import Error
from tuneproof.prepare import prepare
from tuneproof.prepare.read import read
from tuneproof.prepare.schema import Recogniser

GROWTH = 400 * 2**20  # bytes by which the process may grow while it reads one of these files, which are small
ROWS = [(f'review, number "{i}" of\na "good" product é', "good" if i % 2 else "bad", i / 2) for i in range(24)]
TEXT_SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".txt")


def _csv(separator: str, quote: bool) -> bytes:
    cell = '"{}"'.format if quote else lambda text: text.replace("\n", " ").replace('"', "").replace(",", "")
    lines = [separator.join([cell(text.replace('"', '""')), label, str(n)]) for text, label, n in ROWS]
    return "\n".join([separator.join(["text", "label", "n"]), *lines, ""]).encode()


def _rows() -> list[dict[str, Any]]:
    return [{"text": text, "label": label, "n": n, "more": [1, {"a": None}]} for text, label, n in ROWS]


def _chat() -> bytes:
    asked = [{"role": "user", "content": f"question {i}"} for i in range(24)]
    return b"".join(
        json.dumps({"messages": [one, {"role": "assistant", "content": "yes"}]}).encode() + b"\n" for one in asked
    )


def _workbook() -> bytes:
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"in_memory": True}) as book:
        sheet = book.add_worksheet("Data")
        sheet.write_row(0, 0, ["text", "label", "n"])
        for number, row in enumerate(ROWS, start=1):
            sheet.write_row(number, 0, row)
    return content.getvalue()


def _parquet() -> bytes:
    content = io.BytesIO()
    pl.DataFrame([{**row, "more": [{"a": None}]} for row in _rows()]).write_parquet(content)
    return content.getvalue()


GOOD: dict[str, tuple[str, bytes]] = {
    "csv": (".csv", _csv(",", quote=False)),
    "quoted csv": (".csv", _csv(",", quote=True)),
    "tsv": (".tsv", _csv("\t", quote=False)),
    "jsonl": (".jsonl", b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in _rows())),
    "chat": (".jsonl", _chat()),
    "json": (".json", json.dumps(_rows(), indent=1).encode()),
    "xlsx": (".xlsx", _workbook()),
    "parquet": (".parquet", _parquet()),
}
STRANGE = (
    b"\0", b"\xff", b"\xe6", b"\xef\xbb\xbf", b"\r", b'"', b'""', b",", b"{", b"}", b"[", b"null", b"1e999", b"-",
    b"NaN", b"Infinity", b'{"a":1,"a":2}', b'"\\ud800"', b"[" * 3000, b'{"a":' * 3000, b"9" * 5000, b"x" * 300_000,
    b"," * 20_000, b"\n" * 50, b"PAR1", b"PK\x03\x04", b"\xff\xfe", b"\xf0\x9f\x98\x80",
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """The suffix and the content of a file that was good once."""
    suffix, content = GOOD[draw(st.sampled_from(sorted(GOOD)))]
    if suffix == ".xlsx" and draw(st.booleans()):
        return suffix, _inside(draw, content)
    content = _hurt(draw, content)
    return draw(st.sampled_from([suffix, suffix, suffix, *TEXT_SUFFIXES])), content


def _inside(draw: st.DrawFn, content: bytes) -> bytes:
    """A workbook that is a good archive of damaged members."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as good, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bad:
        names = good.namelist()
        hurt = draw(st.sampled_from(names))
        for name in names:
            data = good.read(name)
            bad.writestr(name, _hurt(draw, data) if name == hurt else data)
    return out.getvalue()


def _hurt(draw: st.DrawFn, content: bytes) -> bytes:
    for _ in range(draw(st.integers(1, 4))):
        at, end = sorted((draw(st.integers(0, len(content))), draw(st.integers(0, len(content)))))
        part, size = content[at:end], draw(st.integers(0, 12))
        match draw(st.sampled_from(["cut", "end", "double", "shuffle", "bytes", "strange", "move", "type"])):
            case "cut":
                content = content[:at] + content[end if draw(st.booleans()) else at + size :]
            case "end":
                content = content[:end]
            case "double":
                content = content[:end] + part + content[end:]
            case "shuffle":
                content = (
                    content[:at] + bytes(draw(st.permutations(list(content[at : at + size])))) + content[at + size :]
                )
            case "bytes":
                content = content[:at] + draw(st.binary(max_size=8)) + content[at + size :]
            case "strange":
                content = content[:at] + draw(st.sampled_from(STRANGE)) + content[at + size :]
            case "move":
                content = content[:at] + content[end:] + part
            case "type":
                content = re.sub(rb'"[a-z]+"|\d+', draw(st.sampled_from(STRANGE[11:17])), content, count=size)
    return content


def outcome(path: Path, answers: dict[str, Recogniser]) -> str:
    """ "read", "refused" or "not for a task" (read, but not usable); an AssertionError for more than one sentence."""
    try:
        table = read(path)
    except Error as error:
        _one_sentence(error, path)
        return "refused"
    assert len(table) >= 1 and len(table.lines) == len(table)
    assert min(table.lines) >= 1
    try:
        assert prepare(path, Data(), answers).ledger.closes()
    except Error as error:
        _one_sentence(error, path)
        return "not for a task"
    return "read"


def _one_sentence(error: Error, path: Path) -> None:
    assert error.exit_code == 2 and error.message.startswith(str(path)), str(error)
    assert error.hint and "\n" not in str(error) and "Traceback" not in str(error)
    found = re.search(r", line ([\d,]+)", error.message.replace(str(path), ""))
    lines = path.read_bytes().replace(b"\r", b"\n").count(b"\n") + 1
    if found and path.suffix in TEXT_SUFFIXES:
        assert 1 <= int(found.group(1).rstrip(",").replace(",", "")) <= lines


def most_memory(forget: bool = False) -> int:
    """The most memory that this process had since it was last asked to ``forget``, in bytes."""
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
