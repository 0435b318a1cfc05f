"""What every baseline is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tuneproof.evaluate.tfidf_pairs import Pair
from tuneproof.modalities import Example
from tuneproof.predict import Known, Predictor
from tuneproof.records import Row


@dataclass(frozen=True, slots=True)
class Rows:
    """What a baseline may look at: training rows with their labels, test rows, and the pretrained model."""

    base: Predictor
    train: Sequence[Example]
    test: Sequence[Example]
    train_texts: Sequence[str]
    test_texts: Sequence[str]
    test_rows: Sequence[Row]
    labels: tuple[str, ...]
    seed: int
    train_pairs: Sequence[Pair] = ()  # the texts, apart, where the rows are pairs of them
    test_pairs: Sequence[Pair] = ()
    known: Known = field(default_factory=Known)  # vectors that were computed before
    spared: Sequence[Example] = ()  # validation rows on which the tuned model's rule was fitted
    spared_texts: Sequence[str] = ()
    spared_pairs: Sequence[Pair] = ()
