"""Charts as inline SVG, drawn from plain values: an interval, a bar, columns, lines.

    line_chart([Series("loss per row", [(0, 4.3), (50, 1.2)], "train")], text="Loss falls from 4.3 to 1.2.")

Positions across are percentages, so that one drawing fits a phone, a screen and paper without scaling its text.
Each chart has a text alternative; values under the pointer stand in ``data-tip``. No colour is set here: classes
name the part and the style sheet colours it. Nothing here knows a report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tuneproof.page.numbers import number

Point = tuple[float, float]
MAX_POINTS = 400  # of a line; more are thinned to the lowest and highest of each stretch
MAX_TIPS = 120  # places along a line that answer to the pointer


@dataclass(frozen=True, slots=True)
class Scale:
    """A stretch of numbers that is mapped to 0..100 percent."""

    low: float
    high: float

    def at(self, value: float) -> float:
        return 100 * (value - self.low) / (self.high - self.low)

    def place(self, value: float) -> str:
        """The position as an SVG length, kept inside the drawing."""
        return f"{min(100.0, max(0.0, self.at(value))):.2f}%"


@dataclass(frozen=True, slots=True)
class Series:
    """One line: a name for the legend, points in the order of x, and the class that draws it."""

    name: str
    points: Sequence[Point]
    kind: str = "train"  # "train" (solid), "held" or "raw" (both with dots)


@dataclass(frozen=True, slots=True)
class Column:
    """One upright bar: what stands under it, how high it is, what the pointer says."""

    label: str
    value: float
    tip: str


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers that lie in ``low..high``: steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def around(values: Sequence[float], *, room: float = 0.06, zero: bool = False) -> Scale:
    """A scale with some room around ``values``; ``zero`` starts it at 0 unless that would waste half of it."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    margin = (high - low) * room
    if zero and 0 <= low < high / 2:
        return Scale(0.0, high + margin)
    return Scale(low - margin, high + margin)


def interval(
    scale: Scale, value: float, low: float | None, high: float | None, kind: str, marks: Sequence[float] = ()
) -> Markup:
    """A dot with its interval in a line of a table; a value off the scale becomes an arrow at the edge.

    ``marks``: upright lines to compare with, such as zero or a limit.
    """
    parts = [Markup('<line class="guide" x1="0" x2="100%" y1="50%" y2="50%"/>')]
    for mark in marks:
        parts.append(Markup('<line class="zero" x1="{0}" x2="{0}" y1="0" y2="100%"/>').format(scale.place(mark)))
    if not 0 <= scale.at(value) <= 100:
        left = scale.at(value) < 0
        arrow = Markup('<svg x="{}" y="50%" overflow="visible"><path class="away" d="{}"/></svg>')
        parts.append(arrow.format("0" if left else "100%", "M9-5 1 0 9 5z" if left else "M-9-5-1 0-9 5z"))
        return _row(parts, kind)
    if low is not None and high is not None:
        parts.append(
            Markup('<line class="range" x1="{}" x2="{}" y1="50%" y2="50%"/>').format(
                scale.place(low), scale.place(high)
            )
        )
    parts.append(Markup('<circle class="dot" cx="{}" cy="50%" r="5.5"/>').format(scale.place(value)))
    return _row(parts, kind)


def axis(scale: Scale, write: Callable[[float], str], marks: Sequence[float] = ()) -> Markup:
    """The scale under a column of ``interval`` drawings, with the same ``marks``."""
    shown = [tick for tick in ticks(scale.low, scale.high, 6) if 3 <= scale.at(tick) <= 97]
    text = Markup('<line class="tick" x1="{0}" x2="{0}" y1="0" y2="5"/><text x="{0}" y="19">{1}</text>')
    parts = [text.format(scale.place(tick), write(tick)) for tick in shown]
    for mark in marks:
        parts.append(Markup('<line class="zero" x1="{0}" x2="{0}" y1="0" y2="8"/>').format(scale.place(mark)))
    return Markup('<svg class="axis" aria-hidden="true" width="100%" height="24">{}</svg>').format(
        Markup("").join(parts)
    )


def bar(shares: Sequence[tuple[float, str]], tip: str = "") -> Markup:
    """Parts of a whole side by side; each is a share of the full width (0..1) and a class."""
    parts, start = [], 0.0
    for size, kind in shares:
        part = Markup('<rect class="part {}" x="{:.3f}%" width="{:.3f}%" height="100%"/>')
        parts.append(part.format(kind, 100 * start, 100 * max(0.0, size)))
        start += size
    said = Markup(' data-tip="{}"').format(tip) if tip else ""
    drawn = Markup('<svg class="bar" aria-hidden="true" width="100%" height="9"{}>{}</svg>')
    return drawn.format(said, Markup("").join(parts))


def column_chart(
    columns: Sequence[Column],
    *,
    text: str,
    mark: tuple[float, str] | None = None,
    edges: bool = False,
    every: int = 1,
) -> Markup:
    """Upright bars; ``mark``: a line at a position (0..1 across) with a word; ``edges``: a label stands at the left
    edge of its bar, as in a histogram, and not under its middle; ``every`` thins the labels."""
    scale = Scale(0.0, max([column.value for column in columns] + [1e-12]) * 1.04)
    wide, gap = 100 / len(columns), 0.5 if len(columns) < 60 else 0.12
    parts = _grid(scale, number)
    for i, column in enumerate(columns):
        high = scale.at(column.value)
        shape = Markup(
            '<rect class="column" x="{:.3f}%" y="{:.2f}%" width="{:.3f}%" height="{:.2f}%"/>'
            '<rect class="hit" x="{:.3f}%" y="0" width="{:.3f}%" height="100%" data-tip="{}"/>'
        )
        x = i * wide
        parts.append(shape.format(x + gap * wide / 5, 100 - high, wide * (1 - gap * 0.4), high, x, wide, column.tip))
        if column.label and i % every == 0:
            parts.append(
                Markup('<text class="x" x="{:.2f}%" y="100%" dy="18">{}</text>').format(
                    x if edges else x + wide / 2, column.label
                )
            )
    if mark:
        parts.append(_mark(100 * mark[0], mark[1]))
    return _chart(parts, text, 150)


def line_chart(
    series: Sequence[Series],
    *,
    text: str,
    write: Callable[[float], str] = number,
    write_tick: Callable[[float], str] = number,
    mark: tuple[float, str] | None = None,
    x_name: str = "step",
    zero: bool = True,
) -> Markup:
    """Lines over a common x; ``mark`` is an x with a word (the step whose weights were kept)."""
    drawn = [line for line in series if line.points]
    xs = [x for line in drawn for x, _ in line.points] + ([mark[0]] if mark else [])
    across = Scale(min(xs), max(xs)) if max(xs) > min(xs) else Scale(xs[0] - 1, xs[0] + 1)
    up = around([y for line in drawn for _, y in line.points], zero=zero)
    parts = _grid(up, write_tick)
    for tick in ticks(across.low, across.high, 5):
        parts.append(
            Markup('<text class="x" x="{}" y="100%" dy="18">{}</text>').format(across.place(tick), number(tick))
        )
    if mark:
        parts.append(_mark(across.at(mark[0]), mark[1]))
    for one in drawn:
        parts.append(_line(one, across, up))
    parts.extend(_tips(drawn, across, write, x_name))
    return _chart(parts, text, 190)


def diagonal_chart(
    series: Sequence[Series],
    *,
    text: str,
    write: Callable[[float], str],
    write_tick: Callable[[float], str],
    x_name: str,
) -> Markup:
    """Lines in a square whose two axes are the same, up to 1, with the diagonal on which both values are equal."""
    least = min(value for line in series for point in line.points for value in point)
    scale = Scale(min(0.9, max(0.0, math.floor(10 * least) / 10)), 1.0)
    parts = _grid(scale, write_tick)
    parts.append(Markup('<line class="zero" x1="0" x2="100%" y1="100%" y2="0"/>'))
    for tick in ticks(scale.low, scale.high, 4):
        parts.append(
            Markup('<text class="x" x="{}" y="100%" dy="18">{}</text>').format(scale.place(tick), write_tick(tick))
        )
    parts.extend(_line(one, scale, scale) for one in series)
    parts.extend(_tips(series, scale, write, x_name))
    return _chart(parts, text, 300)


def thin(points: Sequence[Point], most: int = MAX_POINTS) -> list[Point]:
    """At most ``most`` points that keep the peaks: of each stretch its lowest and its highest, in order."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(2 * len(points) / most)
    kept: list[Point] = []
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept.extend(sorted(ends))
    return kept


def _mark(at: float, said: str) -> Markup:
    """An upright line with a word above it that stays inside the drawing."""
    side = "end" if at > 70 else "start" if at < 30 else "middle"
    line = (
        '<line class="mark" x1="{0:.2f}%" x2="{0:.2f}%" y1="0" y2="100%"/>'
        '<text class="x at-{2}" x="{0:.2f}%" y="-6">{1}</text>'
    )
    return Markup(line).format(at, said, side)


def _line(series: Series, across: Scale, up: Scale) -> Markup:
    points = thin(series.points)
    path = " ".join(f"{10 * across.at(x):.1f},{1000 - 10 * up.at(y):.1f}" for x, y in points)
    shape = Markup(
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%" overflow="visible">'
        '<polyline class="line {}" points="{}" vector-effect="non-scaling-stroke"/></svg>'
    ).format(series.kind, path)
    if len(points) > 60 or (series.kind == "train" and len(points) > 1):
        return shape
    dot = Markup('<circle class="point {}" cx="{:.2f}%" cy="{:.2f}%" r="3.5"/>')
    return shape + Markup("").join(dot.format(series.kind, across.at(x), 100 - up.at(y)) for x, y in points)


def _tips(series: Sequence[Series], across: Scale, write: Callable[[float], str], x_name: str) -> list[Markup]:
    """Unseen upright stripes that say the values at their place to the pointer."""
    said: dict[float, list[str]] = {}
    for line in series:
        for x, y in thin(line.points, MAX_TIPS):
            said.setdefault(x, []).append(f"{line.name} {write(y)}")
    places = sorted(said)
    stripes = []
    for i, x in enumerate(places):
        left = across.at((places[i - 1] + x) / 2) if i else 0.0
        right = across.at((places[i + 1] + x) / 2) if i + 1 < len(places) else 100.0
        stripe = Markup('<rect class="hit" x="{:.2f}%" y="0" width="{:.2f}%" height="100%" data-tip="{}"/>')
        stripes.append(stripe.format(left, max(0.0, right - left), f"{x_name} {number(x)}: " + ", ".join(said[x])))
    return stripes


def _grid(up: Scale, write: Callable[[float], str]) -> list[Markup]:
    line = Markup(
        '<line class="grid" x1="0" x2="100%" y1="{0:.2f}%" y2="{0:.2f}%"/>'
        '<text class="y" x="-8" y="{0:.2f}%">{1}</text>'
    )
    return [line.format(100 - up.at(tick), write(tick)) for tick in ticks(up.low, up.high, 4)]


def _row(parts: Sequence[Markup], kind: str) -> Markup:
    drawn = Markup('<svg class="interval {}" aria-hidden="true" width="100%" height="26">{}</svg>')
    return drawn.format(kind, Markup("").join(parts))


def _chart(parts: Sequence[Markup], text: str, height: int) -> Markup:
    drawn = Markup(
        '<div class="plot"><svg class="chart" role="img" aria-label="{}" width="100%" height="{}">{}</svg></div>'
    )
    return drawn.format(text, height, Markup("").join(parts))
