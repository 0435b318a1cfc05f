"""The terms of the field in plain words: what a metric is called, what it means, whether it is a share.

    METRICS["macro_f1"].name      # "macro F1"
    TERMS["validation"]           # "rows kept aside during training ..."

``metric_help`` of a report wins over the meaning given here. A name that is not listed is shown as it is.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """``share``: a fraction between 0 and 1 that is written as percent."""

    name: str
    meaning: str
    share: bool = False


METRICS = {
    "accuracy": Metric("accuracy", "Share of the rows that were answered rightly.", True),
    "macro_f1": Metric(
        "macro F1",
        "F1 (balance of precision and recall), averaged so that a rare class counts as much as a common one.",
        True,
    ),
    "weighted_f1": Metric("weighted F1", "F1 averaged over the classes, each with the weight of its rows.", True),
    "micro_f1": Metric("micro F1", "F1 over all single decisions together.", True),
    "f1": Metric("F1", "Balance of precision and recall: high only when both are high.", True),
    "precision": Metric("precision", "Of the rows that were given this label, the share that truly has it.", True),
    "recall": Metric("recall", "Of the rows that truly have this label, the share that was found.", True),
    "exact_match": Metric("exact match", "Share of the answers that are equal to the reference.", True),
    "token_f1": Metric("token F1", "Overlap of the words of the answer with those of the reference.", True),
    "answerable_f1": Metric("F1 with answer", "Token F1 of the questions that have an answer.", True),
    "no_answer_f1": Metric("no answer", "Of the questions without an answer, the share that was given none.", True),
    "entity_f1": Metric("entity F1", "F1 over all entities; type, start and end have to be right.", True),
    "entity_precision": Metric("entity precision", "Of the entities found, the share that is in the file so.", True),
    "entity_recall": Metric("entity recall", "Of the entities in the file, the share that was found so.", True),
    "answers_failed": Metric("failed answers", "Share of the answers that did not end in time.", True),
    "subset_accuracy": Metric(
        "all labels right", "Share of the rows of which every label was found and no other.", True
    ),
    "rare_f1": Metric("F1 of the rare label", "Balance of precision and recall of the rare label alone.", True),
    "rare_precision": Metric(
        "its precision", "Of the rows that were given the rare label, the share that has it.", True
    ),
    "rare_recall": Metric("its recall", "Of the rows with the rare label, the share that was found.", True),
    "in_scope_accuracy": Metric(
        "accuracy in scope", "Share of the rows within the scope that were answered rightly.", True
    ),
    "out_of_scope_recall": Metric(
        "out of scope found", "Share of the rows out of scope that were told to be so.", True
    ),
    "quadratic_kappa": Metric("kappa", "Agreement, far misses counting most: 1 is perfect, 0 is chance."),
    "steps_off": Metric("steps off", "How many steps of the scale the answer is off, on average. Lower is better."),
    "mae": Metric("mean error", "How far the number is off on average, in the unit of the file. Lower is better."),
    "rmse": Metric(
        "RMSE", "The same with large errors weighing more: root of the mean squared error. Lower is better."
    ),
    "r2": Metric("R2", "Share of the variation that is explained: 1 is perfect, 0 no better than always the mean."),
    "spearman": Metric("Spearman", "How well the order of the rows is found: 1 is perfect, 0 is chance."),
    "mcc": Metric("MCC", "Correlation of prediction and truth: 1 is perfect, 0 is guessing."),
    "nll": Metric("log loss", "How little probability the truth was given. Lower is better; sure mistakes cost most."),
    "brier": Metric("Brier score", "Squared error of the probabilities. Lower is better."),
    "ece": Metric(
        "calibration error", "How far the stated confidence lies from the share that was right. Lower is better.", True
    ),
    "loss": Metric(
        "loss per answer token", "How surprised the model is by the reference answer, per token. Lower is better."
    ),
    "next_token_accuracy": Metric(
        "next token right", "Share of the reference answer's tokens that the model puts first.", True
    ),
    "rougeL": Metric("ROUGE-L", "Words in common with the target in the same order, balanced like F1.", True),
    "rouge1": Metric("ROUGE-1", "Words in common with the target, balanced like F1.", True),
    "rouge2": Metric("ROUGE-2", "Pairs of words in common with the target, balanced like F1.", True),
    "bleu": Metric("BLEU", "Runs of one to four words in common with the targets, 0 to 100, over all rows."),
    "chrf": Metric("chrF", "Runs of one to six letters in common with the targets, 0 to 100, over all rows."),
    "recall_at_1": Metric("recall@1", "Share of the rows whose nearest text belongs to them.", True),
    "recall_at_5": Metric(
        "recall@5", "Share of the rows of which one of the five nearest texts belongs to them.", True
    ),
    "ndcg_at_10": Metric("nDCG@10", "How near to the front those texts stand that belong to the row.", True),
    "perplexity": Metric(
        "perplexity", "The loss in another unit: between how many tokens the model wavers. Lower is better."
    ),
}
METRICS["loss_per_token"] = METRICS["loss"]

TERMS = {
    "baseline": "A simpler answer to the same task. If tuning does not beat it, tuning was not worth it.",
    "95% interval": "Of 20 ranges made in this way from new test files, 19 hold the true figure.",
    "p": "How often chance alone would give a difference this large if there were none.",
    "points": "Percentage points: from 92% to 93% is a gain of 1 point.",
    "training rows": "The rows the model learned from.",
    "validation rows": "Rows kept aside while training, to see when to stop. The model does not learn from them.",
    "test rows": "Rows that neither the model nor any decision has seen. Only these count in the scores.",
    "token": "The pieces of words that the model reads; a short word is one token, a long one several.",
    "loss": "How far the model is from the right answers. Training makes it smaller.",
    "carry loss": "The tokens that the model learns to produce. The others it only reads.",
    "step": "One small correction of the model, made after looking at a handful of rows.",
    "confidence": "The probability that the model itself gives to its answer.",
    "energy": "What the processors used while the run went on, whoever else used them; no screen, disk or network.",
    "parameters": "The numbers inside the model. Training changes some or all of them.",
    "seed": "The number that fixes every random choice, so that the run can be repeated exactly.",
    "temperature": "One number that makes all confidences higher or lower by the same rule. It changes no answer.",
    "divergence": "How differently two models continue the same text: 0 is the same.",
    "difference to the baseline": "The tuned model minus the best baseline on the rows of that part, with its range.",
    "corrected for many parts": "Among many parts some look different by chance. The reading allows for that (Holm).",
    "right": "The answer is equal to the label in the file.",
    "median": "Half of the rows are shorter, half are longer.",
    "95th percentile": "95 of 100 rows are at most this long.",
}
