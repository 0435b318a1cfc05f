"""Holes of a template that nobody filled in: {{name}}, [INSERT DATE], <YOUR NAME>, lorem ipsum.

    placeholders.holes("Hello, I am {{name}}.")        # ["{{name}}"]

Whoever trains on them gets a model that says "{{name}}" to customers. Code and mark-up have brackets too: only what
reads as a hole counts, so ``[0]``, ``<div>``, ``{x}``, ``[INST]`` and ``[REDACTED]`` do not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tuneproof.prepare.check.subject import KEPT, Checked, Subject
from tuneproof.records import Finding

NAME = "placeholders"
_THING = (
    r"(?:(?:first|last|full|user|company|product|customer|client|person|brand|city|street|phone|order|account|your|my|the)"
    r"[ _-]?)*(?:name|address|e-?mail|phone|date|time|number|city|company|title|product|author|amount|price|url|link|"
    r"location|position|recipient|sender|organi[sz]ation|department|signature|text|here|id)"
)
_VERB = r"(?:insert|enter|your|add|fill in|replace with|put)\b[^\]>}\n]{0,40}"
HOLE = re.compile(
    rf"\{{\{{[ ]*[a-z_][\w. -]{{0,40}}\}}\}}"  # {{name}}
    rf"|\[(?:{_VERB}|{_THING})\]"  # [NAME], [Your Company], [insert date here]
    rf"|<(?:{_VERB}|(?-i:(?:[A-Z]+[_ ])*(?:NAME|ADDRESS|EMAIL|PHONE|DATE|COMPANY|CITY|TITLE|PRODUCT|NUMBER)))>"
    rf"|%(?-i:[A-Z]+_[A-Z_]+|NAME|EMAIL|DATE|COMPANY)%"  # %FIRST_NAME%
    rf"|\blorem ipsum\b",
    re.IGNORECASE,
)
_SIGNS = re.compile(r"\{\{|[\[<%]|lorem", re.IGNORECASE)


def placeholders(subject: Subject) -> Checked:
    """Rows of every side with a hole in any of their texts; those of train leave when the policy is drop."""
    findings: list[Finding] = []
    leave: list[int] = []
    kinds: Counter[str] = Counter()
    found = rows = 0
    for side, table in subject.splits.items():
        rows += len(table)
        for index, row in enumerate(table.rows()):
            seen = [hole for text in texts(row) for hole in holes(text)]
            if not seen:
                continue
            found += 1
            kinds.update(set(seen))
            if side == "train":
                leave.append(index)
            if len(findings) < KEPT:
                named = ", ".join(dict.fromkeys(seen[:3]))
                message = f"A hole of a template is open: {named}."
                evidence = next(around(text) for text in texts(row) if holes(text))
                findings.append(
                    subject.finding(NAME, side, index, "warn", message, evidence=evidence, score=float(len(seen)))
                )
    return Checked(rows, found, findings, {"train": leave}, figures={"shares": dict(kinds.most_common(12))})


def holes(text: str) -> list[str]:
    """The holes of a text, as they stand in it."""
    if _SIGNS.search(text) is None:
        return []
    return [match.group() for match in HOLE.finditer(text)]


def around(text: str, before: int = 60) -> str:
    """The text from a little before its first hole."""
    match = HOLE.search(text)
    start = max(0, match.start() - before) if match else 0
    return ("…" if start else "") + text[start:]


def texts(row: dict[str, Any]) -> Iterator[str]:
    """Every text of a canonical row: its parts, or the content of its messages; not its id, group and label."""
    for name, value in row.items():
        if name in ("id", "group", "label"):
            continue
        if isinstance(value, str):
            yield value
        elif name == "messages":
            yield from (message["content"] for message in value)
