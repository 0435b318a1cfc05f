"""Entities by a chat model: a row becomes a question by a template, its entities the lines that are learnt.

    answer.show(prediction)["entities"]      # [{"text": "Bonn", "start": 9, "end": 13, "label": "LOC"}]

It learns as instruction tuning does and is judged as token classification is, on the same rows. What it writes is
constrained: known types, and words that stand in the row, in their order. An answer that does not end in time is
counted, and keeps the lines that are whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import Module

from tuneproof.methods import prompted
from tuneproof.modalities import Batch, ChatEncoder, Encoder, Example, Piece
from tuneproof.records import Generation, Prediction, Row, Schema, Scores
from tuneproof.tasks import entities
from tuneproof.tasks.by_chat import WRITER, ByChat, questions
from tuneproof.tasks.entities import Entity
from tuneproof.tasks.entity_lines import END, Lines, Places, places, read, told
from tuneproof.tasks.instruction import Allowed, continued, stops_at
from tuneproof.tasks.spelling import Node, spelling
from tuneproof.tasks.token_classification import TokenClassification
from tuneproof.tasks.wording import asked, entity_wording

LEAST = 32  # tokens that an answer may have at least: a row without as much room is too long


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer is read from, beside what the model wrote."""

    text: str
    words: Sequence[str]
    tags: Sequence[str] | None  # the truth, also of what was cut off
    where: Places  # of the words that the model has read
    encoder: ChatEncoder


@dataclass(frozen=True, eq=False)
class InstructedExtraction(ByChat, TokenClassification):
    types: tuple[str, ...] = ()
    instruction: str = ""  # what is asked, with "{text}" in it

    options: ClassVar[frozenset[str]] = TokenClassification.options | {"data.instruction"}
    baselines: ClassVar[tuple[str, ...]] = (*TokenClassification.baselines, "untuned")
    recipe: ClassVar[dict[str, tuple[Any, str]]] = {
        "train.epochs": (3.0, "an answer is a few lines; validation decides which weights are kept"),
        **ByChat.recipe,
    }

    def fitted(self, schema: Schema) -> InstructedExtraction:
        template = schema.instruction or entity_wording(schema, None)[0]
        return replace(self, types=tuple(entities.types([schema.tags])), instruction=template)

    def labelled(self, rows: Sequence[Row], schema: Schema) -> list[dict[str, Any]]:
        return [dict(row) for row in rows]

    def _whole(self, row: Row, encoder: ChatEncoder, words: int | None = None) -> Example:
        """The first ``words`` words of the row, or all."""
        short = _beginning(row, words)
        about = Asked(row["text"], _words(row), row.get("tags"), places(short["text"], _words(short)), encoder)
        if "tags" not in row:
            return Example(encoder.prompt(self._asked(short)).ids, about=about, room=LEAST)
        found = encoder.example(self._messages(short))
        return replace(found, about=about, room=max(0, LEAST - found.units))

    def _within(self, row: Row, encoder: ChatEncoder) -> Example | None:
        words = self._fitting(row, encoder)
        return self._whole(row, encoder, words) if words else None

    def _fitting(self, row: Row, encoder: ChatEncoder) -> int:
        """How many of its first words leave room for their answer."""
        fits, low, high = 0, 1, len(_words(row))
        while low <= high:
            middle = (low + high) // 2
            if self._whole(row, encoder, middle).longest <= encoder.max_length:
                fits, low = middle, middle + 1
            else:
                high = middle - 1
        return fits

    def _asked(self, row: Row) -> list[dict[str, str]]:
        return [{"role": "user", "content": asked(row, self.instruction, self.types)}]

    def _messages(self, row: Row) -> list[dict[str, str]]:
        return [*self._asked(row), {"role": "assistant", "content": told(_truth(row["text"], row))}]

    def logits(self, model: Module, batch: Batch) -> Tensor:
        return WRITER.logits(model, batch)

    def predict(self, model: Module, batch: Batch) -> list[Prediction]:
        """What the model writes about each row; "nll" is the loss of the right answer, where there is one."""
        prompts = questions(batch)
        encoder: ChatEncoder = batch.about[0].encoder
        lines = [Lines(one.where, self.types, *_around(encoder)) for one in batch.about]
        rooms = [_room(len(question), encoder) for question in prompts]
        rules = [Rule(each, room, encoder) for each, room in zip(lines, rooms, strict=True)]
        written = _written(model, encoder, prompts, Generation(max(rooms) + 1), rules)
        known = WRITER.predict(model, batch) if batch.loss is not None else [Prediction(None)] * len(prompts)
        return [
            self._one(about, ids, len(question), one.scores)
            for about, ids, question, one in zip(batch.about, written, prompts, known, strict=True)
        ]

    def _one(self, about: Asked, ids: Sequence[int], tokens: int, losses: Any) -> Prediction:
        ids = ids[: stops_at(ids, about.encoder.stops)]
        text = self._text(about.encoder, ids)
        whole = read(text, about.where, self.types) if len(ids) < _room(tokens, about.encoder) else None
        said = read(text.rpartition("\n")[0], about.where, self.types) or [] if whole is None else whole
        scores = {"answers_failed": float(whole is None)}
        if about.tags is None:
            return Prediction(said, scores=scores, tokens_in=tokens, tokens_out=len(ids))
        truth = _truth(about.text, {"words": about.words, "tags": about.tags})
        scores |= {**entities.counted(said, truth), "entities_hidden": self._hidden(about, truth)}
        scores |= {name: losses[name] for name in ("nll",) if name in losses}
        return Prediction(said, truth, None, {}, scores, tokens, len(ids))

    def _text(self, encoder: ChatEncoder, ids: Sequence[int]) -> str:
        spelt, _ = _spelt(encoder)
        lead, _ = _around(encoder)
        found = b"".join(spelt.get(id, b"") for id in ids).removeprefix(lead)
        return found.decode("utf-8", "replace").strip()

    def _hidden(self, about: Asked, truth: Sequence[Entity]) -> float:
        """Entities that the right answer does not give back: equal words stand before them and are none."""
        back = read(told(truth), places(about.text, about.words), [one["label"] for one in truth]) or []
        return float(len(entities.keys(truth) - entities.keys(back)))

    def view(self, row: Row, encoder: Encoder) -> list[Piece]:
        """As it is read: a text that is too long without its end."""
        assert isinstance(encoder, ChatEncoder)
        long = self._whole(row, encoder).longest > encoder.max_length
        return encoder.view(self._messages(_beginning(row, (self._fitting(row, encoder) or None) if long else None)))

    def respond(self, model: Module, encoder: Encoder, rows: Sequence[Row], how: Generation) -> list[Prediction]:
        """Entities of rows nobody has tagged."""
        asked = [self.example({"text": row["text"], "words": row.get("words")}, encoder) for row in rows]
        return self.predict(model, encoder.collate(asked).beside(model))

    def finish(self, folder: Path, encoder: Encoder, how: Generation) -> None:
        """How a program that writes freely gets its lines: greedy, and nothing keeps it from repeating words."""
        WRITER.finish(folder, encoder, Generation(0))

    def score(self, predictions: Sequence[Prediction]) -> Scores:
        whole = super().score(predictions)
        if not predictions or "answers_failed" not in predictions[0].scores:
            return whole
        failed, hidden, true = (
            sum(p.scores[name] for p in predictions) for name in ("answers_failed", "entities_hidden", "entities_true")
        )
        notes = [f"{failed:.0f} of {len(predictions):,} answers did not end in time"] * bool(failed)
        notes += [
            f"{hidden:.0f} of {true:.0f} entities cannot be said: equal words that are none stand before them"
        ] * bool(hidden)
        values = {**whole.values, "answers_failed": failed / len(predictions)}
        return replace(whole, values=values, notes=(*whole.notes, *notes))


class Rule:
    """Which tokens may come next in one answer, asked for token by token."""

    def __init__(self, lines: Lines, room: int, encoder: ChatEncoder) -> None:
        self.lines, self.room, self.stops = lines, room, encoder.stops
        self.spelt, self.tokens = _spelt(encoder)
        self.read, self.states = 0, lines.begin()

    def __call__(self, written: Sequence[int]) -> list[int]:
        """Ids that may come after ``written``; those that end it where nothing else may, or there is no room."""
        for id in written[self.read :]:
            self.states = self.lines.through(self.states, self.spelt.get(id, b"\xff"))
        self.read = len(written)
        if self.read >= self.room:
            return self.stops
        ends = self.stops if END in self.states else []
        return [*self.tokens.after(self.states, self.lines), *ends] or self.stops


def _written(
    model: Module, encoder: ChatEncoder, questions: Sequence[list[int]], how: Generation, rules: Sequence[Rule]
) -> list[list[int]]:
    """The ids that the model writes, all rows at once.

    Where an adapter's tokens stand before the text each row is alone: padding would stand between the two, and peft
    takes no positions to make up for it.
    """
    if not prompted(model):
        return continued(model, encoder, questions, how, allowed=_held(rules))
    found = []
    for question, rule in zip(questions, rules, strict=True):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Position ids are not supported")
            found += continued(model, encoder, [question], how, allowed=_held([rule]))
    return found


def _held(rules: Sequence[Rule]) -> Allowed:
    return lambda row, written: rules[row](written)


# -- rows and answers


def _room(question: int, encoder: ChatEncoder) -> int:
    """Tokens that an answer may have to a question of so many: as many, as far as the model reads."""
    return max(LEAST, min(question, encoder.max_length - question))


def _words(row: Row) -> Sequence[str]:
    return row["words"] if row.get("words") else entities.split(row["text"])


def _truth(text: str, row: Row) -> list[Entity]:
    return entities.found(text, row["words"], row["tags"])


def _beginning(row: Row, count: int | None) -> Row:
    """The first ``count`` words of a row with the entities that end there; all of it for None."""
    words = _words(row)
    if count is None or count >= len(words):
        return row
    text = row["text"][: entities.located(row["text"], words)[count - 1][1]]
    short: dict[str, Any] = {"text": text, "words": words[:count]}
    if "tags" not in row:
        return short
    tags = list(row["tags"][:count])
    if row["tags"][count].startswith("I-"):  # an entity goes through the cut: it begins at the last B
        begins = max(at for at, tag in enumerate(tags) if tag.startswith("B-"))
        tags[begins:] = [entities.OUTSIDE] * (count - begins)
    return {**short, "tags": tags}


@lru_cache(maxsize=4)
def _learnt(encoder: ChatEncoder) -> list[int]:
    """Ids of the answer "none", as this encoder's model learns them."""
    found = encoder.example([{"role": "user", "content": "a"}, {"role": "assistant", "content": told([])}])
    assert found.loss is not None
    return [id for id, learnt in zip(found.ids, found.loss, strict=True) if learnt]


@lru_cache(maxsize=4)
def _spelt(encoder: ChatEncoder) -> tuple[dict[int, bytes], Node]:
    """Bytes of the tokens that an answer may be made of, and their tree."""
    return spelling(encoder.tokenizer, also=[id for id in _learnt(encoder) if id not in encoder.stops])


@lru_cache(maxsize=4)
def _around(encoder: ChatEncoder) -> tuple[bytes, bytes]:
    """What the template writes before and behind the text of an answer, its end of turn aside."""
    spelt, _ = _spelt(encoder)
    lead, _, tail = b"".join(spelt.get(id, b"") for id in _learnt(encoder)).partition(told([]).encode())
    return lead, tail


__all__ = ["InstructedExtraction", "Rule"]
