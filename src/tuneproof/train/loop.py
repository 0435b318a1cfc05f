"""The training loop: a generator of Progress, driven from outside.

    for progress in fit(state, job):
        print(progress.step, progress.loss)

One step is the mean over ALL units (rows, or answer tokens by their weights) of its batch, however many micro-batches
it is cut into; they are cut smaller where memory runs out, and stay so. Random numbers are drawn anew from (seed, step,
micro-batch), so a resumed run draws the same ones. The loop records nothing, saves nothing and decides nothing about
stopping: see drive.py. plain.py says the same without any haste; their losses are held together by a test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import Module

from tuneproof.config import Train
from tuneproof.device import arithmetic, give_back, out_of_memory
from tuneproof.errors import ResourceError, RunError
from tuneproof.modalities import Encoder, Example
from tuneproof.place import device_of, let_go
from tuneproof.records import Progress, Scores
from tuneproof.tasks import Answer
from tuneproof.train.batches import epoch_steps, smaller, steps_per_epoch, without_padding
from tuneproof.train.frozen import Kept
from tuneproof.train.optim import set_lr, thaw
from tuneproof.train.schedules import scale
from tuneproof.train.seen import Seen, agree

TIDY = 16  # steps after which memory that lies unused between what is in use goes back to the system


@dataclass(slots=True)
class State:
    """What changes during training, all of it: a checkpoint is this and nothing else."""

    model: Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))  # sum since the last report
    units: float = 0  # since the last report, each as much as it counts
    rows: int = 0
    tokens: int = 0
    parts: int = 1  # into which each micro-batch is cut since memory ran out
    stop: int = 0  # number of the signal that asked to end at the next step boundary


@dataclass(frozen=True, slots=True)
class Job:
    """What does not change."""

    answer: Answer
    encoder: Encoder
    examples: Sequence[Example]
    settings: Train
    steps: int
    precision: str
    validate: Callable[[Module], Scores]
    seen: Mapping[int, Seen] = field(default_factory=dict)  # rows of the training view: what has to reach the loss
    kept: Kept | None = None  # outputs of the frozen part for all examples
    say: Callable[[str], None] = lambda line: None


def fit(state: State, job: Job) -> Iterator[Progress]:
    """Trains from ``state.step`` to ``job.steps``; yields at log points, at validations and when asked to stop.

    CheckError, before the first step, when a row of the training view would reach the loss as something else.
    """
    settings = job.settings
    if job.seen:
        agree(job.seen, list(job.seen), job.encoder.collate([job.examples[row] for row in job.seen]))
    lengths = [len(example) for example in job.examples]
    per_epoch = steps_per_epoch(len(lengths), settings.batch_size)
    started = time.monotonic()
    order: list[list[list[int]]] = []
    model = training_mode(state.model)
    while state.step < job.steps:
        epoch, within = divmod(state.step, per_epoch)
        if not order or within == 0:
            order = epoch_steps(
                lengths,
                batch_size=settings.batch_size,
                accumulate=settings.accumulate,
                window=settings.length_window,
                seed=settings.seed,
                epoch=epoch,
            )
        share = scale(state.step, job.steps, settings)
        set_lr(state.optimizer, share)
        if thaw(state.optimizer, state.step / job.steps):
            training_mode(model)
        one_step(state, job, order[within])
        if state.step % TIDY == 0:
            give_back()
        validation = None
        if state.step % settings.validate_every == 0 or state.step == job.steps:
            validation = job.validate(model)
            training_mode(model)
        seconds = time.monotonic() - started
        if validation is not None or state.step % settings.log_every == 0:
            yield _progress(state, job, share * settings.lr, per_epoch, seconds, validation)
        if state.stop:
            yield _progress(state, job, share * settings.lr, per_epoch, seconds, paused=True)


def one_step(state: State, job: Job, micros: Sequence[Sequence[int]]) -> None:
    """One update of the weights from the rows of ``micros``, in smaller ones from where memory runs out.

    ResourceError where it does not suffice for a single row.
    """
    while not _gradients(state, job, smaller(micros, state.parts)):
        if state.parts >= max(len(micro) for micro in micros):
            raise ResourceError(
                f"Memory does not suffice for one row at step {state.step + 1:,}.",
                "Try a smaller --set model.max_length, --method lora, or a smaller --model.",
            )
        state.parts *= 2
        job.say(f"Memory ran out at step {state.step + 1:,}: micro-batches are cut into {state.parts} from here on.")
    trained = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    torch.nn.utils.clip_grad_norm_(trained, job.settings.clip)
    state.optimizer.step()
    state.step += 1


def _gradients(state: State, job: Job, micros: Sequence[Sequence[int]]) -> bool:
    """Those of the mean loss of all rows, which are counted; False, and nothing is, where memory ran out."""
    state.optimizer.zero_grad(set_to_none=True)
    try:
        loss, tokens = _backward(state, job, micros)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        let_go(device_of(state.model))
        return False
    state.loss = state.loss.to(loss.device, non_blocking=True) + loss
    state.units += sum(job.examples[row].weight for micro in micros for row in micro)
    state.tokens += tokens
    state.rows += sum(len(micro) for micro in micros)
    return True


def _backward(state: State, job: Job, micros: Sequence[Sequence[int]]) -> tuple[Tensor, int]:
    """Adds the gradients up, micro-batch by micro-batch; the summed loss, and how many tokens were read."""
    units = sum(job.examples[row].weight for micro in micros for row in micro)
    device = device_of(state.model)
    total, tokens = torch.zeros((), dtype=torch.float64, device=device), 0
    for index, micro in enumerate(micros):
        randomness(job.settings.seed, state.step, index)
        made = job.encoder.collate([job.examples[row] for row in micro])
        agree(job.seen, micro, made)
        batch = made.beside(state.model)
        recalled = job.kept.recalled(micro, batch) if job.kept is not None else nullcontext()
        with arithmetic(job.precision, device.type), without_padding(state.model, batch), recalled:
            loss = job.answer.loss(state.model, batch) / units
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach().double() * units
        tokens += batch.tokens
    return total, tokens


def _progress(
    state: State,
    job: Job,
    lr: float,
    per_epoch: int,
    seconds: float,
    validation: Scores | None = None,
    *,
    paused: bool = False,
) -> Progress:
    loss = float(state.loss) / (state.units or 1)
    if loss != loss or loss == float("inf"):
        raise RunError(
            f"The loss is no number any more at step {state.step}.",
            f"Try a smaller learning rate: --set train.lr={job.settings.lr / 3:.1e}",
        )
    if not paused:
        state.loss = torch.zeros((), dtype=torch.float64)
        state.units = 0
    return Progress(
        stage="train",
        step=state.step,
        steps=job.steps,
        epoch=state.step / per_epoch,
        loss=loss,
        lr=lr,
        rows=state.rows,
        tokens=state.tokens,
        seconds=seconds,
        validation=validation,
        paused=paused,
    )


def training_mode(model: Module) -> Module:
    """Dropout on, but only in modules of which something trains: a frozen layer's output stays a constant."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
    return model


def randomness(seed: int, step: int, micro: int) -> None:
    """Random numbers from here on are those of this micro-batch.

    As torch.manual_seed, which where there is no GPU writes down the whole stack of calls, once for each kind of device
    that has not begun: a millisecond of every step.
    """
    number = _mix(seed, step, micro)
    torch.default_generator.manual_seed(number)
    for generator in torch.cuda.default_generators:  # none before a GPU is used
        generator.manual_seed(number)


def _mix(seed: int, step: int, micro: int) -> int:
    """One 63-bit number from three (SplitMix64's multipliers), different for neighbouring steps."""
    value = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + micro * 0x94D049BB133111EB) & (2**64 - 1)
    value ^= value >> 31
    return (value * 0xD6E8FEB86659FD93 & (2**64 - 1)) >> 1
