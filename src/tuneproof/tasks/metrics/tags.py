"""Entities in tag sequences, strictly: one counts when its type and both of its ends are right.

entity_scores([["B-PER", "I-PER"]], [["B-PER", "O"]])       # {"precision": 0.0, "recall": 0.0, "f1": 0.0}
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tuneproof.errors import DataError
from tuneproof.tasks.metrics.counts import known, precision_recall_f1_of, thirds
from tuneproof.tasks.metrics.summed import same_length, total, value_of

SCHEMES = {"IOB2": "OBI", "BIOES": "OBIES"}


def entities(tags: Sequence[str], scheme: str = "IOB2") -> set[tuple[str, int, int]]:
    """Well-formed entities ``(type, start, end)`` of one sequence, end exclusive, as seqeval 1.2.2 strict mode.

    IOB2: B-x and the I-x that follow. BIOES: S-x, or B-x, any I-x, E-x. Anything else (I-x without its B, B-x without
    its E) is no entity. Raises DataError for an unknown scheme or a tag whose prefix the scheme lacks.
    """
    if scheme not in SCHEMES:
        raise DataError(f"Unknown tagging scheme {scheme!r}.", f"Known: {', '.join(SCHEMES)}.")
    parsed = [_tag(tag, scheme) for tag in tags]
    found = set()
    for start, (prefix, kind) in enumerate(parsed):
        if prefix == "S":
            found.add((kind, start, start + 1))
        if prefix != "B":
            continue
        end = start + 1
        while end < len(parsed) and parsed[end] == ("I", kind):
            end += 1
        if scheme == "IOB2":
            found.add((kind, start, end))
        elif end < len(parsed) and parsed[end] == ("E", kind):
            found.add((kind, start, end + 1))
    return found


def entity_counts(
    truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], types: Sequence[str], scheme: str = "IOB2"
) -> NDArray[np.float64]:
    """Per sequence and type, (n, 3K): [correct | predicted | true] entities; ``types`` such as ``entity_types`` gives.

    Raises DataError when a sequence and its prediction differ in length or an entity type is not in ``types``.
    """
    same_length(truth, predicted)
    number = {kind: i for i, kind in enumerate(types)}
    table = np.zeros((len(truth), 3 * len(types)))
    for row, (true_tags, said_tags) in enumerate(zip(truth, predicted, strict=True)):
        if len(true_tags) != len(said_tags):
            raise DataError(f"Sequence {row} has {len(true_tags)} true and {len(said_tags)} predicted tags.")
        true, said = entities(true_tags, scheme), entities(said_tags, scheme)
        for offset, spans in enumerate((true & said, said, true)):
            for kind, _, _ in spans:
                table[row, offset * len(types) + known(kind, number, row)] += 1
    return table


def entity_types(*corpora: Sequence[Sequence[str]], scheme: str = "IOB2") -> list[str]:
    """Entity types in any of the corpora, sorted."""
    return sorted({kind for tags in corpora for sequence in tags for kind, _, _ in entities(sequence, scheme)})


def entity_scores(
    truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], scheme: str = "IOB2"
) -> dict[str, float | None]:
    """Strict precision, recall and F1 over all entities (micro); an entity counts when type and both ends are right."""
    sums = total(entity_counts(truth, predicted, entity_types(truth, predicted, scheme=scheme), scheme))
    pooled = np.array([part.sum() for part in thirds(sums)])
    names = ("precision", "recall", "f1")
    return {name: value_of(x[0]) for name, x in zip(names, precision_recall_f1_of(pooled), strict=True)}


def _tag(tag: str, scheme: str) -> tuple[str, str]:
    if not tag or tag[0] not in SCHEMES[scheme]:
        raise DataError(f"The tag {tag!r} is not one of {scheme}.", f"Tags start with one of {SCHEMES[scheme]}.")
    return tag[0], tag[1:].strip("-") or "_"
