"""Rows as vectors of the untouched model, for the linear models that tuning has to beat.

vectors(predictor, known, examples, ())        # (rows, width): the mean of the last states
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuneproof.evaluate.tfidf_pairs import Pair
from tuneproof.modalities import Example, TextEncoder
from tuneproof.predict import Known, Predictor, Vectors, embed

LINEAR_ROWS = 20_000  # training rows that a linear model sees at most: more changes little and costs minutes


def vectors(base: Predictor, known: Known, examples: Sequence[Example], pairs: Sequence[Pair]) -> Vectors:
    """Of pairs what the vectors of the two texts have in common and what not: |u - v| and u * v."""
    if not pairs:
        return _embedded(base, known, examples)
    encoder = base.encoder
    assert isinstance(encoder, TextEncoder), "pairs are of plain texts"
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    found = _embedded(base, known, [encoder.cut(encoder.encode(text)) for text in texts])
    at = {text: index for index, text in enumerate(texts)}
    u, v = (found[[at[pair[side]] for pair in pairs]] for side in (0, 1))
    return np.hstack([np.abs(u - v), u * v])


def _embedded(base: Predictor, known: Known, examples: Sequence[Example]) -> Vectors:
    if base.config.evaluate.precision == "fp32":
        return known.embed(lambda: base.model, base.encoder, examples)
    return embed(base.model, base.encoder, examples, base.config.evaluate.precision)
