"""The safetensors format, read and written by hand: a header that is checked before anybody maps the file.

    header = read_header(Path("model.safetensors"))        # name -> Tensor(dtype, shape, begin, end)

A file is eight bytes of header length, a JSON header, and the numbers. Only the header is read, so a file of any size
costs a few megabytes here. It deliberately does not load weights: that is left to the safetensors package, later.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tuneproof.errors import ModelError

HEADER_LIMIT = 10_000_000  # bytes; a model of 100,000 tensors needs about this much
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
}  # fmt: skip
RANK_LIMIT = 8

if TYPE_CHECKING:  # numpy takes a tenth of a second to import, and admission does without
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


class Tensor(NamedTuple):
    """One entry of the header; ``begin`` and ``end`` count bytes from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Refused(ValueError):
    """Why a piece of a file is not acceptable; the caller knows which file and makes a ModelError of it."""


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file after every check; ModelError names the file and the first thing wrong."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(8)
            if len(head) < 8:
                raise Refused(f"it has {size} bytes, and a safetensors file has at least 8")
            (length,) = struct.unpack("<Q", head)
            if length > HEADER_LIMIT:
                raise Refused(f"its header claims {length:,} bytes, more than the limit of {HEADER_LIMIT:,}")
            if length > size - 8:
                raise Refused(f"its header claims {length:,} bytes, but only {size - 8:,} follow: the file is cut off")
            return check_header(file.read(length), size - 8 - length)
    except Refused as reason:
        raise ModelError(
            f"{path} is not a safetensors file that can be loaded: {reason}.",
            "Download it again, or save the model again with save_pretrained().",
        ) from reason


def check_header(raw: bytes, data_bytes: int) -> dict[str, Tensor]:
    """The header as tensors: known dtypes, unique names, ranges that tile the ``data_bytes`` without gap or overlap."""
    header = _parse(raw)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Refused("its metadata is not a table of strings")
    tensors = {name: _tensor(name, entry) for name, entry in header.items()}
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != position:
            kind = "overlaps the tensor before it" if tensor.begin < position else "leaves a gap before it"
            raise Refused(f'tensor "{name}" {kind}')
        position = tensor.end
    if position != data_bytes:
        raise Refused(f"its tensors need {position:,} bytes, but {data_bytes:,} are there")
    return tensors


def _parse(raw: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise Refused("its header names something twice")
        return table

    if not raw.startswith(b"{"):
        raise Refused("its header does not begin with a brace")
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, Refused) else Refused("its header is not JSON") from error
    if not isinstance(header, dict):
        raise Refused("its header is not a JSON object")
    return header


def _tensor(name: str, entry: object) -> Tensor:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise Refused(f'tensor "{name}" does not have exactly dtype, shape and data_offsets')
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise Refused(f'tensor "{name}" has an unknown dtype')
    if not isinstance(shape, list) or len(shape) > RANK_LIMIT or not all(_natural(size) for size in shape):
        raise Refused(f'tensor "{name}" has an impossible shape')
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_natural(offset) for offset in offsets):
        raise Refused(f'tensor "{name}" has impossible offsets')
    begin, end = offsets
    need = math.prod(shape) * DTYPE_BITS[dtype] // 8
    if end - begin != need:
        raise Refused(f'tensor "{name}" needs {need:,} bytes for its shape, but its offsets span {end - begin:,}')
    return Tensor(dtype, tuple(shape), begin, end)


def _natural(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**48


def write(path: Path, shapes: Mapping[str, tuple[str, tuple[int, ...]]], arrays: Iterable[Array]) -> None:
    """Stream ``arrays`` (in the order of ``shapes``: name -> dtype, shape) to ``path``, one in memory at a time."""
    import numpy as np

    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, (dtype, shape) in shapes.items():
        end = position + math.prod(shape) * DTYPE_BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)  # the numbers begin at a multiple of eight
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for array in arrays:
            file.write(np.ascontiguousarray(array).data)
        assert file.tell() == 8 + len(raw) + position, "arrays do not fit their announced shapes"


def to_bfloat16(array: Array) -> Array:
    """Float32 rounded to the nearest bfloat16 (ties to even), as the uint16 bit patterns that the file stores."""
    import numpy as np

    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    rounded: Array = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return rounded
