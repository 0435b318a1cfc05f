"""Every task trains and predicts where its model is, which is not where its rows are; a step reads nothing back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch
from elsewhere import ELSEWHERE, Seen, elsewhere
from torch.nn import Module

from tuneproof.compute import prepared
from tuneproof.methods import METHODS
from tuneproof.methods.parts import Parts
from tuneproof.place import device_of
from tuneproof.predict import predict_examples
from tuneproof.records import Generation, Prediction
from tuneproof.tasks import TASKS
from tuneproof.tasks.embeddings import Vectors
from tuneproof.train import checkpoint
from tuneproof.train.batches import epoch_steps
from tuneproof.train.fit import Work, job, opened, remembered
from tuneproof.train.loop import State, fit, one_step
from tuneproof.train.optim import build, set_lr

STEPS = 3


def test_a_tensor_that_lies_here_is_refused_company() -> None:
    with elsewhere() as seen:
        there = torch.ones(2, 3).to(ELSEWHERE)
        with pytest.raises(RuntimeError, match="elsewhere"):
            there + torch.ones(3)
        with pytest.raises(TypeError):
            there.numpy()
        assert not seen.read
        assert float(there.sum()) == 6
        there[there > 0]
        there.cpu()
        assert len(seen.read) == 3


def begun(work: Work, model: Module) -> State:
    """Its optimizer holds the weights that ``model`` has where it is now."""
    method = METHODS[work.config.method.name](work.config)
    prepared(model, "fp32")
    return State(model, build(model, Parts.of(model), method.pace(model), work.config.train))


def trained(work: Work, model: Module, seen: Seen | None = None) -> tuple[list[float], list[str]]:
    """The losses of a few steps of ``model``, where it is, and what was read back within them."""
    state = begun(work, model.eval())  # what is dropped is drawn by each device in a way of its own
    running = job(work, STEPS)
    order = epoch_steps([len(one) for one in work.train], batch_size=8, accumulate=2, seed=0, epoch=0)
    losses: list[float] = []
    read: list[str] = []
    set_lr(state.optimizer, 1.0)
    for number, micros in enumerate(order[:STEPS]):
        before = len(seen.read) if seen else 0
        with never_waiting(model) if number else nullcontext():  # the first step may still load what it needs
            one_step(state, running, micros)
        read += seen.read[before:] if seen else []
        losses.append(float(state.loss))
    return losses, read


def flat(value: object) -> list[object]:
    """Numbers and words of an answer, whatever it is."""
    if isinstance(value, Vectors):
        return flat(value.of)
    if isinstance(value, Mapping):
        return [part for one in value.values() for part in flat(one)]
    if isinstance(value, list | tuple):
        return [part for one in value for part in flat(one)]
    return [value]


def alike(said: Sequence[Prediction], again: Sequence[Prediction], far: float) -> None:
    for one, other in zip(said, again, strict=True):
        assert flat(other.value) == [
            pytest.approx(part, rel=far * 1e-4, abs=far * 1e-6) if isinstance(part, float) else part
            for part in flat(one.value)
        ]
        assert other.scores == pytest.approx(one.scores, rel=far * 1e-4)
        assert other.probabilities == pytest.approx(one.probabilities, rel=far * 1e-4)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("task", list(TASKS))
def test_a_model_elsewhere(make_work, task: str, method: str) -> None:
    check(work_of(make_work, task, method), ELSEWHERE, elsewhere)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("task", list(TASKS))
def test_a_model_on_a_gpu(make_work, task: str, method: str) -> None:
    """The same on a real one, whose arithmetic differs in the last bits; waiting for it within a step is an error."""
    check(work_of(make_work, task, method), torch.device("cuda"), partial(nullcontext, Seen()), far=30)


def work_of(make_work, task: str, method: str) -> Work:
    work: Work = make_work(task, method, {"train.optimizer": "sgd", "train.lr": 1e-4}, rows=24)
    return work


def check(work: Work, device: torch.device, around: Callable[[], AbstractContextManager[Seen]], far: float = 1) -> None:
    held_out = list(work.validation)[:4]
    asked = [work.answer.question("what now?\nit is a good thing.")]
    here, same = opened(work).model, opened(work).model
    said = predict_examples(here, work.answer, work.encoder, held_out, "fp32")
    with torch.inference_mode():
        told = work.answer.respond(here, work.encoder, asked, Generation(4))
    losses, _ = trained(work, here)
    with around() as seen:
        same.to(device)
        alike(said, predict_examples(same, work.answer, work.encoder, held_out, "fp32"), far)
        with torch.no_grad():
            alike(told, work.answer.respond(same, work.encoder, asked, Generation(4)), far)
        theirs, read = trained(work, same, seen)
        assert device_of(same).type == device.type
    assert theirs == pytest.approx(losses, rel=far * 1e-5)
    assert not read, f"a step reads back: {read}"


@contextmanager
def never_waiting(model: Module) -> Iterator[None]:
    """Within it torch refuses to wait for the GPU of ``model``, if it is on one."""
    if device_of(model).type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_frozen_outputs_are_kept_here_and_used_there(make_work, tmp_path: Path) -> None:
    work = make_work("text-classification", "freeze", {"train.optimizer": "sgd", "train.lr": 1e-3}, rows=24)
    found = []
    for around, device in ((nullcontext, torch.device("cpu")), (elsewhere, ELSEWHERE)):
        model = opened(work).model
        with around():
            state = begun(work, model.to(device))
            memory = remembered(state, work, 9, tmp_path, lambda line: None)
            assert memory is not None
            assert memory.train.states.device.type == "cpu"
            progress = list(fit(state, job(work, 6, kept=memory)))
            found.append([(one.loss, one.validation and one.validation.main) for one in progress])
    assert found[1] == [(pytest.approx(loss, rel=1e-5), score) for loss, score in found[0]]


def test_a_checkpoint_from_there_goes_on_there(make_work, tmp_path: Path) -> None:
    """Weights and the optimizer's state come back to where they were."""
    work = make_work("text-classification", "full", {"train.optimizer": "lion", "train.lr": 1e-4}, rows=16)
    models = opened(work).model, opened(work).model
    with elsewhere():
        first, second = (begun(work, model.to(ELSEWHERE).eval()) for model in models)
        order = epoch_steps([len(one) for one in work.train], batch_size=8, accumulate=1, seed=0, epoch=0)
        set_lr(first.optimizer, 1.0)
        one_step(first, job(work, 2), order[0])
        checkpoint.save(tmp_path, first, {})
        assert checkpoint.restore(tmp_path, second, print) is not None
        for state in (first, second):
            set_lr(state.optimizer, 1.0)
            one_step(state, job(work, 2), order[1])
        for name, weight in checkpoint.trained(second).items():
            assert weight.device == ELSEWHERE
            assert torch.equal(weight.cpu(), checkpoint.trained(first)[name].cpu()), name
