"""Views of what the data doctor found, for the data page and for the page of a run.

    checks([{"name": "leakage", "title": ..., "looked_at": 9000, "found": 133, "findings": [...]}])["found"]

A check's figures are drawn by their shape (a number, a histogram, shares, a table), so that a new check needs nothing
here; what has none of these shapes is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tuneproof.page import View, charts, last_part, numbers, written_size
from tuneproof.page.given import listing, mapping, mappings

FINDINGS_BUDGET = 1_200_000  # bytes of findings on one page, beside TEXT_BUDGET: the page must stay under 3 MB
ROW_MARKUP = 330  # bytes of tags around the texts of one finding, at most
MOST_BARS = 40
MOST_LINES = 200  # of a table among a check's figures
PARTS = frozenset(("train", "validation", "test"))

NAMES = {"histogram": "How the rows lie", "shares": "Rows", "table": ""}  # figures without a name of their own
# How bad it is -> (how it is coloured, what is said)
STATES = {
    "error": ("worse", "error"),
    "warn": ("cannot-tell", "look at it"),
    "info": ("told", "for information"),
    "nothing": ("better", "nothing found"),
    "skipped": ("told", "not looked at"),
}
PUT_RIGHT = ("better", "put right")
BAD = ("error", "warn", "info")  # the worst first
CHANGING = ("dropped", "fixed")
ACTIONS = {
    "kept": "kept as they are",
    "dropped": "left out",
    "fixed": "repaired",
    "refused": "refused: the data cannot be used like this",
    "told": "told only",
}


def checks(found: Any, inputs: Iterable[str] = (), budget: int = FINDINGS_BUDGET) -> View | None:
    """Every check with its state; of those that found something as many findings as ``budget`` bytes hold.

    ``inputs`` are the paths of the data files: where one stands in a sentence, its last part is shown.
    """
    given = mappings(found)
    if not given:
        return None
    inputs = [path for path in inputs if path]
    files = short_names([one for check in given for one in mappings(check.get("findings"))], inputs)
    rows = [[_finding(one, files, inputs) for one in mappings(check.get("findings"))] for check in given]
    shown = _fitting([[_size(row) for row in several] for several in rows], budget)
    whole = [
        {
            **check,
            "id": f"check-{index}",
            "title": str(check.get("title") or check.get("name") or "A check"),
            "state": state(check),
            "tag": PUT_RIGHT if put_right(check) else STATES[state(check)],
            "done": done(check),
            "rows": several[:count],
            "columns": {key for row in several[:count] for key in ("suggest", "score", "tag") if row[key] is not None},
            "kept": len(several),
            "mixed": len({row["severity"] for row in several}) > 1,
            "drawn": figures(shortened(check.get("figures"), {path: files[path] for path in inputs})),
        }
        for index, (check, several, count) in enumerate(zip(given, rows, shown, strict=True))
    ]
    return {
        "checks": whole,
        "found": sorted((one for one in whole if one["state"] in BAD), key=lambda one: BAD.index(one["state"])),
        "quiet": [one for one in whole if one["state"] not in BAD],
    }


def state(check: View) -> str:
    """A key of STATES: how bad the worst finding is, or that there is none, or that nothing was looked at."""
    if numbers.real(check.get("found")):
        return str(check.get("severity")) if check.get("severity") in BAD else "warn"
    return "nothing" if numbers.real(check.get("looked_at")) else "skipped"


def put_right(check: View) -> bool:
    """Whether no row that was found is left as it was."""
    found, changed = numbers.real(check.get("found")), numbers.real(check.get("changed"))
    return check.get("action") in CHANGING and bool(found) and found is not None and (changed or 0.0) >= found


def done(check: View) -> str:
    """What happened to the rows that a check found, such as "133 rows left out"."""
    action = str(check.get("action"))
    said = ACTIONS.get(action, "")
    return f"{numbers.plural(check.get('changed'), 'row')} {said}" if action in CHANGING else said


def class_counts(found: Any) -> Mapping[str, Any]:
    """label -> {part -> rows}, from the first check whose figures hold it."""
    for check in mappings(found):
        for value in mapping(check.get("figures")).values():
            counts = mapping(mapping(value).get("classes")) or mapping(value)
            if _is_classes(counts):
                return counts
    return {}


def figures(found: Any, title: str = "") -> list[View]:
    """What can be drawn of a check's figures: at most one table of numbers, then charts, bars and tables."""
    single: list[View] = []
    drawn: list[View] = []
    for key, value in mapping(found).items():
        name = (title or NAMES[key]) if key in NAMES else str(key).replace("_", " ")
        if isinstance(value, str) or numbers.real(value) is not None:
            single.append({"name": name, "value": _written(str(key), value), "words": isinstance(value, str)})
        elif listing(value):
            drawn += _from_list(listing(value), name)
        elif mapping(value) and not _is_classes(mapping(value)):
            drawn += _from_mapping(mapping(value), name)
    return [{"kind": "numbers", "title": title, "lines": single}, *drawn] if single else drawn


def _is_classes(value: View) -> bool:
    return bool(value) and all(isinstance(one, Mapping) and one and set(one) <= PARTS for one in value.values())


def _from_mapping(value: View, name: str) -> list[View]:
    sizes = {str(key): numbers.real(size) for key, size in value.items()}
    if any(size is None for size in sizes.values()):
        return figures(value, name)
    most = max([abs(size or 0.0) for size in sizes.values()] + [1e-12])
    lines = [
        {"name": key, "value": size, "bar": charts.bar([(abs(size or 0.0) / most, "fill")])}
        for key, size in sorted(sizes.items(), key=lambda item: -abs(item[1] or 0.0))
    ]
    return [{"kind": "bars", "title": name, "lines": lines[:MOST_BARS], "left": max(0, len(lines) - MOST_BARS)}]


def _from_list(value: Sequence[Any], name: str) -> list[View]:
    bins = [tuple(map(numbers.real, listing(one))) for one in value]
    if all(len(one) == 3 and None not in one for one in bins):
        return [{"kind": "chart", "title": name, "chart": histogram(value, name)}]
    lines = mappings(value)
    columns = list(dict.fromkeys(str(key) for line in lines for key in line))
    if not lines or len(lines) < len(value) or not columns:
        return []
    cells = [[line.get(column) for column in columns] for line in lines[:MOST_LINES]]
    heads = [column.replace("_", " ") for column in columns]
    return [{"kind": "table", "title": name, "heads": heads, "lines": cells, "left": max(0, len(lines) - MOST_LINES)}]


def histogram(bins: Sequence[Any], name: str) -> Markup:
    """Bars over ``[from, to, rows]``, ends excluded."""
    columns = [
        charts.Column(low, size, f"{low} to {high}: {numbers.number(size)}")
        for low, high, size in ((numbers.tick(low, False), numbers.tick(high, False), size) for low, high, size in bins)
    ]
    low, high, _ = max(bins, key=lambda one: float(one[2]))
    said = f"{name or 'Rows'}: most lie between {numbers.tick(low, False)} and {numbers.tick(high, False)}."
    return charts.column_chart(columns, text=said, edges=True, every=max(1, len(columns) // 5))


def _written(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    return numbers.share(value) if key.endswith("share") else numbers.number(value)


def shortened(value: Any, files: Mapping[str, str]) -> Any:
    """``value`` with short names for the paths that stand in its texts, and yes and no for truth values."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        for path, short in files.items():
            value = value.replace(path, short)
        return value
    if isinstance(value, Mapping):
        return {key: shortened(one, files) for key, one in value.items()}
    return [shortened(one, files) for one in value] if isinstance(value, (list, tuple)) else value


def short_names(findings: Sequence[View], inputs: Iterable[str]) -> Mapping[str, str]:
    """Path of a file -> what it is called on the page: its last part, or the whole where two would be called alike."""
    paths = {*inputs, *(str(one.get("file") or "") for one in findings)}
    last = {path: last_part(path) for path in paths}
    alike = len(set(last.values())) < len(last)
    return {path: path if alike else last[path] for path in paths}


def _finding(one: View, files: Mapping[str, str], inputs: Sequence[str]) -> dict[str, Any]:
    """The cells of one finding as they are written."""
    file = str(one.get("file") or "")
    partner, between, line = str(one.get("partner") or "").rpartition(", line ")
    named = {path: files[path] for path in (*inputs, file, partner) if path in files and path}
    severity = str(one.get("severity") or "")
    return {
        "file": files[file],
        "line": one.get("line"),
        "side": str(one.get("side") or ""),
        "severity": severity,
        "tag": STATES.get(severity),
        "message": shortened(str(one.get("message") or ""), named),
        "evidence": str(one.get("evidence") or ""),
        "suggest": one.get("suggest"),
        "score": numbers.real(one.get("score")),
        "partner": f"{files.get(partner, last_part(partner))}{between}{line}",
    }


def _size(row: Mapping[str, Any]) -> int:
    texts = ("file", "message", "evidence", "suggest", "partner")
    return ROW_MARKUP + sum(written_size(str(row[key] or "")) for key in texts)


def _fitting(sizes: Sequence[Sequence[int]], budget: int) -> list[int]:
    """How many findings of each check are shown: what short lists leave of their share goes to the long ones."""
    counts, left = [0] * len(sizes), budget
    order = sorted(range(len(sizes)), key=lambda index: sum(sizes[index]))
    for place, index in enumerate(order):
        room = left // (len(order) - place)
        for size in sizes[index]:
            if size > room:
                break
            room -= size
            left -= size
            counts[index] += 1
    return counts
