"""Acceptance figure 9: near copies in banking77, MinHash beside all pairs, seconds and memory of 100,000 rows."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tuneproof.prepare.check import CHECKS

pytestmark = pytest.mark.proof

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "near_duplicates.py"
BANKING = ROOT.parent / "shared" / "data" / "banking77"


@pytest.fixture(scope="module")
def near() -> ModuleType:
    spec = importlib.util.spec_from_file_location("near_duplicates", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def banking(near: ModuleType) -> tuple[list[str], list[str]]:
    if not BANKING.is_dir():
        pytest.skip(f"the shared data sets are not at {BANKING.parent}")
    train, test = near.banking(BANKING)
    return train, test


def test_9_all_133_test_rows_of_banking77(near: ModuleType, banking: tuple[list[str], list[str]]) -> None:
    """Those figures are counted in lower case on a to z, digits and blanks; every pair of theirs must be broken."""
    train, test = banking
    scores = near.brute(train, test, near.letters)
    assert [int((scores.max(axis=0) >= least).sum()) for least in (0.8, 0.7)] == [133, 364]
    leave = _leakage(near, train, test)
    rows, columns = np.nonzero(scores >= 0.8)
    left = {column for row, column in zip(rows.tolist(), columns.tolist(), strict=True) if row not in leave}
    assert left == set()


def test_9_the_exact_index_is_brute_force(near: ModuleType, banking: tuple[list[str], list[str]]) -> None:
    train, test = banking
    scores = near.brute(train, test, near.ours)
    for least in (0.8, 0.7):
        found = np.zeros_like(scores)
        everything = near.divided({"train": train, "validation": [], "test": test}).compared
        for pairs in everything.pairs("train", "test", least):
            found[pairs.left, pairs.right] = pairs.score
        assert np.array_equal(found > 0, scores >= least)
        assert np.allclose(found[found > 0], scores[found > 0], atol=1e-12)
    assert _leakage(near, train, test) == set(np.flatnonzero(scores.max(axis=1) >= 0.8).tolist())


def test_9_recall_of_minhash_and_no_false_pair(near: ModuleType) -> None:
    found = near.recall(100_000)
    assert found["pairs"]["0.85"] >= 1000 and found["recall"]["0.85"] >= 0.97
    assert found["false"] == 0


def test_9_seconds_and_memory_of_100_000_rows() -> None:
    ran = subprocess.run([sys.executable, str(SCRIPT), "--large"], check=True, capture_output=True, text=True)
    cost = json.loads(ran.stdout)
    assert cost["rows"] == 100_000 and all(cost["found"].values())
    assert sum(cost["seconds"].values()) <= 120
    assert cost["mib"] <= 1024


def _leakage(near: ModuleType, train: list[str], test: list[str]) -> set[int]:
    checked = CHECKS["leakage"].look(near.divided({"train": train, "validation": [], "test": test}))
    return set(checked.leave["train"])
