"""Tasks whose files the doctor can examine, though no method tunes a model for them yet. READABLE is the table.

    READABLE["translation"].recognise(columns, asked)

``tuneproof check`` asks these beside TASKS; ``tune`` does not, and refuses such a file by the name of its layout. A row
becomes its text, for the checks that read texts, and the parts of the task, for the ledger and the id. When a task is
built, its row moves from here to TASKS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tuneproof.config import Data
from tuneproof.records import Column, Guess, Row, Schema, Table
from tuneproof.tasks.rows import check_labels
from tuneproof.tasks.tables import Canonical, canonical_rows

SURE = 0.985  # more than what TASKS say of the same columns, less than what is named as something else still


@dataclass(frozen=True, slots=True)
class Readable:
    """One such task: the columns that make it known, and what a row becomes."""

    known: Callable[[Sequence[Column]], Guess | None]
    parts: Callable[[Row, Schema], dict[str, Any]]

    def recognise(self, columns: Sequence[Column], asked: Data) -> Guess | None:
        return None if asked.text or asked.label else self.known(columns)

    def canonical(self, row: Row, schema: Schema) -> dict[str, Any]:
        return self.parts(row, schema)

    def canonical_columns(self, table: Table, schema: Schema) -> Canonical:
        return canonical_rows(table, schema, self.parts)

    def check(self, table: Table, schema: Schema) -> None:
        if "label" in schema.fields:
            check_labels(table, schema)

    def texts(self, row: Row) -> tuple[str, str]:
        """The text, and the truth as a person reads it."""
        truth = next(value for name, value in row.items() if name in ("label", "target"))
        return str(row["text"]), truth if isinstance(truth, str) else " ".join(map(str, truth))


READABLE: dict[str, Readable] = {}  # every task that is recognised can be tuned for
