"""Which scored rows a model was trained on: the question is the same but for case, white space and compatibility forms.

    known = Leaks()
    known.of(run, keys)                    # of the questions ``keys`` those in the run's training rows
    question_key(row)                      # what predictions.jsonl keeps of a question

Nearly the same questions are found where rows are prepared; this is what can be told from the books of a run alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tuneproof.records import Row, Table
from tuneproof.run import Run
from tuneproof.tasks import columns, rows


def question_key(row: Row) -> str:
    """sha256 of what a canonical row asks, folded."""
    return hashlib.sha256(columns.fold(rows.question(row)).encode("utf-8", "surrogatepass")).hexdigest()


def repeated(test: Table, *trained: Table) -> list[int]:
    """Numbers of the rows of ``test`` whose question also stands in one of ``trained``."""
    known = {question_key(row) for table in trained for row in table.rows()}
    return [index for index, row in enumerate(test.rows()) if question_key(row) in known]


class Leaks:
    """The training questions of runs, each read once."""

    def __init__(self) -> None:
        self._trained: dict[Path, set[str]] = {}

    def of(self, run: Run, keys: Iterable[str]) -> list[str]:
        if run.path not in self._trained:
            self._trained[run.path] = {question_key(row) for row in run.splits.train.rows()}
        return [key for key in keys if key in self._trained[run.path]]
