"""Acceptance figures 1 to 3: how often the tests err and what they find, exact over all outcomes where possible."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.proof


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "stats_tables.py"
    spec = importlib.util.spec_from_file_location("stats_tables", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_1_size_of_mid_p_and_coverage(tables: ModuleType) -> None:
    for n in tables.SIZES:
        for q in tables.DISAGREEMENTS:
            for gain in (0.0, 0.01, 0.03):
                at = tables.exact_properties(n, q, gain)
                assert at["coverage"] >= 0.94, (n, q, gain)
                # With four discordant items or fewer to be expected no interval can be as narrow as 98%.
                assert at["coverage"] <= 0.98 or n * q <= 4, (n, q, gain)
            assert tables.exact_properties(n, q)["mid"] <= 0.06, (n, q)


def test_1_size_of_non_inferiority(tables: ModuleType) -> None:
    for n in (30, *tables.SIZES):
        for q in (0.04, 0.05, 0.06, *tables.DISAGREEMENTS):
            for margin in (0.01, 0.02, 0.03, 0.05):
                if margin <= q:
                    at = tables.exact_properties(n, q, -margin, margin)
                    assert at["not_worse"] <= 0.065, (n, q, margin)


def test_2_power_against_the_unpaired_test(tables: ModuleType) -> None:
    found = tables.exact_properties(500, 0.08, 0.03)
    unpaired = tables.unpaired_z(500, 0.08, 0.03)[1]
    assert found["mid"] >= 0.60 and found["better"] >= 0.60
    assert found["better"] >= 2.5 * unpaired


def test_3_gate_errors(tables: ModuleType) -> None:
    for n in tables.SIZES:
        for q in tables.DISAGREEMENTS:
            assert tables.exact_properties(n, q)["better"] <= 0.03, (n, q)
    for q in tables.DISAGREEMENTS:
        assert tables.exact_properties(1000, q, -0.01)["better"] <= 0.01, q


def test_clusters_and_few_of_them(tables: ModuleType) -> None:
    naive, robust, flips = tables.clustered_null(15, 10, draws=1_000)
    assert naive > 0.15  # what happens when documents are taken for independent rows
    assert robust <= 0.07 and flips <= 0.065


def test_corpus_metrics(tables: ModuleType) -> None:
    size, coverage = tables.macro_f1_null(200, 5)
    # 500 draws have a standard error of .01; the percentile interval covers 93% where classes are rare (1,500 draws).
    assert size <= 0.08 and coverage >= 0.90
