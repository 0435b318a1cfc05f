"""Why a metric has no value: it is None, never 0 or 1, and the reason is told."""

from __future__ import annotations

from collections.abc import Mapping

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
    "quadratic_kappa": "neither the truth nor the predictions vary",
    "steps_off": "there are no items",
    "rare_precision": "nothing was given the rare label",
    "rare_recall": "no row has the rare label",
    "rare_f1": "no row has the rare label and none was given it",
    "in_scope_accuracy": "no row is within the scope",
    "out_of_scope_recall": "no row is out of scope",
    "entity_precision": "no entity was found",
    "entity_recall": "there is no entity to be found",
    "entity_f1": "no entity was found and there is none to be found",
    "nll": "there are no items",
    "brier": "there are no items",
    "ece": "there are no items",
    "exact_match": "there are no items",
    "token_f1": "there are no items",
    "answerable_f1": "there are no items",
    "no_answer_f1": "there are no items",
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
