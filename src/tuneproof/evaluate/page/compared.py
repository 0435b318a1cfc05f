"""The view of the scores: each system on a common scale, and the tuned model minus each baseline.

    scores(report)["systems"][0]["plot"]     # the SVG of the first line of the interval chart

Differences and intervals come from the report; nothing is tested or estimated here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuneproof.page import View, charts, numbers
from tuneproof.page.given import listing, mapping, mappings
from tuneproof.page.words import METRICS
from tuneproof.stats.verdicts import ALPHA, FEWEST


def scores(report: View) -> View | None:
    """Every system with its score and interval, and the paired difference of the tuned model to each baseline."""
    found = mapping(report.get("scores"))
    systems = [one for one in mappings(found.get("systems")) if _value(one, found) is not None]
    if not systems:
        return None
    primary, percent, higher = _metrics(found)
    tuned = next((one for one in systems if one.get("kind") == "tuned"), systems[0])
    others = sorted(
        (one for one in systems if one is not tuned), key=lambda one: _value(one, found) or 0, reverse=higher
    )
    scale = _near(_value(tuned, found) or 0.0, [(_value(one, found), one.get("interval")) for one in [tuned, *others]])
    names = list(dict.fromkeys(name for one in systems for name in mapping(one.get("values"))))
    names.sort(key=lambda name: name != primary)
    return {
        "primary": primary,
        "percent": percent,
        "higher": higher,
        "n": found.get("n"),
        "systems": [_system(one, found, scale) for one in [tuned, *others]],
        "tuned": _system(tuned, found, scale),
        "best": _system(others[0], found, scale) if others else None,
        "axis": charts.axis(scale, lambda x: numbers.tick(x, percent)),
        "gains": _gains(others, found),
        "few": FEWEST if few(report) else None,
        "metrics": [
            {
                "name": name,
                "share": percent and (name == primary or (name in METRICS and METRICS[name].share)),
            }
            for name in names
        ],
        "power": found.get("power"),
        "notes": listing(found.get("notes")),
    }


def few(report: View) -> bool:
    """Whether there are too few test rows for any verdict."""
    n = numbers.real(mapping(report.get("scores")).get("n"))
    return n is not None and n < FEWEST


def _value(system: View, found: View) -> float | None:
    return numbers.real(mapping(system.get("values")).get(str(found.get("primary"))))


def _system(system: View, found: View, scale: charts.Scale) -> View:
    value, (low, high) = _value(system, found) or 0.0, numbers.pair(system.get("interval"))
    kind = "tuned" if system.get("kind") == "tuned" else "baseline"
    away = not 0 <= scale.at(value) <= 100
    return {**system, "value": value, "away": away, "plot": charts.interval(scale, value, low, high, kind)}


def _near(value: float, found: Sequence[tuple[float | None, Any]]) -> charts.Scale:
    """A scale around ``value`` on which its interval can still be seen: systems far away are left outside."""
    ends = {
        i: [x, *(end for end in numbers.pair(bounds) if end is not None)]
        for i, (x, bounds) in enumerate(found)
        if x is not None
    }
    width = max(ends[0]) - min(ends[0]) if 0 in ends else 0.0
    kept = list(ends.get(0, [value]))
    for number_, i in enumerate(sorted((i for i in ends if i), key=lambda i: abs(ends[i][0] - value))):
        reach = kept + ends[i]
        if number_ and width < 0.1 * (max(reach) - min(reach)):
            break
        kept = reach
    return charts.around(kept, room=0.12)


def _gains(others: Sequence[View], found: View) -> View | None:
    """Tuned minus baseline with its interval, on a scale that holds zero."""
    _, percent, higher = _metrics(found)
    pairs = [(one, mapping(one.get("difference"))) for one in others]
    pairs = [(one, gap) for one, gap in pairs if numbers.real(gap.get("value")) is not None]
    if not pairs:
        return None
    scale = _near(
        0.0,
        [(0.0, _strongest(pairs[0][1])), *((gap.get("value"), [gap.get("low"), gap.get("high")]) for _, gap in pairs)],
    )
    lines = []
    for one, gap in pairs:
        value, low, high = float(gap["value"]), numbers.real(gap.get("low")), numbers.real(gap.get("high"))
        p, n = numbers.real(gap.get("p")), numbers.real(gap.get("n"))
        sure = low is not None and high is not None and (low > 0 or high < 0)  # and as stats.verdicts.verdict asks
        sure = sure and (p is None or p <= ALPHA) and (n is None or n >= FEWEST)
        good = (value > 0) == higher
        said = "cannot tell" if not sure else "better" if good else "worse"
        plot = charts.interval(scale, value, low, high, f"gain {said.replace(' ', '-')}", [0.0])
        lines.append({"name": one.get("name"), **gap, "bounds": [low, high], "said": said, "plot": plot})
    return {"lines": lines, "axis": charts.axis(scale, lambda x: numbers.tick(x, percent, plus=True), [0.0])}


def _strongest(gap: View) -> list[float]:
    """The strongest baseline is always on the scale, whose size is that of its difference."""
    reach = max((numbers.real(gap.get(key)) or 0.0 for key in ("value", "low", "high")), key=abs)
    return [-0.3 * reach, reach]


def _metrics(found: Mapping[str, Any]) -> tuple[str, bool, bool]:
    """Name of the deciding metric, whether it is a share, whether more is better."""
    return str(found.get("primary") or "score"), bool(found.get("percent")), found.get("higher_is_better") is not False
