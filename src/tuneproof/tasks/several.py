"""How a column is recognised as holding several labels a row, and what its values become.

    text_and_labels(columns, asked)        # Guess("text+labels divided by ;", {"text": "review", "labels": "topics"})
    canonical_labels(row, schema)          # {"text": "...", "labels": ["price", "service"]}

Labels are a list, in JSON or Parquet, or one text with a sign between them. A sign divides labels only where the pieces
come back in other combinations: "furniture, home" alone is one label with a comma in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tuneproof.config import Data
from tuneproof.errors import DataError, nearest
from tuneproof.records import Column, Guess, Row, Schema, Table
from tuneproof.tasks import pairs
from tuneproof.tasks.chat_layouts import plain
from tuneproof.tasks.layouts import LABEL_NAMES, MOST_LABELS, best_text, column_named, quoted
from tuneproof.tasks.rows import Unusable, asked_texts, blank, written

TASK = "multi-label-classification"
NAMES = LABEL_NAMES[0] | LABEL_NAMES[1] | {f"{name}s" for name in LABEL_NAMES[1]} | {"categories", "genres", "aspects"}
LISTED = "lists of labels"
DIVIDED = {f"labels divided by {sign}": sign for sign in (";", "|", ",")}
OFTEN = 0.05  # share of the different values that have to hold the sign
AGAIN = 0.9  # share of the pieces that have to come back in another value


def text_and_labels(columns: Sequence[Column], asked: Data) -> Guess | None:
    """A text, or a pair, with several labels a row; None where there is one at most."""
    found = column_of_several(columns, asked)
    if found is None:
        return None
    column, how = found
    columns = [one for one in columns if one is not column and one.name not in (asked.group, asked.time)]
    both = pairs.halves(columns, asked)
    if both is not None:
        fields, what = pairs.fields(*both), "the texts are a pair"
    else:
        text = column_named(columns, asked.text, "text") if asked.text else best_text(columns)
        if text is None:
            return None
        fields, what = {"text": text.name}, f'column "{text.name}" is the text'
    reason = f'{what}, column "{column.name}" holds {how}, several a row; as one label: --task text-classification'
    return Guess(f"text+{how}", {**fields, "labels": column.name}, 0.98 if asked.label else 0.87, reason)


def column_of_several(columns: Sequence[Column], asked: Data) -> tuple[Column, str] | None:
    """The column with several labels a row, and how they stand there."""
    if asked.label is not None:
        column = column_named(columns, asked.label, "label")
        how = _holds(column) or (LISTED if asked.task == TASK else None)
        return (column, how) if how else None
    named = [(column, _holds(column)) for column in columns if plain(column.name) in NAMES]
    if asked.task == TASK:  # lists in which something is wrong: which rows, the rows say
        named = [(column, how or (LISTED if _lists(column) else None)) for column, how in named]
    found = [(column, how) for column, how in named if how is not None]
    if len(found) > 1:
        names = quoted([column.name for column, _ in found])
        raise DataError(f"it is not clear which column holds the labels: {names}.", "Say so: --label NAME")
    return found[0] if found else None


def canonical_labels(row: Row, schema: Schema) -> dict[str, Any]:
    """The text or pair, and its labels sorted, each once; an empty list is a row without any."""
    value = row.get(schema.fields["labels"])
    if blank(value) and not isinstance(value, list):
        raise Unusable("no label")
    texts = asked_texts(row, schema)
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, list | dict) for one in value)):
        raise Unusable("label is a list or an object")
    sign = DIVIDED.get(schema.layout.removeprefix("text+"))
    pieces = value if isinstance(value, list) else written(value).split(sign) if sign else [value]
    labels = {written(piece).strip() for piece in pieces if not blank(piece)}
    return {**texts, "labels": sorted(labels)}


def check_several(table: Table, schema: Schema) -> None:
    """Refuse rows whose labels do not differ, and more labels than can be taught."""
    counts = Counter(label for labels in table.columns["labels"] for label in labels)
    column = schema.fields["labels"]
    if not any(count < len(table) for count in counts.values()):
        raise DataError(
            f"{table.source}, line {table.lines[0]}: all {len(table):,} usable rows have the same labels "
            f'(column "{column}").',
            "Name another column: --label NAME",
        )
    if len(counts) > MOST_LABELS:
        raise DataError(
            f'{table.source}: the column "{column}" holds {len(counts):,} different labels; {MOST_LABELS:,} at most.',
            "Leave rare ones out, or name another column: --label NAME",
        )


def label_names(*tables: Table) -> tuple[str, ...]:
    """All labels that stand in these rows, sorted; () for rows of another task."""
    found = {label for table in tables for labels in table.columns.get("labels", ()) for label in labels}
    return tuple(sorted(found))


def check_known(table: Table, known: Sequence[str]) -> None:
    """DataError naming the first row with a label that no training row could have taught."""
    for index, labels in enumerate(table.columns.get("labels", ())):
        for label in labels:
            if label not in known:
                raise DataError(
                    f'{table.file(index)}, line {table.lines[index]}: the label "{label}" is not among the '
                    f"{len(known)} of the training file.",
                    nearest(label, list(known)) or "Correct or remove the rows with it.",
                )


def _holds(column: Column) -> str | None:
    """How several labels stand in a column; None where one stands there."""
    present = column.rows - column.missing
    if column.kinds.get("list", 0):
        return LISTED if _lists(column) and not column.keys else None
    if not present or column.kinds.get("text", 0) < 0.9 * present or column.mean_chars > 120:
        return None
    return next((how for how, sign in DIVIDED.items() if _divides(sign, column.values)), None)


def _lists(column: Column) -> bool:
    return column.kinds.get("list", 0) >= 0.9 * max(1, column.rows - column.missing)


def _divides(sign: str, values: Sequence[str]) -> bool:
    """Whether the pieces between the sign are labels: they come back in other values."""
    with_it = [value for value in values if sign in value]
    if len(with_it) < max(2, OFTEN * len(values)):
        return False
    pieces = [{piece.strip() for piece in value.split(sign) if piece.strip()} for value in values]
    counts = Counter(piece for each in pieces for piece in each)
    several = {piece for value, each in zip(values, pieces, strict=True) if sign in value for piece in each}
    return sum(counts[piece] > 1 for piece in several) >= AGAIN * len(several) and len(several) <= MOST_LABELS
