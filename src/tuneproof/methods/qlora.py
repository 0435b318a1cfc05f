"""QLoRA (Dettmers et al. 2023, arXiv 2305.14314): LoRA over linear layers kept in 4 bits (NF4, doubly quantised).

    model = QLora(config).apply(model)

Where bitsandbytes runs, which is on NVIDIA GPUs and, slowly, on x86 processors. The model is opened in fp32 and its
layers are quantised one after the other, so loading needs the whole model once; training then does not. The saved
adapter belongs over the base in 4 bits: over the base in fp32 its answers differ a little. Layers that transformers
keeps in fp32 stay whole: T5 turns the input of its ``wo`` into the type of its weights, and in 4 bits those are bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import torch
from torch.nn import Module
from transformers import PreTrainedModel

from tuneproof.errors import ResourceError
from tuneproof.methods.lora import Lora, open_adapter
from tuneproof.methods.parts import Parts
from tuneproof.optional import need


class QLora(Lora):
    merges: ClassVar[bool] = False
    good_for: ClassVar[str] = "models that do not fit otherwise: weights in 4 bits; slower steps"

    def apply(self, model: Module) -> Module:
        return super().apply(quantised(model))

    def load(self, open_model: Callable[[Path], Module], base: Path, path: Path) -> Module:
        return open_adapter(quantised(open_model(base)), path)


def quantised(model: Module) -> Module:
    """The same model, its stack's linear layers in 4 bits. DependencyError or ResourceError where that cannot be."""
    library = need("bitsandbytes", "qlora")
    kept = set(model._keep_in_fp32_modules or ()) if isinstance(model, PreTrainedModel) else set()
    try:
        for name, linear in Parts.of(model).linears.items():
            if kept & set(name.split(".")):
                continue
            layer = library.nn.Linear4bit(
                linear.in_features,
                linear.out_features,
                bias=linear.bias is not None,
                compute_dtype=torch.float32,
                quant_type="nf4",
            )
            layer.weight = library.nn.Params4bit(linear.weight.detach(), requires_grad=False, quant_type="nf4")
            layer.bias = linear.bias
            # Else the first pass without gradients packs the scales into bf16 for good, and resume would differ.
            layer.support_avx512bf16_for_cpu = False
            model.set_submodule(name, layer.to(linear.weight.device))  # it quantises when it is placed
    except (RuntimeError, NotImplementedError) as error:
        first = str(error).split("\n")[0]
        raise ResourceError(
            f"bitsandbytes cannot keep weights in 4 bits here: {first}", "Try --method lora."
        ) from error
    return model.requires_grad_(False)
