"""How the columns of a file are recognised as the two texts of a pair: products to match, a premise and a hypothesis.

    pair_and_label(columns, asked)     # Guess("pair+label", {"text": "left_title", "second": "right_title", ...}, ...)

A half may be several columns (``left_title``, ``left_price``), which become one text, "; " between their values. All of
them stand in the guess, as "text", "text 2" and so on, so that a run remembers what its model reads.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuneproof.config import Data
from tuneproof.errors import ConfigError
from tuneproof.records import Column, Guess
from tuneproof.tasks.chat_layouts import plain
from tuneproof.tasks.layouts import LABEL_NAMES, column_named, is_free_text
from tuneproof.tasks.rows import quoted

SURE = 0.985  # more than what is said of one of the two texts alone, less than what is named as something else still
PREFIXES = (("left_", "right_"), ("ltable_", "rtable_"), ("a_", "b_"), ("first_", "second_"))
SUFFIXES = (("_left", "_right"), ("_a", "_b"), ("_1", "_2"))
NAMES = (
    ("sentence1", "sentence2"), ("text1", "text2"), ("question1", "question2"), ("premise", "hypothesis"),
    ("text_a", "text_b"), ("text", "second"), ("query", "passage"), ("query", "document"),
)  # fmt: skip
LABELS = LABEL_NAMES[0] | {"is_duplicate", "is_match", "match", "same", "gold_label", "relation", "entailment"}


def pair_and_label(columns: Sequence[Column], asked: Data) -> Guess | None:
    """Two texts and a label; None for a file without them, or where one text alone was asked for."""
    label = column_named(columns, asked.label, "label") if asked.label else None
    if label is None:
        label = next((column for column in columns if plain(column.name) in LABELS), None)
    found = halves([column for column in columns if column is not label], asked)
    if label is None or found is None:
        return None
    told = " and ".join(quoted([column.name for column in half]) for half in found)
    reason = f'the columns {told} are the two texts of a pair, column "{label.name}" the label'
    return Guess("pair+label", {**fields(*found), "label": label.name}, 1.0 if asked.second else SURE, reason)


def fields(first: Sequence[Column], second: Sequence[Column]) -> dict[str, str]:
    """The parts that the columns of both texts play: "text", "text 2", ..., "second", "second 2", ..."""
    return {**_parts("text", first), **_parts("second", second)}


def halves(columns: Sequence[Column], asked: Data) -> tuple[list[Column], list[Column]] | None:
    """The columns of the first text and those of the second, as they were asked for or by their names."""
    if asked.second is not None:
        if asked.text is None:
            raise ConfigError("data.second is the second text of a pair; the first is missing.", "Name it: --text NAME")
        first, second = (column_named(columns, name, "text") for name in (asked.text, asked.second))
        return [first], [second]
    if asked.text is not None:
        return None
    named = {plain(column.name): column for column in columns if column.missing < column.rows}
    for one, other in NAMES:
        if one in named and other in named and _free([named[one], named[other]]):
            return [named[one]], [named[other]]
    for pairs in (PREFIXES, SUFFIXES):
        for one, other in pairs:
            both = [(name, named[name], _counterpart(name, one, other, pairs is PREFIXES)) for name in named]
            found = [(column, named[there]) for _, column, there in both if there in named]
            if found and _free([column for pair in found for column in pair]):
                return [column for column, _ in found], [column for _, column in found]
    return None


def _counterpart(name: str, one: str, other: str, begins: bool) -> str:
    """``left_title`` -> ``right_title``; "" for a name of another kind."""
    if begins:
        return other + name.removeprefix(one) if name.startswith(one) else ""
    return name.removesuffix(one) + other if name.endswith(one) else ""


def _free(columns: Sequence[Column]) -> bool:
    return any(is_free_text(column) for column in columns)


def _parts(part: str, columns: Sequence[Column]) -> dict[str, str]:
    return {part if not at else f"{part} {at + 1}": column.name for at, column in enumerate(columns)}
