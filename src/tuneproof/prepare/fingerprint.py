"""Fingerprints of texts, a million in a fraction of a second: what ids, places and the search for copies are made of.

    found = fingerprints(pl.Series(["Hello", "hello "]))
    found.high, found.low        # (rows,) each: 128 bits of the bytes
    found.folded                 # (rows,): 64 bits of the folded text; the two rows are equal in it

A fingerprint is a fixed function of the bytes, the same on every machine and in every version: ``digest`` says in plain
Python what numpy does here to whole columns, and a test holds them together. sha256 of each row, one by one, would take
longer than everything else from the file to the splits. A fingerprint tells rows apart (two different ones are alike by
chance once in 2^128), but it is not made against somebody who writes rows in order to make two alike, and a row of one
word can be computed from it: against that, the files of a run have their sha256 in the manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from tuneproof.tasks import columns

Words = np.ndarray[Any, np.dtype[np.uint64]]
Counts = np.ndarray[Any, np.dtype[np.int64]]

# The constants and shifts of splitmix64 (Steele, Lea and Flood 2014), and a second multiplier for the low half.
GOLDEN, FIRST, SECOND, THIRD = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93
WORD = 2**64
BLANK = 32
SAMPLE = 1000  # of so many texts most are different, or the column may hold few
PIECE = 2**19  # bytes worked on at a time: with what is computed from them they stay in the cache of a core
TAILS = np.array([WORD - 1, *((1 << 8 * size) - 1 for size in range(1, 8))], dtype=np.uint64)
# Bits of eight bytes at once, for capitals of ASCII.
LOW_SEVEN, TOP, PAST_AT, PAST_Z = 0x7F * (WORD // 255), 0x80 * (WORD // 255), 0x3F * (WORD // 255), 0x25 * (WORD // 255)


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Per row 128 bits of its text, and 64 bits of its folded text."""

    high: Words
    low: Words
    folded: Words

    def take(self, rows: np.ndarray[Any, Any]) -> Fingerprints:
        return Fingerprints(self.high[rows], self.low[rows], self.folded[rows])


def fingerprints(column: pl.Series) -> Fingerprints:
    """Of every text of ``column`` (null counts as the text ``null``). Few different ones are computed once each."""
    text = column.fill_null("null") if column.null_count() else column
    if len(text) > SAMPLE and text.head(SAMPLE).n_unique() * 2 < SAMPLE:
        kinds = text.unique()
        if len(kinds) * 4 < len(text):
            return _of_each(kinds).take(columns.codes(text, kinds).to_numpy())
    return _of_each(text)


def of_values(values: columns.Values) -> Fingerprints:
    """Of a column of any kind: what is no text counts as JSON, and is folded in each of its strings."""
    column = columns.strings(values)
    if column is not None:
        return fingerprints(column)
    raw = _of_each(pl.Series([text_of(value) for value in values], dtype=pl.String))
    folded = _of_each(pl.Series([text_of(columns.normal(value)) for value in values], dtype=pl.String))
    return Fingerprints(raw.high, raw.low, folded.high)


def joined(parts: Mapping[str, Fingerprints]) -> tuple[Words, Words]:
    """High and low of rows of several parts: one part after the other in the order of their names, which count."""
    high = _chained({name: of.high for name, of in parts.items()}, 0)
    low = _chained({name: of.low for name, of in parts.items()}, 1)
    return high, low


def joined_folded(parts: Mapping[str, Fingerprints]) -> Words:
    """The same of the folded parts."""
    return _chained({name: of.folded for name, of in parts.items()}, 0)


def _chained(parts: Mapping[str, Words], half: int) -> Words:
    high: Words | None = None
    for name in sorted(parts):
        of = parts[name] ^ np.uint64(_own(name)[half])
        if high is not None:
            of += high
        high = _mixed(of)
    assert high is not None, "a row has parts"
    return high


def written(high: Words, low: Words) -> pl.Series:
    """The 128 bits in hexadecimal, 32 characters for each row."""
    if not len(high):
        return pl.Series([], dtype=pl.String)
    return pl.Series(_bytes(high, low)).cast(pl.List(pl.UInt8)).cast(pl.Binary).bin.encode("hex")


def read(ids: pl.Series) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """(rows, 2): high and low of what ``written`` wrote, whatever stands behind it."""
    number = ids.str.slice(0, 32).str.decode("hex").bin
    halves = [number.slice(at, 8).bin.reinterpret(dtype=pl.UInt64, endianness="big").to_numpy() for at in (0, 8)]
    return np.stack(halves, axis=1)


def ordered(pairs: np.ndarray[Any, np.dtype[np.uint64]]) -> bytes:
    """The rows of ``pairs`` (high, low) in their order, 16 bytes each: what is the same however the rows stand."""
    if not len(pairs):
        return b""
    frame = pl.DataFrame({"high": pairs[:, 0], "low": pairs[:, 1]}).sort("high")
    high = frame["high"].to_numpy()
    if (high[1:] == high[:-1]).any():  # else the lower halves decide nothing, and sorting by them takes as long again
        frame = frame.sort("high", "low")
    return _bytes(high, frame["low"].to_numpy()).tobytes()


def _bytes(high: Words, low: Words) -> np.ndarray[Any, np.dtype[np.uint8]]:
    pairs = np.empty((len(high), 2), dtype=">u8")
    pairs[:, 0], pairs[:, 1] = high, low
    return pairs.view(np.uint8)


def repeated(prints: Words) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which fingerprints stand there more than once."""
    series = pl.Series(prints)
    if series.n_unique() == len(series):
        return np.zeros(len(prints), dtype=bool)
    return series.is_duplicated().to_numpy()


def digest(content: Mapping[str, Any]) -> str:
    """The fingerprint of a row with the parts ``content``, in hexadecimal: what ``joined`` and ``written`` give.

    A part that is no text counts as JSON with sorted keys.
    """
    high = low = 0
    for name in sorted(content):
        of_part = _digest(text_of(content[name]).encode("utf-8"))
        own = _own(name)
        high, low = _mix(high + (of_part[0] ^ own[0])), _mix(low + (of_part[1] ^ own[1]))
    return f"{high:016x}{low:016x}"


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def seeded(of: Words, seed: str) -> Words:
    """Other 64 bits for each of ``of``; another ``seed`` gives others."""
    return _mixed(of ^ np.uint64(_own(seed)[0]))


def _own(name: str) -> tuple[int, int]:
    start = hashlib.sha256(name.encode("utf-8")).digest()
    return int.from_bytes(start[:8], "little"), int.from_bytes(start[8:16], "little")


def _digest(text: bytes) -> tuple[int, int]:
    """Zeros fill the last word of eight bytes; each word and its place are mixed, and the sums with the length."""
    high = low = 0
    for place, start in enumerate(range(0, len(text), 8)):
        word = _mix(int.from_bytes(text[start : start + 8].ljust(8, b"\0"), "little") + (place + 1) * GOLDEN)
        high += word
        low += _again(word)
    return _mix(high + len(text) * THIRD), _mix(low + len(text) * SECOND)


def _mix(word: int) -> int:
    word %= WORD
    word = (word ^ word >> 30) * FIRST % WORD
    word = (word ^ word >> 27) * SECOND % WORD
    return word ^ word >> 31


def _again(word: int) -> int:
    word = (word ^ word >> 29) * THIRD % WORD
    return word ^ word >> 32


# -- the same for whole columns


def _of_each(text: pl.Series) -> Fingerprints:
    """Of every text. Pieces of them go to the cores of the machine."""
    sizes = text.str.len_bytes().to_numpy().astype(np.int64)
    found = Fingerprints(*(np.zeros(len(text), dtype=np.uint64) for _ in range(3)))

    def work(cut: tuple[int, int]) -> None:
        start, end = cut
        piece = text.slice(start, end - start)
        raw: bytes = piece.str.join("").cast(pl.Binary).item()
        high, low, folded = _sums(raw, sizes[start:end])
        if _may_need_folding(raw, sizes[start:end]):
            where = np.flatnonzero(columns.needs_folding(piece).to_numpy())
            odd = [columns.fold(value).encode("utf-8") for value in piece.gather(where)]
            folded[where] = _sums(b"".join(odd), np.array(list(map(len, odd)), dtype=np.int64))[2]
        found.high[start:end], found.low[start:end], found.folded[start:end] = high, low, folded

    cuts = _cuts(sizes)
    if len(cuts) < 2:  # no threads for what takes less time than starting them
        list(map(work, cuts))
        return found
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as cores:
        list(cores.map(work, cuts))
    return found


def _may_need_folding(raw: bytes, sizes: Counts) -> bool:
    """Whether more than capitals may have to be folded in one of the texts that stand in ``raw`` one after another."""
    signs = np.frombuffer(raw, dtype=np.uint8)
    if not raw.isascii() or signs.min(initial=BLANK) < BLANK:
        return True
    blank = signs == BLANK
    if (blank[1:] & blank[:-1]).any():
        return True
    ends = np.cumsum(sizes)
    filled = sizes > 0
    return bool(blank[(ends - sizes)[filled]].any() or blank[ends[filled] - 1].any())


def _cuts(sizes: Counts) -> list[tuple[int, int]]:
    """Rows from where to where, of about PIECE bytes each, or one row."""
    ends = np.cumsum(sizes + 8)
    edges = np.searchsorted(ends, np.arange(PIECE, int(ends[-1]) if len(ends) else 0, PIECE), side="left") + 1
    bounds = np.unique(np.concatenate([[0], edges, [len(sizes)]])).tolist()
    return list(pairwise(bounds))


def _sums(raw: bytes, sizes: Counts) -> tuple[Words, Words, Words]:
    """High, low and, as if folding were lower case, folded, of texts that stand in ``raw`` one after another."""
    anywhere: Words = np.ndarray((len(raw) + 1,), dtype="<u8", buffer=raw + bytes(8), strides=(1,))
    filled = np.flatnonzero(sizes)  # an empty text has no word
    count = (sizes[filled] + 7) >> 3
    ends = np.cumsum(count)
    starts = ends - count
    begin = (np.cumsum(sizes) - sizes)[filled]
    length = sizes.astype(np.uint64)
    if not len(filled):
        none = np.zeros(len(sizes), dtype=np.uint64)
        return _mixed(none.copy()), _mixed(none.copy()), _mixed(none)
    place = np.arange(int(ends[-1]), dtype=np.int64)
    place -= np.repeat(starts, count)
    words = anywhere.take(np.repeat(begin, count) + (place << 3)).astype(np.uint64, copy=False)
    words[ends - 1] &= TAILS[sizes[filled] & 7]
    keys = (place + 1).view(np.uint64) * np.uint64(GOLDEN)
    spare = np.empty_like(words)
    mixed = _mixed(words + keys, spare)
    high = _added(mixed, starts, filled, len(sizes))
    low = _added(_mixed_again(mixed, spare), starts, filled, len(sizes))
    folded = _added(_mixed(_lower(words, spare) + keys, spare), starts, filled, len(sizes))
    high += length * np.uint64(THIRD)
    low += length * np.uint64(SECOND)
    folded += length * np.uint64(FIRST)
    return _mixed(high), _mixed(low), _mixed(folded)


def _added(words: Words, starts: Counts, filled: Counts, rows: int) -> Words:
    sums = np.zeros(rows, dtype=np.uint64)
    sums[filled] = np.add.reduceat(words, starts)
    return sums


def _mixed(words: Words, spare: Words | None = None) -> Words:
    """``_mix`` of each, in place."""
    spare = np.empty_like(words) if spare is None else spare
    for shift, factor in ((30, FIRST), (27, SECOND)):
        np.right_shift(words, np.uint64(shift), out=spare)
        words ^= spare
        words *= np.uint64(factor)
    np.right_shift(words, np.uint64(31), out=spare)
    words ^= spare
    return words


def _mixed_again(words: Words, spare: Words) -> Words:
    """``_again`` of each, in place."""
    np.right_shift(words, np.uint64(29), out=spare)
    words ^= spare
    words *= np.uint64(THIRD)
    np.right_shift(words, np.uint64(32), out=spare)
    words ^= spare
    return words


def _lower(words: Words, spare: Words) -> Words:
    """The capitals A to Z among the bytes of each become small letters, in place."""
    np.bitwise_and(words, np.uint64(LOW_SEVEN), out=spare)
    past = spare + np.uint64(PAST_AT)  # the top bit of a byte: it is A or later
    spare += np.uint64(PAST_Z)  # ... later than Z
    past ^= spare
    past &= np.uint64(TOP)
    past &= ~words  # ... and ASCII
    past >>= np.uint64(2)
    words |= past
    return words
