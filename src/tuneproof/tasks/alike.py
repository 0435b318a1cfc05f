"""Texts that belong together: pairs, triplets, or texts with a label that those which belong together share.

    pairs_or_triplets(columns)          # Guess("pairs", {"text": "query", "positive": "passage"}, ...) or None
    canonical_alike(row, schema)        # {"text": "...", "positive": "..."}

Pairs and triplets are known by the names of their columns. A text with a label is a classifier's unless this task is
asked for: then the label says which texts are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tuneproof.records import Column, Guess, Row, Schema
from tuneproof.tasks import chat_layouts
from tuneproof.tasks.rows import Unusable, blank, written

NEGATIVES = ("negative", "hard_negative", "negative_passage")
NAMES: tuple[tuple[str, tuple[str, ...], float], ...] = (  # what is sought for, what should be found, sureness
    ("anchor", ("positive", "match"), 0.97),
    ("query", ("positive", "passage", "document", "positive_passage", "relevant"), 0.96),
    ("question", ("positive", "passage"), 0.9),
)


def pairs_or_triplets(columns: Sequence[Column]) -> Guess | None:
    names = chat_layouts.by_name(columns)
    for text, positives, sureness in NAMES:
        positive = next((name for name in positives if name in names), None)
        if text not in names or positive is None:
            continue
        fields = {"text": names[text].name, "positive": names[positive].name}
        negative = next((names[name].name for name in NEGATIVES if name in names), None)
        told = f'columns "{fields["text"]}" and "{fields["positive"]}" belong together by their names'
        if negative is None:
            return Guess("pairs", fields, sureness, told)
        return Guess("triplets", {**fields, "negative": negative}, sureness, f'{told}, "{negative}" does not')
    return None


def with_label(found: Guess) -> Guess:
    """A text and a label, as texts that are alike where the label is the same."""
    fields = {"text": found.fields["text"], "alike": found.fields["label"]}
    return replace(found, layout="texts that are alike", fields=fields, reason=f"{found.reason}; equal ones are alike")


def canonical_alike(row: Row, schema: Schema) -> dict[str, Any]:
    """Every text as it stands, a label without white space around it."""
    found: dict[str, Any] = {}
    for part, column in schema.fields.items():
        value = row.get(column)
        if blank(value):
            raise Unusable("no label" if part == "alike" else "empty text")
        if isinstance(value, list | dict):
            raise Unusable("label is a list or an object" if part == "alike" else "text is a list or an object")
        found[part] = written(value).strip() if part == "alike" else written(value)
    return found
