"""How the columns of a file are recognised as the layout of a task.

    text_and_label(columns, asked)     # Guess("text+label", {"text": "review", "label": "stars"}, ...) or None
    chat(columns, asked)               # Guess("messages", {"messages": "messages"}, ...) or None

Recognition uses facts over all rows (``records.Column``) and the names of columns, never the first row; two columns
with an equal claim are a question to the user. What a row of a recognised file becomes is in ``rows``, whose names are
offered here too: a task needs one import. Nothing here reads a file or knows a model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tuneproof.config import Data
from tuneproof.errors import DataError, nearest
from tuneproof.records import Column, Guess
from tuneproof.tasks.rows import (
    Unusable,
    canonical_messages,
    canonical_text,
    check_labels,
    label_set,
    prompt_messages,
    question,
    quoted,
    remarks,
)

__all__ = [
    "Unusable",
    "canonical_messages",
    "canonical_text",
    "chat",
    "check_labels",
    "column_named",
    "facts",
    "is_known_name",
    "is_number",
    "label_set",
    "other",
    "prompt_messages",
    "question",
    "quoted",
    "remarks",
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
# prompt column, response column, optional input column, sureness: the surest pair that a file has is taken
PAIRS: tuple[tuple[str, tuple[str, ...], tuple[str, ...], float], ...] = (
    ("instruction", ("output", "response", "completion", "answer"), ("input", "context"), 0.97),
    ("prompt", ("response", "completion", "answer", "output"), (), 0.93),
    ("question", ("answer", "response"), (), 0.85),
    ("document", ("summary", "tldr"), (), 0.8),
    ("article", ("summary", "highlights", "tldr"), (), 0.8),
    ("dialogue", ("summary", "section_text", "note"), (), 0.8),
)
# What is recognised and named, but has no task yet: name, columns of which one each must be there, sureness
OTHERS: tuple[tuple[str, tuple[tuple[str, ...], ...], float], ...] = (
    ("preference pairs (chosen and rejected)", (("chosen",), ("rejected",)), 0.99),
    ("token classification", (("tokens", "words"), ("ner_tags", "tags", "pos_tags", "labels")), 0.98),
    ("extractive question answering", (("question",), ("context",), ("answers", "answer_start")), 0.98),
)
MOST_LABELS = 1000
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
UNSPACED = re.compile(r"[぀-ヿ㐀-鿿가-힯฀-๿]")  # scripts that write words without spaces between them


# -- recognising


def text_and_label(columns: Sequence[Column], asked: Data) -> Guess | None:
    """A text column with a label column. DataError when two columns have an equal claim, or an asked one is missing."""
    text = column_named(columns, asked.text, "text") if asked.text else None
    label = column_named(columns, asked.label, "label") if asked.label else None
    columns = [column for column in columns if column.name != asked.group]
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


def chat(columns: Sequence[Column], asked: Data) -> Guess | None:
    """Messages, or a prompt with a response. DataError for a mixture of two ways to write messages."""
    if asked.text or asked.label:
        return None
    return _messages(columns) or _pair(columns)


def other(columns: Sequence[Column]) -> Guess | None:
    """A layout that is known by name and has no task yet."""
    names = _by_name(columns)
    for layout, groups, sureness in OTHERS:
        found = [next((names[name] for name in group if name in names), None) for group in groups]
        there = [column for column in found if column is not None]
        if len(there) == len(groups):
            told = " and ".join(f'"{column.name}"' for column in there)
            return Guess(layout, {}, sureness, f"the columns {told}")
    return None


def facts(column: Column) -> str:
    """``free text, 54 characters on average, 10,003 of 10,003 rows``: what a person is told about a column."""
    present = column.rows - column.missing
    rows = f"{present:,} of {column.rows:,} rows"
    if not present:
        return "empty"
    if column.kinds.get("list", 0) or column.kinds.get("object", 0):
        what = "lists" if column.kinds.get("list", 0) else "objects"
        keys = f" of {{{', '.join(list(column.keys)[:4])}}}" if column.keys else ""
        return f"{what}{keys}, {rows}"
    if _is_free_text(column):
        return f"free text, {column.mean_chars:.0f} characters on average, {rows}"
    what = "numbers" if column.kinds.get("number", 0) * 2 > present else "short texts"
    return f"{what}, {column.distinct:,} distinct {'value' if column.distinct == 1 else 'values'}, {rows}"


def is_number(value: str) -> bool:
    return NUMBER.fullmatch(value.strip()) is not None


def is_known_name(name: str) -> bool:
    """Whether a column of this name plays a part in some layout."""
    return any(_plain(name) in known for known in (*TEXT_NAMES, *LABEL_NAMES)) or _plain(name) in _PARTS


_PARTS = {part for prompt, responses, inputs, _ in PAIRS for part in (prompt, *responses, *inputs)} | {
    "id", "messages", "conversation", "conversations", "system", "source", "date", "user", "author", "group",
}  # fmt: skip


def column_named(columns: Sequence[Column], name: str, option: str) -> Column:
    """The column ``name``; DataError with the nearest name and all that there are."""
    names = [column.name for column in columns]
    if name not in names:
        raise DataError(
            f'there is no column "{name}" (asked for with --{option}); the file has {quoted(names)}.',
            nearest(name, names) or f"Name one of them: --{option} NAME",
        )
    return columns[names.index(name)]


def _plain(name: str) -> str:
    return re.sub(r"[\s\-.]+", "_", name.strip().lower())


def _by_name(columns: Sequence[Column]) -> dict[str, Column]:
    return {_plain(column.name): column for column in reversed(columns)}


def _tier(name: str, tiers: Sequence[frozenset[str]]) -> int:
    """How sure a name is: len(tiers) for the first tier, down to 1; 0 when it is in none. ``review_text`` is a text."""
    plain = _plain(name)
    for words in (plain, plain.rsplit("_", 1)[-1]):
        for depth, tier in enumerate(tiers):
            if words in tier:
                return len(tiers) - depth
    return 0


def _is_text(column: Column) -> bool:
    present = column.rows - column.missing
    return present > 0 and column.kinds.get("text", 0) >= 0.9 * present


def _is_free_text(column: Column) -> bool:
    """Several words each, and mostly different from row to row."""
    if not _is_text(column) or column.mean_chars < 12 or column.distinct < 0.1 * (column.rows - column.missing):
        return False
    several = sum(" " in value.strip() or UNSPACED.search(value) is not None for value in column.values)
    return several * 2 >= len(column.values)


def _text_rank(column: Column) -> int:
    """2 and 1: called like a text, surest first; 0: free text under another name; -1: not a text."""
    tier = _tier(column.name, TEXT_NAMES)
    if _is_free_text(column):
        return tier
    called = tier == 2 and _is_text(column) and column.distinct * 2 > column.rows - column.missing
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
    exact = _plain(best.name) == "label" and rank == 4
    if rivals and not exact:
        raise DataError(
            f"it is not clear which column is the label: {quoted([best.name, *rivals])} have an equal claim.",
            "Say so: --text NAME --label NAME",
        )
    why = "called like one" if rank > 1 else "the one column of few values"
    return best, rank, f"{why}, {best.distinct:,} distinct {'value' if best.distinct == 1 else 'values'}"


def _messages(columns: Sequence[Column]) -> Guess | None:
    """A column of lists of {role, content} or {from, value}."""
    found = []
    for column in columns:
        openai = min(column.keys.get("role", 0), column.keys.get("content", 0))
        sharegpt = min(column.keys.get("from", 0), column.keys.get("value", 0))
        if not column.kinds.get("list", 0) or not (openai or sharegpt):
            continue
        if openai and sharegpt:
            raise DataError(
                f'the column "{column.name}" mixes two layouts: {openai:,} messages have role and content, '
                f"{sharegpt:,} have from and value.",
                "Write them all in one way.",
            )
        found.append((column, "messages" if openai else "conversations", openai or sharegpt))
    if not found:
        return None
    found.sort(key=lambda one: _plain(one[0].name).startswith(("message", "conversation")), reverse=True)
    if len(found) > 1 and not _plain(found[0][0].name).startswith(("message", "conversation")):
        names = quoted([one[0].name for one in found])
        raise DataError(f"several columns hold messages: {names}.", 'Keep one, and call it "messages".')
    column, layout, count = found[0]
    keys = "role and content" if layout == "messages" else "from and value"
    fields = {"messages": column.name, **_extra(columns, ("system", "tools"))}
    return Guess(layout, fields, 0.99, f'column "{column.name}" holds {count:,} messages with {keys}')


def _extra(columns: Sequence[Column], parts: Sequence[str]) -> dict[str, str]:
    """Optional parts that have a column with something in it."""
    names = _by_name(columns)
    return {part: names[part].name for part in parts if part in names and names[part].missing < names[part].rows}


def _pair(columns: Sequence[Column]) -> Guess | None:
    """A column with a prompt and one with the answer to it."""
    names = _by_name(columns)
    for prompt, responses, inputs, sureness in PAIRS:
        response = next((name for name in responses if name in names), None)
        if prompt not in names or response is None or not _answers(names[response], named=sureness > 0.9):
            continue
        fields = {
            "prompt": names[prompt].name,
            "response": names[response].name,
            **_extra(columns, ("system", "history")),
        }
        given = next((name for name in inputs if name in names and names[name].missing < names[name].rows), None)
        if given:
            fields["input"] = names[given].name
        layout = f"{prompt}+{response}"
        reason = f'columns "{names[prompt].name}" and "{names[response].name}" are a prompt and the answer to it'
        return Guess(layout, fields, sureness, reason)
    return None


def _answers(column: Column, *, named: bool) -> bool:
    """Whether a column can be generated text: no lists, and no few fixed values unless its name leaves no doubt."""
    present = column.rows - column.missing
    plain = column.kinds.get("text", 0) + column.kinds.get("number", 0)
    if not present or plain < 0.99 * present:
        return False
    return named or column.distinct * 5 > present
