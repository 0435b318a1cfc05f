"""Figures as a person writes them: sensible digits, thousands apart, a dash for what is not there.

    share(0.93506)                  # "93.5%"
    signed(0.0112, percent=True)    # "+1.1"
    duration(84)                    # "1 min 24 s"

Every function takes whatever a JSON file may hold at that place and never raises. Nothing here knows a section.
"""

from __future__ import annotations

import math
import re
from typing import Any

MISSING = "\u2013"  # an en dash
MINUS = "\u2212"  # as wide as "+", unlike the hyphen


def real(value: Any) -> float | None:
    """``value`` as a finite number, or None for everything else (None, text, NaN, an undefined of jinja2)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def count(value: Any) -> str:
    """A whole number with thousands apart: 10,003."""
    number = real(value)
    return MISSING if number is None else f"{round(number):,}".replace("-", MINUS)


def plural(value: Any, noun: str, many: str = "") -> str:
    """``1 row``, ``3,080 rows``, ``2 classes``."""
    return f"{count(value)} {noun if real(value) == 1 else many or noun + 's'}"


def number(value: Any, digits: int = 3) -> str:
    """Significant digits, never in exponent form between 1e-4 and 1e15: 0.183, 12.4, 0.0007, 2e-05, 12,400."""
    x = real(value)
    if x is None:
        return MISSING
    if x == 0 or (x == round(x) and abs(x) < 1e15):
        return count(x)
    if abs(x) < 1e-4 or abs(x) >= 1e15:
        return f"{x:.{digits - 1}g}".replace("-", MINUS, 1 if x < 0 else 0)
    decimals = min(4, max(0, digits - 1 - math.floor(math.log10(abs(x)))))
    return f"{x:,.{decimals}f}".replace("-", MINUS)


def share(value: Any) -> str:
    """A fraction as percent with one decimal; what would be rounded to all or nothing says so: >99.9%."""
    x = real(value)
    if x is None:
        return MISSING
    if 0 < x < 0.0005:
        return "<0.1%"
    if 0.9995 <= x < 1:
        return ">99.9%"
    return f"{100 * x:.0f}%" if x in (0, 1) else f"{100 * x:.1f}%".replace("-", MINUS)


def score(value: Any, percent: bool) -> str:
    """A score in the unit of its metric: a share as percent, everything else with three digits."""
    return share(value) if percent else number(value)


def signed(value: Any, percent: bool) -> str:
    """A difference without its unit: ``+1.1`` (points) when the metric is a share, else ``+0.412``."""
    x = real(value)
    if x is None:
        return MISSING
    shown = f"{100 * abs(x):.1f}" if percent else number(abs(x))
    return ("+" if x > 0 else MINUS if x < 0 else "±") + shown


def tick(value: float, percent: bool, plus: bool = False) -> str:
    """A mark of an axis: no more digits than a round number needs; ``plus`` signs it and leaves the unit out."""
    shown = f"{round(100 * abs(value), 6):g}" if percent else f"{round(abs(value), 9):g}"
    sign = MINUS if value < 0 else "+" if plus and value else ""
    return sign + shown + ("%" if percent and not plus else "")


def interval(bounds: Any, percent: bool) -> str:
    """``92.6 to 94.3%``; an empty text when there is no interval."""
    low, high = pair(bounds)
    if low is None or high is None:
        return ""
    if percent:
        return f"{100 * low:.1f} to {100 * high:.1f}%".replace("-", MINUS)
    return f"{number(low)} to {number(high)}"


def pair(bounds: Any) -> tuple[float | None, float | None]:
    """Both ends of an interval; (None, None) for what is none."""
    if not isinstance(bounds, (list, tuple)) or len(bounds) != 2:
        return None, None
    return real(bounds[0]), real(bounds[1])


def probability(value: Any) -> str:
    """A p-value: two digits, and ``< 0.001`` below that."""
    x = real(value)
    if x is None:
        return MISSING
    return "< 0.001" if x < 0.001 else f"{x:.3f}" if x < 0.1 else f"{x:.2f}"


def duration(seconds: Any) -> str:
    """``0.8 s``, ``42 s``, ``3 min 20 s``, ``2 h 05 min``."""
    x = real(seconds)
    if x is None:
        return MISSING
    if x < 10:
        return f"{x:.1f} s"
    whole = round(x)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(value: Any) -> str:
    """``2026-05-11T14:22:03+0000`` as ``2026-05-11 14:22 UTC``; any other text as it is."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?", str(value))
    if not found:
        return str(value)
    day, time, zone = found.groups()
    return f"{day} {time}" + ("" if not zone else " UTC" if zone.strip("Z+-0:") == "" else f" UTC{zone}")


def memory(mib: Any) -> str:
    """``640 MiB``, ``2.1 GiB``."""
    x = real(mib)
    if x is None:
        return MISSING
    return f"{x / 1024:.1f} GiB" if x >= 1024 else f"{x:.0f} MiB"


def large(value: Any) -> str:
    """A count too long to read: 22.7 million."""
    x = real(value)
    if x is None:
        return MISSING
    for size, name in ((1e9, "billion"), (1e6, "million")):
        if abs(x) >= size:
            return f"{number(x / size)} {name}"
    return count(x)
