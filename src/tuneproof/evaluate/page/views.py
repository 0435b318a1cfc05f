"""Views: what each section shows, arranged from the report; None when there is nothing to show.

    scores(report)["systems"][0]["plot"]     # the SVG of the first line of the interval chart

A view picks, orders, groups and draws; it never computes a figure that the report does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuneproof.evaluate.page import charts, numbers
from tuneproof.evaluate.page.words import METRICS

View = Mapping[str, Any]
PARTS = ("train", "validation", "test")
PART_NAMES = {"train": "training", "validation": "validation", "test": "test"}
VERDICTS = {
    "better": ("It helped", "Tuning beat every baseline, by more than chance explains."),
    "inconclusive": ("Cannot tell", "The difference is too small to be told from chance with this test file."),
    "worse": ("It did not help", "A simpler answer does as well or better. The tuned model is not worth deploying."),
}


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in _list(value) if isinstance(item, Mapping)]


def _metrics(found: Mapping[str, Any]) -> tuple[str, bool, bool]:
    """Name of the deciding metric, whether it is a share, whether more is better."""
    return str(found.get("primary") or "score"), bool(found.get("percent")), found.get("higher_is_better") is not False


def metric_help(report: View) -> dict[str, str]:
    """What the report itself says about its metrics."""
    found = _dict(_dict(report.get("scores")).get("metric_help"))
    return {str(name): str(said) for name, said in found.items() if said}


def verdict(report: View) -> View:
    """The first screen."""
    found, run, data_ = _dict(report.get("scores")), _dict(report.get("run")), _dict(report.get("data"))
    name, text = VERDICTS.get(str(report.get("verdict")), ("", ""))
    compared = scores(report) or {}
    used = _dict(_dict(report.get("ledger")).get("used"))
    rows_in = _dict(data_.get("rows_in")) or _dict(_dict(report.get("ledger")).get("rows_in"))
    return {
        "kind": str(report.get("verdict")) if name else "none",
        "name": name,
        "text": text,
        "headline": report.get("headline") or "A record of what was done.",
        "scores": compared,
        "n": found.get("n"),
        "run": run,
        "data": data_,
        "labels": len(_dict(data_.get("labels"))),
        "used": used,
        "rows_in": sum(int(numbers.real(n) or 0) for n in rows_in.values()),
        "files": len(rows_in),
        "seconds": _total(_dict(_dict(report.get("cost")).get("seconds"))),
    }


def scores(report: View) -> View | None:
    """Every system with its score and interval, and the paired difference of the tuned model to each baseline."""
    found = _dict(report.get("scores"))
    systems = [one for one in _dicts(found.get("systems")) if _value(one, found) is not None]
    if not systems:
        return None
    primary, percent, higher = _metrics(found)
    tuned = next((one for one in systems if one.get("kind") == "tuned"), systems[0])
    others = sorted(
        (one for one in systems if one is not tuned), key=lambda one: _value(one, found) or 0, reverse=higher
    )
    scale = _near(_value(tuned, found) or 0.0, [(_value(one, found), one.get("interval")) for one in [tuned, *others]])
    names = list(dict.fromkeys(name for one in systems for name in _dict(one.get("values"))))
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
        "metrics": [
            {
                "name": name,
                "share": percent and name in METRICS and METRICS[name].share or (percent and name == primary),
            }
            for name in names
        ],
        "power": found.get("power"),
        "notes": _list(found.get("notes")),
    }


def _value(system: View, found: View) -> float | None:
    return numbers.real(_dict(system.get("values")).get(str(found.get("primary"))))


def _system(system: View, found: View, scale: charts.Scale) -> View:
    value, (low, high) = _value(system, found) or 0.0, numbers.pair(system.get("interval"))
    kind = "tuned" if system.get("kind") == "tuned" else "baseline"
    away = not 0 <= scale.at(value) <= 100
    return {**system, "value": value, "away": away, "plot": charts.interval(scale, value, low, high, kind, False)}


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
        if number_ and width < 0.06 * (max(reach) - min(reach)):
            break
        kept = reach
    return charts.around(kept, room=0.12)


def _gains(others: Sequence[View], found: View) -> View | None:
    """Tuned minus baseline with its interval, on a scale that holds zero."""
    _, percent, higher = _metrics(found)
    pairs = [(one, _dict(one.get("difference"))) for one in others]
    pairs = [(one, gap) for one, gap in pairs if numbers.real(gap.get("value")) is not None]
    if not pairs:
        return None
    scale = _near(
        0.0, [(0.0, _widest(pairs)), *((gap.get("value"), [gap.get("low"), gap.get("high")]) for _, gap in pairs)]
    )
    lines = []
    for one, gap in pairs:
        value, low, high = float(gap["value"]), numbers.real(gap.get("low")), numbers.real(gap.get("high"))
        sure = low is not None and high is not None and (low > 0 or high < 0)
        good = (value > 0) == higher
        said = "cannot tell" if not sure else "better" if good else "worse"
        plot = charts.interval(scale, value, low, high, f"gain {said.replace(' ', '-')}", True)
        lines.append({"name": one.get("name"), **gap, "bounds": [low, high], "said": said, "plot": plot})
    return {"lines": lines, "axis": charts.axis(scale, lambda x: numbers.tick(x, percent, plus=True), True)}


def _widest(pairs: Sequence[tuple[View, View]]) -> list[float]:
    """The nearest difference gives the size of the scale."""
    gap = min((gap for _, gap in pairs), key=lambda gap: abs(float(gap["value"])))
    reach = max((numbers.real(gap.get(key)) or 0.0 for key in ("value", "low", "high")), key=abs)
    return [-0.3 * reach, reach]


def answers(report: View) -> View | None:
    """Prompt, reference and both answers."""
    found = _dicts(report.get("answers"))
    return {"answers": found} if found else None


def classes(report: View) -> View | None:
    """The per-class table, weakest first, and what is taken for what."""
    found, mixed = _dicts(report.get("classes")), _dicts(report.get("confusions"))
    if not found and not mixed:
        return None
    weakest = sorted(found, key=lambda one: (numbers.real(one.get("f1")) or 0.0, str(one.get("label"))))
    most = max([numbers.real(one.get("n")) or 0.0 for one in mixed] + [1.0])
    return {
        "classes": [{**one, "bar": charts.bar([(numbers.real(one.get("f1")) or 0.0, "fill")])} for one in weakest],
        "confusions": [
            {**one, "bar": charts.bar([((numbers.real(one.get("n")) or 0.0) / most, "miss")])} for one in mixed
        ],
    }


def rows(report: View) -> View | None:
    """The worst rows first: they teach more than the best."""
    found = _dict(report.get("rows"))
    tables = [
        {"name": name, "title": title, "text": text, "rows": _dicts(found.get(name))}
        for name, title, text in (
            ("worst", "Worst", "Here the model was furthest off. Often the label in the file is the mistake."),
            ("best", "Best", "Here the model was right and sure of it."),
        )
    ]
    tables = [table for table in tables if table["rows"]]
    for table in tables:
        table["keys"] = {key for row in _dicts(table["rows"]) for key, value in row.items() if value is not None}
    return {"tables": tables} if tables else None


def data(report: View) -> View | None:
    """File, columns, how they were understood, and rows per label."""
    found = _dict(report.get("data"))
    if not found:
        return None
    labels = {str(name): _dict(counts) for name, counts in _dict(found.get("labels")).items()}
    total = {name: sum(numbers.real(counts.get(part)) or 0.0 for part in PARTS) for name, counts in labels.items()}
    ordered = sorted(labels, key=lambda name: (-total[name], name))
    most = max([*total.values(), 1.0])
    bars = [
        {
            "label": name,
            "counts": [labels[name].get(part) for part in PARTS],
            "total": total[name],
            "bar": charts.bar([((numbers.real(labels[name].get(part)) or 0.0) / most, part) for part in PARTS]),
        }
        for name in ordered
    ]
    return {"data": found, "labels": bars, "chart": _label_chart(ordered, total) if len(bars) > 12 else None}


def _label_chart(ordered: Sequence[str], total: Mapping[str, float]) -> str:
    columns = [charts.Column("", total[name], f"{name}: {numbers.plural(total[name], 'row')}") for name in ordered]
    text = (
        f"Rows of each of {len(ordered)} labels, most frequent first: from {numbers.count(total[ordered[0]])} "
        f"({ordered[0]}) down to {numbers.count(total[ordered[-1]])} ({ordered[-1]})."
    )
    return charts.column_chart(columns, text=text)


def ledger(report: View) -> View | None:
    """Rows in = rows used + rows dropped."""
    found = _dict(report.get("ledger"))
    rows_in, used, dropped = _dict(found.get("rows_in")), _dict(found.get("used")), _dicts(found.get("dropped"))
    if not rows_in and not used:
        return None
    sums = [
        sum(numbers.real(n) or 0.0 for n in part)
        for part in (rows_in.values(), used.values(), [one.get("rows") for one in dropped])
    ]
    whole = max(sums[0], 1.0)
    parts = [((numbers.real(used.get(part)) or 0.0) / whole, part) for part in PARTS]
    return {
        "rows_in": rows_in,
        "used": {PART_NAMES.get(str(k), k): n for k, n in used.items()},
        "dropped": dropped,
        "sums": sums,
        "closes": sums[0] == sums[1] + sums[2],
        "notes": _list(found.get("notes")),
        "bar": charts.bar([*parts, (sums[2] / whole, "dropped")]),
    }


def tokens(report: View) -> View | None:
    """Lengths of the rows in tokens, per part, with a histogram of the training rows."""
    found = {part: _dict(_dict(report.get("tokens")).get(part)) for part in PARTS}
    found = {part: one for part, one in found.items() if one}
    if not found:
        return None
    first = next(iter(found))
    bins = [[*map(numbers.real, _list(one))] for one in _list(found[first].get("histogram"))]
    drawn = [
        (a, b, n)
        for a, b, n in (one for one in bins if len(one) == 3)
        if a is not None and b is not None and n is not None
    ]
    columns = [
        charts.Column(
            numbers.count(a), n, f"{numbers.count(a)} to {numbers.count(b)} tokens: {numbers.plural(n, 'row')}"
        )
        for a, b, n in drawn
    ]
    text = f"Rows by length: most rows have a length near {numbers.count(found[first].get('tokens', {}).get('median'))} tokens."
    start, end = (drawn[0][0], drawn[-1][1]) if drawn else (0.0, 0.0)
    middle = numbers.real(_dict(found[first].get("tokens")).get("median"))
    mark = ((middle - start) / (end - start), "half are shorter") if middle is not None and end > start else None
    return {
        "parts": [{"name": PART_NAMES[part], **one} for part, one in found.items()],
        "first": PART_NAMES[first],
        "main": found[first],
        "loss": any(_dict(one.get("loss")) for one in found.values()),
        "chart": charts.column_chart(columns, text=text, mark=mark, edges=True, every=max(1, len(columns) // 5))
        if columns
        else None,
    }


def training_view(report: View) -> View | None:
    """The row as the model reads it; neighbours of one kind are joined."""
    examples = []
    for one in _dicts(report.get("training_view")):
        pieces: list[dict[str, Any]] = []
        for piece in _dicts(one.get("pieces")):
            if pieces and pieces[-1]["loss"] == bool(piece.get("loss")):
                pieces[-1]["text"] += str(piece.get("text") or "")
            else:
                pieces.append({"text": str(piece.get("text") or ""), "loss": bool(piece.get("loss"))})
        if pieces:
            examples.append({"title": one.get("title"), "pieces": pieces})
    return {"examples": examples} if examples else None


def plan(report: View) -> View | None:
    """What was chosen for this run first, what stayed at its default after."""
    found = _dicts(report.get("plan"))
    if not found:
        return None
    chosen = [one for one in found if one.get("by") != "default"]
    return {
        "chosen": chosen or found,
        "defaults": [one for one in found if one.get("by") == "default"] if chosen else [],
    }


def curves(report: View) -> View | None:
    """Validation score and loss against the step, drawn apart: their units have nothing to do with each other."""
    found = _dict(report.get("curves"))
    train, score, held = (_points(found.get(key)) for key in ("train", "validation", "validation_loss"))
    if not train and not score and not held:
        return None
    best = numbers.real(found.get("best_step"))
    mark = None if best is None else (best, f"kept: step {numbers.count(best)}")
    name = str(found.get("validation_name") or "score")
    known = METRICS.get(name)
    percent = bool(known and known.share)
    kept = next((y for x, y in score if x == best), None)
    loss_name = str(found.get("loss_name") or "loss")
    lines = [charts.Series(f"training {loss_name}", train), charts.Series(f"validation {loss_name}", held, "held")]
    drawn = [line for line in lines if line.points]
    loss_text = ". ".join(
        f"{line.name} goes from {numbers.number(line.points[0][1])} to {numbers.number(line.points[-1][1])}"
        for line in drawn
    )
    score_text = f"Validation {known.name if known else name} by step, from {_written(score[:1], percent)} to {_written(score[-1:], percent)}."
    return {
        "best": best,
        "steps": found.get("steps"),
        "name": name,
        "kept": kept,
        "percent": percent,
        "score": score,
        "lines": drawn,
        "loss_name": loss_name,
        "score_chart": charts.line_chart(
            [charts.Series(known.name if known else name, score, "held")],
            text=score_text,
            mark=mark,
            zero=False,
            write=lambda y: numbers.score(y, percent),
            write_tick=lambda y: numbers.tick(y, percent),
        )
        if score
        else None,
        "loss_chart": charts.line_chart(drawn, text=loss_text + ".", mark=mark) if drawn else None,
    }


def _written(points: Sequence[charts.Point], percent: bool) -> str:
    return numbers.score(points[0][1], percent) if points else numbers.MISSING


def _points(value: Any) -> list[charts.Point]:
    pairs = [numbers.pair(one) for one in _list(value)]
    return sorted((x, y) for x, y in pairs if x is not None and y is not None)


def cost(report: View) -> View | None:
    """Time per stage, memory, speed, size."""
    found = _dict(report.get("cost"))
    if not found:
        return None
    seconds = {str(k): numbers.real(v) or 0.0 for k, v in _dict(found.get("seconds")).items()}
    whole = _total(seconds) or 1.0
    stages = [{"name": k, "seconds": v, "bar": charts.bar([(v / whole, "fill")])} for k, v in seconds.items()]
    trained, everything = (numbers.real(found.get(key)) for key in ("trained_parameters", "all_parameters"))
    part = trained / everything if trained is not None and everything else None
    return {"cost": found, "stages": stages, "total": _total(seconds), "part": part}


def _total(seconds: Mapping[str, Any]) -> float:
    return sum(numbers.real(value) or 0.0 for value in seconds.values())


def limits(report: View) -> View | None:
    """What was not measured."""
    found = [str(one) for one in _list(report.get("limits")) if one]
    return {"limits": found} if found else None


def use(report: View) -> View | None:
    """Code to copy."""
    found = [one for one in _dicts(report.get("use")) if one.get("code")]
    return {"use": found} if found else None


def run(report: View) -> View | None:
    """Everything that is needed to repeat the run."""
    found = _dict(report.get("run"))
    return {"run": found, "data": _dict(report.get("data"))} if found else None
