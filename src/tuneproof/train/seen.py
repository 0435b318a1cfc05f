"""The proof, in the loop, that what is trained on is what the training view shows.

    job = Job(..., seen=seen(run))       # row -> the ids and the mask of the view
    agree(job.seen, rows, batch)         # CheckError where the batch holds something else for one of them

The view is rendered from the rows in prepare and lies in data/tokens.json, where the page reads it too; the batch is
what the loss is computed from. Between the two are cutting, saving, collating and shifting: none of them is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from tuneproof.errors import CheckError
from tuneproof.modalities import Batch
from tuneproof.run import Run


@dataclass(frozen=True, slots=True)
class Seen:
    """A row of the training view."""

    title: str
    ids: list[int]
    learnt: list[bool]  # of each id
    weights: list[float]  # of each id in the loss; 0 where it is not learnt


def seen(run: Run) -> dict[int, Seen]:
    """Row number in train -> what the page shows of it; {} for a run without prepared data of its own."""
    if not run.has_data:
        return {}
    found = {}
    for one in run.read_json("data/tokens.json")["view"]:
        read = [piece for piece in one["pieces"] if not piece["cut"]]
        ids = [id for piece in read for id in piece["ids"]]
        learnt = [piece["loss"] for piece in read for _ in piece["ids"]]
        weights = [piece.get("weight", 1.0) * piece["loss"] for piece in read for _ in piece["ids"]]
        found[one["row"]] = Seen(one["title"], ids, learnt, weights)
    return found


def agree(seen: Mapping[int, Seen], rows: Sequence[int], batch: Batch) -> None:
    """CheckError unless each row of ``batch`` that is in the view has its ids, targets and weights."""
    for at, row in enumerate(rows):
        if row not in seen:
            continue
        shown = seen[row]
        length = int(batch.mask[at].sum())
        ids, targets = batch.ids[at].tolist(), batch.targets[at].tolist()
        if ids[:length] != shown.ids:
            raise _differs(shown, "tokens", _first(ids[:length], shown.ids))
        if targets[:length] != shown.learnt or any(targets[length:]):
            raise _differs(shown, "learnt tokens", _first(targets, shown.learnt))
        counted = (batch.targets if batch.weights is None else batch.weights)[at, :length]
        if not torch.equal(counted.float(), torch.tensor(shown.weights)):
            raise _differs(shown, "weights", _first(counted.tolist(), shown.weights))


def _first(one: Sequence[float], other: Sequence[float]) -> int:
    """Where two lists begin to differ."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (x, y) in pairs if x != y), min(len(one), len(other)))


def _differs(shown: Seen, what: str, at: int) -> CheckError:
    return CheckError(
        f"{shown.title}: the {what} that reach the loss are not those that the training view shows, "
        f"from token {at + 1:,} on.",
        "The run was changed since it was prepared, or this is a fault of ours: start a new run.",
    )
