"""The optimizer's groups and the schedule's values."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tuneproof.config import Train, build
from tuneproof.decide.recipe import OPTIMIZER_RATES
from tuneproof.errors import ConfigError
from tuneproof.methods.parts import Parts, plain
from tuneproof.predict import open_model
from tuneproof.train.fit import assemble, job
from tuneproof.train.loop import fit, one_step
from tuneproof.train.optim import OPTIMIZERS, Lion, set_lr, thaw
from tuneproof.train.schedules import SCHEDULES, scale


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
        ("inverse-sqrt", 9, 1.0),
        ("inverse-sqrt", 30, math.sqrt(10 / 30)),  # as at step 30 of the formula, which continues the warm-up
        ("wsd", 81, 1.0),
        ("wsd", 91, 0.5),  # the last 18 of 90 steps fall
        ("one-cycle", 0, 0.04 + 0.96 * 0.1),
        ("one-cycle", 55, 0.5),
        ("constant", 5, 0.6),
        ("constant", 99, 1.0),
    ],
)
def test_schedule_of_a_hundred_steps(schedule: str, step: int, expected: float) -> None:
    assert scale(step, 100, settings(schedule)) == pytest.approx(expected, rel=1e-12)


@given(
    st.sampled_from(list(SCHEDULES)),
    st.integers(1, 2000),
    st.floats(0, 0.99),
    st.data(),
)
def test_every_step_learns_and_none_above_the_peak(schedule, steps, warmup, data) -> None:
    step = data.draw(st.integers(0, steps - 1))
    assert 0 < scale(step, steps, settings(schedule, warmup)) <= 1


def test_no_warm_up_starts_at_the_peak() -> None:
    assert scale(0, 100, settings("linear", 0.0)) == 1.0


TENFOLD = {"train.head_lr_factor": 10.0, "model.max_length": 40}


@pytest.mark.parametrize("method", ["full", "freeze", "lora", "bitfit", "vera", "prompt"])
def test_head_learns_faster_and_vectors_do_not_decay(make_work, method: str) -> None:
    work = make_work("text-classification", method, {**TENFOLD, "train.weight_decay": 0.05})
    state = assemble(work)
    names = {id(p): name for name, p in state.model.named_parameters()}
    head = Parts.of(open_model(work.answer, work.schema, work.config, work.base, None)).head
    for group in state.optimizer.param_groups:
        for p in group["params"]:
            factor = 10 if plain(names[id(p)]) in head else 1
            assert group["peak"] == pytest.approx(work.config.train.lr * factor), names[id(p)]
            assert group["weight_decay"] == (0.05 if p.ndim > 1 else 0.0), names[id(p)]


def test_set_lr_scales_every_group(make_work) -> None:
    state = assemble(make_work("text-classification", "full", {"train.head_lr_factor": 10.0}))
    set_lr(state.optimizer, 0.25)
    assert {round(group["lr"], 9) for group in state.optimizer.param_groups} == {0.25e-3, 2.5e-3}


def test_the_options_name_the_tables() -> None:
    fields = Train.model_fields
    assert get_args(fields["optimizer"].annotation) == tuple(OPTIMIZERS) == tuple(OPTIMIZER_RATES)
    assert get_args(fields["schedule"].annotation) == tuple(SCHEDULES)


def test_lion_by_hand() -> None:
    """Two steps on one weight: c = .9 m + .1 g, w -= lr (sign c + decay w), m = .99 m + .01 g."""
    weight = torch.nn.Parameter(torch.tensor([[2.0]]))
    lion = Lion([{"params": [weight], "lr": 0.1, "weight_decay": 0.5}])
    weight.grad = torch.tensor([[4.0]])
    lion.step()
    assert weight.item() == pytest.approx(2.0 * (1 - 0.05) - 0.1)
    weight.grad = torch.tensor([[-0.2]])  # c = .9 * .04 - .02 > 0: the average wins
    lion.step()
    assert weight.item() == pytest.approx(1.8 * 0.95 - 0.1)
    assert float(lion.state[weight]["momentum"]) == pytest.approx(0.99 * 0.04 - 0.01 * 0.2)


RATES = {"adamw": 1e-3, "adafactor": 1e-2, "lion": 6e-4, "muon": 2e-3, "sgd": 0.04, "adamw-8bit": 1e-3}


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_every_optimizer_lowers_the_loss_of_its_batch(make_work, optimizer: str) -> None:
    pytest.importorskip("bitsandbytes", reason="8-bit needs it") if optimizer == "adamw-8bit" else None
    options = {"train.optimizer": optimizer, "train.lr": RATES[optimizer]}
    work = make_work("text-classification", "full", options, rows=8)
    state, running = assemble(work), job(work, 20)
    state.model.eval()
    losses = []
    for _ in range(20):
        set_lr(state.optimizer, 1.0)
        before = float(state.loss)
        one_step(state, running, [list(range(8))])
        losses.append(float(state.loss) - before)
    assert losses[1] < losses[0] and losses[-1] < 0.95 * losses[0], losses


def test_muon_has_the_matrices_of_the_layers_and_no_others(make_work) -> None:
    state = assemble(make_work("text-classification", "full", {"train.optimizer": "muon"}))
    matrices, others = state.optimizer.parts
    held = {id(p) for group in matrices.param_groups for p in group["params"]}
    names = {name for name, p in state.model.named_parameters() if id(p) in held}
    assert names and all(".encoder.layer." in name for name in names)
    assert isinstance(matrices, torch.optim.Muon) and isinstance(others, torch.optim.AdamW)
    total = sum(len(group["params"]) for part in state.optimizer.parts for group in part.param_groups)
    assert total == len(list(state.model.parameters()))


def test_layers_learn_slower_the_lower_they_lie(make_work) -> None:
    options = {"train.layer_lr_decay": 0.5, "train.head_lr_factor": 10.0}
    state = assemble(make_work("text-classification", "full", options))
    names = {id(p): name for name, p in state.model.named_parameters()}
    peaks = {names[id(p)]: group["peak"] / 1e-3 for group in state.optimizer.param_groups for p in group["params"]}
    expected = {"layer.2.": 1.0, "layer.1.": 0.5, "layer.0.": 0.25, "bert.embeddings.": 0.125, "classifier.": 10.0}
    for part, factor in expected.items():
        found = {round(peak, 9) for name, peak in peaks.items() if part in name}
        assert found == {factor}, part


def test_a_layer_wise_rate_that_changes_nothing_is_refused(make_work) -> None:
    with pytest.raises(ConfigError, match="no effect"):
        assemble(make_work("text-classification", "freeze", {"train.layer_lr_decay": 0.5}))


def test_lora_plus_teaches_b_faster(make_work) -> None:
    state = assemble(make_work("instruction", "lora", {"lora.plus": 16.0}))
    names = {id(p): name for name, p in state.model.named_parameters()}
    peaks = {names[id(p)]: group["peak"] for group in state.optimizer.param_groups for p in group["params"]}
    assert all(peak == pytest.approx(3e-3 * (16 if ".lora_B." in name else 1)) for name, peak in peaks.items())
    assert any(".lora_A." in name for name in peaks)


def test_gradual_unfreezing_follows_the_steps(make_work) -> None:
    """Three layers over half of eight steps: the top one at once, the next from step 2, the last from step 4."""
    options = {"freeze.top_layers": 3, "freeze.gradual": 0.5, "train.validate_every": 100}
    work = make_work("text-classification", "freeze", options, rows=16)
    state = assemble(work)
    layers = {n: state.model.bert.encoder.layer[n] for n in range(3)}
    moved = {n: [] for n in layers}
    before = {n: layer.output.dense.weight.detach().clone() for n, layer in layers.items()}
    for progress in fit(state, job(work, 8)):
        for n, layer in layers.items():
            now = layer.output.dense.weight.detach().clone()
            if not torch.equal(now, before[n]):
                moved[n].append(progress.step)
            before[n] = now
    assert moved == {2: list(range(1, 9)), 1: list(range(3, 9)), 0: list(range(5, 9))}


def test_what_waits_costs_no_gradient(make_work) -> None:
    options = {"freeze.top_layers": 3, "freeze.gradual": 0.5}
    state = assemble(make_work("text-classification", "freeze", options))
    assert thaw(state.optimizer, 0.0) and not thaw(state.optimizer, 0.1) and thaw(state.optimizer, 0.25)
    trains = {name.split(".")[3] for name, p in state.model.named_parameters() if p.requires_grad and ".layer." in name}
    assert trains == {"1", "2"}
