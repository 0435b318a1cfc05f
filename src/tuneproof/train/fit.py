"""Assemble what the plan says, train it, and leave an ordinary model folder.

    for progress in train(run, work, steps, say): show(progress)

The same call starts a run and resumes it: it continues from the newest checkpoint that verifies, if there is one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn import Module

from tuneproof.compute import prepared
from tuneproof.config import Config
from tuneproof.device import keep_memory
from tuneproof.errors import ResourceError, RunError
from tuneproof.methods import METHODS
from tuneproof.methods.folder import impersonal
from tuneproof.methods.parts import Parts
from tuneproof.modalities import Encoder, Example
from tuneproof.place import batch_tokens, place
from tuneproof.predict import as_it_is, by_length, generation, open_model, predict_examples
from tuneproof.records import Progress, Schema, Scores
from tuneproof.run import Run, disk_errors
from tuneproof.tasks import Answer
from tuneproof.train import checkpoint
from tuneproof.train.batches import epoch_steps, steps_per_epoch, without_padding
from tuneproof.train.drive import Paused, decided, keep, looks, obeying_signals, record, since_best, stop_early
from tuneproof.train.frozen import Kept, Pass, frozen_part, keep_outputs
from tuneproof.train.loop import Job, State, fit, training_mode
from tuneproof.train.optim import build
from tuneproof.train.seen import Seen, seen


@dataclass(frozen=True, slots=True)
class Work:
    """Everything that training needs, decided."""

    answer: Answer
    schema: Schema
    config: Config
    base: Path
    encoder: Encoder
    train: Sequence[Example]
    validation: Sequence[Example]


def assemble(work: Work) -> State:
    """Model with the method applied, and its optimizer, at step 0."""
    if work.config.train.keep_memory:
        keep_memory()
    state = opened(work)
    prepared(state.model, work.config.model.precision)
    return state


def opened(work: Work) -> State:
    """The same before anything was made faster: every weight in fp32, as it was pretrained."""
    device = place(work.config.model.device)
    model = open_model(work.answer, work.schema, work.config, work.base, None).to(device)
    parts = Parts.of(model)
    torch.manual_seed(work.config.train.seed)  # adapters are drawn here
    method = METHODS[work.config.method.name](work.config)
    model = method.apply(model).to(device)  # an adapter may have been made here
    return State(model, build(model, parts, method.pace(model), work.config.train))


def job(work: Work, steps: int, view: Mapping[int, Seen] | None = None, kept: Memory | None = None) -> Job:
    """The unchanging part of the loop's input; ``view`` is what has to reach the loss of some rows."""
    held_out = _held_out(work)
    precision = work.config.model.precision
    around = kept.validation.recalled if kept is not None and kept.validation is not None else as_it_is

    def validate(model: Module) -> Scores:
        said = predict_examples(model, work.answer, work.encoder, held_out, precision, around=around)
        return work.answer.score(said)

    rows = kept.train if kept is not None else None
    return Job(work.answer, work.encoder, work.train, work.config.train, steps, precision, validate, view or {}, rows)


def _held_out(work: Work) -> list[Example]:
    return list(work.validation)[: work.config.evaluate.validation_rows]


@dataclass(frozen=True, slots=True)
class Memory:
    """Outputs of the frozen part for the rows that are trained on, and for those of each validation."""

    train: Kept
    validation: Kept | None  # None where predictions are made from other tokens than those that are kept


def remembered(state: State, work: Work, steps: int, folder: Path, say: Callable[[str], None]) -> Memory | None:
    """The frozen part run once over all rows, where rows come more than once and it can be kept."""
    part = frozen_part(state.model, state.optimizer)
    again = steps > steps_per_epoch(len(work.train), work.config.train.batch_size)
    if part is None or not again or not work.config.freeze.keep:
        return None
    say(f"Running {part.depth} frozen layers once over {len(work.train):,} rows; their outputs are kept.")
    training_mode(state.model)

    how = Pass(work.answer, work.encoder, work.config.model.precision, _micro_batches(work, epoch=0), without_padding)
    train = keep_outputs(part, work.train, how, folder)
    if train is None or not work.answer.reads_batches:
        return None if train is None else Memory(train, None)
    held_out = _held_out(work)
    batches = by_length([len(example) for example in held_out], batch_tokens(state.model))
    as_predicted = replace(how, batches=batches, around=lambda model, batch: torch.no_grad())
    validation = keep_outputs(part, held_out, as_predicted, folder)
    return Memory(train, validation) if validation is not None else None


def _micro_batches(work: Work, epoch: int) -> Iterator[list[int]]:
    """Those of all steps of an epoch, in the order of their steps."""
    settings = work.config.train
    for micros in epoch_steps(
        [len(example) for example in work.train],
        batch_size=settings.batch_size,
        accumulate=settings.accumulate,
        window=settings.length_window,
        seed=settings.seed,
        epoch=epoch,
    ):
        yield from micros


def train(run: Run, work: Work, steps: int, say: Callable[[str], None]) -> Generator[Progress, None, None]:
    """Trains or continues, then writes ``model/`` from the best weights. ``Paused`` when a signal asked to stop."""
    state = assemble(work)
    past = checkpoint.restore(run.checkpoints, state, say)
    run.cut_metrics(state.step)
    if past is not None:
        say(f"Continuing at step {state.step:,} of {steps:,}.")
    like = Scores(work.answer.primary, {work.answer.primary: None}, 0, work.answer.higher_is_better)
    patience = work.config.train.patience
    if not finished(run, state, like, steps, patience):
        with obeying_signals(state):
            kept = remembered(state, work, steps, run.checkpoints, say)
            loop = record(fit(state, replace(job(work, steps, seen(run), kept), say=say)), run)
            saved = keep(loop, run, state, every=work.config.train.save_seconds, answer=work.answer, say=say)
            with closing(stop_early(saved, run, patience=patience)) as progress:
                yield from progress
    del state
    save_best(run, work)


def finished(run: Run, state: State, like: Scores, steps: int, patience: int) -> bool:
    """Whether the loop had already come to its end, by steps or by patience, when the run was interrupted."""
    values = [r["validation"][like.primary] for r in run.metrics() if "validation" in r]
    return state.step >= steps or (bool(values) and since_best(values, like) >= patience)


def save_best(run: Run, work: Work) -> None:
    """``model/``: the weights that validation decided for, with tokenizer, complete or absent.

    They are put into the pretrained model opened anew: the one that trained may hold its frozen weights in bf16.
    """
    best = run.checkpoints / "best"
    expected = best_step(run, work)
    if not best.exists() or checkpoint.verify(best)["step"] != expected:
        raise ResourceError(
            f"The best weights, those of step {expected:,}, could not be written to {run.checkpoints}.",
            f"Free some space on that disk, then: tuneproof resume {run.path}",
        )
    state = opened(work)
    checkpoint.put(state, load_file(best / "model.safetensors"))
    temporary = run.path / ".model.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    with disk_errors(temporary):
        temporary.mkdir()
        METHODS[work.config.method.name](work.config).save(state.model, temporary)
        impersonal(temporary)
        work.encoder.save(temporary)
        work.answer.finish(temporary, work.encoder, generation(work.config))
        shutil.rmtree(run.model, ignore_errors=True)
        temporary.rename(run.model)


def best_step(run: Run, work: Work) -> int:
    """The step whose weights the recorded validations decide for."""
    found = decided(looks(run, work.answer), work.answer)
    if found is None:
        raise RunError(f"No validation of {run.path} has a score, so there is no best model to save.")
    return found


__all__ = ["Paused", "Work", "assemble", "job", "train"]
