"""Metrics of every task as plain functions: per item first, aggregates from those.

    macro_f1(["a", "b"], ["a", "a"])                        # 0.333...
    counts = class_counts(truth, predicted, labels)         # (n, 3K) sparse: what one item adds to macro-F1, MCC, ...
    stats.corpus_difference(counts, other, macro_f1_of)     # the bootstrap sums rows of counts, never scores again

A metric that is undefined is None, never 0 or 1; ``WHY_NONE`` has the reason. Names ending in ``_of`` map summed
statistics (..., k) to values (...), NaN where undefined. Nothing here prints, knows a model or reads a file.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from tuneproof.errors import DataError
from tuneproof.stats import brier_items, calibration_error, nll_items

Floats = NDArray[np.float64]
Label = Hashable

WHY_NONE: Mapping[str, str] = {
    "accuracy": "there are no items",
    "macro_f1": "the truth holds fewer than two classes",
    "weighted_f1": "the truth holds fewer than two classes",
    "mcc": "the truth or the predictions hold one class only",
    "micro_f1": "no label is true and none was predicted",
    "multilabel_macro_f1": "no label is true and none was predicted",
    "subset_accuracy": "there are no items",
    "precision": "nothing was predicted",
    "recall": "nothing is there to be found",
    "f1": "nothing was predicted and nothing is there to be found",
    "nll": "there are no items",
    "brier": "there are no items",
    "ece": "there are no items",
    "exact_match": "there are no items",
    "token_f1": "there are no items",
    "rouge1": "there are no items",
    "rouge2": "there are no items",
    "rougeL": "there are no items",
    "bleu": "the references hold no token",
    "chrf": "the references hold no character",
    "mae": "there are no items",
    "rmse": "there are no items",
    "r2": "the true values do not vary",
    "spearman": "the true or the predicted values do not vary",
}


def notes(values: Mapping[str, float | None]) -> tuple[str, ...]:
    """``"mcc: the truth or ..."`` for each metric that is None; what ``Scores.notes`` holds."""
    return tuple(f"{name}: {WHY_NONE[name]}" for name, value in values.items() if value is None)


def mean(values: ArrayLike) -> float | None:
    """Mean of per-item scores (n,), None without items."""
    vector = np.asarray(values, dtype=np.float64)
    return float(vector.mean()) if vector.size else None


# --- one label per item -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: precision is None when it was never predicted, recall when never true, F1 when neither."""

    label: Label
    precision: float | None
    recall: float | None
    f1: float | None
    support: int  # items that truly have the label
    predicted: int


def correct(truth: Sequence[Label], predicted: Sequence[Label]) -> Floats:
    """1.0 where the prediction is the truth, (n,); DataError when the lengths differ."""
    _same_length(truth, predicted)
    return np.fromiter((t == p for t, p in zip(truth, predicted, strict=True)), dtype=np.float64, count=len(truth))


def accuracy(truth: Sequence[Label], predicted: Sequence[Label]) -> float | None:
    """Share of items whose prediction is the truth."""
    return mean(correct(truth, predicted))


def label_set(*columns: Sequence[Label]) -> list[Label]:
    """Distinct labels, sorted where they can be compared, else in order of first appearance."""
    found = list(dict.fromkeys(label for column in columns for label in column))
    try:
        return sorted(found)  # type: ignore[type-var]
    except TypeError:
        return found


def class_counts(truth: Sequence[Label], predicted: Sequence[Label], labels: Sequence[Label]) -> sparse.csr_array:
    """Sufficient statistics of one-label classification: sparse (n, 3K), columns [correct | predicted | true].

    A prediction outside ``labels`` (a failed generation) is a miss of the true class and a false alarm of none. Raises
    DataError for a true label outside ``labels``.
    """
    _same_length(truth, predicted)
    return set_counts([(t,) for t in truth], [(p,) for p in predicted], labels)


def confusion(truth: Sequence[Label], predicted: Sequence[Label], labels: Sequence[Label]) -> NDArray[np.int64]:
    """Counts (K, K + 1): row true, column predicted; the last column is "none of the labels"."""
    _same_length(truth, predicted)
    number = {label: i for i, label in enumerate(labels)}
    rows = [_known(label, number, i) for i, label in enumerate(truth)]
    columns = [number.get(label, len(labels)) for label in predicted]
    table = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)
    np.add.at(table, (rows, columns), 1)
    return table


def per_class(
    truth: Sequence[Label], predicted: Sequence[Label], labels: Sequence[Label] | None = None
) -> list[ClassScore]:
    """Precision, recall, F1 and support of each label (of each label that occurs, when ``labels`` is None)."""
    names = list(labels) if labels is not None else label_set(truth, predicted)
    return class_scores(class_counts(truth, predicted, names), names)


def class_scores(counts: Any, labels: Sequence[Label]) -> list[ClassScore]:
    """The same from counts (n, 3K), for multi-label and entities too."""
    sums = _sums(counts)
    found = [[_value(x) for x in column] for column in precision_recall_f1_of(sums)]
    _, predicted, true = _thirds(sums)
    return [
        ClassScore(label, p, r, f, int(t), int(c))
        for label, p, r, f, t, c in zip(labels, *found, true, predicted, strict=True)
    ]


def macro_f1(truth: Sequence[Label], predicted: Sequence[Label], labels: Sequence[Label] | None = None) -> float | None:
    """Mean F1 of the classes that are true or predicted somewhere; None when the truth has fewer than two."""
    return _single(macro_f1_of, truth, predicted, labels)


def weighted_f1(
    truth: Sequence[Label], predicted: Sequence[Label], labels: Sequence[Label] | None = None
) -> float | None:
    """Mean F1 weighted by how often a class is true; None when the truth has fewer than two classes."""
    return _single(weighted_f1_of, truth, predicted, labels)


def mcc(truth: Sequence[Label], predicted: Sequence[Label], labels: Sequence[Label] | None = None) -> float | None:
    """Matthews correlation for K classes (Gorodkin 2004), -1..1; None when either side has one class only."""
    return _single(mcc_of, truth, predicted, labels)


def precision_recall_f1_of(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """(..., 3K) -> three (..., K); NaN where the denominator is 0. F1 is ``2 tp / (predicted + true)``."""
    hits, predicted, true = _thirds(sums)
    return _ratio(hits, predicted), _ratio(hits, true), _ratio(2 * hits, predicted + true)


def macro_f1_of(sums: Floats) -> Floats:
    """(..., 3K) -> (...): macro-F1 of one-label items, NaN when fewer than two classes are true."""
    return np.where(_classes_true(sums) < 2, np.nan, multilabel_macro_f1_of(sums))


def weighted_f1_of(sums: Floats) -> Floats:
    """(..., 3K) -> (...): F1 weighted by support, NaN when fewer than two classes are true."""
    hits, predicted, true = _thirds(sums)
    weighted = np.where(true > 0, _ratio(2 * hits, predicted + true) * true, 0.0).sum(axis=-1)
    return np.where(_classes_true(sums) < 2, np.nan, _ratio(weighted, true.sum(axis=-1)))


def accuracy_of(sums: Floats) -> Floats:
    """(..., 3K) -> (...): share of one-label items that are correct."""
    hits, _, true = _thirds(sums)
    return _ratio(hits.sum(axis=-1), true.sum(axis=-1))


def mcc_of(sums: Floats) -> Floats:
    """(..., 3K) -> (...): ``(c s - t.p) / sqrt((s^2 - p.p)(s^2 - t.t))`` with c hits, s items, t true, p predicted."""
    hits, predicted, true = _thirds(sums)
    items = true.sum(axis=-1)
    outside = items - predicted.sum(axis=-1)  # predictions that are none of the labels count as a class of their own
    spread_p = items**2 - (predicted**2).sum(axis=-1) - outside**2
    spread_t = items**2 - (true**2).sum(axis=-1)
    covariance = hits.sum(axis=-1) * items - (true * predicted).sum(axis=-1)
    return _ratio(covariance, np.sqrt(spread_p) * np.sqrt(spread_t))


def probability_scores(probabilities: ArrayLike, truth: ArrayLike, seed: int = 0) -> dict[str, float | None]:
    """nll (nats), brier (0..2) and 15-bin equal-mass ece from probabilities (n, K) and class numbers (n,)."""
    table, codes = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    if not codes.size:
        return {"nll": None, "brier": None, "ece": None}
    ece = calibration_error(table.max(axis=1), table.argmax(axis=1) == codes, seed=seed).value
    return {"nll": mean(nll_items(table, codes)), "brier": mean(brier_items(table, codes)), "ece": ece}


# --- several labels per item ------------------------------------------------------------------------------------------


def set_counts(
    truth: Sequence[Collection[Label]], predicted: Sequence[Collection[Label]], labels: Sequence[Label]
) -> sparse.csr_array:
    """Sufficient statistics of label sets: sparse (n, 3K), columns [correct | predicted | true].

    Raises DataError for a true label outside ``labels``; a predicted one outside is ignored here.
    """
    _same_length(truth, predicted)
    number = {label: i for i, label in enumerate(labels)}
    rows: list[int] = []
    columns: list[int] = []
    width = len(labels)
    for row, (true, found) in enumerate(zip(truth, predicted, strict=True)):
        are = {_known(label, number, row) for label in true}
        said = {number[label] for label in found if label in number}
        for offset, codes in ((0, are & said), (width, said), (2 * width, are)):
            columns.extend(code + offset for code in codes)
            rows.extend([row] * len(codes))
    return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(truth), 3 * width))


def multilabel_macro_f1_of(sums: Floats) -> Floats:
    """(..., 3K) -> (...): mean F1 of the labels that are true or predicted somewhere; NaN when there is none."""
    hits, predicted, true = _thirds(sums)
    seen = predicted + true > 0
    total = np.where(seen, _ratio(2 * hits, predicted + true), 0.0).sum(axis=-1)
    return _ratio(total, seen.sum(axis=-1))


def micro_f1_of(sums: Floats) -> Floats:
    """(..., 3K) -> (...): F1 of all labels (or entity types) pooled; NaN when nothing is true or predicted."""
    hits, predicted, true = (part.sum(axis=-1) for part in _thirds(sums))
    return _ratio(2 * hits, predicted + true)


def multilabel_scores(
    truth: Sequence[Collection[Label]], predicted: Sequence[Collection[Label]], labels: Sequence[Label]
) -> dict[str, float | None]:
    """micro_f1, multilabel_macro_f1 and subset_accuracy (the whole set is right)."""
    sums = _sums(set_counts(truth, predicted, labels))
    return {
        "micro_f1": _value(micro_f1_of(sums)),
        "multilabel_macro_f1": _value(multilabel_macro_f1_of(sums)),
        "subset_accuracy": mean([set(t) == set(p) for t, p in zip(truth, predicted, strict=True)]),
    }


# --- entities in tag sequences ----------------------------------------------------------------------------------------

SCHEMES = {"IOB2": "OBI", "BIOES": "OBIES"}


def entities(tags: Sequence[str], scheme: str = "IOB2") -> set[tuple[str, int, int]]:
    """Well-formed entities ``(type, start, end)`` of one sequence, end exclusive, as seqeval 1.2.2 strict mode.

    IOB2: B-x and the I-x that follow. BIOES: S-x, or B-x, any I-x, E-x. Anything else (I-x without its B, B-x without
    its E) is no entity. Raises DataError for an unknown scheme or a tag whose prefix the scheme lacks.
    """
    if scheme not in SCHEMES:
        raise DataError(f"Unknown tagging scheme {scheme!r}.", f"Known: {', '.join(SCHEMES)}.")
    parsed = [_tag(tag, scheme) for tag in tags]
    found = set()
    for start, (prefix, kind) in enumerate(parsed):
        if prefix == "S":
            found.add((kind, start, start + 1))
        if prefix != "B":
            continue
        end = start + 1
        while end < len(parsed) and parsed[end] == ("I", kind):
            end += 1
        if scheme == "IOB2":
            found.add((kind, start, end))
        elif end < len(parsed) and parsed[end] == ("E", kind):
            found.add((kind, start, end + 1))
    return found


def entity_counts(
    truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], types: Sequence[str], scheme: str = "IOB2"
) -> NDArray[np.float64]:
    """Per sequence and type, (n, 3K): [correct | predicted | true] entities; ``types`` such as ``entity_types`` gives.

    Raises DataError when a sequence and its prediction differ in length or an entity type is not in ``types``.
    """
    _same_length(truth, predicted)
    number = {kind: i for i, kind in enumerate(types)}
    table = np.zeros((len(truth), 3 * len(types)))
    for row, (true_tags, said_tags) in enumerate(zip(truth, predicted, strict=True)):
        if len(true_tags) != len(said_tags):
            raise DataError(f"Sequence {row} has {len(true_tags)} true and {len(said_tags)} predicted tags.")
        true, said = entities(true_tags, scheme), entities(said_tags, scheme)
        for offset, spans in enumerate((true & said, said, true)):
            for kind, _, _ in spans:
                table[row, offset * len(types) + _known(kind, number, row)] += 1
    return table


def entity_types(*corpora: Sequence[Sequence[str]], scheme: str = "IOB2") -> list[str]:
    """Entity types in any of the corpora, sorted."""
    return sorted({kind for tags in corpora for sequence in tags for kind, _, _ in entities(sequence, scheme)})


def entity_scores(
    truth: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], scheme: str = "IOB2"
) -> dict[str, float | None]:
    """Strict precision, recall and F1 over all entities (micro); an entity counts when type and both ends are right."""
    sums = _sums(entity_counts(truth, predicted, entity_types(truth, predicted, scheme=scheme), scheme))
    pooled = np.array([part.sum() for part in _thirds(sums)])
    names = ("precision", "recall", "f1")
    return {name: _value(x[0]) for name, x in zip(names, precision_recall_f1_of(pooled), strict=True)}


# --- answers to questions ---------------------------------------------------------------------------------------------


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


# --- generated text ---------------------------------------------------------------------------------------------------

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

    _same_length(references, predicted)
    if not references:
        return None, "undefined"
    metric = BLEU(tokenize=tokenize)
    found = metric.corpus_score(list(predicted), [list(references)])
    return (float(found.score) if found.ref_len else None), str(metric.get_signature())


def bleu_counts(predicted: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> NDArray[np.float64]:
    """Per item (n, 10): length, reference length, matched 1..4-grams, 1..4-grams; summed rows give ``bleu_of``."""
    from sacrebleu.metrics.bleu import BLEU

    _same_length(references, predicted)
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

    _same_length(references, predicted)
    metric = CHRF()
    if not any(reference.split() for reference in references):
        return None, "undefined"
    return float(metric.corpus_score(list(predicted), [list(references)]).score), str(metric.get_signature())


def chrf_counts(predicted: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """Per item (n, 18): for character orders 1..6 [predicted, reference, matched] n-grams, white space removed."""
    _same_length(references, predicted)
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


# --- numbers ----------------------------------------------------------------------------------------------------------


def regression_scores(truth: ArrayLike, predicted: ArrayLike) -> dict[str, float | None]:
    """mae and rmse in the unit of the target, r2 (at most 1), spearman (-1..1); DataError for a value not finite."""
    true, said = np.asarray(truth, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if true.shape != said.shape or true.ndim != 1:
        raise DataError(f"{true.shape} true values and {said.shape} predictions do not pair up.")
    broken = np.flatnonzero(~(np.isfinite(true) & np.isfinite(said)))
    if broken.size:
        raise DataError(f"Item {broken[0]} is not finite: true {true[broken[0]]}, predicted {said[broken[0]]}.")
    if not true.size:
        return {"mae": None, "rmse": None, "r2": None, "spearman": None}
    squares = float(((true - said) ** 2).sum())
    spread = float(((true - true.mean()) ** 2).sum()) if np.ptp(true) > 0 else 0.0
    return {
        "mae": float(np.abs(true - said).mean()),
        "rmse": float(np.sqrt(squares / true.size)),
        "r2": 1 - squares / spread if spread > 0 else None,
        "spearman": _correlation(_ranks(true), _ranks(said)),
    }


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, ties share their mean."""
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[inverse])


def _correlation(x: Floats, y: Floats) -> float | None:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1, 1))


# --- shared by several of the above -----------------------------------------------------------------------------------


def _same_length(truth: Sequence[Any], predicted: Sequence[Any]) -> None:
    if len(truth) != len(predicted):
        raise DataError(f"{len(truth)} truths and {len(predicted)} predictions do not pair up.")


def _known(label: Label, number: Mapping[Any, int], row: int) -> int:
    if label not in number:
        raise DataError(f"Item {row}: the true label {label!r} is not in the label set of {len(number)}.")
    return number[label]


def _single(
    metric: Callable[[Floats], Floats],
    truth: Sequence[Label],
    predicted: Sequence[Label],
    labels: Sequence[Label] | None,
) -> float | None:
    names = list(labels) if labels is not None else label_set(truth, predicted)
    return _value(metric(_sums(class_counts(truth, predicted, names))))


def _sums(counts: Any) -> Floats:
    return np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()


def _thirds(sums: Floats) -> tuple[Floats, Floats, Floats]:
    width = sums.shape[-1] // 3
    return sums[..., :width], sums[..., width : 2 * width], sums[..., 2 * width :]


def _classes_true(sums: Floats) -> NDArray[np.int64]:
    return np.asarray(np.count_nonzero(_thirds(sums)[2], axis=-1))


def _ratio(above: Any, below: Any) -> Floats:
    """above / below, NaN where below is 0."""
    below = np.asarray(below, dtype=np.float64)
    return np.asarray(np.where(below != 0, above / np.where(below != 0, below, 1.0), np.nan))


def _value(x: Any) -> float | None:
    return None if np.isnan(x) else float(x)


def _tag(tag: str, scheme: str) -> tuple[str, str]:
    if not tag or tag[0] not in SCHEMES[scheme]:
        raise DataError(f"The tag {tag!r} is not one of {scheme}.", f"Tags start with one of {SCHEMES[scheme]}.")
    return tag[0], tag[1:].strip("-") or "_"


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
