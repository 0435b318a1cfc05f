"""Losses over a vocabulary, some tokens at a time: logits of all tokens never exist at once.

    summed_loss(states, head, targets)             # scalar, fp32: torch's cross entropy of head(states), summed
    summed_loss(states, head, targets, weights)    # the same, each token times its weight, (N,)
    nll, hit = loss_and_hit(states, head, targets) # (N,) each, for scoring

Logits are fp32 and there are 49,152 of them for each token of SmolLM2: with their softmax and their gradient a step of
8 rows of 250 answer tokens would hold 1.2 GB. Here a stretch of tokens is carried through to the gradient of its states
before the next begins, so the backward pass has nothing to compute again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, Module
from torch.nn.functional import cross_entropy

from tuneproof.device import computed_in

LOGITS = 2**24  # that exist at once: 64 MiB


def summed_loss(states: Tensor, head: Module, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum of the loss of N tokens, from states (N, width), the right ids (N,) and how much each counts (N,)."""
    if type(head) is not Linear or head.bias is not None or states.numel() == 0:
        if weights is None:
            return cross_entropy(head(states).float(), targets, reduction="sum")
        return (cross_entropy(head(states).float(), targets, reduction="none") * weights).sum()
    found: Tensor = _Summed.apply(  # type: ignore[no-untyped-call]
        states, head.weight, targets, weights, computed_in(states)
    )
    return found


def loss_and_hit(states: Tensor, head: Module, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of each token, and 1 where it is the likeliest; no gradient."""
    words = head.out_features if isinstance(head, Linear) else states.shape[-1]
    losses, hits = [], []
    for part in _stretches(len(states), words):
        logits = head(states[part]).float()
        losses.append(cross_entropy(logits, targets[part], reduction="none"))
        hits.append((logits.argmax(-1) == targets[part]).float())
    return torch.cat(losses), torch.cat(hits)


def _stretches(tokens: int, words: int) -> Iterator[slice]:
    size = max(1, LOGITS // words)
    yield from (slice(start, start + size) for start in range(0, max(1, tokens), size))


class _Summed(torch.autograd.Function):
    """Products in ``dtype``, the rest in fp32. Gradients are made on the way and scaled in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, weights: Tensor | None, dtype: torch.dtype
    ) -> Tensor:
        s, w = states.to(dtype), weight.to(dtype)  # (N, width), (words, width)
        wanted, trains = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        g_states = torch.empty_like(states) if wanted else None
        g_weight = torch.zeros_like(weight) if trains else None
        total = torch.zeros((), dtype=torch.float32, device=s.device)
        for part in _stretches(len(s), len(w)):
            right = targets[part, None]
            counts = None if weights is None else weights[part, None]
            logits = (s[part] @ w.t()).float()  # (n, words)
            norm = logits.logsumexp(-1, keepdim=True)
            nll = norm - logits.gather(-1, right)
            total += (nll if counts is None else nll * counts).sum()
            if not wanted and not trains:
                continue
            likely = logits.sub_(norm).exp_()
            gradient = likely.scatter_add_(-1, right, torch.full_like(norm, -1.0))
            gradient = (gradient if counts is None else gradient.mul_(counts)).to(dtype)
            if g_states is not None:
                g_states[part] = gradient @ w
            if g_weight is not None:
                g_weight += gradient.t() @ s[part]
        ctx.save_for_backward(g_states, g_weight)
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        g_states, g_weight = ctx.saved_tensors
        scaled = (
            None if gradient is None else gradient * scale.to(gradient.dtype) for gradient in (g_states, g_weight)
        )
        return *scaled, None, None, None
