"""One suite for every row of ENGINES."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tuneproof.engines import ENGINES
from tuneproof.records import Job, Progress


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest):
    return ENGINES[request.param]


def counting(steps: int, ended: list[str] | None = None, name: str = "") -> Generator[Progress, None, None]:
    try:
        for step in range(1, steps + 1):
            yield Progress("train", step, steps)
    finally:
        if ended is not None:
            ended.append(name)


def test_run_yields_every_report_in_order(engine) -> None:
    assert [p.step for p in engine.run(Job("one", lambda: counting(5)))] == [1, 2, 3, 4, 5]


def test_an_abandoned_job_is_closed(engine) -> None:
    """Whoever stops reading ends the work: files close, and no thread trains on for nobody."""
    ended: list[str] = []
    progress = engine.run(Job("one", lambda: counting(1000, ended, "one")))
    assert next(progress).step == 1
    progress.close()
    assert ended == ["one"]


def test_a_failing_job_raises_where_it_is_read(engine) -> None:
    def work() -> Generator[Progress, None, None]:
        yield Progress("train", 1, 2)
        raise ValueError("no number any more")

    progress = engine.run(Job("one", work))
    next(progress)
    with pytest.raises(ValueError, match="no number"):
        next(progress)


def test_map_names_the_job_and_keeps_each_jobs_order(engine) -> None:
    jobs = [Job(str(n), lambda n=n: counting(n)) for n in (3, 1, 2)]
    steps: dict[str, list[int]] = {job.name: [] for job in jobs}
    for job, progress in engine.map(jobs):
        steps[job.name].append(progress.step)
    assert steps == {"3": [1, 2, 3], "1": [1], "2": [1, 2]}


def test_map_of_nothing_is_nothing(engine) -> None:
    assert list(engine.map([])) == []


def test_map_abandoned_closes_what_runs_and_starts_nothing_more(engine) -> None:
    ended: list[str] = []
    jobs = (Job(name, lambda name=name: counting(1000, ended, name)) for name in "ab")
    reports = engine.map(jobs)
    next(reports)
    reports.close()
    assert ended == ["a"]
