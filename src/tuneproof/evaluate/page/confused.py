"""The view of what is taken for what: a heat table of the most confused labels, and the list of mistakes.

    confusions(report)["heat"]["lines"][0]["cells"][1]     # {"n": 7, "kind": "miss h3", ...}

The report holds the most frequent mistakes and the rows and recall of each label; the table is made of those only.
With many labels it shows the fifteen that are mixed up most, and gathers all other answers in one column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tuneproof.page import View, charts, numbers
from tuneproof.page.given import mappings

LABELS = 15  # in the heat table
STEPS = 5  # shades of a cell
LISTED = 50  # mistakes in the report: with as many, rarer ones are not known

Mistake = tuple[str, str, float]  # in the file, answered, rows


def confusions(report: View) -> View | None:
    """The mistakes, the most frequent first, and the heat table."""
    found = mappings(report.get("confusions"))
    if not found:
        return None
    most = max([numbers.real(one.get("n")) or 0.0 for one in found] + [1.0])
    bars = [charts.bar([((numbers.real(one.get("n")) or 0.0) / most, "miss")]) for one in found]
    return {
        "mistakes": [{**one, "bar": bar} for one, bar in zip(found, bars, strict=True)],
        "heat": _heat(found, mappings(report.get("classes"))),
    }


def _heat(found: Sequence[View], classes: Sequence[View]) -> View | None:
    sizes = {str(one.get("label")): _rows(one) for one in classes}
    pairs = [(str(one.get("truth")), str(one.get("predicted")), numbers.real(one.get("n")) or 0.0) for one in found]
    shown = _shown(pairs, [label for label, (n, _) in sizes.items() if n])
    if len(shown) < 2:
        return None
    return {
        "names": shown,
        "lines": [_line(label, shown, pairs, *sizes[label]) for label in shown],
        "labels": len(sizes),
        "rarest": min(n for _, _, n in pairs) if len(pairs) >= LISTED else 0,
    }


def _rows(one: View) -> tuple[float, float]:
    """Rows of a label, and how many of them were answered rightly."""
    n = numbers.real(one.get("n")) or 0.0
    return n, round(n * (numbers.real(one.get("recall")) or 0.0))


def _shown(pairs: Sequence[Mistake], labels: Sequence[str]) -> list[str]:
    """Labels in the order in which they meet in mistakes, so that those mixed up stand side by side."""
    mixed = [label for truth, said, _ in sorted(pairs, key=lambda pair: -pair[2]) for label in (truth, said)]
    known = set(labels)
    return [label for label in dict.fromkeys([*mixed, *labels]) if label in known][:LABELS]


def _line(label: str, shown: Sequence[str], pairs: Sequence[Mistake], n: float, right: float) -> View:
    missed = {said: rows for truth, said, rows in pairs if truth == label}
    cells = [_cell(right, n, "right") if said == label else _cell(missed.get(said, 0.0), n, "miss") for said in shown]
    other = max(0.0, n - right - sum(missed.get(said, 0.0) for said in shown if said != label))
    return {"label": label, "n": n, "cells": cells, "other": _cell(other, n, "miss")}


def _cell(rows: float, of: float, kind: str) -> dict[str, Any]:
    """Its shade tells the share of the label's rows; a cell without rows has none."""
    shade = min(STEPS, 1 + int(STEPS * rows / of)) if rows else 0
    return {"n": rows, "kind": f"{kind} h{shade}" if shade else ""}
