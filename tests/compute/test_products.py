"""Weights that were laid out compute what plain ones do, and only while they are the weights of the layer."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Linear, Parameter, Sequential
from torch.nn.functional import linear

from tuneproof.compute import products
from tuneproof.compute.products import LaidOut, can_lay_out, laid_out, lay_out, on_grid

pytestmark = pytest.mark.skipif(not can_lay_out(), reason="this torch has no oneDNN products of laid out weights")


def layers(bias: bool = True) -> Sequential:
    torch.manual_seed(0)
    return Sequential(Linear(96, 160, bias=bias), Linear(160, 64, bias=bias), Linear(64, 2))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 23), (2, 5, 400)])
def test_products_are_those_of_torch(shape: tuple[int, ...], bias: bool) -> None:
    model, rows = layers(bias), torch.randn(*shape, 96)
    with torch.inference_mode():
        plain = model(rows)
        with laid_out(model):
            assert [type(layer) for layer in model] == [LaidOut, LaidOut, Linear]  # the last is too narrow
            found = model(rows)
    assert found.shape == plain.shape
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-5)


def test_numbers_of_tokens_are_few() -> None:
    """At most an eighth of what is computed is padding, and 4,096 tokens are some sixty numbers."""
    found = [on_grid(count) for count in range(1, 4097)]
    assert all(count <= each <= max(16, count * 9 / 8) for count, each in enumerate(found, start=1))
    assert len(set(found)) == 65 and found == sorted(found)


def test_nothing_is_left_behind() -> None:
    model = layers()
    names = list(model.state_dict())
    with laid_out(model):
        assert list(model.state_dict()) == names
        with laid_out(model):  # what lies so already stays so
            pass
        assert isinstance(model[0], LaidOut)
    assert all(type(layer) is Linear for layer in model) and list(model.state_dict()) == names


def test_gradients_other_weights_and_other_arithmetic_are_plain() -> None:
    """To the bit torch's own product: with a gradient, of a weight that moved or was replaced, in bf16."""
    model, rows = layers(), torch.randn(5, 96)
    first = model[0]
    with laid_out(model):
        first(rows).sum().backward()
        assert first.weight.grad is not None
        with torch.no_grad():
            first.weight.mul_(2.0)
            assert torch.equal(first(rows), linear(rows, first.weight, first.bias))
            first.weight = Parameter(first.weight * 3)
            assert torch.equal(first(rows), linear(rows, first.weight, first.bias))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                assert first(rows).dtype == torch.bfloat16


def test_a_weight_that_two_models_share_is_laid_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = layers(), layers()
    other[0].weight.data = one[0].weight.data
    lay_out(one)
    lay_out(other, [one])
    assert other[0].laid.weight is one[0].laid.weight and other[1].laid.weight is not one[1].laid.weight
    monkeypatch.setattr(products, "MOST", 1000)
    assert lay_out(layers()) == []
