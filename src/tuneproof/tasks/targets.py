"""A source with its target: two columns of texts, of which the model reads one and writes the other.

    source_and_target(columns, asked)      # Guess("parallel texts", {"text": "en", "target": "de"}, ...) or None
    canonical_pair(row, schema)            # {"text": "Hello.", "target": "Hallo."}

Two columns called like languages are translated in the order of the file; any two columns can be named. Pairs that a
chat model would learn as well (a document with its summary) are left to it unless this task is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tuneproof.config import Data
from tuneproof.errors import DataError, nearest
from tuneproof.records import Column, Guess, Row, Schema
from tuneproof.tasks import chat_layouts
from tuneproof.tasks.rows import Unusable, blank, quoted, written

SURE = 0.985  # more than what other tasks say of the same columns
# fmt: off
LANGUAGES = frozenset((
    "ar", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "he", "hi", "hu", "it", "ja", "ko", "lt", "lv", "nl",
    "no", "pl", "pt", "ro", "ru", "sk", "sl", "sv", "tr", "uk", "zh",
))  # ISO 639-1
# fmt: on
# source column, target columns, sureness: below what ``chat_layouts`` says of the same names
NAMES: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("source", ("target",), 0.95),
    ("src", ("tgt", "trg"), 0.95),
    ("text", ("summary", "tldr", "headline", "translation", "simplified", "rewritten", "corrected"), 0.9),
    ("original", ("simplified", "simple", "rewritten", "corrected", "translation", "target"), 0.9),
    ("complex", ("simple", "simplified"), 0.9),
    *((prompt, responses, 0.7) for prompt, responses, _, _ in chat_layouts.PAIRS),
)


def source_and_target(columns: Sequence[Column], asked: Data) -> Guess | None:
    """The two columns, or None. Columns that were asked for count where the task was asked for too."""
    if asked.text or asked.label:
        return _asked(columns, asked) if asked.task else None
    languages = [column for column in columns if column.name.lower() in LANGUAGES and column.kinds.get("text")]
    if len(languages) == 2:
        reason = (
            f'columns "{languages[0].name}" and "{languages[1].name}" are called like two languages; '
            f"the other way: --task seq2seq --text {languages[1].name} --label {languages[0].name}"
        )
        return _guess("parallel texts", languages[0], languages[1], SURE, reason)
    names = chat_layouts.by_name(columns)
    for source_name, targets, sureness in NAMES:
        target_name = next((name for name in targets if name in names), None)
        if source_name in names and target_name is not None and _text(names[source_name], names[target_name]):
            source, target = names[source_name], names[target_name]
            reason = f'columns "{source.name}" and "{target.name}" are a source and its target by their names'
            return _guess(f"{source_name}+{target_name}", source, target, sureness, reason)
    return None


def _asked(columns: Sequence[Column], asked: Data) -> Guess | None:
    if not (asked.text and asked.label):
        return None
    names = [column.name for column in columns]
    for option, name in (("text", asked.text), ("label", asked.label)):
        if name not in names:
            raise DataError(
                f'there is no column "{name}" (asked for with --{option}); the file has {quoted(names)}.',
                nearest(name, names) or f"Name one of them: --{option} NAME",
            )
    if asked.text == asked.label:
        raise DataError(f'the column "{asked.text}" cannot be both source and target.', "Name two columns.")
    source, target = columns[names.index(asked.text)], columns[names.index(asked.label)]
    reason = f'column "{source.name}" is the source, column "{target.name}" the target, as asked for'
    return _guess("source+target", source, target, 1.0, reason)


def _guess(layout: str, source: Column, target: Column, sureness: float, reason: str) -> Guess:
    return Guess(layout, {"text": source.name, "target": target.name}, sureness, reason)


def _text(*columns: Column) -> bool:
    """Whether all of them hold texts, or numbers here and there, and nothing nested."""
    for column in columns:
        present = column.rows - column.missing
        if not present or column.kinds.get("text", 0) < 0.5 * present:
            return False
    return True


def canonical_pair(row: Row, schema: Schema) -> dict[str, Any]:
    """Both texts as they stand."""
    target = row.get(schema.fields["target"])
    if blank(target):
        raise Unusable("empty answer")
    if isinstance(target, list | dict):
        raise Unusable("target is a list or an object")
    return {**source(row, schema), "target": written(target)}


def source(row: Row, schema: Schema) -> dict[str, Any]:
    """What a model is asked: the source alone."""
    text = row.get(schema.fields["text"])
    if blank(text):
        raise Unusable("empty text")
    if isinstance(text, list | dict):
        raise Unusable("text is a list or an object")
    return {"text": written(text)}
