"""A trained run and rows in, predictions out: the one path of evaluation, deployment and monitoring.

    predictor = Predictor.open(run)
    predictor(["arrived broken"])                 # [Prediction(value="negative", confidence=0.97, ...)]

Rows are batched by length and come back in the order they were given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.numpy import load_file, save
from torch.nn import Module

from tuneproof.compute import cast_once
from tuneproof.config import Config, build
from tuneproof.errors import DataError
from tuneproof.methods import METHODS
from tuneproof.modalities import MODALITIES, Batch, Encoder, Example
from tuneproof.place import batch_tokens, reachable
from tuneproof.records import Generation, Prediction, Row, Schema
from tuneproof.run import Run, write_atomically
from tuneproof.tasks import Answer, task_of
from tuneproof.tasks.rows import blank
from tuneproof.tasks.rules import Rule

Vectors = np.ndarray[Any, np.dtype[np.float32]]


Around = Callable[[Sequence[int], Batch], AbstractContextManager[None]]


def as_it_is(indices: Sequence[int], batch: Batch) -> AbstractContextManager[None]:
    """Nothing around the prediction of a batch."""
    return nullcontext()


def predict_examples(
    model: Module,
    answer: Answer,
    encoder: Encoder,
    examples: Sequence[Example],
    precision: str,
    report: Callable[[int], None] = lambda done: None,
    around: Around = as_it_is,
) -> list[Prediction]:
    """Predictions for ``examples``, in their order; ``report`` hears how many are done.

    ``around`` is what each batch is predicted in, given the numbers of its examples.
    """
    model.eval()
    found: dict[int, Prediction] = {}
    with cast_once(model, precision), torch.inference_mode():
        for indices in by_length([len(example) for example in examples], batch_tokens(model)):
            batch = encoder.collate([examples[index] for index in indices]).beside(model)
            with around(indices, batch):
                found.update(zip(indices, answer.predict(model, batch), strict=True))
            report(len(found))
    return [found[index] for index in range(len(examples))]


def embed(
    model: Any,
    encoder: Encoder,
    examples: Sequence[Example],
    precision: str,
    report: Callable[[int], None] = lambda done: None,
) -> Vectors:
    """(rows, width), fp32: the mean over tokens of the last hidden states of ``model``, a transformers model."""
    body = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
    found = np.empty((len(examples), model.config.hidden_size), dtype=np.float32)
    done = 0
    with cast_once(model, precision), torch.inference_mode():
        for indices in by_length([len(example) for example in examples], batch_tokens(model)):
            batch = encoder.collate([examples[index] for index in indices]).beside(model)
            states = body(**batch.inputs).last_hidden_state.float()  # (B, T, width)
            weight = batch.mask[..., None].float()
            found[indices] = ((states * weight).sum(1) / weight.sum(1)).cpu().numpy()
            done += len(indices)
            report(done)
    return found


class Known:
    """Vectors of rows under the untouched model, by the ids of their tokens, so that none is computed twice.

    known = Known()
    known.embed(lambda: model, encoder, examples)       # computed
    known.embed(lambda: model, encoder, examples)       # looked up; the model is not even opened
    """

    FILE: ClassVar[str] = "vectors.safetensors"

    def __init__(self, found: Mapping[bytes, Vectors] | None = None) -> None:
        self.found = dict(found or {})

    @classmethod
    def read(cls, folder: Path) -> Known:
        """What ``write`` left in ``folder``, or nothing."""
        if not (folder / cls.FILE).is_file():
            return cls()
        kept = load_file(folder / cls.FILE)
        return cls({bytes(key): vector for key, vector in zip(kept["keys"], kept["vectors"], strict=True)})

    def write(self, folder: Path) -> None:
        if self.found:
            folder.mkdir(exist_ok=True)
            keys = np.array([list(key) for key in self.found], dtype=np.uint8)
            write_atomically(folder / self.FILE, save({"keys": keys, "vectors": np.stack(list(self.found.values()))}))

    def embed(
        self,
        model: Callable[[], Any],
        encoder: Encoder,
        examples: Sequence[Example],
        report: Callable[[int], None] = lambda done: None,
        *,
        precision: str = "fp32",
    ) -> Vectors:
        """(rows, width), fp32, as ``embed`` computes them; one object is asked for one precision only."""
        keys = [_key(example) for example in examples]
        missing = {key: example for key, example in zip(keys, examples, strict=True) if key not in self.found}
        if missing:
            report(len(examples) - len(missing))
            fresh = embed(model(), encoder, list(missing.values()), precision, report)
            self.found.update(zip(missing, fresh, strict=True))
        if not keys:
            return np.empty((0, model().config.hidden_size), dtype=np.float32)
        return np.stack([self.found[key] for key in keys])


def _key(example: Example) -> bytes:
    """128 bits of the tokens of a row."""
    return hashlib.blake2b(np.array(example.ids, dtype=np.int64).tobytes(), digest_size=16).digest()


def by_length(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Row numbers in batches of similar length, the longest first, each at most ``tokens`` with its padding."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        longest = lengths[batch[0]] if batch else lengths[index]
        if batch and longest * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class Predictor:
    """A model with the encoder that it was trained with."""

    model: Module
    answer: Answer
    encoder: Encoder
    schema: Schema
    config: Config
    rule: Rule = field(default_factory=dict)  # by which ``answer`` decides, {} for the likeliest label

    @classmethod
    def open(cls, run: Run, *, base: bool = False, here: torch.device | None = None) -> Predictor:
        """The tuned model of a finished run, in fp32; with ``base`` the pretrained one that it started from.

        On the device that it was trained on where there is one, unless ``here`` says which.
        """
        plan = run.plan
        config = build(plan["config"])
        schema = run.schema
        this = task_of(schema)
        folder = Path(plan["model"]["path"])
        model = open_model(this.answer, schema, config, folder, None if base else run.model)
        model.to(here or reachable(config.model.device))
        encoder = MODALITIES[this.modality](folder if base else run.model, config.model.max_length)
        if base:
            return cls(model.eval(), this.answer, encoder, schema, config)
        answer = this.answer.at_temperature(run.temperature).ruled(run.rule)
        return cls(model.eval(), answer, encoder, schema, config, run.rule)

    def __call__(self, rows: Sequence[str | Row]) -> list[Prediction]:
        """Plain texts, or rows with the parts of the task (``text``, or ``messages``).

        Always in fp32: one token at a time is bound by memory, and autocast would cast every weight for each.
        """
        return self._respond([self.canonical(row, number) for number, row in enumerate(rows, start=1)])

    def scored(self, examples: Sequence[Example], rows: Sequence[Row]) -> list[Prediction]:
        """Predictions of test rows, complete: what their scores are made of. ``examples`` are the rows, encoded."""
        said = predict_examples(self.model, self.answer, self.encoder, examples, self.config.evaluate.precision)
        complete = task_of(self.schema).complete
        if complete is None:
            return said
        return complete(said, rows, lambda: self._respond([self.answer.without_truth(row) for row in rows]))

    def _respond(self, canonical: Sequence[Row]) -> list[Prediction]:
        found: dict[int, Prediction] = {}
        lengths = [len(str(row)) // 4 + 1 for row in canonical]  # about four characters a token
        for indices in by_length(lengths, batch_tokens(self.model)):
            said = self.respond([canonical[index] for index in indices], generation(self.config))
            found.update(zip(indices, said, strict=True))
        return [found[index] for index in range(len(canonical))]

    def respond(self, rows: Sequence[Row], how: Generation) -> list[Prediction]:
        """Answers to rows that ``canonical`` let through, as one batch."""
        with torch.inference_mode():
            return self.answer.respond(self.model, self.encoder, rows, how)

    def canonical(self, row: str | Row, number: int) -> dict[str, Any]:
        """``parts``; DataError where the model cannot read that much."""
        parts = self.parts(row, number)
        length = self.answer.length(parts, self.encoder)
        if length > self.encoder.max_length:
            raise DataError(
                f"Row {number} has {length:,} tokens; this model takes {self.encoder.max_length:,}.",
                "Shorten it, or tune with a larger --set model.max_length.",
            )
        return parts

    def parts(self, row: str | Row, number: int) -> dict[str, Any]:
        """The parts of the task; DataError where one is missing."""
        parts: Mapping[str, Any] = self.answer.question(row) if isinstance(row, str) else row
        for part in ("text", "second"):
            if part in self.schema.fields and blank(parts.get(part)):
                raise DataError(
                    f'Row {number} has no "{part}".',
                    'Both texts of a pair are asked for: {"text": "...", "second": "..."}'
                    if "second" in self.schema.fields
                    else 'Give a text, or {"text": "..."}.',
                )
        return dict(parts)


def generation(config: Config) -> Generation:
    """How answers are written under a decided configuration; tasks that write none leave it undecided."""
    asked = config.evaluate
    return Generation(
        asked.max_new_tokens or 0,
        asked.repetition_penalty or 1.0,
        asked.no_repeat_ngram or 0,
        beams=asked.beams or 1,
        length_penalty=asked.length_penalty if asked.length_penalty is not None else 1.0,
    )


def open_model(answer: Answer, schema: Schema, config: Config, base: Path, tuned: Path | None) -> Module:
    """The tuned model from its folder, or the pretrained one with a new head when ``tuned`` is None."""

    def open_folder(folder: Path) -> Module:
        return answer.model(folder, schema, seed=config.train.seed)

    if tuned is None:
        return open_folder(base)
    return METHODS[config.method.name](config).load(open_folder, base, tuned)
