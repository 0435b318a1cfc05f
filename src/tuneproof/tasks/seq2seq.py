"""One text in, another out: translate, summarise, rewrite. The model is an encoder with a decoder (T5, BART, Marian).

    Seq2Seq().score(predictions).values["rougeL"]        # of the texts that the model wrote for all test rows

While training, the best weights are chosen by the loss per token of the target, which is cheap; on the test rows the
model writes, and what it wrote decides. One reference per row; a failed or empty text scores 0 and stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Module, functional
from transformers import GenerationConfig, PreTrainedModel

from tuneproof.config import Data
from tuneproof.modalities import IGNORED, Batch, Encoder, Example, Piece, TextEncoder
from tuneproof.records import Column, Generation, Guess, Prediction, Row, Schema, Scores, Table
from tuneproof.tasks import layouts, metrics
from tuneproof.tasks.pretrained import load_pretrained
from tuneproof.tasks.rules import Likeliest
from tuneproof.tasks.tables import Canonical, canonical_rows


def complete(
    predictions: Sequence[Prediction], rows: Sequence[Row], write: Callable[[], Sequence[Prediction]]
) -> list[Prediction]:
    """Predictions with the text that the model writes for each row, scored against its target."""
    return [
        replace(
            known,
            value=reply.value,
            truth=row["target"],
            scores={**known.scores, **reply.scores, **metrics.rouge(reply.value, row["target"])},
            tokens_out=reply.tokens_out,
        )
        for known, row, reply in zip(predictions, rows, write(), strict=True)
    ]


def settings(encoder: TextEncoder, how: Generation) -> dict[str, Any]:
    """What transformers' ``generate`` is told."""
    found: dict[str, Any] = {
        "do_sample": False,
        "num_beams": how.beams,
        "max_new_tokens": how.max_new_tokens or None,  # undecided outside of a planned run
        "repetition_penalty": how.repetition_penalty,
        "no_repeat_ngram_size": how.no_repeat_ngram,
        "eos_token_id": encoder.tokenizer.eos_token_id,
        "pad_token_id": encoder.tokenizer.pad_token_id,
    }
    return {**found, "length_penalty": how.length_penalty, "early_stopping": True} if how.beams > 1 else found


class Seq2Seq(Likeliest):
    primary: ClassVar[str] = "loss_per_token"
    higher_is_better: ClassVar[bool] = False
    proportion: ClassVar[bool] = False
    auto: ClassVar[str] = "AutoModelForSeq2SeqLM"
    length_limit: ClassVar[int] = 512
    unit: ClassVar[str] = "target token"
    kinds: ClassVar[tuple[str, ...]] = ("seq2seq",)
    options: ClassVar[frozenset[str]] = frozenset(
        {
            "data.text",
            "data.label",
            "evaluate.answers",
            "evaluate.max_new_tokens",
            "evaluate.repetition_penalty",
            "evaluate.no_repeat_ngram",
            "evaluate.beams",
            "evaluate.length_penalty",
        }
    )
    shows: ClassVar[frozenset[str]] = frozenset({"text", "stopped"})
    baselines: ClassVar[tuple[str, ...]] = ("copy", "lead-1", "lead-3", "untuned")
    recipe: ClassVar[dict[str, tuple[Any, str]]] = {
        "train.epochs": (4.0, "usual for pairs of texts; validation decides which weights are kept"),
        "train.batch_size": (32, "usual for short texts"),
        "train.schedule": ("linear", "usual for encoders with a decoder"),
        "evaluate.repetition_penalty": (1.0, "none: a target repeats words that the source repeats"),
        "evaluate.no_repeat_ngram": (0, "no limit: a target repeats words that the source repeats"),
        "evaluate.beams": (1, "greedy: every beam more takes as long again"),
    }

    def recognise(self, columns: Sequence[Column], asked: Data) -> Guess | None:
        return layouts.source_and_target(columns, asked)

    def canonical(self, row: Row, schema: Schema) -> dict[str, Any]:
        return layouts.canonical_pair(row, schema)

    def canonical_columns(self, table: Table, schema: Schema) -> Canonical:
        return canonical_rows(table, schema, self.canonical)

    def check(self, table: Table, schema: Schema) -> None:
        pass

    def learning_rate(self, hidden: int) -> tuple[float, str]:
        """Of full tuning, for a model of this width."""
        if hidden <= 512:
            return 3e-4, f"full tuning of a small encoder with a decoder (width {hidden})"
        return 1e-4, f"full tuning of an encoder with a decoder of width {hidden}"

    def labelled(self, rows: Sequence[Row], schema: Schema) -> list[dict[str, Any]]:
        return [dict(row) for row in rows]

    def example(self, row: Row, encoder: Encoder) -> Example:
        assert isinstance(encoder, TextEncoder)
        target = encoder.target(row["target"])
        if len(target) > encoder.max_length:
            raise layouts.Unusable("target longer than the model can write")
        return replace(encoder.encode(row["text"]), target=target)

    def model(self, folder: Path, schema: Schema, *, seed: int) -> Module:
        return load_pretrained(self.auto, folder, seed=seed)

    def loss(self, model: Module, batch: Batch) -> Tensor:
        logits, targets = self._learnt(model, batch)
        return functional.cross_entropy(logits, targets, reduction="sum")

    def logits(self, model: Module, batch: Batch) -> Tensor:
        return self._learnt(model, batch)[0]

    def _learnt(self, model: Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (N, vocabulary) in fp32 and ids (N,) of the N target tokens, row after row."""
        assert batch.target is not None
        plain = model if isinstance(model, PreTrainedModel) else model.get_base_model()  # type: ignore[operator]
        begun = plain.prepare_decoder_input_ids_from_labels(labels=batch.target)  # (B, U), shifted by one
        logits = model(**batch.inputs, decoder_input_ids=begun, use_cache=False).logits  # (B, U, vocabulary)
        assert batch.here.target is not None
        at = batch.places(batch.here.target != IGNORED)
        return logits.flatten(0, 1)[at].float(), batch.target.flatten()[at]

    def at_temperature(self, temperature: float) -> Seq2Seq:
        assert temperature == 1, "a temperature is fitted for a fixed set of classes"
        return self

    def template(self, encoder: Encoder) -> str:
        """Ids of a fixed target: losses per token of other tokens cannot be compared."""
        assert isinstance(encoder, TextEncoder)
        return str(encoder.target("a b c d"))

    def predict(self, model: Module, batch: Batch) -> list[Prediction]:
        """The loss of each target; nothing is written here."""
        assert batch.target is not None
        logits, targets = self._learnt(model, batch)
        nll = functional.cross_entropy(logits, targets, reduction="none").cpu()
        hit = (logits.argmax(-1) == targets).float().cpu()
        assert batch.here.target is not None
        counts = (batch.here.target != IGNORED).sum(-1).tolist()
        lengths = batch.lengths
        return [
            Prediction(
                None,
                scores={"nll": float(losses.sum()), "tokens": float(n), "hits": float(hits.sum())},
                tokens_in=tokens,
            )
            for n, tokens, losses, hits in zip(
                counts, lengths, torch.split(nll, counts), torch.split(hit, counts), strict=True
            )
        ]

    def view(self, row: Row, encoder: Encoder) -> list[Piece]:
        return []

    def texts(self, row: Row) -> tuple[str, str]:
        return str(row["text"]), str(row["target"])

    def without_truth(self, row: Row) -> dict[str, Any]:
        return {"text": row["text"]}

    def ask(self, row: Row, schema: Schema) -> dict[str, Any]:
        return layouts.source(row, schema)

    def question(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def length(self, row: Row, encoder: Encoder) -> int:
        assert isinstance(encoder, TextEncoder)
        return len(encoder.encode(row["text"]))

    def respond(self, model: Module, encoder: Encoder, rows: Sequence[Row], how: Generation) -> list[Prediction]:
        """The model's own texts; ``scores["stopped"]`` is 1 when it ended by itself. A source too long is cut."""
        assert isinstance(encoder, TextEncoder)
        batch = encoder.collate([encoder.cut(encoder.encode(row["text"])) for row in rows]).beside(model)
        with torch.no_grad():
            out = model.generate(**batch.inputs, **settings(encoder, how))  # type: ignore[operator]
        lengths = batch.lengths
        return [self._text(encoder, ids, n) for ids, n in zip(out.tolist(), lengths, strict=True)]

    def _text(self, encoder: TextEncoder, ids: list[int], tokens_in: int) -> Prediction:
        pad, end = encoder.tokenizer.pad_token_id, encoder.tokenizer.eos_token_id
        text = encoder.tokenizer.decode(ids, skip_special_tokens=True).strip()
        written = [id for id in ids[1:] if id != pad]  # the first begins every target
        stopped = {"stopped": float(end in written)}
        return Prediction(text, scores=stopped, tokens_in=tokens_in, tokens_out=len(written))

    def finish(self, folder: Path, encoder: Encoder, how: Generation) -> None:
        """``generation_config.json``: how the texts of the report were written, and what begins one."""
        assert isinstance(encoder, TextEncoder)
        known = GenerationConfig.from_pretrained(encoder.folder, local_files_only=True)
        known.update(**settings(encoder, how))
        known.save_pretrained(folder)

    def score(self, predictions: Sequence[Prediction]) -> Scores:
        values: dict[str, float | None] = {}
        notes: list[str] = []
        if predictions and predictions[0].value is not None:
            said, truths = [p.value for p in predictions], [p.truth for p in predictions]
            values |= {name: self._mean(name, predictions) for name in ("rougeL", "rouge1", "rouge2")}
            values["bleu"], signature = metrics.bleu(said, truths)
            values["chrf"], other = metrics.chrf(said, truths)
            notes = [
                f"BLEU by sacreBLEU, {signature}; chrF, {other}",
                f"ROUGE: mean over rows, tokens are {metrics.ROUGE_TOKENIZER}",
            ]
        tokens = sum(p.scores.get("tokens", 0.0) for p in predictions)
        loss = sum(p.scores["nll"] for p in predictions) / tokens if tokens else None
        values["loss_per_token"] = loss
        values["next_token_accuracy"] = sum(p.scores["hits"] for p in predictions) / tokens if tokens else None
        if "rougeL" in values:
            return Scores("rougeL", values, len(predictions), notes=tuple(notes))
        return Scores(self.primary, values, len(predictions), higher_is_better=False)

    def _mean(self, name: str, predictions: Sequence[Prediction]) -> float:
        return sum(p.scores[name] for p in predictions) / len(predictions)

    def classes(self, predictions: Sequence[Prediction]) -> list[metrics.ClassScore]:
        return []

    def said(self, row: Row, prediction: Prediction) -> str:
        return str(prediction.value or "")

    def show(self, prediction: Prediction) -> dict[str, Any]:
        return {"text": prediction.value, "stopped": bool(prediction.scores.get("stopped"))}
