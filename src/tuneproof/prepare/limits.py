"""What is too big to read on an ordinary laptop; a file may be refused before anything of it is unpacked."""

from __future__ import annotations

FILE = 2 * 2**30  # bytes of a file or folder: what still fits the memory together with the model
UNPACKED = (
    2 * 2**30
)  # bytes of the cells of a packed file (Parquet, workbook), as the file itself declares or as counted
ROWS = 50_000_000
CELLS = 100_000_000  # of a workbook, empty ones between the filled ones included: they are laid out in memory
EXPANSION = 500  # times its packed size: no workbook that a person made is packed like that
FILES = 1_000_000  # in a folder
