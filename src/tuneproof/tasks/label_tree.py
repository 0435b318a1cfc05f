"""How likely a causal model holds each of a set of labels after a question: exact, without writing anything.

    found = tree([[5, 2], [5, 7, 2], [9, 2]])          # labels as tokens, each with its end of turn
    label_logs(model, [[1, 4, 4]], found)              # (1, 3): log probability of each label, all its tokens counted

Labels that begin alike share these tokens, and a question is read once for all of them: the tokens of all labels stand
behind it in one sequence, and each sees the question and what comes before it in its own label. Models that are not
known to read such a mask rightly, and those with an adapter's tokens before the text, read the question once per label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from tuneproof.methods import prompted
from tuneproof.modalities import padded
from tuneproof.place import device_of, put

# Types of models that look where a mask of four dimensions says, at the positions they are given: a test holds it.
BRANCHING = ("llama", "qwen2", "qwen3", "gpt2", "gpt_neox", "granite", "olmo2")
READ = 1024  # tokens that are read at once: every label has logits, over 50,000 words those are 200 MB

LogitsAt = Callable[[Module, Mapping[str, Tensor], Tensor], Tensor]


@dataclass(frozen=True)
class Tree:
    """Labels as tokens, beginnings shared; a parent stands before its children."""

    ids: tuple[int, ...]  # token of each node
    parents: tuple[int, ...]  # node before it; -1: the question
    paths: tuple[tuple[int, ...], ...]  # the nodes of each label

    @cached_property
    def inner(self) -> tuple[int, ...]:
        """Nodes that others follow: the model reads these."""
        return tuple(sorted(set(self.parents) - {-1}))

    @cached_property
    def sources(self) -> Tensor:
        """(nodes,): whose logits say how likely a node is: 0 is the question, n the n-th inner node."""
        place = {node: at for at, node in enumerate(self.inner, start=1)}
        return torch.tensor([0 if parent == -1 else place[parent] for parent in self.parents])

    @cached_property
    def seen(self) -> Tensor:
        """(inner, inner) bool: itself, and what comes before it in its label."""
        place = {node: at for at, node in enumerate(self.inner)}
        found = torch.eye(len(self.inner), dtype=torch.bool)
        for at, node in enumerate(self.inner):
            if self.parents[node] != -1:
                found[at] |= found[place[self.parents[node]]]
        return found

    @cached_property
    def labels(self) -> Tensor:
        """(nodes, labels): 1 where a node is a token of the label."""
        found = torch.zeros(len(self.ids), len(self.paths), dtype=torch.float64)
        for label, path in enumerate(self.paths):
            found[list(path), label] = 1
        return found

    @property
    def deepest(self) -> int:
        """Tokens of the longest label."""
        return max(map(len, self.paths))

    @property
    def apart(self) -> list[Tree]:
        """One tree for each label."""
        return [tree([[self.ids[node] for node in path]]) for path in self.paths]


def tree(labels: Sequence[Sequence[int]]) -> Tree:
    """The labels' tokens as a tree."""
    found: dict[tuple[int, ...], int] = {}
    parents: list[int] = []
    for label in labels:
        for end in range(1, len(label) + 1):
            beginning = tuple(label[:end])
            if beginning not in found:
                parents.append(found.get(beginning[:-1], -1))
                found[beginning] = len(found)
    paths = tuple(tuple(found[tuple(label[:end])] for end in range(1, len(label) + 1)) for label in labels)
    return Tree(tuple(beginning[-1] for beginning in found), tuple(parents), paths)


def label_logs(model: Module, questions: Sequence[Sequence[int]], labels: Tree, logits_at: LogitsAt) -> Tensor:
    """(questions, labels), fp32: the log probability of each label's tokens after each question."""
    config: Any = model.config
    branching = config.model_type in BRANCHING and not prompted(model)
    trees = [labels] if branching else labels.apart
    found = torch.empty(len(questions), len(labels.paths))
    for part in _together([len(question) for question in questions], max(len(one.inner) for one in trees)):
        asked = [questions[index] for index in part]
        found[part] = torch.cat([_read(model, asked, one, logits_at) for one in trees], dim=1)
    return found


def _together(lengths: Sequence[int], more: int) -> Iterator[list[int]]:
    """Numbers of questions that are read at once."""
    part: list[int] = []
    longest = 0
    for index, length in enumerate(lengths):
        longest = max(longest, length + more)
        if part and longest * (len(part) + 1) > READ:
            yield part
            part, longest = [], length + more
        part.append(index)
    if part:
        yield part


def _read(model: Module, questions: Sequence[Sequence[int]], labels: Tree, logits_at: LogitsAt) -> Tensor:
    """``label_logs`` of questions that are read at once."""
    behind = [labels.ids[node] for node in labels.inner]
    ids = padded([[*question, *behind] for question in questions], 0)
    where = torch.zeros(ids.shape, dtype=torch.bool)
    for row, question in enumerate(questions):
        where[row, len(question) - 1 : len(question) + len(behind)] = True
    inputs = {"input_ids": ids, **_looks(model, questions, labels, ids)}
    device = device_of(model)
    at = put(where.flatten().nonzero()[:, 0], device)
    logits = logits_at(model, {name: put(value, device) for name, value in inputs.items()}, at)
    logits = logits.view(len(questions), len(behind) + 1, -1)  # (B, 1 + inner, vocabulary)
    sources, nodes = put(labels.sources, device), put(torch.tensor(labels.ids), device)
    told = (logits[:, sources, nodes] - logits.logsumexp(-1)[:, sources]).cpu()  # (B, nodes)
    return (told.double() @ labels.labels).float()


def _looks(model: Module, questions: Sequence[Sequence[int]], labels: Tree, ids: Tensor) -> dict[str, Tensor]:
    """Which tokens each token sees, and its position. One label alone is an ordinary text."""
    rows, length = ids.shape
    ends = [len(question) + len(labels.inner) for question in questions]
    if len(labels.paths) == 1:
        return {"attention_mask": padded([[1] * end for end in ends], 0)}
    seen = torch.eye(length, dtype=torch.bool).repeat(rows, 1, 1)  # padding sees itself: seeing nothing is no number
    positions = torch.zeros(rows, length, dtype=torch.int64)
    depth = labels.seen.sum(-1) - 1
    for row, (question, end) in enumerate(zip(questions, ends, strict=True)):
        start = len(question)
        seen[row, :start, :start] = torch.ones(start, start, dtype=torch.bool).tril()
        seen[row, start:end, :start] = True
        seen[row, start:end, start:end] = labels.seen
        positions[row, :start] = torch.arange(start)
        positions[row, start:end] = start + depth
    return {"attention_mask": _mask(model, seen[:, None]), "position_ids": positions}


def _mask(model: Module, seen: Tensor) -> Tensor:
    """As the model's attention takes it: where it looks, or (the plain one) what is added to its scores."""
    config: Any = model.config
    if config._attn_implementation != "eager":
        return seen
    return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
