"""The data page: what was read, what the doctor found, what was done about it (``data/report.json``) as one HTML file.

    (folder / "data.html").write_text(render_data(report), encoding="utf-8")

It is for whoever knows the subject of the rows. The shell, the charts and the sections that the page of a run shows
too are those of ``tuneproof.page``; here stand the first screen and what only this page says. It computes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuneproof.page import Head, Page, Section, View, checks, last_part, numbers, prepared, render
from tuneproof.page.given import listing, mapping, mappings

# verdict of the report -> (colour of the badge, its word)
VERDICTS = {
    "clean": ("better", "Clean"),
    "warnings": ("inconclusive", "Worth a look"),
    "errors": ("worse", "Not in order"),
}
TOLD = 3  # checks that the first sentence names


def render_data(report: View) -> str:
    """The whole page; raises nothing for missing, empty or odd parts of the report."""
    return render(PAGE, report)


def head(report: View) -> Head:
    """The frame of the page."""
    word = VERDICTS.get(str(report.get("verdict")), ("", ""))[1]
    file = last_part(report.get("file")) or "Data"
    created, version = str(report.get("created") or ""), str(report.get("version") or "")
    return Head(f"{word}: {file}" if word else file, str(report.get("run") or ""), created, version, {})


def verdict(report: View) -> View:
    """The first screen: one plain sentence, and where the rows went."""
    kind, word = VERDICTS.get(str(report.get("verdict")), ("none", ""))
    books = mapping(report.get("ledger"))
    used = mapping(books.get("used")) or mapping(report.get("splits"))
    rows_in = [numbers.real(n) or 0.0 for n in (mapping(books.get("rows_in")) or mapping(report.get("files"))).values()]
    dropped = [numbers.real(one.get("rows")) or 0.0 for one in mappings(books.get("dropped"))]
    return {
        "kind": kind,
        "name": word,
        "headline": _sentence(report),
        "text": _lead(mappings(report.get("checks")), mappings(books.get("dropped"))),
        "file": report.get("file"),
        "task": report.get("task"),
        "layout": report.get("layout"),
        "rows_in": sum(rows_in) if rows_in else None,
        "files": len(rows_in),
        "repeated": sum(numbers.real(n) or 0.0 for n in mapping(books.get("repeated")).values()),
        "used": [(prepared.PART_NAMES.get(str(part), str(part)), n) for part, n in used.items()],
        "dropped": sum(dropped),
        "labels": len(checks.class_counts(report.get("checks"))),
    }


def _sentence(report: View) -> str:
    """What a person should know who reads one sentence only."""
    found = mappings(report.get("checks"))
    file = last_part(report.get("file")) or "the file"
    looked = [one for one in found if checks.state(one) != "skipped"]
    standing = [one for one in looked if one.get("action") not in checks.CHANGING]
    wrong, odd = ([one for one in standing if checks.state(one) == kind] for kind in ("error", "warn"))
    many = numbers.plural(len(looked), "check")
    if report.get("verdict") == "errors" and wrong:
        return f"{len(wrong)} of {many} found something wrong in {file}: {_titles(wrong)}."
    if report.get("verdict") == "warnings" and odd:
        return f"{file} can be used; {len(odd)} of {many} found something to look at: {_titles(odd)}."
    righted = [one for one in looked if checks.put_right(one)]
    if report.get("verdict") == "warnings" and righted:
        return f"{file} can be used; what {len(righted)} of {many} found was put right: {_titles(righted)}."
    if report.get("verdict") == "clean" and looked:
        return f"Nothing is wrong with {file} that {many} can see."
    return f"What was found in {file}."


def _titles(found: Sequence[View]) -> str:
    named = [str(one.get("title") or one.get("name") or "a check") for one in found[:TOLD]]
    low = [title[:1].lower() + title[1:] if title[1:2].islower() else title for title in named]
    return "; ".join(low) + (f"; and {len(found) - TOLD} more" if len(found) > TOLD else "")


def _lead(found: Sequence[View], dropped: Sequence[View]) -> str:
    """Why most rows left, what was done about findings, and which checks did not look, for their notes say why."""
    said = [f"{checks.done(one)} ({_titles([one])})" for one in found if numbers.real(one.get("changed"))]
    refused = [one for one in found if one.get("action") == "refused"]
    blind = [one for one in found if checks.state(one) == "skipped"]
    sentences = [
        _most(found, dropped),
        f"Refused because of: {_titles(refused)}." if refused else "",
        f"{'; '.join(said)}." if said else "",
        f"Not looked at: {_titles(blind)}." if blind else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _most(found: Sequence[View], dropped: Sequence[View]) -> str:
    """The reason that most rows left for, where more left for it than for all checks."""
    rows: dict[str, float] = {}
    for one in dropped:
        rows[str(one.get("reason"))] = rows.get(str(one.get("reason")), 0.0) + (numbers.real(one.get("rows")) or 0.0)
    reason = max(rows, key=lambda name: rows[name], default="")
    if rows.get(reason, 0.0) <= sum(numbers.real(one.get("changed")) or 0.0 for one in found):
        return ""
    return f"{numbers.plural(rows[reason], 'row')} left out: {reason}."


def reading(report: View) -> View | None:
    """Files, how they were understood, and the reader's notes."""
    files = mapping(report.get("files"))
    if not files and not report.get("task"):
        return None
    names = checks.short_names([], map(str, files))
    return {
        "files": files,
        "task": report.get("task"),
        "layout": report.get("layout"),
        "fields": mapping(report.get("fields")),
        "group": report.get("group"),
        "reasons": checks.shortened(listing(report.get("reasons")), names),
        "notes": checks.shortened(listing(report.get("notes")), names),
        "model": report.get("model"),
        "tokens_note": None if mapping(report.get("tokens")) else report.get("tokens_note"),
        "data_id": report.get("data_id"),
    }


def found(report: View) -> View | None:
    """Every check with its findings."""
    return checks.checks(report.get("checks"), map(str, mapping(report.get("files"))))


def labels(report: View) -> View | None:
    """Rows of each label, from the check that counts them."""
    counts = checks.class_counts(report.get("checks"))
    return prepared.labels(counts) if counts else None


def treatment(report: View) -> View | None:
    """For each check that found something: the rule, what was done, its effect."""
    lines: list[dict[str, Any]] = [
        {**one, "done": checks.done(one), "title": one.get("title") or one.get("name")}
        for one in mappings(report.get("checks"))
        if numbers.real(one.get("found")) and (one.get("policy") or one.get("effect"))
    ]
    return {"lines": lines, "measured": any(one.get("effect") for one in lines)} if lines else None


def training_view(report: View) -> View | None:
    """The rows as the model will read them."""
    return prepared.training_view({"training_view": report.get("training_view")})


SECTIONS = (
    Section("reading", "What was read", reading),
    Section("checks", "What the checks found", found),
    Section("treatment", "What was done about it", treatment),
    Section("ledger", "Every row accounted for", prepared.ledger),
    Section("classes", "How many rows each label has", labels),
    Section("tokens", "How long the rows are", prepared.tokens),
    Section("training_view", "What the model learns from a row", training_view),
)
PAGE = Page(Path(__file__).parent / "templates", "report.json", head, verdict, SECTIONS)
