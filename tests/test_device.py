"""What the machine tells of itself, and what it gets back: energy by the processors' counters, memory."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tuneproof.device import give_back, joules, keep_memory


def zone(root: Path, name: str, said: str, used: str) -> None:
    (root / name).mkdir(parents=True)
    (root / name / "name").write_text(said + "\n")
    (root / name / "energy_uj").write_text(used + "\n")


def test_energy_is_that_of_all_packages_and_of_no_part_of_one(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", "2500000")
    zone(tmp_path, "intel-rapl:1", "package-1", "1500000")
    zone(tmp_path, "intel-rapl:0:0", "core", "900000")
    assert joules(tmp_path) == 4.0


def test_a_machine_that_does_not_tell_has_no_energy(tmp_path: Path) -> None:
    assert joules(tmp_path / "none") is None
    zone(tmp_path, "intel-rapl:0", "package-0", "not a number")
    assert joules(tmp_path) is None


def resident() -> float:
    """MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory and can be asked for it")
def test_freed_memory_between_what_is_in_use_goes_back() -> None:
    arrays = [np.ones(1000) for _ in range(20_000)]  # 150 MiB in pieces of 8 KB
    kept = arrays[::100]
    del arrays
    before = resident()
    give_back()
    assert resident() < before - 75 and len(kept) == 200


PAGES = """
import resource, torch
from tuneproof.device import keep_memory
keep_memory({keep})
def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(10_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
pages(); print(pages())
"""


def test_memory_that_is_freed_is_used_again() -> None:
    """20 times 40 MB, or the 40 MB of the first time."""
    if not keep_memory():
        pytest.skip("this C library has no mallopt")

    def pages(keep: bool) -> int:
        program = [sys.executable, "-c", PAGES.format(keep=keep)]
        return int(subprocess.run(program, capture_output=True, text=True, check=True).stdout)

    assert 4 * pages(True) < pages(False)


HOLES = """
import numpy as np
from tuneproof.device import return_memory
if {back}:
    return_memory()
def resident():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
np.ones(3_000_000)  # 24 MB, freed: from now on glibc takes what is smaller from its heap
large, small = [], []
for _ in range(10):
    large.append(np.ones(1_000_000))
    small.append(np.ones(100_000))
full = resident()
large.clear()
print(full - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc raises the size from which it gives back")
def test_a_server_gives_large_blocks_back_whatever_it_had_before() -> None:
    """Ten times 8 MB, between blocks of .8 MB that stay."""

    def gone(back: bool) -> float:
        program = [sys.executable, "-c", HOLES.format(back=back)]
        return float(subprocess.run(program, capture_output=True, text=True, check=True).stdout)

    assert gone(True) > 70 and gone(False) < 10


SPARED = """
import gc, time, weakref
import torch
from tuneproof.device import spare_imported
def collecting():
    began = time.perf_counter()
    gc.collect()
    return time.perf_counter() - began
class Loaded:
    pass
before = collecting()
spare_imported()
loaded = Loaded()
loaded.itself = loaded
gone = weakref.ref(loaded)
del loaded
after = collecting()
print(gone() is None, before / after)
"""


def test_a_collection_spares_what_was_imported_and_takes_what_came_later() -> None:
    ran = subprocess.run([sys.executable, "-c", SPARED], capture_output=True, text=True, check=True)
    went, faster = ran.stdout.split()
    assert went == "True" and float(faster) > 10
