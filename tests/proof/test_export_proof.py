"""Ten broken exports of each kind, of tiny models, are refused; benchmarks/broken_exports.py does it to real ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneproof.run import Run

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import broken_exports

pytestmark = [pytest.mark.proof, pytest.mark.usefixtures("one_thread")]


@pytest.mark.parametrize(
    ("task", "method"), [("instruction", "full"), ("instruction", "lora"), ("text-classification", "full")]
)
def test_ten_of_ten_are_refused(finished: Callable[[str, str], Path], task: str, method: str) -> None:
    run = Run.open(finished(task, method))
    for kind in broken_exports.kinds_for(run):
        said = [broken_exports.refused(run, kind, seed) for seed in range(10)]
        print(f"{task}, {method}, {kind}: {sum(map(bool, said))} of 10")
        assert all("is not the model that was scored" in one for one in said), said
