"""What a classifier says of each row that has not seen it: out-of-fold probabilities from vectors and words.

    guessed = guess(texts, labels, vectors, folds(names, labels, FOLDS, salt), seed=0)
    guessed.probabilities        # (rows, classes): row i by a model that was fitted without its fold

The features are the encoder's vectors beside the TF-IDF of words and pairs of words, reduced to 256 numbers: words know
jargon that a small encoder does not (cuad_clauses: accuracy .82 -> .87; banking77 stays at .91).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuneproof.prepare.check.linear import Floats, Integers, centred, fit

FOLDS = 5
FEWEST = 4  # rows of its class that the model of a row must have seen for the row to be judged
WORDS = 0.8  # weight of the words beside the vectors; 0, .5, .7 and 1 were tried
WORDS_WIDTH = 256
WORDS_CHARS = 2_000  # of a text that are read for its words
DOUBTFUL = 0.5  # score below which a row is not learnt from
FLOOR = 1e-3  # of the own class's probability: below it is only more of the same
SHARE = 0.2  # of its logarithm in the score
MOST = 6_000_000  # rows x classes; half of that (20,000 x 150) takes 24 s on one core and 1 GB


@dataclass(frozen=True, slots=True)
class Guesses:
    """Out-of-fold probabilities. ``judged`` are the rows whose class the model that judges them has been taught."""

    classes: tuple[str, ...]
    numbers: Integers  # (n,) each row's own class
    probabilities: Floats  # (n, classes)
    judged: NDArray[np.bool_]  # (n,)

    @property
    def said(self) -> Integers:
        """(n,) the likeliest class of each row."""
        return np.asarray(self.probabilities.argmax(1))


def guess(
    texts: Sequence[str],
    labels: Sequence[str],
    vectors: Floats,
    fold: Sequence[int],
    seed: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Guesses:
    """One item per row in each argument; ``fold`` is the one that a row is held out with, 0 to FOLDS - 1.

    The model that judges a fold has not learnt from rows that look wrong to a model of other folds: with a tenth of
    the labels replaced by confusable ones 2 to 4 points more of the first n are wrong, in banking77 and cuad_clauses.
    Nothing of the fold itself has a say in that: one judgement of all rows "guesses" random labels at 64%, not 50%.
    """
    classes, numbers = np.unique(np.asarray(labels), return_inverse=True)
    features = np.hstack([centred(vectors), words(texts, seed)])
    held_out = np.asarray(fold)
    probabilities = np.zeros((len(texts), len(classes)), dtype=np.float32)
    judged = np.zeros(len(texts), dtype=bool)
    for number in np.unique(held_out):
        report(int(number), FOLDS)
        here = held_out == number
        seen = ~here & ~_doubtful(features, numbers, len(classes), held_out, int(number))
        probabilities[here] = fit(features[seen], numbers[seen], len(classes)).probabilities(features[here])
        taught = np.bincount(numbers[seen], minlength=len(classes))
        judged[here] = taught[numbers[here]] >= FEWEST
    return Guesses(tuple(map(str, classes)), numbers, probabilities, judged)


def _doubtful(features: Floats, numbers: Integers, classes: int, held_out: Integers, without: int) -> NDArray[np.bool_]:
    """(n,) the rows that look wrong when one half of the folds, one fold left out, judges the other half.

    Of each class a quarter of its rows at most, the worst: a class that no half knows must not vanish.
    """
    others = [number for number in np.unique(held_out) if number != without]
    halves = [np.isin(held_out, part) for part in (others[::2], others[1::2])]
    scores = np.ones(len(numbers))
    for learnt, judged in (halves, halves[::-1]):
        model = fit(features[learnt], numbers[learnt], classes)
        scores[judged] = trust(model.probabilities(features[judged]), numbers[judged])
    found = np.zeros(len(numbers), dtype=bool)
    for number, rows in enumerate(np.bincount(numbers, minlength=classes)):
        own = np.flatnonzero((numbers == number) & (scores < DOUBTFUL))
        found[own[np.argsort(scores[own], kind="stable")][: rows // 4]] = True
    return found


def trust(probabilities: NDArray[np.floating], numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """How well each label fits, (n,) in 0..1, from probabilities (n, classes) and each row's class number (n,).

    ``.2 ln(max(p_own, .001)) - max p_other``, scaled to 0..1: the normalised margin, but with the logarithm of the own
    class's probability. The margin itself (``p_own - max p_other``, Northcutt, Jiang & Chuang 2021, "Confident
    learning") ranks a row that is between two similar classes, one of them its own, like one that is certainly not of
    its own class; docs/label_issues.md has both.
    """
    own = probabilities[np.arange(len(numbers)), numbers].astype(np.float64)
    others = probabilities.astype(np.float64)
    others[np.arange(len(numbers)), numbers] = 0.0
    found = SHARE * np.log(np.maximum(own, FLOOR)) - others.max(1)
    return np.asarray(1 + found / (1 - SHARE * np.log(FLOOR)))


def words(texts: Sequence[str], seed: int) -> Floats:
    """(n, at most 256): TF-IDF of words and pairs of words that two texts share, by singular vectors; weight WORDS.

    (n, 0) where the texts share too few words.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.utils.extmath import randomized_svd

    none = np.zeros((len(texts), 0), dtype=np.float32)
    cut = [text[:WORDS_CHARS] for text in texts]
    if not any(text.split() for text in cut):
        return none
    # Every character run is a word, so that rows of one letter or of another script still have features.
    table = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+", dtype=np.float32)
    counts = table.fit_transform(cut).tocsc()
    counts = counts[:, np.diff(counts.indptr) >= 2].tocsr()
    width = min(WORDS_WIDTH, min(counts.shape) - 1)
    if width < 1:
        return none
    left, sizes, _ = randomized_svd(counts, width, n_iter=2, random_state=seed)
    found = (left * sizes).astype(np.float32)
    found -= found.mean(0)
    length = float(np.sqrt((found**2).sum(1).mean()))
    return np.asarray(found * np.float32(WORDS / max(length, 1e-12)))
