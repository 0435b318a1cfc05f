"""Is B better than A? Two finished runs, or a run and one of its baselines, paired row by row.

    found = compare(["runs/old-1a2b", "runs/new-3c4d"])
    found["verdict"]                       # "better": the second against the first

The first is what is there, the second what would replace it. A name that is no run directory is a baseline of the
other side (``base`` is the untouched pretrained model as far as it can do the task). What cannot be compared fairly is
refused: other rows, another task, other labels, another template, test rows that one of the two was trained on.
It reads predictions that are there; it runs no model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tuneproof.errors import CheckError, ConfigError, DataError, nearest
from tuneproof.evaluate import uses
from tuneproof.evaluate.contender import Contender, contenders
from tuneproof.evaluate.leaks import Leaks
from tuneproof.evaluate.measures import MEASURES, Measure, Pairs
from tuneproof.evaluate.repeated import others, two_way
from tuneproof.evaluate.slices import gate
from tuneproof.stats.paired import Difference
from tuneproof.stats.power import power_line, power_line_mean
from tuneproof.stats.verdicts import FEWEST, holm, non_inferior, verdict

EXIT_CODES = {"better": 0, "worse": 1, "inconclusive": 2}


def compare(
    names: Sequence[str],
    *,
    metric: str | None = None,
    margin: float | None = None,
    intersect: bool = False,
    allow_leak: bool = False,
    evaluation: str = "test",
) -> dict[str, Any]:
    """Each of ``names[1:]`` against ``names[0]``, as plain JSON with "verdict" and "headline".

    ``margin`` (unit of the metric; .01 is one point) turns "better" into "shown to be worse by less than that".
    Raises ConfigError for what was asked wrongly; DataError, RunError or CheckError for what cannot be compared.
    """
    if len(names) < 2:
        raise ConfigError(f"Comparing needs two, {len(names)} given.", "For example: tuneproof compare runs/a runs/b")
    if margin is not None and not margin >= 0:
        raise ConfigError(f"The margin is {margin}.", "Give it as a positive share: 0.01 is one point.")
    first, *others = contenders(names, evaluation)
    leaks = Leaks()
    found = []
    for other in others:
        measure = _measure(metric, first, other)
        found.append(_one(first, other, measure, margin, intersect, allow_leak, leaks))
    used = uses.record([first.run, *(other.run for other in others)], evaluation, f"compare {' '.join(names)}")
    _together(found, margin)
    notes = [used] if used else []
    if len(found) == 1:
        return {**found[0], "notes": [*found[0]["notes"], *notes]}
    words = [one["verdict"] for one in found]
    word = "better" if "better" in words else "worse" if set(words) == {"worse"} else "inconclusive"
    return {"a": first.name, "verdict": word, "headline": _table_headline(first, found), "all": found, "notes": notes}


def _measure(asked: str | None, a: Contender, b: Contender) -> tuple[str, Measure]:
    name = asked or a.primary
    known = [name for name, measure in MEASURES.items() if set(measure.needs) <= a.scores | b.scores]
    if name not in MEASURES or not set(MEASURES[name].needs) <= a.scores | b.scores:
        hint = nearest(name, known) or f"Known for {a.task}: {', '.join(known)}."
        raise ConfigError(f'There is no metric "{name}" for {a.task}.', hint)
    return name, MEASURES[name]


def _one(
    a: Contender,
    b: Contender,
    measure: tuple[str, Measure],
    margin: float | None,
    intersect: bool,
    allow_leak: bool,
    leaks: Leaks,
) -> dict[str, Any]:
    _comparable(a, b)
    ids, left_out = _common(a, b, intersect)
    leaked = _refuse_leaks(a, b, ids, leaks, allow_leak)
    name, how = measure
    pairs = Pairs(a.items(ids, how.needs), b.items(ids, how.needs), a.groups(ids), a.labels)
    d, several = _difference(a, b, ids, pairs, how)
    word = verdict(d, margin, higher_is_better=how.higher_is_better)
    notes = [d.note] if d.note else []
    if d.n < FEWEST:
        notes.append(f"{d.n} rows are too few for a verdict ({FEWEST} are needed)")
    notes.append(several or "one training seed each: training noise not measured")
    return {
        "a": a.name,
        "b": b.name,
        "task": a.task,
        "metric": name,
        "higher_is_better": how.higher_is_better,
        "margin": margin,
        "n": len(ids),
        "value_a": how.value(pairs.a, a.labels),
        "value_b": how.value(pairs.b, a.labels),
        "difference": dataclasses.asdict(d),
        "verdict": word,
        "headline": _headline(a, b, name, how, pairs, d, word, margin, left_out, leaked),
        "power": _power(d, how),
        "intersect": left_out,
        "leaked": leaked,
        "slices": gate(pairs, a.slices(ids), how),
        "notes": notes,
    }


def _difference(a: Contender, b: Contender, ids: Sequence[str], pairs: Pairs, how: Measure) -> tuple[Difference, str]:
    """B - A, over rows and training seeds where a run has several and the metric is a mean over rows; and a note."""
    more = [[] if side.system or how.rows is None else others(side.run, ids) for side in (a, b)]
    if not any(more):
        return how.difference(pairs), ""
    seeds = [[list(own), *rest] for own, rest in zip((pairs.a, pairs.b), more, strict=True)]
    told = [f"{len(each)} seeds of {side.name}" for each, side in zip(seeds, (a, b), strict=True) if len(each) > 1]
    return two_way(
        seeds[0], seeds[1], how, pairs.group
    ), f"the interval holds the noise of training: {' and '.join(told)}"


def _comparable(a: Contender, b: Contender) -> None:
    if a.judged != b.judged:
        raise DataError(f"{a.name} is for {a.task}, {b.name} for {b.task}.", "Compare runs of one task.")
    if set(a.labels) != set(b.labels):
        only = [sorted(set(x.labels) - set(y.labels)) for x, y in ((a, b), (b, a))]
        told = "; ".join(
            f"{len(extra)} only in {side.name} ({', '.join(extra[:5])})"
            for side, extra in zip((a, b), only, strict=True)
            if extra
        )
        raise DataError(f"The label sets differ: {told}.", "Score both on a file whose labels both know, or tune anew.")
    if a.template != b.template:
        raise DataError(
            f"{a.name} and {b.name} read a question through different templates or tokenizers, "
            "so a loss per token of one is not that of the other.",
            "Compare runs that start from one model.",
        )


def _common(a: Contender, b: Contender, intersect: bool) -> tuple[list[str], dict[str, int] | None]:
    """Ids in the order of A; DataError when the two were not scored on the same rows."""
    only_a = [id for id in a.lines if id not in b.lines]
    only_b = [id for id in b.lines if id not in a.lines]
    ids = [id for id in a.lines if id in b.lines]
    if not ids:
        raise DataError(
            f"{a.name} ({len(a.lines):,} rows) and {b.name} ({len(b.lines):,} rows) were scored on no common row.",
            f"Score both on one file: tuneproof eval {b.run.path} --data FILE",
        )
    if not only_a and not only_b:
        return ids, None
    if not intersect:
        raise DataError(
            f"{len(only_a):,} rows are only in {a.name}, {len(only_b):,} only in {b.name}, {len(ids):,} in both.",
            "Score both on one file with tuneproof eval, or compare what is common: --intersect",
        )
    return ids, {"only_a": len(only_a), "only_b": len(only_b), "both": len(ids)}


def _refuse_leaks(a: Contender, b: Contender, ids: Sequence[str], leaks: Leaks, allow_leak: bool) -> dict[str, int]:
    """Rows that one side was trained on, by side; refused unless they are allowed."""
    found = {side.name: len(rows) for side in (a, b) if (rows := leaks.of(side.run, side.questions(ids)))}
    if found and not allow_leak:
        told = ", ".join(f"{n:,} of {len(ids):,} rows were in the training rows of {name}" for name, n in found.items())
        raise CheckError(
            f"The comparison is not fair: {told}.", "Score both on new rows, or compare all the same: --allow-leak"
        )
    return found


def _together(found: list[dict[str, Any]], margin: float | None) -> None:
    """Holm's correction over several comparisons, and the verdicts that remain; one comparison stays as it is."""
    if len(found) < 2:
        return
    parts = [Difference(**one["difference"]) for one in found]
    raw = [
        (non_inferior(d, margin, higher_is_better=one["higher_is_better"]).p if margin is not None else d.p)
        for d, one in zip(parts, found, strict=True)
    ]
    adjusted = iter(holm([p for p in raw if p is not None]))
    for one, d, p in zip(found, parts, raw, strict=True):
        one["p_holm"] = next(adjusted) if p is not None else None
        if margin is None:
            kept = dataclasses.replace(d, p=one["p_holm"])
            one["verdict"] = verdict(kept, higher_is_better=one["higher_is_better"])
        elif one["verdict"] == "better" and (one["p_holm"] is None or one["p_holm"] > 0.05):
            one["verdict"] = "inconclusive"


# -- sentences


def _headline(
    a: Contender,
    b: Contender,
    name: str,
    how: Measure,
    pairs: Pairs,
    d: Difference,
    word: str,
    margin: float | None,
    left_out: Mapping[str, int] | None,
    leaked: Mapping[str, int],
) -> str:
    values = [how.value(side, a.labels) for side in (pairs.a, pairs.b)]
    said = " and ".join(
        f"{side.name} {'no value' if value is None else how.written(value)}"
        for side, value in zip((b, a), values[::-1], strict=True)
    )
    gap = "the difference cannot be given" if d.value is None else f"a difference of {how.gap(d)}"
    meaning = {
        "better": f"{b.name} is better"
        if margin is None
        else f"{b.name} is not worse by {how.written(margin)} or more",
        "worse": f"{b.name} is worse",
        "inconclusive": "inconclusive, these rows cannot tell",
    }[word]
    common = f" common rows (of {left_out['only_a'] + left_out['both']:,} and " if left_out else " rows"
    rows = f"{len(pairs.a):,}{common}" + (f"{left_out['only_b'] + left_out['both']:,})" if left_out else "")
    leak = f" LEAKED: {sum(leaked.values()):,} of these rows were trained on." if leaked else ""
    return f"On {rows}, {name}: {said}; {gap}: {meaning}.{leak}"


def _table_headline(first: Contender, found: Sequence[Mapping[str, Any]]) -> str:
    better = [one["b"] for one in found if one["verdict"] == "better"]
    worse = [one["b"] for one in found if one["verdict"] == "worse"]
    told = [f"{word}: {', '.join(names)}" for word, names in (("better", better), ("worse", worse)) if names]
    return f"{len(found)} against {first.name}, p corrected by Holm: {'; '.join(told) or 'none can be told apart'}."


def _power(d: Difference, how: Measure) -> str:
    if d.discordant is not None:
        return power_line(d.n, d.disagreement)
    return power_line_mean(d.n, (d.error or 0.0) * d.n**0.5, how.unit)


def table(found: Mapping[str, Any]) -> list[str]:
    """The comparison as lines of text: what the command prints."""
    lines = [found["headline"]]
    if "all" in found:
        for one in found["all"]:
            p = "-" if one["p_holm"] is None else f"{one['p_holm']:.4f}"
            lines.append(f"  {one['verdict']:13} p = {p}  {one['headline']}")
        parts = found["all"]
    else:
        parts = [found]
    for one in parts:
        lines += [f"  slice {s['column']} = {s['value']}: {s['sentence']}" for s in one["slices"] if s["fails"]]
    lines.append(f"  {parts[0]['power']}.")
    notes = dict.fromkeys(note for one in [*parts, found] for note in one["notes"])
    return [*lines, *(f"  {note[:1].upper()}{note[1:]}." for note in notes)]
