"""What several trainings on the same prepared data say: how noisy training is, and whether more rows would help.

    seeds(run, ids, tuned, baseline, answer, groups)     # "again/seed-1/result.json", ... beside the run's own model
    learning_curve(run, ids, tuned, answer, groups)      # "again/rows-10/result.json", ...

``pipeline.repeats`` trains them; each leaves its per-item scores on the run's own scored test rows. Here they become
figures and sentences. None where nobody asked for them, or where other rows are scored now.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tuneproof.evaluate import measure
from tuneproof.evaluate.measures import MEASURES, Item, Measure, items
from tuneproof.records import Prediction
from tuneproof.run import Run
from tuneproof.stats.bootstrap import seed_spread, seeds_difference
from tuneproof.stats.growth import Growth, growth
from tuneproof.stats.interval import Interval
from tuneproof.stats.paired import Difference
from tuneproof.stats.verdicts import verdict
from tuneproof.tasks import Answer

FOLDER = "again"
SEED, ROWS = re.compile(r"seed-(\d+)"), re.compile(r"rows-(\d+)")
AHEAD = 2.0  # how many times the rows of now the curve is asked about
MATTERS_POINTS = 0.005  # a gain of a share below half a point is not worth new rows
MATTERS_SHARE = 0.01  # of any other metric: below a hundredth of its value
UNFITTED = "Score by training rows; this metric is one of all rows together, through which no curve is fitted."


def results(run: Run, kind: re.Pattern[str], ids: Sequence[str]) -> list[dict[str, Any]]:
    """``result.json`` of each training of this kind, in order of its number; only those scored on ``ids``."""
    found = []
    for file in run.path.glob(f"{FOLDER}/*/result.json"):
        name = kind.fullmatch(file.parent.name)
        if name is not None:
            one = run.read_json(str(file.relative_to(run.path)))
            if one["ids"] == list(ids):
                found.append((int(name[1]), one))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def others(run: Run, ids: Sequence[str]) -> list[list[Item]]:
    """What a run's other seeds said about ``ids``, for a comparison; [] where there are none."""
    return [said(one) for one in results(run, SEED, ids)]


def said(result: Mapping[str, Any]) -> list[Item]:
    return [Item(truth, value, scores) for truth, value, scores in result["items"]]


def seeds(
    run: Run,
    ids: Sequence[str],
    tuned: Sequence[Prediction],
    baseline: tuple[str, Sequence[Prediction]],
    answer: Answer,
    groups: Sequence[Any] | None,
) -> dict[str, Any] | None:
    """The score of each seed, their standard deviation, and the two-way (seed x item) difference to the baseline.

    A metric of all rows together (F1 over all entities) has no two-way interval: then there is no difference.
    """
    again = results(run, SEED, ids)
    if not again:
        return None
    how, labels = MEASURES[answer.score(tuned).primary], run.schema.choices
    mine = [items(tuned), *map(said, again)]
    numbers = [run.config.train.seed, *(one["seed"] for one in again)]
    told = [how.interval(rows, labels, groups) for rows in mine]
    spread = seed_spread([one.value for one in told if one.value is not None])
    gap = None if how.rows is None else two_way([items(baseline[1])], mine, how, groups)
    word = None if gap is None else verdict(gap, higher_is_better=how.higher_is_better)
    return {
        "runs": [
            {"seed": number, "value": one.value, "low": one.low, "high": one.high, "n": len(ids)}
            for number, one in zip(numbers, told, strict=True)
        ],
        "spread": spread,
        "difference": None if gap is None else measure.as_json(gap),
        "baseline": baseline[0],
        "verdict": word,
        "percent": how.share,
        "sentence": _seeds_sentence(told, spread, gap, baseline[0], word, how),
    }


def two_way(
    a: Sequence[Sequence[Item]], b: Sequence[Sequence[Item]], how: Measure, groups: Sequence[Any] | None
) -> Difference:
    """B - A over training seeds and rows; a, b (seeds, rows), each row as heavy as it has units."""
    assert how.rows is not None
    weight = how.units(a[0])
    tables = [np.repeat(np.array([how.rows(rows) for rows in side]), weight, axis=1) for side in (a, b)]
    owners = measure.owners(weight, groups) if max(weight) > 1 else groups
    return dataclasses.replace(seeds_difference(tables[0], tables[1], owners), n=len(weight))


def _seeds_sentence(
    told: Sequence[Interval],
    spread: float | None,
    gap: Difference | None,
    name: str,
    word: str | None,
    how: Measure,
) -> str:
    scale, unit, digits = (100, " points", 1) if how.share else (1, f" {how.unit}".rstrip(), 3)
    each = ", ".join("no value" if one.value is None else how.written(one.value) for one in told)
    text = f"{len(told)} trainings that differ in the seed alone: {each}; standard deviation between seeds "
    text += "unknown" if spread is None else f"{scale * spread:.{max(2, digits)}f}{unit}"
    if gap is None or gap.value is None or gap.low is None or gap.high is None or word is None:
        return f"{text}."
    ends = " to ".join(f"{scale * x:z.{digits}f}" for x in (gap.low, gap.high))
    meaning = {"better": "better", "worse": "worse", "inconclusive": "cannot be told from chance"}[word]
    return (
        f"{text}. Against {name}, with the noise of training in the interval: "
        f"{scale * gap.value:+z.{digits}f}{unit} (95% interval {ends}): {meaning}."
    )


def learning_curve(
    run: Run,
    ids: Sequence[str],
    tuned: Sequence[Prediction],
    answer: Answer,
    groups: Sequence[Any] | None,
    noise: float | None,
) -> dict[str, Any] | None:
    """Score by training rows, the fitted law, and what twice as many rows would do; ``noise`` is that of seeds.

    The law needs errors of single rows: for a metric of all rows together there are the points alone.
    """
    smaller = results(run, ROWS, ids)
    if len(smaller) < 2:
        return None
    how, labels, rows = MEASURES[answer.score(tuned).primary], run.schema.choices, run.ledger.used["train"]
    sizes, steps = ([*(one[key] for one in smaller), last] for key, last in (
        ("rows", rows), ("steps", run.plan["cost"]["steps"])
    ))  # fmt: skip
    every = [*map(said, smaller), items(tuned)]
    told = [how.interval(each, labels, groups) for each in every]
    points = [
        {"rows": size, "steps": step, "value": one.value, "low": one.low, "high": one.high}
        for size, step, one in zip(sizes, steps, told, strict=True)
    ]
    found = {"points": points, "metric": answer.score(tuned).primary, "percent": how.share}
    if how.rows is None:
        return {**found, "fitted": [], "law": None, "verdict": "cannot tell", "sentence": UNFITTED}
    weight = how.units(every[0])
    table = np.repeat(np.array([how.rows(each) for each in every]), weight, axis=1)
    owners = measure.owners(weight, groups) if max(weight) > 1 else groups
    law = growth(sizes, 1 - table if how.share else table, owners, ahead=AHEAD, noise=noise or 0.0)
    matters = MATTERS_POINTS if how.share else MATTERS_SHARE * law.at(1.0)
    word = "would help" if law.low >= matters else "would hardly help" if law.high < matters else "cannot tell"
    line = [sizes[0] / rows * (AHEAD * rows / sizes[0]) ** (i / 40) for i in range(41)]
    return {
        **found,
        "fitted": [[x * rows, (1 - law.at(x)) if how.share else law.at(x)] for x in line],
        "law": dataclasses.asdict(law),
        "verdict": word,
        "sentence": _curve_sentence(law, rows, how, word, noise),
    }


def _curve_sentence(law: Growth, rows: int, how: Measure, word: str, noise: float | None) -> str:
    scale, unit, digits = (100, " points", 1) if how.share else (1, f" {how.unit}".rstrip(), 3)
    later = [1 - x if how.share else x for x in (law.expected, law.expected_low, law.expected_high)]
    value, *ends = (how.written(x) for x in (later[0], *sorted(later[1:])))
    gain, low, high = (f"{scale * x:z.{digits}f}" for x in (law.gain, law.low, law.high))
    meaning = {
        "would help": "more rows of this kind would help",
        "would hardly help": "more rows of this kind would hardly help",
        "cannot tell": "the curve cannot tell whether more rows would help",
    }[word]
    left = "" if noise is not None else " The noise of training is not in these intervals: --seeds 3 measures it."
    return (
        f"With twice as many rows ({AHEAD * rows:,.0f}) the fitted curve expects {value} ({' to '.join(ends)}), "
        f"a gain of {gain}{unit} (95% interval {low} to {high}): {meaning}.{left}"
    )
