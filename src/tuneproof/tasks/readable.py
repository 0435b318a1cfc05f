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
from tuneproof.tasks.rows import Unusable, blank, check_labels, written
from tuneproof.tasks.tables import Canonical, canonical_rows

SURE = 0.985  # more than what TASKS say of the same columns, less than what is named as something else still
# fmt: off
LANGUAGES = frozenset((
    "ar", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "he", "hi", "hu", "it", "ja", "ko", "lt", "lv", "nl",
    "no", "pl", "pt", "ro", "ru", "sk", "sl", "sv", "tr", "uk", "zh",
))  # ISO 639-1
# fmt: on


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


def _named(columns: Sequence[Column], *names: str) -> Column | None:
    return next((column for name in names for column in columns if column.name.lower() == name), None)


def _languages(columns: Sequence[Column]) -> Guess | None:
    found = [column for column in columns if column.name.lower() in LANGUAGES and column.kinds.get("text")]
    if len(found) != 2:
        return None
    source, target = found
    reason = f'columns "{source.name}" and "{target.name}" are called like two languages'
    return Guess("parallel texts", {"text": source.name, "target": target.name}, SURE, reason)


def _parallel(row: Row, schema: Schema) -> dict[str, Any]:
    text, target = row.get(schema.fields["text"]), row.get(schema.fields["target"])
    if blank(text):
        raise Unusable("empty text")
    if blank(target):
        raise Unusable("empty answer")
    return {"text": written(text), "target": written(target)}


READABLE: dict[str, Readable] = {
    "translation": Readable(_languages, _parallel),
}
