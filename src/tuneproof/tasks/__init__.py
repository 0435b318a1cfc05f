"""What an answer is. TASKS is the one table; a task is a modality (raw value -> tensors) times an answer.

    task = TASKS["text-classification"]
    task.answer.loss(model, batch)

Adding a task is one file with an Answer and one row here. Nothing outside this folder asks which task it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from torch import Tensor
from torch.nn import Module

from tuneproof.config import Data
from tuneproof.errors import ConfigError, nearest
from tuneproof.modalities import Batch, Encoder, Example, Piece
from tuneproof.records import Column, Generation, Guess, Prediction, Row, Schema, Scores, Table
from tuneproof.tasks import embeddings, seq2seq
from tuneproof.tasks.classification import Classification
from tuneproof.tasks.drawing import Watch
from tuneproof.tasks.embeddings import Embeddings
from tuneproof.tasks.instructed import Instructed
from tuneproof.tasks.instructed_extraction import InstructedExtraction
from tuneproof.tasks.instruction import Instruction
from tuneproof.tasks.metrics import ClassScore
from tuneproof.tasks.multi_label import MultiLabel
from tuneproof.tasks.question_answering import QuestionAnswering
from tuneproof.tasks.regression import Regression
from tuneproof.tasks.rules import Floats, Rule
from tuneproof.tasks.seq2seq import Seq2Seq
from tuneproof.tasks.tables import Canonical
from tuneproof.tasks.token_classification import TokenClassification
from tuneproof.tasks.wording import entity_wording, wording


class Answer(Protocol):
    """One kind of answer. Losses are SUMS over units (rows or answer tokens), so that accumulation is exact."""

    primary: ClassVar[str]  # metric that decides
    higher_is_better: ClassVar[bool]
    proportion: ClassVar[bool]  # whether the metric that decides is a share of rows answered rightly
    auto: ClassVar[str]  # transformers' class that opens a model for this task
    length_limit: ClassVar[int]  # tokens of a row at most, where nobody says otherwise and the model takes more
    unit: ClassVar[str]  # "row" or "answer token": what the loss is a mean over
    reads_batches: ClassVar[bool]  # whether predictions are made from the same tokens as the loss
    kinds: ClassVar[tuple[str, ...]]  # kinds of model in the catalogue that can do this
    options: ClassVar[frozenset[str]]  # options of the configuration that only some tasks read
    shows: ClassVar[frozenset[str]]  # keys of what ``show`` returns
    baselines: ClassVar[tuple[str, ...]]  # rows of evaluate.baselines.BASELINES that make sense here
    recipe: ClassVar[dict[str, tuple[Any, str]]]  # option -> its value for this task and the reason

    def recognise(self, columns: Sequence[Column], asked: Data) -> Guess | None:
        """Whether a file with these columns is for this task; None when it is not."""
        ...

    def canonical(self, row: Row, schema: Schema) -> dict[str, Any]:
        """The parts of the task from a row of the file; ``layouts.Unusable`` with a reason when it has none."""
        ...

    def canonical_columns(self, table: Table, schema: Schema) -> Canonical:
        """``canonical`` of all rows of a table, the unusable ones by their reason."""
        ...

    def check(self, table: Table, schema: Schema) -> None:
        """Refuse (DataError) rows that cannot teach the task as a whole: one class only, a class with one row."""
        ...

    def learning_rate(self, hidden: int) -> tuple[float, str]:
        """Peak rate of full tuning for a model of this width, with the reason."""
        ...

    def labelled(self, rows: Sequence[Row], schema: Schema) -> list[dict[str, Any]]:
        """Canonical rows with what a batch needs to know of the truth."""
        ...

    def example(self, row: Row, encoder: Encoder) -> Example:
        """A canonical row as token ids with what carries loss; ``layouts.Unusable`` where this model cannot show it."""
        ...

    def model(self, folder: Path, schema: Schema, *, seed: int) -> Module:
        """The pretrained model in fp32 with the right head for this task; a new head is drawn from ``seed``."""
        ...

    def loss(self, model: Module, batch: Batch) -> Tensor:
        """Sum of the loss over the batch's units, scalar, fp32."""
        ...

    def logits(self, model: Module, batch: Batch) -> Tensor:
        """What the loss is made of, fp32: (rows, classes), or (learnt tokens, vocabulary) row after row."""
        ...

    def at_temperature(self, temperature: float) -> Answer:
        """The same answer, its logits divided by ``temperature`` in ``predict`` and ``respond``; 1 changes nothing."""
        ...

    def fitted(self, schema: Schema) -> Answer:
        """The same answer for rows like these: a rare label decides by its F1, and so on."""
        ...

    def rule(self, logits: Floats, examples: Sequence[Example], schema: Schema) -> Rule:
        """How answers are decided from probabilities, fitted on rows of their own; {}: the likeliest one."""
        ...

    def settled(self, predictions: Sequence[Prediction]) -> Rule:
        """The same for answers that are no labels, from predictions of validation rows; {}: the likeliest one."""
        ...

    def ruled(self, rule: Rule) -> Answer:
        """The same answer, decided by ``rule``; {} changes nothing."""
        ...

    def marked(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        """Predictions of any system with the per-item scores that the metric that decides is made of."""
        ...

    def weighing(self, how: str | None, train: Sequence[Example]) -> Answer:
        """The same answer, its loss counting these rows by the frequency of their label (``train.class_weights``)."""
        ...

    def template(self, encoder: Encoder) -> str:
        """What stands around a question, and the tokens of a fixed one, where a loss depends on them; else ""."""
        ...

    def predict(self, model: Module, batch: Batch) -> list[Prediction]:
        """One prediction per row of the batch, in its order, scored against its truth where there is one."""
        ...

    def view(self, row: Row, encoder: Encoder) -> list[Piece]:
        """The whole row as a person reads it, in pieces with their ids. Empty: rows count whole, not by token."""
        ...

    def texts(self, row: Row) -> tuple[str, str]:
        """What a person reads of a canonical row: what is asked, and the truth."""
        ...

    def without_truth(self, row: Row) -> dict[str, Any]:
        """The part of a canonical row that the model is asked."""
        ...

    def outside(self, row: Row) -> dict[str, Any]:
        """The same for a program without tuneproof: texts for the tokenizer, or messages for its chat template."""
        ...

    def ask(self, row: Row, schema: Schema) -> dict[str, Any]:
        """A row of a file, its truth present or not, as the parts that the model is asked; ``layouts.Unusable``."""
        ...

    def question(self, text: str) -> dict[str, Any]:
        """A plain text as the parts of a row without its truth."""
        ...

    def length(self, row: Row, encoder: Encoder) -> int:
        """Tokens that ``respond`` would read for this row."""
        ...

    def respond(self, model: Module, encoder: Encoder, rows: Sequence[Row], how: Generation) -> list[Prediction]:
        """What the model says to rows nobody has labelled; ``how`` is for tasks whose answers are written."""
        ...

    def finish(self, folder: Path, encoder: Encoder, how: Generation) -> None:
        """Writes into the folder of a tuned model what its users need beside weights and tokenizer."""
        ...

    def score(self, predictions: Sequence[Prediction]) -> Scores:
        """Per item first, aggregates from those; predictions carry their truth."""
        ...

    def classes(self, predictions: Sequence[Prediction]) -> list[ClassScore]:
        """Precision, recall and F1 of each class (label, type of entity) that answers are made of; [] without."""
        ...

    def said(self, row: Row, prediction: Prediction) -> str:
        """What the model says to a canonical row, as ``texts`` writes the truth; "" where it was not made to speak."""
        ...

    def show(self, prediction: Prediction) -> dict[str, Any]:
        """What a user of the model sees."""
        ...


class Writer(Protocol):
    """An Answer that is written token by token, and can be followed while it is."""

    def write(
        self,
        model: Module,
        encoder: Encoder,
        rows: Sequence[Row],
        how: Generation,
        watch: Watch | None = None,
        seeds: Sequence[int] = (),
    ) -> list[Prediction]:
        """What ``respond`` says; ``watch`` hears all tokens written so far, row by row, and says which rows may end.

        ``seeds`` are those of the rows, where tokens are drawn; without them all have that of ``how``.
        """
        ...

    def told(self, encoder: Encoder, ids: Sequence[int], tokens_in: int) -> Prediction:
        """The answer that was written as ``ids``, end and padding included, to a prompt of so many tokens."""
        ...


# Predictions of all test rows, those rows, and how to have the model write about them -> what is scored.
Complete = Callable[[Sequence[Prediction], Sequence[Row], Callable[[], Sequence[Prediction]]], list[Prediction]]


@dataclass(frozen=True, slots=True)
class Task:
    """A row of the table."""

    name: str
    modality: str  # a key of modalities.MODALITIES
    answer: Answer
    complete: Complete | None = None  # where one batch cannot tell: texts as written, neighbours among all rows
    same_as: str = ""  # the task whose rows and answers these are too, for a model of another kind
    wording: Callable[[Schema, str | None], tuple[str, str]] | None = None  # what a row is asked as, and why

    @property
    def judged(self) -> str:
        """The name under which its figures may be compared."""
        return self.same_as or self.name


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("text-classification", "text", Classification()),
        Task("instructed-classification", "chat", Instructed(), same_as="text-classification", wording=wording),
        Task("multi-label-classification", "text", MultiLabel()),
        Task("text-regression", "text", Regression()),
        Task("token-classification", "text", TokenClassification()),
        Task(
            "instructed-extraction",
            "chat",
            InstructedExtraction(),
            same_as="token-classification",
            wording=entity_wording,
        ),
        Task("question-answering", "text", QuestionAnswering()),
        Task("instruction", "chat", Instruction()),
        Task("seq2seq", "text", Seq2Seq(), seq2seq.complete),
        Task("embeddings", "text", Embeddings(), embeddings.complete),
    )
}


def task(name: str) -> Task:
    """The row called ``name``; ConfigError with the nearest name otherwise."""
    if name not in TASKS:
        raise ConfigError(f'There is no task "{name}".', nearest(name, list(TASKS)) or f"Known: {', '.join(TASKS)}.")
    return TASKS[name]


def task_of(schema: Schema) -> Task:
    """The row of the task that the rows are for, its answer fitted to what they hold."""
    found = task(schema.task)
    return replace(found, answer=found.answer.fitted(schema))


def suited(this: Task, kind: str) -> Task:
    """The task with the same rows and answers that a model of ``kind`` can do; ``this`` where there is none."""
    if kind in this.answer.kinds:
        return this
    others = (one for one in TASKS.values() if one.same_as == this.name and kind in one.answer.kinds)
    return next(others, this)
