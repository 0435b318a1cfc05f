"""Views of what prepare wrote, for every page that shows it: rows of each label, the ledger, lengths, what is learned.

    ledger({"ledger": {...}})["closes"]

Each takes the whole report and gives the figures of the section of its name, or None when there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tuneproof.page import View, charts, numbers
from tuneproof.page.given import listing, mapping, mappings

PARTS = ("train", "validation", "test")
VIEW_MOST = 60_000  # characters of one row in the training view: five rows have to fit a page of 3 MB
PIECE_MOST = 6_000  # of one stretch of it, such as a document in a prompt: its two ends
PART_NAMES = {"train": "training", "validation": "validation", "test": "test"}


def labels(found: Mapping[str, Any]) -> View:
    """label -> {part -> rows}, the most frequent label first, for the template ``labels.html.j2``."""
    counts_of = {str(name): mapping(counts) for name, counts in found.items()}
    total = {name: sum(numbers.real(counts.get(part)) or 0.0 for part in PARTS) for name, counts in counts_of.items()}
    ordered = sorted(counts_of, key=lambda name: (-total[name], name))
    most = max([*total.values(), 1.0])
    bars = [
        {
            "label": name,
            "counts": [counts_of[name].get(part) for part in PARTS],
            "total": total[name],
            "bar": charts.bar([((numbers.real(counts_of[name].get(part)) or 0.0) / most, part) for part in PARTS]),
        }
        for name in ordered
    ]
    return {"labels": bars, "chart": _label_chart(ordered, total) if len(bars) > 12 else None}


def _label_chart(ordered: Sequence[str], total: Mapping[str, float]) -> Markup:
    columns = [charts.Column("", total[name], f"{name}: {numbers.plural(total[name], 'row')}") for name in ordered]
    text = (
        f"Rows of each of {len(ordered)} labels, most frequent first: from {numbers.count(total[ordered[0]])} "
        f"({ordered[0]}) down to {numbers.count(total[ordered[-1]])} ({ordered[-1]})."
    )
    return charts.column_chart(columns, text=text)


def ledger(report: View) -> View | None:
    """Rows in, and copies of them = rows used + rows dropped."""
    found = mapping(report.get("ledger"))
    rows_in, used, dropped = mapping(found.get("rows_in")), mapping(found.get("used")), mappings(found.get("dropped"))
    repeated = mapping(found.get("repeated"))
    if not rows_in and not used:
        return None
    sums = [
        sum(numbers.real(n) or 0.0 for n in part)
        for part in (rows_in.values(), used.values(), [one.get("rows") for one in dropped], repeated.values())
    ]
    whole = max(sums[0] + sums[3], 1.0)
    parts = [((numbers.real(used.get(part)) or 0.0) / whole, part) for part in PARTS]
    return {
        "rows_in": rows_in,
        "used": {PART_NAMES.get(str(k), k): n for k, n in used.items()},
        "dropped": [{**one, "lines": listing(one.get("lines"))} for one in dropped],
        "sums": sums,
        "repeated": repeated,
        "closes": sums[0] + sums[3] == sums[1] + sums[2],
        "notes": listing(found.get("notes")),
        "bar": charts.bar([*parts, (sums[2] / whole, "dropped")]),
    }


def tokens(report: View) -> View | None:
    """Lengths of the rows in tokens, per part, with a histogram of the training rows."""
    found = {part: mapping(mapping(report.get("tokens")).get(part)) for part in PARTS}
    found = {part: one for part, one in found.items() if one}
    if not found:
        return None
    first = next(iter(found))
    bins = [[*map(numbers.real, listing(one))] for one in listing(found[first].get("histogram"))]
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
    shape = mapping(found[first].get("tokens"))
    half, most = numbers.count(shape.get("median")), numbers.count(shape.get("max"))
    text = f"Rows by length: half have up to {half} tokens, the longest {most}."
    start, end = (drawn[0][0], drawn[-1][1]) if drawn else (0.0, 0.0)
    middle = numbers.real(shape.get("median"))
    mark = ((middle - start) / (end - start), "half are shorter") if middle is not None and end > start else None
    return {
        "parts": [{"name": PART_NAMES[part], **one} for part, one in found.items()],
        "first": PART_NAMES[first],
        "note": report.get("tokens_note"),
        "main": found[first],
        # a row of a classification carries one loss, not one per token: nothing to tell
        "loss": any((numbers.real(mapping(one.get("loss")).get("max")) or 0) > 1 for one in found.values()),
        "chart": charts.column_chart(columns, text=text, mark=mark, edges=True, every=max(1, len(columns) // 5))
        if columns
        else None,
    }


def training_view(report: View) -> View | None:
    """The row as the model reads it; neighbours of one kind are joined, and very long ones are shown in part."""
    examples = []
    for one in mappings(report.get("training_view")):
        pieces: list[dict[str, Any]] = []
        for piece in mappings(one.get("pieces")):
            weight = numbers.real(piece.get("weight"))
            kind = {"loss": bool(piece.get("loss")), "cut": bool(piece.get("cut")), "weight": weight}
            if pieces and {key: pieces[-1][key] for key in kind} == kind:
                pieces[-1]["text"] += str(piece.get("text") or "")
            else:
                pieces.append({"text": str(piece.get("text") or ""), **kind})
        if pieces:
            examples.append({"title": one.get("title"), **_within(pieces)})
    cut = any(piece["cut"] for one in examples for piece in one["pieces"])
    return {"examples": examples, "cut": cut} if examples else None


def _within(pieces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The pieces that fit VIEW_MOST characters, each with at most PIECE_MOST; ``left``: characters that do not."""
    shown: list[dict[str, Any]] = []
    room, left = VIEW_MOST, 0
    for piece in pieces:
        text = piece["text"]
        if len(text) > PIECE_MOST:
            gone = len(text) - PIECE_MOST
            half = PIECE_MOST // 2
            text = f"{text[:half]}\n[... {numbers.plural(gone, 'character')} not shown here ...]\n{text[-half:]}"
        if len(text) > room:
            left += len(piece["text"])
            continue
        room -= len(text)
        shown.append({**piece, "text": text})
    return {"pieces": shown, "left": left}
