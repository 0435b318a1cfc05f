"""The cheapest model that often suffices: words weighted by TF-IDF and a linear classifier, kept without a pickle.

    save(fit(texts, numbers, seed=0), labels, Path("tfidf"), "...", decide)
    # tfidf/: words.json, labels.json, rule.json, weights.safetensors, README.md, and predict.py, which needs numpy and
    # safetensors

Trained in seconds and a few MB in size. It knows nothing of word order beyond pairs, nor of words it has not seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tuneproof.errors import ConfigError
from tuneproof.evaluate import saved_tfidf
from tuneproof.evaluate.deciding import Deciding
from tuneproof.run import disk_errors, write_atomically

UNSEEN = 5.0  # margins that a label without a training row lies below the least


def fit(texts: Sequence[str], numbers: Sequence[int], seed: int) -> Any:
    """A scikit-learn pipeline of vectorizer and linear support vector machine."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    # Every character run is a word, so that rows of one letter or of another script still have features.
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    machine = make_pipeline(words, LinearSVC(random_state=seed))
    return machine.fit(texts, numbers)


def logits(machine: Any, texts: Sequence[Any], count: int) -> Any:
    """(texts, ``count`` labels): margins of the fitted pipeline; a label without a training row is far below."""
    margins = machine.decision_function(list(texts))
    if margins.ndim == 1:
        margins = np.column_stack([-margins, margins]) / 2
    found = np.full((len(texts), count), margins.min() - UNSEEN)
    found[:, machine.classes_] = margins
    return found


def save(machine: Any, labels: Sequence[str], folder: Path, about: str, decide: Deciding) -> None:
    """Writes the fitted pipeline as plain files; ConfigError when ``folder`` holds something already."""
    from safetensors.numpy import save as pack

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} exists and is not empty.", "Name a new folder: --to FOLDER")
    words, linear = (step for _, step in machine.steps)
    arrays = {
        "idf": words.idf_,
        "coefficients": linear.coef_,
        "intercepts": linear.intercept_,
        "classes": linear.classes_.astype(np.int64),
    }
    vocabulary = {word: int(number) for word, number in words.vocabulary_.items()}
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "words.json", json.dumps(vocabulary, ensure_ascii=False).encode())
    write_atomically(folder / "labels.json", json.dumps(list(labels), ensure_ascii=False).encode())
    rule = {"temperature": decide.temperature, **decide.rule}
    write_atomically(folder / "rule.json", json.dumps(rule, ensure_ascii=False).encode())
    write_atomically(folder / "weights.safetensors", pack(arrays))
    write_atomically(folder / "predict.py", Path(saved_tfidf.__file__).read_bytes())
    write_atomically(folder / "README.md", about.encode())
