"""Classification by a chat model: a row becomes a question by a template, its label the answer that is learnt.

    Instructed().score(predictions).main        # accuracy, as of any classifier

It learns as instruction tuning does. Its answer is always one of the labels: each has the probability of all its tokens
after the question, end of turn included, divided by the sum over the labels. Rows, ids and scores are those of
classification, so that both can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import Module

from tuneproof.errors import ModelError
from tuneproof.modalities import Batch, ChatEncoder, Encoder, Example, Piece
from tuneproof.records import Generation, Row, Schema
from tuneproof.tasks.by_chat import WRITER, ByChat, questions
from tuneproof.tasks.classification import Classification, OpenScope, Ordinal, RareLabel
from tuneproof.tasks.instruction import logits_at
from tuneproof.tasks.label_tree import Tree, label_logs, tree
from tuneproof.tasks.wording import asked, wording

TEXTS = ("text", "second")


@dataclass(frozen=True, eq=False)
class Instructed(ByChat, Classification):
    labels: tuple[str, ...] = ()
    instruction: str = ""  # what is asked, with "{text}" in it

    options: ClassVar[frozenset[str]] = Classification.options - {"train.class_weights"} | {"data.instruction"}
    baselines: ClassVar[tuple[str, ...]] = ("majority", "tfidf-linear", "untuned")
    recipe: ClassVar[dict[str, tuple[Any, str]]] = {
        "train.epochs": (3.0, "a label is a few tokens; validation decides which weights are kept"),
        **ByChat.recipe,
    }

    def fitted(self, schema: Schema) -> Instructed:
        judged = Classification().fitted(schema)
        template = schema.instruction or wording(schema, None)[0]
        return AS[type(judged)](apart=judged.apart, labels=schema.labels, instruction=template)

    def weighing(self, how: str | None, train: Sequence[Example]) -> Instructed:
        return self

    def _whole(self, row: Row, encoder: ChatEncoder) -> Example:
        """Every label has to find room behind the question, whichever is the right one."""
        labels = _tree(encoder, self.labels)
        if "label" not in row:
            return Example(encoder.prompt(self._asked(row)).ids, about=labels, room=labels.deepest)
        found = encoder.example(self._messages(row))
        return replace(found, label=row.get("class"), about=labels, room=labels.deepest - found.units)

    def _within(self, row: Row, encoder: ChatEncoder) -> Example | None:
        short = self._beginning(row, encoder)
        return None if short is None else self._whole(short, encoder)

    def _beginning(self, row: Row, encoder: ChatEncoder) -> Row | None:
        """The row with the longest beginnings of its texts that fit, of a pair equally long; None where none does."""
        fits: Row | None = None
        low, high = 0, max(len(row[part]) for part in TEXTS if part in row)
        while low <= high:
            middle = (low + high) // 2
            short = {**row, **{part: row[part][:middle] for part in TEXTS if part in row}}
            if self._whole(short, encoder).longest <= encoder.max_length:
                fits, low = short, middle + 1
            else:
                high = middle - 1
        return fits

    def _asked(self, row: Row) -> list[dict[str, str]]:
        return [{"role": "user", "content": asked(row, self.instruction, self.labels)}]

    def _messages(self, row: Row) -> list[dict[str, str]]:
        return [*self._asked(row), {"role": "assistant", "content": row["label"]}]

    def logits(self, model: Module, batch: Batch) -> Tensor:
        """(B, labels): the log probability of each label as an answer."""
        return label_logs(model, questions(batch), batch.about[0], logits_at)

    def names(self, model: Module) -> Mapping[int, str]:
        return dict(enumerate(self.labels))

    def view(self, row: Row, encoder: Encoder) -> list[Piece]:
        """As it is read: a text that is too long without its end."""
        assert isinstance(encoder, ChatEncoder)
        long = self._whole(row, encoder).longest > encoder.max_length
        return encoder.view(self._messages((self._beginning(row, encoder) if long else row) or row))

    def finish(self, folder: Path, encoder: Encoder, how: Generation) -> None:
        """How a program that writes freely gets a label and its end: greedy, with room for the longest."""
        assert isinstance(encoder, ChatEncoder)
        WRITER.finish(folder, encoder, Generation(_tree(encoder, self.labels).deepest))


@dataclass(frozen=True, eq=False)
class InstructedRare(Instructed, RareLabel):
    """Two labels of which one is rare."""


@dataclass(frozen=True, eq=False)
class InstructedOpen(Instructed, OpenScope):
    """One of the labels stands for none of the others."""


@dataclass(frozen=True, eq=False)
class InstructedOrdinal(Instructed, Ordinal):
    """Labels that are steps of a scale."""


AS: dict[type[Classification], type[Instructed]] = {
    Classification: Instructed,
    RareLabel: InstructedRare,
    OpenScope: InstructedOpen,
    Ordinal: InstructedOrdinal,
}


@lru_cache(maxsize=4)
def _tree(encoder: ChatEncoder, labels: tuple[str, ...]) -> Tree:
    """The labels as this encoder's model would write them; ModelError where two are written alike."""
    written: dict[tuple[int, ...], str] = {}
    for label in labels:
        found = encoder.example([{"role": "user", "content": "a"}, {"role": "assistant", "content": label}])
        assert found.loss is not None
        ids = tuple(id for id, learnt in zip(found.ids, found.loss, strict=True) if learnt)
        if ids in written:
            raise ModelError(
                f'This model\'s tokenizer writes the labels "{written[ids]}" and "{label}" alike.',
                "Rename one of them, or choose another model.",
            )
        written[ids] = label
    return tree(list(written))
