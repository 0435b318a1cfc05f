"""Texts as vectors: what belongs together comes to lie together. The model is an encoder, its output the mean state.

    Embeddings().score(predictions).main        # recall@1 among the rows that were scored

A file holds pairs (a text and what should be found for it), triplets (and what should not), or texts with a label.
The vector of a text is the mean of its last states over its tokens, of length 1; similarity is the inner product. Rows
of a batch are each other's wrong answers, so the loss of a row depends on its batch: micro-batches see fewer of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module, functional

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.modalities import Batch, Encoder, Example, Piece, TextEncoder
from tuneproof.place import put
from tuneproof.records import Column, Generation, Guess, Prediction, Row, Schema, Scores, Table
from tuneproof.tasks import layouts, metrics
from tuneproof.tasks.pretrained import load_pretrained
from tuneproof.tasks.rules import Likeliest
from tuneproof.tasks.tables import Canonical, canonical_rows

SCALE = 20.0  # times the cosine, before the softmax: that of sentence-transformers' MultipleNegativesRankingLoss
PARTS = ("text", "positive", "negative")  # texts of a row, in the order of their vectors


@dataclass(frozen=True, slots=True)
class About:
    """What a row says of its texts."""

    texts: tuple[str, ...]  # text, positive and negative as far as there are any
    alike: str | None  # label that texts which belong together share


@dataclass(frozen=True, slots=True)
class Vectors:
    """The texts of a row as unit vectors."""

    of: Sequence[Sequence[float]]
    about: About


def complete(
    predictions: Sequence[Prediction], rows: Sequence[Row], write: Callable[[], Sequence[Prediction]]
) -> list[Prediction]:
    """What each row finds among all of them, in place of its vectors."""
    vectors = [p.value for p in predictions]
    return sought([v.about for v in vectors], *matrices(vectors), predictions)


def matrices(vectors: Sequence[Vectors]) -> tuple[Any, Any]:
    """(rows, d) vectors of what is sought for, (texts, d) of what is looked through: ``places`` says which is which."""
    queries = np.array([v.of[0] for v in vectors], dtype=np.float64)
    if len(vectors[0].about.texts) == 1:
        return queries, queries
    return queries, np.array([one for v in vectors for one in v.of[1:]], dtype=np.float64)


def sought(about: Sequence[About], queries: Any, corpus: Any, known: Sequence[Prediction]) -> list[Prediction]:
    """Predictions with the nearest text and the scores of the search.

    Labelled texts are sought among each other. The positives and negatives of all rows are looked through for the text
    of each; a text that stands there twice, or equals what is sought, counts as what it says.
    """
    if len(about[0].texts) == 1:
        names = [one.texts[0] for one in about]
        same: dict[str, set[int]] = {}
        for row, one in enumerate(about):
            same.setdefault(str(one.alike), set()).add(row)
        relevant = [frozenset(same[str(one.alike)] - {row}) for row, one in enumerate(about)]
        found = metrics.neighbours(queries, corpus, relevant, list(range(len(about))))
    else:
        names = [text for one in about for text in one.texts[1:]]
        wanted: dict[str, set[str]] = {}
        for one in about:
            wanted.setdefault(one.texts[0], set()).add(one.texts[1])
        where: dict[str, set[int]] = {}
        for place, text in enumerate(names):
            where.setdefault(text, set()).add(place)
        relevant = [frozenset().union(*(where[text] for text in wanted[one.texts[0]])) for one in about]
        found = metrics.neighbours(queries, corpus, relevant, [None] * len(about))
    return [
        replace(
            p,
            value=names[one.nearest] if one.nearest >= 0 else "",
            truth=row.alike if row.alike is not None else row.texts[1],
            scores={**p.scores, **one.scores},
        )
        for p, row, one in zip(known, about, found, strict=True)
    ]


class Embeddings(Likeliest):
    primary: ClassVar[str] = "recall_at_1"
    higher_is_better: ClassVar[bool] = True
    proportion: ClassVar[bool] = False
    auto: ClassVar[str] = "AutoModel"
    length_limit: ClassVar[int] = 512
    unit: ClassVar[str] = "row"
    kinds: ClassVar[tuple[str, ...]] = ("encoder",)
    options: ClassVar[frozenset[str]] = frozenset({"data.text", "data.label"})
    shows: ClassVar[frozenset[str]] = frozenset({"vector"})
    baselines: ClassVar[tuple[str, ...]] = ("tfidf-nearest", "untuned")
    recipe: ClassVar[dict[str, tuple[Any, str]]] = {
        "train.epochs": (3.0, "enough to bring together what belongs together; validation decides what is kept"),
        "train.batch_size": (128, "every row is measured against all others of its batch"),
        "train.schedule": ("linear", "usual for encoders"),
    }

    def recognise(self, columns: Sequence[Column], asked: Data) -> Guess | None:
        return layouts.alike(columns, asked)

    def canonical(self, row: Row, schema: Schema) -> dict[str, Any]:
        return layouts.canonical_alike(row, schema)

    def canonical_columns(self, table: Table, schema: Schema) -> Canonical:
        return canonical_rows(table, schema, self.canonical)

    def check(self, table: Table, schema: Schema) -> None:
        """Refuse labels of which no two texts share one."""
        labels = table.columns.get("alike")
        if labels is not None and len(set(labels)) in (1, len(labels)):
            raise DataError(
                f'{table.source}: no texts can be told apart by the column "{schema.fields["alike"]}": '
                f"{len(set(labels)):,} different values in {len(labels):,} rows.",
                "Name a column whose values several rows share: --label NAME",
            )

    def learning_rate(self, hidden: int) -> tuple[float, str]:
        """Of full tuning, for a model of this width."""
        if hidden <= 512:
            return 1e-4, f"full tuning of a small encoder (width {hidden}) whose vectors are used as they are"
        return 3e-5, f"full tuning of an encoder of width {hidden} whose vectors are used as they are"

    def labelled(self, rows: Sequence[Row], schema: Schema) -> list[dict[str, Any]]:
        return [dict(row) for row in rows]

    def example(self, row: Row, encoder: Encoder) -> Example:
        assert isinstance(encoder, TextEncoder)
        texts = tuple(row[part] for part in PARTS if part in row)
        return Example((), parts=tuple(map(encoder.encode, texts)), about=About(texts, row.get("alike")))

    def model(self, folder: Path, schema: Schema, *, seed: int) -> Module:
        model = load_pretrained(self.auto, folder, seed=seed)
        if "pooler" in dict(model.named_children()):  # it makes no part of the vectors, and would never train
            model.pooler = None  # type: ignore[assignment]
        return model

    def vectors(self, model: Module, batch: Batch) -> Tensor:
        """(S, width) fp32: the mean of the last states over the tokens of each text, of length 1."""
        states: Tensor = model(**batch.inputs).last_hidden_state.float()  # (S, T, width)
        weight = batch.mask[..., None].float()
        return functional.normalize((states * weight).sum(1) / weight.sum(1), dim=-1)

    def loss(self, model: Module, batch: Batch) -> Tensor:
        vectors = self.vectors(model, batch)
        if len(batch.about[0].texts) == 1:
            return labelled_loss(vectors, [about.alike for about in batch.about])
        texts = [text for about in batch.about for text in about.texts]
        owner = batch.here.owner
        first = torch.cat([torch.ones(1, dtype=torch.bool), owner[1:] != owner[:-1]])
        return pair_loss(vectors, first, texts)

    def logits(self, model: Module, batch: Batch) -> Tensor:
        return self.vectors(model, batch)

    def at_temperature(self, temperature: float) -> Embeddings:
        assert temperature == 1, "a temperature is fitted for a fixed set of classes"
        return self

    def template(self, encoder: Encoder) -> str:
        return ""

    def predict(self, model: Module, batch: Batch) -> list[Prediction]:
        """The vectors of each row; what is near is seen when all rows are there."""
        vectors, owners = self.vectors(model, batch).tolist(), batch.here.owner.tolist()
        lengths = batch.lengths
        of: list[list[list[float]]] = [[] for _ in batch.about]
        tokens = [0] * len(batch.about)
        for owner, vector, length in zip(owners, vectors, lengths, strict=True):
            of[owner].append(vector)
            tokens[owner] += length
        return [
            Prediction(Vectors(own, about), tokens_in=n) for own, about, n in zip(of, batch.about, tokens, strict=True)
        ]

    def view(self, row: Row, encoder: Encoder) -> list[Piece]:
        return []

    def texts(self, row: Row) -> tuple[str, str]:
        return str(row["text"]), str(row["alike"] if "alike" in row else row["positive"])

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
        """The vector of each text."""
        assert isinstance(encoder, TextEncoder)
        batch = encoder.collate([encoder.encode(row["text"]) for row in rows]).beside(model)
        lengths = batch.lengths
        vectors = self.vectors(model, batch).tolist()
        return [Prediction(vector, tokens_in=n) for vector, n in zip(vectors, lengths, strict=True)]

    def finish(self, folder: Path, encoder: Encoder, how: Generation) -> None:
        """How the vectors are made, as sentence-transformers reads it; adapters are opened over their base instead."""
        if (folder / "adapter_config.json").is_file():
            return
        width = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        size = width.get("hidden_size", width.get("dim", width.get("d_model")))
        kinds = ("Transformer", "Pooling", "Normalize")
        modules = [
            {"idx": n, "name": str(n), "path": "" if n == 0 else f"{n}_{kind}", "type": f"{LIBRARY}.{kind}"}
            for n, kind in enumerate(kinds)
        ]
        pooling = {"word_embedding_dimension": size, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
        _write(folder / "modules.json", modules)
        _write(folder / "1_Pooling" / "config.json", pooling)
        (folder / "2_Normalize").mkdir()
        _write(folder / "sentence_bert_config.json", {"max_seq_length": encoder.max_length, "do_lower_case": False})

    def score(self, predictions: Sequence[Prediction]) -> Scores:
        found = list(predictions)
        if found and "recall_at_1" not in found[0].scores:  # of validation rows: vectors as they are
            found = complete(found, [], list)
        names = ("recall_at_1", "recall_at_5", "ndcg_at_10")
        values = {name: sum(p.scores[name] for p in found) / len(found) if found else None for name in names}
        return Scores(self.primary, values, len(found), notes=(NOTE,))

    def classes(self, predictions: Sequence[Prediction]) -> list[metrics.ClassScore]:
        return []

    def said(self, row: Row, prediction: Prediction) -> str:
        return str(prediction.value)

    def show(self, prediction: Prediction) -> dict[str, Any]:
        return {"vector": list(prediction.value)}


LIBRARY = "sentence_transformers.models"
NOTE = (
    "recall@k: whether one of the k nearest texts of the test rows belongs to the row. Few test rows make it easy: "
    "figures of files of different size cannot be compared"
)


def pair_loss(vectors: Tensor, first: Tensor, texts: Sequence[str]) -> Tensor:
    """Sum over rows of -log softmax of the row's own positive among all positives and negatives of the batch.

    vectors (S, d), ``first`` (S,) says which are the texts that are sought for; the one behind is the positive.
    A text equal to the own positive, or to the positive of an equal text, is no wrong answer and is left out.
    """
    asked, looked_through = first.nonzero()[:, 0], (~first).nonzero()[:, 0]
    starts, others = asked.tolist(), looked_through.tolist()
    device = vectors.device
    logits = SCALE * vectors[put(asked, device)] @ vectors[put(looked_through, device)].T  # (B, other texts)
    right: dict[str, set[str]] = {}
    for start in starts:
        right.setdefault(texts[start], set()).add(texts[start + 1])
    own = [others.index(start + 1) for start in starts]
    equal = torch.tensor([[texts[other] in right[texts[start]] for other in others] for start in starts])
    equal[torch.arange(len(own)), own] = False
    right_ones = put(torch.tensor(own), device)
    return functional.cross_entropy(logits.masked_fill(put(equal, device), float("-inf")), right_ones, reduction="sum")


def labelled_loss(vectors: Tensor, labels: Sequence[str | None]) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, arXiv 2004.11362, L_out), summed over rows.

    A row whose label no other row of the batch has adds nothing.
    """
    number = {label: index for index, label in enumerate(dict.fromkeys(labels))}
    codes = put(torch.tensor([number[label] for label in labels]), vectors.device)
    itself = torch.eye(len(labels), dtype=torch.bool, device=vectors.device)
    same = (codes[:, None] == codes[None, :]) & ~itself  # (B, B)
    logs = (SCALE * vectors @ vectors.T).masked_fill(itself, float("-inf")).log_softmax(-1)
    count = same.sum(-1).clamp(min=1)
    return -(logs.masked_fill(~same, 0.0).sum(-1) / count).sum()


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
