"""Metrics of every task as plain functions: per item first, aggregates from those.

    macro_f1(["a", "b"], ["a", "a"])                        # 0.333...
    counts = class_counts(truth, predicted, labels)         # (n, 3K) sparse: what one item adds to macro-F1, MCC, ...
    stats.corpus_difference(counts, other, macro_f1_of)     # the bootstrap sums rows of counts, never scores again

A metric that is undefined is None, never 0 or 1; ``WHY_NONE`` has the reason. Names ending in ``_of`` map summed
statistics (..., k) to values (...), NaN where undefined. Nothing here prints, knows a model or reads a file.

``one_label`` and ``label_sets`` score labels, ``tags`` entities, ``answers`` questions, ``written`` generated text,
``numbers`` regression, ``neighbours`` searches; ``counts`` and ``summed`` are what they share.
"""

from __future__ import annotations

from tuneproof.tasks.metrics.answers import exact_match, squad_normalise, token_f1
from tuneproof.tasks.metrics.counts import (
    ClassScore,
    Label,
    class_scores,
    label_set,
    precision_recall_f1_of,
    set_counts,
)
from tuneproof.tasks.metrics.label_sets import micro_f1_of, multilabel_macro_f1_of, multilabel_scores
from tuneproof.tasks.metrics.neighbours import Found, neighbours, retrieval_scores
from tuneproof.tasks.metrics.numbers import regression_scores
from tuneproof.tasks.metrics.one_label import (
    accuracy,
    accuracy_of,
    class_counts,
    confusion,
    correct,
    macro_f1,
    macro_f1_of,
    mcc,
    mcc_of,
    per_class,
    probability_scores,
    weighted_f1,
    weighted_f1_of,
)
from tuneproof.tasks.metrics.ordered import quadratic_kappa, steps_off
from tuneproof.tasks.metrics.summed import Floats, mean
from tuneproof.tasks.metrics.tags import SCHEMES, entities, entity_counts, entity_scores, entity_types
from tuneproof.tasks.metrics.undefined import WHY_NONE, notes
from tuneproof.tasks.metrics.written import (
    ROUGE_TOKENIZER,
    bleu,
    bleu_counts,
    bleu_of,
    chrf,
    chrf_counts,
    chrf_of,
    rouge,
    rouge_tokens,
)

__all__ = [
    "ROUGE_TOKENIZER",
    "SCHEMES",
    "WHY_NONE",
    "ClassScore",
    "Floats",
    "Found",
    "Label",
    "accuracy",
    "accuracy_of",
    "bleu",
    "bleu_counts",
    "bleu_of",
    "chrf",
    "chrf_counts",
    "chrf_of",
    "class_counts",
    "class_scores",
    "confusion",
    "correct",
    "entities",
    "entity_counts",
    "entity_scores",
    "entity_types",
    "exact_match",
    "label_set",
    "macro_f1",
    "macro_f1_of",
    "mcc",
    "mcc_of",
    "mean",
    "micro_f1_of",
    "multilabel_macro_f1_of",
    "multilabel_scores",
    "neighbours",
    "notes",
    "per_class",
    "precision_recall_f1_of",
    "probability_scores",
    "quadratic_kappa",
    "regression_scores",
    "retrieval_scores",
    "rouge",
    "rouge_tokens",
    "set_counts",
    "squad_normalise",
    "steps_off",
    "token_f1",
    "weighted_f1",
    "weighted_f1_of",
]
