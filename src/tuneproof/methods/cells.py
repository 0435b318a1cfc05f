"""What does not go together: methods that cannot do a task, each with the reason. Everything else is tested to work.

    refusal("prompt", "AutoModelForTokenClassification")     # "prompt puts tokens before the text, ..."

A task is told by transformers' class that opens its model. benchmarks/cells.py makes docs/cells.md from this table
and the tests.
"""

from __future__ import annotations

from dataclasses import dataclass

PROMPTS = frozenset({"prompt", "p-tuning", "prefix"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Methods that work with no other classes of models than ``only``."""

    methods: frozenset[str]
    only: frozenset[str]
    reason: str


REFUSED: tuple[Refusal, ...] = (
    Refusal(
        PROMPTS,
        frozenset({"AutoModelForSequenceClassification", "AutoModelForCausalLM"}),
        "puts tokens before the text, so that answers which are read at a place in the text would be read beside it",
    ),
)


def refusal(method: str, auto: str) -> str | None:
    """Why ``method`` cannot tune the models of transformers' class ``auto``; None where it can."""
    for row in REFUSED:
        if method in row.methods and auto not in row.only:
            return f"{method} {row.reason}"
    return None
