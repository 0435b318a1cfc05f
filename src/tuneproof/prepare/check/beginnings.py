"""Texts, or answers, that begin alike: a greeting pasted before every row, "As an AI language model, I ...".

    beginnings(subject).figures["texts"]        # {"begins": "Dear customer service team,", "rows": 412, "share": .41}

A model learns a beginning that most rows share before anything else, and a text that is cut at a length limit keeps
nothing but it. Told, never removed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tuneproof.prepare.check.subject import Checked, Subject, shown

NAME = "beginnings"
CHARS = 20  # that texts must share; fewer is "How do I" in banking77
SHARE = 0.1  # of the rows
FEWEST = 5  # rows


def beginnings(subject: Subject) -> Checked:
    """One finding, at the first row that has it, for the texts and one for the answers of the train rows."""
    table = subject.splits.train
    sides = {"texts": subject.asked["train"]}
    if "label" not in table.columns:
        sides["answers"] = [subject.texts(row)[1] for row in table.rows()]
    findings, figures, rows = [], {}, 0
    for what, texts in sides.items():
        begins = shared(texts)
        if not begins:
            continue
        having = [index for index, text in enumerate(texts) if text.startswith(begins)]
        share = len(having) / len(texts)
        rows = max(rows, len(having))
        figures[what] = {
            "begins": shown(begins),
            "characters": len(begins),
            "rows": len(having),
            "share": round(share, 3),
        }
        message = (
            f"{len(having):,} of {len(texts):,} {what} ({share:.0%}) begin with the same {len(begins):,} characters."
        )
        findings.append(
            subject.finding(NAME, "train", having[0], "info", message, evidence=begins, score=round(share, 3))
        )
    return Checked(len(table), rows, findings, figures=_flat(figures))


def shared(texts: Sequence[str]) -> str:
    """The commonest beginning of CHARS characters or more, as long as all texts that have it share it; "" if few do."""
    heads = Counter(text[:CHARS] for text in texts if len(text) >= CHARS)
    if not heads:
        return ""
    head, rows = heads.most_common(1)[0]
    if rows < FEWEST or rows < SHARE * len(texts):
        return ""
    having = [text for text in texts if text.startswith(head)]
    first, last = min(having), max(having)  # what these two share, all between them share
    end = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:end]


def _flat(figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{what}: {name}": value for what, found in figures.items() for name, value in found.items()}
