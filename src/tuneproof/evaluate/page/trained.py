"""Views of what training did: rows learnt by heart, folds, noise between seeds, and whether more rows would help.

    overfitting(report)["lines"][0]["plot"]     # training rows beside test rows as SVG
    learning_curve(report)["chart"]

Gaps, intervals and curves come from the report; nothing is tested or fitted here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tuneproof.evaluate.page.parts import scale_around
from tuneproof.page import View, charts, numbers
from tuneproof.page.given import listing, mapping, mappings

WORDS = {"overfitted": "worse", "some": "better", "none": "better"}  # verdict -> colour; every other one is doubt
READINGS = {"overfitted": "overfitted", "some": "a usual gap", "none": "no gap"}
SIDES = (("train", "training rows", "baseline"), ("test", "test rows", "tuned"))


def overfitting(report: View) -> View | None:
    """The score on training rows beside that on test rows, and the gap between them."""
    found = mapping(report.get("overfitting"))
    sides = [(mapping(found.get(key)), name, kind) for key, name, kind in SIDES]
    sides = [(one, name, kind) for one, name, kind in sides if numbers.real(one.get("value")) is not None]
    if not found.get("sentence") or not sides:
        return None
    percent = found.get("percent") is not False
    scale = scale_around(numbers.real(one.get(key)) for one, _, _ in sides for key in ("value", "low", "high"))
    word = str(found.get("verdict"))
    return {
        "sentence": found["sentence"],
        "said": READINGS.get(word, "cannot tell"),
        "kind": WORDS.get(word, "cannot-tell"),
        "lines": [_line(one, name, kind, scale) for one, name, kind in sides],
        "axis": charts.axis(scale, lambda x: numbers.tick(x, percent)),
        "percent": percent,
        "gap": mapping(found.get("gap")),
        "limit": numbers.real(found.get("limit")),
    }


def _line(one: View, name: str, kind: str, scale: charts.Scale) -> View:
    low, high = numbers.real(one.get("low")), numbers.real(one.get("high"))
    plot = charts.interval(scale, float(one["value"]), low, high, kind)
    return {**one, "name": name, "kind": kind, "bounds": [low, high], "plot": plot}


def folds(report: View) -> View | None:
    """The score on each fold, and their mean."""
    found, own = mapping(report.get("folds")), mapping(report.get("run")).get("id")
    each = _each(found, "fold", lambda one, runs: one.get("run") == own)
    return None if each is None else {**each, "mean": numbers.real(found.get("mean"))}


def seeds(report: View) -> View | None:
    """The score of each seed, and the difference to the strongest baseline with training noise in it."""
    found = mapping(report.get("seeds"))
    each = _each(found, "seed", lambda one, runs: one is runs[0])
    if each is None:
        return None
    return {
        **each,
        "spread": numbers.real(found.get("spread")),
        "difference": mapping(found.get("difference")),
        "baseline": found.get("baseline"),
    }


def _each(found: View, word: str, stressed: Callable[[View, list[View]], bool]) -> View | None:
    """A line with its interval for each of several trainings, told apart by ``word``; None where there are not two."""
    runs = [one for one in mappings(found.get("runs")) if numbers.real(one.get("value")) is not None]
    if len(runs) < 2:
        return None
    percent = bool(found.get("percent"))
    scale = scale_around(numbers.real(one.get(key)) for one in runs for key in ("value", "low", "high"))
    return {
        "sentence": found.get("sentence"),
        "lines": [
            _line(one, f"{word} {one.get(word)}", "tuned" if stressed(one, runs) else "baseline", scale) for one in runs
        ],
        "axis": charts.axis(scale, lambda x: numbers.tick(x, percent)),
        "percent": percent,
    }


def learning_curve(report: View) -> View | None:
    """Test score against training rows, with the fitted curve beyond the last of them."""
    found = mapping(report.get("learning_curve"))
    points = [one for one in mappings(found.get("points")) if numbers.real(one.get("value")) is not None]
    if len(points) < 2:
        return None
    percent = bool(found.get("percent"))
    measured = [(float(one["rows"]), float(one["value"])) for one in points]
    fitted = [pair for pair in map(numbers.pair, listing(found.get("fitted"))) if None not in pair]
    series = [charts.Series("measured", measured, "held")]
    if fitted:
        series.append(charts.Series("fitted curve", [(float(x), float(y)) for x, y in fitted], "train"))  # type: ignore[arg-type]
    text = f"Score by training rows: {_told(measured, percent)}."
    chart: Any = charts.line_chart(
        series,
        text=text,
        mark=(measured[-1][0], "rows in this file"),
        zero=False,
        x_name="rows",
        write=lambda y: numbers.score(y, percent),
        write_tick=lambda y: numbers.tick(y, percent),
    )
    return {
        "sentence": found.get("sentence"),
        "chart": chart,
        "series": series,
        "points": [{**one, "bounds": [one.get("low"), one.get("high")]} for one in points],
        "percent": percent,
        "name": found.get("metric"),
    }


def _told(points: list[charts.Point], percent: bool) -> str:
    return ", ".join(f"{numbers.score(y, percent)} with {numbers.count(x)}" for x, y in points)
