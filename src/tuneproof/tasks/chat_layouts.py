"""How the columns of a file are recognised as instruction data, or as something that is known and has no task yet.

    chat(columns, asked)          # Guess("messages", {"messages": "messages"}, ...) or None
    one_layout(table, columns)    # DataError when some rows are written in one way and some in another

Recognition uses facts over all rows and the names of columns; the reason of a guess says which. What a row becomes is
in ``messages``. Nothing here reads a file or knows a model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.records import Column, Guess, Table
from tuneproof.tasks.messages import CONTENT_KEYS, LOST, ROLE_KEYS, WEIGHT_KEYS
from tuneproof.tasks.rows import blank, counted, quoted

# prompt column, response column, optional input column, sureness: the surest pair that a file has is taken
PAIRS: tuple[tuple[str, tuple[str, ...], tuple[str, ...], float], ...] = (
    ("instruction", ("output", "response", "completion", "answer"), ("input", "context"), 0.97),
    ("prompt", ("response", "completion", "answer", "output"), (), 0.93),
    ("user", ("assistant", "bot", "model"), (), 0.93),
    ("human", ("assistant", "bot", "model", "gpt"), (), 0.93),
    ("question", ("answer", "response"), (), 0.85),
    ("query", ("answer", "response"), (), 0.85),
    ("input", ("output", "response"), (), 0.85),
    ("document", ("summary", "tldr"), (), 0.8),
    ("article", ("summary", "highlights", "tldr"), (), 0.8),
    ("dialogue", ("summary", "section_text", "note"), (), 0.8),
)
SUMMED_UP = ("document", "article", "dialogue")  # prompts of PAIRS to which the answer is a summary
# What is recognised and named, but has no task yet: name, columns of which one each must be there, sureness
OTHERS: tuple[tuple[str, tuple[tuple[str, ...], ...], float], ...] = (
    ("preference pairs (chosen and rejected)", (("chosen",), ("rejected",)), 0.995),
    (
        "conversations about images, video or audio",
        (("messages", "conversations"), ("images", "image", "videos", "video", "audios", "audio")),
        0.995,
    ),
)
JUDGED = "single answers judged good or bad (prompt, completion and a true or false label)"
TOOLS = ("tools", "functions")
MESSAGE_KEYS = tuple(product(ROLE_KEYS, CONTENT_KEYS))  # surest first
READ_KEYS = frozenset(
    (*ROLE_KEYS, *CONTENT_KEYS, *WEIGHT_KEYS, *LOST, "name", "tool_calls", "tool_call_id", "function_call")
)
PARTS = frozenset(part for prompt, responses, inputs, _ in PAIRS for part in (prompt, *responses, *inputs)) | {
    "id", "messages", "conversation", "conversations", "system", "source", "date", "user", "author", "group",
}  # fmt: skip


def chat(columns: Sequence[Column], asked: Data) -> Guess | None:
    """Messages, or a prompt with a response."""
    if asked.text or asked.label:
        return None
    return _messages(columns) or _pair(columns)


def sums_up(layout: str) -> bool:
    """Whether the answers of such a file are summaries of what was asked about."""
    return layout.split("+")[0] in SUMMED_UP


def other(columns: Sequence[Column]) -> Guess | None:
    """A layout that is known by name and has no task yet."""
    names = by_name(columns)
    for layout, groups, sureness in OTHERS:
        found = [next((names[name] for name in group if name in names), None) for group in groups]
        there = [column for column in found if column is not None and column.missing < column.rows]
        if len(there) == len(groups):
            told = " and ".join(f'"{column.name}"' for column in there)
            return Guess(layout, {}, sureness, f"the columns {told}")
    judged = [names[name] for name in ("prompt", "completion", "label") if name in names]
    if len(judged) == 3 and {value.lower() for value in judged[2].values} == {"true", "false"}:
        return Guess(JUDGED, {}, 0.98, 'the columns "prompt", "completion" and "label"')
    return None


@dataclass(frozen=True, slots=True)
class _Way:
    """One way in which rows of a file may be written."""

    name: str
    holds: Callable[[int], bool]  # whether row i is written so


def one_layout(table: Table, columns: Sequence[Column]) -> None:
    """DataError when the rows are instruction data in several layouts: how many rows each has, and where it begins.

    A row that is written in two ways at once counts for the first.
    """
    ways = _ways(table, columns)
    if len(ways) < 2:
        return
    counts: Counter[str] = Counter()
    first: dict[str, int] = {}
    for index in range(len(table)):
        name = next((way.name for way in ways if way.holds(index)), None)
        if name is not None:
            counts[name] += 1
            first.setdefault(name, index)
    if len(counts) < 2:
        return
    files = table.files
    told = [
        f"{counted(number, 'row')} {'has' if number == 1 else 'have'} {name} "
        f"(first in {files[first[name]] + ', ' if files else ''}line {table.lines[first[name]]})"
        for name, number in counts.most_common()
    ]
    raise DataError(
        f"the rows are written in {len(told)} layouts: {', '.join(told)}.",
        "Write all rows in one of them, or make a file of each.",
    )


def plain(name: str) -> str:
    """How names of columns are compared."""
    return re.sub(r"[\s\-.]+", "_", name.strip().lower())


def by_name(columns: Sequence[Column]) -> dict[str, Column]:
    return {plain(column.name): column for column in reversed(columns)}


# -- messages


def _keys(column: Column) -> list[tuple[str, str, int]]:
    """The pairs of keys that messages of the column have, surest first, with how many have both at most."""
    pairs = [(role, text, min(column.keys.get(role, 0), column.keys.get(text, 0))) for role, text in MESSAGE_KEYS]
    return [pair for pair in pairs if pair[2]]


def _messages(columns: Sequence[Column]) -> Guess | None:
    """A column of lists of {role, content}, or of the same under other names."""
    found = [column for column in columns if column.kinds.get("list", 0) and _keys(column)]
    if not found:
        return None
    named = [column for column in found if plain(column.name).startswith(("message", "conversation"))]
    if len(found) > 1 and len(named) != 1:
        raise DataError(
            f"several columns hold messages: {quoted([column.name for column in named or found])}.",
            'Join them, or keep one, and call it "messages".',
        )
    column = (named or found)[0]
    role, text, count = _keys(column)[0]
    layout = "messages" if (role, text) == ("role", "content") else "conversations"
    fields = {"messages": column.name, **_extra(columns, "system", ("system",)), **_extra(columns, "tools", TOOLS)}
    reason = f'column "{column.name}" holds {count:,} messages with {role} and {text}{_besides(column, text)}'
    return Guess(layout, fields, 0.99, reason)


def _besides(column: Column, text: str) -> str:
    """What else is in the messages: parts that are joined, tool calls, weights, and keys that nothing reads."""
    told = []
    parts = column.keys.get(f"{text}[]", 0)
    if parts:
        told.append(f"{parts:,} with {text} as parts (joined by line breaks where all are text)")
    calls = column.keys.get("tool_calls", 0) + column.keys.get("function_call", 0)
    if calls:
        told.append(f"{calls:,} with a key for tool calls")
    weights = sum(column.keys.get(key, 0) for key in WEIGHT_KEYS)
    if weights:
        told.append(f"{weights:,} with a weight")
    unread = [key for key in column.keys if key not in READ_KEYS and not key.endswith("[]")]
    if unread:
        told.append(f"not read: {quoted(unread, 6)}")
    return "".join(f"; {one}" for one in told)


def _extra(columns: Sequence[Column], part: str, called: Sequence[str]) -> dict[str, str]:
    """An optional part, when it has a column with something in it."""
    names = by_name(columns)
    found = next((names[name] for name in called if name in names and names[name].missing < names[name].rows), None)
    return {part: found.name} if found is not None else {}


# -- pairs


def _pair(columns: Sequence[Column]) -> Guess | None:
    """A column with a prompt and one with the answer to it."""
    names = by_name(columns)
    for prompt, responses, inputs, sureness in PAIRS:
        response = next((name for name in responses if name in names), None)
        if prompt not in names or response is None or not _answers(names[response], named=sureness > 0.9):
            continue
        fields = {
            "prompt": names[prompt].name,
            "response": names[response].name,
            **_extra(columns, "system", ("system",)),
            **_extra(columns, "history", ("history",)),
            **_extra(columns, "input", inputs),
        }
        layout = f"{prompt}+{response}"
        told = (
            f'columns "{fields["prompt"]}" and "{fields["response"]}" are a prompt and the answer to it by their names'
        )
        joined = f', "{fields["input"]}" is joined to the prompt by a blank line' if "input" in fields else ""
        return Guess(layout, fields, sureness, told + joined)
    return None


def _answers(column: Column, *, named: bool) -> bool:
    """Whether a column can be generated text: no lists, and no few fixed values unless its name leaves no doubt."""
    present = column.rows - column.missing
    texts = column.kinds.get("text", 0) + column.kinds.get("number", 0)
    if not present or texts < 0.99 * present:
        return False
    return named or column.distinct * 5 > present


# -- which way a row is written


def _ways(table: Table, columns: Sequence[Column]) -> list[_Way]:
    """The ways that the columns allow for, messages first."""
    ways = [
        _Way(f"messages with {role} and {text}", _holds_messages(table.columns[column.name], role, text))
        for column in columns
        if column.kinds.get("list", 0)
        for role, text, _ in _keys(column)
    ]
    names = by_name(columns)
    for prompt, responses, _, _ in PAIRS:
        for response in responses:
            if prompt in names and response in names:
                pair = (table.columns[names[prompt].name], table.columns[names[response].name])
                ways.append(_Way(f"{prompt}+{response}", _holds_pair(*pair)))
    return ways


def _holds_messages(values: Sequence[Any], role: str, text: str) -> Callable[[int], bool]:
    def holds(index: int) -> bool:
        value = values[index]
        if not isinstance(value, list):
            return False
        return any(isinstance(message, dict) and role in message and text in message for message in value)

    return holds


def _holds_pair(prompts: Sequence[Any], responses: Sequence[Any]) -> Callable[[int], bool]:
    return lambda index: not blank(prompts[index]) and not blank(responses[index])
