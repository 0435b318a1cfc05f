"""Ten broken exports of each kind, of tiny models, are refused; benchmarks/broken_exports.py does it to real ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tuneproof.run import Run

pytestmark = [pytest.mark.proof, pytest.mark.usefixtures("one_thread")]
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "broken_exports.py"


@pytest.fixture(scope="module")
def broken() -> ModuleType:
    spec = importlib.util.spec_from_file_location("broken_exports", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("task", "method"), [("instruction", "full"), ("instruction", "lora"), ("text-classification", "full")]
)
def test_ten_of_ten_are_refused(
    broken: ModuleType, finished: Callable[[str, str], Path], task: str, method: str
) -> None:
    run = Run.open(finished(task, method))
    for kind in broken.kinds_for(run):
        said = [broken.refused(run, kind, seed) for seed in range(10)]
        print(f"{task}, {method}, {kind}: {sum(map(bool, said))} of 10")
        assert all("is not the model that was scored" in one for one in said), said
