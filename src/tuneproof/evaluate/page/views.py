"""Views: what each section shows, arranged from the report; None when there is nothing to show.

    plan(report)["defaults"]     # the settings that nobody chose

A view picks, orders, groups and draws; it never computes a figure that the report does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuneproof.evaluate.page.compared import few, scores
from tuneproof.page import Head, View, charts, checks, last_part, numbers, prepared
from tuneproof.page.given import listing, mapping, mappings
from tuneproof.page.words import METRICS
from tuneproof.stats.verdicts import FEWEST

DATA_PAGE = "../../data/data.html"  # as seen from eval/test/report.html
DOCTOR_BUDGET = 100_000  # bytes of findings: a taste of each check
VERDICTS = {
    "better": ("It helped", "The tuned model beats the best baseline by more than chance explains."),
    "inconclusive": ("Cannot tell", "The difference is too small to be told from chance with this test file."),
    "worse": ("It did not help", "A simpler answer does as well or better. The tuned model is not worth deploying."),
}


def head(report: View) -> Head:
    """The frame of the page."""
    run_, said = mapping(report.get("run")), mapping(mapping(report.get("scores")).get("metric_help"))
    name = VERDICTS.get(str(report.get("verdict")), ("", ""))[0]
    file = last_part(mapping(report.get("data")).get("file")) or str(run_.get("id") or "") or "Tuneproof report"
    return Head(
        title=f"{name}: {file}" if name else file,
        id=str(run_.get("id") or ""),
        created=str(run_.get("created") or ""),
        version=str(run_.get("tuneproof") or ""),
        metric_help={str(name): str(meaning) for name, meaning in said.items() if meaning},
    )


def verdict(report: View) -> View:
    """The first screen."""
    found, run, data_ = mapping(report.get("scores")), mapping(report.get("run")), mapping(report.get("data"))
    name, text = VERDICTS.get(str(report.get("verdict")), ("", ""))
    if few(report) and report.get("verdict") == "inconclusive":
        text = f"Fewer than {FEWEST} test rows: their differences are shown, and no verdict is given on so few."
    compared = scores(report) or {}
    books = mapping(report.get("ledger"))
    used = mapping(books.get("used"))
    rows_in = mapping(data_.get("rows_in")) or mapping(mapping(report.get("ledger")).get("rows_in"))
    return {
        "kind": str(report.get("verdict")) if name else "none",
        "name": name,
        "text": text,
        "headline": report.get("headline") or "A record of what was done.",
        "scores": compared,
        "n": found.get("n"),
        "run": run,
        "data": data_,
        "labels": len(mapping(data_.get("labels"))),
        "used": used,
        "rows_in": sum(int(numbers.real(n) or 0) for n in rows_in.values()),
        "files": len(rows_in),
        "repeated": sum(int(numbers.real(n) or 0) for n in mapping(books.get("repeated")).values()),
        "seconds": _total(mapping(mapping(report.get("cost")).get("seconds"))),
    }


def answers(report: View) -> View | None:
    """Prompt, reference and both answers, and how near they come on the whole."""
    found = mappings(report.get("answers"))
    if not found:
        return None
    near = mapping(report.get("written"))
    parts = {part: mapping(near.get(part)) for part in ("tuned", "base", "difference")}
    beside = [{**one, "difference": mapping(one.get("difference"))} for one in mappings(near.get("beside"))]
    return {
        "answers": [{**one, "prompt": mappings(one.get("prompt"))} for one in found],
        "written": {**near, **parts, "beside": beside} if near else None,
    }


def classes(report: View) -> View | None:
    """The per-class table, weakest first."""
    found = mappings(report.get("classes"))
    if not found:
        return None
    weakest = sorted(found, key=lambda one: (numbers.real(one.get("f1")) or 0.0, str(one.get("label"))))
    return {"classes": [{**one, "bar": charts.bar([(numbers.real(one.get("f1")) or 0.0, "fill")])} for one in weakest]}


def rows(report: View) -> View | None:
    """The worst rows first: they teach more than the best."""
    found = mapping(report.get("rows"))
    tables: list[dict[str, Any]] = [
        {"name": name, "title": title, "text": text, "rows": mappings(found.get(name))}
        for name, title, text in (
            (
                "worst",
                "Worst",
                "Here the model was furthest off. Look whether the file is wrong before blaming the model.",
            ),
            ("best", "Best", "Here the model was right and sure of it."),
        )
    ]
    tables = [table for table in tables if table["rows"]]
    for table in tables:
        table["keys"] = sorted({key for row in table["rows"] for key, value in row.items() if value is not None})
    return {"tables": tables} if tables else None


def data(report: View) -> View | None:
    """File, columns, how they were understood, and rows per label."""
    found = mapping(report.get("data"))
    if not found:
        return None
    found = {**found, "fields": mapping(found.get("fields")), "reasons": listing(found.get("reasons"))}
    return {"data": found, **prepared.labels(mapping(found.get("labels")))}


def doctor(report: View) -> View | None:
    """What the data doctor found, in short: the data page has the rest."""
    files = map(str, mapping(mapping(report.get("ledger")).get("rows_in")))
    found = checks.checks(report.get("doctor"), files, DOCTOR_BUDGET)
    return {**found, "data_page": DATA_PAGE} if found else None


def plan(report: View) -> View | None:
    """What was chosen for this run first, what stayed at its default after."""
    found = mappings(report.get("plan"))
    if not found:
        return None
    chosen = [one for one in found if one.get("by") != "default"]
    return {
        "chosen": chosen or found,
        "defaults": [one for one in found if one.get("by") == "default"] if chosen else [],
    }


def curves(report: View) -> View | None:
    """Validation score and loss against the step, drawn apart: their units have nothing to do with each other."""
    found = mapping(report.get("curves"))
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
    said = known.name if known else name
    ends = f"from {_written(score[:1], percent)} to {_written(score[-1:], percent)}"
    score_text = f"Validation {said} by step, {ends}."
    return {
        "best": best,
        "chosen": found.get("chosen"),
        "steps": found.get("steps"),
        "name": name,
        "kept": kept,
        "percent": percent,
        "score": score,
        "lines": drawn,
        "loss_name": loss_name,
        "score_chart": charts.line_chart(
            [charts.Series(said, score, "held")],
            text=score_text,
            mark=mark,
            zero=False,
            write=lambda y: numbers.score(y, percent),
            write_tick=lambda y: numbers.tick(y, percent),
        )
        if score
        else None,
        "loss_chart": charts.line_chart(
            drawn, text=loss_text + ".", mark=mark, write_tick=lambda y: numbers.tick(y, False)
        )
        if drawn
        else None,
    }


def _written(points: Sequence[charts.Point], percent: bool) -> str:
    return numbers.score(points[0][1], percent) if points else numbers.MISSING


def _points(value: Any) -> list[charts.Point]:
    pairs = [numbers.pair(one) for one in listing(value)]
    return sorted((x, y) for x, y in pairs if x is not None and y is not None)


def cost(report: View) -> View | None:
    """Time per stage, memory, speed, size."""
    found = mapping(report.get("cost"))
    if not found:
        return None
    seconds = {str(k): numbers.real(v) or 0.0 for k, v in mapping(found.get("seconds")).items()}
    whole = _total(seconds) or 1.0
    stages = [{"name": k, "seconds": v, "bar": charts.bar([(v / whole, "fill")])} for k, v in seconds.items()]
    trained, everything = (numbers.real(found.get(key)) for key in ("trained_parameters", "all_parameters"))
    part = trained / everything if trained is not None and everything else None
    return {"cost": found, "stages": stages, "total": _total(seconds), "part": part}


def _total(seconds: Mapping[str, Any]) -> float:
    return sum(numbers.real(value) or 0.0 for value in seconds.values())


def limits(report: View) -> View | None:
    """What was not measured."""
    found = [str(one) for one in listing(report.get("limits")) if one]
    return {"limits": found} if found else None


def use(report: View) -> View | None:
    """Code to copy."""
    found = [one for one in mappings(report.get("use")) if one.get("code")]
    return {"use": found} if found else None


def run(report: View) -> View | None:
    """Everything that is needed to repeat the run."""
    found = mapping(report.get("run"))
    if not found:
        return None
    return {
        "run": {**found, "versions": mapping(found.get("versions"))},
        "data": mapping(report.get("data")),
        "evaluation": mapping(report.get("evaluation")),
    }
