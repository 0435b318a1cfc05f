"""Where the model is weaker: scores on parts of the test rows, by columns of the file and by what the rows show.

    named = slice_names(table, predictions, answer)          # {"length": ["short (up to 9 tokens)", ...], ...}
    report_slices(named, tuned, strongest, ...)              # n, score, interval, difference to the baseline

Automatic: length (terciles of tokens), script, label, file, time. A part with fewer than 30 rows is not shown, one with
fewer than 100 cannot tell anything about a difference; p values are corrected by Holm over all parts that can. Whether
a group of people is treated differently is ``fairness``.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tuneproof.evaluate import measure
from tuneproof.evaluate.measures import Measure, Pairs, items
from tuneproof.records import Prediction, Table
from tuneproof.stats.paired import Difference
from tuneproof.stats.verdicts import FEWEST, holm, non_inferior, verdict
from tuneproof.tasks import kept

TOLD = 100  # rows below which a part says nothing about a difference
MARGIN = 0.05  # a part may be at most this much worse than before (points of a share; nats of a loss)
SCANNED = 200  # characters of a text from which its script is told


def slice_names(
    table: Table, predictions: Sequence[Prediction], texts: Sequence[str], labelled: bool
) -> dict[str, list[str]]:
    """For each way to divide the rows the part that each row is in; ways with one part only are left out."""
    found = {
        name.removeprefix(kept.PREFIX): list(values) for name, values in table.columns.items() if kept.is_kept(name)
    }
    found["length"] = _terciles([p.tokens_in for p in predictions], "tokens")
    found["script"] = [script(text) for text in texts]
    if labelled:
        found["label"] = [str(p.truth) for p in predictions]
    if table.files:
        found["file"] = list(table.files)
    if "time" in table.columns:
        found["time"] = _periods(table.columns["time"])
    return {name: values for name, values in found.items() if len(set(values)) > 1}


def report_slices(
    named: Mapping[str, Sequence[str]],
    tuned: Sequence[Prediction],
    baseline: Sequence[Prediction],
    group: Sequence[Any] | None,
    how: Measure,
    labels: tuple[str, ...] = (),
) -> dict[str, Any]:
    """{"parts": [...], "suppressed": n, "baseline margin": ...}: every part with at least 30 rows, as plain JSON."""
    parts: list[dict[str, Any]] = []
    suppressed = 0
    whole = Pairs(items(baseline), items(tuned), group, labels)
    for column, values in named.items():
        for value, indices in _parts(values):
            if len(indices) < FEWEST:
                suppressed += 1
                continue
            pairs = whole.take(indices)
            found = how.interval(pairs.b, labels, pairs.group)
            gap = how.difference(pairs)
            if found.value is None or gap.value is None:  # such as a part without any entity
                suppressed += 1
                continue
            parts.append(
                {
                    "column": column,
                    "value": value,
                    "n": len(indices),
                    "score": found.value,
                    "interval": [found.low, found.high],
                    "difference": gap,
                }
            )
    _judge(parts, how.higher_is_better)
    return {"parts": parts, "suppressed": suppressed, "fewest": FEWEST, "told": TOLD}


def _judge(parts: list[dict[str, Any]], higher_is_better: bool) -> None:
    """The verdict of each part that is large enough, with p corrected over those."""
    judged = [part for part in parts if part["n"] >= TOLD and part["difference"].p is not None]
    for part, p in zip(judged, holm([part["difference"].p for part in judged]), strict=True):
        part["p_holm"] = p
        corrected = dataclasses.replace(part["difference"], p=p)
        part["verdict"] = verdict(corrected, higher_is_better=higher_is_better)
    for part in parts:
        part.setdefault("p_holm", None)
        part.setdefault("verdict", "cannot tell")
        part["difference"] = measure.as_json(part["difference"])


def gate(pairs: Pairs, slices: Sequence[Mapping[str, str]], how: Measure) -> list[dict[str, Any]]:
    """For each part with 100 rows or more: was B shown to be less than 5 points worse than A there, or to be worse?

    Both are asked of every part, so both p are corrected by Holm over the parts: where the models are equal any part
    "fails" in at most 3 of 100 cases, however many there are. A part that neither holds nor fails is not told.
    """
    parts: list[tuple[str, str, Difference]] = []
    for column in dict.fromkeys(name for one in slices for name in one):
        for value, indices in _parts([one.get(column, "") for one in slices]):
            if len(indices) >= TOLD:
                parts.append((column, value, how.difference(pairs.take(indices))))
    near = _corrected([non_inferior(d, MARGIN, higher_is_better=how.higher_is_better).p for _, _, d in parts])
    apart = _corrected([d.p for _, _, d in parts])
    return [_gated(*part, how, p, q) for part, p, q in zip(parts, near, apart, strict=True)]


def _corrected(p: Sequence[float | None]) -> list[float | None]:
    """By Holm over those that have a value."""
    adjusted = iter(holm([each for each in p if each is not None]))
    return [None if each is None else next(adjusted) for each in p]


def _gated(
    column: str, value: str, d: Difference, how: Measure, near: float | None, apart: float | None
) -> dict[str, Any]:
    """``near`` is the corrected p of "worse by 5 points or more", ``apart`` that of "no difference"."""
    holds = near is not None and near <= 0.05
    seen = dataclasses.replace(d, p=apart)
    gap = "no value" if d.value is None else how.gap(d)
    corrected = "" if apart is None or apart == d.p else f", by Holm p = {apart:.2g}"
    return {
        "column": column,
        "value": value,
        "n": d.n,
        "difference": measure.as_json(d),
        "p_holm": near,
        "p_holm_worse": apart,
        "holds": holds,
        "fails": not holds and verdict(seen, higher_is_better=how.higher_is_better) == "worse",
        "sentence": f"{d.n:,} rows, a difference of {gap}{corrected}",
    }


def script(text: str) -> str:
    """The writing of most letters of the beginning: "latin", "cyrillic", "cjk", ...; "none" without letters."""
    counts = Counter(
        unicodedata.name(letter, "unknown").split()[0].split("-")[0].lower()
        for letter in text[:SCANNED]
        if letter.isalpha()
    )
    return min(counts, key=lambda name: (-counts[name], name)) if counts else "none"


def _parts(values: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Parts with their row numbers, the largest first."""
    found: dict[str, list[int]] = {}
    for index, value in enumerate(values):
        found.setdefault(value, []).append(index)
    return sorted(found.items(), key=lambda part: (-len(part[1]), part[0]))


def _terciles(lengths: Sequence[int], unit: str) -> list[str]:
    """Short, medium and long by the lengths a third and two thirds up; equal lengths are in one part."""
    low, high = _thirds(lengths)

    def name(length: int) -> str:
        if length <= low:
            return f"short (up to {low:,} {unit})"
        return f"medium ({low + 1:,} to {high:,} {unit})" if length <= high else f"long (over {high:,} {unit})"

    return [name(length) for length in lengths]


def _periods(times: Sequence[str]) -> list[str]:
    """Thirds of the rows by time, named by their first and last day; rows of one moment are in one part."""
    edges = _thirds(times)
    parts = [sum(time > edge for edge in edges) for time in times]
    days = {
        part: sorted(time[:10] for time, own in zip(times, parts, strict=True) if own == part) for part in set(parts)
    }
    return [f"{days[part][0]} to {days[part][-1]}" for part in parts]


def _thirds(values: Sequence[Any]) -> tuple[Any, Any]:
    """The last value of the lowest third, and of the middle third."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) // 3) - 1], ordered[-(-2 * len(ordered) // 3) - 1]
