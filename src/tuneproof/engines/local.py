"""This process: jobs are iterated here, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing

from tuneproof.records import Job, Progress


class Local:
    def run(self, job: Job) -> Iterator[Progress]:
        with closing(job.work()) as progress:
            yield from progress

    def map(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Progress]]:
        for job in jobs:
            for progress in self.run(job):
                yield job, progress
