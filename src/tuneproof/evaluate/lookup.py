"""Entities without a model: each word is tagged as it is tagged most often among the training rows.

    by_word(rows)            # one Prediction per test row
    no_entity(rows)

It takes the examples of token classification, which keep their words and tags. A word that training did not have is no
part of an entity; a tag that goes on with an entity which has not begun begins one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tuneproof.evaluate.rows import Rows
from tuneproof.modalities import Example
from tuneproof.records import Prediction
from tuneproof.tasks import entities


def no_entity(rows: Rows) -> list[Prediction]:
    """Nothing is an entity: what a row scores whose every word is outside."""
    return [_prediction(example, [entities.OUTSIDE] * len(example.about.words)) for example in rows.test]


def by_word(rows: Rows) -> list[Prediction]:
    """The most frequent tag of each word, capitals aside; of equally frequent ones the one that was seen first."""
    counts: dict[str, Counter[str]] = {}
    for example in rows.train:
        for word, tag in zip(example.about.words, example.about.tags, strict=True):
            counts.setdefault(word.lower(), Counter())[tag] += 1
    usual = {word: max(seen, key=lambda tag: seen[tag]) for word, seen in counts.items()}
    return [
        _prediction(example, repaired([usual.get(word.lower(), entities.OUTSIDE) for word in example.about.words]))
        for example in rows.test
    ]


def repaired(tags: Sequence[str]) -> list[str]:
    """The tags with a start for each entity that has none."""
    found: list[str] = []
    for tag in tags:
        begun = found and found[-1] != entities.OUTSIDE and found[-1][2:] == tag[2:]
        found.append(f"B-{tag[2:]}" if tag.startswith("I-") and not begun else tag)
    return found


def _prediction(example: Example, tags: Sequence[str]) -> Prediction:
    about = example.about
    said = entities.found(about.text, about.words, tags)
    truth = entities.found(about.text, about.words, about.tags)
    return Prediction(said, truth, scores=entities.counted(said, truth))
