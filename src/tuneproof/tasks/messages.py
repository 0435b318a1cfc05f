"""A row of instruction data becomes a conversation: who says what, every character as it stands.

    canonical_messages(row, schema)    # {"messages": [{"role": "user", "content": ...}, ...]}
    prompt_messages(row, schema)       # the same without its last answer: what a model is asked

Roles and keys may be written in any of the usual ways. Tool calls become ``tool_calls`` with their arguments as an
object, the form that chat templates read; whether the template of a model shows them is seen where it renders. A
weight other than 1 stays with its answer. What would have to be altered to be usable is not: images, negative weights,
two turns of one side in a row raise ``Unusable``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from tuneproof.records import Row, Schema
from tuneproof.tasks.rows import Unusable, blank, written

# In each message the first of these keys that it has counts.
ROLE_KEYS = ("role", "from", "speaker", "author", "sender")
CONTENT_KEYS = ("content", "value", "text", "utterance", "message")
WEIGHT_KEYS = ("weight", "loss_weight")
ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user", "customer": "user", "client": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant", "chatgpt": "assistant",
    "ai": "assistant", "chatbot": "assistant", "agent": "assistant",
    "function_call": "call", "tool_call": "call",
    "tool": "tool", "function": "tool", "observation": "tool", "tool_response": "tool", "ipython": "tool",
}  # fmt: skip
# Who may speak after whom. A call is an assistant's message with tool calls: its result has to follow.
NEXT = {
    "system": ("user", "assistant"),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "call": ("tool",),
    "tool": ("tool", "assistant"),
}
TEXT_PARTS = frozenset(("text", "input_text", "output_text"))
OTHER_PARTS = {
    "image": "images in a message", "image_url": "images in a message", "input_image": "images in a message",
    "audio": "audio in a message", "input_audio": "audio in a message",
    "video": "video in a message", "video_url": "video in a message",
    "file": "files in a message", "input_file": "files in a message", "document": "files in a message",
    "tool_use": "tool calls in content parts", "tool_result": "tool calls in content parts",
}  # fmt: skip
# Keys beside the text whose loss would change what is taught.
LOST = {
    "reasoning_content": "reasoning kept apart from the answer",
    "reasoning": "reasoning kept apart from the answer",
    "thinking": "reasoning kept apart from the answer",
    "refusal": "refusal kept apart from the answer",
    "image": "images in a message",
    "images": "images in a message",
    "audio": "audio in a message",
    "video": "video in a message",
    "videos": "video in a message",
}


def canonical_messages(row: Row, schema: Schema) -> dict[str, Any]:
    """``messages``, system turns included, and ``tools`` where the file has a column of them (None in rows without).

    A conversation may begin with the assistant (a greeting: that turn is trained as an opening) and may end with the
    user (that turn carries no loss); ``rows.remarks`` counts both. A message holds ``role`` (system, user, assistant or
    tool) and ``content``; an assistant's may hold ``tool_calls`` and a ``weight`` other than 1, a tool's ``name`` and
    ``tool_call_id``.
    """
    fields = schema.fields
    whole = "messages" in fields
    messages = _conversation(row.get(fields["messages"])) if whole else _prompt_and_response(row, fields)
    messages = _with_system(messages, row, fields)
    if all(message["role"] != "assistant" for message in messages):
        raise Unusable("no assistant turn")
    _in_order(messages)
    if all(message.get("weight") == 0 for message in messages if message["role"] == "assistant"):
        raise Unusable("every answer has the weight 0")
    return {"messages": messages, **_tools(row, fields)}


def prompt_messages(row: Row, schema: Schema) -> dict[str, Any]:
    """The messages that a model is asked to answer: the conversation without its last answer, if it has one.

    Raises Unusable for the same reasons as ``canonical_messages``, a missing answer excepted.
    """
    fields = schema.fields
    if "messages" in fields:
        messages = _conversation(row.get(fields["messages"]))
        if messages[-1]["role"] == "assistant":
            messages = messages[:-1]
    else:
        response = fields["response"]
        messages = _prompt_and_response({**row, response: row.get(response) or "-"}, fields)[:-1]
    messages = _with_system(messages, row, fields)
    _in_order([*messages, {"role": "assistant"}])
    return {"messages": messages, **_tools(row, fields)}


# -- messages


def _conversation(value: Any) -> list[dict[str, Any]]:
    if blank(value):
        raise Unusable("no messages")
    if not isinstance(value, list):
        raise Unusable("messages are not a list")
    return [_message(message) for message in value]


def _message(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise Unusable("a message is not an object")
    lost = next((reason for key, reason in LOST.items() if not blank(message.get(key))), None)
    if lost is not None:
        raise Unusable(lost)
    role = _role(message)
    calls = _calls(message.get("tool_calls")) or _calls(message.get("function_call"))
    if role == "call":
        calls, text = _calls(_content(message)), ""
        if not calls:
            raise Unusable("tool call that cannot be read")
    else:
        text = _text(_content(message))
    found: dict[str, Any] = {"role": "assistant" if role == "call" else role, "content": text}
    if calls and found["role"] != "assistant":
        raise Unusable("tool call that cannot be read")
    if not calls and not text.strip() and role in ("user", "assistant"):
        raise Unusable("empty answer" if role == "assistant" else "empty text")
    if calls:
        found["tool_calls"] = calls
    if role == "tool":
        found |= {key: message[key] for key in ("name", "tool_call_id") if isinstance(message.get(key), str)}
    return found | _weight(message, found["role"])


def _role(message: Mapping[str, Any]) -> str:
    said = next((message[key] for key in ROLE_KEYS if message.get(key) is not None), None)
    name = said.strip().lower() if isinstance(said, str) else ""
    if not name:
        raise Unusable("message without a role")
    if name not in ROLES:
        raise Unusable("unrecognised role")
    return ROLES[name]


def _content(message: Mapping[str, Any]) -> Any:
    keys = [key for key in CONTENT_KEYS if key in message]
    if not keys and not message.get("tool_calls") and not message.get("function_call"):
        raise Unusable("message without content")
    return next((message[key] for key in keys if message[key] is not None), None)


def _text(content: Any) -> str:
    """A message's text; parts that are all text are joined by a line break, as servers of chat models join them."""
    if isinstance(content, dict):
        raise Unusable("message content is an object")
    if isinstance(content, list):
        return "\n".join(_part(part) for part in content)
    return "" if content is None else written(content)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, dict) else None
    if not isinstance(kind, str) or (kind not in TEXT_PARTS and kind not in OTHER_PARTS):
        raise Unusable("content parts of an unknown type")
    if kind in OTHER_PARTS:
        raise Unusable(OTHER_PARTS[kind])
    text = next((part[key] for key in ("text", "value", "content") if isinstance(part.get(key), str)), None)
    if text is None:
        raise Unusable("content parts of an unknown type")
    return str(text)


def _weight(message: Mapping[str, Any], role: str) -> dict[str, float]:
    """``{"weight": 0.5}`` for an answer whose tokens count half, 0 for one that is not learnt; nothing for 1."""
    given = next((message[key] for key in WEIGHT_KEYS if message.get(key) is not None), None)
    if given is None:
        return {}
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given) or given < 0:
        raise Unusable("message weight that is negative or no number")
    if role != "assistant":
        if given:
            raise Unusable("weight on a message that is not the assistant's")
        return {}
    return {} if given == 1 else {"weight": given}


def _prompt_and_response(row: Row, fields: Mapping[str, str]) -> list[dict[str, Any]]:
    prompt, response = row.get(fields["prompt"]), row.get(fields["response"])
    given = row.get(fields.get("input", ""))
    if blank(prompt):
        raise Unusable("empty text")
    if blank(response):
        raise Unusable("empty answer")
    if not blank(row.get(fields.get("history", ""))):
        raise Unusable("earlier turns in a history column")
    if any(isinstance(value, list | dict) for value in (prompt, response, given)):
        raise Unusable("text is a list or an object")
    asked = written(prompt) if blank(given) else f"{written(prompt)}\n\n{written(given)}"
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": written(response)}]


def _with_system(messages: list[dict[str, Any]], row: Row, fields: Mapping[str, str]) -> list[dict[str, Any]]:
    system = row.get(fields.get("system", ""))
    if blank(system):
        return messages
    if messages and messages[0]["role"] == "system":
        raise Unusable("two system prompts")
    if isinstance(system, list | dict):
        raise Unusable("text is a list or an object")
    return [{"role": "system", "content": written(system)}, *messages]


def _in_order(messages: Sequence[Mapping[str, Any]]) -> None:
    kinds = ["call" if message.get("tool_calls") else str(message["role"]) for message in messages]
    after = [(one, "assistant" if other == "call" else other) for one, other in pairwise(kinds)]
    if kinds[0] == "tool" or any(other not in NEXT[one] for one, other in after):
        raise Unusable("bad turn order")


# -- tools


def _calls(value: Any) -> list[dict[str, Any]]:
    """Calls as chat templates read them, from a list, one call, or either as JSON text; [] for nothing."""
    value = _parsed(value, "tool call that cannot be read")
    if blank(value) or value == {}:
        return []
    return [_call(item) for item in (value if isinstance(value, list) else [value])]


def _call(item: Any) -> dict[str, Any]:
    inner = item.get("function", item) if isinstance(item, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise Unusable("tool call that cannot be read")
    given = _parsed(inner.get("arguments"), "tool call that cannot be read")
    arguments = {} if blank(given) else given
    if not isinstance(arguments, dict):
        raise Unusable("tool call that cannot be read")
    own = {"id": item["id"]} if isinstance(item.get("id"), str) else {}
    return {**own, "type": "function", "function": {"name": inner["name"], "arguments": arguments}}


def _tools(row: Row, fields: Mapping[str, str]) -> dict[str, Any]:
    """``{"tools": [...] or None}`` when the file has a column of tools, else nothing."""
    if "tools" not in fields:
        return {}
    value = _parsed(row.get(fields["tools"]), "list of tools that cannot be read")
    if blank(value) or value == {}:
        return {"tools": None}
    return {"tools": [_tool(item) for item in (value if isinstance(value, list) else [value])]}


def _tool(item: Any) -> dict[str, Any]:
    """``{"type": "function", "function": {"name": ...}}``, which is how templates know a tool."""
    inner = item.get("function", item) if isinstance(item, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise Unusable("list of tools that cannot be read")
    return dict(item) if "function" in item else {"type": "function", "function": dict(inner)}


def _parsed(value: Any, otherwise: str) -> Any:
    """JSON text as what it says; other values as they are."""
    if not isinstance(value, str) or not value.strip():
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise Unusable(otherwise) from None
