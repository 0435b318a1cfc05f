"""Views of what a score leaves open: whether confidences are true, what was forgotten, whether asking would do.

    calibration(report)["chart"]     # the reliability diagram as SVG

Errors, intervals and verdicts come from the report; nothing is tested or estimated here.
"""

from __future__ import annotations

from markupsafe import Markup

from tuneproof.evaluate.page.parts import scale_around
from tuneproof.page import View, charts, numbers
from tuneproof.page.given import listing, mapping, mappings

PROBE = "linear probe"  # the measure of forgetting that is a share
HARM = {"kept": "better", "forgot": "worse"}  # verdict of forgetting -> colour; every other one is that of doubt
READINGS = {"better": "tuning is better", "worse": "asking is better"}


def calibration(report: View) -> View | None:
    """Calibration error before and after the temperature, and the reliability diagram of both."""
    found = mapping(report.get("calibration"))
    sides = [("before", "raw", "as trained"), ("test", "held", "with the temperature")]
    known = [(mapping(found.get(key)), kind, name) for key, kind, name in sides]
    known = [(one, kind, name) for one, kind, name in known if numbers.real(one.get("ece")) is not None]
    if not known:
        return None
    if len(known) == 1:
        known = [(known[0][0], "held", "tuned model")]
    after = known[-1][0]
    scale = charts.around([0.0, *(numbers.real(one.get(key)) or 0.0 for one, _, _ in known for key in ("ece", "high"))])
    series = [charts.Series(name, _diagram(one), kind) for one, kind, name in known]
    series = [line for line in series if line.points]
    return {
        "lines": [_error(one, kind, name, scale) for one, kind, name in known],
        "axis": charts.axis(scale, lambda x: numbers.tick(x, True), [0.0]),
        "after": after,
        "off": (numbers.real(after.get("low")) or 0.0) > 0,
        "temperature": mapping(found.get("temperature")),
        "series": series,
        "chart": _reliability(series) if series else None,
        "bins": [(line.name, line.points) for line in series],
    }


def _error(one: View, kind: str, name: str, scale: charts.Scale) -> View:
    low, high = numbers.real(one.get("low")), numbers.real(one.get("high"))
    plot = charts.interval(scale, one["ece"], low, high, "tuned" if kind == "held" else "baseline", [0.0])
    return {"name": name, "ece": one["ece"], "bounds": [low, high], "plot": plot}


def _diagram(one: View) -> list[charts.Point]:
    """(confidence, share that was right) of each bin, in order."""
    pairs = [numbers.pair(list(listing(each))[:2]) for each in listing(one.get("bins"))]
    return sorted((x, y) for x, y in pairs if x is not None and y is not None)


def _reliability(series: list[charts.Series]) -> Markup:
    said = "; ".join(
        f"{line.name}: stated {numbers.share(line.points[0][0])}, right {numbers.share(line.points[0][1])} at the low "
        f"end, stated {numbers.share(line.points[-1][0])}, right {numbers.share(line.points[-1][1])} at the high end"
        for line in series
    )
    text = f"Share of answers that were right by the confidence that was stated. {said}."
    return charts.diagonal_chart(
        series, text=text, write=numbers.share, write_tick=lambda x: numbers.tick(x, True), x_name="confidence"
    )


def forgetting(report: View) -> View | None:
    """What each set of general texts shows, against zero and the limit."""
    found = mapping(report.get("forgetting"))
    sets = [one for one in mappings(found.get("sets")) if one.get("sentence")]
    if not sets:
        return None
    limit = numbers.real(found.get("limit"))
    measured = [one for one in sets if numbers.real(mapping(one.get("lost")).get("value")) is not None]
    percent = any(one.get("measure") == PROBE for one in measured)
    marks = [0.0] if limit is None else [0.0, limit]
    ends = [numbers.real(mapping(one["lost"]).get(key)) for one in measured for key in ("value", "low", "high")]
    scale = scale_around([*marks, *ends])
    return {
        "sentences": [one["sentence"] for one in sets],
        "lines": [_lost(one, scale, marks) for one in measured],
        "axis": charts.axis(scale, lambda x: numbers.tick(x, percent, plus=True), marks),
        "limit": limit,
        "percent": percent,
        "unit": "points" if percent else next((one.get("unit") for one in measured), ""),
        "kl": mapping(found.get("kl")),
    }


def _lost(one: View, scale: charts.Scale, marks: list[float]) -> View:
    lost, said = mapping(one["lost"]), str(one.get("verdict"))
    low, high = numbers.real(lost.get("low")), numbers.real(lost.get("high"))
    kind = HARM.get(said, "cannot-tell")
    plot = charts.interval(scale, float(lost["value"]), low, high, f"gain {kind}", marks)
    return {**one, **lost, "said": said, "kind": kind, "plot": plot}


def prompted(report: View) -> View | None:
    """A chat model that was only asked: its score, and the tuned model minus it on the same rows."""
    found = mapping(report.get("prompted"))
    ways = mappings(found.get("ways"))
    asked = [one for one in ways if numbers.real(one.get("score")) is not None]
    skipped = [one for one in ways if one.get("note")]
    if not asked and not skipped:
        return None
    scale = scale_around(x for one in asked for x in (one["score"], *numbers.pair(one.get("interval"))))
    return {
        "asked": found,
        "lines": [_way(one, scale) for one in asked],
        "skipped": skipped,
        "axis": charts.axis(scale, lambda x: numbers.tick(x, True)),
    }


def _way(one: View, scale: charts.Scale) -> View:
    low, high = numbers.pair(one.get("interval"))
    word = str(one.get("verdict"))
    return {
        **one,
        "difference": mapping(one.get("difference")),
        "tried": listing(one.get("tried")),
        "kind": word if word in READINGS else "cannot-tell",
        "said": READINGS.get(word, "cannot tell"),
        "plot": charts.interval(scale, one["score"], low, high, "baseline"),
    }
