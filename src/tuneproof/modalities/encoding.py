"""What every modality hands to training: examples (one row as ids) and batches (rows padded into tensors).

    batch = collate([Example([101, 7, 102], label=1)], pad_id=0)
    batch.ids.shape          # (1, 3)

Shapes: B rows, S sequences, T tokens of the longest. Padding is on the right, never attended to, never carries loss.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import Module

from tuneproof.place import device_of, put

IGNORED = -100  # the tag of a token that carries no loss, as torch's cross entropy has it


@dataclass(frozen=True, slots=True)
class Example:
    """One row: a sequence of tokens or, with ``parts``, several (windows of a long text, the texts of a pair).

    A row with ``loss``, ``tags`` or ``target`` is as many units of loss as it has learnt tokens; any other row is one.
    A unit counts 1, or what ``weights`` say.
    """

    ids: Sequence[int]
    loss: Sequence[bool] | None = None  # which tokens a model that continues texts is asked for
    label: int | None = None  # number of its class
    neutralised: int = 0  # special tokens whose text a person wrote, read as letters
    values: Sequence[float] | None = None  # the number that is asked for, or one per class
    types: Sequence[int] | None = None  # which text of a pair each token belongs to
    tags: Sequence[int] | None = None  # number of each token's class, or IGNORED
    span: tuple[int, int] | None = None  # first and last token of the answer
    target: Sequence[int] | None = None  # tokens that an encoder-decoder is to write
    parts: Sequence[Example] = ()  # in place of ``ids``
    about: Any = None  # what the task needs to read an answer from the model's figures; no model sees it
    halves: tuple[tuple[int, int], tuple[int, int]] | None = None  # of a pair in one sequence: where each text stands
    room: int = 0  # tokens beyond its own that a model has to read at once to answer it
    weights: Sequence[float] | None = None  # how much each token counts in the loss; None: those of ``loss`` 1 each
    shorter: Callable[[], Example | None] | None = None  # makes the row within the limit, where it may not lose its end

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts) if self.parts else len(self.ids)

    @property
    def longest(self) -> int:
        """Tokens of its longest sequence: what a model has to read at once."""
        return self.room + (max(len(part) for part in self.parts) if self.parts else len(self.ids))

    @property
    def units(self) -> int:
        """How many terms this row adds to the loss: its learnt tokens, or 1."""
        if self.loss is not None:
            return sum(self.loss)
        if self.tags is not None:
            return sum(tag != IGNORED for tag in self.tags)
        return 1 if self.target is None else len(self.target)

    @property
    def weight(self) -> float:
        """What this row adds to the number that the summed loss is divided by: its units, each as much as it counts."""
        return self.units if self.weights is None else sum(self.weights)


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences padded to one length: S of them, one per example unless examples have parts. B examples, T tokens.

    ``beside`` puts it where a model computes. What Python needs to know of it is read from ``here``, which stays where
    it was made: nobody has to wait for another device to say how long a row is.
    """

    ids: Tensor  # (S, T) int64
    mask: Tensor  # (S, T) int64, 1 for tokens and 0 for padding
    loss: Tensor | None  # (S, T) bool
    labels: Tensor | None  # (B,) int64
    units: int  # terms of the loss in this batch
    tokens: int  # without padding
    owner: Tensor  # (S,) int64: the example that each sequence is of
    values: Tensor | None = None  # (B, numbers) fp32
    types: Tensor | None = None  # (S, T) int64
    tags: Tensor | None = None  # (S, T) int64, IGNORED where there is no loss
    spans: Tensor | None = None  # (S, 2) int64
    target: Tensor | None = None  # (S, U) int64, IGNORED where there is no loss
    weights: Tensor | None = None  # (S, T) fp32, 0 where there is no loss; None: every unit counts 1
    about: Sequence[Any] = ()  # (B,) of the examples
    made: Batch | None = None  # what this is a copy of, on another device

    def __len__(self) -> int:
        return int(self.here.owner[-1]) + 1

    @property
    def here(self) -> Batch:
        """The same in the memory of this process."""
        return self if self.made is None else self.made

    def beside(self, model: Module) -> Batch:
        """The same on the device of ``model``."""
        device = device_of(model)
        if self.ids.device == device:
            return self
        tensors = {one.name: getattr(self, one.name) for one in fields(self)}
        moved: dict[str, Any] = {n: put(value, device) for n, value in tensors.items() if isinstance(value, Tensor)}
        return replace(self, **moved, made=self)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sequence."""
        found: list[int] = self.here.mask.sum(-1).tolist()
        return found

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What every transformers model is called with; on another device, without a mask that hides nothing."""
        found = {"input_ids": self.ids, "attention_mask": self.mask}
        if self.made is not None and min(self.lengths) == self.ids.shape[1]:
            del found["attention_mask"]
        return found if self.types is None else {**found, "token_type_ids": self.types}

    @property
    def targets(self) -> Tensor:
        """(S, T) bool: the tokens that a causal model is asked for; never the first, before which nothing comes."""
        assert self.loss is not None
        return torch.cat([torch.zeros_like(self.loss[:, :1]), self.loss[:, 1:]], dim=1)

    def places(self, where: Tensor) -> Tensor:
        """(N,): the numbers, row after row, of the places that ``where``, a tensor (S, T) bool of ``here``, is true at.

        A mask would pick the same ones, and wait for the device to count them.
        """
        return put(where.flatten().nonzero()[:, 0], self.ids.device)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a row as a person reads it and as the model does."""

    text: str
    learnt: bool
    ids: Sequence[int]
    weight: float = 1.0  # of each of its tokens in the loss, where they are learnt


class Encoder(Protocol):
    """Raw values to examples and examples to batches, with one tokenizer and one limit."""

    tokenizer: Any
    max_length: int

    def cut(self, example: Example) -> Example:
        """The example within ``max_length``; what is cut is for the caller to count."""
        ...

    def collate(self, examples: Sequence[Example]) -> Batch: ...

    def save(self, folder: Path) -> None:
        """Tokenizer and template, as transformers expects them."""
        ...


def collate(examples: Sequence[Example], pad_id: int) -> Batch:
    """Right-padded tensors of ``examples``, in their order; the parts of an example stand together."""
    pieces = [(row, piece) for row, example in enumerate(examples) for piece in example.parts or (example,)]
    sequences = [piece for _, piece in pieces]
    labels = [example.label for example in examples if example.label is not None]
    values = [example.values for example in examples if example.values is not None]
    spans = [piece.span for piece in sequences if piece.span is not None]
    return Batch(
        ids=padded([piece.ids for piece in sequences], pad_id),
        mask=padded([[1] * len(piece) for piece in sequences], 0),
        loss=_padded_where_all([piece.loss for piece in sequences], False, torch.bool),
        weights=_weights(sequences),
        labels=torch.tensor(labels) if len(labels) == len(examples) else None,
        units=sum(example.units for example in examples),
        tokens=sum(len(example) for example in examples),
        owner=torch.tensor([row for row, _ in pieces]),
        values=torch.tensor(values, dtype=torch.float32) if len(values) == len(examples) else None,
        types=_padded_where_all([piece.types for piece in sequences], 0),
        tags=_padded_where_all([piece.tags for piece in sequences], IGNORED),
        spans=torch.tensor(spans) if len(spans) == len(sequences) else None,
        target=_padded_where_all([piece.target for piece in sequences], IGNORED),
        about=tuple(example.about for example in examples),
    )


def padded(rows: Sequence[Sequence[int]], filler: int, dtype: torch.dtype = torch.int64) -> Tensor:
    """(rows, longest): ``rows`` with ``filler`` behind them."""
    found = torch.full((len(rows), max(len(row) for row in rows)), filler, dtype=dtype)
    for index, row in enumerate(rows):
        found[index, : len(row)] = torch.tensor(row, dtype=dtype)
    return found


def _padded_where_all(
    rows: Sequence[Sequence[int] | None], filler: int, dtype: torch.dtype = torch.int64
) -> Tensor | None:
    known = [row for row in rows if row is not None]
    return padded(known, filler, dtype) if len(known) == len(rows) else None


def _weights(sequences: Sequence[Example]) -> Tensor | None:
    if all(piece.weights is None for piece in sequences):
        return None
    found = [piece.weights if piece.weights is not None else list(map(float, piece.loss or ())) for piece in sequences]
    wide = max(len(piece) for piece in sequences)
    return torch.tensor([[*row, *[0.0] * (wide - len(row))] for row in found], dtype=torch.float32)


def shortened(example: Example, keep: int, end: Sequence[int] = ()) -> Example:
    """The first ``keep`` tokens, the last of them replaced by ``end`` (a closing special token, say)."""
    ids = [*example.ids[: keep - len(end)], *end]
    loss = None if example.loss is None else list(example.loss[: len(ids)])
    weights = None if example.weights is None else list(example.weights[: len(ids)])
    types = None if example.types is None else list(example.types[: len(ids)])
    tags = None if example.tags is None else [*example.tags[: keep - len(end)], *[IGNORED] * len(end)]
    return replace(example, ids=ids, loss=loss, weights=weights, types=types, tags=tags)


def shortened_pair(example: Example, keep: int) -> Example:
    """The longer half loses its end until both have one length, then both do, as tokenizers' "longest_first" has it."""
    assert example.halves is not None
    (a, a_end), (b, b_end) = example.halves
    left = keep - (len(example.ids) - (a_end - a) - (b_end - b))  # room for both
    half = (left + 1) // 2 if a_end - a > b_end - b else left // 2  # an odd token is the longer half's
    first = min(a_end - a, max(left - (b_end - b), half))
    second = left - first
    where = [*range(a + first), *range(a_end, b + second), *range(b_end, len(example.ids))]
    types = None if example.types is None else [example.types[at] for at in where]
    gone = a_end - a - first
    halves = ((a, a + first), (b - gone, b - gone + second))
    return replace(example, ids=[example.ids[at] for at in where], types=types, halves=halves)


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer of an admitted folder, from files alone."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


class Reader:
    """A tokenizer for several threads at once, one call at a time.

    A call first sets what it wants of the tokenizer (truncation, whether special tokens are split) and then reads. Two
    calls side by side read under each other's settings: other ids, without an error.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._alone = threading.Lock()

    def __call__(self, *texts: str | None, **how: Any) -> Any:
        with self._alone:
            return self._tokenizer(*texts, verbose=False, **how)
