"""The cheapest model of a pair of texts: the words of both, and how far they overlap, with a linear classifier.

    machine = fit(pairs, numbers, seed=0)
    machine.predict(pairs)

Beside the words weighted by TF-IDF it sees six figures: the cosine of both texts in words and in pieces of letters, the
share of either text's words in the other, the Jaccard index, and that of the numbers alone. They are what a person
would try before any pretrained model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from tuneproof.evaluate.tfidf import PARTS

Pair = tuple[str, str]
Numbers = np.ndarray[Any, np.dtype[np.float64]]
WORD = re.compile(r"\w+")


class Pairs:
    """Pairs of texts to rows of features; the words and their weights are those of the training pairs."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=PARTS)
        self.pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 4), sublinear_tf=True, max_features=50_000)
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        self.words.fit(texts)
        self.pieces.fit(texts)

    def __call__(self, pairs: Sequence[Pair]) -> Any:
        """(pairs, features), sparse."""
        first, second = ([pair[side] for pair in pairs] for side in (0, 1))
        a, b = self.words.transform(first), self.words.transform(second)
        alike = [_cosine(a, b), _cosine(self.pieces.transform(first), self.pieces.transform(second))]
        figures = np.column_stack([*alike, np.array([_overlap(*pair) for pair in pairs]).reshape(len(pairs), 4)])
        return sparse.hstack([a, b, sparse.csr_array(figures)]).tocsr()


def fit(pairs: Sequence[Pair], numbers: Sequence[int], seed: int) -> Any:
    """A scikit-learn pipeline of the features and a linear support vector machine."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer
    from sklearn.svm import LinearSVC

    machine = make_pipeline(FunctionTransformer(Pairs(pairs)), LinearSVC(random_state=seed))
    return machine.fit(list(pairs), numbers)


def _cosine(a: Any, b: Any) -> Numbers:
    """Of rows that have length 1 already."""
    return np.asarray(a.multiply(b).sum(axis=1), dtype=np.float64).ravel()


def _overlap(first: str, second: str) -> tuple[float, float, float, float]:
    one, other = set(WORD.findall(first.lower())), set(WORD.findall(second.lower()))
    both = len(one & other)
    digits = [{word for word in words if any(letter.isdigit() for letter in word)} for words in (one, other)]
    either = len(digits[0] | digits[1])
    return (
        both / max(1, len(one)),
        both / max(1, len(other)),
        both / max(1, len(one | other)),
        len(digits[0] & digits[1]) / either if either else 0.5,
    )
