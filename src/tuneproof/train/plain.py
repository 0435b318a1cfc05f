"""The plain loop: what training means, in the simplest form. The fast one, loop.py, has to agree with it.

    for loss in plain(work, steps): ...        # mean loss per unit of each step; tests/train/test_plain.py compares

The same rows in the same order through the same model, with torch's, transformers' and peft's own layers: weights in
fp32, autocast for bf16, the optimizer's plain update. Nothing is reported, validated, saved, kept or resumed here,
and nothing is fast.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from torch.nn import Module
from torch.nn.utils import clip_grad_norm_

from tuneproof.compute.lora import as_peft_does
from tuneproof.device import arithmetic
from tuneproof.place import device_of
from tuneproof.train.batches import epoch_steps, steps_per_epoch
from tuneproof.train.fit import Work, opened
from tuneproof.train.loop import randomness, training_mode
from tuneproof.train.optim import set_lr, thaw
from tuneproof.train.schedules import scale


def plain(work: Work, steps: int) -> Generator[float, None, Module]:
    """Trains ``steps`` steps from the pretrained weights; yields the mean loss per unit of each, returns the model."""
    settings, precision = work.config.train, work.config.model.precision
    state = opened(work)
    model, optimizer = as_peft_does(state.model), state.optimizer
    for group in optimizer.param_groups:
        group["fused"] = False
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    training_mode(model)
    for step, micros in enumerate(_steps(work, steps)):
        set_lr(optimizer, scale(step, steps, settings))
        if thaw(optimizer, step / steps):
            training_mode(model)
        optimizer.zero_grad()
        units = sum(work.train[row].weight for micro in micros for row in micro)
        total = 0.0
        for index, micro in enumerate(micros):
            randomness(settings.seed, step, index)
            total += _backward(work, model, micro, units, precision)
        clip_grad_norm_(trained, settings.clip)
        optimizer.step()
        yield total / units
    return model


def _steps(work: Work, steps: int) -> Iterator[list[list[int]]]:
    """The rows of each step, micro-batch by micro-batch."""
    settings, lengths = work.config.train, [len(example) for example in work.train]
    per_epoch = steps_per_epoch(len(lengths), settings.batch_size)
    for epoch in range(-(-steps // per_epoch)):
        order = epoch_steps(
            lengths,
            batch_size=settings.batch_size,
            accumulate=settings.accumulate,
            window=settings.length_window,
            seed=settings.seed,
            epoch=epoch,
        )
        yield from order[: steps - epoch * per_epoch]


def _backward(work: Work, model: Module, rows: list[int], units: float, precision: str) -> float:
    """Adds the gradient of the mean loss of these rows; their summed loss."""
    batch = work.encoder.collate([work.train[row] for row in rows]).beside(model)
    with arithmetic(precision, device_of(model).type):
        loss = work.answer.loss(model, batch)
    (loss / units).backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())
