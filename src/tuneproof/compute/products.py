"""Weights laid out once for products in fp32 without gradients; torch otherwise lays them out anew for each product.

    with laid_out(model): ...             # a pass over many batches
    lay_out(model, others)                # a server, for as long as it runs; what others have is shared

Milliseconds of one product on one core, torch's own and this one, by the number of tokens (AMD EPYC, AVX512):

    weight           1           8           23          64          512         2,048
    384 x 384                .12  .07     .18  .11    .28  .21    1.7  1.5    8.2  6.5
    1536 x 384    .28  .20   .69  .30    1.02  .51    1.5  1.1    7.3  6.0     33   25
    384 x 1536               .47  .31     .67  .45    1.5  1.1    6.8  5.9     28   23

The sums are those of oneDNN and not of the BLAS that torch asks: logits of MiniLM-L6 differ by 4e-6 at most. A model
whose weights do not stay near the processor gains nothing: SmolLM2-135M writes as fast either way (docs/speed.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Linear, Module
from torch.nn.functional import linear, pad

NARROW = 64  # a side of a weight that is shorter gains nothing
MOST = 384 * 2**20  # bytes of weights that are kept twice at most; a BERT of twelve layers has 324 MiB


@dataclass(frozen=True, slots=True)
class Laid:
    """A weight as oneDNN wants it, and which weight that was."""

    weight: Tensor
    own: Tensor
    version: int

    @classmethod
    def of(cls, weight: Tensor, found: Tensor | None) -> Laid:
        if found is None:
            found = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)
        return cls(found, weight, weight._version)

    def serves(self, weight: Tensor, input: Tensor) -> bool:
        """Whether ``weight`` is still the one that was laid out, and this a product in fp32 without a gradient."""
        other = weight is not self.own or weight._version != self.version or torch.is_autocast_enabled("cpu")
        return not other and not torch.is_grad_enabled() and input.dtype == torch.float32


class LaidOut(Linear):
    """A linear layer with its weight laid out beside the plain one; without ``laid`` it is an ordinary one."""

    laid: Laid | None = None

    def forward(self, input: Tensor) -> Tensor:
        laid = self.laid
        if laid is None or not laid.serves(self.weight, input):
            return linear(input, self.weight, self.bias)
        tokens = input.reshape(-1, input.shape[-1])
        count = len(tokens)
        tokens = pad(tokens, (0, 0, 0, on_grid(count) - count))
        found: Tensor = torch.ops.mkldnn._linear_pointwise(tokens, laid.weight, self.bias, "none", [], "")
        return found[:count].view(*input.shape[:-1], -1)


def on_grid(count: int) -> int:
    """The next of eight numbers of tokens to a doubling, at least 16: oneDNN keeps a program for each that it has met.

    Programs of 1,500 numbers of tokens took .76 GiB; these take some 40 MiB.
    """
    step = max(2, 1 << max(0, (count - 1).bit_length() - 4))
    return max(16, -(-count // step) * step)


def can_lay_out() -> bool:
    """Whether this torch has oneDNN's products of weights that were laid out."""
    known: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return known and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@contextmanager
def laid_out(model: Module) -> Iterator[None]:
    """Within it linear layers of ``model`` compute as said above. The weights must not change meanwhile."""
    changed = lay_out(model)
    try:
        yield
    finally:
        for layer in changed:
            layer.laid = None
            layer.__class__ = Linear  # type: ignore[assignment]


def lay_out(model: Module, others: Iterable[Module] = ()) -> list[LaidOut]:
    """From now on; the layers that changed, none where the model is larger than MOST. Its weights must not change.

    A weight that is the same memory in one of ``others`` is laid out once for both.
    """
    layers = [module for module in model.modules() if type(module) is Linear and _wide(module)]
    if not can_lay_out() or sum(layer.weight.nbytes for layer in layers) > MOST:
        return []
    known = {
        layer.weight.data_ptr(): layer.laid.weight
        for other in others
        for layer in other.modules()
        if isinstance(layer, LaidOut) and layer.laid is not None
    }
    changed = []
    for layer in layers:
        laid = Laid.of(layer.weight, known.get(layer.weight.data_ptr()))
        layer.__class__ = LaidOut
        assert isinstance(layer, LaidOut)
        layer.laid = laid
        changed.append(layer)
    return changed


def _wide(layer: Linear) -> bool:
    """Whether its weight is one of fp32 on a CPU whose sides are long enough."""
    weight = layer.weight
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and min(weight.shape) >= NARROW
