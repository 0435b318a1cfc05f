"""A tag for every word: entities in texts. The model is transformers' own ``...ForTokenClassification``.

    answer.show(prediction)["entities"]
    # [{"text": "Bonn", "start": 9, "end": 13, "label": "LOC", "confidence": 0.98}]

A word is tagged at its first piece, the others carry no loss. Tags are decoded by Viterbi over the transitions that the
scheme allows, so that no entity goes on without having begun. How files write entities is in ``entities``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module, functional

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.modalities import IGNORED, Batch, Encoder, Example, Piece, TextEncoder
from tuneproof.records import Column, Generation, Guess, Prediction, Row, Schema, Scores, Table
from tuneproof.tasks import entities, layouts, metrics
from tuneproof.tasks.entities import Entity, Span
from tuneproof.tasks.pretrained import load_pretrained
from tuneproof.tasks.rows import written
from tuneproof.tasks.rules import Likeliest
from tuneproof.tasks.tables import Canonical, canonical_rows

WORDS = ("tokens", "words")
TAGS = ("ner_tags", "tags", "slot_tags", "slots", "labels", "pos_tags")
SPANS = ("entities", "spans", "ents", "annotations", "labels", "label")
SURE = 0.985  # more than what other tasks say of the same columns
IMPOSSIBLE = -1e9  # logit of a transition that the scheme does not have


@dataclass(frozen=True, slots=True)
class Tagged:
    """What an answer is read from, beside the model's figures."""

    text: str
    words: Sequence[str]
    pieces: Sequence[int | None]  # of each word its first token; None where it has none of its own
    size: int  # tokens of the whole row
    tags: Sequence[str] | None  # the truth


class TokenClassification(Likeliest):
    primary: ClassVar[str] = "entity_f1"
    higher_is_better: ClassVar[bool] = True
    proportion: ClassVar[bool] = False
    auto: ClassVar[str] = "AutoModelForTokenClassification"
    length_limit: ClassVar[int] = 512
    unit: ClassVar[str] = "word"
    kinds: ClassVar[tuple[str, ...]] = ("encoder",)
    options: ClassVar[frozenset[str]] = frozenset({"data.text", "data.label"})
    shows: ClassVar[frozenset[str]] = frozenset({"entities"})
    baselines: ClassVar[tuple[str, ...]] = ("no-entity", "word-lookup")
    recipe: ClassVar[dict[str, tuple[Any, str]]] = {
        "train.epochs": (4.0, "enough for tags; validation decides which weights are kept"),
        "train.batch_size": (16, "a sentence is many tags, so fewer rows make a step"),
        "train.schedule": ("linear", "usual for encoders"),
        "train.length_window": (1, "drawn from all: long sentences have few entities, and by themselves teach none"),
    }

    def at_temperature(self, temperature: float) -> TokenClassification:
        assert temperature == 1, "a temperature is fitted for one label per row"
        return self

    def template(self, encoder: Encoder) -> str:
        return ""

    def recognise(self, columns: Sequence[Column], asked: Data) -> Guess | None:
        return _tagged(columns, asked) or _spanned(columns, asked)

    def canonical(self, row: Row, schema: Schema) -> dict[str, Any]:
        return _canonical(row, schema, entities.scheme_of([row.get(schema.fields["tags"])]))

    def canonical_columns(self, table: Table, schema: Schema) -> Canonical:
        """All rows decide together how the tags are written."""
        scheme = entities.scheme_of(table.columns.get(schema.fields["tags"], ()))
        return canonical_rows(table, schema, lambda row, schema: _canonical(row, schema, scheme))

    def check(self, table: Table, schema: Schema) -> None:
        if not entities.types(table.columns["tags"]):
            raise DataError(
                f"{table.source}, line {table.lines[0]}: none of the {len(table):,} usable rows has an entity "
                f'(column "{schema.fields["tags"]}").',
                "Add rows with entities, or name another column: --label NAME",
            )

    def learning_rate(self, hidden: int) -> tuple[float, str]:
        """Of full tuning, for a model of this width."""
        if hidden <= 512:
            return 3e-4, f"full tuning of a small encoder (width {hidden})"
        return 5e-5, f"full tuning of an encoder of width {hidden}"

    def labelled(self, rows: Sequence[Row], schema: Schema) -> list[dict[str, Any]]:
        """With the number of each tag as "classes"; a type that training did not have is missed, and not learnt."""
        number = {tag: index for index, tag in enumerate(schema.tags)}
        return [{**row, "classes": [number.get(tag, IGNORED) for tag in row["tags"]]} for row in rows]

    def example(self, row: Row, encoder: Encoder) -> Example:
        assert isinstance(encoder, TextEncoder)
        words = row["words"] if row.get("words") else entities.split(row["text"])
        ids, offsets = encoder.spelled(row["text"])
        pieces = first_pieces(offsets, entities.located(row["text"], words))
        if all(piece is None for piece in pieces):
            raise layouts.Unusable("no word that the tokenizer knows")
        about = Tagged(row["text"], words, pieces, len(ids), row.get("tags"))
        if "classes" not in row:
            return Example(ids, about=about)
        tags = [IGNORED] * len(ids)
        for piece, number in zip(pieces, row["classes"], strict=True):
            if piece is not None:
                tags[piece] = number
        return Example(ids, tags=tags, about=about)

    def model(self, folder: Path, schema: Schema, *, seed: int) -> Module:
        names = dict(enumerate(schema.tags))
        return load_pretrained(
            self.auto,
            folder,
            seed=seed,
            num_labels=len(names),
            id2label=names,
            label2id={tag: index for index, tag in names.items()},
        )

    def loss(self, model: Module, batch: Batch) -> Tensor:
        assert batch.tags is not None
        right = batch.tags.flatten()[self._tagged(batch)]
        return functional.cross_entropy(self.logits(model, batch), right, reduction="sum")

    def logits(self, model: Module, batch: Batch) -> Tensor:
        found: Tensor = model(**batch.inputs).logits.flatten(0, 1)[self._tagged(batch)].float()
        return found

    def _tagged(self, batch: Batch) -> Tensor:
        """The places of the N tokens that have a tag, row after row."""
        assert batch.here.tags is not None
        return batch.places(batch.here.tags != IGNORED)

    def predict(self, model: Module, batch: Batch) -> list[Prediction]:
        logs, batch = model(**batch.inputs).logits.float().log_softmax(-1).cpu(), batch.here  # (B, T, tags)
        known: dict[int, str] = model.config.id2label  # type: ignore[union-attr,assignment]
        names = [known[index] for index in range(logs.shape[-1])]
        lengths = batch.lengths
        found = []
        for row, (about, length) in enumerate(zip(batch.about, lengths, strict=True)):
            said = _said(logs[row].numpy(), names, about, length)
            found.append(_prediction(about, said, _losses(logs[row], batch, row), length))
        return found

    def view(self, row: Row, encoder: Encoder) -> list[Piece]:
        return []

    def texts(self, row: Row) -> tuple[str, str]:
        """The text, and the same with its entities marked."""
        return str(row["text"]), entities.marked(row["text"], entities.found(row["text"], row["words"], row["tags"]))

    def without_truth(self, row: Row) -> dict[str, Any]:
        return {"text": row["text"], "words": row["words"]}

    def ask(self, row: Row, schema: Schema) -> dict[str, Any]:
        """The words of the row, or its text where it has no words."""
        words = row.get(schema.fields.get("words", ""))
        if isinstance(words, list) and words:
            told = [written(word) for word in words]
            return {"text": " ".join(told), "words": told}
        text = row.get(schema.fields.get("text", "text"))
        if not isinstance(text, str) or not entities.split(text):
            raise layouts.Unusable("empty text")
        return self.question(text)

    def question(self, text: str) -> dict[str, Any]:
        return {"text": text, "words": entities.split(text)}

    def length(self, row: Row, encoder: Encoder) -> int:
        assert isinstance(encoder, TextEncoder)
        return len(encoder.spelled(row["text"])[0])

    def respond(self, model: Module, encoder: Encoder, rows: Sequence[Row], how: Generation) -> list[Prediction]:
        """Entities of rows nobody has tagged; a row without a word that the tokenizer knows has none."""
        found: list[Example | None] = []
        for row in rows:
            try:
                found.append(self.example({"text": row["text"], "words": row.get("words")}, encoder))
            except layouts.Unusable:
                found.append(None)
        known = [example for example in found if example is not None]
        said = iter(self.predict(model, encoder.collate(known).beside(model)) if known else ())
        return [Prediction([]) if example is None else next(said) for example in found]

    def finish(self, folder: Path, encoder: Encoder, how: Generation) -> None:
        pass

    def score(self, predictions: Sequence[Prediction]) -> Scores:
        names = ("entities_right", "entities_found", "entities_true")
        sums = np.array([sum(p.scores[name] for p in predictions) for name in names], dtype=np.float64)
        each = [metrics.precision_recall_f1_of(sums)[which][..., 0] for which in (2, 0, 1)]
        values = {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(("entity_f1", "entity_precision", "entity_recall"), each, strict=True)
        }
        return Scores(self.primary, values, len(predictions), notes=metrics.notes(values))

    def classes(self, predictions: Sequence[Prediction]) -> list[metrics.ClassScore]:
        """Strict precision, recall and F1 of each type of entity."""
        kinds = sorted({one["label"] for p in predictions for side in (p.value, p.truth) for one in side})
        number = {kind: index for index, kind in enumerate(kinds)}
        counts = np.zeros(3 * len(kinds))
        for p in predictions:
            said, true = entities.keys(p.value), entities.keys(p.truth)
            for offset, some in enumerate((said & true, said, true)):
                for kind, _, _ in some:
                    counts[offset * len(kinds) + number[kind]] += 1
        return metrics.class_scores(counts[None], kinds) if kinds else []

    def said(self, row: Row, prediction: Prediction) -> str:
        return entities.marked(row["text"], prediction.value)

    def show(self, prediction: Prediction) -> dict[str, Any]:
        return {"entities": list(prediction.value)}


# -- how files write entities


def _named(columns: Sequence[Column], name: str | None, option: str, known: Sequence[str]) -> list[Column]:
    """The column that was asked for, or those with a known name, surest first."""
    if name is not None:
        return [layouts.column_named(columns, name, option)]
    return [column for word in known for column in columns if column.name.lower() == word]


def _tagged(columns: Sequence[Column], asked: Data) -> Guess | None:
    """Two columns of lists: words, and a tag for each."""
    words = next((c for c in _named(columns, asked.text, "text", WORDS) if c.kinds.get("list")), None)
    tags = next((c for c in _named(columns, asked.label, "label", TAGS) if c.kinds.get("list")), None)
    if words is None or tags is None or words is tags:
        return None
    reason = f'columns "{words.name}" and "{tags.name}" are lists: words, and a tag for each'
    return Guess("words+tags", {"words": words.name, "tags": tags.name}, SURE, reason)


def _spanned(columns: Sequence[Column], asked: Data) -> Guess | None:
    """A text with a list of entities, each with start, end and type."""
    texts = [c for c in _named(columns, asked.text, "text", ("text", "sentence", "content", "document")) if _plain(c)]
    spans = [c for c in _named(columns, asked.label, "label", SPANS) if _ends(c)]
    if not texts or not spans:
        return None
    reason = f'column "{texts[0].name}" is the text, column "{spans[0].name}" its entities as start, end and type'
    return Guess("text+entities", {"text": texts[0].name, "tags": spans[0].name}, SURE, reason)


def _plain(column: Column) -> bool:
    return column.kinds.get("text", 0) > 0 and not column.kinds.get("list", 0)


def _ends(column: Column) -> bool:
    keys = set(column.keys)
    return "[]" in keys or any(set(ends) <= keys for ends in entities.ENDS)


def _canonical(row: Row, schema: Schema, scheme: str) -> dict[str, Any]:
    tags = row.get(schema.fields["tags"])
    if "words" in schema.fields:
        return entities.from_tags(row.get(schema.fields["words"]), tags, scheme)
    return entities.from_spans(row.get(schema.fields["text"]), tags)


# -- words and word pieces


def first_pieces(offsets: Sequence[Span], words: Sequence[Span]) -> list[int | None]:
    """For each word the first token that begins in it or reaches into it, and is no other word's; None without."""
    found: list[int | None] = []
    piece = 0
    for start, stop in words:
        while piece < len(offsets) and (offsets[piece][1] <= start or offsets[piece][0] == offsets[piece][1]):
            piece += 1
        if piece < len(offsets) and offsets[piece][0] < stop and stop > start:
            found.append(piece)
            piece += 1
        else:
            found.append(None)
    return found


# -- from logits to entities


def _said(logs: np.ndarray[Any, Any], names: Sequence[str], about: Tagged, length: int) -> list[Entity]:
    """The likeliest entities; ``logs`` (T, tags) are log probabilities. What was cut off holds none."""
    outside = names.index(entities.OUTSIDE)
    read = length if length == about.size else length - 1  # the last token of a row that was cut is no word's
    emitted = np.full((len(about.words), len(names)), IMPOSSIBLE)
    emitted[:, outside] = 0.0
    for word, piece in enumerate(about.pieces):
        if piece is not None and piece < read:
            emitted[word] = logs[piece]
    path = decode(emitted, np.array(entities.may_follow(names)), outside)
    sure = [float(np.exp(emitted[word, tag])) for word, tag in enumerate(path)]
    return entities.found(about.text, about.words, [names[tag] for tag in path], sure)


def decode(emitted: np.ndarray[Any, Any], allowed: np.ndarray[Any, Any], start: int) -> list[int]:
    """The path of tags with the largest sum of ``emitted`` (words, tags) that only takes ``allowed`` steps (Viterbi).

    ``start`` is the tag that stands before the first word.
    """
    steps = np.where(allowed, 0.0, IMPOSSIBLE)  # (before, after)
    best = emitted[0] + steps[start]
    back = np.zeros(emitted.shape, dtype=np.int64)
    for word in range(1, len(emitted)):
        reached = best[:, None] + steps
        back[word] = reached.argmax(0)
        best = reached.max(0) + emitted[word]
    path = [int(best.argmax())]
    for word in range(len(emitted) - 1, 0, -1):
        path.append(int(back[word, path[-1]]))
    return path[::-1]


def _losses(logs: Tensor, batch: Batch, row: int) -> dict[str, float]:
    """Sum of the loss over the row's tags, and their number."""
    if batch.tags is None:
        return {}
    tags = batch.tags[row, : logs.shape[0]]
    where = tags != IGNORED
    nll = functional.nll_loss(logs[where], tags[where], reduction="sum") if bool(where.any()) else torch.zeros(())
    return {"nll": float(nll), "tokens": float(where.sum())}


def _prediction(about: Tagged, said: list[Entity], losses: dict[str, float], length: int) -> Prediction:
    if about.tags is None:
        return Prediction(said, tokens_in=length)
    truth = entities.found(about.text, about.words, about.tags)
    return Prediction(said, truth, None, {}, {**losses, **entities.counted(said, truth)}, length)
