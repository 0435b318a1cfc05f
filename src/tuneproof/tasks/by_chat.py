"""What tasks have in common whose rows a chat model answers: it is opened, taught and read as in instruction tuning.

    class Instructed(ByChat, Classification): ...      # the rows and scores of the one, the model of the other

It stands before the task whose rows these are. What is asked of a row and what is learnt, the task says itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import Module

from tuneproof.config import Data
from tuneproof.modalities import Batch, ChatEncoder, Encoder, Example
from tuneproof.records import Column, Guess, Row, Schema
from tuneproof.tasks.instruction import Instruction

WRITER = Instruction()


class ByChat(ABC):
    auto: ClassVar[str] = Instruction.auto
    length_limit: ClassVar[int] = Instruction.length_limit
    unit: ClassVar[str] = Instruction.unit
    reads_batches: ClassVar[bool] = False
    kinds: ClassVar[tuple[str, ...]] = Instruction.kinds
    recipe: ClassVar[dict[str, tuple[Any, str]]] = {
        "train.batch_size": (16, "usual for short texts"),
        "train.schedule": ("cosine", "usual for language models"),
    }

    @abstractmethod
    def _asked(self, row: Row) -> list[dict[str, str]]:
        """The messages that the model is asked."""

    @abstractmethod
    def _whole(self, row: Row, encoder: ChatEncoder) -> Example:
        """All of a row, however long."""

    @abstractmethod
    def _within(self, row: Row, encoder: ChatEncoder) -> Example | None:
        """As much of a row as the model can read; None where that is nothing."""

    def recognise(self, columns: Sequence[Column], asked: Data) -> Guess | None:
        """Where it was asked for: else such a file is for an encoder, unless the model is none."""
        found: Guess | None = super().recognise(columns, asked) if asked.task is not None else None  # type: ignore[misc]
        return found

    def learning_rate(self, hidden: int) -> tuple[float, str]:
        return WRITER.learning_rate(hidden)

    def example(self, row: Row, encoder: Encoder) -> Example:
        """However long; where it is cut, its texts lose their ends, and its answer what stood there."""
        assert isinstance(encoder, ChatEncoder)
        return replace(self._whole(row, encoder), shorter=partial(self._within, row, encoder))

    def length(self, row: Row, encoder: Encoder) -> int:
        """With the room that an answer needs."""
        assert isinstance(encoder, ChatEncoder)
        return self._whole(self.without_truth(row), encoder).longest  # type: ignore[attr-defined,no-any-return]

    def outside(self, row: Row) -> dict[str, Any]:
        return {"messages": self._asked(row)}

    def model(self, folder: Path, schema: Schema, *, seed: int) -> Module:
        return WRITER.model(folder, schema, seed=seed)

    def loss(self, model: Module, batch: Batch) -> Tensor:
        return WRITER.loss(model, batch)


def questions(batch: Batch) -> list[list[int]]:
    """Ids of what comes before the answer of each row, or all of it where there is no answer."""
    batch = batch.here
    lengths = (batch.mask.sum(-1) if batch.loss is None else batch.loss.int().argmax(-1)).tolist()
    return [ids[:length] for ids, length in zip(batch.ids.tolist(), lengths, strict=True)]
