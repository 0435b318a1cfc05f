"""What the machine tells of itself: energy by the processors' counters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tuneproof.device import joules, keep_memory


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
