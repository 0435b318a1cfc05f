"""The rows as the doctor leaves them, as one JSONL file that can be tuned on again.

write_rows(prepared.splits, Path("clean.jsonl"))
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tuneproof.records import Splits
from tuneproof.run import write_atomically


def write_rows(splits: Splits, to: Path) -> int:
    """One line per row with the parts of its task, its group, side, file and line; the number of rows."""
    lines = list(_lines(splits))
    write_atomically(to, ("\n".join(lines) + "\n").encode("utf-8"))
    return len(lines)


def _lines(splits: Splits) -> Iterator[str]:
    for side, table in splits.items():
        for index, row in enumerate(table.rows()):
            parts = {name: value for name, value in row.items() if name != "id" and value is not None}
            where = {"side": side, "file": table.file(index), "line": table.lines[index]}
            yield json.dumps({**parts, **where}, ensure_ascii=False)
