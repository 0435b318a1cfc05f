"""How a column is recognised as a number to predict, and what its values become.

    text_and_number(columns, asked)        # Guess("text+number", {"text": "review", "target": "score"}, ...) or None
    canonical_number(row, schema)          # {"text": "...", "target": 3.25}

The other reading of a column of numbers is that each of its values names a class. Which of the two it is follows from
all of its values and its name; the reason says so, and how to have it the other way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.records import Column, Guess, Row, Schema, Table
from tuneproof.tasks import pairs
from tuneproof.tasks.chat_layouts import plain
from tuneproof.tasks.layouts import LABEL_NAMES, best_text, column_named, is_number, quoted
from tuneproof.tasks.rows import Unusable, asked_texts, blank

TASK = "text-regression"
AMOUNTS = LABEL_NAMES[2] | {"similarity", "relatedness", "readability", "difficulty", "toxicity_score", "value"}
MOSTLY = 0.95  # of the values that have to be numbers; the others are dropped by name
MOST_CLASSES = 20  # different fractions, which may still be the names of classes
MOST_STEPS = 11  # different whole numbers of a rating, such as 0 to 10, that are classes in their order


def text_and_number(columns: Sequence[Column], asked: Data) -> Guess | None:
    """A text, or a pair, with a number to predict; None where the numbers are names of classes or are not there."""
    found = _number(columns, asked)
    if found is None:
        return None
    target, why = found
    columns = [one for one in columns if one is not target and one.name not in (asked.group, asked.time)]
    both = pairs.halves(columns, asked)
    if both is not None:
        fields = pairs.fields(*both)
        told = " and ".join(quoted([column.name for column in half]) for half in both)
        return Guess("pair+number", {**fields, "target": target.name}, _sureness(target, asked), f"{told}: {why}")
    text = column_named(columns, asked.text, "text") if asked.text else best_text(columns)
    if text is None:
        return None
    fields = {"text": text.name, "target": target.name}
    return Guess("text+number", fields, _sureness(target, asked), f'column "{text.name}" is the text; {why}')


def is_quantity(column: Column, asked_for: bool = False) -> bool:
    """Whether a column holds a number to predict: many fractions, or more whole numbers than a scale has steps."""
    present = column.rows - column.missing
    if not present or column.kinds.get("number", 0) < MOSTLY * present or column.distinct < 3:
        return False
    called = _called(column)
    if any(is_number(value) and not float(value).is_integer() for value in column.values):
        return called or column.distinct > MOST_CLASSES or column.distinct * 5 > present
    known = plain(column.name) in LABEL_NAMES[0] | LABEL_NAMES[1]
    return column.distinct > MOST_STEPS if called else asked_for and not known and column.distinct > MOST_CLASSES


def canonical_number(row: Row, schema: Schema) -> dict[str, Any]:
    """The text or pair, and the number."""
    value: Any = row.get(schema.fields["target"])
    if blank(value):
        raise Unusable("no number")
    texts = asked_texts(row, schema)
    if isinstance(value, bool) or not (isinstance(value, int | float) or is_number(str(value))):
        raise Unusable("not a number")
    if not math.isfinite(float(value)):
        raise Unusable("number that is not finite")
    return {**texts, "target": float(value)}


def check_numbers(table: Table, schema: Schema) -> None:
    """Refuse rows that all have one number: nothing can be learnt from them."""
    numbers = table.columns["target"]
    if len(set(numbers)) == 1:
        raise DataError(
            f"{table.source}, line {table.lines[0]}: all {len(table):,} usable rows have the number {numbers[0]:g} "
            f'(column "{schema.fields["target"]}"); different ones are needed.',
            "Name another column: --label NAME",
        )


def scale(table: Table) -> tuple[float, float] | None:
    """Mean and standard deviation of the numbers to predict in these rows; None where there are none."""
    numbers = table.columns.get("target", ())
    if not numbers or not isinstance(numbers[0], float):
        return None
    mean = math.fsum(numbers) / len(numbers)
    spread = math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / len(numbers))
    return mean, spread or 1.0


def _number(columns: Sequence[Column], asked: Data) -> tuple[Column, str] | None:
    """The column of the number, and why."""
    if asked.label is not None:
        column = column_named(columns, asked.label, "label")
        if asked.task != TASK and not is_quantity(column, asked_for=True):
            return None
        if column.kinds.get("number", 0) * 2 <= column.rows - column.missing:
            return None  # mostly words
        return column, _told(column, "was asked for")
    named = [column for column in columns if _called(column) or plain(column.name) in LABEL_NAMES[0]]
    if asked.task == TASK:
        numbers = [column for column in named if column.kinds.get("number", 0) * 2 > column.rows - column.missing]
    else:
        numbers = [column for column in named if is_quantity(column)]
    if len(numbers) > 1:
        raise DataError(
            f"it is not clear which column is the number: {quoted([column.name for column in numbers])} have an equal "
            "claim.",
            "Say so: --label NAME",
        )
    return (numbers[0], _told(numbers[0], "called like one")) if numbers else None


def _told(column: Column, how: str) -> str:
    return (
        f'column "{column.name}" is a number to predict ({how}, {column.distinct:,} distinct values; '
        "as classes: --task text-classification)"
    )


def _sureness(target: Column, asked: Data) -> float:
    """Of a number called label nearly that of a label; a score may as well be about a prompt and its response."""
    if asked.label is not None:
        return 0.98
    return 0.88 if plain(target.name) in LABEL_NAMES[0] else 0.76


def _called(column: Column) -> bool:
    """Whether its name says an amount: ``score``, ``relatedness_score``."""
    name = plain(column.name)
    return name in AMOUNTS or name.rsplit("_", 1)[-1] in AMOUNTS
