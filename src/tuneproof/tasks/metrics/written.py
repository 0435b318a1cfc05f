"""Written text against a reference: ROUGE by tokens of our own, BLEU and chrF by sacreBLEU with its signature.

rouge("the cat", "the cat sat")["rougeL"]       # 0.8
bleu_of(bleu_counts(said, gold).sum(axis=0))    # equal to bleu(said, gold)[0]
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tuneproof.tasks.metrics.summed import Floats, same_length

ROUGE_TOKENIZER = "lower case, runs of letters and digits, CJK by character, no stemming"


def rouge(predicted: str, reference: str) -> dict[str, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L F-measure of one item (Lin 2004), 0..1, tokens by ``ROUGE_TOKENIZER``.

    On ASCII text equal to Google's rouge_score without stemming; ROUGE-L takes the text as one sequence. Where a side
    has no n-gram the score is 0, as there: a failed or empty generation must not vanish from the mean.
    """
    said, gold = rouge_tokens(predicted), rouge_tokens(reference)
    scores = {}
    for n in (1, 2):
        grams = [Counter(zip(*(tokens[i:] for i in range(n)), strict=False)) for tokens in (said, gold)]
        total = sum(grams[0].values()) + sum(grams[1].values())
        scores[f"rouge{n}"] = 2 * sum((grams[0] & grams[1]).values()) / total if total else 0.0
    total = len(said) + len(gold)
    scores["rougeL"] = 2 * _common_subsequence(said, gold) / total if total else 0.0
    return scores


def rouge_tokens(text: str) -> list[str]:
    """Tokens by ``ROUGE_TOKENIZER``; Thai, Lao and Khmer, written without spaces, stay in long runs."""
    return _token_pattern().findall(unicodedata.normalize("NFC", text.lower()))


def bleu(predicted: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> tuple[float | None, str]:
    """Corpus BLEU 0..100 by sacreBLEU (Post 2018) and its signature; one reference per item; "zh" for Chinese."""
    from sacrebleu.metrics.bleu import BLEU

    same_length(references, predicted)
    if not references:
        return None, "undefined"
    metric = BLEU(tokenize=tokenize)
    found = metric.corpus_score(list(predicted), [list(references)])
    return (float(found.score) if found.ref_len else None), str(metric.get_signature())


def bleu_counts(predicted: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> NDArray[np.float64]:
    """Per item (n, 10): length, reference length, matched 1..4-grams, 1..4-grams; summed rows give ``bleu_of``."""
    from sacrebleu.metrics.bleu import BLEU

    same_length(references, predicted)
    metric = BLEU(tokenize=tokenize)
    rows = []
    for said, gold in zip(predicted, references, strict=True):
        one = metric.corpus_score([said], [[gold]])
        rows.append([one.sys_len, one.ref_len, *one.counts, *one.totals])
    return np.array(rows, dtype=np.float64).reshape(-1, 10)


def bleu_of(sums: Floats) -> Floats:
    """(..., 10) -> (...): BLEU 0..100 with sacreBLEU's default "exp" smoothing; NaN without reference tokens.

    The k-th order without a match counts ``1/(2^k total)`` (NIST mteval-v13a); an order without n-grams gives 0.
    """
    length, gold = sums[..., 0], sums[..., 1]
    matched, total = sums[..., 2:6], sums[..., 6:10]
    halved = np.cumsum(matched == 0, axis=-1)
    precision = np.where(matched > 0, matched, 0.5**halved) / np.maximum(total, 1)
    usable = (total > 0).all(axis=-1) & (matched > 0).any(axis=-1)
    brevity = np.minimum(0.0, 1 - gold / np.maximum(length, 1))
    score = np.where(usable, 100 * np.exp(brevity + np.log(precision).mean(axis=-1)), 0.0)
    return np.where(gold > 0, score, np.nan)


def chrf(predicted: Sequence[str], references: Sequence[str]) -> tuple[float | None, str]:
    """Corpus chrF2 0..100 by sacreBLEU (Popovic 2015) and its signature; one reference per item."""
    from sacrebleu.metrics.chrf import CHRF

    same_length(references, predicted)
    metric = CHRF()
    if not any(reference.split() for reference in references):
        return None, "undefined"
    return float(metric.corpus_score(list(predicted), [list(references)]).score), str(metric.get_signature())


def chrf_counts(predicted: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """Per item (n, 18): for character orders 1..6 [predicted, reference, matched] n-grams, white space removed."""
    same_length(references, predicted)
    table = np.zeros((len(predicted), 18))
    for row, texts in enumerate(zip(predicted, references, strict=True)):
        said, gold = ("".join(text.split()) for text in texts)
        for order in range(1, 7):
            grams = [Counter(text[i : i + order] for i in range(len(text) - order + 1)) for text in (said, gold)]
            there = sum(grams[1].values())
            # sacreBLEU: n-grams of an order that the reference is too short for are no false alarms.
            spoken = sum(grams[0].values()) if there else 0
            table[row, 3 * order - 3 : 3 * order] = spoken, there, sum((grams[0] & grams[1]).values())
    return table


def chrf_of(sums: Floats) -> Floats:
    """(..., 18) -> (...): chrF2, 0..100, over the orders that both sides have; NaN without reference characters."""
    said, gold, matched = sums[..., 0::3], sums[..., 1::3], sums[..., 2::3]
    used = (said > 0) & (gold > 0)
    orders = np.maximum(used.sum(axis=-1), 1)
    precision = np.where(used, matched / np.maximum(said, 1), 0.0).sum(axis=-1) / orders
    recall = np.where(used, matched / np.maximum(gold, 1), 0.0).sum(axis=-1) / orders
    below = 4 * precision + recall
    score = np.where(below > 0, 500 * precision * recall / np.where(below > 0, below, 1.0), 0.0)
    return np.where(gold[..., 0] > 0, score, np.nan)


@lru_cache(maxsize=1)
def _token_pattern() -> re.Pattern[str]:
    # ``\w`` lacks combining marks, without which Hindi or Tamil words fall apart; the ranges end before Hangul Jamo.
    marks = "".join(chr(code) for code in range(0x300, 0x1100) if unicodedata.category(chr(code)).startswith("M"))
    cjk = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    return re.compile(f"[{cjk}]|(?:(?![{cjk}])[^\\W_]|[{marks}])+")


def _common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, 64 cells per machine word (Hyyro 2004)."""
    places: dict[str, int] = {}
    for i, token in enumerate(a):
        places[token] = places.get(token, 0) | 1 << i
    full = (1 << len(a)) - 1
    row = full
    for token in b:
        hit = row & places.get(token, 0)
        row = ((row + hit) | (row - hit)) & full
    return len(a) - row.bit_count()
