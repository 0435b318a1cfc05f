"""Data, doctor, model and tokens: what the other stages start from, made, or read back from the run directory.

made = make(inputs, config, view)
made.ready.encoded.examples["train"], made.diagnosis.checks, made.report
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tuneproof import sources
from tuneproof.choose import choose, facts
from tuneproof.config import Config
from tuneproof.decide import check_model, length_limit
from tuneproof.device import BF16_PAYS, bf16_gain, machine
from tuneproof.errors import ModelError, RunError
from tuneproof.methods import room
from tuneproof.modalities import MODALITIES, Encoder, TextEncoder
from tuneproof.pipeline.view import View
from tuneproof.predict import Known, Vectors
from tuneproof.prepare import Diagnosis, Examinable, Prepared, data_report, examine, prepare
from tuneproof.prepare.check.subject import Embed
from tuneproof.prepare.mixed import mixed, weights
from tuneproof.prepare.schema import Recogniser
from tuneproof.prepare.tokens import Encoded, encode
from tuneproof.prepare.view import training_view
from tuneproof.records import Ledger, ModelFacts, Schema, Setting
from tuneproof.run import Run
from tuneproof.tasks import TASKS, Task, kept, suited, task, task_of

KIND = "encoder"  # kind of model whose mean state says what a text is about


@dataclass(frozen=True, slots=True)
class Inputs:
    """The data files as they were named, where they lie on this disk, and what their source knows of their columns."""

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    hints: Mapping[str, str]

    @property
    def told(self) -> str:
        return ", ".join(self.names)


@dataclass(frozen=True, slots=True)
class Ready:
    """Data, model and encoder, ready to be planned and trained on."""

    task: Task
    schema: Schema
    encoded: Encoded
    encoder: Encoder
    facts: ModelFacts
    config: Config
    given: Mapping[str, Setting]  # what was decided about the model already


@dataclass(frozen=True, slots=True)
class Pretrained:
    """The model that was asked for or chosen, before it is opened."""

    facts: ModelFacts
    encoder: Encoder
    config: Config
    given: Mapping[str, Setting]


@dataclass(frozen=True, slots=True)
class Made:
    """Ready, and everything that prepare has to say about it."""

    ready: Ready
    prepared: Prepared
    ledger: Ledger
    tokens: Mapping[str, Any]
    diagnosis: Diagnosis
    report: Mapping[str, Any]
    known: Known  # vectors that the doctor has computed


def make(inputs: Inputs, asked: Config, view: View) -> Made:
    """Reads, examines and encodes; nothing is written."""
    settled = given(inputs)
    prepared, asked = instructed(understood(inputs, asked, view), asked, settled, view)
    this = task_of(prepared.schema)
    found = pretrained(this, asked, settled, view)
    known = Known()
    look = embedder(this, prepared.schema, found, asked, view, known)
    diagnosis = diagnose(prepared, this.answer, look, asked, view)
    prepared = diagnosis.prepared
    if asked.data.weights is not None:
        prepared = mixed(prepared, weights(asked.data.weights, inputs.names))
    view.say(f"Counting the tokens of {sum(prepared.ledger.used.values()):,} rows")
    data = asked.data
    encoded = encode(prepared.splits, prepared.schema, this.answer, found.encoder, data.too_long, data.max_missing)
    ready = Ready(this, prepared.schema, encoded, found.encoder, found.facts, found.config, found.given)
    ledger, tokens = with_drops(prepared, encoded), tokens_of(ready)
    diagnosis = diagnosis.with_tokens(encoded)
    report = data_report(inputs.told, prepared, ledger, diagnosis, tokens)
    return Made(ready, prepared, ledger, tokens, diagnosis, report, known)


def understood(inputs: Inputs, asked: Config, view: View, more: Mapping[str, Recogniser] | None = None) -> Prepared:
    """The files read, understood, cleaned and divided; ``more`` are tasks that no method tunes a model for."""
    view.say(f"Reading {inputs.told}")
    answers = {**{name: row.answer for name, row in TASKS.items()}, **(more or {})}
    keep = kept.asked(asked)
    return prepare(inputs.paths, asked.data, answers, inputs.names, asked.check.apply, keep)


def instructed(prepared: Prepared, asked: Config, given: dict[str, Setting], view: View) -> tuple[Prepared, Config]:
    """The same rows for the kind of model that was named, with what it is asked where it has to be asked something."""
    schema = prepared.schema
    before = this = task(schema.task)
    free = asked.data.task is None or "data.task" in given  # what a source says of its rows binds nobody
    if asked.model.name is not None and free and any(one.same_as == this.name for one in TASKS.values()):
        named = facts(sources.model(asked.model.name, say=view.say))
        this = suited(this, named.kind)
        if this is not before:
            why = f"{named.name} is a model of the kind {named.kind}: {before.name} by asking it"
            schema = dataclasses.replace(schema, task=this.name, reasons=(*schema.reasons, why))
            given["data.task"] = Setting(this.name, why, "rule")
            asked = asked.replace({"data.task": this.name})
    if this.wording is not None:
        text, why = this.wording(schema, asked.data.instruction)
        if asked.data.instruction is None:
            given["data.instruction"] = Setting(text, why, "rule")
            asked = asked.replace({"data.instruction": text})
        schema = dataclasses.replace(schema, instruction=text)
    manifest = {**prepared.manifest, "schema": dataclasses.asdict(schema)}
    return dataclasses.replace(prepared, schema=schema, manifest=manifest), asked


def given(inputs: Inputs) -> dict[str, Setting]:
    return {name: Setting(value, f"{inputs.told} says so of itself", "rule") for name, value in inputs.hints.items()}


def pretrained(this: Task, asked: Config, given: dict[str, Setting], view: View) -> Pretrained:
    """The model and its tokenizer; ModelError where it does not fit the task."""
    if asked.model.name is None:
        given["model.name"] = Setting(*choose(this.name, this.answer.kinds, machine()), "rule")
        asked = asked.replace({"model.name": given["model.name"].value})
    found = facts(sources.model(asked.model.name, say=view.say))
    if asked.model.max_length is None:
        given["model.max_length"] = Setting(*length_limit(found, this.answer, room(asked)), "rule")
        asked = asked.replace({"model.max_length": given["model.max_length"].value})
    check_model(asked, found, this.answer)
    return Pretrained(found, MODALITIES[this.modality](Path(found.path), asked.model.max_length), asked, given)


def opponent(asked: Config, view: View) -> ModelFacts | None:
    """The chat model that is asked the same questions, if somebody named one; ModelError for one that does not chat."""
    if asked.evaluate.prompted is None:
        return None
    found = facts(sources.model(asked.evaluate.prompted, say=view.say))
    if found.kind not in task("instruction").answer.kinds:
        raise ModelError(
            f'evaluate.prompted: "{found.name}" is a model of the kind {found.kind}, which cannot be asked.',
            "See which models write answers: tuneproof models list",
        )
    return found


def diagnose(
    prepared: Prepared, answer: Examinable, look: Embed | None, asked: Config, view: View, why_none: str = ""
) -> Diagnosis:
    """What the doctor says; without vectors of the texts (``why_none``) it looks at what needs none."""
    return examine(
        prepared,
        answer,
        asked.check,
        seed=asked.train.seed,
        embed=look,
        no_embed=why_none or "vectors of texts need an encoder that fits the memory, and the model is none",
        progress=view.looking,
    )


def embedder(this: Task, schema: Schema, found: Pretrained, asked: Config, view: View, known: Known) -> Embed | None:
    """Texts to the mean state of the untouched model; the model is opened at the first use. ``known`` grows.

    In full precision where a linear baseline will be fitted on the same vectors; a check of the data alone is content
    with bf16, which takes a quarter of the time for long texts. None where it is no encoder, or where opening it would
    take more than half of the free memory.
    """
    weights = max(found.facts.parameters, 12 * found.facts.layers * found.facts.width**2)  # as its configuration says
    if found.facts.kind != KIND or 4 * weights > machine().free / 2:
        return None
    encoder = found.encoder
    assert isinstance(encoder, TextEncoder), "an encoder model reads plain text"
    shared = any(name.startswith("frozen-") for name in this.answer.baselines)
    precision = "fp32" if shared or bf16_gain() < BF16_PAYS else "bf16"
    opened: list[Any] = []

    def model() -> Any:
        if not opened:
            opened.append(this.answer.model(Path(found.facts.path), schema, seed=asked.train.seed).eval())
        return opened[0]

    def vectors(texts: Sequence[str]) -> Vectors:
        examples = [encoder.cut(encoder.encode(text)) for text in texts]
        return known.embed(model, encoder, examples, partial(_looked, view, len(texts)), precision=precision)

    return vectors


def _looked(view: View, rows: int, done: int) -> None:
    view.looking("Vectors of the untouched model", done, rows)


def reopened(run: Run, asked: Config) -> Ready:
    """The same from the artifacts: rows that were dropped are gone from the tables already."""
    kept = run.read_json("data/tokens.json")
    found = ModelFacts(**kept["model"])
    this = task_of(run.schema)
    source = sources.model(found.name)
    if source.revision != found.revision:
        raise RunError(
            f"The model {found.name} is not the one that {run.path} began with: revision {source.revision[:12]}, "
            f"then {found.revision[:12]}.",
            "Start a new run.",
        )
    given = {name: Setting(**setting) for name, setting in kept["given"].items()}
    asked = asked.replace({name: setting.value for name, setting in given.items()})
    encoder = MODALITIES[this.modality](source.path, asked.model.max_length)
    encoded = encode(run.splits, run.schema, this.answer, encoder, "cut")
    return Ready(this, run.schema, encoded, encoder, found, asked, given)


def with_drops(prepared: Prepared, encoded: Encoded) -> Ledger:
    """The ledger after rows were dropped for their length; it still has to close."""
    used = {name: len(table) for name, table in encoded.splits.items()}
    ledger = dataclasses.replace(prepared.ledger, used=used, dropped=(*prepared.ledger.dropped, *encoded.dropped))
    assert ledger.closes(), "rows in = rows used + rows dropped"
    return ledger


def tokens_of(ready: Ready) -> dict[str, Any]:
    """``data/tokens.json``: the model that counted, the counts, and what the loop's loss sees of a few rows."""
    return {
        "model": dataclasses.asdict(ready.facts),
        "given": {name: dataclasses.asdict(setting) for name, setting in ready.given.items()},
        "splits": dict(ready.encoded.counts),
        "view": training_view(ready.encoded, ready.task.answer, ready.encoder),
    }
