"""Answers to questions, as SQuAD scores them: exact match and F1 of the tokens, after its normalisation.

token_f1("in 1976", ["1976"])                   # 0.666...
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence


def squad_normalise(text: str) -> str:
    """Lower case; ASCII punctuation and the articles a, an, the removed; single spaces (SQuAD's evaluate-v2.0.py)."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


def exact_match(predicted: str, answers: Sequence[str]) -> float:
    """1.0 if the normalised prediction equals any answer; no answers means unanswerable, matched by an empty text."""
    said = squad_normalise(predicted)
    return float(any(said == squad_normalise(answer) for answer in _golden(answers)))


def token_f1(predicted: str, answers: Sequence[str]) -> float:
    """Best F1 of normalised tokens over the answers, as SQuAD 2.0: an empty side scores 1 if both are empty, else 0."""
    said = squad_normalise(predicted).split()
    return max(_bag_f1(said, squad_normalise(answer).split()) for answer in _golden(answers))


def _golden(answers: Sequence[str]) -> list[str]:
    """SQuAD 2.0 drops answers that normalise to nothing and reads an empty rest as "no answer"."""
    return [answer for answer in answers if squad_normalise(answer)] or [""]


def _bag_f1(said: Sequence[str], gold: Sequence[str]) -> float:
    if not said or not gold:
        return float(said == gold)
    return 2 * sum((Counter(said) & Counter(gold)).values()) / (len(said) + len(gold))
