"""How the columns of a file are recognised as the layout of a task.

    text_and_label(columns, asked)     # Guess("text+label", {"text": "review", "label": "stars"}, ...) or None

Recognition uses facts over all rows (``records.Column``) and the names of columns, never the first row; two columns
with an equal claim are a question to the user. Instruction data is recognised in ``chat_layouts``; what a row of a
recognised file becomes is in ``rows`` and ``messages``. Their names are offered here too: a task needs one import.
Nothing here reads a file or knows a model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tuneproof.config import Data
from tuneproof.errors import DataError, nearest
from tuneproof.records import Column, Guess
from tuneproof.tasks.alike import canonical_alike, pairs_or_triplets, with_label
from tuneproof.tasks.chat_layouts import PARTS, chat, one_layout, other, plain
from tuneproof.tasks.messages import canonical_messages, prompt_messages
from tuneproof.tasks.rows import (
    Unusable,
    asked_texts,
    canonical_text,
    check_labels,
    label_set,
    last_answer,
    question,
    quoted,
    remarks,
    spoken,
)
from tuneproof.tasks.targets import canonical_pair, source, source_and_target

__all__ = [
    "Unusable",
    "alike",
    "asked_texts",
    "canonical_alike",
    "canonical_messages",
    "canonical_pair",
    "canonical_text",
    "chat",
    "check_labels",
    "column_named",
    "facts",
    "is_known_name",
    "is_number",
    "label_set",
    "last_answer",
    "one_layout",
    "other",
    "prompt_messages",
    "question",
    "quoted",
    "remarks",
    "source",
    "source_and_target",
    "spoken",
    "text_and_label",
]

# Names that people give to columns, surest first.
TEXT_NAMES = (
    frozenset(
        (
            "text",
            "sentence",
            "review",
            "utterance",
            "content",
            "message",
            "comment",
            "tweet",
            "document",
            "body",
            "post",
            "sms",
        )
    ),
    frozenset(
        ("title", "headline", "question", "query", "subject", "description", "context", "abstract", "input", "prompt")
    ),
)
LABEL_NAMES = (
    frozenset(("label", "labels", "target", "class", "y", "gold", "annotation")),
    frozenset(
        (
            "intent",
            "category",
            "sentiment",
            "topic",
            "tag",
            "emotion",
            "polarity",
            "type",
            "level",
            "spam",
            "toxicity",
            "toxic",
        )
    ),
    frozenset(("rating", "stars", "score", "grade")),
)
MOST_LABELS = 1000
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
UNSPACED = re.compile(r"[぀-ヿ㐀-鿿가-힯฀-๿]")  # scripts that write words without spaces between them


# -- recognising


def text_and_label(columns: Sequence[Column], asked: Data) -> Guess | None:
    """A text column with a label column. DataError when two columns have an equal claim, or an asked one is missing."""
    text = column_named(columns, asked.text, "text") if asked.text else None
    label = column_named(columns, asked.label, "label") if asked.label else None
    columns = [column for column in columns if column.name not in (asked.group, asked.time)]
    why_text = why_label = "was asked for"
    sureness = 1.0
    if text is None:
        texts = [(_text_rank(column), column) for column in columns if column is not label]
        found = _best_text([pair for pair in texts if pair[0] >= 0])
        if found is None:
            return None
        text, rank, why_text = found
        sureness -= 0.02 if rank else 0.07
    if label is None:
        labels = [(_label_rank(column), column) for column in columns if column is not text]
        one = _best_label([pair for pair in labels if pair[0] >= 0])
        if one is None:
            return None
        label, rank, why_label = one
        sureness -= (0.48, 0.4, 0.25, 0.1, 0.06)[rank]
    if text is label:
        raise DataError(f'the column "{text.name}" cannot be both the text and the label.', "Name two columns.")
    reason = f'column "{text.name}" is the text ({why_text}), column "{label.name}" the label ({why_label})'
    return Guess("text+label", {"text": text.name, "label": label.name}, sureness, reason)


def best_text(columns: Sequence[Column]) -> Column | None:
    """The column that is most a text; DataError where two have an equal claim."""
    ranked = [(_text_rank(column), column) for column in columns]
    found = _best_text([pair for pair in ranked if pair[0] >= 0])
    return found[0] if found else None


def alike(columns: Sequence[Column], asked: Data) -> Guess | None:
    """Pairs or triplets of texts; any text with a label where the task was asked for."""
    found = None if asked.text or asked.label else pairs_or_triplets(columns)
    if found is not None or asked.task is None:
        return found
    labelled = text_and_label(columns, asked)
    return None if labelled is None else with_label(labelled)


def facts(column: Column) -> str:
    """``free text, 54 characters on average, 10,003 of 10,003 rows``: what a person is told about a column."""
    present = column.rows - column.missing
    rows = f"{present:,} of {column.rows:,} rows"
    if not present:
        return "empty"
    if column.kinds.get("list", 0) or column.kinds.get("object", 0):
        what = "lists" if column.kinds.get("list", 0) else "objects"
        named = [key for key in column.keys if not key.endswith("[]")]
        keys = f" of {{{', '.join(named[:4])}}}" if named else ""
        return f"{what}{keys}, {rows}"
    if is_free_text(column):
        return f"free text, {column.mean_chars:.0f} characters on average, {rows}"
    what = "numbers" if column.kinds.get("number", 0) * 2 > present else "short texts"
    return f"{what}, {column.distinct:,} distinct {'value' if column.distinct == 1 else 'values'}, {rows}"


def is_number(value: str) -> bool:
    return NUMBER.fullmatch(value.strip()) is not None


def is_known_name(name: str) -> bool:
    """Whether a column of this name plays a part in some layout."""
    return any(plain(name) in known for known in (*TEXT_NAMES, *LABEL_NAMES)) or plain(name) in PARTS


def column_named(columns: Sequence[Column], name: str, option: str) -> Column:
    """The column ``name``; DataError with the nearest name and all that there are."""
    names = [column.name for column in columns]
    if name not in names:
        raise DataError(
            f'there is no column "{name}" (asked for with --{option}); the file has {quoted(names)}.',
            nearest(name, names) or f"Name one of them: --{option} NAME",
        )
    return columns[names.index(name)]


def _tier(name: str, tiers: Sequence[frozenset[str]]) -> int:
    """How sure a name is: len(tiers) for the first tier, down to 1; 0 when it is in none. ``review_text`` is a text."""
    called = plain(name)
    for words in (called, called.rsplit("_", 1)[-1]):
        for depth, tier in enumerate(tiers):
            if words in tier:
                return len(tiers) - depth
    return 0


def _is_text(column: Column, share: float = 0.9) -> bool:
    present = column.rows - column.missing
    return present > 0 and column.kinds.get("text", 0) >= share * present


def is_free_text(column: Column, share: float = 0.9) -> bool:
    """Several words each, and mostly different from row to row; ``share`` of them are no numbers."""
    if not _is_text(column, share) or column.mean_chars < 12 or column.distinct < 0.1 * (column.rows - column.missing):
        return False
    several = sum(" " in value.strip() or UNSPACED.search(value) is not None for value in column.values)
    return several * 2 >= len(column.values)


def is_short(column: Column) -> bool:
    """Whether it holds no texts, lists or objects: numbers, names, codes, or nothing."""
    nested = column.kinds.get("list", 0) or column.kinds.get("object", 0)
    return not nested and not is_free_text(column)


def _text_rank(column: Column) -> int:
    """2 and 1: called like a text, surest first; 0: free text under another name; -1: not a text."""
    tier = _tier(column.name, TEXT_NAMES)
    share = 0.5 if tier == 2 else 0.9  # turns of a chat that are called texts may be numbers: of an account, of days
    if is_free_text(column, share):
        return tier
    called = tier == 2 and _is_text(column, share) and column.distinct * 2 > column.rows - column.missing
    return tier if called else -1


def _best_text(ranked: list[tuple[int, Column]]) -> tuple[Column, int, str] | None:
    """The longest of the best rank; DataError when another one is about as long."""
    if not ranked:
        return None
    ranked.sort(key=lambda pair: (pair[0], pair[1].mean_chars), reverse=True)
    rank, best = ranked[0]
    rivals = [column for other, column in ranked[1:] if other == rank and column.mean_chars >= 0.7 * best.mean_chars]
    if rivals:
        raise DataError(
            f"it is not clear which column is the text: {quoted([best.name, *(rival.name for rival in rivals)])} "
            "have an equal claim.",
            "Say so: --text NAME --label NAME",
        )
    why = "called like one" if rank else "free text"
    if len(ranked) > 1:
        others = quoted([column.name for _, column in ranked[1:]])
        why += f", longer or surer than {others}"
    return best, rank, why


def _label_rank(column: Column) -> int:
    """4 to 2: called like a label, surest first; 1: few short values; 0: few whole numbers; -1: not a label."""
    present = column.rows - column.missing
    text, number = column.kinds.get("text", 0), column.kinds.get("number", 0)
    if not present or text + number < 0.99 * present or column.distinct > MOST_LABELS:
        return -1
    few = column.distinct * 5 <= present and column.distinct > 1
    tier = _tier(column.name, LABEL_NAMES)
    if number * 2 > present:
        fractions = any(is_number(value) and not float(value).is_integer() for value in column.values)
        if fractions and not (tier >= 2 and few and column.distinct <= 20):
            return -1  # a number to predict, or a price
        if tier >= 2:
            return tier + 1 if column.distinct <= 20 or few else -1
        return (2 if tier else 0) if few and column.distinct <= 11 else -1
    if text and column.mean_chars > 60:
        return -1
    if tier:
        return tier + 1 if column.distinct <= 20 or column.distinct * 3 <= present * 2 else -1
    return 1 if few else -1


def _best_label(ranked: list[tuple[int, Column]]) -> tuple[Column, int, str] | None:
    if not ranked:
        return None
    ranked.sort(key=lambda pair: pair[0], reverse=True)
    rank, best = ranked[0]
    rivals = [column.name for other, column in ranked[1:] if other == rank]
    exact = plain(best.name) == "label" and rank == 4
    if rivals and not exact:
        raise DataError(
            f"it is not clear which column is the label: {quoted([best.name, *rivals])} have an equal claim.",
            "Say so: --text NAME --label NAME",
        )
    why = "called like one" if rank > 1 else "the one column of few values"
    return best, rank, f"{why}, {best.distinct:,} distinct {'value' if best.distinct == 1 else 'values'}"
