"""The fast loop and the plain one, train/plain.py, have the same losses step by step; so have their parts."""

from __future__ import annotations

import pytest
import torch

from tuneproof.compute import attention_by_length, cast_once, prepared
from tuneproof.compute.attention import attend
from tuneproof.compute.lora import AtOnce, as_peft_does
from tuneproof.device import arithmetic
from tuneproof.train import loop
from tuneproof.train.fit import assemble, job, opened
from tuneproof.train.loop import fit
from tuneproof.train.plain import plain

STEPS = 7  # into the third epoch of 20 rows in batches of 8
FP32, BF16 = 1e-5, 0.02  # relative; bf16 has 8 bits of mantissa, and frozen weights and states are rounded to them
TASKS = ("text-classification", "instruction")


def fast(work, steps: int) -> list[float]:
    return [progress.loss for progress in fit(assemble(work), job(work, steps))]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["full", "freeze", "lora"])
@pytest.mark.parametrize("task", TASKS)
def test_fast_and_plain_losses_agree(make_work, task: str, method: str, precision: str) -> None:
    """Dropout is on where the model has it: both draw the same numbers."""
    options = {"model.precision": precision, "train.accumulate": 2, "train.validate_every": 100}
    work = make_work(task, method, options, rows=20)
    found, expected = fast(work, STEPS), list(plain(work, STEPS))
    assert len(found) == STEPS
    assert found == pytest.approx(expected, rel=FP32 if precision == "fp32" else BF16)
    assert found[0] != found[-1], "something was learnt, so that the update is compared as well"


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}, {"lora_dropout": 0.2}])
def test_the_layer_is_pefts_layer(options: dict[str, object]) -> None:
    """Output and every gradient; what the function does not know goes peft's way."""
    from peft import LoraConfig, get_peft_model

    from tuneproof.compute import adapted_at_once

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(12, 20), torch.nn.GELU(), torch.nn.Linear(20, 6, bias=False))
    config = adapted_at_once(LoraConfig(r=4, lora_alpha=8, target_modules=["0", "2"], **options), net)
    model = get_peft_model(net, config)
    layers = [module for module in model.modules() if isinstance(module, AtOnce)]
    assert len(layers) == 2
    at_once = layers[0]._only_adapter() == "default"
    assert at_once is not (bool(options.keys() & {"use_dora", "lora_dropout"}))
    for layer in layers:
        torch.nn.init.normal_(layer.lora_B["default"].weight)
    x = torch.randn(3, 5, 12, requires_grad=True)
    results = []
    for _ in range(2):
        torch.manual_seed(1)
        out = model(x)
        trained = [p for p in model.parameters() if p.requires_grad]
        results.append([out, *torch.autograd.grad(out.square().sum(), [x, *trained])])
        as_peft_does(model)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("masked", [True, False])
def test_products_are_attention(groups: int, causal: bool, masked: bool) -> None:
    torch.manual_seed(0)
    rows, keys, heads = 2, 10, 6
    q, k, v = (torch.randn(rows, n, keys, 8, requires_grad=True) for n in (heads, heads // groups, heads // groups))
    seen = torch.ones(rows, 1, keys, keys, dtype=torch.bool)
    seen[1, :, :, 7:] = False
    if causal:
        seen = seen.tril()
    module = torch.nn.Module()
    mask = seen if masked else None
    found, _ = attend(module, q, k, v, mask, is_causal=causal and not masked)
    if not masked and not causal:
        seen = torch.ones_like(seen)
    elif not masked:
        seen = torch.ones_like(seen).tril()
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)
    torch.testing.assert_close(found, expected.transpose(1, 2), rtol=1e-5, atol=1e-5)
    one, other = (torch.autograd.grad(o.square().sum(), [q, k, v]) for o in (found, expected))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_a_pass_in_either_precision_leaves_the_weights_as_they_were(make_work, task: str) -> None:
    """bf16 predictions are autocast's to the bit, and those of a model prepared for training can be had in fp32."""
    work = make_work(task, "lora", {"model.precision": "bf16"}, rows=20)
    model = opened(work).model
    batch = work.encoder.collate(work.validation[:4])
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with torch.inference_mode(), arithmetic("bf16"):
        expected = work.answer.logits(model.eval(), batch)
    attention_by_length(model)  # another order of additions, so before the comparison
    with torch.inference_mode(), arithmetic("bf16"):
        by_length = work.answer.logits(model, batch)
    with cast_once(model, "bf16"), torch.inference_mode():
        found = work.answer.logits(model, batch)
    assert torch.equal(found, by_length)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())
    prepared(model, "bf16")
    with cast_once(model, "fp32"), torch.inference_mode():
        torch.testing.assert_close(work.answer.logits(model, batch), expected, rtol=0.05, atol=0.05)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32, torch.bfloat16}


def test_frozen_weights_are_bf16_in_training_and_fp32_in_what_is_opened_for_saving(make_work) -> None:
    work = make_work("text-classification", "freeze", {"model.precision": "bf16"}, rows=20)
    state = assemble(work)
    kinds = {(parameter.requires_grad, parameter.dtype) for parameter in state.model.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    assert {parameter.dtype for parameter in opened(work).model.parameters()} == {torch.float32}


def test_memory_that_lies_unused_goes_back_every_few_steps(make_work, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    state = assemble(work := make_work("text-classification", "full", {"train.log_every": 1}, rows=20))
    really = loop.give_back
    monkeypatch.setattr(loop, "give_back", lambda: (steps.append(state.step), really()))
    for _ in fit(state, job(work, 2 * loop.TIDY + 1)):
        pass
    assert steps == [loop.TIDY, 2 * loop.TIDY]
