"""What the machine tells of itself: energy by the processors' counters."""

from __future__ import annotations

from pathlib import Path

from tuneproof.device import joules


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
