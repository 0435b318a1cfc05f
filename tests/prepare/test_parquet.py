"""Parquet: what the footer declares is believed when it says too much, and not trusted when it says little."""

from __future__ import annotations

import datetime
import io
import struct
from pathlib import Path

import polars as pl
import pytest

from tuneproof.errors import DataError
from tuneproof.prepare import limits
from tuneproof.prepare.footer import declared
from tuneproof.prepare.read import read


def packed(frame: pl.DataFrame, **options: object) -> bytes:
    content = io.BytesIO()
    frame.write_parquet(content, **options)  # type: ignore[arg-type]
    return content.getvalue()


def test_what_the_footer_declares_is_what_is_there() -> None:
    frame = pl.DataFrame({"text": [f"a text of some length {i}" for i in range(5000)], "n": range(5000)})
    sizes = declared(packed(frame, row_group_size=1000, compression="uncompressed"), "a.parquet")
    assert (sizes.rows, sizes.columns) == (5000, 2)
    assert 5000 * (len("a text of some length ") + 8) < sizes.unpacked < 5000 * 60


def test_kinds_of_columns(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "text": ["x", None],
            "kind": pl.Series(["a", "b"], dtype=pl.Categorical),
            "day": [datetime.date(2020, 1, 2), None],
            "list": [["a"], []],
            "struct": [{"a": 1}, {"a": 2}],
            "yes": [True, None],
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    table = read(tmp_path / "a.parquet")
    assert table.row(0) == {
        "text": "x",
        "kind": "a",
        "day": "2020-01-02",
        "list": ["a"],
        "struct": {"a": 1},
        "yes": True,
    }
    assert list(table.lines) == [1, 2]


def test_bytes_are_refused_by_the_name_of_their_column(tmp_path: Path) -> None:
    pl.DataFrame({"text": ["x"], "image": [b"\x89PNG"]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match='the column "image" holds Binary'):
        read(tmp_path / "a.parquet")


def test_a_bomb_is_refused_by_what_it_declares(tmp_path: Path, monkeypatch) -> None:
    frame = pl.DataFrame({"text": ["x" * 1_000_000]}).select(pl.col("text") + pl.Series([str(i) for i in range(40)]))
    (tmp_path / "a.parquet").write_bytes(packed(frame, compression="zstd"))
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    monkeypatch.setattr(limits, "UNPACKED", 20_000_000)
    with pytest.raises(DataError, match=r"refused before it is unpacked: it declares 40 rows of 1 columns and 4\d,"):
        read(tmp_path / "a.parquet")


def test_a_footer_that_plays_a_bomb_down_is_not_believed(monkeypatch) -> None:
    raw = packed(pl.DataFrame({"text": ["x" * 3_000_000]}), compression="zstd", statistics=False)
    size = declared(raw, "a").unpacked
    zigzag = bytearray()
    value = size << 1
    while value:
        zigzag.append((value & 127) | (128 if value > 127 else 0))
        value >>= 7
    footer = len(raw) - 8 - struct.unpack("<I", raw[-8:-4])[0]
    lying = raw[:footer] + raw[footer:].replace(bytes(zigzag), b"\x82\x80\x80\x00"[: len(zigzag)])
    assert lying != raw and len(lying) == len(raw)
    assert 2_900_000 < declared(lying, "a").unpacked < 3_100_000  # what the page headers say


def test_one_long_value_that_all_rows_share_is_refused(tmp_path: Path, monkeypatch) -> None:
    frame = pl.DataFrame({"text": pl.repeat("x" * 10_000, 100_000, eager=True)})
    (tmp_path / "a.parquet").write_bytes(packed(frame))
    assert declared((tmp_path / "a.parquet").read_bytes(), "a").unpacked < 1_000_000
    monkeypatch.setattr(limits, "UNPACKED", 100_000_000)
    with pytest.raises(DataError, match=r"holds 0.9 GiB of values"):
        read(tmp_path / "a.parquet")
