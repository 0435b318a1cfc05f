"""Whether what a chat template wrote holds the tools, calls and results that it was given.

    uses_tools(messages, tools)
    writes(turn, {"name": "add", "arguments": {"a": 1}})        # every name and value of it stands in the text

Templates write tools in very different ways (as JSON, as a signature, as XML), so the proof asks for each name and each
value, not for a form. Nothing here renders.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any


def uses_tools(messages: Iterable[Mapping[str, Any]], tools: Sequence[Any] | None) -> bool:
    """Whether anything of the dialogue is about tools."""
    return bool(tools) or any(message["role"] == "tool" or "tool_calls" in message for message in messages)


def names(tools: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Of each tool its name, its description and what its parameters are called: what a model needs to call it."""
    found: list[Any] = []
    for tool in tools:
        function = tool["function"]
        parameters = function.get("parameters")
        properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
        found += [function["name"], function.get("description") or ""]
        found += list(properties) if isinstance(properties, Mapping) else []
    return found


def writes(text: str, value: Any) -> bool:
    """Whether every key, text, number and truth value within ``value`` stands in ``text``, as it is or as JSON."""
    return all(any(form in text for form in _forms(leaf)) for leaf in _leaves(value))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _forms(leaf: Any) -> tuple[str, ...]:
    written = leaf.strip() if isinstance(leaf, str) else str(leaf)
    as_json = json.dumps(written if isinstance(leaf, str) else leaf, ensure_ascii=False)
    return (written, as_json[1:-1] if isinstance(leaf, str) else as_json)
