"""A row of a file becomes the parts that a task works on, and what can be said about rows in that form.

    canonical_text(row, schema)        # {"text": "arrived broken", "label": "negative"}
    canonical_messages(row, schema)    # {"messages": [{"role": "user", "content": ...}, ...]}

A row that has not got what the task needs raises ``Unusable`` with a short reason for the ledger: nothing is flattened,
cut, merged or invented to make it usable. Which columns play which part was decided in ``layouts``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from tuneproof.errors import DataError, nearest
from tuneproof.records import Row, Schema, Table

ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant", "chatgpt": "assistant",
}  # fmt: skip
TOOL_ROLES = frozenset(("tool", "function", "function_call", "observation", "tool_call", "tool_response", "ipython"))
WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,17})(\.0{0,9})?")


class Unusable(Exception):
    """A row without what the task needs; ``reason`` is its name in the ledger."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def canonical_text(row: Row, schema: Schema) -> dict[str, Any]:
    """Text as it stands, label without white space around it; whole numbers as labels are written 1, not 1.0."""
    text, label = row.get(schema.fields["text"]), row.get(schema.fields["label"])
    if _blank(label):
        raise Unusable("no label")
    if _blank(text):
        raise Unusable("empty text")
    if isinstance(text, list | dict):
        raise Unusable("text is a list or an object")
    if isinstance(label, list | dict):
        raise Unusable("label is a list or an object")
    return {"text": _written(text), "label": _label(label, schema.labels)}


def label_set(values: Iterable[Any]) -> tuple[str, ...]:
    """The labels in a column, sorted; when all are whole numbers, 1 and 1.0 are the same (and sort by size)."""
    written = {_written(value).strip() for value in values if not _blank(value) and not isinstance(value, list | dict)}
    whole = {_whole(label) for label in written}
    if written and None not in whole:
        return tuple(sorted({label for label in whole if label is not None}, key=int))
    return tuple(sorted(written))


def canonical_messages(row: Row, schema: Schema) -> dict[str, Any]:
    """The conversation as role and content, system turns included, every character as it stands.

    A conversation may begin with the assistant (a greeting: that turn is trained as an opening) and may end with
    the user (that turn carries no loss); ``remarks`` counts both. What would have to be altered to be usable is not:
    tool calls, content parts, messages with a weight, two turns of one side in a row.
    """
    fields = schema.fields
    whole = "messages" in fields
    messages = _conversation(row.get(fields["messages"])) if whole else _prompt_and_response(row, fields)
    if not _blank(row.get(fields.get("tools", ""))):
        raise Unusable("tool calls")
    system = row.get(fields.get("system", ""))
    if not _blank(system):
        if messages[0]["role"] == "system":
            raise Unusable("two system prompts")
        messages.insert(0, {"role": "system", "content": _written(system)})
    _in_order(messages)
    return {"messages": messages}


def prompt_messages(row: Row, schema: Schema) -> dict[str, Any]:
    """The messages that a model is asked to answer: the conversation without its last answer, if it has one.

    Raises Unusable for the same reasons as ``canonical_messages``, a missing answer excepted.
    """
    if "messages" in schema.fields:
        messages = _conversation(row.get(schema.fields["messages"]))
        if messages and messages[-1]["role"] == "assistant":
            messages = messages[:-1]
        _in_order([*messages, {"role": "assistant"}])
    else:
        response = schema.fields["response"]
        messages = _prompt_and_response({**row, response: row.get(response) or "-"}, schema.fields)[:-1]
        system = row.get(schema.fields.get("system", ""))
        if not _blank(system):
            messages = [{"role": "system", "content": _written(system)}, *messages]
    return {"messages": messages}


def _conversation(value: Any) -> list[dict[str, str]]:
    if _blank(value):
        raise Unusable("no messages")
    if not isinstance(value, list):
        raise Unusable("messages are not a list")
    return [_message(message) for message in value]


def _message(message: Any) -> dict[str, str]:
    if not isinstance(message, dict):
        raise Unusable("a message is not an object")
    said = message.get("role", message.get("from"))
    content = message.get("content", message.get("value"))
    name = said.strip().lower() if isinstance(said, str) else ""
    if name in TOOL_ROLES or message.get("tool_calls") or message.get("function_call"):
        raise Unusable("tool calls")
    if not name:
        raise Unusable("message without a role")
    if name not in ROLES:
        raise Unusable("unrecognised role")
    if isinstance(content, list | dict):
        raise Unusable("content parts")
    role = ROLES[name]
    if _blank(content) and role != "system":
        raise Unusable("empty answer" if role == "assistant" else "empty text")
    if any(message.get(key, 1) not in (1, None) for key in ("weight", "loss_weight")):
        raise Unusable("messages with a weight")
    return {"role": role, "content": "" if content is None else _written(content)}


def _prompt_and_response(row: Row, fields: Mapping[str, str]) -> list[dict[str, str]]:
    prompt, response = row.get(fields["prompt"]), row.get(fields["response"])
    given = row.get(fields.get("input", ""))
    if _blank(prompt):
        raise Unusable("empty text")
    if _blank(response):
        raise Unusable("empty answer")
    if not _blank(row.get(fields.get("history", ""))):
        raise Unusable("earlier turns in a history column")
    if any(isinstance(value, list | dict) for value in (prompt, response, given)):
        raise Unusable("text is a list or an object")
    asked = _written(prompt) if _blank(given) else f"{_written(prompt)}\n\n{_written(given)}"
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": _written(response)}]


def _in_order(messages: Sequence[Mapping[str, str]]) -> None:
    roles = [message["role"] for message in messages]
    if "assistant" not in roles:
        raise Unusable("no assistant turn")
    if "system" in roles[1:] or any(one == other for one, other in pairwise(roles)):
        raise Unusable("bad turn order")


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, list) and not value)


def _written(value: Any) -> str:
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
    label = _written(value).strip()
    known = _known(labels)
    if label in known:
        return label
    whole = _whole(label)
    return whole if whole is not None and whole in known else label


# -- canonical rows


def question(row: Row) -> str:
    """What the model is asked: rows with the same question stand on the same side of a split.

    The text; for a conversation everything before the last assistant turn (all of it when nobody asked anything), so
    that no test answer is to a prompt that was trained on.
    """
    if "messages" not in row:
        return str(row["text"])
    messages = row["messages"]
    last = max(index for index, message in enumerate(messages) if message["role"] == "assistant")
    asked = messages[:last] if any(message["role"] == "user" for message in messages[:last]) else messages
    return "\n".join(f"{message['role']}: {message['content']}" for message in asked)


def remarks(table: Table) -> list[str]:
    """What a person should know about the canonical rows, counted; nothing is dropped for it."""
    if "messages" not in table.columns:
        return []
    conversations = table.columns["messages"]
    first = sum(next(m["role"] for m in messages if m["role"] != "system") == "assistant" for messages in conversations)
    last = sum(messages[-1]["role"] != "assistant" for messages in conversations)
    told = []
    if first:
        told.append(f"{counted(first, 'conversation')} where the assistant begins; that turn is trained as an opening")
    if last:
        told.append(f"{counted(last, 'conversation')} where the user has the last word; that turn carries no loss")
    return told


def check_labels(table: Table, schema: Schema) -> None:
    """Refuse rows of one class, and classes of one row: neither can be taught and measured."""
    labels = table.columns["label"]
    counts = Counter(labels)
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
