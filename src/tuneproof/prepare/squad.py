"""Questions in SQuAD's nested form, unfolded to one row per question.

    unfolded({"version": "v2.0", "data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [...]}]}]})
    # [{"title": ..., "context": ..., "question": ..., "answers": [...], "is_impossible": False}, ...]

The form is told by its keys alone; anything else is left to whoever reads the file. Which answers are usable is not
decided here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

QUESTION = re.compile(rb'(?<!\\)"question"\s*:')
BESIDE = ("title", "document_id")  # of an article or a paragraph
OWN = ("id", "question", "answers", "is_impossible")


def unfolded(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """A row per question of the whole file; None where it is no such file."""
    articles = value.get("data")
    if not isinstance(articles, list) or not articles or not all(_is_article(one) for one in articles):
        return None
    rows: list[dict[str, Any]] = []
    for article in articles:
        for paragraph in article["paragraphs"]:
            beside = {name: part[name] for part in (article, paragraph) for name in BESIDE if name in part}
            for asked in paragraph["qas"]:
                own = {name: asked[name] for name in OWN if name in asked}
                rows.append({**beside, "context": paragraph.get("context"), "answers": [], **own})
    return rows or None


def lines_of(raw: bytes, questions: int) -> list[int]:
    """The line on which each question stands; 1 for all where they cannot be told apart."""
    found = [match.start() for match in QUESTION.finditer(raw)]
    if len(found) != questions:
        return [1] * questions
    lines, line, counted_to = [], 1, 0
    for at in found:
        line, counted_to = line + raw.count(b"\n", counted_to, at), at
        lines.append(line)
    return lines


def _is_article(value: Any) -> bool:
    paragraphs = value.get("paragraphs") if isinstance(value, dict) else None
    return isinstance(paragraphs, list) and all(
        isinstance(one, dict)
        and isinstance(one.get("qas"), list)
        and all(isinstance(asked, dict) and "question" in asked for asked in one["qas"])
        for one in paragraphs
    )
