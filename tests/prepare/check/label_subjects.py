"""Subjects of generated rows with something wrong in them, and an encoder of words that needs no model."""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tuneproof.config import Check as Options
from tuneproof.prepare.check import Subject
from tuneproof.prepare.check.subject import Vectors
from tuneproof.records import Schema, Splits, Table
from tuneproof.tasks import TASKS

TOPICS = {
    "card": ["card", "plastic", "chip", "pin", "contactless", "swipe", "blocked", "stolen"],
    "loan": ["loan", "interest", "mortgage", "rate", "borrow", "instalment", "debt", "repay"],
    "travel": ["flight", "hotel", "abroad", "passport", "airport", "luggage", "visa", "trip"],
    "tax": ["tax", "return", "revenue", "deduction", "refund", "income", "form", "deadline"],
}
FILLER = [
    "i",
    "we",
    "my",
    "the",
    "a",
    "please",
    "about",
    "with",
    "for",
    "now",
    "again",
    "today",
    "really",
    "what",
    "how",
    "when",
    "is",
    "can",
    "help",
]


def bag(texts: Sequence[str]) -> Vectors:
    """(n, 64): hashed counts of words, an encoder that knows words and nothing else."""
    found = np.full((len(texts), 64), 0.01, dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            found[row, zlib.crc32(word.encode()) % 64] += 1
    return found


def sentences(count: int, topics: Sequence[str] = tuple(TOPICS), seed: int = 0) -> list[tuple[str, str]]:
    """(text, label), the classes in turn; three of the words tell the class."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        label = topics[number % len(topics)]
        words = [*draw.sample(TOPICS[label], 3), *draw.choices(FILLER, k=draw.randint(3, 8))]
        draw.shuffle(words)
        rows.append((" ".join(words), label))
    return rows


def table(rows: Sequence[tuple[str, str]], source: str, groups: Sequence[str | None] | None = None) -> Table:
    columns: dict[str, list[Any]] = {
        "id": [
            hashlib.sha256(f"{source}{at}{text}{label}".encode()).hexdigest() for at, (text, label) in enumerate(rows)
        ],
        "text": [text for text, _ in rows],
        "label": [label for _, label in rows],
    }
    if groups is not None:
        columns["group"] = list(groups)
    return Table(columns, list(range(2, len(rows) + 2)), source)


def labelled(
    train: Sequence[tuple[str, str]],
    test: Sequence[tuple[str, str]] = (),
    validation: Sequence[tuple[str, str]] = (),
    *,
    groups: Sequence[str | None] | None = None,
    encoder: bool = True,
    **options: Any,
) -> Subject:
    """A subject of labelled texts; lines count from 2 in each of train.csv, validation.csv and test.csv."""
    splits = Splits(
        table(train, "train.csv", groups),
        table(validation or sentences(8, seed=8), "validation.csv"),
        table(test or sentences(8, seed=9), "test.csv"),
    )
    labels = tuple(sorted({label for _, label in train}))
    schema = Schema("text-classification", "text+label", {"text": "text", "label": "label"}, labels, None, ())
    texts = TASKS["text-classification"].answer.texts
    return Subject(splits, schema, texts, Options(**options), 0, bag if encoder else None, "There is no encoder.")


def talks(pairs: Sequence[tuple[str, str]], encoder: bool = True) -> Subject:
    """A subject of conversations of one question and one answer, all of them train, the first also elsewhere."""
    messages = [[{"role": "user", "content": asked}, {"role": "assistant", "content": said}] for asked, said in pairs]
    ids = [hashlib.sha256(f"{at}{pair}".encode()).hexdigest() for at, pair in enumerate(pairs)]
    whole = Table({"id": ids, "messages": messages}, list(range(1, len(pairs) + 1)), "talks.jsonl")
    schema = Schema("instruction", "messages", {"messages": "messages"}, (), None, ())
    splits = Splits(whole, whole.take([0]), whole.take([0]))
    texts = TASKS["instruction"].answer.texts
    return Subject(splits, schema, texts, Options(), 0, bag if encoder else None, "There is no encoder.")
