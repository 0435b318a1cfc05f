"""The frozen part run once: same losses, exact resume, and never where its output is no constant of the row."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from tuneproof.errors import ResourceError
from tuneproof.train import frozen
from tuneproof.train.fit import assemble, job, remembered
from tuneproof.train.frozen import Pass, frozen_part, keep_outputs
from tuneproof.train.loop import fit, randomness, training_mode
from tuneproof.train.plain import plain

TASKS = ("text-classification", "instruction")
EPOCH, STEPS = 3, 9  # three epochs of 20 rows in batches of 8


def quiet(line: str) -> None:
    pass


def a_pass(work, rows: int) -> Pass:
    """All rows as one batch, padded."""
    return Pass(work.answer, work.encoder, "fp32", [range(rows)], lambda model, batch: nullcontext())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("task", TASKS)
def test_losses_with_and_without(make_work, tmp_path: Path, task: str, precision: str) -> None:
    """Equal to the bit in the first epoch and its validation, and within the last bits after it, where rows come in
    other batches; the plain loop runs every layer for every row."""
    work = make_work(task, "freeze", {"model.precision": precision}, rows=20)
    state = assemble(work)
    memory = remembered(state, work, STEPS, tmp_path, quiet)
    assert memory is not None and memory.train.part.depth == (2 if task == "text-classification" else 1)
    found = list(fit(state, job(work, STEPS, kept=memory)))
    without = list(fit(assemble(work), job(work, STEPS)))
    bound = 1e-5 if precision == "fp32" else 0.02
    assert [p.loss for p in found] == pytest.approx([p.loss for p in without], rel=bound)
    assert [p.loss for p in found] == pytest.approx(list(plain(work, STEPS)), rel=bound)
    assert [p.loss for p in found[:EPOCH]] == [p.loss for p in without[:EPOCH]]
    scores, expected = ([p.validation.main for p in run if p.validation is not None] for run in (found, without))
    assert scores == pytest.approx(expected, rel=bound) and scores[0] == expected[0]
    assert list(tmp_path.iterdir()) == [], "the file has no name, so nothing can be left behind"


@pytest.mark.parametrize("task", TASKS)
def test_keeping_changes_no_bit(make_work, tmp_path: Path, task: str) -> None:
    """What is recalled equals, to the bit, what the frozen layers hand on for the same batch."""
    work = make_work(task, "freeze", rows=20)
    state = assemble(work)
    part = frozen_part(state.model, state.optimizer)
    assert part is not None
    training_mode(state.model)
    some = work.train[:7]
    kept = keep_outputs(part, some, a_pass(work, len(some)), tmp_path)
    assert kept is not None
    batch = work.encoder.collate(some)

    def loss() -> torch.Tensor:
        randomness(0, 1, 0)  # dropout of the layers that train
        return work.answer.loss(state.model, batch)

    expected = loss()
    with kept.recalled(range(len(some)), batch):
        found = loss()
    assert torch.equal(found, expected)
    assert torch.equal(loss(), expected), "the layers are back in their places"


def test_nothing_is_kept_where_it_would_be_wrong_or_useless(make_work, tmp_path: Path) -> None:
    for method, options in (("full", {}), ("lora", {}), ("freeze", {"freeze.embeddings": False})):
        state = assemble(make_work("text-classification", method, options, rows=20))
        assert frozen_part(state.model, state.optimizer) is None
    once = make_work("text-classification", "freeze", rows=20)
    assert remembered(assemble(once), once, 3, tmp_path, quiet) is None, "every row comes once"
    off = make_work("text-classification", "freeze", {"freeze.keep": False}, rows=20)
    assert remembered(assemble(off), off, STEPS, tmp_path, quiet) is None


def test_a_part_that_draws_at_random_is_not_kept(make_work, tmp_path: Path) -> None:
    work = make_work("text-classification", "freeze", rows=20)
    state = assemble(work)
    part = frozen_part(state.model, state.optimizer)
    assert part is not None
    state.model.train()  # dropout on in the frozen part too, as it should not be
    assert keep_outputs(part, work.train, a_pass(work, len(work.train)), tmp_path) is None


def test_a_disk_without_room_is_refused(make_work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    work = make_work("text-classification", "freeze", rows=20)
    monkeypatch.setattr(frozen, "_reserve", full)
    with pytest.raises(ResourceError, match="frozen layers need") as caught:
        remembered(assemble(work), work, STEPS, tmp_path, quiet)
    assert "freeze.keep=false" in caught.value.hint
