"""What a step costs: arithmetic first, one measured step second.

estimate(parameters=22_700_000, trained=22_700_000, tokens=4096, width=384, layers=6)   # bytes
with Peak(device) as peak: step()
peak.bytes, peak.seconds
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from tuneproof.place import finish, forget_peak, peak_on

# Intermediate values kept for the backward pass, per token and layer, in units of the model's width: attention and
# feed-forward inputs and outputs of a standard transformer layer (Korthikanti et al. 2022, arXiv 2205.05198: 34 bytes
# at 2 bytes a value, here 4 bytes at most). Where attention weights are dropped out no fused kernel is used, and of
# each pair of tokens the weight, the mask and what is left of the weight are kept too: the paper's 5 bytes, in fp32.
VALUES_PER_TOKEN = 34
BYTES_PER_PAIR = 4 + 1 + 4


def estimate(
    *, parameters: int, trained: int, tokens: int, width: int, layers: int, vocabulary: int = 0, pairs: int = 0
) -> int:
    """Bytes of one training step: weights, gradients, two AdamW moments (all fp32), activations, logits.

    ``pairs`` are those of two tokens of a row, times the heads of a layer, where attention keeps something of each.
    """
    weights = 4 * parameters
    training = 3 * 4 * trained
    activations = layers * (4 * VALUES_PER_TOKEN * tokens * width + BYTES_PER_PAIR * pairs)
    logits = 3 * 4 * tokens * vocabulary  # logits, their softmax, their gradient
    return weights + training + activations + logits


class Peak:
    """Seconds and the largest memory while the block ran: a GPU's where one is named, else this process's resident.

    0 bytes where the system does not tell.
    """

    def __init__(self, device: Any = None) -> None:
        self.device = device

    def __enter__(self) -> Peak:
        self.bytes = 0
        self.seconds = 0.0
        if self.device is not None:
            forget_peak(self.device)
            finish(self.device)
        try:
            with open("/proc/self/clear_refs", "w", encoding="ascii") as reset:
                reset.write("5")  # forget the peak so far (proc_pid_clear_refs(5))
        except OSError:
            pass  # not Linux: the peak since the process began is reported instead
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.device is not None:
            finish(self.device)
        self.seconds = time.perf_counter() - self._began
        self.bytes = (peak_on(self.device) if self.device is not None else 0) or peak()


def peak() -> int:
    """Largest resident memory of this process, in bytes, since the last Peak began (or since its start)."""
    try:
        with open("/proc/self/status", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except OSError:
        import resource
        import sys

        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return size if sys.platform == "darwin" else size * 1024  # macOS counts bytes, others kilobytes
