"""Answers of a version that are kept with it, so that whoever loads it can see that it is still the same model.

    kept = vectors(Subject.open(run, "reviews"))           # a few kilobytes of JSON
    distance(Subject.open(version.run, version.label), kept)      # largest difference of a logit

For each of the 64 probes: the logits, or, over a vocabulary, the 16 largest of the first and last few positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tuneproof.deploy.export.subject import Floats, Subject
from tuneproof.errors import CheckError

FILE = "eval/vectors.json"
LARGEST = 16
LIMIT = 1e-2  # of a difference: other cores and thread counts add up in another order


def vectors(subject: Subject) -> dict[str, Any]:
    """What the model says about its probes, as plain JSON."""
    rows = [_kept(logits) for logits in subject.reference]
    return {"ids": [probe.id for probe in subject.probes], "rows": rows}


def _kept(logits: Floats) -> list[Any]:
    most = min(LARGEST, logits.shape[1])
    largest = np.sort(np.argsort(-logits, axis=1, kind="stable")[:, :most], axis=1)
    return [
        {"at": at.tolist(), "logits": [round(float(x), 5) for x in values[at]]}
        for at, values in zip(largest, logits, strict=True)
    ]


def distance(subject: Subject, kept: Mapping[str, Any]) -> float:
    """The largest difference of a kept logit from what the model says now."""
    if [probe.id for probe in subject.probes] != kept["ids"]:
        raise CheckError(f"{subject.name} was registered with other test rows than it has now.")
    found = 0.0
    for logits, row in zip(subject.reference, kept["rows"], strict=True):
        for values, one in zip(logits, row, strict=True):
            found = max(found, float(np.abs(values[one["at"]] - np.array(one["logits"])).max()))
    return found
