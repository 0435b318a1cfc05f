"""k micro-batches give the gradient of one batch: the mean is over all rows or answer tokens of the step.

Averaging per micro-batch instead, as many trainers did until late 2024, weighs a token by the company it is in.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tuneproof.modalities import IGNORED
from tuneproof.predict import open_model
from tuneproof.tasks import TASKS
from tuneproof.train.batches import _parts
from tuneproof.train.loop import Job, State, one_step

OF_THE_BATCH = {"embeddings"}
HUGE = 1e9  # a norm that no gradient here reaches, so that clipping changes nothing


@pytest.fixture(params=list(TASKS))
def work(request: pytest.FixtureRequest, make_work):
    if request.param in OF_THE_BATCH:
        pytest.skip("a row's loss is against the rows of its micro-batch: docs/tasks.md says so")
    work = make_work(request.param, "full", {"train.clip": HUGE}, rows=14)
    lengths, units = {len(e) for e in work.train}, {e.units for e in work.train}
    assert len(lengths) > 3, "rows of unequal length, or the test would show nothing"
    assert request.param != "instruction" or len(units) > 1
    return work


def gradient(work, micros: list[list[int]]) -> dict[str, Tensor]:
    """Of one step through the loop's own function, at a learning rate of 0."""
    model = open_model(work.answer, work.schema, work.config, work.base, None).eval()
    state = State(model, torch.optim.SGD(model.parameters(), lr=0.0))
    one_step(state, Job(work.answer, work.encoder, work.train, work.config.train, 1, "fp32", lambda _: None), micros)
    return {name: p.grad.double() for name, p in model.named_parameters() if p.grad is not None}


def relative(left: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    """|left - right| / |right| over all weights together."""
    assert left.keys() == right.keys()
    gap = sum(float((left[name] - right[name]).square().sum()) for name in left) ** 0.5
    return gap / sum(float(grad.square().sum()) for grad in right.values()) ** 0.5


@pytest.mark.parametrize("parts", [1, 2, 4, 7])
def test_micro_batches_give_the_gradient_of_one_batch(work, parts: int, record_property) -> None:
    rows = list(range(14))
    whole = gradient(work, [rows])
    found = relative(gradient(work, _parts(rows, parts)), whole)
    record_property("relative gradient difference", found)
    print(f"{work.answer.unit}, {parts} micro-batches: {found:.2e}")
    assert found <= 1e-5


def test_it_is_the_mean_over_units_and_nothing_else(work) -> None:
    """Against a loss written down here from the definition, one row at a time."""
    if any(example.parts for example in work.train):
        pytest.skip("one softmax over all windows of a row is written down in tests/tasks/test_questions.py")
    model = open_model(work.answer, work.schema, work.config, work.base, None).eval()
    total = 0.0
    for example in work.train:
        asked = {} if example.target is None else {"labels": torch.tensor([list(example.target)])}
        logits = model(input_ids=torch.tensor([list(example.ids)]), **asked).logits[0].float()
        logs = logits.log_softmax(-1)
        if example.target is not None:
            total = total - sum(logs[i, id] for i, id in enumerate(example.target))
        elif example.tags is not None:
            total = total - sum(logs[i, tag] for i, tag in enumerate(example.tags) if tag != IGNORED)
        elif example.values is not None and work.schema.scale is not None:
            mean, deviation = work.schema.scale
            total = total + ((example.values[0] - mean) / deviation - logits[0]) ** 2
        elif example.values is not None:
            likely = logits.sigmoid()
            total = total - sum((p if there else 1 - p).log() for p, there in zip(likely, example.values, strict=True))
        elif example.loss is None:
            total = total - logs[example.label]
        else:
            total = total - sum(logs[i - 1, example.ids[i]] for i in range(1, len(example)) if example.loss[i])
    (total / sum(example.units for example in work.train)).backward()
    expected = {name: p.grad.double() for name, p in model.named_parameters() if p.grad is not None}
    found = gradient(work, _parts(list(range(14)), 4))
    assert relative(found, {name: expected[name] for name in found}) <= 1e-5


def test_the_reported_loss_is_the_same_mean(work) -> None:
    model = open_model(work.answer, work.schema, work.config, work.base, None).eval()
    job = Job(work.answer, work.encoder, work.train, work.config.train, 1, "fp32", lambda _: None)
    losses = []
    for micros in ([list(range(14))], _parts(list(range(14)), 7)):
        state = State(model, torch.optim.SGD(model.parameters(), lr=0.0))
        one_step(state, job, micros)
        assert state.units == sum(example.units for example in work.train)
        assert state.tokens == sum(len(example) for example in work.train)
        losses.append(float(state.loss) / state.units)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
