"""The optimizer's groups and the schedule's values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneproof.config import build
from tuneproof.methods import METHODS
from tuneproof.methods.parts import Parts
from tuneproof.predict import open_model
from tuneproof.train.fit import assemble
from tuneproof.train.optim import scale, set_lr


def settings(schedule: str, warmup: float = 0.1):
    return build({"train": {"schedule": schedule, "warmup": warmup}}).train


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("linear", 0, 0.1),  # the first of ten warm-up steps already learns
        ("linear", 9, 1.0),
        ("linear", 10, 1.0),
        ("linear", 55, 0.5),
        ("linear", 99, 1 / 90),  # the last step still learns
        ("cosine", 10, 1.0),
        ("cosine", 55, 0.5),
        ("cosine", 99, 0.5 * (1 + math.cos(math.pi * 89 / 90))),
        ("constant", 5, 0.6),
        ("constant", 99, 1.0),
    ],
)
def test_schedule_of_a_hundred_steps(schedule: str, step: int, expected: float) -> None:
    assert scale(step, 100, settings(schedule)) == pytest.approx(expected, rel=1e-12)


@given(
    st.sampled_from(["linear", "cosine", "constant"]),
    st.integers(1, 2000),
    st.floats(0, 0.99),
    st.data(),
)
def test_every_step_learns_and_none_above_the_peak(schedule, steps, warmup, data) -> None:
    step = data.draw(st.integers(0, steps - 1))
    assert 0 < scale(step, steps, settings(schedule, warmup)) <= 1


def test_no_warm_up_starts_at_the_peak() -> None:
    assert scale(0, 100, settings("linear", 0.0)) == 1.0


@pytest.mark.parametrize("method", list(METHODS))
def test_head_learns_faster_and_vectors_do_not_decay(make_work, method: str) -> None:
    work = make_work("text-classification", method, {"train.head_lr_factor": 10.0, "train.weight_decay": 0.05})
    state = assemble(work)
    names = {id(p): name for name, p in state.model.named_parameters()}
    head = Parts.of(open_model(work.answer, work.schema, work.config, work.base, None)).head
    for group in state.optimizer.param_groups:
        for p in group["params"]:
            plain = names[id(p)].replace("base_model.model.", "").replace("modules_to_save.default.", "")
            assert group["peak"] == pytest.approx(work.config.train.lr * (10 if plain in head else 1)), names[id(p)]
            assert group["weight_decay"] == (0.05 if p.ndim > 1 else 0.0), names[id(p)]


def test_set_lr_scales_every_group_and_tells_the_bodys(make_work) -> None:
    state = assemble(make_work("text-classification", "full", {"train.head_lr_factor": 10.0}))
    assert set_lr(state.optimizer, 0.25) == pytest.approx(0.25e-3)
    assert {round(group["lr"], 9) for group in state.optimizer.param_groups} == {0.25e-3, 2.5e-3}
