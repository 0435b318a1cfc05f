"""The simple things that tuning has to beat, always run. BASELINES is the table.

    name, predictions = BASELINES["majority"](subject)

Each takes the same rows and gives one prediction per test row, in order. Adding one is a function and a row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tuneproof.evaluate import each_label, extracts, lookup, ridge, tfidf, tfidf_pairs
from tuneproof.evaluate.calibrate import logits as logits_of
from tuneproof.evaluate.deciding import Deciding, by_rule, deciding
from tuneproof.evaluate.linear_head import linear_head
from tuneproof.evaluate.rows import Rows
from tuneproof.evaluate.tfidf_pairs import Pair
from tuneproof.evaluate.vectors import LINEAR_ROWS, vectors
from tuneproof.modalities import Example
from tuneproof.records import Prediction
from tuneproof.tasks import embeddings, metrics

LEAST = 1e-9  # probability that a label is given at least
SENTENCE = re.compile("(?<=[.!?])\\s+|(?<=[\u3002\uff01\uff1f])")  # where one sentence ends and the next begins


@dataclass(frozen=True, slots=True)
class Baseline:
    """A row of the table."""

    title: str
    what: str
    predict: Callable[[Rows], list[Prediction]]
    untouched: bool = False  # whether it is the pretrained model without tuning, as far as that can do the task
    blind: bool = False  # whether it says the same of every row
    save: str = ""  # command that keeps it for use, with RUN for the run; "" where there is none


def majority(rows: Rows) -> list[Prediction]:
    """Always the label that is most frequent in training; its probabilities are the training shares."""
    counts = Counter(example.label for example in rows.train)
    top = min(counts, key=lambda label: (-counts[label], label or 0))
    shares = np.array([counts[index] for index in range(len(rows.labels))], dtype=np.float64)
    logs = np.log(np.maximum(shares, 0.5) / shares.sum())
    return [_prediction(rows.labels, int(top or 0), example.label, logs) for example in rows.test]


def tfidf_linear(rows: Rows) -> list[Prediction]:
    """A linear support vector machine on words, pairs and pieces of words, weighted by TF-IDF: no pretrained model."""
    labels = [example.label or 0 for example in rows.train]
    count = len(rows.labels)
    spared: Sequence[Any]
    test: Sequence[Any]
    if rows.train_pairs:
        machine, spared, test = tfidf_pairs.fit(rows.train_pairs, labels, rows.seed), rows.spared_pairs, rows.test_pairs
    else:
        machine, spared, test = tfidf.fit(rows.train_texts, labels, rows.seed), rows.spared_texts, rows.test_texts
    decide = deciding(rows.base.schema, rows.base.answer, rows.spared, lambda: tfidf.logits(machine, spared, count))
    said = decide.labels(tfidf.logits(machine, test, count))
    return [
        Prediction(
            rows.labels[value], rows.labels[example.label or 0], scores={"correct": float(value == example.label)}
        )
        for value, example in zip(said, rows.test, strict=True)
    ]


def frozen_linear(rows: Rows) -> list[Prediction]:
    """Logistic regression on the mean of the untouched model's last states: what the model knew already."""
    chosen = np.random.default_rng(rows.seed).permutation(len(rows.train))[:LINEAR_ROWS]
    train = [rows.train[index] for index in chosen]
    pairs = [rows.train_pairs[index] for index in chosen] if rows.train_pairs else ()
    labels = [example.label for example in train]
    head = linear_head(vectors(rows.base, rows.known, train, pairs), labels, seed=rows.seed)

    def logs(examples: Sequence[Example], own: Sequence[Pair]) -> Any:
        shares = np.full((len(examples), len(rows.labels)), LEAST)
        shares[:, head.classes_] = head.predict_proba(vectors(rows.base, rows.known, examples, own))
        return np.log(np.maximum(shares, LEAST))

    found = logs(rows.test, rows.test_pairs)
    decide = deciding(rows.base.schema, rows.base.answer, rows.spared, lambda: logs(rows.spared, rows.spared_pairs))
    return [
        _prediction(rows.labels, value, example.label, line, decide)
        for value, line, example in zip(decide.labels(found), found, rows.test, strict=True)
    ]


def untuned(rows: Rows) -> list[Prediction]:
    """The pretrained model as it came, with the same template; labels by a rule of its own, where there is one."""
    base = rows.base
    if rows.spared and by_rule(base.schema):
        decide = deciding(base.schema, base.answer, rows.spared, lambda: logits_of(base, rows.spared))
        base = replace(base, answer=base.answer.at_temperature(decide.temperature).ruled(decide.rule))
    return base.scored(rows.test, rows.test_rows)


def tfidf_nearest(rows: Rows) -> list[Prediction]:
    """The nearest text by the cosine of words and pairs of words, weighted by TF-IDF."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    words.fit([text for example in rows.train for text in example.about.texts])
    about = [example.about for example in rows.test]
    queries = words.transform([one.texts[0] for one in about])
    corpus = queries if len(about[0].texts) == 1 else words.transform([t for one in about for t in one.texts[1:]])
    return embeddings.sought(about, queries, corpus, [Prediction(None) for _ in about])


def copy(rows: Rows) -> list[Prediction]:
    """The source, as it stands."""
    return _written(rows, lambda text: text)


def lead(sentences: int) -> Callable[[Rows], list[Prediction]]:
    """The first sentences of the source."""
    return lambda rows: _written(rows, lambda text: leading(text, sentences))


def leading(text: str, sentences: int) -> str:
    return " ".join(SENTENCE.split(text.strip())[:sentences])


def _written(rows: Rows, write: Callable[[str], str]) -> list[Prediction]:
    """What ``write`` makes of each text, scored against the target."""
    found = []
    for row in rows.test_rows:
        text, truth = rows.base.answer.texts(row)
        said = write(text)
        found.append(Prediction(said, truth, scores=metrics.rouge(said, truth)))
    return found


def _prediction(
    labels: tuple[str, ...], value: int, truth: int | None, logs: Any, decide: Deciding | None = None
) -> Prediction:
    assert truth is not None
    top = np.argsort(-logs)[:20]
    probabilities = {labels[index]: float(np.exp(logs[index])) for index in top}
    shares = np.exp(logs)
    brier = 1.0 - 2.0 * float(shares[truth]) + float(shares @ shares)  # sum of (p - y)^2
    scores = {"nll": -float(logs[truth]), "correct": float(value == truth), "brier": brier}
    sure = float(shares[value]) if decide is None else decide.sure(logs, value)
    return Prediction(labels[value], labels[truth], sure, probabilities, scores)


BASELINES: dict[str, Baseline] = {
    "no-entity": Baseline("never an entity", "no model at all", lookup.no_entity, blind=True),
    "no-answer": Baseline("never an answer", "no model at all", extracts.no_answer, blind=True),
    "first-sentence": Baseline("the first sentence", "no model at all", extracts.first_sentence),
    "overlap-sentence": Baseline(
        "the sentence that shares most words with the question", "no model at all", extracts.overlap_sentence
    ),
    "word-lookup": Baseline(
        "the tag that each word has most often", "no model: a list of the words of the training rows", lookup.by_word
    ),
    "majority": Baseline("always the most frequent label", "no model at all", majority, blind=True),
    "tfidf-linear": Baseline(
        "TF-IDF words with a linear classifier",
        "no pretrained model",
        tfidf_linear,
        save="tuneproof baseline RUN --to FOLDER",
    ),
    "frozen-linear": Baseline(
        "linear head on the untouched model",
        "logistic regression on the pretrained model's sentence vectors",
        frozen_linear,
        untouched=True,
    ),
    "frequent-labels": Baseline("always the most frequent labels", "no model at all", each_label.frequent, blind=True),
    "tfidf-each": Baseline(
        "TF-IDF words with a linear classifier per label", "no pretrained model", each_label.tfidf_each
    ),
    "frozen-each": Baseline(
        "linear heads on the untouched model",
        "logistic regression per label on the pretrained model's sentence vectors",
        each_label.frozen_each,
        untouched=True,
    ),
    "mean": Baseline("always the mean", "no model at all", ridge.mean, blind=True),
    "median": Baseline("always the median", "no model at all", ridge.median, blind=True),
    "tfidf-ridge": Baseline("TF-IDF words with ridge regression", "no pretrained model", ridge.tfidf_ridge),
    "frozen-ridge": Baseline(
        "ridge regression on the untouched model",
        "ridge regression on the pretrained model's sentence vectors",
        ridge.frozen_ridge,
        untouched=True,
    ),
    "tfidf-nearest": Baseline("TF-IDF words, the nearest text", "no pretrained model", tfidf_nearest),
    "copy": Baseline("the source, copied", "no model at all", copy),
    "lead-1": Baseline("the first sentence of the source", "no model at all", lead(1)),
    "lead-3": Baseline("the first three sentences of the source", "no model at all", lead(3)),
    "untuned": Baseline("the untuned model", "the pretrained model as it came", untuned, untouched=True),
}
