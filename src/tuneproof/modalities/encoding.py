"""What every modality hands to training: examples (one row as ids) and batches (rows padded into tensors).

    batch = collate([Example([101, 7, 102], label=1)], pad_id=0)
    batch.ids.shape          # (1, 3)

Shapes: B rows, T tokens of the longest row. Padding is on the right, is never attended to and never carries loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Example:
    """One row. ``loss[i]`` says that token i is learnt; a row with a ``label`` is one unit of loss instead."""

    ids: Sequence[int]
    loss: Sequence[bool] | None = None
    label: int | None = None
    neutralised: int = 0  # special tokens whose text a person wrote, read as letters

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def units(self) -> int:
        """How many terms this row adds to the loss: its learnt tokens, or 1."""
        return 1 if self.loss is None else sum(self.loss)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded to one length. ``loss`` (B, T) bool and ``labels`` (B,) int64 are there when the task has them."""

    ids: Tensor  # (B, T) int64
    mask: Tensor  # (B, T) int64, 1 for tokens and 0 for padding
    loss: Tensor | None
    labels: Tensor | None
    units: int  # terms of the loss in this batch
    tokens: int  # without padding

    def __len__(self) -> int:
        return self.ids.shape[0]

    @property
    def targets(self) -> Tensor:
        """(B, T) bool: the tokens that a causal model is asked for; never the first, before which nothing comes."""
        assert self.loss is not None
        return torch.cat([torch.zeros_like(self.loss[:, :1]), self.loss[:, 1:]], dim=1)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a row as a person reads it and as the model does."""

    text: str
    learnt: bool
    ids: Sequence[int]


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
    """Right-padded tensors of ``examples``, in their order."""
    longest = max(len(example) for example in examples)
    ids = torch.full((len(examples), longest), pad_id, dtype=torch.int64)
    mask = torch.zeros((len(examples), longest), dtype=torch.int64)
    with_loss = examples[0].loss is not None
    loss = torch.zeros((len(examples), longest), dtype=torch.bool) if with_loss else None
    for row, example in enumerate(examples):
        ids[row, : len(example)] = torch.tensor(example.ids)
        mask[row, : len(example)] = 1
        if loss is not None and example.loss is not None:
            loss[row, : len(example)] = torch.tensor(example.loss)
    known = [example.label for example in examples if example.label is not None]
    labels = torch.tensor(known) if len(known) == len(examples) else None
    return Batch(
        ids, mask, loss, labels, sum(example.units for example in examples), sum(len(example) for example in examples)
    )


def shortened(example: Example, keep: int, end: Sequence[int] = ()) -> Example:
    """The first ``keep`` tokens, the last of them replaced by ``end`` (a closing special token, say)."""
    ids = [*example.ids[: keep - len(end)], *end]
    loss = None if example.loss is None else list(example.loss[: len(ids)])
    return replace(example, ids=ids, loss=loss)


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer of an admitted folder, from files alone."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)
