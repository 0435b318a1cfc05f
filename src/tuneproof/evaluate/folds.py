"""What the runs of one folder say that each hold out another fold of the same file: the score fold by fold.

    folds(run, scores)       # {"runs": [{"fold": 0, "run": "reviews-7f3a", "value": .91, ...}, ...], "mean": .9, ...}

``data.folds`` divides a small file into even parts, and ``data.fold`` says which of them one run is tested on: together
they test every row once. Runs belong together that were asked for with the same options but for the fold, on the same
files; of two for one fold the newer counts. A page shows the folds that were scored before it, so the last shows all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tuneproof.evaluate.measures import MEASURES
from tuneproof.run import Run
from tuneproof.stats.bootstrap import seed_spread

REPORT = "eval/test/report.json"


def folds(run: Run, scores: Mapping[str, Any]) -> dict[str, Any] | None:
    """``scores`` are the run's own, as its report has them. None where the test is no fold, or the only one so far."""
    of = run.config.data.folds
    found = {run.config.data.fold: _score(run, scores["primary"], scores)}
    for other in Run.all(run.path.parent) if of else ():
        if other.id != run.id and (other.path / REPORT).is_file() and _asked(other) == _asked(run):
            found.setdefault(other.config.data.fold, _score(other, scores["primary"], other.scores))
    runs = [{"fold": fold, **one} for fold, one in sorted(found.items()) if one["value"] is not None]
    if len(runs) < 2:
        return None
    values = [one["value"] for one in runs]
    mean, spread = math.fsum(values) / len(values), seed_spread(values)
    assert spread is not None
    return {
        "runs": runs,
        "of": of,
        "mean": mean,
        "spread": spread,
        "percent": scores["percent"],
        "sentence": _sentence(
            scores["primary"], mean, spread, sorted({*range(of)} - {one["fold"] for one in runs}), of
        ),
    }


def _score(run: Run, metric: str, scores: Mapping[str, Any]) -> dict[str, Any]:
    """No value where the rows of this fold are judged by another metric, or where it has none."""
    tuned = scores["systems"][0]
    value = tuned["values"][metric] if scores["primary"] == metric else None
    low, high = tuned["interval"]
    return {"run": run.id, "value": value, "low": low, "high": high, "n": scores["n"]}


def _asked(run: Run) -> tuple[dict[str, Any], list[str]]:
    """All options but for the fold, and the content of the files."""
    config = {section: dict(options) for section, options in run.asked["config"].items()}
    config.get("data", {}).pop("fold", None)
    return config, [record["sha256"] for record in run.manifest["files"].values()]


def _sentence(metric: str, mean: float, spread: float, missing: list[int], of: int) -> str:
    how = MEASURES[metric]
    scale, unit, digits = (100, " points", 2) if how.share else (1, f" {how.unit}".rstrip(), 3)
    text = f"{of - len(missing)} of {of} folds, each tested by a model that was trained on the others: "
    text += (
        f"{how.written(mean)} on average, with a standard deviation of {scale * spread:.{digits}f}{unit} between them."
    )
    if not missing:
        return text
    return f"{text} Not run yet: fold {', '.join(map(str, missing))} (--set data.fold={missing[0]})."
