"""The header of a GGUF file: its settings and where its tensors lie, with every length checked against the file.

    header = read_header(Path("model.gguf"))
    header.settings["general.architecture"], header.tensors["token_embd.weight"].shape

The reader of the gguf package believes the lengths that a file states and fails with a traceback, or takes all memory,
when they are wrong; so the header is parsed here, and only the arithmetic of the block formats is left to that package.
It deliberately does not read the numbers of the tensors (see gguf_folder.py).
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tuneproof.errors import ModelError
from tuneproof.sources.tensors import Refused

SETTINGS_LIMIT = 4_096
TENSORS_LIMIT = 100_000
ITEMS_LIMIT = 4_000_000  # of one list; the largest vocabulary known has 262,144 pieces
STRING_LIMIT = 1 << 20
RANK_LIMIT = 4
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, LIST = 8, 9
# ggml type -> (numbers in a block, bytes of a block), from ggml.h; what is missing here is not dequantised
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 20: (32, 18), 23: (256, 136), 30: (1, 2),
}  # fmt: skip


class Block(NamedTuple):
    """Where one tensor lies: ``shape`` in the order of numpy and torch, ``offset`` from the start of the file."""

    kind: int
    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says about itself."""

    settings: dict[str, Any]
    tensors: dict[str, Block]


class _Cursor:
    """Reads forward through the mapped file and refuses to leave it."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise Refused("its header runs past its end: the file is cut off or damaged")
        piece = self.data[self.at : self.at + size]
        self.at += size
        return piece

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self) -> str:
        size = self.number("<Q")
        if size > STRING_LIMIT:
            raise Refused(f"it claims a text of {size:,} bytes, more than the limit of {STRING_LIMIT:,}")
        try:
            return self.take(size).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refused("it has a text that is not UTF-8") from error

    def value(self) -> Any:
        kind = self.number("<I")
        if kind != LIST:
            return self._one(kind)
        kind, count = self.number("<I"), self.number("<Q")
        if count > ITEMS_LIMIT:
            raise Refused(f"it claims a list of {count:,} items, more than the limit of {ITEMS_LIMIT:,}")
        if kind == STRING:
            return [self.text() for _ in range(count)]
        if kind not in SCALARS:
            raise Refused(f"it has a list of unknown kind {kind}")
        form = f"<{count}{SCALARS[kind][1]}"
        return list(struct.unpack(form, self.take(struct.calcsize(form))))

    def _one(self, kind: int) -> Any:
        if kind == STRING:
            return self.text()
        if kind not in SCALARS:
            raise Refused(f"it has a setting of unknown kind {kind}")
        return self.number(SCALARS[kind])


def read_header(path: Path) -> Header:
    """Settings and tensors of a GGUF file (version 2 or 3, little endian); ModelError says what does not hold."""
    hint = "Download the file again; a whole GGUF file of a llama or qwen2 model is expected."
    try:
        if path.stat().st_size < 32:
            raise Refused("it is too short")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(_Cursor(data))
    except Refused as reason:
        raise ModelError(f"{path} is not a GGUF file that can be read: {reason}.", hint) from reason


def _parse(cursor: _Cursor) -> Header:
    if cursor.take(4) != b"GGUF":
        raise Refused("it does not begin with the letters GGUF")
    version = cursor.number("<I")
    if version not in (2, 3):
        raise Refused(f"its version is {version}, and 2 or 3 is expected")
    tensor_count, setting_count = cursor.number("<Q"), cursor.number("<Q")
    if tensor_count > TENSORS_LIMIT or setting_count > SETTINGS_LIMIT:
        raise Refused(f"it claims {tensor_count:,} tensors and {setting_count:,} settings")
    settings: dict[str, Any] = {}
    for _ in range(setting_count):
        name = cursor.text()
        if name in settings:
            raise Refused(f'it has the setting "{name[:80]}" twice')
        settings[name] = cursor.value()
    entries: dict[str, tuple[int, tuple[int, ...], int]] = {}
    for _ in range(tensor_count):
        name = cursor.text()
        if name in entries:
            raise Refused(f'it has the tensor "{name[:80]}" twice')
        entries[name] = _entry(name, cursor)
    alignment = settings.get("general.alignment", 32)
    if type(alignment) is not int or not 1 <= alignment <= 65_536:
        raise Refused("its alignment is not a number from 1 to 65,536")
    start = -(-cursor.at // alignment) * alignment
    return Header(settings, _blocks(entries, start, len(cursor.data)))


def _entry(name: str, cursor: _Cursor) -> tuple[int, tuple[int, ...], int]:
    rank = cursor.number("<I")
    if not 1 <= rank <= RANK_LIMIT:
        raise Refused(f'its tensor "{name[:80]}" has {rank} dimensions')
    shape = struct.unpack(f"<{rank}Q", cursor.take(8 * rank))
    if not all(1 <= size < 2**32 for size in shape):
        raise Refused(f'its tensor "{name[:80]}" has an impossible shape')
    return cursor.number("<I"), tuple(reversed(shape)), cursor.number("<Q")


def _blocks(entries: dict[str, tuple[int, tuple[int, ...], int]], start: int, end: int) -> dict[str, Block]:
    """Places in the file, none outside of it and no two on the same bytes."""
    blocks: dict[str, Block] = {}
    position = start
    for name, (kind, shape, offset) in sorted(entries.items(), key=lambda entry: entry[1][2]):
        if kind not in BLOCKS:
            raise Refused(f'its tensor "{name[:80]}" is packed in a way (type {kind}) that is not supported')
        per_block, block_bytes = BLOCKS[kind]
        if shape[-1] % per_block:
            raise Refused(f'its tensor "{name[:80]}" does not fill its blocks of {per_block}')
        size = math.prod(shape) // per_block * block_bytes
        if start + offset < position or start + offset + size > end:
            raise Refused(f'its tensor "{name[:80]}" lies outside of the file or on another one: it is cut off')
        position = start + offset + size
        blocks[name] = Block(kind, shape, start + offset, size)
    return blocks
