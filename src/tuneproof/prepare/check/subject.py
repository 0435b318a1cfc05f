"""What a check is handed, and what it hands back.

    def near_duplicates(subject: Subject) -> Checked: ...

A check looks and says; what happens to the rows is the policy's business (``act``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np

from tuneproof.config import Check as Options
from tuneproof.prepare.check.compared import Compared
from tuneproof.prepare.check.guesses import FOLDS, MOST, Guesses, guess
from tuneproof.prepare.check.probe import Probe
from tuneproof.prepare.split import folds
from tuneproof.records import Finding, Schema, Splits, Table
from tuneproof.tasks.columns import normal

Vectors = np.ndarray[Any, np.dtype[np.float32]]
Embed = Callable[[Sequence[str]], Vectors]
Known = Sequence[tuple[str, str]]  # (kind, value)
KEPT = 1000  # findings that a check keeps; how many there were is counted all the same


@dataclass(frozen=True, slots=True)
class Checked:
    """What one check found.

    ``leave`` are the row numbers, by split, that go when the policy is drop (always of train, unless the check is
    about rows that no split should hold); ``repaired`` are new parts of a row when the policy is fix. ``figures`` is
    plain JSON for the page and the report: counts, shares, histograms.
    """

    looked_at: int  # rows
    found: int  # rows that something is the matter with
    findings: Sequence[Finding] = ()  # at most KEPT, the worst first
    leave: Mapping[str, Sequence[int]] = field(default_factory=dict)
    repaired: Mapping[str, Mapping[int, Mapping[str, Any]]] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""  # a limit of what was looked at, or why nothing was
    known: Mapping[tuple[str, int], Known] = field(default_factory=dict)  # for ``Subject.known``


@dataclass
class Subject:
    """Canonical rows by split, and how to look at them."""

    splits: Splits
    schema: Schema
    texts: Callable[[Mapping[str, Any]], tuple[str, str]]  # canonical row -> what is asked, the truth (Answer.texts)
    options: Options
    seed: int
    embed: Embed | None = None  # texts -> (n, width); None: no encoder at hand
    no_embed: str = ""  # why there is none
    progress: Callable[[str, int, int], None] = lambda what, done, total: None
    known: Mapping[tuple[str, int], Known] = field(default_factory=dict)  # side, row -> personal data by more than form

    @cached_property
    def asked(self) -> dict[str, list[str]]:
        """For each split what is asked in each row: the text, or the first thing a user says."""
        return {name: [self.texts(row)[0] for row in table.rows()] for name, table in self.splits.items()}

    @cached_property
    def compared(self) -> Compared:
        """The rows of all sides as near copies are looked for among them; made once for three checks."""
        return Compared.of(self.splits, self.progress)

    @cached_property
    def read(self) -> dict[str, list[str]]:
        """For each split what a person reads of each row: what is asked, and the answer where it is a text."""
        if "label" in self.splits.train.columns:
            return self.asked
        return {name: ["\n".join(self.texts(row)) for row in table.rows()] for name, table in self.splits.items()}

    @cached_property
    def sample(self) -> dict[str, list[int]]:
        """For each split the rows whose vectors and labels are looked at: ``options.label_rows`` at most, by hash."""
        most = self.options.label_rows
        chosen = {}
        for name, table in self.splits.items():
            ids = table.columns["id"]
            chosen[name] = sorted(sorted(range(len(table)), key=ids.__getitem__)[:most])
        return chosen

    @cached_property
    def vectors(self) -> Vectors:
        """(rows of the train sample, width); only where there is an encoder."""
        return self._embedded("train")

    @cached_property
    def guesses(self) -> Guesses:
        """What a classifier says of each row of the train sample unseen; only where ``no_guesses`` is ""."""
        chosen = self.sample["train"]
        labels = [self.splits.train.columns["label"][index] for index in chosen]
        asked = [self.asked["train"][index] for index in chosen]
        fold = folds(self._names, labels, FOLDS, str(self.seed))
        return guess(asked, labels, self.vectors, fold, self.seed, partial(self.progress, "Guessing labels unseen"))

    @cached_property
    def _names(self) -> list[str]:
        """What each row of the train sample is held out with: its group, or else the same question."""
        groups = self.splits.train.columns.get("group")
        names = []
        for index in self.sample["train"]:
            group = None if groups is None else groups[index]
            names.append(f"q:{normal(self.asked['train'][index])}" if group is None else f"g:{group}")
        return names

    @property
    def no_guesses(self) -> str:
        """Why the labels cannot be judged; "" where they can."""
        if "label" not in self.splits.train.columns:
            return "Rows of this task have no labels."
        if self.embed is None:
            return self.no_embed
        if len(set(self._names)) < FOLDS:
            return f"The train rows are fewer than {FOLDS} groups or questions."
        rows, classes = len(self.sample["train"]), len(self.schema.labels)
        if rows * classes > MOST:
            return (
                f"{rows:,} rows of {classes:,} classes would take minutes. "
                f"For fewer rows: --set check.label_rows={max(100, MOST // classes)}"
            )
        return ""

    @cached_property
    def probe(self) -> Probe:
        """A cheap classifier of the train sample and the test sample; only where there are labels and an encoder."""
        labels = [
            [table.columns["label"][index] for index in self.sample[name]]
            for name, table in (("train", self.splits.train), ("test", self.splits.test))
        ]
        return Probe.of(self.vectors, labels[0], self._embedded("test"), labels[1])

    def _embedded(self, side: str) -> Vectors:
        assert self.embed is not None
        return self.embed([self.asked[side][index] for index in self.sample[side]])

    def sampled(self, side: str) -> str:
        """``20,000 of 1,000,000 train rows, chosen by their hash.``, or "" where all were looked at."""
        looked, rows = len(self.sample[side]), len(self.table(side))
        return "" if looked == rows else f"{looked:,} of {rows:,} {side} rows, chosen by their hash."

    def table(self, side: str) -> Table:
        found: Table = getattr(self.splits, side)
        return found

    def finding(self, check: str, side: str, index: int, severity: str, message: str, **more: Any) -> Finding:
        """A Finding about the row ``index`` of ``side``; ``evidence`` is shortened and masked here."""
        table = self.table(side)
        if "evidence" in more:
            more["evidence"] = shown(more["evidence"], also=self.known.get((side, index), ()))
        id, file, line = table.columns["id"][index], table.file(index), table.lines[index]
        return Finding(check, severity, side, id, file, line, message, **more)

    def where(self, side: str, index: int) -> str:
        """``reviews.csv, line 12``."""
        table = self.table(side)
        return f"{table.file(index)}, line {table.lines[index]}"


def shown(text: str, most: int = 200, also: Known = ()) -> str:
    """A text as a report may show it: personal data masked, cut at ``most`` characters."""
    from tuneproof.personal import masked

    safe = masked(text, also)
    return safe if len(safe) <= most else safe[: most - 1] + "…"
