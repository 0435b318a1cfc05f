"""Answers that count more or less: the loss is the mean over tokens by their weights, in both loops."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import chat_rows, write_jsonl

import tuneproof as tp
from tuneproof.errors import CheckError, DataError
from tuneproof.modalities import Example
from tuneproof.predict import open_model
from tuneproof.train.batches import _parts
from tuneproof.train.fit import Work, assemble, job
from tuneproof.train.loop import State, fit, one_step
from tuneproof.train.plain import plain
from tuneproof.train.seen import Seen, agree

WEIGHTS = (0.25, 1, 3, 0.5)


@pytest.fixture
def weighted(make_work):
    """Work on 12 dialogues of two answers, the first of which has one of WEIGHTS and the second 1 or none."""

    def make(method: str = "full", options: dict[str, Any] | None = None) -> Work:
        work = make_work("instruction", method, options, rows=1)
        rows = [
            [
                {"role": "user", "content": f"say {n}"},
                {"role": "assistant", "content": "very " * n + "well", "weight": WEIGHTS[n % 4]},
                {"role": "user", "content": "more"},
                {"role": "assistant", "content": f"{n} it is", **({"weight": 0} if n % 3 == 0 else {})},
            ]
            for n in range(12)
        ]
        return dataclasses.replace(work, train=[work.encoder.example(row) for row in rows])

    return make


def by_hand(model: torch.nn.Module, examples: list[Example]) -> torch.Tensor:
    """From the definition, one row at a time: sum of weight times -log p, divided by the sum of the weights."""
    total, whole = torch.zeros(()), 0.0
    for example in examples:
        logs = model(input_ids=torch.tensor([list(example.ids)])).logits[0].float().log_softmax(-1)
        for at in range(1, len(example)):
            weight = example.weights[at] if example.weights is not None else float(example.loss[at])
            total = total - weight * logs[at - 1, example.ids[at]]
            whole += weight
    return total / whole


@pytest.mark.parametrize("parts", [1, 5])
def test_loss_and_gradient_are_those_of_the_definition(weighted, parts: int) -> None:
    work = weighted(options={"train.clip": 1e9})
    assert any(example.weights is None for example in work.train) and sum(one.weight for one in work.train) != 12
    model = open_model(work.answer, work.schema, work.config, work.base, None).eval()
    expected = by_hand(model, work.train)
    expected.backward()
    wanted = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    state = State(model, torch.optim.SGD(model.parameters(), lr=0.0))
    one_step(state, job(work, 1), _parts(list(range(12)), parts))
    assert float(state.loss) / state.units == pytest.approx(float(expected.detach()), rel=1e-6)
    for name, gradient in wanted.items():
        torch.testing.assert_close(dict(model.named_parameters())[name].grad, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_fast_and_plain_losses_agree(weighted, method: str, precision: str) -> None:
    options = {"model.precision": precision, "train.accumulate": 2, "train.validate_every": 100, "train.batch_size": 5}
    work = weighted(method, options)
    found = [progress.loss for progress in fit(assemble(work), job(work, 6))]
    assert found == pytest.approx(list(plain(work, 6)), rel=1e-5 if precision == "fp32" else 0.02)


def test_equal_weights_are_no_weights(weighted) -> None:
    """What counts is how answers weigh against each other: all of them at .5 learn as all of them at 1."""
    work = weighted()
    halved, whole = (
        dataclasses.replace(work, train=[dataclasses.replace(one, weights=weigh(one)) for one in work.train])
        for weigh in (lambda one: [0.5 * learnt for learnt in one.loss], lambda one: None)
    )
    losses = [[progress.loss for progress in fit(assemble(each), job(each, 4))] for each in (halved, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_loss_of_less_than_one_unit_is_told_as_it_is(weighted) -> None:
    """Weights may add up to less than 1, and the mean is still over their sum."""
    work = weighted()
    tiny = dataclasses.replace(work.train[1], weights=[0.001 * learnt for learnt in work.train[1].loss])
    each = dataclasses.replace(work, train=[tiny])
    (found, *_) = [progress.loss for progress in fit(assemble(each), job(each, 1))]
    model = open_model(work.answer, work.schema, work.config, work.base, None).eval()
    assert found == pytest.approx(float(by_hand(model, [tiny]).detach()), rel=1e-4)


def test_other_weights_than_the_view_shows_end_the_run(weighted) -> None:
    work = weighted()
    example = work.train[2]
    shown = Seen("A row", list(example.ids), list(example.loss), [float(learnt) for learnt in example.loss])
    with pytest.raises(CheckError, match="the weights that reach the loss are not those"):
        agree({0: shown}, [0], work.encoder.collate([example]))
    agree({0: dataclasses.replace(shown, weights=list(example.weights))}, [0], work.encoder.collate([example]))


OPTIONS = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32", "train_epochs": 1}


def with_weights(rows: list[dict[str, Any]], weights: list[Any]) -> list[dict[str, Any]]:
    found = [dict(row, messages=[dict(turn) for turn in row["messages"]]) for row in rows]
    for row, weight in zip(found, weights, strict=False):
        row["messages"][-1]["weight"] = weight
    return found


def test_a_run_obeys_the_weights_and_shows_them(tiny_llama: Path, tmp_path: Path, one_thread: None) -> None:
    file = write_jsonl(tmp_path / "chats.jsonl", with_weights(chat_rows(60), [0.5, 2, 1] * 20))
    options = {**OPTIONS, "evaluate_answers": 1, "evaluate_max_new_tokens": 2, "method_name": "full"}
    run = tp.tune(file, runs=tmp_path / "runs", model_name=str(tiny_llama), **options).run
    shown = [piece for row in run.read_json("data/tokens.json")["view"] for piece in row["pieces"] if piece["loss"]]
    assert {piece["weight"] for piece in shown} & {0.5, 2}
    assert any("another weight than 1" in note for note in run.ledger.notes)
    assert "counts that much in the loss" in run.report.read_text()


@pytest.mark.parametrize("weight", [-1, "half"])
def test_a_weight_that_cannot_be_is_refused_with_its_row(tiny_llama: Path, tmp_path: Path, weight: Any) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in with_weights(chat_rows(30), [weight] * 20)))
    with pytest.raises(DataError, match=r"line 1.*negative or no number") as refused:
        tp.tune(file, runs=tmp_path / "runs", model_name=str(tiny_llama), **OPTIONS)
    assert refused.value.exit_code == 2
