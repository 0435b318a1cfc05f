"""Where a job runs. ENGINES is the one table; today its only row is this process.

    for progress in ENGINES["local"].run(Job("train", work)): show(progress)

Adding an engine (local processes, a Ray cluster) is one file and one row here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from tuneproof.engines.local import Local
from tuneproof.records import Job, Progress


class Engine(Protocol):
    def run(self, job: Job) -> Iterator[Progress]:
        """One job's reports; whoever abandons the iterator ends the job."""
        ...

    def map(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Progress]]:
        """Several jobs, their reports in the order in which they come."""
        ...


ENGINES: dict[str, Engine] = {"local": Local()}
