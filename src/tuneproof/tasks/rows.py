"""A row of a file becomes the parts that a task works on, and what can be said about rows in that form.

    canonical_text(row, schema)        # {"text": "arrived broken", "label": "negative"}

A row that has not got what the task needs raises ``Unusable`` with a short reason for the ledger: nothing is flattened,
cut, merged or invented to make it usable. Which columns play which part was decided in ``layouts``; what becomes of
conversations is in ``messages``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from tuneproof.errors import DataError, nearest
from tuneproof.records import Row, Schema, Table
from tuneproof.tasks import columns

# Why a row cannot be used -> what a program calls it. The first seven codes are those of OpenAI's validator of chat
# data, spelt as it spells them.
REASONS = {
    "a message is not an object": "data_type",
    "messages are not a list": "data_type",
    "message content is an object": "data_type",
    "text is a list or an object": "data_type",
    "label is a list or an object": "data_type",
    "not one tag for each word": "data_type",
    "tags are not names such as B-PER": "data_type",
    "a tag that its scheme does not know": "unknown_tag",
    "a tag without its start": "unknown_tag",
    "an entity without its end": "unknown_tag",
    "entities are not a list": "data_type",
    "an entity without start, end and type": "data_type",
    "an entity outside of the text": "bad_span",
    "an entity that is not what stands there": "bad_span",
    "an entity that ends within a word": "bad_span",
    "entities that overlap": "bad_span",
    "an answer without the place where it stands": "bad_span",
    "an answer that does not stand where it should": "bad_span",
    "not one place for each answer": "bad_span",
    "an answer to a question that is said to have none": "bad_span",
    "an answer longer than a window of its context": "too_long",
    "a question that leaves no room for its context": "too_long",
    "no word that the tokenizer knows": "empty_text",
    "no messages": "missing_messages_list",
    "message without a role": "message_missing_key",
    "message without content": "message_missing_key",
    "reasoning kept apart from the answer": "message_unrecognized_key",
    "refusal kept apart from the answer": "message_unrecognized_key",
    "unrecognised role": "unrecognized_role",
    "empty answer": "missing_content",
    "no assistant turn": "example_missing_assistant_message",
    "empty text": "empty_text",
    "empty second text": "empty_text",
    "no label": "empty_label",
    "no number": "empty_label",
    "not a number": "data_type",
    "number that is not finite": "data_type",
    "bad turn order": "bad_turn_order",
    "two system prompts": "bad_turn_order",
    "images in a message": "unsupported_content",
    "audio in a message": "unsupported_content",
    "video in a message": "unsupported_content",
    "files in a message": "unsupported_content",
    "tool calls in content parts": "unsupported_content",
    "content parts of an unknown type": "unsupported_content",
    "earlier turns in a history column": "unsupported_history",
    "tool call that cannot be read": "unreadable_tool_call",
    "list of tools that cannot be read": "unreadable_tools",
    "tool calls that the model's chat template does not show": "unsupported_tool_calls",
    "message weight that is negative or no number": "unsupported_weight",
    "weight on a message that is not the assistant's": "unsupported_weight",
    "every answer has the weight 0": "no_loss_tokens",
    "target is a list or an object": "data_type",
    "target longer than the model can write": "target_too_long",
}
WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,17})(\.0{0,9})?")


class Unusable(Exception):
    """A row without what the task needs; ``reason`` is its name in the ledger, ``code`` what a program calls it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = REASONS[reason]


def canonical_text(row: Row, schema: Schema) -> dict[str, Any]:
    """Text as it stands, label without white space around it; whole numbers as labels are written 1, not 1.0."""
    label = row.get(schema.fields["label"])
    if blank(label):
        raise Unusable("no label")
    texts = asked_texts(row, schema)
    if isinstance(label, list | dict):
        raise Unusable("label is a list or an object")
    return {**texts, "label": _label(label, schema.labels)}


def asked_texts(row: Row, schema: Schema) -> dict[str, str]:
    """The text of a row as "text", and the second one of a pair as "second"."""
    found = {"text": _half(row, schema, "text", "empty text")}
    if "second" in schema.fields:
        found["second"] = _half(row, schema, "second", "empty second text")
    return found


def _half(row: Row, schema: Schema, name: str, empty: str) -> str:
    """One text of a pair, or the only one: what its columns say ("text", "text 2", ...), those that are empty aside."""
    columns = [column for part, column in schema.fields.items() if part == name or part.startswith(f"{name} ")]
    values = [row[column] for column in columns if not blank(row.get(column))]
    if not values:
        raise Unusable(empty)
    if any(isinstance(value, list | dict) for value in values):
        raise Unusable("text is a list or an object")
    return "; ".join(map(written, values))


def label_set(values: Iterable[Any]) -> tuple[str, ...]:
    """The labels in a column, sorted; when all are whole numbers, 1 and 1.0 are the same (and sort by size)."""
    texts = {written(value).strip() for value in values if not blank(value) and not isinstance(value, list | dict)}
    whole = {_whole(label) for label in texts}
    if texts and None not in whole:
        return tuple(sorted({label for label in whole if label is not None}, key=int))
    return tuple(sorted(texts))


def blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, list) and not value)


def written(value: Any) -> str:
    """A value as text; 1.0 from JSON is 1, true is true."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _whole(label: str) -> str | None:
    return str(int(label.partition(".")[0])) if WHOLE.fullmatch(label) else None


@lru_cache(maxsize=4)
def _known(labels: tuple[str, ...]) -> frozenset[str]:
    return frozenset(labels)


def _label(value: Any, labels: tuple[str, ...]) -> str:
    """The label as the whole column writes it: 1.0 is 1 where 1 is a label and 1.0 is not."""
    label = written(value).strip()
    known = _known(labels)
    if label in known:
        return label
    whole = _whole(label)
    return whole if whole is not None and whole in known else label


# -- canonical rows


def question(row: Row) -> str:
    """What the model is asked: rows with the same question stand on the same side of a split.

    The text, or both of a pair; for a conversation everything before the last answer that is taught (all of it when
    nobody asked anything), so that no test answer is to a prompt that was trained on.
    """
    if "messages" not in row:
        return f"{row['text']}\n{row['second']}" if "second" in row else str(row["text"])
    messages = row["messages"]
    last = last_answer(messages)
    asked = messages[:last] if any(message["role"] == "user" for message in messages[:last]) else messages
    return "\n".join(f"{message['role']}: {spoken(message)}" for message in asked)


def spoken(message: Mapping[str, Any]) -> str:
    """What a message says, its tool calls as JSON included."""
    calls = message.get("tool_calls")
    if not calls:
        return str(message["content"])
    told = json.dumps([call["function"] for call in calls], ensure_ascii=False, sort_keys=True)
    return f"{message['content']}\n{told}".lstrip("\n")


def last_answer(messages: Sequence[Mapping[str, Any]]) -> int:
    """Where the last answer stands that carries loss."""
    return max(
        index
        for index, message in enumerate(messages)
        if message["role"] == "assistant" and message.get("weight", 1) != 0
    )


def assistant_begins(messages: Sequence[Mapping[str, Any]]) -> bool:
    first = next(message for message in messages if message["role"] != "system")
    return bool(first["role"] == "assistant")


def others_end(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether somebody else than the assistant has the last word."""
    return bool(messages[-1]["role"] != "assistant")


def remarks(table: Table) -> list[str]:
    """What a person should know about the canonical rows, counted; nothing is dropped for it."""
    if "messages" not in table.columns:
        return []
    conversations = table.columns["messages"]
    kinds = (
        (assistant_begins, "where the assistant begins; that turn is trained as an opening"),
        (others_end, "where the user has the last word; that turn carries no loss"),
        (_calls_tools, "with tool calls; they are kept where the model's chat template shows them"),
        (_has_unlearnt, "with answers of weight 0; those are read and carry no loss"),
        (_has_weights, "with answers of another weight than 1; each of their tokens counts that much in the loss"),
    )
    told = [(sum(map(holds, conversations)), what) for holds, what in kinds]
    return [f"{counted(number, 'conversation')} {what}" for number, what in told if number]


def _calls_tools(messages: Sequence[Mapping[str, Any]]) -> bool:
    return any("tool_calls" in message or message["role"] == "tool" for message in messages)


def _has_unlearnt(messages: Sequence[Mapping[str, Any]]) -> bool:
    return any(message.get("weight") == 0 for message in messages)


def _has_weights(messages: Sequence[Mapping[str, Any]]) -> bool:
    return any(message.get("weight", 1) not in (0, 1) for message in messages)


def check_labels(table: Table, schema: Schema) -> None:
    """Refuse rows of one class, and classes of one row: neither can be taught and measured."""
    labels = table.columns["label"]
    counts = columns.counted(labels)
    column = schema.fields["label"]
    if len(counts) == 1:
        only = next(iter(counts))
        raise DataError(
            f'{table.source}, line {table.lines[0]}: all {len(table):,} usable rows have the label "{only}" '
            f'(column "{column}"); at least two classes are needed.',
            "Add rows of another class, or name another column: --label NAME",
        )
    single = [label for label, count in counts.items() if count == 1]
    if single:
        label = single[0]
        others = [other for other in counts if other != label]
        more = f" ({counted(len(single) - 1, 'more class', 'more classes')} like that)"
        raise DataError(
            f'{table.source}, line {table.lines[labels.index(label)]}: the class "{label}" has this row only'
            f"{more if len(single) > 1 else ''}, too few to learn from and to be measured.",
            f"Add rows of that class, remove it, or correct the label. {nearest(label, others)}".strip(),
        )


def quoted(names: Sequence[str], most: int = 12) -> str:
    """``"a", "b" and 3 more``."""
    told = ", ".join(f'"{name}"' for name in names[:most])
    return f"{told} and {len(names) - most:,} more" if len(names) > most else told


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
