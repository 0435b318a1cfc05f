"""Data order: every row once per epoch, a pure function of seed and epoch, whatever the lengths."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from tuneproof.train.batches import epoch_steps, steps_per_epoch

LENGTHS = st.lists(st.integers(1, 500), min_size=1, max_size=300)
SIZES = st.integers(1, 40)
PARTS = st.integers(1, 9)
SEEDS = st.integers(0, 2**31 - 1)
EPOCHS = st.integers(0, 1000)


@given(LENGTHS, SIZES, PARTS, SEEDS, EPOCHS)
def test_every_row_exactly_once_per_epoch(lengths, size, parts, seed, epoch) -> None:
    steps = epoch_steps(lengths, batch_size=size, accumulate=parts, seed=seed, epoch=epoch)
    rows = [row for step in steps for micro in step for row in micro]
    assert sorted(rows) == list(range(len(lengths)))
    assert len(steps) == steps_per_epoch(len(lengths), size)


@given(LENGTHS, SIZES, PARTS, SEEDS, EPOCHS)
def test_micro_batches_are_never_empty_and_never_too_many(lengths, size, parts, seed, epoch) -> None:
    for step in epoch_steps(lengths, batch_size=size, accumulate=parts, seed=seed, epoch=epoch):
        counts = [len(micro) for micro in step]
        assert 1 <= len(counts) <= parts
        assert min(counts) >= 1
        assert max(counts) - min(counts) <= 1
        assert sum(counts) <= size


@given(LENGTHS, SIZES, SEEDS, EPOCHS)
def test_the_same_batches_however_they_are_cut(lengths, size, seed, epoch) -> None:
    """Accumulation changes memory, not which rows an update is made from."""
    whole = epoch_steps(lengths, batch_size=size, accumulate=1, seed=seed, epoch=epoch)
    cut = epoch_steps(lengths, batch_size=size, accumulate=4, seed=seed, epoch=epoch)
    assert [step[0] for step in whole] == [[row for micro in step for row in micro] for step in cut]


def test_seeds_and_epochs_differ() -> None:
    lengths = [1 + n % 30 for n in range(500)]
    orders = {
        str(epoch_steps(lengths, batch_size=8, accumulate=1, seed=seed, epoch=epoch))
        for seed in range(4)
        for epoch in range(4)
    }
    assert len(orders) == 16


def test_the_same_in_another_process() -> None:
    """No hash of an object, no clock, no state of a generator decides: a resumed run is another process."""
    call = "epoch_steps([1 + n % 30 for n in range(97)], batch_size=8, accumulate=3, seed=5, epoch=2)"
    program = f"from tuneproof.train.batches import epoch_steps; print({call})"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    here = epoch_steps([1 + n % 30 for n in range(97)], batch_size=8, accumulate=3, seed=5, epoch=2)
    assert out.strip() == str(here)


def test_rows_of_similar_length_stand_together() -> None:
    """What the sorting is for: in a random order most of the computed tokens would be padding."""
    lengths = [1 + (n * 7919) % 512 for n in range(4000)]
    steps = epoch_steps(lengths, batch_size=16, accumulate=1, seed=0, epoch=0)
    padded = sum(len(step[0]) * max(lengths[row] for row in step[0]) for step in steps)
    assert padded < 1.05 * sum(lengths)


def test_a_window_of_one_draws_a_step_from_all_rows_and_cuts_it_by_length() -> None:
    lengths = [1 + (n * 7919) % 512 for n in range(4000)]
    drawn = epoch_steps(lengths, batch_size=16, accumulate=4, seed=0, epoch=0, window=1)
    steps = [[lengths[row] for micro in step for row in micro] for step in drawn]
    assert min(step[-1] - step[0] for step in steps) > 200, "each step has short rows and long ones"
    assert all(step == sorted(step) for step in steps), "its micro-batches go from short to long"
    padded = sum(len(micro) * max(lengths[row] for row in micro) for step in drawn for micro in step)
    assert padded < 1.35 * sum(lengths)
    assert sorted(row for step in drawn for micro in step for row in micro) == list(range(4000))


def test_a_plan_of_an_earlier_version_goes_on_with_the_window_of_then() -> None:
    lengths = [1 + (n * 7919) % 512 for n in range(1000)]
    then = epoch_steps(lengths, batch_size=16, accumulate=1, seed=0, epoch=0, window=None)
    assert then == epoch_steps(lengths, batch_size=16, accumulate=1, seed=0, epoch=0, window=50)
