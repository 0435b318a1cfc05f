"""Did it learn the task, or its training rows by heart? The final model on rows that it learnt from, and on test rows.

    found = overfitting(tuned, train, examples["train"], predictions, test)
    found["verdict"]            # "overfitted", "some", "none" or "cannot tell"

The kept model scores a sample of its training rows, chosen by hash, in the way that it scores test rows. The gap is
between different rows, so it is no paired difference, and its interval is wide where rows are few. Some gap is normal:
a model always knows its training rows better. The limits lie above what ordinary runs on real data show
(docs/evaluate.md). A gap alone does no harm, but it says that training scores mean nothing, and that more rows, fewer
epochs or a smaller rate may do more for new rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from tuneproof.evaluate.measures import MEASURES, Measure, items
from tuneproof.modalities import Example
from tuneproof.predict import Predictor, predict_examples
from tuneproof.records import Prediction, Table
from tuneproof.stats.verdicts import FEWEST

ROWS = 500  # training rows that are scored at most, and never more than test rows
POINTS = 0.15  # lower end of the gap from which a share of right answers is called overfitted
SHARE = 0.25  # the same for a loss, as a share of the loss on test rows

Side = tuple[Sequence[Prediction], Sequence[Any] | None]  # what was said about rows, and their groups


def overfitting(
    tuned: Predictor, train: Table, examples: Sequence[Example], predictions: Sequence[Prediction], test: Table
) -> dict[str, Any] | None:
    """Plain JSON: the score on training rows, on test rows, the gap (how much better the training rows are known).

    None where a row has no score of its own: a search is harder among more rows, so two sets cannot be compared.
    """
    chosen = sampled(train.columns["id"], min(ROWS, len(predictions)))
    rows = [examples[i] for i in chosen]
    seen = predict_examples(tuned.model, tuned.answer, tuned.encoder, rows, tuned.config.evaluate.precision)
    how = MEASURES[tuned.answer.primary]
    if not all(need in p.scores for need in how.needs for p in seen[:1]):
        return None
    group = train.columns.get("group")
    sides = (seen, None if group is None else [group[i] for i in chosen]), (predictions, test.columns.get("group"))
    return judged(*sides, how, tuned.schema.choices)


def sampled(ids: Sequence[str], count: int) -> list[int]:
    """Numbers of ``count`` rows chosen by the hash of their id, in order; no copies (id-2, id-3) of a row."""
    known = set(ids)
    rows = [index for index, id in enumerate(ids) if id.rpartition("-")[0] not in known]
    ranked = sorted(rows, key=lambda index: hashlib.sha256(f"seen {ids[index]}".encode()).digest())
    return sorted(ranked[:count])


def judged(train: Side, test: Side, how: Measure, labels: tuple[str, ...]) -> dict[str, Any]:
    """The word and the sentence. The gap is positive where training rows are known better, however the metric is read.

    A share is judged in points, anything else by its part of the score on test rows.
    """
    (seen, own), (new, group) = ((items(said), groups) for said, groups in (train, test))
    d = how.apart(seen, own, new, group, labels)
    gap, low, high = d.value, d.low, d.high
    if how.higher_is_better and gap is not None and low is not None and high is not None:
        gap, low, high = -gap, -high, -low
    told = {"train": how.interval(seen, labels, own), "test": how.interval(new, labels, group)}
    sizes = {"train": len(seen), "test": len(new)}
    limit = POINTS if how.share else SHARE * abs(told["test"].value or 0.0)
    found: dict[str, Any] = {
        **{key: {"value": x.value, "low": x.low, "high": x.high, "n": sizes[key]} for key, x in told.items()},
        "gap": {"value": gap, "low": low, "high": high, "method": d.method},
        "limit": limit,
        "percent": how.share,
        "verdict": _word(low, high, limit, min(sizes.values())),
    }
    return {**found, "sentence": _sentence(found, how)}


def learnt_by_heart(found: Mapping[str, Any]) -> str:
    """The sentence for the headline of an overfitted model."""
    train, test = (f"{found[name]['value']:.{'1%' if found['percent'] else '3g'}}" for name in ("train", "test"))
    return f"It is overfitted: {train} on rows that it learnt from, {test} on new ones."


def _word(low: float | None, high: float | None, limit: float, n: int) -> str:
    if low is None or high is None or n < FEWEST:
        return "cannot tell"
    if low > limit:
        return "overfitted"
    if high > limit:
        return "cannot tell"
    return "some" if low > 0 else "none"


def _sentence(found: Mapping[str, Any], how: Measure) -> str:
    train, test, gap = found["train"], found["test"], found["gap"]
    values = ["no value" if one["value"] is None else how.written(one["value"]) for one in (train, test)]
    meaning = {
        "overfitted": "it is overfitted: it knows its training rows by heart and new rows much less",
        "some": "it knows its training rows better, as every tuned model does, and by no more than is usual",
        "none": "it knows new rows as well as its training rows",
        "cannot tell": "these rows cannot tell whether it is overfitted",
    }[found["verdict"]]
    size = "a gap of unknown size"
    if gap["low"] is not None and gap["high"] is not None:
        scale, unit, digits = (100, " points", 1) if how.share else (1, f" {how.unit}".rstrip(), 3)
        ends = " to ".join(f"{scale * gap[end]:z.{digits}f}" for end in ("low", "high"))
        size = f"a gap of {scale * gap['value']:z.{digits}f}{unit} (95% interval {ends})"
    return f"On {train['n']:,} training rows {values[0]}, on test rows {values[1]}, {size}: {meaning}."
