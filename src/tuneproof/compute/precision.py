"""Which numbers a model computes with: autocast decides for products, and no weight is cast twice.

    prepared(model, "bf16")                           # once, before training
    with cast_once(model, "bf16"), torch.inference_mode(): ...

What trains stays fp32, with its gradient and the optimizer's state. Autocast alone would cast every frozen weight for
every batch: on SmolLM2-135M that is half a gigabyte read and a quarter written each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.nn import Linear, Module, Parameter

from tuneproof.compute.attention import attention_by_length
from tuneproof.device import arithmetic
from tuneproof.place import device_of


def prepared(model: Module, precision: str) -> Module:
    """The model, ready to train: its frozen weights in ``precision``, its attention chosen by length.

    The frozen weights are then no longer those of the pretrained folder: what is saved in full is opened anew for it.
    """
    attention_by_length(model)
    if precision == "bf16":
        for module in model.modules():
            own = list(module.parameters(recurse=False))
            if any(parameter.requires_grad for parameter in own):
                continue  # a layer norm whose bias alone trains cannot compute with two types
            for parameter in own:
                if parameter.is_floating_point():
                    parameter.data = parameter.data.to(torch.bfloat16)
    return model


@contextmanager
def cast_once(model: Module, precision: str) -> Iterator[None]:
    """Within it ``model`` computes in ``precision``; matrices of its linear layers are cast at the beginning.

    To the bit what autocast alone would compute. The weights are put back as they were at the end.
    """
    attention_by_length(model)
    put_back = _to_bf16(model) if precision == "bf16" else _to_fp32(model)
    try:
        with arithmetic(precision, device_of(model).type):
            yield
    finally:
        put_back()


def _to_bf16(model: Module) -> Callable[[], None]:
    """Matrices of linear layers, each for its own layer: an embedding that shares one stays as it is."""
    kept = []
    for module in model.modules():
        if isinstance(module, Linear) and module.weight.dtype == torch.float32:
            kept.append((module, module._parameters["weight"]))
            module.weight = Parameter(module.weight.detach().to(torch.bfloat16), requires_grad=False)

    def put_back() -> None:
        for module, weight in kept:
            module._parameters["weight"] = weight

    return put_back


def _to_fp32(model: Module) -> Callable[[], None]:
    """What ``prepared`` has rounded to bf16, if anything: a pass in fp32 needs one type throughout."""
    kept = [(parameter, parameter.data) for parameter in model.parameters() if parameter.dtype == torch.bfloat16]
    for parameter, data in kept:
        parameter.data = data.float()

    def put_back() -> None:
        for parameter, data in kept:
            parameter.data = data

    return put_back
