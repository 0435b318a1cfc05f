"""Every cell of TASKS x METHODS: all of tests/cells.py, and sixteen rows by heart.

benchmarks/cells.py runs this and writes docs/cells.md from it. A cell that is refused, or that this machine cannot run,
is skipped with the reason that the table prints.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import BY_HEART, examine, fall, memorised, merges, options

from tuneproof.errors import ConfigError
from tuneproof.methods import METHODS, refusal
from tuneproof.tasks import TASKS

pytestmark = pytest.mark.proof


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("task", list(TASKS))
def test_cell(make_work, bases, tmp_path: Path, record_property, task: str, method: str) -> None:
    if reason := refusal(method, TASKS[task].answer.auto):
        pytest.skip(reason)
    if task not in bases:
        pytest.skip("tests/tiny.py has no model for this task yet")
    if method == "qlora":
        pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed here")
    try:
        work = make_work(task, method, options(task, method), rows=16)
        record_property("lr", work.config.train.lr)
        cell = examine(work, method, tmp_path)
    except ConfigError as error:
        pytest.skip(error.message)
    record_property("trained", cell.trained)
    record_property("share", cell.share)
    if METHODS[method].wrapped and METHODS[method].merges:
        merges(cell)
    share = fall(work, method, task)
    work = make_work(task, method, {**options(task, method), "train.validate_every": 10_000}, rows=16)
    steps, first, loss = memorised(work, share)
    record_property("steps", steps)
    record_property("first", first)
    record_property("loss", loss)
    assert loss < BY_HEART or loss < (1 - share) * first, f"not learnt: {loss} after {steps} steps"
