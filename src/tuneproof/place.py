"""Where a model computes: in this process's memory, or on a GPU. The one place that knows how the two differ.

    model.to(place(config.model.device))          # ResourceError for a GPU where there is none
    put(tensor, device_of(model))                 # nobody waits for it

A model is on one device, and says which: whoever calls it brings its tensors there (``Batch.beside``). What Python has
to know is read from what was made here. Reading it back from a GPU would make this process wait until all that the GPU
was told is done; within a step nothing does so, which tests/train/test_elsewhere.py holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneproof.errors import ResourceError

if TYPE_CHECKING:  # the command line starts without torch
    import torch
    from torch import Tensor
    from torch.nn import Module

GPU = "cuda"
# Padded tokens of a batch in prediction. More gains nothing on two cores; a GPU is idle with so few.
BATCH_TOKENS = {"cpu": 4096, GPU: 65_536}


def place(asked: str | None) -> torch.device:
    """The device that a plan names; ResourceError for a GPU where there is none."""
    import torch

    if asked == GPU and not torch.cuda.is_available():
        raise ResourceError(
            "This run computes on a GPU, and torch sees none here.",
            "Go on where there is one, or start a new run here: --set model.device=cpu",
        )
    return torch.device(asked or "cpu")


def reachable(asked: str | None) -> torch.device:
    """The same where a model only reads and writes: a GPU if the plan names one and there is one, else this process."""
    import torch

    return place(asked if torch.cuda.is_available() else None)


def device_of(model: Module) -> torch.device:
    """Where ``model`` computes."""
    return next(model.parameters()).device


def put(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``. On the way to a GPU it lies in memory that the system may not move: nobody waits."""
    if device.type == GPU and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def batch_tokens(model: Module) -> int:
    """Padded tokens of a batch with which ``model`` predicts."""
    return BATCH_TOKENS.get(device_of(model).type, BATCH_TOKENS["cpu"])


def finish(device: torch.device) -> None:
    """Waits until ``device`` has done what it was told: before a clock is read."""
    if device.type == GPU:
        import torch

        torch.cuda.synchronize(device)


def forget_peak(device: torch.device) -> None:
    """The largest memory of a GPU is counted from here on."""
    if device.type == GPU:
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def peak_on(device: torch.device) -> int:
    """Bytes of a GPU that tensors held at most since then; 0 elsewhere."""
    if device.type != GPU:
        return 0
    import torch

    return torch.cuda.max_memory_allocated(device)


def let_go(device: torch.device) -> None:
    """Memory of a GPU that was freed and is kept for the next tensor can be cut anew: after it ran out."""
    if device.type == GPU:
        import torch

        torch.cuda.empty_cache()
