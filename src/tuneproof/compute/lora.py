"""LoRA's linear layer as one autograd function: peft's layer, its parameters and its files, another forward pass.

    options = LoraConfig(...)
    adapted_at_once(options, model)          # get_peft_model(model, options) then builds these layers

peft computes ``base(x) + B(A(x)) * s`` as seven operations with a cast around each. Here the adapter is added into the
product of the frozen weight, in the precision of that product, and nothing is kept for the backward pass but the input
and the r columns between A and B. What it does not know (dropout in training, DoRA and other variants, biases of an
adapter, merged or several adapters) goes peft's way, layer by layer and call by call.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora.layer import Linear as PeftLinear
from torch import Tensor
from torch.nn import Identity, Linear, Module
from torch.nn.functional import linear

from tuneproof.device import computed_in


def adapted_at_once(options: LoraConfig, model: Module) -> LoraConfig:
    """The same options, under which linear layers of ``model`` compute as said above; quantised ones are peft's."""
    if all(type(module) is Linear for module in model.modules() if isinstance(module, Linear)):
        options._register_custom_module({Linear: AtOnce})
    return options


def as_peft_does(model: Module) -> Module:
    """``model`` with its adapters computed by peft's own forward, whatever could be done at once."""
    for module in model.modules():
        if isinstance(module, AtOnce):
            module.at_once = False
    return model


class AtOnce(PeftLinear):  # type: ignore[misc]
    """peft's ``lora.Linear``; ``forward`` alone differs."""

    at_once: bool = True

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        adapter = None if args or kwargs else self._only_adapter()
        if adapter is None:
            found: Tensor = super().forward(x, *args, **kwargs)
            return found
        base = self.base_layer
        down, up = self.lora_A[adapter].weight, self.lora_B[adapter].weight
        at_once: Tensor = _Adapted.apply(  # type: ignore[no-untyped-call]
            x, base.weight, base.bias, down, up, self.scaling[adapter], computed_in(x)
        )
        return at_once

    def _only_adapter(self) -> str | None:
        """The one plain adapter that is on; None where peft's own forward has to be used."""
        active = [name for name in self.active_adapters if name in self.lora_A]
        if (
            len(active) != 1
            or not self.at_once
            or self.disable_adapters
            or self.merged
            or self.base_layer.weight.requires_grad
        ):
            return None
        name: str = active[0]
        drops = self.training and not isinstance(self.lora_dropout[name], Identity)
        return None if drops or name in self.lora_variant or self.lora_bias[name] else name


class _Adapted(torch.autograd.Function):
    """y = x W^T + b + s (x A^T) B^T, all of it in ``dtype``; gradients of x, A and B."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, s: float, dtype: torch.dtype
    ) -> Tensor:
        flat = x.reshape(-1, x.shape[-1]).to(dtype)  # (N, in)
        w, a, b = weight.to(dtype), down.to(dtype), up.to(dtype)  # (out, in), (r, in), (out, r)
        between = flat @ a.t()  # (N, r)
        out = linear(flat, w, None if bias is None else bias.to(dtype)).addmm_(between, b.t(), alpha=s)  # (N, out)
        ctx.save_for_backward(flat, between, w, a, b)
        ctx.s, ctx.input, ctx.adapter = s, x.dtype, down.dtype
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        flat, between, w, a, b = ctx.saved_tensors
        g = gradient.reshape(-1, gradient.shape[-1])  # (N, out)
        g_between = (g @ b).mul_(ctx.s)  # (N, r)
        g_up = (g.t() @ between).mul_(ctx.s).to(ctx.adapter)  # (out, r)
        g_down = (g_between.t() @ flat).to(ctx.adapter)  # (r, in)
        g_x = None
        if ctx.needs_input_grad[0]:
            g_x = (g @ w).addmm_(g_between, a).to(ctx.input).view(*gradient.shape[:-1], -1)
        return g_x, None, None, g_down, g_up, None, None
