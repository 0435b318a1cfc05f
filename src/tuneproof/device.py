"""What this machine has, measured rather than guessed: cores, memory, energy, and whether bf16 arithmetic pays.

machine().cores                 # 2
bf16_gain()                     # 4.9: how many times faster a bf16 matrix product is than an fp32 one
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneproof.place import finish

if TYPE_CHECKING:  # the command line starts without torch
    import torch
    from torch import Tensor

# mallopt(3): from which size a block is mapped apart, how many may be (65,536 by default), and how much of the heap's
# end may lie unused.
M_MMAP_THRESHOLD, M_MMAP_MAX, M_TRIM_THRESHOLD = -3, -4, -1
LARGE = 2**20  # bytes of a block that a server gives back at once
SIZES = {"cpu": 512, "cuda": 4096}  # of the matrices by which arithmetic is measured: a GPU hardly begins with 512
BF16_PAYS = 1.5  # gain of a bf16 product from which whole passes are faster too, casts and all


@dataclass(frozen=True, slots=True)
class Machine:
    cores: int
    memory: int  # bytes in all
    free: int  # bytes that a new process can have now
    gpu: str | None
    gpu_memory: int = 0  # bytes in all
    gpu_free: int = 0

    def describe(self) -> str:
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        gpu = f"{self.gpu} with {self.gpu_memory / 2**30:.0f} GiB" if self.gpu else "no GPU"
        return f"{cores}, {self.memory / 2**30:.0f} GiB of memory, {gpu}"


def machine() -> Machine:
    import torch

    memory, free = _memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not torch.cuda.is_available():
        return Machine(cores, memory, free, None)
    gpu_free, gpu_memory = torch.cuda.mem_get_info()
    return Machine(cores, memory, free, torch.cuda.get_device_name(), gpu_memory, gpu_free)


def _memory() -> tuple[int, int]:
    """Total and available bytes: /proc/meminfo where there is one, within the container's limit."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            values = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        total, free = values["MemTotal"], values["MemAvailable"]
    except OSError:  # macOS and others without /proc: all physical memory, taken as free
        total = free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with (
            open("/sys/fs/cgroup/memory.max", encoding="ascii") as limit,
            open("/sys/fs/cgroup/memory.current", encoding="ascii") as current,
        ):
            ceiling = limit.read().strip()
            if ceiling.isdigit():
                return min(total, int(ceiling)), min(free, int(ceiling) - int(current.read()))
    except OSError:
        pass  # no control groups here
    return total, free


@functools.cache
def bf16_gain(kind: str = "cpu") -> float:
    """Rate of a bf16 matrix product over that of an fp32 one on a kind of device, medians of 9 (some 30 ms in all)."""
    import torch

    seconds, device = {}, torch.device(kind)
    size = SIZES.get(kind, SIZES["cpu"])
    for dtype in (torch.float32, torch.bfloat16):
        left, right = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
        times = []
        for _ in range(12):
            finish(device)
            began = time.perf_counter()
            left @ right
            finish(device)
            times.append(time.perf_counter() - began)
        seconds[dtype] = sorted(times[3:])[4]
    return seconds[torch.float32] / seconds[torch.bfloat16]


def joules(root: Path = Path("/sys/class/powercap")) -> float | None:
    """What the processors have used since some moment, by their own counters (RAPL); None where nobody may read them.

    It counts everything that the machine does, and starts again at zero after some hours of full load.
    """
    total = 0.0
    try:
        packages = [zone for zone in root.glob("intel-rapl:*") if (zone / "name").read_text().startswith("package")]
        for zone in packages:
            total += int((zone / "energy_uj").read_text()) / 1e6
    except (OSError, ValueError):  # many systems let the superuser alone read them
        return None
    return total if packages else None


def give_back() -> None:
    """Memory that was freed and that glibc keeps goes back to the system; elsewhere nothing happens.

    Tensors of ever other sizes leave holes: within ten minutes of load a server grew from 700 to 930 MiB without it.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def return_memory() -> None:
    """Blocks of a MiB and more go back to the system when they are freed (glibc; elsewhere nothing happens).

    glibc itself begins so, and raises that bound with each such block, up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD).
    That is good for a program that asks for the same block again. A server's batches are of ever other sizes and leave
    holes: in 2,000 requests one grew from 690 to 900 MiB, and with the bound fixed from 670 to 690.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)


def spare_imported() -> None:
    """What has been imported until now stays: no collection goes over its half a million objects again.

    Each took half a second in which no other thread moved, and transformers makes two where written answers end: when
    a version was replaced, whoever asked any other model waited for both. Call it before anything is loaded that goes.
    """
    gc.collect()
    gc.freeze()


def settle(threads: int) -> None:
    """Deterministic arithmetic with so many threads; call once, before the first tensor."""
    import torch

    torch.set_num_threads(threads)
    # Not everything can be done in one order on a GPU: what cannot is said, and computed. Its products can, if this is
    # set before the first.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    # Deterministic mode would also write all new memory once before its use.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def keep_memory(keep: bool = True) -> bool:
    """Large blocks that are freed stay with this process and are used again; whether the C library can do that.

    glibc would hand each back and get new pages for the next: 15,000 of them in a step of MiniLM, a tenth of its time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    mallopt(M_MMAP_MAX, 0 if keep else 2**16)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1 if keep else 2**17)
    return True


def out_of_memory(error: Exception) -> bool:
    """Whether that is what torch, or Python, says; Linux lends more than it has, and often ends a process instead."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def computed_in(tensor: Tensor) -> torch.dtype:
    """What a matrix product of ``tensor`` is computed in: autocast's type where that is on, else its own."""
    import torch

    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype


def arithmetic(precision: str, kind: str = "cpu") -> contextlib.AbstractContextManager[Any]:
    """Matrix products on that kind of device in bf16 (autocast), or nothing: weights and optimizer state stay fp32."""
    if precision == "bf16":
        import torch

        return torch.autocast(kind, dtype=torch.bfloat16)
    return contextlib.nullcontext()
