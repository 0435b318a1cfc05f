"""A stretch of a text as the answer to a question. The model is transformers' own ``...ForQuestionAnswering``.

    answer.show(prediction)     # {"text": "Bonn", "start": 9, "end": 13, "confidence": 0.91}

A context longer than the model reads becomes overlapping windows of one row. Start and end are each one softmax over
the context tokens of ALL windows of the row (Clark and Gardner 2018, arXiv 1710.10723), so that windows compete; the
first token of every window stands for "no answer". How files write questions is in ``questions``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.modalities import Batch, Encoder, Example, Piece, TextEncoder
from tuneproof.modalities.text import Window
from tuneproof.place import put
from tuneproof.records import Column, Generation, Guess, Prediction, Row, Schema, Scores, Table
from tuneproof.tasks import layouts, metrics, questions
from tuneproof.tasks.pretrained import load_pretrained
from tuneproof.tasks.questions import NONE
from tuneproof.tasks.rules import NO_ANSWER, Likeliest, Rule
from tuneproof.tasks.tables import Canonical, canonical_rows

STRIDE = 128  # tokens that two windows of a context share: longer than nearly every answer
FEWEST = 30  # validation rows from which a margin is fitted
IMPOSSIBLE = -1e9  # logit of a token that no answer can begin or end at


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer is read from, beside the model's figures."""

    context: str
    windows: Sequence[Window]
    answers: Sequence[str] | None  # the truth; empty: there is no answer


class QuestionAnswering(Likeliest):
    primary: ClassVar[str] = "token_f1"
    higher_is_better: ClassVar[bool] = True
    proportion: ClassVar[bool] = False
    auto: ClassVar[str] = "AutoModelForQuestionAnswering"
    length_limit: ClassVar[int] = 384
    unit: ClassVar[str] = "row"
    kinds: ClassVar[tuple[str, ...]] = ("encoder",)
    options: ClassVar[frozenset[str]] = frozenset()
    shows: ClassVar[frozenset[str]] = frozenset({"text", "start", "end", "confidence"})
    baselines: ClassVar[tuple[str, ...]] = ("no-answer", "first-sentence", "overlap-sentence")
    recipe: ClassVar[dict[str, tuple[Any, str]]] = {
        "train.epochs": (4.0, "enough for spans; validation decides which weights are kept"),
        "train.batch_size": (16, "usual for questions with a context"),
        "train.schedule": ("linear", "usual for encoders"),
    }

    def __init__(self, margin: float = 0.0) -> None:
        self.margin = margin  # log of how much likelier than "no answer" a stretch has to be for it to be given

    def settled(self, predictions: Sequence[Prediction]) -> Rule:
        """The margin with the best mean F1 on these rows, of equals the one nearest to 0; none from a few rows."""
        if len(predictions) < FEWEST:
            return {}
        margins = np.array([p.scores["margin"] for p in predictions])
        given = np.array([p.scores["stretch_f1"] for p in predictions])
        kept = np.array([float(not p.truth) for p in predictions])
        ordered = np.unique(margins)
        tried = np.concatenate([[0.0], (ordered[1:] + ordered[:-1]) / 2])
        reached = np.array([np.where(margins >= margin, given, kept).mean() for margin in tried])
        best = min(range(len(tried)), key=lambda at: (-round(float(reached[at]), 12), abs(tried[at])))
        return {
            "kind": NO_ANSWER,
            "threshold": float(tried[best]),
            "f1_before": float(reached[0]),
            "f1": float(reached[best]),
            "n": len(predictions),
            "reason": f"the best mean F1 of {len(predictions):,} validation rows, "
            f"{reached[best]:.3f} where it would be {reached[0]:.3f}",
        }

    def ruled(self, rule: Rule) -> QuestionAnswering:
        return QuestionAnswering(float(rule["threshold"])) if rule else self

    def at_temperature(self, temperature: float) -> QuestionAnswering:
        assert temperature == 1, "a temperature is fitted for one label per row"
        return self

    def template(self, encoder: Encoder) -> str:
        return ""

    def recognise(self, columns: Sequence[Column], asked: Data) -> Guess | None:
        return None if asked.text or asked.label else questions.known(columns)

    def canonical(self, row: Row, schema: Schema) -> dict[str, Any]:
        return questions.canonical(row, schema)

    def canonical_columns(self, table: Table, schema: Schema) -> Canonical:
        return canonical_rows(table, schema, questions.canonical)

    def check(self, table: Table, schema: Schema) -> None:
        if not any(table.columns["answers"]):
            raise DataError(
                f"{table.source}, line {table.lines[0]}: none of the {len(table):,} usable questions has an answer.",
                "Add rows with answers.",
            )

    def learning_rate(self, hidden: int) -> tuple[float, str]:
        """Of full tuning, for a model of this width."""
        if hidden <= 512:
            return 2e-4, f"full tuning of a small encoder (width {hidden})"
        return 5e-5, f"full tuning of an encoder of width {hidden}"

    def labelled(self, rows: Sequence[Row], schema: Schema) -> list[dict[str, Any]]:
        return [dict(row) for row in rows]

    def example(self, row: Row, encoder: Encoder) -> Example:
        assert isinstance(encoder, TextEncoder)
        asked, context = questions.parts(row)
        windows = encoder.windows(asked, context, STRIDE)
        if not windows:
            raise layouts.Unusable("a question that leaves no room for its context")
        answers = row.get("answers")
        about = Asked(context, windows, None if answers is None else [one["text"] for one in answers])
        spans = [window.span(answers) if answers is not None else None for window in windows]
        if answers and all(span == (0, 0) for span in spans):
            raise layouts.Unusable("an answer longer than a window of its context")
        parts = [
            Example(window.ids, types=window.types, span=span) for window, span in zip(windows, spans, strict=True)
        ]
        return Example((), parts=parts, about=about)

    def model(self, folder: Path, schema: Schema, *, seed: int) -> Module:
        return load_pretrained(self.auto, folder, seed=seed)

    def loss(self, model: Module, batch: Batch) -> Tensor:
        return self._losses(self._logits(model, batch), batch).sum()

    def logits(self, model: Module, batch: Batch) -> Tensor:
        return self._logits(model, batch)

    def _logits(self, model: Module, batch: Batch) -> Tensor:
        """(2, S, T) in fp32: start and end of each token, out of reach where no answer can be."""
        out = model(**batch.inputs)
        both = torch.stack([out.start_logits, out.end_logits]).float()
        open_ = torch.zeros_like(batch.here.mask, dtype=torch.bool)
        windows = [window for about in batch.about for window in about.windows]
        for sequence, window in enumerate(windows):
            open_[sequence, 0] = True
            open_[sequence, window.first : window.first + len(window.offsets)] = True
        return both.masked_fill(put(~open_, both.device), IMPOSSIBLE)

    def _losses(self, both: Tensor, batch: Batch) -> Tensor:
        """(B,): for each row minus the log of what start and end have of their softmax over all windows, halved."""
        here = batch.here
        assert here.spans is not None
        counts = here.owner.bincount().tolist()
        found = []
        for spans, logs in zip(torch.split(here.spans, counts), torch.split(both, counts, dim=1), strict=True):
            answered = (spans > 0).any(-1)
            right = answered if bool(answered.any()) else torch.ones_like(answered)
            at, ends = put(right.nonzero()[:, 0], both.device), put(spans[right], both.device)
            reached = torch.stack([logs[side, at, ends[:, side]].logsumexp(0) for side in (0, 1)])
            found.append((logs.flatten(1).logsumexp(1) - reached).sum() / 2)
        return torch.stack(found)

    def predict(self, model: Module, batch: Batch) -> list[Prediction]:
        both, batch = self._logits(model, batch).cpu(), batch.here
        losses = self._losses(both, batch).tolist() if batch.spans is not None else []
        lengths = batch.mask.sum(-1)
        found = []
        for row, about in enumerate(batch.about):
            own = batch.owner == row
            logs = both[:, own]
            logs = logs - logs.flatten(1).logsumexp(1)[:, None, None]
            said = _best(logs.numpy(), about)
            loss = losses[row] if losses else None
            found.append(_prediction(said, about, loss, int(lengths[own].sum()), self.margin))
        return found

    def view(self, row: Row, encoder: Encoder) -> list[Piece]:
        return []

    def texts(self, row: Row) -> tuple[str, str]:
        return str(row["text"]), questions.told(one["text"] for one in row["answers"])

    def without_truth(self, row: Row) -> dict[str, Any]:
        return {"text": row["text"], "question": row["question"]}

    def ask(self, row: Row, schema: Schema) -> dict[str, Any]:
        return questions.asked(row, schema)

    def question(self, text: str) -> dict[str, Any]:
        """A question, a line break and the context."""
        asked, _, context = text.partition("\n")
        if not asked.strip() or not context.strip():
            raise DataError(
                "A question needs a context to find its answer in.",
                'Give rows: {"question": "...", "context": "..."}, or the question, a line break and the context.',
            )
        return {"text": text, "question": asked}

    def length(self, row: Row, encoder: Encoder) -> int:
        """Long contexts become windows, so only a question can be too long."""
        return self.example({name: row[name] for name in row if name != "answers"}, encoder).longest

    def respond(self, model: Module, encoder: Encoder, rows: Sequence[Row], how: Generation) -> list[Prediction]:
        """Answers to questions whose answers nobody knows."""
        examples = [self.example({name: row[name] for name in row if name != "answers"}, encoder) for row in rows]
        return self.predict(model, encoder.collate(examples).beside(model))

    def finish(self, folder: Path, encoder: Encoder, how: Generation) -> None:
        pass

    def score(self, predictions: Sequence[Prediction]) -> Scores:
        values: dict[str, float | None] = {
            name: metrics.mean([p.scores[name] for p in predictions]) for name in ("token_f1", "exact_match")
        }
        sides = {"answerable_f1": [p for p in predictions if p.truth], "no_answer_f1": []}
        sides["no_answer_f1"] = [p for p in predictions if not p.truth]
        if all(sides.values()):
            values |= {name: metrics.mean([p.scores["token_f1"] for p in some]) for name, some in sides.items()}
        return Scores(self.primary, values, len(predictions), notes=metrics.notes(values))

    def classes(self, predictions: Sequence[Prediction]) -> list[metrics.ClassScore]:
        return []

    def said(self, row: Row, prediction: Prediction) -> str:
        return str(prediction.value) or NONE

    def show(self, prediction: Prediction) -> dict[str, Any]:
        """An empty text without start and end is "no answer"."""
        found = bool(prediction.value)
        places = {name: int(prediction.scores[name]) if found else None for name in ("start", "end")}
        return {"text": prediction.value, **places, "confidence": prediction.confidence}


@dataclass(frozen=True, slots=True)
class Best:
    """The likeliest stretch of the context, and how likely it and "no answer" are."""

    start: int  # characters of the context
    end: int
    log: float
    none: float


def _best(logs: np.ndarray[Any, Any], about: Asked) -> Best:
    """``logs`` (2, windows, T) are log probabilities over all windows of the row."""
    none = float(np.logaddexp.reduce(logs[0, :, 0]) + np.logaddexp.reduce(logs[1, :, 0]))
    best = Best(0, 0, -np.inf, none)
    for number, window in enumerate(about.windows):
        inside = slice(window.first, window.first + len(window.offsets))
        start, end = logs[0, number, inside], logs[1, number, inside]
        begun = np.maximum.accumulate(start)  # the best start that is not behind each end
        last = int((begun + end).argmax())
        log = float(begun[last] + end[last])
        if log > best.log:
            first = int(start[: last + 1].argmax())
            best = Best(window.offsets[first][0], window.offsets[last][1], log, none)
    return best


def _prediction(best: Best, about: Asked, loss: float | None, tokens: int, margin: float) -> Prediction:
    stretch = about.context[best.start : best.end]
    text = stretch if best.log - best.none >= margin else ""
    sure = float(np.exp(best.log if text else best.none))
    scores = {"start": float(best.start), "end": float(best.end), "margin": best.log - best.none}
    if about.answers is None or loss is None:
        return Prediction(text, None, sure, {}, scores, tokens)
    right = {**questions.scored(text, about.answers), "stretch_f1": metrics.token_f1(stretch, about.answers)}
    return Prediction(text, list(about.answers), sure, {}, {"nll": loss, **right, **scores}, tokens)
