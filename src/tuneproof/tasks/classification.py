"""One label per row, a text or a pair of texts. The model is transformers' own ``...ForSequenceClassification``.

    Classification().score([Prediction("card_arrival", truth="card_arrival", ...), ...]).main     # accuracy

It does not know whether a row was a text, an image or a table: the modality made the tensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import special
from torch import Tensor
from torch.nn import Module, functional

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.modalities import Batch, Encoder, Example, Piece, TextEncoder
from tuneproof.place import put
from tuneproof.records import Column, Generation, Guess, Prediction, Row, Schema, Scores, Table
from tuneproof.tasks import layouts, metrics, pairs, quantities, rules, several
from tuneproof.tasks.pretrained import load_pretrained
from tuneproof.tasks.rules import Floats, Rule
from tuneproof.tasks.tables import Canonical, canonical_texts

UNEVEN = 3.0  # times as many rows from which labels are called uneven
FOCUS = 2.0  # gamma of the focal loss (Lin et al. 2017, arXiv 1708.02002): a row that has 90% counts a hundredth
SWITCHED_ON = "train.class_weights=root, balanced or focal switches them on"


@dataclass(frozen=True, slots=True)
class Emphasis:
    """Which rows count more in the loss; a row counts 1 on average, so that the learning rate means the same."""

    weights: tuple[float, ...] = ()  # of each class
    gamma: float = 0.0  # of the focal loss


def emphasis(how: str | None, counts: Sequence[int]) -> Emphasis | None:
    """What ``train.class_weights`` asks for with these rows per class; None where rows count alike."""
    if how in (None, "none"):
        return None
    if how == "focal":
        return Emphasis(gamma=FOCUS)
    power = 0.5 if how == "root" else 1.0
    raw = [(1 / count) ** power if count else 0.0 for count in counts]
    mean = sum(weight * count for weight, count in zip(raw, counts, strict=True)) / sum(counts)
    return Emphasis(tuple(weight / mean for weight in raw))


def balance(counts: Sequence[int], rare: str | None) -> tuple[str, str]:
    """How rare labels count in the loss where nobody says it, and why; ``counts`` are train rows of each label.

    Always alike: the reason says what was not chosen, why, and how to have it.
    """
    if rare is not None:
        told = f'the label "{rare}" is rare, and its threshold is fitted afterwards, on rows that training does not see'
        return "none", f"{told}; class weights and focal loss: no gain over that was measured; {SWITCHED_ON}"
    ratio = max(counts) / max(1, min(counts))
    told = f"the most frequent label has {ratio:.1f} times the rows of the rarest"
    if ratio < UNEVEN:
        return "none", f"{told}: they count alike"
    why = "but accuracy decides, which is highest where rows count alike"
    return "none", f"{told}, {why}; class weights and focal loss would favour the rare ones; {SWITCHED_ON}"


@dataclass(frozen=True, eq=False)
class Classification:
    temperature: float = 1.0  # divides the logits of predictions, never those of the loss
    decides: Rule = field(default_factory=dict)
    apart: tuple[str, ...] = ()  # the label that is rare, or stands for none of the others; or all of them in order
    emphasis: Emphasis | None = None  # of the loss in training

    primary: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True
    proportion: ClassVar[bool] = True
    auto: ClassVar[str] = "AutoModelForSequenceClassification"
    length_limit: ClassVar[int] = 512
    unit: ClassVar[str] = "row"
    reads_batches: ClassVar[bool] = True
    kinds: ClassVar[tuple[str, ...]] = ("encoder",)
    options: ClassVar[frozenset[str]] = frozenset(
        {
            "data.text",
            "data.second",
            "data.label",
            "train.class_weights",
            "evaluate.protected",
            "evaluate.favourable",
            "evaluate.prompted",
        }
    )
    shows: ClassVar[frozenset[str]] = frozenset({"label", "confidence", "probabilities"})
    baselines: ClassVar[tuple[str, ...]] = ("majority", "tfidf-linear", "frozen-linear")
    recipe: ClassVar[dict[str, tuple[Any, str]]] = {
        "train.epochs": (4.0, "enough for a classifier; validation decides which weights are kept"),
        "train.batch_size": (32, "usual for short texts"),
        "train.schedule": ("linear", "usual for encoders"),
        "train.class_weights": ("none", "accuracy is highest where rows count alike"),  # see balance
    }

    def fitted(self, schema: Schema) -> Classification:
        if schema.rare is not None:
            return RareLabel(apart=(schema.rare,))
        if schema.outside is not None:
            return OpenScope(apart=(schema.outside,))
        return Ordinal(apart=schema.labels) if schema.ordinal else self

    def at_temperature(self, temperature: float) -> Classification:
        return replace(self, temperature=temperature)

    def rule(self, logits: Floats, examples: Sequence[Example], schema: Schema) -> Rule:
        return {}

    def settled(self, predictions: Sequence[Prediction]) -> Rule:
        return {}

    def ruled(self, rule: Rule) -> Classification:
        return replace(self, decides=rule)

    def marked(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        return list(predictions)

    def weighing(self, how: str | None, train: Sequence[Example]) -> Classification:
        counts = Counter(example.label for example in train if example.label is not None)
        found = emphasis(how, [counts[label] for label in range(1 + max(counts))])
        return replace(self, emphasis=found)

    def template(self, encoder: Encoder) -> str:
        return ""

    def recognise(self, columns: Sequence[Column], asked: Data) -> Guess | None:
        found = pairs.pair_and_label(columns, asked) or layouts.text_and_label(columns, asked)
        if found is None or asked.task is not None:
            return found
        label = layouts.column_named(columns, found.fields["label"], "label")
        if several.column_of_several([label], asked) is not None:
            return None
        return None if quantities.is_quantity(label, asked_for=asked.label is not None) else found

    def canonical(self, row: Row, schema: Schema) -> dict[str, Any]:
        return layouts.canonical_text(row, schema)

    def canonical_columns(self, table: Table, schema: Schema) -> Canonical:
        return canonical_texts(table, schema)

    def check(self, table: Table, schema: Schema) -> None:
        layouts.check_labels(table, schema)

    def learning_rate(self, hidden: int) -> tuple[float, str]:
        """Of full tuning, for a model of this width."""
        if hidden <= 512:
            return 2e-4, f"full tuning of a small encoder (width {hidden})"
        return 5e-5, f"full tuning of an encoder of width {hidden}"

    def example(self, row: Row, encoder: Encoder) -> Example:
        assert isinstance(encoder, TextEncoder)
        return encoder.encode(row["text"], row.get("second"), label=row.get("class"))

    def labelled(self, rows: Sequence[Row], schema: Schema) -> list[dict[str, Any]]:
        """Rows with the number of their label as "class"; DataError for a label that training did not have."""
        number = {label: index for index, label in enumerate(schema.labels)}
        for row in rows:
            if row["label"] not in number:
                raise DataError(f'The label "{row["label"]}" is not among the {len(number)} labels of training.')
        return [{**row, "class": number[row["label"]]} for row in rows]

    def model(self, folder: Path, schema: Schema, *, seed: int) -> Module:
        names = dict(enumerate(schema.labels))
        return load_pretrained(
            self.auto,
            folder,
            seed=seed,
            num_labels=len(names),
            id2label=names,
            label2id={label: index for index, label in names.items()},
        )

    def loss(self, model: Module, batch: Batch) -> Tensor:
        assert batch.labels is not None
        logits = self.logits(model, batch)
        if self.emphasis is None:
            return functional.cross_entropy(logits, batch.labels, reduction="sum")
        each = functional.cross_entropy(logits, batch.labels, reduction="none")  # (B,)
        if self.emphasis.gamma:
            return (each * (1 - torch.exp(-each)) ** self.emphasis.gamma).sum()
        weights = put(torch.tensor(self.emphasis.weights), each.device)
        return (each * weights[batch.labels]).sum()

    def logits(self, model: Module, batch: Batch) -> Tensor:
        logits: Tensor = model(**batch.inputs).logits.float()  # (B, classes)
        return logits

    def names(self, model: Module) -> Mapping[int, str]:
        """The label of each logit."""
        found: Mapping[int, str] = model.config.id2label  # type: ignore[union-attr,assignment]
        return found

    def predict(self, model: Module, batch: Batch) -> list[Prediction]:
        logits, batch = self.logits(model, batch).cpu(), batch.here
        logs = torch.log_softmax(logits / self.temperature, dim=-1)  # (B, classes)
        names = self.names(model)
        lengths = batch.lengths
        said = self.marked([self._one(row, names, batch, index, lengths[index]) for index, row in enumerate(logs)])
        if self.temperature == 1 or batch.labels is None:
            return said
        numbers = {name: number for number, name in names.items()}
        return self._with_raw(said, [numbers[p.value] for p in said], logits, batch.labels)

    def _with_raw(self, said: list[Prediction], at: list[int], logits: Tensor, labels: Tensor) -> list[Prediction]:
        """The same with confidence and loss as they were before the temperature; ``at`` are the labels decided."""
        logs = torch.log_softmax(logits, dim=-1)
        shares = logs.exp().double().numpy()
        sure = [rules.sure(self.decides, one, label) for one, label in zip(shares, at, strict=True)]
        nll = (-logs.gather(1, labels[:, None])[:, 0]).tolist()
        return [
            replace(p, scores={**p.scores, "raw_confidence": c, "raw_nll": n})
            for p, c, n in zip(said, sure, nll, strict=True)
        ]

    def _one(self, logs: Tensor, names: Mapping[int, str], batch: Batch, index: int, tokens: int) -> Prediction:
        values, order = logs.exp().topk(min(20, len(logs)))
        probabilities = {names[i]: p for i, p in zip(order.tolist(), values.tolist(), strict=True)}
        shares = logs.exp().double().numpy()
        at = rules.decided(self.decides, shares, names)
        value, sure = names[at], rules.sure(self.decides, shares, at)
        if batch.labels is None:
            return Prediction(value, None, sure, probabilities, tokens_in=tokens)
        truth = int(batch.labels[index])
        brier = 1.0 - 2.0 * float(logs[truth].exp()) + float(logs.exp().square().sum())  # sum of (p - y)^2
        scores = {"nll": -float(logs[truth]), "correct": float(value == names[truth]), "brier": brier}
        return Prediction(value, names[truth], sure, probabilities, scores, tokens)

    def view(self, row: Row, encoder: Encoder) -> list[Piece]:
        return []

    def texts(self, row: Row) -> tuple[str, str]:
        return layouts.question(row), str(row["label"])

    def without_truth(self, row: Row) -> dict[str, Any]:
        return {part: row[part] for part in ("text", "second") if part in row}

    def outside(self, row: Row) -> dict[str, Any]:
        return self.without_truth(row)

    def ask(self, row: Row, schema: Schema) -> dict[str, Any]:
        return {part: text.strip() for part, text in layouts.asked_texts(row, schema).items()}

    def question(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def length(self, row: Row, encoder: Encoder) -> int:
        return len(self.example(self.without_truth(row), encoder))

    def respond(self, model: Module, encoder: Encoder, rows: Sequence[Row], how: Generation) -> list[Prediction]:
        """Labels with probabilities for rows nobody has labelled."""
        examples = [self.example(self.without_truth(row), encoder) for row in rows]
        return self.predict(model, encoder.collate(examples).beside(model))

    def finish(self, folder: Path, encoder: Encoder, how: Generation) -> None:
        pass

    def score(self, predictions: Sequence[Prediction]) -> Scores:
        truths = [prediction.truth for prediction in predictions]
        values = [prediction.value for prediction in predictions]
        found = {
            "accuracy": metrics.accuracy(truths, values),
            "macro_f1": metrics.macro_f1(truths, values),
            "weighted_f1": metrics.weighted_f1(truths, values),
            "mcc": metrics.mcc(truths, values),
            "nll": self._mean("nll", predictions),
            "brier": self._mean("brier", predictions),
        }
        return Scores(self.primary, found, len(predictions), notes=self._notes(found, predictions))

    def _mean(self, name: str, predictions: Sequence[Prediction]) -> float | None:
        known = [prediction.scores[name] for prediction in predictions if name in prediction.scores]
        return sum(known) / len(known) if known else None

    def _notes(self, found: Mapping[str, float | None], predictions: Sequence[Prediction]) -> tuple[str, ...]:
        """Why a metric is None; a classifier that gives no probabilities has no nll, which needs no note."""
        silent = {name for name in ("nll", "brier") if predictions and not predictions[0].probabilities}
        return metrics.notes({name: value for name, value in found.items() if name not in silent})

    def classes(self, predictions: Sequence[Prediction]) -> list[metrics.ClassScore]:
        return metrics.per_class([p.truth for p in predictions], [p.value for p in predictions])

    def said(self, row: Row, prediction: Prediction) -> str:
        return str(prediction.value)

    def show(self, prediction: Prediction) -> dict[str, Any]:
        return {
            "label": prediction.value,
            "confidence": prediction.confidence,
            "probabilities": dict(prediction.probabilities),
        }


class RareLabel(Classification):
    """Two labels of which one is rare: its F1 decides, and from which probability on it is given is fitted."""

    primary: ClassVar[str] = "rare_f1"
    proportion: ClassVar[bool] = False

    def rule(self, logits: Floats, examples: Sequence[Example], schema: Schema) -> Rule:
        at = schema.labels.index(self.apart[0])
        rare = np.array([example.label == at for example in examples])
        return rules.rare_rule(special.softmax(logits, axis=1)[:, at], rare, self.apart[0])

    def marked(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        return [p if p.truth is None else replace(p, scores={**p.scores, **self._counts(p)}) for p in predictions]

    def _counts(self, p: Prediction) -> dict[str, float]:
        said, true = p.value == self.apart[0], p.truth == self.apart[0]
        return {"rare_right": float(said and true), "rare_found": float(said), "rare_true": float(true)}

    def score(self, predictions: Sequence[Prediction]) -> Scores:
        whole = super().score(predictions)
        counts = [self._counts(p) for p in predictions]
        sums = np.array([sum(one[name] for one in counts) for name in ("rare_right", "rare_found", "rare_true")])
        names = ("rare_precision", "rare_recall", "rare_f1")
        figures = [float(part[0]) for part in metrics.precision_recall_f1_of(sums.astype(float))]
        found = {name: None if np.isnan(value) else value for name, value in zip(names, figures, strict=True)}
        values = {"rare_f1": found["rare_f1"], **found, **whole.values}
        return replace(whole, values=values, notes=(*whole.notes, *metrics.notes(found)))


class OpenScope(Classification):
    """One of the labels stands for none of the others: what the model is unsure of is given that label."""

    def rule(self, logits: Floats, examples: Sequence[Example], schema: Schema) -> Rule:
        truth = np.array([example.label for example in examples])
        shares = special.softmax(logits, axis=1)
        return rules.outside_rule(shares, truth, schema.labels.index(self.apart[0]), self.apart[0])

    def score(self, predictions: Sequence[Prediction]) -> Scores:
        whole = super().score(predictions)
        inside = [p.scores["correct"] for p in predictions if p.truth != self.apart[0]]
        outside = [p.scores["correct"] for p in predictions if p.truth == self.apart[0]]
        found = {"in_scope_accuracy": metrics.mean(inside), "out_of_scope_recall": metrics.mean(outside)}
        return replace(whole, values={**whole.values, **found}, notes=(*whole.notes, *metrics.notes(found)))


class Ordinal(Classification):
    """Labels that are steps of a scale: how far off an answer is stands beside whether it is right."""

    def score(self, predictions: Sequence[Prediction]) -> Scores:
        whole = super().score(predictions)
        truths, values = [p.truth for p in predictions], [p.value for p in predictions]
        found = {
            "quadratic_kappa": metrics.quadratic_kappa(truths, values, self.apart),
            "steps_off": metrics.steps_off(truths, values, self.apart),
        }
        return replace(whole, values={**whole.values, **found}, notes=(*whole.notes, *metrics.notes(found)))
