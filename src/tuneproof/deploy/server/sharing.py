"""Weights that several loaded models have in common are kept once.

    saved = share(model, [hosted.predictor.model for hosted in models.all()])      # bytes

Each model stays a tree of modules of its own, with its own adapter, tokenizer and threads: only the memory of tensors
that are equal to the bit is the same, and nothing writes to it. So adapters over one base cost one base, no request can
meet another model's adapter, and an answer is that of the model loaded alone. What is compared are the numbers
themselves, not the name of the base: another revision, another type or weights that training has moved are not shared.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import torch
from torch import Tensor
from torch.nn import Module, Parameter

BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
SAMPLED = 32  # numbers by which tensors that may be equal are found
ALIGNED = 64  # bytes: a product of numbers that begin elsewhere in a cache line may add up in another order


def share(model: Module, others: Iterable[Module]) -> int:
    """Give ``model`` the tensors of ``others`` in place of equal ones of its own; how many bytes it then has not.

    Nothing may train afterwards: a change of one model's weights would be one of the other's.
    """
    known: dict[Hashable, dict[int, Tensor]] = {}
    for other in others:
        for parameter in filter(_plain, other.parameters()):
            known.setdefault(_key(parameter), {})[parameter.data_ptr()] = parameter.data
    saved = 0
    for parameter in filter(_plain, model.parameters()):
        alike = known.get(_key(parameter), {})
        equal = next((tensor for tensor in alike.values() if _equal(tensor, parameter.data)), None)
        if equal is not None and parameter.data_ptr() not in alike:
            saved += parameter.nbytes
            parameter.data = equal
    return saved


def _plain(parameter: Parameter) -> bool:
    """Whether it is numbers in a row and nothing else: weights in 4 bits come with scales of their own."""
    return type(parameter) is Parameter and parameter.is_contiguous() and parameter.element_size() in BITS


def _key(parameter: Parameter) -> Hashable:
    """The same for equal tensors, and seldom the same for others."""
    flat = parameter.data.view(-1)
    sample = flat[:: max(1, len(flat) // SAMPLED)].clone().view(torch.uint8)
    place = parameter.data_ptr() % ALIGNED
    return parameter.shape, parameter.dtype, parameter.device, place, sample.cpu().numpy().tobytes()


def _equal(one: Tensor, other: Tensor) -> bool:
    """To the bit: 0 is not -0."""
    return torch.equal(_bits(one), _bits(other))


def _bits(tensor: Tensor) -> Tensor:
    """As whole numbers of the same size: 64 bits at once would need another alignment, single bytes take longer."""
    return tensor.view(-1).view(BITS[tensor.element_size()])
