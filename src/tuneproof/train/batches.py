"""Which rows go into which step: a pure function of seed and epoch, so that a cursor is one integer.

    for step in epoch_steps(lengths, batch_size=32, accumulate=2, seed=0, epoch=1):
        for rows in step: ...                 # micro-batches: lists of row numbers

Rows of similar length stand together to save padding: the epoch's permutation is cut into windows of so many batches,
each window is sorted by length and cut into batches, and the batches are shuffled. In a window of 1 a step's rows are
drawn from all, and only its micro-batches have rows of similar length. What padding is left, and what all
rows of a micro-batch begin with, is not computed where that pays (``without_padding``).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from torch.nn import Module

from tuneproof.compute import side_by_side
from tuneproof.compute.layout import layout
from tuneproof.compute.packing import packs
from tuneproof.modalities import Batch, Example

WINDOW = 50  # batches that are sorted by length together, where nobody decided it: a plan of an earlier version


def steps_per_epoch(rows: int, batch_size: int) -> int:
    return math.ceil(rows / batch_size)


def epoch_steps(
    lengths: Sequence[int], *, batch_size: int, accumulate: int, seed: int, epoch: int, window: int | None = None
) -> list[list[list[int]]]:
    """For each step its micro-batches, for each of those its row numbers; every row exactly once."""
    random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = random.permutation(len(lengths)).tolist()
    batches: list[list[int]] = []
    together = (window or WINDOW) * batch_size
    for start in range(0, len(order), together):
        rows = sorted(order[start : start + together], key=lambda row: (lengths[row], row))
        batches += [rows[at : at + batch_size] for at in range(0, len(rows), batch_size)]
    return [_parts(batches[index], accumulate) for index in random.permutation(len(batches))]


def _parts(rows: list[int], parts: int) -> list[list[int]]:
    """``rows`` in at most ``parts`` runs of nearly equal size, none empty."""
    parts = min(parts, len(rows))
    size, extra = divmod(len(rows), parts)
    cuts = [0]
    for part in range(parts):
        cuts.append(cuts[-1] + size + (part < extra))
    return [rows[a:b] for a, b in itertools.pairwise(cuts)]


def smaller(micros: Sequence[Sequence[int]], parts: int) -> list[list[int]]:
    """Each of ``micros`` in at most ``parts`` of nearly equal size."""
    return [part for micro in micros for part in _parts(list(micro), parts)]


def without_padding(model: Module, batch: Batch) -> AbstractContextManager[None]:
    """Within it ``model`` computes the rows of ``batch`` side by side, where they are texts to be continued."""
    return nullcontext() if batch.loss is None else side_by_side(model, batch.ids, batch.here.ids, batch.lengths)


def spared(model: Module, examples: Sequence[Example], steps: Sequence[Sequence[Sequence[int]]]) -> float:
    """Share of the tokens in the padded micro-batches of ``steps`` that ``without_padding`` leaves out."""
    if packs(model) is None:
        return 0.0
    padded = computed = 0
    for rows in (micro for micros in steps for micro in micros):
        texts = [examples[row].ids for row in rows]
        whole = len(rows) * max(len(text) for text in texts)
        found = layout(texts) if all(examples[row].loss is not None for row in rows) else None
        padded += whole
        computed += whole if found is None else found.tokens
    return 1 - computed / padded
