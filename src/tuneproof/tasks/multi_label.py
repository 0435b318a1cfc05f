"""Any number of labels per row, each decided by itself. The model is transformers' ``...ForSequenceClassification``.

    MultiLabel().score([Prediction(["price"], truth=["price", "service"], scores={...}), ...]).main     # micro-F1

From which probability on a label is given is fitted, label by label, on rows that training has not looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import special
from torch import Tensor
from torch.nn import Module, functional

from tuneproof.config import Data
from tuneproof.modalities import Batch, Encoder, Example, TextEncoder
from tuneproof.records import Column, Guess, Prediction, Row, Schema, Scores, Table
from tuneproof.tasks import layouts, metrics, rules, several
from tuneproof.tasks.classification import Classification
from tuneproof.tasks.pretrained import load_pretrained
from tuneproof.tasks.rules import Floats, Rule
from tuneproof.tasks.tables import Canonical, canonical_rows

COUNTS = ("labels_right", "labels_found", "labels_true")


class MultiLabel(Classification):
    primary: ClassVar[str] = "micro_f1"
    proportion: ClassVar[bool] = False
    options: ClassVar[frozenset[str]] = frozenset({"data.text", "data.second", "data.label"})
    shows: ClassVar[frozenset[str]] = frozenset({"labels", "probabilities"})
    baselines: ClassVar[tuple[str, ...]] = ("frequent-labels", "tfidf-each", "frozen-each")

    def fitted(self, schema: Schema) -> MultiLabel:
        return self

    def recognise(self, columns: Sequence[Column], asked: Data) -> Guess | None:
        return several.text_and_labels(columns, asked)

    def canonical(self, row: Row, schema: Schema) -> dict[str, Any]:
        return several.canonical_labels(row, schema)

    def canonical_columns(self, table: Table, schema: Schema) -> Canonical:
        return canonical_rows(table, schema, self.canonical)

    def check(self, table: Table, schema: Schema) -> None:
        several.check_several(table, schema)

    def labelled(self, rows: Sequence[Row], schema: Schema) -> list[dict[str, Any]]:
        """Rows with one number per label as "values": 1 where the row has it."""
        return [{**row, "values": [float(name in row["labels"]) for name in schema.several]} for row in rows]

    def example(self, row: Row, encoder: Encoder) -> Example:
        assert isinstance(encoder, TextEncoder)
        return encoder.encode(row["text"], row.get("second"), values=row.get("values"))

    def model(self, folder: Path, schema: Schema, *, seed: int) -> Module:
        names = dict(enumerate(schema.several))
        return load_pretrained(
            self.auto,
            folder,
            seed=seed,
            num_labels=len(names),
            id2label=names,
            label2id={label: index for index, label in names.items()},
            problem_type="multi_label_classification",
        )

    def weighing(self, how: str | None, train: Sequence[Example]) -> MultiLabel:
        return self

    def loss(self, model: Module, batch: Batch) -> Tensor:
        """Of a row the sum over its labels: a label that is hardly ever there must not vanish in a mean."""
        assert batch.values is not None
        return functional.binary_cross_entropy_with_logits(self.logits(model, batch), batch.values, reduction="sum")

    def rule(self, logits: Floats, examples: Sequence[Example], schema: Schema) -> Rule:
        truth = np.array([example.values for example in examples]) > 0
        return rules.each_rule(special.expit(logits), truth, schema.several)

    def predict(self, model: Module, batch: Batch) -> list[Prediction]:
        logits, batch = self.logits(model, batch).cpu().double(), batch.here
        names: dict[int, str] = model.config.id2label  # type: ignore[union-attr,assignment]
        labels = [names[at] for at in range(logits.shape[1])]
        shares = special.expit(logits.numpy() / self.temperature)
        from_ = np.array([rules.threshold(self.decides, label) for label in labels])
        lengths = batch.lengths
        found = []
        for index, row in enumerate(shares):
            truth = None if batch.values is None else (batch.values[index] > 0).numpy()
            found.append(prediction(labels, row >= from_, truth, row, lengths[index]))
        return found

    def texts(self, row: Row) -> tuple[str, str]:
        return layouts.question(row), written(row["labels"])

    def score(self, predictions: Sequence[Prediction]) -> Scores:
        truths, values = [p.truth for p in predictions], [p.value for p in predictions]
        found = {
            **metrics.multilabel_scores(truths, values, _names(truths, values)),
            "nll": self._mean("nll", predictions),
        }
        found["macro_f1"] = found.pop("multilabel_macro_f1")
        return Scores(self.primary, found, len(predictions), notes=self._notes(found, predictions))

    def classes(self, predictions: Sequence[Prediction]) -> list[metrics.ClassScore]:
        truths, values = [p.truth for p in predictions], [p.value for p in predictions]
        names = _names(truths, values)
        return metrics.class_scores(metrics.set_counts(truths, values, names), names)

    def said(self, row: Row, prediction: Prediction) -> str:
        return written(prediction.value)

    def show(self, prediction: Prediction) -> dict[str, Any]:
        return {"labels": prediction.value, "probabilities": dict(prediction.probabilities)}


def prediction(
    labels: Sequence[str], said: Any, truth: Any = None, shares: Floats | None = None, tokens: int = 0
) -> Prediction:
    """The labels that are ``said`` (one boolean each) of a row, with its scores where the truth is known."""
    top = [] if shares is None else np.argsort(-shares, kind="stable")[:20].tolist()
    probabilities = {} if shares is None else {labels[at]: float(shares[at]) for at in top}
    value = [label for label, given in zip(labels, said, strict=True) if given]
    found = Prediction(value, probabilities=probabilities, tokens_in=tokens)
    if truth is None:
        return found
    counts = (float((said & truth).sum()), float(said.sum()), float(truth.sum()))
    scores = {"correct": float((said == truth).all()), **dict(zip(COUNTS, counts, strict=True))}
    if shares is not None:
        sure = np.clip(np.where(truth, shares, 1 - shares), 1e-12, 1)
        scores["nll"] = float(-np.log(sure).sum())
    return replace(found, truth=[label for label, has in zip(labels, truth, strict=True) if has], scores=scores)


def written(labels: Sequence[str]) -> str:
    return ", ".join(labels) or "(none)"


def _names(*columns: Sequence[Collection[str]]) -> list[str]:
    return sorted({label for column in columns for labels in column for label in labels})
