"""Views of the scores on parts of the test rows: by column and trait, and by group of people.

    slices(report)["tables"][0]["lines"][0]["said"]     # "better", "worse" or "cannot tell"

The weakest part of each column comes first. Rates, intervals and verdicts come from the report; what is too long for
a page is cut to its two ends and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tuneproof.page import View, charts, numbers
from tuneproof.page.given import mapping, mappings

LINES = 600  # parts drawn on one page
GROUPS = 12  # groups drawn for one rate: the lowest and the highest
SURE = 0.05  # p from which on a difference between groups is said to be more than chance
RATES = (
    ("selection_rate", "Given this label", "share of all rows of the group"),
    ("true_positive_rate", "Rightly given it", "share of the rows that have this label in the file"),
    ("false_positive_rate", "Wrongly given it", "share of the rows that have another label in the file"),
)


def slices(report: View) -> View | None:
    """One table for each way to divide the rows."""
    found, scores = mapping(report.get("slices")), mapping(report.get("scores"))
    parts = [one for one in mappings(found.get("parts")) if numbers.real(one.get("score")) is not None]
    if not parts:
        return None
    percent, higher = bool(scores.get("percent")), scores.get("higher_is_better") is not False
    overall = _overall(scores)
    marks = [] if overall is None else [overall]
    columns = list(dict.fromkeys(str(one.get("column")) for one in parts))
    most = max(1, LINES // len(columns))
    tables = []
    for column in columns:
        own = [one for one in parts if str(one.get("column")) == column]
        own.sort(key=lambda one: one["score"], reverse=not higher)
        scale = scale_around([*_bounds(own[:most]), *marks])
        lines = [_part(one, scale, marks, found.get("told")) for one in own[:most]]
        axis = charts.axis(scale, lambda x: numbers.tick(x, percent), marks)
        tables.append({"column": column, "lines": lines, "left": len(own) - len(lines), "axis": axis})
    readings = [_said(one) for one in parts]
    return {
        "tables": tables,
        "baseline": found.get("baseline"),
        "counts": {word: readings.count(word) for word in ("better", "worse", "cannot tell")},
        "suppressed": numbers.real(found.get("suppressed")) or 0,
        "fewest": found.get("fewest"),
        "told": found.get("told"),
        "overall": overall,
        "percent": percent,
        "higher": higher,
        "primary": scores.get("primary") or "score",
    }


def _overall(scores: View) -> float | None:
    tuned = next((one for one in mappings(scores.get("systems")) if one.get("kind") == "tuned"), {})
    return numbers.real(mapping(tuned.get("values")).get(str(scores.get("primary"))))


def _part(one: View, scale: charts.Scale, marks: Sequence[float], told: Any) -> View:
    low, high = numbers.pair(one.get("interval"))
    said = _said(one)
    return {
        **one,
        "said": said,
        "small": (numbers.real(one.get("n")) or 0) < (numbers.real(told) or 0),
        "difference": mapping(one.get("difference")),
        "plot": charts.interval(scale, one["score"], low, high, _kind(said), marks),
    }


def _said(one: View) -> str:
    word = str(one.get("verdict"))
    return word if word in ("better", "worse") else "cannot tell"


def _kind(said: str) -> str:
    return f"gain {said.replace(' ', '-')}"


def scale_around(values: Iterable[float | None]) -> charts.Scale:
    """A scale that holds every known value."""
    return charts.around([value for value in values if value is not None] or [0.0, 1.0], room=0.08)


def _bounds(found: Sequence[View]) -> list[float | None]:
    """Each score with both ends of its interval."""
    return [end for one in found for end in (numbers.real(one["score"]), *numbers.pair(one.get("interval")))]


def protected(report: View) -> View | None:
    """For each label three rates, group by group, and how far the groups lie apart."""
    found = mapping(report.get("protected"))
    labels = [_label(one) for one in mappings(found.get("labels"))]
    labels = [one for one in labels if one["rates"]]
    if not labels and not found.get("note"):
        return None
    return {
        "column": found.get("column"),
        "labels": labels,
        "comparisons": sum(len(one["rates"]) for one in labels),
        "suppressed": numbers.real(found.get("suppressed")) or 0,
        "note": _sentence(found.get("note")),
    }


def _sentence(note: Any) -> str:
    said = str(note or "")
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _label(one: View) -> dict[str, Any]:
    between, groups = mapping(one.get("between")), mappings(one.get("groups"))
    rates = [_rate(name, title, of, groups, mapping(between.get(name))) for name, title, of in RATES]
    return {"label": one.get("label"), "rates": [rate for rate in rates if rate is not None]}


def _rate(name: str, title: str, of: str, groups: Sequence[View], between: View) -> View | None:
    known = [(one.get("group"), mapping(one.get(name))) for one in groups]
    known = [(group, rate) for group, rate in known if numbers.real(rate.get("value")) is not None]
    if not known:
        return None
    known.sort(key=lambda each: each[1]["value"])
    half = GROUPS // 2
    shown = known if len(known) <= GROUPS else [*known[:half], *known[-half:]]
    scale = scale_around(numbers.real(rate.get(key)) for _, rate in shown for key in ("value", "low", "high"))
    gap, p = mapping(between.get("difference")), numbers.real(between.get("p"))
    return {
        "title": title,
        "of": of,
        "lines": [_group(group, rate, scale) for group, rate in shown],
        "left": len(known) - len(shown),
        "axis": charts.axis(scale, lambda x: numbers.tick(x, True)),
        "gap": _points(gap.get("value")),
        "bounds": [_points(gap.get("low")), _points(gap.get("high"))],
        "ratio": numbers.real(mapping(between.get("ratio")).get("value")),
        "chance": _points(between.get("chance")),
        "p": p,
        "differ": p is not None and p <= SURE,
    }


def _points(value: Any) -> str:
    """A distance in points, which has no sign; "" when it is not known."""
    return "" if numbers.real(value) is None else numbers.signed(value, True).lstrip("+±")


def _group(group: Any, rate: View, scale: charts.Scale) -> View:
    low, high = numbers.real(rate.get("low")), numbers.real(rate.get("high"))
    plot = charts.interval(scale, rate["value"], low, high, "baseline")
    return {"group": group, "n": rate.get("n"), "value": rate["value"], "bounds": [low, high], "plot": plot}
