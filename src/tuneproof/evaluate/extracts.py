"""Answers from a context without a model: nothing, its first sentence, or the one that shares most with the question.

    overlap_sentence(rows)      # one Prediction per test row

It takes the examples of question answering, which keep their context and answers.
"""

from __future__ import annotations

import re

from tuneproof.evaluate.rows import Rows
from tuneproof.modalities import Example
from tuneproof.records import Prediction
from tuneproof.tasks import metrics, questions

SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def no_answer(rows: Rows) -> list[Prediction]:
    return [_prediction("", example) for example in rows.test]


def first_sentence(rows: Rows) -> list[Prediction]:
    return [_prediction(sentences(example.about.context)[0], example) for example in rows.test]


def overlap_sentence(rows: Rows) -> list[Prediction]:
    """The sentence with the largest share of the question's words; of equals the first."""
    found = []
    for example, text in zip(rows.test, rows.test_texts, strict=True):
        asked = set(metrics.squad_normalise(text[: len(text) - len(example.about.context)]).split())
        best = max(sentences(example.about.context), key=lambda one: len(asked & set(_words(one))))
        found.append(_prediction(best, example))
    return found


def sentences(context: str) -> list[str]:
    return [one for one in SENTENCE.split(context) if one.strip()] or [context]


def _words(sentence: str) -> list[str]:
    return metrics.squad_normalise(sentence).split()


def _prediction(said: str, example: Example) -> Prediction:
    answers = list(example.about.answers)
    return Prediction(said, answers, scores=questions.scored(said, answers))
