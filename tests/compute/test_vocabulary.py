"""The loss over a vocabulary, stretch by stretch, is torch's cross entropy of all logits, and so are its gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import Linear
from torch.nn.functional import cross_entropy

from tuneproof.compute import vocabulary
from tuneproof.compute.vocabulary import loss_and_hit, summed_loss


@pytest.fixture(params=[2**24, 200, 1], ids=["at once", "in stretches", "one by one"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "LOGITS", request.param)


def made(tokens: int, words: int, width: int, bias: bool = False) -> tuple[torch.Tensor, Linear, torch.Tensor]:
    torch.manual_seed(tokens * words)
    head = Linear(width, words, bias=bias)
    return torch.randn(tokens, width, requires_grad=True), head, torch.randint(words, (tokens,))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("trains", [True, False])
def test_loss_and_gradients(few: None, trains: bool, bias: bool) -> None:
    states, head, targets = made(23, 61, 8, bias)
    head.requires_grad_(trains)
    wanted = [states, *(parameter for parameter in head.parameters() if trains)]
    expected = cross_entropy(head(states), targets, reduction="sum")
    found = summed_loss(states, head, targets)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    for one, other in zip(
        torch.autograd.grad(found / 7, wanted), torch.autograd.grad(expected / 7, wanted), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("trains", [True, False])
def test_each_token_counts_as_much_as_its_weight(few: None, trains: bool, bias: bool) -> None:
    states, head, targets = made(23, 61, 8, bias)
    head.requires_grad_(trains)
    weights = torch.rand(23) * 3 * (torch.arange(23) % 4 > 0)  # some of them 0
    wanted = [states, *(parameter for parameter in head.parameters() if trains)]
    expected = (cross_entropy(head(states), targets, reduction="none") * weights).sum()
    found = summed_loss(states, head, targets, weights)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    for one, other in zip(
        torch.autograd.grad(found / 7, wanted), torch.autograd.grad(expected / 7, wanted), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@given(st.integers(0, 40), st.integers(2, 90))
def test_any_number_of_tokens(tokens: int, words: int) -> None:
    states, head, targets = made(tokens, words, 5)
    expected = cross_entropy(head(states), targets, reduction="sum")
    torch.testing.assert_close(summed_loss(states, head, targets), expected, rtol=1e-6, atol=1e-6)


def test_in_bf16_as_autocast_would(few: None) -> None:
    """The same products in bf16; what is added up over stretches is fp32."""
    states, head, targets = made(40, 70, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = cross_entropy(head(states).float(), targets, reduction="sum")
        found = summed_loss(states, head, targets)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    one, other = (torch.autograd.grad(loss, [states, head.weight]) for loss in (found, expected))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0.02, atol=0.02)


def test_scores(few: None) -> None:
    states, head, targets = made(23, 61, 8)
    with torch.no_grad():
        logits = head(states)
        nll, hit = loss_and_hit(states, head, targets)
    torch.testing.assert_close(nll, cross_entropy(logits, targets, reduction="none"), rtol=1e-6, atol=1e-6)
    assert hit.tolist() == (logits.argmax(-1) == targets).float().tolist()


def test_logits_of_all_tokens_never_exist_at_once() -> None:
    """600 tokens of 50,000 words: 120 MB of logits in fp32, three times over where torch computes the loss."""
    from tuneproof.memory import Peak

    states, head, targets = made(600, 50_000, 16)
    head.requires_grad_(False)

    def peak(loss) -> int:
        with Peak() as high:
            loss().backward()
        return high.bytes

    ours = peak(lambda: summed_loss(states, head, targets))
    torch_s = peak(lambda: cross_entropy(head(states).float(), targets, reduction="sum"))
    assert torch_s - ours > 600 * 50_000 * 4, "one copy of the logits at the least"
