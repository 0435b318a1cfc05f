"""What is exported: a finished run or a registered version, opened as it was scored, and the rows it is tried on.

    subject = Subject.open(run, "reviews@7")
    subject.probes[0].ids, subject.reference[0]      # a test row's tokens, and the scored model's logits for it

The 64 probes are test rows chosen by the hash of their id, so the same run is always tried on the same inputs. Of a
long answer the logits of its first and last four tokens are compared: all of them would be gigabytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import Module

from tuneproof.modalities import ChatEncoder, Example
from tuneproof.modalities.encoding import IGNORED
from tuneproof.predict import Predictor, generation
from tuneproof.records import Generation, Row
from tuneproof.run import Run

HERE = torch.device("cpu")  # an export is compared with the model as any machine can run it
Floats = np.ndarray[Any, np.dtype[np.float32]]
PROBES = 64
ENDS = 4  # tokens of an answer at each of its ends whose logits are compared
SCORED = {True: 200, False: 2000}  # test rows that a quantised export is scored on: of answers, of labels


@dataclass(frozen=True, slots=True)
class Probe:
    """One test row: what is asked, its tokens, and at which of them the model is watched."""

    id: str
    line: int
    asked: Mapping[str, Any]  # the row without its truth, as a program without tuneproof gives it to the tokenizer
    ids: Sequence[int]
    where: Sequence[int] | None  # positions whose logits count; None: the row has one vector of them
    targets: Sequence[int]  # what is right at each of them: a token, or a class; () for a number
    group: Any
    writes: bool = False  # the targets are tokens of an answer, and its loss is what counts
    types: Sequence[int] | None = None  # which text of a pair each token belongs to
    target: Sequence[int] | None = None  # what an encoder-decoder is to write
    numbers: Sequence[float] | None = None  # in place of ``targets``: 1 per label that a row has, or what is asked for
    measured: bool = False  # whether ``numbers`` are amounts, in standard deviations of the training rows
    own_text: bool = False  # a special token's text in what people wrote: others read it as that token

    @property
    def inputs(self) -> dict[str, Sequence[int]]:
        """What transformers' forward is given, of one row."""
        more = {"token_type_ids": self.types, "labels": self.target}
        return {"input_ids": list(self.ids), **{name: list(ids) for name, ids in more.items() if ids is not None}}

    def ends(self) -> Probe:
        """The same, watched at the first and the last few positions only."""
        if self.where is None or len(self.where) <= 2 * ENDS:
            return self
        return replace(
            self,
            where=[*self.where[:ENDS], *self.where[-ENDS:]],
            targets=[*self.targets[:ENDS], *self.targets[-ENDS:]],
        )


class Subject:
    """The model that was scored, and what an export of it has to reproduce."""

    def __init__(self, run: Run, name: str, predictor: Predictor) -> None:
        self.run = run
        self.name = name  # run id, or "reviews@7"
        self.predictor = predictor

    @classmethod
    def open(cls, run: Run, name: str) -> Subject:
        return cls(run, name, Predictor.open(run, here=HERE))

    def fresh(self) -> Module:
        """The model once more, for a builder that changes it."""
        return Predictor.open(self.run, here=HERE).model

    @property
    def auto(self) -> str:
        """transformers' class that opens it."""
        return self.predictor.answer.auto

    @property
    def labels(self) -> tuple[str, ...]:
        return self.predictor.schema.named

    @property
    def base(self) -> Path:
        return Path(self.run.plan["model"]["path"])

    @property
    def wrapped(self) -> bool:
        """Whether what was saved is an adapter over the pretrained model."""
        return (self.run.model / "adapter_config.json").is_file()

    @property
    def writes(self) -> bool:
        """Whether its answers are texts, written token by token."""
        return "stopped" in self.predictor.answer.shows

    @property
    def generation(self) -> Generation:
        return generation(self.predictor.config)

    @cached_property
    def probes(self) -> list[Probe]:
        return [probe.ends() for probe in self._rows(PROBES)]

    @cached_property
    def scored(self) -> list[Probe]:
        """The rows on which a quantised export must not be worse."""
        return self._rows(SCORED[self.writes])

    def _rows(self, count: int) -> list[Probe]:
        table = self.run.splits.test
        ranked = sorted(range(len(table)), key=lambda index: _rank(str(table.columns["id"][index])))
        rows = {index: table.row(index) for index in ranked[:count]}
        answer, schema = self.predictor.answer, self.predictor.schema
        labelled = answer.labelled([*rows.values()], schema)
        found: list[Probe] = []
        for (index, row), known in zip(rows.items(), labelled, strict=True):
            example = answer.example(known, self.predictor.encoder)
            example = example.parts[0] if example.parts else example  # of a long text the first window
            if len(example) <= self.predictor.encoder.max_length:
                found.append(self._probe(row, example, table.lines[index]))
        return found

    def _probe(self, row: Row, example: Example, line: int) -> Probe:
        where, targets = watched(example)
        return Probe(
            id=row["id"],
            line=line,
            asked=self.predictor.answer.outside(row),
            ids=example.ids,
            where=where,
            targets=targets,
            group=row.get("group") or row["id"],
            writes=example.loss is not None or example.target is not None,
            types=example.types,
            target=example.target,
            numbers=None if example.values is None else self._numbers(example.values),
            measured=self.predictor.schema.scale is not None,
            own_text=example.neutralised > 0,
        )

    def _numbers(self, values: Sequence[float]) -> list[float]:
        """As the model learns them."""
        mean, scale = self.predictor.schema.scale or (0.0, 1.0)
        return [(value - mean) / scale for value in values]

    @cached_property
    def reference(self) -> list[Floats]:
        """For each probe the scored model's logits (positions, classes or vocabulary)."""
        return self.through(self.predictor.model, self.probes)

    def through(self, model: Module, probes: Sequence[Probe]) -> list[Floats]:
        """Logits of ``model`` for ``probes``, through transformers' ordinary forward, row by row."""
        found = []
        with torch.inference_mode():
            for probe in probes:
                inputs = {name: torch.tensor([ids]) for name, ids in probe.inputs.items()}
                logits = said(model(**inputs))
                found.append((logits if probe.where is None else logits[list(probe.where)]).numpy())
        return found

    def states(self, probe: Probe) -> list[Floats]:
        """The scored model's hidden states for ``probe``, embeddings first: where an export goes astray shows there."""
        with torch.inference_mode():
            inputs = {name: torch.tensor([ids]) for name, ids in probe.inputs.items()}
            out = self.predictor.model(**inputs, output_hidden_states=True)
        states = out.encoder_hidden_states if probe.target is not None else out.hidden_states
        return [state[0].float().numpy() for state in states]

    def asked_ids(self, probe: Probe) -> list[int] | None:
        """The tokens of what is asked, as the server and the evaluation read it; None where that is no plain text."""
        encoder = self.predictor.encoder
        if isinstance(encoder, ChatEncoder):
            return encoder.prompt(probe.asked["messages"], probe.asked.get("tools")).ids
        if set(probe.asked) != {"text"}:
            return None
        plain = encoder.tokenizer(probe.asked["text"])["input_ids"]
        return list(plain) if list(plain) == list(probe.ids) else None


def said(out: Any) -> torch.Tensor:
    """(positions, values) of one row: logits, those of a stretch's start and end, or the states of a bare model."""
    if "start_logits" in out:
        return torch.cat([out["start_logits"], out["end_logits"]]).float()
    found: torch.Tensor = (out["logits"] if "logits" in out else out["last_hidden_state"]).float()
    return found if found.ndim == 2 else found[0]


def watched(example: Example) -> tuple[list[int] | None, list[int]]:
    """Positions of the logits that an example is about, and the right answer at each."""
    if example.span is not None:
        return None, list(example.span)
    if example.loss is not None:
        learnt = [index for index, counts in enumerate(example.loss) if counts and index]
        return [index - 1 for index in learnt], [example.ids[index] for index in learnt]
    if example.tags is not None:
        tagged = [index for index, tag in enumerate(example.tags) if tag != IGNORED]
        return tagged, [example.tags[index] for index in tagged]
    if example.target is not None:
        return list(range(len(example.target))), list(example.target)
    return None, [] if example.label is None else [example.label]


def score(logits: Floats, probe: Probe) -> float:
    """The per-row score that decides; more is better.

    Share of right labels, minus the loss per answer token, or minus what a number is off by in standard deviations.
    """
    if probe.numbers is not None:
        wanted = np.array(probe.numbers)
        return float(-np.abs(logits[0] - wanted).mean() if probe.measured else np.mean((logits[0] > 0) == (wanted > 0)))
    if not probe.writes:
        return float(np.mean(logits.argmax(axis=1) == np.array(probe.targets)))
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(np.mean([logs[at, target] for at, target in enumerate(probe.targets)]))


Say = Callable[[str], None]


def _rank(id: str) -> bytes:
    return hashlib.sha256(f"probe {id}".encode()).digest()
