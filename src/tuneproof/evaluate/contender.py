"""One side of a comparison: a finished run, or one of its baselines, with what it said about every scored row.

    a, b = contenders(["tfidf-linear", "runs/reviews-7f3a"], evaluation="test")
    a.lines["3f9a..."]["pred"]

Everything is read from ``eval/<id>/``: no model is opened. A line that cannot be trusted is refused by its number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneproof.errors import ConfigError, DataError, RunError, nearest
from tuneproof.evaluate.baselines import BASELINES
from tuneproof.evaluate.measures import Item
from tuneproof.run import Run
from tuneproof.tasks import Answer, task_of

BASE = "base"  # the baseline that is the untouched pretrained model, whatever it is called for the task


@dataclass(frozen=True, slots=True)
class Contender:
    """A system with its predictions, by row id and in the order of the file."""

    name: str
    run: Run
    system: str  # title of a baseline, "" for the tuned model
    task: str
    judged: str  # the task whose figures these are: a chat model's and an encoder's labels are of one kind
    answer: Answer
    primary: str  # the metric that decided in its report
    labels: tuple[str, ...]
    template: str  # digest of what surrounds a question and of its token ids; "" where nothing does
    file: str  # where the lines come from
    lines: Mapping[str, Mapping[str, Any]]
    scores: frozenset[str]  # names of the per-item scores that there are

    def items(self, ids: Sequence[str], needs: Sequence[str]) -> list[Item]:
        """What was said about ``ids``; DataError for a score that is missing or no finite number."""
        return [self._item(id, needs) for id in ids]

    def _item(self, id: str, needs: Sequence[str]) -> Item:
        line = self.lines[id]
        found: Mapping[str, Any] = _said(line, self.system)
        scores: dict[str, float] = {}
        for name in needs:
            value = found.get(name)
            if value is None:
                raise DataError(
                    f"{self.file}, line {line['_line']}: {self.name} has no score {name} for the row {id[:16]}.",
                    "Choose a metric that both sides have: --metric",
                )
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise DataError(
                    f"{self.file}, line {line['_line']}: the score {name} of the row {id[:16]} is {value}.",
                    f"Score the run again: tuneproof eval {self.run.path}",
                )
            scores[name] = float(value)
        return Item(line["y"], found["pred"], scores)

    def groups(self, ids: Sequence[str]) -> list[Any] | None:
        """The cluster of each row; None where every row stands for itself."""
        groups = [self.lines[id]["group"] for id in ids]
        return groups if any(group != id for group, id in zip(groups, ids, strict=True)) else None

    def questions(self, ids: Sequence[str]) -> list[str]:
        return [self.lines[id]["question"] for id in ids]

    def slices(self, ids: Sequence[str]) -> list[Mapping[str, str]]:
        return [self.lines[id].get("slices", {}) for id in ids]


def contenders(names: Sequence[str], evaluation: str) -> list[Contender]:
    """One per name, in order. A name without a folder is a baseline of the first run among ``names``."""
    runs = [name for name in names if Path(name).exists()]
    loose = [name for name in names if not Path(name).exists()]
    if not runs:
        raise RunError(f"There is no run directory {names[0]}.", "List them with: tuneproof runs")
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ConfigError(f"{twice[0]} is named twice.", "Name two different ones.")
    if loose and len(runs) > 1:
        known = [*BASELINES, BASE]
        raise ConfigError(
            f'There is no run directory "{loose[0]}", and a baseline can be compared with one run only.',
            nearest(loose[0], known) or "List runs with: tuneproof runs",
        )
    opened = {name: _opened(Run.open(name), evaluation) for name in runs}
    return [opened[name] if name in opened else _baseline(name, opened[runs[0]]) for name in names]


def _opened(run: Run, evaluation: str) -> Contender:
    if not (run.evaluations / evaluation / "report.json").is_file():
        raise _unscored(run, evaluation)
    about = run.read_json(f"eval/{evaluation}/report.json").get("evaluation")
    if about is None:
        raise RunError(f"{run.path} was scored by an older version.", f"Score it again: tuneproof eval {run.path}")
    schema = run.schema
    name = f"eval/{evaluation}/predictions.jsonl"
    file = str(run.path / name)
    lines = _by_id(run.read_lines(name), file)
    first = next(iter(lines.values()))
    return Contender(
        name=str(run.path),
        run=run,
        system="",
        task=schema.task,
        judged=task_of(schema).judged,
        answer=task_of(schema).answer,
        primary=run.read_json(f"eval/{evaluation}/report.json")["scores"]["primary"],
        labels=schema.labels,
        template=about["template"],
        file=file,
        lines=lines,
        scores=frozenset(first["scores"]),
    )


def _unscored(run: Run, evaluation: str) -> RunError:
    scored = sorted(folder.parent.name for folder in run.evaluations.glob("*/report.json"))
    if evaluation != "test" and scored:
        hint = f"There is: {', '.join(scored)}. Make one: tuneproof eval {run.path} --data FILE"
        return RunError(f'{run.path} has no evaluation "{evaluation}".', hint)
    return RunError(
        f"{run.path} has not finished: it is {run.asked['state']} and was not scored.",
        f"Finish it: tuneproof resume {run.path}",
    )


def _by_id(lines: Sequence[Mapping[str, Any]], file: str) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        if "id" not in line or "scores" not in line or "question" not in line:
            raise DataError(f"{file}, line {number}: not a prediction (no id, scores or question).", "Score again.")
        if line["id"] in found:
            raise DataError(
                f"{file}, line {number}: the id {line['id'][:16]} stands there twice "
                f"(first on line {found[line['id']]['_line']}).",
                "Ids must be unique: score again.",
            )
        found[line["id"]] = {**line, "_line": number}
    if not found:
        raise DataError(f"{file} holds no row.", "Score again.")
    return found


def _baseline(name: str, of: Contender) -> Contender:
    """The baseline called ``name`` of the run ``of``; ConfigError when it was not run there."""
    first = next(iter(of.lines.values()))
    there = {key: row.title for key, row in BASELINES.items() if row.title in first["baselines"]}
    if name == BASE:
        titles = [BASELINES[key].title for key in there if BASELINES[key].untouched]
        title = titles[0] if titles else None
    else:
        title = there.get(name)
    if title is None:
        hint = nearest(name, [*there, BASE]) or f"Baselines of {of.name}: {', '.join([*there, BASE])}."
        raise ConfigError(f'There is no run directory and no baseline "{name}" in {of.name}.', hint)
    scores = frozenset(first["baselines"][title]) - {"pred"}
    return Contender(
        f"{title} ({of.name})",
        of.run,
        title,
        of.task,
        of.judged,
        of.answer,
        of.primary,
        of.labels,
        of.template,
        of.file,
        of.lines,
        scores,
    )


def _said(line: Mapping[str, Any], system: str) -> Mapping[str, Any]:
    """Answer and scores of a system about one row."""
    if system:
        found: Mapping[str, Any] = line["baselines"][system]
        return found
    return {"pred": line["pred"], **line["scores"]}
