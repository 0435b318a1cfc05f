"""What tuning cost of what the model could do before: measured on general text, in every run.

    forgetting(tuned, base, run.plan["model"], [("general text", documents(500))], examples["test"])

A language model: paired loss per document (tuned minus base, nats per token) with a t-interval; the limit is an upper
bound of .05. A mean hides what was lost where something else came instead, so the tokens that the base names rightly
(its likeliest one is the one that stands there) and the tuned model does not are counted as well (1 -> 0 transitions,
arXiv 2510.17776). And KL(base || tuned) per answer token on the task's test rows, which tells how far the model moved
where it was meant to (RL's Razor, arXiv 2509.04259); it has no limit. An encoder with a decoder: the same, asked as
``gapped`` says. An encoder: the same of masked tokens where its folder holds that head, else how well a linear probe on
its frozen vectors tells the passages' subjects apart.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tuneproof.evaluate.readings import (
    WRITERS,
    Reading,
    divergence,
    masked_models,
    masked_readings,
    readings,
    whole,
)
from tuneproof.evaluate.retain import PROBED, Document
from tuneproof.methods import METHODS, merged
from tuneproof.modalities import Example
from tuneproof.predict import Predictor, embed
from tuneproof.stats.interval import mean_interval
from tuneproof.stats.paired import Difference, difference
from tuneproof.stats.verdicts import FEWEST

LIMIT = 0.05  # upper bound of what is accepted: nats per token, or share of passages
KNOWN_LIMIT = 0.01  # share of the tokens named rightly before that may be named wrongly now
FOLDS = 5

Set = tuple[str, Sequence[Document]]


def forgetting(
    tuned: Predictor, base: Predictor, about: Mapping[str, Any], sets: Sequence[Set], rows: Sequence[Example]
) -> dict[str, Any]:
    """Plain JSON: {"limit", "sets": [...], "kl": {...} or None}. ``about`` is the model of the plan.

    Adapters are merged into the tuned model, so it is not to be used afterwards.
    """
    speaker = WRITERS.get(about["kind"])
    if speaker is not None and tuned.answer.auto == speaker.auto:
        tuned, base = (dataclasses.replace(side, answer=speaker) for side in (tuned, base))  # whatever it answers
        kl = divergence(tuned, base, rows)
        found = [
            _of_readings(name, readings(base, texts), readings(tuned, texts), "nats per token") for name, texts in sets
        ]
        return {"limit": LIMIT, "sets": found, "kl": kl}
    if not METHODS[tuned.config.method.name].merges:
        return {"limit": LIMIT, "sets": [_unmerged(name, len(texts)) for name, texts in sets], "kl": None}
    bodies = plain(base.model), plain(tuned.model)
    heads = masked_models(bodies[1], Path(about["path"]))
    if heads is None:
        found = [probe(name, texts, bodies, base) for name, texts in sets]
    else:
        found = [
            _of_readings(
                name,
                masked_readings(heads[0], base, texts),
                masked_readings(heads[1], base, texts),
                "nats per masked token",
            )
            for name, texts in sets
        ]
    return {"limit": LIMIT, "sets": found, "kl": None}


def _unmerged(name: str, count: int) -> dict[str, Any]:
    why = "what the method learnt cannot stand in the encoder's own weights, so nothing was measured"
    sentence = f"Forgetting on {name}: {why}."
    return {"name": name, "measure": "none", "n": count, "verdict": "not measured", "sentence": sentence}


def plain(model: Any) -> Any:
    """An ordinary transformers model, adapters merged into it."""
    return merged(model).eval()


def told(found: Mapping[str, Any]) -> list[str]:
    """The sentences for the page and the model card."""
    return [one["sentence"] for one in found["sets"]]


# -- encoders without that head


def probe(name: str, texts: Sequence[Document], models: tuple[Any, Any], base: Predictor) -> dict[str, Any]:
    """Accuracy of a linear probe that tells subjects apart, 5-fold, on both models' vectors; paired by passage."""
    sizes = Counter(one.subject for one in texts)
    kept = [one for one in texts if one.subject and sizes[one.subject] >= PROBED]
    subjects = sorted({one.subject for one in kept})
    if len(subjects) < 2 or len(kept) < FEWEST:
        why = f"{name}: a probe needs two subjects (column label) with {PROBED} texts each, so nothing was measured"
        return {"name": name, "measure": "linear probe", "n": len(kept), "verdict": "not measured", "sentence": why}
    codes = np.array([subjects.index(one.subject) for one in kept])
    right = [_probed(vectors(model, base, kept), codes) for model in models]
    gap = difference(right[0], right[1])
    lost = dataclasses.replace(gap, value=_minus(gap.value), low=_minus(gap.high), high=_minus(gap.low))
    return _judged(name, "linear probe", f"of {len(subjects)} subjects told apart", right[0], right[1], lost)


def vectors(model: Any, base: Predictor, texts: Sequence[Document]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(documents, width): the frozen vectors of a model, its head left aside."""
    examples = [Example(whole(base, one.text).ids) for one in texts]
    return embed(model, base.encoder, examples, base.config.evaluate.precision)


def _probed(found: np.ndarray[Any, Any], codes: np.ndarray[Any, Any]) -> list[float]:
    """1.0 for each passage whose subject a probe named rightly that had not seen it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    machine = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300, tol=1e-3))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    said = cross_val_predict(machine, found, codes, cv=folds)
    return [float(right) for right in said == codes]


# -- sentences


def _of_readings(name: str, before: Sequence[Reading], after: Sequence[Reading], unit: str) -> dict[str, Any]:
    first, second = ([one.loss for one in side] for side in (before, after))
    return _judged(name, "loss", unit, first, second, difference(first, second), known(before, after))


def known(before: Sequence[Reading], after: Sequence[Reading]) -> dict[str, Any]:
    """{"tokens", "lost", "gained", "share", "low", "high"}: what the base named rightly, and how much of it is lost.

    The share is a ratio of sums over documents; its interval is that of the mean of its linearised residuals, a
    document a cluster (Cochran 1977, 6.8).
    """
    sure = np.array([one.right.sum() for one in before], float)
    lost = np.array([(one.right & ~other.right).sum() for one, other in zip(before, after, strict=True)], float)
    gained = sum(int((~one.right & other.right).sum()) for one, other in zip(before, after, strict=True))
    counts = {"tokens": int(sure.sum()), "lost": int(lost.sum()), "gained": gained}
    if not sure.sum():
        return {**counts, "share": None, "low": None, "high": None}
    share = float(lost.sum() / sure.sum())
    ends = mean_interval((lost - share * sure) / sure.mean())
    assert ends.low is not None and ends.high is not None
    return {**counts, "share": share, "low": max(0.0, share + ends.low), "high": min(1.0, share + ends.high)}


def _judged(
    name: str,
    kind: str,
    unit: str,
    before: Sequence[float],
    after: Sequence[float],
    lost: Difference,
    named: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """``lost`` is how much worse the tuned model is: positive is forgetting, whatever the measure."""
    assert lost.value is not None and lost.low is not None and lost.high is not None and lost.p is not None
    measurable = lost.low > 0 and lost.p <= 0.05
    changed = named is not None and named["low"] is not None and named["low"] > KNOWN_LIMIT
    if lost.high <= LIMIT:
        word = "slightly worse" if measurable else "changed" if changed else "kept"
    else:
        word = "forgot" if measurable else "cannot tell"
    values = [math.fsum(each) / len(each) for each in (before, after)]
    share = kind != "loss"
    figures = [f"{100 * v:.1f}%" if share else f"{v:.3f}" for v in values]
    scale, what = (100, "points") if share else (1, unit)
    gap = f"{scale * lost.value:z.{1 if share else 3}f} {what} (95% interval " + (
        f"{scale * lost.low:z.{1 if share else 3}f} to {scale * lost.high:z.{1 if share else 3}f})"
    )
    meaning = {
        "kept": "no forgetting beyond the limit",
        "changed": "no worse on the whole",
        "slightly worse": "measurably worse, within the limit",
        "forgot": "it forgot more than the limit allows"
        if lost.low > LIMIT
        else "it forgot, perhaps more than the limit",
        "cannot tell": "the documents cannot tell whether it forgot",
    }[word]
    limit = f"{scale * LIMIT:g} {what}"
    return {
        "name": name,
        "measure": kind,
        "unit": unit,
        "n": lost.n,
        "base": values[0],
        "tuned": values[1],
        "lost": {"value": lost.value, "low": lost.low, "high": lost.high, "p": lost.p, "method": lost.method},
        "known": named,
        "measurable": measurable,
        "flagged": measurable or changed,
        "within_limit": lost.high <= LIMIT,
        "verdict": word,
        "sentence": f"Forgetting on {lost.n:,} documents of {name}: {figures[0]} {unit} before, {figures[1]} after, "
        f"a loss of {gap}; limit {limit}: {meaning}." + _named(named, changed),
    }


def _named(found: Mapping[str, Any] | None, changed: bool) -> str:
    """The second sentence: single tokens lost and gained."""
    if found is None or found["share"] is None:
        return ""
    what = f"{100 * found['share']:.1f}%, 95% interval {100 * found['low']:.1f} to {100 * found['high']:.1f}"
    told = (
        f" Of {found['tokens']:,} tokens that it named rightly before it misses {found['lost']:,} now ({what}), and "
        f"names {found['gained']:,} others rightly"
    )
    return told + (f": more than {KNOWN_LIMIT:.0%} of what it knew is lost." if changed else ".")


def _minus(value: float | None) -> float | None:
    return None if value is None else -value
