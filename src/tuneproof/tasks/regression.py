"""One number per row, a text or a pair of texts. The model is transformers' own ``...ForSequenceClassification``.

    Regression().score([Prediction(3.1, truth=3.5, scores={"absolute_error": 0.4, ...}), ...]).main     # mean error

The model learns numbers of mean 0 and deviation 1. What they were on the training rows stands in the model's own
configuration as ``target_mean`` and ``target_scale``: number = output * target_scale + target_mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import Module

from tuneproof.config import Data
from tuneproof.modalities import Batch, Encoder, Example, Piece, TextEncoder
from tuneproof.records import Column, Generation, Guess, Prediction, Row, Schema, Scores, Table
from tuneproof.tasks import layouts, metrics, quantities
from tuneproof.tasks.classification import Classification
from tuneproof.tasks.pretrained import load_pretrained
from tuneproof.tasks.rules import Likeliest
from tuneproof.tasks.tables import Canonical, canonical_rows


class Regression(Likeliest):
    primary: ClassVar[str] = "mae"
    higher_is_better: ClassVar[bool] = False
    proportion: ClassVar[bool] = False
    auto: ClassVar[str] = Classification.auto
    length_limit: ClassVar[int] = 512
    unit: ClassVar[str] = "row"
    kinds: ClassVar[tuple[str, ...]] = ("encoder",)
    options: ClassVar[frozenset[str]] = frozenset({"data.text", "data.second", "data.label"})
    shows: ClassVar[frozenset[str]] = frozenset({"number"})
    baselines: ClassVar[tuple[str, ...]] = ("mean", "median", "tfidf-ridge", "frozen-ridge")
    recipe: ClassVar[dict[str, tuple[Any, str]]] = Classification.recipe

    def at_temperature(self, temperature: float) -> Regression:
        return self

    def template(self, encoder: Encoder) -> str:
        return ""

    def recognise(self, columns: Sequence[Column], asked: Data) -> Guess | None:
        return quantities.text_and_number(columns, asked)

    def canonical(self, row: Row, schema: Schema) -> dict[str, Any]:
        return quantities.canonical_number(row, schema)

    def canonical_columns(self, table: Table, schema: Schema) -> Canonical:
        return canonical_rows(table, schema, self.canonical)

    def check(self, table: Table, schema: Schema) -> None:
        quantities.check_numbers(table, schema)

    def learning_rate(self, hidden: int) -> tuple[float, str]:
        return Classification().learning_rate(hidden)

    def labelled(self, rows: Sequence[Row], schema: Schema) -> list[dict[str, Any]]:
        return [dict(row) for row in rows]

    def example(self, row: Row, encoder: Encoder) -> Example:
        assert isinstance(encoder, TextEncoder)
        values = [row["target"]] if "target" in row else None
        return encoder.encode(row["text"], row.get("second"), values=values)

    def model(self, folder: Path, schema: Schema, *, seed: int) -> Module:
        model = load_pretrained(self.auto, folder, seed=seed, num_labels=1, problem_type="regression")
        config: Any = model.config
        config.target_mean, config.target_scale = schema.scale or (0.0, 1.0)
        return model

    def loss(self, model: Module, batch: Batch) -> Tensor:
        """Squared error in standard deviations of the training rows' numbers."""
        assert batch.values is not None
        config: Any = model.config
        wanted = (batch.values - config.target_mean) / config.target_scale  # (B, 1)
        loss: Tensor = (self.logits(model, batch) - wanted).square().sum()
        return loss

    def logits(self, model: Module, batch: Batch) -> Tensor:
        logits: Tensor = model(**batch.inputs).logits.float()  # (B, 1)
        return logits

    def predict(self, model: Module, batch: Batch) -> list[Prediction]:
        config: Any = model.config
        logits, batch = self.logits(model, batch).cpu(), batch.here
        numbers = (logits[:, 0].double() * config.target_scale + config.target_mean).tolist()
        lengths = batch.lengths
        if batch.values is None:
            return [Prediction(number, tokens_in=length) for number, length in zip(numbers, lengths, strict=True)]
        truths = [float(str(value)) for value in batch.values[:, 0].numpy()]  # 3.1, not 3.0999999
        return [
            prediction(number, truth, length) for number, truth, length in zip(numbers, truths, lengths, strict=True)
        ]

    def view(self, row: Row, encoder: Encoder) -> list[Piece]:
        return []

    def texts(self, row: Row) -> tuple[str, str]:
        return layouts.question(row), f"{row['target']:g}"

    def without_truth(self, row: Row) -> dict[str, Any]:
        return {part: row[part] for part in ("text", "second") if part in row}

    def ask(self, row: Row, schema: Schema) -> dict[str, Any]:
        return {part: text.strip() for part, text in layouts.asked_texts(row, schema).items()}

    def question(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def length(self, row: Row, encoder: Encoder) -> int:
        return len(self.example(self.without_truth(row), encoder))

    def respond(self, model: Module, encoder: Encoder, rows: Sequence[Row], how: Generation) -> list[Prediction]:
        """Numbers for rows whose number nobody knows."""
        examples = [self.example(self.without_truth(row), encoder) for row in rows]
        return self.predict(model, encoder.collate(examples).beside(model))

    def finish(self, folder: Path, encoder: Encoder, how: Generation) -> None:
        pass

    def score(self, predictions: Sequence[Prediction]) -> Scores:
        found = metrics.regression_scores([p.truth for p in predictions], [p.value for p in predictions])
        return Scores(self.primary, found, len(predictions), higher_is_better=False, notes=metrics.notes(found))

    def classes(self, predictions: Sequence[Prediction]) -> list[metrics.ClassScore]:
        return []

    def said(self, row: Row, prediction: Prediction) -> str:
        return f"{prediction.value:.4g}"

    def show(self, prediction: Prediction) -> dict[str, Any]:
        return {"number": prediction.value}


def prediction(number: float, truth: float, tokens: int = 0) -> Prediction:
    """A number that was predicted, with its errors."""
    error = abs(number - truth)
    scores = {"absolute_error": error, "squared_error": error * error}
    return Prediction(number, truth, scores=scores, tokens_in=tokens)
